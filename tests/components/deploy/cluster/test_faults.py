"""deploy on a cluster when something fails: what served before serves again, and one sentence says why."""

import copy
import threading

import pytest

from components.deploy.cluster.inference_service import container_of, revision_of
from components.errors import RankliftError, StoreError
from tests.components.deploy.conftest import applies, service_of
from tests.kserve.running import wait_for


class TestWhenItDoesNot:
    @pytest.mark.parametrize(
        ("fault", "sentence"),
        [
            pytest.param("image", r"cannot get its image r\.example\.com/predictor:1: ImagePullBackOff", id="image"),
            pytest.param("memory", r"ran out of memory \(OOMKilled, limit 1Gi\)", id="out of memory"),
            pytest.param("crash", r"exit code 3\. Its log ends:\nTraceback\nNo room", id="crash"),
            pytest.param(
                "storage", r"storage-initializer of pod ranklift-v1 .*exit code 1.*log ends:\n403", id="storage"
            ),
        ],
    )
    def test_the_old_version_serves_again_and_the_pod_says_why(self, deploy, cluster, kserve, fault, sentence):
        kserve.faults["V1"] = fault
        cluster.logs["ranklift-v1", "kserve-container"] = "Traceback\nNo room"
        cluster.logs["ranklift-v1", "storage-initializer"] = "403 on the bucket"
        with pytest.raises(RankliftError, match=f"(?s)V1 was not deployed: .*{sentence}.*V0 serves again"):
            deploy("V1")
        service = service_of(cluster)
        assert (revision_of(service).version, revision_of(service).number) == ("V0", -1)
        assert deploy("V2") == "V2", "and the next deploy is not in its way"

    def test_pods_that_an_attempt_of_before_left_behind_are_not_looked_at(self, deploy, cluster, kserve):
        kserve.faults["V1"] = "crash"
        with pytest.raises(RankliftError, match="exit code 3"):
            deploy("V1")
        kserve.faults.clear()
        left = cluster.get("pods", "ranklift", "ranklift-v1")
        left["metadata"] |= {"name": "ranklift-v1-old", "deletionTimestamp": "2026-11-24T10:00:00Z"}
        cluster.put("pods", left)
        assert deploy("V1") == "V1"

    def test_a_pod_that_finds_no_node_is_waited_for_and_named(self, deploy, kserve):
        kserve.faults["V1"] = "unschedulable"
        with pytest.raises(RankliftError, match=r"not scheduled: 0/3 nodes are available: 3 Insufficient cpu"):
            deploy("V1", deploy_within=2)

    def test_what_may_not_be_read_is_said_with_the_rule_that_gives_it(self, deploy, cluster, kserve):
        kserve.faults["V1"] = "crash"
        cluster.denied.add(("get", "pods/log"))
        rule = r"\{apiGroups: \[\"\"\], resources: \[pods/log\], verbs: \[get\]\}"
        with pytest.raises(RankliftError, match=f"exit code 3.*{rule}"):
            deploy("V1")
        cluster.denied.add(("list", "pods"))
        rule = r"\{apiGroups: \[\"\"\], resources: \[pods\], verbs: \[list\]\}"
        with pytest.raises(RankliftError, match=f"did not answer within 2 s.*{rule}.*V0 serves again"):
            deploy("V1", deploy_within=2)

    def test_where_pods_may_not_be_read_the_latest_event_says_why(self, deploy, cluster, kserve):
        kserve.faults["V1"] = "slow"
        cluster.denied.add(("list", "pods"))
        for number, (kind, name, message, when) in enumerate(
            [
                ("Pod", "ranklift-predictor-1", "0/3 nodes are available: 3 Insufficient cpu.", "2099-01-01T00:00:02Z"),
                ("Pod", "ranklift-predictor-1", "0/2 nodes are available.", "2099-01-01T00:00:01Z"),
                ("Pod", "another-1", "not of ours", "2099-01-01T00:00:03Z"),
                ("Pod", "ranklift-predictor-0", "of a deploy of before", "2020-01-01T00:00:00Z"),
            ]
        ):
            about = {"kind": kind, "name": name}
            event = {"type": "Warning", "reason": "FailedScheduling", "message": message, "lastTimestamp": when}
            meta = {"name": f"event-{number}", "namespace": "ranklift"}
            cluster.put("events", {"metadata": meta, "involvedObject": about, **event})
        sentence = "Pod ranklift-predictor-1: FailedScheduling: 0/3 nodes are available: 3 Insufficient cpu"
        with pytest.raises(RankliftError, match=f"did not answer within 2 s. {sentence}") as failure:
            deploy("V1", deploy_within=2)
        assert "needs the rule" not in str(failure.value)

    def test_where_pods_may_not_be_read_the_inference_service_says_why(self, deploy, cluster, kserve):
        kserve.faults["V1"] = "slow"
        kserve.complaint = {"reason": "FailedCreate", "message": "exceeded quota: cpu"}
        cluster.denied.add(("list", "pods"))
        with pytest.raises(RankliftError, match="PredictorReady is False: FailedCreate exceeded quota: cpu") as failure:
            deploy("V1", deploy_within=2)
        assert "needs the rule" not in str(failure.value)

    def test_a_deployment_that_gave_up_is_not_waited_for(self, deploy, kserve):
        """KServe calls the predictor not ready then, and follows no change of the routes, whatever serves."""
        kserve.faults["V1"] = "slow"
        kserve.complaint = {"reason": "ProgressDeadlineExceeded", "message": "has timed out progressing"}
        with pytest.raises(RankliftError, match=r"ProgressDeadlineExceeded has timed out progressing\. V0 serves"):
            deploy("V1", deploy_within=60)

    def test_what_kserve_said_of_the_version_before_does_not_end_a_deploy(self, deploy, cluster, kserve):
        """The Deployment gave up on V1; that stands there until KServe has looked at V2."""
        kserve.faults["V1"] = "slow"
        kserve.complaint = {"reason": "ProgressDeadlineExceeded", "message": "has timed out progressing"}
        with pytest.raises(RankliftError, match="ProgressDeadlineExceeded"):
            deploy("V1", deploy_within=60)
        kserve.report_failure(("inferenceservices", "ranklift", "ranklift"))
        assert deploy("V2") == "V2"

    def test_pods_of_another_version_that_still_serve_are_waited_for(self, deploy, cluster, kserve):
        kserve.pods_linger = True
        with pytest.raises(RankliftError, match=r"did not answer within 2 s\. Pods of another version still serve"):
            deploy("V1", deploy_within=2)

    def test_a_pod_of_before_that_was_evicted_is_not_waited_for(self, deploy, cluster, kserve):
        pod = cluster.select("pods", "ranklift", "app=isvc.ranklift-predictor")[0]
        cluster.put("pods", pod | {"metadata": pod["metadata"] | {"name": "evicted"}, "status": {"phase": "Failed"}})
        assert deploy("V1", deploy_within=5) == "V1"

    def test_a_version_that_answers_nonsense_is_taken_out(self, deploy, kserve):
        kserve.faults["V1"] = "wrong answers"
        with pytest.raises(RankliftError, match=r"no usable answer to a smoke query: document 7.*V0 serves again"):
            deploy("V1", deploy_within=2)

    def test_a_model_that_is_not_the_one_that_was_judged_is_taken_out(self, deploy, kserve):
        kserve.digests["V1"] = "f" * 64
        with pytest.raises(RankliftError, match=r"serves a model with digest ffffffffffff….*V0 serves again"):
            deploy("V1", deploy_within=2)

    def test_a_deploy_that_was_killed_halfway_is_not_what_the_next_goes_back_to(self, deploy, history, cluster, kserve):
        kserve.faults |= {"V1": "slow", "V2": "crash"}
        service = service_of(cluster)
        container_of(service)["env"][0]["value"] = f"s3://{history.store.settings.bucket}/models/V1"
        container_of(service)["env"][1]["value"] = "V1"
        cluster.put("inferenceservices", service)
        with pytest.raises(RankliftError, match="V0 serves again"):
            deploy("V2")
        assert revision_of(service_of(cluster)).version == "V0"

    def test_one_that_was_never_champion_is_not_deployed(self, deploy):
        with pytest.raises(StoreError, match="V3 was never champion"):
            deploy("V3")


