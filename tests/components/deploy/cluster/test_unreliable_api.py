"""deploy on a cluster whose API fails, refuses or loses an answer."""

import time

import pytest
import yaml

from components.errors import RankliftError
from components.kubernetes.api import KubernetesApi
from components.kubernetes.errors import KubernetesError
from tests.standins.kubernetes_state import RefusalError


class TestAnUnreliableApi:
    @pytest.fixture
    def quick(self, monkeypatch):
        """Waits that are over at once."""
        sleep = time.sleep
        monkeypatch.setattr("time.sleep", lambda seconds: sleep(min(seconds, 0.01)))

    def test_a_watch_that_is_too_old_begins_anew(self, deploy, cluster, kserve):
        cluster.oldest_watchable = 10**9
        assert deploy("V1") == "V1"

    def test_an_api_that_fails_for_a_moment_is_asked_again(self, deploy, cluster):
        seen = set()

        def fail_once(request):
            if (request.verb, request.resource) not in seen:
                seen.add((request.verb, request.resource))
                raise RefusalError(500, "etcdserver: leader changed")

        cluster.before_answer = fail_once
        assert deploy("V1") == "V1"
        assert {verb for verb, _ in seen} >= {"get", "patch"}

    def test_an_api_that_is_away_while_pods_of_before_are_counted_is_asked_again(self, deploy, cluster, quick):
        failures = iter([500] * 4)  # one call, with all its attempts

        def fail(request):
            if request.resource == "pods" and next(failures, 0):
                raise RefusalError(500, "etcdserver: leader changed")

        cluster.before_answer = fail
        assert deploy("V1") == "V1"

    @pytest.mark.parametrize("verb", ["get", "patch"])
    def test_an_api_that_is_away_for_longer_is_waited_for_in_a_stage(
        self, deploy, cluster, quick, monkeypatch, capsys, verb
    ):
        monkeypatch.setenv("RANKLIFT_PATIENCE", "600")
        failures = iter([503] * 8)

        def fail(request):
            if (request.verb, request.resource) == (verb, "inferenceservices") and next(failures, 0):
                raise RefusalError(503, "apiserver is shutting down")

        cluster.before_answer = fail
        assert deploy("V1") == "V1"
        assert "Retrying in 5 s." in capsys.readouterr().err

    def test_an_api_that_is_away_without_patience_fails_at_once(self, deploy, cluster, quick):
        def fail(request):
            raise RefusalError(503, "apiserver is shutting down")

        cluster.before_answer = fail
        with pytest.raises(KubernetesError, match="apiserver is shutting down"):
            deploy("V1")
        assert len(cluster.requests) == 4

    @pytest.mark.parametrize(
        ("code", "sentence"),
        [
            pytest.param(
                403, r"does not allow this account to patch .* Role needs the rule \{apiGroups: \[serving", id="403"
            ),
            pytest.param(401, "does not accept your login", id="401"),
            pytest.param(422, "answered 422 when asked to patch .*: nonsense", id="422"),
        ],
    )
    def test_a_refusal_is_one_sentence_with_the_remedy(self, deploy, cluster, code, sentence):
        def refuse(request):
            if request.verb == "patch":
                raise RefusalError(code, "nonsense")

        cluster.before_answer = refuse
        with pytest.raises(RankliftError, match=f"{sentence}.*Nothing was changed"):
            deploy("V1")

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            pytest.param(
                403, 'admission webhook "kserve" denied the request: canary is only supported in Standard', id="webhook"
            ),
            pytest.param(
                403, "is forbidden: ValidatingAdmissionPolicy 'a' denied request: canary is only supported", id="policy"
            ),
            pytest.param(
                422,
                "is invalid: : ValidatingAdmissionPolicy 'a' denied request: canary is only supported",
                id="invalid",
            ),
        ],
    )
    def test_deploy_that_an_admission_refuses_quotes_it(self, deploy, cluster, code, message):
        def refuse(request):
            if request.verb == "patch":
                raise RefusalError(code, message)

        cluster.before_answer = refuse
        with pytest.raises(RankliftError, match=r"denied .*request: canary is only supported"):
            deploy("V1", canary_percent=10)

    def test_a_cluster_that_is_not_there_is_named(self, tmp_path, monkeypatch):
        (tmp_path / "config").write_text(
            yaml.safe_dump(
                {
                    "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
                    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
                    "users": [{"name": "c", "user": {}}],
                }
            )
        )  # fmt: skip
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        with pytest.raises(KubernetesError, match=r"http://127.0.0.1:1 did not answer .* `kubectl get pods`"):
            KubernetesApi.connect().version()
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
        with pytest.raises(KubernetesError, match="No Kubernetes cluster is configured"):
            KubernetesApi.connect()
