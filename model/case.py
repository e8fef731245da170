"""Gathers what was read in one author's utterances into the features of their case."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from model.codebook import CUE_VALUES, CUES
from model.hints import Hint, seen
from model.types import CaseFeatures, Reading, SentenceSentiment

_MADE_GOOD = tuple(f"redress:{v}" for v in CUES["redress"] if v not in ("promised", "refused"))
REPLACES: Final[dict[str, tuple[str, ...]]] = {
    "contact:made": ("contact:none",),
    # Who apologises, explains or pays has been in contact.
    "apology:given": ("apology:absent", "apology:hollow", "contact:none"),
    "explanation:given": ("explanation:absent", "contact:none"),
    "responsibility:accepted": ("responsibility:denied", "contact:none"),
    "follow_up:done": ("follow_up:absent", "contact:none"),
    "solved:yes": ("solved:no", "solved:partly"),
    "solved:partly": ("solved:no",),
    "solved:no": ("solved:yes", "solved:partly"),
    "redress:promised": ("redress:refused",),
    "redress:refused": ("redress:promised",),
    **dict.fromkeys(_MADE_GOOD, ("redress:refused", "redress:promised", "contact:none")),
}
"""What an author reports later, and which states of affairs that they had reported before it brings to an end."""

_MONTH: Final = r"(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]{0,6}\b"
_DATE: Final = (
    r"(?:\d{1,2}/\d{1,2}(?:/\d{2,4})?|\d{1,2}\.\d{1,2}\.(?:19|20)\d\d|(?:19|20)\d\d-\d\d-\d\d"
    rf"|\d{{1,2}}(?:st|nd|rd|th)? {_MONTH}|{_MONTH} \d{{1,2}})"
)
_UPDATE: Final = re.compile(
    r"(?:^|\n|(?<=[.!?*)\]])\s)[\s*_\[(#-]{0,20}(?:"
    r"(?:edit(?:ed)?(?: to add)?|update[ds]?|upd|eta)\b[^\n:\u2013\u2014-]{0,25}[:\u2013\u2014\])*-]"
    # A date without a colon; a remark of any length in brackets.
    rf"|(?:edit|update)(?:!| {_DATE}|(?: \([^()\n]{{0,120}}\))?\s?[:\u2013\u2014])"
    # With a word before it only with a colon: "Latest update made it worse - again" is about software.
    r"|(?:final|latest|later|quick|brief|short|small|second|third|another|new|\d{1,2}(?:st|nd|rd|th)) (?:edit|update)"
    rf"(?: {_DATE}|(?: \([^()\n]{{0,120}}\))?\s?[:!])"
    r"|addendum(?: \([^()\n]{0,120}\))?\s?:)"
    # The bare word in a line of its own, or as the first sentence of a line.
    r"|(?:^|\n)[ \t*_#\[]{0,20}(?-i:UPDATE|EDIT)[ \t*_\]]{0,20}(?=\n)"
    r"|\n[ \t]{0,20}\n[ \t*_#\[]{0,20}(?:update|edit)[ \t*_\]]{0,20}(?=\n)"
    r"|(?:^|\n)[ \t*_#\[]{0,20}update\.(?=\s)"
    r"|\n[ \t]{0,20}\n[ \t*_#]{0,20}follow[ -]?up:(?=(?: [^\s:]+){4})",
    re.IGNORECASE,
)
_ORIGINAL: Final = re.compile(
    r"(?:^|\n|(?<=[.!?*)\]])\s)[\s*_\[(#-]{0,20}(?:my )?(?:original|previous|first|old(?:er)?|earlier)"
    r" (?:review|post|comment|story|text|message)\b[^\n:\u2013\u2014-]{0,25}[:\u2013\u2014\])*-]"
    r"|\n[ \t*_#]{0,20}(?:my )?(?:original|previous|old) (?:review|post|comment)[ \t*_]{0,20}(?=\n)",
    re.IGNORECASE,
)
_ORIGINAL_ALONE: Final = re.compile(r"\n[ \t*_#]{0,20}original(?: text)?[ \t*_]{0,20}:", re.IGNORECASE)

# What stands in all that these find.
_UPDATED: Final = Hint.of("", "edit", "upd", "eta", "addendum", "follow")
_OLDER: Final = Hint.of("", "review", "post", "comment", "story", "text", "message")


@dataclass(frozen=True)
class TextReading:
    """Both heads' view of one text of `words` words. raw: the text, where later parts of it are to be told apart."""

    reading: Reading
    sentences: tuple[SentenceSentiment, ...]
    words: int
    raw: str = ""


