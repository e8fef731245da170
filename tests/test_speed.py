import random
from statistics import median

from benchmarks.ceiling import Shape
from benchmarks.mix import LONGEST, MEDIAN, SHORTEST, Mix, length, released_tokenizer
from benchmarks.profiles import is_product
from benchmarks.rivals import alternating
from benchmarks.speed import percentile
from benchmarks.speed_report import BEGIN, END, ratio_table, replaced, rival_table
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


def test_a_rival_that_is_one_process_on_all_cores_has_a_row_without_one_core():
    def cell(rival: str, texts: int, cores: int) -> dict[str, object]:
        return {
            "rival": rival, "texts": texts, "cores": cores, "texts_a_second": 1000.0 * cores, "p50_ms": 2.5,
            "p99_ms": 4.5, "peak_mb": 300.2,
        }  # fmt: skip

    names = ("amends", "pipeline_shared_default")
    cells = [cell("amends", n, c) for n in (1, 256) for c in (1, 2)]
    cells += [cell("pipeline_shared_default", n, 2) for n in (1, 256)]
    results = {
        "machine": {"processor": "P", "features": ["AVX2"], "bundle": "0.0.0"},
        "rivals": {
            "cells": cells,
            "settings": {n: {"family": n} for n in names},
            "start": {n: {"seconds": 1.25} for n in names},
            "same_label_as_pipeline": {"amends": 0.99},
            "ratios": {"pipeline_shared_default": {"256 texts, 2 cores": {"wall": 1.5, "cpu": 1.25}}},
        },
    }
    ours, theirs = list(rival_table(results, short=True))[-2:]
    assert ours == "| Amends | 1,000.0 | 2,000.0 | 2.5 / 4.5 | 1.2 | 300 | 99.0% |"
    assert theirs.startswith("| `pipeline` in one process, defaults |  | 2,000.0 | 2.5 / 4.5 |")


def test_a_ratio_that_was_not_measured_is_an_empty_cell():
    both = {"8 texts, 1 cores": {"wall": 3.0, "cpu": 2.9}, "8 texts, 2 cores": {"wall": 3.1, "cpu": 3.2}}
    rows = list(ratio_table({"vader": both, "pipeline_shared_best": {"8 texts, 2 cores": {"wall": 1.5, "cpu": 1.4}}}))
    assert rows[-2:] == [
        "| VADER | 3.0 (2.9) | 3.1 (3.2) |",
        "| `pipeline` in one process, best batch |  | 1.5 (1.4) |",
    ]
