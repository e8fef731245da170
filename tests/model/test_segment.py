from itertools import pairwise

import pytest
from tokenizers import Regex, Tokenizer
from tokenizers.normalizers import Lowercase, Replace, Sequence

from model import segment
from model.bundle import RELEASED
from model.segment import pack, sentence_spans, tokenize
from tests.fakes import fake_tokenizer


def spans(text):
    return [text[a:b] for a, b in sentence_spans(text)]


def test_sentences_are_exact_substrings_without_surrounding_space():
    text = "We waited  three hours.\n\n  Nobody came! “Why?” she said.\nSee https://example.org/a.b ok? 😡 i left"
    assert spans(text) == [
        "We waited  three hours.",
        "Nobody came!",
        "“Why?” she said.",
        "See https://example.org/a.b ok?",
        "😡 i left",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("They never told me. I rang again.", ["They never told me.", "I rang again."]),
        ("I waited 5 min. Nobody came.", ["I waited 5 min.", "Nobody came."]),
        ('They said no. "Fine." We left in May. The rest came later.',
         ["They said no.", '"Fine."', "We left in May.", "The rest came later."]),
        ("Policy no. A12 and ticket No. BA7 lapsed on 3 May. 2024 was bad.",
         ["Policy no. A12 and ticket No. BA7 lapsed on 3 May. 2024 was bad."]),
        ("Mr. Smith of St. Anne was kind.", ["Mr. Smith of St. Anne was kind."]),
    ],
)  # fmt: skip
def test_words_that_are_also_abbreviations_end_a_sentence(text, expected):
    assert spans(text) == expected


def test_repeated_sentences_keep_their_own_places():
    text = "Never again. Never again. Never again."
    found = sentence_spans(text)
    assert [a for a, _ in found] == [0, 13, 26]


@pytest.mark.parametrize("text", ["", "   ", "\n\n"])
def test_a_text_without_words_has_no_sentences(text):
    assert sentence_spans(text) == ()


def test_windows_hold_whole_sentences_where_they_fit():
    assert pack([3, 4, 2, 6], limit=8) == [(0, 7), (7, 15)]


def test_a_sentence_longer_than_a_window_is_cut_and_nothing_is_lost():
    windows = pack([2, 21, 3], limit=8)
    assert windows[0][0] == 0
    assert windows[-1][1] == 26
    assert all(a[1] == b[0] for a, b in pairwise(windows))
    assert all(b - a <= 8 for a, b in windows)


def test_every_token_belongs_to_one_sentence_and_one_window():
    text = "great refund. awful, ignored us! never again"
    (found,) = tokenize([text], fake_tokenizer(), 4)
    assert found.token_spans[0][0] == 0
    assert found.token_spans[-1][1] == len(found.ids)
    assert [a for a, _ in found.token_spans[1:]] == [b for _, b in found.token_spans[:-1]]
    for (a, b), (start, end) in zip(found.token_spans, found.sentences, strict=True):
        assert all(start <= s and e <= end for s, e in found.offsets[a:b])
    assert found.windows[-1][1] == len(found.ids)


def test_offsets_count_characters_not_bytes():
    text = "Café crème brûlée — great."
    (found,) = tokenize([text], fake_tokenizer(), 10)
    words = [text[a:b] for a, b in found.offsets]
    assert words == ["Café", "crème", "brûlée", "—", "great", "."]


def test_half_a_surrogate_pair_does_not_stop_a_text():
    (found,) = tokenize(["great \ud83d refund"], fake_tokenizer(), 10)
    assert found.offsets.tolist() == [[0, 5], [6, 7], [8, 14]]


def test_texts_are_tokenized_as_the_whole_tokenizer_does_it_whether_ascii_or_not():
    tokenizer = Tokenizer.from_file(str(RELEASED / "tokenizer.json"))
    texts = [
        "Never again!",
        "Great 👍🏽 day 😂😂",
        "",
        "caf\u00e9 & na\u00efve \u2013 ok",
        "a\tb\x00c [SEP] d#%&-:",
        "zw\u200dj ❤️",
    ]
    texts += ["".join(map(chr, range(128)))]
    expected = tokenizer.encode_batch(texts, add_special_tokens=False)
    for text, whole in zip(tokenize(texts, tokenizer, 126), expected, strict=True):
        assert text.ids.tolist() == whole.ids
        assert [tuple(o) for o in text.offsets.tolist()] == whole.offsets
    assert len(segment._for_ascii(tokenizer).to_str()) < len(tokenizer.to_str())


def test_what_an_ascii_text_may_have_is_replaced_in_it_too():
    tokenizer = fake_tokenizer()
    assert segment._for_ascii(tokenizer) is tokenizer
    steps = [Replace(Regex(p), "x") for p in ("[é]", "[!-é]", "[^é]", "é|b", "[\\\\dé]", "[😂🤣]")]
    tokenizer.normalizer = Sequence([*steps, Replace("é", "x"), Lowercase()])
    segment._for_ascii.cache_clear()
    kept = segment._for_ascii(tokenizer)
    assert kept.normalizer.normalize_str("a b 7") == tokenizer.normalizer.normalize_str("a b 7")
    assert "🤣" not in kept.to_str()
    assert all(p in kept.to_str() for p in ("!-é", "^é", "é|b"))
