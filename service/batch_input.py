"""What a batch run reads: finds its inputs, pins them, and cuts them as streams into shards of bounded size."""

import glob
import hashlib
import io
import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Final, cast

from model.read import iter_open
from model.reading.stream import Notes
from model.types import InputError, Thread
from service.files import BESIDE_PAGES, error_line

PAGES: Final = frozenset({".html", ".htm", ".xhtml", ".txt", ".text", ".md"})
"""Files that hold one thread each; several of them make a shard, and the workers read them."""
GROUP_FILES: Final = 32
GROUP_BYTES: Final = 4_000_000
SHARD_CHARS: Final = 4_000_000
"""Characters after which a shard is closed, however few texts they are."""
_BUFFERS: Final = 1 << 19
"""Bytes that the buffers between a file and its reader hold."""
MOST_NOTES: Final = 10_000
"""Records that can't be used between two threads and are told one by one; of more, their number is told."""
UNREACHABLE: Final = frozenset({"not_found", "not_readable"})
"""What may be mended without a change of the input, and is tried again by --resume."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was not scored: where it stands and why. thread: id, where it is a whole thread."""

    source: str
    place: str | None
    code: str
    reason: str
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A file or URL of the input. stamp: its time of change or its entity tag. problem: why it can't be used."""

    number: int
    name: str
    size: int
    stamp: str
    problem: Problem | None = None

    def pin(self) -> dict[str, Any]:
        """What must not change between a run and its resumption."""
        return {"name": self.name, "size": self.size, "stamp": self.stamp}


@dataclass(frozen=True, slots=True)
class Reading:
    """How inputs are read, see model.read.iter_open."""

    format: str = "auto"
    brand: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)

    def threads(self, file: IO[bytes], name: str, notes: Notes) -> Iterator[Thread]:
        """The threads of an open file, whose name or URL is `name`."""
        short = posixpath.basename(name.split("?")[0]) if "://" in name else Path(name).name
        return iter_open(file, short, format=self.format, brand=self.brand, fields=self.fields or None, notes=notes)


@dataclass(frozen=True, slots=True)
class Unit:
    """One shard's work: threads of one source, or pages that a worker reads first.

    name: "SOURCE-NUMBER". sources: first number and one past the last. size: bytes of input that it stands for.
    digest: of its content. last: nothing more comes of its sources. unreachable: a source could not be opened.
    """

    name: str
    sources: tuple[int, int]
    source: str
    threads: tuple[Thread, ...] = ()
    pages: tuple[tuple[str, bytes], ...] = ()
    problems: tuple[Problem, ...] = ()
    digest: str = ""
    size: int = 0
    last: bool = False
    unreachable: bool = False

    @property
    def texts(self) -> int:
        """How many utterances it holds, pages not counted."""
        return sum(len(t.utterances) for t in self.threads)


