"""The sentiment head: calibrated probabilities for a whole text and for each of its sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.codebook import SENTIMENT
from model.encoder import States
from model.segment import TokenizedText
from model.types import SentenceSentiment, Sentiment

# Two labels nearer than this in probability are a close call. Of 4,000 development texts 3.2 % are; among them lie 85 %
# of the labels that 8 bits change.
CLOSE = 0.04
# The mean of more tokens than these is off by half as much (of 1,444 texts: logits by .028 up to here, by .016 above).
LONG = 64


def is_close(sentiment: Sentiment, tokens: int) -> bool:
    """Whether 8 bits may have changed the label of a mean of so many tokens: the two likeliest are nearly as likely."""
    _, second, first = sorted((sentiment.negative, sentiment.neutral, sentiment.positive))
    return first - second < (CLOSE if tokens <= LONG else CLOSE / 2)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Along the last axis."""
    exponents: NDArray[np.float32] = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float32] = exponents / exponents.sum(axis=-1, keepdims=True)
    return result


@dataclass(frozen=True)
class SentimentHead:
    """A linear layer on mean token states, with one temperature.

    weight (3, width), bias (3,), rows in the order negative, neutral, positive. temperature divides the logits; it is
    fitted on development data (Guo et al. 2017, On Calibration of Modern Neural Networks).
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    temperature: float = 1.0

    def logits(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vectors (n, width) -> uncalibrated logits (n, 3)."""
        result: NDArray[np.float32] = vectors @ self.weight.T + self.bias
        return result

    def whole(self, states: States) -> Sentiment:
        """Sentiment of a text from its token states (n_tokens, width), n_tokens at least 1."""
        return self.of_vectors(states.mean(axis=0, keepdims=True))[0]

    def whole_many(self, states: Sequence[States]) -> list[Sentiment]:
        """Sentiment of several texts, each with at least one token."""
        return self.of_vectors(np.stack([s.mean(axis=0) for s in states])) if states else []

    def sentences(self, text: TokenizedText, states: States) -> tuple[SentenceSentiment, ...]:
        """Sentiment of each sentence that holds a token, read in the context of the text."""
        pairs = [(s, t) for s, t in zip(text.sentences, text.token_spans, strict=True) if t[1] > t[0]]
        if not pairs:
            return ()
        vectors = np.stack([states[a:b].mean(axis=0) for _, (a, b) in pairs])
        found = zip(pairs, self.of_vectors(vectors), strict=True)
        return tuple(SentenceSentiment(start, end, sentiment) for ((start, end), _), sentiment in found)

    def of_vectors(self, vectors: NDArray[np.float32]) -> list[Sentiment]:
        """Calibrated sentiment of vectors (n, width)."""
        rows: Any = softmax(self.logits(vectors) / self.temperature).astype(np.float64)
        rows = (rows / rows.sum(axis=1, keepdims=True)).tolist()
        return [Sentiment(SENTIMENT[int(np.argmax(row))], row[0], row[1], row[2], row[2] - row[0]) for row in rows]
