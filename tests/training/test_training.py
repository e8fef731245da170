"""The whole recipe on a network of two small layers and texts of our own: data, training, resuming, export, fit."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("transformers", reason="the train extra is not installed")

import onnx
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import BertConfig, BertModel, BertTokenizerFast

from model.bundle import exact_encoder
from model.codebook import CUE_VALUES, SENTENCE_LABELS
from model.encoder import Encoder, OnnxEncoder, encode_texts
from model.loyalty import CONDUCT_FEATURES
from model.segment import tokenize
from model.types import CaseFeatures
from training import calibrate, data, distil, finetune, fit, graph, loyalty, refit
from training.average import average
from training.export import activations, encoder_of, export
from training.network import Network, mean_by, peak_by
from training.rounding import held, numbers, rounded

WORDS = [
    "great",
    "awful",
    "good",
    "bad",
    "the",
    "a",
    "day",
    "was",
    "it",
    "they",
    "refund",
    "sent",
    "me",
    "ignored",
    "us",
]
WORDS += ["never", "again", "kettle", "broke", ".", ","]
DOCUMENT = {
    "id": "d",
    "text": "The kettle broke. They sent me a refund. Never again.",
    "role": "customer",
    "failure": {"type": "product", "severity": 2},
    "tenure": None,
    "conduct": [{"cue": "redress", "value": "refund", "quote": "sent me a refund"}],
    "hypothetical": [],
    "stated_loyalty": [{"kind": "leave", "quote": "Never again"}],
    "repurchase": "leave",
    "wom": "negative",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder like that of a pretrained encoder, with random weights and a vocabulary of twenty words."""
    folder = tmp_path_factory.mktemp("base")
    vocabulary = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    backend = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = BertNormalizer(lowercase=True), BertPreTokenizer()
    BertTokenizerFast(tokenizer_object=backend).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=300,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A sentiment file and a file of annotated documents."""
    folder = tmp_path_factory.mktemp("data")
    rows = [
        {"text": f"{w} day", "label": label, "source": "own"}
        for w, label in (
            ("great", "positive"),
            ("good", "positive"),
            ("awful", "negative"),
            ("bad", "negative"),
            ("the", "neutral"),
        )
        for _ in range(24)
    ]
    (folder / "sentiment.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pairs = [
        {"text": "great day , awful kettle .", "target": target, "label": label, "source": "own"}
        for target, label in (("day", "positive"), ("kettle", "negative"), ("refund", "neutral"))
        for _ in range(8)
    ]
    (folder / "targets.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    good, bad = "It was great.", "It was awful."
    both = [[0, len(good), "positive"], [len(good) + 1, len(good) + 1 + len(bad), "negative"]]
    marked = [
        {"text": f"{good} {bad}", "marks": both},
        {"text": f"{good} {bad}", "marks": both[1:]},
        {"text": bad, "marks": [[0, len(bad), "negative"]]},
    ]
    (folder / "passages.jsonl").write_text("\n".join(json.dumps(row) for row in marked * 8))
    (folder / "orders.jsonl").write_text("\n".join([json.dumps({"lower": f"{good} {bad}", "higher": good})] * 4))
    documents = [DOCUMENT | {"id": f"d{i}"} for i in range(12)]
    (folder / "conduct.jsonl").write_text("\n".join(map(json.dumps, documents)))
    return folder


def options(base, files, **changes):
    fields = {"conduct_epochs": 2, "tokens": 64, "held_out": 2, "rate": 1e-3} | changes
    return finetune.Options(
        str(base),
        (str(files / "sentiment.jsonl"),),
        (str(files / "conduct.jsonl"),),
        targets=(str(files / "targets.jsonl"),),
        passages=(str(files / "passages.jsonl"),),
        orders=(str(files / "orders.jsonl"),),
        **fields,
    )


@pytest.fixture(scope="module")
def run(base, files, tmp_path_factory):
    return finetune.run(options(base, files), tmp_path_factory.mktemp("run"))


def test_means_and_peaks_by_group_leave_special_tokens_out():
    states = torch.tensor([[9.0], [1.0], [3.0], [5.0]])
    index = torch.tensor([-1, 0, 0, 2])
    assert mean_by(states, index, 3).tolist() == [[2.0], [0.0], [5.0]]
    assert peak_by(states, index, 3)[2].item() == pytest.approx(5.0)
    assert 2.0 < peak_by(states, index, 3)[0].item() < 3.0


def test_quotes_become_token_and_sentence_labels(base, files):
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    example = data.conduct_examples(files / "conduct.jsonl", tokenizer, max_tokens=64)[0]
    refund, leave = SENTENCE_LABELS.index("redress:refund"), SENTENCE_LABELS.index("stated:leave")
    assert example.sentence_labels[:, refund].tolist() == [0, 1, 0]
    assert example.sentence_labels[:, leave].tolist() == [0, 0, 1]
    assert example.token_labels[:, refund].sum() == 4
    assert example.fields == {"role": 0, "failure": 1, "severity": 2, "repurchase": 2, "wom": 2}


def test_a_wrong_label_is_named_with_its_row(files, base, tmp_path):
    path = tmp_path / "wrong.jsonl"
    path.write_text('{"text": "a day", "label": "meh", "source": "own"}')
    with pytest.raises(ValueError, match=r"row 0: label is 'meh', expected one of negative, neutral, positive"):
        data.drawn(data.load(str(path)))


def test_a_source_gives_no_more_than_its_cap(files, base):
    rows = data.load(str(files / "sentiment.jsonl"))
    assert len(data.drawn(rows, cap=50)) == 50
    assert len(data.drawn(rows, cap=50, caps={"own": 7})) == 7
    assert len(data.drawn(rows)) == 120


def test_training_lowers_the_loss_and_records_the_run(run):
    record = json.loads((run / "record.json").read_text())
    assert record["steps"] > 5
    assert len(record["data_sha256"]) == 64
    assert len(record["held_out"]) == 2
    assert record["curve"][-1]["sentiment"] < 1.1


def test_the_best_weights_on_development_texts_are_kept_and_a_run_without_gain_ends(base, files, tmp_path):
    o = options(
        base, files, dev=str(files / "sentiment.jsonl"), evaluate_every=2, patience=1, rate=1e-9, head_rate=1e-9
    )
    record = json.loads((finetune.run(o, tmp_path) / "record.json").read_text())
    scores = [c["dev_macro_f1"] for c in record["curve"] if "dev_macro_f1" in c]
    assert len(scores) == 2
    assert scores[1] <= scores[0]
    assert record["steps"] == 4 < record["planned_steps"]


def test_a_run_goes_on_from_an_earlier_one_and_leaves_texts_out(base, files, run, tmp_path):
    (tmp_path / "kept.jsonl").write_text('{"text": "Great  day!"}')
    o = options(base, files, start=str(run), without=(str(tmp_path / "kept.jsonl"),), caps=(("own", 50),))
    network, _ = finetune.begin(o)
    earlier = load_file(run / "network.safetensors")
    assert torch.equal(network.state_dict()["sentiment.weight"], earlier["sentiment.weight"])
    tokenizer, _ = finetune.prepare(o, tmp_path)
    examples = finetune.examples_of(o, tokenizer)
    great = tokenizer.token_to_id("great")
    assert len(examples.sentiment) == 50
    assert not any(great in e.text.ids for e in examples.sentiment)


def test_an_emoji_is_read_as_a_word_and_offsets_stay_true(base, run):
    tokenizer = Tokenizer.from_file(str(run / "tokenizer.json"))
    text = "day \U0001f44d\U0001f3fd , bad"
    encoding = tokenizer.encode(text, add_special_tokens=False)
    assert encoding.tokens == ["day", "good", ",", "bad"]
    assert [text[a:b] for a, b in encoding.offsets] == ["day", "\U0001f44d", ",", "bad"]


def test_the_target_stands_in_front_and_is_marked(base, files):
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    first = data.target_examples(data.load(str(files / "targets.jsonl")), tokenizer, [0], max_tokens=9)[0]
    _, mask, layout = data.collate_targets([first], (2, 3, 0))
    assert tokenizer.decode(first.ids.tolist(), skip_special_tokens=False) == "day [SEP] great day , awful kettle ."
    assert layout.text[0].tolist() == [-1, 0, *[-1] * 8]
    assert mask.sum() == 10


def test_labelled_sentences_are_read_in_their_windows(base, files):
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    found = data.passage_examples(files / "passages.jsonl", tokenizer, max_tokens=10)
    # Windows of one label come last; a sentence that is all of its window is not among them.
    assert [e.labels for e in found] == [(2, 0)] * 8 + [(0,)] * 8
    assert found[0].owner.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert found[8].owner.tolist() == [-1, -1, -1, -1, 0, 0, 0, 0]
    assert len(data.passage_examples(files / "passages.jsonl", tokenizer, max_tokens=10, cap=9)) == 9
    ids, _, layout = data.collate_passages([found[8], found[0]], (2, 3, 0))
    assert layout.text[1].tolist() == [-1, 1, 1, 1, 1, 2, 2, 2, 2, -1]
    assert layout.n_texts == 3
    assert ids[1, 1:-1].tolist() == found[0].ids.tolist()


def test_a_sentence_that_a_window_cuts_is_left_out(base, files):
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    assert data.passage_examples(files / "passages.jsonl", tokenizer, max_tokens=3) == []


def test_the_kinder_of_two_texts_is_pulled_above_the_other(base, files):
    o = options(base, files)
    network, optimizer = finetune.begin(o)
    tokenizer, special = finetune.prepare(o, files / "prepared")
    pairs = data.order_examples(files / "orders.jsonl", tokenizer, max_tokens=o.sentiment_tokens, cap=3)
    assert len(pairs) == 3
    network.eval()
    losses = []
    for _ in range(8):
        loss = finetune.order_loss(network, pairs, special)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    turned = [data.OrderExample(p.higher, p.lower) for p in pairs]
    assert finetune.order_loss(network, turned, special) > finetune.order_loss(network, pairs, special)


def test_a_sentence_beside_a_quoted_one_is_hardly_a_counterexample():
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    texts, weights = finetune.of_whole_texts(labels, torch.tensor([0, 0, 1]), 2)
    assert texts.tolist() == [[1, 0], [0, 1]]
    assert weights.tolist() == [[1, 1], [pytest.approx(finetune.REPEATED), 1], [1, 1]]


def test_a_killed_run_goes_on_where_it_was_and_ends_the_same(base, files, run, tmp_path):
    o = options(base, files)
    network, optimizer = finetune.begin(o)
    tokenizer, special = finetune.prepare(o, tmp_path)
    examples = finetune.examples_of(o, tokenizer)
    steps = finetune.plan(examples, o)
    for number, _, _ in finetune.train(network, optimizer, steps, examples, special, o, done=0):
        if number == 4:
            finetune.save_checkpoint(tmp_path / "checkpoint", network, optimizer, number)
            break
    resumed = finetune.run(o, tmp_path)
    assert json.loads((resumed / "record.json").read_text())["resumed_at"] == 4
    whole, again = (load_file(folder / "network.safetensors") for folder in (run, resumed))
    for name, value in whole.items():
        assert torch.allclose(value, again[name], atol=1e-5), name


def exported(network: Network, windows: Sequence[NDArray[np.int64]], folder: Path) -> tuple[Encoder, Encoder]:
    """The 8-bit encoder and the float one, as a bundle has them."""
    special = (2, 3, 0)
    export(network, windows, special, folder)
    save_file({k: v.half().contiguous() for k, v in network.state_dict().items()}, folder / "weights.safetensors")
    return OnnxEncoder(folder / "encoder.onnx", special), exact_encoder(folder, special, native=False)


def test_the_exported_graphs_agree_with_the_network_at_other_shapes(run, tmp_path):
    network = Network(str(run))
    network.load_state_dict(load_file(run / "network.safetensors"))
    network.eval()
    tokenizer = Tokenizer.from_file(str(run / "tokenizer.json"))
    texts = tokenize(["great day", "the kettle broke . they ignored us", "bad " * 40], tokenizer, 30)
    small, plain = exported(network, [t.ids[slice(*t.windows[0])] for t in texts], tmp_path)
    small, plain = encode_texts(texts, small), encode_texts(texts, plain)
    for text, a, b in zip(texts, plain, small, strict=True):
        ids = torch.tensor([[2, *text.ids[slice(*text.windows[0])], 3]])
        with torch.no_grad():
            states = network.states(ids, torch.ones_like(ids))[0, 1:-1].numpy()
        assert np.abs(a[: len(states)] - states).max() < 0.01
        cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert cosines.min() > 0.97


def test_a_text_has_about_the_same_states_in_any_company(run, tmp_path):
    network = Network(str(run))
    network.load_state_dict(load_file(run / "network.safetensors"))
    windows = [np.asarray(w) for w in ([5, 6, 7], [8, 9], [5] * 20, [11, 12, 13, 14, 15])]
    for encoder, most in zip(exported(network, windows, tmp_path), (0.02, 1e-5), strict=True):
        for window, together in zip(windows, encoder.encode(windows), strict=True):
            assert np.allclose(encoder.encode([window])[0], together, atol=most)


def test_the_float_network_of_a_bundle_is_the_one_that_was_trained(run, tmp_path):
    weights = load_file(run / "network.safetensors")
    save_file({k: v.half().contiguous() for k, v in weights.items()}, tmp_path / "weights.safetensors")
    (tmp_path / "config.json").write_bytes((run / "config.json").read_bytes())
    found = refit.network_of(tmp_path).state_dict()
    for name, value in weights.items():
        assert torch.allclose(found[name], value.float(), atol=1e-3, rtol=1e-3), name


def test_activations_are_those_of_real_tokens_alone(run):
    network = Network(str(run)).eval()
    seen = activations(network, [np.asarray([5, 6, 7]), np.asarray([8])], (2, 3, 0))
    assert [len(np.concatenate(layer["inner"].rows)) for layer in seen] == [8, 8]
    rows = np.concatenate(seen[1]["outer"].rows)
    assert (seen[1]["outer"].low <= rows.min(axis=0)).all()
    assert (seen[1]["outer"].high >= rows.max(axis=0)).all()
    with pytest.raises(ValueError, match="no windows"):
        activations(network, [], (2, 3, 0))


def test_a_channel_far_larger_than_the_others_leaves_them_their_bits(run, tmp_path):
    network = Network(str(run))
    network.load_state_dict(load_file(run / "network.safetensors"))
    network.eval()
    network.encoder.encoder.layer[0].output.LayerNorm.weight.data[3] = 50.0
    windows = [np.asarray([5, 6, 7]), np.asarray([8, 9, 10, 11])]
    onnx.save(graph.graph(encoder_of(network)), str(tmp_path / "plain.onnx"))
    encoders = (*exported(network, windows, tmp_path), OnnxEncoder(tmp_path / "plain.onnx", (2, 3, 0)))
    small, exact, plain = (np.concatenate(encoder.encode(windows)) for encoder in encoders)
    assert np.abs(small - exact).mean() < np.abs(plain - exact).mean()


def test_rounding_by_results_is_nearer_to_them_than_rounding_each_weight():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(400, 6)) @ rng.normal(size=(6, 24)) + 0.1 * rng.normal(size=(400, 24))).astype(np.float32)
    weight = rng.normal(size=(24, 8)).astype(np.float32)
    errors = []
    for small, scale in (graph.quantized_weight(weight), rounded(weight, x, np.full(24, 128.0))):
        assert small.dtype == np.int8
        errors.append(float(((x @ (small * scale) - x @ weight) ** 2).mean()))
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("inputs", [8, 9])
def test_two_neighbouring_products_always_fit_into_16_bits(inputs):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, inputs)).astype(np.float32)
    weight = np.abs(rng.normal(size=(inputs, 40))).astype(np.float32) * rng.choice([-1, 1], size=40)
    tops = rng.choice([0.0, 60.0, 255.0], size=inputs)
    small, scale = rounded(weight.astype(np.float32), x, tops)
    products = tops[:, None] * small
    even = inputs - inputs % 2
    for sign in (1, -1):
        pairs = np.maximum(sign * products[:even], 0).reshape(-1, 2, 40).sum(axis=1)
        assert pairs.max() < 2**15
    assert ((x @ (small * scale - weight)) ** 2).mean() < 0.01 * ((x @ weight) ** 2).mean()


def test_what_8_bits_hold_is_within_half_a_step_and_keeps_zero():
    x = np.linspace(-1, 3, 1000).astype(np.float32)
    kept = held(x, -1.0, 3.0)
    assert np.abs(kept - x).max() <= 4 / 255
    assert held(np.zeros(1, dtype=np.float32), -1.0, 3.0)[0] == 0
    assert numbers(np.asarray([-9.0, -1.0, 3.0, 9.0], dtype=np.float32), -1.0, 3.0).tolist() == [0, 0, 255, 255]


def test_temperature_recovers_the_scale_of_overconfident_logits():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.asarray([rng.choice(3, p=p) for p in probabilities])
    assert calibrate.temperature((logits * 3).astype(np.float32), labels) == pytest.approx(3, rel=0.15)
    assert calibrate.expected_calibration_error(probabilities, labels) < 0.03


def test_thresholds_follow_frequent_labels_and_stay_near_the_others_for_rare_ones():
    rng = np.random.default_rng(0)
    # A third of the documents hold each label; what the network says of the first two is shifted by as much.
    truth = (rng.random((300, len(SENTENCE_LABELS))) < 1 / 3).astype(np.float32)
    truth[3:, 1] = 0
    odds = 2.5 * (2 * truth - 1) + rng.normal(0, 1.5, truth.shape)
    odds[:, :2] -= 2
    found = (1 / (1 + np.exp(-odds))).astype(np.float32)
    chosen = calibrate.thresholds(found, truth)
    others = chosen[2:]
    assert chosen[0] < others.min()
    assert chosen[0] < chosen[1] < others.max() + 0.2
    assert others.max() - others.min() < 0.25

    def f1(reported: np.ndarray) -> float:
        return float(2 * (reported * truth).sum() / (reported.sum() + truth.sum()))

    assert f1(found >= chosen) > max(f1(found >= t) for t in np.arange(0.05, 1, 0.05))


def test_thresholds_are_known_where_nothing_is_true_or_all_is_certain():
    none, sure = np.zeros((20, len(SENTENCE_LABELS)), np.float32), np.ones((20, len(SENTENCE_LABELS)), np.float32)
    for found, truth in ((none, none), (sure, sure), (sure, none)):
        chosen = calibrate.thresholds(found, truth)
        assert np.isfinite(chosen).all()
        assert ((chosen > 0) & (chosen < 1)).all()


def example(rng, effect=2.0):
    solved, slow = rng.random() < 0.4, rng.random() < 0.5
    cues = dict.fromkeys(CUE_VALUES, 0.0) | {"solved:yes": float(solved), "speed:slow": float(slow)}
    score = effect * solved - 1.5 * slow + rng.logistic()
    outcome = 0 if score < -1 else 1 if score < 1 else 2
    return loyalty.Example(CaseFeatures(cues, 1.0, 1.0, 0.0, 0.0, 50), "annotated", "own", 3, outcome, outcome)


def test_the_ordinal_fit_finds_the_weights_that_made_the_data():
    rng = np.random.default_rng(1)
    table = loyalty.table([example(rng) for _ in range(6000)], "wom", CONDUCT_FEATURES)
    table.weight[:] = 1.0
    found = loyalty.fit_ordinal(table, CONDUCT_FEATURES, priors=False)
    assert found[CONDUCT_FEATURES.index("solved:yes")] == pytest.approx(2.0, abs=0.25)
    assert found[CONDUCT_FEATURES.index("speed:slow")] == pytest.approx(-1.5, abs=0.25)


def test_hard_signs_hold_even_against_the_data():
    rng = np.random.default_rng(2)
    table = loyalty.table([example(rng, effect=-2.0) for _ in range(2000)], "wom", CONDUCT_FEATURES)
    found = loyalty.fit_ordinal(table, CONDUCT_FEATURES)
    assert found[CONDUCT_FEATURES.index("solved:yes")] == 0


def test_statements_of_loyalty_are_cut_out_before_features_are_read():
    from tests.fakes import fake_scorer

    (read,) = loyalty.read_masked(fake_scorer(), ["They ignored us. Never."])
    assert read.text == "They ignored us."
    assert read.features.cues["contact:none"] > 0.9
    (alone,) = loyalty.read_masked(fake_scorer(), ["Never."])
    assert alone.features.length == 0


def test_the_record_of_a_bundle_names_no_folder():
    earlier = {"options": {"base": "/a/bge", "conduct": ["/a/b/train.jsonl"], "caps": []}}
    record = {"options": {"base": "hub/bge", "caps": [["sst", 3]], "start": "/a/run", "rate": 0.1}, "start": earlier}
    assert fit.without_folders(record) == {
        "options": {"base": "bge", "caps": [["sst", 3]], "start": "run", "rate": 0.1},
        "start": {"options": {"base": "bge", "conduct": ["train.jsonl"], "caps": []}, "start": None},
    }


def test_probabilities_of_networks_are_learnt_in_place_of_labels(base, files, run, tmp_path):
    texts = ["great day", "awful day", "the day", "\u200b"]
    said = distil.probabilities(run, texts)
    assert said.sum(axis=1) == pytest.approx(1)
    assert said[-1] == pytest.approx(1 / 3)
    assert np.abs(said[0] - said[1]).max() > 0.01
    (tmp_path / "plain.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in texts[:3]))
    rows = distil.examples([str(files / "sentiment.jsonl"), str(tmp_path / "plain.jsonl")], 20, {"own": 9}, 1)
    assert [label is None for _, label, _ in rows] == [False] * 9 + [True] * 3
    soft = distil.mixed(distil.probabilities(run, [text for text, _, _ in rows]), [label for _, label, _ in rows])
    assert soft.sum(axis=1) == pytest.approx(1)
    assert all(soft[i, distil.SENTIMENT.index(label)] >= distil.HARD for i, (_, label, _) in enumerate(rows[:9]))
    distil.write(rows, soft, tmp_path / "soft.parquet")
    o = finetune.Options(
        base=str(base),
        sentiment=(str(tmp_path / "soft.parquet"),),
        conduct=(str(files / "conduct.jsonl"),),
        conduct_epochs=0,
        held_out=0,
    )
    examples = finetune.examples_of(o, Tokenizer.from_file(str(run / "tokenizer.json"))).sentiment
    assert len(examples) == len(rows)
    assert sorted(e.soft for e in examples) == sorted(tuple(row) for row in np.float32(soft).tolist())
    # The loss is least where the network says what it is told.
    network = Network(str(run))
    network.load_state_dict(load_file(run / "network.safetensors"))
    network.eval()
    own = distil.probabilities(run, texts[:1])[0]
    learnt, other = (
        finetune.sentiment_loss(network, [replace(examples[0], text=tokenized, soft=tuple(p))], (2, 3, 0), 0.05)
        for tokenized in tokenize(texts[:1], Tokenizer.from_file(str(run / "tokenizer.json")), 96)
        for p in (own, own[::-1].copy())
    )
    assert learnt.item() == pytest.approx(-(own * np.log(own)).sum(), abs=1e-3)
    assert learnt < other


def test_a_tokenizer_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="expected: <s>"):
        distil.special_ids(Tokenizer(WordPiece({"a": 0}, unk_token="a")))


def test_averaged_weights_lie_between_those_of_the_runs(base, files, run, tmp_path):
    again = finetune.run(options(base, files, start=str(run), seed=9), tmp_path / "again")
    mean = load_file(average([run, again], tmp_path / "mean") / "network.safetensors")
    first, last = (load_file(folder / "network.safetensors") for folder in (run, again))
    assert all(torch.allclose(mean[name], (first[name] + last[name]) / 2) for name in mean)
    assert json.loads((tmp_path / "mean/record.json").read_text())["averaged_runs"] == [run.name, "again"]
    save_file({"other": torch.zeros(1)}, tmp_path / "again/network.safetensors")
    with pytest.raises(ValueError, match="other weights"):
        average([run, again], tmp_path / "mean")
