"""docs/serving.md: its table names routes that are there, and clients in the versions that the tests ask with."""

import re
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

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
