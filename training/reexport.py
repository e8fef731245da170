"""Makes a bundle's graphs anew from its float weights, without training, and measures again what depends on it.

    python -m training.reexport --bundle model/released --data DIR --out NEW [--version 0.3.0]

The temperatures are fitted again; thresholds of the conduct head and the loyalty head stay, and so do their figures of
loyalty, which figures.json then dates by the graph that they were measured with (`loyalty_graph`).
"""

import argparse
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch

from model.bundle import Bundle, bundle_digest, file_digest, load_bundle, manifest, sentiment_head
from model.scorer import Scorer
from model.torch_encoder import TorchEncoder
from training import evaluate, loyalty
from training.build import calibration_windows, fit_target_temperature, fit_temperature, log
from training.export import export
from training.network import Network

KEPT = ("config.json", "tokenizer.json", "training.json", "weights.safetensors", "heads.safetensors", "figures.json")
GRAPHS = ("encoder.onnx", "exact.onnx")


def network_of(bundle: Path) -> Network:
    """The float network of a bundle folder."""
    network = Network(str(bundle))
    network.load_state_dict({k: v.float() for k, v in load_torch(bundle / "weights.safetensors").items()})
    return network.eval()


def reexport(bundle: Path, data: Path, out: Path, version: str | None = None) -> dict[str, Any]:
    """Writes the new bundle to `out`, another folder, and returns its figures. version: None keeps the old one."""
    meta = manifest(bundle)
    old = meta["files"]["encoder.onnx"]
    meta |= {"version": version or meta["version"]}
    out.mkdir(parents=True, exist_ok=True)
    for name in (*KEPT, *(n for n in meta["files"] if (bundle / n).is_file() and n not in (*KEPT, *GRAPHS))):
        shutil.copy(bundle / name, out / name)
    special = (meta["special"]["cls"], meta["special"]["sep"], meta["special"]["pad"])
    log("exporting")
    windows = calibration_windows(load_bundle(bundle).tokenizer, data / "sentiment/train.parquet")
    export(network_of(bundle), windows, special, out)
    _seal(out, meta)
    log("fitting temperatures")
    _fit(out, data)
    _seal(out, meta)
    log("evaluating")
    figures: dict[str, Any] = json.loads((out / "figures.json").read_text(encoding="utf-8"))
    figures |= _figures(load_bundle(out), data, TorchEncoder(out, special, device="cpu"))
    figures.setdefault("loyalty_graph", old)
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    _seal(out, meta)
    return figures


def _fit(out: Path, data: Path) -> None:
    arrays = load_file(out / "heads.safetensors")
    bundle = load_bundle(out)
    plain = replace(bundle, sentiment=replace(bundle.sentiment, temperature=1.0))
    arrays["sentiment.temperature"] = np.asarray(
        [fit_temperature(plain, str(data / "sentiment/dev.parquet"))], dtype=np.float32
    )
    if "target.weight" in arrays:
        fitted = fit_target_temperature(
            replace(plain, target=sentiment_head(arrays, "target")), data / "sentiment/targets_validation.parquet"
        )
        arrays["target.temperature"] = np.asarray([fitted], dtype=np.float32)
    save_file(arrays, out / "heads.safetensors")


def _figures(bundle: Bundle, data: Path, floats: TorchEncoder) -> dict[str, Any]:
    scorer, folder = Scorer(bundle), data / "sentiment"
    texts = [r["text"] for r in loyalty.sample(folder / "dev.parquet", 2000)]
    sentiment = {
        name: evaluate.sentiment_figures(scorer, str(folder / f"{name}.parquet"), by_source=name == "dev")
        for name in ("tweeteval_test", "sst3_test", "dev")
    }
    if bundle.has_targets:
        sentiment["targets_validation"] = evaluate.sentiment_figures(
            scorer, str(folder / "targets_validation.parquet"), by_source=True, target_column="target"
        )
    return {
        "sentiment": sentiment,
        "conduct": evaluate.conduct_figures(scorer, data / "conduct/validation.jsonl"),
        "agreement": evaluate.agreement(scorer, floats, texts),
    }


def _seal(out: Path, meta: dict[str, Any]) -> None:
    """bundle.json with the digests of the files as they are now."""
    files = {p.name: file_digest(p) for p in sorted(out.iterdir()) if p.is_file() and p.name != "bundle.json"}
    sealed = meta | {"created": time.strftime("%Y-%m-%d"), "files": files, "digest": bundle_digest(files)}
    (out / "bundle.json").write_text(json.dumps(sealed, indent=1) + "\n")


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, type=Path)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--version", help="of the new bundle; the old one's where it is not given")
    a = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(reexport(a.bundle, a.data, a.out, a.version)["agreement"], indent=1))


if __name__ == "__main__":
    main()
