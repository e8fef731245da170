"""Reads and scores many files, traces the conversation through them and writes trace.json and trace.html."""

import glob
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from selectolax.lexbor import LexborHTMLParser

from model.read import MAX_BYTES, read_file
from model.reading.bytes import decode
from model.trace import trace
from model.trace_types import Anchor, Trace
from model.types import InputError, Report, Thread
from service.files import BESIDE_PAGES, replacing
from service.trace_page import render

if TYPE_CHECKING:
    from model.scorer import Scorer

MAX_ANCHORS: Final = 5_000
"""Links of one page that are looked at."""
_HTML: Final = re.compile(rb"<!doctype html|<html[\s>]|<body[\s>]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Done:
    """What was written, and whether some file could not be read."""

    trace: Trace
    files: tuple[Path, ...]
    failed: bool


def trace_files(
    names: Sequence[str],
    out: Path,
    *,
    kind: str,
    brand: str | None,
    fields: Mapping[str, str] | None = None,
    load: Callable[[], "Scorer"],
    complain: Callable[[Exception, str], None],
) -> Done | None:
    """Traces the threads of files, folders and globs into the folder out; None where nothing could be read.

    kind, fields: format and columns as in model.read. load: opens the model, only when there is something to score.
    complain: told of each file that can't be read; the others go on. Raises InputError where out can't be a folder.
    """
    _make_folder(out)
    reports: list[Report] = []
    anchors: list[Sequence[Anchor]] = []
    failed = False
    scorer: Scorer | None = None
    for name in names:
        for path in _files(name):
            try:
                threads = read_file(path, format=kind, brand=brand, fields=fields or None)
                links = [_anchors(path, t) if len(threads) == 1 else [] for t in threads]
            except (InputError, OSError, UnicodeError) as error:
                failed = True
                complain(error, str(path))
                continue
            scorer = scorer or load()
            reports += [scorer.score(thread) for thread in threads]
            anchors += links
    if not reports:
        return None
    found = trace(reports, anchors)
    json_path, page_path = out / "trace.json", out / "trace.html"
    with replacing(json_path) as temporary:
        text = json.dumps(found.to_dict(), ensure_ascii=False, indent=1)
        temporary.write_text(text.encode("utf-8", "replace").decode("utf-8"), encoding="utf-8", newline="\n")
    with replacing(page_path) as temporary:
        temporary.write_text(render(found, reports), encoding="utf-8", newline="\n")
    return Done(found, (json_path, page_path), failed)


def _make_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is not a folder", code="bad_output", field="out", got="a file", expected="a folder")
    out.mkdir(parents=True, exist_ok=True)


def _files(name: str) -> Iterator[Path]:
    """The files that a name stands for: itself, everything readable in a folder, or what a glob matches."""
    path = Path(name)
    if path.is_dir():
        yield from _inside(path)
    elif path.exists() or not glob.has_magic(name):
        yield path
    else:
        matches = sorted(glob.glob(name, recursive=True))
        for match in matches:
            yield from _inside(Path(match)) if Path(match).is_dir() else [Path(match)]
        if not matches:
            yield path


def _inside(folder: Path) -> Iterator[Path]:
    """Files of a folder in order, without hidden ones and what browsers save beside a page ("page_files/")."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(p.startswith(".") or p.endswith("_files") for p in parts)
        if path.is_file() and not hidden and not BESIDE_PAGES.search(path.name):
            yield path


def _anchors(path: Path, thread: Thread) -> list[Anchor]:
    """The links of a page that is HTML, made whole with the page's own address; none of any other file."""
    if path.stat().st_size > MAX_BYTES:
        return []
    content = path.read_bytes()
    if not _HTML.search(content[:20_000]):
        return []
    nodes = LexborHTMLParser(decode(content, path.name)[0]).css("a[href]")[:MAX_ANCHORS]
    found = ((n.attributes.get("href") or "", n.text(separator=" ")) for n in nodes)
    return [Anchor(whole, text) for href, text in found if (whole := _whole(href.strip(), thread.url)) is not None]


def _whole(href: str, base: str | None) -> str | None:
    try:
        address = urljoin(base or "", href)
    except ValueError:
        return None
    return address if address.startswith(("http://", "https://")) else None
