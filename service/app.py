"""The HTTP service: `bentoml serve service.app:Amends` or `amends serve`. See docs/http.md."""

import asyncio
import gc
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import bentoml
import numpy as np
from numpy.typing import NDArray
from opentelemetry import trace
from pydantic import ValidationError

from model.bundle import RELEASED
from model.drift import DriftWatch, Reference, load_reference
from model.moment import as_of, moment_of
from model.privacy import KINDS, Masker
from model.read import load_extractors, read, thread_from_dict
from model.reading.json import thread_to_dict
from model.scorer import CHUNK, Scorer, chunks, has_words
from model.types import InputError, Sentiment, Thread, plain
from service import tracing
from service.about import about
from service.cases import estimate
from service.champion import Follower, first_to_open
from service.cores import Cores, GivesWay
from service.errors import describe, masked, to_api_error
from service.feedback import FeedbackRequest, FeedbackResponse, export, keep
from service.framework import HttpService
from service.jobs import Job, JobRequest, JobRunner, submit
from service.log import note
from service.masking import mask_key, masked_feedback, masked_job
from service.metrics import ScoringMetrics
from service.registry import Registry, bundle_folder
from service.retrain_job import Retraining, RetrainRequest, Retrains, switched_off
from service.review_http import ReviewRequest, ReviewResponse, given_of, kept_texts, ranked
from service.schemas import (
    MAX_TARGET_CHARACTERS,
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
from service.serve import check_bundle, opened_store, prepare_store
from service.settings import Settings
from service.together import Call, Together
from service.uploads import threads_of_file
from service.views import caller_of
from service.what_if_http import Asked, advise_answer, masked_request, thread_of_text, what_if_answer
from service.what_if_schemas import AdviseRequest, AdviseResponse, Source, WhatIfRequest, WhatIfResponse

# Texts between two looks at whether the caller still waits; fewer where they are long. The encoder looks more often.
SLICE = 64
# Of a worker; SQLite lets one write at a time anyway.
STORE_THREADS = 2

# Scored once with a new bundle before it answers anybody: the first call is slower.
WARM_UP = "The kettle leaked, but they sent a refund the same day and said sorry."

T = TypeVar("T")

served = bentoml.service(name="Amends", service_class=HttpService)


@dataclass(frozen=True)
class Opened:
    """A bundle that answers, with what is said of it. watch: compares texts with its training texts, where known."""

    scorer: Scorer
    about: ModelResponse
    watch: DriftWatch | None


@served
class Amends:
    """What people publish about a company: sentiment, how it handled what went wrong, what that does to loyalty.

    One worker holds one scorer in its own process and scores in a few threads, so that its event loop stays free.
    """

    def __init__(self) -> None:
        self.settings = Settings.from_env()
        self._follower: Follower | None = None
        # Changed by the follower alone; a request takes it once.
        self._opened = self._first_bundle()
        self.metrics = ScoringMetrics(self._opened.scorer.info, self._opened.watch)
        self.store = opened_store(self.settings)
        self._mask_key = mask_key(self.settings.state_folder) if self.settings.mask_personal_data else None
        self._cores = Cores(self.settings.scoring_threads)
        self._threads = ThreadPoolExecutor(self.settings.scoring_threads, thread_name_prefix="score")
        self._together = Together(self.settings.scoring_threads)
        # They wait for the database far more than they work.
        self._store_threads = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="store")
        self.retrains = self.load_retrains(self.settings)
        self.jobs = self._job_runner()
        self.jobs.start()
        threading.Thread(target=self._load_the_rest, name="loading", daemon=True).start()
        if self._follower:
            self._follower.start()
        # What is loaded by now stays, and need not be looked at by every search for garbage.
        gc.freeze()

    def load_scorer(self, folder: Path) -> Scorer:
        """A scorer over a bundle. Threads come from requests, so that one call keeps to one."""
        return Scorer.load(folder, threads=1)

    def load_reference(self, folder: Path) -> Reference | None:
        """How the training texts of a bundle are spread, if that is known."""
        return load_reference(folder)

    def load_retrains(self, settings: Settings) -> Retrains:
        """The runs of retraining on this machine."""
        return Retrains(settings.state_folder / "retrain")

    @property
    def scorer(self) -> Scorer:
        """The scorer that answers; another one from one moment to the next."""
        return self._opened.scorer

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check() -> None:
        """Runs once before any worker starts, so that a wrong setting ends the server and not each worker in turn."""
        check_bundle(Settings.from_env())
        tracing.check()

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def prepare() -> None:
        """Runs once before any worker starts: makes the tables of the database and the key that masking needs."""
        settings = Settings.from_env()
        prepare_store(settings)
        if settings.mask_personal_data:
            mask_key(settings.state_folder)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Puts the job in hand back, lets go of the threads and sends the last spans; work not begun is dropped."""
        if self._follower:
            self._follower.close()
        self.retrains.close()
        self.jobs.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._store_threads.shutdown(wait=False, cancel_futures=True)
        self.store.close()
        tracing.stop()

    @bentoml.api(route="/v1/score")  # type: ignore[untyped-decorator]
    async def score(self, request: ScoreRequest, /) -> ScoreResponse:
        """Score a page, an export or a thread.

        Gives a report per thread: the sentiment of every utterance, each author's case with the company's conduct,
        and the loyalty of each customer.
        """
        return await self._in_thread(lambda gone, scorer: self._score(request, gone, scorer))

    @bentoml.api(route="/v1/sentiment")  # type: ignore[untyped-decorator]
    async def sentiment(self, request: SentimentRequest, /) -> SentimentResponse:
        """Score the sentiment of texts.

        Gives a result per text, in order. A text that can't be scored gets an error in its place.
        """
        calls: list[Call] = []

        def wait(gone: Event, scorer: Scorer) -> None:
            call = Call(scorer, [text for i, text in enumerate(request.texts) if not _unscorable(i, text, None)], gone)
            if call.small:
                calls.append(call)
                self._together.add(call)

        if request.targets or self.settings.mask_personal_data:
            return await self._in_thread(lambda gone, scorer: self._sentiment(request, gone, scorer))
        return await self._in_thread(lambda gone, scorer: self._sentiment(request, gone, scorer, *calls), wait)

    @bentoml.api(route="/v1/read")  # type: ignore[untyped-decorator]
    async def read(self, request: ReadRequest, /) -> ReadResponse:
        """Read a page or an export into threads, without scoring them.

        Gives the threads as `/v1/score` takes them, with warnings about what could not be read.
        """
        return await self._in_thread(lambda gone, *_: self._read(request, gone))

    @bentoml.api(route="/v1/review")  # type: ignore[untyped-decorator]
    async def review(self, request: ReviewRequest, /) -> ReviewResponse:
        """Rank texts by how much a person's label is worth.

        Gives those that the model is least sure of, each unlike the ones before it; or, of feedback, the labels that
        the model contradicts, the surest contradiction first.
        """
        scorer, source = self.scorer, request.source
        given, failed = given_of(request)
        if source is not None:
            given = await self.in_store(lambda: kept_texts(self.store, source))
        elif self.settings.mask_personal_data:
            given = [replace(one, text=Masker().text(one.text)) for one in given]
        return await self._in_thread(
            lambda gone, *_: ranked(scorer, given, failed, request.top, lambda: _stop_if(gone))
        )

    @bentoml.api(route="/v1/feedback")  # type: ignore[untyped-decorator]
    async def feedback(self, request: FeedbackRequest, /, ctx: bentoml.Context) -> FeedbackResponse:
        """Keep what people know better than the model, or what became of a customer.

        Gives the number of each item, in order. An item that can't be used gets an error in its place.
        """
        caller = caller_of(ctx.request)
        key = self._mask_key

        def kept() -> FeedbackResponse:
            items = request.items if key is None else masked_feedback(request.items, key)
            return keep(self.store, items, caller, self.scorer.info)

        answer = await self.in_store(kept)
        failed = sum(isinstance(result, Failure) for result in answer.results)
        self.metrics.feedback(kept=len(answer.results) - failed, failed=failed)
        return answer

    @bentoml.api(route="/v1/jobs")  # type: ignore[untyped-decorator]
    async def submit_job(self, request: JobRequest, /, ctx: bentoml.Context) -> Job:
        """Queue a batch to be scored in the background.

        Gives the job with its number at once. With an `Idempotency-Key` header the same batch, sent again, is the
        same job.
        """
        caller, key = caller_of(ctx.request), ctx.request.headers.get("idempotency-key")
        most = {"most_items": self.settings.job_items, "most": self.settings.max_jobs}
        items = await self._items_to_keep(request.items)
        job = await self.in_store(lambda: submit(self.store, items, caller, key, **most))
        self.jobs.wake()
        ctx.response.status_code = HTTPStatus.ACCEPTED
        ctx.response.headers["Location"] = f"/v1/jobs/{job.id}"
        return job

    @bentoml.api(route="/v1/retrain")  # type: ignore[untyped-decorator]
    async def retrain(self, request: RetrainRequest, /, ctx: bentoml.Context) -> Retraining:
        """Learn from the feedback in the background.

        Gives the run with its number at once. One runs at a time; what passes the gate becomes the champion.
        """
        if not self.settings.retrain:
            raise switched_off()
        caller = caller_of(ctx.request)
        run = await self.in_store(lambda: self._retrain(request, caller))
        ctx.response.status_code = HTTPStatus.ACCEPTED
        ctx.response.headers["Location"] = f"/v1/retrain/{run.id}"
        return run

    @bentoml.api(route="/v1/what-if")  # type: ignore[untyped-decorator]
    async def what_if(self, request: WhatIfRequest, /) -> WhatIfResponse:
        """Compare cases with comparable posts that report other conduct.

        Gives the difference of the index with its interval, the probabilities before and after, and what research says
        of the direction. An association among comparable posts, not what the change would cause.
        """
        return await self._in_thread(
            lambda gone, scorer: what_if_answer(scorer, *self._asked(request), lambda: _stop_if(gone))
        )

    @bentoml.api(route="/v1/advise")  # type: ignore[untyped-decorator]
    async def advise(self, request: AdviseRequest, /) -> AdviseResponse:
        """Find what can still be done for each customer, and whom to contact first.

        Gives the feasible actions with the largest differences, each with its what-if and the author's own words.
        """
        return await self._in_thread(
            lambda gone, scorer: advise_answer(scorer, *self._asked(request), lambda: _stop_if(gone))
        )

    @bentoml.api(route="/v1/loyalty")  # type: ignore[untyped-decorator]
    async def loyalty(self, request: LoyaltyRequest, /) -> LoyaltyResponse:
        """Estimate loyalty from records of conduct.

        Gives an estimate per case, in order. A case that can't be used gets an error in its place.
        """
        return await self._in_thread(lambda gone, scorer: self._loyalty(request.cases, gone, scorer))

    def about(self) -> ModelResponse:
        """Describe the model that answers.

        Gives its version and digest, its figures on held-out data, the limits of a request, and every label that an
        answer may hold.
        """
        return self._opened.about

    async def _in_thread(
        self, work: Callable[[Event, Scorer], T], wait: Callable[[Event, Scorer], None] = lambda *_: None
    ) -> T:
        """Runs work(gone, scorer) in a scoring thread; `gone` is set once nobody waits for the result any more.

        wait(gone, scorer): called before the work waits for a thread.

        The scorer is that of this moment: a request that is in hand while the champion changes ends as it began.

        A thread can't be killed: work that was given up keeps its thread until it next looks at `gone`, so that
        there are never more threads at work than were set. The scorer that the work gets looks before each batch of
        its encoders.
        """
        gone, scorer = Event(), self.scorer
        looking = scorer.with_encoders(lambda encoder: GivesWay(encoder, lambda: _stop_if(gone)))
        note(bundle=scorer.info.version)
        # The thread sees the same context, so that it can add to the log line of the request.
        context = copy_context()

        def on_a_core() -> T:
            with self._cores.taken():
                _stop_if(gone)
                return _traced(lambda: work(gone, looking))

        with self._cores.wanted():
            try:
                wait(gone, scorer)
                return await asyncio.get_running_loop().run_in_executor(self._threads, context.run, on_a_core)
            finally:
                gone.set()

    async def in_store(self, work: Callable[[], T]) -> T:
        """Runs work() in a thread for the database, where it waits for nothing that is scored."""
        return await asyncio.get_running_loop().run_in_executor(self._store_threads, work)

    def _first_bundle(self) -> Opened:
        registry = Registry(self.settings.models)
        if not self.settings.follows_champion:
            return self._open(bundle_folder(self.settings.bundle, registry) or RELEASED)
        version, opened = first_to_open(registry, self._open)
        self._follower = Follower(registry, version, self._take)
        return opened

    def _open(self, folder: Path) -> Opened:
        scorer = self.load_scorer(folder)
        reference = self.load_reference(folder)
        watch = DriftWatch(reference) if reference else None
        return Opened(scorer, about(scorer.info, self.settings, folder), watch)

    def _take(self, folder: Path) -> None:
        """Puts another bundle to use, once it has shown that it can score."""
        opened = self._open(folder)
        opened.scorer.sentiment([WARM_UP])
        opened.scorer.open_exact()
        self._opened = opened
        self.metrics.use(opened.scorer.info, opened.watch)

    def _load_the_rest(self) -> None:
        """What a ready service can do without for a moment: opened at its first use, or before it by this."""
        self._opened.scorer.open_exact()
        load_extractors()

    def _retrain(self, request: RetrainRequest, caller: str) -> Retraining:
        champion = Registry(self.settings.models).state().champion
        return self.retrains.start(request, champion, caller, lambda path: export(self.store, path))

    def _job_runner(self) -> JobRunner:
        settings = self.settings
        times = {"lease_seconds": settings.job_lease_seconds, "job_days": settings.job_days}
        return JobRunner(self.store, self._job_item, self.metrics, **times, feedback_days=settings.feedback_days)

    def _job_item(self, item: str, gone: Event) -> dict[str, Any]:
        # Its encoders let requests go first.
        scorer = self.scorer.with_encoders(lambda encoder: GivesWay(encoder, lambda: self._cores.give_way(gone)))
        with self._cores.spare(gone):
            return {"reports": self._score(ScoreRequest.model_validate_json(item), gone, scorer).reports}

    def _score(self, request: ScoreRequest, gone: Event, scorer: Scorer) -> ScoreResponse:
        reports: list[dict[str, Any]] = []
        moment = moment_of(request.as_of) if request.as_of is not None else None
        for given in self._taken_in(*_given_threads(request)):
            thread = as_of(given, moment) if moment else given
            _stop_if(gone)
            reports.append(self._report(thread, gone, scorer))
        note(failed=sum("error" in report for report in reports))
        return ScoreResponse(reports=reports)

    def _asked(self, request: Asked) -> tuple[Asked, list[Thread]]:
        """A request about conduct and its threads, both masked where the settings say so."""
        masker = Masker()
        threads = self._taken_in(*_given_threads(request), masker) if request.cases is None else []
        return (masked_request(request, masker) if self.settings.mask_personal_data else request), threads

    def _read(self, request: ReadRequest, gone: Event) -> ReadResponse:
        if request.content_base64 is not None:
            return ReadResponse(threads=[thread_to_dict(thread) for thread in self._file(request, gone)])
        threads = read(
            request.content or "", format=request.format, name=request.name or "content", brand=request.brand
        )
        return ReadResponse(threads=[thread_to_dict(thread) for thread in self._taken_in(threads, "content")])

    def _taken_in(self, threads: Sequence[Thread], field: str, masker: Masker | None = None) -> list[Thread]:
        """Threads that are not too large, masked where the settings say so, and noted."""
        self._check_size(threads, field)
        if self.settings.mask_personal_data:
            masker = masker or Masker()
            threads = [masker.thread(thread) for thread in threads]
        note(threads=len(threads), utterances=sum(len(thread.utterances) for thread in threads))
        if self.settings.log_texts:
            note(said=[one.text for thread in threads for one in thread.utterances])
        return list(threads)

    def _file(self, request: ReadRequest, gone: Event) -> list[Thread]:
        """Counts as it reads: a small packed file may hold very much."""
        content, name = request.content_base64 or "", request.name
        threads: list[Thread] = []
        count = 0
        for thread in threads_of_file(content, name, format=request.format, brand=request.brand):
            _stop_if(gone)
            threads.append(thread)
            count += len(thread.utterances)
            self._check_count(count, "content_base64")
        return self._taken_in(threads, "content_base64")

    async def _items_to_keep(self, items: list[Any]) -> list[Any]:
        """Items of a job: without personal data where the settings say so."""
        # A job of too many is refused before anybody reads them.
        if not self.settings.mask_personal_data or len(items) > self.settings.job_items:
            return items

        def threads_of(request: ScoreRequest) -> list[Thread]:
            threads, field = _given_threads(request)
            self._check_size(threads, field)
            return threads

        return await self._in_thread(lambda gone, *_: masked_job(items, threads_of, lambda: _stop_if(gone)))

    def _check_size(self, threads: Sequence[Thread], field: str) -> None:
        self._check_count(sum(len(thread.utterances) for thread in threads), field)

    def _check_count(self, count: int, field: str) -> None:
        if count > self.settings.max_utterances:
            raise InputError(
                "Too many utterances for one request; send fewer or use the command line",
                code="too_many_utterances",
                field=field,
                got=f"{count} utterances",
                expected=f"at most {self.settings.max_utterances}",
            )

    def _report(self, thread: Thread, gone: Event, scorer: Scorer) -> dict[str, Any]:
        try:
            report = scorer.score(thread)
        except InputError as error:
            return Failure(error=self._problem(error)).model_dump()
        self.metrics.report(report)
        scored = [(one.utterance.text, one.sentiment) for one in report.utterances if one.sentiment]
        self._watch(scorer, [text for text, _ in scored], [sentiment.label for _, sentiment in scored], gone)
        return report.to_dict()

    def _watch(self, scorer: Scorer, texts: list[str], labels: list[str], gone: Event) -> None:
        # A second look at the tokens costs a hundredth of what scoring does.
        ids: list[NDArray[np.int64]] = []
        for part in chunks(texts, CHUNK):
            _stop_if(gone)
            encodings = scorer.bundle.tokenizer.encode_batch(part, add_special_tokens=False)
            ids += [np.asarray(encoding.ids, dtype=np.int64) for encoding in encodings]
        self.metrics.drift(ids, labels)

    def _loyalty(self, cases: Sequence[Any], gone: Event, scorer: Scorer) -> LoyaltyResponse:
        results: list[CaseEstimate | Failure] = []
        if self.settings.mask_personal_data:
            cases = Masker().json(cases)
        for i, case in enumerate(cases):
            _stop_if(gone)
            results.append(result := self._case(i, case, scorer))
            self.metrics.record(result.band if isinstance(result, CaseEstimate) else None)
        note(cases=len(results), failed=sum(isinstance(r, Failure) for r in results))
        return LoyaltyResponse(results=results, bundle=BundleRef(**asdict(scorer.info)))

    def _case(self, index: int, case: object, scorer: Scorer) -> CaseEstimate | Failure:
        try:
            return estimate(LoyaltyCase.model_validate(case), scorer.bundle.loyalty)
        except (InputError, ValidationError) as error:
            return Failure(error=self._problem(error, f"cases.{index}"))

    def _problem(self, error: Exception, at: str | None = None) -> Problem:
        problem = to_api_error(error, at).problem
        return masked(problem) if self.settings.mask_personal_data else problem

    def _sentiment(
        self, request: SentimentRequest, gone: Event, scorer: Scorer, call: Call | None = None
    ) -> SentimentResponse:
        """call: the texts that can be scored, where they wait to be scored together with those of other requests."""
        texts, targets = request.texts, request.targets or [None] * len(request.texts)
        results = [_unscorable(i, *pair) for i, pair in enumerate(zip(texts, targets, strict=True))]
        masker = Masker() if self.settings.mask_personal_data else None
        if masker:
            texts = [text if results[i] else _masked(text, masker, gone) for i, text in enumerate(texts)]
        good = [i for i, result in enumerate(results) if result is None]
        if call is not None:
            scored = self._together.result(call)
        else:
            scored = _in_slices(scorer, [texts[i] for i in good], [targets[i] for i in good], gone)
        items = dict(zip(good, scored, strict=True))
        self.metrics.texts(s.label if (s := items.get(i)) else None for i in range(len(texts)))
        known = [(texts[i], sentiment.label) for i, sentiment in items.items() if sentiment]
        self._watch(scorer, [text for text, _ in known], [label for _, label in known], gone)
        note(texts=len(texts), failed=len(texts) - sum(s is not None for s in scored))
        if self.settings.log_texts:
            note(said=[text for i, text in enumerate(texts) if not results[i]])
        return SentimentResponse(
            results=[failure or _item(i, items[i]) for i, failure in enumerate(results)],
            bundle=BundleRef(**asdict(scorer.info)),
            masked={kind: masker.found[kind] for kind in KINDS} if masker else None,
        )


def _traced(work: Callable[[], T]) -> T:
    """Runs work in a span of its own, so that a trace tells the wait for a thread from the work."""
    with trace.get_tracer("amends").start_as_current_span("work"):
        return work()


def _given_threads(request: ScoreRequest | Source) -> tuple[list[Thread], str]:
    """The threads of a request as they were sent, and its field that they came in."""
    if request.thread is not None:
        return [thread_from_dict(request.thread)], "thread"
    if isinstance(request, Source) and request.text is not None:
        return [thread_of_text(request.text, request.brand)], "text"
    return read(request.content or "", format=request.format, name="content", brand=request.brand), "content"


def _in_slices(
    scorer: Scorer, texts: Sequence[str], targets: Sequence[str | None], gone: Event
) -> Sequence[Sentiment | None]:
    found: list[Sentiment | None] = []
    for part in chunks(texts, SLICE):
        _stop_if(gone)
        found += scorer.sentiment(part, targets[len(found) : len(found) + len(part)])
    return found


def _masked(text: str, masker: Masker, gone: Event) -> str:
    _stop_if(gone)
    return masker.text(text)


def _stop_if(gone: Event) -> None:
    if gone.is_set():
        raise TimeoutError("nobody waits for this result any more")


def _unscorable(index: int, text: object, target: object) -> Failure | None:
    if not isinstance(text, str):
        return _failure(index, "not_a_text", "This item is no text", describe(text), "a text")
    if len(text) > MAX_TEXT_CHARACTERS:
        expected = f"at most {MAX_TEXT_CHARACTERS} characters"
        return _failure(index, "text_too_long", "This text is too long", describe(text), expected)
    if target is not None and not (
        isinstance(target, str) and len(target) <= MAX_TARGET_CHARACTERS and has_words(target)
    ):
        expected = f"null or words of at most {MAX_TARGET_CHARACTERS} characters"
        message = "The target of this text can't be used"
        return _failure(index, "bad_target", message, describe(target), expected, among="targets")
    return None


def _item(index: int, sentiment: Sentiment | None) -> SentimentItem | Failure:
    if sentiment is None:
        return _failure(index, "no_words", "This text is empty or holds no words", "no words", "words")
    return SentimentItem(**plain(sentiment))


def _failure(index: int, code: str, message: str, got: str, expected: str, among: str = "texts") -> Failure:
    problem = Problem(code=code, message=message, field=f"{among}.{index}", got=got, expected=expected)
    return Failure(error=problem)
