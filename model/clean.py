"""Takes out of a thread what nobody should score: doubles, spam, boilerplate, empty and deleted comments.

Nothing is lost silently: whatever does not stay is handed back with the reason and what was found. What repeats another
thread stays, with a label.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from model.authors import author_keys
from model.clean_spam import SPAM_FROM, spam
from model.near_duplicates import Item, Kind, find_copies, find_quotes
from model.reading.post import is_boilerplate
from model.spam_model import load_spam_model
from model.types import Cleaned, Dropped, Thread, Utterance

_NEAR: Final = 95.0
"""Likeness, 0 to 100, from which two texts of one thread are merged; higher than where copies are only labelled."""
_LINKBACKS: Final = ("pingback", "trackback")

_VIDEO: Final = re.compile(r"^(?:https?:)?//(?:www\.|m\.)?(?:youtube\.com|youtu\.be)/", re.IGNORECASE)

_LANGUAGE_LETTERS: Final = 20
_LANGUAGE_FLOOR: Final = 0.9
_LANGUAGE_CHARS: Final = 2000

_DELETED: Final = re.compile(
    r"[\[(<]?(?:deleted|removed|comment (?:deleted|removed)|deleted by user|removed by (?:moderator|reddit"
    r"|the author|author)|redacted)"
    r"(?: by .{1,40})?[\])>]?\.?"
    r"|(?:this|the|a|your) (?:comment|post|message|reply|review|tweet)(?: here)? (?:has been|was|is|have been) "
    r"(?:deleted|removed|hidden|withdrawn|blocked|unavailable|no longer available).{0,120}"
    r"|comment (?:has been )?(?:deleted|removed|hidden)(?: by .{1,60})?\.?"
    r"|dieser kommentar wurde .{0,40}(?:gel\u00f6scht|entfernt).{0,60}",
    re.IGNORECASE,
)
_URL: Final = re.compile(r"https?://\S+|\bwww\.\S+", re.IGNORECASE)
_LETTERS: Final = re.compile(r"[^\W\d_\u3099\u309a\u0ca0]{2,}")
"""A word; without letters that faces are made of: marks of Japanese sounds, the Kannada eye."""
_EMOTICON: Final = re.compile(r"[:;=8xX][-'o^]?[()\[\]DPpdb/\\|*3<>]|<3|\^_?\^|[()\[\]]:")


def clean(thread: Thread) -> Cleaned:
    """The thread without what should not be scored, and everything that was taken out, in the order of the page.

    Of doubles the first stays, with the flag "merged:N" (N copies in all, itself included). A parent that was a double
    becomes the copy that stays; a parent that was dropped otherwise becomes its nearest ancestor that stays.
    """
    dropped: dict[str, Dropped] = {}
    video = _under_a_video(thread)
    for utterance in thread.utterances:
        reason, detail = _unusable(utterance)
        if reason is not None:
            dropped[utterance.id] = Dropped(utterance, reason, detail=detail)
    candidates = [u for u in thread.utterances if u.id not in dropped]
    copies: dict[str, int] = {}
    for double, original, detail in _doubles(candidates):
        dropped[double.id] = Dropped(double, "duplicate", duplicate_of=original.id, detail=detail)
        copies[original.id] = copies.get(original.id, 1) + 1
    for utterance in candidates:
        if utterance.id not in dropped and (found := _spam_in(utterance, video)) is not None:
            dropped[utterance.id] = Dropped(utterance, "spam", detail=found)
    stay = [u for u in thread.utterances if u.id not in dropped]
    kept = [_kept(u, _parent(u, dropped), copies.get(u.id, 1), _doubt(u, video)) for u in stay]
    ordered = tuple(dropped[u.id] for u in thread.utterances if u.id in dropped)
    return Cleaned(replace(thread, utterances=tuple(kept)), ordered)


def _kept(utterance: Utterance, parent: str | None, copies: int, doubt: str | None) -> Utterance:
    flags = list(utterance.flags)
    if doubt is not None:
        flags.append(doubt)
    if copies > 1:
        flags.append(f"merged:{copies}")
    code = language(utterance.text)
    if code not in ("en", "und"):
        flags.append(f"language:{code}")
    noted = tuple(dict.fromkeys(flags))
    same = parent == utterance.parent and noted == utterance.flags
    return utterance if same else replace(utterance, parent=parent, flags=noted)


def _parent(utterance: Utterance, dropped: Mapping[str, Dropped]) -> str | None:
    parent = utterance.parent
    seen = set()
    while parent is not None and parent in dropped and parent not in seen:
        seen.add(parent)
        parent = dropped[parent].duplicate_of or dropped[parent].utterance.parent
    return None if parent == utterance.id or parent in seen else parent


def _unusable(utterance: Utterance) -> tuple[str | None, str | None]:
    """Why an utterance can't be scored at all, and what was found; (None, None) where it can."""
    text = " ".join(utterance.text.split())
    if "boilerplate" in utterance.flags:
        return "boilerplate", "furniture of the page"
    told = next((reason for reason in ("deleted", "spam") if reason in utterance.flags), None)
    if told is not None:
        return told, f"marked as {told} where it was published"
    if not _says_something(text):
        return "empty", f"{len(text)} characters without a word" if text else "no text"
    if _DELETED.fullmatch(text):
        return "deleted", text[:120]
    # A whole review or post may be one word; only what stands under a page is taken for its furniture.
    if utterance.kind == "comment" and all(
        is_boilerplate(line) for line in utterance.text.splitlines() if line.strip()
    ):
        return "boilerplate", "every line is furniture of the page"
    return None, None


