"""A trace as one HTML page that stands alone: stories drawn as graphs, their time line, people and warnings."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

import networkx as nx

from model.trace_types import Alarm, Day, Edge, EdgeKind, Page, Person, Place, Said, Step, Story, Trace
from model.types import Report, ScoredUtterance
from service.page import HERE, SENTIMENT_BARS, Segment, environment, in_words, policy, segments, tone, when
from service.present import count, threaded

SEED: Final = 7
"""Of the layout: the same trace always gives the same drawing."""
DRAWN_STORIES: Final = 8
DRAWN_PAGES: Final = 36
DRAWN_DOTS: Final = 44
"""Utterances of one page that are drawn as dots; the rest is a number."""
DRAWN_LINKS: Final = 250
LISTED_PEOPLE: Final = 40
LISTED_CONTACTS: Final = 8
LISTED_LINKS: Final = 200
LISTED_SINGLES: Final = 100
LISTED_PAGES: Final = 150
LISTED_STORIES: Final = 60
NAMED_PAGES: Final = 12
"""A story of more pages is drawn with their numbers alone; titles are in the table."""
NAMED_PEOPLE: Final = 6
HUB: Final = 15.0
DOT: Final = 5.0

KINDS: Final[dict[EdgeKind, str]] = {
    "trackback": "linkback",
    "link": "link",
    "retweet": "retweet",
    "quote": "quote",
    "copy": "copy",
    "same_author": "same author",
    "mention": "mention by name",
}
PLACED: Final = {
    "time": "by its time",
    "citation": "by who cites whom",
    "nothing": "not known, as given",
}


@dataclass(frozen=True, slots=True)
class Dot:
    """An utterance in the drawing; label: what a pointer shows."""

    x: float
    y: float
    tone: str
    label: str
    chosen: bool
    parent_x: float
    parent_y: float


@dataclass(frozen=True, slots=True)
class Hub:
    """A page in the drawing: its label in the story, its dots, and how many more were not drawn."""

    x: float
    y: float
    r: float
    label: str
    title: str
    note: str
    dots: tuple[Dot, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Curve:
    """A link in the drawing as an SVG path, from what was cited to who cites it."""

    path: str
    kind: str
    label: str
    directed: bool


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a person beside their dot."""

    x: float
    y: float
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A story as a picture; box: the viewBox."""

    box: str
    scale: float
    hubs: tuple[Hub, ...]
    curves: tuple[Curve, ...]
    names: tuple[Name, ...]
    kinds: tuple[tuple[str, str], ...]
    omitted: int
    alternative: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the time line, all in units of its drawing: x, width, and heights from the ground."""

    x: float
    width: float
    other: float
    negative: float
    people: float
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """The time line: bars, marks of pages (x, label), dates along the axis (x, text, anchor)."""

    bars: tuple[Bar, ...]
    marks: tuple[tuple[float, str], ...]
    ticks: tuple[tuple[float, str, str], ...]
    unit: str
    top: int
    top_people: int


@dataclass(frozen=True, slots=True)
class Row:
    """A page in the table of its story."""

    step: Step
    page: Page
    when: str | None
    placed: str
    bar: tuple[Segment, ...]
    cites: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Link:
    """An edge in words."""

    edge: Edge
    kind: str
    source_author: str
    target_author: str


@dataclass(frozen=True, slots=True)
class Told:
    """A story as shown."""

    story: Story
    title: str
    drawing: Drawing | None
    line: Line | None
    rows: tuple[Row, ...]
    more_rows: int
    links: tuple[Link, ...]
    more_links: int
    began: str
    growth: str


@dataclass(frozen=True, slots=True)
class Quoted:
    """A quote with the page where it stands, and its author."""

    said: Said
    author: str


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody to contact; place: their rank, share: reach as per cent of the farthest reach."""

    rank: int
    person: Person
    kind: str
    share: float
    stance: tuple[Segment, ...]
    reasons: tuple[tuple[str, Quoted | None], ...]


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning as shown."""

    story: Story
    title: str
    alarm: Alarm
    quotes: tuple[Quoted, ...]


