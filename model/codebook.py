"""The vocabulary of conduct: which cues are read, which values they take, and what each of them means.

The names are explained in docs/codebook.md; heads, features and reports all use these and no others.
"""

from collections.abc import Collection
from typing import Final, Literal

from model.types import InputError

CUES: Final[dict[str, tuple[str, ...]]] = {
    "contact": ("made", "none"),
    "initiative": ("proactive",),
    "speed": ("fast", "slow"),
    "apology": ("given", "hollow", "absent"),
    "empathy": ("shown", "lacking"),
    "courtesy": ("courteous", "rude"),
    "explanation": ("given", "absent"),
    "responsibility": ("accepted", "denied"),
    "redress": (
        "refund",
        "cash",
        "replacement",
        "repair",
        "voucher",
        "gift",
        "discount",
        "extra_service",
        "promised",
        "refused",
    ),
    "adequacy": ("below", "meets", "exceeds"),
    "solved": ("yes", "partly", "no"),
    "promise": ("kept", "broken"),
    "follow_up": ("done", "absent"),
    "effort": ("low", "high"),
    "responder": ("executive", "headquarters", "front_line", "dealer", "contractor", "bot"),
    "repeat_failure": ("yes",),
    "prior_notice": ("yes",),
    "silence_demand": ("yes",),
    "suspicion": ("yes",),
    "visibility": ("yes",),
}

CUE_VALUES: Final[tuple[str, ...]] = tuple(f"{cue}:{value}" for cue, values in CUES.items() for value in values)

# Values by which the author says that something did not happen. They are observations, not gaps:
# a cue that nobody mentions has no value at all.
ABSENT_VALUES: Final[frozenset[str]] = frozenset(
    {"contact:none", "apology:absent", "explanation:absent", "follow_up:absent", "redress:refused", "solved:no"}
)

# Who never answered did nothing of this.
EXCLUDES: Final[dict[str, frozenset[str]]] = {
    "contact:none": frozenset(
        {
            "initiative:proactive",
            "speed:fast",
            "apology:given",
            "apology:hollow",
            "explanation:given",
            "responsibility:accepted",
            "responsibility:denied",
            "follow_up:done",
        }
    ),
}

STATED_LOYALTY: Final[tuple[str, ...]] = ("stay", "leave", "promote", "warn")

SENTENCE_LABELS: Final[tuple[str, ...]] = (
    *CUE_VALUES,
    *(f"hypothetical:{cue}" for cue in CUES),
    *(f"stated:{kind}" for kind in STATED_LOYALTY),
    "tenure",
)
"""One column each in the sentence head: 49 cue values, 20 hypothetical cues, 4 loyalty statements, tenure."""

ROLES: Final[tuple[str, ...]] = ("customer", "bystander", "commentator", "company", "spam", "unclear")
FAILURE_TYPES: Final[tuple[str, ...]] = (
    "none",
    "product",
    "service",
    "delay",
    "billing",
    "misdescription",
    "safety",
    "data",
    "policy",
)
SEVERITIES: Final[tuple[str, ...]] = ("0", "1", "2", "3")
REPURCHASE: Final[tuple[str, ...]] = ("stay", "undecided", "leave")
WOM: Final[tuple[str, ...]] = ("positive", "mixed", "negative")
SENTIMENT: Final[tuple[Literal["negative", "neutral", "positive"], ...]] = ("negative", "neutral", "positive")

DOCUMENT_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "role": ROLES,
    "failure": FAILURE_TYPES,
    "severity": SEVERITIES,
    "repurchase": REPURCHASE,
    "wom": WOM,
}
"""What the document head predicts from the utterance vector: one softmax per field."""


def check_excluded(labels: Collection[str], field: str) -> None:
    """Raises InputError, for that field, where two of the labels can't be true of one case."""
    for label, others in EXCLUDES.items():
        wrong = sorted(others.intersection(labels))
        if label in labels and wrong:
            raise InputError(
                f"{label} and {wrong[0]} exclude each other",
                code="contradiction",
                field=field,
                got=f"{label} and {', '.join(wrong)}",
                expected="one of them",
            )
