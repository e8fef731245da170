"""Retraining as a job of the service, with a command of a few lines in the place of the real one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from starlette.testclient import TestClient

from service.app import Amends, served
from service.errors import ApiError
from service.retrain_job import RUNS_KEPT, Retraining, RetrainRequest, Retrains, Run, command
from service.settings import Settings
from tests.fakes import fake_scorer

DECISION = {"promote": True, "passed": True, "forced": None, "reasons": [], "checks": []}
DOES = f"""
import json, os, pathlib, sys, time
out = pathlib.Path("out"); out.mkdir(exist_ok=True)
tries = len(list(out.glob("try-*"))); (out / f"try-{{tries}}").touch()
(out / "progress.json").write_text(json.dumps({{"step": "comparing", "share": 0.85}}))
lines = pathlib.Path("feedback.jsonl").read_text().splitlines()
if "wait" in lines and not tries: time.sleep(60)
if "refuse" in lines: sys.exit("amends: nothing to learn from; got 0 rows; expected 20")
if "break" in lines: raise RuntimeError("secret-detail")
registered = {{"version": "abc", "promoted": True}}
decision = json.loads('{json.dumps(DECISION)}')
(out / "report.json").write_text(json.dumps({{"decision": decision, "registered": registered}}))
"""


def line(run: Run, folder: Path) -> list[str]:
    return [sys.executable, "-c", DOES]


@pytest.fixture
def retrains(tmp_path) -> Iterator[Retrains]:
    opened = Retrains(tmp_path / "retrain", line)
    yield opened
    opened.close()


def begin(retrains: Retrains, *words: str, **asked: object) -> Retraining:
    return retrains.start(RetrainRequest(**asked), "released", "crm", lambda path: path.write_text("\n".join(words)))


def wait_for(look: Callable[[], Retraining], *states: str) -> Retraining:
    end = time.monotonic() + 30
    while (found := look()).state not in states:
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


def ended(retrains: Retrains, number: int) -> Retraining:
    return wait_for(lambda: retrains.get(number), "done", "failed", "cancelled", "interrupted")


def at_work(retrains: Retrains, number: int) -> None:
    end = time.monotonic() + 30
    while retrains.get(number).share == 0:
        assert time.monotonic() < end
        time.sleep(0.05)


def wait_for_end(process: int) -> None:
    end = time.monotonic() + 30
    while psutil.pid_exists(process):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_run_gives_the_decision_of_its_report(retrains):
    began = begin(retrains, "row")
    assert (began.id, began.state, began.champion, began.key, began.decision) == (1, "running", "released", "crm", None)
    done = ended(retrains, 1)
    assert (done.state, done.share, done.version, done.label, done.decision) == ("done", 1, "abc", "champion", DECISION)
    assert done.finished_at
    assert done.error is None


def test_one_at_a_time_and_cancelled_at_once(retrains):
    begin(retrains, "wait")
    at_work(retrains, 1)
    with pytest.raises(ApiError) as caught:
        begin(retrains, "row")
    assert (caught.value.status, caught.value.problem.code) == (409, "retraining")
    assert (retrains.get(1).step, retrains.get(1).share) == ("comparing", 0.85)
    assert retrains.cancel(1).state == "cancelled"
    with pytest.raises(ApiError) as caught:
        retrains.cancel(1)
    assert caught.value.problem.code == "job_ended"
    assert begin(retrains, "row").id == 2


def test_another_worker_sees_the_same(retrains):
    begin(retrains, "wait")
    other = Retrains(retrains.folder, line)
    at_work(other, 1)
    with pytest.raises(ApiError):
        begin(other, "row")
    assert other.cancel(1).state == retrains.get(1).state == "cancelled"


def test_a_failure_says_why_and_faults_stay_in_the_log(retrains):
    begin(retrains, "refuse")
    error = ended(retrains, 1).error
    assert (error.code, error.message) == ("retraining_failed", "nothing to learn from; got 0 rows; expected 20")
    begin(retrains, "break")
    failed = ended(retrains, 2)
    assert (failed.state, failed.error.code) == ("failed", "internal_error")
    assert "secret-detail" not in failed.model_dump_json()
    assert "secret-detail" in (retrains.folder / "2" / "log").read_text()


def test_what_was_interrupted_goes_on_with_its_number_and_its_feedback(retrains):
    begin(retrains, "wait")
    at_work(retrains, 1)
    retrains.close()
    assert wait_for(lambda: retrains.get(1), "interrupted").finished_at is None
    again = Retrains(retrains.folder, line)
    assert begin(again, "other", resume=1).id == 1
    assert ended(again, 1).state == "done"
    assert (again.folder / "1" / "feedback.jsonl").read_text() == "wait"
    with pytest.raises(ApiError) as caught:
        begin(again, resume=1)
    assert caught.value.problem.code == "job_ended"


def test_a_killed_server_leaves_no_run_that_only_seems_to_work(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, '.');"
        "from service.retrain_job import Retrains; from tests.service.test_retrain_job import begin, line;"
        f"begin(Retrains(Path({str(tmp_path)!r}), line), 'wait'); print('began', flush=True); time.sleep(60)"
    )
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env)
    assert server.stdout.readline() == b"began\n"
    server.kill()
    server.wait()
    retrains = Retrains(tmp_path, line)
    at_work(retrains, 1)
    assert retrains.get(1).state == "running"
    os.killpg(int((tmp_path / "running").read_text().split()[1]), signal.SIGKILL)
    assert wait_for(lambda: retrains.get(1), "interrupted").error is None


def test_closing_ends_a_run_of_which_the_first_process_is_gone(retrains):
    begin(retrains, "wait")
    at_work(retrains, 1)
    # Whoever stops a server may end the children of its workers first; what these began is not told.
    first = int((retrains.folder / "running").read_text().split()[1])
    os.kill(first, signal.SIGTERM)
    wait_for_end(first)
    assert retrains.get(1).state == "running"
    retrains.close()
    assert retrains.get(1).state == "interrupted"
    assert begin(retrains, resume=1).state in ("running", "done")


def test_closing_leaves_the_run_of_another_worker_alone(retrains):
    begin(retrains, "row")
    ended(retrains, 1)
    other = Retrains(retrains.folder, line)
    begin(other, "wait")
    at_work(other, 2)
    retrains.close()
    assert other.get(2).state == "running"
    other.close()


def test_only_the_last_runs_are_kept(retrains):
    for i in range(RUNS_KEPT + 2):
        begin(retrains, "row")
        ended(retrains, i + 1)
    assert [run.id for run in retrains.list()] == list(range(3, RUNS_KEPT + 3))


def test_a_run_that_is_not_there(retrains):
    for ask in (retrains.get, retrains.cancel, lambda number: begin(retrains, resume=number)):
        with pytest.raises(ApiError) as caught:
            ask(7)
        assert caught.value.problem.code == "no_such_job"
    assert retrains.list() == []


def test_the_command_starts_from_the_champion_of_the_beginning(tmp_path):
    run = Run(1, "loyalty", 12.5, False, "abc", None, "", "")
    given = command(run, tmp_path)
    assert given[given.index("--bundle") + 1] == "models:abc"
    assert given[given.index("--budget") + 1] == "12.5m"
    assert given[given.index("--from") + 1] == str(tmp_path / "feedback.jsonl")
    assert given[-1] == "--no-promote"
    from service.cli import parser

    assert parser().parse_args(given[3:]).budget == 750


@contextmanager
def client(tmp_path: Path, monkeypatch, retrain: str) -> Iterator[TestClient]:
    metrics = {"services": {"Amends": {"metrics": {"enabled": False}}}}
    monkeypatch.setenv("BENTOML_CONFIG_OVERRIDES", json.dumps(metrics))
    monkeypatch.setenv("AMENDS_STATE", str(tmp_path))
    monkeypatch.setenv("AMENDS_RETRAIN", retrain)

    class Fake(Amends.inner):
        def load_scorer(self, folder: Path):
            return fake_scorer()

        def load_retrains(self, settings: Settings) -> Retrains:
            return Retrains(settings.state_folder / "retrain", line)

    with TestClient(served(Fake).to_asgi(), raise_server_exceptions=False) as opened:
        yield opened


def test_over_http(tmp_path, monkeypatch):
    with client(tmp_path, monkeypatch, "1") as calls:
        feedback = {"items": [{"kind": "sentiment", "text": "great", "label": "positive"}]}
        assert calls.post("/v1/feedback", json=feedback).status_code == 200
        response = calls.post("/v1/retrain", json={"budget_minutes": 5})
        assert (response.status_code, response.headers["location"]) == (202, "/v1/retrain/1")
        done = wait_for(lambda: Retraining(**calls.get("/v1/retrain/1").json()), "done", "failed")
        assert done.decision == DECISION
        kept = json.loads((tmp_path / "retrain" / "1" / "feedback.jsonl").read_text())
        assert (kept["text"], kept["label"]) == ("great", "positive")
        assert [run["id"] for run in calls.get("/v1/retrain").json()["runs"]] == [1]
        assert calls.delete("/v1/retrain/1").json()["error"]["code"] == "job_ended"
        assert calls.get("/v1/retrain/2").json()["error"]["code"] == "no_such_job"
        assert calls.post("/v1/retrain", json={"budget_minutes": 0}).status_code == 422


def test_it_is_off_unless_the_settings_say_so(tmp_path, monkeypatch):
    with client(tmp_path, monkeypatch, "") as calls:
        response = calls.post("/v1/retrain", json={})
        assert (response.status_code, response.json()["error"]["code"]) == (409, "retraining_off")
        assert calls.get("/v1/retrain").json() == {"runs": []}
