"""Fits what stands behind the encoder (temperatures, thresholds, the loyalty head), measures all, seals the bundle.

training.build does it for a new network, training.refit for a bundle that there is.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from model.bundle import (
    Bundle,
    bundle_digest,
    close_gap,
    conduct_head,
    eight_bit_encoder,
    exact_encoder,
    file_digest,
    load_bundle,
    sentiment_head,
)
from model.codebook import SENTENCE_LABELS, SENTIMENT
from model.encoder import encode_texts, means_of, sentences_of
from model.loyalty import CONDUCT_FEATURES, FULL_FEATURES, Fit, LoyaltyHead
from model.scorer import Scorer
from model.segment import tokenize
from model.torch_encoder import TorchEncoder
from model.types import BundleInfo, CaseFeatures
from training import calibrate, evaluate, loyalty, loyalty_figures, marks, overlap, vignettes
from training.data import conduct_examples, digest
from training.rewrite import loyalty_arrays

# Changes whenever what is remembered of an example does.
EXAMPLES = 4


@dataclass(frozen=True)
class Source:
    """What a bundle is made of beside its files. record: of the training run. window: tokens read at a time.

    limit: texts of each large loyalty source. remembered: file for what was read in them, which takes most of the time.
    threads: of the encoder.
    """

    record: dict[str, Any]
    data: Path
    version: str
    window: int
    limit: int
    remembered: Path
    threads: int = 1


def fit_and_seal(out: Path, arrays: dict[str, NDArray[Any]], source: Source) -> dict[str, Any]:
    """Fits on what the graph in `out` reads, writes heads, figures and manifest, and returns the figures.

    arrays: weights and biases of the heads; whatever else they hold is fitted anew.
    `out` holds graph, weights, tokenizer and configuration.
    """
    data, record = source.data, source.record
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    special = special_tokens(tokenizer)
    ids = (special["cls"], special["sep"], special["pad"])
    arrays = uncalibrated(arrays)
    neutral = LoyaltyHead(empty_fit(FULL_FEATURES), empty_fit(CONDUCT_FEATURES))
    bundle = Bundle(
        BundleInfo(source.version, ""),
        tokenizer,
        source.window,
        eight_bit_encoder(out, ids, source.threads),
        sentiment_head(arrays),
        conduct_head(arrays),
        neutral,
        sentiment_head(arrays, "target"),
        exact_encoder(out, ids, source.threads),
        close_gap(),
    )
    log("fitting temperatures and thresholds")
    arrays["sentiment.temperature"][:] = fit_temperature(bundle, str(data / "sentiment/dev.parquet"))
    arrays["target.temperature"][:] = fit_target_temperature(bundle, data / "sentiment/targets_validation.parquet")
    files = [data / "conduct/train.jsonl", data / "conduct/synthetic.jsonl"]
    trained = annotated_texts(data, set(record["held_out"]))
    documents = [d for f in files for d in evaluate.annotated_documents(f) if d["id"] in record["held_out"]]
    # Some are among the marked ones without their title.
    held_out = {d["id"] for d in overlap.unseen(documents, trained)}
    arrays["cue.thresholds"][:] = fit_thresholds(bundle, files, held_out)
    bundle = replace(
        bundle,
        sentiment=sentiment_head(arrays),
        conduct=conduct_head(arrays),
        target=sentiment_head(arrays, "target"),
    )
    scorer = Scorer(bundle)
    log("loyalty: reading the examples")
    key = f"{file_digest(out / 'encoder.onnx')} {source.window} {source.limit} {EXAMPLES}"
    sets = remembered_sets(source.remembered, key, lambda: loyalty_sets(scorer, data, source.limit, held_out))
    examples = sets.pop("train")
    log(f"loyalty: fitting on {len(examples)} examples")
    head = LoyaltyHead(*loyalty.fit(examples, documents=sets["calibration"]))
    bare = LoyaltyHead(*loyalty.fit(examples, documents=sets["calibration"], priors=False, signs=False))
    arrays |= loyalty_arrays(head)
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, out / "heads.safetensors")
    log("evaluating")
    figures = {
        "sentiment": sentiment_report(scorer, data / "sentiment"),
        "conduct": conduct_report(scorer, data, trained),
        "loyalty": loyalty_report(head, bare, examples, sets)
        | loyalty_order(head, bare, scorer, data / "loyalty/disputes.parquet"),
        "agreement": evaluate.agreement(
            scorer,
            TorchEncoder(out, ids, device="cpu"),
            [r["text"] for r in loyalty.sample(data / "sentiment/dev.parquet", 2000)],
        ),
    }
    write_manifest(out, source, special, figures, len(examples))
    load_bundle(out)
    return figures


def sentiment_report(scorer: Scorer, folder: Path) -> dict[str, Any]:
    """Figures of sentiment on the public tests and the development texts, and towards targets."""
    plain = {
        name: evaluate.sentiment_figures(scorer, str(folder / f"{name}.parquet"), by_source=name == "dev")
        for name in ("tweeteval_test", "sst3_test", "dev")
    }
    towards = evaluate.sentiment_figures(
        scorer, str(folder / "targets_validation.parquet"), by_source=True, target_column="target"
    )
    return plain | {"targets_validation": towards}


def conduct_report(scorer: Scorer, data: Path, trained: Sequence[str]) -> dict[str, Any]:
    """Figures of the conduct head on the validation documents that no training saw with an annotation.

    trained: texts of the documents that it did see. Also how many of the rest were seen with a label of sentiment.
    """
    path = data / "conduct/validation.jsonl"
    documents = evaluate.annotated_documents(path)
    rest = overlap.unseen(documents, trained)
    labelled = overlap.seen([d["text"] for d in rest], (r["text"] for r in sentiment_rows(data)))
    figures = evaluate.conduct_figures(scorer, path, only={d["text"] for d in rest})
    return figures | {"left_out": len(documents) - len(rest), "seen_with_sentiment": sum(labelled)}


def sentiment_rows(data: Path) -> list[dict[str, Any]]:
    """What sentiment is learnt from."""
    return loyalty.sample(data / "sentiment/train.parquet", None)


def annotated_texts(data: Path, held_out: Set[str]) -> list[str]:
    """Texts of the annotated documents that conduct is learnt from: of the training files, and marked ones."""
    files = [data / "conduct/train.jsonl", data / "conduct/synthetic.jsonl"]
    documents = [d for f in files for d in evaluate.annotated_documents(f) if d["id"] not in held_out]
    return [d["text"] for d in (*documents, *marks.annotated(marks.MARKS, data)[0])]


def uncalibrated(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The heads with temperatures of 1 and thresholds of one half."""
    ones = {f"{name}.temperature": np.ones(1, dtype=np.float32) for name in ("sentiment", "target")}
    return arrays | ones | {"cue.thresholds": np.full(len(SENTENCE_LABELS), 0.5, dtype=np.float32)}


