"""A report written by hand, with everything in it that a page can show; the company does not exist."""

from model.types import (
    Author,
    BundleInfo,
    Case,
    Cue,
    Dropped,
    Evidence,
    LoyaltyEstimate,
    Report,
    Role,
    ScoredUtterance,
    SentenceSentiment,
    Sentiment,
    State,
    Statement,
    Summary,
    Thread,
    Utterance,
)

POST = (
    "Our Larkfield oven died two days before a family dinner, after nine years with the brand. "
    "I rang four times and told the same story four times. "
    "Nobody called me back for three weeks.\n\n"
    "Then a Mr. Osei from head office phoned on his own, said sorry without excuses, and had a new oven at our door "
    "the next morning. "
    "The voucher on top was more than fair. "
    "They should have explained what broke, though."
)
DANA = (
    "Lucky you. My hob has failed twice since March and the workshop says it was my fault. "
    "No refund, no apology, nothing. "
    "I have already ordered from another maker and will never buy Larkfield again."
)
TOM = (
    "Mine arrived with a scratch. One e-mail, a friendly answer within the hour, and half the price back. "
    "I keep telling friends about it."
)
PRIYA = "Still waiting for the engineer they promised for Monday. The chat robot keeps greeting me. 🙃"
EXPERT = "Firms that phone first keep more customers; a script never does that."
COMPANY = "Dana, we are sorry to read this. Please write to us with your order number."
JONAS = "Der Kundendienst war nett, aber sehr langsam."
SPAM = "Cheap ovens!!! visit <script>alert('ovens')</script> now"

BASE = 51.0
_TEXTS = {"1": POST, "2": DANA, "3": COMPANY, "4": TOM, "5": PRIYA, "6": EXPERT, "7": JONAS}


def feeling(negative: float, neutral: float, positive: float) -> Sentiment:
    """Sentiment from three probabilities."""
    label = max(("negative", negative), ("neutral", neutral), ("positive", positive), key=lambda pair: pair[1])[0]
    return Sentiment(label, negative, neutral, positive, positive - negative)


def cue(uid: str, quote: str, name: str, value: str | None, probability: float = 0.9, state: State = "present") -> Cue:
    """A cue at the place of its quote in the utterance."""
    start = _TEXTS[uid].index(quote)
    return Cue(name, value, state, probability, quote, start, start + len(quote), uid)


def said(uid: str, quote: str, kind: str, probability: float = 0.9) -> Statement:
    """A statement at the place of its quote in the utterance."""
    start = _TEXTS[uid].index(quote)
    return Statement(kind, probability, quote, start, start + len(quote), uid)


def scored(
    uid: str,
    author: str | None,
    role: Role,
    whole: Sentiment | None,
    sentences: dict[str, Sentiment],
    parent: str | None = "1",
    time: str | None = None,
    flags: tuple[str, ...] = (),
) -> ScoredUtterance:
    """An utterance with sentence sentiment by the sentence's beginning; each runs to where the next begins."""
    text = _TEXTS[uid]
    starts = [text.index(s) for s in sentences]
    spans = zip(starts, [*starts[1:], len(text)], strict=True)
    cut = tuple(
        SentenceSentiment(a, a + len(text[a:b].rstrip()), f)
        for (a, b), f in zip(spans, sentences.values(), strict=True)
    )
    who = Author(author) if author else None
    kind = "post" if parent is None else "comment"
    return ScoredUtterance(Utterance(uid, text, kind, parent, who, time, None, flags), role, whole, cut)


def estimate(
    index: float,
    low: float,
    high: float,
    stance: tuple[float, float, float],
    word: tuple[float, float, float],
    evidence: list[Evidence],
    missing: tuple[str, ...],
    conduct: float,
) -> LoyaltyEstimate:
    """An estimate; stance is stay, undecided, leave and word is positive, mixed, negative."""
    rest = index - BASE - sum(e.contribution for e in evidence)
    evidence = [*evidence, Evidence("valence", rest)]
    band = "at_risk" if stance[2] >= 0.4 else "advocate" if index >= 75 else "ambivalent"
    return LoyaltyEstimate(
        repurchase=dict(zip(("stay", "undecided", "leave"), stance, strict=True)),
        wom=dict(zip(("positive", "mixed", "negative"), word, strict=True)),
        advocate=min(stance[0], word[0]) * 0.9,
        churn=stance[2],
        index=index,
        low=low,
        high=high,
        index_conduct=conduct,
        band=band,
        evidence=(Evidence("base", BASE), *evidence),
        coverage=1 - len(missing) / 8,
        missing=missing,
    )


