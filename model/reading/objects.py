"""Reads the JSON that platforms and archives hand out: one function per shape, from an object to pieces of threads."""

import html
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from model.reading.comments import schema_items
from model.reading.export import Head, Piece, author, gone, iso_time, known, number, plain
from model.types import Author, Kind, Utterance

Object = Mapping[str, Any]
_ARTICLES: Final = re.compile(r"(?:Article|Posting|Question|Product|WebPage|CreativeWork|Recipe|VideoObject)$")


def shape_of(value: Object) -> str | None:
    """The shape of an object: one of SHAPES, "thread" (utterances) or "text" (a row with a text), None for neither."""
    keys = value.keys()
    kind = value.get("kind")
    if "utterances" in keys:
        return "thread"
    if "post_stream" in keys:
        return "discourse"
    if isinstance(kind, str) and kind.startswith("youtube#"):
        return "youtube"
    if kind == "Listing" or (kind in ("t1", "t3") and "data" in keys):
        return "reddit"
    # A table of somebody's own may name the subreddit too, but calls the text so.
    if "text" not in keys and {"subreddit", "link_id", "selftext"} & keys:
        return "reddit"
    if {"comments", "commenters"} <= keys:
        return "commento"
    if "@context" in keys or "@type" in keys or "@graph" in keys:
        return "schema"
    if isinstance(value.get("content"), Mapping) and "rendered" in value["content"]:
        return "wordpress"
    if "children" in keys and {"created_at_i", "story_id", "points"} & keys:
        return "hackernews"
    if {"conversation_id", "reply_to", "reply-to", "root"} & keys and {"speaker", "user"} & keys:
        return "convokit"
    if value.get("type") in ("story", "comment", "job", "poll", "pollopt") and {"by", "kids", "dead", "deleted"} & keys:
        return "hackernews"
    return "text" if "text" in keys else None


def _wordpress(value: Object) -> Iterator[Piece]:
    """Comments or posts of the REST interface."""
    text = _inner(value, "content", "rendered")
    given = value.get("link")
    link = given if isinstance(given, str) else ""
    when, flags = iso_time(value.get("date_gmt"), utc=True)
    if when is None:
        when, flags = iso_time(value.get("date"))
    own = known(value.get("id")) or "none"
    if "post" not in value and "title" in value:
        title = plain(_inner(value, "title", "rendered")) or None
        yield Piece(own, Head(title=title, url=link or None))
        names = value.get("_embedded", {}).get("author") if isinstance(value.get("_embedded"), Mapping) else None
        name = names[0].get("name") if isinstance(names, list) and names and isinstance(names[0], Mapping) else None
        yield Piece(own, Utterance(f"post-{own}", plain(text), "post", None, author(name), when, None, flags))
        return
    thread = known(value.get("post")) or "none"
    status = str(value.get("status") or "approved")
    told = {"hold": "unapproved", "unapproved": "unapproved", "spam": "spam", "trash": "deleted"}.get(status)
    kind = value.get("type")
    yield Piece(thread, Head(url=link.split("#", 1)[0] or None))
    yield Piece(
        thread,
        Utterance(
            id=own,
            text=plain(text),
            kind="pingback" if kind == "pingback" else "trackback" if kind == "trackback" else "comment",
            parent=known(value.get("parent")),
            author=author(value.get("author_name"), value.get("author_url")),
            time=when,
            flags=(*filter(None, [told]), *flags),
        ),
    )


def _reddit(value: Object) -> Iterator[Piece]:
    """Submissions and comments of a dump, or a listing with the replies nested in it."""
    stack: list[tuple[Any, str, str]] = [(value, "t3_none", "")]
    while stack:
        one, link, path = stack.pop()
        if isinstance(one, list):
            stack.extend((inner, link, f"{path}[{n}]") for n, inner in reversed(list(enumerate(one))))
            continue
        if not isinstance(one, Mapping):
            continue
        data = one.get("data")
        kind, data = (one.get("kind"), data) if isinstance(data, Mapping) else (None, one)
        if kind == "Listing":
            stack.append((data.get("children"), link, f"{path}.data.children"))
        elif kind == "more":
            parent = str(data.get("parent_id") or "")
            thread = parent if parent.startswith("t3_") else link
            yield Piece(thread, Head(absent=max(number(data.get("count")) or 0, 0)))
        elif "body" in data or "title" in data:
            yield from _reddit_entry(data, path)
            inner = path if data is one else f"{path}.data"
            stack.append((data.get("replies"), str(data.get("link_id") or link), f"{inner}.replies"))


