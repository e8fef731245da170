"""Labels texts with what trained networks make of them, so that a smaller network can learn more than a label says.

    python -m training.distil --runs RUN RUN --sentiment FILE --out soft.parquet

The mean of the networks' probabilities, mixed with the label where a text has one (Hinton et al. 2015), goes into the
columns negative, neutral and positive, which training.finetune learns from in place of the label. The networks may have
encoders and tokenizers of different kinds.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tqdm import tqdm

from model.codebook import SENTIMENT
from model.segment import tokenize
from training import data
from training.finetune import encode
from training.network import Network

# Of the label beside what the networks say: most labels were given by one person or a machine.
HARD = 0.3
TOKENS = 2800
WINDOW = 96
# A run of MPNet's kind has "[CLS]" among its words too, which its encoder never learnt.
SPECIAL = (("<s>", "</s>", "<pad>"), ("[CLS]", "[SEP]", "[PAD]"))


@torch.no_grad()
def probabilities(run: Path, texts: Sequence[str]) -> NDArray[np.float64]:
    """What the network of a run folder says of each text, (n, 3) in the order of SENTIMENT; thirds without a token."""
    network = Network(str(run))
    network.load_state_dict(load_file(run / "network.safetensors"))
    network.eval()
    tokenizer = Tokenizer.from_file(str(run / "tokenizer.json"))
    special = special_ids(tokenizer)
    tokenized = tokenize(list(texts), tokenizer, WINDOW)
    known = [i for i, t in enumerate(tokenized) if len(t.ids)]
    found = np.full((len(texts), len(SENTIMENT)), 1 / len(SENTIMENT))
    batches = data.by_length([tokenized[i].windows[0][1] for i in known], TOKENS, 0)
    for batch in tqdm(list(filter(None, batches)), file=sys.stderr, mininterval=10):
        rows = [known[b] for b in batch]
        states, layout = encode(network, [tokenized[i] for i in rows], special, first_window=True)
        found[rows] = network.sentiment_logits(states, layout).softmax(dim=-1).numpy()
    return found


def special_ids(tokenizer: Tokenizer) -> tuple[int, int, int]:
    """Class, separator and padding token of a tokenizer of BERT's or of RoBERTa's kind (MPNet's too).

    Raises ValueError where it is neither.
    """
    for names in SPECIAL:
        first, separator, padding = map(tokenizer.token_to_id, names)
        if first is not None and separator is not None and padding is not None:
            return first, separator, padding
    raise ValueError(f"the tokenizer has no special tokens as expected: {' or '.join(map(' '.join, SPECIAL))}")


def mixed(said: NDArray[np.float64], labels: Sequence[str | None], hard: float = HARD) -> NDArray[np.float64]:
    """Probabilities (n, 3) with `hard` parts of the label, where there is one."""
    result = said.copy()
    for row, label in enumerate(labels):
        if label is not None:
            result[row] *= 1 - hard
            result[row, data.checked_label(row, label)] += hard
    return result


def examples(
    files: Iterable[str], cap: int | None, caps: dict[str, int], seed: int
) -> list[tuple[str, str | None, str]]:
    """Text, label and source of rows of the files, drawn as training.finetune draws them. Labels may be missing."""
    chosen = []
    for file in files:
        rows = data.load(file)
        if "label" not in rows.column_names:
            taken = data.drawn(rows.add_column("label", [SENTIMENT[0]] * len(rows)), cap=cap, caps=caps, seed=seed)
            labels: list[str | None] = [None] * len(rows)
        else:
            taken, labels = data.drawn(rows, cap=cap, caps=caps, seed=seed), list(rows["label"])
        texts = list(rows["text"])
        sources = list(rows["source"]) if "source" in rows.column_names else ["all"] * len(rows)
        chosen += [(texts[i], labels[i], sources[i]) for i in taken]
    return chosen


def write(rows: Sequence[tuple[str, str | None, str]], soft: NDArray[np.float64], out: Path) -> None:
    """Rows with their probabilities; a text without a label gets the likeliest one."""
    best = [SENTIMENT[i] for i in soft.argmax(axis=1)]
    columns: dict[str, object] = {
        "text": [text for text, _, _ in rows],
        "label": [label or likely for (_, label, _), likely in zip(rows, best, strict=True)],
        "source": [source for _, _, source in rows],
        **{name: soft[:, i].astype(np.float32) for i, name in enumerate(SENTIMENT)},
    }
    pq.write_table(pa.table(columns), out)


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", required=True, nargs="+", type=Path, help="folders written by training.finetune")
    parser.add_argument("--sentiment", required=True, nargs="+", help="files: text, optional label and source")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--cap", type=int, help="most texts of a source")
    parser.add_argument("--cap-of", type=data.source_cap, default=[], nargs="+", metavar="SOURCE=N", help="other caps")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    rows = examples(a.sentiment, a.cap, dict(a.cap_of), a.seed)
    texts = [text for text, _, _ in rows]
    said = np.mean([probabilities(run, texts) for run in a.runs], axis=0)
    write(rows, mixed(said, [label for _, label, _ in rows]), a.out)
    print(f"{a.out}: {len(rows)} texts")


if __name__ == "__main__":
    main()
