"""Base models: where they come from, and what happens on a machine that reaches no hub."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from components.errors import ModelError
from components.model.base import (
    HUB_DEFAULT,
    PACKAGED_DEFAULT,
    base_model_directory,
    check_length,
    resolve_base_model,
)

# In a process of its own: the hub's client reads the environment when it is imported.
RESOLVE = """
import sys
from components.model.base import resolve_base_model
print(resolve_base_model("auto", lambda line: print(line, file=sys.stderr), fallback=True))
"""
HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>"
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that answers every request the same; with nothing to say it keeps clients waiting."""
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connections.append(connection)
                if answer:
                    connection.recv(1 << 16)
                    connection.sendall(answer)
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    for connection in connections:
        connection.close()


def resolve_auto(cache, **environment: str) -> subprocess.CompletedProcess:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return subprocess.run(
        [sys.executable, "-c", RESOLVE],
        env={**ours, "HF_HOME": str(cache), "NO_PROXY": "", **environment},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "answer"),
    [
        pytest.param("HF_ENDPOINT", b"", id="a hub that never answers"),
        pytest.param("HTTPS_PROXY", b"", id="a proxy that never answers"),
        pytest.param("HTTPS_PROXY", REFUSED, id="a proxy that refuses"),
        pytest.param("HF_ENDPOINT", HTML, id="a login page in the hub's place"),
        pytest.param("HF_ENDPOINT", BUSY, id="a hub that is down"),
    ],
)
def test_auto_is_the_packaged_model_without_a_hub_and_says_why(variable, answer, tmp_path):
    with answering(answer) as url:
        resolved = resolve_auto(tmp_path, **{variable: url})
    assert resolved.stdout.strip() == PACKAGED_DEFAULT, resolved.stderr
    assert resolved.stderr.startswith(f"The model hub does not give {HUB_DEFAULT} (")
    assert resolved.stderr.count("\n") == 1
    assert PACKAGED_DEFAULT in resolved.stderr


def test_auto_without_a_hub_fails_for_data_that_is_not_the_demo_and_says_what_to_name(hub):
    hub.refuse = 503
    with pytest.raises(
        ModelError, match=r"does not give .*503.*Name a base model that needs no hub: a folder"
    ) as caught:
        resolve_base_model("auto", print)
    assert "base_model=/models/base" in str(caught.value)


def test_offline_mode_is_honoured(tmp_path):
    resolved = resolve_auto(tmp_path, HF_HUB_OFFLINE="1")
    assert resolved.stdout.strip() == PACKAGED_DEFAULT, resolved.stderr


def test_the_hubs_cache_serves_where_the_hub_is_not_reached(tiny_model, tmp_path):
    folder = tmp_path / "hub" / f"models--{HUB_DEFAULT.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots").mkdir()
    (folder / "snapshots" / ("0" * 40)).symlink_to(tiny_model)
    with answering(REFUSED) as url:
        resolved = resolve_auto(tmp_path, HTTPS_PROXY=url)
    assert resolved.stdout.strip() == HUB_DEFAULT
    assert resolved.stderr == f"The base model is {HUB_DEFAULT}.\n"


def test_the_packaged_model_is_one_that_sentence_transformers_opens():
    assert (base_model_directory(PACKAGED_DEFAULT) / "modules.json").is_file()


@pytest.mark.parametrize("name", ["package://no_such_package", "package://../evil", "./nowhere", "a/b/c"])
def test_a_base_model_that_is_nowhere_is_one_sentence(name):
    with pytest.raises(ModelError):
        resolve_base_model(name, print)


class TestLength:
    @staticmethod
    def model_whose_positions_begin(tmp_path, after_padding):
        """Of 20 positions; RoBERTa's first two stand for padding and what comes before it."""
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer import modules
        from transformers import BertConfig, BertModel, BertTokenizerFast, RobertaConfig, RobertaModel

        (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nword\n")
        size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        size |= {"vocab_size": 6, "max_position_embeddings": 20}
        model = RobertaModel(RobertaConfig(**size)) if after_padding else BertModel(BertConfig(**size))
        model.save_pretrained(tmp_path)
        BertTokenizerFast(vocab=str(tmp_path / "vocab.txt"), model_max_length=20).save_pretrained(tmp_path)
        transformer = modules.Transformer(str(tmp_path), max_seq_length=20)
        return SentenceTransformer(modules=[transformer, modules.Pooling(8)], device="cpu")

    @pytest.mark.parametrize(("after_padding", "most"), [(False, 20), (True, 18)], ids=["BERT", "RoBERTa"])
    def test_it_is_what_the_model_can_encode(self, tmp_path, after_padding, most):
        model = self.model_whose_positions_begin(tmp_path, after_padding)
        check_length(model, most, "it")
        model.max_seq_length = most
        model.encode("word " * 30)
        with pytest.raises(ModelError, match=f"max_seq_length {most + 1} is more than the {most} positions of it"):
            check_length(model, most + 1, "it")
        model.max_seq_length = most + 1
        with pytest.raises((IndexError, RuntimeError)):
            model.encode("word " * 30)

    @pytest.mark.parametrize("length", [0, 1, 2])
    def test_it_is_more_than_the_special_tokens(self, tmp_path, length):
        with pytest.raises(ModelError, match=f"max_seq_length {length} is too short for a text beside 2 special"):
            check_length(self.model_whose_positions_begin(tmp_path, False), length, "it")
