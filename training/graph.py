"""Writes the encoder as an ONNX graph by hand, with the fused operators that ONNX Runtime is fast with.

An exporter writes what the network's code does step by step; much of it (masks, shapes, transposed heads) costs time
and says nothing. BERT is small enough to be written down as it is served: one product for query, key and value, one
operator for attention, the sum and the layer norm apart (the fused one is slower on a CPU).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from model.encoder import ENCODER

Floats = NDArray[np.float32]
FUSED = "com.microsoft"


@dataclass(frozen=True)
class Product:
    """One product of the encoder: x @ weight + bias, weight (inputs, outputs).

    inverse: factors (inputs,) that x is multiplied by first, None for none; the weight has them taken out already.
    shift: what is taken from the factored x (inputs,), None for nothing; the bias has it put back already.
    low, high: range of x, so changed, that 8 bits hold; None to find it in each batch.
    small: the weight in 8 bits (inputs, outputs) and the scale of each output (outputs,); None to round to the nearest.
    """

    weight: Floats
    bias: Floats
    inverse: Floats | None = None
    shift: Floats | None = None
    low: float | None = None
    high: float | None = None
    small: tuple[NDArray[np.int8], Floats] | None = None


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

    return Encoder(
        words=array("embeddings.word_embeddings.weight"),
        places=array("embeddings.position_embeddings.weight") + array("embeddings.token_type_embeddings.weight")[0],
        norm=norm("embeddings.LayerNorm"),
        layers=tuple(layer(f"encoder.layer.{i}") for i in range(layers_of(state))),
        heads=heads,
        epsilon=epsilon,
    )


def layers_of(names: Iterable[str]) -> int:
    """How many layers the names of a BERT state dict speak of."""
    return len({name.split(".")[2] for name in names if name.startswith("encoder.layer.")})


def quantized_weight(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Weights (inputs, outputs) in 8 bits, and the scale of each output (outputs,)."""
    scale = np.maximum(np.abs(weight).max(axis=0), 1e-9) / 127
    return np.clip(np.rint(weight / scale), -127, 127).astype(np.int8), scale.astype(np.float32)


@dataclass(frozen=True)
class Mask:
    """Names of two values of a graph: which tokens are real (batch, tokens), and whether all of them are."""

    tokens: str
    full: str


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

    def of_norm(self, x: str, norm: tuple[Floats, Floats], epsilon: float, p: Product) -> str:
        """The product of a norm of x. Factors and shift go into the weights of a norm of its own, and cost nothing."""
        factor = np.float32(1) if p.inverse is None else p.inverse
        shift = np.float32(0) if p.shift is None else p.shift
        changed = self.norm(x, (norm[0] * factor, norm[1] * factor - shift), epsilon)
        return self.product(changed, replace(p, inverse=None, shift=None))

    def product(self, x: str, p: Product) -> str:
        if p.inverse is not None:
            x = self.add("Mul", x, self.constant(p.inverse))
        if p.shift is not None:
            x = self.add("Sub", x, self.constant(p.shift))
        bias = self.constant(p.bias)
        weight, scale = (self.constant(one) for one in p.small or quantized_weight(p.weight))
        if p.low is None or p.high is None:
            return str(self.add("DynamicQuantizeMatMul", x, weight, scale, "", bias, domain=FUSED))
        step = (p.high - p.low) / 255
        zero = np.uint8(np.clip(np.rint(-p.low / step), 0, 255))
        own, zero_point = self.constant(np.asarray(step, dtype=np.float32)), self.constant(np.asarray(zero))
        small = self.add("QuantizeLinear", x, own, zero_point)
        return str(self.add("MatMulIntegerToFloat", small, weight, own, scale, zero_point, "", bias, domain=FUSED))

    def embeddings(self, e: Encoder) -> str:
        # 8 bits cost agreement here, 16 don't.
        words = self.add("Gather", self.constant(e.words.astype(np.float16)), "input_ids")
        return self.placed(words, self.constant(e.places))

    def placed(self, words: str, places: str) -> str:
        length = self.add("Shape", "input_ids", start=1, end=2)
        zero = self.constant(np.zeros(1, dtype=np.int64))
        here = self.add("Slice", places, zero, length, zero)
        return str(self.add("Add", self.add("Cast", words, to=TensorProto.FLOAT), here))

    def mask(self) -> Mask:
        least = self.add("ReduceMin", "attention_mask", keepdims=0)
        return Mask(
            self.add("Cast", "attention_mask", to=TensorProto.INT32), self.add("Cast", least, to=TensorProto.BOOL)
        )

    def attention(self, x: str, mask: Mask, heads: int) -> str:
        """Without the mask where the batch has no padding: the operator is slower with one that hides nothing."""
        parts = self.add("Split", x, outputs=3, axis=-1, num_outputs=3)

        def branch(name: str, *inputs: str) -> Any:
            result = f"{parts[0]}_{name}"
            node = helper.make_node("MultiHeadAttention", list(inputs), [result], domain=FUSED, num_heads=heads)
            made = helper.make_tensor_value_info(result, TensorProto.FLOAT, None)
            return helper.make_graph([node], name, [], [made])

        padded = branch("padded", *parts, "", mask.tokens)
        return str(self.add("If", mask.full, then_branch=branch("full", *parts), else_branch=padded))

    def layer(self, x: str, norm: tuple[Floats, Floats], mask: Mask, e: Encoder, one: Layer) -> str:
        """From the sum before a norm to the sum before the next layer's."""
        seen = self.attention(self.of_norm(x, norm, e.epsilon, one.attention), mask, e.heads)
        x = str(self.add("Add", self.product(seen, one.output), self.norm(x, norm, e.epsilon)))
        inner = self.add("Gelu", self.of_norm(x, one.norms[0], e.epsilon, one.inner), domain=FUSED)
        return str(self.add("Add", self.product(inner, one.outer), self.norm(x, one.norms[0], e.epsilon)))

    def model(self, x: str, width: int) -> ModelProto:
        """The finished graph with x as its result."""
        self.nodes.append(helper.make_node("Identity", [x], ["states"]))
        shape = ["batch", "tokens"]
        inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, shape) for n in ("input_ids", "attention_mask")]
        outputs = [helper.make_tensor_value_info("states", TensorProto.FLOAT, [*shape, width])]
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid(FUSED, 1)]
        made = helper.make_graph(self.nodes, "encoder", inputs, outputs, self.constants)
        return helper.make_model(made, opset_imports=opsets, ir_version=9, producer_name="amends")


