"""Large, packed, broken and hostile exports: what is refused, what is left out, and what goes on."""

import gzip
import io
import json
import sys
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from model.read import Limits, iter_open, iter_threads, read
from model.reading.stream import Notes
from model.reading.xml import Record, records
from model.types import InputError

EXPORTS = Path(__file__).parent / "fixtures" / "exports"
ITEM = (
    "<item><title>T</title><link>https://a.example/{0}</link><wp:post_id>{0}</wp:post_id><wp:comment><wp:comment_id>{0}"
    "</wp:comment_id><wp:comment_content>{1}</wp:comment_content></wp:comment></item>\n"
)
RSS = '<?xml version="1.0"?>\n<rss xmlns:wp="http://wordpress.org/export/1.0/"><channel>\n'


def wxr(*contents: str, end: str = "</channel></rss>") -> str:
    return RSS + "".join(ITEM.format(number, content) for number, content in enumerate(contents, 1)) + end


def texts(content: str | bytes, name: str = "export.xml") -> list[str]:
    return [u.text for t in read(content, name=name) for u in t.utterances]


def code_of(content: str | bytes, name: str = "export.xml") -> str:
    with pytest.raises(InputError) as error:
        read(content, name=name)
    assert error.value.got
    assert error.value.expected
    return error.value.code


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_all_versions_of_wxr(version: str, scheme: str) -> None:
    content = wxr("One.").replace("http://wordpress.org/export/1.0/", f"{scheme}://wordpress.org/export/{version}/")
    assert texts(content) == ["One."]


def test_prefixes_that_are_not_declared() -> None:
    content = wxr("One.", "Two.").replace(' xmlns:wp="http://wordpress.org/export/1.0/"', "")
    first, second = read(content.replace("<channel>", "<channel><wp:wxr_version>1.1</wp:wxr_version>"))
    assert [first.utterances[0].text, second.utterances[0].text] == ["One.", "Two."]
    assert first.warnings + second.warnings == ()


def test_a_broken_record_costs_its_neighbours_nothing() -> None:
    first, second, third = read(wxr("One.", "Two </wp:oops> &", "Three."), name="export.xml")
    assert (first.warnings, [u.text for u in third.utterances]) == ((), ["Three."])
    assert second.utterances[0].text.startswith("Two")
    assert second.warnings[0].startswith("export.xml, line 4: a broken")


def test_one_broken_comment_of_an_item() -> None:
    good = ITEM.format(9, "Good &amp; bad.").split("</wp:post_id>")[1].split("</item>")[0]
    content = wxr("<b").replace("</item>", good + "</item>")
    assert texts(content)[-1] == "Good & bad."


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("A &nbsp; B &eacute; &amp; C & D", "A B \u00e9 & C & D"),
        ("A \x0b\x01 B", "A B"),
        ("<![CDATA[</item> and <item> are only words]]>", "and are only words"),
        ("<!-- </item> -->One.", "One."),
    ],
)
def test_what_xml_forbids_but_exports_contain(content: str, expected: str) -> None:
    (thread, other) = read(wxr(content, "Other."), name="export.xml")
    assert [u.text for u in thread.utterances] == [expected]
    assert [u.text for u in other.utterances] == ["Other."]


def test_an_export_that_was_cut_off() -> None:
    content = wxr("One.", "Two.", "Three.")
    assert texts(content[: content.index("Three.") + 3])[:2] == ["One.", "Two."]


def test_items_that_were_never_closed() -> None:
    assert texts(wxr("One.", "Two.", "Three.").replace("Two.</wp:comment_content></wp:comment></item>", "Two."))[
        ::2
    ] == [
        "One.",
        "Three.",
    ]


def test_encodings() -> None:
    content = wxr("Sch\u00f6n.").replace('version="1.0"?', 'version="1.0" encoding="ISO-8859-1"?')
    assert texts(content.encode("latin-1")) == ["Sch\u00f6n."]
    assert texts(wxr("Sch\u00f6n.").encode("utf-16")) == ["Sch\u00f6n."]
    assert texts(b"\xef\xbb\xbf" + wxr("Sch\u00f6n.").encode()) == ["Sch\u00f6n."]
    assert texts(json.dumps({"text": "Sch\u00f6n."}, ensure_ascii=False).encode("utf-16"), "a.jsonl") == ["Sch\u00f6n."]
    assert texts(b'{"text": "a"}\n{"text": "Sch\xf6n"}', "a.jsonl") == ["a"]
    assert texts('{"text": "half \\ud83d a face"}', "a.jsonl") == ["half \ufffd a face"]


