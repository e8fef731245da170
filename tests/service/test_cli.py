import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.read import read_file
from model.scorer import Scorer
from model.types import InputError, Report
from service.cli import compared, main
from service.files import error_line
from tests.fakes import fake_scorer
from tests.service.demo import demo_report

ROOT = Path(__file__).parents[2]

PAGE = """<!doctype html><html><head><title>A kettle and a promise</title></head><body>
<article class="post"><h1>A kettle and a promise</h1><div class="entry-content"><p>I bought a kettle from Hollin
Ware and it leaked. They ignored me at first, then they said sorry and paid a refund. It was a great ending
to an awful week, and I will tell it as it was.</p></div></article>
<ol class="commentlist">
<li class="comment depth-1" id="comment-11"><div class="comment-author"><cite class="fn">Ida</cite></div>
<div class="comment-content"><p>I bought the same one and they ignored my letters for a month. Never again.</p></div>
<ol class="children"><li class="comment depth-2" id="comment-12"><div class="comment-author"><cite class="fn">Bo</cite>
</div>
<div class="comment-content"><p>Sorry to hear that, mine was great and they paid me a refund.</p></div></li></ol></li>
</ol></body></html>"""


def load(bundle: Path | None = None, *, threads: int = 1) -> Scorer:
    return fake_scorer()


def never(bundle: Path | None = None, *, threads: int = 1) -> Scorer:
    raise AssertionError("the model was opened for nothing")


def broken(bundle: Path | None = None, *, threads: int = 1) -> Scorer:
    raise InputError(f"{bundle} is not a model bundle", code="no_bundle", got="an empty folder", expected="bundle.json")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    path.write_text(PAGE, encoding="utf-8")
    return path


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    texts = ["great refund", None, "", "ignored, never again", "great refund"]
    path.write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in enumerate(texts)), encoding="utf-8")
    return path


def one_line(stderr: str) -> str:
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("amends: ")
    assert "Traceback" not in stderr
    return lines[0]


def test_score_prints_a_readable_report(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(page), "--brand", "Hollin Ware"], load=load) == 0
    out, err = capsys.readouterr()
    for expected in ("A kettle and a promise", "about Hollin Ware", "CUSTOMERS", "Ida", "contact: none", "THREAD"):
        assert expected in out
    assert err == ""


def test_score_prints_json_only(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(page), str(page), "--json"], load=load) == 0
    reports = json.loads(capsys.readouterr().out)["reports"]
    assert len(reports) == 2
    utterances = reports[0]["utterances"]
    assert [u["author"]["name"] for u in utterances if u["author"]][-2:] == ["Ida", "Bo"]
    cues = [
        (c, u) for case in reports[0]["cases"] for c in case["cues"] for u in utterances if u["id"] == c["utterance"]
    ]
    assert cues
    assert all(u["text"][c["start"] : c["end"]] == c["quote"] for c, u in cues)


