"""Outcomes find the predictions of their cases, and move the loyalty head the right way, or not at all."""

import json
from dataclasses import replace

import numpy as np
import pytest

from model.bundle import RELEASED, load_bundle
from model.codebook import CUE_VALUES
from model.loyalty import CONDUCT_FEATURES, FULL_FEATURES, Fit, LoyaltyHead, sigmoid, vector
from model.types import CaseFeatures
from training import loyalty_gate, recalibrate
from training.labels import Rows, read_examples
from training.loyalty import SIGNS, recommend_examples
from training.outcomes import Joined, Pair, Prediction, case_of, join
from training.recalibrate import Move
from training.retrain import retrain
from training.rewrite import loyalty_arrays, rewritten

CASE = {"probabilities": {"solved:no": 0.9, "contact:none": 0.4}, "severity": 2.0, "failure": 1.0, "valence": -0.5}


def prediction(**changes):
    return {"kind": "prediction", "case_id": "C-1", "case": CASE, "predicted_at": "2026-03-01"} | changes


def outcome(name="left", seen="2026-04-01", **changes):
    return {"kind": "outcome", "outcome": name, "observed_at": seen, "case_id": "C-1"} | changes


def joined(*rows):
    return join(read_examples([Rows("crm", rows)], "loyalty").used)


# ---------------------------------------------------------------------------------------------------------- the join


def test_an_outcome_joins_the_last_prediction_of_its_case_that_was_made_before_it():
    found = joined(
        prediction(),
        prediction(predicted_at="2026-03-20", case=CASE | {"severity": 1.0}),
        prediction(predicted_at="2026-05-01", case=CASE | {"severity": 3.0}),
        outcome(),
    )
    [pair] = found.pairs
    assert (pair.head, pair.good, pair.rule) == ("repurchase", False, "case_id")
    assert pair.prediction.case.severity == 1.0
    assert found.report()["days_later"] == 12


def test_without_a_case_id_thread_and_author_join_and_a_name_alone_does_not():
    kept = prediction(case_id=None, thread_id="t1", author="Ines")
    found = joined(kept, outcome(case_id=None, thread_id="t1", author="ines", name="warned"))
    assert [(p.head, p.good, p.rule) for p in found.pairs] == [("wom", False, "thread_id and author")]
    found = joined(kept, outcome(case_id=None, author="Ines"))
    assert not found.pairs
    assert found.report()["refused"] == {"no_prediction": 1}


def test_the_case_id_comes_before_thread_and_author():
    found = joined(
        prediction(case=CASE | {"severity": 1.0}),
        prediction(case_id=None, thread_id="t1", author="Ines", case=CASE | {"severity": 3.0}),
        outcome(thread_id="t1", author="Ines"),
    )
    assert [(p.rule, p.prediction.case.severity) for p in found.pairs] == [("case_id", 1.0)]


def test_what_was_seen_before_the_prediction_is_refused_and_the_reason_told():
    found = joined(prediction(), outcome(seen="2026-02-01"))
    assert not found.pairs
    assert found.refused[0].reason == "seen_before"
    assert "2026-03-01 or later" in found.refused[0].line


def test_the_outcome_seen_last_counts_and_a_contradiction_on_one_day_is_told():
    found = joined(prediction(), outcome("bought_again", "2026-04-01"), outcome("left", "2026-06-01"))
    assert [p.good for p in found.pairs] == [False]
    assert found.replaced == 1
    found = joined(prediction(), outcome("bought_again"), outcome("left"))
    assert not found.pairs
    assert found.report()["refused"] == {"conflict": 2}
    assert "bought_again and left on 2026-04-01" in found.report()["refused_rows"][0]


def test_repurchase_and_word_of_mouth_of_one_case_are_two_pairs():
    found = joined(prediction(), outcome("left"), outcome("recommended", "2026-07-01"))
    assert {(p.head, p.good) for p in found.pairs} == {("repurchase", False), ("wom", True)}


def test_an_outcome_may_bring_its_prediction_along_also_as_text_of_a_table(tmp_path):
    path = tmp_path / "crm.csv"
    predicted = json.dumps({"case": CASE})[9:-1].replace('"', '""')
    path.write_text(f'outcome,observed_at,author,case\nwarned,2026-04-01,Ines,"{predicted}"\n', encoding="utf-8")
    found = join(read_examples([path], "loyalty").used)
    assert [(p.rule, p.prediction.case.cues["solved:no"]) for p in found.pairs] == [("own", 0.9)]
    assert found.report()["undated"] == 1


