"""Finds the comments of a page: by the layout of a platform, by schema.org data, or by a block that repeats."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from model.reading.dom import ancestor, classes_of, css, document_order, limit_depth, text_of, tidy, walk
from model.reading.layouts import LAYOUTS, Layout
from model.reading.post import is_date_line, normal_space, read_time
from model.types import Author, Kind

_GENERIC_TOKEN: Final = re.compile(
    r"(?:[\w-]*[-_])?(comment|reply|review|response|answer|feedback|testimonial|kommentar"
    r"|message)s?(?:[-_]+(?:item|entry|box|block|wrap|wrapper|"
    r"container|card|row|single|node|post|li|detail|content))?",
    re.IGNORECASE,
)
_GENERIC_AUTHOR: Final = re.compile(
    r"(?:^|[-_ ])(?:author|user(?:name)?|name|byline|nick(?:name)?|poster|reviewer|commenter|by)(?:$|[-_ ])",
    re.IGNORECASE,
)
_GENERIC_TIME: Final = re.compile(
    r"(?:^|[-_ ])(?:date|time(?:stamp)?|datetime|ago|posted|published|when)(?:$|[-_ ])", re.IGNORECASE
)
_GENERIC_BODY: Final = re.compile(
    r"(?:^|[-_ ])(?:body|content|text|message|copy|description)(?:$|[-_ ])", re.IGNORECASE
)
_GENERIC_SKIP: Final = re.compile(
    r"(?:^|[-_ ])(?:actions?|buttons?|links?|votes?|rating|avatar|toolbar|controls?|footer|share|likes?)(?:$|[-_ ])",
    re.IGNORECASE,
)
_COMMENT_NUMBER: Final = re.compile(r"(?:li-|div-)?comment-(\d+)")
_DEPTH: Final = re.compile(r"(?:^|\s)(?:depth|level|indent)[-_ ]?(\d{1,3})(?:\s|$)")
_LEVEL_TEXT: Final = re.compile(r"level (\d{1,3})")
_NAME_END: Final = re.compile(
    r"\s*(?:,?\s(?:says|said|wrote|writes|sagt|schreibt|schrieb|dit|dice)\b.*|\s(?:on|at|am)\s.*\d{4}.*|:)\s*$",
    re.IGNORECASE | re.DOTALL,
)


_BY_POST_AUTHOR: Final = re.compile(r"\b(?:bypostauthor|by-?author|blog-author|is_submitter)\b")


@dataclass(slots=True)
class Found:
    """A comment as it was found, before ids and parents are settled. path: where it stands in schema.org data."""

    node: LexborNode | None
    text: str
    id: str | None = None
    author: Author | None = None
    time: str | None = None
    kind: Kind = "comment"
    parent: int | None = None
    votes: int | None = None
    depth: int | None = None
    flags: list[str] = field(default_factory=list)
    parent_id: str | None = None
    path: str = ""


def find_comments(tree: LexborHTMLParser, html: str) -> tuple[str, float, list[Found], Layout | None]:
    """Adapter, confidence, comments in document order, and the layout that fitted."""
    for layout in LAYOUTS:
        if tree.css_first(layout.page) is None:
            continue
        found = _by_layout(tree, layout)
        if found:
            return layout.name, layout.confidence, found, layout
    found = _by_schema(html)
    if found:
        return "schema.org", 0.8, found, None
    found = _by_repetition(tree)
    if found:
        return "repeated block", 0.5, found, None
    return "body", 0.3, [], None


def _by_layout(tree: LexborHTMLParser, layout: Layout) -> list[Found]:
    items = _items(tree, layout)
    if not items:
        return []
    barred = {node.mem_id for node in items}
    authors, times, bodies = (
        [{node.mem_id for node in tree.css(selector)} for selector in selectors]
        for selectors in (layout.author, layout.time, layout.body)
    )
    skip = {node.mem_id for node in tree.css(layout.skip)} if layout.skip else set()
    found = [_read_item(node, barred, authors, times, bodies, skip) for node in items]
    _set_parents(found, items)
    return _without_empty(found)


def _without_empty(found: Sequence[Found]) -> list[Found]:
    """Without items that hold neither text nor author; what answers one of these answers what it answered."""
    place: dict[int, int] = {}
    kept: list[Found] = []
    for index, one in enumerate(found):
        if one.text or one.author:
            place[index] = len(kept)
            kept.append(one)
    for one in kept:
        seen: set[int] = set()
        while one.parent is not None and one.parent not in place:
            seen.add(one.parent)
            above = found[one.parent].parent
            one.parent = None if above in seen else above
        one.parent = None if one.parent is None else place[one.parent]
    return kept


def _items(tree: LexborHTMLParser, layout: Layout) -> list[LexborNode]:
    """The comments' nodes in document order; the inner wrappers of one comment are not comments themselves."""
    matches = [
        node
        for node in css(tree, layout.item)
        if node.tag not in ("a", "span", "input", "textarea", "form", "h2", "h3")
    ]
    matched = {node.mem_id: node for node in matches}
    order = {mem_id: n for n, mem_id in enumerate(document_order(tree, set(matched)))}
    kept: dict[int, LexborNode] = {}
    for node in sorted(matches, key=lambda node: order.get(node.mem_id, len(order))):
        outer = ancestor(node, kept)
        if outer is None or not _is_wrapper(node, outer):
            kept[node.mem_id] = node
    return list(kept.values())


