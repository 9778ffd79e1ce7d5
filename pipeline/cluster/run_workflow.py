"""What Argo's workflow of a run says about each stage: its state, its pods, why it waits or failed, and its times."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pipeline.cluster.workflow_nodes import Node, nodes_of

State = Literal["pending", "running", "succeeded", "cached", "failed"]

_RETRY = re.compile(r"\(\d+\)")  # which attempt of a node it is, in its name
_ROUND = re.compile(r"\.iteration-iterations\((\d+):")  # which round of a loop it is in
_EXIT = re.compile(r"^(?:main|wait|init): (\w+) \(exit code (\d+)\)(?:: )?")
_STARTING = {"", "ContainerCreating", "PodInitializing"}  # says nothing about why


class Attempt(NamedTuple):
    """One pod of a stage."""

    pod: str
    phase: str  #: in Argo's words: Pending, Running, Succeeded, Failed or Error
    message: str
    began: float  #: seconds since 1970
    ended: float  #: 0 while it goes on


class StageState(NamedTuple):
    """One stage as it is now."""

    stage: str
    state: State
    reason: str = ""  #: why it waits or failed, in the words of who knows
    attempts: tuple[Attempt, ...] = ()  #: its pods, the first one first
    driver: float | None = None  #: seconds of KFP's pod that goes before it
    seconds: float = 0.0  #: from the driver's start to the end

    @property
    def waits_for(self) -> str:
        """The pod whose reason to wait Argo does not know; empty where it does."""
        return self.attempts[-1].pod if self.attempts and self.reason in _STARTING else ""


class _Nodes(NamedTuple):
    """The nodes of one stage."""

    layers: list[Node]
    drivers: list[Node]
    pods: list[Node]


def stages_of(workflow: Mapping[str, Any], tasks: Mapping[str, str]) -> list[StageState]:
    """Every stage that has begun, in the order in which they did.

    Args:
        workflow: as Kubernetes has it, or as KFP keeps it.
        tasks: the names under which KFP may report a stage → what it is called here.
    """
    nodes = nodes_of(workflow)
    found = [
        (f"{tasks[key]} {number}".strip(), own)
        for key in tasks
        for number, own in _rounds([node for node in nodes if _is_of(node, key)], key)
    ]
    begun = [(stage, own) for stage, own in found if own.drivers or own.pods]
    begun.sort(key=lambda item: min(_moment(node, "startedAt") for node in (*item[1].drivers, *item[1].pods)))
    states = [_state(workflow, stage, own) for stage, own in begun]
    return [state for state in states if state is not None]


def last_message(workflow: Mapping[str, Any]) -> str:
    """Return the message of the pod that failed last, of a stage or of KFP; else the workflow's message."""
    status = workflow.get("status") or {}
    failed = [node for node in nodes_of(workflow) if node.get("phase") in {"Failed", "Error"}]
    pods = sorted((node for node in failed if node.get("type") == "Pod"), key=lambda node: _moment(node, "finishedAt"))
    said = [_told("", _message(node)) for node in pods]
    return next(filter(None, reversed(said)), _message(status))


def _rounds(nodes: Sequence[Node], key: str) -> Iterator[tuple[str, _Nodes]]:
    """Yield the nodes of a stage; those of a stage in a loop round by round, with the round's number from 1."""
    rounds: dict[str, list[Node]] = {}
    for node in nodes:
        inside = _ROUND.search(str(node["name"]))
        rounds.setdefault(str(int(inside[1]) + 1) if inside else "", []).append(node)
    for number, own in rounds.items():
        yield number, _nodes(own, key)


def _path(node: Node) -> list[str]:
    return _RETRY.sub("", str(node.get("name") or "")).split(".")


def _is_of(node: Node, key: str) -> bool:
    path = _path(node)
    return path[-1] in {key, f"{key}-driver"} or path[-2:] == [key, "executor"]


def _nodes(nodes: Iterable[Node], key: str) -> _Nodes:
    own = _Nodes([], [], [])
    for node in nodes:
        last = _path(node)[-1]
        if last == key:
            own.layers.append(node)
        elif node.get("type") == "Pod" and last == f"{key}-driver":
            own.drivers.append(node)
        elif node.get("type") == "Pod" and last == "executor":
            own.pods.append(node)
    for group in own:
        group.sort(key=lambda node: (_moment(node, "startedAt"), len(str(node["name"]))))
    return own


def _state(workflow: Mapping[str, Any], stage: str, own: _Nodes) -> StageState | None:
    said = {item["name"]: item.get("value") for driver in own.drivers for item in _parameters(driver)}
    if said.get("condition") == "false":
        return None
    attempts = tuple(_attempt(workflow, node) for node in own.pods)
    drivers = [_attempt(workflow, node) for node in own.drivers]
    state, reason = _outcome(own, attempts, drivers, cached=said.get("cached-decision") == "true")
    first = (drivers or list(attempts))[0]
    ended = max(item.ended for item in (*drivers, *attempts))
    return StageState(
        stage=stage,
        state=state,
        reason=_told(stage, reason) if state == "failed" else reason,
        attempts=attempts or tuple(drivers),
        driver=max(0.0, drivers[-1].ended - drivers[-1].began) if drivers and drivers[-1].ended else None,
        seconds=max(0.0, ended - first.began) if ended else 0.0,
    )


def _outcome(own: _Nodes, attempts: tuple[Attempt, ...], drivers: list[Attempt], *, cached: bool) -> tuple[State, str]:
    """Return the stage's state, and the message of the pod that decides it."""
    last = attempts[-1] if attempts else drivers[-1]
    outer = str(own.layers[0].get("phase")) if own.layers else ""
    if outer in {"Failed", "Error"} or (not attempts and last.phase in {"Failed", "Error"}):
        return "failed", last.message or str(own.layers[0].get("message") or "" if own.layers else "")
    if cached and not attempts:
        return "cached", ""
    if outer == "Succeeded":
        return "succeeded", ""
    return ("pending", last.message) if last.phase == "Pending" else ("running", "")


def _attempt(workflow: Mapping[str, Any], node: Node) -> Attempt:
    return Attempt(
        pod=pod_name(workflow, node),
        phase=str(node.get("phase") or ""),
        message=_message(node),
        began=_moment(node, "startedAt"),
        ended=_moment(node, "finishedAt"),
    )


def pod_name(workflow: Mapping[str, Any], node: Node) -> str:
    """Return the name of a node's pod, as Argo makes it from the workflow's, the template's and the node's."""
    meta, identity = workflow.get("metadata") or {}, str(node.get("id") or "")
    name, template = str(meta.get("name") or ""), str(node.get("templateName") or "")
    is_old = (meta.get("annotations") or {}).get("workflows.argoproj.io/pod-name-format") == "v1"
    if is_old or not template or not identity.startswith(f"{name}-"):
        return identity
    return f"{name}-{template}{identity.removeprefix(name)}"


def _told(stage: str, message: str) -> str:
    """Return what a person is told of a pod that failed: the stage's own sentence where the pod's status has one."""
    found = _EXIT.match(message)
    if found is None:
        return message
    said = message[found.end() :].removeprefix(f"{stage.partition(' ')[0]}: ")
    if found[1] == "OOMKilled":
        return "It ran out of memory (OOMKilled); give the stage more `memory` in the settings file."
    return said


def _message(node: Node) -> str:
    return " ".join(str(node.get("message") or "").split())


def _parameters(node: Node) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (node.get("outputs") or {}).get("parameters") or []
    return found


def _moment(node: Node, field: str) -> float:
    text = node.get(field)
    return datetime.fromisoformat(text).timestamp() if text else 0.0