def test_a_record_of_conduct_is_a_case_and_what_the_codebook_lacks_is_none():
    case = case_of({"cues": {"redress": ["refund", "voucher"], "speed": "fast"}, "severity": 1})
    assert case.cues == {"redress:refund": 1.0, "redress:voucher": 1.0, "speed:fast": 1.0}
    assert (case.failure, case.valence) == (1.0, None)
    assert case_of({"cues": {"weather": "bad"}, "severity": 1}) is None
    assert case_of({"probabilities": {"solved:no": 2.0}, "severity": 1}) is None
    assert case_of({"severity": 1}) is None


# ------------------------------------------------------------------------------------------------------ the movement


def fit_of(features, rows=3):
    """A fit with the signs of the literature; its bootstrap rows differ a little."""
    rng = np.random.default_rng(0)
    base = np.asarray([1.2 * SIGNS.get(name, 0) for name in features])
    weights = base * (1 + 0.1 * rng.random((rows, len(features))))
    if "valence" in features:
        weights[:, features.index("valence")] = 1.5
    cuts = np.tile([-0.6, 0.9], (rows, 1))
    matrix = np.concatenate([weights, cuts], axis=1)
    return Fit(features, matrix, matrix.copy(), np.tile([-1.0, 0.6, 0.4], (rows, 1)), 1.5)


HEAD = LoyaltyHead(fit_of(FULL_FEATURES), fit_of(CONDUCT_FEATURES))


def cases(n, seed=1):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        cues = {name: float(rng.random()) for name in CUE_VALUES if name in SIGNS and rng.random() < 0.3}
        failure = float(rng.random() < 0.7)
        found.append(CaseFeatures(cues, 2 * failure * rng.random(), failure, 0.0, float(rng.uniform(-1, 1)), 50))
    return found


def stream(n, truth=None, head="repurchase", seed=1):
    """Pairs whose outcomes follow the full fit of HEAD, its score moved by truth."""
    rng = np.random.default_rng(seed)
    truth = truth or Move()
    matrix = HEAD.full.repurchase
    pairs = []
    for i, case in enumerate(cases(n, seed)):
        z = np.asarray([vector(case, FULL_FEATURES) @ matrix[0, :-2] - recalibrate.middle(matrix)[0]])
        p = sigmoid(recalibrate.log_odds(truth(z), recalibrate.half_gap(matrix)))[0]
        pairs.append(Pair(f"C-{i}", head, bool(rng.random() < p), None, Prediction(None, case, {}), "case_id"))
    return pairs


def taught(pairs):
    return loyalty_gate.update(HEAD, Joined(tuple(pairs), (), 0, len(pairs), 0), "digest")


def unchanged(head):
    sides = ((getattr(h, side) for h in (HEAD, head)) for side in ("full", "conduct"))
    return all(
        np.array_equal(getattr(a, part), getattr(b, part))
        for a, b in sides
        for part in ("repurchase", "wom", "advocate")
    )


def seen_of(pairs):
    return recalibrate.observed(HEAD.full, "repurchase", "full", pairs, "digest")


def test_log_odds_are_those_of_the_two_ends():
    z, half = np.asarray([-2.0, 0.0, 1.3]), 0.75
    stay, leave = sigmoid(z - half), sigmoid(-z - half)
    assert sigmoid(recalibrate.log_odds(z, half)) == pytest.approx(stay / (stay + leave))


def test_without_outcomes_nothing_moves_at_all():
    assert recalibrate.fitted(seen_of([])) == Move()
    found = taught([])
    assert unchanged(found.head)
    assert [c.name for c in found.checks if not c.passed] == ["enough outcomes"]


def test_few_outcomes_move_little_and_many_move_far():
    truth = Move(-1.5, 1.0)
    few, many = (recalibrate.fitted(seen_of(stream(n, truth))).intercept for n in (4, 1500))
    assert abs(few) < 0.75
    assert many == pytest.approx(-1.5, abs=0.3)


