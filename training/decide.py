"""Whom to flag as unhappy, given what errors cost, beside the label that is most probable."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.codebook import SENTIMENT
from training.loyalty_figures import interval

NEGATIVE = SENTIMENT.index("negative")
GRID = np.arange(0.01, 1.0, 0.01)


def threshold(miss_cost: float) -> float:
    """The probability of "negative", in (0, 1), from which flagging a text is the cheaper bet.

    miss_cost: what a negative text that is not flagged costs, above 0; a flagged text that is not negative costs 1.
    """
    return 1 / (1 + miss_cost)


def decision_figures(probabilities: NDArray[np.float64], truth: NDArray[np.int64], miss_cost: float) -> dict[str, Any]:
    """Negative texts found and what the errors cost, by the most probable label and by the threshold of the costs.

    probabilities (n, 3), truth (n,) in the order of SENTIMENT. `best_threshold_here` is chosen on these very texts: far
    from `threshold`, it says that the probabilities are not calibrated for them.
    """
    negative, scores = truth == NEGATIVE, probabilities[:, NEGATIVE]
    rules = {
        "most_probable": probabilities.argmax(axis=1) == NEGATIVE,
        "by_cost": scores >= threshold(miss_cost),
        "flag_all": np.ones_like(negative),
        "flag_none": np.zeros_like(negative),
    }
    best = min(GRID, key=lambda t: _costs(scores >= t, negative, miss_cost).sum())
    return {
        "miss_cost": miss_cost,
        "threshold": round(threshold(miss_cost), 4),
        "best_threshold_here": round(float(best), 2),
    } | {name: _figures(flagged, negative, miss_cost) for name, flagged in rules.items()}


def _figures(flagged: NDArray[np.bool_], negative: NDArray[np.bool_], miss_cost: float) -> dict[str, Any]:
    hits, costs = int((flagged & negative).sum()), _costs(flagged, negative, miss_cost)
    return {
        "flagged": int(flagged.sum()),
        "found": hits,
        "recall": round(hits / max(int(negative.sum()), 1), 4),
        "precision": round(hits / max(int(flagged.sum()), 1), 4),
        "cost_per_1000": round(1000 * float(costs.mean()), 1),
        "cost_per_1000_interval": [
            round(v, 1) for v in interval(len(costs), lambda rows: 1000 * float(costs[rows].mean()))
        ],
    }


def _costs(flagged: NDArray[np.bool_], negative: NDArray[np.bool_], miss_cost: float) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.where(negative & ~flagged, miss_cost, 0.0) + (flagged & ~negative)
    return result
