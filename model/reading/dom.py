"""Walks over a parsed page without recursion, and the text below a node as it reads."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

_MAX_DEPTH: Final = 600
"""Nested blocks beyond this depth are flattened: parsers need quadratic time for them, and no page is that deep."""
_MAX_ATTRIBUTES: Final = 3000
_TAG: Final = re.compile(r"<[a-zA-Z][^>]{6000,}>?")
_BLOCK: Final = frozenset(
    [
        "address", "article", "aside", "blockquote", "center", "dd", "details", "div", "dl", "dt", "fieldset",
        "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li",
        "main", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead",
        "tr", "ul",
    ]
)  # fmt: skip
_PARAGRAPH: Final = frozenset(
    [
        "article", "blockquote", "dd", "div", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre",
        "section", "table", "ul",
    ]
)  # fmt: skip
_SILENT: Final = frozenset(
    [
        "script", "style", "template", "noscript", "svg", "button", "form", "select", "textarea", "iframe",
        "object", "head", "title", "-comment",
    ]
)  # fmt: skip
_NESTING: Final = re.compile(
    r"<(/?)(?:address|article|aside|blockquote|center|details|dialog|dir|div|dl|fieldset|figcaption|figure"
    r"|footer|form|header|hgroup|"
    r"main|menu|nav|ol|pre|listing|section|summary|table|ul)\b[^>]*>?",
    re.IGNORECASE,
)


def limit_attributes(html: str) -> str:
    """The page without tags of thousands of attributes, for which parsers need quadratic time too."""
    return _TAG.sub(
        lambda match: " " if len(match[0].split(None, _MAX_ATTRIBUTES)) > _MAX_ATTRIBUTES else match[0], html
    )


def limit_depth(html: str) -> str:
    """The page without block tags that are nested beyond the limit."""
    depth = deepest = 0
    for match in _NESTING.finditer(html):
        depth = max(depth - 1, 0) if match[1] else depth + 1
        deepest = max(deepest, depth)
    if deepest <= _MAX_DEPTH:
        return html
    depth = 0

    def keep(match: re.Match[str]) -> str:
        nonlocal depth
        inside = depth > _MAX_DEPTH
        depth = max(depth - 1, 0) if match[1] else depth + 1
        return " " if inside or depth > _MAX_DEPTH else match[0]

    return _NESTING.sub(keep, html)


def walk(root: LexborNode, barred: frozenset[int] | set[int] = frozenset()) -> Iterator[tuple[LexborNode, bool]]:
    """Nodes below and with root in document order, each with True on entering and False on leaving; no recursion.

    Subtrees whose root is barred (by mem_id) or silent (scripts, forms) are left out.
    """
    stack: list[tuple[LexborNode, bool]] = [(root, True)]
    while stack:
        node, entering = stack.pop()
        yield node, entering
        if not entering:
            continue
        stack.append((node, False))
        children = []
        child = node.child
        while child is not None:
            if child.tag not in _SILENT and child.mem_id not in barred:
                children.append((child, True))
            child = child.next
        stack.extend(reversed(children))


def text_of(root: LexborNode, barred: frozenset[int] | set[int] = frozenset()) -> str:
    """Text below a node as it reads: one line break per block or <br>, an empty line between paragraphs."""
    parts: list[str] = []
    for node, entering in walk(root, barred):
        tag = node.tag
        if tag == "-text":
            if entering:
                parts.append(re.sub(r"[ \t\r\n\f\u00a0]+", " ", node.text_content or ""))
        elif tag == "br":
            if entering:
                parts.append("\n")
        elif tag in _BLOCK:
            parts.append("\n\n" if tag in _PARAGRAPH else "\n")
    return tidy("".join(parts))


def tidy(text: str) -> str:
    """The text without spaces around line breaks, zero-width characters and more than one empty line."""
    text = re.sub(r"[\u200b\ufeff]", "", text)
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", re.sub(r"[ \t\u00a0]+", " ", text))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def classes_of(node: LexborNode) -> str:
    """The class attribute, empty where there is none."""
    return node.attributes.get("class") or ""


def css(tree: LexborHTMLParser | LexborNode, selector: str) -> list[LexborNode]:
    """Matches in document order, each node once."""
    return list({node.mem_id: node for node in tree.css(selector)}.values())


def document_order(tree: LexborHTMLParser, wanted: set[int]) -> list[int]:
    """mem_ids of the wanted nodes in the order of the page."""
    if tree.root is None:
        return []
    return [node.mem_id for node in tree.root.traverse() if node.mem_id in wanted]


def ancestor(node: LexborNode, among: Mapping[int, Any]) -> LexborNode | None:
    """The nearest node above that is among the given ones (by mem_id)."""
    parent = node.parent
    while parent is not None:
        if parent.mem_id in among:
            return parent
        parent = parent.parent
    return None
