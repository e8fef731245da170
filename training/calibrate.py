"""Makes probabilities mean what they say, and chooses from which probability a cue is reported."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from model.sentiment import softmax

GRID = np.round(np.arange(0.1, 0.7, 0.01), 2)


def temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature that minimises the log loss. logits (n, classes), labels (n,). Guo et al. 2017."""
    return soft_temperature(logits, np.eye(logits.shape[1])[labels], np.full(len(labels), 1 / len(labels)))


def soft_temperature(logits: NDArray[np.float32], targets: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """As temperature, for rows of probabilities (n, classes) in the place of labels; weights (n,) sum to 1."""

    def loss(log_t: float) -> float:
        probabilities = softmax(logits / float(np.exp(log_t)))
        return float(-(weights * (targets * np.log(probabilities + 1e-12)).sum(axis=1)).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))


def expected_calibration_error(probabilities: NDArray[np.float64], labels: NDArray[np.int64], bins: int = 15) -> float:
    """Mean distance between confidence and accuracy over bins of equal width. probabilities (n, classes), in [0, 1]."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[which == b].mean() - correct[which == b].mean()) * (which == b).mean()
        for b in range(bins)
        if (which == b).any()
    ]
    return float(sum(gaps))


def document_maxima(sentences: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Largest value of each label over the sentences of a document: (n_documents, labels)."""
    return np.stack([s.max(axis=0, initial=0) for s in sentences])


def thresholds(probabilities: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each label the probability from which it is reported, in (0, 1), such that F1 over all of them is largest.

    probabilities and truth: (n_documents, labels). Probabilities are calibrated first (Platt 1999), with one slope and
    one intercept for all labels and a shift for each, which has a standard normal prior: labels with few examples stay
    near the others. The expected F1 of calibrated probabilities is largest with one threshold (Lipton et al. 2014),
    which is then turned back into one for each label as the network gives it.
    """
    x, y = _log_odds(probabilities.astype(np.float64)), truth.astype(np.float64)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope, intercept, shifts = parameters[0], parameters[1], parameters[2:]
        z = slope * x + intercept + shifts
        off = expit(z) - y
        gradient = np.concatenate([[(off * x).sum(), off.sum()], off.sum(axis=0) + shifts])
        return float((np.logaddexp(0, z) - y * z).sum() + (shifts**2).sum() / 2), gradient

    start = np.concatenate([[1.0, 0.0], np.zeros(x.shape[1])])
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B").x
    slope, offsets = fitted[0], fitted[1] + fitted[2:]
    calibrated = expit(slope * x + offsets)
    best = max(GRID, key=lambda t: _expected_f1(calibrated, t))
    found: NDArray[np.float32] = expit((_log_odds(best) - offsets) / slope).astype(np.float32)
    return found


def _log_odds(p: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(p, 1e-4, 1 - 1e-4)
    result: NDArray[np.float64] = np.log(clipped) - np.log1p(-clipped)
    return result


def _expected_f1(probabilities: NDArray[np.float64], threshold: float) -> float:
    """F1 of all that reach the threshold, if probabilities are as often true as they say."""
    reported = probabilities >= threshold
    return 2 * float(probabilities[reported].sum()) / float(reported.sum() + probabilities.sum())
