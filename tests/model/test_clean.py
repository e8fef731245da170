from pathlib import Path

import pytest

from model.clean import Repeat, clean, clean_threads, language
from model.clean_spam import SPAM_FROM, spam
from model.read import read_file
from model.types import Author, Cleaned, Dropped, Thread, Utterance

EXAMPLES = Path(__file__).parents[2] / "examples"
LONG = "The oven from Brandt and Pohl failed after a week and nobody answers my letters."
PITCH = (
    "Great post! If you are looking for cheap ovens then visit https://ovens.example/shop/discount and "
    "get a free gift, hurry!"
)


def said(key: str, text: str, author: str | None = None, url: str | None = None, **fields: object) -> Utterance:
    values = {"parent": "p", "author": Author(author, url) if author else None, **fields}
    return Utterance(key, text, **values)  # type: ignore[arg-type]


def cleaned(*utterances: Utterance) -> Cleaned:
    return clean(Thread("t", (Utterance("p", "A story about an oven and a letter.", "post"), *utterances)))


def kept(result: Cleaned) -> list[str]:
    return [u.id for u in result.thread.utterances]


def dropped(result: Cleaned) -> dict[str, Dropped]:
    return {d.utterance.id: d for d in result.dropped}


def test_nothing_is_lost() -> None:
    result = cleaned(
        said("a", LONG), said("b", LONG), said("c", ""), said("d", PITCH), said("e", "[deleted]"), said("f", "Fine.")
    )
    assert sorted([*kept(result), *dropped(result)]) == ["a", "b", "c", "d", "e", "f", "p"]
    assert {key: d.reason for key, d in dropped(result).items()} == {
        "b": "duplicate",
        "c": "empty",
        "d": "spam",
        "e": "deleted",
    }
    assert all(d.detail for d in result.dropped)


def test_doubles_of_one_author_are_merged_and_counted() -> None:
    result = cleaned(
        said("a", "They  called.", "Ann", "http://ann.example/"),
        said("b", "they called.", "ann", "https://ann.example"),
        said("c", "They called.", "Ann"),
    )
    assert kept(result) == ["p", "a"]
    assert result.thread.utterances[1].flags == ("merged:3",)
    assert {d.duplicate_of for d in result.dropped} == {"a"}


def test_short_texts_of_different_authors_stay_apart() -> None:
    assert kept(cleaned(said("a", "Good", "Ann"), said("b", "Good", "Bo"), said("c", "Good"))) == ["p", "a", "b", "c"]


def test_two_authors_of_one_name_with_different_pages_stay_apart() -> None:
    result = cleaned(said("a", "Good", "Ann", "https://one.example"), said("b", "Good", "Ann", "https://two.example"))
    assert kept(result) == ["p", "a", "b"]


def test_near_doubles_are_merged_only_where_long() -> None:
    near = cleaned(said("a", LONG, "Ann"), said("b", LONG.replace("letters", "letter"), "Bo"))
    assert dropped(near)["b"].duplicate_of == "a"
    assert "of 100 alike" in (dropped(near)["b"].detail or "")
    short = cleaned(said("a", "They called me twice.", "Ann"), said("b", "They called me twice!", "Ann"))
    assert kept(short) == ["p", "a", "b"]


def test_texts_that_differ_in_substance_stay() -> None:
    other = "The oven from Brandt and Pohl lasted for years and somebody answers all my letters."
    assert kept(cleaned(said("a", LONG), said("b", other))) == ["p", "a", "b"]


def test_replies_follow_to_what_stays() -> None:
    result = cleaned(
        said("a", LONG, "Ann"),
        said("b", LONG, "Ann"),
        said("c", "I see.", "Bo", parent="b"),
        said("d", PITCH, "shop"),
        said("e", "Go away.", "Bo", parent="d"),
    )
    parents = {u.id: u.parent for u in result.thread.utterances}
    assert parents == {"p": None, "a": "p", "c": "a", "e": "p"}


def test_the_post_is_never_spam_or_a_double() -> None:
    result = clean(Thread("t", (Utterance("p", PITCH, "post"), said("a", PITCH, flags=("post_author",)))))
    assert kept(result) == ["p", "a"]


def test_furniture_of_the_page_is_boilerplate() -> None:
    result = cleaned(Utterance("x", "© 2013 Ann", "post", flags=("boilerplate",)), said("a", "Reply\nShare"))
    assert {key: d.reason for key, d in dropped(result).items()} == {"x": "boilerplate", "a": "boilerplate"}


@pytest.mark.parametrize("text", ["", "  \n", "...", "?!"])
def test_empty(text: str) -> None:
    assert dropped(cleaned(said("a", text)))["a"].reason == "empty"


