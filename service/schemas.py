"""Bodies of the HTTP API, with descriptions and examples that run when posted as they are."""

from typing import Annotated, Any, Literal, Self

import bentoml
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from model.types import InputError

MAX_TEXTS = 1000
MAX_TEXT_CHARACTERS = 100_000

Probability = Annotated[float, Field(ge=0, le=1)]


class Problem(BaseModel):
    """What is wrong, in words for a person and a code for a program."""

    code: str = Field(description="Short stable name, such as `missing` or `not_a_text`.")
    message: str = Field(description="What is wrong, in a sentence.")
    field: str | None = Field(default=None, description="Which field, column or line.")
    got: str | None = Field(default=None, description="What was there.")
    expected: str | None = Field(default=None, description="What should have been there.")


class Failure(BaseModel):
    """The body of every answer that is not 2xx, and the place of an item that could not be scored."""

    error: Problem


class BundleRef(BaseModel):
    """Which model answered."""

    version: str
    digest: str = Field(description="SHA-256 over the files of the bundle.")


class Body(bentoml.IODescriptor):  # type: ignore[misc]
    """The whole body of a request or a response."""


class ScoreRequest(Body):
    """A page, an export or a text as `content`, or a `thread` that was read elsewhere: one of the two."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "content": (
                        "My kettle from Brightpot leaked after a week. They ignored my first two emails.\n\n"
                        "Then a manager called, said sorry and sent a refund the same day. I will buy there again."
                    ),
                    "brand": "Brightpot",
                },
                {
                    "thread": {
                        "id": "t1",
                        "brand": "Brightpot",
                        "utterances": [
                            {"id": "1", "kind": "post", "text": "Awful. The kettle leaked and nobody answered."},
                            {
                                "id": "2",
                                "parent": "1",
                                "author": {"name": "Ines"},
                                "text": "Same here, but I got a refund in a day and an apology. Great service.",
                            },
                        ],
                    }
                },
            ]
        },
    )

    content: str | None = Field(default=None, description="The page, export or text itself. May hold several threads.")
    format: str = Field(
        default="auto", description="`html`, `text`, `jsonl`, `csv` or that of an export; `auto` finds out."
    )
    brand: str | None = Field(default=None, description="The company that `content` is about.")
    thread: dict[str, Any] | None = Field(
        default=None, description="One thread: `utterances`, each with a `text`, and whatever else is known of them."
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        given = sorted(
            {"content", "thread"} & {name for name in self.model_fields_set if getattr(self, name) is not None}
        )
        if len(given) != 1:
            raise InputError(
                "Give either content or thread",
                code="content_or_thread",
                field="content, thread",
                got=" and ".join(given) or "neither",
                expected="one of the two",
            )
        if self.thread is not None and self.model_fields_set & {"format", "brand"}:
            raise InputError(
                "format and brand belong to content; a thread has a brand of its own",
                code="content_only",
                field="format, brand",
                got="both a thread and one of them",
                expected="thread alone",
            )
        return self


class ScoreResponse(Body):
    """One entry per thread, in order: its report (docs/report.md), or `{"error": …}` where it can't be scored."""

    reports: list[dict[str, Any]]


class SentimentRequest(Body):
    """Texts to score one by one. An item that is null, empty or no text gets an error in its own place."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"texts": ["Great help, thank you!", "Awful. They ignored me for weeks.", ""]}]
        },
    )

    texts: list[Annotated[Any, WithJsonSchema({"type": "string"})]] = Field(
        description=f"At most {MAX_TEXTS:,} texts of at most {MAX_TEXT_CHARACTERS:,} characters.", max_length=MAX_TEXTS
    )


class SentimentItem(BaseModel):
    """Calibrated probabilities that sum to 1; label is the largest; valence = positive - negative."""

    label: Literal["negative", "neutral", "positive"]
    negative: Probability
    neutral: Probability
    positive: Probability
    valence: Annotated[float, Field(ge=-1, le=1)]


class SentimentResponse(Body):
    """One result per text, in order."""

    results: list[SentimentItem | Failure]
    bundle: BundleRef
