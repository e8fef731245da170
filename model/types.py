"""The words of the domain as frozen types: what is read, what is said about it, and how that becomes JSON."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, Literal

Kind = Literal["post", "comment", "review", "tweet", "quote", "pingback", "trackback"]
Role = Literal["customer", "bystander", "commentator", "company", "spam", "unclear"]
State = Literal["present", "absent", "hypothetical"]
Status = Literal["ok", "low_evidence", "out_of_domain", "abstain"]
Band = Literal["advocate", "retained", "ambivalent", "at_risk"]


class InputError(ValueError):
    """Something that was given can't be used.

    code: a short stable name such as "empty_file". field: which argument, column or line. got, expected: in words.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        field: str | None = None,
        got: str | None = None,
        expected: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.field = field
        self.got = got
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote an utterance, as the page names them."""

    name: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Utterance:
    """One post, comment, review or tweet by one author at one time.

    parent: id of the utterance that it answers, None for the post itself. time: ISO 8601 where it was known.
    flags: what a reader or cleaner noted, such as "post_author", "merged:2", "quoted", "language:de", "truncated".
    place: where it stands in its source, in words, such as "line 12" or "comment 3 of 10, #comment-2101".
    """

    id: str
    text: str
    kind: Kind = "comment"
    parent: str | None = None
    author: Author | None = None
    time: str | None = None
    votes: int | None = None
    flags: tuple[str, ...] = ()
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Thread:
    """One page or conversation: a post and what answers it.

    adapter: the reader that answered. confidence: in [0, 1]. claimed: the number of comments that the page itself
    states, None where it states none.
    """

    id: str
    utterances: tuple[Utterance, ...]
    title: str | None = None
    url: str | None = None
    brand: str | None = None
    adapter: str = "given"
    confidence: float = 1.0
    claimed: int | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """An utterance or a piece of a page that is not scored, with the reason.

    reason: "duplicate", "spam", "boilerplate", "empty" or "deleted". duplicate_of: id of the utterance that stays.
    detail: what was found, in words.
    """

    utterance: Utterance
    reason: str
    duplicate_of: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What cleaning kept and what it dropped."""

    thread: Thread
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True, slots=True)
class Sentiment:
    """Calibrated probabilities that sum to 1; label is the largest; valence = positive - negative, in [-1, 1]."""

    label: Literal["negative", "neutral", "positive"]
    negative: float
    neutral: float
    positive: float
    valence: float


@dataclass(frozen=True, slots=True)
class SentenceSentiment:
    """Sentiment of text[start:end]."""

    start: int
    end: int
    sentiment: Sentiment


@dataclass(frozen=True, slots=True)
class Cue:
    """One observation about the company's conduct: text[start:end] == quote in the utterance named.

    cue, value: names of model.codebook, value is None for a hypothetical one. probability: in [0, 1].
    """

    cue: str
    value: str | None
    state: State
    probability: float
    quote: str
    start: int
    end: int
    utterance: str | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """The author's own words about loyalty (stay, leave, promote, warn) or about the relationship (tenure)."""

    kind: str
    probability: float
    quote: str
    start: int
    end: int
    utterance: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the heads read in one text.

    cues: conduct observed. statements: stated loyalty. tenure: evidence of the earlier relationship.
    cue_probabilities: for every "cue:value" the largest over the sentences, in [0, 1].
    role, failure, severity, repurchase, wom: probabilities by value, each summing to 1.
    """

    cues: tuple[Cue, ...]
    statements: tuple[Statement, ...]
    tenure: Statement | None
    cue_probabilities: Mapping[str, float]
    role: Mapping[str, float]
    failure: Mapping[str, float]
    severity: Mapping[str, float]
    repurchase: Mapping[str, float]
    wom: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CaseFeatures:
    """One author's dealings with one company as the loyalty head sees them.

    cues: probability that each "cue:value" was reported; a cue that is not a key was not mentioned.
    severity: expected severity of the failure, 0 (none) to 3. failure: probability that something went wrong.
    tenure: probability that an earlier relationship is shown. valence: mean sentiment in [-1, 1], None to leave it out.
    length: words.
    """

    cues: Mapping[str, float]
    severity: float
    failure: float
    tenure: float
    valence: float | None
    length: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why an estimate is what it is: a feature with its signed contribution to the index, in index points.

    quote is None for features that have no words of their own (severity, sentiment).
    """

    feature: str
    contribution: float
    quote: str | None = None
    start: int | None = None
    end: int | None = None
    utterance: str | None = None


@dataclass(frozen=True, slots=True)
class LoyaltyEstimate:
    """What the case does to loyalty.

    repurchase: P(stay), P(undecided), P(leave). wom: P(positive), P(mixed), P(negative). advocate: P(stay and
    positive). churn: P(leave). index: 0 to 100, with its 80 % interval low to high. index_conduct: the index of the
    conduct-only fit. coverage: share of the cues that matter which the text mentions; missing: the others.
    """

    repurchase: Mapping[str, float]
    wom: Mapping[str, float]
    advocate: float
    churn: float
    index: float
    low: float
    high: float
    index_conduct: float
    band: Band
    evidence: tuple[Evidence, ...] = ()
    coverage: float = 0.0
    missing: tuple[str, ...] = ()
    claim: str = "association in self-selected public posts; not a causal effect"


@dataclass(frozen=True, slots=True)
class TextLoyalty:
    """Loyalty of the author of a single text: status, the reason where it is not ok, the estimate if there is one."""

    status: Status
    reason: str | None
    loyalty: LoyaltyEstimate | None


