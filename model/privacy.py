"""Masks personal data that can be told by its form: e-mail addresses, phone numbers, IBANs and card numbers.

Names, postal addresses and whatever else takes understanding stay as they are.
"""

import hmac
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, reduce
from itertools import chain, pairwise
from typing import Any, Final

from model.types import Author, Thread, Utterance

KINDS: Final = ("email", "iban", "card", "phone")
# Whose way of writing numbers is known beside the international one, which starts with +.
PHONE_REGIONS: Final = ("US", "GB", "AU", "IE")
# Longer pieces are cut, so that the time for a text grows with its length alone.
_PIECE: Final = 2000
# Letters of a keyed mark, four bits each: 64 bits, so that two marks hardly ever meet. A digit in them might look like
# that of a phone number.
_MARK_LETTERS: Final = "bcdfghjklmnpqrst"
_MARK_BYTES: Final = 8
_DIGIT: Final = re.compile(r"\d")
# Also "ann (at) example (dot) org". Bounded, and tried only where a word begins, so that no text takes long.
_EMAIL: Final = re.compile(
    r"(?<![\w.%+-])[\w%+-][\w.%+-]{0,63}(?:@| ?[(\[]at[)\]] ?)"
    r"(?:[\w-]{1,63}(?:\.| ?[(\[]dot[)\]] ?)){1,8}[^\W\d_]{2,24}(?![\w-])",
    re.IGNORECASE,
)
_SHORTEST_IBAN: Final = 15
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])", re.ASCII)
# In one piece, or in the groups that stand on cards: rows of dates and amounts are no cards.
_CARD: Final = re.compile(
    r"(?<![\w.,-])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{4}([ -])\d{6}\2\d{4,5})(?![\w-])", re.ASCII
)
# Written as in North America, also with numbers that nobody has.
_DASHED_PHONE: Final = re.compile(
    r"(?<![\w-])(?:\+?1[-. ]?)?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-.])\d{3}[-.]\d{4}(?![\w-])", re.ASCII
)

# Beside the format characters: selectors of a way to draw the letter before, and the frame of a keycap.
_INVISIBLE: Final = frozenset({*map(chr, range(0xFE00, 0xFE10)), "\u034f", "\u20e3"})
# Full-width letters follow one another as those of ASCII do.
_WIDER: Final = 0xFEE0

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Masked:
    """A text whose personal data stands as [email], [phone], [iban] or [card]; found: how many of each kind."""

    text: str
    found: Mapping[str, int]


