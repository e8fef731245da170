"""Fits the loyalty head: two proportional-odds models on what the conduct and sentiment heads read in labelled texts.

Statements of loyalty are cut out of a text before it is read here: they are the outcome. Sources differ in how they
ask (recommended or not, stars, stated intent, an annotator's reading), so each has cut points of its own; all share
the weights of the features. Research enters as weak Gaussian priors and a few hard signs (docs/loyalty.md), optional.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from model.case import case_features
from model.codebook import CUE_VALUES, REPURCHASE, WOM
from model.loyalty import CONDUCT_FEATURES, FULL_FEATURES, Fit, vector
from model.reading.table import read_table
from model.scorer import Scored, Scorer
from model.types import CaseFeatures, InputError, Reading
from training.overlap import seen

Floats = NDArray[np.float64]
DRAWS = 40

# Mean and standard deviation in log-odds; everything else has mean 0 and the wide default. Sources: docs/loyalty.md.
PRIORS = {
    "solved:yes": (0.5, 0.6),
    "solved:no": (-0.5, 0.6),
    "speed:fast": (0.4, 0.6),
    "speed:slow": (-0.4, 0.6),
    "failure": (-0.3, 0.5),
    "severity": (-0.7, 0.5),
    "repeat_failure:yes": (-0.8, 0.6),
    "promise:broken": (-0.5, 0.6),
    "initiative:proactive": (0.3, 0.7),
    "contact:made": (0.3, 0.5),
    "contact:none": (-0.3, 0.5),
    "explanation:given": (0.3, 0.3),
    "responsibility:denied": (-0.5, 0.6),
}
DEFAULT_PRIOR = (0.0, 1.0)
SIGNS = {
    "solved:yes": 1,
    "solved:no": -1,
    "speed:fast": 1,
    "speed:slow": -1,
    "failure": -1,
    "severity": -1,
    "repeat_failure:yes": -1,
    "promise:broken": -1,
    "contact:made": 1,
    "contact:none": -1,
    "responsibility:denied": -1,
}


@dataclass(frozen=True)
class Example:
    """Features of one text with its outcomes; -1 where the source does not tell.

    domain: has its own cut points. classes: 2 where the source has no middle, else 3. repurchase, wom: 0 is the lowest
    class (leave, negative), classes - 1 the highest (stay, positive). text: without the statements of loyalty.
    failure_type: the likeliest one. answered: a failure and a reaction, or none where one was due, are told.
    """

    features: CaseFeatures
    domain: str
    company: str
    classes: int
    repurchase: int
    wom: int
    answered: bool = False
    text: str = ""
    failure_type: str = "none"


@dataclass(frozen=True)
class MaskedReading:
    """A text without its statements of loyalty and what is read in it."""

    text: str
    features: CaseFeatures
    failure_type: str


def example_from_dict(plain: dict[str, Any]) -> Example:
    """The inverse of dataclasses.asdict for an Example."""
    return Example(**plain | {"features": CaseFeatures(**plain["features"])})


@dataclass
class Table:
    """Examples of one outcome as arrays: x (n, features), y (n,), domain indices (n,), classes by domain."""

    x: Floats
    y: NDArray[np.int64]
    domain: NDArray[np.int64]
    names: list[str]
    classes: list[int]
    weight: Floats = field(default_factory=lambda: np.zeros(0))


def masked_text(raw: str, reading: Reading, spans: Sequence[tuple[int, int]]) -> str:
    """The text without the sentences in which a statement of loyalty was found."""
    keep = [raw[a:b] for a, b in spans if not any(s.start < b and a < s.end for s in reading.statements)]
    return " ".join(keep)


def read_masked(scorer: Scorer, texts: Sequence[str]) -> list[MaskedReading]:
    """What is read in each text after its statements of loyalty were cut out and the rest was read afresh."""
    first = scorer.read_texts(texts)
    again = [i for i, s in enumerate(first) if s.reading.statements]
    masked = [
        masked_text(first[i].raw, first[i].reading, [(s.start, s.end) for s in first[i].sentences]) for i in again
    ]
    second = dict(zip(again, scorer.read_texts(masked), strict=True))
    return [_masked_reading(second.get(i, s)) for i, s in enumerate(first)]


def _masked_reading(scored: Scored) -> MaskedReading:
    failure = scored.reading.failure
    return MaskedReading(scored.raw, case_features([scored.text_reading]), max(failure, key=failure.__getitem__))


def _example(read: MaskedReading, domain: str, company: str, classes: int, repurchase: int, wom: int) -> Example:
    answered = _answered(read.features)
    return Example(read.features, domain, company, classes, repurchase, wom, answered, read.text, read.failure_type)


def _answered(features: CaseFeatures) -> bool:
    """Whether the text tells of a failure and of a reaction, or of none where one was due."""
    reactions = ("contact", "apology", "explanation", "responsibility", "redress", "solved", "follow_up")
    return features.failure >= 0.5 and any(
        p >= 0.4 for name, p in features.cues.items() if name.split(":")[0] in reactions
    )


def unseen(rows: Sequence[dict[str, Any]], trained: Sequence[str]) -> list[dict[str, Any]]:
    """Rows whose text, with or without its title, training has not met (training.overlap)."""
    if not trained:
        return list(rows)
    met = zip(*(seen(texts, trained) for texts in ([r["text"] for r in rows], [_titled(r) for r in rows])), strict=True)
    return [r for r, one in zip(rows, met, strict=True) if not any(one)]


def recommend_examples(
    scorer: Scorer, path: Path, limit: int | None = None, trained: Sequence[str] = ()
) -> list[Example]:
    """Reviews with `recommended` 0 or 1, without those that the texts `trained` hold."""
    rows = unseen(sample(path, limit), trained)
    read = read_masked(scorer, [_titled(r) for r in rows])
    return [
        _example(m, "recommend", r["company"], 2, -1, int(_given(r["recommended"])))
        for m, r in zip(read, rows, strict=True)
    ]


def stars_examples(scorer: Scorer, path: Path, limit: int | None = None, trained: Sequence[str] = ()) -> list[Example]:
    """Reviews with 1 to 5 stars: up to 2 negative, 3 mixed, from 4 positive; without those that `trained` holds."""
    rows = unseen(sample(path, limit), trained)
    read = read_masked(scorer, [_titled(r) for r in rows])
    stars = [_given(r["rating"]) for r in rows]
    outcome = [0 if s <= 2 else 1 if s < 4 else 2 for s in stars]
    return [_example(m, "stars", r["company"], 3, -1, y) for m, r, y in zip(read, rows, outcome, strict=True)]


def outcome_number(value: object) -> float | None:
    """An outcome of a table as a number, which in CSV is a text: "4", "true"; None where it is none."""
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.strip().casefold(), value)
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None


def _given(value: object) -> float:
    number = outcome_number(value)
    if number is None:
        raise InputError("an outcome is no number", code="bad_value", got=repr(value)[:80], expected="a number")
    return number


def intent_examples(scorer: Scorer, path: Path) -> list[Example]:
    """Texts whose author stated to leave or to stay, without that statement."""
    rows = [r for r in sample(path, None, "text_masked") if outcome_number(r["consistent_with_rating"]) == 1]
    read = read_masked(scorer, [r["text_masked"] for r in rows])
    return [
        _example(m, f"intent {r['domain']}", r["company"], 2, int(r["stated"] == "loyal"), -1)
        for m, r in zip(read, rows, strict=True)
    ]


def customer_documents(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Annotated documents of customers in JSON lines after docs/codebook.md."""
    documents = [json.loads(line) for p in paths for line in p.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [d for d in documents if d["role"] == "customer" and d["repurchase"] in REPURCHASE]


def document_examples(scorer: Scorer, documents: Sequence[dict[str, Any]]) -> list[Example]:
    """Annotated documents with the annotator's outcomes and the features as the model reads them."""
    read = read_masked(scorer, [d["text"] for d in documents])
    return [
        _example(
            m,
            "annotated",
            _house(d),
            3,
            2 - REPURCHASE.index(d["repurchase"]),
            2 - WOM.index(d["wom"]),
        )
        for d, m in zip(documents, read, strict=True)
    ]


def with_annotation(documents: Sequence[dict[str, Any]], examples: Sequence[Example]) -> list[Example]:
    """The same examples with the cues of the annotation; only the sentiment is as the model reads it."""
    return [
        replace(e, features=_annotated_features(d, e.features), failure_type=d["failure"]["type"], answered=False)
        for d, e in zip(documents, examples, strict=True)
    ]


def _house(document: dict[str, Any]) -> str:
    return document.get("company") or document.get("industry") or document.get("source") or ""


def _annotated_features(document: dict[str, Any], read: CaseFeatures) -> CaseFeatures:
    stated = [s["quote"] for s in document["stated_loyalty"]]
    cues = dict.fromkeys(CUE_VALUES, 0.0)
    for entry in document["conduct"]:
        if not any(entry["quote"] in s or s in entry["quote"] for s in stated):
            cues[f"{entry['cue']}:{entry['value']}"] = 1.0
    return CaseFeatures(
        cues=cues,
        severity=float(document["failure"]["severity"]),
        failure=float(document["failure"]["type"] != "none"),
        tenure=float(document["tenure"] is not None),
        valence=read.valence,
        length=read.length,
    )


def _titled(row: dict[str, Any]) -> str:
    title, text = (row.get("title") or "").strip(), row["text"] or ""
    # Some sites make the title from the first words of the text.
    return text if not title or text.startswith(title.rstrip("….")) else f"{title}. {text}"


def sample(path: Path, limit: int | None, column: str = "text") -> list[dict[str, Any]]:
    """Rows of a table with a text in `column`; at most `limit` of them, drawn with a fixed seed."""
    rows = [r for r in read_table(path, column).to_pylist() if r[column]]
    return rows if limit is None or len(rows) <= limit else random.Random(7).sample(rows, limit)


def table(examples: Sequence[Example], outcome: str, names: Sequence[str]) -> Table:
    """Examples that know the outcome, as arrays; no domain weighs more than the annotated documents do tenfold."""
    known = [e for e in examples if getattr(e, outcome) >= 0]
    domains = sorted({e.domain for e in known})
    index = np.asarray([domains.index(e.domain) for e in known])
    sizes = np.bincount(index, minlength=len(domains))
    weight = np.minimum(1.0, 3000 / sizes)[index]
    classes = [next(e.classes for e in known if e.domain == d) for d in domains]
    x = np.stack([vector(e.features, names) for e in known])
    y = np.asarray([getattr(e, outcome) for e in known])
    return Table(x, y, index, domains, classes, weight)


def fit_ordinal(
    t: Table, names: Sequence[str], *, priors: bool = True, signs: bool = True, start: Floats | None = None
) -> Floats:
    """Weights (features,), then two parameters per domain: the first cut and the log of the distance to the second.

    Minimises the negative log likelihood plus the Gaussian priors by L-BFGS-B.
    """
    n = len(names)
    prior = [PRIORS.get(name, DEFAULT_PRIOR) if priors else DEFAULT_PRIOR for name in names]
    mean, sd = np.asarray([p[0] for p in prior]), np.asarray([p[1] for p in prior])
    bounds: list[tuple[float | None, float | None]] = [_bound(name) if signs else (None, None) for name in names]
    bounds += [(-15.0, 15.0), (-4.0, 3.0)] * len(t.names)
    first = start if start is not None else np.concatenate([np.zeros(n), np.tile([-1.0, 0.0], len(t.names))])

    def objective(p: Floats) -> tuple[float, Floats]:
        loss, gradient = _likelihood(p, t, n)
        off = (p[:n] - mean) / sd**2
        gradient[:n] += off
        return loss + 0.5 * float(((p[:n] - mean) * off).sum()), gradient

    found: Floats = minimize(objective, first, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": 500}).x
    return found


def _bound(name: str) -> tuple[float | None, float | None]:
    sign = SIGNS.get(name, 0)
    return (0.0 if sign > 0 else None, 0.0 if sign < 0 else None)


def _likelihood(p: Floats, t: Table, n: int) -> tuple[float, Floats]:
    """Weighted negative log likelihood and its gradient."""
    s = t.x @ p[:n]
    cut1 = p[n::2][t.domain]
    gap = np.exp(p[n + 1 :: 2][t.domain])
    two = np.asarray(t.classes)[t.domain] == 2
    a, b = _sig(cut1 - s), _sig(cut1 + gap - s)
    b = np.where(two, a, b)
    low, high = t.y == 0, np.where(two, t.y == 1, t.y == 2)
    middle = ~low & ~high
    between = np.clip(b - a, 1e-12, None)
    log = np.where(low, np.log(a + 1e-12), np.where(high, np.log(1 - b + 1e-12), np.log(between)))
    d_a = np.where(low, 1 - a, np.where(middle, -a * (1 - a) / between, 0.0))
    d_b = np.where(high, -b, np.where(middle, b * (1 - b) / between, 0.0))
    gradient = np.zeros_like(p)
    gradient[:n] = t.x.T @ (t.weight * (d_a + d_b))
    gradient[n::2] = -np.bincount(t.domain, t.weight * (d_a + d_b), minlength=len(t.names))
    gradient[n + 1 :: 2] = -np.bincount(t.domain, t.weight * np.where(two, 0.0, d_b * gap), minlength=len(t.names))
    return float(-(t.weight * log).sum()), gradient


def _sig(x: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-np.clip(x, -40, 40)))
    return result


def _served(p: Floats, n: int, names: list[str]) -> Floats:
    """Weights and the two cut points of the annotated documents, as model.loyalty.Fit wants them."""
    at = n + 2 * names.index("annotated")
    return np.concatenate([p[:n], [p[at], p[at] + np.exp(p[at + 1])]])


def _resampled(t: Table, rng: np.random.Generator) -> Table:
    rows = rng.integers(0, len(t.y), len(t.y))
    return Table(t.x[rows], t.y[rows], t.domain[rows], t.names, t.classes, t.weight[rows])


def fit_head(
    examples: Sequence[Example],
    names: tuple[str, ...],
    *,
    priors: bool = True,
    signs: bool = True,
    draws: int = DRAWS,
    seed: int = 7,
) -> Fit:
    """One fit of both outcomes with `draws` bootstrap refits."""
    rng = np.random.default_rng(seed)
    n = len(names)
    rows: dict[str, list[Floats]] = {"repurchase": [], "wom": []}
    for outcome, found in rows.items():
        whole = table(examples, outcome, names)
        best = fit_ordinal(whole, names, priors=priors, signs=signs)
        again = [
            fit_ordinal(_resampled(whole, rng), names, priors=priors, signs=signs, start=best) for _ in range(draws)
        ]
        found += [_served(p, n, whole.names) for p in (best, *again)]
    matrices = {k: np.stack(v) for k, v in rows.items()}
    return Fit(names, matrices["repurchase"], matrices["wom"], _fit_advocate(examples, names, matrices))


def _fit_advocate(examples: Sequence[Example], names: Sequence[str], matrices: dict[str, Floats]) -> Floats:
    """P(stay and positive) from the two scores, by logistic regression on the annotated documents."""
    from sklearn.linear_model import LogisticRegression

    known = [e for e in examples if e.domain == "annotated"]
    x = np.stack([vector(e.features, names) for e in known])
    y = np.asarray([e.repurchase == 2 and e.wom == 2 for e in known])
    rows = []
    for stance, word in zip(matrices["repurchase"], matrices["wom"], strict=True):
        scores = np.stack([x @ stance[:-2], x @ word[:-2]], axis=1)
        model = LogisticRegression(C=1.0).fit(scores, y)
        rows.append([float(model.intercept_[0]), *model.coef_[0].tolist()])
    return np.asarray(rows)


def told_index(example: Example) -> float:
    """What the author turned out to say, from 0 (leaves and warns) to 100 (stays and speaks well), in steps of 25."""
    return 50.0 + 25 * (example.repurchase - 1) + 25 * (example.wom - 1)


def with_spread(fit: Fit, documents: Sequence[Example], share: float = 0.8) -> Fit:
    """The fit with intervals that hold `share` of the documents, which neither encoder nor heads were trained on.

    Split conformal prediction with a normalised score (Lei et al. 2018): the distance of the index from what the
    author turned out to say, in standard deviations that the fit itself expects.
    """
    scores = []
    for e in documents:
        x = vector(e.features, fit.features)
        index = float(fit.index(x, slice(0, 1))[0])
        scores.append(abs(told_index(e) - index) / fit.deviation(x))
    rank = min(1.0, share * (len(scores) + 1) / len(scores))
    return replace(fit, spread=float(np.quantile(scores, rank, method="higher")))


def fit(
    examples: Sequence[Example], *, documents: Sequence[Example] = (), priors: bool = True, signs: bool = True
) -> tuple[Fit, Fit]:
    """The full fit and the conduct-only fit, with intervals that are right on `documents` where there are any."""
    both = (fit_head(examples, names, priors=priors, signs=signs) for names in (FULL_FEATURES, CONDUCT_FEATURES))
    full, conduct = (with_spread(f, documents) if documents else f for f in both)
    return full, conduct
