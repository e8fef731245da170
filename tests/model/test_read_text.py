from pathlib import Path

import pytest

from model.reading.text import NOT_USED, read_text
from model.types import Author, InputError, Thread, Utterance

FIXTURES = Path(__file__).parent / "fixtures"
EXAMPLES = Path(__file__).parents[2] / "examples"

BODY = "The oven from Brandt and Pohl failed after a week, and I have written to them three times without any answer."


def by_id(thread: Thread) -> dict[str, Utterance]:
    return {u.id: u for u in thread.utterances}


def spoken(thread: Thread) -> list[Utterance]:
    return [u for u in thread.utterances if "boilerplate" not in u.flags]


def furniture(thread: Thread) -> list[str]:
    return [u.text for u in thread.utterances if "boilerplate" in u.flags]


@pytest.fixture(scope="module")
def numbered() -> Thread:
    return read_text((FIXTURES / "numbered.txt").read_text("utf-8"), name="numbered")


@pytest.fixture(scope="module")
def bullets() -> Thread:
    return read_text((EXAMPLES / "lift-outage.txt").read_text("utf-8"), name="lift")


def test_numbered_comments_have_authors_times_and_parents(numbered: Thread) -> None:
    comments = {u.id: (u.author and u.author.name, u.parent, u.time) for u in spoken(numbered) if u.kind == "comment"}
    assert comments == {
        "comment-1": ("Ruben Hale", "post", "2014-03-05T09:30:00"),
        "comment-2": ("Ida", "comment-1", None),
        "comment-3": (None, "post", None),
    }
    assert numbered.claimed == 3
    assert numbered.confidence == 0.9
    assert numbered.warnings == ()


def test_a_list_inside_a_comment_is_no_reply(numbered: Thread) -> None:
    text = by_id(numbered)["comment-1"].text
    assert "- call" in text
    assert "- wait" in text


def test_a_quoted_comment_is_cut_out_of_the_post(numbered: Thread) -> None:
    quote = by_id(numbered)["quote-1"]
    assert quote.kind == "quote"
    assert quote.flags == ("quoted",)
    assert quote.author == Author("Jo")
    assert quote.text.startswith("Mine went to the sea")
    assert "to the sea" not in by_id(numbered)["post"].text


def test_boilerplate_is_handed_on_and_never_part_of_a_text(numbered: Thread) -> None:
    assert {"Posted on", "Tagged , ,", "Reply", "Leave a Reply", "%d bloggers like this:"} <= set(furniture(numbered))
    words = " ".join(u.text for u in spoken(numbered))
    for phrase in ("Tagged", "Leave a Reply", "Log Out", "bloggers", "Fill in", "Posted on"):
        assert phrase not in words


def test_bullets_read_header_and_indented_text(bullets: Thread) -> None:
    comments = [u for u in spoken(bullets) if u.id.startswith("comment-")]
    assert len(comments) == 8
    assert comments[0].author == Author("Owen Prydderch", "http://www.hallowgate-residents.example/")
    assert comments[0].text.startswith("Martina,\n\nWe had the same")
    assert comments[4].kind == "tweet"
    assert bullets.title == "Nineteen days on the stairs: what Ascentra Lifts did and did not do"
    assert "Property, Building Services, Tenants" in furniture(bullets)


def test_whoever_is_addressed_before_speaking_wrote_the_post(bullets: Thread) -> None:
    # The signature is taken away, so that only the comments tell.
    text = (EXAMPLES / "lift-outage.txt").read_text("utf-8").replace("\nMartina Kowalczyk\n\n  •", "\n  •", 1)
    thread = read_text(text)
    assert by_id(thread)["post"].author == Author("Martina Kowalczyk")
    reply = by_id(thread)["comment-3"]
    assert reply.flags == ("post_author", "parent_inferred")
    assert reply.parent == "comment-2"
    assert by_id(bullets)["post"].author == Author("Martina Kowalczyk")


def test_a_signature_before_a_postscript_names_the_author() -> None:
    thread = read_text(f"A title here\n\n{BODY}\n\n{BODY}\n\nEdda Lindgren\n\nPS: more of this on our daily blog.")
    assert by_id(thread)["post"].author == Author("Edda Lindgren")


