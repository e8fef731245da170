"""Moves the loyalty head to what became of customers: its calibration first, its weights where there are many.

Each head (repurchase, word of mouth) of a fit has one linear score and two cut points. With z the distance of a case's
score from the middle of the cut points and h half their distance, the head answers

    P(highest) = sigmoid(z - h), P(lowest) = sigmoid(-z - h),

so that of those who end at one of the two ends a share of sigmoid(softplus(z + h) - softplus(h - z)) ends at the upper.
That is what outcomes are compared with: who is undecided is not observed, and is taken to be like the others of the
same score. Outcomes fit an intercept a and a slope b of their source, z' = a + b z (Cox 1958, Two further applications
of a model for binary regression; logistic recalibration in Steyerberg et al. 2004, Validation and updating of
predictive logistic regression models), each held to no change by a Gaussian prior: with no outcome nothing moves, and
few move little. Only customers whose outcome was observed are heard; if who is observed depends on the outcome beyond
the score, the intercept takes that up.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from model.loyalty import Fit, Floats, sigmoid, vector
from model.types import CaseFeatures
from training.loyalty import SIGNS, Example, with_spread
from training.outcomes import HEADS, Head, Pair, Side

Bools = NDArray[np.bool_]

INTERCEPT_SD: Final = 0.7
"""Prior deviation of a source's intercept, in log-odds: base rates of companies differ by about this much."""
SLOPE_SD: Final = 0.3
"""Prior deviation of the log of the slope."""
WEIGHT_SD: Final = 0.3
"""Prior deviation of a weight from the champion's."""
ENOUGH_FOR_WEIGHTS: Final = 300
ENOUGH_FOR_SPREAD: Final = 100
STEEPEST: Final = 4.0


@dataclass(frozen=True)
class Move:
    """z' = intercept + slope * z. The default changes nothing."""

    intercept: float = 0.0
    slope: float = 1.0

    def __call__(self, z: Floats) -> Floats:
        """(n,) -> (n,)."""
        return self.intercept + self.slope * z


@dataclass(frozen=True)
class Observed:
    """Outcomes of one head as arrays. z: (n,) as the champion stands to them. good: (n,). half: half the distance of
    the cut points. who: case of each row. x: features (n, names), None where they are not known of all.
    """

    z: Floats
    good: Bools
    half: float
    who: tuple[str, ...]
    x: Floats | None = None

    def part(self, rows: NDArray[Any]) -> "Observed":
        """Some of the rows."""
        indices = np.flatnonzero(rows) if rows.dtype == bool else rows
        x = None if self.x is None else self.x[indices]
        return Observed(self.z[indices], self.good[indices], self.half, tuple(self.who[i] for i in indices), x)


def middle(matrix: Floats) -> Floats:
    """Middle of the cut points of each row of Fit.repurchase or Fit.wom: (rows,)."""
    result: Floats = matrix[:, -2:].mean(axis=1)
    return result


def half_gap(matrix: Floats) -> float:
    """Half the distance of the cut points of the estimate."""
    return float(matrix[0, -1] - matrix[0, -2]) / 2


def log_odds(z: Floats, half: float) -> Floats:
    """Log-odds of the upper end against the lower one: softplus(z + h) - softplus(h - z)."""
    result: Floats = np.logaddexp(0.0, z + half) - np.logaddexp(0.0, half - z)
    return result


def observed(fit: Fit, head: Head, side: Side, pairs: Sequence[Pair], digest: str) -> Observed:
    """Outcomes of a head of a fit. digest: of the champion, whose answers alone count where no case was kept."""
    matrix: Floats = getattr(fit, head)
    found = [
        (p, z) for p in pairs if p.head == head and (z := _standing(fit, matrix, head, side, p, digest)) is not None
    ]
    cases = [p.prediction.case for p, _ in found]
    x = (
        np.stack([vector(c, fit.features) for c in cases if c is not None])
        if found and all(usable(c, side) for c in cases)
        else None
    )
    return Observed(
        np.asarray([z for _, z in found], dtype=np.float64),
        np.asarray([p.good for p, _ in found], dtype=bool),
        half_gap(matrix),
        tuple(p.who for p, _ in found),
        x,
    )


def usable(case: CaseFeatures | None, side: Side) -> bool:
    """Whether a fit can read the case: the full one needs the sentiment."""
    return case is not None and (side == "conduct" or case.valence is not None)


def _standing(fit: Fit, matrix: Floats, head: Head, side: Side, pair: Pair, digest: str) -> float | None:
    """How far the score of a case is from the middle of the cut points; None where it can't be known."""
    case = pair.prediction.case
    if case is not None and usable(case, side):
        return float(vector(case, fit.features) @ matrix[0, :-2] - middle(matrix)[0])
    said = pair.prediction.said.get(head)
    if said is None or pair.prediction.fit != side or pair.prediction.bundle != digest:
        return None
    low, high = np.clip(said, 1e-6, 1 - 1e-6)
    return float(np.log(high / (1 - high)) - np.log(low / (1 - low))) / 2


