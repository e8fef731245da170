from pathlib import Path

import pytest

from model.read import read
from model.reading.html import NOT_IN_PAGE, read_html
from model.types import Author, InputError, Thread, Utterance

FIXTURES = Path(__file__).parent / "fixtures"
EXAMPLES = Path(__file__).parents[2] / "examples"
STORY = (
    "<p>The oven from Brandt and Pohl failed after a week, and I have written to them three times without an "
    "answer.</p>"
    "<p>On the fourth day I drove to their shop, where nobody wanted to hear of it, and so I write it down here "
    "now.</p>"
)


def page(body: str, head: str = "") -> str:
    return (
        f"<!doctype html><html><head><title>An oven</title>{head}</head><body><article><h1>An oven</h1>"
        f"{STORY}</article>"
        f"{body}</body></html>"
    )


def comments(thread: Thread) -> list[Utterance]:
    return [u for u in thread.utterances if u.id != "post" and "boilerplate" not in u.flags]


def outline(thread: Thread) -> list[tuple[str, str | None, str | None, str]]:
    return [(u.id, u.parent, u.author.name if u.author else None, u.text) for u in comments(thread)]


@pytest.fixture(scope="module")
def example() -> Thread:
    return read_html((EXAMPLES / "kettle-recall.html").read_text("utf-8"), name="kettle")


def test_the_example_is_read_whole(example: Thread) -> None:
    assert (example.adapter, example.claimed, example.warnings) == ("wordpress", 11, ())
    assert example.title == "My kettle melted, and all I got was a ticket number"
    assert example.url == "https://slowkitchen.example/2023/11/my-kettle-melted/"
    post = example.utterances[0]
    assert (post.author and post.author.name, post.time) == ("Ruth Calloway", "2023-11-06T08:12:00+00:00")
    assert post.text.startswith("I bought the Marrowby Ember kettle")
    assert post.text.endswith("how they have treated you.")
    assert len(comments(example)) == 11


def test_nesting_and_marks_of_the_example(example: Thread) -> None:
    found = {u.id: u for u in example.utterances}
    assert found["comment-2104"].parent == "comment-2101"
    assert found["comment-2104"].flags == ("post_author",)
    assert found["comment-2107"].parent == "post"
    assert found["comment-2107"].time == "2023-11-06T17:55:00+00:00"
    assert found["comment-2118"].author == Author("Gareth Fernley", "https://fernley-advice.example/")
    assert found["comment-2125"].kind == "pingback"


def test_no_furniture_in_any_text_of_the_example(example: Thread) -> None:
    words = "\n".join(u.text for u in [example.utterances[0], *comments(example)])
    for phrase in (
        "cookies",
        "Share this",
        "Reply",
        "Tagged",
        "Posted on",
        "email address",
        "Recent",
        "says:",
        "Akismet",
    ):
        assert phrase not in words


def test_legacy_wordpress() -> None:
    thread = read_html((FIXTURES / "legacy_wordpress.html").read_text("utf-8"))
    assert outline(thread) == [
        ("comment-7", "post", "Maren", "They sent mine in two days.\n\nLucky me."),
        ("comment-8", "post", "Ilse", "Mine never came & nobody called."),
        ("comment-9", "post", "Ilse", "Now it did."),
    ]
    assert [u.time for u in comments(thread)] == ["2010-03-03T17:14:00", "2010-03-04T00:05:00", "2010-03-05T08:00:00"]
    assert thread.claimed == 3


def test_depth_classes_of_a_flat_list_make_parents() -> None:
    items = "".join(
        f"<li class='comment depth-{depth}' id='comment-{n}'><div class='comment-content'>Text {n}</div></li>"
        for n, depth in enumerate((1, 2, 3, 2, 1), 1)
    )
    thread = read_html(page(f"<ol>{items}</ol>"))
    assert [u.parent for u in comments(thread)] == ["post", "comment-1", "comment-2", "comment-1", "post"]


