"""What a batch worker does: one shard in, its tables out. The same for a process of this machine and an actor of Ray.

The tables and their columns: docs/batch.md.
"""

import io
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from model.advise import advise, movability, texts_of
from model.clean import language
from model.codebook import SENTIMENT
from model.types import (
    Author,
    Case,
    CaseFeatures,
    Dropped,
    InputError,
    Report,
    ScoredUtterance,
    Thread,
    Utterance,
    plain,
)
from model.what_if import REPORTED
from service.batch_input import UNREACHABLE, Collected, Problem, Reading, Unit, problem_of
from service.garbage import look_seldom
from service.predict import SCHEMAS as TEXT_SCHEMAS
from service.predict import TASKS as TEXT_TASKS
from service.predict import Task as TextTask
from service.predict import score_texts

if TYPE_CHECKING:
    from model.scorer import CaseReport, Scorer

BatchTask = Literal["score", "sentiment", "conduct", "loyalty"]
Row = dict[str, Any]

TASKS: Final = ("score", *TEXT_TASKS)
ADVISED: Final = 10
"""Customers of a shard for whom it is worked out what would help; see docs/batch.md."""
GPU_CHUNK: Final = 8192
TRIES: Final = 3
"""Times that a shard is given to a worker; when all of them have ended with it, it goes to the errors."""
TOLD: Final = 3
ANY_TEXT: Final = "Long enough for a language to be found in it."

_TEXT: Final = pa.string()
_TEXTS: Final = pa.list_(pa.string())
_NUMBER: Final = pa.float64()
_COUNT: Final = pa.int64()
_WHERE: Final = [("shard", _TEXT), ("source", _TEXT), ("thread", _TEXT)]
_SAID: Final = [
    ("id", _TEXT),
    ("parent", _TEXT),
    ("kind", _TEXT),
    ("author", _TEXT),
    ("author_url", _TEXT),
    ("time", _TEXT),
    ("votes", _COUNT),
    ("flags", _TEXTS),
    ("place", _TEXT),
    ("text", _TEXT),
]
_FEELING: Final = [("label", _TEXT), *((n, _NUMBER) for n in (*SENTIMENT, "valence"))]
_SPAN: Final = [("probability", _NUMBER), ("quote", _TEXT), ("start", _COUNT), ("end", _COUNT), ("utterance", _TEXT)]
_CUES: Final = pa.list_(pa.struct([("cue", _TEXT), ("value", _TEXT), ("state", _TEXT), *_SPAN]))
_STATEMENT: Final = pa.struct([("kind", _TEXT), *_SPAN])
_EVIDENCE: Final = pa.list_(pa.struct([("feature", _TEXT), ("contribution", _NUMBER), *_SPAN[1:]]))
_LOYALTY: Final = [
    *((f"repurchase_{name}", _NUMBER) for name in ("stay", "undecided", "leave")),
    *((f"wom_{name}", _NUMBER) for name in ("positive", "mixed", "negative")),
    *((name, _NUMBER) for name in ("advocate", "churn", "index", "low", "high", "index_conduct")),
    ("band", _TEXT),
    ("coverage", _NUMBER),
    ("missing", _TEXTS),
    ("evidence", _EVIDENCE),
]
_THREADS: Final = pa.schema(
    [
        *_WHERE,
        *((name, _TEXT) for name in ("title", "url", "brand", "adapter")),
        ("confidence", _NUMBER),
        ("claimed", _COUNT),
        ("warnings", _TEXTS),
        ("utterances", _COUNT),
        *((name, _COUNT) for name in SENTIMENT),
        ("valence", _NUMBER),
        *((name, _COUNT) for name in ("customers", "at_risk", "advocates")),
    ]
)
_ERRORS: Final = pa.schema([*_WHERE, ("place", _TEXT), ("code", _TEXT), ("reason", _TEXT)])
_SENTENCES: Final = pa.list_(pa.struct([("start", _COUNT), ("end", _COUNT), *_FEELING]))

