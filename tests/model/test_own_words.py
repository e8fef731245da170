from dataclasses import replace

import pytest

from model.own_words import own_words
from model.types import Author, Utterance

POST = Utterance(
    "1", "They lost my parcel and nobody answered my three e-mails. I want a refund.", author=Author("Ruth")
)


def own(text: str, *others: Utterance, name: str = "Hal") -> str:
    return own_words([*others, Utterance("2", text, author=Author(name))])["2"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("> They never answered.\nMine came the same day.", "Mine came the same day."),
        ("Ruth Adler wrote:\n\n> They never answered.\n> Never again.\n\nOdd, mine came.", "Odd, mine came."),
        ("[quote=Ruth]They never answered.[/quote] Odd.", "Odd."),
        ("&gt; They never answered.\nOdd.", "Odd."),
        ("> 2 weeks and no answer", "> 2 weeks and no answer"),
        ("She wrote:\nthey never answered", "She wrote:\nthey never answered"),
        ("> They never answered.", "> They never answered."),
    ],
)
def test_quoted_lines_are_blanked_and_offsets_stay(text, kept):
    found = own(text)
    assert len(found) == len(text)
    assert found.strip() == kept
    assert text[text.index(kept) :][: len(kept)] == found[text.index(kept) :][: len(kept)]


def test_a_quotation_of_another_author_of_the_thread_is_not_the_authors_own():
    text = "Ruth: \u201cNobody answered my three e-mails.\u201d Mine they answered."
    assert own(text, POST).split() == ["Ruth:", "Mine", "they", "answered."]
    assert own(text) == text
    assert own(text, POST, name="Ruth") == text


def test_reported_speech_and_short_quotations_stay():
    text = 'He said "we can do nothing for you today", and I said "a refund".'
    assert own(text, POST) == text


def test_a_quotation_of_the_company_tells_what_the_author_was_told():
    refusal = Utterance(
        "1", "Hi Ruth, we are unable to refund you as it is a sale item.", author=Author("Delmar Support")
    )
    text = 'So: "we are unable to refund you as it is a sale item." Eleven years with them.'
    assert own(text, refusal) == text
    assert own(text, replace(refusal, author=Author("Delmar"))) != text
    assert own_words([replace(refusal, author=Author("Delmar")), Utterance("2", text)], "Delmar")["2"] == text
    assert own(text, replace(refusal, author=Author("Delmar"), flags=("company",))) == text
    assert own(text, replace(refusal, author=Author("Delmar Hater"))) != text


def test_many_quotations_of_one_text_are_all_found():
    quoting = [
        Utterance(f"q{n}", f'"they lost my parcel and nobody answered" {n}', author=Author(f"P{n}")) for n in range(300)
    ]
    found = own_words([POST, *quoting])
    assert all(found[u.id].split() == [str(n)] for n, u in enumerate(quoting))
