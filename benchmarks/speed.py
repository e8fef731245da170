"""How fast: Amends beside other runtimes of the same network, its cost per token, its share of the processor's peak.

    python -m benchmarks.speed [PART ...] [--quick] [--data DATA]

PARTs: ceiling rivals lengths profile threads, all of them by default. Writes speed.json beside this file, the
plots and the tables of docs/speed.md and README.md. Makes its own texts (benchmarks/mix.py); only `threads` wants DATA,
a folder with train.parquet (text, source), and is left out without it. --quick shows that all of it runs, writes to
out/ and measures nothing that means anything. Give the machine nothing else to do; about 15 minutes.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.ceiling import Shape, ceiling
from benchmarks.rivals import FAMILIES, SHARED, alternating, export
from benchmarks.speed_report import NAMES, report
from model.bundle import RELEASED, load_bundle
from model.host import host

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "out" / "speed"
RESULTS = Path(__file__).with_suffix(".json")
SIZES = (1, 8, 32, 256)
LENGTHS = (8, 16, 32, 64, 128, 256, 512)
BATCHES = (8, 16, 32, 64)
QUICK = {
    "rounds": 1, "seconds": 0.1, "sizes": (1, 8), "batches": (8,), "probed": 8, "compared": 16, "comments": 100,
    "call_tokens": 512,
}  # fmt: skip
NEEDS = {"pipeline": "transformers", "onnx": "onnx", "openvino": "openvino", "vader": "vaderSentiment"}
PACKAGES = ("onnxruntime", "transformers", "torch", "openvino", "tokenizers", "numpy", "vaderSentiment", "textblob")


@dataclass(frozen=True)
class Setting:
    """How a rival is called. batch: what it gets at once, for those that leave it to the caller."""

    family: str
    batch: int = 1
    by_length: bool = False


class Workers:
    """One process a core for each family; all of them wait but those that are measured."""

    def __init__(self, families: Sequence[str], cores: int) -> None:
        self.started: dict[str, list[dict[str, Any]]] = {}
        self._of: dict[str, list[subprocess.Popen[str]]] = {}
        for family in families:
            self._of[family], self.started[family] = [], []
            for _ in range(1 if family in SHARED else cores):
                process, found = started(family)
                self._of[family].append(process)
                self.started[family].append(found)

    def ask(self, family: str, number: int, seed: str, **task: Any) -> list[dict[str, Any]]:
        """The same task at the same time for so many workers of a family, each with texts of its own."""
        workers = self._of[family][:number]
        for i, worker in enumerate(workers):
            worker.stdin.write(json.dumps({**task, "seed": f"{seed}/{i}"}) + "\n")  # type: ignore[union-attr]
            worker.stdin.flush()  # type: ignore[union-attr]
        return [answer(worker) for worker in workers]

    def stop(self) -> None:
        """Ends all of them."""
        for workers in self._of.values():
            for worker in workers:
                worker.communicate()


def started(family: str) -> tuple["subprocess.Popen[str]", dict[str, Any]]:
    """A worker that has labelled its first text, and what that took: seconds, CPU seconds, MB."""
    command = [sys.executable, "-m", "benchmarks.rival_worker", family, str(OUT)]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        # A worker is a core.
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1"),
        "TOKENIZERS_PARALLELISM": "false",
    }
    start = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )
    found = answer(process)
    return process, {"seconds": round(time.monotonic() - start, 3)} | found


def answer(worker: "subprocess.Popen[str]") -> dict[str, Any]:
    """Its next line; the end of this program where it failed."""
    line = worker.stdout.readline()  # type: ignore[union-attr]
    if not line:
        sys.exit(f"{worker.args} ended")
    found: dict[str, Any] = json.loads(line)
    return found


@contextmanager
def workers(families: Sequence[str], cores: int) -> Iterator[Workers]:
    """Workers for as long as they are needed."""
    running = Workers(families, cores)
    try:
        yield running
    finally:
        running.stop()


def families() -> list[str]:
    """Those whose packages are installed."""
    return [f for f in FAMILIES if (need := NEEDS.get(f.split("_")[0])) is None or find_spec(need)]


# --------------------------------------------------------------------------------------------------------------- parts


def rivals(args: argparse.Namespace) -> dict[str, Any]:
    """Throughput, latency, memory and start of every rival at every size, on one core and on all of them."""
    export(OUT)
    with workers(families(), args.cores) as running:
        settings, probes = best_settings(running, args)
        cells: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
        todo = [
            (name, size, cores)
            for size in args.sizes
            for cores in sorted({1, args.cores})
            for name in settings
            if cores == args.cores or settings[name].family not in SHARED
        ]
        for number, (name, size, cores) in alternating(todo, args.rounds):
            how = settings[name]
            task = {"size": size, "seconds": args.seconds, "batch": min(how.batch, size), "by_length": how.by_length}
            found = running.ask(how.family, cores, f"{number} {size}", **task)
            cells.setdefault((name, size, cores), []).append(summed(found))
            print(f"round {number + 1}: {name:18} {size:4} texts, {cores} cores: {shown(found)}", flush=True)
        labels = label_agreement(running, settings, args)
        return {
            "settings": {name: asdict(how) for name, how in settings.items()},
            "probes": probes,
            "start": {
                f: {k: round(median(s[k] for s in found), 3) for k in found[0]} for f, found in running.started.items()
            },
            "cells": [
                {"rival": name, "texts": size, "cores": cores, **cell_figures(found)}
                for (name, size, cores), found in cells.items()
            ],
            "same_label_as_pipeline": labels,
            "ratios": ratios(cells, args.cores),
        }


def best_settings(running: Workers, args: argparse.Namespace) -> tuple[dict[str, Setting], dict[str, dict[str, float]]]:
    """Each family at the batch that costs it the least time a text, and what the others cost, in ms.

    CPU time, which other programs disturb less; the clock for those whose threads share a text.
    """
    settings = {f: Setting(f) for f in running.started if not f.startswith("pipeline")}
    probes: dict[str, dict[str, float]] = {}
    for family in [f for f in running.started if f.startswith(("pipeline", "onnx", "openvino"))]:
        found = {}
        pipeline = family.startswith("pipeline")
        # Order by length is a kindness that only the pipeline gets: that of the input is part of what the others are.
        for how in [Setting(family, b, o) for b in args.batches for o in ((False, True) if pipeline else (False,))]:
            task = {"size": args.probed, "seconds": args.seconds / 2, "batch": how.batch, "by_length": how.by_length}
            cost = summed(running.ask(family, 1, "probe", **task))
            found[how] = 1000 / cost["texts_a_second"] if family in SHARED else 1000 * cost["cpu"] / cost["texts"]
        best = min(found, key=lambda how: found[how])
        if pipeline:
            settings |= {f"{family}_best": best, f"{family}_default": Setting(family)}
        else:
            settings[family] = best
        probes[family] = {f"{h.batch}{' by length' if h.by_length else ''}": round(ms, 3) for h, ms in found.items()}
    return {name: settings[name] for name in NAMES if name in settings}, probes


def summed(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What several workers did at the same time: the sum of their rates, and all their calls."""
    return {
        "texts_a_second": sum(f["size"] * len(f["wall"]) / sum(f["wall"]) for f in found),
        "texts": sum(f["size"] * len(f["wall"]) for f in found),
        "tokens": sum(f["tokens"] for f in found),
        "cpu": sum(sum(f["cpu"]) for f in found),
        "calls": [seconds for f in found for seconds in f["wall"]],
        "cpu_calls": [seconds for f in found for seconds in f["cpu"]],
        "peak_mb": max(f["peak_mb"] for f in found),
    }


