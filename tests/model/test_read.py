import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.read import MAX_BYTES, read, read_file, thread_from_dict
from model.reading.delimited import looks_like_table
from model.types import Author, InputError

STORY = "The oven failed after a week, and nobody answers my letters."


def caught(*arguments: object, **options: object) -> InputError:
    with pytest.raises(InputError) as error:
        read(*arguments, **options)  # type: ignore[arg-type]
    return error.value


@pytest.mark.parametrize(
    ("content", "name", "adapter"),
    [
        (f"<html><body><p>{STORY}</p></body></html>", "page.html", "body"),
        (f"<html><body><p>{STORY}</p></body></html>", "saved.txt", "body"),
        (f"<p>{STORY}</p><p>Really.</p><p>Yes.</p>", "input", "body"),
        (STORY, "scrape.txt", "text"),
        (STORY, "input", "text"),
        ('{"text": "They called."}\n{"text": "Nobody called."}', "rows.jsonl", "given"),
        ('{"text": "They called."}', "input", "given"),
        ('{"utterances": [{"text": "They called."}]}', "thread.json", "given"),
        ("text,stars\nThey called.,5\n", "rows.csv", "given"),
        ("id,text\n1,They called.\n", "input", "given"),
    ],
)
def test_the_format_is_found(content: str, name: str, adapter: str) -> None:
    assert read(content.encode(), name=name)[0].adapter == adapter
    assert read(content, name=name)[0].adapter == adapter


def test_brand_and_name_are_passed_on() -> None:
    (thread,) = read(STORY, name="letters.txt", brand="Brandt")
    assert (thread.id, thread.brand) == ("letters", "Brandt")


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [
        (b"", "page.html", "empty_file"),
        (b" \n\t", "page.txt", "empty_file"),
        (b"", "rows.csv", "empty_file"),
        (b"abc\0def", "page.html", "binary_file"),
        (b"%PDF-1.7 abc", "page.html", "binary_file"),
        (b"PK\x03\x04abc", "page.docx", "binary_file"),
        (b"\x89PNG\r\n\x1a\n", "page.txt", "binary_file"),
        (b"<?xml version='1.0'?><rss></rss>", "export.xml", "empty_thread"),
        (b"<?xml version='1.0'?><svg></svg>", "picture.xml", "unknown_format"),
        (b"<!DOCTYPE rss [<!ENTITY a 'b'>]><rss></rss>", "export.xml", "unsafe_xml"),
        (b"PAR1 broken", "rows.parquet", "corrupt_file"),
        (b'{"text": "a"\n{"text": ', "rows.jsonl", "bad_line"),
        (b"[1]", "rows.jsonl", "bad_line"),
        (b"[" * 100_000, "rows.jsonl", "bad_line"),
        (b'{"tekst": "a"}', "rows.jsonl", "missing_field"),
        (b"stars,title\n1,a\n", "rows.csv", "missing_column"),
        (b"text\n", "rows.csv", "empty_file"),
        (b"text\nSch\xf6n\n", "rows.csv", "bad_encoding"),
    ],
)
def test_what_cannot_be_used_is_said_clearly(content: bytes, name: str, code: str) -> None:
    error = caught(content, name=name)
    assert error.code == code
    assert error.field
    assert error.got
    assert error.expected


def test_a_page_over_the_limit_is_refused_with_its_size() -> None:
    error = caught(b"<html>" + b"x" * 50_000_000, name="big.html")
    assert error.code == "too_large"
    assert "50.0 MB" in (error.got or "")
    assert "20 MB" in (error.expected or "")
    assert MAX_BYTES == 20_000_000


def test_a_file_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.html"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(InputError) as error:
        read_file(path)
    assert error.value.code == "too_large"


