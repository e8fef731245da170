"""Trains the small linear spam model that ships with model/.

    python -m training.spam --data DATA

DATA holds threads/spam (labelled comments), conduct/, sentiment/ and threads/twitter_care (what customers and companies
say). benchmarks/spam.py measures the same recipe on videos and articles that it has not seen.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, hstack
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from model.spam_model import BUCKETS, HAND, MODEL_FILE, SpamModel, features

SEED = 0
STRENGTH = 3.0
"""Inverse of the regularisation."""
MASS = {"video": 1000.0, "article": 2000.0, "genuine": 400.0}
"""What all comments of one place and label weigh together: the articles are few, but like what is cleaned."""
VIDEO, PAGE = ("video",), ("article", "genuine")
"""Places whose genuine comments set the threshold under videos and on other pages."""
FOLDS = 10
LOST = 0.005
"""Share of the genuine comments of a place that may reach the threshold, in [0, 1]."""
GENUINE = {"stackoverflow": 400, "sentube_cars": 300, "sentube_tablets": 300, "vader_nyt": 300, "goemotions": 300}
"""Texts drawn from each source of sentiment/train.parquet."""


@dataclass(frozen=True)
class Labelled:
    """Comments with their place ("video", "article" or "genuine"), group (video or article) and label (1 spam)."""

    texts: tuple[str, ...]
    places: NDArray[np.str_]
    groups: NDArray[np.str_]
    labels: NDArray[np.int64]


def labelled(data: Path) -> Labelled:
    """Every comment to train on. FileNotFoundError where a file is missing."""
    rows: list[tuple[str, str, str, int]] = []
    for name, place in (("youtube_spam_uci", "video"), ("datacamp_comment_spam", "article")):
        rows += [
            (r["text"], place, r["thread"], r["label"]) for r in _lines(data / "threads" / "spam" / f"{name}.jsonl")
        ]
    rows += [(text, "genuine", f"genuine {n}", 0) for n, text in enumerate(genuine(data))]
    texts, places, groups, labels = zip(*rows, strict=True)
    return Labelled(texts, np.asarray(places), np.asarray(groups), np.asarray(labels))


def genuine(data: Path) -> list[str]:
    """What customers, bystanders and companies say; no comment is known to be spam."""
    chance = np.random.default_rng(SEED)
    texts = [r["text"] for r in _lines(data / "conduct" / "train.jsonl") if r["role"] != "spam"]
    table = pq.read_table(data / "sentiment" / "train.parquet", columns=["text", "source"]).to_pydict()
    for source, count in GENUINE.items():
        own = [t for t, s in zip(table["text"], table["source"], strict=True) if s == source]
        texts += [own[n] for n in chance.permutation(len(own))[:count]]
    pairs = _lines(data / "threads" / "twitter_care" / "twcs_sample.jsonl")[:300]
    return [*texts, *(p["customer"] for p in pairs), *(p["response"] for p in pairs)]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def design(texts: Sequence[str], video: NDArray[np.bool_], *, hand: bool = True, hashed: bool = True) -> csr_matrix:
    """Features of the texts, *Shape:* (len(texts), 2 * BUCKETS + 2 * len(HAND) + 1). hand, hashed: False leaves out."""
    found = [features(t) for t in texts]
    pairs = [f.hashed() for f in found]
    rows = np.repeat(np.arange(len(found)), [len(h) for h, _ in pairs])
    columns, values = (np.concatenate([p[n] for p in pairs]) for n in (0, 1))
    spoken = csr_matrix((values * hashed, (rows, columns)), shape=(len(found), 2 * BUCKETS))
    made = csr_matrix(np.stack([f.hand for f in found]) * hand)
    page = diags((~video).astype(np.float32))
    return hstack([spoken, made, page @ made, csr_matrix((~video).astype(np.float32)[:, None])]).tocsr()


def fit(x: csr_matrix, data: Labelled, rows: NDArray[np.int64]) -> LogisticRegression:
    """The linear model on some of the rows, each place and label with its own mass."""
    weights = np.ones(len(rows))
    for place, mass in MASS.items():
        for label in (0, 1):
            own = (data.places[rows] == place) & (data.labels[rows] == label)
            if own.any():
                weights[own] = mass / own.sum()
    model = LogisticRegression(C=STRENGTH, solver="liblinear", max_iter=500)
    return model.fit(x[rows], data.labels[rows], sample_weight=weights)


def unseen_scores(x: csr_matrix, data: Labelled) -> NDArray[np.float64]:
    """Scores in [0, 1] of every comment by a model that saw no comment of its video or article.

    Each video is left out in turn, as in the literature, and a tenth of the articles and genuine comments at a time.
    """
    scores = np.zeros(len(data.texts))
    everything = np.arange(len(data.texts))
    videos = np.flatnonzero(data.places == "video")
    folds = [videos[data.groups[videos] == v] for v in np.unique(data.groups[videos])]
    rest = np.flatnonzero(data.places != "video")
    folds += [rest[test] for _, test in GroupKFold(FOLDS).split(rest, groups=data.groups[rest])]
    for test in folds:
        model = fit(x, data, np.setdiff1d(everything, test))
        scores[test] = model.predict_proba(x[test])[:, 1]
    return scores


def threshold(scores: NDArray[np.float64], data: Labelled, places: Sequence[str]) -> float:
    """The lowest score that at most LOST of the genuine comments of each of the places reach."""
    genuine_scores = [scores[(data.places == place) & (data.labels == 0)] for place in places]
    return max(float(np.nextafter(np.quantile(s, 1 - LOST, method="higher"), 1.0)) for s in genuine_scores)


def train(data: Labelled) -> SpamModel:
    """The model on all comments, with its threshold from comments that were left out in turn."""
    x = design(data.texts, data.places == "video")
    fitted = fit(x, data, np.arange(len(data.texts)))
    weights = fitted.coef_[0].astype(np.float32)
    hashed, hand, hand_page, bias_page = np.split(weights, np.cumsum([2 * BUCKETS, len(HAND), len(HAND)]))
    unseen = unseen_scores(x, data)
    thresholds = threshold(unseen, data, VIDEO), threshold(unseen, data, PAGE)
    return SpamModel(hashed, hand, hand_page, float(fitted.intercept_[0]), float(bias_page[0]), *thresholds)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=MODEL_FILE)
    options = parser.parse_args()
    train(labelled(options.data)).save(options.out)


if __name__ == "__main__":
    main()
