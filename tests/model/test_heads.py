import numpy as np
import pytest

from model.codebook import CUE_VALUES, CUES, DOCUMENT_FIELDS, SENTENCE_LABELS
from model.conduct import FEW_TOKENS, QUOTE_WORDS, TOGETHER, _settled, _unreal, counted, peak, quote_span
from model.encoder import encode_texts, means_of, sentences_of
from model.segment import tokenize
from model.sentiment import SentimentHead, is_close
from model.types import Cue, Sentiment, Statement
from tests.fakes import WIDTH, FakeEncoder, fake_conduct_head, fake_sentiment_head, fake_tokenizer


def encoded(text):
    (tokenized,) = tokenize([text], fake_tokenizer(), 126)
    return tokenized, encode_texts([tokenized], FakeEncoder())[0]


def read(*texts, head=None):
    """The reading of a text, or of several at once."""
    tokenized = tokenize(texts, fake_tokenizer(), 126)
    states = encode_texts(tokenized, FakeEncoder())
    means = means_of(states, WIDTH)
    sentences = sentences_of(tokenized, states, means)
    found = (head or fake_conduct_head()).read(texts, tokenized, states, means, sentences)
    return found if len(texts) > 1 else found[0]


def test_the_codebook_has_a_column_for_every_label_once():
    assert len(CUE_VALUES) == 49
    assert len(CUES) == 20
    assert len(SENTENCE_LABELS) == len(set(SENTENCE_LABELS)) == 74
    assert sum(map(len, DOCUMENT_FIELDS.values())) == 25


@pytest.mark.parametrize(
    ("text", "label"), [("great day", "positive"), ("awful day", "negative"), ("a day", "neutral")]
)
def test_sentiment_is_a_distribution_with_the_largest_as_label(text, label):
    (found,) = fake_sentiment_head().whole([encoded(text)[1]])
    assert found.label == label
    assert found.negative + found.neutral + found.positive == pytest.approx(1)
    assert found.valence == pytest.approx(found.positive - found.negative)


def test_a_mixed_text_shows_its_turn_by_sentence():
    text = "It was great. Then it was awful."
    tokenized, states = encoded(text)
    sentences = sentences_of([tokenized], [states], means_of([states], WIDTH))
    (found,) = fake_sentiment_head().sentences([tokenized], sentences)
    assert [s.sentiment.label for s in found] == ["positive", "negative"]
    assert [text[s.start : s.end] for s in found] == ["It was great.", "Then it was awful."]


def test_temperature_changes_confidence_and_never_the_label():
    head = fake_sentiment_head()
    cool = SentimentHead(head.weight, head.bias, temperature=3.0)
    states = [encoded("great great day")[1]]
    assert cool.whole(states)[0].label == head.whole(states)[0].label
    assert cool.whole(states)[0].positive < head.whole(states)[0].positive


def test_cues_carry_state_quote_and_offsets():
    text = "They ignored me for weeks. Then a refund arrived at last."
    found = {f"{c.cue}:{c.value}": c for c in read(text).cues}
    assert found.keys() == {"contact:none", "redress:refund"}
    assert found["contact:none"].state == "absent"
    assert found["redress:refund"].state == "present"
    for cue in found.values():
        assert text[cue.start : cue.end] == cue.quote
        assert cue.probability > 0.5


def test_what_they_should_have_done_is_hypothetical_and_has_no_value():
    (cue,) = read("They should at least say something nice.").cues
    assert (cue.cue, cue.value, cue.state) == ("apology", None, "hypothetical")


def test_a_statement_of_loyalty_is_apart_and_hides_its_sentence_from_the_features():
    found = read("A refund, so I come back again. Customer for years.")
    assert [s.kind for s in found.statements] == ["stay"]
    assert found.tenure is not None
    assert found.tenure.quote in "Customer for years."
    assert found.cue_probabilities["redress:refund"] == pytest.approx(0, abs=0.01)
    assert found.cue_probabilities["tenure"] > 0.5


