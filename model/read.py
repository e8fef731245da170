"""Reads what people published (a page, a scrape, an export) into threads: finds the format and calls its reader."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from model.read_bytes import MAX_BYTES, check_size, check_text, decode
from model.read_html import read_html
from model.read_json import thread_from_dict
from model.read_post import read_time
from model.read_table import SUFFIXES, json_line, read_bytes, rows, table_from_bytes
from model.read_text import read_text
from model.types import InputError, Thread

__all__ = ["FORMATS", "MAX_BYTES", "read", "read_file", "thread_from_dict"]

FORMATS: Final = ("auto", "html", "text", "jsonl", "csv", "parquet")
_PAGE_SUFFIXES: Final = {
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
}
_HTML: Final = re.compile(r"<!doctype html|<html[\s>]|<body[\s>]|<head[\s>]", re.IGNORECASE)
_TAGS: Final = re.compile(r"</(?:p|div|li|article|section|span|a|td|h[1-6])>", re.IGNORECASE)


def read(
    content: bytes | str,
    *,
    format: str = "auto",  # noqa: A002
    name: str = "input",
    brand: str | None = None,
    text_column: str = "text",
) -> list[Thread]:
    """The threads in a page, a scrape or an export.

    format: auto, html, text, jsonl, csv or parquet; auto goes by the suffix of `name` and by the content.
    html and text give one thread. A line of jsonl is a thread ({"utterances": [...]}) or a single text; rows of csv and
    parquet are single texts too, each a thread of one utterance. text_column: where single texts stand.
    Raises InputError: unknown_format, too_large (pages over MAX_BYTES), empty_file, binary_file, bad_encoding,
    corrupt_file, bad_line, missing_column and those of thread_from_dict.
    """
    if format not in FORMATS:
        raise InputError(
            f"the format {format!r} is not known",
            code="unknown_format",
            field="format",
            got=repr(format),
            expected=", ".join(FORMATS),
        )
    chosen = _guess(content, name) if format == "auto" else format
    if chosen in ("html", "text"):
        return [_page(content, chosen, name, brand)]
    data = content.encode("utf-8", errors="replace") if isinstance(content, str) else content
    if chosen == "jsonl":
        return _json_lines(data, name, brand, text_column)
    table = table_from_bytes(data, chosen, name, text_column)
    return _singles([{**row, "text": row[text_column]} for row in rows(table)], name, brand)


def read_file(
    path: Path,
    *,
    format: str = "auto",  # noqa: A002
    brand: str | None = None,
    text_column: str = "text",
) -> list[Thread]:
    """As read, from a file; InputError "not_found" or "not_readable" where there is none."""
    path = Path(path)
    if path.suffix.lower() in _PAGE_SUFFIXES and format in ("auto", "html", "text") and path.is_file():
        check_size(path.stat().st_size, path.name)
    return read(read_bytes(path), format=format, name=path.name, brand=brand, text_column=text_column)


def _guess(content: bytes | str, name: str) -> str:
    """The format by content where that is unmistakable, else by the suffix, else plain text."""
    suffix = Path(name).suffix.lower()
    head = content[:20_000] if isinstance(content, str) else content[:20_000].decode("utf-8", errors="replace")
    start = head.lstrip("\ufeff \t\r\n")
    if start.startswith("PAR1"):
        return "parquet"
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if re.match(r"<\?xml|<rss\b|<feed\b|<disqus\b", start) and not _HTML.search(head):
        raise InputError(
            f"{name} is an XML export, which is not read",
            code="unknown_format",
            field="format",
            got="XML",
            expected=", ".join(FORMATS[1:]),
        )
    if _HTML.search(head) or len(_TAGS.findall(head)) >= 3:
        return "html"
    if suffix in _PAGE_SUFFIXES:
        return _PAGE_SUFFIXES[suffix]
    if start.startswith("{") and _is_json(start.split("\n", 1)[0] if "\n" in start else start):
        return "jsonl"
    first = start.split("\n", 1)[0].strip()
    return "csv" if re.search(r'(?:^|,)"?text"?(?:,|$)', first) and "," in first else "text"


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        # A long first line was cut by the sniffing, or the object goes over several lines.
        return re.match(r'\{\s*"(?:utterances|text|id|url|title|brand)"\s*:', text) is not None


def _page(content: bytes | str, chosen: str, name: str, brand: str | None) -> Thread:
    size = len(content.encode("utf-8", errors="replace")) if isinstance(content, str) else len(content)
    check_size(size, name)
    warnings: tuple[str, ...] = ()
    if isinstance(content, str):
        check_text(content.encode("utf-8", errors="replace"), name)
        text = content
    else:
        text, warnings = decode(content, name)
    reader = read_html if chosen == "html" else read_text
    thread = reader(text, name=Path(name).stem or name, brand=brand)
    return replace(thread, warnings=(*warnings, *thread.warnings)) if warnings else thread


def _json_lines(data: bytes, name: str, brand: str | None, text_column: str) -> list[Thread]:
    check_text(data, name)
    text, _ = decode(data, name)
    objects = _whole(text) or [
        (f"line {number}: ", json_line(line, number, name))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    threads: list[Thread] = []
    for index, (where, value) in enumerate(objects):
        if "utterances" in value:
            threads.append(_named(thread_from_dict(value, where=where, brand=brand), value, index, name))
        else:
            single = value if text_column == "text" else {**value, "text": value.get(text_column)}
            threads.append(_single(single, index, name, brand, where))
    return threads


def _whole(text: str) -> list[tuple[str, dict[str, Any]]] | None:
    """The objects of a file that is one JSON value over several lines, None where it is not."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        return [("", value)]
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return [(f"[{index}].", one) for index, one in enumerate(value)]
    return None


