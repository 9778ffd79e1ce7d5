"""Log lines: one JSON object each, whatever is logged, and no text of a request in any."""

import json
import logging
import sys

import pytest

from predictor.log import JsonFormatter

TEXT = "tangerine-zeppelin"


def digest(text):
    try:
        text.encode("ascii").decode("utf-16")
    except UnicodeError as error:
        raise ValueError(f"cannot digest {text!r}") from error


def line_of(message, *arguments, exc_info=None, **fields):
    record = logging.LogRecord("ranklift", logging.ERROR, __file__, 1, message, arguments, exc_info)
    record.fields = fields
    return JsonFormatter().format(record)


@pytest.mark.parametrize("forged", ["x\n{}", 'x", "level": "INFO', "\u2028{}", "\r\n\x00\x1b[2J"], ids=repr)
def test_what_is_logged_cannot_make_a_line_or_a_field(forged):
    line = line_of("request %s", forged, request_id=forged)
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line).keys() == {"time", "level", "logger", "message", "request_id"}
    assert json.loads(line)["level"] == "ERROR"


def test_a_traceback_says_what_and_where_and_never_the_text():
    try:
        digest(TEXT + "x")
    except ValueError:
        line = line_of("request %s failed", "1", exc_info=sys.exc_info())
    assert TEXT not in line
    told = json.loads(line)["traceback"]
    assert told.startswith("ValueError\n")
    assert "after UnicodeDecodeError" in told
    assert "in digest" in told
