from dataclasses import replace

import pytest

from model.moment import as_of, moment_of
from model.types import Author, InputError, Thread, Utterance
from tests.fakes import fake_scorer

ANN, BEN = Author("Ann"), Author("Ben")
THREAD = Thread(
    "t",
    (
        Utterance("post", "My kettle leaked. They ignored us.", "post", author=ANN, time="2024-05-01T08:00:00Z"),
        Utterance(
            "1", "I bought one too and got a refund.", parent="post", author=BEN, time="2024-05-02T09:00:00+00:00"
        ),
    ),
    brand="Brightpot",
)
LATER = (
    Utterance("2", "They sent me a refund and said sorry. Great!", parent="1", author=ANN, time="2024-05-04T10:00:00Z"),
    Utterance("3", "Never again, awful.", parent="1", author=BEN, time="2024-05-05"),
    Utterance("4", "I bought one too and got a refund.", author=Author("Cy"), time="2024-05-06T00:00:00Z"),
    Utterance("5", "They ignored me for years.", author=BEN, time=None),
)


def test_later_comments_change_nothing():
    moment = moment_of("2024-05-03T00:00:00Z")
    scorer = fake_scorer()
    alone, features = scorer.score_cases(THREAD, as_of=moment)
    longer, same = scorer.score_cases(replace(THREAD, utterances=THREAD.utterances + LATER, claimed=6), as_of=moment)
    assert features == same
    assert replace(alone, warnings=(), thread=THREAD) == replace(longer, warnings=(), thread=THREAD)
    assert longer.warnings == ("as of 2024-05-03T00:00:00+00:00: 3 later left out, 1 without a known time",)


def test_without_a_moment_later_comments_count():
    scorer = fake_scorer()
    whole = replace(THREAD, utterances=THREAD.utterances + LATER)
    assert scorer.score_cases(THREAD)[1] != scorer.score_cases(whole)[1]


def test_the_order_of_the_page_does_not_matter():
    mixed = replace(THREAD, utterances=(LATER[1], *THREAD.utterances, LATER[0]))
    assert [u.id for u in as_of(mixed, moment_of("2024-05-03")).utterances] == ["post", "1"]


def test_an_undated_utterance_stays_where_a_kept_one_answers_it():
    post, first = (replace(u, time=None) for u in THREAD.utterances)
    reply = Utterance("2", "Same here.", parent="1", time="2024-05-02T10:00:00Z")
    found = as_of(Thread("t", (post, first, reply, LATER[3])), moment_of("2024-05-03"))
    assert [u.id for u in found.utterances] == ["post", "1", "2"]
    nothing = as_of(Thread("t", (post, first)), moment_of("2024-05-03"))
    assert nothing.utterances == ()
    assert "nothing had been written" in nothing.warnings[0]


def test_a_later_utterance_never_stays_whoever_answers_it():
    wrong = (replace(THREAD.utterances[0], time="2024-06-01"), THREAD.utterances[1])
    assert [u.id for u in as_of(Thread("t", wrong), moment_of("2024-05-03")).utterances] == ["1"]


def test_replies_in_a_circle_end():
    circle = (
        Utterance("a", "x", parent="b"),
        Utterance("b", "y", parent="a"),
        Utterance("c", "z", parent="b", time="2024-05-01"),
    )
    assert len(as_of(Thread("t", circle), moment_of("2024-05-03")).utterances) == 3


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2024-05-01", "2024-05-01T23:59:59.999999+00:00"),
        ("20240501", "2024-05-01T23:59:59.999999+00:00"),
        ("2024-05-01T12:00", "2024-05-01T12:00:00+00:00"),
        ("2024-05-01T12:00:00+02:00", "2024-05-01T12:00:00+02:00"),
    ],
)
def test_moments(text, iso):
    assert moment_of(text).isoformat() == iso


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01", "5 May", "9" * 500])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(InputError, match="is no moment") as caught:
        moment_of(text)
    assert caught.value.code == "bad_moment"
    assert caught.value.field == "as_of"


def test_a_thread_of_which_nothing_had_been_written_gives_an_empty_report():
    report = fake_scorer().score(THREAD, as_of=moment_of("2020-01-01"))
    assert (report.utterances, report.cases) == ((), ())
