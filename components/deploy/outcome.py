"""How a deploy ended: which version serves now, and whether that was seen."""

import signal
from typing import NamedTuple

from components.errors import RankliftError, StoppedError


class Deployed(NamedTuple):
    """A deploy that did not fail."""

    version: str  #: in service now, or on its way there
    proven: bool  #: whether this deploy put it there and saw it answer


class NotDeployedError(RankliftError):
    """A deploy that failed; `serves` is the version that was seen to serve afterwards, empty when none was."""

    def __init__(self, sentence: str, serves: str = "") -> None:
        super().__init__(sentence)
        self.serves = serves


class DeployStoppedError(StoppedError):
    """A deploy that a signal ended; `serves` is as in a NotDeployedError."""

    def __init__(self, sentence: str, number: signal.Signals, serves: str = "") -> None:
        super().__init__(sentence, number)
        self.serves = serves