def _says_something(text: str) -> bool:
    return (
        any(char.isalnum() or unicodedata.category(char) == "So" for char in text) or _EMOTICON.search(text) is not None
    )


# ------------------------------------------------------------------------------------------------------------- doubles


def _doubles(utterances: Sequence[Utterance]) -> Iterator[tuple[Utterance, Utterance, str]]:
    """Pairs of a double and the earlier utterance that stays, with what was found. The post is never a double."""
    comments = [u for u in utterances if u.kind != "post"]
    keys = author_keys(comments)
    # Linkbacks from different places carry the post's title and differ in a word or two.
    items = [Item(u.text, keys[u.id], near=u.kind not in _LINKBACKS) for u in comments]
    for copy in find_copies(items, _NEAR):
        if copy.kind == "exact":
            found = "the same text"
        else:
            found = f"the same text but for spelling ({copy.score:.0f} of 100 alike)"
        yield comments[copy.index], comments[copy.of], found


def _spam_in(utterance: Utterance, video: bool) -> str | None:
    """What makes an utterance spam, None where it isn't. The post is never spam.

    Its author, quotes and linkbacks are none by their wording. The model decides under videos only, see
    model.spam_model.
    """
    if utterance.kind == "post":
        return None
    if "spam" in utterance.flags:
        return "marked as spam where it comes from"
    if utterance.kind in ("quote", *_LINKBACKS) or "post_author" in utterance.flags:
        return None
    found = spam(utterance.text)
    if found.score >= SPAM_FROM:
        return str(found)
    if video and utterance.kind == "comment":
        model = load_spam_model()
        read = model.score(utterance.text, video=True)
        return str(read) if read.score >= model.drop_from else None
    return None


def _doubt(utterance: Utterance, video: bool) -> str | None:
    """A flag for a comment that stays on a page and reads like advertising."""
    if video or utterance.kind != "comment" or "post_author" in utterance.flags:
        return None
    model = load_spam_model()
    score = model.score(utterance.text).score
    return f"maybe_spam:{score:.2f}" if score >= model.flag_from else None


def _under_a_video(thread: Thread) -> bool:
    return "youtube" in thread.adapter or _VIDEO.search(thread.url or "") is not None


# ------------------------------------------------------------------------------------------------------- many threads


@dataclass(frozen=True, slots=True)
class Repeat:
    """An utterance that says again what stands in another thread.

    thread, of_thread: positions in the sequence that was given. utterance, of: ids there. score: likeness, 0 to 100.
    """

    thread: int
    utterance: str
    of_thread: int
    of: str
    score: float
    kind: Kind


