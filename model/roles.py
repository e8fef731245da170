"""Who speaks: customer, bystander, commentator or company; from the model, the place and plain wording."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model.codebook import ROLES
from model.hints import Hint, Hinted, seen
from model.types import Role, Utterance

# The model was trained on reviews and complaints, nearly all of them by customers; under a post most people are not.
# Odds relative to the training data, chosen by hand and checked on pages that no head was trained on.
PLACE: dict[str, dict[str, float]] = {
    "review": {"customer": 1.0, "bystander": 1.0, "commentator": 1.0, "company": 1.0, "spam": 1.0, "unclear": 1.0},
    "post": {"customer": 1.0, "bystander": 1.0, "commentator": 2.0, "company": 1.0, "spam": 0.5, "unclear": 0.5},
    "comment": {"customer": 0.3, "bystander": 4.0, "commentator": 2.0, "company": 1.0, "spam": 0.5, "unclear": 1.0},
}

# From which the head's view of who tells of conduct needs few words for dealings; columnists and staff stay below.
PLAIN = 0.8
# What is "mine" without being bought: what somebody thinks or feels, and other people.
_NOT_OWNED = (
    r"(?:guess|points?|opinions?|views?|thoughts?|advice|questions?|favou?rites?|impressions?|take|theory|hope|heart|mind"
    r"|respect|interest|attention|temper|breath|sympathy|word|work|job|career|research|clients?|readers?|students?"
    r"|colleagues?|boss|employer|friends?|neighbou?rs?|cousins?|blog|book|column|article|post|comment|world|life"
    r"|end|side|part|team|engineers?|technicians?|customers)\b"
)
_AMENDS = r"(?:refund|money back|replacement|new one|repair|compensation|explanation|callback|call back|credit|return)"
_MONEY = r"(?:pounds?|euros?|dollars?|quid|bucks?)"
# Words before what somebody did not do; "don't call me" without a subject is an order.
_NOT = (
    r"(?:won't|will not|would not|wouldn't|did not|didn't|could not|couldn't|cannot|can't|never|nobody could"
    r"|(?:they|he|she) (?:don't|do not|doesn't|does not))"
)
_I = r"\b(?:i|we|my (?:wife|husband|partner|mother|father|son|daughter))"
_DEALINGS = Hinted.of(
    rf"{_I}(?:'ve| have| had|'d)? (?:just |also |already |recently |finally |never |even )?"
    r"(?:bought|purchased|ordered|own(?:ed)?|paid|returned|called|rang|phoned|e-?mailed|complained|cancell?ed|switched|"
    r"received|booked|flew|leased|subscribed|waited|(?<!never )been (?:a )?(?:customer|client|waiting)|"
    r"got (?:an?|my|our|two|three|four|\d) (?!question|comment|point|idea|feeling)|"
    r"took (?:it|my|the)|sent (?:it|them|mine)|spoke|filed|contacted)\b"
    rf"|\b(?:mine|ours|(?:my|our) (?!{_NOT_OWNED})) ?(?:\w+ ){{0,3}}(?:broke|failed|died|stopped|leaked|arrived|came"
    r"|was|got|is|caught|(?:has|have|had) (?:\w+ )?(?:been|arrived|come|gone|stopped|failed|broken|died|worked))\b"
    r"|\b(?:called|rang|phoned|contacted|told|sent|gave|offered|refunded|charged|e-?mailed|wrote(?: to)?|helped|"
    r"answered|ignored|promised|asked|paid|owes?|lied to|treated|apologi[sz]ed to|hung up on|got back to|replied to"
    r"|responded to|reached|overcharged|billed|credited|reimbursed|compensated) (?:me|us)\b"
    rf"|\b(?:(?:refused?|failed|promised|agreed|bothered|managed|supposed) to|{_NOT}|said (?:that )?they(?:'d| would))"
    r" (?:\w+ )?(?:refund|pay|call|answer|help|contact|reach|reply to|credit|compensate|reimburse|e-?mail|ring|phone"
    r"|write to|get back to) (?:me|us)\b(?! (?:enough|to (?:say|read|write)))"
    r"|\b(?:lost|left|broke|damag|delay|cancel|sent|kept|return|fix|repair|replac|refund|reject|den[iy]|clos|refus|paid"
    rf"|settled|honou?red|approved)\w* (?:mine|ours|(?:my|our) (?!{_NOT_OWNED}))"
    r"|\b(?:i|we) had to (?:ring|phone|chase|wait (?!to (?:read|see))|(?:call|e-?mail|write to|pay|complain|cancel"
    r"|return|send) (?!this|that|it out|the writer))"
    rf"|\b(?:i|we) (?:asked (?:\w+ ){{0,2}}for|requested|demanded|claimed) (?:an?|my|our|the) (?:\w+ )?{_AMENDS}\b"
    rf"|\b(?:i|we) got (?:\w+ )?(?:[£$€]|\d+ ?{_MONEY}\b)"
    rf"|\b(?:i|we) lost (?:\w+ ){{1,3}}?(?:{_MONEY}|hours?|days?|weeks?|months?)\b"
    r"(?! (?:\w+ ){0,3}?(?:reading|on this))"
    r"|\b(?:i|we) did,? (?:and|but) (?:i |we |they |it |then )?(?:got|won|received|paid|sent|never|nobody|refunded)\b"
    r"|\b(?:i|we) (?:wrote to|e-?mailed) (?:them|customer|support|their)\b"
    r"|\b(?:i|we)\b[^.!?\n]{0,60}\b(?:never|not|didn't) (?:hear|heard) (?:back|anything|from them)\b"
    r"|\bwe had (?:the|a|an|one) |\b(?:cost|took) (?:me|us)\b"
    r"|\btook them (?:\w+ )?(?:minutes|hours|days|weeks|months|years)\b"
    r"|\bi'?m (?:on|with) my (?:\w+) \w+"
    r"|\b(?:happened|same) (?:to|with|for) (?:me|us|mine|ours)\b|\b(?:mine|ours|me) too\b|\bsame (?:\w+ )?here\b"
    r"|\bmy (?:order|account|bill|claim|contract|refund|replacement|case|complaint|booking|subscription)\b",
    "bought purchased ordered own owned paid returned called rang phoned emailed mailed complained"
    " canceled cancelled switched received booked flew leased subscribed waited been got took sent spoke"
    " filed contacted me us my our had asked requested demanded claimed lost did wrote hear heard here",
    "mine",
    "ours",
)
# One of these stands in every dealing and intention: most comments hold none, which is found out sooner.
_FIRST_PERSON = Hint.of("i we me us my our ours mine took same")
# Who says what they will do next as customers; not a dealing of those who never were.
_INTENT = Hinted.of(
    r"\b(?:i|we) (?:will|won't|would|wouldn't|shall|am|are)(?: not| never| gladly| surely| definitely| be)* (?:renew|"
    r"come back|return|switch|cancel|go back|leav|stay|chang"
    r"|(?:buy|order|fly|book)\w*\b[^.!?\n]{0,60}?\b(?:again|another|any ?more|back|next))"
    r"|\bif (?:i|we) (?:will |should )?(?:renew|stay|leave|cancel|switch)\b",
    "will won would wouldn shall am are if",
)
# Advice to others names what they should do, and says nothing of the adviser.
_ADVICE = Hinted.of(
    r"\b(?:if i were you|in your (?:place|shoes|position)|you (?:should|ought to|need to|had better|better"
    r"|must)|you'd better)\b",
    "were place shoes position should ought need better must",
)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?\n]*")
# Who may leave has been there. "Never buying one" under somebody else's story is said by people who have not.
_BEEN_THERE = re.compile(
    r"\b(?:again|any ?more|back|another|cancel\w*|switch\w*|renew\w*|my|our|mine|ours|left|leaving|moved|stay\w*"
    r"|stick\w*|loyal|customers?|no longer|last|next|used to|since|years?|months?|done with|closed?|ended)\b",
    re.IGNORECASE,
)
# Who says so has nothing to stay with or to leave.
_NEVER_HAD = Hinted.of(
    r"\b(?:never|don't|do not|haven't|have not) (?:ever |even )?(?:owned?|bought|used) (?:an?|one|any|their|this)\b"
    r"(?![^.!?\n]*\bagain\b)"
    r"|\bnot(?:(?<=i'm not)|(?<=i am not)|(?<=i was not)|(?<=we're not)|(?<=we are not)|(?<=we were not)|(?<=[.!?] not)"
    r"|(?<=\nnot)|(?<=\Anot)) "
    r"(?:even |yet )?(?:a|their) (?:customer|client|subscriber|member)\b"
    r"(?!,? (?:any ?more|any longer|for long|after|since|you|they|to|who|that|services?|number))"
    r"|\bnever (?:been|was|were) (?:a|their) (?:customer|client|subscriber|member)\b"
    r"|\b(?:i|we) (?:don't|do not|never|didn't) (?:even )?(?:have|had|hold) an? "
    r"(?:account|contract|policy|subscription)\b(?! (?:manager|number|any ?more|any longer)| (?:because|since|now)\b)",
    "owne owned bought used customer client subscriber member account contract policy subscription",
)
# Who only thought of becoming a customer, up to the end of the clause, where the company is named.
_NEARLY = re.compile(
    r"\b(?:i|we)(?:'m| am| was|'re| are| were|'ve been| have been| had been) (?:\w+ ){0,2}?(?:thinking (?:of|about)"
    r"|considering|about to|going to|planning (?:to|on)|tempted to|looking to)"
    r" (?:(?:switch|mov|chang)\w*(?: over)? to|join\w*|sign\w* up|buy\w*|order\w*|book\w*|try\w*|get\w*)"
    r" (?P<rest>[^.!?\n,;:]{1,60})",
    re.IGNORECASE,
)
_THOUGHT = Hint.of("thinking considering about going planning tempted looking")
_ONCE_MORE = re.compile(r"\b(?:again|another|back|more|second|next)\b", re.IGNORECASE)
# Where somebody says to stay. Names are told by their capital.
_STAY_WITH = re.compile(
    r"\b(?i:stay|stick|remain|keep|stuck)(?i:ing)? (?i:loyal )?(?i:with|to) (?P<house>[A-Z][\w&'-]*(?: [A-Z][\w&'-]*)?)"
)
# Capitals that name no company.
_NO_HOUSE = frozenset(
    ("It", "Them", "My", "The", "This", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
)
_WILL_MOVE = (
    r"\b(?:will|would|'ll|'d|might|may|could|won't|not|going to|want to|wanted to|plan to|hope to) (?:\w+ )?"
    r"(?:switch|move|change) (?:over )?to (?:the )?"
)
# Others than customers are paid, told and offered things too: suppliers, staff, applicants, journalists.
_TIES = Hinted.of(
    r"\b(?:i|we)(?:'m| am| was|'re| are| were|'ve been| have been)? (?:(?:one of|once|also|just|only) )*"
    r"(?:their (?:\w+ )?(?:suppliers?|contractors?|subcontractors?|employees?|distributors?)\b"
    r"|an? (?:\w+ )?(?:supplier|contractor|subcontractor|employee|distributor) (?:of|for|to) (?:them|theirs)\b"
    r"|suppl(?:y|ied) them\b|(?:used to )?work(?:ed)? (?:for them|there)\b)"
    r"|\bas (?:their |an? (?:former |ex-?))(?:supplier|contractor|employee)\b"
    r"|\b(?:offered|promised) (?:me|us) (?:an?|the) (?:job|position|internship)\b"
    r"|\b(?:interviewed|hired|fired|sacked) me\b"
    r"|\bi (?:once )?(?:applied|interviewed) (?:for an? (?:job|position|role)|for work|to work)\b",
    "supplier suppliers contractor contractors subcontractor subcontractors employee employees"
    " distributor distributors exsupplier excontractor exemployee supply supplied work worked job position"
    " internship interviewed hired fired sacked applied",
)
_ALSO_CUSTOMER = re.compile(
    r"\b(?:i|we)\b[^.!?\n]{0,40}\b(?:a customer|customers|bought|ordered|booked|subscribed)\b"
    r"|\b(?:my|our) (?:own )?(?:order|account|bill|claim|booking|subscription|refund|replacement)\b",
    re.IGNORECASE,
)
_PRESS = Hinted.of(
    r"\b(?:contacted|asked|called|e-?mailed|wrote to|rang|approached|reached out to) (?:[\w&'-]+ ){1,5}?"
    r"for (?:an? )?(?:comment|statement|interview)\b"
    r"|\b(?:spokes(?:man|woman|person|people)|press officer|press office) (?:[\w&'-]+ ){0,3}?"
    r"(?:told|assured|e-?mailed|sent|gave|wrote to|replied to) (?:me|us)\b",
    "comment statement interview spokesman spokeswoman spokesperson spokespeople press",
)
# A sentence about the company's conduct is told by somebody whom it befell where it holds their "me" or "I", unless
# that only gives an opinion, or speaks to or of somebody else.
_VIEW = re.compile(
    r"\b(?:i|we)\b(?:'\w+)?(?: (?!to\b)[\w']+){0,2}? (?:think|thought|believed?|guess|hoped?|wish|wonder(?:ed)?"
    r"|read|reading|heard|saw|see|seen|watch(?:ed)?|noticed?|suspect|suppose|imagine|doubt|agree|feel|loved?|liked?|hate|understand|know"
    r"|knew|mean|say|said|bet|assume|expect|admired?|respect|remember|recall|sorry|glad|happy|pleased|shocked"
    r"|appalled|amazed|surprised|impressed|curious|sure|afraid|works?|worked|live|teach|advise|study|studied|write)\b"
    r"|\b(?:seems?|sounds?|looks?|feels?|appears?|strikes?|strange|odd|obvious|clear|sense|news) (?:to |like )?me\b"
    r"|\b(?:let|tell|show|correct|trust|believe|excuse|forgive|reminds?|reminded|surpris\w+|shock\w+|amaz\w+|bother\w+"
    r"|puzzl\w+|interests?|concerns?|tells|ask) (?:me|us)\b"
    r"|\bma(?:de|kes?|king) me (?!wait|pay|call|ring|phone|send|go|fill|drive|buy|prove|repeat|return|start)\w+"
    r"|\b(?:all|most|many|some|both|none|one|each|any|between) (?:of )?us\b|\b(?:for|like|with) me,|\b(?:us|we) "
    r"(?:all|customers|consumers)\b|\b(?:next to|behind|beside|in front of|gets|because of|it's|not) me\b"
    r"|\bmy (?:own eyes|apologies)\b"
    r"|\bmy (?:\w+ )?(?:mum|mom|dad|mother|father|parents|brother|sister|aunt|uncle|nan|gran\w*|flatmate|roommate|wife"
    rf"|husband|partner|son|daughter|waitress)\b|\bmy {_NOT_OWNED}",
    re.IGNORECASE,
)
_SPOKEN = re.compile(r"[\"\u201c][^\"\u201c\u201d]*[\"\u201d]")
_ME = re.compile(r"\b(?:[Mm]e|[Uu]s|[Mm]ine|[Oo]urs|[Mm]y)\b")
_SAY_I = re.compile(
    r"\bI\b(?!'d|'ll|'m"
    r"| (?:am|will|won't|would|wouldn't|can|can't|cannot|could|should|might|may|must|shall|do|don't)\b)"
)
_YOU = re.compile(r"\b(?:you|your|yours)\b", re.IGNORECASE)
# What a company tells a customer it has done for them: no dealings of a customer.
_DONE = (
    r"(?:called|rang|phoned|e-?mailed|written to|wrote to|sent|refunded|credited|paid|replaced|arranged|contacted"
    r"|messaged|reached out to|looked into|issued|processed|reversed|waived|booked|dispatched|shipped)"
)
_DID = rf"(?:'ve| have|'ll| will)? (?:also |just |already |now |since )*{_DONE}\b(?: \w+){{0,4}}? (?:you|your)\b"
_FOR_YOU = re.compile(rf"\b(?:i|we){_DID}", re.IGNORECASE)
_WE_DID = Hinted.of(
    rf"\bwe{_DID}(?! (?:again|but|and you))"
    r"|\byour (?:refund|replacement|money|parcel|order|voucher|credit)\b[^.!?\n]{0,30}\b(?:was|has been|is|will be)"
    r" (?:paid|sent|processed|issued|dispatched|credited|on its way)",
    "called rang phoned emailed mailed written wrote sent refunded credited paid replaced arranged"
    " contacted messaged reached looked issued processed reversed waived booked dispatched shipped refund"
    " replacement money parcel order voucher credit",
)
_FROM = re.compile(
    r"\b(?:this is )?[A-Z]\w+,? (?:here )?(?:from|at|of|with) (?:the )?(?P<house>[A-Z][\w&'-]*)(?: \w+){0,2}? here\b"
    # Signed at the start, to somebody else: a customer names the staff in the middle of a sentence, or greets them.
    r"|\b(?i:hello|hi|hey|dear|good (?:morning|afternoon|evening))\b[^.!?\n]{0,30}[,.!\n-] *[A-Z]\w+,?"
    r" (?:from|at|of|with) (?:the )?(?P<team>[A-Z][\w&-]*)(?:'s)?(?: \w+){0,3}? *(?:[.!\n]|$)"
    r"|\b(?:[Tt]his is|I am|I'm|[Ii]t's) [A-Z]\w+,? (?:from|at|of|with) (?:the )?(?P<of>[A-Z][\w&'-]*)"
    r"|\b[Ii] (?:work|look after [\w ]{2,40}?) (?:at|for) (?P<at>[A-Z][\w&'-]*)"
)
_FROM_HINT = Hint.of("here hello hi hey dear morning afternoon evening work look", "this is ", "i am ", "i'm ", "it's ")
# In all that the pattern finds a house follows one of these: few texts hold one, and looking for it takes a tenth.
_SOME_HOUSE = re.compile(r" (?:from|at|of|with|for) (?:the )?[A-Z]")
_COMPANY = Hinted.of(
    r"\bon behalf of\b|\bwe(?:'re| are)? (?:sincerely |truly |deeply |very |so )*(?:apologi[sz]e|sorry)\b"
    r"|\bour (?:customer (?:care|service)|support team)\b|\bhere at \w+|\bteam \w+ here\b"
    r"|\bi (?:lead|head|run|manage|work in|am (?:from|with|in)) (?:the|our) (?:\w+ ){0,2}(?:team|department|desk)\b"
    r"|\b(?:taken|taking) over your case\b",
    "behalf apologise apologize sorry customer support here team department desk case",
)
_OUR_FAULT = re.compile(
    r"(?<!no )(?<!any )\b(?:mistake|error|fault|failure|slip|oversight|issue|delay)s? on our (?:side|end|part)\b", re.I
)
# An invitation: customers tell who did not or should "contact us". Slow, so asked only where there is an "us".
_INVITES = re.compile(
    r"(?:^|[.!?:;\n] *|, *(?=(?:dm|e-?mail) )|\b(?:please|kindly|just|simply|you (?:can|may)(?: also| always)?"
    r"|feel free to|hesitate to|if you|(?:ask|need|invite|urge|encourage|like|want) you to) )"
    r"(?:dm|e-?mail|contact|write to|reach) us\b"
    r"|\b(?:could|can|would) you (?:please )?dm us\b"
    r"|\bplease (?:(?!have|get|let|tell|ask|make|can|could|will|would|some|any|them|they)[\w']+,? ){1,8}?"
    r"(?:dm|e-?mail|contact|write to|reach) us\b",
    re.IGNORECASE,
)
_US = re.compile(r" us\b", re.IGNORECASE)
# Said by customers with a business too, so it needs somebody who is spoken to.
_OUR_HOUSE = Hinted.of(
    r"\bour (?:team|engineers|customers)\b|\bon our (?:side|end|part)\b",
    "our",
)
_SPOKEN_TO = re.compile(r"\b(?:your (?!team|engineers|customer)|thanks?\b|sorry\b|apolog|for you\b)", re.IGNORECASE)
# Staff who gave something back in person, which no customer does.
_GAVE_BACK = Hinted.of(
    r"\bi(?:'ve| have)? (?:also |just |now |already )?(?:refunded|waived|reimbursed) (?:you|the|that|this|it)\b",
    "refunded waived reimbursed",
)
_QUOTED = re.compile(r"[\"\u201c\u201e\u00ab][^\"\u201c\u201d\u201e\u00ab\u00bb]{20,2000}[\"\u201d\u201c\u00bb]")
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
_EXPERT = Hinted.of(
    r"\bconsult(?:ant|ing|ancy)\b|\bworking (?:inside|in the industry)\b|\bas an? (?:\w+ )?"
    r"(?:expert|analyst|consultant|journalist|marketer|lawyer|engineer|professional)\b"
    r"|\b(?:brands?|companies|businesses|organi[sz]ations|firms) (?:should|must|need|could|can|that|who)\b"
    r"|\bi (?:advise|consult|work with)\b"
    r"|\bcustomer (?:experience|loyalty|service)\b.{0,60}\b(?:brands?|compan(?:y|ies)|marketing|businesse?s?)\b"
    r"|\b(?:keynote|speaker|author of|our software|my book)\b",
    "consultant consulting consultancy working expert analyst consultant journalist marketer lawyer"
    " engineer professional brand brands companies businesses organisations organizations firms advise"
    " consult work customer keynote speaker author software book",
)
FACTORS: dict[str, dict[str, float]] = {
    "own dealings": {"customer": 8.0, "company": 0.5},
    "says to stay or to leave": {"customer": 8.0},
    "speaks for the company": {"company": 60.0, "customer": 0.5},
    "named like a company account": {"company": 30.0},
    "speaks as an expert": {"commentator": 4.0},
    "asks as journalists do": {"commentator": 4.0},
    # The head has seen so few others that it calls nearly everybody a customer.
    "no dealings of their own": {"customer": 0.03},
    "says to be no customer": {"customer": 0.02},
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
    conduct: Sequence[str] = (),
) -> RoleDecision:
    """Role of the author of at least one utterance.

    probabilities: of the roles as the document head sees each utterance. subject: title, address and post of the
    thread, where a company that somebody carries in their name ("Ann (Brightpot)") would be mentioned.
    states_loyalty: whether the text says to stay or to leave, which only customers can. conduct: the sentences that
    report what the company did: who opens a thread with that tells of themselves, who comments may repeat the post,
    unless a sentence says that it befell them.
    Odds multiply: the head's view (averaged by length), the prior of the place and the signals found in the wording.
    """
    if any("company" in u.flags for u in utterances):
        return RoleDecision("company", 1.0, "marked as the company's account by the page")
    odds = _mean(probabilities, [len(u.text) for u in utterances])
    place = _place(utterances)
    plain = odds["customer"] >= PLAIN
    found = _signals(utterances, brand, subject, states_loyalty, conduct if plain else ())
    if conduct and place == "post" and plain:
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
    weighted = [[p[role] * w for role in ROLES] for p, w in zip(probabilities, weights, strict=True)]
    return {role: sum(parts) / total + 1e-4 for role, parts in zip(ROLES, zip(*weighted, strict=True), strict=True)}


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


def is_account(utterance: Utterance, brand: str | None = None) -> bool:
    """Whether the page or the name says that an utterance is by an account of the company."""
    name = utterance.author.name if utterance.author else ""
    return "company" in utterance.flags or bool(_COMPANY_NAME.search(name)) or _same(name, brand)


def _without_advice(text: str) -> str:
    """The text without the sentences that tell others what to do."""
    if not _ADVICE.found_in(text):
        return text
    return " ".join(s for s in _SENTENCE.findall(text) if not _ADVICE.found_in(s))


def _from_house(text: str, brand: str | None, subject: str) -> bool:
    """Whether somebody says to be from a company that the thread is about ("Tom from Orbix here")."""
    if not _FROM_HINT.stands_in(seen(text)) or not _SOME_HOUSE.search(text):
        return False
    houses = (next(filter(None, found.groups()), "") for found in _FROM.finditer(text))
    return any(house.casefold() in (brand or subject).casefold() for house in houses)


def _names_house(text: str, brand: str | None, subject: str) -> bool:
    """Whether the text names the brand; where none is known, with a capital something that the subject names."""
    if brand and brand.strip():
        return brand.strip().casefold() in text.casefold()
    return any(name.casefold() in subject.casefold() for name in re.findall(r"\b[A-Z][\w&-]{2,}", text))


def _never_had(text: str, brand: str | None, subject: str) -> bool:
    """Whether somebody says never to have been a customer, or only to have thought of becoming one."""
    if _NEVER_HAD.found_in(text):
        return True
    for found in _NEARLY.finditer(text) if _THOUGHT.stands_in(seen(text)) else ():
        rest = found["rest"]
        one = re.match(r"(?:from )?(?:one|them)\b", rest, re.IGNORECASE)
        if not _ONCE_MORE.search(rest) and (one or _names_house(rest, brand, subject)):
            return True
    return False


def _without_elsewhere(text: str, brand: str | None) -> str:
    """The text without intentions that make nobody a customer of the brand: to stay with another, to move to it."""
    if not brand or not brand.strip():
        return text
    name = brand.strip()
    first = "".join(word[0] for word in name.split()).casefold()

    def kept(found: re.Match[str]) -> str:
        house = found["house"].casefold()
        own = name.casefold() in house or house.split()[0] in name.casefold() or house == first
        return found[0] if own or found["house"].split()[0] in _NO_HOUSE else " "

    stays = _STAY_WITH.sub(kept, text)
    named = name.casefold() in stays.casefold()
    return re.sub(rf"(?i:{_WILL_MOVE}{re.escape(name)})\b", " ", stays) if named else stays


def _befell(sentences: Sequence[str]) -> bool:
    """Whether one of the sentences about the company's conduct says that it befell the author."""
    for sentence in sentences:
        if _ADVICE.found_in(sentence) or _TIES.found_in(sentence) or _PRESS.found_in(sentence):
            continue
        own = _VIEW.sub(" ", _SPOKEN.sub(" ", sentence))
        if _ME.search(own) or (_SAY_I.search(own) and not _YOU.search(own)):
            return True
    return False


