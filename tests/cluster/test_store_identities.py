"""Who may do what in the cluster's object store, with the keys that each client has there: allowed and refused.

`tests/manifests/store_calls.py` has the calls. Those keys of the registry that they write to are put back.
"""

from collections.abc import Iterator

import pytest
from minio.error import S3Error

from components.object_store.client import ObjectStore
from tests.cluster.conftest import RUNS, SERVING, STORE, secret
from tests.cluster.kubectl import Kubectl
from tests.manifests.store_calls import ALLOWED, REFUSED, REFUSED_BY_POLICIES, Call, Keys, made_by_the_tests

#: Client → namespace and Secret, and the names of access and secret key in it.
SECRETS = {
    "kubeflow": (RUNS, "mlpipeline-minio-artifact", ("accesskey", "secretkey")),
    "pipeline": (RUNS, "ranklift-object-store", ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
    "predictor": (SERVING, "ranklift-predictor-s3", ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
}
#: What the calls write in the bucket of the registry.
WRITTEN = (
    "champion.json",
    "datasets/V0/train",
    "indexes/V0/vectors",
    "models/V0/large",
    "models/V0/model",
    "models/V7/claimed",
    "runs/a/file",
    "runs/a/large",
    "training/0123/checkpoint-1/model",
)
MLPIPELINE = ("pipelines/a", "private-artifacts/a/main.log")


@pytest.fixture(scope="module")
def keys(kubectl: Kubectl, store: ObjectStore, registry: object) -> Iterator[dict[str, Keys]]:
    """Each client's keys, and the store as it was once the calls are made."""
    before = {key: store.get(key).content for key in WRITTEN if store.find(key) is not None}
    with kubectl.forward(STORE, "service/object-store", 9000) as port:
        found = {user: _keys(kubectl, user, port) for user in SECRETS}
        try:
            yield found
        finally:
            _put_back(store, before)
            for key in MLPIPELINE:
                found["kubeflow"].client().remove_object("mlpipeline", key)


def _keys(kubectl: Kubectl, user: str, port: int) -> Keys:
    namespace, name, (access, key) = SECRETS[user]
    values = secret(kubectl, namespace, name)
    return Keys(f"127.0.0.1:{port}", values[access], values[key])


def _put_back(store: ObjectStore, before: dict[str, bytes]) -> None:
    for key in WRITTEN:
        if key in before:
            store.put(key, before[key])
        else:
            store.delete(key)


@pytest.fixture(scope="module")
def policies_tell_removing(kubectl: Kubectl) -> bool:
    """Whether the store knows a right to remove apart from the right to write; SeaweedFS does not."""
    pod = kubectl.json("get", "statefulset", "-n", STORE, "object-store")["spec"]["template"]["spec"]
    return not any("seaweedfs" in container["image"] for container in pod["containers"])


@pytest.fixture
def objects(keys: dict[str, Keys]) -> None:
    """The objects that the calls read and try to remove."""
    made_by_the_tests(keys["pipeline"].store())


def _told(call: Call) -> str:
    return call.name


@pytest.mark.usefixtures("objects")
@pytest.mark.parametrize("call", ALLOWED, ids=_told)
def test_client_may_do_what_it_does(keys, call):
    call.run(keys[call.user])


@pytest.mark.usefixtures("objects")
@pytest.mark.parametrize("call", REFUSED, ids=_told)
def test_client_may_not_do_more(keys, call):
    with pytest.raises(S3Error, match="AccessDenied"):
        call.run(keys[call.user])


@pytest.mark.usefixtures("objects")
@pytest.mark.parametrize("call", REFUSED_BY_POLICIES, ids=_told)
def test_client_that_writes_removes_only_where_the_store_cannot_tell(keys, policies_tell_removing, call):
    try:
        call.run(keys[call.user])
    except S3Error as refusal:
        assert (refusal.code, policies_tell_removing) == ("AccessDenied", True)
    else:
        assert not policies_tell_removing


def test_client_with_the_key_of_nobody_reads_nothing(keys):
    nobody = Keys(keys["pipeline"].address, "nobody", "nobody-secret")
    with pytest.raises(S3Error, match=r"InvalidAccessKeyId|AccessDenied"):
        nobody.client().get_object("ranklift", "models/V0/model")
