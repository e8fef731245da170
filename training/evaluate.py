"""Figures of a bundle on labelled data that it was not trained on, beside baselines, with bootstrap intervals."""

from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, precision_recall_fscore_support, recall_score

from model.codebook import CUE_VALUES, SENTIMENT
from model.encoder import Encoder
from model.reading.bytes import decode
from model.reading.table import check_once, json_line, missing_column, read_bytes, read_table
from model.scorer import Scorer
from model.segment import tokenize
from model.sentiment import is_close
from model.types import InputError, Sentiment
from training.calibrate import expected_calibration_error
from training.loyalty import (
    customer_documents,
    document_examples,
    outcome_number,
    recommend_examples,
    stars_examples,
)
from training.loyalty_figures import document_figures, interval, word_figures

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
View = Callable[[Floats, Ints], dict[str, Any]]
FREQUENT = 20


def class_figures(truth: Ints, predicted: Ints) -> dict[str, Any]:
    """Macro F1, macro recall, accuracy and figures by class of a three-class prediction, with intervals."""

    def macro(kind: Callable[..., float]) -> Callable[[Ints], float]:
        return lambda rows: float(
            kind(truth[rows], predicted[rows], average="macro", labels=[0, 1, 2], zero_division=0)
        )

    everything = np.arange(len(truth))
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, predicted, labels=[0, 1, 2], zero_division=0
    )
    return {
        "n": len(truth),
        "macro_f1": round(macro(f1_score)(everything), 4),
        "macro_f1_interval": interval(len(truth), macro(f1_score)),
        "macro_recall": round(macro(recall_score)(everything), 4),
        "macro_recall_interval": interval(len(truth), macro(recall_score)),
        "accuracy": round(float((truth == predicted).mean()), 4),
        "by_class": {
            name: {"precision": round(p, 4), "recall": round(r, 4), "f1": round(f, 4), "n": int(s)}
            for name, p, r, f, s in zip(SENTIMENT, precision, recall, f1, support, strict=True)
        },
    }


def sentiment_figures(
    scorer: Scorer,
    source: str,
    *,
    by_source: bool = False,
    target_column: str | None = None,
    views: Sequence[View] = (),
) -> dict[str, Any]:
    """The bundle, VADER, TextBlob and the majority class on a table with text and label (and source).

    target_column: what the labels are towards; the bundle's sentiment of the whole text is then a baseline too.
    views: what else is wanted of the probabilities (n, 3) and the true labels (n,); their figures are added.
    """
    rows = labelled(Path(source), by_source)
    texts, labels = [r["text"] for r in rows], [SENTIMENT.index(r["label"]) for r in rows]
    targets = [str(r[target_column]) for r in rows] if target_column else None
    found = scorer.sentiment(texts, targets)
    truth = np.asarray(labels)
    probabilities = as_array(found)
    predicted = probabilities.argmax(axis=1)
    figures = {"bundle": class_figures(truth, predicted)}
    figures["bundle"]["ece"] = round(expected_calibration_error(probabilities, truth), 4)
    figures["bundle"]["brier"] = round(float(((probabilities - np.eye(3)[truth]) ** 2).sum(axis=1).mean()), 4)
    if targets:
        whole = [s.label if s else "neutral" for s in scorer.sentiment(texts)]
        figures["whole_text"] = class_figures(truth, np.asarray([SENTIMENT.index(label) for label in whole]))
    figures["vader"] = class_figures(truth, vader(texts))
    figures["textblob"] = class_figures(truth, textblob(texts))
    figures["majority"] = class_figures(truth, np.full(len(truth), Counter(labels).most_common(1)[0][0]))
    if by_source:
        sources = np.asarray(["none" if r["source"] in (None, "") else str(r["source"]) for r in rows])
        figures["by_source"] = {
            s: class_figures(truth[sources == s], predicted[sources == s]) for s in sorted({*sources})
        }
    for view in views:
        figures |= view(probabilities, truth)
    return figures


def as_array(found: Sequence[Sentiment | None]) -> Floats:
    """Probabilities (n, 3) in the order of SENTIMENT; a text without words is surely neutral."""
    return np.asarray([(s.negative, s.neutral, s.positive) if s else (0.0, 1.0, 0.0) for s in found])


def labelled(path: Path, by_source: bool = False) -> list[dict[str, Any]]:
    """Rows of a table with text and a label of SENTIMENT, whose case and surrounding space do not matter.

    by_source: `source` is needed too. Raises InputError naming the column that is missing, or the row and what was got.
    """
    table = read_table(path, "text")
    for name in ("label", "source") if by_source else ("label",):
        if name not in table.column_names:
            missing_column(path.name, name, table.column_names)
        check_once(table.column_names, name, path.name)
    rows: list[dict[str, Any]] = table.to_pylist()
    for number, row in enumerate(rows, start=1):
        label = row["label"].strip().casefold() if isinstance(row["label"], str) else row["label"]
        if label not in SENTIMENT or not isinstance(row["text"], str):
            wrong = "text" if label in SENTIMENT else "label"
            raise InputError(
                f"{path.name}, row {number}: the {wrong} can't be used",
                code="bad_row",
                field=wrong,
                got=repr(row[wrong]),
                expected="a text" if wrong == "text" else ", ".join(SENTIMENT),
            )
        row["label"] = label
    return rows


