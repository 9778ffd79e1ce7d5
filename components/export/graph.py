"""From a SentenceTransformer to one OpenVINO graph: tokens in, embeddings out, pooling and normalisation inside."""

import warnings
from collections.abc import Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any, cast

from components.errors import ModelError
from components.model.runtime import import_openvino

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

# What a text encoder's graph may take, in the order in which it takes them.
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# Two texts of different length, so that tracing sees padding.
_EXAMPLE = ["a passage that is somewhat longer than the other", "a query"]


def check_modules(model: "SentenceTransformer", where: str) -> None:
    """Refuse a model whose embedding the exported graph would not reproduce.

    Raises:
        ModelError: when the model has no pooling, or leaves the prompt out of it.
    """
    from sentence_transformers.sentence_transformer.modules import Pooling

    poolings = [module for module in model if isinstance(module, Pooling)]
    if len(poolings) != 1:
        raise ModelError(
            f"{where} has {len(poolings)} pooling modules where an encoder of texts has 1 "
            f"(its modules: {', '.join(type(module).__name__ for module in model)}); "
            "add `Pooling` to the model and save it again."
        )
    if not poolings[0].include_prompt and any(model.prompts.values()):
        raise ModelError(
            f"{where} leaves its prompt out of the pooling (include_prompt is false), which the served encoder does "
            "not do; use a model whose pooling includes the prompt, or remove its prompts."
        )


def pooling_mode(model: "SentenceTransformer") -> str:
    """Return the pooling of a model as its own configuration names it: mean, cls, max, …"""
    from sentence_transformers.sentence_transformer.modules import Pooling

    pooling = next(module for module in model if isinstance(module, Pooling))
    mode = pooling.get_config_dict()["pooling_mode"]
    return mode if isinstance(mode, str) else "+".join(mode)


def is_normalized(model: "SentenceTransformer") -> bool:
    """Whether the last module makes every embedding a unit vector."""
    from sentence_transformers.sentence_transformer.modules import Normalize

    return isinstance(model[-1], Normalize)


def convert(model: "SentenceTransformer") -> tuple[Any, list[str]]:
    """Trace a model into an OpenVINO graph with a dynamic batch and length.

    Returns:
        The graph, and the names of its inputs, each int64 (batch, tokens); its output is float32 (batch, dimension).
    """
    import torch

    features = model.preprocess(list(_EXAMPLE))
    # Some tokenizers make token types for models that take none, such as DistilBERT.
    taken = signature(cast("torch.nn.Module", model[0].model).forward).parameters
    names = [name for name in _INPUTS if name in features and name in taken]

    class TokensToEmbedding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tokens: torch.Tensor) -> torch.Tensor:
            embedding: torch.Tensor = self.model(dict(zip(names, tokens, strict=True)))["sentence_embedding"]
            return embedding

    example = tuple(features[name] for name in names)
    # What the tracer warns of are checks of shapes, which are true of every batch that the encoder makes.
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = import_openvino().convert_model(TokensToEmbedding().eval(), example_input=example)
    _name_inputs(graph, names)
    return graph, names


def _name_inputs(graph: Any, names: Sequence[str]) -> None:
    ov = import_openvino()
    for port, name in zip(graph.inputs, names, strict=True):
        port.get_tensor().set_names({name})
        port.get_node().set_friendly_name(name)
        port.get_node().set_partial_shape(ov.PartialShape([-1, -1]))
        port.get_node().set_element_type(ov.Type.i64)
    graph.validate_nodes_and_infer_types()