def graph(e: Encoder) -> ModelProto:
    """The 8-bit graph: input_ids, attention_mask (batch, tokens) -> states (batch, tokens, width)."""
    w = _Writer()
    x = w.embeddings(e)
    mask = w.mask()
    norm = e.norm
    for one in e.layers:
        x = w.layer(x, norm, mask, e, one)
        norm = one.norms[1]
    return w.model(w.norm(x, norm, e.epsilon), e.words.shape[1])


@dataclass
class _Outline(_Writer):
    """A writer of a float graph whose weights stay where they are: it names them, and who opens it gives them."""

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def halves(self, name: str) -> str:
        tensor = TensorProto(name=f"{ENCODER}{name}", data_type=TensorProto.FLOAT16, dims=self.shapes[name])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights.safetensors")
        self.constants.append(tensor)
        return str(tensor.name)

    def given(self, name: str) -> str:
        # The runtime does this once, as it opens the graph.
        return str(self.add("Cast", self.halves(name), to=TensorProto.FLOAT))

    def given_norm(self, x: str, name: str, epsilon: float) -> str:
        parts = (self.given(f"{name}.{part}") for part in ("weight", "bias"))
        return str(self.add("LayerNormalization", x, *parts, axis=-1, epsilon=epsilon))

    def given_product(self, x: str, *names: str) -> str:
        def joined(part: str) -> str:
            own = [self.given(f"{name}.{part}") for name in names]
            return str(self.add("Concat", *own, axis=0)) if len(own) > 1 else own[0]

        weight = self.add("Transpose", joined("weight"), perm=[1, 0])
        return str(self.add("Add", self.add("MatMul", x, weight), joined("bias")))

    def given_embeddings(self, epsilon: float) -> str:
        words = self.add("Gather", self.halves("embeddings.word_embeddings.weight"), "input_ids")
        zero, one = (self.constant(np.asarray([i], dtype=np.int64)) for i in (0, 1))
        kind = self.add("Slice", self.given("embeddings.token_type_embeddings.weight"), zero, one, zero)
        places = self.add("Add", self.given("embeddings.position_embeddings.weight"), kind)
        return self.given_norm(self.placed(words, places), "embeddings.LayerNorm", epsilon)

    def given_layer(self, x: str, mask: Mask, at: str, heads: int, epsilon: float) -> str:
        parts = (f"{at}.attention.self.{part}" for part in ("query", "key", "value"))
        seen = self.attention(self.given_product(x, *parts), mask, heads)
        summed = self.add("Add", self.given_product(seen, f"{at}.attention.output.dense"), x)
        x = self.given_norm(summed, f"{at}.attention.output.LayerNorm", epsilon)
        inner = self.add("Gelu", self.given_product(x, f"{at}.intermediate.dense"), domain=FUSED)
        return self.given_norm(
            self.add("Add", self.given_product(inner, f"{at}.output.dense"), x), f"{at}.output.LayerNorm", epsilon
        )


def outline(shapes: Mapping[str, tuple[int, ...]], *, heads: int, epsilon: float) -> ModelProto:
    """The float graph without its weights, for model.encoder.OnnxEncoder to fill from weights.safetensors.

    shapes: of the tensors of a BERT state dict with names from "embeddings." on; the weights are given in 16 bits.
    Inputs and results are those of `graph`.
    """
    w = _Outline(shapes=shapes)
    x = w.given_embeddings(epsilon)
    mask = w.mask()
    for i in range(layers_of(shapes)):
        x = w.given_layer(x, mask, f"encoder.layer.{i}", heads, epsilon)
    return w.model(x, shapes["embeddings.word_embeddings.weight"][1])
