"""What the sentiment towards a named target must and must not be moved by: the cases are in targets.toml."""

from pathlib import Path

import pytest

from training.behaviour import failures, load_suite, most, most_in_all, read_pins, reader

SUITE = load_suite("targets")
PINS = read_pins(Path(__file__).parent / "pins.json")["targets"]


@pytest.fixture(scope="module")
def with_targets(released):
    if not released.bundle.has_targets:
        pytest.skip("the released bundle has no target head")
    return released


@pytest.fixture(scope="module")
def measured(with_targets):
    read = reader(with_targets)
    return {name: failures(test, read) for name, test in SUITE.items()}


def test_pins_are_of_these_very_cases(with_targets):
    assert {n: p["digest"] for n, p in PINS.items()} == {n: t.digest for n, t in SUITE.items()}


@pytest.mark.parametrize("name", SUITE)
def test_failures_only_fall(measured, name):
    failed = measured[name]
    assert len(failed) <= most(PINS[name]["failures"]), "\n".join(failed)


def test_failures_of_all_tests_together_only_fall(measured):
    assert sum(map(len, measured.values())) <= most_in_all(PINS)
