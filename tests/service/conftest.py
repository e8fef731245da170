"""Databases to test with: SQLite files, and PostgreSQL where a server can be had."""

import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

NewDatabase = Callable[[Path], str]


def started(pgserver: Any, folder: Path) -> Any:
    """A server in that folder. pgserver gives up after ten seconds, though a busy machine takes longer."""
    for _ in range(5):
        try:
            return pgserver.get_server(folder, cleanup_mode="delete")
        except subprocess.TimeoutExpired:
            # It starts all the same; the next try finds it running.
            pgserver.postgres_server.PostgresServer._instances.clear()
    raise TimeoutError("it is too slow")


def sqlite_file(folder: Path) -> str:
    return f"sqlite:///{folder}/{uuid4().hex}.db"


@pytest.fixture(scope="session")
def postgres() -> Iterator[NewDatabase]:
    """Empties the database of a real PostgreSQL server, which ends with the tests."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    pgserver = pytest.importorskip("pgserver", reason="pgserver, which brings PostgreSQL, is not installed")
    # Run as root, the server is another user, whom the folders of pytest are closed to as soon as pytest starts again.
    folder = Path(tempfile.mkdtemp(prefix="amends-postgres-"))
    try:
        server = started(pgserver, folder)
    except Exception as error:
        pytest.skip(f"PostgreSQL does not start here: {error}")

    def fresh(_: Path) -> str:
        with psycopg.connect(server.get_uri(), autocommit=True) as conn:
            conn.execute("DROP SCHEMA public CASCADE")
            conn.execute("CREATE SCHEMA public")
        return server.get_uri()

    yield fresh
    # At once, without writing out what nobody needs any more.
    postmaster = psutil.Process(server.get_pid())
    postmaster.send_signal(signal.SIGQUIT)
    postmaster.wait(30)
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path) -> str:
    """URL of a fresh and empty database."""
    new: NewDatabase = sqlite_file if request.param == "sqlite" else request.getfixturevalue("postgres")
    return new(tmp_path)
