"""How good the loyalty estimate is on companies that it never saw, beside baselines that read the same masked texts.

Outcomes are recommendations and stars (word of mouth, two classes) or an annotator's reading (both outcomes). Every
probability is given with and without an intercept of the source's own, estimated on other companies of the source.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from model.codebook import FAILURE_TYPES
from model.loyalty import CONDUCT_FEATURES, FULL_FEATURES, Fit, LoyaltyHead, sigmoid, vector
from training.loyalty import Example, fit_head, fit_ordinal, table, told_index, with_spread

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
RESAMPLES = 200
BINS = 10
# Fewer texts of one outcome than this say nothing about a company of its own.
ENOUGH = 10
LEFT_OUT = 40
# With fewer texts than this a word that stands in one of them may still count.
FEW = 200
COVERAGES = (1.0, 0.9, 0.8, 0.6, 0.4, 0.2)

Predict = Callable[[Sequence[Example]], Floats]
Learn = Callable[[Sequence[Example]], Predict]


def interval(n: int, score: Callable[[Ints], float], seed: int = 0) -> list[float]:
    """95 % bootstrap interval of a score of row indices, over n rows."""
    rng = np.random.default_rng(seed)
    values = [score(rng.integers(0, n, n)) for _ in range(RESAMPLES)]
    return [round(float(v), 4) for v in np.percentile(values, [2.5, 97.5])]


def decided(examples: Sequence[Example]) -> list[Example]:
    """Those with one of the two outer outcomes of word of mouth."""
    return [e for e in examples if e.wom in (0, e.classes - 1)]


def good(examples: Sequence[Example]) -> Bools:
    """Whether each speaks well of the company, (n,)."""
    return np.asarray([e.wom == e.classes - 1 for e in examples])


def house(name: str) -> str:
    """A company under one spelling: "British Airways" and "british-airways" are one."""
    return " ".join(re.findall(r"\w+", name.casefold().replace("_", " ")))


def word_scores(fit: Fit, examples: Sequence[Example]) -> Floats:
    """Linear score of word of mouth, (n,)."""
    x = np.stack([vector(e.features, fit.features) for e in examples])
    result: Floats = x @ fit.wom[0, :-2]
    return result


def logit(p: Floats) -> Floats:
    """The inverse of the logistic function, away from 0 and 1."""
    clipped = np.clip(p, 1e-6, 1 - 1e-6)
    result: Floats = np.log(clipped / (1 - clipped))
    return result


def intercept(scores: Floats, truth: Bools) -> float:
    """What is to be added to log-odds so that they are most likely, their slope left alone."""

    def loss(b: float) -> float:
        p = sigmoid(scores + b)
        return float(-np.where(truth, np.log(p + 1e-12), np.log(1 - p + 1e-12)).mean())

    return float(minimize_scalar(loss, bounds=(-10, 10), method="bounded").x)


def of_head(fit: Fit) -> Learn:
    """The head's word of mouth, with the intercept learnt and all else as it is."""

    def learn(examples: Sequence[Example]) -> Predict:
        b = intercept(word_scores(fit, examples), good(examples))
        return lambda found: sigmoid(word_scores(fit, found) + b)

    return learn


def as_served(fit: Fit, examples: Sequence[Example]) -> Floats:
    """P(positive) against P(negative) with the cut points of the annotated documents, half way between the two."""
    return sigmoid(word_scores(fit, examples) - fit.wom[0, -2:].mean())


def _regression(features: Callable[[Sequence[Example]], Floats]) -> Learn:
    def learn(examples: Sequence[Example]) -> Predict:
        model = LogisticRegression(C=10.0, max_iter=500).fit(features(examples), good(examples))
        return lambda found: np.asarray(model.predict_proba(features(found))[:, 1])

    return learn


def _valence(examples: Sequence[Example]) -> Floats:
    return np.asarray([[e.features.valence or 0.0] for e in examples])


def _failure(examples: Sequence[Example]) -> Floats:
    kinds = [[float(e.failure_type == kind) for kind in FAILURE_TYPES] for e in examples]
    rest = [[e.features.severity, float(np.log1p(e.features.length))] for e in examples]
    return np.concatenate([np.asarray(kinds), np.asarray(rest)], axis=1)


