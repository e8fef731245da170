"""The command `amends drift`: whether texts still look like those of the training, and whether to retrain."""

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from model.drift import FILE, MINIMUM, load_reference
from model.drift_report import ASPECTS, LITTLE, MUCH, Drift, compare
from model.types import BundleInfo, InputError
from service.files import check_output, replacing
from service.page import HERE, environment, policy
from service.review import MOST, given_texts

if TYPE_CHECKING:
    from service.cli import Load

LABEL: Final = 200
VERDICTS: Final = {
    "too_few": "Too few texts",
    "none": "No drift",
    "some": "Some drift",
    "much": "Much drift",
}


def run(args: argparse.Namespace, load: "Load") -> int:
    """Runs the command and returns its exit code: 0 also where there is drift."""
    if args.html:
        check_output(args.html)
    every = given_texts(args.files, args.kept, args.database, args.text_column, None)
    # One in so many, so that those taken stand for the whole.
    given = every[:: -(-len(every) // MOST)]
    if len(given) < len(every):
        print(f"amends: looking at {len(given):,} of {len(every):,} texts", file=sys.stderr)
    reference = load_reference(args.bundle)
    if reference is None:
        raise InputError(
            "This bundle has no reference of its training texts",
            code="no_reference",
            field=FILE,
            got="none, or that of another bundle",
            expected="what `python -m training.reference` writes",
        )
    scorer = load(args.bundle, threads=args.threads)
    found = compare(scorer, reference, [one.text for one in given])
    sources = sorted({one.source for one in given})
    report = to_dict(found, sources, scorer.info)
    print(json.dumps(report, indent=2, ensure_ascii=False) if args.json else in_words(found, sources), end="")
    if args.json:
        print()
    if args.html:
        with replacing(args.html) as path:
            path.write_text(render(found, sources, scorer.info), encoding="utf-8", newline="\n")
        print(f"amends: wrote {args.html}", file=sys.stderr)
    return 0


def to_dict(found: Drift, sources: list[str], bundle: BundleInfo) -> dict[str, Any]:
    """As documented in docs/drift.md."""
    return {
        "verdict": found.verdict,
        "drifted": found.drifted,
        "advice": advice(found),
        "texts": found.texts,
        "copies": found.copies,
        "wordless": found.wordless,
        "sources": sources,
        "aspects": [{**asdict(a), "verdict": a.verdict} for a in found.aspects],
        "words": [asdict(w) for w in found.words],
        "bundle": asdict(bundle),
    }


def advice(found: Drift) -> str:
    """What the verdict means, and what to do."""
    if found.verdict == "too_few":
        return f"{found.texts} different texts say too little; {MINIMUM} are the least, 1,000 are better."
    if found.verdict == "none":
        return (
            "These texts look like those of the training. Drift gives no reason to retrain; whether the labels still "
            "fit, only labelled texts can tell (amends evaluate)."
        )
    what = ", ".join(ASPECTS[name] for name in found.drifted)
    step = (
        f"label {LABEL} of these texts (amends review --for teaching --top {LABEL}), measure the model on them "
        "(amends evaluate), and retrain if its figures have fallen (amends retrain)."
    )
    if found.verdict == "some":
        return f"Drift in: {what}. It may do no harm. To know, {step}"
    return f"Drift in: {what}. A retrain is worth a try: {step}"


def in_words(found: Drift, sources: list[str]) -> str:
    """The comparison as text for people."""
    left = [f"{n:,} {name}" for n, name in ((found.copies, "copies"), (found.wordless, "without words")) if n]
    lines = [
        f"{VERDICTS[found.verdict]}: {found.texts:,} different texts of {', '.join(sources)}"
        + (f" (left out: {', '.join(left)})" if left else ""),
        advice(found),
        "",
    ]
    if found.aspects and found.verdict != "too_few":
        lines.append(f"{'':24}{'index':>7}{'chance':>8}   under {LITTLE} is little, over {MUCH} a lot")
        lines += [f"{ASPECTS[a.name]:24}{a.psi:7.3f}{a.chance:8.3f}   {_mark(a.verdict)}" for a in found.aspects]
    if found.words:
        lines += ["", f"{'new or more frequent':24}{'texts':>7}{'expected at most':>18}"]
        lines += [f"{w.word:24}{w.texts:7,}{w.expected:18,.1f}" for w in found.words]
    return "\n".join(lines) + "\n"


def _mark(verdict: str) -> str:
    return {"none": "as before", "some": "some drift", "much": "much drift"}[verdict]


def render(found: Drift, sources: list[str], bundle: BundleInfo) -> str:
    """The comparison as one page that stands alone."""
    css = (HERE / "page.css").read_text("utf-8") + (HERE / "drift.css").read_text("utf-8")
    rows = [
        (a, ASPECTS[a.name], _mark(a.verdict), _bars(a.expected, a.found))
        for a in found.aspects
        if found.verdict != "too_few"
    ]
    page = environment().get_template("drift.html").render(
        title=VERDICTS[found.verdict], css=css, policy=policy(css), found=found, rows=rows, sources=sources,
        advice=advice(found), bundle=bundle, little=LITTLE, much=MUCH, bins=BINS,
    )  # fmt: skip
    return page.encode("utf-8", "replace").decode("utf-8")


BINS: Final = {
    "labels": "negative, neutral, positive",
    "confidence": "probability of the likeliest label, low to high",
    "length": "short to long",
    "rare": "none to many",
    "kinds": "one bar for each kind of text",
}


def _bars(expected: tuple[float, ...], found: tuple[float, ...]) -> list[tuple[float, float, float, float, float]]:
    """For each bin: where it begins, how wide one bar is, and the heights of both, in per cent of the picture."""
    top = max(*expected, *found)
    wide = 100 / len(found)
    return [
        (i * wide, wide * 0.36, wide * 0.42, 100 * e / top, 100 * f / top)
        for i, (e, f) in enumerate(zip(expected, found, strict=True))
    ]
