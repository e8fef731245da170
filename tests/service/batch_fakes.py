"""Workers and scorers for the tests of batch runs; top-level, so that a process can be started with them."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from model.scorer import Scored, Scorer
from model.types import BundleInfo, Sentiment
from service.batch import Options
from service.batch_input import Reading, Unit
from service.batch_local import Died, Outcome
from service.batch_work import BatchTask, Opening, Worker
from tests.fakes import fake_bundle, fake_scorer

FAKE = ("fake", "0" * 64)


class Stumbling(Scorer):
    """A scorer that fails over "explode", as over a text that a library can't take."""

    def sentiment(self, texts: Sequence[str], targets: Sequence[str | None] | None = None) -> list[Sentiment | None]:
        """See Scorer.sentiment."""
        self._check(texts)
        return super().sentiment(texts, targets)

    def read_texts(self, texts: Sequence[str]) -> list[Scored]:
        """See Scorer.read_texts."""
        self._check(texts)
        return super().read_texts(texts)

    def _check(self, texts: Sequence[str]) -> None:
        if any("explode" in text for text in texts):
            raise ZeroDivisionError("it exploded")


class Deadly(Scorer):
    """A scorer whose process is killed over "boom", as where memory runs out; over "once" only the first time."""

    def sentiment(self, texts: Sequence[str], targets: Sequence[str | None] | None = None) -> list[Sentiment | None]:
        """See Scorer.sentiment."""
        for text in texts:
            if text.startswith("once "):
                marker = Path(text.removeprefix("once "))
                if not marker.exists():
                    marker.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            if "boom" in text:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().sentiment(texts, targets)


class Slow(Scorer):
    """A scorer that takes a tenth of a second for a shard."""

    def sentiment(self, texts: Sequence[str], targets: Sequence[str | None] | None = None) -> list[Sentiment | None]:
        """See Scorer.sentiment."""
        time.sleep(0.1)
        return super().sentiment(texts, targets)


def load(bundle: Path | None = None, *, threads: int = 1) -> Scorer:
    """The fake scorer."""
    return fake_scorer()


def load_stumbling(bundle: Path | None = None) -> Scorer:
    """See Stumbling."""
    return Stumbling(fake_bundle())


def load_deadly(bundle: Path | None = None) -> Scorer:
    """See Deadly."""
    return Deadly(fake_bundle())


def load_slow(bundle: Path | None = None) -> Scorer:
    """See Slow."""
    return Slow(fake_bundle())


def load_other(bundle: Path | None = None) -> Scorer:
    """A scorer over another bundle than that of the run."""
    found = fake_scorer()
    object.__setattr__(found.bundle, "info", BundleInfo("other", "1" * 64))
    return found


def load_dead(bundle: Path | None = None) -> Scorer:
    """A bundle that ends every process which opens it."""
    os._exit(7)


class OwnPool:
    """The workers of a run in the process of the test: one, which scores at once.

    stop_after: shards after which the run is interrupted. deadly: shards that end their worker.
    """

    def __init__(
        self, opening: Opening, *, stop_after: int | None = None, deadly: Callable[[Unit], bool] = lambda unit: False
    ) -> None:
        self.worker: Worker = opening.open()
        self.given: list[str] = []
        self._stop_after = stop_after
        self._deadly = deadly
        self._done: list[Outcome] = []

    def free(self) -> int:
        """See Pool.free."""
        return 1 if not self._done else 0

    def give(self, unit: Unit) -> None:
        """See Pool.give."""
        if len(self.given) == self._stop_after:
            raise KeyboardInterrupt
        self.given.append(unit.name)
        self._done.append((unit, Died("it was ended") if self._deadly(unit) else self.worker.score(unit)))

    def wait(self, seconds: float) -> list[Outcome]:
        """See Pool.wait."""
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """See Pool.close."""


def fake_options(
    task: BatchTask = "sentiment",
    *,
    shard_texts: int | None = None,
    load: Callable[[Path | None], Scorer] = load,
    fields: dict[str, str] | None = None,
    workers: int = 1,
) -> Options:
    """Options of a run with the fake bundle."""
    return Options(
        task=task,
        reading=Reading(fields=fields or {}),
        workers=workers,
        device="cpu",
        shard_texts=shard_texts,
        load=load,
        identity=FAKE,
    )
