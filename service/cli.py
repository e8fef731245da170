"""The command line: score threads, ask what if, read exports, trace a conversation, score tables and batches, serve.

Exit codes: 0 all went well, 1 an input or output could not be used, 2 the command was not understood,
130 interrupted, 141 whoever read the output went away.
"""

import argparse
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from model.types import InputError, Report, Thread
from service import models
from service.files import error_line
from service.garbage import look_seldom

if TYPE_CHECKING:
    from model.scorer import Scorer

FORMATS = (
    "auto", "html", "text", "jsonl", "csv", "parquet", "wxr", "disqus", "feed", "warc", "wordpress", "reddit",
    "hackernews", "youtube", "discourse", "schema", "convokit", "commento",
)  # fmt: skip
MAX_WIDTH = 110
BUNDLE_HELP = "model to use: a folder, champion, or models:VERSION (default: the released one)"

_SENTIMENT_ONLY = ("--by", "--target-column", "--plot", "--miss-cost")
"""Options of evaluate that mean nothing for the other tasks."""


class Load(Protocol):
    """Opens a bundle, see model.scorer.Scorer.load."""

    def __call__(self, bundle: Path | None = None, *, threads: int = 1) -> "Scorer":
        """A scorer over the bundle, or over the released one."""


def main(argv: Sequence[str] | None = None, *, load: Load | None = None) -> int:
    """Runs one command and returns its exit code. load: how a bundle is opened, the real way by default."""
    args = parser().parse_args(argv)
    _tolerate_odd_characters()
    try:
        if getattr(args, "bundle", None) is not None:
            args.bundle = _bundle_folder(args.bundle)
        code = _run(args, load or _load)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except BrokenPipeError:
        # What Python would still flush at exit goes nowhere instead of failing once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (InputError, OSError, UnicodeError) as error:
        _say(error_line(error))
        return 1


def parser() -> argparse.ArgumentParser:
    """Commands and options."""
    top = argparse.ArgumentParser(prog="amends", description="Did the company make amends? Reads threads and says.")
    top.add_argument("--version", action="store_true", help="print the version and that of the model")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    _score_options(commands.add_parser("score", help="score threads and print a report"))
    _trace_options(commands.add_parser("trace", help="follow a conversation over many pages"))
    _what_if_options(commands.add_parser("what-if", help="compare with posts that report other conduct"))
    _advise_options(commands.add_parser("advise", help="what can still be done, and whom to contact first"))
    _read_options(commands.add_parser("read", help="turn pages and exports into threads, one JSON object a line"))
    _predict_options(commands.add_parser("predict", help="score every text of a table"))
    _batch_options(commands.add_parser("batch", help="score any amount of files, and go on where it stopped"))
    _evaluate_options(commands.add_parser("evaluate", help="measure the model on labelled data"))
    _retrain_options(commands.add_parser("retrain", help="learn from labelled examples, and say whether it is better"))
    _review_options(commands.add_parser("review", help="labels that look wrong, and texts whose label would teach"))
    _drift_options(commands.add_parser("drift", help="whether texts still look like those of the training"))
    _serve_options(commands.add_parser("serve", help="answer over HTTP"))
    _feedback_options(commands.add_parser("feedback", help="what people told the server they know better"))
    _doctor_options(commands.add_parser("doctor", help="what this machine offers, and what is wrong with it"))
    models.options(commands.add_parser("models", help="versions of the model: compare, promote, go back"))
    return top


def _score_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("files", nargs="+", metavar="FILE", help="page, text or export; - for standard input")
    _reading_options(options)
    options.add_argument(
        "--as-of", metavar="TIME", help="leave out what was written later, such as 2024-05-01 or 2024-05-01T12:30Z"
    )
    options.add_argument("--json", action="store_true", help="print JSON (docs/report.md) instead of text")
    options.add_argument("--html", type=Path, metavar="OUT.html", help="also write one page with all reports")
    _bundle_options(options)


def _trace_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("files", nargs="+", metavar="THREADS", help="pages, texts, exports, folders or 'glob*'")
    options.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for trace.json (docs/trace.md) and trace.html"
    )
    _reading_options(options)
    _bundle_options(options)


