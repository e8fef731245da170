"""Opens a bundle: the folder that training writes and serving reads. It is the only contract between the two.

bundle.json            version, digest of every file, special token ids, window length, figures
encoder.onnx           the 8-bit graph: input_ids, attention_mask -> token states
tokenizer.json         of the base model
heads.safetensors      sentiment (of texts, towards targets), conduct and loyalty heads
exact.onnx             the same encoder in floats, which takes its weights from weights.safetensors: for close calls
weights.safetensors    float weights of encoder and heads: for exact.onnx, for a GPU and for training on
config.json            of the base model, for the latter two
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from model.conduct import ConductHead
from model.encoder import Encoder, LaterEncoder, OnnxEncoder, trim
from model.loyalty import CONDUCT_FEATURES, FULL_FEATURES, Fit, LoyaltyHead
from model.native_encoder import BfloatEncoder, NativeEncoder, UnsuitedError, bfloat_kernel
from model.sentiment import CLOSE, CLOSE_IN_BFLOAT, SentimentHead
from model.types import BundleInfo, InputError

RELEASED = Path(__file__).parent / "released"
SERVED = ("encoder.onnx", "tokenizer.json", "heads.safetensors")
EXACT = ("exact.onnx", "weights.safetensors")
EIGHT_BITS = ("cpu", "onnx")


@dataclass(frozen=True)
class Bundle:
    """An opened bundle, ready to score.

    max_tokens: tokens of a window, special ones not counted. exact: the encoder in floats or bfloat16, for a second
    look at close calls; None where the encoder is exact itself, and for bundles before 0.3. close: the gap of
    model.sentiment.is_close.
    """

    info: BundleInfo
    tokenizer: Tokenizer
    max_tokens: int
    encoder: Encoder
    sentiment: SentimentHead
    conduct: ConductHead
    loyalty: LoyaltyHead
    target: SentimentHead | None = None
    exact: Encoder | None = None
    close: float = CLOSE

    @property
    def has_targets(self) -> bool:
        """Whether it can score sentiment towards a target; bundles before 0.2 can't."""
        return self.target is not None


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def bundle_digest(digests: dict[str, str]) -> str:
    """One digest for the whole bundle, from those of its files."""
    return hashlib.sha256("\n".join(f"{n} {d}" for n, d in sorted(digests.items())).encode()).hexdigest()


def manifest(folder: Path) -> dict[str, Any]:
    """bundle.json of a folder. Raises InputError where there is none."""
    path = folder / "bundle.json"
    if not path.is_file():
        raise InputError(
            f"{folder} is not a model bundle: it has no bundle.json",
            code="no_bundle",
            field="bundle",
            got=str(folder),
            expected="a folder written by `python -m training.build`",
        )
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def load_bundle(folder: Path | None = None, *, threads: int = 1, engine: str = "cpu") -> Bundle:
    """Opens a bundle folder (None: the released one) after checking the digests of the files that serving reads.

    engine: "cpu" (8 bits, the fastest way that is here), "onnx" (8 bits, ONNX Runtime), "torch" (float, a GPU if there
    is one; needs the train extra) or "cuda" (a GPU).
    Raises InputError when the folder is no bundle, a file is missing or was changed, or there is no GPU for "cuda".
    """
    folder = folder or RELEASED
    meta = verified(folder)
    special = (meta["special"]["cls"], meta["special"]["sep"], meta["special"]["pad"])
    looks_again = engine in EIGHT_BITS and EXACT[0] in meta["files"]
    arrays = load_file(folder / "heads.safetensors")
    return Bundle(
        info=BundleInfo(meta["version"], bundle_digest(meta["files"])),
        tokenizer=Tokenizer.from_file(str(folder / "tokenizer.json")),
        max_tokens=meta["max_tokens"],
        encoder=_encoder(folder, special, threads, engine),
        sentiment=sentiment_head(arrays),
        conduct=conduct_head(arrays),
        loyalty=loyalty_head(arrays),
        target=sentiment_head(arrays, "target") if "target.weight" in arrays else None,
        exact=exact_encoder(folder, special, threads, native=engine == "cpu") if looks_again else None,
        close=close_gap(native=engine == "cpu"),
    )


