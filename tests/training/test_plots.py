import json

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the evaluate extra is not installed")

from training import plots
from training.calibrate import expected_calibration_error
from training.decide import decision_figures, threshold


def drawn(n=400, seed=0):
    """Random probabilities, and labels that are drawn from them: calibrated by construction."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet((1, 1, 1), n)
    return probabilities, np.asarray([rng.choice(3, p=p) for p in probabilities])


def test_bins_hold_every_text_and_give_the_calibration_error():
    probabilities, truth = drawn()
    bins = plots.reliability_bins(probabilities, truth)
    assert sum(b.n for b in bins) == len(truth)
    assert all(b.low <= b.accuracy <= b.high for b in bins)
    gap = sum(b.n * abs(b.confidence - b.accuracy) for b in bins) / len(truth)
    assert gap == pytest.approx(expected_calibration_error(probabilities, truth, plots.BINS))


def test_wilson_is_the_interval_of_the_textbook():
    assert plots.wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert plots.wilson(0, 12)[0] == 0
    assert plots.wilson(12, 12)[1] == 1


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_three_plots_are_written_the_same_each_time(tmp_path, kind):
    once, again = (plots.save_plots(*drawn(), tmp_path / run, "some", kind) for run in ("a", "b"))
    assert [p.name for p in once] == [f"some-{part}.{kind}" for part in ("reliability", "confusion", "scores")]
    assert [p.read_bytes() for p in once] == [p.read_bytes() for p in again]


def test_confusion_shows_counts_and_shares_of_the_true_label(tmp_path):
    probabilities = np.asarray([[0.8, 0.1, 0.1]] * 3 + [[0.1, 0.1, 0.8]])
    written = plots.save(plots.confusion(probabilities, np.zeros(4, dtype=np.int64)), tmp_path / "c.svg").read_text()
    assert "75%" in written
    assert "25%" in written


def test_one_text_and_a_missing_label_can_be_drawn(tmp_path):
    assert len(plots.save_plots(np.asarray([[0.2, 0.5, 0.3]]), np.asarray([1]), tmp_path, "one")) == 3


def test_curve_has_a_panel_for_each_value_also_for_one_that_is_seldom_there(tmp_path):
    curve = [{"step": 1, "conduct": 4.0}, {"step": 2, "conduct": 3.0, "dev_macro_f1": 0.6}, {"step": 3, "odd": 1.0}]
    written = plots.save(plots.training_curve(curve), tmp_path / "t.svg").read_text()
    assert all(title in written for title in ("loss: conduct", "macro F1 on development data", "odd"))


def test_flagging_by_cost_is_cheaper_than_the_most_probable_label_where_misses_are_dear():
    figures = decision_figures(*drawn(2000), 9)
    assert figures["threshold"] == threshold(9) == 0.1
    assert figures["by_cost"]["recall"] > figures["most_probable"]["recall"]
    cheapest = min(figures[rule]["cost_per_1000"] for rule in ("most_probable", "flag_all", "flag_none"))
    assert figures["by_cost"]["cost_per_1000"] < cheapest
    assert figures["best_threshold_here"] == pytest.approx(0.1, abs=0.05)


def test_costs_are_counted_as_said():
    probabilities = np.asarray([[0.6, 0.3, 0.1], [0.4, 0.5, 0.1], [0.4, 0.5, 0.1], [0.1, 0.2, 0.7]])
    figures = decision_figures(probabilities, np.asarray([0, 0, 1, 2]), 3)
    # By the most probable label one negative text is missed; from 0.25 up, one neutral text is flagged.
    assert figures["most_probable"]["cost_per_1000"] == 750
    assert figures["by_cost"] | {"cost_per_1000_interval": None} == {
        "flagged": 3,
        "found": 2,
        "recall": 1.0,
        "precision": 0.6667,
        "cost_per_1000": 250.0,
        "cost_per_1000_interval": None,
    }


def test_the_released_bundle_has_a_curve_to_draw(tmp_path):
    record = plots.RELEASED / "training.json"
    if not record.is_file():
        pytest.skip("no released bundle in model/released")
    assert plots.save(plots.training_curve(json.loads(record.read_text())["curve"]), tmp_path / "t.svg").stat().st_size
