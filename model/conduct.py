"""The conduct head: what the author reports that the company did, sentence by sentence, with the words that say so."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from model.codebook import ABSENT_VALUES, CUE_VALUES, CUES, DOCUMENT_FIELDS, SENTENCE_LABELS
from model.encoder import Sentences, States
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
# "If they had rung me", "they should have told me": nothing of it happened, whatever the head makes of the words after.
_UNREAL = re.compile(
    r"\bif (?:only )?(?:[\w']+ ){1,3}?had (?!to\b)\w+"
    r"|\b(?P<modal>should|could|might|ought to)(?: at least| simply| just)? have (?!to\b|cared\b)(?P<verb>\w+)",
    re.IGNORECASE,
)
# Sayings that make nothing unreal: "could have been worse", "should have taken an hour", "you should have seen it".
_NORM = re.compile(
    r" (?:\w+ ){0,2}?worse\b|(?<=taken) (?:(?:up to|a few|at most|only|about|\w+) ){0,2}?"
    r"(?:seconds?|minutes?|hours?|days?|weeks?|months?|no time)\b",
    re.IGNORECASE,
)
_MINE = re.compile(r"\b(?:i|we|you|one)(?: (?:really|probably|just|all))? $", re.IGNORECASE)
_SAYING = re.compile(
    r"known|seen|guessed|reali[sz]ed|listened|checked|read|cried|kissed|hugged|lost|sworn", re.IGNORECASE
)
# Where a case that did not happen ends, and facts go on. "If they had rung me, they would have heard" is all one case.
_NOT_REAL_EITHER = r"(?!(?: \w+)? (?:would|could|should|might|will)\b|['\u2019]d\b)"
_SOMEBODY = r"(?:they|he|she|it|i|we|nobody|no[ -]one|(?:the|my|their) \w+)\b"
_FACTS_AGAIN = re.compile(
    rf"[;:.]|,? (?:but|yet) |(?:,(?: and)?| and| when) {_SOMEBODY}{_NOT_REAL_EITHER}"
    r"| because | instead of | rather than ",
    re.IGNORECASE,
)
_FACTS_AFTER_IF = re.compile(r"[;:.]|,? (?:but|yet) ", re.IGNORECASE)
# "explained it should have been lifted, and paid me": nobody is lifted and pays in one breath.
_PAID_ME = re.compile(r",? and \w+ (?:me|us)\b", re.IGNORECASE)
# Words of a fact that the case is only added to: "sent a refund, which they", "apologised and explained it".
_ADDED_TO = re.compile(
    r"^(?!when|if|after|as|since|because)(?!.*\b(?:i|we) (?:\w+ )?(?:explain|agree|admit|confirm))"
    r"(?:\w.*\W)?(?:which|(?:explain|admit|agree|confirm|conced|acknowledg)\w*)(?: that)?(?: \w+){1,4} $",
    re.IGNORECASE | re.DOTALL,
)
_WHETHER = re.compile(
    r"\b(?:ask\w*|know|knew|see|check\w*|wonder\w*|sure|tell|told|confirm\w*|clear)(?: [\w']+){0,2} $", re.IGNORECASE
)
UNREAL_BEFORE = 40
"""Characters between such words and those that they make unreal, at most."""
# Tokens of texts that have a product of their own, and of those that share one: what fits into a cache.
FEW_TOKENS = 16
TOGETHER = 512
# What counts in a case, and where it stands among the sentence labels.
COUNTED = (*CUE_VALUES, "tenure")
_FIELDS = tuple(DOCUMENT_FIELDS.items())

# Cues of which two values can't both hold of the same words; money may be promised and refused in one breath.
EXCLUSIVE = frozenset(CUES) - {"redress", "responder"}

# A sentence label that was found: its sentence, name, probability and quote.
_Found = tuple[int, str, float, Span]


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

    def logits_of_all(self, states: Sequence[States]) -> list[NDArray[np.float32]]:
        """token_logits of each text. A product of few rows takes twice as long a row, so texts share one.

        Short ones have products of their own: those of up to FEW_TOKENS rows a BLAS sums in another order, and what is
        read in a text should not depend on the texts beside it.
        """
        found = list(states)
        waiting: list[int] = []
        for i, own in enumerate(states):
            if 0 < len(own) <= FEW_TOKENS:
                found[i] = self.token_logits(own)
            elif len(own):
                waiting.append(i)
        for group in _groups(waiting, states):
            together = self.token_logits(np.concatenate([states[i] for i in group]))
            ends = accumulate(len(states[i]) for i in group)
            for i, end in zip(group, ends, strict=True):
                found[i] = together[end - len(states[i]) : end]
        return found

    def probabilities(self, sentences: Sentences, tokens: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """(n_sentences, labels), each in [0, 1]. tokens: logits of the tokens of each text, see token_logits."""
        if not sentences.places:
            return np.zeros((0, len(SENTENCE_LABELS)), dtype=np.float32)
        context = sentences.means @ self.context_weight.T + self.context_bias
        peaks = np.empty_like(context)
        for row, (t, _, a, b) in enumerate(sentences.places):
            peaks[row] = peak(tokens[t][a:b])
        result: NDArray[np.float32] = np.reciprocal(1 + np.exp(-(peaks + context)))
        return result

    def read(
        self,
        raws: Sequence[str],
        texts: Sequence[TokenizedText],
        states: Sequence[States],
        means: States,
        sentences: Sentences,
    ) -> list[Reading]:
        """Everything that the head sees in each text; a text without tokens gives an empty reading.

        states, means, sentences: of the texts, see model.encoder.
        """
        tokens = self.logits_of_all(states)
        probabilities = self.probabilities(sentences, tokens)
        found: list[list[_Found]] = [[] for _ in texts]
        for row, column in np.argwhere(probabilities >= self.thresholds).tolist():
            t, sentence, _, _ = sentences.places[row]
            span = quote_span(raws[t], texts[t], sentence, tokens[t][:, column])
            found[t].append((sentence, SENTENCE_LABELS[column], float(probabilities[row, column]), span))
        fields = self._fields(means)
        return [
            _reading(raws[t], text, found[t], fields[t]) if len(text.ids) else _empty_reading()
            for t, text in enumerate(texts)
        ]

    def _fields(self, vectors: NDArray[np.float32]) -> list[dict[str, dict[str, float]]]:
        logits = vectors @ self.document_weight.T + self.document_bias
        ends = np.cumsum([len(v) for v in DOCUMENT_FIELDS.values()])[:-1]
        parts = [softmax(part).tolist() for part in np.split(logits, ends, axis=1)]
        return [
            {field: dict(zip(options, row, strict=True)) for (field, options), row in zip(_FIELDS, rows, strict=True)}
            for rows in zip(*parts, strict=True)
        ]


def _groups(texts: Iterable[int], states: Sequence[States]) -> Iterator[list[int]]:
    """Runs of texts of about TOGETHER tokens."""
    group: list[int] = []
    size = 0
    for i in texts:
        group.append(i)
        size += len(states[i])
        if size >= TOGETHER:
            yield group
            group, size = [], 0
    if group:
        yield group


def peak(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average over the first axis, each entry weighted by its own exponential: (n, labels) -> (labels,)."""
    weights = np.exp(np.minimum(np.maximum(logits, -30), 30))
    result: NDArray[np.float32] = np.add.reduce(weights * logits, axis=0) / np.add.reduce(weights, axis=0)
    return result


