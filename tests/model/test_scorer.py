import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from model.encoder import States
from model.scorer import CHUNK, Scorer, _failure, _foreign, chunks
from model.types import Author, Thread, Utterance, plain
from tests.fakes import WORDS, FakeEncoder, fake_bundle, fake_scorer

ANGRY = "I bought the kettle in May and it was awful. I called twice, they ignored me for weeks and never rang back."
HAPPY = (
    "I bought the same one. The lid broke, they sent me a refund within a day and said sorry. Great people, great shop."
)
PITCH = (
    "Make $5,400 a month from home, no experience needed! Click here http://best-offers.example/join now and get a "
    "free bonus, limited offer, visit my site http://best-offers.example/join"
)


def thread(*utterances, **fields):
    return Thread("t1", tuple(utterances), title="The kettle", **fields)


def comment(uid, text, name, **fields):
    return Utterance(uid, text, author=Author(name), parent="1", **fields)


@pytest.fixture(scope="module")
def report():
    post = Utterance("1", ANGRY, kind="post", author=Author("Ann"), flags=("post_author",))
    return fake_scorer().score(
        thread(
            post,
            comment("2", HAPPY, "Bo"),
            comment("3", HAPPY, "Bo"),
            comment("4", PITCH, "Cash4U"),
            comment("5", "Nothing new under the sun, is there?", "Cy"),
            comment("6", "I bought mine years ago. They ignored my mail too.", "ann"),
        )
    )


def case(report, name):
    return next(c for c in report.cases if c.author == name)


def test_every_kept_utterance_has_role_and_sentiment(report):
    assert [u.utterance.id for u in report.utterances] == ["1", "2", "5", "6"]
    assert [u.sentiment.label for u in report.utterances][:2] == ["negative", "positive"]


def test_what_was_dropped_says_why(report):
    reasons = {d.utterance.id: (d.reason, d.duplicate_of) for d in report.dropped}
    assert reasons["3"] == ("duplicate", "2")
    assert reasons["4"][0] == "spam"


def test_one_author_has_one_case_over_all_their_utterances(report):
    assert case(report, "Ann").utterances == ("1", "6")
    assert {c.utterance for c in case(report, "Ann").cues} == {"1", "6"}


def test_one_person_under_two_names_has_one_case():
    report = fake_scorer().score(
        thread(
            Utterance("1", "The kettle story.", kind="post", author=Author("Kim")),
            comment("2", ANGRY, "Ann B."),
            comment("3", "They never called me, either, and I own a kettle.", "ann b (Brightpot)"),
            comment("4", "I bought a kettle and it was great, thank you.", "Ann"),
        )
    )
    assert [c.utterances for c in report.cases] == [("1",), ("2", "3"), ("4",)]


def test_customers_get_an_estimate_and_the_summary_ranks_them(report):
    assert case(report, "Ann").loyalty.index < case(report, "Bo").loyalty.index
    assert report.summary.customers == 2
    assert report.summary.at_risk == ("Ann",)


def test_bystanders_and_spam_get_none(report):
    for name in ("Cy", "Cash4U"):
        assert case(report, name).status == "abstain"
        assert case(report, name).loyalty is None
        assert case(report, name).reason


def test_quotes_are_found_at_their_offsets_in_the_utterance_they_name(report):
    texts = {u.utterance.id: u.utterance.text for u in report.utterances}
    quotes = [c for case in report.cases for c in case.cues]
    assert quotes
    for cue in quotes:
        assert texts[cue.utterance][cue.start : cue.end] == cue.quote


def test_a_report_is_made_plain_as_the_standard_library_does_it(report):
    assert plain(report) == asdict(report)
    found = report.to_dict()
    assert found["cases"] == [asdict(c) for c in report.cases]
    assert [list(u) for u in found["utterances"]] == [
        [*asdict(u.utterance), *(name for name in asdict(u) if name != "utterance")] for u in report.utterances
    ]
    assert found["dropped"]


