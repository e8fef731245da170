"""The texts and marks that ship with the recipe."""

import json
import tomllib
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.codebook import CUE_VALUES, CUES, FAILURE_TYPES, ROLES, SENTIMENT, STATED_LOYALTY
from training.data import normalised
from training.marks import (
    FILES,
    LETTERS,
    SHORT,
    annotated,
    digest,
    labelled,
    ordered,
    pack,
    passages,
    texts_below,
    unpack,
    verdicts,
)

ROOT = Path(__file__).parents[2]
TEXTS = ROOT / "training/texts"
DOCUMENT = {
    "id": "d", "source": "own", "annotator": "a", "text": "Ten years with them. They sent me a refund. Never again.",
    "role": "customer", "failure": {"type": "product", "severity": 2}, "tenure": "Ten years with them",
    "conduct": [{"cue": "redress", "value": "refund", "quote": "sent me a refund"}], "hypothetical": [],
    "stated_loyalty": [{"kind": "leave", "quote": "Never again"}], "repurchase": "leave", "wom": "negative",
}  # fmt: skip


@pytest.fixture
def data():
    """The development data, which lies beside the repository where there is any."""
    folder = ROOT.parent / "shared/data"
    if not folder.is_dir():
        pytest.skip("the development data is not beside the repository")
    return folder


def rows(name):
    return [json.loads(line) for line in (TEXTS / name).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["sentiment.jsonl", "acceptance.jsonl", "targets.jsonl"])
def test_every_text_has_words_and_a_label(name):
    for row in rows(name):
        assert row["text"].strip()
        assert row["label"] in SENTIMENT


def test_no_text_is_there_twice_and_none_of_acceptance_is_trained_on():
    trained, kept = (
        [normalised(r["text"]) or r["text"] for r in rows(n)] for n in ("sentiment.jsonl", "acceptance.jsonl")
    )
    assert len(set(trained)) == len(trained)
    assert not set(trained) & set(kept)


def test_no_text_repeats_a_behavioural_case_or_six_words_of_one():
    def runs(text):
        words = normalised(text).split()
        return {" ".join(words[i : i + 6]) for i in range(len(words) - 5)} or {" ".join(words)}

    suites = (tomllib.loads(p.read_text(encoding="utf-8")) for p in (ROOT / "training/texts/behaviour").glob("*.toml"))
    cases = [c for s in suites for t in s["test"] for line in t["cases"].splitlines() for c in line.split(" => ")]
    asked = {run for case in cases for run in runs(case) if run}
    assert len(asked) > 1000
    for name in ("sentiment.jsonl", "targets.jsonl", "passages.jsonl", "orders.jsonl"):
        texts = [text for row in rows(name) for key in ("text", "lower", "higher") if (text := row.get(key))]
        assert texts
        assert [text for text in texts if runs(text) & asked] == []


def test_annotated_documents_of_our_own_quote_their_text_in_words_of_the_codebook():
    for row in (*rows("conduct.jsonl"), *rows("conduct_check.jsonl")):
        quoted = [*row["conduct"], *row["hypothetical"], *row["stated_loyalty"]]
        assert all(entry["quote"] in row["text"] for entry in quoted)
        assert {f"{e['cue']}:{e['value']}" for e in row["conduct"]} <= set(CUE_VALUES)
        assert {e["cue"] for e in row["hypothetical"]} <= set(CUES)
        assert {e["kind"] for e in row["stated_loyalty"]} <= set(STATED_LOYALTY)
        assert row["role"] in ROLES
        assert row["failure"]["type"] in FAILURE_TYPES
        assert row["tenure"] is None or row["tenure"] in row["text"]


def test_documents_to_check_by_are_not_trained_on():
    trained, kept = ([normalised(r["text"]) for r in rows(n)] for n in ("conduct.jsonl", "conduct_check.jsonl"))
    assert len(set(trained)) == len(trained)
    assert not set(trained) & set(kept)
    assert not {" ".join(t.split()[:4]) for t in trained} & {" ".join(t.split()[:4]) for t in kept}


def test_every_pair_has_two_texts_and_none_comes_twice():
    pairs = [(r["lower"], r["higher"]) for r in rows("orders.jsonl")]
    assert all(lower.strip() and higher.strip() and lower != higher for lower, higher in pairs)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)


def test_every_sentence_of_a_passage_is_marked_and_they_differ():
    for row in rows("passages.jsonl"):
        text, marks = row["text"], row["marks"]
        assert all(text[start:end].strip() == text[start:end] for start, end, _ in marks)
        rest = "".join(text[a:b] for (_, a, _), (b, _, _) in pairwise([[0, 0, ""], *marks, [len(text), 0, ""]]))
        assert not rest.strip()
        assert {label for *_, label in marks} <= set(SENTIMENT)
        assert len({label for *_, label in marks}) > 1


def test_marks_and_their_text_give_the_annotation_back():
    marks = pack(DOCUMENT)
    assert "text" not in marks
    assert "refund" not in json.dumps(marks["conduct"][0]["span"])
    assert unpack(marks, DOCUMENT["text"]) == DOCUMENT
    with pytest.raises(ValueError, match="does not occur"):
        pack(DOCUMENT | {"tenure": "twelve years"})


