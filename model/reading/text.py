"""Reads a page that somebody copied or scraped as plain text: a post, and the comments in one of the usual shapes.

Comments come as bullets ("• URL Name", the text indented below), as a numbered list under a heading ("1. Name says:",
replies numbered again further in), or as plain blocks under a heading ("Name", a date, the text). Without any of them
several lines of one shape that name speakers are looked for (turns.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from model.reading.post import (
    byline,
    claimed_count,
    infer_parents,
    infer_post_author,
    is_boilerplate,
    is_comments_heading,
    is_date_line,
    normal_space,
    opens_form,
    owner,
    read_time,
    signature,
    split_boilerplate,
    split_promotion,
    split_quote,
    states_no_comments,
)
from model.reading.turns import Shape, Turn, find_turns
from model.types import Author, InputError, Thread, Utterance

_ITEM: Final = re.compile(r"(?P<mark>[\u2022\u25aa\u2023\u25e6\u00b7*+-]|\d{1,4}[.)])\s+(?P<rest>\S.*)")
_URL_HEADER: Final = re.compile(r"(?P<url>https?:\S+|www\.\S+)(?:\s+(?P<name>\S.{0,60}))?")
_SAYS: Final = re.compile(
    r"(?P<name>\S.{0,60}?)\s*(?:,?\s(?:on|at)\s(?P<when>.{6,50}?))?\s(?:says|said|wrote|writes|commented|replied|replies|responded|answered)\s*"
    r"(?:(?:on|at)?\s*(?P<when2>.{6,50}?))?\s*:?"
)
_NAME_ON_DATE: Final = re.compile(
    r"(?:by\s+)?(?P<name>\S.{0,60}?)\s*(?:,|\bon\b|\bat\b|\||\u2013|\u2014|-|\u00b7|\u2022|\()\s*(?P<when>.{6,50})"
)
_TWEET: Final = re.compile(r"https?://(?:www\.|mobile\.)?(?:twitter|x)\.com/\w+/status", re.IGNORECASE)
_IMAGE_SIZE: Final = re.compile(r"\b\d{2,4}x\d{2,4}\b\s*")
_SENTENCE_END: Final = (".", "!", "?", "\u2026", ",", ":", ";")
_SENTENCES: Final = re.compile(r"[^\W\d_]{4}[.!?\u2026]\s+[A-Z]")
_UNMARKED: Final = 0.6
"""Confidence in speakers that no heading over comments announces."""
NOT_USED: Final = "several lines look like the names of speakers and were not used: the text was read as one author's"
_LONG: Final = 25
"""Words from which a line without indent is prose and not a page's furniture."""


@dataclass(frozen=True, slots=True)
class _Line:
    indent: int
    text: str
    number: int


@dataclass(slots=True)
class _Item:
    """One comment as it is being read: where its mark stands, what the header says, the lines of its text.

    line: number of the line where the text begins, 0 before it does; header: that of the mark.
    """

    indent: int
    author: Author | None = None
    time: str | None = None
    lines: list[str] = field(default_factory=list)
    parent: int | None = None
    numbered: bool = False
    announced: bool = False
    header: int = 0
    line: int = 0

    @property
    def text(self) -> str:
        """The text with one blank line between paragraphs."""
        return re.sub(r"\n{3,}", "\n\n", "\n".join(self.lines)).strip()


def read_text(text: str, *, name: str = "input", brand: str | None = None) -> Thread:
    """One Thread from a plain-text scrape; boilerplate comes as utterances with the flag "boilerplate".

    Raises InputError "empty_file" where the text holds no letter or digit.
    """
    if not any(char.isalnum() for char in text):
        raise InputError(f"{name} holds no text", code="empty_file", field=name, got="no words", expected="some text")
    lines = [_line(raw, number) for number, raw in enumerate(text.expandtabs(4).splitlines(), 1)]
    start, claimed = _comments_start(lines)
    items, furniture = _comments(lines[start:], claimed) if start < len(lines) else ([], [])
    shape, turns, doubtful = (None, [], False) if items else find_turns([line.text for line in lines[:start]])
    title, post, junk = _post(lines[: turns[0].start] if turns else lines[:start])
    if turns and len(post) == 1 and _could_be_title(post[0].text):
        title, post = title or post[0].text, []
    comments, more = _turns(turns, shape, lines, bool(post)) if turns else (_utterances(items, bool(post)), [])
    thread = Thread(
        id=name,
        utterances=_located((*post, *comments, *_pieces([*junk, *furniture, *more])), lines),
        title=title or next((turn.subject for turn in turns), None),
        brand=brand,
        adapter="text",
        confidence=_UNMARKED if turns else _confidence(items, claimed),
        claimed=claimed,
        warnings=(*_warnings(len(comments), claimed), *([NOT_USED] if doubtful else [])),
    )
    return infer_parents(infer_post_author(thread))


