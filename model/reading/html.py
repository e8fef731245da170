"""Reads a saved web page: the post, and its comments with authors, times and who answered whom.

Each platform is described by a Layout (which nodes are comments, where the name, the time and the text stand); one
walk over the page serves all of them. After the layouts come schema.org data, a block that repeats, and at last the
body alone. The page is never fetched, and nothing it refers to either.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from model.reading.comments import Found, author_of, definitions, find_comments, time_of
from model.reading.dom import ancestor, classes_of, css, limit_attributes, limit_depth, text_of
from model.reading.export import circular
from model.reading.layouts import Layout
from model.reading.post import (
    byline,
    claimed_count,
    infer_post_author,
    normal_space,
    owner,
    signature,
    split_boilerplate,
    split_promotion,
    split_quote,
    states_no_comments,
)
from model.types import Author, InputError, Thread, Utterance

NOT_IN_PAGE: Final = "thread declared but not in the page"
_MAX_EXTRACTED: Final = 2_000_000
"""Characters of a page up to which the body is extracted; beyond, the extractor needs minutes."""

_PAGE_NUMBER: Final = re.compile(r"\b(?:page|seite)\s*[:#]?\s*([2-9]|\d{2,})\b", re.IGNORECASE)
_DISQUS: Final = (
    "#disqus_thread, script[src*='disqus.com'], .fb-comments, #livefyre-comments, #hyvor-talk-view, #commento, "
    "#IDCommentsHead"
)
_POST_BODY: Final = (
    "[itemprop=articleBody]", ".entry-content", ".post-content", ".article-content", ".article-body", ".post-body",
    ".entry", ".story-body", "article", "main", "body",
)  # fmt: skip


def read_html(html: str, *, name: str = "input", brand: str | None = None) -> Thread:
    """One Thread from the source of a page; truncated pages are read as far as they go.

    Raises InputError "empty_file" where the page holds no words.
    """
    tree = LexborHTMLParser(limit_depth(limit_attributes(html)))
    if tree.body is None or not any(char.isalnum() for char in text_of(tree.body)):
        raise InputError(
            f"{name} holds no text", code="empty_file", field=name, got="a page without words", expected="some text"
        )
    adapter, confidence, found, layout = find_comments(tree, html)
    claimed = _claimed(tree)
    title, url = _title(tree), _url(tree)
    declared = not found and tree.css_first(_DISQUS) is not None
    opening, found = _opening(tree, layout, found, title)
    comments = _settle(found)
    author, when = _post_author(tree), opening.time if opening else _post_time(tree)
    _prune(tree, found)
    text, byline_name = (opening.text, None) if opening else _post_text(tree, layout, title)
    if opening:
        author = opening.author
    posts, junk = _post(text, author or (Author(byline_name) if byline_name else None), when)
    if opening and posts:
        posts[0] = replace(posts[0], place=f"first item{_anchor(opening)}")
    root = "post" if posts else None
    comments = [u if u.parent else replace(u, parent=root) for u in comments]
    comments, more = _without_boilerplate(comments)
    thread = Thread(
        id=name,
        utterances=(*posts, *comments, *_pieces([*junk, *more])),
        title=title,
        url=url,
        brand=brand,
        adapter=adapter,
        confidence=confidence,
        claimed=claimed,
        warnings=_warnings(len(comments), claimed, declared=declared, has_post=bool(posts)),
    )
    return infer_post_author(thread)


def _opening(
    tree: LexborHTMLParser, layout: Layout | None, found: list[Found], title: str | None
) -> tuple[Found | None, list[Found]]:
    """On forums the first item opens the thread, unless the page is not the thread's first."""
    later_page = title is not None and _PAGE_NUMBER.search(title) is not None
    if layout is not None and layout.answers:
        return None, _with_answers(tree, layout, found)
    if layout is None or not layout.first_is_post or later_page or not found:
        return None, found
    for one in found[1:]:
        one.parent = None if not one.parent else one.parent - 1
    return found[0], found[1:]


def _with_answers(tree: LexborHTMLParser, layout: Layout, comments: list[Found]) -> list[Found]:
    """Question-and-answer pages: each answer, then the comments under it, which have it as their parent."""
    answers = css(tree, layout.answers)
    place = {node.mem_id: n for n, node in enumerate(answers)}
    under: dict[int | None, list[Found]] = {}
    for comment in comments:
        outer = ancestor(comment.node, place) if comment.node is not None else None
        under.setdefault(place[outer.mem_id] if outer is not None else None, []).append(comment)
    result = under.get(None, [])
    for index, node in enumerate(answers):
        body = node.css_first(".js-post-body, .post-text, .s-prose")
        names = [name for name in node.css(".user-details a[href*='/users/']") if name.text(strip=True)]
        when = node.css(".user-action-time [title]")
        votes = node.attributes.get("data-score") or ""
        answer = Found(
            node=node,
            text=text_of(body) if body is not None else "",
            id=node.attributes.get("id"),
            author=author_of(names[-1]) if names else None,
            time=time_of(when[-1]) if when else None,
            kind="post",
            votes=int(votes) if re.fullmatch(r"-?\d{1,9}", votes) else None,
            flags=["answer"],
        )
        result.append(answer)
        at = len(result) - 1
        for comment in under.get(index, []):
            comment.parent = at
            result.append(comment)
    return result


