"""How a service follows the champion of the registry, with bundles that hold a word each."""

import json
import threading
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


class NamedScorer(Scorer):
    """A fake scorer that bears the digest of a folder and waits at the text "wait"."""

    def __init__(self, folder: Path) -> None:
        meta = verified(folder)
        info = BundleInfo(meta["version"], bundle_digest(meta["files"]))
        super().__init__(replace(fake_bundle(), info=info))
        self.waiting, self.go_on = threading.Event(), threading.Event()

    def sentiment(self, texts, targets=None):
        if "wait" in texts:
            self.waiting.set()
            assert self.go_on.wait(10)
        return super().sentiment(texts, targets)


class Following(Amends.inner):
    """Opens bundles of one word; the released one, which may be absent, is the word "released"."""

    def load_scorer(self, folder: Path) -> Scorer:
        if folder == RELEASED:
            folder = bundle_files(Path(self.settings.state) / "released", "released")
        return NamedScorer(folder)

    def load_reference(self, folder: Path) -> None:
        return None


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Registry:
    monkeypatch.setenv("AMENDS_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("AMENDS_STATE", str(tmp_path))
    monkeypatch.setenv("BENTOML_CONFIG_OVERRIDES", json.dumps({"services": {"Amends": {"metrics": {"enabled": False}}}}))
    return Registry()


def added(registry: Registry, tmp_path: Path, word: str) -> str:
    return registry.add(bundle_files(tmp_path / f"bundle-{word}", word)).version


@contextmanager
def running():
    """A client, and the service behind it."""
    app = served(Following).to_asgi()
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client, app.state


def service_of(monkeypatch) -> Amends:
    return Following()


def test_a_service_follows_promotion_and_rollback(registry, tmp_path):
    service = Following()
    try:
        version = added(registry, tmp_path, "one")
        names = [service.about().version]
        for change in (lambda: registry.promote(version), registry.rollback):
            change()
            service._follower.look()
            names.append(service.about().version)
        assert names == ["released", "one", "released"]
        values = {s.labels["version"]: s.value for f in service.metrics.registry.collect() for s in f.samples if s.name == "amends_bundle_info"}
        assert values == {"released": 1, "one": 0}
    finally:
        service.close()


def test_a_request_ends_with_the_bundle_that_it_began_with(registry, tmp_path):
    service = Following()
    version = added(registry, tmp_path, "one")
    old = service.scorer
    answers = []

    def ask(text: str) -> None:
        import asyncio

        from service.schemas import SentimentRequest

        answers.append(asyncio.run(Amends.inner.sentiment.func(service, SentimentRequest(texts=[text]))).bundle.version)

    try:
        slow = threading.Thread(target=ask, args=("wait",))
        slow.start()
        assert old.waiting.wait(10)
        registry.promote(version)
        service._follower.look()
        old_threads = service.scorer is not old
        old.go_on.set()
        slow.join(10)
        ask("great")
        assert (old_threads, answers) == (True, ["released", "one"])
    finally:
        service.close()