@pytest.mark.parametrize("truth", [Move(-1.0, 1.0), Move(1.0, 1.0), Move(0.0, 0.6), Move(0.5, 1.5)])
def test_the_move_is_found_that_made_the_data(truth):
    found = recalibrate.fitted(seen_of(stream(1500, truth)))
    assert found.intercept == pytest.approx(truth.intercept, abs=0.3)
    assert found.slope == pytest.approx(truth.slope, abs=0.25)


def test_answers_of_this_bundle_stand_for_a_case_that_was_not_kept_and_those_of_another_do_not():
    pairs = stream(40)
    kept = []
    for p in pairs:
        said = HEAD.estimate(p.prediction.case).repurchase
        kept.append(
            replace(
                p, prediction=Prediction(None, None, {"repurchase": (said["leave"], said["stay"])}, bundle="digest")
            )
        )
    assert seen_of(kept).z == pytest.approx(seen_of(pairs).z, abs=1e-6)
    other = [replace(p, prediction=replace(p.prediction, bundle="other")) for p in kept]
    assert not len(seen_of(other).z)


def test_a_moved_fit_answers_by_the_move_in_every_row_and_keeps_its_gap():
    matrix = recalibrate.moved(HEAD.full.repurchase, [Move(0.7, 1.4)] * 3)
    case = cases(1)[0]
    before, after = (
        vector(case, FULL_FEATURES) @ m[:, :-2].T - recalibrate.middle(m) for m in (HEAD.full.repurchase, matrix)
    )
    assert after == pytest.approx(0.7 + 1.4 * before)
    assert matrix[:, -1] - matrix[:, -2] == pytest.approx(np.full(3, 1.5))


def test_customers_who_leave_more_often_lower_the_answers_and_the_interval_moves_along():
    found = taught(stream(400, Move(-1.5, 1.0)))
    assert all(c.passed for c in found.checks), [c.words for c in found.checks if not c.passed]
    for case in cases(20, seed=5):
        before, after = HEAD.estimate(case), found.head.estimate(case)
        assert after.repurchase["stay"] < before.repurchase["stay"]
        assert after.index < before.index
        assert after.wom == before.wom
        assert after.advocate <= before.advocate + 1e-9
        assert after.low <= after.index <= after.high


def test_outcomes_as_expected_change_nothing():
    found = taught(stream(400))
    assert not any(c.passed for c in found.checks if c.name == "better on your outcomes")
    assert unchanged(found.head)


def test_turned_outcomes_are_refused():
    turned = [replace(p, good=not p.good) for p in stream(400)]
    assert any(c.name.startswith("outcomes follow") and not c.passed for c in taught(turned).checks)


def test_outcomes_of_one_kind_teach_nothing():
    found = taught([replace(p, good=True) for p in stream(100)])
    assert [c.name for c in found.checks if not c.passed] == ["enough outcomes"]
    assert unchanged(found.head)


def test_many_outcomes_refit_the_weights_and_the_signs_hold_against_the_data():
    rng = np.random.default_rng(3)
    pairs = []
    for i, case in enumerate(cases(900, seed=3)):
        # Here customers of companies that did not solve a thing are glad, which no study would believe.
        odds = 3.0 * case.cues.get("solved:no", 0.0) + 2.0 * case.valence + 2.0 * case.cues.get("speed:slow", 0.0) - 0.5
        good = bool(rng.random() < sigmoid(np.asarray([odds]))[0])
        pairs.append(Pair(f"C-{i}", "repurchase", good, None, Prediction(None, case, {}), "case_id"))
    seen = seen_of(pairs)
    matrix = HEAD.full.repurchase
    assert recalibrate.refit_pays(matrix, FULL_FEATURES, seen, loyalty_gate.folds_of(seen.who))
    found = recalibrate.refitted_rows(matrix, FULL_FEATURES, seen)
    changed = replace(HEAD, full=recalibrate.with_heads(HEAD.full, {"repurchase": found}))
    assert loyalty_gate.signs(changed).passed
    column = FULL_FEATURES.index("solved:no")
    assert matrix[0, column] < found[0, column] <= 0
    assert (found[:, -1] - found[:, -2]) == pytest.approx(matrix[:, -1] - matrix[:, -2])


def test_few_outcomes_never_touch_the_weights():
    seen = seen_of(stream(200, Move(-2.0, 0.5)))
    assert not recalibrate.refit_pays(HEAD.full.repurchase, FULL_FEATURES, seen, loyalty_gate.folds_of(seen.who))


