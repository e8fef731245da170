"""Finds spans of time that are named in a text, in figures or words, and gives them in hours with bounds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from model.hints import Hint, seen, small_letters


@dataclass(frozen=True, slots=True)
class Duration:
    """A span of time in words: text[start:end], from lower to upper hours, upper None where it is open.

    fixed: a phrase without a figure, such as "the next day" or "immediately".
    """

    start: int
    end: int
    lower: float
    upper: float | None
    fixed: bool = False


HOURS: Final = {
    "second": 1 / 3600,
    "minute": 1 / 60,
    "hour": 1.0,
    "day": 24.0,
    "night": 24.0,
    "week": 168.0,
    "fortnight": 336.0,
    "month": 730.0,
    "year": 8760.0,
    "decade": 87600.0,
}
# "For weeks" is at least two of them, and less than what people would count in the next larger unit.
PLURAL: Final = {
    "second": 60,
    "minute": 45,
    "hour": 24,
    "day": 14,
    "night": 14,
    "week": 10,
    "month": 18,
    "year": 10,
    "decade": 5,
}
ABOUT: Final = (0.75, 1.34)

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_WORDS = {w: float(i) for i, w in enumerate(f"{_SMALL} eighteen nineteen".split())}
_TENS = dict(
    zip(("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), range(20, 100, 10), strict=True)
)
_ONE_WORD = "|".join([*_TENS, *sorted(_WORDS, key=len, reverse=True), "hundred", "dozen"])
_FRACTION: Final = {"½": 0.5, "¼": 0.25, "¾": 0.75, "1/2": 0.5, "1/4": 0.25, "3/4": 0.75}
_NUMBER = (
    rf"(?:\d{{1,3}}(?:,\d{{3}})+|\d{{1,6}}(?:[.,]\d{{1,2}}| ?[½¼¾]| [13]/[24])?|[½¼¾]"
    rf"|(?:an? )?(?:{_ONE_WORD})(?:[- ](?:{_ONE_WORD})){{0,4}})"
)
_UNIT = (
    r"(?P<{0}>seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|nights?|weeks?|wks?|fortnights?|months?|mths?"
    r"|years?|yrs?|decades?)"
)
# "48h", "14d": letters alone count only behind a figure, and neither "3d" nor "5D" is a time.
_LETTER = r"(?P<letter>(?<=\d)h|(?<=\d )h|(?<=[\d][\d])(?-i:d)|(?<=[15-9])(?-i:d))"
_CLOCK = r"(?:(?<=\dh) ?(?P<clock>[0-5]?\d)(?: ?m(?:ins?)?\b|(?<=h\d\d)))?"
_QUARTER = r"(?P<quarter>(?:(?:an?|one|three)[- ])?quarters? of an?)"
_VAGUE = r"(?P<vague>(?:a )?couple(?: of)?|(?:a|very) few|few|several|multiple|numerous|many|countless)"
_FILL = r"(?:(?:full|whole|entire|long|more|additional|consecutive|calendar|solid|straight|damn|bloody|good) )*"
_AMOUNT = (
    rf"{_QUARTER}|(?P<low>{_NUMBER})(?: ?(?:-|–|to|or|and) ?(?P<high>{_NUMBER}))?(?P<more>\+|(?: |-)?plus)?|{_VAGUE}"
    r"|(?P<half>half(?: of)? an?|half)|(?P<one>an?)|(?P<bare>(?<=\b))"
)
_SECOND = rf"(?:,? (?:and )?(?P<second>(?:a|three)[- ]quarters?|{_NUMBER}|a half) ?(?:{_UNIT.format('unit2')})?)?"
_TAIL = r"(?P<tail> or (?:so|more|longer|less|two(?! (?:hour|day|week|month|year)))| plus\b)?\b(?!\w|/)"
_DURATION = re.compile(
    rf"(?<![\w$£€./-])(?:(?:{_AMOUNT})(?P<andhalf>[ -]and[ -]a[ -]half)?[ -]?"
    rf"{_FILL}(?P<business>(?:business|working|week) )?)"
    + rf"(?:{_UNIT.format('unit')}|{_LETTER})"
    + _CLOCK
    + _SECOND
    + _TAIL,
    re.IGNORECASE,
)
_FIXED: Final = (
    (
        r"(?:the )?(?:very )?same (?:(?:business |working )?day|morning|afternoon|evening|night)|within the day",
        0.0,
        24.0,
    ),
    (r"within the hour|immediately|instantly|instantaneously|right away|straight ?away|at once|on the spot", 0.0, 1.0),
    (r"(?:the )?(?:very )?(?:next|following) (?:morning|afternoon|evening)", 1.0, 36.0),
    (r"(?:the )?(?:very )?(?:next|following) (?:business |working )?day", 1.0, 48.0),
    (r"within the week|(?:the )?same week", 0.0, 168.0),
    (r"the (?:next|following) week", 24.0, 336.0),
)
_FIXED_PATTERNS = tuple((re.compile(rf"\b(?:{p})\b", re.IGNORECASE), low, high) for p, low, high in _FIXED)

# "Day 12 and no reply": counted from the first, which is day 1. "Day one" is a beginning, and a trip has days as well.
_COUNTED = re.compile(
    rf"\bday (?P<number>\d{{1,3}}|{_ONE_WORD})\b(?!\W*\d)"
    r"(?! of (?!waiting|silence|no\b|this\b|trying|asking|chasing|hold))",
    re.IGNORECASE,
)

# One of these stands in all that the patterns above find; units end a word. Most sentences hold none, which is found
# out sooner.
_HINT = re.compile(
    r"(?:sec(?:ond)?|min(?:ute)?|hour|hr|day|night|week|wk|month|mth|year|yr|decade)s?\b|\d ?h|\dd|morning|evening"
    r"|afternoon|immediate|instant|right away|straight|once|spot"
)
# As parts of words: "twodays", "48hours".
_MARKS = Hint.of(
    "",
    *("sec", "min", "hour", "hr", "day", "night", "week", "wk", "month", "mth", "year", "yr", "decade", "morning"),
    *("evening", "afternoon", "immediate", "instant", "right away", "straight", "once", "spot"),
)
_FIGURE = re.compile(r"\d ?[hd]")

_END = r"(?: (?:the|a|of|by|past|just|only|last|around|about))*\s*$"
_UP_TO = re.compile(
    rf"\b(?:within|under|(?<!no )(?<!not )less than|no more than|not more than|(?:no|not) (?:longer|later) than|at most"
    rf"|up to|inside|maximum|below){_END}|(?:<=?|≤)\s*$",
    re.I,
)
_OVER = re.compile(
    rf"\b(?:over|more than|at least|upwards of|longer than|in excess of|beyond|greater than|minimum|a good"
    rf"|(?:no|not) (?:less|fewer) than){_END}|(?:>=?|≥)\s*$",
    re.I,
)
# "They never kept me waiting more than five minutes": what is over is denied.
_NEVER_OVER = re.compile(
    rf"(?:\b(?:never|not|hardly|rarely|no one|nobody)\b|n't\b)(?: \w+){{0,3}}? ?\b(?:wait\w*|keep|kept|tak\w+|took"
    rf"|last\w*|need\w*)(?: \w+){{0,3}}? (?:over|more than|longer than|beyond|greater than){_END}",
    re.I,
)
# "What is going on two weeks later" asks, "it is going on two weeks" counts.
_ALMOST = re.compile(
    rf"\b(?:almost|nearly|close to|not quite|just under|coming up (?:to|on)|getting on for|pushing|approaching|nearing"
    rf"|the (?:best|better) part of|(?<!what is )(?<!what's )(?<!what was )(?<!what’s )going on(?: for)?){_END}",
    re.I,
)
_ROUGHLY = re.compile(rf"\b(?:about|around|approximately|approx\.?|roughly|circa|some){_END}|~\s*$", re.I)
_LINK = re.compile(
    r"\b(?:for|in|within|over|after|took|takes?|taken|taking|wait(?:ed|ing|s)?|hold|of|been|literally|passed"
    r"|several)\s*$",
    re.I,
)


def may_tell(text: str) -> bool:
    """Whether `durations` may find something in a text or in a part of it."""
    told = seen(text)
    return _MARKS.stands_in(told) or _FIGURE.search(told.small) is not None


def durations(text: str) -> list[Duration]:
    """Every span of time that is named in words or figures, in order, in hours."""
    if not _HINT.search(small_letters(text)):
        return []
    found = [d for m in _DURATION.finditer(text) if (d := _duration(text, m))]
    for pattern, low, high in _FIXED_PATTERNS:
        found += [Duration(m.start(), m.end(), low, high, fixed=True) for m in pattern.finditer(text)]
    found += [d for m in _COUNTED.finditer(text) if (d := _counted(m))]
    return _apart(sorted(found, key=lambda d: (d.start, d.start - d.end)))


# "At 17h30" is a time of the day.
_TIME_OF_DAY = re.compile(r"\b(?:at|by|from|to|until|till|around|before)\s*$", re.I)


def _apart(found: Sequence[Duration]) -> list[Duration]:
    kept: list[Duration] = []
    for duration in found:
        if not kept or duration.start >= kept[-1].end:
            kept.append(duration)
    return kept


def _counted(m: re.Match[str]) -> Duration | None:
    day = number(m["number"])
    return Duration(m.start(), m.end(), 24 * (day - 1), 24 * day) if day > 1 else None


def _duration(text: str, m: re.Match[str]) -> Duration | None:
    unit = _unit(m["unit"] or m["letter"])
    before = text[max(0, m.start() - 40) : m.start()]
    if m["letter"] and (not m["low"] or (m["clock"] and _TIME_OF_DAY.search(before))):
        return None
    bounds = _amount(m, unit, before)
    if bounds is None:
        return None
    low, high = bounds[0] * HOURS[unit], bounds[1] * HOURS[unit]
    if m["business"]:
        high += 48 * -(-bounds[1] // 5)
    extra = _extra(m, unit)
    return Duration(m.start(), m.end(), *_modified(low + extra, high + extra, before, m))


def _amount(m: re.Match[str], unit: str, before: str) -> tuple[float, float] | None:
    """How many units, from and to; None where the match is no amount at all."""
    half = 0.5 if m["andhalf"] else 0.0
    if m["quarter"]:
        return _quarters(m["quarter"]), _quarters(m["quarter"])
    if m["low"]:
        low = number(m["low"])
        high = number(m["high"]) if m["high"] else low + 1 if _or_two(m) and low == 1 else low
        return low + half, high + half
    if m["half"]:
        return 0.5, 0.5
    if m["vague"]:
        word = m["vague"].lower()
        return (2, 3) if "couple" in word else (2, 5) if "few" in word else (3, 8)
    if m["one"]:
        return (1 + half, 2 if _or_two(m) else 1 + half)
    if (
        m["unit"]
        and m["unit"].lower().endswith("s")
        and m["unit"].lower() not in ("hrs", "secs", "mins")
        and _LINK.search(before)
    ):
        return (2, PLURAL[unit])
    return None


def _or_two(m: re.Match[str]) -> bool:
    return "two" in (m["tail"] or "").lower()


def _quarters(words: str) -> float:
    return 0.75 if "three" in words.lower() else 0.25


def _extra(m: re.Match[str], unit: str) -> float:
    """Hours of a second part: "two hours and ten minutes", "an hour and a half", "1h30"."""
    if m["clock"]:
        return float(m["clock"]) * HOURS["minute"]
    if not m["second"]:
        return 0.0
    if m["second"].lower() == "a half":
        return 0.5 * HOURS[unit]
    if "quarter" in m["second"].lower():
        return _quarters(m["second"]) * HOURS[unit] if not m["unit2"] else 0.0
    second = _unit(m["unit2"]) if m["unit2"] else unit
    return number(m["second"]) * HOURS[second] if HOURS[second] < HOURS[unit] else 0.0


def _modified(low: float, high: float, before: str, m: re.Match[str]) -> tuple[float, float | None]:
    """The bounds after words such as "within", "over", "almost" and "or so"."""
    tail = (m["tail"] or "").lower()
    if _ALMOST.search(before):
        return ABOUT[0] * low, high
    if _UP_TO.search(before) or _NEVER_OVER.search(before) or "less" in tail:
        return 0.0, high
    if _OVER.search(before) or m["more"] or "more" in tail or "plus" in tail or "longer" in tail:
        return low, None
    if _ROUGHLY.search(before) or "so" in tail:
        return ABOUT[0] * low, ABOUT[1] * high
    return low, high


def _unit(word: str) -> str:
    word = word.lower().rstrip("s")
    return {
        "h": "hour",
        "d": "day",
        "sec": "second",
        "min": "minute",
        "hr": "hour",
        "wk": "week",
        "mth": "month",
        "yr": "year",
    }.get(word, word)


# "1,200" is a thousand, "2,5" two and a half.
_THOUSANDS = re.compile(r",(?=\d{3}\b)")


def number(words: str) -> float:
    """A number in figures or English words up to the hundreds: "3", "2.5", "1 1/2", "forty eight", "a dozen"."""
    plain = _THOUSANDS.sub("", words.lower()).replace(",", ".")
    for part, value in _FRACTION.items():
        if plain.endswith(part):
            return value + float(plain.removesuffix(part).strip() or 0)
    if plain[0].isdigit():
        return float(plain)
    total = 0.0
    for word in re.split(r"[- ]+", plain):
        if word in ("hundred", "dozen"):
            total = max(total, 1.0) * (100 if word == "hundred" else 12)
        elif word not in ("a", "an"):
            total += _WORDS.get(word, 0.0) + _TENS.get(word, 0.0)
    return total
