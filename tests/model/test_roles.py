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
    assert decide_role(post, [MOSTLY_CUSTOMER], conduct=[text]).role == "customer"
    assert decide_role(comment, [MOSTLY_CUSTOMER], conduct=[text]).role != "customer"
    assert decide_role(post, [journalist], conduct=[text]).role == "commentator"


def test_the_decision_says_how_sure_it_is_and_why():
    found = decide_role([Utterance("1", "I bought one.", author=Author("Kim"))], [MOSTLY_CUSTOMER])
    assert 0.5 < found.probability <= 1
    assert "own dealings" in found.reason


def tells(text, brand=None, subject="", **options):
    """The role of who tells of conduct in every sentence of a comment."""
    sentences = [part for part in text.replace("!", ".").split(".") if part.strip()]
    utterance = Utterance("1", text, author=Author("Kim"), parent="0")
    return decide_role([utterance], [MOSTLY_CUSTOMER], brand, subject, conduct=sentences, **options).role


@pytest.mark.parametrize("kind", ["tweet", "review"])
def test_who_opens_with_a_review_or_tweet_stays_a_customer_when_they_answer(kind):
    opening = Utterance(
        "1", "@Norlink Without internet for eleven days, and no answer.", kind=kind, author=Author("Bex")
    )
    again = Utterance("3", "See above.", kind="comment", author=Author("Bex"), parent="2")
    alone = decide_role([again], [MOSTLY_CUSTOMER])
    both = decide_role([opening, again], [MOSTLY_CUSTOMER, MOSTLY_CUSTOMER])
    assert (alone.role != "customer", both.role) == (True, "customer")
    assert both.probability == pytest.approx(decide_role([opening], [MOSTLY_CUSTOMER]).probability)


def test_an_answer_in_tweets_opens_nothing():
    answers = [Utterance(n, "Read the terms.", kind="tweet", author=Author("Cy"), parent="1") for n in ("2", "3")]
    assert decide_role(answers, [MOSTLY_CUSTOMER, MOSTLY_CUSTOMER]).role == "bystander"


@pytest.mark.parametrize(
    "text",
    [
        "They refused to refund me as well.",
        "They will not refund me either.",
        "They hung up on me.",
        "I wrote to Norlink in March and did not hear back until June.",
        "My router has been dead for 3 weeks.",
        "PawSure paid mine in 5 days, no fuss.",
        "I had to ring nine times.",
        "I asked for a refund and got a voucher.",
        "I lost two days of work and they offered 5 pounds.",
        "You should complain to the ombudsman. I did and got 200 pounds within a month.",
        "They said they\u2019d contact us.",
        "Nobody at Norlink could reach us. We lost three days.",
        "They promised to contact us within a week and never did.",
    ],
)
def test_victims_in_comments_tell_of_dealings_in_many_words(text):
    assert role(text, brand="Norlink") == "customer"


@pytest.mark.parametrize(
    "text",
    [
        "Don't call me naive, but this is how it goes.",
        "They don't pay me enough to read all of that.",
        "I had to laugh at the answer, and I had to call this out.",
        "I lost two hours reading this thread.",
        "I lost interest after the first paragraph.",
        "My guess is that nobody reads the mails.",
        "My question was who pays for it.",
        "They lost my respect with that answer.",
        "I asked for an example.",
        "I had to wait to read the end.",
    ],
)
def test_words_like_those_of_dealings_make_no_customer(text):
    probabilities = {**dict.fromkeys(ROLES, 0.02), "customer": 0.6, "bystander": 0.3}
    assert role(text, probabilities=probabilities, brand="Norlink") == "bystander"


@pytest.mark.parametrize(
    "text",
    [
        "Nine calls, and a shrug for me at the end.",
        "It took I don't know how long until I stood in the queue once more.",
    ],
)
def test_who_tells_of_conduct_that_befell_them_has_dealings(text):
    assert role(text) != "customer"
    assert tells(text) == "customer"


@pytest.mark.parametrize(
    "text",
    [
        "I think they never answered anybody.",
        "I read that they kept quiet for eleven days.",
        "It seems to me that nobody checked the line.",
        "I cried when they gave you the money back.",
        "My brother had that dryer and nobody came.",
        "My opinion: an apology without a date is hollow.",
        "The couple next to me paid for meals and got none.",
        '"It was my mistake," the man at the desk said.',
        "If I were you the ombudsman would hear from me.",
        "Shipping within the US is free and quick.",
    ],
)
def test_who_tells_of_conduct_towards_others_is_no_customer(text):
    assert tells(text) != "customer"