def _is_wrapper(node: LexborNode, outer: LexborNode) -> bool:
    """Whether a match inside a comment is that comment's own wrapper and no reply to it."""
    inner_number, outer_number = (_COMMENT_NUMBER.fullmatch(one.attributes.get("id") or "") for one in (node, outer))
    if outer_number and inner_number:
        return inner_number[1] == outer_number[1]
    if outer_number or inner_number:
        return node.tag != outer.tag or not inner_number
    return node.tag != outer.tag or classes_of(node) == "comment-content"


def _read_item(
    node: LexborNode,
    barred: set[int],
    authors: Sequence[set[int]],
    times: Sequence[set[int]],
    bodies: Sequence[set[int]],
    skip: set[int],
) -> Found:
    own = list(_own_nodes(node, barred))
    classes = classes_of(node)
    author_node = _first(own, authors, lambda one: not is_date_line(text_of(one)))
    time_node = _first(own, times, lambda one: time_of(one) is not None)
    # "6 years ago" is no date without the day on which the page was saved, but it is kept for those who know it.
    ago = None if time_node is not None else _first(own, times, lambda one: is_date_line(text_of(one)))
    body = _first(own, bodies)
    author = author_of(author_node) if author_node is not None else None
    linkback = re.search(r"\b(pingback|trackback)\b", classes)
    if linkback and (author is None or body is None):
        author = _first_link(own) or author
        body = None
    if body is not None:
        text = text_of(body, barred | skip - {body.mem_id})
    else:
        heads = (author_node, time_node, ago)
        cut = barred | skip | {one.mem_id for one in heads if one is not None and not linkback}
        roots = [node, *definitions(node)]
        text = "\n\n".join(filter(None, (text_of(root, cut - {root.mem_id}) for root in roots)))
        text = re.sub(r"^(?:says|said|wrote|sagt|schreibt)\b[\s:]*", "", text, flags=re.IGNORECASE)
    return Found(
        node=node,
        text=text,
        id=_id_of(node),
        author=author or _attribute_author(node),
        time=time_of(time_node) if time_node is not None else _attribute_time(node),
        kind="pingback" if linkback and linkback[1] == "pingback" else "trackback" if linkback else "comment",
        votes=_votes_of(node),
        depth=_depth_of(node, own),
        flags=[
            *(["post_author"] if _BY_POST_AUTHOR.search(classes) else []),
            *([f"said_time:{normal_space(text_of(ago))}"] if ago is not None else []),
        ],
        parent_id=node.attributes.get("parentid") or node.attributes.get("data-parent-id"),
    )


