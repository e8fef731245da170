"""The service as a bento: built without a network, moved as one file, served by its tag, and what its image holds."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from model.bundle import RELEASED
from service.serve import ROOT
from tests.service.servers import free_port, running, sentiment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (RELEASED / "bundle.json").is_file(), reason="model/released holds no bundle"),
]


def bentoml(home: Path, *arguments: str) -> str:
    """Runs a bentoml command in a home of its own, without a network, and gives its output."""
    # BentoML looks for uv even where nothing is to be locked; this one fails when it is really called.
    uv = home / "bin/uv"
    uv.parent.mkdir(parents=True, exist_ok=True)
    uv.write_text("#!/bin/sh\nexit 1\n")
    uv.chmod(0o755)
    offline = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    own = {"BENTOML_HOME": str(home), "PATH": f"{uv.parent}{os.pathsep}{os.environ['PATH']}"}
    env = {**os.environ, **offline, **own, "BENTOML_DO_NOT_TRACK": "True"}
    run = subprocess.run(
        [sys.executable, "-m", "bentoml", *arguments], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def bento(tmp_path_factory) -> tuple[Path, str]:
    """A built bento: the folder of its home, and its tag."""
    home = tmp_path_factory.mktemp("home")
    out = bentoml(home, "build", "--output", "tag")
    return home, re.search(r"amends:\w+", out).group()


def folder_of(bento: tuple[Path, str]) -> Path:
    return bento[0] / "bentos" / bento[1].replace(":", "/")


def test_holds_what_serving_reads_and_nothing_else(bento):
    source = folder_of(bento) / "src"
    files = {p.relative_to(source) for p in source.rglob("*") if p.is_file()}
    assert {f.parts[0] for f in files} == {"bentofile.yaml", "model", "service"}
    assert {Path("service/docs.html"), Path("service/page.html"), Path("service/page.css")} <= files
    released = {Path("model/released") / p.name for p in RELEASED.glob("*")}
    assert released <= files
    assert sum(p.stat().st_size for p in source.rglob("*") if p.is_file()) < 140e6
    api = yaml.safe_load((source.parent / "apis/openapi.yaml").read_text("utf-8"))
    assert (api["openapi"], "/v1/score" in api["paths"]) == ("3.1.0", True)


def test_the_image_is_small_runs_as_nobody_special_and_tells_nothing_of_this_machine(bento):
    folder = folder_of(bento)
    dockerfile = (folder / "env/docker/Dockerfile").read_text("utf-8")
    lines = dockerfile.splitlines()
    assert [line for line in lines if line.startswith("FROM")] == ["FROM python:3.11-slim AS base-container"]
    assert [line for line in lines if line.startswith("USER")] == ["USER bentoml"]
    assert lines.index("USER bentoml") < next(i for i, line in enumerate(lines) if line.startswith("ENTRYPOINT"))
    for variable in ("BENTOML_DO_NOT_TRACK=True", "OMP_NUM_THREADS=1", "TOKENIZERS_PARALLELISM=false"):
        assert f"ARG {variable}" in lines
    requirements = (folder / "env/python/requirements.txt").read_text("utf-8")
    assert not re.search(r"^(torch|transformers|datasets|scikit-learn|nvidia)", requirements, re.MULTILINE)
    described = [
        p for p in folder.rglob("*") if p.suffix in {".yaml", ".json", ".txt", ".sh", ".md", ""} and p.is_file()
    ]
    for path in described:
        text = path.read_text("utf-8", errors="replace")
        assert str(ROOT) not in text, path
        assert str(Path.home()) not in text or str(Path.home()) == "/root", path


def test_moves_as_one_file_and_serves_by_its_tag(bento, tmp_path):
    home, tag = bento
    file = tmp_path / "amends.tar"
    bentoml(home, "export", tag, str(file))
    other = tmp_path / "other"
    bentoml(other, "import", str(file))
    port = free_port()
    line = [sys.executable, "-m", "bentoml", "serve", tag, "--host", "127.0.0.1", "--port", str(port)]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    env |= {"BENTOML_HOME": str(other), "BENTOML_DO_NOT_TRACK": "True", "OMP_NUM_THREADS": "1"}
    with running(tmp_path, line, env, port) as server:
        answer = sentiment(server, "Wonderful service, thank you so much.", "Awful. They never answered.")
        assert [r["label"] for r in answer.json()["results"]] == ["positive", "negative"]
        worker = server.family()[-1]
        assert str(other) in worker.cwd() or any(str(other) in part for part in worker.cmdline())
