"""Labelled examples: what is read, what is refused and named, and which label counts where several are given."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.types import InputError
from training.labels import Rows, read_examples, same_text


def lines(path, *rows):
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def sentiment(text, label, **more):
    return {"text": text, "label": label, **more}


def correction(number, text, label, *, key=None, day=1, **more):
    """A row as `amends feedback export` writes it."""
    return {
        "id": number, "received_at": f"2026-03-{day:02}T10:00:00.000+00:00", "key": key, "client_id": None,
        "bundle": {"version": "0.2.0", "digest": "d"}, "kind": "sentiment", "text": text, "label": label, **more,
    }  # fmt: skip


def test_the_three_kinds_of_file_give_the_same_examples(tmp_path):
    rows = [sentiment("A fine day.", "positive"), sentiment("Cold soup", "Negative ")]
    lines(tmp_path / "a.jsonl", *rows)
    (tmp_path / "a.csv").write_text('text;label\nA fine day.;positive\n"Cold soup";negative\n')
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    read = [read_examples([tmp_path / f"a.{kind}"], "sentiment") for kind in ("jsonl", "csv", "parquet")]
    assert [[(e.text, e.label) for e in r.used] for r in read] == [
        [("A fine day.", "positive"), ("Cold soup", "negative")]
    ] * 3
    assert len({r.digest for r in read}) == 1
    assert [r.used[1].place for r in read] == ["line 2", "row 2", "row 2"]


def test_a_bad_row_is_named_and_costs_no_other(tmp_path):
    path = lines(
        tmp_path / "mixed.jsonl",
        sentiment("Good.", "positive"),
        sentiment("Meh.", "so-so"),
        "{broken",
        "[1]",
        sentiment("  ", "neutral"),
        sentiment("When?", "neutral", when="yesterday"),
        {"kind": "mood", "text": "x"},
    )
    found = read_examples([path], "sentiment")
    assert [e.text for e in found.used] == ["Good."]
    assert [(d.place, d.column) for d in found.dropped] == [
        ("line 2", "label"),
        ("line 3", "row"),
        ("line 4", "row"),
        ("line 5", "text"),
        ("line 6", "when"),
        ("line 7", "kind"),
    ]
    assert found.dropped[0].line == "mixed.jsonl, line 2: label: got 'so-so', expected negative, neutral, positive"
    assert found.rows == 7
    with pytest.raises(InputError, match=r"mixed.jsonl, line 2: the label can't be used \(5 more\)"):
        read_examples([path], "sentiment", strict=True)


def test_a_row_of_a_table_with_too_many_fields_is_named(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\nGood,positive\nGood, really,positive\n"Bad, really",negative\nodd\n')
    found = read_examples([tmp_path / "a.csv"], "sentiment")
    assert [e.label for e in found.used] == ["positive", "negative"]
    assert [(d.place, d.got, d.expected) for d in found.dropped] == [
        ("row 2", "3 fields", "2 fields"),
        ("row 4", "1 fields", "2 fields"),
    ]


def test_copies_count_once_and_punctuation_makes_no_difference_but_a_smiley_does(tmp_path):
    assert same_text("Great, day!") == same_text("great day")
    assert same_text("great :)") != same_text("great :(")
    assert same_text("great \U0001f44d") != same_text("great \U0001f44e")
    path = lines(
        tmp_path / "a.jsonl", *[sentiment("The Kettle!", "positive")] * 500, sentiment("the kettle", "positive")
    )
    found = read_examples([path], "sentiment")
    assert [(e.text, e.rows) for e in found.used] == [("The Kettle!", 501)]
    assert found.copies == 500


def test_the_majority_wins_and_a_tie_is_dropped_and_listed(tmp_path):
    a = [sentiment("one", "positive"), sentiment("One.", "negative"), sentiment("one", "positive")]
    b = [sentiment("two", "positive"), sentiment("Two", "neutral")]
    path = lines(tmp_path / "a.jsonl", *a, *b)
    found = read_examples([path], "sentiment")
    assert [(e.text, e.label, e.rows) for e in found.used] == [("one", "positive", 2)]
    assert [(d.place, d.reason) for d in found.dropped] == [("line 4", "conflict"), ("line 5", "conflict")]
    assert "1 times positive, 1 times neutral" in found.dropped[0].got
    with pytest.raises(InputError, match=r"\(1 more\)"):
        read_examples([path], "sentiment", strict=True)


def test_labels_towards_two_targets_do_not_contradict_each_other(tmp_path):
    rows = [
        sentiment("Fine food, rude waiter", label, target=t)
        for t, label in (("food", "positive"), ("waiter", "negative"))
    ]
    found = read_examples([lines(tmp_path / "a.jsonl", *rows)], "sentiment")
    assert [(e.target, e.label) for e in found.used] == [("food", "positive"), ("waiter", "negative")]


def test_the_newest_correction_of_a_client_replaces_its_older_ones():
    rows = [
        correction(1, "one", "negative", key="a", day=3, predicted="neutral"),
        correction(2, "one", "positive", key="a", day=2),
        correction(3, "one", "positive", key="a", day=1),
        correction(4, "two", "neutral", day=1),
        correction(5, "two", "positive", day=1),
    ]
    found = read_examples([Rows("feedback", rows)], "sentiment")
    assert [(e.text, e.label, e.place) for e in found.used] == [
        ("one", "negative", "item 1"),
        ("two", "positive", "item 5"),
    ]
    assert found.used[0].predicted == "neutral"
    assert found.superseded == 3


def test_each_task_takes_its_own_kind_of_feedback():
    rows = [
        correction(1, "Good", "positive"),
        {"kind": "cue", "text": "They never said sorry.", "cue": "apology", "value": "absent", "state": "absent"},
        {"kind": "outcome", "case_id": "C-1", "outcome": "left", "observed_at": "2026-03-31"},
    ]
    read = {t: read_examples([Rows("feedback", rows)], t) for t in ("sentiment", "conduct", "loyalty")}
    assert [(r.used[0].label, r.other) for r in read.values()] == [
        ("positive", 2),
        ("apology:absent", 2),
        ("left", 2),
    ]
    assert read["conduct"].used[0].state == "absent"
    assert (read["loyalty"].used[0].case_id, read["loyalty"].used[0].when) == ("C-1", "2026-03-31")
    assert json.loads(json.dumps(read["sentiment"].report()))["of_other_kinds"] == 2


def test_cues_are_checked_against_the_codebook():
    good = {"kind": "cue", "text": "t", "cue": "apology", "value": "given", "state": "present"}
    wrong = ({"cue": "sorry"}, {"value": "yes"}, {"state": "maybe"}, {"quote": "not there"})
    found = read_examples([Rows("f", [good, *({**good, **w} for w in wrong)])], "conduct")
    assert [d.column for d in found.dropped] == ["cue", "value", "state", "quote"]


def test_nothing_to_learn_from_is_an_error_that_says_what_was_found(tmp_path):
    path = lines(tmp_path / "a.jsonl", sentiment("x", "meh"))
    with pytest.raises(InputError, match=r"nothing in .*a.jsonl can be learnt from") as error:
        read_examples([path], "sentiment")
    assert "got 'meh'" in error.value.got
    with pytest.raises(InputError, match="does not exist"):
        read_examples([tmp_path / "none.csv"], "sentiment")


def test_data_sets_are_read_from_a_folder_and_their_class_numbers_by_name(tmp_path):
    datasets = pytest.importorskip("datasets", reason="the train extra is not installed")
    names = datasets.ClassLabel(names=["negative", "neutral", "positive"])
    features = datasets.Features({"text": datasets.Value("string"), "label": names})
    datasets.Dataset.from_dict({"text": ["a", "b"], "label": [2, 0]}, features=features).save_to_disk(tmp_path / "set")
    found = read_examples([tmp_path / "set"], "sentiment")
    assert [(e.text, e.label) for e in found.used] == [("a", "positive"), ("b", "negative")]