def _turns(
    turns: Sequence[Turn], shape: Shape | None, lines: Sequence[_Line], has_post: bool
) -> tuple[list[Utterance], list[str]]:
    """Utterances of what several speakers say in turn, and the furniture in it. Without a post the first opens."""
    reviews = any(turn.stars for turn in turns)
    opens = not has_post and not reviews
    utterances: list[Utterance] = []
    junk: list[str] = []
    review = "post" if has_post else None
    for number, turn in enumerate(turns, 1):
        text, furniture = split_boilerplate(turn.text)
        junk += furniture if text else []
        one = Utterance(
            id="post" if opens and number == 1 else f"comment-{number}",
            text=text or turn.text,
            kind="review" if turn.stars else "post" if opens and number == 1 else "comment",
            parent=review if turn.company else "post" if has_post or (opens and number > 1) else None,
            author=turn.author,
            time=turn.time,
            flags=("company",) if turn.company else (),
            place=f"line {_first_line(turn, lines) if shape != 'spoken' else lines[turn.start].number}",
        )
        review = review if turn.company else one.id
        utterances.append(one)
    return utterances, junk


def _first_line(turn: Turn, lines: Sequence[_Line]) -> int:
    return next(line.number for line in lines[turn.body :] if line.text)


def _line(raw: str, number: int) -> _Line:
    text = raw.replace("\u00a0", " ").replace("\u200b", "").replace("\ufeff", "")
    return _Line(len(text) - len(text.lstrip()), text.strip(), number)


def _located(utterances: Sequence[Utterance], lines: Sequence[_Line]) -> tuple[Utterance, ...]:
    """The utterances with the line of their first word; the same words again stand on the next such line."""
    numbers: dict[str, list[int]] = {}
    for line in reversed(lines):
        numbers.setdefault(normal_space(line.text), []).append(line.number)
    result = []
    for one in utterances:
        place = one.place
        if place is None:
            first = normal_space(one.text.split("\n", 1)[0])
            there = numbers.get(first)
            number = there.pop() if there else None
            if number is None:
                # What was cut out of a longer line, such as a quotation or the description of a picture: few a page.
                number = next((line.number for line in lines if first in line.text), None)
            place = f"line {number}" if number else "the text"
        result.append(replace(one, place=place))
    return tuple(result)


# ------------------------------------------------------------------------------------------------- where comments start


def _comments_start(lines: Sequence[_Line]) -> tuple[int, int | None]:
    """Index of the first line of the comments (len(lines) if there are none), and the number that the page states."""
    stated: int | None = None
    for index, line in enumerate(lines):
        if not line.text or not is_comments_heading(line.text):
            continue
        count = claimed_count(line.text)
        stated = count if stated is None else stated
        if count != 0 and any(_opens_item(lines, n, listed=True) for n in range(index + 1, len(lines))):
            return index, count if count is not None else stated
    bullets = _bullet_tail(lines)
    if bullets is not None:
        return bullets, stated
    tail = _form_tail(lines)
    if stated is None and tail < len(lines) and not opens_form(lines[tail].text):
        # What else opens the tail is the statement that nobody has commented.
        stated = 0
    return tail, stated


def _bullet_tail(lines: Sequence[_Line]) -> int | None:
    """Where a tail of comments in bullets starts: headers with text indented below them, up to the end of the page.

    A bullet list inside a post is followed by prose or has no headers, and so stays in the post.
    """
    first = None
    headers = 0
    for index, line in enumerate(lines):
        if _is_bullet_header(lines, index):
            headers += 1
            first = index if first is None else first
        elif first is not None and line.text and line.indent <= lines[first].indent and not _is_furniture(line):
            first, headers = None, 0
    if first is None:
        return None
    return first if headers > 1 or _URL_HEADER.search(lines[first].text) else None


