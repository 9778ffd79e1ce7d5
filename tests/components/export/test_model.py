"""Export: what is served reproduces what was trained, or the stage fails."""

import numpy as np
import pytest

from components.errors import ModelError
from components.export.model import check_parity, choose_precision, export_model
from components.export.options import ExportOptions
from components.export.sample_texts import SAMPLE_TEXTS
from components.export.stage import export_for_dataset
from components.model.encoder import Encoder
from components.model.runtime import cpu_has_bf16
from components.model.served import EncoderConfig
from tests.factories.models import make_tiny_model

TEXTS = [
    "sort the array by column",
    "  a path in the graph, with leading blanks",
    "a much longer passage about matrix and vector and tree and graph and node and edge and row and data and plot "
    "that is cut at the end because it has more tokens than the model may read",
    "x",
    "Ünïcödé and CAPITALS and 12345",
]


@pytest.fixture(scope="module", params=["mean", "cls", "max"])
def pooled(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp(f"pooled-{request.param}")
    model = make_tiny_model(
        directory / "source",
        pooling=request.param,
        normalize=request.param != "max",
        prompts={"query": "query: ", "document": "passage: "},
    )
    config = export_model(model, directory / "served", texts=TEXTS, max_seq_length=24, precision="fp32")
    return request.param, model, directory / "served", config


def test_the_encoder_reproduces_sentence_transformers(pooled):
    from sentence_transformers import SentenceTransformer

    _, _, served, _ = pooled
    model = SentenceTransformer(str(served), device="cpu")
    encoder = Encoder.open(served)
    np.testing.assert_allclose(encoder.encode_queries(TEXTS), model.encode_query(TEXTS), atol=2e-5)
    np.testing.assert_allclose(encoder.encode_documents(TEXTS), model.encode_document(TEXTS), atol=2e-5)


def test_the_configuration_is_read_from_the_models_own_modules(pooled):
    pooling, _, served, config = pooled
    assert config == EncoderConfig.of(served)
    assert (config.pooling, config.normalized) == (pooling, pooling != "max")
    assert (config.query_prompt, config.document_prompt) == ("query: ", "passage: ")
    assert (config.dimension, config.max_seq_length) == (32, 24)
    assert config.parity is not None and config.parity.minimum > 0.9999


def test_a_model_without_token_types_is_exported_without_that_input(tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertModel

    bert = make_tiny_model(tmp_path / "bert")
    tokenizer = AutoTokenizer.from_pretrained(str(bert))
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    plain = tmp_path / "distil"
    size = {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64}
    DistilBertModel(DistilBertConfig(vocab_size=len(tokenizer), **size)).save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    transformer = modules.Transformer(str(plain), max_seq_length=64)
    source = tmp_path / "source"
    SentenceTransformer(modules=[transformer, modules.Pooling(32)], device="cpu").save_pretrained(str(source))

    config = export_model(source, tmp_path / "served", texts=TEXTS)

    assert config.inputs == ["input_ids", "attention_mask"]


def test_int8_stays_close_and_says_so(tiny_model, tmp_path):
    config = export_model(tiny_model, tmp_path / "served", texts=TEXTS * 10, precision="int8")
    assert config.precision == "int8"
    assert config.parity is not None and config.parity.minimum >= config.parity.tolerance
    encoder = Encoder.open(tmp_path / "served")
    session = encoder.session()
    together = session.run(encoder.tokenize(TEXTS))
    alone = np.concatenate([session.run(encoder.tokenize([text])) for text in TEXTS])
    assert (alone * together).sum(axis=1).min() >= 1 - 1e-4, "in int8 too the company in a batch changes no answer"


def test_a_graph_that_differs_from_its_model_fails_the_stage(tiny_model, exported_tiny_model, tmp_path):
    from sentence_transformers import SentenceTransformer

    another = make_tiny_model(tmp_path, seed=8)
    encoder = Encoder.open(exported_tiny_model)
    precision = encoder.config.precision
    allowed = {"fp32": "0.9999", "bf16": "0.99"}[precision]
    expected = f"does not reproduce the model: cosine .* where {allowed} is allowed in {precision},"
    with pytest.raises(ModelError, match=expected):
        check_parity(SentenceTransformer(str(another), device="cpu"), encoder, TEXTS)


def test_a_model_without_pooling_is_refused(tmp_path):
    from sentence_transformers import SentenceTransformer

    tiny = SentenceTransformer(str(make_tiny_model(tmp_path / "tiny")), device="cpu")
    SentenceTransformer(modules=[tiny[0]], device="cpu").save_pretrained(str(tmp_path / "bare"))
    with pytest.raises(ModelError, match="has 0 pooling modules where an encoder of texts has 1"):
        export_model(tmp_path / "bare", tmp_path / "served", texts=TEXTS)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"max_seq_length": 9999}, "9999 is more than the 64 positions", id="longer than the positions"),
        pytest.param({"max_seq_length": 2}, "too short for a text", id="no room for a text"),
        pytest.param({"texts": []}, "needs real texts", id="no texts"),
        pytest.param({"matryoshka": [16, 32]}, "have 32 values and cannot be cut to 32", id="cut to its own length"),
        pytest.param({"matryoshka": [0]}, "cannot be cut to 0; name lengths from 1 to 31", id="cut to nothing"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(tiny_model, tmp_path, change, sentence):
    with pytest.raises(ModelError, match=sentence):
        export_model(tiny_model, tmp_path / "served", **{"texts": TEXTS, **change})
    assert not (tmp_path / "served").exists()


def test_export_model_with_shorter_lengths_writes_them_in_order(tiny_model, tmp_path):
    config = export_model(tiny_model, tmp_path / "served", texts=TEXTS, precision="fp32", matryoshka=[16, 8, 16])
    assert config.matryoshka_dimensions == [8, 16]
    assert EncoderConfig.of(tmp_path / "served").matryoshka_dimensions == [8, 16]


def test_an_output_folder_in_use_is_left_alone(tiny_model, tmp_path):
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(ModelError, match="exists and is not an empty folder"):
        export_model(tiny_model, tmp_path, texts=TEXTS)
    assert (tmp_path / "precious").read_text() == "mine"


def test_auto_precision_is_one_that_this_processor_computes_in():
    assert choose_precision("auto") == ("bf16" if cpu_has_bf16() else "fp32")


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_export_for_dataset_without_data_is_checked_on_texts_that_come_along(tiny_model, tmp_path, precision):
    config = export_for_dataset(tiny_model, None, tmp_path / "served", ExportOptions(precision=precision))
    assert config.parity.texts == len(SAMPLE_TEXTS)
    assert config.max_seq_length == 64


def test_export_for_dataset_without_data_refuses_int8(tiny_model, tmp_path):
    with pytest.raises(ModelError, match=r"int8 is calibrated on your own texts; .*--data"):
        export_for_dataset(tiny_model, None, tmp_path / "served", ExportOptions(precision="int8"))