LAUGHS = '<!DOCTYPE rss [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;">]>'


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [
        (wxr("&c;").replace("<rss", LAUGHS + "<rss"), "export.xml", "unsafe_xml"),
        (wxr("&x;").replace("<rss", '<!DOCTYPE rss SYSTEM "file:///etc/passwd"><rss'), "export.xml", "unsafe_xml"),
        (RSS + "<item>" + "<a>" * 100_000, "export.xml", "bad_record"),
        (RSS + "<item>" + "<a>" * 150 + "x" + "</a>" * 150 + "</item>", "export.xml", "bad_record"),
        ('{"utterances": ' + "[" * 200_000, "a.json", "bad_line"),
        ("[" * 200_000 + "]" * 200_000, "a.json", "bad_line"),
        (wxr(), "export.xml", "empty_thread"),
        ("<disqus></disqus>", "export.xml", "empty_thread"),
        ("<?xml version='1.0'?><!-- only a comment -->", "export.xml", "unknown_format"),
        ("no\nyes\n", "a.jsonl", "bad_line"),
        ("{}", "a.jsonl", "missing_field"),
    ],
)
def test_what_is_refused(content: str, name: str, code: str) -> None:
    assert code_of(content, name) == code


def test_entities_of_a_record_are_never_opened() -> None:
    assert "passwd" not in "".join(texts(wxr(f"One. {LAUGHS} &c;", "Two.")))
    assert "hahaha" not in "".join(texts(wxr(f"One. {LAUGHS} &c;", "Two.")))


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_packed_files(tmp_path: Path, suffix: str) -> None:
    def pack(content: bytes) -> bytes:
        return gzip.compress(content) if suffix == "gz" else zstandard.ZstdCompressor().compress(content)

    path = tmp_path / f"reddit.jsonl.{suffix}"
    content = (EXPORTS / "reddit.jsonl").read_bytes()
    path.write_bytes(pack(content))
    assert list(iter_threads(path)) == list(iter_threads(EXPORTS / "reddit.jsonl"))
    # Two packed parts, one after the other, are one file.
    half = content.index(b"\n") + 1
    path.write_bytes(pack(content[:half]) + pack(content[half:]))
    assert list(iter_threads(path)) == list(iter_threads(EXPORTS / "reddit.jsonl"))
    bomb = tmp_path / f"bomb.{suffix}"
    bomb.write_bytes(pack(b'{"text": "' + b"a" * 60_000_000 + b'"}'))
    with pytest.raises(InputError) as error:
        list(iter_threads(bomb))
    assert error.value.code == "compression_bomb"
    assert list(iter_threads(bomb, limits=Limits(ratio=1_000_000)))


def test_a_packed_file_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    rows = [json.dumps({"text": f"{number} {number * 7919 % 1000003}"}) for number in range(20_000)]
    packed = gzip.compress("\n".join(rows).encode())
    path.write_bytes(packed[: len(packed) // 2])
    threads = list(iter_threads(path))
    assert len(threads) > 1000
    assert any("is broken after" in warning for thread in threads for warning in thread.warnings)


def test_packed_content_is_not_unpacked_for_callers_over_the_network() -> None:
    assert code_of(gzip.compress(b'{"text": "a"}'), "a.jsonl") == "binary_file"


def test_records_over_the_limit_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in ("a", "b" * 5000, "c")))
    first, second = iter_threads(path, limits=Limits(record=1000))
    assert (first.utterances[0].text, second.utterances[0].text) == ("a", "c")
    assert second.warnings == ("rows.jsonl, line 2: too long",)
    export = tmp_path / "export.xml"
    export.write_text(wxr("One.", "b" * 5_000_000, "Three."))
    assert next(iter_threads(export, limits=Limits(record=2_000_000))).id == "1"