def _is_bullet_header(lines: Sequence[_Line], index: int) -> bool:
    match = _ITEM.fullmatch(lines[index].text)
    if match is None or match["mark"][0].isdigit() or not _is_header(match["rest"]):
        return False
    below = next((line for line in lines[index + 1 :] if line.text), None)
    return below is not None and below.indent > lines[index].indent and _ITEM.fullmatch(below.text) is None


def _is_furniture(line: _Line) -> bool:
    return is_boilerplate(line.text) or is_comments_heading(line.text) or opens_form(line.text)


def _form_tail(lines: Sequence[_Line]) -> int:
    """Where the comment form at the end of a page without comments starts: from there on nobody speaks."""
    written = [index for index, line in enumerate(lines) if line.text]
    texts = [lines[index].text for index in written]
    # The page's foot: the lines under the last one that is prose.
    foot = next((n + 1 for n in range(len(texts) - 1, -1, -1) if _is_prose(texts[n])), 0)
    told = next((n + 1 for n in range(len(texts) - 1, -1, -1) if _is_sentence(texts[n])), 0)
    begins = next((n for n, text in enumerate(texts) if not is_boilerplate(text)), len(texts))
    for n in range(foot, len(texts)):
        if n > begins and opens_form(texts[n]):
            return written[n]
        followed = n + 1 == len(texts) or opens_form(texts[n + 1]) or is_boilerplate(texts[n + 1]) or n >= told
        if states_no_comments(texts, n) and followed:
            return written[n]
    return len(lines)


def _is_prose(text: str) -> bool:
    return len(text.split()) >= _LONG and not is_boilerplate(text)


def _is_sentence(text: str) -> bool:
    """Whether somebody speaks in a line: it ends like a sentence, and no blog software says it."""
    return text[-1] in ".!?\u2026" and not is_boilerplate(text) and not opens_form(text)


# ------------------------------------------------------------------------------------------------------------- comments


def _is_header(rest: str) -> bool:
    """Whether what follows a bullet names an author: a URL, or a few words that are no sentence."""
    if _URL_HEADER.fullmatch(rest):
        return True
    return len(rest.split()) <= 5 and len(rest) <= 60 and rest[-1] not in ".!?;,:"


def _opens_item(lines: Sequence[_Line], index: int, *, listed: bool) -> bool:
    line = lines[index]
    if not line.text or is_boilerplate(line.text):
        return False
    match = _ITEM.fullmatch(line.text)
    if match is not None and (match["mark"][0].isdigit() or _is_bullet_header(lines, index)):
        return True
    return listed and _plain_header(lines, index) is not None


def _plain_header(lines: Sequence[_Line], index: int) -> tuple[Author, str | None] | None:
    """Author and time of a comment that starts without a mark: "Name says:", "Name on DATE", or "Name" over a date."""
    text = lines[index].text.replace("**", "")
    if len(text) > 120 or is_boilerplate(text):
        return None
    says = _SAYS.fullmatch(text)
    if says and text.endswith(":") and _could_be_name(says["name"]):
        return Author(says["name"].strip(" ,")), read_time(says["when"] or says["when2"] or "")
    dated = _NAME_ON_DATE.fullmatch(text)
    if dated and is_date_line(dated["when"]) and _could_be_name(dated["name"]):
        return Author(dated["name"].strip(" ,")), read_time(dated["when"])
    below = next((line.text for line in lines[index + 1 : index + 3] if line.text), "")
    # A short sentence over the next comment's header ("It leaked.") is no name.
    if _could_be_name(text) and is_date_line(below) and not re.search(r"[a-z]{3}\.$", text):
        return Author(text), read_time(below)
    return None


def _could_be_name(text: str) -> bool:
    words = text.split()
    return 1 <= len(words) <= 5 and text[-1] not in "!?;:" and not is_date_line(text) and not is_comments_heading(text)


