"""Log lines as JSON, one object a line: input cannot forge one, and no text of a request is in any."""

import json
import logging
import logging.config
import time
import traceback
from typing import Any

_MOST_EXCEPTIONS = 10


class JsonFormatter(logging.Formatter):
    """One JSON object with time, level, logger and message, and what a record carries as ``fields``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            line["traceback"] = _without_messages(record.exc_info[1])
        return json.dumps(line)


def _without_messages(error: BaseException) -> str:
    """Where an exception came from, with its causes: kinds and places.

    Not the messages: an exception may quote the text that it could not digest, and whose it is nobody can tell.
    """
    parts: list[str] = []
    follows: BaseException | None = error
    while follows is not None and len(parts) < _MOST_EXCEPTIONS:
        parts.append(f"{type(follows).__name__}\n{''.join(traceback.format_tb(follows.__traceback__))}")
        follows = follows.__cause__ or follows.__context__
    return "\nafter ".join(parts)


def configure(level: str = "INFO") -> None:
    """Log to standard error; kserve and uvicorn only from warnings up."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"handlers": ["stderr"], "level": "WARNING"},
            "loggers": {
                "ranklift": {"level": level},
                "kserve": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
            },
        }
    )
