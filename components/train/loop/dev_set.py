"""What training is steered by: NDCG@10 of the dev queries among passages of the collection, each text encoded once."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator, TripletEvaluator

from components.dataset.manifest import DEV, DEV_CORPUS, TRAIN, Triplet
from components.machine.parquet_file import open_parquet
from components.train.report import DEV_ACCURACY, DEV_NDCG

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_NAME = "dev"

_LEAST, _MOST = 1_000, 4_000  #: texts of a slice
_ROWS = 4096


class DevSlice(NamedTuple):
    """Dev queries with all of their positives, and further passages that make their search as hard as it is."""

    triplets: list[Triplet]  #: a row for each positive of a query
    distractors: list[str]

    @property
    def first_of_each_query(self) -> list[Triplet]:
        """One triplet of each query."""
        return list({triplet.query_id: triplet for triplet in reversed(self.triplets)}.values())[::-1]

    @property
    def texts(self) -> int:
        """How many texts are encoded, at most."""
        return 3 * len(self.triplets) + len(self.distractors)


def dev_slice(dataset: Path, texts: int) -> DevSlice:
    """Return the first dev queries, and passages to search them in: about so many texts in all.

    The passages are those that `prepare` drew of the collection; where a version of an earlier release has none, those
    of the training triplets. The evaluation files are not read: nothing that the gate judges by may steer training.

    Args:
        dataset: a dataset version.
        texts: that may be encoded in one evaluation; at least 1,000 are, when there are as many.
    """
    wanted = min(max(texts, _LEAST), _MOST)
    triplets = list(islice(_triplets(dataset / DEV), wanted // 6))
    return DevSlice(triplets, list(islice(_passages(dataset), max(0, wanted - 3 * len(triplets)))))


def _passages(dataset: Path) -> Iterator[str]:
    path = dataset / DEV_CORPUS
    if not path.is_file():
        for triplet in _triplets(dataset / TRAIN):
            yield from (triplet.positive, triplet.negative)
        return
    with open_parquet(path) as file:
        for batch in file.iter_batches(_ROWS, columns=["text"]):
            yield from batch.column("text").to_pylist()


def _triplets(path: Path) -> Iterator[Triplet]:
    with open_parquet(path) as file:
        for batch in file.iter_batches(_ROWS, columns=list(Triplet._fields)):
            for row in batch.to_pylist():
                yield Triplet(**row)


class DevEvaluator(BaseEvaluator):
    """`TripletEvaluator` and `InformationRetrievalEvaluator` over the same texts, encoded once for both."""

    def __init__(self, part: DevSlice, batch_size: int = 64) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.primary_metric = DEV_NDCG
        first = part.first_of_each_query
        self._triplets = TripletEvaluator(
            anchors=[triplet.query for triplet in first],
            positives=[triplet.positive for triplet in first],
            negatives=[triplet.negative for triplet in first],
            name=_NAME,
            batch_size=batch_size,
            write_csv=False,
        )
        self._retrieval = _retrieval(part, batch_size)

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Measure a model: the share of triplets whose positive is nearer than the negative, and NDCG@10."""
        once: Any = EncodeOnce(model)
        # The library names a measure after the model's similarity; here it has one name for every model.
        accuracy, ranking = self._triplets(once), self._retrieval(once)
        return {
            DEV_ACCURACY: float(accuracy[f"{_NAME}_{model.similarity_fn_name}_accuracy"]),
            DEV_NDCG: float(ranking[f"{_NAME}_{model.similarity_fn_name}_ndcg@10"]),
        }


def _retrieval(part: DevSlice, batch_size: int) -> InformationRetrievalEvaluator:
    passages = dict.fromkeys(text for triplet in part.triplets for text in (triplet.positive, triplet.negative))
    passages |= dict.fromkeys(part.distractors)
    numbers = {text: str(number) for number, text in enumerate(passages)}
    queries: dict[str, Any] = {}
    relevant: dict[str, set[str]] = {}
    for triplet in part.triplets:
        queries[triplet.query_id] = triplet.query
        relevant.setdefault(triplet.query_id, set()).add(numbers[triplet.positive])
    return InformationRetrievalEvaluator(
        queries=queries,
        corpus=dict(zip(numbers.values(), numbers, strict=True)),
        relevant_docs=relevant,
        corpus_chunk_size=_MOST,
        mrr_at_k=[10],
        ndcg_at_k=[10],
        accuracy_at_k=[10],
        precision_recall_at_k=[10],
        map_at_k=[10],
        name=_NAME,
        batch_size=batch_size,
        write_csv=False,
    )


class EncodeOnce:
    """A model that remembers the embeddings of the texts that it was asked for; all else is the model's own."""

    def __init__(self, model: "SentenceTransformer") -> None:
        self._model = model
        self._known: dict[tuple[str, str], NDArray[np.float32]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode_query(self, texts: Sequence[str], **options: Any) -> Any:
        """As the model's."""
        return self._encode("query", texts, options)

    def encode_document(self, texts: Sequence[str], **options: Any) -> Any:
        """As the model's."""
        return self._encode("document", texts, options)

    def _encode(self, kind: str, texts: Sequence[str], options: dict[str, Any]) -> Any:
        import torch

        missing = [text for text in dict.fromkeys(texts) if (kind, text) not in self._known]
        if missing:
            encode = self._model.encode_query if kind == "query" else self._model.encode_document
            plain = {"batch_size": options.get("batch_size", 64), "show_progress_bar": False}
            found = encode(missing, convert_to_numpy=True, **plain)
            self._known.update(zip(((kind, text) for text in missing), found, strict=True))
        stacked = np.stack([self._known[kind, text] for text in texts])
        return torch.from_numpy(stacked) if options.get("convert_to_tensor") else stacked
