"""What all exports have in common: texts, times, and how loose records become threads without filling the memory."""

import html
import json
import math
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from selectolax.lexbor import LexborHTMLParser

from model.reading.dom import limit_attributes, limit_depth, text_of, tidy
from model.reading.post import normal_space, read_time
from model.types import Author, Thread, Utterance

_CACHE_KB: Final = 32_768
_LEAST_SECONDS: Final = 1e8
_MOST_SECONDS: Final = 1e11
"""Numbers between are seconds since 1970; greater ones are milliseconds."""
_NUMBER: Final = re.compile(r"\d{9,13}(?:\.\d{1,9})?")
_LONGEST_PATH: Final = 120
_GONE: Final = frozenset({"[deleted]", "[removed]", "[deleted by user]"})


@dataclass(frozen=True, slots=True)
class Head:
    """What an export says of a thread as a whole. absent: replies that it counts but does not carry."""

    title: str | None = None
    url: str | None = None
    claimed: int | None = None
    absent: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """One record of an export. thread: key of its thread, None where only the chain of parents tells it."""

    thread: str | None
    content: Head | Utterance


def at(where: str, path: str = "") -> str:
    """Where something stands, in words: of "line 3: [1]: " and ".items[2]" it makes "line 3, [1].items[2]"."""
    outer = where.removesuffix(": ").replace(": ", ", ")
    path = path.lstrip(".")
    if not outer or not path:
        return outer or path or "top level"
    return f"{outer}{'.' if outer.endswith(']') else ', '}{path}"


def thread_of(key: str, pieces: Iterable[Head | Utterance], adapter: str, brand: str | None = None) -> Thread | None:
    """The pieces of one thread as a Thread, None where there is no utterance.

    An id that occurs again gets "~2" and so on, and the flag "duplicate_id". A parent that is not there, or that leads
    in a circle, gives the flag "orphan". Comments without a parent answer the post, if there is one.
    """
    head = Head()
    utterances: list[Utterance] = []
    for piece in pieces:
        if isinstance(piece, Utterance):
            utterances.append(piece)
        else:
            head = _joined(head, piece)
    if not utterances:
        return None
    # The post comes first, wherever the export has it; the others keep their order.
    utterances = sorted(_rooted(_unique(utterances)), key=lambda u: u.kind != "post" or u.parent is not None)
    comments = sum(u.kind != "post" for u in utterances)
    warnings = list(head.warnings)
    if head.absent:
        warnings.append(f"{head.absent:,} replies are counted in the export but are not in it")
    elif head.claimed is not None and head.claimed > comments:
        warnings.append(f"the export states {head.claimed:,} comments, {comments:,} are in it")
    return Thread(
        id=key,
        utterances=tuple(utterances),
        title=head.title or None,
        url=head.url or None,
        brand=brand or None,
        adapter=adapter,
        claimed=head.claimed,
        warnings=tuple(warnings),
    )


def _joined(one: Head, other: Head) -> Head:
    warnings = (*one.warnings, *(w for w in other.warnings if w not in one.warnings))
    return Head(
        one.title or other.title,
        one.url or other.url,
        other.claimed if one.claimed is None else one.claimed,
        one.absent + other.absent,
        warnings,
    )


def _unique(utterances: list[Utterance]) -> list[Utterance]:
    taken = {u.id for u in utterances}
    seen: dict[str, int] = {}
    result = []
    for one in utterances:
        number = seen.get(one.id, 0) + 1
        seen[one.id] = number
        if number > 1:
            own = f"{one.id}~{number}"
            while own in taken:
                own += "~"
            taken.add(own)
            one = replace(one, id=own, flags=(*one.flags, "duplicate_id"))
        result.append(one)
    return result


def _rooted(utterances: list[Utterance]) -> list[Utterance]:
    """Every parent there, before or after its children, and no circle."""
    post = next((u.id for u in utterances if u.kind == "post" and u.parent is None), None)
    parents = {u.id: u.parent for u in utterances}
    lost = {u.id for u in utterances if u.parent is not None and u.parent not in parents} | circular(parents)
    result = []
    for one in utterances:
        if one.id in lost:
            one = replace(one, parent=post, flags=(*one.flags, "orphan"))
        elif one.parent is None and one.kind != "post":
            one = replace(one, parent=post)
        result.append(one)
    return result


