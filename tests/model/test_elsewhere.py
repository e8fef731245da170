"""What a text tells of another house than the brand is no conduct of the brand; in doubt it stays the brand's."""

import time

import pytest

from model.elsewhere import NOWHERE, elsewhere
from model.scorer import Scorer
from model.segment import sentence_spans
from model.types import Author, Thread, Utterance
from tests.fakes import fake_scorer

BRAND = "Brightpot"


def passages(text, brand=BRAND):
    found = elsewhere(text, brand, sentence_spans(text))
    return [text[p.start : p.end].rstrip() for p in found.passages]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "After Brightpot lost my order I went to Kettleworld, who refunded me within a day.",
            "Kettleworld, who refunded me within a day.",
        ),
        ("In the end we turned to Pan & Lid, who sent a new one.", "Pan & Lid, who sent a new one."),
        ("I switched to Kettleworld and they sent a new lid at once.", "they sent a new lid at once."),
        (
            "Brightpot never wrote back. Kettleworld, on the other hand, refunded me and said sorry.",
            "Kettleworld, on the other hand, refunded me and said sorry.",
        ),
        (
            "Unlike Kettleworld, who refunded me in a day, Brightpot refused to pay.",
            "Kettleworld, who refunded me in a day",
        ),
        ("Unlike Brightpot, who ignored me, Kettleworld refunded me.", "Kettleworld refunded me."),
        ("While Brightpot ignored my letters, Kettleworld replaced the kettle.", "Kettleworld replaced the kettle."),
        ("Brightpot ignored my letters, whereas Kettleworld answered.", "Kettleworld answered."),
        (
            "I had switched from Kettleworld. Kettleworld had refused to refund me.",
            "Kettleworld had refused to refund me.",
        ),
        (
            "I went to Kettleworld, who refunded me, and Brightpot never said sorry.",
            "Kettleworld, who refunded me,",
        ),
        ("I went to Kettleworld, who refunded me, but nobody else did.", "Kettleworld, who refunded me,"),
    ],
)
def test_what_another_house_did_is_found(text, told):
    assert passages(text) == [told]


@pytest.mark.parametrize(
    "text",
    [
        # Staff, counters and plans are no houses.
        "Brightpot was slow. Maria, on the other hand, refunded me and said sorry.",
        "I went to Customer Service, who refunded me at once.",
        "I switched to Premium and they refunded me the difference.",
        "I turned to Mr Holt, who refunded me at once.",
        # Places, also of the brand.
        "I moved to Norwich and they refunded my deposit.",
        "Brightpot in York refused. Norwich, on the other hand, refunded me.",
        # The brand by another name.
        "I went to Brightpot Direct, who refunded me.",
        "Unlike Kettleworld, Brightpot refunded me in a day.",
        # Who sells the brand's things or brings them acts for it.
        "I bought it from Kettleworld. When it broke I went to Kettleworld, who refunded me.",
        "Kettleworld is a Brightpot dealer. I went to Kettleworld, who refunded me.",
        "Brightpot was kind, whereas DHL lost the parcel.",
        "My order went to Kettleworld, who never rang.",
        # The house that is left asks for the last money and pays it back.
        "I switched to Kettleworld and they refunded the rest of my contract.",
        "I switched to Kettleworld. They sent a new lid.",
        # In capitals everything looks like a name.
        "I WENT TO THE SHOP, WHO REFUNDED ME.",
        "Kettleworld refunded me.",
    ],
)
def test_in_doubt_it_is_told_of_the_brand(text):
    assert passages(text) == []


def test_the_brand_is_known_by_its_initials_and_in_two_words():
    assert passages("I went to WK, who refunded me.", "World Kettles") == []
    assert passages("I went to Pets Best, who refunded me.", "petsbest") == []
    assert passages("I went to Lidco, who paid what first was refused.", "First Kettle") == [
        "Lidco, who paid what first was refused."
    ]
    told = "Unlike Lidco, who refunded me what WK owed, they refused."
    assert passages(told, "World Kettles") == ["Lidco, who refunded me what"]


