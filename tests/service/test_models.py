"""`amends models` on the command line."""

import json
import shutil
from pathlib import Path

import pytest

from model.bundle import RELEASED
from service.cli import main
from service.registry import OURS, Registry
from tests.fakes import bundle_files, fake_scorer

DECISION = {
    "passed": False,
    "reasons": ["behaviours: 9 more fail"],
    "checks": [{"name": "behaviours", "passed": False, "champion": 0.01, "challenger": 0.04, "limit": 0.015}],
}


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Registry:
    monkeypatch.setenv("AMENDS_MODELS", str(tmp_path / "models"))
    return Registry()


def measured(tmp_path: Path, word: str, f1: float) -> Path:
    """A bundle with figures of its own."""
    figures = {"sentiment": {"dev": {"bundle": {"macro_f1": f1, "n": 100, "more": 1}, "vader": {"macro_f1": 0.5}}}}
    return bundle_files(tmp_path / f"bundle-{word}", word, figures)


def models(*line: str) -> int:
    return main(["models", *line])


def said(capsys, *line: str) -> dict:
    assert models(*line, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_list_shows_versions_and_the_champion(tmp_path, registry, capsys):
    version = registry.add(bundle_files(tmp_path / "one", "one"), note="May").version
    assert models("list") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows] == [[OURS, "champion"], [version, "challenger"]]
    assert rows[1][2] == "one"
    assert rows[1][-1] == "May"
    assert [one["label"] for one in said(capsys, "list")["versions"]] == ["champion", "challenger"]


def test_promote_and_rollback_say_what_changed(tmp_path, registry, capsys):
    version = registry.add(bundle_files(tmp_path / "one", "one")).version
    found = said(capsys, "promote", version[:4], "--reason", "better on our own texts")
    assert (found["before"], found["champion"]) == (OURS, version)
    assert models("promote", version) == 0
    assert f"{version} is the champion already" in capsys.readouterr().err
    (change,) = said(capsys, "show", "champion")["history"]
    assert change["reason"] == "better on our own texts"
    assert models("rollback") == 0
    assert f"released is the champion, in place of {version}" in capsys.readouterr().err
    assert models("rollback") == 1
    assert "no champion to go back to" in capsys.readouterr().err


def test_a_champion_that_was_deleted_can_be_left(tmp_path, registry, capsys):
    version = registry.add(bundle_files(tmp_path / "one", "one")).version
    registry.promote(version)
    shutil.rmtree(registry.folder(version))
    assert models("show", "champion") == 1
    assert f"no version {version!r} of the model; expected one of released" in capsys.readouterr().err
    assert models("rollback") == 0
    assert registry.champion().version == OURS


def test_a_refused_version_needs_force(tmp_path, registry, capsys):
    version = registry.add(bundle_files(tmp_path / "bad", "bad"), decision=DECISION).version
    assert models("show", version) == 0
    assert "refuse\n" in (shown := capsys.readouterr().out)
    assert "behaviours: 9 more fail" in shown
    for line in (("promote", version), ("promote", version, "--reason", "I like it")):
        assert models(*line) == 1
        error = capsys.readouterr().err
        assert "Retraining refused" in error
        assert "--force" in error
    assert registry.champion().version == OURS
    assert models("promote", version, "--force", "only our own texts count") == 0
    assert registry.state().history[-1].reason == "only our own texts count"


def test_compare_shows_figures_beside_each_other(tmp_path, registry, capsys):
    one = registry.add(measured(tmp_path, "one", 0.7)).version
    two = registry.add(measured(tmp_path, "two", 0.75), figures={"held_out": 0.8}, decision=DECISION).version
    assert models("compare", one, two) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == [one, two, "difference"]
    assert [row.split() for row in rows] == [
        ["sentiment", "dev", "macro_f1", "0.7", "0.75", "+0.0500"],
        ["retraining", "held_out", "-", "0.8"],
        ["gate", "behaviours", "-", "0.04"],
    ]
    assert said(capsys, "compare", one, two)["difference"] == {"sentiment dev n": 0, "sentiment dev macro_f1": 0.05}
    assert "sentiment dev more" in said(capsys, "compare", one, two, "--all")["a"]["flat"]
    assert models("compare", one, one) == 0
    assert "no figure differs" in capsys.readouterr().out


def test_export_and_import(tmp_path, registry, capsys):
    version = registry.add(bundle_files(tmp_path / "one", "one")).version
    path = said(capsys, "export", version, str(tmp_path / "model.tar"))["path"]
    assert models("import", path, "--home", str(tmp_path / "other")) == 0
    assert f"added {version} as challenger" in capsys.readouterr().err
    assert Registry(tmp_path / "other").versions() == [OURS, version]


def test_unknown_versions_and_files_are_errors(tmp_path, registry, capsys):
    assert models("promote", "none") == 1
    assert "no version 'none' of the model; expected one of released" in capsys.readouterr().err
    assert models("import", str(tmp_path / "none.tar")) == 1
    assert "No such file" in capsys.readouterr().err
    assert models("import", str(tmp_path)) == 1
    assert "is not a model bundle" in capsys.readouterr().err


def test_commands_take_a_version_as_bundle(tmp_path, registry, capsys):
    (page := tmp_path / "page.txt").write_text("The kettle was great.")
    opened: list[Path | None] = []

    def load(bundle: Path | None = None, *, threads: int = 1):
        opened.append(bundle)
        return fake_scorer()

    added = registry.add(bundle_files(tmp_path / "one", "one"))
    registry.promote(added.version)
    for choice in ([], ["champion"], ["released"], [f"models:{added.version}"], [str(tmp_path)]):
        option = [f"--bundle={choice[0]}"] if choice else []
        assert main(["score", str(page), "--json", *option], load=load) == 0
    assert opened == [None, added.folder, RELEASED, added.folder, tmp_path]
    assert main(["score", str(page), "--bundle", "models:none"], load=load) == 1
    assert "no version 'none'" in capsys.readouterr().err
