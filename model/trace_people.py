"""Who takes part in a conversation that goes over several pages: one person or two, how far they reach, how movable.

Reach is networkx's harmonic centrality on the graph "who answers or cites whom": the sum over everybody else of
1 / (steps from them to this person). Each person who answers, quotes or passes on counts 1, one who answers those 1/2.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import networkx as nx

from model.near_duplicates import normalised
from model.trace_links import handles, normalise_url
from model.trace_types import Edge, Item, Openness, Person, Place, Said, Why
from model.types import Case, Cue, LoyaltyEstimate, Role, SentenceSentiment

REACH_FOR: Final = 500
"""People of one story whose reach is worked out, those with most answers; the others' is None unless it is 0."""
OPEN_FROM: Final = 0.35
"""Openness from which a customer is listed as movable."""
DEFENDS_FROM: Final = 0.3
"""Openness from which somebody who is no customer is listed as defending the company."""
CONTACT_SIGNS: Final = frozenset({"contact:made", "initiative:proactive", "apology:given", "follow_up:done"})
"""Cues that show that the company moved towards the author."""
NAMES_OF_A_LINK: Final = 3
"""A link that more names than this carry is a shop's or a platform's, nobody's own."""

_GENERIC: Final = re.compile(
    r"(?:an? )?(?:anonymous|guest|unknown|unnamed|deleted|verified|happy|unhappy|angry|former|ex|the|post|site|web)? ?"
    r"(?:anonymous|guest|unknown|user|admin|administrator|author|customer|visitor|reader|member|moderator|staff|editor"
    r"|team|buyer|owner|me|someone|somebody|name withheld|customer (?:service|care|support)|support)\d*",
    re.IGNORECASE,
)
_ROLES: Final[tuple[Role, ...]] = ("company", "customer", "commentator", "bystander", "unclear", "spam")


@dataclass(frozen=True, slots=True)
class Group:
    """What one person wrote, in the order of the pages. identity: how sure it is that it is one person, in [0, 1]."""

    items: tuple[Item, ...]
    identity: float


# ------------------------------------------------------------------------------------------------------------- identity


def same_people(items: Sequence[Item]) -> list[Group]:
    """Items by person. Within a page the name decides; between pages see `_same`. Bare first names never join."""
    nodes: dict[tuple[int, str], list[Item]] = {}
    position = {item.place: number for number, item in enumerate(items)}
    for item in items:
        nodes.setdefault((item.page, item.author), []).append(item)
    graph: nx.Graph = nx.Graph()
    graph.add_nodes_from(nodes)
    buckets: defaultdict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    names_of: defaultdict[str, set[str]] = defaultdict(set)
    for key, own in nodes.items():
        for bucket in _signs(own):
            buckets[bucket].append(key)
            if bucket[0] == "url":
                names_of[bucket[1]].add(key[1])
    for (sign, value), keys in buckets.items():
        if sign != "url" or len(names_of[value]) <= NAMES_OF_A_LINK:
            graph.add_edges_from(_same(sign, keys, nodes))
    groups = []
    for component in nx.connected_components(graph):
        sure = min((w for _, _, w in graph.edges(component, data="sure")), default=1.0)
        own = sorted((i for key in component for i in nodes[key]), key=lambda i: position[i.place])
        groups.append(Group(tuple(own), sure))
    return sorted(groups, key=lambda g: position[g.items[0].place])


def _signs(items: Sequence[Item]) -> Iterator[tuple[str, str]]:
    """What may be found again on another page: a full name, a link of their own, a handle."""
    author = next((i.utterance.author for i in items if i.utterance.author), None)
    if author is None or _GENERIC.fullmatch(author.name.strip()):
        return
    name = normalised(author.name)
    if len(name.split()) > 1:
        yield "name", name
    for url in _urls(items):
        yield "url", url
    tweets = any(i.utterance.kind == "tweet" for i in items)
    handle = next(handles(items[0]), None)
    if handle and (tweets or author.name.startswith("@") or re.search(r"[\d_]", handle)):
        yield "handle", handle


def _urls(items: Iterable[Item]) -> list[str]:
    found = (normalise_url(i.utterance.author.url) for i in items if i.utterance.author and i.utterance.author.url)
    return list(dict.fromkeys(u for u in found if u))


def _same(
    sign: str, keys: Sequence[tuple[int, str]], nodes: Mapping[tuple[int, str], Sequence[Item]]
) -> Iterator[tuple[tuple[int, str], tuple[int, str], dict[str, float]]]:
    """Edges between those who are the same person.

    The same link: 0.95, with the same name 0.98. The same handle: 0.9. The same full name: 0.8 where no link speaks
    for or against it, 0.6 where the links lead to different hosts, never where they differ on one host.
    """
    clusters: list[tuple[tuple[int, str], set[str]]] = []
    for key in keys:
        urls = set(_urls(nodes[key]))
        for first, known in clusters:
            sure = _sure(sign, first[1] == key[1], known, urls)
            if sure:
                known |= urls
                yield first, key, {"sure": sure}
                break
        else:
            clusters.append((key, urls))