def test_an_unknown_format_lists_the_known_ones() -> None:
    error = caught(STORY, format="docx")
    assert (error.code, error.field, error.got) == ("unknown_format", "format", "'docx'")
    assert "html, text, jsonl, csv, parquet" in (error.expected or "")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path, code in ((tmp_path / "none.txt", "not_found"), (tmp_path, "not_readable")):
        with pytest.raises(InputError) as error:
            read_file(path)
        assert error.value.code == code


def test_rows_become_reviews_of_one_utterance() -> None:
    rows = (
        '{"text": "They called.", "author": "Ann", "time": "May 3, 2020", "id": 7, "title": "Oven", '
        '"stars": 5}\n\n{"text": null}'
    )
    first, second = read(rows, format="jsonl", brand="Brandt")
    (utterance,) = first.utterances
    assert (first.id, first.title, first.brand) == ("7", "Oven", "Brandt")
    assert (utterance.kind, utterance.author, utterance.time) == ("review", Author("Ann"), "2020-05-03")
    assert second.utterances[0].text == ""


def test_rows_name_their_line_in_errors() -> None:
    error = caught('\n{"text": [5]}', format="jsonl")
    assert error.field == "line 2: text"


def test_a_bad_line_is_a_warning_of_the_next_thread() -> None:
    lines = ['{"text": "a"}', '{"text": ', '{"text": [5]}', '{"text": "b"}', "[1]"]
    first, second = read("\n".join(lines), name="rows.jsonl")
    assert first.warnings == ()
    assert [warning.split(":")[0] for warning in second.warnings] == [f"rows.jsonl, line {n}" for n in (2, 3, 5)]


def test_an_empty_list_on_a_line_is_a_bad_line() -> None:
    first, second = read('{"text": "a"}\n[]\n{"text": "b"}', name="rows.jsonl")
    assert first.warnings == ()
    assert second.warnings == ("rows.jsonl, line 2: no JSON object",)
    assert caught("[]\n[]", name="rows.jsonl").field == "line 1"


@pytest.mark.parametrize(
    ("line", "field", "got"),
    [
        ('{"text": "b", "votes": NaN}', "line 2: votes", "NaN"),
        ('{"text": "b", "more": {"x": [1, -Infinity]}}', "line 2: more.x[1]", "-Infinity"),
        ('{"text": "b", "votes": 1e999}', "line 2: votes", "1e999"),
        ('{"utterances": [{"text": "b"}, {"text": "c", "n": Infinity}]}', "line 2: utterances[1].n", "Infinity"),
        ("NaN", "line 2", "NaN"),
    ],
)
def test_a_number_that_is_none_is_named_with_its_field(line: str, field: str, got: str) -> None:
    _, second = read('{"text": "a"}\n' + line + '\n{"text": "NaN and Infinity, 1e999"}', name="rows.jsonl")
    (warning,) = second.warnings
    assert warning == f"rows.jsonl, {field}{'' if ': ' in field else ': the value'} is {got}, which is no JSON number"
    assert second.utterances[0].text == "NaN and Infinity, 1e999"
    error = caught(line, name="rows.jsonl")
    assert (error.code, error.got, error.field) == ("bad_value", got, field.replace("line 2", "line 1"))


def test_a_document_over_several_lines_names_the_number_that_is_none() -> None:
    text = json.dumps([{"text": "a"}, {"text": "b", "votes": float("nan")}], indent=1)
    error = caught(text, name="rows.json")
    assert (error.code, error.field) == ("bad_value", "[1].votes")


def test_large_numbers_are_numbers() -> None:
    (thread,) = read('{"text": "a", "id": 1e300, "n": ' + "7" * 120 + "}", name="rows.jsonl")
    assert thread.warnings == ()


def test_a_thread_with_a_number_that_is_none_is_refused_in_fields_that_are_not_read_too() -> None:
    rows = [{"text": "a", "votes": 1}, {"text": "b", "score": {"mean": float("nan")}}]
    with pytest.raises(InputError) as caught_error:
        thread_from_dict({"utterances": rows})
    assert caught_error.value.field == "utterances[1].score.mean"
    with pytest.raises(InputError) as caught_error:
        thread_from_dict({"utterances": rows[:1], "stars": float("inf")}, where="line 3: ")
    assert caught_error.value.field == "line 3: stars"


