"""The local engine of batch runs: one process a core, each with one thread and a shard at a time."""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any, Final, Protocol

from model.types import InputError
from service.batch_input import Unit
from service.batch_work import SINGLE, Opening, Result, Worker
from service.files import error_line

BORN_DEAD: Final = 3
"""Workers that may die one after the other before they have opened the model; then something is wrong with it."""
PATIENCE: Final = 3600.0
"""Seconds that a worker may take for a shard, and one more for each text; one that takes longer is ended."""


@dataclass(frozen=True, slots=True)
class Died:
    """What became of a shard whose worker is gone, in words."""

    reason: str


Outcome = tuple[Unit, Result | Died]


class Pool(Protocol):
    """Workers that take a shard each; the two engines differ in nothing else."""

    def free(self) -> int:
        """How many shards can be given now."""
        ...

    def give(self, unit: Unit) -> None:
        """Gives a shard to a free worker."""
        ...

    def wait(self, seconds: float) -> list[Outcome]:
        """What has become of shards that were given, at the latest after so many seconds.

        Raises InputError where workers can't open the model.
        """
        ...

    def close(self) -> None:
        """Ends all workers, whatever they do."""
        ...


class LocalPool:
    """Processes of this machine, connected by pipes; one that dies is replaced."""

    def __init__(self, workers: int, opening: Opening) -> None:
        self._opening = opening
        self._context = multiprocessing.get_context("spawn")
        self._born_dead = 0
        self._workers = [self._start(number) for number in range(workers)]

    def free(self) -> int:
        """See Pool.free."""
        return sum(w.free for w in self._workers)

    def give(self, unit: Unit) -> None:
        """See Pool.give."""
        worker = next(w for w in self._workers if w.free)
        worker.unit = unit
        worker.deadline = time.monotonic() + PATIENCE + unit.texts
        # If it has died meanwhile, wait() finds out.
        with contextlib.suppress(OSError):
            worker.pipe.send(unit)

    def wait(self, seconds: float) -> list[Outcome]:
        """See Pool.wait."""
        self._end_the_stuck()
        ready = connection.wait([w.pipe for w in self._workers], seconds)
        found: list[Outcome] = []
        for number, worker in enumerate(self._workers):
            if worker.pipe not in ready:
                continue
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                found += self._buried(number)
                continue
            self._born_dead = 0
            if isinstance(message, str):
                raise InputError(message, code="bad_bundle")
            if message is None:
                worker.opened = True
            elif worker.unit is not None:
                found.append((worker.unit, message))
                worker.unit = None
        return found

    def close(self) -> None:
        """See Pool.close."""
        for worker in self._workers:
            worker.pipe.close()
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()

    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [w.process.pid for w in self._workers if w.process.pid]

    def _buried(self, number: int) -> Iterator[Outcome]:
        worker = self._workers[number]
        worker.pipe.close()
        worker.process.join()
        reason = _ending(worker.process.exitcode)
        if not worker.opened:
            self._born_dead += 1
            if self._born_dead >= BORN_DEAD:
                raise InputError(f"the workers end while they open the model: {reason}", code="bad_bundle")
        self._workers[number] = self._start(number)
        if worker.unit is not None:
            yield worker.unit, Died(reason)

    def _end_the_stuck(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if worker.unit is not None and now > worker.deadline:
                worker.process.kill()

    def _start(self, number: int) -> "_Process":
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(theirs, self._opening, number), name=f"amends-batch-{number}", daemon=True
        )
        with _environment(SINGLE):
            process.start()
        theirs.close()
        return _Process(process, ours)


@dataclass(slots=True)
class _Process:
    process: Any
    pipe: Any
    opened: bool = False
    unit: Unit | None = None
    deadline: float = 0.0

    @property
    def free(self) -> bool:
        return self.opened and self.unit is None


def _work(pipe: Any, opening: Opening, number: int) -> None:
    """The life of a worker: opens the model, says so, and answers shards until nobody asks any more."""
    # A key press reaches all processes of a terminal; only the first of them decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _first_to_go()
    worker = _opened(pipe, opening, number)
    # The run is gone when its end of the pipe is: then nobody wants the result either.
    with contextlib.suppress(EOFError, OSError):
        while worker is not None:
            pipe.send(worker.score(pipe.recv()))


def _opened(pipe: Any, opening: Opening, number: int) -> Worker | None:
    devices = os.environ.get("CUDA_VISIBLE_DEVICES")
    chosen = devices.split(",") if devices else [str(n) for n in range(gpus())]
    if opening.device == "cuda" and chosen:
        os.environ["CUDA_VISIBLE_DEVICES"] = chosen[number % len(chosen)]
    worker, wrong = opened(opening)
    pipe.send(wrong)
    return worker


def opened(opening: Opening) -> tuple[Worker | None, str | None]:
    """A worker, or in words why it can't open the model."""
    try:
        return opening.open(), None
    except InputError as error:
        return None, error_line(error)
    except Exception as error:
        # Each library that a model is opened with has errors of its own; all of them end the run.
        return None, f"the model can't be opened: {type(error).__name__}: {str(error)[:300]}"


def gpus() -> int:
    """How many GPUs of NVIDIA this machine shows, without loading what would use them."""
    if not os.path.isdir("/dev"):
        return 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = sum(name.startswith("nvidia") and name[6:].isdigit() for name in os.listdir("/dev"))
    return min(found, len([v for v in visible.split(",") if v and v != "-1"])) if visible is not None else found


def _first_to_go() -> None:
    """Where memory runs out, a worker ends and not the run."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
        score.write("600")


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Variables that a child inherits; libraries read them when they are loaded."""
    before = {name: os.environ.get(name) for name in values}
    os.environ |= values
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in {s.value for s in signal.Signals} else str(-code)
        memory = " (out of memory?)" if name == "SIGKILL" else ""
        return f"the worker was ended by {name}{memory}"
    return f"the worker ended with code {code}"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