def _reading(raw: str, text: TokenizedText, found: Sequence[_Found], fields: dict[str, dict[str, float]]) -> Reading:
    if not found:
        return Reading((), (), None, dict.fromkeys(COUNTED, 0.0), **fields)
    cues: list[Cue] = []
    statements: list[Statement] = []
    tenure: list[Statement] = []
    for sentence, label, probability, (start, end) in found:
        kind, _, value = label.partition(":")
        quote = raw[start:end]
        if kind == "stated":
            statements.append(Statement(value, probability, quote, start, end))
        elif kind == "tenure":
            tenure.append(Statement(kind, probability, quote, start, end))
        elif kind == "hypothetical":
            cues.append(Cue(value, None, "hypothetical", probability, quote, start, end))
        elif _unreal(raw, text.sentences[sentence], start, end):
            cues.append(Cue(kind, None, "hypothetical", probability, quote, start, end))
        else:
            state = "absent" if label in ABSENT_VALUES else "present"
            cues.append(Cue(kind, value, state, probability, quote, start, end))  # type: ignore[arg-type]
    settled = sorted(_settled(cues), key=lambda c: (c.start, c.cue))
    stating = {sentence for sentence, label, _, _ in found if label.startswith("stated:")}
    return Reading(
        cues=tuple(settled),
        statements=tuple(_carried_out(_settled_statements(statements, text), raw, text)),
        tenure=max(tenure, key=lambda s: s.probability, default=None),
        cue_probabilities=counted([*settled, *tenure], [text.sentences[s] for s in stating]),
        **fields,
    )


