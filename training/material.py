"""What retraining works with: the user's examples in folds, texts of our own to replay, the frozen acceptance set."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from model.bundle import Bundle
from model.codebook import SENTIMENT
from model.drift import NEVER
from model.encoder import encode_texts, means_of
from model.reading.table import read_table
from model.segment import TokenizedText, tokenize
from model.sentiment import SentimentHead, softmax
from training import tune
from training.labels import Examples, Labelled, read_examples, same_text
from training.run import Run

FOLDS: Final = 4
REPLAYED: Final = 3000
WATCHED: Final = 800
"""Texts of our own that are replayed, and those that are left out to compare champion and challenger on."""
EXCHANGED: Final = 0.5
"""Share of the tokens of a replayed text that its varied copy has others for."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Texts:
    """Texts as they are learnt from: tokens, mean vectors of the champion's graph (n, width), probabilities (n, 3)."""

    raw: Sequence[str]
    tokens: Sequence[TokenizedText]
    vectors: tune.Vectors
    targets: Floats

    @property
    def labels(self) -> Ints:
        """(n,), indices into SENTIMENT."""
        result: Ints = self.targets.argmax(axis=1)
        return result

    def part(self, rows: Sequence[int] | Ints) -> "Texts":
        """Some of them."""
        return Texts(
            [self.raw[i] for i in rows], [self.tokens[i] for i in rows], self.vectors[rows], self.targets[rows]
        )


@dataclass(frozen=True)
class Material:
    """What a run works with. user: the examples, each in one of FOLDS folds (n,). replay: learnt beside them.
    watch: replayed texts that are not learnt. acceptance: the frozen set.
    """

    bundle: Bundle
    head: SentimentHead
    user: Texts
    folds: Ints
    replay: Texts
    watch: Texts
    acceptance: Texts


def usable_examples(examples: Examples, bundle: Bundle, folder: Path) -> tuple[list[Labelled], dict[str, int]]:
    """Examples that the head can learn from, and how many others there are, by reason."""
    frozen = {same_text(r["text"]) for r in own_texts(folder, "acceptance")}
    reasons: dict[str, int] = {}
    usable = []
    tokenized = tokenize([e.text for e in examples.used], bundle.tokenizer, bundle.max_tokens)
    for e, tokens in zip(examples.used, tokenized, strict=True):
        reason = (
            "towards a target" if e.target
            else "without words" if not len(tokens.ids)
            else "of the acceptance set" if same_text(e.text) in frozen
            else None
        )  # fmt: skip
        if reason:
            reasons[reason] = reasons.get(reason, 0) + 1
        else:
            usable.append(e)
    return usable, reasons


def own_texts(folder: Path, name: str) -> list[dict[str, Any]]:
    """Rows of a file of texts that ship with the package."""
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def labelled_texts(path: Path) -> tuple[list[str], Ints]:
    """Texts and labels of a file to check on."""
    found = read_examples([path], "sentiment").used
    return [e.text for e in found], np.asarray([SENTIMENT.index(e.label) for e in found])


def folds(texts: Sequence[str], labels: Sequence[str], seed: int) -> Ints:
    """Fold of each text (n,): the labels spread evenly, and the same whatever the order of the examples."""
    order = sorted(range(len(texts)), key=lambda i: (labels[i], text_hash(f"{seed} {same_text(texts[i])}")))
    result = np.zeros(len(texts), dtype=np.int64)
    result[order] = np.arange(len(texts)) % FOLDS
    return result