def _what_if_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("file", metavar="FILE", help="page, text or export; - for standard input")
    options.add_argument(
        "--set", action="append", required=True, metavar="CUE=VALUE",
        help="conduct to assume, such as apology=given, or apology=unknown to take it out; may be repeated",
    )  # fmt: skip
    options.add_argument("--author", metavar="NAME", help="one customer (default: all of them)")
    _one_file_options(options)


def _advise_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("file", metavar="FILE", help="page, text or export; - for standard input")
    _one_file_options(options)


def _one_file_options(options: argparse.ArgumentParser) -> None:
    _reading_options(options)
    options.add_argument("--json", action="store_true", help="print JSON (docs/what-if.md) instead of text")
    _bundle_options(options)


def _reading_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--brand", metavar="NAME", help="the company that the threads are about")
    options.add_argument("--format", choices=FORMATS, default="auto", help="what the files are (default: found out)")
    options.add_argument(
        "--field", action="append", type=_field, metavar="NAME=COLUMN", default=[],
        help="a column of a table and what it is (docs/reading.md), such as text=body; may be repeated",
    )  # fmt: skip


def _read_options(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="pages, exports, tables; .gz, .zst; - for standard input"
    )
    options.add_argument(
        "--out", type=Path, metavar="OUT.jsonl", help="where the threads go (default: standard output)"
    )
    _reading_options(options)


def _predict_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("file", type=Path, metavar="FILE", help="a table: .parquet, .jsonl or .csv")
    options.add_argument("--text-column", default="text", metavar="NAME", help="column to score (default: text)")
    options.add_argument(
        "--task", choices=("sentiment", "conduct", "loyalty"), default="sentiment", help="default: sentiment"
    )
    options.add_argument("--target-column", metavar="NAME", help="column with what the sentiment is wanted towards")
    options.add_argument("--out", type=_table_path, required=True, metavar="OUT", help=".parquet, .jsonl or .csv")
    _bundle_options(options)


def _batch_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("inputs", nargs="+", metavar="INPUT", help="files, folders, 'globs*' or URLs (s3://...)")
    options.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results (docs/batch.md)")
    options.add_argument(
        "--task", choices=("score", "sentiment", "conduct", "loyalty"), default="score",
        help="score: reports of threads (default); the others: each text alone",
    )  # fmt: skip
    going_on = options.add_mutually_exclusive_group()
    going_on.add_argument("--resume", action="store_true", help="go on where the run in DIR stopped, or begin it")
    going_on.add_argument("--overwrite", action="store_true", help="begin anew, whatever DIR holds of an earlier run")
    options.add_argument("--engine", choices=("local", "ray"), default="local", help="default: local")
    options.add_argument("--address", metavar="HOST:PORT", help="a running Ray cluster (default: one on this machine)")
    options.add_argument("--workers", type=_positive, help="processes or actors (default: one a core, or a GPU)")
    options.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if it is there"
    )
    options.add_argument(
        "--shard-texts", type=_positive, metavar="N", help="texts of a shard (default: 2000; GPU 20000)"
    )
    _reading_options(options)
    options.add_argument("--bundle", type=Path, metavar="FOLDER", help=BUNDLE_HELP)


def _evaluate_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("file", type=Path, metavar="FILE", help="labelled data (docs/evaluate.md)")
    options.add_argument("--task", choices=("sentiment", "conduct", "loyalty"), default="sentiment")
    options.add_argument("--by", choices=("source",), help="also figures for every value of this column (sentiment)")
    options.add_argument("--target-column", metavar="NAME", help="column with the target that the labels are towards")
    options.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options.add_argument(
        "--plot", type=Path, metavar="DIR", help="also draw reliability, confusion and scores (sentiment)"
    )
    options.add_argument("--plot-format", choices=("svg", "png"), default="svg", help="default: %(default)s")
    options.add_argument(
        "--miss-cost", type=_cost, metavar="N",
        help="also the threshold to flag negative texts by, if missing one costs N false alarms (sentiment)",
    )  # fmt: skip
    _bundle_options(options)


