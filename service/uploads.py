"""Files that come over HTTP as bytes in Base64, packed or not, read into threads."""

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from model.read import Limits, iter_threads
from model.types import InputError, Thread

UNPACKED: Final = Limits(ratio=50)
"""What strangers may ask of the machine: less than the command line allows."""


def threads_of_file(content: str, name: str | None, *, format: str, brand: str | None) -> Iterator[Thread]:  # noqa: A002
    """The threads of a file, one at a time. content: its bytes in Base64. name: its name, for the format and errors.

    Raises InputError where the content is no Base64, and as model.read.iter_threads does.
    """
    try:
        data = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(
            "content_base64 is no Base64",
            code="bad_base64",
            field="content_base64",
            got=f"a text of {len(content)} characters",
            expected="bytes in Base64",
        ) from None
    with TemporaryDirectory(prefix="amends-") as folder:
        path = Path(folder) / _safe(name)
        path.write_bytes(data)
        yield from iter_threads(path, format=format, brand=brand, limits=UNPACKED)


def _safe(name: str | None) -> str:
    """A name for the file without folders; the suffixes stay, as they help to find the format."""
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(c for c in last if c.isalnum() or c in "-_. ")[-80:].lstrip(". ")
    return kept or "file"
