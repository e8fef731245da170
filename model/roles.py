"""Who speaks: customer, bystander, commentator or company; from the model, the place and plain wording."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model.codebook import ROLES
from model.types import Role, Utterance

# The model was trained on reviews and complaints, nearly all of them by customers; under a post most people are not.
# Odds relative to the training data, chosen by hand and checked on pages that no head was trained on.
PLACE: dict[str, dict[str, float]] = {
    "review": {"customer": 1.0, "bystander": 1.0, "commentator": 1.0, "company": 1.0, "spam": 1.0, "unclear": 1.0},
    "post": {"customer": 1.0, "bystander": 1.0, "commentator": 2.0, "company": 1.0, "spam": 0.5, "unclear": 0.5},
    "comment": {"customer": 0.3, "bystander": 4.0, "commentator": 2.0, "company": 1.0, "spam": 0.5, "unclear": 1.0},
}

_I = r"\b(?:i|we|my (?:wife|husband|partner|mother|father|son|daughter))"
_DEALINGS = re.compile(
    rf"{_I}(?:'ve| have| had|'d)? (?:just |also |already |recently |finally |never |even )?"
    r"(?:bought|purchased|ordered|owned?|paid|returned|called|rang|phoned|e-?mailed|complained|cancell?ed|switched|"
    r"received|booked|flew|leased|subscribed|waited|been (?:a )?(?:customer|client|waiting)|got (?:a|my|our)|"
    r"took (?:it|my|the)|sent (?:it|them|mine)|spoke|filed|contacted)\b"
    r"|\b(?:mine|my|our|ours) (?:\w+ ){0,3}(?:broke|failed|died|stopped|leaked|arrived|was|got|is|caught)\b"
    r"|\b(?:called|rang|phoned|contacted|told|sent|gave|offered|refunded|charged|e-?mailed|wrote(?: to)?|helped|"
    r"answered|ignored|promised|asked|paid|owes?|lied to|treated|apologi[sz]ed to) (?:me|us)\b"
    r"|\bwe had (?:the|a|an|one) |\b(?:cost|took) (?:me|us)\b"
    r"|\btook them (?:\w+ )?(?:minutes|hours|days|weeks|months|years)\b"
    r"|\b(?:i|we) (?:will|won't|would|wouldn't|shall|am|are)(?: not| never| gladly| surely| definitely| be)* (?:renew|"
    r"buy|order|fly|book|come back|return|switch|cancel|go back|leav|stay|chang)"
    r"|\bif (?:i|we) (?:will |should )?(?:renew|stay|leave|cancel|switch)\b"
    r"|\bi'?m (?:on|with) my (?:\w+) \w+"
    r"|\b(?:happened|same) (?:to|with|for) (?:me|us|mine|ours)\b|\b(?:mine|ours|me) too\b|\bsame (?:\w+ )?here\b"
    r"|\bmy (?:order|account|bill|claim|contract|refund|replacement|case|complaint|booking|subscription)\b",
    re.IGNORECASE,
)
_COMPANY = re.compile(
    r"\bon behalf of\b|\bwe(?:'re| are)? (?:sincerely |truly |deeply |very |so )*(?:apologi[sz]e|sorry)\b"
    r"|\bour (?:customer (?:care|service)|support team|team|engineers|customers)\b"
    r"|\b(?:please )?(?:dm|e-?mail|contact|write to|reach) us\b|\bhere at \w+"
    r"|\bi (?:lead|head|run|manage|work in|am (?:from|with|in)) (?:the|our) (?:\w+ ){0,2}(?:team|department|desk)\b"
    r"|\bon our (?:side|end|part)\b|\b(?:taken|taking) over your case\b",
    re.IGNORECASE,
)
_COMPANY_NAME = re.compile(
    r"\b(?:support|customer (?:care|service|relations)|care team|official|helpdesk|community manager)\b", re.I
)
_AFFILIATION = re.compile(r"[(\[]([\w&.' -]{2,40})[)\]]\s*$|(?:,| at | from | @)\s*([A-Z][\w&.'-]+)\s*$")
_EXPERT = re.compile(
    r"\bconsult(?:ant|ing|ancy)\b|\bworking (?:inside|in the industry)\b|\bas an? (?:\w+ )?"
    r"(?:expert|analyst|consultant|journalist|marketer|lawyer|engineer|professional)\b"
    r"|\b(?:brands?|companies|businesses|organi[sz]ations|firms) (?:should|must|need|could|can|that|who)\b"
    r"|\bi (?:advise|consult|work with)\b"
    r"|\bcustomer (?:experience|loyalty|service)\b.{0,60}\b(?:brands?|compan(?:y|ies)|marketing|businesse?s?)\b"
    r"|\b(?:keynote|speaker|author of|our software|my book)\b",
    re.IGNORECASE,
)
FACTORS: dict[str, dict[str, float]] = {
    "own dealings": {"customer": 8.0, "company": 0.5},
    "says to stay or to leave": {"customer": 8.0},
    "speaks for the company": {"company": 60.0, "customer": 0.5},
    "named like a company account": {"company": 30.0},
    "speaks as an expert": {"commentator": 4.0},
    # The head has seen so few others that it calls nearly everybody a customer.
    "no dealings of their own": {"customer": 0.03},
}


@dataclass(frozen=True, slots=True)
class RoleDecision:
    """A role with its probability in [0, 1] and the reason in words."""

    role: Role
    probability: float
    reason: str


def decide_role(
    utterances: Sequence[Utterance],
    probabilities: Sequence[Mapping[str, float]],
    brand: str | None = None,
    subject: str = "",
    *,
    states_loyalty: bool = False,
) -> RoleDecision:
    """Role of the author of at least one utterance.

    probabilities: of the roles as the document head sees each utterance. subject: title, address and post of the
    thread, where a company that somebody carries in their name ("Ann (Brightpot)") would be mentioned.
    states_loyalty: whether the text says to stay or to leave, which only customers can. Odds multiply:
    the head's view (averaged by length), the prior of the place and the signals found in the wording.
    """
    if any("company" in u.flags for u in utterances):
        return RoleDecision("company", 1.0, "marked as the company's account by the page")
    odds = _mean(probabilities, [len(u.text) for u in utterances])
    place = _place(utterances)
    found = _signals(utterances, brand, subject, states_loyalty)
    for factors in (PLACE[place], *(FACTORS[signal] for signal in found)):
        odds = {role: p * factors.get(role, 1.0) for role, p in odds.items()}
    total = sum(odds.values())
    role = max(odds, key=odds.__getitem__)
    return RoleDecision(role, odds[role] / total, "; ".join([*found, f"wording of a {role} in a {place}"]))  # type: ignore[arg-type]


def _mean(probabilities: Sequence[Mapping[str, float]], weights: Sequence[int]) -> dict[str, float]:
    total = sum(weights) or 1
    return {r: sum(p[r] * w for p, w in zip(probabilities, weights, strict=True)) / total + 1e-4 for r in ROLES}


def _place(utterances: Sequence[Utterance]) -> str:
    if any(u.kind == "post" for u in utterances):
        return "post"
    alone = all(u.kind == "review" or (u.kind == "tweet" and u.parent is None) for u in utterances)
    return "review" if alone else "comment"


def _same(name: str, brand: str | None) -> bool:
    return brand is not None and brand.casefold() in name.casefold()


def _affiliated(name: str, brand: str | None, subject: str) -> bool:
    """Whether the name ends with a company that the thread is about."""
    found = _AFFILIATION.search(name)
    house = next(filter(None, found.groups()), "").strip().casefold() if found else ""
    return bool(house) and house in (brand or subject).casefold()


def _signals(utterances: Sequence[Utterance], brand: str | None, subject: str, states_loyalty: bool) -> list[str]:
    text = "\n".join(u.text for u in utterances)
    names = {u.author.name for u in utterances if u.author}
    signals = []
    dealings = _DEALINGS.search(text)
    if dealings:
        signals.append("own dealings")
    if states_loyalty:
        signals.append("says to stay or to leave")
    if not dealings and not states_loyalty and _place(utterances) != "review":
        signals.append("no dealings of their own")
    if _COMPANY.search(text) and not dealings:
        signals.append("speaks for the company")
    if any(_COMPANY_NAME.search(n) or _affiliated(n, brand, subject) or _same(n, brand) for n in names):
        signals.append("named like a company account")
    if _EXPERT.search(text):
        signals.append("speaks as an expert")
    return signals
