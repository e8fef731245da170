"""Fits and measures a bundle again without training its network: temperatures, thresholds, the loyalty head, figures.

    python -m training.refit --bundle model/released --data DIR --out NEW --version 0.4.0 [--new-graphs]

--data is as for training.build. --new-graphs makes the 8-bit graph anew from the float weights; without it the graphs
are copied, byte for byte. Needed whenever what stands before the heads changes: graph, windows, tokenizer.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch
from tokenizers import Tokenizer

from model.bundle import manifest
from training.build import WINDOW, calibration_windows
from training.export import export
from training.fit import Source, fit_and_seal, log
from training.network import Network

KEPT = ("config.json", "tokenizer.json", "weights.safetensors")
GRAPHS = ("encoder.onnx", "exact.onnx")


def network_of(bundle: Path) -> Network:
    """The float network of a bundle folder."""
    network = Network(str(bundle))
    network.load_state_dict({k: v.float() for k, v in load_torch(bundle / "weights.safetensors").items()})
    return network.eval()


def refit(
    bundle: Path, data: Path, out: Path, version: str, *, limit: int, new_graphs: bool, threads: int = 1
) -> dict[str, Any]:
    """Writes the new bundle to `out`, another folder, and returns its figures.

    Raises ValueError for a bundle that was retrained: it does not say what its training left out.
    """
    record = json.loads((bundle / "training.json").read_text(encoding="utf-8"))
    if "held_out" not in record:
        raise ValueError(f"{bundle} was not written by training.build: its training.json names no held_out documents")
    out.mkdir(parents=True, exist_ok=True)
    for name in (*KEPT, *(() if new_graphs else GRAPHS)):
        shutil.copy(bundle / name, out / name)
    if new_graphs:
        log("exporting")
        tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
        special = manifest(bundle)["special"]
        windows = calibration_windows(tokenizer, data / "sentiment/train.parquet")
        export(network_of(bundle), windows, (special["cls"], special["sep"], special["pad"]), out)
    arrays = load_file(bundle / "heads.safetensors")
    remembered = out.with_name(f"{out.name}-loyalty-examples.json")
    return fit_and_seal(out, arrays, Source(record, data, version, WINDOW, limit, remembered, threads))


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, type=Path)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--version", required=True, help="of the new bundle")
    parser.add_argument("--limit", type=int, default=6000, help="texts of each large loyalty source")
    parser.add_argument("--new-graphs", action="store_true")
    parser.add_argument("--threads", type=int, default=1, help="at most the cores that are idle")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    print(
        json.dumps(
            refit(a.bundle, a.data, a.out, a.version, limit=a.limit, new_graphs=a.new_graphs, threads=a.threads),
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
