"""The page at `/` as the server sends it, and files that come in as bytes."""

import base64
import gzip
import hashlib
import io
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from service.app import Amends, served
from service.web_page import FOLDER
from tests.fakes import fake_scorer

BEARER = {"Authorization": "Bearer letmein"}
ROOT = Path(__file__).parents[2]
OWN = sorted(
    p.name for p in FOLDER.iterdir() if p.suffix in (".js", ".css", ".html") and not p.name.startswith("chart")
)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    class Fake(Amends.inner):
        def load_scorer(self, folder: Path):
            return fake_scorer()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_CONFIG_OVERRIDES", '{"services": {"Amends": {"metrics": {"enabled": false}}}}')
        patch.setenv("AMENDS_MAX_UTTERANCES", "100")
        patch.setenv("AMENDS_API_KEYS", "crm:read:" + hashlib.sha256(b"letmein").hexdigest())
        with TestClient(served(Fake).to_asgi(), raise_server_exceptions=False) as client:
            yield client


@pytest.mark.parametrize("page", ["/", "/review"])
def test_the_pages_are_open_and_their_policy_is_strict(client, page):
    response = client.get(page)
    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert response.headers["x-content-type-options"] == "nosniff"


def test_all_that_the_page_loads_is_there_without_a_key(client):
    html = client.get("/").text + client.get("/review").text
    assert "://" not in html
    loaded = re.findall(r'(?:src|href)="\./(web/[^"]+)"', html)
    modules = [f"web/{m}" for name in OWN for m in re.findall(r'from "\./([^"]+)"', (FOLDER / name).read_text("utf-8"))]
    assert {"web/app.css", "web/main.js", "web/api.js", "web/charts.js", "web/review.js", "web/queue.js"} <= {
        *loaded,
        *modules,
    }
    for path in {*loaded, *modules}:
        response = client.get(f"/{path}")
        assert response.status_code == 200
        assert response.headers["content-type"].split(";")[0] in ("text/css", "text/javascript", "image/svg+xml")


@pytest.mark.parametrize("path", ["/web/none.js", "/web/../app.py", "/web/%2e%2e/app.py", "/web/"])
def test_nothing_else_is_served(client, path):
    response = client.get(path)
    assert response.status_code in (401, 404)
    assert set(response.json()) == {"error"}


@pytest.mark.parametrize("name", OWN)
def test_no_text_becomes_markup_and_nothing_is_inline(name):
    text = (FOLDER / name).read_text("utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|sessionStorage", text)
    # The list that is being labelled outlives a reload; keys never do.
    assert name == "queue.js" or "localStorage" not in text
    assert name != "queue.js" or not re.search("api|Authorization|Bearer", text)
    if name in ("index.html", "review.html"):
        assert not re.search(r"<style|<script>|\sstyle=|\son\w+=", text)


def test_the_example_is_the_one_of_the_repository():
    assert (FOLDER / "example.html").read_bytes() == (ROOT / "examples/kettle-recall.html").read_bytes()


def test_the_files_are_packaged_and_the_chart_library_comes_with_its_licence():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "web/*" in project["tool"]["setuptools"]["package-data"]["service"]
    assert "Released under the MIT License" in (FOLDER / "chart.umd.min.js").read_text("utf-8")[:300]
    assert "Permission is hereby granted" in (FOLDER / "chart.LICENSE.md").read_text("utf-8")


def read(client: TestClient, data: bytes, name: str | None, status: int = 200, **more: str) -> dict:
    body = {"content_base64": base64.b64encode(data).decode(), "name": name, **more}
    response = client.post("/v1/read", json=body, headers=BEARER)
    assert response.status_code == status, response.text
    return response.json()


LATIN = '<html><head><meta charset="latin-1"></head><body><p>Der Kessel ist gerissen, für 30 Pfund.</p></body></html>'
ROWS = '{"text": "The kettle leaked.", "author": "Ines"}\n{"text": "Mine too."}\n'


def test_files_are_read_as_bytes(client):
    page = read(client, LATIN.encode("latin-1"), "page.html")
    assert "für 30 Pfund" in page["threads"][0]["utterances"][0]["text"]
    table = io.BytesIO()
    pq.write_table(pa.table({"text": ["great", "awful"]}), table)
    found = read(client, table.getvalue(), None, brand="Brightpot")
    assert [u["text"] for t in found["threads"] for u in t["utterances"]] == ["great", "awful"]
    assert found["threads"][0]["brand"] == "Brightpot"
    packed = read(client, gzip.compress(ROWS.encode()), "../../etc/rows.jsonl.gz")
    assert [u["text"] for t in packed["threads"] for u in t["utterances"]] == ["The kettle leaked.", "Mine too."]


@pytest.mark.parametrize(
    ("data", "name", "code"),
    [
        (b"", "empty.txt", "empty_file"),
        (b"\x00\x01\x02\xff" * 50, "x.bin", None),
        (gzip.compress(b" " * 30_000_000), "bomb.txt.gz", "compression_bomb"),
        ("\n".join(f'{{"text": "great {i}"}}' for i in range(101)).encode(), "rows.jsonl", "too_many_utterances"),
        (b"PAR1 and nothing else", "x.parquet", None),
    ],
)
def test_files_that_can_not_be_read_are_422(client, data, name, code):
    error = read(client, data, name, 422)["error"]
    assert error["message"]
    assert code is None or error["code"] == code


def test_what_is_no_base64_is_said(client):
    for body, code in (
        ({"content_base64": "kettle!"}, "bad_base64"),
        ({"content_base64": "é"}, "bad_base64"),
        ({"content": "great", "content_base64": ""}, "one_content"),
        ({}, "missing"),
    ):
        response = client.post("/v1/read", json=body, headers=BEARER)
        assert (response.status_code, response.json()["error"]["code"]) == (422, code)
