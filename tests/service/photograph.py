"""Takes the pictures of the page and the report for the docs: `python -m tests.service.photograph` (needs Chromium).

The fonts of the first choice look best: Debian has them as fonts-inter and fonts-sil-charis.
"""

import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from service.cli import main as main_of_cli
from service.serve import ROOT, command, environment
from tests.service.test_server import free_port, running
from tests.service.test_web_browser import CHROMIUM, FLAGS

WIDTH = 1280
COLOURS = 256
# Milliseconds; the machine may be busy.
PATIENCE = 180_000
HIDE_FOCUS = "document.activeElement.blur()"


def what_if(page: Any) -> None:
    """The top of the report, with the answer to a what-if."""
    page.click(".tab:has-text('Ruth')")
    page.click("text=What if")
    page.check(".chip.advised input >> nth=0")
    page.wait_for_selector(".moved")
    page.evaluate(HIDE_FOCUS + "; document.querySelector('.summary').scrollIntoView()")


def correction(page: Any) -> None:
    """The thread with a correction open, beside the reasons of an estimate."""
    page.click(".tab:has-text('Sunniva')")
    page.click("#u-comment-2101 button.tag >> nth=0")
    page.evaluate(
        HIDE_FOCUS + "; const box = document.querySelector('#u-comment-2101').getBoundingClientRect();"
        "scrollTo(0, box.top + scrollY - 24)"
    )


def save(picture: bytes, path: Path) -> None:
    """As a PNG with a palette, a third of the size."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Serves the released bundle, scores the bundled example and photographs it in both themes."""
    port = free_port()
    folder = Path(tempfile.mkdtemp())
    env = environment({**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder)}, port, 1)
    with running(folder, command("127.0.0.1", port), env, port) as server, sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for theme, name, arrange, height in (
            ("light", "page.png", what_if, 1400),
            ("dark", "page-dark.png", correction, 1180),
        ):
            page = browser.new_page(viewport={"width": WIDTH, "height": height}, color_scheme=theme)
            page.set_default_timeout(PATIENCE)
            page.goto(server.url)
            page.click("#example")
            page.wait_for_selector(".place")
            arrange(page)
            page.mouse.move(0, 0)
            page.wait_for_timeout(500)
            save(page.screenshot(), ROOT / "docs" / name)
        report(browser, folder)
    shutil.rmtree(folder)


def report(browser: Any, folder: Path) -> None:
    """The report of the bundled example as `amends score --html` writes it: its head, and the thread further down."""
    written = folder / "report.html"
    main_of_cli(["score", str(ROOT / "examples/kettle-recall.html"), "--html", str(written)])
    page = browser.new_page(viewport={"width": WIDTH, "height": 1100}, color_scheme="light")
    page.goto(written.as_uri())
    save(page.screenshot(), ROOT / "docs/report.png")
    page.evaluate(
        "const title = [...document.querySelectorAll('h2')].find(h => h.textContent == 'Thread');"
        "scrollTo(0, title.getBoundingClientRect().top + scrollY - 28)"
    )
    save(page.screenshot(), ROOT / "docs/report-thread.png")


if __name__ == "__main__":
    main()
