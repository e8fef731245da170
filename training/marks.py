"""Annotations of texts that are not ours to pass on: marks by offset here, the sentences in the data they came from.

    python -m training.marks --data DATA --out conduct.jsonl --sentiment sentences.jsonl
        --passages passages.jsonl --orders orders.jsonl --verdicts verdicts.jsonl

joins `training/texts/conduct_marks.jsonl` and `sentiment_marks.jsonl` with the texts below DATA (conduct/, loyalty/ and
sentiment/, see docs/training.md) and writes what `python -m training.finetune` takes: annotated documents (--conduct),
labelled sentences (--sentiment), the same inside the texts that they stand in (--passages), and pairs of texts of which
one is kinder, since a sentence of praise or blame was added (--orders); and, out of texts/passages.jsonl, plain posts
in which a few sentences judge (--verdicts).
"""

import argparse
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from model.reading.table import read_table

TEXTS = Path(__file__).parent / "texts"
MARKS = TEXTS / "conduct_marks.jsonl"
SENTIMENT_MARKS = TEXTS / "sentiment_marks.jsonl"
PASSAGES = TEXTS / "passages.jsonl"
# Their columns with the text.
FILES = {
    "loyalty/recommend_train.parquet": "text",
    "loyalty/stars_train.parquet": "text",
    "loyalty/updated_reviews.parquet": "text",
    "sentiment/train.parquet": "text",
    "loyalty/stated_intent.parquet": "text_masked",
    "conduct/train.jsonl": "text",
}
# Of a digest in sentiment_marks.jsonl; there are many, and none has to be safe from anyone.
SHORT = 16
LETTERS = {"N": "negative", "U": "neutral", "P": "positive"}
# Characters between two sentences that follow one another, and words of both together at most.
GAP = 2
ORDERED_WORDS = 60
QUOTED = ("conduct", "hypothetical", "stated_loyalty")

Row = dict[str, Any]


def digest(text: str) -> str:
    """What a text is found again by."""
    return hashlib.sha256(text.encode()).hexdigest()


def pack(document: Row) -> Row:
    """An annotated document with offsets for its quotes and a digest for its text.

    Raises ValueError where a quote does not occur in the text.
    """
    text = document["text"]
    packed = {k: document[k] for k in ("id", "source", "role", "failure", "repurchase", "wom", "annotator")}
    packed |= {"sha256": digest(text), "tenure": _span(text, document["tenure"]) if document["tenure"] else None}
    for part in QUOTED:
        packed[part] = [
            {**{k: v for k, v in entry.items() if k != "quote"}, "span": _span(text, entry["quote"])}
            for entry in document[part]
        ]
    return packed


def unpack(marks: Row, text: str) -> Row:
    """The annotated document again."""
    document = {k: v for k, v in marks.items() if k not in ("sha256", *QUOTED)} | {"text": text}
    document["tenure"] = text[slice(*marks["tenure"])] if marks["tenure"] else None
    for part in QUOTED:
        document[part] = [
            {**{k: v for k, v in entry.items() if k != "span"}, "quote": text[slice(*entry["span"])]}
            for entry in marks[part]
        ]
    return document


def _span(text: str, quote: str) -> list[int]:
    start = text.find(quote)
    if start < 0:
        raise ValueError(f"the quote {quote!r} does not occur in its text")
    return [start, start + len(quote)]


def candidates(rows: Iterable[Row], column: str = "text") -> Iterator[str]:
    """The texts that may have been annotated: as they are, and with their title in front."""
    for row in rows:
        yield row[column]
        if row.get("title"):
            yield f"{row['title']}. {row[column]}"


def texts_below(data: Path) -> Iterator[str]:
    """All texts of FILES below data that may have been annotated."""
    for name, column in FILES.items():
        yield from candidates(read_table(data / name, column).to_pylist(), column)


