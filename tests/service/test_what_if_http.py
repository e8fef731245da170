"""/v1/what-if and /v1/advise over the fake scorer."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import Amends, served
from service.what_if_schemas import MAX_SETS, AdviseRequest, WhatIfRequest
from tests.fakes import fake_scorer

IGNORED = "I bought a kettle. It leaked and they ignored me, awful."
HELPED = "I bought one too. They sent a refund and were sorry, great."
THREAD = {
    "id": "t",
    "title": "Kettles",
    "brand": "Brightpot",
    "utterances": [
        {"id": "1", "text": IGNORED, "author": "Ines"},
        {"id": "2", "parent": "1", "text": HELPED, "author": "Omar"},
    ],
}
JSON = {"Content-Type": "application/json"}
RECORD = {"id": "C-1", "cues": {"contact": "none"}, "severity": 2}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    class Fake(Amends.inner):
        def load_scorer(self, folder: Path):
            return fake_scorer()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_CONFIG_OVERRIDES", '{"services": {"Amends": {"metrics": {"enabled": false}}}}')
        patch.setenv("AMENDS_MAX_UTTERANCES", "100")
        with TestClient(served(Fake).to_asgi(), raise_server_exceptions=False) as client:
            yield client


def post(client: TestClient, path: str, body: object) -> dict:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def refused(client: TestClient, path: str, body: object) -> dict:
    response = client.post(path, json=body)
    assert response.status_code == 422, response.text
    assert set(response.json()["error"]) == {"code", "message", "field", "got", "expected"}
    return response.json()["error"]


def what_if(client: TestClient, **body: object) -> dict:
    return post(client, "/v1/what-if", body)


def test_every_customer_of_a_thread_gets_an_answer_for_each_set(client):
    answer = what_if(client, thread=THREAD, set=[{"redress": "refund"}, {"contact": "unknown", "severity": 0}])
    (thread,) = answer["threads"]
    assert thread["thread"] == {"id": "t", "title": "Kettles", "url": None, "brand": "Brightpot"}
    assert [c["author"] for c in thread["customers"]] == ["Ines", "Omar"]
    ines, omar = thread["customers"]
    assert [r["changes"] for r in ines["what_if"]] == [
        {"redress": "refund"},
        {"contact": "unknown", "severity": "0"},
    ]
    refund = ines["what_if"][0]
    assert refund["after"] == pytest.approx(refund["before"] + refund["difference"])
    assert refund["low"] <= refund["difference"] <= refund["high"]
    assert refund["after"] <= refund["no_failure"] + 1e-9
    assert "Among comparable posts" in refund["sentence"]
    assert refund["effects"][0]["published"]["sign"] == 1
    # Omar reports the refund already.
    assert abs(omar["what_if"][0]["difference"]) < 1
    assert "not a causal effect" in answer["claim"]
    assert answer["bundle"] == {"version": "fake", "digest": "0" * 64}
    assert answer["cases"] == []


def test_one_author_whatever_the_case_of_the_name(client):
    (thread,) = what_if(client, thread=THREAD, author="INES", set={"redress": "refund"})["threads"]
    assert [c["author"] for c in thread["customers"]] == ["Ines"]
    error = refused(client, "/v1/what-if", {"thread": THREAD, "author": "Udo", "set": {"redress": "refund"}})
    assert (error["code"], error["field"], error["expected"]) == ("no_such_author", "author", "one of Ines, Omar")


def test_a_text_content_and_a_thread_say_the_same(client):
    change = {"redress": "refund"}
    thread = {"utterances": [{"id": "1", "text": IGNORED, "kind": "review"}]}
    answers = [
        what_if(client, text=IGNORED, set=change),
        what_if(client, content=json.dumps(thread), format="jsonl", set=change),
        what_if(client, thread=thread, set=change),
    ]
    first, *others = (a["threads"][0]["customers"][0]["what_if"] for a in answers)
    assert all(other == first for other in others)


def test_the_case_of_an_answer_stands_for_the_text(client):
    change = {"redress": "refund", "apology": "given"}
    (thread,) = what_if(client, thread=THREAD, set=change)["threads"]
    again = what_if(client, cases=[c["case"] for c in thread["customers"]], set=change)
    assert [c["what_if"] for c in again["cases"]] == [c["what_if"] for c in thread["customers"]]
    (advised,) = post(client, "/v1/advise", {"thread": THREAD})["threads"]
    cases = [c["case"] for c in advised["customers"]]
    again = post(client, "/v1/advise", {"cases": cases})["cases"]
    assert [c["priority"] for c in again] == pytest.approx([c["priority"] for c in advised["customers"]])


def test_a_bad_set_and_a_bad_case_spoil_nothing_else(client):
    sets = [{"apology": "given"}, {"apology": "yes"}, {"apologies": "given"}, {}, 3, {"apology": 3}, {"severity": 9}]
    cases = [RECORD, {"cues": {"contact": "never"}, "severity": 1}, None, {"probabilities": {"x:y": 1}, "severity": 1}]
    found = what_if(client, cases=cases, set=[*sets, {"solved": "yes"}])["cases"]
    first = found[0]
    assert first["id"] == "C-1"
    assert ["error" in r for r in first["what_if"]] == [False, True, True, True, True, True, True, False]
    fields = [r["error"]["field"] for r in first["what_if"][1:-1]]
    assert fields == ["set.1.apology", "set.2.apologies", "set.3", "set.4", "set.5.apology", "set.6.severity"]
    assert {r["error"]["code"] for r in first["what_if"][1:-1]} == {"bad_change"}
    assert [c["error"]["field"] for c in found[1:]] == ["cases.1.cues.contact", "cases.2", "cases.3.failure"]
    (single,) = what_if(client, cases=[RECORD], set={"apology": "yes"})["cases"]
    assert single["what_if"][0]["error"]["field"] == "set.apology"


def test_a_set_that_contradicts_itself_is_an_error_as_in_loyalty(client):
    cues = {"contact": "none", "apology": "given", "speed": "fast"}
    (same,) = post(client, "/v1/loyalty", {"cases": [{"severity": 2, "cues": cues}]})["results"]
    asked = {"set": [{"contact": "none", "solved": "no"}, cues]}
    (case,) = what_if(client, cases=[{"severity": 2, "cues": {"contact": "none"}}], **asked)["cases"]
    fine, refused = case["what_if"]
    assert fine["changes"] == asked["set"][0]
    assert refused["error"] == same["error"] | {"field": "set.1"}
    assert refused["error"]["code"] == "contradiction"
    (thread,) = what_if(client, thread=THREAD, **asked)["threads"]
    assert all(customer["what_if"][1] == refused for customer in thread["customers"])


@pytest.mark.parametrize(
    ("value", "got"), [(2.5, "2.5"), (4, "4"), (True, "true"), (None, "null"), ([1], "a list of 1"), ("two", "two")]
)
def test_a_severity_that_is_none_is_named(client, value, got):
    (case,) = what_if(client, cases=[RECORD], set={"severity": value})["cases"]
    error = case["what_if"][0]["error"]
    assert (error["message"], error["got"]) == (f"severity has no value {got!r}", got)
    assert error["expected"] == "one of 0, 1, 2, 3"


@pytest.mark.parametrize(("value", "got"), [(None, "null"), (3, "3"), ("apology", "'apology'"), (True, "true")])
def test_what_is_no_set_is_named(client, value, got):
    error = refused(client, "/v1/what-if", {"cases": [RECORD], "set": value})
    assert (error["code"], error["got"]) == ("bad_set", got)


def sent(client: TestClient, body: str) -> list[dict]:
    response = client.post("/v1/what-if", content=body, headers=JSON)
    assert response.status_code == 200, response.text
    return response.json()["cases"][0]["what_if"]


def test_a_cue_that_is_set_twice_is_an_error_as_in_the_command(client):
    twice = '{"apology": "given", "apology": "hollow"}'
    case = '"cases": [{"severity": 1, "id": "a", "id": "b"}]'
    (found,) = sent(client, f'{{{case}, "set": {twice}}}')
    error = {"code": "bad_change", "message": "apology is set twice", "got": "given and hollow"}
    assert found["error"] == {**error, "field": "set.apology", "expected": "one value for a cue"}
    fine, refused = sent(client, f'{{"set": [{{"apology": "given", "apology": "given"}}, {twice}], {case}}}')
    assert fine["changes"] == {"apology": "given"}
    assert refused["error"] == found["error"] | {"field": "set.1.apology"}
    (found,) = sent(client, f'{{"set": {{"severity": 1, "severity": [{{}}]}}, {case}}}')
    assert (found["error"]["message"], found["error"]["got"]) == ("severity is set twice", "1 and a list of 1")


def test_probabilities_of_unknown_cues_are_named(client):
    case = {"probabilities": {"apology:sung": 0.5}, "severity": 1, "failure": 1}
    (found,) = what_if(client, cases=[case], set={"apology": "given"})["cases"]
    assert (found["error"]["code"], found["error"]["field"]) == ("unknown_cue", "cases.0.probabilities")


def test_advice_names_actions_and_whom_to_contact_first(client):
    answer = post(client, "/v1/advise", {"thread": THREAD})
    (thread,) = answer["threads"]
    ines = next(c for c in thread["customers"] if c["author"] == "Ines")
    assert thread["customers"][0] == ines
    assert [a["change"] for a in ines["actions"]] == ["redress=refund"]
    assert ines["actions"][0]["what_if"]["difference"] > 0
    assert ines["together"]["after"] <= ines["together"]["no_failure"] + 1e-9
    assert ines["priority"] > 0


def test_advice_for_records_quotes_nothing(client):
    record = {"id": "C-2", "cues": {"contact": "none", "redress": "refused"}, "severity": 2}
    (found,) = post(client, "/v1/advise", {"cases": [record]})["cases"]
    assert found["id"] == "C-2"
    (action,) = found["actions"]
    assert (action["change"], action["quotes"]) == ("redress=refund", [])
    assert "redress: refused" in action["reason"]
    (calm,) = post(client, "/v1/advise", {"cases": [{"severity": 0}]})["cases"]
    assert (calm["actions"], calm["note"]) == ([], "nothing went wrong")


def test_authors_without_an_estimate_are_listed(client):
    thread = {
        **THREAD,
        "utterances": [
            *THREAD["utterances"],
            {"id": "3", "parent": "1", "text": "Please write to us.", "author": "Brightpot"},
        ],
    }
    for path, more in (("/v1/advise", {}), ("/v1/what-if", {"set": {"apology": "given"}})):
        (found,) = post(client, path, {"thread": thread, **more})["threads"]
        assert [(o["author"], o["role"], o["status"]) for o in found["others"]] == [("Brightpot", "company", "abstain")]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/what-if", {"set": {"apology": "given"}}, "one_source"),
        ("/v1/what-if", {"text": "a", "thread": THREAD, "set": {"apology": "given"}}, "one_source"),
        ("/v1/what-if", {"text": "great"}, "missing"),
        ("/v1/what-if", {"text": "great", "set": None}, "bad_set"),
        ("/v1/what-if", {"text": "great", "set": [{"apology": "given"}] * (MAX_SETS + 1)}, "bad_set"),
        ("/v1/what-if", {"cases": [RECORD], "author": "Ines", "set": {"apology": "given"}}, "does_not_go_with"),
        ("/v1/what-if", {"thread": THREAD, "brand": "B", "set": {"apology": "given"}}, "does_not_go_with"),
        ("/v1/what-if", {"text": "great", "format": "html", "set": {"apology": "given"}}, "does_not_go_with"),
        ("/v1/what-if", {"text": "x" * 100_001, "set": {"apology": "given"}}, "string_too_long"),
        ("/v1/advise", {"text": "great", "set": {"apology": "given"}}, "extra_forbidden"),
        ("/v1/advise", {"cases": [RECORD] * 1001}, "too_long"),
        ("/v1/advise", {"content": "great", "format": "none such"}, "unknown_format"),
        ("/v1/advise", {"thread": {"utterances": [{"text": f"great {i}"} for i in range(101)]}}, "too_many_utterances"),
        ("/v1/advise", [], "model_type"),
    ],
)
def test_what_can_not_be_answered_is_422(client, path, body, code):
    assert refused(client, path, body)["code"] == code


JUNK = [
    None,
    True,
    -1,
    0.5,
    1e308,
    "",
    "\u0000",
    "Ines",
    "\U0001f643" * 300,
    [],
    [[]],
    {},
    {"": ""},
    {"apology": ["given"]},
]


def twisted(rng: random.Random, value: object, depth: int = 0) -> object:
    """The value with some of its parts replaced, removed, doubled or wrapped."""
    if rng.random() < (0.08 if depth == 0 else 0.2):
        return rng.choice(JUNK)
    if isinstance(value, dict):
        kept = {k: twisted(rng, v, depth + 1) for k, v in value.items() if rng.random() > 0.1}
        return {**kept, rng.choice(("extra", "set", "author")): rng.choice(JUNK)} if rng.random() < 0.15 else kept
    if isinstance(value, list):
        items = [twisted(rng, v, depth + 1) for v in value]
        return items * 2 if rng.random() < 0.1 else items
    return value


@pytest.mark.parametrize(
    ("path", "schema"), [("/v1/what-if", WhatIfRequest), ("/v1/advise", AdviseRequest)], ids=["what-if", "advise"]
)
def test_twisted_bodies_are_never_the_fault_of_the_server(client, path, schema):
    rng = random.Random(7)
    examples = schema.model_config["json_schema_extra"]["examples"]
    statuses = [
        client.post(path, content=json.dumps(twisted(rng, rng.choice(examples))), headers=JSON).status_code
        for _ in range(300)
    ]
    assert set(statuses) == {200, 422}
    for raw in (b"", b"{", b"[1]", b'{"set": NaN}', b"\xff", b'{"text": "\\ud80", "set": {}}', b"[" * 50_000):
        response = client.post(path, content=raw, headers=JSON)
        assert response.status_code in (400, 422), raw[:20]
