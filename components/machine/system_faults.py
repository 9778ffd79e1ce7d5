"""What the machine refuses: a full disk, a folder that may not be written. A sentence each, wherever it happens."""

import errno
import re

_REMEDIES = {
    errno.ENOSPC: "free some space, or choose a folder on another disk",
    errno.EDQUOT: "free some space, or choose a folder outside the quota",
    errno.EFBIG: "raise the limit on the size of files (`ulimit -f`)",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "choose another folder, or change its permissions",
    errno.EPERM: "choose another folder, or change its permissions",
    errno.ENOTDIR: "choose another folder: a part of its path is a file",
    errno.EEXIST: "choose another folder: a file has its name",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit on open files (`ulimit -n`)",
    errno.EIO: "check the disk",
}
#: How libraries with their own errors pass on the system's message.
_TOLD = {
    "No space left on device": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "File too large": errno.EFBIG,
    "Read-only file system": errno.EROFS,
    "Permission denied": errno.EACCES,
}
_NAMED = re.compile(r"""["']([^"']+)["']""")


def system_sentence(error: Exception) -> str | None:
    """Return what the machine refused and what to do, as a sentence; None when the error is something else."""
    text = str(error)
    told = next((number for words, number in _TOLD.items() if words in text), None)
    number = error.errno if isinstance(error, OSError) and error.errno in _REMEDIES else told
    if number is None:
        return None
    named = _NAMED.search(text)
    place = getattr(error, "filename", None) or (named[1] if named else "A file")
    reason = next((words for words, told in _TOLD.items() if told == number), getattr(error, "strerror", None) or text)
    return f"{place} cannot be written or read ({reason}); {_REMEDIES[number]}."
