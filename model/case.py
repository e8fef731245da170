"""Gathers what was read in one author's utterances into the features of their case."""

from collections.abc import Sequence
from dataclasses import dataclass

from model.codebook import CUE_VALUES
from model.types import CaseFeatures, Reading, SentenceSentiment


@dataclass(frozen=True)
class TextReading:
    """Both heads' view of one text of `words` words."""

    reading: Reading
    sentences: tuple[SentenceSentiment, ...]
    words: int


def case_features(texts: Sequence[TextReading]) -> CaseFeatures:
    """Features of a case from at least one text of the same author.

    A cue counts with its strongest mention. The failure is read where it is told: the text with the highest
    severity. Sentences that state loyalty themselves are left out of the sentiment, as they are of the cues.
    """
    readings = [t.reading for t in texts]
    severity = max(sum(int(value) * p for value, p in r.severity.items()) for r in readings)
    return CaseFeatures(
        cues={label: max(r.cue_probabilities[label] for r in readings) for label in CUE_VALUES},
        severity=severity,
        failure=max(1 - r.failure["none"] for r in readings),
        tenure=max(r.cue_probabilities["tenure"] for r in readings),
        valence=_valence(texts),
        length=sum(t.words for t in texts),
    )


def _valence(texts: Sequence[TextReading]) -> float:
    """Mean over the texts, each counted once: a long story does not drown what its author says later."""
    means = [m for m in map(_text_valence, texts) if m is not None]
    return sum(means) / len(means) if means else 0.0


def _text_valence(text: TextReading) -> float | None:
    """Mean over the sentences that state no loyalty, by length; None where there are none."""
    statements = text.reading.statements
    kept = [s for s in text.sentences if not any(q.start < s.end and s.start < q.end for q in statements)]
    weight = sum(s.end - s.start for s in kept)
    return sum(s.sentiment.valence * (s.end - s.start) for s in kept) / weight if weight else None
