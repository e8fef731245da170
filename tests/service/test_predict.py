import csv
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.reading.table import read_table
from model.scorer import Scorer
from model.types import InputError, Sentiment
from service.predict import SCHEMAS, TASKS, Outcome, Task, kept_names, predict
from tests.fakes import fake_scorer

TEXTS = [
    "great refund",
    None,
    "  ",
    "ignored, never",
    "!!! ??",
    "great refund",
    "alles sehr langsam",
    "you should",
]


class Counting(Scorer):
    """A scorer that remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(fake_scorer()._bundle)
        self.asked: list[str] = []

    def sentiment(self, texts: Any, targets: Any = None) -> list[Sentiment | None]:
        self.asked += texts
        return super().sentiment(texts, targets)


def language(text: str) -> str:
    return "de" if "langsam" in text else "en"


def table(texts: list[str | None] = TEXTS, **columns: list[Any]) -> pa.Table:
    return pa.table({"text": pa.array(texts, pa.string()), "n": list(range(len(texts))), **columns})


def run(task: Task, out: Path, given: pa.Table | None = None, scorer: Scorer | None = None, **options: Any) -> Outcome:
    given = table() if given is None else given
    return predict(given, "text", task, out, scorer or fake_scorer(), language=language, **options)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("chunk", [1, 3, 2000])
def test_rows_keep_their_order_whatever_the_chunk(task: Task, chunk: int, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    done = run(task, out, chunk=chunk)
    rows = pq.read_table(out)
    assert rows.column_names == ["text", "n", *SCHEMAS[task].names]
    assert rows.column("text").to_pylist() == TEXTS
    assert rows.column("n").to_pylist() == list(range(8))
    assert done.rows == 8
    assert sum(done.statuses.values()) == 8
    statuses = rows.column("status").to_pylist()
    assert [i for i, s in enumerate(statuses) if s == "empty"] == [1, 2, 4]
    assert statuses[6] == "not_english"
    nulls = [rows.slice(i, 1).to_pylist()[0] for i in (1, 2, 4)]
    ours = set(SCHEMAS[task].names) - {"status", "reason"}
    assert all(row[name] is None for row in nulls for name in ours)


def test_equal_texts_are_scored_once_even_in_different_chunks(tmp_path: Path) -> None:
    scorer = Counting()
    done = run("sentiment", tmp_path / "o.jsonl", table(["great", "awful", "great", "great", "awful"]), scorer, chunk=2)
    assert scorer.asked == ["great", "awful"]
    assert done.scored == 2
    labels = [json.loads(line)["label"] for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert labels == ["positive", "negative", "positive", "positive", "negative"]


def test_sentiment_is_that_of_the_scorer(tmp_path: Path) -> None:
    run("sentiment", tmp_path / "o.parquet")
    row = pq.read_table(tmp_path / "o.parquet").to_pylist()[0]
    expected = fake_scorer().sentiment(["great refund"])[0]
    assert expected is not None
    assert row["label"] == expected.label == "positive"
    assert row["valence"] == expected.valence
    assert (row["status"], row["reason"]) == ("ok", None)


def test_conduct_has_quotes_at_their_offsets(tmp_path: Path) -> None:
    run("conduct", tmp_path / "o.parquet")
    rows = pq.read_table(tmp_path / "o.parquet").to_pylist()
    cues = [(c["cue"], c["value"], c["state"]) for c in rows[0]["cues"]]
    assert cues == [("redress", "refund", "present")]
    hypothetical = rows[7]["cues"][0]
    assert (hypothetical["state"], hypothetical["value"]) == ("hypothetical", None)
    assert "leave" in [s["kind"] for s in rows[3]["stated"]]
    found = [(r["text"], q) for r in rows if r["cues"] is not None for q in (*r["cues"], *r["stated"])]
    assert len(found) >= 4
    assert all(text[q["start"] : q["end"]] == q["quote"] for text, q in found)
    assert rows[0]["role"] == "customer"
    assert rows[0]["tenure"] is None


def test_loyalty_has_all_numbers_or_a_reason(tmp_path: Path) -> None:
    run("loyalty", tmp_path / "o.parquet")
    rows = pq.read_table(tmp_path / "o.parquet").to_pylist()
    best, worst = rows[0], rows[3]
    assert best["index"] > worst["index"]
    assert best["low"] <= best["index"] <= best["high"]
    assert best["repurchase_stay"] + best["repurchase_undecided"] + best["repurchase_leave"] == pytest.approx(1)
    assert best["churn"] == best["repurchase_leave"]
    assert all(r["reason"] for r in rows if r["status"] != "ok")


def test_a_column_of_our_name_is_kept_under_another(tmp_path: Path) -> None:
    given = table(["great"], label=["mine"], label_input=["older"])
    done = run("sentiment", tmp_path / "o.parquet", given)
    row = pq.read_table(tmp_path / "o.parquet").to_pylist()[0]
    assert (row["label"], row["label_input_2"], row["label_input"]) == ("positive", "mine", "older")
    assert done.renamed == {"label": "label_input_2"}


def test_names_are_unique_even_where_the_input_repeats_one() -> None:
    assert kept_names(["a", "b", "a", "x"], ["x"]) == ["a", "b", "a_input", "x_input"]


def test_csv_holds_records_as_json(tmp_path: Path) -> None:
    given = table(['great "refund",\nthanks'], tags=[["a", "b"]])
    run("conduct", tmp_path / "o.csv", given)
    with (tmp_path / "o.csv").open(newline="", encoding="utf-8") as lines:
        row = next(csv.DictReader(lines))
    assert row["text"] == 'great "refund",\nthanks'
    assert json.loads(row["cues"])[0]["quote"]
    assert json.loads(row["tags"]) == ["a", "b"]


def test_jsonl_writes_what_json_can_say(tmp_path: Path) -> None:
    given = table(["great"], odd=[float("nan")], when=[datetime(2026, 3, 2, 9)], raw=[b"\xff"])
    run("sentiment", tmp_path / "o.jsonl", given)
    row = json.loads((tmp_path / "o.jsonl").read_text())
    assert row["odd"] is None
    assert row["when"] == "2026-03-02T09:00:00"


def test_other_columns_are_written_back_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,zip,price,text\n001,01234,1.10,great\n")
    run("sentiment", tmp_path / "o.csv", read_table(tmp_path / "a.csv"))
    with (tmp_path / "o.csv").open(newline="", encoding="utf-8") as lines:
        assert list(next(csv.DictReader(lines)).values())[:4] == ["001", "01234", "1.10", "great"]
    given = [{"text": "great", "n": 9007199254740993, "x": {"a": 1}}, {"text": "bad", "n": 1.5, "x": {"b": 2}}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    table = read_table(tmp_path / "a.jsonl")
    run("sentiment", tmp_path / "o.jsonl", table)
    found = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [{name: row[name] for name in ("text", "n", "x")} for row in found] == given
    run("sentiment", tmp_path / "o.parquet", table)
    assert pq.read_table(tmp_path / "o.parquet").column("n").to_pylist() == ["9007199254740993", "1.5"]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_no_rows_are_no_problem(suffix: str, tmp_path: Path) -> None:
    done = run("loyalty", tmp_path / f"o{suffix}", table([]))
    assert done.rows == 0
    assert (tmp_path / f"o{suffix}").exists()


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "o.parquet"
    out.write_text("old")

    def fail(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("sentiment", out, progress=fail)
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("name", "given", "column"),
    [
        ("o.xlsx", table(["great"]), "text"),
        ("missing/o.csv", table(["great"]), "text"),
        (".", table(["great"]), "text"),
        ("o.csv", table(["great"]), "body"),
        ("o.csv", pa.table({"text": [[1], [2]]}), "text"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, given: pa.Table, column: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        predict(given, column, "sentiment", tmp_path / name, fake_scorer(), language=language)
    assert caught.value.expected
    assert not (tmp_path / "o.csv").exists()


def test_progress_is_told_after_every_chunk(tmp_path: Path) -> None:
    seen: list[int] = []
    run("sentiment", tmp_path / "o.csv", chunk=3, progress=seen.append)
    assert seen == [3, 6, 8]


def test_every_column_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "predict.md").read_text(encoding="utf-8")
    missing = [n for schema in SCHEMAS.values() for n in schema.names if f"`{n}`" not in text]
    assert missing == []
