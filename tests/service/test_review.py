"""`amends review`, `amends drift` and `/v1/review`, over the fake scorer."""

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from starlette.testclient import TestClient

from model.bundle import SERVED
from model.drift import FILE, served_digest
from model.types import BundleInfo
from service.app import Amends, served
from service.cli import main
from service.feedback import keep
from service.review_http import MOST_TOP
from service.settings import Settings
from service.store import open_store
from tests.fakes import fake_scorer
from training.reference import make

ROWS = [
    {"text": "great kettle, great help", "label": "positive"},
    {"text": "awful kettle", "label": "positive"},
    {"text": "awful service", "label": "negative"},
    {"text": "a kettle", "label": "neutral"},
    {"text": "great and awful and bought", "label": None},
    {"text": "?!", "label": None},
]


def load(bundle=None, *, threads=1):
    return fake_scorer()


def run(*argv) -> int:
    return main(list(map(str, argv)), load=load)


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture
def url(tmp_path):
    """Of a store with two labels, the older one of which its client has corrected."""
    url = f"sqlite:///{tmp_path}/amends.db"
    items = [
        {"kind": "sentiment", "text": "awful kettle", "label": "positive"},
        {"kind": "sentiment", "text": "great kettle", "label": "negative"},
        {"kind": "sentiment", "text": "awful kettle", "label": "negative"},
        {"kind": "outcome", "author": "Ines", "outcome": "left", "observed_at": "2026-01-31"},
    ]
    with closing(open_store(url)) as store:
        keep(store, items, "", BundleInfo("fake", "0" * 64))
    return url


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_wrong_label_and_an_uncertain_text_are_listed(rows, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    assert run("review", rows, "--json", "--out", out) == 0
    found = lines(capsys)
    assert [json.loads(line) for line in out.read_text("utf-8").splitlines()] == found
    errors = [f for f in found if f["review"]["purpose"] == "errors"]
    assert [f["text"] for f in errors] == ["awful kettle"]
    assert errors[0]["label"] == "positive"
    assert errors[0]["predicted"]["label"] == "negative"
    assert errors[0]["review"]["place"] == "row 2"
    taught = [f["text"] for f in found if f["review"]["purpose"] == "teaching"]
    assert "?!" not in taught
    assert "awful kettle" not in taught
    assert len(taught) == 4


def test_as_a_table_for_people(rows, capsys):
    assert run("review", rows, "--for", "errors") == 0
    printed = capsys.readouterr()
    assert "Labels that look wrong" in printed.out
    assert "labelled positive (0.00), reads negative; rows.jsonl, row 2" in printed.out
    assert "6 different texts, 4 labelled: 1 labels that look wrong, 0 texts" in printed.err


def test_feedback_is_reviewed_with_the_newest_label(url, capsys):
    assert run("review", "--from", "feedback", "--database", url, "--for", "errors", "--json") == 0
    (found,) = lines(capsys)
    assert (found["text"], found["review"]["source"]) == ("great kettle", "feedback")


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ('{"text": "great", "label": "good"}', (), "rows.jsonl, row 1: this is no label; got 'good'"),
        ('{"text": "great"}', ("--for", "errors"), "No text has a label"),
        ('{"text": ""}', (), "There is no text in"),
        ('{"text": "great"}', ("--from", "feedback"), "Give files or --from"),
    ],
)
def test_what_can_not_be_reviewed_is_said(tmp_path, capsys, content, options, said):
    path = tmp_path / "rows.jsonl"
    path.write_text(content + "\n")
    assert run("review", path, *options) == 1
    assert said in capsys.readouterr().err


@pytest.fixture
def bundle(tmp_path):
    """A folder with a reference of texts that are great refunds or awful kettles."""
    files = dict.fromkeys(SERVED, "1" * 64)
    texts = [f"{'great refund' if i % 2 else 'awful kettle'} x{i}" for i in range(800)]
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "bundle.json").write_text(json.dumps({"files": files}))
    (folder / FILE).write_text(make(fake_scorer(), texts, texts, served_digest(files)).to_json())
    return folder


