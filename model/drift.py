"""Whether the texts that come in still look like those that the model was trained on, by three simple distributions.

A reference (reference.json beside a bundle, written by training.reference) holds how the training texts are spread over
the predicted labels, over lengths in tokens, and over the share of rare tokens; for model.drift_report also over how
sure the model is and over kinds of text, and how frequent each token is. The population stability index (PSI) compares
recent texts with it: under 0.1 is little, over 0.25 a lot.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.bundle import RELEASED, SERVED, bundle_digest, manifest
from model.codebook import SENTIMENT
from model.types import InputError

FILE: Final = "reference.json"
ASPECTS: Final = ("labels", "length", "rare")
# Upper edges of the shares of rare tokens: most texts have none.
RARE_EDGES: Final = (0.0, 0.05, 0.1, 0.2)
# Upper edges of the probability of the likeliest of three labels.
CONFIDENCE_EDGES: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
NEVER: Final = 255
# With fewer recent texts than this, chance alone gives an index of 0.05 over ten bins.
MINIMUM: Final = 200
WINDOW: Final = 1000

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """How training texts are spread.

    digest: of the served files of the bundle that gave the labels. texts: how many were read. labels (3,), length
    (n + 1,) and rare (5,): shares that sum to 1. length_edges (n,): upper edges of the first bins, in tokens.
    common: for each token id whether it is common; every other token is rare, and so is one that is unknown.

    The others are None in references that were written before there were any. confidence (7,): shares by the
    probability of the likeliest label, cut at CONFIDENCE_EDGES. kinds (k,): shares by the nearest of centres
    (k, width) among mean token states. rarity (ids,): -8 log2 of a token's share of all, NEVER where it was not seen.
    """

    digest: str
    texts: int
    labels: Counts
    length: Counts
    rare: Counts
    length_edges: NDArray[np.int64]
    common: NDArray[np.bool_]
    confidence: Counts | None = None
    kinds: Counts | None = None
    centres: NDArray[np.float16] | None = None
    rarity: NDArray[np.uint8] | None = None

    def to_json(self) -> str:
        """As text; without any word of any text."""
        lists: dict[str, Any] = {
            name: getattr(self, name).tolist() for name in ("labels", "length", "rare", "length_edges")
        }
        head = {"digest": self.digest, "texts": self.texts, "tokens": len(self.common)}
        packed = {"common": _packed(np.packbits(self.common))}
        if self.confidence is not None and self.kinds is not None:
            lists |= {"confidence": self.confidence.tolist(), "kinds": self.kinds.tolist()}
        if self.centres is not None and self.rarity is not None:
            packed |= {
                "centres": _packed(self.centres),
                "rarity": _packed(np.frombuffer(zlib.compress(self.rarity.tobytes(), 9), np.uint8)),
            }
        return json.dumps({**head, **lists, **packed}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Reference":
        """Reads what to_json wrote. Raises InputError on anything else."""
        try:
            found = json.loads(text)
            bits = np.frombuffer(base64.b64decode(found["common"]), dtype=np.uint8)
            more = _more(found) if "kinds" in found else {}
            return cls(
                digest=found["digest"],
                texts=found["texts"],
                labels=np.asarray(found["labels"], dtype=np.float64),
                length=np.asarray(found["length"], dtype=np.float64),
                rare=np.asarray(found["rare"], dtype=np.float64),
                length_edges=np.asarray(found["length_edges"], dtype=np.int64),
                common=np.unpackbits(bits, count=found["tokens"]).astype(bool),
                **more,
            )
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise InputError(
                "This is no drift reference",
                code="bad_reference",
                field=FILE,
                got=f"{type(error).__name__}: {error}",
                expected="what `python -m training.reference` writes",
            ) from None

    def bins(self, texts: Sequence[NDArray[np.int64]], labels: Sequence[str]) -> NDArray[np.int64]:
        """The bin of each text for each of ASPECTS, shape (n, 3). texts: token ids. labels: predicted."""
        rows = [
            (SENTIMENT.index(label), len(ids), self._rare_share(ids)) for ids, label in zip(texts, labels, strict=True)
        ]
        table = np.asarray(rows, dtype=np.float64).reshape(-1, 3)
        length = np.searchsorted(self.length_edges, table[:, 1])
        rare = np.searchsorted(np.asarray(RARE_EDGES), table[:, 2])
        return np.stack([table[:, 0].astype(np.int64), length, rare], axis=1)

    def compare(self, bins: NDArray[np.int64]) -> dict[str, float]:
        """The PSI of each of ASPECTS for texts whose bins (n, 3) are given, n at least 1."""
        expected = (self.labels, self.length, self.rare)
        return {
            aspect: psi(shares, np.bincount(bins[:, i], minlength=len(shares)).astype(np.float64))
            for i, (aspect, shares) in enumerate(zip(ASPECTS, expected, strict=True))
        }

    def _rare_share(self, ids: NDArray[np.int64]) -> float:
        if not len(ids):
            return 0.0
        known = ids[ids < len(self.common)]
        return 1.0 - float(self.common[known].sum()) / len(ids)


def _packed(array: NDArray[Any]) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")


def _more(found: Mapping[str, Any]) -> dict[str, Any]:
    kinds = np.asarray(found["kinds"], dtype=np.float64)
    centres = np.frombuffer(base64.b64decode(found["centres"]), dtype=np.float16)
    rarity = np.frombuffer(zlib.decompress(base64.b64decode(found["rarity"])), dtype=np.uint8)
    return {
        "confidence": np.asarray(found["confidence"], dtype=np.float64),
        "kinds": kinds,
        "centres": centres.reshape(len(kinds), -1),
        "rarity": rarity,
    }


def psi(expected: Counts, counts: Counts) -> float:
    """Population stability index of counts (n,) against expected shares (n,); 0 is no change.

    Half a text is added to every bin, so that an empty one doesn't make the index endless. Raises InputError where the
    two differ in length or nothing was counted.
    """
    if expected.shape != counts.shape or counts.sum() <= 0:
        raise InputError(
            "Shares and counts don't fit",
            code="bad_counts",
            got=f"{counts.sum():g} texts in {counts.shape} bins",
            expected=f"at least one text in {expected.shape} bins",
        )
    half = 0.5
    actual = (counts + half) / (counts.sum() + half * len(counts))
    wanted = np.maximum(expected, half / (counts.sum() + half * len(counts)))
    wanted = wanted / wanted.sum()
    return float(((actual - wanted) * np.log(actual / wanted)).sum())


class DriftWatch:
    """The last texts beside a reference. Safe to use from several threads."""

    def __init__(self, reference: Reference, window: int = WINDOW) -> None:
        self.reference = reference
        self._rows: NDArray[np.int64] = np.zeros((window, len(ASPECTS)), dtype=np.int64)
        self._seen = 0
        self._lock = Lock()

    def add(self, texts: Sequence[NDArray[np.int64]], labels: Sequence[str]) -> None:
        """Takes texts in: their token ids and the labels that were predicted for them."""
        rows = self.reference.bins(texts, labels)[-len(self._rows) :]
        with self._lock:
            places = (self._seen + np.arange(len(rows))) % len(self._rows)
            self._rows[places] = rows
            self._seen += len(rows)

    def scores(self) -> dict[str, float]:
        """The PSI of each of ASPECTS over the last texts; empty before there are MINIMUM of them."""
        with self._lock:
            rows = self._rows[: self._seen].copy()
        return self.reference.compare(rows) if len(rows) >= MINIMUM else {}


def served_digest(files: Mapping[str, str]) -> str:
    """One digest over the files of a bundle that scoring depends on. files: digests by name, as in bundle.json."""
    return bundle_digest({name: files[name] for name in SERVED})


def load_reference(folder: Path | None = None) -> Reference | None:
    """The reference beside a bundle, the released one by default; None where there is none, or that of another bundle.

    Raises InputError where the folder is no bundle or the file can't be read as a reference.
    """
    folder = folder or RELEASED
    files = manifest(folder)["files"]
    path = folder / FILE
    if not path.is_file():
        return None
    reference = Reference.from_json(path.read_text(encoding="utf-8"))
    return reference if reference.digest == served_digest(files) else None
