"""What the company itself says in a thread that it did for one of its customers, or refuses them.

The customers have not reported it, so it is no conduct of their case and does not enter the index; advice needs it, so
that nobody is told to do what was just done.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from model.authors import anybody
from model.codebook import CUES
from model.types import Case, Cue, Utterance

ANSWERS: Final = frozenset(
    {"apology:given", "explanation:given", "responsibility:accepted", "responsibility:denied", "solved:yes"}
    | {"follow_up:done"}
    | {f"redress:{value}" for value in CUES["redress"]}
)
"""What a company can say to have done or to refuse; that it answers at all is contact, whatever it says."""
_WORD: Final = r"(?:(?:Mr|Mrs|Ms|Dr|Prof)\.|\w[\w'\u2019-]*(?:\.\w+)*)"
_NAME: Final = rf"(?P<name>{_WORD}(?: (?:& )?{_WORD}){{0,4}})"
_GREETED: Final = re.compile(
    r"\b(?:hi|hello|hey|dear|thanks|thank you|sorry|apologies|good (?:morning|afternoon|evening))(?: there)? "
    rf"(?!@|/?u/){_NAME}",
    re.IGNORECASE,
)
# "Bex, we ..." at the start of a sentence or line, and "... in full, Bex." at its end.
_CALLED: Final = re.compile(rf"(?:^|(?<=[.!?\n])) *{_NAME}(?:[,:!]| [-\u2013\u2014] |\n)")
_LAST: Final = re.compile(rf", {_NAME}(?:[.!?\n]|$)")
_HANDLE: Final = re.compile(r"(?<![\w/])(?:@|/?u/)(?P<name>\w[\w.-]*)")
_TITLES: Final = frozenset(["mr", "mrs", "ms", "miss", "mx", "dr", "prof", "sir", "madam"])
_AND: Final = re.compile(r" (?:and|&) ")
# "Hello, hope you are well" and "Hi, may I ask" greet neither Hope nor May.
_NO_NAME: Final = frozenset(["you", "your", "to", "that", "this", "all", "the", "i", "it", "us"])
_SENTENCE_END: Final = re.compile(r"[.!?\n]|$")
_NAME_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_QUOTED: Final = re.compile(r"\S+(?:\s+\S+){0,11}")


@dataclass(frozen=True)
class _Called:
    """Customers whom an answer speaks to from a place on. last: whether the name ends a sentence ("..., Bex.")."""

    start: int
    cases: tuple[Case, ...]
    last: bool


def with_answers(cases: Sequence[Case], utterances: Sequence[Utterance]) -> list[Case]:
    """The cases, those of customers with what accounts of the company answered them (`Case.answers`)."""
    customers = [case for case in cases if case.role == "customer"]
    said = {uid: case for case in cases if case.role == "company" for uid in case.utterances} if customers else {}
    answers: dict[int, list[Cue]] = {id(case): [] for case in customers}
    for place, utterance in enumerate(utterances):
        if utterance.id not in said:
            continue
        called = _called(utterance.text, customers)
        later = {u.id for u in utterances[place + 1 :]}
        for case in _spoken_to(utterance, called, customers):
            if not any(c.cue == "contact" and c.value == "none" and c.utterance in later for c in case.cues):
                start = next((one.start for one in called if any(c is case for c in one.cases)), 0)
                answers[id(case)].append(_contact(utterance, start if len(called) > 1 else 0))
        for cue in said[utterance.id].cues:
            if cue.utterance == utterance.id and f"{cue.cue}:{cue.value}" in ANSWERS and cue.state != "hypothetical":
                for case in _meant(cue, utterance, called, customers):
                    answers[id(case)].append(cue)
    return [replace(case, answers=tuple(found)) if (found := answers.get(id(case))) else case for case in cases]


def _contact(answer: Utterance, start: int) -> Cue:
    """That the company has answered, with the words of it from `start` on."""
    found = _QUOTED.search(answer.text, start)
    start, end = found.span() if found else (0, 0)
    return Cue("contact", "made", "present", 1.0, answer.text[start:end], start, end, answer.id)


def _spoken_to(answer: Utterance, called: Sequence[_Called], customers: Sequence[Case]) -> list[Case]:
    """Everybody whom an answer speaks to: those it names, else whom it replies to."""
    named = {id(case) for one in called for case in one.cases}
    return [case for case in customers if (id(case) in named if called else answer.parent in case.utterances)]


def _meant(cue: Cue, answer: Utterance, called: Sequence[_Called], customers: Sequence[Case]) -> Sequence[Case]:
    """Those who are named last before the end of the cue's sentence, else whom the answer replies to."""
    found = _SENTENCE_END.search(answer.text, max(cue.start, cue.end - 1))
    end = found.start() if found else len(answer.text)
    before = [one for one in called if one.start < end]
    if before:
        return before[-1].cases
    if called and called[0].last:
        return called[0].cases
    return [case for case in customers if answer.parent in case.utterances]


def _called(text: str, customers: Sequence[Case]) -> list[_Called]:
    """Where a text calls somebody by name, from its start on.

    Of a name that is nobody's here the one it answers may still be meant, who calls themselves otherwise; but a
    "Mr Stone" is no "Mr Holt".
    """
    found: dict[int, _Called] = {}
    for pattern in (_GREETED, _CALLED, _LAST, _HANDLE):
        for match in pattern.finditer(text):
            names = list(_names_in(match["name"], whole=pattern is not _GREETED))
            cases = tuple(c for c in customers if any(_is_name(name, c.author) for name in names))
            titled = pattern is not _LAST and any(name.split()[0].strip(".").casefold() in _TITLES for name in names)
            if cases or (titled and all(_titled(c.author) for c in customers)):
                found.setdefault(match.start("name"), _Called(match.start("name"), cases, pattern is _LAST))
    return [found[start] for start in sorted(found)]


def _names_in(words: str, *, whole: bool) -> Iterator[str]:
    """What may be a name in such words. whole: all of them; else those that they begin with as well."""
    for part in _AND.split(words):
        yield part
        own = part.split()
        for n in range(1, 1 if whole else len(own)):
            if own[n].casefold() not in _NO_NAME:
                yield " ".join(own[:n])


def _titled(author: str) -> bool:
    first: str = re.split(r"[\s.]+", author.strip())[0]
    return first.casefold() in _TITLES


def _is_name(name: str, author: str) -> bool:
    """Whether a name, as somebody is called by it, is the author's: their first, their last with a title, or all of it.

    A name has a capital letter, unless the author writes it without: "will" is no "Will".
    """
    if anybody(author) or author.startswith(("author of ", "post author")):
        return False
    author = re.sub(r"^(?:@|/?u/)", "", author.strip())
    name = name.rstrip(".")
    if name == author:
        return True
    if not name[:1].isupper():
        return False
    family, comma, given = author.partition(",")
    first, *more = _words(f"{given} {family}" if comma else author) or [""]
    called = _words(name)
    if len(called) > 1 and called[0] in _TITLES:
        return called[-1] == (more or [first])[-1]
    rest = {first, *more, *(word[0] for word in more)}
    return bool(called) and len(first) > 1 and called[0] == first and first not in _TITLES and rest.issuperset(called)


def _words(name: str) -> list[str]:
    return [found[0].casefold() for found in _NAME_WORD.finditer(name)]
