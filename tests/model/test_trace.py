import json
import random
import re
import resource
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest

import model.trace_types as words
from model.read import read_file, thread_from_dict
from model.trace import moment, trace
from model.trace_links import normalise_url, urls_in
from model.trace_types import Anchor, Edge, Place, Trace
from model.types import Report
from tests.fakes import fake_scorer

ROOT = Path(__file__).parents[2]
TALE = (
    "I bought a lamp from Corvid Lighting and after nine days the shade came down on the table in one piece, "
    "which they tell me nobody has ever seen before."
)
SCORER = fake_scorer()


def utterance(text: str, author: object = None, time: str | None = None, **more: object) -> dict[str, object]:
    return {"text": text, "author": author, "time": time, **more}


def report(name: str, *utterances: dict[str, object], **more: object) -> Report:
    numbered = [{"id": str(n), "kind": "post" if n == 1 else "comment", **u} for n, u in enumerate(utterances, start=1)]
    return SCORER.score(thread_from_dict({"id": name, "utterances": numbered, **more}))


def only(found: Trace, kind: str) -> Edge:
    edges = [e for e in found.edges if e.kind == kind]
    assert len(edges) == 1, found.edges
    return edges[0]


def together(found: Trace) -> list[list[str]]:
    return [[step.page for step in story.steps] for story in found.stories]


def person(found: Trace, name: str) -> words.Person:
    return next(p for p in found.people if p.name == name)


# ------------------------------------------------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    "url",
    [
        "https://www.lamps.example/tale/",
        "HTTP://Lamps.example/tale?utm_source=x&fbclid=1#comment-4",
        "lamps.example/tale/index.html",
        "//m.lamps.example/tale/amp/",
    ],
)
def test_an_address_is_the_same_however_it_is_written(url: str) -> None:
    assert normalise_url(url) == "lamps.example/tale"


@pytest.mark.parametrize("url", ["mailto:a@lamps.example", "javascript:alert(1)", "http://", "https://[", "", "lamp"])
def test_what_is_no_address_of_the_web_is_none(url: str) -> None:
    assert normalise_url(url) is None


def test_parameters_that_name_a_page_stay() -> None:
    assert normalise_url("https://lamps.example/?b=2&p=7&utm_medium=m") == "lamps.example?b=2&p=7"


def test_an_address_ends_before_the_full_stop() -> None:
    text = "See (https://lamps.example/a_(b)), www.lamps.example/c."
    assert [text[start:end] for _, start, end in urls_in(text)] == [
        "https://lamps.example/a_(b))",
        "www.lamps.example/c",
    ] or [u for u, _, _ in urls_in(text)] == ["https://lamps.example/a_(b)", "www.lamps.example/c"]


def test_an_address_in_a_text_links_to_the_very_comment() -> None:
    one = report("one", utterance("A tale."), utterance("Mine too.", id="comment-77"), url="https://lamps.example/tale")
    two = report("two", utterance("Read https://www.lamps.example/tale/?utm_source=n#comment-77, all of it."))
    edge = only(trace([one, two]), "link")
    assert (edge.source, edge.target, edge.directed) == (Place("two", "1"), Place("one", "comment-77"), True)
    assert edge.quote == "https://www.lamps.example/tale/?utm_source=n#comment-77"


def test_the_link_of_an_author_counts_and_a_page_does_not_cite_itself() -> None:
    one = report("one", utterance("See https://lamps.example/tale again."), url="https://lamps.example/tale")
    two = report("two", utterance("Hello.", {"name": "Ann", "url": "http://lamps.example/tale/"}))
    edge = only(trace([one, two]), "link")
    assert (edge.source.page, edge.target.page, edge.detail) == ("two", "one", "the author's link")


def test_a_linkback_means_that_the_other_page_cites_this_one() -> None:
    back = {"name": "The week in lamps", "url": "https://week.example/7"}
    one = report("one", utterance("A tale."), utterance("The week in lamps", back, kind="pingback"))
    two = report("two", utterance("Lamps fall."), url="https://week.example/7/")
    found = trace([one, two])
    edge = only(found, "trackback")
    assert (edge.source.page, edge.target.page) == ("two", "one")
    assert together(found) == [["one", "two"]]
    assert "The week in lamps" not in {p.name for p in found.people}


