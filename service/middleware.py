"""What every request passes on its way in: its key, room in the worker, a time limit, a size limit."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ApiError
from service.keys import CALLER, Key, holder
from service.log import note
from service.schemas import Problem

PROBES = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})
METRICS = "/metrics"
PAGE_FILES = "/web/"
# What describes the service and holds nothing of anybody.
DOCS = frozenset({"/", "/review", "/docs", "/docs.json"})
DOCS_FILES = "/static_content/"
READING = frozenset({"GET", "HEAD", "OPTIONS"})
RETRY_AFTER_SECONDS = 1
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def is_open(path: str) -> bool:
    """Whether a path is one of the probes or describes the service."""
    return path in PROBES | DOCS or path.startswith((DOCS_FILES, PAGE_FILES))


class SecurityHeaders:
    """Puts SECURITY_HEADERS on every answer; a page may bring a Content-Security-Policy of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, protected)


class ApiKeys:
    """Answers 401 to whoever sends no key that is known, and 403 to a read key where a write key is needed.

    Probes and the description of the API stay open; /metrics does where metrics_open. writes: paths that change what is
    stored, with all below them, unless they are only read. The key goes into the scope.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[Key], metrics_open: bool, writes: frozenset[str]) -> None:
        self.app = app
        self.keys = keys
        self.metrics_open = metrics_open
        self.writes = writes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in ("http", "websocket") or self._is_open(scope["path"]):
            await self.app(scope, receive, send)
        else:
            found = self._key_or_refusal(Headers(scope=scope), scope)
            if isinstance(found, ApiError):
                await found.response()(scope, receive, send)
                return
            note(key=found.name)
            scope[CALLER] = found
            await self.app(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        return is_open(path) and (path != METRICS or self.metrics_open)

    def _key_or_refusal(self, headers: Headers, scope: Scope) -> Key | ApiError:
        scheme, _, presented = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not presented.strip():
            got = "another scheme" if scheme else "nothing"
            return _unauthorized("missing_key", "This needs an API key", got)
        key = holder(self.keys, presented.strip())
        if key is None:
            return _unauthorized("unknown_key", "This API key is not known", "a key that is not known")
        if key.scope != "write" and self._changes_something(scope):
            problem = Problem(
                code="read_only_key",
                message="This API key may only read",
                field="Authorization",
                got="a read key",
                expected="a write key",
            )
            return ApiError(HTTPStatus.FORBIDDEN, problem)
        return key

    def _changes_something(self, scope: Scope) -> bool:
        # A websocket has no method.
        if scope.get("method") in READING:
            return False
        path: str = scope["path"]
        return path in self.writes or path.startswith(tuple(f"{known}/" for known in self.writes))


def _unauthorized(code: str, message: str, got: str) -> ApiError:
    problem = Problem(code=code, message=message, field="Authorization", got=got, expected="Bearer and an API key")
    return ApiError(HTTPStatus.UNAUTHORIZED, problem, headers={"WWW-Authenticate": "Bearer"})


class Admission:
    """Answers 429 at once when a worker already has max_requests in hand. Probes always get through."""

    def __init__(self, app: ASGIApp, max_requests: int) -> None:
        self.app = app
        self.max_requests = max_requests
        self.in_hand = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self.app(scope, receive, send)
        elif self.in_hand >= self.max_requests:
            await self._overloaded().response()(scope, receive, send)
        else:
            self.in_hand += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self.in_hand -= 1

    def _overloaded(self) -> ApiError:
        problem = Problem(
            code="overloaded",
            message="Too many requests at once; try again shortly",
            got=f"{self.in_hand} requests in hand",
            expected=f"at most {self.max_requests}",
        )
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS), "Connection": "close"}
        return ApiError(HTTPStatus.TOO_MANY_REQUESTS, problem, headers=headers)


class Deadline:
    """Cancels a request after some seconds and answers 504.

    It replaces BentoML's own, which keeps the state of every request for the whole time limit.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with asyncio.timeout(self.seconds) as timer:
                await self.app(scope, receive, watched)
        except TimeoutError:
            if started or not timer.expired():
                raise
            await self._timed_out().response()(scope, receive, send)

    def _timed_out(self) -> ApiError:
        problem = Problem(
            code="timeout",
            message=f"Not done within {self.seconds:g} seconds; send less at once",
            expected=f"at most {self.seconds:g} seconds of work",
        )
        return ApiError(HTTPStatus.GATEWAY_TIMEOUT, problem, headers={"Connection": "close"})


class Disconnect:
    """Cancels a request whose caller goes away before there is an answer. Nothing is sent; the log shows no status."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        task = asyncio.current_task()
        if scope["type"] != "http" or task is None:
            await self.app(scope, receive, send)
            return
        gone = started = cancelled = False
        watcher: asyncio.Task[None] | None = None

        async def watch() -> None:
            nonlocal gone, cancelled
            # After the body comes nothing but this.
            message = await receive()
            if message["type"] == "http.disconnect" and not started:
                gone = cancelled = True
                task.cancel()

        async def watched_receive() -> Message:
            nonlocal gone, watcher
            message = await receive()
            if message["type"] == "http.disconnect":
                gone = not started
            elif not message.get("more_body", False) and watcher is None:
                watcher = asyncio.create_task(watch())
            return message

        async def watched_send(message: Message) -> None:
            nonlocal started
            if not gone:
                started = True
                await send(message)

        try:
            await self.app(scope, watched_receive, watched_send)
        except asyncio.CancelledError:
            # Somebody else may have cancelled it at the same moment, such as the time limit.
            if not cancelled or task.uncancel() > 0:
                raise
        finally:
            if watcher is not None:
                watcher.cancel()


class BodyLimit:
    """Raises ApiError 413 from receive() as soon as a body is over max_bytes, whatever its headers claim."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        claimed = Headers(scope=scope).get("content-length", "")
        if claimed.isdecimal() and int(claimed) > self.max_bytes:
            await self._too_large(int(claimed)).response()(scope, receive, send)
            return
        total = 0

        async def counted() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > self.max_bytes:
                raise self._too_large(total)
            return message

        await self.app(scope, counted, send)

    def _too_large(self, size: int) -> ApiError:
        problem = Problem(
            code="body_too_large",
            message="The body is too large; send less at once or use the command line",
            field="body",
            got=f"{size} bytes or more",
            expected=f"at most {self.max_bytes} bytes",
        )
        return ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, problem, headers={"Connection": "close"})
