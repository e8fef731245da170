"""What a company can still do for each customer of a thread, and whom to contact first. Rules: docs/what-if.md."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from model.case import later_parts
from model.codebook import ABSENT_VALUES
from model.loyalty import STATED, LoyaltyHead
from model.types import Action, Advice, Case, CaseFeatures, Cue, LoyaltyEstimate, Report, Statement
from model.what_if import REPORTED, difference_of, what_if

FEASIBLE: Final = (
    "solved=yes",
    "redress=refund",
    "redress=replacement",
    "redress=repair",
    "redress=voucher",
    "apology=given",
    "responsibility=accepted",
    "explanation=given",
    "contact=made",
    "follow_up=done",
)
MOST_ACTIONS: Final = 3
GOODS: Final = frozenset({"product", "safety", "misdescription"})
"""Failures after which something can be repaired or replaced; a fee, a delay or a clerk can't."""
# Which redress the author's own words name, in a wish or in what was refused.
NAMED: Final = {
    "refund": re.compile(r"\b(?:refund\w*|money back|reimburs\w*|credit\w*|revers\w*|waiv\w*|give back)\b", re.I),
    "replacement": re.compile(r"\b(?:replac\w*|new one|exchang\w*|swap\w*|another one)\b", re.I),
    "repair": re.compile(r"\b(?:repair\w*|fix\w*|mend\w*)\b", re.I),
    "voucher": re.compile(r"\b(?:voucher|gift card|store credit)s?\b", re.I),
}
PAPER: Final = frozenset({"billing", "policy", "data"})
"""Failures in which "fix it" asks to put something right on paper: who wants an invoice fixed wants no repair."""
ON_PAPER: Final = re.compile(
    r"\bfix\w* (?:the|my|our|this|that|an?) (?:\w+ )?(?:bill|invoice|charge|fee|booking|account|payment|order)s?\b",
    re.I,
)
MENDED: Final = re.compile(r"\b(?:repair|mend)\w*", re.I)
# Index points below which an action is not worth naming.
LEAST_GAIN: Final = 0.5

# What an action answers, beside a wish for the same cue: these words of the author are its reason.
ANSWERS: Final[dict[str, tuple[str, ...]]] = {
    "solved": ("solved:no", "solved:partly", "repeat_failure:yes"),
    "redress": ("redress:refused", "redress:promised", "adequacy:below"),
    "apology": ("apology:absent", "apology:hollow", "empathy:lacking", "courtesy:rude"),
    "responsibility": ("responsibility:denied",),
    "explanation": ("explanation:absent",),
    "contact": ("contact:none", "speed:slow"),
    "follow_up": ("follow_up:absent", "promise:broken", "contact:none"),
}
# What is solved or made good is not made good again.
MADE_GOOD: Final = frozenset({"solved:yes", *(f"redress:{v}" for v in ("refund", "cash", "replacement", "repair"))})
# Whoever reports one of these has been contacted.
REACTIONS: Final = frozenset(
    {"apology:given", "explanation:given", "responsibility:accepted", "follow_up:done", "solved:yes"}
)
QUOTES: Final = 2


def advise(head: LoyaltyHead, report: Report, features: Sequence[CaseFeatures | None]) -> tuple[Advice, ...]:
    """Advice for every case with an estimate, whom to contact first in front.

    features: what the loyalty head saw of each case, in the order of the report (Scorer.score_cases).
    """
    texts = texts_of(report)
    found = [
        advise_case(head, case, case.loyalty, seen, texts)
        for case, seen in zip(report.cases, features, strict=True)
        if case.loyalty is not None and seen is not None
    ]
    return tuple(sorted(found, key=by_priority))


def texts_of(report: Report) -> dict[str, str]:
    """The text of every utterance of a report by id."""
    return {u.utterance.id: u.utterance.text for u in report.utterances}


def by_priority(advice: Advice) -> tuple[float, float]:
    """Sorts those to contact first to the front, and of equals those with the lower index."""
    return -advice.priority, advice.index


