"""Retraining on sources that the base bundle has not seen, with honest labels and with poisoned ones.

    python benchmarks/retrain.py DATA --base BUNDLE --work DIR

DATA holds train.parquet, dev.parquet, tweeteval_test.parquet and sst3_test.parquet (text, label, source); BUNDLE was
trained without the sources of SOURCES. 50, 200 and 1,000 texts of each source are learnt, 50 in four draws, because
what so few teach hangs on which they are; the challenger, whether the gate let it through or not, is measured on up to
1,000 other texts of the source, on development texts of the other sources and on the public tests. Writes retrain.json
beside this file and docs/plots/retrain.svg. What is done stays in DIR: the same command goes on where it was stopped.
--only does some cases again, such as stackoverflow-200, and leaves the others in retrain.json as they are.
"""

import argparse
import hashlib
import json
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from model.bundle import file_digest, load_bundle
from model.codebook import SENTIMENT
from model.scorer import Scorer
from training.gate import RESAMPLES, gain_interval, macro_f1
from training.labels import Rows, same_text
from training.retrain import Retrained, retrain

SOURCES = ("stackoverflow", "insurance_reviews", "selfdriving")
SIZES = (50, 200, 1000)
DRAWS = {50: 4}
REST, DEV, TWEETS = 1000, 4000, 6000
FILES = ("train", "dev", "tweeteval_test", "sst3_test")
POISONED = "stackoverflow"
POISONS = ("flipped", "flood", "flood_alone", "one_label")
PLOT = Path(__file__).parents[1] / "docs/plots/retrain.svg"

Row = dict[str, Any]
Labels = np.ndarray[Any, np.dtype[np.int64]]


