import json
import subprocess
import sys
from pathlib import Path

import bentoml
import pytest
from bentoml._internal.models import ModelStore

from model.bundle import RELEASED, SERVED, bundle_digest, file_digest
from model.types import InputError
from service.registry import NAME, OURS, Registry, bundle_folder, default_home
from service.serve import ROOT
from tests.fakes import bundle_files


@pytest.fixture
def registry(tmp_path) -> Registry:
    return Registry(tmp_path / "home")


def bundle(tmp_path: Path, word: str = "one") -> Path:
    return bundle_files(tmp_path / f"bundle-{word}", word)


def refused(tmp_path: Path, registry: Registry) -> str:
    decision = {"passed": False, "reasons": ["macro F1 fell by 3 points"], "forced": None}
    return registry.add(bundle(tmp_path, "bad"), decision=decision).version


def test_an_empty_registry_has_the_released_bundle_and_makes_no_folder(registry):
    (only,) = registry.list()
    assert (only.version, only.label, only.folder) == (OURS, "champion", RELEASED)
    assert registry.champion() == only
    assert registry.stamp() is None
    assert not registry.home.exists()


def test_reading_the_champion_loads_no_bentoml(tmp_path, registry):
    registry.promote(registry.add(bundle(tmp_path)).version)
    code = (
        "import sys; from pathlib import Path; from service.registry import Registry;"
        f"print(Registry(Path({str(registry.home)!r})).folder('champion')); print('bentoml' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(registry.champion().folder), "False"]


def test_a_version_is_a_model_of_bentoml(tmp_path, registry):
    folder = bundle(tmp_path)
    added = registry.add(folder, parent="p" * 64, data_digest="d" * 64, figures={"f1": 0.7, "none": None}, note="May")
    model = bentoml.models.get(f"{NAME}:latest", _model_store=ModelStore(registry.home / "models"))
    assert (model.tag.version, Path(model.path)) == (added.version, added.folder)
    assert model.info.labels == {"label": "challenger"}
    assert model.info.metadata["figures"] == {"f1": 0.7}
    assert (added.parent, added.data_digest, added.note, added.figures) == ("p" * 64, "d" * 64, "May", {"f1": 0.7})
    assert added.digest == bundle_digest(json.loads((folder / "bundle.json").read_text())["files"])
    assert added.label == "challenger"
    assert {p.name for p in added.folder.iterdir()} == {"bundle.json", "figures.json", "model.yaml", *SERVED}


def test_adding_twice_is_adding_once(tmp_path, registry):
    first = registry.add(bundle(tmp_path), note="first")
    assert registry.add(bundle(tmp_path), note="second") == first


@pytest.mark.parametrize("name", ["heads.safetensors", "figures.json"])
def test_a_changed_bundle_is_refused(tmp_path, registry, name):
    folder = bundle(tmp_path)
    (folder / name).write_text("changed")
    with pytest.raises(InputError) as caught:
        registry.add(folder)
    assert (caught.value.code, caught.value.got) == ("bad_bundle", file_digest(folder / name))
    assert [one.version for one in registry.list()] == [OURS]


def test_what_lies_beside_a_bundle_is_left_out(tmp_path, registry):
    folder = bundle(tmp_path)
    (folder / "custom_objects.pkl").write_bytes(b"anything")
    assert not (registry.add(folder).folder / "custom_objects.pkl").exists()


def test_promoting_and_going_back_step_by_step(tmp_path, registry):
    one, two = (registry.add(bundle(tmp_path, word)).version for word in ("one", "two"))
    stamps = [registry.stamp()]
    for version in (one, two, two):
        assert registry.promote(version, reason="why not").label == "champion"
        stamps.append(registry.stamp())
    assert {v.version: v.label for v in registry.list()} == {OURS: "retired", one: "retired", two: "champion"}
    assert [registry.rollback().version for _ in range(2)] == [one, OURS]
    with pytest.raises(InputError, match="no champion to go back to"):
        registry.rollback()
    changes = [(c.what, c.before, c.after, c.reason) for c in registry.state().history]
    assert changes == [
        ("promote", OURS, one, "why not"),
        ("promote", one, two, "why not"),
        ("rollback", two, one, None),
        ("rollback", one, OURS, None),
    ]
    assert len(set(stamps)) == 3
    assert {v.version: v.label for v in registry.list()} == {OURS: "champion", one: "retired", two: "retired"}


def test_labels_in_bentomls_store_follow(tmp_path, registry):
    one, two = (registry.add(bundle(tmp_path, word)).version for word in ("one", "two"))
    registry.promote(one)
    registry.promote(two)
    models = ModelStore(registry.home / "models").list(NAME)
    assert {m.tag.version: m.info.labels["label"] for m in models} == {one: "retired", two: "champion"}


def test_going_back_passes_over_what_was_deleted(tmp_path, registry):
    one, two = (registry.add(bundle(tmp_path, word)).version for word in ("one", "two"))
    registry.promote(one)
    registry.promote(two)
    bentoml.models.delete(f"{NAME}:{one}", _model_store=ModelStore(registry.home / "models"))
    assert registry.rollback().version == OURS


def test_the_first_digits_name_a_version(tmp_path, registry):
    version = registry.add(bundle(tmp_path)).version
    assert registry.get(version[:5]).version == version


@pytest.mark.parametrize("name", ["", "nothing", "..", "zzzz"])
def test_an_unknown_version_is_an_error_that_lists_the_known(tmp_path, registry, name):
    version = registry.add(bundle(tmp_path)).version
    for ask in (registry.get, registry.promote, registry.folder):
        with pytest.raises(InputError) as caught:
            ask(name)
        assert (caught.value.code, caught.value.expected) == ("no_such_version", f"one of released, {version}")


def test_a_refused_version_needs_a_reason_which_is_recorded(tmp_path, registry):
    version = refused(tmp_path, registry)
    with pytest.raises(InputError, match="macro F1 fell by 3 points") as caught:
        registry.promote(version)
    assert caught.value.code == "refused"
    assert registry.champion().version == OURS
    registry.promote(version, reason="only our own texts count")
    assert registry.state().history[-1].reason == "only our own texts count"


def test_a_version_that_was_changed_is_not_promoted(tmp_path, registry):
    added = registry.add(bundle(tmp_path))
    (added.folder / "encoder.onnx").write_text("changed")
    with pytest.raises(InputError) as caught:
        registry.promote(added.version)
    assert caught.value.code == "bad_bundle"
    assert registry.champion().version == OURS


def test_a_half_copy_is_not_there(tmp_path, registry):
    version = registry.add(bundle(tmp_path)).version
    (registry.home / "models" / NAME / "0123456789ab").mkdir()
    assert registry.versions() == [OURS, version]


def test_a_pointer_that_can_not_be_read_is_an_error(tmp_path, registry):
    registry.promote(registry.add(bundle(tmp_path)).version)
    (registry.home / NAME / "champion.json").write_text("{")
    with pytest.raises(InputError) as caught:
        registry.champion()
    assert caught.value.code == "bad_registry"


@pytest.mark.parametrize("suffix", [".bentomodel", ".tar", ".tar.gz"])
def test_a_version_moves_to_another_machine(tmp_path, registry, suffix):
    added = registry.add(bundle(tmp_path), figures={"f1": 0.7}, parent="p" * 64)
    file = registry.export(added.version, tmp_path / f"model{suffix}")
    other = Registry(tmp_path / "other")
    found = other.import_(file)
    assert (found.version, found.figures, found.parent) == (added.version, {"f1": 0.7}, "p" * 64)
    assert {p.name: file_digest(p) for p in found.folder.iterdir() if p.name != "model.yaml"} == {
        p.name: file_digest(p) for p in added.folder.iterdir() if p.name != "model.yaml"
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle-one", "home", file.name, "other"]


def test_bentoml_reads_what_is_exported(tmp_path, registry):
    added = registry.add(bundle(tmp_path))
    file = registry.export(added.version, tmp_path)
    (tmp_path / "theirs").mkdir()
    model = bentoml.models.import_model(str(file), _model_store=ModelStore(tmp_path / "theirs"))
    assert (str(model.tag), file.name) == (f"{NAME}:{added.version}", f"{NAME}-{added.version}.bentomodel")


def test_a_bundle_folder_is_imported_as_it_is(tmp_path, registry):
    assert registry.import_(bundle(tmp_path)).label == "challenger"


def test_what_is_no_export_is_an_error(tmp_path, registry):
    (tmp_path / "a.bentomodel").write_text("no archive")
    with pytest.raises(InputError) as caught:
        registry.import_(tmp_path / "a.bentomodel")
    assert caught.value.code == "bad_archive"
    for version, name, code in (
        (OURS, "a.tar", "bad_version"),
        (registry.add(bundle(tmp_path)).version, "a.exe", "bad_output"),
    ):
        with pytest.raises(InputError) as caught:
            registry.export(version, tmp_path / name)
        assert caught.value.code == code


def test_a_bundle_is_named_by_folder_or_version(tmp_path, registry):
    added = registry.add(bundle(tmp_path))
    assert bundle_folder(None, registry) is None
    assert bundle_folder(tmp_path, registry) == tmp_path
    assert bundle_folder(Path("released"), registry) == bundle_folder(Path("champion"), registry) == RELEASED
    assert bundle_folder(Path(f"models:{added.version[:6]}"), registry) == added.folder
    with pytest.raises(InputError):
        bundle_folder(Path("models:none"), registry)


def test_the_home_is_our_own_or_that_of_bentoml(monkeypatch):
    monkeypatch.setenv("AMENDS_MODELS", "/a")
    monkeypatch.setenv("BENTOML_HOME", "/b")
    assert default_home() == Path("/a")
    monkeypatch.delenv("AMENDS_MODELS")
    assert default_home() == Path("/b")
    monkeypatch.delenv("BENTOML_HOME")
    assert default_home() == Path.home() / "bentoml"
