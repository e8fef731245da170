"""Behavioural tests as data: cases from a TOML file, what a scorer fails, and pins that may only fall.

The cases ship with the package (texts/behaviour), so that a retrained model is held to them wherever it is made; the
pins are those of the release and lie beside the tests of the repository.
`python -m benchmarks.behaviour` measures the released bundle and renews pins and table.
"""

import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.codebook import SENTIMENT
from model.scorer import Scorer
from model.types import Sentiment

SUITES_FOLDER = Path(__file__).parent / "texts/behaviour"
SUITES = ("sentiment", "targets")
KINDS = ("label", "same", "rises")
FEWEST = 12
# A hundredth is rounding of the 8-bit graph, not a change of mind.
ROUNDING = 0.01
# One case of a test, and five of a hundred failures in all, are left to the rounding of other processors.
SPARE = 1
SPARE_SHARE = 0.05

Read = Callable[["Item"], Sentiment | None]


@dataclass(frozen=True)
class Item:
    """A text, and whose sentiment in it is asked for; None for the whole text."""

    text: str
    target: str | None = None


@dataclass(frozen=True)
class Behaviour:
    """One test: `cases` of one item (label) or two (same, rises)."""

    name: str
    kind: str
    cases: tuple[tuple[Item, ...], ...]
    expected: tuple[str, ...] = ()
    least: float = 0.0

    @property
    def digest(self) -> str:
        """Changes with every word that the test asks or expects."""
        cases = [[(i.target, i.text) for i in case] for case in self.cases]
        asked = json.dumps([self.kind, sorted(self.expected), self.least, cases])
        return hashlib.sha256(asked.encode()).hexdigest()[:12]


def load_suite(name: str) -> dict[str, Behaviour]:
    """Tests of one suite by name. Raises ValueError where a test is not as sentiment.toml explains."""
    return parse_suite((SUITES_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def parse_suite(text: str) -> dict[str, Behaviour]:
    """As load_suite, from the text of the file."""
    tests: dict[str, Behaviour] = {}
    for entry in tomllib.loads(text)["test"]:
        test = _behaviour(entry)
        if test.name in tests:
            raise ValueError(f"{test.name}: two tests have this name")
        tests[test.name] = test
    return tests


def _behaviour(entry: Mapping[str, Any]) -> Behaviour:
    name, kind = entry["name"], entry["kind"]
    cases = tuple(_case(line) for line in entry["cases"].splitlines() if line.strip())
    expected = tuple(entry.get("expected", ()))
    wrong = (
        (kind not in KINDS, f"kind {kind!r} is none of {', '.join(KINDS)}"),
        (len(cases) < FEWEST, f"{len(cases)} cases, fewer than {FEWEST}"),
        (len(set(cases)) < len(cases), "a case comes twice"),
        (any(len(c) != 1 + (kind != "label") for c in cases), "a label has one text a case, other kinds have a pair"),
        ((kind == "label") != bool(expected), "`expected` goes with the kind label"),
        (not {*expected} <= {*SENTIMENT, "none"}, f"unknown label in {expected}"),
    )
    for failed, message in wrong:
        if failed:
            raise ValueError(f"{name}: {message}")
    return Behaviour(name, kind, cases, expected, float(entry.get("least", 0.0)))


def _case(line: str) -> tuple[Item, ...]:
    return tuple(_item(part.strip().replace("\\n", "\n")) for part in line.split(" => "))


def _item(part: str) -> Item:
    target, sign, text = part.partition(" :: ")
    return Item(text, target) if sign else Item(part)


def reader(scorer: Scorer) -> Read:
    """Sentiment by the scorer, one text at a time: the rounding of an 8-bit batch depends on its other texts."""

    def read(item: Item) -> Sentiment | None:
        return scorer.sentiment([item.text], targets=[item.target])[0]

    return read


def failures(test: Behaviour, read: Read) -> list[str]:
    """One line for each case that fails: the case and what was read."""
    return [_line(case, found) for case in test.cases if _fails(test, found := [read(item) for item in case])]


def failed_cases(scorer: Scorer, suite: str = "sentiment") -> dict[str, list[bool]]:
    """For each test of a suite which of its cases fail, all texts read together: faster, and rounded otherwise."""
    tests = load_suite(suite)
    items = list(dict.fromkeys(item for test in tests.values() for case in test.cases for item in case))
    found = dict(zip(items, scorer.sentiment([i.text for i in items], [i.target for i in items]), strict=True))
    return {name: [_fails(test, [found[i] for i in case]) for case in test.cases] for name, test in tests.items()}


def _fails(test: Behaviour, found: list[Sentiment | None]) -> bool:
    if test.kind == "label":
        return _label(found[0]) not in test.expected
    first, second = found
    if test.kind == "same":
        return _label(first) != _label(second)
    return first is None or second is None or second.valence - first.valence < test.least - ROUNDING


def _label(found: Sentiment | None) -> str:
    return found.label if found else "none"


def _line(case: tuple[Item, ...], found: list[Sentiment | None]) -> str:
    parts = []
    for item, sentiment in zip(case, found, strict=True):
        named = f"{item.target} :: {item.text}" if item.target else item.text
        parts.append(f"{named} [{_label(sentiment)}{f' {sentiment.valence:+.2f}' if sentiment else ''}]")
    return " => ".join(parts)


def read_pins(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Pins by suite and test: `failures` allowed, `cases`, and the `digest` of the cases that they were measured on."""
    pins: dict[str, dict[str, dict[str, Any]]] = json.loads(path.read_text(encoding="utf-8"))["suites"]
    return pins


def pin(test: Behaviour, failed: int) -> dict[str, Any]:
    """What is written down about a test."""
    return {"failures": failed, "cases": len(test.cases), "digest": test.digest}


def risen(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What renewing the pins of a suite would loosen: a higher share of failures, or a test that is gone."""
    loosened = [f"{name}: no longer tested" for name in old if name not in new]
    for name, pinned in old.items():
        if name in new and new[name]["failures"] / new[name]["cases"] > pinned["failures"] / pinned["cases"]:
            loosened.append(f"{name}: {_of(pinned)} before, {_of(new[name])} now")
    return loosened


def _of(pinned: Mapping[str, Any]) -> str:
    return f"{pinned['failures']} of {pinned['cases']}"


def most(pinned: int) -> int:
    """Failures of one test that pass."""
    return pinned + SPARE


def most_in_all(pins: Mapping[str, Mapping[str, Any]]) -> float:
    """Failures of a whole suite that pass."""
    return float(sum(p["failures"] for p in pins.values()) * (1 + SPARE_SHARE) + SPARE)
