import numpy as np
import pytest

from model.review import Readings, doubtful, error_reason, margins, read_texts, teaching, teaching_reason
from model.types import Sentiment
from tests.fakes import fake_scorer


def sentiment(negative, neutral, positive):
    values = {"negative": negative, "neutral": neutral, "positive": positive}
    return Sentiment(max(values, key=values.get), negative, neutral, positive, positive - negative)


SURE, WAVERS = sentiment(0.9, 0.06, 0.04), sentiment(0.1, 0.46, 0.44)
EAST, NORTH = np.asarray([1.0, 0, 0]), np.asarray([0, 1.0, 0])


def readings(sentiments, vectors):
    return Readings(sentiments, np.asarray(vectors, dtype=np.float32))


def test_margins():
    assert margins(readings([SURE, WAVERS, None], np.eye(3)).probabilities) == pytest.approx([0.84, 0.02, 0])


def test_uncertain_texts_come_first_and_copies_last():
    some = readings([SURE, WAVERS, WAVERS, sentiment(0.3, 0.3, 0.4)], [NORTH, EAST, EAST, NORTH])
    order = teaching(some, 4)
    assert order[:2] == [1, 3]
    assert set(order[2:]) == {0, 2}
    assert teaching(some, 1) == [1]


def test_texts_without_words_teach_nothing():
    assert teaching(readings([None, SURE], [EAST, NORTH]), 5) == [1]
    assert teaching(readings([None], [EAST]), 5) == []
    assert teaching(readings([], np.zeros((0, 3))), 5) == []


def test_the_surest_contradiction_comes_first():
    probabilities = readings([SURE, WAVERS, SURE], np.eye(3)).probabilities
    assert doubtful(probabilities, ["negative", "positive", "positive"]) == [2, 1]


def test_readings_are_those_of_the_scorer():
    texts = ["great kettle", "?!", "awful again", ""]
    scorer = fake_scorer()
    found = read_texts(scorer, texts)
    assert found.sentiments == scorer.sentiment(texts)
    assert found.vectors.shape[0] == 4
    assert found.probabilities.sum(axis=1) == pytest.approx(1)
    assert read_texts(scorer, []).vectors.shape[0] == 0
    towards = read_texts(scorer, ["great kettle"], ["kettle"])
    assert towards.sentiments == scorer.sentiment(["great kettle"], ["kettle"])


def test_reasons_say_what_and_how_sure():
    assert teaching_reason(WAVERS) == "between neutral (0.46) and positive (0.44)"
    assert error_reason(SURE, "positive") == "labelled positive (0.04), reads negative"
