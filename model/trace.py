"""The spread of a conversation: reports on many pages in, one graph with stories, people and warnings out."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Final

import networkx as nx

from model.authors import author_keys
from model.trace_links import (
    JOINS_FROM,
    LINKBACKS,
    Addresses,
    Companies,
    address_links,
    anchor_links,
    mention_links,
    retweet_links,
    text_links,
)
from model.trace_people import Group, Known, contact_cues, describe, people_graph, reach, same_people
from model.trace_types import (
    Alarm,
    Anchor,
    Day,
    Edge,
    Item,
    Page,
    Person,
    Place,
    PlacedBy,
    Said,
    Step,
    Story,
    Trace,
)
from model.types import Case, Report

SPREAD_PAGES: Final = 2
SPREAD_AUTHORS: Final = 5
"""A complaint spreads when people complain on this many pages, or when this many complain on one."""
COMPLAINS_FROM: Final = 0.6
"""Probability of negative sentiment from which a text counts as a complaint, in a story where a failure is told."""
REGULAR: Final = 5
"""Somebody who writes on more pages than this is a regular, whose name says nothing about the spread of a story."""
SAME_PERSON_JOINS: Final = 0.75
"""Identity from which the same author on two pages about the same company makes them one story."""
_ORDER: Final = {
    k: n for n, k in enumerate(("trackback", "link", "retweet", "quote", "copy", "same_author", "mention"))
}


def trace(reports: Sequence[Report], anchors: Sequence[Sequence[Anchor]] = ()) -> Trace:
    """Links the threads of the reports, tells their stories and ranks their people.

    anchors: for each report the links of its HTML, or nothing at all. Ids of pages are those of the threads; where two
    threads have the same id, the later one gets "#2" and so on.
    """
    ids = _unique([r.thread.id for r in reports])
    items = _items(reports, ids)
    by_place = {i.place: i for i in items}
    addresses = Addresses([r.thread for r in reports], ids)
    edges = [
        *address_links(items, addresses),
        *anchor_links(anchors, items, addresses, ids),
        *retweet_links(items),
        *text_links(sorted(items, key=lambda i: (i.time is None, i.time or datetime.min.replace(tzinfo=UTC)))),
    ]
    edges = _oriented(_distinct(edges))
    heads = _heads(items, ids)
    groups, author_of = _authors(items, edges, heads)
    cases = {Place(ids[n], uid): case for n, r in enumerate(reports) for case in r.cases for uid in case.utterances}
    graph = people_graph(items, edges, author_of, heads)
    answered = frozenset(
        Place(i.place.page, i.utterance.parent) for i in items if i.scored.role == "company" and i.utterance.parent
    )
    titles = {name: _label(report) for name, report in zip(ids, reports, strict=True)}
    borrowed = frozenset(e.source for e in edges if e.kind in ("retweet", "copy"))
    known = Known(by_place, cases, graph, reach(graph), answered, borrowed, titles)
    people = [describe(number, group, known) for number, group in enumerate(groups, start=1)]
    numbers = {name: n for n, name in enumerate(ids)}
    companies = Companies([r.thread for r in reports], items, [p.name for p in people])
    failures = [any(c.failure not in (None, "none") for c in r.cases) for r in reports]
    edges += _same_author(people, numbers, companies)
    edges += mention_links(items, people, author_of, numbers, companies, failures)
    edges.sort(key=lambda e: (numbers[e.source.page], numbers[e.target.page], _ORDER[e.kind], e.start or 0))
    teller = _Teller(titles, items, edges, author_of, cases)
    stories = teller.stories()
    story_of = {step.page: story.id for story in stories for step in story.steps}
    ranked = sorted(people, key=lambda p: (-p.priority, -(p.reach or 0), int(p.id[1:])))
    return Trace(
        pages=tuple(_page(r, ids[n], teller.by_page[ids[n]], story_of[ids[n]]) for n, r in enumerate(reports)),
        edges=tuple(edges),
        stories=tuple(stories),
        people=tuple(ranked),
        contacts=tuple(p.id for p in ranked if p.openness_kind),
        bundle=reports[0].bundle if reports else None,
        warnings=(*addresses.shared, *(f"{ids[n]}: {w}" for n, r in enumerate(reports) for w in r.warnings)),
    )


def _label(report: Report) -> str:
    """What a page is called: its title, else the beginning of its first text, else its name."""
    if report.thread.title or not report.utterances:
        return report.thread.title or report.thread.url or report.thread.id
    first = report.utterances[0].utterance
    words = " ".join(first.text.split())
    words = words if len(words) <= 60 else words[:59].rstrip() + "\u2026"
    return f"{first.author.name}: {words}" if first.author else words


def _unique(names: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    result = []
    counts: Counter[str] = Counter()
    for name in names:
        unique = name
        while unique in seen:
            counts[name] += 1
            unique = f"{name}#{counts[name] + 1}"
        seen.add(unique)
        result.append(unique)
    return result


def _items(reports: Sequence[Report], ids: Sequence[str]) -> list[Item]:
    items = []
    for number, report in enumerate(reports):
        keys = author_keys([s.utterance for s in report.utterances])
        for s in report.utterances:
            place = Place(ids[number], s.utterance.id)
            items.append(Item(number, place, s, keys[s.utterance.id], moment(s.utterance.time)))
    return items


def moment(time: str | None) -> datetime | None:
    """A time in UTC; without a zone it is taken for UTC. None where it isn't ISO 8601."""
    if time is None:
        return None
    try:
        parsed = datetime.fromisoformat(time)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _distinct(edges: Iterable[Edge]) -> list[Edge]:
    """One edge of a kind between two places.

    A retweet isn't reported as a copy of the tweet or of its other retweets too, nor a doubtful link where a sure one
    links the pages.
    """
    best: dict[tuple[str, Place, Place], Edge] = {}
    for edge in edges:
        key = (edge.kind, edge.source, edge.target)
        if key not in best or best[key].confidence < edge.confidence:
            best[key] = edge
    retweets = {frozenset((e.source, e.target)) for e in best.values() if e.kind == "retweet"}
    linked = {(e.source.page, e.target.page) for e in best.values() if e.kind == "link" and e.joins}

    passed_on = {e.source: e.target for e in best.values() if e.kind == "retweet"}

    def doubled(edge: Edge) -> bool:
        if edge.kind in ("copy", "quote"):
            same = passed_on.get(edge.source, edge.source) == passed_on.get(edge.target, edge.target)
            return same or frozenset((edge.source, edge.target)) in retweets
        return edge.kind == "link" and not edge.joins and (edge.source.page, edge.target.page) in linked

    return [e for e in best.values() if not doubled(e)]


