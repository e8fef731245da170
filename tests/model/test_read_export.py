"""Every export format: what is read out of it, what is flagged, and that its threads survive a round trip."""

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from model.read import FORMATS, iter_threads, read, read_file
from model.reading.export import iso_time, plain
from model.reading.json import thread_to_dict
from model.types import Author, InputError, Thread, Utterance

EXPORTS = Path(__file__).parent / "fixtures" / "exports"
FIELDS = {
    "id": "key", "thread": "page", "parent": "answers", "author": "who", "time": "written", "text": "body",
    "votes": "likes",
}  # fmt: skip
PAGE = b"""<html><head><title>A gate</title></head><body><article><div class="entry-content"><p>The gate was shut, and
Lund Air blamed me for it.</p></div></article><ol class="commentlist"><li class="comment depth-1" id="comment-1">
<cite class="fn">Cal</cite><div class="comment-content"><p>They did the same to us.</p></div></li></ol></body></html>"""


def fields_of(path: Path) -> dict[str, str] | None:
    return FIELDS if path.suffix == ".csv" else None


def threads_of(name: str) -> list[Thread]:
    path = EXPORTS / name
    return list(iter_threads(path, fields=fields_of(path)))


def told(utterance: Utterance) -> tuple[str, str | None, str, str | None, tuple[str, ...]]:
    return (
        utterance.id,
        utterance.parent,
        utterance.kind,
        utterance.author.name if utterance.author else None,
        utterance.flags,
    )


