import asyncio
import json
import logging
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient

from model.bundle import RELEASED, bundle_digest, file_digest, manifest
from model.codebook import CUES, ROLES
from model.scorer import Scorer
from model.types import BundleInfo, InputError, Report, Thread
from service.about import about
from service.app import SLICE, Amends, served
from service.errors import to_api_error
from service.log import LOGGER
from service.metrics import ScoringMetrics
from service.settings import Settings, cores, variable
from tests.fakes import FakeEncoder, fake_bundle, fake_scorer

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs/http.md").read_text("utf-8")
POSTS = {
    "/v1/score", "/v1/sentiment", "/v1/read", "/v1/loyalty", "/v1/feedback", "/v1/jobs", "/v1/what-if", "/v1/advise",
    "/v1/retrain", "/v1/review",
}  # fmt: skip
STORING = {"/v1/feedback", "/v1/jobs", "/v1/retrain"}
JSON = {"Content-Type": "application/json"}


class OddScorer(Scorer):
    """A fake scorer that waits at the text "wait", breaks at "broken" and refuses a thread called "bad"."""

    def __init__(self) -> None:
        super().__init__(fake_bundle())
        self.waiting = threading.Event()
        self.go_on = threading.Event()
        # A list, which copies of a scorer have in common.
        self.calls: list[int] = []

    def sentiment(self, texts, targets=None):
        self.calls.append(len(texts))
        if "wait" in texts:
            self.waiting.set()
            assert self.go_on.wait(10)
        if "broken" in texts:
            raise RuntimeError("secret-detail")
        return super().sentiment(texts, targets)

    def score(self, thread: Thread) -> Report:
        if thread.id == "bad":
            raise InputError("refused", code="refused", field="thread.id", got="bad", expected="good")
        return super().score(thread)


def bentoml_config(**options: object) -> str:
    return json.dumps({"services": {"Amends": options}})


def app_of(scorer: Scorer) -> Starlette:
    class Fake(Amends.inner):
        def load_scorer(self, folder: Path) -> Scorer:
            return scorer

    return served(Fake).to_asgi()


@contextmanager
def client_of(scorer: Scorer) -> Iterator[TestClient]:
    with TestClient(app_of(scorer), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module", autouse=True)
def _no_metrics() -> Iterator[None]:
    """BentoML registers its metrics once per process; test_server.py looks at those of a real server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_CONFIG_OVERRIDES", bentoml_config(metrics={"enabled": False}))
        yield


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with client_of(OddScorer()) as client:
        yield client


def error_of(response, status: int) -> dict:
    """The error of a response, after checking that it has the one shape."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "field", "got", "expected"}
    return body["error"]


def test_score_gives_the_documented_report(client):
    thread = {"id": "t", "utterances": [{"id": "1", "text": "They sent a refund and were sorry, great."}]}
    response = client.post("/v1/score", json={"thread": thread})
    assert response.status_code == 200
    (report,) = response.json()["reports"]
    assert report["utterances"][0]["sentiment"]["label"] == "positive"
    assert {c["cue"] for c in report["cases"][0]["cues"]} == {"redress", "apology"}
    assert report["bundle"] == {"version": "fake", "digest": "0" * 64}


def test_score_reads_content(client):
    lines = [{"id": str(i), "text": text, "conversation_id": str(i)} for i, text in enumerate(("great", "awful"))]
    content = "\n".join(map(json.dumps, lines))
    response = client.post("/v1/score", json={"content": content, "format": "jsonl", "brand": "Brightpot"})
    assert response.status_code == 200
    reports = response.json()["reports"]
    assert [r["utterances"][0]["sentiment"]["label"] for r in reports] == ["positive", "negative"]
    assert {r["thread"]["brand"] for r in reports} == {"Brightpot"}


def test_a_refused_thread_gets_an_error_in_its_place(client):
    response = client.post("/v1/score", json={"thread": {"id": "bad", "utterances": [{"id": "1", "text": "great"}]}})
    assert response.status_code == 200
    assert response.json()["reports"] == [
        {"error": {"code": "refused", "message": "refused", "field": "thread.id", "got": "bad", "expected": "good"}}
    ]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "content_or_thread", "content, thread"),
        ({"content": None}, "content_or_thread", "content, thread"),
        ({"content": "great", "thread": {"id": "t", "utterances": []}}, "content_or_thread", "content, thread"),
        ({"thread": {"id": "t", "utterances": []}, "brand": "Brightpot"}, "content_only", "format, brand"),
        ({"content": 3}, "string_type", "content"),
        ({"thread": "t"}, "dict_type", "thread"),
        ({"content": "great", "formt": "auto"}, "extra_forbidden", "formt"),
        ([], "model_type", None),
    ],
)
def test_score_rejects_bad_fields(client, body, code, field):
    error = error_of(client.post("/v1/score", json=body), 422)
    assert (error["code"], error["field"]) == (code, field)


