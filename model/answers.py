"""What the company itself says in a thread that it did for one of its customers.

The customers have not reported it, so it is no conduct of their case and does not enter the index; advice needs it, so
that nobody is told to do what was just done.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from model.authors import anybody
from model.codebook import CUES
from model.types import Case, Utterance

_GREETED: Final = 120
"""Characters at the start of an answer in which it says to whom it speaks."""
ANSWERS: Final = frozenset(
    {"apology:given", "explanation:given", "responsibility:accepted", "solved:yes", "follow_up:done"}
    | {f"redress:{value}" for value in CUES["redress"] if value != "refused"}
)
"""What a company can say to have done."""


def with_answers(cases: Sequence[Case], utterances: Sequence[Utterance]) -> list[Case]:
    """The cases, those of customers with what accounts of the company answered them (`Case.answers`)."""
    by_id = {u.id: u for u in utterances}
    said = [
        (by_id[cue.utterance], cue)
        for case in cases
        if case.role == "company"
        for cue in case.cues
        if cue.utterance is not None and f"{cue.cue}:{cue.value}" in ANSWERS and cue.state != "hypothetical"
    ]
    customers = [case for case in cases if case.role == "customer"] if said else []
    to = {u.id: _addressed(u, customers) for u, _ in said}
    return [replace(c, answers=tuple(cue for u, cue in said if any(c is one for one in to[u.id]))) for c in cases]


def _addressed(answer: Utterance, customers: Sequence[Case]) -> list[Case]:
    """Those whom an answer names, else whom it replies to."""
    named = [case for case in customers if _names(case.author, answer.text[:_GREETED])]
    return named or [case for case in customers if answer.parent in case.utterances]


def _names(author: str, text: str) -> bool:
    if anybody(author) or author.startswith(("author of ", "post author")):
        return False
    first = re.split(r"[\s_.,]+", author.strip())[0]
    return len(first) > 1 and re.search(rf"(?<!\w)@?{re.escape(first)}(?!\w)", text, re.IGNORECASE) is not None
