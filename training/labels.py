"""Labelled examples from outside: what people know better than the model, read, checked and counted once.

Sources are files (.jsonl, .csv, .tsv, .parquet), `datasets` (a saved folder or a hub id, `name:split`; the split is
`train` where none is named) and the rows of the feedback store. Every row is one of these, by its field `kind` or,
where it has none, by the task that is asked for:

kind        fields                                                        task
sentiment   text, label (negative, neutral, positive), optional target    sentiment
cue         text, cue, value, state, optional quote                       conduct
outcome     outcome, observed_at, case_id or author                       loyalty
prediction  case_id, or thread_id and author; predicted or case           loyalty

Optional everywhere: `client` (who says so; in feedback the API key), `when` (ISO 8601; in feedback `received_at`) and
`predicted` (what the model had said). docs/retrain.md explains the rules for copies and contradictions.
"""

import csv
import hashlib
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from model.codebook import CUES, SENTIMENT
from model.reading.bytes import decode
from model.reading.table import SUFFIXES, json_line, read_bytes
from model.types import InputError

Task = Literal["sentiment", "conduct", "loyalty"]
Row = Mapping[str, Any]

KINDS: Final[Mapping[str, Task]] = {
    "sentiment": "sentiment",
    "cue": "conduct",
    "outcome": "loyalty",
    "prediction": "loyalty",
}
PREDICTION: Final = "prediction"
STATES: Final = ("present", "absent", "hypothetical", "not_mentioned")
OUTCOMES: Final = ("bought_again", "left", "recommended", "warned")
LISTED: Final = 50
"""Dropped rows that a report lists; all of them are counted."""


@dataclass(frozen=True)
class Rows:
    """Rows of a source that is no file, such as the feedback store. name: how the report calls it."""

    name: str
    rows: Iterable[Row]


@dataclass(frozen=True)
class Labelled:
    """One example that can be learnt from.

    text: empty for an outcome without one. label: the sentiment, "cue:value", or the outcome. source and place: where
    it stands, such as "corrections.csv" and "row 3". target: what a sentiment is towards. when: ISO 8601, as given.
    client: who said so. predicted: what the model had said, as given. state and quote: of a cue. case_id and author:
    whose outcome; thread_id: where the author wrote. case: what the loyalty head saw. bundle: digest of the model that
    had `predicted`; predicted_at: when. label is "prediction" for what was kept for outcomes to come. rows: how many
    rows say the same; they count as one example.
    """

    task: Task
    text: str
    label: str
    source: str
    place: str
    target: str | None = None
    when: str | None = None
    client: str | None = None
    predicted: Any = None
    state: str | None = None
    quote: str | None = None
    case_id: str | None = None
    author: str | None = None
    thread_id: str | None = None
    case: Any = None
    bundle: str | None = None
    predicted_at: str | None = None
    rows: int = 1

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for examples that say something about the same thing."""
        if self.task == "loyalty":
            return (self.case_id or "", self.thread_id or "", self.author or "", self.label, self.when or "")
        about = self.label.partition(":")[0] if self.task == "conduct" else (self.target or "").casefold()
        return (same_text(self.text), about)

    @property
    def says(self) -> str:
        """What it says of the thing that key names."""
        return f"{self.label} {self.state}" if self.task == "conduct" else self.label


@dataclass(frozen=True)
class Dropped:
    """A row that is not used: where it stands and why.

    reason: "bad_row" (column, got, expected say what is wrong) or "conflict" (got: the labels that contradict it); of
    outcomes also "no_prediction" and "seen_before" (training.outcomes).
    """

    source: str
    place: str
    reason: Literal["bad_row", "conflict", "no_prediction", "seen_before"]
    column: str
    got: str
    expected: str

    @property
    def line(self) -> str:
        """For people."""
        return f"{self.source}, {self.place}: {self.column}: got {self.got}, expected {self.expected}"


@dataclass(frozen=True)
class Examples:
    """What was read: examples in the order of the sources, each once, and what was not used.

    rows: of all sources. superseded: labels that the same client replaced by a newer one. copies: rows that repeat
    another. other: rows of other kinds than the task asks for.
    """

    task: Task
    used: tuple[Labelled, ...]
    dropped: tuple[Dropped, ...]
    rows: int
    copies: int = 0
    superseded: int = 0
    other: int = 0

    @property
    def digest(self) -> str:
        """SHA-256 over what the examples say; the same whatever their order."""
        lines = sorted(json.dumps([*e.key, e.says, e.text]) for e in self.used)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def report(self) -> dict[str, Any]:
        """What was used and what was not, as JSON; it holds no text."""
        return {
            "task": self.task,
            "rows": self.rows,
            "used": len(self.used),
            "labels": dict(sorted(Counter(e.says for e in self.used).items())),
            "sources": dict(sorted(Counter(e.source for e in self.used).items())),
            "copies": self.copies,
            "superseded": self.superseded,
            "of_other_kinds": self.other,
            "dropped": dict(sorted(Counter(d.reason for d in self.dropped).items())),
            "dropped_rows": [d.line for d in self.dropped[:LISTED]],
            "digest": self.digest,
        }


def same_text(text: str) -> str:
    """What makes two copies of a text the same: words in lower case and signs such as emoji, without punctuation."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    # Brackets stay: they are what parts :) from :(.
    return " ".join(re.findall(r"\w+|[^\w\s.,;!?'\"’…–—-]", plain)) or plain.strip()


