"""Finds what links one page of a set to another: addresses, linkbacks, retweets, quotes, copies and mentions."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import OSA
from rapidfuzz.fuzz import partial_ratio, ratio

from model.trace_types import Anchor, Edge, Item, Person, Place
from model.types import Thread

JOINS_FROM: Final = 0.5
"""Confidence from which a link makes two pages one story."""
SHINGLE: Final = 5
"""Words in a shingle; a quoted cross-post holds all shingles of its original."""
LEAST_WORDS: Final = 8
"""Shorter texts of different people are often alike by chance ("thank you for your help")."""
LEAST_RUN: Final = 12
"""Words in a row from which a passage in common is a quote even if most of both texts differs."""
CONTAINED: Final = 0.6
"""Share of the shorter text's shingles from which the longer one holds it."""
NEAR: Final = 85.0
"""rapidfuzz ratio, 0 to 100, from which two texts are copies of each other."""
ALL_PAIRS: Final = 8
"""A shingle in more texts than this links them to the first of them only, so that work stays linear."""
MAX_QUOTES: Final = 5
"""The sources that one utterance can quote; the ones with most words in common stay."""
MAX_CANDIDATES: Final = 50
LINKBACKS: Final = frozenset({"pingback", "trackback"})
"""Kinds of utterances that say that another page cites this one; nobody wrote them here."""

_URL: Final = re.compile(r"\bhttps?://[^\s<>\"'\u201c\u201d]+|\bwww\.[^\s<>\"'\u201c\u201d]+", re.IGNORECASE)
_TRACKING: Final = re.compile(
    r"utm_\w+|fbclid|gclid|dclid|msclkid|yclid|twclid|igshid|igsh|mc_[ce]id|_hs\w+|ref|ref_src|ref_url|spm|cmpid|wt_\w+"
    r"|share|sharesource|at_\w+|replytocom|amp",
    re.IGNORECASE,
)
_RETWEET: Final = re.compile(r"(?:^|[\s\"\u201c(|])(RT|MT|via)[\s:]*@(\w{1,30})[:,]?", re.IGNORECASE)
_WORD: Final = re.compile(r"\w+")
_CAPITALS: Final = re.compile(r"\b[^\W\d_a-z][\w'\u2019-]*\.?(?: [^\W\d_a-z][\w'\u2019-]*\.?)+")
_PROPER: Final = re.compile(r"(?<=[a-z,;] )[A-Z][A-Za-z]{2,}")
_NO_COMPANY: Final = re.compile(
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|may|june|july|august|september|october"
    r"|november|december|christmas|easter|english|american|british|japanese|german|french|italian|spanish|dutch"
    r"|chinese|korean|european?|america|africa|asia|london|york|facebook|twitter|google|internet|youtube|linkedin|reddit"
)


# ------------------------------------------------------------------------------------------------------------ addresses


def normalise_url(url: str) -> str | None:
    """An address as it is compared: no scheme, www, port, fragment, tracking parameter, index page or trailing slash.

    None where it isn't an address of the web.
    """
    text = url.strip()
    text = text if re.match(r"[a-z][a-z0-9+.-]*:|//", text, re.IGNORECASE) else f"http://{text}"
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return None
    if parts.scheme not in ("http", "https", "") or "." not in host:
        return None
    host = re.sub(r"^(?:www\d?|m|mobile|amp)\.(?=[^.]+\.)", "", host)
    path = re.sub(r"/(?:index|default)\.(?:html?|php|aspx?)$|/amp/?$", "", parts.path).rstrip("/")
    kept = sorted((k, v) for k, v in parse_qsl(parts.query) if not _TRACKING.fullmatch(k))
    return host + path + (f"?{urlencode(kept)}" if kept else "")


def urls_in(text: str) -> Iterator[tuple[str, int, int]]:
    """Addresses in a text with their offsets."""
    for found in _URL.finditer(text):
        url = found[0].rstrip(".,;:!?'\u2019\u2026*")
        if url.endswith(")") and "(" not in url:
            url = url.rstrip(").,;:!?")
        yield url, found.start(), found.start() + len(url)


