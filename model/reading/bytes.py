"""From bytes to text: limits, binary content and encodings, for every reader alike."""

import codecs
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from charset_normalizer import from_bytes

from model.types import InputError

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
# Every escape of JSON as a whole, so that a backslash that is itself escaped begins none; `half` is no pair.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)

# A number as long as that, or with such an exponent, may be more than a float holds.
_LARGE: Final = re.compile(rb"\d[eE]\+?\d{3}|\d{100}")

MAX_BYTES: Final = 20_000_000
"""The largest page or text scrape that is read, in bytes."""

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC: Final = {
    b"%PDF": "a PDF file",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"\x1f\x8b": "a gzip file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"SQLite format 3": "an SQLite database",
}
_DECLARED: Final = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.IGNORECASE)
_SNIFFED_BYTES: Final = 8192
# Encodings that old pages are really in; the detector confuses the many other single-byte ones with each other.
_CANDIDATES: Final = [
    "cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256",
    "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr",
]  # fmt: skip
_WESTERN: Final = {"cp1250", "cp1252", "cp1254"}


def check_size(size: int, name: str) -> None:
    """Raises InputError "too_large" where a page of `size` bytes is over the limit."""
    if size > MAX_BYTES:
        raise InputError(
            f"{name} is too large: {size:,} bytes, at most {MAX_BYTES:,} are read",
            code="too_large",
            field=name,
            got=f"{size:,} bytes ({size / 1e6:.1f} MB)",
            expected=f"at most {MAX_BYTES:,} bytes ({MAX_BYTES / 1e6:.0f} MB)",
        )


def check_text(content: bytes, name: str) -> None:
    """Raises InputError "empty_file" or "binary_file" where there is no text to read."""
    if not content.strip():
        raise InputError(
            f"{name} is empty", code="empty_file", field=name, got=f"{len(content)} bytes", expected="some text"
        )
    if marked_encoding(content) is not None:
        return
    head = content[:_SNIFFED_BYTES]
    kind = next((kind for magic, kind in _MAGIC.items() if content.startswith(magic)), None)
    control = sum(byte < 9 or 13 < byte < 27 or 27 < byte < 32 for byte in head)
    if kind is None and (b"\0" in head or control > len(head) * 0.02):
        kind = "a binary file"
    if kind is not None:
        raise InputError(
            f"{name} is {kind}, not text", code="binary_file", field=name, got=kind, expected="HTML, text or a table"
        )


def marked_encoding(content: bytes) -> str | None:
    """The encoding that a byte order mark in front of the content names, None without one; it takes the mark away."""
    return next((encoding for bom, encoding in _BOMS if content.startswith(bom)), None)


def decode(content: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    """The text of `content` and warnings about its encoding.

    Order: byte order mark, UTF-8, the encoding that the page declares, a guess. Raises InputError where nothing fits.
    """
    check_text(content, name)
    marked = marked_encoding(content)
    if marked is not None:
        return content.decode(marked, errors="replace"), ()
    try:
        # A file that was cut off inside a character is still UTF-8.
        return codecs.getincrementaldecoder("utf-8")().decode(content, final=False), ()
    except UnicodeDecodeError:
        pass
    declared = _declared(content)
    replaced = content.decode("utf-8", errors="replace")
    broken = replaced.count("\ufffd")
    multibyte = sum(ord(char) > 127 for char in replaced) - broken
    if broken * 20 < multibyte or (declared == "utf-8" and broken <= multibyte):
        return replaced, (f"{broken} broken UTF-8 sequences were replaced",)
    encoding = declared if declared and declared != "utf-8" else _guess(content)
    if encoding is None:
        raise InputError(
            f"the encoding of {name} can't be told",
            code="bad_encoding",
            field=name,
            got="bytes in an unknown encoding",
            expected="UTF-8 or an encoding that the page declares",
        )
    return content.decode(encoding, errors="replace"), (f"read as {encoding}",)


def _declared(content: bytes) -> str | None:
    match = _DECLARED.search(content[: _SNIFFED_BYTES * 4])
    if match is None:
        return None
    try:
        name = codecs.lookup(match[1].decode("ascii")).name
    except LookupError:
        return None
    # Browsers read pages that say latin-1 as its superset cp1252, and so do the people who write them.
    return "cp1252" if name in {"iso8859-1", "ascii", "iso8859-15"} else name


def _guess(content: bytes) -> str | None:
    best = from_bytes(content[: _SNIFFED_BYTES * 8], cp_isolation=_CANDIDATES).best()
    if best is None:
        return "cp1252" if _reads_as(content, "cp1252") else None
    return "cp1252" if best.encoding in _WESTERN and _reads_as(content, "cp1252") else best.encoding


def _reads_as(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


class NotFiniteError(ValueError):
    """A number that no JSON is: NaN, Infinity, or one beyond what a float holds. path: where, such as "a[2].votes"."""

    def __init__(self, number: str, path: str) -> None:
        super().__init__(f"{path or 'the value'} is {number}, which is no JSON number")
        self.number = number
        self.path = path


@dataclass(frozen=True, slots=True)
class _NoNumber:
    """What stands for such a number until its path is known; text: as it was written."""

    text: str


def load_json(content: bytes) -> Any:
    """JSON in UTF-8; halves of surrogate pairs become U+FFFD.

    Raises ValueError, of which NotFiniteError names a number that is none.
    """
    text = whole_pairs(content).decode("utf-8")
    if not _maybe_not_finite(content):
        return json.loads(text)
    value = json.loads(text, parse_constant=_NoNumber, parse_float=_finite)
    for path, one in leaves(value):
        if isinstance(one, _NoNumber):
            raise NotFiniteError(one.text, path)
    return value


def _maybe_not_finite(content: bytes) -> bool:
    """Whether a second look is worth its time: hardly any content has such words, and most of these in texts."""
    return b"NaN" in content or b"Infinity" in content or _LARGE.search(content) is not None


def _finite(text: str) -> float | _NoNumber:
    number = float(text)
    return number if math.isfinite(number) else _NoNumber(text[:30])


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All values that hold no others, in order, each with its path. path: that of the value itself."""
    stack = [(path, value)]
    while stack:
        path, one = stack.pop()
        if isinstance(one, dict):
            inner = [(f"{path}.{key}" if path else key, part) for key, part in one.items()]
        elif isinstance(one, list):
            inner = [(f"{path}[{place}]", part) for place, part in enumerate(one)]
        else:
            yield path, one
            continue
        stack += reversed(inner)


def whole_pairs(content: bytes) -> bytes:
    """JSON in which halves of surrogate pairs, which nothing but JSON can write, are U+FFFD; all else as it was."""
    if not _SURROGATE.search(content):
        return content
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found["half"] else found[0], content)
