"""What each client asks of the object store, and what nobody may ask: the same list for every store.

A call is made for real where a server is at hand, and read against a policy by its S3 action where none is.
"""

import io
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from minio import Minio
from pydantic import SecretStr

from components.machine.digest import file_sha256
from components.object_store.client import ObjectStore
from components.object_store.settings import ObjectStoreSettings
from components.object_store.transfer import PART, download, unfinished_uploads, upload

MULTIPART = 5 << 20  # the smallest part that S3 knows


class Keys(NamedTuple):
    """Where the store is, and who asks."""

    address: str
    access: str
    secret: str

    def client(self) -> Minio:
        """The client of programs that are not ours."""
        return Minio(self.address, self.access, self.secret, secure=False, region="us-east-1")

    def store(self) -> ObjectStore:
        """The client of our stages."""
        settings = ObjectStoreSettings.of(
            endpoint=f"http://{self.address}",
            bucket="ranklift",
            region="us-east-1",
            access_key=SecretStr(self.access),
            secret_key=SecretStr(self.secret),
        )
        return ObjectStore(settings)


class Call(NamedTuple):
    """One thing that a client does."""

    name: str  #: client: what it does
    user: str
    run: Callable[[Keys], object]
    needs: tuple[tuple[str, str], ...]  #: (S3 action, bucket or bucket/key)


def place_of(path: str) -> tuple[str, str]:
    """Bucket and key of ``bucket/key``."""
    bucket, _, key = path.partition("/")
    return bucket, key


def head(bucket: str) -> Callable[[Keys], object]:
    def run(keys: Keys) -> object:
        assert keys.client().bucket_exists(bucket)
        return None

    return run


def listing(bucket: str, prefix: str) -> Callable[[Keys], object]:
    return lambda keys: list(keys.client().list_objects(bucket, prefix, recursive=True))


def read(path: str) -> Callable[[Keys], object]:
    return lambda keys: keys.client().get_object(*place_of(path)).data


def write(path: str, size: int = 7) -> Callable[[Keys], object]:
    """Write an object, in parts when it is larger than one; then see that it is there whole."""

    def run(keys: Keys) -> object:
        client, (bucket, key) = keys.client(), place_of(path)
        client.put_object(bucket, key, io.BytesIO(b"x" * size), size, part_size=MULTIPART)
        assert client.stat_object(bucket, key).size == size
        return None

    return run


def write_and_read(path: str) -> Callable[[Keys], object]:
    """Write an object and read it back, as programs do whose objects nobody else may write."""

    def run(keys: Keys) -> object:
        write(path)(keys)
        return read(path)(keys)

    return run


def remove(path: str) -> Callable[[Keys], object]:
    return lambda keys: keys.client().remove_object(*place_of(path))


def ours(action: Callable[[ObjectStore], object]) -> Callable[[Keys], object]:
    return lambda keys: action(keys.store())


def claim_and_move(store: ObjectStore) -> None:
    """What a promotion does: a number is claimed once, the champion moves from the state that was read."""
    key = "models/V7/claimed"
    if store.find(key) is None:
        assert store.put_if_absent(key, b"first")
    assert store.put_if_absent(key, b"second") is None
    before = store.put("champion.json", b"one")
    assert store.put_if_match("champion.json", b"two", before)
    assert store.put_if_match("champion.json", b"three", before) is None


def send_and_fetch(store: ObjectStore) -> None:
    """A file of several parts, there and back."""
    with TemporaryDirectory() as folder:
        sent, fetched = Path(folder, "sent"), Path(folder, "fetched")
        sent.write_bytes(b"x" * (PART + 1))
        sha256 = file_sha256(sent)
        upload(store, "models/V0/large", sent, sha256)
        download(store, "models/V0/large", fetched, sha256, PART + 1)
        assert file_sha256(fetched) == sha256


def checkpoint(store: ObjectStore) -> None:
    """What train does: write, find, list, and remove what is older."""
    key = "training/0123/checkpoint-1/model"
    store.put(key, b"tensors")
    assert store.stat(key) and store.list("training/0123/")
    store.delete(key)
    assert store.find(key) is None


def made_by_the_tests(store: ObjectStore) -> None:
    """The objects that the calls read."""
    for key in ("models/V0/model", "champion.json", "datasets/V0/train", "indexes/V0/vectors"):
        store.put(key, b"written")


def on(resource: str, *actions: str) -> tuple[tuple[str, str], ...]:
    """The rights to do these things with a bucket or an object."""
    return tuple((f"s3:{action}", resource) for action in actions)


