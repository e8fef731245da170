"""Cuts a text into sentences with offsets, and its tokens into windows that the encoder can take.

Long posts are read whole: sentences are packed into windows in order, and every token belongs to one window.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentencex import segment
from tokenizers import Encoding, Tokenizer

Span = tuple[int, int]

# Words that the library takes for abbreviations (Maine, number, May, minute), and that end many a complaint.
_ENDED = re.compile(r"\b(?i:me|no|ok|may|min|etc|ill|it|id)[.](\s+)(?=[\"'“‘(]?(?:I|A|[A-Z][a-z]+)\b)")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SET = re.compile(r"\[[^\[\]\\^&]+\]")
_ASCII = "".join(map(chr, range(128)))


@dataclass(frozen=True)
class TokenizedText:
    """A text as the encoder sees it.

    ids: token ids without special tokens, shape (n_tokens,).
    offsets: start and end character of each token in the text, shape (n_tokens, 2).
    sentences: character spans, in order, without surrounding white space.
    token_spans: first and one-past-last token of each sentence; an empty sentence has equal ends.
    windows: first and one-past-last token of each window; they cover all tokens in order.
    """

    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sentences: tuple[Span, ...]
    token_spans: tuple[Span, ...]
    windows: tuple[Span, ...]


def sentence_spans(text: str) -> tuple[Span, ...]:
    """Character spans of the sentences of text, stripped of white space; empty ones are left out."""
    spans: list[Span] = []
    position = 0
    for piece in segment("en", text):
        stripped = piece.strip()
        if not stripped:
            continue
        # The library may normalise line breaks between sentences, so each piece is looked up from where the last ended.
        for line in filter(None, map(str.strip, stripped.split("\n"))):
            start = text.find(line, position)
            if start < 0:
                continue
            position = start + len(line)
            spans += _again(text, start, position)
    return tuple(spans)


def _again(text: str, start: int, end: int) -> list[Span]:
    """The sentences of what the library took for one."""
    # Most sentences hold no full stop but their last one.
    if text.find(".", start, end - 2) < 0:
        return [(start, end)]
    breaks = [m.span(1) for m in _ENDED.finditer(text, start, end)]
    return list(zip([start, *(b for _, b in breaks)], [*(a for a, _ in breaks), end], strict=True))


def pack(lengths: Sequence[int], limit: int) -> list[Span]:
    """Groups consecutive sentences into windows of at most `limit` tokens; a longer sentence is cut into several.

    Returns token spans that cover sum(lengths) tokens in order.
    """
    windows: list[Span] = []
    start = end = 0
    for length in lengths:
        if end > start and end + length - start > limit:
            windows.append((start, end))
            start = end
        end += length
        while end - start > limit:
            windows.append((start, start + limit))
            start += limit
    if end > start:
        windows.append((start, end))
    return windows


def tokenize(texts: Sequence[str], tokenizer: Tokenizer, max_tokens: int) -> list[TokenizedText]:
    """Sentences, tokens and windows of each text; a window holds at most `max_tokens` tokens without special ones."""
    # Half of a surrogate pair is no character; the stand-in has the same length, so offsets stay true.
    whole = [text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text) for text in texts]
    return [_one(text, encoding, max_tokens) for text, encoding in zip(whole, _encoded(whole, tokenizer), strict=True)]


def _encoded(texts: Sequence[str], tokenizer: Tokenizer) -> list[Encoding]:
    """What tokenizer.encode_batch gives. Nearly all texts are ASCII, and looking for each kind of emoji in one takes as
    long as all the rest.
    """
    encodings: dict[int, Encoding] = {}
    for ascii_only in (True, False):
        rows = [i for i, text in enumerate(texts) if text.isascii() == ascii_only]
        if rows:
            reader = _for_ascii(tokenizer) if ascii_only else tokenizer
            found = reader.encode_batch([texts[i] for i in rows], add_special_tokens=False)
            encodings |= zip(rows, found, strict=True)
    return [encodings[i] for i in range(len(texts))]


@lru_cache(maxsize=4)
def _for_ascii(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer without replacing what no ASCII text has."""
    known = json.loads(tokenizer.to_str())
    steps = (known["normalizer"] or {}).get("normalizers", [])
    needed = [step for step in steps if not _beyond_ascii(step)]
    if len(needed) == len(steps):
        return tokenizer
    known["normalizer"]["normalizers"] = needed
    return Tokenizer.from_str(json.dumps(known))


def _beyond_ascii(step: dict[str, Any]) -> bool:
    """Whether a step of a normalizer replaces one of a set of characters, none of them ASCII."""
    characters = step.get("pattern", {}).get("Regex", "") if step["type"] == "Replace" else ""
    return bool(_SET.fullmatch(characters)) and not re.search(characters, _ASCII)


def _one(text: str, encoding: Encoding, max_tokens: int) -> TokenizedText:
    places = encoding.offsets
    # From numbers in a row NumPy makes an array in half of the time that pairs of them take.
    offsets = np.fromiter(chain.from_iterable(places), dtype=np.int64, count=2 * len(places)).reshape(-1, 2)
    sentences = sentence_spans(text)
    # A token belongs to the first sentence that ends after it starts; what stands between goes to the later one.
    starts = [start for start, _ in places]
    edges = [0, *(bisect_left(starts, end) for _, end in sentences[:-1]), len(starts)] if sentences else []
    spans = tuple(pairwise(edges))
    windows = tuple(pack([b - a for a, b in spans], max_tokens))
    return TokenizedText(np.asarray(encoding.ids, dtype=np.int64), offsets, sentences, spans, windows)
