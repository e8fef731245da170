"""Which texts are worth a person's look: those that the model is least sure of, each unlike the others.

What a label teaches is measured by the margin between the two most probable labels; that the next text is unlike the
ones before it, by its distance to them in the encoder's space. Taking only uncertain texts gives many copies of one
difficulty (Zhdanov 2019, Diverse mini-batch active learning; Sener and Savarese 2018 for the distance to a set).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.codebook import SENTIMENT
from model.encoder import encode_texts, means_of
from model.scorer import CHUNK, Scorer
from model.segment import tokenize
from model.types import Sentiment

Floats = NDArray[np.float64]

# Texts that are uncertain enough to choose from, for each that is wanted.
POOL: Final = 5


@dataclass(frozen=True)
class Readings:
    """What the model makes of n texts.

    sentiments: n, None where a text holds no words. vectors (n, width): mean token states, zero where there is none.
    """

    sentiments: list[Sentiment | None]
    vectors: NDArray[np.float32]

    @property
    def probabilities(self) -> Floats:
        """Shape (n, 3), in the order of SENTIMENT; even where there is no sentiment."""
        even = 1 / len(SENTIMENT)
        rows = [[getattr(s, name) if s else even for name in SENTIMENT] for s in self.sentiments]
        return np.asarray(rows, dtype=np.float64).reshape(-1, len(SENTIMENT))

    def part(self, places: Sequence[int]) -> "Readings":
        """Those of some texts."""
        return Readings([self.sentiments[i] for i in places], self.vectors[list(places)])


def read_texts(scorer: Scorer, texts: Sequence[str], targets: Sequence[str | None] | None = None) -> Readings:
    """Sentiment and vector of each text. targets: as for Scorer.sentiment, which also says what it raises."""
    towards = {i: t for i, t in enumerate(targets or ()) if t is not None}
    sentiments: list[Sentiment | None] = []
    vectors: list[NDArray[np.float32]] = []
    bundle = scorer.bundle
    width = bundle.sentiment.weight.shape[1]
    for start in range(0, len(texts), CHUNK):
        part = texts[start : start + CHUNK]
        tokenized = tokenize(part, bundle.tokenizer, bundle.max_tokens)
        states = encode_texts(tokenized, bundle.encoder)
        means = means_of(states, width)
        found = bundle.sentiment.of_vectors(means)
        has_words = [len(t.ids) > 0 and scorer.has_words(text) for t, text in zip(tokenized, part, strict=True)]
        sentiments += [s if there else None for s, there in zip(found, has_words, strict=True)]
        vectors += list(means)
    for i, sentiment in zip(towards, scorer.sentiment([texts[i] for i in towards], [*towards.values()]), strict=True):
        sentiments[i] = sentiment
    return Readings(sentiments, np.stack(vectors) if vectors else np.zeros((0, width), dtype=np.float32))


def margins(probabilities: Floats) -> Floats:
    """What lies between the two most probable labels, (n, 3) -> (n,), 0 to 1; 0 is a coin's toss."""
    ordered = np.sort(probabilities, axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2])


def teaching(readings: Readings, top: int) -> list[int]:
    """Places of at most `top` texts whose label would teach most, best first; texts without words never.

    The first is the least certain. Each next one has the largest product of its uncertainty, 1 - margin, and its
    distance to the nearest that was taken; so copies of what was taken come last.
    """
    uncertainty = 1 - margins(readings.probabilities)
    worded = np.asarray([s is not None for s in readings.sentiments], dtype=bool)
    order = np.argsort(-uncertainty, kind="stable")
    pool = order[worded[order]][: POOL * top]
    if not len(pool):
        return []
    directions = _directions(readings.vectors[pool])
    distance = np.ones(len(pool))
    taken: list[int] = []
    worth = uncertainty[pool]
    for _ in range(min(top, len(pool))):
        free = np.where(np.isin(np.arange(len(pool)), taken), -1.0, worth * distance)
        best = int(np.argmax(free))
        taken.append(best)
        distance = np.minimum(distance, np.maximum(0.0, 1 - directions @ directions[best]))
    return [int(pool[i]) for i in taken]


def doubtful(probabilities: Floats, labels: Sequence[str]) -> list[int]:
    """Places of the labels that the model contradicts, the surest contradiction first.

    Sure is what the likely label has more than the given one (the normalised margin of Northcutt et al. 2021).
    """
    given = np.asarray([SENTIMENT.index(label) for label in labels], dtype=np.int64)
    lead = probabilities.max(axis=1) - probabilities[np.arange(len(given)), given]
    order = np.argsort(-lead, kind="stable")
    return [int(i) for i in order if lead[i] > 0]


def teaching_reason(sentiment: Sentiment) -> str:
    """Why a label of this text would teach, in words."""
    shares = sorted(((getattr(sentiment, name), name) for name in SENTIMENT), reverse=True)
    (first, name), (second, other) = shares[0], shares[1]
    return f"between {name} ({first:.2f}) and {other} ({second:.2f})"


def error_reason(sentiment: Sentiment, given: str) -> str:
    """Why the given label looks wrong, in words."""
    return f"labelled {given} ({getattr(sentiment, given):.2f}), reads {sentiment.label}"


def _directions(vectors: NDArray[np.float32]) -> Floats:
    """Unit vectors around the mean: the states of one encoder share a large part that says nothing."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(norms, 1e-12))