def test_the_report_is_json_with_the_documented_keys(report):
    found = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert found["thread"]["title"] == "The kettle"
    assert found["utterances"][0].keys() >= {
        "id",
        "parent",
        "kind",
        "author",
        "role",
        "time",
        "text",
        "sentiment",
        "flags",
    }
    assert found["dropped"][0].keys() >= {"utterance", "reason", "duplicate_of"}
    assert found["cases"][0].keys() >= {"author", "role", "status", "loyalty", "cues"}
    assert found["cases"][0]["loyalty"].keys() >= {"index", "low", "high", "advocate", "churn", "repurchase", "wom"}
    assert found["bundle"].keys() == {"version", "digest"}


def test_a_case_says_how_likely_its_role_is(report):
    assert all(0 < c.role_probability <= 1 for c in report.cases)
    assert 0.5 < case(report, "Ann").role_probability < 1
    assert case(report, "Cash4U").role_probability == 1
    assert next(c for c in report.to_dict()["cases"] if c["author"] == "Ann")["role_probability"] > 0.5


def test_threads_scored_together_flag_what_repeats_another():
    one = thread(Utterance("1", "The kettle story.", kind="post"), comment("2", ANGRY, "Ann"))
    copy = Thread("t2", (Utterance("1", "Another story.", kind="post"), comment("2", f"{ANGRY}!", "Ann")))
    quoting = Thread("t3", (Utterance("1", "A third.", kind="post"), comment("q", ANGRY, "Ann", flags=("quoted",))))
    together = fake_scorer().score_together([one, copy, quoting])
    flags = [[f for u in r.utterances for f in u.utterance.flags if f.startswith("copy:")] for r in together]
    assert flags == [[], ["copy:near:t1/2"], ["copy:quote:t1/2"]]
    # But for the flags, each is what it would be alone.
    alone = [fake_scorer().score(t) for t in (one, copy, quoting)]
    assert [r.cases for r in together] == [r.cases for r in alone]
    assert together[0] == alone[0]
    assert [[u.sentiment for u in r.utterances] for r in together] == [
        [u.sentiment for u in r.utterances] for r in alone
    ]


def test_nothing_together_is_nothing():
    assert fake_scorer().score_together([]) == []


def test_the_place_of_an_utterance_is_in_the_report():
    found = (
        fake_scorer()
        .score(
            thread(
                Utterance("1", ANGRY, kind="post", place="line 4"),
                Utterance("2", PITCH, author=Author("Cash4U"), parent="1", place="line 9"),
            )
        )
        .to_dict()
    )
    assert found["utterances"][0]["place"] == "line 4"
    assert found["dropped"][0]["utterance"]["place"] == "line 9"


def test_a_thread_without_anything_to_score_is_an_empty_report():
    found = fake_scorer().score(thread(Utterance("1", "   ", kind="post")))
    assert found.utterances == ()
    assert [d.reason for d in found.dropped] == ["empty"]


def test_texts_keep_their_order_across_chunks_and_wordless_ones_have_no_sentiment():
    texts = ["great", "awful", "", "a day"] * (CHUNK // 2)
    found = fake_scorer().sentiment(texts)
    assert [s.label if s else None for s in found] == ["positive", "negative", None, "neutral"] * (CHUNK // 2)


def test_a_text_scores_the_same_alone_and_in_company():
    texts = [ANGRY, "great", HAPPY * 20, "awful. " * 300]
    together = fake_scorer().sentiment(texts)
    assert together == [fake_scorer().sentiment([t])[0] for t in texts]


def test_a_text_of_emoji_alone_holds_no_words():
    assert fake_scorer().sentiment(["\U0001f621\U0001f621", "...", "great \U0001f621"])[:2] == [None, None]
    assert fake_scorer().loyalty(["\U0001f621"])[0].status == "abstain"


def test_loyalty_of_texts_has_a_status_for_each():
    found = fake_scorer().loyalty([HAPPY, "", "An ordinary day in town."])
    assert [f.status for f in found] == ["ok", "abstain", "low_evidence"]
    assert found[1].loyalty is None


def test_one_scorer_serves_several_threads_of_execution():
    scorer = fake_scorer()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: scorer.sentiment(["great" if i % 2 else "awful"])[0].label, range(40)))
    assert found == ["negative", "positive"] * 20


