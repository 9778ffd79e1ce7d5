"""What GitHub runs is what anybody can run: actions pinned by commit, steps that are make targets."""

import re
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[1]
FILES = sorted([*(PROJECT / ".github/workflows").glob("*.yaml"), *(PROJECT / ".github/actions").glob("*/action.yml")])
NAMES = [str(file.relative_to(PROJECT)) for file in FILES]
PINNED = re.compile(r"uses: (?P<action>[\w./-]+)@(?P<commit>[0-9a-f]{40}) # (?P<tag>v\d+\.\d+\.\d+)\n")
TARGETS = set(re.findall(r"^([a-z][a-z -]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
TARGETS = {target for names in TARGETS for target in names.split()}


def texts() -> dict[str, str]:
    return {name: file.read_text() for name, file in zip(NAMES, FILES, strict=True)}


@pytest.mark.parametrize("name", NAMES)
def test_actions_are_pinned_by_commit_and_say_their_tag(name):
    text = texts()[name]
    used = [line for line in re.findall(r"uses: .*\n", text) if "uses: ./" not in line]
    assert [line for line in used if not PINNED.fullmatch(line)] == []


def test_an_action_is_pinned_to_the_same_commit_everywhere():
    pins = {
        (found["action"], found["commit"], found["tag"]) for text in texts().values() for found in PINNED.finditer(text)
    }
    actions = [action for action, _, _ in pins]
    assert sorted(actions) == sorted(set(actions))


def steps(name: str) -> list[dict]:
    document = yaml.safe_load(texts()[name])
    jobs = document.get("jobs", {"action": document.get("runs", {})})
    return [step for job in jobs.values() for step in job.get("steps", [])]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_step_makes_is_a_target_of_the_makefile(name):
    lines = [line for step in steps(name) for line in step.get("run", "").splitlines()]
    made = [found[1] for line in lines if (found := re.search(r"\bmake ((?:[a-z-]+ ?)+)", line))]
    assert made
    assert {target for targets in made for target in targets.split()} - TARGETS == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_step_that_is_no_make_target_says_what_it_does(name):
    bare = [step for step in steps(name) if "run" in step and not step["run"].startswith("make ")]
    assert [step["run"] for step in bare if "name" not in step and "id" not in step] == []


@pytest.mark.parametrize("name", [name for name in NAMES if "workflows" in name])
def test_a_workflow_may_only_read_unless_a_job_needs_more(name):
    document = yaml.safe_load(texts()[name])
    assert document["permissions"] == {"contents": "read"}
    writing = [job for job in document["jobs"].values() if "write" in job.get("permissions", {}).values()]
    assert not writing or name.endswith("release.yaml")


@pytest.mark.parametrize("name", [name for name in NAMES if "workflows" in name])
def test_no_expression_is_put_into_a_shell(name):
    """What an event says goes through the environment, where the shell does not parse it."""
    assert [step["run"] for step in steps(name) if "${{" in step.get("run", "")] == []