def special_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """Ids of the class, separator and padding token. Raises ValueError where the vocabulary lacks one."""
    found = {
        name: tokenizer.token_to_id(token) for name, token in (("cls", "[CLS]"), ("sep", "[SEP]"), ("pad", "[PAD]"))
    }
    if None in found.values():
        raise ValueError(f"the tokenizer lacks a special token, found {found}, expected [CLS], [SEP] and [PAD]")
    return {name: int(i) for name, i in found.items() if i is not None}


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
    texts = [e.text for e in examples]
    states = encode_texts(texts, bundle.encoder)
    head = bundle.conduct
    sentences = sentences_of(texts, states, means_of(states, head.token_weight.shape[1]))
    found = head.probabilities(sentences, [head.token_logits(s) for s in states])
    owners = np.asarray([t for t, _, _, _ in sentences.places])
    truth = calibrate.document_maxima([e.sentence_labels for e in examples])
    return calibrate.thresholds(calibrate.document_maxima([found[owners == t] for t in range(len(texts))]), truth)


def training_texts(data: Path) -> list[str]:
    """Texts that the encoder was fine-tuned on."""
    return [*(r["text"] for r in sentiment_rows(data)), *annotated_texts(data, frozenset())]


def loyalty_sets(scorer: Scorer, data: Path, limit: int, held_out: Set[str]) -> dict[str, list[loyalty.Example]]:
    """What the loyalty head is fitted on ("train"), calibrated on and judged by ("recommend", "stars", "documents").

    Companies of the validation files are left out of the training set wherever they appear, and texts that the encoder
    was trained on, for whatever task, are left out of the validation sets. "calibration" and "known" are the annotated
    documents of the training files as the model reads them: `held_out` ones, whose annotation the encoder was not
    trained on, and the others.
    """
    folder = data / "loyalty"
    trained = training_texts(data)
    fresh = overlap.unseen(loyalty.customer_documents([data / "conduct/validation.jsonl"]), trained)
    validation = {
        "recommend": loyalty.recommend_examples(scorer, folder / "recommend_validation.parquet", trained=trained),
        "stars": loyalty.stars_examples(scorer, folder / "stars_validation.parquet", trained=trained),
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
    out: Path, source: Source, special: dict[str, int], figures: dict[str, Any], loyalty_examples: int
) -> None:
    """bundle.json with the digests of all files, figures.json and training.json beside it."""
    used = sorted(p for part in ("sentiment", "conduct", "loyalty") for p in (source.data / part).iterdir())
    record = dict(source.record, loyalty_examples=loyalty_examples, data_files_sha256=digest(used))
    record = without_folders(record)
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    files = {p.name: file_digest(p) for p in sorted(out.iterdir()) if p.is_file() and p.name != "bundle.json"}
    meta = {
        "format": 1,
        "version": source.version,
        "created": time.strftime("%Y-%m-%d"),
        "base": record["options"]["base"],
        "max_tokens": source.window,
        "special": special,
        "files": files,
        "digest": bundle_digest(files),
    }
    (out / "bundle.json").write_text(json.dumps(meta, indent=1) + "\n")


def log(message: str) -> None:
    """One line with the time, for a run that takes a while."""
    print(time.strftime("%H:%M:%S"), message, flush=True)
