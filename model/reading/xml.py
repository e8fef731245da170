"""Reads XML exports as streams: WordPress (WXR), Disqus, and Atom or RSS feeds of comments.

The file is cut into its records (an item, a post, an entry) by their tags, and each record is parsed by itself. So
memory holds one record, a broken record costs nothing but itself, and entities that a document declares can't be used.
"""

import codecs
import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO, Final

from lxml import etree

from model.reading.export import Head, Piece, author, grouped, iso_time, known, plain, thread_of
from model.reading.stream import Limits, Notes, too_long
from model.types import Author, InputError, Kind, Thread, Utterance

_CHUNK: Final = 1 << 20
_PROLOG: Final = 1 << 16
_MARKUP: Final = re.compile(r"\s*(?:<\?.*?\?>|<!--.*?-->)", re.DOTALL)
_STRAY: Final = re.compile(r"[^<]{0,8}(?=<(?:\?xml|!--|rss\b|feed\b|disqus\b|rdf:RDF\b))")
_ROOT: Final = re.compile(r"\s*<(!DOCTYPE|!ENTITY|[A-Za-z_][\w:.-]*)([^>]*)>?", re.IGNORECASE)
_ENCODING: Final = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})[\"']")
_XMLNS: Final = re.compile(r"xmlns:([\w.-]+)\s*=\s*(?:\"[^\"<&]*\"|'[^'<&]*')")
_PREFIX: Final = re.compile(r"</?([A-Za-z_][\w.-]*):[A-Za-z_]|\s([A-Za-z_][\w.-]*):[\w.-]+\s*=")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_ENTITY: Final = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);|#\d{1,7};|#x[0-9a-fA-F]{1,6};)(\w{1,32};)?")
_NUMBERED: Final = re.compile(r"&#(?:x([0-9a-fA-F]{1,9})|(\d{1,9}));")
_DEEP: Final = "nested too deep"
_LONGEST_TAG: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Record:
    """One element of an export as it stands in the file, the line on which it begins, its number among its like."""

    tag: str
    text: str
    line: int
    number: int

    @property
    def place(self) -> str:
        """Where it stands, in words."""
        return f"{self.tag} {self.number}, line {self.line}"


def xml_root(head: str) -> tuple[str, str] | None:
    """Name and attributes of the first tag of an XML document ("!doctype" for one), None where there is none."""
    stray = _STRAY.match(head)
    at = stray.end() if stray else 0
    while match := _MARKUP.match(head, at):
        at = match.end()
    root = _ROOT.match(head, at)
    return (root[1].lower() if root[1].startswith("!") else root[1], root[2]) if root else None


def read_xml(
    stream: IO[bytes], kind: str, name: str, brand: str | None, limits: Limits, notes: Notes
) -> Iterator[Thread]:
    """The threads of an export; kind is wxr, disqus or feed. What can't be read is added to the notes.

    Raises InputError "unsafe_xml" for a document with a DTD, "corrupt_file" where there is no XML at all.
    """
    head, text = _opened(stream, name)
    root = xml_root(head)
    if root is None or root[0].startswith("!"):
        raise _unsafe(name) if root else _no_xml(name)
    reader = _Parser(name, limits, notes, " ".join(match[0] for match in _XMLNS.finditer(root[1])))
    if kind == "wxr":
        return _wxr(text, reader, brand)
    if kind == "disqus":
        return grouped(_disqus(text, reader), "disqus", brand)
    return grouped(_feed(text, reader), "feed", brand)


def _opened(stream: IO[bytes], name: str) -> tuple[str, Iterator[str]]:
    """The head of a document, and all of it as text in pieces; broken bytes become U+FFFD."""
    head = stream.read(_PROLOG)
    declared = _ENCODING.search(head[:300])
    encoding = declared[1].decode("ascii") if declared else "utf-8"
    try:
        # A document that says UTF-16 in single bytes was recoded by somebody who left the declaration.
        if b"<".decode(encoding) != "<":
            encoding = "utf-8"
    except (LookupError, UnicodeError):
        encoding = "utf-8"
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    first = decoder.decode(head)

    def rest() -> Iterator[str]:
        yield first
        while chunk := stream.read(_CHUNK):
            yield decoder.decode(chunk)
        yield decoder.decode(b"", final=True)

    return first, rest()


