"""Scores any amount of texts, overnight and without anybody watching: what is done stays done, whatever happens.

A run has a folder. Its manifest says what is scored with what; each shard of the input becomes one Parquet file in each
table, under its name only when it is whole; a journal names the shards that are done. Formats: docs/batch.md.
"""

import contextlib
import fcntl
import json
import os
import queue
import shutil
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Final, Literal, get_args

from model.bundle import RELEASED, bundle_digest, verified
from model.read import FORMATS
from model.reading.rows import Rows
from model.types import InputError
from service.batch_input import Reading, Source, Unit, cut, find_sources
from service.batch_local import Died, LocalPool, Pool, cores, gpus
from service.batch_ray import RayPool
from service.batch_summary import write_summary
from service.batch_work import TRIES, BatchTask, Opening, Result, gave_up, schemas
from service.files import replacing

Engine = Literal["local", "ray"]
Mode = Literal["new", "resume", "overwrite"]

ENGINES: Final = get_args(Engine)
SHARD_TEXTS: Final = {"cpu": 2000, "cuda": 20000}
SAY_EVERY: Final = 30.0
COMPLAINTS: Final = 20
MANIFEST: Final = "manifest.json"
JOURNAL: Final = "shards.jsonl"
_OURS: Final = (MANIFEST, JOURNAL, "summary.json", "summary.html", ".lock")
_FORMAT: Final = 1


@dataclass(frozen=True)
class Options:
    """What is scored with what, and by whom.

    workers: processes or actors, None for one a core (GPU). device: "cpu", "cuda", or "auto" for the GPU if there is
    one. shard_texts: None for 2,000, or 20,000 on a GPU. address: of a Ray cluster. load: opens a scorer, None for the
    real way.
    """

    task: BatchTask = "score"
    reading: Reading = field(default_factory=Reading)
    bundle: Path | None = None
    engine: Engine = "local"
    workers: int | None = None
    device: str = "auto"
    shard_texts: int | None = None
    address: str | None = None
    load: Callable[[Path | None], Any] | None = None
    identity: tuple[str, str] | None = None
    """Version and digest of the bundle that `load` opens."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run came to. errors: rows of that table. skipped: shards that an earlier run had done."""

    shards: int
    skipped: int
    threads: int
    texts: int
    rows: int
    errors: int
    seconds: float


def run(
    inputs: Sequence[str],
    out: Path,
    options: Options,
    mode: Mode = "new",
    *,
    say: Callable[[str], None] = lambda line: None,
    pool: Callable[[Opening], Pool] | None = None,
) -> Finished:
    """Scores everything that `inputs` name into the folder out.

    mode: "new" wants no folder or an empty one, "resume" goes on where a run with the same input and options stopped
    (or starts one), "overwrite" begins anew. pool: other workers than those of options.engine. Raises InputError where
    out or an option can't be used, and OSError where results can't be written; what is done by then stays done.
    """
    _check(options)
    out.mkdir(parents=True, exist_ok=True) if not out.exists() or out.is_dir() else _not_a_folder(out)
    with _locked(out):
        sources = find_sources(inputs, out)
        device = ("cuda" if gpus() and _has_torch() else "cpu") if options.device == "auto" else options.device
        wanted = _manifest(sources, options, device)
        results = Results(out, options.task, _prepared(out, wanted, mode))
        opening = Opening(
            options.task, options.reading, options.bundle, wanted["bundle"]["digest"], device, options.load
        )
        start = time.monotonic()
        before = len(results.done)
        engine = pool or (lambda opening: _pool(options, opening))
        shards = cut(sources, options.reading, wanted["shard_texts"], results.finished())
        texts, scoring = _score(shards, sum(s.size for s in sources), engine, opening, results, say)
        finished = _finished(results, before, time.monotonic() - start)
        run_figures = {
            "seconds": round(finished.seconds, 1),
            "texts": texts,
            "scoring_seconds": round(scoring, 2),
            "texts_a_second": round(texts / scoring, 1) if scoring else 0.0,
        }
        write_summary(out, wanted, sources, results.total, run_figures)
        return finished


# ---------------------------------------------------------------------------------------------------------- the folder