def read_examples(sources: Sequence[str | Path | Rows], task: Task, *, strict: bool = False) -> Examples:
    """Examples of all sources; a row that can't be used is dropped with its reason and costs no other.

    strict: the first row that can't be used, or that contradicts another without a majority, is an InputError instead.
    Raises InputError where a source can't be read at all, or where nothing can be used.
    """
    good: list[Labelled] = []
    dropped: list[Dropped] = []
    rows = other = 0
    for source in sources:
        for found in _of_source(source, task):
            rows += 1
            if isinstance(found, Labelled):
                good.append(found)
            elif found is None:
                other += 1
            else:
                dropped.append(found)
    current = newest(good)
    used, conflicts = settled(current)
    if strict and (dropped or conflicts):
        raise _refused((dropped or conflicts)[0], len(dropped) + len(conflicts))
    if not used:
        raise _nothing(sources, task, [*dropped, *conflicts], other)
    copies = len(current) - len(used) - len(conflicts)
    return Examples(
        task, tuple(used), (*dropped, *conflicts), rows, copies, superseded=len(good) - len(current), other=other
    )


def newest(examples: Sequence[Labelled]) -> list[Labelled]:
    """Leaves out what a client says of a thing where the same client says something newer of it in the same source.

    Examples without a client stay. Where times are equal or missing, what comes later is newer.
    """
    last: dict[tuple[str, ...], int] = {}
    for i, e in enumerate(examples):
        if e.client is not None:
            voice = (e.source, e.client, *e.key)
            if voice not in last or _moment(e.when) >= _moment(examples[last[voice]].when):
                last[voice] = i
    kept = set(last.values())
    return [e for i, e in enumerate(examples) if e.client is None or i in kept]


def settled(examples: Sequence[Labelled]) -> tuple[list[Labelled], list[Dropped]]:
    """One example of each thing, with the label of most rows; where two labels have as many, none, and all are told."""
    groups: dict[tuple[str, ...], list[Labelled]] = {}
    for e in examples:
        groups.setdefault(e.key, []).append(e)
    used: list[Labelled] = []
    conflicts: list[Dropped] = []
    for group in groups.values():
        votes = Counter(e.says for e in group).most_common()
        if len(votes) > 1 and votes[0][1] == votes[1][1]:
            told = ", ".join(f"{n} times {says}" for says, n in votes)
            conflicts += [_conflict(e, told) for e in group]
        else:
            first = next(e for e in group if e.says == votes[0][0])
            used.append(replace(first, rows=votes[0][1]))
    return used, conflicts


def _conflict(e: Labelled, told: str) -> Dropped:
    return Dropped(e.source, e.place, "conflict", "label", told, "one label more often than any other")


def _moment(when: str | None) -> datetime:
    if when is None:
        return datetime.min.replace(tzinfo=UTC)
    moment = datetime.fromisoformat(when)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# ------------------------------------------------------------------------------------------------------------- sources


def _of_source(source: str | Path | Rows, task: Task) -> Iterator[Labelled | Dropped | None]:
    """Each row of a source as an example, or why it is none, or None where it is of another kind."""
    rows: Iterable[tuple[str, Row | InputError]]
    if isinstance(source, Rows):
        name, rows = source.name, ((f"item {row.get('id', n)}", row) for n, row in enumerate(source.rows, 1))
    else:
        name, rows = Path(source).name, _rows(source)
    for place, row in rows:
        if isinstance(row, InputError):
            yield Dropped(name, place, "bad_row", "row", row.got or row.message, row.expected or "a row")
            continue
        kind = row.get("kind")
        if kind is None or KINDS.get(str(kind)) == task:
            yield _checked(row, task, name, place)
        elif kind in KINDS:
            yield None
        else:
            yield _bad(name, place, "kind", kind, ", ".join(KINDS))


