"""What one core can do at most, and what the arithmetic of the encoder would take at that rate.

Two ceilings. `issued`: multiply-and-add instructions on registers, from peak.c where a C compiler is at hand; nothing
can be faster. `library`: the best large square product of the libraries at hand, what a program gets in practice.
"""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

SOURCE = Path(__file__).with_name("peak.c")
SIDE = 1536
SECONDS = 0.6
# Tokens of a product of the model's own shapes.
ROWS = 512


@dataclass(frozen=True)
class Shape:
    """Layers, width and inner width of a BERT-type encoder. Numbers below count a product and a sum as two."""

    layers: int
    width: int
    inner: int

    @classmethod
    def of(cls, folder: Path) -> "Shape":
        """That of a bundle."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return cls(config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"])

    @property
    def weights(self) -> int:
        """Weights of the products with weights: a byte each in 8 bit."""
        return self.layers * (4 * self.width**2 + 2 * self.width * self.inner)

    def linear(self, tokens: int) -> int:
        """Operations of the products with weights."""
        return 2 * tokens * self.weights

    def attention(self, windows: list[int]) -> int:
        """Operations of the two products of attention, over windows of so many tokens."""
        return 4 * self.layers * self.width * sum(n * n for n in windows)


def ceiling(shape: Shape, seconds: float = SECONDS) -> dict[str, Any]:
    """10^9 operations a second of one core, and 10^9 bytes a second read from a buffer as large as the weights."""
    libraries = library_rates(seconds)
    best = {kind: max((r for name, r in libraries.items() if name.endswith(kind)), default=0.0) for kind in KINDS}
    issued = issued_rates(shape.weights)
    return {
        "issued": issued,
        "library": {"products": libraries, "side": SIDE, **{kind: round(rate, 1) for kind, rate in best.items()}},
        "8bit": max(best["8bit"], (issued or {}).get("8bit", 0.0)),
        "float": max(best["float"], (issued or {}).get("float", 0.0)),
        "of_the_models_shapes": shape_rates(shape, seconds),
    }


KINDS = ("8bit", "float")


def issued_rates(buffer: int) -> dict[str, Any] | None:
    """Figures of peak.c; None without a compiler, or on a processor that it has no loop for."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        built = subprocess.run(
            [compiler, "-O3", "-march=native", "-o", str(program), str(SOURCE)], capture_output=True, check=False
        )
        if built.returncode:
            return None
        runs = [
            subprocess.run([program, str(buffer)], capture_output=True, text=True, check=True).stdout.strip().split("|")
            for _ in range(3)
        ]
    best = max(runs, key=lambda run: float(run[1]))
    return {
        "8bit": float(best[1]),
        "8bit_instructions": best[0],
        "float": float(best[3]),
        "float_instruction": best[2],
        "read_gb_a_second": max(float(run[4]) for run in runs),
    }


def library_rates(seconds: float) -> dict[str, float]:
    """10^9 operations a second of square products, by library and kind."""
    found = {}
    for name, make in (("onnxruntime", onnx_product), ("torch", torch_product)):
        for kind in KINDS:
            try:
                product = make(SIDE, SIDE, SIDE, kind)
            except ImportError:
                continue
            found[f"{name} {kind}"] = round(2 * SIDE**3 / duration(product, seconds) / 1e9, 1)
    return found


def shape_rates(shape: Shape, seconds: float) -> dict[str, float]:
    """The same of ONNX Runtime in 8 bit, for the products that the encoder makes."""
    sizes = {
        "attention": (shape.width, shape.width),
        "up": (shape.width, shape.inner),
        "down": (shape.inner, shape.width),
    }
    return {
        f"{name} {ROWS}x{inner}x{outer}": round(
            2 * ROWS * inner * outer / duration(onnx_product(ROWS, inner, outer, "8bit"), seconds) / 1e9, 1
        )
        for name, (inner, outer) in sizes.items()
    }


def onnx_product(rows: int, inner: int, outer: int, kind: str) -> Callable[[], Any]:
    """ONNX Runtime with a constant right side: MatMulInteger or MatMul."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(7)
    small = kind == "8bit"
    left = draw.integers(0, 255, (rows, inner)).astype(np.uint8) if small else draw.random((rows, inner), np.float32)
    right = (
        draw.integers(-127, 127, (inner, outer)).astype(np.int8) if small else draw.random((inner, outer), np.float32)
    )
    of, to = (TensorProto.UINT8, TensorProto.INT32) if small else (TensorProto.FLOAT, TensorProto.FLOAT)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger" if small else "MatMul", ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", of, [rows, inner])],
        [helper.make_tensor_value_info("c", to, [rows, outer])],
        [numpy_helper.from_array(right, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"a": left})


def torch_product(rows: int, inner: int, outer: int, kind: str) -> Callable[[], Any]:
    """torch._int_mm (oneDNN where it has the kernels) or a float product."""
    import torch

    torch.set_num_threads(1)
    if kind == "8bit":
        left, right = (torch.randint(-127, 127, size, dtype=torch.int8) for size in ((rows, inner), (inner, outer)))
        return lambda: torch._int_mm(left, right)
    left, right = torch.rand(rows, inner), torch.rand(inner, outer)
    return lambda: left @ right


def duration(work: Callable[[], Any], seconds: float) -> float:
    """CPU seconds of one call, the median of as many as fit."""
    work()
    taken: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until or not taken:
        start = time.thread_time()
        work()
        taken.append(time.thread_time() - start)
    return median(taken)
