"""A whole cluster in Docker on this machine: `make kind-up`, `make kind-load`, `make kind-down`.

Standard library only, so that it runs before anything is installed. Every call names the cluster's own context: no
other cluster can be touched. All steps may be repeated; one that failed is gone on with by running it again.
"""

import argparse
import os
import re
import secrets
import string
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kind_commands import SetupError, TimeUpError, patient, run, until

MANIFESTS = Path(__file__).resolve().parent
CLUSTER = "ranklift"
CONTEXT = f"kind-{CLUSTER}"
STORE = "ranklift-store"
#: What each file of keys holds: the names, and how long a random value is; None stands for a fixed name.
KEYS: dict[str, dict[str, int | None]] = {
    "root.env": {"MINIO_ROOT_USER": None, "MINIO_ROOT_PASSWORD": 40},
    "kubeflow.env": {"accesskey": 20, "secretkey": 40},
    "pipeline.env": {"AWS_ACCESS_KEY_ID": 20, "AWS_SECRET_ACCESS_KEY": 40},
    "predictor.env": {"AWS_ACCESS_KEY_ID": 20, "AWS_SECRET_ACCESS_KEY": 40},
}
_OLDEST_KIND = (0, 31)
#: What the state of a pod tells, and what to do.
_ADVICE = (
    (r"ErrImagePull|ImagePullBackOff", "An image could not be fetched: check this machine's way to the registry."),
    (r"OOMKilled", "A container ran out of memory: give Docker 14 GB or more."),
    (r"Insufficient (cpu|memory)", "The node is full: give Docker at least 6 CPUs and 14 GB."),
    (r"no space left|disk-pressure|DiskPressure", "The disk is full: `docker system prune` frees what is not used."),
    (r"CrashLoopBackOff|Error", "A container ends again and again: read its log, `kubectl logs --previous`."),
)


class Step(NamedTuple):
    """Something to apply, and what must then come true."""

    title: str
    folder: str | None  #: under manifests/
    namespace: str | None  #: where to look when it does not come true
    conditions: tuple[tuple[str, ...], ...]  #: arguments of `kubectl wait`


def _available(namespace: str) -> tuple[str, ...]:
    return ("--for=condition=Available", "deployment", "--all", "-n", namespace)


def _established(*kinds: str) -> tuple[str, ...]:
    return ("--for=condition=Established", *(f"crd/{kind}" for kind in kinds))


STEPS = (
    Step("metrics server", "overlays/kind/metrics-server", "kube-system", (_available("kube-system"),)),
    Step("cert-manager", "upstream/cert-manager", "cert-manager", (_available("cert-manager"),)),
    Step(
        "Gateway API",
        "upstream/gateway-api",
        None,
        (_established("gateways.gateway.networking.k8s.io", "httproutes.gateway.networking.k8s.io"),),
    ),
    Step("Envoy Gateway", "upstream/envoy-gateway", "envoy-gateway-system", (_available("envoy-gateway-system"),)),
    Step("KServe's kinds", "upstream/kserve-crds", None, (_established("inferenceservices.serving.kserve.io"),)),
    Step("KServe", "overlays/kind/kserve", "kserve", (_available("kserve"),)),
    Step("Kubeflow's kinds", "upstream/pipelines-crds", None, (_established("workflows.argoproj.io"),)),
    Step(
        "object store, roles and policies",
        "overlays/kind",
        STORE,
        (
            ("--for=jsonpath={.status.readyReplicas}=1", "statefulset/object-store", "-n", STORE),
            ("--for=condition=Complete", "job/object-store-setup", "-n", STORE),
        ),
    ),
    Step("Kubeflow Pipelines", "upstream/pipelines", "kubeflow", (_available("kubeflow"),)),
    Step(
        "gateway",
        None,
        "envoy-gateway-system",
        (("--for=condition=Programmed", "gateway/kserve-ingress-gateway", "-n", "kserve"),),
    ),
)


def up(timeout: float) -> None:
    """Make the cluster and all that is on it, or what of it is missing."""
    _check_tools()
    write_keys()
    total = len(STEPS) + 1
    _step(1, total, "cluster", partial(_make_cluster, timeout))
    for number, step in enumerate(STEPS, start=2):
        _step(number, total, step.title, partial(_bring_up, step, timeout))
    print(
        "\nKubeflow Pipelines: http://localhost   predictors: http://ranklift-ranklift.localhost\n"
        "Next: make docker-build kind-load, then submit the pipeline; README.md, 'From a laptop to a cluster'."
    )


def load(tag: str) -> None:
    """Give the cluster the images of this commit, and the predictor's also by the name that its manifest has."""
    listed = run("docker", "image", "ls", "--filter", f"reference=ranklift-*:{tag}", "--format", "{{.Repository}}")
    images = sorted(f"{name}:{tag}" for name in listed.split())
    built = f"ranklift-predictor:{tag}"
    if built not in images:
        raise SetupError(f"There is no image {built}; run `make docker-build` first.")
    if CLUSTER not in run("kind", "get", "clusters").split():
        raise SetupError(f"There is no cluster named {CLUSTER}; run `make kind-up` first.")
    served = served_image((MANIFESTS.parent / "kserve" / "inference-service.yaml").read_text(encoding="utf-8"))
    if served not in images:
        run("docker", "tag", built, served)
        images.append(served)
    for number, image in enumerate(images, start=1):
        give = partial(run, "kind", "load", "docker-image", image, "--name", CLUSTER)
        _step(number, len(images), image, give)


