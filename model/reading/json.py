"""A thread as a JSON object, as the HTTP service and JSON-lines files hand it over, checked field by field."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, cast, get_args

from model.reading.bytes import leaves
from model.types import Author, InputError, Kind, Thread, Utterance

_KINDS: Final[tuple[str, ...]] = get_args(Kind)
_THREAD_FIELDS: Final = frozenset(
    {"id", "url", "title", "brand", "claimed", "utterances", "adapter", "confidence", "warnings"}
)
_UTTERANCE_FIELDS: Final = frozenset({"id", "parent", "kind", "author", "time", "text", "votes", "flags", "place"})


def thread_from_dict(data: Mapping[str, Any], *, where: str = "", brand: str | None = None) -> Thread:
    """A Thread from a JSON object; only `utterances` and each `text` are required.

    Fields: id, url, title, brand, claimed, adapter, confidence, warnings, utterances. Of an utterance: id, parent,
    kind, author {name, url}, time, text, votes, flags, place. Missing ids are numbered, a missing place is that in this
    object. Without a kind, the first utterance
    is the post and every other a comment on it. Fields that are not known are named in the thread's warnings. where:
    prefix of the field path in errors, such as "line 3: ". Raises InputError with the path of the field, such as
    "utterances[2].text".
    """
    if not isinstance(data, Mapping):
        raise _wrong(where or "thread", data, "an object with utterances")
    rows = data.get("utterances")
    if rows is None:
        raise InputError(
            f"{where}utterances is missing",
            code="missing_field",
            field=f"{where}utterances",
            got=f"the fields {', '.join(map(str, data)) or 'none'}",
            expected="a list of utterances",
        )
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        raise _wrong(f"{where}utterances", rows, "a list of utterances")
    if not rows:
        raise InputError(
            f"{where}utterances is empty",
            code="empty_thread",
            field=f"{where}utterances",
            got="an empty list",
            expected="at least one utterance",
        )
    unknown = _unknown(data, _THREAD_FIELDS, where)
    taken = {str(row["id"]) for row in rows if isinstance(row, Mapping) and row.get("id") is not None}
    utterances: list[Utterance] = []
    for index, row in enumerate(rows):
        path = f"{where}utterances[{index}]"
        if not isinstance(row, Mapping):
            raise _wrong(path, row, "an object with text")
        unknown += [f"utterances[{index}].{key}" for key in _unknown(row, _UTTERANCE_FIELDS, f"{path}.")]
        utterances.append(_utterance(row, path, index, taken))
    _check_ids(utterances, where)
    utterances = _under_the_post(utterances, rows)
    claimed = data.get("claimed")
    if claimed is not None and (not isinstance(claimed, int) or isinstance(claimed, bool) or claimed < 0):
        raise _wrong(f"{where}claimed", claimed, "a number of comments, 0 or more")
    confidence = data.get("confidence")
    if confidence is not None and (
        isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 <= confidence <= 1
    ):
        raise _wrong(f"{where}confidence", confidence, "a number from 0 to 1")
    return Thread(
        id=_text(data, "id", where) or "input",
        utterances=tuple(utterances),
        title=_text(data, "title", where),
        url=_text(data, "url", where),
        brand=brand or _text(data, "brand", where),
        adapter=_text(data, "adapter", where) or "given",
        confidence=1.0 if confidence is None else float(confidence),
        claimed=claimed,
        warnings=(
            *_flags(data.get("warnings"), f"{where}warnings"),
            *(f"unknown field {name} was ignored" for name in unknown[:20]),
        ),
    )


def thread_to_dict(thread: Thread) -> dict[str, Any]:
    """A Thread as a JSON object with every field, from which thread_from_dict makes an equal one."""
    return {
        "id": thread.id,
        "url": thread.url,
        "title": thread.title,
        "brand": thread.brand,
        "adapter": thread.adapter,
        "confidence": thread.confidence,
        "claimed": thread.claimed,
        "warnings": list(thread.warnings),
        "utterances": [
            {
                "id": one.id,
                "parent": one.parent,
                "kind": one.kind,
                "author": {"name": one.author.name, "url": one.author.url} if one.author else None,
                "time": one.time,
                "text": one.text,
                "votes": one.votes,
                "flags": list(one.flags),
                "place": one.place,
            }
            for one in thread.utterances
        ],
    }


def _unknown(row: Mapping[str, Any], fields: frozenset[str], where: str) -> list[str]:
    """Names of fields that are not read. NaN in them is an error all the same: what holds it is no JSON."""
    unknown = [str(key) for key in row if key not in fields]
    for key in unknown:
        for path, value in leaves(row.get(key), f"{where}{key}"):
            if isinstance(value, float) and not math.isfinite(value):
                raise _wrong(path, value, "a JSON number")
    return unknown


def _utterance(row: Mapping[str, Any], path: str, index: int, taken: set[str]) -> Utterance:
    text = row.get("text")
    if not isinstance(text, str):
        if text is None:
            raise InputError(
                f"{path}.text is missing",
                code="missing_field",
                field=f"{path}.text",
                got="null" if "text" in row else f"the fields {', '.join(map(str, row)) or 'none'}",
                expected="text",
            )
        raise _wrong(f"{path}.text", text, "text")
    kind = row.get("kind")
    if kind is None:
        kind = "post" if index == 0 and row.get("parent") is None else "comment"
    elif kind not in _KINDS:
        raise InputError(
            f"{path}.kind is {kind!r}",
            code="bad_value",
            field=f"{path}.kind",
            got=repr(kind)[:80],
            expected=f"one of {', '.join(_KINDS)}",
        )
    votes = row.get("votes")
    if votes is not None and (not isinstance(votes, int) or isinstance(votes, bool)):
        raise _wrong(f"{path}.votes", votes, "a whole number")
    return Utterance(
        id=_id(row.get("id"), f"{path}.id") or _free_id(index, taken),
        text=text,
        kind=cast("Kind", kind),
        parent=_id(row.get("parent"), f"{path}.parent"),
        author=_author(row.get("author"), f"{path}.author"),
        time=_time(row.get("time"), f"{path}.time"),
        votes=votes,
        flags=_flags(row.get("flags"), f"{path}.flags"),
        place=_text(row, "place", f"{path}.") if "place" in row else path.replace(": ", ", "),
    )


def _id(value: object, path: str) -> str | None:
    """Exports write ids as text or as numbers."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise _wrong(path, value, "text or a number")
    return str(value)


