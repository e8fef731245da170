"""Finds where a text tells what another house than the brand did ("I went to Kettleworld, who refunded me").

What is not surely told of another house stays with the brand: most names in a complaint are those of its staff, its
places and products, and of those who act for it.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Final

from model.conduct import counted
from model.hints import Hint, seen
from model.names import COURIERS, NO_HOUSE, PEOPLE
from model.segment import Span
from model.types import Cue, Reading

SHARE: Final = 2 / 3
"""From which share of a quote in the words about another house on it is told of that house."""
BEFORE: Final = 300
"""Characters before "Kettleworld, on the other hand," in which the brand has to be named."""
REACH: Final = 600
"""Characters of a clause, at most: text without full stops can be endless."""
MOST_HOUSES: Final = 20
"""Names of a text that are looked into, at most."""
SHOWN: Final = 5
"""Cues that a warning names, at most."""

_HOUSE: Final = (
    r"(?P<house>@?[A-Z][\w&-]*\w(?:['’]s(?= who|,)|\.(?:com|net|org|co\.uk)\b)?(?: (?:& )?[A-Z][\w&-]*\w){0,2})(?!\w)"
)
_OVER: Final = r"(?: (?:over|back|instead|straight|across|everything|again))* to "
# Small letters: in a text of capitals every word would look like a name.
_SWITCHED: Final = re.compile(
    r"\b(?:[Ss]witch(?:ed|ing)?|[Dd]efected|[Cc]hanged|[Mm]oved (?:over|(?:my|our|all|the) (?:\w+ ){0,2}?\w+)"
    rf"|[Tt]ook (?:my|our) (?:business|custom|money|trade)){_OVER}{_HOUSE}"
)
_WENT: Final = re.compile(rf"\b(?:(?:went|gone|turned){_OVER}|(?:go|going|turn) to ){_HOUSE}")
# Parcels and calls go to houses as well.
_I_BEFORE: Final = re.compile(
    r"\b(?:I|i|[Ww]e)(?:['’](?:ve|d))?(?: (?:have|had|then|just|finally|also|simply|eventually|later|so|gave up and"
    r"|(?:cancell?ed|left|returned it) and|ended up|decided to|had to)){0,3} $"
)
_FROM: Final = re.compile(rf"\b[Ss]witch(?:ed|ing) (?:over )?from {_HOUSE}")
_UNLIKE: Final = re.compile(rf"\b[Uu]nlike (?:with |at )?{_HOUSE}")
_RIVAL: Final = re.compile(rf"\b(?:rivals?|competitors?),? (?:like |such as )?{_HOUSE}")
_HAND: Final = re.compile(rf"{_HOUSE},? (?:on the other hand|(?:by|in) (?:contrast|comparison)),")
_BEGINNING: Final = re.compile(r"(?:^|[;,–—-]|\b(?:[Bb]ut|[Aa]nd|while|whereas)) ?$")
_WHO: Final = re.compile(r",? (?:who|which) (?=[a-z])")
# Without a subject of its own, so that nobody else may be meant.
_THEY: Final = re.compile(r"(?: instead)?(?:,? and|;|,) (?P<they>they)(?=['’ ])")
_WHILE: Final = re.compile(rf"(?:\bwhereas|, while) {_HOUSE} (?=[a-z])")
_OPENING: Final = re.compile(r"\b(?:Unlike|While|Whereas) (?=[\w@])")
_COMMA: Final = re.compile(rf", {_HOUSE} (?=[a-z])")
_CLAUSE_END: Final = re.compile(
    r"[;()–—]|:(?!\d)| - | (?:but|whereas|while|although|though|unlike) |,? (?:so|and) (?:I|i|we|my)\b"
)
_CUT: Final = re.compile(r"[,;]| and | but ")
_ACTS: Final = re.compile(r" (?!in |at |on |and |or |from )[a-z]")
_SUBJECT_BEFORE: Final = re.compile(r"(?:[.!?\n,;]|\b(?:while|whereas|but|and|after|when))$", re.IGNORECASE)
# What one pays the house that one leaves, which is as likely to be meant by "they" as the new one.
_LEFT_BEHIND: Final = Hint.of(
    "remaining rest last final balance deposit cancel canceled cancelled cancellation termination contract early unused"
    " old still leaving leave left closed closing back"
)
_LINKED: Final = (
    r"(?:dealer|reseller|retailer|seller|partner|subsidiary|contractor|agent|branch|division|franchise|insurer|supplier"
    r"|sister|parent|installer|courier)"
)
_BOUGHT: Final = (
    r"\b(?:[Bb]ought|[Oo]rdered|[Pp]urchased|[Bb]ooked|[Pp]aid|[Gg]ot)"
    r"(?: (?!instead\b|again\b|another\b|new\b)[\w'’-]+){0,6}? (?:from|at|through|via|on|with|in) (?:the )?"
)
# What stands in all that the patterns find; to look for it takes a tenth of the time.
_GOES: Final = Hint.of("", "went ", "gone ", "go to ", "going to ", "turned ", "turn to ")
_SWITCHES: Final = Hint.of("", "switch", "defected ", "changed ", "moved ", "took my ", "took our ")
_NAMES: Final = Hint.of("", "rival", "competitor")
_CONTRASTS: Final = Hint.of("", "unlike ", "whereas ", "while ", "other hand,", "contrast,", "comparison,")
_HINT: Final = Hint.any_of((_GOES, _SWITCHES, _NAMES, _CONTRASTS))
# With "they" alone after "I switched to ...", only what speaks for a house is surely said of the new one.
_GOOD: Final = Hint.of(
    "contact:made initiative:proactive speed:fast apology:given empathy:shown courtesy:courteous"
    " explanation:given responsibility:accepted redress:refund redress:cash redress:replacement redress:repair"
    " redress:voucher redress:gift redress:discount redress:extra_service adequacy:meets adequacy:exceeds"
    " solved:yes promise:kept follow_up:done effort:low"
).words


@dataclass(frozen=True, slots=True)
class Passage:
    """text[start:end] tells what another house did. by_they: that house is called "they" there, and nothing else."""

    start: int
    end: int
    house: str
    by_they: bool = False


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What a text tells of other houses than the brand. unsure: names of houses that it may tell more of."""

    passages: tuple[Passage, ...] = ()
    unsure: tuple[str, ...] = ()

    def holds(self, start: int, end: int, *, good: bool) -> Passage | None:
        """The passage that most of the words of text[start:end] stand in. good: whether they speak for a house."""
        for one in self.passages:
            inside = min(end, one.end) - max(start, one.start)
            if inside >= SHARE * (end - start) and (good or not one.by_they):
                return one
        return None

    def of(self, cue: Cue) -> Passage | None:
        """The passage that a cue is told in."""
        return self.holds(cue.start, cue.end, good=f"{cue.cue}:{cue.value}" in _GOOD)


