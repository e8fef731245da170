"""The encoder by kernels of our own (model/native), which are built where pip finds gcc on an x86 processor.

In 8 bits they read the same graph file as ONNX Runtime and do the same arithmetic, a third faster and with AMX two to
four times as fast; in bfloat16 they read the float weights for a second look at close calls: see docs/speed.md.
"""

import ctypes
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import local
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from model.encoder import ENCODER, States
from model.onnx_file import Graph, Node, read_graph

# Tokens that go through a layer together: more leave the cache, fewer read the weights too often.
GROUP_TOKENS: Final = 256
HEAD: Final = 32
# As model/native/encoder.c has it; it changes with what is called there.
VERSION: Final = 2
LINE: Final = 64
# By the number that model/native/encoder.c gives it: name of a kernel, outputs of a strip of its weights.
KERNELS: Final = {1: ("AVX2", 16), 2: ("AVX-512 VNNI", 64), 3: ("AMX", 32)}
BFLOATS: Final = {4: ("AMX bfloat16", 32)}
PARTS: Final = ("products", "attention", "norms", "words")
# Operators of one layer as training.graph writes them, between two layer norms of the sums.
LAYER: Final = (
    *("LayerNormalization", "QuantizeLinear", "MatMulIntegerToFloat", "Split", "If"),
    *("QuantizeLinear", "MatMulIntegerToFloat", "LayerNormalization", "Add"),
    *("LayerNormalization", "QuantizeLinear", "MatMulIntegerToFloat", "Gelu", "Mul"),
    *("QuantizeLinear", "MatMulIntegerToFloat", "LayerNormalization", "Add"),
)
FIRST: Final = ("Gather", "Shape", "Slice", "Cast", "Add", "ReduceMin", "Cast", "Cast")
Array = NDArray[Any]


# What a bundle's config.json has to say of the network.
KNOWN: Final = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}


class UnsuitedError(ValueError):
    """The kernels can't run this network, or not here; the message says why."""


class _Norm(ctypes.Structure):
    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p))


class _Product(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weight", "start", "scale", "bias")),
        *((name, ctypes.c_int32) for name in ("inputs", "outputs")),
    )


class _Layer(ctypes.Structure):
    _fields_ = (
        *(("rounded", _Norm * 2), ("kept", _Norm * 2)),
        *((name, _Product) for name in ("attention", "output", "inner", "outer")),
        ("factor", ctypes.c_void_p),
        *((name, ctypes.c_float) for name in ("seen_factor", "seen_zero", "inner_zero")),
    )


class _Model(ctypes.Structure):
    _fields_ = (
        *(("words", ctypes.c_void_p), ("places", ctypes.c_void_p), ("last", _Norm), ("layers", ctypes.c_void_p)),
        *((name, ctypes.c_int32) for name in ("n_layers", "width", "inner", "heads")),
        ("epsilon", ctypes.c_float),
    )


@cache
def _library() -> ctypes.CDLL:
    """The kernels. Raises UnsuitedError where they were not built, or the processor can't run them."""
    spec = find_spec("model._native")
    if spec is None or spec.origin is None:
        raise UnsuitedError("they were not built: pip found no gcc that could do it as it installed Amends")
    try:
        library = ctypes.CDLL(spec.origin)
    except OSError as error:
        raise UnsuitedError(f"they were built for another system: {error}") from None
    if getattr(library, "amends_version", int)() != VERSION:
        raise UnsuitedError("they were built from other sources than these: install Amends once more")
    if library.amends_best() not in KERNELS:
        raise UnsuitedError("they need an x86 processor with AVX2")
    library.amends_room.restype = ctypes.c_size_t
    return library


def kernel() -> str:
    """Name of the kernels that this machine runs. Raises UnsuitedError where it runs none."""
    return KERNELS[_library().amends_best()][0]


def bfloat_kernel() -> str | None:
    """Name of the kernel for bfloat16 that this machine runs; None where it runs none."""
    try:
        best: int = _library().amends_bfloat()
    except UnsuitedError:
        return None
    return BFLOATS[best][0] if best else None