def _unreal(raw: str, sentence: Span, start: int, end: int) -> bool:
    """Whether the words of raw[start:end] stand in or right after a case that did not happen."""
    for found in _UNREAL.finditer(raw, max(sentence[0], start - UNREAL_BEFORE - 30), end):
        if found.end() <= start - UNREAL_BEFORE or _WHETHER.search(raw, sentence[0], found.start()):
            continue
        if found["modal"] is None:
            over = _facts_from(_FACTS_AFTER_IF, raw, found.end(), start, end)
        else:
            over = (
                _is_saying(raw, found)
                or _facts_from(_FACTS_AGAIN, raw, found.end(), start, end)
                or _ADDED_TO.search(raw[start : found.start()]) is not None
                or (found["verb"].lower() == "been" and _PAID_ME.search(raw, found.end(), end) is not None)
            )
        if not over:
            return True
    return False


def _facts_from(again: re.Pattern[str], raw: str, unreal: int, start: int, end: int) -> bool:
    """Whether what `again` finds stands between the unreal words and most of those of raw[start:end]."""
    found = again.search(raw, unreal, end)
    return found is not None and unreal <= start and found.start() <= (start + end) / 2


def _is_saying(raw: str, found: re.Match[str]) -> bool:
    """Whether such words tell of the author or of a norm: "I should have known", "it could have been worse"."""
    own = _SAYING.fullmatch(found["verb"]) and _MINE.search(raw, max(0, found.start() - 15), found.start())
    return bool(own or _NORM.match(raw, found.end()))


def counted(found: Iterable[Cue | Statement], stating: Sequence[Span]) -> dict[str, float]:
    """The largest probability of each cue value and of tenure among what is reported, 0 where there is none.

    What counts in a case is thus always reported with a quote. stating: sentences in which the author states loyalty;
    they are left out, since such statements are outcomes and a feature read from them would be the answer.
    """
    best = dict.fromkeys(COUNTED, 0.0)
    for one in found:
        label = f"{one.cue}:{one.value}" if isinstance(one, Cue) else one.kind
        if label in best and not any(a < one.end and one.start < b for a, b in stating):
            best[label] = max(best[label], one.probability)
    return best


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
    """Of readings of the same words that exclude each other the surest: a fact and a hypothesis, or two values."""
    best: dict[tuple[str, int, int, bool], Cue] = {}
    for cue in sorted(cues, key=lambda c: -c.probability):
        rivals = [c for c in best.values() if c.cue == cue.cue and c.start < cue.end and cue.start < c.end]
        if not any(_exclude(c, cue) for c in rivals):
            best.setdefault((f"{cue.cue}:{cue.value}", cue.start, cue.end, cue.state == "hypothetical"), cue)
    return list(best.values())


def _exclude(one: Cue, other: Cue) -> bool:
    if (one.state == "hypothetical") != (other.state == "hypothetical"):
        return True
    return one.value != other.value and one.cue in EXCLUSIVE


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
    return Reading((), (), None, dict.fromkeys(COUNTED, 0.0), **fields)