PLATFORMS = {
    "blogger": (
        "<li class='comment' id='c11'><div class='comment-block'><cite class='user'>Ann</cite>"
        "<span class='datetime'>May 30, 2019 at 1:06 PM</span><p class='comment-content'>One.</p></div>"
        "<div class='comment-replies'><ol><li class='comment' id='c12'><div class='comment-block'><cite "
        "class='user'>Bo</cite>"
        "<p class='comment-content'>Two.</p></div></li></ol></div></li>",
        [("c11", "post", "Ann", "One."), ("c12", "c11", "Bo", "Two.")],
    ),
    "disqus": (
        "<div id='disqus_thread'><div class='d-noscript-comments'><div class='comment'><div "
        "class='comment-author'>Ann</div>"
        "<div class='comment-body'>One.</div></div></div></div>",
        [("comment-1", "post", "Ann", "One.")],
    ),
    "drupal": (
        "<a id='comment-5'></a><article class='comment' typeof='sioct:Comment'><p class='submitted'><span "
        "class='username'>Ann"
        "</span></p><div class='field-name-comment-body'><p>One.</p></div></article><div class='indented'><a "
        "id='comment-6'></a>"
        "<article class='comment' typeof='sioct:Comment'><span class='username'>Bo</span>"
        "<div class='field-name-comment-body'>Two.</div></article></div>",
        [("comment-5", "post", "Ann", "One."), ("comment-6", "comment-5", "Bo", "Two.")],
    ),
    "reddit": (
        "<shreddit-comment thingid='t1_a' author='ann' depth='0' score='7' created='2024-05-01T10:00:00+00:00'>"
        "<div slot='comment'><p>One.</p></div><shreddit-comment thingid='t1_b' parentid='t1_a' author='bo' depth='1'>"
        "<div slot='comment'><p>Two.</p></div></shreddit-comment></shreddit-comment>",
        [("t1_a", "post", "ann", "One."), ("t1_b", "t1_a", "bo", "Two.")],
    ),
    "hackernews": (
        "<table><tr class='athing comtr' id='1'><td class='ind' indent='0'></td><td><a class='hnuser'>ann</a>"
        "<div class='commtext'>One.</div></td></tr><tr class='athing comtr' id='2'><td class='ind' indent='1'></td><td>"
        "<a class='hnuser'>bo</a><div class='commtext'>Two.</div></td></tr></table>",
        [("1", "post", "ann", "One."), ("2", "1", "bo", "Two.")],
    ),
    "repeated block": (
        "<div class='review-item'><span class='reviewer-name'>Ann</span><span class='review-date'>3 May 2020</span>"
        "<div class='review-text'>One.</div></div><div class='review-item'><span class='reviewer-name'>Bo</span>"
        "<div class='review-text'>Two.</div></div>",
        [("comment-1", "post", "Ann", "One."), ("comment-2", "post", "Bo", "Two.")],
    ),
    "comment blocks": (
        "<div class='comment'><b class='author'>Ann</b><div class='body'>One.</div></div>",
        [("comment-1", "post", "Ann", "One.")],
    ),
    "schema.org": (
        '<script type="application/ld+json">{"@context": "https://schema.org", "@type": "Article", "comment": '
        '[{"@type": "Comment", '
        '"@id": "#c1", "author": {"@type": "Person", "name": "Ann"}, "dateCreated": "2020-05-03", "text": "<p>'
        'One.</p>", '
        '"comment": {"@type": "Comment", "author": "Bo", "text": "Two."}}]}</script>',
        [("#c1", "post", "Ann", "One."), ("comment-2", "#c1", "Bo", "Two.")],
    ),
}


@pytest.mark.parametrize("name", PLATFORMS)
def test_platforms(name: str) -> None:
    body, expected = PLATFORMS[name]
    thread = read_html(page(body))
    assert thread.adapter == name
    assert outline(thread) == expected
    assert "without an answer" in thread.utterances[0].text


def test_questions_and_answers() -> None:
    thread = read_html(
        page(
            "<div class='question'><div class='s-prose js-post-body'>Why no refund?</div><ul><li "
            "class='comment' id='comment-1' "
            "data-comment-score='3'><span class='comment-copy'>Same here.</span><a class='comment-user'>bo</a>"
            "</li></ul></div>"
            "<div class='answer' id='answer-9' data-score='4'><div class='s-prose js-post-body'>Ask the head "
            "office.</div>"
            "<ul><li class='comment' id='comment-2'><span class='comment-copy'>It helped.</span></li></ul></div>"
        )
    )
    found = {u.id: u for u in thread.utterances}
    assert found["post"].text == "Why no refund?"
    assert (found["comment-1"].parent, found["comment-1"].votes) == ("post", 3)
    assert (found["answer-9"].kind, found["answer-9"].parent, found["answer-9"].votes) == ("post", "post", 4)
    assert found["comment-2"].parent == "answer-9"


def test_the_first_item_of_a_forum_opens_the_thread() -> None:
    items = "".join(
        f"<div class='post' id='p{n}'><p class='author'><a class='username'>u{n}</a></p><div class='postbody'>"
        f"<div class='content'>Text {n}</div></div></div>"
        for n in (1, 2)
    )
    thread = read_html(f"<html><head><title>Broken lift</title></head><body>{items}</body></html>")
    assert [(u.id, u.kind, u.author and u.author.name, u.text) for u in thread.utterances] == [
        ("post", "post", "u1", "Text 1"),
        ("p2", "comment", "u2", "Text 2"),
    ]
    later = read_html(f"<html><head><title>Broken lift - Page 3</title></head><body>{items}</body></html>")
    assert [u.kind for u in later.utterances] == ["comment", "comment"]


