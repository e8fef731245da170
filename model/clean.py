"""Takes out of a thread what nobody should score: doubles, spam, boilerplate, empty and deleted comments.

Nothing is lost silently: whatever does not stay is handed back with the reason and what was found.
"""

import re
import unicodedata
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Final

from py3langid.langid import MODEL_FILE, LanguageIdentifier
from rapidfuzz.fuzz import ratio

from model.clean_spam import SPAM_FROM, Spam, spam
from model.read_post import is_boilerplate
from model.types import Author, Cleaned, Dropped, Thread, Utterance

_NEAR: Final = 95.0
"""rapidfuzz ratio, 0 to 100, from which two texts of one thread are the same."""
_NEAR_LENGTH: Final = 40
"""Characters up to which only texts of one author are merged: many people write "Good"."""
_MAX_COMPARED: Final = 40
"""Candidates that one text is compared with, so that crafted pages can't make the work quadratic."""

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
_EMOTICON: Final = re.compile(r"[:;=8xX][-'o^]?[()\[\]DPpdb/\\|*3<>]|<3|\^_?\^|[()\[\]]:")


def clean(thread: Thread) -> Cleaned:
    """The thread without what should not be scored, and everything that was taken out, in the order of the page.

    Of doubles the first stays, with the flag "merged:N" (N copies in all, itself included). A parent that was a double
    becomes the copy that stays; a parent that was dropped otherwise becomes its nearest ancestor that stays.
    """
    dropped: dict[str, Dropped] = {}
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
        if utterance.id not in dropped and (found := _spam_in(utterance)) is not None:
            dropped[utterance.id] = Dropped(utterance, "spam", detail=str(found))
    kept = [_kept(u, _parent(u, dropped), copies.get(u.id, 1)) for u in thread.utterances if u.id not in dropped]
    ordered = tuple(dropped[u.id] for u in thread.utterances if u.id in dropped)
    return Cleaned(replace(thread, utterances=tuple(kept)), ordered)


def _kept(utterance: Utterance, parent: str | None, copies: int) -> Utterance:
    flags = list(utterance.flags)
    if copies > 1:
        flags.append(f"merged:{copies}")
    code = language(utterance.text)
    if code not in ("en", "und"):
        flags.append(f"language:{code}")
    return replace(utterance, parent=parent, flags=tuple(dict.fromkeys(flags)))


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


def normalised(text: str) -> str:
    """The text as it is compared: NFKC, case folded, white space as one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _same_author(one: Author | None, other: Author | None) -> bool:
    """Whether names are equal, case folded, and no URL speaks against it; two unnamed authors may be one."""
    if one is None or other is None:
        return one is other
    if normalised(one.name) != normalised(other.name):
        return False
    return one.url is None or other.url is None or _bare_url(one.url) == _bare_url(other.url)


def _bare_url(url: str) -> str:
    return re.sub(r"^(?:https?:)?//", "", url.strip(), flags=re.IGNORECASE).rstrip("/").casefold()


def _doubles(utterances: list[Utterance]) -> Iterator[tuple[Utterance, Utterance, str]]:
    """Pairs of a double and the earlier utterance that stays, with what was found. The post is never a double."""
    exact: dict[str, list[Utterance]] = {}
    sketches: dict[int, list[int]] = {}
    kept: list[tuple[Utterance, str]] = []
    for utterance in utterances:
        if utterance.kind == "post":
            continue
        text = normalised(utterance.text)
        same = exact.get(text, [])
        original = next((u for u in same if _same_author(u.author, utterance.author) or len(text) > _NEAR_LENGTH), None)
        if original is not None:
            yield utterance, original, "the same text"
            continue
        # Linkbacks from different places carry the post's title and differ in a word or two.
        sketch = _sketch(text) if len(text) > _NEAR_LENGTH and utterance.kind not in ("pingback", "trackback") else ()
        near = _nearest(text, sketch, sketches, kept)
        if near is not None:
            yield utterance, near[0], f"the same text but for spelling ({near[1]:.0f} of 100 alike)"
            continue
        exact.setdefault(text, []).append(utterance)
        kept.append((utterance, text))
        for value in sketch:
            sketches.setdefault(value, []).append(len(kept) - 1)


def _sketch(text: str) -> tuple[int, ...]:
    """The 16 smallest hashes of the 5-character pieces: texts that are nearly the same share some of them."""
    head = text[:4000].encode()
    return tuple(sorted({zlib.crc32(head[n : n + 5]) for n in range(len(head) - 4)})[:16])


def _nearest(
    text: str, sketch: tuple[int, ...], sketches: Mapping[int, list[int]], kept: list[tuple[Utterance, str]]
) -> tuple[Utterance, float] | None:
    candidates = sorted({index for value in sketch for index in sketches.get(value, ())[:_MAX_COMPARED]})
    for index in candidates[:_MAX_COMPARED]:
        likeness = ratio(text, kept[index][1], score_cutoff=_NEAR)
        if likeness >= _NEAR and len(kept[index][1]) > _NEAR_LENGTH:
            return kept[index][0], likeness
    return None


def _spam_in(utterance: Utterance) -> Spam | None:
    """What makes an utterance spam, None where it isn't. The post, its author and quotes are never spam."""
    if utterance.kind in ("post", "quote", "pingback", "trackback") or "post_author" in utterance.flags:
        return None
    found = spam(utterance.text)
    return found if found.score >= SPAM_FROM else None


# ------------------------------------------------------------------------------------------------------------ language


def language(text: str) -> str:
    """ISO 639-1 code of the language, "und" where the text is too short or the identifier too unsure (below 0.9)."""
    plain = _URL.sub(" ", text[:_LANGUAGE_CHARS])
    if sum(char.isalpha() for char in plain) < _LANGUAGE_LETTERS:
        return "und"
    code, confidence = _identifier().classify(plain)
    return str(code) if float(confidence) >= _LANGUAGE_FLOOR else "und"


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    """The identifier with probabilities in [0, 1]; loading takes tenths of a second, so it waits for the first text."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
