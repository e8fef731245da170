"""Where the time goes: inside a call of the scorer, inside the graph by operator, and along the path of a thread."""

import cProfile
import json
import pstats
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.ceiling import Shape
from benchmarks.mix import Mix, released_tokenizer
from model.bundle import RELEASED, load_bundle
from model.clean import clean
from model.encoder import Encoder, States
from model.native_encoder import NativeEncoder
from model.read import read_file
from model.scorer import Scorer
from model.segment import tokenize
from service.garbage import look_seldom

# Comments of a thread of the path; the sources that hold comments below a page.
THREAD = 50
SOURCES = ("goemotions", "sentube_cars", "sentube_tablets")
SHOWN = 12


class Timed:
    """An encoder with a clock: CPU seconds and seconds inside it, and the windows that it was given."""

    def __init__(self, inside: Encoder) -> None:
        self.inside = inside
        self.cpu = self.wall = 0.0
        self.windows: list[int] = []

    def encode(self, windows: Sequence[NDArray[np.int64]]) -> list[States]:
        """See model.encoder.Encoder.encode."""
        start, used = time.perf_counter(), time.process_time()
        try:
            return self.inside.encode(windows)
        finally:
            self.wall += time.perf_counter() - start
            self.cpu += time.process_time() - used
            self.windows += [len(w) for w in windows]


class Recorded:
    """An ONNX Runtime session that keeps what it was fed, and the CPU time of the runs."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.feeds: list[dict[str, NDArray[Any]]] = []
        self.cpu = 0.0

    def run(self, names: Any, feed: dict[str, NDArray[Any]]) -> Any:
        """As the session."""
        self.feeds.append(feed)
        used = time.process_time()
        found = self._session.run(names, feed)
        self.cpu += time.process_time() - used
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def timed_scorer() -> tuple[Scorer, Timed, Timed, Recorded | None]:
    """A scorer over the released bundle with clocks in it: of its encoder, and of the one that looks again.

    No Recorded where another runtime does the work.
    """
    bundle = load_bundle()
    recorded = None
    if hasattr(bundle.encoder, "_session"):
        recorded = Recorded(bundle.encoder._session)
        bundle.encoder._session = recorded
    timed, again = Timed(bundle.encoder), Timed(bundle.exact or bundle.encoder)
    again.encode([])
    return Scorer(replace(bundle, encoder=timed, exact=again if bundle.exact else None)), timed, again, recorded


def call_profile(peak: dict[str, Any], texts: int, rounds: int) -> dict[str, Any]:
    """Parts of one call of `sentiment`, and the share of the peak that the products reach."""
    scorer, timed, again, recorded = timed_scorer()
    mix = Mix(released_tokenizer())
    scorer.sentiment(mix.texts(texts, "warm"))
    timed.cpu, timed.windows = 0.0, []
    again.cpu, again.windows = 0.0, []
    native = timed.inside if isinstance(timed.inside, NativeEncoder) else None
    if native:
        native.forget()
    if recorded:
        recorded.cpu, recorded.feeds = 0.0, []
    total = tokenizing = 0.0
    for number in range(rounds):
        drawn = mix.texts(texts, f"profile {number}")
        used = time.process_time()
        scorer.sentiment(drawn)
        total += time.process_time() - used
        used = time.process_time()
        tokenize(drawn, scorer.bundle.tokenizer, scorer.bundle.max_tokens)
        tokenizing += time.process_time() - used
    per_text = 1000 / (texts * rounds)
    parts = {
        "tokenizing, windows, sentences": tokenizing,
        "encoder": timed.cpu,
        "second look": again.cpu,
        "head and the rest": max(0.0, total - tokenizing - timed.cpu - again.cpu),
    }
    shape = Shape.of(RELEASED)
    windows = [n + 2 for n in timed.windows]
    needed = shape.linear(sum(windows))
    found: dict[str, Any] = {
        "texts": texts * rounds,
        "cpu_ms_a_text": round(total * per_text, 4),
        "parts_ms_a_text": {name: round(seconds * per_text, 4) for name, seconds in parts.items()},
        "encoder_share": round((timed.cpu + again.cpu) / total, 4),
        "looked_at_again": round(len(again.windows) / max(1, len(timed.windows)), 4),
        "operations_a_text": {
            "8bit": needed // (texts * rounds),
            "float": shape.attention(windows) // (texts * rounds),
        },
        "share_of_peak": {
            "whole call": round(needed / total / (peak["8bit"] * 1e9), 4),
            "encoder": round(needed / timed.cpu / (peak["8bit"] * 1e9), 4),
        },
    }
    if native:
        found["encoder_parts"] = {name: round(share, 4) for name, share in native.shares().items()}
        rate = needed / (timed.cpu * native.shares()["products"])
        found["share_of_peak"]["products with weights"] = round(rate / (peak["8bit"] * 1e9), 4)
    if recorded and recorded.feeds:
        found |= graph_profile(recorded, shape, peak, per_text)
        found["share_of_peak"]["products with weights"] = found.pop("products_share")
    return found


def graph_profile(recorded: Recorded, shape: Shape, peak: dict[str, Any], per_text: float) -> dict[str, Any]:
    """Time by operator over the same batches, how much of them is padding, and the rate of the 8-bit products.

    The profiler adds some to every operator, so the sum is scaled to the time that the same runs took without it.
    """
    operators = operator_seconds(recorded.feeds)
    scale = recorded.cpu / sum(operators.values())
    cells, read = padding(recorded.feeds)
    products = sum(s for name, s in operators.items() if is_product(name)) * scale
    ranked = sorted(operators.items(), key=lambda item: -item[1])
    return {
        "runs": len(recorded.feeds),
        "padding_share": round(1 - read / cells, 4),
        "products_share": round(shape.linear(cells) / products / (peak["8bit"] * 1e9), 4),
        "operators_ms_a_text": {name: round(s * scale * per_text, 4) for name, s in ranked[:SHOWN]},
        "operators_share": {name: round(s / sum(operators.values()), 4) for name, s in ranked[:SHOWN]},
    }


def is_product(operator: str) -> bool:
    """Whether it multiplies with 8-bit weights; some also find the scale of what they are given."""
    return "MatMulInteger" in operator or "QuantizeMatMul" in operator or "MatMulNBits" in operator


def padding(feeds: Sequence[dict[str, NDArray[Any]]]) -> tuple[int, int]:
    """Tokens that the graph computed, and those of them that are no padding."""
    masks = [next((v for k, v in feed.items() if "mask" in k), None) for feed in feeds]
    cells = sum(next(iter(feed.values())).size if m is None else m.size for feed, m in zip(feeds, masks, strict=True))
    return cells, sum(int(m.sum()) for m in masks if m is not None) or cells


def operator_seconds(feeds: Sequence[dict[str, NDArray[Any]]]) -> dict[str, float]:
    """Seconds by kind of operator over these runs, from ONNX Runtime's profile."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "run")
        graph = str(RELEASED / "encoder.onnx")
        session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"]
        )
        for feed in feeds:
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    found: dict[str, float] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["args"]["op_name"]
            # Its time is that of the operators in its branch, which are listed themselves.
            if name == "If":
                continue
            found[name] = found.get(name, 0.0) + event["dur"] / 1e6
    return found