@pytest.mark.parametrize("body", [{"content": ""}, {"content": "great", "format": "no such format"}, {"thread": {}}])
def test_what_the_reader_rejects_is_422(client, body):
    error = error_of(client.post("/v1/score", json=body), 422)
    assert error["message"]


def test_read_gives_threads_that_score_takes(client):
    said = [[("The kettle is great", "Ines"), ("Mine is awful", "Omar")], [("Fine", "Ines")]]
    lines = [json.dumps({"utterances": [{"text": t, "author": who} for t, who in one]}) for one in said]
    body = {"content": "\n".join(lines), "format": "jsonl", "brand": "Brightpot"}
    threads = client.post("/v1/read", json=body).json()["threads"]
    assert [[u["text"] for u in t["utterances"]] for t in threads] == [
        ["The kettle is great", "Mine is awful"],
        ["Fine"],
    ]
    assert threads[0]["utterances"][1]["author"] == {"name": "Omar", "url": None}
    assert {t["brand"] for t in threads} == {"Brightpot"}
    for thread in threads:
        assert client.post("/v1/score", json={"thread": thread}).status_code == 200


def test_read_says_what_it_could_not_read(client):
    content = '{"id": "1", "text": "great"}\nno json\n'
    (thread,) = client.post("/v1/read", json={"content": content, "format": "jsonl"}).json()["threads"]
    assert [u["text"] for u in thread["utterances"]] == ["great"]
    assert any("line 2" in warning for warning in thread["warnings"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "content"),
        ({"content": 3}, "content"),
        ({"content": "great", "thread": {}}, "thread"),
        ({"content": "great", "format": "none such"}, "format"),
    ],
)
def test_read_rejects_bad_fields(client, body, field):
    assert error_of(client.post("/v1/read", json=body), 422)["field"] == field


def loyalty_of(client, *cases: object) -> list[dict]:
    response = client.post("/v1/loyalty", json={"cases": cases})
    assert response.status_code == 200, response.text
    return response.json()["results"]


def test_loyalty_of_records(client):
    helped = {"id": "a", "cues": {"redress": ["refund", "voucher"], "apology": "given"}, "severity": 1}
    ignored = {"id": "b", "cues": {"contact": "none"}, "severity": 1, "failure": True, "tenure": None, "valence": -0.5}
    good, bad = loyalty_of(client, helped, ignored)
    assert (good["id"], good["fit"], bad["id"], bad["fit"]) == ("a", "conduct", "b", "full")
    assert good["low"] <= good["index"] <= good["high"]
    assert good["index"] > 50 > bad["index"]
    assert sum(e["contribution"] for e in good["evidence"]) == pytest.approx(good["index"])
    assert {tuple(e) for e in good["evidence"]} == {("feature", "contribution")}
    assert "redress:refund" in {e["feature"] for e in good["evidence"]}
    assert good["coverage"] == 2 / 8
    assert "contact" in good["missing"]
    assert "contact" not in bad["missing"]


def test_without_valence_the_conduct_fit_answers(client):
    case = {"cues": {"redress": "refund"}, "severity": 1}
    (conduct,), (neutral,), (happy,) = (loyalty_of(client, {**case, "valence": v}) for v in (None, 0.0, 0.9))
    assert (conduct["fit"], neutral["fit"]) == ("conduct", "full")
    assert conduct["index"] == conduct["index_conduct"] == happy["index_conduct"]
    assert "valence" not in {e["feature"] for e in conduct["evidence"]}
    assert happy["index"] > neutral["index"]


