"""The figures of the loyalty estimate, on examples of which it is known what they should be."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the evaluate extra is not installed")

from model.codebook import CUE_VALUES
from model.loyalty import CONDUCT_FEATURES, FULL_FEATURES, Fit, LoyaltyHead, vector
from model.types import CaseFeatures
from tests.fakes import fake_fit
from training import loyalty_figures
from training.loyalty import Example, told_index, with_spread


def example(rng, company="Own", domain="recommend", shift=0.0):
    """Speaks well with the log-odds 4 valence + shift; the text says so, too."""
    valence = float(rng.uniform(-1, 1))
    happy = int(rng.random() < 1 / (1 + np.exp(-4 * valence - shift)))
    text = f"{'fine trip' if valence > 0 else 'sad trip'} by plane number {rng.integers(9)}"
    features = CaseFeatures(dict.fromkeys(CUE_VALUES, 0.0), 1.0, 1.0, 0.0, valence, 40)
    return Example(features, domain, company, 2, -1, happy, True, text, "service")


def valence_fit(weight=4.0, spread=0.0):
    """A fit that listens to the sentiment alone."""
    row = np.zeros(len(FULL_FEATURES) + 2)
    row[FULL_FEATURES.index("valence")] = weight
    row[-2:] = -0.5, 0.5
    return Fit(FULL_FEATURES, row[None], row[None], np.zeros((1, 3)), spread)


def examples(n, seed=0, shift=0.0, companies=("Alder", "Birch", "Cedar")):
    rng = np.random.default_rng(seed)
    return [example(rng, companies[i % len(companies)], shift=shift) for i in range(n)]


HEAD = LoyaltyHead(valence_fit(), fake_fit(CONDUCT_FEATURES))


@pytest.fixture(scope="module")
def figures_of_a_right_head():
    return loyalty_figures.word_figures(HEAD, examples(400))


def test_a_head_that_is_right_is_calibrated_and_beats_the_base_rate(figures_of_a_right_head):
    figures = figures_of_a_right_head["all"]
    full, base = figures["full"], figures["base_rate"]
    assert full["auc"] > 0.85
    assert full["interval"][0] < full["auc"] < full["interval"][1]
    assert full["slope"] == pytest.approx(1, abs=0.35)
    assert full["ece"] < 0.1
    assert full["brier_skill"] > 0.3 > base["brier_skill"] > -0.1
    assert figures["tfidf"]["auc"] > 0.7 > base["auc"]


def test_a_source_that_asks_differently_needs_an_intercept_of_its_own():
    full = loyalty_figures.word_figures(HEAD, examples(400, shift=2.0), baselines=False)["all"]["full"]
    assert full["ece"] < 0.09 < full["ece_without_intercept"]


def test_an_intercept_is_learnt_on_a_reference_where_there_is_one():
    other = examples(400, seed=1, shift=2.0, companies=("Elm",))
    figures = loyalty_figures.word_figures(HEAD, examples(400, shift=2.0), other, baselines=False)["all"]
    assert figures["full"]["ece"] < 0.09
    assert "tfidf" not in figures


def test_leaving_out_the_unsure_leaves_fewer_errors(figures_of_a_right_head):
    risk = figures_of_a_right_head["abstention"]
    assert risk["0.4"] < risk["0.8"] < risk["1"]


@pytest.mark.parametrize("companies", [("Alder",), ("Alder", "Birch"), tuple("abcdefgh")])
def test_folds_keep_companies_apart_and_judge_everyone_once(companies):
    found = examples(40, companies=companies)
    held = []
    for known, judged in loyalty_figures.folds(found):
        held += judged
        assert not set(known) & set(judged)
        if len(companies) > 1:
            assert not {found[i].company for i in known} & {found[i].company for i in judged}
    assert sorted(held) == list(range(40))


def test_one_outcome_alone_gives_no_figures():
    happy = [e for e in examples(100) if e.wom == 1]
    assert loyalty_figures.word_figures(HEAD, happy) == {"companies": 3}


def test_a_company_is_one_under_two_spellings():
    assert loyalty_figures.house("North-Air Ltd") == loyalty_figures.house("north air LTD")


def test_calibration_error_is_none_for_what_is_right_on_average_and_large_for_what_is_not():
    truth = np.asarray([True, False] * 50)
    assert loyalty_figures.calibration_error(np.full(100, 0.5), truth) < 0.02
    assert loyalty_figures.calibration_error(np.full(100, 0.9), truth) == pytest.approx(0.4)


def documents(n, fit, seed):
    """Annotated outcomes drawn from the fit's own probabilities."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        e = example(rng, domain="annotated")
        x = vector(e.features, FULL_FEATURES)
        stance, word = fit.scores(x, slice(0, 1))
        outcomes = [
            int(rng.choice(3, p=fit.three(which, score, slice(0, 1))[0]))
            for which, score in (("repurchase", stance), ("wom", word))
        ]
        found.append(Example(e.features, "annotated", "Own", 3, *outcomes))
    return found


def test_spread_intervals_hold_four_in_five_of_new_documents():
    fit = with_spread(valence_fit(), documents(300, valence_fit(), 1))
    figures = loyalty_figures.document_figures(LoyaltyHead(fit, fit), documents(400, valence_fit(), 2))["full"]
    assert 0.74 < figures["coverage"] < 0.9
    assert figures["coverage_by_company"]["own"]["n"] == 400


def test_a_fit_without_a_spread_gives_the_narrow_interval_of_its_parameters():
    case = documents(1, valence_fit(), 3)[0].features
    head = LoyaltyHead(valence_fit(), fake_fit(CONDUCT_FEATURES))
    narrow, wide = head.estimate(case), LoyaltyHead(valence_fit(spread=1.3), head.conduct).estimate(case)
    assert wide.low < narrow.low <= narrow.index == wide.index <= narrow.high < wide.high
    assert sum(e.contribution for e in wide.evidence) == pytest.approx(wide.index, abs=1e-6)
    assert 0 <= wide.low <= wide.high <= 100


def test_what_authors_turned_out_to_say_runs_from_nothing_to_a_hundred():
    base = examples(1)[0]
    ends = [Example(base.features, "annotated", "Own", 3, r, w) for r, w in ((0, 0), (1, 1), (2, 2), (0, 2))]
    assert [told_index(e) for e in ends] == [0, 50, 100, 50]


def test_companies_and_sources_are_left_out_in_turn():
    train = [e for name in ("Alder", "Birch") for e in examples(60, companies=(name,))]
    left = loyalty_figures.left_out_companies(train)
    assert left["n"] == 120
    assert set(left["by_company"]) == {"alder", "birch"}
    rng = np.random.default_rng(5)
    stars = [Example(**{**vars_of(example(rng)), "domain": "stars", "classes": 3, "wom": w}) for w in (0, 2) * 40]
    crossed = loyalty_figures.transferred([*train, *stars], {})
    assert set(crossed) == {"recommend_to_stars", "stars_to_recommend"}
    assert crossed["stars_to_recommend"]["n"] == 120


def vars_of(e):
    return {name: getattr(e, name) for name in e.__dataclass_fields__}
