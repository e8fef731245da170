"""Scores a table of texts: one row in, one row out, in the order of the input. Columns: docs/predict.md."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from model.reading.table import holds_json
from model.types import InputError, Reading, Sentiment, TextLoyalty, plain
from service.files import replacing

if TYPE_CHECKING:
    from model.scorer import Scorer

Task = Literal["sentiment", "conduct", "loyalty"]
Row = dict[str, Any]
# A text, and the target that its sentiment is wanted towards.
Item = tuple[str, str | None]

TASKS: Final[tuple[Task, ...]] = get_args(Task)
SUFFIXES: Final = (".parquet", ".jsonl", ".csv")
CHUNK: Final = 2000

_SPAN: Final = [("probability", pa.float64()), ("quote", pa.string()), ("start", pa.int64()), ("end", pa.int64())]
_CUE: Final = pa.struct([("cue", pa.string()), ("value", pa.string()), ("state", pa.string()), *_SPAN])
_STATEMENT: Final = pa.struct([("kind", pa.string()), *_SPAN])
_STATUS: Final = [("status", pa.string()), ("reason", pa.string())]

SCHEMAS: Final[dict[Task, pa.Schema]] = {
    "sentiment": pa.schema(
        [
            ("label", pa.string()),
            *((name, pa.float64()) for name in ("negative", "neutral", "positive", "valence")),
            *_STATUS,
        ]
    ),
    "conduct": pa.schema(
        [
            ("cues", pa.list_(_CUE)),
            ("stated", pa.list_(_STATEMENT)),
            ("tenure", pa.struct(_SPAN)),
            ("role", pa.string()),
            ("role_probability", pa.float64()),
            ("failure", pa.string()),
            ("failure_probability", pa.float64()),
            ("severity", pa.int64()),
            ("severity_probability", pa.float64()),
            *_STATUS,
        ]
    ),
    "loyalty": pa.schema(
        [
            *((f"repurchase_{name}", pa.float64()) for name in ("stay", "undecided", "leave")),
            *((f"wom_{name}", pa.float64()) for name in ("positive", "mixed", "negative")),
            *((name, pa.float64()) for name in ("advocate", "churn", "index", "low", "high", "index_conduct")),
            *_STATUS,
        ]
    ),
}
"""The columns that each task adds, in order."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was written: rows, different texts that were scored, rows by status, input columns that were renamed."""

    rows: int
    scored: int
    statuses: Mapping[str, int]
    renamed: Mapping[str, str]


def predict(
    table: pa.Table,
    text_column: str,
    task: Task,
    out: Path,
    scorer: "Scorer",
    *,
    language: Callable[[str], str],
    target_column: str | None = None,
    chunk: int = CHUNK,
    progress: Callable[[int], None] = lambda rows: None,
) -> Outcome:
    """Writes table with the columns of task to out (.parquet, .jsonl or .csv), `chunk` rows at a time.

    language: code of a text's language, "und" where it can't be told. target_column: what the sentiment of each text
    is wanted towards; where it is empty, the sentiment is that of the whole text. progress: told the number of rows
    done. Equal texts are scored once. out appears when all is done. Raises InputError where a column or the name of
    the output can't be used.
    """
    texts = _texts(table, text_column)
    targets = _texts(table, target_column) if target_column is not None else None
    if targets is not None and task != "sentiment":
        raise InputError(
            "targets belong to sentiment", code="bad_target", field=str(target_column), got=task, expected="sentiment"
        )
    rows = _Rows(task, scorer, language, texts)
    names = kept_names(table.column_names, SCHEMAS[task].names)
    schema = pa.schema([f.with_name(n) for f, n in zip(table.schema, names, strict=True)] + list(SCHEMAS[task]))
    statuses: Counter[str] = Counter()
    with replacing(out) as path, _writer(path, out.suffix, schema) as write:
        for start in range(0, table.num_rows, chunk):
            given = table.slice(start, chunk)
            some = texts.slice(start, chunk).to_pylist()
            found = rows.of(some, targets.slice(start, chunk).to_pylist() if targets else [None] * len(some))
            statuses.update(row["status"] for row in found)
            ours = pa.Table.from_pylist(found, schema=SCHEMAS[task])
            write(pa.Table.from_arrays([*given.columns, *ours.columns], schema=schema))
            progress(start + given.num_rows)
    renamed = {old: new for old, new in zip(table.column_names, names, strict=True) if old != new}
    return Outcome(table.num_rows, rows.scored, dict(statuses), renamed)


