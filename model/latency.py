"""How long the company took to react, in hours, where an author says so ("within ten minutes", "nine days, no reply").

Most durations in a text are something else: how long the author has been a customer, a flight, a warranty, a norm. One
counts only where the words around it, or a cue of conduct on it, tie it to an answer, a remedy or a wait.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

from model.dates import Named, hours_between, named
from model.durations import HOURS, Duration, durations, may_tell
from model.segment import Span, sentence_spans
from model.types import Case, Cue

About = Literal["answer", "remedy", "wait"]


@dataclass(frozen=True, slots=True)
class Latency:
    """A time to react: text[start:end] == quote in the utterance named.

    about: whether an answer, a remedy (money, goods, a fix) or a wait of another kind is told. lower, upper: hours, at
    least 0; upper is None where the text sets no bound. censored: nothing had come by then, so that lower is all that
    is known and upper is None.
    """

    about: About
    lower: float
    upper: float | None
    censored: bool
    quote: str
    start: int
    end: int
    utterance: str | None = None


@dataclass(frozen=True, slots=True)
class TimedCase(Case):
    """A case with the times to react that its author tells."""

    latencies: tuple[Latency, ...] = ()


def told(case: Case) -> tuple[Latency, ...]:
    """The times to react of a case; a case that was made without any has none."""
    return case.latencies if isinstance(case, TimedCase) else ()


# Who reacts, and how. Forms that tell a fact; wishes and promises are sorted out below.
_ANSWER = re.compile(
    r"\brepl(?:y|ied|ies)\b|\banswer(?:ed|s|ing)?\b|\brespon(?:d|ded|ds|se|ses|ding)\b|\b(?:get|got|gets|getting"
    r"|gotten|came|come)"
    r" back\b|\bcall(?:ed|s)? (?:me |us )?back\b|\bhear(?:d)? (?:back|from|nothing|anything|a (?:thing|word|peep))\b"
    r"|\b(?:they|he|she|who|and|manager|rep\w*|agent|support|someone|somebody|anyone|nobody|no one|one|ceo|team|brand|"
    r"company) (?:\w+ ){0,2}?(?:called|rang|phoned|e-?mailed|wrote|contacted|texted|tweeted|messaged|reached out)\b"
    r"|\b(?:called|rang|phoned|e-?mailed|contacted|texted|messaged|reached) (?:me|us|my)\b|\bcontact(?:ed)? (?:me|us)\b"
    r"|\bin touch\b|\backnowledg\w+|\bapologi[sz]ed\b|\bcall ?back\b|\b(?:an?|no|any) (?:reply|answer|response"
    r"|word|update)\b"
    r"|\bsilence\b|\bignor(?:ed|ing)\b|\bspoke to\b|\b(?:picked up|pick up) the phone\b|\bget through\b"
    r"|\bgot through\b",
    re.IGNORECASE,
)
_REMEDY = re.compile(
    r"\brefund\w*|\breimburs\w+|\brevers(?:e|ed|ing)\b|\bwaiv(?:e|ed|ing)\b|\bswapped\b|\breplac\w+|\brepair\w*|\bfix(?:ed|es|ing)?\b|\bresol(?:ve|ved|ving|ution)\b"
    r"|\bsolv(?:e|ed)\b"
    r"|\bsort(?:ed)?(?: it| this| that| everything)? ?(?:out)?\b|\bprocess(?:ed|es|ing)?\b|\bpaid(?: out)?\b"
    r"|\bpay(?:s|ment)? (?:out|me|us)\b"
    r"|\bdeposit(?:ed)?\b|\bcredit(?:ed)?\b|\bcheque\b|\b(?:a|the|my) check\b|\bdeliver\w*|\bship(?:ped|s)?\b"
    r"|\brestor\w+|\bturn ?around\b|\bunlock(?:ed|s)?\b|\bunblocked\b|\bunfro(?:ze|zen)\b|\breinstat\w+"
    r"|\breactivated\b"
    r"|\brebook\w*|\bcompensat\w+|\bsettled?\b|\bapprov\w+|\bmoney (?:back|was|in|arrived)\b|\b(?:my|the|our) (?:money|"
    r"claim|parcel|package|bag|bags|luggage|order|part|parts|ticket)\b|\btechnician\b"
    r"|(?<!ve )(?<!we )(?<!i )\bdealt with\b|\bhandled\b"
    r"|\b(?:got|get|gave) (?:\w+ ){1,3}back\b"
    r"|\b(?:is|was|were) back (?:on|in)\b"
    r"|\btook care of\b"
    r"|\bnew one (?:arrived|came)\b|\bback up\b|\bpayment\b|\bput (?:it )?right\b|\brectif\w+"
    r"|\bin (?:the )?(?:shop|repair)\b",
    re.IGNORECASE,
)
_WAITED = re.compile(
    r"\bwait(?:ed|ing|s)?\b|\bon hold\b|\b(?:hold|wait) times?\b|\bqueu\w+|\b(?:stood|standing|stand|was|were"
    r"|been) (?:\w+ )?in (?:a )?line\b"
    r"|\bkept (?:me|us) (?:waiting|hanging)\b|\bleft (?:me|us) (?:waiting|hanging)\b",
    re.IGNORECASE,
)
_NOTHING_YET = re.compile(
    r"\bstill (?:waiting|says?|shows?|showing|being|no|not|nothing|haven't|have not|hasn't|has not|unresolved"
    r"|unanswered|don't|do not|doesn't|can't|pending|"
    r"processing|in (?:review|process|repair))\b|\b(?:no|not) (?:one|body|reply|answer|response|refund|word"
    r"|update|solution|sign|"
    r"resolution|help|contact|call|callback|communication|a (?:word|thing|single))\b|\bnobody\b|\bnothing\b"
    r"|\bnada\b|\bcrickets\b"
    r"|\b(?:have|has|had)(?:n't| not| yet to)\b|\bnever (?:heard|got|received|replied|answered|called|came"
    r"|responded|fixed|repaired|refunded|paid|arrived)\b"
    r"|\bwithout (?:an? |any |so much as an? |a single )?(?:reply|answer|response|word|refund|update|solution"
    r"|call|contact|result)|\bcounting\b|\byet to\b|\bunanswered\b|\bsilence\b|\b(?:am|are|been|i'm"
    r"|we're) (?:still )?waiting\b"
    r"|\bignor(?:ed|ing) (?:me|us|my|our)\b|\bdid(?:n't| not) (?:get|receive|hear|reply|answer|respond|call)\b"
    r"|\band no\b",
    re.IGNORECASE,
)
# What has been going on until now: "has been pending for 7 weeks" is not over, "was pending" and "chased" are.
_GOING_ON = re.compile(
    r"\b(?:(?:has|have|hasn't|haven't)(?: now| already| still| just| both| all)*|i've|we've|they've|it's|he's|she's)"
    r"(?: now| already| still)* been (?:(?:still|now|constantly|just|patiently|busy|desperately) )*[\"“'‘]?"
    r"(?:pending|under (?:review|investigation|consideration)|in (?:review|process|progress|limbo|repair)"
    r"|(?:in|at) (?:the|their|your) (?:repair )?(?:shop|workshop|garage|dealer\w*|service cent\w+)|being \w+ed"
    r"|stuck|held up|sitting (?:on|with|in)|waiting|awaiting|chasing|stalling|fighting|battling|begging|pleading"
    r"|arguing|going (?:back and forth|round)|asking (?:for|them|you)"
    r"|trying to (?:get|reach|contact|claim|obtain|recover|resolve|sort|speak|talk|cancel|return|have))\b",
    re.IGNORECASE,
)
# "It's been 21 days of waiting", "it is now day 21 of waiting".
_OF_WAITING = re.compile(r"^ of (?:\w+ )?(?:waiting|silence|trying|chasing|asking|begging|no|nothing)\b", re.IGNORECASE)
# What the company has done, and what says that it, or somebody else, did it.
_CAME = re.compile(
    r"\b(?:replied|answered|responded|refunded|reimbursed|fixed|repaired|resolved|solved|sorted|replaced|paid|approved"
    r"|processed|credited|deposited|delivered|shipped|called|rang|phoned|e-?mailed|contacted|texted|messaged|wrote|sent"
    r"|gave|apologi[sz]ed|arrived|came|turned up|showed up|(?:was|were|is|are|all) back|back on|restored|settled"
    r"|unlocked|unblocked|unfroze|reinstated|reactivated|reversed|waived|swapped"
    r"|rebooked|compensated|received|got|reached out)\b",
    re.IGNORECASE,
)
_NOT_DONE = re.compile(
    r"(?:\b(?:no|nobody|none|never|not|nothing|without|yet to|neither|cannot|refus\w+|before|until|when|if)\b|n't\b)"
    r"(?:\W+\w+){0,4}\W*$",
    re.IGNORECASE,
)
_BY_ME = re.compile(r"\b(?:i|we)(?:'ve|'d)?(?: have| had| then| also| just| already| only)* ?$", re.IGNORECASE)
_TO_ME = re.compile(r"(?:received|got)", re.IGNORECASE)
_SINCE = re.compile(r"\b(?:since|after|even though|although|that)(?: \w+){0,4} $", re.IGNORECASE)
_NOTHING_DONE = re.compile(r"^(?: me| us| back)? (?:nothing|no|nada)\b(?! less)", re.IGNORECASE)
_CAME_AFTER_ALL = re.compile(
    r"\bbefore (?:\w+ ){0,4}(?:repl|answer|respon|call|rang|phon|e-?mail|wrote|contact|refund|paid|fix|resolv"
    r"|solv|deliver|"
    r"got|came|arriv|hear|heard|receiv|reach|sent|spoke|someone|anyone|anybody|they|i |we )\w*"
    r"|\b(?:finally|eventually)\b|\buntil (?:they|someone|a|the)\b"
    r"|\bthen,? (?:(?:a|an|the|my|they|he|she|someone|somebody) ){0,2}(?:\w+ )?(?:repl|answer|respon|call|rang|phone"
    r"|e-?mail|letter|refund|paid|fix|cheque|money|came|arriv)\w*",
    re.IGNORECASE,
)
_ASKED = re.compile(
    r"\b(?:i|we|i've|we've|my (?:wife|husband|partner|mother|father)) (?:have |had |just |first |already "
    r"|also )*(?:e-?mailed|called|"
    r"rang|phoned|wrote|written|contacted|complained|filed|submitted|sent|returned|requested|claimed|ordered"
    r"|asked|applied|reported|"
    r"messaged|dm'?d|tweeted|cancel\w+|mailed|raised|opened)\b"
    r"|\b(?:claim|complaint|ticket|request|form|e-?mail|letter) (?:was |were |has been )?(?:submitted|filed|sent"
    r"|opened|raised|logged)\b"
    r"|\balready did\b",
    re.IGNORECASE,
)

_BOUNDARY = re.compile(
    r"[;:()–—]|,(?!\d)| - | (?:instead of|rather than) "
    r"| but | although | though | however | whereas | while | which | so | because "
    r"| and (?=(?:it|they|i|we|nobody|no|still|nothing|now|after|then|he|she|the|my|mine|when|got|received|have"
    r"|was|were|waited|took|kept|left|never|not)\b)",
    re.IGNORECASE,
)
# Told as a rule, a promise, a wish or a case that did not happen.
_NO_FACT = re.compile(
    r"\b(?:should|ought|must|supposed|meant to|we usually|expect\w*|promis\w+|hop(?:e|ed|ing)(?:fully)?|if|unless"
    r"|whether|allow|estimat\w+|guarantee\w*|"
    r"advertis\w+|polic(?:y|ies)|standard|deadline|maximum|aims?|target|industry|please|reasonable|within which"
    r"|takes? up to)\b"
    r"|\b(?:would|will|can|could|(?-i:may)|might|shall|'ll|'d)\b(?! not\b|n't)"
    r"|\b(?:told|said|says|claimed?|assured|informed)"
    r" (?:me |us |that |it |they |to |i |we )*(?:would|will|could|takes?|within|in|wait|to wait|allow|up to"
    r"|a?n? ?\d|$)|\bsaid (?:\w+ ){1,3}(?:is|are|takes?)\b"
    r"|\b(?:need|want) (?:an?|the|my|it|this|you|them)\b|\bwant(?:s|ed)? (?:me|us) to\b",
    re.IGNORECASE,
)
_RULE_AFTER = re.compile(
    r"^\W*(?:(?:is|seems|feels|was) (?:an? (?:eternity|age|lifetime|long time|joke)|too long|forever|far too"
    r"|not (?:acceptable|ok)|"
    r"unacceptable|plenty|enough|the (?:norm|standard|rule|maximum)|reasonable))",
    re.IGNORECASE,
)
_OTHER_AFTER = re.compile(
    r"^(?:[- ]?(?:old|of age)\b|[- ](?:\w+ )?(?:warrant\w+|guarantees?|flights?|drives?|trips?|layovers?"
    r"|connections?|journeys?|"
    r"rides?|tours?|memberships?|contracts?|trials?|return policy|window|notice|stay|periods?|waiting period"
    r"|limits?|polic(?:y|ies)|"
    r"subscriptions?|shifts?|service\b|helpline|loans?|leases?|customers?|clients?|members?|check[- ]in)\b"
    r"| (?:each|per|every|an?) (?:day|week|month|year|night|hour)\b| (?:early|ahead|in advance|prior|before|until"
    r"|left|remaining|away|earlier|post)\b"
    r"(?! (?:they|i|we|anyone|someone|somebody|anybody|he|she|a|any|an|getting|hearing|speaking|it was)\b)"
    r"| (?:worth|into|out of|past) | of (?:use|using|service|driving|ownership|owning|pet|insurance|experience"
    r"|work|my life|being|age|"
    r"loyalty|membership|custom|premiums?|payments?|flying|data|free)\b"
    r"| (?:since|after|from) (?:i|we|the|my|having|its?) (?:had )?(?:bought|purchas\w+|got it|owning|birth"
    r"|purchase|surgery|adopt\w+)"
    r"| (?:late|delay\w*)\b| (?:that |which )?(?:i|we) (?:have |had )?(?:drove|driven|owned|used|been (?:with|a)\b)"
    r"| after (?:i|we) had (?:them|it)\b)",
    re.IGNORECASE,
)
_RELATION_BEFORE = re.compile(
    r"\b(?:customer|client|member|own(?:ed|ing)?|insured|loyal|using|used|driv(?:en|ing)|drove|worked|works"
    r"|married|liv(?:ed|ing)|lasted|"
    r"bought|purchas\w+|stayed|flying|flown|flew|rented|experience|insurance|warranty|played|parked"
    r"|been with|with (?:them|you))"
    r"(?: \w+){0,4}? (?:for|of|in|within|about|over|after|almost|nearly|around|just|past|some|at least|more than)*\s*$",
    re.IGNORECASE,
)
_OTHER_BEFORE = re.compile(
    r"(?:\b(?:every|each|per|once|twice|first|early|coming|this|that|other|cost|open|times?(?: an?| in| per)?|on day|"
    r"valid for|for up to|good for) (?=\s*$)|(?:[$£€]|\b\d+)\s*|\bdelay\w* (?:by |for |of |over |about |almost "
    r"|nearly )*"
    r"|\blate by |\b(?:leav|depart)(?:es|s|ing) in |\b(?:have|has|had) had (?:\w+ ){1,3}for (?:almost |over "
    r"|nearly )?|\bpa(?:id|y|ying)(?: \w+){0,4} for (?:\w+ )?"
    r"|\b(?:gave|give|given|giving|grant(?:ed)?) (?:them|him|her|it|you|the \w+) (?:another |about |over |some )?)$",
    re.IGNORECASE,
)
# What is paid back for a time, and what broke after one.
_PAID_FOR = re.compile(
    r"\b(?:refund\w*|reimburs\w+|compensat\w+|credit(?:ed)?|money back)(?: me| us)?(?: of| for (?:the|those|these|our"
    r"|my|both|all))(?: (?:about|over|almost|nearly|only|some))* $",
    re.IGNORECASE,
)
_FEES_AFTER = re.compile(
    r"^['’]s? (?:\w+ )?(?:fees?|rents?|pay|wages|salary|worth|notice|interest|credit|bills?|charges|premiums?|payments?"
    r"|subscriptions?|memberships?|supply|money|warranty|guarantee|use)\b"
    r"|^ (?:that |which )?(?:we|i) (?:had )?(?:missed|lost|paid|could(?:n't| not)|did(?:n't| not) (?:use|stay))\b",
    re.IGNORECASE,
)
_BROKE = (
    r"(?:broke|failed|died|leaked|cracked|snapped|packed up|gave (?:up|out|in)|fell apart|wore out|tore|conked out"
    r"|burnt out|burst|went wrong|malfunctioned|collapsed|stopped (?:working|charging|heating|cooling))"
)
_BROKE_BEFORE = re.compile(
    rf"\b{_BROKE}(?: (?:again|down|too|also|completely|apart|off|on me|on us))*(?: after| within| in)"
    r"(?: (?:only|just|about|around|less than|under|barely|almost|nearly|the))* $",
    re.IGNORECASE,
)
_BROKE_AFTER = re.compile(rf"^ (?:later|on|afterwards),? (?:(?!and\b|they\b)\w+ ){{1,4}}?{_BROKE}\b", re.IGNORECASE)
# "I replied to them within an hour": the author reacts. How often they tried in a time is another matter.
_I_REACTED = re.compile(
    r"\b(?:i|we)(?:'ve|'d| have| had| then| also| always| even| just| already| promptly| both| duly)* (?:paid|replied"
    r"|answered|responded|sent|returned|shipped|posted|called|rang|phoned|e-?mailed|wrote|contacted|complained|reported"
    r"|apologi[sz]ed|cancelled|canceled|claimed|filed|submitted|informed|notified|told|asked|got back to|let)\b"
    r"(?: (?!and\b|but\b|who\b|which\b|that\b|they\b|he\b|she\b|was\b|were\b|got\b|had\b|times\b|twice\b|\d)"
    r"[\w'’-]+){0,6}? (?:within|inside|in (?:under|less than))(?: (?:the|of|about|just|only))* $"
    r"|\b(?:i|we)(?:'ve|'d| have| had| then| finally)* (?:fixed|repaired|replaced|unlocked|unblocked|solved|resolved"
    r"|sorted)(?: (?!and\b|but\b)\w+){0,3}? (?:after|within|in)(?: (?:about|just|only|under))* $",
    re.IGNORECASE,
)
# "Five times in two weeks" is how often, and a wait only where what was asked for did not come.
_TIMES_IN = re.compile(r"\b(?:times|twice) (?:within|in|over|during) (?:the (?:last|past|first) )?$", re.IGNORECASE)
_INSTEAD_OF = re.compile(
    r"(?:\b(?:instead of|rather than)|, not)(?: (?:the|an?|their|your|its|our|my|promised|usual|expected|quoted"
    r"|advertised|agreed|stated|standard|normal|estimated|after|within|in|only|just|waiting))* $",
    re.IGNORECASE,
)
_RECENT = re.compile(r"\b(?:last|past|next|first) (?:the )?$", re.IGNORECASE)
_FLYING = re.compile(
    r"\b(?:flights?|planes?|aircraft|train|bus|departure|boarding|takeoff|landed|tarmac)\b", re.IGNORECASE
)
_LATE = re.compile(r"\b(?:delay(?:ed|s)?|late)\b", re.IGNORECASE)
_LATER = re.compile(r"^ (?:(?:later|after|afterwards)\b|on(?=,))", re.IGNORECASE)
_THAT_WAS = re.compile(r"^\W*(?:that|this|it) was (?:\w+ ){0,2}$", re.IGNORECASE)
_AGO = re.compile(r"^ (?:ago|back)\b", re.IGNORECASE)
_TOOK = re.compile(
    r"\b(?:took|takes|taken|taking)(?: (?:them|you|him|her|me|us|the \w+|over|about|almost|nearly|between|more|than|at"
    r"|least|around|only|just|well|"
    r"another|approximately|less|under|a|up|to))*\s*$",
    re.IGNORECASE,
)
_OUTAGE = re.compile(
    r"\b(?:down|outage|stop(?:ped|s)? working|drops|no (?:internet|power|signal|heating|water)"
    r"|without (?:\w+ )?(?:internet|power|phone|signal|heating|water|wi-?fi))\b",
    re.IGNORECASE,
)
_NOT_REACTION = re.compile(
    r"^\W*to (?:load|boot|open|start|submit|upload|pass|get through (?:passport|security)|drive|fly|walk"
    r"|travel|learn|finish|complete the game|play|charge|reach|land|write)\b",
    re.IGNORECASE,
)
_HAS_BEEN = re.compile(
    r"\b(?:it(?:'s| is| has|s)|that(?:'s| is| has)|have|has|had|as of)(?: now| already| just"
    r"| now)?(?: been)?(?: over| almost| nearly| about| more than| at "
    r"least| well over| going on| coming up (?:to|on)| getting on for| close to| no less than)*\s*$",
    re.IGNORECASE,
)
_PASSED = re.compile(
    r"^ (?:have |has |had )?(?:passed|gone|went|go) ?(?:by)?\b|^ (?:now|and counting)\b", re.IGNORECASE
)


def _reacts(text: str) -> bool:
    return bool(_ANSWER.search(text) or _REMEDY.search(text))


def _done(part: str, verb: re.Match[str]) -> bool:
    """Whether the verb, found in the part of a sentence, tells of something that was done, not by the author."""
    before = part[: verb.start()]
    by_me = _BY_ME.search(before) and not _TO_ME.match(verb[0])
    return not (by_me or _NOT_DONE.search(before) or _NOTHING_DONE.search(part[verb.end() :]))


# Words on either side of a duration that are looked at, and that are quoted.
CLAUSE: Final = 12
# Characters on either side that count as the sentence.
AROUND: Final = 250
QUOTE: Final = 7
_DONE = (
    r"(?:repl|answer|respond|refund|reimburs|fix|repair|resolv|solv|replac|paid|pay|approv|process|handl|notif|credit|"
    r"deposit|deliver|called|phoned|e-?mailed|contacted|texted|messaged|wrote|got|gave|sent|rang|reach|apologi"
    r"|deal|dealt"
    r"|help|settl|ship|"
    r"arrang|arriv|sort)\w*"
)
_DONE_BEFORE = re.compile(rf"\b{_DONE}(?:\W+\w+){{0,4}}\W*$", re.I)
_DONE_AFTER = re.compile(rf"^\W*(?:\w+\W+){{0,3}}{_DONE}\b", re.I)
_NOT_THEIRS = re.compile(
    r"\b(?:i|we)(?:'ve| have| did| then| also| had)*(?: \w+){0,4} *$|\b(?:to|be|being|rebook\w*|flights?"
    r"|available|arriv\w+ (?:in|at)|"
    r"tomorrow|told) (?:\w+ ){0,5}$",
    re.I,
)
_THEN_I = re.compile(
    r"^ (?:later|afterwards),? (?:i|we) (?!received|got|heard|had|have|was|were|am|still|finally)"
    r"|^ after,? (?:i|we) (?!(?:first |had |last )*(?:received|got|heard|had|have|was|were|am|still|finally|wrote"
    r"|written|asked|complained|called|rang|phoned|e-?mailed|filed|submitted|sent|returned|cancel|report|claim|applied|request"
    r"|contact|ordered))",
    re.I,
)
# People and things that come beside "within the hour" and "the next day", and what is done to a bill.
_PERSON = (
    r"(?:he|she|they|someone|somebody|(?:an?|the|their|his|her|our|my|two|another) (?:\w+ )?(?:man|men|woman|lady"
    r"|guys?|lad|technicians?|engineers?|plumbers?|electricians?|managers?|mechanics?|fitters?|drivers?|couriers?|crew|owner"
    r"|rep|representative|supervisor|repairman|team|director))"
)
_CAME_BEFORE = re.compile(
    rf"\b{_PERSON} (?:had |then |even |actually )?(?:came|turned up|showed up)"
    r"(?: (?:out|over|round|around|by|himself|herself|themselves|to (?:us|me|our|my|the)(?: (?:house|door|flat))?))* $",
    re.I,
)
_CAME_NEXT = re.compile(
    rf"^\W*(?:{_PERSON} (?:had |then |even |actually )?(?:turned up|showed up|came (?:out|over|round|around|by|with"
    r"|to (?:us|me|our|my|the house|fix|repair|replace|collect|look|apologi\w+)))\b"
    rf"|(?:{_PERSON}|(?:an?|the|my|our) (?:\w+ )?(?:new|replacement|\w+ voucher|box of|bunch of) ?\w*)"
    r" (?:was|were|stood|sat|waited|lay|appeared) (?:\w+ )?(?:at|on|outside|by) (?:my|our) (?:\w+ )?"
    r"(?:door|doorstep|desk|porch|house|gate|flat)\b"
    r"|(?:they|he|she|the (?:\w+ )?(?:manager|company|shop|bank|owner)) (?:had |then |even )?"
    r"(?:cut|halved|lowered|reduced|corrected|cancelled|canceled|removed|struck|wiped|dropped|scrapped) (?:the|my|our)"
    r" (?:\w+ )?(?:bill|invoice|fees?|charges?|price|fine|debt|interest)\b(?! card))",
    re.I,
)
_UNWELCOME = re.compile(
    r"\b(?:new (?:problem|issue|fault|leak|bill|invoice|charge)s?|bailiffs?|debt"
    r"|collect(?:or|ion)s?|police|sales\w+|court|invoice for)\b",
    re.I,
)
_GOT_IT = re.compile(
    r"\b(?:i|we) (?:had |'ve |have )?(?:(?:had|have|got|received) (?:an?|the|my|our|his|her|their)(?: \w+){0,2}?"
    r" (?:answer|reply|response|refund|money|replacement|call|call-?back|apology|credit|e-?mail|confirmation|solution)"
    r"(?: (?:back|from \w+|in my account))*|heard back(?: from (?:them|him|her|\w+))?) $",
    re.I,
)
_EVER = re.compile(r"\b(?:nobody|no one|none|never|not)\b.*\bever\b", re.I)
_REFUSED = re.compile(r"\b(?:refus(?:e|es|ed)|declin(?:e|es|ed)) to\b", re.I)
_BEFORE_IT_CAME = re.compile(
    r"^ (?:before|until|till) (?:they|he|she|any\w+|some\w+|an?|the|my|our"
    r"|(?:i|we) (?:got|received|heard))\b",
    re.I,
)
_NOT_YET_BEEN = re.compile(r"\b(?:has|have|had)(?:n't| not)(?: even| yet)? been (?:even |quite )?$", re.I)

# Dates: where the words about the second begin, and what is said with them.
_DATE_BOUNDARY = re.compile(r"[,;:(–—]| - | (?:and|but|then|yet|so|until|till) ")
_ASKED_SHORT = re.compile(
    r"^\W*(?:reported|complained|wrote|e-?mailed|claimed|filed|applied|requested|submitted|raised|contacted)\b"
    r"|\btook (?:my|our|down) (?:\w+ )?(?:name|details|number|address|complaint)\b",
    re.I,
)
_SINCE_DATE = re.compile(r"\bsince (?:early |late |mid |last )?$", re.I)
_NOW = re.compile(
    r"\b(?:(?:it is|it's|it’s|its|we are|we're|today is|now)(?: now| already| nearly| almost)*)"
    r"(?: on| in| the| mid| late| early| the end of)* $",
    re.I,
)
_UNTIL = re.compile(r"\b(?:until|till|before) (?:the |early |late |mid )?$", re.I)
_MERE_ORDER = re.compile(r"\b(?:ordered|called|rang|phoned|sent|asked|cancel\w+)$", re.I)
_NOTHING_AT_END = re.compile(r"\b(?:nothing|silence|nada|crickets)\W*$", re.I)
_NO_SUBJECT = re.compile(r"^\W*(?:(?:and|then|but|so|have|had|also|again|finally|only|just|i|we) )*$", re.I)
_ARRIVED = re.compile(r"(?:arrived|came)", re.I)

LATENCY_CUES: Final = frozenset({"speed", "contact", "solved", "follow_up", "redress", "apology"})


def latencies(
    text: str, cues: Sequence[Cue] = (), *, sentences: Sequence[Span] | None = None, utterance: str | None = None
) -> tuple[Latency, ...]:
    """Times to react that the text tells, in order. cues: what was read in it; sentences: its spans where known."""
    spans = tuple(sentences) if sentences is not None else sentence_spans(text)
    # Telephones write "haven’t": the patterns know one apostrophe, and the place of everything stays as it is.
    found = _found(text.replace("’", "'"), cues, spans, utterance)
    return tuple(replace(f, quote=text[f.start : f.end]) for f in sorted(found, key=lambda f: f.start))


def _found(text: str, cues: Sequence[Cue], spans: Sequence[Span], utterance: str | None) -> list[Latency]:
    found = []
    for i, (a, b) in enumerate(spans if may_tell(text) else ()):
        after = text[slice(*spans[i + 1])][:AROUND] if i + 1 < len(spans) else ""
        for duration in durations(text[a:b]):
            # Text without full stops can be endless: only what stands near is looked at.
            left, right = max(a, a + duration.start - AROUND), min(b, a + duration.end + AROUND)
            near = replace(duration, start=a + duration.start - left, end=a + duration.end - left)
            on = _cues_on(cues, a + duration.start, a + duration.end, (a, b))
            place = _Place(text[left:right], near, after, on)
            if place.counts():
                found.append(place.latency(left, utterance))
    for dated in _dated(text, spans, utterance):
        # A figure that is told of the same wait says more than its dates.
        if not any(f.start < dated.end and dated.start < f.end for f in found):
            found.append(dated)
    return found


def _dated(text: str, spans: Sequence[Span], utterance: str | None) -> Iterator[Latency]:
    """Times between two dates of the text: one on which the author asked, one on which it came or had not come yet."""
    starts = [a for a, _ in spans]
    for one, other in pairwise(named(text)):
        hours = hours_between(one, other)
        if hours is None or other.start - one.end > AROUND:
            continue
        first, last = (bisect_right(starts, d.start) - 1 for d in (one, other))
        if first < 0 or last - first not in (0, 1):
            continue
        between = _Between(text, one, other, spans, first, last)
        state = between.state()
        if state is None or (state == "open" and hours[0] == 0):
            continue
        start, end = between.quote()
        open_still = state == "open"
        upper = None if open_still else hours[1]
        yield Latency(between.about(), hours[0], upper, open_still, text[start:end], start, end, utterance)


@dataclass(frozen=True)
class _Between:
    """Two dates of a text, in its sentences number `first` and `last`, and the words around them."""

    text: str
    one: Named
    other: Named
    spans: Sequence[Span]
    first: int
    last: int

    def _begin(self) -> int:
        """Where the words about the first date begin; "that was on the ninth" speaks of the sentence before."""
        begin = max(self.spans[self.first][0], self.one.start - AROUND)
        if self.first and _THAT_WAS.search(self.text[begin : self.one.start]):
            return max(self.spans[self.first - 1][0], self.one.start - AROUND)
        return begin

    def _turn(self) -> int:
        """Where the words about the second date begin."""
        if self.first != self.last:
            return self.spans[self.last][0]
        cut = _DATE_BOUNDARY.search(self.text, self.one.end, self.other.start)
        return cut.start() if cut else self.one.end

    def _end(self) -> int:
        return min(self.spans[self.last][1], self.other.end + AROUND)

    def state(self) -> Literal["came", "open"] | None:
        """Whether something had come by the second date; None where the dates tell of something else."""
        turn, end, begin = self._turn(), self._end(), self._begin()
        asked, told = self.text[begin:turn], self.text[turn:end]
        lasts = _WAITED.search(asked) or _GOING_ON.search(asked)
        since = lasts and _SINCE_DATE.search(self.text[begin : self.one.start])
        requests = _ASKED.search(asked) or _ASKED_SHORT.search(asked)
        waits = since or _WAITED.search(asked)
        if not (requests or waits) or _NO_FACT.search(asked) or _NO_FACT.search(told):
            return None
        to_date = self.text[turn : self.other.start]
        if _NOW.search(to_date):
            if any(_done(told, m) for m in _CAME.finditer(told)):
                return None
            follows = "".join(self.text[a:b][:AROUND] for a, b in self.spans[self.last + 1 : self.last + 2])
            silent = any(_NOTHING_YET.search(part) for part in (asked, told, follows))
            formal = requests and not _MERE_ORDER.search(requests[0])
            return "open" if silent or since or formal else None
        if _UNTIL.search(to_date):
            return "came" if _NOTHING_YET.search(to_date) or waits else None
        after = self.other.end + self.text.startswith(",", self.other.end)
        cut = _DATE_BOUNDARY.search(self.text, after, end)
        if self._came(self.text[turn : cut.start() if cut else end]):
            return "came"
        missing = _NOTHING_YET.search(told) and (_reacts(told) or _NOTHING_AT_END.search(told))
        return "open" if missing and not _CAME_AFTER_ALL.search(told) else None

    def _came(self, told: str) -> bool:
        """Whether the company did something here; "wrote on 3 May and wrote again" are the author's doings."""
        for verb in _CAME.finditer(told):
            by_none = _NO_SUBJECT.match(told[: verb.start()])
            mine = _TO_ME.match(verb[0]) or _ARRIVED.match(verb[0])
            if _done(told, verb) and (mine or not by_none) and (not _TO_ME.match(verb[0]) or _reacts(told)):
                return True
        return False

    def about(self) -> About:
        told, asked = self.text[self._turn() : self._end()], self.text[self._begin() : self._turn()]
        for part in (told, asked):
            if _ANSWER.search(part):
                return "answer"
            if _REMEDY.search(part):
                return "remedy"
        return "wait"

    def quote(self) -> Span:
        """The words from one date to the other with those beside them; of the second only where a line ends between."""
        begin = self.spans[self.first][0]
        start = self.one.start
        if "\n" in self.text[start : self.other.end]:
            begin, start = self.spans[self.last][0], self.other.start
        begin = max(begin, start - AROUND)
        left = [m.start() for m in re.finditer(r"\S+", self.text[begin:start])][-QUOTE:]
        end = self._end()
        right = [m.end() for m in re.finditer(r"\S+", self.text[self.other.end : end])][:QUOTE]
        return begin + min(left, default=start - begin), self.other.end + max(right, default=0)


