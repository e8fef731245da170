"""The Ray engine of batch runs: the same worker as an actor, one shard a call, on any number of machines.

Actors and not Ray Data: docs/batch.md says why.
"""

import logging
import os
import socket
import time
from typing import Any, Final

from model.types import InputError
from service.batch_input import Unit
from service.batch_local import BORN_DEAD, Died, Outcome, opened
from service.batch_work import Opening, Result, Worker

LOOK_AROUND: Final = 5.0
"""Seconds after which it is looked whether the cluster has grown."""
REACH: Final = 20.0
"""Seconds that a cluster may take to answer."""


class Actor:
    """A worker on some machine of the cluster."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._worker: Worker | None = None

    def open(self) -> str | None:
        """Opens the model; what is wrong with it, None where all is well."""
        self._worker, wrong = opened(self._opening)
        return wrong

    def score(self, unit: Unit) -> Result:
        """See Worker.score."""
        if self._worker is None:
            raise RuntimeError("open() comes before score()")
        return self._worker.score(unit)


class RayPool:
    """Actors of a cluster: `workers` of them, or one for each CPU (GPU) that the cluster has at the moment.

    address: of a running cluster ("auto" or host:port), None to take RAY_ADDRESS or to start one on this machine.
    Actors that find no room wait, which makes an autoscaling cluster grow. One that dies with its process or its
    machine is replaced wherever there is room.
    """

    def __init__(self, workers: int | None, opening: Opening, address: str | None) -> None:
        self._ray = _ray()
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        _check_answers(address)
        try:
            self._ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False)
        except (ConnectionError, ValueError) as error:
            raise _no_cluster(address, error) from None
        gpu = opening.device == "cuda"
        self._kind = "GPU" if gpu else "CPU"
        self._actor = self._ray.remote(Actor).options(num_cpus=1, num_gpus=1 if gpu else 0, max_restarts=0)
        self._opening = opening
        self._wanted = workers
        self._idle: list[Any] = []
        self._opened: dict[Any, Any] = {}
        self._running: dict[Any, tuple[Any, Unit]] = {}
        self._born_dead = 0
        self._looked = -LOOK_AROUND
        self._fill()

    def free(self) -> int:
        """See Pool.free."""
        return len(self._idle)

    def give(self, unit: Unit) -> None:
        """See Pool.give."""
        actor = self._idle.pop()
        self._running[actor.score.remote(unit)] = (actor, unit)

    def wait(self, seconds: float) -> list[Outcome]:
        """See Pool.wait."""
        self._fill()
        waiting = [*self._running, *self._opened]
        if not waiting:
            time.sleep(seconds)
            return []
        ready, _ = self._ray.wait(waiting, num_returns=1, timeout=seconds, fetch_local=False)
        more, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)
        found: list[Outcome] = []
        for reference in dict.fromkeys([*ready, *more]):
            if reference in self._opened:
                self._has_opened(reference)
            else:
                found.append(self._has_scored(reference))
        return found

    def close(self) -> None:
        """See Pool.close."""
        self._ray.shutdown()

    def _has_opened(self, reference: Any) -> None:
        actor = self._opened.pop(reference)
        try:
            wrong = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._born_dead += 1
            self._ray.kill(actor)
            if self._born_dead >= BORN_DEAD:
                raise InputError(f"workers end while they open the model: {_first(error)}", code="bad_bundle") from None
            return
        if wrong is not None:
            raise InputError(wrong, code="bad_bundle")
        self._born_dead = 0
        self._idle.append(actor)

    def _has_scored(self, reference: Any) -> Outcome:
        actor, unit = self._running.pop(reference)
        try:
            result: Result = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            # Process, machine or object lost; whatever is left of the actor goes, and another takes its place.
            self._ray.kill(actor)
            return unit, Died(f"the worker was lost: {_first(error)}")
        self._idle.append(actor)
        return unit, result

    def _fill(self) -> None:
        """As many actors as are wanted; dead ones were taken out before."""
        now = time.monotonic()
        have = len(self._idle) + len(self._opened) + len(self._running)
        if self._wanted is None and now - self._looked < LOOK_AROUND:
            return
        self._looked = now
        wanted = self._wanted or max(1, int(self._ray.cluster_resources().get(self._kind, 0)))
        for _ in range(wanted - have):
            actor = self._actor.remote(self._opening)
            self._opened[actor.open.remote()] = actor


def _check_answers(address: str) -> None:
    """Ray itself asks for minutes before it gives up."""
    host, colon, port = address.rpartition(":")
    if not colon or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), REACH).close()
    except (OSError, ValueError) as error:
        raise _no_cluster(address, error) from None


def _no_cluster(address: str, error: Exception) -> InputError:
    return InputError(
        f"there is no Ray cluster at {address}",
        code="no_cluster",
        field="--address",
        got=_first(error),
        expected="host:port of a running cluster, or auto on one of its machines",
    )


def _first(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def _ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise InputError(
            "the engine ray needs the package ray",
            code="missing_package",
            got="the base install",
            expected='the ray extra: pip install "amends[ray]"',
        ) from error
    return ray