def render(found: Trace, reports: Sequence[Report]) -> str:
    """The page of a trace; reports: those that it was made of, in the same order."""
    css = "\n".join((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "trace.css"))
    teller = _Drawer(found, reports)
    several = [s for s in found.stories if len(s.steps) > 1]
    shown = several[:DRAWN_STORIES] or list(found.stories[:1])
    singles = [s for s in found.stories if len(s.steps) == 1 and s not in shown]
    listed = {
        step.page
        for story in (*shown, *several[DRAWN_STORIES:][:LISTED_STORIES], *singles[:LISTED_SINGLES])
        for step in story.steps[:LISTED_PAGES]
    }
    warned = sorted((s for s in found.stories if s.alarm), key=lambda s: s.alarm is not None and s.alarm.answered)
    contacts = [teller.contact(n, teller.people[i]) for n, i in enumerate(found.contacts[:LISTED_CONTACTS], start=1)]
    page = (
        environment()
        .get_template("trace.html")
        .render(
            css=css,
            policy=policy(css),
            trace=found,
            title=_title(found, several),
            figures=_figures(found, several),
            warned=[teller.warned(s) for s in warned],
            contacts=contacts,
            told=[teller.told(s) for s in shown],
            more_stories=several[DRAWN_STORIES:][:LISTED_STORIES],
            unlisted_stories=max(0, len(several) - DRAWN_STORIES - LISTED_STORIES),
            listed=listed,
            singles=singles[:LISTED_SINGLES],
            more_singles=max(0, len(singles) - LISTED_SINGLES),
            people=found.people[:LISTED_PEOPLE],
            homes=teller.homes,
            titles=teller.titles,
            labels=teller.labels,
            kinds=KINDS,
        )
    )
    return page.encode("utf-8", "replace").decode("utf-8")


def _title(found: Trace, several: Sequence[Story]) -> str:
    if len(several) == 1:
        return several[0].title
    if several:
        return f"{count(len(several), 'story', 'stories')} over several pages"
    return f"{count(len(found.pages), 'page')}, nothing that links them"


def _figures(found: Trace, several: Sequence[Story]) -> tuple[tuple[str, int], ...]:
    return (
        ("pages", len(found.pages)),
        ("utterances", sum(p.utterances for p in found.pages)),
        ("people", len(found.people)),
        ("stories over several pages", len(several)),
        ("links", len(found.edges)),
    )