_PARTS = ("PutObject", "AbortMultipartUpload", "ListMultipartUploadParts")
_LIST = on("ranklift", "ListBucket")
_LOG = "mlpipeline/private-artifacts/a/main.log"
_CHECKPOINT = "ranklift/training/0123/checkpoint-1/model"

ALLOWED = (
    Call("initializer: head", "predictor", head("ranklift"), _LIST),
    Call("initializer: list", "predictor", listing("ranklift", "models/V0/"), _LIST),
    Call(
        "initializer: read", "predictor", read("ranklift/models/V0/model"), on("ranklift/models/V0/model", "GetObject")
    ),
    Call(
        "initializer: read an index",
        "predictor",
        read("ranklift/indexes/V0/vectors"),
        on("ranklift/indexes/V0/vectors", "GetObject"),
    ),
    Call("KFP server: head", "kubeflow", head("mlpipeline"), on("mlpipeline", "ListBucket")),
    Call("KFP server: write", "kubeflow", write("mlpipeline/pipelines/a"), on("mlpipeline/pipelines/a", "PutObject")),
    Call(
        "KFP server: remove", "kubeflow", remove("mlpipeline/pipelines/a"), on("mlpipeline/pipelines/a", "DeleteObject")
    ),
    Call(
        "launcher: artifact",
        "kubeflow",
        write_and_read("ranklift/runs/a/file"),
        on("ranklift/runs/a/file", "PutObject", "GetObject"),
    ),
    Call(
        "launcher: parts",
        "kubeflow",
        write("ranklift/runs/a/large", MULTIPART + 1),
        on("ranklift/runs/a/large", *_PARTS),
    ),
    Call("launcher: list", "kubeflow", listing("ranklift", "runs/a/"), _LIST),
    Call("Argo and page: log", "kubeflow", write_and_read(_LOG), on(_LOG, "PutObject", "GetObject")),
    Call("stage: bucket", "pipeline", ours(lambda store: store.ensure_bucket()), _LIST),
    Call(
        "stage: promote",
        "pipeline",
        ours(claim_and_move),
        on("ranklift/champion.json", "PutObject", "GetObject") + on("ranklift/models/V7/claimed", "PutObject"),
    ),
    Call("stage: parts", "pipeline", ours(send_and_fetch), on("ranklift/models/V0/large", *_PARTS, "GetObject")),
    Call("stage: unfinished", "pipeline", ours(unfinished_uploads), on("ranklift", "ListBucketMultipartUploads")),
    Call(
        "stage: dataset",
        "pipeline",
        ours(lambda store: store.get("datasets/V0/train")),
        on("ranklift/datasets/V0/train", "GetObject"),
    ),
    Call(
        "stage: checkpoint",
        "pipeline",
        ours(checkpoint),
        _LIST + on(_CHECKPOINT, "PutObject", "GetObject", "DeleteObject"),
    ),
)
_WRITES = (
    ("predictor", "ranklift/models/V0/model"),
    ("predictor", "ranklift/indexes/V0/vectors"),
    ("predictor", "ranklift/champion.json"),
    ("kubeflow", "ranklift/models/V0/model"),
    ("kubeflow", "ranklift/champion.json"),
    ("kubeflow", "ranklift/training/0123/a"),
    ("pipeline", "mlpipeline/pipelines/b"),
)
_READS = (
    ("predictor", "ranklift/champion.json"),
    ("predictor", "ranklift/datasets/V0/train"),
    ("predictor", "ranklift/training/0123/a"),
    ("predictor", "mlpipeline/pipelines/a"),
    ("kubeflow", "ranklift/models/V0/model"),
    ("kubeflow", "ranklift/champion.json"),
    ("pipeline", "mlpipeline/pipelines/a"),
)
_REMOVALS = (("predictor", "ranklift/models/V0/model"), ("kubeflow", "ranklift/models/V0/model"))
REFUSED = (
    *(Call(f"{user}: write {key}", user, write(key), on(key, "PutObject")) for user, key in _WRITES),
    *(Call(f"{user}: read {key}", user, read(key), on(key, "GetObject")) for user, key in _READS),
    *(Call(f"{user}: remove {key}", user, remove(key), on(key, "DeleteObject")) for user, key in _REMOVALS),
    Call("predictor: head mlpipeline", "predictor", head("mlpipeline"), on("mlpipeline", "ListBucket")),
)
#: SeaweedFS has no right to remove apart from the right to write.
REFUSED_BY_POLICIES = tuple(
    Call(f"pipeline: remove {key}", "pipeline", remove(key), on(key, "DeleteObject"))
    for key in ("ranklift/models/V0/model", "ranklift/champion.json", "ranklift/datasets/V0/train")
)
