"""Reads a table of texts (CSV, JSON lines, Parquet) with every column and row as it stands."""

import codecs
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from model.reading.bytes import check_text, load_json
from model.types import InputError

SUFFIXES: Final = {
    ".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
_BLOCK: Final = 1 << 26
"""Bytes that are parsed at once; a single JSON line may not be longer."""


def read_table(path: Path, text_column: str = "text") -> pa.Table:
    """The table in a .csv, .tsv, .jsonl or .parquet file: all columns in order, all rows, texts as strings.

    Null and empty texts stay. Raises InputError where the file is absent, empty, binary, corrupt or not UTF-8, where
    the column is missing (the message lists those there are) or where it holds no text.
    """
    path = Path(path)
    table_format = SUFFIXES.get(path.suffix.lower())
    if table_format is None:
        raise InputError(
            f"{path.name} is no table that can be read",
            code="unknown_format",
            field=path.name,
            got=f"the suffix {path.suffix!r}",
            expected=", ".join(SUFFIXES),
        )
    return table_from_bytes(read_bytes(path), table_format, path.name, text_column)


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


def table_from_bytes(content: bytes, table_format: str, name: str, text_column: str = "text") -> pa.Table:
    """As read_table, from the content of a file; table_format is csv, jsonl or parquet."""
    if table_format == "parquet":
        table = _parquet(content, name)
    else:
        check_text(content, name)
        content = content.removeprefix(codecs.BOM_UTF8)
        _check_utf8(content, name)
        table = _csv(content, name, text_column) if table_format == "csv" else _jsonl(content, name)
    return _with_text(table, name, text_column)


def _parquet(content: bytes, name: str) -> pa.Table:
    if not content:
        check_text(content, name)
    try:
        return pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError, ValueError) as error:
        _corrupt(name, "a Parquet file", error)


def _csv(content: bytes, name: str, text_column: str) -> pa.Table:
    header = content.split(b"\n", 1)[0].decode("utf-8").rstrip("\r")
    delimiter = next(
        (sign for sign in ",;\t|" if text_column in _columns(header, sign)), "\t" if name.endswith(".tsv") else ","
    )
    columns = _columns(header, delimiter)
    if text_column not in columns:
        _missing(name, text_column, columns)
    if not content.split(b"\n", 1)[-1].strip() or b"\n" not in content:
        return pa.table({column: pa.array([], pa.string()) for column in columns})
    try:
        return pa_csv.read_csv(
            pa.BufferReader(content),
            read_options=pa_csv.ReadOptions(block_size=_BLOCK),
            parse_options=pa_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=len(columns) > 1
            ),
            convert_options=pa_csv.ConvertOptions(column_types={text_column: pa.string()}, strings_can_be_null=False),
        )
    except pa.ArrowException as error:
        _corrupt(name, "a CSV file", error)


def _columns(header: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(header), delimiter=delimiter), [])
    except csv.Error:
        return []


def _jsonl(content: bytes, name: str) -> pa.Table:
    first = content.lstrip()[:1]
    if first == b"[":
        return _from_objects(_json_array(content, name), name)
    try:
        return _read_json(content)
    except pa.ArrowException:
        # Arrow names neither line nor column, and refuses columns of mixed types: go through the lines one by one.
        return _from_objects(list(_objects(content, name)), name)


def _read_json(content: bytes) -> pa.Table:
    options = pa_json.ReadOptions(block_size=min(max(len(content), 1), _BLOCK))
    table = pa_json.read_json(pa.BufferReader(content), read_options=options)
    times = [entry.with_type(pa.string()) for entry in table.schema if pa.types.is_timestamp(entry.type)]
    if times:
        # Times that were text stay text as they were written.
        schema = pa.schema(
            [
                pa.field(entry.name, pa.string()) if pa.types.is_timestamp(entry.type) else entry
                for entry in table.schema
            ]
        )
        parse = pa_json.ParseOptions(explicit_schema=schema)
        table = pa_json.read_json(pa.BufferReader(content), read_options=options, parse_options=parse)
    return table


def _json_array(content: bytes, name: str) -> list[Any]:
    try:
        return list(load_json(content))
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


def _from_objects(objects: list[Any], name: str) -> pa.Table:
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
    return pa.table({column: _array([value.get(column) for value in objects]) for column in columns})


def _array(values: list[Any]) -> pa.Array:
    """A column; where the types are mixed, everything that is no text becomes its JSON."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array(
            [value if value is None or isinstance(value, str) else json.dumps(value) for value in values], pa.string()
        )


def _with_text(table: pa.Table, name: str, text_column: str) -> pa.Table:
    """The table with its text column as strings."""
    if table.num_rows == 0:
        raise InputError(
            f"{name} has no rows", code="empty_file", field=name, got="0 rows", expected="at least one row"
        )
    if text_column not in table.column_names:
        _missing(name, text_column, table.column_names)
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


def _check_utf8(content: bytes, name: str) -> None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{name}, line {line}: not UTF-8",
            code="bad_encoding",
            field=f"line {line}",
            got=f"the byte 0x{content[error.start]:02x} at position {error.start}",
            expected="UTF-8",
        ) from None


def _missing(name: str, text_column: str, columns: list[str]) -> NoReturn:
    raise InputError(
        f"{name} has no column {text_column!r}; it has {', '.join(columns) or 'none'}",
        code="missing_column",
        field=text_column,
        got=f"the columns {', '.join(columns)}",
        expected=f"a column {text_column!r}",
    )


def _corrupt(name: str, what: str, error: Exception) -> NoReturn:
    raise InputError(
        f"{name} can't be read as {what}: {str(error).splitlines()[0][:200] if str(error) else type(error).__name__}",
        code="corrupt_file",
        field=name,
        got="a broken file",
        expected=what,
    ) from None
