"""The database alone, in SQLite and in PostgreSQL."""

import multiprocessing
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url, text

import service.store as store_module
from model.types import BundleInfo, InputError
from service.serve import environment, prepare_store
from service.settings import Settings
from service.store import (
    HEAD,
    MIGRATIONS,
    JobEndedError,
    NewFeedback,
    QueueFullError,
    Store,
    StoreUnavailableError,
    absolute_url,
    metadata,
    open_existing,
    open_store,
)

BUNDLE = BundleInfo("1.2", "d" * 64)
LONG = 60.0


@pytest.fixture
def store(database):
    store = open_store(database)
    yield store
    store.close()


def queued(store: Store, items: int = 3, caller: str = "crm", key: str | None = None, most: int = 100) -> int:
    return store.add_job([f"item {i}" for i in range(items)], caller, key, "digest", most)["id"]


def finish(store: Store, claim) -> None:
    for item in range(claim.done, claim.total):
        assert store.put(claim, item, f'{{"n": {item}}}', scored=item != 1)


def test_the_tables_are_those_of_the_migrations(store):
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD
    with store._reads.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []


def test_feedback_comes_back_in_order(store):
    first = store.add_feedback([NewFeedback("sentiment", f'"{i}"') for i in range(5)], "crm", BUNDLE)
    second = store.add_feedback([NewFeedback("cue", '"z"')], "", BUNDLE)
    assert first == sorted(first)
    assert second[0] > first[-1]
    page = store.feedback(0, 4)
    assert [row["item"] for row in page.rows] == ['"0"', '"1"', '"2"', '"3"']
    assert page.after == first[3]
    rest = store.feedback(page.after, 4)
    assert [(row["caller"], row["bundle_version"], row["kind"]) for row in rest.rows] == [
        ("crm", "1.2", "sentiment"),
        ("", "1.2", "cue"),
    ]
    assert rest.after is None
    assert abs(rest.rows[-1]["received"] - time.time()) < LONG
    assert store.feedback(second[0], 4).rows == ()


def test_a_client_id_is_kept_once_for_each_caller(store):
    one, other = NewFeedback("cue", '"a"', "x"), NewFeedback("cue", '"b"', "x")
    plain = NewFeedback("cue", '"a"')
    numbers = store.add_feedback([one, plain, other, one, plain], "crm", BUNDLE)
    assert numbers[0] == numbers[3]
    assert numbers[2] is None
    assert len({*numbers} - {None}) == 3
    assert store.add_feedback([other, one], "crm", BUNDLE) == [None, numbers[0]]
    assert store.add_feedback([other], "desk", BUNDLE) != [None]
    assert len(store.feedback(0, 100).rows) == 4


def test_a_page_ends_early_where_rows_are_long(store, monkeypatch):
    monkeypatch.setattr(store_module, "PAGE_CHARACTERS", 250)
    numbers = store.add_feedback([NewFeedback("cue", "x" * 100) for _ in range(3)], "", BUNDLE)
    store.add_feedback([NewFeedback("cue", "x" * 1000)], "", BUNDLE)
    page = store.feedback(0, 10)
    assert (len(page.rows), page.after) == (2, numbers[1])
    assert len(store.feedback(numbers[1], 10).rows) == 1
    last = store.feedback(numbers[2], 10)
    assert (len(last.rows), last.after) == (1, None)


def test_readers_that_go_on_after_the_last_number_miss_nothing(store):
    """Numbers appear in their order, also while several write."""
    seen: list[int] = []
    stop = threading.Event()

    def read() -> None:
        while True:
            over = stop.is_set()
            page = store.feedback(seen[-1] if seen else 0, 7)
            seen.extend(row["id"] for row in page.rows)
            if over and not page.rows:
                return

    def write(n: int) -> list[int | None]:
        return store.add_feedback([NewFeedback("cue", f'"{n}"')] * 3, "crm", BUNDLE)

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(4) as pool:
        written = [number for numbers in pool.map(write, range(40)) for number in numbers]
    stop.set()
    reader.join()
    assert seen == sorted(written)


def test_a_job_from_end_to_end(store):
    number = queued(store)
    assert store.queue() == {"queued": 1, "running": 0}
    claim = store.claim(LONG)
    assert (claim.job, claim.total, claim.done, claim.tries) == (number, 3, 0, 1)
    assert store.claim(LONG) is None
    assert [store.content(claim, i) for i in range(4)] == ["item 0", "item 1", "item 2", None]
    assert store.job(number)["state"] == "running"
    finish(store, claim)
    job = store.job(number)
    assert (job["state"], job["done"], job["failed"], job["lease"]) == ("done", 3, 1, None)
    assert job["created"] <= job["started"] <= job["finished"]
    assert store.content(claim, 0) is None
    page = store.results(number, -1, 2)
    assert [(row["item"], row["result"]) for row in page.rows] == [(0, '{"n": 0}'), (1, '{"n": 1}')]
    assert page.after == 1
    assert store.results(number, 1, 2).after is None
    assert store.queue() == {"queued": 0, "running": 0}


