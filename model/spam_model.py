"""A linear model of advertising in comments: hashed pieces of words beside the signs of model.clean_spam.

It finds what no rule was written for, and names the signs and the words of the comment that spoke for it. Under videos
what it is nearly sure of is dropped. On other pages it orders comments well, but at a threshold that spares customers
it finds next to nothing that the rules miss, so there it only flags: see benchmarks/spam.json. Trained by
training.spam; the file holds weights by hash, no words.
"""

import json
import math
import re
import string
import unicodedata
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from model.clean_spam import SIGNS, signs

MODEL_FILE: Final = Path(__file__).with_suffix(".safetensors")
BUCKETS: Final = 1 << 16
"""Hashes for words and as many again for pieces of words."""
MANNERS: Final = (
    "sum of the signs",
    "length",
    "capitals",
    "digits",
    "exclamation marks",
    "a question",
    "words said once",
    "several lines",
)
HAND: Final = (*SIGNS, *MANNERS)
"""Features made by hand, in the order of their weights."""

_NO_SIGN: Final = (False,) * len(SIGNS)
_SCALE: Final = 3.0
"""Length of the vector of hashed features, against about 1 for those made by hand."""
_CHARS: Final = 2000
_PIECES: Final = (3, 4, 5)
_KNOWN_CHARS: Final = 24
"""Longer words are hardly ever seen again and would fill the memory."""
_REASONS: Final = 3
_WORTH_NAMING: Final = 0.1
"""Contribution to the logit below which a sign or a word is no reason."""
_NO_REASON: Final = ("length", "sum of the signs", "words said once")
"""Manners that say nothing to a reader."""
_URL: Final = re.compile(r"https?://\S+|www\.\S+", re.IGNORECASE)
_LINK: Final = "url"
"""The word that stands for every address."""
_TOKEN: Final = re.compile(r"\w+|[!?.]+")
_DIGIT: Final = re.compile(r"\d")
_CAPITALS: Final = string.ascii_uppercase.encode()
_FIGURES: Final = string.digits.encode()


