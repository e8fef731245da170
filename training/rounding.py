"""Rounds the weights of a product to 8 bits so that its results change least, not the weights themselves.

Each input's weights are rounded in turn, and what that changes is taken back by the inputs that are still to come, as
far as they go together on real activations (Frantar et al. 2022, GPTQ).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky

Floats = NDArray[np.float32]

# Added to the diagonal, as a share of its mean: few rows of activations say nothing of rare directions.
DAMPING = 0.01
# Shares of a column's largest weight that 127 may stand for.
SCALES = (1.0, 0.9, 0.8)


def held(x: Floats, low: float, high: float) -> Floats:
    """What 8 bits without sign keep of x when they stretch from low (at most 0) to high."""
    step = (high - low) / 255
    zero = np.clip(np.rint(-low / step), 0, 255)
    result: Floats = ((np.clip(np.rint(x / step) + zero, 0, 255) - zero) * step).astype(np.float32)
    return result


def rounded(weight: Floats, inputs: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Weights (inputs, outputs) in 8 bits and the scale of each output, for inputs (rows, inputs) as they are held."""
    count = len(weight)
    gram = (inputs.T @ inputs).astype(np.float64)
    gram[np.diag_indices(count)] += DAMPING * np.diag(gram).mean() + 1e-12
    order = np.argsort(-np.diag(gram))
    gram = gram[order][:, order]
    rest = weight[order].astype(np.float64)
    scale = _scales(rest, np.diag(gram)[:, None])
    spread = cholesky(np.linalg.inv(gram), lower=False)
    small = np.zeros(rest.shape, dtype=np.int8)
    for i in range(count):
        small[i] = _nearest(rest[i], scale)
        error = (rest[i] - small[i] * scale) / spread[i, i]
        rest[i + 1 :] -= np.outer(spread[i, i + 1 :], error)
    result = np.empty_like(small)
    result[order] = small
    return result, scale.astype(np.float32)


def _nearest(weight: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.clip(np.rint(weight / scale), -127, 127)
    return result


def _scales(weight: NDArray[np.float64], importance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The scale of each output, of SCALES, with the least weighted error. importance (inputs, 1)."""
    full = np.maximum(np.abs(weight).max(axis=0), 1e-9) / 127
    tried = [full * share for share in SCALES]
    errors = [(importance * (_nearest(weight, s) * s - weight) ** 2).sum(axis=0) for s in tried]
    chosen: NDArray[np.float64] = np.choose(np.argmin(errors, axis=0), tried)
    return chosen
