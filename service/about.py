"""What is known of the bundle that answers: where it comes from, its figures, its limits and its vocabulary."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from model.bundle import RELEASED, bundle_digest, file_digest, manifest
from model.codebook import CUES, FAILURE_TYPES, REPURCHASE, ROLES, SENTIMENT, SEVERITIES, STATED_LOYALTY, WOM
from model.types import Band, BundleInfo, InputError, Status
from service.schemas import MAX_CASES, MAX_FEEDBACK, MAX_TEXT_CHARACTERS, MAX_TEXTS, Labels, Limits, ModelResponse
from service.settings import Settings

# Language of the texts that the heads were trained on.
LANGUAGES = ["en"]
SENTIMENT_FIGURES = ("n", "macro_f1", "macro_f1_interval", "macro_recall", "accuracy", "ece")
CONDUCT_FIGURES = ("documents", "micro_f1", "micro_f1_interval", "macro_f1_frequent", "role_accuracy")


def about(info: BundleInfo, settings: Settings, folder: Path | None = None) -> ModelResponse:
    """The answer of /v1/model for a worker that scores with the bundle `info`, opened from folder (or the released)."""
    folder = folder or RELEASED
    meta = _manifest_of(info, folder)
    return ModelResponse(
        version=info.version,
        digest=info.digest,
        base=meta.get("base"),
        created=meta.get("created"),
        figures=main_figures(folder, meta),
        limits=Limits(
            texts=MAX_TEXTS,
            text_characters=MAX_TEXT_CHARACTERS,
            cases=MAX_CASES,
            body_bytes=settings.max_body_bytes,
            utterances=settings.max_utterances,
            feedback=MAX_FEEDBACK,
            job_items=settings.job_items,
            seconds=settings.timeout_seconds,
            languages=LANGUAGES,
        ),
        masks_personal_data=settings.mask_personal_data,
        labels=Labels(
            sentiment=list(SENTIMENT),
            role=list(ROLES),
            failure=list(FAILURE_TYPES),
            severity=list(SEVERITIES),
            stated=list(STATED_LOYALTY),
            repurchase=list(REPURCHASE),
            wom=list(WOM),
            band=list(get_args(Band)),
            status=list(get_args(Status)),
        ),
        cues={name: list(values) for name, values in CUES.items()},
    )


def _manifest_of(info: BundleInfo, folder: Path) -> dict[str, Any]:
    """bundle.json of the folder, empty where it is that of another bundle than the one that was opened."""
    try:
        meta = manifest(folder)
    except InputError:
        return {}
    return meta if bundle_digest(meta["files"]) == info.digest else {}


def main_figures(folder: Path, meta: dict[str, Any]) -> dict[str, Any] | None:
    """The main figures out of figures.json; None where the bundle has none, or not those it was released with."""
    path = folder / "figures.json"
    if not path.is_file() or file_digest(path) != meta.get("files", {}).get(path.name):
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    # A bundle of one's own may have been measured on fewer tasks.
    chosen = {
        "sentiment": {name: _chosen(one["bundle"], SENTIMENT_FIGURES) for name, one in _of(found, "sentiment")},
        "conduct": _chosen(found.get("conduct") or {}, CONDUCT_FIGURES),
        "loyalty": {
            target: {name: by["all"] for name, by in one.items() if isinstance(by, dict) and "all" in by}
            for target, one in _of(found, "loyalty")
            if any(isinstance(by, dict) and "all" in by for by in one.values())
        },
    }
    return {task: figures for task, figures in chosen.items() if figures}


def _of(figures: dict[str, Any], task: str) -> Iterable[tuple[str, Any]]:
    return (figures.get(task) or {}).items()


def _chosen(figures: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: figures[name] for name in names if name in figures}
