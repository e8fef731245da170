"""Tunes the cue head to what people say of single cues: told, told to be missing, only imagined, or not mentioned.

The encoder stays as it is. Of the head only the labels that the examples speak of learn, pulled to the champion's
weights; beside the examples they are held to the champion's own answers on other texts, and on what the examples leave
open in their own texts. Thresholds follow where there are enough examples of a label.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from model.bundle import Bundle
from model.codebook import ABSENT_VALUES, SENTENCE_LABELS
from model.conduct import ConductHead
from model.encoder import States, encode_texts
from model.scorer import Scorer
from model.segment import TokenizedText, tokenize
from training.gate import FEWEST, FEWEST_OF_A_LABEL, RESAMPLES, Check, clean
from training.labels import Labelled
from training.network import mean_by, peak_by

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PULLS: Final = (1.0, 0.1, 0.01)
"""How strongly weights are pulled to the champion's, relative to the size of the features; the strongest first."""
REPLAYED: Final = 600
WATCHED: Final = 300
"""Texts that are learnt beside the examples, and texts that are not, to compare champion and challenger on."""
TAU_TOLERANCE: Final = 0.07
"""One of thirty pairs of published findings may turn: a text near a threshold does by chance."""
STEPS: Final = 60
RATE: Final = 0.02
REPLAY: Final = 1.0
"""Weight of the champion's answers beside the examples."""
SURE: Final = 0.9
"""From here on the champion surely contradicts a claim that a cue is missing; under 1 - SURE, that it is told."""
GRID: Final = np.round(np.arange(0.15, 0.81, 0.05), 2)
ENOUGH: Final = 12
"""With fewer claims than this a threshold of a label's own would be noise."""
HEAD: Final = ("token_weight", "token_bias", "context_weight", "context_bias")
ARRAYS: Final = ("cue_token.weight", "cue_token.bias", "cue_context.weight", "cue_context.bias")


@dataclass(frozen=True)
class Claim:
    """What an example says of one label in one text. text: its index. column: of SENTENCE_LABELS. told: whether the
    text says so. sentences: those that say so, empty where it is not known which.
    """

    text: int
    column: int
    told: bool
    sentences: tuple[int, ...] = ()


@dataclass(frozen=True)
class Read:
    """Texts with what the frozen encoder makes of them. states: token states of each, (n_tokens, width)."""

    raw: tuple[str, ...]
    tokens: tuple[TokenizedText, ...]
    states: tuple[States, ...]

    def part(self, rows: Iterable[int]) -> "Read":
        """Some of them."""
        kept = list(rows)
        raw, tokens, states = ([part[i] for i in kept] for part in (self.raw, self.tokens, self.states))
        return Read(tuple(raw), tuple(tokens), tuple(states))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Batch:
    """Texts as one batch. states: (n_tokens, width). sentence: of each token. means: (n_sentences, width).
    text: of each sentence, (n_sentences,).
    """

    states: Tensor
    sentence: Tensor
    means: Tensor
    text: NDArray[np.int64]
    first: NDArray[np.int64]


def read(texts: Sequence[str], bundle: Bundle) -> Read:
    """Texts through the encoder of the bundle; those without words have no states."""
    tokens = tokenize(list(texts), bundle.tokenizer, bundle.max_tokens)
    return Read(tuple(texts), tuple(tokens), tuple(encode_texts(tokens, bundle.encoder)))


def claims_of(examples: Sequence[Labelled], found: Read) -> list[Claim]:
    """Claims of examples of the task conduct. found: their texts, each once."""
    index = {text: i for i, text in enumerate(found.raw)}
    return [c for e in examples for c in _claims(e, index[e.text], found.tokens[index[e.text]])]


def _claims(e: Labelled, text: int, tokens: TokenizedText) -> list[Claim]:
    cue = e.label.partition(":")[0]
    column, imagined = SENTENCE_LABELS.index(e.label), SENTENCE_LABELS.index(f"hypothetical:{cue}")
    where = _sentences(e, tokens)
    if e.state == "hypothetical":
        return [Claim(text, imagined, True, where), Claim(text, column, False)]
    # "absent" says that the thing was told not to have happened; some values of the codebook say just that.
    if e.state == "present" or (e.state == "absent" and e.label in ABSENT_VALUES):
        return [Claim(text, column, True, where)]
    return [Claim(text, column, False)]


