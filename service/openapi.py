"""The OpenAPI 3.1 document of the service, made from its endpoints and their schemas."""

from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from inspect import cleandoc, getdoc
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.schemas import Failure, ModelResponse

MODEL_PATH = "/v1/model"
REF = "#/components/schemas/{model}"
ERRORS = {
    "400": "The body is not JSON",
    "401": "The server asks for an API key and there was none that it knows",
    "413": "The body is too large",
    "415": "The body is not declared as uncompressed application/json",
    "422": "A field is missing or has a value that can't be used",
    "429": "Too many requests at once; try again after the seconds in Retry-After",
    "500": "The service failed",
    "504": "Not done within the time limit",
}
PROBES = {
    "/livez": "200 while the worker lives",
    "/readyz": "200 once the worker takes requests",
    "/metrics": "Counters and timings for Prometheus",
}


def openapi(title: str, description: str, apis: Iterable[Any], about: Callable[..., ModelResponse]) -> dict[str, Any]:
    """The document as JSON. apis: BentoML API methods. about: the method behind MODEL_PATH."""
    apis = list(apis)
    models: list[type[BaseModel]] = [
        Failure,
        ModelResponse,
        *(m for api in apis for m in (api.input_spec, api.output_spec)),
    ]
    _, definitions = models_json_schema([(m, "validation") for m in models], ref_template=REF)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": _version(), "description": cleandoc(description)},
        "servers": [{"url": "."}],
        "paths": {
            **{api.route: {"post": _operation(api)} for api in apis},
            MODEL_PATH: {"get": _get(about)},
            **{path: {"get": {"tags": ["probes"], **_ok(text)}} for path, text in PROBES.items()},
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
    return {
        "tags": ["scoring"],
        "operationId": api.name,
        "summary": summary,
        "description": details.strip(),
        "requestBody": {"required": True, "content": _json(api.input_spec, _examples(api.input_spec))},
        "responses": {
            "200": {"description": "Scored", "content": _json(api.output_spec)},
            **{status: {"description": text, "content": _json(Failure)} for status, text in ERRORS.items()},
        },
    }


def _get(method: Callable[..., ModelResponse]) -> dict[str, Any]:
    summary, _, details = (getdoc(method) or "").partition("\n")
    return {
        "tags": ["scoring"],
        "operationId": method.__name__,
        "summary": summary,
        "description": details.strip(),
        "responses": {
            "200": {"description": "The bundle", "content": _json(ModelResponse)},
            **{s: {"description": ERRORS[s], "content": _json(Failure)} for s in ("401", "429", "500")},
        },
    }


def _json(model: type[BaseModel], examples: dict[str, Any] | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": REF.format(model=model.__name__)}}
    return {"application/json": content | ({"examples": examples} if examples else {})}


def _examples(model: type[BaseModel]) -> dict[str, Any]:
    extra: Any = model.model_config.get("json_schema_extra")
    return {" and ".join(example): {"value": example} for example in extra["examples"]}


def _ok(text: str) -> dict[str, Any]:
    return {"summary": text, "responses": {"200": {"description": text}}}


def _version() -> str:
    try:
        return version("amends")
    except PackageNotFoundError:
        return "unreleased"
