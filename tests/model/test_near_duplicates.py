import random
import tracemalloc

import numpy as np
import pytest

import model.near_duplicates as near_duplicates
from model.near_duplicates import Copy, Item, find_copies, find_quotes, normalised
from model.types import InputError

LONG = "The oven from Brandt and Pohl failed after a week and nobody answers my letters."
WORDS = [
    "oven",
    "kettle",
    "letter",
    "week",
    "answer",
    "refund",
    "parcel",
    "driver",
    "lid",
    "spout",
    "warranty",
    "shop",
    "manager",
    "phone",
    "queue",
    "cable",
]


def text(n: int, words: int = 30) -> str:
    """A text of its own for every number."""
    chance = random.Random(n)
    return " ".join(f"{chance.choice(WORDS)}{chance.randrange(90)}" for _ in range(words))


def found(*texts: str | Item, near_from: float = near_duplicates.NEAR_FROM) -> list[tuple[int, int, str]]:
    items = [t if isinstance(t, Item) else Item(t) for t in texts]
    return [(c.index, c.of, c.kind) for c in find_copies(items, near_from)]


def test_normalised() -> None:
    assert normalised("  ＧＯＯＤ\u00a0 Straße\n") == "good strasse"


def test_the_same_text_is_an_exact_copy_of_the_first() -> None:
    assert find_copies([Item(LONG), Item(LONG.upper()), Item(f" {LONG}\n")]) == [
        Copy(1, 0, 100.0, "exact"),
        Copy(2, 0, 100.0, "exact"),
    ]


@pytest.mark.parametrize(
    "edit",
    [
        LONG.replace("letters", "leters").replace("nobody", "nobdoy"),
        LONG.replace(".", "!!!"),
        LONG.replace(" and ", ", and "),
        "Hello everybody! " + LONG,
        LONG + " Regards, Tom B.",
        LONG[:-14],
        LONG[9:],
        "Hi all, " + LONG.lower().replace("week", "wek") + " Thanks!",
    ],
)
def test_edits_are_near_copies(edit: str) -> None:
    (copy,) = find_copies(
        [Item(LONG), Item("Something else that somebody says about a kettle and its lid."), Item(edit)]
    )
    assert (copy.index, copy.of, copy.kind) == (2, 0, "near")
    assert near_duplicates.NEAR_FROM <= copy.score <= 100


@pytest.mark.parametrize(
    "other",
    [
        "The oven from Brandt and Pohl lasted for years and somebody answers all my letters.",
        LONG + " They sent me a new one in the end, and a voucher for the trouble, and I must say I am happy now.",
        "nobody answers my letters and the oven failed: this is what Brandt and Pohl gave me after a week.",
    ],
)
def test_other_opinions_are_no_copies(other: str) -> None:
    assert found(LONG, other) == []


def test_short_words_are_copies_only_of_the_same_owner() -> None:
    assert found("Good", "Good", "+1", "+1") == []
    assert found(Item("Good", "ann"), Item("good", "bo"), Item(" Good", "ann")) == [(2, 0, "exact")]
    assert found(Item("They called me twice.", "ann"), Item("They called me twice!", "ann")) == []


def test_long_words_are_copies_whoever_says_them() -> None:
    assert found(Item(LONG, "ann"), Item(LONG, "bo")) == [(1, 0, "exact")]


def test_a_copy_points_at_a_text_that_is_none() -> None:
    copies = found(LONG, LONG.replace("week", "wek"), LONG.replace("week", "wek"), LONG, "Hi. " + LONG)
    assert {(index, of) for index, of, _ in copies} == {(1, 0), (2, 0), (3, 0), (4, 0)}


def test_a_stricter_likeness_finds_fewer() -> None:
    assert found(LONG, "Hello everybody! " + LONG, near_from=95) == []
    assert found(LONG, LONG.replace("letters", "letter"), near_from=95) == [(1, 0, "near")]


