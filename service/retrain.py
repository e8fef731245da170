"""The command `amends retrain`: takes examples to training.retrain, shows how far it is, writes its report as a page.

What trains is imported inside the functions that need it: everything else of the service works without it.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from model.types import InputError
from service.files import replacing

if TYPE_CHECKING:
    from service.registry import Registry
    from training.labels import Rows

FEEDBACK: Final = "feedback"
UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
PAGE: Final = "report.html"
PROGRESS: Final = "progress.json"


def options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument(
        "--from", nargs="+", required=True, dest="sources", metavar="SOURCE",
        help="feedback (what the server was told), or tables of labelled examples (docs/retrain.md)",
    )  # fmt: skip
    parser.add_argument("--task", choices=("sentiment", "conduct", "loyalty"), default="sentiment")
    parser.add_argument(
        "--budget", type=seconds, default=1800.0, metavar="TIME", help="at most, such as 10m or 1h (default: 30m)"
    )
    parser.add_argument(
        "--check", nargs="+", type=Path, default=[], metavar="FILE", help="labelled texts on which it must not fall"
    )
    parser.add_argument("--replay", type=Path, metavar="FILE", help="texts whose reading should stay as it is")
    parser.add_argument(
        "--out", type=Path, default=Path("retrain"), metavar="DIR",
        help="folder of the run and its report; the same command goes on where it stopped (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--bundle", type=Path, metavar="FOLDER", help="model to start from (default: the champion)")
    parser.add_argument("--no-promote", action="store_true", help="keep it as a challenger, even where it is better")
    parser.add_argument("--home", type=Path, metavar="DIR", help="where versions are kept (default: docs/models.md)")
    parser.add_argument("--database", metavar="URL", help="of the feedback (default: that of the server's settings)")
    parser.add_argument("--strict", action="store_true", help="refuse all examples where one can't be used")
    parser.add_argument("--force", metavar="REASON", help="promote whatever the gate says; the reason is recorded")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def seconds(value: str) -> float:
    """A time such as 90s, 30m or 1.5h. Raises argparse's error where it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", value.strip())
    if found is None or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{value} is no time such as 90s, 30m or 1h")
    return float(found[1]) * UNITS[found[2]]


def run(args: argparse.Namespace) -> int:
    """Runs the command and returns its exit code: 0 also where the gate refuses, which is no failure."""
    if args.force is not None and not args.force.strip():
        raise InputError("--force needs a reason", code="bad_option", field="force", got="none", expected="a reason")
    # Here, since the command line reads the options of this module at each start.
    from service.registry import Registry
    from service.retrain_page import render
    from service.settings import CHAMPION

    registry = Registry(args.home)
    champion = args.bundle or registry.folder(CHAMPION)
    with needed(), feedback(args.sources, args.database) as sources, shown(args.out / PROGRESS) as progress:
        from training.retrain import retrain

        done = retrain(
            champion,
            sources,
            args.out,
            task=args.task,
            budget=args.budget,
            check=args.check,
            replay=args.replay,
            force=args.force,
            strict=args.strict,
            progress=progress,
        )
    if done.folder is not None:
        done.report["registered"] = registered(registry, done.folder, done.report, promote=not args.no_promote)
    with replacing(args.out / "report.json") as path:
        path.write_text(json.dumps(done.report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with replacing(args.out / PAGE) as path:
        path.write_text(render(done.report), encoding="utf-8", newline="\n")
    print(
        json.dumps(done.report, indent=2, ensure_ascii=False) if args.json else "\n".join(lines(done.report, args.out))
    )
    return 0


def registered(registry: "Registry", folder: Path, report: dict[str, Any], *, promote: bool = True) -> dict[str, Any]:
    """Adds the challenger to the registry and, where the decision says so, makes it the champion.

    It only takes the place of the champion that it was compared with: another may have been promoted meanwhile, or the
    run may have started from another bundle.
    """
    decision, parent = report["decision"], report["champion"]["digest"]
    version = registry.add(
        folder,
        parent=parent,
        figures={k: report[k] for k in ("own_examples", "sets", "behaviour") if k in report},
        data_digest=report["examples"]["digest"],
        decision=decision,
    )
    from model.bundle import bundle_digest, manifest
    from service.settings import CHAMPION

    current = bundle_digest(manifest(registry.folder(CHAMPION))["files"])
    promoted = promote and bool(decision["promote"]) and current == parent
    if promoted:
        registry.promote(version.version, reason=decision["forced"] or "passed every check of retraining")
    return {"version": version.version, "promoted": promoted or current == version.digest}


@contextmanager
def needed() -> Iterator[None]:
    """Says which extra to install where a library of training is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            f"retraining needs the package {error.name}",
            code="missing_package",
            got="the base install",
            expected='the train extra: pip install "amends[train]"',
        ) from error


@contextmanager
def feedback(sources: Sequence[str], database: str | None) -> Iterator[list["str | Path | Rows"]]:
    """The sources, with the rows of the server's database in the place of the word feedback."""
    from training.labels import Rows

    if FEEDBACK not in sources:
        yield list(sources)
        return
    from service.feedback import every
    from service.settings import Settings
    from service.store import open_existing

    store = open_existing(database or Settings.from_env().database)
    try:
        yield [Rows(FEEDBACK, every(store)) if s == FEEDBACK else s for s in sources]
    finally:
        store.close()


@contextmanager
def shown(path: Path) -> Iterator[Callable[[str, float], None]]:
    """Gives a function that moves a progress bar on standard error, and keeps in path how far the run is."""
    from tqdm import tqdm

    form = "{desc:<32}{percentage:3.0f}%|{bar}| {elapsed}"
    with tqdm(total=100, file=sys.stderr, bar_format=form, disable=None) as bar:

        def move(words: str, share: float) -> None:
            bar.set_description_str(words, refresh=False)
            bar.update(max(100 * share - bar.n, 0))
            with replacing(path) as fresh:
                fresh.write_text(json.dumps({"step": words, "share": round(share, 3)}), encoding="utf-8")

        yield move


def lines(report: dict[str, Any], out: Path) -> Iterator[str]:
    """The report for a terminal."""
    examples, decision = report["examples"], report["decision"]
    yield f"examples   {examples['learnt_from']:,} of {examples['rows']:,} rows; {examples['copies']:,} copies, " + (
        ", ".join(f"{n:,} {reason.replace('_', ' ')}" for reason, n in examples["dropped"].items()) or "none dropped"
    )
    yield from (f"           {line}" for line in examples["dropped_rows"][:5])
    for check in decision["checks"]:
        yield f"{'passed' if check['passed'] else 'FAILED':10} {check['words']}"
    yield f"decision   {verdict(report)}"
    yield f"report     {out / PAGE}"
    if report["challenger"]:
        yield f"bundle     {out / 'bundle'} ({report['challenger']['version']})"
    if "registered" in report:
        place = "champion now" if report["registered"]["promoted"] else "a challenger"
        yield f"version    {report['registered']['version']}, {place} (amends models)"


def verdict(report: dict[str, Any]) -> str:
    """The decision in words."""
    decision = report["decision"]
    if decision["forced"]:
        return f"promote, forced: {decision['forced']}"
    if decision["promote"]:
        return "promote: it is better on your examples and not worse elsewhere"
    failed = sum(not check["passed"] for check in decision["checks"])
    return f"keep the champion: {failed} of {len(decision['checks'])} checks failed"
