"""The OpenAPI 3.1 document of the service, made from its endpoints and their schemas."""

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from inspect import cleandoc, getdoc
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.jobs import MAX_KEY
from service.schemas import Failure, ModelResponse
from service.views import View, parameters

MODEL_PATH = "/v1/model"
REF = "#/components/schemas/{model}"
ERRORS = {
    "400": "The body is not JSON",
    "401": "The server asks for an API key and there was none that it knows",
    "403": "The key may only read",
    "404": "There is no such job or run",
    "409": "The job has ended, or retraining is off or at work already",
    "413": "The body is too large",
    "415": "The body is not declared as uncompressed application/json",
    "422": "A field is missing or has a value that can't be used",
    "429": "Too many requests at once; try again after the seconds in Retry-After",
    "500": "The service failed",
    "503": "The database does not answer; nothing was stored",
    "504": "Not done within the time limit",
}
POST_ERRORS = ("400", "401", "413", "415", "422", "429", "500", "504")
# Besides those, what endpoints may answer that keep something.
STORE_ERRORS = ("403", "503")
# Besides those, what /v1/retrain may answer.
RUN_ERRORS = ("404", "409")
# Besides those, what endpoints may answer that read what is kept.
READ_ERRORS = {"/v1/review": ("503",)}
SCORING = "scoring"
TAGS = {"/v1/feedback": "feedback", "/v1/jobs": "jobs", "/v1/retrain": "retraining"}
ACCEPTED = {"/v1/jobs": ("202", "Queued"), "/v1/retrain": ("202", "Begun")}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Your own name for the batch: the same batch sent again is the same job.",
    # Spaces around it are no part of a header.
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}
HEADERS = {"/v1/jobs": [IDEMPOTENCY_KEY]}
PROBES = {
    "/livez": "200 while the worker lives",
    "/readyz": "200 once the worker takes requests",
    "/metrics": "Counters and timings for Prometheus",
}
# Open to all unless the settings say otherwise.
PROBE_ERRORS = {"/metrics": ("401",)}


def openapi(
    title: str, description: str, apis: Iterable[Any], about: Callable[..., ModelResponse], views: Sequence[View]
) -> dict[str, Any]:
    """The document as JSON. apis: BentoML API methods. about: the method behind MODEL_PATH. views: all the others."""
    apis = list(apis)
    models: list[type[BaseModel]] = [
        Failure,
        ModelResponse,
        *(m for api in apis for m in (api.input_spec, api.output_spec)),
        *(view.model for view in views),
    ]
    paths: dict[str, dict[str, Any]] = {api.route: {"post": _operation(api)} for api in apis}
    for view in views:
        paths.setdefault(view.path, {})[view.method.lower()] = _view(view)
    _, definitions = models_json_schema([(m, "validation") for m in models], ref_template=REF)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": _version(), "description": cleandoc(description)},
        "servers": [{"url": "."}],
        "paths": {
            **paths,
            MODEL_PATH: {"get": _get(about)},
            **{path: {"get": _probe(path, text)} for path, text in PROBES.items()},
        },
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        # Keys are optional: a server may be open.
        "security": [{}, {"key": []}],
    }


def _operation(api: Any) -> dict[str, Any]:
    summary, _, details = cleandoc(api.doc).partition("\n")
    errors = POST_ERRORS + (STORE_ERRORS if api.route in TAGS else ())
    errors += READ_ERRORS.get(api.route, ())
    errors += RUN_ERRORS if TAGS.get(api.route) == "retraining" else ()
    status, text = ACCEPTED.get(api.route, ("200", "Done"))
    return {
        "tags": [TAGS.get(api.route, SCORING)],
        "operationId": api.name,
        "summary": summary,
        "description": details.strip(),
        **({"parameters": HEADERS[api.route]} if api.route in HEADERS else {}),
        "requestBody": {"required": True, "content": _json(api.input_spec, _examples(api.input_spec))},
        "responses": {
            status: {"description": text, "content": _json(api.output_spec)},
            **_errors(*errors),
        },
    }


def _view(view: View) -> dict[str, Any]:
    summary, _, details = (getdoc(view.answer) or "").partition("\n")
    one_job = "{id}" in view.path
    path = [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}] if one_job else []
    errors = ("401", "422", "429", "500", "503", *(("404",) if one_job else ()))
    return {
        "tags": [next(tag for known, tag in TAGS.items() if view.path.startswith(known))],
        "operationId": view.answer.__name__,
        "summary": summary,
        "description": details.strip(),
        "parameters": [*path, *parameters(view.query)],
        "responses": {
            "200": {"description": summary, "content": _json(view.model)},
            **_errors(*errors, *(("403", "409") if view.method == "DELETE" else ())),
        },
    }


def _get(method: Callable[..., ModelResponse]) -> dict[str, Any]:
    summary, _, details = (getdoc(method) or "").partition("\n")
    return {
        "tags": [SCORING],
        "operationId": method.__name__,
        "summary": summary,
        "description": details.strip(),
        "responses": {
            "200": {"description": "The bundle", "content": _json(ModelResponse)},
            **_errors("401", "429", "500"),
        },
    }


def _errors(*statuses: str) -> dict[str, Any]:
    return {status: {"description": ERRORS[status], "content": _json(Failure)} for status in sorted(statuses)}


def _json(model: type[BaseModel], examples: dict[str, Any] | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": REF.format(model=model.__name__)}}
    return {"application/json": content | ({"examples": examples} if examples else {})}


def _examples(model: type[BaseModel]) -> dict[str, Any]:
    extra: Any = model.model_config.get("json_schema_extra")
    return {" and ".join(example): {"value": example} for example in extra["examples"]}


def _probe(path: str, text: str) -> dict[str, Any]:
    responses = {"200": {"description": text}, **_errors(*PROBE_ERRORS.get(path, ()))}
    return {"tags": ["probes"], "summary": text, "responses": responses}


def _version() -> str:
    try:
        return version("amends")
    except PackageNotFoundError:
        return "unreleased"