class TestWhileOthersChangeIt:
    def test_an_earlier_champion_steps_aside(self, deploy, cluster):
        assert deploy("V2") == "V2"
        assert deploy("V1") == "V2"
        assert "V2 became champion after V1" in deploy.told[-1]
        assert len(applies(cluster)) == 1

    def test_an_earlier_champion_that_waits_steps_aside_for_a_later_one(self, deploy, kserve, cluster):
        kserve.faults["V1"] = "slow"
        results = {}
        earlier = threading.Thread(target=lambda: results.update(V1=deploy("V1")))
        earlier.start()
        wait_for(lambda: applies(cluster))
        results["V2"] = deploy("V2")
        earlier.join()
        assert results == {"V1": "V2", "V2": "V2"}
        assert revision_of(service_of(cluster)).version == "V2"

    def test_a_conflict_is_read_and_tried_again(self, deploy, cluster):
        def status_changes_first(request):
            if request.verb == "patch" and len(applies(cluster)) <= 3:
                cluster.set_status("inferenceservices", "ranklift", "ranklift", service_of(cluster)["status"])

        cluster.before_answer = status_changes_first
        assert deploy("V1") == "V1"
        assert len(applies(cluster)) == 4

    def test_a_deploy_that_fails_does_not_undo_a_later_one(self, deploy, history, cluster, kserve):
        """The later champion is applied at the moment the earlier one fails."""
        kserve.faults["V1"] = "crash"

        def later_one_comes(request):
            if request.verb == "list" and revision_of(service_of(cluster)).version == "V1":
                body = copy.deepcopy(service_of(cluster))
                variables = {item["name"]: item for item in container_of(body)["env"]}
                variables["RANKLIFT_PREDICTOR_MODEL_VERSION"]["value"] = "V2"
                variables["RANKLIFT_CHAMPION_NUMBER"]["value"] = "2"
                cluster.put("inferenceservices", body)

        cluster.before_answer = later_one_comes
        with pytest.raises(RankliftError, match="V2 was deployed meanwhile and stays"):
            deploy("V1")
        assert revision_of(service_of(cluster)).version == "V2"

    def test_a_hand_that_puts_back_the_manifest_is_noticed(self, deploy, cluster, kserve):
        kserve.faults["V1"] = "slow"
        manifest = service_of(cluster)

        def apply_the_manifest(request):
            if request.verb == "list" and revision_of(service_of(cluster)).version == "V1":
                cluster.put("inferenceservices", copy.deepcopy(manifest))

        cluster.before_answer = apply_the_manifest
        with pytest.raises(RankliftError, match=r"someone else changed InferenceService ranklift .* to V0"):
            deploy("V1")

    def test_its_deletion_is_noticed(self, deploy, cluster, kserve):
        kserve.faults["V1"] = "slow"

        def delete(request):
            if request.verb == "list" and ("inferenceservices", "ranklift", "ranklift") in cluster.objects:
                cluster.delete("inferenceservices", "ranklift", "ranklift")

        cluster.before_answer = delete
        with pytest.raises(RankliftError, match="was deleted while it was being changed"):
            deploy("V1")
