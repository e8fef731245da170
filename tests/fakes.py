"""A scorer without trained weights: real heads over an encoder that knows a dozen words by heart."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer

from model.bundle import SERVED, Bundle, file_digest
from model.codebook import DOCUMENT_FIELDS, SENTENCE_LABELS
from model.conduct import ConductHead
from model.encoder import Encoder, States
from model.loyalty import CONDUCT_FEATURES, FULL_FEATURES, Fit, LoyaltyHead
from model.scorer import Scorer
from model.sentiment import SentimentHead
from model.types import BundleInfo

# Each word has a direction of its own; the heads below give the directions their meaning.
WORDS = ("great", "awful", "refund", "sorry", "ignored", "should", "never", "bought", "again", "years")
WIDTH = len(WORDS) + 1
SEPARATOR = len(WORDS) + 1
LABELS = {
    "refund": "redress:refund",
    "sorry": "apology:given",
    "ignored": "contact:none",
    "should": "hypothetical:apology",
    "never": "stated:leave",
    "again": "stated:stay",
    "years": "tenure",
}


class FakeEncoder:
    """States that are one at the word's own direction; the last direction is one for every token."""

    def encode(self, windows: Sequence[NDArray[np.int64]]) -> list[States]:
        """See model.encoder.Encoder.encode."""
        table = np.zeros((len(WORDS) + 1, WIDTH), dtype=np.float32)
        table[1:, :-1] = np.eye(len(WORDS))
        table[:, -1] = 1
        # The separator has a state of its own kind: none of the words' directions.
        return [table[np.where(w == SEPARATOR, 0, w)] for w in windows]


class BlendingEncoder(FakeEncoder):
    """As FakeEncoder, but every token has seen the whole window: its state is the mean over the window."""

    def encode(self, windows: Sequence[NDArray[np.int64]]) -> list[States]:
        """See model.encoder.Encoder.encode."""
        return [np.repeat(s.mean(axis=0, keepdims=True), len(s), axis=0) for s in super().encode(windows)]


def fake_tokenizer() -> Tokenizer:
    """Words of WORDS are tokens 1 to 10, the separator is token 11, every other word is token 0."""
    vocabulary = {"[UNK]": 0, **{w: i for i, w in enumerate(WORDS, start=1)}, "[SEP]": SEPARATOR}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return tokenizer


def _column(word: str) -> int:
    return WORDS.index(word)


def fake_sentiment_head() -> SentimentHead:
    """ "great" is positive, "awful" and "ignored" are negative, everything else neutral."""
    weight = np.zeros((3, WIDTH), dtype=np.float32)
    weight[2, _column("great")] = weight[0, _column("awful")] = weight[0, _column("ignored")] = 40
    return SentimentHead(weight, np.asarray([0, 1, 0], dtype=np.float32))


def fake_conduct_head() -> ConductHead:
    """Reports the label of each word in LABELS; the document is by a customer of a failed service."""
    n, fields = len(SENTENCE_LABELS), sum(map(len, DOCUMENT_FIELDS.values()))
    token = np.zeros((n, WIDTH), dtype=np.float32)
    for word, label in LABELS.items():
        token[SENTENCE_LABELS.index(label), _column(word)] = 12
    bias = np.full(n, -6, dtype=np.float32)
    document_bias = np.zeros(fields, dtype=np.float32)
    document_bias[0] = 3
    return ConductHead(
        token,
        bias,
        np.zeros((n, WIDTH), dtype=np.float32),
        np.zeros(n, dtype=np.float32),
        np.zeros((fields, WIDTH), dtype=np.float32),
        document_bias,
        np.full(n, 0.5, dtype=np.float32),
    )


def fake_fit(features: tuple[str, ...]) -> Fit:
    """A refund and good words help, being ignored hurts; three bootstrap rows around that."""
    weights = np.zeros((4, len(features) + 2))
    weights[:, features.index("redress:refund")] = (2.0, 1.8, 2.2, 2.0)
    weights[:, features.index("contact:none")] = (-2.0, -1.7, -2.3, -2.1)
    if "valence" in features:
        weights[:, features.index("valence")] = (1.5, 1.4, 1.6, 1.5)
    weights[:, -2:] = (-1.0, 1.0)
    return Fit(features, weights, weights.copy(), np.tile((-2.0, 0.6, 0.6), (4, 1)))


def fake_bundle(encoder: Encoder | None = None) -> Bundle:
    """A bundle around the fake encoder or the one given."""
    loyalty = LoyaltyHead(fake_fit(FULL_FEATURES), fake_fit(CONDUCT_FEATURES))
    return Bundle(
        BundleInfo("fake", "0" * 64),
        fake_tokenizer(),
        126,
        encoder or FakeEncoder(),
        fake_sentiment_head(),
        fake_conduct_head(),
        loyalty,
        fake_sentiment_head(),
    )


def fake_scorer() -> Scorer:
    """A real Scorer over the fake bundle."""
    return Scorer(fake_bundle())


def bundle_files(folder: Path, word: str, figures: dict[str, Any] | None = None) -> Path:
    """A folder with right digests whose files hold a word each: enough for whoever keeps bundles and opens none."""
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, Any] = {name: {"word": word} for name in SERVED} | {"figures.json": figures or {}}
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    files = {name: file_digest(folder / name) for name in contents}
    (folder / "bundle.json").write_text(json.dumps({"version": word, "created": "2026-01-31", "files": files}))
    return folder
