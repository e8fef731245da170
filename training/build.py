"""Makes a bundle out of a trained network: exports, calibrates, fits the loyalty head, evaluates, writes.

    python -m training.build --run DIR --data DIR --out BUNDLE --version 0.1.0

--run is a folder written by training.finetune; --data holds sentiment/, conduct/ and loyalty/ as docs/training.md says.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from safetensors.torch import load_file
from safetensors.torch import save_file as save_torch
from tokenizers import Tokenizer

from model.bundle import Bundle, bundle_digest, conduct_head, exact_encoder, file_digest, load_bundle, sentiment_head
from model.codebook import SENTENCE_LABELS, SENTIMENT
from model.encoder import OnnxEncoder, encode_texts
from model.loyalty import CONDUCT_FEATURES, FULL_FEATURES, Fit, LoyaltyHead
from model.scorer import Scorer
from model.segment import tokenize
from model.torch_encoder import TorchEncoder
from model.types import BundleInfo, CaseFeatures
from training import calibrate, evaluate, loyalty, loyalty_figures, vignettes
from training.data import conduct_examples, digest, normalised
from training.export import export
from training.network import Network

WINDOW = 254
# Changes whenever what is remembered of an example does.
EXAMPLES = 2
HEADS = ("sentiment", "target", "cue_token", "cue_context", "document")


def heads_of(network: Network) -> dict[str, NDArray[Any]]:
    """Weights and biases of the heads as arrays, before calibration."""
    state = network.state_dict()
    arrays = {k: v.float().numpy() for k, v in state.items() if k.split(".")[0] in HEADS}
    for name in ("sentiment", "target"):
        arrays[f"{name}.temperature"] = np.ones(1, dtype=np.float32)
    arrays["cue.thresholds"] = np.full(len(SENTENCE_LABELS), 0.5, dtype=np.float32)
    return arrays


def special_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """Ids of the class, separator and padding token. Raises ValueError where the vocabulary lacks one."""
    found = {
        name: tokenizer.token_to_id(token) for name, token in (("cls", "[CLS]"), ("sep", "[SEP]"), ("pad", "[PAD]"))
    }
    if None in found.values():
        raise ValueError(f"the tokenizer lacks a special token, found {found}, expected [CLS], [SEP] and [PAD]")
    return {name: int(i) for name, i in found.items() if i is not None}


def calibration_windows(tokenizer: Tokenizer, path: Path) -> list[NDArray[np.int64]]:
    """Windows of 300 texts, whose labels are not looked at, to measure the size of activations on."""
    texts = tokenize([r["text"] for r in loyalty.sample(path, 300)], tokenizer, WINDOW)
    return [t.ids[a:b] for t in texts for a, b in t.windows]


def empty_fit(features: tuple[str, ...]) -> Fit:
    """A fit that says nothing, to read texts with before there is a real one."""
    zeros = np.zeros((1, len(features) + 2))
    zeros[:, -1] = 1.0
    return Fit(features, zeros, zeros, np.zeros((1, 3)))


def fit_temperature(bundle: Bundle, source: str) -> float:
    """Temperature of the sentiment head on development data, through the 8-bit graph."""
    rows = evaluate.labelled(Path(source))
    labels = np.asarray([SENTIMENT.index(r["label"]) for r in rows])
    tokenized = tokenize([r["text"] for r in rows], bundle.tokenizer, bundle.max_tokens)
    keep = np.asarray([len(t.ids) > 0 for t in tokenized])
    states = encode_texts([t for t in tokenized if len(t.ids)], bundle.encoder)
    logits = bundle.sentiment.logits(np.stack([s.mean(axis=0) for s in states]))
    return calibrate.temperature(logits, labels[keep])


def fit_target_temperature(bundle: Bundle, path: Path) -> float:
    """Temperature of the target head on every second row of a table with text, target and label."""
    if bundle.target is None:
        raise ValueError("the bundle has no target head")
    rows = evaluate.labelled(path)[::2]
    plain = replace(bundle, target=replace(bundle.target, temperature=1.0))
    found = Scorer(plain).sentiment([r["text"] for r in rows], [r["target"] for r in rows])
    pairs = [(s, SENTIMENT.index(r["label"])) for s, r in zip(found, rows, strict=True) if s]
    # Logits are known up to a constant, which the softmax takes out again.
    logits = np.log(np.asarray([(s.negative, s.neutral, s.positive) for s, _ in pairs], dtype=np.float32) + 1e-9)
    return calibrate.temperature(logits, np.asarray([label for _, label in pairs]))


def fit_thresholds(bundle: Bundle, files: list[Path], held_out: set[str]) -> NDArray[np.float32]:
    """Thresholds of the conduct head on the documents that training left out."""
    examples = [e for f in files for e in conduct_examples(f, bundle.tokenizer, max_tokens=bundle.max_tokens)]
    examples = [e for e in examples if e.id in held_out]
    states = encode_texts([e.text for e in examples], bundle.encoder)
    head = bundle.conduct
    found = [
        head.sentence_probabilities(e.text, s, head.token_logits(s)) for e, s in zip(examples, states, strict=True)
    ]
    truth = calibrate.document_maxima([e.sentence_labels for e in examples])
    return calibrate.thresholds(calibrate.document_maxima(found), truth)


def training_texts(data: Path) -> set[str]:
    """Normalised texts that the encoder was fine-tuned on."""
    sentiment = [r["text"] for r in loyalty.sample(data / "sentiment/train.parquet", None)]
    conduct = [
        json.loads(line)["text"]
        for name in ("train", "synthetic")
        for line in (data / f"conduct/{name}.jsonl").read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    return {normalised(t) for t in (*sentiment, *conduct)}


def loyalty_sets(scorer: Scorer, data: Path, limit: int, held_out: Set[str]) -> dict[str, list[loyalty.Example]]:
    """What the loyalty head is fitted on ("train"), calibrated on and judged by ("recommend", "stars", "documents").

    Companies of the validation files are left out of the training set wherever they appear, and texts that the encoder
    was trained on, for whatever task, are left out of the validation sets. "calibration" and "known" are the annotated
    documents of the training files as the model reads them: `held_out` ones, which the encoder was not trained on, and
    the others.
    """
    folder = data / "loyalty"
    seen = training_texts(data)
    fresh = loyalty.unseen(loyalty.customer_documents([data / "conduct/validation.jsonl"]), seen)
    validation = {
        "recommend": loyalty.recommend_examples(scorer, folder / "recommend_validation.parquet", seen=seen),
        "stars": loyalty.stars_examples(scorer, folder / "stars_validation.parquet", seen=seen),
        "documents": loyalty.document_examples(scorer, fresh),
    }
    documents = loyalty.customer_documents([data / "conduct/train.jsonl", data / "conduct/synthetic.jsonl"])
    read = loyalty.document_examples(scorer, documents)
    train = [
        *loyalty.with_annotation(documents, read),
        *loyalty.intent_examples(scorer, folder / "stated_intent.parquet"),
        *loyalty.recommend_examples(scorer, folder / "recommend_train.parquet", limit),
        *loyalty.stars_examples(scorer, folder / "stars_train.parquet", limit),
    ]
    held = {e.company.casefold() for name in ("recommend", "stars") for e in validation[name]}
    return {
        "train": [e for e in train if e.company.casefold() not in held],
        "calibration": [e for d, e in zip(documents, read, strict=True) if d["id"] in held_out],
        "known": [e for d, e in zip(documents, read, strict=True) if d["id"] not in held_out],
        **validation,
    }


def remembered_sets(path: Path, key: str, make: Callable[[], dict[str, list[loyalty.Example]]]) -> Any:
    """The sets of `make`, read back from path while the key is the same: reading the texts takes most of a build."""
    if path.is_file():
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["key"] == key:
            return {k: [loyalty.example_from_dict(e) for e in v] for k, v in stored["sets"].items()}
    sets = make()
    plain = {k: [asdict(e) for e in v] for k, v in sets.items()}
    path.write_text(json.dumps({"key": key, "sets": plain}), encoding="utf-8")
    return sets


def build(run: Path, data: Path, out: Path, version: str, *, limit: int) -> dict[str, Any]:
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
    ids = (special["cls"], special["sep"], special["pad"])
    log("exporting")
    export(network, calibration_windows(tokenizer, data / "sentiment/train.parquet"), ids, out)
    arrays = heads_of(network)
    del network
    neutral = LoyaltyHead(empty_fit(FULL_FEATURES), empty_fit(CONDUCT_FEATURES))
    bundle = Bundle(
        BundleInfo(version, ""),
        tokenizer,
        WINDOW,
        OnnxEncoder(out / "encoder.onnx", ids),
        sentiment_head(arrays),
        conduct_head(arrays),
        neutral,
        sentiment_head(arrays, "target"),
        exact_encoder(out, ids),
    )
    arrays["sentiment.temperature"][:] = fit_temperature(bundle, str(data / "sentiment/dev.parquet"))
    arrays["target.temperature"][:] = fit_target_temperature(bundle, data / "sentiment/targets_validation.parquet")
    files = [data / "conduct/train.jsonl", data / "conduct/synthetic.jsonl"]
    arrays["cue.thresholds"][:] = fit_thresholds(bundle, files, set(record["held_out"]))
    bundle = replace(
        bundle,
        sentiment=sentiment_head(arrays),
        conduct=conduct_head(arrays),
        target=sentiment_head(arrays, "target"),
    )
    scorer = Scorer(bundle)
    log("loyalty: reading the examples")
    key = f"{file_digest(out / 'encoder.onnx')} {limit} {EXAMPLES}"
    held_out = set(record["held_out"])
    sets = remembered_sets(run / "loyalty_examples.json", key, lambda: loyalty_sets(scorer, data, limit, held_out))
    examples = sets.pop("train")
    log(f"loyalty: fitting on {len(examples)} examples")
    full, conduct = loyalty.fit(examples, documents=sets["calibration"])
    bare = LoyaltyHead(*loyalty.fit(examples, documents=sets["calibration"], priors=False, signs=False))
    for kind, fit in (("full", full), ("conduct", conduct)):
        for part in ("repurchase", "wom", "advocate"):
            arrays[f"loyalty.{kind}.{part}"] = getattr(fit, part).astype(np.float32)
        arrays[f"loyalty.{kind}.spread"] = np.asarray([fit.spread], dtype=np.float32)
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, out / "heads.safetensors")
    log("evaluating")
    figures = {
        "sentiment": {
            name: evaluate.sentiment_figures(scorer, str(data / f"sentiment/{name}.parquet"), by_source=name == "dev")
            for name in ("tweeteval_test", "sst3_test", "dev")
        }
        | {
            "targets_validation": evaluate.sentiment_figures(
                scorer, str(data / "sentiment/targets_validation.parquet"), by_source=True, target_column="target"
            )
        },
        "conduct": evaluate.conduct_figures(scorer, data / "conduct/validation.jsonl"),
        "loyalty": loyalty_report(LoyaltyHead(full, conduct), bare, examples, sets)
        | loyalty_order(LoyaltyHead(full, conduct), bare, scorer, data / "loyalty/disputes.parquet"),
        "agreement": evaluate.agreement(
            scorer,
            TorchEncoder(out, ids, device="cpu"),
            [r["text"] for r in loyalty.sample(data / "sentiment/dev.parquet", 2000)],
        ),
    }
    write_manifest(out, version, special, figures, record, data, len(examples))
    load_bundle(out)
    return figures


def loyalty_report(
    head: LoyaltyHead, bare: LoyaltyHead, train: Sequence[loyalty.Example], sets: Mapping[str, list[loyalty.Example]]
) -> dict[str, Any]:
    """Figures of the loyalty head; `bare` is the same head fitted without priors and signs."""
    words = {}
    for name in ("recommend", "stars"):
        reference = [e for e in train if e.domain == name]
        words[name] = {
            "with_priors": loyalty_figures.word_figures(head, sets[name], reference),
            "without_priors": loyalty_figures.word_figures(bare, sets[name], reference, baselines=False),
        }
    return {
        **words,
        "documents": loyalty_figures.document_figures(head, sets["documents"]),
        "left_out_companies": loyalty_figures.left_out_companies(train),
        "left_out_coverage": loyalty_figures.left_out_coverage(train, [*sets["calibration"], *sets["known"]]),
        "transfer": loyalty_figures.transferred(train, sets),
    }


def loyalty_order(head: LoyaltyHead, bare: LoyaltyHead, scorer: Scorer, disputes: Path) -> dict[str, Any]:
    """Whether published findings and complaints with a known end come out in the right order."""

    def read(texts: Sequence[str]) -> list[CaseFeatures]:
        return [m.features for m in loyalty.read_masked(scorer, texts)]

    return {
        "vignettes": {
            name: {
                "features": vignettes.structured(one.conduct),
                "texts": vignettes.as_texts(one.conduct, read),
                "texts_full": vignettes.as_texts(one.full, read),
            }
            for name, one in (("with_priors", head), ("without_priors", bare))
        },
        "disputes": vignettes.dispute_figures(head, disputes),
    }


def without_folders(record: dict[str, Any]) -> dict[str, Any]:
    """A run's record, and those of the runs it goes on from, with names alone: folders mean nothing elsewhere."""

    def name(value: Any) -> Any:
        if isinstance(value, str):
            return Path(value).name
        return [name(v) for v in value] if isinstance(value, list) else value

    start = record.get("start")
    return record | {
        "options": {k: name(v) for k, v in record["options"].items()},
        "start": without_folders(start) if start else None,
    }


