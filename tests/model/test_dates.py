import pytest

from model.dates import hours_between, named
from model.latency import latencies

MONTH = 730.0
SPANS = [
    ("I complained in March and did not hear back until June.", "answer", 2 * MONTH, 4 * MONTH, False),
    ("I wrote on 3 May and got an answer on 9 May.", "answer", 144, 144, False),
    ("I wrote on May 3rd and got an answer on the 9th.", "answer", 144, 144, False),
    ("I emailed on Monday and they answered on Thursday.", "answer", 72, 72, False),
    ("I wrote on Friday. On Monday, Larkfield replied.", "answer", 72, 72, False),
    ("I wrote on 20 May and they answered in June.", "answer", 12 * 24, 41 * 24, False),
    ("The refund I requested in November came in February.", "remedy", 2 * MONTH, 4 * MONTH, False),
    ("I filed a claim in March 2022 and they paid in May 2023.", "remedy", 13 * MONTH, 15 * MONTH, False),
    ("I waited from March until June for a refund.", "remedy", 2 * MONTH, 4 * MONTH, False),
    ("I e-mailed them on 3 May, called on 5 May and they answered on 9 May.", "answer", 96, 96, False),
    ("I have been waiting for a refund since January and it is now April.", "remedy", 2 * MONTH, None, True),
    ("Reported mould in January. It is now June. Nothing.", "wait", 4 * MONTH, None, True),
    ("It was the ninth when they took my name and it is now the thirtieth.", "wait", 504, None, True),
    ("They took my name. That was on the ninth and it is now the thirtieth.", "wait", 504, None, True),
    ("I wrote on Monday. On Thursday still no reply.", "answer", 72, None, True),
    ("I complained in November and by February nobody had answered.", "answer", 2 * MONTH, None, True),
]
NONE = [
    "I complained in March.",
    "I complained in March and in March they answered.",
    "I bought it in January and it is now April.",
    "I ordered in January; it is now June and it works fine.",
    "I wrote on 3 May and wrote again on 9 May.",
    "I called on Monday and called again on Thursday.",
    "I wrote in March and they promised an answer by June.",
    "We stayed from Monday until Thursday and complained to the manager.",
    "I reported it on Monday and the shop is closed on Thursday.",
    "I complained in June. In March they had fixed the roof.",
    "I complained on Monday and we flew home on Thursday.",
    "I returned the shoes on Monday and on Thursday I received a bill.",
    "If I wrote on Monday they answered on Thursday.",
    "They are open on Monday and closed on Thursday.",
    "I wrote on 31 February and they answered on 3 March.",
    "May I say that in June they answered?",
]


@pytest.mark.parametrize(("text", "about", "low", "high", "censored"), SPANS)
def test_two_dates_of_a_text_make_a_time_to_react(text, about, low, high, censored):
    (found,) = latencies(text)
    assert (found.about, found.lower, found.upper, found.censored) == (about, low, high, censored)
    assert text[found.start : found.end] == found.quote


@pytest.mark.parametrize("text", NONE)
def test_other_dates_make_none(text):
    assert latencies(text) == ()


def test_a_figure_says_more_than_the_dates_around_it():
    (found,) = latencies("I wrote in March and after five weeks they answered in April.")
    assert found.lower == found.upper == 5 * 168


def test_dates_on_two_lines_are_quoted_from_the_second():
    text = "Reported mould in January.\nIt is now June. Nothing."
    (found,) = latencies(text)
    assert found.quote == "It is now June."
    assert text[found.start : found.end] == found.quote


@pytest.mark.parametrize(
    "text",
    ["May I ask", "the fourth floor", "Black Friday", "on Mondays", "we march in step", "3 maybe", "version 3.5 May"],
)
def test_words_that_are_no_dates(text):
    assert list(named(text)) == []


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("on 28 December and on 2 January", (120, 120)),
        ("on Thursday, on Thursday", None),
        ("in May, on 10 May", None),
        ("on the ninth, on the 7th", None),
        ("in June, in April", None),
        ("in June 2022, in April 2023", (9 * MONTH, 11 * MONTH)),
        ("in June 2023, in April 2022", None),
        ("on Monday, on 3 May", None),
    ],
)
def test_hours_between_two_dates(text, hours):
    one, other = named(text)
    assert hours_between(one, other) == hours


def test_many_dates_are_read_in_no_time():
    assert len(list(named("in May on 3 May, " * 5_000))) == 10_000
    assert latencies("in the " * 20_000 + "on the " * 20_000) == ()
