"""Reads nodes and constants of an ONNX file that this project wrote, without the package `onnx` and without a copy.

The few fields of the format that are needed (onnx.proto) are decoded by hand: the package is ten times the size of this
project, and the runtime doesn't hand out what it has read.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

TYPES: Final = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16}
Buffer = memoryview


@dataclass(frozen=True)
class Node:
    """One operator. attributes: numbers as they are, graphs as Graph; others are left out."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Graph:
    """Nodes in their order, and constants by name: views of the file, which stays open for as long as they are used."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)


def read_graph(path: Path) -> Graph:
    """The graph of a file. Raises ValueError where it is no ONNX file, or holds what is not read here."""
    with path.open("rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        return next(_graph(part) for number, part in _fields(data) if number == 7)
    except (IndexError, KeyError, StopIteration, TypeError) as error:
        raise ValueError(f"{path} is no ONNX file that can be read here: {error!r}") from None


def _fields(data: Buffer) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a message: a whole number, or a part of the buffer."""
    at = 0
    while at < len(data):
        key, at = _number(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _number(data, at)
            yield key >> 3, value
            continue
        size, at = _number(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        yield key >> 3, data[at : at + size]
        at += size


def _number(data: Buffer, at: int) -> tuple[int, int]:
    """A whole number of 64 bits in groups of seven, the lowest first, and where the next field begins."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value - (value >> 63 << 64), at


def _graph(data: Buffer) -> Graph:
    graph = Graph()
    for number, part in _fields(data):
        if number == 1:
            graph.nodes.append(_node(part))
        elif number == 5:
            name, value = _constant(part)
            graph.constants[name] = value
    return graph


def _node(data: Buffer) -> Node:
    found: dict[int, list[Any]] = {}
    for number, part in _fields(data):
        found.setdefault(number, []).append(part)
    inputs, outputs, kind = (tuple(str(p, "utf-8") for p in found.get(n, [])) for n in (1, 2, 4))
    return Node(kind[0], inputs, outputs, dict(map(_attribute, found.get(5, []))))


def _attribute(data: Buffer) -> tuple[str, Any]:
    found = dict(_fields(data))
    name = str(found[1], "utf-8")
    if 6 in found:
        return name, _graph(found[6])
    return name, float(np.frombuffer(found[2], np.float32)[0]) if 2 in found else found.get(3)


def _constant(data: Buffer) -> tuple[str, NDArray[Any]]:
    found: dict[int, list[Any]] = {}
    for number, part in _fields(data):
        found.setdefault(number, []).append(part)
    shape = [n for part in found.get(1, []) for n in _shape(part)]
    return str(found[8][0], "utf-8"), np.frombuffer(found[9][0], TYPES[found[2][0]]).reshape(shape)


def _shape(part: Any) -> list[int]:
    """Lengths, one a field or all of them in one."""
    if isinstance(part, int):
        return [part]
    lengths, at = [], 0
    while at < len(part):
        length, at = _number(part, at)
        lengths.append(length)
    return lengths
