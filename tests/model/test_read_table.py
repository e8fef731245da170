import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.read import read
from model.reading.table import holds_json, read_table
from model.types import InputError


def code_of(path: Path, column: str = "text") -> InputError:
    with pytest.raises(InputError) as error:
        read_table(path, column)
    return error.value


def write(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_csv_keeps_columns_rows_and_empty_texts(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b'id,text,stars\n1,"They called,\nat last.",5\n2,,1\n3,12,2\n')
    table = read_table(path, "text")
    assert table.column_names == ["id", "text", "stars"]
    assert table.column("text").to_pylist() == ["They called,\nat last.", "", "12"]
    assert table.column("stars").to_pylist() == ["5", "1", "2"]


@pytest.mark.parametrize(
    "content",
    [
        b"id;text\n1;a\n",
        b"id\ttext\n1\ta\n",
        b"\xef\xbb\xbfid,text\r\n1,a\r\n",
        b"text\na\n",
        b"id,text\r1,a\r",
        b"sep=;\r\nid;text\r\n1;a\r\n",
        b'\xef\xbb\xbf"sep=;"\nid;text\n1;a\n',
    ],
)
def test_csv_dialects(tmp_path: Path, content: bytes) -> None:
    assert read_table(write(tmp_path, "a.csv", content), "text").column("text").to_pylist() == ["a"]
    assert [t.utterances[0].text for t in read(content, format="csv")] == ["a"]


def test_a_csv_of_one_column_keeps_its_empty_rows(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "a.csv", b"text\na\n\nb\n"), "text").column("text").to_pylist() == ["a", "", "b"]


def test_jsonl_keeps_columns_nulls_and_times_as_written(tmp_path: Path) -> None:
    lines = b'{"id": 1, "text": "a", "when": "2020-01-01T00:00:00Z"}\n{"id": 2, "text": null, "more": [1]}\n'
    table = read_table(write(tmp_path, "a.jsonl", lines), "text")
    assert table.column_names == ["id", "text", "when", "more"]
    assert table.column("text").to_pylist() == ["a", None]
    assert table.column("when").to_pylist() == ["2020-01-01T00:00:00Z", None]


