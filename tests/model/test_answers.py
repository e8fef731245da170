import pytest

from model.answers import with_answers
from model.types import Author, Case, Cue, Utterance


def case(author, role, *uids, cues=()):
    return Case(author, role, "why", "ok", None, uids, tuple(cues))


def said(text, words, cue="redress", value="refund", uid="9"):
    start = text.index(words)
    return Cue(cue, value, "present", 0.9, words, start, start + len(words), uid)


def answered(text, words, *authors, parent="1"):
    """Names of those to whom a refund in `words` of the company's answer goes; the answer is to `parent`."""
    customers = [case(name, "customer", str(n)) for n, name in enumerate(authors, start=1)]
    utterances = [Utterance(c.utterances[0], "x", author=Author(c.author)) for c in customers]
    utterances.append(Utterance("9", text, author=Author("Norlink Help"), parent=parent))
    found = with_answers([*customers, case("Norlink Help", "company", "9", cues=[said(text, words)])], utterances)
    return [c.author for c in found if any(a.cue == "redress" for a in c.answers)]


WORDS = "have refunded you"


@pytest.mark.parametrize(
    ("text", "author", "goes"),
    [
        ("We have refunded you, Will Hart.", "Will Hart", True),
        ("Hi Will, we have refunded you.", "Will Hart", True),
        ("Hi Will we have refunded you.", "Will Hart", True),
        ("Will - we have refunded you.", "Will Hart", True),
        ("Dear Mr Hart, we have refunded you.", "Will Hart", True),
        ("Dear Mr. Hart, we have refunded you.", "Mr Hart", True),
        ("Hi Bex, we have refunded you.", "Hart, Bex", True),
        ("Hi dampflat, we have refunded you.", "u/dampflat", True),
        ("u/dampflat we have refunded you.", "dampflat", True),
        ("@bex_h we have refunded you.", "bex_h", True),
        ("Hi Bex H, we have refunded you.", "Bex Hart", True),
        ("Hi Ann and Bex, we have refunded you.", "Bex Hart", True),
        ("We have refunded you in full, Bex.", "bex", True),
        ("We have refunded you in full, Bex. We care.", "Bex", True),
        ("We have refunded you. Sorry again, Bex.", "Bex", True),
        # Words that are names as well, and names of people who are only spoken of.
        ("We will see. We have refunded you.", "Will Hart", False),
        ("Will do! We have refunded you.", "Will Hart", False),
        ("Hi, hope you are well. We have refunded you.", "Hope", False),
        ("Hi Hope you are well. We have refunded you.", "Hope", False),
        ("You may know that we have refunded you in May.", "May", False),
        ("Please mark this as solved, we have refunded you.", "Mark", False),
        ("Hi just a word: we have refunded you.", "just_jo", False),
        ("The money is back, we have refunded you.", "The Baker Family", False),
        ("That was not good. We have refunded you.", "Not Happy", False),
        ("Our manager, Will, says we have refunded you.", "Will", False),
        ("Dear Mr Stone, we have refunded you.", "Mr Holt", False),
    ],
)
def test_an_answer_goes_to_whom_it_calls_by_name(text, author, goes):
    assert answered(text, WORDS, "Cy", author) == [author if goes else "Cy"]


def test_a_mr_stone_is_no_mr_holt_and_an_unknown_first_name_may_be_the_one_who_is_answered():
    assert answered("Dear Mr Stone, we have refunded you.", WORDS, "Mr Holt") == []
    assert answered("Hi Susan, we have refunded you.", WORDS, "dampflat") == ["dampflat"]


def test_each_sentence_goes_to_the_last_one_called_before_it():
    text = "Bex, we are looking into it. Tom, we have refunded you in full."
    assert answered(text, WORDS, "Cy", "Bex", "Tom") == ["Tom"]
    assert answered(text, "are looking into it", "Cy", "Bex", "Tom") == ["Bex"]
    text = "We have refunded you in full. Bex, we have sent you a mail."
    assert answered(text, WORDS, "Cy", "Bex") == ["Cy"]


def contact(*customers_cues, reply=None, parent="1"):
    customer = case("Bex", "customer", "1", "3", cues=customers_cues)
    utterances = [
        Utterance("1", "Nobody ever answered me.", author=Author("Bex")),
        Utterance("2", reply or "That is not what we want. Please DM us.", author=Author("Norlink"), parent=parent),
        Utterance("3", "I sent a DM.", author=Author("Bex")),
    ]
    return with_answers([customer, case("Norlink", "company", "2")], utterances)[0].answers


def none(uid):
    return Cue("contact", "none", "absent", 0.9, "Nobody", 0, 6, uid)


def test_any_reply_of_the_company_is_contact_unless_silence_is_told_after_it():
    (found,) = contact(none("1"))
    assert (found.cue, found.value, found.utterance) == ("contact", "made", "2")
    assert found.quote == "That is not what we want. Please DM us."
    assert contact(none("3")) == ()
    assert contact(none("1"), parent=None) == ()
    assert len(contact(none("1"), parent=None, reply="Hi Bex, we are here.")) == 1


def test_what_the_company_refuses_is_an_answer_too():
    cues = [Cue("redress", "refused", "absent", 0.9, "unable to refund", 0, 16, "2")]
    utterances = [Utterance("1", "x"), Utterance("2", "unable to refund you.", parent="1")]
    found = with_answers([case("Bex", "customer", "1"), case("Norlink", "company", "2", cues=cues)], utterances)
    assert [f"{c.cue}:{c.value}" for c in found[0].answers] == ["contact:made", "redress:refused"]
