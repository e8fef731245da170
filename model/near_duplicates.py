"""Finds texts that repeat one another, among a dozen of one page or a hundred thousand of many.

Three kinds: exact (the same but for case and white space), near (a few letters, words or the ends differ), quote (the
text stands inside a longer one). Candidates come from MinHash signatures of 5-character pieces, band by band; each one
is then compared letter by letter, so that every copy is truly like the text that it is said to repeat.
"""

import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from re import compile as pattern
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.fuzz import partial_ratio, ratio
from rapidfuzz.process import cpdist
from rensa import RMinHash

from model.types import InputError

MAX_TEXTS: Final = 1_000_000
"""Texts that one call takes. Beyond, see "Copies across threads" in docs/reading.md."""
NEAR_FROM: Final = 85.0
"""Likeness, 0 to 100, from which a text is called a copy where copies are labelled and kept."""
SHORT: Final = 40
"""Characters up to which only the same words of the same owner are copies: many people write "Good"."""

_HEAD: Final = 4000
_PIECE: Final = 5
_BANDS: Final = 32
_ROWS: Final = 4
_SEED: Final = 20
_AT_ONCE: Final = 20_000
"""Texts times bands that are looked at together."""
_CHUNK: Final = 2000
_ALIKE: Final = 0.3
"""Estimated share of common pieces below which a pair is not worth comparing."""
_PART: Final = 0.92
"""A text with another's whole middle but other ends (a greeting, a signature, a cut) is at most this alike."""
_PART_LENGTH: Final = 0.65
"""Share of the longer text's length that the shorter one must have for that: what is added may be an opinion."""

_SHINGLE: Final = 5
_QUOTE_WORDS: Final = 12
_QUOTE_FROM: Final = 0.8
_COMMON: Final = 50
"""Pages that may share five words before those say nothing about where a text comes from."""

_WORD: Final = pattern(r"[^\W_]+")

Kind = Literal["exact", "near", "quote"]
Hashes = NDArray[np.uint64]
Pairs = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Item:
    """A text to compare. owner: who said it and where, None if unknown. near: False to look for the same words only."""

    text: str
    owner: Hashable = None
    near: bool = True


@dataclass(frozen=True, slots=True)
class Copy:
    """The text at `index` repeats the one at `of`; score, 0 to 100, is the likeness of these two."""

    index: int
    of: int
    score: float
    kind: Kind