def circular(parents: Mapping[str, str | None]) -> set[str]:
    """One id of each circle; with its parent gone, the others hang from it."""
    safe: set[str] = set()
    cut: set[str] = set()
    for start in parents:
        path: list[str] = []
        on_path: set[str] = set()
        current: str | None = start
        while current is not None and current in parents and current not in safe:
            if current in on_path:
                cut.add(path[-1])
                break
            path.append(current)
            on_path.add(current)
            current = parents[current]
        safe.update(path)
    return cut


class Grouper:
    """Makes threads out of pieces that come in any order, each thread where its first piece stood.

    The pieces go to a temporary database, which is in memory while it is small and on disk beyond; only one thread at
    a time is built. Where pieces name no thread, the piece that their parents lead to does.
    """

    def __init__(self, adapter: str, brand: str | None) -> None:
        self.adapter = adapter
        self.brand = brand
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.executescript(
            f"PRAGMA cache_size=-{_CACHE_KB}; PRAGMA temp_store=FILE; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE piece (seq INTEGER PRIMARY KEY, thread TEXT, id TEXT, parent TEXT, body TEXT); BEGIN;"
        )

    def extend(self, pieces: Iterable[Piece], where: str | None = None) -> int:
        """Keeps pieces, and says how many there were.

        where: the place of the record that they were made of, such as "line 3: ", if their own are paths within it.
        """
        cursor = self._base.executemany(
            "INSERT INTO piece (thread, id, parent, body) VALUES (?, ?, ?, ?)", _stored(pieces, where)
        )
        return max(cursor.rowcount, 0)

    def threads(self) -> Iterator[Thread]:
        """The threads that hold an utterance, once all pieces are there."""
        base = self._base
        _find_threads(base)
        base.execute("CREATE INDEX by_thread ON piece (thread, seq)")
        base.execute("CREATE TEMP TABLE first AS SELECT thread, min(seq) AS seq FROM piece GROUP BY thread")
        for (key,) in base.execute("SELECT thread FROM first ORDER BY seq"):
            rows = base.execute("SELECT body FROM piece WHERE thread = ? ORDER BY seq", (key,))
            thread = thread_of(key, (_restored(body) for (body,) in rows), self.adapter, self.brand)
            if thread is not None:
                yield thread

    def close(self) -> None:
        """Lets go of the temporary file."""
        self._base.close()


def grouped(pieces: Iterable[Piece], adapter: str, brand: str | None) -> Iterator[Thread]:
    """The threads of all pieces."""
    grouper = Grouper(adapter, brand)
    try:
        grouper.extend(pieces)
        yield from grouper.threads()
    finally:
        grouper.close()


def _find_threads(base: sqlite3.Connection) -> None:
    """Gives pieces without a thread the id of the one at the top of their parents, or their own in a circle."""
    if base.execute("SELECT 1 FROM piece WHERE thread IS NULL LIMIT 1").fetchone() is None:
        return
    base.executescript(
        "CREATE INDEX by_id ON piece (id); CREATE INDEX by_parent ON piece (parent);"
        "CREATE TEMP TABLE root (id TEXT PRIMARY KEY, top TEXT) WITHOUT ROWID;"
        "WITH RECURSIVE tree (id, top) AS ("
        " SELECT id, coalesce(parent, id) FROM piece AS p WHERE thread IS NULL"
        " AND (parent IS NULL OR NOT EXISTS (SELECT 1 FROM piece AS q WHERE q.id = p.parent))"
        " UNION SELECT id, thread FROM piece WHERE thread IS NOT NULL AND id IS NOT NULL"
        " UNION SELECT piece.id, tree.top FROM piece JOIN tree ON piece.parent = tree.id WHERE piece.thread IS NULL)"
        "INSERT OR IGNORE INTO root SELECT id, top FROM tree;"
        "UPDATE piece SET thread = coalesce((SELECT top FROM root WHERE root.id = piece.id), id, 'none')"
        " WHERE thread IS NULL;"
    )