def _sure(sign: str, same_name: bool, known: set[str], urls: set[str]) -> float:
    if sign == "url":
        return 0.98 if same_name else 0.95
    if known & urls:
        return 0.98
    hosts = {u.split("/")[0] for u in known} & {u.split("/")[0] for u in urls}
    if sign == "handle":
        return 0.9
    return 0.0 if hosts else 0.6 if known and urls else 0.8


# ---------------------------------------------------------------------------------------------------------------- reach


def people_graph(
    items: Sequence[Item], edges: Sequence[Edge], author_of: Mapping[Place, str], heads: Mapping[str, Place]
) -> "nx.DiGraph[str]":
    """Who answers or cites whom: an arrow from the one who does to the one who is answered or cited.

    heads: the place of each page's post, by page. Mentions by name and copies of unknown direction are left out.
    """
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(dict.fromkeys(author_of.values()))
    arrows = [(i.place, Place(i.place.page, i.utterance.parent)) for i in items if i.utterance.parent]
    arrows += [(e.source, e.target) for e in edges if e.directed and e.kind not in ("mention", "same_author")]
    for source, target in arrows:
        who, whom = (author_of.get(p) or author_of.get(heads[p.page]) for p in (source, target))
        if who and whom and who != whom:
            graph.add_edge(who, whom)
    return graph


def reach(graph: "nx.DiGraph[str]") -> dict[str, float | None]:
    """Harmonic centrality of everybody, None for those left out of a very large story (see REACH_FOR)."""
    result: dict[str, float | None] = {}
    for component in nx.weakly_connected_components(graph):
        part = graph.subgraph(component).copy()
        answered = sorted((n for n in component if part.in_degree(n)), key=lambda n: (-part.in_degree(n), n))
        found = nx.harmonic_centrality(part, nbunch=answered[:REACH_FOR]) if answered else {}
        for name in component:
            result[name] = found.get(name) if part.in_degree(name) else 0.0
    return result


# --------------------------------------------------------------------------------------------------------------- stance


@dataclass(frozen=True, slots=True)
class Known:
    """What there is to know for describing people: items and cases by place, and the people graph with its reach.

    answered: the places that an utterance of the company answers. borrowed: those that pass on the words of others.
    titles: of pages, by id.
    """

    items: Mapping[Place, Item]
    cases: Mapping[Place, Case]
    graph: "nx.DiGraph[str]"
    reach: Mapping[str, float | None]
    answered: frozenset[Place]
    borrowed: frozenset[Place]
    titles: Mapping[str, str]


def describe(number: int, group: Group, known: Known) -> Person:
    """A person with stance and openness.

    Openness of a customer: (P(undecided) + P(word of mouth is mixed)) / 2 from the loyalty estimate. Of somebody who is
    neither customer nor company: P(own text is positive) * P(the text they answer is negative), the largest over their
    answers; such people defend the company. Words that somebody only passes on (retweets, copies) don't count.
    """
    ident = f"p{number}"
    words = Group(tuple(i for i in group.items if i.place not in known.borrowed), group.identity)
    cases = list({id(c): c for i in group.items if (c := known.cases.get(i.place))}.values())
    role: Role = min((c.role for c in cases), key=_ROLES.index, default="unclear")
    said = {i.place for i in words.items}
    estimated = [c for c in cases if c.loyalty and any(Place(p.page, u) in said for p in said for u in c.utterances)]
    case = max(estimated, key=lambda c: (c.loyalty.coverage if c.loyalty else 0, len(c.utterances)), default=None)
    loyalty = case.loyalty if case else None
    contacted = any(map(contact_cues, cases)) or any(i.place in known.answered for i in group.items)
    openness, kind, why = _openness(role, loyalty, words, known)
    reached = known.reach.get(ident, 0.0)
    answers = known.graph.in_degree(ident) if ident in known.graph else 0
    negative, neutral, positive = _feeling(words.items)
    author = next((i.utterance.author for i in group.items if i.utterance.author), None)
    head = group.items[0]
    which = "the post" if head.utterance.kind == "post" else head.utterance.id
    unnamed = f"author of {which} on \u201c{known.titles[head.place.page]}\u201d"
    return Person(
        id=ident,
        name=author.name if author else unnamed,
        role=role,
        identity=group.identity,
        pages=tuple(dict.fromkeys(i.place.page for i in group.items)),
        places=tuple(i.place for i in group.items),
        urls=tuple(
            dict.fromkeys(i.utterance.author.url for i in group.items if i.utterance.author and i.utterance.author.url)
        ),
        reach=None if reached is None else round(reached, 3),
        answers=answers,
        negative=negative,
        neutral=neutral,
        positive=positive,
        band=loyalty.band if loyalty else None,
        index=round(loyalty.index, 1) if loyalty else None,
        repurchase=loyalty.repurchase if loyalty else None,
        wom=loyalty.wom if loyalty else None,
        contacted=contacted,
        openness=round(openness, 3),
        openness_kind=kind,
        priority=round(openness * math.log2(2 + (reached or 0)), 3) if kind else 0.0,
        why=(*why, *_standing(answers, reached, contacted, kind)),
    )