def _reddit_entry(data: Object, path: str) -> Iterator[Piece]:
    when, flags = iso_time(data.get("created_utc"), utc=True)
    body = data.get("body")
    own = str(data.get("name") or "")
    key = own.split("_", 1)[-1] or known(data.get("id")) or "none"
    text = html.unescape(body if isinstance(body, str) else str(data.get("selftext") or ""))
    votes = number(data.get("score"))
    who = author(data.get("author"))
    if isinstance(body, str):
        link = str(data.get("link_id") or "t3_none")
        parent = str(data.get("parent_id") or "")
        told = [*(["post_author"] if data.get("is_submitter") is True else []), *gone(text)]
        yield Piece(
            link,
            Utterance(
                id=f"t1_{key}",
                text=text,
                # The submission itself is often in another file of a dump.
                parent=parent if parent.startswith("t1_") else None,
                author=who,
                time=when,
                votes=votes,
                flags=(*told, *flags),
                place=path,
            ),
        )
        return
    title = html.unescape(str(data.get("title") or ""))
    permalink = data.get("permalink")
    url = f"https://www.reddit.com{permalink}" if isinstance(permalink, str) and permalink.startswith("/") else None
    yield Piece(f"t3_{key}", Head(title=title or None, url=url, claimed=_count(data.get("num_comments"))))
    told = list(gone(text))
    flags = (*told, *flags)
    yield Piece(f"t3_{key}", Utterance(f"t3_{key}", text or title, "post", None, who, when, votes, flags, path))


def _hackernews(value: Object) -> Iterator[Piece]:
    """A tree of Algolia's interface, or a single item of Firebase's."""
    if "children" not in value:
        yield from _firebase(value)
        return
    root = known(value.get("story_id")) or known(value.get("id")) or "none"
    stack: list[tuple[Any, str]] = [(value, "")]
    while stack:
        one, path = stack.pop()
        if not isinstance(one, Mapping):
            continue
        text, title = plain(one.get("text")), plain(one.get("title"))
        story = one.get("type") != "comment" and one.get("parent_id") is None
        when, flags = iso_time(one.get("created_at_i") or one.get("created_at"), utc=True)
        if story:
            yield Piece(root, Head(title=title or None, url=_hacker_url(root)))
        told = gone(text) or (("deleted",) if not text and not title else ())
        yield Piece(
            root,
            Utterance(
                id=known(one.get("id")) or "none",
                text=text or title,
                kind="post" if story else "comment",
                # A tree may start at a comment; what that one answers is not in it.
                parent=None if one is value else known(one.get("parent_id")),
                author=author(one.get("author")),
                time=when,
                votes=number(one.get("points")),
                flags=(*told, *flags),
                place=path,
            ),
        )
        children = one.get("children")
        inner = list(enumerate(children)) if isinstance(children, list) else []
        stack.extend((child, f"{path}.children[{n}]") for n, child in reversed(inner))


def _firebase(value: Object) -> Iterator[Piece]:
    own = known(value.get("id")) or "none"
    text, title = plain(value.get("text")), plain(value.get("title"))
    when, flags = iso_time(value.get("time"), utc=True)
    story = value.get("type") not in ("comment", "pollopt")
    told = [
        name
        for name, there in (
            ("deleted", value.get("deleted") is True or (not text and not title)),
            ("unapproved", value.get("dead") is True),
        )
        if there
    ]
    if story:
        yield Piece(own, Head(title or None, _hacker_url(own), _count(value.get("descendants"))))
    yield Piece(
        own if story else None,
        Utterance(
            id=own,
            text=text or title,
            kind="post" if story else "comment",
            parent=None if story else known(value.get("parent")),
            author=author(value.get("by")),
            time=when,
            votes=number(value.get("score")),
            flags=(*told, *flags),
        ),
    )


def _hacker_url(key: str) -> str:
    return f"https://news.ycombinator.com/item?id={key}"


