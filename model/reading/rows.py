"""Reads tables of texts and JSON of every shape as streams: a row or a line is in memory at a time."""

import io
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model.reading.bytes import NotFiniteError, load_json
from model.reading.delimited import Delimited
from model.reading.export import Grouper, Head, Piece, at, author, iso_time, known, number
from model.reading.json import thread_from_dict
from model.reading.objects import SHAPES, shape_of
from model.reading.stream import Limits, Notes, check_unpacked, lines, reader_of
from model.reading.table import check_once, no_number, text_of
from model.types import InputError, Thread

FIELDS: Final = (
    "text", "thread", "id", "parent", "author", "author_url", "time", "votes", "kind", "title", "url", "brand",
)  # fmt: skip
"""What a column may be used as; "thread" makes rows with the same value one thread."""
OR_NAMED: Final = ", or its name among the fields (text=NAME)"
_BATCH: Final = 500
_CHUNK: Final = 1 << 18


class Rows:
    """Makes threads of rows: one each, or one for all rows that name the same thread.

    fields: the column for each of FIELDS, by default the one of that name.
    """

    def __init__(self, name: str, brand: str | None, fields: Mapping[str, str] | None) -> None:
        self.name = name
        self.brand = brand
        self.fields = dict(fields or {})
        unknown = [ours for ours in self.fields if ours not in FIELDS]
        if unknown:
            raise InputError(
                f"no column can be used as {unknown[0]!r}",
                code="unknown_field",
                field="fields",
                got=repr(unknown[0]),
                expected=", ".join(FIELDS),
            )
        self.text_column = self.fields.get("text", "text")
        self.in_threads = "thread" in self.fields
        self._ids = False

    def check(self, columns: list[str]) -> None:
        """Raises InputError unless the text and all columns of `fields` are there, and each that is used only once.

        Codes: "missing_column", "doubled_column".
        """
        for ours in FIELDS:
            check_once(columns, self.fields.get(ours, ours), self.name)
        for column in (self.text_column, *self.fields.values()):
            if column not in columns:
                raise InputError(
                    f"{self.name} has no column {column!r}; it has {', '.join(columns)[:500] or 'none'}",
                    code="missing_column",
                    field=column,
                    got=f"the columns {', '.join(columns)[:500]}",
                    expected=f"a column {column!r}{OR_NAMED if column == 'text' else ''}",
                )

    def single(self, row: Mapping[str, Any], index: int, where: str) -> Thread:
        """A thread of one text. Null becomes an empty text, which the cleaner drops with its reason."""
        mine = self._mine(row, where)
        key = self._id(mine, index)
        when, noted = iso_time(mine.get("time"))
        flags = row.get("flags") if isinstance(row.get("flags"), list | tuple) else ()
        writer = mine.get("author")
        utterance = {
            "id": key,
            "kind": mine.get("kind") or "review",
            "text": "" if mine["text"] is None else text_of(mine["text"]),
            "author": writer if isinstance(writer, Mapping) else _author(mine),
            "time": when,
            "votes": number(mine.get("votes")),
            "flags": [*(flags or ()), *noted],
            "place": at(where),
        }
        title, url = mine.get("title"), mine.get("url")
        try:
            thread = thread_from_dict(
                {"id": key, "title": title or None, "url": url or None, "utterances": [utterance]}, brand=self.brand
            )
        except InputError as error:
            field = f"{where}{(error.field or '').removeprefix('utterances[0].')}"
            message = f"{self.name}, {field}: got {error.got}, expected {error.expected}"
            raise InputError(message, code=error.code, field=field, got=error.got, expected=error.expected) from None
        own = mine.get("brand")
        return replace(thread, brand=self.brand or (own if isinstance(own, str) and own else None))

    def pieces(self, row: Mapping[str, Any], index: int, where: str) -> Iterator[Piece]:
        """The pieces of a row that belongs to a thread. A row whose id is that of its thread is the post."""
        single = self.single(row, index, where).utterances[0]
        mine = self._mine(row, where)
        thread = known(mine.get("thread"))
        parent = known(mine.get("parent"))
        post = thread is not None and _given_id(mine.get("id")) == thread
        title, url = (one if isinstance(one, str) else None for one in (mine.get("title"), mine.get("url")))
        yield Piece(thread or single.id, Head(title, url))
        yield Piece(
            thread or single.id,
            replace(
                single,
                kind=single.kind if mine.get("kind") else "post" if post else "comment",
                parent=None if post or parent in (thread, single.id) else parent,
            ),
        )

    def _id(self, mine: Mapping[str, Any], index: int) -> str:
        """The id of a row; its number where the table has none, which among given ids must look unlike them."""
        given = _given_id(mine.get("id"))
        self._ids = self._ids or "id" in mine
        return given or (f"row-{index + 1}" if self._ids else str(index + 1))

    def _mine(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        mine = {ours: row[column] for ours in FIELDS if (column := self.fields.get(ours, ours)) in row}
        if "text" not in mine:
            raise InputError(
                f"{self.name}, {where}no text and no utterances",
                code="missing_field",
                field=f"{where}{self.text_column}",
                got=f"the fields {', '.join(map(str, row))[:200] or 'none'}",
                expected="text or utterances",
            )
        return mine


def _given_id(value: object) -> str | None:
    """As known, but 0 is an id: only a parent of 0 is none."""
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    return "0" if text in ("0", "0.0") else known(value)


def _author(mine: Mapping[str, Any]) -> dict[str, Any] | None:
    found = author(mine.get("author"), mine.get("author_url"))
    return {"name": found.name, "url": found.url} if found else None


def read_rows(rows: Iterator[tuple[str, Mapping[str, Any]]], table: Rows, notes: Notes) -> Iterator[Thread]:
    """The threads of a table's rows, which come with their places; a row that can't be used becomes a note."""
    grouper = Grouper("table", table.brand) if table.in_threads else None
    try:
        for index, (where, row) in enumerate(rows):
            try:
                if grouper is None:
                    yield table.single(row, index, where)
                else:
                    grouper.extend(table.pieces(row, index, where))
            except InputError as error:
                notes.add(error)
        if grouper is not None:
            yield from grouper.threads()
    finally:
        if grouper is not None:
            grouper.close()


def csv_rows(stream: IO[bytes], table: Rows, notes: Notes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of a CSV file, whose columns are parted by comma, semicolon, tab or bar; empty cells are None."""
    text = io.TextIOWrapper(stream, "utf-8", errors="surrogateescape", newline="")
    records = Delimited(text, table.name, table.text_column)
    table.check(records.columns)
    count = 0
    for record in records:
        count += 1
        if record.problem is not None:
            notes.add(record.problem)
        if record.cells is None:
            continue
        if any("\udc80" <= char <= "\udcff" for cell in record.cells if not cell.isascii() for char in cell):
            notes.add(_bad_row(table.name, record.line, "broken UTF-8", "UTF-8", "bad_encoding"))
        else:
            cells = (cell or None for cell in record.cells)
            yield f"line {record.line}: ", dict(zip(records.columns, cells, strict=True))
    if not count:
        raise _no_rows(table.name)


def parquet_rows(file: IO[bytes], table: Rows, limits: Limits, notes: Notes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of a Parquet file, a batch in memory at a time.

    Raises InputError "compression_bomb" where they unpack beyond the limit: by what the file says before it is read,
    and by what there is in a batch before that becomes text.
    """
    packed = file.seek(0, io.SEEK_END)
    file.seek(0)
    try:
        source = _texts_once(file)
        schema = source.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _corrupt(table.name, error) from None
    table.check(schema.names)
    kind = schema.field(table.text_column).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise InputError(
            f"{table.name}: the column {table.text_column!r} holds {kind}, not text",
            code="bad_column",
            field=table.text_column,
            got=str(kind),
            expected="text",
        )
    if not source.metadata.num_rows:
        raise _no_rows(table.name)
    used = {table.fields.get(ours, ours) for ours in FIELDS} | {"flags"}
    check_unpacked(_said_bytes(source.metadata, used), packed, table.name, limits)
    number = total = 0
    batches = source.iter_batches(_BATCH, columns=[column for column in schema.names if column in used])
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError, ValueError) as error:
            notes.add(_corrupt(f"{table.name}, after row {number}", error))
            return
        if batch is None:
            return
        total += sum(map(_bytes_of, batch.columns))
        check_unpacked(total, packed, table.name, limits)
        try:
            rows = batch.to_pylist()
        except (pa.ArrowException, ValueError) as error:
            notes.add(_corrupt(f"{table.name}, after row {number}", error))
            return
        for row in rows:
            number += 1
            value = row[table.text_column]
            yield f"row {number}: ", {**row, table.text_column: value if value is None else str(value)}


def _texts_once(file: IO[bytes]) -> pq.ParquetFile:
    """The file, whose texts stay as small as they are packed: one that is in many rows is in memory once."""
    metadata = pq.read_metadata(file)
    columns = map(metadata.schema.column, range(metadata.num_columns))
    texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    return pq.ParquetFile(file, metadata=metadata, read_dictionary=texts)


def _said_bytes(metadata: pq.FileMetaData, used: Collection[str]) -> int:
    """Bytes of the columns `used` once they are unpacked, by the file's own account. A value counts as one at least."""
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    chunks = (group.column(i) for group in groups for i in range(group.num_columns))
    return sum(
        max(chunk.total_uncompressed_size, chunk.num_values)
        for chunk in chunks
        if chunk.path_in_schema.split(".", 1)[0] in used
    )


def _bytes_of(values: pa.Array) -> int:
    """Bytes of values as they are without the dictionary of a column, where each stands once."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        inside = kind.value_type
        if not (pa.types.is_string(inside) or pa.types.is_large_string(inside) or pa.types.is_binary(inside)):
            return int(values.nbytes)
        lengths = pc.binary_length(values.dictionary).take(values.indices)
        return int(pc.sum(lengths).as_py() or 0)
    if pa.types.is_struct(kind):
        return sum(map(_bytes_of, values.flatten()))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _bytes_of(values.flatten()) + 4 * len(values)
    return int(values.nbytes)


def read_json_values(
    stream: IO[bytes], shape: str | None, table: Rows, limits: Limits, notes: Notes
) -> Iterator[Thread]:
    """The threads in JSON or JSON lines of one shape, or of any where shape is None.

    Whole threads and single texts come at once, everything else when the file is at its end, since its records may
    stand in any order.
    """
    groupers: dict[str, Grouper] = {}
    try:
        for index, (where, value) in enumerate(_values(stream, table.name, limits, notes)):
            own = shape or _shape(value, table)
            try:
                if own == "thread":
                    thread = thread_from_dict(value, where=where, brand=table.brand)
                    named = value.get("id") is not None
                    yield thread if named else replace(thread, id=f"{Path(table.name).stem}-{index + 1}")
                elif own == "text" and not table.in_threads:
                    yield table.single(value, index, where)
                else:
                    text = own == "text"
                    pieces = table.pieces(value, index, where) if text else SHAPES[own](value)
                    if own not in groupers:
                        groupers[own] = Grouper("table" if text else own, table.brand)
                    # A list ("kind") may well be empty, a record may not.
                    if not groupers[own].extend(pieces, None if text else where) and "kind" not in value:
                        raise _no_record(table.name, where, own, value)
            except InputError as error:
                notes.add(error)
        for grouper in groupers.values():
            yield from grouper.threads()
    finally:
        for grouper in groupers.values():
            grouper.close()


def _shape(value: Mapping[str, Any], table: Rows) -> str:
    """What an object is; where columns were named, whatever is no whole thread is a row."""
    if table.fields and "utterances" not in value:
        return "text"
    return shape_of(value) or "text"


def _values(stream: IO[bytes], name: str, limits: Limits, notes: Notes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Objects with their places: of a document over several lines, or of lines that hold one each."""
    head = b""
    while not head.strip() and (line := stream.readline(limits.record)):
        head += line
    if _loaded(head, name) is None and len(head) < limits.record:
        # Not one object a line, so it seems; a document is read as a whole or not at all.
        head += stream.read(limits.record - len(head))
        whole = _loaded(head, name)
        if isinstance(whole, InputError):
            notes.add(whole)
            return
        if whole is not None:
            yield from _objects(whole, "", name, notes)
            return
    by_line = reader_of(chain([head], iter(lambda: stream.read(_CHUNK), b"")))
    for place, line in lines(by_line, name, limits, notes):
        # A list may have one object on each line.
        line = line.strip().rstrip(b",")
        if line in (b"[", b"]"):
            continue
        try:
            value = _parsed(line, place, name)
        except InputError as error:
            notes.add(error)
            continue
        yield from _objects(value, f"line {place}: ", name, notes)


def _objects(value: Any, where: str, name: str, notes: Notes) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield where, value
        return
    listed = isinstance(value, list)
    if listed and not value and where:
        notes.add(_bad_line(name, where.removesuffix(": "), "no JSON object", "an empty list"))
    for index, one in enumerate(value if listed else [value]):
        place = f"{where}[{index}]: " if listed else where
        if isinstance(one, dict):
            yield place, one
        else:
            got = f"{type(one).__name__} {str(one)[:60]}"
            notes.add(_bad_line(name, place.removesuffix(": ") or "the content", "no JSON object", got))


def _loaded(content: bytes, name: str) -> Any:
    """The value of a whole JSON document, None where it is none, an InputError where a number in it is none."""
    try:
        return load_json(content)
    except NotFiniteError as error:
        return no_number(name, "", error)
    except (ValueError, RecursionError):
        return None


def _parsed(line: bytes, place: int, name: str) -> Any:
    try:
        return load_json(line)
    except UnicodeDecodeError:
        raise _bad_row(name, place, "broken UTF-8", "UTF-8", "bad_encoding") from None
    except RecursionError:
        raise _bad_line(name, f"line {place}", "nested too deep", "JSON nested too deep") from None
    except NotFiniteError as error:
        raise no_number(name, f"line {place}: ", error) from None
    except ValueError as error:
        got = repr(line[:60].decode("utf-8", "replace"))
        raise _bad_line(name, f"line {place}", f"no JSON ({str(error)[:100]})", got) from None


def _bad_line(name: str, where: str, what: str, got: str) -> InputError:
    return InputError(
        f"{name}, {where}: {what}", code="bad_line", field=where, got=got, expected="one JSON object per line"
    )


def _no_record(name: str, where: str, shape: str, value: Mapping[str, Any]) -> InputError:
    got = f"the fields {', '.join(map(str, value))[:200] or 'none'}"
    return _bad_line(name, where.removesuffix(": ") or "the content", f"no {shape} record", got)


def _bad_row(name: str, line: int, got: str, expected: str, code: str) -> InputError:
    return InputError(
        f"{name}, line {line}: {got}, not {expected}", code=code, field=f"line {line}", got=got, expected=expected
    )


def _no_rows(name: str) -> InputError:
    return InputError(f"{name} has no rows", code="empty_file", field=name, got="0 rows", expected="at least one row")


def _corrupt(name: str, error: Exception) -> InputError:
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return InputError(
        f"{name} can't be read as a Parquet file: {reason}",
        code="corrupt_file",
        field=name,
        got="a broken file",
        expected="a Parquet file",
    )
