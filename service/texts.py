"""Texts for `drift` and `review`: from files of any kind that is read, and from what the server has kept."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from model.codebook import SENTIMENT
from model.read import iter_threads
from model.reading.table import SUFFIXES, check_once, read_table
from model.types import InputError
from service.feedback import every
from service.store import Store

PAGE: Final = 1000


@dataclass(frozen=True)
class GivenText:
    """A text that somebody has. label: as given, None without one. source and place: such as "a.csv" and "row 3"."""

    text: str
    source: str
    place: str
    label: str | None = None
    target: str | None = None
    client: str | None = None


def texts_of_file(path: Path, text_column: str = "text", label_column: str | None = "label") -> Iterator[GivenText]:
    """The texts of a table, or the utterances of any other file that `amends read` takes.

    Raises InputError where the file can't be read, or where a label is none of SENTIMENT; empty texts are left out.
    """
    missing: InputError | None = None
    if path.suffix.lower() in SUFFIXES:
        try:
            table = read_table(path, text_column)
        except InputError as error:
            # A file of threads is one of utterances.
            if error.code != "missing_column" or text_column != "text":
                raise
            missing = error
        else:
            yield from _of_table(table, path.name, text_column, label_column)
            return
    try:
        yield from _of_threads(path)
    except InputError as error:
        if missing is None or error.code not in ("missing_column", "missing_field"):
            raise
        expected = f"a column {text_column!r}, or its name with --text-column"
        raise InputError(
            missing.message, code=missing.code, field=missing.field, got=missing.got, expected=expected
        ) from None


def _of_threads(path: Path) -> Iterator[GivenText]:
    for thread in iter_threads(path):
        for number, one in enumerate(thread.utterances, 1):
            if one.text.strip():
                yield GivenText(one.text, path.name, f"thread {thread.id}, text {number}")


def _of_table(table: Any, source: str, text_column: str, label_column: str | None) -> Iterator[GivenText]:
    names = (text_column, label_column, "target", "client")
    wanted = [name for name in names if name is not None and name in table.column_names]
    for name in wanted:
        check_once(table.column_names, name, source)
    for number, row in enumerate(table.select(list(dict.fromkeys(wanted))).to_pylist(), 1):
        text = row[text_column]
        if text and text.strip():
            label = _label(row.get(label_column), source, number) if label_column else None
            target, client = (str(row[name]) if row.get(name) else None for name in ("target", "client"))
            yield GivenText(text, source, f"row {number}", label, target, client)


def _label(value: object, source: str, number: int) -> str | None:
    if value is None or value == "":
        return None
    label = value.strip().casefold() if isinstance(value, str) else ""
    if label not in SENTIMENT:
        raise InputError(
            f"{source}, row {number}: this is no label",
            code="bad_label",
            field="label",
            got=repr(value)[:80],
            expected=", ".join(SENTIMENT),
        )
    return label


def texts_of_feedback(store: Store, most: int) -> list[GivenText]:
    """The last texts that people sent to /v1/feedback, newest first; those about sentiment with their labels.

    Where a client has labelled a text more than once, the newest label stands.
    """
    newest: dict[tuple[str, str | None, str | None], GivenText] = {}
    for row in every(store):
        text = row.get("text")
        if text:
            label = row["label"] if row["kind"] == "sentiment" else None
            one = GivenText(text, "feedback", f"item {row['id']}", label, row.get("target"), row["key"])
            # Put in anew, so that it is the last.
            newest.pop((text, one.target, one.client), None)
            newest[text, one.target, one.client] = one
    return list(islice(reversed(newest.values()), most))


def texts_of_jobs(store: Store, most: int) -> list[GivenText]:
    """The last texts that jobs have scored, those of the newest job first."""
    return list(islice(_of_jobs(store), most))


def _of_jobs(store: Store) -> Iterator[GivenText]:
    numbers: list[int] = []
    after: int | None = 0
    while after is not None:
        page = store.jobs(after, PAGE)
        numbers += [row["id"] for row in page.rows]
        after = page.after
    for number in reversed(numbers):
        yield from _of_job(store, number)


def _of_job(store: Store, number: int) -> Iterator[GivenText]:
    after: int | None = -1
    while after is not None:
        page = store.results(number, after, PAGE)
        for row in page.rows:
            for report in json.loads(row["result"]).get("reports", ()):
                for one in report.get("utterances", ()):
                    if one["text"].strip():
                        yield GivenText(one["text"], "jobs", f"job {number}, item {row['item']}")
        after = page.after


def different(texts: Sequence[GivenText]) -> list[GivenText]:
    """Without copies: the same text with the same label and target."""
    return list({(one.text, one.label, one.target): one for one in texts}.values())