SCORE_SCHEMAS: Final[dict[str, pa.Schema]] = {
    "utterances": pa.schema([*_WHERE, *_SAID, ("role", _TEXT), *_FEELING, ("sentences", _SENTENCES)]),
    "cases": pa.schema(
        [
            *_WHERE,
            ("author", _TEXT),
            ("role", _TEXT),
            ("role_probability", _NUMBER),
            ("role_reason", _TEXT),
            ("status", _TEXT),
            ("reason", _TEXT),
            ("utterances", _TEXTS),
            ("cues", _CUES),
            ("stated", pa.list_(_STATEMENT)),
            ("tenure", _STATEMENT),
            ("failure", _TEXT),
            ("severity", _COUNT),
            *_LOYALTY,
            ("movable", _NUMBER),
            ("priority", _NUMBER),
            ("actions", _TEXTS),
        ]
    ),
    "dropped": pa.schema([*_WHERE, *_SAID, ("reason", _TEXT), ("duplicate_of", _TEXT), ("detail", _TEXT)]),
    "threads": _THREADS,
    "errors": _ERRORS,
}


def schemas(task: BatchTask) -> dict[str, pa.Schema]:
    """The tables that a task writes, and their columns."""
    if task == "score":
        return SCORE_SCHEMAS
    scored = pa.schema([*_WHERE, *_SAID, *TEXT_SCHEMAS[task]])
    return {"utterances": scored, "threads": _THREADS, "errors": _ERRORS}


@dataclass(frozen=True, slots=True)
class Result:
    """A shard that is done: its tables as Parquet, what they hold, and what it took.

    seconds: by the clock. cpu: seconds of CPU. unreachable: something in it may be had on another try. told: the first
    reasons of its errors.
    """

    tables: Mapping[str, bytes]
    counts: Mapping[str, int]
    seconds: float
    cpu: float
    unreachable: bool
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class Opening:
    """How a worker opens the model. load: None for the real one. digest: of the bundle that must be found."""

    task: BatchTask
    reading: Reading
    bundle: Path | None
    digest: str
    device: str
    load: Callable[[Path | None], "Scorer"] | None = None

    def open(self) -> "Worker":
        """The worker. Raises InputError where the bundle can't be used or is another one than that of the run."""
        one_thread()
        scorer = self.load(self.bundle) if self.load else open_scorer(self.bundle, self.device)
        if scorer.info.digest != self.digest:
            raise InputError(
                "a worker has another model than the run",
                code="bad_bundle",
                field="bundle",
                got=scorer.info.digest[:12],
                expected=self.digest[:12],
            )
        warm_up(scorer)
        look_seldom()
        return Worker(scorer, self.task, self.reading)


def warm_up(scorer: "Scorer") -> None:
    """Opens what the first texts would wait for, so that a shard costs the same whichever it is."""
    scorer.open_exact()
    language(ANY_TEXT)


def one_thread() -> None:
    """A worker is one thread; libraries read these when they are loaded."""
    os.environ |= SINGLE
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


SINGLE: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def open_scorer(bundle: Path | None, device: str) -> "Scorer":
    """The 8-bit graph on one core, or the float network in bfloat16 on a GPU (device "cuda")."""
    from model.scorer import Scorer

    if device == "cuda":
        return Scorer.load(bundle, engine="cuda", chunk=GPU_CHUNK)
    return Scorer.load(bundle)


