"""How a service follows the champion of the registry, over bundles that hold a word each."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from model.bundle import RELEASED, bundle_digest, verified
from model.scorer import Scorer
from model.types import BundleInfo, InputError
from service.app import Amends, served
from service.champion import RETRY_SECONDS, Follower, first_to_open
from service.metrics import ScoringMetrics
from service.registry import OURS, Registry
from service.serve import check_bundle, environment
from service.settings import Settings
from tests.fakes import bundle_files, fake_bundle

THREAD = {"thread": {"id": "t", "utterances": [{"text": "They sent a refund, great."}]}}


class NamedScorer(Scorer):
    """A fake scorer with the version and digest of a folder; it waits at the text "wait"."""

    waiting, go_on = threading.Event(), threading.Event()

    def __init__(self, folder: Path) -> None:
        meta = verified(folder)
        super().__init__(replace(fake_bundle(), info=BundleInfo(meta["version"], bundle_digest(meta["files"]))))

    def sentiment(self, texts, targets=None):
        if "wait" in texts:
            self.waiting.set()
            assert self.go_on.wait(20)
        return super().sentiment(texts, targets)


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Registry:
    metrics = {"services": {"Amends": {"metrics": {"enabled": False}}}}
    monkeypatch.setenv("BENTOML_CONFIG_OVERRIDES", json.dumps(metrics))
    monkeypatch.setenv("AMENDS_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("AMENDS_STATE", str(tmp_path))
    return Registry()


@contextmanager
def client(tmp_path: Path) -> Iterator[TestClient]:
    """A service that opens bundles of one word; the released one is the word "released"."""
    released = bundle_files(tmp_path / "bundle-released", "released")

    class Following(Amends.inner):
        def load_scorer(self, folder: Path) -> Scorer:
            return NamedScorer(released if folder == RELEASED else folder)

        def load_reference(self, folder: Path) -> None:
            return None

    with TestClient(served(Following).to_asgi(), raise_server_exceptions=False) as opened:
        yield opened


def added(registry: Registry, tmp_path: Path, word: str) -> str:
    return registry.add(bundle_files(tmp_path / f"bundle-{word}", word)).version


def version_of(client: TestClient) -> str:
    return client.get("/v1/model").json()["version"]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_service_follows_promotion_and_rollback(registry, tmp_path):
    version = added(registry, tmp_path, "one")
    with client(tmp_path) as calls:
        assert version_of(calls) == "released"
        registry.promote(version)
        wait_for(lambda: version_of(calls) == "one")
        digest = registry.champion().digest
        assert calls.get("/v1/model").json()["digest"] == digest
        bodies = {
            "/v1/sentiment": {"texts": ["great"]},
            "/v1/loyalty": {"cases": []},
            "/v1/what-if": THREAD | {"set": {"apology": "given"}},
            "/v1/advise": THREAD,
        }
        bundles = [calls.post(path, json=body).json()["bundle"] for path, body in bodies.items()]
        bundles.append(calls.post("/v1/score", json=THREAD).json()["reports"][0]["bundle"])
        assert bundles == [{"version": "one", "digest": digest}] * 5
        registry.rollback()
        wait_for(lambda: version_of(calls) == "released")


def test_a_request_in_hand_ends_with_the_bundle_that_it_began_with(registry, tmp_path):
    version = added(registry, tmp_path, "one")
    with client(tmp_path) as calls, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(calls.post, "/v1/sentiment", json={"texts": ["wait"]})
        assert NamedScorer.waiting.wait(20)
        registry.promote(version)
        wait_for(lambda: version_of(calls) == "one")
        NamedScorer.go_on.set()
        assert slow.result().json()["bundle"]["version"] == "released"
        assert calls.post("/v1/sentiment", json={"texts": ["great"]}).json()["bundle"]["version"] == "one"


def test_items_of_a_job_name_the_bundle_that_scored_them(registry, tmp_path):
    version = added(registry, tmp_path, "one")
    with client(tmp_path) as calls:
        registry.promote(version)
        wait_for(lambda: version_of(calls) == "one")
        job = calls.post("/v1/jobs", json={"items": [THREAD]}).json()["id"]
        wait_for(lambda: calls.get(f"/v1/jobs/{job}").json()["state"] == "done")
        (result,) = calls.get(f"/v1/jobs/{job}/results").json()["results"]
        assert result["reports"][0]["bundle"]["version"] == "one"


def test_a_bundle_that_can_not_be_opened_changes_nothing(registry, tmp_path, caplog):
    taken: list[Path] = []
    now = [0.0]

    def take(folder: Path) -> None:
        verified(folder)
        taken.append(folder)

    follower = Follower(registry, OURS, take, clock=lambda: now[0])
    version = added(registry, tmp_path, "one")
    registry.promote(version)
    heads = registry.folder(version) / "heads.safetensors"
    right = heads.read_text()
    heads.write_text("changed")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            follower.look()
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("The new champion can't be opened, released goes on answering: ")
    assert (taken, follower.version) == ([], OURS)
    heads.write_text(right)
    now[0] = RETRY_SECONDS
    follower.look()
    assert (taken, follower.version) == ([registry.folder(version)], version)


def test_a_follower_asks_for_nothing_while_nothing_changes(registry, tmp_path):
    taken: list[Path] = []
    registry.promote(added(registry, tmp_path, "one"))
    follower = Follower(registry, OURS, taken.append)
    for _ in range(3):
        follower.look()
    assert taken == [registry.folder("champion")]


def test_a_worker_starts_with_the_one_before_where_the_champion_is_damaged(registry, tmp_path):
    one, two = (added(registry, tmp_path, word) for word in ("one", "two"))
    registry.promote(one)
    registry.promote(two)
    (registry.folder(two) / "encoder.onnx").write_text("changed")
    assert first_to_open(registry, lambda folder: verified(folder)["version"]) == (one, "one")
    with pytest.raises(InputError) as caught:
        check_bundle(Settings.from_env())
    assert caught.value.code == "bad_bundle"


def test_one_version_can_be_held(registry, tmp_path, monkeypatch):
    one, two = (added(registry, tmp_path, word) for word in ("one", "two"))
    registry.promote(two)
    monkeypatch.setenv("AMENDS_BUNDLE", f"models:{one}")
    with client(tmp_path) as calls:
        assert version_of(calls) == "one"
    monkeypatch.setenv("AMENDS_BUNDLE", "released")
    with client(tmp_path) as calls:
        assert version_of(calls) == "released"
    monkeypatch.setenv("AMENDS_BUNDLE", "models:none")
    with pytest.raises(InputError, match="no version 'none'"):
        check_bundle(Settings.from_env())


def test_the_server_keeps_the_registry_of_its_caller(tmp_path):
    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    assert environment(cache, 3000, 1)["AMENDS_MODELS"] == str((Path.home() / "bentoml").resolve())
    assert environment(cache | {"BENTOML_HOME": "/b"}, 3000, 1)["AMENDS_MODELS"] == "/b"
    named = environment(cache | {"AMENDS_MODELS": "/a", "AMENDS_BUNDLE": "models:1"}, 3000, 1)
    assert (named["AMENDS_MODELS"], named["AMENDS_BUNDLE"]) == ("/a", "models:1")


def test_the_metric_shows_the_bundle_in_use():
    metrics = ScoringMetrics(BundleInfo("1", "a" * 64))
    metrics.use(BundleInfo("2", "b" * 64), None)
    samples = [s for family in metrics.registry.collect() for s in family.samples if s.name == "amends_bundle_info"]
    assert {s.labels["version"]: s.value for s in samples} == {"1": 0, "2": 1}