def advise_case(
    head: LoyaltyHead,
    case: Case,
    loyalty: LoyaltyEstimate,
    features: CaseFeatures,
    texts: Mapping[str, str] | None = None,
) -> Advice:
    """Advice for one case. features: what the loyalty head saw of it. texts: see movability."""
    movable, reasons = movability(case, loyalty, features, texts)
    note = case.reason if case.status != "ok" else _answer(case)
    if features.failure < REPORTED:
        return Advice(case.author, case.status, loyalty.index, (), None, movable, 0.0, (), "nothing went wrong")
    text = " ".join((texts or {}).get(uid, "") for uid in case.utterances)
    actions = _actions(head, case, features, text)
    if not actions:
        return Advice(
            case.author, case.status, loyalty.index, (), None, movable, 0.0, (), note or "nothing left that would help"
        )
    together = what_if(head, features, dict([_pair(a.change) for a in actions]))
    gain = max(together.difference, 0.0)
    reasons = (f"all actions together: {gain:+.1f} index points", *reasons)
    return Advice(case.author, case.status, loyalty.index, actions, together, movable, gain * movable, reasons, note)


def _actions(head: LoyaltyHead, case: Case, features: CaseFeatures, text: str) -> tuple[Action, ...]:
    """The best actions, at most one for each cue; one that adds nothing to those before it is left out."""
    best: dict[str, tuple[float, str]] = {}
    for change in FEASIBLE:
        cue, value = _pair(change)
        if _already(cue, value, case, features) or (cue == "redress" and value not in fitting_redress(case, text)):
            continue
        gain = difference_of(head, features, {cue: value})
        if gain >= LEAST_GAIN and (cue not in best or gain > best[cue][0]):
            best[cue] = gain, change
    kept: list[str] = []
    gain = 0.0
    for _, change in sorted(best.values(), key=lambda found: -found[0]):
        both = difference_of(head, features, dict(map(_pair, (*kept, change))))
        if both - gain >= LEAST_GAIN and len(kept) < MOST_ACTIONS:
            kept.append(change)
            gain = both
    return tuple(_action(head, change, case, features) for change in kept)


def _action(head: LoyaltyHead, change: str, case: Case, features: CaseFeatures) -> Action:
    cue, value = _pair(change)
    return Action(change, what_if(head, features, {cue: value}), *_reason(cue, case, features))


def fitting_redress(case: Case, text: str = "") -> frozenset[str]:
    """Kinds of redress that fit the failure: those that the author names, else all that such a failure allows.

    text: all that the author wrote, where it is known.
    """
    allowed = {"refund", "voucher"} | ({"repair", "replacement"} if case.failure in GOODS else set())
    words = " ".join(
        c.quote
        for c in (*case.cues, *case.answers)
        if c.cue == "redress" and (c.state == "hypothetical" or c.value in ("refused", "promised"))
    )
    named = {value for value, pattern in NAMED.items() if pattern.search(words)}
    if (case.failure in PAPER or ON_PAPER.search(text or words)) and not MENDED.search(words):
        named -= {"repair"}
    return frozenset(named or allowed)


def _answer(case: Case) -> str | None:
    """What the company has said in the thread to have done for this customer, in words."""
    said = dict.fromkeys(f"{c.cue}: {c.value}".replace("_", " ") for c in case.answers)
    return f"the company has answered in this thread ({', '.join(said)})" if said else None


def _already(cue: str, value: str, case: Case, features: CaseFeatures) -> bool:
    """Whether the author reports it, or conduct that implies it and that they do not contradict more strongly.

    What the company says in the thread to have done counts as well: it can't be advised any more.
    """
    answered = {f"{c.cue}:{c.value}" for c in case.answers}
    if f"{cue}:{value}" in answered or {"redress": MADE_GOOD, "contact": answered}.get(cue, frozenset()) & answered:
        return True
    reported = {f"{c.cue}:{c.value}" for c in case.cues if c.state != "hypothetical"}
    reported |= {name for name, p in features.cues.items() if p >= REPORTED}
    implied = {"redress": MADE_GOOD, "contact": REACTIONS}.get(cue, frozenset()) & reported
    return f"{cue}:{value}" in reported or any(not _contradicted(name, features) for name in implied)


