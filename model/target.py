"""Sentiment towards a named target: the target is put in front of the text, and the encoder reads both together.

The mean state of the target's tokens, which have seen the text, says what the text thinks of it: the auxiliary
sentence of Sun et al. 2019 (Utilizing BERT for Aspect-Based Sentiment Analysis), with the name alone as the sentence.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.encoder import Encoder, States
from model.segment import TokenizedText

Ids = NDArray[np.int64]

# Longer names say no more about what is meant, and would crowd out the text.
MOST_TARGET_TOKENS = 24


def with_target(text: Ids, target: Ids, separator: int) -> tuple[Ids, int]:
    """Token ids of "target [SEP] text", and how many of them are the target.

    text and target: ids without special tokens, shape (n,); target holds at least one.
    """
    front = target[:MOST_TARGET_TOKENS]
    return np.concatenate([front, [separator], text]).astype(np.int64), len(front)


def mentions(raw: str, target: str) -> list[tuple[int, int]]:
    """Spans of a text where the target is named as words of their own, whatever the case of the letters."""
    return [m.span() for m in re.finditer(rf"(?<!\w){re.escape(target)}(?!\w)", raw, re.IGNORECASE)]


def concerned(text: TokenizedText, raw: str, target: str) -> list[Ids]:
    """The windows of a text that name the target, whatever the case of its letters; all of them where none does."""
    spoken = mentions(raw, target)
    naming = [(a, b) for a, b in text.windows if any(_overlaps(text, a, b, span) for span in spoken)]
    return [text.ids[a:b] for a, b in naming or text.windows]


def _overlaps(text: TokenizedText, first: int, last: int, span: tuple[int, int]) -> bool:
    return bool(text.offsets[first][0] < span[1] and span[0] < text.offsets[last - 1][1])


def target_vectors(
    windows: Sequence[Sequence[Ids]], targets: Sequence[Ids], separator: int, encoder: Encoder
) -> NDArray[np.float32]:
    """What the head reads of each text: the mean state of its target over the windows given for it.

    windows: at least one for each text. targets: token ids of each text's target. Returns (n_texts, width).
    """
    joined = [with_target(w, target, separator) for own, target in zip(windows, targets, strict=True) for w in own]
    states = iter(encoder.encode([ids for ids, _ in joined]))
    means: list[States] = [next(states)[:count].mean(axis=0) for _, count in joined]
    ends = np.cumsum([len(own) for own in windows])
    return np.stack([np.mean(means[end - len(own) : end], axis=0) for own, end in zip(windows, ends, strict=True)])
