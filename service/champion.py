"""Keeps a running service with the champion of the registry: a promotion or a rollback reaches each worker in seconds.

A worker opens the new bundle beside the one in use and then changes one reference: what is in hand is finished with
the bundle that it began with, and nobody waits. A bundle that can't be opened changes nothing.
"""

import logging
from collections.abc import Callable
from math import inf
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Final, TypeVar

from model.types import InputError
from service.files import error_line
from service.registry import Registry

logger = logging.getLogger("bentoml.amends")

LOOK_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 30.0

T = TypeVar("T")


def first_to_open(registry: Registry, open_bundle: Callable[[Path], T]) -> tuple[str, T]:
    """The champion, opened; where that fails, the one before it: a worker that is replaced has to answer as others do.

    Raises InputError where none can be opened.
    """
    *before, champion = registry.state().champions
    while True:
        try:
            return champion, open_bundle(registry.folder(champion))
        except InputError as error:
            if not before:
                raise
            logger.error("The champion %s can't be opened: %s", champion, error_line(error))
            champion = before.pop()


class Follower:
    """Looks about once a second, in a thread of its own, whether there is another champion.

    version: the one in use. take: opens a folder and puts it to use; raises where that can't be.
    """

    def __init__(
        self,
        registry: Registry,
        version: str,
        take: Callable[[Path], None],
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.version = version
        self._registry = registry
        self._take = take
        self._clock = clock
        self._seen: object = None
        self._again = -inf
        self._closing = Event()
        self._thread = Thread(target=self._loop, name="champion", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def close(self) -> None:
        """Looks no more; a bundle that is being opened just now is not waited for."""
        self._closing.set()

    def look(self) -> None:
        """One look. What can't be opened is told in the log and tried again after RETRY_SECONDS."""
        stamp = self._registry.stamp()
        if stamp == self._seen and self._clock() < self._again:
            return
        self._seen, self._again = stamp, inf
        try:
            self._follow()
        except Exception as error:
            self._again = self._clock() + RETRY_SECONDS
            known = isinstance(error, InputError | OSError)
            line = "The new champion can't be opened, %s goes on answering: %s"
            logger.error(line, self.version, error_line(error), exc_info=None if known else error)

    def _follow(self) -> None:
        champion = self._registry.state().champion
        if champion == self.version:
            return
        self._take(self._registry.folder(champion))
        logger.info("The champion %s answers now, in place of %s", champion, self.version)
        self.version = champion

    def _loop(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            self.look()
