import random
from statistics import median

from benchmarks.ceiling import Shape
from benchmarks.mix import LONGEST, MEDIAN, SHORTEST, Mix, length, released_tokenizer
from benchmarks.profiles import is_product
from benchmarks.rivals import alternating
from benchmarks.speed import percentile
from benchmarks.speed_report import BEGIN, END, replaced
from model.bundle import RELEASED


def test_the_mix_has_the_stated_lengths_and_repeats_nothing():
    tokenizer = released_tokenizer()
    texts = Mix(tokenizer).texts(600, "test")
    lengths = [len(e.ids) for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    assert abs(median(lengths) - MEDIAN) <= 3
    assert min(lengths) >= 1
    assert max(lengths) <= LONGEST + 1
    assert len(set(texts)) > 590


def test_the_same_seed_draws_the_same_texts_and_another_others():
    mix = Mix(released_tokenizer())
    assert mix.texts(20, "a") == mix.texts(20, "a") != mix.texts(20, "b")


def test_texts_of_one_length_have_it():
    mix = Mix(released_tokenizer())
    assert all(abs(mix.tokens(text) - 64) <= 4 for text in mix.texts(20, "test", tokens=64))


def test_lengths_stay_in_their_range():
    draw = random.Random(1)
    assert all(SHORTEST <= length(draw) <= LONGEST for _ in range(2000))


def test_rounds_go_forwards_and_backwards():
    assert list(alternating("ab", 2)) == [(0, "a"), (0, "b"), (1, "b"), (1, "a")]


def test_percentiles_are_values_that_were_seen():
    assert [percentile([3, 1, 2, 4], share) for share in (0.5, 0.99, 0)] == [2, 4, 1]


def test_operations_are_counted_by_hand():
    shape = Shape(2, 3, 5)
    assert shape.weights == 2 * (4 * 9 + 2 * 15)
    assert shape.linear(7) == 2 * 7 * shape.weights
    assert shape.attention([4]) == 2 * 2 * (2 * 4 * 4 * 3)
    assert Shape.of(RELEASED).weights > 0


def test_products_are_known_by_name():
    assert is_product("DynamicQuantizeMatMul")
    assert is_product("MatMulIntegerToFloat")
    assert not is_product("FusedMatMul")


def test_only_the_marked_block_of_a_page_is_written_over():
    page = f"before\n{BEGIN}\nold\n{END}\nafter"
    assert replaced(page, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter"
    assert replaced("no marks", "new") == "no marks"
