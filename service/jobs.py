"""Jobs: batches that are scored in the background. One thread of each worker takes them from the store, item by item.

A job belongs to a worker for as long as its lease; what a worker leaves behind when it dies is taken by another, or by
the next start. Each result is one transaction, and counts only while the lease is held.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from threading import Event, Lock, Thread
from time import monotonic
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from sqlalchemy import RowMapping

from model.types import InputError
from service.errors import ApiError, to_api_error
from service.feedback import iso_time
from service.schemas import Body, Failure, Problem, ScoreRequest
from service.store import MAX_TRIES, Claim, QueueFullError, Store, StoreUnavailableError

logger = logging.getLogger("bentoml.amends")

State = Literal["queued", "running", "done", "failed", "cancelled"]

POLL_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
FORGET_SECONDS: Final = 3600.0
# How long a worker that ends waits for its job thread to put its job back.
CLOSE_SECONDS: Final = 5.0
MAX_KEY: Final = 200
QUEUE_RETRY_SECONDS: Final = 60


class _SchemaOfItem:
    """Describes an item as the body of /v1/score; each is checked when its turn comes, so a bad one stays alone."""

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(TypeAdapter(ScoreRequest).core_schema)


class JobRequest(Body):
    """Items to score in the background, each as the body of a request to /v1/score."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {"content": "The kettle leaked, and nobody answered for weeks.", "brand": "Brightpot"},
                        {"thread": {"id": "t1", "utterances": [{"text": "A refund the next day. Great service."}]}},
                    ]
                }
            ]
        },
    )

    items: list[Annotated[Any, _SchemaOfItem()]] = Field(description="At most as many as /v1/model says.", min_length=1)


class Job(Body):
    """A job and how far it is."""

    id: int
    state: State
    total: int = Field(description="Items in all.")
    done: int = Field(description="Items that have a result.")
    failed: int = Field(description="Those of them that have an error.")
    created_at: str = Field(description="ISO 8601, UTC.")
    started_at: str | None
    finished_at: str | None
    error: Problem | None = Field(description="Why the job as a whole failed.")
    key: str | None = Field(description="Name of the API key that sent it; null where none was asked for.")


class JobList(Body):
    """Jobs, oldest first."""

    jobs: list[Job]
    next: int | None = Field(description="`after` of the next page; null: no more.")


class JobResult(BaseModel):
    """What /v1/score would have answered to one item: reports or an error."""

    item: int = Field(description="Place of the item in the job, from 0.")
    reports: list[dict[str, Any]] | None = None
    error: Problem | None = None


class JobResults(Body):
    """Results in the order of the items."""

    results: list[JobResult]
    next: int | None = Field(description="`after` of the next page; null: no more yet.")


class Observer(Protocol):
    """Who counts what happens. See service.metrics.ScoringMetrics."""

    def job_item(self, *, scored: bool) -> None:
        """Told of each item that has a result."""

    def queue(self, counts: dict[str, int]) -> None:
        """Told now and then how many jobs are queued and running."""


def submit(store: Store, items: Sequence[Any], caller: str, key: str | None, *, most_items: int, most: int) -> Job:
    """Queues a job. Raises InputError on too many items or a key that can't be used, ApiError 429 on a full queue."""
    if len(items) > most_items:
        raise InputError(
            "Too many items for one job; send several jobs or use the command line",
            code="too_long",
            field="items",
            got=f"{len(items)} items",
            expected=f"at most {most_items}",
        )
    if key is not None and not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise InputError(
            "This Idempotency-Key can't be used",
            code="bad_idempotency_key",
            field="Idempotency-Key",
            got=f"{len(key)} characters",
            expected=f"1 to {MAX_KEY} printable ASCII characters",
        )
    contents = [json.dumps(item, sort_keys=True, separators=(",", ":")) for item in items]
    digest = hashlib.sha256("\n".join(contents).encode()).hexdigest()
    try:
        return job_of(store.add_job(contents, caller, key, digest, most))
    except QueueFullError:
        problem = Problem(
            code="queue_full",
            message="Too many jobs are queued; try again later",
            got=f"{most} jobs queued or running",
            expected=f"less than {most}",
        )
        headers = {"Retry-After": str(QUEUE_RETRY_SECONDS)}
        raise ApiError(HTTPStatus.TOO_MANY_REQUESTS, problem, headers=headers) from None


def job_of(row: RowMapping) -> Job:
    """A row of the store as the API shows it."""
    times = {f"{name}_at": row[name] and iso_time(row[name]) for name in ("created", "started", "finished")}
    return Job(
        **{name: row[name] for name in ("id", "state", "total", "done", "failed")},
        **times,
        error=Problem.model_validate_json(row["error"]) if row["error"] else None,
        key=row["caller"] or None,
    )