def test_score_writes_one_page_for_all_threads(page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.html"
    assert main(["score", str(page), str(page), "--html", str(out)], load=load) == 0
    html = out.read_text(encoding="utf-8")
    assert html.count('class="report"') == 2
    assert f"wrote {out}" in capsys.readouterr().err


def test_score_reads_standard_input(page: Path) -> None:
    done = child(["score", "-", "--json"], stdin=page.read_bytes())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reports"][0]["thread"]["title"] == "A kettle and a promise"


@pytest.mark.parametrize("command", ["score", "advise"])
def test_rows_that_are_lost_are_named(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_bytes(b"id,text\n1,great refund\n2,Sch\xf6n\n")
    assert main([command, str(tmp_path / "a.csv"), "--json"], load=load) == 0
    assert one_line(capsys.readouterr().err) == "amends: a.csv, line 3: broken UTF-8, not UTF-8"


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_read_takes_what_is_piped_in(name: str) -> None:
    done = child(["read", name], stdin=b'{"text": "great refund", "id": 7}\n{"text": "bad"}\n')
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["7", "row-2"]
    assert (b"standard input" if name == "-" else b"/dev/stdin") + b": 2 threads" in done.stderr


@pytest.mark.parametrize("content", [b"id;text\n1;great\n2;bad\n", b"text\tid\ngreat\t1\nbad\t2\n"])
def test_a_table_that_is_piped_in_is_told_by_its_header(content: bytes) -> None:
    done = child(["score", "-", "--json"], stdin=content)
    assert [r["thread"]["id"] for r in json.loads(done.stdout)["reports"]] == ["1", "2"]
    assert done.stderr == b""


def test_a_table_without_a_text_column_that_is_piped_in_is_hinted_at() -> None:
    done = child(["score", "-", "--json"], stdin=b"comment,stars\ngreat refund,5\nbad,1\n")
    assert done.returncode == 0
    assert b"--format csv --field text=COLUMN" in done.stderr
    named = child(["score", "-", "--json", "--field", "text=comment"], stdin=b"comment,stars\ngreat,5\nbad,1\n")
    assert len(json.loads(named.stdout)["reports"]) == 2


def test_a_number_that_is_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["score", "a", "--threads", "x"], ["serve", "--port", "x"]):
        with pytest.raises(SystemExit):
            main(argv)
        assert "'x' is no whole number" in capsys.readouterr().err


def test_one_bad_file_does_not_spoil_the_others(page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing.html"
    assert main(["score", str(missing), str(page), "--json"], load=load) == 1
    out, err = capsys.readouterr()
    assert len(json.loads(out)["reports"]) == 1
    assert str(missing) in one_line(err)


def copies(reports: list[dict[str, Any]]) -> list[list[str]]:
    return [[f for u in r["utterances"] for f in u["flags"] if f.startswith("copy:")] for r in reports]


def test_threads_of_one_call_are_compared(page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.txt"
    other.write_text(
        "Kettles elsewhere\n\nI heard of many kettles this year, and this is what one owner told me about hers.\n\n"
        "1 thought on Kettles\n\n1. Ida says:\n"
        "   I bought the same one and they ignored my letters for a month. Never again.\n",
        encoding="utf-8",
    )
    assert main(["score", str(page), str(tmp_path / "missing.html"), str(other), "--json"], load=load) == 1
    assert copies(json.loads(capsys.readouterr().out)["reports"]) == [[], ["copy:exact:page/comment-11"]]
    assert main(["score", str(page), str(other)], load=load) == 0
    assert "same text as page/comment-11" in " ".join(capsys.readouterr().out.split())


def test_rows_of_one_file_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.csv"
    text = "I bought a kettle from Hollin Ware and it leaked on the very first day."
    path.write_text(f"id,text\na,{text}\nb,{text}\n", encoding="utf-8")
    assert main(["score", str(path), "--json"], load=load) == 0
    assert copies(json.loads(capsys.readouterr().out)["reports"]) == [[], ["copy:exact:a/a"]]


@pytest.mark.parametrize("command", [["score"], ["advise"], ["what-if", "--set", "apology=given"]])
def test_columns_of_a_table_can_have_other_names(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("who,body\nAnn,The kettle leaked and nobody answered.\n", encoding="utf-8")
    assert main([*command, str(path), "--json"], load=load) == 1
    assert "no column 'text'" in capsys.readouterr().err
    assert main([*command, str(path), "--json", "--field", "text=body", "--field", "author=who"], load=load) == 0
    assert "Ann" in capsys.readouterr().out


def test_too_many_texts_are_scored_one_by_one(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = [*read_file(page), *read_file(page)]
    assert copies([r.to_dict() for r in compared(fake_scorer(), threads, most=5)]) == [[], []]
    assert "more than 5 texts" in one_line(capsys.readouterr().err)
    assert copies([r.to_dict() for r in compared(fake_scorer(), threads, most=6)])[1]


def _missing(folder: Path) -> Path:
    return folder / "missing.csv"


def _folder(folder: Path) -> Path:
    return folder


def _binary(folder: Path) -> Path:
    path = folder / "picture.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8)
    return path


def _empty(folder: Path) -> Path:
    path = folder / "empty.html"
    path.touch()
    return path


def _fake_parquet(folder: Path) -> Path:
    path = folder / "fake.parquet"
    path.write_bytes(b"not a table")
    return path


@pytest.mark.parametrize("make", [_missing, _folder, _binary, _empty, _fake_parquet])
def test_what_cannot_be_read_is_one_clear_line(
    make: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path)
    assert main(["score", str(path)], load=never) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert path.name in one_line(err)


def test_a_bad_bundle_ends_it_once(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(page), str(page), "--bundle", "nowhere"], load=broken) == 1
    line = one_line(capsys.readouterr().err)
    assert line == "amends: nowhere is not a model bundle; got an empty folder; expected bundle.json"


def test_a_page_that_cannot_be_written_is_said_before_any_work(
    page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", str(page), "--html", str(tmp_path / "no" / "out.html")], load=never) == 1
    assert "does not exist" in one_line(capsys.readouterr().err)


def test_predict_writes_a_table(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.parquet"
    assert main(["predict", str(rows), "--text-column", "text", "--out", str(out)], load=load) == 0
    table = pq.read_table(out)
    assert table.column("id").to_pylist() == [0, 1, 2, 3, 4]
    assert table.column("label").to_pylist() == ["positive", None, None, "negative", "positive"]
    assert table.column("status").to_pylist() == ["ok", "empty", "empty", "ok", "ok"]
    assert one_line(capsys.readouterr().err).endswith("5 rows (2 empty, 3 ok), 2 different texts scored")


@pytest.mark.parametrize("task", ["conduct", "loyalty"])
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_predict_knows_every_task_and_format(task: str, suffix: str, rows: Path, tmp_path: Path) -> None:
    out = tmp_path / f"out.{suffix}"
    assert main(["predict", str(rows), "--task", task, "--out", str(out)], load=load) == 0
    assert "empty" in out.read_text(encoding="utf-8")


def test_predict_says_when_it_renames_a_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = tmp_path / "given.parquet"
    pq.write_table(pa.table({"text": ["great"], "label": ["mine"]}), given)
    out = tmp_path / "out.parquet"
    assert main(["predict", str(given), "--out", str(out)], load=load) == 0
    assert "the input's column 'label' is kept as 'label_input'" in capsys.readouterr().err
    assert pq.read_table(out).column("label_input").to_pylist() == ["mine"]


def test_predict_names_a_missing_column(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.csv"
    assert main(["predict", str(rows), "--text-column", "body", "--out", str(out)], load=never) == 1
    line = one_line(capsys.readouterr().err)
    assert "body" in line
    assert "text" in line
    assert not out.exists()


@pytest.mark.parametrize("make", [_missing, _folder, _binary, _fake_parquet])
def test_predict_refuses_what_is_no_table(
    make: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path)
    assert main(["predict", str(path), "--out", str(tmp_path / "out.csv")], load=never) == 1
    assert path.name in one_line(capsys.readouterr().err)


def test_predict_does_not_write_over_its_input(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = rows.read_bytes()
    assert main(["predict", str(rows), "--out", str(rows)], load=never) == 1
    assert "is the input itself" in one_line(capsys.readouterr().err)
    assert rows.read_bytes() == before


@pytest.mark.parametrize(
    "argv",
    [
        ["score"],
        ["score", "x.html", "--format", "docx"],
        ["predict", "x.csv"],
        ["predict", "x.csv", "--out", "y.xlsx"],
        ["predict", "x.csv", "--out", "y.csv", "--task", "mood"],
        ["serve", "--port", "70000"],
        ["serve", "--port", "http"],
        ["serve", "--workers", "0"],
        ["launch"],
    ],
)
def test_a_command_that_is_not_understood_is_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv, load=never)
    assert caught.value.code == 2
    assert "usage: amends" in capsys.readouterr().err


def test_no_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], load=never) == 2
    assert "predict" in capsys.readouterr().err


def test_version_names_program_and_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"], load=never) == 0
    out = capsys.readouterr().out
    assert out.startswith("amends ")
    assert "model" in out


def test_an_interruption_is_130(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(bundle: Path | None = None, *, threads: int = 1) -> Scorer:
        raise KeyboardInterrupt

    assert main(["score", str(page)], load=interrupted) == 130
    assert one_line(capsys.readouterr().err) == "amends: interrupted"


CHILD = "import sys; from tests.fakes import fake_scorer; from service.cli import main; " + (
    "sys.exit(main(sys.argv[1:], load=lambda bundle=None, *, threads=1: fake_scorer()))"
)


def child(argv: list[str], stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", CHILD, *argv],
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", **environment},
        check=False,
    )


def test_a_reader_that_goes_away_is_silent(page: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, "score", str(page)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait() == 141


def test_json_survives_a_terminal_without_unicode(page: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.html"
    odd.write_text(PAGE.replace("Ida", "Zoë 🙃"), encoding="utf-8")
    done = child(["score", str(odd), "--json"], PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "Zoë 🙃" in [u["author"]["name"] for u in json.loads(done.stdout)["reports"][0]["utterances"] if u["author"]]
    assert child(["score", str(odd)], PYTHONIOENCODING="ascii", PYTHONUTF8="0").returncode == 0


def test_the_command_starts_without_heavy_imports() -> None:
    code = "import sys, service.cli; service.cli.parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"numpy", "pyarrow", "onnxruntime", "jinja2", "bentoml", "torch", "tokenizers", "trafilatura"}
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.html"), "a.html: No such file or directory"),
        (OSError("odd"), "b.html: odd"),
        (
            InputError("no text", code="x", got="1 byte", expected="words"),
            "b.html: no text; got 1 byte; expected words",
        ),
        (InputError("b.html: got 1 byte", code="x", got="1 byte"), "b.html: got 1 byte"),
        (InputError("a\nb\x1b[2J", code="x"), "b.html: a b [2J"),
    ],
)
def test_an_error_is_one_line(error: Exception, line: str) -> None:
    assert error_line(error, "b.html") == line


def test_an_error_names_the_file_with_its_folder() -> None:
    assert error_line(InputError("b.html is empty", code="x"), "deep/b.html") == "deep/b.html is empty"


def _keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {k for v in value.values() for k in _keys(v)}
    return {k for v in value for k in _keys(v)} if isinstance(value, list | tuple) else set()


def test_every_field_of_the_report_is_documented() -> None:
    report: Report = demo_report()
    text = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    assert sorted(k for k in _keys(report.to_dict()) if f"`{k}`" not in text) == []