def text_hash(text: str) -> str:
    """What draws texts: the same for a text wherever it comes from."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def varied(texts: Sequence[str], tokenizer: Tokenizer, rarity: NDArray[np.uint8] | None, seed: int) -> list[str]:
    """Copies of texts with half of the tokens exchanged for others, drawn as often as the training texts have them.

    They say nothing, but what the champion makes of them holds its skills on words that our own texts don't have:
    a model can be copied through nonsense (Krishna et al. 2020, Thieves on Sesame Street). rarity: as in
    model.drift.Reference; None draws tokens as often as these texts have them. Copies without tokens are left out.
    """
    encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    share = np.zeros(tokenizer.get_vocab_size())
    if rarity is not None:
        share = np.where(rarity < NEVER, 2.0 ** (-rarity / 8.0), 0.0)
    else:
        np.add.at(share, np.concatenate([np.asarray(e.ids, dtype=np.int64) for e in encodings]), 1.0)
    below = np.cumsum(share / share.sum())
    rng = np.random.default_rng(seed)
    copies = []
    for encoding in encodings:
        drawn = np.minimum(np.searchsorted(below, rng.random(len(encoding.ids))), len(below) - 1)
        exchanged = rng.random(len(drawn)) < EXCHANGED
        copies.append(tokenizer.decode(np.where(exchanged, drawn, encoding.ids).tolist()))
    return [copy for copy in copies if copy.strip()]


def material_of(
    run: Run,
    bundle: Bundle,
    rarity: NDArray[np.uint8] | None,
    usable: Sequence[Labelled],
    replay: Path | None,
    folder: Path,
    seed: int,
    cache: Path,
) -> Material:
    """Reads all of it with the champion.

    rarity: of the champion's training texts, see varied. replay: the user's texts; folder: those that ship; cache: of
    vectors.
    """
    # In the order of a hash, so that the same examples from other files are the same run.
    usable = sorted(usable, key=lambda e: text_hash(same_text(e.text)))
    head = tune.scaled(bundle.sentiment)
    labels = np.asarray([SENTIMENT.index(e.label) for e in usable])
    own = {same_text(e.text) for e in usable}
    given = list(dict.fromkeys(t for t in read_table(replay)["text"].to_pylist() if t and t.strip())) if replay else []
    given = sorted(given, key=text_hash)[:REPLAYED]
    rows = sorted(
        (r for r in own_texts(folder, "sentiment") if same_text(r["text"]) not in own),
        key=lambda r: text_hash(r["text"]),
    )
    rows = rows[: REPLAYED + WATCHED - len(given) // 2]
    texts = [*(r["text"] for r in rows), *given]
    # Not of the run's seed: the vectors are remembered from run to run.
    texts += varied(texts, bundle.tokenizer, rarity, 7)
    run.tell("encoding the replayed texts", 0.04)
    replayed = _read(bundle, head, texts, cache)
    watched = np.asarray([int(text_hash(f"watch {t}")[:8], 16) % (REPLAYED + WATCHED) < WATCHED for t in texts])
    run.tell("encoding the acceptance set", 0.1)
    frozen = own_texts(folder, "acceptance")
    acceptance = _read(bundle, head, [r["text"] for r in frozen], cache)
    run.tell("encoding your examples", 0.11)
    user = _read(bundle, head, [e.text for e in usable], cache)
    return Material(
        bundle,
        head,
        replace(user, targets=tune.one_hot(labels)),
        folds([e.text for e in usable], [e.label for e in usable], seed),
        replayed.part(np.flatnonzero(~watched)),
        replayed.part(np.flatnonzero(watched)),
        replace(acceptance, targets=tune.one_hot(np.asarray([SENTIMENT.index(r["label"]) for r in frozen]))),
    )


def _read(bundle: Bundle, head: SentimentHead, texts: Sequence[str], cache: Path) -> Texts:
    """Texts with their vectors, which are kept in the cache, and the champion's probabilities as targets.

    Texts without tokens have a vector of zeros.
    """
    tokens = tokenize(list(texts), bundle.tokenizer, bundle.max_tokens)
    path = cache / f"{bundle.info.digest[:16]}-{text_hash(chr(0).join(texts))[:16]}.safetensors"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        save_file({"vectors": means_of(encode_texts(tokens, bundle.encoder), len(head.weight[0]))}, fresh)
        fresh.replace(path)
    found = load_file(path)["vectors"]
    return Texts(texts, tokens, found, softmax(head.logits(found)).astype(np.float64))