def _contradicted(name: str, features: CaseFeatures) -> bool:
    cue = name.split(":")[0]
    against = [n for n in ABSENT_VALUES | {"responsibility:denied"} if n.startswith(f"{cue}:")]
    return any(features.cues.get(n, 0.0) > features.cues.get(name, 0.0) for n in against)


def _reason(cue: str, case: Case, features: CaseFeatures) -> tuple[str, tuple[Cue, ...]]:
    """Why the action is named, with the author's own words: wishes first, then what it answers."""
    spoken = cue.replace("_", " ")
    wishes = [c for c in case.cues if c.cue == cue and c.state == "hypothetical"]
    # What a later report has ended is no reason any more.
    lacks = [
        c
        for c in case.cues
        if c.state != "hypothetical"
        and (name := f"{c.cue}:{c.value}") in ANSWERS[cue]
        and features.cues.get(name, 0.0) >= c.probability / 2
    ]
    quotes = tuple(sorted(wishes, key=_surest) + sorted(lacks, key=_surest))[:QUOTES]
    if wishes:
        return f"the author speaks of {spoken} as something that should be or could have been", quotes
    if lacks:
        labels = dict.fromkeys(f"{c.cue}: {c.value}".replace("_", " ") for c in quotes)
        return f"the author reports {', '.join(labels)}", quotes
    # What the company itself refuses in the thread, and has not done since.
    refused = tuple(c for c in case.answers if f"{c.cue}:{c.value}" in ANSWERS[cue])[:QUOTES]
    if refused:
        labels = dict.fromkeys(f"{c.cue}: {c.value}".replace("_", " ") for c in refused)
        return f"the company says in this thread {', '.join(labels)}", refused
    return f"the author does not mention {spoken}", ()


def _surest(cue: Cue) -> float:
    return -cue.probability


def movability(
    case: Case, loyalty: LoyaltyEstimate, features: CaseFeatures, texts: Mapping[str, str] | None = None
) -> tuple[float, tuple[str, ...]]:
    """How open the person still is, in [0, 1], with the reasons.

    1 - |P(stay) - P(leave)|, halved where the author says last to leave, or says to stay once the problem is solved,
    and halved again after a repeated failure. texts: of the utterances by id, in which an update may stand above the
    older words.
    """
    stay, leave = loyalty.repurchase["stay"], loyalty.repurchase["leave"]
    movable = 1 - abs(stay - leave)
    reasons = [f"P(stay) {stay:.2f}, P(leave) {leave:.2f}"]
    said = _last_word(case, texts or {})
    if said and said.kind == "leave":
        movable /= 2
        reasons.append(f'says to leave: "{said.quote}"')
    if said and said.kind == "stay" and _made_good(features):
        movable /= 2
        reasons.append(f'says to stay, and it is solved: "{said.quote}"')
    if features.cues.get("repeat_failure:yes", 0.0) >= REPORTED:
        movable /= 2
        again = next((c.quote for c in case.cues if c.cue == "repeat_failure" and c.state != "hypothetical"), None)
        reasons.append("failed again" + (f': "{again}"' if again else ""))
    return movable, tuple(reasons)


def _made_good(features: CaseFeatures) -> bool:
    """Whether the problem is reported as solved, and not more strongly as open."""
    return features.cues.get("solved:yes", 0.0) >= REPORTED and not _contradicted("solved:yes", features)


def _last_word(case: Case, texts: Mapping[str, str]) -> Statement | None:
    """What the author says last about leaving or staying: the surest such statement to leave, or the last to stay."""
    order = {uid: number for number, uid in enumerate(case.utterances)}
    later = {uid: later_parts(texts[uid]) for uid in case.utterances if uid in texts}

    def when(said: Statement) -> tuple[int, int, int]:
        uid = said.utterance or ""
        part = sum(a <= said.start < b for a, b in later.get(uid, ()))
        return order.get(uid, 0), part, said.start

    said = sorted((s for s in case.stated if s.kind in ("leave", "stay") and s.probability >= STATED), key=when)
    if not said or said[-1].kind == "stay":
        return said[-1] if said else None
    return max((s for s in said if s.kind == "leave"), key=lambda s: s.probability)


def _pair(change: str) -> tuple[str, str]:
    cue, _, value = change.partition("=")
    return cue, value
