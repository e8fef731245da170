"""Turns joined outcomes into a better loyalty head, and says by which checks it is better."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from model.loyalty import Fit, Floats, LoyaltyHead
from training import recalibrate, vignettes
from training.gate import FEWEST, FEWEST_OF_A_LABEL, RESAMPLES, Check, calibrated, no_higher, no_lower
from training.loyalty import SIGNS
from training.loyalty_figures import calibration_error
from training.outcomes import HEADS, Head, Joined, Side
from training.recalibrate import Bools, Observed

SIDES: Final[tuple[Side, ...]] = ("full", "conduct")
FOLDS: Final = 10
AUC_TOLERANCE: Final = 0.01
TAU_TOLERANCE: Final = 0.0


@dataclass(frozen=True)
class Found:
    """What the outcomes say of one head of one fit. before, after: P(upper end) of each outcome, (n,), by the champion
    and by what was fitted without that outcome's fold. gain, low, high: of the mean log loss, with its 95 % interval.
    """

    side: Side
    head: Head
    kind: str
    seen: Observed
    before: Floats
    after: Floats
    matrix: Floats
    gain: float
    low: float
    high: float
    report: dict[str, Any]

    @property
    def pays(self) -> bool:
        """Whether the log loss falls beyond its interval."""
        return self.low > 0


@dataclass(frozen=True)
class Updated:
    """head: with every part that pays changed; the champion's where none does."""

    head: LoyaltyHead
    checks: tuple[Check, ...]
    report: dict[str, Any]


def update(champion: LoyaltyHead, joined: Joined, digest: str, *, force: bool = False) -> Updated:
    """The head moved to the outcomes where that pays on outcomes it was not fitted to.

    digest: of the champion. force: moved wherever there are enough outcomes.
    """
    found, counts = [], {}
    for side in SIDES:
        for head in HEADS:
            seen = recalibrate.observed(getattr(champion, side), head, side, joined.pairs, digest)
            counts[f"{side} {head}"] = (int(seen.good.sum()), int((~seen.good).sum()))
            if _enough(*counts[f"{side} {head}"]):
                found.append(_found(getattr(champion, side), side, head, seen))
    changed = champion
    for side in SIDES:
        fit = _changed(getattr(changed, side), [f for f in found if f.side == side and (f.pays or force)])
        if fit is not getattr(champion, side):
            fit = recalibrate.respread(fit, side, joined.pairs)
            changed = replace(changed, **{side: fit})
    checks = _checks(champion, changed, found, counts)
    report = {f"{f.side} {f.head}": f.report for f in found}
    spreads = {side: [getattr(h, side).spread for h in (champion, changed)] for side in SIDES}
    told = {"outcomes": joined.report(), "heads": report, "spread": spreads}
    return Updated(changed if found else champion, tuple(checks), told)


def _enough(good: int, bad: int) -> bool:
    return good + bad >= FEWEST and min(good, bad) >= FEWEST_OF_A_LABEL


def _changed(fit: Fit, found: Sequence[Found]) -> Fit:
    return recalibrate.with_heads(fit, {f.head: f.matrix for f in found}) if found else fit


def folds_of(who: Sequence[str]) -> NDArray[np.int64]:
    """Fold of each row; all rows of a case in the same one, whatever their order. (n,)"""
    cases = sorted(set(who), key=lambda c: hashlib.sha256(c.encode("utf-8", "surrogatepass")).hexdigest())
    fold = {case: i % FOLDS for i, case in enumerate(cases)}
    return np.asarray([fold[w] for w in who], dtype=np.int64)


def _found(fit: Fit, side: Side, head: Head, seen: Observed) -> Found:
    matrix: Floats = getattr(fit, head)
    folds = folds_of(seen.who)
    move = recalibrate.fitted(seen)
    moves = recalibrate.resampled(seen, len(matrix) - 1)
    before = recalibrate.chances(seen)
    kind, after = "calibration", recalibrate.held_out_chances(seen, folds)
    changed = recalibrate.moved(matrix, [move, *moves])
    if recalibrate.refit_pays(matrix, fit.features, seen, folds):
        weights = recalibrate.refitted_rows(matrix, fit.features, seen)
        # What one company's customers do is no reason to give up what many studies found.
        if _tau(recalibrate.with_heads(fit, {head: weights})) >= _tau(fit) - TAU_TOLERANCE:
            kind, changed = "weights", weights
            after = recalibrate.held_out_chances_refit(matrix, fit.features, seen, folds)
    gain, low, high = paired_gain(seen, before, after)
    report = {
        "n": len(seen.good),
        "good": int(seen.good.sum()),
        "changed": kind if low > 0 else None,
        "intercept": interval_of(move.intercept, [m.intercept for m in moves]),
        "slope": interval_of(move.slope, [m.slope for m in moves]),
        "gain_log_loss": [round(v, 5) for v in (gain, low, high)],
        "champion": figures(before, seen.good, folds),
        "challenger": figures(after, seen.good, folds),
    }
    return Found(side, head, kind, seen, before, after, changed, gain, low, high, report)


def interval_of(value: float, draws: Sequence[float]) -> list[float]:
    """The value and the 2.5 and 97.5 percentiles of its draws."""
    low, high = np.percentile(draws, [2.5, 97.5]) if len(draws) else (value, value)
    return [round(float(v), 4) for v in (value, low, high)]


