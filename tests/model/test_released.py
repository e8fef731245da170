"""What the released weights make of plain texts that nobody was trained on: the least that a user expects."""

import pytest


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I love this car, it has never let me down.", "positive"),
        ("Worst service ever, I waited three weeks for a reply that never came.", "negative"),
        ("The shop opens at nine and closes at six.", "neutral"),
        ("The room was not clean and the staff did not care.", "negative"),
        ("Thanks for nothing, you lost my parcel again.", "negative"),
        ("Great food, friendly people, we will come back!", "positive"),
        ("The delivery is planned for Tuesday.", "neutral"),
    ],
)
def test_plain_sentiment(released, text, label):
    assert released.sentiment([text])[0].label == label


@pytest.mark.parametrize(
    ("text", "cue"),
    [
        ("I rang them in March and nobody ever called me back. That was six weeks ago.", "contact:none"),
        ("They refunded the full price the next morning.", "redress:refund"),
        ("The woman at the desk was rude and shouted at my mother.", "courtesy:rude"),
        ("It took them nine weeks to answer my letter.", "speed:slow"),
        ("I had to call eleven times and tell the same story to a new person each time.", "effort:high"),
    ],
)
def test_plain_conduct(released, text, cue):
    (reading,) = released.conduct([text])
    assert cue in {f"{c.cue}:{c.value}" for c in reading.cues}


def test_a_solved_case_is_more_loyal_than_an_ignored_one(released):
    solved = (
        "My dishwasher broke after a month. They called me the same day, apologised, sent a man the next morning "
        "and refunded the delivery as well. Everything works now and the man was very kind."
    )
    ignored = (
        "My dishwasher broke after a month. I called nine times and wrote four mails. Nobody answered, nobody "
        "apologised, they refused a refund, and it still doesn't work."
    )
    good, bad = released.loyalty([solved, ignored])
    assert good.loyalty.low > bad.loyalty.high
    assert bad.loyalty.band == "at_risk"


@pytest.mark.data
def test_the_owners_of_the_seed_pages_come_out_in_order(released, data):
    from model.read import read_file

    def owner(number):
        (path,) = (data / "threads" / "seeds").glob(f"{number}_*.txt")
        (thread,) = read_file(path)
        report = released.score(thread)
        post = next(u.utterance.id for u in report.utterances if u.utterance.kind == "post")
        # Nobody but the author of the post has dealings with the company on these pages.
        assert {c.author for c in report.cases if c.loyalty} <= {c.author for c in report.cases if post in c.utterances}
        return next(c for c in report.cases if post in c.utterances)

    infiniti, bmw, mercedes, chrysler = owner("000"), owner("002"), owner("003"), owner("004")
    assert infiniti.loyalty.index > bmw.loyalty.index
    assert infiniti.loyalty.index > mercedes.loyalty.index
    assert chrysler.status == "abstain"