class Addresses:
    """Which page of the set an address leads to."""

    def __init__(self, threads: Sequence[Thread], ids: Sequence[str]) -> None:
        self.pages: dict[str, int] = {}
        self.shared: list[str] = []
        self._ids = ids
        self._utterances = [{u.id for u in t.utterances} for t in threads]
        for number, thread in enumerate(threads):
            url = normalise_url(thread.url) if thread.url else None
            if url is not None and self.pages.setdefault(url, number) != number:
                self.shared.append(f"{ids[number]} and {ids[self.pages[url]]} state the same address, {thread.url}")

    def find(self, url: str) -> tuple[int, Place] | None:
        """Number of the page and the place that the address names, which may be a comment of it."""
        normal = normalise_url(url)
        number = self.pages.get(normal) if normal else None
        if number is None:
            return None
        fragment = url.partition("#")[2]
        tail = re.search(r"\d+$", fragment)
        known = self._utterances[number]
        named = next(
            (f for f in (fragment, tail[0] if tail else "", f"comment-{tail and tail[0]}") if f in known), None
        )
        return number, Place(self._ids[number], named)


def address_links(items: Sequence[Item], addresses: Addresses) -> Iterator[Edge]:
    """Links by addresses in texts, by links of authors, and by the linkbacks that blogs leave."""
    for item in items:
        utterance = item.utterance
        linkback = utterance.kind in LINKBACKS
        if utterance.author and utterance.author.url and (found := addresses.find(utterance.author.url)):
            number, place = found
            if number != item.page and linkback:
                # The linkback stands on the page that is cited, and names the page that cites it.
                yield Edge(
                    "trackback", place, Place(item.place.page), 0.95, url=utterance.author.url, detail="linkback"
                )
            elif number != item.page:
                yield Edge("link", item.place, place, 0.7, url=utterance.author.url, detail="the author's link")
        for url, start, end in urls_in(utterance.text):
            if (found := addresses.find(url)) and found[0] != item.page:
                if linkback:
                    yield Edge("trackback", found[1], Place(item.place.page), 0.9, url=url, detail="linkback")
                else:
                    yield Edge("link", item.place, found[1], 0.98, True, True, url, start, end, url)


def anchor_links(
    anchors: Sequence[Sequence[Anchor]], items: Sequence[Item], addresses: Addresses, ids: Sequence[str]
) -> Iterator[Edge]:
    """Links in the HTML of pages, which the texts show only as words; those outside of any text count little."""
    by_page: defaultdict[int, list[Item]] = defaultdict(list)
    for item in items:
        by_page[item.page].append(item)
    # What a linkback links to cites this page; address_links has seen to it.
    cited_by = {
        normalise_url(i.utterance.author.url)
        for i in items
        if i.utterance.kind in LINKBACKS and i.utterance.author and i.utterance.author.url
    }
    for number, links in enumerate(anchors):
        for anchor in links:
            found = addresses.find(anchor.href)
            if found is None or found[0] == number or normalise_url(anchor.href) in cited_by:
                continue
            words = r"\s+".join(re.escape(w) for w in anchor.text.split())
            standing = [
                (i, m)
                for i in by_page[number]
                if words
                for m in re.finditer(rf"(?<!\w){words}(?!\w)", i.utterance.text)
            ]
            if len(standing) == 1:
                item, at = standing[0]
                yield Edge("link", item.place, found[1], 0.9, True, True, at[0], at.start(), at.end(), anchor.href)
            else:
                where = "a link of the page, perhaps of its navigation"
                yield Edge("link", Place(ids[number]), found[1], 0.4, False, url=anchor.href, detail=where)


# ------------------------------------------------------------------------------------------------------------- retweets


def handles(item: Item) -> Iterator[str]:
    """Names by which tweets may call the author of an utterance, in lower case and without @."""
    author = item.utterance.author
    if author is None:
        return
    if " " not in author.name.strip():
        yield author.name.strip().lstrip("@").casefold()
    url = normalise_url(author.url) if author.url else None
    if url and (match := re.match(r"(?:twitter|x)\.com/(\w+)", url)):
        yield match[1].casefold()


def retweet_links(items: Sequence[Item]) -> Iterator[Edge]:
    """Retweets ("RT @name: ...") linked to the tweet of that name which says it, or to the name's only page."""
    by_handle: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        for handle in set(handles(item)):
            by_handle[handle].append(item)
    for item in items:
        for found in _RETWEET.finditer(item.utterance.text):
            others = [o for o in by_handle.get(found[2].casefold(), ()) if o.page != item.page][:MAX_CANDIDATES]
            if others:
                text = item.utterance.text
                repeated = text[: found.start()] if found[1].lower() == "via" else text[found.end() :]
                yield from _retweet(item, repeated.strip(), found, others)
                break


