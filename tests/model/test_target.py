from dataclasses import replace

import numpy as np
import pytest

from model.scorer import Scorer
from model.segment import tokenize
from model.target import concerned, mentions, with_target
from model.types import InputError, Thread, Utterance
from tests.fakes import SEPARATOR, BlendingEncoder, fake_bundle, fake_tokenizer


@pytest.fixture
def scorer():
    return Scorer(fake_bundle(BlendingEncoder()))


def test_the_target_comes_first_and_is_counted():
    ids, count = with_target(np.asarray([5, 6]), np.asarray([7]), 9)
    assert ids.tolist() == [7, 9, 5, 6]
    assert count == 1


def test_a_name_as_long_as_a_text_is_cut():
    ids, count = with_target(np.asarray([5]), np.full(400, 7), 9)
    assert len(ids) == count + 2 < 40


@pytest.mark.parametrize(
    ("raw", "spans"),
    [("My BMW and my bmw.", [(3, 6), (14, 17)]), ("Subways are fine", []), ("C++ (C++)", [(0, 3), (5, 8)]), ("", [])],
)
def test_a_name_is_found_as_words_of_their_own(raw, spans):
    assert mentions(raw, {"M": "BMW", "S": "Subway", "C": "C++"}.get(raw[:1], "x")) == spans


def test_only_windows_that_name_the_target_are_read():
    raw = "Great great great. Corva awful awful. Never never never."
    (text,) = tokenize([raw], fake_tokenizer(), 4)
    assert [w.tolist() for w in concerned(text, raw, "corva")] == [text.ids[slice(*text.windows[1])].tolist()]
    assert len(concerned(text, raw, "Lumo")) == len(text.windows)


def test_each_text_gets_the_sentiment_towards_its_own_target_and_none_means_the_whole(scorer):
    long = "Great day. " * 126 + "Corva was " + "awful " * 50
    towards, whole, wordless = scorer.sentiment([long, long, "..."], ["Corva", None, "Corva"])
    assert towards.label == "negative"
    assert whole.label == "positive"
    assert wordless is None
    assert scorer.sentiment([], []) == []


def test_what_cannot_be_a_target_is_named(scorer):
    with pytest.raises(InputError, match="no words") as caught:
        scorer.sentiment(["a day"], ["!!"])
    assert caught.value.got == "'!!'"
    old = Scorer(replace(fake_bundle(), target=None))
    assert old.sentiment(["a day"], [None])[0].label == "neutral"
    with pytest.raises(InputError, match="no head"):
        old.sentiment(["a day"], ["day"])


def test_an_utterance_that_names_the_brand_says_what_it_thinks_of_it(scorer):
    thread = Thread(
        "t",
        (Utterance("1", "Corva is awful, just awful, awful."), Utterance("2", "Great day, is it not?")),
        brand="Corva",
    )
    first, second = scorer.score(thread).utterances
    assert first.towards_brand.label == "negative"
    assert second.towards_brand is None


def test_the_separator_is_no_word_of_the_fake():
    assert fake_tokenizer().token_to_id("[SEP]") == SEPARATOR
