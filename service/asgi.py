"""The application of one worker: BentoML's own with our middleware, errors, views and docs page.

Together with service.framework all that touches BentoML's inner parts. These are not public: bentoml is pinned, and
tests/service/test_app.py fails when the pieces change.
"""

import logging
import traceback
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, cast

from _bentoml_impl.server.app import ServiceAppFactory  # type: ignore[import-untyped]
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.server.http.access import AccessLogMiddleware
from bentoml._internal.server.http.instruments import RunnerTrafficMetricsMiddleware
from bentoml._internal.server.http.traffic import MaxConcurrencyMiddleware, TimeoutMiddleware
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.privacy import Masker
from model.reading.bytes import whole_pairs
from service import tracing
from service.errors import ApiError, masked, to_api_error
from service.log import RequestLog, shown_path
from service.middleware import (
    PROBES,
    SECURITY_HEADERS,
    Admission,
    ApiKeys,
    BodyLimit,
    Deadline,
    Disconnect,
    SecurityHeaders,
)
from service.openapi import MODEL_PATH
from service.rate import Meter, RateLimit
from service.schemas import Problem
from service.settings import Settings
from service.views import VIEWS, View
from service.web_page import review_page, web_files, web_page

logger = logging.getLogger("bentoml.amends")

DOCS_PAGE = Path(__file__).parent / "docs.html"
# The page runs scripts of this server alone; Swagger UI brings inline styles and images.
DOCS_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
# Paths that change what is stored: they need a write key, unless they are only read. Scoring stores nothing.
WRITES = frozenset({"/v1/feedback", "/v1/jobs", "/v1/retrain"})


# In the scope, where the access log sees a masked path.
ASKED_PATH = "amends.path"


