"""``python -m components.train.nodes.node DIGEST``: one node of a TrainJob.

Kubeflow Trainer says which node it is, in the variables that torchrun reads. The node fetches the inputs from the
object store, trains together with the others, and the first node puts the model back there.
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from components.errors import ERROR_PREFIX, RankliftError, StoppedError
from components.machine.garbage import spare_collections
from components.object_store.client import ObjectStore
from components.object_store.settings import ObjectStoreSettings
from components.train.nodes.handover import BASE_MODEL, DATASET, Handover
from components.train.processes.job import Job
from components.train.processes.launch import Nodes, process_count, train_together


def run_node(handover: Handover, environment: Mapping[str, str]) -> None:
    """Do the part of one node.

    Raises:
        RankliftError: with what went wrong; the handover says it too.
    """
    nodes = _nodes(environment)
    with tempfile.TemporaryDirectory(prefix="ranklift-node-") as scratch:
        folder = Path(scratch)
        options = handover.receive_inputs(folder)
        if (folder / BASE_MODEL).is_dir():
            options = options.model_copy(update={"base_model": str(folder / BASE_MODEL)})
        if not options.processes:
            options = options.model_copy(update={"processes": process_count(0)})
        train_together(Job(dataset=folder / DATASET, output=folder / "model", options=options), nodes)
        if nodes.rank == 0:
            handover.send_model(folder / "model")


def _nodes(environment: Mapping[str, str]) -> Nodes:
    names = ("PET_NNODES", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT")
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise RankliftError(
            f"{missing[0]} is not set, through which Kubeflow Trainer tells a node about the others; the TrainJob must "
            "name a runtime of the kind torch, such as torch-distributed."
        )
    count, rank, address, port = (environment[name] for name in names)
    return Nodes(int(count), int(rank), address, int(port))


def main(digest: str) -> int:
    """Run the node that the environment describes; returns the exit status."""
    spare_collections()
    settings = ObjectStoreSettings.from_environment()
    if settings is None:
        print(f"{ERROR_PREFIX}RANKLIFT_S3_ENDPOINT is not set: the node has nothing to read.", file=sys.stderr)
        return 2
    handover = Handover(ObjectStore(settings), digest)
    try:
        run_node(handover, os.environ)
    except StoppedError as stopped:
        print(f"{ERROR_PREFIX}{stopped}", file=sys.stderr, flush=True)
        return stopped.exit_status
    except RankliftError as error:
        print(f"{ERROR_PREFIX}{error}", file=sys.stderr, flush=True)
        handover.report_failure(int(os.environ.get("PET_NODE_RANK", "0")), error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
