"""Retraining as a job of the service: `amends retrain` in a process of its own, one at a time, behind all requests.

Each run has a folder: run.json, the feedback of its beginning, the folder of `amends retrain` and its log. The process
holds a lock for as long as it lives, which the system frees however it ends: no run is thought to be at work that is
not, whoever of server and process was killed.
"""

import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from time import sleep
from typing import IO, Any, Final, Literal

from pydantic import ConfigDict, Field

from service.errors import ApiError
from service.files import replacing
from service.schemas import Body, Problem
from service.serve import ROOT

logger = logging.getLogger("bentoml.amends")

State = Literal["running", "done", "failed", "cancelled", "interrupted"]
Task = Literal["sentiment", "conduct", "loyalty"]

PROGRESS: Final = "progress.json"
RUNS_KEPT: Final = 10
NICENESS: Final = "10"
# From here on an exit code of a shell means a signal.
SIGNALLED: Final = 128
# Keeps the exit code of its arguments, whoever still lives to ask for it.
SHELL: Final = '"$@"; echo $? > exit'
LOG_TAIL: Final = 4000
# How long a process that is told to end may take, and how often it is looked at.
ROUNDS: Final = 60
ROUND_SECONDS: Final = 0.05


class RetrainRequest(Body):
    """What to retrain, or which run to go on with."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"budget_minutes": 30}, {"resume": 1}]})

    task: Task = Field(default="sentiment", description="Which head learns from the feedback.")
    budget_minutes: float = Field(default=30, ge=1, le=1440, description="At most this long.")
    promote: bool = Field(default=True, description="Whether a model that passes the gate becomes the champion.")
    resume: int | None = Field(
        default=None,
        ge=1,
        le=2**31,
        description="Number of a run that was interrupted, failed or cancelled; it goes on.",
    )


class Retraining(Body):
    """A run and how far it is."""

    id: int
    state: State = Field(description="`interrupted`: it or the server was stopped; send its number as `resume`.")
    task: Task
    step: str | None = Field(description="What it does, in words.")
    share: float = Field(description="How much of it is done, from 0 to 1.")
    created_at: str = Field(description="ISO 8601, UTC.")
    started_at: str = Field(description="When it began or went on the last time.")
    finished_at: str | None
    champion: str = Field(description="Version that it started from.")
    version: str | None = Field(description="Version that came of it, in the registry.")
    label: str | None = Field(description="`champion` where it was promoted, else `challenger`.")
    decision: dict[str, Any] | None = Field(description="What the gate decided and why, with all its checks.")
    error: Problem | None = Field(description="Why it failed.")
    key: str | None = Field(description="Name of the API key that sent it; null where none was asked for.")


class RetrainingList(Body):
    """Runs, oldest first."""

    runs: list[Retraining]


@dataclass(frozen=True)
class Run:
    """run.json: what was asked for. champion: the version that it starts from."""

    id: int
    task: Task
    budget_minutes: float
    promote: bool
    champion: str
    key: str | None
    created_at: str
    started_at: str
    cancelled: bool = False


class Retrains:
    """The runs of a server. folder: where they are kept. line: the command of a run in its folder."""

    def __init__(self, folder: Path, line: Callable[[Run, Path], Sequence[str]] | None = None) -> None:
        self.folder = folder.absolute()
        self._at_work = self.folder / "running"
        self._line = line or command
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self, asked: RetrainRequest, champion: str, caller: str, feedback: Callable[[Path], object]
    ) -> Retraining:
        """Begins a run, or goes on with one. champion: the version to start from. feedback: writes it to a file.

        Raises ApiError 409 while another runs, and 404 where there is none to go on with.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "lock").open("a") as lock:
            if not _taken(lock, fcntl.LOCK_EX):
                raise _busy()
            self._at_work.unlink(missing_ok=True)
            if asked.resume is not None:
                run = self._to_resume(asked.resume)
            else:
                run = self._new(asked, champion, caller)
                feedback(self._of(run.id) / "feedback.jsonl")
                self._forget_old()
            self._launch(run, lock)
        return self.get(run.id)

    def get(self, number: int) -> Retraining:
        """One run. Raises ApiError 404 where there is none."""
        run, folder = self._read(number), self._of(number)
        state = self._state(run)
        progress = _read_json(folder / "out" / PROGRESS) or {}
        report = (_read_json(folder / "out" / "report.json") if state == "done" else None) or {}
        registered = report.get("registered") or {}
        return Retraining(
            id=number,
            state=state,
            task=run.task,
            step=progress.get("step"),
            share=1.0 if state == "done" else progress.get("share", 0.0),
            created_at=run.created_at,
            started_at=run.started_at,
            finished_at=_time_of(folder / "exit") if state in ("done", "failed") else None,
            champion=run.champion,
            version=registered.get("version"),
            label=("champion" if registered.get("promoted") else "challenger") if registered else None,
            decision=report.get("decision"),
            error=_failure(folder / "log") if state == "failed" else None,
            key=run.key,
        )

    def list(self) -> list[Retraining]:
        """All runs that are kept, oldest first."""
        return [self.get(number) for number in self._numbers() if (self._of(number) / "run.json").is_file()]

    def cancel(self, number: int) -> Retraining:
        """Ends a run at once; what it did so far stays. Raises ApiError 404, or 409 where it does not run."""
        run, running = self._read(number), self._running()
        if running is None or running[0] != number:
            raise _ended("This run has ended already", "id", number, "a run at work")
        self._write(replace(run, cancelled=True))
        self._end()
        return self.get(number)

    def close(self) -> None:
        """Stops the run that this worker began; it can be resumed.

        The process that was started may be gone already: whoever stops a server may end the children of its workers
        first, and what these have begun goes on. The lock says whether anything of the run lives.
        """
        running = self._running()
        if running is not None and self._process is not None and running[1] == self._process.pid:
            self._end()

    def _state(self, run: Run) -> State:
        running = self._running()
        if running is not None and running[0] == run.id:
            return "running"
        if run.cancelled:
            return "cancelled"
        # Not before: the code is written while the lock is still held.
        code = _read_text(self._of(run.id) / "exit")
        if not code or int(code) >= SIGNALLED:
            return "interrupted"
        return "failed" if int(code) else "done"

    def _running(self) -> tuple[int, int] | None:
        """The number of the run whose process lives, and that process."""
        try:
            with (self.folder / "lock").open() as lock:
                # Many may ask at once; whoever works holds it alone.
                number, process = ("" if _taken(lock, fcntl.LOCK_SH) else self._at_work.read_text("ascii")).split()
        except (FileNotFoundError, ValueError):
            return None
        return int(number), int(process)

    def _new(self, asked: RetrainRequest, champion: str, caller: str) -> Run:
        number = max(self._numbers(), default=0) + 1
        self._of(number).mkdir(mode=0o700)
        now = _now()
        return Run(number, asked.task, asked.budget_minutes, asked.promote, champion, caller or None, now, now)

    def _to_resume(self, number: int) -> Run:
        found = self.get(number)
        if found.state == "done":
            raise _ended("This run is done", "resume", number, "one that is not done")
        return replace(self._read(number), started_at=_now(), cancelled=False)

    def _launch(self, run: Run, lock: IO[str]) -> None:
        folder = self._of(run.id)
        (folder / "exit").unlink(missing_ok=True)
        self._write(run)
        nice = [found, "-n", NICENESS] if (found := shutil.which("nice")) else []
        line = [*nice, "sh", "-c", SHELL, "sh", *self._line(run, folder)]
        with (folder / "log").open("ab") as log:
            # The lock is the child's from now on: it ends with the last process that has it open.
            self._process = subprocess.Popen(
                line, cwd=folder, env=_environment(os.environ), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, pass_fds=(lock.fileno(),),
            )  # fmt: skip
        with replacing(self._at_work) as path:
            path.write_text(f"{run.id} {self._process.pid}", encoding="ascii")
        Thread(target=_wait, args=(self._process, run.id), name="retrain", daemon=True).start()

    def _end(self) -> None:
        """Ends the process at work with all that it began, also where it is gone itself.

        The lock says that something of it lives, so that the number of its group is no other's.
        """
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for _ in range(ROUNDS):
                running = self._running()
                if running is None:
                    return
                with suppress(ProcessLookupError):
                    os.killpg(running[1], sign)
                sleep(ROUND_SECONDS)

    def _forget_old(self) -> None:
        for number in self._numbers()[:-RUNS_KEPT]:
            shutil.rmtree(self._of(number), ignore_errors=True)

    def _numbers(self) -> Sequence[int]:
        try:
            return sorted(int(one.name) for one in self.folder.iterdir() if one.name.isdecimal())
        except FileNotFoundError:
            return []

    def _of(self, number: int) -> Path:
        return self.folder / str(number)

    def _read(self, number: int) -> Run:
        found = _read_json(self._of(number) / "run.json")
        if found is None:
            problem = Problem(code="no_such_job", message="There is no such run", field="id", got=str(number))
            raise ApiError(HTTPStatus.NOT_FOUND, problem)
        return Run(**found)

    def _write(self, run: Run) -> None:
        with replacing(self._of(run.id) / "run.json") as path:
            path.write_text(json.dumps(asdict(run)), encoding="utf-8")


