import json
from dataclasses import replace

import numpy as np
import pytest

from model.advise import FEASIBLE, advise, advise_case, fitting_redress, movability
from model.case import case_features
from model.codebook import CUE_VALUES, CUES
from model.literature import LITERATURE, SEVERITY
from model.loyalty import CONDUCT_FEATURES, FULL_FEATURES, Fit, LoyaltyHead
from model.read import read
from model.types import Case, CaseFeatures, Cue, InputError, Statement
from model.what_if import parse_changes, what_if
from tests.fakes import fake_fit, fake_scorer

FAKE = LoyaltyHead(fake_fit(FULL_FEATURES), fake_fit(CONDUCT_FEATURES))
CERTAIN = {"solved=yes": 1, "speed=fast": 1, "solved=no": -1, "speed=slow": -1, "repeat_failure=yes": -1,
           "promise=broken": -1}  # fmt: skip


def case(failure=1.0, severity=1.0, tenure=0.0, **cues):
    named = {name.replace("__", ":"): p for name, p in cues.items()}
    return CaseFeatures({**dict.fromkeys(CUE_VALUES, 0.0), **named}, severity, failure, tenure, 0.0, 50)


def head_with(**weights):
    """Both scores with the given weights, -2 for a failure, three rows that are all alike."""
    row = np.zeros((3, len(CONDUCT_FEATURES) + 2))
    for name, weight in {"failure": -2.0, **weights}.items():
        row[:, CONDUCT_FEATURES.index(name.replace("__", ":"))] = weight
    row[:, -2:] = (-1.0, 1.0)
    return LoyaltyHead(fake_fit(FULL_FEATURES), Fit(CONDUCT_FEATURES, row, row.copy(), np.zeros((3, 3))))


def random_head(seed):
    """Weights without any sign, in 21 rows, and two scores that disagree."""
    rng = np.random.default_rng(seed)
    matrices = [rng.normal(0, 1.5, (21, len(CONDUCT_FEATURES) + 2)) for _ in range(2)]
    for matrix in matrices:
        matrix[:, -2:] = np.sort(matrix[:, -2:] * 3, axis=1)
    return LoyaltyHead(fake_fit(FULL_FEATURES), Fit(CONDUCT_FEATURES, *matrices, np.zeros((21, 3))))


def random_case(rng):
    cues = {name: float(rng.random() ** 4) for name in CUE_VALUES}
    return CaseFeatures(cues, float(3 * rng.random()), float(rng.random()), float(rng.random()), None, 50)


def broken_rules(head, features):
    """What goes against a certain sign or above the level without a failure."""
    wrong = []
    for change, sign in CERTAIN.items():
        found = what_if(head, features, parse_changes([change]))
        ends = (sign * found.difference, sign * found.low, sign * found.high)
        if min(ends) < -1e-9:
            wrong.append((change, found.difference, found.low, found.high))
    lower, higher = (what_if(head, features, {"severity": s}) for s in "03")
    if lower.low < -1e-9 or higher.high > 1e-9:
        wrong.append(("severity", lower.low, higher.high))
    best = parse_changes(["solved=yes", "speed=fast", "apology=given", "redress=refund", "courtesy=courteous"])
    for changes in (best, *(parse_changes([f]) for f in FEASIBLE)):
        found = what_if(head, features, changes)
        if found.after > found.no_failure + 1e-9 or found.before > found.no_failure + 1e-9:
            wrong.append((changes, found.after, found.no_failure))
    return wrong


def test_a_change_sets_its_value_clears_the_others_and_leaves_the_sentiment_out():
    ignored = case(contact__none=0.9)
    found = what_if(FAKE, ignored, {"contact": "made"})
    assert found.before == pytest.approx(FAKE.estimate(ignored).index_conduct)
    assert found.after == pytest.approx(FAKE.estimate(case()).index_conduct)
    assert found.difference == pytest.approx(found.after - found.before)
    assert found.difference > 5
    assert what_if(FAKE, ignored, {"contact": "unknown"}).after == pytest.approx(found.after)


def test_probabilities_before_and_after_are_distributions_that_give_the_indices():
    found = what_if(head_with(redress__refund=1.5), case(), {"redress": "refund"})
    for r, w, index in (
        (found.repurchase_before, found.wom_before, found.before),
        (found.repurchase, found.wom, found.after),
    ):
        assert sum(r.values()) == pytest.approx(1)
        assert sum(w.values()) == pytest.approx(1)
        assert index == pytest.approx(50 + 25 * (r["stay"] - r["leave"]) + 25 * (w["positive"] - w["negative"]))


def test_draws_are_paired_so_what_does_not_change_costs_no_interval():
    unsure = case(contact__none=0.5)
    same = what_if(FAKE, unsure, {"apology": "given"})
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    other = what_if(FAKE, unsure, {"contact": "unknown"})
    assert other.low < other.difference < other.high


