"""The service over the fake scorer, for a real server without trained weights."""

import time
from pathlib import Path

import numpy as np

from model.drift import Reference
from model.scorer import Scorer
from service.app import Amends, served
from tests.fakes import FakeEncoder, fake_bundle, fake_scorer


class SlowScorer(Scorer):
    """Takes a second for each text "slow" and fails at the text "broken"."""

    def sentiment(self, texts, targets=None):
        time.sleep(sum(text == "slow" for text in texts))
        if "broken" in texts:
            raise RuntimeError("secret-detail")
        return super().sentiment(texts, targets)


class SlowEncoder(FakeEncoder):
    """Takes its time, so that a job can be cut off in the middle."""

    def encode(self, windows):
        time.sleep(0.01)
        return super().encode(windows)


@served
class Fake(Amends.inner):
    def load_scorer(self, folder: Path) -> Scorer:
        return SlowScorer(fake_scorer()._bundle)

    def load_reference(self, folder: Path) -> Reference:
        shares = np.full(3, 1 / 3), np.full(2, 1 / 2), np.full(5, 1 / 5)
        return Reference("0" * 64, 100, *shares, np.asarray([3]), np.ones(12, dtype=bool))

    @staticmethod
    def check() -> None:
        """The fake needs no bundle."""


@served
class Slow(Fake.inner):
    def load_scorer(self, folder: Path) -> Scorer:
        return Scorer(fake_bundle(SlowEncoder()))
