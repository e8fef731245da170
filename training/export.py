"""Turns a trained network into the 8-bit ONNX graph that serving runs.

A few channels of a transformer's activations are far larger than the others and take most of the 8 bits. Their size is
moved into the weights before quantising (Xiao et al. 2022, SmoothQuant): activations are divided by a factor per
channel, and the weights that they meet are multiplied by it.
"""

import copy
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from model.encoder import batches, pad
from training.network import Network

# How much of the difficulty moves from activations to weights; chosen by agreement with the float graph.
ALPHA = 0.85


class _States(nn.Module):
    """The encoder with plain tensors in and out, as the exporter wants it."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return hidden


class _Smoothed(nn.Module):
    """A linear layer whose input is divided by a factor per channel that its weights were multiplied by."""

    def __init__(self, linear: nn.Linear, inverse: nn.Parameter) -> None:
        super().__init__()
        self.linear = linear
        self.inverse = inverse

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear(x * self.inverse)
        return result


def _shared_inputs(encoder: Any) -> Iterator[list[tuple[nn.Module, str]]]:
    """Linear layers of a BERT-type encoder, grouped by the activation that they share."""
    for layer in encoder.encoder.layer:
        attention = layer.attention.self
        yield [(attention, "query"), (attention, "key"), (attention, "value")]
        yield [(layer.intermediate, "dense")]
        yield [(layer.output, "dense")]


def smoothed(
    network: Network, windows: Sequence[NDArray[np.int64]], special: tuple[int, int, int], alpha: float = ALPHA
) -> Network:
    """A copy that computes the same with activations that 8 bits suit; `windows` of token ids show their size."""
    network = copy.deepcopy(network).eval()
    groups = list(_shared_inputs(network.encoder))
    largest: list[Tensor | None] = [None] * len(groups)

    def watch(i: int) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen = inputs[0].abs().flatten(0, -2).amax(dim=0)
            before = largest[i]
            largest[i] = seen if before is None else torch.maximum(before, seen)

        return hook

    hooks = [getattr(*group[0]).register_forward_pre_hook(watch(i)) for i, group in enumerate(groups)]
    with torch.no_grad():
        for batch in batches([len(w) for w in windows]):
            ids, mask = pad([windows[i] for i in batch], special)
            network.states(torch.from_numpy(ids), torch.from_numpy(mask))
    for hook in hooks:
        hook.remove()
    for group, seen in zip(groups, largest, strict=True):
        if seen is None:
            raise ValueError("no windows to measure activations on")
        weights = torch.stack([getattr(*part).weight.detach().abs().amax(dim=0) for part in group]).amax(dim=0)
        factor = (seen.clamp(min=1e-5) ** alpha / weights.clamp(min=1e-5) ** (1 - alpha)).clamp(1e-3, 1e3)
        inverse = nn.Parameter(1 / factor, requires_grad=False)
        for module, name in group:
            linear = getattr(module, name)
            linear.weight.data *= factor
            setattr(module, name, _Smoothed(linear, inverse))
    return network


def export_float(network: Network, path: Path) -> None:
    """Writes the encoder as a float graph: ids and mask (batch, tokens) -> states (batch, tokens, width)."""
    ids = torch.randint(1000, 2000, (2, 9))
    shape = {0: torch.export.Dim("batch", max=4096), 1: torch.export.Dim("tokens", max=512)}
    torch.onnx.export(
        _States(network.encoder).eval(),
        (ids, torch.ones_like(ids)),
        str(path),
        dynamo=True,
        input_names=["input_ids", "attention_mask"],
        output_names=["states"],
        dynamic_shapes={"input_ids": shape, "attention_mask": shape},
        external_data=False,
        verbose=False,
    )


def quantize(source: Path, target: Path) -> None:
    """Writes the 8-bit graph: weights per channel, activations with a scale found at run time, embeddings in 16 bit."""
    graph = onnx.load(str(source))
    # Shapes noted by the exporter contradict the rewritten nodes and make the quantiser fail.
    del graph.graph.value_info[:]
    with tempfile.TemporaryDirectory() as folder:
        stripped = Path(folder) / "stripped.onnx"
        onnx.save(graph, str(stripped))
        quantize_dynamic(
            stripped, target, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"]
        )
    small = onnx.load(str(target))
    _halve_embeddings(small.graph)
    _forget_origin(small)
    onnx.save(small, str(target))


def _forget_origin(model: Any) -> None:
    """Takes out the exporter's notes: stack traces with the folders of the machine that exported."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""


def _halve_embeddings(graph: Any) -> None:
    """Stores embedding tables in 16 bit and turns what is looked up back into float: 8 bits cost agreement here."""
    tables = {i.name: i for i in graph.initializer if i.data_type == TensorProto.FLOAT and len(i.dims) == 2}
    for at, node in reversed(list(enumerate(graph.node))):
        if node.op_type != "Gather" or node.input[0] not in tables:
            continue
        table = tables[node.input[0]]
        if table.data_type == TensorProto.FLOAT:
            half = numpy_helper.to_array(table).astype(np.float16)
            table.CopyFrom(numpy_helper.from_array(half, table.name))
        name = node.output[0]
        node.output[0] = f"{name}_half"
        graph.node.insert(at + 1, helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))


def export(network: Network, windows: Sequence[NDArray[np.int64]], special: tuple[int, int, int], target: Path) -> None:
    """Smooths, exports and quantises; only the 8-bit graph is kept, at target."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "float.onnx"
        export_float(smoothed(network, windows, special), plain)
        quantize(plain, target)
