"""One shape for every error that leaves the service: {"error": {code, message, field, got, expected}}."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from model.privacy import Masker
from model.types import InputError
from service.schemas import Failure, Problem
from service.store import StoreUnavailableError

HTTP_MESSAGES = {404: "There is no such path; /docs lists them", 405: "This path takes other methods"}

STORE_RETRY_SECONDS = 5

# Longer values are described: who sent them knows them, and a log need not.
SHOWN_CHARACTERS = 40
# Too few for a number of a phone, a card or an account, which masking knows in texts alone.
SHOWN_DIGITS = 6
# What pydantic says of these names a class or a type of Python.
OBJECT_TYPES = frozenset({"model_type", "model_attributes_type", "dict_type"})


class ApiError(Exception):
    """An error with its HTTP status. headers: extra response headers."""

    def __init__(self, status: int, problem: Problem, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.message)
        self.status = status
        self.problem = problem
        self.headers = headers

    def response(self) -> JSONResponse:
        """The response that says so."""
        return JSONResponse(Failure(error=self.problem).model_dump(), status_code=self.status, headers=self.headers)


def to_api_error(error: Exception, at: str | None = None) -> ApiError:
    """Any exception as what the caller may know about it: nothing at all where the fault is the service's own.

    at: path of the item that can't be used, in front of the field inside it; None for the body.
    """
    match error:
        case ApiError():
            return error
        case InputError():
            return ApiError(422, _placed(problem_of(error), at))
        case ValidationError():
            return _from_validation(error, at)
        case HTTPException():
            return _from_http(error)
        case StoreUnavailableError():
            problem = Problem(code="store_unavailable", message="The database does not answer; nothing was stored")
            return ApiError(503, problem, headers={"Retry-After": str(STORE_RETRY_SECONDS)})
        case ClientDisconnect():
            return ApiError(400, Problem(code="disconnected", message="The caller went away before the body was whole"))
        case _:
            return ApiError(500, Problem(code="internal_error", message="The service failed; its log says why."))


def problem_of(error: InputError) -> Problem:
    """An InputError of the model as part of a response."""
    return Problem(code=error.code, message=error.message, field=error.field, got=error.got, expected=error.expected)


def masked(problem: Problem) -> Problem:
    """The same problem without personal data, where it repeats what was sent."""
    masker = Masker()
    return Problem(**{name: value and masker.text(value) for name, value in problem.model_dump().items()})


def describe(value: object) -> str:
    """What a JSON value is, in a few words, without repeating it."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return f"a text of {len(value)} characters"
        case list() | tuple():
            return f"a list of {len(value)}"
        case _:
            return "an object"


def shown(value: object) -> str:
    """A short JSON value as it is, a longer one in a few words. May hold personal data."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float() if abs(value) < 10**SHOWN_DIGITS and len(str(value)) <= SHOWN_DIGITS:
            return str(value)
        case str() if len(value) <= SHOWN_CHARACTERS:
            return repr(value)
        case _:
            return describe(value)


def _placed(problem: Problem, at: str | None) -> Problem:
    return problem.model_copy(update={"field": ".".join(filter(None, (at, problem.field))) or None})


def _from_validation(error: ValidationError, at: str | None) -> ApiError:
    errors = error.errors(include_url=False)
    first = errors[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return ApiError(422, _placed(problem_of(cause), at))
    if first["type"] == "json_invalid":
        return ApiError(
            400,
            Problem(code="invalid_json", message=f"The body is not JSON: {first['ctx']['error']}", expected="JSON"),
        )
    return ApiError(422, _invalid_field(first, len(errors) - 1, at))


def _invalid_field(first: Any, others: int, at: str | None) -> Problem:
    field = ".".join([*([at] if at else []), *map(str, first["loc"])]) or None
    expected = "Input should be an object" if first["type"] in OBJECT_TYPES else first["msg"]
    message = f"{field or 'The body'}: {expected}" + (f" (and {others} more)" if others else "")
    missing = first["type"] == "missing"
    got = "nothing" if missing else shown(first["input"])
    return Problem(code=first["type"], message=message, field=field, got=got, expected=expected)


def _from_http(error: HTTPException) -> ApiError:
    phrase = HTTPStatus(error.status_code).phrase
    message = HTTP_MESSAGES.get(error.status_code, phrase)
    expected = (error.headers or {}).get("allow") or (error.headers or {}).get("Allow")
    problem = Problem(code=phrase.lower().replace(" ", "_"), message=message, expected=expected)
    return ApiError(error.status_code, problem, headers=error.headers)
