"""How a real server behaves under load, at its end, and in its log."""

import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from service.settings import cores
from tests.service.servers import Server, fake_server, sentiment

pytestmark = pytest.mark.slow


def in_progress(server: Server) -> float:
    """Requests to /v1/sentiment that the server has in hand."""
    text = httpx.get(server.url + "/metrics", timeout=30).text
    lines = re.findall(r'^bentoml_service_request_in_progress\{.*"/v1/sentiment".*\} (\S+)$', text, re.MULTILINE)
    return sum(map(float, lines))


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_every_line_of_the_log_is_json(tmp_path):
    with fake_server(tmp_path, AMENDS_LOG_FORMAT="json") as server:
        assert sentiment(server, "great pineapple").status_code == 200
        assert sentiment(server, "broken").status_code == 500
    lines = [json.loads(line) for line in server.log.read_text("utf-8").splitlines()]
    calls = [line for line in lines if "path" in line]
    assert [(line["path"], line["status"]) for line in calls] == [("/v1/sentiment", 200), ("/v1/sentiment", 500)]
    assert any("secret-detail" in line.get("message", "") for line in lines)
    assert "pineapple" not in server.log.read_text("utf-8")


def test_callers_at_once_get_their_own_answers(tmp_path):
    right = {"great": "positive", "awful": "negative", "table": "neutral"}
    sent = [*right, "broken", ""] * 6
    with fake_server(tmp_path) as server, ThreadPoolExecutor(len(sent) + 1) as pool:
        # Behind the slow one the others wait, and are scored together.
        slow = pool.submit(sentiment, server, "slow")
        answers = list(pool.map(lambda text: sentiment(server, text), sent))
        assert slow.result().status_code == 200
    for text, answer in zip(sent, answers, strict=True):
        assert answer.status_code == (500 if text == "broken" else 200)
        if text in right:
            assert answer.json()["results"][0]["label"] == right[text]
        elif not text:
            assert answer.json()["results"][0]["error"]["code"] == "no_words"


def test_overload_is_told_and_over_when_it_ends(tmp_path):
    with fake_server(tmp_path, AMENDS_MAX_REQUESTS="4") as server:
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: sentiment(server, "slow"), range(16)))
        refused = [a for a in answers if a.status_code == 429]
        assert {a.status_code for a in answers} == {200, 429}
        assert {(a.headers["retry-after"], a.json()["error"]["code"]) for a in refused} == {("1", "overloaded")}
        assert sentiment(server, "great").status_code == 200


def test_rates_hold_over_all_workers(tmp_path):
    with fake_server(tmp_path, workers=min(2, cores()), AMENDS_RATE_LIMIT="10/hour") as server:
        answers = [sentiment(server, "great") for _ in range(20)]
    assert [a.status_code for a in answers] == [200] * 10 + [429] * 10
    assert 300 < int(answers[-1].headers["retry-after"]) <= 360


def test_sigterm_finishes_what_is_in_hand_and_refuses_the_rest(tmp_path):
    with fake_server(tmp_path) as server:
        port = httpx.URL(server.url).port
        with ThreadPoolExecutor(2) as pool:
            in_hand = [pool.submit(sentiment, server, *["slow"] * 4) for _ in range(2)]
            wait_until(lambda: in_progress(server) == 2)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.7)
            with pytest.raises(httpx.TransportError):
                sentiment(server, "great")
            assert [f.result().status_code for f in in_hand] == [200, 200]
        assert server.process.wait(10) == 0
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", port))


def test_a_worker_that_died_is_replaced(tmp_path):
    with fake_server(tmp_path) as server:
        worker = max(server.family()[1:], key=lambda p: p.memory_info().rss)
        worker.kill()
        end = time.monotonic() + 20
        status = None
        while status != 200 and time.monotonic() < end:
            try:
                status = sentiment(server, "great").status_code
            except httpx.TransportError:
                time.sleep(0.1)
        assert status == 200
        assert worker.pid not in [p.pid for p in server.family()]


def test_stops_and_starts_again_at_the_same_place(tmp_path):
    for _ in range(2):
        with fake_server(tmp_path) as server:
            assert sentiment(server, "great").status_code == 200
            family = server.family()
        assert psutil.wait_procs(family, 5)[1] == []


def test_callers_that_go_away_leave_nothing_behind(tmp_path):
    with fake_server(tmp_path) as server:
        port = httpx.URL(server.url).port
        for _ in range(30):
            with socket.create_connection(("127.0.0.1", port)) as half:
                half.sendall(b"POST /v1/sentiment HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
                half.sendall(b"Content-Length: 100\r\n\r\n{")
        assert sentiment(server, "great").status_code == 200
        assert threading.active_count() < 10
        wait_until(lambda: in_progress(server) == 0)
