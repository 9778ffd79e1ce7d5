"""A base model is numbers: whatever its folder holds, nothing in it is run."""

import json
import pickle
import shutil

import pytest

from components.errors import ModelError
from components.model.base import open_model


class Payload:
    """A pickle that leaves a file behind when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def model(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def name_own_code(model, trace):
    (model / "modeling_evil.py").write_text(f"open({str(trace)!r}, 'w')\nclass Evil: pass\n")
    modules = json.loads((model / "modules.json").read_text())
    modules[0]["type"] = "modeling_evil.Evil"
    (model / "modules.json").write_text(json.dumps(modules))


def name_own_architecture(model, trace):
    (model / "modeling_evil.py").write_text(f"open({str(trace)!r}, 'w')\n")
    config = json.loads((model / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "modeling_evil.C", "AutoModel": "modeling_evil.M"}}
    (model / "config.json").write_text(json.dumps(config))


def put_a_pickle_for_the_weights(model, trace):
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(trace)))


def cut_the_weights(model, trace):
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])


HOSTILE = {
    "modules that are code in the folder": name_own_code,
    "an architecture that is code in the folder": name_own_architecture,
    "a pickle that runs code": put_a_pickle_for_the_weights,
    "weights that were cut short": cut_the_weights,
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_or_damaged_base_model_is_one_sentence_and_nothing_is_run(model, tmp_path, change):
    change(model, tmp_path / "trace")
    with pytest.raises(ModelError, match="cannot be opened") as caught:
        open_model(model, device="cpu")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "trace").exists()
