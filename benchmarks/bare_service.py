"""The same scoring behind FastAPI and uvicorn alone, without any of the service's protections, to compare with.

uvicorn benchmarks.bare_service:app
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from pydantic import BaseModel

from model.scorer import Scorer
from service.settings import Settings


class Texts(BaseModel):
    """A request."""

    texts: list[str]


class Item(BaseModel):
    """The sentiment of one text."""

    label: str
    negative: float
    neutral: float
    positive: float
    valence: float


class Results(BaseModel):
    """An answer."""

    results: list[Item | None]
    bundle: dict[str, str]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Loads the scorer once."""
    app.state.scorer = Scorer.load(Settings.from_env().bundle, threads=1)
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/readyz")
def ready() -> dict[str, Any]:
    """200 once the scorer is there."""
    return {}


@app.post("/v1/sentiment")
def sentiment(body: Texts, request: Request) -> Results:
    """As the service's own, in a thread of FastAPI's pool."""
    scorer: Scorer = request.app.state.scorer
    found = scorer.sentiment(body.texts)
    return Results(results=[Item(**asdict(one)) if one else None for one in found], bundle=asdict(scorer.info))