def paired_gain(seen: Observed, before: Floats, after: Floats) -> tuple[float, float, float]:
    """What the mean log loss falls by, with its 95 % interval over bootstrap samples of the outcomes."""
    gains = recalibrate.log_losses(before, seen.good) - recalibrate.log_losses(after, seen.good)
    rows = np.random.default_rng(7).integers(0, len(gains), (RESAMPLES, len(gains)))
    low, high = np.percentile(gains[rows].mean(axis=1), [2.5, 97.5])
    return float(gains.mean()), float(low), float(high)


def figures(p: Floats, good: Bools, folds: NDArray[np.int64]) -> dict[str, float]:
    """Log loss, Brier score, calibration error over ten bins of as many outcomes, and AUC within folds."""
    return {
        "log_loss": round(float(recalibrate.log_losses(p, good).mean()), 4),
        "brier": round(float(((p - good) ** 2).mean()), 4),
        "ece": round(calibration_error(p, good), 4),
        "auc": round(auc_within(p, good, folds), 4),
        "expected": round(float(p.mean()), 4),
        "came_true": round(float(good.mean()), 4),
    }


def auc(p: Floats, good: Bools) -> float:
    """Share of pairs of a good and a bad outcome that p orders rightly, a tie counting half; 0.5 without a pair."""
    many, few = int(good.sum()), int((~good).sum())
    if not many or not few:
        return 0.5
    return float((rankdata(p)[good].sum() - many * (many + 1) / 2) / (many * few))


def auc_within(p: Floats, good: Bools, folds: NDArray[np.int64]) -> float:
    """AUC over pairs of the same fold: each fold had a fit of its own, and two fits do not compare."""
    found, weight = [], []
    for fold in np.unique(folds):
        rows = folds == fold
        found.append(auc(p[rows], good[rows]))
        weight.append(int(good[rows].sum()) * int((~good[rows]).sum()))
    return float(np.average(found, weights=weight)) if sum(weight) else 0.5


# ------------------------------------------------------------------------------------------------------------- checks


def _checks(
    champion: LoyaltyHead, changed: LoyaltyHead, found: Sequence[Found], counts: dict[str, tuple[int, int]]
) -> list[Check]:
    told = "; ".join(f"{name}: {good} good, {bad} bad" for name, (good, bad) in counts.items())
    enough = Check(
        "enough outcomes",
        bool(found),
        f"{told} (a head needs at least {FEWEST} that could be joined, {FEWEST_OF_A_LABEL} of each kind)",
        challenger=max((good + bad for good, bad in counts.values()), default=0),
        limit=FEWEST,
    )
    if not found:
        return [enough]
    checks = [enough, _pays(found)]
    for f in found:
        checks += _of_found(f) if f.pays else [_follows(f)]
    return [*checks, signs(changed), _order(champion, changed)]


def _pays(found: Sequence[Found]) -> Check:
    told = "; ".join(f"{f.side} {f.head} {f.gain:+.4f} [{f.low:+.4f}, {f.high:+.4f}]" for f in found)
    best = max(found, key=lambda f: f.low)
    words = f"log loss saved on outcomes it was not fitted to: {told} (one interval must lie above 0)"
    return Check("better on your outcomes", any(f.pays for f in found), words, 0.0, best.low, 0.0)


def _of_found(f: Found) -> list[Check]:
    name = f"{f.side} {f.head}"
    a, b = f.report["champion"], f.report["challenger"]
    return [
        _follows(f),
        no_higher(f"brier {name}", f"Brier score of {name}", a["brier"], b["brier"], 0.0),
        calibrated(name, a["ece"], b["ece"], len(f.seen.good)),
        no_lower(f"order {name}", f"AUC of {name}", a["auc"], b["auc"], AUC_TOLERANCE),
    ]


def _follows(f: Found) -> Check:
    """Whether outcomes point the way of the estimates at all: turned labels would make a good head a bad one."""
    rng = np.random.default_rng(7)
    rows = rng.integers(0, len(f.before), (200, len(f.before)))
    high = float(np.percentile([auc(f.before[r], f.seen.good[r]) for r in rows], 97.5))
    found = f.report["champion"]["auc"]
    words = (
        f"AUC of the champion on the outcomes of {f.side} {f.head} {found:.3f}, at most {high:.3f} (at least 0.5: "
        "below it, outcomes go against what customers told, and are more likely to be turned round than true)"
    )
    return Check(f"outcomes follow {f.side} {f.head}", high >= 0.5, words, found, high, 0.5)


def signs(head: LoyaltyHead) -> Check:
    """Whether the few signs that research is sure of still hold in every row of both fits."""
    wrong = sorted(
        {
            f"{side} {part} {name}"
            for side in SIDES
            for part in HEADS
            for i, name in enumerate(getattr(head, side).features)
            if name in SIGNS and (getattr(getattr(head, side), part)[:, i] * SIGNS[name] < -1e-9).any()
        }
    )
    words = f"signs that research is sure of: {', '.join(wrong) or 'all hold'}"
    return Check("signs", not wrong, words, challenger=float(len(wrong)), limit=0.0)


def _tau(fit: Fit) -> float:
    return float(vignettes.structured(fit)["tau"])


def _order(champion: LoyaltyHead, changed: LoyaltyHead) -> Check:
    before, after = _tau(champion.conduct), _tau(changed.conduct)
    return no_lower("published findings", "Kendall's tau over published findings", before, after, TAU_TOLERANCE)