# ------------------------------------------------------------------------------------------------------ path of threads


def thread_path(data: Path, comments: int) -> dict[str, Any]:
    """CPU time of reading, cleaning, scoring and reporting threads of real comments, and the share of the encoder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "threads.jsonl"
        write_threads(path, data, comments)
        scorer, timed, again, _ = timed_scorer()
        # Word lists and models that the first comment of a program waits for.
        for report in scorer.score_many(Mix(released_tokenizer()).threads(4, "warm")):
            report.to_dict()
        # As the commands do.
        look_seldom()
        timed.cpu = again.cpu = 0.0
        clock = Clock()
        with clock.part("read"):
            threads = read_file(path)
        with clock.part("clean"):
            # The scorer cleans by itself; what it takes of its time is found by doing it once more.
            for thread in threads:
                clean(thread)
        with clock.part("score"):
            reports = list(scorer.score_many(threads))
        with clock.part("report"):
            written = sum(len(json.dumps(report.to_dict(), ensure_ascii=False)) for report in reports)
        encoder = timed.cpu + again.cpu
        profile = hot_spots(lambda: list(scorer.score_many(threads[: max(1, len(threads) // 10)])))
    total = clock.cpu["read"] + clock.cpu["score"] + clock.cpu["report"]
    heads = clock.cpu["score"] - clock.cpu["clean"] - encoder
    parts = {"read": clock.cpu["read"], "clean": clock.cpu["clean"], "encoder": encoder, "heads, cases": heads}
    parts["report"] = clock.cpu["report"]
    return {
        "comments": sum(len(t.utterances) for t in threads),
        "threads": len(threads),
        "dropped": sum(len(r.dropped) for r in reports),
        "characters_written": written,
        "cpu_ms_a_comment": round(1000 * total / comments, 4),
        "share": {name: round(seconds / total, 4) for name, seconds in parts.items()},
        "hot_spots_outside_the_encoder": profile,
    }


class Clock:
    """CPU seconds of named parts."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Around the part."""
        used = time.process_time()
        yield
        self.cpu[name] = time.process_time() - used


def write_threads(path: Path, data: Path, comments: int) -> None:
    """Different comments of the data, so many to a page, as `amends read` would write them."""
    table = pq.read_table(data / "train.parquet", columns=["text", "source"]).to_pylist()
    texts = sorted({row["text"] for row in table if row["source"] in SOURCES})
    random.Random(7).shuffle(texts)
    texts = texts[:comments]
    with path.open("w", encoding="utf-8") as out:
        for start in range(0, len(texts), THREAD):
            utterances = [
                {"id": str(i), "text": text, "author": {"name": f"author {i % 40}"}, "kind": "comment"}
                for i, text in enumerate(texts[start : start + THREAD])
            ]
            thread = {"id": f"page {start // THREAD}", "utterances": utterances}
            out.write(json.dumps(thread, ensure_ascii=False) + "\n")


def hot_spots(work: Callable[[], Any]) -> list[dict[str, Any]]:
    """Functions by their time with all they call, as shares of everything outside the encoder."""
    profile = cProfile.Profile(time.process_time)
    profile.runcall(work)
    stats: Any = pstats.Stats(profile)
    rows = [(func, own, total, calls) for func, (_, calls, own, total, _) in stats.stats.items()]
    inside = next((total for func, _, total, _ in rows if func[2] == "encode" and func[0] == __file__), 0.0)
    outside = max(stats.total_tt - inside, 1e-9)
    ranked = sorted((r for r in rows if not inside_the_encoder(r[0])), key=lambda r: -r[2])
    return [
        {
            "function": place(func),
            "calls": calls,
            "own": round(own / outside, 4),
            "with_callees": round(total / outside, 4),
        }
        for func, own, total, calls in ranked[: 3 * SHOWN]
    ]


def inside_the_encoder(func: tuple[str, int, str]) -> bool:
    """Whether a function is the encoder's, or all of it."""
    return "onnxruntime" in func[0] or func[0].endswith("native_encoder.py") or func[2] == "encode"


def place(func: tuple[str, int, str]) -> str:
    """File and name, without the folders of this machine."""
    return f"{Path(func[0]).parent.name}/{Path(func[0]).name}:{func[2]}" if func[1] else func[2]