def verified(folder: Path) -> dict[str, Any]:
    """bundle.json of a folder whose served files have the digests that it states.

    Raises InputError when the folder is no bundle or a file is missing or was changed.
    """
    meta = manifest(folder)
    for name in (*SERVED, *(EXACT if EXACT[0] in meta["files"] else ())):
        path = folder / name
        if not path.is_file() or file_digest(path) != meta["files"][name]:
            raise InputError(
                f"{path} is {'changed' if path.is_file() else 'missing'}",
                code="bad_bundle",
                field="bundle",
                got=file_digest(path) if path.is_file() else "no file",
                expected=meta["files"][name],
            )
    return meta


def _encoder(folder: Path, special: tuple[int, int, int], threads: int, engine: str) -> Encoder:
    if engine == "torch":
        from model.torch_encoder import TorchEncoder

        return TorchEncoder(folder, special)
    if engine == "cuda":
        from model.torch_encoder import TorchEncoder

        try:
            return TorchEncoder(folder, special, device="cuda")
        except (RuntimeError, AssertionError) as error:
            raise InputError(
                f"the GPU can't be used: {str(error).splitlines()[0][:200]}",
                code="no_gpu",
                field="device",
                got="no GPU that this build of torch can use",
                expected="the CUDA build of torch and a GPU; or the device cpu",
            ) from None
    return eight_bit_encoder(folder, special, threads, native=engine == "cpu")


def eight_bit_encoder(folder: Path, special: tuple[int, int, int], threads: int = 1, *, native: bool = True) -> Encoder:
    """The 8-bit encoder of a bundle folder: by kernels of our own where they are built, else by ONNX Runtime."""
    graph = folder / "encoder.onnx"
    if native:
        with suppress(UnsuitedError):
            return NativeEncoder(graph, special, threads=threads)
    return OnnxEncoder(graph, special, threads=threads)


def exact_encoder(
    folder: Path, special: tuple[int, int, int], threads: int = 1, *, native: bool = True
) -> LaterEncoder:
    """The encoder of a bundle folder for a second look: with AMX by kernels of our own in bfloat16, else by ONNX
    Runtime in floats. It is opened when it is first needed, which takes 0.3 seconds and 120 MB.
    """
    return LaterEncoder(lambda: _exact(folder, special, threads, native))


def close_gap(*, native: bool = True) -> float:
    """The gap below which a call is close (model.sentiment.is_close), for the encoder that exact_encoder opens."""
    return CLOSE_IN_BFLOAT if native and bfloat_kernel() else CLOSE


def _exact(folder: Path, special: tuple[int, int, int], threads: int, native: bool) -> Encoder:
    if native:
        with suppress(UnsuitedError):
            encoder = BfloatEncoder(folder, special, threads=threads)
            trim()
            return encoder
    graph, weights = (folder / name for name in EXACT)
    return OnnxEncoder(graph, special, threads=threads, weights=weights)


def sentiment_head(arrays: dict[str, NDArray[Any]], name: str = "sentiment") -> SentimentHead:
    """The head of heads.safetensors for the sentiment of a text ("sentiment") or towards a target ("target")."""
    return SentimentHead(arrays[f"{name}.weight"], arrays[f"{name}.bias"], float(arrays[f"{name}.temperature"][0]))


def conduct_head(arrays: dict[str, NDArray[Any]]) -> ConductHead:
    """The conduct head of heads.safetensors."""
    return ConductHead(
        token_weight=arrays["cue_token.weight"],
        token_bias=arrays["cue_token.bias"],
        context_weight=arrays["cue_context.weight"],
        context_bias=arrays["cue_context.bias"],
        document_weight=arrays["document.weight"],
        document_bias=arrays["document.bias"],
        thresholds=arrays["cue.thresholds"],
    )


def loyalty_head(arrays: dict[str, NDArray[Any]]) -> LoyaltyHead:
    """The loyalty head of heads.safetensors."""

    def fit(kind: str, features: tuple[str, ...]) -> Fit:
        repurchase, wom, advocate = (
            arrays[f"loyalty.{kind}.{p}"].astype(np.float64) for p in ("repurchase", "wom", "advocate")
        )
        # Bundles made before the spread was measured have none.
        spread = float(arrays.get(f"loyalty.{kind}.spread", np.zeros(1))[0])
        return Fit(features, repurchase, wom, advocate, spread)

    return LoyaltyHead(fit("full", FULL_FEATURES), fit("conduct", CONDUCT_FEATURES))
