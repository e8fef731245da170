"""The cue head learns what is claimed of single cues, and nothing else of the bundle moves."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("transformers", reason="the train extra is not installed")

from model.bundle import load_bundle
from model.codebook import SENTENCE_LABELS
from tests.training.tiny import BAD, sentences, tiny_bundle, tiny_texts
from training import cues
from training.labels import Labelled, Rows
from training.material import folds
from training.retrain import retrain

RUDE = SENTENCE_LABELS.index("courtesy:rude")


@pytest.fixture(scope="module")
def champion(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("tiny") / "bundle")


@pytest.fixture(scope="module")
def bundle(champion):
    return load_bundle(champion)


def rows(count, seed=5):
    """Here every bad word is a rudeness, which the champion has never heard of."""
    for text, _ in sentences(count, seed):
        word = next((w for w in text.split() if w in BAD), None)
        row = {"kind": "cue", "text": text, "cue": "courtesy", "value": "rude"}
        yield row | ({"state": "present", "quote": word} if word else {"state": "not_mentioned"})


def example(text, label, state, quote=None):
    return Labelled("conduct", text, label, "own", "row 1", state=state, quote=quote)


def test_states_become_claims_about_sentences(bundle):
    text = "the staff was rude. they was kind. it was cold."
    found = cues.read([text], bundle)

    def claims(*args):
        return [(SENTENCE_LABELS[c.column], c.told, c.sentences) for c in cues.claims_of([example(text, *args)], found)]

    assert claims("courtesy:rude", "present", "rude") == [("courtesy:rude", True, (0,))]
    assert claims("courtesy:rude", "present") == [("courtesy:rude", True, ())]
    assert claims("courtesy:rude", "not_mentioned") == [("courtesy:rude", False, ())]
    assert claims("apology:absent", "absent", "it was cold") == [("apology:absent", True, (2,))]
    assert claims("apology:given", "absent") == [("apology:given", False, ())]
    assert claims("apology:given", "hypothetical", "they") == [
        ("hypothetical:apology", True, (1,)),
        ("apology:given", False, ()),
    ]


def taught(bundle, count, flip=0.0):
    examples = [example(r["text"], "courtesy:rude", r["state"], r.get("quote")) for r in rows(count)]
    user = cues.read([e.text for e in examples], bundle)
    rng = np.random.default_rng(0)
    claims = [replace(c, told=c.told ^ bool(rng.random() < flip)) for c in cues.claims_of(examples, user)]
    replay = cues.read([t for t, _ in sentences(60, 77)], bundle)
    return cues.taught(
        bundle.conduct, user, claims, replay, folds([e.text for e in examples], ["" for _ in examples], 7)
    )


def test_claims_are_learnt_and_other_labels_stay_as_they_were(bundle):
    found = taught(bundle, 80)
    assert all(c.passed for c in found.checks), [c.words for c in found.checks]
    assert found.report["f1"][0] < 0.2 < 0.8 < found.report["f1"][1]
    others = [i for i in range(len(SENTENCE_LABELS)) if i != RUDE]
    for name in (*cues.HEAD, "thresholds"):
        before, after = (getattr(head, name)[others] for head in (bundle.conduct, found.head))
        assert np.array_equal(before, after)
    assert np.array_equal(found.head.document_weight, bundle.conduct.document_weight)


def test_claims_drawn_by_lot_are_no_gain(bundle):
    found = taught(bundle, 60, flip=0.5)
    assert not all(c.passed for c in found.checks)


def test_claims_of_one_kind_can_teach_nothing(bundle):
    found = cues.read([t for t, _ in sentences(30, 3)], bundle)
    check = cues.enough([cues.Claim(i, RUDE, False) for i in range(len(found.raw))])
    assert not check.passed
    assert "30 that it is not" in check.words


def test_a_threshold_follows_only_where_there_are_enough_claims(bundle):
    rng = np.random.default_rng(1)
    told = rng.random(80) < 0.5
    p = np.where(told, 0.62, 0.58) + 0.01 * rng.random(80)
    claims = [cues.Claim(i, RUDE, bool(t)) for i, t in enumerate(told)]
    assert cues.thresholds(bundle.conduct, claims, p)[RUDE] == pytest.approx((0.6 + 0.5) / 2, abs=0.03)
    few = cues.thresholds(bundle.conduct, claims[:10], p[:10])
    assert np.array_equal(few, bundle.conduct.thresholds)


def test_retraining_writes_a_bundle_in_which_only_the_cue_head_differs(champion, bundle, tmp_path):
    texts = tiny_texts(tmp_path / "own")
    done = retrain(champion, [Rows("own", rows(80))], tmp_path / "out", task="conduct", texts=texts)
    after = load_bundle(done.folder)
    assert np.array_equal(after.sentiment.weight, bundle.sentiment.weight)
    assert np.array_equal(after.loyalty.full.wom, bundle.loyalty.full.wom)
    assert not np.array_equal(after.conduct.token_weight[RUDE], bundle.conduct.token_weight[RUDE])
    names = [c.name for c in done.decision.checks]
    assert names[1:] == ["labels that hold together", "better on your examples", "agreement", "published findings"]
    # The champion knew no cue in the other texts, so a new habit of finding one there is seen.
    assert not done.decision.promote
    assert [c.name for c in done.decision.checks if not c.passed] == ["agreement"]
    record = json.loads((done.folder / "training.json").read_text())["retrain"]
    assert record["conduct"]["labels"] == {"courtesy:rude": {"told": 28, "not_told": 52}}


def test_too_few_claims_write_no_bundle(champion, tmp_path):
    done = retrain(champion, [Rows("own", rows(12))], tmp_path, task="conduct")
    assert done.folder is None
    assert [c.name for c in done.decision.checks] == ["enough examples"]
