"""What an estimate makes of texts and features that it was not made for."""

import dataclasses
import math

import pytest

from model.codebook import CUE_VALUES
from model.loyalty import CONDUCT_FEATURES, FULL_FEATURES, LoyaltyHead
from model.scorer import Scorer
from model.types import CaseFeatures
from tests.fakes import fake_fit

HEAD = LoyaltyHead(fake_fit(FULL_FEATURES), fake_fit(CONDUCT_FEATURES))


@pytest.fixture(scope="module")
def scorer():
    return Scorer.load()


def reasonable(estimate):
    return 0 <= estimate.low <= estimate.index <= estimate.high <= 100 and sum(
        e.contribution for e in estimate.evidence
    ) == pytest.approx(estimate.index, abs=1e-6)


@pytest.mark.parametrize(
    "cues",
    [
        dict.fromkeys(CUE_VALUES, 1.0),
        {"contact:made": 1.0, "contact:none": 1.0},
        {"solved:yes": 0.5, "solved:partly": 0.5, "solved:no": 0.5},
        {},
    ],
)
def test_contradictory_or_empty_features_still_give_a_whole_estimate(cues):
    case = CaseFeatures({**dict.fromkeys(CUE_VALUES, 0.0), **cues}, 3.0, 1.0, 1.0, None, 0)
    assert reasonable(HEAD.estimate(case))


def test_a_cue_that_nobody_knows_is_no_feature():
    known = CaseFeatures({"redress:refund": 1.0}, 1.0, 1.0, 0.0, 0.0, 9)
    odd = dataclasses.replace(known, cues={**known.cues, "redress:gold": 1.0, "": math.pi})
    assert HEAD.estimate(known) == HEAD.estimate(odd)


@pytest.mark.parametrize(
    ("text", "statuses"),
    [
        ("The moon is a rock, and the sea follows it.", {"low_evidence", "abstain"}),
        ("Boil the eggs for ten minutes, then peel them.", {"low_evidence", "abstain"}),
        ("", {"abstain"}),
        ("\U0001f621\U0001f621\U0001f621", {"low_evidence", "abstain"}),
        ("Der Kundendienst hat nie geantwortet, und das Geld ist immer noch nicht da. Nie wieder!", {"out_of_domain"}),
    ],
)
def test_texts_about_no_company_or_in_another_language_have_a_status_that_says_so(scorer, text, statuses):
    (found,) = scorer.loyalty([text])
    assert found.status in statuses
    assert found.reason


def test_the_other_company_does_not_count_for_more_than_the_one_that_failed(scorer):
    both = "Brightpot ignored me for weeks and never paid. So I went to Hollin Ware, who were kind and quick."
    alone = "Hollin Ware were kind and quick and paid the same day."
    mixed, happy = (found.loyalty.index for found in scorer.loyalty([both, alone]))
    assert mixed < happy


@pytest.mark.slow
def test_ten_thousand_words_are_read_whole(scorer):
    text = " ".join(["The kettle from Brightpot leaked, I called, and nobody ever answered."] * 1000)
    (found,) = scorer.loyalty([text])
    assert found.status == "ok"
    assert reasonable(found.loyalty)


def test_an_intention_to_leave_that_was_given_up_is_no_statement_of_leaving(scorer):
    given_up = "I was about to cancel my contract, but then a manager rang and sorted it all out."
    meant = "I am about to cancel my contract."
    for text, says in ((given_up, False), (meant, True)):
        (reading,) = scorer.conduct([text])
        assert any(s.kind == "leave" and s.probability >= 0.5 for s in reading.statements) is says
