"""Sentiment on the public tests through the command that users run, beside VADER and the majority class.

    python benchmarks/public_tests.py DATA

DATA holds tweeteval_test.parquet and sst3_test.parquet (text, label). Writes public_tests.json beside this file.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from model.bundle import RELEASED, file_digest, manifest
from model.codebook import SENTIMENT
from training.evaluate import class_figures, vader

TESTS = ("tweeteval_test", "sst3_test")


def measure(path: Path) -> dict[str, Any]:
    """Figures of `amends predict`, VADER and the majority class on one file."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.parquet"
        command = [
            sys.executable,
            "-m",
            "service.cli",
            "predict",
            str(path),
            "--text-column",
            "text",
            "--out",
            str(out),
        ]
        subprocess.run(command, check=True)
        table = pq.read_table(out).to_pydict()
    # The input has a column `label` of its own, which predict keeps under another name.
    truth = np.asarray([SENTIMENT.index(label) for label in table["label_input"]])
    predicted = np.asarray([SENTIMENT.index(label or "neutral") for label in table["label"]])
    majority = np.full(len(truth), np.bincount(truth).argmax())
    return {
        "sha256": file_digest(path),
        "amends": class_figures(truth, predicted),
        "vader": class_figures(truth, vader(table["text"])),
        "majority": class_figures(truth, majority),
    }


def main() -> None:
    """Command line."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    results: dict[str, Any] = {"bundle": manifest(RELEASED)["version"]}
    results |= {name: measure(Path(sys.argv[1]) / f"{name}.parquet") for name in TESTS}
    target = Path(__file__).with_suffix(".json")
    target.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for name in TESTS:
        for system in ("amends", "vader", "majority"):
            found = results[name][system]
            print(f"{name:16} {system:9} macro F1 {found['macro_f1']:.3f}  macro recall {found['macro_recall']:.3f}")


if __name__ == "__main__":
    main()
