import pytest

from model.privacy import Masker, in_words, mask
from model.types import Author, Thread, Utterance


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Write to ines.o+shop@mail.example.org.", "Write to [email]."),
        ("ines (at) example (dot) org or INES@EXAMPLE.ORG", "[email] or [email]"),
        ("Call +44 20 7946 0958 or (415) 555-2671!", "Call [phone] or [phone]!"),
        ("0161 496 0000, 1-800-555-0199, 415.555.0132", "[phone], [phone], [phone]"),
        ("+49 30 901820 in Berlin", "[phone] in Berlin"),
        ("IBAN DE89 3704 0044 0532 0130 00 thanks", "IBAN [iban] thanks"),
        ("GB82WEST12345698765432.", "[iban]."),
        ("to GB29 NWBK 6016 1331 9268 19 or GB29 NWBK 6016 1331 9268 19 now", "to [iban] or [iban] now"),
        ("DE89370400440532013000 and DE89 3704 0044 0532 0130 00", "[iban] and [iban]"),
        ("ref AB12 GB29 NWBK 6016 1331 9268 19", "ref AB12 [iban]"),
        ("card 4111 1111 1111 1111, 5500-0000-0000-0004, 378282246310005", "card [card], [card], [card]"),
    ],
)
def test_masks(text, masked):
    assert mask(text).text == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Write to in\u200bes@mail.exam\u200dple.org now", "Write to [email] now"),
        ("ines\u2060@\ufeffmail.example.org", "[email]"),
        ("in\u00ades@mail.example.org", "[email]"),
        ("\uff49\uff4e\uff45\uff53\uff20\uff4d\uff41\uff49\uff4c\uff0eexample\uff0eorg", "[email]"),
        # A break between an address and what follows.
        ("ines@mail.example.org\u200b415-555-0132", "[email]\u200b[phone]"),
        ("Call \uff14\uff11\uff15-\uff15\uff15\uff15-\uff10\uff11\uff13\uff12!", "Call [phone]!"),
        ("Call 415\u2011555\u20110132 or 415\u200b-555-0132", "Call [phone] or [phone]"),
        ("card " + "4111 1111 1111 1111".translate({n: n + 0xFEE0 for n in range(48, 58)}), "card [card]"),
        ("card 4111\u00a01111\u00a01111\u00a01111", "card [card]"),
        ("card 4\ufe0f\u20e31\ufe0f\u20e311 1111 1111 1111", "card [card]"),
        ("card \u0664\u0661\u0661\u0661 1111 1111 1111", "card [card]"),
        (
            "IBAN " + "DE89370400440532013000".translate({n: n + 0xFEE0 for n in range(48, 91)}) + "\u3002",
            "IBAN [iban]\u3002",
        ),
        ("GB29\u200b NWBK 6016\u00a01331 9268 19", "[iban]"),
    ],
)
def test_masks_what_is_written_in_other_letters_or_with_invisible_ones(text, masked):
    assert mask(text).text == masked
    assert mask(masked).text == masked


def test_an_address_with_invisible_letters_is_nobody_elses():
    masker = Masker()
    assert masker.name("ines@mail.example") == masker.name("in\u200bes@mail.example") == "[email 1]"
    keyed = Masker(key=b"one")
    assert keyed.name("415-555-0132") == keyed.name("415-555-\uff10\uff11\uff13\uff12")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\u4e00\u5c0f\u6642\u4ee5\u5185 \uff11\uff12\uff0c\uff13\uff14\uff15\u5186",
        "10\u00b2 m\u00b2, 4111\u00b9\u00b9\u00b9\u00b9 \u200b \u200d don\u2019t \u2013 1914\u20131918",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 at home @ 9",
        "Order 100-200-3000 of 12.03.2024 at 10:30-11:30 for $1,234,567.89",
        "ticket 12345678, part 2024-01-02 2024-01-02, room 101",
        "4111 1111 1111 1112 has a wrong check digit, 0000 0000 0000 0000 is none",
        "DE88 3704 0044 0532 0130 00 does not add up",
        "me @ home, a@b, @brightpot, x@y",
        "They called (at last) and sent v1.2.3.4",
    ],
)
def test_leaves_alone_what_only_looks_like_it(text):
    assert mask(text).text == text
    assert not mask(text).found


def test_counts_by_kind():
    found = mask("a@b.example c@d.example 4111 1111 1111 1111").found
    assert found == {"email": 2, "card": 1}
    assert in_words(found).startswith("personal data was masked (2 email, 1 card)")
    assert in_words({}) is None


def test_a_thread_is_masked_everywhere_and_says_so():
    thread = Thread(
        "https://forum.example/u/ann@mail.example",
        (
            Utterance("<1@mail.example>", "Write ann@mail.example", "post", author=Author("ann@mail.example")),
            Utterance(
                "2", "ok", parent="<1@mail.example>", author=Author("bob@mail.example", "mailto:bob@mail.example")
            ),
            Utterance("1234567890123456", "call 415-555-0132", author=Author("Cleo")),
        ),
        title="415-555-0132",
    )
    masked = Masker().thread(thread)
    assert "mail.example" not in repr(masked)
    assert "0132" not in repr(masked)
    first, second, third = masked.utterances
    assert second.parent == first.id
    assert first.author.name != second.author.name
    assert third.id == "1234567890123456"
    assert first.text == "Write [email]"
    assert "quotes and offsets are those of the masked text" in masked.warnings[-1]


def test_a_thread_without_personal_data_stays_the_same():
    thread = Thread("t", (Utterance("1", "The kettle leaked.", author=Author("Ines")),))
    assert Masker().thread(thread) == thread


def test_masks_json_with_its_names_and_keeps_two_people_apart():
    given = {"a": ["x@y.example", 1, None], "z@y.example": "X@y.example"}
    assert Masker().json(given) == {"a": ["[email 1]", 1, None], "[email 2]": "[email 1]"}


def test_marks_with_a_key_are_the_same_for_every_masker_with_it_and_no_other():
    names = ["ann@mail.example", "bob@mail.example", "2025550123", "4111111111111111"]
    marks = [Masker(key=b"one").name(name) for name in names]
    assert len(set(marks)) == len(names)
    masker = Masker(key=b"one")
    assert [masker.name(name.upper()) for name in reversed(names)] == marks[::-1]
    assert not set(marks) & {Masker(key=b"two").name(name) for name in names}
    # No digit, which might look like that of a number.
    assert [mask(mark).text for mark in marks] == marks
    assert masker.text("to ann@mail.example") == "to [email]"


def test_masking_twice_changes_nothing():
    once = mask("ann@mail.example, 415-555-0132, GB82WEST12345698765432, 4111111111111111").text
    assert mask(once).text == once


@pytest.mark.parametrize("piece", ["1", "a.", "(", "12 ", "@", "a@", "+1 ", "a1", "DE12 ", "415-555-", "a(at)", "b."])
def test_long_runs_of_one_piece_are_read_to_their_end(piece):
    # A careless pattern would take hours over them.
    text = "a@" + piece * (100_000 // len(piece))
    assert mask(f"{text} ann@mail.example").text.endswith("[email]")
