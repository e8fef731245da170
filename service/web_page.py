"""The page at `/` (docs/page.md): files of the folder web/, which run in the browser and call the HTTP API."""

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
    """The page; what it loads stands beside it under /web/."""
    return HTMLResponse((FOLDER / "index.html").read_text("utf-8"), headers={"Content-Security-Policy": POLICY})


def web_files() -> BaseRoute:
    """The files of the page under /web/."""
    return Mount("/web", StaticFiles(directory=FOLDER))
