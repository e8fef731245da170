"""The server's log as JSON, one object a line, with a line for each request.

A line about a request says what was asked and how it went, never what was written, unless AMENDS_LOG_TEXTS is set.
"""

import json
import logging
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.privacy import Masker

LOGGER: Final = "bentoml.amends.access"
# The handler by which BentoML writes the server's log.
HANDLER: Final = "tracehandler"

_noted: ContextVar[dict[str, Any] | None] = ContextVar("amends_noted", default=None)


def note(**facts: Any) -> None:
    """Adds facts to the log line of the request in hand; does nothing outside one.

    key: name of the API key. bundle: version. said: the texts that were sent, to be given only where the settings ask
    for them. Everything else is a number and becomes part of `counts`.
    """
    noted = _noted.get()
    if noted is not None:
        noted.update(facts)


class JsonLines(logging.Formatter):
    """Every record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """time, level and logger, then the facts of a request or a message, with the traceback of an exception."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        facts = getattr(record, "request", None)
        line |= facts if facts is not None else {"message": record.getMessage()}
        if (span := trace.get_current_span().get_span_context()).is_valid:
            line["trace"] = format(span.trace_id, "032x")
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


def write_json() -> None:
    """Makes the handler that BentoML has set up write JSON."""
    for name in ("", "bentoml"):
        for handler in logging.getLogger(name).handlers:
            if handler.name == HANDLER:
                handler.setFormatter(JsonLines())


class RequestLog:
    """Writes one line for each request, when it is over. quiet: paths that are not worth a line.

    masks: whether personal data in the path is masked.
    """

    def __init__(self, app: ASGIApp, quiet: frozenset[str], masks: bool) -> None:
        self.app = app
        self.quiet = quiet
        self.masks = masks
        self.logger = logging.getLogger(LOGGER)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["path"] in self.quiet:
            await self.app(scope, receive, send)
            return
        noted: dict[str, Any] = {}
        token = _noted.set(noted)
        start = time.perf_counter()
        status: int | None = None

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception:
            # What fails here is answered outside all middleware.
            status = status or 500
            raise
        finally:
            _noted.reset(token)
            path = shown_path(scope, masks=self.masks)
            facts = _line(scope["method"], path, status, time.perf_counter() - start, noted)
            self.logger.info("request", extra={"request": facts})


def shown_path(scope: Scope, *, masks: bool) -> str:
    """The path of a request as the log may show it: without personal data where that is masked."""
    path: str = scope["path"]
    return Masker().text(path) if masks else path


def _line(method: str, path: str, status: int | None, seconds: float, noted: dict[str, Any]) -> dict[str, Any]:
    """The facts of one request; the status is None where the caller went away before there was an answer."""
    texts = {"texts": noted.pop("said")} if "said" in noted else {}
    key, bundle = noted.pop("key", None), noted.pop("bundle", None)
    return {
        "method": method,
        "path": path,
        "status": status,
        "milliseconds": round(seconds * 1000, 2),
        "key": key,
        "bundle": bundle,
        "counts": noted,
        **texts,
    }