def chances(seen: Observed, move: Move = Move()) -> Floats:
    """P(upper end) of each outcome, among the two ends: (n,)."""
    return sigmoid(log_odds(move(seen.z), seen.half))


def log_losses(p: Floats, good: Bools) -> Floats:
    """(n,)."""
    result: Floats = -np.log(np.clip(np.where(good, p, 1 - p), 1e-12, None))
    return result


def fitted(seen: Observed, weight: Floats | None = None) -> Move:
    """The most likely intercept and slope under the prior; no change without outcomes. weight: (n,), 1 by default."""
    if not len(seen.z):
        return Move()
    weights = np.ones(len(seen.z)) if weight is None else weight

    def objective(parameters: Floats) -> tuple[float, Floats]:
        intercept, log_slope = parameters
        move = Move(intercept, float(np.exp(log_slope)))
        off = parameters / np.asarray([INTERCEPT_SD, SLOPE_SD]) ** 2
        loss, error = _loss(move(seen.z), seen, weights)
        gradient = np.asarray([error.sum(), move.slope * float(error @ seen.z)])
        return loss + float(off @ parameters) / 2, gradient + off

    steepest = float(np.log(STEEPEST))
    found = minimize(objective, np.zeros(2), jac=True, bounds=[(-5.0, 5.0), (-steepest, steepest)], method="L-BFGS-B").x
    return Move(float(found[0]), float(np.exp(found[1])))


def _loss(z: Floats, seen: Observed, weight: Floats) -> tuple[float, Floats]:
    """Weighted log loss and its derivative by z, (n,)."""
    p = sigmoid(log_odds(z, seen.half))
    steep = sigmoid(z + seen.half) + sigmoid(seen.half - z)
    return float(weight @ log_losses(p, seen.good)), weight * (p - seen.good) * steep


def resampled(seen: Observed, draws: int, seed: int = 7) -> list[Move]:
    """Moves under bootstrap samples of the cases."""
    rng = np.random.default_rng(seed)
    cases, index = np.unique(np.asarray(seen.who), return_inverse=True)
    return [
        fitted(seen, rng.multinomial(len(cases), np.full(len(cases), 1 / len(cases)))[index].astype(float))
        for _ in range(draws)
    ]


def moved(matrix: Floats, moves: Sequence[Move]) -> Floats:
    """Fit.repurchase or Fit.wom with z' = a + b z in each row; the distance of the cut points stays."""
    slope = np.asarray([m.slope for m in moves])
    shift = slope * middle(matrix) - np.asarray([m.intercept for m in moves]) - middle(matrix)
    gap = (matrix[:, -1] - matrix[:, -2])[:, None] / 2 * np.asarray([[-1.0, 1.0]])
    cuts = (middle(matrix) + shift)[:, None] + gap
    result: Floats = np.concatenate([matrix[:, :-2] * slope[:, None], cuts], axis=1)
    return result


def with_heads(fit: Fit, changed: dict[Head, Floats]) -> Fit:
    """The fit with other matrices. `advocate` reads the scores as they stand to the cut points, so it moves along."""
    advocate = fit.advocate.copy()
    for column, head in enumerate(HEADS, start=1):
        if head in changed:
            advocate[:, 0] += advocate[:, column] * (middle(getattr(fit, head)) - middle(changed[head]))
    repurchase, wom = changed.get("repurchase", fit.repurchase), changed.get("wom", fit.wom)
    return replace(fit, advocate=advocate, repurchase=repurchase, wom=wom)


# --------------------------------------------------------------------------------------------------------- the weights


def refitted(matrix: Floats, names: Sequence[str], seen: Observed, weight: Floats | None = None) -> Floats:
    """One row of Fit.repurchase or Fit.wom whose weights and cut points follow the outcomes. matrix: (1, n + 2).

    The champion's weights, after intercept and slope were fitted, are the mean of a Gaussian prior; the signs that are
    imposed in training (training.loyalty.SIGNS) are imposed here. Raises ValueError where the features are not known.
    """
    if seen.x is None:
        raise ValueError("weights can only be fitted where the features of every case are known")
    x = seen.x
    start = moved(matrix, [fitted(seen, weight)])
    weights = np.ones(len(seen.good)) if weight is None else weight
    n = len(names)
    prior, centre = start[0, :n], float(middle(start)[0])
    bounds = [(0.0 if SIGNS.get(k, 0) > 0 else None, 0.0 if SIGNS.get(k, 0) < 0 else None) for k in names]

    def objective(p: Floats) -> tuple[float, Floats]:
        loss, error = _loss(x @ p[:n] - p[n], seen, weights)
        off, away = (p[:n] - prior) / WEIGHT_SD**2, (p[n] - centre) / INTERCEPT_SD**2
        penalty = 0.5 * float(off @ (p[:n] - prior) + away * (p[n] - centre))
        return loss + penalty, np.concatenate([x.T @ error + off, [-error.sum() + away]])

    first = np.concatenate([prior, [centre]])
    found = minimize(objective, first, jac=True, bounds=[*bounds, (None, None)], method="L-BFGS-B").x
    return np.concatenate([found[:n], [found[n] - seen.half, found[n] + seen.half]])[None]