def _retweet(item: Item, repeated: str, found: re.Match[str], others: Sequence[Item]) -> Iterator[Edge]:
    likeness, best = max(
        ((partial_ratio(repeated.casefold(), o.utterance.text.casefold()), o) for o in others), key=lambda pair: pair[0]
    )
    start, end = found.start(1), found.end()
    quote = item.utterance.text[start:end]
    if len(repeated) >= 12 and likeness >= NEAR:
        yield Edge("retweet", item.place, best.place, min(0.98, likeness / 100), True, True, quote, start, end)
    elif len({o.page for o in others}) == 1:
        detail = "the words that are passed on are not in the set"
        page = Place(others[0].place.page)
        yield Edge("retweet", item.place, page, 0.4, False, True, quote, start, end, detail=detail)


# ------------------------------------------------------------------------------------------------------- text in common


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def text_links(items: Sequence[Item]) -> list[Edge]:
    """Quotes and copies between pages. items must be sorted by time, those without one last."""
    texts = [_words(i.utterance.text) for i in items]
    edges: list[Edge] = []
    firsts: list[int] = []
    groups: dict[tuple[str, ...], int] = {}
    for number, words in enumerate(texts):
        if len(words) < LEAST_WORDS:
            continue
        first = groups.setdefault(tuple(words), number)
        if first == number:
            firsts.append(number)
        elif items[first].page != items[number].page and not _both_company(items[first], items[number]):
            edges.append(_copy(items[first], items[number], 1.0))
    found: defaultdict[Place, list[tuple[int, Edge]]] = defaultdict(list)
    for one, other, shared in _candidates([texts[n] for n in firsts], [items[n].page for n in firsts]):
        a, b = firsts[one], firsts[other]
        edge = None if _both_company(items[a], items[b]) else _compared(items[a], items[b], texts[a], texts[b])
        if edge is not None:
            found[edge.source].append((shared, edge))
    for several in found.values():
        best = sorted(several, key=lambda pair: -pair[0])
        edges += [e for _, e in best if e.kind == "copy"][:1] + [e for _, e in best if e.kind == "quote"][:MAX_QUOTES]
    return edges


def _both_company(one: Item, other: Item) -> bool:
    """Whether a company says the same again: answers from a template are no spread of anything."""
    return one.scored.role == "company" and other.scored.role == "company"


