"""Recipes: how to train, by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from components.errors import RankliftError

Measure = Literal["accuracy", "ndcg@10"]
Direction = Literal["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]

#: What must be less similar than query and positive, within a batch: all of it costs no text more. The improved
#: contrastive loss of Li et al. 2023, "Towards general text embeddings" (arXiv:2308.03281).
ALL_DIRECTIONS: tuple[Direction, ...] = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")

#: What training changes is learned from the beginnings of texts as well, in a part of the time: "BERT" (Devlin et al.
#: 2019, arXiv:1810.04805) is trained on 128 of its 512 tokens for nine tenths of the steps, all-MiniLM-L6-v2 on 128.
#: In the same time 64 gave more NDCG@10 than 128, on held-out training queries of SciFact and the demo data.
TRAINING_LENGTH = 64

#: A mined passage must be at least this much less similar to the query than its positive, as a share of the positive's
#: similarity. What is as near as the answer may be one: Moreira et al. 2024, "NV-Retriever" (arXiv:2407.15831).
MARGIN = 0.05
CHUNK = 20_000  #: examples in a chunk; hard negatives are mined among the passages of one chunk


class Recipe(NamedTuple):
    """Everything that a recipe decides; epochs, batch size and learning rate can be set to something else.

    What the numbers rest on is in ``tests/benchmarks/recipes.py``.
    """

    name: str
    description: str
    all_triplets: bool  #: or the first of every query alone
    negatives: int  #: hard negatives beside every pair of query and positive
    mined: bool  #: whether those that the data does not bring are mined with the base model
    directions: tuple[Direction, ...]  #: what is contrasted in a batch, as MultipleNegativesRankingLoss names it
    length: int  #: tokens at which texts are cut in training, at most; 0: where the model will cut them
    batch_size: int  #: pairs in a batch
    epochs: float
    learning_rate: float
    warmup_ratio: float  #: share of the steps in which the learning rate rises to its peak
    dropout: bool  #: as the base model has it, or none
    frozen: float  #: share of the layers, counted from the embeddings, that keep the base model's weights
    measure: Measure  #: on dev, by which the best checkpoint is chosen
    evaluations: int  #: how often dev is measured
    patience: int  #: evaluations without a gain after which training stops; 0: it never does
    averaging: tuple[float, ...]  #: shares of the fine-tuned weights, tried in a mean with the base model's

    def length_for(self, max_seq_length: int) -> int:
        """Tokens at which texts are cut in training, for a model that reads so many when it serves."""
        return min(self.length or max_seq_length, max_seq_length)


SEED = Recipe(
    name="seed",
    description="one triplet per query, MultipleNegativesRankingLoss, the best checkpoint by NDCG@10 on dev",
    all_triplets=False,
    negatives=1,
    mined=False,
    directions=("query_to_doc",),
    length=0,
    batch_size=32,
    epochs=1.0,
    learning_rate=5e-5,
    warmup_ratio=0.1,
    dropout=True,
    frozen=0.0,
    measure="ndcg@10",
    evaluations=2,
    patience=0,
    averaging=(),
)

STRONG = Recipe(
    name="strong",
    description="all triplets, all directions of a batch, upper layers alone, the best by NDCG@10, weight averaging",
    all_triplets=True,
    negatives=1,
    mined=False,
    directions=ALL_DIRECTIONS,
    length=TRAINING_LENGTH,
    batch_size=16,
    epochs=2.0,
    learning_rate=1e-4,
    warmup_ratio=0.1,
    dropout=False,
    frozen=0.5,
    measure="ndcg@10",
    evaluations=3,
    patience=2,
    averaging=(0.7,),
)

MINED = STRONG._replace(
    name="mined",
    description="strong, with three hard negatives for each query and positive, mined where the data has fewer",
    negatives=3,
    mined=True,
)

#: Half of what training changed is kept: with 60 judged queries of Cranfield that gave +0.017 NDCG@10 (standard
#: error 0.007) on 165 others, where the trained weights alone gave +0.014 (0.010): as much, with less of a spread.
LITTLE = STRONG._replace(
    name="little",
    description="for few judged queries: strong, averaged half and half with the base model's weights",
    averaging=(0.5,),
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in (SEED, STRONG, MINED, LITTLE)})


def recipe_named(name: str) -> Recipe:
    """Return the recipe of a name.

    Raises:
        RankliftError: when there is none.
    """
    if name not in RECIPES:
        raise RankliftError(f"There is no recipe {name!r}; the recipes are {', '.join(RECIPES)}.")
    return RECIPES[name]
