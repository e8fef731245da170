"""Bodies of the HTTP API, with descriptions and examples that run when posted as they are."""

from typing import Annotated, Any, Literal, Self

import bentoml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from model.types import Band, InputError

MAX_TEXTS = 1000
MAX_CASES = 1000
MAX_FEEDBACK = 1000
MAX_TEXT_CHARACTERS = 100_000
MAX_TARGET_CHARACTERS = 200

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
    as_of: str | None = Field(
        default=None,
        description="A moment in ISO 8601: what was written later is left out, and what has no known time unless "
        "something that stays answers it.",
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
            "examples": [
                {"texts": ["Great help, thank you!", "Awful. They ignored me for weeks.", ""]},
                {"texts": ["I love my Corva, but the garage kept it for weeks."], "targets": ["garage"]},
            ]
        },
    )

    texts: list[Annotated[Any, WithJsonSchema({"type": "string"})]] = Field(
        description=f"At most {MAX_TEXTS:,} texts of at most {MAX_TEXT_CHARACTERS:,} characters.", max_length=MAX_TEXTS
    )
    targets: list[Annotated[Any, WithJsonSchema({"type": ["string", "null"]})]] | None = Field(
        default=None,
        description="What the sentiment of each text is wanted towards: a brand, a product, a part of the service; "
        f"null for the whole text. As many as texts, each of at most {MAX_TARGET_CHARACTERS} characters.",
    )

    @model_validator(mode="after")
    def _one_target_a_text(self) -> Self:
        if self.targets is not None and len(self.targets) != len(self.texts):
            raise InputError(
                "There must be a target for each text",
                code="targets_and_texts",
                field="targets",
                got=f"{len(self.targets)} targets for {len(self.texts)} texts",
                expected="as many targets as texts, null for the whole text",
            )
        return self


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
    masked: dict[str, int] | None = Field(
        default=None,
        description="Personal data that was masked before scoring, by kind; null where the server doesn't mask.",
    )


class ReadRequest(Body):
    """A page, an export or a text, to be read into threads and not scored."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "content": "text,author\nThe kettle leaked.,Ines\nMine too; they sent a refund.,Omar\n",
                    "format": "csv",
                    "brand": "Brightpot",
                },
                {"content_base64": "VGhlIGtldHRsZSBsZWFrZWQu", "name": "post.txt", "brand": "Brightpot"},
            ]
        },
    )

    content: str | None = Field(default=None, description="The page, export or text itself. May hold several threads.")
    content_base64: str | None = Field(
        default=None,
        description=(
            "A file as bytes in Base64 instead of `content`: for Parquet, for what is packed (gzip, Zstandard) and "
            "for pages whose encoding has to be found."
        ),
    )
    name: str | None = Field(
        default=None, max_length=1000, description="Name of the file; its suffix helps to find the format."
    )
    format: str = Field(
        default="auto", description="`html`, `text`, `jsonl`, `csv` or that of an export; `auto` finds out."
    )
    brand: str | None = Field(default=None, description="The company that `content` is about.")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.content is None) == (self.content_base64 is None):
            raise InputError(
                "Give either content or content_base64",
                code="missing" if self.content is None else "one_content",
                field="content",
                got="neither" if self.content is None else "both",
                expected="one of the two",
            )
        return self


class ReadResponse(Body):
    """The threads in order, as `/v1/score` takes them; `warnings` of each say what could not be read."""

    threads: list[dict[str, Any]]


class Limits(BaseModel):
    """The most that one request may hold."""

    texts: int = Field(description="Texts in a request to /v1/sentiment.")
    text_characters: int = Field(description="Characters of each of them.")
    cases: int = Field(description="Cases in a request to /v1/loyalty.")
    body_bytes: int = Field(description="Bytes of the body of any request.")
    utterances: int = Field(description="Utterances in a request to /v1/score or /v1/read, or in an item of a job.")
    feedback: int = Field(description="Items in a request to /v1/feedback.")
    job_items: int = Field(description="Items in a job.")
    seconds: float = Field(description="Time for one request.")
    languages: list[str] = Field(description="Languages that the heads were trained on, ISO 639-1.")


class Labels(BaseModel):
    """Every value that an answer may hold, by what it says."""

    sentiment: list[str]
    role: list[str]
    failure: list[str]
    severity: list[str]
    stated: list[str]
    repurchase: list[str]
    wom: list[str]
    band: list[str]
    status: list[str]


class ModelResponse(Body):
    """The bundle that answers."""

    version: str
    digest: str = Field(description="SHA-256 over the files of the bundle.")
    base: str | None = Field(description="The model that it was fine-tuned from.")
    created: str | None = Field(description="Date of the release.")
    figures: dict[str, Any] | None = Field(
        description="What was measured on held-out data, by task (docs/evaluate.md)."
    )
    limits: Limits
    masks_personal_data: bool = Field(description="Whether e-mail addresses, phone, card and IBAN numbers are masked.")
    labels: Labels
    cues: dict[str, list[str]] = Field(description="The values of each cue of conduct.")


def _one_or_several(value: object, check: ValidatorFunctionWrapHandler) -> str | list[str]:
    # One error for both, with the path of the cue: pydantic's own names each kind of value in the path.
    try:
        known: str | list[str] = check(value)
    except ValidationError:
        raise PydanticCustomError("string_type", "Input should be a text or a list of texts") from None
    return known


class LoyaltyCase(BaseModel):
    """How the company dealt with one customer, from its own records."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str | None = Field(default=None, max_length=200, description="Comes back with the estimate.")
    cues: dict[str, Annotated[str | list[str], WrapValidator(_one_or_several)]] = Field(
        default_factory=dict,
        description=(
            "Cues of conduct and their values, as /v1/model lists them. redress and responder may have several; every "
            "other cue has one. A cue that nothing is known of is left out."
        ),
    )
    severity: float = Field(
        ge=0, le=3, description="0: no failure, 1: an inconvenience, 2: money or a day lost, 3: health or a large loss."
    )
    failure: bool | None = Field(default=None, description="Whether something went wrong; null: if severity is over 0.")
    tenure: bool | None = Field(default=None, description="Whether this is a customer of old; null: not known.")
    valence: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="Sentiment of what the customer says; null: the conduct-only fit answers.",
    )


