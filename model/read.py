"""Reads what people published (a page, a scrape, an export) into threads: finds the format and calls its reader."""

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

from model.reading.bytes import MAX_BYTES, check_size, check_text, decode
from model.reading.delimited import delimiter_of
from model.reading.html import read_html
from model.reading.json import thread_from_dict
from model.reading.objects import SHAPES
from model.reading.rows import Rows, csv_rows, parquet_rows, read_json_values, read_rows
from model.reading.stream import DEFAULT_LIMITS, Limits, Notes, opened, seekable, with_notes
from model.reading.table import SUFFIXES
from model.reading.text import read_text
from model.reading.warc import read_warc
from model.reading.xml import read_xml, xml_root
from model.types import InputError, Thread

__all__ = ["FORMATS", "MAX_BYTES", "Limits", "iter_open", "iter_threads", "read", "read_file", "thread_from_dict"]

FORMATS: Final = ("auto", "html", "text", "jsonl", "csv", "parquet", "wxr", "disqus", "feed", "warc", *SHAPES)
_PAGE_SUFFIXES: Final = {
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
}
_PACKED: Final = {".gz", ".zst", ".zstd"}
_XML_ROOTS: Final = {"rss": "feed", "feed": "feed", "disqus": "disqus", "RDF": "feed"}
_HTML: Final = re.compile(r"<!doctype html|<html[\s>]|<body[\s>]|<head[\s>]", re.IGNORECASE)
_TAGS: Final = re.compile(r"</(?:p|div|li|article|section|span|a|td|h[1-6])>", re.IGNORECASE)
_SNIFFED: Final = 20_000