def clean_threads(threads: Sequence[Thread]) -> tuple[list[Cleaned], list[Repeat]]:
    """Each thread cleaned on its own, and what stays in one and repeats another, so that it can be counted once.

    A repetition is kept and flagged "copy:KIND:THREAD/UTTERANCE" with the ids of what it repeats: of copies the first
    in order has no flag, of a comment and a quotation of it the comment. InputError where more than
    model.near_duplicates.MAX_TEXTS utterances stay.
    """
    cleaned = [clean(thread) for thread in threads]
    spoken = [(n, u) for n, c in enumerate(cleaned) for u in c.thread.utterances]
    # Python's sort keeps the order within each half.
    spoken.sort(key=lambda entry: _is_quotation(entry[1]))
    repeats = sorted(_repeats(spoken), key=lambda r: r.thread)
    flags: dict[tuple[int, str], str] = {
        (r.thread, r.utterance): f"copy:{r.kind}:{cleaned[r.of_thread].thread.id}/{r.of}" for r in repeats
    }
    return [_flagged(c, n, flags) for n, c in enumerate(cleaned)], repeats


def _is_quotation(utterance: Utterance) -> bool:
    return utterance.kind == "quote" or "quoted" in utterance.flags


def _repeats(spoken: Sequence[tuple[int, Utterance]]) -> Iterator[Repeat]:
    copies = find_copies([Item(u.text, near=u.kind not in _LINKBACKS) for _, u in spoken])
    for copy in copies:
        (place, utterance), (of_place, of) = spoken[copy.index], spoken[copy.of]
        if place != of_place:
            kind = "quote" if _is_quotation(utterance) else copy.kind
            yield Repeat(place, utterance.id, of_place, of.id, copy.score, kind)
    known = {copy.index for copy in copies}
    texts = [entry for n, entry in enumerate(spoken) if n not in known]
    posts = [entry for entry in texts if entry[1].kind == "post"]
    quotes = find_quotes(
        [u.text for _, u in texts], [u.text for _, u in posts], [place for place, _ in texts], [p for p, _ in posts]
    )
    for quote in quotes:
        (place, utterance), (of_place, of) = texts[quote.index], posts[quote.of]
        yield Repeat(place, utterance.id, of_place, of.id, quote.score, "quote")


def _flagged(cleaned: Cleaned, place: int, flags: Mapping[tuple[int, str], str]) -> Cleaned:
    marked = tuple(
        replace(u, flags=(*u.flags, flag)) if (flag := flags.get((place, u.id))) and flag not in u.flags else u
        for u in cleaned.thread.utterances
    )
    return replace(cleaned, thread=replace(cleaned.thread, utterances=marked))


# ------------------------------------------------------------------------------------------------------------ language


def language(text: str) -> str:
    """ISO 639-1 code of the language; of a text without Latin letters that is short, its script, such as "cyrillic".

    "und" where a text with Latin letters is too short or the identifier too unsure (below 0.9).
    """
    return _language(text[:_LANGUAGE_CHARS])


@lru_cache(maxsize=4096)
def _language(text: str) -> str:
    # A text is asked about when it is cleaned and again when its author's case is judged.
    plain = _URL.sub(" ", text) if "://" in text or "www." in text.lower() else text
    if sum(map(str.isalpha, plain)) >= _LANGUAGE_LETTERS:
        code, confidence = _identifier().classify(plain)
        if float(confidence) >= _LANGUAGE_FLOOR:
            return str(code)
    return _other_script(plain) or "und"


def _other_script(text: str) -> str | None:
    """The script of the first word, in lower case, where a text has words and no Latin letter; else None.

    A single letter is no word: it may be part of a face, as in "(´･ω･`)".
    """
    if text.isascii():
        return None
    # Letters in other shapes (bold, full width) are Latin ones too.
    usual = unicodedata.normalize("NFKC", text)
    names = (unicodedata.name(char, "") for char in usual if char.isalpha())
    word = _LETTERS.search(usual)
    if word is None or any(name.startswith("LATIN") for name in names):
        return None
    return unicodedata.name(word[0][0], "another script").split()[0].lower()


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    """The identifier with probabilities in [0, 1]; loading takes tenths of a second, so it waits for the first text."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
