"""The cores of a worker, shared by requests and jobs so that requests go first and no more work than was set."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Condition, Event

import numpy as np
from numpy.typing import NDArray

from model.encoder import Encoder, States, batches

# How often a job that waits for a core looks whether it is still wanted.
LOOK_SECONDS = 0.5


class Cores:
    """So many cores. A request takes one as soon as there is one, a job only while requests leave one over."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._wanted = 0
        self._busy = 0
        self._changed = Condition()

    @contextmanager
    def wanted(self) -> Iterator[None]:
        """Around a request from its arrival to its answer: a job makes room for it. Never waits."""
        with self._changed:
            self._wanted += 1
        try:
            yield
        finally:
            with self._changed:
                self._wanted -= 1
                self._changed.notify_all()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Around the work of a request; waits until a job has made room."""
        with self._changed:
            self._changed.wait_for(lambda: self._busy < self._count)
            self._busy += 1
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def spare(self, gone: Event) -> Iterator[None]:
        """Around the work of a job. Raises TimeoutError once `gone` is set while it waits."""
        self._take_spare(gone)
        try:
            yield
        finally:
            self._leave()

    def give_way(self, gone: Event) -> None:
        """Called by a job inside spare(), between two pieces of work: lets requests go first.

        Raises TimeoutError once `gone` is set.
        """
        if gone.is_set():
            raise TimeoutError("nobody waits for this result any more")
        if self._wanted < self._count:
            return
        self._leave()
        try:
            self._take_spare(gone)
        except TimeoutError:
            # spare() leaves once more.
            with self._changed:
                self._busy += 1
            raise

    def _take_spare(self, gone: Event) -> None:
        with self._changed:
            while self._wanted >= self._count or self._busy >= self._count:
                self._changed.wait(LOOK_SECONDS)
                if gone.is_set():
                    raise TimeoutError("nobody waits for this result any more")
            self._busy += 1

    def _leave(self) -> None:
        with self._changed:
            self._busy -= 1
            self._changed.notify_all()


class GivesWay:
    """An encoder that calls `between` before each batch, with the same batches and results as the encoder inside."""

    def __init__(self, inside: Encoder, between: Callable[[], None]) -> None:
        self._inside = inside
        self._between = between

    def encode(self, windows: Sequence[NDArray[np.int64]]) -> list[States]:
        """See model.encoder.Encoder.encode."""
        results: list[States] = [np.empty((0, 0), dtype=np.float32)] * len(windows)
        for batch in batches([len(w) for w in windows]):
            self._between()
            for i, states in zip(batch, self._inside.encode([windows[i] for i in batch]), strict=True):
                results[i] = states
        return results
