import json
import shutil

import pytest

from model.bundle import EXACT, RELEASED, SERVED, bundle_digest, load_bundle, manifest
from model.drift import FILE
from model.types import InputError


def test_a_folder_that_is_no_bundle_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no bundle\.json") as caught:
        load_bundle(tmp_path)
    assert caught.value.code == "no_bundle"
    assert str(tmp_path) in caught.value.got


def test_the_digest_depends_on_every_file_and_not_on_their_order():
    one = bundle_digest({"a": "1", "b": "2"})
    assert one == bundle_digest({"b": "2", "a": "1"})
    assert one != bundle_digest({"a": "1", "b": "3"})


def test_a_changed_file_is_refused(released, tmp_path):
    for name in (*SERVED, "bundle.json"):
        shutil.copy(RELEASED / name, tmp_path / name)
    with (tmp_path / "tokenizer.json").open("a") as f:
        f.write(" ")
    with pytest.raises(InputError, match=r"tokenizer\.json is changed"):
        load_bundle(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"tokenizer\.json is missing"):
        load_bundle(tmp_path)


def test_the_float_weights_belong_to_a_bundle_that_looks_again(released, tmp_path):
    for name in (*SERVED, *EXACT, "bundle.json"):
        shutil.copy(RELEASED / name, tmp_path / name)
    assert load_bundle(tmp_path).exact is not None
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"weights\.safetensors is missing"):
        load_bundle(tmp_path)


def test_the_released_bundle_is_whole_and_small(released):
    meta = manifest(RELEASED)
    assert released.info.digest == bundle_digest(meta["files"])
    assert {p.name for p in RELEASED.iterdir()} - {FILE} == {*meta["files"], "bundle.json"}
    assert max(p.stat().st_size for p in RELEASED.iterdir()) < 90e6
    assert not [p for p in RELEASED.iterdir() if p.suffix not in {".json", ".onnx", ".safetensors"}]


def test_the_released_bundle_tells_nothing_of_the_machine_that_made_it(released):
    for path in RELEASED.iterdir():
        content = path.read_bytes()
        assert not [word for word in (b"site-packages", b"/home/", b"/root/", b"/tmp/") if word in content], path.name


def test_the_released_figures_beat_their_baselines(released):
    figures = json.loads((RELEASED / "figures.json").read_text())
    for name in ("tweeteval_test", "sst3_test"):
        part = figures["sentiment"][name]
        assert part["bundle"]["macro_f1_interval"][0] > part["vader"]["macro_f1_interval"][1]
        assert part["bundle"]["macro_f1"] > part["majority"]["macro_f1"]