def test_links_in_html_are_placed_by_their_words_and_doubted_elsewhere() -> None:
    one = report("one", utterance("A tale."), url="https://lamps.example/tale")
    two = report("two", utterance("As one owner tells, shades fall."), utterance("Indeed, one owner is enough."))
    three = report("three", utterance("Nothing to do with it."))
    tale = "https://lamps.example/tale"
    found = trace([one, two, three], [[], [Anchor(tale, "one owner tells")], [Anchor(tale, "Blogroll")]])
    placed, doubted = (next(e for e in found.edges if e.source.page == p) for p in ("two", "three"))
    assert (placed.quote, placed.start, placed.joins) == ("one owner tells", 3, True)
    assert (doubted.source.utterance, doubted.joins, doubted.confidence) == (None, False, 0.4)
    assert together(found) == [["one", "two"], ["three"]]


def test_two_pages_of_the_same_address_are_reported() -> None:
    pages = [report(n, utterance("A tale."), url="https://lamps.example/tale") for n in ("one", "two")]
    assert any("same address" in w for w in trace(pages).warnings)


# ------------------------------------------------------------------------------------------------------ quotes, copies


def test_a_quote_is_found_with_its_place_in_both_directions_of_reading() -> None:
    original = report("one", utterance("A post."), utterance(f"Hello all. {TALE} Greetings.", "Ann Lee"))
    quoting = report(
        "two", utterance(f"Somebody wrote this: \u201c{TALE}\u201d I have nothing to add, or only little.")
    )
    for reports in ([original, quoting], [quoting, original]):
        edge = only(trace(reports), "quote")
        text = next(r for r in reports if r.thread.id == edge.source.page).utterances[0].utterance.text
        assert (edge.source.page, edge.target) == ("two", Place("one", "2"))
        assert edge.quote == text[edge.start : edge.end]
        assert edge.quote == TALE[:-1]
        assert edge.confidence > 0.75
        # What is given as the reason is what the confidence comes from.
        assert edge.detail.endswith("words in a row") == (edge.confidence == 0.95)


@pytest.mark.parametrize("time", [None, "2020-05-05T10:00:00+00:00"])
def test_a_retweet_of_an_article_is_never_its_source(time: str | None) -> None:
    article = report("article", utterance(f"{TALE} There is more to it, but that is the whole of the matter for now."))
    passed_on = report("tweet", {**utterance(f"RT @annlee: {TALE}", "moth", time), "kind": "tweet"})
    found = trace([passed_on, article])
    assert [e.source.page for e in found.edges if e.kind in ("quote", "copy", "retweet")] == ["tweet"]


def test_who_is_quoted_is_cited_by_the_author_of_the_post_and_not_by_themselves() -> None:
    one = report("one", utterance("A post.", "Bo Ek"), utterance(f"Hello all. {TALE}", "Ann Lee"))
    two = report(
        "two", utterance("Ann wrote:", "Cy Orr"), utterance(TALE, "Ann", kind="quote", flags=["quoted"], parent="1")
    )
    found = trace([one, two])
    assert only(found, "quote").confidence == 1
    assert {p.name for p in found.people} == {"Bo Ek", "Ann Lee", "Cy Orr"}
    assert person(found, "Ann Lee").answers == 1


def test_the_earlier_copy_is_the_original_and_without_times_nobody_knows() -> None:
    late, early = "2024-03-02T10:00:00Z", "2024-03-01T10:00:00Z"
    found = trace(
        [report("one", utterance(TALE, "Ann Lee", late)), report("two", utterance(TALE.upper(), "Bo Ek", early))]
    )
    edge = only(found, "copy")
    assert (edge.source.page, edge.target.page, edge.directed) == ("one", "two", True)
    edge = only(trace([report("one", utterance(TALE, "Ann Lee")), report("two", utterance(TALE, "Bo Ek"))]), "copy")
    assert not edge.directed


def test_a_copy_goes_the_way_in_which_its_pages_cite_each_other() -> None:
    one = report("one", utterance(TALE, "Ann Lee"))
    two = report("two", utterance("A post.", "Bo Ek"), utterance(TALE, "Cy Orr"), url="https://lamps.example/2")
    citing = report("one", utterance(TALE, "Ann Lee"), utterance("From https://lamps.example/2 it seems."))
    assert not only(trace([one, two]), "copy").directed
    edge = only(trace([citing, two]), "copy")
    assert (edge.source.page, edge.target.page, edge.directed) == ("one", "two", True)