def test_records_are_found_wherever_the_pieces_are_cut() -> None:
    content = wxr("One.", "<![CDATA[ </item> ]]>", "Two\nlines.")
    whole = list(records(iter([content]), ["item"], "x", Limits(), Notes()))
    assert [record.line for record in whole] == [3, 4, 5]
    for size in (1, 2, 3, 7, 50):
        pieces = iter([content[at : at + size] for at in range(0, len(content), size)])
        assert list(records(pieces, ["item"], "x", Limits(), Notes())) == whole
    assert whole[0] == Record("item", ITEM.format(1, "One.").strip(), 3, 1)


def test_a_list_of_one_object_a_line() -> None:
    rows = [json.dumps({"text": text}) for text in ("a", "b")]
    assert texts("[\n" + ",\n".join(rows) + "\n]", "a.json") == ["a", "b"]
    assert texts("[\n" + ",\n".join([*rows, "no"]) + "\n]", "a.json") == ["a", "b"]


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for path, code in ((tmp_path / "none.xml", "not_found"), (tmp_path, "not_readable")):
        with pytest.raises(InputError) as error:
            list(iter_threads(path))
        assert error.value.code == code
    with pytest.raises(InputError):
        iter_threads(tmp_path / "none.xml", format="docx")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wxr", "reddit"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("export.xml" if kind == "wxr" else "dump.jsonl")
    with path.open("w") as file:
        file.write(RSS if kind == "wxr" else "")
        for number in range(120_000):
            text = f"{number} " + "They never called back. " * 25
            row = {"id": f"c{number}", "link_id": f"t3_{number % 5000}", "parent_id": "t3_x", "body": text}
            file.write(ITEM.format(number, text) if kind == "wxr" else json.dumps({**row, "subreddit": "x"}) + "\n")
    process = psutil.Process()
    threads = iter_threads(path)
    next(threads)
    before, most, count = process.memory_info().rss, 0, 1
    for count, _ in enumerate(threads, 2):
        if count % 500 == 0:
            most = max(most, process.memory_info().rss)
    assert count == (120_000 if kind == "wxr" else 5000)
    assert sys.maxsize > most - before < 80_000_000


def test_an_open_file_is_read_and_its_notes_are_kept_where_wanted() -> None:
    lines = ['{"text": "one"}', "nonsense", '{"text": "two"}']
    notes = Notes()
    content = io.BytesIO(gzip.compress("\n".join(lines).encode()))
    threads = list(iter_open(content, "rows.jsonl.gz", notes=notes))
    assert [t.utterances[0].text for t in threads] == ["one", "two"]
    # The warning goes to the thread after it, as without notes of one's own; the first error is kept with its place.
    assert notes.first is not None
    assert notes.first.field == "line 2"
    with pytest.raises(InputError, match="is not known"):
        iter_open(content, "rows.jsonl", format="nonsense")


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param({"text": ["a" * 30_000_000]}, id="one cell"),
        pytest.param({"text": ["a" * 20_000] * 1_500}, id="one text in every row"),
        pytest.param({"text": ["a"] * 1_500, "flags": [["b" * 10_000] * 2] * 1_500}, id="one flag in every row"),
        pytest.param({"text": ["a"] * 3, "author": [{"name": "b" * 10_000_000}] * 3}, id="names"),
        pytest.param({"text": [None] * 12_000_000}, id="nothing in very many rows"),
    ],
)
def test_a_parquet_file_that_unpacks_beyond_the_limit_is_refused(tmp_path: Path, columns: dict) -> None:
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table(columns), path, compression="zstd")
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match="unpacks to more than 50 times") as error:
        list(iter_threads(path, limits=Limits(ratio=50)))
    assert error.value.code == "compression_bomb"


def test_a_parquet_file_whose_texts_repeat_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    names = pa.array(["Ines", None, "Omar"] * 400).dictionary_encode()
    rows = {"text": ["great", "awful", None] * 400, "flags": [["seen"], [], None] * 400, "author": names}
    pq.write_table(pa.table(rows), path)
    found = [thread.utterances[0] for thread in iter_threads(path)]
    assert [one.text for one in found[:3]] == ["great", "awful", ""]
    assert [one.flags for one in found[:3]] == [("seen",), (), ()]
    assert [one.author.name if one.author else None for one in found[:3]] == ["Ines", None, "Omar"]
    assert len(found) == 1200
