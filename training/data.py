"""Reads labelled examples and cuts them into batches of about equal length."""

import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset, load_dataset
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from model.codebook import DOCUMENT_FIELDS, SENTENCE_LABELS, SENTIMENT
from model.segment import TokenizedText, tokenize
from training.network import Layout

FORMATS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".csv": "csv"}


@dataclass(frozen=True)
class SentimentExample:
    """A text with its label, an index into SENTIMENT."""

    text: TokenizedText
    label: int


@dataclass(frozen=True)
class ConductExample:
    """A document with what its annotation says.

    token_labels, sentence_labels: 0 or 1, shapes (n_tokens, labels) and (n_sentences, labels), by SENTENCE_LABELS.
    fields: index of the value of each document field, -1 where the annotation has none.
    """

    id: str
    text: TokenizedText
    token_labels: NDArray[np.float32]
    sentence_labels: NDArray[np.float32]
    fields: dict[str, int]


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 over the contents of the files in the given order."""
    total = hashlib.sha256()
    for path in paths:
        total.update(path.read_bytes())
    return total.hexdigest()


def load(source: str) -> Dataset:
    """Rows of a Parquet, JSON lines or CSV file, or of the training split of a hub data set."""
    path = Path(source)
    if path.suffix not in FORMATS:
        return load_dataset(source, split="train")
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {source}")
    return load_dataset(FORMATS[path.suffix], data_files=str(path), split="train")


def sentiment_examples(
    rows: Dataset, tokenizer: Tokenizer, *, max_tokens: int, cap: int | None = None, seed: int = 0
) -> list[SentimentExample]:
    """Rows with text and label (negative, neutral, positive); at most `cap` of each source, drawn with seed.

    Only the first window of a text is used: labels of long reviews say little about any later one.
    """
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    sources = rows["source"] if "source" in rows.column_names else ["all"] * len(rows)
    sources, texts, labels = list(sources), list(rows["text"]), list(rows["label"])
    taken: dict[str, int] = {}
    chosen: list[int] = []
    for i in order:
        if labels[i] not in SENTIMENT:
            raise ValueError(f"row {i}: label is {labels[i]!r}, expected one of {', '.join(SENTIMENT)}")
        if cap is None or taken.get(sources[i], 0) < cap:
            taken[sources[i]] = taken.get(sources[i], 0) + 1
            chosen.append(i)
    tokenized = tokenize([texts[i] for i in chosen], tokenizer, max_tokens)
    pairs = zip(tokenized, chosen, strict=True)
    return [SentimentExample(t, SENTIMENT.index(labels[i])) for t, i in pairs if len(t.ids)]


def conduct_examples(path: Path, tokenizer: Tokenizer, *, max_tokens: int) -> list[ConductExample]:
    """Annotated documents, JSON lines after docs/codebook.md."""
    documents = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    tokenized = tokenize([d["text"] for d in documents], tokenizer, max_tokens)
    return [_conduct_example(d, t) for d, t in zip(documents, tokenized, strict=True)]


def _conduct_example(document: dict, text: TokenizedText) -> ConductExample:  # type: ignore[type-arg]
    tokens = np.zeros((len(text.ids), len(SENTENCE_LABELS)), dtype=np.float32)
    for label, quote in _entries(document):
        start = document["text"].find(quote)
        if start < 0:
            continue
        inside = (text.offsets[:, 0] < start + len(quote)) & (text.offsets[:, 1] > start)
        tokens[inside, SENTENCE_LABELS.index(label)] = 1
    sentences = np.stack([tokens[a:b].max(axis=0, initial=0) for a, b in text.token_spans])
    values = {
        "role": document["role"],
        "failure": document["failure"]["type"],
        "severity": str(document["failure"]["severity"]),
        "repurchase": document["repurchase"],
        "wom": document["wom"],
    }
    fields = {f: options.index(values[f]) if values[f] in options else -1 for f, options in DOCUMENT_FIELDS.items()}
    return ConductExample(document["id"], text, tokens, sentences, fields)


def _entries(document: dict) -> Iterable[tuple[str, str]]:  # type: ignore[type-arg]
    for entry in document["conduct"]:
        yield f"{entry['cue']}:{entry['value']}", entry["quote"]
    for entry in document["hypothetical"]:
        yield f"hypothetical:{entry['cue']}", entry["quote"]
    for entry in document["stated_loyalty"]:
        yield f"stated:{entry['kind']}", entry["quote"]
    if document["tenure"]:
        yield "tenure", document["tenure"]


def by_length(texts: Sequence[TokenizedText], tokens: int, seed: int) -> list[list[int]]:
    """Indices of the texts in batches of about `tokens` tokens, padding counted; the batches in random order."""
    rng = random.Random(seed)
    # A little noise keeps the same texts from meeting in every epoch.
    order = sorted(range(len(texts)), key=lambda i: len(texts[i].ids) * rng.uniform(0.9, 1.1))
    batches: list[list[int]] = [[]]
    longest = 0
    for i in order:
        longest = max(longest, len(texts[i].ids) + 2)
        if batches[-1] and (len(batches[-1]) + 1) * longest > tokens:
            batches.append([])
            longest = len(texts[i].ids) + 2
        batches[-1].append(i)
    rng.shuffle(batches)
    return batches


def collate(
    texts: Sequence[TokenizedText], special: tuple[int, int, int], first_window: bool = False
) -> tuple[Tensor, Tensor, Layout]:
    """Padded ids and attention mask (n_windows, n_tokens), and their layout.

    special: ids of the class, separator and padding token.
    """
    cls, sep, pad = special
    rows: list[tuple[list[int], list[int], list[int]]] = []
    sentence_text: list[int] = []
    for t, text in enumerate(texts):
        owner = np.repeat(np.arange(len(text.sentences)), [b - a for a, b in text.token_spans]) + len(sentence_text)
        sentence_text += [t] * len(text.sentences)
        windows = text.windows[:1] if first_window else text.windows
        for a, b in windows:
            rows.append(([cls, *text.ids[a:b], sep], [-1, *[t] * (b - a), -1], [-1, *owner[a:b], -1]))
    width = max(len(r[0]) for r in rows)

    def padded(column: int, fill: int) -> Tensor:
        return torch.tensor([[int(x) for x in r[column]] + [fill] * (width - len(r[column])) for r in rows])

    ids = padded(0, pad)
    mask = torch.tensor([[1] * len(r[0]) + [0] * (width - len(r[0])) for r in rows])
    layout = Layout(padded(1, -1), padded(2, -1), len(texts), len(sentence_text), torch.tensor(sentence_text))
    return ids, mask, layout
