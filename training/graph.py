"""Writes the encoder as an ONNX graph by hand, with the fused operators that ONNX Runtime is fast with.

An exporter writes what the network's code does step by step; much of it (masks, shapes, transposed heads) costs time
and says nothing. BERT is small enough to be written down as it is served: one product for query, key and value, one
operator for attention, the sum and the layer norm apart (the fused one is slower on a CPU).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper, save

Floats = NDArray[np.float32]
FUSED = "com.microsoft"


@dataclass(frozen=True)
class Product:
    """One product of the encoder: x @ weight + bias, weight (inputs, outputs).

    inverse: factors (inputs,) that x is multiplied by first, None for none; the weight has them taken out already.
    low, high: range of the factored x that 8 bits hold; None to find it in each batch.
    small: the weight in 8 bits (inputs, outputs) and the scale of each output (outputs,); None to round to the nearest.
    exact: keep it in float.
    """

    weight: Floats
    bias: Floats
    inverse: Floats | None = None
    low: float | None = None
    high: float | None = None
    small: tuple[NDArray[np.int8], Floats] | None = None
    exact: bool = False


@dataclass(frozen=True)
class Layer:
    """One layer: three products into one for attention, its output, both of the feed-forward part, two layer norms."""

    attention: Product
    output: Product
    inner: Product
    outer: Product
    norms: tuple[tuple[Floats, Floats], tuple[Floats, Floats]]


@dataclass(frozen=True)
class Encoder:
    """All numbers of a BERT encoder. words (vocabulary, width); places (positions, width), the type added already."""

    words: Floats
    places: Floats
    norm: tuple[Floats, Floats]
    layers: tuple[Layer, ...]
    heads: int
    epsilon: float


def read_encoder(state: Mapping[str, Floats], *, heads: int, epsilon: float) -> Encoder:
    """From a BERT state dict with names from "embeddings." on."""

    def array(name: str) -> Floats:
        return np.asarray(state[name], dtype=np.float32)

    def product(*names: str) -> Product:
        weight = np.concatenate([array(f"{n}.weight") for n in names]).T
        return Product(np.ascontiguousarray(weight), np.concatenate([array(f"{n}.bias") for n in names]))

    def norm(name: str) -> tuple[Floats, Floats]:
        return array(f"{name}.weight"), array(f"{name}.bias")

    def layer(at: str) -> Layer:
        own = f"{at}.attention.self"
        return Layer(
            attention=product(f"{own}.query", f"{own}.key", f"{own}.value"),
            output=product(f"{at}.attention.output.dense"),
            inner=product(f"{at}.intermediate.dense"),
            outer=product(f"{at}.output.dense"),
            norms=(norm(f"{at}.attention.output.LayerNorm"), norm(f"{at}.output.LayerNorm")),
        )

    count = len({k.split(".")[2] for k in state if k.startswith("encoder.layer.")})
    return Encoder(
        words=array("embeddings.word_embeddings.weight"),
        places=array("embeddings.position_embeddings.weight") + array("embeddings.token_type_embeddings.weight")[0],
        norm=norm("embeddings.LayerNorm"),
        layers=tuple(layer(f"encoder.layer.{i}") for i in range(count)),
        heads=heads,
        epsilon=epsilon,
    )


def quantized_weight(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Weights (inputs, outputs) in 8 bits, and the scale of each output (outputs,)."""
    scale = np.maximum(np.abs(weight).max(axis=0), 1e-9) / 127
    return np.clip(np.rint(weight / scale), -127, 127).astype(np.int8), scale.astype(np.float32)


@dataclass
class _Writer:
    """Collects nodes and constants under names of their own."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def constant(self, value: NDArray[Any]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        names = [f"n{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, domain=domain, **attributes))
        return names if outputs > 1 else names[0]

    def norm(self, x: str, norm: tuple[Floats, Floats], epsilon: float) -> str:
        weight, bias = map(self.constant, norm)
        return str(self.add("LayerNormalization", x, weight, bias, axis=-1, epsilon=epsilon))

    def product(self, x: str, p: Product, *, exact: bool) -> str:
        if p.inverse is not None:
            x = self.add("Mul", x, self.constant(p.inverse))
        bias = self.constant(p.bias)
        if exact or p.exact:
            return str(self.add("Add", self.add("MatMul", x, self.constant(p.weight)), bias))
        weight, scale = (self.constant(one) for one in p.small or quantized_weight(p.weight))
        if p.low is None or p.high is None:
            return str(self.add("DynamicQuantizeMatMul", x, weight, scale, "", bias, domain=FUSED))
        step = (p.high - p.low) / 255
        zero = np.uint8(np.clip(np.rint(-p.low / step), 0, 255))
        own, zero_point = self.constant(np.asarray(step, dtype=np.float32)), self.constant(np.asarray(zero))
        small = self.add("QuantizeLinear", x, own, zero_point)
        return str(self.add("MatMulIntegerToFloat", small, weight, own, scale, zero_point, "", bias, domain=FUSED))

    def embeddings(self, e: Encoder, *, exact: bool) -> str:
        # 8 bits cost agreement here, 16 don't.
        table = e.words if exact else e.words.astype(np.float16)
        words = self.add("Gather", self.constant(table), "input_ids")
        length = self.add("Shape", "input_ids", start=1, end=2)
        zero = self.constant(np.zeros(1, dtype=np.int64))
        places = self.add("Slice", self.constant(e.places), zero, length, zero)
        return self.norm(self.add("Add", self.add("Cast", words, to=TensorProto.FLOAT), places), e.norm, e.epsilon)

    def layer(self, x: str, mask: str, e: Encoder, one: Layer, *, exact: bool) -> str:
        parts = self.add("Split", self.product(x, one.attention, exact=exact), outputs=3, axis=-1, num_outputs=3)
        seen = self.add("MultiHeadAttention", *parts, "", mask, domain=FUSED, num_heads=e.heads)
        x = self.norm(self.add("Add", self.product(seen, one.output, exact=exact), x), one.norms[0], e.epsilon)
        inner = self.add("Gelu", self.product(x, one.inner, exact=exact), domain=FUSED)
        return self.norm(self.add("Add", self.product(inner, one.outer, exact=exact), x), one.norms[1], e.epsilon)


def graph(e: Encoder, *, exact: bool = False) -> ModelProto:
    """input_ids, attention_mask (batch, tokens) -> states (batch, tokens, width). exact: all products in float."""
    w = _Writer()
    x = w.embeddings(e, exact=exact)
    mask = w.add("Cast", "attention_mask", to=TensorProto.INT32)
    for one in e.layers:
        x = w.layer(x, mask, e, one, exact=exact)
    w.nodes.append(helper.make_node("Identity", [x], ["states"]))
    shape = ["batch", "tokens"]
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, shape) for n in ("input_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info("states", TensorProto.FLOAT, [*shape, e.words.shape[1]])]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(FUSED, 1)]
    made = helper.make_graph(w.nodes, "encoder", inputs, outputs, w.constants)
    return helper.make_model(made, opset_imports=opsets, ir_version=9, producer_name="amends")


def write(e: Encoder, path: Path, *, exact: bool = False) -> None:
    """Writes the graph to a file."""
    save(graph(e, exact=exact), str(path))
