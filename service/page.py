"""Reports as one HTML page that stands alone: no script, no outside request, everything escaped."""

import base64
import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from model.latency import told
from model.types import Case, Evidence, LoyaltyEstimate, Report, ScoredUtterance, SentenceSentiment, Sentiment
from service.present import (
    BANDS,
    SEVERITIES,
    Explanation,
    Placed,
    abstained,
    author_names,
    count,
    estimated,
    explain,
    feature_label,
    flag_words,
    label_of,
    latency_words,
    percent,
    role_words,
    threaded,
)

HERE: Final = Path(__file__).parent
DEEPEST: Final = 6
"""Replies below this depth are not indented any further: the column would get too narrow to read."""

SENTIMENT_BARS: Final = {"negative": "neg", "neutral": "neu", "positive": "pos"}
STANCE_BARS: Final = {"leave": "neg", "undecided": "neu", "stay": "pos"}
WORD_BARS: Final = {"negative": "neg", "mixed": "neu", "positive": "pos"}


@dataclass(frozen=True, slots=True)
class Mark:
    """text[start:end] carries a label; kind is present, absent, hypothetical, stated or tenure."""

    start: int
    end: int
    label: str
    kind: str
    probability: float


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text under the same marks; `ending` are the marks whose last character is its last."""

    text: str
    marks: tuple[Mark, ...]
    ending: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The pieces of one sentence, or of what stands between two; tone is neg, neu, pos or none."""

    tone: str
    title: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a stacked bar: x and width in per cent of the bar."""

    name: str
    tone: str
    share: float
    x: float


@dataclass(frozen=True, slots=True)
class Block:
    """An utterance as shown; answers: anchor and author of the one that it answers."""

    anchor: str
    author: str
    scored: ScoredUtterance
    depth: int
    sentiment: str
    tone: str
    when: str | None
    language: str | None
    stretches: tuple[Stretch, ...]
    answers: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Reason:
    """One row of "why": where its bar starts, how wide it is (per cent of the column), and its words."""

    label: str
    contribution: float
    quote: str | None
    anchor: str | None
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Card:
    """A customer as shown; observations: mark, quote and the anchor of the utterance where it stands.

    latencies: times to react in words, quote and anchor. answers: what the company itself says to have done, the same.
    """

    anchor: str
    case: Case
    loyalty: LoyaltyEstimate
    band: str
    explanation: Explanation
    reasons: tuple[Reason, ...]
    bars: tuple[tuple[str, tuple[Segment, ...]], ...]
    observations: tuple[tuple[Mark, str, str | None], ...]
    latencies: tuple[tuple[str, str, str | None], ...]
    answers: tuple[tuple[str, str, str | None], ...]


@dataclass(frozen=True, slots=True)
class View:
    """A report as shown; anchors of its parts start with `anchor`."""

    anchor: str
    report: Report
    title: str
    lead: str
    at_risk: tuple[Card, ...]
    sentiment: tuple[Segment, ...]
    cards: tuple[Card, ...]
    abstained: tuple[Case, ...]
    blocks: tuple[Block, ...]


def render(reports: Sequence[Report]) -> str:
    """The page with all reports, as a text that UTF-8 can always write."""
    css = (HERE / "page.css").read_text(encoding="utf-8")
    views = [_view(report, f"t{number}") for number, report in enumerate(reports, start=1)]
    page = environment().get_template("page.html").render(css=css, policy=policy(css), views=views)
    # A page may hold half of a surrogate pair, which UTF-8 has no bytes for.
    return page.encode("utf-8", "replace").decode("utf-8")


def policy(css: str) -> str:
    """Only this very style sheet and pictures inside the page; no script, no request, no form, no frame."""
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def environment() -> Environment:
    """Templates of this folder with the filters and words that all pages share; everything is escaped."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": lambda p: percent(p).replace(" ", "\u00a0"),
        "words": lambda name: name.replace("_", " "),
        "signed": _signed,
    }
    words = {"count": count, "flag_words": flag_words, "role_words": role_words, "SEVERITIES": SEVERITIES}
    environment.globals |= words
    return environment


def _signed(number: float) -> str:
    return f"{number:+.1f}".replace("-", "−")


def _view(report: Report, anchor: str) -> View:
    placed = threaded(report)
    anchors = {one.scored.utterance.id: f"{anchor}-u{number}" for number, one in enumerate(placed, start=1)}
    marks = _marks(report.cases)
    names = author_names(report)
    cards = tuple(
        _card(f"{anchor}-c{number}", case, loyalty, anchors)
        for number, (case, loyalty) in enumerate(estimated(report), start=1)
    )
    at_risk = tuple(card for card in cards if card.loyalty.band == "at_risk")
    return View(
        anchor=anchor,
        report=report,
        title=report.thread.title or report.thread.url or report.thread.id,
        lead=_lead(len(at_risk), len(cards)),
        at_risk=at_risk,
        sentiment=segments(report.summary.sentiment, SENTIMENT_BARS),
        cards=cards,
        abstained=tuple(abstained(report)),
        blocks=tuple(_block(one, anchors, names, marks.get(one.scored.utterance.id, [])) for one in placed),
    )


def _lead(at_risk: int, customers: int) -> str:
    if not customers:
        return "Nobody here reports dealings from which loyalty could be estimated"
    known = count(customers, "customer")
    return f"{at_risk} of {known} at risk" if at_risk else f"{known}, none at risk"


def segments(shares: Mapping[str, float], tones: Mapping[str, str]) -> tuple[Segment, ...]:
    """The parts of a stacked bar in the order of tones, which gives the tone of each name."""
    total = sum(shares.values())
    segments, x = [], 0.0
    for name, tone in tones.items():
        share = shares.get(name, 0) / total if total else 0.0
        segments.append(Segment(name, tone, share, 100 * x))
        x += share
    return tuple(segments)