def test_marks_hold_values_of_the_codebook_and_no_sentence():
    marks = rows("conduct_marks.jsonl")
    assert len({m["sha256"] for m in marks}) == len(marks)
    for mark in marks:
        assert {f"{e['cue']}:{e['value']}" for e in mark["conduct"]} <= set(CUE_VALUES)
        assert not {"text", "quote"} & set(mark)


def test_sentiment_marks_hold_offsets_and_letters_and_no_sentence():
    marks = rows("sentiment_marks.jsonl")
    assert len({m["sha256"] for m in marks}) == len(marks)
    for mark in marks:
        assert set(mark) == {"sha256", "marks"}
        assert all(0 <= start < end and letter in LETTERS for start, end, letter in mark["marks"])


def test_sentences_in_context_are_marked_by_offset():
    lines = (ROOT / "benchmarks/sentences_in_context.jsonl").read_text(encoding="utf-8").splitlines()
    marks = [json.loads(line) for line in lines]
    assert len({m["sha256"] for m in marks}) == len(marks) > 100
    for mark in marks:
        assert set(mark) == {"sha256", "marks"}
        assert all(0 <= start < end and letter in LETTERS for start, end, letter in mark["marks"])


def test_labelled_sentences_are_cut_out_of_the_texts_that_are_found(tmp_path):
    texts = {name: f"Text of {name}. It broke." for name in FILES}
    for name, column in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".jsonl":
            path.write_text(json.dumps({column: texts[name]}) + "\n")
        else:
            pq.write_table(pa.table({column: [texts[name]]}), path)
    wanted = [(text, len(text) - 9, len(text), "N") for text in texts.values()] + [("Another text.", 0, 7, "P")]
    lines = [json.dumps({"sha256": digest(t)[:SHORT], "marks": [[a, b, c]]}) for t, a, b, c in wanted]
    (tmp_path / "marks.jsonl").write_text("\n".join(lines))
    found, missing = passages(tmp_path / "marks.jsonl", texts_below(tmp_path))
    assert {row["text"] for row in found} == set(texts.values())
    assert labelled(found) == [{"text": "It broke.", "label": "negative", "source": "marked"}] * len(FILES)
    assert missing == 1


def test_sentences_that_follow_one_another_are_put_in_order():
    text = "It works. It broke. We rang. They were kind. Far away it ends."
    ends = [i + 1 for i, c in enumerate(text) if c == "."]
    starts = [0, *(e + 1 for e in ends)]
    labels = ("positive", "negative", "neutral", "positive", "negative")
    marks = [[a, b, label] for a, b, label in zip(starts, ends, labels, strict=False)]
    # The fourth sentence has no mark beside it: something stands between.
    marks[4][0] = text.index("away")
    pairs = {(p["lower"], p["higher"]) for p in ordered([{"text": text, "marks": marks}])}
    assert pairs == {
        ("It works. It broke.", "It works."),
        ("It broke.", "It works. It broke."),
        ("It broke. We rang.", "We rang."),
        ("We rang.", "We rang. They were kind."),
    }


def test_a_verdict_is_made_of_the_plain_sentences_and_those_of_one_tone():
    text = "We sat outside. It was cold. They were kind. We paid."
    ends = [i + 1 for i, c in enumerate(text) if c == "."]
    starts = [0, *(e + 1 for e in ends)]
    labels = ("neutral", "negative", "positive", "neutral")
    marks = [[a, b, label] for a, b, label in zip(starts, ends, labels, strict=False)]
    found = {(r["text"], r["label"]) for r in verdicts([{"text": text, "marks": marks}])}
    assert found == {
        ("We sat outside. They were kind. We paid.", "positive"),
        ("We sat outside. It was cold. We paid.", "negative"),
    }
    assert verdicts([{"text": text, "marks": marks[1:3]}]) == []


@pytest.mark.data
def test_no_labelled_sentence_is_kept_for_evaluation(data):
    found, missing = passages(TEXTS / "sentiment_marks.jsonl", texts_below(data))
    assert missing == 0
    kept = ("sentiment/dev", "sentiment/tweeteval_test", "sentiment/sst3_test", "loyalty/recommend_validation")
    texts = {normalised(t) for name in kept for t in pq.read_table(data / f"{name}.parquet")["text"].to_pylist()}
    assert not {normalised(r["text"]) for r in labelled(found)} & texts


@pytest.mark.data
def test_the_marked_texts_are_found_and_none_is_kept_for_evaluation(data):
    documents, missing = annotated(TEXTS / "conduct_marks.jsonl", data)
    assert missing == 0
    kept = (data / "conduct/validation.jsonl").read_text(encoding="utf-8").splitlines()
    assert not {normalised(d["text"]) for d in documents} & {normalised(json.loads(line)["text"]) for line in kept}
    assert all(e["quote"] in d["text"] and digest(d["text"]) for d in documents for e in d["conduct"])
