"""Options of the gate: guards by name are set, switched off, or refused in one sentence."""

import pytest

from components.errors import RankliftError
from components.gate.options import GateParameters


def test_options_with_a_limit_and_a_guard_that_is_off_have_both():
    limits = {"max_recall_drop": "0.1", "max_latency_ms": "off", "max_model_bytes": 5.0}
    options = GateParameters.of(min_gain=0.01, alpha=0.1, guards=limits).options()
    assert (options.min_gain, options.alpha) == (0.01, 0.1)
    assert (options.max_recall_drop, options.max_latency_ms, options.max_model_bytes) == (0.1, None, 5)


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        pytest.param({"recall": "0.1"}, "There is no guard 'recall'; use one of", id="no such guard"),
        pytest.param({"min_gain": "0.1"}, "There is no guard 'min_gain'; use one of", id="a parameter, no guard"),
        pytest.param(
            {"max_recall_drop": "much"},
            r"max_recall_drop = 'much' is invalid for `gate`: it must be a valid number.*; "
            r"give for example 0.02, or off to switch the guard off\.",
            id="no number",
        ),
        pytest.param({"resamples": "off"}, "resamples cannot be switched off", id="cannot be off"),
        pytest.param({"max_recall_drop": "-1"}, "max_recall_drop = '-1' is invalid", id="negative"),
        pytest.param({"resamples": "10"}, r"resamples = 10 is too few .* give at least 20", id="too few resamples"),
    ],
)
def test_options_of_an_invalid_guard_are_one_sentence(limits, sentence):
    with pytest.raises(RankliftError, match=sentence):
        GateParameters.of(guards=limits)