def _tfidf(examples: Sequence[Example]) -> Predict:
    texts = [e.text for e in examples]
    if not any(re.search(r"\w\w", t) for t in texts):
        return _base_rate(examples)
    model = make_pipeline(
        TfidfVectorizer(
            ngram_range=(1, 2), min_df=2 if len(texts) >= FEW else 1, sublinear_tf=True, max_features=50_000
        ),
        LogisticRegression(C=10.0, max_iter=200),
    ).fit(texts, good(examples))
    return lambda found: np.asarray(model.predict_proba([e.text for e in found])[:, 1])


def _base_rate(examples: Sequence[Example]) -> Predict:
    rate = float(good(examples).mean())
    return lambda found: np.full(len(found), rate)


BASELINES: dict[str, Learn] = {
    "base_rate": _base_rate,
    "failure_and_length": _regression(_failure),
    "sentiment_only": _regression(_valence),
    "tfidf": _tfidf,
}


def folds(examples: Sequence[Example], most: int = 5) -> Iterator[tuple[list[int], list[int]]]:
    """Rows to learn from and rows to judge, companies apart; rows of one company alone are cut into five."""
    sizes: defaultdict[str, list[int]] = defaultdict(list)
    for i, e in enumerate(examples):
        sizes[house(e.company)].append(i)
    if len(sizes) == 1:
        groups = [list(range(k, len(examples), most)) for k in range(min(most, len(examples)))]
    else:
        groups = [[] for _ in range(min(most, len(sizes)))]
        for rows in sorted(sizes.values(), key=len, reverse=True):
            min(groups, key=len).extend(rows)
    for group in groups:
        held = set(group)
        yield [i for i in range(len(examples)) if i not in held], group


def predicted(learn: Learn, examples: Sequence[Example], reference: Sequence[Example] = ()) -> Floats:
    """P(positive) of each example by what was learnt on `reference`, or out of fold where there is none."""
    if reference:
        return learn(reference)(examples)
    result = np.full(len(examples), np.nan)
    for known, held in folds(examples):
        seen = [examples[i] for i in known]
        if not 0 < good(seen).sum() < len(seen):
            seen = list(examples)
        result[held] = learn(seen)([examples[i] for i in held])
    return result


def calibration_error(p: Floats, truth: Bools, bins: int = BINS) -> float:
    """Mean distance of probability and share over bins of as many texts each."""
    parts = [rows for rows in np.array_split(np.argsort(p, kind="stable"), bins) if len(rows)]
    return float(sum(abs(p[rows].mean() - truth[rows].mean()) * len(rows) for rows in parts) / len(p))


def slope(p: Floats, truth: Bools) -> float:
    """Slope of the outcome on the log-odds: 1 is right, below 1 is too sure, above 1 too unsure."""
    model = LogisticRegression(C=1e6, max_iter=500).fit(logit(p)[:, None], truth)
    return float(model.coef_[0, 0])


def probability_figures(p: Floats, truth: Bools) -> dict[str, Any]:
    """AUC with its interval, Brier skill against the base rate of these texts, slope and calibration error.

    ece_by_chance: the calibration error that probabilities which are exactly right would have on as many texts.
    """

    def auc(rows: Ints) -> float:
        return float(roc_auc_score(truth[rows], p[rows])) if 0 < truth[rows].sum() < len(rows) else 0.5

    rate = truth.mean()
    constant = bool(np.ptp(p) < 1e-9)
    rng = np.random.default_rng(0)
    if_right = np.mean([calibration_error(p, rng.random(len(p)) < p) for _ in range(20)])
    return {
        "auc": round(auc(np.arange(len(p))), 4),
        "interval": interval(len(p), auc),
        "brier_skill": round(float(1 - ((p - truth) ** 2).mean() / (rate * (1 - rate))), 4),
        "slope": None if constant else round(slope(p, truth), 4),
        "ece": round(calibration_error(p, truth), 4),
        "ece_by_chance": round(float(if_right), 4),
    }


