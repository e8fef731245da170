"""One rival in a process of its own, for benchmarks/speed.py: reads tasks from standard input, a JSON object a line.

    python -m benchmarks.rival_worker FAMILY FOLDER

Says how it stands once it has labelled its first text, then answers each task. FOLDER holds the exported graphs.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.rivals import Score, build

# Until every rival has allocated what it needs.
WARM_CALLS = 2


def main() -> None:
    """Obeys until standard input ends."""
    family, folder = sys.argv[1:]
    score = build(family, Path(folder))
    score(["Not bad at all."], 1)
    say({"cpu": time.process_time(), "resident_mb": resident_mb()})
    # After the start was measured: lexicons would do without a tokenizer.
    from benchmarks.mix import Mix, released_tokenizer

    mix = Mix(released_tokenizer())
    for line in sys.stdin:
        say(answer(score, mix, json.loads(line)))


def answer(score: Score, mix: Any, task: dict[str, Any]) -> dict[str, Any]:
    """Calls of the size that the task states until its seconds are over; texts are new in every call.

    wall, cpu: seconds of each call. The texts are drawn between the calls and cost them nothing.
    """
    wall: list[float] = []
    cpu: list[float] = []
    tokens = 0
    labels: list[str] = []
    until = time.perf_counter() + task["seconds"]
    for number, texts in enumerate(draws(mix, task)):
        start, used = time.perf_counter(), time.process_time()
        found = score(texts, task["batch"])
        seconds, burnt = time.perf_counter() - start, time.process_time() - used
        # A slow rival is not called in vain: its first call counts where it fills the time alone.
        if number >= WARM_CALLS or seconds * WARM_CALLS > task["seconds"]:
            wall.append(seconds)
            cpu.append(burnt)
            tokens += sum(map(mix.tokens, texts))
        if task.get("labels"):
            labels += found
        if time.perf_counter() > until and wall:
            break
    return {"wall": wall, "cpu": cpu, "size": task["size"], "tokens": tokens, "labels": labels, "peak_mb": peak_mb()}


def draws(mix: Any, task: dict[str, Any]) -> Iterator[list[str]]:
    """Texts for one call after another; in order of length where the task says so."""
    call = 0
    while True:
        texts = mix.texts(task["size"], f"{task['seed']}/{call}", tokens=task.get("tokens"))
        yield sorted(texts, key=len) if task.get("by_length") else texts
        call += 1


def resident_mb() -> float:
    """Resident memory now."""
    import psutil

    return psutil.Process().memory_info().rss / 1e6


def peak_mb() -> float:
    """The most that was resident so far; what the parent held when it started this process does not count."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def say(what: dict[str, Any]) -> None:
    """One line for the parent."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