def _speaks_for(text: str, brand: str | None, subject: str) -> bool:
    """Whether the wording is that of somebody who answers for the company."""
    if _COMPANY.found_in(text) or _WE_DID.found_in(text) or _from_house(text, brand, subject):
        return True
    if " on our " in text and _OUR_FAULT.search(text):
        return True
    if _US.search(text) and _INVITES.search(text):
        return True
    if _OUR_HOUSE.found_in(text) and _SPOKEN_TO.search(text):
        return True
    return bool(_GAVE_BACK.found_in(text) and _YOU.search(text))


def _has_dealings(text: str, conduct: Sequence[str], *, company: bool, never_had: bool) -> bool:
    """Whether somebody tells of dealings of their own. text: without advice and without plans elsewhere."""
    if not _FIRST_PERSON.stands_in(seen(text)):
        return not never_had and not company and _befell(conduct)
    if _TIES.found_in(text) and not _ALSO_CUSTOMER.search(text):
        return False
    own = _PRESS.without(_FOR_YOU.sub(" ", text) if company else text)
    if _DEALINGS.found_in(own):
        return True
    return not never_had and (bool(_INTENT.found_in(own)) or (not company and _befell(conduct)))


def _been_there(own: str, place: str, *, elsewhere: bool) -> bool:
    """Whether who says to stay or to leave has been a customer. elsewhere: plans with another company were cut out."""
    if elsewhere:
        # Everybody has a "my" and "our" that no company sold them.
        return bool(_BEEN_THERE.search(re.sub(r"(?i)\b(?:my|our)\b", " ", own)))
    return place != "comment" or bool(_BEEN_THERE.search(own))