def test_nobody_ends_above_the_level_without_a_failure():
    head = head_with(redress__refund=9.0, solved__yes=9.0)
    found = what_if(head, case(), {"redress": "refund", "solved": "yes"})
    assert found.capped
    assert found.after == pytest.approx(found.no_failure) == pytest.approx(head.conduct.index(
        np.zeros(len(CONDUCT_FEATURES)), slice(0, 1))[0])  # fmt: skip
    assert "Held at the level of the same case without a failure" in found.sentence
    assert not what_if(head_with(redress__refund=0.5), case(), {"redress": "refund"}).capped


def test_a_case_above_the_level_without_a_failure_is_neither_raised_nor_lowered():
    head = head_with(redress__refund=9.0, solved__yes=2.0)
    found = what_if(head, case(redress__refund=1.0), {"solved": "yes"})
    assert found.capped
    assert found.after == found.before == found.no_failure


def test_a_certain_sign_holds_where_a_value_replaces_one_that_the_fit_likes_even_less():
    # Unbound, a broken promise instead of a kept one would raise the index by the weight of the kept one.
    found = what_if(head_with(promise__kept=-1.0), case(promise__kept=1.0), {"promise": "broken"})
    (effect,) = found.effects
    assert found.difference == 0
    assert effect.held
    assert effect.verdict == "none"
    assert "set to zero" in found.sentence


def test_taking_out_a_broken_promise_never_lowers_the_index():
    found = what_if(head_with(promise__broken=2.0), case(promise__broken=1.0), {"promise": "unknown"})
    assert found.difference == 0
    assert found.effects[0].published.sign == 1


@pytest.mark.parametrize("seed", range(6))
def test_no_rule_is_broken_by_any_head_or_case(seed):
    rng = np.random.default_rng(seed)
    head = random_head(seed)
    assert [w for _ in range(8) for w in broken_rules(head, random_case(rng))] == []


@pytest.mark.parametrize(
    ("change", "weights", "verdict"),
    [
        ("solved=yes", {"solved__yes": 1.0}, "agrees"),
        ("courtesy=rude", {"courtesy__rude": 1.0}, "disagrees"),
        ("courtesy=rude", {"courtesy__rude": -1.0}, "agrees"),
        ("apology=given", {"apology__given": 1.0}, "mixed"),
        ("responder=bot", {"responder__bot": -1.0}, "none"),
    ],
)
def test_the_difference_is_held_against_research(change, weights, verdict):
    found = what_if(head_with(**weights), case(), parse_changes([change]))
    (effect,) = found.effects
    assert effect.verdict == verdict
    assert effect.difference == pytest.approx(found.difference)


def test_the_sentence_claims_no_cause():
    sentence = what_if(head_with(apology__given=0.7), case(), {"apology": "given"}).sentence
    assert sentence.startswith("Among comparable posts, those reporting apology: given had an index higher by ")
    assert "80 % interval" in sentence
    assert sentence.endswith("This is not an estimate of what apology: given would cause for this customer.")
    assert "lower by" in what_if(head_with(courtesy__rude=-1.0), case(), {"courtesy": "rude"}).sentence


def test_research_has_an_entry_for_every_value_and_certain_signs_are_those_of_the_fit():
    from training.loyalty import SIGNS

    assert LITERATURE.keys() == set(CUE_VALUES)
    assert all(p.source and (p.sign != 0) == (p.certainty in ("certain", "likely")) for p in LITERATURE.values())
    certain = {name: p.sign for name, p in LITERATURE.items() if p.certainty == "certain"} | {"severity": SEVERITY.sign}
    assert certain == {name: sign for name, sign in SIGNS.items() if name != "failure"}


@pytest.mark.parametrize(
    ("settings", "got", "expected"),
    [
        (["apology=given", "apology=absent"], "given and absent", "one value"),
        (["apologies=given"], "apologies", "apology"),
        (["apology=yes"], "yes", "given, hollow, absent, unknown"),
        (["severity=9"], "9", "0, 1, 2, 3"),
        (["severity=unknown"], "unknown", "0, 1, 2, 3"),
        (["apology"], "apology", "NAME=VALUE"),
        (["=given"], "=given", "NAME=VALUE"),
        ([""], "nothing", "NAME=VALUE"),
        ([], "no changes", "apology=given"),
    ],
)
def test_what_cannot_be_set_says_what_can(settings, got, expected):
    with pytest.raises(InputError) as error:
        parse_changes(settings)
    assert error.value.got == got
    assert expected in error.value.expected


def test_the_mapping_is_checked_too():
    with pytest.raises(InputError, match="no value 'sincere'"):
        what_if(FAKE, case(), {"apology": "sincere"})


