from pathlib import Path

import pytest

from model.authors import author_keys, bare_url
from model.read import read_file
from model.types import Author, Utterance


def said(key: str, name: str | None = None, url: str | None = None, *flags: str) -> Utterance:
    return Utterance(key, "A word.", author=None if name is None else Author(name, url), flags=flags)


def together(*people: tuple[str, str | None] | str) -> bool:
    """Whether all the mentions are one author."""
    mentions = [said(str(n), *((p, None) if isinstance(p, str) else p)) for n, p in enumerate(people)]
    return len(set(author_keys(mentions).values())) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann B.", "ann b"),
        ("ann_baker", "Ann Baker"),
        ("Ann Baker replied:", "Ann Baker"),
        ("Ann B.", "Ann B (Brightpot)"),
        ("Ann Baker", "Ann Baker, Brightpot"),
        ("Ann Baker", "Ann Baker @ Brightpot"),
        ("Ann Baker", "Ann Baker at Brightpot"),
        ("Ann Baker", "Ann Baker @brightpot"),
        ("Ann Baker", "Ann Baker | Brightpot"),
        ("Ann Baker", "Ann Baker - Brightpot"),
        ("Ann Baker", "Ann Baker [author]"),
        ("Ann  Baker", "ANN BAKER says:"),
        ("Jos\u00e9 Mu\u00f1oz", "Jose Munoz"),
        ("Tom O\u2019Hara", "tom ohara"),
        ("kettlefan77", "KettleFan77"),
        ("Ann", "ann "),
        ("Ann (Leeds)", "ann (leeds)"),
    ],
)
def test_one_person_under_two_names(one: str, other: str) -> None:
    assert together(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann", "Ann B."),
        ("Ann", "Ann Baker"),
        ("Ann B.", "Ann C."),
        ("Ann B.", "Ann Baker"),
        ("Ann Baker", "Ann Barker"),
        ("Ann (Leeds)", "Ann (York)"),
        ("Ann", "Ann (Brightpot)"),
        ("Ann B (Brightpot)", "Ann B (Kettleco)"),
        ("Tom from Leeds", "Tom from York"),
        ("Baker, Ann", "Baker, Tom"),
        ("Ann", "Anna"),
        ("Mari A", "Maria"),
        ("kettlefan77", "kettlefan78"),
        ("Anonymous", "Anonymous"),
        ("A Google User", "a google user"),
        ("", ""),
    ],
)
def test_two_people_under_like_names(one: str, other: str) -> None:
    assert not together(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Ann B.", "https://pots.example/user/17/"), ("annb", "http://www.pots.example/user/17")),
        (("Ann", "https://twitter.com/annbakes"), ("The Pot Lady", "twitter.com/annbakes/")),
        (("Ann", "https://annbakes.example"), ("Ann B.", "HTTP://WWW.annbakes.example/")),
        (("Ann Baker", "https://annbakes.example"), ("A. Baker", "http://annbakes.example")),
        (("Ann Baker", "https://annbakes.example"), ("annbaker", "annbakes.example")),
        (("Ann", "https://annbakes.example/a-pot"), ("Ann", "https://annbakes.example/a-lid")),
        (("Ann Baker", "https://annbakes.example"), ("Ann Baker", "https://twitter.com/annbakes")),
        (("Ann", "https://annbakes.example"), ("Ann", None)),
        (("Guest", "https://pots.example/user/17"), ("Ann", "https://pots.example/user/17?utm_source=mail")),
    ],
)
def test_one_person_by_address(one: tuple[str, str | None], other: tuple[str, str | None]) -> None:
    assert together(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Ann", "https://one.example"), ("Ann", "https://two.example")),
        (("Ann Baker", "https://brightpot.example"), ("Tom Hill", "https://brightpot.example")),
        (("Ann Baker", "https://brightpot.example/about"), ("Tom Hill", "https://brightpot.example/about")),
        (("Ann Baker", "https://pots.example/user/1"), ("Ann Baker", "https://pots.example/user/2")),
        (("Ann Baker", "https://facebook.com/ann.baker.1"), ("Ann Baker", "https://www.facebook.com/ann.baker.2")),
        (("Guest", "https://pots.example/user/1"), ("Guest", "https://pots.example/user/2")),
    ],
)
def test_two_people_by_address(one: tuple[str, str | None], other: tuple[str, str | None]) -> None:
    assert not together(one, other)


def test_who_may_be_either_of_two_stays_alone() -> None:
    keys = author_keys([said("1", "John Hill (Leeds)"), said("2", "John Hill (York)"), said("3", "John Hill")])
    assert len(set(keys.values())) == 3
    keys = author_keys(
        [said("1", "Ann", "https://one.example"), said("2", "Ann", "https://two.example"), said("3", "Ann")]
    )
    assert keys == {"1": "ann", "2": "ann (2)", "3": "ann (3)"}


def test_the_same_mention_stays_one_author_among_namesakes() -> None:
    keys = author_keys(
        [
            said("1", "Ann", "https://a.example"),
            said("2", "Ann", "https://b.example"),
            said("3", "ann", "http://a.example/"),
        ]
    )
    assert keys["1"] == keys["3"] != keys["2"]


def test_an_address_that_others_share_joins_nobody() -> None:
    people = ("Ann", "Ann Baker", "Tom Hill")
    keys = author_keys([said(name, name, "https://brightpot.example/team") for name in people])
    assert len(set(keys.values())) == 3


def test_people_of_one_long_crafted_name_are_one_author() -> None:
    # Thousands of open brackets would hold up a careless pattern for hours.
    keys = author_keys([said(str(n), "a " * 5000 + "(" * 5000) for n in range(50)])
    assert len(set(keys.values())) == 1


def test_names_and_addresses_chain() -> None:
    keys = author_keys(
        [
            said("1", "Ann B.", "https://pots.example/user/17"),
            said("2", "potlady", "https://pots.example/user/17"),
            said("3", "ann b (Brightpot)"),
            said("4", "Tom"),
        ]
    )
    assert keys == {"1": "ann b", "2": "ann b", "3": "ann b", "4": "tom"}


def test_the_author_of_the_post_is_one_however_named() -> None:
    keys = author_keys(
        [said("1", "Ann Baker", None, "post_author"), said("2", "potlady", None, "post_author"), said("3", "potlad")]
    )
    assert keys["1"] == keys["2"] != keys["3"]


def test_nameless_utterances_have_authors_of_their_own() -> None:
    assert author_keys([said("1"), said("2"), said("3", None, None, "post_author")]) == {
        "1": "author of 1",
        "2": "author of 2",
        "3": "post author",
    }


def test_keys_do_not_depend_on_spelling_of_the_address() -> None:
    assert bare_url("HTTPS://WWW.Pots.example/a/?utm_source=x#top") == bare_url("//pots.example/a") == "pots.example/a"


def test_thousands_of_people_of_one_name_stay_apart() -> None:
    keys = author_keys([said(str(n), "Ann", f"https://{n}.example") for n in range(5000)])
    assert len(set(keys.values())) == 5000


@pytest.mark.data
def test_on_real_pages_nobody_is_joined_who_has_nothing_in_common(data: Path) -> None:
    for page in sorted((data / "threads" / "html").glob("*.html")):
        (thread,) = read_file(page)
        keys = author_keys(thread.utterances)
        people: dict[str, set[str]] = {}
        for utterance in thread.utterances:
            if utterance.author and "post_author" not in utterance.flags:
                people.setdefault(keys[utterance.id], set()).add(utterance.author.name.casefold())
        assert all(len({n[0] for n in names}) == 1 for names in people.values()), page.name
