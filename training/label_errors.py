"""Labels that look wrong, by confident learning (Northcutt, Jiang and Chuang 2021) as cleanlab has it.

Confident learning asks how sure the model usually is of texts that carry a label, counts texts that are at least as
sure of another one, and so estimates which labels are confused and how often. It looks at each class by its own
standard: a model that is timid about neutral texts doesn't have all of them called wrong.
"""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from model.codebook import SENTIMENT

Floats = NDArray[np.float64]
Filter = Literal["prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given"]

FOLDS: Final = 5
# Fewer labels than this say too little for a head of their own.
OWN_HEAD: Final = 200


def wrong_labels(
    labels: Sequence[str], probabilities: Floats, *, filter_by: Filter = "prune_by_noise_rate"
) -> list[int]:
    """Places of labels that look wrong, the most doubtful first. probabilities (n, 3): of a model that has not seen them.

    Raises ModuleNotFoundError without the review extra.
    """
    from cleanlab.filter import find_label_issues

    given = np.asarray([SENTIMENT.index(label) for label in labels], dtype=np.int64)
    if not len(given):
        return []
    found = find_label_issues(
        given, probabilities, filter_by=filter_by, return_indices_ranked_by="normalized_margin", n_jobs=1
    )
    return [int(i) for i in found]


def unseen(vectors: NDArray[np.float32], labels: Sequence[str], probabilities: Floats, seed: int = 0) -> Floats:
    """Probabilities (n, 3) that learnt from the labels of the other folds, and from the model.

    A logistic regression on the vectors (n, width) and the model's log probabilities, so that it knows how this source
    uses the labels; the mean of both, because neither is better everywhere. The model's own where there are fewer than
    OWN_HEAD labels or a label is rarer than FOLDS.
    """
    counts = np.unique(np.asarray(labels), return_counts=True)[1] if len(labels) else np.zeros(1)
    if len(labels) < OWN_HEAD or len(counts) < len(SENTIMENT) or counts.min() < FOLDS:
        return probabilities
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    given = np.asarray([SENTIMENT.index(label) for label in labels], dtype=np.int64)
    features = np.hstack([vectors, 10 * np.log(np.maximum(probabilities, 1e-6))])
    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=300))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    learnt = cross_val_predict(head, features, given, cv=folds, method="predict_proba")
    return np.asarray((learnt + probabilities) / 2)
