"""The network that is trained: one encoder and the heads that read its token states."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from model.codebook import DOCUMENT_FIELDS, SENTENCE_LABELS, SENTIMENT
from model.host import host


@cache
def has_bfloat() -> bool:
    """Whether this processor multiplies bfloat16: where it doesn't, they take eleven times as long as floats."""
    return host().bfloat is not None


def quick() -> torch.autocast:
    """What is computed inside is computed in bfloat16 where that is faster, and in floats elsewhere."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_bfloat())


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a padded batch of windows belong.

    text: index of the text, -1 for special tokens and padding. Shape (n_windows, n_tokens).
    sentence: index of the sentence counted over the whole batch, -1 as above. Same shape.
    n_texts, n_sentences: how many of each the batch holds.
    sentence_text: index of the text of each sentence. Shape (n_sentences,).
    """

    text: Tensor
    sentence: Tensor
    n_texts: int
    n_sentences: int
    sentence_text: Tensor


def mean_by(states: Tensor, index: Tensor, count: int) -> Tensor:
    """Means of the rows of states by index; rows with index -1 are left out, empty groups are zero.

    states (n, width), index (n,) -> (count, width).
    """
    keep = index >= 0
    sums = states.new_zeros(count, states.shape[-1]).index_add(0, index[keep], states[keep])
    sizes = states.new_zeros(count).index_add(0, index[keep], torch.ones_like(index[keep], dtype=states.dtype))
    return sums / sizes.clamp(min=1).unsqueeze(-1)


def peak_by(logits: Tensor, index: Tensor, count: int) -> Tensor:
    """Average of logits by index, each weighted by its own exponential: a maximum that all tokens can learn from.

    logits (n, labels), index (n,) -> (count, labels).
    """
    keep = index >= 0
    kept, groups = logits[keep], index[keep]
    weights = kept.clamp(-30, 30).exp()
    total = kept.new_zeros(count, kept.shape[-1]).index_add(0, groups, weights)
    weighted = kept.new_zeros(count, kept.shape[-1]).index_add(0, groups, weights * kept)
    return weighted / total.clamp(min=1e-13)


class Network(nn.Module):
    """Encoder with heads: sentiment, sentiment towards a target, cues by sentence, role and failure and stance by text.

    base: folder or hub id of a pretrained BERT-type encoder.
    """

    def __init__(self, base: str) -> None:
        super().__init__()
        self.encoder = AutoModel.from_config(AutoConfig.from_pretrained(base), add_pooling_layer=False)
        width = int(self.encoder.config.hidden_size)
        self.dropout = nn.Dropout(0.1)
        self.sentiment = nn.Linear(width, len(SENTIMENT))
        self.target = nn.Linear(width, len(SENTIMENT))
        self.cue_token = nn.Linear(width, len(SENTENCE_LABELS))
        self.cue_context = nn.Linear(width, len(SENTENCE_LABELS))
        self.document = nn.Linear(width, sum(map(len, DOCUMENT_FIELDS.values())))
        # Cues are rare: starting from their base rate spares the first epoch.
        nn.init.constant_(self.cue_token.bias, -3.0)

    @classmethod
    def pretrained(cls, base: str) -> "Network":
        """A network whose encoder has the weights of base and whose heads are new."""
        network = cls(base)
        network.encoder = AutoModel.from_pretrained(base, add_pooling_layer=False).float()
        return network

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token states, (n_windows, n_tokens) -> (n_windows, n_tokens, width)."""
        hidden: Tensor = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return hidden

    def sentiment_logits(self, states: Tensor, layout: Layout) -> Tensor:
        """(n_texts, 3), in the order of SENTIMENT."""
        vectors = mean_by(states.flatten(0, 1), layout.text.flatten(), layout.n_texts)
        logits: Tensor = self.sentiment(self.dropout(vectors))
        return logits

    def target_logits(self, states: Tensor, layout: Layout) -> Tensor:
        """(n_texts, 3), in the order of SENTIMENT, towards the target whose tokens the layout marks."""
        vectors = mean_by(states.flatten(0, 1), layout.text.flatten(), layout.n_texts)
        logits: Tensor = self.target(self.dropout(vectors))
        return logits

    def conduct_logits(self, states: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
        """Token logits (n_windows * n_tokens, labels), sentence logits (n_sentences, labels), document logits."""
        flat = self.dropout(states.flatten(0, 1))
        tokens = self.cue_token(flat)
        groups = layout.sentence.flatten()
        means = mean_by(flat, groups, layout.n_sentences)
        sentences = peak_by(tokens, groups, layout.n_sentences) + self.cue_context(means)
        documents = self.document(mean_by(flat, layout.text.flatten(), layout.n_texts))
        return tokens, sentences, documents
