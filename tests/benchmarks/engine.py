"""What the engine does alone, without HTTP, JSON, queue or cache: the ceiling of a server around it.

    python tests/benchmarks/engine.py --exported DIR [--rounds 3] [--seconds 2]

The texts of requests (a query and 10 documents) are tokenised beforehand and grouped by length, passages with passages
and queries with queries; as many threads as there are CPUs infer group after group. Run as a program it tells the
share of the machine's matrix product that this is, and what it is at several shapes of batches.
"""

import argparse
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np

from components.machine.processor import available_cpus
from components.model.encoder import Encoder, Session, Tokens, group_by_length

sys.path.insert(0, str(Path(__file__).parent))

from load import Result
from machine import gemm_gflops, processor
from questions import questions
from rounds import spread

_REQUESTS = 64  # whose texts are grouped: as many as wait at full load, and more
#: Floating point operations of a token in the products of MiniLM-L6's six layers; attention is left out.
FLOP_PER_TOKEN = 2 * 12 * 384 * 384 * 6
_SHAPES = ((1, 16), (1, 64), (4, 64), (8, 64), (16, 64), (16, 56), (8, 128), (32, 64))


class Engine:
    """An exported model, and sessions for as many threads as the predictor would use."""

    def __init__(self, exported: str) -> None:
        self._threads = available_cpus()
        self._encoder = Encoder.open(Path(exported), threads=self._threads)
        self._sessions = [self._encoder.session() for _ in range(self._threads)]
        for session in self._sessions:
            session.run(self._encoder.tokenize(["warm up"]))

    def requests(self, documents: int, seconds: float) -> Result:
        """Infer the texts of requests that were never seen before; latencies are left out."""
        make = questions(documents, False, "engine")
        texts = [text for question in (make() for _ in range(_REQUESTS)) for text in _texts(question)]
        tokens = self._encoder.tokenize(texts)
        lengths = np.array([len(item.ids) for item in tokens])
        groups = []
        for alike in (lengths <= np.median(lengths) / 2, lengths > np.median(lengths) / 2):
            (chosen,) = np.nonzero(alike)
            groups += [[tokens[chosen[place]] for place in group] for group in group_by_length(lengths[chosen], 1024)]
        result = self._run(groups, seconds)
        result.requests //= documents + 1
        return result

    def shape(self, texts: int, length: int, seconds: float) -> Result:
        """Infer batches of one shape; what is counted are tokens."""
        one = Tokens(np.full(length, 2000, dtype=np.int32), np.zeros(length, dtype=np.int8), False)
        result = self._run([[one] * texts], seconds)
        result.requests *= length
        return result

    def _run(self, groups: list[list[Tokens]], seconds: float) -> Result:
        for session in self._sessions:
            for group in groups:
                session.run(group)
        done = [0] * self._threads
        begun, used = time.perf_counter(), time.process_time()

        def work(number: int, session: Session) -> None:
            place = number
            while time.perf_counter() - begun < seconds:
                group = groups[place % len(groups)]
                session.run(group)
                done[number] += len(group)
                place += 1

        threads = [threading.Thread(target=work, args=pair) for pair in enumerate(self._sessions)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        result = Result(sum(done), 0, time.perf_counter() - begun, [])
        result.cpu = time.process_time() - used
        return result


def _texts(question: dict[str, object]) -> list[str]:
    documents = question["documents"]
    return [str(question["query"]), *map(str, documents if isinstance(documents, list) else ())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exported", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    engine = Engine(options.exported)
    precision = json.loads((Path(options.exported) / "encoder.json").read_text())["precision"]
    rates: dict[str, list[float]] = {f"{texts} x {length}": [] for texts, length in _SHAPES}
    shares: dict[str, list[float]] = {name: [] for name in rates}
    for _ in range(options.rounds):
        # torch has no int8 product to compare with: an int8 model may reach more than all of fp32's.
        gemm = gemm_gflops(precision == "bf16", 1, time.process_time)  # one thread spins for no other
        for (texts, length), name in zip(_SHAPES, rates, strict=True):
            rates[name].append(engine.shape(texts, length, options.seconds).per_cpu_second)
            shares[name].append(rates[name][-1] * FLOP_PER_TOKEN / 1e9 / gemm)
    print(f"{processor()}, {available_cpus()} CPUs, {precision}; by texts x tokens of a batch:")
    for name, of in rates.items():
        tokens, share = spread(of)["median"], spread(shares[name])
        print(f"  {name}: {tokens:.0f} tokens a CPU second, share of the matrix product {share}")


if __name__ == "__main__":
    main()
