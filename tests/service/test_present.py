from dataclasses import replace

import pytest

from model.types import Dropped, Evidence, Report, ScoredUtterance, Utterance
from service.present import explain, feature_label, flag_words, percent, role_words, threaded
from tests.service.demo import demo_report, estimate, feeling


def report(*pairs: tuple[str, str | None], dropped: tuple[Dropped, ...] = ()) -> Report:
    """A report whose utterances are (id, parent)."""
    demo = demo_report()
    utterances = tuple(
        ScoredUtterance(Utterance(name, name, parent=parent), "customer", feeling(0.2, 0.6, 0.2))
        for name, parent in pairs
    )
    return Report(demo.thread, utterances, dropped, (), demo.summary, demo.bundle)


def tree(given: Report) -> list[tuple[str, int]]:
    return [(one.scored.utterance.id, one.depth) for one in threaded(given)]


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("post_author", "post author"),
        ("merged:2", "merged: 2"),
        ("copy:exact:https://a.example/x/12", "same text as https://a.example/x/12"),
        ("copy:near:a/12", "nearly the same text as a/12"),
        ("copy:quote:a/post", "quotes a/post"),
        ("copy:odd:a/1", "copy: odd:a/1"),
    ],
)
def test_flags_in_words(flag: str, words: str) -> None:
    assert flag_words(flag) == words


def test_a_role_has_its_probability_where_it_is_an_estimate() -> None:
    case = demo_report().cases[0]
    assert role_words(replace(case, role_probability=0.931)) == "customer, 93 %"
    assert role_words(replace(case, role_probability=1.0)) == "customer"


def test_replies_follow_what_they_answer() -> None:
    given = report(("a", None), ("b", "a"), ("c", None), ("d", "b"), ("e", "a"))
    assert tree(given) == [("a", 0), ("b", 1), ("d", 2), ("e", 1), ("c", 0)]


def test_a_reply_to_a_dropped_utterance_moves_up() -> None:
    gone = (
        Dropped(Utterance("copy", "x", parent="z"), "duplicate", duplicate_of="a"),
        Dropped(Utterance("spam", "x", parent="b"), "spam"),
    )
    given = report(("a", None), ("b", "a"), ("c", "copy"), ("d", "spam"), dropped=gone)
    assert tree(given) == [("a", 0), ("b", 1), ("d", 2), ("c", 1)]


def test_circles_and_unknown_parents_lose_nothing() -> None:
    given = report(("a", "b"), ("b", "a"), ("self", "self"), ("lost", "nobody"))
    assert sorted(tree(given)) == [("a", 0), ("b", 0), ("lost", 0), ("self", 0)]


def test_ten_thousand_nested_replies_are_no_problem() -> None:
    given = report(("0", None), *((str(n), str(n - 1)) for n in range(1, 10_000)))
    assert tree(given)[-1] == ("9999", 9999)


def test_contributions_add_up_to_the_index() -> None:
    loyalty = estimate(
        60.0,
        50.0,
        70.0,
        (0.5, 0.3, 0.2),
        (0.5, 0.3, 0.2),
        [
            Evidence("speed:fast", 5.0),
            Evidence("apology:given", -6.0),
            Evidence("tenure", 0.2),
            Evidence("failure", 0.1),
        ],
        (),
        55.0,
    )
    why = explain(loyalty)
    assert [e.feature for e in why.shown] == ["valence", "apology:given", "speed:fast"]
    assert why.others == 2
    assert why.base + sum(e.contribution for e in why.shown) + why.rest == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        ("redress:extra_service", "redress: extra service"),
        ("repeat_failure:yes", "repeat failure"),
        ("solved:yes", "solved: yes"),
        ("valence", "sentiment of the text"),
    ],
)
def test_features_have_words(feature: str, words: str) -> None:
    assert feature_label(feature) == words


@pytest.mark.parametrize(
    ("probability", "words"), [(0.0, "0 %"), (0.001, "<1 %"), (0.714, "71 %"), (0.999, ">99 %"), (1.0, "100 %")]
)
def test_rounding_never_claims_certainty(probability: float, words: str) -> None:
    assert percent(probability) == words
