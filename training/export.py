"""Turns a trained network into the ONNX graphs that serving runs: 8 bits, and float for a second look.

A few channels of a transformer's activations are far larger than the others and take most of the 8 bits. Their size is
moved into the weights before quantising (Xiao et al. 2022, SmoothQuant): activations are divided by a factor per
channel, and the weights that they meet are multiplied by it. Channels that lie far from zero are shifted first
(Wei et al. 2023, Outlier Suppression+). The range of the activations is measured here once, so that a text's states
don't depend on what it is read together with.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.encoder import batches, pad
from training import graph
from training.network import Network
from training.rounding import held, numbers, rounded

Floats = NDArray[np.float32]

# How much of the difficulty moves from activations to weights, by product; near the least error of single products.
ALPHAS = {"attention": 0.9, "output": 0.95, "inner": 0.9, "outer": 0.9}
# Products of a norm: a shift goes into its weights. Of the others one is of averages, one begins at zero already.
SHIFTED = ("attention", "inner")
# Rows of activations that are kept of each product: more change the rounding little and take gigabytes.
ROWS = 3000


@dataclass
class Seen:
    """Activations that came into a product: some rows (rows, inputs), and the range of each channel over all."""

    rows: list[Floats]
    low: Floats
    high: Floats

    def see(self, x: Floats, keep: int) -> None:
        """Adds activations (rows, inputs) and keeps the first `keep` of them."""
        self.rows.append(x[:keep].copy())
        self.low = np.minimum(self.low, x.min(axis=0))
        self.high = np.maximum(self.high, x.max(axis=0))


def _products(encoder: Any) -> list[dict[str, nn.Module]]:
    """A linear layer for each product of each layer; those of query, key and value share their input."""
    return [
        {
            "attention": layer.attention.self.query,
            "output": layer.attention.output.dense,
            "inner": layer.intermediate.dense,
            "outer": layer.output.dense,
        }
        for layer in encoder.encoder.layer
    ]


def activations(
    network: Network, windows: Sequence[NDArray[np.int64]], special: tuple[int, int, int]
) -> list[dict[str, Seen]]:
    """What comes into each product of each layer when the network reads these windows of token ids."""
    if not windows:
        raise ValueError("no windows to measure activations on")
    share = min(1.0, ROWS / sum(len(w) + 2 for w in windows))
    real = torch.ones(0, dtype=torch.bool)

    def watch(one: Seen) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0][real].numpy()
            mixed = x[np.random.default_rng(len(one.rows)).permutation(len(x))]
            one.see(mixed, int(np.ceil(share * len(x))))

        return hook

    products = _products(network.encoder)
    nothing = np.zeros(1, dtype=np.float32)
    seen = [{name: Seen([], nothing, nothing) for name in layer} for layer in products]
    hooks = [
        module.register_forward_pre_hook(watch(own[name]))
        for layer, own in zip(products, seen, strict=True)
        for name, module in layer.items()
    ]
    with torch.no_grad():
        for batch in batches([len(w) for w in windows]):
            ids, mask = map(torch.from_numpy, pad([windows[i] for i in batch], special))
            real = mask.bool()
            network.states(ids, mask)
    for hook in hooks:
        hook.remove()
    return seen


def encoder_of(network: Network) -> graph.Encoder:
    """The numbers of a network's encoder."""
    config = network.encoder.config
    state = {k: v.detach().float().numpy() for k, v in network.encoder.state_dict().items()}
    return graph.read_encoder(state, heads=config.num_attention_heads, epsilon=config.layer_norm_eps)


def eight_bits(encoder: graph.Encoder, seen: Sequence[dict[str, Seen]]) -> graph.Encoder:
    """The encoder with the weights of all products in 8 bits, and ranges for what comes into them."""
    return replace(encoder, layers=tuple(_layer(one, own) for one, own in zip(encoder.layers, seen, strict=True)))


def _layer(layer: graph.Layer, seen: dict[str, Seen]) -> graph.Layer:
    made = {name: _product(getattr(layer, name), own, ALPHAS[name], name in SHIFTED) for name, own in seen.items()}
    attention, output = made["attention"], made["output"]
    changed: dict[str, Any] = {**made, "attention": _values_times(attention, output.inverse), "output": _bare(output)}
    return replace(layer, **changed)


def _product(p: graph.Product, seen: Seen, alpha: float, shifted: bool) -> graph.Product:
    centre = (seen.high + seen.low) / 2 if shifted else np.zeros_like(seen.high)
    largest = np.maximum(np.maximum(seen.high - centre, centre - seen.low), 1e-5)
    factor = largest**alpha / np.maximum(np.abs(p.weight).max(axis=1), 1e-5) ** (1 - alpha)
    factor = np.clip(factor, 1e-3, 1e3).astype(np.float32)
    shift = seen.low / factor if shifted else np.zeros_like(factor)
    lowest, highest = (limit / factor - shift for limit in (seen.low, seen.high))
    low, high = float(min(lowest.min(), 0)), float(max(highest.max(), 1e-6))
    x = np.concatenate(seen.rows)
    inputs = held(x / factor - shift, low, high)
    weight = p.weight * factor[:, None]
    # A mean error is no error: the bias takes it back.
    small, scale = rounded(weight, inputs - inputs.mean(axis=0), numbers(highest, low, high))
    # What rounding adds to the results on average is taken out of the bias (Nagel et al. 2019), and so is the shift.
    bias = p.bias + (x @ p.weight - inputs @ (small * scale)).mean(axis=0)
    given = shift if shifted else None
    return graph.Product(weight, bias.astype(np.float32), 1 / factor, given, low, high, (small, scale))


def _values_times(attention: graph.Product, inverse: Floats | None) -> graph.Product:
    """Factors of the attention's results, put into the weights of the values: nothing lies between but averages."""
    if inverse is None or attention.small is None:
        return attention
    factor = np.ones_like(attention.bias)
    factor[-len(inverse) :] = inverse
    small, scale = attention.small
    return replace(
        attention, weight=attention.weight * factor, bias=attention.bias * factor, small=(small, scale * factor)
    )


def _bare(output: graph.Product) -> graph.Product:
    return replace(output, inverse=None)


def export(network: Network, windows: Sequence[NDArray[np.int64]], special: tuple[int, int, int], out: Path) -> None:
    """Measures activations on the windows, rounds the weights and writes the graphs of a bundle into its folder.

    encoder.onnx holds the 8-bit weights; exact.onnx names those of weights.safetensors (see training.graph.outline).
    """
    network.eval()
    encoder = encoder_of(network)
    onnx.save(graph.graph(eight_bits(encoder, activations(network, windows, special))), str(out / "encoder.onnx"))
    shapes = {name: tuple(value.shape) for name, value in network.encoder.state_dict().items()}
    onnx.save(graph.outline(shapes, heads=encoder.heads, epsilon=encoder.epsilon), str(out / "exact.onnx"))
