"""The command `amends review`: labels that look wrong, and texts whose label would teach most."""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from model.review import Readings, doubtful, error_reason, read_texts, teaching, teaching_reason
from model.scorer import Scorer
from model.types import InputError, Sentiment
from service.files import check_output, replacing
from service.settings import Settings
from service.store import open_existing
from service.texts import GivenText, different, texts_of_feedback, texts_of_file, texts_of_jobs

if TYPE_CHECKING:
    from service.cli import Load

Purpose = Literal["errors", "teaching"]

MOST: Final = 10_000
CUT: Final = 100


@dataclass(frozen=True)
class Found:
    """One text to look at. rank: from 1. purpose: why it is listed, in words in `reason`."""

    rank: int
    purpose: Purpose
    given: GivenText
    sentiment: Sentiment
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """As a labelled example (docs/review.md): with the label corrected, `amends retrain` takes it.

        A text without a label has null there, until somebody gives one.
        """
        predicted = asdict(self.sentiment)
        label = predicted.pop("label")
        predicted.pop("valence")
        return {
            "kind": "sentiment",
            "text": self.given.text,
            "label": self.given.label,
            "target": self.given.target,
            "client": self.given.client,
            "predicted": {"label": label, "probabilities": predicted},
            "review": {
                "rank": self.rank,
                "purpose": self.purpose,
                "reason": self.reason,
                "source": self.given.source,
                "place": self.given.place,
            },
        }


def run(args: argparse.Namespace, load: "Load") -> int:
    """Runs the command and returns its exit code."""
    if args.out:
        check_output(args.out)
    texts = different(given_texts(args.files, args.kept, args.database, args.text_column, args.label_column))
    if len(texts) > MOST:
        raise InputError(
            "Too many texts to review at once",
            code="too_many",
            field="files",
            got=f"{len(texts):,} texts",
            expected=f"at most {MOST:,}",
        )
    labelled = sum(one.label is not None for one in texts)
    if args.purpose == "errors" and not labelled:
        raise InputError(
            "No text has a label that could be wrong",
            code="no_labels",
            field=args.label_column,
            got=f"{len(texts):,} texts without a label",
            expected=f"a column {args.label_column!r}",
        )
    found = review(load(args.bundle, threads=args.threads), texts, args.purpose, args.top)
    lines = [json.dumps(one.to_dict(), ensure_ascii=False) + "\n" for one in found]
    if args.out:
        with replacing(args.out) as path:
            path.write_text("".join(lines), encoding="utf-8", newline="\n")
    if args.json:
        sys.stdout.write("".join(lines))
    else:
        print(table(found), end="")
    errors = sum(one.purpose == "errors" for one in found)
    where = f"; wrote {args.out}" if args.out else ""
    _say(
        f"{len(texts):,} different texts, {labelled:,} labelled: {errors:,} labels that look wrong, "
        f"{len(found) - errors:,} texts that would teach{where}"
    )
    return 0


def given_texts(
    files: Sequence[Path],
    kept: str | None,
    database: str | None,
    text_column: str = "text",
    label_column: str | None = "label",
) -> list[GivenText]:
    """The texts of the files, or the last MOST of what the server has kept: "feedback", "jobs", or "service" for both.

    label_column: None where labels are of no matter.

    Raises InputError where both or neither are given, or where there is no text.
    """
    if bool(files) == bool(kept):
        got = "both" if files else "neither"
        raise InputError(
            "Give files or --from", code="files_or_from", field="files", got=got, expected="one of the two"
        )
    if not kept:
        found = [one for file in files for one in texts_of_file(file, text_column, label_column)]
    else:
        with closing(open_existing(database or Settings.from_env().database)) as store:
            found = texts_of_feedback(store, MOST) if kept in ("feedback", "service") else []
            found += texts_of_jobs(store, MOST - len(found)) if kept in ("jobs", "service") else []
    if not found:
        source = f"what the server has kept ({kept})" if kept else ", ".join(map(str, files))
        raise InputError(f"There is no text in {source}", code="no_texts", field="files", got="none", expected="a text")
    return found


def review(scorer: Scorer, texts: Sequence[GivenText], purpose: str, top: int) -> list[Found]:
    """What is to be looked at, at most `top` for each purpose: "errors", "teaching" or "both"."""
    readings = read_texts(scorer, [one.text for one in texts], [one.target for one in texts])
    wrong = _errors(texts, readings)[:top] if purpose != "teaching" else []
    # A label that may be wrong is listed once, whatever it would teach.
    rest = [i for i in range(len(texts)) if i not in set(wrong)]
    taught = [rest[i] for i in teaching(readings.part(rest), top)] if purpose != "errors" else []
    return [
        *(_found(rank, "errors", texts[i], readings.sentiments[i]) for rank, i in enumerate(wrong, 1)),
        *(_found(rank, "teaching", texts[i], readings.sentiments[i]) for rank, i in enumerate(taught, 1)),
    ]


def _errors(texts: Sequence[GivenText], readings: Readings) -> list[int]:
    there = [i for i, one in enumerate(texts) if one.label is not None and readings.sentiments[i] is not None]
    labels = [one.label for one in (texts[i] for i in there) if one.label is not None]
    if not labels:
        return []
    part = readings.part(there)
    try:
        from training.label_errors import enough, wrong_labels

        if enough(labels):
            return [there[i] for i in wrong_labels(labels, part.probabilities)]
        why = "some label is too rare to tell how sure the model usually is of it"
    except ModuleNotFoundError:
        why = 'cleanlab is not installed (pip install "amends[review]")'
    _say(f"{why}: every label that the model contradicts is listed")
    return [there[i] for i in doubtful(part.probabilities, labels)]


def _found(rank: int, purpose: Purpose, given: GivenText, sentiment: Sentiment | None) -> Found:
    if sentiment is None:
        raise InputError("a text without words can't be reviewed", code="no_words", got=given.place)
    wrong = purpose == "errors" and given.label is not None
    reason = error_reason(sentiment, given.label or "") if wrong else teaching_reason(sentiment)
    return Found(rank, purpose, given, sentiment, reason)


def table(found: Sequence[Found]) -> str:
    """Lines for people: rank, given and likely label, probability of the latter, where, text, reason."""
    titles = {"errors": "Labels that look wrong", "teaching": "Texts whose label would teach most"}
    lines: list[str] = []
    for purpose, title in titles.items():
        part = [one for one in found if one.purpose == purpose]
        if part:
            lines += [*([""] if lines else []), title]
            lines.append(f"{'':>4}  {'given':8}  {'likely':8}  {'p':>4}  text")
            lines += [_line(one) for one in part]
    return "\n".join(lines) + "\n" if lines else "Nothing to look at.\n"


def _line(one: Found) -> str:
    s = one.sentiment
    text = " ".join(one.given.text.split())
    short = text if len(text) <= CUT else f"{text[: CUT - 1]}…"
    where = f"{one.given.source}, {one.given.place}"
    return (
        f"{one.rank:4}  {one.given.label or '-':8}  {s.label:8}  {getattr(s, s.label):4.2f}  {short}\n"
        f"{'':32}{one.reason}; {where}"
    )


def _say(line: str) -> None:
    print(f"amends: {line}", file=sys.stderr)
