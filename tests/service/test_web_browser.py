"""The page at `/` in a real browser in front of a real server (over the fake scorer)."""

import gzip
import hashlib
import io
import json
import shutil

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.trace import trace
from service import trace_page
from service.page import render
from tests.service.demo import demo_report
from tests.service.test_server import fake_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

IGNORED = "🙃🙃 I bought a kettle. They ignored me, awful. They should call."
HELPED = "I bought one too. They sent a refund and were sorry, great."
ROWS = [
    {"id": "1", "text": IGNORED, "author": "Ines"},
    {"id": "2", "text": HELPED, "author": "Omar", "reply_to": "1"},
]
THREAD = json.dumps({"title": "Kettles", "utterances": [{**ROWS[0], "kind": "post"}, {**ROWS[1], "parent": "1"}]})
THREAD = THREAD.replace('"reply_to": "1", ', "")
WITHOUT_LABELS = """e => {
    const copy = e.cloneNode(true);
    copy.querySelectorAll('.tag').forEach((label) => label.remove());
    return copy.textContent;
}"""
DROPPED = """([name, bytes]) => {
    const dropped = new DataTransfer();
    dropped.items.add(new File([new Uint8Array(bytes)], name));
    return dropped;
}"""
EVIL = "</p><script>window.owned = 1</script><img src=x onerror='window.owned = 2'><b onclick=1>"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with fake_server(folder, AMENDS_STATE=str(folder / "state")) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="the dev extra is not installed")
    with playwright.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


class Watched:
    """A page with all that it asked for and complained about."""

    def __init__(self, browser, url, **options):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.page = self.context.new_page()
        # The machine may be busy.
        self.page.set_default_timeout(60_000)
        self.url, self.asked, self.complaints, self.sent = url, [], [], []
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.on("console", lambda m: self.complaints.append(m.text))
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.goto(url + "/")

    def score(self, text, brand=""):
        self.page.fill("#content", text)
        self.page.fill("#brand", brand)
        self.page.click("#score")
        self.page.wait_for_selector("article.report")

    def answer_feedback(self, status, body):
        def answer(route):
            self.sent.append(route.request.post_data_json)
            route.fulfill(status=status, json=body)

        self.page.route("**/v1/feedback", answer)

    def check(self, complaints=0):
        """Nothing was asked of anybody else, and nothing was refused or broken."""
        assert [url for url in self.asked if not url.startswith((self.url + "/", "blob:" + self.url))] == []
        assert len(self.complaints) == complaints, self.complaints


@pytest.fixture
def watched(browser, server):
    one = Watched(browser, server.url)
    yield one
    one.context.close()


def test_a_pasted_thread_is_scored_and_shown(watched, server):
    watched.score(THREAD, "Brightpot")
    page = watched.page
    report = httpx.post(server.url + "/v1/score", json={"content": THREAD, "brand": "Brightpot"}).json()["reports"][0]
    assert page.locator("#report-title").text_content() == "Kettles"
    assert page.locator(".over").text_content() == "Report on Brightpot"
    assert [page.locator(".thread > li").nth(i).get_attribute("class") for i in range(2)] == ["depth-0", "depth-1"]
    for i, utterance in enumerate(report["utterances"]):
        shown = page.locator(".utterance").nth(i)
        assert shown.locator(".feel").text_content().split()[0] == utterance["sentiment"]["label"]
        # Labels of marks stand in the text; without them it is what was written.
        assert shown.locator(".text").evaluate(WITHOUT_LABELS) == utterance["text"]
        cues = [c for case in report["cases"] for c in case["cues"] if c["utterance"] == utterance["id"]]
        assert cues
        marked = shown.locator("mark").all_text_contents()
        assert {c["quote"] for c in cues} <= {"".join(marked[a:b]) for a in range(9) for b in range(a + 1, 10)}
    watched.check()


def test_a_customer_has_an_estimate_with_interval_and_reasons(watched, server):
    watched.score(THREAD)
    page = watched.page
    report = httpx.post(server.url + "/v1/score", json={"content": THREAD}).json()["reports"][0]
    ines = next(c for c in report["cases"] if c["author"] == "Ines")
    page.click(".tab:has-text('Ines')")
    card = page.locator(".card")
    loyalty = ines["loyalty"]
    assert card.locator(".index b").text_content() == f"{loyalty['index']:.0f}"
    assert f"interval {loyalty['low']:.0f} to {loyalty['high']:.0f}" in card.locator(".index").text_content()
    why = card.locator("canvas").first.get_attribute("aria-label")
    assert "contact: none −" in why
    assert page.locator(".overview canvas").evaluate("c => c.width > 100 && c.height > 50")
    # A quote leads to where it stands.
    card.locator("button.quote").first.click()
    assert page.evaluate("document.activeElement.id") == "u-1"
    watched.check()


