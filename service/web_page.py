"""The pages at `/` (docs/page.md) and `/review` (docs/review.md): files of the folder web/, which call the HTTP API."""

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

FOLDER: Final = Path(__file__).parent / "web"
# Files of this server alone; nothing inline, no form that leaves the page, and no text that becomes markup.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


async def web_page(_: Request) -> HTMLResponse:
    """The page at `/`; what it loads stands beside it under /web/."""
    return _page("index.html")


async def review_page(_: Request) -> HTMLResponse:
    """The page at `/review`, where people label texts."""
    return _page("review.html")


def _page(name: str) -> HTMLResponse:
    return HTMLResponse((FOLDER / name).read_text("utf-8"), headers={"Content-Security-Policy": POLICY})


def web_files() -> BaseRoute:
    """The files of the pages under /web/."""
    return Mount("/web", StaticFiles(directory=FOLDER))