@pytest.mark.parametrize(
    ("case", "code", "field", "expected"),
    [
        ({"cues": {"apologies": "given"}, "severity": 1}, "unknown_cue", "cases.1.cues", "apology"),
        ({"cues": {"apology": "yes"}, "severity": 1}, "unknown_value", "cases.1.cues.apology", "given, hollow, absent"),
        ({"cues": {"apology": ["given", "absent"]}, "severity": 1}, "contradiction", "cases.1.cues.apology", "one of"),
        ({"cues": {"redress": ["refund", "refused"]}, "severity": 1}, "contradiction", "cases.1.cues.redress", "alone"),
        ({"severity": 2, "failure": False}, "contradiction", "cases.1.failure, severity", "severity 0"),
        (
            {"cues": {"contact": "none", "apology": "given"}, "severity": 1},
            "contradiction",
            "cases.1.cues",
            "one of them",
        ),
        (
            {"cues": {"solved": "no"}, "severity": 0, "failure": False},
            "contradiction",
            "cases.1.failure, cues",
            "failure true",
        ),
        ({"cues": {"solved": "no"}, "severity": 0}, "contradiction", "cases.1.failure, cues", "failure true"),
        ({"cues": {"apology": 3}, "severity": 1}, "string_type", "cases.1.cues.apology", "a text or a list of texts"),
        ({"cues": {"redress": ["refund", 3]}, "severity": 1}, "string_type", "cases.1.cues.redress", "list of texts"),
        ({"cues": ["apology"], "severity": 1}, "dict_type", "cases.1.cues", "an object"),
        ({"severity": 4}, "less_than_equal", "cases.1.severity", "3"),
        ({"severity": "1"}, "float_type", "cases.1.severity", "number"),
        ({"severity": 1, "valence": -2}, "greater_than_equal", "cases.1.valence", "-1"),
        ({"severity": 1, "tenure": 1}, "bool_type", "cases.1.tenure", "boolean"),
        ({"severity": 1, "text": "great"}, "extra_forbidden", "cases.1.text", "permitted"),
        ({}, "missing", "cases.1.severity", "required"),
        (None, "model_type", "cases.1", "an object"),
        ("great", "model_type", "cases.1", "an object"),
    ],
)
def test_a_bad_case_gets_an_error_in_its_place(client, case, code, field, expected):
    fine = {"severity": 0}
    first, bad, last = loyalty_of(client, fine, case, fine)
    assert first["index"] == last["index"]
    assert set(bad) == {"error"}
    assert (bad["error"]["code"], bad["error"]["field"]) == (code, field)
    assert expected in bad["error"]["expected"]


@pytest.mark.parametrize(
    ("case", "message", "got"),
    [
        (None, "cases.0: Input should be an object", "null"),
        ({"severity": 4}, "cases.0.severity: Input should be less than or equal to 3", "4"),
        ({"severity": 2.75e10}, "cases.0.severity: Input should be less than or equal to 3", "a number"),
        ({"severity": True}, "cases.0.severity: Input should be a valid number", "true"),
        ({"severity": "high"}, "cases.0.severity: Input should be a valid number", "'high'"),
        ({"severity": "h" * 100}, "cases.0.severity: Input should be a valid number", "a text of 100 characters"),
        (
            {"severity": 1, "cues": {"apology": 5}},
            "cases.0.cues.apology: Input should be a text or a list of texts",
            "5",
        ),
    ],
)
def test_an_error_says_where_and_what_was_there(client, case, message, got):
    (found,) = loyalty_of(client, case)
    assert (found["error"]["message"], found["error"]["got"]) == (message, got)


def test_a_failure_of_no_weight_may_be_left_unsolved(client):
    (found,) = loyalty_of(client, {"cues": {"solved": "no"}, "severity": 0, "failure": True})
    assert found["index"] == pytest.approx(found["index_conduct"])


def test_at_most_a_thousand_cases(client):
    assert len(loyalty_of(client, *[{"severity": 1}] * 1000)) == 1000
    error = error_of(client.post("/v1/loyalty", json={"cases": [{"severity": 1}] * 1001}), 422)
    assert (error["code"], error["field"]) == ("too_long", "cases")