def _label(stories: Sequence[Story], number: int, step: Step) -> str:
    """A page's number in its story, with a letter where there are several stories; empty for a lone page."""
    if len(stories[number].steps) == 1:
        return ""
    several = sum(len(s.steps) > 1 for s in stories) > 1
    letters = chr(65 + number % 26) * (number // 26 + 1) if several else ""
    return f"{letters}{step.order}"


class _Drawer:
    """Makes the parts of the page; knows pages, people and texts by their ids."""

    def __init__(self, found: Trace, reports: Sequence[Report]) -> None:
        self.found = found
        self.pages = {p.id: p for p in found.pages}
        self.titles = {p.id: p.label for p in found.pages}
        self.people = {p.id: p for p in found.people}
        self.reports = dict(zip((p.id for p in found.pages), reports, strict=True))
        self.homes = {step.page: (s.id, step.order) for s in found.stories for step in s.steps}
        self.labels = {
            step.page: _label(found.stories, n, step) for n, s in enumerate(found.stories) for step in s.steps
        }
        self._author = {place: p for p in found.people for place in p.places}
        self._edges: defaultdict[str, list[Edge]] = defaultdict(list)
        for edge in found.edges:
            if self.homes[edge.source.page][0] == self.homes[edge.target.page][0]:
                self._edges[self.homes[edge.source.page][0]].append(self._later_first(edge))
        self._farthest = max((p.reach or 0 for p in found.people), default=0) or 1

    def _later_first(self, edge: Edge) -> Edge:
        """An edge between appearances of one person, turned so that the later page is its source."""
        if edge.kind == "same_author" and self.homes[edge.source.page][1] < self.homes[edge.target.page][1]:
            return replace(edge, source=edge.target, target=edge.source)
        return edge

    def author(self, place: Place) -> str:
        """Who wrote at a place, in words."""
        person = self._author.get(place)
        if person:
            return person.name
        return "the page" if place.utterance is None else "a quote"

    def quoted(self, said: Said) -> Quoted:
        """A quote with where it stands."""
        return Quoted(said, self.author(said.place))

    def warned(self, story: Story) -> Warned:
        """The warning of a story that has one."""
        alarm = story.alarm or Alarm(True, (), (), ())
        return Warned(story, story.title, alarm, tuple(self.quoted(s) for s in alarm.quotes))

    def contact(self, rank: int, person: Person) -> Contact:
        """A person of the list of contacts."""
        shares = {
            k: v or 0.0 for k, v in zip(SENTIMENT_BARS, (person.negative, person.neutral, person.positive), strict=True)
        }
        return Contact(
            rank=rank,
            person=person,
            kind="movable customer" if person.openness_kind == "open_customer" else "defends the company",
            share=100 * (person.reach or 0) / self._farthest,
            stance=segments(shares, SENTIMENT_BARS),
            reasons=tuple((w.reason, self.quoted(w.said) if w.said else None) for w in person.why),
        )

    def told(self, story: Story) -> Told:
        """A story with its drawing, time line and tables."""
        edges = self._edges[story.id]
        links = [
            Link(e, KINDS[e.kind], self.author(e.source), self.author(e.target))
            for e in sorted(edges, key=lambda e: (e.kind in ("same_author", "mention"), -e.confidence))
        ]
        return Told(
            story=story,
            title=story.title,
            drawing=self._drawing(story, edges),
            line=_time_line(story, self.labels),
            rows=tuple(self._row(step, edges) for step in story.steps[:LISTED_PAGES]),
            more_rows=max(0, len(story.steps) - LISTED_PAGES),
            links=tuple(links[:LISTED_LINKS]),
            more_links=max(0, len(links) - LISTED_LINKS),
            began=self.titles[story.began],
            growth=_growth(story),
        )

    def _row(self, step: Step, edges: Sequence[Edge]) -> Row:
        page = self.pages[step.page]
        cited = {
            (self.homes[e.target.page][1], e.target.page, KINDS[e.kind])
            for e in edges
            if e.directed and e.source.page == step.page
        }
        cites = [(page, kind) for _, page, kind in sorted(cited)]
        return Row(
            step, page, when(step.time), PLACED[step.placed_by], segments(page.sentiment, SENTIMENT_BARS), tuple(cites)
        )

    # ------------------------------------------------------------------------------------------------------- drawing

    def _drawing(self, story: Story, edges: Sequence[Edge]) -> Drawing:
        steps = _drawn(story.steps, edges)
        named = len(steps) <= NAMED_PAGES
        trees = {s.page: self._tree(s.page, DRAWN_DOTS if named else 0) for s in steps}
        radii = {
            page: max((math.hypot(d.x, d.y) for d in dots), default=HUB) + DOT for page, (dots, _) in trees.items()
        }
        space = {page: max(r + (50 if named else 22), 104 if named else 0) for page, r in radii.items()}
        centres = layout([s.page for s in steps], edges, space)
        hubs, spots = [], {}
        for step in steps:
            x, y = centres[step.page]
            dots, more = trees[step.page]
            moved = tuple(_moved(d, x, y) for d in dots)
            spots.update({d.place: (m.x, m.y) for d, m in zip(dots, moved, strict=True)})
            spots[Place(step.page)] = (x, y)
            title = _shortened(self.titles[step.page], 26) if named else ""
            note = (when(step.time and step.time[:10]) or "time unknown") if named else ""
            hubs.append(Hub(x, y, radii[step.page], self.labels[step.page], title, note, moved, more))
        curves = tuple(self._curves(edges, spots, centres))
        kinds = [k for k in KINDS if any(c.kind == k for c in curves)]
        names = tuple(self._names(story, spots, centres))
        box, scale = _box(hubs, names, named)
        return Drawing(
            box=box,
            scale=scale,
            hubs=tuple(hubs),
            curves=curves,
            names=names,
            kinds=tuple((k, KINDS[k]) for k in kinds),
            omitted=len(story.steps) - len(steps),
            alternative=_alternative(story, self.titles),
        )

    def _tree(self, page: str, most: int) -> tuple[list["_Spot"], int]:
        """At most so many utterances of a page around its middle, replies farther out; how many were left out."""
        report = self.reports[page]
        placed = threaded(report)
        posts = [p for p in placed if p.scored.utterance.kind == "post"] or (placed if len(placed) == 1 else [])
        head = posts[0].scored.utterance.id if posts else None
        around = [p for p in placed if p.scored.utterance.id != head]
        drawn = around[:most]
        spots = [_Spot(Place(page, head), 0.0, 0.0, 0.0, 0.0, self._scored(report, head), True)] if head else []
        ring = max(40.0, len(drawn) * 13 / (2 * math.pi))
        at: dict[str, tuple[float, float]] = {}
        for number, one in enumerate(drawn):
            deep = one.depth - (1 if head else 0)
            radius = ring + 19 * max(0, min(deep, 3))
            angle = 2 * math.pi * (number + 0.5) / len(drawn) - math.pi / 2
            x, y = radius * math.cos(angle), radius * math.sin(angle)
            parent = at.get(one.parent.utterance.id, (0.0, 0.0)) if one.parent else (0.0, 0.0)
            at[one.scored.utterance.id] = (x, y)
            spots.append(_Spot(Place(page, one.scored.utterance.id), x, y, *parent, one.scored, False))
        return spots, len(around) - len(drawn)

    def _scored(self, report: Report, name: str | None) -> ScoredUtterance:
        return next(s for s in report.utterances if s.utterance.id == name)

    def _curves(
        self,
        edges: Sequence[Edge],
        spots: Mapping[Place, tuple[float, float]],
        centres: Mapping[str, tuple[float, float]],
    ) -> Iterator[Curve]:
        order = {kind: n for n, kind in enumerate(KINDS)}
        drawn = [e for e in edges if e.source.page in centres and e.target.page in centres]
        best = sorted(drawn, key=lambda e: (order[e.kind], -e.confidence))
        ends: dict[tuple[tuple[float, float], tuple[float, float]], Edge] = {}
        for edge in best:
            start, end = (spots.get(p) or centres[p.page] for p in (edge.target, edge.source))
            ends.setdefault((start, end), edge)
        for number, ((start, end), edge) in enumerate(reversed(list(ends.items())[:DRAWN_LINKS])):
            label = f"{KINDS[edge.kind]}: {self.author(edge.target)} to {self.author(edge.source)}"
            sizes = [HUB if p in centres.values() else DOT for p in (start, end)]
            yield Curve(_curve(start, end, sizes, number), edge.kind, label, edge.directed)

    def _names(
        self, story: Story, spots: Mapping[Place, tuple[float, float]], centres: Mapping[str, tuple[float, float]]
    ) -> Iterator[Name]:
        """Names of the first people at the ends of links, beside their dots; authors of posts have the page's title."""
        heads, seen = set(centres.values()), set()
        strong = [e for e in self._edges[story.id] if e.kind != "mention"]
        for place in (p for e in strong for p in (e.target, e.source)):
            person = self._author.get(place)
            if person is None or person.id in seen or place not in spots or spots[place] in heads:
                continue
            seen.add(person.id)
            x, y = spots[place]
            left = x < centres[place.page][0]
            yield Name(x + (-9 if left else 9), y + 4, _shortened(person.name, 22), "end" if left else "start")
            if len(seen) == NAMED_PEOPLE:
                return


@dataclass(frozen=True, slots=True)
class _Spot:
    """An utterance relative to the middle of its page; head: it is the post, which the hub itself stands for."""

    place: Place
    x: float
    y: float
    parent_x: float
    parent_y: float
    scored: ScoredUtterance
    head: bool


def _drawn(steps: Sequence[Step], edges: Sequence[Edge]) -> list[Step]:
    """The pages to draw, in order: the first, then again and again the most linked one that hangs on those drawn."""
    if len(steps) <= DRAWN_PAGES:
        return list(steps)
    near: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for edge in edges:
        near[edge.source.page][edge.target.page] += edge.joins
        near[edge.target.page][edge.source.page] += edge.joins
    weight = {s.page: (sum(near[s.page].values()), -s.order) for s in steps}
    chosen = {steps[0].page}
    while len(chosen) < DRAWN_PAGES:
        hanging = {p for page in chosen for p, n in near[page].items() if n} - chosen
        chosen.add(max(hanging or weight.keys() - chosen, key=weight.__getitem__))
    return [s for s in steps if s.page in chosen]


def _moved(spot: _Spot, x: float, y: float) -> Dot:
    utterance = spot.scored.utterance
    who = utterance.author.name if utterance.author else "unnamed"
    words = _shortened(" ".join(utterance.text.split()), 140)
    label = f"{who}, {spot.scored.role}, {in_words(spot.scored.sentiment)}: {words}"
    return Dot(
        x + spot.x, y + spot.y, tone(spot.scored.sentiment), label, spot.head, x + spot.parent_x, y + spot.parent_y
    )


def layout(pages: Sequence[str], edges: Sequence[Edge], space: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Middles of pages, the first one to the left, at least space[page] around each free.

    From left to right: how many links a page is away from the first. Up and down: networkx's spring layout with a fixed
    seed, started in that order. Pages that overlap are then pushed apart.
    """
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(pages)
    graph.add_edges_from(
        (e.source.page, e.target.page) for e in edges if e.source.page in space and e.target.page in space
    )
    away = nx.single_source_shortest_path_length(graph, pages[0])
    farthest = max(away.values())
    level = {p: away.get(p, farthest + 1) for p in pages}
    start = {p: (level[p], 0.35 * math.sin(2.4 * n)) for n, p in enumerate(pages)}
    found = nx.spring_layout(graph, pos=start, seed=SEED, iterations=60, k=1.6 / math.sqrt(len(pages)))
    step = 2.5 * max(space.values())
    high = sum(space.values()) / math.sqrt(len(pages))
    at = {p: [step * level[p] + 0.2 * step * float(found[p][0]), high * float(found[p][1])] for p in pages}
    _push_apart(at, space)
    return {p: (round(x, 1), round(y, 1)) for p, (x, y) in at.items()}


def _push_apart(at: dict[str, list[float]], space: Mapping[str, float]) -> None:
    """Moves every two pages that are too close away from each other, many times over."""
    names = list(at)
    for _ in range(200):
        moved = False
        for n, one in enumerate(names):
            for other in names[n + 1 :]:
                dx, dy = at[other][0] - at[one][0], at[other][1] - at[one][1]
                apart = math.hypot(dx, dy) or 1e-3
                missing = space[one] + space[other] - apart
                if missing > 0.5:
                    moved = True
                    ux, uy = (dx / apart, dy / apart) if apart > 1e-2 else (1.0, 0.0)
                    for name, sign in ((one, -1), (other, 1)):
                        at[name][0] += sign * ux * missing / 2
                        at[name][1] += sign * uy * missing / 2
        if not moved:
            return


def _curve(start: tuple[float, float], end: tuple[float, float], sizes: Sequence[float], number: int) -> str:
    """A bent line between two circles; lines between the same two bend a little differently."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy) or 1.0
    bend = (0.12 + 0.05 * (number % 3)) * length
    bx, by = (start[0] + end[0]) / 2 + dy / length * bend, (start[1] + end[1]) / 2 - dx / length * bend
    (x1, y1), (x2, y2) = _towards(start, (bx, by), sizes[0] + 2), _towards(end, (bx, by), sizes[1] + 7)
    return f"M{x1:.1f} {y1:.1f}Q{bx:.1f} {by:.1f} {x2:.1f} {y2:.1f}"


def _towards(point: tuple[float, float], aim: tuple[float, float], by: float) -> tuple[float, float]:
    dx, dy = aim[0] - point[0], aim[1] - point[1]
    length = math.hypot(dx, dy) or 1.0
    return point[0] + dx / length * by, point[1] + dy / length * by


def _box(hubs: Sequence[Hub], names: Sequence[Name], named: bool) -> tuple[str, float]:
    """The viewBox around everything, and how many of its units are one pixel at full width."""
    side = 110 if named else 24
    widths = [(n.x, 7.5 * len(n.text) * (-1 if n.anchor == "end" else 1)) for n in names]
    left = min([h.x - max(h.r + 24, side) for h in hubs] + [x + w for x, w in widths])
    right = max([h.x + max(h.r + 24, side) for h in hubs] + [x + w for x, w in widths])
    top = min(h.y - h.r - 30 for h in hubs)
    bottom = max(h.y + h.r + (56 if named else 24) for h in hubs)
    width = max(right - left, 620.0)
    left -= (width - (right - left)) / 2
    return f"{left:.0f} {top:.0f} {width:.0f} {bottom - top:.0f}", max(1.0, width / 1000)


def _alternative(story: Story, titles: Mapping[str, str]) -> str:
    links = ", ".join(f"{n} {KINDS[k]}" for k, n in story.links.items())  # type: ignore[index]
    pages = "; ".join(f"{s.order} {titles[s.page]}" for s in story.steps[:NAMED_PAGES])
    return f"Pages of the story and what links them ({links or 'nothing'}). {pages}. The tables below say the same."


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "\u2026"


# ------------------------------------------------------------------------------------------------------------ time line


def _growth(story: Story) -> str:
    """How fast a story grows, in words."""
    if not story.days:
        return "No utterance has a time, so nothing can be said about how fast it grows."
    first, last = (when(d.date) for d in (story.days[0], story.days[-1]))
    words = f"From {first} to {last}" if first != last else f"All on {first}"
    if story.utterances_per_day is not None:
        peak = max(story.days, key=lambda d: d.utterances)
        words += f": {story.utterances_per_day:.1f} utterances and {story.authors_per_day:.1f} new people a day"
        words += f", most on {when(peak.date)} ({peak.utterances} by {count(peak.authors, 'person', 'people')})"
    words += "."
    if story.untimed:
        left_out = ("utterance without a known time is", "utterances without a known time are")
        words += f" {count(story.untimed, *left_out)} left out."
    return words


def _time_line(story: Story, labels: Mapping[str, str]) -> Line | None:
    """Bars by day, week or 30 days, whichever keeps them readable; None where nothing has a time."""
    if not story.days:
        return None
    first, last = (date.fromisoformat(d.date) for d in (story.days[0], story.days[-1]))
    span = (last - first).days + 1
    unit, size = ("day", 1) if span <= 60 else ("week", 7) if span <= 420 else ("30 days", max(30, 30 * (span // 1800)))
    bins: defaultdict[int, list[Day]] = defaultdict(list)
    for day in story.days:
        bins[(date.fromisoformat(day.date) - first).days // size].append(day)
    number = (span - 1) // size + 1
    slot = 1000 / max(number, 8)
    top = max(sum(d.utterances for d in days) for days in bins.values())
    most = max(sum(d.new_authors for d in days) for days in bins.values())
    bars = tuple(_bar(bins[n], n, slot, top, most, first + timedelta(n * size), unit) for n in sorted(bins))
    marks = []
    for step in story.steps:
        # Marks of many pages would not find room above their days.
        if step.time and len(story.steps) <= 2 * NAMED_PAGES:
            at = (date.fromisoformat(step.time[:10]) - first).days // size
            if at >= 0:
                marks.append(((at + 0.5) * slot, labels[step.page]))
    return Line(bars, tuple(_spread(marks)), tuple(_ticks(first, number, size, slot)), unit, top, most)


def _bar(days: Sequence[Day], n: int, slot: float, top: int, most: int, first: date, unit: str) -> Bar:
    total, negative, new = (sum(getattr(d, k) for d in days) for k in ("utterances", "negative", "new_authors"))
    span = when(first.isoformat()) if unit == "day" else f"{unit} from {when(first.isoformat())}"
    label = f"{span}: {count(total, 'utterance')}, {negative} negative, {count(new, 'new person', 'new people')}"
    gap = min(4.0, slot / 5)
    return Bar(
        n * slot + gap / 2, slot - gap, 100 * (total - negative) / top, 100 * negative / top, 40 * new / most, label
    )


def _spread(marks: Sequence[tuple[float, str]]) -> Iterator[tuple[float, str]]:
    """Marks in order, none closer to the one before than it is wide."""
    before = -100.0
    for x, label in sorted(marks, key=lambda mark: mark[0]):
        before = max(x, before + 26)
        yield before, label


def _ticks(first: date, number: int, size: int, slot: float) -> Iterator[tuple[float, str, str]]:
    step = max(1, -(-number // 6))
    for n in range(0, number, step):
        day = first + timedelta(n * size)
        words = f"{day.day} {day:%b %Y}" if n == 0 or size > 1 else f"{day.day} {day:%b}"
        yield n * slot + slot / 2, words, "start" if n == 0 else "middle"
