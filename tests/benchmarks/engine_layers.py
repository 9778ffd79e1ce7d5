"""Where the engine's time goes: the matrix products, and everything between them.

    python tests/benchmarks/engine_layers.py --exported DIR [--texts 16] [--tokens 56] [--runs 60] [--hint f32]

One stream infers one batch again and again, and OpenVINO times every node. Of each node the quickest run counts, as
whatever else runs on the machine can only make one slower. `--hint` tries another inference precision than the model's.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from components.model.encoder import _PRECISION_HINT
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
    nodes = quickest(_request(options.exported, hint), _batch(config, options.texts, options.tokens), options.runs)
    tokens = options.texts * options.tokens
    total = sum(nodes.values())
    by_kind: dict[str, float] = defaultdict(float)
    for (_, kind), seconds in nodes.items():
        by_kind[kind] += seconds
    products = sum(seconds for kind, seconds in by_kind.items() if kind in _PRODUCTS)
    shown = {kind: round(seconds / total, 3) for kind, seconds in sorted(by_kind.items(), key=lambda item: -item[1])}
    print(
        json.dumps(
            {
                "precision": config.precision,
                "hint": hint,
                "microseconds_a_token": round(1e6 * total / tokens, 2),
                "products": round(1e6 * products / tokens, 2),
                "all_else": round(1e6 * (total - products) / tokens, 2),
                "share_by_kind": {kind: share for kind, share in shown.items() if share >= 0.005},
            },
            indent=1,
        )
    )


def quickest(request: Any, batch: dict[str, Any], runs: int) -> dict[tuple[str, str], float]:
    """Seconds of every node, by name and kind, in its quickest run."""
    found: dict[tuple[str, str], float] = {}
    for _ in range(runs):
        request.infer(batch, share_inputs=False)
        for node in request.get_profiling_info():
            key, seconds = (node.node_name, node.node_type), node.real_time.total_seconds()
            if seconds:
                found[key] = min(seconds, found.get(key, seconds))
    return found


def _request(exported: Path, hint: str) -> Any:
    options = {"NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": "1", "INFERENCE_PRECISION_HINT": hint, "PERF_COUNT": "YES"}
    return ov.Core().compile_model(str(exported / GRAPH), "CPU", options).create_infer_request()


def _batch(config: EncoderConfig, texts: int, tokens: int) -> dict[str, Any]:
    shape = (texts, tokens)
    made = {"input_ids": np.full(shape, 2000), "attention_mask": np.ones(shape), "token_type_ids": np.zeros(shape)}
    return {name: made[name].astype(np.int64) for name in config.inputs}


if __name__ == "__main__":
    main()
