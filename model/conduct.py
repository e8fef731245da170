"""The conduct head: what the author reports that the company did, sentence by sentence, with the words that say so."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.codebook import ABSENT_VALUES, CUE_VALUES, DOCUMENT_FIELDS, SENTENCE_LABELS
from model.encoder import States
from model.segment import Span, TokenizedText
from model.sentiment import softmax
from model.types import Cue, Reading, Statement

# Chosen by overlap with the annotators' quotes, which have 7.7 words on average: .60 of the characters of both together
# are common to both, against .49 with at least three words and no gaps.
QUOTE_WORDS = (5, 25)
QUOTE_DEPTH = 2.0
QUOTE_FLOOR = -2.0
# Below what counts as a statement (model.loyalty.STATED).
GIVEN_UP = 0.3
_WORD = re.compile(r"\S+")
_LEAVING = r"(?:leav|left|cancel|switch|chang|quit|mov|clos|giv|gave|dump|return|buy|bought)\w*"
_INTENDED = re.compile(
    rf"\b(?:was|were|had been) (?:\w+ )?(?:ready|about|close|going|set|prepared|tempted|planning|thinking)\b"
    rf"(?: \w+){{0,3}}? {_LEAVING}|\b(?:nearly|almost) {_LEAVING}"
    rf"|\b(?:wanted|meant|planned|intended|swore|sworn|vowed)(?: \w+){{0,3}}? {_LEAVING}",
    re.IGNORECASE,
)
_TURN = re.compile(r"\b(?:but|until|when|then|now|before|yet)\b", re.IGNORECASE)
_COLUMN = {label: i for i, label in enumerate(SENTENCE_LABELS)}
_STATED = [i for i, label in enumerate(SENTENCE_LABELS) if label.startswith("stated:")]


@dataclass(frozen=True)
class ConductHead:
    """Linear layers on token states; a sentence's logit is its strongest tokens plus its mean.

    token_weight, context_weight (labels, width), token_bias, context_bias (labels,), labels as in SENTENCE_LABELS.
    document_weight (fields, width), document_bias (fields,), fields as in DOCUMENT_FIELDS, one after the other.
    thresholds (labels,): probabilities from which a label is reported, chosen on held-out training documents.
    """

    token_weight: NDArray[np.float32]
    token_bias: NDArray[np.float32]
    context_weight: NDArray[np.float32]
    context_bias: NDArray[np.float32]
    document_weight: NDArray[np.float32]
    document_bias: NDArray[np.float32]
    thresholds: NDArray[np.float32]

    def token_logits(self, states: States) -> NDArray[np.float32]:
        """(n_tokens, width) -> (n_tokens, labels)."""
        result: NDArray[np.float32] = states @ self.token_weight.T + self.token_bias
        return result

    def sentence_probabilities(
        self, text: TokenizedText, states: States, tokens: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(n_sentences, labels), each in [0, 1]; a sentence without tokens has zeros."""
        result = np.zeros((len(text.sentences), len(SENTENCE_LABELS)), dtype=np.float32)
        for row, (a, b) in enumerate(text.token_spans):
            if b > a:
                context = states[a:b].mean(axis=0) @ self.context_weight.T + self.context_bias
                result[row] = 1 / (1 + np.exp(-(peak(tokens[a:b]) + context)))
        return result

    def read(self, raw: str, text: TokenizedText, states: States) -> Reading:
        """Everything that the head sees in one text; a text without tokens gives an empty reading."""
        if not len(text.ids):
            return _empty_reading()
        tokens = self.token_logits(states)
        sentences = self.sentence_probabilities(text, states, tokens)
        cues: list[Cue] = []
        statements: list[Statement] = []
        tenure: list[Statement] = []
        for row, column in np.argwhere(sentences >= self.thresholds):
            probability = float(sentences[row, column])
            start, end = quote_span(raw, text, int(row), tokens[:, column])
            kind, _, value = SENTENCE_LABELS[column].partition(":")
            if kind == "stated":
                statements.append(Statement(value, probability, raw[start:end], start, end))
            elif kind == "tenure":
                tenure.append(Statement(kind, probability, raw[start:end], start, end))
            elif kind == "hypothetical":
                cues.append(Cue(value, None, "hypothetical", probability, raw[start:end], start, end))
            else:
                state = "absent" if SENTENCE_LABELS[column] in ABSENT_VALUES else "present"
                cues.append(Cue(kind, value, state, probability, raw[start:end], start, end))  # type: ignore[arg-type]
        fields = self._fields(states)
        return Reading(
            cues=tuple(sorted(_settled(cues), key=lambda c: (c.start, c.cue))),
            statements=tuple(_carried_out(_settled_statements(statements, text), raw, text)),
            tenure=max(tenure, key=lambda s: s.probability, default=None),
            cue_probabilities=masked_maxima(sentences, self.thresholds),
            **fields,
        )

    def _fields(self, states: States) -> dict[str, dict[str, float]]:
        logits = states.mean(axis=0) @ self.document_weight.T + self.document_bias
        ends = np.cumsum([len(v) for v in DOCUMENT_FIELDS.values()])[:-1]
        parts = zip(DOCUMENT_FIELDS.items(), np.split(logits, ends), strict=True)
        return {field: dict(zip(options, softmax(part).tolist(), strict=True)) for (field, options), part in parts}


