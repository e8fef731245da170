"""Batch runs with the real bundle that are killed again and again, on this machine and on a cluster of Ray.

AMENDS_KILLS: how many times each (default 4).
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("AMENDS_KILLS", "4"))
TEXTS = 240
PATIENCE = 600.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A table of single texts, threads whose rows stand apart, and saved pages."""
    folder = tmp_path_factory.mktemp("inputs")
    who = ("The kettle", "My lift", "This oven", "Their van", "Our boiler")
    what = ("broke twice", "was mended the same day", "never came", "is splendid", "arrived scratched", "leaks again")
    then = ("and nobody called back.", "and they said sorry.", "so I got a refund.", "and I will buy again.")
    texts = [f"{who[i % 5]} {what[i % 6]} {then[i % 4]} Ticket {i}." for i in range(TEXTS)]
    cells = [f"c{i // 2},{text}" for i, text in enumerate(texts[: TEXTS // 2])]
    (folder / "rows.csv").write_text("\n".join(["t,text", *cells]) + "\n", encoding="utf-8")
    rows = [{"id": f"r{i}", "t": f"t{i % 17}", "text": text, "author": f"A{i % 23}"} for i, text in enumerate(texts)]
    (folder / "threads.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows[TEXTS // 2 :]) + "nonsense\n")
    for path in (ROOT / "examples").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return [str(folder / "rows.csv"), str(folder / "threads.jsonl"), str(folder)]


def command(inputs: list[str], out: Path, *more: str) -> list[str]:
    options = ["--field", "thread=t", "--shard-texts", "10", "--task", "score", "--resume", "--device", "cpu"]
    return [sys.executable, "-m", "service.cli", "batch", *inputs, "--out", str(out), *options, *more]


def begin(inputs: list[str], out: Path, *more: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command(inputs, out, *more), cwd=ROOT, env=environment, stderr=subprocess.PIPE)


def finish(inputs: list[str], out: Path, *more: str) -> str:
    process = begin(inputs, out, *more)
    _, err = process.communicate(timeout=PATIENCE)
    # The one line of nonsense is an error, so the exit code is 1.
    assert process.returncode == 1, err.decode()
    return err.decode()


def done(out: Path) -> list[str]:
    journal = out / "shards.jsonl"
    if not journal.exists():
        return []
    lines = journal.read_bytes()
    return [json.loads(line)["shard"] for line in lines[: lines.rfind(b"\n") + 1].splitlines()]


def wait_for(out: Path, shards: int, process: subprocess.Popen[bytes]) -> bool:
    """Until so many shards are done; whether the run is still going then."""
    end = time.monotonic() + PATIENCE
    while len(done(out)) < shards and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    return process.poll() is None


@pytest.fixture(scope="module")
def whole(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    err = finish(inputs, out, "--workers", "1")
    assert "line 121: no JSON" in err
    return out


def same(one: Path, other: Path) -> None:
    for name in ("utterances", "threads", "errors", "cases", "dropped"):
        files = [sorted(p.name for p in (out / name).iterdir()) for out in (one, other)]
        assert files[0] == files[1], name
        for file in files[0]:
            assert pq.read_table(one / name / file).equals(pq.read_table(other / name / file)), (name, file)
    told: list[dict[str, Any]] = [json.loads((out / "summary.json").read_text()) for out in (one, other)]
    for summary in told:
        del summary["run"]
    assert told[0] == told[1]


def killed_again_and_again(inputs: list[str], out: Path, shards: int, *more: str, workers: bool = False) -> None:
    """Kills runs at random moments: while the model opens, between shards, within one; sometimes a worker first."""
    chance = random.Random(KILLS)
    for number in range(KILLS):
        process = begin(inputs, out, *more)
        going = wait_for(out, len(done(out)) + chance.randrange(max(2, 2 * shards // (KILLS + 1))), process)
        time.sleep(chance.random())
        if going and workers and number % 2:
            for child in psutil.Process(process.pid).children():
                if "spawn_main" in " ".join(child.cmdline()):
                    child.send_signal(signal.SIGKILL)
            time.sleep(chance.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        before = done(out)
        assert len(before) == len(set(before))


def test_a_local_run_that_is_killed_loses_nothing_and_repeats_nothing(
    inputs: list[str], whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shards = len(done(whole))
    killed_again_and_again(inputs, out, shards, "--workers", "2", workers=True)
    before = done(out)
    err = finish(inputs, out, "--workers", "2")
    assert len(before) < shards or "of them before" in err
    assert sorted(done(out)) == sorted(done(whole))
    same(whole, out)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without CPUs and two machines with one each, every one with processes of its own."""
    pytest.importorskip("ray", reason="needs the ray extra")
    from ray.cluster_utils import Cluster

    os.environ["PYTHONPATH"] = str(ROOT)
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        found.add_node(num_cpus=1)
    found.wait_for_nodes()
    yield found
    found.shutdown()


def test_a_run_on_a_cluster_that_is_killed_loses_nothing_and_repeats_nothing(
    inputs: list[str], whole: Path, cluster: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ray = ("--engine", "ray", "--address", cluster.address)
    killed_again_and_again(inputs, out, len(done(whole)), *ray)
    finish(inputs, out, *ray)
    assert sorted(done(out)) == sorted(done(whole))
    same(whole, out)


def test_a_machine_of_the_cluster_may_be_lost_and_another_join(
    inputs: list[str], whole: Path, cluster: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = begin(inputs, out, "--engine", "ray", "--address", cluster.address)
    assert wait_for(out, 3, process)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    assert wait_for(out, 8, process)
    cluster.add_node(num_cpus=1)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, err.decode()
    assert sorted(done(out)) == sorted(done(whole))
    same(whole, out)


def test_a_cluster_that_is_not_there_is_named(inputs: list[str], tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the ray extra")
    process = begin(inputs, tmp_path / "out", "--engine", "ray", "--address", "127.0.0.1:1")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert b"there is no Ray cluster at 127.0.0.1:1" in err
    assert b"Traceback" not in err
