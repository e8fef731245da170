import pytest

from model.durations import durations, number
from model.latency import Latency, TimedCase, latencies, told
from model.types import Case, Cue
from service.present import latency_words

DAY, WEEK, MONTH = 24.0, 168.0, 730.0
ANSWERS = [
    ("They replied within ten minutes.", 0, 10 / 60, False),
    ("It took them nine days to answer my mail.", 9 * DAY, 9 * DAY, False),
    ("Over forty eight hours had passed before anyone called.", 48, None, False),
    ("As of one week no one has contacted me.", WEEK, None, True),
    ("A manager rang me the next day.", 1, 48, False),
    ("Still waiting after 3 weeks.", 3 * WEEK, None, True),
    ("Day 12 and still no reply from them.", 11 * DAY, None, True),
    ("We are on day nine and nobody has called.", 8 * DAY, None, True),
    ("By day 5 they had refunded me.", 4 * DAY, 5 * DAY, False),
    ("I waited 40 minutes on hold.", 40 / 60, 40 / 60, False),
    ("I emailed them three weeks ago and still nothing.", 3 * WEEK, None, True),
    ("I wrote to the workshop nine days ago. No answer.", 9 * DAY, None, True),
    ("My refund arrived in under two days.", 0, 48, False),
    ("The refund was in my account within 3-5 business days.", 0, 7 * DAY, False),
    ("They promised a reply within a day, but it took nine days.", 9 * DAY, 9 * DAY, False),
    ("Nobody called for three weeks.", 3 * WEEK, None, True),
    ("It has been over a month and my claim is still pending.", MONTH, None, True),
    ("It's been 5 days and nobody has called.", 5 * DAY, None, True),
    ("Half an hour later they wrote back.", 0.5, 0.5, False),
    ("After an hour and a half on hold I hung up.", 1.5, 1.5, False),
    ("A couple of days later they contacted me and paid.", 48, 72, False),
    ("It was fixed the same day.", 0, 24, False),
    ("It took weeks to get my money back.", 2 * WEEK, 10 * WEEK, False),
    ("I spent two hours and fifteen minutes waiting for an agent.", 2.25, 2.25, False),
    ("The dealer kept the van for 6 weeks and never repaired it.", 6 * WEEK, None, True),
    ("No response in the last two months.", 2 * MONTH, None, True),
    ("Larkfield answered immediately.", 0, 1, False),
    ("The technician resolved it in about two hours.", 1.5, 2.68, False),
    ("They took almost 4 months to reply.", 3 * MONTH, 4 * MONTH, False),
    ("Support got back to me in a few hours.", 2, 5, False),
    ("A new kettle was delivered two days later.", 48, 48, False),
    ("Been on hold for 45+ minutes with Marrowby.", 0.75, None, False),
    ("It took between two and three weeks to process my claim.", 2 * WEEK, 3 * WEEK, False),
    ("It took two to three weeks to process my claim.", 2 * WEEK, 3 * WEEK, False),
    ("They fixed it in twenty-five minutes.", 25 / 60, 25 / 60, False),
    ("I have been waiting for a refund for several months.", 3 * MONTH, None, True),
    ("My claim was paid within a week.", 0, WEEK, False),
    ("After 45 days of waiting I received an e-mail from the adjuster.", 45 * DAY, 45 * DAY, False),
    ("Ignored for five hours by the whole counter.", 5, 5, False),
    ("It took more than 30 days to process the claim.", 30 * DAY, None, False),
    ("One e-mail, a friendly answer within the hour.", 0, 1, False),
    ("I filed the claim a month ago and have heard nothing.", MONTH, None, True),
    ("It took them half a day to send a replacement.", 12, 12, False),
    ("We stood in line for two and a half hours.", 2.5, 2.5, False),
    ("They refunded me in 2 weeks or so.", 1.5 * WEEK, 2.68 * WEEK, False),
    # What is denied elsewhere in the sentence is no missing reaction.
    ("They fixed it in an hour and charged me nothing.", 1, 1, False),
    ("The refund arrived after four days, which nobody had expected.", 4 * DAY, 4 * DAY, False),
    ("The fare was back on my card three days later, plus a voucher that I had not asked for.", 72, 72, False),
    ("They repaired it in two days without a single problem.", 48, 48, False),
    ("They answered after two days and no one tried to sell me anything.", 48, 48, False),
    ("After two weeks of silence they refunded me.", 2 * WEEK, 2 * WEEK, False),
    ("Nothing for 10 days, then a reply.", 10 * DAY, 10 * DAY, False),
    ("I heard nothing for two weeks, then they refunded me.", 2 * WEEK, 2 * WEEK, False),
    ("They kept me on hold for an hour and never answered.", 1, None, True),
    ("My refund has not been paid after six weeks.", 6 * WEEK, None, True),
    ("They have not answered for more than two weeks.", 2 * WEEK, None, True),
    ("We never waited longer than a day.", 0, DAY, False),
    ("They never kept me waiting more than five minutes.", 0, 5 / 60, False),
    # What has been going on until now is not over, unless its end is told.
    ("My refund has been pending for 7 weeks.", 7 * WEEK, None, True),
    ('My claim has been "under review" for 7 weeks.', 7 * WEEK, None, True),
    ("They have been sitting on my claim for 7 weeks.", 7 * WEEK, None, True),
    ("I have been trying to get a refund for 3 months.", 3 * MONTH, None, True),
    ("I’ve been chasing my refund for 3 months.", 3 * MONTH, None, True),
    ("They haven’t answered for two weeks.", 2 * WEEK, None, True),
    ("They replied in < 1 hour.", 0, 1, False),
    ("I've been chasing my refund for 3 months.", 3 * MONTH, None, True),
    ("I have been fighting Larkfield for a refund for two years.", 2 * 8760, None, True),
    ("It's been 21 days of waiting for my refund.", 21 * DAY, None, True),
    ("It is now day 21 of waiting for my refund.", 20 * DAY, None, True),
    ("My van has been in the shop for 5 weeks since they received it.", 5 * WEEK, None, True),
    ("I chased them for my refund for six weeks.", 6 * WEEK, 6 * WEEK, False),
    ("I have been chasing my refund for 3 months and it arrived today.", 3 * MONTH, 3 * MONTH, False),
    ("I've been waiting three weeks for a refund and then they sent it.", 3 * WEEK, 3 * WEEK, False),
    ("My claim was pending for 7 weeks.", 7 * WEEK, 7 * WEEK, False),
    ("It took 21 days of waiting to get my refund.", 21 * DAY, 21 * DAY, False),
    ("After 21 days of waiting for my refund it came.", 21 * DAY, 21 * DAY, False),
    # Money is waited for as well as paid for a time, and what broke or was asked is not what came of it.
    ("I have been waiting for a refund for the last 3 weeks.", 3 * WEEK, None, True),
    ("There was no refund for three weeks.", 3 * WEEK, None, True),
    ("After six weeks' wait I got my refund.", 6 * WEEK, 6 * WEEK, False),
    ("The first one broke and after two days they replaced it.", 2 * DAY, 2 * DAY, False),
    ("It broke after three weeks, and they replaced it within a day.", 0, DAY, False),
    ("I e-mailed them and they replied within an hour.", 0, 1, False),
    ("I called and was answered within two minutes.", 0, 2 / 60, False),
    ("I got an answer within an hour.", 0, 1, False),
    # Phrases without a figure, beside people who come and things that are put right.
    ("Within the hour the manager was at our door with an apology.", 0, 1, False),
    ("The next morning they had cut the bill by half.", 1, 36, False),
    ("He came within the hour.", 0, 1, False),
    ("A technician came out the same day.", 0, 24, False),
    ("The very next day a new one stood at my door.", 1, 48, False),
    ("I had an answer within the hour.", 0, 1, False),
    ("They unlocked my account after 11 days.", 11 * DAY, 11 * DAY, False),
    ("The refund took 5 weeks instead of the promised 5 days.", 5 * WEEK, 5 * WEEK, False),
    ("They offered a voucher instead of a refund after 3 weeks.", 3 * WEEK, 3 * WEEK, False),
    ("The refund took 5 weeks, not 5 days.", 5 * WEEK, 5 * WEEK, False),
    ("On 3 May they replied within two days.", 0, 2 * DAY, False),
    # Words that often stand before other durations.
    ("Customer service replied two hours later.", 2, 2, False),
    ("Customer service took five days to answer my e-mail.", 5 * DAY, 5 * DAY, False),
    ("My insurance paid within a week.", 0, WEEK, False),
    ("They answered four days after I wrote.", 4 * DAY, 4 * DAY, False),
    ("I complained. Six weeks later, still nothing.", 6 * WEEK, None, True),
    ("I wrote on 2 May. That was six weeks ago and I have not had a single reply.", 6 * WEEK, None, True),
    ("Three weeks and not one reply.", 3 * WEEK, None, True),
    ("They promised a call within 24 hours and waited nine days.", 9 * DAY, 9 * DAY, False),
    ("It took them two years to pay.", 24 * MONTH, 24 * MONTH, False),
    ("It was two years before they paid.", 24 * MONTH, 24 * MONTH, False),
    ("A new kettle arrived the same afternoon.", 0, 24, False),
    ("They replied after 1½ hours.", 1.5, 1.5, False),
    ("The refund took 1 1/2 months.", 1.5 * MONTH, 1.5 * MONTH, False),
    ("I got one fee back after a fortnight.", 2 * WEEK, 2 * WEEK, False),
    # How often the author asked in that time, and in vain.
    ("I called five times in two weeks and nobody answered.", 2 * WEEK, None, True),
    ("I called five times in two weeks. Nobody answered.", 2 * WEEK, None, True),
    ("I have e-mailed them six times in three months, no reply.", 3 * MONTH, None, True),
    ("I complained twice in a month and never heard back.", MONTH, None, True),
    ("I asked for my refund four times in the last six weeks and got no answer.", 6 * WEEK, None, True),
    ("I called and wrote eight times in two weeks, but not one reply came.", 2 * WEEK, None, True),
]
NONE = [
    "48 hours is an eternity online.",
    "They should answer within a day.",
    "From day one they ignored me.",
    "Day 2 of our holiday the bus broke down and they sent a new one.",
    "On day 2 I called them again.",
    "A brand ought to reply within an hour.",
    "I have been a customer for 12 years.",
    "I owned my last Tarvik for nine years.",
    "The pump broke after two weeks.",
    "A three year warranty covers it.",
    "We had a 9 hour flight to Lima.",
    "Their helpline is open 24 hours a day.",
    "I pay 62 dollars a month for this.",
    "They said it would take 48 hours.",
    "The agent told me to wait two weeks.",
    "Please allow 5 to 7 days for delivery.",
    "My dog is 3 years old.",
    "I bought the kettle two weeks ago.",
    "Our flight was delayed by 5 hours.",
    "The contract has a 14 day cancellation period.",
    "I hope to hear from you within a week.",
    "If they answer within a day I will be amazed.",
    "It takes two hours to drive to the dealer.",
    "I call them three times a day.",
    "They have been in business for forty years.",
    "I was told to call back the next day.",
    "We stayed three nights in a fine room.",
    "They will refund me within ten days.",
    "A claim can take six weeks.",
    "They refused to refund me after 30 days.",
    "I gave them two weeks to answer; they answered in one.",
    "I have dealt with lift firms for twenty years and nobody has ever done that for us.",
    "In 20 years nobody has ever called me back.",
    "I have been a loyal customer for 12 years and nobody called.",
    "They have been fixing cars for 20 years.",
    "The next day the fault came back.",
    "The next day they raised the bill again.",
    "The next morning a bailiff was at our door.",
    "The next day we came home to a cold house.",
    "He came home drunk the next day.",
    "I had no answer within the hour.",
    "I had a job interview the next day.",
    "They want me to unlock it at once.",
    "I unlocked it myself after 3 days.",
    "The next day a new problem was at our door.",
    "The next day they cancelled my charge card.",
    "We got a refund for the 3 nights we missed.",
    "I got a refund of six months' fees.",
    "They credited me for the two days.",
    "The replacement broke after three weeks.",
    "The first repair failed after two days and nobody at Larkfield cared.",
    "Two weeks later the repaired pump broke again.",
    "I paid within 3 days and they still charged me a late fee.",
    "I replied to them within an hour and they still closed the case.",
    "I have been trying their new cream for 3 months.",
    # How often something happened in a time, or what the author asked for and got.
    "I called five times in two weeks and they answered each time.",
    "I called five times in two weeks and they were kind.",
    "I called five times in two weeks and nobody knew my name.",
    "I called five times in two weeks. Nobody there is rude.",
    "It crashed five times in two weeks and nobody at Larkfield answered my mail.",
    "I called five times in two weeks until somebody answered.",
    "I called five times in two weeks, nobody answered at first, then they replied.",
    "If you call five times in two weeks and nobody answers, write.",
    "",
]