def _oriented(edges: Sequence[Edge]) -> list[Edge]:
    """Copies of unknown direction go the way in which their pages cite each other otherwise, if there is one way."""
    ways = {(e.source.page, e.target.page) for e in edges if e.directed and e.confidence >= JOINS_FROM}
    result = []
    for edge in edges:
        there, back = (edge.source.page, edge.target.page), (edge.target.page, edge.source.page)
        if edge.directed or (there in ways) == (back in ways):
            result.append(edge)
        elif there in ways:
            result.append(replace(edge, directed=True))
        else:
            # The quote stays the same text in both, but its offsets belong to the other place now.
            result.append(
                replace(edge, source=edge.target, target=edge.source, directed=True, quote=None, start=None, end=None)
            )
    return result


def _heads(items: Sequence[Item], ids: Sequence[str]) -> dict[str, Place]:
    """The place of each page's post, or of its first utterance."""
    heads = {name: Place(name) for name in ids}
    for item in reversed(items):
        heads[item.place.page] = item.place
    for item in reversed(items):
        if item.utterance.kind == "post":
            heads[item.place.page] = item.place
    return heads


def _authors(
    items: Sequence[Item], edges: Sequence[Edge], heads: Mapping[str, Place]
) -> tuple[list[Group], dict[Place, str]]:
    """People and who wrote where.

    What is shown as a quote was put there by the author of the post that holds it; a linkback was written by nobody.
    """
    quotes = {e.source for e in edges if e.kind == "quote"}
    written = [i for i in items if i.utterance.kind not in LINKBACKS]
    own = [i for i in written if not (i.utterance.kind == "quote" and i.place in quotes)]
    groups = same_people(own)
    author_of = {i.place: f"p{n}" for n, group in enumerate(groups, start=1) for i in group.items}
    for item in written:
        holder = Place(item.place.page, item.utterance.parent) if item.utterance.parent else heads[item.place.page]
        if item.place not in author_of and holder in author_of:
            author_of[item.place] = author_of[holder]
    return groups, author_of


