"""The one kind of exception that is meant for a person to read."""


class RankliftError(Exception):
    """A problem that the user can fix.

    Its message is one sentence: what is wrong, where, and what to do; with the value that was given and one that would
    work. Commands print it without a traceback and end with status 2.
    """


class DataError(RankliftError):
    """The user's data cannot be used as it is: names the file, and the row and column where there is one."""


class ModelError(RankliftError):
    """A model directory cannot be used: names the directory and what is missing, damaged or unsupported."""


class StoreError(RankliftError):
    """The object store or the registry in it refused, was not reachable, or holds something unexpected."""


class StoppedError(RankliftError):
    """Work was asked to stop, and saved where it was; the same again carries on from there."""
