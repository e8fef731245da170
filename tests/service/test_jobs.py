"""/v1/jobs over HTTP on both databases, and the thread that works on them."""

import hashlib
import json
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from model.scorer import Scorer
from service.app import Amends, served
from service.jobs import JobRunner
from service.store import MAX_TRIES, StoreUnavailableError, open_store
from tests.fakes import WORDS, FakeEncoder, fake_bundle, fake_scorer

HASH = hashlib.sha256(b"letmein").hexdigest()
READER = hashlib.sha256(b"reader").hexdigest()
WAIT, BREAK = WORDS.index("years") + 1, WORDS.index("bought") + 1


class OddEncoder(FakeEncoder):
    """Waits at the word "years" until it may go on, and breaks at "bought"."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self.go_on = threading.Event()

    def encode(self, windows):
        if any(WAIT in window for window in windows):
            self.waiting.set()
            assert self.go_on.wait(20)
        if any(BREAK in window for window in windows):
            raise RuntimeError("secret-detail")
        return super().encode(windows)


@pytest.fixture(autouse=True)
def _no_metrics(monkeypatch):
    monkeypatch.setenv("BENTOML_CONFIG_OVERRIDES", '{"services": {"Amends": {"metrics": {"enabled": false}}}}')


@contextmanager
def client_of(encoder=None):
    class Fake(Amends.inner):
        def load_scorer(self, folder: Path):
            return Scorer(fake_bundle(encoder)) if encoder else fake_scorer()

    with TestClient(served(Fake).to_asgi(), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(database, monkeypatch):
    monkeypatch.setenv("AMENDS_DATABASE_URL", database)
    with client_of() as client:
        yield client


@pytest.fixture
def sqlite(tmp_path, monkeypatch) -> str:
    url = f"sqlite:///{tmp_path}/a.db"
    monkeypatch.setenv("AMENDS_DATABASE_URL", url)
    return url


def submitted(client, *texts: str, **headers: str) -> dict:
    response = client.post("/v1/jobs", json={"items": [{"content": text} for text in texts]}, headers=headers)
    assert response.status_code == 202, response.text
    assert response.headers["location"] == f"/v1/jobs/{response.json()['id']}"
    return response.json()


def until(check, seconds: float = 20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := check():
            return found
        time.sleep(0.02)
    pytest.fail("it did not come about")


def ended(client, number: int, state: str = "done") -> dict:
    def look() -> dict | None:
        job = client.get(f"/v1/jobs/{number}").json()
        return job if job["state"] not in ("queued", "running") else None

    job = until(look)
    assert job["state"] == state, job
    return job


def labels(results: list[dict]) -> list[str]:
    return [r["reports"][0]["utterances"][0]["sentiment"]["label"] for r in results]


def test_a_job_gives_what_score_gives_and_a_bad_item_spoils_nobody(client):
    items = [
        {"content": "A great kettle.", "brand": "Brightpot"},
        {"contents": "typo"},
        {"thread": {"id": "t", "utterances": [{"id": "1", "text": "Awful \x00 kettle"}]}},
        None,
        {"content": ""},
        {"content": '{"id": "1", "text": "great"}\n{"id": "2", "text": "awful"}', "format": "jsonl"},
    ]
    response = client.post("/v1/jobs", json={"items": items})
    assert response.status_code == 202
    queued = response.json()
    assert (queued["state"], queued["total"], queued["done"]) == ("queued", 6, 0)
    job = ended(client, queued["id"])
    assert (job["done"], job["failed"], job["error"], job["key"]) == (6, 3, None, None)
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    body = client.get(f"/v1/jobs/{queued['id']}/results").json()
    assert body["next"] is None
    assert [result.pop("item") for result in body["results"]] == list(range(6))
    for item, result in zip(items, body["results"], strict=True):
        body_of_one = {"content": json.dumps(item), "headers": {"Content-Type": "application/json"}}
        assert result == client.post("/v1/score", **body_of_one).json()
    codes = [r["error"]["code"] for r in body["results"] if "error" in r]
    assert codes == [
        "extra_forbidden",
        "model_type",
        "empty_file",
    ]


def test_results_page_by_page_and_the_list_of_jobs(client):
    first = submitted(client, *["great"] * 5)["id"]
    second = submitted(client, "awful")["id"]
    ended(client, second)
    page = client.get(f"/v1/jobs/{first}/results", params={"limit": 3}).json()
    assert ([r["item"] for r in page["results"]], page["next"]) == ([0, 1, 2], 2)
    page = client.get(f"/v1/jobs/{first}/results", params={"after": 2}).json()
    assert ([r["item"] for r in page["results"]], page["next"]) == ([3, 4], None)
    assert labels(page["results"]) == ["positive"] * 2
    body = client.get("/v1/jobs", params={"limit": 1}).json()
    assert ([job["id"] for job in body["jobs"]], body["next"]) == ([first], first)
    body = client.get("/v1/jobs", params={"after": first, "state": "done"}).json()
    assert ([job["id"] for job in body["jobs"]], body["next"]) == ([second], None)
    assert client.get("/v1/jobs", params={"state": "queued"}).json() == {"jobs": [], "next": None}
    assert client.get("/v1/jobs", params={"state": "lost"}).status_code == 422


def test_jobs_that_are_not_there(client):
    for path in ("/v1/jobs/99", "/v1/jobs/0", "/v1/jobs/x", f"/v1/jobs/{2**70}", "/v1/jobs/-1", "/v1/jobs/٣"):
        for response in (client.get(path), client.get(f"{path}/results"), client.delete(path)):
            assert (response.status_code, response.json()["error"]["code"]) == (404, "no_such_job")
    assert client.post("/v1/jobs/1", json={}).status_code == 405


def test_the_same_key_is_the_same_job(client):
    job = submitted(client, "great", **{"Idempotency-Key": "march"})
    ended(client, job["id"])
    again = submitted(client, "great", **{"Idempotency-Key": "march"})
    assert (again["id"], again["state"]) == (job["id"], "done")
    assert submitted(client, "great")["id"] != job["id"]
    body = {"items": [{"content": "awful"}]}
    response = client.post("/v1/jobs", json=body, headers={"Idempotency-Key": "march"})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "idempotency_key_reused")
    for bad in ("", "x" * 201, "é".encode("latin-1")):
        response = client.post("/v1/jobs", json=body, headers={"Idempotency-Key": bad})
        assert (response.status_code, response.json()["error"]["field"]) == (422, "Idempotency-Key")


def test_sizes(sqlite, monkeypatch):
    monkeypatch.setenv("AMENDS_JOB_ITEMS", "2")
    monkeypatch.setenv("AMENDS_MAX_JOBS", "1")
    encoder = OddEncoder()
    with client_of(encoder) as client:
        for items in ([], [{"content": "great"}] * 3):
            response = client.post("/v1/jobs", json={"items": items})
            assert (response.status_code, response.json()["error"]["field"]) == (422, "items")
        job = submitted(client, "years", "great")
        response = client.post("/v1/jobs", json={"items": [{"content": "great"}]})
        assert (response.status_code, response.json()["error"]["code"]) == (429, "queue_full")
        assert int(response.headers["retry-after"]) > 0
        encoder.go_on.set()
        ended(client, job["id"])
        submitted(client, "great")
        assert client.get("/v1/model").json()["limits"]["job_items"] == 2


def test_keys(sqlite, monkeypatch):
    monkeypatch.setenv("AMENDS_API_KEYS", f"desk:write:{HASH},report:read:{READER}")
    writer, reader = ({"Authorization": f"Bearer {key}"} for key in ("letmein", "reader"))
    body = {"items": [{"content": "great"}]}
    with client_of() as client:
        assert client.post("/v1/jobs", json=body, headers=reader).status_code == 403
        assert client.post("/v1/jobs", json=body).status_code == 401
        number = client.post("/v1/jobs", json=body, headers=writer).json()["id"]
        until(lambda: client.get(f"/v1/jobs/{number}", headers=reader).json()["state"] == "done")
        assert client.get(f"/v1/jobs/{number}", headers=reader).json()["key"] == "desk"
        assert client.get(f"/v1/jobs/{number}/results", headers=reader).status_code == 200
        assert client.get("/v1/jobs").status_code == 401
        assert client.delete(f"/v1/jobs/{number}", headers=reader).status_code == 403
        assert client.delete(f"/v1/jobs/{number}", headers=writer).status_code == 409


def test_an_item_that_breaks_the_scorer_is_an_error_without_internals(sqlite):
    with client_of(OddEncoder()) as client:
        number = submitted(client, "great", "bought", "awful")["id"]
        assert ended(client, number)["failed"] == 1
        good, broken, fine = client.get(f"/v1/jobs/{number}/results").json()["results"]
    assert labels([good, fine]) == ["positive", "negative"]
    assert broken["error"]["code"] == "internal_error"
    assert "secret" not in json.dumps(broken)


def test_cancel_while_queued_and_while_running(database, monkeypatch):
    monkeypatch.setenv("AMENDS_DATABASE_URL", database)
    encoder = OddEncoder()
    with client_of(encoder) as client:
        running = submitted(client, "great", *["years"] * 50)["id"]
        waiting = submitted(client, "great")["id"]
        last = submitted(client, "awful")["id"]
        assert encoder.waiting.wait(10)
        assert client.get(f"/v1/jobs/{running}").json()["state"] == "running"
        cancelled = [client.delete(f"/v1/jobs/{number}").json() for number in (waiting, running)]
        assert [(job["state"], job["done"]) for job in cancelled] == [("cancelled", 0), ("cancelled", 1)]
        encoder.go_on.set()
        ended(client, last)
        for job in cancelled:
            assert client.get(f"/v1/jobs/{job['id']}").json() == job
            assert client.delete(f"/v1/jobs/{job['id']}").json() == job
        assert len(client.get(f"/v1/jobs/{running}/results").json()["results"]) == 1


def test_requests_go_first(sqlite, monkeypatch):
    """One core: while a job is at work a request gets its answer before the job's next batch."""
    monkeypatch.setenv("AMENDS_THREADS", "1")
    answered: list[int] = []

    class Slow(FakeEncoder):
        batches = 0

        def encode(self, windows):
            if len(windows) > 1:
                Slow.batches += 1
                time.sleep(0.02)
            return super().encode(windows)

    with client_of(Slow()) as client:
        utterances = [{"id": str(i), "text": f"great kettle number {i}"} for i in range(400)]
        body = {"items": [{"thread": {"id": "t", "utterances": utterances}}]}
        number = client.post("/v1/jobs", json=body).json()["id"]
        until(lambda: Slow.batches > 2)
        for _ in range(10):
            before = Slow.batches
            assert client.post("/v1/sentiment", json={"texts": ["great"]}).status_code == 200
            answered.append(Slow.batches - before)
        assert client.get(f"/v1/jobs/{number}").json()["state"] == "running"
        ended(client, number)
    assert max(answered) <= 3


