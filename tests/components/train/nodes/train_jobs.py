"""How tests train on several nodes."""

from components.train.nodes.settings import TrainJobSettings
from tests.components.train.conftest import QUICK

TWO_NODES = QUICK.model_copy(update={"num_nodes": 2})
SETTINGS = TrainJobSettings(
    image="registry.example.com/ranklift-train:1",
    secret="ranklift-object-store",
    keys={"key-id": "AWS_ACCESS_KEY_ID", "key": "AWS_SECRET_ACCESS_KEY"},
    namespace="kubeflow",
)


def removed(cluster, store):
    """Whether no TrainJob and nothing that was handed over for one is left."""
    return not cluster.select("trainjobs", "") and not store.list()
