"""Which model serves now, and how the next one takes its place with no failed request."""

import asyncio
import logging
import time
from pathlib import Path

from components.errors import ModelError, RankliftError
from components.model.served import EncoderConfig
from components.search.version import IndexManifest
from predictor import metrics
from predictor.engine.budgets import Budget
from predictor.engine.index import ServedIndex, index_directory, index_version_of
from predictor.engine.served import Served, version_of
from predictor.refusal import RefusalError, unavailable
from predictor.settings import PredictorSettings

logger = logging.getLogger("ranklift")


class Switchboard:
    """Holds the model that serves. A request takes `current` once and stays with it to its end."""

    def __init__(self, settings: PredictorSettings) -> None:
        self.settings = settings
        self.bodies = Budget(settings.max_buffered_bytes)  #: what the requests of the process hold, on every protocol
        self.draining = False
        self._served: Served | None = None
        self._switching = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here."""
        return self._served is not None and not self.draining

    @property
    def loaded(self) -> bool:
        """Whether a request that does arrive can be answered."""
        return self._served is not None

    @property
    def served(self) -> Served | None:
        """The model that serves; None before the first one is warm."""
        return self._served

    @property
    def current(self) -> Served:
        """The model that serves.

        Raises:
            RefusalError: 503 before the first one is warm.
        """
        if self._served is None:
            raise unavailable("The model is not loaded yet; try again.")
        return self._served

    async def switch(self) -> bool:
        """Serve what the model directory holds now; False when that is what serves already.

        The new model is loaded and warmed beside the old one, then takes over at once; requests that the old one
        accepted end on it.

        Raises:
            RankliftError: when the directory holds no whole model; what served keeps serving.
        """
        async with self._switching:
            directory = self.settings.model_dir.resolve()
            try:
                if self._is_current(directory):
                    metrics.SWITCHES.labels("unchanged").inc()
                    return False
                served = await Served.open(directory, self.settings)
            except RankliftError:
                metrics.SWITCHES.labels("refused").inc()
                raise
            before, self._served = self._served, served
        metrics.SWITCHES.labels("switched").inc()
        metrics.CACHE_BYTES.set(0)
        metrics.CACHE_ENTRIES.set(0)
        metrics.MODEL.info(_describe(served))
        metrics.INDEX.info(_describe_index(served.index))
        logger.info("serving model %s (%s)%s", served.version, served.digest[:12], _with_index(served.index))
        if before is not None:
            task = asyncio.create_task(before.close())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        return True

    async def close(self, within: float) -> None:
        """Answer what waits on every model, for so many seconds at most, then stop."""
        end = time.monotonic() + within
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=within)
        if self._served is not None:
            await self._served.close(max(0.0, end - time.monotonic()))

    def _is_current(self, directory: Path) -> bool:
        if self._served is None:
            return False
        config = EncoderConfig.of(directory)
        version = self.settings.model_version or version_of(directory, config.digest)
        is_same_model = config.digest == self._served.digest and version == self._served.version
        return is_same_model and self._has_same_index(directory)

    def _has_same_index(self, directory: Path) -> bool:
        served = self._served.index if self._served is not None else None
        place = index_directory(directory, self.settings)
        if served is None or place is None:
            return served is None and place is None
        manifest = IndexManifest.of(place)
        version = index_version_of(place, manifest, self.settings)
        return (manifest.digest, version) == (served.digest, served.version)


def refusal_of(error: RankliftError) -> RefusalError:
    """How a switch that was refused is answered: the request was right, the directory is not."""
    if isinstance(error, ModelError):
        return RefusalError(409, str(error))
    return RefusalError(409, f"The model directory cannot be served: {error}")


def _describe(served: Served) -> dict[str, str]:
    config = served.config
    return {
        "version": served.version,
        "digest": served.digest,
        "base_model": config.base_model,
        "precision": config.precision,
        "max_seq_length": str(config.max_seq_length),
    }


def _describe_index(index: ServedIndex | None) -> dict[str, str]:
    if index is None:
        return {}
    return {"version": index.version, "digest": index.digest, "passages": str(index.manifest.count)}


def _with_index(index: ServedIndex | None) -> str:
    if index is None:
        return ""
    return f" with index {index.version} ({index.digest[:12]}) of {index.manifest.count} passages"