@pytest.mark.parametrize(
    ("name", "adapter", "expected"),
    [
        (
            "wxr.xml",
            "wxr",
            [
                ("post-41", None, "post", "Ida Moor", ()),
                ("103", "102", "comment", "Ida Moor", ("post_author",)),
                ("102", "post-41", "comment", "Bo", ()),
                ("104", "post-41", "pingback", "Another blog", ("no_zone",)),
                ("105", "post-41", "trackback", "Cheap pans", ("spam",)),
                ("106", "post-41", "comment", "Cy", ("unapproved", "orphan")),
                ("106~2", "102", "comment", "Cy", ("deleted", "duplicate_id")),
            ],
        ),
        (
            "disqus.xml",
            "disqus",
            [
                ("11", None, "comment", "Ann", ()),
                ("13", "11", "comment", "Cem", ()),
                ("14", None, "comment", "Dee", ("deleted",)),
                ("12", None, "comment", "Ben", ()),
                ("15", None, "comment", "Eve", ("spam", "orphan")),
            ],
        ),
        (
            "wordpress.json",
            "wordpress",
            [
                ("post-7", None, "post", None, ()),
                ("31", "post-7", "comment", "Ann", ()),
                ("32", "31", "comment", "Desk", ()),
                ("33", None, "pingback", "Links", ("unapproved", "no_zone")),
            ],
        ),
        (
            "reddit.jsonl",
            "reddit",
            [
                ("t3_aa", None, "post", "bill_payer", ()),
                ("t1_k1", "t3_aa", "comment", "oak_lamp", ()),
                ("t1_k3", "t1_k2", "comment", "bill_payer", ("post_author",)),
                ("t1_k2", "t1_k1", "comment", None, ("deleted",)),
                ("t1_k4", None, "comment", "elm", ("orphan",)),
            ],
        ),
        (
            "reddit-listing.json",
            "reddit",
            [
                ("t3_cc", None, "post", "cold", ()),
                ("t1_m1", "t3_cc", "comment", "warm", ()),
                ("t1_m2", "t1_m1", "comment", "cold", ("post_author",)),
            ],
        ),
        (
            "hackernews.json",
            "hackernews",
            [
                ("900", None, "post", "root", ()),
                ("901", "900", "comment", "ada", ()),
                ("902", "901", "comment", None, ("deleted",)),
                ("903", "902", "comment", "cyd", ()),
            ],
        ),
        (
            "hackernews-items.jsonl",
            "hackernews",
            [
                ("10", None, "post", "gus", ()),
                ("13", "12", "comment", "eli", ()),
                ("12", "10", "comment", "fay", ()),
                ("14", "10", "comment", None, ("deleted",)),
                ("22", None, "comment", "hal", ("unapproved", "orphan")),
            ],
        ),
        (
            "youtube.json",
            "youtube",
            [
                ("UgA", None, "comment", "@mixer", ()),
                ("UgA.1", "UgA", "comment", "@jam", ()),
                ("UgB", None, "comment", "@fan", ("unapproved",)),
            ],
        ),
        (
            "discourse.json",
            "discourse",
            [
                ("1", None, "post", "Pia", ()),
                ("2", "1", "comment", "help_desk", ("staff",)),
                ("3", "2", "comment", "Pia", ("post_author",)),
                ("9", "1", "comment", "quill", ("unapproved", "orphan")),
            ],
        ),
        (
            "schema.json",
            "schema",
            [
                ("https://shoes.example/sole", None, "post", "Rue", ()),
                ("#c1", "https://shoes.example/sole", "comment", "Sol", ()),
                ("#c2", "#c1", "comment", "Rue", ("no_zone",)),
                ("#c3", "#c2", "comment", "Sol", ()),
            ],
        ),
        (
            "atom.xml",
            "feed",
            [
                ("tag:blog.example,2010:post-1.comment-5", None, "comment", "Tam", ()),
                (
                    "tag:blog.example,2010:post-1.comment-6",
                    "tag:blog.example,2010:post-1.comment-5",
                    "comment",
                    "Uma",
                    (),
                ),
            ],
        ),
        (
            "rss.xml",
            "feed",
            [
                ("https://attic.example/?p=3#comment-8", None, "comment", "Vic", ()),
                ("https://attic.example/?p=4#comment-9", None, "comment", "Wes", ()),
            ],
        ),
        (
            "convokit.jsonl",
            "convokit",
            [
                ("u1", None, "post", "xan", ()),
                ("u3", "u2", "comment", "yew", ()),
                ("u2", "u1", "comment", "zoe", ()),
                ("w1", None, "comment", "abe", ("deleted", "orphan")),
            ],
        ),
        (
            "commento.json",
            "commento",
            [
                ("c1", None, "comment", "Bea", ()),
                ("c2", "c1", "comment", None, ("unapproved",)),
                ("c3", None, "comment", None, ("deleted",)),
            ],
        ),
        (
            "posts.csv",
            "table",
            [
                ("a1", None, "comment", "Cal", ("no_zone",)),
                ("a3", "a2", "comment", "Dov", ("no_zone",)),
                ("a2", "a1", "comment", "Eva", ()),
                ("b2", None, "comment", "Fin", ("bad_time", "orphan")),
            ],
        ),
    ],
)
def test_who_said_what_to_whom(name: str, adapter: str, expected: list[object]) -> None:
    threads = threads_of(name)
    assert {thread.adapter for thread in threads} == {adapter}
    assert [told(one) for thread in threads for one in thread.utterances] == expected


@pytest.mark.parametrize("path", sorted(EXPORTS.iterdir()), ids=lambda path: path.name)
def test_threads_survive_a_round_trip(path: Path) -> None:
    threads = list(iter_threads(path, fields=fields_of(path), brand="Hollin Ware"))
    lines = "\n".join(json.dumps(thread_to_dict(thread)) for thread in threads)
    assert read(lines, name="threads.jsonl") == threads
    assert read(path.read_bytes(), name=path.name, fields=fields_of(path), brand="Hollin Ware") == threads


@pytest.mark.parametrize("path", sorted(EXPORTS.glob("*.[jx]*")), ids=lambda path: path.name)
def test_the_content_tells_the_format(path: Path) -> None:
    (name,) = {thread.adapter for thread in read(path.read_bytes())}
    assert name in FORMATS
    assert read(path.read_bytes(), format=name)


def test_texts_are_plain() -> None:
    post, _, second, pingback, *_ = threads_of("wxr.xml")[0].utterances
    assert post.text == (
        "The kettle from Hollin Ware leaked on its second day.\n\nThey promised a new one. It has not come."
    )
    assert second.text == "Mine leaked too.\n\nTheir hotline hung up on me & never called back."
    assert pingback.text == "[...] a kettle that leaks [...]"
    assert [u.text for u in threads_of("atom.xml")[0].utterances] == [
        "Mine flickered, too.\nThey laughed at me.",
        "They sent me two new ones.",
    ]


