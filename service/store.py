"""The service's database: feedback and jobs in SQLite or PostgreSQL. What it answered for is there after a crash.

Every change is one transaction. Times are seconds since 1970 by the clock of the database, so that servers on several
machines agree on when a lease ends.
"""

import sqlite3
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Double,
    Engine,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from model.types import BundleInfo, InputError

SETTING: Final = "AMENDS_DATABASE_URL"
DIALECTS: Final = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
MIGRATIONS: Final = Path(__file__).parent / "migrations"
# The newest of the migrations; a test compares the two.
HEAD: Final = "0001"

OPEN: Final = ("queued", "running")
ENDED: Final = ("done", "failed", "cancelled")
# Claims of one item before it is given up: an item that takes the whole process down must not do so for ever.
MAX_TRIES: Final = 5
# A page ends early at this size, so that an answer fits into memory whatever its rows hold.
PAGE_CHARACTERS: Final = 16_000_000
BUSY_SECONDS: Final = 30
CONNECT_SECONDS: Final = 10
WRITES: Final = "amends_writes"
# Locks of PostgreSQL: who adds rows, and who changes the tables.
FEEDBACK_LOCK, JOBS_LOCK, SCHEMA_LOCK = 720_801, 720_802, 720_803

metadata = MetaData()
_Number: Final = BigInteger().with_variant(Integer, "sqlite")