def test_a_setting_may_be_repeated_and_padded():
    assert parse_changes([" apology = given", "apology=given", "solved=unknown"]) == {
        "apology": "given",
        "solved": "unknown",
    }


def advice_on(text, head=None):
    scorer = fake_scorer()
    report, features = scorer.score_cases(read(text)[0])
    features = tuple(f and CaseFeatures(f.cues, f.severity, 1.0, f.tenure, f.valence, f.length) for f in features)
    return report, advise(head or scorer.bundle.loyalty, report, features)


PLAIN = "I bought a kettle from Marrowby. They ignored my letter and should have written back."


def test_advice_names_what_is_left_to_do_with_the_words_that_ask_for_it():
    head = head_with(redress__refund=1.0, apology__given=0.6, solved__yes=1.4, follow_up__done=0.2, contact__none=-1.3)
    _, (advice,) = advice_on(PLAIN, head)
    assert [a.change for a in advice.actions] == ["solved=yes", "contact=made", "redress=refund"]
    contact = next(a for a in advice.actions if a.change == "contact=made")
    assert "contact: none" in contact.reason
    assert any("ignored" in quote.quote for quote in contact.quotes)
    assert advice.together.difference >= max(a.what_if.difference for a in advice.actions)
    assert advice.priority == pytest.approx(advice.together.difference * advice.movable)


def test_a_wish_of_the_author_is_the_reason():
    _, (advice,) = advice_on(PLAIN, head_with(apology__given=1.0))
    (apology,) = advice.actions
    assert apology.change == "apology=given"
    assert "should be or could have been" in apology.reason
    assert any("should" in quote.quote for quote in apology.quotes)


def test_what_is_reported_already_is_not_advised():
    _, (advice,) = advice_on(
        "I bought a kettle. They were sorry and paid a refund.",
        head_with(redress__refund=1.0, redress__repair=2.0, apology__given=1.0, contact__made=1.0),
    )
    assert advice.actions == ()
    assert advice.together is None
    assert advice.priority == 0
    assert advice.note


def test_what_the_author_denies_more_strongly_does_not_count_as_made_good():
    scorer = fake_scorer()
    report, _ = scorer.score_cases(read(PLAIN)[0])
    head = head_with(redress__refund=1.0)

    def changes(**cues):
        (advice,) = advise(head, report, [case(**cues)])
        return [a.change for a in advice.actions]

    assert changes(solved__yes=0.6) == []
    assert changes(solved__yes=0.6, solved__no=0.9) == ["redress=refund"]
    assert changes(redress__refund=0.6, redress__refused=0.9) == []


def test_nothing_is_advised_where_nothing_went_wrong():
    scorer = fake_scorer()
    report, features = scorer.score_cases(read("I bought a great kettle. It was great, thank you all.")[0])
    features = tuple(f and CaseFeatures(f.cues, 0.0, 0.1, f.tenure, f.valence, f.length) for f in features)
    (advice,) = advise(head_with(solved__yes=2.0), report, features)
    assert advice.actions == ()
    assert advice.note == "nothing went wrong"


def test_who_says_to_leave_or_was_failed_again_is_less_movable():
    report, _ = advice_on(PLAIN)
    (one,) = report.cases
    open_case, _ = movability(one, one.loyalty, case())
    again, why = movability(one, one.loyalty, case(repeat_failure__yes=0.9))
    assert again == pytest.approx(open_case / 2)
    assert why[-1] == "failed again"
    leaving, _ = advice_on(PLAIN + " I will never go there.")
    (gone,) = leaving.cases
    assert any(s.kind == "leave" for s in gone.stated)
    halved, why = movability(gone, one.loyalty, case())
    assert halved == pytest.approx(open_case / 2)
    assert "never" in why[-1]


def told(value, quote, state="absent"):
    return Cue("redress", value, state, 0.9, quote, 0, len(quote), "1")


def customer(failure="billing", cues=(), stated=()):
    return Case("Ann", "customer", "why", "ok", None, ("1", "2"), tuple(cues), tuple(stated), None, failure, 1)


@pytest.mark.parametrize(
    ("failure", "cues", "expected"),
    [
        ("billing", (), {"refund", "voucher"}),
        ("delay", (), {"refund", "voucher"}),
        ("product", (), {"refund", "voucher", "repair", "replacement"}),
        ("product", [told("refused", "they would not refund me")], {"refund"}),
        ("billing", [told(None, "if they sent me a new one", "hypothetical")], {"replacement"}),
        ("billing", [told("refused", "they did nothing")], {"refund", "voucher"}),
        ("billing", [told("repair", "they fixed it", "present")], {"refund", "voucher"}),
        ("billing", [told("refused", "they refused to fix it")], {"refund", "voucher"}),
        ("service", [told("refused", "refused to fix my booking")], {"refund", "voucher"}),
        ("service", [told("refused", "they refused to fix my roof")], {"repair"}),
        ("policy", [told("refused", "they would not repair it under the policy")], {"repair"}),
    ],
)
def test_advised_redress_fits_the_failure_or_what_the_author_names(failure, cues, expected):
    assert fitting_redress(customer(failure, cues)) == expected


