import pytest

from model.reading.post import (
    addressed,
    claimed_count,
    infer_post_author,
    is_boilerplate,
    read_time,
    split_boilerplate,
    split_quote,
    states_no_comments,
)
from model.types import Author, Thread, Utterance


@pytest.mark.parametrize(
    "line",
    [
        "Leave a Reply",
        "Leave a Reply Cancel reply",
        "Fill in your details below or click an icon to log in: Logo",
        "You are commenting using your Twitter account. Log Out / Change )",
        "%d bloggers like this:",
        "Tagged , ,",
        "Tagged hinges, parcels, weather",
        "Posted on",
        "Posted on March 3, 2012 by admin",
        "This entry was posted in Uncategorized. Bookmark the permalink.",
        "Your email address will not be published. Required fields are marked *",
        "Share on Facebook",
        "We use cookies to make this site better.",
        "Facebook photo",
        "Comments are closed.",
        "Connecting to %s",
    ],
)
def test_boilerplate(line: str) -> None:
    assert is_boilerplate(line)


@pytest.mark.parametrize(
    "line",
    [
        "I had to leave a reply on their page three times before anybody noticed it.",
        "Posted in the hope that somebody at the company reads it.",
        "My e-mail was never answered.",
        "Share prices fell after the recall.",
        "They changed the website and lost my order.",
        "«Back» is all they said.",
        "Like!",
        "Good",
        "No response.",
        "No response so far.",
        "No replies.",
        "No comment.",
    ],
)
def test_what_people_say_is_no_boilerplate(line: str) -> None:
    assert not is_boilerplate(line)


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("2 thoughts on “A parcel”", 2),
        ("One thought on “A parcel”", 1),
        ("No Comments", 0),
        ("1,204 Comments", 1204),
        ("Comments (12)", 12),
        ("12 Responses to A parcel", 12),
        ("54 Kommentare", 54),
        ("This Post Has 80 Comments", 80),
        ("View entire discussion (50 comments)", 50),
        ("2 replies from the company and not one of them read", None),
        ("I counted 12 comments", None),
        ("No response from them", None),
        ("No comments yet", 0),
        ("No Responses to “A parcel”", 0),
        ("No Responses to A parcel", 0),
        ("2 Responses to Why nobody answers.", 2),
        ("No reply.", None),
        ("No answer on Monday", None),
        ("No answer yet.", None),
        ("No responses to Emma either.", None),
        ("Two replies on Monday, then nothing.", None),
        ("One answer.", None),
        ("No comment", None),
    ],
)
def test_claimed_count(line: str, count: int | None) -> None:
    assert claimed_count(line) == count


def test_a_heading_may_count_no_responses() -> None:
    assert claimed_count("No Responses", heading=True) == 0


@pytest.mark.parametrize(
    ("lines", "states"),
    [
        (["No responses yet", "Leave a Reply"], True),
        (["No replies yet.", "Log in to reply"], True),
        (["No Responses"], True),
        (["No Comments", "About us"], True),
        (["No reply.", "Leave a Reply"], False),
        (["No responses.", "I gave up."], False),
        (["No response"], False),
        (["no replies"], False),
    ],
)
def test_a_page_states_no_comments_and_a_story_no_answer(lines: list[str], states: bool) -> None:
    assert states_no_comments(lines, 0) is states


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Jane, you are right.", "Jane"),
        ("Hi Jane - same here.", "Jane"),
        ("@Jane: same here.", "Jane"),
        ("Jane Roe – same here.", "Jane Roe"),
        ("Thanks, Jane. Same here.", "Jane"),
        ("Well, that is that.", None),
        ("However, they never called.", None),
        ("Jane told me so.", None),
    ],
)
def test_addressed(text: str, name: str | None) -> None:
    assert addressed(text) == name


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("June 28, 2015 at 10:25 pm", "2015-06-28T22:25:00"),
        ("28th June 2015", "2015-06-28"),
        ("8. April 2019 @ 11:38", "2019-04-08T11:38:00"),
        ("2014-02-07 10:53:03Z, License: CC", "2014-02-07T10:53:03+00:00"),
        ("12 Mars 2011 12:05 am", "2011-03-12T00:05:00"),
        ("6 years ago", None),
        ("February 31, 2015", None),
        ("03/04/2012", None),
    ],
)
def test_read_time(text: str, iso: str | None) -> None:
    assert read_time(text) == iso


def test_a_quote_ends_with_its_closing_mark() -> None:
    post, quoted, author = split_quote(
        ["Ann Lee wrote to us, here is the letter in full:", "“One.", "Two.”", "We agree."]
    )
    assert (post[-1], quoted, author) == ("We agree.", ["“One.", "Two.”"], Author("Ann Lee"))


def test_a_colon_alone_announces_no_quote() -> None:
    paragraphs = ["I want three things:", "An answer.", "My money."]
    assert split_quote(paragraphs) == (paragraphs, [], None)


def test_split_boilerplate_keeps_the_rest() -> None:
    assert split_boilerplate("They called.\n\nReply\n\nAt last.") == ("They called.\n\nAt last.", ["Reply"])


def test_newest_first_names_no_post_author() -> None:
    thread = Thread(
        "t",
        (
            Utterance("post", "A story.", "post"),
            Utterance("2", "Ann, I agree.", parent="post", author=Author("Bo"), time="2020-02-02"),
            Utterance("1", "They never called.", parent="post", author=Author("Ann Lee"), time="2020-02-01"),
        ),
    )
    assert infer_post_author(thread) == thread


def test_comments_that_the_page_marks_name_the_post_author() -> None:
    mine = Utterance("2", "Thank you all.", parent="post", author=Author("Ann"), flags=("post_author",))
    thread = Thread("t", (Utterance("post", "A story.", "post"), mine))
    assert infer_post_author(thread).utterances[0].author == Author("Ann")
