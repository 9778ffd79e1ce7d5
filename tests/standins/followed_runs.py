"""Runs as KFP shows them, for the tests that follow one."""

from tests.standins.workflows import WorkflowNodes

BEFORE = ("source", "prepare", "champion", "train", "export", "evaluate", "evaluate-2")


def before_the_gate():
    nodes = WorkflowNodes()
    for task in BEFORE:
        nodes.stage(task)
    return nodes


def held(decision, pipelines):
    nodes = before_the_gate()
    nodes.stage("gate")
    nodes.condition("condition-1", False)
    nodes.condition("condition-2", True)
    nodes.stage("hold", within="(0).root(0).condition-2(0)")
    pipelines.logs[nodes.pod("gate")] = f"10:00:00 {decision.reason}\n10:00:00 {decision.line()}\n"
    return nodes


def promoted(decision, pipelines, *, cached=()):
    nodes = WorkflowNodes()
    for task in (*BEFORE, "gate"):
        nodes.stage(task, cached=task in cached)
    nodes.condition("condition-1", True)
    inside = "(0).root(0).condition-1(0)"
    nodes.stage("promote", within=inside)
    nodes.stage("deploy", within=inside)
    pipelines.logs[nodes.pod("promote", within=inside)] = decision.line()
    pipelines.logs[nodes.pod("deploy", within=inside)] = "10:00:00 deploy: V0 is the first champion; `kubectl apply …\n"
    return nodes
