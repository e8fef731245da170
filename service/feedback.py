"""Feedback: what people know better than the model, or what became of a customer. Checked, kept, read page by page."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from sqlalchemy import RowMapping

from model.codebook import CUES
from model.types import BundleInfo, InputError
from service.errors import describe, to_api_error
from service.files import replacing
from service.schemas import MAX_FEEDBACK, MAX_TEXT_CHARACTERS, Body, BundleRef, Failure
from service.store import NewFeedback, Store
from service.what_if_http import features_seen, parsed_case
from service.what_if_schemas import SchemaOfCase

MAX_PREDICTED: Final = 10_000
EXPORT_ROWS: Final = 1000

# No control characters: PostgreSQL keeps no NUL, and nobody could read such a name in a log.
Name = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")]
ClientId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS, pattern=r"\S")]


def _iso_date(value: object) -> date:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return date.fromisoformat(value)
    raise ValueError("a date such as 2026-03-31 is expected")


class _Item(BaseModel):
    """What every kind of feedback may hold."""

    model_config = ConfigDict(extra="forbid", strict=True)

    client_id: ClientId | None = Field(
        default=None, description="Your own name for this item: sent again, it is kept once. At most 200 characters."
    )
    thread_id: Name | None = Field(default=None, description="Which thread it is about.")
    utterance_id: Name | None = Field(default=None, description="Which utterance of the thread.")
    case_id: Name | None = Field(default=None, description="Which case, by your own name.")
    author: Name | None = Field(default=None, description="Whose words or whose case.")
    target: Name | None = Field(default=None, description="What the words are about, such as a company or a product.")
    predicted: Any = Field(default=None, description="What the model had said, as JSON.")

    @field_validator("predicted")
    @classmethod
    def _short(cls, value: object) -> object:
        if len(canonical(value)) > MAX_PREDICTED:
            raise ValueError(f"at most {MAX_PREDICTED} characters of JSON are expected")
        return value


class SentimentFeedback(_Item):
    """The sentiment of a text as a person sees it."""

    kind: Literal["sentiment"]
    text: Text
    label: Literal["negative", "neutral", "positive"]


class CueFeedback(_Item):
    """Whether a text reports a conduct of the company."""

    kind: Literal["cue"]
    text: Text
    cue: str = Field(description="As /v1/model lists them.", json_schema_extra={"enum": list(CUES)})
    value: str = Field(description="One of the cue's own values.")
    state: Literal["present", "absent", "hypothetical", "not_mentioned"]
    quote: str | None = Field(default=None, min_length=1, description="The words of the text that say so.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.cue not in CUES:
            raise _wrong("unknown_cue", "There is no such cue", "cue", self.cue[:100], ", ".join(CUES))
        if self.value not in CUES[self.cue]:
            expected = ", ".join(CUES[self.cue])
            raise _wrong("unknown_value", f"{self.cue} has no such value", "value", self.value[:100], expected)
        if self.quote is not None and self.quote not in self.text:
            raise _wrong("not_in_text", "The quote does not occur in the text", "quote", self.quote[:100], "its words")
        return self


class _OfCase(_Item):
    """What prediction and outcome have in common."""

    case: Annotated[dict[str, Any], SchemaOfCase()] | None = Field(
        default=None,
        description="The case as it was known when the model answered: `case` of /v1/advise or /v1/what-if, or what "
        "/v1/loyalty was asked.",
    )
    predicted_at: Annotated[date, BeforeValidator(_iso_date)] | None = Field(
        default=None, description="The day on which the model answered, ISO 8601."
    )

    @model_validator(mode="after")
    def _case_fits(self) -> Self:
        if self.predicted_at is not None:
            _check_past(self.predicted_at, "predicted_at")
        if self.case is not None:
            _check_case(self.case)
        return self


class PredictionFeedback(_OfCase):
    """What the model had said of a case: kept so that an outcome that is seen later can be joined with it."""

    kind: Literal["prediction"]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.case_id is None and (self.thread_id is None or self.author is None):
            raise _wrong(
                "missing", "Whose case is it?", "case_id", "neither", "case_id, or thread_id and author, or all three"
            )
        if self.case is None and self.predicted is None:
            raise _wrong("missing", "What had the model seen or said?", "case", "neither", "case, predicted or both")
        return self


class OutcomeFeedback(_OfCase):
    """What became of a customer."""

    kind: Literal["outcome"]
    outcome: Literal["bought_again", "left", "recommended", "warned"]
    observed_at: Annotated[date, BeforeValidator(_iso_date)] = Field(description="The day it was seen, ISO 8601.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.case_id is None and self.author is None:
            raise _wrong("missing", "Whose outcome is it?", "case_id, author", "neither", "one of the two or both")
        _check_past(self.observed_at, "observed_at")
        if self.predicted_at is not None and self.observed_at < self.predicted_at:
            raise _wrong(
                "seen_before",
                "This was seen before the model answered",
                "observed_at",
                self.observed_at.isoformat(),
                f"{self.predicted_at.isoformat()} or later",
            )
        return self


Kind = SentimentFeedback | CueFeedback | PredictionFeedback | OutcomeFeedback
Feedback = Annotated[Kind, Field(discriminator="kind")]
KINDS: Final[Mapping[str, type[Kind]]] = {
    "sentiment": SentimentFeedback,
    "cue": CueFeedback,
    "prediction": PredictionFeedback,
    "outcome": OutcomeFeedback,
}


class _SchemaOfFeedback:
    """Describes an item as Feedback; each is checked on its own later, so that a bad one stays alone."""

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(TypeAdapter(Feedback).core_schema)


class FeedbackRequest(Body):
    """Items to keep. One that can't be used gets an error in its own place."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "kind": "sentiment",
                            "text": "Well, that went splendidly. Third kettle in a month.",
                            "label": "negative",
                            "predicted": "positive",
                        },
                        {
                            "kind": "cue",
                            "text": "They never said sorry.",
                            "cue": "apology",
                            "value": "absent",
                            "state": "absent",
                            "quote": "never said sorry",
                        },
                        {
                            "kind": "prediction",
                            "case_id": "C-1",
                            "case": {"cues": {"contact": "none", "solved": "no"}, "severity": 2, "valence": -0.8},
                            "predicted_at": "2026-02-02",
                        },
                        {
                            "kind": "outcome",
                            "case_id": "C-1",
                            "outcome": "bought_again",
                            "observed_at": "2026-03-31",
                            "client_id": "crm-81",
                        },
                    ]
                }
            ]
        },
    )

    items: list[Annotated[Any, _SchemaOfFeedback()]] = Field(
        description=f"At most {MAX_FEEDBACK:,} items.", max_length=MAX_FEEDBACK
    )


