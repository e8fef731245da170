"""/v1/feedback over HTTP, on both databases, and its export."""

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import Amends, served
from service.cli import main
from tests.fakes import fake_scorer

DOCS = (Path(__file__).parents[2] / "docs/http.md").read_text("utf-8")
HASH = hashlib.sha256(b"letmein").hexdigest()
READER = hashlib.sha256(b"reader").hexdigest()
SENTIMENT = {"kind": "sentiment", "text": "Splendid. My third kettle in a month.", "label": "negative"}
CUE = {"kind": "cue", "text": "They never said sorry.", "cue": "apology", "value": "absent", "state": "absent"}
OUTCOME = {"kind": "outcome", "case_id": "C-1", "outcome": "left", "observed_at": "2026-03-31"}
RECORD = {"cues": {"solved": "no"}, "severity": 2, "valence": -0.8}
PREDICTION = {"kind": "prediction", "case_id": "C-1", "case": RECORD, "predicted_at": "2026-02-01"}


@pytest.fixture(scope="module", autouse=True)
def _no_metrics():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_CONFIG_OVERRIDES", '{"services": {"Amends": {"metrics": {"enabled": false}}}}')
        yield


class Fake(Amends.inner):
    def load_scorer(self, folder: Path):
        return fake_scorer()


@pytest.fixture
def client(database, monkeypatch):
    monkeypatch.setenv("AMENDS_DATABASE_URL", database)
    with TestClient(served(Fake).to_asgi(), raise_server_exceptions=False) as client:
        yield client


