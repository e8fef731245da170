"""Opens exports as streams: packed files, encodings, limits, and a note of everything that could not be read."""

import codecs
import gzip
import io
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import IO, Final

import zstandard

from model.types import InputError, Thread

_CHUNK: Final = 1 << 18
_FREE: Final = 10_000_000
"""Unpacked bytes that are always allowed, whatever the ratio: tiny files pack well."""
_WINDOW: Final = 1 << 31
"""Public dumps are packed with windows of 2 GB; memory is used only as far as such a file really reaches back."""
_SHOWN: Final = 20
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an export may ask of the machine.

    ratio: unpacked bytes for each packed one, counted from 10 MB on. record: bytes of one line, one XML record or one
    JSON document. nesting: depth of XML elements in a record.
    """

    ratio: int = 200
    record: int = 64_000_000
    nesting: int = 100


DEFAULT_LIMITS: Final = Limits()


@dataclass(slots=True)
class Notes:
    """What could not be read, to be handed over as warnings of the next thread.

    first: what was noted first. told: the first 20 in words. total: how many there were.
    """

    first: InputError | None = None
    told: list[str] = field(default_factory=list)
    total: int = 0
    _pending: list[str] = field(default_factory=list)
    _more: int = 0

    def add(self, error: InputError) -> None:
        """Notes something that was left out; the message says where it stands."""
        self.first = self.first or error
        self.total += 1
        if self.total <= _SHOWN:
            self.told.append(error.message)
        if len(self._pending) < _SHOWN:
            self._pending.append(error.message)
        else:
            self._more += 1

    def take(self) -> tuple[str, ...]:
        """The notes since the last call: the first 20 in words, the others as a number."""
        more = [f"and {self._more:,} more like these"] if self._more else []
        taken = (*self._pending, *more)
        self._pending, self._more = [], 0
        return taken


def with_notes(threads: Iterable[Thread], notes: Notes, name: str) -> Iterator[Thread]:
    """The threads, each with what was noted since the one before; one is held back, for notes at the very end.

    Raises the first noted error where there is no thread at all.
    """
    held: Thread | None = None
    for thread in threads:
        if held is not None:
            yield held
        held = _warned(thread, notes.take())
    if held is None:
        raise notes.first or InputError(
            f"{name} holds no comments and no posts",
            code="empty_thread",
            field=name,
            got="an export without texts",
            expected="at least one text",
        )
    yield _warned(held, notes.take())


def _warned(thread: Thread, warnings: tuple[str, ...]) -> Thread:
    return replace(thread, warnings=(*thread.warnings, *warnings)) if warnings else thread


def opened(file: IO[bytes], name: str, limits: Limits, notes: Notes, *, unpack: bool = True) -> io.BufferedReader:
    """The content of an open file, as UTF-8 where a byte order mark says else, and unpacked where it is gzip or
    Zstandard, if that is wanted.

    Reading raises InputError "compression_bomb" where it grows beyond the limit; a packed file that is cut off or
    broken ends early, with a note.
    """
    magic = file.read(4) if unpack else b""
    file.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        chunks = _guarded(gzip.GzipFile(fileobj=file).read1, file, name, limits, notes)
    elif magic == b"\x28\xb5\x2f\xfd":
        unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        chunks = _guarded(unpacker.stream_reader(file, read_across_frames=True).read1, file, name, limits, notes)
    else:
        chunks = iter(lambda: file.read(_CHUNK), b"")
    return reader_of(_as_utf8(chunks))


@contextmanager
def seekable(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """The file itself where it can seek, else a temporary one with its content: pipes can be read only once."""
    if file.seekable():
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy, _CHUNK)
        copy.seek(0)
        yield copy


def reader_of(chunks: Iterator[bytes]) -> io.BufferedReader:
    """A readable file over pieces of its content."""
    return io.BufferedReader(_Chunks(chunks), _CHUNK)


def _guarded(read: Callable[[int], bytes], file: IO[bytes], name: str, limits: Limits, notes: Notes) -> Iterator[bytes]:
    total = 0
    while True:
        try:
            chunk = read(_CHUNK)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError, MemoryError) as error:
            notes.add(
                InputError(
                    f"{name} is broken after {total:,} unpacked bytes: {str(error)[:100]}",
                    code="corrupt_file",
                    field=name,
                    got="a broken packed file",
                    expected="gzip or Zstandard",
                )
            )
            return
        if not chunk:
            return
        total += len(chunk)
        check_unpacked(total, file.tell(), name, limits)
        yield chunk


def check_unpacked(total: int, packed: int, name: str, limits: Limits) -> None:
    """Raises InputError "compression_bomb" where `total` unpacked bytes are too many for so many packed ones."""
    if total > _FREE and total > limits.ratio * max(packed, 1):
        raise InputError(
            f"{name} unpacks to more than {limits.ratio} times its size",
            code="compression_bomb",
            field=name,
            got=f"{total:,} bytes out of {packed:,}",
            expected=f"at most {limits.ratio} to 1",
        )


def _as_utf8(chunks: Iterator[bytes]) -> Iterator[bytes]:
    first = next(chunks, b"")
    while len(first) < 4 and (more := next(chunks, b"")):
        first += more
    mark, encoding = next(((mark, name) for mark, name in _BOMS if first.startswith(mark)), (b"", "utf-8"))
    first = first[len(mark) :]
    if encoding == "utf-8":
        yield first
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for chunk in chain([first], chunks):
        yield decoder.decode(chunk).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


class _Chunks(io.RawIOBase):
    """A readable file over an iterator of bytes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def lines(stream: IO[bytes], name: str, limits: Limits, notes: Notes) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers from 1; one that is too long is left out with a note."""
    number = 0
    while line := stream.readline(limits.record):
        number += 1
        if len(line) >= limits.record and not line.endswith(b"\n"):
            notes.add(too_long(f"{name}, line {number}", limits))
            while line and not line.endswith(b"\n"):
                line = stream.readline(_CHUNK)
        elif line.strip():
            yield number, line


def too_long(where: str, limits: Limits) -> InputError:
    """The error for a record over the limit."""
    return InputError(
        f"{where}: too long",
        code="too_large",
        field=where.rsplit(", ", 1)[-1],
        got=f"more than {limits.record:,} bytes",
        expected=f"at most {limits.record:,} bytes in one record",
    )
