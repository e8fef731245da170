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

# From which the head's view of a post that tells of conduct needs no words for dealings; columnists stay below.
PLAIN = 0.8
_I = r"\b(?:i|we|my (?:wife|husband|partner|mother|father|son|daughter))"
_DEALINGS = re.compile(
    rf"{_I}(?:'ve| have| had|'d)? (?:just |also |already |recently |finally |never |even )?"
    r"(?:bought|purchased|ordered|own(?:ed)?|paid|returned|called|rang|phoned|e-?mailed|complained|cancell?ed|switched|"
    r"received|booked|flew|leased|subscribed|waited|been (?:a )?(?:customer|client|waiting)|"
    r"got (?:an?|my|our|two|three|four|\d) (?!question|comment|point|idea|feeling)|"
    r"took (?:it|my|the)|sent (?:it|them|mine)|spoke|filed|contacted)\b"
    r"|\b(?:mine|my|our|ours) (?:\w+ ){0,3}(?:broke|failed|died|stopped|leaked|arrived|came|was|got|is|caught)\b"
    r"|\b(?:called|rang|phoned|contacted|told|sent|gave|offered|refunded|charged|e-?mailed|wrote(?: to)?|helped|"
    r"answered|ignored|promised|asked|paid|owes?|lied to|treated|apologi[sz]ed to) (?:me|us)\b"
    r"|\b(?:lost|left|broke|damag|delay|cancel|sent|kept|return|fix|repair|replac|refund|reject|den[iy]|clos|refus)\w*"
    r" (?:mine|ours|my|our)\b"
    r"|\bwe had (?:the|a|an|one) |\b(?:cost|took) (?:me|us)\b"
    r"|\btook them (?:\w+ )?(?:minutes|hours|days|weeks|months|years)\b"
    r"|\b(?:i|we) (?:will|won't|would|wouldn't|shall|am|are)(?: not| never| gladly| surely| definitely| be)* (?:renew|"
    r"come back|return|switch|cancel|go back|leav|stay|chang"
    r"|(?:buy|order|fly|book)\w*\b[^.!?\n]{0,60}?\b(?:again|another|any ?more|back|next))"
    r"|\bif (?:i|we) (?:will |should )?(?:renew|stay|leave|cancel|switch)\b"
    r"|\bi'?m (?:on|with) my (?:\w+) \w+"
    r"|\b(?:happened|same) (?:to|with|for) (?:me|us|mine|ours)\b|\b(?:mine|ours|me) too\b|\bsame (?:\w+ )?here\b"
    r"|\bmy (?:order|account|bill|claim|contract|refund|replacement|case|complaint|booking|subscription)\b",
    re.IGNORECASE,
)
# Advice to others names what they should do, and says nothing of the adviser.
_ADVICE = re.compile(
    r"\b(?:if i were you|in your (?:place|shoes|position)|you (?:should|ought to|need to|had better|better"
    r"|must)|you'd better)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?\n]*")
# Who may leave has been there. "Never buying one" under somebody else's story is said by people who have not.
_BEEN_THERE = re.compile(
    r"\b(?:again|any ?more|back|another|cancel\w*|switch\w*|renew\w*|my|our|mine|ours|left|leaving|moved|stay\w*"
    r"|stick\w*|loyal|customers?|no longer|last|next|used to|since|years?|months?|done with|closed?|ended)\b",
    re.IGNORECASE,
)
# Who says so has nothing to stay with or to leave.
_NEVER_HAD = re.compile(
    r"\b(?:never|don't|do not|haven't|have not) (?:ever |even )?(?:owned?|bought|used) (?:an?|one|any|their|this)\b"
    r"(?![^.!?\n]*\bagain\b)",
    re.IGNORECASE,
)
# What a company tells a customer it has done for them: no dealings of a customer.
_DONE = (
    r"(?:called|rang|phoned|e-?mailed|written to|wrote to|sent|refunded|credited|paid|replaced|arranged|contacted"
    r"|messaged|reached out to|looked into|issued|processed|reversed|waived|booked|dispatched|shipped)"
)
_DID = rf"(?:'ve| have|'ll| will)? (?:also |just |already |now |since )*{_DONE}\b(?: \w+){{0,4}}? (?:you|your)\b"
_FOR_YOU = re.compile(rf"\b(?:i|we){_DID}", re.IGNORECASE)
_WE_DID = re.compile(
    rf"\bwe{_DID}(?! (?:again|but|and you))"
    r"|\byour (?:refund|replacement|money|parcel|order|voucher|credit)\b[^.!?\n]{0,30}\b(?:was|has been|is|will be)"
    r" (?:paid|sent|processed|issued|dispatched|credited|on its way)",
    re.IGNORECASE,
)
_FROM = re.compile(
    r"\b(?:this is )?[A-Z]\w+,? (?:here )?(?:from|at|of|with) (?:the )?(?P<house>[A-Z][\w&'-]*)(?: \w+){0,2}? here\b"
    r"|\b(?:[Tt]his is|I am|I'm|[Ii]t's) [A-Z]\w+,? (?:from|at|of|with) (?:the )?(?P<of>[A-Z][\w&'-]*)"
    r"|\b[Ii] (?:work|look after [\w ]{2,40}?) (?:at|for) (?P<at>[A-Z][\w&'-]*)"
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
    r"\b(?:support|customer (?:care|service|relations)|care team|helpdesk|community manager)\b|\bofficial\W*$"
    r"|\b(?:seller|owner|management|company|brand|business)(?:'s)? (?:response|reply)\b"
    r"|\bre(?:sponse|ply) from (?:the )?(?:owner|company|seller|business|management)\b",
    re.IGNORECASE,
)
_AFFILIATION = re.compile(
    r"[(\[]([\w&.' -]{2,40})[)\]]\s*$|(?:,| at | from | @)\s*([A-Z][\w&.'-]+)(?: (?:care|help|service|team|uk|us))?\s*$"
)
_OF_A_CUSTOMER = re.compile(
    r"(?:hater|victim|fan|lover|sucks|fail|former|ex|not|never|no more|anti|owner|driver|user|customer|passenger)", re.I
)
# What companies add to their name in that of an account.
_ACCOUNT = r"(?:cares?|help|helps|support|service|official|team|app|uk|us|hq|inc|ltd)"
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
    tells_conduct: bool = False,
) -> RoleDecision:
    """Role of the author of at least one utterance.

    probabilities: of the roles as the document head sees each utterance. subject: title, address and post of the
    thread, where a company that somebody carries in their name ("Ann (Brightpot)") would be mentioned.
    states_loyalty: whether the text says to stay or to leave, which only customers can. tells_conduct: whether it
    reports what the company did: who opens a thread with that tells of themselves, who comments may repeat the post.
    Odds multiply: the head's view (averaged by length), the prior of the place and the signals found in the wording.
    """
    if any("company" in u.flags for u in utterances):
        return RoleDecision("company", 1.0, "marked as the company's account by the page")
    odds = _mean(probabilities, [len(u.text) for u in utterances])
    place = _place(utterances)
    found = _signals(utterances, brand, subject, states_loyalty)
    if tells_conduct and place == "post" and odds["customer"] >= PLAIN:
        found = [signal for signal in found if signal != "no dealings of their own"]
    for factors in (PLACE[place], *(FACTORS[signal] for signal in found)):
        odds = {role: p * factors.get(role, 1.0) for role, p in odds.items()}
    total = sum(odds.values())
    role = max(odds, key=odds.__getitem__)
    # A signal that speaks against the role is no reason for it.
    reasons = [signal for signal in found if FACTORS[signal].get(role, 1.0) >= 1]
    return RoleDecision(role, odds[role] / total, "; ".join([*reasons, f"wording of a {role} in a {place}"]))  # type: ignore[arg-type]


