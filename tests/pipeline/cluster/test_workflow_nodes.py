"""The nodes of a workflow, which Argo compresses once they are many."""

from pipeline.cluster.workflow_nodes import nodes_of
from tests.standins.followed_runs import before_the_gate


def test_nodes_of_a_compressed_workflow_are_those_in_the_open():
    nodes = before_the_gate()
    found = nodes_of(nodes.compressed())
    assert found == nodes_of(nodes.workflow())
    assert len(found) == len(nodes.nodes)


def test_nodes_of_a_workflow_that_has_not_begun_are_none():
    assert nodes_of({}) == nodes_of({"status": None}) == []
