"""`amends read`: threads out of any file, one a line, and what was found said on standard error."""

import json
import os
from pathlib import Path

import pytest

from model.read import iter_threads, read_file
from service.cli import main

EXPORTS = Path(__file__).parents[1] / "model" / "fixtures" / "exports"
FIELDS = ["--field", "text=body", "--field", "thread=page", "--field", "id=key", "--field", "parent=answers"]


@pytest.mark.parametrize("path", sorted(EXPORTS.iterdir()), ids=lambda path: path.name)
def test_what_is_written_reads_back_to_equal_threads(tmp_path: Path, path: Path) -> None:
    out = tmp_path / "threads.jsonl"
    options = FIELDS if path.suffix == ".csv" else []
    assert main(["read", str(path), "--out", str(out), "--brand", "Hollin Ware", *options]) == 0
    fields = dict(one.split("=") for one in FIELDS[1::2]) if path.suffix == ".csv" else None
    assert read_file(out) == list(iter_threads(path, brand="Hollin Ware", fields=fields))


def test_the_documented_fields_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", str(EXPORTS / "wxr.xml")]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    thread = json.loads(line)
    assert list(thread) == [
        "id", "url", "title", "brand", "adapter", "confidence", "claimed", "warnings", "utterances",
    ]  # fmt: skip
    assert thread["utterances"][2] == {
        "id": "102",
        "parent": "post-41",
        "kind": "comment",
        "author": {"name": "Bo", "url": "https://bo.example"},
        "time": "2024-03-01T11:10:00+00:00",
        "text": "Mine leaked too.\n\nTheir hotline hung up on me & never called back.",
        "votes": None,
        "flags": [],
        "place": "item 1, line 13, comment 2",
    }


def test_counts_and_warnings_are_said_for_each_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "threads.jsonl"
    assert main(["read", str(EXPORTS / "wxr.xml"), str(EXPORTS / "youtube.json"), "--out", str(out)]) == 0
    first, warning, second, last = capsys.readouterr().err.splitlines()
    assert first.endswith(
        "wxr.xml: 1 thread, 1 post, 6 other texts (1 no_zone, 1 spam, 1 unapproved, 1 orphan, 1 deleted, "
        "1 duplicate_id), 0 warnings"
    )
    assert warning.endswith("youtube.json: 2 replies are counted in the export but are not in it")
    assert second.endswith("youtube.json: 1 thread, 0 posts, 3 other texts (1 unapproved), 1 warning")
    assert last == f"amends: wrote {out}: 2 threads"


def test_a_file_that_cannot_be_used_spoils_no_other(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bad, out = tmp_path / "bad.xml", tmp_path / "threads.jsonl"
    bad.write_text("<?xml version='1.0'?><!DOCTYPE rss [<!ENTITY a 'b'>]><rss/>")
    assert main(["read", str(bad), str(EXPORTS / "rss.xml"), "--out", str(out)]) == 1
    assert len(read_file(out)) == 2
    assert "bad.xml is XML that is not read; got a DTD" in capsys.readouterr().err


def test_nothing_is_left_where_nothing_could_be_used(tmp_path: Path) -> None:
    out = tmp_path / "threads.jsonl"
    assert main(["read", str(tmp_path / "none.xml"), "--out", str(out)]) == 1
    assert os.listdir(tmp_path) == []


def test_the_input_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "threads.jsonl"
    path.write_text('{"text": "a"}')
    assert main(["read", str(path), "--out", str(path)]) == 1
    assert path.read_text() == '{"text": "a"}'


def test_a_field_without_a_column_is_refused() -> None:
    with pytest.raises(SystemExit) as error:
        main(["read", "a.csv", "--field", "text"])
    assert error.value.code == 2


def test_the_formats_of_the_command_are_those_of_the_reader() -> None:
    from model import read
    from service import cli

    assert cli.FORMATS == read.FORMATS
