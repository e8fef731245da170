"""A bundle of two small layers that reads thirty words, whole in every file, for tests that retrain it."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import BertConfig

from model.bundle import bundle_digest, file_digest
from model.loyalty import CONDUCT_FEATURES, FULL_FEATURES
from tests.fakes import fake_fit
from training.build import heads_of
from training.export import export
from training.network import Network

GOOD = ("great", "good", "lovely", "fine", "superb", "kind")
BAD = ("awful", "bad", "rude", "broken", "cold", "late")
PLAIN = ("the", "a", "it", "was", "day", "kettle", "room", "food", "they", "we", "and", "very", "staff", "from", "to")
# The champion knows these words; what the others mean is for the examples to teach.
KNOWN = 3


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    """Different texts with their labels."""
    rng = np.random.default_rng(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        label = ("negative", "neutral", "positive")[int(rng.integers(3))]
        words = [str(w) for w in rng.choice(PLAIN, 6)]
        if label != "neutral":
            words[int(rng.integers(6))] = str(rng.choice(GOOD if label == "positive" else BAD))
        found[" ".join(words)] = label
    return list(found.items())


def tiny_texts(folder: Path) -> Path:
    """A folder with a few texts to replay and a frozen set."""
    folder.mkdir(parents=True)
    for name, count, seed in (("sentiment", 200, 40), ("acceptance", 90, 41)):
        rows = ({"text": text, "label": label} for text, label in sentences(count, seed))
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def tiny_bundle(folder: Path) -> Path:
    """Writes the bundle; its sentiment head knows the first words of GOOD and BAD alone."""
    folder.mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *GOOD, *BAD, *PLAIN]
    tokenizer = Tokenizer(WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = BertNormalizer(lowercase=True), BertPreTokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=300,
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(0)
    network = Network(str(folder)).eval()
    table = network.encoder.embeddings.word_embeddings.weight
    with torch.no_grad():
        # Words of one kind lie near each other, as they do for a trained encoder.
        for direction, kind in enumerate((GOOD, BAD)):
            table[[words.index(w) for w in kind], direction] += 3.0
        network.sentiment.weight.zero_()
    _teach_known(network, words)
    ids = np.asarray([[words.index(w) for w in text.split()] for text, _ in sentences(20, 1)])
    export(network, list(ids), (2, 3, 0), folder)
    arrays = heads_of(network)
    for kind, features in (("full", FULL_FEATURES), ("conduct", CONDUCT_FEATURES)):
        fit = fake_fit(features)
        for part in ("repurchase", "wom", "advocate"):
            arrays[f"loyalty.{kind}.{part}"] = getattr(fit, part).astype(np.float32)
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / "heads.safetensors")
    save_torch({k: v.half().contiguous() for k, v in network.state_dict().items()}, folder / "weights.safetensors")
    files = {p.name: file_digest(p) for p in sorted(folder.iterdir())}
    meta = {
        "format": 1, "version": "0.0.1", "created": "2026-01-01", "base": "tiny", "max_tokens": 126,
        "special": {"cls": 2, "sep": 3, "pad": 0}, "files": files, "digest": bundle_digest(files),
    }  # fmt: skip
    (folder / "bundle.json").write_text(json.dumps(meta))
    return folder


def _teach_known(network: Network, words: list[str]) -> None:
    """Fits the head by gradient steps on sentences with the known words."""
    kept = [(t, lab) for t, lab in sentences(300, 2) if not set(t.split()) & {*GOOD[KNOWN:], *BAD[KNOWN:]}]
    ids = torch.tensor([[2, *(words.index(w) for w in t.split()), 3] for t, _ in kept])
    labels = torch.tensor([("negative", "neutral", "positive").index(lab) for _, lab in kept])
    with torch.no_grad():
        vectors = network.states(ids, torch.ones_like(ids))[:, 1:-1].mean(dim=1)
    optimizer = torch.optim.Adam(network.sentiment.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network.sentiment(vectors), labels).backward()
        optimizer.step()
