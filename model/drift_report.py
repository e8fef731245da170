"""What has changed since training: texts that came in, compared with the reference of a bundle in five aspects.

Each aspect has the index of model.drift and, beside it, what chance alone gives with as many texts. The words that are
new or much more frequent say what the change is about.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from model.drift import CONFIDENCE_EDGES, MINIMUM, NEVER, Counts, Reference, psi
from model.privacy import KINDS, Masker
from model.review import Readings, read_texts
from model.scorer import Scorer

Verdict = Literal["too_few", "none", "some", "much"]

LITTLE: Final = 0.1
MUCH: Final = 0.25
# Of calling drift what is chance, over all aspects together and over all words together.
FALSE_ALARMS: Final = 0.01
DRAWS: Final = 2000
# A word is told only where it stands in as many texts, so that a name in one of them is not.
WORD_TEXTS: Final = 5
TIMES: Final = 3.0
WORDS: Final = 20

ASPECTS: Final[Mapping[str, str]] = {
    "labels": "predicted labels",
    "confidence": "how sure the model is",
    "length": "length of the texts",
    "rare": "share of rare words",
    "kinds": "kinds of text",
}
# Marks of masking, handles and addresses: nothing of these is a word.
_NO_WORDS: Final = re.compile(rf"\[(?:{'|'.join(KINDS)})\]|[@]\w+|https?://\S+|www\.\S+")


@dataclass(frozen=True)
class Aspect:
    """One comparison. psi: of the texts against the reference. chance: what chance stays below, see FALSE_ALARMS.

    expected, found: shares of the bins.
    """

    name: str
    psi: float
    chance: float
    expected: tuple[float, ...]
    found: tuple[float, ...]

    @property
    def verdict(self) -> Literal["none", "some", "much"]:
        """An index above LITTLE and chance is drift, one above MUCH is much."""
        if self.psi <= max(LITTLE, self.chance):
            return "none"
        return "much" if self.psi > MUCH else "some"


@dataclass(frozen=True)
class Word:
    """A word that is new or more frequent. texts: that hold it. expected: at most so many would by the reference."""

    word: str
    texts: int
    expected: float


@dataclass(frozen=True)
class Drift:
    """texts: different ones that hold words; copies and wordless ones are left out and counted."""

    texts: int
    copies: int
    wordless: int
    aspects: tuple[Aspect, ...]
    words: tuple[Word, ...]

    @property
    def verdict(self) -> Verdict:
        """The strongest of the aspects."""
        if self.texts < MINIMUM:
            return "too_few"
        found = {a.verdict for a in self.aspects}
        return "much" if "much" in found else "some" if "some" in found else "none"

    @property
    def drifted(self) -> list[str]:
        """Names of the aspects that drift, the largest index first."""
        return [a.name for a in sorted(self.aspects, key=lambda a: -a.psi) if a.verdict != "none"]


def compare(scorer: Scorer, reference: Reference, texts: Sequence[str]) -> Drift:
    """Compares texts with a reference of the scorer's bundle. Aspects that the reference lacks are left out."""
    different = list(dict.fromkeys(texts))
    readings = read_texts(scorer, different)
    there = [i for i, sentiment in enumerate(readings.sentiments) if sentiment]
    kept, readings = [different[i] for i in there], readings.part(there)
    return Drift(
        texts=len(kept),
        copies=len(texts) - len(different),
        wordless=len(different) - len(kept),
        aspects=tuple(_aspects(scorer, reference, kept, readings)) if kept else (),
        words=tuple(new_words(scorer.bundle.tokenizer, reference, kept)),
    )