@pytest.mark.parametrize("text", ["👍", ":-)", "+1", "Gut"])
def test_short_is_not_empty(text: str) -> None:
    assert kept(cleaned(said("a", text))) == ["p", "a"]


@pytest.mark.parametrize(
    "text",
    [
        "[deleted]",
        "[removed]",
        "This comment has been removed by the author.",
        "Comment deleted",
        "<removed by moderator>",
    ],
)
def test_deleted(text: str) -> None:
    assert dropped(cleaned(said("a", text)))["a"].reason == "deleted"


@pytest.mark.parametrize(
    "text",
    [
        PITCH,
        "Nice blog! <a href='http://oven-training.example/course'>oven training</a> thanks for sharing",
        "I make $4,000 a month working online from home, click here to see how!",
        "Please subscribe to my channel, I upload new videos every week",
        "Contact the oven support phone number or the oven customer service number toll free 24/7",
        "I recovered my lost bitcoins, whatsapp him on +1 555 0100, he is the best",
    ],
)
def test_spam(text: str) -> None:
    found = spam(text)
    assert found.score >= SPAM_FROM
    assert found.reasons
    assert dropped(cleaned(said("a", text)))["a"].detail == str(found)


@pytest.mark.parametrize(
    "text",
    [
        "I called the customer service number three times and they refused to pay my claim. See "
        "https://a.example/my-letter",
        "Great post! We had the same with our oven, more on my blog at http://ann.example/oven",
        "Hello Ann, this is Tom from Brandt. We are sorry about your oven. Please call us on 0800 555 0100, "
        "free of charge.",
        "The discount they offered was an insult. Never again, I want my money back.",
        "If you are looking for a good oven, don't buy this one.",
        "They offered me a free replacement and a voucher, and it came in two days.",
        "See http://a.example/1 and http://a.example/2 for what the law says about this, it is all explained "
        "there in detail.",
        "They make money with it, month after month, and laugh at us.",
    ],
)
def test_what_customers_and_companies_say_is_no_spam(text: str) -> None:
    assert spam(text).score < SPAM_FROM


def test_what_an_export_marks_as_spam_is_spam() -> None:
    result = cleaned(
        said("a", "Lovely.", flags=("spam",)), said("b", "A blog links here.", kind="pingback", flags=("spam",))
    )
    assert {d.utterance.id: d.reason for d in result.dropped} == {"a": "spam", "b": "spam"}
    assert all("marked" in (d.detail or "") for d in result.dropped)


VIDEO_PITCH = "check it out guys, my band made a new track, please share, follow on facebook http://songs.example/ann"


@pytest.mark.parametrize(("url", "adapter"), [("https://www.youtube.com/watch?v=1", "given"), (None, "youtube")])
def test_under_a_video_the_model_drops_with_its_reasons(url: str | None, adapter: str) -> None:
    assert spam(VIDEO_PITCH).score < SPAM_FROM
    thread = Thread("t", (Utterance("p", "A song.", "post"), said("a", VIDEO_PITCH)), url=url, adapter=adapter)
    (found,) = clean(thread).dropped
    assert found.reason == "spam"
    assert "reads like advertising" in (found.detail or "")
    assert '"' in (found.detail or "")


def test_on_other_pages_the_model_only_flags() -> None:
    result = cleaned(said("a", VIDEO_PITCH), said("b", LONG))
    assert kept(result) == ["p", "a", "b"]
    (flag,) = result.thread.utterances[1].flags
    assert flag.startswith("maybe_spam:")
    assert result.thread.utterances[2].flags == ()


def test_the_author_of_the_post_is_not_suspected() -> None:
    result = cleaned(said("a", VIDEO_PITCH, flags=("post_author",)))
    assert result.thread.utterances[1].flags == ("post_author",)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (LONG, "en"),
        ("Der Backofen ging nach einer Woche kaputt, und niemand antwortet auf meine Briefe.", "de"),
        ("Je suis très content du service, ils ont répondu tout de suite.", "fr"),
        ("Good", "und"),
        ("", "und"),
        ("ひどいサービスでした", "hiragana"),
        ("ужасно, обман", "cyrillic"),
        ("서비스 최악", "hangul"),
        ("Corva ужасно", "und"),
        ("𝗴𝗿𝗲𝗮𝘁 ｓｔｕｆｆ", "und"),
        ("(´･ω･`) ¯\\_(ツ)_/¯ (ﾟДﾟ) (ノಠ益ಠ)ノ", "und"),
        ("10 €", "und"),
        ("https://a.example/b/c/d/e/f/g/h/i/j/k/l", "und"),
    ],
)
def test_language(text: str, code: str) -> None:
    assert language(text) == code


def test_other_languages_are_kept_and_flagged() -> None:
    result = cleaned(said("a", "Der Backofen ging nach einer Woche kaputt, und niemand antwortet auf meine Briefe."))
    assert result.thread.utterances[1].flags == ("language:de",)
    assert cleaned(said("a", LONG)).thread.utterances[1].flags == ()


