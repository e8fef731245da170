"""Who is who in a thread: one person under slightly different names or addresses is one author.

Set against false unions: two people taken for one would share a case and a loyalty estimate. A first name alone
("Ann") joins nobody but the same name, and not even that where two of them sign with different addresses.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from model.types import Author, Utterance

_AFFILIATION: Final = re.compile(
    r"^(?P<name>.+?)\s*(?:[(\[](?P<inner>[^)\]]+)[)\]]|(?:,|\||@|\s[-\u2013\u2014]|\s(?:at|from|of))\s+(?P<outer>.+))\s*$",
    re.IGNORECASE,
)
_SAYS: Final = re.compile(r"\s+(?:says|said|writes|wrote)\s*:?\s*$", re.IGNORECASE)
_NOBODY: Final = frozenset(
    "anonymous anonym anon anonymus guest gast unknown deleted removed none user visitor reader customer member admin "
    "a customer a reader a guest a user a google user google user amazon customer kindle customer verified buyer "
    "verified customer name withheld no name noname nobody n a na me".split()
) | frozenset(
    "a customer,a reader,a guest,a user,a google user,google user,amazon customer,kindle customer,verified buyer,"
    "verified customer,deleted user,name withheld,no name,n a".split(",")
)
_PROFILE: Final = re.compile(
    r"/(?:users?|u|profiles?|people|members?|authors?|in|channel|commenters?|accounts?|by)/[^/]+|/@[^/]+"
    r"|[?&](?:id|u|uid|user|userid|user_id|author|member)=[^&]+|/profile\.php\?",
    re.IGNORECASE,
)
_PLATFORMS: Final = (
    "twitter.com x.com facebook.com instagram.com github.com medium.com youtube.com disqus.com linkedin.com "
    "gravatar.com blogger.com plus.google.com myspace.com flickr.com tumblr.com pinterest.com reddit.com "
    "news.ycombinator.com openid.aol.com"
).split()
_NOISE: Final = re.compile(r"(?:[?&](?:utm_\w+|fbclid|ref|source)=[^&#]*)+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Name:
    """A name as it is compared: words without case, accents and points; house: what stands in brackets behind it."""

    words: tuple[str, ...]
    house: str | None

    @property
    def full(self) -> bool:
        return len(self.words) > 1

    @property
    def text(self) -> str:
        return " ".join(self.words)


def author_keys(utterances: Sequence[Utterance]) -> dict[str, str]:
    """Author's key for every utterance's id; the same key, the same author. Keys are names made readable.

    One author are: the same name but for case, points and accents; a name of two words or more with and without a
    company behind it; everyone behind one profile's address; names that begin alike behind one address; the author of
    the post as the page marks them. Nobody's names ("Anonymous") and no name at all are an author each.
    """
    people = _People()
    for utterance in utterances:
        people.add(utterance)
    return people.keys()


def same_url(one: str, other: str) -> bool:
    """Whether two addresses are the same but for scheme, www, trailing slash, case of the host and tracking."""
    return _bare(one) == _bare(other)


class _People:
    """Utterances joined to authors step by step (union-find)."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}
        self._order: list[str] = []
        self._labels: dict[str, str] = {}
        self._names: dict[_Name, list[tuple[str, str | None]]] = defaultdict(list)
        self._urls: dict[str, list[tuple[str, _Name]]] = defaultdict(list)
        self._post_authors: list[str] = []

    def add(self, utterance: Utterance) -> None:
        """Notes an utterance and who is named as its author."""
        key, author = utterance.id, utterance.author
        self._parent[key] = key
        self._order.append(key)
        if "post_author" in utterance.flags:
            self._post_authors.append(key)
        if author is None:
            self._labels[key] = "post author" if "post_author" in utterance.flags else f"author of {key}"
            return
        name, url = _name(author), _bare(author.url) if author.url else None
        nobody = not name.words or name.text in _NOBODY
        self._labels[key] = f"{name.text or author.name} of {key}" if nobody else _label(name)
        if not nobody:
            self._names[name].append((key, url))
        if url:
            self._urls[url].append((key, name))

    def keys(self) -> dict[str, str]:
        """The key of each utterance: the label of the author's first one, numbered where two authors share it."""
        self._join_marked()
        self._join_addresses()
        for entries in self._names.values():
            self._join_name(entries)
        self._join_houses()
        taken: dict[str, int] = defaultdict(int)
        result: dict[str, str] = {}
        named: dict[str, str] = {}
        for key in self._order:
            root = self._root(key)
            if root not in named:
                label = self._labels[key]
                taken[label] += 1
                named[root] = label if taken[label] == 1 else f"{label} ({taken[label]})"
            result[key] = named[root]
        return result

    def _join_marked(self) -> None:
        self._join(self._post_authors)

    def _join_addresses(self) -> None:
        """A profile is one person; a site may be a company's, so there the names must agree."""
        for url, entries in self._urls.items():
            for n, (key, name) in enumerate(entries):
                other = next((k for k, o in entries[:n] if _is_profile(url) or _begin_alike(name, o)), None)
                if other is not None:
                    self._join([other, key])

    def _join_name(self, entries: Sequence[tuple[str, str | None]]) -> None:
        """One name is one person unless addresses speak against it; then who gives none stays alone."""
        groups: list[list[tuple[str, str | None]]] = []
        full = len(self._name_of(entries).words) > 1
        for key, url in entries:
            if url is None:
                continue
            group = next((g for g in groups if all(_may_be_one(url, u or "", full) for _, u in g)), None)
            if group is None:
                groups.append([(key, url)])
            else:
                group.append((key, url))
        without = [key for key, url in entries if url is None]
        for group in groups:
            self._join([key for key, _ in group])
        self._join(without)
        if without and len({self._root(group[0][0]) for group in groups}) == 1:
            self._join([groups[0][0][0], without[0]])

    def _name_of(self, entries: Sequence[tuple[str, str | None]]) -> _Name:
        return next(name for name, listed in self._names.items() if listed is entries)

    def _join_houses(self) -> None:
        """ "Ann B (Brightpot)" is "Ann B", unless there is an "Ann B (Kettleco)" too. "Ann (Leeds)" may be any Ann."""
        by_words: dict[tuple[str, ...], list[_Name]] = defaultdict(list)
        for name in self._names:
            by_words[name.words].append(name)
        for words, names in by_words.items():
            if len(words) < 2 or len(names) != 2 or all(n.house for n in names):
                continue
            entries = [e for n in names for e in self._names[n]]
            urls = [u for _, u in entries if u]
            if all(_may_be_one(urls[0], u, True) for u in urls[1:]):
                self._join([key for key, _ in entries])

    def _join(self, keys: Iterable[str]) -> None:
        first: str | None = None
        for key in keys:
            if first is None:
                first = self._root(key)
            else:
                self._parent[self._root(key)] = first

    def _root(self, key: str) -> str:
        while self._parent[key] != key:
            self._parent[key] = self._parent[self._parent[key]]
            key = self._parent[key]
        return key
