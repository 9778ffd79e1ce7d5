"""The number of files that this process may open: each connection is one."""

import resource
from contextlib import suppress

_OTHERS = 256  # the model's files, threads' pipes, gRPC


def allow_connections(connections: int) -> None:
    """Raise the soft limit so that so many connections fit, as far as the hard limit lets it."""
    wanted = connections + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # a sandbox may forbid it: accepting then waits for files to be closed
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
