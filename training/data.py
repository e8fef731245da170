"""Reads labelled examples and cuts them into batches of about equal length."""

import argparse
import hashlib
import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence, Set
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
from model.target import with_target
from training.network import Layout

FORMATS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".csv": "csv"}


@dataclass(frozen=True)
class SentimentExample:
    """A text with its label, an index into SENTIMENT. soft: probabilities to learn in its place, in the same order."""

    text: TokenizedText
    label: int
    soft: tuple[float, ...] | None = None


@dataclass(frozen=True)
class PassageExample:
    """A window of a text in which some sentences have labels of their own.

    ids: shape (n_tokens,). owner: for each token the labelled sentence that it stands in, -1 for none; the same shape.
    labels: indices into SENTIMENT, one for each of these sentences.
    """

    ids: NDArray[np.int64]
    owner: NDArray[np.int64]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class OrderExample:
    """Two texts of which the second is the kinder one: what was added to either, or taken away, says so."""

    lower: TokenizedText
    higher: TokenizedText


@dataclass(frozen=True)
class TargetExample:
    """A text in front of which its target stands, as model.target.with_target joins them.

    ids: shape (n_tokens,). target: how many of them are the target. label: index into SENTIMENT.
    """

    ids: NDArray[np.int64]
    target: int
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


def normalised(text: str) -> str:
    """Letters and digits in lower case: what makes two copies of a text the same."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def checked_label(row: int, label: object) -> int:
    """Index of a label in SENTIMENT. Raises ValueError with the row where it is none."""
    if label not in SENTIMENT:
        raise ValueError(f"row {row}: label is {label!r}, expected one of {', '.join(SENTIMENT)}")
    return SENTIMENT.index(str(label))


def source_cap(given: str) -> tuple[str, int]:
    """SOURCE=NUMBER of a command line."""
    source, _, number = given.rpartition("=")
    if not source or not number.isdigit():
        raise argparse.ArgumentTypeError(f"got {given!r}, expected SOURCE=NUMBER")
    return source, int(number)


def drawn(
    rows: Dataset,
    *,
    cap: int | None = None,
    caps: Mapping[str, int] | None = None,
    without: Set[str] = frozenset(),
    seed: int = 0,
) -> list[int]:
    """Indices of rows in random order, at most `cap` of each source; every label is checked.

    caps: another cap for some sources. without: normalised texts that are kept for evaluation.
    """
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    sources = list(rows["source"]) if "source" in rows.column_names else ["all"] * len(rows)
    texts, labels = list(rows["text"]), list(rows["label"])
    limits = {source: (caps or {}).get(source, cap) for source in set(sources)}
    taken: dict[str, int] = {}
    chosen: list[int] = []
    for i in order:
        checked_label(i, labels[i])
        limit = limits[sources[i]]
        if (limit is None or taken.get(sources[i], 0) < limit) and not (without and normalised(texts[i]) in without):
            taken[sources[i]] = taken.get(sources[i], 0) + 1
            chosen.append(i)
    return chosen


def sentiment_examples(
    rows: Dataset, tokenizer: Tokenizer, chosen: Sequence[int], *, max_tokens: int
) -> list[SentimentExample]:
    """The chosen rows, which have text and label (negative, neutral, positive), and may have the probability of each.

    Only the first window of a text is used: labels of long reviews say little about any later one.
    """
    texts, labels = list(rows["text"]), list(rows["label"])
    given = set(SENTIMENT) <= set(rows.column_names)
    soft = list(zip(*(rows[name] for name in SENTIMENT), strict=True)) if given else [None] * len(texts)
    tokenized = tokenize([texts[i] for i in chosen], tokenizer, max_tokens)
    pairs = zip(tokenized, chosen, strict=True)
    return [SentimentExample(t, checked_label(i, labels[i]), soft[i]) for t, i in pairs if len(t.ids)]


def passage_examples(
    path: Path, tokenizer: Tokenizer, *, max_tokens: int, cap: int | None = None, seed: int = 0
) -> list[PassageExample]:
    """Windows of texts with labelled sentences: JSON lines of text and marks, each [start, end, label].

    At most `cap` windows: first those in which labels differ, then those with other words around the labelled sentence;
    both drawn at random. A sentence that a window holds in part, or that is all of the window, is left out.
    """
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    tokenized = tokenize([r["text"] for r in rows], tokenizer, max_tokens)
    pairs = zip(rows, tokenized, strict=True)
    found = [e for i, (r, t) in enumerate(pairs) for w in t.windows if (e := _passage(i, r, t, w))]
    random.Random(seed).shuffle(found)
    return sorted(found, key=lambda e: len(set(e.labels)) == 1)[:cap]


def order_examples(
    path: Path, tokenizer: Tokenizer, *, max_tokens: int, cap: int | None = None, seed: int = 0
) -> list[OrderExample]:
    """Pairs of texts, JSON lines with lower and higher, at most `cap` drawn at random."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    random.Random(seed).shuffle(rows)
    sides = (tokenize([r[side] for r in rows[:cap]], tokenizer, max_tokens) for side in ("lower", "higher"))
    return [OrderExample(a, b) for a, b in zip(*sides, strict=True) if len(a.ids) and len(b.ids)]


