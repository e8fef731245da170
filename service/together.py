"""Scores texts of several requests in one go: together they take less time than one after the other.

Nobody waits for company. A thread that becomes free takes what waits at that moment; where that is one request, it is
scored as it would be alone.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Final

from model.scorer import Scorer
from model.types import Sentiment

MOST: Final = 32
MOST_CHARACTERS: Final = 8_000
"""Texts, and their length, that are scored in one go. A request with more gains nothing and would keep others."""


@dataclass(eq=False)
class Call:
    """Texts of one request that wait to be scored. gone: nobody waits for them any more. ended: there is an answer."""

    scorer: Scorer
    texts: Sequence[str]
    gone: Event
    ended: Event = field(default_factory=Event)
    found: Sequence[Sentiment | None] = ()
    error: Exception | None = None

    @property
    def characters(self) -> int:
        """Of all its texts."""
        return sum(map(len, self.texts))

    @property
    def small(self) -> bool:
        """Whether it may be scored together with others."""
        return len(self.texts) <= MOST and self.characters <= MOST_CHARACTERS

    def score(self) -> None:
        """Scores it alone, and keeps what goes wrong for whoever asks."""
        try:
            self.found = self.scorer.sentiment(self.texts)
        except Exception as error:
            # Whatever it is, it belongs to this request.
            self.error = error
        finally:
            self.ended.set()


class Together:
    """The calls that wait. threads: that come for them; each takes its share, so that none is idle."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._waiting: deque[Call] = deque()
        self._lock = Lock()

    def add(self, call: Call) -> None:
        """Lets a call wait for a thread that asks for its result, or for that of another."""
        with self._lock:
            self._waiting.append(call)

    def result(self, call: Call) -> Sequence[Sentiment | None]:
        """The sentiment of each text, in order. Raises what scoring them raised."""
        while not call.ended.is_set():
            if calls := self._share():
                _score(calls)
            else:
                call.ended.wait()
        if call.error:
            raise call.error
        return call.found

    def _share(self) -> list[Call]:
        """Calls of one scorer, first come first, as many as are small enough together."""
        with self._lock:
            count = -(-len(self._waiting) // self._threads)
            taken: list[Call] = []
            texts = characters = 0
            while self._waiting and len(taken) < count:
                first = self._waiting[0]
                texts, characters = texts + len(first.texts), characters + first.characters
                if taken and (first.scorer is not taken[0].scorer or texts > MOST or characters > MOST_CHARACTERS):
                    break
                taken.append(self._waiting.popleft())
        return taken


def _score(calls: Sequence[Call]) -> None:
    wanted = list(_still_wanted(calls))
    if len(wanted) < 2 or not _scored_together(wanted):
        for call in wanted:
            call.score()


def _scored_together(calls: Sequence[Call]) -> bool:
    try:
        found = iter(calls[0].scorer.sentiment([text for call in calls for text in call.texts]))
    except Exception:
        # One bad text never spoils its neighbours: each request is tried alone, and only its own error is told.
        return False
    for call in calls:
        call.found = [next(found) for _ in call.texts]
        call.ended.set()
    return True


def _still_wanted(calls: Sequence[Call]) -> Iterator[Call]:
    for call in calls:
        if call.gone.is_set():
            call.error = TimeoutError("nobody waits for this result any more")
            call.ended.set()
        else:
            yield call
