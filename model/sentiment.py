"""The sentiment head: calibrated probabilities for a whole text and for each of its sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.codebook import SENTIMENT
from model.encoder import Sentences, States, means_of
from model.segment import TokenizedText
from model.types import SentenceSentiment, Sentiment

# Two labels nearer than this in probability are a close call. Of 4,000 development texts 3.2 % are; among them lie 85 %
# of the labels that 8 bits change.
CLOSE = 0.04
# A second look in bfloat16 takes a fifth of the time of one in floats, so more calls may be close: with .07 fewer
# labels differ from those of floats than with a look in floats and .04 (10 of 4,000 development texts, not 15).
CLOSE_IN_BFLOAT = 0.07
# The mean of more tokens than these is off by half as much (of 1,444 texts: logits by .028 up to here, by .016 above).
LONG = 64


def is_close(sentiment: Sentiment, tokens: int, gap: float = CLOSE) -> bool:
    """Whether 8 bits may have changed the label of a mean of so many tokens: the two likeliest are nearly as likely.

    gap: of their probabilities, below which they are, for texts of up to LONG tokens.
    """
    _, second, first = sorted((sentiment.negative, sentiment.neutral, sentiment.positive))
    return first - second < (gap if tokens <= LONG else gap / 2)


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

    def whole(self, states: Sequence[States]) -> list[Sentiment]:
        """Sentiment of texts from their token states (n_tokens, width), n_tokens at least 1."""
        return self.of_vectors(means_of(states, self.weight.shape[1]))

    def sentences(self, texts: Sequence[TokenizedText], sentences: Sentences) -> list[tuple[SentenceSentiment, ...]]:
        """For each text the sentiment of each sentence that holds a token, read in the context of the text."""
        found: list[list[SentenceSentiment]] = [[] for _ in texts]
        for (text, row, _, _), sentiment in zip(sentences.places, self.of_vectors(sentences.means), strict=True):
            found[text].append(SentenceSentiment(*texts[text].sentences[row], sentiment))
        return [tuple(one) for one in found]

    def of_vectors(self, vectors: NDArray[np.float32]) -> list[Sentiment]:
        """Calibrated sentiment of vectors (n, width)."""
        rows: Any = softmax(self.logits(vectors) / self.temperature).astype(np.float64)
        rows /= rows.sum(axis=1, keepdims=True)
        labels = (SENTIMENT[i] for i in rows.argmax(axis=1).tolist())
        return [Sentiment(label, a, b, c, c - a) for label, (a, b, c) in zip(labels, rows.tolist(), strict=True)]