class Metrics(RunnerTrafficMetricsMiddleware):
    """BentoML's request metrics, for known paths only: a label per path that someone made up would grow for ever."""

    def __init__(self, app: ASGIApp, paths: frozenset[str], **options: Any) -> None:
        super().__init__(app, **options)
        self.paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope.get("path") in self.paths:
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class MaskedAccessLog(AccessLogMiddleware):
    """BentoML's access log, without personal data in the path."""

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        async def with_its_path(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "path": scope[ASKED_PATH]} if ASKED_PATH in scope else scope, receive, send)

        super().__init__(with_its_path, **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if "path" in scope:
            scope = {**scope, "path": shown_path(scope, masks=True), ASKED_PATH: scope["path"]}
        await super().__call__(scope, receive, send)


class AppFactory(ServiceAppFactory):  # type: ignore[misc]
    """Builds the ASGI application of one worker."""

    def __call__(self) -> Starlette:
        """The application, with one error shape for everything and no debug pages."""
        app: Starlette = super().__call__()
        app.debug = False
        app.state.masks = Settings.from_env().mask_personal_data
        for kind in (HTTPException, ApiError, Exception):
            app.add_exception_handler(kind, _error_response)
        app.add_route("/docs", self.docs_page, include_in_schema=False)
        app.add_route("/review", review_page, include_in_schema=False)
        app.routes.append(web_files())
        app.add_route(MODEL_PATH, self.model_view, methods=["GET"])
        for view in VIEWS:
            app.add_route(view.path, self._endpoint_of(view), methods=[view.method])
        return app

    @property
    def middlewares(self) -> list[Middleware]:
        """Outermost first. Keys come before Admission: strangers take no room."""
        settings = Settings.from_env()
        unwanted = [TimeoutMiddleware, MaxConcurrencyMiddleware]
        if settings.log_format == "json":
            unwanted.append(AccessLogMiddleware)
        traces = tracing.wanted()
        if traces or not BentoMLContainer.tracing.exporter_type.get():
            unwanted.append(OpenTelemetryMiddleware)
        kept = [self._bounded(m) for m in super().middlewares if m.cls not in unwanted]
        if settings.mask_personal_data:
            kept = [_masking(m) for m in kept]
        ours = [
            *(_spans() if traces else []),
            *_request_log(settings),
            Middleware(SecurityHeaders),
            *_browser_access(settings),
            *_key_check(settings),
            *_rate_limits(settings),
            Middleware(Admission, max_requests=settings.max_requests),
            Middleware(Deadline, seconds=settings.timeout_seconds),
            Middleware(Disconnect),
            Middleware(BodyLimit, max_bytes=settings.max_body_bytes),
        ]
        # BentoML's context has to stay the innermost.
        return [*kept[:-1], *ours, kept[-1]]

    def _bounded(self, middleware: Middleware) -> Middleware:
        if cast("object", middleware.cls) is not RunnerTrafficMetricsMiddleware:
            return middleware
        paths = PROBES | {MODEL_PATH} | {api.route for api in self.service.apis.values()}
        return Middleware(Metrics, paths=frozenset(paths), **middleware.kwargs)  # type: ignore[arg-type]

    async def api_endpoint(self, name: str, request: Request) -> Response:
        """One call of an API method; whatever goes wrong becomes an error response here."""
        try:
            _require_json(request)
            request = await _with_whole_pairs(request)
            return await self._answer(name, request)
        except Exception as error:
            return await _error_response(request, error)

    def _add_response_headers(self, resp: Response) -> None:
        """Adds nothing: BentoML's own names the framework, and looks its configuration up again for each answer."""

    async def _answer(self, name: str, request: Request) -> Response:
        """As BentoML's own, which takes twice as long, for the methods that take one body and nothing else."""
        method = self.service.apis[name]
        whole = getattr(method.input_spec, "__root_input__", False) and method.ctx_param is None
        if not whole or not iscoroutinefunction(method.func):
            response: Response = await super().api_endpoint(name, request)
            return response
        body = method.input_spec.model_validate_json(await request.body() or b"{}")
        answer = await method.func(self._service_instance, body)
        return Response(answer.model_dump_json(), media_type="application/json")

    async def index_page(self, request: Request) -> Response:
        """Called by BentoML for `/`."""
        return await web_page(request)

    async def docs_page(self, _: Request) -> Response:
        """Swagger UI from local files; BentoML's own page loads a tracker."""
        return HTMLResponse(DOCS_PAGE.read_text("utf-8"), headers={"Content-Security-Policy": DOCS_POLICY})

    async def model_view(self, _: Request) -> Response:
        """The bundle that answers; BentoML's own API methods take POST alone."""
        return JSONResponse(self._service_instance.about().model_dump())

    def _endpoint_of(self, view: View) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                return await view.answer(self._service_instance, request)
            except Exception as error:
                return await _error_response(request, error)

        return endpoint

    async def openapi_spec_view(self, _: Request) -> Response:
        """The OpenAPI document."""
        return JSONResponse(self.service.openapi_spec)


def _masking(middleware: Middleware) -> Middleware:
    if cast("object", middleware.cls) is not AccessLogMiddleware:
        return middleware
    return Middleware(MaskedAccessLog, **middleware.kwargs)  # type: ignore[arg-type]


def _browser_access(settings: Settings) -> list[Middleware]:
    if not settings.origins:
        return []
    headers = ["Authorization", "Content-Type", "Idempotency-Key"]
    methods = ["GET", "POST", "DELETE"]
    return [Middleware(CORSMiddleware, allow_origins=settings.origins, allow_methods=methods, allow_headers=headers)]


def _spans() -> list[Middleware]:
    # A span for each message of a request would say nothing more.
    options: dict[str, Any] = {"excluded_urls": "livez,readyz,healthz,metrics", "exclude_spans": ["receive", "send"]}
    return [Middleware(OpenTelemetryMiddleware, tracer_provider=tracing.start(), **options)]


def _request_log(settings: Settings) -> list[Middleware]:
    masks = settings.mask_personal_data
    return [Middleware(RequestLog, quiet=PROBES, masks=masks)] if settings.log_format == "json" else []


def _key_check(settings: Settings) -> list[Middleware]:
    if not settings.keys:
        return []
    return [Middleware(ApiKeys, keys=settings.keys, metrics_open=settings.metrics_open, writes=WRITES)]


def _rate_limits(settings: Settings) -> list[Middleware]:
    if settings.rate is None and not any(key.rate for key in settings.keys):
        return []
    # In the home of BentoML, which all workers of a server have in common.
    meter = Meter(Path(BentoMLContainer.bentoml_home.get()) / "amends" / "rates")
    return [Middleware(RateLimit, meter=meter, rate=settings.rate)]


async def _with_whole_pairs(request: Request) -> Request:
    """The request without halves of surrogate pairs in its body: JSON may have them, pydantic refuses them."""
    body = await request.body()
    whole = whole_pairs(body)
    if whole == body:
        return request

    async def receive() -> Message:
        return {"type": "http.request", "body": whole, "more_body": False}

    return Request(request.scope, receive)


def _require_json(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    coding = request.headers.get("content-encoding", "identity").lower()
    if media_type == "application/json" and coding == "identity":
        return
    header, got, expected = (
        ("Content-Encoding", coding, "no compression")
        if media_type == "application/json"
        else ("Content-Type", media_type or "nothing", "application/json")
    )
    problem = Problem(
        code="unsupported_media_type",
        message=f"{header} must be {expected}",
        field=header,
        got=got[:100],
        expected=expected,
    )
    raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, problem)


def _with_all_methods(request: Request, error: Exception) -> Exception:
    """A 405 with all methods of its path: each has a route of its own, and Starlette names those of the first alone."""
    if not isinstance(error, HTTPException) or error.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
        return error
    routes = [r for r in request.app.routes if isinstance(r, Route) and r.matches(request.scope)[0] is not Match.NONE]
    methods = sorted({method for route in routes for method in route.methods or ()})
    # Files of the pages have no route of this kind.
    return HTTPException(error.status_code, headers={"Allow": ", ".join(methods)}) if methods else error


async def _error_response(request: Request, error: Exception) -> Response:
    known = to_api_error(_with_all_methods(request, error))
    masks = request.app.state.masks
    if known.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        trace = "".join(traceback.format_exception(error))
        path = shown_path(request.scope, masks=masks)
        logger.error("%s %s failed\n%s", request.method, path, Masker().text(trace) if masks else trace)
    if masks:
        known = ApiError(known.status, masked(known.problem), headers=known.headers)
    response = known.response()
    # Faults outside the endpoints are answered outside all middleware.
    response.headers.update(SECURITY_HEADERS)
    return response
