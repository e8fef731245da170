"""What Amends is measured beside, each as a function from texts to labels: the same network on other runtimes, and
the lexicons that cost next to nothing.

All networks have the released bundle's float weights and its head of sentiment, so that only the runtime differs.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.bundle import file_digest
from model.codebook import SENTIMENT
from model.host import host

RELEASED = Path(__file__).parents[1] / "model" / "released"
FAMILIES = (
    "amends", "amends_onnx", "pipeline", "pipeline_shared", "onnx_float", "onnx_8bit", "openvino_f32", "openvino_bf16",
    "vader", "textblob",
)  # fmt: skip
# One process with a thread a core, as PyTorch does it unless told otherwise; all others have a process a core.
SHARED = ("pipeline_shared",)
Name = TypeVar("Name")
Score = Callable[[Sequence[str], int], list[str]]
"""Texts and the size of a batch, for those that leave it to the caller -> their labels."""
Run = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]

# What VADER's authors propose, and the same for TextBlob.
LEXICON_MARGIN = 0.05


def pipeline() -> Any:
    """The pipeline "text-classification" of transformers over the float weights of the released bundle."""
    import torch
    import transformers
    from safetensors.numpy import load_file as load_numpy
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast, TextClassificationPipeline
    from transformers.modeling_outputs import SequenceClassifierOutput
    from transformers.models.bert.modeling_bert import BertPreTrainedModel

    from model.bundle import sentiment_head

    # It warns that it does not know this class.
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)

    class Classifier(BertPreTrainedModel):
        """The bundle's encoder, the mean over tokens between the special ones, and the sentiment head."""

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.encoder = AutoModel.from_config(config, add_pooling_layer=False)
            self.head = torch.nn.Linear(config.hidden_size, len(SENTIMENT))
            self.post_init()

        def forward(self, input_ids: Any, attention_mask: Any, **more: Any) -> Any:
            states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            inner = attention_mask.clone()
            inner[:, 0] = 0
            inner.scatter_(1, attention_mask.sum(1, keepdim=True) - 1, 0)
            weight = inner.unsqueeze(-1).to(states.dtype)
            return SequenceClassifierOutput(logits=self.head((states * weight).sum(1) / weight.sum(1)))

    config = AutoConfig.from_pretrained(RELEASED)
    config.id2label = dict(enumerate(SENTIMENT))
    config.label2id = {name: i for i, name in config.id2label.items()}
    model = Classifier(config)
    weights = load_file(RELEASED / "weights.safetensors")
    encoder = {k.removeprefix("encoder."): v.float() for k, v in weights.items() if k.startswith("encoder.")}
    model.encoder.load_state_dict(encoder, strict=False)
    head = sentiment_head(load_numpy(RELEASED / "heads.safetensors"))
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(head.weight / head.temperature))
        model.head.bias.copy_(torch.from_numpy(head.bias / head.temperature))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(RELEASED / "tokenizer.json"),
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        model_input_names=["input_ids", "attention_mask"],
    )
    return TextClassificationPipeline(model=model.eval(), tokenizer=tokenizer, device=-1)


def alternating(names: Sequence[Name], rounds: int) -> Iterator[tuple[int, Name]]:
    """Each name once a round, every other round backwards: a machine that slows down slows all of them."""
    for number in range(rounds):
        for name in names if number % 2 == 0 else names[::-1]:
            yield number, name


def build(family: str, folder: Path) -> Score:
    """The rival of one of FAMILIES, on one thread; of SHARED on all cores. folder: of the exported graphs."""
    if family.startswith("amends"):
        return amends("onnx" if family == "amends_onnx" else "cpu")
    if family.startswith("pipeline"):
        return transformers_pipeline(host().cores if family in SHARED else 1)
    if family in ("vader", "textblob"):
        return vader() if family == "vader" else textblob()
    if family.startswith("openvino"):
        return openvino(folder / "float.onnx", family.removeprefix("openvino_"))
    return onnx_runtime(folder / f"{family.removeprefix('onnx_')}.onnx")


def amends(engine: str) -> Score:
    """The scorer, as `amends predict` calls it; it makes its own batches. engine: see model.bundle.load_bundle."""
    from model.scorer import Scorer

    scorer = Scorer.load(engine=engine)
    scorer.open_exact()
    return lambda texts, batch: [s.label if s else "" for s in scorer.sentiment(texts)]