def test_a_stream_of_threads_is_scored_as_it_comes():
    scorer, taken = fake_scorer(), []

    def stream():
        for n in range(1000):
            taken.append(Thread(f"t{n}", (Utterance("1", f"{ANGRY} {n}"), Utterance("2", HAPPY if n % 2 else PITCH))))
            yield taken[-1]

    reports = scorer.score_many(stream(), texts=10)
    first = [next(reports) for _ in range(7)]
    assert len(taken) <= 10
    assert [r.thread.id for r in first] == [f"t{n}" for n in range(7)]
    assert first == [scorer.score(t) for t in taken[:7]]
    assert [r.thread.id for r in reports] == [f"t{n}" for n in range(7, 1000)]
    assert list(scorer.score_many([])) == []


def test_a_stream_gives_what_the_loyalty_head_saw_too():
    threads = [Thread("t", (Utterance("1", text, author=Author("A")),)) for text in (ANGRY, HAPPY)]
    scorer = fake_scorer()
    assert list(scorer.score_cases_many(threads)) == [scorer.score_cases(t) for t in threads]


def test_long_texts_are_encoded_fewer_at_a_time():
    texts = ["a" * 10, "b" * 1500, "c" * 1500, "d" * 9000, "e", "f", "g", "h"]
    assert [len(part) for part in chunks(texts, 3)] == [2, 1, 1, 3, 1]
    assert [text for part in chunks(texts, 3) for text in part] == texts
    assert list(chunks([], 3)) == []


class Remembering(Scorer):
    """A scorer that remembers what it read."""

    def __init__(self):
        super().__init__(fake_scorer().bundle)
        self.read = []

    def read_texts(self, texts):
        self.read += texts
        return super().read_texts(texts)


def test_equal_texts_of_a_stream_are_read_once_and_by_length():
    scorer = Remembering()
    threads = [Thread(f"t{n}", (Utterance("1", text, kind="post"),)) for n, text in enumerate([HAPPY, ANGRY, HAPPY])]
    assert len(list(scorer.score_many(threads))) == 3
    assert scorer.read == sorted({ANGRY, HAPPY}, key=len)