def _candidates(texts: Sequence[Sequence[str]], pages: Sequence[int]) -> list[tuple[int, int, int]]:
    """Pairs of texts of different pages with the number of shingles that both hold, at least LEAST_WORDS - 4."""
    hashes, owners = _shingles(texts)
    if not len(hashes):
        return []
    order = np.lexsort((owners, hashes))
    hashes, owners = hashes[order], owners[order]
    fresh = np.ones(len(hashes), dtype=bool)
    fresh[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
    hashes, owners = hashes[fresh], owners[fresh]
    starts = np.flatnonzero(np.concatenate(([True], hashes[1:] != hashes[:-1])))
    sizes = np.diff(np.append(starts, len(hashes)))
    of_page = np.asarray(pages, dtype=np.int64)
    keys: list[NDArray[np.int64]] = []
    for left, right in _pairs(owners, starts, sizes):
        apart = of_page[left] != of_page[right]
        keys.append(left[apart] * len(texts) + right[apart])
    pairs, counts = np.unique(np.concatenate(keys), return_counts=True) if keys else (np.empty(0), np.empty(0))
    enough = counts >= LEAST_WORDS - SHINGLE + 1
    return [
        (int(p) // len(texts), int(p) % len(texts), int(c)) for p, c in zip(pairs[enough], counts[enough], strict=True)
    ]


def _pairs(
    owners: NDArray[np.int64], starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    for size in range(2, ALL_PAIRS + 1):
        runs = starts[sizes == size]
        for left in range(size - 1):
            for right in range(left + 1, size):
                yield owners[runs + left], owners[runs + right]
    for start, size in zip(starts[sizes > ALL_PAIRS], sizes[sizes > ALL_PAIRS], strict=True):
        yield np.full(size - 1, owners[start]), owners[start + 1 : start + size]


def _shingles(texts: Sequence[Sequence[str]]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """A 64-bit hash of every shingle and the number of its text; *Shape:* (n_shingles,) both."""
    vocabulary: dict[str, int] = {}
    ids = np.fromiter((vocabulary.setdefault(w, len(vocabulary)) for t in texts for w in t), dtype=np.uint64)
    owners = np.repeat(np.arange(len(texts), dtype=np.int64), [len(t) for t in texts])
    mixed = (ids + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    count = max(len(ids) - SHINGLE + 1, 0)
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(SHINGLE):
        hashes = hashes * np.uint64(0xBF58476D1CE4E5B9) + mixed[offset : offset + count]
    whole = owners[:count] == owners[SHINGLE - 1 :] if count else np.zeros(0, dtype=bool)
    return hashes[whole], owners[:count][whole]


def _compared(one: Item, other: Item, words: Sequence[str], other_words: Sequence[str]) -> Edge | None:
    """The edge between two texts that share shingles, None where they share too little."""
    shingles, others = _shingle_set(words), _shingle_set(other_words)
    common = shingles & others
    contained = len(common) / min(len(shingles), len(others))
    short, long = sorted((len(words), len(other_words)))
    quoting = "quote" in (one.utterance.kind, other.utterance.kind)
    if not quoting and short / long >= CONTAINED and contained >= 0.4:
        likeness = ratio(" ".join(words), " ".join(other_words), score_cutoff=NEAR)
        if likeness:
            return _copy(one, other, likeness / 100)
    source, target = _quoting(one, other, len(words), len(other_words))
    start, end, run = _longest(source.utterance.text, common)
    if contained < CONTAINED and run < LEAST_RUN:
        return None
    by_share, by_run = contained if contained >= CONTAINED else 0.0, min(0.95, run / 20)
    confidence = max(by_share, by_run)
    pieces = f"{100 * contained:.0f} % of the shorter text's {SHINGLE}-word pieces stand in the other"
    detail = pieces if by_share >= by_run else f"{run} words in a row"
    quote = source.utterance.text[start:end]
    return _within("quote", source, target, confidence, quote, start, detail)


def _within(kind: str, source: Item, target: Item, confidence: float, quote: str, start: int, detail: str) -> Edge:
    return Edge(
        "quote" if kind == "quote" else "copy",
        source.place,
        target.place,
        round(confidence, 3),
        confidence >= JOINS_FROM,
        True,
        quote,
        start,
        start + len(quote),
        None,
        detail,
    )


def _copy(earlier: Item, later: Item, likeness: float) -> Edge:
    """A copy; earlier comes first where both times are known, else nobody knows who copied."""
    quote = later.utterance.text[:160]
    detail = "the same text" if likeness == 1 else f"{100 * likeness:.0f} of 100 alike"
    edge = _within("copy", later, earlier, likeness, quote, 0, detail)
    known = earlier.time is not None and later.time is not None and earlier.time != later.time
    return replace(edge, directed=known)


def _quoting(one: Item, other: Item, size: int, other_size: int) -> tuple[Item, Item]:
    """Who quotes whom: a retweet, what the page shows as a quote, else the later text, else the longer one."""
    passed_on = [_RETWEET.search(i.utterance.text[:80]) is not None for i in (one, other)]
    if passed_on[0] != passed_on[1]:
        return (one, other) if passed_on[0] else (other, one)
    kinds = [one.utterance.kind == "quote", other.utterance.kind == "quote"]
    if kinds[0] != kinds[1]:
        return (one, other) if kinds[0] else (other, one)
    if one.time and other.time and one.time != other.time:
        return (one, other) if one.time > other.time else (other, one)
    return (one, other) if size > other_size else (other, one)


def _shingle_set(words: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(words[n : n + SHINGLE]) for n in range(len(words) - SHINGLE + 1)}


def _longest(text: str, common: set[tuple[str, ...]]) -> tuple[int, int, int]:
    """Start, end and number of words of the longest passage of text whose shingles are all in common."""
    spans: list[tuple[int, int]] = []
    words: list[str] = []
    for found in _WORD.finditer(text):
        # One character may become several words or letters by normalising; the offsets stay those of the text.
        for word in _words(found[0]):
            words.append(word)
            spans.append(found.span())
    best, run = (0, 0, 0), 0
    for n in range(len(words) - SHINGLE + 1):
        run = run + 1 if tuple(words[n : n + SHINGLE]) in common else 0
        if run and run + SHINGLE - 1 > best[2]:
            best = (spans[n - run + 1][0], spans[n + SHINGLE - 1][1], run + SHINGLE - 1)
    return best


# ------------------------------------------------------------------------------------------------------------- mentions


class Companies:
    """Whether two pages are about the same company: by the brand given, else by a rare name that both use."""

    def __init__(self, threads: Sequence[Thread], items: Sequence[Item], people: Iterable[str]) -> None:
        self._brands = [t.brand.casefold() if t.brand else None for t in threads]
        self._names: list[set[str]] = [set() for _ in threads]
        self._spelt: dict[str, str] = {}
        for item in items:
            for word in _PROPER.findall(item.utterance.text):
                self._names[item.page].add(word.casefold())
                self._spelt.setdefault(word.casefold(), word)
        spread = Counter(name for names in self._names for name in names)
        common = max(5, len(threads) // 20)
        persons = {word for name in people for word in name.casefold().split()}
        for names in self._names:
            names -= persons | {n for n in names if spread[n] > common or _NO_COMPANY.fullmatch(n)}

    def same(self, one: int, other: int) -> tuple[float, str] | None:
        """How sure it is, in [0, 1], and why; None where nothing says so."""
        brands = self._brands[one], self._brands[other]
        if all(brands):
            return (1.0, "the same company") if brands[0] == brands[1] else None
        shared = sorted(self._names[one] & self._names[other])
        return (0.7, f"both name {', '.join(self._spelt[n] for n in shared[:3])}") if shared else None


def mention_links(
    items: Sequence[Item],
    people: Sequence[Person],
    author_of: Mapping[Place, str],
    numbers: Mapping[str, int],
    companies: Companies,
    failures: Sequence[bool],
) -> Iterator[Edge]:
    """Weak links: a text names somebody who writes on another page about a failure of the same company.

    author_of: id of the person who wrote at a place. numbers: of pages by id. failures: whether a failure is told, by
    page. A name may be misspelt by one letter; bare first names are never followed.
    """
    named: defaultdict[str, list[Person]] = defaultdict(list)
    for person in people:
        words = person.name.casefold().split()
        if len(words) > 1 and person.role not in ("company", "spam"):
            named[words[0]].append(person)
    seen: set[tuple[str, str, str]] = set()
    for item in items:
        for name, begin in _names(item.utterance.text):
            for person in named.get(name.split()[0].casefold(), ())[:MAX_CANDIDATES]:
                exact = person.name.casefold() == name.casefold()
                near = exact or (len(name) >= 8 and OSA.distance(person.name.casefold(), name.casefold()) <= 1)
                if not near or author_of.get(item.place) == person.id:
                    continue
                for page in person.pages:
                    key = (item.place.page, page, person.id)
                    other = numbers[page]
                    same = companies.same(item.page, other) if other != item.page and key not in seen else None
                    if same is None or not (failures[item.page] or failures[other]):
                        continue
                    seen.add(key)
                    spelt = "" if exact else f", spelt {name}"
                    yield Edge(
                        "mention",
                        item.place,
                        next((p for p in person.places if p.page == page), Place(page)),
                        round((0.45 if exact else 0.35) * same[0], 3),
                        False,
                        True,
                        name,
                        begin,
                        begin + len(name),
                        detail=f"names {person.name}{spelt}; {same[1]}",
                    )


def _names(text: str) -> Iterator[tuple[str, int]]:
    """Two or three capitalised words in a row, as they may be a name, with the offset; without a genitive s."""
    for run in _CAPITALS.finditer(text):
        parts = list(re.finditer(r"\S+", run[0]))[:MAX_CANDIDATES]
        for n, size in ((n, size) for n in range(len(parts) - 1) for size in (2, 3)):
            if n + size <= len(parts):
                name = run[0][parts[n].start() : parts[n + size - 1].end()]
                yield re.sub(r"['\u2019]s$|[.'\u2019]+$", "", name), run.start() + parts[n].start()