class Worker:
    """Scores shards, one after the other."""

    def __init__(self, scorer: "Scorer", task: BatchTask, reading: Reading) -> None:
        self._scorer = scorer
        self._task = task
        self._reading = reading

    def score(self, unit: Unit) -> Result:
        """Everything in the shard that can be scored, and the rest as problems."""
        start, used = time.monotonic(), time.process_time()
        problems = list(unit.problems)
        threads = [(unit.source, t) for t in unit.threads]
        for name, content in unit.pages:
            threads += [(name, t) for t in self._page(name, content, problems)]
        if self._task == "score":
            tables, scored = self._reports(unit.name, threads, problems)
        else:
            tables, scored = self._texts(unit.name, self._task, threads, problems)
        tables["errors"] = [_problem_row(unit.name, p) for p in problems]
        counts = {name: len(rows) for name, rows in tables.items()} | {"scored": scored}
        counts["texts"] = sum(len(t.utterances) for _, t in threads)
        unreachable = unit.unreachable or any(p.code in UNREACHABLE for p in problems)
        written = {name: parquet(tables[name], schema) for name, schema in schemas(self._task).items()}
        told = tuple(p.reason for p in problems[:TOLD])
        return Result(written, counts, time.monotonic() - start, time.process_time() - used, unreachable, told)

    def _page(self, name: str, content: bytes, problems: list[Problem]) -> list[Thread]:
        notes = Collected(name)
        try:
            return list(self._reading.threads(io.BytesIO(content), name, notes))
        except Exception as error:
            # One page that a reader stumbles over must not cost the others.
            if error is not notes.first:
                problems.append(problem_of(error, name))
            return []
        finally:
            problems += notes.taken()

    def _reports(
        self, shard: str, threads: Sequence[tuple[str, Thread]], problems: list[Problem]
    ) -> tuple[dict[str, list[Row]], int]:
        found = self._scored(threads, problems)
        tables: dict[str, list[Row]] = {name: [] for name in SCORE_SCHEMAS}
        candidates: list[tuple[float, Row, Report, int, CaseFeatures]] = []
        for source, (report, features) in found:
            where = _where(shard, source, report.thread)
            tables["threads"].append(where | _thread_row(report.thread, report))
            tables["utterances"] += [where | _scored_row(u) for u in report.utterances]
            tables["dropped"] += [where | _dropped_row(d) for d in report.dropped]
            for number, (case, seen) in enumerate(zip(report.cases, features, strict=True)):
                row = where | _case_row(case)
                tables["cases"].append(row)
                if seen is not None and case.loyalty is not None:
                    row["movable"] = movability(case, case.loyalty, seen, texts_of(report))[0]
                    if seen.failure >= REPORTED:
                        room = row["movable"] * (100 - case.loyalty.index)
                        candidates.append((room, row, report, number, seen))
        # What would help takes as long as the scoring itself: only for those with the most room.
        candidates.sort(key=lambda c: -c[0])
        for _, row, report, number, seen in candidates[:ADVISED]:
            alone = Report(
                report.thread,
                report.utterances,
                (),
                (report.cases[number],),
                report.summary,
                report.bundle,
                report.warnings,
            )
            (advice,) = advise(self._scorer.bundle.loyalty, alone, [seen])
            row["priority"] = advice.priority
            row["actions"] = [action.change for action in advice.actions]
        return tables, len({row["text"] for row in tables["utterances"]})

    def _scored(self, threads: Sequence[tuple[str, Thread]], problems: list[Problem]) -> list[tuple[str, "CaseReport"]]:
        """The reports of all threads; where one makes the scorer fail, each is tried alone."""
        whole = sum(len(t.utterances) for _, t in threads) + 1
        try:
            reports = list(self._scorer.score_cases_many((t for _, t in threads), texts=whole))
            return [(source, one) for (source, _), one in zip(threads, reports, strict=True)]
        except Exception:
            # Deliberately everything: one bad thread never spoils its neighbours, and its own error is told.
            found = []
            for source, thread in threads:
                try:
                    found.append((source, self._scorer.score_cases(thread)))
                except Exception as error:
                    problems.append(_failed(source, thread, None, error))
            return found

    def _texts(
        self, shard: str, task: TextTask, threads: Sequence[tuple[str, Thread]], problems: list[Problem]
    ) -> tuple[dict[str, list[Row]], int]:
        texts = [_valid(u.text) for _, thread in threads for u in thread.utterances]
        # In order of length, so that what is encoded together needs little padding.
        different = sorted(set(texts), key=lambda t: (len(t), t))
        known: dict[str, Row | Exception] = self._rows(different, task)
        tables: dict[str, list[Row]] = {"utterances": [], "threads": []}
        for source, thread in threads:
            where = _where(shard, source, thread)
            labels: Counter[str] = Counter()
            valences: list[float] = []
            for one in thread.utterances:
                row = known[_valid(one.text)]
                if isinstance(row, Exception):
                    problems.append(_failed(source, thread, one, row))
                    continue
                tables["utterances"].append(where | _said_row(one) | row)
                if row.get("label"):
                    labels[row["label"]] += 1
                    valences.append(row["valence"])
            found = where | _thread_row(thread, None)
            if task == "sentiment":
                found |= {name: labels[name] for name in SENTIMENT}
                found["valence"] = sum(valences) / len(valences) if valences else None
            tables["threads"].append(found)
        return tables, len(different)

    def _rows(self, texts: Sequence[str], task: TextTask) -> dict[str, Row | Exception]:
        try:
            return dict(zip(texts, score_texts(texts, task, self._scorer, language), strict=True))
        except Exception:
            # As in _scored: find the text that fails.
            return {text: self._row(text, task) for text in texts}

    def _row(self, text: str, task: TextTask) -> Row | Exception:
        try:
            return score_texts([text], task, self._scorer, language)[0]
        except Exception as error:
            return error