def _same_author(people: Sequence[Person], numbers: Mapping[str, int], companies: Companies) -> Iterator[Edge]:
    """Edges from a person's later pages to the first; a regular's are left out, they would hide everything else."""
    for person in people:
        if len(person.pages) > REGULAR:
            continue
        first = next(p for p in person.places if p.page == person.pages[0])
        for page in person.pages[1:]:
            place = next(p for p in person.places if p.page == page)
            same = companies.same(numbers[first.page], numbers[page])
            joins = same is not None and person.role != "company" and person.identity >= SAME_PERSON_JOINS
            about = same[1] if same else "no sign that both are about the same company"
            detail = f"{person.name} writes on both; {about}"
            yield Edge("same_author", place, first, person.identity, joins, False, detail=detail)


def _page(report: Report, name: str, items: Sequence[Item], story: str) -> Page:
    thread = report.thread
    times = sorted(i.time for i in items if i.time)
    return Page(
        id=name,
        title=thread.title,
        label=_label(report),
        url=thread.url,
        brand=thread.brand,
        adapter=thread.adapter,
        utterances=len(items),
        authors=len({i.author for i in items}),
        untimed=sum(i.time is None for i in items),
        sentiment=report.summary.sentiment,
        first=times[0].isoformat() if times else None,
        last=times[-1].isoformat() if times else None,
        story=story,
    )


# -------------------------------------------------------------------------------------------------------------- stories