def _signals(
    utterances: Sequence[Utterance], brand: str | None, subject: str, states_loyalty: bool, conduct: Sequence[str]
) -> list[str]:
    text = _straight("\n".join(u.text for u in utterances))
    names = {u.author.name for u in utterances if u.author}
    place = _place(utterances)
    signals = []
    # What a customer repeats in quotation marks the company has said.
    company = _speaks_for(_QUOTED.sub(" ", text), brand, subject)
    advised = _without_advice(text)
    own = _without_elsewhere(advised, brand)
    never_had = _never_had(text, brand, subject)
    dealings = _has_dealings(own, [_straight(c) for c in conduct], company=company, never_had=never_had)
    leaves = states_loyalty and not never_had and _been_there(own, place, elsewhere=own != advised)
    if dealings:
        signals.append("own dealings")
    if leaves:
        signals.append("says to stay or to leave")
    if (never_had or own != advised) and not dealings and not leaves:
        signals.append("says to be no customer")
    if not dealings and not leaves and place != "review":
        signals.append("no dealings of their own")
    if company and not dealings:
        signals.append("speaks for the company")
    if any(_COMPANY_NAME.search(n) or _affiliated(n, brand, subject) or _same(n, brand) for n in names):
        signals.append("named like a company account")
    if _EXPERT.found_in(text):
        signals.append("speaks as an expert")
    if _PRESS.found_in(text):
        signals.append("asks as journalists do")
    return signals


def _straight(text: str) -> str:
    """The text with straight apostrophes, as the patterns have them."""
    return text.replace("\u2019", "'")