def _comments(lines: Sequence[_Line], claimed: int | None) -> tuple[list[_Item], list[str]]:
    """The comments under a heading or from the first bullet on, and the lines of furniture between and after them."""
    items: list[_Item] = []
    furniture: list[str] = []
    in_form = False
    for index, line in enumerate(lines):
        if not line.text:
            if items:
                items[-1].lines.append("")
            continue
        item = _item(lines, index, items)
        if item is not None:
            item.header = line.number
            item.line = line.number if item.lines else 0
            items.append(item)
            in_form = False
        elif (
            in_form or not items or is_boilerplate(line.text) or is_comments_heading(line.text) or _outside(line, items)
        ):
            # Under the last comment nothing but the form and the page's foot is left; a comment resumes the reading.
            in_form = in_form or (bool(items) and line.indent <= items[-1].indent and opens_form(line.text))
            furniture.append(line.text)
        elif is_date_line(line.text) and not any(items[-1].lines):
            items[-1].time = items[-1].time or read_time(line.text)
        else:
            items[-1].line = items[-1].line or line.number
            items[-1].lines.append(line.text)
    return _fold_lists(items, claimed), furniture


def _outside(line: _Line, items: Sequence[_Item]) -> bool:
    """Whether a line stands left of all indented comments, so that it can't be part of one."""
    marks = min(item.indent for item in items)
    return line.indent < marks or (line.indent == marks and items[-1].numbered and marks > 0)


def _item(lines: Sequence[_Line], index: int, items: Sequence[_Item]) -> _Item | None:
    """A new comment where a line opens one."""
    line = lines[index]
    match = _ITEM.fullmatch(line.text)
    if match is None:
        plain = _plain_header(lines, index) if not items or not items[-1].numbered else None
        if plain is None or (items and line.indent > items[0].indent):
            return None
        return _Item(line.indent, plain[0], plain[1], announced=True)
    numbered = match["mark"][0].isdigit()
    if not numbered and not _is_bullet_header(lines, index):
        return None
    if numbered and items and not items[0].numbered:
        return None
    author, time, text = _header(match["rest"], bullet=not numbered)
    return _Item(
        line.indent,
        author,
        time,
        [text] if text else [],
        parent=_parent(line.indent, items),
        numbered=numbered,
        announced=author is not None,
    )


def _header(rest: str, *, bullet: bool) -> tuple[Author | None, str | None, str]:
    """Author, time and the text that already starts on the line of the mark."""
    url = _URL_HEADER.fullmatch(rest)
    if url and (bullet or url["name"]):
        return Author(url["name"] or url["url"], url["url"]), None, ""
    says = _SAYS.fullmatch(rest)
    if says and rest.endswith(":") and _could_be_name(says["name"]):
        return Author(says["name"].strip(" ,")), read_time(says["when"] or says["when2"] or ""), ""
    dated = _NAME_ON_DATE.fullmatch(rest)
    if dated and is_date_line(dated["when"]) and _could_be_name(dated["name"]):
        return Author(dated["name"].strip(" ,")), read_time(dated["when"]), ""
    return (Author(rest), None, "") if bullet else (None, None, rest)


def _parent(indent: int, items: Sequence[_Item]) -> int | None:
    """Index of the last comment whose mark stands further left."""
    return next((n for n in range(len(items) - 1, -1, -1) if items[n].indent < indent), None)


def _fold_lists(items: list[_Item], claimed: int | None) -> list[_Item]:
    """Puts numbered lists that a commenter wrote back into the comment, so that they don't pass for replies.

    A marked item further in is a reply where its author is announced, or where the page's own count says so, or,
    without a count, where it is as long as a reply.
    """
    nested = [item for item in items if item.parent is not None and not item.announced]
    outer = len(items) - len(nested)
    if not nested or claimed == len(items):
        return items
    lists = nested if claimed == outer else [item for item in nested if len(item.text.split()) < 8]
    kept: list[_Item] = []
    moved: dict[int, int] = {}
    for index, item in enumerate(items):
        item.parent = moved.get(item.parent) if item.parent is not None else None
        if any(item is other for other in lists) and kept:
            kept[-1].lines.append(f"- {item.text}")
            moved[index] = len(kept) - 1
        else:
            kept.append(item)
            moved[index] = len(kept) - 1
    return kept


def _utterances(items: Sequence[_Item], has_post: bool) -> list[Utterance]:
    root = "post" if has_post else None
    return [
        Utterance(
            id=f"comment-{number}",
            text=item.text,
            kind="tweet" if item.author and item.author.url and _TWEET.match(item.author.url) else "comment",
            parent=root if item.parent is None else f"comment-{item.parent + 1}",
            author=item.author,
            time=item.time,
            place=f"line {item.line or item.header}",
        )
        for number, item in enumerate(items, 1)
    ]


# ----------------------------------------------------------------------------------------------------------------- post


