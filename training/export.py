"""Turns a trained network into the 8-bit ONNX graph that serving runs."""

import tempfile
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from training.network import Network


class _States(nn.Module):
    """The encoder with plain tensors in and out, as the exporter wants it."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return hidden


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
    """Writes the 8-bit graph: weights per channel, activations with a scale found at run time, embeddings in 8 bit."""
    graph = onnx.load(str(source))
    # Shapes noted by the exporter contradict the rewritten nodes and make the quantiser fail.
    del graph.graph.value_info[:]
    with tempfile.TemporaryDirectory() as folder:
        stripped = Path(folder) / "stripped.onnx"
        onnx.save(graph, str(stripped))
        quantize_dynamic(
            stripped, target, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gather"]
        )


def export(network: Network, target: Path) -> None:
    """Float graph, then 8-bit graph at target; only the second is kept."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "float.onnx"
        export_float(network, plain)
        quantize(plain, target)