def test_what_was_scored_is_counted():
    workers = []

    class Fake(Amends.inner):
        def load_scorer(self, folder: Path) -> Scorer:
            workers.append(self)
            return fake_scorer()

    thread = {
        "id": "t",
        "utterances": [
            {"id": "1", "text": "They sent a refund and were sorry, great.", "author": "Ines"},
            {"id": "2", "text": "?!", "author": "Omar"},
            {"id": "3", "text": "Ein Tisch steht in der Küche und wartet auf den Kundendienst.", "author": "Udo"},
        ],
    }
    with TestClient(served(Fake).to_asgi()) as client:
        (report,) = client.post("/v1/score", json={"thread": thread}).json()["reports"]
        client.post("/v1/sentiment", json={"texts": ["great", "awful", None, ""]})
        client.post("/v1/loyalty", json={"cases": [{"severity": 1}, {"severity": 9}]})
    counts = {
        (sample.name.removeprefix("amends_").removesuffix("_total"), *sample.labels.values()): sample.value
        for family in workers[0].metrics.registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    assert counts["texts", "scored"] == counts["texts", "failed"] == 2
    assert counts["utterances", "scored"] == 2
    assert counts["sentiment", "positive"] == 2
    assert counts["cases", "failed"] == 1
    statuses = [case["status"] for case in report["cases"]]
    assert counts["cases", "ok"] == statuses.count("ok") + 1
    reasons = {label: n for (name, label, *_), n in counts.items() if name == "abstentions"}
    assert sum(reasons.values()) == len(statuses) - statuses.count("ok") >= 1
    assert set(reasons) <= {*ROLES, "no_words", "low_evidence", "out_of_domain"}


def test_metrics_table_is_true():
    families = list(ScoringMetrics(BundleInfo("1", "0" * 64)).registry.collect())
    names = [f.name + ("_total" if f.type == "counter" else "") for f in families]
    assert re.findall(r"^\| `(amends_\w+)` \|", DOCS, re.MULTILINE) == names


def test_model_says_what_answers(client):
    body = client.get("/v1/model").json()
    assert (body["version"], body["digest"], body["base"], body["figures"]) == ("fake", "0" * 64, None, None)
    assert (body["limits"]["texts"], body["limits"]["body_bytes"], body["limits"]["languages"]) == (
        1000,
        20 * 2**20,
        ["en"],
    )
    assert body["cues"] == {name: list(values) for name, values in CUES.items()}
    assert body["labels"]["band"] == ["advocate", "retained", "ambivalent", "at_risk"]
    assert error_of(client.post("/v1/model", json={}), 405)["expected"] in ("GET, HEAD", "HEAD, GET")


@pytest.mark.skipif(not (RELEASED / "figures.json").is_file(), reason="model/released holds no bundle with figures")
def test_model_has_the_figures_of_its_own_bundle():
    meta = manifest(RELEASED)
    answer = about(BundleInfo(meta["version"], bundle_digest(meta["files"])), Settings())
    assert (answer.base, answer.created) == (meta["base"], meta["created"])
    assert answer.figures is not None
    assert 0.5 < answer.figures["sentiment"]["tweeteval_test"]["macro_f1"] < 1
    assert set(answer.figures) == {"sentiment", "conduct", "loyalty"}
    assert about(BundleInfo("other", "1" * 64), Settings()).figures is None


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({}, {}),
        ({"conduct": {"documents": 9, "micro_f1": 0.5}}, {"conduct": {"documents": 9, "micro_f1": 0.5}}),
        (None, None),
    ],
)
def test_model_of_a_bundle_with_few_figures(tmp_path, figures, expected):
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(figures or {}))
    files = {"figures.json": file_digest(path) if figures is not None else "0" * 64}
    (tmp_path / "bundle.json").write_text(json.dumps({"version": "2", "base": "own", "files": files}))
    answer = about(BundleInfo("2", bundle_digest(files)), Settings(), tmp_path)
    assert (answer.base, answer.created, answer.figures) == ("own", None, expected)


def test_sentiment_keeps_order_and_isolates_bad_items(client):
    texts = ["great", None, "awful", 3, "", "  ", "x" * 100_001, ["great"], "table"]
    response = client.post("/v1/sentiment", json={"texts": texts})
    assert response.status_code == 200
    results = response.json()["results"]
    assert [r.get("label") or r["error"]["code"] for r in results] == [
        "positive",
        "not_a_text",
        "negative",
        "not_a_text",
        "no_words",
        "no_words",
        "text_too_long",
        "not_a_text",
        "neutral",
    ]
    assert results[3]["error"]["field"] == "texts.3"
    assert results[0]["negative"] + results[0]["neutral"] + results[0]["positive"] == pytest.approx(1)
    assert results[0]["valence"] == pytest.approx(results[0]["positive"] - results[0]["negative"])
    assert response.json()["bundle"] == {"version": "fake", "digest": "0" * 64}