def test_words_that_befell_somebody_count_where_the_model_sees_a_customer():
    utterance = Utterance("1", "Nine calls, and a shrug for me at the end.", author=Author("Kim"), parent="0")
    unsure = {**dict.fromkeys(ROLES, 0.05), "customer": 0.5, "company": 0.3}
    assert decide_role([utterance], [unsure], conduct=[utterance.text]).role != "customer"


@pytest.mark.parametrize(
    "text",
    [
        "Not a customer, but reading this I never will be.",
        "I'm not a customer of theirs, but I will stay with Quill after this.",
        "I have never been a customer and will not switch.",
        "I don't have an account with them and will stay away.",
        "I was thinking of switching to Norlink. Now I won't.",
        "We were about to order one from Norlink, not any more.",
        "I'll stick with Quill, thanks.",
        "I would switch to Norlink if they came to our village.",
    ],
)
def test_who_was_never_there_neither_stays_nor_leaves(text):
    sure = {**dict.fromkeys(ROLES, 0.001), "customer": 0.99, "bystander": 0.006}
    utterance = Utterance("1", text, author=Author("Kim"), parent="0")
    assert decide_role([utterance], [sure], "Norlink", states_loyalty=True).role != "customer"


@pytest.mark.parametrize(
    "text",
    [
        "I am not a customer any more.",
        "I am not a happy customer and won't be back.",
        "I don't have an account any more, I closed it.",
        "I'll stick with Norlink, thanks.",
        "I'll stick with them.",
        "I was thinking of switching to Quill. Now I won't.",
        "I was going to buy another Norlink. Not any more.",
        "I will stay with NL.",
        "I left them, and I'll stick with Quill.",
        "I was not a customer then, but I bought one in May.",
        "I am going back to Norlink, I will switch to Norlink again.",
    ],
)
def test_who_was_there_stays_or_leaves(text):
    utterance = Utterance("1", text, author=Author("Kim"), parent="0")
    brand = "Nor Link" if "NL" in text else "Norlink"
    assert decide_role([utterance], [MOSTLY_CUSTOMER], brand, states_loyalty=True).role == "customer"


def test_with_whom_somebody_stays_counts_only_where_the_brand_is_known():
    utterance = Utterance("1", "I'll stick with Quill, thanks.", author=Author("Kim"), parent="0")
    assert decide_role([utterance], [MOSTLY_CUSTOMER], states_loyalty=True).role == "customer"
    assert decide_role([utterance], [MOSTLY_CUSTOMER], "Quill", states_loyalty=True).role == "customer"


@pytest.mark.parametrize(
    "text",
    [
        "I contacted Norlink for comment; a spokesperson told me that the fault was fixed on Monday.",
        "Their spokesman told me that letters went out.",
        "They offered me a job once.",
        "I am their supplier, they paid me after 90 days.",
        "I used to work for them, and they paid me late.",
        "I applied for a job there and they never called me.",
    ],
)
def test_who_deals_with_the_company_otherwise_is_no_customer(text):
    assert role(text, brand="Norlink") != "customer"
    assert tells(text, "Norlink") != "customer"


@pytest.mark.parametrize(
    "text",
    [
        "I am a journalist myself, and they lost my parcel.",
        "As a contractor I need the line, and they sent me a bill for nothing.",
        "They told me that their supplier was out of stock.",
        "I missed a job interview because they sent me to the wrong gate.",
        "I used to work for them, but I also bought two routers and they refused to refund me.",
        "Their spokesman said that all were paid; they never paid me.",
    ],
)
def test_who_is_something_else_too_stays_a_customer(text):
    assert role(text, brand="Norlink") == "customer"


@pytest.mark.parametrize(
    "text",
    [
        "Hello Bex, Dan from Norlink's executive team. I've called you twice today, and I am sorry.",
        "I've called you twice today. I have refunded the month.",
        "Hi Ruth, that is not good. Could you DM us your order number?",
        "Feel free to contact us at any time.",
        "Please send the order number and email us a photo.",
        "The mistake on our end has been found.",
        "Your line runs again, our engineers found the fault.",
    ],
)
def test_staff_who_answer_in_person_are_the_company(text):
    assert role(text, brand="Norlink", probabilities={**dict.fromkeys(ROLES, 0.02), "customer": 0.8}) == "company"


@pytest.mark.parametrize(
    "text",
    [
        "Dan from Norlink's executive team called me twice and refunded the month.",
        "Hi Dan from Norlink, you never called me back.",
        "Nobody bothered to contact us.",
        "They should contact us, we waited for a week.",
        "Please have somebody contact us, our line has been dead since May.",
        "Our customers could not reach us, we lost three days.",
        "They checked, and there was no fault on our end. They sent us a bill.",
    ],
)
def test_customers_who_say_us_are_not_the_company(text):
    assert role(text, brand="Norlink") == "customer"