NOWHERE: Final = Elsewhere()


def elsewhere(text: str, brand: str | None, sentences: Sequence[Span]) -> Elsewhere:
    """Where a text tells what another house than the brand did; nothing where no brand is known."""
    if not brand or not brand.strip() or not _HINT.stands_in(seen(text)):
        return NOWHERE
    found = _Search(text, sentences, _Houses(text, brand.strip()))
    passages = {*found.gone_to(), *found.contrasted()}
    found.name_others()
    if not found.known and not found.weak:
        return NOWHERE
    passages |= set(found.as_subject())
    return Elsewhere(tuple(sorted(passages, key=lambda p: p.start)), tuple(sorted(found.known | found.weak)))


class _Houses:
    """Tells which names of a text are other houses, and where it names the brand."""

    def __init__(self, text: str, brand: str) -> None:
        self.text = text
        self._other: dict[str, bool] = {}
        self._plain = _plain(brand)
        self._initials = _initials(brand)
        self._brand = _named(brand)

    def brand_in(self, start: int, end: int) -> re.Match[str] | None:
        """Where the brand is first named in text[start:end]."""
        return self._brand.search(self.text, start, end)

    def is_other(self, house: str) -> bool:
        """Whether a name is that of a house, and of another than the brand."""
        if house not in self._other:
            self._other[house] = len(self._other) < MOST_HOUSES and self._is_other(house)
        return self._other[house]

    def _is_other(self, house: str) -> bool:
        words = [w.casefold() for w in re.findall(r"[^\W_]+", house)]
        if not words or any(w in NO_HOUSE for w in words) or words[0] in PEOPLE:
            return False
        if words[0] in COURIERS and self._plain not in COURIERS:
            return False
        plain = _plain(house)
        alike = plain in self._plain or self._plain in plain or plain[:4] == self._plain[:4]
        return not alike and plain != self._initials and len(plain) > 1 and not self._acts_for_brand(house)

    def _acts_for_brand(self, house: str) -> bool:
        """Whether the author bought there, or says that it belongs to another house: a dealer's conduct counts."""
        name = re.escape(house)
        if re.search(rf"{_BOUGHT}{name}(?! instead)", self.text):
            return True
        return bool(
            re.search(rf"{name}(?:,| is| are| was) (?:\w+ ){{0,4}}{_LINKED}s?\b", self.text)
            or re.search(rf"\b{_LINKED}s?(?: \w+)?,? {name}", self.text)
            or re.search(rf"{name}[^.!?\n]{{0,40}}\b(?:on behalf of|owned by|belongs? to|part of)\b", self.text)
        )


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def _initials(brand: str) -> str:
    words = brand.split()
    return "".join(word[0] for word in words).casefold() if len(words) > 1 else ""