def why(found: Cue | None, contribution: float, feature: str | None = None) -> Evidence:
    """Evidence with the quote of a cue, or without one."""
    if found is None:
        return Evidence(str(feature), contribution)
    name = f"{found.cue}:{found.value}"
    return Evidence(name, contribution, found.quote, found.start, found.end, found.utterance)


def demo_report() -> Report:
    """Customers of three bands, a company, an expert, a foreign text, spam, a copy, overlapping cues."""
    bad, flat, good = feeling(0.93, 0.05, 0.02), feeling(0.16, 0.71, 0.13), feeling(0.02, 0.06, 0.92)
    utterances = (
        scored(
            "1",
            "Marit Lund",
            "customer",
            feeling(0.14, 0.18, 0.68),
            {
                "Our Larkfield": bad,
                "I rang": bad,
                "Nobody": bad,
                "Then": good,
                "The voucher": good,
                "They": flat,
            },
            None,
            "2026-03-02T09:14:00",
            ("post_author",),
        ),
        scored(
            "2",
            "Dana",
            "customer",
            bad,
            {"Lucky": flat, "My hob": bad, "No refund": bad, "I have": bad},
            "1",
            "2026-03-02T11:40:00",
        ),
        scored(
            "3",
            "Larkfield Care",
            "company",
            feeling(0.24, 0.65, 0.11),
            {"Dana": flat, "Please": flat},
            "2",
            "2026-03-02T15:05:00",
        ),
        scored(
            "4",
            "Tom B.",
            "customer",
            good,
            {"Mine": flat, "One e-mail": good, "I keep": good},
            "1",
            "2026-03-03T08:22:00",
        ),
        scored(
            "5",
            "priya_k",
            "customer",
            feeling(0.72, 0.25, 0.03),
            {"Still": bad, "The chat": flat},
            "1",
            "2026-03-03T19:02:00",
        ),
        scored("6", "R. Castellano", "commentator", flat, {"Firms": flat}, "1", "2026-03-04"),
        scored("7", None, "bystander", feeling(0.38, 0.45, 0.17), {"Der": flat}, "6", None, ("language:de",)),
    )
    return Report(
        thread=Thread(
            "larkfield-oven",
            tuple(u.utterance for u in utterances),
            "Three weeks of silence, then a phone call",
            "https://blog.example/three-weeks",
            "Larkfield",
            "wordpress",
            0.94,
            9,
        ),
        utterances=utterances,
        dropped=(
            Dropped(
                Utterance("8", SPAM, author=Author("ovens4u", "https://spam.example")), "spam", None, "advertising"
            ),
            Dropped(Utterance("9", TOM, author=Author("Tom B.")), "duplicate", "4", "the same text"),
        ),
        cases=(_marit(), _dana(), _tom(), _priya(), *_others()),
        summary=Summary(
            7, {"negative": 2, "neutral": 3, "positive": 2}, 4, ("Dana", "priya_k"), ("Tom B.", "Marit Lund")
        ),
        bundle=BundleInfo("0.1.0", "4f0c2b9a7d1e88635a90c1d2" + "0" * 40),
        warnings=("The page states 9 comments, 8 were found.",),
    )


