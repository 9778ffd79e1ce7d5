"""What a check finds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

from components.errors import RankliftError
from components.kubernetes.errors import KubernetesError

State = Literal["ok", "wrong", "skipped"]
_C = TypeVar("_C")


class Result(NamedTuple):
    """One check's outcome."""

    check: str  #: what was looked at
    state: State
    finding: str  #: what was found; why it was skipped
    fix: str = ""  #: what to do, when it is wrong and the finding does not say so itself


@dataclass(frozen=True)
class Check(Generic[_C]):
    """A small function that looks at one thing, and that thing's name."""

    name: str
    look: Callable[[_C], Result]


def ok(finding: str) -> Result:
    """All is well."""
    return Result("", "ok", finding)


def wrong(finding: str, fix: str = "") -> Result:
    """Something to fix."""
    return Result("", "wrong", finding, fix)


def skipped(why: str) -> Result:
    """Not checked, which is neither well nor wrong."""
    return Result("", "skipped", f"not checked: {why}")


def run_checks(checks: Iterable[Check[_C]], context: _C) -> list[Result]:
    """Run every check; skip a check that lacks a right, and name the missing rule."""
    return [_run(check, context)._replace(check=check.name) for check in checks]


def _run(check: Check[_C], context: _C) -> Result:
    try:
        return check.look(context)
    except KubernetesError as error:
        if error.status == 403:
            return skipped(str(error))
        return wrong(str(error))
    except RankliftError as error:
        return wrong(str(error))
