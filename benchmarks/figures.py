"""Writes the figures of the released bundle into README.md and docs/loyalty.md, between their marks.

    python -m benchmarks.figures
    python -m benchmarks.figures --check

They come from model/released/figures.json and benchmarks/public_tests.json; nothing is measured here. --check writes
nothing and ends with 1 where a page says something else.
"""

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed_report import replaced
from model.bundle import RELEASED, manifest
from model.sentiment import CLOSE, CLOSE_IN_BFLOAT

ROOT = Path(__file__).resolve().parents[1]
MARKS = ("<!-- figures: begin, written by benchmarks/figures.py -->", "<!-- figures: end -->")
WIDTH = 128
TESTS = {"tweeteval_test": "TweetEval (12,284 tweets)", "sst3_test": "SST, three classes (2,210 sentences)"}
# Sources of the development texts as a reader knows them.
KINDS = {
    "airline_tweets": "airline tweets",
    "semeval_absa": "restaurants and laptops",
    "stackoverflow": "StackOverflow",
    "dynasent_r1": "DynaSent (adversarial), first round",
    "dynasent_r2": "second round",
    "sentube_cars": "comments on car videos",
}
OUTCOMES = {"recommend": "recommends or not (airlines)", "stars": "4 or 5 stars or 1 or 2 (pet insurance)"}
HEADS = {
    "full": "full",
    "conduct_only": "conduct-only",
    "sentiment_only": "sentiment only",
    "failure_and_length": "failure type and length",
    "tfidf": "TF-IDF and logistic regression",
    "base_rate": "base rate",
}
PARTS = {"all": "{}", "answered_failure": "… that tell of a failure and a reaction"}

Figures = Mapping[str, Any]


def short(value: float | None, digits: int = 3) -> str:
    """Without the nought before the point, with the sign of arithmetic; nothing for None."""
    if value is None:
        return ""
    text = f"{abs(value):.{digits}f}"
    sign = "\N{MINUS SIGN}" if value < 0 and float(text) else ""
    return sign + text.removeprefix("0")


def between(low_high: Sequence[float], digits: int = 3) -> str:
    """An interval in brackets."""
    return f"[{', '.join(short(v, digits) for v in low_high)}]"


