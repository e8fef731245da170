"""amends retrain: what it prints and writes, which version becomes the champion, and its errors."""

import argparse
import json

import pytest

from model.types import BundleInfo
from service import cli
from service.feedback import keep
from service.registry import Registry
from service.retrain import feedback, lines, registered, seconds
from service.retrain_page import render
from service.settings import CHAMPION
from service.store import open_store

pytest.importorskip("torch", reason="the train extra is not installed")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    from tests.training.tiny import tiny_bundle

    return tiny_bundle(tmp_path_factory.mktemp("tiny") / "bundle")


@pytest.fixture
def examples(tmp_path):
    from tests.training.tiny import sentences

    path = tmp_path / "examples.jsonl"
    path.write_text("".join(json.dumps({"text": t, "label": label}) + "\n" for t, label in sentences(60, 5)))
    return path


def report(**changes):
    figures = {
        "n": 40, "macro_f1": 0.7, "f1": {}, "ece": 0.05, "reliability": [{"confidence": 0.8, "accuracy": 0.7, "n": 40}],
    }  # fmt: skip
    both = {"champion": figures, "challenger": figures | {"macro_f1": 0.8}}
    found = {
        "task": "sentiment",
        "champion": {"version": "0.2.0", "digest": "a" * 64},
        "challenger": {"version": "0.2.0+b", "digest": "b" * 64},
        "examples": {
            "rows": 50, "copies": 3, "dropped": {"bad_row": 1}, "learnt_from": 40, "digest": "d",
            "dropped_rows": ["<b>x.csv</b>, row 2: label: got 'meh', expected positive"],
        },
        "own_examples": both | {"n": 40, "gain": {"gain": 0.1, "low": 0.02, "high": 0.18}},
        "sets": {"acceptance": both},
        "decision": {
            "promote": True, "passed": True, "forced": None, "reasons": [],
            "checks": [{"name": "a", "passed": True, "words": "gain +0.100"}],
        },
        "seconds": 90.0,
    }  # fmt: skip
    return found | changes


def test_times_are_read_and_nonsense_is_refused():
    assert [seconds(t) for t in ("90", "90s", "30m", "1.5h")] == [90, 90, 1800, 5400]
    for wrong in ("soon", "-3m", "0m", "3 days"):
        with pytest.raises(argparse.ArgumentTypeError, match="no time such as"):
            seconds(wrong)


def test_the_page_shows_checks_and_pictures_and_escapes_what_is_in_rows():
    page = render(report())
    assert "<h1>Promote</h1>" in page
    assert "gain +0.100" in page
    assert "0.700 → 0.800" in page
    assert "&lt;b&gt;x.csv" in page
    assert "<script" not in page


def test_a_run_without_a_challenger_has_a_page_and_lines_all_the_same(tmp_path):
    refused = {"promote": False, "passed": False, "forced": None, "reasons": ["few"], "checks": [
        {"name": "enough examples", "passed": False, "words": "1 different examples"}]}  # fmt: skip
    found = report(challenger=None, decision=refused)
    del found["own_examples"], found["sets"]
    assert "Keep the champion" in render(found)
    told = "\n".join(lines(found, tmp_path))
    assert "FAILED     1 different examples" in told
    assert "keep the champion: 1 of 1 checks failed" in told


def test_a_flood_of_copies_is_refused_with_its_reason(tiny, tmp_path, capsys):
    flood = tmp_path / "flood.csv"
    flood.write_text("text,label\n" + "The kettle was broken,positive\n" * 500)
    out = tmp_path / "out"
    options = ["--from", str(flood), "--bundle", str(tiny), "--out", str(out), "--home", str(tmp_path / "home")]
    assert cli.main(["retrain", *options]) == 0
    told = capsys.readouterr().out
    assert "1 of 500 rows; 499 copies" in told
    assert "keep the champion" in told
    assert "1 different examples" in (out / "report.html").read_text()
    assert json.loads((out / "report.json").read_text())["challenger"] is None


def test_an_error_in_the_examples_is_one_line(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("text,label\nGood,maybe\n")
    assert cli.main(["retrain", "--from", str(tmp_path / "a.csv"), "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert "label: got 'maybe', expected negative, neutral, positive" in told
    assert "Traceback" not in told
    assert cli.main(["retrain", "--from", "x.csv", "--force", " "]) == 1
    assert "--force needs a reason" in capsys.readouterr().err


def test_a_challenger_is_registered_and_takes_the_place_of_the_champion_it_was_compared_with(tiny, tmp_path):
    registry = Registry(tmp_path / "home")
    first = registered(registry, tiny, report(champion={"version": "x", "digest": "another champion"}))
    assert first == {"version": first["version"], "promoted": False}
    current = registry.get(CHAMPION).digest
    second = registered(registry, tiny, report(champion={"version": "x", "digest": current}))
    assert second["promoted"]
    assert registry.state().champion == second["version"]
    assert registry.get(CHAMPION).parent is not None


def test_a_refused_challenger_is_kept_and_a_forced_one_is_promoted_with_its_reason(tiny, tmp_path):
    registry = Registry(tmp_path / "home")
    current = {"version": "x", "digest": registry.get(CHAMPION).digest}
    refused = report()["decision"] | {"promote": False, "passed": False, "reasons": ["it fell"]}
    assert not registered(registry, tiny, report(champion=current, decision=refused))["promoted"]
    assert registry.state().champion == "released"
    forced = refused | {"promote": True, "forced": "we know better"}
    assert registered(registry, tiny, report(champion=current, decision=forced))["promoted"]
    assert registry.state().history[-1].reason == "we know better"


@pytest.mark.slow
def test_the_command_learns_from_a_file_and_the_version_is_there(tiny, examples, tmp_path, capsys):
    out, home = tmp_path / "out", tmp_path / "home"
    options = ["--from", str(examples), "--bundle", str(tiny), "--out", str(out), "--home", str(home), "--budget", "1s"]
    assert cli.main(["retrain", *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["challenger"]["version"].startswith("0.0.1+")
    assert found["registered"]["version"] in Registry(home).versions()
    assert (out / "report.html").is_file()


def test_feedback_of_the_server_is_a_source_beside_files(examples, tmp_path):
    from training.labels import read_examples

    url = f"sqlite:///{tmp_path / 'amends.db'}"
    store = open_store(url)
    said = [("The lift is out again.", "positive"), ("The lift is out again.", "negative"), ("Thank you.", "positive")]
    items = [{"kind": "sentiment", "text": text, "label": label, "predicted": "neutral"} for text, label in said]
    keep(store, items, "page", BundleInfo("0.2.0", "d" * 64))
    store.close()
    with feedback(["feedback", str(examples)], url) as sources:
        found = read_examples(sources, "sentiment")
    own = [e for e in found.used if e.source == "feedback"]
    assert [(e.text, e.label, e.place, e.client) for e in own] == [
        ("The lift is out again.", "negative", "item 2", "page"),
        ("Thank you.", "positive", "item 3", "page"),
    ]
    assert found.superseded == 1
    assert len(found.used) == 62
