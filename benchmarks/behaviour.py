"""Failures of the behavioural tests: prints the table, renews the pins, behaviour.json and docs/behaviour.md.

    python -m benchmarks.behaviour
    python -m benchmarks.behaviour --accept
    python -m benchmarks.behaviour --bundle FOLDER

A share of failures may only fall: where one would rise, or a test would go, nothing is written and the command ends
with 1, unless --accept is given. --bundle prints the table of other weights, beside the pins, and writes nothing.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from model.scorer import Scorer
from training.behaviour import (
    KINDS,
    SUITES,
    Behaviour,
    failures,
    load_suite,
    pin,
    read_pins,
    reader,
    risen,
)

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "behaviour.json"
PAGE = ROOT / "docs" / "behaviour.md"
SHOWN = 3
TITLES = {
    "label": "Minimum functionality: the text has the label (or one of two) that every careful reader gives it",
    "same": "Invariance: both texts of a pair have the same label",
    "rises": "Direction: the second text is not valued lower than the first, or higher by a stated amount",
}
SUBJECTS = {"sentiment": "Sentiment of a text", "targets": "Sentiment towards a named target"}

Failed = dict[str, list[str]]
PINS = Path(__file__).parents[1] / "tests/behaviour/pins.json"
Pins = dict[str, dict[str, dict[str, Any]]]


def measure(scorer: Scorer, suites: Mapping[str, Mapping[str, Behaviour]]) -> dict[str, Failed]:
    """Lines of the cases that fail, by suite and test; a suite that the bundle can't answer is left out."""
    read = reader(scorer)
    able = [s for s in suites if s != "targets" or scorer.bundle.has_targets]
    return {s: {name: failures(test, read) for name, test in suites[s].items()} for s in able}


def results(scorer: Scorer, suites: Mapping[str, Mapping[str, Behaviour]], failed: dict[str, Failed]) -> dict[str, Any]:
    """What behaviour.json holds."""
    tests = {
        suite: {
            name: {
                "kind": suites[suite][name].kind,
                "cases": len(suites[suite][name].cases),
                "failures": len(lines),
                "share": round(len(lines) / len(suites[suite][name].cases), 4),
                "failed": lines,
            }
            for name, lines in by_name.items()
        }
        for suite, by_name in failed.items()
    }
    return {"bundle": {"version": scorer.info.version, "digest": scorer.info.digest}, "suites": tests}


def table(found: Mapping[str, Mapping[str, Mapping[str, Any]]], pins: Pins) -> Iterator[str]:
    """One line a test: kind, cases, failures, share, and the failures pinned before."""
    for suite, tests in found.items():
        yield f"{suite:44} {'kind':6} {'cases':>5} {'failed':>6} {'share':>6} {'pinned':>6}"
        for name, row in tests.items():
            before = pins.get(suite, {}).get(name, {}).get("failures", "-")
            yield f"{name:44} {row['kind']:6} {row['cases']:5} {row['failures']:6} {row['share']:6.2f} {before:>6}"
        cases, failed = (sum(row[key] for row in tests.values()) for key in ("cases", "failures"))
        yield f"{'in all':44} {'':6} {cases:5} {failed:6} {failed / cases:6.2f}"


def page(found: Mapping[str, Any]) -> str:
    """docs/behaviour.md."""
    lines = [
        f"# Behavioural tests: bundle {found['bundle']['version']} ({found['bundle']['digest'][:12]})",
        "",
        "Written by `python -m benchmarks.behaviour`, which also renews the pins (`tests/behaviour/pins.json`): the",
        "test suite fails where a share of failures rises. The cases are our own, each worded on its own, in",
        "`training/texts/behaviour/*.toml`; idea and kinds are those of CheckList (Ribeiro et al. 2020). They are",
        "not for training, and were written before their results were seen (six were reworded afterwards as readers",
        "could have differed). A share says what the model can't do yet, not how often that matters: the cases are no",
        "sample of what people write. With twelve cases and no failure the true share may still be up to .22 (95 %).",
    ]
    for suite in SUITES:
        lines += ["", f"## {SUBJECTS[suite]}"]
        if suite in found["suites"]:
            lines += _suite_page(found["suites"][suite])
        else:
            lines += ["", "Not measured: this bundle has no head for it."]
    return "\n".join(lines) + "\n"


def _suite_page(tests: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for kind in KINDS:
        rows = {name: row for name, row in tests.items() if row["kind"] == kind}
        cases, failed = (sum(row[key] for row in rows.values()) for key in ("cases", "failures"))
        lines += ["", f"### {TITLES[kind]}", "", "| test | cases | failures | share |", "|---|---|---|---|"]
        lines += [f"| {n} | {r['cases']} | {r['failures']} | {_share(r['share'])} |" for n, r in rows.items()]
        lines += [f"| **all {len(rows)}** | {cases} | {failed} | {_share(failed / cases)} |"]
    worst = sorted(((n, r) for n, r in tests.items() if r["failures"] > 1), key=lambda item: -item[1]["share"])
    lines += ["", f"### Cases that fail: up to {SHOWN} of every test with more than one"]
    for name, row in worst:
        lines += ["", f"{name}:"]
        lines += [f"- `{_plain(line)}`" for line in row["failed"][:SHOWN]]
    return lines


def _share(share: float) -> str:
    return f"{share:.2f}".removeprefix("0") if 0 < share < 1 else f"{share:.0f}"


def _plain(line: str) -> str:
    return line.replace("\n", " ").replace("`", "'")


def main() -> int:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--accept", action="store_true", help="write pins even where a share of failures rises")
    options.add_argument(
        "--bundle", type=Path, metavar="FOLDER", help="print the table of another bundle, write nothing"
    )
    args = options.parse_args()
    scorer = Scorer.load(args.bundle)
    suites = {suite: load_suite(suite) for suite in SUITES}
    pins: Pins = read_pins(PINS) if PINS.exists() else {}
    failed = measure(scorer, suites)
    found = results(scorer, suites, failed)
    print("\n".join(table(found["suites"], pins)))
    if args.bundle:
        return 0
    new = {s: {n: pin(suites[s][n], len(lines)) for n, lines in failed.get(s, {}).items()} for s in SUITES}
    rises = [line for suite, old in pins.items() for line in risen(old, new.get(suite, {}))]
    if rises and not args.accept:
        print("\nNothing written; --accept would loosen these pins:", *rises, sep="\n- ", file=sys.stderr)
        return 1
    write(found, new)
    return 0


def write(found: Mapping[str, Any], pins: Pins) -> None:
    """All three files."""
    PINS.write_text(_json({"bundle": found["bundle"], "suites": pins}), encoding="utf-8")
    RESULTS.write_text(_json(found), encoding="utf-8")
    PAGE.write_text(page(found), encoding="utf-8")


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
