"""What-if and advice for the threads of a file: as plain data for JSON and as text for a terminal (docs/what-if.md)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from model.advise import advise
from model.types import InputError, Report, Thread
from model.what_if import in_words, what_if
from service.present import percent
from service.text_report import wrap

if TYPE_CHECKING:
    from model.scorer import Scorer

CLAIM = "association in self-selected public posts; not a causal effect"


def what_if_threads(
    scorer: "Scorer", threads: Sequence[Thread], changes: Mapping[str, str], author: str | None = None
) -> dict[str, Any]:
    """The what-if of every customer, or of the one named. Raises InputError where there is no such customer."""
    found, names = [], []
    for thread in threads:
        report, features = scorer.score_cases(thread)
        known = [(c, f) for c, f in zip(report.cases, features, strict=True) if f is not None]
        names += [case.author for case, _ in known]
        customers = [
            {
                "author": case.author,
                "utterances": list(case.utterances),
                "status": case.status,
                "reason": case.reason,
                "what_if": asdict(what_if(scorer.bundle.loyalty, seen, changes)),
            }
            for case, seen in known
            if author is None or case.author.casefold() == author.casefold()
        ]
        found.append({"thread": _about(report), "customers": customers})
    if author is not None and not any(thread["customers"] for thread in found):
        raise InputError(
            f"no customer is called {author!r}",
            code="no_such_author",
            field="author",
            got=author,
            expected=f"one of {', '.join(names)}" if names else "a file in which customers write; this has none",
        )
    return {"threads": found, "claim": CLAIM, "bundle": asdict(scorer.info)}


def advise_threads(scorer: "Scorer", threads: Sequence[Thread]) -> dict[str, Any]:
    """Advice for every customer of each thread, whom to contact first in front."""
    found = []
    for thread in threads:
        report, features = scorer.score_cases(thread)
        advice = advise(scorer.bundle.loyalty, report, features)
        found.append({"thread": _about(report), "customers": [asdict(a) for a in advice]})
    return {"threads": found, "claim": CLAIM, "bundle": asdict(scorer.info)}


def _about(report: Report) -> dict[str, Any]:
    thread = report.thread
    return {"id": thread.id, "title": thread.title, "url": thread.url, "brand": thread.brand}


def what_if_text(found: Mapping[str, Any], width: int) -> str:
    """What what_if_threads found, in lines."""
    return _text(found, width, _what_if_lines)


def advice_text(found: Mapping[str, Any], width: int) -> str:
    """What advise_threads found, in lines."""
    return _text(found, width, _advice_lines)


def _text(found: Mapping[str, Any], width: int, lines_of: Any) -> str:
    lines: list[str] = []
    for thread in found["threads"]:
        about = thread["thread"]
        lines += wrap(about["title"] or about["url"] or about["id"], width)
        if not thread["customers"]:
            lines.append("  nobody here reports dealings to estimate from")
        for place, customer in enumerate(thread["customers"], start=1):
            lines += lines_of(place, customer, width)
        lines.append("")
    bundle = found["bundle"]
    lines += wrap(f"{found['claim']}. Model {bundle['version']} ({bundle['digest'][:12]})", width)
    return "\n".join(lines) + "\n"


def _what_if_lines(place: int, customer: Mapping[str, Any], width: int) -> Iterator[str]:
    result = customer["what_if"]
    yield from wrap(customer["author"], width, "  ")
    yield from wrap(
        f"index {result['before']:.1f} -> {result['after']:.1f} from conduct alone "
        f"(without a failure {result['no_failure']:.1f})",
        width,
        "    ",
    )
    for name, before, after in (
        ("buys again", result["repurchase_before"], result["repurchase"]),
        ("word of mouth", result["wom_before"], result["wom"]),
    ):
        changed = ", ".join(f"{k} {percent(before[k])} -> {percent(p)}" for k, p in after.items())
        yield from wrap(f"{name}: {changed}", width, "    ")
    yield from wrap(result["sentence"], width, "    ")
    if customer["status"] != "ok":
        yield from wrap(f"{customer['status'].replace('_', ' ')}: {customer['reason']}", width, "    ")


def _advice_lines(place: int, customer: Mapping[str, Any], width: int) -> Iterator[str]:
    yield from wrap(f"{place}. {customer['author']}: index {customer['index']:.0f}", width, "  ")
    if customer["actions"]:
        order = f"priority {customer['priority']:.1f} (movable {customer['movable']:.2f})"
        yield from wrap(f"{order}: {'; '.join(customer['reasons'])}", width, "    ")
    if customer["note"]:
        yield from wrap(customer["note"], width, "    ")
    for action in customer["actions"]:
        result = action["what_if"]
        (effect,) = result["effects"]
        interval = f"80 % interval {result['low']:.1f}..{result['high']:.1f}"
        capped = ", held at the level without a failure" if result["capped"] else ""
        yield from wrap(
            f"{in_words(action['change'])}: posts that report it had {result['difference']:+.1f} ({interval}{capped}; "
            f"published findings: {effect['verdict']})",
            width,
            "    - ",
            "      ",
        )
        yield from wrap(action["reason"], width, "      ")
        for quote in action["quotes"]:
            where = f" ({quote['utterance']})" if quote["utterance"] else ""
            yield from wrap(f'"{quote["quote"]}"{where}', width, "        ")
