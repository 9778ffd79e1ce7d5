"""One declaration of each parameter: command line, KFP, stages and documentation say the same of it."""

import importlib
import inspect
import re
from pathlib import Path
from typing import Literal, get_args

import pytest
import yaml

from components.errors import RankliftError
from components.gate.options import GateOptions
from components.index.options import CorpusOptions, WorkerOptions
from components.prepare.options import RawDataOptions
from components.source.options import CandidateOptions
from pipeline.cli import app
from pipeline.compile import compile_pipeline
from pipeline.declaration import declared, public_fields
from pipeline.parameters import CHOOSING, COMPILED, PARAMETERS, STAGE_PARAMETERS, check_parameters, read_parameters
from pipeline.parameters_page import parameters_page

PROJECT = Path(__file__).parents[2]
KFP_TYPES = {
    str: "STRING", int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", bool: "BOOLEAN", dict: "STRUCT", list: "LIST",
}  # fmt: skip
ORDINARY = {name: one for name, one in PARAMETERS.items() if name not in (*CHOOSING, *COMPILED)}
EVERY_OPTION = [(options, name) for options in (*STAGE_PARAMETERS, GateOptions) for name in options.model_fields]


def option_id(value):
    return value if isinstance(value, str) else value.stage


@pytest.mark.parametrize(("options", "name"), EVERY_OPTION, ids=option_id)
def test_declared_option_has_a_sentence_and_a_default_that_is_valid(options, name):
    field = options.model_fields[name]
    assert field.description is not None and re.fullmatch(r"[A-Z].*\.", field.description)
    assert not field.is_required()
    options.of(**{name: field.get_default(call_default_factory=True)})


def compiled_inputs(folder, defaults=None):
    compile_pipeline(folder / "pipeline.yaml", defaults=defaults)
    document = next(yaml.safe_load_all((folder / "pipeline.yaml").read_text(encoding="utf-8")))
    return document["root"]["inputDefinitions"]["parameters"]


def test_compile_pipeline_has_the_declared_names_types_defaults_and_sentences(tmp_path):
    found = {
        name: (one["parameterType"], one["defaultValue"], one["description"])
        for name, one in compiled_inputs(tmp_path).items()
    }
    assert found == {name: (KFP_TYPES[one.kind], one.default, one.description) for name, one in ORDINARY.items()}


def test_compile_pipeline_that_chooses_its_base_model_has_its_parameters_in_place_of_base_model(tmp_path):
    found = compiled_inputs(tmp_path, {"base_models": "a/b,c/d"})
    assert set(found) == set(PARAMETERS) - {"base_model", *COMPILED}
    assert found["trial_examples"]["defaultValue"] == PARAMETERS["trial_examples"].default


def test_compile_pipeline_with_several_index_workers_has_a_loop_of_as_many_and_no_parameter_for_it(tmp_path):
    assert set(compiled_inputs(tmp_path, {"index_workers": 3})) == set(ORDINARY)
    document = next(yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text(encoding="utf-8")))
    tasks = {
        name: task
        for one in document["components"].values()
        for name, task in one.get("dag", {"tasks": {}})["tasks"].items()
    }
    ((name, loop),) = [(name, task) for name, task in tasks.items() if "parameterIterator" in task]
    assert loop["parameterIterator"]["items"] == {"raw": "[0, 1, 2]"}
    assert loop["iteratorPolicy"] == {"parallelismLimit": 3}
    assert tasks["join-index"]["dependentTasks"] == [name, "plan-index"]
    assert tasks["deploy-2"]["dependentTasks"] == ["join-index"]
    assert "index" not in tasks


def test_compile_pipeline_with_one_index_worker_is_the_pipeline_as_it_always_was(tmp_path):
    compile_pipeline(tmp_path / "one.yaml", defaults={"index_workers": 1})
    assert (tmp_path / "one.yaml").read_bytes() == (PROJECT / "tests" / "pipeline" / "pipeline.yaml").read_bytes()


@pytest.mark.parametrize("workers", [0, 1001])
def test_compile_pipeline_with_an_invalid_number_of_index_workers_is_refused(tmp_path, workers):
    with pytest.raises(RankliftError, match=f"workers = {workers} is invalid"):
        compile_pipeline(tmp_path / "pipeline.yaml", defaults={"index_workers": workers})


def test_compile_pipeline_with_other_defaults_changes_these_alone(tmp_path):
    changed = {"epochs": 2.0, "strict_passages": True, "guards": {"min_score": "off"}}
    found = {name: one["defaultValue"] for name, one in compiled_inputs(tmp_path, changed).items()}
    assert found == {name: one.default for name, one in ORDINARY.items()} | changed


