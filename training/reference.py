"""Writes reference.json beside a bundle: how its training texts are spread, for model.drift. It holds no text.

python -m training.reference --bundle model/released --data DIR/sentiment/train.parquet
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from tokenizers import Tokenizer

from model.bundle import manifest
from model.codebook import SENTIMENT
from model.drift import CONFIDENCE_EDGES, FILE, NEVER, RARE_EDGES, Reference, served_digest
from model.drift_report import confidence_bins, kind_bins
from model.review import read_texts
from model.scorer import Scorer
from training.loyalty import sample

# Tokens that together make this share of all tokens are common.
COMMON = 0.99
BINS = 10


# Kinds of text that are told apart, and how many texts there must be for each.
KINDS = 32
TEXTS_A_KIND = 40


def token_counts(texts: Sequence[str], tokenizer: Tokenizer) -> NDArray[np.int64]:
    """How often each token id occurs, shape (ids,)."""
    counts = np.zeros(tokenizer.get_vocab_size(), dtype=np.int64)
    for start in range(0, len(texts), 1000):
        for encoding in tokenizer.encode_batch(list(texts[start : start + 1000]), add_special_tokens=False):
            np.add.at(counts, encoding.ids, 1)
    return counts


def common_tokens(counts: NDArray[np.int64], tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """For each token id whether it is among the most frequent ones, which make COMMON of all tokens, shape (ids,)."""
    order = np.argsort(-counts, kind="stable")
    before = np.concatenate([[0], np.cumsum(counts[order])[:-1]])
    common = np.zeros(len(counts), dtype=bool)
    common[order[before < COMMON * counts.sum()]] = True
    unknown = tokenizer.token_to_id("[UNK]")
    if unknown is not None:
        common[unknown] = False
    return common & (counts > 0)


def rarity(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """See model.drift.Reference.rarity; (ids,) -> (ids,)."""
    with np.errstate(divide="ignore"):
        bits = -8 * np.log2(counts / max(counts.sum(), 1))
    return np.where(counts > 0, np.clip(np.round(bits), 0, NEVER - 1), NEVER).astype(np.uint8)


def centres(vectors: NDArray[np.float32]) -> NDArray[np.float16]:
    """Centres of kinds of text among mean token states (n, width), shape (k, width)."""
    number = max(1, min(KINDS, len(vectors) // TEXTS_A_KIND))
    return np.asarray(KMeans(number, n_init=3, random_state=0).fit(vectors).cluster_centers_).astype(np.float16)


def make(scorer: Scorer, texts: Sequence[str], scored: Sequence[str], digest: str) -> Reference:
    """The reference of `texts`, with labels predicted for `scored`, which may be some of them."""
    tokenizer = scorer.bundle.tokenizer
    readings = read_texts(scorer, scored)
    there = [i for i, sentiment in enumerate(readings.sentiments) if sentiment]
    readings, kept = readings.part(there), [scored[i] for i in there]
    labels = [sentiment.label for sentiment in readings.sentiments if sentiment]
    ids = [
        np.asarray(encoding.ids, dtype=np.int64) for encoding in tokenizer.encode_batch(kept, add_special_tokens=False)
    ]
    lengths = np.asarray([len(i) for i in ids])
    edges = np.unique(np.quantile(lengths, np.arange(1, BINS) / BINS).astype(np.int64))
    counts, middles = token_counts(texts, tokenizer), centres(readings.vectors)
    blank = Reference(
        digest=digest,
        texts=len(kept),
        labels=np.zeros(len(SENTIMENT)),
        length=np.zeros(len(edges) + 1),
        rare=np.zeros(len(RARE_EDGES) + 1),
        length_edges=edges,
        common=common_tokens(counts, tokenizer),
        confidence=_shares(confidence_bins(readings.probabilities), len(CONFIDENCE_EDGES) + 1),
        kinds=_shares(kind_bins(readings.vectors, middles), len(middles)),
        centres=middles,
        rarity=rarity(counts),
    )
    labels_bins, length_bins, rare_bins = blank.bins(ids, labels).T
    return replace(
        blank,
        labels=_shares(labels_bins, len(blank.labels)),
        length=_shares(length_bins, len(blank.length)),
        rare=_shares(rare_bins, len(blank.rare)),
    )


def _shares(bins: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    return np.round(np.bincount(bins, minlength=size) / len(bins), 5)


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, type=Path)
    parser.add_argument("--data", required=True, type=Path, help="parquet file with a column text")
    parser.add_argument("--texts", type=int, default=4000, help="texts to predict labels for")
    a = parser.parse_args()
    texts = [row["text"] for row in sample(a.data, None)]
    scored = [row["text"] for row in sample(a.data, a.texts)]
    digest = served_digest(manifest(a.bundle)["files"])
    reference = make(Scorer.load(a.bundle), texts, scored, digest)
    (a.bundle / FILE).write_text(reference.to_json(), encoding="utf-8")
    print(f"wrote {a.bundle / FILE} from {reference.texts} texts")


if __name__ == "__main__":
    main()