def test_jsonl_of_mixed_types(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a.jsonl", b'{"text": "a", "n": 1}\n{"text": "b", "n": "x"}\n'), "text")
    assert table.column("n").to_pylist() == ["1", "x"]


def test_csv_cells_are_the_texts_that_were_written(tmp_path: Path) -> None:
    row = ["007", "01234", "12345678901234567890123", "1.10", "2024-01-01", "true", ""]
    content = f"id,zip,long,price,day,yes,none,text\n{','.join(row)},a\n".encode()
    table = read_table(write(tmp_path, "a.csv", content), "text")
    assert list(table.to_pylist()[0].values()) == [*row, "a"]


OPEN = 'id,text\n1,fine\n2,"good\n3,bad\n4,fine\n'


def test_a_quote_that_is_never_closed_is_an_error_where_it_opens(tmp_path: Path) -> None:
    error = code_of(write(tmp_path, "a.csv", OPEN.encode()))
    assert (error.code, error.field) == ("open_quote", "line 3")
    assert "lines 3 to 5" in error.message
    assert code_of(write(tmp_path, "a.csv", b'id,text\n1,"good')).field == "line 2"


@pytest.mark.parametrize("text", ['5" screen', 'a ""b"" c', '"Say ""no"".\n\nTwice."', '"closed"', '"at the end"\n'])
def test_quotes_that_are_closed_or_within_a_cell_are_none(tmp_path: Path, text: str) -> None:
    assert read_table(write(tmp_path, "a.csv", f"id,text\n1,{text}".encode()), warn=pytest.fail).num_rows == 1


def test_rows_within_a_cell_are_warned_of(tmp_path: Path) -> None:
    heard: list[str] = []
    lines = ["id,text", '1,"good', *(f"{n},fine" for n in range(2, 9)), '9,bad"', "10,fine", ""]
    table = read_table(write(tmp_path, "a.csv", "\n".join(lines).encode()), warn=heard.append)
    assert table.num_rows == 2
    assert len(heard) == 1
    assert "line 2" in heard[0]
    assert "7 lines" in heard[0]


def test_prose_of_many_lines_in_a_cell_is_none_of_rows(tmp_path: Path) -> None:
    prose = (
        "Dear all,\nit broke, twice, and\nnobody came.\n\nI wrote, they slept.\nOnce more, then\nI gave up.\nYours, Ann"
    )
    read_table(write(tmp_path, "a.csv", f'id,text\n1,"{prose}"\n'.encode()), warn=pytest.fail)


def test_a_text_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    error = code_of(write(tmp_path, "a.csv", b"text,n,text\na,1,b\n"))
    assert (error.code, error.got) == ("doubled_column", "the columns text, n, text")
    assert read_table(write(tmp_path, "a.csv", b"text,n,n\na,1,2\n")).column_names == ["text", "n", "n"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize(("name", "text"), [("a.csv", "id,text\n1,Größe 👍\n"), ("a.jsonl", '{"text": "Größe 👍"}\n')])
def test_a_byte_order_mark_names_the_encoding(tmp_path: Path, name: str, text: str, encoding: str) -> None:
    path = write(tmp_path, name, text.encode(encoding))
    assert read_table(path).column("text").to_pylist() == ["Größe 👍"]


def test_broken_utf_16_is_named(tmp_path: Path) -> None:
    error = code_of(write(tmp_path, "a.csv", "text\nab\n".encode("utf-16") + b"\x00\xd8"))
    assert (error.code, error.field, error.expected) == ("bad_encoding", "line 3", "UTF-16")


def test_numbers_are_texts_and_records_are_none(tmp_path: Path) -> None:
    lines = b'{"text": 42}\n{"text": 1.5}\n{"text": true}\n{"text": "a"}\n{"text": null}\n'
    table = read_table(write(tmp_path, "a.jsonl", lines))
    assert table.column("text").to_pylist() == ["42", "1.5", "true", "a", None]
    assert [t.utterances[0].text for t in read(lines, format="jsonl")] == ["42", "1.5", "true", "a", ""]
    error = code_of(write(tmp_path, "a.jsonl", b'{"text": "a"}\n{"text": {"b": 1}}\n'))
    assert (error.code, error.got) == ("bad_column", "dict {'b': 1}")
    assert "item 2" in error.message


def test_a_long_text_fits_in_a_cell(tmp_path: Path) -> None:
    text = "good " * 40_000
    assert read_table(write(tmp_path, "a.csv", f"id,text\n1,{text}\n".encode())).column("text").to_pylist() == [text]


@pytest.mark.parametrize(
    "values",
    [
        [9007199254740993, 1.5],
        [3, 2.0],
        [12345678901234567890123, 1],
        [{"a": 1}, {"b": 2}],
        [[1], [2.5]],
        [1, True],
        [1, [2]],
    ],
)
def test_json_that_no_type_can_hold_stays_json(tmp_path: Path, values: list[object]) -> None:
    lines = "\n".join(json.dumps({"text": "a", "n": value}) for value in values)
    table = read_table(write(tmp_path, "a.jsonl", lines.encode()), "text")
    found = [json.loads(value) for value in table.column("n").to_pylist()]
    assert json.dumps(found) == json.dumps(values)
    assert holds_json(table.schema.field("n"))
    assert not holds_json(table.schema.field("text"))


@pytest.mark.parametrize("values", [[1, None], [1.5, 2.0], [True, None], [{"a": [1]}, {"a": [2]}], ["1", None]])
def test_json_that_a_type_can_hold_has_it(tmp_path: Path, values: list[object]) -> None:
    lines = "\n".join(json.dumps({"text": "a", "n": value}) for value in values)
    assert read_table(write(tmp_path, "a.jsonl", lines.encode()), "text").column("n").to_pylist() == values


def test_json_objects_may_go_over_lines(tmp_path: Path) -> None:
    content = b'{\n "text": "a"\n}\n{\n "text": "b"\n}\n'
    assert read_table(write(tmp_path, "a.jsonl", content), "text").column("text").to_pylist() == ["a", "b"]


def test_a_json_list(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "a.json", b'[{"text": "a"}, {"text": "b"}]'), "text").num_rows == 2


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": [1, 2], "body": pa.array(["a", None]).dictionary_encode()}), path)
    table = read_table(path, "body")
    assert table.column("body").to_pylist() == ["a", None]
    assert table.column("body").type == pa.string()
    assert table.column("n").to_pylist() == [1, 2]


def test_a_missing_column_lists_the_others(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["a"], "stars": [1]}), tmp_path / "a.parquet")
    paths = [
        write(tmp_path, "a.csv", b"body,stars\na,1\n"),
        write(tmp_path, "a.jsonl", b'{"body": "a", "stars": 1}\n'),
        tmp_path / "a.parquet",
    ]
    for path in paths:
        error = code_of(path)
        assert error.code == "missing_column"
        assert error.field == "text"
        assert error.got == "the columns body, stars"


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.csv", b"", "empty_file"),
        ("a.csv", b"text,n\n", "empty_file"),
        ("a.jsonl", b"\n\n", "empty_file"),
        ("a.parquet", b"", "empty_file"),
        ("a.csv", b"text\n\0\0", "binary_file"),
        ("a.csv", b"text,n\na,1\nb,2,3\n", "corrupt_file"),
        ("a.csv", b"text\nSch\xf6n\n", "bad_encoding"),
        ("a.jsonl", b'{"text": "Sch\xf6n"}', "bad_encoding"),
        ("a.jsonl", b'{"text": "a"}\n{"text"', "bad_line"),
        ("a.jsonl", b'{"text": {"a": 1}}', "bad_column"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "b", "n": NaN}', "bad_value"),
        ("a.json", b'[{"text": "a", "n": 1e999}]', "bad_value"),
        ("a.parquet", b"PAR1 and nothing more", "corrupt_file"),
        ("a.parquet", b"no parquet", "corrupt_file"),
        ("a.xlsx", b"PK", "unknown_format"),
    ],
)
def test_broken_tables(tmp_path: Path, name: str, content: bytes, code: str) -> None:
    error = code_of(write(tmp_path, name, content))
    assert error.code == code
    assert error.field
    assert error.got
    assert error.expected


