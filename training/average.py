"""Averages the weights of runs that go on from one another: steadier on texts of other kinds than either run alone.

    python -m training.average --runs RUN RUN --out DIR

Wortsman et al. 2022 (Model soups). The last run gives tokenizer, configuration and record.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def average(runs: Sequence[Path], out: Path) -> Path:
    """Writes a run folder with the mean of the weights of `runs`.

    Raises ValueError where the runs hold other weights than the last one.
    """
    weights = [load_file(run / "network.safetensors") for run in runs]
    shapes = [{name: w.shape for name, w in one.items()} for one in weights]
    for run, found in zip(runs, shapes, strict=True):
        if found != shapes[-1]:
            raise ValueError(
                f"{run} holds other weights than {runs[-1]}: {set(found.items()) ^ set(shapes[-1].items())}"
            )
    out.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "config.json"):
        shutil.copy(runs[-1] / name, out / name)
    mean = {name: torch.stack([w[name] for w in weights]).mean(dim=0) for name in weights[-1]}
    save_file(mean, out / "network.safetensors")
    record = json.loads((runs[-1] / "record.json").read_text())
    (out / "record.json").write_text(json.dumps(record | {"averaged_runs": [run.name for run in runs]}, indent=1))
    return out


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", required=True, nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    a = parser.parse_args()
    print(average(a.runs, a.out))


if __name__ == "__main__":
    main()