def iter_threads(
    path: Path | str,
    *,
    format: str = "auto",  # noqa: A002
    brand: str | None = None,
    fields: Mapping[str, str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    notes: Notes | None = None,
) -> Iterator[Thread]:
    """The threads of a file, one at a time; memory does not grow with the file, but with its largest thread.

    format: one of FORMATS; auto goes by the content, then by the suffix. gzip and Zstandard are unpacked. fields:
    columns of tables, see model.reading.rows.FIELDS, such as {"text": "body", "thread": "post_id"}. Exports whose
    records stand in any order are sorted in a temporary file first. What can't be read is left out, and said in the
    warnings of the next thread and in `notes`. Raises InputError where nothing can be used, "not_found",
    "not_readable", "unknown_format", "unsafe_xml" or "compression_bomb"; the last may come after some threads.
    """
    _check_format(format)
    return _from_path(Path(path), format, brand, fields, limits, notes)


def iter_open(
    file: IO[bytes],
    name: str,
    *,
    format: str = "auto",  # noqa: A002
    brand: str | None = None,
    fields: Mapping[str, str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    notes: Notes | None = None,
) -> Iterator[Thread]:
    """As iter_threads, from an open file that can seek; `name` stands for its name.

    notes: where to note what can't be read, by default it goes to the warnings of the next thread.
    """
    _check_format(format)
    return _threads(file, format, name, brand, fields, limits, packed=True, notes=notes)


def load_extractors() -> None:
    """Imports what only web pages need, so that the first page does not have to wait for it."""
    import extruct  # noqa: F401
    import trafilatura  # noqa: F401


def read(
    content: bytes | str,
    *,
    format: str = "auto",  # noqa: A002
    name: str = "input",
    brand: str | None = None,
    text_column: str = "text",
    fields: Mapping[str, str] | None = None,
    notes: Notes | None = None,
) -> list[Thread]:
    """As iter_threads, from the content of a file that is not packed; `name` stands for its name.

    html and text give one thread. text_column: where single texts stand, short for fields={"text": ...}.
    """
    _check_format(format)
    data = content.encode("utf-8", errors="replace") if isinstance(content, str) else content
    table = _fields(fields, text_column)
    return list(_threads(io.BytesIO(data), format, name, brand, table, DEFAULT_LIMITS, packed=False, notes=notes))


def read_file(
    path: Path,
    *,
    format: str = "auto",  # noqa: A002
    brand: str | None = None,
    text_column: str = "text",
    fields: Mapping[str, str] | None = None,
    notes: Notes | None = None,
) -> list[Thread]:
    """As iter_threads, all at once."""
    return list(iter_threads(path, format=format, brand=brand, fields=_fields(fields, text_column), notes=notes))


def _fields(fields: Mapping[str, str] | None, text_column: str) -> Mapping[str, str] | None:
    return fields if text_column == "text" else {**(fields or {}), "text": text_column}


def _check_format(name: str) -> None:
    if name not in FORMATS:
        raise InputError(
            f"the format {name!r} is not known",
            code="unknown_format",
            field="format",
            got=repr(name),
            expected=", ".join(FORMATS),
        )


def _from_path(
    path: Path,
    chosen: str,
    brand: str | None,
    fields: Mapping[str, str] | None,
    limits: Limits,
    notes: Notes | None,
) -> Iterator[Thread]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise InputError(
            f"{path} does not exist", code="not_found", field=str(path), got="no file", expected="a file"
        ) from None
    except OSError as error:
        reason = str(error.strerror)
        raise InputError(
            f"{path} can't be read: {reason}", code="not_readable", field=str(path), got=reason, expected="a file"
        ) from None
    with file, seekable(file) as content:
        yield from _threads(content, chosen, path.name, brand, fields, limits, packed=True, notes=notes)


def _threads(
    file: IO[bytes],
    chosen: str,
    name: str,
    brand: str | None,
    fields: Mapping[str, str] | None,
    limits: Limits,
    *,
    packed: bool,
    notes: Notes | None = None,
) -> Iterator[Thread]:
    notes = notes if notes is not None else Notes()
    stream = opened(file, name, limits, notes, unpack=packed)
    head = stream.peek(_SNIFFED)
    inner = Path(name).stem if Path(name).suffix.lower() in _PACKED else name
    text_column = (fields or {}).get("text", "text")
    kind = _guess(head[:_SNIFFED], inner, text_column) if chosen == "auto" else chosen
    if kind in ("html", "text"):
        yield _page(stream, file, kind, inner, brand)
    else:
        table = Rows(inner, brand, fields)
        yield from with_notes(_export(stream, file, kind, table, limits, notes, head), notes, name)


def _export(
    stream: io.BufferedReader, file: IO[bytes], kind: str, table: Rows, limits: Limits, notes: Notes, head: bytes
) -> Iterator[Thread]:
    name, brand = table.name, table.brand
    if kind == "parquet":
        if not head:
            check_text(head, name)
        # The index of a Parquet file stands at its end.
        file.seek(0)
        return read_rows(parquet_rows(file, table, limits, notes), table, notes)
    if kind == "warc":
        return read_warc(stream, name, brand, notes)
    check_text(head, name)
    if kind in ("wxr", "disqus", "feed"):
        return read_xml(stream, kind, name, brand, limits, notes)
    if kind == "csv":
        return read_rows(csv_rows(stream, table, notes), table, notes)
    return read_json_values(stream, kind if kind in SHAPES else None, table, limits, notes)


def _guess(content: bytes, name: str, text_column: str) -> str:
    """The format by content where that is unmistakable, else by the suffix, else plain text."""
    suffix = Path(name).suffix.lower()
    head = content.decode("utf-8", errors="replace")
    start = head.lstrip("\ufeff \t\r\n")
    if start.startswith("PAR1"):
        return "parquet"
    if start.startswith("WARC/"):
        return "warc"
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    xml = _xml_kind(start, name)
    if xml is not None:
        return xml
    if re.match(r"[{\[]", start) and _is_json(start):
        return "jsonl"
    if _HTML.search(head) or len(_TAGS.findall(head)) >= 3:
        return "html"
    if suffix in _PAGE_SUFFIXES:
        return _PAGE_SUFFIXES[suffix]
    return "csv" if delimiter_of(start.split("\n", 1)[0].strip(), text_column) else "text"


def _xml_kind(start: str, name: str) -> str | None:
    """The kind of an XML export, None for HTML and for what is no XML."""
    root = xml_root(start) or (("?", "") if start.startswith("<?xml") else None)
    if root is None:
        return None
    tag = root[0].rsplit(":", 1)[-1]
    if tag == "rss" and re.search(r"wordpress\.org/export/|<wp:wxr_version>", start):
        return "wxr"
    if tag in _XML_ROOTS:
        return _XML_ROOTS[tag]
    doctype = tag.startswith("!") and not re.match(r"\s*html\b", root[1], re.IGNORECASE)
    if doctype or (start.startswith("<?xml") and not _HTML.search(start)):
        code = "unsafe_xml" if doctype else "unknown_format"
        got = "a DTD" if doctype else f"XML with the root <{root[0]}>"
        raise InputError(
            f"{name} is XML that is not read",
            code=code,
            field="format",
            got=got,
            expected="WordPress, Disqus, Atom or RSS, without <!DOCTYPE",
        )
    return None


def _is_json(start: str) -> bool:
    first = start.split("\n", 1)[0]
    try:
        value = json.loads(first)
        return isinstance(value[0] if isinstance(value, list) and value else value, dict)
    except (ValueError, RecursionError):
        # A long first line was cut by the sniffing, or the object goes over several lines.
        return re.match(r'(?:\[\s*)?\{\s*"[^"\n]{1,60}"\s*:', start) is not None


def _page(stream: IO[bytes], file: IO[bytes], kind: str, name: str, brand: str | None) -> Thread:
    content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        check_size(max(len(content), file.seek(0, io.SEEK_END)), name)
    text, warnings = decode(content, name)
    reader = read_html if kind == "html" else read_text
    thread = reader(text, name=Path(name).stem or name, brand=brand)
    return replace(thread, warnings=(*warnings, *thread.warnings)) if warnings else thread
