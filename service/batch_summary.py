"""What a batch run found, in figures: read back from its tables shard by shard, as JSON and as a page of its own."""

import heapq
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model.codebook import SENTIMENT
from model.literature import LITERATURE
from service.batch_input import Source
from service.files import replacing
from service.page import SENTIMENT_BARS, environment, policy, segments
from service.present import BANDS, SEVERITIES, cue_label

HERE: Final = Path(__file__).parent
LISTED: Final = 20
"""Threads, customers and errors that summary.json lists; the page shows half of them."""
LEAST_UTTERANCES: Final = 3
"""Utterances from which a thread is compared with others: a single text is no conversation."""
TAIL: Final = 0.002
"""Share of dated texts at each end that may be cut off: one comment "of 1970" must not stretch the time line."""
MOST_BARS: Final = 100
SHOWN_CUES: Final = 24

Row = dict[str, Any]


def write_summary(
    out: Path,
    manifest: Mapping[str, Any],
    sources: Sequence[Source],
    rows: Mapping[str, int],
    run: Mapping[str, float],
) -> None:
    """Writes summary.json and summary.html of a run that is done.

    rows: how many each table holds. run: how long it took; the only part that another run would not repeat.
    """
    found = summarise(out, manifest, sources, rows)
    with replacing(out / "summary.json") as temporary:
        told = json.dumps({**found, "run": run}, ensure_ascii=False, indent=1)
        # The name of a file may hold bytes that are no UTF-8.
        temporary.write_bytes((told + "\n").encode("utf-8", "replace"))
    with replacing(out / "summary.html") as temporary:
        temporary.write_text(render(found), encoding="utf-8", newline="\n")


def summarise(
    out: Path, manifest: Mapping[str, Any], sources: Sequence[Source], rows: Mapping[str, int]
) -> dict[str, Any]:
    """The figures of a run, see docs/batch.md; one shard is in memory at a time."""
    task = manifest["task"]
    bad = [s.problem.reason for s in sources if s.problem]
    days = _days(out)
    return {
        "task": task,
        "bundle": manifest["bundle"],
        "inputs": {"files": len(sources), "bytes": sum(s.size for s in sources), "unusable": bad[:LISTED]},
        "threads": rows.get("threads", 0),
        "texts": rows.get("texts", 0),
        "different_texts_a_shard": rows.get("scored", 0),
        "utterances": rows.get("utterances", 0),
        "dropped": _counts(out, "dropped", "reason"),
        "errors": _counts(out, "errors", "code"),
        "first_errors": _first(out, "errors", ("source", "place", "code", "reason")),
        "sentiment": _in_order(_counts(out, "utterances", "label"), SENTIMENT),
        "status": _counts(out, "cases" if task == "score" else "utterances", "status"),
        "time": _time(days),
        "roles": _counts(out, "cases", "role") if task == "score" else _counts(out, "utterances", "role"),
        "failures": _counts(out, "cases" if task == "score" else "utterances", "failure"),
        "cues": _cues(out, "cases" if task == "score" else "utterances"),
        "bands": _in_order(_counts(out, "cases", "band"), tuple(BANDS)),
        "index": _histogram(out, "cases" if task == "score" else "utterances"),
        "worst_threads": _threads(out, -1.0),
        "best_threads": _threads(out, 1.0),
        "contact_first": _contacts(out),
    }


# ------------------------------------------------------------------------------------------------------------- reading


def _shards(out: Path, table: str, *columns: str) -> Iterator[pa.Table]:
    """The columns of a table, a shard at a time, in order; nothing where the table lacks one of them."""
    for path in sorted((out / table).glob("*.parquet")):
        file = pq.ParquetFile(path)
        if not set(columns) <= set(file.schema_arrow.names):
            return
        if file.metadata.num_rows:
            yield file.read(list(columns))