class JobRunner:
    """Takes jobs from the store and works on them in a thread of its own.

    work(item, gone): the result of an item, which is JSON. Raises what /v1/score would, and TimeoutError soon after
    `gone` is set.
    """

    def __init__(
        self,
        store: Store,
        work: Callable[[str, Event], dict[str, Any]],
        observer: Observer,
        *,
        lease_seconds: float,
        job_days: float,
        feedback_days: float,
    ) -> None:
        self._store = store
        self._work = work
        self._observer = observer
        self._lease_seconds = lease_seconds
        self._job_days = job_days
        self._feedback_days = feedback_days
        self._closing = Event()
        self._wake = Event()
        self._lock = Lock()
        self._current: tuple[int, Event] | None = None
        self._forgotten = float("-inf")
        self._thread = Thread(target=self._loop, name="jobs", daemon=True)

    def start(self) -> None:
        """Begins to take jobs."""
        self._thread.start()

    def wake(self) -> None:
        """There is a new job: look now."""
        self._wake.set()

    def stop(self, number: int) -> None:
        """Stops at once if this job is the one in hand; the store knows already that it was cancelled."""
        with self._lock:
            if self._current and self._current[0] == number:
                self._current[1].set()

    def close(self) -> None:
        """Puts the job in hand back, so that another worker or the next start goes on with it, and ends the thread."""
        self._closing.set()
        self._wake.set()
        with self._lock:
            if self._current:
                self._current[1].set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)

    def _loop(self) -> None:
        pause = POLL_SECONDS
        while not self._closing.is_set():
            try:
                found = self._one_job()
                pause = POLL_SECONDS
            except StoreUnavailableError as error:
                logger.warning("Jobs wait for the database: %s", error)
                found, pause = False, min(2 * pause, LONGEST_PAUSE_SECONDS)
            except Exception:
                # The thread must outlive whatever a job does to it.
                logger.exception("A job was left to its lease")
                found, pause = False, LONGEST_PAUSE_SECONDS
            if not found:
                self._wake.wait(pause)
                self._wake.clear()

    def _one_job(self) -> bool:
        self._forget_old()
        self._observer.queue(self._store.queue())
        claim = self._store.claim(self._lease_seconds)
        if claim is None:
            return False
        self._observer.queue(self._store.queue())
        with self._in_hand(claim) as gone:
            try:
                self._run(claim, gone)
            except StoreUnavailableError:
                raise
            except Exception:
                logger.exception("Job %s failed", claim.job)
                problem = Problem(code="internal_error", message="The service failed; its log says why.")
                self._store.fail(claim, problem.model_dump_json())
        return True

    @contextmanager
    def _in_hand(self, claim: Claim) -> Iterator[Event]:
        """Keeps the lease while the job is worked on; the event that it gives is set when the work is to stop."""
        gone, over = Event(), Event()
        heart = Thread(target=self._keep, args=(claim, gone, over), name="job-lease", daemon=True)
        with self._lock:
            self._current = claim.job, gone
        if self._closing.is_set():
            gone.set()
        heart.start()
        try:
            yield gone
        finally:
            with self._lock:
                self._current = None
            over.set()
            heart.join()

    def _keep(self, claim: Claim, gone: Event, over: Event) -> None:
        while not over.wait(self._lease_seconds / 3):
            try:
                held = self._store.extend(claim, self._lease_seconds)
                self._observer.queue(self._store.queue())
            except StoreUnavailableError:
                # It may be back in time; if not, the lease runs out and the next result is refused.
                continue
            if not held:
                gone.set()
                return

    def _run(self, claim: Claim, gone: Event) -> None:
        tries = claim.tries
        for item in range(claim.done, claim.total):
            result = _given_up(tries) if tries > MAX_TRIES else self._result(claim, item, gone)
            if result is None:
                break
            scored = "error" not in result
            if not self._store.put(claim, item, json.dumps(result, separators=(",", ":")), scored=scored):
                break
            self._observer.job_item(scored=scored)
            tries = 1
        if self._closing.is_set():
            self._store.release(claim)

    def _result(self, claim: Claim, item: int, gone: Event) -> dict[str, Any] | None:
        """The result of an item; None where the job was cancelled or is another's by now."""
        content = self._store.content(claim, item)
        if content is None or gone.is_set():
            return None
        try:
            return self._work(content, gone)
        except Exception as error:
            if isinstance(error, TimeoutError) and gone.is_set():
                return None
            known = to_api_error(error)
            if known.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                logger.exception("Item %s of job %s failed", item, claim.job)
            return Failure(error=known.problem).model_dump()

    def _forget_old(self) -> None:
        if monotonic() < self._forgotten + FORGET_SECONDS:
            return
        jobs, items = self._store.forget(self._job_days, self._feedback_days)
        self._forgotten = monotonic()
        if jobs or items:
            logger.info("Deleted %s old jobs and %s old items of feedback", jobs, items)


def _given_up(tries: int) -> dict[str, Any]:
    problem = Problem(
        code="given_up",
        message="The service stopped each time while it scored this item",
        got=f"{tries - 1} tries",
        expected="an item that the service survives",
    )
    return Failure(error=problem).model_dump()
