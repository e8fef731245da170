"""Kills real servers with SIGKILL at random moments while feedback and jobs come in, and looks what is left.

AMENDS_KILLS: how often, on each database. AMENDS_SEED: of the random moments.
"""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import make_url

from service.serve import command, environment
from service.settings import cores
from tests.service.test_server import free_port

SLOW = "tests.service.fake_service:Slow"
KILLS = int(os.environ.get("AMENDS_KILLS") or 5)
SEED = int(os.environ.get("AMENDS_SEED") or time.time_ns())
# Long, because this test may run for an hour beside others.
START_SECONDS = 300
LABELS = {"great": "positive", "awful": "negative", "table": "neutral"}


@dataclass
class Told:
    """What callers sent, and what they were told."""

    feedback: dict[str, int] = field(default_factory=dict)
    unanswered_feedback: dict[str, dict] = field(default_factory=dict)
    jobs: dict[str, int] = field(default_factory=dict)
    unanswered_jobs: dict[str, list[str]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)


def item(name: str) -> dict:
    """Feedback that can be told by its text; every second one has a client_id, so that it can be sent again."""
    number = int(name.split("-")[1])
    return {"kind": "sentiment", "text": name, "label": "neutral"} | ({"client_id": name} if number % 2 else {})


def send_feedback(url: str, told: Told, number: int) -> None:
    again = list(told.unanswered_feedback)[:20]
    names = again or [f"feedback-{number}-{i}" for i in range(random.randint(1, 5))]
    items = {name: item(name) for name in names}
    told.unanswered_feedback |= {name: one for name, one in items.items() if "client_id" in one}
    response = httpx.post(f"{url}/v1/feedback", json={"items": list(items.values())}, timeout=30)
    assert response.status_code == 200, response.text
    for name, result in zip(items, response.json()["results"], strict=True):
        told.feedback[name] = result["id"]
        told.unanswered_feedback.pop(name, None)


def send_job(url: str, told: Told, number: int) -> None:
    key, texts = next(
        iter(told.unanswered_jobs.items()),
        (f"job-{number}", random.choices(list(LABELS), k=random.randint(1, 6))),
    )
    told.unanswered_jobs[key] = told.texts[key] = texts
    body = {"items": [{"content": text} for text in texts]}
    response = httpx.post(f"{url}/v1/jobs", json=body, headers={"Idempotency-Key": key}, timeout=30)
    assert response.status_code == 202, response.text
    assert told.jobs.setdefault(key, response.json()["id"]) == response.json()["id"]
    told.unanswered_jobs.pop(key)


def keep_sending(send, url: str, told: Told, numbers: "Numbers", over: threading.Event, faults: list) -> None:
    """Until the server is gone. An answer that is not as it should be ends the test."""
    while not over.is_set():
        try:
            send(url, told, numbers.next())
        except httpx.TransportError:
            time.sleep(0.05)
        except Exception as fault:
            faults.append(fault)
            return
        time.sleep(0.03)


class Numbers:
    """0, 1, 2 and so on, for several threads."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        with self._lock:
            self._last += 1
            return self._last


class Kills:
    """A server that is started and killed again and again, always on the same port and database."""

    def __init__(self, folder: Path, database: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log"
        settings = {"AMENDS_DATABASE_URL": database, "AMENDS_JOB_LEASE_SECONDS": "1"}
        self.base = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), **settings}
        self.folder = folder

    def start(self, workers: int) -> subprocess.Popen[bytes]:
        env = environment(self.base, self.port, workers)
        with self.log.open("ab") as out:
            return subprocess.Popen(
                command("127.0.0.1", self.port, SLOW), cwd=self.folder, env=env, stdout=out, stderr=subprocess.STDOUT
            )

    def wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(self.url + "/readyz", timeout=5).status_code == 200:
                    return
            time.sleep(0.05)
        pytest.fail(self.log.read_text("utf-8")[-5000:])

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Every process of the server at once, the parent first, so that nothing is started again."""
        parent = psutil.Process(process.pid)
        family = [parent, *parent.children(recursive=True)]
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)
        process.wait(10)
        assert psutil.wait_procs(family, 10)[1] == []

    def kill_one_worker(self, process: subprocess.Popen[bytes]) -> None:
        """The server starts another in its place."""
        workers: list[psutil.Process] = []
        while not workers:
            workers = psutil.Process(process.pid).children()
            time.sleep(0.01)
        with contextlib.suppress(psutil.NoSuchProcess):
            random.choice(workers).send_signal(signal.SIGKILL)


