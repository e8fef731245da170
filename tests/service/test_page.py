import base64
import hashlib
import re
from dataclasses import replace

import pytest
from selectolax.lexbor import LexborHTMLParser, LexborNode

from model.types import Author, Case, Cue, Report, ScoredUtterance, SentenceSentiment, Utterance
from service.page import Mark, render, stretches
from tests.service.demo import DANA, POST, SPAM, demo_report, feeling

FLAT = feeling(0.2, 0.6, 0.2)


def page(*reports: Report) -> LexborHTMLParser:
    return LexborHTMLParser(render(reports))


def one(tree: LexborHTMLParser | LexborNode, selector: str) -> LexborNode:
    found = tree.css(selector)
    assert len(found) == 1, f"{selector}: {len(found)}"
    return found[0]


def written(block: LexborNode) -> str:
    """The utterance's text as it stands on the page, without the labels of marks."""
    for tag in block.css("small.tag"):
        tag.decompose()
    return one(block, "p.text").text()


def with_utterance(text: str, cues: tuple[Cue, ...] = (), **fields: object) -> Report:
    """The demo with a single utterance of our choice."""
    utterance = replace(Utterance("x", text, author=Author("Ann")), **fields)
    case = Case("Ann", "customer", "why", "abstain", "nothing", ("x",), tuple(replace(c, utterance="x") for c in cues))
    return replace(demo_report(), utterances=(ScoredUtterance(utterance, "customer", FLAT),), cases=(case,), dropped=())


def test_every_text_stands_on_the_page_as_it_was_written() -> None:
    blocks = page(demo_report()).css("article.utterance")
    assert [written(b) for b in blocks] == [u.utterance.text for u in demo_report().utterances]


def test_markup_in_a_text_an_author_a_title_and_a_quote_stays_text() -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    cue = Cue("apology", "given", "present", 0.9, evil, 0, len(evil))
    report = with_utterance(evil, (cue,), author=Author(evil, "javascript:alert(3)"), flags=(evil,), time=evil)
    report = replace(report, thread=replace(report.thread, title=evil, brand=evil, url=evil, adapter=evil))
    report = replace(report, warnings=(evil,), cases=(replace(report.cases[0], author=evil, reason=evil),))
    tree = page(report)
    assert tree.css("script, img, iframe, object, embed, form, base") == []
    assert "javascript:" not in render([report])
    assert not [n for n in tree.css("*") for name in n.attributes if name.startswith("on") or name == "style"]
    assert written(one(tree, "article.utterance")) == evil
    assert one(tree, "h1").text() == evil


def test_nothing_is_asked_of_the_network() -> None:
    html = render([demo_report()])
    tree = LexborHTMLParser(html)
    targets = [value for node in tree.css("*") for name, value in node.attributes.items() if name in ("src", "href")]
    assert targets
    assert all(t is not None and t.startswith(("#", "data:image/svg+xml")) for t in targets)
    style = one(tree, "style").text()
    assert "url(" not in style
    assert "@import" not in style
    assert SPAM not in html
    assert "&lt;script&gt;" in html