def test_a_worker_that_ends_puts_its_job_back_and_the_next_goes_on(database, monkeypatch):
    monkeypatch.setenv("AMENDS_DATABASE_URL", database)
    encoder = OddEncoder()
    with client_of(encoder) as client:
        number = submitted(client, "great", "years", "awful")["id"]
        assert encoder.waiting.wait(10)
        threading.Timer(0.3, encoder.go_on.set).start()
    store = open_store(database)
    job = store.job(number)
    assert job["done"] in (1, 2)
    assert (job["state"], job["lease"]) == ("queued", None)
    store.close()
    with client_of() as client:
        ended(client, number)
        results = client.get(f"/v1/jobs/{number}/results").json()["results"]
        assert [r["item"] for r in results] == [0, 1, 2]
        assert labels(results)[::2] == ["positive", "negative"]


class Counted:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.items: list[bool] = []
        self.queues: list[dict[str, int]] = []

    def job_item(self, *, scored: bool) -> None:
        self.items.append(scored)

    def queue(self, counts: dict[str, int]) -> None:
        self.queues.append(counts)


def runner(store, work, observer=None, lease_seconds: float = 30.0) -> JobRunner:
    return JobRunner(store, work, observer or Counted(), lease_seconds=lease_seconds, job_days=0, feedback_days=0)


