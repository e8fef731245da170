"""A real server in processes of its own."""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from model.bundle import RELEASED
from model.types import InputError
from service.serve import ROOT, check_bundle, command, environment, free_address, serve
from service.settings import Settings, cores
from tests.service.servers import FAKE, START_SECONDS, Server, fake_server, free_port, running, sentiment


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with fake_server(tmp_path_factory.mktemp("server"), AMENDS_MAX_BODY_BYTES="100000") as server:
        yield server


@pytest.mark.slow
def test_answers_over_http(server):
    response = sentiment(server, "great", "")
    assert response.status_code == 200
    assert [r.get("label") or r["error"]["code"] for r in response.json()["results"]] == ["positive", "no_words"]
    for path in ("/livez", "/readyz", "/", "/docs", "/docs.json"):
        assert httpx.get(server.url + path).status_code == 200


@pytest.mark.slow
def test_metrics_count_known_paths_only(server):
    sentiment(server, "great")
    httpx.get(server.url + "/made/up/path")
    metrics = httpx.get(server.url + "/metrics").text
    counted = 'bentoml_service_request_total{endpoint="/v1/sentiment",http_response_code="200"'
    assert counted in metrics
    assert "/made/up/path" not in metrics


@pytest.mark.slow
def test_own_metrics_and_the_dashboard_that_shows_them(tmp_path):
    # The last author says nothing about the company, so that one case has no full estimate.
    said = ["Great kettle, they sent a refund.", "Awful, they ignored me.", "Der Tisch steht in der Küche und wartet."]
    thread = {"utterances": [{"text": text, "author": f"author {i}"} for i, text in enumerate(said)]}
    with fake_server(tmp_path, workers=min(2, cores())) as server:
        for _ in range(4):
            sentiment(server, "great", "awful", "")
            assert httpx.post(server.url + "/v1/score", json={"thread": thread}, timeout=30).status_code == 200
            sentiment(server, *["great"] * 300)
        cases = {"cases": [{"cues": {"redress": "refund"}, "severity": 1}, {"severity": 9}]}
        assert httpx.post(server.url + "/v1/loyalty", json=cases, timeout=30).status_code == 200
        items = [{"kind": "sentiment", "text": "great", "label": "positive"}, {"kind": "mood"}]
        assert httpx.post(server.url + "/v1/feedback", json={"items": items}, timeout=30).status_code == 200
        job = httpx.post(server.url + "/v1/jobs", json={"items": [{"thread": thread}, {}]}, timeout=30).json()
        while httpx.get(f"{server.url}/v1/jobs/{job['id']}", timeout=30).json()["state"] != "done":
            time.sleep(0.1)
        text = httpx.get(server.url + "/metrics").text
    for line in (
        'amends_texts_total{outcome="scored"} 1208.0',
        'amends_texts_total{outcome="failed"} 4.0',
        'amends_cases_total{status="failed"} 1.0',
        'amends_feedback_total{outcome="kept"} 1.0',
        'amends_feedback_total{outcome="failed"} 1.0',
        'amends_job_items_total{outcome="scored"} 1.0',
        'amends_job_items_total{outcome="failed"} 1.0',
        f'amends_bundle_info{{digest="{"0" * 64}",version="fake"}} 1.0',
    ):
        assert line in text.splitlines(), text
    drift = dict(re.findall(r'^amends_drift\{aspect="(\w+)"\} (\S+)$', text, re.MULTILINE))
    assert set(drift) == {"labels", "length", "rare"}
    assert float(drift["labels"]) > 0.25
    dashboard = json.loads((ROOT / "docs/grafana.json").read_text("utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = {name for query in queries for name in re.findall(r"\b(?:amends|bentoml)_\w+", query)}
    known = dict.fromkeys(re.findall(r"^(\w+)(?:\{| )", text, re.MULTILINE))
    assert used <= set(known)
    assert {name for name in known if name.startswith("amends_")} <= used


@pytest.mark.slow
def test_keys_close_the_server_and_its_metrics(tmp_path):
    digest = hashlib.sha256(b"letmein").hexdigest()
    bearer = {"Authorization": "Bearer letmein"}
    with fake_server(tmp_path, AMENDS_API_KEYS=f"crm:read:{digest}", AMENDS_METRICS_OPEN="false") as server:
        assert sentiment(server, "great").status_code == 401
        for path in ("/metrics", "/v1/model"):
            assert httpx.get(server.url + path).json()["error"]["code"] == "missing_key"
            assert httpx.get(server.url + path, headers=bearer).status_code == 200
        assert httpx.get(server.url + "/livez").status_code == 200


@pytest.mark.slow
def test_chunked_bodies_are_counted(server):
    def chunks() -> Iterator[bytes]:
        yield b'{"texts": ["'
        for _ in range(1000):
            yield b"great " * 1000

    headers = {"Content-Type": "application/json"}
    response = httpx.post(server.url + "/v1/sentiment", content=chunks(), headers=headers)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "body_too_large"


@pytest.mark.slow
def test_faults_show_in_the_log_alone(server):
    response = sentiment(server, "broken")
    assert response.status_code == 500
    assert "secret-detail" not in response.text
    assert "secret-detail" in server.log.read_text("utf-8")
    assert sentiment(server, "great").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_process(tmp_path, sign):
    with fake_server(tmp_path, workers=min(2, cores())) as server:
        family = server.family()
        assert len(family) >= 1 + min(2, cores())
        port = httpx.URL(server.url).port
        server.process.send_signal(sign)
        assert server.process.wait(10) == 0
        assert psutil.wait_procs(family, 5)[1] == []
        assert free_address("127.0.0.1", port) == "127.0.0.1"
        assert "Traceback" not in server.log.read_text("utf-8")


@pytest.mark.slow
def test_workers_keep_to_the_cores(tmp_path):
    with fake_server(tmp_path) as server:
        for _ in range(4 * cores()):
            assert sentiment(server, "great").status_code == 200
        threads = [p.num_threads() for p in server.family()[1:]]
    # The event loop waits while the scoring threads work; so do the thread for jobs while there are none, that which
    # looks for another champion, and that with which pyarrow's allocator gives memory back.
    assert max(threads) <= 4 + cores()


@pytest.mark.slow
@pytest.mark.skipif(not (RELEASED / "bundle.json").is_file(), reason="model/released holds no bundle")
def test_serves_the_released_bundle_from_anywhere(tmp_path):
    port = free_port()
    line = [sys.executable, "-c", f"from service.serve import serve; serve('localhost', {port}, 1)"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with running(tmp_path, line, env, port) as server:
        response = sentiment(server, "Wonderful service, thank you so much.", "Awful. They never answered.")
        assert [r["label"] for r in response.json()["results"]] == ["positive", "negative"]
        content = "Awful. The kettle leaked and they ignored my emails. I will never buy from them again."
        response = httpx.post(server.url + "/v1/score", json={"content": content}, timeout=30)
        assert response.status_code == 200
        assert (
            response.json()["reports"][0]["bundle"]
            == httpx.post(server.url + "/v1/sentiment", json={"texts": []}).json()["bundle"]
        )


def test_each_port_has_a_home_of_its_own(tmp_path):
    base = {"XDG_CACHE_HOME": str(tmp_path)}
    homes = {environment(base, port, 1)["BENTOML_HOME"] for port in (3000, 3001)}
    assert len(homes) == 2
    assert all(Path(home).is_dir() for home in homes)


def test_a_cache_that_can_not_be_written_is_no_obstacle(tmp_path):
    (tmp_path / "file").write_text("")
    home = Path(environment({"XDG_CACHE_HOME": str(tmp_path / "file")}, 3000, 1)["BENTOML_HOME"])
    assert home.is_dir()
    shutil.rmtree(home)


def test_the_bundle_is_found_after_the_working_directory_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = environment({"AMENDS_BUNDLE": "mine", "XDG_CACHE_HOME": str(tmp_path)}, 3000, 2)
    assert env["AMENDS_BUNDLE"] == str(tmp_path / "mine")
    assert (env["AMENDS_WORKERS"], env["OMP_NUM_THREADS"], env["BENTOML_DO_NOT_TRACK"]) == ("2", "1", "True")


def test_workers_come_from_the_command_or_else_from_the_setting(tmp_path):
    base = {"AMENDS_WORKERS": "2", "XDG_CACHE_HOME": str(tmp_path)}
    assert environment(base, 3000, None)["AMENDS_WORKERS"] == "2"
    assert environment(base, 3000, 1)["AMENDS_WORKERS"] == "1"


def refused(tmp_path: Path, **env: str) -> str:
    """What `amends serve` says when it can't start: one line, whatever is wrong."""
    line = [sys.executable, "-m", "service.cli", "serve", "--port", str(free_port())]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path), **env}
    run = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=START_SECONDS)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
    return run.stderr


