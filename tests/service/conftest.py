"""Databases to test with: SQLite files, and PostgreSQL where a server can be had."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

NewDatabase = Callable[[Path], str]


def sqlite_file(folder: Path) -> str:
    return f"sqlite:///{folder}/{uuid4().hex}.db"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory) -> Iterator[NewDatabase]:
    """Makes a fresh database of a real PostgreSQL server, which ends with the tests."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    pgserver = pytest.importorskip("pgserver", reason="pgserver, which brings PostgreSQL, is not installed")
    folder = tmp_path_factory.mktemp("postgres")
    try:
        server = pgserver.get_server(folder, cleanup_mode="delete")
    except Exception as error:
        pytest.skip(f"PostgreSQL does not start here: {error}")

    def fresh(_: Path) -> str:
        name = f"amends_{uuid4().hex}"
        with psycopg.connect(server.get_uri(), autocommit=True) as conn:
            conn.execute(f'CREATE DATABASE "{name}"')
        return re.sub(r"/postgres(?=\?|$)", f"/{name}", server.get_uri())

    yield fresh
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path) -> str:
    """URL of a fresh and empty database."""
    new: NewDatabase = sqlite_file if request.param == "sqlite" else request.getfixturevalue("postgres")
    return new(tmp_path)
