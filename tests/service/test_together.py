"""Requests that wait are scored together: each gets its own answers, and nobody pays for another's bad text."""

from collections.abc import Sequence
from threading import Event, Thread

import pytest

from model.types import Sentiment
from service.together import MOST, MOST_CHARACTERS, Call, Together


class Lengths:
    """Says of each text how long it is; of "bad" that it can't be scored. asked: the texts of each call."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def sentiment(self, texts: Sequence[str]) -> list[Sentiment | None]:
        self.asked.append(list(texts))
        if "bad" in texts:
            raise ValueError("this text is bad")
        return [Sentiment("neutral", 0.0, 1.0, 0.0, float(len(text))) if text else None for text in texts]


def waiting(together: Together, scorer: Lengths, *texts: str) -> Call:
    call = Call(scorer, texts, Event())  # type: ignore[arg-type]
    together.add(call)
    return call


def lengths(found: Sequence[Sentiment | None]) -> list[float | None]:
    return [one.valence if one else None for one in found]


def test_what_waits_is_scored_in_one_go_and_each_gets_its_own() -> None:
    together, scorer = Together(threads=1), Lengths()
    calls = [waiting(together, scorer, "one", ""), waiting(together, scorer), waiting(together, scorer, "three")]
    assert [lengths(together.result(call)) for call in calls] == [[3.0, None], [], [5.0]]
    assert scorer.asked == [["one", "", "three"]]


def test_a_request_alone_is_scored_as_ever() -> None:
    together, scorer = Together(threads=1), Lengths()
    assert lengths(together.result(waiting(together, scorer, "one", "three"))) == [3.0, 5.0]
    assert scorer.asked == [["one", "three"]]


def test_a_bad_text_spoils_its_own_request_alone() -> None:
    together, scorer = Together(threads=1), Lengths()
    good, bad, other = (waiting(together, scorer, text) for text in ("good", "bad", "other"))
    assert lengths(together.result(good)) == [4.0]
    with pytest.raises(ValueError, match="this text is bad"):
        together.result(bad)
    assert lengths(together.result(other)) == [5.0]


def test_what_nobody_waits_for_any_more_is_not_scored() -> None:
    together, scorer = Together(threads=1), Lengths()
    here, gone = waiting(together, scorer, "here"), waiting(together, scorer, "gone")
    gone.gone.set()
    assert lengths(together.result(here)) == [4.0]
    with pytest.raises(TimeoutError):
        together.result(gone)
    assert scorer.asked == [["here"]]


def test_each_request_keeps_the_model_that_it_came_with() -> None:
    together, old, new = Together(threads=1), Lengths(), Lengths()
    calls = [waiting(together, scorer, text) for scorer, text in ((old, "a"), (old, "bb"), (new, "ccc"), (old, "d"))]
    assert [lengths(together.result(call)) for call in calls] == [[1.0], [2.0], [3.0], [1.0]]
    assert (old.asked, new.asked) == ([["a", "bb"], ["d"]], [["ccc"]])


def test_no_more_is_scored_in_one_go_than_is_good_for_those_who_wait() -> None:
    together, scorer = Together(threads=1), Lengths()
    calls = [waiting(together, scorer, f"text {i}") for i in range(MOST + 1)]
    long = waiting(together, scorer, "x" * (MOST_CHARACTERS + 1))
    for call in (*calls, long):
        together.result(call)
    assert [len(asked) for asked in scorer.asked] == [MOST, 1, 1]
    assert not long.small
    assert calls[0].small


def test_several_threads_share_what_waits() -> None:
    together, scorer = Together(threads=2), Lengths()
    calls = [waiting(together, scorer, "x" * n) for n in range(1, 9)]
    found: dict[int, list[float | None]] = {}

    def answer(n: int) -> None:
        found[n] = lengths(together.result(calls[n]))

    threads = [Thread(target=answer, args=(n,)) for n in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == {n: [n + 1.0] for n in range(8)}
    assert len(scorer.asked[0]) == 4
    assert sorted(text for asked in scorer.asked for text in asked) == [c.texts[0] for c in calls]
