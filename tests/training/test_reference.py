import numpy as np

from model.drift import ASPECTS
from tests.fakes import fake_scorer, fake_tokenizer
from training.reference import common_tokens, make, token_counts


def test_common_tokens_are_the_frequent_ones():
    tokenizer = fake_tokenizer()
    common = common_tokens(token_counts(["great great great refund"] * 200 + ["awful", "xyz"], tokenizer), tokenizer)
    # "awful" is one of 802 tokens, and [UNK] never counts as common.
    assert np.flatnonzero(common).tolist() == [1, 3]


def test_reference_of_texts():
    texts = ["great refund again"] * 6 + ["awful"] * 3 + ["bought years"] + ["?!"]
    reference = make(fake_scorer(), texts, texts, "d")
    assert reference.texts == 10
    assert reference.labels.tolist() == [0.3, 0.1, 0.6]
    assert all(abs(getattr(reference, aspect).sum() - 1) < 1e-3 for aspect in ASPECTS)
    assert "great" not in reference.to_json()