def command(run: Run, folder: Path) -> list[str]:
    """`amends retrain` for a run in its folder."""
    bundle = run.champion if run.champion == "released" else f"models:{run.champion}"
    return [
        sys.executable, "-m", "service.cli", "retrain", "--from", str(folder / "feedback.jsonl"), "--task", run.task,
        "--budget", f"{run.budget_minutes:g}m", "--bundle", bundle, "--out", str(folder / "out"),
        *([] if run.promote else ["--no-promote"]),
    ]  # fmt: skip


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    return {**env, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))}


def _taken(lock: IO[str], kind: int) -> bool:
    """Whether the lock could be had. Whoever only looks holds it for an instant, so a second try is worth it."""
    for _ in range(5):
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
            return True
        except OSError:
            if kind == fcntl.LOCK_SH:
                return False
            sleep(0.02)
    return False


def _wait(process: subprocess.Popen[bytes], number: int) -> None:
    logger.info("Retraining %s ended with %s", number, process.wait())


def _busy() -> ApiError:
    problem = Problem(
        code="retraining", message="A run is at work already", got="a run at work", expected="one at a time"
    )
    return ApiError(HTTPStatus.CONFLICT, problem)


def _ended(message: str, field: str, number: int, expected: str) -> ApiError:
    problem = Problem(code="job_ended", message=message, field=field, got=str(number), expected=expected)
    return ApiError(HTTPStatus.CONFLICT, problem)


def switched_off() -> ApiError:
    """The answer where the settings do not allow retraining."""
    problem = Problem(
        code="retraining_off",
        message="This server does not retrain",
        got="AMENDS_RETRAIN unset",
        expected="AMENDS_RETRAIN=1",
    )
    return ApiError(HTTPStatus.CONFLICT, problem)


def _failure(log: Path) -> Problem:
    """The last line of the log, which is where a command says what was wrong."""
    lines = (_read_text(log) or "").strip()[-LOG_TAIL:].splitlines()
    said = lines[-1] if lines else ""
    known = said.startswith("amends: ")
    message = said.removeprefix("amends: ") if known else "The run failed; the server's folder of it has its log"
    return Problem(code="retraining_failed" if known else "internal_error", message=message)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _time_of(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="milliseconds")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
