"""One sentence from whatever pydantic and FastAPI found wrong with a request; never a text of the request itself."""

from collections.abc import Sequence
from typing import Any

from predictor.api.openai import BAD_REQUEST
from predictor.refusal import RefusalError, bad_request, invalid

_PLAIN = {
    "missing": "is missing",
    "string_type": "must be a string",
    "string_unicode": "must be valid Unicode, without lone surrogates",
    "list_type": "must be a list",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}
_UNION_TAGS = {"str", "list[str]", "RerankDocument", "bytes"}


def refusal_for(errors: Sequence[Any]) -> RefusalError:
    """Return the refusal for these faults: 400 for a body that is not JSON or of another API, else 422."""
    sentence = sentence_of(errors)
    return bad_request(sentence) if errors[0]["type"] in {"json_invalid", BAD_REQUEST} else invalid(sentence)


def sentence_of(errors: Sequence[Any]) -> str:
    """Return the first fault, as field and reason."""
    error = errors[0]
    if error["type"] == "json_invalid":
        return f"The request body is not valid JSON: {error.get('ctx', {}).get('error', 'syntax error')}."
    if error["type"] == BAD_REQUEST:
        return f"{error['msg']}."
    where = _field(error["loc"])
    context = error.get("ctx", {})
    if error["type"] == "literal_error":
        return f"{where} must be one of {context['expected']}."
    if error["type"] == "greater_than_equal":
        return f"{where} must be at least {context['ge']}."
    reason = _PLAIN.get(error["type"])
    return f"{where} {reason}." if reason else f"{where} is not valid: {error['msg']}."


def _field(location: Sequence[str | int]) -> str:
    field = ""
    for part in location:
        if part == "body" or (isinstance(part, str) and _is_union_tag(part)):
            continue
        if isinstance(part, int):
            field += f"[{part}]"
        else:
            field += f".{part}" if field else part
    return field or "The request body"


def _is_union_tag(part: str) -> bool:
    return part in _UNION_TAGS or part.startswith(("constrained-", "list["))