def _own_nodes(item: LexborNode, barred: set[int]) -> Iterator[LexborNode]:
    """The nodes of a comment without those of the comments nested in it; a <dt> owns the <dd> that follow."""
    for root in (item, *definitions(item)):
        for node, entering in walk(root, barred - {root.mem_id}):
            if entering and node.tag != "-text":
                yield node


def definitions(item: LexborNode) -> list[LexborNode]:
    """The <dd> that belong to a <dt>: those up to the next one; nothing for other nodes."""
    found = []
    node = item.next if item.tag == "dt" else None
    while node is not None and node.tag != "dt":
        if node.tag == "dd":
            found.append(node)
        node = node.next
    return found


def _first(nodes: Sequence[LexborNode], choices: Sequence[set[int]], fits: Any = None) -> LexborNode | None:
    """The first node of the first selector that has one."""
    for choice in choices:
        for node in nodes:
            if node.mem_id in choice and (fits is None or fits(node)):
                return node
    return None


def author_of(node: LexborNode) -> Author | None:
    """The author whom a node names, without "says:" and the like; the URL where the name is a link."""
    name = _NAME_END.sub("", normal_space(node.attributes.get("content") or text_of(node))[:300]).strip(" ,:\u2013-")
    if not name or len(name) > 120:
        return None
    link = (
        node
        if node.tag == "a"
        else node.css_first("a[href]") or (node.parent if node.parent and node.parent.tag == "a" else None)
    )
    url = (link.attributes.get("href") or "") if link is not None else ""
    return Author(name, url if re.match(r"(?:https?:)?//", url) else None)


def _first_link(nodes: Sequence[LexborNode]) -> Author | None:
    links = (node for node in nodes if node.tag == "a" and (node.attributes.get("href") or "").startswith("http"))
    return next(filter(None, map(author_of, links)), None)


def time_of(node: LexborNode) -> str | None:
    """ISO 8601 of the time that a node states in an attribute or in its text."""
    for name in ("datetime", "content", "title", "data-utime", "data-comment-timestamp"):
        value = node.attributes.get(name)
        if value and (when := read_time(value)) is not None:
            return when
    return read_time(text_of(node))


def _attribute_author(node: LexborNode) -> Author | None:
    name = node.attributes.get("author") or node.attributes.get("data-author")
    return Author(name) if name else None


def _attribute_time(node: LexborNode) -> str | None:
    return read_time(node.attributes.get("created") or "")


def _votes_of(node: LexborNode) -> int | None:
    value = node.attributes.get("score") or node.attributes.get("data-comment-score") or ""
    return int(value) if re.fullmatch(r"-?\d{1,9}", value) else None


def _id_of(node: LexborNode) -> str | None:
    anchor = None
    previous = node.prev
    # Drupal 7 puts an empty anchor with the comment's number in front of it.
    while previous is not None and previous.tag == "-text":
        previous = previous.prev
    if previous is not None and previous.tag == "a":
        anchor = previous.attributes.get("id")
    about = re.search(r"#(comment-\d+)", node.attributes.get("about") or "")
    return (
        node.attributes.get("id")
        or node.attributes.get("thingid")
        or node.attributes.get("data-fullname")
        or (about[1] if about else None)
        or (anchor if anchor and _COMMENT_NUMBER.fullmatch(anchor) else None)
    )


