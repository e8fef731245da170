"""What the released sentiment model must and must not be moved by: the cases are in sentiment.toml."""

from pathlib import Path

import pytest

from training.behaviour import failures, load_suite, most, most_in_all, read_pins, reader

SUITE = load_suite("sentiment")
PINS = read_pins(Path(__file__).parent / "pins.json")["sentiment"]


@pytest.fixture(scope="module")
def measured(released):
    read = reader(released)
    return {name: failures(test, read) for name, test in SUITE.items()}


def test_pins_are_of_these_very_cases():
    assert {n: p["digest"] for n, p in PINS.items()} == {n: t.digest for n, t in SUITE.items()}


@pytest.mark.parametrize("name", SUITE)
def test_failures_only_fall(measured, name):
    failed = measured[name]
    assert len(failed) <= most(PINS[name]["failures"]), "\n".join(failed)


def test_failures_of_all_tests_together_only_fall(measured):
    assert sum(map(len, measured.values())) <= most_in_all(PINS)
