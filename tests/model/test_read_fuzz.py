"""Whatever a reader is given, it answers within seconds: with threads, or with an InputError.

AMENDS_FUZZ_INPUTS sets the number of inputs, 1000 by default.
"""

import json
import os
import random
import re
from pathlib import Path

import pytest

from model.read import read
from model.reading.json import thread_to_dict
from model.types import InputError

FIXTURES = Path(__file__).parent / "fixtures"
SEEDS = sorted(
    path for path in [*FIXTURES.iterdir(), *(FIXTURES / "exports").iterdir()] if path.suffix not in (".csv", "")
)
INPUTS = int(os.environ.get("AMENDS_FUZZ_INPUTS", "1000"))
TOKENS = (
    b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"&a;", b"&#0;", b"&#xD800;", b"<",
    b"</item>", b"<item>", b"</wp:comment>", b"<post dsq:id=", b"<div>", b"</div>", b"<li class='comment'>", b'"',
    b"\\ud800", b"{", b"}", b"[", b"]", b"null", b"NaN", b"1e999", b"-1", b"9" * 5000, b"\0", b"\xff\xfe", b"\\",
    b"\n", b",", b"\xf0\x9f\x98\x80", b"true", b'"id":', b'"parent_id": "t1_k1",', b'"kind": "Listing",', b">",
    b"\xef\xbb\xbf", b" xmlns:a=''",
)  # fmt: skip
NESTING = (b"<div>", b"[", b'{"a":', b"<a>", b"<ul><li>", b"&lt;b&gt;")


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The content after one to eight changes: bytes, tokens, copies, cuts, swaps and deep nesting."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        at, other = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
        kind = chance.randrange(9)
        if kind == 0 and data:
            data[min(at, len(data) - 1)] = chance.randrange(256)
        elif kind == 1:
            data[at:at] = chance.choice(TOKENS)
        elif kind == 2:
            del data[at : min(other, at + 200)]
        elif kind == 3:
            data[at:at] = data[at : min(other, at + 3000)] * chance.choice((1, 2, 20))
        elif kind == 4 and chance.random() < 0.3:
            del data[other:]
        elif kind == 5:
            data[at:at] = chance.choice((b"<div>", b"[", b'{"a":', b"<a>", b"<ul><li>", b"&lt;b&gt;")) * chance.choice(
                (50, 3000)
            )
        elif kind == 6:
            data = bytearray(
                re.sub(rb'"[^"]{0,30}"', chance.choice((b"null", b"5", b"[]", b"{}", b'""')), bytes(data), count=at % 9)
            )
        elif kind == 7:
            words = list(re.finditer(rb"\w+", bytes(data)))
            if words:
                match = chance.choice(words)
                data[match.start() : match.end()] = chance.choice(words)[0]
        else:
            data[at:at] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 40)))
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_mutated_inputs_give_threads_or_input_errors(part: int) -> None:
    chance = random.Random(part)
    unread = 0
    inputs = range(part, INPUTS, 10)
    for number in inputs:
        seed = SEEDS[number // 10 % len(SEEDS)]
        content = mutated(seed.read_bytes(), chance)
        try:
            threads = read(content, name=seed.name if chance.random() < 0.5 else "input")
        except InputError:
            unread += 1
        else:
            assert threads
            assert all(len({u.id for u in t.utterances}) == len(t.utterances) for t in threads)
            assert read("\n".join(json.dumps(thread_to_dict(t)) for t in threads), name="a.jsonl") == threads
    # The mutator must leave enough of the inputs readable to reach beyond the first check.
    assert unread <= len(inputs) * 0.7