def _youtube(value: Object) -> Iterator[Piece]:
    """Comment threads, single comments, or the lists in which the interface hands them out."""
    items = value.get("items")
    listed = isinstance(items, list)
    for n, item in enumerate(items if isinstance(items, list) else [value]):
        path = f"items[{n}]" if listed else ""
        if not isinstance(item, Mapping):
            continue
        if not str(item.get("kind", "youtube#comment")).startswith("youtube#comment"):
            continue
        snippet = _part(item, "snippet")
        if "topLevelComment" not in snippet:
            yield from _youtube_comment(item, None, path)
            continue
        video = known(snippet.get("videoId"))
        inner = _part(item, "replies").get("comments")
        found = enumerate(inner if isinstance(inner, list) else [])
        replies = [(place, one) for place, one in found if isinstance(one, Mapping)]
        absent = (number(snippet.get("totalReplyCount")) or 0) - len(replies)
        top = _part(snippet, "topLevelComment")
        key = video or known(top.get("id")) or "none"
        url = f"https://www.youtube.com/watch?v={video}" if video else None
        yield Piece(key, Head(url=url, absent=max(absent, 0)))
        yield from _youtube_comment(top, key, f"{path}.snippet.topLevelComment")
        for place, one in replies:
            yield from _youtube_comment(one, key, f"{path}.replies.comments[{place}]")


def _youtube_comment(item: Object, thread: str | None, path: str) -> Iterator[Piece]:
    snippet = _part(item, "snippet")
    original = snippet.get("textOriginal")
    text = original.strip() if isinstance(original, str) else plain(snippet.get("textDisplay"))
    when, flags = iso_time(snippet.get("publishedAt"), utc=True)
    status = snippet.get("moderationStatus")
    told = {"heldForReview": "unapproved", "rejected": "unapproved", "likelySpam": "spam"}.get(str(status))
    yield Piece(
        thread or known(snippet.get("videoId")),
        Utterance(
            id=known(item.get("id")) or "none",
            text=text,
            parent=known(snippet.get("parentId")),
            author=author(snippet.get("authorDisplayName"), snippet.get("authorChannelUrl")),
            time=when,
            votes=number(snippet.get("likeCount")),
            flags=(*filter(None, [told]), *flags),
            place=path,
        ),
    )


def _discourse(value: Object) -> Iterator[Piece]:
    """A topic. Its small actions (closed, moved) are not what somebody said."""
    thread = known(value.get("id")) or "none"
    count = _count(value.get("posts_count"))
    title = value.get("title")
    claimed = max(count - 1, 0) if count is not None else None
    posts = _part(value, "post_stream").get("posts")
    places = enumerate(posts if isinstance(posts, list) else [])
    said = [(n, p) for n, p in places if isinstance(p, Mapping) and p.get("post_type") != 3]
    small = len(posts) - len(said) if isinstance(posts, list) else 0
    claimed = max(claimed - small, 0) if claimed is not None else None
    yield Piece(thread, Head(title=title if isinstance(title, str) else None, claimed=claimed))
    opener = next((p.get("username") for _, p in said if number(p.get("post_number")) == 1), None)
    for n, post in said:
        first = number(post.get("post_number")) == 1
        when, flags = iso_time(post.get("created_at"), utc=True)
        actions = post.get("actions_summary")
        done = [one for one in (actions if isinstance(actions, list) else []) if isinstance(one, Mapping)]
        likes = [one for one in done if one.get("id") == 2]
        told = [
            name
            for name, there in (
                ("post_author", not first and opener is not None and post.get("username") == opener),
                ("staff", any(post.get(word) is True for word in ("staff", "admin", "moderator"))),
                ("deleted", bool(post.get("deleted_at")) or post.get("user_deleted") is True),
                ("unapproved", post.get("hidden") is True),
            )
            if there
        ]
        yield Piece(
            thread,
            Utterance(
                id=known(post.get("post_number")) or known(post.get("id")) or "none",
                text=plain(post.get("cooked")),
                kind="post" if first else "comment",
                parent=None if first else known(post.get("reply_to_post_number")),
                author=author(post.get("name") or post.get("username")),
                time=when,
                votes=number(likes[0].get("count")) if likes else None,
                flags=(*told, *flags),
                place=f"post_stream.posts[{n}]",
            ),
        )


