"""What the released sentiment model must and must not be moved by, after CheckList (Ribeiro et al. 2020).

Every test has ten or more cases of our own and a share of failures that was measured when the weights were released.
That share may fall, never rise. `python -m tests.behaviour.test_sentiment` prints the table.
"""

from collections.abc import Callable, Sequence

import pytest

from model.scorer import Scorer
from model.types import Sentiment

THINGS = ("kettle", "phone", "hotel", "flight", "car", "bank", "printer", "shop", "doctor", "game")

# Minimum functionality: texts with the label that a careful reader gives them.
LABELLED: dict[str, tuple[str, Sequence[str]]] = {
    "plain praise": ("positive", [f"The {t} is excellent." for t in THINGS]),
    "plain blame": ("negative", [f"The {t} is terrible." for t in THINGS]),
    "plain fact": ("neutral", [f"The {t} has a number on the back." for t in THINGS]),
    "negated praise": ("negative", [f"The {t} is not good." for t in THINGS]),
    "negated blame": ("positive", [f"The {t} isn't bad at all." for t in THINGS]),
    "negated praise at a distance": ("negative", [f"I can't say that the {t} was any good." for t in THINGS]),
    "negated fact": ("neutral", [f"The {t} was not delivered on a Monday." for t in THINGS]),
    "praise, but blame": ("negative", [f"The {t} looked nice, but it was a complete waste of money." for t in THINGS]),
    "blame, but praise": ("positive", [f"The {t} took some time to arrive, but it is wonderful." for t in THINGS]),
    "used to be good": ("negative", [f"I used to like this {t}, now I hate it." for t in THINGS]),
    "used to be bad": ("positive", [f"I used to hate this {t}, now I love it." for t in THINGS]),
    "question": ("neutral", [f"Does anyone know when the {t} opens?" for t in THINGS]),
    "no to a good question": ("negative", [f"Would I recommend the {t}? No." for t in THINGS]),
    "yes to a good question": ("positive", [f"Would I recommend the {t}? Yes!" for t in THINGS]),
    "repeated failure": ("negative", [f"The {t} broke again after the repair." for t in THINGS]),
    "nobody answered": ("negative", [f"I wrote to them about the {t} and nobody ever answered." for t in THINGS]),
    "solved quickly": ("positive", [f"They fixed my {t} the same day and apologised." for t in THINGS]),
    "happy emoji": ("positive", [f"Picked up my {t} today \U0001f60d\U0001f60d" for t in THINGS]),
    "sad emoticon": ("negative", [f"Still no {t} :( :(" for t in THINGS]),
    "what they should have done": ("negative", [f"A good {t} would have lasted a year. Mine didn't." for t in THINGS]),
    "thanks in a complaint": (
        "negative",
        [
            "Thanks for nothing.",
            "Thanks for losing my parcel.",
            "Thanks a lot for hanging up on me.",
            "Thank you for wasting my Saturday.",
            "Thanks to you we missed the wedding.",
            "Thank you very much for charging me twice.",
            "No thanks, I had enough of you.",
            "Thanks for the bill for a repair that you never did.",
            "Thank you for three weeks of silence.",
            "Thanks for ruining our holiday.",
        ],
    ),
    "irony": (
        "negative",
        [
            "Great, another three hours on hold. Just what I needed today.",
            "Thanks a lot for losing my suitcase again.",
            "Wonderful, the app crashed right before checkout.",
            "Oh brilliant, the repair lasted a whole two days.",
            "What a fantastic way to treat a customer of ten years: hang up on her.",
            "I just love paying twice for the same parcel.",
            "Five stars for ignoring my mails so reliably.",
            "Congratulations on making a kettle that cannot boil water.",
            "So kind of you to cancel my flight without telling me.",
            "Sure, because waiting six weeks for a screw is perfectly normal.",
            "Top service as always, nobody picks up the phone.",
            "How generous: a voucher worth one coffee for a ruined holiday.",
        ],
    ),
}

