"""Who is who in a thread: one person under slightly different names or addresses is one author.

Set against false unions: two people taken for one would share a case and a loyalty estimate. A first name alone
("Ann") joins nobody but the same name, and not even that where two of them sign with different addresses.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Final

from model.types import Author, Utterance

_HOUSE: Final = re.compile(
    r"(?P<name>.*?\w.*?)(?:\s*[(\[](?P<inner>[^)\]]+)[)\]]"
    r"|(?:\s*[,|]\s+|\s[-\u2013\u2014]\s+|\s@\s*|\s(?:at|from)\s+)(?P<outer>.+))",
    re.IGNORECASE,
)
_SAYS: Final = re.compile(r"\s+(?:says|said|writes|wrote|replied|replies|responded)\s*:?\s*$|\s*:\s*$", re.IGNORECASE)
_NOBODY: Final = re.compile(
    r"(?:an? )?(?:anonymous|anonym|anon|guest|gast|unknown|deleted|removed|deleted user|none|null|user|visitor|"
    r"reader|(?:amazon |kindle |verified )?customer|member|google user|verified buyer|name withheld|no ?name|nobody|"
    r"author)|n a"
)
"""Names that everybody may have."""
_PROFILE: Final = re.compile(
    r"/(?:users?|u|profiles?|people|members?|authors?|in|channel|commenters?|accounts?|by)/[^/]+"
    r"|^(?:twitter|x|facebook|instagram|github|medium|youtube|disqus|gravatar|myspace|flickr|pinterest)\.com/[^/]+"
    r"|/@[^/]+|[?&](?:id|u|uid|user|userid|user_id|author|member)=[^&]+",
    re.IGNORECASE,
)
"""What follows the host where an address is one person's."""
_TRACKING: Final = re.compile(r"(?:[?&](?:utm_\w+|fbclid|ref|source)=[^&#]*)+|#.*$", re.IGNORECASE)
_LONGEST: Final = 200
"""Characters of a name that are read."""
_MOST_ALIKE: Final = 100
"""People of one name in a thread above which nobody is joined, so that a crafted page can't make the work quadratic."""


@dataclass(frozen=True, slots=True)
class _Identity:
    """A name and an address as they are compared. house: the company or place behind the name.

    nobody: whether everybody may have such a name.
    """

    words: tuple[str, ...]
    house: str
    url: str
    nobody: bool


def author_keys(utterances: Sequence[Utterance]) -> dict[str, str]:
    """The author's key for the id of every utterance: the same key, the same author. Keys are readable names.

    One author are: the same name but for case, points and accents; a name of two words or more with and without a
    company behind it; everyone at the address of one profile; names that begin alike at one address; whoever the page
    marks as the author of the post. Where no name is known, or one that anybody may have ("Anonymous"), each utterance
    has an author of its own.
    """
    groups = _Groups()
    said: dict[_Identity, list[str]] = defaultdict(list)
    labels: dict[str, str] = {}
    for utterance in utterances:
        identity = _identity(utterance.author)
        labels[utterance.id] = _label(utterance, identity)
        if identity is not None and (identity.url or not identity.nobody):
            said[identity].append(utterance.id)
    for ids in said.values():
        groups.join(ids)
    for one, other in _links(list(said)):
        groups.join([said[one][0], said[other][0]])
    groups.join([u.id for u in utterances if "post_author" in u.flags])
    return _named([(u.id, groups.first(u.id), labels[u.id]) for u in utterances])


def anybody(name: str) -> bool:
    """Whether a name is one that everybody may have, such as "Anonymous" or "Guest"."""
    words = _words(name[:_LONGEST])
    return not words or _NOBODY.fullmatch(" ".join(words)) is not None


def bare_url(url: str) -> str:
    """The address without scheme, www, trailing slash, tracking and fragment, case folded."""
    bare = re.sub(r"^(?:https?:)?//(?:www\.)?|^www\.", "", url.strip(), flags=re.IGNORECASE)
    return _TRACKING.sub("", bare).rstrip("/").casefold()


