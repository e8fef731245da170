"""What pages carry besides what people said, and who said it, read from plain lines.

Boilerplate of blog software, counts that a page states, promotion at the foot of a post, comments quoted inside a
post, signatures, and the persons that a comment addresses. The rules are about wording only, so they serve text
scrapes and HTML pages alike.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from model.types import Author, Thread, Utterance

Paragraphs = list[str]

# ---------------------------------------------------------------------------------------------------- boilerplate

_NETWORKS: Final = (
    r"(?:facebook|twitter|x|linked ?in|pinterest|reddit|tumblr|google\+?|whatsapp|e-?mail|digg|stumbleupon)"
)
_BOILERPLATE: Final = re.compile(
    "|".join(
        (
            r"(?:originally )?posted (?:on|in|at|by|under)\b[^.!?]{0,90}|posted in \w+\.",
            r"(?:published|last updated|updated) (?:on|:)? ?(?:[a-z]+ \d{1,2},? \d{4}|\d[\d/.-]+)\W*",
            r"(?:this entry|this post|this article|entry) was (?:posted|published|tagged|filed)\b.*",
            r"tagged(?: with| as| in)?:?[\s,.]*",
            r"tagged(?: with| as| in)?:? (?:[^.!?,]{1,30},\s?)+[^.!?,]{0,30}",
            r"(?:tags?|categor(?:y|ies)|filed under|labels?|topics?)\s?:.{0,200}",
            r"filed (?:under|in)\b.{0,120}",
            r"bookmark the permalink\.?|permalink\.?|permanent link",
            r"your e-?mail (?:address )?(?:will not|won't|is never) be? ?(?:published|shared).*|required fields .*",
            r"(?:leave|post|add|write|submit|make) (?:a|your|new|the first) (?:new )?(?:reply|comment|response)"
            r"(?: (?:cancel reply|to .{1,60}|below|here))?[.!:\u2193\u00bb]*",
            r"cancel reply|(?:post|submit|send) (?:comment|reply)|(?:post|add) comment \u00bb?|comment \*",
            r"fill in your details.*|you are commenting using.*|connecting to %s.*|%[ds] bloggers? likes? this.*",
            r"(?:\(?\s*(?:log ?(?:in|out)|sign ?(?:in|out|up)|change|register)\s*[/|)]*\s*)+",
            r"(?:please )?(?:log|sign) ?in (?:using one of|to (?:reply|comment|leave|post|vote|view|follow"
            r"|join))\b.*",
            r"(?:log in|login|sign in|register) or (?:log in|login|sign up|register|create).{0,60}",
            r"you (?:must|need to|have to) be (?:logged|signed) in.*",
            rf"{_NETWORKS}(?: (?:photo|picture|logo|icon))?|wordpress\.com logo|gravatar",
            r"notify me (?:of|by|when)\b.*|save my name,? e-?mail.*",
            r"(?:name|e-?mail|website|url|mail|comment)(?: address)?\s*(?:\*|\((?:required|will not|optional).*)",
            r"name|e-?mail|website|url|logo",
            r"(?:comments?|comments and pings|both comments and pings|this thread|this topic) (?:are|is) "
            r"(?:currently |now )?(?:closed|locked|off|archived|disabled).*",
            r"new comments cannot be posted.*|votes cannot be cast.*",
            r"no comments(?: yet| so far)?[.!]?|be the first (?:to|of).{0,60}",
            r"like this:?|like loading\W*|loading\W*|\d+ (?:bloggers?|people|users?) likes? this.*",
            r"share(?: this)?(?: (?:post|article|page|story|entry|video))?\W*|"
            rf"share (?:on|via|to|with|this (?:on|via|with)) {_NETWORKS}\b.{{0,60}}",
            rf"(?:share|tweet|pin|print|e-?mail|like|{_NETWORKS})"
            rf"(?:[\s|,/\u00b7]+(?:share|tweet|pin|print|e-?mail|like|{_NETWORKS}))*[:.]*",
            r"(?:share|pin|tweet|email|print) (?:it|this)\W*|click to (?:share|email|print|tweet)\b.*",
            r"\d[\d,.]* ?(?:shares?|views?|likes?|reads?|retweets?)|\d{1,3} min(?:ute)? read",
            r"related(?: (?:posts?|articles?|stories|content|topics))?\s?:?|(?:you (?:may|might) also"
            r"|more) like:?.{0,60}",
            r"you (?:may|might) (?:also )?(?:like|enjoy|be interested in).{0,80}|read (?:more|next)\W*"
            r"|continue reading.{0,80}",
            r"(?:recent|popular|latest|top|archived?) (?:posts?|comments?|articles?)\W*|archives?|blogroll|meta"
            r"|search",
            r"about the author\W*|view all posts(?: by)?.{0,60}|more (?:posts|articles) by .{0,60}",
            r"subscribe(?: now| today)?\W*|subscribe (?:to|via|by) (?:our|the|this|my|e-?mail|rss).{0,120}",
            r"(?:sign up|join) (?:for|to)? ?(?:our|the|my) (?:free |weekly |monthly |daily )*(?:e-?mail )?"
            r"(?:newsletter|mailing list).{0,120}",
            r"(?:we|this (?:site|website|blog|page)) uses? (?:cookies|akismet)\b.*|.{0,80}(?:accept"
            r"|use of) (?:all )?cookies\W*",
            r"by (?:continuing to (?:use|browse)|using this (?:site|website))\b.*|cookie (?:policy|settings"
            r"|notice)\W*",
            r"(?:learn|find out) (?:more about )?how (?:your comment data is|we use).*|accept(?: all| cookies)*"
            r"|privacy(?: policy)?",
            r"terms(?: (?:of|and|&) (?:use|service|conditions))?\W*|skip to (?:main )?(?:content|navigation).*"
            r"|back to top\W*",
            r"\u2190.{0,80}|.{0,80}\u2192|[\u00ab<]+ ?(?:previous|older|newer|next|back)\b[^.!?\u00bb]{0,80}",
            r"(?:previous|next|older|newer) (?:post|entry|article|comments?|page|story)s?\b.{0,80}",
            r"(?:reply|quote|report|flag|edit|delete|like|dislike|vote|share|permalink|link)(?: comment| post"
            r"| abuse)?"
            r"(?:[\s|\u00b7,]+(?:reply|quote|report|flag|edit|delete|like|dislike|vote|share|permalink|link))*",
            r"(?:report|flag) (?:abuse|as .{1,30}|this comment)|reply to .{1,40}",
            r"(?:proudly )?powered by .{0,60}|all rights reserved\W*|(?:theme|design(?:ed)?|site) by .{0,60}",
            r"trackback (?:from|url|uri).{0,80}|rss feed for comments.*|you can (?:follow any|leave a response"
            r"|skip to).*",
            r"you (?:can|may) use these html tags.*|your comment is awaiting moderation.*|comment navigation",
            r"(?:home|menu|navigation|main menu|primary menu|toggle navigation)",
            r"please enable javascript.*|(?:view the )?(?:discussion thread|comments powered by disqus).*",
        )
    ),
    re.IGNORECASE,
)
_FORM: Final = re.compile(
    r"(?:leave|post|add|write|submit) a (?:reply|comment|response)\b.{0,60}|fill in your details.*"
    r"|you are commenting using.*"
    r"|comments are (?:now )?closed.*|your e-?mail address will not be published.*",
    re.IGNORECASE,
)
_COUNT: Final = re.compile(
    r"\(?(?P<n>\d{1,3}(?:[,.]\d{3})+|\d{1,6}|one|two|three|four|five|six|seven|eight|nine|ten|no)\)?\s+"
    r"(?P<what>(?:user |reader |blog )?(?:comments?|replies|reply|responses?|thoughts?|reviews?|answers?"
    r"|kommentare?|antworten|gedanken?|commentaires?|r\u00e9ponses?|comentarios?|respuestas?|reacties?|commenti"
    r"|risposte))\b"
    r"(?P<rest>.*)",
    re.IGNORECASE,
)
_COUNT_AFTER: Final = re.compile(
    r"(?:comments?|replies|responses?|discussion|reviews?"
    r"|kommentare)\s*[:(\[]\s*(?P<n>\d{1,6})\s*[)\]]?",
    re.IGNORECASE,
)
_COUNT_BEFORE: Final = re.compile(
    r"(?:this (?:post|article|entry) has|view entire discussion|view all|show all)\s*\(?\s*", re.IGNORECASE
)
_BARE_HEADING: Final = re.compile(
    r"(?:reader |user |your )?(?:comments?|discussion|replies|responses|kommentare|commentaires|comentarios)\s*:?",
    re.IGNORECASE,
)
_ANSWERS: Final = re.compile(r"(?:answers?|reply|replies|responses?)", re.IGNORECASE)
_TITLE_AFTER: Final = re.compile(r"\s*(?:on|to)\s*[\"\u201c\u201e\u00ab'\u2018]")
_NOBODY_YET: Final = re.compile(
    r"no (?:comment|replies|responses|answers)\s?[:\u00bb]?|no (?:replies|responses|answers) (?:yet|so far)[.!:]?",
    re.IGNORECASE,
)
_NUMBERS: Final = {"no": 0} | {
    word: n for n, word in enumerate(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], 1)
}


def normal_space(text: str) -> str:
    """The text on one line, runs of white space (also no-break spaces) as one space."""
    return " ".join(text.split())


def is_boilerplate(line: str) -> bool:
    """Whether a whole line is blog software talking, such as a login line or a share button."""
    line = normal_space(line).strip("\u2022*-| ")
    return bool(line) and len(line) <= 400 and _BOILERPLATE.fullmatch(line) is not None


def opens_form(line: str) -> bool:
    """Whether the line starts the form under a page, after which nobody speaks any more."""
    return _FORM.fullmatch(normal_space(line).strip("\u2022*-| ")) is not None


def claimed_count(line: str, *, heading: bool = False) -> int | None:
    """The number of comments that a heading states ("2 thoughts on ...", "No Comments"), else None.

    heading: whether the page marks the line as one. Elsewhere "No reply." and "Two answers." are what somebody tells of
    a company that they wrote to.
    """
    line = normal_space(line)
    if len(line) > 300:
        return None
    before = _COUNT_BEFORE.match(line)
    if before:
        line = line[before.end() :].rstrip(")")
    match = _COUNT_AFTER.fullmatch(line)
    if match is None:
        match = _COUNT.fullmatch(line)
        if match is None or not _heading_rest(match["rest"]) or (not heading and _is_told(match)):
            return None
    number = match["n"].lower()
    return _NUMBERS[number] if number in _NUMBERS else int(re.sub(r"[,.]", "", number))


def _is_told(match: re.Match[str]) -> bool:
    """Whether a number of answers may be a sentence of a story ("No reply.", "Two replies on Monday, then none.")."""
    number, what, rest = match["n"].lower(), match["what"], match["rest"]
    if _TITLE_AFTER.match(rest):
        return False
    sentence = rest.rstrip().endswith((".", "!"))
    if number == "no":
        titled = what.istitle() and what.endswith("s") and rest.startswith(" to ") and not sentence
        return (_ANSWERS.fullmatch(what) is not None and not titled) or what.lower() == "comment"
    return sentence and _ANSWERS.fullmatch(what) is not None and (number.isalpha() or rest.startswith(" on "))


def states_no_comments(lines: Sequence[str], index: int) -> bool:
    """Whether one of a page's lines says that nobody has commented; lines that hold nothing are to be left out.

    "No comments" says so itself. "No responses yet" may be the end of a story: the form or the page's foot has to
    follow, or nothing where it is written like a heading ("No Responses").
    """
    line = normal_space(lines[index])
    if claimed_count(line) == 0:
        return True
    if _NOBODY_YET.fullmatch(line) is None:
        return False
    if index + 1 < len(lines):
        return opens_form(lines[index + 1]) or is_boilerplate(lines[index + 1])
    return line[3:].istitle() and line[-1] not in ".!"


def _heading_rest(rest: str) -> bool:
    """What may follow "3 comments" in a heading: nothing, "on <title>", "so far"; not the rest of a sentence."""
    rest = rest.strip(" :.|\u2193\u00bb)")
    return (
        not rest
        or re.match(
            r"(?:on|to|zu|\u00fcber|sur|so far|yet|on this|in|auf)\b[\s:]*(?:$|[\"\u201c\u201e\u00ab'\u2018A-Z])", rest
        )
        is not None
        or rest.lower() in {"so far", "yet", "add yours", "leave a comment", "add comment"}
    )


def is_comments_heading(line: str) -> bool:
    """Whether the line stands over the comments, with or without a number."""
    line = normal_space(line)
    return claimed_count(line) is not None or _BARE_HEADING.fullmatch(line) is not None


def split_boilerplate(text: str) -> tuple[str, Paragraphs]:
    """The text without its boilerplate lines, and those lines."""
    kept: list[str] = []
    dropped: list[str] = []
    for line in text.splitlines():
        (dropped if is_boilerplate(line) else kept).append(line)
    if not dropped:
        return text.strip(), []
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip(), [normal_space(line) for line in dropped]


# ------------------------------------------------------------------------------------------------------ promotion

_COPYRIGHT: Final = re.compile(
    r"(?:\u00a9|\(c\)|copyright\b)\s*(?:\u00a9|\(c\))?\s*(?:\d{4}|by\b|[A-Z])", re.IGNORECASE
)
_COPYRIGHT_NAME: Final = re.compile(
    r"(?:\u00a9|\(c\)|copyright)[\s\u00a9\d,-]*(?:by )?(?P<name>[A-Z][\w'’-]+(?: [A-Z][\w.'’-]*){1,2})\s*[.,]"
)
_BLURB: Final = re.compile(r"[\"\u201c].{20,}[\"\u201d]\s*[\u2014\u2013-]{1,2}\s*[A-Z][\w .,'’-]{2,80}", re.DOTALL)
_BIO: Final = re.compile(
    r"(?P<name>[A-Z][\w.'’-]+(?: [A-Z][\w.'’-]+){1,3}) is (?:the |an? |our )?.{0,120}?\b"
    r"(?:speaker|author|consultant|writer|founder|co-?founder|coach|blogger|journalist|strategist|editor|trainer"
    r"|ceo|columnist)\b",
    re.DOTALL,
)
_PITCH: Final = re.compile(
    r"\bclick (?:here )?(?:for|to)\b|\bclick here\b|\bfree chapters?\b|\bkeynotes?\b|\bspeaker\b|\bauthor of\b"
    r"|\bbest-?sell(?:er|ing)\b"
    r"|\bnewsletter\b|\bsubscribe\b|\bfollow (?:me|us|him|her) on\b|\bpre-?order\b|\bbuy (?:my|the|his"
    r"|her) (?:new )?book\b"
    r"|\b(?:available|order) (?:now )?(?:on|at|from) amazon\b|\bdownload (?:my|our|your|the|a) free\b"
    r"|\bcontact (?:me|us) (?:at|to)\b"
    r"|\bhire (?:me|us)\b|\bbook (?:me|him|her) (?:for|to)\b|\bfree (?:resources|e-?book|webinar|trial"
    r"|consultation)\b",
    re.IGNORECASE,
)


def split_promotion(paragraphs: Sequence[str]) -> tuple[Paragraphs, Paragraphs]:
    """Cuts the author's own promotion (speaker box, biography, blurbs, copyright) off the foot of a post.

    Only a closed run at the end counts, and never more than half of the paragraphs: the same words inside the story
    belong to the story.
    """
    start = len(paragraphs)
    for index in range(len(paragraphs) - 1, len(paragraphs) // 2 - 1, -1):
        if _is_promotion(paragraphs[index]):
            start = index
        elif not _BLURB.fullmatch(paragraphs[index].strip()):
            break
    return list(paragraphs[:start]), list(paragraphs[start:])


def _is_promotion(paragraph: str) -> bool:
    text = paragraph.strip()
    if _COPYRIGHT.match(text):
        return True
    pitches = len({match[0].lower() for match in _PITCH.finditer(text)})
    return pitches >= 2 or (pitches >= 1 and _BIO.match(text) is not None)


# --------------------------------------------------------------------------------------------------- quoted comments

_NAME: Final = r"[A-Z][\w'’-]+(?: (?:[A-Z][\w.'’-]*|de|van|von|der|la)){0,3}"
_QUOTE_INTRO: Final = re.compile(
    r"\b(?:(?:re-?)?(?:post|publish|print|reproduc|shar|quot|copy|past)(?:ing|ed|e|es)?|here is|here's|reads"
    r"|read|said|wrote|follows)\b"
    r"[^.!?]{0,80}\b(?:comment|reply|response|letter|note|message|e-?mail)\b[^.!?]{0,80}(?:\([^)]{0,200}\))?\s*:\s*$"
    r"|\b(?:comment|reply|response|letter|note|message|e-?mail)s?\b[^.!?]{0,60}\b(?:below|as follows|in full"
    r"|verbatim)\b"
    r"[^.!?]{0,40}(?:\([^)]{0,200}\))?\s*:\s*$",
    re.IGNORECASE,
)
_QUOTED_BY: Final = re.compile(
    rf"(?P<name>{_NAME}) (?:commented|wrote|replied|responded|answered|left|posted|said|sent|had this)\b"
)
_OPEN: Final = '\u201c"\u00ab'
_CLOSE: Final = '\u201d"\u00bb'


def split_quote(paragraphs: Sequence[str]) -> tuple[Paragraphs, Paragraphs, Author | None]:
    """Cuts a comment that a post quotes as a whole out of it: the post's paragraphs, the comment's, who wrote it.

    The quote starts after a sentence that announces it and ends with its closing quotation mark, or with the post.
    """
    for index, paragraph in enumerate(paragraphs[:-1]):
        if _QUOTE_INTRO.search(normal_space(paragraph)[-400:]) is None:
            continue
        quoted = list(paragraphs[index + 1 :])
        end = len(quoted)
        if quoted[0][:1] in _OPEN:
            end = next((n for n, text in enumerate(quoted, 1) if text.rstrip()[-1:] in _CLOSE), end)
        by = list(_QUOTED_BY.finditer(normal_space(paragraph)))
        author = Author(by[-1]["name"]) if by and _is_name(by[-1]["name"]) else None
        return [*paragraphs[: index + 1], *quoted[end:]], quoted[:end], author
    return list(paragraphs), [], None


# --------------------------------------------------------------------------------------------------------- persons

_NOT_NAMES: Final = frozenset(
    [
        "a", "again", "agreed", "ah", "all", "also", "amen", "and", "another", "anyway", "apologies", "as",
        "best", "bravo", "but", "cheers", "clearly", "congrats", "congratulations", "correct", "dear",
        "everyone", "exactly", "excellent", "fact", "fair", "folks", "for", "friends", "funny", "gents", "good",
        "gosh", "great", "guys", "happy", "hello", "hey", "hi", "however", "i", "if", "in", "indeed",
        "interesting", "it", "just", "kind", "kudos", "ladies", "last", "lol", "look", "love", "many", "maybe",
        "more", "my", "nah", "never", "nice", "no", "nope", "not", "note", "now", "oh", "ok", "okay", "omg",
        "once", "one", "or", "our", "ouch", "people", "perfect", "personally", "please", "posted", "ps",
        "question", "read", "really", "regards", "reply", "right", "sad", "sadly", "seriously", "shame", "sir",
        "so", "sorry", "still", "sure", "team", "thank", "thanks", "that", "the", "then", "there", "they",
        "this", "time", "to", "today", "true", "truly", "ugh", "um", "unfortunately", "update", "very", "warm",
        "we", "well", "what", "when", "while", "why", "wonderful", "word", "wow", "yeah", "yep", "yes", "yet",
        "you", "your", "yours", "end", "edit", "first", "second", "finally", "frankly", "honestly", "basically",
        "actually", "hmm", "ha", "haha", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday",
        "sunday", "january", "february", "march", "april", "may", "june", "july", "august", "september",
        "october", "november", "december",
    ]
)  # fmt: skip
_LABELS: Final = frozenset(
    [
        "actual", "address", "advice", "amount", "answer", "appearance", "atmosphere", "attempt", "background",
        "bill", "booking", "bottom", "bought", "call", "called", "cancellation", "case", "chat", "claim",
        "cleanliness", "comfort", "comment", "complained", "complaint", "con", "conclusion", "cons", "contact",
        "contacted", "context", "cost", "customer", "date", "day", "deal", "delivered", "delivery",
        "description", "details", "e-mail", "edit", "email", "emailed", "escalated", "event", "expected",
        "features", "final", "fix", "follow-up", "food", "fyi", "help", "history", "http", "https", "incident",
        "installation", "invoice", "issue", "item", "letter", "level", "line", "link", "location", "mail",
        "message", "model", "month", "name", "nb", "negatives", "notes", "number", "option", "order", "ordered",
        "outcome", "overall", "part", "payment", "phase", "phone", "phoned", "photo", "picture", "place",
        "point", "positives", "pps", "price", "problem", "product", "promise", "pros", "ps", "purchase",
        "purchased", "quality", "question", "rating", "reason", "received", "recommendation", "ref",
        "reference", "refund", "refunded", "repair", "replaced", "replacement", "request", "resolution",
        "response", "result", "results", "return", "returned", "review", "room", "round", "score", "section",
        "sent", "service", "shipping", "size", "solution", "source", "speed", "staff", "stage", "star", "stars",
        "status", "step", "subject", "summary", "taste", "test", "ticket", "time", "timeline", "tip", "tips",
        "tl;dr", "tldr", "total", "tracking", "type", "url", "value", "verdict", "version", "visit", "visited",
        "warning", "warranty", "website", "week", "where", "who", "wrote", "year",
        "mon", "tue", "tues", "wed", "weds", "thu", "thur", "thurs", "fri", "sat", "sun", "jan", "feb", "mar", "apr",
        "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    ]
)  # fmt: skip
_VOCATIVE: Final = re.compile(
    r"(?:(?:hi|hey|hello|dear|thanks|thank you|sorry|yes|no|well said|agreed|agree with)[ ,]+(?:there[ ,]+)?)?"
    r"@?\s?(?P<name>[A-Z][\w'’.-]*[\w](?: [A-Z][\w'’-]*)?)\s*(?:[,:!]|\.(?=\s)|\s?[\u2013\u2014]|\s-)(?:\s|$)",
    re.IGNORECASE,
)
_BYLINE: Final = re.compile(
    rf"(?:(?i:(?:posted|written|published|words|article) by|by|author:))\s+(?:(?P<name>{_NAME})"
    r"|/?u/(?P<account>[\w-]{2,30})|@(?P<handle>\w{2,30}))"
    r"(?:\s*(?:,|\||on\b|at\b|\u00b7|\u2022|\u2013|\u2014|-)\s*.{0,60}"
    r"|\s\d{1,3} (?:minute|hour|day|week|month|year)s? ago)?"
)
_POSTSCRIPT: Final = re.compile(r"p\.?\s?p?\.?s\.?\s?[:\u2013\u2014.,-]?\s", re.IGNORECASE)


def _is_name(text: str) -> bool:
    words = text.split()
    return bool(words) and all(word.lower().strip(".") not in _NOT_NAMES for word in words)


def byline(line: str) -> str | None:
    """The name in a line such as "By Jane Roe on 3 May", or None."""
    match = _BYLINE.fullmatch(normal_space(line))
    name = (match["name"] or match["account"] or match["handle"]) if match else None
    return name if name and _is_name(name) else None


def is_handle(name: str) -> bool:
    """Whether a name is that of an account: "@ann", "u/ann", "Orbix_Care", "ann77"."""
    return re.fullmatch(r"(?:@|/?u/)\w[\w.-]*|\w*[^\W\d]\w*[_\d]\w*", name) is not None


def could_be_speaker(name: str) -> bool:
    """Whether a few words name a person or an account and are no label or event ("Pros", "Phone Call", "Update")."""
    name = name.strip("* ")
    if is_handle(name):
        # "Day1" and "Q2" are labels like "Day" and "Q".
        base = re.sub(r"[_\d]+$", "", name).lower()
        return name[0] in "@/" or name.startswith("u/") or (len(base) > 2 and base not in _LABELS | _NOT_NAMES)
    words = name.split()
    if not 1 <= len(words) <= 4 or not _is_name(name):
        return False
    proper = all(word[0].isupper() or word in ("de", "van", "von", "der", "la", "of", "from") for word in words)
    return proper and len(name) > 1 and not any(word.lower().strip(".#") in _LABELS for word in words)


def signature(paragraphs: Sequence[str]) -> str | None:
    """The name that stands alone under a post, before a postscript if there is one: two to four capitalised words."""
    body = list(paragraphs)
    while len(body) > 2 and _POSTSCRIPT.match(body[-1]):
        body.pop()
    if len(body) < 2:
        return None
    last = re.sub(r"^[\s\u2013\u2014~-]+|[\s,]+$", "", body[-1].strip().split("\n")[-1])
    words = last.split()
    fits = 2 <= len(words) <= 4 and len(last) <= 40 and re.fullmatch(_NAME, last) is not None
    return last if fits and _is_name(last) else None


def owner(promotion: Sequence[str]) -> str | None:
    """The person whom the promotion under a post is about: the copyright line's name or the biography's."""
    for pattern in (_COPYRIGHT_NAME, _BIO):
        for paragraph in promotion:
            match = pattern.match(paragraph.strip())
            if (
                match
                and _is_name(match["name"])
                and not re.search(r"\b(?:Inc|LLC|Ltd|Media|Blog|Group|Company)\b", match["name"])
            ):
                return match["name"]
    return None


def addressed(text: str) -> str | None:
    """The name that a comment opens with ("Jane, ...", "Hi Jane - ...", "@jane: ..."), None where there is none."""
    match = _VOCATIVE.match(text.lstrip())
    return match["name"].rstrip(".") if match and _is_name(match["name"]) else None


def _answers_to(author: Author | None, name: str) -> bool:
    """Whether an author is called by `name`: the whole name, or the first word of it."""
    if author is None:
        return False
    own, name = author.name.casefold(), name.casefold()
    return own == name or own.split(" ")[0] == name or own.replace(" ", "") == name


def infer_post_author(thread: Thread) -> Thread:
    """Names the author of the post, where the page does not, and flags that person's comments with "post_author".

    Evidence, in this order: the post's own author; a comment that the page marks as the author's; comments that open
    by addressing somebody who has not spoken yet but does later on.
    """
    post = next((u for u in thread.utterances if u.kind == "post" and "boilerplate" not in u.flags), None)
    if post is None:
        return thread
    author = post.author or _marked_author(thread) or _addressed_author(thread)
    if author is None:
        return thread
    return replace(thread, utterances=tuple(_as_author(u, post, author) for u in thread.utterances))


def _marked_author(thread: Thread) -> Author | None:
    return next((u.author for u in thread.utterances if "post_author" in u.flags and u.author), None)


def _addressed_author(thread: Thread) -> Author | None:
    comments = [u for u in thread.utterances if u.kind == "comment"]
    times = [u.time for u in comments if u.time]
    if len(times) > 1 and times[0] > times[-1]:
        # Newest first: whoever is addressed spoke further down.
        return None
    for index, comment in enumerate(comments):
        name = addressed(comment.text)
        if name is None or any(_answers_to(c.author, name) for c in comments[: index + 1]):
            continue
        later = next((c.author for c in comments[index + 1 :] if _answers_to(c.author, name)), None)
        if later is not None:
            return later
    return None


def _as_author(utterance: Utterance, post: Utterance, author: Author) -> Utterance:
    if utterance.id == post.id:
        return replace(utterance, author=author)
    own = utterance.author is not None and utterance.author.name.casefold() == author.name.casefold()
    if not own or utterance.kind == "quote" or "post_author" in utterance.flags:
        return utterance
    return replace(utterance, flags=(*utterance.flags, "post_author"))


def infer_parents(thread: Thread) -> Thread:
    """Gives a comment that opens by addressing an earlier commenter that commenter's last comment as its parent.

    For scrapes that lost their structure. The comment gets the flag "parent_inferred".
    """
    roots = {u.id for u in thread.utterances if u.kind in ("post", "quote")}
    known: list[Utterance] = []
    utterances: list[Utterance] = []
    for utterance in thread.utterances:
        if utterance.kind == "comment":
            name = addressed(utterance.text) if utterance.parent is None or utterance.parent in roots else None
            target = next((u for u in reversed(known) if _answers_to(u.author, name)), None) if name else None
            own = target is not None and target.author == utterance.author
            if target is not None and not own:
                utterance = replace(utterance, parent=target.id, flags=(*utterance.flags, "parent_inferred"))
            known.append(utterance)
        utterances.append(utterance)
    return replace(thread, utterances=tuple(utterances))


# ------------------------------------------------------------------------------------------------------------ time

_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar janvier enero", "february feb februar février febrero", "march mar märz mars marzo",
            "april apr avril abril", "may mai mayo", "june jun juni juin junio", "july jul juli juillet julio",
            "august aug août agosto", "september sep sept septembre septiembre",
            "october oct oktober okt octobre octubre",
            "november nov novembre noviembre", "december dec dezember dez décembre diciembre",
        ),
        1,
    )
    for name in names.split()
}  # fmt: skip
_WORDED: Final = re.compile(
    r"(?:(?P<month>[^\W\d]{3,10})\.? (?P<day>\d{1,2})(?:st|nd|rd|th)?|(?P<day2>\d{1,2})(?:st|nd|rd|th"
    r"|\.)? (?:de )?(?P<month2>[^\W\d]{3,10})\.?)"
    r",? (?:de )?(?P<year>\d{4})"
)
_ISO: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?")
_CLOCK: Final = re.compile(
    r"(?P<hour>\d{1,2})[:.h](?P<minute>\d{2})(?::\d{2})?\s*(?P<half>[ap]\.?m\.?)?", re.IGNORECASE
)


def read_time(text: str) -> str | None:
    """ISO 8601 of a date as pages write it ("June 28, 2015 at 10:25 pm", "8. April 2019 @ 11:38"), else None.

    Relative times ("6 years ago") and orders that can't be told (03/04/2012) give None.
    """
    text = normal_space(text)
    iso = _ISO.search(text)
    if iso:
        try:
            return datetime.fromisoformat(iso[0]).isoformat()
        except ValueError:
            return None
    match = _WORDED.search(text)
    if match is None:
        return None
    month = _MONTHS.get((match["month"] or match["month2"]).casefold())
    if month is None:
        return None
    clock = _CLOCK.search(text, match.end())
    hour, minute = (int(clock["hour"]), int(clock["minute"])) if clock else (0, 0)
    if clock and clock["half"]:
        hour = hour % 12 + (12 if clock["half"][0].lower() == "p" else 0)
    try:
        when = datetime(int(match["year"]), month, int(match["day"] or match["day2"]), hour, minute)
    except ValueError:
        return None
    return when.isoformat() if clock else when.date().isoformat()


_AGO: Final = re.compile(
    r"(?:posted |commented |edited )?(?:about |over |almost )?(?:an?|one|\d{1,3})\+? ?"
    r"(?:s|m|h|d|w|y|sec(?:ond)?s?|min(?:ute)?s?|hrs?|hours?|days?|weeks?|months?|years?) ago(?: \W? ?\(?edited\)?)?"
    r"|yesterday|just now",
    re.IGNORECASE,
)


def is_date_line(line: str) -> bool:
    """Whether a line holds a date and next to nothing else."""
    line = normal_space(line)
    if len(line) > 60 or len(line.split()) > 9:
        return False
    return read_time(line) is not None or _AGO.fullmatch(line) is not None