def _counts(out: Path, table: str, column: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for shard in _shards(out, table, column):
        for entry in shard.column(column).value_counts().to_pylist():
            if entry["values"] is not None:
                counts[entry["values"]] += entry["counts"]
    return dict(counts.most_common())


def _in_order(counts: Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    return {name: counts.get(name, 0) for name in names} if counts else {}


def _first(out: Path, table: str, columns: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    for shard in _shards(out, table, *columns):
        rows += shard.slice(0, LISTED - len(rows)).to_pylist()
        if len(rows) == LISTED:
            break
    return rows


def _days(out: Path) -> Counter[tuple[str, str]]:
    """Scored utterances by day and label."""
    counts: Counter[tuple[str, str]] = Counter()
    for shard in _shards(out, "utterances", "time", "label"):
        dated = shard.filter(pc.and_(pc.is_valid(shard["time"]), pc.is_valid(shard["label"])))
        day = pc.utf8_slice_codeunits(dated["time"], 0, 10)
        table = (
            pa.table({"day": day, "label": dated["label"]}).group_by(["day", "label"]).aggregate([([], "count_all")])
        )
        for row in table.to_pylist():
            counts[row["day"], row["label"]] += row["count_all"]
    return counts


def _cues(out: Path, table: str) -> list[Row]:
    counts: Counter[tuple[str, str]] = Counter()
    for shard in _shards(out, table, "cues"):
        cues = pc.list_flatten(shard["cues"].combine_chunks())
        cues = cues.filter(pc.not_equal(pc.struct_field(cues, "state"), "hypothetical"))
        names = pc.binary_join_element_wise(pc.struct_field(cues, "cue"), pc.struct_field(cues, "value"), ":")
        for entry in names.value_counts().to_pylist():
            counts[tuple(entry["values"].split(":"))] += entry["counts"]
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"cue": cue, "value": value, "reported": number} for (cue, value), number in ordered]


def _histogram(out: Path, table: str) -> list[int]:
    """Customers by index in steps of ten points; empty where nobody has one."""
    bins = [0] * 10
    for shard in _shards(out, table, "index"):
        for value in shard["index"].drop_null().to_numpy():
            bins[min(int(value // 10), 9)] += 1
    return bins if any(bins) else []


def _threads(out: Path, sign: float) -> list[Row]:
    """The threads with the best (sign 1) or worst (-1) mean valence of those that hold some utterances."""
    columns = ("shard", "source", "thread", "title", "url", "utterances", *SENTIMENT, "valence")

    def rows() -> Iterator[Row]:
        for shard in _shards(out, "threads", *columns):
            kept = shard.filter(pc.greater_equal(shard["utterances"], LEAST_UTTERANCES))
            kept = kept.filter(pc.greater(pc.multiply(kept["valence"], sign), 0))
            yield from kept.to_pylist()

    return heapq.nsmallest(LISTED, rows(), key=lambda r: (-sign * r["valence"], r["shard"], r["thread"]))


def _contacts(out: Path) -> list[Row]:
    """The customers for whom the company can still do most, whoever is most open to it first."""
    columns = (
        "shard", "source", "thread", "author", "band", "index", "churn", "failure", "severity", "movable", "priority",
        "actions", "evidence", "stated", "utterances",
    )  # fmt: skip

    def rows() -> Iterator[Row]:
        for shard in _shards(out, "cases", *columns):
            kept = shard.filter(pc.fill_null(pc.greater(shard["priority"], 0), False))
            yield from kept.to_pylist()

    best = heapq.nsmallest(LISTED, rows(), key=lambda r: (-r["priority"], r["shard"], r["thread"], r["author"]))
    for row in best:
        evidence = row.pop("evidence") or []
        worst = [e["quote"] for e in evidence if e["quote"] and e["contribution"] < 0]
        said = [s["quote"] for s in row.pop("stated") or []]
        row["quotes"] = list(dict.fromkeys(worst or said))[:2]
    return best


# ----------------------------------------------------------------------------------------------------------- time line


def _time(days: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """Sentiment by day, week, month or year, whichever gives at most MOST_BARS bars.

    outside: texts whose time lies far from that of nearly all others, or is no day.
    """
    dated: Counter[date] = Counter()
    outside = 0
    for (day, _), number in days.items():
        when = _day(day)
        if when is None:
            outside += number
        else:
            dated[when] += number
    if not dated:
        return {"unit": None, "outside": outside, "bars": []}
    first, last = _span(dated)
    unit = next((u for u in ("day", "week", "month") if len(_steps(first, last, u)) <= MOST_BARS), "year")
    bars: dict[date, dict[str, int]] = {start: dict.fromkeys(SENTIMENT, 0) for start in _steps(first, last, unit)}
    for (day, label), number in days.items():
        when = _day(day)
        if when is not None and first <= when <= last:
            bars[_start(when, unit)][label] += number
        elif when is not None:
            outside += number
    return {"unit": unit, "outside": outside, "bars": [{"from": d.isoformat(), **n} for d, n in bars.items()]}


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _span(dated: Mapping[date, int]) -> tuple[date, date]:
    days = sorted(dated)
    least = TAIL * sum(dated.values())

    def edge(ordered: Sequence[date]) -> date:
        seen = 0
        for day in ordered:
            seen += dated[day]
            if seen >= least:
                return day
        return ordered[-1]

    return edge(days), edge(days[::-1])


def _start(day: date, unit: str) -> date:
    if unit == "week":
        return day - timedelta(days=min(day.weekday(), (day - date.min).days))
    if unit == "month":
        return day.replace(day=1)
    return day.replace(month=1, day=1) if unit == "year" else day


def _steps(first: date, last: date, unit: str) -> list[date]:
    """The beginnings of all days, weeks, months or years between; more than MOST_BARS are not counted out."""
    if unit == "year":
        return [date(year, 1, 1) for year in range(first.year, last.year + 1)]
    if unit == "month":
        months = range(12 * first.year + first.month - 1, 12 * last.year + last.month)
        return [date(m // 12, m % 12 + 1, 1) for m in months]
    step = 7 if unit == "week" else 1
    start = _start(first, unit)
    return [start + timedelta(days=n) for n in range(0, (last - start).days + 1, step)]


# ---------------------------------------------------------------------------------------------------------------- page


@dataclass(frozen=True, slots=True)
class Column:
    """A bar of the time line: x and width of 1,000, and its parts as (tone, y, height) of a drawing 120 high."""

    x: float
    width: float
    label: str
    parts: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, slots=True)
class Length:
    """A horizontal bar: share in per cent of the longest; tone as in the style sheet."""

    label: str
    number: int
    share: float
    tone: str


def render(found: Mapping[str, Any]) -> str:
    """The summary as one HTML page that stands alone: no script, no outside request, everything escaped."""
    css = "\n".join((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "trace.css", "batch.css"))
    bars = found["time"]["bars"]
    customers = sum(found["bands"].values())
    page = (
        environment()
        .get_template("batch.html")
        .render(
            css=css,
            policy=policy(css),
            found=found,
            title=_title(found),
            figures=_figures(found, customers),
            sentiment=segments(found["sentiment"], SENTIMENT_BARS),
            columns=_columns(bars, found["time"]["unit"]),
            ticks=_ticks(bars),
            top=max((sum(b[n] for n in SENTIMENT) for b in bars), default=0),
            cues=_lengths({(c["cue"], c["value"]): c["reported"] for c in found["cues"][:SHOWN_CUES]}),
            more_cues=max(0, len(found["cues"]) - SHOWN_CUES),
            bands=segments(found["bands"], {name: name for name in BANDS}),
            band_names=BANDS,
            index=_index(found["index"]),
            threads=[
                (name, [(row, segments({n: row[n] for n in SENTIMENT}, SENTIMENT_BARS)) for row in rows[: LISTED // 2]])
                for name, rows in (("Worst threads", found["worst_threads"]), ("Best threads", found["best_threads"]))
            ],
            least=LEAST_UTTERANCES,
            shown=LISTED // 2,
            severities=SEVERITIES,
        )
    )
    # A quote may hold half of a surrogate pair, which UTF-8 has no bytes for.
    return page.encode("utf-8", "replace").decode("utf-8")


def _title(found: Mapping[str, Any]) -> str:
    feelings = found["sentiment"]
    total = sum(feelings.values())
    if not total:
        return f"{found['texts']:,} texts"
    return f"{found['texts']:,} texts, {100 * feelings['negative'] / total:.0f} % negative"


def _figures(found: Mapping[str, Any], customers: int) -> list[tuple[str, int]]:
    figures = [("threads", found["threads"]), ("texts", found["texts"]), ("scored", found["utterances"])]
    if found["task"] == "score":
        figures += [("dropped", sum(found["dropped"].values())), ("customers", customers)]
        figures += [("at risk", found["bands"].get("at_risk", 0)), ("advocates", found["bands"].get("advocate", 0))]
    return [*figures, ("errors", sum(found["errors"].values()))]


def _columns(bars: Sequence[Row], unit: str | None) -> list[Column]:
    top = max((sum(b[n] for n in SENTIMENT) for b in bars), default=0) or 1
    step = 1000 / max(len(bars), 1)
    columns = []
    for number, bar in enumerate(bars):
        y, parts = 120.0, []
        for name, tone in SENTIMENT_BARS.items():
            height = 120 * bar[name] / top
            y -= height
            if height:
                parts.append((tone, y, height))
        told = ", ".join(f"{bar[name]:,} {name}" for name in SENTIMENT)
        columns.append(
            Column(number * step, max(step - 1.5, step * 0.7), f"{unit} of {bar['from']}: {told}", tuple(parts))
        )
    return columns


def _ticks(bars: Sequence[Row]) -> list[tuple[float, str, str]]:
    """Dates under the time line: the first, the last and some between."""
    if not bars:
        return []
    step, last = 1000 / len(bars), len(bars) - 1
    ticks = []
    for place in sorted({round(n * last / 4) for n in range(5)}):
        x, anchor = (
            (0.0, "start") if place == 0 else (1000.0, "end") if place == last else ((place + 0.5) * step, "middle")
        )
        ticks.append((x, bars[place]["from"], anchor))
    return ticks


def _lengths(counts: Mapping[tuple[str, str], int]) -> list[Length]:
    top = max(counts.values(), default=0) or 1
    return [Length(cue_label(c, v), number, 100 * number / top, _direction(c, v)) for (c, v), number in counts.items()]


def _direction(cue: str, value: str) -> str:
    """The tone of the sign that research gives it."""
    published = LITERATURE.get(f"{cue}:{value}")
    sign = published.sign if published is not None else 0
    return "pos" if sign > 0 else "neg" if sign < 0 else "neu"


def _index(bins: Sequence[int]) -> list[Length]:
    top = max(bins, default=0) or 1
    tones = ["neg"] * 4 + ["neu"] * 2 + ["pos"] * 4
    return [
        Length(f"{10 * n} to {10 * n + 10}", number, 100 * number / top, tone)
        for n, (number, tone) in enumerate(zip(bins, tones, strict=False))
    ]
