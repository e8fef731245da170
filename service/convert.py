"""Turns pages, exports and tables into threads, one JSON object a line, whatever their size."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from model.read import iter_open, iter_threads
from model.reading.json import thread_to_dict
from model.reading.stream import seekable
from model.types import InputError, Thread
from service.files import error_line, replacing

SHOWN = 20
"""Warnings that are told for each file; all of them stand in the threads."""


def convert(
    files: Sequence[Path],
    out: Path | None,
    *,
    kind: str,
    brand: str | None,
    fields: Mapping[str, str],
    say: Callable[[str], None],
) -> int:
    """Writes the threads of all files to out, or to standard output, and says what each file held.

    "-" is standard input. Returns how many files could not be read to their end; what was read of them until then is
    kept. out becomes visible at the end, and not at all where no file could be used. Raises InputError where out can't
    be written or is one of the files.
    """
    for file in files:
        if out is not None and out.exists() and file.exists() and out.samefile(file):
            raise InputError(f"{out} is the input itself", code="bad_output", expected="another file")
    failed = written = 0
    with _sink(out) as sink:
        for file in files:
            name = "standard input" if str(file) == "-" else str(file)
            found: Counter[str] = Counter()
            try:
                for thread in _threads(file, kind, brand, fields or None):
                    sink.write(json.dumps(thread_to_dict(thread), ensure_ascii=False).encode("utf-8") + b"\n")
                    _count(found, thread, lambda warning, name=name: say(f"{name}: {warning}"))  # type: ignore[misc]
            except InputError as error:
                failed += 1
                say(error_line(error, name))
            written += found["threads"]
            if found:
                say(f"{name}: {_in_words(found)}")
        if not written:
            raise InputError("no file could be used", code="empty_thread", got="no threads", expected="a thread")
    if out is not None:
        say(f"wrote {out}: {_number(written, 'threads')}")
    return failed


def _threads(file: Path, kind: str, brand: str | None, fields: Mapping[str, str] | None) -> Iterator[Thread]:
    """The threads of a file, or of standard input ("-")."""
    if str(file) != "-":
        yield from iter_threads(file, format=kind, brand=brand, fields=fields)
        return
    with seekable(sys.stdin.buffer) as content:
        yield from iter_open(content, "standard input", format=kind, brand=brand, fields=fields)


@contextmanager
def _sink(out: Path | None) -> Iterator[IO[bytes]]:
    if out is None:
        yield sys.stdout.buffer
        return
    with replacing(out) as temporary, temporary.open("wb") as file:
        yield file


def _count(found: Counter[str], thread: Thread, warn: Callable[[str], None]) -> None:
    found["threads"] += 1
    for one in thread.utterances:
        found["posts" if one.kind == "post" else "other texts"] += 1
        for flag in one.flags:
            if flag in ("deleted", "spam", "unapproved", "duplicate_id", "orphan", "no_zone", "bad_time"):
                found[flag] += 1
    for warning in thread.warnings:
        found["warnings"] += 1
        if found["warnings"] <= SHOWN:
            warn(warning)


def _in_words(found: Counter[str]) -> str:
    first = [_number(found.pop(name, 0), name) for name in ("threads", "posts", "other texts")]
    warnings = _number(found.pop("warnings", 0), "warnings")
    flags = [f"{number:,} {flag}" for flag, number in found.most_common()]
    more = f" ({', '.join(flags)})" if flags else ""
    return f"{', '.join(first)}{more}, {warnings}"


def _number(number: int, name: str) -> str:
    return f"{number:,} {name.removesuffix('s') if number == 1 else name}"