def _rows(source: str | Path) -> Iterator[tuple[str, Row | InputError]]:
    path = Path(source)
    table_format = SUFFIXES.get(path.suffix.lower())
    if table_format is None:
        yield from _data_set(str(source))
    elif table_format == "jsonl":
        yield from _json_lines(path)
    elif table_format == "csv":
        yield from _csv_rows(path)
    else:
        yield from _parquet_rows(path)


def _parquet_rows(path: Path) -> Iterator[tuple[str, Row | InputError]]:
    try:
        table = pq.read_table(pa.BufferReader(read_bytes(path)))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{path.name} can't be read as a Parquet file: {str(error).splitlines()[0][:200]}",
            code="corrupt_file",
            field=path.name,
            got="a broken file",
            expected="a Parquet file",
        ) from None
    yield from ((f"row {n}", row) for n, row in enumerate(table.to_pylist(), 1))


def _json_lines(path: Path) -> Iterator[tuple[str, Row | InputError]]:
    for number, line in enumerate(read_bytes(path).split(b"\n"), 1):
        if line.strip():
            try:
                yield f"line {number}", json_line(line.removeprefix(b"\xef\xbb\xbf"), number, path.name)
            except InputError as error:
                yield f"line {number}", error


def _csv_rows(path: Path) -> Iterator[tuple[str, Row | InputError]]:
    text = decode(read_bytes(path), path.name)[0].removeprefix("\ufeff")
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t|", key=header.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, restkey="", restval=None)
    try:
        for number, row in enumerate(reader, 1):
            if "" in row or None in row.values():
                count = sum(v is not None for k, v in row.items() if k) + len(row.get("") or ())
                expected = f"{len(reader.fieldnames or ())} fields"
                yield f"row {number}", InputError("", code="bad_row", got=f"{count} fields", expected=expected)
            else:
                yield f"row {number}", {k: v if v != "" else None for k, v in row.items()}
    except csv.Error as error:
        raise InputError(f"{path.name} can't be read as CSV: {error}", code="corrupt_file", field=path.name) from None


def _data_set(source: str) -> Iterator[tuple[str, Row | InputError]]:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise InputError(
            f"{source} is no file that can be read, and data sets need the package {error.name}",
            code="missing_package",
            field=source,
            got="the base install",
            expected=f'one of {", ".join(SUFFIXES)}, or pip install "amends[train]"',
        ) from error
    name, _, split = source.partition(":")
    try:
        if Path(name).is_dir() and (Path(name) / "state.json").is_file():
            found = datasets.load_from_disk(name)
        else:
            found = datasets.load_dataset(name, split=split or "train")
    except (OSError, ValueError, RuntimeError) as error:
        # datasets and its hub client raise all of these for a name that does not exist or can't be reached.
        raise InputError(
            f"{source} can't be read as a data set: {str(error).splitlines()[0][:200]}",
            code="no_dataset",
            field=source,
            got=source,
            expected=f"a file ({', '.join(SUFFIXES)}), a folder that `datasets` saved, or a hub id",
        ) from None
    named = getattr(found.features.get("label"), "names", None)
    for number, row in enumerate(found, 1):
        if named and isinstance(row["label"], int) and 0 <= row["label"] < len(named):
            row = {**row, "label": named[row["label"]]}
        yield f"row {number}", row


# ------------------------------------------------------------------------------------------------------------ checking


def _checked(row: Row, task: Task, source: str, place: str) -> Labelled | Dropped:
    wrong = next((p for p in _problems(row, task)), None)
    if wrong:
        return _bad(source, place, *wrong)
    when = row.get("when") or row.get("received_at")
    common: dict[str, Any] = {
        "source": source,
        "place": place,
        "when": _iso(row.get("observed_at") if task == "loyalty" else when),
        "client": _client(row),
        "predicted": row.get("predicted"),
    }
    text = str(row.get("text") or "")
    if task == "sentiment":
        target = row.get("target")
        return Labelled(task, text, _word(row["label"]), target=str(target) if target else None, **common)
    if task == "conduct":
        label = f"{row['cue']}:{row['value']}"
        return Labelled(task, text, label, state=row["state"], quote=row.get("quote") or None, **common)
    return _loyalty_example(row, text, common)


