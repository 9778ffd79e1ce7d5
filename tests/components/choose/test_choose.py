"""The choice: the best model, or a faster one that is shown to be hardly worse; never a faster one for lack of data."""

import random
from pathlib import Path

import pytest

from components.choose.choose import FASTER, choose
from components.choose.report import table_rows, write_report
from components.errors import DataError
from components.records.choice import Choice
from components.records.measurement import Measured, Measurement

FULL, FEW = 400, 20


def measurement(name, quality, speed, size, *, queries=FULL, spread=0.3, noise=0.02, **changes):
    """A candidate whose dev queries differ as queries do, and from those of other candidates by little."""
    chance, own = random.Random(1), random.Random(name)
    queried = [min(1.0, max(0.0, chance.uniform(quality - spread, quality + spread))) for _ in range(queries)]
    scores = {f"q{n}": min(1.0, max(0.0, value + own.uniform(-noise, noise))) for n, value in enumerate(queried)}
    measured = Measured(
        dataset_digest="d" * 64,
        zero_shot={query: 0.9 * value for query, value in scores.items()},
        trained=scores,
        bm25=0.3,
        corpus_size=4000,
        texts_per_second=speed,
        latency_ms=1000 / speed,
        model_bytes=size,
        dimension=32,
        max_seq_length=64,
        precision="fp32",
        processor="Quick CPU",
        training={"recipe": "seed", "examples": 1000, "steps": 32, "seconds": 40.0},
    )
    return Measurement(base_model=name, measured=measured.model_copy(update=changes))


GOOD = measurement("good", 0.60, 100.0, 400)
NEARLY = measurement("nearly", 0.599, 300.0, 90)
FAST = measurement("fast", 0.50, 900.0, 40)
WORSE = measurement("worse", 0.45, 250.0, 95)
FAILED = Measurement(base_model="broken", failure="broken cannot be opened (no weights); give another.")


def front(choice):
    return {candidate.base_model: candidate.dominated_by for candidate in choice.candidates}


def test_choose_marks_what_another_candidate_beats_in_everything():
    choice = choose([FAST, WORSE, GOOD, NEARLY], 0.01)
    assert front(choice) == {"good": "", "nearly": "", "fast": "", "worse": "nearly"}
    assert [candidate.base_model for candidate in choice.candidates] == ["good", "nearly", "fast", "worse"]


def test_choose_takes_a_faster_model_that_is_shown_to_be_hardly_worse():
    choice = choose([GOOD, NEARLY, FAST], 0.01)
    assert choice.base_model == "nearly"
    assert "nearly encodes 3.0 times as fast as good" in choice.reason
    assert "at most 0.01 behind" in choice.reason


def test_choose_without_a_margin_takes_the_best():
    choice = choose([FAST, NEARLY, GOOD], 0.0)
    assert choice.base_model == "good"
    assert "has the highest NDCG@10" in choice.reason


def test_choose_on_few_queries_takes_the_best_and_no_faster_one_for_lack_of_evidence():
    noisy = {"queries": FEW, "noise": 0.3}
    pair = (measurement("good", 0.6, 100.0, 400, **noisy), measurement("nearly", 0.599, 300.0, 90, **noisy))
    choice = choose(pair, 0.01)
    assert choice.base_model == choice.candidates[0].base_model
    assert "do not tell these two apart" in choice.reason
    assert "There are 20 dev queries" in choice.warnings[0]


@pytest.mark.parametrize(
    ("factor", "chosen"), [(FASTER - 0.05, "good"), (FASTER + 0.05, "quick")], ids=["noise", "faster"]
)
def test_choose_takes_a_speed_within_the_noise_for_the_same(factor, chosen):
    assert choose([GOOD, measurement("quick", 0.597, 100.0 * factor, 400)], 0.01).base_model == chosen


def test_choose_with_a_candidate_that_failed_keeps_its_reason_and_the_others():
    choice = choose([FAILED, GOOD, FAST], 0.01)
    assert choice.failed == {"broken": FAILED.failure}
    assert [candidate.base_model for candidate in choice.candidates] == ["good", "fast"]


def test_choose_of_candidates_that_all_failed_tells_every_reason():
    with pytest.raises(DataError, match=r"No base model could be measured\. broken: broken cannot be opened"):
        choose([FAILED], 0.01)


def test_choose_of_one_candidate_says_that_there_was_nothing_to_compare():
    choice = choose([GOOD], 0.01)
    assert (choice.base_model, choice.candidates[0].interval) == ("good", None)
    assert "nothing was left to compare it with" in choice.reason


def test_choose_of_measurements_on_different_data_is_an_error():
    with pytest.raises(DataError, match="were measured on different data"):
        choose([GOOD, measurement("other", 0.5, 100.0, 10, dataset_digest="e" * 64)], 0.01)


def test_choose_warns_of_different_processors_and_of_what_bm25_beats():
    other = measurement("good", 0.6, 100.0, 400, processor="Slow CPU", bm25=0.9)
    choice = choose([other, measurement("fast", 0.5, 900.0, 40, bm25=0.9)], 0.01)
    assert choice.warnings == [
        "Speeds were measured on different processors and do not compare: Quick CPU, Slow CPU.",
        f"good is below BM25 on these queries: {choice.candidates[0].trained:.4f} against 0.9000.",
    ]


def test_choice_is_read_as_it_was_written(tmp_path):
    choice = choose([GOOD, NEARLY, FAILED], 0.01)
    choice.write(tmp_path / "choice.json")
    assert Choice.read(tmp_path / "choice.json") == choice


def test_measurement_with_neither_numbers_nor_a_reason_is_refused():
    with pytest.raises(ValueError, match="either numbers or a reason"):
        Measurement(base_model="a/b")


@pytest.fixture
def report(tmp_path) -> str:
    choice = choose([GOOD, NEARLY, FAST, WORSE, FAILED], 0.01)
    write_report(choice, tmp_path / "reports" / "choice.html")
    return Path(tmp_path / "reports" / "choice.html").read_text()


def test_write_report_shows_every_candidate_and_the_recommendation(report):
    assert '<span class="good">Recommended: nearly.</span>' in report
    for shown in ("below nearly", "nearly *", "Not measured", "no weights", "Quick CPU", "<svg"):
        assert shown in report
    assert "<script" not in report
    assert "http" not in report.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ).replace("https://matplotlib.org", ""), "needs no network"


def test_write_report_escapes_the_names_of_models(tmp_path):
    choice = choose([measurement("<b>$x$</b>", 0.5, 100.0, 40), FAST], 0.01)
    write_report(choice, tmp_path / "choice.html")
    assert "<b>" not in (tmp_path / "choice.html").read_text()


def test_table_rows_star_the_recommended_model():
    choice = choose([GOOD, NEARLY], 0.01)
    assert [row[0] for row in table_rows(choice)] == ["good", "nearly *"]
