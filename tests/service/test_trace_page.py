import math
from dataclasses import replace
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser, LexborNode

from model.read import read_file
from model.trace import trace
from model.trace_types import Edge, Place
from model.types import Author, Report
from service.trace_page import layout, render
from tests.fakes import fake_scorer

EXAMPLES = Path(__file__).parents[2] / "examples"
SCORER = fake_scorer()
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def reports() -> list[Report]:
    threads = [
        t for name in ("kettle-recall.html", "kettle-spread.jsonl") for t in read_file(EXAMPLES / name, brand="M")
    ]
    scored = [SCORER.score(t) for t in threads]
    return [replace(r, cases=tuple(replace(c, failure="product") for c in r.cases)) for r in scored]


@pytest.fixture(scope="module")
def html(reports: list[Report]) -> str:
    return render(trace(reports), reports)


def one(tree: LexborHTMLParser | LexborNode, selector: str) -> LexborNode:
    found = tree.css(selector)
    assert len(found) == 1, f"{selector}: {len(found)}"
    return found[0]


def test_the_page_shows_every_part(html: str) -> None:
    tree = LexborHTMLParser(html)
    assert [h.text() for h in tree.css("h2")] == ["Warnings", "Whom to contact first", "Stories", "People"]
    assert one(tree, "h1").text() == "My kettle melted, and all I got was a ticket number"
    assert len(tree.css(".graph circle.hub")) == 9
    assert len(tree.css(".timeline")) == 1
    assert tree.css(".contact q")


def test_the_tables_say_what_the_drawing_shows(html: str) -> None:
    tree = LexborHTMLParser(html)
    drawn = {n.text() for n in tree.css(".graph text.number")}
    rows = {n.text() for n in tree.css(".story table tbody tr td:first-child > .num")}
    assert drawn == rows == {str(n) for n in range(1, 10)}
    kinds = {n.text() for n in tree.css(".links .kind")}
    legend = {n.text().strip() for n in tree.css(".graph .legend li") if n.css(".swatch")}
    assert legend <= kinds
    assert one(tree, ".graph svg[role=img]").attributes["aria-label"]


def test_every_link_on_the_page_leads_somewhere_on_it(html: str) -> None:
    tree = LexborHTMLParser(html)
    names = [n.attributes["id"] for n in tree.css("[id]")]
    targets = {(n.attributes["href"] or "").removeprefix("#") for n in tree.css("a")}
    assert len(names) == len(set(names))
    assert targets <= set(names)


def test_nothing_is_asked_of_the_network_and_no_script_may_run(html: str) -> None:
    tree = LexborHTMLParser(html)
    sources = [v for n in tree.css("*") for k, v in n.attributes.items() if k in ("src", "href") and v]
    assert all(s.startswith(("#", "data:image/svg+xml")) for s in sources)
    assert tree.css("script") == []
    assert not [n for n in tree.css("*") for name in n.attributes if name.startswith("on") or name == "style"]
    policy = one(tree, 'meta[http-equiv="Content-Security-Policy"]').attributes["content"] or ""
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_markup_in_names_texts_and_titles_stays_text(reports: list[Report]) -> None:
    spoilt = []
    for report in reports:
        utterances = tuple(
            replace(s, utterance=replace(s.utterance, text=f"{EVIL} {s.utterance.text}", author=Author(EVIL, EVIL)))
            for s in report.utterances
        )
        thread = replace(report.thread, title=EVIL, url=EVIL, brand=EVIL)
        spoilt.append(replace(report, utterances=utterances, thread=thread, warnings=(EVIL,)))
    tree = LexborHTMLParser(render(trace(spoilt), spoilt))
    assert tree.css("script, img, iframe, object, embed, form, base") == []
    assert EVIL in one(tree, "main").text()


def test_the_same_trace_gives_the_same_page(html: str, reports: list[Report]) -> None:
    assert render(trace(reports), reports) == html


def test_lone_pages_and_untimed_ones_are_said_to_be_so(reports: list[Report]) -> None:
    alone = [reports[-1]]
    tree = LexborHTMLParser(render(trace(alone), alone))
    assert "nothing that links them" in one(tree, "h1").text()
    untimed = [
        replace(r, utterances=tuple(replace(s, utterance=replace(s.utterance, time=None)) for s in r.utterances))
        for r in reports
    ]
    tree = LexborHTMLParser(render(trace(untimed), untimed))
    assert "No utterance has a time" in one(tree, ".began").text()
    assert tree.css(".timeline") == []


def test_pages_of_a_layout_do_not_overlap_and_begin_at_the_left() -> None:
    pages = [f"p{n}" for n in range(25)]
    edges = [Edge("link", Place(pages[n]), Place(pages[n // 3]), 0.9) for n in range(1, 25)]
    space = dict.fromkeys(pages, 60.0)
    at = layout(pages, edges, space)
    assert min(math.dist(at[a], at[b]) for a in pages for b in pages if a < b) > 115
    assert at["p0"][0] == min(x for x, _ in at.values())
    assert layout(pages, edges, space) == at