def records(chunks: Iterator[str], tags: Sequence[str], name: str, limits: Limits, notes: Notes) -> Iterator[Record]:
    """The elements with one of the tags, none within another of its own name; CDATA and comments are stepped over.

    One that is never closed ends where the next begins. One that is too long is left out with a note.
    """
    token = re.compile(rf"<!\[CDATA\[|<!--|<({'|'.join(tags)})(?=[\s/>])[^<>]*?(/?)>|</({'|'.join(tags)})\s*>")
    buffer, at, tag, start = "", 0, "", 0
    line, counted = 1, 0
    numbers: Counter[str] = Counter()
    for chunk in chunks:
        # What lies before an open record, or before a tag that the chunk's end may have cut, is done with.
        keep = start if tag else at
        line += buffer.count("\n", counted, keep) if keep > counted else 0
        buffer, at, start, counted = buffer[keep:] + chunk, at - keep, 0, max(counted - keep, 0)
        while (match := token.search(buffer, at)) is not None:
            if match[0] in ("<![CDATA[", "<!--"):
                end = buffer.find("]]>" if match[0] != "<!--" else "-->", match.end())
                at = end + 3 if end >= 0 else match.start()
                if end < 0:
                    break
                continue
            at = match.end()
            opens = bool(match[1]) and not match[2]
            if tag and (match[3] == tag or (opens and match[1] == tag)):
                line += buffer.count("\n", counted, start)
                counted = start
                yield Record(tag, buffer[start : match.end() if match[3] else match.start()], line, numbers[tag])
                tag, start = ("", at) if match[3] else (tag, match.start())
                numbers[tag] += bool(tag)
            elif opens and not tag:
                tag, start = match[1], match.start()
                numbers[tag] += 1
        else:
            at = (
                max(at, buffer.rfind("<", at), len(buffer) - _LONGEST_TAG)
                if buffer.rfind("<", at) >= 0
                else len(buffer)
            )
        if len(buffer) > limits.record:
            notes.add(too_long(f"{name}, line {line}", limits))
            line += buffer.count("\n", counted)
            buffer, at, tag, start, counted = "", 0, "", 0, 0
    if tag:
        yield Record(tag, buffer[start:], line + buffer.count("\n", counted, start), numbers[tag])


class _Parser:
    """Parses records of one document: strictly, then mended, then as far as they go; and says what was lost."""

    def __init__(self, name: str, limits: Limits, notes: Notes, namespaces: str) -> None:
        self.name = name
        self.limits = limits
        self.notes = notes
        self.namespaces = namespaces
        self._parsers = tuple(
            etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=recover)
            for recover in (False, True)
        )

    def records(self, chunks: Iterator[str], *tags: str) -> Iterator[Record]:
        return records(chunks, tags, self.name, self.limits, self.notes)

    def whole(self, text: str) -> etree._Element:
        """The element of a record that is well-formed, or was mended; XMLSyntaxError where it is neither."""
        try:
            return self._element(text, recover=False)
        except etree.XMLSyntaxError:
            return self._element(_mended(text), recover=False)

    def parse(self, record: Record) -> etree._Element | None:
        """The element of a record, None (with a note) where nothing can be made of it."""
        try:
            return self.whole(record.text)
        except etree.XMLSyntaxError as error:
            problem = str(error.msg).split(", line", 1)[0]
        deep = "epth" in problem or _DEEP in problem
        element = None if deep else self._tolerant(_mended(record.text))
        what = "left out" if element is None else "read as far as it goes"
        reason = _DEEP if deep else problem[:100]
        self.notes.add(
            InputError(
                f"{self.name}, line {record.line}: a broken {record.tag} was {what} ({reason})",
                code="bad_record",
                field=f"line {record.line}",
                got=reason,
                expected=f"a {record.tag} of an XML export",
            )
        )
        return element

    def _tolerant(self, text: str) -> etree._Element | None:
        try:
            element = self._element(text, recover=True)
        except etree.XMLSyntaxError:
            return None
        return element if len(element) else None

    def _element(self, text: str, *, recover: bool) -> etree._Element:
        """The record, parsed within a root that declares the prefixes of the document, so that it can have no DTD."""
        declared = self.namespaces
        if recover or not declared:
            known = set(re.findall(r"xmlns:([\w.-]+)", declared)) | {"xml", "xmlns"}
            missing = sorted({match[1] or match[2] for match in _PREFIX.finditer(text)} - known)[:50]
            declared += " ".join(f' xmlns:{prefix}="{prefix}"' for prefix in missing)
        root = etree.fromstring(
            f"<records {declared}>{text}</records>".encode("utf-8", "replace"), self._parsers[recover]
        )
        if root is None or not len(root):
            raise etree.XMLSyntaxError("no element", 0, 0, 0)
        element: etree._Element = root[0]
        if _depth(element) > self.limits.nesting:
            raise etree.XMLSyntaxError(_DEEP, 0, 0, 0)
        return element


