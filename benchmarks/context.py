"""Whether a sentence keeps its own tone among others: sentences of reviews, scored in their review and alone.

    python -m benchmarks.context DATA [--bundle FOLDER]

sentences_in_context.jsonl beside this file marks each sentence of 156 validation reviews (by digest and offset) with
the label that a language model gave it after reading the whole review; mixed ones count as neutral. DATA is the folder
of docs/training.md. Reviews that any source of training holds are left out. The others are parted by their digest:
`chosen` may help to choose between networks, `kept` may not. Writes context.json beside this file; with --bundle it
only prints.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from model.bundle import RELEASED, file_digest, load_bundle, manifest
from model.codebook import SENTIMENT
from model.reading.table import read_table
from model.scorer import Scorer
from training.fit import training_texts
from training.loyalty_figures import interval
from training.marks import Row, candidates, digest, passages
from training.overlap import unseen

HERE = Path(__file__).parent
MARKS = HERE / "sentences_in_context.jsonl"
REVIEWS = ("loyalty/recommend_validation.parquet", "loyalty/stars_validation.parquet")

Ints = NDArray[np.int64]


def reviews(data: Path) -> list[Row]:
    """The marked reviews that training has not seen."""
    below = (text for name in REVIEWS for text in candidates(read_table(data / name).to_pylist()))
    rows, missing = passages(MARKS, below)
    if missing:
        raise SystemExit(f"{missing} marked sentences have no text below {data}")
    return unseen(rows, training_texts(data))


def is_chosen(row: Row) -> bool:
    """Half of the reviews, whatever their order."""
    return int(digest(row["text"])[:8], 16) % 2 == 0


def labels(scorer: Scorer, rows: Sequence[Row]) -> Ints:
    """Of each marked sentence (n, 4): review, true label, label in its review, label alone."""
    found = []
    for number, (row, scored) in enumerate(zip(rows, scorer.read_texts([r["text"] for r in rows]), strict=True)):
        read = {(s.start, s.end): s.sentiment.label for s in scored.sentences}
        alone = scorer.sentiment([row["text"][start:end] for start, end, _ in row["marks"]])
        for (start, end, label), one in zip(row["marks"], alone, strict=True):
            if one and (start, end) in read:
                found.append((number, *map(SENTIMENT.index, (label, read[start, end], one.label))))
    return np.asarray(found, dtype=np.int64)


def figures(found: Ints) -> dict[str, Any]:
    """Macro F1 and the share with the opposite label, in context and alone; intervals by resampling reviews."""
    of_review = [np.flatnonzero(found[:, 0] == number) for number in np.unique(found[:, 0])]
    result: dict[str, Any] = {"reviews": len(of_review), "sentences": len(found)}

    def macro(rows: Ints, column: int) -> float:
        return float(f1_score(found[rows, 1], found[rows, column], average="macro", zero_division=0))

    for name, column in (("in_context", 2), ("alone", 3)):

        def of_reviews(drawn: Ints, column: int = column) -> float:
            return macro(np.concatenate([of_review[i] for i in drawn]), column)

        result[name] = {
            "macro_f1": round(macro(np.arange(len(found)), column), 4),
            "interval": interval(len(of_review), of_reviews),
            "opposite": round(float((np.abs(found[:, 1] - found[:, column]) == 2).mean()), 4),
        }
    return result | {"read_alike": round(float((found[:, 2] == found[:, 3]).mean()), 4)}


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("data", type=Path)
    options.add_argument("--bundle", type=Path, help="a bundle that is not the released one: print, write nothing")
    a = options.parse_args()
    folder = a.bundle or RELEASED
    rows = reviews(a.data)
    scorer = Scorer(load_bundle(folder))
    parts = {"chosen": [r for r in rows if is_chosen(r)], "kept": [r for r in rows if not is_chosen(r)]}
    results: dict[str, Any] = {"bundle": manifest(folder)["version"], "marks": file_digest(MARKS)}
    results |= {name: figures(labels(scorer, part)) for name, part in parts.items()}
    print(json.dumps(results, indent=1))
    if not a.bundle:
        (HERE / "context.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