def _mean(probabilities: Sequence[Mapping[str, float]], weights: Sequence[int]) -> dict[str, float]:
    total = sum(weights) or 1
    return {r: sum(p[r] * w for p, w in zip(probabilities, weights, strict=True)) / total + 1e-4 for r in ROLES}


def _place(utterances: Sequence[Utterance]) -> str:
    if any(u.kind == "post" for u in utterances):
        return "post"
    # Who opens with a review or tweet stays its author when they answer once more.
    opens = any(u.kind == "review" or (u.kind == "tweet" and u.parent is None) for u in utterances)
    return "review" if opens else "comment"


def _same(name: str, brand: str | None) -> bool:
    """Whether a name is that of the brand's account: "Ann, Brightpot", "BrightpotHelp", but not "Barbara" for BA."""
    if not brand or not brand.strip():
        return False
    word = rf"(?<![^\W_])(?i:{re.escape(brand.strip())})(?:(?i:{_ACCOUNT}\b)|(?![^\W\d_A-Z]))"
    return bool(re.search(word, name)) and not _OF_A_CUSTOMER.search(name)


def _affiliated(name: str, brand: str | None, subject: str) -> bool:
    """Whether the name ends with a company that the thread is about."""
    found = _AFFILIATION.search(name)
    house = next(filter(None, found.groups()), "").strip().casefold() if found else ""
    return bool(house) and house in (brand or subject).casefold()


def _without_advice(text: str) -> str:
    """The text without the sentences that tell others what to do."""
    if not _ADVICE.search(text):
        return text
    return " ".join(s for s in _SENTENCE.findall(text) if not _ADVICE.search(s))


def _from_house(text: str, brand: str | None, subject: str) -> bool:
    """Whether somebody says to be from a company that the thread is about ("Tom from Orbix here")."""
    houses = (next(filter(None, found.groups()), "") for found in _FROM.finditer(text))
    return any(house.casefold() in (brand or subject).casefold() for house in houses)


def _signals(utterances: Sequence[Utterance], brand: str | None, subject: str, states_loyalty: bool) -> list[str]:
    text = "\n".join(u.text for u in utterances)
    names = {u.author.name for u in utterances if u.author}
    signals = []
    company = bool(_COMPANY.search(text) or _WE_DID.search(text) or _from_house(text, brand, subject))
    own = _without_advice(text)
    dealings = _DEALINGS.search(_FOR_YOU.sub(" ", own) if company else own)
    been_there = _place(utterances) != "comment" or _BEEN_THERE.search(own)
    leaves = states_loyalty and bool(been_there) and not _NEVER_HAD.search(text)
    if dealings:
        signals.append("own dealings")
    if leaves:
        signals.append("says to stay or to leave")
    if not dealings and not leaves and _place(utterances) != "review":
        signals.append("no dealings of their own")
    if company and not dealings:
        signals.append("speaks for the company")
    if any(_COMPANY_NAME.search(n) or _affiliated(n, brand, subject) or _same(n, brand) for n in names):
        signals.append("named like a company account")
    if _EXPERT.search(text):
        signals.append("speaks as an expert")
    return signals
