import json
from pathlib import Path

import pytest

from model.scorer import Scorer
from service.cli import main
from tests.fakes import fake_scorer

FIRST = """<!doctype html><html><head><title>A lamp that fell</title>
<link rel="canonical" href="https://lamps.example/fell/"></head><body><article class="post"><h1>A lamp that fell</h1>
<div class="entry-content"><p>I bought a lamp from Corvid Lighting and it came down on the table in one piece. They
ignored me for weeks, which was awful, and I am not sure whether I will go there again. It is a pity for a lamp that
I liked to look at every evening.</p></div></article></body></html>"""
SECOND = """<!doctype html><html><head><title>Lamps of the week</title>
<link rel="canonical" href="https://week.example/9"></head><body><article class="post"><h1>Lamps of the week</h1>
<div class="entry-content"><p>There is one more owner whose <a href="https://www.lamps.example/fell?utm_source=w">evening
was spoilt by a lamp</a> this week. We think that the maker should say something about it soon, since people begin to
talk, and since there are many such lamps on the ceilings of this town.</p></div></article></body></html>"""


def load(bundle: Path | None = None, *, threads: int = 1) -> Scorer:
    return fake_scorer()


def never(bundle: Path | None = None, *, threads: int = 1) -> Scorer:
    raise AssertionError("the model was opened for nothing")


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    folder = tmp_path / "pages"
    (folder / "deep").mkdir(parents=True)
    (folder / "first_files").mkdir()
    (folder / "first.html").write_text(FIRST, encoding="utf-8")
    (folder / "deep" / "second.html").write_text(SECOND, encoding="utf-8")
    (folder / "first_files" / "frame.html").write_text(FIRST, encoding="utf-8")
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n")
    (folder / ".hidden.txt").write_text("Nobody sees me.", encoding="utf-8")
    return folder


def written(out: Path) -> dict[str, list[dict[str, object]]]:
    return json.loads((out / "trace.json").read_text(encoding="utf-8"))


def test_a_folder_becomes_a_story(pages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "spread"
    assert main(["trace", str(pages), "--out", str(out)], load=load) == 0
    assert "2 pages, stories over several pages: 1" in capsys.readouterr().err
    found = written(out)
    assert sorted(str(p["id"]) for p in found["pages"]) == ["first", "second"]
    (edge,) = (e for e in found["edges"] if e["kind"] == "link")
    assert (edge["quote"], edge["confidence"]) == ("evening was spoilt by a lamp", 0.9)
    assert [s["page"] for s in found["stories"][0]["steps"]] == ["first", "second"]  # type: ignore[attr-defined]
    assert (out / "trace.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sorted(p.name for p in out.iterdir()) == ["trace.html", "trace.json"]


def test_a_glob_is_expanded_and_bad_files_do_not_stop_the_others(
    pages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{nothing", encoding="utf-8")
    names = [str(pages / "**" / "second.html"), str(broken), str(tmp_path / "absent.txt"), str(tmp_path / "x*.html")]
    assert main(["trace", *names, "--out", str(tmp_path / "out")], load=load) == 1
    err = capsys.readouterr().err
    assert "broken.jsonl" in err
    assert "absent.txt" in err
    assert "x*.html" in err
    assert "Traceback" not in err
    assert [p["id"] for p in written(tmp_path / "out")["pages"]] == ["second"]


def test_nothing_to_trace_is_said_and_the_model_stays_closed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["trace", str(tmp_path / "empty"), "--out", str(tmp_path / "out")], load=never) == 1
    assert capsys.readouterr().err == "amends: nothing to trace\n"


def test_an_output_that_is_a_file_is_refused_before_any_work(
    pages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    assert main(["trace", str(pages), "--out", str(tmp_path / "out")], load=never) == 1
    assert "is not a folder" in capsys.readouterr().err
    assert (tmp_path / "out").read_text(encoding="utf-8") == "mine"


def test_half_a_surrogate_pair_in_a_name_spoils_neither_file(tmp_path: Path) -> None:
    line = json.dumps({"utterances": [{"text": "an awful lamp", "author": "A\udc00nn"}]})
    (tmp_path / "odd.jsonl").write_text(line, encoding="utf-8")
    assert main(["trace", str(tmp_path / "odd.jsonl"), "--out", str(tmp_path / "out")], load=load) == 0
    assert len(written(tmp_path / "out")["people"]) == 1
