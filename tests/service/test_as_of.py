"""A moment given to the command line and over HTTP: what was written later does not count."""

import json

import pytest
from starlette.testclient import TestClient

from service.app import Amends, served
from service.cli import main
from tests.fakes import fake_scorer

UTTERANCES = [
    {"id": "1", "kind": "post", "text": "My kettle leaked and they ignored us.", "time": "2024-05-01"},
    {"id": "2", "parent": "1", "text": "Great refund, sorry it took so long.", "time": "2024-05-03T10:00:00Z"},
]


def load(bundle=None, *, threads=1):
    return fake_scorer()


def test_the_command_line_leaves_out_what_was_written_later(tmp_path, capsys):
    path = tmp_path / "thread.jsonl"
    path.write_text(json.dumps({"id": "t", "utterances": UTTERANCES}) + "\n", encoding="utf-8")
    assert main(["score", str(path), "--as-of", "2024-05-02", "--json"], load=load) == 0
    (report,) = json.loads(capsys.readouterr().out)["reports"]
    assert [u["text"] for u in report["utterances"]] == [UTTERANCES[0]["text"]]
    assert any(w.startswith("as of 2024-05-02T23:59:59+00:00: 1 later") for w in report["warnings"])


def test_a_moment_that_cannot_be_read_ends_before_the_model_is_opened(tmp_path, capsys):
    def never(bundle=None, *, threads=1):
        raise AssertionError("the model was opened for nothing")

    assert main(["score", str(tmp_path / "x.html"), "--as-of", "yesterday"], load=never) == 1
    said = capsys.readouterr().err
    assert "yesterday" in said
    assert "ISO 8601" in said


@pytest.fixture
def client():
    class Fake(Amends.inner):
        def load_scorer(self, folder):
            return fake_scorer()

    with TestClient(served(Fake).to_asgi(), raise_server_exceptions=False) as client:
        yield client


def test_http_takes_a_moment_and_refuses_what_is_none(client):
    body = {"thread": {"id": "t", "utterances": UTTERANCES}, "as_of": "2024-05-02"}
    (report,) = client.post("/v1/score", json=body).json()["reports"]
    assert [u["id"] for u in report["utterances"]] == ["1"]
    answer = client.post("/v1/score", json=body | {"as_of": "soon"})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "bad_moment"
    assert answer.json()["error"]["field"] == "as_of"