class Results:
    """The tables of a run and its journal. done: the record of each finished shard, by its name."""

    def __init__(self, out: Path, task: BatchTask, done: dict[str, dict[str, Any]]) -> None:
        self._out = out
        self.done = done
        self.total: Counter[str] = Counter()
        for record in done.values():
            self.total.update(record["rows"])
        for name in schemas(task):
            folder = out / name
            folder.mkdir(exist_ok=True)
            for part in folder.glob(".*.part"):
                part.unlink()

    def add(self, unit: Unit, result: Result, tries: int) -> None:
        """Writes a shard: first its tables, each under a temporary name until it is whole, then its journal entry."""
        for name, content in result.tables.items():
            _write(self._out / name / f"{unit.name}.parquet", content)
        record = {
            "shard": unit.name,
            "sources": list(unit.sources),
            "last": unit.last,
            "digest": unit.digest,
            "size": unit.size,
            "rows": dict(result.counts),
            "tries": tries,
            "seconds": round(result.seconds, 3),
            "cpu": round(result.cpu, 3),
            "again": result.unreachable,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with (self._out / JOURNAL).open("ab") as journal:
            journal.write(json.dumps(record).encode() + b"\n")
            journal.flush()
            os.fsync(journal.fileno())
        self.done[unit.name] = record
        self.total.update(result.counts)

    def knows(self, unit: Unit) -> bool:
        """Whether the shard is done. Raises InputError where the input is not what it was then."""
        record = self.done.get(unit.name)
        if record is not None and record["digest"] != unit.digest:
            raise InputError(
                f"{unit.source}: its content is not what it was when the run began",
                code="changed_input",
                field=unit.source,
                got="other texts in a shard that is done",
                expected="the same input; --overwrite begins anew",
            )
        return record is not None

    def finished(self) -> frozenset[int]:
        """Numbers of the sources that are done to their end."""
        ended = (range(*r["sources"]) for r in self.done.values() if r["last"])
        partly = self._open_sources()
        return frozenset(number for numbers in ended for number in numbers if number not in partly)

    def _open_sources(self) -> set[int]:
        """Sources of which a shard before their last is missing."""
        names: dict[int, set[int]] = {}
        last: dict[int, int] = {}
        for name, record in self.done.items():
            source, number = map(int, name.split("-"))
            names.setdefault(source, set()).add(number)
            if record["last"]:
                last[source] = number
        return {source for source, numbers in names.items() if len(numbers) != last.get(source, -1) + 1}


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        # A full disk is told with the name that the user knows.
        raise OSError(error.errno, error.strerror, str(path)) from None
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Two runs must not write into one folder; the lock goes with the process, however it ends."""
    try:
        file = (out / ".lock").open("w")
    except OSError as error:
        raise InputError(f"{out}: can't be written to: {error.strerror}", code="bad_output", field="--out") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{out} is being written by another run", code="bad_output", field="--out", expected="one run a folder"
            ) from None
        yield


def _prepared(out: Path, wanted: dict[str, Any], mode: Mode) -> dict[str, dict[str, Any]]:
    """Makes the folder ready and gives the records of shards that are done."""
    others = [p.name for p in out.iterdir() if p.name != ".lock"]
    path = out / MANIFEST
    if others and not path.exists():
        raise InputError(
            f"{out} holds other things ({', '.join(sorted(others)[:3])})",
            code="bad_output",
            field="--out",
            got="a folder that is no batch run",
            expected="an empty or a new folder",
        )
    if others and mode == "new":
        raise InputError(
            f"{out} holds a batch run already",
            code="output_exists",
            field="--out",
            got="a folder with a manifest",
            expected="--resume to go on with it, --overwrite to begin anew, or another folder",
        )
    if others and mode == "overwrite":
        _clear(out)
    if path.exists():
        _check_same(_loaded(path), wanted, out)
        return _journal(out)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
    return {}


def _clear(out: Path) -> None:
    tables = {name for task in ("score", "sentiment") for name in schemas(task)}
    # The manifest goes last: a folder without it is not taken for a run.
    for name in (*tables, *_OURS[1:-1], MANIFEST):
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _loaded(path: Path) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return loaded
    except ValueError as error:
        raise InputError(
            f"{path} can't be read: {error}", code="bad_output", field="--out", expected="a manifest; see --overwrite"
        ) from None


def _check_same(old: dict[str, Any], wanted: dict[str, Any], out: Path) -> None:
    for name in (k for k in wanted if k not in ("created", "inputs")):
        if old.get(name) != wanted[name]:
            raise _differs(out, name, old.get(name), wanted[name])
    before, now = ({one["name"]: one for one in m["inputs"]} for m in (old, wanted))
    for name in (*before, *now):
        if before.get(name) != now.get(name):
            raise _differs(out, f"input {name}", _pin(before.get(name)), _pin(now.get(name)))
    if list(before) != list(now):
        raise _differs(out, "order of the inputs", "another order", "this order")


def _pin(one: Mapping[str, Any] | None) -> str:
    return "not there" if one is None else f"{one['size']:,} bytes of {one['stamp'] or 'unknown time'}"


def _differs(out: Path, name: str, old: object, new: object) -> InputError:
    return InputError(
        f"{out} can't be resumed: its {name} is not that of this command",
        code="other_run",
        field=name,
        got=str(new),
        expected=f"{old}, as in {MANIFEST}; or --overwrite",
    )


def _journal(out: Path) -> dict[str, dict[str, Any]]:
    """Records of the shards that are done; a last line that was cut off is taken out, what failed is left out."""
    path = out / JOURNAL
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        with path.open("r+b") as file:
            file.truncate(len(whole))
    records = (json.loads(line) for line in whole.splitlines())
    found = {record["shard"]: record for record in records}
    return {name: record for name, record in found.items() if not record["again"]}


def _manifest(sources: Sequence[Source], options: Options, device: str) -> dict[str, Any]:
    if options.identity is None:
        meta = verified(options.bundle or RELEASED)
        version, digest = meta["version"], bundle_digest(meta["files"])
    else:
        version, digest = options.identity
    reading = options.reading
    return {
        "format": _FORMAT,
        "amends": _version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "task": options.task,
        "bundle": {"version": version, "digest": digest},
        "device": device,
        "shard_texts": options.shard_texts or SHARD_TEXTS[device],
        "reading": {"format": reading.format, "brand": reading.brand, "fields": dict(sorted(reading.fields.items()))},
        "inputs": [source.pin() for source in sources],
    }


def _version() -> str:
    try:
        return metadata.version("amends")
    except metadata.PackageNotFoundError:
        return "not installed"


def _has_torch() -> bool:
    from importlib.util import find_spec

    return find_spec("torch") is not None and find_spec("transformers") is not None


def _check(options: Options) -> None:
    if options.reading.format not in FORMATS:
        raise InputError(
            f"the format {options.reading.format!r} is not known", code="unknown_format", expected=", ".join(FORMATS)
        )
    # Raises InputError for a column that can't be used.
    Rows("input", None, options.reading.fields)
    if options.engine == "local" and options.address:
        raise InputError("--address is for --engine ray", code="bad_option", field="--address", expected="--engine ray")
    if options.device == "cuda" and not _has_torch():
        raise InputError(
            "scoring on a GPU needs the packages torch and transformers",
            code="missing_package",
            field="--device",
            got="the base install",
            expected='the train extra: pip install "amends[train]"',
        )


def _not_a_folder(out: Path) -> None:
    raise InputError(f"{out} is not a folder", code="bad_output", field="--out", got="a file", expected="a folder")


# ------------------------------------------------------------------------------------------------------------- the run


def _score(
    shards: Iterator[Unit],
    size: int,
    engine: Callable[[Opening], Pool],
    opening: Opening,
    results: Results,
    say: Callable[[str], None],
) -> tuple[int, float]:
    """Texts that were scored now, and the seconds that it took once a worker was ready."""
    units = Ahead(shards, results.knows)
    first = units.next(60.0)
    while first is None and not units.dry:
        first = units.next(60.0)
    if first is None:
        return 0, 0.0
    # A model takes seconds to open: not before there is something to score.
    pool = engine(opening)
    try:
        with Progress(size, results, say) as progress:
            return _loop(units, first, pool, results, opening.task, progress)
    finally:
        units.stop()
        pool.close()


def _pool(options: Options, opening: Opening) -> Pool:
    if options.engine == "ray":
        return RayPool(options.workers, opening, options.address)
    return LocalPool(options.workers or (gpus() if opening.device == "cuda" else cores()) or 1, opening)


def _loop(
    units: "Ahead", first: Unit, pool: Pool, results: Results, task: BatchTask, progress: "Progress"
) -> tuple[int, float]:
    again: deque[Unit] = deque([first])
    tries: Counter[str] = Counter()
    running = 0
    began = time.monotonic()
    while again or running or not units.dry:
        given = _hand_out(pool, again, units)
        if given and not tries and not progress.texts:
            began = time.monotonic()
        running += given
        ended = pool.wait(0.05 if pool.free() else 1.0)
        # Workers go on while their last results are written.
        running += _hand_out(pool, again, units) - len(ended)
        for unit, outcome in ended:
            tries[unit.name] += 1
            if isinstance(outcome, Died) and tries[unit.name] < TRIES:
                progress.say(f"{unit.source}, shard {unit.name}: {outcome.reason}; it is tried again")
                again.append(unit)
                continue
            if isinstance(outcome, Died):
                progress.say(f"{unit.source}, shard {unit.name}: given up after {TRIES} tries: {outcome.reason}")
                outcome = gave_up(unit, task, f"{outcome.reason}, {TRIES} times")
            results.add(unit, outcome, tries.pop(unit.name))
            progress.add(unit, outcome)
            for reason in outcome.told:
                progress.complain(reason)
        progress.tick()
    return progress.texts, time.monotonic() - began


def _hand_out(pool: Pool, again: deque[Unit], units: "Ahead") -> int:
    """Gives shards to all workers that are free, those that are tried again first, and says how many."""
    given = 0
    while pool.free() and (unit := again.popleft() if again else units.next(0.0)) is not None:
        pool.give(unit)
        given += 1
    return given


class Ahead:
    """Reads shards in a thread of its own, a few ahead of the workers. dry: nothing more comes."""

    def __init__(self, units: Iterator[Unit], known: Callable[[Unit], bool], ahead: int = 2) -> None:
        self._units = units
        self._known = known
        self._queue: queue.Queue[Unit | BaseException | None] = queue.Queue(ahead)
        self._stopped = threading.Event()
        self.dry = False
        threading.Thread(target=self._read, name="amends-batch-reader", daemon=True).start()

    def next(self, seconds: float) -> Unit | None:
        """The next shard that is not done, None where none is there in so many seconds."""
        if self.dry:
            return None
        try:
            found = self._queue.get(timeout=seconds) if seconds else self._queue.get_nowait()
        except queue.Empty:
            return None
        if isinstance(found, BaseException):
            raise found
        self.dry = found is None
        return found

    def stop(self) -> None:
        """Reads no further."""
        self._stopped.set()

    def _read(self) -> None:
        ending: BaseException | None = None
        try:
            for unit in self._units:
                if not self._known(unit) and not self._put(unit):
                    return
        except Exception as error:
            # It is raised again by next().
            ending = error
        self._put(ending)

    def _put(self, one: Unit | BaseException | None) -> bool:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(one, timeout=0.2)
                return True
        return False


class Progress:
    """Shows how far a run is: a bar on a terminal, a line now and then elsewhere. texts: scored in this run."""

    def __init__(self, size: int, results: Results, say: Callable[[str], None], stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._say = say
        self._size = max(size, 1)
        self._done = min(sum(r["size"] for r in results.done.values()), self._size)
        self._start = self._last = time.monotonic()
        self._begun = self._done
        self.texts = self._complaints = 0
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        if self._stream.isatty():
            from tqdm import tqdm

            form = "{percentage:3.0f} % {bar} {desc}[{elapsed}<{remaining}]"
            self._bar = tqdm(total=self._size, initial=self._done, file=self._stream, bar_format=form)
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def say(self, line: str) -> None:
        """A line that stays."""
        if self._bar is not None:
            self._bar.clear()
        self._say(line)

    def complain(self, reason: str) -> None:
        """Something could not be used: the first of them are told, all stand in the errors table."""
        self._complaints += 1
        if self._complaints <= COMPLAINTS:
            self.say(reason)
        elif self._complaints == COMPLAINTS + 1:
            self.say("more could not be used; the errors table says what")

    def add(self, unit: Unit, result: Result) -> None:
        """A shard is done."""
        self.texts += result.counts["texts"]
        self._done = min(self._done + unit.size, self._size)
        if self._bar is not None:
            self._bar.set_description_str(f"{self.texts:,} texts, {self._rate():,.0f}/s ", refresh=False)
            self._bar.update(self._done - self._bar.n)

    def tick(self) -> None:
        """Time goes by."""
        now = time.monotonic()
        if self._bar is None and now - self._last >= SAY_EVERY:
            self._last = now
            self._say(self.line())

    def line(self) -> str:
        """How far it is, in words."""
        if not self.texts:
            return "no shard is done yet; the workers open the model or wait for a free machine"
        gone = self._done - self._begun
        left = (self._size - self._done) * (time.monotonic() - self._start) / gone if gone else None
        return (
            f"{self.texts:,} texts, {self._rate():,.0f} a second, {100 * self._done / self._size:.0f} % of the input"
            f"{f', about {_duration(left)} left' if left is not None else ''}"
        )

    def _rate(self) -> float:
        return self.texts / max(time.monotonic() - self._start, 1e-3)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _finished(results: Results, before: int, seconds: float) -> Finished:
    total = results.total
    return Finished(
        shards=len(results.done),
        skipped=before,
        threads=total["threads"],
        texts=total["texts"],
        rows=total["utterances"],
        errors=total["errors"],
        seconds=seconds,
    )
