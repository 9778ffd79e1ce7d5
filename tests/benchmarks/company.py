"""Does what else is in a batch change an embedding? The worst cosine of a passage alone and in company.

    python tests/benchmarks/company.py DATASET --exported DIR [DIR …] [--passages 60]

DATASET is a dataset version, whose corpus gives the passages, each cut at a random length. Every one is embedded alone
and with 1 to 15 others, drawn by seed.
"""

import argparse
import json
import random
from pathlib import Path

import numpy as np
import pandas as pd

from components.dataset.manifest import CORPUS
from components.model.encoder import Encoder

_OTHERS = (1, 2, 3, 5, 7, 11, 15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--exported", type=Path, nargs="+", required=True)
    parser.add_argument("--passages", type=int, default=60)
    options = parser.parse_args()
    chooser = random.Random(0)
    corpus = pd.read_parquet(options.dataset / CORPUS)["text"].tolist()
    drawn = chooser.sample(corpus, min(options.passages, len(corpus)))
    passages = [" ".join(text.split()[: chooser.randint(3, 110)]) for text in drawn]
    for directory in options.exported:
        encoder = Encoder.open(directory)
        worst = worst_cosine(encoder, passages)
        print(json.dumps({"precision": encoder.config.precision, "worst_cosine": round(worst, 6)}), flush=True)


def worst_cosine(encoder: Encoder, passages: list[str]) -> float:
    """The smallest cosine between a passage's embedding alone and its embedding in a batch with others."""
    chooser, session, tokens = random.Random(1), encoder.session(), encoder.tokenize(passages)
    worst = 1.0
    for text in tokens:
        alone = session.run([text])[0].copy()
        for count in _OTHERS:
            found = session.run([text, *chooser.sample(tokens, min(count, len(tokens)))])[0]
            worst = min(worst, float(found @ alone / np.linalg.norm(found) / np.linalg.norm(alone)))
    return worst


if __name__ == "__main__":
    main()
