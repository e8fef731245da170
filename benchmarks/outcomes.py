"""Whether outcomes that come weeks later move the loyalty head towards a truth that is known.

    python benchmarks/outcomes.py DATA [--cache FILE]

DATA is the folder of docs/training.md. Customers of a made-up company are drawn from documents that no training has
seen; each is predicted in some week, and six weeks later on average, for three of five, it is seen what became of them.
The rows are fed week by week through the same functions as `amends retrain --task loyalty`. Two kinds of truth:

drawn    the outcome is drawn from the champion's own probability, its score moved by a known intercept and slope
labels   the outcome is what the document's author or annotator said; customers are drawn so that the odds of a good
         outcome are those of the documents times a known factor, whatever the text says (as in a case-control study)

What is measured, is measured on documents that the stream does not hold. Writes outcomes.json beside this file:
figures, no text.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.bundle import RELEASED, file_digest, load_bundle, manifest
from model.loyalty import Fit, LoyaltyHead, sigmoid, vector
from model.scorer import Scorer
from model.types import CaseFeatures
from training import loyalty, loyalty_gate, recalibrate
from training.fit import training_texts
from training.labels import Rows, read_examples
from training.loyalty_figures import calibration_error
from training.outcomes import Head, Pair, Prediction, join
from training.recalibrate import Move

HERE: Final = Path(__file__).parent
BEGAN: Final = date(2026, 1, 5)
FILES: Final = ("conduct/validation.jsonl", "loyalty/recommend_validation.parquet", "loyalty/stars_validation.parquet")
REVIEWS: Final = 300
WEEKS: Final = 26
FED: Final = (0, 4, 8, 16, 40)
JUDGED: Final = (8, 40)
CUSTOMERS: Final = 800
SEEN: Final = 0.6
DELAY_WEEKS: Final = 6.0
SEEDS: Final = 10
EVALUATED: Final = 4000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Document:
    """A held-out document: its case, and 1, 0 or -1 (not told or in between) by head."""

    case: CaseFeatures
    repurchase: int
    wom: int
    source: str


@dataclass(frozen=True)
class Stream:
    """A company with a known truth. factor: what is added to the log-odds of the labels, where those are the truth."""

    name: str
    head: Head
    truth: Move | None
    factor: float = 0.0


STREAMS: Final = (
    Stream("drawn: as the champion expects", "repurchase", Move()),
    Stream("drawn: more leave", "repurchase", Move(-1.2, 1.0)),
    Stream("drawn: more stay, and it is harder to tell who", "repurchase", Move(0.8, 0.6)),
    Stream("drawn: easier to tell who leaves", "repurchase", Move(0.0, 1.6)),
    Stream("labels: word of mouth as told", "wom", None),
    Stream("labels: word of mouth, more warn", "wom", None, -1.5),
)


# ----------------------------------------------------------------------------------------------------------- documents


def documents(data: Path, cache: Path | None) -> list[Document]:
    """Held-out documents as the released model reads them, without their statements of loyalty."""
    key = " ".join(
        [file_digest(RELEASED / "encoder.onnx"), *(file_digest(data / name) for name in FILES), str(REVIEWS)]
    )
    if cache and cache.is_file() and (stored := json.loads(cache.read_text()))["key"] == key:
        return [Document(**d | {"case": CaseFeatures(**d["case"])}) for d in stored["documents"]]
    found = _read(data)
    if cache:
        cache.write_text(json.dumps({"key": key, "documents": [asdict(d) for d in found]}))
    return found


def _read(data: Path) -> list[Document]:
    scorer, seen = Scorer.load(), training_texts(data)
    annotated = loyalty.unseen(loyalty.customer_documents([data / FILES[0]]), seen)
    examples = [
        *loyalty.document_examples(scorer, annotated),
        *loyalty.recommend_examples(scorer, data / FILES[1], REVIEWS, seen),
        *loyalty.stars_examples(scorer, data / FILES[2], REVIEWS, seen),
    ]
    return [Document(e.features, _end(e.repurchase, e.classes), _end(e.wom, e.classes), e.domain) for e in examples]


def _end(outcome: int, classes: int) -> int:
    return {0: 0, classes - 1: 1}.get(outcome, -1)


# ------------------------------------------------------------------------------------------------------------- streams


def standing(fit: Fit, head: Head, cases: list[CaseFeatures]) -> Floats:
    """How far each score is from the middle of the cut points."""
    matrix: Floats = getattr(fit, head)
    x = np.stack([vector(c, fit.features) for c in cases])
    result: Floats = x @ matrix[0, :-2] - recalibrate.middle(matrix)[0]
    return result


def drawn(
    stream: Stream, fit: Fit, pool: list[Document], n: int, rng: np.random.Generator, *, repeated: bool = False
) -> tuple[list[CaseFeatures], NDArray[np.bool_]]:
    """Customers of the company and what becomes of each: n, or each document once where labels are the truth."""
    if stream.truth is not None:
        chosen = [pool[i] for i in rng.integers(0, len(pool), n)]
        z = standing(fit, stream.head, [d.case for d in chosen])
        p = sigmoid(recalibrate.log_odds(stream.truth(z), recalibrate.half_gap(getattr(fit, stream.head))))
        return [d.case for d in chosen], rng.random(n) < p
    told = [d for d in pool if getattr(d, stream.head) >= 0]
    weight = np.asarray([np.exp(stream.factor * getattr(d, stream.head)) for d in told])
    if repeated:
        chosen = [told[i] for i in rng.choice(len(told), n, p=weight / weight.sum())]
    else:
        # A document that came twice would bring the same outcome twice, and look like two customers.
        chosen = [told[i] for i in rng.permutation(len(told)) if rng.random() < weight[i] / weight.max()]
    return [d.case for d in chosen], np.asarray([getattr(d, stream.head) == 1 for d in chosen])


def rows(stream: Stream, cases: list[CaseFeatures], good: NDArray[np.bool_], rng: np.random.Generator) -> list[Any]:
    """(week, row) of every prediction and of the outcomes that are ever seen, as /v1/feedback takes them."""
    names = {"repurchase": ("left", "bought_again"), "wom": ("warned", "recommended")}[stream.head]
    found: list[Any] = []
    for i, case in enumerate(cases):
        week = int(rng.integers(0, WEEKS))
        seen = {
            "probabilities": dict(case.cues), "severity": case.severity, "failure": case.failure,
            "tenure": case.tenure, "valence": case.valence,
        }  # fmt: skip
        common = {"case_id": f"C-{i}"}
        found.append((week, {"kind": "prediction", "case": seen, "predicted_at": _day(week), **common}))
        if rng.random() < SEEN:
            later = week + 1 + int(rng.geometric(1 / (DELAY_WEEKS - 1)))
            outcome = {"kind": "outcome", "outcome": names[int(good[i])], "observed_at": _day(later), **common}
            found.append((later, outcome))
    return found


def _day(week: int) -> str:
    return (BEGAN + timedelta(weeks=week)).isoformat()


# ----------------------------------------------------------------------------------------------------------- measuring


def one_run(stream: Stream, head: LoyaltyHead, digest: str, pool: list[Document], seed: int) -> list[dict[str, Any]]:
    """Figures of each week that is fed, from the beginning."""
    rng = np.random.default_rng([seed, STREAMS.index(stream)])
    order = np.random.default_rng(seed).permutation(len(pool))
    half = len(pool) // 2
    known, held = [pool[i] for i in order[:half]], [pool[i] for i in order[half:]]
    customers = rows(stream, *drawn(stream, head.full, known, CUSTOMERS, rng), rng)
    cases, good = drawn(stream, head.full, held, EVALUATED, rng, repeated=True)
    z = standing(head.full, stream.head, cases)
    half_gap = recalibrate.half_gap(getattr(head.full, stream.head))
    found = []
    for week in FED:
        sent = [row for when, row in customers if when <= week]
        pairs = join(read_examples([Rows("feedback", sent)], "loyalty").used).pairs if sent else ()
        seen = recalibrate.observed(head.full, stream.head, "full", pairs, digest)
        move = recalibrate.fitted(seen)
        odds = recalibrate.log_odds(move(z), half_gap)
        p = sigmoid(odds)
        figures = {
            "outcomes": len(pairs),
            "intercept": move.intercept,
            "slope": move.slope,
            "moved_log_odds": float((odds - recalibrate.log_odds(z, half_gap)).mean()),
            "ece": calibration_error(p, good),
            "ece_by_chance": calibration_error(p, rng.random(len(p)) < p),
            "brier": float(((p - good) ** 2).mean()),
            "log_loss": float(recalibrate.log_losses(p, good).mean()),
        }
        if stream.truth is not None:
            true = sigmoid(recalibrate.log_odds(stream.truth(z), half_gap))
            figures["distance_from_truth"] = float(np.abs(p - true).mean())
        if week in JUDGED:
            figures |= _judged(head, sent, digest)
        found.append({"week": week, **figures})
    return found


def _judged(head: LoyaltyHead, sent: list[Any], digest: str) -> dict[str, Any]:
    updated = loyalty_gate.update(head, join(read_examples([Rows("feedback", sent)], "loyalty").used), digest)
    changed = {name: h["changed"] for name, h in updated.report["heads"].items() if h["changed"]}
    return {
        "share_promoted": float(all(c.passed for c in updated.checks)),
        "share_full_changed": float(any(name.startswith("full") for name in changed)),
        "share_conduct_changed": float(any(name.startswith("conduct") for name in changed)),
        "share_weights_refitted": float("weights" in changed.values()),
    }


def summary(runs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Mean and the 2.5 and 97.5 percentiles over the runs, by week; shares as they are."""
    weeks = []
    for together in zip(*runs, strict=True):
        week: dict[str, Any] = {"week": together[0]["week"]}
        for name in [k for k in together[0] if k != "week"]:
            values = [found[name] for found in together if name in found]
            low, high = np.percentile(values, [2.5, 97.5])
            figures = [round(float(v), 4) for v in (np.mean(values), low, high)]
            week[name] = figures[0] if name.startswith("share") else figures
        weeks.append(week)
    return weeks


