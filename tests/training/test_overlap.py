import pytest

from training.overlap import seen, unseen

REVIEW = "The parcel came nine days late and the box was torn. I rang twice and nobody knew anything."
TITLED = f"Never again. {REVIEW}"


@pytest.mark.parametrize(
    ("document", "trained", "known"),
    [
        (REVIEW, REVIEW.upper().replace(".", " !"), True),
        (TITLED, REVIEW, True),
        (REVIEW, TITLED, True),
        (REVIEW, "The parcel came nine days late and the box was torn.", True),
        (
            f"{REVIEW} {REVIEW.replace('parcel', 'letter')}",
            "The parcel came nine days late and the box was torn.",
            False,
        ),
        (REVIEW, REVIEW.replace("torn", "wet"), False),
        ("Thank you!", "thank you", True),
        ("Thank you!", "thank you very much indeed for all that you did", False),
        ("", REVIEW, False),
    ],
)
def test_a_document_is_seen_when_a_training_text_holds_half_of_it(document: str, trained: str, known: bool):
    assert seen([document], ["Something else entirely, which has more than eight words.", trained]) == [known]


def test_the_unseen_ones_stay_in_order():
    documents = [{"id": 1, "text": TITLED}, {"id": 2, "text": "Another text."}, {"id": 3, "text": "A third one."}]
    assert [d["id"] for d in unseen(documents, [REVIEW])] == [2, 3]