def _depth_of(node: LexborNode, own: Sequence[LexborNode]) -> int | None:
    match = _DEPTH.search(classes_of(node))
    if match:
        return int(match[1])
    value = node.attributes.get("depth") or node.attributes.get("aria-level") or node.attributes.get("data-depth")
    if value and value.isdigit():
        return int(value)
    for one in own[:60]:
        if one.tag == "td" and one.attributes.get("indent"):
            return int(re.sub(r"\D", "", one.attributes["indent"] or "") or 0)
        if one.tag == "span":
            level = _LEVEL_TEXT.fullmatch(one.text(strip=True)) if one.child is not None else None
            if level:
                return int(level[1])
    return None


def _set_parents(found: Sequence[Found], items: Sequence[LexborNode]) -> None:
    """Parents from ids that the page states, from nesting, from levels, or from blocks of indented replies."""
    place = {node.mem_id: n for n, node in enumerate(items)}
    by_id = {one.id: n for n, one in enumerate(found) if one.id}
    open_at: dict[int, int] = {}
    for index, (one, node) in enumerate(zip(found, items, strict=True)):
        outer = ancestor(node, place)
        stated = by_id.get(one.parent_id) if one.parent_id else None
        if stated is not None and stated != index:
            one.parent = stated
        elif outer is not None:
            one.parent = place[outer.mem_id]
        elif one.depth is not None:
            one.parent = next((open_at[d] for d in sorted(open_at, reverse=True) if d < one.depth), None)
        else:
            one.parent = _before_indent(node, place)
        if one.depth is not None:
            open_at = {d: n for d, n in open_at.items() if d < one.depth} | {one.depth: index}


def _before_indent(node: LexborNode, place: Mapping[int, int]) -> int | None:
    """The comment in front of the indented block or child list in which this one stands (Drupal and old themes)."""
    parent = node.parent
    while parent is not None:
        if re.search(r"(?:^|\s)(?:indented|children|replies|comment-replies|child)(?:\s|$)", classes_of(parent)):
            before = parent.prev
            while before is not None and before.mem_id not in place:
                before = before.prev
            return place[before.mem_id] if before is not None else None
        parent = parent.parent
    return None


_SCHEMA_TYPES: Final = {"Comment": "comment", "UserComments": "comment", "Review": "review", "Answer": "comment"}


def _by_schema(html: str) -> list[Found]:
    """Comments and reviews that the page states as JSON-LD or microdata."""
    if re.search(r"schema\.org", html) is None or re.search(r"Comment|Review|Answer", html) is None:
        return []
    # Loads slowly, as trafilatura does.
    import extruct

    try:
        data = extruct.extract(html, syntaxes=["json-ld", "microdata"], errors="ignore")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        # Broken structured data must not cost the rest of the page.
        return []
    best: list[Found] = []
    for syntax in ("json-ld", "microdata"):
        found = schema_items(data.get(syntax) or [])
        best = found if len(found) > len(best) else best
    return best


def schema_items(data: object) -> list[Found]:
    """Comments, answers and reviews in schema.org data, with the place of the one that each is nested in."""
    found: list[Found] = []
    stack: list[tuple[object, int | None, str]] = [(data, None, "")]
    while stack:
        value, parent, path = stack.pop()
        if isinstance(value, list):
            stack.extend((one, parent, f"{path}[{n}]") for n, one in reversed(list(enumerate(value))))
        elif isinstance(value, Mapping):
            properties = value.get("properties", value)
            kind = _schema_kind(value)
            if kind is not None and isinstance(properties, Mapping):
                one = _schema_found(value, properties, kind)
                if one is not None:
                    one.parent, one.path = parent, path
                    found.append(one)
                    parent = len(found) - 1
            inner = list(properties.items()) if isinstance(properties, Mapping) else []
            stack.extend(
                (one, parent, f"{path}.{name}") for name, one in reversed(inner) if isinstance(one, list | Mapping)
            )
    return found


def _schema_kind(value: Mapping[str, Any]) -> Kind | None:
    types = value.get("@type") or value.get("type") or ()
    for name in [types] if isinstance(types, str) else types:
        kind = _SCHEMA_TYPES.get(str(name).rsplit("/", 1)[-1])
        if kind is not None:
            return "review" if kind == "review" else "comment"
    return None


