"""Reads text whose cells are parted by a delimiter (CSV, TSV), a record at a time, with the line where each begins."""

import csv
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Final

from model.types import InputError

_DELIMITERS: Final = ",;\t|"
_ROWS_WITHIN: Final = 5
"""Lines of a quoted cell that must all look like rows before anybody is warned; verses and addresses are shorter."""
_SAID: Final = re.compile(r'\ufeff?"?sep=([^"\r\n])"?[\r\n]', re.IGNORECASE)
"""A first line by which Excel is told the delimiter; it is no header."""
_NAME: Final = re.compile(r"\w[\w.-]*(?: [\w.-]+){0,2}")
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

    lines: with their line ends; a first one such as "sep=;" names the delimiter. name: of the file, for messages; a
    ".tsv" is parted by tabs where nothing else tells. text_column: the delimiter is the one that makes it a column.
    """

    def __init__(self, lines: Iterable[str], name: str, text_column: str) -> None:
        self._name = name
        rest = iter(lines)
        first = next(rest, "")
        said = _SAID.match(first)
        self._skipped = 1 if said else 0
        if said:
            first = next(rest, "")
        delimiter = said[1] if said else delimiter_of(first, text_column) or ("\t" if name.endswith(".tsv") else ",")
        self._delimiter = delimiter
        self._at_end = False
        self._reader = csv.reader(self._watched(chain([first], rest)), delimiter=delimiter)
        try:
            self.columns = next(self._reader, [])
        except csv.Error:
            self.columns = []

    def __iter__(self) -> Iterator[Record]:
        """The records in order. Blank lines are left out, except where they are the empty cell of a single column."""
        while True:
            # A record may go over several lines.
            line = self._line + 1
            try:
                cells = next(self._reader, None)
            except csv.Error as error:
                yield Record(line, None, self._wrong(line, f"{error} (is a quote missing?)", "a row of CSV"))
                continue
            if cells is None:
                return
            if cells or len(self.columns) == 1:
                yield self._checked(line, cells or [""])

    @property
    def _line(self) -> int:
        """The line that was read last."""
        return self._reader.line_num + self._skipped

    def _watched(self, lines: Iterable[str]) -> Iterator[str]:
        """The lines, with a note of when somebody asked for one more than there are."""
        yield from lines
        self._at_end = True

    def _checked(self, line: int, cells: list[str]) -> Record:
        if self._at_end:
            # Only a quoted cell makes the reader ask for a line after the last before it hands out a record.
            return Record(line, None, self._unclosed(line))
        if len(cells) != len(self.columns):
            return Record(line, None, self._wrong(line, f"{len(cells)} cells", f"{len(self.columns)} cells"))
        return Record(line, cells, self._swallowed(line, cells))

    def _unclosed(self, line: int) -> InputError:
        last = self._line
        lines = f"lines {line} to {last} are" if last > line else f"line {line} is"
        return InputError(
            f"{self._name}, line {line}: a quote is opened here and never closed; {lines} one row because of it",
            code="open_quote",
            field=f"line {line}",
            got="a quote without its partner",
            expected="a quote at the end of the cell, and quotes within it written twice",
        )

    def _swallowed(self, line: int, cells: list[str]) -> InputError | None:
        """A warning where every whole line within one cell looks like a row; None where all is well."""
        if self._line - line <= _ROWS_WITHIN:
            return None
        for cell in cells:
            inner = cell.splitlines()[1:-1]
            rows = len(inner) >= _ROWS_WITHIN and all(
                len(_cells(one, self._delimiter)) == len(self.columns) > 1 for one in inner
            )
            if rows:
                return InputError(
                    f"{self._name}, line {line}: a quoted cell holds {len(inner)} lines that look like rows; "
                    "a quote may be missing or too many",
                    code="suspicious_quote",
                    field=f"line {line}",
                    got=f"a cell of {len(inner) + 2} lines",
                    expected="a quote around each cell, and quotes within it written twice",
                )
        return None

    def _wrong(self, line: int, got: str, expected: str) -> InputError:
        return InputError(
            f"{self._name}, line {line}: {got}, not {expected}",
            code="corrupt_file",
            field=f"line {line}",
            got=got,
            expected=expected,
        )


def delimiter_of(header: str, column: str) -> str | None:
    """The delimiter that makes `column` one of several columns of a header, None where none does."""
    return next((sign for sign in _DELIMITERS if column in (cells := _cells(header, sign)) and len(cells) > 1), None)


def looks_like_table(text: str) -> bool:
    """Whether a text begins with short names and two lines that have as many cells, parted by one delimiter."""
    head = text.splitlines()[:3]
    for sign in _DELIMITERS:
        header, *rows = [_cells(line, sign) for line in head] or [[]]
        if len(header) > 1 and [len(row) for row in rows] == [len(header)] * 2 and all(map(_NAME.fullmatch, header)):
            return True
    return False


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
