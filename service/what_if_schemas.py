"""Bodies of /v1/what-if and /v1/advise, with descriptions and examples that run when posted as they are."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, TypeAdapter, WithJsonSchema, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from model.types import InputError, Status
from service.errors import shown
from service.schemas import MAX_CASES, MAX_TEXT_CHARACTERS, Body, BundleRef, Failure, LoyaltyCase, Probability

MAX_SETS = 100
MOST_DIGITS = 20
SOURCES = ("content", "text", "thread", "cases")

Index = Annotated[float, Field(ge=0, le=100)]


class SeenCase(BaseModel):
    """What the loyalty head saw of one customer, as these endpoints return it in `case`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str | None = Field(default=None, max_length=200, description="Comes back with the answer.")
    probabilities: dict[str, Probability] = Field(
        description="How likely it is that each `cue:value`, such as `apology:given`, was reported; others count as 0."
    )
    severity: float = Field(ge=0, le=3, description="Expected severity of the failure, 0 (none) to 3.")
    failure: Probability = Field(description="How likely it is that something went wrong.")
    tenure: Probability = Field(default=0.0, description="How likely it is that this is a customer of old.")
    valence: float | None = Field(
        default=None, ge=-1, le=1, description="Sentiment of what the customer says; what-if answers do not use it."
    )


class Twice(tuple[Any, ...]):
    """Values that an object of JSON gives one name, where they differ."""


class SchemaOfCase:
    """Describes an item as one of the two; each is checked on its own later, so that a bad one stays alone."""

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        either: TypeAdapter[LoyaltyCase | SeenCase] = TypeAdapter(LoyaltyCase | SeenCase)
        return handler(either.core_schema)


KETTLE = "My Brightpot kettle leaked after a week. I wrote three times and nobody answered, let alone said sorry."
THREAD: dict[str, Any] = {
    "id": "t1",
    "brand": "Brightpot",
    "utterances": [
        {"id": "1", "kind": "post", "author": {"name": "Ines"}, "text": KETTLE},
        {
            "id": "2",
            "parent": "1",
            "author": {"name": "Omar"},
            "text": "Mine leaked too. They apologised and sent a refund in a day, so I will buy there again.",
        },
    ],
}
RECORD: dict[str, Any] = {"id": "C-2", "cues": {"contact": "none", "solved": "no"}, "severity": 2}