class _SchemaOfCase:
    """Describes an item as a LoyaltyCase; each is checked on its own later, so that a bad one stays alone."""

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(LoyaltyCase.__pydantic_core_schema__)


class LoyaltyRequest(Body):
    """Cases to estimate one by one. A case that can't be used gets an error in its own place."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "cases": [
                        {
                            "id": "C-1",
                            "cues": {"apology": "given", "speed": "fast", "redress": ["refund", "voucher"]},
                            "severity": 1,
                            "failure": True,
                            "tenure": True,
                        },
                        {"id": "C-2", "cues": {"contact": "none", "solved": "no"}, "severity": 2, "valence": -0.8},
                    ]
                }
            ]
        },
    )

    cases: list[Annotated[Any, _SchemaOfCase()]] = Field(
        description=f"At most {MAX_CASES:,} cases.", max_length=MAX_CASES
    )


class Contribution(BaseModel):
    """What a feature adds to the index, in index points; `base` is the index of a case of which nothing is known."""

    feature: str
    contribution: float


class CaseEstimate(BaseModel):
    """Loyalty of one customer (docs/loyalty.md). The contributions of the evidence add up to the index."""

    id: str | None
    fit: Literal["full", "conduct"] = Field(description="`full` used the valence, `conduct` had none.")
    repurchase: dict[str, Probability]
    wom: dict[str, Probability]
    advocate: Probability
    churn: Probability
    index: Annotated[float, Field(ge=0, le=100)]
    low: float = Field(description="Lower end of the 80 % interval of the index.")
    high: float = Field(description="Upper end of it.")
    index_conduct: float = Field(description="The index of the conduct-only fit.")
    band: Band
    evidence: list[Contribution]
    coverage: Probability = Field(description="Share of the cues that matter of which something is known.")
    missing: list[str] = Field(description="The others.")


class LoyaltyResponse(Body):
    """One result per case, in order."""

    results: list[CaseEstimate | Failure]
    bundle: BundleRef