@dataclass
class Masker:
    """Masks what belongs together, and counts it in `found` by kind.

    The same address or number in a name, an id or a link always becomes the same mark, so that two people stay two.

    key: None for numbered marks such as [email 2], which are those of this masker alone. With a key the mark holds a
    keyed digest (HMAC-SHA256) in letters, such as [email fkqmdbnrhtcsgplj]: every masker with this key gives the same,
    and who has not the key can't try out which address it stands for.
    """

    found: Counter[str] = field(default_factory=Counter)
    key: bytes | None = None
    _marks: dict[str, str] = field(default_factory=dict)

    def text(self, text: str) -> str:
        """A text, title or quote with plain marks."""
        return self._replaced(text, KINDS, lambda kind, _: f"[{kind}]")

    def name(self, name: str) -> str:
        """A name with marks that tell one datum from another."""
        return self._replaced(name, KINDS, self._mark)

    def link(self, link: str) -> str:
        """As name, of a link or an id, for e-mail addresses alone: digits in it are no phone numbers."""
        return self._replaced(link, ("email",), self._mark)

    def thread(self, thread: Thread) -> Thread:
        """A thread without personal data; what was masked is told by one more warning."""
        before = self.found.copy()
        masked = replace(
            thread,
            id=self.link(thread.id),
            title=thread.title and self.text(thread.title),
            url=thread.url and self.link(thread.url),
            brand=thread.brand and self.text(thread.brand),
            warnings=tuple(map(self.text, thread.warnings)),
            utterances=tuple(map(self._utterance, thread.utterances)),
        )
        said = in_words(self.found - before)
        return replace(masked, warnings=(*masked.warnings, said)) if said else masked

    def json(self, value: Any) -> Any:
        """Any JSON value with every text in it masked as a name is, those that name its fields as well."""
        match value:
            case str():
                return self.name(value)
            case Mapping():
                return {self.name(key): self.json(item) for key, item in value.items()}
            case list() | tuple():
                return [self.json(item) for item in value]
            case _:
                return value

    def _utterance(self, one: Utterance) -> Utterance:
        author = one.author and Author(self.name(one.author.name), one.author.url and self.link(one.author.url))
        return replace(
            one,
            id=self.link(one.id),
            text=self.text(one.text),
            parent=one.parent and self.link(one.parent),
            author=author,
            place=one.place and self.link(one.place),
            flags=tuple(map(self.name, one.flags)),
        )

    def _mark(self, kind: str, value: str) -> str:
        value = (_folded(value) or (value,))[0]
        if self.key is not None:
            return f"[{kind} {_letters(hmac.digest(self.key, value.casefold().encode(), 'sha256'))}]"
        return self._marks.setdefault(value.casefold(), f"[{kind} {len(self._marks) + 1}]")

    def _replaced(self, text: str, kinds: Sequence[str], mark: Callable[[str, str], str]) -> str:
        spans = _spans(text, kinds)
        if not spans:
            return text
        self.found.update(kind for _, _, kind in spans)
        edges = [0, *(edge for start, end, _ in spans for edge in (start, end)), len(text)]
        kept = [text[a:b] for a, b in list(pairwise(edges))[::2]]
        marks = [mark(kind, text[start:end]) for start, end, kind in spans]
        return "".join(part for pair in zip(kept, [*marks, ""], strict=True) for part in pair)


def _letters(digest: bytes) -> str:
    return "".join(_MARK_LETTERS[byte >> 4] + _MARK_LETTERS[byte & 15] for byte in digest[:_MARK_BYTES])


def mask(text: str) -> Masked:
    """One text on its own."""
    masker = Masker()
    return Masked(masker.text(text), masker.found)


def in_words(found: Mapping[str, int]) -> str | None:
    """What was masked, for the reader of a report; None where nothing was."""
    parts = [f"{found[kind]} {kind}" for kind in KINDS if found.get(kind)]
    if not parts:
        return None
    return f"personal data was masked ({', '.join(parts)}); quotes and offsets are those of the masked text"


def _spans(text: str, kinds: Sequence[str]) -> list[tuple[int, int, str]]:
    """Start, end and kind of what is to be masked, in order and apart; where two overlap the earlier kind stays."""
    found: list[tuple[int, int, str]] = []
    taken = bytearray(len(text))
    folded = _folded(text)
    for kind in kinds:
        if kind != "email" and not _DIGIT.search(text):
            continue
        spans = (
            FINDERS[kind](text) if folded is None else _joined(chain(FINDERS[kind](text), _in_folded(kind, *folded)))
        )
        for start, end in spans:
            if not any(taken[start:end]):
                taken[start:end] = bytes([1]) * (end - start)
                found.append((start, end, kind))
    return sorted(found)


def _folded(text: str) -> tuple[str, list[int]] | None:
    """The text in plain letters and without invisible ones, and where each character stood; None where that is all.

    Full-width letters, digits of other scripts and invisible characters read like what the patterns know.
    """
    if text.isascii():
        return None
    other = {char: plain for char in set(text) if (plain := _fold(char)) != char}
    if not other:
        return None
    pairs = [(plain, place) for place, char in enumerate(text) if (plain := other.get(char, char))]
    return "".join(plain for plain, _ in pairs), [place for _, place in pairs]


