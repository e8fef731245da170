"""Finds who speaks in plain text without a heading over its comments: chats, mails, forum threads, lists of reviews.

A line opens a turn where at least one other has the same shape and both are followed by text. What could as well be a
list of labels ("Pros: ...") or a log of one customer ("Phone call, 3 March 2024") is left alone.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from model.reading.post import could_be_speaker, is_date_line, is_handle, read_time
from model.types import Author

Shape = Literal["mail", "numbered", "dated", "stacked", "spoken"]

_FIELD: Final = re.compile(
    r"\**(?P<key>from|date|sent|to|cc|subject|reply-to)\s?:\**\s*(?P<value>\S.{0,200})", re.IGNORECASE
)
_NUMBER: Final = re.compile(r"#(?P<n>\d{1,4})(?:\s*[/|\u00b7\u2022-]\s*(?P<name>\S.{0,60}))?")
_DATED: Final = re.compile(
    r"(?P<name>\S.{0,60}?)\s?(?P<mark>\u2022|\u00b7|\||\u2013|\u2014|,|\(|\s-|\s(?:on|at)(?=\s)"
    r"|\s(?:wrote|said|replied|commented|posted|answered)(?: (?:on|at))?(?=\s))\s*(?P<when>[^()]{4,50}?)\)?\s?:?"
)
_SAID: Final = re.compile(r"\s(?:wrote|said|replied|commented|posted|answered)")
_STARS: Final = re.compile(
    r"[\u2605\u2606\u2b50\u272d\u2729\ufe0f]{1,10}|(?:rat(?:ed|ing):? )?\d(?:\.\d)?\s?(?:/|out of)\s?(?:5|10)"
    r"(?: stars?)?|(?:rated )?\d(?:\.\d)? stars?",
    re.IGNORECASE,
)
_OWNER: Final = re.compile(
    r"(?:owner|business|company|seller|merchant|manager|management)(?:['\u2019]s)? (?:response|reply|answer)\b[\s:]*"
    r"|(?:response|reply|answer) from (?:the )?(?P<who>[^.!?:,]{2,40}?):?",
    re.IGNORECASE,
)
_SPOKEN: Final = re.compile(
    r"(?:\[?\d{1,2}[:.]\d{2}(?::\d{2})?\]?\s+)?"
    r"\**(?P<name>@?[^\W_][\w.'\u2019-]{0,30}(?: [^\W\d_][\w.'\u2019-]{0,20}){0,2})\**:\**\s+(?P<text>\S.*)"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says. start: index of the line that names them; body: that of the first line of the text.

    speaker, account: whether the name could be that of a person or account, and is that of an account for sure;
    stars: whether it is a review with stars; company: whether the page calls it an answer of the company's.
    """

    start: int
    body: int
    author: Author
    time: str | None = None
    lines: tuple[str, ...] = ()
    stars: bool = False
    company: bool = False
    subject: str | None = None
    speaker: bool = True
    account: bool = False
    marks: frozenset[str] = field(default=frozenset())

    @property
    def text(self) -> str:
        """The text with one blank line between paragraphs."""
        return re.sub(r"\n{3,}", "\n\n", "\n".join(self.lines)).strip()


def find_turns(lines: Sequence[str]) -> tuple[Shape | None, list[Turn], bool]:
    """The shape of the turns, the turns, and whether there are lines that look like speakers and were not used."""
    doubtful = False
    readers: tuple[tuple[Shape, Callable[[Sequence[str]], list[Turn]], Callable[[Sequence[Turn]], bool]], ...] = (
        ("mail", _mails, lambda turns: True),
        ("numbered", _numbered, lambda turns: all(turn.speaker for turn in turns)),
        ("stacked", _stacked, _are_reviews_or_posts),
        ("dated", _dated, _are_posts),
    )
    for shape, reader, fits in readers:
        heads = reader(lines)
        if len(heads) < 2:
            continue
        turns = _filled(heads, lines)
        if all(turn.text for turn in turns) and fits(turns):
            return shape, turns, False
        speakers = [turn for turn in turns if turn.speaker]
        doubtful = doubtful or (len(speakers) == len(turns) and len({t.author.name for t in speakers}) > 1)
    turns, open_question = _spoken(lines)
    return ("spoken" if turns else None), turns, not turns and (doubtful or open_question)


