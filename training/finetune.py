"""Fine-tunes the encoder with the sentiment and the conduct head in turns.

    python -m training.finetune --base MODEL --sentiment FILE --conduct FILE --out DIR

Writes network.safetensors, the tokenizer and configuration of the base model, and record.json. A run that was killed
goes on from its last checkpoint when the same command is given again.
"""

import argparse
import json
import platform
import random
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import AutoConfig, AutoTokenizer

from model.codebook import DOCUMENT_FIELDS
from model.segment import TokenizedText
from training import data
from training.network import Layout, Network


@dataclass(frozen=True)
class Options:
    """What a run is defined by; it is written to the record.

    tokens: tokens in a batch, padding counted. cap: texts taken of each sentiment source.
    decay: learning rate of each layer relative to the one above it.
    """

    base: str
    sentiment: str
    conduct: tuple[str, ...]
    conduct_epochs: int = 6
    cap: int = 8000
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


def plan(sentiment: list[data.SentimentExample], conduct: list[data.ConductExample], o: Options) -> list[Step]:
    """All batches of a run in their order, which depends on the seed alone: a resumed run goes on in the same one."""
    firsts = [_first_window(e.text) for e in sentiment]
    steps = [Step("sentiment", b) for b in data.by_length(firsts, o.tokens, o.seed)]
    for epoch in range(o.conduct_epochs):
        texts = [e.text for e in conduct]
        steps += [Step("conduct", b) for b in data.by_length(texts, o.tokens, o.seed + 1 + epoch)]
    random.Random(o.seed).shuffle(steps)
    return steps


def _first_window(text: TokenizedText) -> TokenizedText:
    end = text.windows[0][1]
    return TokenizedText(text.ids[:end], text.offsets[:end], text.sentences, text.token_spans, ((0, end),))


def encode(
    network: Network, texts: list[TokenizedText], special: tuple[int, int, int], *, first_window: bool
) -> tuple[Tensor, Layout]:
    """Token states of a batch in float32, computed in bfloat16, and where they belong."""
    ids, mask, layout = data.collate(texts, special, first_window=first_window)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = network.states(ids, mask)
    return states.float(), layout


def sentiment_loss(
    network: Network, examples: list[data.SentimentExample], special: tuple[int, int, int], smoothing: float
) -> Tensor:
    """Cross entropy with smoothed labels: several sources were labelled by machines."""
    states, layout = encode(network, [e.text for e in examples], special, first_window=True)
    labels = torch.tensor([e.label for e in examples])
    return F.cross_entropy(network.sentiment_logits(states, layout), labels, label_smoothing=smoothing)


def conduct_loss(network: Network, examples: list[data.ConductExample], special: tuple[int, int, int]) -> Tensor:
    """Sentence, token and document losses of a batch, summed."""
    states, layout = encode(network, [e.text for e in examples], special, first_window=False)
    tokens, sentences, documents = network.conduct_logits(states, layout)
    token_labels = torch.cat([torch.from_numpy(e.token_labels) for e in examples])
    sentence_labels = torch.cat([torch.from_numpy(e.sentence_labels) for e in examples])
    inside = layout.text.flatten() >= 0
    # Sums over labels, means over rows: a rare cue counts as much as a frequent one.
    loss = F.binary_cross_entropy_with_logits(sentences, sentence_labels, reduction="none").sum(-1).mean()
    loss = loss + F.binary_cross_entropy_with_logits(tokens[inside], token_labels, reduction="none").sum(-1).mean()
    parts = documents.split([len(v) for v in DOCUMENT_FIELDS.values()], dim=-1)
    for field, part in zip(DOCUMENT_FIELDS, parts, strict=True):
        target = torch.tensor([e.fields[field] for e in examples])
        if (target >= 0).any():
            loss = loss + 0.3 * F.cross_entropy(part, target, ignore_index=-1)
    return loss


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
    """A network with new heads, the same for the same seed, and its optimiser."""
    torch.manual_seed(o.seed)
    network = Network.pretrained(o.base)
    return network, torch.optim.AdamW(parameter_groups(network, o), fused=True)


def train(
    network: Network,
    optimizer: torch.optim.Optimizer,
    steps: list[Step],
    sentiment: list[data.SentimentExample],
    conduct: list[data.ConductExample],
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
            loss = sentiment_loss(network, [sentiment[i] for i in step.indices], special, o.smoothing)
        else:
            loss = conduct_loss(network, [conduct[i] for i in step.indices], special)
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


def run(o: Options, out: Path) -> Path:
    """Trains from the beginning or the last checkpoint; returns the folder with the trained network."""
    out.mkdir(parents=True, exist_ok=True)
    hf = AutoTokenizer.from_pretrained(o.base)
    hf.backend_tokenizer.no_truncation()
    hf.backend_tokenizer.no_padding()
    hf.backend_tokenizer.save(str(out / "tokenizer.json"))
    AutoConfig.from_pretrained(o.base).save_pretrained(out)
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    special = (hf.cls_token_id, hf.sep_token_id, hf.pad_token_id)
    rows = data.load(o.sentiment)
    sentiment = data.sentiment_examples(rows, tokenizer, max_tokens=o.sentiment_tokens, cap=o.cap, seed=o.seed)
    conduct = [e for p in o.conduct for e in data.conduct_examples(Path(p), tokenizer, max_tokens=o.conduct_tokens)]
    held = hold_out(conduct, o.held_out, o.seed)
    conduct = [e for e in conduct if e.id not in held]
    steps = plan(sentiment, conduct, o)
    network, optimizer = begin(o)
    done = load_checkpoint(out / "checkpoint", network, optimizer)
    started = time.time()
    losses: dict[str, list[float]] = {"sentiment": [], "conduct": []}
    curve: list[dict[str, float]] = []
    progress = tqdm(total=len(steps), initial=done, file=sys.stderr, mininterval=10)
    for number, task, loss in train(network, optimizer, steps, sentiment, conduct, special, o, done):
        losses[task].append(loss)
        progress.update()
        if number % 200 == 0 or number == len(steps):
            curve.append({"step": number, **{k: sum(v) / len(v) for k, v in losses.items() if v}})
            progress.set_postfix(curve[-1])
            losses = {"sentiment": [], "conduct": []}
        if number % 500 == 0:
            save_checkpoint(out / "checkpoint", network, optimizer, number)
    save_file(network.state_dict(), out / "network.safetensors")
    record = {
        "options": asdict(o),
        "sentiment_examples": len(sentiment),
        "conduct_documents": len(conduct),
        "held_out": sorted(held),
        "steps": len(steps),
        "resumed_at": done,
        "seconds": round(time.time() - started),
        "data_sha256": data.digest([Path(o.sentiment), *map(Path, o.conduct)]),
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
    parser.add_argument("--sentiment", required=True, help="file or hub data set with text, label, source")
    parser.add_argument("--conduct", required=True, nargs="+", help="annotated documents, JSON lines")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--cap", type=int, default=Options.cap)
    parser.add_argument("--conduct-epochs", type=int, default=Options.conduct_epochs)
    parser.add_argument("--seed", type=int, default=Options.seed)
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    options = Options(a.base, a.sentiment, tuple(a.conduct), cap=a.cap, conduct_epochs=a.conduct_epochs, seed=a.seed)
    print(run(options, a.out))


if __name__ == "__main__":
    main()
