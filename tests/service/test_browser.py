"""The page in a real browser: it asks nobody for anything, fits a phone, and works without a mouse."""

import shutil

import pytest

from model.trace import trace
from service import trace_page
from service.page import render
from tests.service.demo import demo_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="the dev extra is not installed")
    with playwright.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render([demo_report()]), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (390, "light")], ids=str)
def page(browser, address, request):
    width, theme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    page.asked, page.complaints = [], []
    page.on("request", lambda r: page.asked.append(r.url))
    page.on("console", lambda m: page.complaints.append(m.text))
    page.on("pageerror", lambda e: page.complaints.append(str(e)))
    page.goto(address)
    yield page
    context.close()


def test_it_asks_for_nothing_but_itself_and_nothing_is_refused(page, address):
    assert page.asked == [address]
    assert page.complaints == []


def test_it_fits_its_window(page):
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_cues_are_marked_in_the_text(page):
    marks = page.locator("mark")
    assert marks.count() > 0
    assert all(marks.nth(i).is_visible() for i in range(min(marks.count(), 5)))


def test_what_was_dropped_opens_by_the_keyboard(page):
    summary = page.locator("details > summary").last
    summary.focus()
    before = page.locator("details[open]").count()
    page.keyboard.press("Enter")
    assert page.locator("details[open]").count() == before + 1


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_the_page_of_a_trace_stands_alone_and_fits_too(browser, tmp_path, width, theme):
    path = tmp_path / "trace.html"
    path.write_text(trace_page.render(trace([demo_report()]), [demo_report()]), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    asked, complaints = [], []
    page.on("request", lambda r: asked.append(r.url))
    page.on("console", lambda m: complaints.append(m.text))
    page.goto(path.as_uri())
    assert (asked, complaints) == ([path.as_uri()], [])
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator(".graph circle.hub").first.is_visible()
    page.close()