def test_only_the_holder_of_the_lease_writes_and_each_result_once(store):
    queued(store)
    first = store.claim(0.05)
    assert store.put(first, 0, "{}", scored=True)
    assert not store.put(first, 0, "{}", scored=True)
    assert not store.put(first, 2, "{}", scored=True)
    time.sleep(0.1)
    second = store.claim(LONG)
    assert (second.job, second.done, second.tries) == (first.job, 1, 2)
    assert not store.put(first, 1, "{}", scored=True)
    assert not store.extend(first, LONG)
    store.release(first)
    assert not store.fail(first, "{}")
    assert store.extend(second, LONG)
    finish(store, second)
    assert [row["item"] for row in store.results(first.job, -1, 10).rows] == [0, 1, 2]


def test_a_lease_that_is_extended_is_not_taken(store):
    queued(store)
    claim = store.claim(0.3)
    for _ in range(5):
        time.sleep(0.1)
        assert store.extend(claim, 0.3)
        assert store.claim(LONG) is None


def test_a_job_that_was_put_back_goes_on_where_it_was(store):
    queued(store)
    claim = store.claim(LONG)
    assert store.put(claim, 0, "{}", scored=True)
    store.release(claim)
    again = store.claim(LONG)
    assert (again.job, again.done, again.tries) == (claim.job, 1, 1)
    assert again.lease != claim.lease


def test_the_tries_of_an_item_are_counted(store):
    queued(store)
    for tries in (1, 2, 3):
        claim = store.claim(0)
        assert claim.tries == tries
        time.sleep(0.01)
    assert store.put(claim, 0, "{}", scored=True)
    time.sleep(0.01)
    assert store.claim(0).tries == 2


def test_the_oldest_job_comes_first_and_nobody_gets_the_same(store):
    numbers = [queued(store) for _ in range(12)]
    with ThreadPoolExecutor(4) as pool:
        claims = list(pool.map(lambda _: store.claim(LONG), range(12)))
    assert sorted(claim.job for claim in claims) == numbers
    assert store.claim(LONG) is None


def test_cancel(store):
    waiting, running, done = (queued(store) for _ in range(3))
    assert store.cancel(waiting)["state"] == "cancelled"
    claim = store.claim(LONG)
    assert claim.job == running
    assert store.put(claim, 0, "{}", scored=True)
    job = store.cancel(running)
    assert (job["state"], job["done"]) == ("cancelled", 1)
    assert job["finished"] is not None
    assert not store.put(claim, 1, "{}", scored=True)
    assert not store.extend(claim, LONG)
    assert store.content(claim, 1) is None
    assert len(store.results(running, -1, 10).rows) == 1
    assert store.cancel(running)["state"] == "cancelled"
    finish(store, store.claim(LONG))
    with pytest.raises(JobEndedError):
        store.cancel(done)
    assert store.cancel(999) is None
    assert store.claim(LONG) is None


def test_a_failed_job_says_why(store):
    number = queued(store)
    assert store.fail(store.claim(LONG), '{"code": "x"}')
    assert (store.job(number)["state"], store.job(number)["error"]) == ("failed", '{"code": "x"}')


def test_an_idempotency_key_queues_once_for_each_caller(store):
    number = queued(store, key="march")
    assert queued(store, key="march") == number
    assert queued(store, key="march", caller="desk") != number
    with pytest.raises(InputError) as caught:
        store.add_job(["other"], "crm", "march", "other digest", 100)
    assert caught.value.code == "idempotency_key_reused"
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: queued(store, key="april"), range(8)))) == 1
    assert len(store.jobs(0, 100).rows) == 3


def test_a_full_queue_refuses(store):
    number = queued(store, most=1)
    with pytest.raises(QueueFullError):
        queued(store, most=1)
    store.cancel(number)
    assert queued(store, most=1) > number


def test_jobs_are_listed_page_by_page(store):
    numbers = [queued(store) for _ in range(5)]
    store.cancel(numbers[1])
    page = store.jobs(0, 3)
    assert [row["id"] for row in page.rows] == numbers[:3]
    assert page.after == numbers[2]
    assert [row["id"] for row in store.jobs(page.after, 3).rows] == numbers[3:]
    assert [row["id"] for row in store.jobs(0, 3, "cancelled").rows] == [numbers[1]]


def test_old_jobs_and_feedback_are_forgotten_and_their_numbers_stay_used(store):
    old, running, waiting = queued(store), queued(store), queued(store)
    finish(store, store.claim(LONG))
    assert store.claim(LONG).job == running
    (number,) = store.add_feedback([NewFeedback("cue", "{}", "x")], "", BUNDLE)
    assert store.forget(0, 0) == (0, 0)
    assert store.forget(1, 1) == (0, 0)
    time.sleep(0.02)
    assert store.forget(1e-7, 1e-7) == (1, 1)
    assert store.job(old) is None
    assert store.results(old, -1, 10).rows == ()
    assert [row["id"] for row in store.jobs(0, 10).rows] == [running, waiting]
    assert store.add_feedback([NewFeedback("cue", "{}", "x")], "", BUNDLE) > [number]


