"""Fine-tunes the encoder with its heads in turns: sentiment of texts and sentences, towards a target, conduct.

    python -m training.finetune --base MODEL --sentiment FILE --targets FILE --conduct FILE --dev FILE --out DIR

Writes network.safetensors, the tokenizer and configuration of the base model, and record.json. A run that was killed
goes on from its last checkpoint when the same command is given again. With --dev the weights of the best development
score are kept, and --patience ends a run that no longer gains.
"""

import argparse
import json
import platform
import random
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import f1_score
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import AutoConfig, AutoTokenizer

from model.codebook import DOCUMENT_FIELDS, SENTIMENT
from model.segment import TokenizedText
from training import data
from training.emoji import read_emoji
from training.network import Layout, Network, peak_by, quick

# Weight of "not said here" for a sentence where another one of its text is quoted for the same label.
REPEATED = 0.3
# Weight of what a whole text says beside what its sentences say: a text has more labels than a sentence.
WHOLE = 0.3
# By which the logits of two texts in order should differ at least.
MARGIN = 0.5


@dataclass(frozen=True)
class Options:
    """What a run is defined by; it is written to the record.

    start: folder of an earlier run to go on from instead of new heads on base.
    sentiment: any number of files or hub data sets. without: files whose texts are kept for evaluation.
    cap: texts taken of each sentiment source; caps: (source, other cap) pairs.
    passages: files of texts with labelled sentences, read in their context; passage_windows: most windows of each file,
    of passage_tokens tokens, as many as the encoder gets when it is used.
    orders: files of pairs of texts of which one is kinder; order_pairs: most pairs of each file.
    evaluate_every: steps between two looks at the development score, over dev_texts of its texts. patience: looks
    without a gain that end the run; 0 for never.
    tokens: tokens in a batch, padding counted. decay: learning rate of each layer relative to the one above it.
    """

    base: str
    sentiment: tuple[str, ...]
    conduct: tuple[str, ...]
    targets: tuple[str, ...] = ()
    passages: tuple[str, ...] = ()
    passage_windows: int | None = None
    passage_tokens: int = 126
    orders: tuple[str, ...] = ()
    order_pairs: int | None = None
    start: str | None = None
    dev: str | None = None
    without: tuple[str, ...] = ()
    conduct_epochs: int = 6
    cap: int = 8000
    caps: tuple[tuple[str, int], ...] = ()
    evaluate_every: int = 500
    dev_texts: int = 1500
    patience: int = 0
    sentiment_tokens: int = 96
    conduct_tokens: int = 256
    tokens: int = 1400
    rate: float = 8e-5
    head_rate: float = 1e-3
    decay: float = 0.92
    smoothing: float = 0.05
    seed: int = 7
    held_out: int = 160


@dataclass(frozen=True)
class Step:
    """One batch: the task and the indices of its examples."""

    task: str
    indices: list[int]


@dataclass(frozen=True)
class Examples:
    """What a run learns from, by task. held_out: ids of the annotated documents that it leaves out."""

    sentiment: list[data.SentimentExample]
    target: list[data.TargetExample]
    conduct: list[data.ConductExample]
    passage: list[data.PassageExample] = field(default_factory=list)
    order: list[data.OrderExample] = field(default_factory=list)
    held_out: frozenset[str] = frozenset()


def examples_of(o: Options, tokenizer: Tokenizer) -> Examples:
    """Reads and draws the examples of a run; the same for the same options."""
    kept_back = frozenset(data.normalised(t) for f in o.without for t in data.load(f)["text"])
    size = o.sentiment_tokens

    def chosen(rows: Any) -> list[int]:
        return data.drawn(rows, cap=o.cap, caps=dict(o.caps), without=kept_back, seed=o.seed)

    sources = [data.load(f) for f in o.sentiment]
    sentiment = [e for r in sources for e in data.sentiment_examples(r, tokenizer, chosen(r), max_tokens=size)]
    pairs = [data.load(f) for f in o.targets]
    targets = [e for r in pairs for e in data.target_examples(r, tokenizer, chosen(r), max_tokens=size)]
    conduct = [e for p in o.conduct for e in data.conduct_examples(Path(p), tokenizer, max_tokens=o.conduct_tokens)]
    limits: dict[str, Any] = {"max_tokens": o.passage_tokens, "cap": o.passage_windows, "seed": o.seed}
    passages = [e for p in o.passages for e in data.passage_examples(Path(p), tokenizer, **limits)]
    # What an earlier run left out must stay unseen by the runs that go on from it.
    held = set(_record(o.start)["held_out"]) if o.start else hold_out(conduct, o.held_out, o.seed)
    limits = {"max_tokens": size, "cap": o.order_pairs, "seed": o.seed}
    orders = [e for p in o.orders for e in data.order_examples(Path(p), tokenizer, **limits)]
    return Examples(sentiment, targets, [e for e in conduct if e.id not in held], passages, orders, frozenset(held))