def test_sentiment_towards_a_target_and_a_target_that_cannot_be_used(client):
    asked = {"texts": ["great", "great", "great"], "targets": [None, "great", "?!"]}
    results = client.post("/v1/sentiment", json=asked).json()["results"]
    assert [r.get("label") for r in results] == ["positive", "positive", None]
    assert results[2]["error"]["field"] == "targets.2"
    assert results[2]["error"]["code"] == "bad_target"
    answer = client.post("/v1/sentiment", json={"texts": ["great"], "targets": []})
    assert answer.status_code == 422
    assert answer.json()["error"]["got"] == "0 targets for 1 texts"


def test_sentiment_across_slices_is_the_same_as_one_by_one(client):
    texts = [("great", "awful", "table")[i % 3] for i in range(2 * SLICE + 5)]
    results = client.post("/v1/sentiment", json={"texts": texts}).json()["results"]
    assert [r["label"] for r in results] == [s.label for s in fake_scorer().sentiment(texts)]


def test_half_a_surrogate_pair_spoils_nothing(client):
    """A text that was cut in the middle of an emoji; a whole emoji and an escaped backslash stay what they are."""
    cut = rb"great \udc00\ud83d\ude00\\ud800\uD83D"
    thread = b'{"thread": {"id": "' + cut + b'", "utterances": [{"text": "' + cut + b'"}]}}'
    bodies = {
        "/v1/sentiment": b'{"texts": ["' + cut + b'", "awful"]}',
        "/v1/score": thread,
        "/v1/feedback": b'{"items": [{"kind": "sentiment", "label": "positive", "text": "' + cut + b'"}]}',
        "/v1/jobs": b'{"items": [' + thread + b"]}",
    }
    answers = {path: client.post(path, content=body, headers=JSON) for path, body in bodies.items()}
    assert [answer.status_code for answer in answers.values()] == [200, 200, 200, 202]
    assert [r["label"] for r in answers["/v1/sentiment"].json()["results"]] == ["positive", "negative"]
    read = "great \ufffd\U0001f600\\ud800\ufffd"
    assert answers["/v1/score"].json()["reports"][0]["thread"]["id"] == read
    (kept,) = answers["/v1/feedback"].json()["results"]
    assert client.get(f"/v1/feedback?after={kept['id'] - 1}").json()["items"][0]["text"] == read


def test_no_texts_give_no_results(client):
    assert client.post("/v1/sentiment", json={"texts": []}).json()["results"] == []


def test_at_most_a_thousand_texts(client):
    assert client.post("/v1/sentiment", json={"texts": ["great"] * 1000}).status_code == 200
    error = error_of(client.post("/v1/sentiment", json={"texts": ["great"] * 1001}), 422)
    assert (error["code"], error["field"], error["got"]) == ("too_long", "texts", "a list of 1001")


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b'{"texts": ["\\ud80"]}', b"[" * 100_000])
def test_invalid_json_is_400(client, body):
    assert error_of(client.post("/v1/sentiment", content=body, headers=JSON), 400)["code"] == "invalid_json"


def test_an_empty_body_names_the_missing_field(client):
    error = error_of(client.post("/v1/sentiment", content=b"", headers=JSON), 422)
    assert (error["code"], error["field"], error["got"]) == ("missing", "texts", "nothing")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/vnd.bentoml+pickle"},
        {**JSON, "Content-Encoding": "gzip"},
    ],
)
def test_other_media_types_are_415(client, headers):
    response = client.post("/v1/sentiment", content=b'{"texts": []}', headers=headers)
    assert error_of(response, 415)["code"] == "unsupported_media_type"


def test_charset_is_fine(client):
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.post("/v1/sentiment", content=b'{"texts": []}', headers=headers).status_code == 200


