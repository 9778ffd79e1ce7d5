"""One query with a known answer: what every version must answer before it counts as deployed."""

import json
import math
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from components.errors import RankliftError
from components.model.served import MODEL_NAME

QUERY = "how to sort a list of numbers"
DOCUMENTS = ["Arrange the elements of a sequence in ascending order.", "The weather in Lisbon is mild."]


class NotAnsweredError(RankliftError):
    """A predictor gave no answer, or an unusable one."""


def check_answer(score: object, index: object, where: str) -> None:
    """Raise a NotAnsweredError unless the answer names one of the documents, with a finite score."""
    if not isinstance(score, float | int) or not math.isfinite(score) or index not in range(len(DOCUMENTS)):
        raise NotAnsweredError(f"{where} gave no usable answer to a smoke query: document {index}, score {score}.")


def check_hits(scores: Any, where: str) -> None:
    """Raise a NotAnsweredError unless a search for the smoke query found a passage, with a finite score."""
    found = [float(score) for score in scores.ravel()]
    if not found or not math.isfinite(found[0]):
        raise NotAnsweredError(f"{where} found no passage for a smoke query: score {found}.")


def ask(url: str, timeout: float, proxies: bool) -> str:
    """Ask a predictor the smoke query; returns the model version that answered.

    Raises:
        NotAnsweredError: when there is no usable answer.
    """
    return version_that_answers(lambda path, document: post(url, path, document, timeout, proxies), url)


def version_that_answers(post_to: Callable[[str, Mapping[str, Any]], Mapping[str, Any]], where: str) -> str:
    """Ask the smoke query on whatever way there is to the predictor; see `ask`."""
    answer = post_to("/find_similar", {"query": QUERY, "documents": DOCUMENTS})
    check_answer(answer.get("score"), answer.get("index"), where)
    return str(answer.get("model_version"))


def index_that_answers(post_to: Callable[[str, Mapping[str, Any]], Mapping[str, Any]], where: str) -> str:
    """Search for the smoke query in the index of a predictor; returns the index version that answered.

    Raises:
        NotAnsweredError: when it serves no index, does not answer, or finds nothing that can be used.
    """
    answer = post_to("/search", {"query": QUERY, "top_k": 3})
    hits = answer.get("hits")
    scores = [hit.get("score") for hit in hits if isinstance(hit, dict)] if isinstance(hits, list) else []
    if not scores or not all(isinstance(score, float | int) and math.isfinite(score) for score in scores):
        raise NotAnsweredError(f"{where} gave no usable answer to a smoke search: {len(scores)} hits with {scores}.")
    return str(answer.get("index_version"))


def post(url: str, path: str, document: Mapping[str, Any], timeout: float, proxies: bool) -> dict[str, Any]:
    """Send a predictor a JSON document on a new connection, with the token that the environment has.

    Args:
        url: the predictor's, http or https.
        path: what is asked.
        document: the body.
        timeout: seconds.
        proxies: whether the environment's proxies are used; not for loopback.

    Raises:
        NotAnsweredError: with the status and what was said.
    """
    place, host = _on_loopback(url)
    headers = {"Content-Type": "application/json", "Host": host}
    token = os.environ.get("RANKLIFT_PREDICTOR_API_TOKEN")
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(place + path, json.dumps(document).encode(), headers)  # noqa: S310 - http(s), checked
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(None if proxies else {}))
    try:
        with opener.open(request, timeout=timeout) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        detail = error.read(2000).decode("utf-8", "replace").strip()
        # A gateway that knows no such host says nothing; ranklift's own answers always say something.
        detail = detail or "nothing more, so a proxy may have answered; ask with the predictor's own host name"
        raise NotAnsweredError(f"{url}{path} answered {error.code}: {detail}.") from error
    except (OSError, ValueError) as error:
        raise NotAnsweredError(f"The predictor at {url} did not answer ({error}).") from error
    if not isinstance(answer, dict):
        raise NotAnsweredError(f"{url}{path} answered something that is not a JSON object.")
    return answer


def is_ready(url: str) -> bool:
    """Whether the predictor at a URL says that its model is ready."""
    try:
        with urllib.request.urlopen(f"{url}/v2/models/{MODEL_NAME}/ready", timeout=5) as response:  # noqa: S310
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _on_loopback(url: str) -> tuple[str, str]:
    """Return the URL to connect to, and the host to ask for.

    A name below ``localhost`` is loopback by RFC 6761, as curl and browsers have it; not every resolver knows.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not (parts.hostname or "").endswith(".localhost"):
        return url, parts.netloc
    return parts._replace(netloc=f"127.0.0.1:{parts.port or 80}").geturl(), parts.netloc