def _card(anchor: str, case: Case, loyalty: LoyaltyEstimate, anchors: Mapping[str, str]) -> Card:
    why = explain(loyalty)
    bars = (("Buys again", loyalty.repurchase, STANCE_BARS), ("Word of mouth", loyalty.wom, WORD_BARS))
    return Card(
        anchor=anchor,
        case=case,
        loyalty=loyalty,
        band=BANDS[loyalty.band],
        explanation=why,
        reasons=tuple(_reasons(why.shown, anchors)),
        bars=tuple((name, segments(shares, tones)) for name, shares, tones in bars),
        latencies=tuple((latency_words(t), t.quote, anchors.get(t.utterance or "")) for t in told(case)),
        answers=tuple((label_of(c), c.quote, anchors.get(c.utterance or "")) for c in case.answers),
        observations=tuple((mark, quote, anchors.get(utterance or "")) for utterance, mark, quote in _observed(case)),
    )


def _reasons(shown: Sequence[Evidence], anchors: Mapping[str, str]) -> Iterator[Reason]:
    """Bars to the left and right of a zero in the middle; the longest of a case, or 10 points, fills its half."""
    scale = 50 / max([10.0, *(abs(e.contribution) for e in shown)])
    for evidence in shown:
        width = abs(evidence.contribution) * scale
        yield Reason(
            label=feature_label(evidence.feature),
            contribution=evidence.contribution,
            quote=evidence.quote,
            anchor=anchors.get(evidence.utterance or ""),
            x=50 - width if evidence.contribution < 0 else 50,
            width=width,
        )


def _observed(case: Case) -> Iterator[tuple[str | None, Mark, str]]:
    """Everything that was read in the texts of a case, with the utterance where it stands and the quote."""
    for cue in case.cues:
        yield cue.utterance, Mark(cue.start, cue.end, label_of(cue), cue.state, cue.probability), cue.quote
    for said in case.stated:
        mark = Mark(said.start, said.end, f"says: {said.kind}", "stated", said.probability)
        yield said.utterance, mark, said.quote
    if case.tenure:
        held = case.tenure
        yield held.utterance, Mark(held.start, held.end, "customer before", "tenure", held.probability), held.quote


def _marks(cases: Iterable[Case]) -> dict[str, list[Mark]]:
    marks: dict[str, list[Mark]] = {}
    for case in cases:
        for utterance, mark, _ in _observed(case):
            if utterance is not None:
                marks.setdefault(utterance, []).append(mark)
    return marks


def _block(placed: Placed, anchors: Mapping[str, str], names: Mapping[str, str], marks: Sequence[Mark]) -> Block:
    utterance, parent = placed.scored.utterance, placed.parent
    return Block(
        anchor=anchors[utterance.id],
        author=names[utterance.id],
        scored=placed.scored,
        depth=min(placed.depth, DEEPEST),
        sentiment=in_words(placed.scored.sentiment),
        tone=tone(placed.scored.sentiment),
        when=when(utterance.time),
        language=next((f.partition(":")[2] for f in utterance.flags if f.startswith("language:")), None),
        stretches=tuple(stretches(utterance.text, placed.scored.sentences, marks)),
        answers=(anchors[parent.utterance.id], names[parent.utterance.id]) if parent else None,
    )


def stretches(text: str, sentences: Sequence[SentenceSentiment], marks: Sequence[Mark]) -> Iterator[Stretch]:
    """Cuts text wherever a sentence or a mark begins or ends; all pieces together are the text again.

    Offsets are code points of text; what lies outside of it is cut off. Marks may overlap in any way.
    """
    size = len(text)
    inside = [m for m in marks if 0 <= m.start < min(m.end, size)]
    ordered = sorted((s for s in sentences if 0 <= s.start < min(s.end, size)), key=lambda s: s.start)
    edges = [p for m in inside for p in (m.start, m.end)] + [p for s in ordered for p in (s.start, s.end)]
    cuts = sorted({0, size, *(min(p, size) for p in edges)})
    starts = [s.start for s in ordered]

    def sentence_at(span: tuple[int, int]) -> int:
        found = bisect_right(starts, span[0]) - 1
        return found if found >= 0 and span[0] < ordered[found].end else -1

    for number, spans in groupby(pairwise(cuts), key=sentence_at):
        sentiment = ordered[number].sentiment if number >= 0 else None
        pieces = tuple(_piece(text, start, end, inside) for start, end in spans)
        yield Stretch(tone(sentiment), in_words(sentiment) if sentiment else "", pieces)


def _piece(text: str, start: int, end: int, marks: Sequence[Mark]) -> Piece:
    over = tuple(m for m in marks if m.start <= start < m.end)
    return Piece(text[start:end], over, tuple(m for m in over if min(m.end, len(text)) == end))


def tone(sentiment: Sentiment | None) -> str:
    """The name of a sentiment in the style sheet: neg, neu, pos or none."""
    return SENTIMENT_BARS[sentiment.label] if sentiment else "none"


def in_words(sentiment: Sentiment | None) -> str:
    """A sentiment with its probability: "negative 83 %"."""
    if sentiment is None:
        return "not scored"
    return f"{sentiment.label} {percent(getattr(sentiment, sentiment.label))}"


def when(time: str | None) -> str | None:
    """A time as people read it; one that isn't ISO 8601 as it was given."""
    if time is None:
        return None
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return time
    day = f"{moment.day} {moment:%B %Y}"
    return day if "T" not in time and ":" not in time else f"{day}, {moment:%H:%M}"
