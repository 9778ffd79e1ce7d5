"""The gate promotes what is better beyond doubt, holds everything else, and refuses what cannot be compared."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import DataError, RankliftError
from components.gate.decide import decide
from components.gate.options import GateOptions
from components.records.decision import Decision
from components.records.scores import ScoreFile

RNG = np.random.default_rng(7)
BEFORE = RNG.choice([0.0, 0.3, 0.5, 0.63, 1.0], 200)
AFTER = np.clip(BEFORE + RNG.choice([0.0, 0.0, -0.1, 0.3], 200), 0, 1)


def guard(decision: Decision, name: str):
    return next(guard for guard in decision.guards if guard.name == name)


def test_a_clear_gain_is_promoted_with_every_number_on_record(scores) -> None:
    decision = decide(scores("new", AFTER), scores("old", BEFORE))
    assert decision.verdict == "promote"
    assert decision.delta == pytest.approx(AFTER.mean() - BEFORE.mean())
    assert decision.confidence_interval[0] < decision.delta < decision.confidence_interval[1]
    assert decision.p_value < 0.001
    assert decision.queries == 200
    assert decision.minimum_detectable_effect is not None
    assert decision.settings["resamples"] == 10_000
    assert [guard.name for guard in decision.guards] == [
        "gain", "significance", "absolute score", "recall@100", "encoder latency", "model size",
    ]  # fmt: skip
    assert decision.reason.startswith("Promoted: new has NDCG@10")
    seen = f"200 queries show a true gain of {decision.minimum_detectable_effect:.4f} or more with 80% power"
    assert decision.reason.endswith(f"and every guard passes; {seen}.")


def test_a_loss_is_held_and_the_sentence_says_why_and_what_could_have_been_seen(scores) -> None:
    decision = decide(scores("new", BEFORE), scores("old", AFTER))
    assert decision.verdict == "hold"
    assert "is below the minimum of 0.005" in decision.reason
    assert f"200 queries show a true gain of {decision.minimum_detectable_effect:.4f} or more" in decision.reason
    assert decision.reason.count(". ") == 0, "one sentence"


def test_a_gain_that_too_few_queries_cannot_prove_is_held_as_such(scores) -> None:
    after = [0.5, 0.5, 0.8, 0.4, 0.6, 0.5, 0.7, 0.3]
    decision = decide(scores("new", after), scores("old", [0.5] * 8))
    assert decision.verdict == "hold"
    assert decision.min_gain <= decision.delta < decision.minimum_detectable_effect
    assert "cannot be told from chance: evaluate on more queries" in decision.reason


def test_a_gain_that_is_certain_but_small_is_held(scores) -> None:
    before = np.full(500, 0.5)
    decision = decide(scores("new", before + 0.004), scores("old", before))
    assert (decision.verdict, guard(decision, "significance").passed, guard(decision, "gain").passed) == (
        "hold", True, False,
    )  # fmt: skip


def test_the_champion_itself_is_held_for_that_reason(scores) -> None:
    decision = decide(scores("model", AFTER), scores("model", BEFORE))
    assert decision.verdict == "hold"
    assert "is the champion itself" in decision.reason


def test_the_same_input_gives_the_same_decision(scores) -> None:
    new, old = scores("new", AFTER), scores("old", BEFORE)
    assert decide(new, old).to_json() == decide(new, old).to_json()


def test_the_order_of_the_queries_in_a_file_changes_nothing(scores) -> None:
    new, old = scores("new", AFTER), scores("old", BEFORE)
    turned = {metric: dict(reversed(values.items())) for metric, values in new.per_query.items()}
    assert decide(new.model_copy(update={"per_query": turned}), old) == decide(new, old)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"dataset_digest": "e" * 64}, "scored on evaluation set", id="another dataset"),
        pytest.param({"per_query": {"ndcg@10": {"q0": 0.5, "other": 0.5}}}, "scored for one model only", id="queries"),
        pytest.param({"headline": 0.9}, "contradicts itself", id="headline is not the mean"),
        pytest.param({"slices": {"length": {"short": ["q0", "nobody"]}}}, "in the slice length: short", id="slice"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_an_error_and_not_a_hold(scores, change, complaint) -> None:
    new, old = scores("new", [0.5, 0.5]), scores("old", [0.4, 0.4])
    with pytest.raises(DataError, match=complaint):
        decide(new.model_copy(update=change), old)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.5], ids=str)
@pytest.mark.parametrize("metric", ["ndcg@10", "recall@100"])
def test_impossible_numbers_are_an_error_that_names_the_query(scores, value, metric) -> None:
    new, old = scores("new", AFTER), scores("old", BEFORE)
    new.per_query[metric]["q3"] = value
    with pytest.raises(DataError, match=r"of query 'q3', which is not between 0 and 1"):
        decide(new, old)


def test_a_score_file_without_recall_is_an_error_unless_its_guard_is_off(scores) -> None:
    new, old = scores("new", AFTER), scores("old", BEFORE)
    new.per_query.pop("recall@100")
    with pytest.raises(DataError, match="has no recall@100 by query"):
        decide(new, old)
    assert decide(new, old, GateOptions(max_recall_drop=None)).verdict == "promote"


FAILING = {
    "absolute score": (GateOptions(min_score=0.99), {}, {}),
    "recall@100": (GateOptions(), {"recall": [0.9] * 200}, {}),
    "encoder latency": (GateOptions(), {"latency_ms": 900.0}, {}),
    "model size": (GateOptions(max_model_bytes=1_000_000), {}, {}),
}
OFF = {
    "absolute score": GateOptions(min_score=None),
    "recall@100": GateOptions(max_recall_drop=None),
    "encoder latency": GateOptions(max_latency_ms=None),
    "model size": GateOptions(max_model_bytes=None),
}


@pytest.mark.parametrize("name", FAILING)
def test_each_guard_alone_holds_a_better_model(scores, name) -> None:
    options, new, old = FAILING[name]
    decision = decide(scores("new", AFTER, **new), scores("old", BEFORE, **old), options)
    assert decision.verdict == "hold"
    assert [guard.name for guard in decision.guards if not guard.passed] == [name]
    assert f"{name}: " in decision.reason


@pytest.mark.parametrize("name", OFF)
def test_each_guard_has_a_switch_and_the_record_says_that_it_was_off(scores, name) -> None:
    new = scores("new", AFTER, recall=[0.5] * 200, latency_ms=None, model_bytes=None)
    options = GateOptions(min_score=None, max_recall_drop=None, max_latency_ms=None, max_model_bytes=None)
    decision = decide(new, scores("old", BEFORE), options)
    assert decision.verdict == "promote"
    assert guard(decision, name).reason == "switched off" and guard(decision, name).limit is None


@pytest.mark.parametrize("field", ["latency_ms", "model_bytes"])
def test_what_was_not_measured_does_not_pass_a_limit(scores, field) -> None:
    decision = decide(scores("new", AFTER, **{field: None}), scores("old", BEFORE))
    assert decision.verdict == "hold" and "the score file does not say" in decision.reason


class TestSlices:
    QUERIES = tuple(f"q{place}" for place in range(200))

    def sliced(self, scores, cut: int, drop: float, **options) -> Decision:
        before = np.full(200, 0.5)
        after = np.concatenate([np.full(cut, 0.5 - drop), np.full(200 - cut, 0.7)])
        slices = {"length": {"short": list(self.QUERIES[:cut]), "long": list(self.QUERIES[cut:])}}
        return decide(scores("new", after, slices=slices), scores("old", before), GateOptions(**options))

    def test_a_slice_that_falls_holds_a_model_that_is_better_on_the_whole(self, scores) -> None:
        decision = self.sliced(scores, cut=40, drop=0.1)
        assert decision.verdict == "hold" and decision.delta > 0.1
        assert "slice length: short: NDCG@10 moves by -0.1000 on its 40 queries" in decision.reason

    @pytest.mark.parametrize(
        ("cut", "drop", "options"),
        [
            pytest.param(20, 0.1, {}, id="too few queries"),
            pytest.param(40, 0.01, {}, id="a fall within the limit"),
            pytest.param(40, 0.1, {"max_slice_drop": None}, id="switched off"),
            pytest.param(40, 0.1, {"max_slice_drop": 0.2}, id="a wider limit"),
        ],
    )
    def test_it_is_promoted_where_the_slice_may_be_left_alone(self, scores, cut, drop, options) -> None:
        assert self.sliced(scores, cut, drop, **options).verdict == "promote"

    def test_a_fall_that_is_chance_once_all_slices_are_counted_does_not_hold(self, scores) -> None:
        rng = np.random.default_rng(3)
        before = rng.uniform(0.3, 0.6, 2000)
        after = before + 0.012 + rng.normal(0, 0.13, 2000).clip(-0.3, 0.3)
        names = [f"q{place}" for place in range(2000)]
        slices = {"fold": {str(fold): names[fold::50] for fold in range(50)}}
        decision = decide(scores("new", after, slices=slices), scores("old", before))
        fallen = [guard for guard in decision.guards if guard.name.startswith("slice") and guard.value < -0.02]
        assert fallen and all(guard.passed for guard in fallen)
        assert decision.verdict == "promote"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("alpha", 0.0),
        ("alpha", 1.0),
        ("min_gain", -0.1),
        ("min_gain", math.nan),
        ("resamples", 5),
        ("resamples", 2000.5),
        ("seed", 1.5),
        ("power", True),
        ("min_score", "high"),
        ("max_model_bytes", math.inf),
    ],
)
def test_an_option_out_of_range_is_refused_with_one_that_works(option, value) -> None:
    with pytest.raises(RankliftError, match=rf"{option} = {value!r} is .*; give"):
        GateOptions.of(**{option: value})


UNIT = st.floats(0, 1)


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(UNIT, UNIT), min_size=1, max_size=60))
def test_any_finite_scores_give_a_consistent_decision(scores, pairs) -> None:
    new, old = scores("new", [pair[0] for pair in pairs]), scores("old", [pair[1] for pair in pairs])
    options = GateOptions(resamples=200)
    decision = decide(new, old, options)
    assert Decision.parse(decision.to_json().encode(), "test") == decision
    assert 0 < decision.p_value <= 1
    low, high = decision.confidence_interval
    assert -1 <= low <= decision.delta + 1e-9 and decision.delta - 1e-9 <= high <= 1
    if decision.verdict == "promote":
        assert decision.delta >= options.min_gain and decision.p_value < options.alpha
    assert decide(old, new, options).verdict == "hold" or decision.verdict == "hold", "never both"


@given(value=UNIT, queries=st.integers(1, 300))
@settings(max_examples=20, deadline=None)
def test_all_ties_are_held_with_p_one(scores, value, queries) -> None:
    decision = decide(scores("new", [value] * queries), scores("old", [value] * queries))
    assert (decision.verdict, decision.p_value, decision.delta) == ("hold", 1.0, 0.0)
    assert "no query tells the two apart" in decision.reason


@given(new=UNIT, old=UNIT)
@settings(max_examples=20, deadline=None)
def test_one_query_never_promotes(scores, new, old) -> None:
    decision = decide(scores("new", [new]), scores("old", [old]))
    assert decision.verdict == "hold" and decision.confidence_interval == (-1.0, 1.0)
    assert "1 query" in decision.reason


@given(place=st.integers(0, 9), bad=st.sampled_from(["NaN", "Infinity", "-Infinity", '"0.5"', "null", "[]"]))
def test_a_score_file_with_a_value_that_is_no_number_cannot_be_read(scores, place, bad) -> None:
    text = scores("new", [0.25] * 10).to_json().replace(f'"q{place}": 0.25', f'"q{place}": {bad}')
    if bad == '"0.5"':
        return  # pydantic reads a number in quotes as what it says
    with pytest.raises(DataError, match="is not a score file"):
        ScoreFile.parse(text.encode(), "scores.json")


@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_are_never_a_score_file_and_never_a_traceback(data) -> None:
    with pytest.raises(DataError, match="is not a score file"):
        ScoreFile.parse(data, "scores.json")


@given(share=st.floats(0, 0.999))
def test_a_score_file_that_was_cut_short_cannot_be_read(scores, share) -> None:
    content = scores("new", [0.25] * 10).to_json().encode()
    with pytest.raises(DataError, match="is not a score file"):
        ScoreFile.parse(content[: int(share * len(content))], "scores.json")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_score_file_in_another_encoding_cannot_be_read(scores, encoding) -> None:
    with pytest.raises(DataError, match="is not a score file"):
        ScoreFile.parse(scores("new", [0.25]).to_json().encode(encoding), "scores.json")


@pytest.mark.parametrize("names", [("7", "07", "7.0", "1e1"), ("a\nb", "a\tb", "\x00", "ü")], ids=["numbers", "odd"])
def test_query_ids_are_text_and_stay_apart(scores, names) -> None:
    def renamed(file: ScoreFile) -> ScoreFile:
        values = {metric: dict(zip(names, file.per_query[metric].values(), strict=True)) for metric in file.per_query}
        return ScoreFile.parse(file.model_copy(update={"per_query": values}).to_json().encode(), "scores.json")

    decision = decide(renamed(scores("new", [0.9, 0.8, 0.7, 0.6])), renamed(scores("old", [0.5, 0.5, 0.5, 0.5])))
    assert decision.queries == 4 and decision.delta == pytest.approx(0.25)
