"""Makes probabilities mean what they say, and chooses from which probability a cue is reported."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from model.codebook import SENTENCE_LABELS
from model.sentiment import softmax

GRID = np.round(np.arange(0.15, 0.81, 0.05), 2)
# With fewer examples than this a threshold of a label's own would be noise; the common one is used.
ENOUGH = 12


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
    """Thresholds by label that maximise F1 over documents; labels with few examples share one.

    probabilities and truth: (n_documents, labels).
    """
    common = max(GRID, key=lambda t: _f1(probabilities >= t, truth))
    chosen = np.full(len(SENTENCE_LABELS), common, dtype=np.float32)
    for label in range(len(SENTENCE_LABELS)):
        column, actual = probabilities[:, label], truth[:, label]
        if actual.sum() >= ENOUGH:
            best = max(GRID, key=lambda t: _f1(column >= t, actual))
            # Half way to the common threshold: a hundred and sixty documents decide little.
            chosen[label] = (best + common) / 2
    return chosen


def _f1(predicted: NDArray[np.bool_], truth: NDArray[np.float32]) -> float:
    hits = float((predicted * truth).sum())
    return 2 * hits / max(float(predicted.sum() + truth.sum()), 1.0)