def test_what_is_to_be_fixed_may_be_told_elsewhere():
    one = customer("service", [told("refused", "they refused to fix it")])
    assert fitting_redress(one, "I asked them to fix the wrong invoice.") == {"refund", "voucher"}
    assert fitting_redress(one, "I asked them to fix the roof.") == {"repair"}


def test_who_says_to_leave_and_later_to_stay_is_no_less_movable():
    def said(kind, start, uid):
        return Statement(kind, 0.9, kind, start, start + 5, uid)

    features = case(contact__none=0.9)
    estimate = FAKE.estimate(features)
    leaving = customer(stated=[said("leave", 50, "1")])
    staying = customer(stated=[said("leave", 50, "1"), said("stay", 0, "2")])
    gone = customer(stated=[said("stay", 0, "1"), said("leave", 50, "1")])
    movable = [movability(c, estimate, features)[0] for c in (customer(), leaving, staying, gone)]
    assert movable[0] == movable[2] == 2 * movable[1] == 2 * movable[3]


def test_who_is_content_comes_after_who_is_refused():
    stays = customer(stated=[Statement("stay", 0.9, "we'll be back", 0, 13, "1")])
    estimate = FAKE.estimate(case())
    usual = movability(stays, estimate, case())[0]
    solved, why = movability(stays, estimate, case(solved__yes=0.9))
    assert solved == usual / 2
    assert "we'll be back" in why[-1]
    assert movability(customer(), estimate, case(solved__yes=0.9))[0] == usual
    assert movability(stays, estimate, case(solved__yes=0.6, solved__no=0.9))[0] == usual


def test_an_update_above_the_older_words_is_the_last_word():
    text = "EDIT: they rang, so I stay. Original review: never again."
    said = [
        Statement(kind, 0.9, words, text.index(words), text.index(words) + len(words), "1")
        for kind, words in (("stay", "I stay"), ("leave", "never again"))
    ]
    one, estimate = customer(stated=said), FAKE.estimate(case())
    updated, as_it_stands = movability(one, estimate, case(), {"1": text}), movability(one, estimate, case())
    assert updated[0] == 2 * as_it_stands[0]
    assert movability(one, estimate, case(), {"1": text.replace("Original review", "And before")}) == as_it_stands


def test_what_the_company_refuses_in_the_thread_is_a_reason_and_no_redress():
    one = replace(customer("product"), answers=(told("refused", "we are unable to refund you"),))
    advice = advise_case(head_with(redress__refund=1.0, contact__made=1.0), one, FAKE.estimate(case()), case())
    (action,) = advice.actions
    assert action.change == "redress=refund"
    assert action.reason == "the company says in this thread redress: refused"
    assert action.quotes == one.answers


def test_cases_and_features_keep_their_order():
    scorer = fake_scorer()
    (thread,) = read(PLAIN)
    report, features = scorer.score_cases(thread)
    assert scorer.score(thread) == report
    for one, seen in zip(report.cases, features, strict=True):
        assert (one.loyalty is None) == (seen is None)
        if seen:
            assert scorer.bundle.loyalty.estimate(seen).index == pytest.approx(one.loyalty.index)


def test_the_released_head_keeps_the_rules(released):
    rng = np.random.default_rng(5)
    assert [w for _ in range(15) for w in broken_rules(released.bundle.loyalty, random_case(rng))] == []


def test_the_released_head_finds_a_way_for_an_ignored_customer(released):
    text = (
        "My Tolbert heater failed in the first week. I wrote to Tolbert four times and nobody ever answered. "
        "They refused a refund, nobody said sorry, and it still does not work."
    )
    report, features = released.score_cases(read(text)[0])
    (advice,) = advise(released.bundle.loyalty, report, features)
    assert 1 <= len(advice.actions) <= 3
    assert advice.actions[0].quotes
    assert advice.together.low > 0
    assert advice.together.after < advice.together.no_failure
    assert all(a.change.split("=")[0] in CUES for a in advice.actions)


@pytest.mark.slow
@pytest.mark.data
def test_no_rule_is_broken_on_real_documents(released, data):
    lines = (data / "conduct" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines if line.strip()]
    texts = sorted(texts, key=len)[: len(texts) // 2][-600:]
    assert len(texts) >= 500
    cases = [case_features([s.text_reading]) for s in released.read_texts(texts)]
    wrong = [w for one in cases for w in broken_rules(released.bundle.loyalty, one)]
    assert wrong == []
