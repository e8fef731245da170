import hashlib
import multiprocessing
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from model.types import InputError
from service.app import Amends, served
from service.keys import Rate, parse_keys, parse_rate
from service.rate import Meter
from service.settings import Settings
from tests.fakes import fake_scorer

HASH = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("one", "two")}


@pytest.fixture
def _own_home(tmp_path, monkeypatch):
    from bentoml._internal.configuration.containers import BentoMLContainer

    monkeypatch.setenv("BENTOML_CONFIG_OVERRIDES", '{"services": {"Amends": {"metrics": {"enabled": false}}}}')
    BentoMLContainer.bentoml_home.set(str(tmp_path))
    yield
    BentoMLContainer.bentoml_home.reset()


def client_of() -> TestClient:
    class Fake(Amends.inner):
        def load_scorer(self, folder: Path):
            return fake_scorer()

    return TestClient(served(Fake).to_asgi())


def test_a_caller_may_spend_its_rate_at_once_and_then_step_by_step(tmp_path):
    now = [1000.0]
    meter = Meter(tmp_path / "rates", clock=lambda: now[0])
    rate = Rate(3, 60, "minute")
    assert [meter.wait("a", rate) for _ in range(4)] == [0, 0, 0, pytest.approx(20)]
    assert meter.wait("b", rate) == 0
    now[0] += 19.5
    assert meter.wait("a", rate) == pytest.approx(0.5)
    now[0] += 0.5
    assert meter.wait("a", rate) == 0
    assert meter.wait("a", rate) == pytest.approx(20)
    now[0] += 600
    assert [meter.wait("a", rate) > 0 for _ in range(4)] == [False, False, False, True]


def test_a_clock_that_was_set_back_shuts_nobody_out(tmp_path):
    now = [1e9]
    meter = Meter(tmp_path / "rates", clock=lambda: now[0])
    meter.wait("a", Rate(1, 60, "minute"))
    now[0] = 1e6
    assert meter.wait("a", Rate(1, 60, "minute")) == pytest.approx(60)


def count_passed(path: str) -> int:
    meter = Meter(Path(path))
    return sum(meter.wait("a", Rate(100, 86400, "day")) == 0 for _ in range(80))


def test_processes_count_together(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert sum(pool.map(count_passed, [str(tmp_path / "rates")] * 2)) == 100


@pytest.mark.usefixtures("_own_home")
def test_too_many_calls_are_429_with_the_seconds_to_wait(monkeypatch):
    monkeypatch.setenv("AMENDS_API_KEYS", f"one:read:{HASH['one']}\ntwo:read:{HASH['two']}:3/hour")
    monkeypatch.setenv("AMENDS_RATE_LIMIT", "2/minute")
    codes = {}
    with client_of() as client:
        for name in ("one", "two"):
            answers = [client.get("/v1/model", headers={"Authorization": f"Bearer {name}"}) for _ in range(4)]
            codes[name] = [a.status_code for a in answers]
        for path in ("/livez", "/readyz", "/docs", "/docs.json"):
            assert client.get(path).status_code == 200
        assert client.get("/v1/model").status_code == 401
    assert codes == {"one": [200, 200, 429, 429], "two": [200, 200, 200, 429]}
    assert set(answers[-1].json()) == {"error"}
    error = answers[-1].json()["error"]
    assert (error["code"], error["expected"]) == ("rate_limited", "at most 3/hour")
    assert 1190 < int(answers[-1].headers["retry-after"]) <= 1200


@pytest.mark.usefixtures("_own_home")
def test_without_keys_each_address_counts(monkeypatch):
    monkeypatch.setenv("AMENDS_RATE_LIMIT", "2/minute")
    with client_of() as client:
        assert [client.get("/v1/model").status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("text", ["60", "0/minute", "60/fortnight", "-1/minute", "60/minute/x", "many/day"])
def test_what_is_no_rate_ends_the_start(text):
    assert parse_rate(text) is None
    with pytest.raises(InputError) as caught:
        Settings.from_env({"AMENDS_RATE_LIMIT": text})
    assert caught.value.field == "AMENDS_RATE_LIMIT"
    with pytest.raises(InputError):
        parse_keys(f"one:read:{HASH['one']}:{text}", "keys")


def test_rates_of_keys():
    one, two = parse_keys(f"one:read:{HASH['one']}:5/second\ntwo:read:{HASH['two']}", "keys")
    assert (one.rate, two.rate) == (Rate(5, 1, "second"), None)