def peak(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average over the first axis, each entry weighted by its own exponential: (n, labels) -> (labels,)."""
    weights = np.exp(np.clip(logits, -30, 30))
    result: NDArray[np.float32] = (weights * logits).sum(axis=0) / weights.sum(axis=0)
    return result


def masked_maxima(sentences: NDArray[np.float32], thresholds: NDArray[np.float32]) -> dict[str, float]:
    """Largest probability of each cue value and of tenure over the sentences that do not state loyalty themselves.

    Such statements are outcomes: a feature read from them would be the answer. What stays below its threshold is 0, so
    that everything that counts is also reported with a quote. sentences (n_sentences, labels).
    """
    states_loyalty = (sentences[:, _STATED] >= thresholds[_STATED]).any(axis=1)
    kept = np.where(sentences >= thresholds, sentences, 0.0)[~states_loyalty]
    if not len(kept):
        return dict.fromkeys((*CUE_VALUES, "tenure"), 0.0)
    best = kept.max(axis=0)
    return {label: float(best[_COLUMN[label]]) for label in (*CUE_VALUES, "tenure")}


def quote_span(raw: str, text: TokenizedText, sentence: int, logits: NDArray[np.float32]) -> Span:
    """Characters of the words in the sentence that carry a label: its strongest token and the strong ones around it.

    logits: of the label for every token, (n_tokens,). The span has 5 to 25 words where the sentence allows it.
    """
    a, b = text.token_spans[sentence]
    inside = logits[a:b]
    best = int(inside.argmax())
    strong = inside >= min(float(inside[best]) - QUOTE_DEPTH, QUOTE_FLOOR)
    left = right = best
    # A single weak token does not end a quote.
    while left > 0 and strong[max(left - 2, 0) : left].any():
        left -= 1
    while right + 1 < len(inside) and strong[right + 1 : right + 3].any():
        right += 1
    first, last = int(text.offsets[a + left, 0]), int(text.offsets[a + right, 1])
    start, end = text.sentences[sentence]
    words = [(start + m.start(), start + m.end()) for m in _WORD.finditer(raw[start:end])]
    chosen = [i for i, (s, e) in enumerate(words) if s < last and e > first] or [0]
    low, high = _widened(chosen[0], chosen[-1], len(words))
    return words[low][0], words[high][1]


def _widened(low: int, high: int, count: int) -> tuple[int, int]:
    least, most = QUOTE_WORDS
    while high - low + 1 < min(least, count):
        if high + 1 < count:
            high += 1
        if high - low + 1 < least and low > 0:
            low -= 1
    return low, min(high, low + most - 1)


def _settled(cues: Iterable[Cue]) -> list[Cue]:
    """One cue of a kind in a sentence: a hypothetical reading and a factual one exclude each other, the surer stays."""
    best: dict[tuple[str, int, int, bool], Cue] = {}
    for cue in sorted(cues, key=lambda c: -c.probability):
        rivals = [c for c in best.values() if c.cue == cue.cue and c.start < cue.end and cue.start < c.end]
        if all((c.state == "hypothetical") == (cue.state == "hypothetical") for c in rivals):
            best.setdefault((f"{cue.cue}:{cue.value}", cue.start, cue.end, cue.state == "hypothetical"), cue)
    return list(best.values())


def _settled_statements(statements: Iterable[Statement], text: TokenizedText) -> list[Statement]:
    """Nobody says to stay and to leave, or to promote and to warn, in one sentence: the surer statement stays."""
    best: dict[tuple[int, bool], Statement] = {}
    for statement in sorted(statements, key=lambda s: -s.probability):
        sentence = next(i for i, (_, end) in enumerate(text.sentences) if statement.start < end)
        best.setdefault((sentence, statement.kind in ("stay", "leave")), statement)
    return sorted(best.values(), key=lambda s: (s.start, s.kind))


def _carried_out(statements: Sequence[Statement], raw: str, text: TokenizedText) -> list[Statement]:
    """An intention to leave that the author tells as past and given up ("I was about to cancel, then ...") is unlikely.

    It stays in the reading, so that its sentence is still kept out of the features.
    """
    kept = []
    for statement in statements:
        start, end = next(span for span in text.sentences if statement.start < span[1])
        intended = _INTENDED.search(raw, start, end) if statement.kind == "leave" else None
        later = any(s.kind in ("stay", "promote") and s.start >= start for s in statements)
        if intended and (later or _TURN.search(raw, intended.end(), end)):
            statement = replace(statement, probability=min(statement.probability, GIVEN_UP))
        kept.append(statement)
    return kept


def _empty_reading() -> Reading:
    fields = {f: {o: 1 / len(options) for o in options} for f, options in DOCUMENT_FIELDS.items()}
    return Reading((), (), None, dict.fromkeys((*CUE_VALUES, "tenure"), 0.0), **fields)