def test_drift_of_a_file_and_of_the_service(tmp_path, url, bundle, capsys):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": f"never again {'x' * i}"}) + "\n" for i in range(300)))
    page = tmp_path / "drift.html"
    assert run("drift", path, "--bundle", bundle, "--json", "--html", page) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "much"
    assert "labels" in found["drifted"]
    assert "amends review --for teaching" in found["advice"]
    assert {"never", "again"} <= {w["word"] for w in found["words"]}
    html = page.read_text("utf-8")
    assert "Much drift" in html
    assert "<script" not in html
    assert "://" not in html.replace("http://www.w3.org", "")
    assert run("drift", "--from", "service", "--database", url, "--bundle", bundle) == 0
    assert "Too few texts: 2 different texts of feedback" in capsys.readouterr().out


def test_drift_needs_a_reference(bundle, rows, capsys):
    (bundle / FILE).unlink()
    assert run("drift", rows, "--bundle", bundle) == 1
    assert "no reference of its training texts" in capsys.readouterr().err


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> Iterator[TestClient]:
    class Fake(Amends.inner):
        def load_scorer(self, settings: Settings):
            return fake_scorer()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_CONFIG_OVERRIDES", '{"services": {"Amends": {"metrics": {"enabled": false}}}}')
        patch.setenv("AMENDS_STATE", str(tmp_path_factory.mktemp("state")))
        patch.setenv("AMENDS_MASK_PERSONAL_DATA", "true")
        with TestClient(served(Fake).to_asgi(), raise_server_exceptions=False) as client:
            yield client


def test_texts_are_ranked_and_bad_ones_stay_alone(client):
    texts = ["great great", "great awful, write to ann@example.org", None, "?!", "a kettle", "great great"]
    answer = client.post("/v1/review", json={"texts": texts, "top": 2}).json()
    assert [len(answer["items"]), {f["error"]["code"] for f in answer["failed"]}] == [2, {"not_a_text", "no_words"}]
    assert answer["bundle"]["version"] == "fake"
    items = client.post("/v1/review", json={"texts": texts}).json()["items"]
    # Of copies the last stands for all.
    assert sorted(i["index"] for i in items) == [1, 4, 5]
    assert "[email]" in next(i["text"] for i in items if i["index"] == 1)
    assert next(i["margin"] for i in items) == min(i["margin"] for i in items)
    assert all(i["given"] is None and i["reason"].startswith("between ") for i in items)


def test_feedback_is_ranked_by_contradiction(client):
    items = [
        {"kind": "sentiment", "text": "great kettle", "label": "negative"},
        {"kind": "sentiment", "text": "great day", "label": "positive"},
    ]
    assert client.post("/v1/feedback", json={"items": items}).status_code == 200
    (found,) = client.post("/v1/review", json={"source": "feedback"}).json()["items"]
    assert (found["text"], found["given"], found["index"]) == ("great kettle", "negative", None)
    assert client.post("/v1/review", json={"source": "jobs"}).json()["items"] == []


@pytest.mark.parametrize(
    "body", [{}, {"texts": ["a"], "source": "jobs"}, {"source": "mail"}, {"texts": ["a"], "top": MOST_TOP + 1}]
)
def test_requests_that_can_not_be_used(client, body):
    response = client.post("/v1/review", json=body)
    assert response.status_code == 422
    assert set(response.json()) == {"error"}


@pytest.mark.parametrize("header", ["text,text", "text,label,label", "text,target,target"])
def test_a_column_that_is_there_twice_is_refused(tmp_path, capsys, header):
    (tmp_path / "rows.csv").write_text(f"{header}\n{header.replace('label', 'positive')}\n")
    assert run("review", tmp_path / "rows.csv") == 1
    line = capsys.readouterr().err
    assert "rows.csv has 2 columns" in line
    assert header.split(",")[-1] in line


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_a_missing_text_column_names_the_option_that_helps(tmp_path, capsys, name):
    (tmp_path / name).write_text(
        "comment,stars\ngreat,5\n" if name.endswith("csv") else '{"comment": "great", "stars": 5}'
    )
    assert run("review", tmp_path / name, "--for", "teaching") == 1
    line = capsys.readouterr().err
    assert "no column 'text'; it has comment, stars" in line
    assert "--text-column" in line
    assert "text=NAME" not in line
