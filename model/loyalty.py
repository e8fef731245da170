"""The loyalty head: from the features of a case to repurchase, word of mouth, the index and what it rests on.

Two proportional-odds models (McCullagh 1980, Regression Models for Ordinal Data), one for repurchase (leave < undecided
< stay) and one for word of mouth (negative < mixed < positive), each with one linear score. They are small enough to be
read: every feature adds its weight to the score, and the index decomposes exactly into contributions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from model.codebook import CUE_VALUES
from model.types import Band, CaseFeatures, Cue, Evidence, LoyaltyEstimate, Statement

Floats = NDArray[np.float64]

CONDUCT_FEATURES = (*CUE_VALUES, "failure", "severity", "tenure")
FULL_FEATURES = (*CONDUCT_FEATURES, "valence")

# What a reader would want to know of any case in which something went wrong; coverage counts these.
MATTERS = ("contact", "speed", "apology", "explanation", "responsibility", "redress", "solved", "follow_up")

INTERVAL = (10.0, 90.0)
DRAWS_PER_FIT = 4
# A statement counts for the band from here on, and only where the estimate does not contradict it.
STATED = 0.5


def vector(features: CaseFeatures, names: Sequence[str]) -> Floats:
    """Features as numbers in the given order: probabilities in [0, 1], severity / 3, valence in [-1, 1]."""
    values = {
        **features.cues,
        "failure": features.failure,
        "severity": features.severity / 3,
        "tenure": features.tenure,
        "valence": features.valence or 0.0,
    }
    return np.asarray([values.get(name, 0.0) for name in names])


def sigmoid(x: Floats) -> Floats:
    """Logistic function."""
    # As np.clip does, in a third of its time for a few numbers.
    result: Floats = 1 / (1 + np.exp(-np.minimum(np.maximum(x, -40), 40)))
    return result


def balance(three: Floats) -> Floats:
    """P(highest) less P(lowest) of probabilities (..., 3)."""
    result: Floats = three[..., 2] - three[..., 0]
    return result


@dataclass(frozen=True)
class Fit:
    """Parameters of one fit. Row 0 is the estimate, the other rows are bootstrap refits.

    features: names, n of them. repurchase, wom: (1 + draws, n + 2): weights, then the two cut points in rising order.
    advocate: (1 + draws, 3): intercept and the weights of the two scores for P(stay and positive).
    spread: standard deviations on either side of the index that hold 80 % of what people turned out to say; 0 in
    bundles that were made before it was measured.
    """

    features: tuple[str, ...]
    repurchase: Floats
    wom: Floats
    advocate: Floats
    spread: float = 0.0

    def scores(self, x: Floats, rows: slice) -> tuple[Floats, Floats]:
        """Linear scores of x (n,) or (..., rows, n) under the given parameter rows: (rows,) or (..., rows)."""
        n = len(self.features)
        pairs = [(x * m[rows, :n]).sum(axis=-1) for m in (self.repurchase, self.wom)]
        return pairs[0], pairs[1]

    def three(self, which: str, score: Floats, rows: slice) -> Floats:
        """P(lowest), P(middle), P(highest), (..., rows, 3), of scores (..., rows)."""
        cuts: Floats = getattr(self, which)[rows, -2:]
        below = sigmoid(cuts - score[..., None])
        found = np.empty((*below.shape[:-1], 3))
        found[..., 0] = below[..., 0]
        found[..., 1] = below[..., 1] - below[..., 0]
        found[..., 2] = 1 - below[..., 1]
        return found

    def index(self, x: Floats, rows: slice) -> Floats:
        """50 + 25 (P(stay) - P(leave)) + 25 (P(positive) - P(negative)), from 0 to 100, for every parameter row."""
        return self.index_of(*self.scores(x, rows), rows)

    def index_of(self, stance: Floats, word: Floats, rows: slice) -> Floats:
        """The index from the two linear scores, (..., rows) each."""
        return _index(self.three("repurchase", stance, rows), self.three("wom", word, rows))

    def moments(self, x: Floats, rows: slice) -> tuple[Floats, Floats]:
        """Mean and variance of what one author turns out to say, from 0 to 100, under every parameter row.

        Who stays and speaks well counts 100, who leaves and warns 0; the mean is the index. Given the case, the two
        outcomes are taken as independent.
        """
        stance, word = self.scores(x, rows)
        both = self.three("repurchase", stance, rows), self.three("wom", word, rows)
        variance = sum(625 * (p[..., 2] + p[..., 0] - balance(p) ** 2) for p in both)
        return _index(*both), np.asarray(variance)

    def drawn(self, x: Floats) -> Floats:
        """The case with every cue drawn by its probability, DRAWS_PER_FIT times a row: (draws, rows, features)."""
        drawn = np.tile(x, (DRAWS_PER_FIT, len(self.repurchase), 1))
        uncertain = self._uncertain
        drawn[..., uncertain] = _draws((*drawn.shape[:-1], len(uncertain))) < x[uncertain]
        return drawn

    @cached_property
    def _uncertain(self) -> list[int]:
        """Places of the features that are drawn."""
        return [i for i, name in enumerate(self.features) if name in CUE_VALUES or name == "tenure"]

    def deviation(self, x: Floats) -> float:
        """Standard deviation of what one author turns out to say: of the outcome, of the fit and of the cues."""
        means, variances = self.moments(self.drawn(x), slice(None))
        return float(np.sqrt(variances.mean() + means.var()))

    def interval(self, x: Floats, index: float) -> tuple[float, float]:
        """80 % interval around the index. See docs/loyalty.md for what it covers."""
        if self.spread > 0:
            reach = self.spread * self.deviation(x)
            return max(0.0, index - reach), min(100.0, index + reach)
        low, high = np.percentile(self.index(self.drawn(x), slice(None)), INTERVAL)
        return min(float(low), index), max(float(high), index)

    def contributions(self, x: Floats) -> tuple[float, Floats]:
        """The index of a case without any feature, and what each feature adds to it; together they are the index.

        Integrated gradients along the straight line from the empty case (Sundararajan et al. 2017), which have a closed
        form here because each head has one linear score.
        """
        n = len(self.features)
        first = slice(0, 1)
        base = self._base
        parts = np.zeros(n)
        for matrix, score in zip((self.repurchase, self.wom), self.scores(x, first), strict=True):
            s = float(score[0])
            for cut in matrix[0, -2:]:
                slope = (_s(cut) - _s(cut - s)) / s if abs(s) > 1e-6 else _s(cut) * (1 - _s(cut))
                parts += 25 * slope * matrix[0, :n] * x
        return base, parts

    @cached_property
    def _base(self) -> float:
        """The index of a case without any feature."""
        return float(self.index(np.zeros(len(self.features)), slice(0, 1))[0])


def _s(x: float) -> float:
    """The logistic function of one number, to the last bit as of an array."""
    return float(1 / (1 + np.exp(-min(max(x, -40.0), 40.0))))


def _index(repurchase: Floats, wom: Floats) -> Floats:
    return 50.0 + 25.0 * (balance(repurchase) + balance(wom))


@lru_cache(maxsize=4)
def _draws(shape: tuple[int, ...]) -> Floats:
    """The same random numbers for every case of a fit."""
    drawn = np.random.default_rng(0).random(shape)
    drawn.flags.writeable = False
    return drawn


@dataclass(frozen=True)
class LoyaltyHead:
    """The full fit (conduct and sentiment, predictive) and the conduct-only fit (structural)."""

    full: Fit
    conduct: Fit

    def estimate(
        self,
        case: CaseFeatures,
        cues: Sequence[Cue] = (),
        tenure: Statement | None = None,
        stated: Sequence[Statement] = (),
    ) -> LoyaltyEstimate:
        """Probabilities, index with 80 % interval, evidence and band.

        `cues` and `tenure` lend their quotes to the evidence. `stated`, the author's own words about loyalty, bears on
        the band alone.
        """
        x = vector(case, self.full.features)
        first = slice(0, 1)
        stance, word = self.full.scores(x, first)
        leave, undecided, stay = self.full.three("repurchase", stance, first)[0].tolist()
        negative, mixed, positive = self.full.three("wom", word, first)[0].tolist()
        a = self.full.advocate[0]
        advocate = min(_s(a[0] + a[1] * float(stance[0]) + a[2] * float(word[0])), stay, positive)
        index = float(self.full.index_of(stance, word, first)[0])
        low, high = self.full.interval(x, index)
        index_conduct = float(self.conduct.index(vector(case, self.conduct.features), first)[0])
        mentioned = {c.cue for c in cues if c.state != "hypothetical"}
        # Who weighs what was given against the loss has told of it.
        mentioned |= {"redress"} if "adequacy" in mentioned else set()
        return LoyaltyEstimate(
            repurchase={"stay": stay, "undecided": undecided, "leave": leave},
            wom={"positive": positive, "mixed": mixed, "negative": negative},
            advocate=advocate,
            churn=leave,
            index=index,
            low=low,
            high=high,
            index_conduct=index_conduct,
            band=band(index, advocate, leave, stated),
            evidence=self._evidence(x, cues, tenure),
            coverage=len(mentioned & set(MATTERS)) / len(MATTERS),
            missing=tuple(c for c in MATTERS if c not in mentioned),
        )

    def _evidence(self, x: Floats, cues: Sequence[Cue], tenure: Statement | None) -> tuple[Evidence, ...]:
        base, parts = self.full.contributions(x)
        found = [Evidence("base", base)]
        for i in np.argsort(-np.abs(parts)):
            if abs(parts[i]) > 1e-9:
                found.append(_quoted(self.full.features[i], float(parts[i]), cues, tenure))
        return tuple(found)


def _quoted(name: str, contribution: float, cues: Sequence[Cue], tenure: Statement | None) -> Evidence:
    matching = [c for c in cues if c.state != "hypothetical" and f"{c.cue}:{c.value}" == name]
    best: Cue | Statement | None = max(matching, key=lambda c: c.probability, default=None)
    if name == "tenure":
        best = tenure
    if best is None:
        return Evidence(name, contribution)
    return Evidence(name, contribution, best.quote, best.start, best.end, best.utterance)


def band(index: float, advocate: float, churn: float, stated: Sequence[Statement] = ()) -> Band:
    """The band shown to people. The cuts are a published convention (docs/loyalty.md).

    Who says so in their own words is an advocate or at risk unless the estimate points the other way.
    """
    kinds = {s.kind for s in stated if s.probability >= STATED}
    for_it, against_it = bool(kinds & {"stay", "promote"}), bool(kinds & {"leave", "warn"})
    if advocate >= 0.4 or index >= 75 or ("promote" in kinds and not against_it and index >= 55):
        return "advocate"
    if churn >= 0.4 or index <= 35 or (against_it and not for_it and index < 55):
        return "at_risk"
    return "retained" if index >= 55 else "ambivalent"