@pytest.mark.parametrize(("text", "low", "high", "censored"), ANSWERS)
def test_a_time_to_react_becomes_hours(text, low, high, censored):
    found = latencies(text)
    assert len(found) == 1
    assert found[0].lower == pytest.approx(low, abs=0.01)
    assert found[0].upper == (pytest.approx(high, abs=0.01) if high is not None else None)
    assert found[0].censored is censored
    assert text[found[0].start : found[0].end] == found[0].quote


@pytest.mark.parametrize("text", NONE)
def test_other_durations_are_no_time_to_react(text):
    assert latencies(text) == ()


def test_a_cue_of_speed_on_a_duration_is_enough_and_a_wish_is_not():
    text = "Two days, said the counter, and the kettle was replaced."
    fast = Cue("speed", "fast", "present", 0.9, "Two days", 0, 8)
    assert latencies(text) == ()
    assert latencies(text, [fast])[0].upper == 48
    wish = Cue("speed", None, "hypothetical", 0.9, "Two days", 0, 8)
    assert latencies(text, [wish]) == ()


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("After two weeks of silence they refunded me.", "remedy"),
        ("They reversed it on the spot and apologised.", "remedy"),
        ("The money was back three days later, and they apologised.", "remedy"),
        ("They apologised within an hour, and the money is on its way.", "answer"),
        ("We never waited longer than a day.", "wait"),
    ],
)
def test_what_came_is_what_stands_nearest(text, about):
    assert [found.about for found in latencies(text)] == [about]