def test_times_votes_titles_and_addresses() -> None:
    (wxr,) = threads_of("wxr.xml")
    assert (wxr.id, wxr.title, wxr.url) == ("41", "A kettle & a promise", "https://kitchen.example/kettle/")
    assert wxr.utterances[2].author == Author("Bo", "https://bo.example")
    assert [u.time for u in wxr.utterances[2:4]] == ["2024-03-01T11:10:00+00:00", "2024-03-02T07:00:00"]
    assert [u.votes for u in threads_of("reddit.jsonl")[0].utterances] == [88, 12, 3, 1]
    assert [u.votes for u in threads_of("discourse.json")[0].utterances] == [4, None, 1, None]
    assert threads_of("rss.xml")[1].title == "A saw"
    assert threads_of("hackernews.json")[0].url == "https://news.ycombinator.com/item?id=900"


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("youtube.json", "2 replies are counted in the export but are not in it"),
        ("reddit-listing.json", "3 replies are counted in the export but are not in it"),
        ("reddit.jsonl", "the export states 4 comments, 3 are in it"),
        ("discourse.json", "the export states 5 comments, 3 are in it"),
        ("posts.csv", "posts.csv, line 5: 6 cells, not 7 cells"),
    ],
)
def test_what_is_not_there_is_said(name: str, warning: str) -> None:
    assert threads_of(name)[0].warnings == (warning,)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_columns_of_other_names(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"key": "p1", "page": "p1", "answers": None, "who": "Cal", "written": 1577872800, "body": "Shut.", "likes": 4},
        {"key": "a2", "page": "p1", "answers": "p1", "who": None, "written": None, "body": "No!", "likes": None},
    ]
    path = tmp_path / f"rows.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    (thread,) = read_file(path, fields=FIELDS)
    assert [told(u) for u in thread.utterances] == [
        ("p1", None, "post", "Cal", ()),
        ("a2", "p1", "comment", None, ()),
    ]
    assert thread.utterances[0].time == "2020-01-01T10:00:00+00:00"
    for fields, code in (({"txt": "body"}, "unknown_field"), ({"text": "no"}, "missing_column")):
        with pytest.raises(InputError) as error:
            read_file(path, fields=fields)
        assert error.value.code == ("missing_field" if (suffix, code) == ("jsonl", "missing_column") else code)


def test_an_archive_of_pages(tmp_path: Path) -> None:
    path = tmp_path / "site.warc.gz"
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        for url, status, kind, body in (
            ("https://gates.example/1", "200 OK", "text/html; charset=utf-8", PAGE),
            ("https://gates.example/logo", "200 OK", "image/png", b"\x89PNG"),
            ("https://gates.example/gone", "404 Not Found", "text/html", PAGE),
            ("https://gates.example/empty", "200 OK", "text/html", b"<html></html>"),
            ("https://gates.example/2", "200 OK", "text/html", PAGE),
        ):
            headers = StatusAndHeaders(status, [("Content-Type", kind)], protocol="HTTP/1.1")
            with (tmp_path / "body").open("wb+") as payload:
                payload.write(body)
                payload.seek(0)
                writer.write_record(writer.create_warc_record(url, "response", payload=payload, http_headers=headers))
    threads = list(iter_threads(path))
    assert [(t.url, t.adapter, len(t.utterances)) for t in threads] == [
        ("https://gates.example/1", "wordpress", 2),
        ("https://gates.example/2", "wordpress", 2),
    ]
    assert threads[1].warnings == ("site.warc, record 4 holds no text",)


def test_circles_are_cut_and_flagged() -> None:
    lines = [
        {"id": "a", "conversation_id": "t", "speaker": "x", "text": "One.", "reply_to": "b"},
        {"id": "b", "conversation_id": "t", "speaker": "y", "text": "Two.", "reply_to": "a"},
        {"id": "c", "conversation_id": "t", "speaker": "z", "text": "Three.", "reply_to": "c"},
    ]
    (thread,) = read("\n".join(map(json.dumps, lines)))
    assert [(u.id, u.parent, u.flags) for u in thread.utterances] == [
        ("a", "b", ()),
        ("b", None, ("orphan",)),
        ("c", None, ()),
    ]


