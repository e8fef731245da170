import time
from dataclasses import replace

import numpy as np
import pytest

from model.case import TextReading, case_features, later_parts
from model.codebook import CUE_VALUES
from model.loyalty import CONDUCT_FEATURES, FULL_FEATURES, LoyaltyHead, _s, band, sigmoid
from model.types import CaseFeatures, Cue, Reading, SentenceSentiment, Sentiment, Statement
from tests.fakes import fake_fit

HEAD = LoyaltyHead(fake_fit(FULL_FEATURES), fake_fit(CONDUCT_FEATURES))


def features(valence=0.0, **cues):
    named = {name.replace("__", ":"): p for name, p in cues.items()}
    return CaseFeatures({**dict.fromkeys(CUE_VALUES, 0.0), **named}, 1.0, 1.0, 0.0, valence, 50)


def reading(cues=None, statements=(), severity="1"):
    return Reading(
        (),
        tuple(statements),
        None,
        {**dict.fromkeys((*CUE_VALUES, "tenure"), 0.0), **(cues or {})},
        {"customer": 1.0},
        {"none": 0.2, "service": 0.8},
        {str(i): float(str(i) == severity) for i in range(4)},
        {},
        {},
    )


def sentence(start, end, valence):
    positive = max(valence, 0.0)
    return SentenceSentiment(start, end, Sentiment("neutral", positive - valence, 1 - abs(valence), positive, valence))


def test_probabilities_are_distributions_and_the_index_follows_its_formula():
    found = HEAD.estimate(features(valence=0.3, redress__refund=0.9))
    r, w = found.repurchase, found.wom
    assert sum(r.values()) == pytest.approx(1)
    assert sum(w.values()) == pytest.approx(1)
    expected = 50 + 25 * (r["stay"] - r["leave"]) + 25 * (w["positive"] - w["negative"])
    assert found.index == pytest.approx(expected)
    assert found.churn == r["leave"]
    assert 0 <= found.low <= found.index <= found.high <= 100


def test_what_helps_raises_the_index_and_what_hurts_lowers_it():
    plain = HEAD.estimate(features()).index
    assert HEAD.estimate(features(redress__refund=1.0)).index > plain
    assert HEAD.estimate(features(contact__none=1.0)).index < plain


def test_the_conduct_only_index_does_not_listen_to_the_sentiment():
    happy, angry = HEAD.estimate(features(valence=0.9)), HEAD.estimate(features(valence=-0.9))
    assert happy.index > angry.index
    assert happy.index_conduct == angry.index_conduct


@pytest.mark.parametrize("valence", [-0.8, 0.0, 0.4])
def test_contributions_add_up_to_the_index(valence):
    found = HEAD.estimate(features(valence=valence, redress__refund=0.7, contact__none=0.4))
    assert sum(e.contribution for e in found.evidence) == pytest.approx(found.index, abs=1e-6)
    assert found.evidence[0].feature == "base"


def test_opposite_cues_that_cancel_still_add_up():
    found = HEAD.estimate(features(redress__refund=1.0, contact__none=1.0))
    assert sum(e.contribution for e in found.evidence) == pytest.approx(found.index, abs=1e-6)


def test_an_uncertain_cue_widens_the_interval():
    sure, unsure = HEAD.estimate(features(redress__refund=1.0)), HEAD.estimate(features(redress__refund=0.5))
    assert unsure.high - unsure.low > sure.high - sure.low


def test_nobody_is_an_advocate_more_surely_than_they_stay_and_speak_well():
    for valence in (-1.0, 0.0, 1.0):
        found = HEAD.estimate(features(valence=valence))
        assert found.advocate <= min(found.repurchase["stay"], found.wom["positive"]) + 1e-9


def test_evidence_quotes_the_words_and_coverage_names_what_is_unknown():
    cue = Cue("redress", "refund", "present", 0.9, "they paid it back", 4, 21, "c1")
    advice = Cue("apology", None, "hypothetical", 0.9, "they should say sorry", 30, 51, "c1")
    found = HEAD.estimate(features(redress__refund=0.9), [cue, advice])
    assert [e.quote for e in found.evidence if e.feature == "redress:refund"] == ["they paid it back"]
    assert found.coverage == pytest.approx(1 / 8)
    assert "apology" in found.missing
    assert "redress" not in found.missing


@pytest.mark.parametrize(
    ("index", "advocate", "churn", "expected"),
    [
        (80, 0.1, 0.1, "advocate"),
        (60, 0.5, 0.1, "advocate"),
        (60, 0.1, 0.1, "retained"),
        (45, 0, 0, "ambivalent"),
        (45, 0, 0.5, "at_risk"),
        (20, 0, 0, "at_risk"),
    ],
)
def test_bands(index, advocate, churn, expected):
    assert band(index, advocate, churn) == expected


def said(kind, probability=0.9):
    return Statement(kind, probability, "so I say", 0, 8)


@pytest.mark.parametrize(
    ("index", "stated", "expected"),
    [
        (60, [said("promote")], "advocate"),
        (60, [said("stay")], "retained"),
        (60, [said("promote", 0.4)], "retained"),
        (60, [said("promote"), said("leave")], "retained"),
        (45, [said("stay"), said("leave")], "ambivalent"),
        (45, [said("stay")], "ambivalent"),
        (45, [said("leave")], "at_risk"),
        (60, [said("leave")], "retained"),
        (45, [said("warn")], "at_risk"),
    ],
)
def test_own_words_bear_on_the_band_unless_the_estimate_contradicts_them(index, stated, expected):
    assert band(index, 0.1, 0.1, stated) == expected