@dataclass(frozen=True, slots=True)
class Features:
    """A text as the model sees it.

    tokens: its words and runs of signs. sums: hash of each of them and then of each pair, in [0, BUCKETS). pieces:
    different hashes of their pieces in [BUCKETS, 2 * BUCKETS). hand: values of HAND, most in [0, 1], *Shape:*
    (len(HAND),).
    """

    tokens: list[str]
    sums: list[int]
    pieces: NDArray[np.int64]
    hand: NDArray[np.float32]

    @property
    def words(self) -> dict[int, str]:
        """Words and pairs by hash. Of two with one hash the last is named; which one, nobody can tell."""
        return dict(zip(self.sums, [*self.tokens, *map(" ".join, pairwise(self.tokens))], strict=True))

    def different(self) -> NDArray[np.int64]:
        """Hashes of words and pairs, each once, in the order of the text."""
        different = dict.fromkeys(self.sums)
        return np.fromiter(different, dtype=np.int64, count=len(different))

    def hashed(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Hashes and their values; words and pieces each have the same length as a vector in every text."""
        words = self.different()
        values = np.empty(len(words) + len(self.pieces), np.float32)
        values[: len(words)] = _value(len(words))
        values[len(words) :] = _value(len(self.pieces))
        return np.concatenate([words, self.pieces]), values


@dataclass(frozen=True, slots=True)
class SpamScore:
    """score in [0, 1], not a calibrated probability.

    reasons: what spoke for it most, strongest first; none where the score is too low to do anything.
    """

    score: float
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"reads like advertising ({self.score:.3f}): {', '.join(self.reasons)}"


@dataclass(frozen=True)
class SpamModel:
    """Weights of the features, the score from which a comment under a video is dropped and one on a page is flagged.

    hashed: *Shape:* (2 * BUCKETS,). hand, hand_page: *Shape:* (len(HAND),), the second added on pages other than
    videos, where advertisers write differently. bias, bias_page: added likewise.
    """

    hashed: NDArray[np.float32]
    hand: NDArray[np.float32]
    hand_page: NDArray[np.float32]
    bias: float
    bias_page: float
    drop_from: float
    flag_from: float

    def score(self, text: str, *, video: bool = False) -> SpamScore:
        """How much a comment reads like advertising. video: whether it stands under a video."""
        found = features(text)
        words, pieces = found.different(), found.pieces
        spoken = self.hashed[np.concatenate([words, pieces])]
        spoken[: len(words)] *= _value(len(words))
        spoken[len(words) :] *= _value(len(pieces))
        hand = found.hand * (self.hand if video else self._hand_of_pages)
        # The method `sum` does the same and takes twice as long.
        logit = float(np.add.reduce(spoken) + np.add.reduce(hand)) + self.bias + (0.0 if video else self.bias_page)
        score = 1 / (1 + math.exp(-max(min(logit, 50.0), -50.0)))
        return SpamScore(score, _reasons(found, spoken, hand) if score >= min(self.drop_from, self.flag_from) else ())

    @cached_property
    def _hand_of_pages(self) -> NDArray[np.float32]:
        return self.hand + self.hand_page

    def save(self, path: Path) -> None:
        """Writes the file that `load_spam_model` reads; weights in half precision."""
        tensors = {name: getattr(self, name).astype(np.float16) for name in ("hashed", "hand", "hand_page")}
        numbers = {
            "bias": self.bias,
            "bias_page": self.bias_page,
            "drop_from": self.drop_from,
            "flag_from": self.flag_from,
        }
        save_file(tensors, path, {"numbers": json.dumps(numbers), "hand": json.dumps(HAND)})


@lru_cache(maxsize=1)
def load_spam_model(path: Path = MODEL_FILE) -> SpamModel:
    """The trained model. ValueError where the file was made for other features."""
    with safe_open(path, framework="numpy") as file:
        notes = file.metadata()
        if tuple(json.loads(notes["hand"])) != HAND:
            raise ValueError(f"{path.name} was trained on other features; train it again with training.spam")
        tensors = {name: file.get_tensor(name).astype(np.float32) for name in ("hashed", "hand", "hand_page")}
    return SpamModel(**tensors, **json.loads(notes["numbers"]))


def features(text: str) -> Features:
    """Features of a text; characters after the first 2,000 are left out."""
    found = dict(signs(text))
    text = unicodedata.normalize("NFKC", text[:_CHARS])
    small = text.casefold()
    words = small.split()
    # Most comments have no sign.
    told = [name in found for name in SIGNS] if found else _NO_SIGN
    hand = np.asarray([*told, *_manners(text, words, sum(found.values()))], np.float32)
    # Without these no address begins, and the text is looked through once less.
    linked = "://" in small or "www." in small
    plain = _DIGIT.sub("0", _URL.sub(f" {_LINK} ", text).casefold() if linked else small)
    pieces = set[int]().union(
        *[
            _known_pieces(word) if len(word) <= _KNOWN_CHARS else _piece_hashes(word)
            for word in set(words if plain is small else plain.split())
        ]
    )
    hashes = np.fromiter(pieces, dtype=np.int64, count=len(pieces))
    # Sums of floats depend on the order.
    hashes.sort()
    tokens = _TOKEN.findall(plain)
    return Features(tokens, _word_hashes(tokens), hashes + BUCKETS, hand)


def _word_hashes(tokens: Sequence[str]) -> list[int]:
    """Of each word, then of each pair."""
    # No token holds a space.
    encoded = _bytes(" ".join(tokens)).split(b" ")[: len(tokens)]
    sums = list(map(zlib.crc32, encoded))
    # The sum of a pair goes on from that of its first word.
    pairs = [zlib.crc32(b" " + rest, total) for rest, total in zip(encoded[1:], sums, strict=False)]
    return [total % BUCKETS for total in sums + pairs]


def _piece_hashes(word: str) -> tuple[int, ...]:
    padded = f" {word} "
    if padded.isascii():
        letters = padded.encode("ascii")
        parts = [letters[n : n + size] for size in _PIECES for n in range(len(letters) - size + 1)]
    else:
        parts = [_bytes(padded[n : n + size]) for size in _PIECES for n in range(len(padded) - size + 1)]
    return tuple({total % BUCKETS for total in map(zlib.crc32, parts)})


@lru_cache(maxsize=1 << 14)
def _known_pieces(word: str) -> tuple[int, ...]:
    """Most words of a comment were in the one before."""
    return _piece_hashes(word)


def _manners(text: str, words: Sequence[str], signs_sum: float) -> tuple[float, ...]:
    """Values of MANNERS. words: of the text, case folded."""
    length = max(len(text), 1)
    return (
        signs_sum / 3,
        math.log1p(len(text)) / 5,
        _count(text, str.isupper, _CAPITALS) / length,
        3 * _count(text, str.isdigit, _FIGURES) / length,
        min(text.count("!"), 5) / 5,
        float("?" in text),
        len(set(words)) / max(len(words), 1),
        float("\n" in text.strip()),
    )


def _count(text: str, kind: Callable[[str], bool], of_ascii: bytes) -> int:
    """Characters of a kind. of_ascii: those of ASCII, which are found without looking at each character."""
    if text.isascii():
        return len(text) - len(text.encode("ascii").translate(None, of_ascii))
    return sum(map(kind, text))


def _value(count: int) -> float:
    return _SCALE / math.sqrt(count) if count else 0.0


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _reasons(found: Features, spoken: NDArray[np.float32], hand: NDArray[np.float32]) -> tuple[str, ...]:
    """The signs and words with the largest contributions, three of each at most."""
    made = sorted(zip(hand.tolist(), HAND, strict=True), reverse=True)
    told = [name for value, name in made if value >= _WORTH_NAMING and name not in _NO_REASON][:_REASONS]
    named_words = sorted(zip(spoken.tolist(), found.words.values(), strict=False), reverse=True)
    words = [f'"{word}"' for value, word in named_words if value >= _WORTH_NAMING and _LINK not in word.split()]
    return (*told, *words[:_REASONS])