@pytest.mark.parametrize(
    "piece",
    [
        "I went to K{n}ab, who paid, ",
        "Brightpot was slow, while K{n}ab paid, ",
        "Kab, on the other hand, paid, ",
        "K{n}",
    ],
)
def test_endless_sentences_full_of_names_are_read_soon(piece):
    text = "".join(piece.format(n="aeiou"[n % 5] * (n % 300)) for n in range(3000))[:100_000]
    began = time.perf_counter()
    elsewhere(text, BRAND, [(0, len(text))])
    assert time.perf_counter() - began < 2


def test_without_a_brand_nothing_is_another_house():
    text = "I went to Kettleworld, who refunded me."
    assert elsewhere(text, None, sentence_spans(text)) is NOWHERE
    assert elsewhere(text, "  ", sentence_spans(text)) is NOWHERE


def test_they_after_a_switch_are_the_new_house_only_in_what_speaks_for_one():
    text = "I switched to Kettleworld and they were rude and slow."
    found = elsewhere(text, BRAND, sentence_spans(text))
    (one,) = found.passages
    assert found.holds(one.start, one.end, good=True) == one
    assert found.holds(one.start, one.end, good=False) is None
    assert found.unsure == ("Kettleworld",)


STORY = "I bought a kettle and Brightpot ignored me for weeks. I went to Kettleworld, who sent a refund within a day."


def scored(text, brand=BRAND, scorer=None):
    post = Utterance("1", text, kind="post", author=Author("Ann"))
    return (scorer or fake_scorer()).score(Thread("t1", (post,), brand=brand))


def values(report):
    return {f"{c.cue}:{c.value}" for c in report.cases[0].cues}


def test_a_case_holds_the_conduct_of_the_brand_alone():
    report, plain = scored(STORY), scored(STORY, brand=None)
    assert values(report) == {"contact:none"}
    assert report.cases[0].latencies != plain.cases[0].latencies
    assert all("within a day" not in found.quote for found in report.cases[0].latencies)
    assert report.cases[0].loyalty.index < plain.cases[0].loyalty.index
    assert "redress:refund" not in {e.feature for e in report.cases[0].loyalty.evidence}
    assert report.cases[0].role == plain.cases[0].role


def test_what_is_left_out_is_told_in_a_warning():
    (warning,) = scored(STORY).warnings
    assert warning.startswith("told of another company and not counted as conduct of Brightpot: redress:refund")
    assert warning.endswith("(Kettleworld, in 1)")


def test_without_a_brand_everything_counts_and_nothing_is_warned_of():
    report = scored(STORY, brand=None)
    assert values(report) == {"contact:none", "redress:refund"}
    assert report.warnings == ()


def test_a_warning_says_where_two_companies_cannot_be_told_apart():
    report = scored("I bought a kettle, it broke. I switched to Kettleworld. They sent a refund at once.")
    assert values(report) == {"redress:refund"}
    assert report.warnings == ("what is counted as conduct of Brightpot in 1 may be told of Kettleworld",)


def test_a_long_list_of_what_is_left_out_is_cut():
    text = " ".join(["I went to Kettleworld, who sent a refund."] * 7)
    (warning,) = scored(text).warnings
    assert warning.endswith("; and 2 more")


def test_who_tells_of_another_house_alone_has_no_estimate_to_rely_on():
    report = scored("I bought a kettle. I went to Kettleworld, who sent a refund.")
    assert (report.cases[0].status, report.cases[0].cues) == ("low_evidence", ())


def test_the_released_model_credits_no_refund_of_another_house_to_the_brand(released: Scorer):
    told = "After Brightpot lost my order I went to Kettleworld, who refunded me within a day."
    assert values(scored(told, scorer=released)) == set()
    assert "redress:refund" in values(scored(told, brand="Kettleworld", scorer=released))
    assert "redress:refund" in values(scored(told, brand=None, scorer=released))


@pytest.mark.data
def test_hardly_anything_that_real_texts_tell_of_their_company_is_left_out(data):
    import json

    rows = [json.loads(line) for line in (data / "conduct" / "validation.jsonl").read_text().splitlines()]
    named = [row for row in rows if row["company"]]
    assert len(named) > 100
    for row in named:
        found = elsewhere(row["text"], row["company"], sentence_spans(row["text"]))
        for entry in row["conduct"]:
            start = row["text"].find(entry["quote"])
            assert found.holds(start, start + len(entry["quote"]), good=True) is None, row["id"]
