"""Export: the exact files that will serve, checked against the model that they came from."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.errors import ModelError
from components.export.options import PrecisionChoice
from components.machine.digest import file_sha256
from components.machine.new_folder import is_free, move_whole
from components.machine.scratch_folder import scratch_folder
from components.model.base import check_length, open_model, positions_of
from components.model.encoder import Encoder
from components.model.runtime import cpu_has_bf16, import_openvino
from components.model.served import (
    ENCODER_CONFIG,
    GRAPH,
    TOKENIZER,
    WEIGHTS,
    EncoderConfig,
    Parity,
    Precision,
    Similarity,
    refuse_empty_files,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: The smallest cosine to `SentenceTransformer.encode` that each precision may show on any text. fp32 differs by
#: rounding alone; bf16 keeps 8 bits of mantissa; int8 was measured at 0.992 (worst of 300 texts).
PARITY_TOLERANCE: dict[Precision, float] = {"fp32": 0.9999, "bf16": 0.99, "int8": 0.95}
_PARITY_TEXTS = 32


def export_model(
    model: Path,
    output: Path,
    *,
    texts: Sequence[str],
    max_seq_length: int = 0,
    precision: PrecisionChoice = "auto",
    base_model: str = "",
    matryoshka: Sequence[int] = (),
) -> EncoderConfig:
    """Write the served form of a model: OpenVINO graph, tokenizer, ``encoder.json``, and the model's own files.

    Args:
        model: a folder that sentence-transformers opens.
        output: the folder to make; it must not exist yet or be empty.
        texts: real texts, for the parity check (and, in int8, for calibration).
        max_seq_length: tokens; 0 keeps what the model has.
        precision: of inference; "auto" is bf16 where this processor computes in it, else fp32.
        base_model: the name to record; the folder's when empty.
        matryoshka: shorter lengths that the model was trained for (MatryoshkaLoss), which serving may cut to.

    Raises:
        ModelError: when the model cannot be exported, or cut so, or the graph's embeddings differ from the model's.
    """
    if not is_free(output):
        raise ModelError(f"{output} exists and is not an empty folder; choose another output folder or remove it.")
    if not texts:
        raise ModelError("Export needs real texts for its parity check and got none; pass a dataset with `--data`.")
    source = _open(model)
    chosen = choose_precision(precision)
    length = _length(source, max_seq_length, model)
    source.max_seq_length = length
    shorter = shorter_lengths(matryoshka, int(source.get_embedding_dimension() or 0))
    output.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(output.parent, ".export-") as scratch:
        made = scratch / "model"
        config = _write(source, made, precision=chosen, length=length, base_model=base_model or str(model), texts=texts)
        config.matryoshka_dimensions = shorter
        config.parity = check_parity(source, Encoder.open(made), texts)
        config.write(made / ENCODER_CONFIG)
        refuse_empty_files({path: path.stat().st_size for path in made.rglob("*") if path.is_file()})
        move_whole(made, output)
    return config


def choose_precision(choice: PrecisionChoice) -> Precision:
    """Return what "auto" means on this processor: bf16 where it has hardware for it, else fp32.

    Raises:
        ModelError: when bf16 is asked for where there is none.
    """
    if choice == "auto":
        return "bf16" if cpu_has_bf16() else "fp32"
    if choice == "bf16" and not cpu_has_bf16():
        raise ModelError("Precision 'bf16' was requested and this processor does not support it; use 'fp32' or 'auto'.")
    return choice


def shorter_lengths(lengths: Sequence[int], dimension: int) -> list[int]:
    """Return the lengths that an embedding may be cut to, in order.

    Raises:
        ModelError: when one of them is no length below the model's.
    """
    wrong = next((length for length in lengths if not 0 < length < dimension), None)
    if wrong is not None:
        raise ModelError(
            f"The model's embeddings have {dimension} values and cannot be cut to {wrong}; "
            f"name lengths from 1 to {dimension - 1} that it was trained for."
        )
    return sorted(set(lengths))


def check_parity(model: "SentenceTransformer", encoder: Encoder, texts: Sequence[str]) -> Parity:
    """Compare the exported encoder with `SentenceTransformer.encode_query` and `encode_document` on real texts.

    Raises:
        ModelError: when the cosine of any text is below the precision's tolerance.
    """
    sample = list(texts[:_PARITY_TEXTS])
    cosines = np.concatenate(
        [
            _cosine(encoder.encode_queries(sample), np.asarray(model.encode_query(sample))),
            _cosine(encoder.encode_documents(sample), np.asarray(model.encode_document(sample))),
        ]
    )
    tolerance = PARITY_TOLERANCE[encoder.config.precision]
    parity = Parity(texts=len(sample), minimum=float(cosines.min()), mean=float(cosines.mean()), tolerance=tolerance)
    if parity.minimum < tolerance:
        worst = sample[int(cosines.argmin()) % len(sample)]
        raise ModelError(
            f"The exported graph does not reproduce the model: cosine {parity.minimum:.4f} where {tolerance} is "
            f"allowed in {encoder.config.precision}, on the text {worst[:80]!r}; try another precision, such as "
            "`--precision fp32`."
        )
    return parity


def _open(model: Path) -> "SentenceTransformer":
    from components.export.graph import check_modules

    if not (model / "modules.json").is_file():
        raise ModelError(
            f"{model} is not a sentence-transformers model: it has no modules.json; pass the folder of one."
        )
    # Eager attention is what OpenVINO traces with a dynamic length and fuses again by itself.
    opened = open_model(model, device="cpu", model_kwargs={"attn_implementation": "eager"})
    check_modules(opened, str(model))
    return opened.eval()


def _length(model: "SentenceTransformer", asked: int, where: Path) -> int:
    length = asked or model.max_seq_length or positions_of(model) or 0
    check_length(model, length, str(where))
    return int(length)


def _write(
    source: "SentenceTransformer",
    made: Path,
    *,
    precision: Precision,
    length: int,
    base_model: str,
    texts: Sequence[str],
) -> EncoderConfig:
    from components.export.graph import convert, is_normalized, pooling_mode

    source.save_pretrained(str(made), create_model_card=False)
    if not (made / TOKENIZER).is_file():
        raise ModelError(
            f"{base_model} has no fast tokenizer ({TOKENIZER}), which serving needs; save the model with one."
        )
    graph, inputs = convert(source)
    if precision == "int8":
        from components.export.quantise import quantise

        graph = quantise(graph, source, inputs, texts)
    # fp16 says more of a weight than bf16 reads of it, at half the size, in files and in memory.
    import_openvino().save_model(graph, str(made / GRAPH), compress_to_fp16=precision == "bf16")
    query_prompt, document_prompt = _prompts(source)
    config = EncoderConfig(
        base_model=base_model,
        dimension=int(source.get_embedding_dimension() or 0),
        max_seq_length=length,
        precision=precision,
        pooling=pooling_mode(source),
        normalized=is_normalized(source),
        similarity=_similarity(source),
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        pad_token_id=int(source.tokenizer.pad_token_id),
        inputs=inputs,
        files={name: file_sha256(made / name) for name in (GRAPH, WEIGHTS, TOKENIZER)},
    )
    config.write(made / ENCODER_CONFIG)
    return config


def _prompts(model: "SentenceTransformer") -> tuple[str, str]:
    """Return the prompts that `encode_query` and `encode_document` put before a text."""
    document = next((name for name in ("document", "passage", "corpus") if name in model.prompts), "")
    default = model.prompts.get(model.default_prompt_name or "", "")
    return model.prompts.get("query", default) or "", model.prompts.get(document, default) or ""


def _similarity(model: "SentenceTransformer") -> Similarity:
    name = str(model.similarity_fn_name)
    if name in ("cosine", "dot"):
        return name  # type: ignore[return-value]  # narrowed by the line above, which mypy does not follow for str
    raise ModelError(f"The model compares embeddings by {name!r}; ranklift serves 'cosine' and 'dot'.")


def _cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosines: NDArray[np.float32] = (left * right).sum(axis=1) / np.maximum(norms, np.finfo(np.float32).tiny)
    return cosines