def word_figures(
    head: LoyaltyHead, examples: Sequence[Example], reference: Sequence[Example] = (), *, baselines: bool = True
) -> dict[str, Any]:
    """Figures of word of mouth for all texts and for those that tell of a failure and a reaction.

    reference: examples of the same source and of other companies, from which intercepts and baselines are learnt; where
    there are none they are learnt on the other companies of the examples.
    """
    kept, known = decided(examples), decided(reference)
    figures: dict[str, Any] = {"companies": len({e.company for e in kept})}
    truth = good(kept)
    if not 0 < truth.sum() < len(truth):
        return figures
    ours = {"full": head.full, "conduct_only": head.conduct}
    with_intercept = {name: predicted(of_head(fit), kept, known) for name, fit in ours.items()}
    served = {name: as_served(fit, kept) for name, fit in ours.items()}
    others = {name: predicted(learn, kept, known) for name, learn in BASELINES.items()} if baselines else {}
    for name, rows in (("all", np.arange(len(kept))), ("answered_failure", _answered(kept))):
        if 0 < truth[rows].sum() < len(rows):
            figures[name] = {"n": len(rows), "positive": round(float(truth[rows].mean()), 4)}
            for kind, p in {**with_intercept, **others}.items():
                figures[name][kind] = probability_figures(p[rows], truth[rows])
            for kind, p in served.items():
                figures[name][kind]["ece_without_intercept"] = round(calibration_error(p[rows], truth[rows]), 4)
    figures["by_company"] = _by_company(kept, truth, with_intercept["full"], served["full"])
    figures["abstention"] = risk_by_coverage(
        np.abs(with_intercept["full"] - 0.5), (with_intercept["full"] > 0.5) != truth
    )
    return figures


def _answered(examples: Sequence[Example]) -> Ints:
    return np.flatnonzero([e.answered for e in examples])


def _by_company(examples: Sequence[Example], truth: Bools, p: Floats, served: Floats) -> dict[str, Any]:
    found = {}
    names = np.asarray([house(e.company) for e in examples])
    drawn = np.random.default_rng(0).random((20, len(p))) < p
    for name in sorted(set(names)):
        rows = names == name
        if min(truth[rows].sum(), (~truth[rows]).sum()) >= ENOUGH:
            found[str(name)] = {
                "n": int(rows.sum()),
                "auc": round(float(roc_auc_score(truth[rows], p[rows])), 4),
                "ece": round(calibration_error(p[rows], truth[rows]), 4),
                "ece_by_chance": round(float(np.mean([calibration_error(p[rows], d) for d in drawn[:, rows]])), 4),
                "ece_without_intercept": round(calibration_error(served[rows], truth[rows]), 4),
            }
    return found


def risk_by_coverage(confidence: Floats, wrong: NDArray[Any]) -> dict[str, float]:
    """Mean of `wrong` over the surest share of the texts, by share: what is won by leaving out the unsure ones."""
    order = np.argsort(-confidence, kind="stable")
    return {f"{c:g}": round(float(np.mean(wrong[order[: max(1, round(c * len(order)))]])), 4) for c in COVERAGES}


def document_figures(head: LoyaltyHead, documents: Sequence[Example]) -> dict[str, Any]:
    """The 80 % interval against what authors turned out to say, by company; and whether narrow intervals err less."""
    told = np.asarray([told_index(e) for e in documents])
    figures: dict[str, Any] = {"n": len(documents)}
    for name, fit in (("full", head.full), ("conduct_only", head.conduct)):
        index, low, high = intervals(fit, documents)
        inside = (low <= told) & (told <= high)
        figures[name] = {
            "coverage": round(float(inside.mean()), 4),
            "coverage_interval": interval(len(inside), _share(inside)),
            "width": round(float((high - low).mean()), 2),
            "mean_error": round(float(np.abs(told - index).mean()), 2),
            "correlation": round(float(np.corrcoef(told, index)[0, 1]), 4),
            "coverage_by_company": _coverage_by_company(documents, inside),
            "mean_error_by_coverage": risk_by_coverage(low - high, np.abs(told - index)),
        }
    return figures


def _share(inside: Bools) -> Callable[[Ints], float]:
    return lambda rows: float(inside[rows].mean())


def intervals(fit: Fit, documents: Sequence[Example]) -> tuple[Floats, Floats, Floats]:
    """Index, low and high of each document, (n,) each."""
    rows = []
    for e in documents:
        x = vector(e.features, fit.features)
        index = float(fit.index(x, slice(0, 1))[0])
        rows.append((index, *fit.interval(x, index)))
    found = np.asarray(rows)
    return found[:, 0], found[:, 1], found[:, 2]


