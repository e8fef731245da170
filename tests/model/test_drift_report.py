import numpy as np
import pytest

from model.drift import Reference
from model.drift_report import WORD_TEXTS, chance, compare, new_words
from tests.fakes import fake_scorer, fake_tokenizer
from training.reference import make

TRAINING = ["great refund again"] * 6 + ["awful kettle"] * 3 + ["bought years", "sorry", "a great day"]


def numbered(texts, number):
    """As many different texts, each with an unknown word of its own."""
    return [f"{texts[i % len(texts)]} x{i}" for i in range(number)]


@pytest.fixture(scope="module")
def reference():
    texts = numbered(TRAINING, 1200)
    return make(fake_scorer(), texts, texts, "d")


def test_the_same_kind_of_texts_is_no_drift(reference):
    found = compare(fake_scorer(), reference, numbered(TRAINING, 600))
    assert found.verdict == "none", found
    assert {a.name for a in found.aspects} == {"labels", "confidence", "length", "rare", "kinds"}
    assert found.drifted == []


def test_other_texts_are_much_drift_and_named(reference):
    found = compare(fake_scorer(), reference, [*numbered(["awful ignored never"], 400), "?!", "?!"])
    assert found.verdict == "much"
    assert {"labels", "kinds"} <= set(found.drifted)
    assert (found.texts, found.copies, found.wordless) == (400, 1, 1)


def test_few_texts_say_nothing(reference):
    found = compare(fake_scorer(), reference, ["awful"] * 500)
    assert (found.verdict, found.texts, found.copies) == ("too_few", 1, 499)
    assert compare(fake_scorer(), reference, ["", "?!"]).aspects == ()


def test_chance_falls_with_the_number_of_texts_and_covers_samples():
    shares = np.asarray([0.3, 0.3, 0.4])
    few, many = chance(shares, 200, 4000), chance(shares, 2000, 4000)
    assert 0 < many < few
    # Ten times the texts: nearly a tenth of the index, were it not for the sample that the reference is.
    assert many < few / 5


def test_an_old_reference_compares_what_it_knows(reference):
    old = Reference(**{n: getattr(reference, n) for n in (
        "digest", "texts", "labels", "length", "rare", "length_edges", "common")})  # fmt: skip
    again = Reference.from_json(old.to_json())
    found = compare(fake_scorer(), again, numbered(TRAINING, 300))
    assert [a.name for a in found.aspects] == ["labels", "length", "rare"]
    assert found.words == ()


def test_a_reference_goes_to_json_and_back_whole(reference):
    again = Reference.from_json(reference.to_json())
    for name in ("confidence", "kinds", "centres", "rarity"):
        assert np.array_equal(getattr(again, name), getattr(reference, name))


def test_new_words_are_told_with_their_number(reference):
    texts = [f"never {'y' * i}" for i in range(1, 60)]
    (word, *_) = new_words(fake_tokenizer(), reference, texts)
    assert (word.word, word.texts) == ("never", 59)
    assert word.expected < 1
    assert new_words(fake_tokenizer(), reference, numbered(TRAINING, 300)) == []


def test_what_few_texts_hold_and_personal_data_is_never_told(reference):
    rare = ["never bought"] * (WORD_TEXTS - 1) + ["great"] * 50
    assert "never" not in {w.word for w in new_words(fake_tokenizer(), reference, rare)}
    marked = [f"write to ann@never.org or @never, https://never.org/{i}" for i in range(60)]
    assert "never" not in {w.word for w in new_words(fake_tokenizer(), reference, marked)}