def test_a_number_that_is_none_is_named_with_its_line_and_field(tmp_path: Path) -> None:
    error = code_of(write(tmp_path, "a.jsonl", b'{"text": "a"}\n{"text": "b", "n": [1, NaN]}'))
    assert (error.field, error.got) == ("line 2: n[1]", "NaN")
    assert code_of(write(tmp_path, "a.json", b'[{"text": "a", "n": -Infinity}]')).field == "[0].n"


def test_errors_name_the_line(tmp_path: Path) -> None:
    assert code_of(write(tmp_path, "a.jsonl", b'{"text": "a"}\n\n{"text"')).field == "line 3"
    assert code_of(write(tmp_path, "a.csv", b"text\na\nSch\xf6n\n")).field == "line 3"
    assert code_of(write(tmp_path, "a.csv", b"text,n\na,1\nb,2,3\n")).field == "line 3"
    assert code_of(write(tmp_path, "a.csv", b"sep=;\ntext;n\na;1\nb;2;3\n")).field == "line 4"


def test_a_folder_is_called_one(tmp_path: Path) -> None:
    error = code_of(tmp_path)
    assert (error.got, error.message) == ("a folder", f"{tmp_path} is a folder, not a table")


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    assert code_of(tmp_path / "none.csv").code == "not_found"


def test_half_a_surrogate_pair_spoils_no_table(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "good \\ud83d day", "n": 1}\n{"text": "\\ud83d\\ude00", "n": 2}\n')
    assert read_table(path).column("text").to_pylist() == ["good \ufffd day", "\U0001f600"]
