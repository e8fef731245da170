"""Reads a table of texts (CSV, JSON lines, Parquet) with every column and row as it stands."""

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from model.reading.bytes import NotFiniteError, check_text, load_json, marked_encoding
from model.reading.delimited import Delimited, long_cells
from model.types import InputError

SUFFIXES: Final = {
    ".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
_SPACE: Final = re.compile(r"\s*")
_BATCH: Final = 10_000
_HOLDS_JSON: Final = {b"amends": b"json"}

Warn = Callable[[str], None]


def _unheard(message: str) -> None:
    """What a caller hears who asks for no warnings."""


def read_table(path: Path, text_column: str = "text", warn: Warn = _unheard) -> pa.Table:
    """The table in a .csv, .tsv, .jsonl or .parquet file: all columns in order, all rows, texts as strings.

    Every column of CSV is one of texts; a column of JSON that no single type can hold is one of JSON (holds_json). Null
    and empty texts stay. Raises InputError where the file is absent, empty, binary, corrupt or not in the encoding that
    its byte order mark names (UTF-8 without one), where the column is missing (the message lists those there are) or
    where it holds no text. warn: told what looks wrong and is read nevertheless.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(
            f"{path} is a folder, not a table", code="not_readable", field=str(path), got="a folder", expected="a file"
        )
    table_format = SUFFIXES.get(path.suffix.lower())
    if table_format is None:
        raise InputError(
            f"{path.name} is no table that can be read",
            code="unknown_format",
            field=path.name,
            got=f"the suffix {path.suffix!r}" if path.suffix else "no suffix",
            expected=", ".join(SUFFIXES),
        )
    return table_from_bytes(read_bytes(path), table_format, path.name, text_column, warn)


def read_bytes(path: Path) -> bytes:
    """The content of a file; InputError "not_found" or "not_readable" where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{path} does not exist", code="not_found", field=str(path), got="no file", expected="a file"
        ) from None
    except OSError as error:
        raise InputError(
            f"{path} can't be read: {error.strerror}",
            code="not_readable",
            field=str(path),
            got=str(error.strerror),
            expected="a file",
        ) from None


def table_from_bytes(
    content: bytes, table_format: str, name: str, text_column: str = "text", warn: Warn = _unheard
) -> pa.Table:
    """As read_table, from the content of a file; table_format is csv, jsonl or parquet."""
    if table_format == "parquet":
        table = _parquet(content, name)
    else:
        check_text(content, name)
        content = _as_utf8(content, name)
        table = _csv(content, name, text_column, warn) if table_format == "csv" else _jsonl(content, name, text_column)
    return _with_text(table, name, text_column)


def _parquet(content: bytes, name: str) -> pa.Table:
    if not content:
        check_text(content, name)
    try:
        return pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError, ValueError) as error:
        _corrupt(name, "a Parquet file", error)


def _csv(content: bytes, name: str, text_column: str, warn: Warn) -> pa.Table:
    """All cells as texts, so that they can be written back as they were: 007, 1.10, 2024-01-01."""
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8", newline="")
    with long_cells():
        records = Delimited(text, name, text_column)
        if text_column not in records.columns:
            missing_column(name, text_column, records.columns)
        schema = pa.schema([(column, pa.string()) for column in records.columns])
        return pa.Table.from_batches(list(_batches(records, schema, warn)), schema)


