"""The kernels beside ONNX Runtime on the same graphs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

from model import native_encoder
from model.bundle import RELEASED, close_gap, eight_bit_encoder, exact_encoder, load_bundle
from model.encoder import LaterEncoder, OnnxEncoder
from model.native_encoder import KERNELS, BfloatEncoder, NativeEncoder, UnsuitedError
from model.scorer import Scorer
from model.segment import tokenize
from model.sentiment import CLOSE, CLOSE_IN_BFLOAT
from tests.conftest import DATA
from training import graph

SPECIAL = (2, 3, 0)
WIDTH, HEADS, INNER, LAYERS, WORDS, PLACES = 64, 2, 128, 3, 90, 60


def built() -> str | None:
    try:
        return native_encoder.kernel()
    except UnsuitedError as error:
        return f"no kernels: {error}"


BEST = next((number for number, (name, _) in KERNELS.items() if name == built()), 0)
needs_kernels = pytest.mark.skipif(not BEST, reason=str(built()))
needs_bfloat = pytest.mark.skipif(
    native_encoder.bfloat_kernel() is None, reason="no AMX for bfloat16, or no kernels that were built for it"
)
kernels = pytest.mark.parametrize("kernel", range(1, BEST + 1), ids=[KERNELS[k][0] for k in range(1, BEST + 1)])


def random_encoder(seed: int = 0, *, width: int = WIDTH, heads: int = HEADS) -> graph.Encoder:
    """Layers of random numbers, with ranges that hold most of what comes into each product."""
    rng = np.random.default_rng(seed)

    def some(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (rng.normal(size=shape) * scale).astype(np.float32)

    def norm() -> tuple[np.ndarray, np.ndarray]:
        return 1 + some(width, scale=0.1), some(width, scale=0.1)

    def product(inputs: int, outputs: int, low: float, high: float, **more: np.ndarray) -> graph.Product:
        # Small weights: their sums in pairs fit into 16 bits, as training.rounding sees to it.
        weight = some(inputs, outputs, scale=inputs**-0.5)
        small = np.clip(np.rint(weight * 20 * inputs**0.5), -60, 60).astype(np.int8)
        scale = np.full(outputs, 0.05 * inputs**-0.5, np.float32)
        return graph.Product(weight, some(outputs, scale=0.1), low=low, high=high, small=(small, scale), **more)

    def layer() -> graph.Layer:
        return graph.Layer(
            attention=product(
                width, 3 * width, -4, 4, inverse=1 + some(width, scale=0.1), shift=some(width, scale=0.1)
            ),
            output=product(width, width, -4, 4),
            inner=product(width, INNER, -4, 4, inverse=1 + some(width, scale=0.1), shift=some(width, scale=0.1)),
            outer=product(INNER, width, -0.2, 4, inverse=1 + np.abs(some(INNER, scale=0.1))),
            norms=(norm(), norm()),
        )

    layers = tuple(layer() for _ in range(LAYERS))
    return graph.Encoder(some(WORDS, width), some(PLACES, width), norm(), layers, heads, 1e-12)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("graph") / "encoder.onnx"
    onnx.save(graph.graph(random_encoder()), str(file))
    return file


def windows(*lengths: int, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(4, WORDS, n) for n in lengths]


@needs_kernels
@kernels
@pytest.mark.parametrize(("layers", "typical", "largest"), [(1, 1e-6, 0.02), (LAYERS, 0.02, 0.2)])
def test_states_are_those_of_the_runtime(tmp_path, kernel, layers, typical, largest):
    if KERNELS[kernel][0] == "AMX":
        # Attention is in bfloat16 there, with 8 bits of fraction.
        typical, largest = typical + 0.005, 2 * largest
    texts = windows(1, 2, 3, 5, 14, 15, 16, 17, 30, 31, 47, 58)
    whole = random_encoder()
    file = tmp_path / "encoder.onnx"
    onnx.save(graph.graph(replace(whole, layers=whole.layers[:layers])), str(file))
    engines = OnnxEncoder(file, SPECIAL), NativeEncoder(file, SPECIAL, kernel=kernel)
    expected, found = (engine.encode(texts) for engine in engines)
    assert [f.shape for f in found] == [(len(t), WIDTH) for t in texts]
    off = np.concatenate([np.abs(a - b).ravel() for a, b in zip(expected, found, strict=True)])
    # The same but for floats that lie between two of the 8-bit numbers: those grow from layer to layer.
    assert np.median(off) < typical
    assert off.max() < largest
    assert np.abs(np.concatenate(expected)).mean() > 0.5


@needs_kernels
@kernels
def test_a_text_has_the_same_states_in_any_company_and_on_any_thread(path, kernel):
    texts = windows(*range(1, 50), *range(50, 1, -3))
    alone = NativeEncoder(path, SPECIAL, kernel=kernel)
    together = alone.encode(texts)
    for threads in (1, 3):
        encoder = NativeEncoder(path, SPECIAL, threads=threads, kernel=kernel)
        for text, states, again in zip(texts, together, encoder.encode(texts), strict=True):
            assert np.array_equal(states, again)
            assert np.array_equal(states, alone.encode([text])[0])


@pytest.mark.skipif(BEST < 3, reason=f"no AMX: {built()}")
def test_tiles_give_nearly_the_states_of_vectors_whatever_the_length(path):
    texts = windows(*range(1, 58))
    for a, b in zip(*(NativeEncoder(path, SPECIAL, kernel=k).encode(texts) for k in (2, 3)), strict=True):
        assert np.abs(a - b).mean() < 0.04
        assert np.abs(a - b).max() < 0.3


@needs_bfloat
def test_attention_by_tiles_is_that_of_floats_whatever_the_length(floats):
    folder, network = floats
    texts = windows(*range(1, 58))
    found = BfloatEncoder(folder, SPECIAL).encode(texts)
    for text, states in zip(texts, found, strict=True):
        assert np.abs(states - states_of(network, text)).mean() < 0.01


@needs_kernels
def test_nothing_and_empty_windows_are_read_too(path):
    encoder = NativeEncoder(path, SPECIAL)
    assert encoder.encode([]) == []
    assert [s.shape for s in encoder.encode([np.zeros(0, np.int64), np.asarray([5])])] == [(0, WIDTH), (1, WIDTH)]
    assert sum(encoder.shares().values()) == pytest.approx(1)
    encoder.forget()
    assert sum(encoder.shares().values()) == 0


@needs_kernels
def test_what_lies_beyond_the_tables_is_refused(path):
    encoder = NativeEncoder(path, SPECIAL)
    for bad in (np.asarray([WORDS]), np.asarray([-1]), np.full(PLACES, 5)):
        with pytest.raises(IndexError, match=f"of {WORDS}"):
            encoder.encode([bad])


@needs_kernels
def test_the_file_may_be_written_over_while_it_is_used(path, tmp_path):
    copy = tmp_path / "encoder.onnx"
    copy.write_bytes(path.read_bytes())
    encoder = NativeEncoder(copy, SPECIAL)
    before = encoder.encode(windows(7))[0]
    copy.write_bytes(b"")
    assert np.array_equal(encoder.encode(windows(7))[0], before)


@needs_kernels
def test_other_graphs_are_left_to_the_runtime(tmp_path):
    narrow, odd, dynamic, broken = (tmp_path / f"{n}.onnx" for n in ("narrow", "odd", "dynamic", "broken"))
    onnx.save(graph.graph(random_encoder(width=64, heads=4)), str(narrow))
    onnx.save(graph.graph(random_encoder(width=40, heads=5)), str(odd))
    plain = random_encoder()
    unranged = tuple(replace(x, inner=replace(x.inner, low=None, high=None)) for x in plain.layers)
    onnx.save(graph.graph(replace(plain, layers=unranged)), str(dynamic))
    broken.write_bytes(b"no graph")
    reasons = {narrow: "heads of 32", odd: "heads of 32", dynamic: "as the kernels know it", broken: "no ONNX file"}
    for file, why in reasons.items():
        with pytest.raises(UnsuitedError, match=why):
            NativeEncoder(file, SPECIAL)
    narrow.rename(tmp_path / "encoder.onnx")
    assert isinstance(eight_bit_encoder(tmp_path, SPECIAL), OnnxEncoder)


@pytest.mark.parametrize(
    ("origin", "why"), [(None, "no gcc"), (__file__, "another system")], ids=["not built", "built elsewhere"]
)
def test_without_kernels_the_runtime_does_the_work(path, monkeypatch, origin, why):
    spec = SimpleNamespace(origin=origin) if origin else None
    monkeypatch.setattr(native_encoder, "find_spec", lambda _: spec)
    native_encoder._library.cache_clear()
    try:
        with pytest.raises(UnsuitedError, match=why):
            native_encoder.kernel()
        assert isinstance(eight_bit_encoder(path.parent, SPECIAL), OnnxEncoder)
    finally:
        native_encoder._library.cache_clear()


@needs_kernels
def test_kernels_of_other_sources_are_not_called(path, monkeypatch):
    monkeypatch.setattr(native_encoder, "VERSION", native_encoder.VERSION + 1)
    native_encoder._library.cache_clear()
    try:
        with pytest.raises(UnsuitedError, match="install Amends once more"):
            native_encoder.kernel()
        assert native_encoder.bfloat_kernel() is None
        assert isinstance(eight_bit_encoder(path.parent, SPECIAL), OnnxEncoder)
    finally:
        native_encoder._library.cache_clear()


@needs_kernels
def test_the_released_bundle_is_read_by_the_kernels_unless_told_otherwise():
    ours, theirs = load_bundle(), load_bundle(engine="onnx")
    assert isinstance(ours.encoder, NativeEncoder)
    assert isinstance(theirs.encoder, OnnxEncoder)
    text = "They ignored me for three weeks, and then the manager rang and had it mended the same day. " * 9
    for a, b in zip(*(Scorer(bundle).sentiment([text, "ok", ""]) for bundle in (ours, theirs)), strict=True):
        assert (a and a.label) == (b and b.label)


@pytest.fixture(scope="module")
def floats(tmp_path_factory) -> tuple[Path, BertModel]:
    """A bundle's float weights and configuration, and the network that they belong to."""
    torch.manual_seed(5)
    sizes = {"hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS}
    config = BertConfig(
        vocab_size=WORDS, num_attention_heads=HEADS, max_position_embeddings=PLACES, initializer_range=0.15, **sizes
    )
    network = BertModel(config, add_pooling_layer=False).eval()
    folder = tmp_path_factory.mktemp("floats")
    config.save_pretrained(folder)
    tensors = {f"encoder.{name}": tensor.half() for name, tensor in network.state_dict().items()}
    save_file({**tensors, "sentiment.weight": torch.zeros(3, WIDTH)}, folder / "weights.safetensors")
    network.load_state_dict({name: tensor.half().float() for name, tensor in network.state_dict().items()})
    return folder, network


def states_of(network: BertModel, text: np.ndarray) -> np.ndarray:
    ids = torch.as_tensor([[SPECIAL[0], *text, SPECIAL[1]]])
    with torch.no_grad():
        return network(input_ids=ids).last_hidden_state[0, 1:-1].numpy()


@needs_bfloat
def test_in_bfloat_states_are_nearly_those_of_floats(floats):
    folder, network = floats
    texts = windows(1, 2, 3, 14, 15, 16, 17, 30, 31, 47, 58)
    found = BfloatEncoder(folder, SPECIAL).encode(texts)
    expected = [states_of(network, text) for text in texts]
    off = np.concatenate([np.abs(a - b).ravel() for a, b in zip(expected, found, strict=True)])
    # Each number has 8 bits of fraction, so that a product is off by a thousandth or two.
    assert 0 < np.mean(off) < 0.005
    assert off.max() < 0.05
    assert np.abs(np.concatenate(expected)).mean() > 0.5


@needs_bfloat
def test_in_bfloat_a_text_has_the_same_states_in_any_company(floats):
    texts = windows(*range(1, 50), *range(50, 1, -3))
    alone = BfloatEncoder(floats[0], SPECIAL)
    for text, states in zip(texts, BfloatEncoder(floats[0], SPECIAL, threads=3).encode(texts), strict=True):
        assert np.array_equal(states, alone.encode([text])[0])


@needs_bfloat
@pytest.mark.parametrize(("name", "other"), [("hidden_act", "relu"), ("model_type", "roberta")])
def test_in_bfloat_other_networks_are_left_to_the_runtime(floats, tmp_path, name, other):
    shutil.copytree(floats[0], tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, name: other}))
    with pytest.raises(UnsuitedError, match=f"{name} is '{other}'"):
        BfloatEncoder(tmp_path, SPECIAL)