def confidence_bins(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bins of the probability of the likeliest label, (n, 3) -> (n,)."""
    return np.asarray(np.searchsorted(CONFIDENCE_EDGES, probabilities.max(axis=1)), dtype=np.int64)


def kind_bins(vectors: NDArray[np.float32], centres: NDArray[np.float16]) -> NDArray[np.int64]:
    """The nearest of centres (k, width) for each of vectors (n, width), shape (n,)."""
    middle = centres.astype(np.float32)
    distances = (middle**2).sum(axis=1) - 2 * vectors @ middle.T
    return np.asarray(distances.argmin(axis=1), dtype=np.int64)


def chance(shares: Counts, texts: int, reference_texts: int, *, aspects: int = len(ASPECTS)) -> float:
    """What the index of one of several aspects stays below where nothing has changed, with FALSE_ALARMS in all.

    Drawn: both the texts and those of the reference are samples from the same shares.
    """
    rng = np.random.default_rng(0)
    known = rng.multinomial(reference_texts, shares / shares.sum(), DRAWS) / reference_texts
    drawn = rng.multinomial(texts, shares / shares.sum(), DRAWS).astype(np.float64)
    found = [psi(k, d) for k, d in zip(known, drawn, strict=True)]
    return float(np.quantile(found, 1 - FALSE_ALARMS / aspects))


def new_words(tokenizer: Tokenizer, reference: Reference, texts: Sequence[str]) -> list[Word]:
    """Words that more texts hold than the reference lets expect, the most telling first.

    A word of several tokens is expected at most as often as its rarest token, so what is told is rather too little.
    Told is what stands in at least WORD_TEXTS texts and TIMES as many as expected, and is beyond chance by the Chernoff
    bound of a Poisson count over all words. Handles, addresses, and what model.privacy masks are never told; a name
    that many texts repeat is a word like any other.
    """
    if reference.rarity is None:
        return []
    counts, rarest, tokens = _counted(tokenizer, reference.rarity, [_without_marks(text) for text in texts])
    limit = log(max(len(counts), 1) / FALSE_ALARMS)
    told: list[tuple[float, Word]] = []
    for word, number in counts.items():
        expected = tokens * 2.0 ** (-rarest[word] / 8)
        if number >= WORD_TEXTS and number > TIMES * expected:
            surprise = number * log(number / expected) - number + expected
            if surprise > limit:
                told.append((surprise, Word(word, number, round(expected, 2))))
    return [word for _, word in sorted(told, key=lambda pair: (-pair[0], pair[1].word))][:WORDS]


def _counted(
    tokenizer: Tokenizer, rarity: NDArray[np.uint8], texts: Sequence[str]
) -> tuple[Counter[str], dict[str, int], int]:
    """In how many texts each word stands, the rarity of its rarest token, and the number of all tokens."""
    counts: Counter[str] = Counter()
    rarest: dict[str, int] = {}
    tokens = 0
    for start in range(0, len(texts), 1000):
        part = list(texts[start : start + 1000])
        for text, encoding in zip(part, tokenizer.encode_batch(part, add_special_tokens=False), strict=True):
            tokens += len(encoding.ids)
            words = _words(text, encoding.word_ids, encoding.offsets, encoding.ids, rarity)
            rarest |= words
            counts.update(words.keys())
    return counts, rarest, tokens


def _words(
    text: str,
    places: Sequence[int | None],
    offsets: Sequence[tuple[int, int]],
    ids: Sequence[int],
    rarity: NDArray[np.uint8],
) -> dict[str, int]:
    """The words of one text in lower case with the rarity of their rarest token."""
    spans: dict[int, tuple[int, int, int]] = {}
    for place, (start, end), token in zip(places, offsets, ids, strict=True):
        if place is not None:
            rare = int(rarity[token]) if token < len(rarity) else NEVER
            first, _, before = spans.get(place, (start, end, 0))
            spans[place] = (first, end, max(before, rare))
    words = {text[start:end].casefold(): rare for start, end, rare in spans.values()}
    return {word: rare for word, rare in words.items() if len(word) > 1 and word.isalpha()}


def _without_marks(text: str) -> str:
    return _NO_WORDS.sub(" ", Masker().text(text))


def _aspects(scorer: Scorer, reference: Reference, texts: Sequence[str], readings: Readings) -> list[Aspect]:
    encodings = scorer.bundle.tokenizer.encode_batch(list(texts), add_special_tokens=False)
    ids = [np.asarray(encoding.ids, dtype=np.int64) for encoding in encodings]
    labels, length, rare = reference.bins(ids, [s.label for s in readings.sentiments if s]).T
    found = [("labels", labels, reference.labels)]
    if reference.confidence is not None:
        found.append(("confidence", confidence_bins(readings.probabilities), reference.confidence))
    found += [("length", length, reference.length), ("rare", rare, reference.rare)]
    if reference.kinds is not None and reference.centres is not None:
        found.append(("kinds", kind_bins(readings.vectors, reference.centres), reference.kinds))
    return [_aspect(name, bins, shares, reference.texts) for name, bins, shares in found]


def _aspect(name: str, bins: NDArray[np.int64], shares: Counts, reference_texts: int) -> Aspect:
    counts = np.bincount(bins, minlength=len(shares)).astype(np.float64)
    return Aspect(
        name,
        round(psi(shares, counts), 4),
        round(chance(shares, len(bins), reference_texts), 4),
        tuple(shares.round(4).tolist()),
        tuple((counts / counts.sum()).round(4).tolist()),
    )