def _retrain_options(parser: argparse.ArgumentParser) -> None:
    from service.retrain import options

    options(parser)


def _review_options(options: argparse.ArgumentParser) -> None:
    _texts_options(options, ("feedback", "jobs"))
    options.add_argument("--label-column", default="label", metavar="NAME", help="default: label")
    options.add_argument(
        "--for", choices=("errors", "teaching", "both"), default="both", dest="purpose",
        help="labels that look wrong, texts whose label would teach most, or both (default)",
    )  # fmt: skip
    options.add_argument("--top", type=_positive, default=50, metavar="N", help="of each (default: %(default)s)")
    options.add_argument("--out", type=Path, metavar="OUT.jsonl", help="also write them as JSON lines, to be corrected")
    options.add_argument("--json", action="store_true", help="print JSON lines (docs/review.md) instead of a table")
    _bundle_options(options)


def _drift_options(options: argparse.ArgumentParser) -> None:
    _texts_options(options, ("service", "feedback", "jobs"))
    options.add_argument("--json", action="store_true", help="print JSON (docs/drift.md) instead of text")
    options.add_argument("--html", type=Path, metavar="OUT.html", help="also write a page")
    _bundle_options(options)


def _texts_options(options: argparse.ArgumentParser, kept: Sequence[str]) -> None:
    options.add_argument("files", nargs="*", type=Path, metavar="FILE", help="tables of texts, or what `read` takes")
    options.add_argument("--from", choices=kept, dest="kept", help="what the server has kept, instead of files")
    options.add_argument("--text-column", default="text", metavar="NAME", help="default: text")
    options.add_argument("--database", metavar="URL", help="default: that of the server's settings (docs/http.md)")


def _serve_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    options.add_argument("--port", type=_port, default=3000, help="default: %(default)s")
    options.add_argument("--workers", type=_positive, help="processes (default: AMENDS_WORKERS, else 1)")


def _feedback_options(options: argparse.ArgumentParser) -> None:
    actions = options.add_subparsers(dest="action", metavar="ACTION", required=True)
    export = actions.add_parser("export", help="write all feedback, one JSON object a line")
    export.add_argument("--database", metavar="URL", help="default: that of the server's settings (docs/http.md)")
    export.add_argument("--out", type=Path, required=True, metavar="OUT.jsonl")


def _doctor_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--json", action="store_true", help="print JSON (docs/speed.md) instead of lines")
    options.add_argument("--bundle", type=Path, metavar="FOLDER", help="model to try (default: that of the service)")


def _bundle_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--bundle", type=Path, metavar="FOLDER", help=BUNDLE_HELP)
    options.add_argument("--threads", type=_positive, default=1, help="for the encoder (default: %(default)s)")


