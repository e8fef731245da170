from pathlib import Path

import numpy as np
import pytest

from model.spam_model import BUCKETS, HAND, MODEL_FILE, SpamModel, features, load_spam_model

PITCH = "Please subscribe to my channel everybody, I upload new covers every single week and I sub back!"


@pytest.fixture
def small() -> SpamModel:
    """A model that knows one word and one sign."""
    hashed = np.zeros(2 * BUCKETS, np.float32)
    hashed[next(iter(features("subscribe").words))] = 4
    hand = np.zeros(len(HAND), np.float32)
    hand[HAND.index("a link")] = 2
    page = np.zeros(len(HAND), np.float32)
    page[HAND.index("a link")] = -3
    return SpamModel(hashed, hand, page, -2.0, 0.5, 0.9, 0.5)


def test_features_have_one_length_for_short_and_long_texts() -> None:
    for text in ("subscribe", "Subscribe to our channel, dear friends of the kettle. " * 9):
        hashes, values = features(text).hashed()
        assert len(hashes) == len(values) == len(np.unique(hashes))
        assert np.isclose((values[hashes < BUCKETS] ** 2).sum(), 9)
        assert np.isclose((values[hashes >= BUCKETS] ** 2).sum(), 9)


def test_features_do_not_depend_on_case_figures_and_addresses() -> None:
    one = features("Call 555 0100 or see https://a.example/x").hashed()[0]
    assert np.array_equal(one, features("call 444 9999 OR see www.other.example").hashed()[0])


@pytest.mark.parametrize("text", ["", "  ", "👍", "\ud800", "!!!", "a" * 100_000, "\n\n", "中文 评论"])
def test_odd_texts(text: str, small: SpamModel) -> None:
    assert 0 <= small.score(text).score <= 1
    assert features(text).hand.shape == (len(HAND),)


def test_the_score_is_the_logistic_sum_of_the_weights(small: SpamModel) -> None:
    assert small.score("hello", video=True).score == pytest.approx(1 / (1 + np.exp(2)))
    assert small.score("hello").score == pytest.approx(1 / (1 + np.exp(1.5)))
    # "subscribe" is the only word, so that it carries the whole length of 3.
    assert small.score("subscribe", video=True).score == pytest.approx(1 / (1 + np.exp(-10)), rel=1e-4)


def test_reasons_name_signs_and_words_that_spoke_for_it(small: SpamModel) -> None:
    found = small.score("subscribe https://a.example", video=True)
    assert found.reasons == ("a link", '"subscribe"')
    assert str(found).startswith("reads like advertising (")
    assert small.score("hello", video=True).reasons == ()


def test_a_place_has_weights_of_its_own(small: SpamModel) -> None:
    text = "see https://a.example"
    assert small.score(text, video=True).score > small.score(text, video=False).score
    assert "a link" not in small.score(text).reasons


def test_a_saved_model_scores_the_same(small: SpamModel, tmp_path: Path) -> None:
    small.save(tmp_path / "m.safetensors")
    read = load_spam_model(tmp_path / "m.safetensors")
    assert read.score(PITCH) == small.score(PITCH)
    assert (read.drop_from, read.flag_from) == (0.9, 0.5)


def test_a_model_of_other_features_is_refused(
    small: SpamModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.spam_model.HAND", ("something", "else"))
    small.save(tmp_path / "m.safetensors")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="trained on other features"):
        load_spam_model(tmp_path / "m.safetensors")


def test_the_shipped_model_is_small_and_tells_a_pitch_from_a_complaint() -> None:
    assert MODEL_FILE.stat().st_size < 1e6
    model = load_spam_model()
    assert model.score(PITCH, video=True).score >= model.drop_from
    for text in (
        "They never answered my letters and I want my money back, see https://ann.example/letter for all of it.",
        "I called the customer service number three times about my kettle and was put through to nobody.",
        "We are sorry about your oven. Please write to us at care@brandt.example with your order number.",
        "Great song, my daughter sings it all day long.",
    ):
        assert model.score(text).score < model.flag_from
        assert model.score(text, video=True).score < model.drop_from
