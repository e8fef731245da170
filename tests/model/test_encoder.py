from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from model.encoder import Encoder, LaterEncoder, batches, encode_texts, pad
from model.segment import tokenize
from tests.fakes import WIDTH, WORDS, FakeEncoder, fake_tokenizer


def test_padding_puts_special_tokens_around_each_window():
    ids, mask = pad([np.asarray([5, 6]), np.asarray([7])], (1, 2, 0))
    assert ids.tolist() == [[1, 5, 6, 2], [1, 7, 2, 0]]
    assert mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]


@pytest.mark.parametrize("lengths", [[5], [1, 200, 3, 3, 90, 250, 2], list(range(1, 60))])
def test_batches_hold_every_window_once_and_stay_small(lengths):
    found = list(batches(lengths, tokens=300, windows=8))
    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) <= 8
        assert len(batch) == 1 or len(batch) * (max(lengths[i] for i in batch) + 2) <= 300
        assert max(lengths[i] + 2 for i in batch) <= 1.25 * min(lengths[i] + 2 for i in batch)
    assert len(list(batches(lengths, tokens=300, windows=8, spread=1000.0))) <= len(found)


def test_states_come_back_in_the_order_of_the_texts():
    texts = ["great " * 9, "awful", "", "refund great"]
    tokenized = tokenize(texts, fake_tokenizer(), 4)
    states = encode_texts(tokenized, FakeEncoder())
    assert [len(s) for s in states] == [9, 1, 0, 2]
    assert states[1].shape == (1, WIDTH)
    assert states[1][0, WORDS.index("awful")] == 1
    assert states[3][0, WORDS.index("refund")] == 1


def test_an_encoder_is_opened_once_and_not_before_it_is_needed():
    opened: list[Encoder] = []

    def open_encoder() -> Encoder:
        opened.append(FakeEncoder())
        return opened[-1]

    later = LaterEncoder(open_encoder)
    assert not opened
    windows = [np.asarray([1, 2])] * 40
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda window: later.encode([window])[0], windows))
    assert len(opened) == 1
    assert all((states == FakeEncoder().encode(windows[:1])[0]).all() for states in results)