def case_features(texts: Sequence[TextReading]) -> CaseFeatures:
    """Features of a case from at least one text of the same author.

    A cue counts with its strongest mention, times the probability that nothing reported later has ended it (REPLACES).
    texts: from the earliest on. The failure is read where it is told: the text with the highest severity. Sentences
    that state loyalty themselves are left out of the sentiment, as they are of the cues.
    """
    holds = still_holding(texts)
    readings = [t.reading for t in texts]
    severity = max(sum(int(value) * p for value, p in r.severity.items()) for r in readings)
    return CaseFeatures(
        cues={v: max(r.cue_probabilities[v] for r in readings) * holds.get(v, 1.0) for v in CUE_VALUES},
        severity=severity,
        failure=max(1 - r.failure["none"] for r in readings),
        tenure=max(r.cue_probabilities["tenure"] for r in readings),
        valence=_valence(texts),
        length=sum(t.words for t in texts),
    )


def still_holding(texts: Sequence[TextReading]) -> Mapping[str, float]:
    """For cue values that were reported and may have ended since: the probability that they still hold, in [0, 1].

    Only what stands in a later text, or after "UPDATE:" and the like in the same one, ends anything: within one telling
    both values are part of the story, and the loyalty head has learnt them as such.
    """
    found = sorted(_mentions(texts))
    last = {label: stage for stage, label, _ in found}
    ended: dict[str, float] = {}
    for stage, label, probability in found:
        for earlier in REPLACES.get(label, ()):
            if earlier in last and last[earlier] < stage:
                ended[earlier] = max(ended.get(earlier, 0.0), probability)
    return {label: 1 - probability for label, probability in ended.items()}


def _mentions(texts: Sequence[TextReading]) -> Iterator[tuple[tuple[int, int], str, float]]:
    """What is reported as fact, with when: the number of the text and the part of it."""
    for number, text in enumerate(texts):
        later = later_parts(text.raw)
        for cue in text.reading.cues:
            if cue.state != "hypothetical":
                part = sum(a <= cue.start < b for a, b in later)
                yield (number, part), f"{cue.cue}:{cue.value}", cue.probability


def later_parts(raw: str) -> tuple[tuple[int, int], ...]:
    """Spans of a text that were written after the rest: from "EDIT:" or "UPDATE 3 May:" on, each within the one before.

    Where the older words follow under a heading of their own ("Original review:"), the update ends there.
    """
    told = seen(raw)
    starts = [m.start() for m in _UPDATE.finditer(raw)] if _UPDATED.stands_in(told) else []
    old = _ORIGINAL.search(raw) if _OLDER.stands_in(told) else None
    if old is None and starts and not raw[: starts[0]].strip():
        # "Original:" may be one of several products, but not under an update that the text begins with.
        old = _ORIGINAL_ALONE.search(raw)
    if old and old.start() > 0 and (not starts or starts[0] < old.start()):
        return ((0, old.start()),)
    return tuple((start, len(raw)) for start in starts if raw[:start].strip())


def _valence(texts: Sequence[TextReading]) -> float:
    """Mean over the texts, each counted once: a long story does not drown what its author says later."""
    means = [m for m in map(_text_valence, texts) if m is not None]
    return sum(means) / len(means) if means else 0.0


def _text_valence(text: TextReading) -> float | None:
    """Mean over the sentences that state no loyalty, by length; None where there are none."""
    statements = text.reading.statements
    kept = [s for s in text.sentences if not any(q.start < s.end and s.start < q.end for q in statements)]
    weight = sum(s.end - s.start for s in kept)
    return sum(s.sentiment.valence * (s.end - s.start) for s in kept) / weight if weight else None