def refitted_rows(matrix: Floats, names: Sequence[str], seen: Observed, seed: int = 7) -> Floats:
    """All rows of Fit.repurchase or Fit.wom refitted: the estimate, and each bootstrap row on a sample of the cases."""
    rng = np.random.default_rng(seed)
    cases, index = np.unique(np.asarray(seen.who), return_inverse=True)
    rows = [refitted(matrix[:1], names, seen)]
    for k in range(1, len(matrix)):
        counts = rng.multinomial(len(cases), np.full(len(cases), 1 / len(cases)))[index].astype(float)
        row = refitted(matrix[k : k + 1], names, _seen_from(matrix[k : k + 1], seen), counts)
        # Every row keeps the distance of its own cut points.
        half = float(matrix[k, -1] - matrix[k, -2]) / 2
        centre = float(middle(row)[0])
        rows.append(np.concatenate([row[0, :-2], [centre - half, centre + half]])[None])
    return np.concatenate(rows)


def _seen_from(matrix: Floats, seen: Observed) -> Observed:
    if seen.x is None:
        return seen
    return replace(seen, z=seen.x @ matrix[0, :-2] - middle(matrix)[0])


def refit_pays(matrix: Floats, names: Sequence[str], seen: Observed, folds: NDArray[np.int64]) -> bool:
    """Whether refitted weights lower the log loss, out of fold, by more than a standard error against a move alone."""
    if seen.x is None or len(seen.good) < ENOUGH_FOR_WEIGHTS:
        return False
    gains = out_of_fold(seen, folds) - out_of_fold_refit(matrix, names, seen, folds)
    return bool(gains.mean() > gains.std(ddof=1) / np.sqrt(len(gains)))


def out_of_fold(seen: Observed, folds: NDArray[np.int64]) -> Floats:
    """Log loss of each outcome under a move that was fitted without its fold: (n,)."""
    return log_losses(held_out_chances(seen, folds), seen.good)


def held_out_chances(seen: Observed, folds: NDArray[np.int64]) -> Floats:
    """P(upper end) of each outcome under a move that was fitted without its fold: (n,)."""
    result = np.zeros(len(seen.good))
    for fold in np.unique(folds):
        rows = folds == fold
        result[rows] = chances(seen.part(rows), fitted(seen.part(~rows)))
    return result


def out_of_fold_refit(matrix: Floats, names: Sequence[str], seen: Observed, folds: NDArray[np.int64]) -> Floats:
    """As out_of_fold, with refitted weights."""
    return log_losses(held_out_chances_refit(matrix, names, seen, folds), seen.good)


def held_out_chances_refit(matrix: Floats, names: Sequence[str], seen: Observed, folds: NDArray[np.int64]) -> Floats:
    """As held_out_chances, with refitted weights."""
    result = np.zeros(len(seen.good))
    for fold in np.unique(folds):
        rows = folds == fold
        row = refitted(matrix[:1], names, seen.part(~rows))
        held = seen.part(rows)
        result[rows] = chances(_seen_from(row, held))
    return result


# ------------------------------------------------------------------------------------------------------------ interval


def respread(fit: Fit, side: Side, pairs: Sequence[Pair]) -> Fit:
    """The fit with 80 % intervals that hold 80 % of the cases whose two outcomes are known, where there are enough."""
    told = both_ends(side, pairs)
    if len(told) < ENOUGH_FOR_SPREAD or fit.spread <= 0:
        return fit
    return with_spread(fit, told)


def both_ends(side: Side, pairs: Sequence[Pair]) -> list[Example]:
    """Cases whose repurchase and word of mouth are both known, as examples of the loyalty head."""
    cases: dict[str, dict[Head, Pair]] = {}
    for p in pairs:
        if usable(p.prediction.case, side):
            cases.setdefault(p.who, {})[p.head] = p
    return [
        Example(found["wom"].prediction.case, "outcomes", "", 3, 2 * found["repurchase"].good, 2 * found["wom"].good)
        for found in cases.values()
        if len(found) == len(HEADS) and found["wom"].prediction.case is not None
    ]
