"""What the index of comparable posts is when other conduct is reported. Method and limits: docs/what-if.md.

Works on the conduct-only fit. Changes move the two linear scores of the fit; the index follows from the scores. Both
scores rise monotonically into the index, so a bound on the scores is a bound on everything that is reported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from model.codebook import CUES, SEVERITIES, check_excluded
from model.literature import LITERATURE, SEVERITY
from model.loyalty import INTERVAL, Fit, Floats, LoyaltyHead, vector
from model.types import CaseFeatures, Effect, InputError, Published, Verdict, WhatIf

UNKNOWN: Final = "unknown"
# What a customer may report without anything having gone wrong; all other conduct answers a failure.
ORDINARY: Final = frozenset({"courtesy:courteous", "empathy:shown", "speed:fast", "effort:low"})
# A value counts as reported from here on.
REPORTED: Final = 0.5
# Differences that are shown as 0.0 have no direction.
NO_DIFFERENCE: Final = 0.05
NOT_CAUSAL: Final = "This is not an estimate of what {what} would cause for this customer."


def parse_changes(settings: Sequence[str]) -> dict[str, str]:
    """Settings such as "apology=given" as a mapping. InputError where one is malformed or two contradict each other."""
    changes: dict[str, str] = {}
    for setting in settings:
        cue, sign, value = (part.strip() for part in setting.partition("="))
        if not sign or not cue or not value:
            raise _bad(f"{setting!r} is no setting", cue or "set", setting or "nothing", "NAME=VALUE")
        if changes.setdefault(cue, value) != value:
            raise _bad(f"{cue} is set twice", cue, f"{changes[cue]} and {value}", "one value for a cue")
    check_changes(changes)
    return changes


def check_changes(changes: Mapping[str, str]) -> None:
    """Raises InputError unless there is a change, every cue and value is known and all can be true of one case."""
    if not changes:
        raise _bad("there is nothing to change", "set", "no changes", "at least one, such as apology=given")
    for cue, value in changes.items():
        if cue != "severity" and cue not in CUES:
            raise _bad(f"there is no cue {cue!r}", cue, cue, f"one of {', '.join((*CUES, 'severity'))}")
        allowed = SEVERITIES if cue == "severity" else (*CUES[cue], UNKNOWN)
        if value not in allowed:
            raise _bad(f"{cue} has no value {value!r}", cue, value, f"one of {', '.join(allowed)}")
    check_excluded([f"{cue}:{value}" for cue, value in changes.items()], "set")


def _bad(message: str, field: str, got: str, expected: str) -> InputError:
    return InputError(message, code="bad_change", field=field, got=got, expected=expected)


def what_if(head: LoyaltyHead, case: CaseFeatures, changes: Mapping[str, str]) -> WhatIf:
    """The index of the case before and after the changes, with the difference and what research says of its direction.

    changes: cue to value; the other values of the cue become 0, "unknown" takes the cue out; "severity" takes 0 to 3.
    The 80 % interval comes from the bootstrap refits and from drawing every cue with its probability, with the same
    refit and the same draw before and after. Raises InputError where check_changes does.
    """
    fit = head.conduct
    x, shifts = _shifted(fit, case, changes)
    first = slice(0, 1)
    now = _compare(fit, x[None], shifts, first)
    difference = float(now.difference[0])
    low, high = _interval(fit, x, shifts, difference)
    before, after = now.probabilities(fit, first)
    found = WhatIf(
        changes=dict(changes),
        before=float(now.before[0]),
        after=float(now.after[0]),
        difference=difference,
        low=low,
        high=high,
        no_failure=float(now.no_failure[0]),
        capped=now.capped,
        repurchase_before=_named(before[0], ("leave", "undecided", "stay")),
        repurchase=_named(after[0], ("leave", "undecided", "stay")),
        wom_before=_named(before[1], ("negative", "mixed", "positive")),
        wom=_named(after[1], ("negative", "mixed", "positive")),
        effects=tuple(_effect(fit, x, shift) for shift in shifts),
        sentence="",
    )
    return replace(found, sentence=_sentence(found))


def difference_of(head: LoyaltyHead, case: CaseFeatures, changes: Mapping[str, str]) -> float:
    """The difference of what_if, without all else, which takes ten times as long."""
    fit = head.conduct
    x, shifts = _shifted(fit, case, changes)
    return float(_compare(fit, x[None], shifts, slice(0, 1)).difference[0])


def _shifted(fit: Fit, case: CaseFeatures, changes: Mapping[str, str]) -> tuple[Floats, list["_Shift"]]:
    """The features of a case as numbers, and each change of them."""
    check_changes(changes)
    x = vector(case, fit.features)
    return x, [_shift(fit.features, x, cue, value) for cue, value in changes.items()]


@dataclass(frozen=True)
class _Shift:
    """One change: which columns take which numbers, and the direction that research gives it in this case."""

    change: str
    columns: Mapping[int, float]
    published: Published

    def apply(self, x: Floats) -> Floats:
        changed = x.copy()
        for column, number in self.columns.items():
            changed[..., column] = number
        return changed


def _shift(names: Sequence[str], x: Floats, cue: str, value: str) -> _Shift:
    change = f"{cue}={value}"
    if cue == "severity":
        column = names.index("severity")
        number = int(value) / 3
        rises = int(np.sign(number - x[column]))
        return _Shift(change, {column: number}, replace(SEVERITY, sign=SEVERITY.sign * rises))
    columns = {names.index(f"{cue}:{v}"): float(v == value) for v in CUES[cue]}
    if value != UNKNOWN:
        return _Shift(change, columns, LITERATURE[f"{cue}:{value}"])
    gone = max(columns, key=lambda c: x[c])
    if x[gone] < REPORTED:
        return _Shift(change, columns, Published(0, "none", "nothing that was reported is taken out"))
    published = LITERATURE[names[gone]]
    return _Shift(change, columns, replace(published, sign=-published.sign))


@dataclass(frozen=True)
class _Comparison:
    """Before and after for every row: scores (2, ..., rows), indices (..., rows). held: a certain sign was imposed."""

    scores_before: Floats
    scores_after: Floats
    before: Floats
    after: Floats
    no_failure: Floats
    capped: bool
    held: bool

    @property
    def difference(self) -> Floats:
        return self.after - self.before

    def probabilities(self, fit: Fit, rows: slice) -> list[tuple[list[float], list[float]]]:
        """For before and after the probabilities of repurchase and of word of mouth in the first row."""
        return [
            (fit.three("repurchase", s[0], rows)[0].tolist(), fit.three("wom", s[1], rows)[0].tolist())
            for s in (self.scores_before, self.scores_after)
        ]


def _compare(fit: Fit, x: Floats, shifts: Sequence[_Shift], rows: slice) -> _Comparison:
    """x: (..., rows, features). Every change adds to the scores what it does alone, as the scores are linear."""
    before = np.stack(fit.scores(x, rows))
    after, held = before.copy(), False
    for shift in shifts:
        raw = np.stack(fit.scores(shift.apply(x), rows)) - before
        delta = raw
        if shift.published.certainty == "certain":
            sign = shift.published.sign
            # Only the sign of a value against no mention is bound in the fit, not against the value it replaces.
            delta = sign * np.maximum(sign * raw, 0)
        held = held or bool((np.abs(delta - raw) > 1e-9).any())
        after += delta
    # Without a failure nobody would be worse off than now: a case that is above already is not lowered.
    ceiling = np.maximum(np.stack(fit.scores(_without_failure(fit.features, x), rows)), before)
    bounded = np.minimum(after, ceiling)
    return _Comparison(
        scores_before=before,
        scores_after=bounded,
        before=fit.index_of(before[0], before[1], rows),
        after=fit.index_of(bounded[0], bounded[1], rows),
        no_failure=fit.index_of(ceiling[0], ceiling[1], rows),
        capped=bool((after > bounded + 1e-9).any()),
        held=held,
    )


def _without_failure(names: Sequence[str], x: Floats) -> Floats:
    """The same case had nothing gone wrong: ordinary good service and tenure are all that remain."""
    kept = np.asarray([name in ORDINARY or name == "tenure" for name in names])
    result: Floats = np.where(kept, x, 0.0)
    return result


def _interval(fit: Fit, x: Floats, shifts: Sequence[_Shift], difference: float) -> tuple[float, float]:
    found = _compare(fit, fit.drawn(x), shifts, slice(None)).difference
    low, high = np.percentile(found, INTERVAL)
    return min(float(low), difference), max(float(high), difference)


def _effect(fit: Fit, x: Floats, shift: _Shift) -> Effect:
    alone = _compare(fit, x[None], [shift], slice(0, 1))
    difference = float(alone.difference[0])
    return Effect(shift.change, difference, shift.published, _verdict(shift.published, difference), alone.held)


def _verdict(published: Published, difference: float) -> Verdict:
    if published.certainty == "mixed":
        return "mixed"
    if published.sign == 0 or abs(difference) < NO_DIFFERENCE:
        return "none"
    return "agrees" if published.sign * difference > 0 else "disagrees"


def _named(values: Sequence[float], names: Sequence[str]) -> dict[str, float]:
    return dict(zip(reversed(names), reversed(values), strict=True))


def in_words(change: str) -> str:
    """A change in words: "apology: given", "no mention of apology"."""
    cue, _, value = change.partition("=")
    cue = cue.replace("_", " ")
    return f"no mention of {cue}" if value == UNKNOWN else f"{cue}: {value.replace('_', ' ')}"


def _sentence(found: WhatIf) -> str:
    what = " and ".join(in_words(f"{cue}={value}") for cue, value in found.changes.items())
    size, low, high = abs(found.difference), found.low, found.high
    higher = "higher" if found.difference >= 0 else "lower"
    if found.difference < 0:
        low, high = -high, -low
    # "-0.0" would look like a direction.
    bounds = f"{low:.1f}".replace("-0.0", "0.0"), f"{high:.1f}".replace("-0.0", "0.0")
    words = [
        f"Among comparable posts, those reporting {what} had an index {higher} by {size:.1f} "
        f"(80 % interval {bounds[0]}..{bounds[1]})."
    ]
    if found.capped:
        words.append(f"Held at the level of the same case without a failure ({found.no_failure:.0f}).")
    words += [_research(effect) for effect in found.effects]
    return " ".join([*words, NOT_CAUSAL.format(what=what)])


def _research(effect: Effect) -> str:
    name, source = in_words(effect.change), effect.published.source
    said = {
        "agrees": f"Published findings agree on this direction for {name}: {source}.",
        "disagrees": f"Published findings disagree with this direction for {name}: {source}.",
        "mixed": f"Published findings are mixed on {name}: {source}.",
        "none": f"Published findings say nothing to compare for {name}: {source}.",
    }[effect.verdict]
    if effect.verdict == "none" and effect.published.sign:
        said = f"There is no difference to compare with published findings on {name} ({source})."
    return said + (" Parts in which the fit contradicted them were set to zero." if effect.held else "")