def normalised(text: str) -> str:
    """The text as it is compared: NFKC, case folded, white space as one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def find_copies(items: Sequence[Item], near_from: float = NEAR_FROM) -> list[Copy]:
    """Every text that repeats an earlier one, by rising index; what it repeats is never itself in the list.

    Texts up to SHORT characters are copies only of the same words by the same known owner. near_from: likeness, 0 to
    100. Memory: about 1 KB and 7 bytes a character for each item. InputError for more than MAX_TEXTS items.
    """
    if len(items) > MAX_TEXTS:
        raise InputError(
            f"{len(items):,} texts are too many to compare at once",
            code="too_many",
            field="items",
            got=f"{len(items):,} texts",
            expected=f"at most {MAX_TEXTS:,}",
        )
    texts = [normalised(item.text) for item in items]
    found = {copy.index: copy for copy in _exact(items, texts)}
    rest = [n for n, item in enumerate(items) if item.near and n not in found and len(texts[n]) > SHORT]
    words = {n: " ".join(_words(texts[n][:_HEAD])) for n in rest}
    rest = [n for n in rest if len(words[n]) > SHORT // 2]  # what is left is signs and little else
    if len(rest) > 1:
        for near in _near([words[n] for n in rest], [len(texts[n]) for n in rest], near_from):
            found[rest[near.index]] = Copy(rest[near.index], rest[near.of], near.score, "near")
    # The original of an exact copy may have turned out to be a near copy itself.
    settled = (_settled(copy, found, texts) for copy in found.values())
    return sorted(settled, key=lambda copy: copy.index)


def _settled(copy: Copy, found: dict[int, Copy], texts: Sequence[str]) -> Copy:
    first = found.get(copy.of)
    if first is None:
        return copy
    return Copy(copy.index, first.of, first.score, "near")


def _exact(items: Sequence[Item], texts: Sequence[str]) -> Iterator[Copy]:
    first: dict[Hashable, int] = {}
    for n, (item, text) in enumerate(zip(items, texts, strict=True)):
        if not text or (len(text) <= SHORT and item.owner is None):
            continue
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        key = digest if len(text) > SHORT else (digest, item.owner)
        original = first.setdefault(key, n)
        if original != n:
            yield Copy(n, original, 100.0, "exact")


# ---------------------------------------------------------------------------------------------------------------- near


def _near(words: Sequence[str], lengths: Sequence[int], near_from: float) -> Iterator[Copy]:
    """Copies among different texts. A copy points at a text that is no copy, and was compared with that very text."""
    alike: dict[int, list[tuple[float, int]]] = {}
    for later, earlier, score in _compared(words, lengths, _candidates(_signatures(words)), near_from):
        alike.setdefault(later, []).append((score, earlier))
    copy_of: dict[int, int] = {}
    for n in sorted(alike):
        best: tuple[float, int] | None = None
        for score, earlier in sorted(alike[n], key=lambda pair: (-pair[0], pair[1])):
            original = copy_of.get(earlier, earlier)
            if original != earlier:
                score = _likeness(words[n], words[original], lengths[n], lengths[original], near_from)
            if score >= near_from and (best is None or score > best[0]):
                best = score, original
        if best is not None:
            copy_of[n] = best[1]
            yield Copy(n, best[1], best[0], "near")


def _signatures(words: Sequence[str]) -> NDArray[np.uint32]:
    """MinHash signatures, *Shape:* (len(words), _BANDS * _ROWS)."""
    chunks = [_chunk_signatures(words[n : n + _CHUNK]) for n in range(0, len(words), _CHUNK)]
    return np.concatenate(chunks)


def _chunk_signatures(words: Sequence[str]) -> NDArray[np.uint32]:
    letters = np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    sizes = np.asarray([len(w) for w in words])
    pieces = sizes - _PIECE + 1
    hashes = _rolled(letters, _PIECE)
    starts = np.cumsum(sizes) - sizes
    kept = np.concatenate([hashes[s : s + p] for s, p in zip(starts, pieces, strict=True)])
    offsets = np.concatenate([[0], np.cumsum(pieces)]).astype(np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(kept, offsets, _BANDS * _ROWS, _SEED)
    return np.asarray(matrix.to_rows(), dtype=np.uint32)


def _rolled(values: Hashes, width: int) -> Hashes:
    """A hash of every `width` neighbouring values, *Shape:* (len(values) - width + 1,)."""
    count = max(len(values) - width + 1, 0)
    total = np.zeros(count, dtype=np.uint64)
    for n in range(width):
        total = total * np.uint64(0x9E3779B97F4A7C15) + values[n : n + count]
        total ^= total >> np.uint64(29)
    return (total * np.uint64(0xBF58476D1CE4E5B9)) ^ (total >> np.uint64(32))


def _candidates(signatures: NDArray[np.uint32]) -> Pairs:
    """Pairs (later, earlier) that agree in a band and in a fair share of their signatures, *Shape:* (pairs, 2).

    Of a large group with one band each text is paired with the first and the two before it only, so that neither a
    template that thousands share nor a crafted page makes the work quadratic.
    """
    # As many bands at a time as take little memory: for one page it is the calls that take the time.
    some = max(1, _AT_ONCE // len(signatures))
    parts = [_band_pairs(signatures[:, n * _ROWS : (n + some) * _ROWS]) for n in range(0, _BANDS, some)]
    found: NDArray[np.int64] = np.unique(np.concatenate(parts))
    pairs = np.stack([found >> np.int64(32), found & np.int64(0xFFFFFFFF)], axis=1)
    agree = [
        (signatures[part[:, 0]] == signatures[part[:, 1]]).mean(axis=1) >= _ALIKE
        for part in np.array_split(pairs, len(pairs) // 100_000 + 1)
    ]
    kept: Pairs = pairs[np.concatenate(agree)]
    return kept


def _band_pairs(signatures: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Pairs of some bands, later in the upper and earlier in the lower half of each number."""
    rows = signatures.T.astype(np.uint64)
    keys = np.zeros((len(rows) // _ROWS, rows.shape[1]), dtype=np.uint64)
    for n in range(_ROWS):
        keys = (keys ^ rows[n::_ROWS]) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(31)
    order = np.argsort(keys, axis=1, kind="stable")
    ordered = np.take_along_axis(keys, order, axis=1)
    position = np.arange(keys.shape[1])
    start = np.zeros_like(order)
    np.copyto(start[:, 1:], position[1:], where=ordered[:, 1:] != ordered[:, :-1])
    np.maximum.accumulate(start, axis=1, out=start)
    pairs = []
    for back in (start, position - 1, position - 2):
        band, place = np.nonzero((back >= start) & (back != position))
        partner = order[band, np.broadcast_to(back, order.shape)[band, place]]
        pairs.append(order[band, place].astype(np.int64) << 32 | partner)
    joined: NDArray[np.int64] = np.concatenate(pairs)
    return joined


def _compared(
    words: Sequence[str], lengths: Sequence[int], pairs: Pairs, near_from: float
) -> Iterator[tuple[int, int, float]]:
    """(later, earlier, likeness) of the pairs that are alike."""
    for part in (pairs[n : n + 10_000] for n in range(0, len(pairs), 10_000)):
        later, earlier = part[:, 0].tolist(), part[:, 1].tolist()
        scores = cpdist([words[n] for n in later], [words[n] for n in earlier], scorer=ratio, workers=1)
        for one, other, score in zip(later, earlier, scores.tolist(), strict=True):
            likeness = _likeness(words[one], words[other], lengths[one], lengths[other], near_from, score)
            if likeness >= near_from:
                yield one, other, likeness


def _likeness(
    one: str, other: str, length: int, other_length: int, near_from: float, whole: float | None = None
) -> float:
    """0 to 100. Costly only for what may be a part: whole texts are compared first, `whole` where that is done."""
    score = float(ratio(one, other)) if whole is None else whole
    shorter, longer = sorted((length, other_length))
    if longer > _HEAD:
        # Only heads are compared; whole texts of different lengths can't be more alike than this.
        return min(score, 200.0 * shorter / (shorter + longer))
    if score < near_from <= 100 * _PART and shorter >= _PART_LENGTH * longer:
        return max(score, _PART * float(partial_ratio(one, other, score_cutoff=near_from / _PART)))
    return score


# -------------------------------------------------------------------------------------------------------------- quotes


def find_quotes(
    texts: Sequence[str], pages: Sequence[str], text_places: Sequence[Hashable], page_places: Sequence[Hashable]
) -> list[Copy]:
    """Texts that stand inside a page of another place: at least 80 % of their runs of five words are found there.

    index: of the text; of: of the page; score: share of the runs, 0 to 100. Texts under 12 words are left out, since
    their words may meet by chance. Memory: 12 bytes for each word of the pages.
    """
    keys, owners = _page_index(pages)
    found = []
    for n, (text, place) in enumerate(zip(texts, text_places, strict=True)):
        runs = np.unique(_shingles(text))
        if len(runs) < _QUOTE_WORDS - _SHINGLE + 1:
            continue
        for page, share in _containing(runs, keys, owners):
            if page_places[page] != place:
                found.append(Copy(n, page, 100.0 * share, "quote"))
                break
    return found


def _containing(runs: Hashes, keys: Hashes, owners: NDArray[np.int32]) -> Iterator[tuple[int, float]]:
    """Pages that hold the runs, and what share of them, best first."""
    left, right = np.searchsorted(keys, runs, "left"), np.searchsorted(keys, runs, "right")
    counts: Counter[int] = Counter()
    for start, end in zip(left[left < right].tolist(), right[left < right].tolist(), strict=True):
        counts.update(owners[start:end].tolist())
    for page, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if count < _QUOTE_FROM * len(runs):
            return
        yield page, count / len(runs)


def _page_index(pages: Sequence[str]) -> tuple[Hashes, NDArray[np.int32]]:
    """Runs of five words by rising hash, and the page that each stands on."""
    runs = [np.unique(_shingles(page)) for page in pages]
    keys = np.concatenate([np.zeros(0, dtype=np.uint64), *runs])
    owners = np.repeat(np.arange(len(runs), dtype=np.int32), [len(r) for r in runs])
    order = np.argsort(keys, kind="stable")
    keys, owners = keys[order], owners[order]
    bounds = np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1, [len(keys)]]).astype(np.int64)
    sizes = np.repeat(np.diff(bounds), np.diff(bounds)) if len(keys) else np.zeros(0, dtype=np.int64)
    return keys[sizes <= _COMMON], owners[sizes <= _COMMON]


def _shingles(text: str) -> Hashes:
    return _rolled(np.asarray([_word_hash(w) for w in _words(normalised(text))], dtype=np.uint64), _SHINGLE)


@lru_cache(maxsize=100_000)
def _word_hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