def test_polite_phrases_in_common_link_nobody() -> None:
    phrase = "Thank you so much for your help"
    pages = [report(str(n), utterance(f"{phrase}.", f"Ann Lee{n}")) for n in range(12)]
    pages += [
        report(f"x{n}", utterance(f"{' '.join(f'w{n * k}' for k in range(20))}. {phrase}, {n}.")) for n in range(12)
    ]
    assert trace(pages).edges == ()


def test_answers_from_a_template_of_the_company_link_nothing() -> None:
    answer = utterance(f"We are sorry. {TALE}", "Corvid Support", flags=["company"], parent="1")
    assert not [
        e for e in trace([report(n, utterance(f"Text {n}."), answer) for n in "ab"]).edges if e.kind != "same_author"
    ]


def test_a_thousand_near_copies_give_a_link_each_and_not_a_million() -> None:
    pages = [
        report(str(n), utterance(f"{TALE} Number {n}.", f"Ann Lee{n}", f"2024-01-01T10:{n:02}:00Z")) for n in range(40)
    ]
    copies = [e for e in trace(pages).edges if e.kind == "copy"]
    assert len(copies) == 39
    assert {e.target.page for e in copies} == {"0"}


# ------------------------------------------------------------------------------------------------------------- retweets


def tweet(name: str, text: str, hour: int) -> Report:
    written = utterance(text, {"name": name, "url": f"https://twitter.com/{name}"}, f"2024-05-01T{hour:02}:00:00Z")
    return report(f"{name}-{hour}", {**written, "kind": "tweet"})


def test_a_retweet_leads_to_the_tweet_that_says_it_and_says_nothing_of_the_stance() -> None:
    other = tweet("lumen", "Good morning to all of you out there.", 1)
    first = tweet("lumen", "Corvid Lighting ignored my awful lamp for a month.", 2)
    found = trace(
        [other, first, tweet("moth", "Oh dear. RT @lumen: Corvid Lighting ignored my awful lamp for a month.", 3)]
    )
    edge = only(found, "retweet")
    assert (edge.source.page, edge.target.page) == ("moth-3", "lumen-2")
    assert edge.quote == "RT @lumen:"
    assert not [e for e in found.edges if e.kind in ("copy", "quote")]
    moth, lumen = person(found, "moth"), person(found, "lumen")
    assert (moth.negative, moth.openness_kind) == (None, None)
    assert (lumen.reach, lumen.answers, len(lumen.pages)) == (1.0, 1, 2)


def test_a_retweet_of_words_that_are_not_there_is_weak() -> None:
    found = trace(
        [
            tweet("lumen", "Good morning to all of you.", 1),
            tweet("moth", "RT @lumen: quite another thing altogether", 2),
        ]
    )
    assert not only(found, "retweet").joins
    assert len(found.stories) == 2


# --------------------------------------------------------------------------------------------------------------- people


def people_of(*authors: object) -> Sequence[words.Person]:
    return trace([report(str(n), utterance(f"Text number {n}.", a)) for n, a in enumerate(authors)]).people


def test_a_full_name_on_two_pages_is_one_person_and_a_first_name_is_not() -> None:
    assert len(people_of("Ann Lee", "ann  LEE")) == 1
    assert len(people_of("Ann", "Ann")) == 2
    assert len(people_of("Happy Customer", "Happy Customer")) == 2


def test_links_speak_for_and_against_one_person() -> None:
    def at(url: str, name: str = "Ann Lee") -> dict[str, str]:
        return {"name": name, "url": url}

    assert len(people_of(at("https://a.example"), at("http://www.a.example/", "A. Lee"))) == 1
    assert len(people_of(at("https://x.example/ann"), at("https://x.example/annlee"))) == 2
    (one,) = people_of(at("https://a.example"), at("https://b.example"))
    assert one.identity == 0.6
    assert len(people_of(*(at("https://shop.example", f"Name{n}") for n in range(5)))) == 5


