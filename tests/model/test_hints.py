"""A hint is implied by its pattern: whatever the pattern finds holds a word or mark of the hint."""

import random
import re
import string
from collections.abc import Iterator
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from model import case, clean_spam, dates, durations, elsewhere, roles
from model.hints import Hint, Hinted, seen, small_letters

# A few of each kind, among them letters that only a pattern without regard to case takes for letters of ASCII.
ANY = [*string.printable, *"\u2013\u2019\u00bc\u00bd\u00be\u00e9\u0130\u0131\u017f\u212a"]


def made(pattern: str, rng: random.Random) -> str:
    """A text that is likely to match the pattern; what it only looks at is left out."""
    return "".join(_parts(_parser.parse(pattern), rng))


def _parts(tree: Any, rng: random.Random) -> Iterator[str]:
    for kind, value in tree:
        if kind is op.LITERAL:
            yield chr(value)
        elif kind is op.BRANCH:
            yield from _parts(rng.choice(value[1]), rng)
        elif kind is op.SUBPATTERN:
            yield from _parts(value[3], rng)
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            least, most, inner = value
            for _ in range(rng.randint(least, min(int(most), least + 2))):
                yield from _parts(inner, rng)
        elif kind in (op.IN, op.NOT_LITERAL, op.ANY):
            fitting = re.compile(_one_of(kind, value), re.DOTALL)
            yield rng.choice([c for c in ANY if fitting.fullmatch(c)])
        else:
            assert kind in (op.AT, op.ASSERT, op.ASSERT_NOT), kind


def _one_of(kind: Any, value: Any) -> str:
    if kind is op.ANY:
        return "."
    if kind is op.NOT_LITERAL:
        return f"[^{re.escape(chr(value))}]"
    classes = {op.CATEGORY_DIGIT: r"\d", op.CATEGORY_WORD: r"\w", op.CATEGORY_SPACE: r"\s"}
    classes |= {op.CATEGORY_NOT_DIGIT: r"\D", op.CATEGORY_NOT_WORD: r"\W", op.CATEGORY_NOT_SPACE: r"\S"}
    found = ""
    for what, which in value:
        if what is op.NEGATE:
            found += "^"
        elif what is op.LITERAL:
            found += re.escape(chr(which))
        elif what is op.RANGE:
            found += f"{re.escape(chr(which[0]))}-{re.escape(chr(which[1]))}"
        else:
            found += classes[which]
    return f"[{found}]"


def hinted() -> dict[str, tuple[re.Pattern[str], Hint]]:
    """Every pattern of the package that has a hint; those that ignore the case do so."""
    found = {f"sign {name}": (pattern, hint) for name, _, hint, pattern in clean_spam._COMPILED}
    for module in (roles,):
        for name, value in vars(module).items():
            if isinstance(value, Hinted):
                found[f"{module.__name__}.{name}"] = re.compile(value.pattern.pattern, re.IGNORECASE), value.hint
    found["a number for support"] = clean_spam._SUPPORT_NUMBER, clean_spam._NUMBER
    found["an update"] = case._UPDATE, case._UPDATED
    found["an older part"] = case._ORIGINAL, case._OLDER
    found["nearly a customer"] = roles._NEARLY, roles._THOUGHT
    found["from a house"] = roles._FROM, roles._FROM_HINT
    found["went to a house"] = elsewhere._WENT, elsewhere._GOES
    found["switched to a house"] = elsewhere._SWITCHED, elsewhere._SWITCHES
    found["switched from a house"] = elsewhere._FROM, elsewhere._SWITCHES
    found["a rival"] = elsewhere._RIVAL, elsewhere._NAMES
    for name in ("UNLIKE", "HAND", "WHILE", "OPENING"):
        found[f"a contrast, {name}"] = getattr(elsewhere, f"_{name}"), elsewhere._CONTRASTS
    return found


def odd(text: str, rng: random.Random) -> str:
    """In other letters that are the same to a pattern that ignores the case."""
    same = {"i": "iI\u0130\u0131", "s": "sS\u017f", "k": "kK\u212a"}
    return "".join(rng.choice(same.get(c, c + c.upper())) for c in text)