def test_items_that_ask_for_the_same_words_only() -> None:
    assert found(Item(LONG, near=False), LONG.replace("week", "wek")) == []
    assert found(Item(LONG, near=False), Item(LONG, near=False)) == [(1, 0, "exact")]


@pytest.mark.parametrize(
    "texts", [[], [""], ["", ""], ["?!" * 40, "..." * 40], ["a" * 60, "\ud800" * 60], ["a b " * 30] * 2]
)
def test_odd_texts(texts: list[str]) -> None:
    assert all(c.kind == "exact" for c in find_copies([Item(t) for t in texts]))


def test_long_heads_with_other_tails_are_no_copies() -> None:
    head = " ".join(text(n) for n in range(40))
    assert len(head) > 4000
    assert found(head, head + " " + text(999, 900)) == []
    assert found(head, head + " One word more.") == [(1, 0, "near")]


def test_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "MAX_TEXTS", 2)
    with pytest.raises(InputError, match="3 texts are too many") as error:
        find_copies([Item(LONG)] * 3)
    assert error.value.code == "too_many"


def test_thousands_with_one_template_take_little_memory() -> None:
    template = "Thank you for your message about the oven, our team looks into it and will write to you. Case number "
    items = [Item(template + str(n * 7919)) for n in range(3000)]
    tracemalloc.start()
    copies = find_copies(items)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(copies) == 2999
    assert peak < 100e6


def test_every_planted_edit_among_thousands_is_found_and_nothing_else() -> None:
    base = [text(n) for n in range(3000)]
    edits = [base[n][5:] + " and more" for n in range(0, 3000, 10)]
    copies = find_copies([Item(t) for t in base + edits])
    assert [(c.index, c.of) for c in copies] == [(3000 + k, 10 * k) for k in range(300)]


# -------------------------------------------------------------------------------------------------------------- quotes

PAGE = f"A week ago somebody wrote on another page: “{LONG}” That made me think. {text(5)}"


def quotes(*texts: str, place: str = "elsewhere") -> list[Copy]:
    return find_quotes(texts, [text(1, 300), PAGE], [place] * len(texts), ["first", "second"])


def test_a_comment_inside_another_page_is_a_quote() -> None:
    assert quotes("Nothing to do with it, and long enough to be looked for: one two three four.", LONG.upper()) == [
        Copy(1, 1, 100.0, "quote")
    ]


def test_a_quote_may_miss_a_little() -> None:
    longer = f"{LONG} Eleven other words follow here so that a cut can be small."
    (copy,) = find_quotes([longer], [f"See: {longer[:-7]}..., he says."], ["a"], ["b"])
    assert 80 <= copy.score < 100


def test_half_a_comment_is_no_quote() -> None:
    assert quotes(LONG + " " + text(7)) == []


def test_a_comment_under_its_own_page_is_no_quote_of_it() -> None:
    assert quotes(LONG, place="second") == []


def test_short_comments_are_not_looked_for() -> None:
    assert quotes("nobody answers my letters") == []


def test_words_that_stand_on_every_page_prove_nothing() -> None:
    pages = [f"{LONG} {text(n)}" for n in range(60)]
    assert find_quotes([LONG], pages, ["a"], list(range(60))) == []


@pytest.mark.parametrize(("texts", "pages"), [([], []), ([LONG], []), ([], [PAGE]), (["", "!"], ["", "?"])])
def test_nothing_to_quote(texts: list[str], pages: list[str]) -> None:
    assert find_quotes(texts, pages, ["a"] * len(texts), ["b"] * len(pages)) == []


def test_bands_one_by_one_and_all_together_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    signatures = rng.integers(0, 3, (60, near_duplicates._BANDS * near_duplicates._ROWS), dtype=np.uint32)
    together = near_duplicates._candidates(signatures)
    monkeypatch.setattr(near_duplicates, "_AT_ONCE", 1)
    assert np.array_equal(near_duplicates._candidates(signatures), together)
    assert len(together) > 100
