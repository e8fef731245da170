"""How well advertising is told from comments: the rules, the model, and what cleaning makes of both.

    python benchmarks/spam.py DATA

DATA is as for training.spam, with threads/html (pages with gold comments) beside. Writes spam.json beside this file:
figures, no text. The model is measured on videos and articles that it has not seen. The rules, and so the signs among
the model's features, were written with sight of these comments; "model without signs" was not.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.metrics import average_precision_score, roc_auc_score

from model.bundle import file_digest
from model.clean import clean
from model.clean_spam import SPAM_FROM, spam
from model.near_duplicates import normalised
from model.spam_model import MODEL_FILE, load_spam_model
from model.types import Thread, Utterance
from training.spam import PAGE, VIDEO, Labelled, design, labelled, threshold, unseen_scores


def ranking(scores: NDArray[np.float64], data: Labelled) -> dict[str, Any]:
    """AUC of scores on both sets."""
    video, article = data.places == "video", data.places == "article"
    worded = np.asarray([any(map(str.isalnum, t)) for t in data.texts])
    by_video = {
        str(v): round(float(roc_auc_score(data.labels[data.groups == v], scores[data.groups == v])), 4)
        for v in np.unique(data.groups[video])
    }
    spam_under = Counter(data.groups[article & (data.labels == 1)].tolist())
    # More than half of the blog spam stands under one article.
    small = article & (data.groups != spam_under.most_common(1)[0][0])
    return {
        "videos_auc": auc(scores, data, video),
        "videos_auc_mean": round(float(np.mean(list(by_video.values()))), 4),
        "videos_auc_each": by_video,
        "articles_auc": auc(scores, data, article),
        "articles_auc_comments_with_words": auc(scores, data, article & worded),
        "articles_auc_without_the_biggest": auc(scores, data, small),
        "articles_average_precision": round(float(average_precision_score(data.labels[article], scores[article])), 4),
    }


def auc(scores: NDArray[np.float64], data: Labelled, rows: NDArray[np.bool_]) -> float:
    """Area under the ROC curve of some rows."""
    return round(float(roc_auc_score(data.labels[rows], scores[rows])), 4)


def decision(drop: NDArray[np.bool_], data: Labelled, place: str) -> dict[str, float]:
    """Precision, recall and the share of genuine comments lost, where `drop` are dropped."""
    labels, dropped = data.labels[data.places == place], drop[data.places == place]
    return {
        "precision": round(float(labels[dropped].mean()), 4) if dropped.any() else 1.0,
        "recall": round(float(dropped[labels == 1].mean()), 4),
        "genuine_dropped": round(float(dropped[labels == 0].mean()), 4),
    }


def likeness(data: Labelled) -> csr_matrix:
    """Share of a comment's words in its title, and of those that another comment of the thread uses, (comments, 2)."""
    words = [{w for w in re.findall(r"\w+", normalised(t)) if len(w) > 3} for t in data.texts]
    used: dict[str, Counter[str]] = {}
    for group, own in zip(data.groups, words, strict=True):
        used.setdefault(group, Counter()).update(own)
    rows = [
        (len(own & set(re.findall(r"\w+", normalised(group)))) / max(len(own), 1),
         sum(used[group][w] > 1 for w in own) / max(len(own), 1))
        for group, own in zip(data.groups, words, strict=True)
    ]  # fmt: skip
    return csr_matrix(np.asarray(rows) * (data.places != "genuine")[:, None])


def pages(data: Path) -> dict[str, Any]:
    """What becomes of the gold comments of real pages, and of what customers say, none of which was trained on."""
    model, texts = load_spam_model(), []
    for page in sorted((data / "threads" / "html").glob("*.gold.json")):
        texts += [c["text"] for c in json.loads(page.read_text(encoding="utf-8"))["comments"]]
    kept = [clean(Thread("t", (Utterance("p", "A post.", "post"), Utterance("c", t, parent="p")))) for t in texts]
    gone = [d.reason == "spam" for c in kept for d in c.dropped]
    flagged = sum(f.startswith("maybe_spam") for c in kept for u in c.thread.utterances for f in u.flags)
    alone = [model.score(t).score >= model.flag_from for t in texts]
    customers = [json.loads(line) for line in (data / "conduct" / "validation.jsonl").read_text("utf-8").splitlines()]
    own = [c["text"] for c in customers if c["role"] == "customer"]
    return {
        "gold_comments": len(texts),
        "dropped": sum(gone),
        "dropped_share": round(sum(gone) / len(texts), 4),
        "kept_and_flagged": flagged,
        "would_be_dropped_by_the_model_alone": sum(alone),
        "customers_of_other_companies": len(own),
        "customers_dropped": sum(spam(t).score >= SPAM_FROM for t in own),
        "customers_that_would_be_flagged": sum(model.score(t).score >= model.flag_from for t in own),
    }


def measure(data: Path) -> dict[str, Any]:
    """All figures."""
    comments = labelled(data)
    video = comments.places == "video"
    x = design(comments.texts, video)
    scores = unseen_scores(x, comments)
    points = np.asarray([spam(t).score for t in comments.texts])
    ruled = points >= SPAM_FROM
    above = {p: scores >= threshold(scores, comments, t) for p, t in (("video", VIDEO), ("article", PAGE))}
    others = {
        "model_without_signs": design(comments.texts, video, hand=False),
        "model_of_signs_only": design(comments.texts, video, hashed=False),
        "model_with_likeness_to_title_and_thread": hstack([x, likeness(comments)]).tocsr(),
    }
    return {
        "model": {"bytes": MODEL_FILE.stat().st_size, "sha256": file_digest(MODEL_FILE)},
        "comments": {p: int((comments.places == p).sum()) for p in ("video", "article", "genuine")},
        "ranking": {
            "rules": ranking(points, comments),
            "model": ranking(scores, comments),
            **{name: ranking(unseen_scores(other, comments), comments) for name, other in others.items()},
        },
        "decision": {
            place: {
                "rules": decision(ruled, comments, place),
                "model": decision(above[place], comments, place),
                "rules_or_model": decision(ruled | above[place], comments, place),
            }
            for place in above
        },
        "taken": {"video": "rules_or_model", "page": "rules; the model flags"},
        "pages": pages(data),
    }


def main() -> None:
    """Command line."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    results = measure(Path(sys.argv[1]))
    text = json.dumps(results, indent=1)
    Path(__file__).with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
