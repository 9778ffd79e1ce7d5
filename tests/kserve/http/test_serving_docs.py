"""docs/serving.md: its table names routes that are there, and clients in the versions that the tests ask with."""

import re
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

from predictor.settings import PredictorSettings

DOCUMENT = Path(__file__).parents[3] / "docs" / "serving.md"
PROGRAMS = {"curl", "the"}  # no packages: their bytes are in the tests
ROUTE = re.compile(r"`(GET|POST) (/[^`…]*)`")


def rows() -> list[list[str]]:
    """The cells of the table of clients."""
    lines = DOCUMENT.read_text(encoding="utf-8").split("## What holds")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")][2:]


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[1]}: {row[2]}")
def test_a_row_names_the_version_of_the_client_that_the_tests_have(row):
    package = row[2].split()[0]
    assert package in PROGRAMS or row[3] == version(package)


@pytest.fixture(scope="module")
def paths(predictor) -> dict:
    return httpx.get(f"{predictor.url}/openapi.json").json()["paths"]


@pytest.mark.parametrize("route", sorted({route for row in rows() for route in ROUTE.findall(row[0])}), ids=" ".join)
def test_a_route_of_the_table_is_there(client, paths, route):
    method, path = route
    documented = paths.get(re.sub(r"/models/ranklift", "/models/{model_name}", path), {})
    hidden = {"/v1/score"}  # the same as /score, at vLLM's other place
    assert method.lower() in documented or path in hidden
    if method == "GET":
        assert client.get(path).status_code == 200


def test_every_setting_of_the_predictor_that_limits_is_in_the_page():
    from predictor.settings import PredictorSettings

    page = DOCUMENT.read_text(encoding="utf-8")
    limits = [name for name in PredictorSettings.model_fields if name.startswith("max_") or name.endswith("_timeout")]
    assert [name for name in limits if f"`{name}`" not in page] == []


def stated_defaults(text: str) -> list[tuple[str, float]]:
    """Setting and default of each row in the tables of limits, whose rows name settings and numbers in one order."""
    units = {"": 1, "Mi": 1 << 20, "MiB": 1 << 20}
    found = []
    for names, numbers in re.findall(r"^\| ([^|]*`[^|]*) \| ([^|]*\d[^|]*) \|", text, re.MULTILINE):
        settings = [name for name in re.findall(r"`(\w+)`", names) if name in PredictorSettings.model_fields]
        values = [float(n.replace(",", "")) * units[unit] for n, unit in re.findall(r"([\d,]*\d) ?(MiB|Mi|)", numbers)]
        if settings:
            found += zip(settings, values, strict=True)
    return found


def test_limits_in_the_page_are_the_defaults_of_the_settings():
    stated = stated_defaults(DOCUMENT.read_text(encoding="utf-8"))
    assert len(stated) >= 17
    assert stated == [(name, PredictorSettings.model_fields[name].default) for name, _ in stated]