def test_what_the_company_answers_in_the_thread_stands_beside_the_reasons(watched, server):
    answer = "Dear Ines, on behalf of the kettle people, sorry. A refund is on its way."
    company = {"id": "3", "text": answer, "author": "Kettle Support", "parent": "1"}
    thread = json.loads(THREAD)
    thread["utterances"].append(company)
    watched.score(json.dumps(thread))
    report = httpx.post(server.url + "/v1/score", json={"content": json.dumps(thread)}).json()["reports"][0]
    answers = next(c for c in report["cases"] if c["author"] == "Ines")["answers"]
    page = watched.page
    page.click(".tab:has-text('Ines')")
    told = page.locator(".card details:has-text('own answer, not counted')")
    assert told.locator("li").count() == len(answers) > 1
    assert "refund" in told.text_content()
    assert "contact: made" in told.text_content()
    page.click(".tab:has-text('Omar')")
    assert page.locator(".card details:has-text('own answer, not counted')").count() == 0
    watched.check()


def test_what_if_answers_with_what_the_server_says(watched, server):
    watched.score(THREAD)
    page = watched.page
    page.click(".tab:has-text('Ines')")
    page.click("text=What if")
    with page.expect_response("**/v1/what-if") as caught:
        page.check(".chip input[data-value=refund]")
    asked, found = caught.value.request.post_data_json, caught.value.json()["cases"][0]["what_if"][0]
    assert asked["set"] == {"redress": "refund"}
    assert set(asked["cases"][0]) >= {"probabilities", "severity", "failure"}
    page.wait_for_selector(".moved")
    moved = page.locator(".moved").text_content()
    assert "Among comparable posts" in moved
    assert f"{found['difference']:+.1f}" in moved
    assert page.locator(".moved:has-text('Held at the level without a failure')").count() == int(found["capped"])
    assert "published findings" in page.locator(".effects").text_content()
    # One kind of redress at a time, several other things together, and nothing again.
    with page.expect_response("**/v1/what-if"):
        page.check(".chip input[data-value=repair]")
    assert not page.is_checked(".chip input[data-value=refund]")
    with page.expect_response("**/v1/what-if") as caught:
        page.check(".chip input[data-cue=apology]")
    assert caught.value.request.post_data_json["set"] == {"redress": "repair", "apology": "given"}
    page.uncheck(".chip input[data-cue=apology]")
    page.uncheck(".chip input[data-value=repair]")
    page.wait_for_selector(".moved", state="detached")
    watched.check()


def test_what_the_author_reports_already_can_not_be_chosen(watched):
    watched.score(THREAD)
    watched.page.click(".tab:has-text('Omar')")
    watched.page.click("text=What if")
    assert watched.page.is_disabled(".chip input[data-value=refund]")


def test_a_sentiment_is_corrected_with_two_clicks(watched):
    watched.answer_feedback(200, {"results": [{"id": 12}]})
    watched.score(THREAD)
    page = watched.page
    page.click(".utterance >> nth=0 >> .feel")
    page.click("text=it is neutral")
    page.wait_for_selector("text=Kept as number 12")
    (item,) = watched.sent[0]["items"]
    assert {k: item[k] for k in ("kind", "text", "label", "utterance_id")} == {
        "kind": "sentiment",
        "text": IGNORED,
        "label": "neutral",
        "utterance_id": "1",
    }
    assert item["thread_id"]
    assert item["predicted"]["label"] == "negative"
    assert sum(item["predicted"]["probabilities"].values()) == pytest.approx(1)
    # What was sent is not sent twice.
    assert page.locator(".choice:enabled").count() == 0
    watched.check()


