"""What keeps the predictor from starting: settings that would leave it open, or that were meant and misspelt."""

import os
import subprocess

import pytest

from components.errors import RankliftError
from predictor.environment import check_environment
from predictor.settings import PredictorSettings
from tests.kserve.running import command

TOKEN = "RANKLIFT_PREDICTOR_API_TOKEN"


def start(model, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(model), capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=120
    )


@pytest.mark.parametrize("token", ["", " ", "two words", "ends in a line\n", "größe"], ids=repr)
def test_a_token_that_protects_nothing_is_refused(exported_tiny_model, token):
    ended = start(exported_tiny_model, **{TOKEN: token})
    assert ended.returncode == 2
    assert "The setting api_token is not valid" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert token.strip() == "" or token.strip() not in ended.stderr


MISSPELT = {
    "RANKLIFT_PREDICTOR_API_TOKN": TOKEN,
    "RANKLIFT_PREDICTOR_TOKEN": TOKEN,
    "RANKLIFT_PREDICTOR_APITOKEN": TOKEN,
    "RANKLIFT_PREDICTR_API_TOKEN": TOKEN,
    "RANKLIFT_API_TOKEN": TOKEN,
    "RANKLIFT_PREDICTOR_MAX_DOCUMENT": "RANKLIFT_PREDICTOR_MAX_DOCUMENTS",
}


@pytest.mark.parametrize(("name", "meant"), MISSPELT.items(), ids=MISSPELT)
def test_check_environment_names_what_was_meant(name, meant):
    with pytest.raises(RankliftError) as caught:
        check_environment({"PATH", name}, PredictorSettings.model_fields)
    assert name in str(caught.value)
    assert meant in str(caught.value)


def test_a_misspelt_variable_keeps_it_from_starting(exported_tiny_model):
    ended = start(exported_tiny_model, RANKLIFT_PREDICTOR_API_TOKN="secret")
    assert ended.returncode == 2
    assert f"RANKLIFT_PREDICTOR_API_TOKN, which is not a setting of the predictor; {TOKEN} is one" in ended.stderr
    assert "secret" not in ended.stderr


# What Kubernetes sets in every pod of a namespace with KServe's Services, and what other parts of ranklift read.
OTHERS = [
    "RANKLIFT_PREDICTOR_SERVICE_HOST",
    "RANKLIFT_PREDICTOR_SERVICE_PORT",
    "RANKLIFT_PREDICTOR_SERVICE_PORT_HTTP",
    "RANKLIFT_PREDICTOR_PORT",
    "RANKLIFT_PREDICTOR_PORT_80_TCP",
    "RANKLIFT_PREDICTOR_PORT_80_TCP_ADDR",
    "RANKLIFT_PREDICTOR_PORT_80_TCP_PORT",
    "RANKLIFT_PREDICTOR_PORT_80_TCP_PROTO",
    "RANKLIFT_PREDICTOR_CANARY_SERVICE_HOST",
    "RANKLIFT_PREDICTOR_CANARY_PORT_80_TCP_ADDR",
    "RANKLIFT_PREDICTOR_URL",
    "RANKLIFT_KFP_TOKEN",
    "RANKLIFT_CHAMPION_NUMBER",
    "RANKLIFT_CHAMPION_HEAD",
    "RANKLIFT_PREVIOUS_VERSION",
    "RANKLIFT_S3_SECRETS_DIR",
    TOKEN,
    TOKEN.lower(),
]


@pytest.mark.parametrize("name", OTHERS)
def test_check_environment_lets_the_variables_of_others_be(name):
    check_environment({name}, PredictorSettings.model_fields)


def test_budgets_that_no_request_fits_into_are_refused(exported_tiny_model):
    ended = start(exported_tiny_model, RANKLIFT_PREDICTOR_MAX_BUFFERED_BYTES="1000")
    assert (ended.returncode, "max_buffered_bytes must be at least max_body_bytes" in ended.stderr) == (2, True)
