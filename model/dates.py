"""Dates that a text names ("in March", "on 9 May", "on Thursday", "the ninth"), and the time between two of them.

Nothing is reckoned from today's date: one date alone says nothing.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from model.durations import HOURS
from model.hints import Hint, seen

Kind = Literal["month", "day", "weekday", "ordinal"]


@dataclass(frozen=True, slots=True)
class Named:
    """A date in words: text[start:end]. number: of the month, weekday (0 is Monday) or day of the month.

    month: of a day, such as 5 in "9 May"; 0 elsewhere. year: 0 where none is told.
    """

    start: int
    end: int
    kind: Kind
    number: int
    month: int = 0
    year: int = 0


_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TEENS = "fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth"
_ORDINALS = {
    word: number
    for number, word in enumerate(
        f"{_TEENS} seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third twenty-fourth "
        "twenty-fifth twenty-sixth twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first".split(),
        start=4,
    )
}
_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?)"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_WHEN = r"(?i:on|in|since|until|till|by|from|now|now in|mid|late|early|last|this|is|was|before)"
# Words that are dates in such a place only: "May I", "the second time", "Black Friday", "the fourth floor".
_NAMED = re.compile(
    rf"(?<![\w/.,$£€-])(?P<day>{_DAY})(?: of)? (?P<of>{_MONTH})(?!\w)"
    rf"|\b(?P<us>{_MONTH}) (?P<usday>{_DAY})(?![\w:%]|[.,]\d| ?[ap]m\b)"
    rf"|\b{_WHEN}[ -](?P<month>{_MONTH})(?![\w-]| {_DAY}\b)"
    r"|\b(?i:on|since|until|till|by|now|is|was|before|last|this) "
    r"(?P<weekday>(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)(?![\w-]|['’]s)"
    rf"|\b(?i:on|since|until|till|by|now|is|was|before) the (?P<ordinal>{'|'.join(_ORDINALS)}"
    r"|\d{1,2}(?:st|nd|rd|th))(?=[.,;:!?]|$| (?:and|when|but|they|i|I|we|he|she|it|still|nobody|no)\b)"
)
_YEAR = re.compile(r",? ((?:19|20)\d\d)\b")
_HINT = re.compile(r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|\wday\b)|\bthe \w+(?:th|st|nd|rd)\b")
# What stands in all that the pattern finds: a name that is a word of its own, or a number that ends as ordinals do.
_NAMES = Hint.of(
    "january february march april may june july august september october november december"
    " jan feb mar apr jun jul aug sep sept oct nov dec"
    " monday tuesday wednesday thursday friday saturday sunday " + " ".join(_ORDINALS).replace("-", " ")
)
_NUMBERED = re.compile(r"\d(?:st|nd|rd|th)")
LONGEST: Final = 8
"""Months between two dates without a year; what seems longer is more likely told in another order."""


def named(text: str) -> Iterator[Named]:
    """Every date that is named in the text, in order."""
    if not (_NAMES.stands_in(seen(text)) or _NUMBERED.search(text)) or not _HINT.search(text):
        return
    for m in _NAMED.finditer(text):
        told = _YEAR.match(text, m.end())
        end, year = (told.end(), int(told[1])) if told else (m.end(), 0)
        if m["month"]:
            yield Named(m.start("month"), end, "month", _index(_MONTHS, m["month"]) + 1, year=year)
        elif m["weekday"]:
            yield Named(m.start("weekday"), m.end(), "weekday", _index(_WEEKDAYS, m["weekday"]))
        elif m["ordinal"]:
            yield Named(m.start("ordinal"), m.end(), "ordinal", _ordinal(m["ordinal"]))
        else:
            number = int(re.sub(r"\D", "", m["day"] or m["usday"]))
            yield Named(m.start(), end, "day", number, _index(_MONTHS, m["of"] or m["us"]) + 1, year)


def _index(names: Sequence[str], word: str) -> int:
    return names.index(word[:3].lower())


def _ordinal(word: str) -> int:
    return int(word[:-2]) if word[0].isdigit() else _ORDINALS[word]


def hours_between(one: Named, other: Named) -> tuple[float, float] | None:
    """Hours from one date to the next such other, at least and at most; None where they can't be compared.

    Whole months leave a month open on either side; days of the month or week are taken as told.
    """
    if one.kind == other.kind == "weekday":
        days = (other.number - one.number) % 7
        return (days * HOURS["day"], days * HOURS["day"]) if days else None
    if other.kind == "ordinal" and one.kind in ("day", "ordinal"):
        days = other.number - one.number
        return (days * HOURS["day"], days * HOURS["day"]) if days > 0 else None
    years = other.year - one.year if one.year and other.year else None
    if one.kind == other.kind == "month":
        months = other.number - one.number
        months = months % 12 if years is None else months + 12 * years
        return ((months - 1) * HOURS["month"], (months + 1) * HOURS["month"]) if _near(months, years) else None
    first, last = _days(one), _days(other)
    if not first or not last:
        return None
    least, most = last[0] - first[1], last[1] - first[0]
    least, most = (d % 365 if years is None else d + 365 * years for d in (least, most))
    return (least * HOURS["day"], most * HOURS["day"]) if 0 <= least <= most and _near(most / 31, years) else None


def _near(months: float, years: int | None) -> bool:
    return months > 0 and (years is not None or months <= LONGEST)


def _days(one: Named) -> tuple[int, int] | None:
    """First and last day of a date, counted in a year of 365 days."""
    try:
        if one.kind == "day":
            day = date(2001, one.month, one.number).toordinal()
            return day, day
        if one.kind == "month":
            first = date(2001, one.number, 1)
            after = date(2001 + one.number // 12, one.number % 12 + 1, 1)
            return first.toordinal(), after.toordinal() - 1
    except ValueError:
        return None
    return None
