"""Tells advertising from what customers say, by features that can be read and named.

Set for precision: a lost complaint costs more than a pitch that stays.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from model.hints import Hint, seen


@dataclass(frozen=True, slots=True)
class Spam:
    """How much a text looks like advertising: the sum of the weights of what was found, and their names."""

    score: float
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"score {self.score:g} of {SPAM_FROM:g}: {', '.join(self.reasons)}"


SPAM_FROM: Final = 3.0
"""Score from which an utterance is dropped."""

_URL: Final = re.compile(
    r"https?:\s?//?\S+|\bwww\.\S+|\b[\w-]+\s?[.,]\s?(?:com|net|org|info|biz|co|tk|ly|xyz|in|us)\b(?:[/\\]\S*)?",
    re.IGNORECASE,
)
# Where neither stands there is no address.
_MAY_LINK: Final = Hint.of("www", "http")
_DOMAIN: Final = re.compile(r"[.,]\s?(?:com|net|org|info|biz|co|tk|ly|xyz|in|us)\b", re.IGNORECASE)
_PHONE: Final = re.compile(r"\d[\d\s().\u2013-]{8,}\d")
_SIGNS: Final = (
    ("a keyword as a link", 2.0, r"<a\s+(?:[\w-]+=\S+\s+)?href|\[url[=\]]"),
    ("an invitation to one's own channel", 3.0,
     r"\b(?:check|cheak|chek)(?:ing)? (?:it |this |out |them )*(?:my|our) (?:\S+ ){0,3}(?:channel|video|vid|song"
     r"|songs|rap|covers?|remix|music|vlog|mixtape|"
     r"playlist|youtube|gameplay)s?\b|^\W*check out this (?:video|playlist) on youtube.{0,30}$|\bsubs?(?:cribe"
     r"|cribing)?\b.{0,30}\b(?:(?:to )?(?:me|my|our) |channel|sub4sub)|\bsuscribe\b"
     r"|\b(?:visit|like|watch) (?:my|our) (?:channel|videos?)\b|\bsub ?(?:4|for) ?sub\b|\b(?:please|pls"
     r"|plz) subscribe\b"),
    ("a call to come elsewhere", 2.0,
     r"\b(?:check out|visit|see|like|please visit) (?:my|our|this) (?:new |own )?(?:web ?site|site|web|blog"
     r"|home ?page|page|shop|store|profile)\b"
     r"|\b(?:click|visit|see) (?:on )?my (?:name|profile?|pic\w*)|\b(?:link|site) in (?:my|the) (?:bio|profile?"
     r"|name)\b|>>+ ?\w|\bdot (?:com|info|net|org)\b"
     r"|\(remove (?:the )?spaces?\)|\b(?:contact|message|add|text) (?:me|us|him|her|them) (?:by|on|at"
     r"|via) (?:e-?mail|skype|whats ?app|telegram|instagram)\b"
     r"|\bcontact us skype\b|\b(?:follow|add) me (?:on|at) (?:twitter|instagram|facebook|snapchat|soundcloud)\b"
     r"|\bfollow you back\b|\bleave (?:a )?comment\b.{0,30}\bfollow\b"),
    ("a bonus or an offer", 2.0,
     r"\b(?:free (?:bonus|gift|trial|quote|consultation|download|samples?|shipping|vpn|iphone|leads"
     r"|airline tickets|tickets)|bonus(?:es)?\b.{0,40}\bfree|(?:great|get a) bonus"
     r"|discount codes?|promo codes?|coupon codes?|special offers?|limited[- ]time|exclusive (?:deal|offer"
     r"|bonus)|best (?:deals?|prices?|offers?|rates?|range of discounts)|best reasonable"
     r"|lowest prices?|(?:at )?low price|cheap (?:flight|price|rate|tickets?|hotel|car insurance|last minute)\w*"
     r"|cheapest|amazing deals?|deals and discounts|offers and deals"
     r"|no credit card|gift cards?.{0,30}\bfree|free gift cards?|survey and win|you (?:can|will|could) win)\b"
     r"|\d{2}\s?% off\b|[-\u2013]\d{2}\s?%"),
    ("a product from the spammers' shelf", 2.0,
     r"\b(?:designer|aaa quality|replicas?|wholesale (?:routes|price)|lose weight|lost \d+ (?:pounds?|kg)"
     r"|green coffee|unlock any|car insurances? quotes?|solar panels? .{0,20}free"
     r"|urgent loan|need a loan|loan (?:firm|offer|company)|seo (?:service|company|expert)|essay writ\w+"
     r"|web design (?:company|service)|backlinks?|binary options?)\b"),
    ("pressure to hurry", 1.0, r"\b(?:hurry|act (?:now|fast)|don'?t miss (?:out|it|this)|before it'?s too late"
        r"|order now|buy now|book now|call now|sign up (?:now|today)|start today|only today|while stocks last)\b"),
    ("an unrelated product is pitched", 2.0,
     r"\b(?:if you'?(?:re| are)|are you|anyone|those) (?:looking|searching|planning|going to buy|interested in"
     r"|in need|in search)\b.{0,160}\b(?:check out|check|visit|contact|try|call|dial|take a look|then why"
     r"|get in touch|look no further|have a look)\b"
     r"|\blooking (?:for|to (?:buy|book|hire|get|earn))\b.{0,120}\b(?:then |just )?(?:check out|visit|contact us"
     r"|dial|look no further)\b"
     r"|\bif you (?:want|need)\b.{0,100}\b(?:dial|visit (?:our|my)|then call|check out (?:my|our))\b"),
    ("a claim about money to be made", 3.0,
     r"\b(?:make|earn|earning|making|earned) (?:some )?(?:easy |extra |real |good |fast |free |lots? of "
     r"|a lot of )*(?:money|cash|income|\$ ?\d[\d,.]*k?)\b[^.!?]{0,40}\b(?:online|from home|at home|internet"
     r"|with 0|per (?:day|week))\b"
     r"|\bearn(?:ing)? (?:real |easy |lots of )?money\b|\bwork(?:ing)? (?:from|at) home\b.{0,60}\$"
     r"|\$\s?\d[\d,]* ?(?:/|per|an?|every)? ?(?:hour|day|week|month)\b.{0,60}\b(?:online|from home|link|click"
     r"|website)\b"
     r"|\b(?:forex trad(?:er|ing)|crypto(?:currency)? (?:invest|trad|recover)\w*|bitcoin (?:invest|min"
     r"|recover)\w*|guaranteed (?:profit|returns?|loan))\b|\bpersonal loans?\b.{0,80}\b(?:contact|apply"
     r"|interest rate)\b"),
    ("a message that fishes for payment", 2.0, r"\b(?:your (?:package|parcel) is waiting"
        r"|confirm (?:the )?delivery fee|verify your (?:account|wallet)|check if (?:you|your zip code) (?:is|are"
        r"|qualif\w+) ?(?:eligible)?)"),
    ("a call to click", 1.5, r"\bclick (?:here|below|on (?:the|this|my) link|this link|the link)\b|\bcopy (?:and"
        r"|&) paste (?:this|the) link\b"),
    ("a link to sell", 1.5,
     r"https?://\S*(?:/(?:products?|shop|store|buy|order|bonus|discounts?|coupons?|deals?|promo|offers?"
     r"|pricing)\b|-bonus|[?&](?:ref|aff|affid|affiliate|tag)=|training|courses?\b|software|casino|loan|seo\b"
     r"|essay|escort|pills|viagra|support-?(?:phone-)?number|customer-(?:care|service))"),
    ("somebody who restores money or hacks for hire", 3.0, r"\b(?:hire (?:a )?hacker|recover(?:ed)? (?:my|your"
        r"|their) (?:lost )?(?:funds?|bitcoins?|crypto)|spell ?caster|whats ?app (?:me|us|him|them"
        r"|number)?:? ?(?:on|at)?:? ?\+\d)"),
    ("a list of search words", 1.5, r"\|\s+[\w ]{3,40}\s+\|"),
    ("goods of the grey market", 3.0, r"\b(?:viagra|cialis|replica (?:watches|handbags)|handbag replicas?"
        r"|payday loans?|online casino|escort service)\b"),
)  # fmt: skip
# What stands in all that the pattern of a sign finds; the others begin with a rare mark and are searched as fast.
_HINTS: Final = {
    "a keyword as a link": Hint.of("", "<a", "[url"),
    "an invitation to one's own channel": Hint.of(
        "check checking cheak cheaking chek cheking sub subs subcribe subscribe subcribing subscribing suscribe"
        " sub4sub subforsub channel video videos"
    ),
    "a call to come elsewhere": Hint.of(
        "website site web blog homepage page shop store profile click visit see link dot remove email mail skype"
        " whatsapp app telegram instagram twitter facebook snapchat soundcloud follow", ">>"
    ),
    "a bonus or an offer": Hint.of(
        "free bonus bonuses discount promo coupon special limited exclusive best lowest price cheap cheapest amazing"
        " deals credit survey win", "%"
    ),
    "a product from the spammers' shelf": Hint.of(
        "designer aaa replica replicas wholesale weight pound pounds kg coffee unlock insurance insurances solar loan"
        " seo essay design backlink backlinks binary"
    ),
    "pressure to hurry": Hint.of("hurry act miss late now today stocks"),
    "an unrelated product is pitched": Hint.of(
        "looking searching planning buy interested need search dial visit call check"
    ),
    "a claim about money to be made": Hint.of(
        "money cash income forex crypto cryptocurrency bitcoin guaranteed loan loans", "$"
    ),
    "a message that fishes for payment": Hint.of("package parcel confirm verify check"),
    "a call to click": Hint.of("click paste"),
    "a link to sell": Hint.of("", "http"),
    "somebody who restores money or hacks for hire": Hint.of("hire recover recovered whatsapp app", "caster"),
    "a list of search words": Hint.of("", "|"),
    "goods of the grey market": Hint.of("viagra cialis replica handbag payday casino escort"),
}  # fmt: skip
_ANY_HINT: Final = Hint.any_of(_HINTS.values())
# For text in small letters, which takes half the time of ignoring the case.
_COMPILED: Final = tuple(
    (name, weight, _HINTS[name], re.compile(pattern, re.DOTALL)) for name, weight, pattern in _SIGNS
)
SIGNS: Final = (
    *(name for name, _, _ in _SIGNS),
    "a link",
    "many links in few words",
    "hotlines on offer",
    "a telephone service on offer",
    "general praise around it",
    "nothing but a link",
    "own dealings with a company",
)
"""Everything that `signs` may find."""
_NUMBER: Final = Hint.of("number")
_SUPPORT_NUMBER: Final = re.compile(
    r"\b(?:support|customer (?:care|service|support)|help ?line|help ?desk|toll[- ]free|tech(?:nical)? support"
    r"|reservations?|phone|contact|airlines?)(?: phone| telephone| toll[- ]free| helpline)? number\b",
    re.IGNORECASE,
)
_AT_YOUR_SERVICE: Final = re.compile(
    r"\b(?:dial|toll[- ]free|24/7|24x7|24 ?/ ?7|round the clock|our (?:technical |highly |team of |well "
    r"|certified |expert)+|(?:experts?|technicians?|engineers|professionals) (?:are|will|is)\b|get in touch"
    r"|we (?:provide|offer|are here))\b",
    re.IGNORECASE,
)
_ONLY_A_LINK: Final = re.compile(r"\s*\S{0,20}\s*(?:https?://\S+|www\.\S+)\s*")
_FLATTERY: Final = re.compile(
    r"\b(?:nice|great|good|awesome|amazing|excellent|fantastic|wonderful|informative|useful|helpful|interesting"
    r"|intresting|valuable|lovely)\b.{0,30}\b(?:post|article|blog|info|information|read|site|website|share"
    r"|sharing|content|tutorial|discussion|one)\b"
    r"|\b(?:post|article|blog|information) (?:is|was) (?:really |very |so )*(?:nice|great|good|useful|helpful"
    r"|informative|interesting)\b"
    r"|\bthanks?(?: you| u)?\b.{0,20}\bfor (?:the |your |this )?(?:nice |great |useful |valuable )?(?:shar"
    r"|writing|post|info|inform|updat|provid)\w*|\bi (?:really )?(?:like|love|appreciate) your (?:blog|work|post"
    r"|article|site)\b"
    r"|\bi (?:read|found|visit) your (?:blog|site|website)\b|\bfound your (?:site|blog)\b|\bis your theme\b"
    r"|\bbookmark(?:ed)? (?:it|your|this)\b"
    r"|\bkeep (?:posting|sharing|updating|on doing|it up)\b|\bgreat to (?:come across|see) (?:a|this)\b",
    re.IGNORECASE | re.DOTALL,
)
_OWN_EXPERIENCE: Final = re.compile(
    r"\b(?:i|we) (?:\w+ ){0,2}(?:called|phoned|rang|bought|ordered|returned|paid|own|owned|drove|drive|contacted"
    r"|complained|waited|asked for|received|spoke|flew|cancell?ed|purchased|had (?:a|an|the|to))\b"
    r"|\bmy (?:\w+ )?(?:car|order|flight|bill|refund|dealer|claim|account|luggage|policy|phone|machine|warranty"
    r"|money back|complaint|ticket|vehicle|truck|booking|parcel|delivery)\b"
    r"|\b(?:refused|denied|apologi[sz]ed|apolog(?:y|ies)|never (?:again|called|replied|answered)|no (?:reply"
    r"|answer|apology)|sorry to hear|sorry (?:for|about) (?:the|your)|(?:they|he|she) (?:told|said|sent|replaced"
    r"|refunded|promised))\b",
    re.IGNORECASE,
)


def spam(text: str) -> Spam:
    """How much a text looks like advertising. Reports of one's own dealings with a company speak against it.

    A company's answer with a link or a telephone number, or a customer's, stays below SPAM_FROM.
    """
    found = signs(text)
    return Spam(sum(weight for _, weight in found), tuple(name for name, _ in found))


def signs(text: str) -> list[tuple[str, float]]:
    """What was found in a text, each as a name of SIGNS and its weight."""
    return list(_signs(text))


@lru_cache(maxsize=256)
def _signs(text: str) -> tuple[tuple[str, float], ...]:
    """The rules and the linear model both ask for them, one soon after the other."""
    text = text.replace("\u2019", "'").replace("&#39;", "'").replace("&amp;", "&")[:6000]
    told = seen(text)
    found = []
    if _ANY_HINT.stands_in(told):
        small = text.lower()
        found = [
            (name, weight)
            for name, weight, hint, pattern in _COMPILED
            if hint.stands_in(told) and pattern.search(small)
        ]
    links = len(_URL.findall(text)) if _MAY_LINK.stands_in(told) or _DOMAIN.search(text) else 0
    if links:
        found.append(("a link", 0.5))
    if links >= 4 and links * 12 > len(text.split()):
        found.append(("many links in few words", 1.5))
    numbers = len(_SUPPORT_NUMBER.findall(text)) if _NUMBER.stands_in(told) else 0
    if numbers and (numbers >= 2 or _AT_YOUR_SERVICE.search(text)):
        found.append(("hotlines on offer", 3.5))
    elif _PHONE.search(text) and len(_AT_YOUR_SERVICE.findall(text)) >= 2:
        found.append(("a telephone service on offer", 2.5))
    if found and _FLATTERY.search(text) and len(text.split()) < 80:
        found.append(("general praise around it", 2.0 if links else 1.0))
    if _ONLY_A_LINK.fullmatch(text) is not None:
        found.append(("nothing but a link", 1.0))
    if found and (own := len(_OWN_EXPERIENCE.findall(text))):
        found.append(("own dealings with a company", -1.5 * min(own, 2)))
    return tuple(found)
