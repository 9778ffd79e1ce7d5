"""The registry of a cluster, read and moved from a laptop: through an API server on loopback to a real S3 server."""

import json
import ssl
import threading
from hashlib import sha256

import pytest
import yaml
from typer.testing import CliRunner

from components.deploy.cluster.inference_service import container_of, revision_of
from components.errors import StoreError
from components.kubernetes.api import KubernetesApi
from components.object_store.client import ObjectStore
from components.object_store.transfer import download, upload
from pipeline.cli import app
from pipeline.cluster.registry import cluster_registry
from pipeline.cluster.store import Place
from tests.components.deploy.conftest import MANIFEST, VERSIONS, make_history
from tests.factories.authority import make_authority
from tests.factories.model_versions import make_dataset
from tests.faults.proxy import Fault, Proxy
from tests.standins.cluster_store import ENDPOINT, HOST, POD, keys_of, put_store, secret
from tests.standins.kserve_controller import KServe
from tests.standins.kubernetes_api import serving
from tests.standins.kubernetes_state import Cluster

PLACE = Place("ranklift", "ranklift", "kubeflow")


@pytest.fixture
def laptop(tmp_path, monkeypatch):
    """A laptop whose environment names an object store, which nothing may speak to."""
    for name in ("KUBERNETES_SERVICE_HOST", "RANKLIFT_KUBERNETES_NAMESPACE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    calls = {"RANKLIFT_S3_ENDPOINT": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
             "AWS_REGION": "mars-1", "RANKLIFT_S3_BUCKET": "of-the-laptop", "RANKLIFT_HOME": str(tmp_path / "home"),
             "RANKLIFT_S3_ATTEMPTS": "2"}  # fmt: skip
    for name, value in calls.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "home"


@pytest.fixture
def cluster(registry, laptop, tmp_path, monkeypatch):
    """A cluster that serves V2, the champion of its registry."""
    make_history(registry, tmp_path)
    cluster = Cluster()
    kserve = KServe(cluster, {name: registry.manifest("model", name).digest for name in VERSIONS})
    service = yaml.safe_load(MANIFEST.read_text())
    values = {
        "STORAGE_URI": f"s3://{registry.store.settings.bucket}/models/V2", "RANKLIFT_PREDICTOR_MODEL_VERSION": "V2",
        "RANKLIFT_CHAMPION_NUMBER": "2", "RANKLIFT_CHAMPION_HEAD": registry.champion().head,
    }  # fmt: skip
    container_of(service)["env"] = [{"name": name, "value": value} for name, value in values.items()]
    kserve.install(service)
    put_store(cluster, registry.store.settings)
    with serving(cluster, tmp_path) as environment:
        monkeypatch.setenv("KUBECONFIG", environment["KUBECONFIG"])
        yield cluster


def ranklift(*arguments):
    return CliRunner().invoke(app, [*arguments])


