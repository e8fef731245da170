import json
from pathlib import Path

import numpy as np
import pytest

from model.clean import clean
from model.spam_model import BUCKETS, HAND
from model.types import Thread, Utterance
from training.spam import FOLDS, Labelled, design, labelled, threshold, train, unseen_scores

PITCHES = (
    "Subscribe to my channel",
    "Visit my site for cheap ovens",
    "Free voucher, click my name",
    "Earn money at home",
)
WORDS = (
    "The kettle leaked after a week",
    "Lovely song",
    "Nobody answered my letter",
    "What a voice",
    "My oven is fine",
)


@pytest.fixture
def comments() -> Labelled:
    """Made-up comments: pitches and words of customers, numbered, under two videos, a dozen articles and elsewhere."""
    rows = [
        (f"{text} number{n}", place, f"{place} {n % groups}", label)
        for place, groups in (("video", 2), ("article", FOLDS + 2))
        for label, texts in ((1, PITCHES), (0, WORDS))
        for n in range(3 * (FOLDS + 2))
        for text in (texts[n % len(texts)],)
    ]
    rows += [(f"{WORDS[n % 5]}, they said {n}", "genuine", f"genuine {n}", 0) for n in range(20)]
    texts, places, groups, labels = zip(*rows, strict=True)
    return Labelled(texts, np.asarray(places), np.asarray(groups), np.asarray(labels))


def test_the_design_repeats_the_signs_for_pages(comments: Labelled) -> None:
    x = design(["Visit https://a.example now"] * 2, np.asarray([True, False]))
    assert x.shape == (2, 2 * BUCKETS + 2 * len(HAND) + 1)
    start = 2 * BUCKETS
    video, page = x[:, start:].toarray()
    assert video[: len(HAND)].any()
    assert not video[len(HAND) :].any()
    assert np.array_equal(page[: len(HAND)], page[len(HAND) : -1])
    assert page[-1] == 1


def test_every_comment_is_scored_by_a_model_that_has_not_seen_its_group(comments: Labelled) -> None:
    x = design(comments.texts, comments.places == "video")
    scores = unseen_scores(x, comments)
    assert ((scores > 0) & (scores < 1)).all()
    assert scores[comments.labels == 1].mean() > 0.8 > 0.3 > scores[comments.labels == 0].mean()


def test_the_threshold_spares_the_genuine_comments_of_every_place(comments: Labelled) -> None:
    scores = np.where(comments.places == "article", 0.6, 0.2)
    assert threshold(scores, comments, ("video",)) == pytest.approx(0.2)
    found = threshold(scores, comments, ("article", "genuine"))
    assert found == pytest.approx(0.6)
    assert not (scores >= found).any()


def test_the_exported_model_scores_like_the_trained_one(comments: Labelled) -> None:
    model = train(comments)
    assert model.score("Subscribe to my channel, free voucher", video=True).score > 0.8
    assert model.score("Nobody answered my letter about the kettle").score < 0.2
    assert 0 < model.flag_from < 1


@pytest.mark.data
def test_at_most_two_in_a_hundred_comments_of_real_pages_are_dropped_as_spam(data: Path) -> None:
    texts = [
        c["text"]
        for page in (data / "threads" / "html").glob("*.gold.json")
        for c in json.loads(page.read_text(encoding="utf-8"))["comments"]
    ]
    thread = Thread("t", tuple(Utterance(str(n), text) for n, text in enumerate(texts)))
    assert sum(d.reason == "spam" for d in clean(thread).dropped) <= 0.02 * len(texts)


@pytest.mark.data
@pytest.mark.slow
def test_floors_on_videos_and_articles_that_were_not_seen(data: Path) -> None:
    from sklearn.metrics import roc_auc_score

    comments = labelled(data)
    scores = unseen_scores(design(comments.texts, comments.places == "video"), comments)
    for place, floor in (("video", 0.98), ("article", 0.87)):
        rows = comments.places == place
        assert roc_auc_score(comments.labels[rows], scores[rows]) >= floor
