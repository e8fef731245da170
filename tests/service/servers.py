"""Real servers in processes of their own, for tests."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from service.serve import command, environment

FAKE = "tests.service.fake_service:Fake"
START_SECONDS = 120


@dataclass
class Server:
    """A running server. log: the file it writes to."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def family(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@contextmanager
def running(tmp_path: Path, line: list[str], env: dict[str, str], port: int) -> Iterator[Server]:
    """Runs the command from a folder that has nothing to do with it, until the server is ready."""
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(line, cwd=tmp_path, env=env, stdout=out, stderr=subprocess.STDOUT)
    server = Server(process, f"http://127.0.0.1:{port}", log)
    try:
        wait_until_ready(server)
        yield server
    finally:
        family = server.family() if process.poll() is None else []
        process.terminate()
        process.wait(START_SECONDS)
        for left in psutil.wait_procs(family, 5)[1]:
            left.kill()


def wait_until_ready(server: Server) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.process.poll() is None:
        try:
            if httpx.get(server.url + "/readyz", timeout=START_SECONDS).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    pytest.fail(server.log.read_text("utf-8"))


@contextmanager
def fake_server(tmp_path: Path, workers: int = 1, **settings: str) -> Iterator[Server]:
    port = free_port()
    base = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), **settings}
    env = environment(base, port, workers)
    with running(tmp_path, command("127.0.0.1", port, FAKE), env, port) as server:
        yield server


def sentiment(server: Server, *texts: str) -> httpx.Response:
    return httpx.post(server.url + "/v1/sentiment", json={"texts": texts}, timeout=30)
