"""Retraining on a network of two small layers: what is made, what is refused, and that a kill costs only time."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("transformers", reason="the train extra is not installed")

from model.bundle import bundle_digest, load_bundle, manifest
from model.drift import NEVER
from model.scorer import Scorer
from model.types import InputError
from tests.training.tiny import sentences, tiny_bundle, tiny_texts
from training import tune
from training.gate import Check
from training.labels import Rows
from training.material import EXCHANGED, FOLDS, folds, varied
from training.retrain import retrain
from training.retrain_sentiment import OLD_SKILLS, Chosen, first_harmless

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def champion(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("tiny") / "bundle")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """What does not change between the runs of this file."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def learn(champion, cache, tmp_path_factory):
    """retrain() from the tiny champion, with few texts to replay."""
    texts = tiny_texts(tmp_path_factory.mktemp("texts") / "own")

    def run(rows, out, **options):
        return retrain(champion, [Rows("own", rows)], out, **{"cache": cache, "texts": texts} | options)

    return run


def rows(count, seed=5, **changes):
    return [{"text": t, "label": label} | changes for t, label in sentences(count, seed)]


def digest_of(folder):
    load_bundle(folder)
    return bundle_digest(manifest(folder)["files"])


@pytest.fixture(scope="module")
def done(tmp_path_factory, learn):
    """One run of 120 honest examples, with the budget of a coffee break."""
    steps = []
    out = tmp_path_factory.mktemp("run")
    result = learn(rows(120), out, progress=lambda words, share: steps.append((words, share)))
    return result, out, steps


def test_a_run_writes_a_bundle_that_opens_and_a_report_of_the_decision(champion, done):
    result, out, steps = done
    assert result.folder == out / "bundle"
    loaded = load_bundle(result.folder)
    assert loaded.info.digest == result.report["challenger"]["digest"] != result.report["champion"]["digest"]
    assert json.loads((out / "report.json").read_text()) == json.loads(json.dumps(result.report))
    assert manifest(result.folder)["parent"] == digest_of(champion)
    names = [c["name"] for c in result.report["decision"]["checks"]]
    assert {"better on your examples", "acceptance", "behaviour", "labels that hold together"} <= set(names)
    shares = [share for _, share in steps]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_the_challenger_knows_words_that_the_champion_did_not(champion, done):
    result, _, _ = done
    fresh = sentences(200, 99)
    truth = [label for _, label in fresh]
    right = [
        np.mean([s.label == t for s, t in zip(Scorer.load(f).sentiment([x for x, _ in fresh]), truth, strict=True)])
        for f in (champion, result.folder)
    ]
    assert right[1] > right[0]
    own = result.report["own_examples"]
    assert own["challenger"]["macro_f1"] >= own["champion"]["macro_f1"]


def test_conduct_and_loyalty_stay_as_they_were_while_the_encoder_does(champion, tmp_path, learn):
    out = tmp_path / "head"
    result = learn(rows(60), out, budget=1.0)
    assert result.report["mixing"]["encoder_moved"] is False
    assert "budget" in result.report["encoder"]["why"]
    assert (out / "bundle/encoder.onnx").read_bytes() == (champion / "encoder.onnx").read_bytes()
    texts = [t for t, _ in sentences(20, 8)]
    old, new = (Scorer.load(f) for f in (champion, out / "bundle"))
    assert old.conduct(texts) == new.conduct(texts)


def test_too_few_and_one_label_alone_are_refused_without_training(tmp_path, learn):
    flood = [{"text": "the kettle was broken", "label": "positive"}] * 500
    result = learn(flood, tmp_path / "flood")
    assert result.folder is None
    assert not result.decision.promote
    assert "1 different examples" in result.decision.reasons[0]
    alone = [r | {"label": "positive"} for r in rows(40)]
    result = learn(alone, tmp_path / "alone", force="I am sure")
    assert not result.decision.promote
    assert "0 negative, 0 neutral, 40 positive" in result.decision.reasons[0]


def test_examples_that_can_not_be_learnt_from_are_counted(tmp_path, learn):
    odd = [{"text": "great food", "label": "positive", "target": "food"}, {"text": "!!!", "label": "neutral"}]
    report = learn(odd + rows(5), tmp_path / "out").report
    assert report["examples"]["left_out"]["towards a target"] == 1
    assert report["examples"]["learnt_from"] <= 6


def test_force_is_recorded_beside_the_reasons_it_overrides(tmp_path, learn):
    wrong = [r | {"label": str(x)} for r, x in zip(rows(40), np.random.default_rng(1).permutation(
        ["negative", "neutral", "positive", "neutral"] * 10), strict=True)]  # fmt: skip
    result = learn(wrong, tmp_path / "out", budget=1.0, force="a new meaning")
    assert result.decision.promote
    assert not result.decision.passed
    assert result.decision.reasons
    assert result.report["decision"]["forced"] == "a new meaning"


def test_a_file_to_check_on_is_measured(champion, tmp_path, learn):
    kept = tmp_path / "kept.jsonl"
    kept.write_text("".join(json.dumps(r) + "\n" for r in rows(50, seed=77)))
    report = learn(rows(40), tmp_path / "out", budget=1.0, check=[kept]).report
    assert report["sets"][str(kept)]["champion"]["n"] == 50
    assert any("kept.jsonl" in c["words"] for c in report["decision"]["checks"])