def write_manifest(
    out: Path,
    version: str,
    special: dict[str, int],
    figures: dict[str, Any],
    record: dict[str, Any],
    data: Path,
    loyalty_examples: int,
) -> None:
    """bundle.json with the digests of all files, figures.json and training.json beside it."""
    used = sorted(p for part in ("sentiment", "conduct", "loyalty") for p in (data / part).iterdir())
    record = dict(record, loyalty_examples=loyalty_examples, data_files_sha256=digest(used))
    record = without_folders(record)
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    files = {p.name: file_digest(p) for p in sorted(out.iterdir()) if p.is_file() and p.name != "bundle.json"}
    meta = {
        "format": 1,
        "version": version,
        "created": time.strftime("%Y-%m-%d"),
        "base": record["options"]["base"],
        "max_tokens": WINDOW,
        "special": special,
        "files": files,
        "digest": bundle_digest(files),
    }
    (out / "bundle.json").write_text(json.dumps(meta, indent=1) + "\n")


def log(message: str) -> None:
    """One line with the time, for a run that takes a while."""
    print(time.strftime("%H:%M:%S"), message, flush=True)


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, type=Path)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--version", required=True)
    parser.add_argument("--limit", type=int, default=6000, help="texts of each large loyalty source")
    a = parser.parse_args()
    torch.set_num_threads(1)
    figures = build(a.run, a.data, a.out, a.version, limit=a.limit)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
