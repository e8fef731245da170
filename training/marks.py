"""Annotations of texts that are not ours to pass on: marks by offset here, the sentences in the data they came from.

    python -m training.marks --data DATA --out conduct_more.jsonl

joins `training/texts/conduct_marks.jsonl` with the texts below DATA (loyalty/ and sentiment/, see docs/training.md) and
writes annotated documents as `python -m training.finetune --conduct` takes them.
"""

import argparse
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from model.reading.table import read_table

MARKS = Path(__file__).parent / "texts" / "conduct_marks.jsonl"
FILES = (
    "loyalty/recommend_train.parquet",
    "loyalty/stars_train.parquet",
    "loyalty/updated_reviews.parquet",
    "sentiment/train.parquet",
)
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


def candidates(rows: Iterable[Row]) -> Iterator[str]:
    """The texts that may have been annotated: as they are, and with their title in front."""
    for row in rows:
        yield row["text"]
        if row.get("title"):
            yield f"{row['title']}. {row['text']}"


def annotated(marks: Path, data: Path) -> tuple[list[Row], int]:
    """The documents of a file of marks whose text is found below data, and how many were not found."""
    wanted = {m["sha256"]: m for m in map(json.loads, marks.read_text(encoding="utf-8").splitlines())}
    texts: dict[str, str] = {}
    for name in FILES:
        for text in candidates(read_table(data / name, "text").to_pylist()):
            key = digest(text)
            if key in wanted:
                texts[key] = text
    return [unpack(m, texts[key]) for key, m in wanted.items() if key in texts], len(wanted) - len(texts)


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--marks", type=Path, default=MARKS)
    parser.add_argument("--out", required=True, type=Path)
    a = parser.parse_args()
    documents, missing = annotated(a.marks, a.data)
    a.out.write_text("".join(json.dumps(d, ensure_ascii=False) + "\n" for d in documents), encoding="utf-8")
    print(f"{a.out}: {len(documents)} documents, {missing} whose text was not found")


if __name__ == "__main__":
    main()