@lru_cache(maxsize=4096)
def _fold(char: str) -> str:
    """The plain character that one looks like, nothing for an invisible one; powers and fractions are no digits."""
    if char.isascii():
        return char
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    kind = unicodedata.category(char)
    if kind == "Cf" or char in _INVISIBLE:
        return ""
    if kind in ("Pd", "Zs") or char == "\u2212":
        return " " if kind == "Zs" else "-"
    return chr(ord(char) - _WIDER) if "\uff01" <= char <= "\uff5e" else char


def _in_folded(kind: str, text: str, places: Sequence[int]) -> Iterator[Span]:
    """Spans of the text as it was, of what is found in it folded."""
    return ((places[start], places[end - 1] + 1) for start, end in FINDERS[kind](text))


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    """Spans in order, those that overlap as one."""
    last: Span | None = None
    for start, end in sorted(spans):
        if last and start < last[1]:
            last = (last[0], max(last[1], end))
            continue
        if last:
            yield last
        last = (start, end)
    if last:
        yield last


def _emails(text: str) -> Iterator[Span]:
    folded = text.lower()
    if "@" in text or "at)" in folded or "at]" in folded:
        yield from (m.span() for m in _EMAIL.finditer(text))


def _ibans(text: str) -> Iterator[Span]:
    at = 0
    while match := _IBAN.search(text, at):
        found = _iban(match)
        # What follows an IBAN may be part of the match, and what precedes it may look like the beginning of one.
        at = found[1] if found else match.start() + 4
        if found:
            yield found


def _iban(match: re.Match[str]) -> Span | None:
    """The span of the IBAN that the match begins with: words may follow it, so that the longest that adds up counts.

    The check digits are right where the rest of the number and then its first four characters leave 1 (ISO 13616).
    """
    whole, found, rest, count = match.group(), None, 0, 4
    for place, char in enumerate(whole[4:], 5):
        if char not in " -":
            rest, count = _remainder(rest, char), count + 1
            ends = place == len(whole) or not whole[place].isalnum()
            if ends and count >= _SHORTEST_IBAN and reduce(_remainder, whole[:4], rest) == 1:
                found = match.start(), match.start() + place
    return found


def _remainder(rest: int, char: str) -> int:
    """Of a division by 97, one character on; a letter counts as two digits."""
    value = int(char, 36)
    return (rest * (100 if value > 9 else 10) + value) % 97


def _cards(text: str) -> Iterator[Span]:
    yield from (m.span() for m in _CARD.finditer(text) if _luhn(re.sub("[ -]", "", m.group())))


def _luhn(digits: str) -> bool:
    """Whether the check digit of a card number is right; one digit over and over is no card number."""
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return len(set(digits)) > 1 and sum(d - 9 * (d > 9) for d in doubled) % 10 == 0


def _phones(text: str) -> Iterator[Span]:
    # Only now: the library reads the numbering plans of all countries.
    import phonenumbers

    found: set[Span] = {m.span() for m in _DASHED_PHONE.finditer(text)}
    for offset, piece in _pieces(text):
        if len(_DIGIT.findall(piece)) < 7:
            continue
        for region in PHONE_REGIONS:
            matcher = phonenumbers.PhoneNumberMatcher(piece, region, max_tries=200)
            found |= {(offset + m.start, offset + m.end) for m in matcher}
    last = 0
    for start, end in sorted(found, key=lambda span: (span[0], -span[1])):
        if start >= last:
            yield start, end
            last = end


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """The text in pieces that end at white space where there is some, with where each starts."""
    start = 0
    while start < len(text):
        end = start + _PIECE
        cut = max(text.rfind("\n", start, end), text.rfind(". ", start, end)) if end < len(text) else -1
        end = cut + 1 if cut > start else end
        yield start, text[start:end]
        start = end


FINDERS: Final[Mapping[str, Callable[[str], Iterator[Span]]]] = {
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "phone": _phones,
}