def test_the_same_author_joins_pages_about_one_company_only() -> None:
    one, two = (report(n, utterance(f"Text {n}.", "Ann Lee"), brand="Corvid") for n in ("one", "two"))
    other = report("other", utterance("Text other.", "Ann Lee"), brand="Dunmore")
    found = trace([one, two, other])
    assert together(found) == [["one", "two"], ["other"]]
    assert [(e.joins, e.directed) for e in found.edges if e.kind == "same_author"] == [(True, False), (False, False)]


def test_reach_counts_a_person_two_steps_away_half() -> None:
    chain = [utterance("A.", "Ann Lee"), utterance("B.", "Bo Ek", parent="1"), utterance("C.", "Cy Orr", parent="2")]
    found = trace([report("one", *chain)])
    assert [person(found, n).reach for n in ("Ann Lee", "Bo Ek", "Cy Orr")] == [1.5, 1.0, 0.0]


def test_openness_is_what_the_documentation_says() -> None:
    found = trace([report("one", utterance("I bought a lamp, and it came late.", "Ann Lee"))])
    ann = person(found, "Ann Lee")
    assert ann.repurchase is not None
    assert ann.wom is not None
    assert ann.openness == pytest.approx((ann.repurchase["undecided"] + ann.wom["mixed"]) / 2, abs=1e-3)
    assert ann.priority == pytest.approx(ann.openness, abs=2e-3)
    assert ann.openness_kind == "open_customer"
    quotes = [w.said for w in ann.why if w.said]
    assert quotes
    assert all("I bought a lamp, and it came late."[s.start : s.end] == s.quote for s in quotes)


def test_who_answers_a_complaint_with_praise_defends_the_company() -> None:
    page = report(
        "one",
        utterance("An awful lamp, I bought it here.", "Ann Lee"),
        utterance("It is a great firm with great people.", "Bo Ek", parent="1"),
        utterance("It is a neutral remark of mine.", "Cy Orr", parent="1"),
        utterance("Oh great, great that you are alive!", "Di Poe", parent="1"),
    )
    found = trace([page])
    assert person(found, "Di Poe").openness_kind is None
    bo, cy = person(found, "Bo Ek"), person(found, "Cy Orr")
    assert (bo.role, bo.openness_kind) == ("bystander", "defender")
    assert cy.openness_kind is None
    assert bo.id in found.contacts


def test_a_name_in_a_text_is_a_weak_link_that_forgives_one_letter() -> None:
    failed = "The lamp was delivered late and they ignored me."
    one = report("one", utterance(failed, "Clara Voss"), brand="Corvid")
    two = report("two", utterance("As Clara Vos's story shows, lamps fall."), brand="Corvid")
    other = report("three", utterance("As Clara Voss says."), brand="Dunmore")
    reports = [_with_failure(r) for r in (one, two, other)]
    edge = only(trace(reports), "mention")
    assert (edge.source.page, edge.target.page, edge.joins, edge.quote) == ("two", "one", False, "Clara Vos")
    assert edge.confidence < 0.5


def _with_failure(made: Report) -> Report:
    from dataclasses import replace

    return replace(made, cases=tuple(replace(c, failure="delay") for c in made.cases))


# -------------------------------------------------------------------------------------------------------------- stories


def test_pages_stand_in_the_order_of_time_and_growth_is_counted_by_day() -> None:
    reports = [
        report("late", utterance(f"Once more: {TALE} And so on and on it goes.", "Bo Ek", "2024-03-03T08:00:00+02:00")),
        report(
            "early",
            utterance(TALE, "Ann Lee", "2024-03-01T10:00:00"),
            utterance("awful", "Cy Orr", "2024-03-01T11:00:00Z", parent="1"),
            utterance("No time here.", "Dee Fay", parent="1"),
        ),
    ]
    (story,) = trace(reports).stories
    assert [(s.page, s.placed_by) for s in story.steps] == [("early", "time"), ("late", "time")]
    assert (story.began, story.certain, story.untimed) == ("early", True, 1)
    assert [(d.date, d.utterances, d.authors, d.new_authors, d.negative) for d in story.days] == [
        ("2024-03-01", 2, 2, 2, 1),
        ("2024-03-03", 1, 1, 1, 0),
    ]
    assert (story.utterances_per_day, story.authors_per_day) == (1.0, 1.0)


