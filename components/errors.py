"""The one kind of exception that is meant for a person to read."""

import signal

ERROR_PREFIX = "ranklift: error: "  #: before the sentence, in a log and on standard error


class RankliftError(Exception):
    """A problem that the user can fix.

    Its message is one sentence: what is wrong, where, and what to do; with the value that was given and one that would
    work. Commands and stages print it without a traceback and end with `exit_status`.
    """

    exit_status = 2


class DataError(RankliftError):
    """The user's data cannot be used as it is: names the file, and the row and column where there is one."""


class ModelError(RankliftError):
    """A model directory cannot be used: names the directory and what is missing, damaged or unsupported."""


class StoreError(RankliftError):
    """The object store or the registry in it refused, was not reachable, or holds something unexpected."""


class StoppedError(RankliftError):
    """Who runs the stage asked it to stop, and it left things so that the same can be run again.

    Its status is the shell's for the signal, such as 143 for SIGTERM: not that of a mistake.
    """

    def __init__(self, sentence: str, number: signal.Signals = signal.SIGTERM) -> None:
        super().__init__(sentence)
        self.signal = number
        self.exit_status = 128 + number