def _mended(text: str) -> str:
    """The text without what XML forbids and exports contain: control characters, HTML's entities, bare ampersands."""
    return _ENTITY.sub(_mended_entity, _NUMBERED.sub(_allowed, _CONTROL.sub("", text)))


def _allowed(match: re.Match[str]) -> str:
    """A character given by its number, nothing where XML has no such character."""
    number = int(match[1], 16) if match[1] else int(match[2])
    allowed = number in (9, 10, 13) or 32 <= number < 0xD800 or 0xE000 <= number < 0xFFFE or 65536 <= number < 1114112
    return match[0] if allowed else ""


def _mended_entity(match: re.Match[str]) -> str:
    """HTML's names for characters, which XML does not know, and bare ampersands."""
    if match[1]:
        text = html.unescape(match[0])
        if text != match[0] and text not in "<>&":
            return text
    return f"&amp;{match[1] or ''}"


def _depth(element: etree._Element) -> int:
    deepest = depth = 0
    for event, _ in etree.iterwalk(element, events=("start", "end")):
        depth += 1 if event == "start" else -1
        deepest = max(deepest, depth)
    return deepest


def _local(element: etree._Element) -> str:
    tag = element.tag
    return tag.rpartition("}")[2].rpartition(":")[2] if isinstance(tag, str) else ""


def _content(element: etree._Element) -> str:
    return "".join(element.itertext()) if len(element) else element.text or ""


def _fields(element: etree._Element) -> dict[str, str]:
    """The texts of the children by local name, the first of each; WordPress's two `encoded` are told apart."""
    found: dict[str, str] = {}
    for child in element:
        name = _local(child)
        if name == "encoded" and "excerpt" in str(child.tag):
            name = "excerpt"
        if name and name not in found:
            found[name] = _content(child).strip()
    return found


def _attribute(element: etree._Element | None, name: str) -> str | None:
    if element is None:
        return None
    return next((str(v) for k, v in element.attrib.items() if re.split(r"[}:]", str(k))[-1] == name), None)


def _child(element: etree._Element, name: str) -> etree._Element | None:
    return next((child for child in element if _local(child) == name), None)


def _wxr(chunks: Iterator[str], reader: _Parser, brand: str | None) -> Iterator[Thread]:
    names: dict[str, str] = {}
    for record in reader.records(chunks, "item", "wp:author"):
        if record.tag == "wp:author":
            element = reader.parse(record)
            fields = _fields(element) if element is not None else {}
            names[fields.get("author_login", "")] = fields.get("author_display_name", "")
            continue
        item, comments = _item(record, reader)
        if item is None:
            continue
        fields = _fields(item)
        thread = thread_of(
            fields.get("post_id") or fields.get("link") or f"line-{record.line}",
            [
                Head(title=plain(fields.get("title")) or None, url=fields.get("link") or None),
                *_wxr_post(fields, names, bool(comments), record.place),
                *(
                    _wxr_comment(_fields(one), fields, names, f"{record.place}, comment {number}")
                    for number, one in comments
                ),
            ],
            "wxr",
            brand,
        )
        if thread is not None:
            yield thread


