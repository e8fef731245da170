"""The gate: what it lets through, what it refuses, and that its reasons say why."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from training import gate
from training.gate import Check, Decision

RNG = np.random.default_rng(3)


def labels(n, rng=RNG):
    return rng.integers(0, 3, n)


def spoilt(truth, share, rng=RNG):
    """Labels of which a share is another one."""
    wrong = rng.random(len(truth)) < share
    return np.where(wrong, (truth + rng.integers(1, 3, len(truth))) % 3, truth)


def surely(said, confidence=0.8):
    """Probabilities (n, 3) of a model that says these labels."""
    rows = np.full((len(said), 3), (1 - confidence) / 2)
    rows[np.arange(len(said)), said] = confidence
    return rows


def test_macro_f1_is_that_of_scikit_learn():
    truth = labels(200)
    predicted = spoilt(truth, 0.3)
    assert gate.macro_f1(truth, predicted) == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert gate.label_f1(truth, predicted, 1) == pytest.approx(f1_score(truth, predicted, average=None)[1])


def test_a_label_that_never_occurs_does_not_count():
    truth = np.asarray([0, 0, 2, 2])
    assert gate.macro_f1(truth, truth) == 1.0


def test_a_gain_beyond_chance_passes_and_one_within_chance_does_not():
    truth = labels(300)
    worse, better = spoilt(truth, 0.4), spoilt(truth, 0.2)
    assert gate.better(truth, worse, better).passed
    assert not gate.better(truth, better, worse).passed
    few = gate.better(truth[:24], worse[:24], np.concatenate([truth[:1], worse[1:24]]))
    assert not few.passed
    assert "the interval must lie above 0" in few.words


def test_the_interval_of_a_gain_holds_the_gain_and_is_zero_for_the_same_predictions():
    truth = labels(150)
    before, after = spoilt(truth, 0.4), spoilt(truth, 0.2)
    gain, low, high = gate.gain_interval(truth, before, after)
    assert low < gain < high
    assert gate.gain_interval(truth, before, before) == (0.0, 0.0, 0.0)


def test_too_few_examples_and_one_label_alone_are_refused_before_training():
    assert [c.passed for c in gate.enough(["positive"])] == [False, False]
    assert [c.passed for c in gate.enough(["positive"] * 500)] == [True, False]
    assert [c.passed for c in gate.enough(["positive"] * 500 + ["negative"] * 3)] == [True, True]
    assert "500 positive" in gate.enough(["positive"] * 500)[1].words


def test_flipped_labels_are_seen_and_honest_ones_are_not_suspected():
    truth = labels(400)
    # Two models that are right in four of five cases, each in its own.
    champion, challenger = surely(spoilt(truth, 0.2)), surely(spoilt(truth, 0.15))
    honest = gate.doubtful(truth, champion, challenger)
    flipped = spoilt(truth, 0.3)
    poisoned = gate.doubtful(flipped, champion, challenger)
    assert gate.clean(honest).passed
    assert not gate.clean(poisoned).passed
    assert (flipped != truth)[poisoned].mean() > 0.8
    assert "many labels are wrong" in gate.clean(poisoned).words


def test_unsure_models_contradict_nothing():
    truth = labels(60)
    assert (gate.contradicted(truth, np.full((60, 3), 1 / 3)) == -1).sum() >= 20
    assert gate.contradicted(np.asarray([0, 0]), surely(np.asarray([0, 0]))).tolist() == [-1, -1]


def test_a_fall_within_the_tolerance_or_chance_passes_and_one_beyond_both_does_not():
    truth = labels(800)
    before = spoilt(truth, 0.2)
    after = before.copy()
    after[:8] = (truth[:8] + 1) % 3
    assert gate.not_worse("a", "F1", truth, before, before).passed
    assert gate.not_worse("a", "F1", truth, before, after).passed
    fallen = gate.not_worse("a", "F1", truth, before, spoilt(truth, 0.25))
    assert not fallen.passed
    assert fallen.words.startswith("F1 0.8")
    assert "must not surely fall by 0.005" in fallen.words


def test_a_few_more_failed_cases_are_chance_and_many_are_not():
    before = np.zeros(1000, dtype=bool)
    before[:100] = True
    few, many = before.copy(), before.copy()
    few[100:107] = many[100:125] = True
    assert gate.fails_no_more(before, few).passed
    assert not gate.fails_no_more(before, many).passed


def test_the_calibration_error_may_rise_by_chance_over_few_texts_and_not_over_many():
    assert gate.calibrated("a", 0.02, 0.08, 100).passed
    assert not gate.calibrated("a", 0.02, 0.08, 10_000).passed
    assert not gate.at_least("a", "agreement", 0.94, 0.95).passed


def test_one_failed_check_keeps_the_champion_and_force_needs_no_lie():
    good, bad = Check("a", True, "fine"), Check("b", False, "F1 fell")
    assert Decision((good,)).promote
    assert not Decision(()).promote
    refused = Decision((good, bad))
    assert not refused.promote
    assert refused.reasons == ["F1 fell"]
    forced = Decision((good, bad), forced="the old labels are wrong")
    assert forced.promote
    assert not forced.passed
    assert forced.to_dict()["forced"] == "the old labels are wrong"