class Collected(Notes):
    """Keeps every record that could not be read as a Problem, instead of as warnings of the next thread."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self._source = source
        self._found: list[Problem] = []
        self._others = 0

    def add(self, error: InputError) -> None:
        """See Notes.add."""
        self.first = self.first or error
        if len(self._found) < MOST_NOTES:
            self._found.append(problem_of(error, self._source))
        else:
            self._others += 1

    def taken(self) -> list[Problem]:
        """The problems since the last call."""
        found, others = self._found, self._others
        self._found, self._others = [], 0
        if others:
            found.append(Problem(self._source, None, "more", f"and {others:,} more records that can't be used"))
        return found


def problem_of(error: Exception, source: str) -> Problem:
    """An error of a reader as a row of the errors table."""
    if isinstance(error, InputError):
        return Problem(source, error.field, error.code, error_line(error))
    code = "not_readable" if isinstance(error, OSError) else "unreadable"
    reason = error_line(error, source)
    return Problem(source, None, code, reason if isinstance(error, OSError) else f"{type(error).__name__}: {reason}")


# ------------------------------------------------------------------------------------------------------------- finding


def find_sources(names: Sequence[str], out: Path) -> list[Source]:
    """All files behind files, folders, globs and URLs, each once, in order; what is under `out` is left out.

    One that can't be used has a problem. Raises InputError where a URL's kind is not known.
    """
    found: dict[str, Source] = {}
    inside = os.path.realpath(out)
    for name in names:
        for source in _remote(name) if "://" in name else _local(name):
            key = source.name if "://" in name else os.path.realpath(source.name)
            if key != inside and not key.startswith(inside + os.sep):
                found.setdefault(key, source)
    return [replace(source, number=n) for n, source in enumerate(found.values())]


def _local(name: str) -> Iterator[Source]:
    matches = [name] if os.path.lexists(name) or not glob.has_magic(name) else sorted(glob.glob(name, recursive=True))
    if not matches:
        yield _missing(name, "no file fits")
    for match in matches:
        if os.path.isdir(match):
            yield from _inside(match)
        else:
            yield _file(match)


def _inside(folder: str) -> Iterator[Source]:
    """Files of a folder in order, without hidden ones and what browsers save beside a page ("page_files/")."""
    refused: list[OSError] = []
    empty = True
    for place, folders, files in os.walk(folder, onerror=refused.append):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and not f.endswith("_files"))
        for name in sorted(files):
            if not name.startswith(".") and not BESIDE_PAGES.search(name):
                empty = False
                yield _file(os.path.join(place, name))
    for error in refused:
        yield Source(0, str(error.filename), 0, "", problem_of(error, str(error.filename)))
    if empty and not refused:
        yield _missing(folder, "the folder holds no file")


def _file(path: str) -> Source:
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        return _missing(path, "does not exist")
    except OSError as error:
        return Source(0, path, 0, "", problem_of(error, path))
    if not os.path.isfile(path):
        return _missing(path, "is not a regular file")
    return Source(0, path, stat.st_size, str(stat.st_mtime_ns))


def _missing(name: str, reason: str) -> Source:
    return Source(0, name, 0, "", Problem(name, None, "not_found", f"{name}: {reason}"))


def _remote(name: str) -> Iterator[Source]:
    try:
        system, path = _system(name)
        if glob.has_magic(path):
            paths = sorted(system.glob(path))
        else:
            paths = sorted(system.find(path)) if system.isdir(path) else [path]
        if not paths:
            yield _missing(name, "no file fits")
        for one in paths:
            info = system.info(one)
            if info.get("type") == "directory":
                continue
            stamp = next((info[k] for k in ("ETag", "etag", "mtime", "LastModified", "created") if info.get(k)), "")
            yield Source(0, system.unstrip_protocol(one), int(info.get("size") or 0), str(stamp))
    except InputError:
        raise
    except Exception as error:
        # Every store has exceptions of its own; one that is down must not stop the other inputs.
        reason = str(error) or type(error).__name__
        yield Source(0, name, 0, "", Problem(name, None, "not_readable", f"{name}: {reason[:300]}"))


def _system(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"{url} can't be opened: {error}",
            code="unknown_protocol",
            field="INPUT",
            got=url.split("://")[0],
            expected="a path, or a URL that fsspec opens (s3:// needs the package s3fs, gs:// gcsfs)",
        ) from None
    return system, path


def _opened(source: Source) -> IO[bytes]:
    if "://" not in source.name:
        return open(source.name, "rb")
    system, path = _system(source.name)
    file: IO[bytes] = system.open(path, "rb")
    return file


# ------------------------------------------------------------------------------------------------------------- cutting


def cut(sources: Sequence[Source], reading: Reading, texts: int, finished: frozenset[int]) -> Iterator[Unit]:
    """The shards of all sources in order; the same input and options give the same shards.

    texts: utterances after which a shard is closed, always between two threads. finished: numbers of sources that are
    left out.
    """
    group: list[Source] = []
    for source in sources:
        page = (
            _suffix(source.name) in PAGES and source.size <= GROUP_BYTES and reading.format in ("auto", "html", "text")
        )
        full = len(group) == GROUP_FILES or sum(s.size for s in group) + source.size > GROUP_BYTES
        if group and (not page or full):
            yield from _paged(group, finished)
            group = []
        if page:
            group.append(source)
        elif source.number not in finished:
            yield from _streamed(source, reading, texts)
    if group:
        yield from _paged(group, finished)


def _suffix(name: str) -> str:
    return posixpath.splitext(name.split("?")[0] if "://" in name else name)[1].lower()


def _paged(group: Sequence[Source], finished: frozenset[int]) -> Iterator[Unit]:
    if all(s.number in finished for s in group):
        return
    pages: list[tuple[str, bytes]] = []
    problems: list[Problem] = []
    for source in group:
        try:
            if source.problem is None:
                with _opened(source) as file:
                    pages.append((source.name, file.read(GROUP_BYTES + 1)))
            else:
                problems.append(source.problem)
        except Exception as error:
            # A store may raise anything; the other pages go on.
            problems.append(problem_of(error, source.name))
    digest = hashlib.blake2b(digest_size=16)
    for name, content in pages:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + content + b"\0")
    yield Unit(
        name=_name(group[0].number, 0),
        sources=(group[0].number, group[-1].number + 1),
        source=group[0].name,
        pages=tuple(pages),
        problems=tuple(problems),
        digest=digest.hexdigest(),
        size=sum(s.size for s in group),
        last=True,
        unreachable=any(p.code in UNREACHABLE for p in problems),
    )


def _streamed(source: Source, reading: Reading, texts: int) -> Iterator[Unit]:
    held: Unit | None = None
    known = chars = 0
    at_once = False
    for number, piece in enumerate(_pieces(source, reading, texts)):
        chars += piece.chars
        # An export that has to be sorted is read to its end before its first thread is there, a small file as well.
        at_once = at_once or (number == 0 and piece.read >= source.size)
        size = max(_worked_through(source.size, piece.read, chars, number + 1, at_once=at_once) - known, 0)
        known += size
        if held is not None:
            yield held
        held = Unit(
            name=_name(source.number, number),
            sources=(source.number, source.number + 1),
            source=source.name,
            threads=tuple(piece.threads),
            problems=tuple(piece.problems),
            digest=_digest(piece.threads),
            size=size,
            unreachable=any(p.code in UNREACHABLE for p in piece.problems),
        )
    if held is not None:
        yield replace(held, size=held.size + source.size - known, last=True)


def _worked_through(size: int, read: int, chars: int, pieces: int, *, at_once: bool) -> int:
    """About how many of the `size` bytes of a source its pieces so far stand for; never all of them.

    read: bytes that were read, of which buffers may hold the last for pieces to come. chars: characters of the texts
    so far, which are fewer than the bytes they stood in, unless those were packed: then one more piece is expected.
    at_once: all bytes were read before the first piece.
    """
    least = 0 if at_once else read - _BUFFERS
    return max(min(chars, read, size * pieces // (pieces + 1)), least, 0)


def _name(source: int, number: int) -> str:
    return f"{source:06d}-{number:06d}"


def _digest(threads: Sequence[Thread]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for thread in threads:
        for one in thread.utterances:
            digest.update(f"{thread.id}\0{one.id}\0{one.text}\0".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


@dataclass(slots=True)
class _Piece:
    """Threads of a source, problems met on the way, bytes that had been read by then, characters of its texts."""

    threads: list[Thread] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    read: int = 0
    chars: int = 0


def _pieces(source: Source, reading: Reading, texts: int) -> Iterator[_Piece]:
    piece = _Piece(problems=[source.problem] if source.problem else [])
    notes = Collected(source.name)
    number = size = 0
    try:
        if source.problem is None:
            with _Counted(_opened(source)) as file:
                for thread in reading.threads(cast("IO[bytes]", file), source.name, notes):
                    own = sum(len(u.text) for u in thread.utterances)
                    if piece.threads and (number + len(thread.utterances) > texts or size + own > SHARD_CHARS):
                        yield piece
                        piece, number, size = _Piece(), 0, 0
                    piece.threads.append(thread)
                    piece.problems += notes.taken()
                    piece.read = min(file.count, source.size)
                    number, size = number + len(thread.utterances), size + own
                    piece.chars = size
    except Exception as error:
        # Whatever a reader stumbles over costs the rest of its own file, never the other inputs.
        if error is not notes.first:
            piece.problems.append(problem_of(error, source.name))
    piece.problems += notes.taken()
    yield piece


class _Counted(io.RawIOBase):
    """A file that counts the bytes that were read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.count = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        self.count += len(content)
        return len(content)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()
