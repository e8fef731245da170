"""A thread as it stood at one moment: an estimate for that moment must not know what was written later."""

import re
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

from model.types import InputError, Thread, Utterance

_DAY = re.compile(r"\d{4}-?\d{2}-?\d{2}")


def moment_of(text: str) -> datetime:
    """A moment in ISO 8601; a day alone is its end, a time without a zone is UTC. Raises InputError for other text."""
    found = _moment(text)
    if found is None:
        raise InputError(
            f"{text[:80]!r} is no moment",
            code="bad_moment",
            field="as_of",
            got=repr(text[:80]),
            expected="ISO 8601 such as 2024-05-01 or 2024-05-01T12:30:00+00:00",
        )
    return found


def as_of(thread: Thread, moment: datetime) -> Thread:
    """The thread without what was written after the moment.

    An utterance whose time is not known stays only where one that stays answers it, as the post does: it must have been
    there. A warning says how many were left out. The number of comments that the page states is of a later day, too.
    """
    kept = {u.id for u in thread.utterances if (t := _moment(u.time)) is not None and t <= moment}
    late = {u.id for u in thread.utterances if (t := _moment(u.time)) is not None and t > moment}
    kept |= _answered(thread, kept) - late
    remaining = tuple(u for u in thread.utterances if u.id in kept)
    undated = len(thread.utterances) - len(remaining) - len(late)
    note = f"as of {moment.isoformat(timespec='seconds')}: {len(late)} later left out, {undated} without a known time"
    warnings = (*thread.warnings, note if remaining else f"{note}; nothing had been written")
    return replace(thread, utterances=remaining, claimed=None, warnings=warnings)


def _answered(thread: Thread, kept: set[str]) -> set[str]:
    """What those that stay answer, and the post."""
    parents = {u.id: u.parent for u in thread.utterances}
    found = {u.id for u in thread.utterances if kept and _is_post(u)}
    for uid in kept:
        parent = parents[uid]
        while parent is not None and parent in parents and parent not in found:
            found.add(parent)
            parent = parents[parent]
    return found


def _is_post(utterance: Utterance) -> bool:
    return utterance.kind == "post" and utterance.parent is None


def _moment(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    if _DAY.fullmatch((text or "").strip()):
        # What is dated by the day alone may have been written at its very end.
        found = datetime.combine(found.date(), time.min) + timedelta(days=1, microseconds=-1)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
