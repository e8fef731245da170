"""Speed, memory, scaling and exactness of `amends batch`, each part alone or all of them.

    python -m benchmarks.batch DATA speed      [--texts 50000] [--subset 2000] [--rounds 3]
    python -m benchmarks.batch DATA scaling    [--texts 10000] [--rounds 3]
    python -m benchmarks.batch DATA equality   [--texts 2000]
    python -m benchmarks.batch DATA memory     [--sizes 10000 100000 1000000]
    python -m benchmarks.batch DATA ray        [--texts 10000] [--rounds 3]
    python -m benchmarks.batch DATA all

DATA holds train.parquet (text): real comments and tweets. Adds its results to batch.json beside this file; --out names
another. Give the machine nothing else to do. speed compares with the text-classification pipeline of transformers over
the float weights of the same bundle, in rounds that alternate with ours.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.rivals import pipeline
from model.bundle import RELEASED, file_digest, manifest
from model.codebook import SENTIMENT
from model.scorer import Scorer

PARTS = ("speed", "scaling", "equality", "memory", "ray")
BATCH_SIZES = (8, 16, 32, 64)
# The float network takes five times as long.
FLOAT_TEXTS = 500
CORES = len(os.sched_getaffinity(0))
ROOT = Path(__file__).parents[1]


def comments(data: Path, number: int) -> list[str]:
    """Different real texts in random order, that fit one window of the encoder; the pipeline would cut longer ones."""
    texts = sorted(set(pq.read_table(data / "train.parquet", columns=["text"]).column(0).to_pylist()))
    random.Random(7).shuffle(texts)
    scorer = Scorer.load()
    limit = scorer.bundle.max_tokens
    found: list[str] = []
    for start in range(0, len(texts), 1000):
        part = texts[start : start + 1000]
        encodings = scorer.bundle.tokenizer.encode_batch(part, add_special_tokens=False)
        found += [t for t, e in zip(part, encodings, strict=True) if 0 < len(e.ids) <= limit]
        if len(found) >= number:
            return found[:number]
    sys.exit(f"{data} holds {len(found):,} texts that can be used, {number:,} are wanted")


def write_texts(path: Path, texts: Sequence[str]) -> Path:
    """A Parquet table of texts."""
    pq.write_table(pa.table({"text": texts}), path)
    return path


def batch(inputs: Path, out: Path, *options: str, watch: bool = False) -> dict[str, Any]:
    """One run of the command: seconds by the clock, by its workers and of CPU time; memory where asked."""
    command = [sys.executable, "-m", "service.cli", "batch", str(inputs), "--out", str(out), "--overwrite"]
    command += ["--task", "sentiment", "--device", "cpu", *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    start, before = time.monotonic(), os.times()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
    with watched(process.pid) if watch else no_samples() as samples:
        _, err = process.communicate()
    seconds, after = time.monotonic() - start, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    if process.returncode:
        sys.exit(err.decode())
    records = [json.loads(line) for line in (out / "shards.jsonl").read_text().splitlines()]
    texts = sum(r["rows"]["texts"] for r in records)
    scoring = json.loads((out / "summary.json").read_text())["run"]["scoring_seconds"]
    busy = sum(r["seconds"] for r in records)
    found = {
        "texts": texts,
        "seconds": round(seconds, 2),
        "texts_a_second": round(texts / seconds, 1),
        "texts_a_second_after_start": round(texts / scoring, 1),
        "cpu_ms_a_text": round(1000 * cpu / texts, 3),
        "worker_seconds": round(busy, 2),
        "worker_ms_a_text": round(1000 * busy / texts, 4),
        "worker_cpu_ms_a_text": round(1000 * sum(r["cpu"] for r in records) / texts, 4),
    }
    return found | ({"memory": memory_figures(samples)} if watch else {})


@contextmanager
def no_samples() -> Iterator[list[tuple[float, float, float]]]:
    """Nothing is measured."""
    yield []


@contextmanager
def watched(pid: int) -> Iterator[list[tuple[float, float, float]]]:
    """Samples (seconds, sum of resident MB, sum of proportional MB) of a process and its children, twice a second."""
    samples: list[tuple[float, float, float]] = []
    stop = threading.Event()

    def sample() -> None:
        start = time.monotonic()
        while not stop.wait(0.5):
            resident = proportional = 0.0
            try:
                for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
                    memory = process.memory_full_info()
                    resident += memory.rss / 1e6
                    proportional += memory.pss / 1e6
            except psutil.Error:
                continue
            samples.append((time.monotonic() - start, resident, proportional))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def memory_figures(samples: Sequence[tuple[float, float, float]]) -> dict[str, float]:
    """Peak and growth. growth: mean of the last quarter less that of the second, as a share of the latter."""
    if len(samples) < 8:
        return {}
    quarter = len(samples) // 4
    second, last = ([s[1] for s in part] for part in (samples[quarter : 2 * quarter], samples[-quarter:]))
    means = sum(second) / len(second), sum(last) / len(last)
    return {
        "peak_rss_mb": round(max(s[1] for s in samples), 1),
        "peak_pss_mb": round(max(s[2] for s in samples), 1),
        "second_quarter_rss_mb": round(means[0], 1),
        "last_quarter_rss_mb": round(means[1], 1),
        "growth": round(means[1] / means[0] - 1, 4),
    }


# --------------------------------------------------------------------------------------------------------------- parts


def speed(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Ours beside the pipeline at its default settings and at its best batch size."""
    texts = comments(args.data, args.texts)
    subset = texts[: args.subset]
    ordered = sorted(subset, key=len)
    few = write_texts(folder / "subset.parquet", subset)
    pipe = pipeline()
    rivals: dict[str, Callable[[], Any]] = {"pipeline_default": lambda: pipe(subset)}
    for size in args.batch_sizes:
        rivals[f"pipeline_batch_{size}"] = lambda size=size: pipe(subset, batch_size=size)
        rivals[f"pipeline_batch_{size}_by_length"] = lambda size=size: pipe(ordered, batch_size=size)
    rates: dict[str, list[float]] = {name: [] for name in (*rivals, "amends_command", "amends_workers")}
    # What other programs take from the clock, they do not take from this.
    cpu: dict[str, list[float]] = {name: [] for name in (*rivals, "amends_command")}
    for number in range(args.rounds):
        names = [*rivals] if number % 2 == 0 else [*rivals][::-1]
        # Ours in the middle of each round, so that a machine that slows down slows both.
        for name in (*names[: len(names) // 2], "amends", *names[len(names) // 2 :]):
            if name == "amends":
                ours = batch(few, folder / "few", "--workers", str(args.cores), "--shard-texts", str(args.shard))
                rates["amends_command"].append(ours["texts_a_second"])
                cpu["amends_command"].append(ours["cpu_ms_a_text"])
                rates["amends_workers"].append(args.cores * ours["texts"] / ours["worker_seconds"])
            else:
                start, used = time.monotonic(), time.process_time()
                rivals[name]()
                rates[name].append(len(subset) / (time.monotonic() - start))
                cpu[name].append(1000 * (time.process_time() - used) / len(subset))
            told = rates["amends_command" if name == "amends" else name][-1]
            print(f"round {number + 1}: {name:28} {told:8.1f} texts a second", flush=True)
    middle = {name: round(median(found), 1) for name, found in rates.items()}
    best = max((n for n in rivals if n != "pipeline_default"), key=lambda n: middle[n])
    many = batch(write_texts(folder / "many.parquet", texts), folder / "many", "--workers", str(args.cores))
    return {
        "texts": len(texts),
        "subset": len(subset),
        "cores": args.cores,
        "texts_a_second": middle,
        "rounds": {name: [round(r, 1) for r in found] for name, found in rates.items()},
        "cpu_ms_a_text": {name: round(median(found), 3) for name, found in cpu.items()},
        "best_batch": best,
        "all_texts": many,
        "times_default": round(many["texts_a_second"] / middle["pipeline_default"], 2),
        "times_best_batch": round(many["texts_a_second"] / middle[best], 2),
        "times_default_same_texts": round(middle["amends_workers"] / middle["pipeline_default"], 2),
        "times_best_batch_same_texts": round(middle["amends_workers"] / middle[best], 2),
        "pipeline_against_float_scores": agreement(pipe, subset[:200]),
    }


def agreement(pipe: Any, texts: Sequence[str]) -> dict[str, Any]:
    """How far the pipeline's probabilities are from our float ones: the rival must be the same network."""
    theirs = [{one["label"]: one["score"] for one in found} for found in pipe(list(texts), top_k=None)]
    ours = Scorer.load(engine="torch").sentiment(texts)
    gaps = [abs(t[n] - getattr(o, n)) for t, o in zip(theirs, ours, strict=True) if o for n in SENTIMENT]
    return {"texts": len(texts), "largest_difference": float(f"{max(gaps):.2g}")}


def scaling(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One worker against one a core, in alternating rounds."""
    path = write_texts(folder / "texts.parquet", comments(args.data, args.texts))
    found: dict[int, list[dict[str, Any]]] = {1: [], args.cores: []}
    for number in range(args.rounds):
        for workers in sorted(found, reverse=bool(number % 2)):
            found[workers].append(batch(path, folder / "out", "--workers", str(workers), "--shard-texts", "500"))
            print(
                f"round {number + 1}: {workers} workers {found[workers][-1]['texts_a_second_after_start']} a second",
                flush=True,
            )
    rates = {n: median(r["texts_a_second_after_start"] for r in runs) for n, runs in found.items()}
    return {
        "texts": args.texts,
        "texts_a_second_after_start": {str(n): rate for n, rate in rates.items()},
        "runs": {str(n): runs for n, runs in found.items()},
        "efficiency": round(rates[args.cores] / rates[1] / args.cores, 3),
    }


def equality(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The command's results beside those of each text scored alone."""
    texts = comments(args.data, args.texts)
    batch(write_texts(folder / "texts.parquet", texts), folder / "out", "--workers", "1")
    table = pq.read_table(folder / "out" / "utterances", columns=["text", "label", *SENTIMENT]).to_pylist()
    scorer = Scorer.load()
    alone = [scorer.sentiment([text])[0] for text in texts]
    pairs = [(row, one) for row, one in zip(table, alone, strict=True) if one is not None]
    if [row["text"] for row in table] != texts:
        sys.exit("the rows are not those of the input")
    found = differences([asdict(one) for _, one in pairs], [row for row, _ in pairs])
    ordered, exact = sorted(texts[:FLOAT_TEXTS], key=len), Scorer.load(engine="torch")
    together = [asdict(one) for one in exact.sentiment(ordered) if one]
    return found | {"float": differences(together, [asdict(s) for t in ordered if (s := exact.sentiment([t])[0])])}


def differences(left: Sequence[Mapping[str, Any]], right: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How far probabilities of the same texts are apart, and the share of equal labels."""
    pairs = list(zip(left, right, strict=True))
    gaps = sorted(max(abs(a[n] - b[n]) for n in SENTIMENT) for a, b in pairs)
    return {
        "texts": len(pairs),
        "same_label": round(sum(a["label"] == b["label"] for a, b in pairs) / len(pairs), 4),
        "largest_difference": float(f"{gaps[-1]:.2g}"),
        "median_difference": float(f"{median(gaps):.2g}"),
    }


def memory(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Short comments with edits, as many as wanted: memory of all processes, and the cost of a text by their number."""
    short = [t for t in comments(args.data, 60_000) if 20 <= len(t) <= 60]
    found: dict[str, Any] = {}
    for size in sorted(args.sizes):
        path = folder / f"{size}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for text in edited(short, size):
                file.write(json.dumps({"text": text}) + "\n")
        found[str(size)] = batch(path, folder / "out", "--workers", str(args.cores), watch=True)
        print(size, found[str(size)], flush=True)
        path.unlink()
    costs = [[run[by] for run in found.values()] for by in ("worker_ms_a_text", "worker_cpu_ms_a_text")]
    clock, cpu = (round(max(c) / min(c) - 1, 4) for c in costs)
    return {"sizes": found, "cost_spread": clock, "cpu_cost_spread": cpu}


def edited(texts: Sequence[str], number: int) -> Iterator[str]:
    """Texts in turn, each with a word left out, said twice, or a number added; the same for the same number."""
    chance = random.Random(number)
    for i in range(number):
        words = texts[chance.randrange(len(texts))].split()
        place = chance.randrange(len(words))
        kind = i % 3
        words[place : place + 1] = [[], [words[place]] * 2, [words[place], str(i)]][kind]
        yield " ".join(words) or "nothing"


def ray(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Ray against the local engine, and two machines of one core each against one."""
    from ray.cluster_utils import Cluster

    path = write_texts(folder / "texts.parquet", comments(args.data, args.texts))
    shard = ("--shard-texts", "500")
    runs: dict[str, list[dict[str, Any]]] = {"local": [], "ray": [], "cluster_1": [], "cluster_2": []}
    os.environ["PYTHONPATH"] = str(ROOT)
    for number in range(args.rounds):
        for name in runs if number % 2 == 0 else [*runs][::-1]:
            if name == "local":
                run = batch(path, folder / name, *shard, "--workers", str(args.cores))
            else:
                nodes = {"ray": [args.cores], "cluster_1": [1], "cluster_2": [1, 1]}[name]
                cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
                for cores in nodes:
                    cluster.add_node(num_cpus=cores)
                cluster.wait_for_nodes()
                run = batch(path, folder / name, *shard, "--engine", "ray", "--address", cluster.address)
                cluster.shutdown()
            runs[name].append(run)
            print(f"round {number + 1}: {name:10} {run['texts_a_second_after_start']} a second", flush=True)
    same = all(
        pq.read_table(folder / "local" / "utterances").equals(pq.read_table(folder / name / "utterances"))
        for name in runs
    )
    rates = {name: median(r["texts_a_second_after_start"] for r in found) for name, found in runs.items()}
    return {
        "texts": args.texts,
        "texts_a_second_after_start": rates,
        "runs": runs,
        "ray_against_local": round(rates["ray"] / rates["local"], 3),
        "two_machines_against_one": round(rates["cluster_2"] / rates["cluster_1"], 3),
        "results_identical": same,
    }


MEASURE = {"speed": speed, "scaling": scaling, "equality": equality, "memory": memory, "ray": ray}


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("data", type=Path)
    options.add_argument("parts", nargs="+", choices=(*PARTS, "all"))
    options.add_argument("--texts", type=int)
    options.add_argument("--subset", type=int, default=2000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options.add_argument("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES)
    options.add_argument("--cores", type=int, default=CORES)
    options.add_argument("--shard", type=int, default=500, help="texts of a shard where the subset is scored")
    options.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = options.parse_args()
    usual = {"speed": 50_000, "scaling": 10_000, "equality": 2_000, "memory": 0, "ray": 10_000}
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    results |= {"bundle": manifest(RELEASED)["version"], "data": file_digest(args.data / "train.parquet")}
    wanted = args.texts
    for part in PARTS if "all" in args.parts else args.parts:
        args.texts = wanted or usual[part]
        with tempfile.TemporaryDirectory() as folder:
            results[part] = MEASURE[part](args, Path(folder))
        args.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(part, json.dumps({k: v for k, v in results[part].items() if k not in ("runs", "rounds")}, indent=1))


if __name__ == "__main__":
    main()
