"""Which documents training has met in other words than its own: without their title, or as most of another text."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from training.data import normalised

# Words in a row that two texts have to share before they are compared whole.
RUN = 8
# Of a document's words that a training text must hold for the document to count as seen.
SHARE = 0.5


def seen(documents: Sequence[str], trained: Iterable[str]) -> list[bool]:
    """Whether a training text is the document, stands in it and makes half of it, or holds all of it.

    Letters and digits count, case does not. Documents of fewer than eight words are only compared whole.
    """
    words = [normalised(d).split() for d in documents]
    joined = [f" {' '.join(w)} " for w in words]
    whole: dict[str, list[int]] = defaultdict(list)
    runs: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for i, w in enumerate(words):
        whole[joined[i]].append(i)
        for start in range(len(w) - RUN + 1):
            runs[tuple(w[start : start + RUN])].add(i)
    result = [False] * len(documents)
    for text in trained:
        other = normalised(text).split()
        line = f" {' '.join(other)} "
        for i in whole.get(line, ()):
            result[i] = True
        if len(other) < RUN:
            continue
        # What stands in the other one from its first word on begins with a run of its own, whichever is longer.
        for i in runs.get(tuple(other[:RUN]), ()):
            result[i] |= len(other) >= SHARE * len(words[i]) and line in joined[i]
        for start in range(len(other) - RUN + 1):
            for i in runs.get(tuple(other[start : start + RUN]), ()):
                if not result[i] and len(other) >= len(words[i]):
                    result[i] = joined[i] in line
    return result


def unseen(documents: Sequence[dict[str, Any]], trained: Iterable[str]) -> list[dict[str, Any]]:
    """The documents, each with a `text`, that training has not seen."""
    known = seen([d["text"] for d in documents], trained)
    return [d for d, one in zip(documents, known, strict=True) if not one]