def test_a_table_that_looks_like_a_platform_is_a_table() -> None:
    (thread,) = read('{"text": "They called.", "subreddit": "phones", "title": "A call"}', name="rows.jsonl")
    assert (thread.adapter, thread.utterances[0].text) == ("given", "They called.")


def test_records_that_hold_nothing_are_told() -> None:
    lines = ['{"subreddit": "x", "id": "a"}', '{"subreddit": "x", "id": "b", "body": "Hm.", "link_id": "t3_c"}']
    (thread,) = read("\n".join(lines), name="dump.jsonl")
    assert thread.warnings == ("dump.jsonl, line 1: no reddit record",)


def test_reddit_shapes_that_are_no_comments_are_left_alone() -> None:
    with pytest.raises(InputError) as error:
        read('{"kind": "Listing", "data": {"children": [null, {"kind": "t5", "data": {}}]}}')
    assert error.value.code == "empty_thread"


@pytest.mark.parametrize(
    ("value", "time", "flags"),
    [
        (1600000000, "2020-09-13T12:26:40+00:00", ()),
        ("1600000000.0", "2020-09-13T12:26:40+00:00", ()),
        (1600000000000, "2020-09-13T12:26:40+00:00", ()),
        ("2020-09-13 12:26", "2020-09-13T12:26:00", ("no_zone",)),
        ("2020-09-13", "2020-09-13", ("no_zone",)),
        ("Mon, 03 Feb 2020 10:00:00 +0100", "2020-02-03T10:00:00+01:00", ()),
        ("3 Feb 2020 10:00:00 -0000", "2020-02-03T10:00:00", ("no_zone",)),
        ("May 3, 2020 at 10:05 pm", "2020-05-03T22:05:00", ("no_zone",)),
        ("2011-x09-30T22:48:43Z", None, ("bad_time",)),
        ("0000-00-00 00:00:00", None, ()),
        (7, None, ("bad_time",)),
        (1e300, None, ("bad_time",)),
        (float("nan"), None, ("bad_time",)),
        (None, None, ()),
        ("", None, ()),
        ([1], None, ("bad_time",)),
    ],
)
def test_times(value: object, time: str | None, flags: tuple[str, ...]) -> None:
    assert iso_time(value) == (time, flags)


def test_html_of_comments() -> None:
    assert plain("1 < 2 & so on") == "1 < 2 & so on"
    assert plain("a<br>b<p>c</p><script>x</script>") == "a\nb\n\nc"
    assert plain(None) == ""


DATA_COUNTS = {
    "isso_disqus.xml": (3, {"comment": 6}, {"deleted": 1}, 2),
    "isso_wordpress.xml": (2, {"comment": 8}, {"post_author": 3}, 3),
    "remark42_commento.json": (2, {"comment": 3}, {}, 1),
    "remark42_disqus.xml": (3, {"comment": 6}, {"spam": 1, "bad_time": 1}, 0),
    "remark42_disqus-deleted-post.xml": (3, {"comment": 6}, {"spam": 1, "bad_time": 1, "deleted": 1}, 0),
    "remark42_disqus-deleted-thread.xml": (3, {"comment": 6}, {"spam": 1, "bad_time": 1}, 0),
    "wptt_themeunittestdata.wordpress.xml": (
        77,
        {"post": 76, "comment": 29, "pingback": 2, "trackback": 2},
        {"unapproved": 3, "post_author": 3},
        10,
    ),
}


@pytest.mark.data
@pytest.mark.parametrize("name", DATA_COUNTS)
def test_real_exports(data: Path, name: str) -> None:
    threads = read_file(data / "threads" / "formats" / name)
    kinds = Counter(u.kind for t in threads for u in t.utterances)
    flags = Counter(flag for t in threads for u in t.utterances for flag in u.flags)
    posts = {(t.id, u.id) for t in threads for u in t.utterances if u.kind == "post"}
    replies = sum(u.parent is not None and (t.id, u.parent) not in posts for t in threads for u in t.utterances)
    assert (len(threads), dict(kinds), dict(flags), replies) == DATA_COUNTS[name]
    lines = "\n".join(json.dumps(thread_to_dict(thread)) for thread in threads)
    assert read(lines, name="threads.jsonl") == threads