class _Groups:
    """Ids joined step by step."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def first(self, key: str) -> str:
        """The id that stands for the group."""
        while (parent := self._parent.get(key, key)) != key:
            key = parent
        return key

    def join(self, keys: Sequence[str]) -> None:
        """Makes one group of all of them."""
        for key in keys[1:]:
            one, other = self.first(keys[0]), self.first(key)
            if one != other:
                self._parent[other] = one


def _named(entries: Sequence[tuple[str, str, str]]) -> dict[str, str]:
    """Keys for (id, group, label): the label of the group's first, with a number where another author has the same."""
    times: dict[str, int] = defaultdict(int)
    named: dict[str, str] = {}
    for _, group, label in entries:
        if group not in named:
            times[label] += 1
            named[group] = label if times[label] == 1 else f"{label} ({times[label]})"
    return {key: named[group] for key, group, _ in entries}


def _label(utterance: Utterance, identity: _Identity | None) -> str:
    if identity is None:
        return "post author" if "post_author" in utterance.flags else f"author of {utterance.id}"
    if identity.nobody and not identity.url:
        return f"{' '.join(identity.words) or 'author'} of {utterance.id}"
    return " ".join([*identity.words, identity.house]).strip() or identity.url


@lru_cache(maxsize=1 << 12)
def _identity(author: Author | None) -> _Identity | None:
    """Asked for before and after cleaning, and for all that somebody has written."""
    if author is None or not (author.name.strip() or author.url):
        return None
    name = _SAYS.sub("", " ".join(unicodedata.normalize("NFKC", author.name[:_LONGEST]).split()))
    found = _HOUSE.fullmatch(name)
    house = (found["inner"] or found["outer"]) if found else ""
    words = _words(found["name"] if found else name)
    return _Identity(words, " ".join(_words(house)), bare_url(author.url or ""), anybody(" ".join(words)))


def _words(name: str) -> tuple[str, ...]:
    """Without case, accents and points. Names written without letters ("***") stay as they are."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)).casefold()
    return tuple(re.findall(r"[^\W_]+", re.sub(r"['\u2019]", "", plain))) or tuple(plain.split())


def _links(identities: Sequence[_Identity]) -> Iterator[tuple[_Identity, _Identity]]:
    """Pairs that are one person."""
    by_url: dict[str, list[_Identity]] = defaultdict(list)
    by_words: dict[tuple[str, ...], list[_Identity]] = defaultdict(list)
    for identity in identities:
        if identity.url:
            by_url[identity.url].append(identity)
        if not identity.nobody:
            by_words[identity.words].append(identity)
    for url, alike in by_url.items():
        if _PROFILE.search(url):
            yield from ((alike[0], other) for other in alike[1:])
        elif len(alike) <= _MOST_ALIKE:
            pairs = list(combinations(alike, 2))
            # Where other names stand there too it is a company's address, or the page's own, and says nothing.
            if all(_begin_alike(one.words, other.words) for one, other in pairs):
                yield from pairs
    for alike in by_words.values():
        if len(alike) <= _MOST_ALIKE:
            yield from _one_person(alike)


def _one_person(alike: Sequence[_Identity]) -> list[tuple[_Identity, _Identity]]:
    """Links within one name, where nothing is left open: of two people called so, a third mention may be either."""
    pairs = list(combinations(alike, 2))
    if all(_may_be_one(*pair) for pair in pairs):
        return pairs
    return [(one, other) for one, other in pairs if one.url and one.url == other.url]


def _may_be_one(one: _Identity, other: _Identity) -> bool:
    full = len(one.words) > 1
    if one.house != other.house and not (full and "" in (one.house, other.house)):
        return False
    if "" in (one.url, other.url) or one.url == other.url:
        return True
    if one.url.partition("/")[0] == other.url.partition("/")[0]:
        return not (_PROFILE.search(one.url) and _PROFILE.search(other.url))
    return full


def _begin_alike(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether names may be one person's at one address: "ann", "ann b", "a baker", "annbaker"."""
    if not one or not other or "".join(one) == "".join(other):
        return bool(one and other)
    return all(a == b or (1 in (len(a), len(b)) and a[0] == b[0]) for a, b in zip(one, other, strict=False))