def score_texts(texts: Sequence[str], task: Task, scorer: "Scorer", language: Callable[[str], str]) -> list[Row]:
    """One row a text with the columns of task, in order; equal texts are scored once."""
    rows = _Rows(task, scorer, language, pa.chunked_array([pa.array(texts, pa.string())]))
    return rows.of(texts, [None] * len(texts))


def kept_names(given: Sequence[str], ours: Iterable[str]) -> list[str]:
    """Names for the input's columns, in order: one that is taken becomes `<name>_input`, then `<name>_input_2`."""
    taken = set(ours)
    free = set(given)
    names = []
    for name in given:
        new, number = name, 1
        while new in taken or (new != name and new in free):
            new = f"{name}_input" if number == 1 else f"{name}_input_{number}"
            number += 1
        taken.add(new)
        names.append(new)
    return names


def _texts(table: pa.Table, name: str) -> pa.ChunkedArray:
    if table.column_names.count(name) != 1:
        raise InputError(
            f"there is no column {name!r}" if name not in table.column_names else f"column {name!r} is there twice",
            code="bad_column",
            field=name,
            got=", ".join(table.column_names) or "no columns",
            expected="one column with that name",
        )
    column = table.column(name)
    try:
        return column.cast(pa.string())
    except pa.ArrowException as error:
        raise InputError(
            f"column {name!r} can't be read as text",
            code="bad_column",
            field=name,
            got=str(column.type),
            expected="text",
        ) from error


class _Rows:
    """Rows of a task for texts; those that occur more than once in the table are scored once and remembered."""

    def __init__(self, task: Task, scorer: "Scorer", language: Callable[[str], str], texts: pa.ChunkedArray) -> None:
        self._score = _SCORE[task]
        self._scorer = scorer
        self._language = language
        self._nothing: Row = dict.fromkeys(SCHEMAS[task].names)
        counts = pc.value_counts(texts)
        self._repeated = set(counts.field(0).filter(pc.greater(counts.field(1), 1)).to_pylist()) - {None}
        self._known: dict[Item, Row] = {}
        self.scored = 0

    def of(self, texts: Sequence[str | None], targets: Sequence[str | None]) -> list[Row]:
        """One row a text, in order."""
        items = [
            (text, target if target and re.search(r"\w", target) else None) if text and text.strip() else None
            for text, target in zip(texts, targets, strict=True)
        ]
        new = [i for i in dict.fromkeys(items) if i is not None and i not in self._known]
        rows = dict(zip(new, self._scored(new), strict=True)) if new else {}
        self.scored += len(new)
        self._known.update((i, row) for i, row in rows.items() if i[0] in self._repeated)
        empty = self._empty("there is no text")
        return [rows.get(i) or self._known[i] if i is not None else empty for i in items]

    def _scored(self, items: list[Item]) -> list[Row]:
        worded = [i for i in items if self._scorer.has_words(i[0])]
        found = dict(zip(worded, self._score(self._scorer, worded), strict=True)) if worded else {}
        return [self._flagged(i[0], found.get(i)) for i in items]

    def _flagged(self, text: str, row: Row | None) -> Row:
        if row is None:
            return self._empty("the text holds no words")
        row = {"status": "ok", "reason": None, **row}
        code = self._language(text)
        if code in ("en", "und") or row["status"] == "abstain":
            return row
        reason = row["reason"] or f"written in {code}; the heads were trained on English"
        return {**row, "status": "not_english", "reason": reason}

    def _empty(self, reason: str) -> Row:
        return {**self._nothing, "status": "empty", "reason": reason}