def _filled(heads: Sequence[Turn], lines: Sequence[str]) -> list[Turn]:
    """The turns with their text: the lines up to the next."""
    ends = [*(head.start for head in heads[1:]), len(lines)]
    return [replace(head, lines=tuple(lines[head.body : end])) for head, end in zip(heads, ends, strict=True)]


def _mails(lines: Sequence[str]) -> list[Turn]:
    """Mails by their headers: "From:" and at least one more field in the lines around it."""
    heads = []
    index = 0
    while index < len(lines):
        fields: dict[str, str] = {}
        start = index
        while index < len(lines) and (match := _FIELD.fullmatch(lines[index])) is not None:
            fields.setdefault(match["key"].lower(), match["value"].strip())
            index += 1
        if "from" in fields and len(fields) > 1:
            name = re.sub(r"\s*[<\[(].*", "", fields["from"]).strip("\"' ") or fields["from"]
            when = read_time(fields.get("date") or fields.get("sent") or "")
            heads.append(Turn(start, index, Author(name), when, subject=fields.get("subject")))
        index = max(index, start + 1)
    return heads


def _numbered(lines: Sequence[str]) -> list[Turn]:
    """The posts of a forum: "#1" over a name or before it, numbered from any number on."""
    heads: list[Turn] = []
    number: int | None = None
    for index, line in enumerate(lines):
        match = _NUMBER.fullmatch(line) if line.startswith("#") else None
        if match is None or (number is not None and int(match["n"]) != number + 1):
            continue
        below = index + 1 < len(lines) and lines[index + 1]
        name = match["name"] or below
        if not name:
            continue
        number = int(match["n"])
        body = index + (1 if match["name"] else 2)
        when = None
        if body < len(lines) and lines[body] and _is_date(lines[body]):
            when, body = read_time(lines[body]), body + 1
        heads.append(_head(index, body, name, when))
    return heads


def _dated(lines: Sequence[str]) -> list[Turn]:
    """Lines with a name and a date: "Ann (2024-02-02)", "Ann • 2 days ago", "Ann wrote on 3 March 2024:"."""
    heads = []
    for index, line in enumerate(lines):
        if len(line) > 120 or not (any(char.isdigit() for char in line) or line.endswith(("ago", "yesterday", "now"))):
            continue
        match = _DATED.fullmatch(re.sub(r"\*\*|__(?=\W|$)|^__", "", line))
        if match is None or not is_date_line(match["when"]) or is_date_line(match["name"]):
            continue
        marks = {"said" if _SAID.match(match["mark"]) else match["mark"].strip()}
        when = read_time(match["when"])
        marks |= {"relative"} if when is None else set()
        marks |= {"bold"} if line.startswith(("**", "__")) else set()
        heads.append(_head(index, index + 1, match["name"], when, marks=frozenset(marks)))
    return heads


def _stacked(lines: Sequence[str]) -> list[Turn]:
    """Names alone on a line over a date, stars or both, and the answers of owners between them."""
    heads: list[Turn] = []
    for index, line in enumerate(lines):
        owner = _OWNER.fullmatch(line) if heads and len(line) <= 60 else None
        if not line or len(line) > 60 or (owner is None and index and lines[index - 1]):
            continue
        body, when, stars, dates = index + 1, None, False, False
        while body < len(lines) and body <= index + 3 and lines[body]:
            if _STARS.fullmatch(lines[body]):
                stars = True
            elif _is_date(lines[body]):
                stars = stars or lines[body][0] in "\u2605\u2606\u2b50"
                when, dates = when or read_time(lines[body]), True
            else:
                break
            body += 1
        if owner is not None:
            who = Author((owner["who"] or "Owner").strip())
            heads.append(Turn(index, body, who, when, company=True))
        elif (stars or dates) and not is_date_line(line) and _STARS.fullmatch(line) is None:
            marks = frozenset({"relative"} if dates and when is None else ())
            heads.append(_head(index, body, line, when, stars=stars, marks=marks))
    return heads


