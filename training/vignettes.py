"""Published findings as short cases: does the loyalty head put them in the order that was found?

Each study gives cells that were compared with each other, told in our own words and as features, with the published
figure. Only the order within a study is looked at: the figures are of other people, places and questions.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from sklearn.metrics import roc_auc_score

from model.codebook import CUE_VALUES
from model.loyalty import Fit, LoyaltyHead, vector
from model.reading.table import read_table
from model.types import CaseFeatures

Outcome = Literal["repurchase", "wom"]


@dataclass(frozen=True)
class Vignette:
    """One cell of a study. cues: "cue:value". severity: 0 (nothing went wrong) to 3. figure: as published."""

    study: str
    outcome: Outcome
    text: str
    cues: tuple[str, ...]
    severity: int
    figure: float

    @property
    def features(self) -> CaseFeatures:
        """The cell as the conduct-only head takes it."""
        cues = dict.fromkeys(CUE_VALUES, 0.0) | dict.fromkeys(self.cues, 1.0)
        return CaseFeatures(cues, float(self.severity), float(self.severity > 0), 0.0, None, len(self.text.split()))


_TARP = "resolution and speed (TARP, US surveys)"
_CCMC = "an apology on top of money (CCMC 2015)"
_UBER = "apology and coupon (Halperin et al. 2022, randomised)"
_EBAY = "apology against small cash (Abeler et al. 2010)"
_CARS = "problems with a new car (J.D. Power)"
_MANY = "six problems or none at the dealer (J.D. Power)"
_TWEETS = "replies on Twitter (Huang et al. 2018)"
_TWICE = "a second failure (Maxham and Netemeyer 2002)"
_RECALL = "contested and voluntary recalls (Souiden and Pons 2009)"
_EFFORT = "effort (Dixon 2010)"
_MANNER = "courtesy (Liao 2007)"

VIGNETTES: Final = (
    Vignette(
        _TARP, "repurchase", "Marrowby lost my 300 pound order. I complained, and it was never put right.",
        ("solved:no",), 2, 19,
    ),
    Vignette(
        _TARP, "repurchase", "A pen from Marrowby leaked in its box. I complained, and it was never put right.",
        ("solved:no",), 1, 46,
    ),
    Vignette(
        _TARP, "repurchase", "Marrowby lost my 300 pound order. I complained, and in the end it was put right.",
        ("solved:yes",), 2, 54,
    ),
    Vignette(
        _TARP, "repurchase", "A pen from Marrowby leaked in its box. I complained, and in the end it was put right.",
        ("solved:yes",), 1, 70,
    ),
    Vignette(
        _TARP, "repurchase", "Marrowby lost my 300 pound order. I complained, and it was put right the same day.",
        ("solved:yes", "speed:fast"), 2, 82,
    ),
    Vignette(
        _TARP, "repurchase", "A pen from Marrowby leaked in its box. I complained, and it was put right in an hour.",
        ("solved:yes", "speed:fast"), 1, 95,
    ),
    Vignette(
        _CCMC, "wom", "The toaster failed after a month. Hollin Ware paid the money back, without a word.",
        ("redress:refund",), 2, 37,
    ),
    Vignette(
        _CCMC, "wom", "The toaster failed after a month. Hollin Ware paid the money back and said how sorry they were.",
        ("redress:refund", "apology:given"), 2, 73,
    ),
    Vignette(
        _UBER, "repurchase", "My Skipcab came twenty minutes late. They mailed an apology.",
        ("apology:given",), 1, 0,
    ),
    Vignette(
        _UBER, "repurchase", "My Skipcab came twenty minutes late. They mailed an apology with a voucher for another.",
        ("apology:given", "redress:voucher"), 1, 1,
    ),
    Vignette(
        _EBAY, "wom", "The parcel came late. The seller offered five euros if I took my bad rating down.",
        ("redress:cash", "silence_demand:yes"), 1, 21,
    ),
    Vignette(
        _EBAY, "wom", "The parcel came late. The seller wrote that they were sorry and asked about my bad rating.",
        ("apology:given",), 1, 45,
    ),
    Vignette(
        _CARS, "repurchase", "I have driven my new Tarvik for a year and had a problem with the gearbox.", (), 1, 48,
    ),
    Vignette(_CARS, "repurchase", "I have driven my new Tarvik for a year and nothing went wrong.", (), 0, 58),
    Vignette(
        _MANY, "repurchase", "My new Tarvik went back to the dealer again and again, six faults in all.",
        ("repeat_failure:yes",), 2, 42,
    ),
    Vignette(_MANY, "repurchase", "My new Tarvik has had no fault so far.", (), 0, 76),
    Vignette(
        _TWEETS, "wom", "I tweeted to Lindair about my lost seat. Nobody ever answered.", ("contact:none",), 1, 0,
    ),
    Vignette(
        _TWEETS, "wom", "I tweeted to Lindair about my lost seat. They answered after many hours.",
        ("contact:made", "speed:slow"), 1, 2.33,
    ),
    Vignette(_TWEETS, "wom", "I tweeted to Lindair about my lost seat. They answered.", ("contact:made",), 1, 9),
    Vignette(
        _TWEETS, "wom", "I tweeted to Lindair about my lost seat. They answered within five minutes.",
        ("contact:made", "speed:fast"), 1, 20,
    ),
    Vignette(
        _TWICE, "repurchase", "Brightpot got my order wrong a second time. They fixed it once more.",
        ("solved:yes", "repeat_failure:yes"), 1, 0,
    ),
    Vignette(_TWICE, "repurchase", "Brightpot got my order wrong. They fixed it.", ("solved:yes",), 1, 1),
    Vignette(
        _RECALL, "repurchase", "The brakes of my Tarvik were faulty. Tarvik denied any fault and blamed the drivers.",
        ("responsibility:denied",), 3, 0,
    ),
    Vignette(
        _RECALL, "repurchase",
        "The brakes of my Tarvik were faulty. Tarvik wrote to me on its own and took the blame before I knew.",
        ("initiative:proactive", "contact:made", "responsibility:accepted"), 3, 1,
    ),
    Vignette(
        _EFFORT, "wom", "My meter was wrong. I rang nine times and told the same story to nine people.",
        ("effort:high",), 1, 0,
    ),
    Vignette(_EFFORT, "wom", "My meter was wrong. One short call was all I had to do.", ("effort:low",), 1, 1),
    Vignette(
        _MANNER, "repurchase", "The soup was cold. The waiter was rude about it.", ("courtesy:rude",), 1, 0,
    ),
    Vignette(
        _MANNER, "repurchase", "The soup was cold. The waiter was kind and polite about it.",
        ("courtesy:courteous",), 1, 1,
    ),
)  # fmt: skip

# What a complaint handler's closing code says of conduct; the outcome is told by the customer months later.
RESPONSES: Final[dict[str, tuple[str, ...]]] = {
    "Closed with monetary relief": ("contact:made", "redress:refund"),
    "Closed with non-monetary relief": ("contact:made", "redress:repair"),
    "Closed with explanation": ("contact:made", "explanation:given"),
}


def score(fit: Fit, features: CaseFeatures, outcome: Outcome) -> float:
    """Linear score of one outcome: higher is better for the company."""
    stance, word = fit.scores(vector(features, fit.features), slice(0, 1))
    return float((stance if outcome == "repurchase" else word)[0])


def agreement(vignettes: Sequence[Vignette], scores: Sequence[float]) -> dict[str, Any]:
    """Kendall's tau over the pairs within each study: (right - wrong) / pairs; a tie of the scores is neither."""
    groups: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for v, s in zip(vignettes, scores, strict=True):
        groups[v.study].append((v.figure, s))
    signs = {study: [_sign(a, b) for a, b in combinations(cells, 2)] for study, cells in groups.items()}
    pairs = [s for found in signs.values() for s in found]
    return {
        "tau": round(float(np.mean(pairs)), 4),
        "pairs": len(pairs),
        "by_study": {study: round(float(np.mean(found)), 4) for study, found in signs.items()},
    }