def _item(record: Record, reader: _Parser) -> tuple[etree._Element | None, list[tuple[int, etree._Element]]]:
    """An item and its comments with their numbers; where the item is broken, each comment is read by itself."""
    try:
        item = reader.whole(record.text)
        return item, list(enumerate((child for child in item if _local(child) == "comment"), 1))
    except etree.XMLSyntaxError:
        pass
    inner = list(records(iter([record.text]), ["wp:comment"], reader.name, reader.limits, reader.notes))
    rest = record.text
    for one in inner:
        rest = rest.replace(one.text, "", 1)
    item = reader.parse(replace(record, text=rest))
    parsed = [reader.parse(replace(one, line=record.line + one.line - 1)) for one in inner]
    return item, [(number, one) for number, one in enumerate(parsed, 1) if one is not None]


def _wxr_post(fields: dict[str, str], names: dict[str, str], answered: bool, place: str) -> list[Utterance]:
    """The item as the post; menu entries and pictures are none, unless somebody commented on them."""
    text = plain(fields.get("encoded"), keep_lines=True)
    if not text or (fields.get("post_type", "post") not in ("post", "page") and not answered):
        return []
    login = fields.get("creator", "")
    when, flags = _gmt(fields, "post_date_gmt", "post_date", "pubDate")
    key = f"post-{fields.get('post_id') or '1'}"
    return [Utterance(key, text, "post", None, author(names.get(login) or login), when, None, flags, place)]


def _wxr_comment(fields: dict[str, str], item: dict[str, str], names: dict[str, str], place: str) -> Utterance:
    kind = fields.get("comment_type", "")
    approved = fields.get("comment_approved", "1")
    status = {"0": "unapproved", "hold": "unapproved", "spam": "spam", "trash": "deleted", "post-trashed": "deleted"}
    when, flags = _gmt(fields, "comment_date_gmt", "comment_date")
    who = author(fields.get("comment_author"), fields.get("comment_author_url"))
    login = item.get("creator", "")
    by_post_author = (
        who is not None
        and known(fields.get("comment_user_id")) is not None
        and who.name.casefold() in {login.casefold(), names.get(login, "").casefold()}
    )
    return Utterance(
        id=known(fields.get("comment_id")) or "comment",
        text=plain(fields.get("comment_content"), keep_lines=True),
        kind="pingback" if kind == "pingback" else "trackback" if kind == "trackback" else "comment",
        parent=known(fields.get("comment_parent")),
        author=who,
        time=when,
        flags=(*(["post_author"] if by_post_author else []), *filter(None, [status.get(approved)]), *flags),
        place=place,
    )


def _gmt(fields: dict[str, str], gmt: str, *local: str) -> tuple[str | None, tuple[str, ...]]:
    """The time in GMT, else the local one, whose zone the export does not tell."""
    when, flags = iso_time(fields.get(gmt), utc=True)
    for name in local:
        if when is None and fields.get(name):
            when, flags = iso_time(fields[name])
    return when, flags


def _disqus(chunks: Iterator[str], reader: _Parser) -> Iterator[Piece]:
    heads: set[int] = set()
    for record in reader.records(chunks, "thread", "post"):
        element = reader.parse(record)
        if element is None:
            continue
        fields = _fields(element)
        own = _attribute(element, "id")
        if record.tag == "thread":
            heads.add(hash(own))
            yield from _disqus_thread(own or fields.get("id") or "none", element, fields, record.place)
            continue
        thread = _attribute(_child(element, "thread"), "id") or "none"
        if hash(thread) not in heads:
            heads.add(hash(thread))
            yield Piece(thread, Head(warnings=(f"the export holds no thread {thread}",)))
        when, flags = iso_time(fields.get("createdAt"), utc=True)
        told = [name for name, field in (("deleted", "isDeleted"), ("spam", "isSpam")) if fields.get(field) == "true"]
        yield Piece(
            thread,
            Utterance(
                id=own or fields.get("id") or f"line-{record.line}",
                place=record.place,
                text=plain(fields.get("message")),
                parent=_attribute(_child(element, "parent"), "id"),
                author=_disqus_author(element),
                time=when,
                flags=(*told, *flags),
            ),
        )


