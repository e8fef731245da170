"""Labels that look wrong, by confident learning (Northcutt, Jiang and Chuang 2021) as cleanlab has it.

Confident learning asks how sure the model usually is of texts that carry a label, counts texts that are at least as
sure of another one, and so estimates which labels are confused and how often. It looks at each class by its own
standard: a model that is timid about neutral texts doesn't have all of them called wrong.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.codebook import SENTIMENT

# What both of cleanlab's ways to prune agree on; benchmarks/review.json has the others.
FILTER: Final = "both"
# With fewer labels of a class nothing can be said of how sure the model usually is of it.
LEAST: Final = 10


def enough(labels: Sequence[str]) -> bool:
    """Whether there are labels enough of every class that occurs."""
    return min(Counter(labels).values(), default=0) >= LEAST


def wrong_labels(labels: Sequence[str], probabilities: NDArray[np.float64], *, filter_by: str = FILTER) -> list[int]:
    """Places of labels that look wrong, the most doubtful first.

    probabilities (n, 3): of a model that has not learnt from these labels. filter_by: as for cleanlab's
    find_label_issues. Raises ModuleNotFoundError without the review extra.
    """
    from cleanlab.filter import find_label_issues

    given = np.asarray([SENTIMENT.index(label) for label in labels], dtype=np.int64)
    if not len(given):
        return []
    found = find_label_issues(
        given, probabilities, filter_by=filter_by, return_indices_ranked_by="normalized_margin", n_jobs=1
    )
    return [int(i) for i in found]