# Invariance: two texts that must get the same label.
SAME: dict[str, list[tuple[str, str]]] = {
    "names": [(f"Anna sold me a broken {t}.", f"Mehmet sold me a broken {t}.") for t in THINGS],
    "places": [(f"The {t} in Leeds was lovely.", f"The {t} in Karachi was lovely.") for t in THINGS],
    "company names": [(f"Brewster repaired my {t}.", f"Marrowby repaired my {t}.") for t in THINGS],
    "numbers": [(f"I paid 20 for the {t}.", f"I paid 350 for the {t}.") for t in THINGS],
    "typos": [(f"The {t} is really terrible.", f"The {t} is realy terible.") for t in THINGS],
    "capitals": [(f"The {t} was a great choice.", f"THE {t.upper()} WAS A GREAT CHOICE.") for t in THINGS],
    "an address behind it": [(f"The {t} is fine.", f"The {t} is fine. https://a.example/x") for t in THINGS],
}

# Direction: the second text must not have a lower valence than the first.
RISES: dict[str, list[tuple[str, str]]] = {
    "stronger praise": [(f"The {t} is good.", f"The {t} is extremely good.") for t in THINGS],
    "weaker blame": [(f"The {t} is awful.", f"The {t} is a bit awful.") for t in THINGS],
    "praise added": [(f"I bought a {t}.", f"I bought a {t}. I love it.") for t in THINGS],
    "blame taken away": [(f"I bought a {t}. I hate it.", f"I bought a {t}.") for t in THINGS],
    "an apology added": [(f"The {t} broke.", f"The {t} broke. They said sorry and replaced it.") for t in THINGS],
}

Read = Callable[[Sequence[str]], list[Sentiment]]


def shares(read: Read) -> dict[str, float]:
    """Share of failures of every test, in [0, 1]."""
    found: dict[str, float] = {}
    for name, (label, texts) in LABELLED.items():
        found[name] = sum(s.label != label for s in read(texts)) / len(texts)
    for name, pairs in SAME.items():
        first, second = (read([p[i] for p in pairs]) for i in (0, 1))
        found[f"same: {name}"] = sum(a.label != b.label for a, b in zip(first, second, strict=True)) / len(pairs)
    for name, pairs in RISES.items():
        first, second = (read([p[i] for p in pairs]) for i in (0, 1))
        # A hundredth is rounding of the 8-bit graph, not a change of mind.
        falls = sum(b.valence < a.valence - 0.01 for a, b in zip(first, second, strict=True))
        found[f"rises: {name}"] = falls / len(pairs)
    return found


PINNED: dict[str, float] = {
    "plain praise": 0.00,
    "plain blame": 0.00,
    "plain fact": 0.10,
    "negated praise": 0.00,
    "negated blame": 0.00,
    "negated praise at a distance": 0.00,
    "negated fact": 1.00,
    "praise, but blame": 0.00,
    "blame, but praise": 0.00,
    "used to be good": 0.00,
    "used to be bad": 0.00,
    "question": 0.00,
    "no to a good question": 0.00,
    "yes to a good question": 0.00,
    "repeated failure": 0.00,
    "nobody answered": 0.00,
    "solved quickly": 0.00,
    "happy emoji": 0.00,
    "sad emoticon": 0.00,
    "what they should have done": 0.00,
    "thanks in a complaint": 0.50,
    "irony": 0.50,
    "same: names": 0.00,
    "same: places": 0.00,
    "same: company names": 0.00,
    "same: numbers": 0.00,
    "same: typos": 0.50,
    "same: capitals": 0.00,
    "same: an address behind it": 0.00,
    "rises: stronger praise": 0.00,
    "rises: weaker blame": 0.00,
    "rises: praise added": 0.00,
    "rises: blame taken away": 0.00,
    "rises: an apology added": 0.30,
}


@pytest.fixture(scope="module")
def measured(released: Scorer) -> dict[str, float]:
    # One text at a time: the rounding of an 8-bit batch depends on its other texts.
    return shares(lambda texts: [s for t in texts for s in released.sentiment([t]) if s is not None])


@pytest.mark.parametrize("name", PINNED)
def test_failures_only_fall(measured: dict[str, float], name: str) -> None:
    # One case of ten is left to the rounding of other processors.
    assert measured[name] <= PINNED[name] + 0.1


def test_every_test_has_a_pinned_share(measured: dict[str, float]) -> None:
    assert measured.keys() == PINNED.keys()


if __name__ == "__main__":
    scorer = Scorer.load()
    for test, share in shares(lambda texts: [s for t in texts for s in scorer.sentiment([t]) if s is not None]).items():
        print(f"    {test!r}: {share:.2f},")