def _schema(value: Object) -> Iterator[Piece]:
    """schema.org data: the first article in it is the post, its comments, answers and reviews follow."""
    graph = value.get("@graph")
    tops = [one for one in (graph if isinstance(graph, list) else [value]) if isinstance(one, Mapping)]
    page = next((one for one in tops if _ARTICLES.search(_schema_type(one))), None)
    page = page or next((_part(one, "mainEntity") for one in tops if _part(one, "mainEntity")), {})
    found = schema_items(value)
    ids = [one.id or f"comment-{place}" for place, one in enumerate(found, 1)]
    url = page.get("url") or page.get("@id") or value.get("url")
    url = url if isinstance(url, str) else None
    title = page.get("headline") or page.get("name")
    key = url or (ids[0] if ids else "none")
    claimed = _count(page.get("commentCount"))
    yield Piece(key, Head(title if isinstance(title, str) else None, url, claimed))
    text = plain(page.get("articleBody") or page.get("text"))
    own = known(page.get("@id")) or "post"
    if text:
        when, flags = iso_time(page.get("datePublished") or page.get("dateCreated"))
        yield Piece(key, Utterance(own, text, "post", None, _schema_author(page.get("author")), when, None, flags))
    for n, one in enumerate(found):
        parent = ids[one.parent] if one.parent is not None else one.parent_id
        when, flags = iso_time(one.time)
        # The page itself is no utterance where its text is not in the data.
        parent = None if parent in (own, url) else parent
        yield Piece(key, Utterance(ids[n], one.text, one.kind, parent, one.author, when, one.votes, flags, one.path))


def _schema_type(value: Object) -> str:
    types = value.get("@type")
    return str(types[0] if isinstance(types, list) and types else types or "")


def _schema_author(value: object) -> Author | None:
    value = value[0] if isinstance(value, list) and value else value
    return author(value.get("name"), value.get("url")) if isinstance(value, Mapping) else author(value)


def _convokit(value: Object) -> Iterator[Piece]:
    """An utterance of a ConvoKit corpus, in the names of its versions 2 and 3."""
    speaker = value.get("speaker", value.get("user"))
    speaker = speaker.get("id") if isinstance(speaker, Mapping) else speaker
    own = known(value.get("id")) or "none"
    parent = known(value.get("reply_to", value.get("reply-to")))
    thread = known(value.get("conversation_id", value.get("root")))
    text = value.get("text")
    text = text if isinstance(text, str) else ""
    when, flags = iso_time(value.get("timestamp"), utc=True)
    kind: Kind = "post" if parent is None and (thread is None or thread == own) else "comment"
    yield Piece(
        thread,
        Utterance(
            id=own,
            text=text,
            kind=kind,
            parent=None if parent == own else parent,
            author=author(speaker),
            time=when,
            votes=number(_part(value, "meta").get("score")),
            flags=(*gone(text), *flags),
        ),
    )


def _commento(value: Object) -> Iterator[Piece]:
    comments, commenters = value.get("comments"), value.get("commenters")
    names = {
        one.get("commenterHex"): author(one.get("name"), one.get("link"))
        for one in (commenters if isinstance(commenters, list) else [])
        if isinstance(one, Mapping) and isinstance(one.get("commenterHex"), str)
    }
    for n, one in enumerate(comments if isinstance(comments, list) else []):
        if not isinstance(one, Mapping):
            continue
        thread = f"{one.get('domain') or ''}{one.get('path') or one.get('url') or ''}" or "none"
        text = one.get("markdown")
        when, flags = iso_time(one.get("creationDate"), utc=True)
        state = {"unapproved": "unapproved", "flagged": "spam"}.get(str(one.get("state")))
        told = [*(["deleted"] if one.get("deleted") is True else []), *filter(None, [state])]
        parent = known(one.get("parentHex"))
        key = one.get("commenterHex")
        yield Piece(thread, Head(url=f"https://{thread}" if one.get("domain") else None))
        yield Piece(
            thread,
            Utterance(
                id=known(one.get("commentHex")) or "none",
                text=text.strip() if isinstance(text, str) and text.strip() else plain(one.get("html")),
                parent=None if parent == "root" else parent,
                author=names.get(key) if isinstance(key, str) else None,
                time=when,
                votes=number(one.get("score")),
                flags=(*told, *flags),
                place=f"comments[{n}]",
            ),
        )


def _part(value: Object, name: str) -> Object:
    inner = value.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _inner(value: Object, name: str, inner: str) -> object:
    return _part(value, name).get(inner)


def _count(value: object) -> int | None:
    found = number(value)
    return found if found is not None and found >= 0 else None


SHAPES: Final[Mapping[str, Callable[[Object], Iterator[Piece]]]] = {
    "wordpress": _wordpress,
    "reddit": _reddit,
    "hackernews": _hackernews,
    "youtube": _youtube,
    "discourse": _discourse,
    "schema": _schema,
    "convokit": _convokit,
    "commento": _commento,
}
"""Pieces of one object, by shape."""
