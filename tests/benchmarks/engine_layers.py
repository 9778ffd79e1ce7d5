"""Where the engine's time goes: the matrix products, and everything between them.

    python tests/benchmarks/engine_layers.py --exported DIR [--texts 16] [--tokens 56] [--runs 60] [--hint f32]

One stream infers one batch again and again. OpenVINO times every node on the wall clock, which whatever else runs
disturbs for all of them alike: its times give the shares, and the process's CPU time the sum. `--hint` tries another
inference precision than the model's.
"""

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from components.model.encoder import _PRECISION_HINT
from components.model.runtime import openvino_core
from components.model.served import GRAPH, EncoderConfig

#: OpenVINO's kinds of nodes that multiply matrices with weights; attention's own products are in its fused subgraphs.
_PRODUCTS = ("FullyConnected", "FullyConnectedQuantizedLegacy", "MatMul")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exported", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=56)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--hint", help="f32 or bf16; as the model's precision wants it when left out")
    options = parser.parse_args()
    config = EncoderConfig.of(options.exported)
    hint = options.hint or _PRECISION_HINT[config.precision]
    batch = _batch(config, options.texts, options.tokens)
    by_kind, cpu = measure(_request(options.exported, hint), batch, options.runs)
    token = 1e6 * cpu / (options.runs * options.texts * options.tokens)
    products = sum(share for kind, share in by_kind.items() if kind in _PRODUCTS)
    shown = sorted(by_kind.items(), key=lambda item: -item[1])
    print(
        json.dumps(
            {
                "precision": config.precision,
                "hint": hint,
                "cpu_microseconds_a_token": round(token, 1),
                "products": round(token * products, 1),
                "all_else": round(token * (1 - products), 1),
                "share_by_kind": {kind: round(share, 3) for kind, share in shown if share >= 0.005},
            },
            indent=1,
        )
    )


def measure(request: Any, batch: dict[str, Any], runs: int) -> tuple[dict[str, float], float]:
    """The share of each kind of node in the time of all, and the CPU seconds of the inferences."""
    seconds: dict[str, float] = defaultdict(float)
    cpu = 0.0
    for number in range(-1, runs):  # the first compiles
        begun = time.process_time()
        request.infer(batch, share_inputs=False)
        if number < 0:
            continue
        cpu += time.process_time() - begun
        for node in request.get_profiling_info():
            seconds[node.node_type] += node.real_time.total_seconds()
    total = sum(seconds.values())
    return {kind: of / total for kind, of in seconds.items()}, cpu


def _request(exported: Path, hint: str) -> Any:
    options = {"NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": "1", "INFERENCE_PRECISION_HINT": hint, "PERF_COUNT": "YES"}
    return openvino_core().compile_model(str(exported / GRAPH), "CPU", options).create_infer_request()


def _batch(config: EncoderConfig, texts: int, tokens: int) -> dict[str, Any]:
    shape = (texts, tokens)
    made = {"input_ids": np.full(shape, 2000), "attention_mask": np.ones(shape), "token_type_ids": np.zeros(shape)}
    return {name: made[name].astype(np.int64) for name in config.inputs}


if __name__ == "__main__":
    main()