def down() -> None:
    """Remove the cluster and all that is in it; the files of keys stay, for the next one."""
    run("kind", "delete", "cluster", "--name", CLUSTER)
    print(f"The cluster {CLUSTER} is gone, and with it every dataset and model in it.")


def write_keys(folder: Path = MANIFESTS / "secrets") -> list[Path]:
    """Write the files of keys that are missing, with random keys, for their owner's eyes alone; returns those."""
    written = []
    for name, keys in KEYS.items():
        path = folder / name
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            path.chmod(0o600)
            continue
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.writelines(f"{key}={_random(length) if length else 'ranklift'}\n" for key, length in keys.items())
        written.append(path)
    return written


def served_image(manifest: str) -> str:
    """Return the predictor's image in an InferenceService's manifest."""
    found = re.search(r"^\s*image:\s*(ranklift-predictor:\S+)", manifest, re.MULTILINE)
    if found is None:
        raise SetupError("kserve/inference-service.yaml names no image ranklift-predictor:TAG; put it back.")
    return found[1]


def _random(length: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))


def _check_tools() -> None:
    found = re.search(r"v(\d+)\.(\d+)", run("kind", "version"))
    if found is None or (int(found[1]), int(found[2])) < _OLDEST_KIND:
        oldest = ".".join(map(str, _OLDEST_KIND))
        raise SetupError(f"kind {oldest} or newer is needed for the node image; this is {found[0] if found else '?'}.")
    run("kubectl", "version", "--client")
    run("git", "--version")  # kubectl fetches the pinned manifests of Kubeflow with it
    run("docker", "info", "--format", "{{.ServerVersion}}")


def _make_cluster(timeout: float) -> None:
    if CLUSTER not in run("kind", "get", "clusters").split():
        config = str(MANIFESTS.parent / "kind-config.yaml")
        run("kind", "create", "cluster", "--config", config, "--wait", f"{timeout:.0f}s", timeout=timeout + 300)
    _kubectl("get", "nodes")


def _bring_up(step: Step, timeout: float) -> None:
    give_up = time.monotonic() + timeout
    try:
        if step.folder is not None:
            if step.namespace == STORE:  # a job cannot be changed, and may be run again
                _kubectl("delete", "job", "object-store-setup", "-n", STORE, "--ignore-not-found", timeout=timeout)
            until(give_up, partial(_apply, step.folder))
        for condition in step.conditions:
            until(give_up, partial(_wait, condition))
    except TimeUpError as error:
        raise SetupError(f"{step.title} did not come up within {timeout:.0f} s: {error}\n{_why(step)}") from error
    except SetupError as error:
        raise SetupError(f"{step.title} cannot come up: {error}\n{_why(step)}") from error


def _apply(folder: str, left: float) -> None:
    how = ("--server-side", "--force-conflicts", "--field-manager=ranklift")
    with patient(MANIFESTS / folder, left) as kustomization:
        _kubectl("apply", *how, "-k", str(kustomization), timeout=left)


def _wait(condition: tuple[str, ...], left: float) -> None:
    _kubectl("wait", *condition, f"--timeout={left:.0f}s", timeout=left + 10)


def _why(step: Step) -> str:
    """Return what Kubernetes says of a step that failed, and what to do."""
    again = "Then run `make kind-up` again: it goes on where it stopped."
    if step.namespace is None:
        return f"Check this machine's way to github.com. {again}"
    try:
        pods = _kubectl("get", "pods", "-n", step.namespace, "--no-headers")
        events = _kubectl("get", "events", "-n", step.namespace, "--field-selector=type=Warning", "--no-headers")
    except SetupError as error:
        return f"The cluster does not answer ({error}); `make kind-down kind-up` makes a new one."
    waiting = [line for line in pods.splitlines() if not re.search(r"(\d+)/\1\s+Running|Completed", line)]
    shown = "\n".join([*waiting, *events.splitlines()[-5:]])
    advice = next((sentence for pattern, sentence in _ADVICE if re.search(pattern, shown)), None)
    advice = advice or f"Look with `kubectl --context {CONTEXT} -n {step.namespace} describe pods`."
    return f"{shown}\n{advice} {again}"


def _step(number: int, total: int, title: str, work: Callable[[], object]) -> None:
    print(f"[{number:>2}/{total}] {title} …", end="", flush=True)
    started = time.monotonic()
    try:
        work()
    except SetupError:
        print(" failed", flush=True)
        raise
    print(f" ready ({time.monotonic() - started:.0f} s)", flush=True)


def _kubectl(*arguments: str, timeout: float = 60) -> str:
    return run("kubectl", "--context", CONTEXT, *arguments, timeout=timeout)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it is done, 1 with a sentence on standard error when it is not."""
    parser = argparse.ArgumentParser(prog="manifests/kind.py", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    bring = commands.add_parser("up", help="make the cluster, or what of it is missing")
    bring.add_argument("--timeout", type=float, default=900, help="seconds for each step (default: %(default)s)")
    images = commands.add_parser("load", help="give the cluster the images that were built")
    images.add_argument("--tag", required=True, help="the images' tag, such as 3f2c1ab")
    commands.add_parser("down", help="remove the cluster")
    commands.add_parser("secrets", help="write manifests/secrets/*.env with random keys, where they are missing")
    options = parser.parse_args(arguments)
    try:
        if options.command == "up":
            up(options.timeout)
        elif options.command == "load":
            load(options.tag)
        elif options.command == "down":
            down()
        else:
            written = write_keys()
            print("\n".join(map(str, written)) or "Every file of keys is there already.")
    except SetupError as error:
        print(f"manifests/kind.py: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