def _sentences(e: Labelled, tokens: TokenizedText) -> tuple[int, ...]:
    if not e.quote:
        return ()
    start = e.text.find(e.quote)
    end = start + len(e.quote)
    return tuple(i for i, (a, b) in enumerate(tokens.sentences) if a < end and start < b)


def batch_of(found: Read) -> Batch:
    """One batch of texts that hold tokens."""
    sentence, text, first = [], [], []
    count = 0
    for i, tokens in enumerate(found.tokens):
        spans = tokens.token_spans
        first.append(count)
        sentence.append(np.repeat(np.arange(len(spans)), [b - a for a, b in spans]) + count)
        text += [i] * len(spans)
        count += len(spans)
    states = torch.from_numpy(np.concatenate([s for s in found.states if s.size]).astype(np.float32))
    owner = torch.from_numpy(np.concatenate(sentence).astype(np.int64))
    return Batch(states, owner, mean_by(states, owner, count), np.asarray(text), np.asarray(first))


@dataclass
class Weights:
    """Rows of the head that learn: token and context weights (labels, width) and biases (labels,)."""

    token: Tensor
    token_bias: Tensor
    context: Tensor
    context_bias: Tensor

    @classmethod
    def of(cls, head: ConductHead, columns: Sequence[int]) -> "Weights":
        """Those of the head, as copies."""
        return cls(*(torch.from_numpy(getattr(head, name)[list(columns)].astype(np.float32).copy()) for name in HEAD))

    def logits(self, batch: Batch) -> Tensor:
        """(n_sentences, labels)."""
        tokens = batch.states @ self.token.T + self.token_bias
        peaks = peak_by(tokens, batch.sentence, len(batch.text))
        return peaks + batch.means @ self.context.T + self.context_bias

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """In the order of HEAD."""
        return self.token, self.token_bias, self.context, self.context_bias


def tuned(
    head: ConductHead, columns: Sequence[int], user: Batch, claims: Sequence[Claim], replay: Batch, pull: float
) -> ConductHead:
    """The head after learning the claims. columns: of the labels that learn; all claims are about these."""
    torch.manual_seed(7)
    anchor, weights = Weights.of(head, columns), Weights.of(head, columns)
    with torch.no_grad():
        soft, own = (torch.sigmoid(anchor.logits(b)) for b in (replay, user))
    cells, open_cells = Cells.of(user, claims, columns), _open(user, claims, columns)
    size = float((user.states**2).mean())
    for part in weights.parts:
        part.requires_grad_(True)
    optimizer = torch.optim.Adam(weights.parts, lr=RATE)
    for step in range(STEPS):
        logits = weights.logits(user)
        loss = _claim_loss(logits, cells)
        loss = loss + REPLAY * F.binary_cross_entropy_with_logits(weights.logits(replay), soft)
        loss = loss + REPLAY * F.binary_cross_entropy_with_logits(logits[open_cells], own[open_cells])
        away = sum(((a - b) ** 2).sum() for a, b in zip(weights.parts, anchor.parts, strict=True))
        loss = loss + pull * size / (2 * len(columns)) * away
        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / STEPS)
        optimizer.step()
    return _with_rows(head, columns, weights)


@dataclass(frozen=True)
class Cells:
    """Where claims are among sentence logits: flat indices, the claim of each; and what is told, (n_claims,)."""

    index: Tensor
    claim: Tensor
    told: Tensor

    @classmethod
    def of(cls, user: Batch, claims: Sequence[Claim], columns: Sequence[int]) -> "Cells":
        """Of the claims about a batch."""
        rows = [_rows(user, c) * len(columns) + columns.index(c.column) for c in claims]
        owner = np.repeat(np.arange(len(claims)), [len(r) for r in rows])
        told = torch.tensor([float(c.told) for c in claims])
        return cls(torch.from_numpy(np.concatenate(rows)), torch.from_numpy(owner), told)


def _claim_loss(logits: Tensor, cells: Cells) -> Tensor:
    """Mean over the claims; each is judged by the strongest sentence that it may be about."""
    found = logits.flatten()[cells.index]
    best = torch.full_like(cells.told, -torch.inf).scatter_reduce(0, cells.claim, found, "amax")
    return F.binary_cross_entropy_with_logits(best, cells.told)


def _rows(batch: Batch, claim: Claim) -> NDArray[np.int64]:
    if claim.told and claim.sentences:
        return np.asarray(claim.sentences, dtype=np.int64) + int(batch.first[claim.text])
    return np.flatnonzero(batch.text == claim.text)