def _disqus_thread(key: str, element: etree._Element, fields: dict[str, str], place: str) -> Iterator[Piece]:
    warnings = ("the thread is marked as deleted",) if fields.get("isDeleted") == "true" else ()
    yield Piece(key, Head(title=plain(fields.get("title")) or None, url=fields.get("link") or None, warnings=warnings))
    text = plain(fields.get("message"))
    if text:
        when, flags = iso_time(fields.get("createdAt"), utc=True)
        post = Utterance(f"thread-{key}", text, "post", None, _disqus_author(element), when, None, flags, place)
        yield Piece(key, post)


def _disqus_author(element: etree._Element) -> Author | None:
    who = _child(element, "author")
    fields = _fields(who) if who is not None else {}
    return author(fields.get("name") or fields.get("username"), fields.get("link"))


def _feed(chunks: Iterator[str], reader: _Parser) -> Iterator[Piece]:
    """Entries that answer something are comments of that page; any other is a post of its own."""
    for record in reader.records(chunks, "item", "entry"):
        element = reader.parse(record)
        if element is None:
            continue
        fields = _fields(element)
        link = _link(element, fields)
        answers = _child(element, "in-reply-to")
        page = re.sub(r"(?:[?&]showComment=[^#]*)?#.*$", "", link)
        parent = _attribute(answers, "ref")
        answered_page = _attribute(answers, "href") or ""
        comment = answers is not None or page != link
        key = page if page != link else (answered_page or parent or link) if comment else link
        title = plain(fields.get("title"))
        when, flags = iso_time(
            next((fields[n] for n in ("published", "pubDate", "date", "updated") if n in fields), None)
        )
        kind: Kind = "comment" if comment else "post"
        named = re.match(r"(?:Comment on|Re:)\s*(.+?)(?:\s+by\s+.{1,80})?$", title) if comment else None
        yield Piece(
            key or f"line-{record.line}",
            Head(title=named[1] if named else None if comment else title, url=page or None),
        )
        yield Piece(
            key or f"line-{record.line}",
            Utterance(
                id=fields.get("id") or fields.get("guid") or link or f"line-{record.line}",
                text=plain(_feed_text(element, fields)),
                kind=kind,
                # What a comment answers outside of the feed is the page itself, unless it names a comment there.
                parent=parent if comment and not _is_page(parent, answered_page, page) else None,
                author=_feed_author(element, fields, title),
                time=when,
                flags=flags,
                place=record.place,
            ),
        )


def _is_page(parent: str | None, answered: str, page: str) -> bool:
    if parent is None:
        return False
    return ("#" not in answered and bool(answered)) or parent == page or "post-" in parent.rsplit(".", 1)[-1]


def _link(element: etree._Element, fields: dict[str, str]) -> str:
    if fields.get("link"):
        return fields["link"]
    links = [child for child in element if _local(child) == "link"]
    best = next((one for one in links if _attribute(one, "rel") in (None, "alternate")), None)
    return _attribute(best, "href") or ""


def _feed_text(element: etree._Element, fields: dict[str, str]) -> str:
    content = _child(element, "content")
    if content is not None and _attribute(content, "type") == "xhtml":
        return "".join(etree.tostring(child, encoding="unicode", with_tail=True) for child in content)
    return next((fields[n] for n in ("encoded", "content", "summary", "description") if fields.get(n)), "")


def _feed_author(element: etree._Element, fields: dict[str, str], title: str) -> Author | None:
    who = _child(element, "author")
    inner = _fields(who) if who is not None else {}
    said = re.match(r"By:\s*(.+)$", title)
    name = inner.get("name") or fields.get("creator") or (said[1] if said else fields.get("author"))
    return author(name, inner.get("uri") or inner.get("url"))


def _unsafe(name: str) -> InputError:
    return InputError(
        f"{name} declares a document type, which exports do not need and attacks do",
        code="unsafe_xml",
        field=name,
        got="a DTD",
        expected="XML without <!DOCTYPE",
    )


def _no_xml(name: str) -> InputError:
    return InputError(
        f"{name} can't be read as an XML export", code="corrupt_file", field=name, got="no XML", expected="XML"
    )