class Gushing(FakeEncoder):
    """Reads every word as "great", and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def encode(self, windows: Sequence[NDArray[np.int64]]) -> list[States]:
        """See model.encoder.Encoder.encode."""
        self.asked += [w.tolist() for w in windows]
        return super().encode([np.full_like(w, WORDS.index("great") + 1) for w in windows])


def test_the_float_encoder_reads_close_calls_alone():
    exact = Gushing()
    scorer = Scorer(replace(fake_bundle(), exact=exact))
    texts = ["great", "awful", "great awful", "", "great great awful awful", "great ignored great"]
    found = [s.label if s else None for s in scorer.sentiment(texts)]
    assert found == ["positive", "negative", "positive", None, "positive", "positive"]
    great, awful = WORDS.index("great") + 1, WORDS.index("awful") + 1
    assert sorted(exact.asked) == [[great, great, awful, awful], [great, awful]]


def test_a_close_call_is_looked_at_again_in_reports_and_towards_targets():
    scorer = Scorer(replace(fake_bundle(), exact=(exact := Gushing())))
    said = thread(comment("2", "great awful", "Bo"))
    assert [u.sentiment.label for u in scorer.score(said).utterances] == ["positive"]
    seen = len(exact.asked)
    # The fake separator and unknown words leave a target without an opinion: neutral, and no close call.
    scorer.sentiment(["great awful"], ["the kettle"])
    assert len(exact.asked) == seen
    (towards,) = scorer.sentiment(["it is fine"], ["great awful"])
    assert (towards.label, len(exact.asked)) == ("positive", seen + 1)


SORRY = "Dear Ann, we are sorry. You were ignored, a refund is on its way. On behalf of the kettle people, email us."


def test_what_the_company_answers_in_the_thread_is_known_and_not_counted():
    post = Utterance("1", ANGRY, kind="post", author=Author("Ann"), flags=("post_author",))
    plain = fake_scorer().score(thread(post))
    answered = fake_scorer().score(thread(post, comment("2", SORRY, "Kettle Support"), comment("3", HAPPY, "Bo")))
    ann = case(answered, "Ann")
    assert case(answered, "Kettle Support").role == "company"
    assert {f"{c.cue}:{c.value}" for c in ann.answers} == {"contact:made", "apology:given", "redress:refund"}
    assert {c.utterance for c in ann.answers} == {"2"}
    assert ann.loyalty.index == pytest.approx(case(plain, "Ann").loyalty.index)
    assert case(answered, "Bo").answers == ()


def test_an_answer_goes_to_the_customer_whom_it_names():
    post = Utterance("1", ANGRY, kind="post", author=Author("Ann"), flags=("post_author",))
    found = fake_scorer().score(
        thread(post, comment("2", HAPPY, "Bo"), comment("3", SORRY.replace("Ann", "Bo"), "Kettle Support"))
    )
    assert case(found, "Bo").answers
    assert case(found, "Ann").answers == ()


def test_words_of_others_are_not_read_as_the_authors_own():
    post = Utterance("1", ANGRY, kind="post", author=Author("Ann"), flags=("post_author",))
    quoting = f"> {ANGRY}\n\n{HAPPY}"
    found = fake_scorer().score(thread(post, comment("2", quoting, "Bo")))
    bo = case(found, "Bo")
    assert "contact:none" not in {f"{c.cue}:{c.value}" for c in bo.cues}
    assert all(quoting[c.start : c.end] == c.quote for c in bo.cues)
    assert found.utterances[1].utterance.text == quoting


def test_nameless_people_are_told_apart_and_a_spammer_has_one_case():
    other = PITCH.replace("home", "your sofa").replace("best-offers", "better-offers")
    found = fake_scorer().score(
        thread(
            Utterance("1", ANGRY, kind="post", author=Author("Anonymous")),
            comment("2", HAPPY, "Anonymous"),
            comment("3", PITCH, "Cash4U"),
            comment("4", other, "Cash4U"),
        )
    )
    assert [c.author for c in found.cases] == ["post author", "author of 2", "Cash4U"]
    assert found.cases[2].utterances == ("3", "4")


def test_a_failure_that_is_likelier_than_not_has_a_kind_and_a_severity():
    def scored(failure, severity):
        plain = fake_scorer().read_texts(["a day"])[0]
        return replace(plain, reading=replace(plain.reading, failure=failure, severity=severity))

    unsure = scored({"none": 0.4, "billing": 0.35, "delay": 0.25}, {"0": 0.5, "1": 0.2, "2": 0.3, "3": 0.0})
    sound = scored({"none": 0.6, "billing": 0.4}, {"0": 0.1, "1": 0.2, "2": 0.7, "3": 0.0})
    assert _failure([unsure]) == ("billing", 2)
    assert _failure([sound]) == ("none", 0)
    assert _failure([sound, unsure]) == ("billing", 2)


def test_an_author_is_out_of_domain_where_more_is_foreign_than_english():
    story = "I called them twice about the kettle, and nobody ever rang back. In the end they sent me a new one."
    thanks = "Muchas gracias por la ayuda, son ustedes muy amables conmigo."
    assert _foreign([story, thanks]) == set()
    assert _foreign([thanks]) == {"es"}
    assert _foreign([thanks, "Ok."]) == {"es"}
    assert _foreign(["Thank you so much for all of your help.", thanks, thanks]) == {"es"}