def _positive(value: str) -> int:
    number = _whole(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return number


def _whole(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is no whole number") from None


def _cost(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is no number") from None
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{value} is not above 0")
    return number


def _port(value: str) -> int:
    number = _whole(value)
    if not 0 < number < 65536:
        raise argparse.ArgumentTypeError(f"{value} is not between 1 and 65535")
    return number


def _field(value: str) -> tuple[str, str]:
    name, sign, column = value.partition("=")
    if not sign or not name or not column:
        raise argparse.ArgumentTypeError(f"{value} is not NAME=COLUMN")
    return name, column


def _table_path(value: str) -> Path:
    path = Path(value)
    if path.suffix not in (".parquet", ".jsonl", ".csv"):
        raise argparse.ArgumentTypeError(f"{value} does not end in .parquet, .jsonl or .csv")
    return path


def _run(args: argparse.Namespace, load: Load) -> int:
    if getattr(args, "version", None) is True:
        return _version()
    if args.command == "score":
        return _score(args, load)
    if args.command == "trace":
        return _trace(args, load)
    if args.command == "what-if":
        return _what_if(args, load)
    if args.command == "advise":
        return _advise(args, load)
    if args.command == "read":
        return _read(args)
    if args.command == "predict":
        return _predict(args, load)
    if args.command == "batch":
        return _batch(args, load)
    if args.command == "evaluate":
        return _evaluate(args, load)
    if args.command == "retrain":
        from service.retrain import run as run_retrain

        return run_retrain(args)
    if args.command == "review":
        from service.review import run as run_review

        return run_review(args, load)
    if args.command == "drift":
        from service.drift import run as run_drift

        return run_drift(args, load)
    if args.command == "serve":
        return _serve(args)
    if args.command == "feedback":
        return _export_feedback(args)
    if args.command == "doctor":
        return _doctor(args, load)
    if args.command == "models":
        return models.run(args, _say)
    parser().print_help(sys.stderr)
    return 2


def _load(bundle: Path | None = None, *, threads: int = 1) -> "Scorer":
    from model.scorer import Scorer

    scorer = Scorer.load(bundle, threads=threads)
    look_seldom()
    return scorer


def _bundle_folder(choice: Path) -> Path | None:
    from service.registry import bundle_folder

    return bundle_folder(choice)


def _version() -> int:
    from model.bundle import RELEASED, bundle_digest, manifest

    try:
        meta = manifest(RELEASED)
        model = f"model {meta['version']} ({bundle_digest(meta['files'])[:12]})"
    except InputError as error:
        model = f"no model: {error.message}"
    try:
        version = metadata.version("amends")
    except metadata.PackageNotFoundError:
        version = "from a source folder (not installed)"
    print(f"amends {version}, {model}")
    return 0


def _score(args: argparse.Namespace, load: Load) -> int:
    from model.moment import as_of, moment_of
    from service.files import check_output

    if args.html:
        check_output(args.html)
    moment = moment_of(args.as_of) if args.as_of is not None else None
    threads: list[Thread] = []
    failed = False
    for name in args.files:
        try:
            found = _threads(name, args)
            threads += [as_of(thread, moment) for thread in found] if moment else found
        except (InputError, OSError, UnicodeError) as error:
            failed = True
            _say(error_line(error, name))
    from model.near_duplicates import MAX_TEXTS

    reports: list[Report] = []
    # A model takes seconds to open: not before there is something to score.
    for report in compared(load(args.bundle, threads=args.threads), threads, MAX_TEXTS) if threads else ():
        reports.append(report)
        if not args.json:
            _print_text(report, first=len(reports) == 1)
    if args.json:
        _print_json({"reports": [r.to_dict() for r in reports]})
    if args.html and reports:
        _write_page(reports, args.html)
    return 1 if failed else 0


def _what_if(args: argparse.Namespace, load: Load) -> int:
    from model.what_if import parse_changes
    from service.what_if import what_if_text, what_if_threads

    changes = parse_changes(args.set)
    threads = _threads(args.file, args)
    found = what_if_threads(load(args.bundle, threads=args.threads), threads, changes, args.author)
    _print_json(found) if args.json else print(what_if_text(found, _width()), end="")
    return 0


def _advise(args: argparse.Namespace, load: Load) -> int:
    from service.what_if import advice_text, advise_threads

    threads = _threads(args.file, args)
    found = advise_threads(load(args.bundle, threads=args.threads), threads)
    _print_json(found) if args.json else print(advice_text(found, _width()), end="")
    return 0


def compared(scorer: "Scorer", threads: Sequence[Thread], most: int) -> Iterator[Report]:
    """Reports of threads that are compared with each other, unless they hold more than `most` utterances together."""
    fits = sum(len(thread.utterances) for thread in threads) <= most
    if not fits and len(threads) > 1:
        _say(f"more than {most:,} texts: copies are looked for within each thread only")
    return scorer.iter_together(threads) if fits and len(threads) > 1 else map(scorer.score, threads)


def _read(args: argparse.Namespace) -> int:
    from service.convert import convert

    failed = convert(args.files, args.out, kind=args.format, brand=args.brand, fields=dict(args.field), say=_say)
    return 1 if failed else 0


def _threads(name: str, args: argparse.Namespace) -> list[Thread]:
    """The threads of a file, or of standard input ("-"), read with the options of _reading_options.

    What could not be read of it is said.
    """
    from model.read import read, read_file
    from model.reading.delimited import looks_like_table
    from model.reading.stream import Notes

    fields = dict(args.field) or None
    notes = Notes()
    if name == "-":
        content = sys.stdin.buffer.read()
        threads = read(content, format=args.format, name="standard input", brand=args.brand, fields=fields, notes=notes)
        head = content[:10_000].decode("utf-8", "replace")
        if args.format == "auto" and threads[0].adapter == "text" and looks_like_table(head):
            _say("standard input is read as one plain text; if it is a table: --format csv --field text=COLUMN")
    else:
        threads = read_file(Path(name), format=args.format, brand=args.brand, fields=fields, notes=notes)
    for lost in notes.told:
        _say(lost)
    if notes.total > len(notes.told):
        _say(f"and {notes.total - len(notes.told):,} more like these")
    return threads


def _print_text(report: Report, *, first: bool) -> None:
    from service.text_report import text_report

    print(("" if first else "\n") + text_report(report, _width()), end="", flush=True)


def _width() -> int:
    return min(shutil.get_terminal_size((MAX_WIDTH, 0)).columns, MAX_WIDTH)


def _print_json(found: Mapping[str, Any]) -> None:
    # Other encodings than UTF-8 may lack a character; JSON has its own way to write it.
    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    print(json.dumps(found, ensure_ascii=plain, indent=2))


def _write_page(reports: Sequence[Report], path: Path) -> None:
    from service.files import replacing
    from service.page import render

    with replacing(path) as temporary:
        temporary.write_text(render(reports), encoding="utf-8", newline="\n")
    _say(f"wrote {path}")


def _trace(args: argparse.Namespace, load: Load) -> int:
    from service.trace import trace_files

    done = trace_files(
        args.files,
        args.out,
        kind=args.format,
        brand=args.brand,
        fields=dict(args.field),
        load=lambda: load(args.bundle, threads=args.threads),
        complain=lambda error, name: _say(error_line(error, name)),
    )
    if done is None:
        _say("nothing to trace")
        return 1
    found = done.trace
    unanswered = sum(s.alarm is not None and not s.alarm.answered for s in found.stories)
    _say(
        f"wrote {' and '.join(map(str, done.files))}: {len(found.pages):,} pages, "
        f"stories over several pages: {sum(len(s.steps) > 1 for s in found.stories):,}, {len(found.people):,} people, "
        f"{unanswered:,} spreading without an answer seen"
    )
    return 1 if done.failed else 0


def _predict(args: argparse.Namespace, load: Load) -> int:
    from service.files import check_output

    check_output(args.out)
    if args.out.exists() and args.file.exists() and args.out.samefile(args.file):
        raise InputError(f"{args.out} is the input itself", code="bad_output", expected="another file")
    from model.clean import language
    from model.reading.table import read_table
    from service.predict import predict

    table = read_table(args.file, args.text_column, _say)
    scorer = load(args.bundle, threads=args.threads)
    with _progress(table.num_rows) as progress:
        done = predict(
            table,
            args.text_column,
            args.task,
            args.out,
            scorer,
            language=language,
            target_column=args.target_column,
            progress=progress,
        )
    for old, new in done.renamed.items():
        _say(f"the input's column {old!r} is kept as {new!r}")
    statuses = ", ".join(f"{number:,} {status}" for status, number in sorted(done.statuses.items()))
    _say(f"wrote {args.out}: {done.rows:,} rows ({statuses or 'none'}), {done.scored:,} different texts scored")
    return 0


def _batch(args: argparse.Namespace, load: Load) -> int:
    from service.batch import Options, run
    from service.batch_input import Reading

    given = None if load is _load else load
    info = given(args.bundle).info if given else None
    options = Options(
        task=args.task,
        reading=Reading(args.format, args.brand, dict(args.field)),
        bundle=args.bundle,
        engine=args.engine,
        workers=args.workers,
        device=args.device,
        shard_texts=args.shard_texts,
        address=args.address,
        load=given,
        identity=(info.version, info.digest) if info else None,
    )
    mode: Literal["new", "resume", "overwrite"] = "resume" if args.resume else "overwrite" if args.overwrite else "new"
    try:
        done = run(args.inputs, args.out, options, mode, say=_say)
    except KeyboardInterrupt:
        _say(f"stopped; what is done is kept in {args.out}, --resume goes on with it")
        return 130
    before = f" ({done.skipped:,} of them before)" if done.skipped else ""
    _say(
        f"wrote {args.out}: {done.texts:,} texts in {done.threads:,} threads, {done.shards:,} shards{before}, "
        f"{done.seconds:,.0f} s"
    )
    if done.errors:
        _say(f"{done.errors:,} things could not be used; {args.out / 'errors'} says which and why")
    return 1 if done.errors else 0


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Gives a function that shows how many rows are done, on one line that is written over; silent in a pipe."""
    if not sys.stderr.isatty():
        yield lambda rows: None
        return
    start = time.monotonic()

    def show(rows: int) -> None:
        rate = rows / max(time.monotonic() - start, 1e-3)
        print(f"\r{rows:,} of {total:,} rows, {rate:,.0f} a second ", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        print(file=sys.stderr)


def _evaluate(args: argparse.Namespace, load: Load) -> int:
    if args.task != "sentiment":
        given = {name: getattr(args, name[2:].replace("-", "_")) for name in _SENTIMENT_ONLY}
        unfit = [name for name, value in given.items() if value]
        if unfit:
            raise InputError(
                f"{' and '.join(unfit)} can't go with --task {args.task}",
                code="bad_option",
                got=args.task,
                expected="--task sentiment",
            )
    try:
        from training.evaluate import evaluate

        views = _views(args)
    except ModuleNotFoundError as error:
        raise InputError(
            f"evaluating needs the package {error.name}",
            code="missing_package",
            got="the base install",
            expected='the evaluate extra: pip install -e ".[evaluate]"',
        ) from error
    scorer = load(args.bundle, threads=args.threads)
    figures = evaluate(
        args.task,
        args.file,
        scorer,
        by_source=args.by == "source",
        target_column=args.target_column,
        views=views,
    )
    report = {"task": args.task, "file": args.file.name, "bundle": asdict(scorer.info), "figures": figures}
    print(json.dumps(report, indent=2) if args.json else "\n".join(_lines(figures)))
    return 0


def _views(args: argparse.Namespace) -> list[Callable[..., dict[str, Any]]]:
    """What else is wanted of the probabilities; each returns figures."""
    views: list[Callable[..., dict[str, Any]]] = []
    if args.miss_cost:
        from training.decide import decision_figures

        views.append(lambda probabilities, truth: {"decision": decision_figures(probabilities, truth, args.miss_cost)})
    if args.plot:
        from training.plots import save_plots

        # Not after minutes of scoring: whether the folder can be made.
        args.plot.mkdir(parents=True, exist_ok=True)

        def plots(probabilities: Any, truth: Any) -> dict[str, Any]:
            return {
                "plots": [str(p) for p in save_plots(probabilities, truth, args.plot, args.file.stem, args.plot_format)]
            }

        views.append(plots)
    return views


def _lines(figures: dict[str, Any], above: str = "") -> Iterator[str]:
    """Nested figures as one line each: "bundle macro_f1  0.71"."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{above}{name} ")
        else:
            yield f"{above + name:48} {value}"


def _serve(args: argparse.Namespace) -> int:
    from service.serve import serve

    serve(args.host, args.port, args.workers)
    return 0


def _doctor(args: argparse.Namespace, load: Load) -> int:
    from service.doctor import doctor_text, examine, to_dict, worst

    checks = examine(args.bundle, load)
    _print_json(to_dict(checks)) if args.json else print(doctor_text(checks), end="")
    return 1 if worst(checks) == "problem" else 0


def _export_feedback(args: argparse.Namespace) -> int:
    from service.feedback import export
    from service.settings import Settings
    from service.store import open_existing

    store = open_existing(args.database or Settings.from_env().database)
    try:
        _say(f"wrote {args.out}: {export(store, args.out):,} items")
    finally:
        store.close()
    return 0


def _say(line: str) -> None:
    print(f"amends: {line}", file=sys.stderr)


def _tolerate_odd_characters() -> None:
    """A character that the terminal's encoding lacks is written as an escape instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
