"""Tells soon that a pattern of many parts finds nothing: most texts hold none of the words that it needs.

The words of a text are looked up once for all patterns; each then costs a look into a set instead of a search.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Self

_WORD = re.compile(r"\w+")
# Beside the large letters of ASCII these alone are letters of ASCII to a pattern that ignores the case.
_ODD = (("\u0130", "i"), ("\u0131", "i"), ("\u017f", "s"))


class Seen(NamedTuple):
    """The words of a text in small letters, and the text in small letters, each of which stands where it stood."""

    words: frozenset[str]
    small: str


# A megabyte for a text of ten thousand words; more of them are asked about no sooner again.
@lru_cache(maxsize=64)
def seen(text: str) -> Seen:
    """What hints are looked up in; the same text is asked about by several modules, one soon after the other."""
    small = small_letters(text)
    words = _WORD.findall(small)
    if not text.isascii():
        # A large dotted I is one letter to a pattern, and two to str.lower: either way of reading counts.
        words += _WORD.findall(text.lower())
    return Seen(frozenset(words), small)


def small_letters(text: str) -> str:
    """The text as patterns that ignore the case see it, each letter where it stood."""
    if not text.isascii():
        for odd, letter in _ODD:
            text = text.replace(odd, letter)
    return text.lower()


@dataclass(frozen=True, slots=True)
class Hint:
    """What has to stand in a text for a pattern to find anything: one of the words, or one of the marks anywhere."""

    words: frozenset[str]
    marks: tuple[str, ...] = ()

    @classmethod
    def of(cls, words: str, *marks: str) -> Self:
        """words: in small letters, with spaces between."""
        return cls(frozenset(words.split()), marks)

    @classmethod
    def any_of(cls, hints: Iterable["Hint"]) -> Self:
        """A hint that is there where one of them is."""
        every = tuple(hints)
        return cls(frozenset[str]().union(*(h.words for h in every)), tuple(m for h in every for m in h.marks))

    def stands_in(self, text: Seen) -> bool:
        """Whether a pattern of this hint may find something."""
        if not self.words.isdisjoint(text.words):
            return True
        # A generator in any() would take as long as the rest of it.
        for mark in self.marks:  # noqa: SIM110
            if mark in text.small:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Hinted:
    """A pattern that ignores the case and is searched only where its hint stands; what it finds is the same.

    pattern: in small letters and for these, which takes half the time of ignoring the case.
    """

    pattern: re.Pattern[str]
    hint: Hint

    @classmethod
    def of(cls, pattern: str, words: str, *marks: str) -> Self:
        """words, marks: see Hint."""
        return cls(re.compile(pattern), Hint.of(words, *marks))

    def found_in(self, text: str) -> bool:
        """Whether the pattern finds something in a text."""
        told = seen(text)
        return self.hint.stands_in(told) and self.pattern.search(told.small) is not None

    def without(self, text: str) -> str:
        """The text with a space for all that the pattern finds."""
        told = seen(text)
        if not self.hint.stands_in(told):
            return text
        ends = [0, *(end for m in self.pattern.finditer(told.small) for end in m.span()), len(text)]
        return " ".join(text[a:b] for a, b in zip(ends[::2], ends[1::2], strict=True))