# Praise that may be meant for the company, and not for the author of the complaint ("glad you are alive!").
_ABOUT_THEM: Final = re.compile(
    r"\b(?:they|them|their|theirs|compan(?:y|ies)|firms?|shops?|stores?|brands?|business|staff|support|service|team|people"
    r"|products?|quality|mine|ours?)\b",
    re.IGNORECASE,
)


def _feeling(items: Sequence[Item]) -> tuple[float | None, float | None, float | None]:
    """Mean probabilities of negative, neutral and positive, longer texts counting more."""
    known = [(i.scored.sentiment, len(i.utterance.text)) for i in items if i.scored.sentiment]
    total = sum(n for _, n in known)
    if not total:
        return None, None, None
    means = (sum(getattr(s, name) * n for s, n in known) / total for name in ("negative", "neutral", "positive"))
    negative, neutral, positive = (round(m, 4) for m in means)
    return negative, neutral, positive


def contact_cues(case: Case) -> list[Cue]:
    """Cues of a case which show that the company moved towards the author."""
    return [c for c in case.cues if c.state == "present" and f"{c.cue}:{c.value}" in CONTACT_SIGNS]


def _openness(
    role: Role, loyalty: LoyaltyEstimate | None, group: Group, known: Known
) -> tuple[float, Openness | None, tuple[Why, ...]]:
    if role == "customer" and loyalty is not None:
        undecided, mixed = loyalty.repurchase["undecided"], loyalty.wom["mixed"]
        openness = (undecided + mixed) / 2
        reason = f"undecided about buying again {100 * undecided:.0f} %, mixed word of mouth {100 * mixed:.0f} %"
        return openness, "open_customer" if openness >= OPEN_FROM else None, (Why(reason), *_moves(loyalty, group))
    if role in ("company", "spam", "customer") or not group.items:
        return 0.0, None, ()
    openness, item = max(((_defends(i, known), i) for i in group.items), key=lambda pair: pair[0])
    if openness < DEFENDS_FROM:
        return openness, None, ()
    return openness, "defender", (Why("answers a complaint with praise", _sentence(item, best=1)),)


def _defends(item: Item, known: Known) -> float:
    answered = known.items.get(Place(item.place.page, item.utterance.parent)) if item.utterance.parent else None
    mine, theirs = item.scored.sentiment, answered.scored.sentiment if answered else None
    if mine is None or theirs is None or answered is None or answered.author == item.author:
        return 0.0
    if (towards := item.scored.towards_brand) is not None:
        return towards.positive * theirs.negative
    return mine.positive * theirs.negative if _ABOUT_THEM.search(item.utterance.text) else 0.0


def _moves(loyalty: LoyaltyEstimate, group: Group) -> Iterator[Why]:
    """The words that weigh most in the estimate, up to two; else the strongest sentence."""
    homes = {i.place.utterance: i for i in reversed(group.items)}
    strongest = sorted((e for e in loyalty.evidence if e.quote and e.utterance), key=lambda e: -abs(e.contribution))
    found = []
    for e in strongest:
        item = homes.get(e.utterance)
        # The same id may stand on several pages; the words decide where the evidence comes from.
        if item and e.quote and e.start is not None and item.utterance.text[e.start : e.end] == e.quote:
            name = e.feature.replace("_", " ").replace(":", ": ")
            said = Said(e.quote, e.start, e.start + len(e.quote), item.place)
            found.append(Why(f"{name} ({e.contribution:+.1f} index points)", said))
    if found:
        yield from found[:2]
    elif (said_most := _sentence(max(group.items, key=lambda i: len(i.utterance.text)))) is not None:
        yield Why("the strongest sentence", said_most)


def _sentence(item: Item, best: int = 0) -> Said | None:
    """The sentence with the largest valence (best = 1), or with the valence farthest from 0 (best = 0)."""

    def strength(sentence: SentenceSentiment) -> float:
        # A lone "Wow." is strong and says nothing.
        full = min(1.0, (sentence.end - sentence.start) / 40)
        return full * (sentence.sentiment.valence if best else abs(sentence.sentiment.valence))

    found = max(item.scored.sentences, key=strength, default=None)
    return Said(item.utterance.text[found.start : found.end], found.start, found.end, item.place) if found else None


def _standing(answers: int, reached: float | None, contacted: bool, kind: Openness | None) -> Iterator[Why]:
    if kind is None:
        return
    if answers:
        far = f" (reach {reached:.1f})" if reached is not None else ""
        yield Why(f"{answers} {'person answers' if answers == 1 else 'people answer'} or cite them{far}")
    if kind == "open_customer":
        yield Why("the company has moved towards them" if contacted else "no contact by the company is seen")