def _sign(a: tuple[float, float], b: tuple[float, float]) -> float:
    return float(np.sign((a[0] - b[0]) * round(a[1] - b[1], 6)))


def structured(fit: Fit) -> dict[str, Any]:
    """Agreement on the cells as features."""
    return agreement(VIGNETTES, [score(fit, v.features, v.outcome) for v in VIGNETTES])


def as_texts(fit: Fit, read: Callable[[Sequence[str]], Sequence[CaseFeatures]]) -> dict[str, Any]:
    """Agreement on the cells as texts. read: gives the features of each text."""
    found = read([v.text for v in VIGNETTES])
    return agreement(VIGNETTES, [score(fit, f, v.outcome) for f, v in zip(found, VIGNETTES, strict=True)])


def dispute_figures(head: LoyaltyHead, path: Path) -> dict[str, Any]:
    """Complaints with a closing code: does a higher index go with fewer disputes? Nothing is trained on them.

    path: a table with response, timely (Yes, No) and disputed (0, 1).
    """
    rows = [r for r in read_table(path, "response").to_pylist() if r["response"] in RESPONSES]
    index = np.asarray([_index(head.conduct, r) for r in rows])
    disputed = np.asarray([int(r["disputed"]) for r in rows])
    by_response: dict[str, Mapping[str, Any]] = {}
    for name in RESPONSES:
        chosen = np.asarray([r["response"] == name for r in rows])
        by_response[name] = {
            "n": int(chosen.sum()),
            "disputed": round(float(disputed[chosen].mean()), 4),
            "index": round(float(index[chosen].mean()), 2),
        }
    return {"n": len(rows), "auc": round(float(roc_auc_score(disputed, -index)), 4), "by_response": by_response}


def _index(fit: Fit, row: Mapping[str, Any]) -> float:
    named = (*RESPONSES[row["response"]], *(("speed:slow",) if row["timely"] == "No" else ()))
    cues = dict.fromkeys(CUE_VALUES, 0.0) | dict.fromkeys(named, 1.0)
    case = CaseFeatures(cues, 1.0, 1.0, 0.0, None, 0)
    return float(fit.index(vector(case, fit.features), slice(0, 1))[0])