def test_compile_pipeline_with_an_invalid_default_writes_nothing(tmp_path):
    with pytest.raises(RankliftError, match="There is no recipe 'magic'"):
        compile_pipeline(tmp_path / "pipeline.yaml", defaults={"recipe": "magic"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", STAGE_PARAMETERS, ids=lambda options: options.__name__)
def test_component_takes_the_options_of_its_stage_with_the_declared_types(options):
    module = importlib.import_module(f"components.{options.stage}.component")
    others = {CandidateOptions: "candidates", WorkerOptions: "embed_shards"}  # for a choice, and for several workers
    component = others.get(options, options.stage)
    signature = inspect.signature(getattr(module, component).python_func)
    wanted = {field: PARAMETERS[name].kind for name, field in STAGE_PARAMETERS[options].items()}
    assert {field: signature.parameters[field].annotation for field in wanted} == wanted


def command_options(command):
    """The options of a command by name, as typer reads them: annotation and default."""
    (found,) = [one.callback for one in app.registered_commands if (one.name or one.callback.__name__) == command]
    return inspect.signature(found).parameters


def assert_same(option, parameter):
    kind, info = get_args(option.annotation)
    assert info.help.startswith(parameter.description)
    if parameter.kind is dict:
        assert (kind, option.default) == (list[str] | None, None)
        return
    if parameter.kind is list:
        assert (kind, option.default) == (str, "")
        return
    assert (type(option.default), option.default) == (parameter.kind, parameter.default)
    assert kind == (Literal[parameter.choices] if parameter.choices else parameter.kind)
    assert (info.min, info.max) == (parameter.bounds.get("≥"), parameter.bounds.get("≤"))


def test_run_has_an_option_for_each_parameter():
    found = command_options("run")
    assert found["data"].default is inspect.Parameter.empty
    for name, parameter in PARAMETERS.items():
        if name != "data":
            assert_same(found[name.removesuffix("s") if parameter.kind is dict else name], parameter)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (options, name)
        for options in STAGE_PARAMETERS
        for name in public_fields(options)
        if options
        not in (RawDataOptions, CorpusOptions, CandidateOptions, WorkerOptions)  # what a command cannot do without
    ],
    ids=option_id,
)
def test_command_of_a_stage_has_each_of_its_options(options, name):
    parameter = declared(options, name)
    shown = name.removesuffix("s") if parameter.kind is dict else name
    command = "choose" if options.stage == "measure" else options.stage  # which measures, and then chooses
    assert_same(command_options(command)[shown], parameter)


def test_parameters_page_is_the_one_in_docs():
    page = (PROJECT / "docs" / "parameters.md").read_text(encoding="utf-8")
    assert page == parameters_page(), "an option changed: `make docs-parameters` writes docs/parameters.md anew"


def test_defaults_in_the_page_of_the_gate_are_those_declared():
    text = (PROJECT / "docs" / "gate.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .*`(\w+)`.* \| ([\d.]+)( GiB)?[^|]* \| `--", text, re.MULTILINE)
    found = {name: float(number) * (2**30 if unit else 1) for name, number, unit in rows}
    assert len(found) >= 7
    assert found == {name: GateOptions.model_fields[name].default for name in found}
    assert f"at least {GateOptions().min_slice_queries} queries" in text


def test_defaults_named_in_the_pages_are_those_declared():
    pages = sorted((PROJECT / "docs").glob("*.md"))
    named = [
        (name.replace("-", "_"), float(number))
        for page in pages
        for name, number in re.findall(r"`--([a-z-]+)`, ([\d.]+) by default", page.read_text(encoding="utf-8"))
    ]
    known = {name: options.model_fields[name].default for options, name in EVERY_OPTION}
    assert named
    assert [(name, known[name]) for name, _ in named] == named


def test_read_parameters_gives_the_declared_types():
    texts = ["epochs=2", "seed=7", 'guards={"min_score": "off"}', "strict_passages=true", "languages=de,en", "data=a=b"]
    assert read_parameters(["base_models=a/b, c/d"]) == read_parameters(['base_models=["a/b", "c/d"]'])
    assert read_parameters(texts) == {
        "epochs": 2.0, "seed": 7, "guards": {"min_score": "off"}, "strict_passages": True, "languages": "de,en",
        "data": "a=b",
    }  # fmt: skip


def test_check_parameters_takes_the_declared_defaults():
    check_parameters({name: parameter.default for name, parameter in PARAMETERS.items()})