def test_a_cue_is_corrected_with_two_clicks(watched):
    watched.answer_feedback(200, {"results": [{"id": 13}]})
    watched.score(THREAD)
    page = watched.page
    page.click("button.tag:text-is('contact: none')")
    page.click("text=wrong: not mentioned")
    page.wait_for_selector("text=Kept as number 13")
    (item,) = watched.sent[0]["items"]
    assert {k: item[k] for k in ("kind", "text", "cue", "value", "state")} == {
        "kind": "cue",
        "text": IGNORED,
        "cue": "contact",
        "value": "none",
        "state": "not_mentioned",
    }
    assert item["quote"] in IGNORED
    page.click("button.tag:has-text('hypothetical: apology')")
    page.click("text=it happened")
    page.wait_for_selector(".correct >> nth=1 >> text=Kept as number 13")
    (item,) = watched.sent[1]["items"]
    assert (item["cue"], item["value"], item["state"]) == ("apology", "given", "present")
    watched.check()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, {"error": {"code": "not_found", "message": "no"}}, "keeps no feedback"),
        (403, {"error": {"code": "read_only_key", "message": "no"}}, "may only read"),
        (401, {"error": {"code": "missing_key", "message": "no"}}, "asks for an API key"),
        (500, None, "answered 500"),
    ],
)
def test_a_correction_that_is_not_taken_is_said(watched, status, body, words):
    watched.answer_feedback(status, body)
    watched.score(THREAD)
    page = watched.page
    page.click(".utterance >> nth=0 >> .feel")
    page.click("text=it is neutral")
    page.wait_for_selector(f".said:has-text('{words}')")
    assert page.locator("#key-form").is_visible() == (status in (401, 403))
    assert page.locator(".choice:enabled").count() == 3
    # The browser itself notes the status.
    watched.check(complaints=1)


def test_an_item_that_is_refused_is_said(watched):
    watched.answer_feedback(200, {"results": [{"error": {"code": "bad", "message": "This text is odd"}}]})
    watched.score(THREAD)
    watched.page.click(".utterance >> nth=0 >> .feel")
    watched.page.click("text=it is neutral")
    watched.page.wait_for_selector(".said:has-text('Not sent: This text is odd')")
    watched.check()


def test_a_correction_is_kept_by_the_server(watched, server):
    if "/v1/feedback" not in httpx.get(server.url + "/docs.json").json()["paths"]:
        pytest.skip("this server has no /v1/feedback")
    watched.score(THREAD)
    page = watched.page
    page.click(".utterance >> nth=0 >> .feel")
    page.click("text=it is neutral")
    page.wait_for_selector(".said:has-text('Kept as number')")
    page.click("button.tag:text-is('contact: none')")
    page.click("text=wrong: not mentioned")
    page.wait_for_selector(".correct >> nth=1 >> text=Kept as number")
    kept = httpx.get(server.url + "/v1/feedback").json()["items"]
    assert [(i["kind"], i["text"], i.get("label"), i.get("state")) for i in kept] == [
        ("sentiment", IGNORED, "neutral", None),
        ("cue", IGNORED, None, "not_mentioned"),
    ]
    watched.check()


def drop(page, name, data):
    transfer = page.evaluate_handle(DROPPED, [name, list(data)])
    page.dispatch_event("#drop", "dragover", {"dataTransfer": transfer})
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


def test_a_dropped_file_is_scored(watched):
    page = watched.page
    drop(page, "kettles.jsonl.gz", gzip.compress(THREAD.encode()))
    assert page.locator("#chosen-name").text_content() == "kettles.jsonl.gz"
    page.click("#score")
    page.wait_for_selector("article.report")
    assert page.locator("#report-title").text_content() == "Kettles"
    page.click("#unchoose")
    assert page.is_enabled("#content")
    watched.check()


def test_a_chosen_table_with_several_threads_is_shown_one_by_one(watched):
    table = io.BytesIO()
    pq.write_table(pa.table({"text": [IGNORED, HELPED, "Fine."], "conversation_id": ["a", "b", "c"]}), table)
    page = watched.page
    page.set_input_files(
        "#file", {"name": "t.parquet", "mimeType": "application/octet-stream", "buffer": table.getvalue()}
    )
    page.click("#score")
    page.wait_for_selector("article.report")
    assert "3 threads" in page.locator(".picker").text_content()
    page.select_option("#which", "1")
    page.wait_for_selector(".text:has-text('They sent a refund')")
    assert page.locator(".utterance").count() == 1
    watched.check()


def test_the_example_is_one_click_away(watched):
    watched.page.click("#example")
    watched.page.wait_for_selector("article.report")
    assert watched.page.locator(".over").text_content() == "Report on Marrowby"
    assert watched.page.locator(".utterance").count() == 10
    watched.check()


def test_what_can_not_be_read_is_said_and_nothing_breaks(watched):
    page = watched.page
    page.click("#score")
    page.wait_for_selector("#problem:has-text('nothing to score yet')")
    page.fill("#content", "no json")
    page.select_option("#format", "jsonl")
    page.click("#score")
    page.wait_for_selector("#problem:not(:has-text('nothing to score yet'))")
    assert page.locator("#problem").text_content()
    page.select_option("#format", "auto")
    page.click("#score")
    page.wait_for_selector("article.report")
    assert page.locator("#problem").is_hidden()
    watched.check(complaints=1)


