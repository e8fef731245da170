"""Reads web archives (WARC) as streams: every saved page goes through the reader of pages."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import IO, Final

from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed

from model.reading.bytes import MAX_BYTES, check_size, decode
from model.reading.html import read_html
from model.reading.stream import Notes
from model.types import InputError, Thread, Utterance

_PAGES: Final = ("text/html", "application/xhtml+xml")


def read_warc(stream: IO[bytes], name: str, brand: str | None, notes: Notes) -> Iterator[Thread]:
    """A thread for each page that was answered with status 200; times of fetching are no times of writing.

    Pages that can't be read become notes. What follows a record that breaks the archive is not read.
    """
    records = ArchiveIterator(stream)
    number = 0
    while True:
        number += 1
        where = f"{name}, record {number}"
        try:
            record = next(records, None)
            if record is None:
                return
            page = _page(record)
            if page is None:
                continue
            url = record.rec_headers.get_header("WARC-Target-URI") or None
            thread = _thread(page, where, url, brand)
            thread = replace(thread, utterances=tuple(_placed(thread.utterances, f"record {number}")))
        except InputError as error:
            notes.add(error)
        except (ArchiveLoadFailed, OSError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
            # The library raises these for headers and chunks that are no WARC, and can't find the next record then.
            notes.add(
                InputError(
                    f"{where}: broken, nothing after it was read ({str(error)[:100]})",
                    code="corrupt_file",
                    field=f"record {number}",
                    got="a broken record",
                    expected="WARC",
                )
            )
            return
        else:
            yield thread


def _placed(utterances: Sequence[Utterance], record: str) -> Iterator[Utterance]:
    for one in utterances:
        yield replace(one, place=f"{record}, {one.place}" if one.place else record)


def _page(record) -> bytes | None:  # type: ignore[no-untyped-def]
    """The source of a page, None for images, requests, redirects and the like; a byte more than is read, at most."""
    if record.rec_type not in ("response", "resource"):
        return None
    headers = record.http_headers
    kind = (headers or record.rec_headers).get_header("Content-Type") or ""
    status = headers.get_statuscode() if headers else "200"
    if status != "200" or not kind.lower().startswith(_PAGES):
        return None
    content: bytes = record.content_stream().read(MAX_BYTES + 1)
    return content


def _thread(page: bytes, where: str, url: str | None, brand: str | None) -> Thread:
    check_size(len(page), where)
    text, warnings = decode(page, where)
    thread = read_html(text, name=where, brand=brand)
    return replace(thread, id=url or where, url=thread.url or url, warnings=(*warnings, *thread.warnings))