@lru_cache(maxsize=64)
def _named(brand: str) -> re.Pattern[str]:
    """Finds the brand as it is written, by its first word or initials, and a handle such as petsbest in two words."""
    first = brand.split()[0]
    names = {re.escape(brand)}
    if len(first) > 3:
        # "First" of First Bank is a word of every text, too.
        names.add(f"(?-i:{re.escape(first)})")
    if len(_initials(brand)) > 1:
        names.add(f"(?-i:{re.escape(_initials(brand).upper())})")
    if first == brand and brand.isalpha() and len(brand) > 5:
        names.add(" ?".join(brand))
    return re.compile(rf"(?<!\w)(?:{'|'.join(sorted(names, key=len, reverse=True))})(?!\w)", re.IGNORECASE)


class _Search:
    """What a text tells of other houses. known: houses that surely are others; weak: that may be places or helpers."""

    def __init__(self, text: str, sentences: Sequence[Span], houses: _Houses) -> None:
        self.text = text
        self.known: set[str] = set()
        self.weak: set[str] = set()
        self._houses = houses
        self._sentences = sentences
        self._starts = [start for start, _ in sentences]
        self._seen = seen(text)

    def gone_to(self) -> Iterator[Passage]:
        """After words such as "I went to Kettleworld, who ..." and "we switched to Kettleworld and they ..."."""
        for m in self._found(_GOES, _WENT):
            if _I_BEFORE.search(self.text, max(0, m.start() - 60), m.start()):
                who = _WHO.match(self.text, m.end())
                (self.known if who else self.weak).add(m["house"])
                if who:
                    yield self._passage(m, who.end())
        for m in self._found(_SWITCHES, _SWITCHED):
            self.known.add(m["house"])
            if who := _WHO.match(self.text, m.end()):
                yield self._passage(m, who.end())
            elif they := _THEY.match(self.text, m.end()):
                end = self._clause_end(they.end())
                if not _LEFT_BEHIND.stands_in(seen(self.text[they.end() : end])):
                    yield Passage(they.start("they"), end, m["house"], by_they=True)

    def contrasted(self) -> Iterator[Passage]:
        """Of "unlike Kettleworld, who ...", and "Kettleworld, on the other hand, ..." where the brand is the one."""
        for m in self._found(_CONTRASTS, _UNLIKE):
            self.known.add(m["house"])
            if who := _WHO.match(self.text, m.end()):
                end = self._clause_end(who.end())
                comma = self.text.find(",", who.end(), end)
                yield Passage(m.start("house"), end if comma < 0 else comma, m["house"])
        for m in self._found(_CONTRASTS, _HAND):
            begins = _BEGINNING.search(self.text[self._near(m.start()) : m.start()].lstrip(" \t\n\"'*-"))
            if begins and self._brand_acts(max(0, m.start() - BEFORE), m.start()):
                yield self._passage(m, m.end())
        for m in self._found(_CONTRASTS, _WHILE):
            if self._brand_acts(self._near(m.start()), m.start()):
                yield self._passage(m, m.end())
        for opening in _OPENING.finditer(self.text) if _CONTRASTS.stands_in(self._seen) else ():
            end = min(self._sentence(opening.start())[1], opening.end() + REACH)
            brand = self._houses.brand_in(opening.end(), end)
            if brand and brand.start() == opening.end():
                others = (m for m in _COMMA.finditer(self.text, brand.end(), end) if self._houses.is_other(m["house"]))
                yield from (self._passage(m, m.end()) for m in islice(others, 1))

    def name_others(self) -> None:
        """Knows the houses that the text calls rivals, or that the author comes from."""
        for hint, pattern in ((_SWITCHES, _FROM), (_NAMES, _RIVAL)):
            self.known |= {m["house"] for m in self._found(hint, pattern)}

    def as_subject(self) -> Iterator[Passage]:
        """Clauses that begin with a house that is known to be another."""
        for house in self.known:
            pattern = re.compile(
                r"(?P<joint>\b(?:[Bb]ut|[Aa]nd|[Ww]hile|[Ww]hereas|So|Then|Luckily|Thankfully|Meanwhile|Now|Fortunately),?"
                rf" |[;,] )?(?P<name>{re.escape(house)}) (?=[a-z])(?!(?:and|or|to|for|who|which|in|at|on|with|but)\b)"
            )
            for m in pattern.finditer(self.text):
                if m["joint"] or not self.text[self._sentence(m.start())[0] : m.start()].strip(" \t\n\"'*-"):
                    yield Passage(m.start("name"), self._clause_end(m.end("name")), house)

    def _found(self, hint: Hint, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """Where the pattern finds the name of another house."""
        if hint.stands_in(self._seen):
            yield from (m for m in pattern.finditer(self.text) if self._houses.is_other(m["house"]))

    def _sentence(self, place: int) -> Span:
        number = bisect_right(self._starts, place) - 1
        return self._sentences[number] if number >= 0 else (0, len(self.text))

    def _near(self, place: int) -> int:
        """Where the sentence of a place begins, or what of it stands near."""
        return max(self._sentence(place)[0], place - BEFORE)

    def _passage(self, m: re.Match[str], begin: int) -> Passage:
        """From the name of the house to the end of the clause around `begin`."""
        self.known.add(m["house"])
        return Passage(m.start("house"), self._clause_end(begin), m["house"])

    def _brand_acts(self, start: int, end: int) -> bool:
        """Whether the brand is the subject in text[start:end]: "Brightpot in York" is one of its places."""
        named = self._houses.brand_in(start, end)
        if named is None or not _ACTS.match(self.text, named.end()):
            return False
        before = self.text[max(0, named.start() - 12) : named.start()].rstrip()
        return not before or bool(_SUBJECT_BEFORE.search(before))

    def _clause_end(self, begin: int) -> int:
        """Where the clause around `begin` ends: before a turn, and before words about the brand."""
        last = min(self._sentence(begin)[1], begin + REACH)
        turn = _CLAUSE_END.search(self.text, begin, last)
        end = turn.start() if turn else last
        brand = self._houses.brand_in(begin, end)
        if brand is None:
            return end
        return max((m.start() for m in _CUT.finditer(self.text, begin, brand.start())), default=brand.start())


def of_brand(reading: Reading, other: Elsewhere, sentences: Sequence[Span]) -> Reading:
    """The reading without what is told of other houses. sentences: spans of the text's sentences."""
    kept = tuple(cue for cue in reading.cues if not other.of(cue))
    if len(kept) == len(reading.cues):
        return reading
    stating = [(a, b) for a, b in sentences if any(s.start < b and a < s.end for s in reading.statements)]
    tenure = [reading.tenure] if reading.tenure else []
    return replace(reading, cues=kept, cue_probabilities=counted([*kept, *tenure], stating))


@dataclass(frozen=True, slots=True)
class Told:
    """A text with what it tells of other houses, for the warnings of its thread. sentences: their spans."""

    utterance: str
    text: str
    cues: Sequence[Cue]
    sentences: Sequence[Span]
    other: Elsewhere


def warnings_of(texts: Sequence[Told], brand: str) -> tuple[str, ...]:
    """What is not counted as conduct of the brand, and what may be told of another house and still is."""
    left_out = [(t, c, p) for t in texts for c in t.cues if (p := t.other.of(c))]
    shown = [f'{c.cue}:{c.value or c.state} "{c.quote}" ({p.house}, in {t.utterance})' for t, c, p in left_out[:SHOWN]]
    more = [f"and {len(left_out) - SHOWN} more"] if len(left_out) > SHOWN else []
    unsure = {t.utterance: houses for t in texts if (houses := _unsure(t, brand))}
    result = []
    if left_out:
        result.append(f"told of another company and not counted as conduct of {brand}: {'; '.join(shown + more)}")
    if unsure:
        named = ", ".join(sorted({house for houses in unsure.values() for house in houses}))
        result.append(f"what is counted as conduct of {brand} in {', '.join(unsure)} may be told of {named}")
    return tuple(result)


def _unsure(told: Told, brand: str) -> set[str]:
    """The houses that what still counts for the brand may be told of."""
    kept = [c for c in told.cues if c.state != "hypothetical" and not told.other.of(c)]
    if not told.other.unsure or not kept:
        return set()
    houses = _Houses(told.text, brand)
    return {house for cue in kept if (house := _meant_as_well(told, cue, houses))}


def _meant_as_well(told: Told, cue: Cue, houses: _Houses) -> str | None:
    """Another house that the cue's sentence names, or the one before where that begins with "they".

    None where the brand is named there, too.
    """
    place = next((i for i, (a, b) in enumerate(told.sentences) if a <= cue.start < b), None)
    if place is None:
        return None
    start, end = told.sentences[place]
    if place and re.match(r"\W*[Tt]hey\b", told.text[start:end]):
        start = told.sentences[place - 1][0]
    if houses.brand_in(start, end):
        return None
    return next((house for house in told.other.unsure if house in told.text[start:end]), None)