def test_a_cue_that_is_not_mentioned_has_no_entry_and_no_value():
    found = read("An ordinary day at the office.")
    assert found.cues == ()
    assert max(found.cue_probabilities.values()) < 0.05


def test_an_empty_text_gives_an_empty_reading():
    found = read("   ")
    assert found.cues == ()
    assert found.tenure is None
    assert sum(found.role.values()) == pytest.approx(1)


def test_texts_read_together_are_read_as_each_alone():
    texts = (
        "They ignored me. A refund came, so I come back again.",
        "",
        "Customer for years.",
        "They should say sorry.\n\nNever again!",
        "An ordinary day.",
    )
    assert read(*texts) == [read(text) for text in texts]


def test_logits_of_texts_together_are_those_of_each_alone():
    lengths = (40, 3, 0, FEW_TOKENS, FEW_TOKENS + 1, TOGETHER + 5, 20, 1)
    states = [np.random.default_rng(n).standard_normal((n, WIDTH)).astype(np.float32) for n in lengths]
    head = fake_conduct_head()
    found = head.logits_of_all(states)
    assert [len(f) for f in found] == list(lengths)
    for own, logits in zip(states, found, strict=True):
        assert not len(own) or np.allclose(logits, head.token_logits(own), rtol=1e-5, atol=1e-5)


def test_means_are_those_of_the_tokens_and_sentences_without_tokens_are_left_out():
    tokenized = tokenize(["great day. awful", "", "refund"], fake_tokenizer(), 126)
    states = encode_texts(tokenized, FakeEncoder())
    means = means_of(states, WIDTH)
    found = sentences_of(tokenized, states, means)
    assert means.tolist() == [s.mean(axis=0).tolist() if len(s) else [0.0] * WIDTH for s in states]
    assert [(t, i) for t, i, _, _ in found.places] == [(0, 0), (0, 1), (2, 0)]
    for row, (t, _, a, b) in zip(found.means, found.places, strict=True):
        assert row == pytest.approx(states[t][a:b].mean(axis=0))


def test_peak_is_the_maximum_when_one_stands_out_and_the_mean_when_none_does():
    assert peak(np.asarray([[9.0], [-9.0]], dtype=np.float32))[0] == pytest.approx(9, abs=0.01)
    assert peak(np.asarray([[2.0], [2.0]], dtype=np.float32))[0] == pytest.approx(2)


def test_of_two_contrary_statements_in_a_sentence_the_surer_stays():
    head = fake_conduct_head()
    head.token_bias[SENTENCE_LABELS.index("stated:stay")] = -11
    text = "Never again. Customer again."
    found = read(text, head=head)
    assert [(s.kind, s.start < 12) for s in found.statements] == [("leave", True), ("stay", False)]


def test_what_is_not_reported_does_not_count():
    head = fake_conduct_head()
    head.thresholds[SENTENCE_LABELS.index("redress:refund")] = 0.999
    text = "A refund came."
    found = read(text, head=head)
    assert found.cues == ()
    assert found.cue_probabilities["redress:refund"] == 0


@pytest.mark.parametrize("words", [1, 2, 5, 60])
def test_quotes_have_five_to_twenty_five_words_where_the_sentence_allows(words):
    text = " ".join(["refund", *["word"] * (words - 1)])
    tokenized, _ = encoded(text)
    for logits in (np.full(words, 3.0), np.linspace(5, -5, words)):
        start, end = quote_span(text, tokenized, 0, logits.astype(np.float32))
        count = len(text[start:end].split())
        assert min(QUOTE_WORDS[0], words) <= count <= QUOTE_WORDS[1]


@pytest.mark.parametrize(
    ("gap", "tokens", "close"), [(0.03, 64, True), (0.05, 5, False), (0.03, 65, False), (0.01, 500, True)]
)
def test_a_call_is_close_by_half_the_gap_where_more_tokens_are_averaged(gap, tokens, close):
    low = (0.9 - gap) / 2
    assert is_close(Sentiment("positive", low, 0.1, low + gap, gap), tokens) is close
    # A wider gap takes in more.
    assert is_close(Sentiment("positive", low, 0.1, low + gap, gap), tokens, 2.1 * gap)


