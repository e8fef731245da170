"""Tables and pictures of speed.json: the marked blocks of README.md and docs/speed.md, and docs/plots/speed*.svg."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.ceiling import Shape
from model.bundle import RELEASED

BEGIN, END = "<!-- speed: begin, written by benchmarks/speed.py -->", "<!-- speed: end -->"
NAMES = {
    "amends": "Amends",
    "amends_onnx": "Amends on ONNX Runtime",
    "pipeline_default": "transformers `pipeline`, defaults",
    "pipeline_best": "transformers `pipeline`, best batch",
    "pipeline_shared_default": "`pipeline` in one process, defaults",
    "pipeline_shared_best": "`pipeline` in one process, best batch",
    "onnx_float": "ONNX Runtime, float",
    "onnx_8bit": "ONNX Runtime, 8 bit, padded",
    "openvino_f32": "OpenVINO, float",
    "openvino_bf16": "OpenVINO, bfloat16",
    "vader": "VADER",
    "textblob": "TextBlob",
}
# Macro recall on the test of TweetEval as published: TimeLMs (Loureiro et al. 2022), TweetEval (Barbieri et al. 2020).
PUBLISHED = {
    "RoBERTa on tweets to 2021 (TimeLMs)": 0.737,
    "BERTweet": 0.734,
    "RoBERTa, retrained on tweets": 0.728,
    "RoBERTa-base": 0.713,
}
# All of them have this shape.
BASE = Shape(12, 768, 3072)
INK, GREY = "#30507a", "#8a8a8a"


def report(results: Mapping[str, Any], root: Path, plots: Path) -> None:
    """Draws what the results hold; root: of README.md and docs/speed.md, whose blocks are written over."""
    plots.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "amends"
    for name, figure in figures(results):
        figure.savefig(plots / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")
    for page, lines in (("README.md", rival_table(results, short=True)), ("docs/speed.md", tables(results))):
        path = root / page
        if path.exists():
            path.write_text(replaced(path.read_text(encoding="utf-8"), "\n".join(lines)), encoding="utf-8")


def replaced(page: str, block: str, marks: tuple[str, str] = (BEGIN, END)) -> str:
    """The page with another block between the marks; as it is where it has no marks."""
    before, begin, rest = page.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    return f"{before}{begin}\n{block}\n{end}{after}" if begin and end else page


def cell(results: Mapping[str, Any], rival: str, texts: int, cores: int) -> dict[str, Any] | None:
    """One cell of the measurement; None where it was not measured."""
    found = (c for c in results["rivals"]["cells"] if (c["rival"], c["texts"], c["cores"]) == (rival, texts, cores))
    return next(found, None)


def sizes(results: Mapping[str, Any]) -> tuple[int, int, int]:
    """Smallest and largest number of texts, and all cores."""
    cells = results["rivals"]["cells"]
    texts = [c["texts"] for c in cells]
    return min(texts), max(texts), max(c["cores"] for c in cells)


def rival_table(results: Mapping[str, Any], *, short: bool = False) -> Iterator[str]:
    """A row a rival: rates, latency, start, memory and labels."""
    if "rivals" not in results:
        return
    few, many, cores = sizes(results)
    machine, found = results["machine"], results["rivals"]
    yield f"{machine['processor']}, {', '.join(machine['features'])}; bundle {machine['bundle']}."
    yield ""
    yield (
        f"| | texts/s, one core | texts/s, {cores} cores | one text, p50 / p99 ms | start, s | memory, MB "
        "| labels as `pipeline` |"
    )
    yield "|---|---|---|---|---|---|---|"
    for rival, name in NAMES.items():
        one, alone, all_cores = (cell(results, rival, *where) for where in ((many, 1), (few, 1), (many, cores)))
        # One process on all cores has no figures of one core.
        alone = alone or cell(results, rival, few, cores)
        if alone is None or all_cores is None:
            continue
        family = found["settings"][rival]["family"]
        same = found["same_label_as_pipeline"].get(rival)
        yield (
            f"| {name} | {rate(one)} | {rate(all_cores)} | {alone['p50_ms']} / "
            f"{alone['p99_ms']} | {found['start'][family]['seconds']:.1f} | {(one or all_cores)['peak_mb']:.0f} "
            f"| {'' if same is None else format(same, '.1%')} |"
        )
    if not short:
        yield from ratio_table(found["ratios"])


def rate(of: Mapping[str, Any] | None) -> str:
    """Texts a second of a cell."""
    return f"{of['texts_a_second']:,}" if of else ""


def ratio_table(ratios: Mapping[str, Any]) -> Iterator[str]:
    """How many times the rate of each rival, and of its CPU time."""
    columns = list(next(v for v in ratios.values() if isinstance(v, dict)))
    yield ""
    yield "Amends against each, texts a second by the clock (CPU time of a text), medians over the rounds:"
    yield ""
    yield f"| | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for rival, row in ratios.items():
        if isinstance(row, dict):
            shown = (f"{row[c]['wall']} ({row[c]['cpu']})" if c in row else "" for c in columns)
            yield f"| {NAMES[rival]} | " + " | ".join(shown) + " |"
    if "all_cores_against_one" in ratios:
        yield ""
        yield f"All cores against one: {ratios['all_cores_against_one']} times."


def tables(results: Mapping[str, Any]) -> Iterator[str]:
    """Everything for docs/speed.md."""
    yield from rival_table(results)
    if peak := results.get("ceiling"):
        issued = peak["issued"] or {}
        yield ""
        yield "| 10^9 operations a second of one core | 8 bit | float |"
        yield "|---|---|---|"
        if issued:
            yield f"| instructions on registers | {issued['8bit']} | {issued['float']} |"
        library = peak["library"]
        name = f"best library, square product of {library['side']}"
        yield f"| {name} | {library['8bit']} | {library['float']} |"
    if found := results.get("profile"):
        yield from share_table("where a call goes", found["parts_ms_a_text"], "ms a text")
        yield from share_table("share of the 8-bit peak", found["share_of_peak"], "share")
        yield from share_table("part of the encoder", found.get("encoder_parts", {}), "share of the encoder")
        yield from share_table("operator of the graph", found.get("operators_share", {}), "share of the graph")
        if "padding_share" in found:
            yield f"\nOf the tokens that the graph computes {found['padding_share']:.1%} are padding."
    if found := results.get("lengths"):
        rows = {f"{n} tokens": row["cpu_us_a_token"] for n, row in found["tokens"].items()}
        yield from share_table("length of the texts", rows, "µs of CPU time a token")
        yield f"\nLargest over smallest: {found['largest_over_smallest']['cpu_us_a_token']}."
    if (found := results.get("threads")) and "share" in found:
        yield from share_table(f"path of {found['comments']:,} comments", found["share"], "share of CPU time")


def share_table(title: str, rows: Mapping[str, float], unit: str) -> Iterator[str]:
    """Two columns."""
    if rows:
        yield from ("", f"| {title} | {unit} |", "|---|---|")
        yield from (f"| {name} | {value} |" for name, value in rows.items())


def figures(results: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    """Names and pictures of what was measured."""
    if "rivals" in results:
        yield "speed", speed_figure(results)
        yield "speed-accuracy", accuracy_figure(results)
    if "lengths" in results:
        yield "speed-lengths", length_figure(results["lengths"]["tokens"])


def speed_figure(results: Mapping[str, Any]) -> Figure:
    """Texts a second of every rival over the number of texts in a call, one core."""
    figure = Figure(figsize=(6.4, 4))
    axes = figure.add_subplot()
    for rival, name in NAMES.items():
        cells = [c for c in results["rivals"]["cells"] if c["rival"] == rival and c["cores"] == 1]
        if cells:
            cells.sort(key=lambda c: c["texts"])
            xs, ys = [c["texts"] for c in cells], [c["texts_a_second"] for c in cells]
            axes.plot(xs, ys, marker="o", label=name.replace("`", ""), linewidth=3 if rival == "amends" else 1)
    axes.set(xscale="log", yscale="log", xlabel="texts in a call", ylabel="texts a second, one core")
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def accuracy_figure(results: Mapping[str, Any]) -> Figure:
    """Macro recall on TweetEval over CPU time of a text; published models stand at a cost that is estimated."""
    _, many, _ = sizes(results)
    known = json.loads((RELEASED / "figures.json").read_text(encoding="utf-8"))["sentiment"]["tweeteval_test"]
    figure = Figure(figsize=(6.4, 4))
    axes = figure.add_subplot()
    for rival, key in {"amends": "bundle", "pipeline_best": None, "vader": "vader", "textblob": "textblob"}.items():
        found = cell(results, rival, many, 1)
        if found and key:
            point = found["cpu_ms_a_text"], known[key]["macro_recall"]
            axes.scatter(*point, color=INK)
            axes.annotate(NAMES[rival], point, textcoords="offset points", xytext=(6, 4), fontsize="small")
    pipeline = cell(results, "pipeline_best", many, 1)
    if pipeline:
        # The same pipeline with as many more weights to multiply with.
        cost = pipeline["cpu_ms_a_text"] * BASE.weights / Shape.of(RELEASED).weights
        for name, recall in PUBLISHED.items():
            axes.scatter(cost, recall, marker="x", color=GREY)
            label = f"{name}: published, cost estimated"
            axes.annotate(label, (cost, recall), ha="right", textcoords="offset points", xytext=(-6, -3), fontsize=6)
    axes.set(xscale="log", xlabel="ms of CPU time a text", ylabel="macro recall, TweetEval")
    return figure


def length_figure(rows: Mapping[str, Mapping[str, float]]) -> Figure:
    """CPU time of a token over the length of the texts."""
    figure = Figure(figsize=(6.4, 3))
    axes = figure.add_subplot()
    axes.plot([int(n) for n in rows], [row["cpu_us_a_token"] for row in rows.values()], marker="o", color=INK)
    axes.set(xscale="log", xlabel="tokens of a text", ylabel="µs of CPU time a token")
    axes.set_ylim(bottom=0)
    return figure