def test_unknown_paths_and_methods(client):
    assert error_of(client.get("/no/such/path"), 404)["code"] == "not_found"
    assert error_of(client.post("/static_content/nothing.css"), 405)["code"] == "method_not_allowed"
    response = client.get("/v1/score")
    assert error_of(response, 405)["expected"] == "POST"
    assert response.headers["allow"] == "POST"


def test_own_faults_are_500_without_internals(client, monkeypatch):
    for debug in ("false", "true"):
        monkeypatch.setenv("BENTOML_DEBUG", debug)
        with client_of(OddScorer()) as fresh:
            response = fresh.post("/v1/sentiment", json={"texts": ["broken"]})
        assert error_of(response, 500)["code"] == "internal_error"
        assert "secret-detail" not in response.text
        assert "Traceback" not in response.text


def test_faults_outside_the_endpoints_have_the_same_shape():
    def broken(_: object) -> None:
        raise RuntimeError("secret-detail")

    app = app_of(fake_scorer())
    app.add_route("/broken", broken)
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.get("/broken")
    assert error_of(response, 500)["code"] == "internal_error"
    assert "secret-detail" not in response.text


def test_a_caller_that_goes_away_is_no_fault():
    assert to_api_error(ClientDisconnect()).status == 400


def test_body_limit_counts_bytes_as_they_come(monkeypatch):
    monkeypatch.setenv("AMENDS_MAX_BODY_BYTES", "1000")
    fits = b'{"texts": []}'.ljust(1000)
    with client_of(fake_scorer()) as client:
        assert client.post("/v1/sentiment", content=fits, headers=JSON).status_code == 200
        for body in (fits + b" ", iter([fits, b" "])):
            response = client.post("/v1/sentiment", content=body, headers=JSON)
            error = error_of(response, 413)
            assert (error["code"], error["expected"]) == ("body_too_large", "at most 1000 bytes")
            assert response.headers["connection"] == "close"


def test_too_many_utterances(monkeypatch):
    monkeypatch.setenv("AMENDS_MAX_UTTERANCES", "1")
    thread = {"id": "t", "utterances": [{"id": str(i), "text": f"great {i}"} for i in range(2)]}
    with client_of(fake_scorer()) as client:
        error = error_of(client.post("/v1/score", json={"thread": thread}), 422)
    assert (error["code"], error["got"]) == ("too_many_utterances", "2 utterances")


def test_overload_is_429_and_the_loop_lives(monkeypatch):
    monkeypatch.setenv("AMENDS_MAX_REQUESTS", "1")
    monkeypatch.setenv("AMENDS_THREADS", "1")
    scorer, answers = OddScorer(), []
    with client_of(scorer) as client:
        first = threading.Thread(target=lambda: answers.append(client.post("/v1/sentiment", json={"texts": ["wait"]})))
        first.start()
        assert scorer.waiting.wait(10)
        response = client.post("/v1/sentiment", json={"texts": ["great"]})
        assert error_of(response, 429)["code"] == "overloaded"
        assert int(response.headers["retry-after"]) >= 1
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 200
        scorer.go_on.set()
        first.join()
        assert answers[0].status_code == 200
        assert client.post("/v1/sentiment", json={"texts": ["great"]}).status_code == 200


def test_timeout_is_504_and_ends_the_work(monkeypatch):
    monkeypatch.setenv("AMENDS_TIMEOUT_SECONDS", "0.3")
    scorer = OddScorer()
    with client_of(scorer) as client:
        response = client.post("/v1/sentiment", json={"texts": ["wait", *["great"] * 3 * SLICE]})
        assert error_of(response, 504)["code"] == "timeout"
        scorer.go_on.set()
        assert client.post("/v1/sentiment", json={"texts": ["great"]}).status_code == 200
    # One slice before the time was up, none after it, and the second request.
    assert len(scorer.calls) == 2


def test_long_texts_come_in_smaller_slices():
    scorer = OddScorer()
    with client_of(scorer) as client:
        results = client.post("/v1/sentiment", json={"texts": ["great " * 10_000] * 3}).json()["results"]
    assert [r["label"] for r in results] == ["positive"] * 3
    assert scorer.calls == [1, 1, 1]


