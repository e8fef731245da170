"""Files of the commands: results that a reader never meets half, and errors that say where in one line."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from model.types import InputError

BESIDE_PAGES: Final = re.compile(
    r"\.(?:css|js|mjs|map|png|jpe?g|gif|svg|ico|webp|avif|woff2?|ttf|otf|eot|mp[34]|webm|pdf|zip|part)$", re.IGNORECASE
)
"""Names of what lies beside saved pages and is none itself."""


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


def error_line(error: Exception, name: str | None = None) -> str:
    """An error as one line: where, what happened, what was got and what was expected."""
    if isinstance(error, OSError):
        where = error.filename or name
        what = error.strerror or str(error)
        return _one_line(f"{where}: {what}" if where else what)
    if not isinstance(error, InputError):
        return _one_line(f"{name or 'input'}: {error}")
    message = error.message
    details = (("got", error.got), ("expected", error.expected))
    missing = [f"{word} {value}" for word, value in details if value and value not in message]
    if name and name != "-" and name not in message:
        # The readers name a file without its folder.
        message = (
            os.path.join(os.path.dirname(name), message)
            if message.startswith(Path(name).name)
            else f"{name}: {message}"
        )
    return _one_line("; ".join([message, *missing]))


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