def test_without_times_what_is_cited_comes_first() -> None:
    reports = [
        report("third", utterance("See https://lamps.example/2 for it."), url="https://lamps.example/3"),
        report("second", utterance("See https://lamps.example/1 for it."), url="https://lamps.example/2"),
        report("first", utterance("A tale."), url="https://lamps.example/1"),
    ]
    (story,) = trace(reports).stories
    assert [s.page for s in story.steps] == ["first", "second", "third"]
    assert {s.placed_by for s in story.steps} == {"citation"}
    assert (story.certain, story.days, story.utterances_per_day) == (True, (), None)


def test_pages_that_cite_each_other_have_no_certain_beginning() -> None:
    reports = [
        report("a", utterance("See https://lamps.example/b for it."), url="https://lamps.example/a"),
        report("b", utterance("See https://lamps.example/a for it."), url="https://lamps.example/b"),
    ]
    (story,) = trace(reports).stories
    assert [s.page for s in story.steps] == ["a", "b"]
    assert not story.certain


def test_copies_without_times_or_citing_have_no_certain_beginning() -> None:
    (story,) = trace([report("a", utterance(TALE)), report("b", utterance(TALE))]).stories
    assert not story.certain
    assert [s.placed_by for s in story.steps] == ["nothing", "nothing"]


def test_a_strange_time_is_no_time() -> None:
    assert moment("last Tuesday") is None
    assert moment("0001-01-01T00:00:00+14:00") is None
    assert moment("2024-03-01T10:00:00+02:00") == moment("2024-03-01T08:00:00")


# ------------------------------------------------------------------------------------------------------------- warnings


def complaint(name: str, number: int, *more: dict[str, object]) -> Report:
    text = f"An awful lamp, as told at https://lamps.example/0 ({number})."
    return _with_failure(
        report(name, utterance(text, f"Owner{number} Lee"), *more, url=f"https://lamps.example/{number}")
    )


def test_a_complaint_on_two_pages_without_an_answer_is_a_warning() -> None:
    (story,) = trace([complaint("a", 0), complaint("b", 1)]).stories
    assert story.alarm is not None
    assert not story.alarm.answered
    assert story.alarm.seen[0].startswith("2 utterances by 2 people on 2 pages complain")
    assert "no utterance of the company" in story.alarm.not_seen
    assert all("awful" in q.quote for q in story.alarm.quotes)


def test_a_company_that_answers_is_seen_and_so_are_pages_where_it_does_not() -> None:
    answer = utterance("We are sorry, please contact us.", "Corvid Support", flags=["company"], parent="1")
    (story,) = trace([complaint("a", 0), complaint("b", 1, answer)]).stories
    assert story.alarm is not None
    assert story.alarm.answered
    assert "no utterance of the company on 1 of the 2 pages with complaints" in story.alarm.not_seen


def test_a_report_of_an_apology_counts_as_an_answer() -> None:
    told = utterance("I bought one, they said sorry to me.", "Ann Lee", parent="1")
    (story,) = trace([complaint("a", 0), complaint("b", 1, told)]).stories
    assert story.alarm is not None
    assert story.alarm.answered


def test_one_complaint_or_contented_people_are_no_warning() -> None:
    assert [s.alarm for s in trace([complaint("a", 0)]).stories] == [None]
    calm = [
        report(n, utterance(f"A great lamp, see https://lamps.example/{n}.", n), url=f"https://lamps.example/{n}")
        for n in "ab"
    ]
    assert all(s.alarm is None for s in trace(calm).stories)


def test_many_complaints_on_one_page_are_a_warning() -> None:
    crowd = [utterance(f"awful number {n}", f"Man{n} Lee", parent="1") for n in range(4)]
    (story,) = trace([complaint("a", 0, *crowd)]).stories
    assert story.alarm is not None


# ----------------------------------------------------------------------------------------------------------------- rest


def test_threads_of_the_same_id_stay_apart() -> None:
    found = trace([report("a", utterance("One.")), report("a", utterance("Two.")), report("a#2", utterance("Three."))])
    assert [p.id for p in found.pages] == ["a", "a#2", "a#2#2"]


def test_nothing_and_empty_threads_give_an_empty_trace() -> None:
    assert trace([]).stories == ()
    found = trace([report("a", utterance("[deleted]"))])
    assert [p.utterances for p in found.pages] == [0]


