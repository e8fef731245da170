"""Moves a trained model a little: its sentiment head, then the upper half of its encoder, then back along the way.

Nothing here knows where examples come from or what is done with the result.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn import functional as F

from model.encoder import batches, pad
from model.segment import TokenizedText
from model.sentiment import SentimentHead, softmax
from training import data, finetune
from training.network import Network, quick

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
Special = tuple[int, int, int]

PULLS = (30.0, 10.0, 3.0)
"""How strongly a head is pulled to the champion's, relative to the size of the features; the strongest first."""
MIXTURES = (1.0, 0.7, 0.5, 0.3)
"""Shares of the challenger in the mean of its weights and the champion's."""
CHECKPOINT_SECONDS = 30


@dataclass(frozen=True)
class Recipe:
    """How the encoder is tuned.

    layers: upper ones that learn; the rest and the embeddings stay, so that a text goes through them once. rate: of the
    top layer; decay: of each layer relative to the one above. replay: replayed texts for each of the user's. keep:
    weight of the distance between token states and the champion's on replayed texts, which holds the other heads'
    skills. tokens: of a batch, with padding. most_tokens: of a text that are read.
    """

    epochs: int = 3
    layers: int = 6
    rate: float = 5e-5
    head_rate: float = 2e-4
    decay: float = 0.9
    replay: float = 1.5
    keep: float = 5.0
    smoothing: float = 0.05
    tokens: int = 700
    most_tokens: int = 96
    seed: int = 7


class OutOfTimeError(Exception):
    """The rest of a tuning run would take longer than there is time for."""


def scaled(head: SentimentHead) -> SentimentHead:
    """The same head with its temperature inside the weights."""
    return SentimentHead(head.weight / head.temperature, head.bias / head.temperature, 1.0)


def one_hot(labels: NDArray[np.int64]) -> Floats:
    """(n,) indices into SENTIMENT -> (n, 3)."""
    result: Floats = np.eye(3)[labels]
    return result


def fit_head(
    user: Vectors, targets: Floats, replay: Vectors, soft: Floats, anchor: SentimentHead, pull: float
) -> SentimentHead:
    """The head that fits the user's targets and the replayed ones equally well, pulled towards anchor; convex.

    user (n, width), targets (n, 3), replay (m, width), soft (m, 3): rows of probabilities. pull: see PULLS.
    """
    x = np.concatenate([user, replay]).astype(np.float64)
    t = np.concatenate([targets, soft])
    weight = np.concatenate([np.full(len(user), 1 / len(user)), np.full(len(replay), 1 / max(len(replay), 1))])
    start = np.concatenate([anchor.weight.astype(np.float64), anchor.bias[:, None]], axis=1)
    features = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    # The strength has to follow the size of the features, else it would mean something else for every encoder.
    strength = pull * float((x**2).mean())

    def loss(flat: Floats) -> tuple[float, Floats]:
        w = flat.reshape(start.shape)
        logits = features @ w.T
        top = logits.max(axis=1, keepdims=True)
        logs = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
        value = -(weight[:, None] * t * logs).sum() + strength / 2 * ((w - start)[:, :-1] ** 2).sum()
        gradient = (weight[:, None] * (np.exp(logs) - t)).T @ features
        gradient[:, :-1] += strength * (w - start)[:, :-1]
        return float(value), gradient.ravel()

    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200}).x.reshape(start.shape)
    return SentimentHead(found[:, :-1].astype(np.float32), found[:, -1].astype(np.float32), 1.0)


def mixed(champion: Network, challenger: Network, share: float) -> Network:
    """The network at `share` of the way from champion to challenger: Wortsman et al. 2022 (Robust fine-tuning)."""
    network = copy.deepcopy(champion)
    with torch.no_grad():
        for a, b in zip(network.parameters(), challenger.parameters(), strict=True):
            a.copy_((1 - share) * a + share * b)
    return network.eval()


def with_weights(network: Network, arrays: Mapping[str, NDArray[np.float32]]) -> Network:
    """A copy with some of its weights replaced; arrays without a parameter of their name are passed over."""
    changed = copy.deepcopy(network)
    with torch.no_grad():
        for name, parameter in changed.named_parameters():
            if name in arrays:
                parameter.copy_(torch.from_numpy(arrays[name]))
    return changed


def log_loss(logits: NDArray[np.float32], targets: Floats) -> float:
    """Mean cross entropy. logits, targets: (n, 3)."""
    return float(-(targets * np.log(softmax(logits.astype(np.float64)) + 1e-12)).sum(axis=1).mean())