def _passage(row: int, marked: dict, text: TokenizedText, window: tuple[int, int]) -> PassageExample | None:  # type: ignore[type-arg]
    first, last = window
    owner = np.full(last - first, -1, dtype=np.int64)
    labels: list[int] = []
    for start, end, label in marked["marks"]:
        inside = (text.offsets[:, 0] < end) & (text.offsets[:, 1] > start)
        if inside.any() and inside[first:last].sum() == inside.sum():
            owner[inside[first:last]] = len(labels)
            labels.append(checked_label(row, label))
    alone = len(labels) == 1 and (owner == 0).all()
    return PassageExample(text.ids[first:last], owner, tuple(labels)) if labels and not alone else None


def target_examples(
    rows: Dataset, tokenizer: Tokenizer, chosen: Sequence[int], *, max_tokens: int
) -> list[TargetExample]:
    """The chosen rows, which have text, target and label (negative, neutral, positive, towards the target)."""
    separator = tokenizer.token_to_id("[SEP]")
    if separator is None:
        raise ValueError("the tokenizer has no token [SEP], which parts a target from its text")
    columns = {name: list(rows[name]) for name in ("text", "target", "label")}
    texts, targets = (
        tokenizer.encode_batch([columns[name][i] for i in chosen], add_special_tokens=False)
        for name in ("text", "target")
    )
    examples = []
    for i, text, target in zip(chosen, texts, targets, strict=True):
        index = checked_label(i, columns["label"][i])
        if text.ids and target.ids:
            ids, count = with_target(np.asarray(text.ids), np.asarray(target.ids), separator)
            examples.append(TargetExample(ids[:max_tokens], count, index))
    return examples


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


def by_length(lengths: Sequence[int], tokens: int, seed: int) -> list[list[int]]:
    """Indices of texts of these lengths in batches of about `tokens` padded tokens; the batches in random order."""
    rng = random.Random(seed)
    # A little noise keeps the same texts from meeting in every epoch.
    order = sorted(range(len(lengths)), key=lambda i: lengths[i] * rng.uniform(0.9, 1.1))
    batches: list[list[int]] = [[]]
    longest = 0
    for i in order:
        longest = max(longest, lengths[i] + 2)
        if batches[-1] and (len(batches[-1]) + 1) * longest > tokens:
            batches.append([])
            longest = lengths[i] + 2
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
    ids, mask = _padded([r[0] for r in rows], pad), _padded([[1] * len(r[0]) for r in rows], 0)
    owners, sentences = (_padded([r[column] for r in rows], -1) for column in (1, 2))
    layout = Layout(owners, sentences, len(texts), len(sentence_text), torch.tensor(sentence_text))
    return ids, mask, layout


def collate_passages(
    examples: Sequence[PassageExample], special: tuple[int, int, int]
) -> tuple[Tensor, Tensor, Layout]:
    """As collate: each labelled sentence counts as a text of its own, the words around it belong to none."""
    cls, sep, pad = special
    rows = [[cls, *e.ids, sep] for e in examples]
    owners, count = [], 0
    for e in examples:
        owners.append([-1, *np.where(e.owner < 0, -1, e.owner + count), -1])
        count += len(e.labels)
    ids, mask, owner = _padded(rows, pad), _padded([[1] * len(r) for r in rows], 0), _padded(owners, -1)
    return ids, mask, Layout(owner, owner, count, count, torch.arange(count))


def collate_targets(examples: Sequence[TargetExample], special: tuple[int, int, int]) -> tuple[Tensor, Tensor, Layout]:
    """As collate, for texts with a target in front: the layout marks the tokens of the target alone."""
    cls, sep, pad = special
    rows = [[cls, *e.ids, sep] for e in examples]
    ids, mask = _padded(rows, pad), _padded([[1] * len(r) for r in rows], 0)
    owners = _padded([[-1, *[i] * e.target, *[-1] * (len(e.ids) - e.target + 1)] for i, e in enumerate(examples)], -1)
    return ids, mask, Layout(owners, owners, len(examples), len(examples), torch.arange(len(examples)))


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[int(x) for x in row] + [fill] * (width - len(row)) for row in rows])
