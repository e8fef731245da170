"""Decides whether a retrained model takes the champion's place: better on the user's data, not worse elsewhere.

Everything here is arithmetic on predictions that others made; every check says what was measured and where its limit
lies, so that the reasons of a decision can be read without the code.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.codebook import SENTIMENT

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FEWEST: Final = 20
"""Examples from which a gain can be told from chance at all."""
FEWEST_OF_A_LABEL: Final = 3
"""Examples that each of at least two labels must have."""
TOLERANCE: Final = 0.005
"""What macro F1 may fall, or the share of failed behaviours rise, on what the user's data does not speak of."""
ECE_TOLERANCE: Final = 0.02
"""What the calibration error may rise, beside what it moves by chance."""
LEAST_AGREEMENT: Final = 0.97
"""Share of replayed texts that must keep the champion's label. Texts on the edge between two labels change first: with
95 % of them kept, macro F1 on tweets and development texts fell by up to a point, with 96.5 % by up to .55 of one
(docs/log.md)."""
LEAST_CONDUCT: Final = 0.9
"""F1 of the cues found in replayed texts against those that the champion finds."""
FEWEST_CUES: Final = 30
"""Cues of champion and challenger together from which their F1 says something."""
MOST_NOISE: Final = 0.2
"""Share of the user's labels that champion and challenger both surely contradict. Honest feedback has some, too."""
SLOWER: Final = 1.15
RESAMPLES: Final = 2000


@dataclass(frozen=True)
class Check:
    """One condition. champion, challenger: the figure of both, where there is one; limit: what the challenger's must
    reach (or must not exceed). words: what was measured, for people.
    """

    name: str
    passed: bool
    words: str
    champion: float | None = None
    challenger: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Decision:
    """Whether to promote. forced: the reason that someone gave for promoting against the checks."""

    checks: tuple[Check, ...]
    forced: str | None = None

    @property
    def passed(self) -> bool:
        """Whether every check did."""
        return bool(self.checks) and all(c.passed for c in self.checks)

    @property
    def promote(self) -> bool:
        """Whether the challenger takes the champion's place."""
        return self.passed or self.forced is not None

    @property
    def reasons(self) -> list[str]:
        """What speaks against it."""
        return [c.words for c in self.checks if not c.passed]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "promote": self.promote,
            "passed": self.passed,
            "forced": self.forced,
            "reasons": self.reasons,
            "checks": [asdict(c) for c in self.checks],
        }


def macro_f1(truth: Ints, predicted: Ints) -> float:
    """Mean F1 of the labels that occur in truth, in [0, 1]. truth, predicted: (n,), indices into SENTIMENT."""
    return float(_macro_f1_of(_confusions(truth, predicted, np.arange(len(truth))[None]))[0])


def label_f1(truth: Ints, predicted: Ints, label: int) -> float:
    """F1 of one label, in [0, 1]."""
    hits = float(((truth == label) & (predicted == label)).sum())
    return 2 * hits / max(float((truth == label).sum() + (predicted == label).sum()), 1.0)


def _confusions(truth: Ints, predicted: Ints, rows: Ints) -> Floats:
    """(samples, true label, predicted label) counts; rows (samples, n) are indices."""
    n = len(SENTIMENT)
    codes = (truth * n + predicted)[rows]
    offsets = np.arange(len(rows))[:, None] * n * n
    counts = np.bincount((codes + offsets).ravel(), minlength=len(rows) * n * n)
    return counts.reshape(len(rows), n, n).astype(np.float64)