def _free_id(index: int, taken: set[str]) -> str:
    """The place of the utterance, counted from 1, or the next form of it that nobody uses."""
    own = str(index + 1)
    while own in taken:
        own = f"u{own}"
    taken.add(own)
    return own


def _author(value: object, path: str) -> Author | None:
    if value is None:
        return None
    if isinstance(value, str):
        return Author(value) if value.strip() else None
    if not isinstance(value, Mapping):
        raise _wrong(path, value, 'an object {"name", "url"} or a name')
    name, url = value.get("name"), value.get("url")
    if name is not None and not isinstance(name, str):
        raise _wrong(f"{path}.name", name, "text")
    if url is not None and not isinstance(url, str):
        raise _wrong(f"{path}.url", url, "text")
    return Author(name, url or None) if name and name.strip() else None


def _time(value: object, path: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _wrong(path, value, "an ISO 8601 time such as 2024-05-03T10:00:00Z")
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise _wrong(path, value, "an ISO 8601 time such as 2024-05-03T10:00:00Z") from None
    return value


def _flags(value: object, path: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(flag, str) for flag in value):
        raise _wrong(path, value, "a list of texts")
    return tuple(value)


def _text(data: Mapping[str, Any], name: str, where: str) -> str | None:
    value = data.get(name)
    if value is None or isinstance(value, str):
        return value or None
    if name == "id" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise _wrong(f"{where}{name}", value, "text")


def _check_ids(utterances: Sequence[Utterance], where: str) -> None:
    """Every id once, every parent an id of this thread, and no utterance its own ancestor."""
    place: dict[str, int] = {}
    for index, utterance in enumerate(utterances):
        if utterance.id in place:
            raise InputError(
                f"{where}utterances[{index}].id {utterance.id!r} is that of utterances[{place[utterance.id]}] too",
                code="duplicate_id",
                field=f"{where}utterances[{index}].id",
                got=repr(utterance.id),
                expected="an id that occurs once",
            )
        place[utterance.id] = index
    for index, utterance in enumerate(utterances):
        if utterance.parent is not None and utterance.parent not in place:
            raise InputError(
                f"{where}utterances[{index}].parent {utterance.parent!r} is no utterance of this thread",
                code="unknown_parent",
                field=f"{where}utterances[{index}].parent",
                got=repr(utterance.parent),
                expected="the id of an utterance of this thread, or null",
            )
    safe: set[str] = set()
    for index, utterance in enumerate(utterances):
        path: set[str] = set()
        current: Utterance | None = utterance
        while current is not None and current.id not in safe:
            if current.id in path:
                raise InputError(
                    f"{where}utterances[{index}] answers itself in a circle",
                    code="parent_cycle",
                    field=f"{where}utterances[{index}].parent",
                    got=repr(utterance.parent),
                    expected="parents that lead to the post",
                )
            path.add(current.id)
            current = utterances[place[current.parent]] if current.parent is not None else None
        safe |= path


def _under_the_post(utterances: list[Utterance], rows: Sequence[Mapping[str, Any]]) -> list[Utterance]:
    """Comments that say nothing about a parent answer the post, if there is one."""
    posts = (u for u in utterances if u.kind == "post" and u.parent is None)
    post = next((u for u in posts if "boilerplate" not in u.flags), None)
    if post is None:
        return utterances
    return [
        replace(u, parent=post.id) if u.parent is None and u.kind == "comment" and row.get("parent") is None else u
        for u, row in zip(utterances, rows, strict=True)
    ]


def _wrong(path: str, value: object, expected: str) -> InputError:
    got = f"{type(value).__name__} {str(value)[:60]!r}"
    return InputError(f"{path} is not {expected}", code="bad_value", field=path, got=got, expected=expected)