def _cues_on(cues: Sequence[Cue], start: int, end: int, sentence: Span) -> list[tuple[Cue, bool]]:
    """Cues of the sentence, each with whether its quote covers the duration."""
    inside = [c for c in cues if c.start < sentence[1] and sentence[0] < c.end and c.cue in LATENCY_CUES]
    return [(c, c.start < end and start < c.end) for c in inside]


@dataclass(frozen=True)
class _Place:
    """A duration in its sentence, with the sentence after and the cues around."""

    sentence: str
    duration: Duration
    following: str
    cues: Sequence[tuple[Cue, bool]]

    @property
    def before(self) -> str:
        return self.sentence[: self.duration.start]

    @property
    def after(self) -> str:
        return self.sentence[self.duration.end :]

    @property
    def clause(self) -> str:
        """The part of the sentence around the duration, up to a comma or a conjunction, at most CLAUSE words away."""
        start, end = self._clause_span()
        return self.sentence[start:end]

    def _clause_span(self) -> Span:
        start = max((m.end() for m in _BOUNDARY.finditer(self.before)), default=0)
        end = next((m.start() for m in _BOUNDARY.finditer(self.after)), len(self.after))
        left = [m.start() for m in re.finditer(r"\S+", self.before)][-CLAUSE:]
        right = [m.end() for m in re.finditer(r"\S+", self.after)][:CLAUSE]
        start = max(start, min(left, default=0))
        return start, self.duration.end + min(end, max(right, default=0))

    def counts(self) -> bool:
        """Whether the duration is a time to react."""
        if self._of_something_else() or self._no_fact():
            return False
        return any(self._tied())

    def _on_it(self, *names: str) -> bool:
        return any(on and c.cue in names and c.state != "hypothetical" for c, on in self.cues)

    def _of_something_else(self) -> bool:
        if _OTHER_AFTER.search(self.after) or _THEN_I.search(self.after):
            return True
        if _OTHER_BEFORE.search(self.before[-60:]) and not self._asked_in_vain():
            return True
        if self._paid_for() or _INSTEAD_OF.search(self.before[-60:]) or _BROKE_AFTER.search(self.after):
            return True
        broke = _BROKE_BEFORE.search(self.before[-60:]) and not re.match(r" to \w", self.after)
        if broke or _I_REACTED.search(self.before[-120:]):
            return True
        relation = _RELATION_BEFORE.search(self.before[-60:])
        # "Customer service replied two hours later" tells of no customer of two hours.
        if relation and not _DONE_BEFORE.search(relation[0]) and not _TOOK.search(self.before):
            return True
        if _OUTAGE.search(self.clause) or self._years():
            return True
        if _RECENT.search(self.before) and not self._nothing_yet():
            return True
        return bool(_FLYING.search(self.clause) and _LATE.search(self.clause))

    def _asked_in_vain(self) -> bool:
        """Whether the author asked several times in that time, and what follows says that nothing came of it."""
        start, _ = self._clause_span()
        if not _TIMES_IN.search(self.before[-30:]) or not _ASKED.search(self.before, start):
            return False
        told = self.after if re.search(r"\w", self.after) else self.following
        came = _CAME_AFTER_ALL.search(told) or any(_done(told, m) for m in _CAME.finditer(told))
        return not came and _reacts(told) and bool(_NOTHING_YET.search(told))

    def _paid_for(self) -> bool:
        """Whether it is a time that money was paid for: nights missed, months of fees."""
        return bool(_PAID_FOR.search(self.before[-60:]) or _FEES_AFTER.search(self.after))

    def _years(self) -> bool:
        """A year or more is a relationship or a history, unless something is still open or it took that long."""
        if self.duration.lower < HOURS["year"] or _TOOK.search(self.before) or _BEFORE_IT_CAME.search(self.after):
            return False
        since = _HAS_BEEN.search(self.before) or _PASSED.search(self.after) or _AGO.search(self.after)
        open_still = _NOTHING_YET.search(self.clause) or self._on_it_none() or (since and self._nothing_yet())
        open_still = open_still or _GOING_ON.search(self.clause)
        return not open_still or bool(_EVER.search(self.sentence))

    def _no_fact(self) -> bool:
        if _RULE_AFTER.search(self.after) or _NO_FACT.search(self.clause) or _REFUSED.search(self.clause):
            return True
        hypothetical = any(on and c.state == "hypothetical" and c.cue in ("speed", "contact") for c, on in self.cues)
        return hypothetical and not self._on_it("speed")

    def _nothing_yet(self) -> bool:
        return bool(_NOTHING_YET.search(self.sentence)) or self._on_it_none()

    def _on_it_none(self) -> bool:
        return any(c.cue == "contact" and c.value == "none" and on for c, on in self.cues)

    def _tied(self) -> Iterator[bool]:
        """The ways in which a duration is the time of a reaction."""
        if self.duration.fixed:
            yield self._done_near()
            told = self._on_it("speed", "apology") and not _NOT_THEIRS.search(self.before)
            yield told and bool(self._came() and _reacts(self.clause))
            return
        clause, reacts = self.clause, _reacts(self.clause)
        if _AGO.search(self.after):
            asked = bool(_ASKED.search(self.sentence) or _THAT_WAS.search(self.before))
            yield asked and (self._nothing_yet() or bool(_NOTHING_YET.search(self.following)))
            return
        # The head also calls a slow screen or an outage slow: the words must speak of a reaction as well.
        yield self._on_it("speed") and (_reacts(self.sentence) or bool(_WAITED.search(self.sentence)))
        yield bool(_WAITED.search(clause))
        yield self._took()
        yield bool(_BEFORE_IT_CAME.search(self.after) and _CAME.search(self.after))
        since = bool(_HAS_BEEN.search(self.before) or _PASSED.search(self.after))
        yield since and (reacts or self._nothing_yet())
        yield (reacts or (self._nothing_yet() and _reacts(self.sentence))) and self._linked()
        yield bool(_ASKED.search(self.sentence)) and self._nothing_yet()
        yield self._asked_in_vain()
        # "Six weeks later, still nothing." "Three weeks and not one reply."
        first = not self.before.strip(" \t\n-\"'*")
        yield first and self._nothing_yet() and (bool(_LATER.search(self.after)) or _reacts(self.sentence))

    def _took(self) -> bool:
        if not _TOOK.search(self.before) or _NOT_REACTION.search(self.after):
            return False
        done = re.match(r" to (?:get|pay|send|give|come|do|make|say|tell|settle|admit)\b", self.after)
        return _reacts(self.sentence) or self._on_it("speed") or bool(done)

    def _linked(self) -> bool:
        """Whether a preposition or "later" ties it to what is said of the reaction; "day 9" needs none."""
        if self.sentence[self.duration.start :][:4].lower() == "day ":
            return True
        near = self.before[-30:]
        linked = re.search(
            r"\b(?:within|in|after|for|under|than|over|about|around|almost|nearly|only|just|of)\b[\w <>=~≤≥]*$",
            near,
            re.I,
        )
        return bool(linked or _LATER.search(self.after))

    def _done_near(self) -> bool:
        """Whether "the next day" and the like stand beside something that the company did."""
        if _GOT_IT.search(self.before) or self._came_near():
            return True
        if _NOT_THEIRS.search(self.before) or re.match(r"\W*(?:deliver|ship|order|service)", self.after, re.I):
            return False
        return bool(_DONE_BEFORE.search(self.before) or _DONE_AFTER.search(self.after))

    def _came_near(self) -> bool:
        """Whether somebody or something came, or a bill was cut, in words that are no plain verb of a reaction."""
        if _UNWELCOME.search(self.clause):
            return False
        return bool(_CAME_BEFORE.search(self.before[-80:]) or _CAME_NEXT.search(self.after))

    def latency(self, offset: int, utterance: str | None) -> Latency:
        """The duration as a time to react; offset: where `sentence` starts in the text."""
        not_yet = bool(_NOT_YET_BEEN.search(self.before))
        censored = self._censored() and not not_yet
        start, end = self._quote()
        return Latency(
            about=self._about(),
            lower=0.0 if not_yet else round(self.duration.lower, 4),
            upper=None if censored or self.duration.upper is None else round(self.duration.upper, 4),
            censored=censored,
            quote=self.sentence[start:end],
            start=offset + start,
            end=offset + end,
            utterance=utterance,
        )

    def _censored(self) -> bool:
        if _AGO.search(self.after):
            return True
        if self.duration.fixed or (self.duration.lower == 0 and self.duration.upper is not None):
            return False
        if self._asked_in_vain():
            return True
        if _CAME_AFTER_ALL.search(self.sentence):
            return False
        if self._goes_on():
            return not self._ended()
        if self._came():
            return False
        # Where the clause tells of a reaction, what is missing elsewhere in the sentence is something else.
        missing = self.clause if _reacts(self.clause) else self.sentence
        return bool(_NOTHING_YET.search(missing)) or self._on_it_none()

    def _goes_on(self) -> bool:
        """Whether the time is told as one that lasts until now."""
        waiting = _HAS_BEEN.search(self.before) and _OF_WAITING.search(self.after)
        return bool(_GOING_ON.search(self.clause) or waiting)

    def _ended(self) -> bool:
        """Whether something that was done is told after it in the sentence."""
        return any(
            _done(self.after, m) and not _SINCE.search(self.after[: m.start()]) for m in _CAME.finditer(self.after)
        )

    def _came(self) -> re.Match[str] | None:
        """What the company has done in the clause of the duration, the one that stands nearest to it."""
        start, _ = self._clause_span()
        middle = self.duration.start - start
        found = [m for m in _CAME.finditer(self.clause) if _done(self.clause, m)]
        return min(found, key=lambda m: abs(m.start() - middle), default=None)

    def _about(self) -> About:
        came = self._came()
        if came and bool(_ANSWER.search(came[0])) != bool(_REMEDY.search(came[0])):
            return "answer" if _ANSWER.search(came[0]) else "remedy"
        for part in (self.clause, self.sentence):
            answer, remedy = _ANSWER.search(part), _REMEDY.search(part)
            if answer and not (remedy and _WAITED.search(part)):
                return "answer"
            if remedy:
                return "remedy"
        if self.duration.fixed and _CAME_NEXT.search(self.after):
            return "remedy"
        return "answer" if self.duration.fixed and self._came_near() else "wait"

    def _quote(self) -> Span:
        """The words of the clause near the duration: what shows the figure and what it is of."""
        a, b = self._clause_span()
        words = [m.span() for m in re.finditer(r"\S+", self.sentence) if m.start() < b and m.end() > a]
        inside = [i for i, (s, e) in enumerate(words) if s < self.duration.end and self.duration.start < e]
        low, high = max(0, inside[0] - QUOTE), min(len(words) - 1, inside[-1] + QUOTE)
        return max(words[low][0], a), min(words[high][1], max(b, self.duration.end))