def test_folds_are_the_same_in_any_order_and_hold_every_label():
    texts, labels = zip(*sentences(80, 3), strict=True)
    found = folds(texts, labels, 7)
    again = folds(texts[::-1], labels[::-1], 7)
    assert found.tolist() == again[::-1].tolist()
    for label in set(labels):
        counts = np.bincount(found[[x == label for x in labels]], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1


def test_the_same_call_goes_on_where_it_was_stopped_and_another_is_refused(champion, done, tmp_path, learn):
    result, out, _ = done
    half = tmp_path / "half"
    half.mkdir()
    for name in ("state.json", "heads.safetensors", "fold-0.safetensors"):
        if (out / name).is_file():
            shutil.copy(out / name, half / name)
    state = json.loads((half / "state.json").read_text()) | {"finished": False}
    (half / "state.json").write_text(json.dumps(state))
    again = learn(rows(120), half)
    assert again.report["challenger"] == result.report["challenger"]
    state["finished"] = False
    (half / "state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match="not finished: examples changed"):
        learn(rows(60), half)
    with pytest.raises(InputError, match="champion lies inside"):
        retrain(half / "bundle", [Rows("own", rows(60))], half)


def test_a_head_that_is_pulled_hard_stays_and_one_that_is_not_follows_the_examples():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 6)).astype(np.float32)
    labels = x[:, :3].argmax(axis=1)
    anchor = tune.SentimentHead(rng.normal(size=(3, 6)).astype(np.float32), np.zeros(3, dtype=np.float32))
    nothing = (np.zeros((0, 6), dtype=np.float32), np.zeros((0, 3)))
    hard, loose = (tune.fit_head(x, tune.one_hot(labels), *nothing, anchor, pull) for pull in (1e6, 1e-3))
    assert np.abs(hard.weight - anchor.weight).max() < 1e-3
    assert (loose.logits(x).argmax(axis=1) == labels).mean() > 0.95


def files_of(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_the_champion_whole_and_the_run_goes_on(champion, cache, tmp_path):
    texts = tiny_texts(tmp_path / "texts")
    before = files_of(champion)
    given = tmp_path / "given.jsonl"
    given.write_text("".join(json.dumps(r) + "\n" for r in rows(120)))
    code = (
        "import sys; from pathlib import Path; from training.retrain import retrain;"
        "a = [Path(x) for x in sys.argv[1:]];"
        "retrain(a[0], [a[1]], a[2], texts=a[3], cache=a[4], progress=lambda words, share: print(words, flush=True))"
    )

    def started(out):
        command = [sys.executable, "-c", code, champion, given, out, texts, cache]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    with started(tmp_path / "whole") as process:
        steps = list(dict.fromkeys(process.stdout))
    whole = json.loads((tmp_path / "whole/report.json").read_text())
    assert len(steps) > 6
    for step in steps[1:-1:3]:
        with started(tmp_path / "killed") as process:
            for line in process.stdout:
                if line == step:
                    process.kill()
                    break
        assert files_of(champion) == before
        assert not (tmp_path / "killed/report.json").exists() or process.returncode == 0
    with started(tmp_path / "killed") as process:
        process.communicate()
    assert process.returncode == 0
    again = json.loads((tmp_path / "killed/report.json").read_text())
    assert again["challenger"] == whole["challenger"]
    assert again["decision"]["promote"] == whole["decision"]["promote"]


def attempt(key, *, moved=True):
    return Chosen(key, None, object() if moved else None, np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))


@pytest.mark.parametrize(
    ("harmless", "shown", "tried"),
    [
        ([1.0], [1.0], []),
        ([0.5, 0.3], [1.0, 0.5], [1.0]),
        ([3.0], [1.0, 0.5, 0.3, 3.0], [1.0, 0.5, 0.3]),
        ([], [1.0, 0.5, 0.3, 3.0], [1.0, 0.5, 0.3]),
    ],
)
def test_after_a_share_that_costs_old_skills_smaller_ones_are_tried_and_at_last_the_head(harmless, shown, tried):
    # By their gain on the user's examples; the larger share after .5 could only cost more.
    attempts = [attempt(1.0), attempt(0.5), attempt(0.7), attempt(0.3), attempt(3.0, moved=False)]
    seen, told = [], []

    def show(chosen, before):
        seen.append(chosen.key)
        told[:] = [t["share"] for t in before]
        checks = [Check("conduct", chosen.key in harmless, ""), Check("better on your examples", False, "")]
        return Path(f"{chosen.key}"), checks

    folder, checks = first_harmless(attempts, OLD_SKILLS, show)
    assert (seen, told) == (shown, tried)
    assert folder == Path(f"{shown[-1]}")
    assert checks[0].passed is (shown[-1] in harmless)


def test_varied_copies_exchange_about_half_of_the_tokens_for_others_of_the_training_texts(champion):
    tokenizer = load_bundle(champion).tokenizer
    texts = [t for t, _ in sentences(300, 1)]
    copies = varied(texts, tokenizer, None, 7)
    assert copies == varied(texts, tokenizer, None, 7) != varied(texts, tokenizer, None, 8)
    pairs = [(a.split(), b.split()) for a, b in zip(texts, copies, strict=True)]
    assert all(len(a) == len(b) for a, b in pairs)
    changed = np.mean([x != y for a, b in pairs for x, y in zip(a, b, strict=True)])
    # Some tokens are exchanged for themselves.
    assert 0.7 * EXCHANGED < changed <= 1.1 * EXCHANGED
    assert {w for _, b in pairs for w in b} <= {w for a, _ in pairs for w in a}


def test_varied_copies_draw_what_the_training_texts_had(champion):
    tokenizer = load_bundle(champion).tokenizer
    drawn = tokenizer.token_to_id("great")
    rarity = np.full(tokenizer.get_vocab_size(), NEVER, dtype=np.uint8)
    rarity[drawn] = 0
    (copy,) = varied([" ".join(["awful"] * 200)], tokenizer, rarity, 7)
    assert set(copy.split()) == {"awful", "great"}
    assert abs(copy.split().count("great") / 200 - EXCHANGED) < 0.15