def _post(lines: Sequence[_Line]) -> tuple[str | None, list[Utterance], list[str]]:
    """Title, the post and what it quotes, and the furniture around it."""
    paragraphs, junk, author = _paragraphs(lines)
    title, paragraphs, head = _title(paragraphs)
    junk = [*head, *junk]
    paragraphs, promotion = split_promotion(paragraphs)
    paragraphs, quoted, quoted_by = split_quote(paragraphs)
    name = author or signature(paragraphs) or owner(promotion)
    text = "\n\n".join(paragraphs)
    utterances = []
    if text:
        utterances.append(Utterance("post", text, "post", author=Author(name) if name else None))
    if quoted:
        parent = "post" if text else None
        utterances.append(Utterance("quote-1", "\n\n".join(quoted), "quote", parent, quoted_by, flags=("quoted",)))
    return title, utterances, [*junk, *promotion]


def _paragraphs(lines: Sequence[_Line]) -> tuple[list[str], list[str], str | None]:
    """Paragraphs of the post, its boilerplate lines, and the name in a byline."""
    paragraphs: list[list[str]] = [[]]
    junk: list[str] = []
    author: str | None = None
    for line in lines:
        if not line.text:
            paragraphs.append([])
        elif (written_by := byline(line.text)) is not None:
            author = author or written_by
            junk.append(line.text)
        elif is_boilerplate(line.text) or is_comments_heading(line.text):
            junk.append(line.text)
        else:
            paragraphs[-1].append(" ".join(line.text.split()))
    return ["\n".join(paragraph) for paragraph in paragraphs if paragraph], junk, author


def _title(paragraphs: list[str]) -> tuple[str | None, list[str], list[str]]:
    """The title, the paragraphs after it, and what stood before it (a line of categories, a picture's description)."""
    head = 0
    while head < len(paragraphs) - 1 and _could_be_title(paragraphs[head]):
        head += 1
    if head == 0:
        return None, paragraphs, []
    # A subheading may follow the title: the first line that is no list of categories is taken.
    at = next((n for n in range(head) if not _is_category_list(paragraphs[n])), head - 1)
    title = paragraphs[at]
    rest = paragraphs[at + 1 :]
    first, picture = _without_picture(rest[0], title)
    return title, [*([first] if first else []), *rest[1:]], [*paragraphs[:at], *picture]


def _could_be_title(paragraph: str) -> bool:
    """Whether a paragraph is short and no sentence: a sentence is told like the rest, and would be lost as a title."""
    if "\n" in paragraph or len(paragraph.split()) >= _LONG or len(paragraph) > 200:
        return False
    return paragraph.rstrip("\"'\u201d\u2019)*_ ")[-1:] not in _SENTENCE_END and _SENTENCES.search(paragraph) is None


def _is_category_list(paragraph: str) -> bool:
    parts = [part.split() for part in paragraph.split(",")]
    short = len(parts) >= 3 and all(1 <= len(part) <= 4 for part in parts)
    return short and paragraph[-1] not in ".!?" and all(part[0][0].isupper() or part[0][0].isdigit() for part in parts)


def _without_picture(paragraph: str, title: str) -> tuple[str, list[str]]:
    """Cuts the description of a picture, which ends in its size and the title again, off the first paragraph."""
    match = _IMAGE_SIZE.search(paragraph[:200])
    if match is None or not paragraph.startswith(title, match.end()):
        return paragraph, []
    end = match.end() + len(title)
    return paragraph[end:].lstrip(), [paragraph[:end]]


def _pieces(lines: Sequence[str]) -> list[Utterance]:
    return [Utterance(f"boilerplate-{n}", line, "post", flags=("boilerplate",)) for n, line in enumerate(lines, 1)]


# ------------------------------------------------------------------------------------------------------------- warnings


def _confidence(items: Sequence[_Item], claimed: int | None) -> float:
    if claimed is not None:
        return 0.9 if claimed == len(items) else 0.6
    if not items:
        return 0.5
    levels = [item.indent for item in items]
    return 0.8 if all(b - a <= 8 for a, b in pairwise(levels)) else 0.6


def _warnings(found: int, claimed: int | None) -> tuple[str, ...]:
    if claimed is not None and claimed != found:
        return (f"the page states {claimed} comments, {found} were found",)
    return () if found or claimed == 0 else ("no comments were found",)
