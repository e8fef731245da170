"""`amends models`: list the versions of the model, compare them, promote one, go back, move one elsewhere."""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from service.registry import Registry, Version

INDENT: Final = 44


def options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _action(actions, "list", "all versions, and which is the champion")
    _action(actions, "show", "one version: where it comes from, its figures", "version")
    compare = _action(actions, "compare", "the figures of two versions beside each other", "a", "b")
    compare.add_argument("--all", action="store_true", help="every number that was measured, also where both are equal")
    promote = _action(actions, "promote", "make a version the champion", "version")
    promote.add_argument("--reason", metavar="WHY", help="kept in the history")
    promote.add_argument("--force", metavar="REASON", help="even though retraining refused it; the reason is kept")
    rollback = _action(actions, "rollback", "go back to the champion before")
    rollback.add_argument("--reason", metavar="WHY", help="kept in the history")
    export = _action(actions, "export", "write a version as one file", "version")
    export.add_argument("path", type=Path, metavar="OUT", help="a folder, or a name that ends in .bentomodel or .tar")
    import_ = _action(actions, "import", "add what export wrote, or a bundle folder")
    import_.add_argument("path", type=Path, metavar="FILE")


def run(args: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Runs the command. say: prints a line for people. Returns the exit code."""
    from service.registry import Registry

    found, lines = ACTIONS[args.action](Registry(args.home), args)
    if args.json:
        print(json.dumps(found, indent=2))
    elif args.action in ("list", "show", "compare"):
        print("\n".join(lines))
    else:
        for line in lines:
            say(line)
    return 0


def _action(actions: Any, name: str, text: str, *versions: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    for version in versions:
        parser.add_argument(
            version, metavar=version.upper(), help="released, champion, or the first digits of a version"
        )
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    parser.add_argument("--home", type=Path, metavar="DIR", help="where versions are kept (default: docs/models.md)")
    return parser


Found = tuple[Any, Iterator[str]]


def _list(registry: "Registry", _: argparse.Namespace) -> Found:
    versions = registry.list()
    return {"versions": [one.to_dict() for one in versions]}, map(_line, versions)


def _line(one: "Version") -> str:
    return f"{one.version:14} {one.label:11} {one.model:24} {one.created[:16]:17} {one.note or ''}".rstrip()


def _show(registry: "Registry", args: argparse.Namespace) -> Found:
    one = registry.get(args.version)
    changes = [asdict(c) for c in registry.state().history if one.version in (c.before, c.after)]
    found = one.to_dict() | {"measured": _measured(one), "history": changes}
    return found, _shown(one, changes)


def _shown(one: "Version", changes: list[dict[str, Any]]) -> Iterator[str]:
    for name in ("version", "label", "model", "digest", "created", "parent", "data_digest", "note", "folder"):
        if (value := getattr(one, name)) is not None:
            yield f"{name:14} {value}"
    if one.decision is not None:
        yield f"{'decision':14} {'refuse' if one.refused else 'promote'}"
        yield from (f"{'':14} {reason}" for reason in one.decision.get("reasons") or ())
    for change in changes:
        why = f" ({change['reason']})" if change["reason"] else ""
        yield f"{change['what']:14} {change['at']} {change['before']} -> {change['after']}{why}"
    yield from (f"{name:{INDENT}} {_number(value)}" for name, value in _numbers(one).items())


def _compare(registry: "Registry", args: argparse.Namespace) -> Found:
    one, other = registry.get(args.a), registry.get(args.b)
    left, right = (_numbers(version, every=args.all) for version in (one, other))
    names = list(dict.fromkeys([*left, *right]))
    found = {
        "a": one.to_dict() | {"flat": left},
        "b": other.to_dict() | {"flat": right},
        "difference": {n: round(right[n] - left[n], 6) for n in names if n in left and n in right},
    }
    return found, _compared(one, other, left, right, names if args.all else _differing(left, right, names))


def _differing(left: Mapping[str, float], right: Mapping[str, float], names: list[str]) -> list[str]:
    return [name for name in names if left.get(name) != right.get(name)]


def _compared(
    one: "Version", other: "Version", left: Mapping[str, float], right: Mapping[str, float], names: list[str]
) -> Iterator[str]:
    yield f"{'':{INDENT}} {one.version:>12} {other.version:>12} {'difference':>12}"
    for name in names:
        a, b = left.get(name), right.get(name)
        difference = f"{b - a:+12.4f}" if a is not None and b is not None else f"{'':12}"
        yield f"{name:{INDENT}} {_number(a):>12} {_number(b):>12} {difference}".rstrip()
    if not names:
        yield "no figure differs; --all shows them"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}".rstrip("0").rstrip(".")


def _numbers(one: "Version", *, every: bool = False) -> dict[str, float]:
    """The numbers of a version by name: of its figures.json, and of what retraining recorded."""
    found = dict(_flat((_all_measured(one) if every else _measured(one)) or {}))
    found.update(_flat(one.figures or {}, "retraining "))
    for check in (one.decision or {}).get("checks", ()):
        if "challenger" in check:
            found[f"gate {check['name']}"] = check["challenger"]
    return found


def _measured(one: "Version") -> dict[str, Any] | None:
    from model.bundle import manifest
    from service.about import main_figures

    return main_figures(one.folder, manifest(one.folder))


def _all_measured(one: "Version") -> dict[str, Any] | None:
    path = one.folder / "figures.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _flat(figures: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    # Beside those of the bundle stand the figures of baselines.
    figures = figures["bundle"] if isinstance(figures.get("bundle"), Mapping) else figures
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name} ")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield above + name, value


def _promote(registry: "Registry", args: argparse.Namespace) -> Found:
    version = registry.get(args.version)
    if version.refused and not args.force:
        # A reason alone is not enough: whoever overrules the gate has to say that this is meant.
        args.reason = None
    before = registry.state().champion
    return _changed(before, registry.promote(version.version, reason=args.force or args.reason))


def _rollback(registry: "Registry", args: argparse.Namespace) -> Found:
    before = registry.state().champion
    return _changed(before, registry.rollback(reason=args.reason))


def _changed(before: str, after: "Version") -> Found:
    found = {"before": before, "champion": after.version, "model": after.model, "digest": after.digest}
    same = before == after.version
    line = f"{after.version} is the champion" + (" already" if same else f", in place of {before}")
    return found, iter([f"{line} (model {after.model}, {after.digest[:12]})"])


def _export(registry: "Registry", args: argparse.Namespace) -> Found:
    path = registry.export(args.version, args.path)
    return {"version": registry.resolve(args.version), "path": str(path)}, iter([f"wrote {path}"])


def _import(registry: "Registry", args: argparse.Namespace) -> Found:
    one = registry.import_(args.path)
    return one.to_dict(), iter([f"added {one.version} as {one.label} (model {one.model})"])


ACTIONS: Final[Mapping[str, Callable[["Registry", argparse.Namespace], Found]]] = {
    "list": _list,
    "show": _show,
    "compare": _compare,
    "promote": _promote,
    "rollback": _rollback,
    "export": _export,
    "import": _import,
}