def test_what_strangers_write_stays_text(watched):
    evil = {"id": EVIL, "text": f"They ignored me. {EVIL}", "author": EVIL, "flags": [EVIL]}
    thread = {"title": EVIL, "url": "javascript:window.owned=3", "utterances": [evil]}
    watched.score(json.dumps(thread), EVIL)
    page = watched.page
    assert page.locator(".text").first.evaluate(WITHOUT_LABELS) == evil["text"]
    assert page.locator("#report-title").text_content() == EVIL
    page.click(".feel")
    page.click("text=What if")
    page.wait_for_selector(".chips")
    assert page.evaluate("window.owned") is None
    assert (
        page.locator("#results script, #results img, #results b[onclick], #results [href^='javascript']").count() == 0
    )
    said = f"They ignored me, awful. &lt;script&gt;window.owned=4&lt;/script&gt; {EVIL}"
    watched.score(f"<html><body><article><h1>Kettles</h1><p>{said}</p></article></body></html>")
    page.wait_for_selector(".text:has-text('They ignored me, awful.')")
    assert page.evaluate("window.owned") is None
    assert page.locator("#results script, #results img").count() == 0
    watched.check()


def tab_to(page, test, most=80):
    """Presses Tab until the focused element fits."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(f"(() => {{ const e = document.activeElement; return {test} }})()"):
            return
    pytest.fail(f"not reached by Tab: {test}")


def test_everything_works_without_a_mouse(watched):
    watched.answer_feedback(200, {"results": [{"id": 1}]})
    page = watched.page
    tab_to(page, "e.className === 'skip'")
    tab_to(page, "e.id === 'content'")
    page.keyboard.insert_text(THREAD)
    tab_to(page, "e.id === 'score'")
    page.keyboard.press("Enter")
    page.wait_for_selector(".chips", state="attached")
    assert page.evaluate("document.activeElement.id") == "report-title"
    tab_to(page, "e.textContent === 'What if'")
    page.keyboard.press("Enter")
    tab_to(page, "e.dataset.cue === 'apology'")
    page.keyboard.press("Space")
    page.wait_for_selector(".moved")
    tab_to(page, "e.classList.contains('feel')")
    page.keyboard.press("Enter")
    page.wait_for_selector(".correct")
    assert page.evaluate("document.activeElement.className") == "choice"
    page.keyboard.press("Escape")
    assert page.locator(".correct").count() == 0
    assert page.evaluate("document.activeElement.classList.contains('feel')")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Kept as number 1")
    watched.check()


def test_a_key_is_asked_for_where_the_server_wants_one(browser, tmp_path):
    digest = hashlib.sha256(b"letmein").hexdigest()
    with fake_server(tmp_path, AMENDS_API_KEYS=f"crm:read:{digest}") as closed:
        one = Watched(browser, closed.url)
        page = one.page
        page.wait_for_selector("#key-form:not([hidden])")
        page.fill("#key", "wrong")
        page.press("#key", "Enter")
        page.wait_for_selector("#status:has-text('does not know this key')")
        page.fill("#key", "letmein")
        page.press("#key", "Enter")
        page.wait_for_selector("#key-form", state="hidden")
        one.score(THREAD)
        assert page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0
        one.check(complaints=2)
        one.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_finding_of_axe_on_the_page(browser, server, theme):
    for width in (1280, 390):
        one = Watched(browser, server.url, color_scheme=theme, viewport={"width": width, "height": 900})
        assert findings(one.page) == []
        one.score(THREAD)
        one.page.wait_for_selector(".chips", state="attached")
        one.page.click("text=What if")
        one.page.check(".chip input[data-cue=apology]")
        one.page.wait_for_selector(".moved")
        one.page.click(".feel >> nth=0")
        one.page.click("button.tag >> nth=0")
        assert findings(one.page) == []
        assert one.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        one.page.click("text=Why this index")
        one.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
        assert findings(one.page) == []
        one.check()
        one.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("made", ["report", "trace"])
def test_no_serious_finding_of_axe_on_the_reports(browser, tmp_path, made, theme):
    path = tmp_path / "report.html"
    report = demo_report()
    path.write_text(
        render([report, report]) if made == "report" else trace_page.render(trace([report]), [report]), encoding="utf-8"
    )
    page = browser.new_page(color_scheme=theme)
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert findings(page) == []
    page.close()


def findings(page) -> list[str]:
    """What axe finds that is serious or critical, with the elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the dev extra is not installed")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{v['id']}: {node['target']} {node['failureSummary']}"
        for v in found
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]
