"""The HTTP service: `bentoml serve service.app:Amends` or `amends serve`. See docs/http.md."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from threading import Event
from typing import Any, TypeVar

import bentoml
from pydantic import ValidationError

from model.moment import as_of, moment_of
from model.read import read, thread_from_dict
from model.reading.json import thread_to_dict
from model.scorer import Scorer
from model.types import InputError, Sentiment, Thread
from service.about import about
from service.cases import estimate
from service.errors import describe, problem_of, to_api_error
from service.framework import HttpService
from service.metrics import ScoringMetrics
from service.schemas import (
    MAX_TEXT_CHARACTERS,
    BundleRef,
    CaseEstimate,
    Failure,
    LoyaltyCase,
    LoyaltyRequest,
    LoyaltyResponse,
    ModelResponse,
    Problem,
    ReadRequest,
    ReadResponse,
    ScoreRequest,
    ScoreResponse,
    SentimentItem,
    SentimentRequest,
    SentimentResponse,
)
from service.serve import check_bundle
from service.settings import Settings

# Texts between two looks at whether the caller still waits.
SLICE = 64

T = TypeVar("T")

served = bentoml.service(name="Amends", service_class=HttpService)


@served
class Amends:
    """What people publish about a company: sentiment, how it handled what went wrong, what that does to loyalty.

    One worker holds one scorer in its own process and scores in a few threads, so that its event loop stays free.
    """

    def __init__(self) -> None:
        self.settings = Settings.from_env()
        self.scorer = self.load_scorer(self.settings)
        self.metrics = ScoringMetrics(self.scorer.info)
        self._about = about(self.scorer.info, self.settings)
        self._threads = ThreadPoolExecutor(self.settings.scoring_threads, thread_name_prefix="score")

    def load_scorer(self, settings: Settings) -> Scorer:
        """The scorer of this worker. Threads come from requests, so that one call keeps to one."""
        return Scorer.load(settings.bundle, threads=1)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check() -> None:
        """Runs once before any worker starts, so that a wrong setting ends the server and not each worker in turn."""
        check_bundle(Settings.from_env())

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Lets go of the threads; work that has not begun is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @bentoml.api(route="/v1/score")  # type: ignore[untyped-decorator]
    async def score(self, request: ScoreRequest, /) -> ScoreResponse:
        """Score a page, an export or a thread.

        Gives a report per thread: the sentiment of every utterance, each author's case with the company's conduct,
        and the loyalty of each customer.
        """
        return await self._in_thread(lambda gone: self._score(request, gone))

    @bentoml.api(route="/v1/sentiment")  # type: ignore[untyped-decorator]
    async def sentiment(self, request: SentimentRequest, /) -> SentimentResponse:
        """Score the sentiment of texts.

        Gives a result per text, in order. A text that can't be scored gets an error in its place.
        """
        return await self._in_thread(lambda gone: self._sentiment(request.texts, gone))

    @bentoml.api(route="/v1/read")  # type: ignore[untyped-decorator]
    async def read(self, request: ReadRequest, /) -> ReadResponse:
        """Read a page or an export into threads, without scoring them.

        Gives the threads as `/v1/score` takes them, with warnings about what could not be read.
        """
        return await self._in_thread(lambda _: self._read(request))

    @bentoml.api(route="/v1/loyalty")  # type: ignore[untyped-decorator]
    async def loyalty(self, request: LoyaltyRequest, /) -> LoyaltyResponse:
        """Estimate loyalty from records of conduct.

        Gives an estimate per case, in order. A case that can't be used gets an error in its place.
        """
        return await self._in_thread(lambda gone: self._loyalty(request.cases, gone))

    def about(self) -> ModelResponse:
        """Describe the model that answers.

        Gives its version and digest, its figures on held-out data, the limits of a request, and every label that an
        answer may hold.
        """
        return self._about

    async def _in_thread(self, work: Callable[[Event], T]) -> T:
        """Runs work(gone) in a scoring thread; `gone` is set once nobody waits for the result any more.

        A thread can't be killed: work that was given up keeps its thread until it next looks at `gone`, so that
        there are never more threads at work than were set.
        """
        gone = Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, gone)
        finally:
            gone.set()

    def _score(self, request: ScoreRequest, gone: Event) -> ScoreResponse:
        reports: list[dict[str, Any]] = []
        for thread in self._threads_of(request):
            _stop_if(gone)
            reports.append(self._report(thread))
        return ScoreResponse(reports=reports)

    def _threads_of(self, request: ScoreRequest) -> list[Thread]:
        if request.thread is not None:
            threads = [thread_from_dict(request.thread)]
        else:
            threads = read(request.content or "", format=request.format, name="content", brand=request.brand)
        self._check_size(threads, "thread" if request.thread is not None else "content")
        if request.as_of is None:
            return threads
        moment = moment_of(request.as_of)
        return [as_of(thread, moment) for thread in threads]

    def _read(self, request: ReadRequest) -> ReadResponse:
        threads = read(request.content, format=request.format, name="content", brand=request.brand)
        self._check_size(threads, "content")
        return ReadResponse(threads=[thread_to_dict(thread) for thread in threads])

    def _check_size(self, threads: Sequence[Thread], field: str) -> None:
        count = sum(len(thread.utterances) for thread in threads)
        if count > self.settings.max_utterances:
            raise InputError(
                "Too many utterances for one request; send fewer or use the command line",
                code="too_many_utterances",
                field=field,
                got=f"{count} utterances",
                expected=f"at most {self.settings.max_utterances}",
            )

    def _report(self, thread: Thread) -> dict[str, Any]:
        try:
            report = self.scorer.score(thread)
        except InputError as error:
            return Failure(error=problem_of(error)).model_dump()
        self.metrics.report(report)
        return report.to_dict()

    def _loyalty(self, cases: Sequence[Any], gone: Event) -> LoyaltyResponse:
        results: list[CaseEstimate | Failure] = []
        for i, case in enumerate(cases):
            _stop_if(gone)
            results.append(result := self._case(i, case))
            self.metrics.record(result.band if isinstance(result, CaseEstimate) else None)
        return LoyaltyResponse(results=results, bundle=BundleRef(**asdict(self.scorer.info)))

    def _case(self, index: int, case: object) -> CaseEstimate | Failure:
        try:
            return estimate(LoyaltyCase.model_validate(case), self.scorer.bundle.loyalty)
        except (InputError, ValidationError) as error:
            problem = to_api_error(error).problem
            field = ".".join(filter(None, ("cases", str(index), problem.field)))
            return Failure(error=problem.model_copy(update={"field": field}))

    def _sentiment(self, texts: Sequence[Any], gone: Event) -> SentimentResponse:
        results = [_unscorable(i, text) for i, text in enumerate(texts)]
        good = [i for i, result in enumerate(results) if result is None]
        scored: list[Sentiment | None] = []
        for start in range(0, len(good), SLICE):
            _stop_if(gone)
            scored += self.scorer.sentiment([texts[i] for i in good[start : start + SLICE]])
        items = dict(zip(good, scored, strict=True))
        self.metrics.texts(s.label if (s := items.get(i)) else None for i in range(len(texts)))
        return SentimentResponse(
            results=[failure or _item(i, items[i]) for i, failure in enumerate(results)],
            bundle=BundleRef(**asdict(self.scorer.info)),
        )


def _stop_if(gone: Event) -> None:
    if gone.is_set():
        raise TimeoutError("nobody waits for this result any more")


def _unscorable(index: int, text: object) -> Failure | None:
    if not isinstance(text, str):
        return _failure(index, "not_a_text", "This item is no text", describe(text), "a text")
    if len(text) > MAX_TEXT_CHARACTERS:
        expected = f"at most {MAX_TEXT_CHARACTERS} characters"
        return _failure(index, "text_too_long", "This text is too long", describe(text), expected)
    return None


def _item(index: int, sentiment: Sentiment | None) -> SentimentItem | Failure:
    if sentiment is None:
        return _failure(index, "no_words", "This text is empty or holds no words", "no words", "words")
    return SentimentItem(**asdict(sentiment))


def _failure(index: int, code: str, message: str, got: str, expected: str) -> Failure:
    problem = Problem(code=code, message=message, field=f"texts.{index}", got=got, expected=expected)
    return Failure(error=problem)