class Halves:
    """A network in two halves: the lower one stays as it is, so that each text goes through it once, however often the
    upper one is learnt. Texts are read up to `tokens` tokens; one that holds none can't be read.
    """

    def __init__(self, champion: Network, special: Special, layers: int, tokens: int) -> None:
        self.champion, self.layers = champion, layers
        self._special, self._tokens = special, tokens
        self._lower: dict[bytes, Tensor] = {}
        self._final: dict[bytes, Tensor] = {}

    def lower(self, texts: Sequence[TokenizedText]) -> tuple[Tensor, Tensor]:
        """States between the halves, (n_texts, n_tokens, width), and which are no padding, (n_texts, n_tokens)."""
        ids = [self._cut(t) for t in texts]
        self._fill(ids)
        found = [self._lower[i.tobytes()] for i in ids]
        mask = torch.zeros(len(found), max(map(len, found)), dtype=torch.bool)
        for row, states in enumerate(found):
            mask[row, : len(states)] = True
        return nn.utils.rnn.pad_sequence(found, batch_first=True).float(), mask

    def upper(self, network: Network, hidden: Tensor, mask: Tensor) -> Tensor:
        """Token states of a network that shares the lower half, in float32."""
        with quick():
            for layer in network.encoder.encoder.layer[-self.layers :]:
                hidden = layer(hidden, mask[:, None, None, :])
        return hidden.float()

    def final(self, texts: Sequence[TokenizedText], hidden: Tensor, mask: Tensor) -> Tensor:
        """Token states of the champion for the result of `lower`, remembered."""
        keys = [self._cut(t).tobytes() for t in texts]
        if any(k not in self._final for k in keys):
            with torch.no_grad():
                states = self.upper(self.champion, hidden, mask)
            for key, one, own in zip(keys, states, mask, strict=True):
                self._final[key] = one[own].bfloat16()
        return nn.utils.rnn.pad_sequence([self._final[k] for k in keys], batch_first=True).float()

    @torch.no_grad()
    def vectors(self, network: Network, texts: Sequence[TokenizedText]) -> Vectors:
        """Mean token states of texts under a network that shares the lower half, (n, width)."""
        result = np.zeros((len(texts), network.encoder.config.hidden_size), dtype=np.float32)
        for batch in batches([len(self._cut(t)) for t in texts], 2048, 64, math.inf):
            hidden, mask = self.lower([texts[i] for i in batch])
            result[batch] = means(self.upper(network, hidden, mask), words(mask)).numpy()
        return result

    def _cut(self, text: TokenizedText) -> NDArray[np.int64]:
        a, b = text.windows[0]
        ids: NDArray[np.int64] = text.ids[a:b][: self._tokens]
        return ids

    @torch.no_grad()
    def _fill(self, ids: Sequence[NDArray[np.int64]]) -> None:
        new = list({i.tobytes(): i for i in ids if i.tobytes() not in self._lower}.values())
        network = self.champion
        for batch in batches([len(i) for i in new], 2048, 64, math.inf):
            rows, padded = (torch.from_numpy(x) for x in pad([new[i] for i in batch], self._special))
            mask = padded.bool()
            with quick():
                hidden = network.encoder.embeddings(input_ids=rows)
                for layer in network.encoder.encoder.layer[: -self.layers]:
                    hidden = layer(hidden, mask[:, None, None, :])
            for i, states, own in zip(batch, hidden, mask, strict=True):
                self._lower[new[i].tobytes()] = states[own].bfloat16()


def words(mask: Tensor) -> Tensor:
    """Which tokens are neither padding nor the special ones at both ends. mask, result: (n_texts, n_tokens)."""
    inner = mask.clone()
    inner[:, 0] = False
    inner[torch.arange(len(mask)), mask.sum(dim=1) - 1] = False
    return inner


def means(states: Tensor, inner: Tensor) -> Tensor:
    """Mean states over the words of each text: (n_texts, n_tokens, width) -> (n_texts, width)."""
    share = inner.float() / inner.sum(dim=1, keepdim=True).clamp(min=1)
    return (states * share.unsqueeze(-1)).sum(dim=1)


@dataclass(frozen=True)
class Lesson:
    """What the encoder learns from: texts and rows of probabilities (n, 3); replayed ones for the old skills."""

    texts: Sequence[TokenizedText]
    targets: Floats
    replay: Sequence[TokenizedText]
    soft: Floats