def _are_posts(turns: Sequence[Turn]) -> bool:
    """Whether dated lines of one shape name different persons, and are no log of what one customer did."""
    marks = {mark for turn in turns for mark in turn.marks - {"relative", "bold"}}
    # "Leeds, 3 March 2024" heads a day of a journey as well.
    plain = marks & {",", "at", "on"} and not any("relative" in turn.marks for turn in turns)
    return len(marks) == 1 and _are_persons(turns) and not (plain and not any(map(_is_full, turns)))


def _are_reviews_or_posts(turns: Sequence[Turn]) -> bool:
    own = [turn for turn in turns if not turn.company]
    if not all(turn.speaker for turn in own):
        return False
    if any(turn.stars for turn in own):
        return all(turn.stars for turn in own)
    # Single words over dates may be the places of a journey.
    return _are_persons(own) and any("relative" in turn.marks or _is_full(turn) for turn in own)


def _are_persons(turns: Sequence[Turn]) -> bool:
    return all(turn.speaker for turn in turns) and len({turn.author.name for turn in turns}) > 1


def _is_full(turn: Turn) -> bool:
    """Whether a name is more than one common word."""
    return turn.account or is_handle(turn.author.name) or " " in turn.author.name


def _spoken(lines: Sequence[str]) -> tuple[list[Turn], bool]:
    """A chat ("Ann: ...") that makes up the whole text, and whether there is one in it that does not.

    Somebody has to speak twice, to carry an account's name or to be addressed; labels are said once each.
    """
    found: list[Turn] = []
    rest: list[int] = []
    for index, line in enumerate(lines):
        match = _SPOKEN.fullmatch(line) if ":" in line[:60] else None
        if match is not None and could_be_speaker(match["name"]):
            found.append(_head(index, index, match["name"], lines=(match["text"],)))
        elif line:
            rest.append(index)
    names = [turn.author.name for turn in found]
    if len(set(names)) < 2:
        return [], False
    if not (len(set(names)) < len(names) or any(turn.account for turn in found) or _greets(found[:50])):
        return [], False
    # One line may stand over the chat; below it only what was wrapped is no turn of its own.
    outside = [n for n in rest if n < found[0].start]
    wrapped = all(lines[n][0].islower() and lines[n - 1] for n in rest if n > found[0].start)
    if len(outside) > 1 or not wrapped:
        return [], len(found) > 2
    ends = [*(turn.start for turn in found[1:]), len(lines)]
    return [
        replace(turn, lines=(*turn.lines, *lines[turn.start + 1 : end])) for turn, end in zip(found, ends, strict=True)
    ], False


def _greets(turns: Sequence[Turn]) -> bool:
    """Whether somebody calls another one by name."""
    names = {turn.author.name for turn in turns}
    called = re.compile(rf"\b(?:hi|hello|dear|thanks|sorry),? ({'|'.join(map(re.escape, names))})\b", re.IGNORECASE)
    found = ((turn.author.name, match[1]) for turn in turns for match in called.finditer(turn.text))
    return any(own.casefold() != other.casefold() for own, other in found)


def _head(start: int, body: int, name: str, time: str | None = None, **more: Any) -> Turn:
    """A turn as its line names the speaker."""
    name = name.strip("* ")
    account = re.match(r"@|/?u/|\w+_\w", name) is not None
    return Turn(start, body, Author(_plain(name)), time, speaker=could_be_speaker(name), account=account, **more)


def _is_date(line: str) -> bool:
    return is_date_line(line) and line[-1] not in ".!?"


def _plain(name: str) -> str:
    """A name without the marks of bold text and of accounts ("**u/dampflat**", "@ann")."""
    return re.sub(r"^/?u/(?=\w)|^@(?=\w)", "", re.sub(r"\*\*|__(?=\W|$)|^__", "", name).strip(" *,"))