def shown(found: Sequence[Mapping[str, Any]]) -> str:
    """One cell for the terminal."""
    cell = summed(found)
    return f"{cell['texts_a_second']:9.1f} texts a second, {1000 * cell['cpu'] / cell['texts']:8.3f} ms CPU a text"


def cell_figures(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds; percentiles over the calls of all of them, in ms of the clock and of CPU time."""
    calls, cpu = ([1000 * c for r in rounds for c in r[kind]] for kind in ("calls", "cpu_calls"))
    return {
        "texts_a_second": round(median(r["texts_a_second"] for r in rounds), 1),
        "rounds": [round(r["texts_a_second"], 1) for r in rounds],
        "cpu_ms_a_text": round(median(1000 * r["cpu"] / r["texts"] for r in rounds), 4),
        "cpu_us_a_token": round(median(1e6 * r["cpu"] / r["tokens"] for r in rounds), 2),
        "calls": len(calls),
        "p50_ms": round(percentile(calls, 0.5), 3),
        "p99_ms": round(percentile(calls, 0.99), 3),
        "cpu_p50_ms": round(percentile(cpu, 0.5), 3),
        "cpu_p99_ms": round(percentile(cpu, 0.99), 3),
        "peak_mb": round(max(r["peak_mb"] for r in rounds), 1),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def ratios(cells: Mapping[tuple[str, int, int], Sequence[Mapping[str, Any]]], cores: int) -> dict[str, Any]:
    """How many times the texts a second, and how much less CPU time, Amends has in the same round; medians of them."""
    found: dict[str, Any] = {}
    for (name, size, number), rounds in cells.items():
        if name != "amends":
            ours = cells["amends", size, number]
            pairs = list(zip(ours, rounds, strict=True))
            wall = median(o["texts_a_second"] / r["texts_a_second"] for o, r in pairs)
            cpu = median(r["cpu"] / r["texts"] / (o["cpu"] / o["texts"]) for o, r in pairs)
            found.setdefault(name, {})[f"{size} texts, {number} cores"] = {"wall": round(wall, 2), "cpu": round(cpu, 2)}
    if cores > 1:
        largest = max(size for _, size, _ in cells)
        pairs = list(zip(cells["amends", largest, cores], cells["amends", largest, 1], strict=True))
        found["all_cores_against_one"] = round(median(m["texts_a_second"] / o["texts_a_second"] for m, o in pairs), 3)
    return found


def label_agreement(running: Workers, settings: Mapping[str, Setting], args: argparse.Namespace) -> dict[str, Any]:
    """Share of texts with the label that the pipeline gives, over the same texts."""
    if "pipeline_best" not in settings:
        return {}
    labels: dict[str, list[str]] = {}
    for name, how in settings.items():
        if name == "pipeline_best" or not name.startswith("pipeline"):
            # In order of length for all of them, so that the texts pair up.
            task = {"size": args.compared, "seconds": 0, "batch": how.batch, "by_length": True, "labels": True}
            labels[name] = running.ask(how.family, 1, "labels", **task)[0]["labels"][: args.compared]
    truth = labels.pop("pipeline_best")
    same = {name: sum(map(str.__eq__, found, truth)) / len(truth) for name, found in labels.items()}
    return {"texts": len(truth), **{name: round(share, 4) for name, share in same.items()}}


def lengths(args: argparse.Namespace) -> dict[str, Any]:
    """CPU time and time of a token at texts of one length."""
    found: dict[int, list[dict[str, Any]]] = {}
    with workers(["amends"], 1) as running:
        for number, tokens in alternating(LENGTHS, args.rounds):
            task = {"size": args.call_tokens // tokens, "tokens": tokens, "seconds": args.seconds, "batch": 1}
            found.setdefault(tokens, []).append(summed(running.ask("amends", 1, f"{number}", **task)))
    rows = {}
    for tokens, rounds in found.items():
        of_text = median(1e6 * r["cpu"] / r["tokens"] for r in rounds)
        # Windows have two special tokens more, which the encoder reads like any other.
        windows = math.ceil(tokens / load_bundle_tokens())
        rows[str(tokens)] = {
            "cpu_us_a_token": round(of_text, 2),
            "cpu_us_a_token_read": round(of_text * tokens / (tokens + 2 * windows), 2),
            "wall_us_a_token": round(median(1e6 * sum(r["calls"]) / r["tokens"] for r in rounds), 2),
        }
    spread = {k: round(max(r[k] for r in rows.values()) / min(r[k] for r in rows.values()), 3) for k in rows["8"]}
    return {"tokens": rows, "largest_over_smallest": spread}


def load_bundle_tokens() -> int:
    """Tokens of a window of the released bundle."""
    return load_bundle().max_tokens


def profile(args: argparse.Namespace) -> dict[str, Any]:
    """Where the time of a call goes, and the share of the peak."""
    from benchmarks.profiles import call_profile

    peak = ceiling(Shape.of(RELEASED), min(0.3, args.seconds))
    found = call_profile(peak, max(args.sizes), args.rounds)
    found["peak"] = {kind: peak[kind] for kind in ("8bit", "float")}
    return found


def threads(args: argparse.Namespace) -> dict[str, Any]:
    """The path of real threads; nothing without the data."""
    from benchmarks.profiles import thread_path

    if args.data is None:
        print("threads: left out, no --data", flush=True)
        return {}
    return thread_path(args.data, args.comments)


def main() -> None:
    """Measures the parts that are asked for and writes what they found."""
    args = options().parse_args()
    if unknown := set(args.parts) - set(PARTS):
        sys.exit(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if args.quick:
        vars(args).update(QUICK)
    out = OUT / "speed.json" if args.quick else RESULTS
    OUT.mkdir(parents=True, exist_ok=True)
    results = json.loads(out.read_text()) if out.exists() else {}
    results["machine"] = machine(args.cores)
    for part in args.parts or PARTS:
        start = time.monotonic()
        results[part] = MEASURE[part](args)
        results[part]["took_seconds"] = round(time.monotonic() - start, 1)
        out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(f"{part}: {results[part]['took_seconds']} s, load {os.getloadavg()[0]:.1f}", flush=True)
    report(results, OUT if args.quick else ROOT, OUT / "plots" if args.quick else ROOT / "docs" / "plots")


def machine(cores: int) -> dict[str, Any]:
    """Processor, versions and bundle."""
    here = host()
    info = load_bundle().info
    return {
        "processor": here.processor,
        "features": list(here.features),
        "caches": {f"L{level}": size for level, size in here.caches.items()},
        "cores": cores,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES if find_spec(name)},
        "bundle": info.version,
        "digest": info.digest,
        "load_before": round(os.getloadavg()[0], 2),
    }


MEASURE = {
    "ceiling": lambda args: ceiling(Shape.of(RELEASED), min(0.6, args.seconds)),
    "rivals": rivals,
    "lengths": lengths,
    "profile": profile,
    "threads": threads,
}
PARTS = tuple(MEASURE)


def options() -> argparse.ArgumentParser:
    """What can be asked for."""
    found = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    found.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    found.add_argument("--quick", action="store_true", help="a smoke test: writes to out/ only")
    found.add_argument("--data", type=Path, help="folder with train.parquet, for the part threads")
    found.add_argument("--rounds", type=int, default=3)
    found.add_argument("--seconds", type=float, default=2.0, help="of one cell in one round")
    found.add_argument("--compared", type=int, default=1000, help="texts whose labels are compared")
    found.add_argument("--comments", type=int, default=10_000, help="of the part threads")
    found.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="texts of a call (default: %(default)s)")
    found.add_argument("--batches", type=int, nargs="+", default=BATCHES, help="that rivals may choose from")
    found.add_argument("--probed", type=int, default=128, help="texts that each batch is tried on")
    found.add_argument("--call-tokens", type=int, default=4096, help="of a call of the part lengths")
    found.add_argument("--cores", type=int, default=host().cores)
    return found


if __name__ == "__main__":
    main()