def annotated(marks: Path, data: Path) -> tuple[list[Row], int]:
    """The documents of a file of marks whose text is found below data, and how many were not found."""
    wanted = {m["sha256"]: m for m in map(json.loads, marks.read_text(encoding="utf-8").splitlines())}
    texts = {key: text for text in texts_below(data) if (key := digest(text)) in wanted}
    return [unpack(m, texts[key]) for key, m in wanted.items() if key in texts], len(wanted) - len(texts)


def passages(marks: Path, below: Iterable[str]) -> tuple[list[Row], int]:
    """Texts of a file of marks, each with [start, end, label] of its labelled sentences; how many marks found no text.

    A line of marks holds the digest of a text and [start, end, letter of the label] for each mark in it. below: the
    texts among which they are looked for.
    """
    wanted = {m["sha256"]: m["marks"] for m in map(json.loads, marks.read_text(encoding="utf-8").splitlines())}
    texts = {key: text for text in below if (key := digest(text)[:SHORT]) in wanted}
    rows = [
        {"text": texts[key], "marks": [[start, end, LETTERS[letter]] for start, end, letter in spans]}
        for key, spans in wanted.items()
        if key in texts
    ]
    return rows, sum(len(spans) for key, spans in wanted.items() if key not in texts)


def labelled(rows: Sequence[Row]) -> list[Row]:
    """The sentences and short passages that are marked in these texts, each by itself, with their labels."""
    return [
        {"text": row["text"][start:end], "label": label, "source": "marked"}
        for row in rows
        for start, end, label in row["marks"]
    ]


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Pairs of texts (lower, higher) out of labelled sentences that follow one another: both together, and one alone.

    A sentence of blame makes what it joins lower, one of praise higher; neutral ones and long pairs are left out.
    """
    pairs: list[Row] = []
    for row in rows:
        for (start, middle, first), (again, end, second) in pairwise(sorted(row["marks"])):
            both = row["text"][start:end]
            if not 0 <= again - middle <= GAP or len(both.split()) > ORDERED_WORDS:
                continue
            for alone, added in ((row["text"][start:middle], second), (row["text"][again:end], first)):
                if added != "neutral":
                    lower, higher = (both, alone) if added == "negative" else (alone, both)
                    pairs.append({"lower": lower, "higher": higher})
    return pairs


def verdicts(rows: Sequence[Row]) -> list[Row]:
    """Posts of plain sentences and those of one tone, out of passages with a label for every sentence: text, label.

    However few its sentences of praise or blame are, they are what such a post says as a whole.
    """
    found: list[Row] = []
    for row in rows:
        for tone in ("positive", "negative"):
            kept = [(row["text"][start:end], label) for start, end, label in row["marks"] if label in (tone, "neutral")]
            if {label for _, label in kept} == {tone, "neutral"}:
                found.append({"text": " ".join(text for text, _ in kept), "label": tone, "source": "verdicts"})
    return found


def write(rows: Sequence[Row], missing: int, out: Path) -> None:
    """Writes JSON lines and says how many there are."""
    out.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    print(f"{out}: {len(rows)} rows, {missing} whose text was not found")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path, help="annotated documents")
    parser.add_argument("--sentiment", type=Path, help="labelled sentences")
    parser.add_argument("--passages", type=Path, help="the same sentences inside their texts")
    parser.add_argument("--orders", type=Path, help="pairs of texts of which one is kinder")
    parser.add_argument(
        "--verdicts", type=Path, help="plain posts of our own with a verdict in them, as labelled texts"
    )
    a = parser.parse_args()
    write(*annotated(MARKS, a.data), a.out)
    found, missing = passages(SENTIMENT_MARKS, texts_below(a.data))
    if a.sentiment:
        write(labelled(found), missing, a.sentiment)
    if a.passages:
        write(found, missing, a.passages)
    if a.orders:
        write(ordered(found), missing, a.orders)
    if a.verdicts:
        write(verdicts([json.loads(line) for line in PASSAGES.read_text(encoding="utf-8").splitlines()]), 0, a.verdicts)


if __name__ == "__main__":
    main()