def added(told: list[list[dict[str, Any]]], runs: list[list[dict[str, Any]]]) -> list[float]:
    """What the last week adds to the mean log-odds, over what the stream as told adds: mean and percentiles."""
    differences = [b[-1]["moved_log_odds"] - a[-1]["moved_log_odds"] for a, b in zip(told, runs, strict=True)]
    return [round(float(v), 4) for v in (np.mean(differences), *np.percentile(differences, [2.5, 97.5]))]


def in_the_long_run(stream: Stream, fit: Fit, pool: list[Document]) -> Move:
    """The move without a prior that fits all documents of the pool best: where an endless stream would lead."""
    if stream.truth is not None:
        return stream.truth
    told = [d for d in pool if getattr(d, stream.head) >= 0]
    pairs = [
        Pair(str(i), stream.head, getattr(d, stream.head) == 1, BEGAN, Prediction(None, d.case, {}), "own")
        for i, d in enumerate(told)
    ]
    weight = np.asarray([np.exp(stream.factor * p.good) for p in pairs])
    return recalibrate.fitted(recalibrate.observed(fit, stream.head, "full", pairs, ""), 1e4 * weight)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path, help="file that keeps what was read in the documents")
    args = parser.parse_args(argv)
    bundle, pool = load_bundle(), documents(args.data, args.cache)
    found: dict[str, Any] = {}
    told: dict[Head, list[list[dict[str, Any]]]] = {}
    for stream in STREAMS:
        runs = [one_run(stream, bundle.loyalty, bundle.info.digest, pool, seed) for seed in range(SEEDS)]
        truth = in_the_long_run(stream, bundle.loyalty.full, pool)
        found[stream.name] = {
            "head": stream.head,
            "truth": {"intercept": round(truth.intercept, 4), "slope": round(truth.slope, 4)},
            "added_log_odds": stream.factor if stream.truth is None else None,
            "documents": len(pool) if stream.truth else sum(getattr(d, stream.head) >= 0 for d in pool),
            "weeks": summary(runs),
        }
        if stream.truth is None:
            told.setdefault(stream.head, runs)
            found[stream.name]["added_log_odds_found"] = added(told[stream.head], runs)
        last = found[stream.name]["weeks"][-1]
        print(stream.name, {k: v for k, v in last.items() if k != "week"}, flush=True)
    result = {
        "bundle": manifest(RELEASED)["version"],
        "digest": bundle.info.digest,
        "data": {name: file_digest(args.data / name) for name in FILES},
        "documents": len(pool),
        "sources": {s: sum(d.source == s for d in pool) for s in sorted({d.source for d in pool})},
        "runs": SEEDS,
        "streams": found,
    }
    (HERE / "outcomes.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
