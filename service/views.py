"""Endpoints that are no POST of a body: reading feedback, jobs and results page by page, and cancelling a job."""

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.errors import ApiError
from service.feedback import FeedbackPage, page
from service.jobs import Job, JobList, JobResults, State, job_of
from service.keys import CALLER, Key
from service.retrain_job import Retraining, RetrainingList
from service.schemas import Problem
from service.store import JobEndedError, Page

if TYPE_CHECKING:
    from service.app import Amends

MOST_ROWS: Final = 1000
MOST_NAME: Final = 200
LARGEST: Final = 2**63 - 1

Limit = Annotated[int, Field(ge=1, le=MOST_ROWS, description="Most entries of one page.")]


class Query(BaseModel):
    """Parameters behind the question mark."""

    model_config = ConfigDict(extra="forbid")


class Pages(Query):
    """Which page."""

    after: int = Field(default=0, ge=0, le=LARGEST, description="`id` of the last entry that is known.")
    limit: Limit = 100


class JobPages(Pages):
    """Which page of which jobs."""

    state: State | None = Field(default=None, description="Only jobs in this state.")


class ResultPages(Query):
    """Which page of results."""

    after: int = Field(default=-1, ge=-1, le=LARGEST, description="`item` of the last result that is known.")
    limit: Limit = 100


@dataclass(frozen=True)
class View:
    """An endpoint. answer: gives the response; its docstring describes it. model: of that response's body."""

    path: str
    method: str
    answer: "Callable[[Amends, Request], Awaitable[Response]]"
    model: type[BaseModel]
    query: type[Query] = Query


async def list_feedback(service: "Amends", request: Request) -> Response:
    """Read feedback page by page.

    Gives what was kept, oldest first, with the time, the name of the key and the bundle of that time. A page may hold
    fewer entries than `limit`.
    """
    asked = Pages.model_validate(dict(request.query_params))
    return JSONResponse(await service.in_store(lambda: page(service.store, asked.after, asked.limit)))


async def list_jobs(service: "Amends", request: Request) -> Response:
    """List jobs, oldest first."""
    asked = JobPages.model_validate(dict(request.query_params))
    found = await service.in_store(lambda: service.store.jobs(asked.after, asked.limit, asked.state))
    answer = JobList(jobs=[job_of(row) for row in found.rows], next=found.after)
    return JSONResponse(answer.model_dump())


async def get_job(service: "Amends", request: Request) -> Response:
    """Ask how far a job is."""
    Query.model_validate(dict(request.query_params))
    number = _number(request)
    row = await service.in_store(lambda: service.store.job(number))
    if row is None:
        raise _no_job(number)
    return JSONResponse(job_of(row).model_dump())


async def get_results(service: "Amends", request: Request) -> Response:
    """Read the results of a job page by page.

    Gives what there is so far, in the order of the items. A page may hold fewer results than `limit`.
    """
    asked = ResultPages.model_validate(dict(request.query_params))
    number = _number(request)

    def found() -> bytes | None:
        if service.store.job(number) is None:
            return None
        return _results(service.store.results(number, asked.after, asked.limit))

    body = await service.in_store(found)
    if body is None:
        raise _no_job(number)
    return Response(body, media_type="application/json")


async def cancel_job(service: "Amends", request: Request) -> Response:
    """Cancel a job that is queued or running.

    Gives the job, also where it is cancelled already. Its results so far stay; what it had still to score is deleted.
    """
    Query.model_validate(dict(request.query_params))
    number = _number(request)
    try:
        row = await service.in_store(lambda: service.store.cancel(number))
    except JobEndedError:
        problem = Problem(
            code="job_ended", message="This job has ended already", field="id", expected="a job queued or running"
        )
        raise ApiError(HTTPStatus.CONFLICT, problem) from None
    if row is None:
        raise _no_job(number)
    service.jobs.stop(number)
    return JSONResponse(job_of(row).model_dump())


async def list_retraining(service: "Amends", request: Request) -> Response:
    """List the runs of retraining, oldest first. The last ten are kept."""
    Query.model_validate(dict(request.query_params))
    runs = await service.in_store(service.retrains.list)
    return JSONResponse(RetrainingList(runs=runs).model_dump())


async def get_retraining(service: "Amends", request: Request) -> Response:
    """Ask how far a run of retraining is, and what the gate decided."""
    Query.model_validate(dict(request.query_params))
    number = _number(request)
    found = await service.in_store(lambda: service.retrains.get(number))
    return JSONResponse(found.model_dump())


async def cancel_retraining(service: "Amends", request: Request) -> Response:
    """Stop a run of retraining.

    Gives the run. What it did so far stays, so that it can go on.
    """
    Query.model_validate(dict(request.query_params))
    number = _number(request)
    found = await service.in_store(lambda: service.retrains.cancel(number))
    return JSONResponse(found.model_dump())


VIEWS: Final = (
    View("/v1/feedback", "GET", list_feedback, FeedbackPage, Pages),
    View("/v1/jobs", "GET", list_jobs, JobList, JobPages),
    View("/v1/jobs/{id}", "GET", get_job, Job),
    View("/v1/jobs/{id}", "DELETE", cancel_job, Job),
    View("/v1/jobs/{id}/results", "GET", get_results, JobResults, ResultPages),
    View("/v1/retrain", "GET", list_retraining, RetrainingList),
    View("/v1/retrain/{id}", "GET", get_retraining, Retraining),
    View("/v1/retrain/{id}", "DELETE", cancel_retraining, Retraining),
)


def caller_of(request: Request) -> str:
    """Name of the API key that the request came with, as the store keeps it; "" where the server asks for none."""
    key: Key | None = request.scope.get(CALLER)
    return key.name[:MOST_NAME] if key else ""


def _number(request: Request) -> int:
    given = str(request.path_params["id"])
    if not (given.isascii() and given.isdecimal() and len(given) < len(str(LARGEST))):
        raise _no_job(given)
    return int(given)


def _no_job(number: int | str) -> ApiError:
    problem = Problem(code="no_such_job", message="There is no such job", field="id", got=str(number)[:100])
    return ApiError(HTTPStatus.NOT_FOUND, problem)


def _results(found: Page) -> bytes:
    """A page of JobResults; what the store holds is JSON already."""

    def parts() -> Iterator[str]:
        for row in found.rows:
            # An object of at least one member: the item goes in front of it.
            yield f'{{"item":{row["item"]},{row["result"][1:]}'

    return f'{{"results":[{",".join(parts())}],"next":{json.dumps(found.after)}}}'.encode()


def parameters(query: type[Query]) -> list[dict[str, Any]]:
    """The fields of a query as OpenAPI has them."""
    properties = query.model_json_schema().get("properties", {})
    return [
        {"name": name, "in": "query", "description": schema.pop("description"), "schema": schema}
        for name, schema in properties.items()
    ]