def textblob(texts: Sequence[str]) -> Ints:
    """Labels of TextBlob's lexicon with the same thresholds."""
    from textblob import TextBlob

    scores = np.asarray([TextBlob(t).sentiment.polarity for t in texts])
    return np.where(scores >= 0.05, 2, np.where(scores <= -0.05, 0, 1))


def vader(texts: Sequence[str]) -> Ints:
    """Labels of VADER (Hutto and Gilbert 2014) with the thresholds that its authors recommend, 0.05 either side."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyser = SentimentIntensityAnalyzer()
    scores = np.asarray([analyser.polarity_scores(t)["compound"] for t in texts])
    return np.where(scores >= 0.05, 2, np.where(scores <= -0.05, 0, 1))


def conduct_figures(scorer: Scorer, path: Path, only: Set[str] | None = None) -> dict[str, Any]:
    """Cue values found by document against an annotation: micro F1, macro F1 over frequent values, F1 of each.

    only: the texts that count, all of them by default.
    """
    documents = [d for d in annotated_documents(path) if only is None or d["text"] in only]
    readings = scorer.conduct([d["text"] for d in documents])
    truth = np.asarray([[v in _annotated(d) for v in CUE_VALUES] for d in documents])
    predicted = np.asarray(
        [[v in {f"{c.cue}:{c.value}" for c in r.cues if c.value} for v in CUE_VALUES] for r in readings]
    )

    def micro(rows: Ints) -> float:
        return float(f1_score(truth[rows].ravel(), predicted[rows].ravel(), zero_division=0))

    by_value = {
        v: {"f1": round(float(f1_score(truth[:, i], predicted[:, i], zero_division=0)), 4), "n": int(truth[:, i].sum())}
        for i, v in enumerate(CUE_VALUES)
    }
    frequent = [f["f1"] for f in by_value.values() if f["n"] >= FREQUENT]
    hypothetical = [
        (h["cue"], h["quote"], d["text"], r)
        for d, r in zip(documents, readings, strict=True)
        for h in d["hypothetical"]
    ]
    return {
        "documents": len(documents),
        "micro_f1": round(micro(np.arange(len(documents))), 4),
        "micro_f1_interval": interval(len(documents), micro),
        "macro_f1_frequent": round(float(np.mean(frequent)), 4) if frequent else None,
        "hypothetical_taken_for_fact": [sum(_taken_for_fact(*h) for h in hypothetical), len(hypothetical)],
        "role_accuracy": _accuracy([d["role"] for d in documents], [r.role for r in readings]),
        "failure_accuracy": _accuracy([d["failure"]["type"] for d in documents], [r.failure for r in readings]),
        "by_value": by_value,
    }


def annotated_documents(path: Path) -> list[dict[str, Any]]:
    """Documents of a JSON-lines file after docs/training.md. Raises InputError naming the line and what it lacks."""
    documents = []
    for number, line in enumerate(decode(read_bytes(path), path.name)[0].split("\n"), start=1):
        if not line.strip():
            continue
        document = json_line(line, number, path.name)
        missing = [k for k in ("text", "role", "failure", "conduct", "hypothetical") if k not in document]
        if missing:
            raise InputError(
                f"{path.name}, line {number}: no annotated document",
                code="missing_field",
                field=f"line {number}",
                got=f"no {', '.join(missing)}",
                expected="text, role, failure, conduct and hypothetical (docs/training.md)",
            )
        documents.append(document)
    return documents


def checked_outcomes(path: Path, column: str, allowed: Set[float]) -> None:
    """Raises InputError naming the first row whose company is missing or whose outcome is none of `allowed`."""
    for number, row in enumerate(read_table(path, "text").to_pylist(), start=1):
        for name, fine in (
            ("company", row.get("company") is not None),
            (column, outcome_number(row[column]) in allowed),
        ):
            if not fine:
                raise InputError(
                    f"{path.name}, row {number}: the {name} can't be used",
                    code="bad_row",
                    field=name,
                    got=repr(row.get(name)),
                    expected="a name" if name == "company" else ", ".join(f"{v:g}" for v in sorted(allowed)),
                )


def _annotated(document: dict[str, Any]) -> set[str]:
    return {f"{e['cue']}:{e['value']}" for e in document["conduct"]}


def _taken_for_fact(cue: str, quote: str, text: str, reading: Any) -> bool:
    start = text.find(quote)
    inside = [c for c in reading.cues if c.cue == cue and c.start < start + len(quote) and start < c.end]
    return any(c.state != "hypothetical" for c in inside)


def _accuracy(truth: Sequence[str], probabilities: Sequence[Any]) -> float:
    return round(float(np.mean([max(p, key=p.get) == t for t, p in zip(truth, probabilities, strict=True)])), 4)


def evaluate(
    task: str,
    path: Path,
    scorer: Scorer,
    *,
    by_source: bool = False,
    target_column: str | None = None,
    views: Sequence[View] = (),
) -> dict[str, Any]:
    """Figures of one task on a labelled file: the one entry for the command line.

    sentiment: a table with text and label, towards the target in target_column if there is one. conduct: annotated
    documents, JSON lines. loyalty: text, company and `recommended` (0, 1) or `rating` (1 to 5) in a table, or
    annotated documents. views: see sentiment_figures. Raises InputError where the file lacks what the task needs.
    """
    if task == "sentiment":
        if target_column:
            read_table(path, target_column)
        return sentiment_figures(scorer, str(path), by_source=by_source, target_column=target_column, views=views)
    if task == "conduct":
        return conduct_figures(scorer, path)
    columns = read_table(path, "text").column_names
    if "recommended" in columns:
        checked_outcomes(path, "recommended", {0, 1})
        return word_figures(scorer.bundle.loyalty, recommend_examples(scorer, path))
    if "rating" in columns:
        checked_outcomes(path, "rating", {1, 2, 3, 4, 5})
        return word_figures(scorer.bundle.loyalty, stars_examples(scorer, path))
    if {"repurchase", "wom"} <= set(columns):
        annotated_documents(path)
        return document_figures(scorer.bundle.loyalty, document_examples(scorer, customer_documents([path])))
    raise InputError(
        f"{path.name} holds no outcome",
        code="missing_column",
        field="column",
        got=", ".join(columns),
        expected="a column recommended (0, 1) or rating (1 to 5), or annotated documents with repurchase and wom",
    )


def agreement(scorer: Scorer, other: Encoder, texts: Sequence[str]) -> dict[str, Any]:
    """How far the bundle as it serves and the float encoder differ in the sentiment of the same texts.

    by_tokens: the same by length. eight_bits: the same without the second look at close calls. again: share of texts
    that are looked at a second time; gap: of probabilities below which they are, by default .04, and .07 with AMX.
    """
    bundle = scorer.bundle
    tokenized = tokenize(texts, bundle.tokenizer, bundle.max_tokens)
    texts = [text for text, t in zip(texts, tokenized, strict=True) if len(t.ids) and scorer.has_words(text)]
    lengths = np.asarray([len(t.ids) for t in tokenize(texts, bundle.tokenizer, bundle.max_tokens)])

    def said(encoder: Encoder, exact: Encoder | None) -> list[Sentiment]:
        found = Scorer(replace(bundle, encoder=encoder, exact=exact)).sentiment(texts)
        return [sentiment for sentiment in found if sentiment]

    floats, small, served = said(other, None), said(bundle.encoder, None), said(bundle.encoder, bundle.exact)
    same, gap = _differences(served, floats)
    edges = [0, 8, 16, 32, 64, 128, 256, 10**9]
    by_length = {}
    for low, high in pairwise(edges):
        rows = (lengths >= low) & (lengths < high)
        if rows.any():
            by_length[f"{low}-{high - 1}" if high < 10**9 else f"{low}+"] = _gap(same[rows], gap[rows])
    close = [is_close(s, length, bundle.close) for s, length in zip(small, lengths.tolist(), strict=True)]
    again = float(np.mean(close)) if bundle.exact is not None else 0.0
    alone = _gap(*_differences(small, floats))
    return {
        **_gap(same, gap),
        "by_tokens": by_length,
        "eight_bits": alone,
        "again": round(again, 4),
        "gap": bundle.close,
    }


def _differences(ours: Sequence[Sentiment], theirs: Sequence[Sentiment]) -> tuple[NDArray[np.bool_], Floats]:
    """For each text: whether the labels are the same, and the largest difference of a probability."""
    same = np.asarray([a.label == b.label for a, b in zip(ours, theirs, strict=True)])
    rows = [np.asarray([(s.negative, s.neutral, s.positive) for s in side]) for side in (ours, theirs)]
    return same, np.abs(rows[0] - rows[1]).max(axis=1)


def _gap(same: NDArray[np.bool_], gap: Floats) -> dict[str, Any]:
    return {
        "texts": len(same),
        "label_agreement": round(float(same.mean()), 4),
        "largest_difference": round(float(gap.max()), 4),
        "mean_difference": round(float(gap.mean()), 5),
    }