def test_a_bundle_is_rewritten_with_another_loyalty_head_and_the_rest_as_it_was(released, tmp_path):
    before = released.bundle
    full = before.loyalty.full
    moved = recalibrate.moved(full.repurchase, [Move(0.5, 1.2)] * len(full.repurchase))
    head = replace(before.loyalty, full=recalibrate.with_heads(full, {"repurchase": moved}))
    out = rewritten(RELEASED, tmp_path / "new", loyalty_arrays(head), {"task": "loyalty"}, {"loyalty": {}})
    after = load_bundle(out)
    assert after.info.digest != before.info.digest
    assert after.loyalty.full.repurchase == pytest.approx(moved, abs=1e-5)
    assert np.array_equal(after.loyalty.conduct.wom, before.loyalty.conduct.wom)
    assert np.array_equal(after.sentiment.weight, before.sentiment.weight)


def rows_of(pairs):
    """The stream as a service would keep it: predictions, and outcomes that came later."""
    for n, p in enumerate(pairs):
        case = p.prediction.case
        said = {
            "probabilities": dict(case.cues),
            "severity": case.severity,
            "failure": case.failure,
            "tenure": case.tenure,
            "valence": case.valence,
        }
        yield prediction(case_id=f"C-{n}", case=said)
        yield outcome("bought_again" if p.good else "left", case_id=f"C-{n}")


def test_retraining_from_outcomes_writes_a_bundle_and_a_report(released, tmp_path):
    rng = np.random.default_rng(2)
    fit = released.bundle.loyalty.full
    pairs = []
    for case in cases(300, seed=2):
        z = vector(case, fit.features) @ fit.repurchase[0, :-2] - recalibrate.middle(fit.repurchase)[0]
        p = sigmoid(recalibrate.log_odds(np.asarray([z - 1.5]), recalibrate.half_gap(fit.repurchase)))[0]
        pairs.append(Pair("", "repurchase", bool(rng.random() < p), None, Prediction(None, case, {}), "case_id"))
    done = retrain(RELEASED, [Rows("feedback", rows_of(pairs))], tmp_path, task="loyalty")
    assert done.decision.promote, done.decision.reasons
    assert done.report["loyalty"]["outcomes"]["joined"] == 300
    assert done.report["loyalty"]["heads"]["full repurchase"]["intercept"][2] < 0
    after = load_bundle(done.folder)
    assert after.loyalty.estimate(pairs[0].prediction.case).churn > churn(released, pairs[0])
    assert json.loads((tmp_path / "report.json").read_text())["decision"]["promote"]
    assert json.loads((done.folder / "bundle.json").read_text())["parent"] == released.info.digest


def churn(released, pair):
    return released.bundle.loyalty.estimate(pair.prediction.case).churn


def test_too_few_outcomes_write_no_bundle_and_say_why(tmp_path):
    done = retrain(RELEASED, [Rows("feedback", [prediction(), outcome()])], tmp_path, task="loyalty")
    assert done.folder is None
    assert not done.decision.promote
    assert "1 bad" in done.decision.reasons[0]


@pytest.mark.slow
@pytest.mark.data
def test_outcomes_of_held_out_reviews_move_the_head_towards_a_known_truth(released, data):
    read = recommend_examples(released, data / "loyalty/recommend_validation.parquet", 150)
    fit, rng = released.bundle.loyalty.full, np.random.default_rng(4)
    x = np.stack([vector(e.features, fit.features) for e in read])
    z = x @ fit.repurchase[0, :-2] - recalibrate.middle(fit.repurchase)[0]
    truth = sigmoid(recalibrate.log_odds(z - 1.5, recalibrate.half_gap(fit.repurchase)))
    customers = rng.integers(0, 100, 500)
    pairs = [
        Pair(str(n), "repurchase", bool(rng.random() < truth[i]), None, Prediction(None, read[i].features, {}), "own")
        for n, i in enumerate(customers)
    ]
    move = recalibrate.fitted(recalibrate.observed(fit, "repurchase", "full", pairs, ""))
    assert -2.0 < move.intercept < -0.7
    held = z[100:]
    before, after = (
        np.abs(sigmoid(recalibrate.log_odds(m(held), recalibrate.half_gap(fit.repurchase))) - truth[100:]).mean()
        for m in (Move(), move)
    )
    assert after < before / 2