def test_cleaning_twice_changes_nothing() -> None:
    once = cleaned(said("a", LONG, "Ann"), said("b", LONG, "Ann"), said("c", PITCH))
    assert clean(once.thread) == Cleaned(once.thread, ())


@pytest.mark.parametrize(
    ("name", "stay", "spam_id"), [("kettle-recall.html", 10, "comment-2113"), ("lift-outage.txt", 7, "comment-7")]
)
def test_the_examples(name: str, stay: int, spam_id: str) -> None:
    (thread,) = read_file(EXAMPLES / name)
    result = clean(thread)
    assert len(result.thread.utterances) == stay
    reasons = [d.reason for d in result.dropped if d.reason != "boilerplate"]
    assert sorted(reasons) == ["duplicate", "spam"]
    assert dropped(result)[spam_id].reason == "spam"


def test_many_long_and_alike_texts_all_have_a_place() -> None:
    start = LONG * 20
    thread = Thread("t", tuple(said(str(n), f"{n * 7919} " * 40 + start, parent=None) for n in range(600)))
    result = clean(thread)
    assert len(result.thread.utterances) + len(result.dropped) == 600


# -------------------------------------------------------------------------------------------------------- many threads


def thread(key: str, *utterances: Utterance, post: str = "A story of its own that nobody else tells.") -> Thread:
    return Thread(key, (Utterance("p", f"{post} {key}", "post"), *utterances))


def flags(results: list[Cleaned]) -> dict[str, tuple[str, ...]]:
    return {f"{c.thread.id}/{u.id}": u.flags for c in results for u in c.thread.utterances if u.flags}


def test_copies_across_threads_are_kept_and_labelled() -> None:
    results, repeats = clean_threads(
        [
            thread("one", said("a", LONG, "Ann"), said("b", LONG, "Ann"), post="An oven."),
            thread("two", said("a", LONG.replace("week", "wek"), "Bo"), post="A letter to somebody."),
            thread("three", said("x", LONG, "Cy"), post="What happened in May."),
        ]
    )
    assert [kept(r) for r in results] == [["p", "a"], ["p", "a"], ["p", "x"]]
    assert flags(results) == {"one/a": ("merged:2",), "two/a": ("copy:near:one/a",), "three/x": ("copy:exact:one/a",)}
    assert [(r.thread, r.utterance, r.of_thread, r.of, r.kind) for r in repeats] == [
        (1, "a", 0, "a", "near"),
        (2, "x", 0, "a", "exact"),
    ]
    assert all(95 < r.score <= 100 for r in repeats)


def test_short_opinions_in_different_threads_are_opinions_of_their_own() -> None:
    threads = [thread("one", said("a", "Good", "Ann")), thread("two", said("a", "Good", "Ann"), post="Something else.")]
    results, repeats = clean_threads(threads)
    assert repeats == []
    assert results == [clean(t) for t in threads]


def test_a_comment_inside_another_threads_post_is_a_quote() -> None:
    quoting = thread(
        "two", post=f"Somebody wrote “{LONG}” elsewhere, and I wonder what became of that oven in the end."
    )
    results, repeats = clean_threads([quoting, thread("one", said("a", LONG, "Ann"))])
    assert repeats == [Repeat(1, "a", 0, "p", 100.0, "quote")]
    assert flags(results) == {"one/a": ("copy:quote:two/p",)}


def test_a_quotation_repeats_what_was_said_even_where_it_stands_first() -> None:
    quoting = thread("two", Utterance("q", LONG, "quote", "p", flags=("quoted",)), post="On ovens.")
    results, repeats = clean_threads([quoting, thread("one", said("a", LONG, "Ann"))])
    assert repeats == [Repeat(0, "q", 1, "a", 100.0, "quote")]
    assert flags(results) == {"two/q": ("quoted", "copy:quote:one/a")}


def test_cleaning_threads_twice_changes_nothing() -> None:
    once, repeats = clean_threads([thread("one", said("a", LONG)), thread("two", said("a", LONG), post="Else.")])
    again, same = clean_threads([c.thread for c in once])
    assert [c.thread for c in again] == [c.thread for c in once]
    assert same == repeats


def test_no_threads() -> None:
    assert clean_threads([]) == ([], [])


def test_one_person_under_two_names_is_one_when_merging_short_words() -> None:
    assert kept(cleaned(said("a", "So sad.", "Ann B."), said("b", "so sad.", "ann b (Brightpot)"))) == ["p", "a"]
    assert kept(cleaned(said("a", "So sad.", "Ann"), said("b", "So sad.", "Ann B."))) == ["p", "a", "b"]