def cue(name, value, probability, start, end, state="present"):
    return Cue(name, value, state, probability, "x" * (end - start), start, end)


def test_of_two_values_that_exclude_each_other_on_the_same_words_the_surer_stays():
    slow, fast = cue("speed", "slow", 0.9, 0, 20), cue("speed", "fast", 0.7, 5, 25)
    assert _settled([fast, slow]) == [slow]
    assert len(_settled([slow, cue("speed", "fast", 0.7, 30, 40)])) == 2
    assert len(_settled([cue("redress", "refused", 0.8, 0, 20), cue("redress", "promised", 0.7, 0, 20)])) == 2


def test_what_counts_is_what_is_reported():
    told = [cue("speed", "slow", 0.9, 0, 20), cue("speed", "slow", 0.95, 50, 60), cue("speed", None, 0.9, 0, 9)]
    found = counted([*told, Statement("tenure", 0.8, "x", 0, 1)], [(45, 70)])
    assert found["speed:slow"] == 0.9
    assert found["speed:fast"] == 0.0
    assert found["tenure"] == 0.8


@pytest.mark.parametrize(
    ("text", "quote", "unreal"),
    [
        ("I would stay if they had resolved my claim.", "they had resolved my claim", True),
        ("They should have sent me a refund.", "sent me a refund", True),
        ("They could at least have said sorry.", "said sorry", True),
        ("I asked if they had received my letter and they sent a refund.", "they sent a refund", False),
        ("They could not have cared less.", "could not have cared less", False),
        ("They sent a refund, which they should have done in May.", "They sent a refund", False),
        ("If they had to wait; they sent a refund.", "they sent a refund", False),
        ("They sent a refund.", "sent a refund", False),
        # A saying is no wish, and only of the author.
        ("It could have been worse, they refunded me.", "they refunded me", False),
        ("It could have been much worse and they rang.", "much worse and they rang", False),
        ("You should have seen how quickly they replied.", "how quickly they replied", False),
        ("I should have known they would never call back.", "known they would never call back", False),
        ("I could have cried when they refunded it.", "have cried when they refunded it", False),
        ("They should have known that the lid breaks.", "known that the lid breaks", True),
        ("You should have called me back.", "called me back", True),
        ("I should have been refunded at once.", "been refunded at once", True),
        ("A repair that should have taken an hour took nine days.", "taken an hour took nine days", False),
        ("They should have taken it back and refunded me.", "refunded me", True),
        # Facts go on where the clause ends and somebody acts.
        ("I might have missed my flight, but they called the gate.", "but they called the gate", False),
        ("I might have missed my flight, they called the gate.", "they called the gate", False),
        ("They should have called me and nobody ever did.", "nobody ever did", False),
        ("They could have replaced it instead of sending a voucher.", "sending a voucher", False),
        ("They should have said sorry, and refunded me.", "and refunded me", True),
        ("They could have rung, and they would have saved me a trip.", "would have saved me a trip", True),
        ("If they had rung me, they could have sent a new one and I would have stayed.", "sent a new one", True),
        ("If they had rung me I would know, but they sent a bill.", "they sent a bill", False),
        # A fact that the case is only added to.
        ("Bea explained it should have been lifted, and paid me at once.", "explained it should have been", False),
        ("Bea explained it should have been lifted, and paid me at once.", "and paid me at once", False),
        ("They sent a refund, which they should have done in May.", "sent a refund, which they should have", False),
        ("I explained they should have refunded me.", "I explained they should have refunded me", True),
        ("Orbix could have redeemed itself with a refund.", "Orbix could have redeemed itself", True),
    ],
)
def test_what_did_not_happen_is_no_fact(text, quote, unreal):
    start = text.index(quote)
    assert _unreal(text, (0, len(text)), start, start + len(quote)) is unreal