class _Teller:
    """Puts pages that hang together in order and says what happened in them."""

    def __init__(
        self,
        titles: Mapping[str, str],
        items: Sequence[Item],
        edges: Sequence[Edge],
        author_of: Mapping[Place, str],
        cases: Mapping[Place, Case],
    ) -> None:
        self.by_page: dict[str, list[Item]] = {name: [] for name in titles}
        for item in items:
            self.by_page[item.place.page].append(item)
        self._titles = titles
        self._edges = edges
        self._author_of = author_of
        self._cases = cases
        self._numbers = {name: n for n, name in enumerate(titles)}

    def stories(self) -> list[Story]:
        """All stories, those with most pages first, then those with most utterances."""
        graph: nx.Graph[str] = nx.Graph()
        graph.add_nodes_from(self.by_page)
        graph.add_edges_from((e.source.page, e.target.page) for e in self._edges if e.joins)
        parts = [sorted(part, key=self._numbers.__getitem__) for part in nx.connected_components(graph)]
        parts.sort(key=lambda part: (-len(part), -sum(len(self.by_page[p]) for p in part), self._numbers[part[0]]))
        home = {page: n for n, part in enumerate(parts) for page in part}
        inside: defaultdict[int, list[Edge]] = defaultdict(list)
        for edge in self._edges:
            if home[edge.source.page] == home[edge.target.page]:
                inside[home[edge.source.page]].append(edge)
        return [self._story(f"s{n + 1}", part, inside[n]) for n, part in enumerate(parts)]

    def _story(self, name: str, pages: Sequence[str], edges: Sequence[Edge]) -> Story:
        steps, certain, why = self._ordered(pages, edges)
        items = [i for step in steps for i in self.by_page[step.page]]
        people = tuple(dict.fromkeys(self._author_of[i.place] for i in items if i.place in self._author_of))
        days = self._days(items)
        span = (date.fromisoformat(days[-1].date) - date.fromisoformat(days[0].date)).days + 1 if days else 0
        timed = [i for i in items if i.time]
        authors = {self._author_of.get(i.place) for i in timed}
        return Story(
            id=name,
            title=self._titles[steps[0].page],
            steps=tuple(steps),
            utterances=len(items),
            people=people,
            began=steps[0].page,
            certain=certain,
            began_why=why,
            days=days,
            untimed=len(items) - len(timed),
            utterances_per_day=round(len(timed) / span, 2) if len(timed) > 1 else None,
            authors_per_day=round(len(authors) / span, 2) if len(timed) > 1 else None,
            links=dict(Counter(e.kind for e in edges)),
            alarm=self._alarm(pages, items, people),
        )

    def _ordered(self, pages: Sequence[str], edges: Sequence[Edge]) -> tuple[list[Step], bool, str]:
        """Pages by time; those without one by who cites whom, which is said of each; certain only with a reason."""
        starts = {p: self._start(p) for p in pages}
        order: nx.DiGraph[str] = nx.DiGraph()
        order.add_nodes_from(pages)
        timed = sorted((p for p in pages if starts[p]), key=lambda p: (starts[p], self._numbers[p]))
        order.add_edges_from(pairwise(timed))
        cites = {
            (e.target.page, e.source.page)
            for e in edges
            if e.directed and e.joins and not (starts[e.target.page] and starts[e.source.page])
        }
        # Weak mentions only decide where nothing else links two pages.
        weak = {(e.target.page, e.source.page) for e in edges if e.kind == "mention" and e.directed}
        linked = {frozenset(pair) for pair in cites}
        order.add_edges_from(cites | {w for w in weak if frozenset(w) not in linked and not all(map(starts.get, w))})
        groups = nx.condensation(order)

        def rank(part: int) -> tuple[bool, datetime, int]:
            known = [t for p in groups.nodes[part]["members"] if (t := starts[p])]
            first = min(self._numbers[p] for p in groups.nodes[part]["members"])
            return not known, min(known, default=datetime.max.replace(tzinfo=UTC)), first

        ranked: list[str] = []
        for part in nx.lexicographical_topological_sort(groups, key=rank):
            members = groups.nodes[part]["members"]
            ranked += sorted(members, key=lambda p: (starts[p] is None, starts[p] or datetime.max, self._numbers[p]))
        cited = {p for pair in cites | weak for p in pair}
        steps = [self._step(p, n, starts[p], p in cited) for n, p in enumerate(ranked, start=1)]
        return steps, *self._beginning(steps, order, [n for n in groups if not groups.in_degree(n)], groups)

    def _start(self, page: str) -> datetime | None:
        """When a page began: its post's time, else its earliest utterance's."""
        items = self.by_page[page]
        posts = [i.time for i in items if i.time and i.utterance.kind == "post"]
        return min(posts or [i.time for i in items if i.time], default=None)

    def _step(self, page: str, number: int, start: datetime | None, cited: bool) -> Step:
        placed: PlacedBy = "time" if start else "citation" if cited else "nothing"
        return Step(page, number, start.isoformat() if start else None, placed)

    def _beginning(
        self, steps: Sequence[Step], order: "nx.DiGraph[str]", sources: Sequence[int], groups: "nx.DiGraph[int]"
    ) -> tuple[bool, str]:
        if len(steps) == 1:
            return True, "the only page"
        members = groups.nodes[sources[0]]["members"] if len(sources) == 1 else ()
        if len(sources) > 1 or len(members) > 1:
            firsts = sum(len(groups.nodes[s]["members"]) for s in sources)
            return False, f"{firsts} pages cite nobody before them, and not all have a time; the first may be another"
        if all(s.time for s in steps):
            return True, "it has the earliest time"
        return True, "the others come after it by time or by citing" if steps[
            0
        ].time else "it is cited and cites nobody"

    def _days(self, items: Sequence[Item]) -> tuple[Day, ...]:
        by_day: defaultdict[date, list[Item]] = defaultdict(list)
        for item in items:
            if item.time:
                by_day[item.time.date()].append(item)
        seen: set[str | None] = set()
        days = []
        for day in sorted(by_day):
            authors = {self._author_of.get(i.place) for i in by_day[day]}
            negative = sum(
                i.scored.sentiment is not None and i.scored.sentiment.label == "negative" for i in by_day[day]
            )
            days.append(Day(day.isoformat(), len(by_day[day]), len(authors), len(authors - seen), negative))
            seen |= authors
        return tuple(days)

    def _alarm(self, pages: Sequence[str], items: Sequence[Item], people: Sequence[str]) -> Alarm | None:
        """The warning of a story where complaints are on several pages or by many people."""
        cases = {id(c): c for i in items if (c := self._cases.get(i.place))}.values()
        failed = any(c.failure not in (None, "none") for c in cases)
        complaints = [i for i in items if failed and self._complains(i)]
        where = {i.place.page for i in complaints}
        who = {self._author_of.get(i.place) for i in complaints}
        if not complaints or (len(who) < SPREAD_AUTHORS and (len(where) < SPREAD_PAGES or len(who) < SPREAD_PAGES)):
            return None
        seen, missing, answered = _signs_of_the_company(items, list(cases), where)
        count = f"{_count(len(complaints), 'utterance')} by {_count(len(who), 'person', 'people')}"
        told = f"{count} on {_count(len(where), 'page')} complain, of {len(items)} by {len(people)} on {len(pages)}"
        strongest = sorted(complaints, key=lambda i: -(i.scored.sentiment.negative if i.scored.sentiment else 0))
        return Alarm(answered, (told, *seen), missing, tuple(_worst(strongest)))

    def _complains(self, item: Item) -> bool:
        sentiment = item.scored.sentiment
        ours = item.scored.role in ("company", "spam")
        return not ours and sentiment is not None and sentiment.negative >= COMPLAINS_FROM


