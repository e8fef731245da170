"""What an author repeats of others (quoted lines, quotations of the thread) is not read as their own."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from model.roles import is_account
from model.segment import Span
from model.types import Utterance

# "> their words", as mail, forums and Markdown quote; "> 2 weeks" is a figure.
_LINES: Final = re.compile(r"^[ \t]*(?:>|&gt;)(?!\s?\d)[^\n]*$", re.MULTILINE)
# "Ruth Adler wrote:" or "On 3 May, Ruth wrote:" over such lines.
_WROTE: Final = re.compile(r"^[^\n]{1,120}?(?:wrote|said|writes|says)\s*:[ \t]*$", re.MULTILINE | re.IGNORECASE)
_BLOCK: Final = re.compile(r"\[quote(?:=[^\]\n]{0,80})?\].*?\[/quote\]", re.IGNORECASE | re.DOTALL)
_SPOKEN: Final = re.compile(
    r"[\"\u201c\u201e\u00ab]([^\"\u201c\u201d\u201e\u00ab\u00bb]{20,2000})[\"\u201d\u201c\u00bb]"
)
LEAST_WORDS: Final = 5
"""Words from which a quotation is looked up in the thread: shorter ones are everybody's."""

# A quotation: whose, where it stands, its words.
_Quotation = tuple[Utterance, Span, list[str]]


def own_words(utterances: Sequence[Utterance], brand: str | None = None) -> dict[str, str]:
    """The text of every utterance by id, with spaces for the words of others, so that offsets stay.

    Others' words are quoted lines and blocks, and what stands in quotation marks and in another author's text of the
    thread. What an account of the company has written stays in quotation marks: so the author tells what they were
    told. A text that would keep no word stays as it is.
    """
    spoken = _spoken_before(utterances, brand)
    return {u.id: _blanked(u.text, [*_quoted_lines(u.text), *spoken.get(u.id, ())]) for u in utterances}


def _blanked(text: str, spans: Sequence[Span]) -> str:
    if not spans:
        return text
    own = list(text)
    for start, end in spans:
        own[start:end] = " " * (end - start)
    result = "".join(own)
    return result if any(c.isalnum() for c in result) else text


def _quoted_lines(text: str) -> Iterator[Span]:
    yield from (m.span() for m in _BLOCK.finditer(text))
    lines = [m.span() for m in _LINES.finditer(text)]
    yield from lines
    starts = {start for start, _ in lines}
    if starts:
        yield from (m.span() for m in _WROTE.finditer(text) if _next_line(text, m.end()) in starts)


def _next_line(text: str, end: int) -> int:
    """Start of the next line that is not empty."""
    found = re.compile(r"\s*\n(?=[ \t]*\S)").match(text, end)
    return found.end() if found else -1


def _spoken_before(utterances: Sequence[Utterance], brand: str | None) -> dict[str, list[Span]]:
    """Quotations, by id of the utterance that holds them, which another customer of the thread has written."""
    sought: dict[tuple[str, ...], list[_Quotation]] = defaultdict(list)
    for utterance in utterances if len(utterances) > 1 else ():
        for found in _SPOKEN.finditer(utterance.text):
            words = _words(found[1])
            if len(words) >= LEAST_WORDS:
                sought[tuple(words[:LEAST_WORDS])].append((utterance, found.span(), words))
    result: dict[str, list[Span]] = defaultdict(list)
    for source in utterances if sought else ():
        if is_account(source, brand):
            continue
        words = _words(source.text)
        for n in range(len(words) - LEAST_WORDS + 1):
            for quotation in list(sought.get(tuple(words[n : n + LEAST_WORDS]), ())):
                utterance, span, quoted = quotation
                if _who(utterance) != _who(source) and words[n : n + len(quoted)] == quoted:
                    result[utterance.id].append(span)
                    sought[tuple(quoted[:LEAST_WORDS])].remove(quotation)
    return result


def _who(utterance: Utterance) -> str:
    return utterance.author.name if utterance.author else utterance.id


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
