from dataclasses import replace

from service.text_report import printable, text_report
from tests.service.demo import demo_report


def test_it_tells_who_is_at_risk_and_why() -> None:
    text = text_report(demo_report())
    for expected in (
        "at risk: Dana, priya_k",
        "7 utterances scored (2 negative, 3 neutral, 2 positive)",
        "  Dana: at risk",
        "index 8 of 100 (80 % interval 3 to 16; from conduct alone 14)",
        "buys again: stay 2 %, undecided 7 %, leave 91 %",
        '  -9.8  redress: refused "No refund"',
        'says: leave (98 %, in 2): "never buy Larkfield again"',
        "low evidence: one short comment",
        "  R. Castellano, commentator: no dealings to estimate from: commentator",
        "8 by ovens4u, spam (advertising)",
        "9 by Tom B., duplicate of 4",
        "warning: The page states 9 comments, 8 were found.",
        "model 0.1.0 (4f0c2b9a7d1e)",
    ):
        assert expected in text


def test_role_place_and_copies_are_told() -> None:
    demo = demo_report()
    first = demo.utterances[0]
    told = replace(first.utterance, place="line 12", flags=("copy:near:other/7",))
    cases = tuple(replace(c, role_probability=0.93 if c.role == "customer" else 0.61) for c in demo.cases)
    text = text_report(replace(demo, utterances=(replace(first, utterance=told), *demo.utterances[1:]), cases=cases))
    assert "    customer, 93 %: own dealings" in text
    assert "  R. Castellano, commentator, 61 %: no dealings" in text
    assert "nearly the same text as other/7, line 12" in " ".join(text.split())


def test_replies_are_indented_below_what_they_answer() -> None:
    lines = text_report(demo_report()).split("THREAD\n")[1].splitlines()
    heads = [next(line for line in lines if line.lstrip().startswith(f"{uid} ")) for uid in ("1", "2", "3")]
    assert [len(line) - len(line.lstrip()) for line in heads] == [2, 4, 6]


def test_lines_keep_to_the_width() -> None:
    assert max(map(len, text_report(demo_report(), width=60).splitlines())) <= 60


def test_a_text_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\r\nc\u202ed\u2066e\x9bf\x07") == "a [2Jb cde f"
    demo = demo_report()
    evil = replace(demo, thread=replace(demo.thread, title="\x1b]0;owned\x07"), warnings=("\x1b[31m",))
    assert "\x1b" not in text_report(evil)


def test_nobody_to_estimate() -> None:
    text = text_report(replace(demo_report(), cases=(), dropped=()))
    assert "nobody here reports dealings" in text
    assert "DROPPED" not in text