def test_a_case_takes_the_strongest_mention_and_the_worst_severity():
    first = TextReading(reading({"redress:refund": 0.2}, severity="3"), (sentence(0, 10, -1.0),), 10)
    second = TextReading(reading({"redress:refund": 0.9}, severity="0"), (sentence(0, 30, 1.0),), 20)
    found = case_features([first, second])
    assert found.cues["redress:refund"] == 0.9
    assert found.severity == 3
    assert found.valence == pytest.approx(0.0)
    assert found.length == 30


def told(raw, *labels):
    """A text in which each label stands at its own word with a probability of .9."""
    cues = []
    for label in labels:
        cue, _, value = label.partition(":")
        start = raw.index(value)
        cues.append(Cue(cue, value, "present", 0.9, value, start, start + len(value)))
    found = replace(reading(dict.fromkeys(labels, 0.9)), cues=tuple(cues))
    return TextReading(found, (), len(raw.split()), raw)


def test_what_is_reported_later_ends_what_it_contradicts():
    first = told("none refused no denied", "contact:none", "redress:refused", "solved:no", "responsibility:denied")
    update = told("made refund yes", "contact:made", "redress:refund", "solved:yes")
    cues = case_features([first, update]).cues
    assert [cues[label] for label in ("contact:made", "redress:refund", "solved:yes")] == [0.9, 0.9, 0.9]
    assert cues["contact:none"] == pytest.approx(0.09)
    assert cues["redress:refused"] == pytest.approx(0.09)
    assert cues["solved:no"] == pytest.approx(0.09)
    assert cues["responsibility:denied"] == 0.9
    # What came first does not end what came after it.
    assert case_features([update, first]).cues["contact:none"] == 0.9


def test_within_one_telling_both_values_stand_until_an_update_is_marked():
    both = "contact:none", "contact:made"
    assert case_features([told("none for a week, then contact was made.", *both)]).cues["contact:none"] == 0.9
    marked = told("none for a week.\nEDIT 3 May: contact was made.", *both)
    assert case_features([marked]).cues["contact:none"] == pytest.approx(0.09)
    older = told("made today.\n\nOriginal review: none for a week.", *both)
    assert case_features([older]).cues["contact:none"] == pytest.approx(0.09)


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        ("It broke. Update: it works.", ["Update: it works."]),
        ("It broke.\n\n**UPDATE 3 May** - it works.\nEdit: it broke.", ["UPDATE", "Edit"]),
        ("Update: it works.", []),
        ("Update: it works. Original post: it broke.", ["Update: it works."]),
        ("They promised an update on Monday: nothing came.", []),
        ("I update the app, then it breaks - always.", []),
        *(
            (f"They kept my deposit.\n\n{update}", [update])
            for update in (
                "Final update: they paid.",
                "2nd update: they paid.",
                "Latest update: they paid.",
                "Later edit: they paid.",
                "Quick update (June): they paid.",
                "Update!! They paid.",
                "UPDATE\nThey paid.",
                "Update\n\nThey paid.",
                "Update. They paid.",
                "UPDATE 12/05/2023 they paid.",
                "Update 3 May they paid.",
                "Update (two weeks later, after my letter to the CEO): they paid.",
                "Addendum: they paid.",
                "Follow-up: they paid me all of it.",
            )
        ),
        ("Update: they paid.\n\nORIGINAL REVIEW\n\nThey kept my deposit.", ["Update: they paid."]),
        ("Update. They paid.\n\nOriginal: they kept my deposit.", ["They paid."]),
        # Software, choices of a menu, labels of a review, kinds of a product.
        ("It died. Update 12.1.2 broke everything.", []),
        ("It was slow. Latest update made it worse - again.", []),
        ("It came.\nUpdates (which I never asked for and never wanted to have) were forced on me.", []),
        ("I pressed:\nUpdate\nRestart\nand nothing came of it.", []),
        ("Service: rude\nFollow-up: none at all, not a single call", []),
        ("Rude service.\n\nFollow-up: none.", []),
        ("I bought two.\nOriginal: tasty.\nLemon: awful.", []),
        ("They promised me a final update on Monday: nothing came.", []),
        ("It was my\nfirst review\nof a bank.", []),
    ],
)
def test_parts_that_were_written_later_are_found(raw, parts):
    spans = later_parts(raw)
    assert len(spans) == len(parts)
    assert all(part in raw[a:b] for part, (a, b) in zip(parts, spans, strict=True))


def test_long_runs_of_blank_lines_are_searched_fast():
    began = time.perf_counter()
    assert later_parts("It broke." + "\n" * 50_000 + "Update: it works.")
    assert not later_parts("\n \t*_#" * 20_000)
    assert time.perf_counter() - began < 5


def test_who_weighs_the_redress_has_told_of_it():
    weighed = Cue("adequacy", "below", "present", 0.9, "a joke", 0, 6)
    assert "redress" not in HEAD.estimate(features(), [weighed]).missing
    assert "redress" in HEAD.estimate(features(), []).missing


def test_the_sentiment_of_a_case_leaves_statements_of_loyalty_out():
    statement = Statement("leave", 0.9, "never again", 12, 23)
    text = TextReading(reading(statements=[statement]), (sentence(0, 10, 0.5), sentence(11, 30, -1.0)), 8)
    assert case_features([text]).valence == pytest.approx(0.5)


def test_one_number_has_the_logistic_function_of_an_array():
    numbers = np.random.default_rng(1).normal(0, 20, 2000)
    assert [_s(x) for x in numbers] == sigmoid(numbers).tolist()
    assert sigmoid(numbers).tolist() == (1 / (1 + np.exp(-np.clip(numbers, -40, 40)))).tolist()
