"""The mechanism of the behavioural tests, with a reader that knows two words."""

import json
from pathlib import Path

import pytest

from benchmarks.behaviour import PAGE, RESULTS, page
from model.types import Sentiment
from training.behaviour import FEWEST, SUITES, Item, failures, load_suite, parse_suite, pin, read_pins, risen


def read(item: Item) -> Sentiment | None:
    if item.target == "nobody":
        return None
    value = 0.9 * (item.text.count("good") - item.text.count("bad"))
    label = "positive" if value > 0 else "negative" if value < 0 else "neutral"
    return Sentiment(label, max(-value, 0), 1 - abs(value), max(value, 0), value)


def behaviour(cases, **fields):
    filler = [" => ".join([f"good {n}"] * (1 + (fields.get("kind", "label") != "label"))) for n in range(FEWEST)]
    expected = {"expected": ["positive"]} if fields.get("kind", "label") == "label" else {}
    entry = {"name": "test", "kind": "label", **expected, **fields, "cases": "\n".join([*cases, *filler])}
    text = "[[test]]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in entry.items())
    return parse_suite(text)["test"]


def test_a_case_with_another_label_fails_and_says_what_was_read():
    assert failures(behaviour(["a bad day", "a good day"]), read) == ["a bad day [negative -0.90]"]


def test_pairs_fail_where_labels_differ():
    found = failures(behaviour(["good => fair", "bad => bad, bad"], kind="same"), read)
    assert found == ["good [positive +0.90] => fair [neutral +0.00]"]


def test_directions_fail_where_the_second_falls_or_rises_too_little():
    assert len(failures(behaviour(["good => fair", "fair => good"], kind="rises"), read)) == 1
    # The twelve fillers stay where they are.
    assert len(failures(behaviour(["fair => good"], kind="rises", least=0.5), read)) == FEWEST


def test_targets_and_line_breaks_are_taken_out_of_a_line():
    test = behaviour([r"nobody :: one\ntwo"], expected=["positive", "none"])
    assert test.cases[0] == (Item("one\ntwo", "nobody"),)
    assert failures(test, read) == []
    assert failures(behaviour(["nobody :: good"]), read) == ["nobody :: good [none]"]


@pytest.mark.parametrize(
    ("cases", "fields", "words"),
    [
        (["good 1"], {}, "twice"),
        (["a => b"], {}, "one text"),
        (["a"], {"kind": "same"}, "a pair"),
        ([], {"kind": "odd"}, "'odd'"),
        ([], {"expected": ["glad"]}, "glad"),
        ([], {"expected": []}, "expected"),
    ],
)
def test_a_test_that_is_written_wrongly_is_refused(cases, fields, words):
    with pytest.raises(ValueError, match=words):
        behaviour(cases, **fields)


def test_a_test_with_few_cases_is_refused():
    with pytest.raises(ValueError, match="1 cases, fewer"):
        parse_suite('[[test]]\nname = "x"\nkind = "label"\nexpected = ["neutral"]\ncases = "one"')


def test_digest_changes_with_what_is_asked():
    digests = {behaviour(c, **f).digest for c, f in ((["a"], {}), (["b"], {}), (["a"], {"expected": ["neutral"]}))}
    assert len(digests) == 3


def test_pins_are_loosened_by_a_higher_share_or_a_test_that_goes():
    twelve, thirteen = behaviour([]), behaviour(["a good day"])
    old = {"one": pin(twelve, 2), "two": pin(twelve, 2), "three": pin(twelve, 1), "gone": pin(twelve, 0)}
    new = {"one": pin(twelve, 3), "two": pin(thirteen, 2), "three": pin(twelve, 0), "more": pin(twelve, 9)}
    assert risen(old, new) == ["gone: no longer tested", "one: 2 of 12 before, 3 of 12 now"]


@pytest.mark.parametrize("suite", SUITES)
def test_suites_are_large_enough(suite):
    assert len(load_suite(suite)) >= {"sentiment": 48, "targets": 12}[suite]


def test_table_and_pins_are_of_one_run():
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert PAGE.read_text(encoding="utf-8") == page(found)
    counts = {s: {n: r["failures"] for n, r in tests.items()} for s, tests in found["suites"].items()}
    assert {
        s: {n: p["failures"] for n, p in tests.items()}
        for s, tests in read_pins(Path(__file__).parent / "pins.json").items()
        if tests
    } == counts


def test_table_is_of_the_released_bundle(released):
    measured = json.loads(RESULTS.read_text(encoding="utf-8"))["bundle"]["digest"]
    assert measured == released.info.digest, "other weights: run python -m benchmarks.behaviour"
