"""`evaluate` beside sentence-transformers' InformationRetrievalEvaluator: same model, same BEIR folder, same run.

    python tests/benchmarks/evaluate.py BEIR_FOLDER [--max-seq-length 64] [--precisions fp32,int8] [--rounds 3]

Every round times one after the other, so that what else runs on the machine weighs on both. It prints NDCG@10 of each,
and how many times faster it is, as median and spread, in time and in CPU time: the latter hardly depends on what else
runs on the machine. `--passages N` takes the first N passages that are not judged, and all that
are, for a quick look: the ratio hardly depends on it, NDCG@10 does.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from components.dataset.evaluation_set import EvaluationSet, open_evaluation_set
from components.evaluate.evaluate import evaluate
from components.export.model import export_model
from components.model.base import PACKAGED_DEFAULT, base_model_directory


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        data = _reduced(open_evaluation_set(options.data), options.passages, Path(scratch) / "data")
        whole = open_evaluation_set(data)
        print(f"{whole.corpus_size:,} passages, {len(whole.queries):,} queries, {options.max_seq_length} tokens")
        runs: dict[str, Callable[[], float]] = {"sentence-transformers fp32": _reference(whole, options)}
        for precision in options.precisions.split(","):
            served = Path(scratch) / precision
            texts = [text for _, text in islice(next(whole.passages(300)), 300)]
            export_model(
                base_model_directory(options.model),
                served,
                texts=texts,
                max_seq_length=options.max_seq_length,
                precision=precision,
            )
            runs[f"ranklift {precision}"] = _ours(served, data, None)
            cache = Path(scratch) / f"cache-{precision}"
            _ours(served, data, cache)()
            runs[f"ranklift {precision}, cached"] = _ours(served, data, cache)
        _compare(runs, options.rounds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a BEIR folder")
    parser.add_argument("--model", default=PACKAGED_DEFAULT)
    parser.add_argument("--max-seq-length", type=int, default=64)
    parser.add_argument("--precisions", default="fp32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--passages", type=int, default=0, help="unjudged passages to keep; 0 for all")
    return parser.parse_args()


def _reference(data: EvaluationSet, options: argparse.Namespace) -> Callable[[], float]:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    model = SentenceTransformer(str(base_model_directory(options.model)), device="cpu")
    model.max_seq_length = options.max_seq_length
    corpus = {name: text for batch in data.passages() for name, text in batch}
    relevant = {query: {name for name, grade in data.qrels[query].items() if grade > 0} for query in data.queries}
    # Its default batch size and cut-offs, and one similarity instead of all four.
    evaluator = InformationRetrievalEvaluator(
        data.queries, corpus, relevant, name="x", write_csv=False, main_score_function="cosine"
    )
    return lambda: float(evaluator(model)["x_cosine_ndcg@10"])


def _ours(served: Path, data: Path, cache: Path | None) -> Callable[[], float]:
    return lambda: evaluate(served, data, cache=cache).headline


def _compare(runs: dict[str, Callable[[], float]], rounds: int) -> None:
    wall: dict[str, list[float]] = {name: [] for name in runs}
    work: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds):
        for name, run in runs.items():
            started, worked = time.perf_counter(), time.process_time()
            ndcg = run()
            wall[name].append(time.perf_counter() - started)
            work[name].append(time.process_time() - worked)
            print(
                f"round {turn + 1}: {name}: NDCG@10 {ndcg:.4f}, {wall[name][-1]:.1f} s, {work[name][-1]:.1f} CPU s",
                flush=True,
            )
    for name in runs:
        print(f"{name}: {_ratio(wall, name)} in time, {_ratio(work, name)} in CPU time")


def _ratio(seconds: dict[str, list[float]], name: str) -> str:
    """How many times faster than the first: median and spread over the rounds."""
    reference = next(iter(seconds.values()))
    ratios = [theirs / ours for theirs, ours in zip(reference, seconds[name], strict=True)]
    return f"{statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"


def _reduced(data: EvaluationSet, keep: int, folder: Path) -> Path:
    """The evaluation set as a plain BEIR folder, with at most `keep` passages that nobody judged."""
    judged = {name for grades in data.qrels.values() for name in grades}
    left = keep or sys.maxsize
    (folder / "qrels").mkdir(parents=True)
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as corpus:
        for name, text in (pair for batch in data.passages() for pair in batch):
            if name not in judged and (left := left - 1) < 0:
                continue
            corpus.write(json.dumps({"_id": name, "text": text}) + "\n")
    queries = [json.dumps({"_id": name, "text": text}) for name, text in data.queries.items()]
    (folder / "queries.jsonl").write_text("\n".join(queries) + "\n", encoding="utf-8")
    rows = [f"{query}\t{name}\t{grade}" for query in data.qrels for name, grade in data.qrels[query].items()]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")
    return folder


if __name__ == "__main__":
    main()