class Source(Body):
    """Where the cases come from: `content`, a `text`, a `thread`, or `cases` without text. One of them."""

    content: str | None = Field(default=None, description="A page, an export or a text. May hold several threads.")
    format: str = Field(default="auto", description="Format of `content`, as /v1/score takes it.")
    brand: str | None = Field(default=None, description="The company that `content` or `text` is about.")
    text: str | None = Field(
        default=None, max_length=MAX_TEXT_CHARACTERS, description="What one customer wrote, such as a review."
    )
    thread: dict[str, Any] | None = Field(default=None, description="One thread, as /v1/score takes it.")
    cases: list[Annotated[Any, SchemaOfCase()]] | None = Field(
        default=None,
        max_length=MAX_CASES,
        description=(
            f"At most {MAX_CASES:,} cases without text: records as /v1/loyalty takes them, or the `case` that an "
            "earlier answer gave for a customer."
        ),
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            raise InputError(
                f"Give one of {', '.join(SOURCES)}",
                code="one_source",
                field=", ".join(SOURCES),
                got=" and ".join(given) or "none",
                expected="one of them",
            )
        fits = {"format": ("content",), "brand": ("content", "text")}
        wrong = [n for n, sources in fits.items() if n in self.model_fields_set and given[0] not in sources]
        if wrong:
            raise InputError(
                f"{' and '.join(wrong)} can't go with {given[0]}",
                code="does_not_go_with",
                field=", ".join(wrong),
                got=given[0],
                expected=" or ".join(fits[wrong[0]]),
            )
        return self


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found and found[name] != value:
            before = found[name] if isinstance(found[name], Twice) else (found[name],)
            value = Twice((*before, value))
        found[name] = value
    return found


def _number(digits: str) -> int | float:
    # Python makes no whole number of several thousand digits, and nobody means one.
    return int(digits) if len(digits) < MOST_DIGITS else float(digits)


class WhatIfRequest(Source):
    """Cases, and the other conduct to compare with. A case or set that can't be used gets an error in its place."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"text": KETTLE, "set": {"apology": "given", "redress": "refund"}},
                {"thread": THREAD, "author": "Ines", "set": [{"apology": "given"}, {"solved": "yes", "speed": "fast"}]},
                {"cases": [RECORD], "set": [{"solved": "yes"}, {"apology": "given"}]},
            ]
        },
    )

    author: str | None = Field(
        default=None, max_length=1000, description="Whose case; null: that of every customer of the thread."
    )
    set: Annotated[
        Any,
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "object", "additionalProperties": {"type": "string"}},
                    {"type": "array", "maxItems": MAX_SETS, "items": {"type": "object"}},
                ]
            }
        ),
    ] = Field(
        description=(
            "What is to be different: cues and values as /v1/model lists them, `unknown` to take a cue out, `severity` "
            f"from 0 to 3. Or a list of at most {MAX_SETS} such sets, each of which is answered on its own."
        )
    )

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """As pydantic's, but a cue to which a set gives several values keeps them all, as Twice, and not the last."""
        found: Self = super().model_validate_json(json_data, **options)
        given = json.loads(json_data, object_pairs_hook=_object, parse_int=_number)["set"]
        found.set = given[-1] if isinstance(given, Twice) else given
        return found

    @model_validator(mode="after")
    def _sets(self) -> Self:
        if not isinstance(self.set, dict | list) or (isinstance(self.set, list) and len(self.set) > MAX_SETS):
            raise InputError(
                "set holds cues and values, or a list of such sets",
                code="bad_set",
                field="set",
                got=shown(self.set),
                expected=f'such as {{"apology": "given"}}, or a list of at most {MAX_SETS}',
            )
        if self.author is not None and self.cases is not None:
            raise InputError(
                "author belongs to a thread",
                code="does_not_go_with",
                field="author",
                got="cases",
                expected="content, text or thread",
            )
        return self


class AdviseRequest(Source):
    """Cases to find feasible actions for. A case that can't be used gets an error in its place."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"thread": THREAD}, {"text": KETTLE, "brand": "Brightpot"}, {"cases": [RECORD]}]
        },
    )


class Finding(BaseModel):
    """What research says of the direction of a change."""

    sign: Literal[-1, 0, 1] = Field(description="1: better, -1: worse, 0: not known, or findings conflict.")
    certainty: Literal["certain", "likely", "mixed", "none"] = Field(
        description="`certain`: imposed on the fit; `likely`: published, not imposed."
    )
    source: str = Field(description="The finding in words.")


class ChangeEffect(BaseModel):
    """One change taken alone."""

    change: str = Field(description="Such as `apology=given`.")
    difference: float = Field(description="Difference of the index, in index points.")
    published: Finding = Field(description="What research says of the direction.")
    verdict: Literal["agrees", "disagrees", "mixed", "none"] = Field(description="How the difference compares with it.")
    held: bool = Field(description="Whether a part that went against a certain sign was set to zero.")


class WhatIfResult(BaseModel):
    """The case beside comparable posts that report other conduct, on the conduct-only fit (docs/what-if.md)."""

    changes: dict[str, str] = Field(description="The set that was asked for.")
    before: Index = Field(description="Index of the case as it is.")
    after: Index = Field(description="Index of comparable posts that report the changes; never above no_failure.")
    difference: float = Field(description="after - before.")
    low: float = Field(description="Lower end of the 80 % interval of the difference.")
    high: float = Field(description="Upper end of it.")
    no_failure: Index = Field(description="Level of the same case without a failure.")
    capped: bool = Field(description="Whether that level cut the result.")
    repurchase_before: dict[str, Probability]
    repurchase: dict[str, Probability]
    wom_before: dict[str, Probability]
    wom: dict[str, Probability]
    effects: list[ChangeEffect] = Field(description="Each change alone, with what research says of it.")
    sentence: str = Field(description="The result in words, as an association among comparable posts.")


class ThreadRef(BaseModel):
    """Which thread."""

    id: str
    title: str | None
    url: str | None
    brand: str | None


class Other(BaseModel):
    """An author without an estimate."""

    author: str
    role: str
    status: Status
    reason: str | None


class CustomerWhatIf(BaseModel):
    """The answers for one customer, one for each set, in order."""

    author: str
    utterances: list[str] = Field(description="Ids of what the customer wrote.")
    status: Status
    reason: str | None
    case: SeenCase = Field(description="What the loyalty head saw; may be sent back in `cases` instead of the text.")
    what_if: list[WhatIfResult | Failure]


class ThreadWhatIf(BaseModel):
    """The customers of one thread, and who else wrote."""

    thread: ThreadRef
    customers: list[CustomerWhatIf]
    others: list[Other]


class CaseWhatIf(BaseModel):
    """The answers for one case without text, one for each set, in order."""

    id: str | None
    what_if: list[WhatIfResult | Failure]


class WhatIfResponse(Body):
    """`threads` for content, text or a thread; `cases` for cases. One entry each, in order."""

    threads: list[ThreadWhatIf | Failure]
    cases: list[CaseWhatIf | Failure]
    claim: str = Field(description="What kind of statement this is.")
    bundle: BundleRef


class Quote(BaseModel):
    """Words of the author: text[start:end] of the utterance."""

    cue: str
    value: str | None
    state: Literal["present", "absent", "hypothetical"]
    probability: Probability
    quote: str
    start: int
    end: int
    utterance: str | None


class FeasibleAction(BaseModel):
    """Something the company can still do."""

    change: str = Field(description="Such as `apology=given`; `set` of /v1/what-if takes it as a name and a value.")
    what_if: WhatIfResult
    reason: str
    quotes: list[Quote] = Field(description="The author's words that say so; empty where nothing is mentioned.")


class CaseAdvice(BaseModel):
    """What could be done for one case without text."""

    id: str | None
    index: Index
    actions: list[FeasibleAction] = Field(description="At most three, the largest difference first.")
    together: WhatIfResult | None = Field(description="All of them at once.")
    movable: Probability = Field(description="How open the person still is.")
    priority: float = Field(description="Difference of `together` times `movable`, in index points.")
    reasons: list[str] = Field(description="Why the person has this priority.")
    note: str | None = Field(description="What limits the advice.")


class CustomerAdvice(CaseAdvice):
    """What could be done for one customer of a thread."""

    author: str
    status: Status
    utterances: list[str]
    case: SeenCase = Field(description="What the loyalty head saw; /v1/what-if takes it in `cases`.")


class ThreadAdvice(BaseModel):
    """The customers of one thread, whom to contact first in front, and who else wrote."""

    thread: ThreadRef
    customers: list[CustomerAdvice]
    others: list[Other]


class AdviseResponse(Body):
    """`threads` for content, text or a thread; `cases` for cases, in their order. One entry each."""

    threads: list[ThreadAdvice | Failure]
    cases: list[CaseAdvice | Failure]
    claim: str = Field(description="What kind of statement this is.")
    bundle: BundleRef