def _sentiment(scorer: "Scorer", items: list[Item]) -> list[Row | None]:
    texts, targets = zip(*items, strict=True)
    return [_sentiment_row(s) for s in scorer.sentiment(texts, targets)]


def _sentiment_row(sentiment: Sentiment | None) -> Row | None:
    return plain(sentiment) if sentiment is not None else None


def _conduct(scorer: "Scorer", items: list[Item]) -> list[Row | None]:
    return [_conduct_row(reading) for reading in scorer.conduct([text for text, _ in items])]


def _conduct_row(reading: Reading) -> Row:
    row: Row = {
        "cues": [plain(c) for c in reading.cues],
        "stated": [plain(s) for s in reading.statements],
        "tenure": plain(reading.tenure) if reading.tenure else None,
    }
    for name, by_value in (("role", reading.role), ("failure", reading.failure), ("severity", reading.severity)):
        value = max(by_value, key=by_value.__getitem__)
        row[name] = int(value) if name == "severity" else value
        row[f"{name}_probability"] = by_value[value]
    return row


def _loyalty(scorer: "Scorer", items: list[Item]) -> list[Row | None]:
    return [_loyalty_row(one) for one in scorer.loyalty([text for text, _ in items])]


def _loyalty_row(one: TextLoyalty) -> Row:
    row: Row = {"status": one.status, "reason": one.reason}
    if one.loyalty is not None:
        found = one.loyalty
        row |= {f"repurchase_{name}": p for name, p in found.repurchase.items()}
        row |= {f"wom_{name}": p for name, p in found.wom.items()}
        row |= {n: getattr(found, n) for n in ("advocate", "churn", "index", "low", "high", "index_conduct")}
    return row


_SCORE: Final[dict[Task, Callable[["Scorer", list[Item]], list[Row | None]]]] = {
    "sentiment": _sentiment,
    "conduct": _conduct,
    "loyalty": _loyalty,
}


@contextmanager
def _writer(path: Path, suffix: str, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    if suffix == ".parquet":
        with pq.ParquetWriter(path, schema) as parquet:
            yield parquet.write_table
    elif suffix == ".jsonl":
        coded = [field.name for field in schema if holds_json(field)]
        with path.open("w", encoding="utf-8") as lines:
            yield lambda table: lines.writelines(_json(_decoded(row, coded)) + "\n" for row in table.to_pylist())
    elif suffix == ".csv":
        with pa_csv.CSVWriter(path, pa.schema([_flat_field(f) for f in schema])) as rows:
            yield lambda table: rows.write(_flat(table))
    else:
        raise InputError(
            f"{path.name}: can't write this kind of file",
            code="bad_output",
            got=suffix or "no suffix",
            expected=" or ".join(SUFFIXES),
        )


def _decoded(row: Row, coded: Sequence[str]) -> Row:
    """A row whose columns `coded` hold what stood in the input instead of its JSON."""
    return {**row, **{name: json.loads(row[name]) for name in coded if row[name] is not None}}


def _flat_field(field: pa.Field) -> pa.Field:
    return field.with_type(pa.string()) if _needs_json(field.type) else field


def _needs_json(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_dictionary(kind) or pa.types.is_binary(kind))


def _flat(table: pa.Table) -> pa.Table:
    """CSV has no lists and records: they become JSON."""
    columns = [_flat_column(c) if _needs_json(c.type) else c for c in table.columns]
    return pa.Table.from_arrays(columns, names=table.column_names)


def _flat_column(column: pa.ChunkedArray) -> pa.Array:
    values = (v if v is None or isinstance(v, str) else _json(v) for v in column.to_pylist())
    return pa.array(list(values), pa.string())


def _json(value: object) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value: object) -> object:
    """What JSON can say; a number that is none becomes null, a time ISO 8601, anything else its words."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return value.isoformat() if isinstance(value, date | time) else str(value)