def test_many_bad_lines_are_counted() -> None:
    (thread,) = read('{"text": "a"}\n' + "no\n" * 1000, name="rows.jsonl")
    assert len(thread.warnings) == 21
    assert thread.warnings[-1] == "and 980 more like these"


def test_threads_and_rows_may_stand_in_one_file() -> None:
    lines = [{"utterances": [{"text": "A story."}, {"text": "An answer."}]}, {"text": "They called."}]
    threads = read("\n".join(map(json.dumps, lines)), name="mixed.jsonl")
    assert [(t.id, len(t.utterances)) for t in threads] == [("mixed-1", 2), ("2", 1)]


def test_an_object_over_several_lines() -> None:
    (thread,) = read(json.dumps({"id": "t", "utterances": [{"text": "A story."}]}, indent=1), name="thread.json")
    assert thread.id == "t"


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_another_text_column(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table({"id": ["a"], "body": ["They called."], "author": ["Ann"]}), path)
    else:
        path.write_text(
            {"csv": "id,body,author\na,They called.,Ann\n", "jsonl": '{"id":"a","body":"They called.","author":"Ann"}'}[
                suffix
            ]
        )
    (thread,) = read_file(path, text_column="body")
    (utterance,) = thread.utterances
    assert (thread.id, utterance.text, utterance.author) == ("a", "They called.", Author("Ann"))


def test_a_whole_thread() -> None:
    thread = thread_from_dict(
        {
            "id": "t",
            "title": "An oven",
            "url": "https://a.example/",
            "utterances": [
                {"text": "A story.", "author": {"name": "Ann", "url": "https://ann.example"}},
                {
                    "id": "c",
                    "text": "An answer.",
                    "parent": "1",
                    "author": "Bo",
                    "time": "2020-05-03T10:00:00Z",
                    "votes": -2,
                },
                {"text": "Another.", "flags": ["edited"]},
            ],
        }
    )
    assert [(u.id, u.kind, u.parent) for u in thread.utterances] == [
        ("1", "post", None),
        ("c", "comment", "1"),
        ("3", "comment", "1"),
    ]
    assert thread.utterances[0].author == Author("Ann", "https://ann.example")
    assert thread.utterances[1].votes == -2
    assert thread.utterances[2].flags == ("edited",)
    assert thread.warnings == ()


@pytest.mark.parametrize(
    ("format_", "content", "ids"),
    [
        ("csv", "id,text\n0,a\n1,b\n", ["0", "1"]),
        ("csv", "id,text\n,a\n1,b\n2,c\n", ["row-1", "1", "2"]),
        ("csv", "text\na\nb\n", ["1", "2"]),
        ("jsonl", '{"id": 0, "text": "a"}\n{"id": 1, "text": "b"}\n{"text": "c"}', ["0", "1", "row-3"]),
        ("jsonl", '{"id": null, "text": "a"}\n{"id": 1.0, "text": "b"}', ["row-1", "1"]),
        ("jsonl", '{"text": "a"}\n{"text": "b"}', ["1", "2"]),
    ],
)
def test_rows_have_ids_of_their_own(format_: str, content: str, ids: list[str]) -> None:
    threads = read(content, format=format_)
    assert [t.id for t in threads] == ids
    assert [t.utterances[0].id for t in threads] == ids


def test_a_quote_that_is_never_closed_is_a_bad_row() -> None:
    (thread,) = read('id,text\n1,fine\n2,"good\n3,bad\n4,fine\n', format="csv", name="a.csv")
    (warning,) = thread.warnings
    assert warning.startswith("a.csv, line 3: a quote is opened here and never closed; lines 3 to 5")


