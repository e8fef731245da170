"""The endpoint `/v1/review`: texts in the order in which a person's label is worth most."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from model.review import Readings, doubtful, error_reason, margins, read_texts, teaching, teaching_reason
from model.scorer import Scorer, chunks
from model.types import InputError, Sentiment
from service.errors import describe
from service.schemas import MAX_TEXT_CHARACTERS, MAX_TEXTS, Body, BundleRef, Failure, Probability, Problem
from service.store import Store
from service.texts import GivenText, different, texts_of_feedback, texts_of_jobs

MOST_TOP: Final = 200
# Texts that are encoded between two looks at whether the caller still waits.
SLICE: Final = 64


class ReviewRequest(Body):
    """Texts to choose from, or where the server takes them from: one of the two."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "texts": [
                        "Great help, thank you!",
                        "Well, that went splendidly. Third kettle in a month.",
                        "The parcel is here.",
                    ],
                    "top": 2,
                },
                {"source": "jobs", "top": 20},
            ]
        },
    )

    texts: list[Annotated[Any, WithJsonSchema({"type": "string"})]] | None = Field(
        default=None,
        description=f"At most {MAX_TEXTS:,} texts of at most {MAX_TEXT_CHARACTERS:,} characters.",
        max_length=MAX_TEXTS,
    )
    source: Literal["jobs", "feedback"] | None = Field(
        default=None,
        description=f"The last {MAX_TEXTS:,} texts that jobs have scored, or that came as feedback on a sentiment. "
        "Feedback is ranked by how surely the model contradicts its label.",
    )
    top: int = Field(default=50, ge=1, le=MOST_TOP, description="Most texts of the answer.")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.texts is None) == (self.source is None):
            raise InputError(
                "Give either texts or source",
                code="texts_or_source",
                field="texts, source",
                got="neither" if self.texts is None else "both",
                expected="one of the two",
            )
        return self


class ReviewItem(BaseModel):
    """A text that is worth a label."""

    index: int | None = Field(description="Its place in `texts`; null where the server took it from its source.")
    text: str
    given: str | None = Field(description="The label that it has already; null without one.")
    target: str | None = Field(description="What that label is towards; null for the whole text.")
    label: str = Field(description="The likeliest label.")
    negative: Probability
    neutral: Probability
    positive: Probability
    margin: Probability = Field(description="Between the two likeliest labels: 0 is a coin's toss.")
    reason: str = Field(description="Why it is listed.")


class ReviewResponse(Body):
    """Texts in the order in which a label is worth most, and those that can't be used."""

    items: list[ReviewItem]
    failed: list[Failure]
    bundle: BundleRef


def given_of(request: ReviewRequest) -> tuple[list[GivenText], list[Failure]]:
    """The texts of a request that can be used, with their places in it as `place`, and an error for each other."""
    given, failed = [], []
    for i, text in enumerate(request.texts or ()):
        if isinstance(text, str) and len(text) <= MAX_TEXT_CHARACTERS:
            given.append(GivenText(text, "texts", str(i)))
        else:
            failed.append(_failure(i, text))
    return given, failed


def kept_texts(store: Store, source: str) -> list[GivenText]:
    """The last texts of a source of the server."""
    if source == "jobs":
        return texts_of_jobs(store, MAX_TEXTS)
    return [one for one in texts_of_feedback(store, MAX_TEXTS) if one.label is not None]


def ranked(
    scorer: Scorer, given: Sequence[GivenText], failed: list[Failure], top: int, go_on: Callable[[], None]
) -> ReviewResponse:
    """The answer. go_on: called now and then; raises where nobody waits any more."""
    texts = different(given)
    readings = _read(scorer, texts, go_on)
    worded = {i for i, sentiment in enumerate(readings.sentiments) if sentiment is not None}
    failed = [*failed, *(_wordless(one) for i, one in enumerate(texts) if i not in worded and one.source == "texts")]
    if texts and texts[0].label is not None:
        order = [i for i in doubtful(readings.probabilities, [one.label or "" for one in texts]) if i in worded][:top]
    else:
        order = teaching(readings, top)
    margin = margins(readings.probabilities)
    items = [_item(texts[i], s, float(margin[i])) for i in order if (s := readings.sentiments[i])]
    return ReviewResponse(items=items, failed=failed, bundle=BundleRef(**asdict(scorer.info)))


def _read(scorer: Scorer, texts: Sequence[GivenText], go_on: Callable[[], None]) -> Readings:
    parts = []
    start = 0
    for part in chunks([one.text for one in texts], SLICE):
        go_on()
        some = texts[start : start + len(part)]
        start += len(part)
        parts.append(read_texts(scorer, [one.text for one in some], [one.target for one in some]))
    if not parts:
        return read_texts(scorer, [])
    return Readings([s for p in parts for s in p.sentiments], np.concatenate([p.vectors for p in parts]))


def _item(one: GivenText, sentiment: Sentiment, margin: float) -> ReviewItem:
    reason = teaching_reason(sentiment) if one.label is None else error_reason(sentiment, one.label)
    return ReviewItem(
        index=int(one.place) if one.source == "texts" else None,
        text=one.text,
        given=one.label,
        target=one.target,
        label=sentiment.label,
        negative=sentiment.negative,
        neutral=sentiment.neutral,
        positive=sentiment.positive,
        margin=min(1.0, max(0.0, margin)),
        reason=reason,
    )


def _failure(index: int, text: object) -> Failure:
    long = isinstance(text, str)
    return Failure(
        error=Problem(
            code="text_too_long" if long else "not_a_text",
            message="This text is too long" if long else "This item is no text",
            field=f"texts.{index}",
            got=describe(text),
            expected=f"at most {MAX_TEXT_CHARACTERS} characters" if long else "a text",
        )
    )


def _wordless(one: GivenText) -> Failure:
    message = "This text is empty or holds no words"
    field = f"texts.{one.place}"
    return Failure(error=Problem(code="no_words", message=message, field=field, got="no words", expected="words"))