def _settle(found: Sequence[Found]) -> list[Utterance]:
    """Utterances with ids that occur once, none of which answers itself."""
    counts: Counter[str] = Counter()
    ids = []
    for number, one in enumerate(found, 1):
        base = one.id or f"comment-{number}"
        counts[base] += 1
        ids.append(base if counts[base] == 1 else f"{base}~{counts[base]}")
    parents = {own: None if one.parent is None else ids[one.parent] for own, one in zip(ids, found, strict=True)}
    parents |= dict.fromkeys(circular(parents))
    word = "item" if any(one.kind == "post" for one in found) else "comment"
    return [
        Utterance(
            id=own,
            text=one.text,
            kind=one.kind,
            parent=parents[own],
            author=one.author,
            time=one.time,
            votes=one.votes,
            flags=tuple(one.flags),
            place=f"{word} {number} of {len(found)}{_anchor(one)}",
        )
        for number, (own, one) in enumerate(zip(ids, found, strict=True), 1)
    ]


def _anchor(one: Found) -> str:
    """How to find the element in the page."""
    if one.node is None:
        return " in the page's data"
    return f", #{one.id}" if one.id and not re.search(r"\s", one.id) else ""


def _without_boilerplate(comments: Sequence[Utterance]) -> tuple[list[Utterance], list[str]]:
    kept, junk = [], []
    for comment in comments:
        text, lines = split_boilerplate(comment.text)
        # A comment that is nothing but such a line ("Share", "Reply") stays whole; it is the cleaner's to drop.
        kept.append(replace(comment, text=text) if text else comment)
        junk.extend(lines if text else [])
    return kept, junk


def _pieces(lines: Sequence[str]) -> list[Utterance]:
    return [
        Utterance(f"boilerplate-{n}", line, "post", flags=("boilerplate",), place="beside the text")
        for n, line in enumerate(lines, 1)
    ]


def _prune(tree: LexborHTMLParser, found: Sequence[Found]) -> None:
    """Takes comments, their lists and forms, and scripts out of the page, so that only the post's text is left."""
    nodes = {one.node.mem_id: one.node for one in found if one.node is not None}
    outermost = [node for node in nodes.values() if ancestor(node, nodes) is None]
    for node in outermost:
        for definition in definitions(node):
            definition.decompose()
        node.decompose()
    for selector in (
        "script, style, svg, noscript, template",
        "#respond, .comment-respond, #commentform, .comments-title, #disqus_thread",
    ):
        nodes = {node.mem_id: node for node in tree.css(selector)}
        for node in [node for node in nodes.values() if ancestor(node, nodes) is None]:
            node.decompose()


def _post_text(tree: LexborHTMLParser, layout: Layout | None, title: str | None) -> tuple[str, str | None]:
    """The post's text without its title, and a name from a byline inside it."""
    if layout is not None and layout.first_is_post:
        return "", None
    if (
        layout is not None
        and layout.post
        and (node := tree.css_first(layout.post)) is not None
        and (text := text_of(node))
    ):
        return text, None
    source = tree.html or ""
    text = (_extracted(source) if len(source) <= _MAX_EXTRACTED else "") or _densest(tree)
    lines = text.splitlines()
    if title and lines and len(lines) > 1 and normal_space(lines[0]).casefold() in title.casefold():
        del lines[0]
    names = [byline(line) for line in lines[:5]]
    name = next(filter(None, names), None)
    return "\n".join(line for n, line in enumerate(lines) if n >= len(names) or names[n] is None), name


def _extracted(html: str) -> str:
    # Loads slowly, and a server has to be up before the first page comes.
    from trafilatura import bare_extraction

    try:
        document = bare_extraction(html, include_comments=False, include_tables=True, with_metadata=False)
    except (ValueError, RecursionError, AttributeError, TypeError):
        # A page that trips the extractor is still read by its densest block.
        return ""
    text = (document.get("text") if isinstance(document, dict) else getattr(document, "text", None)) or ""
    return "\n\n".join(line.strip() for line in text.splitlines() if line.strip())


def _densest(tree: LexborHTMLParser) -> str:
    for selector in _POST_BODY:
        node = tree.css_first(selector)
        if node is not None:
            barred = {one.mem_id for one in node.css("nav, header, footer, aside, .sidebar, .widget, .menu")}
            text = text_of(node, barred)
            if len(text.split()) >= 5 or (text and selector == "body"):
                return text
    return ""