def _macro_f1_of(confusion: Floats) -> Floats:
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    support, named = confusion.sum(axis=2), confusion.sum(axis=1)
    f1 = 2 * hits / np.maximum(support + named, 1)
    there = support > 0
    result: Floats = (f1 * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return result


def gain_interval(
    truth: Ints, before: Ints, after: Ints, seed: int = 7, level: float = 95
) -> tuple[float, float, float]:
    """Gain of macro F1 and its interval of `level` per cent: paired bootstrap, both over the same samples."""
    rows = np.random.default_rng(seed).integers(0, len(truth), (RESAMPLES, len(truth)))
    gains = _macro_f1_of(_confusions(truth, after, rows)) - _macro_f1_of(_confusions(truth, before, rows))
    low, high = np.percentile(gains, [50 - level / 2, 50 + level / 2])
    return macro_f1(truth, after) - macro_f1(truth, before), float(low), float(high)


def enough(labels: Sequence[str]) -> list[Check]:
    """Whether the examples can teach and be judged by at all: asked before anything is trained."""
    counts = {name: sum(label == name for label in labels) for name in SENTIMENT}
    several = sum(n >= FEWEST_OF_A_LABEL for n in counts.values())
    told = ", ".join(f"{n} {name}" for name, n in counts.items())
    return [
        Check(
            "enough examples",
            len(labels) >= FEWEST,
            f"{len(labels)} different examples (at least {FEWEST} are needed)",
            challenger=len(labels),
            limit=FEWEST,
        ),
        Check(
            "several labels",
            several >= 2,
            f"{told} (at least two labels with {FEWEST_OF_A_LABEL} examples each are needed: "
            "with one label alone, a model that always says it would look perfect)",
        ),
    ]


def better(truth: Ints, before: Ints, after: Ints, seed: int = 7) -> Check:
    """Whether the challenger is better on the user's examples beyond chance."""
    gain, low, high = gain_interval(truth, before, after, seed)
    return Check(
        "better on your examples",
        low > 0,
        f"macro F1 on your examples {macro_f1(truth, before):.3f} → {macro_f1(truth, after):.3f}, "
        f"gain {gain:+.3f} [{low:+.3f}, {high:+.3f}] (the interval must lie above 0)",
        macro_f1(truth, before),
        macro_f1(truth, after),
        macro_f1(truth, before),
    )


def not_worse(name: str, what: str, truth: Ints, before: Ints, after: Ints, tolerance: float = TOLERANCE) -> Check:
    """Whether macro F1 has not fallen by more than the tolerance.

    A fall counts where chance does not explain it: over a few hundred texts half a point is a handful of labels. The
    upper end of the 80 % interval of the change, from the paired bootstrap, must reach the tolerance.
    """
    change, low, high = gain_interval(truth, before, after, level=80)
    one, other = macro_f1(truth, before), macro_f1(truth, after)
    moved = f"{change:+.3f} [{low:+.3f}, {high:+.3f}]"
    words = f"{what} {one:.3f} → {other:.3f}, {moved} (must not surely fall by {tolerance:g})"
    return Check(name, high >= -tolerance, words, one, other, one - tolerance)


def fails_no_more(before: NDArray[np.bool_], after: NDArray[np.bool_], tolerance: float = TOLERANCE) -> Check:
    """Whether the share of behavioural cases that fail has not risen by more than the tolerance, beyond chance.

    before, after: which cases fail, (n,). The changes are taken for a walk with as many steps as cases have changed.
    """
    n = len(before)
    rise = float(after.mean() - before.mean())
    chance = 1.28 * float((before != after).sum()) ** 0.5 / n
    words = (
        f"share of {n} behavioural cases that fail {before.mean():.3f} → {after.mean():.3f}, "
        f"{rise:+.3f} ± {chance:.3f} (must not surely rise by {tolerance:g})"
    )
    passed = rise - chance <= tolerance
    return Check(
        "behaviour", passed, words, float(before.mean()), float(after.mean()), float(before.mean()) + tolerance
    )


def calibrated(what: str, before: float, after: float, n: int) -> Check:
    """Whether the calibration error over n texts has not risen by more than the tolerance.

    Over n texts it moves by about half of 1 / sqrt(n) by chance.
    """
    limit = before + ECE_TOLERANCE + 0.5 / n**0.5
    words = f"calibration error on {what} {before:.3f} → {after:.3f} (at most {limit:.3f} with {n} texts)"
    return Check(f"calibration, {what}", after <= limit, words, before, after, limit)


def at_least(name: str, what: str, found: float, limit: float) -> Check:
    """Whether a figure reaches its limit."""
    return Check(name, found >= limit, f"{what} {found:.3f} (at least {limit:g})", None, found, limit)


def no_lower(name: str, what: str, before: float, after: float, tolerance: float) -> Check:
    """Whether a figure that should be high has not fallen by more than the tolerance."""
    words = f"{what} {before:.3f} → {after:.3f} (may fall by {tolerance:g})"
    return Check(name, after >= before - tolerance - 1e-9, words, before, after, before - tolerance)


def no_higher(name: str, what: str, before: float, after: float, tolerance: float) -> Check:
    """Whether a figure that should be low has not risen by more than the tolerance."""
    words = f"{what} {before:.3f} → {after:.3f} (may rise by {tolerance:g})"
    return Check(name, after <= before + tolerance + 1e-9, words, before, after, before + tolerance)


def contradicted(truth: Ints, probabilities: Floats) -> Ints:
    """For each label the one that the model surely holds against it, -1 where there is none.

    Confident learning (Northcutt et al. 2021): a model is sure of a label where its probability reaches the mean
    probability that it gives that label among the examples that carry it. truth (n,); probabilities (n, 3), of models
    that have not seen the example's label.
    """
    n = len(SENTIMENT)
    own = probabilities[np.arange(len(truth)), truth]
    limits = np.asarray([own[truth == k].mean() if (truth == k).any() else 1.0 for k in range(n)])
    sure = np.where(probabilities >= limits, probabilities, 0.0)
    best = sure.argmax(axis=1)
    result: Ints = np.where((sure.max(axis=1) > 0) & (best != truth), best, -1)
    return result


def doubtful(truth: Ints, champion: Floats, challenger: Floats) -> NDArray[np.bool_]:
    """Labels that champion and challenger both surely contradict, with the same other label. Shape (n,)."""
    one, other = contradicted(truth, champion), contradicted(truth, challenger)
    result: NDArray[np.bool_] = (one >= 0) & (one == other)
    return result


def clean(doubts: NDArray[np.bool_], most: float = MOST_NOISE) -> Check:
    """Whether the labels can be trusted as a whole."""
    share = float(doubts.mean()) if len(doubts) else 0.0
    return Check(
        "labels that hold together",
        share <= most,
        f"{int(doubts.sum())} of {len(doubts)} labels ({share:.0%}) are surely contradicted by both models "
        f"(at most {most:.0%}: beyond that, many labels are wrong or mean something else than the model's)",
        challenger=share,
        limit=most,
    )