def _named(thread: Thread, value: Mapping[str, Any], index: int, name: str) -> Thread:
    return thread if value.get("id") is not None else replace(thread, id=f"{Path(name).stem}-{index + 1}")


def _singles(table: Sequence[Mapping[str, Any]], name: str, brand: str | None) -> list[Thread]:
    return [_single(row, index, name, brand, f"row {index + 1}: ") for index, row in enumerate(table)]


def _single(row: Mapping[str, Any], index: int, name: str, brand: str | None, where: str) -> Thread:
    """A thread of one text. Null becomes an empty text, which the cleaner drops with its reason."""
    if "text" not in row:
        raise InputError(
            f"{name}, {where}no text and no utterances",
            code="missing_field",
            field=f"{where}text",
            got=f"the fields {', '.join(map(str, row)) or 'none'}",
            expected="text or utterances",
        )
    own = row.get("id")
    key = str(own) if own is not None and str(own) else str(index + 1)
    author = row.get("author")
    utterance = {
        "id": key,
        "kind": row.get("kind") or "review",
        "text": "" if row["text"] is None else row["text"],
        "author": author if author is None or isinstance(author, str | Mapping) else str(author),
        "time": _any_time(row.get("time")),
        "votes": row.get("votes"),
        "flags": row.get("flags"),
    }
    try:
        thread = thread_from_dict(
            {"id": key, "title": row.get("title"), "url": row.get("url"), "utterances": [utterance]}, brand=brand
        )
    except InputError as error:
        field = f"{where}{(error.field or '').removeprefix('utterances[0].')}"
        message = f"{name}, {field}: got {error.got}, expected {error.expected}"
        raise InputError(message, code=error.code, field=field, got=error.got, expected=error.expected) from None
    return replace(thread, brand=brand or (row.get("brand") if isinstance(row.get("brand"), str) else None))


def _any_time(value: object) -> str | None:
    """ISO 8601 of a time in a table, which may be a timestamp or a text in many forms; None where it can't be read."""
    if value is None:
        return None
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat()) if isoformat is not None else read_time(str(value))
