"""Promotion and rollback under load on a real server, and with processes that are killed in the middle.

AMENDS_KILLS: how often. AMENDS_SEED: of the random moments.
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from model.bundle import RELEASED, bundle_digest, file_digest, verified
from service.registry import OURS, Registry
from service.serve import ROOT, command, environment
from service.settings import cores
from tests.fakes import bundle_files
from tests.service.servers import Server, free_port, running, sentiment

pytestmark = pytest.mark.slow

REQUESTS = 1000
CLIENTS = 4
KILLS = int(os.environ.get("AMENDS_KILLS") or 20)
SEED = int(os.environ.get("AMENDS_SEED") or time.time_ns())
TEXT = "They sent a refund the same day, thank you."


def other_bundle(folder: Path) -> Path:
    """The released bundle with a sentiment head that is a little less sure."""
    shutil.copytree(RELEASED, folder)
    heads = load_file(folder / "heads.safetensors")
    heads["sentiment.temperature"] = np.float32(1.5) * heads["sentiment.temperature"]
    save_file(heads, folder / "heads.safetensors")
    meta = json.loads((folder / "bundle.json").read_text())
    meta["files"]["heads.safetensors"] = file_digest(folder / "heads.safetensors")
    meta |= {"version": "other", "digest": bundle_digest(meta["files"])}
    (folder / "bundle.json").write_text(json.dumps(meta))
    return folder


class Load:
    """Clients that keep asking; what came back, in the order of the answers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[tuple[int, str, float]] = []
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(CLIENTS)
        self._done = [self._pool.submit(self._ask) for _ in range(CLIENTS)]

    def _ask(self) -> None:
        with httpx.Client(base_url=self.url, timeout=60) as client:
            while not self._over.is_set():
                response = client.post("/v1/sentiment", json={"texts": [TEXT]})
                body = response.json()
                self.answers.append((response.status_code, body["bundle"]["digest"], body["results"][0]["positive"]))

    def wait_for(self, number: int) -> None:
        """Until so many answers came since now, or a client failed."""
        end = len(self.answers) + number
        while len(self.answers) < end and not any(one.done() for one in self._done):
            time.sleep(0.02)

    def stop(self) -> list[tuple[int, str, float]]:
        self._over.set()
        for one in self._done:
            one.result(60)
        return self.answers


def amends(home: Path, *line: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "AMENDS_MODELS": str(home)}
    call = [sys.executable, "-m", "service.cli", "models", *line]
    return subprocess.Popen(call, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_all(server: Server, digest: str, workers: int) -> None:
    """Until a row of new connections, which the workers share, has met none but this bundle."""
    end, row = time.monotonic() + 60, 0
    while row < 20 * workers:
        row = row + 1 if sentiment(server, TEXT).json()["bundle"]["digest"] == digest else 0
        assert time.monotonic() < end


def in_use(server: Server) -> list[str]:
    """Digests of the bundles that the metrics show as those that answer."""
    text = httpx.get(server.url + "/metrics", timeout=30).text
    return re.findall(r'^amends_bundle_info\{digest="(\w+)".*\} 1\.0$', text, re.MULTILINE)


@pytest.mark.skipif(not (RELEASED / "bundle.json").is_file(), reason="model/released holds no bundle")
def test_no_request_is_lost_in_a_promotion_or_a_rollback(tmp_path):
    home, workers, port = tmp_path / "models", min(2, cores()), free_port()
    registry = Registry(home)
    old, new = registry.champion().digest, registry.add(other_bundle(tmp_path / "other"))
    base = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "AMENDS_MODELS": str(home)}
    env = environment(base, port, workers)
    with running(tmp_path, command("127.0.0.1", port), env, port) as server:
        sure = {old: sentiment(server, TEXT).json()["results"][0]["positive"]}
        for line, before, after in ((("promote", new.version), old, new.digest), (("rollback",), new.digest, old)):
            load = Load(server.url)
            load.wait_for(REQUESTS // 4)
            assert amends(home, *line).wait(60) == 0
            load.wait_for(REQUESTS)
            wait_for_all(server, after, workers)
            answers = load.stop()
            sure.setdefault(after, answers[-1][2])
            assert len(answers) > REQUESTS
            assert {status for status, _, _ in answers} == {200}
            assert {digest for _, digest, _ in answers} == {before, after}
            # What a response says of its bundle is true: each bundle has its own probability for the text. It moves by
            # rounding with what the text is scored together with.
            assert all(abs(positive - sure[digest]) < 1e-6 for _, digest, positive in answers)
            assert in_use(server) == [after]
            print(line, Counter(digest[:6] for _, digest, _ in answers))
    assert abs(sure[old] - sure[new.digest]) > 0.01


def large_bundle(folder: Path, word: str) -> Path:
    """A bundle whose copying takes long enough to be killed in the middle."""
    bundle_files(folder, word)
    (folder / "encoder.onnx").write_bytes(random.Random(word).randbytes(30_000_000))
    meta = json.loads((folder / "bundle.json").read_text())
    meta["files"]["encoder.onnx"] = file_digest(folder / "encoder.onnx")
    (folder / "bundle.json").write_text(json.dumps(meta))
    return folder


def test_store_and_champion_survive_kills(tmp_path):
    random.seed(SEED)
    home = tmp_path / "models"
    registry = Registry(home)
    folders = [large_bundle(tmp_path / word, word) for word in ("one", "two", "three")]
    versions = [bundle_digest(json.loads((f / "bundle.json").read_text())["files"])[:12] for f in folders]
    seen: Counter[str] = Counter()
    for _ in range(KILLS):
        known, state = registry.versions(), registry.state()
        what = random.choice(("import", "promote", "rollback"))
        others = [v for v in known[1:] if v != state.champion]
        line = {
            "import": ("import", str(random.choice(folders))),
            "promote": ("promote", random.choice(others or [OURS])),
            "rollback": ("rollback",),
        }[what]
        process = amends(home, *line)
        time.sleep(random.uniform(0, 2))
        process.kill()
        seen[f"{what} {'killed' if process.wait(60) < 0 else 'done'}"] += 1
        for one in registry.list():
            assert one.folder == RELEASED or verified(one.folder)["version"] in ("one", "two", "three")
        assert set(known) <= set(registry.versions()) <= {OURS, *versions}
        now = registry.state()
        assert now == state or len(now.history) == len(state.history) + 1
        assert registry.champion().version == now.champion
    for folder, version in zip(folders, versions, strict=True):
        assert amends(home, "import", str(folder)).wait(60) == 0
        assert amends(home, "promote", version).wait(60) == 0
    assert registry.champion().version == versions[-1]
    assert not (home / "amends" / "incoming").exists()
    assert set(registry.versions()) == {OURS, *versions}
    print(f"seed {SEED}: {dict(seen)}")
