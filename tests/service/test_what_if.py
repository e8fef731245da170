"""The commands what-if and advise on small threads, over a fake bundle."""

import json

import pytest

from service.cli import main
from tests.fakes import fake_scorer

POST = "I bought a kettle from Marrowby. They ignored me for weeks. Awful."


def load(bundle=None, *, threads=1):
    return fake_scorer()


@pytest.fixture
def post(tmp_path):
    path = tmp_path / "post.txt"
    path.write_text(POST, encoding="utf-8")
    return str(path)


def test_what_if_prints_the_difference_and_no_cause(post, capsys):
    assert main(["what-if", post, "--set", "redress=refund"], load=load) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Among comparable posts, those reporting redress: refund had an index" in out
    assert "not an estimate of what redress: refund would cause" in out


def test_what_if_as_json(post, capsys):
    assert main(["what-if", post, "--set", "contact=made", "--set", "apology=given", "--json"], load=load) == 0
    found = json.loads(capsys.readouterr().out)
    (customer,) = found["threads"][0]["customers"]
    result = customer["what_if"]
    assert result["changes"] == {"contact": "made", "apology": "given"}
    assert result["after"] - result["before"] == pytest.approx(result["difference"])
    assert [e["change"] for e in result["effects"]] == ["contact=made", "apology=given"]
    assert found["bundle"]["version"] == "fake"


def test_one_author_can_be_named_and_a_stranger_is_an_error(post, capsys):
    assert main(["what-if", post, "--set", "contact=made", "--json"], load=load) == 0
    name = json.loads(capsys.readouterr().out)["threads"][0]["customers"][0]["author"]
    assert main(["what-if", post, "--set", "contact=made", "--author", name.upper()], load=load) == 0
    assert main(["what-if", post, "--set", "contact=made", "--author", "Nobody"], load=load) == 1
    captured = capsys.readouterr()
    assert "no customer is called 'Nobody'" in captured.err
    assert name in captured.err


@pytest.mark.parametrize(
    "settings",
    [
        ["apology=given", "apology=absent"],
        ["mood=good"],
        ["apology=nice"],
        ["contact=none", "apology=given"],
    ],
)
def test_a_bad_setting_is_one_line_before_a_model_is_opened(post, capsys, settings):
    def never(bundle=None, *, threads=1):
        raise AssertionError("opened a model")

    options = [part for setting in settings for part in ("--set", setting)]
    assert main(["what-if", post, *options], load=never) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "expected one" in err


def test_advise_prints_who_and_what(post, capsys):
    assert main(["advise", post, "--brand", "Marrowby"], load=load) == 0
    out = capsys.readouterr().out
    assert "1. " in out
    assert "not a causal effect" in out


def test_advise_as_json(post, capsys):
    assert main(["advise", post, "--json"], load=load) == 0
    (thread,) = json.loads(capsys.readouterr().out)["threads"]
    (customer,) = thread["customers"]
    assert set(customer) >= {"author", "actions", "together", "movable", "priority", "reasons", "note"}
    assert 0 <= customer["movable"] <= 1
