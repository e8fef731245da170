import hashlib
import io
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from model.types import InputError
from service.app import Amends, served
from service.log import LOGGER, JsonLines, note
from service.masking import mask_key
from tests.fakes import fake_scorer

KEYS = {"AMENDS_API_KEYS": f"crm:read:{hashlib.sha256(b'letmein').hexdigest()}"}
BEARER = {"Authorization": "Bearer letmein"}


@contextmanager
def client_of(monkeypatch, **settings: str) -> Iterator[TestClient]:
    class Fake(Amends.inner):
        def load_scorer(self, folder: Path):
            return fake_scorer()

    monkeypatch.setenv("BENTOML_CONFIG_OVERRIDES", '{"services": {"Amends": {"metrics": {"enabled": false}}}}')
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with TestClient(served(Fake).to_asgi(), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def lines() -> Iterator[list[dict]]:
    """The lines that are written while a test runs, read back as JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger(LOGGER)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

    class Lines(list):
        def __iter__(self):
            return iter([json.loads(line) for line in stream.getvalue().splitlines()])

    yield Lines()
    logger.removeHandler(handler)


def test_a_line_for_each_request_without_the_texts(monkeypatch, lines):
    thread = {"id": "t", "utterances": [{"text": "great pineapple"}, {"text": "awful"}]}
    with client_of(monkeypatch, AMENDS_LOG_FORMAT="json", **KEYS) as client:
        client.post("/v1/sentiment", json={"texts": ["great pineapple", "", None]}, headers=BEARER)
        client.post("/v1/score?x=pineapple", json={"thread": thread}, headers=BEARER)
        client.post("/v1/loyalty", json={"cases": [{"severity": 1}, {}]}, headers=BEARER)
        client.post("/v1/sentiment", json={"texts": []})
        client.get("/livez")
    sentiment, score, loyalty, stranger = lines
    assert sentiment.pop("milliseconds") > 0
    assert sentiment.pop("time").endswith("+00:00")
    assert sentiment == {
        "level": "info",
        "logger": LOGGER,
        "method": "POST",
        "path": "/v1/sentiment",
        "status": 200,
        "key": "crm",
        "bundle": "fake",
        "counts": {"texts": 3, "failed": 2},
    }
    assert score["counts"] == {"threads": 1, "utterances": 2, "failed": 0}
    assert loyalty["counts"] == {"cases": 2, "failed": 1}
    assert (stranger["status"], stranger["key"], stranger["counts"]) == (401, None, {})
    assert "pineapple" not in json.dumps(list(lines))


def test_texts_are_logged_where_that_is_asked_for(monkeypatch, lines):
    settings = {"AMENDS_LOG_FORMAT": "json", "AMENDS_LOG_TEXTS": "true", "AMENDS_MASK_PERSONAL_DATA": "true"}
    with client_of(monkeypatch, **settings) as client:
        client.post("/v1/sentiment", json={"texts": ["great ann@mail.example", None]})
        client.post("/v1/score", json={"content": "Awful kettle, said ann@mail.example."})
    first, second = lines
    assert (first["texts"], first["counts"]) == (["great [email]"], {"texts": 2, "failed": 1})
    assert second["texts"] == ["Awful kettle, said [email]."]


def test_by_default_there_are_no_such_lines(monkeypatch, lines):
    with client_of(monkeypatch) as client:
        client.post("/v1/sentiment", json={"texts": ["great"]})
    assert list(lines) == []


def test_a_fault_is_a_line_with_its_traceback(monkeypatch, lines):
    with client_of(monkeypatch, AMENDS_LOG_FORMAT="json") as client:
        client.app.add_route("/broken", lambda _: 1 / 0)
        assert client.get("/broken").status_code == 500
    (line,) = lines
    assert (line["path"], line["status"]) == ("/broken", 500)
    record = logging.LogRecord("x", logging.ERROR, "", 0, "bad %s", ("luck",), None)
    assert json.loads(JsonLines().format(record))["message"] == "bad luck"


def test_a_note_outside_a_request_is_nothing():
    note(texts=3)


def test_personal_data_is_masked_before_anything_else(monkeypatch):
    said = "Great, they sent a refund to ann@mail.example and were sorry. Call 415-555-0132."
    thread = {"id": "t", "utterances": [{"id": "1", "text": said, "author": "ann@mail.example"}]}
    with client_of(monkeypatch, AMENDS_MASK_PERSONAL_DATA="true") as client:
        (report,) = client.post("/v1/score", json={"thread": thread}).json()["reports"]
        (read,) = client.post("/v1/read", json={"content": said}).json()["threads"]
        sentiment = client.post("/v1/sentiment", json={"texts": ["great ann@mail.example", "great"]}).json()
        bad = client.post("/v1/loyalty", json={"cases": [{"cues": {"a@mail.example": "x"}, "severity": 1}]}).json()
        bad_format = client.post("/v1/read", json={"content": "great", "format": "ann@mail.example"})
        value = client.post("/v1/loyalty", json={"cases": [{"severity": "ann@mail.example"}]}).json()
        good = client.post("/v1/loyalty", json={"cases": [{"id": "ann@mail.example", "severity": 1}]}).json()
        assert client.get("/v1/model").json()["masks_personal_data"] is True
    for answer in (report, read, sentiment, bad, bad_format.json(), value, good):
        assert "mail.example" not in json.dumps(answer)
        assert "0132" not in json.dumps(answer)
    assert value["results"][0]["error"]["got"] == "'[email 1]'"
    text = report["utterances"][0]["text"]
    assert text == "Great, they sent a refund to [email] and were sorry. Call [phone]."
    quotes = report["cases"][0]["cues"]
    assert quotes
    assert all(text[cue["start"] : cue["end"]] == cue["quote"] for cue in quotes)
    # The name of the author is masked as well.
    assert "personal data was masked (2 email, 1 phone)" in report["warnings"][-1]
    assert sentiment["masked"] == {"email": 1, "iban": 0, "card": 0, "phone": 0}


def test_what_is_kept_is_masked_too(monkeypatch):
    said = "Great, write to ann@mail.example."
    with client_of(monkeypatch, AMENDS_MASK_PERSONAL_DATA="true") as client:
        client.post("/v1/feedback", json={"items": [{"kind": "sentiment", "text": said, "label": "positive"}]})
        job = client.post("/v1/jobs", json={"items": [{"content": said}]}).json()
        while client.get(f"/v1/jobs/{job['id']}").json()["state"] != "done":
            time.sleep(0.05)
        kept = (
            client.get("/v1/feedback?limit=1000").json()["items"][-1:],
            client.get(f"/v1/jobs/{job['id']}/results").json(),
        )
    assert kept[0][0]["text"] == "Great, write to [email]."
    assert "[email]" in json.dumps(kept[1])
    assert "mail.example" not in json.dumps(kept)


def results_of(client: TestClient, items: list) -> list[dict]:
    """The results of a job, once it is done."""
    job = client.post("/v1/jobs", json={"items": items}).json()
    while client.get(f"/v1/jobs/{job['id']}").json()["state"] != "done":
        time.sleep(0.02)
    return client.get(f"/v1/jobs/{job['id']}/results").json()["results"]


def names_in(report: dict) -> list[str]:
    return [case["author"] for case in report["cases"]]


def test_two_people_stay_two_in_a_request_and_in_a_job(monkeypatch):
    def thread(*people: str) -> dict:
        said = [
            {"id": f"{one}@x.example", "author": f"{one}@x.example", "text": f"great, wrote {one}"} for one in people
        ]
        return {"utterances": said}

    lines = "\n".join(json.dumps(thread(one)) for one in ("joe", "ann"))
    rows = "\n".join(json.dumps({"id": 2025550123 + i, "text": "great", "author": f"{i}@x.example"}) for i in range(2))
    with client_of(monkeypatch, AMENDS_MASK_PERSONAL_DATA="true") as client:
        asked = [{"thread": thread("joe", "ann")}, {"content": lines}, {"content": rows, "format": "jsonl"}]
        (one,), (joe, ann), (first, second) = (client.post("/v1/score", json=body).json()["reports"] for body in asked)
        found = results_of(client, [*asked, {"thread": {"utterances": []}, "ann@x.example": 1}])
        cases = [{"id": f"{name}@x.example", "severity": 1} for name in ("joe", "ann")]
        loyalty = client.post("/v1/loyalty", json={"cases": cases}).json()["results"]
    assert names_in(one) == names_in(found[0]["reports"][0]) == ["[email 1]", "[email 2]"]
    assert [u["id"] for u in found[0]["reports"][0]["utterances"]] == ["[email 1]", "[email 2]"]
    assert len({*names_in(joe), *names_in(ann)}) == len({*names_in(first), *names_in(second)}) == 2
    assert len({name for result in found[:2] for report in result["reports"] for name in names_in(report)}) == 2
    assert len({name for report in found[2]["reports"] for name in names_in(report)}) == 2
    assert [report["thread"]["id"] for report in found[2]["reports"]] == ["2025550123", "2025550124"]
    assert found[3]["error"]["field"] == "[email 2]"
    assert [case["id"] for case in loyalty] == ["[email 1]", "[email 2]"]
    assert "x.example" not in json.dumps([one, joe, ann, first, second, found, loyalty])


def test_ids_of_feedback_join_across_requests_and_tell_nobody_apart_from_another(monkeypatch, tmp_path):
    people = ["joe@x.example", "ann@x.example", "2025550123", "4111111111111111"]

    def outcome(person: str) -> dict:
        return {"kind": "outcome", "case_id": person, "author": person, "client_id": person, "outcome": "left",
                "observed_at": "2026-01-31", "predicted": {person: {"author": person}}}  # fmt: skip

    def keep(*given: str) -> tuple[list[dict], list[dict]]:
        with client_of(monkeypatch, AMENDS_MASK_PERSONAL_DATA="true", AMENDS_STATE=str(tmp_path)) as client:
            answer = client.post("/v1/feedback", json={"items": [*map(outcome, given)]}).json()["results"]
            return answer, client.get("/v1/feedback").json()["items"]

    first, kept = keep(*people)
    again, later = keep("JOE@x.example", "bob@x.example")
    assert again[0] == first[0]
    assert later[:-1] == kept
    assert len({item["case_id"] for item in later}) == len(people) + 1
    for item in later:
        mark = item["case_id"]
        assert item["author"] == item["client_id"] == mark
        assert item["predicted"] == {mark: {"author": mark}}
    assert not [person for person in people if person in json.dumps(later)]
    assert (tmp_path / "mask.key").stat().st_mode & 0o777 == 0o600


def test_what_if_and_advise_repeat_nothing_personal(monkeypatch):
    joe, phone = "joe@x.example", "415-555-0132"
    said = [{"text": "They ignored me, awful. Never again.", "author": one} for one in (joe, "ann@x.example")]
    cases = [{"id": joe, "severity": 1, "cues": {"contact": "none"}}, {"severity": 1, "cues": {joe: phone}},
             {"severity": 1, joe: phone}, {"probabilities": {joe: 1}, "severity": 1}]  # fmt: skip
    bodies = [
        ("what-if", {"cases": cases, "set": [{"apology": "given"}, {joe: phone}, {"apology": phone}]}),
        ("what-if", {"thread": {"utterances": said}, "author": joe, "set": {"apology": "given"}}),
        ("what-if", {"thread": {"utterances": said}, "author": phone, "set": {"apology": "given"}}),
        ("advise", {"cases": cases}),
    ]
    with client_of(monkeypatch, AMENDS_MASK_PERSONAL_DATA="true") as client:
        answers = [client.post(f"/v1/{path}", json=body).json() for path, body in bodies]
    assert answers[0]["cases"][0]["id"] == "[email 1]"
    assert [customer["author"] for customer in answers[1]["threads"][0]["customers"]] == ["[email 1]"]
    assert answers[2]["error"]["code"] == "no_such_author"
    assert not [said for said in ("x.example", "0132") if said in json.dumps(answers)]


@pytest.mark.parametrize("form", ["plain", "json"])
def test_flags_brand_and_the_path_in_the_log_are_masked(monkeypatch, caplog, form):
    thread = {"brand": "joe@x.example", "utterances": [{"text": "great", "flags": ["by joe@x.example", "edited"]}]}
    for name in ("bentoml.access", LOGGER):
        caplog.set_level(logging.INFO, name)
        monkeypatch.setattr(logging.getLogger(name), "handlers", [caplog.handler])
        monkeypatch.setattr(logging.getLogger(name), "propagate", False)
    with client_of(monkeypatch, AMENDS_MASK_PERSONAL_DATA="true", AMENDS_LOG_FORMAT=form) as client:
        (report,) = client.post("/v1/score", json={"thread": thread}).json()["reports"]
        assert client.get("/v1/jobs/joe@x.example").json()["error"]["code"] == "no_such_job"
        assert client.get("/v1/jobs/joe@x.example/no").status_code == 404
    assert report["utterances"][0]["flags"] == ["by [email 1]", "edited"]
    assert report["thread"]["brand"] == "[email]"
    written = [JsonLines().format(record) for record in caplog.records if record.name in ("bentoml.access", LOGGER)]
    assert [line for line in written if "/v1/jobs/[email]" in line]
    assert "x.example" not in "".join(written)


def test_a_key_that_is_none_ends_the_start(monkeypatch, tmp_path):
    (tmp_path / "mask.key").write_bytes(b"short")
    with pytest.raises(InputError, match="got 5 bytes, expected 32 random bytes"):
        mask_key(tmp_path)
    (tmp_path / "mask.key").unlink()
    assert mask_key(tmp_path) == mask_key(tmp_path) != mask_key(tmp_path / "other")


def test_without_the_setting_nothing_is_masked(monkeypatch):
    with client_of(monkeypatch) as client:
        answer = client.post("/v1/sentiment", json={"texts": ["great"]}).json()
        assert answer["masked"] is None
        assert client.get("/v1/model").json()["masks_personal_data"] is False
