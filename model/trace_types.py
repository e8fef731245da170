"""The words of a trace: pages, links with their evidence, people, stories, and how they become JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from model.types import Band, BundleInfo, Role, ScoredUtterance, Utterance

EdgeKind = Literal["link", "trackback", "retweet", "quote", "copy", "same_author", "mention"]
PlacedBy = Literal["time", "citation", "nothing"]
Openness = Literal["open_customer", "defender"]


@dataclass(frozen=True, slots=True)
class Anchor:
    """A link as the HTML of a page has it: where it leads and the words that carry it."""

    href: str
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """An utterance of a page, or the page as a whole where utterance is None."""

    page: str
    utterance: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """An utterance at work: page counts pages from 0; author: key of its author within the page; time in UTC."""

    page: int
    place: Place
    scored: ScoredUtterance
    author: str
    time: datetime | None

    @property
    def utterance(self) -> Utterance:
        """What was written."""
        return self.scored.utterance


@dataclass(frozen=True, slots=True)
class Edge:
    """A link between two places; where directed, source cites target, so target was there before.

    confidence: in [0, 1] that the link is real. joins: whether it makes both pages one story.
    quote: text[start:end] of the source utterance, where it has words. url: the address that was found.
    detail: what was found, in words.
    """

    kind: EdgeKind
    source: Place
    target: Place
    confidence: float
    joins: bool = True
    directed: bool = True
    quote: str | None = None
    start: int | None = None
    end: int | None = None
    url: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """Words of an utterance: text[start:end] == quote."""

    quote: str
    start: int
    end: int
    place: Place


@dataclass(frozen=True, slots=True)
class Why:
    """A reason in words, with the quote that shows it where there is one."""

    reason: str
    said: Said | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """One author over all pages.

    identity: in [0, 1], how sure it is that all places are the same person, 1 on a single page. reach: harmonic
    centrality, see model.trace_people; None where the story is so large that it was left out. answers: how many other
    people answer or cite this one. negative, neutral, positive: mean sentiment probabilities, None where no text has
    words. openness: in [0, 1], see model.trace_people; priority: openness * log2(2 + reach).
    """

    id: str
    name: str
    role: Role
    identity: float
    pages: tuple[str, ...]
    places: tuple[Place, ...]
    urls: tuple[str, ...]
    reach: float | None
    answers: int
    negative: float | None
    neutral: float | None
    positive: float | None
    band: Band | None
    index: float | None
    repurchase: Mapping[str, float] | None
    wom: Mapping[str, float] | None
    contacted: bool
    openness: float = 0.0
    openness_kind: Openness | None = None
    priority: float = 0.0
    why: tuple[Why, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A thread of the set in figures.

    label: its title, else the beginning of its first text. first, last: the known times of its utterances (UTC).
    """

    id: str
    title: str | None
    label: str
    url: str | None
    brand: str | None
    adapter: str
    utterances: int
    authors: int
    untimed: int
    sentiment: Mapping[str, int]
    first: str | None
    last: str | None
    story: str


@dataclass(frozen=True, slots=True)
class Step:
    """A page in the order of its story, counted from 1; placed_by: what put it there."""

    page: str
    order: int
    time: str | None
    placed_by: PlacedBy


@dataclass(frozen=True, slots=True)
class Day:
    """What was said on one day (UTC): utterances, distinct authors, authors never seen before in this story."""

    date: str
    utterances: int
    authors: int
    new_authors: int
    negative: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """A complaint that spreads. answered: whether a sign of the company was seen.

    seen, not_seen: what was found and what was looked for in vain, in words.
    """

    answered: bool
    seen: tuple[str, ...]
    not_seen: tuple[str, ...]
    quotes: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """Pages that hang together, in order.

    began: page where it began as far as the set shows, certain only with a reason. per_day: utterances and authors a
    day over the span of the known times, None where fewer than two times are known. untimed: utterances without time.
    """

    id: str
    title: str
    steps: tuple[Step, ...]
    utterances: int
    people: tuple[str, ...]
    began: str
    certain: bool
    began_why: str
    days: tuple[Day, ...]
    untimed: int
    utterances_per_day: float | None
    authors_per_day: float | None
    links: Mapping[str, int]
    alarm: Alarm | None


@dataclass(frozen=True, slots=True)
class Trace:
    """What became of a conversation: where it began, where it went, who carries it, whom to contact first.

    contacts: ids of people by falling priority.
    """

    pages: tuple[Page, ...]
    edges: tuple[Edge, ...]
    stories: tuple[Story, ...]
    people: tuple[Person, ...]
    contacts: tuple[str, ...]
    bundle: BundleInfo | None
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """The trace as documented in docs/trace.md, ready for JSON."""
        return asdict(self)
