"""The settings file: values that cannot be used, and the defaults that the example states."""

import re
from pathlib import Path

import pytest
import yaml

from components.errors import RankliftError
from pipeline.settings.file import ObjectStoreAccess, PipelineSettings, Retries, Serving, TrainJob
from pipeline.settings.units import duration, seconds

EXAMPLE = Path(__file__).parents[3] / "stages.yaml"


def read(tmp_path, text):
    (tmp_path / "stages.yaml").write_text(text)
    return PipelineSettings.read(tmp_path / "stages.yaml")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(
            "stages: {trian: {cpu: 1}}", "'trian' is not a stage; the stages are source, prepare, measure", id="stage"
        ),
        pytest.param("stages: {train: {gpu: 1}}", "there is no setting stages.train.gpu", id="unknown setting"),
        pytest.param("defaults: {memory: 4 GB}", r"defaults.memory: '4 GB' is invalid: .* example 4Gi", id="memory"),
        pytest.param("defaults: {cpu_limit: two}", r"defaults.cpu_limit: 'two' .* example 2", id="limit"),
        pytest.param("defaults: {retries: {count: 1, factor: 1.5}}", r"retries.factor: .*1.5.* example 2", id="factor"),
        pytest.param(
            "defaults: {timeout: 1h, retries: {count: 1, within: 10m}}", "which kills the first one", id="window"
        ),
        pytest.param("defaults: {timeout: 10m, patience: 10m}", "give it less patience, or a longer", id="patience"),
        pytest.param(
            "defaults: {retries: {count: 1, longest: 10m}}", r"no setting defaults.retries.longest", id="gone"
        ),
        pytest.param("defaults: {timeout: 90}", r"defaults.timeout: .* give for example 2h", id="time-out"),
        pytest.param("defaults: {image: 'ranklift-{stage}'}", "has no fixed tag, and KFP caches", id="no tag"),
        pytest.param("defaults: {image: 'r.io:5000/x'}", "has no fixed tag", id="a port is no tag"),
        pytest.param("defaults: {image: 'x:latest'}", "'x:latest' has no fixed tag", id="latest"),
        pytest.param("defaults: {env: {HF_TOKEN: abc}}", "HF_TOKEN would stand in the compiled pipeline", id="secret"),
        pytest.param(
            "object_store: {endpoint: 'http://m', secret: s, checkpoints: /mnt}",
            r"object_store.checkpoints: '/mnt' is invalid: .* example store, off or s3://",
            id="checkpoints",
        ),
        pytest.param("object_store: {endpoint: minio}", "object_store.endpoint: 'minio' is invalid", id="endpoint"),
        pytest.param(
            "object_store: {endpoint: 'http://m', secret: s, keys: {a: B}}", "renamed with mount: env", id="key names"
        ),
        pytest.param(
            "stages: {train: {tolerations: [{value: x}]}}", "without a key needs operator: Exists", id="toleration"
        ),
        pytest.param("serving: {canary_percent: 100}", r"serving.canary_percent: 100 is invalid", id="canary"),
        pytest.param("train_job: {cpu: 2}", "train_job needs object_store", id="nodes without a store"),
        pytest.param("train_job: {timeout: 2h}", "there is no setting train_job.timeout", id="nodes are no stage"),
        pytest.param("- a list", "holds no settings", id="no mapping"),
        pytest.param("stages: {train: [}", r"is not YAML \(line 1", id="not YAML"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_that_names_the_field(tmp_path, text, sentence):
    with pytest.raises(RankliftError, match=sentence) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "stages.yaml"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RankliftError, match=r"nowhere\.yaml cannot be read"):
        PipelineSettings.read(tmp_path / "nowhere.yaml")


def test_stages_yaml_states_each_default_as_it_is():
    text = EXAMPLE.read_text(encoding="utf-8")
    content = yaml.safe_load(re.sub(r"^# (train_job:|  )", r"\1", text, flags=re.MULTILINE))
    sections = {
        ObjectStoreAccess: content["object_store"],
        Serving: content["serving"],
        TrainJob: content["train_job"],
        Retries: content["defaults"]["retries"],
    }
    for model, stated in sections.items():
        defaults = {name: model.model_fields[name].default for name in stated}
        names = [name for name in stated if isinstance(defaults[name], str | int)]
        assert len(names) >= 2
        assert {name: stated[name] for name in names} == {name: defaults[name] for name in names}


@pytest.mark.parametrize(("number", "text"), [(540.0, "9m"), (60.0, "1m"), (21600, "6h"), (90, "90s"), (172800, "2d")])
def test_duration_of_seconds_has_the_largest_whole_unit(number, text):
    assert duration(number) == text
    assert seconds(text) == number