@pytest.mark.parametrize("header", ["text,text", "id,text,id", "text,time,time"])
def test_a_column_that_is_used_and_there_twice_is_refused(header: str) -> None:
    row = ",".join("abc"[: header.count(",") + 1])
    with pytest.raises(InputError) as caught:
        read(f"{header}\n{row}\n", format="csv")
    assert caught.value.code == "doubled_column"
    assert read("text,other,other\na,b,c\n", format="csv")


def test_a_number_made_up_is_not_the_id_of_the_thread() -> None:
    threads = read("page,text\n2,a\n2,b\n", format="csv", fields={"thread": "page"})
    assert [u.kind for u in threads[0].utterances] == ["comment", "comment"]


def test_missing_ids_keep_clear_of_given_ones() -> None:
    thread = thread_from_dict({"utterances": [{"text": "a"}, {"id": "1", "text": "b", "parent": None}]})
    assert [u.id for u in thread.utterances] == ["u1", "1"]


def test_fields_that_are_not_known_are_named() -> None:
    thread = thread_from_dict({"utterances": [{"text": "a", "parnt": "x"}], "lang": "en"})
    assert thread.warnings == ("unknown field lang was ignored", "unknown field utterances[0].parnt was ignored")


@pytest.mark.parametrize(
    ("data", "code", "field"),
    [
        ({}, "missing_field", "utterances"),
        ({"utterances": []}, "empty_thread", "utterances"),
        ({"utterances": "abc"}, "bad_value", "utterances"),
        ({"utterances": ["abc"]}, "bad_value", "utterances[0]"),
        ({"utterances": [{"id": "1"}]}, "missing_field", "utterances[0].text"),
        ({"utterances": [{"text": 3}]}, "bad_value", "utterances[0].text"),
        ({"utterances": [{"text": "a", "kind": "rant"}]}, "bad_value", "utterances[0].kind"),
        ({"utterances": [{"text": "a", "kind": ["post"]}]}, "bad_value", "utterances[0].kind"),
        ({"utterances": [{"text": "a", "time": "yesterday"}]}, "bad_value", "utterances[0].time"),
        ({"utterances": [{"text": "a", "author": {"name": 3}}]}, "bad_value", "utterances[0].author.name"),
        ({"utterances": [{"text": "a", "votes": "many"}]}, "bad_value", "utterances[0].votes"),
        ({"utterances": [{"text": "a", "flags": "many"}]}, "bad_value", "utterances[0].flags"),
        ({"utterances": [{"text": "a", "id": True}]}, "bad_value", "utterances[0].id"),
        ({"utterances": [{"text": "a", "id": "1"}, {"text": "b", "id": "1"}]}, "duplicate_id", "utterances[1].id"),
        ({"utterances": [{"text": "a"}, {"text": "b", "parent": "9"}]}, "unknown_parent", "utterances[1].parent"),
        (
            {"utterances": [{"text": "a", "id": "1", "parent": "2"}, {"text": "b", "id": "2", "parent": "1"}]},
            "parent_cycle",
            "utterances[0].parent",
        ),
        ({"utterances": [{"text": "a"}], "title": 5}, "bad_value", "title"),
        ({"utterances": [{"text": "a"}], "claimed": -1}, "bad_value", "claimed"),
    ],
)
def test_a_broken_thread_names_the_field(data: dict[str, object], code: str, field: str) -> None:
    with pytest.raises(InputError) as error:
        thread_from_dict(data)
    assert (error.value.code, error.value.field) == (code, field)
    assert error.value.got
    assert error.value.expected


@pytest.mark.parametrize(
    ("text", "is_table"),
    [
        ("comment,stars\ngood,5\nbad,1\n", True),
        ('who;said\nAnn;"It broke; twice."\nBo;no\n', True),
        ("Dear all, it broke.\nTwice, and nobody came.\nYours, Ann", False),
        ("Oven, broken\nThey came, late\nThey left\n", False),
        ("one line", False),
        ("", False),
    ],
)
def test_what_looks_like_a_table(text: str, is_table: bool) -> None:
    assert looks_like_table(text) is is_table