class NativeEncoder:
    """The kernels on the 8-bit graph of a bundle. Safe to use from several threads.

    special: ids of the class, separator and padding token. threads: of one call. kernel: a key of KERNELS that is no
    better than this machine's best, which None stands for. Raises UnsuitedError where none can run here, or the graph
    is not as training.graph writes it (bundles before 0.3).
    """

    def __init__(
        self, path: Path, special: tuple[int, int, int], *, threads: int = 1, kernel: int | None = None
    ) -> None:
        self._library = _library()
        self._special = special
        self._kernel = kernel or self._best()
        self._numbers = self._read(path)
        self._rooms = local()
        self._pool = ThreadPoolExecutor(threads, "encoder") if threads > 1 else None
        self._ticks = (ctypes.c_uint64 * len(PARTS))()

    def encode(self, windows: Sequence[NDArray[np.int64]]) -> list[States]:
        """See model.encoder.Encoder.encode."""
        groups = [windows[group] for group in _groups([len(w) + 2 for w in windows])]
        run = self._pool.map if self._pool and len(groups) > 1 else map
        return [states for found in run(self._group, groups) for states in found]

    def forget(self) -> None:
        """Begins anew to count the time."""
        ctypes.memset(self._ticks, 0, ctypes.sizeof(self._ticks))

    def shares(self) -> dict[str, float]:
        """Shares of the kernels' time by PARTS, in the groups read so far (threads may lose a few)."""
        total = sum(self._ticks) or 1
        return {name: count / total for name, count in zip(PARTS, self._ticks, strict=True)}

    def _best(self) -> int:
        best: int = self._library.amends_best()
        return best

    def _read(self, path: Path) -> "_Numbers":
        return _EightBits(_checked(path), KERNELS[self._kernel][1])

    def _group(self, windows: Sequence[NDArray[np.int64]]) -> list[States]:
        cls, sep, _ = self._special
        ids = np.concatenate([part for w in windows for part in ((cls,), w, (sep,))]).astype(np.int32)
        lengths = np.fromiter((len(w) + 2 for w in windows), np.int32)
        self._numbers.check(ids, int(lengths.max()))
        states = np.empty((len(ids), self._numbers.model.width), np.float32)
        model = ctypes.byref(self._numbers.model)
        room = self._room(self._library.amends_room(model, self._kernel, len(ids), int(lengths.max())))
        given = (ctypes.c_void_p(a.ctypes.data) for a in (ids, lengths))
        results = (ctypes.c_void_p(a.ctypes.data) for a in (states, room))
        self._library.amends_encode(model, self._kernel, *given, len(lengths), *results, self._ticks)
        ends = np.cumsum(lengths)
        return [states[end - n + 1 : end - 1] for end, n in zip(ends, lengths, strict=True)]

    def _room(self, size: int) -> Array:
        """Memory of this thread: fresh pages for each group would cost as much as a layer."""
        room: Array | None = getattr(self._rooms, "room", None)
        if room is None or len(room) < size:
            room = self._rooms.room = aligned((size,), np.uint8)
        return room


class BfloatEncoder(NativeEncoder):
    """The kernels on the float weights of a bundle folder, each rounded to bfloat16 (8 bits of fraction) for products.

    As NativeEncoder; kernel: a key of BFLOATS. Raises UnsuitedError where the processor multiplies no bfloat16.
    """

    def _best(self) -> int:
        best: int = self._library.amends_bfloat()
        if not best:
            raise UnsuitedError("they need a processor with AMX for bfloat16")
        return best

    def _read(self, path: Path) -> "_Numbers":
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        for name, known in KNOWN.items():
            if config.get(name, known) != known:
                raise UnsuitedError(f"{name} is {config[name]!r} and not {known!r}")
        tensors = load_file(path / "weights.safetensors")
        encoder = {name.removeprefix(ENCODER): tensor for name, tensor in tensors.items() if name.startswith(ENCODER)}
        return _Bfloats(encoder, config, BFLOATS[self._kernel][1])