@dataclass(frozen=True, slots=True)
class ScoredUtterance:
    """An utterance that was kept, with its role and sentiment (None, with a flag, where the text holds no words).

    towards_brand: sentiment towards the thread's brand, where the text names it.
    """

    utterance: Utterance
    role: Role
    sentiment: Sentiment | None
    sentences: tuple[SentenceSentiment, ...] = ()
    towards_brand: Sentiment | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One author's case: who, what was read in their utterances, and the loyalty estimate (None unless customer).

    role_reason: why the author has the role. utterances: ids. failure, severity: the most likely ones.
    role_probability: how likely the role is, in [0, 1]; 1 where it is no estimate: spam, or marked so by the page.
    answers: what the company says in the thread that it did for this customer; the author has not reported it.
    """

    author: str
    role: Role
    role_reason: str
    status: Status
    reason: str | None
    utterances: tuple[str, ...]
    cues: tuple[Cue, ...] = ()
    stated: tuple[Statement, ...] = ()
    tenure: Statement | None = None
    failure: str | None = None
    severity: int | None = None
    loyalty: LoyaltyEstimate | None = None
    role_probability: float = 1.0
    answers: tuple[Cue, ...] = ()


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """Which model answered."""

    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Summary:
    """The thread in figures.

    sentiment: number of utterances by label. at_risk: authors by rising index; advocates: by falling index.
    """

    utterances: int
    sentiment: Mapping[str, int]
    customers: int
    at_risk: tuple[str, ...]
    advocates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What Amends says about a thread."""

    thread: Thread
    utterances: tuple[ScoredUtterance, ...]
    dropped: tuple[Dropped, ...]
    cases: tuple[Case, ...]
    summary: Summary
    bundle: BundleInfo
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """The report as documented in docs/report.md, ready for JSON."""
        thread = self.thread
        return {
            "thread": {
                "id": thread.id,
                "title": thread.title,
                "url": thread.url,
                "brand": thread.brand,
                "adapter": thread.adapter,
                "confidence": thread.confidence,
                "claimed": thread.claimed,
            },
            "utterances": [_utterance_dict(u) for u in self.utterances],
            "dropped": [plain(d) for d in self.dropped],
            "cases": [plain(c) for c in self.cases],
            "summary": plain(self.summary),
            "warnings": list(self.warnings),
            "bundle": plain(self.bundle),
        }


def _utterance_dict(scored: ScoredUtterance) -> dict[str, Any]:
    whole = plain(scored)
    return {**whole.pop("utterance"), **whole}


_ATOMS: Final = frozenset((str, int, float, bool, type(None)))


@lru_cache(maxsize=256)
def _fields(kind: type) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]] | None:
    """The names of a dataclass's fields, and what reads them all at once; None for any other type."""
    names = tuple(getattr(kind, "__dataclass_fields__", ()))
    if len(names) < 2:
        # What reads one alone gives no tuple.
        return (names, lambda value: tuple(getattr(value, name) for name in names)) if names else None
    return names, attrgetter(*names)


def plain(value: Any) -> Any:
    """What dataclasses.asdict makes of the types above, which looks up their fields anew for every object."""
    kind: Any = type(value)
    fields = _fields(kind)
    if fields is not None:
        names, read = fields
        found = zip(names, read(value), strict=True)
        return {name: part if type(part) in _ATOMS else plain(part) for name, part in found}
    if kind is tuple or kind is list:
        return kind([part if type(part) in _ATOMS else plain(part) for part in value])
    if kind is dict or isinstance(value, Mapping):
        return {key: part if type(part) in _ATOMS else plain(part) for key, part in value.items()}
    return value


Certainty = Literal["certain", "likely", "mixed", "none"]
Verdict = Literal["agrees", "disagrees", "mixed", "none"]


@dataclass(frozen=True, slots=True)
class Published:
    """What research says about a cue value. sign: +1 or -1, 0 where none is known or findings conflict.

    certainty: "certain" for the few signs that are imposed, "likely" for a published direction that is not imposed,
    "mixed" where findings conflict, "none" where nothing fits. source: the finding in words.
    """

    sign: int
    certainty: Certainty
    source: str


@dataclass(frozen=True, slots=True)
class Effect:
    """One change of a what-if taken alone: "apology=given" and the difference of the index, in index points.

    published: what research says about the direction of this change. verdict: how the difference compares with it.
    held: the fit alone pointed against a certain sign in one of its two scores, and that part was set to zero.
    """

    change: str
    difference: float
    published: Published
    verdict: Verdict
    held: bool


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The conduct-only estimate of a case as it is and with other conduct reported.

    before, after, no_failure: index, 0 to 100. difference: after - before with its 80 % interval low to high.
    no_failure: the level without a failure, which after never exceeds. capped: that level cut the result.
    repurchase, wom: probabilities after; the `_before` ones as it is. sentence: the result in words.
    """

    changes: Mapping[str, str]
    before: float
    after: float
    difference: float
    low: float
    high: float
    no_failure: float
    capped: bool
    repurchase_before: Mapping[str, float]
    repurchase: Mapping[str, float]
    wom_before: Mapping[str, float]
    wom: Mapping[str, float]
    effects: tuple[Effect, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class Action:
    """Something the company can still do: its what-if, why it is named, and the author's words that say so."""

    change: str
    what_if: WhatIf
    reason: str
    quotes: tuple[Cue, ...] = ()


@dataclass(frozen=True, slots=True)
class Advice:
    """What could be done for one customer.

    index: that of the report. actions: up to three, the largest difference first. together: all of them at once, None
    where there are none. movable: in [0, 1]. priority: difference of `together` times movable, in index points.
    reasons: in words, why the person is where they are in the order. note: what limits the advice.
    """

    author: str
    status: Status
    index: float
    actions: tuple[Action, ...]
    together: WhatIf | None
    movable: float
    priority: float
    reasons: tuple[str, ...]
    note: str | None = None
