"""How well wrong labels are found, whether the texts that are chosen teach more than others, and what drift is seen.

    python -m benchmarks.review DATA

DATA is the folder sentiment/ with dev.parquet, tweeteval_test.parquet and sst3_test.parquet. Writes review.json beside
this file: figures, no text.

Wrong labels: of 2,000 development texts 10 % or 30 % get another label by chance. Labels that were wrong before count
as right, so precision is a lower bound. Teaching: the head is moved by texts of one source, as a retraining moves it,
and measured on the rest of it. Drift: 1,000 texts each of what looks like the training texts and
of what does not.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model.bundle import file_digest
from model.codebook import SENTIMENT
from model.drift import load_reference
from model.drift_report import compare
from model.review import Readings, doubtful, read_texts, teaching
from model.scorer import Scorer
from model.sentiment import SentimentHead, softmax
from training import tune
from training.gate import macro_f1
from training.label_errors import wrong_labels

TEXTS = 2000
SEEDS = 5
STEPS = (50, 100, 200)
TEACHING_SEEDS = 10
BESIDE = 1500
# Sources of dev.parquet with enough texts to learn from and to measure on.
SOURCES = ("dynasent_r1", "dynasent_r2", "sst", "tweeteval")


Ints = NDArray[np.int64]


def flipped(labels: list[str], rate: float, rng: np.random.Generator) -> tuple[list[str], NDArray[np.bool_]]:
    """The labels, of which a share was changed to another one, and which ones."""
    wrong = rng.random(len(labels)) < rate
    given = [str(rng.choice([o for o in SENTIMENT if o != y])) if w else y for y, w in zip(labels, wrong, strict=True)]
    return given, wrong


def found_figures(found: list[int], wrong: NDArray[np.bool_]) -> dict[str, float]:
    """Of a ranked list: precision, recall, and precision of its first 100."""
    hits = wrong[np.asarray(found, dtype=np.int64)]
    return {
        "listed": len(found),
        "precision": float(hits.mean()),
        "recall": float(hits.sum() / wrong.sum()),
        "precision_first_100": float(hits[:100].mean()),
    }


def errors(readings: Readings, labels: list[str], rate: float) -> dict[str, Any]:
    """Figures of each way to find wrong labels: mean over seeds, and the standard deviation."""
    runs: dict[str, list[dict[str, float]]] = {}
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        places = rng.choice(len(labels), TEXTS, replace=False)
        part = readings.part(places.tolist())
        given, wrong = flipped([labels[i] for i in places], rate, rng)
        disagrees = doubtful(part.probabilities, given)
        ways = {
            "random": rng.permutation(TEXTS)[: len(disagrees)].tolist(),
            "model disagrees": disagrees,
            **{f: wrong_labels(given, part.probabilities, filter_by=f) for f in ("confident_learning", "both")},
        }
        for name, found in ways.items():
            runs.setdefault(name, []).append(found_figures(found, wrong))
    return {
        name: {
            key: [round(float(f([r[key] for r in rows])), 3) for f in (np.mean, np.std)] for key in rows[0]
        }
        for name, rows in runs.items()
    }  # fmt: skip


def learnt(head: SentimentHead, readings: Readings, labels: Ints, taught: list[int], beside: Readings) -> SentimentHead:
    """The head after the labels of `taught`, as a retraining moves it: with other texts as the model reads them."""
    soft = softmax(head.logits(beside.vectors)).astype(np.float64)
    return tune.fit_head(
        readings.vectors[taught], tune.one_hot(labels[taught]), beside.vectors, soft, head, tune.PULLS[-1]
    )


def curve(head: SentimentHead, readings: Readings, labels: Ints, beside: Readings) -> dict[str, Any]:
    """Gain of macro F1 after each of STEPS labels, chosen or random, and how often the model is wrong about them.

    Means over splits of the source into texts to choose from and texts to measure on, with standard deviations.
    """
    rows: dict[int, list[tuple[float, ...]]] = {step: [] for step in STEPS}
    for seed in range(TEACHING_SEEDS):
        order = np.random.default_rng(seed).permutation(len(labels))
        pool, rest = order[: len(order) * 2 // 3].tolist(), order[len(order) * 2 // 3 :]
        chosen = [pool[i] for i in teaching(readings.part(pool), max(STEPS))]
        said = head.logits(readings.vectors).argmax(axis=1)

        def gain(taught: list[int], rest: Ints = rest, said: Ints = said) -> float:
            moved = learnt(head, readings, labels, taught, beside).logits(readings.vectors[rest]).argmax(axis=1)
            return macro_f1(labels[rest], moved) - macro_f1(labels[rest], said[rest])

        for step in STEPS:
            ways = (chosen[:step], pool[:step])
            rows[step].append((*map(gain, ways), *(float((said[w] != labels[w]).mean()) for w in ways)))
    result: dict[str, Any] = {}
    for step, found in rows.items():
        table = np.asarray(found)
        means, spread = table.mean(axis=0).round(4).tolist(), table.std(axis=0, ddof=1).round(4).tolist()
        names = ("gain_chosen", "gain_random", "wrong_before_chosen", "wrong_before_random")
        result[str(step)] = {name: [m, d] for name, m, d in zip(names, means, spread, strict=True)}
    return result


def drift_of(scorer: Scorer, texts: list[str]) -> dict[str, Any]:
    """Verdict and indices for at most 1,000 texts."""
    reference = load_reference()
    if reference is None:
        raise SystemExit("the released bundle has no reference")
    rng = np.random.default_rng(0)
    some = [texts[i] for i in rng.permutation(len(texts))[:1000]]
    found = compare(scorer, reference, some)
    indices = {a.name: [a.psi, a.chance] for a in found.aspects}
    return {"texts": found.texts, "verdict": found.verdict, "index_and_chance": indices}


def main() -> None:
    """Command line of the module."""
    data = Path(sys.argv[1])
    scorer = Scorer.load()
    names = ("train", "dev", "tweeteval_test", "sst3_test")
    tables = {name: pq.read_table(data / f"{name}.parquet").to_pydict() for name in names}
    dev = tables["dev"]
    readings = read_texts(scorer, dev["text"])
    there = [i for i, s in enumerate(readings.sentiments) if s]
    readings, labels = readings.part(there), [dev["label"][i] for i in there]
    sources = np.asarray([dev["source"][i] for i in there])
    teach = {}
    head, truth = tune.scaled(scorer.bundle.sentiment), np.asarray([SENTIMENT.index(label) for label in labels])
    for source in SOURCES:
        places, others = (np.flatnonzero(rows) for rows in (sources == source, sources != source))
        beside = np.random.default_rng(0).permutation(others)[:BESIDE].tolist()
        teach[source] = curve(head, readings.part(places.tolist()), truth[places], readings.part(beside))
    report = {
        "data": {f"{name}.parquet": file_digest(data / f"{name}.parquet") for name in names},
        "bundle": scorer.info.version,
        "texts": TEXTS,
        "wrong_labels_mean_and_deviation": {str(rate): errors(readings, labels, rate) for rate in (0.1, 0.3)},
        "teaching": teach,
        "drift": {
            "training texts": drift_of(scorer, tables["train"]["text"]),
            **{name: drift_of(scorer, tables[name]["text"]) for name in ("tweeteval_test", "sst3_test")},
        },
    }
    out = Path(__file__).with_suffix(".json")
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
