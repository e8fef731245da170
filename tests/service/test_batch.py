import contextlib
import fcntl
import io
import json
import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from selectolax.lexbor import LexborHTMLParser

from model.read import read_file
from model.types import InputError, Thread, Utterance
from service.batch import COMPLAINTS, MANIFEST, Finished, Options, Progress, Results, _duration, run
from service.batch_input import GROUP_FILES, Reading, Unit, cut, find_sources
from service.batch_summary import MOST_BARS, _time, render
from service.batch_work import ANY_TEXT, TASKS, BatchTask, Opening, Worker, schemas
from service.cli import main
from tests.fakes import fake_scorer
from tests.service.batch_fakes import (
    FAKE,
    OwnPool,
    fake_options,
    load,
    load_dead,
    load_deadly,
    load_other,
    load_slow,
    load_stumbling,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
WORDS = ("great refund", "awful, they ignored me", "sorry, never again", "bought it years ago", "you should")


def rows_file(path: Path, number: int, **more: Any) -> Path:
    rows = ({"id": f"r{i}", "text": f"{WORDS[i % 5]} {i // 7}", **more} for i in range(number))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def start(
    inputs: list[Path | str], out: Path, options: Options | None = None, mode: Any = "new", **pool: Any
) -> tuple[Finished, OwnPool, list[str]]:
    pools: list[OwnPool] = []
    said: list[str] = []

    def opened(opening: Opening) -> OwnPool:
        pools.append(OwnPool(opening, **pool))
        return pools[0]

    done = run([str(i) for i in inputs], out, options or fake_options(), mode, say=said.append, pool=opened)
    return done, pools[0] if pools else OwnPool(Opening("score", Reading(), None, FAKE[1], "cpu", load)), said


def test_a_worker_opens_everything_before_its_first_shard(monkeypatch):
    told = []
    monkeypatch.setattr("service.batch_work.language", told.append)
    scorer = fake_scorer()
    monkeypatch.setattr(scorer, "open_exact", lambda: told.append("exact"))
    Opening("score", Reading(), None, scorer.info.digest, "cpu", lambda _: scorer).open()
    assert told == ["exact", ANY_TEXT]


def table(out: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(out / name).to_pylist()
    return rows


def same(one: Path, other: Path) -> None:
    for name in ("utterances", "threads", "errors", "cases", "dropped"):
        files = [sorted(p.name for p in (out / name).glob("*")) for out in (one, other)]
        assert files[0] == files[1], name
        for file in files[0]:
            assert pq.read_table(one / name / file).equals(pq.read_table(other / name / file)), (name, file)
    told = [json.loads((out / "summary.json").read_text()) for out in (one, other)]
    for summary in told:
        del summary["run"]
    assert told[0] == told[1]


def units(paths: list[Path], texts: int, fields: dict[str, str] | None = None) -> list[Unit]:
    sources = find_sources([str(p) for p in paths], Path("/nowhere"))
    return list(cut(sources, Reading(fields=fields or {}), texts, frozenset()))


# ------------------------------------------------------------------------------------------------------------- cutting


def test_a_large_file_becomes_shards_of_bounded_size_as_it_is_read(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "rows.jsonl", 20_000)
    shards = cut(find_sources([str(path)], tmp_path / "out"), Reading(), 500, frozenset())
    first = next(shards)
    assert first.texts == 500
    assert 0 < first.size < path.stat().st_size
    found = [first, *shards]
    assert [u.name for u in found[:2]] == ["000000-000000", "000000-000001"]
    assert [u.texts for u in found] == [500] * 40
    assert sum(u.size for u in found) == path.stat().st_size
    assert [u.last for u in found] == [False] * 39 + [True]
    assert [t.id for u in found for t in u.threads] == [f"r{i}" for i in range(20_000)]


def test_threads_that_span_a_shard_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    sizes = [3, 4, 12, 2, 2]
    rows = [{"id": f"{n}-{i}", "post": f"t{n}", "text": "great"} for n, s in enumerate(sizes) for i in range(s)]
    # The records of a thread stand anywhere in the file.
    rows = rows[::2] + rows[1::2]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = units([path], 5, {"thread": "post"})
    by_shard = [[(t.id, len(t.utterances)) for t in u.threads] for u in found]
    assert by_shard == [[("t0", 3)], [("t1", 4)], [("t2", 12)], [("t3", 2), ("t4", 2)]]


def test_long_texts_close_a_shard_early(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": "great " * 300_000}) + "\n" for _ in range(5)), encoding="utf-8")
    assert [u.texts for u in units([path], 2000)] == [2, 2, 1]


def test_pages_share_a_shard_and_are_told_apart(tmp_path: Path) -> None:
    for n in range(GROUP_FILES + 3):
        (tmp_path / f"page{n:03}.txt").write_text(
            f"A title\n\nI bought it. It was great, page {n}.\n", encoding="utf-8"
        )
    rows_file(tmp_path / "zrows.jsonl", 4)
    found = units([tmp_path], 100)
    assert [(u.sources, len(u.pages), u.texts) for u in found] == [((0, 32), 32, 0), ((32, 35), 3, 0), ((35, 36), 0, 4)]
    worker = Worker(fake_scorer(), "sentiment", Reading())
    sources = pq.read_table(pa.BufferReader(worker.score(found[1]).tables["utterances"])).column("source").to_pylist()
    assert sorted(set(sources)) == [str(tmp_path / f"page{n:03}.txt") for n in (32, 33, 34)]


def test_folders_globs_and_files_are_found_once_and_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.jsonl", ".hidden.txt", "style.css", "deep/c.csv", "page_files/x.html", "out/old.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text\nhello\n", encoding="utf-8")
    given = [str(tmp_path), str(tmp_path / "*.txt"), str(tmp_path / "b.txt")]
    found = [Path(s.name).relative_to(tmp_path).as_posix() for s in find_sources(given, tmp_path / "out")]
    assert found == ["a.jsonl", "b.txt", "deep/c.csv"]


def test_urls_are_read_through_fsspec(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/batch/a.jsonl", b'{"text": "great"}\n{"text": "awful"}\n')
    store.pipe("/batch/b.csv", b"text\nsorry\n")
    done, _, _ = start(["memory://batch/*.jsonl", "memory://batch/b.csv", "memory://batch/no.csv"], tmp_path / "out")
    assert done.texts == 3
    assert [r["text"] for r in table(tmp_path / "out", "utterances")] == ["great", "awful", "sorry"]
    assert {r["source"] for r in table(tmp_path / "out", "utterances")} == {
        "memory:///batch/a.jsonl",
        "memory:///batch/b.csv",
    }
    assert [r["code"] for r in table(tmp_path / "out", "errors")] == ["not_readable"]
    with pytest.raises(InputError, match="can't be opened") as caught:
        find_sources(["nosuch://bucket/a"], tmp_path)
    assert caught.value.code == "unknown_protocol"


# ------------------------------------------------------------------------------------------------------------- results


@pytest.mark.parametrize("task", TASKS)
def test_every_task_writes_its_tables_with_their_columns(task: BatchTask, tmp_path: Path) -> None:
    path = rows_file(tmp_path / "rows.jsonl", 25)
    done, _, _ = start([path, EXAMPLES], tmp_path / "out", fake_options(task, shard_texts=10))
    for name, schema in schemas(task).items():
        for file in (tmp_path / "out" / name).glob("*.parquet"):
            assert pq.read_schema(file).remove_metadata() == schema, name
    rows = table(tmp_path / "out", "utterances")
    assert done.rows == len(rows) > 40
    assert done.errors == 0
    assert [r["text"] for r in rows[:3]] == ["great refund 0", "awful, they ignored me 0", "sorry, never again 0"]
    assert (rows[0]["source"], rows[0]["thread"], rows[0]["id"], rows[0]["place"]) == (str(path), "r0", "r0", "line 1")


def test_reports_are_those_of_the_scorer(tmp_path: Path) -> None:
    start([EXAMPLES], tmp_path / "out", fake_options("score"))
    utterances, cases, dropped = (table(tmp_path / "out", name) for name in ("utterances", "cases", "dropped"))
    scorer = fake_scorer()
    reports = [scorer.score(t) for path in sorted(EXAMPLES.iterdir()) for t in read_file(path)]
    assert [u["id"] for u in utterances] == [s.utterance.id for r in reports for s in r.utterances]
    assert [u["valence"] for u in utterances] == pytest.approx(
        [s.sentiment.valence for r in reports for s in r.utterances if s.sentiment], abs=1e-6
    )
    expected = [c for r in reports for c in r.cases]
    assert [(c["author"], c["role"], c["status"], c["band"]) for c in cases] == [
        (c.author, c.role, c.status, c.loyalty.band if c.loyalty else None) for c in expected
    ]
    assert [[q["quote"] for q in c["cues"]] for c in cases] == [[q.quote for q in c.cues] for c in expected]
    assert [(d["id"], d["reason"]) for d in dropped] == [(d.utterance.id, d.reason) for r in reports for d in r.dropped]
    assert any(c["priority"] is not None for c in cases)


def test_equal_texts_of_a_shard_are_scored_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text\n" + "great refund\n" * 90 + "awful\n" * 10, encoding="utf-8")
    done, _, _ = start([path], tmp_path / "out")
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert (done.texts, summary["different_texts_a_shard"]) == (100, 2)
    assert summary["sentiment"] == {"negative": 10, "neutral": 0, "positive": 90}


@pytest.mark.parametrize("task", ["score", "sentiment"])
def test_half_a_surrogate_pair_costs_a_character_not_a_shard(task: BatchTask) -> None:
    thread = Thread("t", (Utterance("1", "great \ud83d refund"), Utterance("2", "awful")), title="A\ud83d")
    result = Worker(fake_scorer(), task, Reading()).score(Unit("0-0", (0, 1), "a", threads=(thread,)))
    tables = {name: pq.read_table(pa.BufferReader(content)).to_pylist() for name, content in result.tables.items()}
    assert [r["text"] for r in tables["utterances"]] == ["great ? refund", "awful"]
    assert [r["title"] for r in tables["threads"]] == ["A?"]
    assert tables["errors"] == []


# -------------------------------------------------------------------------------------------------------- exactly once


def test_a_run_that_was_stopped_goes_on_and_ends_like_one_that_was_not(tmp_path: Path) -> None:
    inputs: list[Path | str] = [rows_file(tmp_path / "a.jsonl", 45), EXAMPLES, rows_file(tmp_path / "b.jsonl", 12)]
    whole, all_at_once, _ = start(inputs, tmp_path / "whole", fake_options("score", shard_texts=10))
    given: list[str] = []
    for stop_after in (2, 0, 3, 1):
        with pytest.raises(KeyboardInterrupt):
            start(inputs, tmp_path / "parts", fake_options("score", shard_texts=10), "resume", stop_after=stop_after)
    last, pool, _ = start(inputs, tmp_path / "parts", fake_options("score", shard_texts=10), "resume")
    given = [json.loads(line)["shard"] for line in (tmp_path / "parts/shards.jsonl").read_text().splitlines()]
    assert sorted(given) == sorted(all_at_once.given)
    assert pool.given == given[-len(pool.given) :]
    assert (last.shards, last.texts, last.rows) == (whole.shards, whole.texts, whole.rows)
    assert last.skipped == len(given) - len(pool.given) > 0
    same(tmp_path / "whole", tmp_path / "parts")
    again, none, _ = start(inputs, tmp_path / "parts", fake_options("score", shard_texts=10), "resume")
    assert (again.skipped, none.given) == (whole.shards, [])


def test_a_journal_that_was_cut_off_loses_its_last_shard_only(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "rows.jsonl", 50)
    start([path], tmp_path / "whole", fake_options(shard_texts=10))
    start([path], tmp_path / "cut", fake_options(shard_texts=10))
    journal = tmp_path / "cut/shards.jsonl"
    journal.write_bytes(journal.read_bytes()[:-25])
    (tmp_path / "cut/utterances/.000000-000004.parquet.part").write_bytes(b"half")
    _, pool, _ = start([path], tmp_path / "cut", fake_options(shard_texts=10), "resume")
    assert pool.given == ["000000-000004"]
    assert not list((tmp_path / "cut").rglob("*.part"))
    same(tmp_path / "whole", tmp_path / "cut")


def test_a_folder_that_is_taken_needs_to_be_told_what_to_do(tmp_path: Path) -> None:
    path, out = rows_file(tmp_path / "rows.jsonl", 5), tmp_path / "out"
    start([path], out)
    with pytest.raises(InputError, match="holds a batch run already") as caught:
        start([path], out)
    assert "--resume" in str(caught.value.expected)
    start([path], out, fake_options("score"), "overwrite")
    assert len(table(out, "cases")) == 5
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.doc").touch()
    for mode in ("new", "resume", "overwrite"):
        with pytest.raises(InputError, match=r"holds other things \(thesis.doc\)"):
            start([path], tmp_path / "other", mode=mode)
    with pytest.raises(InputError, match="is not a folder"):
        start([path], path)


def test_resuming_with_anything_else_is_refused(tmp_path: Path) -> None:
    path, out = rows_file(tmp_path / "rows.jsonl", 30), tmp_path / "out"
    start([path], out, fake_options(shard_texts=10))
    other_bundle = Options(**{**vars(fake_options(shard_texts=10)), "identity": ("new", "1" * 64), "load": load_other})
    for options, named in (
        (fake_options("conduct", shard_texts=10), "task"),
        (fake_options(shard_texts=11), "shard_texts"),
        (fake_options(shard_texts=10, fields={"text": "text"}), "reading"),
        (other_bundle, "bundle"),
    ):
        with pytest.raises(InputError, match=f"its {named} is not that of this command"):
            start([path], out, options, "resume")
    more = rows_file(tmp_path / "more.jsonl", 3)
    with pytest.raises(InputError, match=r"can't be resumed: its input .*more.jsonl"):
        start([path, more], out, fake_options(shard_texts=10), "resume")
    path.write_text(path.read_text() + '{"text": "new"}\n')
    with pytest.raises(InputError, match=r"can't be resumed: its input .*rows.jsonl") as caught:
        start([path], out, fake_options(shard_texts=10), "resume")
    assert "bytes" in str(caught.value.got)
    assert len(table(out, "utterances")) == 30


def test_an_input_that_changed_behind_its_time_stamp_is_found(tmp_path: Path) -> None:
    path, out = rows_file(tmp_path / "rows.jsonl", 30), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        start([path], out, fake_options(shard_texts=10), stop_after=2)
    stat = path.stat()
    path.write_text(path.read_text().replace("great", "awful"), encoding="utf-8")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(InputError, match="content is not what it was"):
        start([path], out, fake_options(shard_texts=10), "resume")


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with (tmp_path / "out/.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="written by another run"):
            start([rows_file(tmp_path / "rows.jsonl", 3)], tmp_path / "out")


# ----------------------------------------------------------------------------------------------------------- bad input


def test_bad_rows_and_files_cost_only_themselves(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 this is none")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\0")
    middle = rows_file(tmp_path / "middle.jsonl", 20).read_bytes().splitlines()
    (tmp_path / "middle.jsonl").write_bytes(b"\n".join([*middle[:10], b'{"text": "bro', b"\xff\xfe", *middle[10:]]))
    good = pa.table({"text": ["great"] * 3000})
    pq.write_table(good, tmp_path / "torn.parquet", row_group_size=1000, compression="none", use_dictionary=False)
    content = bytearray((tmp_path / "torn.parquet").read_bytes())
    content[len(content) // 2 - 200 : len(content) // 2] = b"\xff" * 200
    (tmp_path / "torn.parquet").write_bytes(content)
    out = tmp_path / "out"
    done, _, said = start([tmp_path, tmp_path / "missing.html"], out)
    errors = {(Path(e["source"]).name, e["place"], e["code"]) for e in table(out, "errors")}
    assert {e[0] for e in errors} == {
        "broken.parquet", "empty.csv", "picture.txt", "middle.jsonl", "torn.parquet", "missing.html",
    }  # fmt: skip
    assert ("middle.jsonl", "line 11", "bad_line") in errors
    assert ("middle.jsonl", "line 12", "bad_encoding") in errors
    assert ("broken.parquet", "broken.parquet", "corrupt_file") in errors
    assert ("missing.html", None, "not_found") in errors
    rows = table(out, "utterances")
    assert sum(Path(r["source"]).name == "middle.jsonl" for r in rows) == 20
    assert sum(Path(r["source"]).name == "torn.parquet" for r in rows) >= 1000
    assert done.errors == len(errors) == 7
    assert all(any(name in line for line in said) for name in ("broken.parquet", "missing.html", "line 11"))


def test_many_bad_rows_are_told_as_a_number_but_all_stand_in_the_table(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "great"}\nnonsense\n' * 300, encoding="utf-8")
    done, _, said = start([path], tmp_path / "out", fake_options(shard_texts=5))
    assert done.errors == 300
    assert len(said) == COMPLAINTS + 1
    assert [r["place"] for r in table(tmp_path / "out", "errors")] == [f"line {2 * n}" for n in range(1, 301)]


@pytest.mark.parametrize("task", ["score", "sentiment", "loyalty"])
def test_a_text_that_the_scorer_cannot_take_costs_only_itself(task: BatchTask, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,text\n1,great\n2,please explode now\n3,awful\n", encoding="utf-8")
    done, _, _ = start([path], tmp_path / "out", fake_options(task, load=load_stumbling))
    assert [r["id"] for r in table(tmp_path / "out", "utterances")] == ["1", "3"]
    (error,) = table(tmp_path / "out", "errors")
    assert (error["thread"], error["place"], error["code"]) == ("2", "line 3", "not_scored")
    assert "ZeroDivisionError: it exploded" in error["reason"]
    assert done.errors == 1


def test_a_shard_that_ends_its_workers_goes_to_the_errors_after_three_tries(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "rows.jsonl", 30)

    def deadly(unit: Unit) -> bool:
        return unit.name.endswith("1")

    done, pool, said = start([path], tmp_path / "out", fake_options(shard_texts=10), deadly=deadly)
    assert pool.given.count("000000-000001") == 3
    assert [r["id"] for r in table(tmp_path / "out", "utterances")] == [f"r{n}" for n in (*range(10), *range(20, 30))]
    errors = table(tmp_path / "out", "errors")
    assert [(e["thread"], e["place"]) for e in errors] == [(f"r{n}", f"line {n + 1}") for n in range(10, 20)]
    assert {e["code"] for e in errors} == {"worker_died"}
    assert done.errors == 10
    assert sum("tried again" in line for line in said) == 2
    # Another night, with more memory: only this shard is tried again.
    done, pool, _ = start([path], tmp_path / "out", fake_options(shard_texts=10), "resume")
    assert (pool.given, done.errors, done.texts) == (["000000-000001"], 0, 30)
    start([path], tmp_path / "whole", fake_options(shard_texts=10))
    same(tmp_path / "out", tmp_path / "whole")


def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, _nobody(folder):
        closed = Path(folder) / "closed"
        closed.mkdir()
        rows_file(Path(folder) / "rows.jsonl", 2)
        rows_file(Path(folder) / "secret.jsonl", 2).chmod(0)
        closed.chmod(0)
        try:
            found = find_sources([folder], tmp_path / "out")
            assert {Path(s.name).name: s.problem is None for s in found} == {
                "closed": False, "rows.jsonl": True, "secret.jsonl": True,
            }  # fmt: skip
            problems = [p for u in cut(found, Reading(), 10, frozenset()) for p in u.problems]
            assert {(Path(p.source).name, p.code) for p in problems} == {
                ("closed", "not_readable"), ("secret.jsonl", "not_readable"),
            }  # fmt: skip
            assert all("Permission denied" in p.reason for p in problems)
        finally:
            closed.chmod(0o700)


@contextlib.contextmanager
def _nobody(folder: str) -> Iterator[None]:
    """Root may read everything: be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_full_disk_stops_the_run_with_a_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "rows.jsonl", 400, author="Somebody with a long name " * 4)
    options = fake_options("score", shard_texts=200)
    start([path], tmp_path / "whole", options)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
    try:
        with pytest.raises(OSError, match=r"too large|No space") as caught:
            start([path], tmp_path / "out", options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value.filename).startswith(str(tmp_path / "out"))
    assert not list((tmp_path / "out").rglob("*.part"))
    start([path], tmp_path / "out", options, "resume")
    same(tmp_path / "whole", tmp_path / "out")


# ----------------------------------------------------------------------------------------------------- local processes


def test_a_worker_that_is_killed_is_replaced_and_its_shard_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    texts = ["great", f"once {tmp_path / 'marker'}", "boom", "awful", "sorry"]
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")
    said: list[str] = []
    options = fake_options(shard_texts=1, load=load_deadly)
    done = run([str(path)], tmp_path / "out", options, say=said.append)
    rows = {r["text"]: r["label"] for r in table(tmp_path / "out", "utterances")}
    assert set(rows) == {*texts} - {"boom"}
    (error,) = table(tmp_path / "out", "errors")
    assert (error["place"], error["code"]) == ("line 3", "worker_died")
    assert "SIGKILL" in error["reason"]
    assert done.errors == 1
    assert sum("it is tried again" in line for line in said) == 3


def test_workers_that_cannot_open_the_model_end_the_run(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "rows.jsonl", 3)
    with pytest.raises(InputError, match="a worker has another model than the run"):
        run([str(path)], tmp_path / "other", fake_options(load=load_other))
    with pytest.raises(InputError, match="workers end while they open the model: the worker ended with code 7"):
        run([str(path)], tmp_path / "dead", fake_options(load=load_dead))
    with pytest.raises(InputError, match="is not a model bundle"):
        run([str(path)], tmp_path / "none", Options(bundle=tmp_path))


@pytest.mark.slow
def test_a_gpu_that_is_not_there_is_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs the train extra")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="the GPU can't be used"):
        run([str(rows_file(tmp_path / "rows.jsonl", 3))], tmp_path / "out", Options(device="cuda"))


def test_the_local_engine_gives_what_one_process_gives(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "rows.jsonl", 100)
    start([path], tmp_path / "one", fake_options(shard_texts=10))
    done = run([str(path)], tmp_path / "two", fake_options(shard_texts=10, load=load_slow, workers=2))
    assert done.texts == 100
    same(tmp_path / "one", tmp_path / "two")


# -------------------------------------------------------------------------------------------------- progress, summary


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def progress(tmp_path: Path, stream: io.StringIO, said: list[str]) -> Progress:
    (tmp_path / "p").mkdir()
    return Progress(1000, Results(tmp_path / "p", "sentiment", {}), said.append, stream)


@pytest.mark.parametrize("fields", [{}, {"thread": "page"}])
def test_a_shard_stands_for_no_more_of_the_input_than_its_texts(tmp_path: Path, fields: dict[str, str]) -> None:
    path = tmp_path / "small.csv"
    path.write_text("page,text\n" + "".join(f"p{n},{'great refund ' * 5}{n}\n" for n in range(1000)))
    found = list(cut(find_sources([str(path)], tmp_path / "out"), Reading(fields=fields), 100, frozenset()))
    assert len(found) == 10
    done = 0
    for number, unit in enumerate(found[:-1], 1):
        done += unit.size
        assert 0.6 * number / 10 < done / path.stat().st_size <= number / 10
    assert done + found[-1].size == path.stat().st_size


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(tmp_path: Path) -> None:
    result = Worker(fake_scorer(), "sentiment", Reading()).score(
        Unit("000000-000000", (0, 1), "a", threads=(Thread("t", (Utterance("1", "great"),)),), size=500)
    )
    unit = Unit("000000-000000", (0, 1), "a", size=500)
    stream, said = Terminal(), list[str]()
    with progress(tmp_path, stream, said) as bar:
        bar.add(unit, result)
        bar.tick()
        bar.say("a line")
    assert "50 %" in stream.getvalue()
    assert "1 texts" in stream.getvalue()
    assert said == ["a line"]
    (tmp_path / "p").rename(tmp_path / "q")
    plain = io.StringIO()
    with progress(tmp_path, plain, said) as lines:
        lines.add(unit, result)
        assert lines.line().startswith("1 texts, ")
        assert "50 % of the input, about 0 s left" in lines.line()
    assert plain.getvalue() == ""
    assert [_duration(s) for s in (12, 600, 7300)] == ["12 s", "10 min", "2 h 2 min"]


def test_the_summary_counts_and_its_page_stands_alone(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    path = tmp_path / "rows.jsonl"
    rows = [
        {
            "id": f"{n}-{i}",
            "t": f"{evil}{n}",
            "text": f"{text} {n}",
            "time": f"2024-0{n + 1}-1{i}",
            "author": f"A{n}{i}",
        }
        for n, text in enumerate(["awful, they ignored me", "great refund", "you should"])
        for i in range(4)
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows) + "nonsense\n", encoding="utf-8")
    start([path, EXAMPLES], tmp_path / "out", fake_options("score", fields={"thread": "t"}))
    found = json.loads((tmp_path / "out/summary.json").read_text())
    utterances = table(tmp_path / "out", "utterances")
    assert found["utterances"] == len(utterances)
    assert sum(found["sentiment"].values()) == sum(u["label"] is not None for u in utterances)
    assert sum(sum(b[n] for n in found["sentiment"]) for b in found["time"]["bars"]) + found["time"]["outside"] == sum(
        u["label"] is not None and u["time"] is not None for u in utterances
    )
    cues = [q for c in table(tmp_path / "out", "cases") for q in c["cues"] if q["state"] != "hypothetical"]
    assert sum(c["reported"] for c in found["cues"]) == len(cues) > 0
    assert found["worst_threads"][0]["thread"] == f"{evil}0"
    assert found["best_threads"][0]["thread"] == f"{evil}1"
    assert found["contact_first"][0]["actions"]
    assert found["errors"] == {"bad_line": 1}
    html = (tmp_path / "out/summary.html").read_text(encoding="utf-8")
    tree = LexborHTMLParser(html)
    assert [h.text() for h in tree.css("h2")] == [
        "Sentiment", "Whom to contact first", "What people report about the company's conduct", "Loyalty",
        "Worst threads", "Best threads", "What was left out",
    ]  # fmt: skip
    assert not tree.css("script")
    assert evil in html.replace("&lt;", "<").replace("&gt;", ">")
    assert "default-src 'none'" in str(tree.css('meta[http-equiv="Content-Security-Policy"]')[0].attributes["content"])
    assert not [n for n in tree.css("[src], link[href]") if not str(n.attributes.get("href")).startswith("data:")]


@pytest.mark.parametrize("task", ["sentiment", "conduct", "loyalty"])
def test_every_task_has_a_page(task: BatchTask, tmp_path: Path) -> None:
    start([rows_file(tmp_path / "rows.jsonl", 12)], tmp_path / "out", fake_options(task))
    tree = LexborHTMLParser((tmp_path / "out/summary.html").read_text(encoding="utf-8"))
    headings = [h.text() for h in tree.css("h2")]
    assert (
        headings
        == {
            "sentiment": ["Sentiment"],
            "conduct": ["What people report about the company's conduct"],
            "loyalty": ["Loyalty"],
        }[task]
    )


def test_the_time_line_chooses_its_step_and_leaves_strays_out() -> None:
    days = {(f"2024-03-{d:02}", "negative"): 100 for d in range(1, 31)}
    assert _time(days)["unit"] == "day"
    assert len(_time(days)["bars"]) == 30
    strays = {**days, ("1970-01-01", "neutral"): 1, ("9999-12-31", "neutral"): 1, ("rubbish", "neutral"): 1}
    assert (_time(strays)["unit"], _time(strays)["outside"], len(_time(strays)["bars"])) == ("day", 3, 30)
    assert _time({("2022-01-03", "neutral"): 1, ("2023-06-01", "neutral"): 1})["unit"] == "week"
    assert _time({("2019-01-03", "neutral"): 1, ("2024-06-01", "neutral"): 1})["unit"] == "month"
    long = _time({("1990-01-03", "neutral"): 1, ("2024-06-01", "positive"): 1})
    assert (long["unit"], len(long["bars"])) == ("year", 35)
    assert _time({("0001-01-01", "neutral"): 1})["bars"][0]["neutral"] == 1
    assert all(
        len(_time({(f"{y}-01-01", "neutral"): 1 for y in (1990, z)})["bars"]) <= MOST_BARS for z in range(1990, 2030)
    )
    assert _time({})["bars"] == []


def test_an_empty_run_has_a_summary(tmp_path: Path) -> None:
    done, _, said = start([tmp_path / "missing"], tmp_path / "out")
    assert (done.texts, done.errors) == (0, 1)
    assert said == [f"{tmp_path / 'missing'}: does not exist"] or "no file fits" in said[0]
    found = json.loads((tmp_path / "out/summary.json").read_text())
    assert "0 texts" in render(found)


# -------------------------------------------------------------------------------------------------------- command line


def test_the_command_says_what_it_did_and_exits_by_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = rows_file(tmp_path / "rows.jsonl", 8), tmp_path / "out"
    command = ["batch", str(path), "--out", str(out), "--task", "sentiment", "--workers", "1"]
    assert main(command, load=load) == 0
    assert f"amends: wrote {out}: 8 texts in 8 threads, 1 shards, " in capsys.readouterr().err
    assert main(command, load=load) == 1
    assert "holds a batch run already" in capsys.readouterr().err
    assert main([*command, "--resume"], load=load) == 0
    assert "1 shards (1 of them before)" in capsys.readouterr().err
    path.write_text('{"text": "great"}\nnonsense\n', encoding="utf-8")
    assert main([*command, "--overwrite"], load=load) == 1
    err = capsys.readouterr().err
    assert "line 2: no JSON" in err
    assert f"1 things could not be used; {out / 'errors'}" in err
    assert json.loads((out / MANIFEST).read_text())["inputs"][0]["name"] == str(path)
    with pytest.raises(SystemExit) as caught:
        main([*command, "--resume", "--overwrite"], load=load)
    assert caught.value.code == 2
    assert main([*command, "--address", "here:1"], load=load) == 1
    assert "--address is for --engine ray" in capsys.readouterr().err
    assert main([*command[:4], "--field", "wrong=x"], load=load) == 1
    assert "no column can be used as 'wrong'" in capsys.readouterr().err