@pytest.mark.parametrize(
    "line",
    [
        "By Edda Lindgren",
        "Posted by Edda Lindgren on 3 May 2020",
        "Written by Edda Lindgren",
        "By Edda Lindgren • 3 May 2020",
    ],
)
def test_a_byline_names_the_author(line: str) -> None:
    thread = read_text(f"A title here\n\n{line}\n\n{BODY}\n\n{BODY}")
    assert by_id(thread)["post"].author == Author("Edda Lindgren")
    assert "Lindgren" not in by_id(thread)["post"].text


def test_promotion_at_the_foot_is_boilerplate_and_names_its_owner() -> None:
    box = "Hanna Ode is the keynote speaker and author of two books. Click here for your free chapter."
    blurb = "“Hanna Ode is the best we ever had on our stage, and the room was full.” –Kim Bo, Fairs Inc"
    thread = read_text("\n\n".join(["A title here", BODY, BODY, BODY, BODY, box, blurb, "© 2013 Hanna Ode. All mine."]))
    assert len(furniture(thread)) == 3
    assert by_id(thread)["post"].text.count("Brandt") == 4
    assert by_id(thread)["post"].author == Author("Hanna Ode")


def test_words_of_promotion_inside_the_story_stay() -> None:
    told = (
        "I was told to click here for a free trial and to subscribe to a newsletter, which is all they ever answered."
    )
    thread = read_text("\n\n".join(["A title here", told, BODY, BODY]))
    assert told in by_id(thread)["post"].text


@pytest.mark.parametrize("form", ["No Comment\n\nLeave a Comment", "Leave a Reply\n\nName *\n\nWebsite"])
def test_a_form_is_no_comment(form: str) -> None:
    thread = read_text(f"A title here\n\n{BODY}\n\n{form}")
    assert [u.id for u in spoken(thread)] == ["post"]
    assert furniture(thread) == form.split("\n\n")


@pytest.mark.parametrize(
    "line", ["No reply.", "No response.", "No answer yet.", "No answer on Monday", "Two replies.", "No responses."]
)
def test_a_story_goes_on_after_no_answer(line: str) -> None:
    after = "Then I went to the ombudsman and they refunded me within a week, with an apology."
    thread = read_text(f"My deposit\n\nThey kept 900 pounds after I moved out.\n\n{line}\n\n{after}")
    post = by_id(thread)["post"].text
    assert line in post
    assert after in post
    assert thread.claimed is None
    assert not furniture(thread)


def test_no_answer_stays_in_a_comment() -> None:
    thread = read_text(
        f"A title here\n\n{BODY}\n\n2 Comments\n\nTom says:\n\nI wrote twice.\n\nNo response.\n\nThen they paid.\n\n"
        "Ida says:\n\nNo response so far."
    )
    assert [u.text for u in spoken(thread)[1:]] == [
        "I wrote twice.\n\nNo response.\n\nThen they paid.",
        "No response so far.",
    ]


@pytest.mark.parametrize("line", ["No responses yet", "No Replies", "No comments yet.", "No Responses to “A parcel”"])
def test_a_page_without_responses_ends_there(line: str) -> None:
    thread = read_text(f"A title here\n\n{BODY}\n\n{line}\n\nLeave a Reply\n\nName *")
    assert [u.id for u in spoken(thread)] == ["post"]
    assert line in furniture(thread)
    assert thread.claimed == 0


def test_no_comments_inside_a_story_cuts_nothing_after_it() -> None:
    thread = read_text("My bank\n\nI looked at their page.\n\nNo comments\n\nI wrote the first one.\n\nThey paid.")
    assert by_id(thread)["post"].text.endswith("I wrote the first one.\n\nThey paid.")


def test_a_form_link_over_a_short_story_does_not_hide_it() -> None:
    thread = read_text("Leave a comment\n\nA title here\n\nThe oven failed.\n\nThey paid.")
    assert "They paid." in by_id(thread)["post"].text


def test_a_form_link_over_the_story_does_not_hide_it() -> None:
    thread = read_text(f"Leave a comment\n\nA title here\n\n{BODY} {BODY}\n\n{BODY}")
    assert BODY in by_id(thread)["post"].text


def test_a_bullet_list_in_the_post_stays_in_the_post() -> None:
    thread = read_text(f"A title here\n\n{BODY}\n\n  • Speed\n\n    none\n\n  • Manners\n\n    none\n\n{BODY}")
    assert [u.id for u in spoken(thread)] == ["post"]
    assert "Manners" in by_id(thread)["post"].text


