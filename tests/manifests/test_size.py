"""The size that the README states for kind: what all pods of a run that promotes ask for fits in."""

import re
from collections.abc import Callable, Iterator

from pipeline.settings.file import PipelineSettings
from pipeline.settings.units import cpus
from tests.manifests.policies import containers
from tests.manifests.rendering import PROJECT, Document

#: Requests in CPUs and MiB, summed over the releases that upstream/ names, less what we patch away, and kind's own
#: pods (API server, etcd, controllers, DNS, network); the node's stated size must not depend on fetching them here.
RELEASES = (0.91, 3526)
KIND = (0.95, 290)
PROXY = (0.1, 128)
#: The stages that run at the same time and ask for most; a predictor of each version while one follows the other.
BESIDE = ("train", "champion")
PREDICTORS = 2


def mebibytes(quantity: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()
    return int(number) * {"Mi": 1, "Gi": 1024}[unit]


def requests(documents: list[Document]) -> Iterator[tuple[float, float]]:
    for where, _, container in containers(documents):
        if where.startswith(("Deployment", "StatefulSet", "InferenceService")):
            asked = container["resources"]["requests"]
            yield cpus(asked["cpu"]), mebibytes(asked["memory"])


def test_kinds_stated_size_holds_all_pods_of_a_run_that_promotes(
    rendered: Callable[[str], list[Document]], inference_service: Document
) -> None:
    settings = PipelineSettings.read(PROJECT / "stages.yaml")
    stages = [(cpus(settings.of(stage).cpu), mebibytes(settings.of(stage).memory)) for stage in BESIDE]
    pods = [RELEASES, KIND, PROXY, *requests(rendered("overlays/kind")), *stages]
    pods += PREDICTORS * list(requests([inference_service]))
    stated = re.search(r"Docker with (\d+) CPUs, (\d+) GB", (PROJECT / "docs" / "cluster.md").read_text("utf-8"))
    assert stated is not None
    assert sum(cpu for cpu, _ in pods) <= int(stated[1])
    assert sum(memory for _, memory in pods) * 2**20 <= int(stated[2]) * 1e9