def _record(folder: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((Path(folder) / "record.json").read_text())
    return record


def plan(examples: Examples, o: Options) -> list[Step]:
    """All batches of a run in their order, which depends on the seed alone: a resumed run goes on in the same one."""
    firsts = [e.text.windows[0][1] for e in examples.sentiment]
    steps = [Step("sentiment", b) for b in data.by_length(firsts, o.tokens, o.seed)]
    pairs = [len(e.ids) for e in examples.target]
    steps += [Step("target", b) for b in data.by_length(pairs, o.tokens, o.seed) if b]
    windows = [len(e.ids) for e in examples.passage]
    steps += [Step("passage", b) for b in data.by_length(windows, o.tokens, o.seed) if b]
    longer = [max(len(e.lower.ids), len(e.higher.ids)) for e in examples.order]
    # Half of the tokens: both texts of a pair are read.
    steps += [Step("order", b) for b in data.by_length(longer, o.tokens // 2, o.seed) if b]
    for epoch in range(o.conduct_epochs):
        lengths = [len(e.text.ids) for e in examples.conduct]
        steps += [Step("conduct", b) for b in data.by_length(lengths, o.tokens, o.seed + 1 + epoch)]
    random.Random(o.seed).shuffle(steps)
    return steps


def encode(
    network: Network, texts: list[TokenizedText], special: tuple[int, int, int], *, first_window: bool
) -> tuple[Tensor, Layout]:
    """Token states of a batch in float32, and where they belong."""
    ids, mask, layout = data.collate(texts, special, first_window=first_window)
    return states_of(network, ids, mask), layout


def states_of(network: Network, ids: Tensor, mask: Tensor) -> Tensor:
    """Token states in float32."""
    with quick():
        states = network.states(ids, mask)
    return states.float()


def sentiment_loss(
    network: Network, examples: list[data.SentimentExample], special: tuple[int, int, int], smoothing: float
) -> Tensor:
    """Cross entropy with probabilities where an example has them, elsewhere with smoothed labels: several sources were
    labelled by machines.
    """
    states, layout = encode(network, [e.text for e in examples], special, first_window=True)
    plain = F.one_hot(torch.tensor([e.label for e in examples]), len(SENTIMENT)) * (1 - smoothing)
    targets = plain + smoothing / len(SENTIMENT)
    for row, example in enumerate(examples):
        if example.soft:
            targets[row] = torch.tensor(example.soft)
    return F.cross_entropy(network.sentiment_logits(states, layout), targets)


def target_loss(
    network: Network, examples: list[data.TargetExample], special: tuple[int, int, int], smoothing: float
) -> Tensor:
    """As sentiment_loss, towards the target of each text."""
    ids, mask, layout = data.collate_targets(examples, special)
    labels = torch.tensor([e.label for e in examples])
    logits = network.target_logits(states_of(network, ids, mask), layout)
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def passage_loss(
    network: Network, examples: list[data.PassageExample], special: tuple[int, int, int], smoothing: float
) -> Tensor:
    """As sentiment_loss, for the labelled sentences of longer texts: the words around them are read and not judged."""
    ids, mask, layout = data.collate_passages(examples, special)
    labels = torch.tensor([label for e in examples for label in e.labels])
    logits = network.sentiment_logits(states_of(network, ids, mask), layout)
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def order_loss(network: Network, examples: list[data.OrderExample], special: tuple[int, int, int]) -> Tensor:
    """Pairwise logistic loss (Burges et al. 2005, RankNet) with a margin, on how much likelier praise is than blame."""
    texts = [e.lower for e in examples] + [e.higher for e in examples]
    states, layout = encode(network, texts, special, first_window=True)
    logits = network.sentiment_logits(states, layout)
    lower, higher = (logits[:, SENTIMENT.index("positive")] - logits[:, SENTIMENT.index("negative")]).chunk(2)
    return F.softplus(MARGIN - (higher - lower)).mean()


def conduct_loss(network: Network, examples: list[data.ConductExample], special: tuple[int, int, int]) -> Tensor:
    """Token and sentence losses, and what the texts as a whole say, of a batch, summed."""
    states, layout = encode(network, [e.text for e in examples], special, first_window=False)
    tokens, sentences, documents = network.conduct_logits(states, layout)
    token_labels = torch.cat([torch.from_numpy(e.token_labels) for e in examples])
    sentence_labels = torch.cat([torch.from_numpy(e.sentence_labels) for e in examples])
    inside = layout.text.flatten() >= 0
    text_labels, weights = of_whole_texts(sentence_labels, layout.sentence_text, layout.n_texts)
    # Sums over labels, means over rows: a rare cue counts as much as a frequent one.
    loss = _summed_loss(sentences, sentence_labels, weights)
    loss = loss + _summed_loss(tokens[inside], token_labels, weights[layout.sentence.flatten()[inside]])
    texts = peak_by(sentences, layout.sentence_text, layout.n_texts)
    loss = loss + WHOLE * _summed_loss(texts, text_labels, torch.ones_like(text_labels))
    parts = documents.split([len(v) for v in DOCUMENT_FIELDS.values()], dim=-1)
    for name, part in zip(DOCUMENT_FIELDS, parts, strict=True):
        target = torch.tensor([e.fields[name] for e in examples])
        if (target >= 0).any():
            loss = loss + 0.3 * F.cross_entropy(part, target, ignore_index=-1)
    return loss


def of_whole_texts(sentence_labels: Tensor, sentence_text: Tensor, n_texts: int) -> tuple[Tensor, Tensor]:
    """What the texts say as a whole, and how much each entry of the sentence labels counts.

    sentence_labels (n_sentences, labels), sentence_text (n_sentences,) -> (n_texts, labels), (n_sentences, labels).
    Annotators quote a cue where it is said best: another sentence that says it too is no counterexample.
    """
    none = torch.zeros(n_texts, sentence_labels.shape[1])
    text_labels = (none.index_add(0, sentence_text, sentence_labels) > 0).float()
    repeats = (text_labels[sentence_text] > 0) & (sentence_labels == 0)
    return text_labels, torch.where(repeats, REPEATED, 1.0)


def _summed_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    losses = F.binary_cross_entropy_with_logits(logits, labels, weight=weights, reduction="none")
    return losses.sum(-1).mean()


def parameter_groups(network: Network, o: Options) -> list[dict[str, object]]:
    """Heads learn fast, the top layer at the base rate, every layer below by `decay` slower."""
    depth = network.encoder.config.num_hidden_layers
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not name.startswith("encoder."):
            rate = o.head_rate
        elif ".layer." in name:
            rate = o.rate * o.decay ** (depth - 1 - int(name.split(".layer.")[1].split(".")[0]))
        else:
            rate = o.rate * o.decay**depth
        groups.setdefault(rate, []).append(parameter)
    return [{"params": p, "lr": rate, "weight_decay": 0.01} for rate, p in groups.items()]


def save_checkpoint(folder: Path, network: Network, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Weights, optimiser state and step, written beside the last checkpoint and then put in its place."""
    fresh = folder.with_suffix(".new")
    fresh.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), fresh / "network.safetensors")
    state = optimizer.state_dict()["state"]
    save_file({f"{i}.{k}": v for i, s in state.items() for k, v in s.items()}, fresh / "optimizer.safetensors")
    (fresh / "step.json").write_text(json.dumps({"step": step}))
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def load_checkpoint(folder: Path, network: Network, optimizer: torch.optim.Optimizer) -> int:
    """Restores the last checkpoint, if there is one; returns the number of steps done."""
    if not (folder / "step.json").is_file():
        return 0
    network.load_state_dict(load_file(folder / "network.safetensors"))
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in load_file(folder / "optimizer.safetensors").items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return int(json.loads((folder / "step.json").read_text())["step"])


def rate_factor(number: int, total: int) -> float:
    """Share of the learning rate at step `number` of `total`, from 1: a sixteenth of the run to rise, then to 0."""
    rise = max(total // 16, 1)
    return number / rise if number <= rise else (total - number) / max(total - rise, 1)


def begin(o: Options) -> tuple[Network, torch.optim.Optimizer]:
    """A network with new heads, the same for the same seed, or one that goes on from `start`; and its optimiser."""
    torch.manual_seed(o.seed)
    network = Network.pretrained(o.base)
    if o.start:
        earlier = load_file(Path(o.start) / "network.safetensors")
        missing, unknown = network.load_state_dict(earlier, strict=False)
        if unknown or any(name.startswith("encoder.") for name in missing):
            raise ValueError(f"{o.start} does not fit {o.base}: missing {missing}, unknown {unknown}")
    return network, torch.optim.AdamW(parameter_groups(network, o), fused=True)


def train(
    network: Network,
    optimizer: torch.optim.Optimizer,
    steps: list[Step],
    examples: Examples,
    special: tuple[int, int, int],
    o: Options,
    done: int,
) -> Iterator[tuple[int, str, float]]:
    """Runs the steps after `done` and yields (steps done, task, loss) after each."""
    rates = [group["lr"] for group in optimizer.param_groups]
    network.train()
    for number, step in enumerate(steps[done:], start=done + 1):
        torch.manual_seed(o.seed + number)
        if step.task == "sentiment":
            loss = sentiment_loss(network, [examples.sentiment[i] for i in step.indices], special, o.smoothing)
        elif step.task == "target":
            loss = target_loss(network, [examples.target[i] for i in step.indices], special, o.smoothing)
        elif step.task == "order":
            loss = order_loss(network, [examples.order[i] for i in step.indices], special)
        elif step.task == "passage":
            loss = passage_loss(network, [examples.passage[i] for i in step.indices], special, o.smoothing)
        else:
            loss = conduct_loss(network, [examples.conduct[i] for i in step.indices], special)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * rate_factor(number, len(steps))
        optimizer.step()
        optimizer.zero_grad()
        yield number, step.task, loss.item()


def hold_out(examples: list[data.ConductExample], count: int, seed: int) -> set[str]:
    """Ids of the documents that training leaves out so that thresholds can be chosen on them."""
    ids = sorted(e.id for e in examples)
    random.Random(seed).shuffle(ids)
    return set(ids[:count])


@torch.no_grad()
def dev_score(network: Network, dev: list[data.SentimentExample], special: tuple[int, int, int], o: Options) -> float:
    """Macro F1 of the sentiment head over development texts, in [0, 1]."""
    network.eval()
    found = np.zeros(len(dev), dtype=np.int64)
    for batch in data.by_length([e.text.windows[0][1] for e in dev], o.tokens, o.seed):
        states, layout = encode(network, [dev[i].text for i in batch], special, first_window=True)
        found[batch] = network.sentiment_logits(states, layout).argmax(dim=-1).numpy()
    network.train()
    return float(f1_score([e.label for e in dev], found, average="macro", zero_division=0))


class Best:
    """The weights with the best development score so far, kept on disk beside the checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.weights, self._note = folder / "best.safetensors", folder / "best.json"
        stored = json.loads(self._note.read_text()) if self._note.is_file() else {"score": -1.0, "since": 0}
        self.score, self.since = float(stored["score"]), int(stored["since"])

    def see(self, network: Network, score: float) -> None:
        """Keeps the weights if the score is the best; `since` counts the scores seen after it."""
        better = score > self.score
        self.score, self.since = (score, 0) if better else (self.score, self.since + 1)
        if better:
            save_file(network.state_dict(), self.weights)
        self._note.write_text(json.dumps({"score": self.score, "since": self.since}))


def prepare(o: Options, out: Path) -> tuple[Tokenizer, tuple[int, int, int]]:
    """Writes tokenizer and configuration of the run; returns the tokenizer and its class, separator and padding ids."""
    out.mkdir(parents=True, exist_ok=True)
    hf = AutoTokenizer.from_pretrained(o.base)
    hf.backend_tokenizer.no_truncation()
    hf.backend_tokenizer.no_padding()
    hf.backend_tokenizer.save(str(out / "tokenizer.json"))
    backend = Tokenizer.from_str(hf.backend_tokenizer.to_str())
    read_emoji(backend)
    backend.save(str(out / "tokenizer.json"))
    AutoConfig.from_pretrained(o.base).save_pretrained(out)
    return backend, (hf.cls_token_id, hf.sep_token_id, hf.pad_token_id)


def run(o: Options, out: Path) -> Path:
    """Trains from the beginning or the last checkpoint; returns the folder with the trained network."""
    tokenizer, special = prepare(o, out)
    examples = examples_of(o, tokenizer)
    dev: list[data.SentimentExample] = []
    if o.dev:
        rows = data.load(o.dev)
        some = data.drawn(rows, seed=o.seed)[: o.dev_texts]
        dev = data.sentiment_examples(rows, tokenizer, some, max_tokens=o.sentiment_tokens)
    steps = plan(examples, o)
    network, optimizer = begin(o)
    done = load_checkpoint(out / "checkpoint", network, optimizer)
    best = Best(out)
    started = time.time()
    losses: dict[str, list[float]] = {}
    curve: list[dict[str, float]] = []
    last = done
    progress = tqdm(total=len(steps), initial=done, file=sys.stderr, mininterval=10)
    for number, task, loss in train(network, optimizer, steps, examples, special, o, done):
        losses.setdefault(task, []).append(loss)
        last = number
        progress.update()
        look = bool(dev) and (number % o.evaluate_every == 0 or number == len(steps))
        if number % 200 == 0 or number == len(steps) or look:
            curve.append({"step": number, **{k: sum(v) / len(v) for k, v in losses.items()}})
            losses = {}
            if look:
                curve[-1]["dev_macro_f1"] = dev_score(network, dev, special, o)
                best.see(network, curve[-1]["dev_macro_f1"])
            progress.set_postfix(curve[-1])
        if number % 500 == 0:
            save_checkpoint(out / "checkpoint", network, optimizer, number)
        if o.patience and best.since >= o.patience:
            break
    if best.weights.is_file():
        network.load_state_dict(load_file(best.weights))
    save_file(network.state_dict(), out / "network.safetensors")
    files = (*o.sentiment, *o.targets, *o.passages, *o.orders, *o.conduct)
    record = {
        "options": asdict(o),
        "sentiment_examples": len(examples.sentiment),
        "target_examples": len(examples.target),
        "passage_windows": len(examples.passage),
        "order_pairs": len(examples.order),
        "conduct_documents": len(examples.conduct),
        "held_out": sorted(examples.held_out),
        "steps": last,
        "planned_steps": len(steps),
        "resumed_at": done,
        "seconds": round(time.time() - started),
        # A hub data set is known by its id; only files can be digested.
        "data_sha256": data.digest([Path(f) for f in files if Path(f).is_file()]),
        "start": _record(o.start) if o.start else None,
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "machine": {"processor": platform.machine(), "threads": torch.get_num_threads()},
        "curve": curve,
    }
    (out / "record.json").write_text(json.dumps(record, indent=1))
    return out


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="folder or hub id of the pretrained encoder")
    parser.add_argument("--sentiment", required=True, nargs="+", help="files or hub data sets: text, label, source")
    parser.add_argument("--targets", default=[], nargs="+", help="the same with a column target")
    parser.add_argument("--passages", default=[], nargs="+", help="JSON lines: text, marks [[start, end, label], ...]")
    parser.add_argument("--passage-windows", type=int, metavar="N", help="most windows of each file of passages")
    parser.add_argument("--orders", default=[], nargs="+", help="JSON lines: lower, higher (the kinder of two texts)")
    parser.add_argument("--order-pairs", type=int, metavar="N", help="most pairs of each file of orders")
    parser.add_argument("--conduct", required=True, nargs="+", help="annotated documents, JSON lines")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--start", help="folder of an earlier run to go on from")
    parser.add_argument("--dev", help="development texts; the weights that score best on them are kept")
    parser.add_argument("--without", default=[], nargs="+", help="files whose texts are kept for evaluation")
    parser.add_argument("--cap", type=int, default=Options.cap, help="most texts of a source")
    parser.add_argument("--cap-of", type=data.source_cap, default=[], nargs="+", metavar="SOURCE=N", help="other caps")
    parser.add_argument("--sentiment-tokens", type=int, default=Options.sentiment_tokens, help="read of each text")
    parser.add_argument("--conduct-epochs", type=int, default=Options.conduct_epochs)
    parser.add_argument("--rate", type=float, default=Options.rate, help="learning rate of the top layer")
    parser.add_argument("--head-rate", type=float, default=Options.head_rate)
    parser.add_argument("--evaluate-every", type=int, default=Options.evaluate_every, metavar="STEPS")
    parser.add_argument("--patience", type=int, default=Options.patience, metavar="LOOKS")
    parser.add_argument("--seed", type=int, default=Options.seed)
    parser.add_argument("--threads", type=int, default=1)
    given = vars(parser.parse_args())
    torch.set_num_threads(given.pop("threads"))
    out, caps = given.pop("out"), given.pop("cap_of")
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    print(run(Options(**fields, caps=tuple(caps)), out))


if __name__ == "__main__":
    main()
