"""Writes a bundle that is a champion with other heads; encoder, tokenizer and the rest stay the same."""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from model.bundle import bundle_digest, file_digest, load_bundle, manifest
from model.drift import FILE as REFERENCE
from model.drift import load_reference, served_digest
from model.loyalty import LoyaltyHead

Arrays = Mapping[str, NDArray[Any]]
COPIED = ("tokenizer.json", "config.json", "encoder.onnx", "exact.onnx")


def loyalty_arrays(head: LoyaltyHead) -> dict[str, NDArray[np.float32]]:
    """Both fits as heads.safetensors holds them."""
    arrays = {}
    for side, fit in (("full", head.full), ("conduct", head.conduct)):
        for part in ("repurchase", "wom", "advocate"):
            arrays[f"loyalty.{side}.{part}"] = getattr(fit, part).astype(np.float32)
        arrays[f"loyalty.{side}.spread"] = np.asarray([fit.spread], dtype=np.float32)
    return arrays


def rewritten(
    champion: Path,
    out: Path,
    heads: Arrays,
    record: Mapping[str, Any],
    figures: Mapping[str, Any],
    weights: Arrays | None = None,
) -> Path:
    """Writes the bundle `out`, whole or not at all, and returns it.

    heads: arrays of heads.safetensors that are others than the champion's. weights: the same for weights.safetensors,
    where the champion has one. record: goes into training.json, in front of the champion's own. figures: by task; they
    replace the champion's, which are of heads that are no more.
    """
    fresh = out.with_name(f"{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name in COPIED:
        if (champion / name).is_file():
            shutil.copy(champion / name, fresh / name)
    for name, changed in (("heads.safetensors", heads), ("weights.safetensors", weights or {})):
        if (champion / name).is_file():
            _replace(champion / name, fresh / name, changed)
    _write(fresh / "figures.json", _json(champion / "figures.json") | dict(figures))
    _write(fresh / "training.json", {"retrain": record, "start": _json(champion / "training.json") or None})
    files = _manifest(champion, fresh)
    reference = load_reference(champion)
    if reference is not None:
        # The texts are the same and are read as before; only heads that it does not speak of have changed.
        text = replace(reference, digest=served_digest(files)).to_json()
        (fresh / REFERENCE).write_text(text, encoding="utf-8")
    load_bundle(fresh)
    shutil.rmtree(out, ignore_errors=True)
    fresh.rename(out)
    return out


def _replace(source: Path, target: Path, changed: Arrays) -> None:
    if not changed:
        shutil.copy(source, target)
        return
    arrays = load_file(source)
    for name, value in changed.items():
        arrays[name] = np.ascontiguousarray(value.astype(arrays[name].dtype if name in arrays else np.float32))
    save_file(arrays, target)


def _manifest(champion: Path, out: Path) -> dict[str, str]:
    """Writes bundle.json and returns the digests of the files."""
    meta = manifest(champion)
    files = {p.name: file_digest(p) for p in sorted(out.iterdir())}
    digest = bundle_digest(files)
    version = f"{meta['version'].split('+')[0]}+{digest[:8]}"
    parent = bundle_digest(meta["files"])
    changed = {"version": version, "created": time.strftime("%Y-%m-%d"), "parent": parent}
    _write(out / "bundle.json", meta | changed | {"files": files, "digest": digest})
    return files


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