def _signs_of_the_company(
    items: Sequence[Item], told: Sequence[Case], complaining: Collection[str]
) -> tuple[list[str], tuple[str, ...], bool]:
    """What was seen of the company, what was looked for in vain, and whether anything was seen at all."""
    own = [i.place.page for i in items if i.scored.role == "company"]
    reports = sum(bool(contact_cues(case)) for case in told)
    ignored = sum(any(c.cue == "contact" and c.state == "absent" for c in case.cues) for case in told)
    silent = len(set(complaining) - set(own))
    seen, missing = [], []
    if own:
        seen.append(f"{_count(len(own), 'utterance')} of the company on {_count(len(set(own)), 'page')}")
        if silent:
            missing.append(
                f"no utterance of the company on {silent} of the {_count(len(complaining), 'page')} with complaints"
            )
    else:
        missing.append("no utterance of the company")
    if reports:
        seen.append(f"{_count(reports, 'person reports', 'people report')} that the company made contact or apologised")
    else:
        missing.append("no report that the company made contact or apologised")
    if ignored:
        seen.append(f"{_count(ignored, 'person says', 'people say')} that nobody contacted them")
    return seen, tuple(missing), bool(own or reports)


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _worst(items: Sequence[Item]) -> Iterator[Said]:
    """The most negative sentence of the first three people."""
    seen: set[tuple[str, str]] = set()
    for item in items:
        key = (item.place.page, item.author)
        sentence = max(item.scored.sentences, key=lambda s: s.sentiment.negative, default=None)
        if sentence is None or key in seen or len(seen) == 3:
            continue
        seen.add(key)
        yield Said(item.utterance.text[sentence.start : sentence.end], sentence.start, sentence.end, item.place)