def test_quotes_of_later_sentences_keep_their_place_and_their_utterance():
    text = "The kettle leaked.\nThey replied within ten minutes. It took a week to get my refund."
    first, second = latencies(text, utterance="7")
    assert (first.about, second.about) == ("answer", "remedy")
    assert all(text[x.start : x.end] == x.quote and x.utterance == "7" for x in (first, second))


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("3", 3),
        ("2.5", 2.5),
        ("2,5", 2.5),
        ("forty eight", 48),
        ("ninety-nine", 99),
        ("a dozen", 12),
        ("two hundred", 200),
    ],
)
def test_numbers_in_words_and_figures(words, value):
    assert number(words) == value


@pytest.mark.parametrize(
    ("words", "low", "high"),
    [
        ("no less than six weeks", 6 * WEEK, None),
        ("no fewer than 3 days", 3 * DAY, None),
        ("less than six weeks", 0, 6 * WEEK),
        ("no longer than six weeks", 0, 6 * WEEK),
        ("a quarter of a year", 2190, 2190),
        ("three-quarters of a year", 6570, 6570),
        ("three quarters of an hour", 0.75, 0.75),
        ("an hour and a quarter", 1.25, 1.25),
        ("< 1 hour", 0, 1),
        ("> 1 hour", 1, None),
        ("1,200 hours", 1200, 1200),
        ("2,5 hours", 2.5, 2.5),
        ("48h", 48, 48),
        ("24-48h", 24, 48),
        ("2h", 2, 2),
        ("14d", 14 * DAY, 14 * DAY),
        ("1h30", 1.5, 1.5),
        ("1h 30m", 1.5, 1.5),
        ("two-and-a-half weeks", 2.5 * WEEK, 2.5 * WEEK),
        ("a decade", 87600, 87600),
        ("a day or two", 24, 48),
        ("an hour or two", 1, 2),
        ("a day or more", 24, None),
        ("it is going on two months", 0.75 * 2 * MONTH, 2 * MONTH),
        ("what is going on two months later", 2 * MONTH, 2 * MONTH),
        ("coming up to three weeks", 0.75 * 3 * WEEK, 3 * WEEK),
        ("up to three weeks", 0, 3 * WEEK),
    ],
)
def test_durations_in_figures_words_and_letters(words, low, high):
    assert [(d.lower, d.upper) for d in durations(words)] == [(low, high)]


