"""The page at `/review` in a real browser in front of a real server (over the fake scorer)."""

import httpx
import pytest

from tests.service.test_server import fake_server
from tests.service.test_web_browser import CHROMIUM, DROPPED, FLAGS, browser  # noqa: F401

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

TEXTS = ["The kettle was great and awful.", "They ignored me, great.", "I bought a refund."]
STORED = "localStorage.getItem('amends.review')"


@pytest.fixture
def server(tmp_path):
    with fake_server(tmp_path, AMENDS_STATE=str(tmp_path / "state")) as server:
        yield server


class Labelling:
    """The page with all that it asked for and complained about. key: named in the field for it, where one is needed."""

    def __init__(self, browser, url, **options):  # noqa: F811
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.url, self.asked, self.complaints = url, [], []
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.on("console", lambda m: self.complaints.append(m.text))
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.goto(url + "/review")

    def begin(self, texts):
        self.page.fill("#content", "\n".join(texts))
        self.page.click("#begin")
        self.page.wait_for_selector("#work:not([hidden])")

    def shown(self):
        return self.page.text_content("#text")

    def press(self, key):
        """Gives the text that was on the page."""
        text = self.shown()
        self.page.keyboard.press(key)
        return text

    def kept(self, number):
        self.page.wait_for_selector(f"#sent:text-matches('^{number} labels? kept$')")

    def check(self, complaints=0):
        assert [url for url in self.asked if not url.startswith(self.url + "/")] == []
        assert len(self.complaints) == complaints, self.complaints


@pytest.fixture
def labelling(browser, server):  # noqa: F811
    one = Labelling(browser, server.url)
    yield one
    one.context.close()


def stored(server, headers=None):
    return httpx.get(server.url + "/v1/feedback", headers=headers, timeout=60).json()["items"]


def test_three_texts_are_labelled_by_keyboard_and_kept(labelling, server):
    labelling.begin(TEXTS)
    given = {labelling.press("1"): "negative", labelling.press("u"): "neutral", labelling.press("P"): "positive"}
    assert set(given) == set(TEXTS)
    assert labelling.page.text_content("#done-title") == "All looked at"
    labelling.kept(3)
    items = stored(server)
    assert {item["text"]: item["label"] for item in items} == given
    assert all(item["kind"] == "sentiment" and item["client_id"].startswith("review-") for item in items)
    assert all(sum(item["predicted"]["probabilities"].values()) == pytest.approx(1) for item in items)
    labelling.check()


def test_skip_and_undo(labelling, server):
    labelling.begin(TEXTS)
    first = labelling.press("1")
    labelling.page.keyboard.press("z")
    assert labelling.shown() == first
    assert labelling.press("3") == first
    skipped = labelling.press("s")
    assert "Skipped. Next: " in labelling.page.text_content("#status")
    last = labelling.press("2")
    labelling.kept(2)
    assert {i["text"]: i["label"] for i in stored(server)} == {first: "positive", last: "neutral"}
    assert skipped not in {first, last}
    # What is kept already is undone by a new label, which is newer.
    labelling.page.keyboard.press("z")
    assert labelling.press("n") == last
    labelling.kept(3)
    assert [i["label"] for i in stored(server) if i["text"] == last] == ["neutral", "negative"]
    labelling.check()


def test_nothing_is_lost_by_a_reload_and_nothing_kept_twice(labelling, server):
    page = labelling.page
    answers = []

    def lost(route):
        # The server keeps the first one, but its answer never arrives.
        answers.append(route.fetch().status)
        route.abort()

    page.route("**/v1/feedback", lost)
    labelling.begin(TEXTS)
    given = {labelling.press("1"): "negative", labelling.press("2"): "neutral"}
    page.wait_for_selector("#problem:has-text('reached')")
    assert answers[0] == 200
    page.unroute("**/v1/feedback")
    page.reload()
    page.wait_for_selector("#work:not([hidden])")
    assert page.text_content("#place") == "3 of 3"
    labelling.kept(2)
    assert {i["text"]: i["label"] for i in stored(server)} == given
    assert len(stored(server)) == 2
    page.click("#finish")
    assert page.evaluate(STORED) is None


def test_texts_of_jobs_and_doubtful_feedback(labelling, server):
    page = labelling.page
    thread = {"id": "t", "utterances": [{"text": text} for text in TEXTS]}
    number = httpx.post(server.url + "/v1/jobs", json={"items": [{"thread": thread}]}, timeout=60).json()["id"]
    while httpx.get(f"{server.url}/v1/jobs/{number}", timeout=60).json()["state"] != "done":
        page.wait_for_timeout(100)
    page.click("#from-jobs")
    page.wait_for_selector("#work:not([hidden])")
    assert page.text_content("#place") == "1 of 3"
    page.click("#finish")
    wrong = {"kind": "sentiment", "text": "great kettle", "label": "negative"}
    right = {"kind": "sentiment", "text": "awful kettle", "label": "negative"}
    httpx.post(server.url + "/v1/feedback", json={"items": [wrong, right]}, timeout=60)
    page.click("#from-feedback")
    page.wait_for_selector("#work:not([hidden])")
    assert (labelling.shown(), page.text_content("#place")) == ("great kettle", "1 of 1")
    assert "Labelled negative before" in page.text_content("#why")
    labelling.check()


def test_a_dropped_file_and_markup_in_it(labelling):
    page = labelling.page
    evil = "<img src=x onerror='window.owned = 1'> awful great"
    data = f'text\n"{evil}"\n'.encode()
    dropped = page.evaluate_handle(DROPPED, ["texts.csv", list(data)])
    page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
    page.click("#begin")
    page.wait_for_selector("#work:not([hidden])")
    assert labelling.shown() == evil
    assert page.evaluate("window.owned") is None
    labelling.check()


def test_with_keys_labels_wait_for_one_that_may_write(browser, tmp_path):  # noqa: F811
    import hashlib

    keys = ",".join(f"{n}:{n}:{hashlib.sha256(n.encode()).hexdigest()}" for n in ("read", "write"))
    with fake_server(tmp_path, AMENDS_STATE=str(tmp_path / "state"), AMENDS_API_KEYS=keys) as server:
        one = Labelling(browser, server.url)
        page = one.page
        page.wait_for_selector("#key-form:not([hidden])")
        page.fill("#key", "read")
        page.click("#key-form button")
        page.wait_for_selector("#key-form", state="hidden")
        one.begin(TEXTS[:1])
        one.press("1")
        page.wait_for_selector("#problem:has-text('may only read')")
        page.fill("#key", "write")
        page.click("#key-form button")
        one.kept(1)
        assert [i["key"] for i in stored(server, {"Authorization": "Bearer read"})] == ["write"]
        assert "write" not in str(page.evaluate("JSON.stringify(localStorage)"))
        one.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_grave(browser, server, theme):  # noqa: F811
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the dev extra is not installed").Axe()
    one = Labelling(browser, server.url, color_scheme=theme, bypass_csp=True)

    def found():
        violations = axe.run(one.page).response["violations"]
        return [(v["id"], v["nodes"][0]["html"]) for v in violations if v["impact"] in ("serious", "critical")]

    assert found() == []
    one.begin([*TEXTS[:2], "It was great and awful. " * 400])
    assert found() == []
    for key in "12":
        one.page.keyboard.press(key)
    one.page.wait_for_selector("#text.long")
    assert found() == []
    one.page.focus("#text")
    one.page.keyboard.press("End")
    one.page.wait_for_function("document.querySelector('#text').scrollTop > 100")
    one.page.keyboard.press("s")
    assert one.page.is_visible("#done-title")
    assert found() == []
    one.context.close()