def aligned(shape: tuple[int, ...], kind: Any) -> Array:
    """An array that begins with a line of the cache: rows of 64 bytes that cross one take twice as long to read."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    room = np.empty(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    result: Array = room[start : start + size].view(kind).reshape(shape)
    return result


def _groups(lengths: Sequence[int]) -> list[slice]:
    """Neighbours of at most GROUP_TOKENS tokens together; a longer one is alone."""
    groups, start, total = [], 0, 0
    for i, length in enumerate(lengths):
        if i > start and total + length > GROUP_TOKENS:
            groups.append(slice(start, i))
            start, total = i, 0
        total += length
    return [*groups, slice(start, len(lengths))] if lengths else []


def _checked(path: Path) -> Graph:
    try:
        graph = read_graph(path)
    except ValueError as error:
        raise UnsuitedError(str(error)) from None
    kinds = tuple(node.kind for node in graph.nodes)
    layers = (len(kinds) - len(FIRST) - 2) // len(LAYER)
    if kinds != (*FIRST, *LAYER * layers, "LayerNormalization", "Identity"):
        raise UnsuitedError(f"{path} is not a graph as the kernels know it")
    return graph


class _Numbers:
    """The numbers of a network as the kernels take them, and the arrays that they lie in."""

    strip: int
    """Outputs of a strip of the weights."""

    def __init__(self) -> None:
        self._kept: list[Array] = []

    def _model(
        self,
        words: Array,
        places: Array,
        last: _Norm,
        layers: Iterable[_Layer],
        *,
        inner: int,
        heads: int,
        epsilon: float,
    ) -> None:
        width = words.shape[1]
        if width != heads * HEAD or width % self.strip or inner % self.strip:
            raise UnsuitedError(f"width {width} with {heads} heads, {inner} within: the kernels know heads of {HEAD}")
        # Only now: weights of another width can't be cut into strips.
        made = tuple(layers)
        self._layers = (_Layer * len(made))(*made)
        self.model = _Model(
            self._at(words, np.float16), self._at(places), last, ctypes.addressof(self._layers),
            len(made), width, inner, heads, epsilon,
        )  # fmt: skip
        self._words, self._places = len(words), len(places)

    def check(self, ids: Array, longest: int) -> None:
        """Raises IndexError for what would read beyond the tables."""
        if longest > self._places or ids.min() < 0 or ids.max() >= self._words:
            raise IndexError(f"ids {ids.min()} to {ids.max()} of {self._words}, {longest} of {self._places} tokens")

    def _strips(self, weight: Array, kind: Any) -> int:
        """Where the weights of a product (inputs, outputs) lie: in strips, with four bytes of inputs side by side."""
        inputs, outputs = weight.shape
        four = 4 // np.dtype(kind).itemsize
        strips = weight.reshape(inputs // four, four, outputs // self.strip, self.strip)
        return self._at(strips.transpose(2, 0, 3, 1), kind)

    def _at(self, array: Array, kind: Any = np.float32) -> int:
        """Where a copy of an array lies, which is kept for as long as this is: the file may be written over."""
        self._kept.append(aligned(array.shape, kind))
        self._kept[-1][...] = array
        return self._kept[-1].ctypes.data


class _EightBits(_Numbers):
    """Those of a graph as training.graph writes it."""

    def __init__(self, graph: Graph, strip: int) -> None:
        super().__init__()
        self._constants, self.strip = graph.constants, strip
        body = graph.nodes[len(FIRST) : -1]
        parts = [body[i : i + len(LAYER)] for i in range(0, len(body) - 1, len(LAYER))]
        words, places = (self._constants[graph.nodes[i].inputs[0]] for i in (0, 2))
        branch = parts[0][4].attributes["then_branch"].nodes[0]
        self._model(
            words, places, self._norm(body[-1]), map(self._layer, parts),
            inner=self._constants[parts[0][11].inputs[1]].shape[1],
            heads=branch.attributes["num_heads"], epsilon=body[0].attributes["epsilon"],
        )  # fmt: skip
        # The kernels have copies of all of them.
        del self._constants

    def _layer(self, nodes: Sequence[Node]) -> _Layer:
        attention, output, inner, outer = (nodes[i] for i in (2, 6, 11, 15))
        seen_step, seen_zero = self._eight_bits(output)
        outer_step, inner_zero = self._eight_bits(outer)
        # Queries are divided by the root of the width of a head once and for all.
        width = self._constants[output.inputs[1]].shape[1]
        share = np.repeat(np.asarray([HEAD**-0.5, 1], np.float32), [width, 2 * width])
        return _Layer(
            (_Norm * 2)(self._rounded(nodes[0], attention), self._rounded(nodes[9], inner)),
            (_Norm * 2)(self._norm(nodes[7]), self._norm(nodes[16])),
            self._product(attention, share), self._product(output), self._product(inner), self._product(outer),
            self._at(self._constants[nodes[13].inputs[1]] / outer_step), 1 / seen_step, seen_zero, inner_zero,
        )  # fmt: skip

    def _product(self, node: Node, share: Array | None = None) -> _Product:
        weight, step, scale, zero, bias = (self._constants[node.inputs[i]] for i in (1, 2, 3, 4, 6))
        start = -int(zero[0]) * weight.sum(axis=0, dtype=np.int32)
        factor = np.float32(1) if share is None else share
        return _Product(
            self._strips(weight, np.int8), self._at(start, np.int32), self._at(scale * step * factor),
            self._at(bias * factor), *weight.shape,
        )  # fmt: skip

    def _rounded(self, norm: Node, product: Node) -> _Norm:
        """A norm whose results are numbers of steps above the smallest."""
        weight, bias = (self._constants[name] for name in norm.inputs[1:])
        step, zero = self._eight_bits(product)
        return _Norm(self._at(weight / step), self._at(bias / step + zero))

    def _eight_bits(self, product: Node) -> tuple[float, float]:
        """Step and zero of the 8 bits that go into a product."""
        step, zero = (self._constants[product.inputs[i]] for i in (2, 4))
        return float(step[0]), float(zero[0])

    def _norm(self, node: Node) -> _Norm:
        return _Norm(*(self._at(self._constants[name]) for name in node.inputs[1:]))


class _Bfloats(_Numbers):
    """Those of the float weights of a BERT, by name, in bfloat16 where they go into products."""

    def __init__(self, tensors: Mapping[str, Array], config: Mapping[str, Any], strip: int) -> None:
        super().__init__()
        self._tensors, self.strip = tensors, strip
        self._inner = tensors["encoder.layer.0.intermediate.dense.weight"].shape[0]
        self._ones = self._at(np.ones(self._inner))
        places, kinds = (tensors[f"embeddings.{name}_embeddings.weight"] for name in ("position", "token_type"))
        norms = ["embeddings.LayerNorm"]
        for layer in range(config["num_hidden_layers"]):
            norms += [f"encoder.layer.{layer}.{part}.LayerNorm" for part in ("attention.output", "output")]
        self._norms = [_Norm(self._at(tensors[f"{n}.weight"]), self._at(tensors[f"{n}.bias"])) for n in norms]
        self._model(
            tensors["embeddings.word_embeddings.weight"], places.astype(np.float32) + kinds[0], self._norms[-1],
            map(self._layer, range(config["num_hidden_layers"])),
            inner=self._inner, heads=config["num_attention_heads"], epsilon=config["layer_norm_eps"],
        )  # fmt: skip
        # The kernels have copies of all of them.
        del self._tensors

    def _layer(self, number: int) -> _Layer:
        before, after = self._norms[2 * number : 2 * number + 2]
        dense = (f"encoder.layer.{number}.{name}.dense" for name in ("attention.output", "intermediate", "output"))
        asked = [f"encoder.layer.{number}.attention.self.{name}" for name in ("query", "key", "value")]
        # Nothing is divided into steps: numbers go into products as they are.
        return _Layer(
            (_Norm * 2)(before, after), (_Norm * 2)(before, after),
            self._product(asked, HEAD**-0.5), *(self._product([name]) for name in dense),
            self._ones, 1, 0, 0,
        )  # fmt: skip

    def _product(self, names: Sequence[str], first: float = 1) -> _Product:
        """Products with the same inputs as one. first: by which the outputs of the first of them are multiplied."""
        weights = [self._tensors[f"{name}.weight"].T.astype(np.float32) for name in names]
        weight = np.concatenate(weights, axis=1)
        factor = np.ones(weight.shape[1], np.float32)
        factor[: weights[0].shape[1]] = first
        bias = np.concatenate([self._tensors[f"{name}.bias"] for name in names]).astype(np.float32)
        return _Product(
            self._strips(bfloat(weight), np.uint16), self._at(np.zeros(len(bias)), np.int32), self._at(factor),
            self._at(bias * factor), *weight.shape,
        )  # fmt: skip


def bfloat(x: Array) -> Array:
    """Floats rounded to the nearest bfloat16, of two the even one: their upper half, as whole numbers of 16 bits."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