@pytest.mark.parametrize("text", ["a 3d print on a 5D", "the train left at 17h30", "a h and a d", "vitamin D and H"])
def test_letters_that_are_no_units(text):
    assert durations(text) == []


def test_times_of_the_day_and_prices_are_no_durations():
    assert durations("open 24/7, $40 weeks, version 2.5days3, the day, one of those years") == []


def test_a_long_run_of_digits_and_words_is_read_in_no_time():
    assert durations("1" * 2_000 + " one" * 2_000) == []


@pytest.mark.parametrize(
    ("latency", "words"),
    [
        (("answer", 0, 1 / 6, False), "answer within 10 minutes"),
        (("answer", 216, 216, False), "answer after 9 days"),
        (("remedy", 48, None, False), "remedy after more than 2 days"),
        (("answer", 36, None, True), "no answer after 36 hours"),
        (("wait", 504, None, True), "still waiting after 21 days"),
        (("wait", 2 / 3, 2 / 3, False), "wait of 40 minutes"),
        (("wait", 1, 2.5, False), "wait of 1 hour to 2.5 hours"),
        (("remedy", 730, 730, False), "remedy after 1 month"),
        (("answer", 1460, 2190, False), "answer after 2 months to 3 months"),
        (("answer", 17520, None, True), "no answer after 2 years"),
    ],
)
def test_latencies_in_words(latency, words):
    assert latency_words(Latency(*latency, quote="so", start=0, end=2)) == words


def test_a_case_that_was_made_without_times_has_none():
    plain = Case("Ann", "customer", "why", "abstain", None, ("1",))
    assert told(plain) == ()
    assert told(TimedCase("Ann", "customer", "why", "abstain", None, ("1",))) == ()