def _open(user: Batch, claims: Sequence[Claim], columns: Sequence[int]) -> Tensor:
    """Sentences and labels of which no claim says anything: (n_sentences, labels)."""
    left = np.ones((len(user.text), len(columns)), dtype=bool)
    for c in claims:
        left[user.text == c.text, columns.index(c.column)] = False
    return torch.from_numpy(left)


def _with_rows(head: ConductHead, columns: Sequence[int], weights: Weights) -> ConductHead:
    arrays: dict[str, Any] = {}
    for name, part in zip(HEAD, weights.parts, strict=True):
        arrays[name] = getattr(head, name).copy()
        arrays[name][list(columns)] = part.detach().numpy()
    return replace(head, **arrays)


def probabilities(head: ConductHead, batch: Batch, claims: Sequence[Claim]) -> Floats:
    """How likely each claim's label is told somewhere in its text: (n_claims,)."""
    columns = sorted({c.column for c in claims})
    with torch.no_grad():
        found = torch.sigmoid(Weights.of(head, columns).logits(batch)).numpy()
    return np.asarray([found[batch.text == c.text, columns.index(c.column)].max() for c in claims], dtype=np.float64)


def held_out(
    head: ConductHead,
    columns: Sequence[int],
    user: Read,
    claims: Sequence[Claim],
    replay: Batch,
    folds: NDArray[np.int64],
    pull: float,
) -> Floats:
    """As probabilities, each by a head that has learnt the texts of the other folds. folds: (n_texts,)."""
    result = np.zeros(len(claims))
    for fold in np.unique(folds):
        known, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        taught = tuned(head, columns, batch_of(user.part(known)), _moved(claims, known), replay, pull)
        rows = [i for i, c in enumerate(claims) if folds[c.text] == fold]
        if rows:
            result[rows] = probabilities(taught, batch_of(user.part(held)), _moved([claims[i] for i in rows], held))
    return result


def _moved(claims: Sequence[Claim], texts: NDArray[np.int64]) -> list[Claim]:
    """Claims about some texts, with the indices that those have among themselves."""
    place = {int(t): i for i, t in enumerate(texts)}
    return [replace(c, text=place[c.text]) for c in claims if c.text in place]


def thresholds(head: ConductHead, claims: Sequence[Claim], p: Floats) -> NDArray[np.float32]:
    """Thresholds of the head, half way to the best F1 on held-out probabilities where a label has enough claims."""
    result = head.thresholds.copy()
    told = np.asarray([c.told for c in claims])
    for column in {c.column for c in claims}:
        rows = np.asarray([c.column == column for c in claims])
        if min(told[rows].sum(), (~told[rows]).sum()) >= ENOUGH:
            best = max(GRID, key=lambda t: f1(told[rows], p[rows] >= t))
            result[column] = (best + result[column]) / 2
    return result


