"""A report as plain text for a terminal."""

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence

from model.latency import told
from model.types import Case, Cue, Dropped, Evidence, LoyaltyEstimate, Report, Statement, Thread
from service.present import (
    BANDS,
    SEVERITIES,
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

EXCERPT = 220
MAX_INDENT = 12
BIDI = dict.fromkeys((0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))


def printable(text: str) -> str:
    """One line without control characters, which could otherwise steer the terminal; white space is joined."""
    spaced = (" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text.translate(BIDI))
    return " ".join("".join(spaced).split())


def text_report(report: Report, width: int = 100) -> str:
    """The report in lines of at most about `width` characters."""
    sections = (_head(report, width), _customers(report, width), _others(report, width), _thread(report, width))
    lines = [line for section in sections for line in (*section, "")]
    tail = [*_dropped(report.dropped, width), f"model {report.bundle.version} ({report.bundle.digest[:12]})"]
    return "\n".join([*lines, *tail]) + "\n"


def wrap(text: str, width: int, indent: str = "", hanging: str | None = None) -> list[str]:
    """Printable lines of at most about `width` characters; hanging: the indent of all but the first line."""
    return textwrap.wrap(
        printable(text),
        max(width, len(indent) + 30),
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_on_hyphens=False,
    )


def _head(report: Report, width: int) -> Iterator[str]:
    thread, summary = report.thread, report.summary
    title = printable(thread.title or thread.url or thread.id)
    yield from wrap(title, width)
    yield "=" * min(len(title), width)
    yield from wrap(", ".join(_about(thread)), width)
    sentiment = ", ".join(f"{n} {label}" for label, n in summary.sentiment.items())
    yield from wrap(f"{count(summary.utterances, 'utterance')} scored ({sentiment})", width)
    yield from wrap(f"{count(len(report.dropped), 'item')} dropped, {count(summary.customers, 'customer')}", width)
    for band, names in (("at risk", summary.at_risk), ("advocates", summary.advocates)):
        yield from wrap(f"{band}: {', '.join(_marked(names, report.cases)) or 'nobody'}", width)
    for warning in report.warnings:
        yield from wrap(f"warning: {warning}", width, hanging="  ")


def _marked(names: Sequence[str], cases: Sequence[Case]) -> Iterator[str]:
    """Names, with a mark for those of whose dealings little is told."""
    unsure = {case.author for case in cases if case.loyalty and case.status == "low_evidence"}
    yield from (f"{name} (little evidence)" if name in unsure else name for name in names)


def _about(thread: Thread) -> Iterator[str]:
    if thread.brand:
        yield f"about {thread.brand}"
    if thread.url and thread.title:
        yield thread.url
    yield f"read as {thread.adapter} (confidence {percent(thread.confidence)})"
    if thread.claimed is not None:
        yield f"the page itself states {count(thread.claimed, 'comment')}"


def _customers(report: Report, width: int) -> Iterator[str]:
    yield "CUSTOMERS"
    cases = estimated(report)
    if not cases:
        yield "  nobody here reports dealings to estimate from"
    for case, loyalty in cases:
        yield ""
        yield from _customer(case, loyalty, width)


def _customer(case: Case, loyalty: LoyaltyEstimate, width: int) -> Iterator[str]:
    yield from wrap(f"{case.author}: {BANDS[loyalty.band].lower()}", width, "  ")
    yield from wrap(f"{role_words(case)}: {case.role_reason}", width, "    ", " " * 6)
    interval = f"80 % interval {loyalty.low:.0f} to {loyalty.high:.0f}"
    yield from wrap(
        f"index {loyalty.index:.0f} of 100 ({interval}; from conduct alone {loyalty.index_conduct:.0f})", width, "    "
    )
    yield from wrap(f"churn {percent(loyalty.churn)}, advocate {percent(loyalty.advocate)}", width, "    ")
    for name, values in (("buys again", loyalty.repurchase), ("word of mouth", loyalty.wom)):
        yield from wrap(f"{name}: {', '.join(f'{k} {percent(p)}' for k, p in values.items())}", width, "    ")
    if case.status != "ok":
        yield from wrap(f"{case.status.replace('_', ' ')}: {case.reason or 'no reason given'}", width, "    ", " " * 6)
    yield from _read(case, width)
    yield from _why(loyalty, width)
    observed = f"{percent(loyalty.coverage)} of the cues that matter are mentioned"
    missing = f"; not mentioned: {', '.join(m.replace('_', ' ') for m in loyalty.missing)}" if loyalty.missing else ""
    yield from wrap(observed + missing, width, "    ", " " * 6)
    yield from wrap(loyalty.claim, width, "    ", " " * 6)


def _read(case: Case, width: int) -> Iterator[str]:
    if case.failure and case.failure != "none":
        severity = f" ({SEVERITIES[case.severity]})" if case.severity is not None else ""
        yield from wrap(f"what went wrong: {case.failure}{severity}", width, "    ")
    if case.cues or case.stated or case.tenure or case.answers or told(case):
        yield "    read in the text"
    for cue in case.cues:
        yield from _quoted(label_of(cue), cue, width)
    for statement in case.stated:
        yield from _quoted(f"says: {statement.kind}", statement, width)
    if case.tenure:
        yield from _quoted("customer before", case.tenure, width)
    for cue in case.answers:
        yield from _quoted(f"the company's own answer, not counted: {label_of(cue)}", cue, width)
    for latency in told(case):
        where = f" (in {latency.utterance})" if latency.utterance else ""
        yield from wrap(f'{latency_words(latency)}{where}: "{latency.quote}"', width, " " * 6, " " * 8)


def _quoted(label: str, found: Cue | Statement, width: int) -> list[str]:
    where = f", in {found.utterance}" if found.utterance else ""
    return wrap(f'{label} ({percent(found.probability)}{where}): "{found.quote}"', width, " " * 6, " " * 8)


def _why(loyalty: LoyaltyEstimate, width: int) -> Iterator[str]:
    why = explain(loyalty)
    yield "    why, in index points"
    yield f"      {why.base:6.1f}  when nothing is known"
    for evidence in why.shown:
        yield from _contribution(evidence, width)
    if why.others:
        yield f"      {why.rest:+6.1f}  {count(why.others, 'smaller contribution')}"
    yield f"      {loyalty.index:6.1f}  index"


def _contribution(evidence: Evidence, width: int) -> list[str]:
    quote = f' "{evidence.quote}"' if evidence.quote else ""
    first = f"      {evidence.contribution:+6.1f}  "
    return wrap(feature_label(evidence.feature) + quote, width, first, " " * len(first))


def _others(report: Report, width: int) -> Iterator[str]:
    yield "NOT ESTIMATED"
    cases = abstained(report)
    if not cases:
        yield "  nobody"
    for case in cases:
        yield from wrap(f"{case.author}, {role_words(case)}: {case.reason or case.role_reason}", width, "  ", "    ")


def _thread(report: Report, width: int) -> Iterator[str]:
    yield "THREAD"
    names = author_names(report)
    for placed in threaded(report):
        yield from _utterance(placed, names[placed.scored.utterance.id], width)


def _utterance(placed: Placed, author: str, width: int) -> Iterator[str]:
    scored, utterance = placed.scored, placed.scored.utterance
    indent = "  " * (min(placed.depth, MAX_INDENT) + 1)
    sentiment = "not scored"
    if scored.sentiment:
        label = scored.sentiment.label
        sentiment = f"{label} {percent(getattr(scored.sentiment, label))}"
    facts = (utterance.kind, utterance.time or "", *map(flag_words, utterance.flags), utterance.place or "")
    who = f"{utterance.id} {author} ({scored.role}): {sentiment}"
    yield from wrap(", ".join((who, *filter(None, facts))), width, indent, indent + "  ")
    excerpt = textwrap.shorten(printable(utterance.text), EXCERPT, placeholder=" ...") or "(no text)"
    yield from wrap(excerpt, width, indent + "  ")


def _dropped(dropped: tuple[Dropped, ...], width: int) -> Iterator[str]:
    if not dropped:
        return
    yield "DROPPED"
    for item in dropped:
        author = f" by {item.utterance.author.name}" if item.utterance.author else ""
        of = f" of {item.duplicate_of}" if item.duplicate_of else ""
        detail = f" ({item.detail})" if item.detail else ""
        excerpt = textwrap.shorten(printable(item.utterance.text), 80, placeholder=" ...")
        yield from wrap(f'{item.utterance.id}{author}, {item.reason}{of}{detail}: "{excerpt}"', width, "  ", "    ")
    yield ""