def _schema_found(value: Mapping[str, Any], properties: Mapping[str, Any], kind: Kind) -> Found | None:
    text = _schema_text(properties, "text", "commentText", "reviewBody", "articleBody", "description")
    if not text:
        return None
    if "<" in text and (body := LexborHTMLParser(limit_depth(text)).body) is not None:
        text = text_of(body)
    author = properties.get("author") or properties.get("creator")
    author = author[0] if isinstance(author, list) and author else author
    name = url = None
    if isinstance(author, Mapping):
        inner = author.get("properties", author)
        name, url = _schema_text(inner, "name"), _schema_text(inner, "url")
    elif isinstance(author, str):
        name = author
    votes = properties.get("upvoteCount")
    return Found(
        node=None,
        text=tidy(text),
        id=str(value.get("@id") or value.get("id") or properties.get("identifier") or "") or None,
        parent_id=_schema_parent(properties.get("parentItem")),
        author=Author(normal_space(name), url or None) if name and name.strip() else None,
        time=read_time(_schema_text(properties, "datePublished", "dateCreated", "commentTime") or ""),
        kind=kind,
        votes=int(votes) if isinstance(votes, int | str) and str(votes).isdigit() else None,
    )


def _schema_parent(value: object) -> str | None:
    if isinstance(value, Mapping):
        value = value.get("@id") or value.get("id")
    return value if isinstance(value, str) and value else None


def _schema_text(properties: Mapping[str, Any], *names: str) -> str:
    for name in names:
        value = properties.get(name)
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, str) and value.strip():
            return value
    return ""


def _by_repetition(tree: LexborHTMLParser) -> list[Found]:
    """Comments in the largest set of blocks that share a telling class, such as "review-item" or "reply"."""
    groups: dict[tuple[str, str], list[LexborNode]] = {}
    for node in tree.css("[class]"):
        if node.tag in ("article", "div", "section", "li", "tr", "dd", "blockquote"):
            for token in classes_of(node).split():
                if _GENERIC_TOKEN.fullmatch(token):
                    groups.setdefault((node.tag or "", token), []).append(node)
    best: list[Found] = []
    for nodes in groups.values():
        found = _read_group(nodes) if len(nodes) >= 2 else []
        told = sum(one.author is not None or one.time is not None for one in found)
        if (
            len(found) >= 2
            and told * 2 >= len(found)
            and told > sum(one.author is not None or one.time is not None for one in best)
        ):
            best = found
    return best


def _read_group(nodes: Sequence[LexborNode]) -> list[Found]:
    barred = {node.mem_id for node in nodes}
    found = []
    for node in nodes:
        own = [one for one in _own_nodes(node, barred) if one.mem_id != node.mem_id]
        author_node = next((one for one in own if _GENERIC_AUTHOR.search(classes_of(one)) or one.tag == "cite"), None)
        time_node = next(
            (one for one in own if (one.tag == "time" or _GENERIC_TIME.search(classes_of(one))) and time_of(one)), None
        )
        body = next(
            (one for one in own if _GENERIC_BODY.search(classes_of(one)) and len(text_of(one, barred)) > 1), None
        )
        skip = {one.mem_id for one in own if _GENERIC_SKIP.search(classes_of(one))} - barred
        cut = barred | skip | {one.mem_id for one in (author_node, time_node) if one is not None}
        root = body or node
        found.append(
            Found(
                node=node,
                text=text_of(root, cut - {root.mem_id}),
                id=node.attributes.get("id"),
                author=author_of(author_node) if author_node else None,
                time=time_of(time_node) if time_node else None,
                kind="review" if "review" in classes_of(node).lower() else "comment",
            )
        )
    _set_parents(found, list(nodes))
    return found if sum(bool(one.text) for one in found) * 2 > len(found) else []
