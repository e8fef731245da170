"""The folder of a run that may be killed at any moment: each step is kept whole, and the same call goes on."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from model.types import InputError

SAVE_SECONDS: Final = 5.0
RESERVE: Final = 90.0
"""Seconds kept for the 8-bit graph and the gate."""

Arrays = dict[str, NDArray[Any]]
Progress = Callable[[str, float], None]


class Run:
    """The folder of a run: each step's result, written whole or not at all, and the time that was spent.

    Raises InputError where the folder holds a run with other examples, another champion or other options.
    """

    def __init__(self, folder: Path, key: dict[str, Any], budget: float, progress: Progress) -> None:
        self.folder, self._progress = folder, progress
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "state.json"
        state = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        different = [name for name in key if state["key"].get(name) != key[name]] if state else []
        if different and state and not state["finished"]:
            raise InputError(
                f"{folder} holds another run that is not finished: {', '.join(different)} changed since",
                code="other_run",
                field="out",
                got=", ".join(f"{name} {key[name]}" for name in different),
                expected="the same call as before, or another folder",
            )
        if different:
            self._clear()
        if state is None or different:
            state = {"key": key, "spent": 0.0, "finished": False}
        state["finished"] = False
        self._state = state
        self._budget = budget
        self._share = 0.0
        self._began = time.monotonic() - float(state["spent"])
        self._save()

    @property
    def spent(self) -> float:
        """Seconds since the beginning, over all its starts."""
        return float(time.monotonic() - self._began)

    @property
    def left(self) -> float:
        """Seconds of the budget that are left for learning."""
        return self._budget - self.spent - RESERVE

    def tell(self, words: str, share: float) -> None:
        """Says what is being done, and how much of the run is behind it, in [0, 1], never less than before."""
        self._share = max(self._share, share)
        self._progress(words, self._share)
        # After a kill the budget must not begin anew.
        if self.spent - self._state["spent"] > SAVE_SECONDS:
            self._save()

    def arrays(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """The arrays of a step, made once."""
        path = self.folder / f"{name}.safetensors"
        if not path.is_file():
            fresh = path.with_suffix(".new")
            save_file({k: np.ascontiguousarray(v) for k, v in make().items()}, fresh)
            fresh.replace(path)
            self._save()
        return load_file(path)

    def finish(self) -> None:
        """Notes that everything is done: another run may take the folder."""
        self._state["finished"] = True
        self._save()

    def _clear(self) -> None:
        for path in (*self.folder.glob("*.safetensors"), *self.folder.glob("report.*")):
            path.unlink()
        for path in (self.folder / "bundle", *self.folder.glob("checkpoint-*")):
            shutil.rmtree(path, ignore_errors=True)

    def _save(self) -> None:
        self._state["spent"] = round(self.spent, 1)
        write_json(self.folder / "state.json", self._state)


def write_json(path: Path, value: Any) -> None:
    """Writes a file whole or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(path)