class GoneEncoder(FakeEncoder):
    """Calls `leave` at its first batch and waits until that has been noticed. batches: so many were there."""

    def __init__(self, leave) -> None:
        self.leave = leave
        self.batches = 0
        self.noticed = threading.Event()

    def encode(self, windows):
        self.batches += 1
        if self.batches == 1:
            self.leave()
            assert self.noticed.wait(10)
        return super().encode(windows)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/sentiment", {"texts": ["great " * 15_000] * 2}),
        ("/v1/score", {"thread": {"utterances": [{"text": "great refund " * 500 + str(i)} for i in range(20)]}}),
    ],
)
def test_a_caller_who_goes_away_ends_the_work(monkeypatch, path, body):
    monkeypatch.setenv("AMENDS_THREADS", "1")
    monkeypatch.setenv("AMENDS_LOG_FORMAT", "json")
    logged: list[dict] = []
    monkeypatch.setattr(logging.getLogger(LOGGER), "info", lambda _, extra: logged.append(extra["request"]))
    sent: list[dict] = []

    async def request(app: Starlette, encoder: GoneEncoder) -> None:
        loop, left = asyncio.get_running_loop(), asyncio.Event()
        encoder.leave = lambda: loop.call_soon_threadsafe(left.set)
        messages = iter([{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}])

        async def receive() -> dict:
            if (message := next(messages, None)) is not None:
                return message
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "scheme": "http",
                 "headers": [(b"content-type", b"application/json")], "http_version": "1.1"}  # fmt: skip
        await app(scope, receive, send)
        encoder.noticed.set()

    encoder = GoneEncoder(lambda: None)
    with client_of(Scorer(fake_bundle(encoder))) as client:
        asyncio.run(asyncio.wait_for(request(client.app, encoder), 20))
        # It waits for the only thread, until the work before has given up.
        assert client.post("/v1/sentiment", json={"texts": ["great"]}).status_code == 200
    assert sent == []
    assert [line["status"] for line in logged] == [None, 200]
    assert encoder.batches == 2


OURS = ["SecurityHeaders", "Admission", "Deadline", "Disconnect", "BodyLimit", "ContextMiddleware"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["Metrics", "AccessLogMiddleware", *OURS]),
        ({"metrics": {"enabled": False}, "logging": {"access": {"enabled": False}}}, OURS),
        ({"traffic": {"timeout": 5, "max_concurrency": 5}}, ["Metrics", "AccessLogMiddleware", *OURS]),
        (
            {"tracing": {"exporter_type": "in_memory", "sample_rate": 1.0}},
            ["Metrics", "OpenTelemetryMiddleware", "AccessLogMiddleware", *OURS],
        ),
    ],
)
def test_middleware_list(monkeypatch, options, expected):
    """Fails when a release of BentoML changes what it puts around an application."""
    monkeypatch.setenv("BENTOML_CONFIG_OVERRIDES", bentoml_config(**options))
    assert [m.cls.__name__ for m in Amends.to_asgi().user_middleware] == expected


def test_docs_page_loads_nothing_from_elsewhere(client):
    response = client.get("/docs")
    assert response.status_code == 200
    assert "default-src 'self'" in response.headers["content-security-policy"]
    assert "://" not in response.text
    for local in re.findall(r'(?:src|href)="\./([^"]+)"', response.text):
        assert client.get(f"/{local}").status_code == 200


def test_openapi_examples_run_as_they_are(client):
    document = client.get("/docs.json").json()
    posts = {path: item["post"] for path, item in document["paths"].items() if "post" in item}
    assert set(posts) == POSTS
    for path, operation in posts.items():
        examples = operation["requestBody"]["content"]["application/json"]["examples"]
        assert examples
        for example in examples.values():
            # A server does not retrain unless its settings say so.
            expected = {"/v1/jobs": 202, "/v1/retrain": 409}.get(path, 200)
            assert client.post(path, json=example["value"]).status_code == expected
        assert operation["summary"]
        errors = set(operation["responses"]) - {"200", "202"}
        assert {"400", "401", "413", "415", "422", "429", "500", "504"} == errors - {"403", "404", "409", "503"}
        assert ({"403", "503"} <= errors) == (path in STORING)