@pytest.mark.slow
def test_a_folder_without_a_bundle_ends_the_start(tmp_path):
    assert f"{tmp_path} is not a model bundle" in refused(tmp_path, AMENDS_BUNDLE=str(tmp_path))
    with pytest.raises(InputError) as caught:
        check_bundle(Settings(bundle=tmp_path))
    assert caught.value.code == "no_bundle"


@pytest.mark.slow
def test_a_database_that_can_not_be_opened_ends_the_start(tmp_path):
    said = refused(tmp_path, AMENDS_DATABASE_URL=f"sqlite:///{tmp_path}/none/a.db")
    assert "AMENDS_DATABASE_URL" in said
    assert "unable to open database file" in said


@pytest.mark.slow
def test_a_wrong_database_ends_the_server_and_not_each_worker_in_turn(tmp_path):
    env = environment({**os.environ, "AMENDS_DATABASE_URL": "mysql://user:secret@db.example/x"}, port := free_port(), 1)
    line = command("127.0.0.1", port, FAKE)
    run = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=START_SECONDS)
    assert run.returncode != 0
    assert "can't keep anything in mysql" in run.stderr
    assert "secret" not in run.stdout + run.stderr


def test_more_workers_than_cores_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError) as caught:
        serve("127.0.0.1", free_port(), cores() + 1)
    assert caught.value.code == "too_many_threads"


def test_a_taken_port_is_an_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError) as caught:
            free_address("localhost", port)
    assert (caught.value.code, caught.value.got) == ("no_address", f"localhost:{port}")


def test_an_unknown_host_is_an_error():
    with pytest.raises(InputError) as caught:
        free_address("no-such-host.invalid", 3000)
    assert caught.value.code == "no_address"