def test_plain_blocks_under_a_heading() -> None:
    thread = read_text(
        f"A title here\n\n{BODY}\n\n2 Comments\n\nAda Bell\nMarch 3, 2012 at 5:14 pm\n\nThey never called.\n\nReply\n\n"
        "Tom says:\n\nThey called me at once."
    )
    assert [(u.author, u.text, u.time) for u in spoken(thread)[1:]] == [
        (Author("Ada Bell"), "They never called.", "2012-03-03T17:14:00"),
        (Author("Tom"), "They called me at once.", None),
    ]


def test_a_count_that_does_not_fit_is_said() -> None:
    thread = read_text(f"A title here\n\n{BODY}\n\n5 comments\n\n  1. Ada says:\n\n    They never called.")
    assert thread.claimed == 5
    assert thread.confidence == 0.6
    assert thread.warnings == ("the page states 5 comments, 1 were found",)


def test_text_without_words_is_an_error() -> None:
    with pytest.raises(InputError) as caught:
        read_text(" -- \n ...", name="dots.txt")
    assert (caught.value.code, caught.value.field) == ("empty_file", "dots.txt")


def test_relative_dates_open_comments_and_give_no_time() -> None:
    page = (
        "My bank and the lost card\n\nI lost my card in May and told the bank the same hour.\n\nComments (2)\n\n"
        "Hana\n3 days ago\nThe same happened to me, they were quick.\nReply\n\n"
        "Sam\n19 hours ago\nMine took a month.\nReply\n"
    )
    comments = [u for u in read_text(page).utterances if u.kind == "comment"]
    assert [(u.author.name, u.time) for u in comments if u.author] == [("Hana", None), ("Sam", None)]
    assert comments[0].text == "The same happened to me, they were quick."


def test_two_plain_paragraphs_have_no_title() -> None:
    thread = read_text("My kettle leaked after a week.\n\nA manager called and sent a refund.")
    assert thread.title is None
    assert "leaked" in thread.utterances[0].text


@pytest.mark.parametrize(
    "first",
    [
        "I have been a customer of Pell Bank for thirty years. In March they closed my account without a letter.",
        "Never again!",
        "They lied! Avoid Pell Bank",
        "“Is this how you treat people?”",
        "Dear Pell Bank,",
    ],
)
def test_a_sentence_is_no_title(first: str) -> None:
    thread = read_text(f"{first}\n\nThey apologised and reopened it the next day.\n\nAll is well again.")
    assert thread.title is None
    assert by_id(thread)["post"].text.startswith(first)


@pytest.mark.parametrize(
    "title", ["Pell Bank and my account", "Pell vs. Ode: a bank and a customer", "Pell Bank, or: thirty years"]
)
def test_a_line_that_is_no_sentence_is_the_title(title: str) -> None:
    thread = read_text(f"{title}\n\nThey closed it.\n\nAll is well again.")
    assert thread.title == title
    assert title not in by_id(thread)["post"].text


@pytest.mark.parametrize("line", ["Posted by u/dampflat", "Posted by u/dampflat 3 days ago", "Posted by @dampflat"])
def test_a_byline_may_name_an_account(line: str) -> None:
    assert by_id(read_text(f"A title here\n\n{line}\n\n{BODY}"))["post"].author == Author("dampflat")


@pytest.mark.parametrize(
    "text",
    [
        "Ann: It leaked.\nOrbix_Care: Hi Ann, we're sorry.",
        "A kettle\n\nAnn: It\nleaked.\n\nOrbix_Care: Hi Ann, we're sorry.",
        "@ann: It leaked.\n@orbix_care: Hi Ann, we're sorry.",
        "From: Ann <ann@mail.example>\nDate: Mon, 4 Mar 2024 10:02\nSubject: A kettle\n\nIt leaked.\n\n"
        "From: Orbix_Care\nSent: 5 March 2024\n\nHi Ann, we're sorry.",
        "**Ann** (2024-02-02)\nIt leaked.\n\n**Orbix_Care** (2024-02-03)\nHi Ann, we're sorry.",
        "#1\nAnn\nIt leaked.\n\n#2\nOrbix_Care\nHi Ann, we're sorry.",
        "#1 / Ann\nIt leaked.\n\n#2 / Orbix_Care\nHi Ann, we're sorry.",
        "Ann wrote on 3 March 2024:\nIt leaked.\n\nOrbix_Care wrote on 4 March 2024:\nHi Ann, we're sorry.",
        "Ann • 2 days ago\nIt leaked.\n\nOrbix_Care • 1 day ago\nHi Ann, we're sorry.",
        "Ann\n3 days ago\nIt leaked.\n\nOrbix_Care\n2 days ago\nHi Ann, we're sorry.",
    ],
)
def test_speakers_without_a_heading(text: str) -> None:
    thread = read_text(text)
    said = [(u.author and u.author.name.lower(), " ".join(u.text.split()), u.parent) for u in thread.utterances]
    assert said == [("ann", "It leaked.", None), ("orbix_care", "Hi Ann, we're sorry.", "post")]
    assert (thread.warnings, thread.confidence) == ((), 0.6)
    lines = text.splitlines()
    assert all(u.text.split()[-1] in " ".join(lines[int((u.place or "")[5:]) - 1 :]) for u in thread.utterances)


