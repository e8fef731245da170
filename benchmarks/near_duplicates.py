"""Recall, precision, time and memory of near duplicates, on real texts with planted edits.

    python benchmarks/near_duplicates.py DATA

DATA holds sentiment/, loyalty/ and threads/. Writes near_duplicates.json beside this file: figures, no text.

Real texts repeat one another by themselves. A copy that was not planted counts as true only if at least 80 % of the
words of the shorter text stand in the other in the same order, a measure that the search does not use.
"""

import json
import random
import re
import resource
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rapidfuzz.distance import LCSseq

from model.near_duplicates import Item, find_copies, find_quotes, normalised

SEED = 7
TEXTS, EDITS, HALVES = 20_000, 2_000, 1_000
MANY = 100_000
SHORTEST = 60
GREETINGS = ("Hello everybody, ", "Hi there! ", "Dear all, ", "Just wanted to say: ", "Hey guys - ")
SIGNATURES = (" Regards, Tom", " Thanks, Ann B.", " Best wishes from Leeds", " -- M. Kerr", " Cheers!")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def typos(text: str, chance: random.Random) -> str:
    """Swaps, drops, doubles or replaces one letter in 40, at least one."""
    letters = list(text)
    for _ in range(max(1, len(letters) // 40)):
        n = chance.randrange(len(letters) - 1)
        kind = chance.randrange(4)
        if kind == 0:
            letters[n], letters[n + 1] = letters[n + 1], letters[n]
        elif kind == 1:
            del letters[n]
        elif kind == 2:
            letters.insert(n, letters[n])
        else:
            letters[n] = chance.choice(LETTERS)
    return "".join(letters)


def case(text: str, chance: random.Random) -> str:
    """Another case all over."""
    return chance.choice((str.upper, str.lower, str.title, str.swapcase))(text)


def punctuation(text: str, chance: random.Random) -> str:
    """Punctuation removed, tripled or turned into exclamation marks."""
    return re.sub(r"[.,;:!?]", lambda m: chance.choice(("", m[0] * 3, "!", " " + m[0])), text) + chance.choice("!.?")


def greeting(text: str, chance: random.Random) -> str:
    """A greeting in front."""
    return chance.choice(GREETINGS) + text


def signature(text: str, chance: random.Random) -> str:
    """A signature at the end."""
    return text + chance.choice(SIGNATURES)


def cut(text: str, chance: random.Random) -> str:
    """5 to 25 % of the words gone from one end."""
    words = text.split()
    away = max(1, round(len(words) * chance.uniform(0.05, 0.25)))
    return " ".join(words[away:] if chance.random() < 0.3 else words[:-away])


def mixed(text: str, chance: random.Random) -> str:
    """Two of the others."""
    for edit in chance.sample([typos, case, punctuation, greeting, signature, cut], 2):
        text = edit(text, chance)
    return text


KINDS: tuple[Callable[[str, random.Random], str], ...] = (typos, case, punctuation, greeting, signature, cut, mixed)


def corpus(data: Path) -> list[str]:
    """Different texts of every source, in a fixed order."""
    files = [
        data / "sentiment" / "train.parquet",
        *(data / "loyalty" / f"{n}_train.parquet" for n in ("stars", "recommend")),
    ]
    texts = [t for file in files for t in pq.read_table(file, columns=["text"]).column("text").to_pylist()]
    for file in sorted((data / "threads" / "spam").glob("*.jsonl")):
        texts += [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines()]
    return list({normalised(t): t for t in texts if t}.values())


def planted(texts: list[str], chance: random.Random) -> tuple[list[str], dict[int, tuple[int, str]], set[int]]:
    """Base texts, edits and halves shuffled; position of each edit with that of its source and kind; of the halves."""
    base = chance.sample(texts, TEXTS - EDITS - HALVES)
    long = [n for n, t in enumerate(base) if len(normalised(t)) >= SHORTEST]
    whole: list[tuple[str, int | None, str]] = [(t, None, "") for t in base]
    for n, source in enumerate(chance.sample(long, EDITS)):
        edit = KINDS[n % len(KINDS)]
        whole.append((edit(base[source], chance), source, edit.__name__))
    for one, other in halves_from([base[n].split() for n in chance.sample(long, 4 * HALVES)]):
        whole.append((" ".join(one[: len(one) // 2] + other[len(other) // 2 :]), None, "half"))
    order = list(range(len(whole)))
    chance.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    edits = {place[n]: (place[source], kind) for n, (_, source, kind) in enumerate(whole) if source is not None}
    return [whole[n][0] for n in order], edits, {place[n] for n, w in enumerate(whole) if w[2] == "half"}


def halves_from(texts: list[list[str]]) -> list[tuple[list[str], list[str]]]:
    """Pairs of texts of about the same length, each text used once: their halves make texts that are no copies."""
    ordered = sorted(texts, key=len)
    return list(zip(ordered[::4], ordered[1::4], strict=True))


def common_words(one: str, other: str) -> float:
    """Share of the words of the shorter text that stand in the other in the same order."""
    a, b = (re.sub(r"\W+", " ", normalised(t)).split() for t in (one, other))
    return LCSseq.similarity(a, b) / max(min(len(a), len(b)), 1)


def quality(texts: list[str]) -> dict[str, Any]:
    """Recall of the planted edits and precision of every copy that is found."""
    found_texts, edits, halves = planted(texts, random.Random(SEED))
    start = time.perf_counter()
    copies = find_copies([Item(t) for t in found_texts])
    seconds = time.perf_counter() - start
    root = {n: n for n in range(len(found_texts))} | {c.index: c.of for c in copies}
    hits: dict[str, list[bool]] = defaultdict(list)
    partners: dict[int, set[int]] = defaultdict(set)
    for edit, (source, kind) in edits.items():
        hits[kind].append(root[edit] == root[source])
        partners[edit].add(source)
        partners[source].add(edit)
    told: Counter[str] = Counter()
    for copy in copies:
        # Two edits of one source, and the source, may point at any of the three.
        family = {copy.of} | partners[copy.of] | {n for p in partners[copy.of] for n in partners[p]}
        if copy.index in family:
            told["planted"] += 1
        elif common_words(found_texts[copy.index], found_texts[copy.of]) >= 0.8 and not {copy.index, copy.of} & halves:
            told["natural"] += 1
        else:
            told["false"] += 1
    return {
        "texts": len(found_texts),
        "edits": len(edits),
        "halves_of_two_texts": len(halves),
        "recall": round(sum(map(sum, hits.values())) / len(edits), 4),
        "recall_by_edit": {k: round(sum(v) / len(v), 4) for k, v in sorted(hits.items())},
        "copies_found": dict(sorted(told.items())),
        "precision": round(1 - told["false"] / max(len(copies), 1), 4),
        "precision_if_natural_copies_count_as_false": round(told["planted"] / max(len(copies), 1), 4),
        "seconds": round(seconds, 1),
    }


def quotes(texts: list[str]) -> dict[str, Any]:
    """Recall and precision of comments that stand inside another page's post, 500 of 5,000 planted."""
    chance = random.Random(SEED)
    long = [t for t in texts if 15 <= len(t.split()) <= 120]
    drawn = chance.sample(long, 5_000 + 3 * 1_000)
    comments, parts = drawn[:5_000], drawn[5_000:]
    pages = ["\n\n".join(parts[n * 3 : n * 3 + 3]) for n in range(1_000)]
    for n in range(500):
        first, *others = pages[n].split("\n\n")
        pages[n] = "\n\n".join([first, f'Somebody wrote: "{comments[n]}"', *others])
    start = time.perf_counter()
    found = find_quotes(comments, pages, range(len(comments)), [-1 - n for n in range(len(pages))])
    seconds = time.perf_counter() - start
    true = sum(c.index == c.of for c in found)
    # Some sources hold sentences and pieces of them, so that a comment may stand in a page without being planted.
    natural = sum(c.index != c.of and normalised(comments[c.index]) in normalised(pages[c.of]) for c in found)
    return {
        "comments": len(comments),
        "pages": len(pages),
        "recall": round(true / 500, 4),
        "natural": natural,
        "precision": round((true + natural) / max(len(found), 1), 4),
        "seconds": round(seconds, 1),
    }


def scale(texts: list[str]) -> dict[str, Any]:
    """Time and memory of MANY comments made by repeating a tenth as many with edits."""
    chance = random.Random(SEED)
    base = chance.sample([t for t in texts if len(normalised(t)) >= SHORTEST], MANY // 10)
    many = [chance.choice(KINDS)(t, chance) for _ in range(10) for t in base]
    del texts
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    copies = find_copies([Item(t) for t in many])
    return {
        "texts": len(many),
        "mean_characters": round(sum(map(len, many)) / len(many)),
        "copies": len(copies),
        "seconds": round(time.perf_counter() - start, 1),
        "peak_mb_of_the_process": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "peak_mb_before_the_search": round(before),
    }


PARTS = {"quality": quality, "quotes": quotes, "scale": scale}


def main() -> None:
    """Command line. Each part runs in a process of its own, so that its memory is its own."""
    if len(sys.argv) == 3:
        print(json.dumps(PARTS[sys.argv[2]](corpus(Path(sys.argv[1])))))
        return
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    results: dict[str, Any] = {"seed": SEED}
    for part in PARTS:
        done = subprocess.run([sys.executable, __file__, sys.argv[1], part], check=True, capture_output=True, text=True)
        results[part] = json.loads(done.stdout)
        print(part, json.dumps(results[part], indent=1))
    Path(__file__).with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