def percent(share: float, digits: int = 0) -> str:
    """A share as a percentage, on one line with its sign."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def both(values: Sequence[float | None]) -> str:
    """Two figures and an `and`."""
    return " and ".join(map(short, values))


def paragraph(*sentences: str) -> Iterator[str]:
    """The sentences in lines, and an empty one."""
    yield from textwrap.wrap(" ".join(sentences), WIDTH, break_on_hyphens=False)
    yield ""


def point(*sentences: str) -> Iterator[str]:
    """The sentences as a point of a list."""
    yield from textwrap.wrap("- " + " ".join(sentences), WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    """Head and rows of a table, and an empty line."""
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def readme(figures: Figures, tests: Figures, version: str) -> Iterator[str]:
    """What README.md says of how good the bundle is."""
    yield from paragraph(
        f"Bundle {version} (33 M parameters, 8 bit, CPU). The texts below were not trained on.",
        "Brackets: 95 % bootstrap interval.",
    )
    yield "Sentiment, three classes, through `amends predict` (`benchmarks/public_tests.py`, results in its `.json`):"
    yield ""
    yield from table(("test", "", "macro F1", "macro recall"), public_tests(tests))
    yield from sentiment_text(figures["sentiment"])
    yield from conduct_text(figures["conduct"])
    yield from paragraph(
        "Loyalty, companies that the head was not fitted on and texts that are in no training set as they are:",
        "AUC of word of mouth.",
    )
    heads = [h for h in HEADS if h != "base_rate"]
    yield from table(("", "reviews", *(HEADS[h] for h in heads)), outcomes(figures["loyalty"], heads))
    yield from loyalty_text(figures["loyalty"])
    yield from agreement_text(figures["agreement"])


def public_tests(tests: Figures) -> Iterator[Sequence[str]]:
    """A row a test and system."""
    for name, title in TESTS.items():
        for system, shown in {"amends": "Amends", "vader": "VADER", "majority": "majority"}.items():
            found = tests[name][system]
            scores = [short(found[key]) for key in ("macro_f1", "macro_recall")]
            if system == "amends":
                intervals = (between(found[f"{key}_interval"]) for key in ("macro_f1", "macro_recall"))
                scores = [f"**{score}** {interval}" for score, interval in zip(scores, intervals, strict=True)]
            yield title if system == "amends" else "", shown, *scores


def sentiment_text(found: Figures) -> Iterator[str]:
    """Calibration, kinds of text, targets."""
    dev, towards = found["dev"]["by_source"], found["targets_validation"]
    kinds = ", ".join(f"{name} {short(dev[key]['macro_f1'], 2)}" for key, name in KINDS.items())
    yield from paragraph(
        "For orientation, published: RoBERTa-base (125 M parameters) has a macro recall of .713 on TweetEval, a model",
        "pretrained on tweets .737. The expected calibration error is",
        f"{both([found[t]['bundle']['ece'] for t in TESTS])}. Macro F1 by kind of text: {kinds}.",
    )
    mams, tweets = (short(towards["by_source"][s]["macro_f1"], 2) for s in ("mams", "dong_twitter"))
    yield from paragraph(
        f"Sentiment towards a named target ({towards['bundle']['n']:,} pairs): macro F1 {mams} where a sentence judges",
        f"two things differently (MAMS), {tweets} in tweets; the sentiment of the whole text gives",
        f"{short(towards['whole_text']['macro_f1'], 2)} over both.",
    )


def conduct_text(found: Figures) -> Iterator[str]:
    """Cue values against annotators."""
    wrong, of = found["hypothetical_taken_for_fact"]
    yield from paragraph(
        f"Conduct, {found['documents']} annotated documents (none was seen with an annotation,",
        f"{found['seen_with_sentiment']} with a label of their sentiment): micro F1",
        f"{short(found['micro_f1'], 2)} {between(found['micro_f1_interval'], 2)} over 49 cue values, macro F1",
        f"{short(found['macro_f1_frequent'], 2)} over the values with 20 or more documents; annotators agree with each",
        f"other at .93 and .91. Of {of} hypothetical statements {wrong} are taken for facts.",
    )


def outcomes(loyalty: Figures, heads: Sequence[str]) -> Iterator[Sequence[str]]:
    """A row a set and part of it: reviews and AUC of every head."""
    for name, title in OUTCOMES.items():
        for part, label in PARTS.items():
            row = loyalty[name]["with_priors"][part]
            cells = [short(row[h]["auc"]) for h in heads]
            for i, head in enumerate(heads[:2]):
                cells[i] += f" {between(row[head]['interval'], 2)}"
            yield label.format(title), f"{row['n']:,}", *cells


def loyalty_text(loyalty: Figures) -> Iterator[str]:
    """Calibration and interval."""
    errors = both([loyalty[name]["with_priors"]["all"]["full"]["ece"] for name in OUTCOMES])
    people = loyalty["documents"]
    low, high = (100 * v for v in people["full"]["coverage_interval"])
    yield from paragraph(
        f"After an intercept for each source the calibration error of the full estimate is {errors}.",
        f"The 80 % interval holds what {percent(people['full']['coverage'])} [{low:.0f}, {high:.0f}] of {people['n']}",
        "authors turned out to say.",
    )


def agreement_text(found: Figures) -> Iterator[str]:
    """8 bits against floats."""
    yield from paragraph(
        "8 bits change a label only where it was a close call. A text whose two likeliest labels are nearer than",
        f"{short(CLOSE, 2)} in probability, half of that with more than 64 tokens, is read again in floats; with AMX,",
        f"where this is five times as fast in bfloat16, nearer than {short(CLOSE_IN_BFLOAT, 2)}. Measured with",
        f"{short(found['gap'], 2)} ({percent(found['again'], 1)} of texts are read again):",
        f"{percent(found['label_agreement'], 2)} of {found['texts']:,} development texts have the label of the float",
        f"network, {percent(found['eight_bits']['label_agreement'], 1)} without the second look (largest difference",
        f"of a probability {short(found['largest_difference'], 2)}, mean {short(found['mean_difference'])};",
        "by length in `model/released/figures.json`).",
    )


def loyalty_page(figures: Figures, version: str) -> Iterator[str]:
    """What docs/loyalty.md says of how good the head is."""
    loyalty = figures["loyalty"]
    sets = [loyalty[name]["with_priors"] for name in OUTCOMES]
    sizes = [f"{s['all']['n']:,}" for s in sets]
    yield from paragraph(
        f"Bundle {version} (`figures.json` of a bundle; `amends evaluate --task loyalty` measures any file).",
        "Statements of loyalty are cut out of the texts for all rows alike.",
        f"Airlines: {sizes[0]} reviews of two companies that were never trained on, insurance: {sizes[1]} of two.",
        "ECE: 10 bins of as many texts each.",
    )
    columns = [f"{s} {c}" for s in ("airlines", "insurance") for c in ("AUC", "Brier skill", "slope", "ECE")]
    yield from table(("word of mouth", *columns), head_rows(sets))
    yield from answered_points(sets)
    yield from transfer_points(loyalty)
    yield from interval_point(loyalty)
    yield ""
    yield from findings_text(loyalty)


def head_rows(sets: Sequence[Figures]) -> Iterator[Sequence[str]]:
    """A row a head or baseline."""
    for key, name in HEADS.items():
        cells = []
        for found in (s["all"][key] for s in sets):
            auc = f"{short(found['auc'])} {between(found['interval'])}" if key != "base_rate" else ".5"
            cells += [auc, short(found["brier_skill"], 2), short(found["slope"], 2), short(found["ece"])]
        yield name, *cells


def answered_points(sets: Sequence[Figures]) -> Iterator[str]:
    """What the table leaves out of the two sets."""
    counts = " and ".join(str(s["answered_failure"]["n"]) for s in sets)
    parts = {h: both([s["answered_failure"][h]["auc"] for s in sets]) for h in HEADS}
    yield from point(
        f"Only texts with an answered failure ({counts}): full {parts['full']}, conduct-only {parts['conduct_only']},",
        f"sentiment only {parts['sentiment_only']}, TF-IDF {parts['tfidf']}.",
    )
    bare = both([s["all"]["full"]["ece_without_intercept"] for s in sets])
    yield from point(f"Without an intercept of the source's own: ECE {bare} (airlines and insurance).")
    by = ["; ".join(f"{c} {short(v['ece'])}" for c, v in s["by_company"].items()) for s in sets]
    yield from point(f"By company with that intercept: {by[0]} (airlines); {by[1]} (insurance).")
    kept = [", ".join(percent(s["abstention"][k], 1) for k in ("1", "0.8", "0.6")) for s in sets]
    yield from point(
        "Leaving the unsure texts out, errors on all, on the surest 80 % and the surest 60 %:",
        f"{kept[0]} (airlines); {kept[1]} (insurance).",
    )


def transfer_points(loyalty: Figures) -> Iterator[str]:
    """Companies and industries that the weights never saw."""
    out = loyalty["left_out_companies"]
    errors = [c["ece"] for c in out["by_company"].values()]
    yield from point(
        f"Each of {len(errors)} airlines judged by a head fitted without it ({out['n']:,} reviews): AUC",
        f"{short(out['full']['auc'])}, slope {short(out['full']['slope'], 2)}, ECE {short(out['full']['ece'])} over",
        f"all of them, {short(min(errors), 2)} to {short(max(errors), 2)} by company (with 50 reviews, probabilities",
        "that are exactly right have an ECE of about .1).",
    )
    ways = ("recommend_to_stars", "stars_to_recommend")
    there, back = (tuple(short(loyalty["transfer"][w]["full"][k]) for k in ("auc", "ece")) for w in ways)
    yield from point(
        "Weights of the one industry on the other, intercept learnt there: airlines to insurance AUC",
        f"{there[0]}, ECE {there[1]}; insurance to airlines {back[0]}, {back[1]}.",
    )


def interval_point(loyalty: Figures) -> Iterator[str]:
    """How often the interval holds."""
    people, apart = loyalty["documents"], loyalty["left_out_coverage"]
    full, conduct = people["full"], people["conduct_only"]
    low, high = (100 * v for v in full["coverage_interval"])
    company, least = min(apart["by_company"].items(), key=lambda c: c[1]["coverage"])
    yield from point(
        f"The interval holds {percent(full['coverage'])} ({low:.0f} to {high:.0f}) of {people['n']} unseen annotated",
        f"documents, with a mean width of {full['width']:.0f}; conduct-only {percent(conduct['coverage'])},",
        f"{conduct['width']:.0f}. Each company fitted and spread without it ({apart['n']:,} documents, most of them",
        f"known to the encoder): {percent(apart['coverage'])}; least {percent(least['coverage'])} of {least['n']}",
        f"({company}).",
        "A narrow interval is not a smaller error: it says where the index is, not that it is right.",
    )


def findings_text(loyalty: Figures) -> Iterator[str]:
    """Published findings as cases, and complaints with a known end."""
    cases, ends = loyalty["vignettes"], loyalty["disputes"]
    yield "## Published findings as cases"
    yield from paragraph(
        "28 cells of 11 studies (`training/vignettes.py`), in our own words and as features; Kendall's tau over the",
        f"{cases['with_priors']['texts']['pairs']} pairs within studies:",
    )
    kinds = ("features", "texts", "texts_full")
    rows = {"with_priors": "with priors and signs", "without_priors": "without"}
    taus = ((title, *(short(cases[key][k]["tau"], 2) for k in kinds)) for key, title in rows.items())
    yield from table(("", "features", "texts, conduct-only", "texts, full"), taus)
    told = "; ".join(
        f"{name.removeprefix('Closed with ')} {percent(c['disputed'], 1)}, {c['index']:.0f}"
        for name, c in ends["by_response"].items()
    )
    yield from paragraph(
        f"{ends['n']:,} complaints with a known end (CFPB), of which nothing was trained, share disputed and mean",
        f"index: {told}. AUC of the index {short(ends['auc'])}.",
    )


def pages() -> dict[Path, str]:
    """The pages as they ought to be."""
    figures = json.loads((RELEASED / "figures.json").read_text(encoding="utf-8"))
    tests = json.loads((ROOT / "benchmarks/public_tests.json").read_text(encoding="utf-8"))
    version = manifest(RELEASED)["version"]
    if tests["bundle"] != version:
        sys.exit(f"benchmarks/public_tests.json is of bundle {tests['bundle']}, expected {version}: measure it anew")
    blocks = {"README.md": readme(figures, tests, version), "docs/loyalty.md": loyalty_page(figures, version)}
    return {
        ROOT / name: replaced((ROOT / name).read_text(encoding="utf-8"), "\n".join(lines).rstrip(), MARKS)
        for name, lines in blocks.items()
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="say which page differs instead of writing it")
    check = parser.parse_args().check
    differing = {path: page for path, page in pages().items() if path.read_text(encoding="utf-8") != page}
    for path, page in differing.items():
        print(f"{path.relative_to(ROOT)} {'differs from' if check else 'written with'} the released bundle's figures")
        if not check:
            path.write_text(page, encoding="utf-8")
    sys.exit(bool(check and differing))


if __name__ == "__main__":
    main()