def answer(*arguments):
    result = ranklift(*arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def failure(*arguments):
    result = ranklift(*arguments)
    assert result.exception is not None
    return str(result.exception)


@pytest.mark.parametrize("options", [("--namespace", "ranklift"), ("--context", "other")], ids=["namespace", "context"])
def test_registry_at_a_cluster_that_is_named_reads_its_registry(cluster, laptop, options):
    rows = answer("models", "list", *options)
    assert [row["version"] for row in rows] == ["V0", "V1", "V2"]
    assert [row["champion"] for row in rows] == ["", "", "champion"]
    assert not laptop.exists(), "this machine's own registry was touched"


def test_registry_at_says_which_registry_it_read(cluster, registry):
    told = ranklift("models", "history", "--namespace", "ranklift").stderr
    bucket = registry.store.settings.bucket
    assert f"bucket {bucket} at {ENDPOINT}, with the keys of Secret kubeflow/ranklift-object-store" in told


@pytest.mark.parametrize(
    "arguments",
    [
        ("models", "list"), ("models", "history"), ("models", "show", "V1"), ("models", "diff", "V0", "V1"),
        ("datasets", "list"), ("datasets", "show", "V0"), ("verify",), ("prune",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_command_that_reads_the_registry_reads_the_clusters(cluster, registry, laptop, tmp_path, arguments):
    registry.publish_dataset(make_dataset(tmp_path / "dataset"))
    assert answer(*arguments, "--namespace", "ranklift")
    assert not (laptop / "store").exists()


def test_the_profile_of_a_clusters_dataset_is_kept_apart_from_this_machines(cluster, registry, laptop, tmp_path):
    version = registry.publish_dataset(make_dataset(tmp_path / "dataset"))
    told = ranklift("datasets", "show", "V0", "--open", "--namespace", "ranklift")
    assert told.exit_code == 0, told.exception
    assert f"clusters/datasets/V0-{version.digest[:12]}/profile.html" in told.stderr
    assert not (laptop / "datasets").exists()


def test_rollback_moves_the_clusters_champion_and_what_it_serves(cluster, registry, laptop):
    entry = answer("rollback", "--namespace", "ranklift", "--reason", "V2 was slow.")
    assert (entry["version"], entry["reason"]) == ("V1", "V2 was slow.")
    assert registry.champion().version == "V1"
    assert revision_of(cluster.get("inferenceservices", "ranklift", "ranklift")).version == "V1"
    assert not laptop.exists()


def test_rollback_with_a_cluster_in_the_environment_and_no_store_takes_the_clusters(
    cluster, registry, laptop, monkeypatch
):
    monkeypatch.delenv("RANKLIFT_S3_ENDPOINT")
    monkeypatch.setenv("RANKLIFT_KUBERNETES_NAMESPACE", "ranklift")
    assert answer("rollback")["version"] == registry.champion().version == "V1"
    assert not laptop.exists()


@pytest.mark.parametrize("arguments", [("models", "list"), ("models", "history"), ("verify",)], ids=" ".join)
def test_commands_that_only_read_take_the_same_registry_as_rollback(cluster, registry, laptop, monkeypatch, arguments):
    monkeypatch.delenv("RANKLIFT_S3_ENDPOINT")
    monkeypatch.setenv("RANKLIFT_KUBERNETES_NAMESPACE", "ranklift")
    assert answer(*arguments)
    assert not laptop.exists(), "this machine's own registry was touched"


def test_prune_keeps_what_the_cluster_serves(cluster, registry):
    report = answer("prune", "--keep", "0", "--namespace", "ranklift")
    assert report["removed"] == ["models/V0"]
    assert report["kept"] == {"models/V1": "it was champion before", "models/V2": "it is champion"}


class TestWhereTheRegistryIs:
    def write(self, folder, registry, **changes):
        access = {"endpoint": ENDPOINT, "bucket": registry.store.settings.bucket, "secret": "ranklift-object-store"}
        path = folder / "mine.yaml"
        path.write_text(yaml.safe_dump({"object_store": access | changes}))
        return str(path)

    def test_settings_name_it_before_there_is_an_inference_service(self, cluster, registry, tmp_path):
        cluster.delete("inferenceservices", "ranklift", "ranklift")
        assert len(answer("models", "list", "--settings", self.write(tmp_path, registry))) == 3

    def test_settings_may_name_a_secret_with_other_keys(self, cluster, registry, tmp_path):
        keys = dict(zip(("accesskey", "secretkey"), keys_of(registry.store.settings).values(), strict=True))
        cluster.put("secrets", secret("mine", "kubeflow", keys))
        names = {"accesskey": "AWS_ACCESS_KEY_ID", "secretkey": "AWS_SECRET_ACCESS_KEY"}
        path = self.write(tmp_path, registry, secret="mine", mount="env", keys=names)
        assert len(answer("models", "list", "--settings", path)) == 3

    def test_settings_of_another_bucket_than_the_served_one_are_refused(self, cluster, registry, tmp_path):
        path = self.write(tmp_path, registry, bucket="another")
        ObjectStore(registry.store.settings.model_copy(update={"bucket": "another"})).ensure_bucket()
        said = failure("models", "list", "--settings", path)
        assert f"serves V2 from bucket {registry.store.settings.bucket}, and this is bucket another" in said

    def test_without_an_inference_service_and_settings_it_says_what_to_give(self, cluster):
        cluster.delete("inferenceservices", "ranklift", "ranklift")
        assert "name it with --settings stages.yaml" in failure("models", "list", "--namespace", "ranklift")

    def test_without_the_pipelines_secret_the_predictors_is_taken(self, cluster):
        cluster.delete("secrets", "kubeflow", "ranklift-object-store")
        told = ranklift("models", "list", "--namespace", "ranklift")
        assert "Secret ranklift/ranklift-predictor-s3" in told.stderr

    @pytest.mark.parametrize(
        ("verb", "resource", "rule"),
        [
            ("get", "secrets", '{apiGroups: [""], resources: [secrets], verbs: [get]}'),
            ("get", "pods/portforward", '{apiGroups: [""], resources: [pods/portforward], verbs: [get, create]}'),
            ("list", "endpointslices", "resources: [endpointslices], verbs: [list]"),
        ],
        ids=lambda value: value.replace("/", " ") if isinstance(value, str) else value,
    )
    def test_who_may_not_is_told_the_rule(self, cluster, verb, resource, rule):
        cluster.denied.add((verb, resource))
        assert rule in failure("models", "list", "--namespace", "ranklift")

    def test_a_secret_without_the_keys_is_named(self, cluster):
        cluster.put("secrets", secret("ranklift-object-store", "kubeflow", {"accesskey": "x"}))
        said = failure("models", "list", "--namespace", "ranklift")
        assert "Secret ranklift-object-store in namespace kubeflow has no AWS_ACCESS_KEY_ID and no AWS_SECRET" in said

    def test_keys_that_the_store_does_not_know_are_those_of_a_secret_that_is_named(self, cluster):
        wrong = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "other")
        cluster.put("secrets", secret("ranklift-object-store", "kubeflow", wrong))
        said = failure("models", "list", "--namespace", "ranklift")
        assert "Secret kubeflow/ranklift-object-store has other keys than the store" in said
        assert "AWS_ACCESS_KEY_ID" not in said, "this machine's variables have nothing to do with it"


class TestAnotherRegistry:
    def test_a_champion_whose_history_lacks_what_is_served_is_refused(self, cluster, registry):
        registry.store.delete("champion.json")
        registry.move_champion("V0", None)
        said = failure("rollback", "--namespace", "ranklift")
        assert "is not the registry that V2 was deployed from" in said
        assert "remove RANKLIFT_CHAMPION_HEAD" in said
        assert registry.champion().version == "V0"

    def test_a_champion_that_moved_since_the_deploy_is_not_refused(self, cluster, registry):
        registry.move_champion("V0", registry.champion())
        assert answer("models", "history", "--namespace", "ranklift")[-1]["version"] == "V0"


class TestTheWay:
    def read(self):
        with cluster_registry(KubernetesApi.connect(), PLACE) as registry:
            return registry.champion().version

    def test_every_connection_and_thread_ends_with_the_command(self, cluster):
        assert self.read() == "V2"
        assert "ranklift port forward" not in [thread.name for thread in threading.enumerate()]

    def test_an_api_that_speaks_tls_is_asked_over_tls(self, cluster, tmp_path, monkeypatch):
        (tmp_path / "tls").mkdir()
        with serving(cluster, tmp_path / "tls", make_authority(tmp_path / "tls")) as environment:
            monkeypatch.setenv("KUBECONFIG", environment["KUBECONFIG"])
            assert KubernetesApi.connect().host.startswith("https://")
            assert self.read() == "V2"

    def test_large_files_come_through_whole(self, cluster, registry, tmp_path):
        content = bytes(range(256)) * 40_000
        (tmp_path / "large").write_bytes(content)
        digest = sha256(content).hexdigest()
        with cluster_registry(KubernetesApi.connect(), PLACE) as there:
            upload(there.store, "training/large", tmp_path / "large", digest)
            download(there.store, "training/large", tmp_path / "back", digest, len(content))
        assert (tmp_path / "back").read_bytes() == content

    def test_a_store_without_a_ready_pod_is_named(self, cluster):
        cluster.delete("endpointslices", "ranklift-store", "object-store-x1")
        with pytest.raises(
            StoreError, match="Service object-store in namespace ranklift-store has no pod that is ready"
        ):
            self.read()

    def test_what_the_kubelet_says_of_a_connection_is_told(self, cluster):
        cluster.forwards[POD] = "error forwarding port 9000 to pod: connection refused"
        with pytest.raises(StoreError, match="The cluster says of the connection: error forwarding port 9000"):
            self.read()

    def test_a_connection_that_breaks_is_made_again(self, cluster, registry):
        with Proxy(registry.store.settings.endpoint) as proxy:
            proxy.plan = lambda call: Fault(lose="answer") if call.number == 0 else None
            host, _, port = proxy.endpoint.removeprefix("http://").partition(":")
            cluster.forwards[POD] = (host, int(port))
            assert self.read() == "V2"
            assert len(proxy.calls) > 1

    def test_tls_is_checked_against_the_name_that_the_cluster_has(self, cluster, registry, tmp_path, monkeypatch):
        authority = make_authority(tmp_path, HOST)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority / "server.pem")
        put_store(cluster, registry.store.settings, "https")
        with Proxy(registry.store.settings.endpoint, tls=context) as proxy:
            host, _, port = proxy.endpoint.removeprefix("https://").partition(":")
            cluster.forwards[POD] = (host, int(port))
            with pytest.raises(StoreError, match="certificate that is not trusted"):
                self.read()
            monkeypatch.setenv("RANKLIFT_S3_CA_FILE", str(authority / "ca.pem"))
            assert self.read() == "V2"
            assert proxy.calls

    def test_a_store_outside_the_cluster_is_reached_as_it_is(self, cluster, registry, tmp_path):
        access = {"endpoint": registry.store.settings.endpoint, "bucket": registry.store.settings.bucket,
                  "secret": "ranklift-object-store"}  # fmt: skip
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"object_store": access}))
        cluster.forwards.clear()
        assert len(answer("models", "list", "--settings", str(tmp_path / "mine.yaml"))) == 3


def test_connect_to_a_context_that_is_not_there_names_it(cluster):
    assert "as context nowhere" in failure("models", "list", "--context", "nowhere")


def test_deploy_at_a_cluster_puts_its_champion_into_service(cluster, registry, laptop):
    registry.move_champion("V1", registry.champion())
    entry = answer("deploy", "--namespace", "ranklift")
    assert (entry["version"], entry["action"]) == ("V1", "serve")
    assert revision_of(cluster.get("inferenceservices", "ranklift", "ranklift")).version == "V1"
    assert not laptop.exists()