def transformers_pipeline(threads: int) -> Score:
    """The pipeline; a batch of 1 is its default."""
    import torch

    torch.set_num_threads(threads)
    pipe = pipeline()
    return lambda texts, batch: [one["label"] for one in pipe(list(texts), batch_size=batch)]


def onnx_runtime(graph: Path) -> Score:
    """ONNX Runtime with its default settings: batches in the order of the input, padded to their longest text."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    return plain(lambda ids, mask: session.run(None, {"input_ids": ids, "attention_mask": mask})[0])


def openvino(graph: Path, precision: str) -> Score:
    """OpenVINO with a float precision ("f32", "bf16"), batches as above."""
    from openvino import Core

    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": 1}
    compiled = Core().compile_model(str(graph), "CPU", settings)
    return plain(lambda ids, mask: compiled([ids, mask])[0])


def plain(run: Run) -> Score:
    """Padding in the order of the input around a graph from ids and mask to states, the usual way to use one."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    from model.bundle import manifest, sentiment_head
    from model.encoder import pad

    meta = manifest(RELEASED)
    special = meta["special"]["cls"], meta["special"]["sep"], meta["special"]["pad"]
    tokenizer = Tokenizer.from_file(str(RELEASED / "tokenizer.json"))
    head = sentiment_head(load_file(RELEASED / "heads.safetensors"))

    def score(texts: Sequence[str], batch: int) -> list[str]:
        labels: list[str] = []
        for start in range(0, len(texts), batch):
            encoded = tokenizer.encode_batch(list(texts[start : start + batch]), add_special_tokens=False)
            windows = [np.asarray(e.ids[: meta["max_tokens"]], dtype=np.int64) for e in encoded]
            states = run(*pad(windows, special))
            inner = [row[1 : len(window) + 1] for row, window in zip(states, windows, strict=True)]
            labels += [sentiment.label for sentiment in head.whole(inner)]
        return labels

    return score


def export(folder: Path) -> tuple[Path, Path]:
    """The float graph and its plain 8-bit form, without smoothing, as the two libraries make them by default."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from safetensors.torch import load_file

    from training.network import Network

    whole, small, made_of = folder / "float.onnx", folder / "8bit.onnx", folder / "weights.sha256"
    folder.mkdir(parents=True, exist_ok=True)
    weights_digest = file_digest(RELEASED / "weights.safetensors")
    if small.exists() and made_of.exists() and made_of.read_text(encoding="ascii") == weights_digest:
        return whole, small
    network = Network(str(RELEASED))
    weights = {name: value.float() for name, value in load_file(RELEASED / "weights.safetensors").items()}
    network.load_state_dict(weights)
    _export_float(network.eval(), whole)
    # Shapes noted by the exporter contradict the rewritten nodes and make the quantiser fail.
    graph = onnx.load(str(whole))
    del graph.graph.value_info[:]
    onnx.save(graph, str(folder / "stripped.onnx"))
    quantize_dynamic(folder / "stripped.onnx", small.with_suffix(".part"), weight_type=QuantType.QInt8)
    small.with_suffix(".part").rename(small)
    (folder / "stripped.onnx").unlink()
    made_of.write_text(weights_digest, encoding="ascii")
    return whole, small


def _export_float(network: Any, path: Path) -> None:
    """The encoder as PyTorch's exporter writes it: ids and mask (batch, tokens) -> states (batch, tokens, width)."""
    import torch

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> Any:
            return self.network.states(ids, mask)

    ids = torch.randint(1000, 2000, (2, 9))
    shape = {0: torch.export.Dim("batch", max=4096), 1: torch.export.Dim("tokens", max=512)}
    torch.onnx.export(
        States().eval(),
        (ids, torch.ones_like(ids)),
        str(path),
        dynamo=True,
        input_names=["input_ids", "attention_mask"],
        output_names=["states"],
        dynamic_shapes={"ids": shape, "mask": shape},
        external_data=False,
        verbose=False,
    )


def vader() -> Score:
    """VADER's compound score, cut at its authors' thresholds."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    return lambda texts, batch: [_label(analyzer.polarity_scores(text)["compound"]) for text in texts]


def textblob() -> Score:
    """TextBlob's polarity, cut at the same thresholds."""
    from textblob import TextBlob

    return lambda texts, batch: [_label(TextBlob(text).sentiment.polarity) for text in texts]


def _label(polarity: float) -> str:
    return "neutral" if abs(polarity) < LEXICON_MARGIN else "positive" if polarity > 0 else "negative"
