"""The example client, the calls of docs/http.md and its OpenAPI document, against a real server."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.serve import ROOT
from tests.service.servers import Server, fake_server

pytestmark = pytest.mark.slow
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs/http.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
# The environment that runs the tests need not be on the path.
SCHEMATHESIS = shutil.which(
    "schemathesis", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
)
CALLS = [block for block in BLOCKS if "localhost:3000" in block]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with fake_server(tmp_path_factory.mktemp("server")) as server:
        yield server


def test_the_example_client(server):
    line = [sys.executable, str(ROOT / "examples/client.py"), server.url]
    run = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert [line.split()[0] for line in run.stdout.splitlines()[:2]] == ["positive", "negative"]
    assert "redress: sent a refund" in run.stdout
    assert re.search(r"^C-1 \d+ \(\d+ to \d+\)$", run.stdout, re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is absent")
@pytest.mark.parametrize("block", CALLS, ids=[str(i) for i in range(len(CALLS))])
def test_the_documented_calls_have_their_documented_status(server, block):
    expected = [code or "200" for code in re.findall(r"^curl [^\n]*?(?:# (\d{3})[^\n]*)?$", block, re.MULTILINE)]
    script = re.sub(r"^curl -si? ", r"curl -s -o /dev/null -w '%{http_code}\\n' ", block, flags=re.MULTILINE)
    script = script.replace("localhost:3000", server.url.removeprefix("http://"))
    run = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=120)
    # Accepted and created are fine too where no other status is named.
    got = ["200" if code.startswith("2") else code for code in run.stdout.split()]
    assert got == expected, run.stderr
    assert expected


def test_every_path_has_a_documented_call():
    text = (ROOT / "docs/http.md").read_text("utf-8")
    table = re.findall(r"^\| `(/[^`]+)`(?:, `(/[^`]+)`)? \| (?:GET|POST)", text, re.MULTILINE)
    paths = {path for row in table for path in row if path}
    called = {re.sub(r"/\d+", "/{id}", p) for p in re.findall(r"localhost:3000(/[\w./-]*)", "\n".join(CALLS))}
    assert paths - called == set()


@pytest.mark.skipif(SCHEMATHESIS is None, reason="schemathesis is absent: pip install schemathesis")
def test_the_openapi_document_tells_the_truth(server):
    # A refusal of what the schema allows is fine: what is read in a text is no matter of a schema.
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    line = [SCHEMATHESIS, "run", server.url + "/docs.json", "--url", server.url, "--checks", checks]
    line += ["--max-examples", "25", "--seed", "7", "--phases", "examples,coverage,fuzzing", "--no-color"]
    run = subprocess.run(line, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stdout[-6000:]
