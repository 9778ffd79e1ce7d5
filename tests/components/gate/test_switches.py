"""Guards by name: set, switched off, or refused in one sentence."""

import pytest

from components.errors import RankliftError
from components.gate.switches import options_with_guards


def test_a_limit_is_set_and_a_guard_is_switched_off():
    options = options_with_guards(
        0.01, 0.1, {"max_recall_drop": "0.1", "max_latency_ms": "off", "max_model_bytes": 5.0}
    )
    assert (options.min_gain, options.alpha) == (0.01, 0.1)
    assert (options.max_recall_drop, options.max_latency_ms, options.max_model_bytes) == (0.1, None, 5)


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        pytest.param({"recall": "0.1"}, "There is no guard 'recall'; use one of", id="no such guard"),
        pytest.param({"max_recall_drop": "much"}, "cannot be 'much'; give a number, or 'off'", id="no number"),
        pytest.param({"resamples": "off"}, "resamples cannot be switched off", id="cannot be off"),
        pytest.param({"max_recall_drop": "-1"}, "max_recall_drop is -1", id="negative"),
    ],
)
def test_what_is_no_limit_is_one_sentence(limits, sentence):
    with pytest.raises(RankliftError, match=sentence):
        options_with_guards(0.005, 0.05, limits)
