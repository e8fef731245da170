"""What keeps the house in order: imports go one way, and a user's install stays small."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {"model": {"model"}, "training": {"model", "training"}, "service": {"model", "service"}}
# Commands that learn from labels, and the command line.
COMMANDS = {"cli.py", "retrain.py", "review.py"}
HEAVY = {"torch", "transformers", "datasets", "sklearn", "scipy", "matplotlib", "training"}


def imported(path: Path, *, top_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_only else list(ast.walk(tree))
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", ALLOWED)
def test_arrows_point_at_model_only(package):
    for path in (ROOT / package).rglob("*.py"):
        # A command may reach training from inside a function: serving must not need it.
        found = imported(path, top_only=path.name in COMMANDS)
        assert found & ALLOWED.keys() <= ALLOWED[package], path.name


def test_only_the_torch_encoder_needs_the_training_libraries():
    heavy = {p.name for p in (ROOT / "model").rglob("*.py") if imported(p, top_only=True) & HEAVY}
    assert heavy == {"torch_encoder.py"}
    assert {p.name for p in (ROOT / "service").glob("*.py") if imported(p) & HEAVY} <= COMMANDS
    assert not {p.name for p in (ROOT / "service").glob("*.py") if imported(p, top_only=True) & HEAVY}


def test_opening_and_using_a_scorer_loads_no_training_library():
    code = (
        "import sys, service.cli, service.page; from tests.fakes import fake_scorer; from model.read import read;"
        "fake_scorer().score(read('I bought a kettle. It was great, thank you all.')[0]);"
        f"print(sorted({HEAVY!r} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_base_install_names_no_training_library():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert not [d for d in project["dependencies"] if d.split(">")[0].split("=")[0] in HEAVY]


def test_nothing_is_stored_as_pickle_or_too_large():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    if not files:
        pytest.skip("not a git checkout")
    assert not [f.name for f in files if f.suffix in {".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib"}]
    assert not [f.name for f in files if f.is_file() and f.stat().st_size > 90e6]
