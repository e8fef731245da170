"""The report of a retraining as one page of its own: the decision, its checks, and pictures of what changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from service.page import environment, policy

HERE: Final = Path(__file__).parent
WIDTH: Final = 1000.0
SIDE: Final = 200.0


@dataclass(frozen=True)
class Pair:
    """One row of the comparison: places in [0, WIDTH] of champion and challenger, and what they are."""

    name: str
    before: float
    after: float
    told: str


def render(report: Mapping[str, Any]) -> str:
    """The page. report: what training.retrain writes (docs/retrain.md)."""
    css = "\n".join((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "trace.css", "retrain.css"))
    pairs, edges = _pairs(report)
    page = (
        environment()
        .get_template("retrain.html")
        .render(
            title="Promote" if report["decision"]["promote"] else "Keep the champion",
            css=css,
            policy=policy(css),
            report=report,
            figures=_figures(report),
            gain=_gain(report),
            pairs=pairs,
            edges=edges,
            reliability=_reliability(report.get("own_examples")),
        )
    )
    return page.encode("utf-8", "replace").decode("utf-8")


def _figures(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    examples = report["examples"]
    return [
        ("rows", f"{examples['rows']:,}"),
        ("copies", f"{examples['copies']:,}"),
        ("dropped", f"{sum(examples['dropped'].values()):,}"),
        ("learnt from", f"{examples['learnt_from']:,}"),
        ("minutes", f"{report['seconds'] / 60:.1f}"),
    ]


def _gain(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Places of the gain and its interval on a line that holds 0."""
    own = report.get("own_examples")
    if not own:
        return None
    low, gain, high = (own["gain"][name] for name in ("low", "gain", "high"))
    reach = max(abs(low), abs(high), 0.02) * 1.15
    places = {
        name: (value + reach) / (2 * reach) * WIDTH for name, value in (("low", low), ("gain", gain), ("high", high))
    }
    return places | {"told": f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]", "good": low > 0}


def _pairs(report: Mapping[str, Any]) -> tuple[list[Pair], tuple[str, str]]:
    sets = {"your examples": report["own_examples"]} if report.get("own_examples") else {}
    sets |= {Path(name).name: found for name, found in report.get("sets", {}).items()}
    values = [found[who]["macro_f1"] for found in sets.values() for who in ("champion", "challenger")]
    low, high = (min(values) - 0.02, max(values) + 0.02) if values else (0.0, 1.0)
    low, high = max(low, 0.0), min(high, 1.0)

    def place(value: float) -> float:
        return (value - low) / (high - low) * WIDTH

    rows = []
    for name, found in sets.items():
        before, after = (found[who]["macro_f1"] for who in ("champion", "challenger"))
        rows.append(Pair(name, place(before), place(after), f"{before:.3f} → {after:.3f}"))
    return rows, (f"{low:.2f}", f"{high:.2f}")


def _reliability(own: Mapping[str, Any] | None) -> list[tuple[str, list[tuple[float, float, float, str]]]]:
    """Points (x, y, radius, words) of champion and challenger: how often they are right when so sure."""
    if not own:
        return []
    return [(who, _points(own[who]["reliability"], own["n"])) for who in ("champion", "challenger")]


def _points(bins: Sequence[Mapping[str, Any]], total: int) -> list[tuple[float, float, float, str]]:
    return [
        (
            SIDE * b["confidence"],
            SIDE * (1 - b["accuracy"]),
            2 + 8 * (b["n"] / total) ** 0.5,
            f"{b['n']} texts, sure by {b['confidence']:.2f}, right {b['accuracy']:.2f}",
        )
        for b in bins
    ]
