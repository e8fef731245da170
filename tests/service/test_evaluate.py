import json

import pytest

from service.cli import main
from tests.fakes import fake_scorer

pytest.importorskip("sklearn", reason="the evaluate extra is not installed")
pytest.importorskip("vaderSentiment", reason="the evaluate extra is not installed")


def load(bundle=None, *, threads=1):
    return fake_scorer()


def write(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def rows():
    pairs = (("great day", "positive"), ("awful day", "negative"), ("a day", "neutral"), ("great mess", "negative"))
    return [{"text": t, "label": label, "source": s} for s in ("one", "two") for t, label in pairs for _ in range(5)]


def run(capsys, *args):
    code = main(["evaluate", *args], load=load)
    return code, capsys.readouterr()


def test_sentiment_has_its_figures_beside_the_baselines(tmp_path, capsys):
    code, printed = run(capsys, write(tmp_path / "t.jsonl", rows()), "--by", "source", "--json")
    found = json.loads(printed.out)["figures"]
    assert code == 0
    assert found["bundle"]["accuracy"] == 0.75
    assert found["bundle"]["macro_recall"] == pytest.approx((0.5 + 1 + 1) / 3, abs=1e-3)
    low, high = found["bundle"]["macro_f1_interval"]
    assert low <= found["bundle"]["macro_f1"] <= high
    assert found["majority"]["accuracy"] == 0.5
    assert found["by_source"].keys() == {"one", "two"}
    assert {"vader", "textblob"} <= found.keys()


def test_conduct_counts_cues_and_hypothetical_ones_by_document(tmp_path, capsys):
    annotated = {
        "role": "customer",
        "failure": {"type": "none", "severity": 0},
        "conduct": [{"cue": "redress", "value": "refund", "quote": "refund"}],
        "hypothetical": [],
    }
    document = annotated | {"text": "They sent a refund and said sorry."}
    advice = annotated | {
        "text": "They should do it.",
        "conduct": [],
        "hypothetical": [{"cue": "apology", "quote": "should do it"}],
    }
    code, printed = run(capsys, write(tmp_path / "d.jsonl", [document, advice]), "--task", "conduct", "--json")
    found = json.loads(printed.out)["figures"]
    assert code == 0
    assert found["by_value"]["redress:refund"] == {"f1": 1.0, "n": 1}
    assert found["micro_f1"] == pytest.approx(2 / 3, abs=1e-3)
    assert found["hypothetical_taken_for_fact"] == [0, 1]


def test_loyalty_ranks_texts_beside_sentiment_alone(tmp_path, capsys):
    texts = [("They sent a refund. Great.", 1), ("They ignored me. Awful.", 0), ("A refund, fine.", 1), ("ignored", 0)]
    table = [{"text": t, "company": "Own", "title": None, "recommended": y} for t, y in texts]
    code, printed = run(capsys, write(tmp_path / "r.jsonl", table), "--task", "loyalty")
    assert code == 0
    assert "all full auc" in printed.out
    assert printed.out.split("all full auc")[1].split()[0] == "1.0"


@pytest.mark.parametrize(
    ("column", "values"), [("recommended", "10"), ("recommended", ("true", "False")), ("rating", "51")]
)
def test_outcomes_of_csv_are_numbers(tmp_path, capsys, column, values):
    lines = [f"text,company,{column}", f"They sent a refund.,Own,{values[0]}", f"They ignored me.,Own,{values[1]}"]
    (tmp_path / "r.csv").write_text("\n".join([*lines, *lines[1:]]))
    code, printed = run(capsys, str(tmp_path / "r.csv"), "--task", "loyalty")
    assert (code, printed.err) == (0, "")
    assert printed.out.split("all full auc")[1].split()[0] == "1.0"


@pytest.mark.parametrize(
    ("row", "word"),
    [({"text": "a day", "label": "meh"}, "'meh'"), ({"text": None, "label": "neutral"}, "None")],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, row, word):
    code, printed = run(capsys, write(tmp_path / "t.jsonl", [{"text": "great", "label": "positive"}, row]))
    assert code == 1
    assert "row 2" in printed.err
    assert word in printed.err


@pytest.mark.parametrize(
    ("task", "content", "words"),
    [
        ("conduct", "text,label\na day,neutral\n", ("line 1",)),
        ("conduct", '{"a": 1}', ("line 1", "no text, role")),
        ("loyalty", '{"text": "a day", "company": "Own", "recommended": null}', ("row 1", "recommended", "None")),
        ("loyalty", '{"text": "a day", "company": "Own", "rating": 9}', ("row 1", "rating", "9")),
        ("loyalty", '{"text": "a day", "rating": 3}', ("row 1", "company")),
    ],
)
def test_bad_rows_of_the_other_tasks_are_named(tmp_path, capsys, task, content, words):
    path = tmp_path / "t.jsonl"
    path.write_text(content)
    code, printed = run(capsys, str(path), "--task", task)
    assert code == 1
    assert all(word in printed.err for word in words)


def test_a_table_without_an_outcome_is_named(tmp_path, capsys):
    code, printed = run(capsys, write(tmp_path / "t.jsonl", [{"text": "great"}]), "--task", "loyalty")
    assert code == 1
    assert "recommended (0, 1) or rating" in printed.err


def test_plots_and_the_price_of_errors_are_added_where_asked_for(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="the evaluate extra is not installed")
    folder = tmp_path / "new" / "plots"
    table = write(tmp_path / "t.jsonl", rows())
    code, printed = run(capsys, table, "--plot", str(folder), "--plot-format", "png", "--miss-cost", "4", "--json")
    found = json.loads(printed.out)["figures"]
    assert code == 0
    assert sorted(found["plots"]) == sorted(map(str, folder.glob("t-*.png")))
    assert len(found["plots"]) == 3
    assert found["decision"]["threshold"] == 0.2
    assert found["decision"]["flag_none"]["cost_per_1000"] == 2000


@pytest.mark.parametrize(
    "option", [("--plot", "x"), ("--miss-cost", "2"), ("--by", "source"), ("--target-column", "x")]
)
def test_options_of_sentiment_belong_to_sentiment(tmp_path, capsys, option):
    code, printed = run(capsys, write(tmp_path / "t.jsonl", rows()), "--task", "conduct", *option)
    assert code == 1
    assert f"{option[0]} can't go with --task conduct" in printed.err
    assert "--task sentiment" in printed.err


def test_a_plot_folder_that_cannot_be_made_is_said_before_scoring(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="the evaluate extra is not installed")
    table = write(tmp_path / "t.jsonl", rows())
    code, printed = run(capsys, table, "--plot", table)
    assert code == 1
    assert "t.jsonl" in printed.err


@pytest.mark.parametrize("cost", ["0", "-1", "inf", "nan", "much"])
def test_a_cost_is_above_nothing(tmp_path, capsys, cost):
    with pytest.raises(SystemExit) as stopped:
        run(capsys, write(tmp_path / "t.jsonl", rows()), "--miss-cost", cost)
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        ({"text": "a day", "label": "neutral"}, ("--by", "source"), "no column 'source'; it has text, label"),
        ({"text": "a day", "stars": 3}, (), "no column 'label'; it has text, stars"),
    ],
)
def test_a_missing_column_is_named(tmp_path, capsys, given, options, words):
    code, printed = run(capsys, write(tmp_path / "t.jsonl", [given]), *options)
    assert code == 1
    assert words in printed.err


def test_labels_may_be_written_in_other_ways(tmp_path):
    from training.evaluate import labelled

    path = tmp_path / "t.jsonl"
    write(path, [{"text": "great", "label": "Positive"}, {"text": "bad", "label": " NEGATIVE "}])
    assert [row["label"] for row in labelled(path)] == ["positive", "negative"]