def _post(text: str, author: Author | None, when: str | None) -> tuple[list[Utterance], list[str]]:
    """The post and what it quotes, and the boilerplate in it."""
    text, headings = _without_headings(text)
    text, junk = split_boilerplate(text)
    junk = [*headings, *junk]
    paragraphs, promotion = split_promotion([one for one in re.split(r"\n\s*\n", text) if one.strip()])
    paragraphs, quoted, quoted_by = split_quote(paragraphs)
    if author is None:
        name = signature(paragraphs) or owner(promotion)
        author = Author(name) if name else None
    text = "\n\n".join(paragraphs).strip()
    posts = []
    if text:
        posts.append(Utterance("post", text, "post", author=author, time=when, place="the post"))
    if quoted:
        parent = "post" if text else None
        words = "\n\n".join(quoted)
        posts.append(Utterance("quote-1", words, "quote", parent, quoted_by, flags=("quoted",), place="in the post"))
    return posts, [*junk, *promotion]


def _without_headings(text: str) -> tuple[str, list[str]]:
    """The text without lines that state how many comments the page has, and those lines."""
    lines = text.splitlines()
    spoken = [n for n, line in enumerate(lines) if line.strip()]
    words = [lines[n] for n in spoken]
    headings = {
        n for at, n in enumerate(spoken) if claimed_count(lines[n]) is not None or states_no_comments(words, at)
    }
    return "\n".join(line for n, line in enumerate(lines) if n not in headings), [lines[n] for n in sorted(headings)]


def _post_author(tree: LexborHTMLParser) -> Author | None:
    for selector in (
        "meta[name=author]", "meta[property='article:author']", "[itemprop=author] [itemprop=name]",
        ".entry-meta .author a", ".byline .author a", ".post-author a", ".author.vcard .fn", ".author.vcard",
        ".entry-author", ".post-author", "a[rel=author]", ".byline",
    ):  # fmt: skip
        for node in tree.css(selector):
            author = None if _in_comments(node) else author_of(node)
            name = re.sub(r"^(?:posted |written )?by:?\s+", "", author.name, flags=re.IGNORECASE) if author else ""
            if author and name and not name.startswith("http") and len(name.split()) <= 5:
                return replace(author, name=name)
    return None


def _in_comments(node: LexborNode) -> bool:
    """Whether a node stands in something that the page calls comments."""
    above = node.parent
    while above is not None:
        if above.tag != "body" and "comment" in f"{classes_of(above)} {above.attributes.get('id') or ''}".lower():
            return True
        above = above.parent
    return False


def _post_time(tree: LexborHTMLParser) -> str | None:
    for selector in (
        "meta[property='article:published_time']", "time.entry-date[datetime]", "time.published[datetime]",
        "[itemprop=datePublished]", ".entry-date", ".post-date", ".date-header", "article time[datetime]",
    ):  # fmt: skip
        for node in tree.css(selector):
            when = None if _in_comments(node) else time_of(node)
            if when is not None:
                return when
    return None


def _title(tree: LexborHTMLParser) -> str | None:
    for selector in ("meta[property='og:title']", "h1.entry-title", "h1.post-title", "article h1", "title", "h1"):
        node = tree.css_first(selector)
        if node is not None and (text := normal_space(node.attributes.get("content") or node.text())):
            return text[:500]
    return None


def _url(tree: LexborHTMLParser) -> str | None:
    for selector, name in (("link[rel=canonical]", "href"), ("meta[property='og:url']", "content")):
        node = tree.css_first(selector)
        url = (node.attributes.get(name) or "") if node is not None else ""
        if url.startswith("http"):
            return url
    return None


def _claimed(tree: LexborHTMLParser) -> int | None:
    """The number of comments that the page states about itself, in the heading over them or in its structured data."""
    for selector in (
        ".comments-title", "#comments-title", "#comments h2", "#comments h3", "#comments h4",
        "h2.comments, h3.comments, h4.comments",
        "h2#comments, h3#comments, h4#comments", ".comment-count, .comments-count, #comment-count, .comments-heading",
        "[class*=comments] h2, [class*=comments] h3, [class*=comments] h4",
        "[id*=comment] h2, [id*=comment] h3, [id*=comment] h4",
    ):  # fmt: skip
        for node in tree.css(selector):
            count = claimed_count(node.text(), heading=True)
            if count is not None:
                return count
    meta = tree.css_first("meta[itemprop=commentCount], meta[itemprop=interactionCount][content*=Comments]")
    if meta is not None and (number := re.search(r"\d{1,7}", meta.attributes.get("content") or "")):
        return int(number[0])
    for node in tree.css("h2, h3, h4, a, span, button, div, p, strong"):
        child = node.child
        if child is not None and child.tag == "-text" and child.next is None:
            text = child.text_content or ""
            if len(text) < 60 and any(char.isdigit() for char in text) and (count := claimed_count(text)) is not None:
                return count
    return None


def _warnings(found: int, claimed: int | None, *, declared: bool, has_post: bool) -> tuple[str, ...]:
    warnings = []
    if declared:
        warnings.append(NOT_IN_PAGE)
    elif found == 0:
        warnings.append("no comments were found")
    if claimed is not None and claimed != found and found:
        warnings.append(f"the page states {claimed} comments, {found} were found")
    if not has_post:
        warnings.append("no post was found")
    return tuple(warnings)
