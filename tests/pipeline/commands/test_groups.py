"""Groups of options: a command has one option for each member, and gets the group whole."""

import inspect
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from components.errors import RankliftError
from components.gate.options import GateParameters
from pipeline.commands.groups import RunParameters, grouped, guard_limits
from pipeline.commands.registry_place import Where
from pipeline.parameters import PARAMETERS


@pytest.fixture
def called():
    """What the command below got, by the name of its parameter."""
    return {}


@pytest.fixture
def app(called):
    app = typer.Typer()

    @app.command()
    @grouped
    def command(
        *,
        name: Annotated[str, typer.Argument()],
        options: GateParameters,
        where: Where,
        as_json: Annotated[bool, typer.Option("--json")] = False,
    ) -> None:
        called.update(name=name, options=options, where=where, as_json=as_json)

    return app


def test_grouped_command_without_options_gets_the_declared_defaults(app, called):
    assert CliRunner().invoke(app, ["V1"]).exit_code == 0
    assert called == {"name": "V1", "options": GateParameters(), "where": Where(), "as_json": False}


def test_grouped_command_gets_what_was_set(app, called):
    arguments = "V1 --alpha 0.01 --guard min_score=off --guard resamples=999 --namespace prod --settings s.yaml --json"
    assert CliRunner().invoke(app, arguments.split()).exit_code == 0
    guards = {"min_score": "off", "resamples": "999"}
    assert called["options"] == GateParameters(alpha=0.01, guards=guards)
    assert (called["where"], called["as_json"]) == (Where(None, "prod", Path("s.yaml")), True)


@pytest.mark.parametrize("value", [pytest.param("2", id="a closed bound"), pytest.param("much", id="type")])
def test_grouped_command_names_an_option_whose_value_does_not_fit(app, called, value):
    result = CliRunner().invoke(app, ["V1", "--min-gain", value], env={"COLUMNS": "200"})
    assert (result.exit_code, called) == (2, {})
    assert "Invalid value for '--min-gain'" in result.output


def test_grouped_command_refuses_an_open_bound_in_one_sentence(app, called):
    result = CliRunner().invoke(app, ["V1", "--alpha", "1"])
    assert isinstance(result.exception, RankliftError)
    assert str(result.exception) == "alpha = 1.0 is invalid for `gate`: it must be less than 1; give for example 0.05."
    assert called == {}


def test_grouped_command_has_its_options_where_the_group_stands():
    @grouped
    def command(*, data: str, parameters: RunParameters, ask: bool = True) -> None:
        """Run."""

    names = list(inspect.signature(command).parameters)
    assert (names[0], names[-1]) == ("data", "ask")
    assert len(names) == len(PARAMETERS) + 1
    assert command.__doc__ == "Run."


@pytest.mark.parametrize("setting", ["max_recall_drop", "=0.1", "max_recall_drop="])
def test_guard_limits_of_half_a_setting_is_refused(setting):
    with pytest.raises(RankliftError, match=r"is not NAME=LIMIT; give for example --guard max_recall_drop=0\.05"):
        guard_limits([setting])
