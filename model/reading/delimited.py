"""Reads text whose cells are parted by a delimiter (CSV, TSV), a record at a time, with the line where each begins."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Final

from model.types import InputError

_DELIMITERS: Final = ",;\t|"
_LONGEST_CELL: Final = 1 << 26


@dataclass(frozen=True, slots=True)
class Record:
    """A record below the header. line: where it begins, from 1. cells: one a column, None where it can't be used.

    problem: what is wrong with it.
    """

    line: int
    cells: list[str] | None
    problem: InputError | None = None


class Delimited:
    """The records of delimited text. columns: names in the header, none where there is no header.

    lines: with their line ends. name: of the file, for messages; a ".tsv" is parted by tabs where nothing else tells.
    text_column: the delimiter is the one that makes it a column.
    """

    def __init__(self, lines: Iterable[str], name: str, text_column: str) -> None:
        self._name = name
        rest = iter(lines)
        first = next(rest, "")
        delimiter = delimiter_of(first, text_column) or ("\t" if name.endswith(".tsv") else ",")
        self._reader = csv.reader(chain([first], rest), delimiter=delimiter)
        try:
            self.columns = next(self._reader, [])
        except csv.Error:
            self.columns = []

    def __iter__(self) -> Iterator[Record]:
        """The records in order. Blank lines are left out, except where they are the empty cell of a single column."""
        while True:
            # A record may go over several lines.
            line = self._reader.line_num + 1
            try:
                cells = next(self._reader, None)
            except csv.Error as error:
                yield Record(line, None, self._wrong(line, str(error), "a row of CSV"))
                continue
            if cells is None:
                return
            if cells or len(self.columns) == 1:
                yield self._checked(line, cells or [""])

    def _checked(self, line: int, cells: list[str]) -> Record:
        if len(cells) != len(self.columns):
            return Record(line, None, self._wrong(line, f"{len(cells)} cells", f"{len(self.columns)} cells"))
        return Record(line, cells)

    def _wrong(self, line: int, got: str, expected: str) -> InputError:
        return InputError(
            f"{self._name}, line {line}: {got}, not {expected}",
            code="corrupt_file",
            field=f"line {line}",
            got=got,
            expected=expected,
        )


def delimiter_of(header: str, column: str) -> str | None:
    """The delimiter that makes `column` one of the columns of a header, None where none does."""
    return next((sign for sign in _DELIMITERS if column in _cells(header, sign)), None)


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


@contextmanager
def long_cells() -> Iterator[None]:
    """Allows cells of up to 64 million characters for a while, in the whole process; usual are 131,072."""
    usual = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(usual)