def held_out_thresholds(
    head: ConductHead, claims: Sequence[Claim], p: Floats, folds: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The threshold of each claim's label, as claims of the other folds would set it: (n_claims,)."""
    result = np.zeros(len(claims), dtype=np.float32)
    for fold in np.unique(folds):
        others = np.flatnonzero(folds != fold)
        found = thresholds(head, [claims[i] for i in others.tolist()], p[others])
        for i in np.flatnonzero(folds == fold).tolist():
            result[i] = found[claims[i].column]
    return result


def f1(told: Bools, found: Bools) -> float:
    """F1 of what was found against what is told, over all claims; 0 where neither is there."""
    total = int(told.sum() + found.sum())
    return 2 * float((told & found).sum()) / total if total else 0.0


@dataclass(frozen=True)
class Taught:
    """The head that has learnt all claims, what held-out ones say of it, and the figures."""

    head: ConductHead
    checks: tuple[Check, ...]
    report: dict[str, Any]


def taught(
    head: ConductHead,
    user: Read,
    claims: Sequence[Claim],
    replay: Read,
    folds: NDArray[np.int64],
    tell: Callable[[str, float], None] = lambda words, share: None,
) -> Taught:
    """Tunes the head with the pull that serves held-out claims best. folds: of each text of user, (n_texts,)."""
    columns = sorted({c.column for c in claims})
    told = np.asarray([c.told for c in claims])
    beside, whole = batch_of(replay), batch_of(user)
    before = probabilities(head, whole, claims)
    found: dict[float, Floats] = {}
    for i, pull in enumerate(PULLS):
        tell("fitting the cue head", 0.2 + 0.4 * i / len(PULLS))
        found[pull] = held_out(head, columns, user, claims, beside, folds, pull)
    pull = min(PULLS, key=lambda p: float(log_losses(found[p], told).mean()))
    after = found[pull]
    tell("fitting the cue head", 0.65)
    changed = tuned(head, columns, whole, claims, beside, pull)
    changed = replace(changed, thresholds=thresholds(head, claims, after))
    limits = held_out_thresholds(head, claims, after, folds[[c.text for c in claims]])
    gain, figures = better(claims, before >= head.thresholds[[c.column for c in claims]], after >= limits)
    labels = {
        SENTENCE_LABELS[c]: {"told": int(told[rows].sum()), "not_told": int((~told[rows]).sum())}
        for c in columns
        if (rows := np.asarray([claim.column == c for claim in claims])).any()
    }
    report = {
        **figures,
        "pull": pull,
        "log_loss": [round(float(log_losses(p, told).mean()), 4) for p in (before, after)],
        "labels": labels,
        "thresholds": {
            SENTENCE_LABELS[c]: [round(float(h.thresholds[c]), 4) for h in (head, changed)] for c in columns
        },
    }
    return Taught(changed, (trusted(claims, before, after), gain), report)


def log_losses(p: Floats, told: Bools) -> Floats:
    """(n_claims,)."""
    result: Floats = -np.log(np.clip(np.where(told, p, 1 - p), 1e-12, None))
    return result


# ---------------------------------------------------------------------------------------------------------- the checks


def enough(claims: Sequence[Claim]) -> Check:
    """Whether the claims can teach, and be judged by, at all."""
    told = sum(c.told for c in claims)
    return Check(
        "enough examples",
        len(claims) >= FEWEST and min(told, len(claims) - told) >= FEWEST_OF_A_LABEL,
        f"{told} claims that a cue is told, {len(claims) - told} that it is not (at least {FEWEST} are needed, "
        f"{FEWEST_OF_A_LABEL} of each: with one kind alone, a model that always says so would look perfect)",
        challenger=float(len(claims)),
        limit=FEWEST,
    )


def better(claims: Sequence[Claim], before: Bools, after: Bools) -> tuple[Check, dict[str, Any]]:
    """Whether F1 on claims that it has not learnt rises beyond its interval; texts are resampled. And the figures."""
    told, text = np.asarray([c.told for c in claims]), np.asarray([c.text for c in claims])
    rng = np.random.default_rng(7)
    texts, index = np.unique(text, return_inverse=True)
    gains = []
    for counts in rng.multinomial(len(texts), np.full(len(texts), 1 / len(texts)), RESAMPLES):
        rows = np.repeat(np.arange(len(told)), counts[index])
        gains.append(f1(told[rows], after[rows]) - f1(told[rows], before[rows]))
    low, high = np.percentile(gains, [2.5, 97.5])
    a, b = f1(told, before), f1(told, after)
    words = f"F1 of cues on your examples {a:.3f} → {b:.3f}, gain {b - a:+.3f} [{low:+.3f}, {high:+.3f}]"
    check = Check("better on your examples", bool(low > 0), f"{words} (the interval must lie above 0)", a, b, a)
    return check, {
        "n": len(told),
        "f1": [round(a, 4), round(b, 4)],
        "gain": [round(float(v), 4) for v in (b - a, low, high)],
    }


def trusted(claims: Sequence[Claim], before: Floats, after: Floats) -> Check:
    """Whether few claims are surely contradicted by the champion and not believed by the challenger either."""
    told = np.asarray([c.told for c in claims])
    surely = np.where(told, before < 1 - SURE, before > SURE)
    return clean(surely & np.where(told, after < 0.5, after > 0.5))


def agreement(old: Scorer, new: Scorer, texts: Sequence[str]) -> tuple[float, int]:
    """F1 of the cues that `new` finds against those of `old`, by text, and how many both find together.

    The F1 is 1 where neither finds any.
    """
    hits = found = 0
    for a, b in zip(old.conduct(texts), new.conduct(texts), strict=True):
        x, y = ({(c.cue, c.value, c.state) for c in reading.cues} for reading in (a, b))
        hits += 2 * len(x & y)
        found += len(x) + len(y)
    return (hits / found if found else 1.0), found