def queued(store, *contents: object) -> int:
    return store.add_job([json.dumps(c) for c in contents], "", None, "", 100)["id"]


def test_an_item_that_takes_the_process_down_is_given_up(database):
    store = open_store(database)
    number = queued(store, "deadly", "fine")
    for _ in range(MAX_TRIES):
        assert store.claim(0).job == number
        time.sleep(0.01)
    observer = Counted()
    jobs = runner(store, lambda item, gone: {"reports": [json.loads(item)]}, observer)
    jobs.start()
    until(lambda: store.job(number)["state"] == "done")
    jobs.close()
    first, second = (json.loads(row["result"]) for row in store.results(number, -1, 10).rows)
    assert (first["error"]["code"], first["error"]["got"]) == ("given_up", f"{MAX_TRIES} tries")
    assert second == {"reports": ["fine"]}
    assert observer.items == [False, True]
    assert {"queued": 0, "running": 1} in observer.queues
    store.close()


def test_a_long_item_keeps_its_lease_and_a_lost_lease_stops_it(database):
    store = open_store(database)
    number = queued(store, "long")
    begun, stopped = threading.Event(), threading.Event()

    def work(item, gone):
        begun.set()
        assert gone.wait(20)
        stopped.set()
        raise TimeoutError

    jobs = runner(store, work, lease_seconds=0.3)
    jobs.start()
    assert begun.wait(10)
    time.sleep(0.8)
    assert store.claim(30) is None
    store.cancel(number)
    assert stopped.wait(10)
    jobs.close()
    assert store.job(number)["state"] == "cancelled"
    store.close()


