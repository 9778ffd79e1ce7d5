"""What a base model's folder is: said before anything is opened, with what is supported and what to use instead."""

import json
import shutil

import numpy as np
import pytest

from components.errors import ModelError
from components.export.model import export_model
from components.model.base import base_model_directory, open_model
from components.model.base_kind import own_length, positions_in, tokenizer_file


@pytest.fixture
def model(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def change(path, **values):
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **values}))


def set_modules(model, *kinds):
    entries = [{"idx": n, "name": str(n), "path": f"{n}_{kind}", "type": kind} for n, kind in enumerate(kinds)]
    (model / "modules.json").write_text(json.dumps(entries))


LIBRARY = "sentence_transformers.models."
OTHERS = {
    "a cross-encoder": (
        lambda model: change(model / "config_sentence_transformers.json", model_type="CrossEncoder"),
        "is a cross-encoder, which scores pairs",
    ),
    "a cross-encoder of an older release": (
        lambda model: change(model / "config.json", architectures=["BertForSequenceClassification"]),
        "is a cross-encoder or classifier",
    ),
    "a cross-encoder without modules": (
        lambda model: (
            (model / "modules.json").unlink(),
            change(model / "config.json", architectures=["BertForSequenceClassification"]),
        ),
        "is a cross-encoder or classifier",
    ),
    "a sparse encoder": (
        lambda model: change(model / "config_sentence_transformers.json", model_type="SparseEncoder"),
        "is a sparse encoder",
    ),
    "a router": (
        lambda model: set_modules(model, f"{LIBRARY}Router", f"{LIBRARY}Normalize"),
        "is a model with a Router",
    ),
    "static embeddings": (lambda model: set_modules(model, f"{LIBRARY}StaticEmbedding"), "is a model of static embed"),
    "two poolings": (
        lambda model: set_modules(model, *(f"{LIBRARY}{kind}" for kind in ("Transformer", "Pooling", "Pooling"))),
        "is a model of the modules Transformer, Pooling, Pooling",
    ),
    "code of its own": (
        lambda model: set_modules(model, "modeling_evil.Transformer", f"{LIBRARY}Pooling"),
        "is a model whose modules are custom code, which is never run",
    ),
    "a plain transformer": (lambda model: (model / "modules.json").unlink(), "is a plain transformer without"),
    "a language model": (
        lambda model: (
            (model / "modules.json").unlink(),
            change(model / "config.json", architectures=["LlamaForCausalLM"]),
        ),
        "is a language model without a pooling",
    ),
    "no model": (
        lambda model: [path.unlink() for path in model.glob("*.json")],
        "is not a sentence-transformers model: it has no modules.json",
    ),
}


@pytest.mark.parametrize(("make", "complaint"), OTHERS.values(), ids=OTHERS)
def test_base_model_directory_of_another_kind_says_what_it_is_and_what_to_use(model, make, complaint):
    make(model)
    with pytest.raises(ModelError, match=rf"{complaint}.*use one of them, such as sentence-transformers/") as caught:
        base_model_directory(str(model))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("similarity", ["euclidean", "manhattan"])
def test_base_model_directory_refuses_a_similarity_that_is_not_served(model, similarity):
    change(model / "config_sentence_transformers.json", similarity_fn_name=similarity)
    with pytest.raises(ModelError, match=f"compares embeddings by '{similarity}'.*cosine and dot"):
        base_model_directory(str(model))


def test_base_model_directory_refuses_prompts_that_the_pooling_leaves_out(model):
    change(model / "config_sentence_transformers.json", prompts={"query": "query: "})
    change(model / "1_Pooling" / "config.json", include_prompt=False)
    with pytest.raises(ModelError, match="include_prompt is false"):
        base_model_directory(str(model))


@pytest.mark.parametrize("name", ["modules.json", "config_sentence_transformers.json", "config.json"])
@pytest.mark.parametrize("content", ["{", '"text"'], ids=["no JSON", "another type"])
def test_base_model_directory_with_damaged_settings_is_one_sentence(model, name, content):
    (model / name).write_text(content)
    with pytest.raises(ModelError, match=name):
        base_model_directory(str(model))


def test_an_older_layout_is_opened_and_exported(model, tmp_path):
    """Before release 5 the transformer lay in a folder of its own."""
    (model / "0_Transformer").mkdir()
    for path in [
        *model.glob("*.safetensors"),
        *model.glob("*token*"),
        model / "config.json",
        *model.glob("sentence_*"),
    ]:
        path.rename(model / "0_Transformer" / path.name)
    entries = json.loads((model / "modules.json").read_text())
    entries[0] |= {"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}
    (model / "modules.json").write_text(json.dumps(entries))

    assert tokenizer_file(base_model_directory(str(model))) == model / "0_Transformer" / "tokenizer.json"
    config = export_model(model, tmp_path / "served", texts=["sort the array", "a path"], max_seq_length=32)
    assert config.dimension == 32


def test_own_length_is_the_least_that_the_model_states(model):
    assert own_length(model) == 64
    change(model / "sentence_bert_config.json", max_seq_length=48)
    assert own_length(model) == 48
    change(model / "config.json", max_position_embeddings=40)
    assert own_length(model) == positions_in(model) == 40


@pytest.mark.parametrize(("kind", "most"), [("bert", 64), ("xlm-roberta", 62), ("mpnet", 62)])
def test_positions_in_leaves_out_those_that_stand_for_padding(model, kind, most):
    change(model / "config.json", model_type=kind, pad_token_id=1)
    assert positions_in(model) == most


@pytest.mark.parametrize("name", ["passage", "corpus"])
def test_open_model_puts_the_prompt_for_passages_before_documents(model, name):
    change(model / "config_sentence_transformers.json", prompts={"query": "find ", name: "read "})
    opened = open_model(model, device="cpu")
    expected = opened.encode("read a tree", prompt="")
    assert np.allclose(opened.encode_document("a tree"), expected, atol=1e-6)


def test_export_serves_the_prompt_for_passages(model, tmp_path):
    change(model / "config_sentence_transformers.json", prompts={"query": "find ", "passage": "read "})
    config = export_model(model, tmp_path / "served", texts=["sort the array", "a path"], max_seq_length=32)
    assert (config.query_prompt, config.document_prompt) == ("find ", "read ")
