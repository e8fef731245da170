"""Turns windows of token ids into token states. The engines and, in tests, a hand-written fake share one protocol."""

import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model.segment import TokenizedText

States = NDArray[np.float32]

# A batch that leaves the cache is slower than several small ones; measured on comments of 25 tokens.
BATCH_TOKENS = 512
BATCH_WINDOWS = 8
# Padding costs as much as words: windows longer than this times the shortest one begin a batch of their own. Eight
# close calls of any length cost a fifth less in floats; comments in hundreds hardly ever meet such a window.
BATCH_SPREAD = 1.25
# What the encoder's tensors are called in weights.safetensors.
ENCODER = "encoder."


class Encoder(Protocol):
    """Anything that gives a state for each token."""

    def encode(self, windows: Sequence[NDArray[np.int64]]) -> list[States]:
        """Windows of token ids without special tokens, (n_tokens,) each -> states, (n_tokens, width) each."""
        ...


class OnnxEncoder:
    """ONNX Runtime on the CPU: a graph of a bundle.

    special: ids of the class, separator and padding token. threads: of one call; keep their sum below the cores.
    weights: the bundle's safetensors file, for a graph that names its weights and doesn't hold them.
    """

    def __init__(
        self, path: Path, special: tuple[int, int, int], *, threads: int = 1, weights: Path | None = None
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads starve every other process on a small machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        # The runtime looks at them where they are: they have to stay for as long as the session.
        self._given = _given(weights) if weights else {}
        options.add_external_initializers(list(self._given), list(self._given.values()))
        # The runtime's fused sum and norm is slower on a CPU than the two of them: measured, 11 % of a pass.
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"]
        )
        if weights:
            trim()
        self._special = special

    def encode(self, windows: Sequence[NDArray[np.int64]]) -> list[States]:
        """See Encoder.encode."""
        results: list[States] = [np.empty((0, 0), dtype=np.float32)] * len(windows)
        for batch in batches([len(w) for w in windows]):
            ids, mask = pad([windows[i] for i in batch], self._special)
            (states,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
            for row, i in enumerate(batch):
                results[i] = states[row, 1 : len(windows[i]) + 1]
        return results


def _given(weights: Path) -> dict[str, Any]:
    """The encoder's tensors of a safetensors file, as the runtime takes them."""
    from onnxruntime import OrtValue
    from safetensors import safe_open

    with safe_open(str(weights), "np") as file:
        names = [name for name in file.keys() if name.startswith(ENCODER)]  # noqa: SIM118
        return {name: OrtValue.ortvalue_from_numpy(file.get_tensor(name)) for name in names}


def trim() -> None:
    """Hands back to the system what was freed as an encoder was opened: glibc keeps it, more than is in use."""
    # Elsewhere there is no such function, and no library without a name.
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)


class LaterEncoder:
    """An encoder that is opened when it is first needed. Safe to use from several threads."""

    def __init__(self, open_encoder: Callable[[], Encoder]) -> None:
        self._open = open_encoder
        self._opened: Encoder | None = None
        self._lock = Lock()

    def opened(self) -> Encoder:
        """The encoder itself, opened at the first call."""
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def encode(self, windows: Sequence[NDArray[np.int64]]) -> list[States]:
        """See Encoder.encode."""
        return self.opened().encode(windows)


def pad(
    windows: Sequence[NDArray[np.int64]], special: tuple[int, int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Windows with special tokens around them, padded to the longest, and the attention mask.

    Both have the shape (n_windows, longest + 2).
    """
    cls, sep, padding = special
    width = max(map(len, windows)) + 2
    ids = np.full((len(windows), width), padding, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, window in enumerate(windows):
        ids[row, 0] = cls
        ids[row, 1 : len(window) + 1] = window
        ids[row, len(window) + 1] = sep
        mask[row, : len(window) + 2] = 1
    return ids, mask


def batches(
    lengths: Sequence[int], tokens: int = BATCH_TOKENS, windows: int = BATCH_WINDOWS, spread: float = BATCH_SPREAD
) -> Iterator[list[int]]:
    """Indices of windows of about equal length, at most `windows` and about `tokens` padded tokens together.

    spread: the longest window of a batch relative to its shortest, special tokens counted, at most.
    """
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        wide = bool(batch) and lengths[i] + 2 > spread * (lengths[batch[0]] + 2)
        if batch and (wide or len(batch) == windows or (len(batch) + 1) * (lengths[i] + 2) > tokens):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def encode_texts(texts: Sequence[TokenizedText], encoder: Encoder) -> list[States]:
    """Token states of whole texts, (n_tokens, width) each; the windows of all texts share the batches."""
    windows = [text.ids[a:b] for text in texts for a, b in text.windows]
    states = iter(encoder.encode(windows) if windows else [])
    joined: list[States] = []
    for text in texts:
        parts = [next(states) for _ in text.windows]
        if len(parts) == 1:
            # Nearly every text is one window, which needs no copy.
            joined += parts
        else:
            joined.append(np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32))
    return joined


def means_of(states: Sequence[States], width: int) -> States:
    """Mean state of each text, (n_texts, width), from its token states; zeros for a text without tokens."""
    result = np.zeros((len(states), width), dtype=np.float32)
    for row, own in enumerate(states):
        if len(own):
            result[row] = _mean(own)
    return result


@dataclass(frozen=True)
class Sentences:
    """Mean states of the sentences of several texts, one after the other; those without tokens are left out.

    means: (n, width). places: for each of them the index of its text, of the sentence in it, and its first and
    one-past-last token there.
    """

    means: States
    places: tuple[tuple[int, int, int, int], ...]


def sentences_of(texts: Sequence[TokenizedText], states: Sequence[States], means: States) -> Sentences:
    """From the token states of texts and the means of these (n_texts, width)."""
    places = tuple((t, i, a, b) for t, text in enumerate(texts) for i, (a, b) in enumerate(text.token_spans) if b > a)
    found = np.zeros((len(places), means.shape[1]), dtype=np.float32)
    for row, (t, _, a, b) in enumerate(places):
        # Many comments are one sentence.
        found[row] = means[t] if b - a == len(states[t]) else _mean(states[t][a:b])
    return Sentences(found, places)


def _mean(states: States) -> States:
    # The method `mean` does the same and takes three times as long for a sentence.
    result: States = np.add.reduce(states, axis=0) / np.float32(len(states))
    return result
