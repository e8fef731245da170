"""What the terminal report and the page share: the order of replies and of customers, and the words for things."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from model.codebook import CUES
from model.durations import HOURS
from model.latency import Latency
from model.types import Band, Case, Cue, Evidence, LoyaltyEstimate, Report, ScoredUtterance

MIDPOINT: Final = 50.0
"""The index at which staying is as likely as leaving and praise as likely as warning."""

SHOWN: Final = 0.5
"""Contributions smaller than this many index points are added up instead of listed."""

BANDS: Final[dict[Band, str]] = {
    "at_risk": "At risk",
    "ambivalent": "Ambivalent",
    "retained": "Retained",
    "advocate": "Advocate",
}
"""Bands in the order in which customers are shown: whom to contact first comes first."""

FEATURES: Final = {
    "valence": "sentiment of the text",
    "severity": "severity of the failure",
    "failure": "something went wrong",
    "tenure": "customer before",
}
"""Features of the loyalty head that are no cues."""

COPIES: Final = {"exact": "same text as", "near": "nearly the same text as", "quote": "quotes"}
"""Kinds of copies across threads, before the thread and the utterance that are repeated."""

SEVERITIES: Final = ("no failure", "an inconvenience", "money or a day lost", "health, safety or a large loss")


@dataclass(frozen=True, slots=True)
class Placed:
    """An utterance at its place in the tree of replies: depth 0 answers nothing, parent is the one it answers."""

    scored: ScoredUtterance
    depth: int
    parent: ScoredUtterance | None


def threaded(report: Report) -> list[Placed]:
    """The utterances of a report with every reply below what it answers, otherwise in the order of the page.

    A reply to a dropped utterance moves up to the nearest one that was kept; replies that answer each other in a
    circle are shown without indentation.
    """
    kept = {scored.utterance.id: scored for scored in report.utterances}
    answers = {scored.utterance.id: scored.utterance.parent for scored in report.utterances}
    for dropped in report.dropped:
        answers.setdefault(dropped.utterance.id, dropped.duplicate_of or dropped.utterance.parent)
    children: defaultdict[str | None, list[ScoredUtterance]] = defaultdict(list)
    parents = {name: _kept_parent(name, answers, kept) for name in kept}
    for scored in report.utterances:
        children[parents[scored.utterance.id]].append(scored)
    placed: list[Placed] = []
    stack = [(scored, 0) for scored in reversed(children[None])]
    while stack:
        scored, depth = stack.pop()
        parent = parents[scored.utterance.id]
        placed.append(Placed(scored, depth, kept[parent] if parent is not None else None))
        stack.extend((child, depth + 1) for child in reversed(children.pop(scored.utterance.id, [])))
    seen = {one.scored.utterance.id for one in placed}
    placed.extend(Placed(scored, 0, None) for scored in report.utterances if scored.utterance.id not in seen)
    return placed


def _kept_parent(name: str, answers: Mapping[str, str | None], kept: Mapping[str, ScoredUtterance]) -> str | None:
    visited = {name}
    parent = answers.get(name)
    while parent is not None and parent not in kept:
        if parent in visited:
            return None
        visited.add(parent)
        parent = answers.get(parent)
    return parent if parent != name else None


def estimated(report: Report) -> list[tuple[Case, LoyaltyEstimate]]:
    """Cases with a loyalty estimate, those at risk first, within a band the likeliest to leave first."""
    found = [(case, case.loyalty) for case in report.cases if case.loyalty is not None]
    order = list(BANDS)
    return sorted(found, key=lambda pair: (order.index(pair[1].band), -pair[1].churn, pair[1].index))


@dataclass(frozen=True, slots=True)
class Explanation:
    """How an index came about: base + the contributions of shown + the rest = index, all in index points.

    base: the index of a case of which nothing is known. rest: the sum of `others` smaller contributions.
    """

    base: float
    shown: tuple[Evidence, ...]
    rest: float
    others: int


def explain(loyalty: LoyaltyEstimate) -> Explanation:
    """The evidence of an estimate, the strongest first."""
    base = next((e.contribution for e in loyalty.evidence if e.feature == "base"), MIDPOINT)
    features = [e for e in loyalty.evidence if e.feature != "base"]
    shown = [e for e in features if abs(e.contribution) >= SHOWN]
    small = [e.contribution for e in features if abs(e.contribution) < SHOWN]
    return Explanation(base, tuple(sorted(shown, key=lambda e: -abs(e.contribution))), sum(small), len(small))


def abstained(report: Report) -> list[Case]:
    """Cases without a loyalty estimate, in the order of the report."""
    return [case for case in report.cases if case.loyalty is None]


def cue_label(cue: str, value: str | None) -> str:
    """A cue in words: "speed: slow", "repeat failure", "redress: extra service"."""
    name = cue.replace("_", " ")
    if value is None or CUES.get(cue) == ("yes",):
        return name
    return f"{name}: {value.replace('_', ' ')}"


def label_of(cue: Cue) -> str:
    """The label of an observed cue; a hypothetical one says so."""
    label = cue_label(cue.cue, cue.value)
    return f"hypothetical: {label}" if cue.state == "hypothetical" else label


def feature_label(feature: str) -> str:
    """The name of a feature of the loyalty head in words."""
    if feature in FEATURES:
        return FEATURES[feature]
    name, _, value = feature.partition(":")
    return cue_label(name, value or None)


def latency_words(latency: Latency) -> str:
    """A time to react in words: "answer after 9 days", "remedy within 3 days", "still waiting after 48 hours"."""
    low, high = duration_words(latency.lower), latency.upper
    waiting = latency.about == "wait"
    if latency.censored:
        return f"still waiting after {low}" if waiting else f"no {latency.about} after {low}"
    after = "wait of" if waiting else f"{latency.about} after"
    if high is None:
        return f"{after} more than {low}"
    if latency.lower == 0:
        return (
            f"wait of at most {duration_words(high)}" if waiting else f"{latency.about} within {duration_words(high)}"
        )
    return f"{after} {low}" if latency.lower == high else f"{after} {low} to {duration_words(high)}"


def duration_words(hours: float) -> str:
    """Hours in the unit that people would use: 0.5 is "30 minutes", 216 is "9 days", 1,095 is "1.5 months"."""
    for unit, size in (("year", HOURS["year"]), ("month", HOURS["month"])):
        # A month has no whole number of days: who wrote "a month" did not write "30.4 days".
        if hours >= size and (2 * hours / size).is_integer():
            return count_words(hours / size, unit)
    for unit, size, least in (("day", 24.0, 48.0), ("hour", 1.0, 1.0), ("minute", 1 / 60, 1 / 60)):
        if hours >= least:
            return count_words(hours / size, unit)
    return "a minute"


def count_words(number: float, unit: str) -> str:
    """A number with at most one decimal and its unit: "1 hour", "2.5 hours"."""
    words = f"{number:.1f}".removesuffix(".0")
    return f"{words} {unit}{'' if words == '1' else 's'}"


def role_words(case: Case) -> str:
    """The role with its probability: "customer, 93 %"; without one where it is no estimate."""
    return case.role if case.role_probability == 1 else f"{case.role}, {percent(case.role_probability)}"


def flag_words(flag: str) -> str:
    """A flag of an utterance in words: "post author", "merged: 2", "quotes page-3/comment-12"."""
    name, _, value = flag.partition(":")
    kind, _, of = value.partition(":")
    if name == "copy" and kind in COPIES:
        return f"{COPIES[kind]} {of}"
    return f"{name.replace('_', ' ')}: {value}" if value else name.replace("_", " ")


def percent(probability: float) -> str:
    """A probability in [0, 1] as whole per cent: "71 %"; certainty is never claimed by rounding."""
    if 0 < probability < 0.005:
        return "<1 %"
    if 0.995 <= probability < 1:
        return ">99 %"
    return f"{100 * probability:.0f} %"


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 customer", "2 customers"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def author_names(report: Report) -> dict[str, str]:
    """Who wrote each utterance, by its id: the name on the page, or the one that the author's case goes by."""
    cases = {uid: case.author for case in report.cases for uid in case.utterances}
    written = (scored.utterance for scored in report.utterances)
    return {u.id: u.author.name if u.author else cases.get(u.id, "unnamed author") for u in written}