def _loyalty_example(row: Row, text: str, common: dict[str, Any]) -> Labelled:
    label = PREDICTION if _predicts(row) else _word(row["outcome"])
    people: dict[str, Any] = {
        name: str(row[name]) if row.get(name) else None for name in ("case_id", "author", "thread_id")
    }
    predicted = as_json(row.get("predicted"))
    # The bundle of a feedback item is the one that answered when it came: it made a prediction, but not an outcome.
    named = predicted.get("bundle") if isinstance(predicted, Mapping) else None
    bundle = as_json(named or (row.get("bundle") if _predicts(row) else None))
    when = _iso(row.get("predicted_at") or row.get("when") or row.get("received_at"))
    more = {
        "predicted": predicted,
        "case": as_json(row.get("case")),
        "bundle": bundle.get("digest") if isinstance(bundle, Mapping) else bundle,
        "predicted_at": when if _predicts(row) else _iso(row.get("predicted_at")),
    }
    if _predicts(row):
        more["when"] = when
    return Labelled("loyalty", text, label, **people, **common | more)


def as_json(value: Any) -> Any:
    """A value as it is, or what its text says where a table holds JSON as text."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _predicts(row: Row) -> bool:
    return row.get("kind") == PREDICTION


def _client(row: Row) -> str | None:
    """Who says so. Feedback that came without a key is of one unnamed client: the key is null, not absent."""
    if row.get("client"):
        return str(row["client"])
    return str(row["key"] or "") if "key" in row and "kind" in row else None


def _problems(row: Row, task: Task) -> Iterator[tuple[str, Any, str]]:
    """(column, got, expected) of everything that is wrong with a row."""
    text = row.get("text")
    if task != "loyalty" and not (isinstance(text, str) and text.strip()):
        yield "text", text, "a text"
    if task == "sentiment" and _word(row.get("label")) not in SENTIMENT:
        yield "label", row.get("label"), ", ".join(SENTIMENT)
    if task == "conduct":
        yield from _cue_problems(row, str(text))
    if task == "loyalty" and _predicts(row):
        if not row.get("case_id") and not (row.get("thread_id") and row.get("author")):
            yield "case_id", None, "case_id, or thread_id and author"
        if not row.get("predicted") and not row.get("case"):
            yield "case", None, "case, predicted or both"
    elif task == "loyalty":
        if _word(row.get("outcome")) not in OUTCOMES:
            yield "outcome", row.get("outcome"), ", ".join(OUTCOMES)
        if not row.get("case_id") and not row.get("author"):
            yield "case_id", None, "case_id or author"
        if row.get("observed_at") is None:
            yield "observed_at", None, "a day such as 2026-03-31"
    for name in ("when", "received_at", "observed_at", "predicted_at"):
        if row.get(name) is not None and _iso(row[name]) is None:
            yield name, row[name], "ISO 8601, such as 2026-03-31"


def _cue_problems(row: Row, text: str) -> Iterator[tuple[str, Any, str]]:
    cue, quote = row.get("cue"), row.get("quote")
    if cue not in CUES:
        yield "cue", cue, ", ".join(CUES)
    elif row.get("value") not in CUES[cue]:
        yield "value", row.get("value"), ", ".join(CUES[cue])
    if row.get("state") not in STATES:
        yield "state", row.get("state"), ", ".join(STATES)
    if quote and str(quote) not in text:
        yield "quote", quote, "words of the text"


def _word(value: object) -> str:
    return value.strip().casefold() if isinstance(value, str) else ""


def _iso(value: object) -> str | None:
    if isinstance(value, date):
        return value.isoformat()
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return str(value)


def _bad(source: str, place: str, column: str, got: object, expected: str) -> Dropped:
    told = "nothing" if got is None else repr(got)
    return Dropped(source, place, "bad_row", column, told if len(told) <= 80 else f"{told[:77]}...", expected)


def _refused(first: Dropped, count: int) -> InputError:
    more = f" ({count - 1} more)" if count > 1 else ""
    return InputError(
        f"{first.source}, {first.place}: the {first.column} can't be used{more}",
        code=first.reason,
        field=first.column,
        got=first.got,
        expected=first.expected,
    )


def _nothing(sources: Sequence[str | Path | Rows], task: Task, dropped: Sequence[Dropped], other: int) -> InputError:
    names = ", ".join(s.name if isinstance(s, Rows) else str(s) for s in sources)
    why = f"; first: {dropped[0].line}" if dropped else ""
    kind = next(k for k, t in KINDS.items() if t == task)
    return InputError(
        f"nothing in {names} can be learnt from",
        code="no_examples",
        field="from",
        got=f"{len(dropped)} rows that can't be used and {other} of other kinds{why}",
        expected=f"rows of the kind {kind} (docs/retrain.md)",
    )
