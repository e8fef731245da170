"""What every request passes on its way in: room in the worker, a time limit, a size limit."""

import asyncio
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ApiError
from service.schemas import Problem

PROBES = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})
RETRY_AFTER_SECONDS = 1


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