def gave_up(unit: Unit, task: BatchTask, reason: str) -> Result:
    """The result of a shard that ends its workers each time: nothing but errors, one for each thread or page."""
    problems = [*unit.problems]
    problems += [Problem(name, None, "worker_died", reason) for name, _ in unit.pages]
    for thread in unit.threads:
        place = thread.utterances[0].place if thread.utterances else None
        problems.append(Problem(unit.source, place, "worker_died", reason, thread.id))
    rows = [_problem_row(unit.name, p) for p in problems]
    tables = {name: parquet(rows if name == "errors" else [], schema) for name, schema in schemas(task).items()}
    counts = dict.fromkeys(tables, 0) | {"errors": len(rows), "scored": 0, "texts": unit.texts}
    return Result(tables, counts, 0.0, 0.0, True)


def parquet(rows: list[Row], schema: pa.Schema) -> bytes:
    """Rows as a Parquet file; columns that a row lacks are null."""
    try:
        table = pa.Table.from_pylist(rows, schema=schema)
    except UnicodeEncodeError:
        table = pa.Table.from_pylist([_whole(row) for row in rows], schema=schema)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _whole(value: Any) -> Any:
    """Half of a surrogate pair, which UTF-8 has no bytes for, becomes a question mark."""
    if isinstance(value, str):
        return _valid(value)
    if isinstance(value, dict):
        return {k: _whole(v) for k, v in value.items()}
    return [_whole(v) for v in value] if isinstance(value, list | tuple) else value


def _valid(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _failed(source: str, thread: Thread, one: Utterance | None, error: Exception) -> Problem:
    said = one or (thread.utterances[0] if thread.utterances else None)
    reason = f"{type(error).__name__}: {str(error)[:300]}"
    return Problem(source, said.place if said else None, "not_scored", reason, thread.id)


def _where(shard: str, source: str, thread: Thread) -> Row:
    return {"shard": shard, "source": source, "thread": thread.id}


def _problem_row(shard: str, problem: Problem) -> Row:
    return {"shard": shard, **plain(problem)}


def _said_row(one: Utterance) -> Row:
    who = one.author or Author("")
    return {
        "id": one.id,
        "parent": one.parent,
        "kind": one.kind,
        "author": who.name or None,
        "author_url": who.url,
        "time": one.time,
        "votes": one.votes,
        "flags": list(one.flags),
        "place": one.place,
        "text": one.text,
    }


def _scored_row(scored: ScoredUtterance) -> Row:
    feeling = plain(scored.sentiment) if scored.sentiment else {}
    sentences = [{"start": s.start, "end": s.end, **plain(s.sentiment)} for s in scored.sentences]
    return _said_row(scored.utterance) | {"role": scored.role, **feeling, "sentences": sentences}


def _dropped_row(dropped: Dropped) -> Row:
    found: Row = {"reason": dropped.reason, "duplicate_of": dropped.duplicate_of, "detail": dropped.detail}
    return _said_row(dropped.utterance) | found


def _thread_row(thread: Thread, report: Report | None) -> Row:
    row: Row = {
        "title": thread.title,
        "url": thread.url,
        "brand": thread.brand,
        "adapter": thread.adapter,
        "confidence": thread.confidence,
        "claimed": thread.claimed,
        "warnings": list(thread.warnings),
        "utterances": len(thread.utterances),
    }
    if report is None:
        return row
    summary = report.summary
    valences = [u.sentiment.valence for u in report.utterances if u.sentiment]
    row |= {name: summary.sentiment.get(name, 0) for name in SENTIMENT}
    return row | {
        "valence": sum(valences) / len(valences) if valences else None,
        "customers": summary.customers,
        "at_risk": len(summary.at_risk),
        "advocates": len(summary.advocates),
    }


def _case_row(case: Case) -> Row:
    row: Row = {
        "author": case.author,
        "role": case.role,
        "role_probability": case.role_probability,
        "role_reason": case.role_reason,
        "status": case.status,
        "reason": case.reason,
        "utterances": list(case.utterances),
        "cues": [plain(c) for c in case.cues],
        "stated": [plain(s) for s in case.stated],
        "tenure": plain(case.tenure) if case.tenure else None,
        "failure": case.failure,
        "severity": case.severity,
    }
    if case.loyalty is None:
        return row
    found = case.loyalty
    row |= {f"repurchase_{name}": p for name, p in found.repurchase.items()}
    row |= {f"wom_{name}": p for name, p in found.wom.items()}
    row |= {n: getattr(found, n) for n in ("advocate", "churn", "index", "low", "high", "index_conduct", "band")}
    evidence = [plain(e) for e in found.evidence]
    return row | {"coverage": found.coverage, "missing": list(found.missing), "evidence": evidence}
