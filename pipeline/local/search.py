"""Ask the champion's index: its running predictor where there is one, else the index itself, opened here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.deploy.machine.folder import index_of, running_predictor
from components.deploy.smoke import post
from components.errors import RankliftError
from components.model.served import index_beside
from pipeline.local.champion import champion_model

_WITHIN = 60.0  # seconds


class Search(NamedTuple):
    """What is searched for."""

    query: str
    top_k: int = 10
    ids: Sequence[str] = ()  #: the only passages that may be found; all when empty


def search_champion(home: Path, wanted: Search) -> dict[str, Any]:
    """Return the passages that are nearest to a query, as `POST /search` answers.

    Args:
        home: ranklift's data folder.
        wanted: the search.

    Raises:
        RankliftError: when nothing was promoted, the champion has no index, or the predictor does not answer.
    """
    predictor = running_predictor(home)
    if predictor is not None:
        return search_at(predictor.url, wanted, proxies=False)
    model = champion_model(home).resolve()
    folder = index_beside(model)
    if folder is None:
        raise RankliftError(
            f"The champion {model.name} has no index, so there is nothing to search; "
            "`ranklift run --data URI --index-corpus URI` makes one."
        )
    return _search_here(model, folder, index_of(home, model.name) or folder.name, wanted)


def search_at(url: str, wanted: Search, *, proxies: bool = True) -> dict[str, Any]:
    """Ask the predictor at a URL.

    Raises:
        NotAnsweredError: with what it said.
    """
    body: dict[str, Any] = {"query": wanted.query, "top_k": wanted.top_k}
    if wanted.ids:
        body["ids"] = list(wanted.ids)
    return post(url.rstrip("/"), "/search", body, _WITHIN, proxies)


def _search_here(model: Path, folder: Path, version: str, wanted: Search) -> dict[str, Any]:
    from components.model.encoder import Encoder, comparable
    from components.search.reader import NOTHING, open_index

    encoder = Encoder.open(model)
    index = open_index(folder, encoder.digest)
    vectors = comparable(encoder.encode_queries([wanted.query]), encoder.config)
    among = index.positions(wanted.ids) if wanted.ids else None
    found = index.search(vectors, min(wanted.top_k, len(index)), among)
    positions, scores = found.positions[0], found.scores[0]
    kept = positions[positions != NOTHING]
    texts: Sequence[str | None] = index.texts(kept) or [None] * len(kept)
    rows = zip(index.ids(kept), scores[: len(kept)].tolist(), texts, strict=True)
    return {
        "hits": [{"id": name, "score": score, "text": text} for name, score, text in rows],
        "model_version": model.name,
        "model_digest": encoder.digest,
        "index_version": version,
        "index_digest": index.manifest.digest,
    }