feedback = Table(
    "feedback",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("caller", String(200), nullable=False),
    Column("client_id", String(200)),
    Column("kind", String(20), nullable=False),
    Column("item", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("received", Double, nullable=False),
    Column("bundle_version", String(200), nullable=False),
    Column("bundle_digest", String(64), nullable=False),
    UniqueConstraint("caller", "client_id", name="feedback_client_id"),
    # Numbers of rows that were deleted must not come back: readers go on after the last one they saw.
    sqlite_autoincrement=True,
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("caller", String(200), nullable=False),
    Column("idempotency_key", String(200)),
    Column("digest", String(64), nullable=False),
    Column("state", String(20), nullable=False),
    Column("total", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("finished", Double),
    Column("error", Text),
    Column("lease", String(32)),
    Column("lease_until", Double),
    Column("tries", Integer, nullable=False),
    UniqueConstraint("caller", "idempotency_key", name="jobs_idempotency_key"),
    Index("jobs_state", "state"),
    sqlite_autoincrement=True,
)

job_items = Table(
    "job_items",
    metadata,
    Column("job", _Number, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("item", Integer, primary_key=True, autoincrement=False),
    Column("content", Text, nullable=False),
)

job_results = Table(
    "job_results",
    metadata,
    Column("job", _Number, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("item", Integer, primary_key=True, autoincrement=False),
    Column("result", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("scored", Boolean, nullable=False),
)


class StoreUnavailableError(Exception):
    """The database does not answer at the moment; nothing was stored."""


class QueueFullError(Exception):
    """There are as many jobs queued or running as may be."""


class JobEndedError(Exception):
    """The job has ended, so that it can't be cancelled any more."""


@dataclass(frozen=True, slots=True)
class NewFeedback:
    """An item to keep. item: canonical JSON. client_id: the caller's own name for it."""

    kind: str
    item: str
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this process works on as long as it holds the lease. done: items with a result; tries: of the next."""

    job: int
    lease: str
    total: int
    done: int
    tries: int


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in order. after: where the next page begins; None where there are no more rows yet."""

    rows: Sequence[RowMapping]
    after: int | None


class Store:
    """Feedback and jobs. Safe to use from several threads and processes. Methods may raise StoreUnavailableError."""

    def __init__(self, engine: Engine) -> None:
        self._reads = engine
        self._writes = engine.execution_options(**{WRITES: True})

    def close(self) -> None:
        """Closes the connections."""
        self._reads.dispose()

    def add_feedback(self, items: Sequence[NewFeedback], caller: str, bundle: BundleInfo) -> list[int | None]:
        """Keeps the items, all or none, and gives the number of each in order.

        An item whose client_id the caller has used before gets the number of the first; None where that one's content
        is another.
        """
        with self._transaction(writes=True) as conn:
            # One writer at a time: a number that appears after a higher one would be skipped by readers.
            _lock(conn, FEEDBACK_LOCK)
            names = {i.client_id for i in items if i.client_id is not None}
            found = conn.execute(
                select(feedback.c.client_id, feedback.c.id, feedback.c.item).where(
                    feedback.c.caller == caller, feedback.c.client_id.in_(names)
                )
            )
            known: dict[str, tuple[int, str]] = {name: (number, item) for name, number, item in found}
            new = _firsts(items, known)
            now = _now(conn)
            added = _numbers(conn, [_feedback_row(one, caller, bundle, now) for one in new.values()])
        numbers = dict(zip(new, added, strict=True))
        known |= {one.client_id: (numbers[i], one.item) for i, one in new.items() if one.client_id is not None}
        return [numbers[i] if i in numbers else _number_of(one, known) for i, one in enumerate(items)]

    def feedback(self, after: int, limit: int) -> Page:
        """Feedback with numbers above `after`, oldest first."""
        with self._transaction() as conn:
            return _page(conn, feedback, feedback.c.id, after, limit)

    def add_job(self, contents: Sequence[str], caller: str, key: str | None, digest: str, most: int) -> RowMapping:
        """Queues a job with an item per content. Raises QueueFullError where `most` jobs are queued or running.

        key: where the caller has sent the same one before, the job of then is given and nothing queued. digest: tells
        whether that job had the same contents; raises InputError where it had not.
        """
        with self._transaction(writes=True) as conn:
            _lock(conn, JOBS_LOCK)
            if key is not None and (known := _job(conn, jobs.c.caller == caller, jobs.c.idempotency_key == key)):
                _check_same(known, digest)
                return known
            waiting = conn.execute(select(func.count()).select_from(jobs).where(jobs.c.state.in_(OPEN))).scalar_one()
            if waiting >= most:
                raise QueueFullError
            row = {
                "caller": caller,
                "idempotency_key": key,
                "digest": digest,
                "state": "queued",
                "total": len(contents),
                "done": 0,
                "failed": 0,
                "created": _now(conn),
                "tries": 0,
            }
            number = conn.execute(insert(jobs).values(row).returning(jobs.c.id)).scalar_one()
            items = [{"job": number, "item": i, "content": content} for i, content in enumerate(contents)]
            conn.execute(insert(job_items), items)
            return _known(conn, number)

    def job(self, number: int) -> RowMapping | None:
        """One job."""
        with self._transaction() as conn:
            return _job(conn, jobs.c.id == number)

    def jobs(self, after: int, limit: int, state: str | None = None) -> Page:
        """Jobs with numbers above `after`, oldest first."""
        with self._transaction() as conn:
            conditions = [jobs.c.state == state] if state else []
            rows = conn.execute(
                select(jobs).where(jobs.c.id > after, *conditions).order_by(jobs.c.id).limit(limit + 1)
            ).mappings().all()  # fmt: skip
            return Page(rows[:limit], rows[limit - 1]["id"] if len(rows) > limit else None)

    def results(self, number: int, after: int, limit: int) -> Page:
        """Results of a job's items above `after`, in order."""
        with self._transaction() as conn:
            return _page(conn, job_results, job_results.c.item, after, limit, job_results.c.job == number)

    def cancel(self, number: int) -> RowMapping | None:
        """Cancels a job and forgets what was left of it; its results stay. Cancelled once more it stays as it is.

        Raises JobEndedError where it is done or has failed.
        """
        with self._transaction(writes=True) as conn:
            job = _job(conn, jobs.c.id == number, lock=True)
            if job is None or job["state"] == "cancelled":
                return job
            if job["state"] in ENDED:
                raise JobEndedError
            self._end(conn, number, "cancelled")
            return _known(conn, number)

    def claim(self, seconds: float) -> Claim | None:
        """Takes the oldest job that is queued, or whose lease has run out, for so many seconds."""
        with self._transaction(writes=True) as conn:
            now = _now(conn)
            free = or_(jobs.c.state == "queued", and_(jobs.c.state == "running", jobs.c.lease_until < now))
            job = conn.execute(
                select(jobs).where(free).order_by(jobs.c.id).limit(1).with_for_update(skip_locked=True)
            ).mappings().first()  # fmt: skip
            if job is None:
                return None
            claim = Claim(job["id"], uuid4().hex, job["total"], job["done"], job["tries"] + 1)
            conn.execute(
                update(jobs)
                .where(jobs.c.id == claim.job)
                .values(
                    state="running",
                    started=func.coalesce(jobs.c.started, now),
                    lease=claim.lease,
                    lease_until=now + seconds,
                    tries=claim.tries,
                )
            )
            return claim

    def extend(self, claim: Claim, seconds: float) -> bool:
        """Keeps the lease for so many seconds from now; False where it is lost or the job was cancelled."""
        with self._transaction(writes=True) as conn:
            return _change(conn, claim, lease_until=_now(conn) + seconds)

    def release(self, claim: Claim) -> None:
        """Gives a job back, so that another worker or the next start goes on with it at once."""
        with self._transaction(writes=True) as conn:
            _change(conn, claim, state="queued", lease=None, lease_until=None, tries=jobs.c.tries - 1)

    def content(self, claim: Claim, item: int) -> str | None:
        """What an item of the job holds; None where the job was cancelled or taken by another."""
        with self._transaction() as conn:
            query = select(job_items.c.content).where(job_items.c.job == claim.job, job_items.c.item == item)
            return conn.execute(query).scalar_one_or_none()

    def put(self, claim: Claim, item: int, result: str, *, scored: bool) -> bool:
        """Keeps the result of an item, and ends the job with its last one; False where the lease is lost.

        Items come in order, so that `done` says which is next.
        """
        with self._transaction(writes=True) as conn:
            values = {"done": item + 1, "failed": jobs.c.failed + int(not scored), "tries": 1}
            if not _change(conn, claim, jobs.c.done == item, **values):
                return False
            row = {"job": claim.job, "item": item, "result": result, "size": len(result), "scored": scored}
            conn.execute(insert(job_results).values(row))
            if item + 1 == claim.total:
                self._end(conn, claim.job, "done")
            return True

    def fail(self, claim: Claim, error: str) -> bool:
        """Ends a job that can't be run. error: the problem as JSON."""
        with self._transaction(writes=True) as conn:
            if held := _change(conn, claim):
                self._end(conn, claim.job, "failed", error)
            return held

    def _end(self, conn: Connection, number: int, state: str, error: str | None = None) -> None:
        ended = {"state": state, "finished": _now(conn), "lease": None, "lease_until": None, "error": error}
        conn.execute(update(jobs).where(jobs.c.id == number).values(ended))
        conn.execute(delete(job_items).where(job_items.c.job == number))

    def queue(self) -> dict[str, int]:
        """How many jobs are queued and how many running."""
        with self._transaction() as conn:
            query = select(jobs.c.state, func.count()).where(jobs.c.state.in_(OPEN)).group_by(jobs.c.state)
            counts = {str(state): int(count) for state, count in conn.execute(query)}
        return {state: counts.get(state, 0) for state in OPEN}

    def forget(self, job_days: float, feedback_days: float) -> tuple[int, int]:
        """Deletes jobs that ended, and feedback that came, longer ago than that; 0 keeps all. Gives both counts."""
        with self._transaction(writes=True) as conn:
            now = _now(conn)
            ended = and_(jobs.c.state.in_(ENDED), jobs.c.finished < now - job_days * 86400)
            old = feedback.c.received < now - feedback_days * 86400
            return (
                conn.execute(delete(jobs).where(ended)).rowcount if job_days else 0,
                conn.execute(delete(feedback).where(old)).rowcount if feedback_days else 0,
            )

    @contextmanager
    def _transaction(self, *, writes: bool = False) -> Iterator[Connection]:
        try:
            with (self._writes if writes else self._reads).begin() as conn:
                yield conn
        except (OperationalError, PoolTimeout) as error:
            raise StoreUnavailableError(_first_line(error)) from error


def open_store(url: str) -> Store:
    """The store at a URL, with its tables made or brought up to date.

    Raises InputError, which never repeats a password, where the database can't be opened or used.
    """
    engine = _engine(url)
    try:
        _migrate(engine)
    except InputError:
        engine.dispose()
        raise
    except DBAPIError as error:
        engine.dispose()
        raise _unusable(engine.url, _first_line(error)) from None
    return Store(engine)


def revision(url: str) -> str | None:
    """Version of the tables of the database at a URL as it is, None without tables; nothing is made or changed.

    Raises InputError, which never repeats a password, where there is none or it can't be opened.
    """
    engine = _engine(url)
    try:
        return _existing_revision(engine)
    finally:
        engine.dispose()


def _existing_revision(engine: Engine) -> str | None:
    name = engine.url.database
    if engine.dialect.name == "sqlite" and name and not Path(name).is_file():
        raise _unusable(engine.url, "there is no such file")
    try:
        with engine.connect() as conn:
            return _revision(conn)
    except DBAPIError as error:
        engine.dispose()
        raise _unusable(engine.url, _first_line(error)) from None


def open_existing(url: str) -> Store:
    """The store at a URL as it is, for reading. Raises InputError where there is none, or one of another version."""
    engine = _engine(url)
    found = _existing_revision(engine)
    if found != HEAD:
        engine.dispose()
        raise _unusable(engine.url, f"its tables are of version {found or 'none'} and not {HEAD}")
    return Store(engine)


def absolute_url(url: str) -> str:
    """The URL with the path of an SQLite file made absolute; any other text as it is."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return url
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return url
    return parsed.set(database=str(Path(parsed.database).resolve())).render_as_string(hide_password=False)


def _engine(url: str) -> Engine:
    parsed = _parsed(url)
    try:
        if parsed.drivername == "sqlite":
            engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS})
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        return create_engine(
            parsed,
            connect_args={"connect_timeout": CONNECT_SECONDS, "options": f"-c lock_timeout={BUSY_SECONDS}s"},
            pool_pre_ping=True,
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise InputError(
            f"{SETTING}: PostgreSQL needs the package {getattr(error, 'name', None) or 'psycopg'}",
            code="missing_package",
            field=SETTING,
            got="the base install",
            expected='the postgres extra: pip install -e ".[postgres]"',
        ) from None


def _parsed(url: str) -> URL:
    expected = "sqlite:////folder/amends.db or postgresql://user:password@host/name"
    try:
        parsed = make_url(url)
    except ArgumentError:
        message = f"{SETTING} is no URL of a database"
        raise InputError(
            message, code="bad_database", field=SETTING, got="a text that is none", expected=expected
        ) from None
    backend = parsed.get_backend_name()
    if backend not in DIALECTS or (backend == "sqlite" and parsed.database in (None, "", ":memory:")):
        got = backend if backend not in DIALECTS else "SQLite without a file"
        raise InputError(
            f"{SETTING}: can't keep anything in {got}", code="bad_database", field=SETTING, got=got, expected=expected
        )
    return parsed.set(drivername=DIALECTS[backend])


def _prepare_sqlite(connection: Any, _: object) -> None:
    # Transactions are begun by _begin_sqlite and not by the driver, which begins some too late.
    connection.isolation_level = None
    _use_wal(connection)
    # In WAL mode NORMAL may lose the last transactions when the machine loses its power.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _use_wal(connection: Any) -> None:
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # SQLite does not wait here for another process that opens the same new file: its timeout is for reads
            # and writes alone.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.02)


def _begin_sqlite(conn: Connection) -> None:
    # A transaction that reads first and writes later can't wait for another writer: it would have to start again.
    conn.exec_driver_sql("BEGIN IMMEDIATE" if conn.get_execution_options().get(WRITES) else "BEGIN")


def _migrate(engine: Engine) -> None:
    """Brings the tables up to date, one process at a time."""
    with engine.execution_options(**{WRITES: True}).begin() as conn:
        _lock(conn, SCHEMA_LOCK)
        found = _revision(conn)
        if found == HEAD:
            return
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config(attributes={"connection": conn})
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        try:
            command.upgrade(config, "head")
        except CommandError:
            raise _unusable(engine.url, f"its tables are of version {found}, which a newer Amends has made") from None


def _revision(conn: Connection) -> str | None:
    if not inspect(conn).has_table("alembic_version"):
        return None
    return conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _unusable(url: URL, reason: str) -> InputError:
    place = str(url.database) if url.get_backend_name() == "sqlite" else f"{url.host or 'local'}/{url.database}"
    return InputError(
        f"{SETTING}: can't use the database {place}: {reason}",
        code="bad_database",
        field=SETTING,
        got=reason,
        expected="a database that can be read and written",
    )


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def _lock(conn: Connection, name: int) -> None:
    """Until the end of the transaction. In SQLite every transaction that writes is alone already."""
    if conn.dialect.name == "postgresql":
        conn.execute(select(func.pg_advisory_xact_lock(name)))


def _now(conn: Connection) -> float:
    if conn.dialect.name == "postgresql":
        return float(conn.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())
    return time.time()


def _firsts(items: Sequence[NewFeedback], known: Container[str]) -> dict[int, NewFeedback]:
    """The items that are not there yet, by their place; the first of those that share a client_id."""
    seen: set[str] = set()
    new = {}
    for i, one in enumerate(items):
        if one.client_id is None or not (one.client_id in known or one.client_id in seen):
            new[i] = one
            seen |= {one.client_id} if one.client_id is not None else set()
    return new


def _numbers(conn: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[int]:
    if not rows:
        return []
    return conn.scalars(insert(feedback).returning(feedback.c.id, sort_by_parameter_order=True), rows).all()


def _number_of(one: NewFeedback, known: Mapping[str, tuple[int, str]]) -> int | None:
    number, item = known[one.client_id or ""]
    return number if item == one.item else None


def _feedback_row(one: NewFeedback, caller: str, bundle: BundleInfo, now: float) -> dict[str, Any]:
    return {
        "caller": caller,
        "client_id": one.client_id,
        "kind": one.kind,
        "item": one.item,
        "size": len(one.item),
        "received": now,
        "bundle_version": bundle.version,
        "bundle_digest": bundle.digest,
    }


def _job(conn: Connection, *conditions: ColumnElement[bool], lock: bool = False) -> RowMapping | None:
    query = select(jobs).where(*conditions)
    return conn.execute(query.with_for_update() if lock else query).mappings().one_or_none()


def _known(conn: Connection, number: int) -> RowMapping:
    return conn.execute(select(jobs).where(jobs.c.id == number)).mappings().one()


def _change(conn: Connection, claim: Claim, *conditions: ColumnElement[bool], **values: Any) -> bool:
    """Changes the claimed job unless the lease is lost."""
    held = and_(jobs.c.id == claim.job, jobs.c.state == "running", jobs.c.lease == claim.lease, *conditions)
    # Without values the row is still locked, so that nobody takes it before the transaction ends.
    return conn.execute(update(jobs).where(held).values(values or {"lease": claim.lease})).rowcount == 1


def _check_same(job: RowMapping, digest: str) -> None:
    if job["digest"] != digest:
        raise InputError(
            "This Idempotency-Key was sent before with other items",
            code="idempotency_key_reused",
            field="Idempotency-Key",
            got=f"other items than those of job {job['id']}",
            expected="the same items, or a key that is new",
        )


def _page(
    conn: Connection, table: Table, key: Column[int], after: int, limit: int, *conditions: ColumnElement[bool]
) -> Page:
    """Rows of a table that has a size column, as many as `limit` and PAGE_CHARACTERS let in, and at least one."""
    ahead = conn.execute(
        select(key, table.c.size).where(key > after, *conditions).order_by(key).limit(limit + 1)
    ).all()  # fmt: skip
    last, characters = None, 0
    for number, size in ahead[:limit]:
        characters += size
        if last is not None and characters > PAGE_CHARACTERS:
            break
        last = number
    if last is None:
        return Page((), None)
    rows = conn.execute(select(table).where(key > after, key <= last, *conditions).order_by(key)).mappings().all()
    return Page(rows, last if last != ahead[-1][0] else None)
