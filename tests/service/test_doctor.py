import json
from pathlib import Path

import pytest

from model.scorer import Scorer
from model.types import InputError
from service.cli import main
from service.doctor import Check, doctor_text, examine, worst
from tests.fakes import fake_scorer

# The released bundle opens in a second and is what the self-test is about.
RELEASED = Scorer.load


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"AMENDS_STATE": str(tmp_path / "state"), "AMENDS_MODELS": str(tmp_path / "models")}


def named(checks: list[Check], name: str) -> Check:
    (check,) = [c for c in checks if c.name == name]
    return check


def test_an_installation_in_order_has_no_problem(env):
    checks = examine(None, RELEASED, env)
    assert worst(checks) != "problem", checks
    assert "12 of 12" in named(checks, "self-test").found
    assert "made when the service first starts" in named(checks, "database").found


def test_looking_makes_nothing(env, tmp_path):
    examine(None, RELEASED, env)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_that_reads_plain_texts_wrongly_is_a_problem(env):
    check = named(examine(None, lambda *_, **__: fake_scorer(), env), "self-test")
    assert (check.state, bool(check.advice)) == ("problem", True)


def test_a_bundle_that_cant_be_opened_is_a_problem_and_the_rest_is_still_looked_at(env):
    def broken(*_: object, **__: object) -> Scorer:
        raise InputError("encoder.onnx is changed", code="bad_bundle", expected="the released one")

    checks = examine(None, broken, env)
    assert named(checks, "bundle").state == "problem"
    assert named(checks, "database").state == "ok"


def test_a_setting_that_is_off_is_named(env):
    checks = examine(None, RELEASED, env | {"AMENDS_WORKERS": "many"})
    assert "AMENDS_WORKERS" in named(checks, "settings").found


def test_more_threads_than_cores_are_a_warning(env):
    check = named(examine(None, RELEASED, env | {"OMP_NUM_THREADS": "4096"}), "threads")
    assert (check.state, "OMP_NUM_THREADS=4096" in check.found) == ("warning", True)


def test_a_database_that_is_none_is_a_problem(env):
    check = named(examine(None, RELEASED, env | {"AMENDS_DATABASE_URL": "nonsense"}), "database")
    assert check.state == "problem"


def test_the_command_prints_json_and_its_exit_code_tells(env, monkeypatch, capsys):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert main(["doctor", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {c["state"] for c in printed["checks"]} <= {"ok", "warning"}
    assert main(["doctor"], load=lambda *_, **__: fake_scorer()) == 1
    assert "problem  self-test" in capsys.readouterr().out


def test_what_is_to_be_done_stands_below_what_was_found():
    text = doctor_text([Check("memory", "problem", "0.1 GB", "more memory"), Check("cores", "ok", "2")])
    assert text.splitlines()[0].startswith("problem  memory  0.1 GB")
    assert text.splitlines()[1].strip() == "-> more memory"
    assert "to look at: 1" in text