class Kept(BaseModel):
    """An item that is kept for good."""

    id: int = Field(description="Its number, which rises with every item.")


class FeedbackResponse(Body):
    """One result per item, in order."""

    results: list[Kept | Failure]


class KeptFeedback(BaseModel):
    """Feedback as it is kept: what was sent, and what the service notes of it."""

    model_config = ConfigDict(extra="allow")

    id: int
    received_at: str = Field(description="ISO 8601, UTC.")
    key: str | None = Field(description="Name of the API key that sent it; null where none was asked for.")
    bundle: BundleRef = Field(description="The bundle that answered when it came in.")


class FeedbackPage(Body):
    """Feedback, oldest first."""

    items: list[KeptFeedback]
    next: int | None = Field(description="`after` of the next page; null: nothing more yet.")


def keep(store: Store, items: Sequence[Any], caller: str, bundle: BundleInfo) -> FeedbackResponse:
    """Checks the items and keeps the good ones in one transaction. caller: name of the API key, "" for none."""
    checked = [_checked(i, item) for i, item in enumerate(items)]
    good = [one for one in checked if isinstance(one, NewFeedback)]
    numbers = iter(store.add_feedback(good, caller, bundle) if good else [])
    return FeedbackResponse(
        results=[one if isinstance(one, Failure) else _kept(i, next(numbers)) for i, one in enumerate(checked)]
    )


def page(store: Store, after: int, limit: int) -> dict[str, Any]:
    """A FeedbackPage as JSON."""
    found = store.feedback(after, limit)
    return {"items": [_row(row) for row in found.rows], "next": found.after}


def export(store: Store, out: Path) -> int:
    """Writes all feedback as JSON lines, oldest first, and gives their number. out appears when all is done."""
    count = 0
    with replacing(out) as path, path.open("w", encoding="utf-8") as lines:
        for row in every(store):
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def canonical(value: object) -> str:
    """A JSON value as text, the same for equal values, in ASCII. Raises ValueError for numbers that are none."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def every(store: Store) -> Iterator[dict[str, Any]]:
    """All feedback as `export` writes it, oldest first."""
    after: int | None = 0
    while after is not None:
        found = store.feedback(after, EXPORT_ROWS)
        yield from (_row(row) for row in found.rows)
        after = found.after


def _row(row: RowMapping) -> dict[str, Any]:
    return {
        "id": row["id"],
        "received_at": iso_time(row["received"]),
        "key": row["caller"] or None,
        "bundle": {"version": row["bundle_version"], "digest": row["bundle_digest"]},
        "client_id": row["client_id"],
        **json.loads(row["item"]),
    }


def iso_time(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _checked(index: int, item: object) -> NewFeedback | Failure:
    try:
        known = _kind(item).model_validate(item)
        content = known.model_dump(mode="json", exclude_none=True, exclude={"client_id"})
        return NewFeedback(known.kind, canonical(content), known.client_id)
    except (InputError, ValidationError) as error:
        return Failure(error=to_api_error(error, f"items.{index}").problem)


def _kind(item: object) -> type[Kind]:
    if not isinstance(item, dict):
        raise InputError("This item is no object", code="not_an_object", got=describe(item), expected="an object")
    kind = item.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        got = kind[:100] if isinstance(kind, str) else "nothing" if kind is None else describe(kind)
        raise _wrong("unknown_kind", "There is no such kind of feedback", "kind", got, ", ".join(KINDS))
    return KINDS[kind]


def _check_past(day: date, field: str) -> None:
    # Somewhere it is tomorrow already.
    if day > datetime.now(UTC).date() + timedelta(days=1):
        raise _wrong("future_date", "This day is yet to come", field, day.isoformat(), "a past day")


def _check_case(given: dict[str, Any]) -> None:
    try:
        features_seen(parsed_case(given))
    except (InputError, ValidationError) as error:
        problem = to_api_error(error, "case").problem
        raise _wrong(
            problem.code, problem.message, problem.field or "case", problem.got or "", problem.expected or ""
        ) from None


def _kept(index: int, number: int | None) -> Kept | Failure:
    if number is not None:
        return Kept(id=number)
    error = _wrong(
        "client_id_reused",
        "This client_id was sent before with other content",
        f"items.{index}.client_id",
        "other content than the first time",
        "the same content, or a client_id that is new",
    )
    return Failure(error=to_api_error(error).problem)


def _wrong(code: str, message: str, field: str, got: str, expected: str) -> InputError:
    return InputError(message, code=code, field=field, got=got, expected=expected)