def _batches(records: Delimited, schema: pa.Schema, warn: Warn) -> Iterator[pa.RecordBatch]:
    """The records as batches of texts. Raises the problem of the first record that can't be used."""
    cells = _cells(records, warn)
    while some := list(islice(cells, _BATCH)):
        arrays = [pa.array(column, pa.string()) for column in zip(*some, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _cells(records: Delimited, warn: Warn) -> Iterator[list[str]]:
    for record in records:
        if record.cells is None:
            raise record.problem or AssertionError("a record without cells has a problem")
        if record.problem is not None:
            warn(record.problem.message)
        yield record.cells


def _jsonl(content: bytes, name: str, text_column: str) -> pa.Table:
    if content.lstrip()[:1] == b"[":
        return _from_objects(_json_array(content, name), name, text_column)
    try:
        return _from_objects(list(_objects(content, name)), name, text_column)
    except InputError:
        # Objects may also go over several lines each.
        objects = _one_after_another(content)
        if objects is None:
            raise
        return _from_objects(objects, name, text_column)


def _one_after_another(content: bytes) -> list[Any] | None:
    """The values of JSON documents that follow each other, however they are laid out; None where one is broken."""
    text = content.decode("utf-8").strip()
    decoder, values, at = json.JSONDecoder(), [], 0
    try:
        while at < len(text):
            _, end = decoder.raw_decode(text, at)
            values.append(load_json(text[at:end].encode("utf-8")))
            at = _SPACE.match(text, end).end()  # type: ignore[union-attr]
    except (ValueError, RecursionError):
        return None
    return values


def _json_array(content: bytes, name: str) -> list[Any]:
    try:
        return list(load_json(content))
    except NotFiniteError as error:
        raise no_number(name, "", error) from None
    except (ValueError, RecursionError) as error:
        _corrupt(name, "a JSON list", error)


def _objects(content: bytes, name: str) -> Iterator[Any]:
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            yield json_line(line, number, name)


def json_line(line: bytes | str, number: int, name: str) -> dict[str, Any]:
    """The object on one line of a JSON-lines file, counted from 1; InputError "bad_line" where there is none."""
    try:
        value = load_json(line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass"))
    except NotFiniteError as error:
        raise no_number(name, f"line {number}: ", error) from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{name}, line {number}: no JSON ({error})",
            code="bad_line",
            field=f"line {number}",
            got=repr(line[:60]),
            expected="one JSON object per line",
        ) from None
    if not isinstance(value, dict):
        raise InputError(
            f"{name}, line {number}: no JSON object",
            code="bad_line",
            field=f"line {number}",
            got=f"{type(value).__name__} {str(value)[:60]}",
            expected="one JSON object per line",
        )
    return value


def no_number(name: str, where: str, error: NotFiniteError) -> InputError:
    """The error for a number that no JSON is. where: the line that holds it, such as "line 3: "."""
    return InputError(
        f"{name}, {where}{error}",
        code="bad_value",
        field=f"{where}{error.path}".removesuffix(": "),
        got=error.number,
        expected="a JSON number or null",
    )


def _from_objects(objects: list[Any], name: str, text_column: str) -> pa.Table:
    for number, value in enumerate(objects, 1):
        if not isinstance(value, dict):
            raise InputError(
                f"{name}, item {number}: no JSON object",
                code="bad_line",
                field=f"item {number}",
                got=type(value).__name__,
                expected="JSON objects",
            )
    columns = list(dict.fromkeys(key for value in objects for key in value))
    found = []
    for column in columns:
        values = [value.get(column) for value in objects]
        found.append(_column(column, _texts(values, name, column) if column == text_column else values))
    return pa.Table.from_arrays([array for _, array in found], schema=pa.schema([field for field, _ in found]))


def _texts(values: list[Any], name: str, column: str) -> list[str | None]:
    texts = []
    for number, value in enumerate(values, 1):
        text = text_of(value)
        if text is not None and not isinstance(text, str):
            raise InputError(
                f"{name}, item {number}: the column {column!r} holds no text",
                code="bad_column",
                field=column,
                got=f"{type(value).__name__} {str(value)[:60]}",
                expected="text",
            )
        texts.append(text)
    return texts


def text_of(value: Any) -> Any:
    """A number, true or false that stands for a text, as CSV would write it: "42"; anything else as it is."""
    return json.dumps(value) if isinstance(value, int | float) else value


def _column(name: str, values: list[Any]) -> tuple[pa.Field, pa.Array]:
    """A column of JSON values in the one type that keeps them all as they are.

    Where no type does (3 and 2.5, records with other fields), every value becomes its JSON, and the field says so, see
    holds_json; beside texts, what is no text becomes its JSON.
    """
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {str}:
        return pa.field(name, pa.string()), pa.array(values, pa.string())
    try:
        array = pa.array(values)
        if (len(kinds) == 1 and kinds <= {bool, int, float}) or _same(array.to_pylist(), values):
            return pa.field(name, array.type), array
    except (pa.ArrowException, OverflowError):
        pass
    texts = [value if value is None or isinstance(value, str) else _dumped(value) for value in values]
    metadata = None if str in kinds else _HOLDS_JSON
    return pa.field(name, pa.string(), metadata=metadata), pa.array(texts, pa.string())


def holds_json(field: pa.Field) -> bool:
    """Whether every value of a column of texts is the JSON of what stood in the file."""
    return _HOLDS_JSON.items() <= (field.metadata or {}).items()


def _same(some: list[Any], others: list[Any]) -> bool:
    return json.dumps(some, sort_keys=True) == json.dumps(others, sort_keys=True)


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _with_text(table: pa.Table, name: str, text_column: str) -> pa.Table:
    """The table with its text column as strings."""
    if table.num_rows == 0:
        raise InputError(
            f"{name} has no rows", code="empty_file", field=name, got="0 rows", expected="at least one row"
        )
    if text_column not in table.column_names:
        missing_column(name, text_column, table.column_names)
    check_once(table.column_names, text_column, name)
    index = table.column_names.index(text_column)
    column = table.column(index)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise InputError(
            f"{name}: the column {text_column!r} holds {kind}, not text",
            code="bad_column",
            field=text_column,
            got=str(kind),
            expected="text",
        )
    return table if pa.types.is_string(column.type) else table.set_column(index, text_column, column.cast(pa.string()))


def check_once(columns: Sequence[str], column: str, name: str) -> None:
    """Raises InputError "doubled_column" where more than one of the columns of a file has the name `column`."""
    times = columns.count(column)
    if times > 1:
        raise InputError(
            f"{name} has {times} columns {column!r}",
            code="doubled_column",
            field=column,
            got=f"the columns {', '.join(columns)[:500]}",
            expected="one column with that name",
        )


def _as_utf8(content: bytes, name: str) -> bytes:
    """The content in UTF-8, from the encoding that a byte order mark names."""
    encoding = marked_encoding(content) or "utf-8"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        # What stands before the error is sound; a decoder that takes a mark away must see it.
        line = content[: error.start].decode(encoding, "ignore").count("\n") + 1
        expected = "UTF-8" if encoding == "utf-8-sig" else encoding.upper()
        raise InputError(
            f"{name}, line {line}: not {expected}",
            code="bad_encoding",
            field=f"line {line}",
            got=f"the byte 0x{content[error.start]:02x} at position {error.start}",
            expected=expected,
        ) from None
    return content if encoding == "utf-8" else text.encode("utf-8", "replace")


def missing_column(name: str, column: str, columns: Sequence[str]) -> NoReturn:
    """Raises InputError "missing_column", which names the columns that there are."""
    raise InputError(
        f"{name} has no column {column!r}; it has {', '.join(columns) or 'none'}",
        code="missing_column",
        field=column,
        got=f"the columns {', '.join(columns)}",
        expected=f"a column {column!r}",
    )


def _corrupt(name: str, what: str, error: Exception) -> NoReturn:
    raise InputError(
        f"{name} can't be read as {what}: {str(error).splitlines()[0][:200] if str(error) else type(error).__name__}",
        code="corrupt_file",
        field=name,
        got="a broken file",
        expected=what,
    ) from None