def one_life(kills: Kills, told: Told, numbers: Numbers, workers_to_kill: int) -> None:
    """Starts the server, lets callers at it, kills some of its workers and in the end all of it at random moments."""
    process = kills.start(min(cores(), random.choice((1, 1, 1, 2))))
    over, faults = threading.Event(), []
    senders = [
        threading.Thread(target=keep_sending, args=(send, kills.url, told, numbers, over, faults))
        for send in (send_feedback, send_job)
    ]
    try:
        for sender in senders:
            sender.start()
        if random.random() < 0.1:
            time.sleep(random.uniform(0, 5))
        else:
            kills.wait_until_ready(process)
            time.sleep(random.uniform(0, 2))
        for _ in range(workers_to_kill):
            kills.kill_one_worker(process)
            kills.wait_until_ready(process)
            time.sleep(random.uniform(0, 2))
    finally:
        kills.kill(process)
        over.set()
        for sender in senders:
            sender.join(60)
    assert not faults, faults


def everything(url: str, path: str, name: str, limit: int = 1000) -> list[dict]:
    found, after = [], 0
    while after is not None:
        body = httpx.get(f"{url}{path}", params={"after": after, "limit": limit}, timeout=60).json()
        found += body[name]
        after = body["next"]
    return found


def settled(url: str, told: Told, numbers: Numbers) -> list[dict]:
    """All jobs, once callers have an answer to everything that they may send again, and no job is left to do."""
    while told.unanswered_feedback:
        send_feedback(url, told, numbers.next())
    while told.unanswered_jobs:
        send_job(url, told, numbers.next())
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        jobs = everything(url, "/v1/jobs", "jobs")
        if all(job["state"] not in ("queued", "running") for job in jobs):
            return jobs
        time.sleep(0.5)
    pytest.fail(f"jobs are stuck: {[job for job in jobs if job['state'] in ('queued', 'running')]}")


def check_feedback(url: str, told: Told) -> int:
    kept = everything(url, "/v1/feedback", "items")
    by_text = {one["text"]: one["id"] for one in kept}
    assert len(by_text) == len(kept), "an item is there twice"
    assert {name: by_text.get(name) for name in told.feedback} == told.feedback
    unasked = set(by_text) - set(told.feedback)
    assert not [name for name in unasked if "client_id" in item(name)]
    return len(kept)


def check_jobs(url: str, told: Told, jobs: list[dict]) -> None:
    assert [job["id"] for job in jobs] == sorted(told.jobs.values())
    by_id = {job["id"]: job for job in jobs}
    for key, number in told.jobs.items():
        job, texts = by_id[number], told.texts[key]
        assert (job["state"], job["total"], job["done"], job["failed"]) == ("done", len(texts), len(texts), 0)
        results = httpx.get(f"{url}/v1/jobs/{number}/results", timeout=60).json()["results"]
        assert [result["item"] for result in results] == list(range(len(texts)))
        found = [result["reports"][0]["utterances"][0] for result in results]
        assert [(one["text"], one["sentiment"]["label"]) for one in found] == [(t, LABELS[t]) for t in texts]


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_doubled_or_stuck(database, tmp_path):
    random.seed(SEED)
    kills, told, numbers = Kills(tmp_path, database), Told(), Numbers()
    left = KILLS
    while left > 0:
        workers_to_kill = min(random.randint(0, 3), left - 1)
        one_life(kills, told, numbers, workers_to_kill)
        left -= 1 + workers_to_kill
    process = kills.start(1)
    try:
        kills.wait_until_ready(process)
        jobs = settled(kills.url, told, numbers)
        kept = check_feedback(kills.url, told)
        check_jobs(kills.url, told, jobs)
    finally:
        kills.kill(process)
    assert told.feedback
    assert told.jobs
    if database.startswith("sqlite"):
        with sqlite3.connect(make_url(database).database) as conn:
            assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    items = sum(len(texts) for texts in told.texts.values())
    print(f"seed {SEED}: {KILLS} kills, {len(told.feedback)} items of feedback acknowledged and {kept} kept, ", end="")
    print(f"{len(told.jobs)} jobs with {items} items")