def _stored(pieces: Iterable[Piece], where: str | None) -> Iterator[tuple[str | None, str | None, str | None, str]]:
    number = 0
    for piece in pieces:
        one = piece.content
        if isinstance(one, Head):
            body = json.dumps((one.title, one.url, one.claimed, one.absent, one.warnings))
            yield piece.thread, None, None, body
            continue
        number += 1
        place = one.place
        if where is not None:
            # Nobody follows the path to the fortieth answer to an answer.
            place = at(where, f"entry {number}" if len(place or "") > _LONGEST_PATH else place or "")
        who = (one.author.name, one.author.url) if one.author else None
        body = json.dumps((one.id, one.text, one.kind, one.parent, who, one.time, one.votes, one.flags, place))
        yield piece.thread, one.id, one.parent, body


def _restored(body: str) -> Head | Utterance:
    values = json.loads(body)
    if len(values) == 5:
        title, url, claimed, absent, warnings = values
        return Head(title, url, claimed, absent, tuple(warnings))
    key, text, kind, parent, who, when, votes, flags, place = values
    return Utterance(key, text, kind, parent, Author(*who) if who else None, when, votes, tuple(flags), place)


def plain(text: object, *, keep_lines: bool = False) -> str:
    """The text of a comment that may hold HTML. keep_lines: its own line breaks count, as WordPress stores them."""
    if not isinstance(text, str):
        return ""
    if "<" not in text:
        return tidy(html.unescape(text))
    if keep_lines and not re.search(r"<(?:p|br|div)\b", text, re.IGNORECASE):
        text = text.replace("\n", "<br>")
    body = LexborHTMLParser(limit_depth(limit_attributes(text))).body
    return text_of(body) if body is not None else ""


def author(name: object, url: object = None) -> Author | None:
    """An author, None where the export names none."""
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str) or not normal_space(name) or name.strip() in _GONE:
        return None
    link = url.strip() if isinstance(url, str) else ""
    return Author(normal_space(name), link if re.match(r"https?://\S+$", link) else None)


def gone(text: str) -> tuple[str, ...]:
    """The flag of a text that says of itself that it was deleted."""
    return ("deleted",) if text.strip() in _GONE else ()


def number(value: object) -> int | None:
    """A whole number, None where there is none."""
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return int(found) if abs(found) < 1e15 else None


def known(value: object) -> str | None:
    """An id as text, None for what exports write where there is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    return None if text in ("", "0", "null", "None", "nan") else text


def iso_time(value: object, *, utc: bool = False) -> tuple[str | None, tuple[str, ...]]:
    """A time as ISO 8601, and the flag "no_zone" where its zone is not known or "bad_time" where it can't be read.

    value: seconds or milliseconds since 1970, a datetime, or text (ISO 8601, e-mail dates, dates in words).
    utc: times without a zone are UTC.
    """
    if value is None or value == "" or isinstance(value, bool):
        return None, ()
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, int | float):
        return _from_seconds(value)
    text = value.isoformat() if isinstance(value, datetime | date) else normal_space(str(value))[:100]
    if text.startswith("0000-00-00"):
        return None, ()
    when = _parsed(text)
    if when is None:
        words = read_time(text)
        return (words, ("no_zone",)) if words else (None, ("bad_time",))
    if when.tzinfo is None and utc:
        when = when.replace(tzinfo=UTC)
    if when.tzinfo is None:
        day_alone = re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None
        return (text if day_alone else when.isoformat()), ("no_zone",)
    return when.isoformat(), ()


def _from_seconds(value: float) -> tuple[str | None, tuple[str, ...]]:
    if not _LEAST_SECONDS <= value < _MOST_SECONDS * 1000:
        return None, ("bad_time",)
    seconds = value / 1000 if value > _MOST_SECONDS else value
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds"), ()
    except (ValueError, OverflowError, OSError):
        return None, ("bad_time",)


def _parsed(text: str) -> datetime | None:
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            when: Any = parse(text)
            when.isoformat()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return when if isinstance(when, datetime) else None
    return None