def drawn(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """`count` rows at random, or all of them."""
    order = np.random.default_rng(seed).permutation(len(rows))[:count]
    return [rows[i] for i in order]


def tables(data: Path) -> dict[str, list[Row]]:
    """Texts to learn from, "learn SOURCE", and to measure on: "SOURCE", "dev", and the public tests."""
    read = {name: pq.read_table(data / f"{name}.parquet").to_pylist() for name in FILES}
    sets: dict[str, list[Row]] = {}
    for source in SOURCES:
        different = {same_text(r["text"]): r for r in read["train"] if r["source"] == source}
        rows = drawn(list(different.values()), max(SIZES) + REST, 7)
        sets[f"learn {source}"], sets[source] = rows[: max(SIZES)], rows[max(SIZES) :]
    sets["dev"] = drawn([r for r in read["dev"] if r["source"] not in SOURCES], DEV, 7)
    sets["tweeteval_test"] = drawn(read["tweeteval_test"], TWEETS, 7)
    sets["sst3_test"] = read["sst3_test"]
    return sets


def truth(rows: Sequence[Row]) -> Labels:
    """Labels as indices."""
    return np.asarray([SENTIMENT.index(r["label"]) for r in rows])


def said(folder: Path, rows: Sequence[Row], cache: Path) -> Labels:
    """Labels by the bundle in folder, remembered by its digest."""
    scorer = Scorer(load_bundle(folder))
    asked = hashlib.sha256("\0".join(r["text"] for r in rows).encode()).hexdigest()
    path = cache / f"said-{scorer.info.digest[:16]}-{asked[:16]}.json"
    if not path.is_file():
        found = scorer.sentiment([r["text"] for r in rows])
        path.write_text(json.dumps([SENTIMENT.index(s.label) if s else 1 for s in found]))
    return np.asarray(json.loads(path.read_text()))


def measured(
    base: Path, challengers: Sequence[Path | None], names: Sequence[str], sets: dict[str, list[Row]], cache: Path
) -> Row:
    """Macro F1 before and, mean of the challengers, after on each set, and the mean gain with its 95 % interval."""
    figures: Row = {}
    for name in names:
        right, before = truth(sets[name]), said(base, sets[name], cache)
        after = [said(one, sets[name], cache) if one else before for one in challengers]
        gain, low, high = mean_gain(right, before, after)
        figures[name] = {
            "n": len(right),
            "before": round(macro_f1(right, before), 4),
            "after": round(macro_f1(right, before) + gain, 4),
            "gain": [round(gain, 4), round(low, 4), round(high, 4)],
        }
        if len(after) > 1:
            figures[name]["each"] = [round(macro_f1(right, one), 4) for one in after]
    return figures


def mean_gain(right: Labels, before: Labels, after: Sequence[Labels]) -> tuple[float, float, float]:
    """Mean gain of macro F1 over challengers and its 95 % interval: paired bootstrap over texts and challengers."""
    if len(after) == 1:
        return gain_interval(right, before, after[0])
    rng = np.random.default_rng(7)
    gains = []
    for _ in range(RESAMPLES):
        rows, drawn = rng.integers(0, len(right), len(right)), rng.integers(0, len(after), len(after))
        scores = {i: macro_f1(right[rows], after[i][rows]) for i in set(drawn.tolist())}
        gains.append(np.mean([scores[i] for i in drawn.tolist()]) - macro_f1(right[rows], before[rows]))
    low, high = np.percentile(gains, [2.5, 97.5])
    mean = float(np.mean([macro_f1(right, one) for one in after]))
    return mean - macro_f1(right, before), float(low), float(high)


def poisoned(rows: Sequence[Row], poison: str) -> list[Row]:
    """200 examples with 30 % of the labels flipped; 50 honest ones or none beside 500 copies of a wrong one; 200 with
    one label.
    """
    rng = np.random.default_rng(11)
    wrong = next(r for r in rows if r["label"] == "negative") | {"label": "positive"}
    if poison == "flipped":
        other = {k: [label for label in SENTIMENT if label != k] for k in SENTIMENT}
        return [r | {"label": other[r["label"]][rng.integers(2)]} if rng.random() < 0.3 else r for r in rows[:200]]
    if poison == "one_label":
        return [r | {"label": "positive"} for r in rows[:200]]
    honest = [r for r in rows[:50] if r["text"] != wrong["text"]] if poison == "flood" else []
    return [*honest, *[wrong] * 500]


def run(base: Path, name: str, rows: Sequence[Row], work: Path) -> Retrained:
    """One retraining in a folder of its own, with a progress bar."""
    given = [{"text": r["text"], "label": r["label"]} for r in rows]
    with tqdm(total=100, desc=name, file=sys.stderr, mininterval=5) as bar:
        return retrain(
            base,
            [Rows(name, given)],
            work / name,
            cache=work / "cache",
            progress=lambda words, share: bar.update(max(0.0, 100 * share - bar.n)),
        )


def entry(done: Sequence[Retrained], figures: Row) -> Row:
    """What is kept of the runs of a case."""
    return {"runs": [told(one.report) for one in done], "measured": figures}


def told(report: Row) -> Row:
    """What is kept of one run."""
    decision = report["decision"]
    return {
        "learnt_from": report["examples"]["learnt_from"],
        "promote": decision["promote"],
        "reasons": decision["reasons"],
        "own_examples_gain": [round(report["own_examples"]["gain"][k], 4) for k in ("gain", "low", "high")]
        if "own_examples" in report
        else None,
        "doubtful_labels": report.get("own_examples", {}).get("doubtful"),
        "encoder_moved": report.get("mixing", {}).get("encoder_moved"),
        "share": report.get("mixing", {}).get("share"),
        "seconds": report["seconds"],
    }


def results(base: Path, sets: dict[str, list[Row]], work: Path, only: Sequence[str]) -> Iterator[tuple[str, str, Row]]:
    """(part, case, entry) of every run, or of those that are named in `only`."""
    elsewhere = ("dev", "tweeteval_test", "sst3_test")
    cache = work / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for size in SIZES:
        for source in SOURCES:
            if only and f"{source}-{size}" not in only:
                continue
            learnt = sets[f"learn {source}"]
            done = [
                run(base, f"{source}-{size}" + (f"-{i + 1}" if i else ""), learnt[i * size : (i + 1) * size], work)
                for i in range(DRAWS.get(size, 1))
            ]
            figures = measured(base, [one.folder for one in done], (source, *elsewhere), sets, cache)
            yield source, f"{size}", entry(done, figures)
    for poison in POISONS:
        if only and f"poison-{poison}" not in only:
            continue
        done = run(base, f"poison-{poison}", poisoned(sets[f"learn {POISONED}"], poison), work)
        # A refused challenger answers nobody: what it would have done is told all the same.
        yield "poisoned", poison, entry([done], measured(base, [done.folder], (POISONED, *elsewhere), sets, cache))


def plot(found: Row, out: Path) -> None:
    """Macro F1 on the rest of each source, and on everything else, over the number of examples."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "amends", "font.size": 9}):
        figure = Figure(figsize=(8, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        for source in SOURCES:
            cases = [found[source][f"{size}"]["measured"] for size in SIZES if f"{size}" in found.get(source, {})]
            if not cases:
                continue
            places = list(range(len(cases) + 1))
            own = [case[source] for case in cases]
            line = [own[0]["before"], *(o["after"] for o in own)]
            below, above = ([0.0, *(abs(o["gain"][0] - o["gain"][end]) for o in own)] for end in (1, 2))
            bars = left.errorbar(
                places, line, yerr=[below, above], marker="o", capsize=3, label=source.replace("_", " ")
            )
            for name, style in (("dev", "-"), ("tweeteval_test", "--"), ("sst3_test", ":")):
                change = [0.0, *(100 * case[name]["gain"][0] for case in cases)]
                colour = bars.lines[0].get_color()
                right.plot(places, change, style, marker=".", color=colour, label=f"{name}, {source.replace('_', ' ')}")
        for axes, title in ((left, "macro F1 on other texts of the source"), (right, "change elsewhere, points")):
            axes.set_title(title, fontsize=9)
            axes.set_xticks(range(len(SIZES) + 1), ["0", *map(str, SIZES)])
            axes.set_xlabel("examples")
            axes.spines[["top", "right"]].set_visible(False)
        right.axhline(-0.5, color="#b3402e", linewidth=0.8)
        left.legend(frameon=False, fontsize=8)
        lines = right.get_legend_handles_labels()
        figure.legend(*lines, loc="outside lower center", ncols=3, frameon=False, fontsize=7)
        figure.savefig(out, metadata={"Date": None})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=[])
    a = parser.parse_args()
    sets = tables(a.data)
    target = Path(__file__).with_suffix(".json")
    found: Row = json.loads(target.read_text(encoding="utf-8")) if a.only else {}
    found |= {
        "base": load_bundle(a.base).info.digest,
        "data": {name: file_digest(a.data / f"{name}.parquet") for name in FILES},
        "machine": {"processor": platform.machine(), "threads": 1},
    }
    for part, case, kept in results(a.base, sets, a.work, a.only):
        found.setdefault(part, {})[case] = kept
        target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        plot(found, PLOT)
        promoted = sum(one["promote"] for one in kept["runs"])
        seconds = max(one["seconds"] for one in kept["runs"])
        found_there = {name: (m["before"], m["after"]) for name, m in kept["measured"].items()}
        print(part, case, f"{promoted} promoted, at most {seconds:.0f} s", found_there, flush=True)


if __name__ == "__main__":
    main()