@contextmanager
def over_sqlite(folder: Path) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMENDS_DATABASE_URL", f"sqlite:///{folder}/a.db")
        with TestClient(served(Fake).to_asgi(), raise_server_exceptions=False) as client:
            yield client


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A client over SQLite alone, for what has nothing to do with the database."""
    with over_sqlite(tmp_path_factory.mktemp("small")) as client:
        yield client


def sent(client, *items: object) -> list[dict]:
    response = client.post("/v1/feedback", json={"items": items})
    assert response.status_code == 200, response.text
    return response.json()["results"]


def test_what_is_kept_comes_back_as_it_was(client):
    full = {
        **CUE,
        "quote": "never said sorry",
        "thread_id": "t1",
        "utterance_id": "2",
        "author": "Inès 🙂",
        "target": "Brightpot",
        "predicted": {"state": "present", "probability": 0.4, "why": ["a\x00b", None]},
        "client_id": "desk-1",
    }
    results = sent(client, SENTIMENT, full, OUTCOME, {**SENTIMENT, "text": "NUL \x00 and \u2028 are fine"})
    numbers = [result["id"] for result in results]
    assert numbers == sorted(set(numbers))
    body = client.get("/v1/feedback").json()
    assert body["next"] is None
    noted = {"id", "received_at", "key", "bundle"}
    kept = [{k: v for k, v in item.items() if k not in noted and v is not None} for item in body["items"]]
    assert kept == [SENTIMENT, full, OUTCOME, {**SENTIMENT, "text": "NUL \x00 and \u2028 are fine"}]
    first = body["items"][0]
    assert (first["key"], first["bundle"]) == (None, {"version": "fake", "digest": "0" * 64})
    age = datetime.now(UTC) - datetime.fromisoformat(first["received_at"])
    assert timedelta(0) <= age + timedelta(seconds=1) < timedelta(minutes=1)


def test_pages(client):
    numbers = [result["id"] for result in sent(client, *[SENTIMENT] * 5)]
    page = client.get("/v1/feedback", params={"limit": 2}).json()
    assert ([item["id"] for item in page["items"]], page["next"]) == (numbers[:2], numbers[1])
    page = client.get("/v1/feedback", params={"after": page["next"]}).json()
    assert ([item["id"] for item in page["items"]], page["next"]) == (numbers[2:], None)
    assert client.get("/v1/feedback", params={"after": numbers[-1]}).json() == {"items": [], "next": None}


def test_a_client_id_is_kept_once(client):
    named = {**OUTCOME, "client_id": "crm-1"}
    (first,) = sent(client, named)
    again, other, unnamed = sent(client, dict(reversed(named.items())), {**named, "outcome": "warned"}, OUTCOME)
    assert again == first
    assert (other["error"]["code"], other["error"]["field"]) == ("client_id_reused", "items.1.client_id")
    assert unnamed["id"] > first["id"]
    assert len(client.get("/v1/feedback").json()["items"]) == 2


@pytest.mark.parametrize(
    ("item", "code", "field"),
    [
        (None, "not_an_object", "items.1"),
        ("negative", "not_an_object", "items.1"),
        ({}, "unknown_kind", "items.1.kind"),
        ({**SENTIMENT, "kind": "mood"}, "unknown_kind", "items.1.kind"),
        ({**SENTIMENT, "kind": ["sentiment"]}, "unknown_kind", "items.1.kind"),
        ({**SENTIMENT, "label": "sad"}, "literal_error", "items.1.label"),
        ({**SENTIMENT, "text": " \n"}, "string_pattern_mismatch", "items.1.text"),
        ({**SENTIMENT, "text": "x" * 100_001}, "string_too_long", "items.1.text"),
        ({**SENTIMENT, "text": 3}, "string_type", "items.1.text"),
        ({"kind": "sentiment", "label": "negative"}, "missing", "items.1.text"),
        ({**SENTIMENT, "lable": "x"}, "extra_forbidden", "items.1.lable"),
        ({**SENTIMENT, "client_id": ""}, "string_too_short", "items.1.client_id"),
        ({**SENTIMENT, "client_id": "a\x00"}, "string_pattern_mismatch", "items.1.client_id"),
        ({**SENTIMENT, "client_id": "x" * 201}, "string_too_long", "items.1.client_id"),
        ({**SENTIMENT, "predicted": "x" * 10_000}, "value_error", "items.1.predicted"),
        ({**CUE, "cue": "apologies"}, "unknown_cue", "items.1.cue"),
        ({**CUE, "value": "yes"}, "unknown_value", "items.1.value"),
        ({**CUE, "state": "unsure"}, "literal_error", "items.1.state"),
        ({**CUE, "quote": "said sorry twice"}, "not_in_text", "items.1.quote"),
        ({**CUE, "quote": ""}, "string_too_short", "items.1.quote"),
        ({**OUTCOME, "case_id": None}, "missing", "items.1.case_id, author"),
        ({**OUTCOME, "outcome": "stayed"}, "literal_error", "items.1.outcome"),
        ({**OUTCOME, "observed_at": "31.3.2026"}, "value_error", "items.1.observed_at"),
        ({**OUTCOME, "observed_at": "2026-02-30"}, "value_error", "items.1.observed_at"),
        ({**OUTCOME, "observed_at": "9999-01-01"}, "future_date", "items.1.observed_at"),
        ({**OUTCOME, "observed_at": 20260331}, "value_error", "items.1.observed_at"),
        ({**OUTCOME, "predicted_at": "2026-04-01"}, "seen_before", "items.1.observed_at"),
        ({**OUTCOME, "case": {"cues": {"weather": "bad"}, "severity": 1}}, "unknown_cue", "items.1.case.cues"),
        ({**PREDICTION, "case_id": None, "author": "Ines"}, "missing", "items.1.case_id"),
        ({**PREDICTION, "case": None}, "missing", "items.1.case"),
        ({**PREDICTION, "case": {**RECORD, "severity": 4}}, "less_than_equal", "items.1.case.severity"),
        (
            {**PREDICTION, "case": {"probabilities": {"x": 1}, "severity": 1, "failure": 1}},
            "unknown_cue",
            "items.1.case.probabilities",
        ),
        ({**PREDICTION, "predicted_at": "9999-01-01"}, "future_date", "items.1.predicted_at"),
    ],
)
def test_a_bad_item_gets_an_error_in_its_place(small, item, code, field):
    good, bad, fine = sent(small, SENTIMENT, item, {**OUTCOME, "case_id": None, "author": "Omar"})
    assert fine["id"] == good["id"] + 1
    assert set(bad) == {"error"}
    assert (bad["error"]["code"], bad["error"]["field"]) == (code, field)
    assert bad["error"]["expected"]


def test_numbers_that_are_none_are_no_json(small):
    body = '{"items": [{"kind": "sentiment", "text": "a", "label": "neutral", "predicted": NaN}]}'
    response = small.post("/v1/feedback", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 200
    assert response.json()["results"][0]["error"]["field"] == "items.0.predicted"


def test_every_state_and_label(small):
    cues = [{**CUE, "state": state} for state in ("present", "absent", "hypothetical", "not_mentioned")]
    labels = [{**SENTIMENT, "label": label} for label in ("negative", "neutral", "positive")]
    outcomes = [{**OUTCOME, "outcome": o} for o in ("bought_again", "left", "recommended", "warned")]
    assert all("id" in result for result in sent(small, *cues, *labels, *outcomes))


def test_a_case_that_was_returned_and_a_record_are_kept_for_outcomes_to_come(small):
    returned = {"probabilities": {"solved:no": 0.9}, "severity": 1.6, "failure": 0.98, "tenure": 0.0, "valence": None}
    by_author = {**PREDICTION, "case_id": None, "thread_id": "t1", "author": "Ines", "case": returned}
    kept = sent(small, PREDICTION, by_author, {**OUTCOME, "case": RECORD, "predicted_at": "2026-02-01"})
    assert all("id" in result for result in kept)
    items = small.get("/v1/feedback", params={"after": kept[0]["id"] - 1}).json()["items"]
    assert [i["kind"] for i in items] == ["prediction", "prediction", "outcome"]
    assert items[0]["case"] == RECORD
    assert items[1]["case"]["probabilities"] == {"solved:no": 0.9}


def test_no_items_and_too_many(small):
    assert sent(small) == []
    response = small.post("/v1/feedback", json={"items": [SENTIMENT] * 1001})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "too_long")
    assert len(sent(small, *[SENTIMENT] * 1000)) == 1000


@pytest.mark.parametrize(
    ("query", "field"),
    [("after=-1", "after"), ("after=x", "after"), (f"after={2**63}", "after"), ("limit=0", "limit"),
     ("limit=1001", "limit"), ("limt=3", "limt")],
)  # fmt: skip
def test_queries_that_can_not_be_used(small, query, field):
    response = small.get(f"/v1/feedback?{query}")
    assert (response.status_code, response.json()["error"]["field"]) == (422, field)


def test_keys(tmp_path, monkeypatch):
    monkeypatch.setenv("AMENDS_DATABASE_URL", f"sqlite:///{tmp_path}/a.db")
    monkeypatch.setenv("AMENDS_API_KEYS", f"desk:write:{HASH},report:read:{READER}")
    writer, reader = ({"Authorization": f"Bearer {key}"} for key in ("letmein", "reader"))
    with TestClient(served(Fake).to_asgi()) as client:
        assert client.post("/v1/feedback", json={"items": [SENTIMENT]}).status_code == 401
        response = client.post("/v1/feedback", json={"items": [SENTIMENT]}, headers=reader)
        assert (response.status_code, response.json()["error"]["code"]) == (403, "read_only_key")
        assert client.post("/v1/feedback", json={"items": [SENTIMENT]}, headers=writer).status_code == 200
        assert client.get("/v1/feedback").status_code == 401
        (item,) = client.get("/v1/feedback", headers=reader).json()["items"]
        assert item["key"] == "desk"


def test_a_database_that_is_gone_is_503_and_scoring_goes_on(tmp_path):
    with over_sqlite(tmp_path) as client:
        with sqlite3.connect(tmp_path / "a.db") as other:
            other.execute("DROP TABLE feedback")
        for response in (client.post("/v1/feedback", json={"items": [SENTIMENT]}), client.get("/v1/feedback")):
            assert (response.status_code, response.json()["error"]["code"]) == (503, "store_unavailable")
            assert int(response.headers["retry-after"]) >= 1
        assert client.post("/v1/sentiment", json={"texts": ["great"]}).status_code == 200


def test_the_command_writes_what_was_kept(client, database, tmp_path, capsys, monkeypatch):
    sent(client, SENTIMENT, CUE, {**OUTCOME, "author": "Inès"})
    out = tmp_path / "feedback.jsonl"
    assert main(["feedback", "export", "--database", database, "--out", str(out)]) == 0
    assert "3 items" in capsys.readouterr().err
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert lines == client.get("/v1/feedback").json()["items"]
    out.unlink()
    assert main(["feedback", "export", "--out", str(out)]) == 0
    assert len(out.read_text("utf-8").splitlines()) == 3


def test_the_command_makes_no_database(tmp_path, capsys):
    url = f"sqlite:///{tmp_path}/none.db"
    assert main(["feedback", "export", "--database", url, "--out", str(tmp_path / "out.jsonl")]) == 1
    assert "there is no such file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_documented_reads_run(tmp_path):
    call = r"^curl -s '?(-X DELETE )?'?localhost:3000(/v1/(?:feedback|jobs)\S*?)'?(?: +#.*)?$"
    lines = re.findall(call, DOCS, re.MULTILINE)
    paths = [path.partition("?")[0] for _, path in lines]
    assert paths == ["/v1/feedback", "/v1/jobs/1", "/v1/jobs/1/results", "/v1/jobs", "/v1/jobs/1"]
    with over_sqlite(tmp_path) as client:
        sent(client, SENTIMENT)
        client.post("/v1/jobs", json={"items": [{"content": "great"}]})
        for delete, path in lines:
            response = client.request("DELETE" if delete else "GET", path)
            assert response.status_code in ((200, 409) if delete else (200,)), response.text


def test_an_error_of_an_item_says_what_was_there(client):
    wrong = [
        {**SENTIMENT, "label": "Negative"},
        {"kind": "prediction", "case_id": "c", "case": {"severity": 4}},
        {"kind": "prediction", "case_id": "c", "case": 3},
    ]
    errors = [result["error"] for result in client.post("/v1/feedback", json={"items": wrong}).json()["results"]]
    assert [(e["field"], e["got"]) for e in errors] == [
        ("items.0.label", "'Negative'"),
        ("items.1.case.severity", "4"),
        ("items.2.case", "3"),
    ]
    assert errors[2]["message"] == "items.2.case: Input should be an object"
