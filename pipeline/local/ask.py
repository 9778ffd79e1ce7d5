"""One real query to the champion, as proof that it serves, and as the `curl` with which to ask it again."""

import json
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from components.dataset.evaluation_set import open_evaluation_set
from components.deploy.settings import HTTP_PORT
from components.deploy.smoke import post
from components.records.scores import ScoreFile
from pipeline.local.champion import current_model
from pipeline.local.predictor import running_predictor

_DOCUMENTS = 3
_CHARACTERS = 200
_ANSWER_WITHIN = 30.0  # seconds


class Asked(NamedTuple):
    """A request to `/find_similar`, and what was answered."""

    request: dict[str, Any]
    answer: dict[str, Any]

    def __str__(self) -> str:
        """Return the command to type, and its answer."""
        return (
            "Serve the champion with `ranklift serve` and ask it:\n\n"
            f"curl http://127.0.0.1:{HTTP_PORT}/find_similar -H 'Content-Type: application/json' "
            f"-d {shlex.quote(json.dumps(self.request, ensure_ascii=False))}\n\n"
            f"{json.dumps(self.answer, ensure_ascii=False)}"
        )


Serve = Callable[[Path, Path], AbstractContextManager[str]]


def ask_champion(home: Path, dataset: Path, scores: ScoreFile, serve: Serve = running_predictor) -> Asked | None:
    """Serve the champion for a moment and ask it a held-out query; None while nothing has been promoted.

    Args:
        home: ranklift's data folder.
        dataset: a dataset version; the query and the documents are of its evaluation set.
        scores: what the champion scored on it.
        serve: serves a model directory for a while, with its log in a file, and gives the server's URL.

    Raises:
        RankliftError: when the predictor does not come up.
    """
    model = current_model(home)
    if model is None:
        return None
    request = example_request(dataset, scores)
    with serve(model, home / "serving" / "ask.log") as url:
        return Asked(request, post(url, "/find_similar", request, _ANSWER_WITHIN, proxies=False))


def example_request(dataset: Path, scores: ScoreFile) -> dict[str, Any]:
    """Return a query that the model answers, the passage that answers it, and a few that do not, shortened to read."""
    evaluation_set = open_evaluation_set(dataset)
    answered = (query_id for query_id in evaluation_set.qrels if scores.first_relevant.get(query_id) == 1)
    query_id = next(answered, next(iter(evaluation_set.qrels)))
    judged = evaluation_set.qrels[query_id]
    relevant = max(judged, key=lambda passage: judged[passage])
    first = next(evaluation_set.passages(_DOCUMENTS + len(judged)))
    others = islice((text for passage, text in first if passage not in judged), _DOCUMENTS - 1)
    answer = evaluation_set.texts([relevant])[relevant]
    documents = [*others, answer]
    return {"query": evaluation_set.queries[query_id], "documents": [text[:_CHARACTERS] for text in documents]}