def _marit() -> Case:
    slow = cue("1", "Nobody called me back for three weeks", "contact", "none", 0.88, "absent")
    sorry = cue("1", "said sorry without excuses", "apology", "given", 0.97)
    new = cue("1", "had a new oven at our door the next morning", "redress", "replacement", 0.95)
    more = cue("1", "more than fair", "adequacy", "exceeds", 0.9)
    fast = cue("1", "at our door the next morning", "speed", "fast", 0.84)
    work = cue("1", "told the same story four times", "effort", "high", 0.93)
    cues = (
        work,
        slow,
        cue("1", "for three weeks", "speed", "slow", 0.81),
        cue("1", "from head office", "responder", "headquarters", 0.86),
        cue("1", "phoned on his own", "initiative", "proactive", 0.91),
        sorry,
        new,
        fast,
        cue("1", "The voucher", "redress", "voucher", 0.94),
        more,
        cue("1", "They should have explained what broke", "explanation", None, 0.89, "hypothetical"),
    )
    loyalty = estimate(
        77.4,
        66.0,
        86.2,
        (0.71, 0.22, 0.07),
        (0.69, 0.25, 0.06),
        [
            why(new, 11.3),
            why(more, 8.4),
            why(sorry, 6.6),
            why(fast, 4.1),
            why(slow, -7.5),
            why(work, -5.2),
            why(None, -3.1, "severity"),
            why(None, 0.3, "tenure"),
            why(None, -0.2, "failure"),
        ],
        ("responsibility", "follow_up"),
        71.0,
    )
    tenure = said("1", "after nine years with the brand", "tenure", 0.95)
    return Case(
        "Marit Lund",
        "customer",
        "own dealings; wording of a customer in a post",
        "ok",
        None,
        ("1",),
        cues,
        (),
        tenure,
        "product",
        1,
        loyalty,
    )


def _dana() -> Case:
    blame = cue("2", "says it was my fault", "responsibility", "denied", 0.94)
    twice = cue("2", "has failed twice since March", "repeat_failure", "yes", 0.92)
    none = cue("2", "no apology", "apology", "absent", 0.96, "absent")
    refused = cue("2", "No refund", "redress", "refused", 0.9, "absent")
    loyalty = estimate(
        7.8,
        3.1,
        16.5,
        (0.02, 0.07, 0.91),
        (0.02, 0.09, 0.89),
        [
            why(refused, -9.8),
            why(blame, -8.1),
            why(twice, -6.7),
            why(none, -4.2),
            why(None, -1.9, "severity"),
        ],
        ("contact", "speed", "explanation", "solved", "follow_up"),
        14.0,
    )
    stated = (
        said("2", "already ordered from another maker", "leave", 0.93),
        said("2", "never buy Larkfield again", "leave", 0.98),
    )
    return Case(
        "Dana",
        "customer",
        "own dealings",
        "ok",
        None,
        ("2",),
        (twice, blame, refused, none),
        stated,
        None,
        "product",
        2,
        loyalty,
    )


def _tom() -> Case:
    fast = cue("4", "within the hour", "speed", "fast", 0.95)
    half = cue("4", "half the price back", "redress", "refund", 0.91)
    kind = cue("4", "a friendly answer", "courtesy", "courteous", 0.88)
    loyalty = estimate(
        82.6,
        71.4,
        90.0,
        (0.74, 0.21, 0.05),
        (0.82, 0.15, 0.03),
        [why(half, 8.8), why(fast, 7.0), why(kind, 4.4), why(None, -1.2, "severity")],
        ("apology", "explanation", "responsibility", "solved", "follow_up"),
        72.0,
    )
    return Case(
        "Tom B.",
        "customer",
        "own dealings",
        "ok",
        None,
        ("4",),
        (fast, half, kind),
        (said("4", "I keep telling friends about it", "promote", 0.9),),
        None,
        "product",
        1,
        loyalty,
    )


def _priya() -> Case:
    promise = cue("5", "Still waiting for the engineer they promised", "promise", "broken", 0.83)
    loyalty = estimate(
        29.5,
        14.2,
        47.8,
        (0.13, 0.39, 0.48),
        (0.09, 0.33, 0.58),
        [why(promise, -9.4), why(None, -1.5, "severity")],
        ("contact", "speed", "apology", "explanation", "responsibility", "redress", "follow_up"),
        37.0,
    )
    robot = cue("5", "The chat robot keeps greeting me", "responder", "bot", 0.77)
    return Case(
        "priya_k",
        "customer",
        "own dealings",
        "low_evidence",
        "one short comment",
        ("5",),
        (promise, robot),
        (),
        None,
        "delay",
        1,
        loyalty,
    )


def _others() -> tuple[Case, ...]:
    reason = "no dealings to estimate from: "
    return (
        Case("Larkfield Care", "company", "named like a company account", "abstain", reason + "company", ("3",)),
        Case("R. Castellano", "commentator", "speaks as an expert", "abstain", reason + "commentator", ("6",)),
        Case("author of 7", "bystander", "no dealings of their own", "abstain", reason + "bystander", ("7",)),
        Case("ovens4u", "spam", "advertising", "abstain", "spam is not scored", ("8",)),
    )