class Flaky:
    """A store whose database goes away for a while; everything else is the store's own."""

    def __init__(self, store, failures: int) -> None:
        self._store = store
        self.failures = failures

    def __getattr__(self, name):
        return getattr(self._store, name)

    def put(self, *args, **kwargs):
        if self.failures > 0:
            self.failures -= 1
            raise StoreUnavailableError("away")
        return self._store.put(*args, **kwargs)


def test_the_thread_outlives_a_database_that_goes_away(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    number = queued(store, 1, 2)
    jobs = runner(Flaky(store, 1), lambda item, gone: {"reports": [json.loads(item)]}, lease_seconds=0.2)
    jobs.start()
    until(lambda: store.job(number)["state"] == "done")
    jobs.close()
    assert [json.loads(r["result"])["reports"] for r in store.results(number, -1, 10).rows] == [[1], [2]]
    store.close()


def test_a_job_that_can_not_be_read_fails_alone(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    broken = store.add_job(["{no json"], "", None, "", 100)["id"]
    fine = queued(store, 1)

    class Broken(Flaky):
        def content(self, claim, item):
            if claim.job == broken:
                raise KeyError("damaged")
            return self._store.content(claim, item)

    jobs = runner(Broken(store, 0), lambda item, gone: {"reports": [json.loads(item)]})
    jobs.start()
    until(lambda: store.job(fine)["state"] == "done")
    jobs.close()
    assert store.job(broken)["state"] == "failed"
    assert json.loads(store.job(broken)["error"])["code"] == "internal_error"
    store.close()
