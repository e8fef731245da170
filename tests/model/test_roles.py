import pytest

from model.codebook import ROLES
from model.roles import decide_role
from model.types import Author, Utterance

EVEN = dict.fromkeys(ROLES, 1 / 6)
MOSTLY_CUSTOMER = {**dict.fromkeys(ROLES, 0.02), "customer": 0.9}


def role(text, kind="comment", probabilities=MOSTLY_CUSTOMER, name="Kim", brand=None, flags=()):
    utterance = Utterance("1", text, kind=kind, author=Author(name), flags=flags)
    return decide_role([utterance], [probabilities], brand).role


def test_a_commenter_with_dealings_of_their_own_is_a_customer():
    assert role("I bought one in May and mine leaked after a week. They sent me a new lid.") == "customer"


def test_a_commenter_without_any_is_a_bystander_even_where_the_model_leans_to_customer():
    probabilities = {**dict.fromkeys(ROLES, 0.02), "customer": 0.5, "bystander": 0.4}
    assert role("Take the money and don't think about it so much!", probabilities=probabilities) == "bystander"


def test_a_review_stays_a_customers_unless_the_model_is_sure():
    assert role("Lovely machine, quiet and quick.", kind="review") == "customer"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("On behalf of Brewster we apologise. Please email us at the address on your receipt.", "Anna"),
        ("Thank you for telling us, a new one is on its way.", "Brewster Support"),
    ],
)
def test_the_company_is_known_by_its_wording_or_its_name(text, name):
    assert role(text, name=name, probabilities=EVEN) == "company"


@pytest.mark.parametrize(
    ("name", "subject", "expected"),
    [
        ("Anna (Brewster)", "My Brewster kettle leaked", "company"),
        ("Anna, Brewster", "My Brewster kettle leaked", "company"),
        ("Anna (Leeds)", "My Brewster kettle leaked", "customer"),
    ],
)
def test_a_company_in_the_name_counts_where_the_thread_is_about_it(name, subject, expected):
    utterance = Utterance("1", "I sent you a mail about it.", author=Author(name), parent="0")
    found = decide_role([utterance], [MOSTLY_CUSTOMER], subject=subject)
    assert (found.role == "company") == (expected == "company")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Tom Baker", "Hi Ruth, Tom from Brewster here. I called you this morning and we have refunded the postage."),
        ("Marta", "We called you twice and left a message. Your refund was paid on Monday."),
        ("Tom B", "I work at Brewster. We dropped the ball here and the money went out this morning."),
        ("Marta, Brewster care", "I have looked at it again."),
        ("BrewsterHelp", "Sorry to hear that. Which size was it?"),
        ("Seller response", "The parcel was delivered on 3 May according to our records."),
    ],
)
def test_who_tells_a_customer_what_was_done_for_them_is_the_company(name, text):
    assert role(text, name=name, brand="Brewster") == "company"


@pytest.mark.parametrize(
    ("name", "brand", "text"),
    [
        ("Barbara", "BA", "BA lost my bag and nobody answered."),
        ("Official Charts Fan", "Brewster", "They did refund mine in two days."),
        ("BrewsterHater", "Brewster", "Mine broke after a week and they refused to take it back."),
        ("Kim", "Brewster", "I e-mailed you three times, Brewster, and you ignored me."),
    ],
)
def test_a_name_or_a_you_alone_makes_nobody_the_company(name, brand, text):
    assert role(text, name=name, brand=brand) == "customer"


@pytest.mark.parametrize(
    "text",
    [
        "Never buying one, thanks for the warning.",
        "Glad that I read this, I won't buy one.",
        "I would switch to Larkfield if I were you.",
        "You should cancel and never go back.",
        "Never owned a Brewster, I only came for the recipes and stayed. Not one that I want to try.",
    ],
)
def test_who_only_draws_a_lesson_or_gives_advice_has_no_dealings(text):
    probabilities = {**dict.fromkeys(ROLES, 0.02), "customer": 0.6, "bystander": 0.3}
    utterance = Utterance("1", text, author=Author("Kim"), parent="0")
    assert decide_role([utterance], [probabilities], states_loyalty=True).role == "bystander"


@pytest.mark.parametrize(
    "text",
    [
        "I own a Brewster and it never let me down.",
        "I've got two of them and both still run.",
        "They lost mine in May.",
        "That is odd, my own parcel came in two days.",
        "I won't buy from them again.",
        "Never again, I am leaving them.",
    ],
)
def test_who_owns_one_or_will_not_come_back_has_dealings(text):
    utterance = Utterance("1", text, author=Author("Kim"), parent="0")
    assert decide_role([utterance], [MOSTLY_CUSTOMER], states_loyalty=True).role == "customer"


def test_a_flag_of_the_page_decides():
    assert role("I bought one too.", flags=("company",)) == "company"


def test_an_expert_without_dealings_is_a_commentator():
    text = "As a consultant I tell my clients: brands should answer within the hour, whatever it costs."
    assert role(text, probabilities=EVEN) == "commentator"


@pytest.mark.parametrize(
    "text",
    [
        "They sent someone after ten days, which cost me a day off work.",
        "Mixed bag. It took them ten days, then they refunded the whole month. Not sure if I will renew.",
    ],
)
def test_what_it_cost_and_what_comes_next_are_dealings(text):
    assert role(text) == "customer"


def test_who_says_to_leave_has_dealings():
    utterance = Utterance("1", "That was the last time.", author=Author("Kim"), parent="0")
    assert decide_role([utterance], [MOSTLY_CUSTOMER]).role != "customer"
    assert decide_role([utterance], [MOSTLY_CUSTOMER], states_loyalty=True).role == "customer"


def test_who_opens_a_thread_with_what_the_company_did_tells_of_themselves():
    text = "The refund took ninety days and came without a word."
    post = [Utterance("1", text, kind="post", author=Author("Kim"))]
    comment = [Utterance("2", text, author=Author("Kim"), parent="1")]
    journalist = {**MOSTLY_CUSTOMER, "customer": 0.6, "commentator": 0.3}
    assert decide_role(post, [MOSTLY_CUSTOMER]).role != "customer"
    assert decide_role(post, [MOSTLY_CUSTOMER], tells_conduct=True).role == "customer"
    assert decide_role(comment, [MOSTLY_CUSTOMER], tells_conduct=True).role != "customer"
    assert decide_role(post, [journalist], tells_conduct=True).role == "commentator"


def test_the_decision_says_how_sure_it_is_and_why():
    found = decide_role([Utterance("1", "I bought one.", author=Author("Kim"))], [MOSTLY_CUSTOMER])
    assert 0.5 < found.probability <= 1
    assert "own dealings" in found.reason
