"""Hard negatives: passages that the base model ranks high for a query, and that are not its answer."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from components.train.examples.triplets import Example
from components.train.recipes import MARGIN

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def mine(examples: Sequence[Example], model: "SentenceTransformer", count: int) -> Iterator[Example]:
    """Yield the same examples, those with fewer than `count` negatives filled up with mined ones.

    Candidates are the positives and negatives of all the examples given. A candidate is no negative of a query when it
    is one of its positives, or nearly as similar to it as they are.

    Args:
        examples: among whose passages is mined, too.
        model: the untouched base model, at the length that training has.
        count: negatives that an example should have.
    """
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    poor = [example for example in examples if len(example.negatives) < count]
    if not poor:
        yield from examples
        return
    pairs = {"query": [example.query for example in poor], "positive": [example.positive for example in poor]}
    corpus = list(dict.fromkeys(text for example in examples for text in (example.positive, *example.negatives)))
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):  # progress bars
        mined = mine_hard_negatives(
            Dataset.from_dict(pairs),
            model,
            corpus=corpus,
            relative_margin=MARGIN,
            num_negatives=2 * count,  # some of them an example has already
            batch_size=64,
            verbose=False,
        )
    found: dict[tuple[str, str], list[str]] = {}
    for row in mined:
        found.setdefault((row["query"], row["positive"]), []).append(row["negative"])
    for example in examples:
        fresh = [text for text in found.get((example.query, example.positive), []) if text not in example.negatives]
        missing = max(0, count - len(example.negatives))
        yield example._replace(negatives=(*example.negatives, *fresh[:missing]))
