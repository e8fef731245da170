"""The float encoder in PyTorch: for a GPU, and the reference that the 8-bit graph is compared with.

Needs the `train` extra; nothing else in model/ imports this module at the top.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel

from model.encoder import States, batches, pad


class TorchEncoder:
    """The encoder of a bundle folder on a device ("cpu", "cuda"); bfloat16 on a GPU, float32 on a CPU."""

    def __init__(self, folder: Path, special: tuple[int, int, int], *, device: str | None = None) -> None:
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._special = special
        model = AutoModel.from_config(AutoConfig.from_pretrained(folder), add_pooling_layer=False)
        weights = load_file(folder / "weights.safetensors")
        encoder = {k.removeprefix("encoder."): v.float() for k, v in weights.items() if k.startswith("encoder.")}
        model.load_state_dict(encoder, strict=False)
        dtype = torch.float32 if self._device == "cpu" else torch.bfloat16
        self._model = model.to(self._device, dtype).eval()

    @torch.inference_mode()
    def encode(self, windows: Sequence[NDArray[np.int64]]) -> list[States]:
        """See Encoder.encode."""
        large = self._device != "cpu"
        results: list[States] = [np.empty((0, 0), dtype=np.float32)] * len(windows)
        lengths = [len(w) for w in windows]
        for batch in batches(lengths, 65536, 1024, math.inf) if large else batches(lengths):
            ids, mask = (torch.from_numpy(a).to(self._device) for a in pad([windows[i] for i in batch], self._special))
            states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float().cpu().numpy()
            for row, i in enumerate(batch):
                results[i] = states[row, 1 : lengths[i] + 1]
        return results


def gpu_name() -> str | None:
    """What the GPU calls itself; None where there is none that this build of torch can use."""
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