def test_the_order_of_the_input_changes_nothing_but_the_numbering() -> None:
    reports = [
        SCORER.score(t)
        for name in ("kettle-recall.html", "kettle-spread.jsonl")
        for t in read_file(ROOT / "examples" / name)
    ]

    def links(found: Trace) -> set[tuple[str, Place, Place]]:
        return {(e.kind, *((e.source, e.target) if e.directed else ())) for e in found.edges if e.directed}  # type: ignore[misc]

    straight, back = trace(reports), trace(reports[::-1])
    assert links(straight) == links(back)
    assert together(straight) == together(back)


def test_the_bundled_example_holds_every_kind_of_link_but_a_copy() -> None:
    reports = [
        SCORER.score(t)
        for name in ("kettle-recall.html", "kettle-spread.jsonl")
        for t in read_file(ROOT / "examples" / name, brand="Marrowby")
    ]
    found = trace([_with_failure(r) for r in reports])
    assert {e.kind for e in found.edges} == {"link", "trackback", "retweet", "quote", "same_author", "mention"}
    story = found.stories[0]
    assert (story.began, story.certain, len(story.steps)) == ("kettle-recall", True, 9)
    assert together(found)[1:] == [["toaster-review"]]
    texts = {
        Place(p.id, s.utterance.id): s.utterance.text
        for p, r in zip(found.pages, reports, strict=True)
        for s in r.utterances
    }
    quoted = [e for e in found.edges if e.quote is not None]
    assert quoted
    assert all(texts[e.source][e.start : e.end] == e.quote for e in quoted)


def test_every_field_of_the_json_is_documented() -> None:
    document = (ROOT / "docs" / "trace.md").read_text(encoding="utf-8")
    shown = [
        getattr(words, n)
        for n in ("Trace", "Page", "Edge", "Story", "Step", "Day", "Alarm", "Person", "Why", "Said", "Place")
    ]
    missing = [f"{c.__name__}.{f.name}" for c in shown for f in fields(c) if not re.search(rf"`{f.name}`", document)]
    assert missing == []
    json.dumps(trace([report("a", utterance("One."))]).to_dict())


@pytest.mark.data
def test_the_seeds_are_one_story_with_the_quote_and_one_author_in_both(data: Path) -> None:
    files = sorted((data / "threads" / "seeds").glob("00[01]_*.txt"))
    reports = [SCORER.score(read_file(f)[0]) for f in files]
    found = trace(reports)
    first, second = (p.id for p in found.pages)
    assert together(found) == [[first, second]]
    edge = only(found, "quote")
    assert (edge.source.page, edge.target.page, edge.confidence) == (second, first, 1.0)
    original = next(s.utterance for s in reports[0].utterances if s.utterance.id == edge.target.utterance)
    assert original.author is not None
    assert original.author.name == "Peter S"
    author = next(p for p in found.people if len(p.pages) == 2)
    assert author.name == "Jason Baer"
    mention = only(trace([_with_failure(r) for r in reports]), "mention")
    assert (mention.source.page, mention.target.page, mention.joins) == (second, first, False)


@pytest.mark.slow
def test_twenty_thousand_utterances_take_little_memory() -> None:
    rng = random.Random(1)
    vocabulary = ["".join(rng.choices("bcdfgklmnprstvaeiou", k=rng.randint(2, 8))) for _ in range(6000)]
    weights = [1 / (n + 10) for n in range(len(vocabulary))]
    people = [
        f"{a.title()} {b.title()}"
        for a, b in zip(rng.sample(vocabulary, 4000), rng.choices(vocabulary, k=4000), strict=True)
    ]
    said: list[str] = []
    reports = []
    for number in range(1000):
        texts = [" ".join(rng.choices(vocabulary, weights, k=rng.randint(12, 80))) for _ in range(20)]
        for n in range(20):
            if said and rng.random() < 0.05:
                texts[n] += f' "{rng.choice(said)[:300]}"'
            if number and rng.random() < 0.02:
                texts[n] += f" https://b.example/{rng.randrange(number)}"
        said += texts
        page = [
            utterance(t, rng.choice(people), f"2024-01-{1 + number % 28:02}T10:{n:02}:00Z") for n, t in enumerate(texts)
        ]
        reports.append(report(str(number), *page, url=f"https://b.example/{number}", brand="Corvid"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = trace(reports)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000
    assert sum(e.kind == "quote" for e in found.edges) > 500