def test_floats_are_rounded_to_the_nearest_bfloat():
    numbers = np.asarray([0, -0.0, 1, 1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-7, 3.14159274, 1e-30, -6e30], np.float32)
    expected = torch.from_numpy(numbers).bfloat16().view(torch.uint16).numpy()
    assert np.array_equal(native_encoder.bfloat(numbers), expected)
    many = np.random.default_rng(3).normal(size=5000).astype(np.float32)
    assert np.array_equal(native_encoder.bfloat(many), torch.from_numpy(many).bfloat16().view(torch.uint16).numpy())


@needs_bfloat
def test_close_calls_of_the_released_bundle_are_read_again_in_bfloat_unless_told_otherwise():
    ours, theirs = load_bundle(), load_bundle(engine="onnx")
    assert isinstance(ours.exact, LaterEncoder)
    assert isinstance(theirs.exact, LaterEncoder)
    assert isinstance(ours.exact.opened(), BfloatEncoder)
    assert isinstance(theirs.exact.opened(), OnnxEncoder)
    assert (ours.close, theirs.close) == (CLOSE_IN_BFLOAT, CLOSE)
    text = tokenize(["They ignored me for three weeks, and then it was mended the same day."], ours.tokenizer, 126)
    a, b = (np.concatenate(bundle.exact.encode([text[0].ids])) for bundle in (ours, theirs))
    assert np.abs(a - b).mean() < 0.005 < np.abs(b).mean()


def test_without_bfloat_close_calls_are_read_again_by_the_runtime(monkeypatch):
    monkeypatch.setattr(native_encoder, "find_spec", lambda _: None)
    native_encoder._library.cache_clear()
    try:
        assert native_encoder.bfloat_kernel() is None
        assert close_gap() == CLOSE
        assert isinstance(exact_encoder(RELEASED, (101, 102, 0)).opened(), OnnxEncoder)
    finally:
        native_encoder._library.cache_clear()


@needs_kernels
@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there")
def test_labels_are_those_of_the_float_network():
    texts = pq.read_table(DATA / "sentiment/dev.parquet")["text"].to_pylist()[::6]
    bundle, floats = load_bundle(), load_bundle(engine="onnx").exact
    assert floats is not None
    plain = replace(bundle, encoder=floats, exact=None)
    found, expected = ([s.label for s in Scorer(b).sentiment(texts)] for b in (bundle, plain))
    assert np.mean([a == b for a, b in zip(found, expected, strict=True)]) >= 0.995
