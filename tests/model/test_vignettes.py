"""Published findings against the released model: the order of the cases, not the figures."""

from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the evaluate extra is not installed")

from model.case import case_features
from model.codebook import CUE_VALUES
from model.loyalty import CONDUCT_FEATURES
from model.scorer import Scorer
from tests.fakes import fake_fit
from training.vignettes import VIGNETTES, agreement, as_texts, dispute_figures, structured

DISPUTES = Path(__file__).parents[2].parent / "shared/data/loyalty/disputes.parquet"


@pytest.fixture(scope="module")
def scorer():
    return Scorer.load()


def test_there_are_enough_cells_and_every_one_is_readable():
    assert len(VIGNETTES) >= 20
    assert all(name in CUE_VALUES for v in VIGNETTES for name in v.cues)
    assert len({v.text for v in VIGNETTES}) == len(VIGNETTES)
    assert all(sum(w.study == v.study for w in VIGNETTES) > 1 for v in VIGNETTES)


def test_agreement_is_one_for_the_published_order_and_minus_one_for_its_reverse():
    figures = [v.figure for v in VIGNETTES]
    assert agreement(VIGNETTES, figures)["tau"] == 1
    assert agreement(VIGNETTES, [-f for f in figures])["tau"] == -1
    assert agreement(VIGNETTES, [0.0] * len(VIGNETTES))["tau"] == 0


def test_a_head_that_knows_only_refunds_orders_little():
    assert abs(structured(fake_fit(CONDUCT_FEATURES))["tau"]) < 0.6


def test_the_released_head_orders_features_as_studies_did(scorer):
    found = structured(scorer.bundle.loyalty.conduct)
    assert found["tau"] >= 0.6
    assert found["by_study"]["resolution and speed (TARP, US surveys)"] >= 0.6


def test_the_released_head_orders_texts_as_studies_did(scorer):
    def read(texts):
        return [case_features([s.text_reading]) for s in scorer.read_texts(texts)]

    assert as_texts(scorer.bundle.loyalty.conduct, read)["tau"] >= 0.2


@pytest.mark.data
@pytest.mark.skipif(not DISPUTES.is_file(), reason="the development data is not beside the repository")
def test_what_was_disputed_less_has_the_higher_index(scorer):
    found = dispute_figures(scorer.bundle.loyalty, DISPUTES)
    money, kind, words = found["by_response"].values()
    assert money["disputed"] < kind["disputed"] < words["disputed"]
    assert money["index"] > words["index"]
    assert kind["index"] > words["index"]
    assert found["auc"] > 0.5