def test_reviews_and_the_answer_of_an_owner() -> None:
    thread = read_text(
        "Ann B.\n★★★★★\n3 March 2024\nGood kettle.\n\nTom\n★☆☆☆☆\n4 March 2024\nIt leaked.\n\n"
        "Owner response\n5 March 2024\nWe are sorry, Tom."
    )
    assert [(u.kind, u.author and u.author.name, u.parent, u.time, u.flags) for u in thread.utterances] == [
        ("review", "Ann B.", None, "2024-03-03", ()),
        ("review", "Tom", None, "2024-03-04", ()),
        ("comment", "Owner", "comment-2", "2024-03-05", ("company",)),
    ]


def test_a_post_over_speakers_stays_the_post() -> None:
    thread = read_text(f"{BODY}\n\n{BODY}\n\nAnn • 2 days ago\nMine too.\n\nTom • 1 day ago\nReally?")
    assert [(u.id, u.parent) for u in thread.utterances] == [
        ("post", None),
        ("comment-1", "post"),
        ("comment-2", "post"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Pros: cheap\nCons: leaks\nVerdict: no",
        "Problem: leak\nSolution: refund\nProblem: rust\nSolution: none",
        "Monday: I called.\nTuesday: I wrote.\nMonday: I called again.",
        "Weds: I called.\nThurs: I wrote.\nWeds: I called again.",
        "Q1: fast\nQ2: slow\nDay1: called",
        "Phone Call, 3 March 2024\nThey said no.\n\nSecond Letter, 5 March 2024\nThey said yes.",
        "Called - 3 March 2024\nNo.\n\nEmailed - 5 March 2024\nYes.",
        "Pell Bank\nOn 3 March 2024 they said no.\n\nOde Bank\nOn 4 March 2024 they said yes.",
        "I wrote on 3 March 2024:\nIt leaked.\n\nThey wrote on 4 March 2024:\nWe refund.",
        "#1 Late delivery\nIt came late.\n\n#2 Rude staff\nThey were rude.",
        "#1\nDelivery\nLate.\n\n#2\nStaff\nRude.",
        "Ann Lee\n3 March 2024\nIt leaked.",
    ],
)
def test_labels_and_logs_are_no_speakers(text: str) -> None:
    thread = read_text(text)
    assert [(u.id, u.text, u.author) for u in thread.utterances] == [("post", text, None)]
    assert thread.warnings == ("no comments were found",)


@pytest.mark.parametrize(
    "text",
    [
        "It leaked.\n\nMe: It leaked.\nAgent: Sorry.\nMe: And?\nAgent: Bye.\n\nI will never buy again.",
        "Rome\n3 May 2023\nThe hotel was full.\n\nParis\n5 May 2023\nThe hotel was dirty.",
        "Leeds, 3 March 2024\nIt rained in.\n\nYork, 4 March 2024\nIt was cold.",
    ],
)
def test_doubtful_speakers_are_said_and_left(text: str) -> None:
    thread = read_text(text)
    assert [(u.id, u.text) for u in thread.utterances] == [("post", text)]
    assert NOT_USED in thread.warnings


def test_a_short_comment_over_the_next_header_is_no_name() -> None:
    thread = read_text(f"{BODY}\n\nComments (2)\n\nAnn • 2 days ago\nIt leaked.\n\n**Tom** (2024-02-02)\nMine too.")
    assert [(u.author and u.author.name, u.text) for u in spoken(thread)[1:]] == [
        ("Ann", "It leaked."),
        ("Tom", "Mine too."),
    ]
