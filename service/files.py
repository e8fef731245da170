"""Writes results so that a reader never meets half a file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model.types import InputError


def check_output(path: Path) -> None:
    """Raises InputError unless a file can be put at path; meant to be asked before any work is done."""
    if not path.parent.is_dir():
        raise InputError(
            f"{path}: the folder {path.parent} does not exist",
            code="bad_output",
            expected="a path in an existing folder",
        )
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is not a regular file", code="bad_output", expected="the name of a file")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary name beside path, which becomes path at the end; after an error nothing is left or changed."""
    check_output(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
