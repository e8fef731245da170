"""Loyalty from what a company's own records say about a case: conduct as fields, no text."""

from collections.abc import Iterator
from typing import Final

from model.codebook import ABSENT_VALUES, CUES, check_excluded
from model.loyalty import LoyaltyHead
from model.types import CaseFeatures, Cue, InputError, LoyaltyEstimate
from service.schemas import CaseEstimate, Contribution, LoyaltyCase

# Several of these may be true of one case; every other cue has one value. A refusal stands alone.
SEVERAL: Final = frozenset({"redress", "responder"})
REFUSED: Final = "refused"
NEEDS_FAILURE: Final = frozenset({"solved:no", "solved:partly", "repeat_failure:yes", "redress:refused"})


def estimate(case: LoyaltyCase, head: LoyaltyHead) -> CaseEstimate:
    """The loyalty of one case: from the fit with sentiment where `valence` is given, otherwise from conduct alone.

    Raises InputError, with the path of the field inside the case, for a cue or value that the codebook doesn't have
    and for values that exclude each other.
    """
    features, cues = features_of(case)
    return _answer(case, fit_for(features, head).estimate(features, cues))


def features_of(case: LoyaltyCase) -> tuple[CaseFeatures, list[Cue]]:
    """A case as the loyalty head takes it, and its cues, without quotes. Raises InputError as estimate does."""
    _check_failure(case)
    labels = [(name, value) for name, given in case.cues.items() for value in _values(name, given)]
    _check_together(case, [f"{name}:{value}" for name, value in labels])
    features = CaseFeatures(
        cues={f"{name}:{value}": 1.0 for name, value in labels},
        severity=case.severity,
        failure=float(_failed(case)),
        tenure=float(case.tenure or False),
        valence=case.valence,
        length=0,
    )
    return features, list(_cues(labels))


def fit_for(features: CaseFeatures, head: LoyaltyHead) -> LoyaltyHead:
    """The head as it is where the valence is known; otherwise one of which both fits are the conduct-only one."""
    return head if features.valence is not None else LoyaltyHead(head.conduct, head.conduct)


def _answer(case: LoyaltyCase, found: LoyaltyEstimate) -> CaseEstimate:
    return CaseEstimate(
        id=case.id,
        fit="conduct" if case.valence is None else "full",
        repurchase=dict(found.repurchase),
        wom=dict(found.wom),
        advocate=found.advocate,
        churn=found.churn,
        index=found.index,
        low=found.low,
        high=found.high,
        index_conduct=found.index_conduct,
        band=found.band,
        evidence=[Contribution(feature=e.feature, contribution=e.contribution) for e in found.evidence],
        coverage=found.coverage,
        missing=list(found.missing),
    )


def _cues(labels: list[tuple[str, str]]) -> Iterator[Cue]:
    """What was observed, for the coverage; nobody wrote it down, so that there is nothing to quote."""
    for name, value in labels:
        state = "absent" if f"{name}:{value}" in ABSENT_VALUES else "present"
        yield Cue(name, value, state, 1.0, "", 0, 0)  # type: ignore[arg-type]


def _failed(case: LoyaltyCase) -> bool:
    return case.severity > 0 if case.failure is None else case.failure


def _check_failure(case: LoyaltyCase) -> None:
    if case.severity > 0 and not _failed(case):
        raise InputError(
            "Nothing went wrong, but it was severe",
            code="contradiction",
            field="failure, severity",
            got=f"failure false and severity {case.severity:g}",
            expected="severity 0, or failure true",
        )


def _check_together(case: LoyaltyCase, labels: list[str]) -> None:
    """Raises InputError where cues can't be true of one case."""
    check_excluded(labels, "cues")
    unsettled = sorted(NEEDS_FAILURE & set(labels))
    if unsettled and not _failed(case):
        # Severity is 0 here; without `failure` it alone says that nothing went wrong.
        said = "severity 0" if case.failure is None else "failure false"
        raise InputError(
            f"Nothing went wrong, but {unsettled[0]}",
            code="contradiction",
            field="failure, cues",
            got=f"{said} and {', '.join(unsettled)}",
            expected="failure true, or no such cue",
        )


def _values(name: str, given: str | list[str]) -> list[str]:
    """The values of one cue, each once."""
    path = f"cues.{name}"
    if name not in CUES:
        raise InputError(
            f"There is no cue {name[:80]!r}",
            code="unknown_cue",
            field="cues",
            got=repr(name[:80]),
            expected=f"one of {', '.join(CUES)}",
        )
    values = list(dict.fromkeys([given] if isinstance(given, str) else given))
    for value in values:
        if value not in CUES[name]:
            raise InputError(
                f"{name} has no value {value[:80]!r}",
                code="unknown_value",
                field=path,
                got=repr(value[:80]),
                expected=f"one of {', '.join(CUES[name])}",
            )
    if len(values) > 1 and (name not in SEVERAL or REFUSED in values):
        what = f"{REFUSED} alone, or what was given" if name in SEVERAL else f"one of {', '.join(CUES[name])}"
        raise InputError(
            f"These values of {name} exclude each other",
            code="contradiction",
            field=path,
            got=" and ".join(values),
            expected=what,
        )
    return values