def test_sqlite_waits_for_the_disk(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    with store._reads.connect() as conn:
        settings = {
            n: conn.execute(text(f"PRAGMA {n}")).scalar() for n in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    store.close()


class Contended:
    """A connection to a new file that other processes are just opening, too."""

    def __init__(self, refusals: int, code: int) -> None:
        self.refusals, self.code, self.asked = refusals, code, []

    def execute(self, statement: str):
        if self.refusals:
            self.refusals -= 1
            error = sqlite3.OperationalError("no")
            error.sqlite_errorcode = self.code
            raise error
        self.asked.append(statement)
        return sqlite3.connect(":memory:").execute("SELECT 'delete'")


def test_a_new_file_that_others_are_opening_is_waited_for():
    contended = Contended(3, sqlite3.SQLITE_BUSY)
    store_module._use_wal(contended)
    assert contended.asked == ["PRAGMA journal_mode", "PRAGMA journal_mode = WAL"]
    with pytest.raises(sqlite3.OperationalError):
        store_module._use_wal(Contended(1, sqlite3.SQLITE_READONLY))


def opened(url: str, barrier, results) -> None:
    barrier.wait()
    try:
        store = open_store(url)
        results.put(store.add_feedback([NewFeedback("cue", "{}")], "", BUNDLE))
    except Exception as error:
        results.put(repr(error))


def test_several_processes_may_start_at_once(database):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    workers = [context.Process(target=opened, args=(database, barrier, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    numbers = sorted((results.get(timeout=60) for _ in workers), key=str)
    for worker in workers:
        worker.join()
    assert numbers == [[1], [2], [3]]


def test_a_newer_database_is_left_alone(database):
    store = open_store(database)
    with store._writes.begin() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    for opener in (open_store, open_existing):
        with pytest.raises(InputError, match="9999") as caught:
            opener(database)
        assert caught.value.code == "bad_database"


def test_only_a_whole_database_is_read_as_it_is(database):
    with pytest.raises(InputError):
        open_existing(database)
    open_store(database).close()
    store = open_existing(database)
    assert store.feedback(0, 1).rows == ()
    store.close()


@pytest.mark.parametrize(
    "url",
    [
        "no url",
        "mysql://user:secret@localhost/x",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////no/such/folder/a.db",
        "postgresql://user:secret@127.0.0.1:1/x",
        "postgresql+asyncpg://user:secret@127.0.0.1:1/x",
    ],
)
def test_a_database_that_can_not_be_used_is_named_and_no_password_told(url):
    for opener in (open_store, open_existing):
        with pytest.raises(InputError) as caught:
            opener(url)
        error = caught.value
        assert (error.code, error.field) == ("bad_database", "AMENDS_DATABASE_URL")
        assert "secret" not in f"{error.message} {error.got} {error.expected}"


def test_what_is_no_database_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no database, but the notes of somebody who needs them\n" * 100)
    with pytest.raises(InputError, match="not a database"):
        open_store(f"sqlite:///{path}")
    assert path.read_text().startswith("no database")


def test_the_settings_name_the_database(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    assert Settings().database == f"sqlite:///{tmp_path}/home/amends/amends.db"
    settings = Settings.from_env({"AMENDS_STATE": str(tmp_path / "new/state")})
    prepare_store(settings)
    assert (tmp_path / "new/state/amends.db").is_file()
    assert (tmp_path / "new/state").stat().st_mode & 0o077 == 0
    url = "postgresql://user:secret@db.example/amends"
    assert Settings.from_env({"AMENDS_DATABASE_URL": url}).database == url
    assert "secret" not in repr(Settings.from_env({"AMENDS_DATABASE_URL": url}))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as caught:
        prepare_store(Settings(state=tmp_path / "file/state"))
    assert caught.value.field == "AMENDS_STATE"


def test_paths_are_found_after_the_working_directory_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = {"AMENDS_STATE": "state", "AMENDS_DATABASE_URL": "sqlite:///mine.db", "XDG_CACHE_HOME": str(tmp_path)}
    env = environment(base, 3000, 1)
    assert env["AMENDS_STATE"] == str(tmp_path / "state")
    assert env["AMENDS_DATABASE_URL"] == f"sqlite:///{tmp_path}/mine.db"
    for other in ("no url", "sqlite://", "postgresql://user:secret@db.example/amends"):
        assert absolute_url(other) == other


def test_a_database_that_is_busy_for_too_long_is_unavailable(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "BUSY_SECONDS", 0.1)
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="locked"):
        store.add_feedback([NewFeedback("cue", "{}")], "", BUNDLE)
    assert store.feedback(0, 10).rows == ()
    other.execute("ROLLBACK")
    assert store.add_feedback([NewFeedback("cue", "{}")], "", BUNDLE) == [1]
    store.close()


def test_a_lost_connection_is_made_again(postgres, tmp_path):
    url = postgres(tmp_path)
    store = open_store(url)
    queued(store)
    admin = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as conn:
        conn.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    admin.dispose()
    assert store.queue() == {"queued": 1, "running": 0}
    store.close()
