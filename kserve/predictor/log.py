"""Log lines as JSON, one object a line: input cannot forge one, and no text of a request is in any."""

import json
import logging
import logging.config
import time
from typing import Any


class JsonFormatter(logging.Formatter):
    """One JSON object with time, level, logger and message, and what a record carries as ``fields``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


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