def test_an_embed_without_comments_is_not_called_empty() -> None:
    thread = read_html(page("<div id='disqus_thread'></div><script src='//x.disqus.com/embed.js'></script>"))
    assert thread.warnings == (NOT_IN_PAGE,)


def test_a_page_without_comments_gives_the_post_and_says_so() -> None:
    thread = read_html(page(""))
    assert [u.id for u in thread.utterances] == ["post"]
    assert thread.warnings == ("no comments were found",)
    assert thread.adapter == "body"


def test_a_count_that_does_not_fit_is_said() -> None:
    body = "<h2 class='comments-title'>9 Comments</h2><ol><li class='comment' id='comment-1'><p>One.</p></li></ol>"
    assert read_html(page(body)).warnings == ("the page states 9 comments, 1 were found",)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8", "utf-16"])
@pytest.mark.parametrize("declared", [True, False])
def test_encodings(encoding: str, *, declared: bool) -> None:
    head = f"<meta charset='{encoding}'>" if declared and encoding != "utf-16" else ""
    text = "Schöne Grüße aus Köln, die Waschmaschine läuft über, und niemand hört zu."
    html = page(f"<ol><li class='comment' id='comment-1'><p>{text}</p></li></ol>", head)
    (thread,) = read(html.encode(encoding), name="page.html")
    assert comments(thread)[0].text == text


def test_a_page_that_says_latin_1_and_means_cp1252() -> None:
    html = page(
        "<ol><li class='comment' id='comment-1'><p>“Late” – and €50…</p></li></ol>", "<meta charset='iso-8859-1'>"
    )
    (thread,) = read(html.encode("cp1252"), name="page.html")
    assert comments(thread)[0].text == "“Late” – and €50…"


def test_a_truncated_page_is_read_as_far_as_it_goes() -> None:
    html = (EXAMPLES / "kettle-recall.html").read_bytes()
    cut = html.index(b"never owned a marrowby".title().replace(b"Owned A", b"owned a")) + 60
    (thread,) = read(html[:cut], name="cut.html")
    assert comments(thread)[-1].text.startswith("Never owned a Marrowby")
    assert len(comments(thread)) == 8


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 100_000 + "hello there",
        "<ul><li class='comment' id='comment-1'>" * 3_000 + "hello there",
        "<html><body><div " * 50_000 + ">hello there",
        "<b><p>" * 3_000 + "hello there",
    ],
)
def test_crafted_nesting_does_not_hang(html: str) -> None:
    thread = read_html(f"<html><body>{html}")
    assert any("hello there" in u.text for u in thread.utterances)


def test_a_page_without_words_is_an_error() -> None:
    with pytest.raises(InputError) as caught:
        read_html("<html><body><img src='x.png'></body></html>", name="picture.html")
    assert (caught.value.code, caught.value.field) == ("empty_file", "picture.html")


def test_ids_that_occur_twice_are_told_apart() -> None:
    item = "<li class='comment' id='comment-1'><p>One.</p></li>"
    assert [u.id for u in comments(read_html(page(f"<ol>{item}</ol><ol>{item}</ol>")))] == ["comment-1", "comment-1~2"]


def test_a_reply_to_an_empty_comment_answers_what_that_one_answered() -> None:
    def item(number: int, name: str, inner: str) -> str:
        said = f'<cite class="fn">{name}</cite><div class="comment-content"><p>Nobody called {name} back.</p></div>'
        return f'<li class="comment" id="comment-{number}">{said if name else ""}{inner}</li>'

    def replies(inner: str) -> str:
        return f'<ul class="children">{inner}</ul>'

    comments = item(0, "Al", "") + item(1, "Bo", replies(item(2, "", replies(item(3, "Cy", "")))))
    (thread,) = read(f'<html><body><ol class="commentlist">{comments}</ol></body></html>', name="page.html")
    parents = {u.author.name: u.parent for u in thread.utterances if u.author}
    assert parents == {"Al": None, "Bo": None, "Cy": "comment-1"}


def test_no_response_stays_in_the_story_and_in_a_comment() -> None:
    told = "<p>No response.</p><p>No replies.</p><p>Two answers.</p><p>So I went to the ombudsman, and they paid.</p>"
    item = '<li class="comment" id="comment-1"><div class="comment-content"><p>Same.</p><p>No reply.</p></div></li>'
    thread = read_html(page(f'<ol class="commentlist">{item}</ol>').replace(STORY, STORY + told))
    post = next(u for u in thread.utterances if u.id == "post")
    assert all(line in post.text for line in ("No response.", "No replies.", "Two answers.", "they paid"))
    assert [u.text.split() for u in comments(thread)] == [["Same.", "No", "reply."]]


def test_a_page_without_responses_says_so() -> None:
    thread = read_html(
        page("<div class='comments-title'>No Responses</div>").replace(STORY, STORY + "<p>No Responses</p>")
    )
    assert thread.claimed == 0
    assert "No Responses" not in next(u for u in thread.utterances if u.id == "post").text