def test_the_policy_allows_the_style_sheet_and_nothing_else() -> None:
    tree = page(demo_report())
    policy = one(tree, 'meta[http-equiv="Content-Security-Policy"]').attributes["content"] or ""
    css = re.search(r"<style>(.*?)</style>", render([demo_report()]), re.DOTALL)
    assert css is not None
    digest = base64.b64encode(hashlib.sha256(css[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert tree.css("[style]") == []


def test_every_link_inside_the_page_has_a_target() -> None:
    tree = page(demo_report(), demo_report())
    names = [n.attributes["id"] for n in tree.css("[id]")]
    assert len(names) == len(set(names))
    links = {n.attributes["href"] for n in tree.css("a")}
    assert {str(link)[1:] for link in links} <= set(names)
    labels = {n.attributes["aria-labelledby"] for n in tree.css("[aria-labelledby]")}
    assert labels <= set(names)


def test_customers_at_risk_come_first() -> None:
    cards = page(demo_report()).css("article.card")
    assert [one(c, "h3").text() for c in cards] == ["Dana", "priya_k", "Marit Lund", "Tom B."]
    dana = cards[0].text()
    for expected in ("At risk", "leave 91", "80\u00a0% interval 3 to 16", "−9.8", "No refund", "not a causal effect"):
        assert expected in dana
    assert "low evidence" in cards[1].text()
    assert "The author reports nothing about" in cards[1].text()


def test_summary_dropped_and_model_are_shown() -> None:
    tree = page(demo_report())
    assert one(tree, ".lead").text() == "2 of 4 customers at risk: Dana, priya_k (little evidence)"
    assert "The page states 9 comments" in one(tree, ".warnings").text()
    dropped = one(tree, "details.dropped").text()
    assert SPAM in dropped
    assert "duplicate" in dropped
    assert "4f0c2b9a7d1e8863" in one(tree, "footer").text()
    assert "bystander" in one(tree, "details.others").text()


def test_role_place_and_copies_are_told() -> None:
    demo = demo_report()
    first = demo.utterances[0]
    told = replace(first.utterance, place="comment 3 of 10, #<i>", flags=("copy:exact:other/7",))
    cases = tuple(replace(c, role_probability=0.93) for c in demo.cases)
    tree = page(replace(demo, utterances=(replace(first, utterance=told), *demo.utterances[1:]), cases=cases))
    assert "customer, 93 %: own dealings" in tree.css("article.card")[0].text()
    assert "bystander, 93 %" in one(tree, "details.others").text()
    head = tree.css("article.utterance header")[0].text()
    assert "same text as other/7" in head
    assert "comment 3 of 10, #<i>" in head


def test_sentiment_is_told_in_words_and_replies_are_indented() -> None:
    tree = page(demo_report())
    blocks = tree.css("article.utterance")
    assert one(blocks[1], ".feel").text() == "negative 93 %"
    depths = [n.attributes["class"] for n in tree.css("ol.thread > li")]
    assert depths == ["depth-0", "depth-1", "depth-2", "depth-1", "depth-1", "depth-1", "depth-2"]
    assert "answers Dana" in blocks[2].text()
    assert one(blocks[6], "p.text").attributes["lang"] == "de"


def test_cues_are_marked_at_their_place_with_their_label() -> None:
    blocks = page(demo_report()).css("article.utterance")
    labels = [t.text() for t in blocks[0].css("small.tag")]
    assert "contact: none" in labels
    assert "hypothetical: explanation" in labels
    assert "customer before" in labels
    assert [m.text() for m in blocks[0].css("mark.m-hypothetical")] == ["They should have explained what broke"]
    assert [m.text() for m in blocks[1].css("mark.m-stated")] == [
        "already ordered from another maker",
        "never buy Larkfield again",
    ]


@pytest.mark.parametrize("text", ["🙃🙃 said sorry 🙃", "e\u0301té said sorry", "一二 said sorry 三"])
def test_offsets_count_code_points(text: str) -> None:
    start = text.index("said sorry")
    cue = Cue("apology", "given", "present", 0.9, "said sorry", start, start + 10)
    tree = page(with_utterance(text, (cue,)))
    assert one(tree, "p.text mark").text() == "said sorry"


def test_overlapping_marks_keep_the_text_and_all_labels() -> None:
    text = "abcdefghij"
    marks = [
        Mark(0, 6, "first", "present", 0.9),
        Mark(4, 8, "second", "absent", 0.9),
        Mark(5, 6, "third", "hypothetical", 0.9),
        Mark(0, 6, "twin", "present", 0.9),
        Mark(8, 99, "long", "present", 0.9),
        Mark(3, 3, "empty", "present", 0.9),
        Mark(50, 60, "outside", "present", 0.9),
    ]
    sentences = [SentenceSentiment(0, 5, feeling(0.9, 0.1, 0)), SentenceSentiment(7, 10, feeling(0, 0.1, 0.9))]
    found = list(stretches(text, sentences, marks))
    assert [("".join(p.text for p in s.pieces), s.tone) for s in found] == [
        ("abcde", "neg"),
        ("fg", "none"),
        ("hij", "pos"),
    ]
    pieces = [(p.text, [m.label for m in p.marks], [m.label for m in p.ending]) for s in found for p in s.pieces]
    assert pieces == [
        ("abcd", ["first", "twin"], []),
        ("e", ["first", "second", "twin"], []),
        ("f", ["first", "second", "third", "twin"], ["first", "third", "twin"]),
        ("g", ["second"], []),
        ("h", ["second"], ["second"]),
        ("ij", ["long"], ["long"]),
    ]


def test_a_text_without_characters_has_no_pieces() -> None:
    assert list(stretches("", [], [])) == []


def test_half_a_surrogate_pair_does_not_spoil_the_page() -> None:
    html = render([with_utterance("odd \ud83d end")])
    assert "odd ? end" in html.encode("utf-8").decode()


def test_a_thread_without_customers_names_or_title_says_so() -> None:
    report = replace(
        with_utterance("hello", author=None), cases=(), thread=replace(demo_report().thread, title=None, url=None)
    )
    report = replace(report, summary=replace(report.summary, sentiment={}, customers=0, at_risk=(), advocates=()))
    tree = page(report)
    assert one(tree, "h1").text() == "larkfield-oven"
    assert "Nobody in this thread reports dealings" in tree.text()
    assert "unnamed author" in tree.text()


def test_an_author_without_a_name_goes_by_that_of_their_case() -> None:
    assert one(page(demo_report()).css("article.utterance")[6], "h3").text() == "author of 7"


def test_quotes_lead_to_the_utterance_where_they_stand() -> None:
    tree = page(demo_report())
    link = next(a for a in tree.css("a.quote") if "never buy Larkfield again" in a.text())
    target = tree.css_first(str(link.attributes["href"]))
    assert target is not None
    assert written(target) == DANA
    assert POST not in target.text()
