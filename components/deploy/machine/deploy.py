"""Deploy on one machine: fetch, move the link, have the predictor switch, ask it; go back when any of that fails."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.deploy.machine.folder import (
    PredictorAddress,
    check_history,
    current_link,
    index_directory,
    index_of,
    last_proven,
    one_deploy_at_a_time,
    point_current_at,
    point_index_at,
    record_history,
    record_proven,
    running_predictor,
    serving_directory,
)
from components.deploy.outcome import NotDeployedError
from components.deploy.smoke import (
    DOCUMENTS,
    QUERY,
    ask,
    check_answer,
    check_hits,
    index_that_answers,
    post,
)
from components.errors import RankliftError
from components.model.served import MODEL_NAME, index_beside
from components.registry.registry import Champion, Registry, VersionManifest

_ANSWER_WITHIN = 120.0  # seconds; a switch takes a few


def deploy_local(version: str, registry: Registry, home: Path, *, steps_aside: bool = False) -> str:
    """Put a model version into service on this machine, prove that it answers, and return its name.

    The index that the champion's history names with it comes along, and must answer as well.

    A predictor that `ranklift serve` started switches to it with no failed request; without one, the version is
    opened and asked here. When anything fails, what served before serves again.

    Args:
        version: such as "V3".
        registry: where versions and champion are kept.
        home: ranklift's data folder.
        steps_aside: whether a champion that came after the version stays in service; its name is returned then.

    Raises:
        NotDeployedError: with the reason, after what served before was restored.
        RankliftError: when it could not even begin.
    """
    with one_deploy_at_a_time(home):
        champion = registry.champion()
        check_history(home, champion, registry.place)
        if steps_aside and champion is not None and champion.is_followed(version):
            return champion.version
        expected = champion.manifest_sha256 if champion is not None and champion.version == version else None
        manifest = registry.download("model", version, serving_directory(home) / version, expected)
        index = _fetch_index(version, champion, registry, home)
        before, searched_before = last_proven(home), index_of(home, version)
        point_index_at(home, version, index)
        point_current_at(home, version)
        try:
            _prove(home, manifest)
        except RankliftError as error:
            point_index_at(home, version, searched_before)
            point_current_at(home, before)
            serves, sentence = _reverted(home, before)
            raise NotDeployedError(f"{version} was not deployed: {error} {sentence}", serves) from error
        record_proven(home, version)
        record_history(home, champion, registry.place)
        return version


def _fetch_index(version: str, champion: Champion | None, registry: Registry, home: Path) -> str | None:
    """Fetch the index that the champion's history names with a version; its name, or None where it names none."""
    index = champion.index_of(version) if champion is not None else None
    if champion is None or index is None:
        return None
    is_current = (champion.version, champion.index) == (version, index)
    expected = champion.current.index_manifest_sha256 if is_current else None
    registry.download("index", index, index_directory(home, index), expected)
    return index


def _prove(home: Path, manifest: VersionManifest) -> None:
    """Raise a RankliftError unless what the link points at answers a query, with the digest that was judged."""
    predictor = running_predictor(home)
    if predictor is None:
        _ask_here(current_link(home).resolve(), manifest)
        return
    loaded = _load(predictor)
    if loaded.get("model_digest") != manifest.digest:
        raise RankliftError(
            f"The predictor at {predictor.url} serves {loaded.get('model_version')} after it was told to load "
            f"{manifest.version}; start it with `ranklift serve`, which serves the champion."
        )
    answered = ask(predictor.url, _ANSWER_WITHIN, proxies=False)
    if answered != manifest.version:
        raise RankliftError(f"{predictor.url} answered with {answered}, not {manifest.version}.")
    index = index_of(home, manifest.version)
    if index is not None:
        searched = index_that_answers(lambda path, document: _post(predictor, path, document), predictor.url)
        if searched != index:
            raise RankliftError(f"{predictor.url} searches index {searched}, not {index} of {manifest.version}.")


def _ask_here(directory: Path, manifest: VersionManifest) -> None:
    import numpy as np

    from components.model.encoder import Encoder, comparable

    encoder = Encoder.open(directory)
    if encoder.digest != manifest.digest:
        raise RankliftError(
            f"{directory} has digest {encoder.digest[:12]}…, not that of {manifest.version}; remove it."
        )
    query = comparable(encoder.encode_queries([QUERY]), encoder.config)
    documents = comparable(encoder.encode_documents(DOCUMENTS), encoder.config)
    scores = (documents @ query.T).ravel()
    best = int(np.argmax(scores))
    check_answer(float(scores[best]), best, str(directory))
    if (folder := index_beside(directory)) is not None:
        from components.search.reader import open_index

        check_hits(open_index(folder, encoder.digest).search(query, 1).scores, str(folder))


def _reverted(home: Path, before: str | None) -> tuple[str, str]:
    """Have the predictor serve what it served before; its version, and one sentence that says what serves now."""
    predictor = running_predictor(home)
    if before is None:
        return "", "Nothing was in service before."
    if predictor is None:
        return before, f"{before} stays in service."
    try:
        _load(predictor)
    except RankliftError as error:
        return "", f"{before} was restored, but the predictor did not load it ({error}); restart `ranklift serve`."
    return before, f"{before} serves again."


def _load(predictor: PredictorAddress) -> dict[str, Any]:
    return _post(predictor, f"/v2/repository/models/{MODEL_NAME}/load", {})


def _post(predictor: PredictorAddress, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
    # No proxy, whatever the environment says: this is loopback, or a container beside this one.
    return post(predictor.url, path, document, _ANSWER_WITHIN, proxies=False)
