"""Makes a bundle out of a trained network: exports it, fits what stands behind the encoder, evaluates, writes.

    python -m training.build --run DIR --data DIR --out BUNDLE --version 0.1.0

--run is a folder written by training.finetune; --data holds sentiment/, conduct/ and loyalty/ as docs/training.md says.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from safetensors.torch import save_file as save_torch
from tokenizers import Tokenizer

from model.segment import tokenize
from training import loyalty
from training.export import export
from training.fit import Source, fit_and_seal, log, special_tokens, uncalibrated
from training.network import Network

WINDOW = 126
HEADS = ("sentiment", "target", "cue_token", "cue_context", "document")


def heads_of(network: Network) -> dict[str, NDArray[Any]]:
    """Weights and biases of the heads as arrays, before calibration."""
    state = network.state_dict()
    return uncalibrated({k: v.float().numpy() for k, v in state.items() if k.split(".")[0] in HEADS})


def calibration_windows(tokenizer: Tokenizer, path: Path) -> list[NDArray[np.int64]]:
    """Windows of 300 texts, whose labels are not looked at, to measure the size of activations on."""
    texts = tokenize([r["text"] for r in loyalty.sample(path, 300)], tokenizer, WINDOW)
    return [t.ids[a:b] for t in texts for a, b in t.windows]


def build(run: Path, data: Path, out: Path, version: str, *, limit: int, threads: int = 1) -> dict[str, Any]:
    """Writes the bundle to `out` and returns its figures."""
    out.mkdir(parents=True, exist_ok=True)
    record = json.loads((run / "record.json").read_text())
    network = Network(str(run))
    network.load_state_dict(load_file(run / "network.safetensors"))
    network.eval()
    for name in ("tokenizer.json", "config.json"):
        shutil.copy(run / name, out / name)
    # Half precision halves the file; the rounding is far below what 8 bits cost.
    save_torch({k: v.half().contiguous() for k, v in network.state_dict().items()}, out / "weights.safetensors")
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    special = special_tokens(tokenizer)
    log("exporting")
    windows = calibration_windows(tokenizer, data / "sentiment/train.parquet")
    export(network, windows, (special["cls"], special["sep"], special["pad"]), out)
    arrays = heads_of(network)
    del network
    remembered = run / "loyalty_examples.json"
    return fit_and_seal(out, arrays, Source(record, data, version, WINDOW, limit, remembered, threads))


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, type=Path)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--version", required=True)
    parser.add_argument("--limit", type=int, default=6000, help="texts of each large loyalty source")
    parser.add_argument("--threads", type=int, default=1, help="at most the cores that are idle")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    figures = build(a.run, a.data, a.out, a.version, limit=a.limit, threads=a.threads)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
