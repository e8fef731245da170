"""Rounds the weights of a product to 8 bits so that its results change least, not the weights themselves.

Each input's weights are rounded in turn, and what that changes is taken back by the inputs that are still to come, as
far as they go together on real activations (Frantar et al. 2022, GPTQ).

Processors without an instruction for 8-bit products (x86 before VNNI) add two neighbouring products in 16 bits and
cut off what doesn't fit. Weights are rounded so that it fits, for inputs as large as they were seen.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky

Floats = NDArray[np.float32]

# Added to the diagonal, as a share of its mean: few rows of activations say nothing of rare directions.
DAMPING = 0.01
# Shares of an output's largest weight that 127 may stand for.
SCALES = (1.3, 1.15, 1.0, 0.9, 0.8)
# Of two neighbouring products of one sign, added.
PAIR = 2**15 - 1


def numbers(x: Floats, low: float, high: float) -> NDArray[np.float64]:
    """What stands for x in 8 bits without sign, 0 to 255, when they stretch from low (at most 0) to high."""
    step = (high - low) / 255
    result: NDArray[np.float64] = np.clip(np.rint(x / step) + np.rint(-low / step), 0, 255)
    return result


def held(x: Floats, low: float, high: float) -> Floats:
    """What 8 bits keep of x, see numbers."""
    above_zero = numbers(x, low, high) - numbers(np.zeros(1, dtype=np.float32), low, high)
    result: Floats = (above_zero * (high - low) / 255).astype(np.float32)
    return result


def rounded(weight: Floats, inputs: Floats, tops: NDArray[np.float64]) -> tuple[NDArray[np.int8], Floats]:
    """Weights (inputs, outputs) in 8 bits and the scale of each output, for inputs (rows, inputs) as they are held.

    tops: the largest of the numbers that stand for each input, 0 to 255 (inputs,).
    """
    count = len(weight)
    gram = (inputs.T @ inputs).astype(np.float64)
    gram[np.diag_indices(count)] += DAMPING * np.diag(gram).mean() + 1e-12
    scale = _scales(weight.astype(np.float64), np.diag(gram)[:, None], tops[:, None])
    order = np.argsort(-np.diag(gram))
    gram = gram[order][:, order]
    rest = weight[order].astype(np.float64)
    spread = cholesky(np.linalg.inv(gram), lower=False)
    small = np.zeros(rest.shape, dtype=np.int8)
    places = np.argsort(order)
    for i, other in enumerate(places[_neighbours(count)[order]]):
        beside = small[other].astype(np.float64) if other < i else rest[other] / scale
        small[i] = _fitting(rest[i] / scale, beside, tops[order[i]], tops[order[other]], settled=bool(other < i))
        error = (rest[i] - small[i] * scale) / spread[i, i]
        rest[i + 1 :] -= np.outer(spread[i, i + 1 :], error)
    result = np.empty_like(small)
    result[order] = small
    return result, scale.astype(np.float32)


def _fitting(weight: Any, beside: Any, top: Any, top_beside: Any, *, settled: bool) -> NDArray[np.float64]:
    """Weights in steps, rounded, so that with their neighbours' products theirs fit, for inputs up to the tops.

    settled: whether the neighbours are fixed; else both of a pair give way by their shares.
    """
    size, other = np.abs(weight), np.abs(beside)
    both = np.maximum(top * size + top_beside * other, PAIR)
    most = (PAIR - top_beside * other) / np.maximum(top, 1) if settled else size * PAIR / both
    room = np.where(weight * beside > 0, np.clip(np.floor(most), 0, 127), 127)
    return np.asarray(np.clip(np.rint(weight), -room, room))


def _scales(weight: NDArray[np.float64], importance: NDArray[np.float64], tops: Any) -> NDArray[np.float64]:
    """The scale of each output, of SCALES, with the least weighted error.

    weight (inputs, outputs), importance and tops (inputs, 1).
    """
    full = np.maximum(np.abs(weight).max(axis=0), 1e-9) / 127
    neighbours = _neighbours(len(weight))
    tried = [full * share for share in SCALES]
    kept = (_fitting(weight / s, weight[neighbours] / s, tops, tops[neighbours], settled=False) * s for s in tried)
    errors = [(importance * (k - weight) ** 2).sum(axis=0) for k in kept]
    chosen: NDArray[np.float64] = np.choose(np.argmin(errors, axis=0), tried)
    return chosen


def _neighbours(count: int) -> NDArray[np.intp]:
    """The other one of each pair; the last of an odd number is its own."""
    return np.asarray(np.minimum(np.arange(count) ^ 1, count - 1))