def test_openapi_tells_of_headers_and_refusals(client):
    paths = client.get("/docs.json").json()["paths"]
    (header,) = paths["/v1/jobs"]["post"]["parameters"]
    assert (header["name"], header["in"], header["schema"]["maxLength"]) == ("Idempotency-Key", "header", 200)
    assert "required" not in header
    assert "parameters" not in paths["/v1/feedback"]["post"]
    assert "503" in paths["/v1/review"]["post"]["responses"]
    assert set(paths["/metrics"]["get"]["responses"]) == {"200", "401"}
    assert set(paths["/livez"]["get"]["responses"]) == {"200"}


def test_openapi_references_resolve(client):
    document = client.get("/docs.json").text
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', document))
    schemas = json.loads(document)["components"]["schemas"]
    assert names <= set(schemas)
    assert "Failure" in names
    bodies = (
        "ScoreRequest", "SentimentRequest", "ReadRequest", "LoyaltyRequest", "FeedbackRequest", "JobRequest", "Limits",
        "Problem",
    )  # fmt: skip
    bodies += ("WhatIfRequest", "AdviseRequest", "RetrainRequest")
    described = {name: schemas[name] for name in bodies}
    described["case"] = schemas["LoyaltyRequest"]["properties"]["cases"]["items"]
    undescribed = [
        f"{name}.{p}"
        for name, schema in described.items()
        for p, v in schema["properties"].items()
        if "description" not in v
    ]
    assert undescribed == []


def test_curl_lines_of_the_docs_run(client):
    calls = re.findall(r"^curl -s localhost:3000(/\S+) .*? -d '(.*?)'$", DOCS, re.MULTILINE | re.DOTALL)
    # What needs a setting is documented with its refusal.
    assert {path for path, _ in calls} == POSTS - {"/v1/retrain"}
    for path, body in calls:
        assert client.post(path, content=body.encode(), headers=JSON).is_success


def test_settings_table_is_true():
    rows = [
        f"| `{variable(name)}` | {'unset' if f.default is None else str(f.default).lower()} | {f.description} |"
        for name, f in Settings.model_fields.items()
    ]
    assert re.findall(r"^\| `AMENDS_.*$", DOCS, re.MULTILINE) == rows


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AMENDS_TIMEOUT_SECONDS", "soon"),
        ("AMENDS_TIMEOUT_SECONDS", "0"),
        ("AMENDS_TIMEOUT_SECONDS", "inf"),
        ("AMENDS_MAX_BODY_BYTES", "20MB"),
        ("AMENDS_WORKERS", "0"),
        ("AMENDS_THREADS", "-1"),
    ],
)
def test_a_wrong_setting_is_named(name, value):
    with pytest.raises(InputError) as caught:
        Settings.from_env({name: value})
    assert (caught.value.field, caught.value.got) == (name, repr(value))


def test_threads_never_exceed_the_cores():
    for workers in range(1, cores() + 1):
        assert workers * Settings(workers=workers).scoring_threads <= cores()
    with pytest.raises(InputError, match="more cores than there are"):
        Settings.from_env({"AMENDS_THREADS": str(cores() + 1)})


def test_an_empty_setting_counts_as_unset():
    assert Settings.from_env({"AMENDS_BUNDLE": "", "AMENDS_WORKERS": ""}) == Settings()


def test_import_is_light_and_reads_no_setting():
    code = (
        "import sys, service.app\n"
        "heavy = {'torch', 'transformers', 'datasets', 'training', 'pandas', 'sklearn'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    env = {"PATH": "", "AMENDS_TIMEOUT_SECONDS": "soon", "HOME": "/nowhere"}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_bentofile_has_the_base_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    bentofile = yaml.safe_load((ROOT / "bentofile.yaml").read_text("utf-8"))
    assert bentofile["python"]["packages"] == project["dependencies"]
    assert next(d for d in project["dependencies"] if d.startswith("bentoml")) == "bentoml==1.4.39"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/jobs", "GET, HEAD, POST"),
        ("PUT", "/v1/feedback", "GET, HEAD, POST"),
        ("PATCH", "/v1/retrain", "GET, HEAD, POST"),
        ("POST", "/v1/jobs/1", "DELETE, GET, HEAD"),
        ("POST", "/v1/retrain/1", "DELETE, GET, HEAD"),
        ("GET", "/v1/score", "POST"),
    ],
)
def test_all_methods_of_a_path_are_named(client, method, path, allowed):
    response = client.request(method, path)
    assert error_of(response, 405)["expected"] == response.headers["allow"] == allowed
