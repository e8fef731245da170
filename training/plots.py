"""Pictures of a bundle: how far its probabilities can be trusted, what it confuses, how it was trained.

    python -m training.plots DATA [--bundle FOLDER] [--out docs/plots]

DATA holds tweeteval_test.parquet and sst3_test.parquet (text, label). `amends evaluate --plot` draws the first
three for any labelled table.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.bundle import RELEASED
from model.codebook import SENTIMENT
from model.scorer import Scorer
from training.calibrate import expected_calibration_error
from training.evaluate import as_array, labelled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TESTS = ("tweeteval_test", "sst3_test")
BINS = 15
COLOURS = {"negative": "#b3402e", "neutral": "#8a8a8a", "positive": "#2f7d4f"}
INK = "#30507a"
# Names that a reader of the training curve understands; others are shown as they are.
CURVES = {
    "sentiment": "loss: sentiment",
    "target": "loss: sentiment towards targets",
    "conduct": "loss: conduct",
    "dev_macro_f1": "macro F1 on development data",
}


@dataclass(frozen=True)
class Bin:
    """Texts whose highest probability lies round centre. accuracy: with its 95 % Wilson interval; all in [0, 1]."""

    centre: float
    n: int
    confidence: float
    accuracy: float
    low: float
    high: float


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), n at least 1."""
    z = 1.959964
    centre = (hits + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * (hits * (n - hits) / n + z * z / 4) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)


def reliability_bins(probabilities: Floats, truth: Ints, bins: int = BINS) -> list[Bin]:
    """Bins that hold a text, by rising confidence. probabilities (n, 3), truth (n,)."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    found = []
    for number in range(bins):
        rows = which == number
        n, hits = int(rows.sum()), int(correct[rows].sum())
        if n:
            found.append(Bin((number + 0.5) / bins, n, float(confidence[rows].mean()), hits / n, *wilson(hits, n)))
    return found


def reliability(probabilities: Floats, truth: Ints) -> Figure:
    """Accuracy over confidence with intervals, and how many texts each bin holds."""
    bins = reliability_bins(probabilities, truth)
    confidence, accuracy = (np.asarray([getattr(b, key) for b in bins]) for key in ("confidence", "accuracy"))
    errors = np.asarray([[b.accuracy - b.low for b in bins], [b.high - b.accuracy for b in bins]])
    figure = Figure(figsize=(4.6, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--", label="as sure as right")
    above.errorbar(
        confidence, accuracy, yerr=np.maximum(errors, 0), fmt="o-", color=INK, markersize=4, linewidth=1, capsize=2,
        label="bundle, 95 % interval",
    )  # fmt: skip
    gap = expected_calibration_error(probabilities, truth, BINS)
    above.set(ylabel="share that is right", ylim=(0, 1), title=f"{len(truth):,} texts, calibration error {gap:.3f}")
    above.legend(loc="upper left", frameon=False)
    counts = [b.n for b in bins]
    below.bar([b.centre for b in bins], counts, width=0.9 / BINS, color=INK)
    for b in bins:
        below.annotate(f"{b.n:,}", (b.centre, b.n), ha="center", va="bottom", fontsize=6)
    below.set(
        xlabel="probability of the label that is given", ylabel="texts", xlim=(0.3, 1), ylim=(0, max(counts) * 1.2)
    )
    _plain(above, below)
    return figure


def confusion(probabilities: Floats, truth: Ints) -> Figure:
    """Counts, and the share of each true label, of what is read for what."""
    counts = np.zeros((3, 3), dtype=int)
    np.add.at(counts, (truth, probabilities.argmax(axis=1)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(4.4, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(3):
        for column in range(3):
            share = shares[row, column]
            words = f"{counts[row, column]:,}\n{share:.0%}"
            axes.text(column, row, words, ha="center", va="center", color="white" if share > 0.55 else "black")
    axes.set(xlabel="label that is given", ylabel="true label", title="share of each true label")
    axes.set_xticks(range(3), SENTIMENT)
    axes.set_yticks(range(3), SENTIMENT)
    return figure


def scores(probabilities: Floats, truth: Ints) -> Figure:
    """How the valence is spread for each true label."""
    valence = probabilities[:, 2] - probabilities[:, 0]
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    rows = figure.subplots(3, 1, sharex=True)
    for number, (axes, name) in enumerate(zip(rows, SENTIMENT, strict=True)):
        values = valence[truth == number]
        axes.hist(values, bins=40, range=(-1, 1), color=COLOURS[name])
        axes.set_ylabel("texts")
        axes.set_title(f"{name}: {len(values):,}", fontsize=9, loc="left")
    rows[-1].set(xlabel="valence: positive less negative probability", xlim=(-1, 1), xticks=(-1, -0.5, 0, 0.5, 1))
    _plain(*rows)
    return figure


def training_curve(curve: Sequence[Mapping[str, float]]) -> Figure:
    """Each value of the curve over the steps, in a panel of its own. Entries hold `step` and some of the values."""
    names = list(dict.fromkeys(key for entry in curve for key in entry if key != "step"))
    figure = Figure(figsize=(3.2 * max(len(names), 1), 2.8), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, max(len(names), 1))), names, strict=False):
        points = [(entry["step"], entry[name]) for entry in curve if name in entry]
        axes.plot(*zip(*points, strict=True), color=INK, marker=".", linewidth=1)
        axes.set(xlabel="step", title=CURVES.get(name, name))
        _plain(axes)
    return figure


def _plain(*many: Axes) -> None:
    for axes in many:
        axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path) -> Path:
    """Writes .svg or .png, the same bytes for the same figure. Raises OSError where it can't be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stamp: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "amends"}):
        figure.savefig(path, metadata=stamp, dpi=150)
    return path


def save_plots(probabilities: Floats, truth: Ints, folder: Path, name: str, kind: str = "svg") -> list[Path]:
    """Three files in the folder, NAME-reliability, NAME-confusion and NAME-scores. kind: svg or png."""
    figures = {"reliability": reliability, "confusion": confusion, "scores": scores}
    return [save(draw(probabilities, truth), folder / f"{name}-{part}.{kind}") for part, draw in figures.items()]


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("data", type=Path, metavar="DATA", help="folder with the public tests")
    options.add_argument("--bundle", type=Path, default=RELEASED, metavar="FOLDER", help="default: the released one")
    options.add_argument("--out", type=Path, default=Path("docs/plots"), metavar="DIR", help="default: %(default)s")
    args = options.parse_args()
    record = json.loads((args.bundle / "training.json").read_text(encoding="utf-8"))
    print(save(training_curve(record["curve"]), args.out / "training.svg"))
    scorer = Scorer.load(args.bundle)
    for test in TESTS:
        rows = labelled(args.data / f"{test}.parquet")
        probabilities = as_array(scorer.sentiment([r["text"] for r in rows]))
        truth = np.asarray([SENTIMENT.index(r["label"]) for r in rows])
        print(*save_plots(probabilities, truth, args.out, test), sep="\n")


if __name__ == "__main__":
    main()