def _coverage_by_company(documents: Sequence[Example], inside: Bools) -> dict[str, Any]:
    names = np.asarray([house(e.company) for e in documents])
    groups = {str(n): names == n for n in sorted(set(names)) if (names == n).sum() >= ENOUGH}
    return {n: {"n": int(r.sum()), "coverage": round(float(inside[r].mean()), 4)} for n, r in groups.items()}


def left_out_companies(train: Sequence[Example], domain: str = "recommend") -> dict[str, Any]:
    """Each company of a source judged by a head that was fitted without it, pooled and one by one.

    The intercept is the one that the source had without that company.
    """
    names = [house(e.company) for e in train]
    sizes = {n: sum(e.domain == domain and m == n for e, m in zip(train, names, strict=True)) for n in set(names)}
    p: list[Floats] = []
    kept: list[Example] = []
    for name in sorted(n for n, size in sizes.items() if size >= LEFT_OUT):
        rest = [e for e, n in zip(train, names, strict=True) if n != name]
        held = decided([e for e, n in zip(train, names, strict=True) if n == name and e.domain == domain])
        p.append(_refitted(rest, domain, FULL_FEATURES)(held))
        kept += held
    if not kept:
        return {}
    found, truth = np.concatenate(p), good(kept)
    by_company = _by_company(kept, truth, found, found)
    for figures in by_company.values():
        del figures["ece_without_intercept"]
    return {"n": len(kept), "full": probability_figures(found, truth), "by_company": by_company}


def _refitted(rest: Sequence[Example], domain: str, features: tuple[str, ...]) -> Predict:
    t = table(rest, "wom", features)
    p = fit_ordinal(t, features)
    n, at = len(features), t.names.index(domain)
    cut = p[n + 2 * at] + (np.exp(p[n + 2 * at + 1]) / 2 if t.classes[at] == 3 else 0.0)
    return lambda found: sigmoid(np.stack([vector(e.features, features) for e in found]) @ p[:n] - cut)


def transferred(train: Sequence[Example], tests: Mapping[str, Sequence[Example]]) -> dict[str, Any]:
    """Word of mouth of one source ("recommend", "stars") judged by weights of the other, both ways.

    Only weights cross; the intercept is learnt on other companies of the source that is judged.
    """
    figures = {}
    for source, target in (("recommend", "stars"), ("stars", "recommend")):
        known = [e for e in train if e.domain == source]
        held = decided([e for e in (*train, *tests.get(target, ())) if e.domain == target])
        if not known or not held:
            continue
        truth = good(held)
        figures[f"{source}_to_{target}"] = {"n": len(held)} | {
            name: probability_figures(predicted(of_head(_weights(known, features)), held), truth)
            for name, features in (("full", FULL_FEATURES), ("conduct_only", CONDUCT_FEATURES))
        }
    return figures


def _weights(examples: Sequence[Example], features: tuple[str, ...]) -> Fit:
    t = table(examples, "wom", features)
    row = np.concatenate([fit_ordinal(t, features)[: len(features)], [0.0, 1.0]])[None]
    return Fit(features, row, row, np.zeros((1, 3)))


def left_out_coverage(train: Sequence[Example], documents: Sequence[Example]) -> dict[str, Any]:
    """Coverage of 80 % intervals on annotated documents of each company, fitted and spread without that company."""
    names = [house(e.company) for e in documents]
    inside: list[bool] = []
    kept: list[Example] = []
    for name in sorted({n for n in names if names.count(n) >= ENOUGH}):
        held = [e for e, n in zip(documents, names, strict=True) if n == name]
        others = [e for e, n in zip(documents, names, strict=True) if n != name]
        fit = fit_head([e for e in train if house(e.company) != name], FULL_FEATURES, draws=0)
        _, low, high = intervals(with_spread(fit, others), held)
        inside += [bool(a <= told_index(e) <= b) for e, a, b in zip(held, low, high, strict=True)]
        kept += held
    covered = np.asarray(inside)
    return {
        "n": len(kept),
        "coverage": round(float(covered.mean()), 4),
        "by_company": _coverage_by_company(kept, covered),
    }