def tune(
    halves: Halves,
    head: SentimentHead,
    lesson: Lesson,
    recipe: Recipe,
    *,
    checkpoint: Path | None = None,
    seconds: float = float("inf"),
    progress: Callable[[int, int], None] = lambda done, steps: None,
) -> Network:
    """A copy of the champion whose upper layers and head, which starts as `head`, have learnt the lesson.

    checkpoint: folder to go on from after a kill. seconds: for the whole run; OutOfTimeError is raised as soon as
    it can be seen that they will not do.
    """
    torch.manual_seed(recipe.seed)
    student = copy.deepcopy(halves.champion)
    set_head(student, head)
    _freeze_below(student, halves.layers)
    options = finetune.Options(
        base="", sentiment=(), conduct=(), rate=recipe.rate, head_rate=recipe.head_rate, decay=recipe.decay
    )
    optimizer = torch.optim.AdamW(finetune.parameter_groups(student, options), fused=True)
    rates = [group["lr"] for group in optimizer.param_groups]
    steps = list(_plan(lesson, recipe))
    done = finetune.load_checkpoint(checkpoint, student, optimizer) if checkpoint else 0
    student.train()
    started = saved = time.monotonic()
    for number, (user, replay) in enumerate(steps[done:], start=done + 1):
        torch.manual_seed(recipe.seed + number)
        loss = _user_loss(student, halves, lesson, user, recipe)
        if replay:
            loss = loss + _replay_loss(student, halves, lesson, replay, recipe)
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * finetune.rate_factor(number, len(steps))
        optimizer.step()
        optimizer.zero_grad()
        progress(number, len(steps))
        now = time.monotonic()
        # The first step warms up; the third is the earliest that says how long the others will take.
        if number - done >= 3 and (now - started) / (number - done) * (len(steps) - number) > seconds - (now - started):
            raise OutOfTimeError
        if checkpoint and now - saved > CHECKPOINT_SECONDS:
            finetune.save_checkpoint(checkpoint, student, optimizer, number)
            saved = now
    return student.eval()


def head_of(network: Network) -> SentimentHead:
    """The sentiment head of a network."""
    weight, bias = (p.detach().float().numpy().copy() for p in (network.sentiment.weight, network.sentiment.bias))
    return SentimentHead(weight, bias, 1.0)


def set_head(network: Network, head: SentimentHead) -> None:
    """Puts a head in the place of the network's own, with its temperature inside the weights."""
    plain = scaled(head)
    network.sentiment.weight.data = torch.from_numpy(plain.weight.astype(np.float32))
    network.sentiment.bias.data = torch.from_numpy(plain.bias.astype(np.float32))


def _freeze_below(network: Network, layers: int) -> None:
    """Lets the upper `layers` and the sentiment head learn: cheaper, and farther from forgetting, than all of them."""
    first = network.encoder.config.num_hidden_layers - layers
    for name, parameter in network.named_parameters():
        upper = ".layer." in name and int(name.split(".layer.")[1].split(".")[0]) >= first
        parameter.requires_grad = upper or name.startswith("sentiment.")


def _plan(lesson: Lesson, recipe: Recipe) -> Iterator[tuple[list[int], list[int]]]:
    """Batches of the user's texts, each with replayed ones beside it; the same for the same seed."""
    lengths = [min(t.windows[0][1], recipe.most_tokens) for t in lesson.texts]
    rng = np.random.default_rng(recipe.seed)
    order = list(rng.permutation(len(lesson.replay)))
    at = 0
    for epoch in range(recipe.epochs):
        for batch in data.by_length(lengths, recipe.tokens, recipe.seed + epoch):
            count = min(round(len(batch) * recipe.replay), len(order))
            beside = [int(order[(at + i) % len(order)]) for i in range(count)]
            at += count
            yield batch, beside


def _logits(network: Network, states: Tensor, inner: Tensor) -> Tensor:
    result: Tensor = network.sentiment(network.dropout(means(states, inner)))
    return result


def _user_loss(network: Network, halves: Halves, lesson: Lesson, rows: list[int], recipe: Recipe) -> Tensor:
    hidden, mask = halves.lower([lesson.texts[i] for i in rows])
    targets = torch.from_numpy(lesson.targets[rows]).float() * (1 - recipe.smoothing) + recipe.smoothing / 3
    return F.cross_entropy(_logits(network, halves.upper(network, hidden, mask), words(mask)), targets)


def _replay_loss(network: Network, halves: Halves, lesson: Lesson, rows: list[int], recipe: Recipe) -> Tensor:
    """Cross entropy with the champion's soft labels, and how far the token states have moved from the champion's."""
    texts = [lesson.replay[i] for i in rows]
    hidden, mask = halves.lower(texts)
    states, before, inner = halves.upper(network, hidden, mask), halves.final(texts, hidden, mask), words(mask)
    moved = ((states - before)[inner] ** 2).mean() / (before[inner] ** 2).mean()
    soft = torch.from_numpy(lesson.soft[rows]).float()
    # As much weight as their number beside the user's texts.
    return recipe.replay * (F.cross_entropy(_logits(network, states, inner), soft) + recipe.keep * moved)
