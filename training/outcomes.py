"""Joins what became of customers with what the model had said of them, weeks before.

A prediction is a case as the loyalty head saw it then (`case`), or the probabilities that were answered (`predicted`).
An outcome finds its prediction in this order, and is refused with a reason where none of them is there:

1. the one that it brings along;
2. of those kept with the same `case_id`, the last that was made before the outcome was seen, or on that day;
3. the same with the same `thread_id` and `author`; an author's name alone joins nothing, as names repeat.

Of several outcomes of a case the one seen last counts, for repurchase (bought again, left) and word of mouth
(recommended, warned) alike; two of one day that contradict each other are told, and neither counts.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal

from model.codebook import CUE_VALUES, CUES
from model.types import CaseFeatures
from training.labels import PREDICTION, Dropped, Labelled, same_text

Head = Literal["repurchase", "wom"]
Side = Literal["full", "conduct"]
HEADS: Final[tuple[Head, ...]] = ("repurchase", "wom")
OUTCOMES: Final[Mapping[str, tuple[Head, bool]]] = {
    "bought_again": ("repurchase", True),
    "left": ("repurchase", False),
    "recommended": ("wom", True),
    "warned": ("wom", False),
}
# The lowest and the highest class of each head, as answers call them.
ENDS: Final[Mapping[Head, tuple[str, str]]] = {"repurchase": ("leave", "stay"), "wom": ("negative", "positive")}


@dataclass(frozen=True)
class Prediction:
    """What the model knew and said of a case at a time.

    day: when, None where it is not told. case: what the loyalty head saw, None where only the answer was kept. said:
    P(lowest) and P(highest) by head. fit: which of the two fits had said so. bundle: digest of the model.
    """

    day: date | None
    case: CaseFeatures | None
    said: Mapping[Head, tuple[float, float]]
    fit: Side = "full"
    bundle: str | None = None


@dataclass(frozen=True)
class Pair:
    """One outcome with its prediction. good: bought again or recommended. who: the same for all pairs of one case.

    rule: "own", "case_id" or "thread_id and author".
    """

    who: str
    head: Head
    good: bool
    seen: date
    prediction: Prediction
    rule: str


@dataclass(frozen=True)
class Joined:
    """What outcomes teach. replaced: outcomes that a later one of the same case replaced."""

    pairs: tuple[Pair, ...]
    refused: tuple[Dropped, ...]
    predictions: int
    outcomes: int
    replaced: int

    def report(self) -> dict[str, Any]:
        """What was joined and what was not, as JSON; it names nobody."""
        days = [(p.seen - p.prediction.day).days for p in self.pairs if p.prediction.day]
        return {
            "predictions": self.predictions,
            "outcomes": self.outcomes,
            "joined": len(self.pairs),
            "by_rule": dict(sorted(Counter(p.rule for p in self.pairs).items())),
            "by_outcome": dict(sorted(Counter(_name(p.head, p.good) for p in self.pairs).items())),
            "with_case": sum(p.prediction.case is not None for p in self.pairs),
            "undated": sum(p.prediction.day is None for p in self.pairs),
            "days_later": sorted(days)[len(days) // 2] if days else None,
            "replaced": self.replaced,
            "refused": dict(sorted(Counter(d.reason for d in self.refused).items())),
            "refused_rows": [d.line for d in self.refused[:50]],
        }


def join(examples: Sequence[Labelled]) -> Joined:
    """Pairs of outcome and prediction, one for each case and head. examples: of the task loyalty."""
    kept = [e for e in examples if e.label == PREDICTION]
    outcomes = [e for e in examples if e.label in OUTCOMES]
    by_case, by_author = _indexed(kept)
    found = [_paired(e, by_case, by_author) for e in outcomes]
    pairs = [(e, p) for e, p in zip(outcomes, found, strict=True) if isinstance(p, Pair)]
    settled, conflicts = _last_seen(pairs)
    refused = [d for d in found if isinstance(d, Dropped)]
    replaced = len(pairs) - len(settled) - len(conflicts)
    return Joined(tuple(settled), (*refused, *conflicts), len(kept), len(outcomes), replaced)


Index = dict[tuple[str, ...], list[Prediction]]


def _indexed(kept: Sequence[Labelled]) -> tuple[Index, Index]:
    by_case: Index = {}
    by_author: Index = {}
    for e in kept:
        prediction = prediction_of(e)
        if prediction and e.case_id:
            by_case.setdefault((e.case_id,), []).append(prediction)
        if prediction and e.thread_id and e.author:
            by_author.setdefault((e.thread_id, same_text(e.author)), []).append(prediction)
    return by_case, by_author


def _paired(e: Labelled, by_case: Index, by_author: Index) -> Pair | Dropped:
    head, good = OUTCOMES[e.label]
    seen = _day(e.when)
    if seen is None:
        return _refused(e, "no_prediction", "observed_at", "nothing", "a day such as 2026-03-31")
    author = (e.thread_id, same_text(e.author)) if e.thread_id and e.author else None
    who = e.case_id or " ".join(author or (e.source, e.place))
    own = prediction_of(e)
    candidates: list[tuple[str, list[Prediction]]] = [
        ("own", [own] if own else []),
        ("case_id", by_case.get((e.case_id,), []) if e.case_id else []),
        ("thread_id and author", by_author.get(author, []) if author else []),
    ]
    for rule, predictions in candidates:
        # What was said without a day is taken at its word: it was sent as what the model had said.
        before = [p for p in predictions if p.day is None or p.day <= seen]
        if before:
            return Pair(who, head, good, seen, max(before, key=lambda p: p.day or date.min), rule)
    early = [p for _, predictions in candidates for p in predictions]
    if early:
        first = min(p.day for p in early if p.day)
        return _refused(
            e, "seen_before", "observed_at", seen.isoformat(), f"{first} or later: the day of the prediction"
        )
    return _refused(
        e, "no_prediction", "case_id", e.case_id or "none", "a case_id, or thread_id and author, with a prediction"
    )


def _last_seen(pairs: Iterable[tuple[Labelled, Pair]]) -> tuple[list[Pair], list[Dropped]]:
    """One pair for each case and head: the last seen; and the outcomes of one day that contradict each other."""
    groups: dict[tuple[str, Head], list[tuple[Labelled, Pair]]] = {}
    for e, pair in pairs:
        groups.setdefault((pair.who, pair.head), []).append((e, pair))
    settled: list[Pair] = []
    conflicts: list[Dropped] = []
    for group in groups.values():
        day = max(pair.seen for _, pair in group)
        last = [(e, pair) for e, pair in group if pair.seen == day]
        if len({pair.good for _, pair in last}) > 1:
            told = " and ".join(sorted({e.label for e, _ in last}))
            conflicts += [_refused(e, "conflict", "outcome", f"{told} on {day}", "one of them") for e, _ in last]
        else:
            settled.append(last[-1][1])
    return settled, conflicts


def prediction_of(e: Labelled) -> Prediction | None:
    """What an example says of a prediction; None where it says nothing that can be used."""
    case = case_of(e.case)
    said = {head: ends for head in HEADS if (ends := _ends(e.predicted, head)) is not None}
    if case is None and not said:
        return None
    fit: Side = "conduct" if isinstance(e.predicted, Mapping) and e.predicted.get("fit") == "conduct" else "full"
    return Prediction(_day(e.predicted_at), case, said, fit, e.bundle)


def case_of(given: Any) -> CaseFeatures | None:
    """A case as /v1/what-if and /v1/advise return it (`probabilities`) or as /v1/loyalty takes it (`cues`).

    None where it is neither, or holds what the codebook does not have.
    """
    if not isinstance(given, Mapping) or not ("probabilities" in given or "cues" in given):
        return None
    cues = _cues(given)
    severity, failure = _number(given.get("severity"), 0, 3), _number(given.get("failure"), 0, 1)
    if cues is None or severity is None:
        return None
    return CaseFeatures(
        cues=cues,
        severity=severity,
        failure=float(severity > 0) if failure is None else failure,
        tenure=_number(given.get("tenure"), 0, 1) or 0.0,
        valence=_number(given.get("valence"), -1, 1),
        length=0,
    )


def _cues(given: Mapping[str, Any]) -> dict[str, float] | None:
    if "probabilities" in given:
        found = {name: _number(p, 0, 1) for name, p in (given["probabilities"] or {}).items() if p is not None}
        known = {name: p for name, p in found.items() if p is not None and name in CUE_VALUES}
        return known if len(known) == len(found) else None
    pairs = [
        (name, value) for name, v in (given["cues"] or {}).items() for value in ([v] if isinstance(v, str) else v or [])
    ]
    if any(value not in CUES.get(name, ()) for name, value in pairs):
        return None
    return {f"{name}:{value}": 1.0 for name, value in pairs}


def _ends(predicted: Any, head: Head) -> tuple[float, float] | None:
    """P(lowest) and P(highest) of a head, from an estimate or from a case of a report that holds one."""
    if not isinstance(predicted, Mapping):
        return None
    inner = predicted.get("loyalty")
    given = (inner if isinstance(inner, Mapping) else predicted).get(head)
    if not isinstance(given, Mapping):
        return None
    low, high = (_number(given.get(name), 0, 1) for name in ENDS[head])
    return None if low is None or high is None or low + high > 1 + 1e-6 else (low, high)


def _number(value: Any, low: float, high: float) -> float | None:
    if isinstance(value, bool | int | float) and low <= value <= high:
        return float(value)
    return None


def _day(when: str | None) -> date | None:
    return datetime.fromisoformat(when).date() if when else None


def _name(head: Head, good: bool) -> str:
    return next(name for name, meaning in OUTCOMES.items() if meaning == (head, good))


def _refused(e: Labelled, reason: Literal["no_prediction", "seen_before", "conflict"], *told: str) -> Dropped:
    return Dropped(e.source, e.place, reason, *told)
