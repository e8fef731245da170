"""Where each reader says that an utterance stands is where a person finds it."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from model.read import read, read_file, thread_from_dict
from model.reading.json import thread_to_dict
from model.types import Thread

FIXTURES = Path(__file__).parent / "fixtures"
EXPORTS = FIXTURES / "exports"
PAGE = b"""<html><head><title>A gate</title></head><body><article><div class="entry-content"><p>The gate was shut, and
Lund Air blamed me for it.</p></div></article><ol class="commentlist"><li class="comment depth-1" id="comment-2101">
<cite class="fn">Cal</cite><div class="comment-content"><p>They did the same to us.</p></div></li><li class="comment">
<cite class="fn">Dee</cite><div class="comment-content"><p>Not to me.</p></div></li></ol></body></html>"""


def places(threads: list[Thread]) -> list[str | None]:
    return [u.place for t in threads for u in t.utterances]


def lines_at(content: str, threads: list[Thread]) -> list[tuple[str, str]]:
    """The first word of each utterance, and the line that its place names."""
    lines = content.splitlines()
    found = []
    for one in (u for t in threads for u in t.utterances):
        number = re.match(r"(?:.*, )?line (\d+)", one.place or "")
        assert number, one
        found.append((next(iter(one.text.split()), ""), lines[int(number[1]) - 1]))
    return found


def test_a_page_counts_its_comments_and_names_their_ids() -> None:
    assert places(read(PAGE)) == ["the post", "comment 1 of 2, #comment-2101", "comment 2 of 2"]


def test_a_page_of_a_web_archive_stands_in_its_record(tmp_path: Path) -> None:
    path = tmp_path / "site.warc"
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=False)
        writer.write_record(writer.create_warcinfo_record("site.warc", {"software": "a test"}))
        headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
        (tmp_path / "page").write_bytes(PAGE)
        with (tmp_path / "page").open("rb") as page:
            record = writer.create_warc_record("https://a.example/", "response", payload=page, http_headers=headers)
            writer.write_record(record)
    assert places(read_file(path))[:2] == ["record 2, the post", "record 2, comment 1 of 2, #comment-2101"]


def test_a_scrape_names_the_line_where_each_text_begins() -> None:
    path = FIXTURES / "numbered.txt"
    found = lines_at(path.read_text(encoding="utf-8"), read_file(path))
    assert len(found) >= 7
    assert all(first in line for first, line in found)


def test_the_same_furniture_twice_stands_on_two_lines() -> None:
    content = "A lamp\n\nShare\n\nThe lamp broke after a day and nobody at Brill wrote back to me.\n\nShare\n"
    marked = [u.place for u in read(content, format="text")[0].utterances if "boilerplate" in u.flags]
    assert marked == ["line 3", "line 7"]


def test_what_is_cut_out_of_a_line_stands_on_that_line() -> None:
    content = (
        "The lamp of Brill\n\nlamp on a desk 640x480 The lamp of Brill The lamp broke after a day, and nobody at Brill "
        "wrote back to me about it, although I asked them three times for a new one.\n"
    )
    found = {u.id: u.place for u in read(content, format="text")[0].utterances}
    assert found == {"post": "line 3", "boilerplate-1": "line 3"}


def test_a_row_of_csv_begins_on_its_first_line() -> None:
    content = 'id,text\n1,"One\n\nmore."\n2,Two.\n\n3,"Three\nand on."\n'
    threads = read(content, name="a.csv")
    assert places(threads) == ["line 2", "line 5", "line 7"]
    assert all(first in line for first, line in lines_at(content, threads))


def test_rows_that_become_a_thread_keep_their_lines() -> None:
    content = "id,page,text\n1,p,One.\n2,q,Two.\n3,p,Three.\n"
    (first, second) = read(content, name="a.csv", fields={"thread": "page"})
    assert [places([first]), places([second])] == [["line 2", "line 4"], ["line 3"]]


def test_json_lines_and_documents() -> None:
    content = '{"text": "One."}\n\n{"text": "Two."}\n{"utterances": [{"text": "Three."}, {"text": "Four."}]}\n'
    expected = ["line 1", "line 3", "line 4, utterances[0]", "line 4, utterances[1]"]
    assert places(read(content, name="a.jsonl")) == expected
    assert places(read('[{"text": "One."},\n {"text": "Two."}]', name="a.json")) == ["[0]", "[1]"]
    assert places(read('{\n"text": "One."\n}', name="a.json")) == ["top level"]


def test_rows_of_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["One.", "Two."]}), path)
    assert places(read_file(path)) == ["row 1", "row 2"]


@pytest.mark.parametrize("name", ["wxr.xml", "disqus.xml", "atom.xml", "rss.xml"])
def test_a_record_of_xml_begins_on_the_line_named(name: str) -> None:
    path = EXPORTS / name
    threads = read_file(path)
    found = lines_at(path.read_text(encoding="utf-8"), threads)
    tags = [(place or "").split()[0] for place in places(threads)]
    assert found
    assert all(f"<{tag}" in line for tag, (_, line) in zip(tags, found, strict=True))


def test_a_comment_of_a_wordpress_item_is_counted_in_it() -> None:
    comments = "".join(
        f"<wp:comment><wp:comment_id>{n}</wp:comment_id><wp:comment_content>{text}</wp:comment_content></wp:comment>"
        for n, text in enumerate(("One.", "<b>Two.", "Three."), 1)
    )
    item = f"<item><wp:post_id>7</wp:post_id><content:encoded>Post.</content:encoded>{comments}</item>"
    content = f'<rss xmlns:wp="http://wordpress.org/export/1.2/" xmlns:content="c"><channel>\n{item}</channel></rss>'
    found = {u.id: u.place for u in read(content, format="wxr")[0].utterances}
    # The second comment is broken; that does not move the third.
    assert (found["post-7"], found["1"], found["3"]) == (
        "item 1, line 2", "item 1, line 2, comment 1", "item 1, line 2, comment 3",
    )  # fmt: skip


def followed(value: object, place: str) -> object:
    """What stands at a path such as "[0].data.children[1]"."""
    if place == "top level":
        return value
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", place):
        value = value[name] if name else value[int(index)]  # type: ignore[index]
    return value


@pytest.mark.parametrize(
    "name",
    ["commento.json", "discourse.json", "hackernews.json", "reddit-listing.json", "schema.json", "wordpress.json",
     "youtube.json"],
)  # fmt: skip
def test_a_path_leads_to_the_text(name: str) -> None:
    path = EXPORTS / name
    document = json.loads(path.read_text(encoding="utf-8"))
    spoken = [u for t in read_file(path) for u in t.utterances if u.text]
    assert spoken
    for one in spoken:
        there = followed(document, one.place or "")
        assert max(re.findall(r"[A-Za-z]+", one.text), key=len) in json.dumps(there), one


def test_a_path_that_nobody_can_follow_becomes_a_number() -> None:
    tree: dict[str, object] = {"id": 30, "type": "comment", "author": "a", "text": "Deep.", "children": []}
    for key in range(29, 0, -1):
        tree = {"id": key, "type": "comment", "author": "a", "text": f"No. {key}", "children": [tree], "points": 1}
    found = places(read(json.dumps(tree), name="a.json", format="hackernews"))
    assert found[1] == "line 1, children[0]"
    assert found[-1] == "line 1, entry 30"
    assert all(len(place or "") < 200 for place in found)


def test_places_survive_writing_and_reading_back() -> None:
    for thread in read_file(EXPORTS / "wxr.xml"):
        assert all(place for place in places([thread]))
        assert places([thread_from_dict(thread_to_dict(thread))]) == places([thread])
    given = thread_from_dict({"utterances": [{"text": "One."}, {"text": "Two.", "place": None}]})
    assert places([given]) == ["utterances[0]", None]
    assert thread_from_dict(thread_to_dict(given)) == given
