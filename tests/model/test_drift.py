import json

import numpy as np
import pytest

from model.bundle import RELEASED, SERVED, manifest
from model.drift import ASPECTS, FILE, MINIMUM, DriftWatch, Reference, load_reference, psi, served_digest
from model.types import InputError

REFERENCE = Reference(
    digest="0" * 64,
    texts=100,
    labels=np.asarray([0.25, 0.25, 0.5]),
    length=np.asarray([0.5, 0.5]),
    rare=np.asarray([0.6, 0.1, 0.1, 0.1, 0.1]),
    length_edges=np.asarray([3]),
    common=np.asarray([False, True, True, True]),
)


def test_psi_is_zero_for_the_same_shares_and_known_for_others():
    assert psi(np.asarray([0.25, 0.75]), np.asarray([2500.0, 7500.0])) == pytest.approx(0, abs=1e-6)
    # (0.5 - 0.25) ln(0.5 / 0.25) + (0.5 - 0.75) ln(0.5 / 0.75)
    assert psi(np.asarray([0.25, 0.75]), np.asarray([5e6, 5e6])) == pytest.approx(0.27465, abs=1e-4)


def test_psi_of_empty_bins_is_large_and_has_an_end():
    assert 1 < psi(np.asarray([1.0, 0.0]), np.asarray([0.0, 1000.0])) < 20
    with pytest.raises(InputError):
        psi(np.asarray([1.0, 0.0]), np.asarray([0.0, 0.0]))
    with pytest.raises(InputError):
        psi(np.asarray([1.0, 0.0]), np.asarray([1.0]))


def test_bins():
    texts = [np.asarray([1, 2, 3]), np.asarray([1, 2, 3, 1]), np.asarray([1, 0, 99]), np.asarray([], dtype=int)]
    bins = REFERENCE.bins(texts, ["negative", "neutral", "positive", "neutral"])
    assert bins.tolist() == [[0, 0, 0], [1, 1, 0], [2, 0, 4], [1, 0, 0]]
    assert REFERENCE.bins([], []).shape == (0, 3)


def test_watch_speaks_once_there_are_enough_texts_and_forgets_old_ones():
    watch = DriftWatch(REFERENCE, window=400)
    usual, odd = np.asarray([1, 2, 3]), np.asarray([0] * 9)
    for _ in range(MINIMUM - 1):
        watch.add([odd], ["negative"])
    assert watch.scores() == {}
    watch.add([odd], ["negative"])
    assert set(watch.scores()) == set(ASPECTS)
    assert min(watch.scores().values()) > 0.25
    labels = ["negative", "neutral", "positive", "positive"] * 100
    watch.add([usual] * 400, labels)
    assert watch.scores()["labels"] < 0.01


def test_more_texts_at_once_than_the_window_holds():
    watch = DriftWatch(REFERENCE, window=MINIMUM)
    watch.add([np.asarray([1])] * (3 * MINIMUM), ["positive"] * (3 * MINIMUM))
    assert watch.scores()["labels"] > 0.25


def test_json_and_back():
    again = Reference.from_json(REFERENCE.to_json())
    assert again.common.tolist() == REFERENCE.common.tolist()
    assert again.to_json() == REFERENCE.to_json()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"common": "?"}'])
def test_what_is_no_reference_is_an_error(text):
    with pytest.raises(InputError) as caught:
        Reference.from_json(text)
    assert caught.value.code == "bad_reference"


def test_a_reference_counts_for_its_own_bundle_alone(tmp_path):
    files = dict.fromkeys(SERVED, "1" * 64)
    (tmp_path / "bundle.json").write_text(json.dumps({"files": files}))
    assert load_reference(tmp_path) is None
    (tmp_path / FILE).write_text(REFERENCE.to_json())
    assert load_reference(tmp_path) is None
    (tmp_path / FILE).write_text(REFERENCE.to_json().replace("0" * 64, served_digest(files)))
    assert load_reference(tmp_path).texts == 100


@pytest.mark.skipif(not (RELEASED / FILE).is_file(), reason="the released bundle has no reference")
def test_the_released_reference_is_that_of_the_bundle_and_has_no_words():
    reference = load_reference()
    assert reference is not None, "run `python -m training.reference` again"
    assert reference.digest == served_digest(manifest(RELEASED)["files"])
    for aspect in ASPECTS:
        assert getattr(reference, aspect).sum() == pytest.approx(1, abs=1e-3)
    assert 0.05 < reference.common.mean() < 0.9