@pytest.mark.parametrize("name", hinted())
def test_whatever_a_pattern_finds_holds_its_hint(name: str) -> None:
    pattern, hint = hinted()[name]
    rng = random.Random(name)
    found = 0
    for _ in range(1500):
        text = made(pattern.pattern, rng)
        around = [rng.choice(["", "", " ", "a", "s", ".", "\n", "0", "\u0130"]) for _ in range(2)]
        for one in (text, f"{around[0]}{text}{around[1]}", odd(text, rng)):
            if pattern.search(one) or pattern.search(one.lower()):
                found += 1
                assert hint.stands_in(seen(one)), one
    assert found > 200


def test_links_are_counted_wherever_there_are_any() -> None:
    rng = random.Random(5)
    for _ in range(3000):
        text = rng.choice(["", "x", " "]) + odd(made(clean_spam._URL.pattern, rng), rng)
        if clean_spam._URL.search(text):
            assert clean_spam._MAY_LINK.stands_in(seen(text)) or clean_spam._DOMAIN.search(text), text


DURATIONS = [durations._DURATION, durations._COUNTED, *(p for p, _, _ in durations._FIXED_PATTERNS)]


@pytest.mark.parametrize("pattern", DURATIONS, ids=range(len(DURATIONS)))
def test_durations_are_hinted_at_in_the_text_and_in_the_sentence(pattern: re.Pattern[str]) -> None:
    rng = random.Random(8)
    found = 0
    for _ in range(4000):
        text = made(pattern.pattern, rng)
        for one in (text, f"x {text}s", odd(text, rng)):
            if pattern.search(one):
                found += 1
                assert durations.may_tell(one), one
                assert durations._HINT.search(small_letters(one)), one
    assert found > 200


def test_dates_are_hinted_at() -> None:
    rng = random.Random(8)
    found = 0
    for _ in range(6000):
        text = made(dates._NAMED.pattern, rng) + rng.choice(["", ".", " and"])
        if dates._NAMED.search(text):
            found += 1
            assert dates._NAMES.stands_in(seen(text)) or dates._NUMBERED.search(text), text
    assert found > 200


def test_a_hint_stands_as_a_word_and_a_mark_anywhere() -> None:
    hint = Hint.of("reply call", "$")
    assert hint.stands_in(seen("No REPLY."))
    assert hint.stands_in(seen("5$"))
    assert not hint.stands_in(seen("replying, recall"))
    assert Hint.any_of([hint, Hint.of("app")]).stands_in(seen("an app"))


def every() -> list[tuple[str, Hinted]]:
    return [(name, value) for name, value in vars(roles).items() if isinstance(value, Hinted)]


@pytest.mark.parametrize(("name", "one"), every())
def test_a_hinted_pattern_finds_the_same_as_one_that_ignores_the_case(name: str, one: Hinted) -> None:
    plain = re.compile(one.pattern.pattern, re.IGNORECASE)
    rng = random.Random(name)
    for _ in range(500):
        text = made(one.pattern.pattern, rng)
        # A letter too few now and then, and one match after the other.
        text = odd(f"{text} {text[1:]}\n{text[:-1]}. {text}", rng)
        assert one.found_in(text) == (plain.search(text) is not None), text
        assert one.without(text) == plain.sub(" ", text), text


def test_small_letters_stand_where_the_letters_stood() -> None:
    letters = "".join(map(chr, (c for c in range(0x110000) if not 0xD800 <= c < 0xE000)))
    small = seen(letters).small
    assert len(small) == len(letters)
    ignoring = {c: re.compile(c, re.IGNORECASE) for c in string.ascii_lowercase}
    for c, pattern in ignoring.items():
        assert {m.start() for m in pattern.finditer(letters)} == {i for i, s in enumerate(small) if s == c}


def test_a_house_follows_a_word_of_place() -> None:
    rng = random.Random(9)
    found = 0
    for _ in range(4000):
        text = made(roles._FROM.pattern, rng)
        for one in (text, f"a {text}s", odd(text, rng)):
            if roles._FROM.search(one):
                found += 1
                assert roles._SOME_HOUSE.search(one), one
    assert found > 200
