"""Texts to measure speed on: own sentences joined and cut to a stated distribution of lengths; nothing from outside.

The lengths are log-normal, the median and spread those of comments and tweets. What is measured is time alone, so the
texts need to look like comments to tokenizer and encoder, and to make sense to nobody.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

from model.types import Thread, Utterance

RELEASED = Path(__file__).parents[1] / "model" / "released"
TEXTS = Path(__file__).parents[1] / "training" / "texts" / "sentiment.jsonl"
MEDIAN, SIGMA = 22, 0.7
SHORTEST, LONGEST = 3, 250
# A text that grew past its length is cut by whole words; this much longer is close enough.
SLACK = 1


class Mix:
    """Draws texts. The same seed gives the same texts, and texts of two seeds are hardly ever the same."""

    def __init__(self, tokenizer: Tokenizer, source: Path = TEXTS) -> None:
        sentences = [json.loads(line)["text"].split() for line in source.read_text(encoding="utf-8").splitlines()]
        words = sorted({word for sentence in sentences for word in sentence})
        encoded = tokenizer.encode_batch(words, add_special_tokens=False)
        self._cost = {word: len(e.ids) for word, e in zip(words, encoded, strict=True)}
        self._sentences = sentences

    def tokens(self, text: str) -> int:
        """Tokens of a text, special ones not counted."""
        return sum(self._cost[word] for word in text.split(" "))

    def texts(self, number: int, seed: object, *, tokens: int | None = None) -> list[str]:
        """So many texts, of lengths as stated above or of about `tokens` tokens each."""
        draw = random.Random(f"{seed} {tokens}")
        return [self._text(draw, tokens or length(draw)) for _ in range(number)]

    def threads(self, number: int, seed: object) -> list[Thread]:
        """So many threads of 50 comments."""
        made = [self.texts(50, f"{seed} {n}") for n in range(number)]
        return [Thread("warm", tuple(Utterance(str(i), t) for i, t in enumerate(texts))) for texts in made]

    def _text(self, draw: random.Random, tokens: int) -> str:
        words: list[str] = []
        left = tokens
        for word in self._words(draw):
            cost = self._cost[word]
            if cost > left + SLACK and words:
                break
            words.append(word)
            left -= cost
            if left <= 0:
                break
        return " ".join(words)

    def _words(self, draw: random.Random) -> Iterator[str]:
        while True:
            yield from draw.choice(self._sentences)


def released_tokenizer() -> Tokenizer:
    """That of the released bundle."""
    return Tokenizer.from_file(str(RELEASED / "tokenizer.json"))


def length(draw: random.Random) -> int:
    """Tokens of one text."""
    return min(max(round(draw.lognormvariate(0, SIGMA) * MEDIAN), SHORTEST), LONGEST)
