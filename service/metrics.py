"""What a worker counts of its own for Prometheus: what it scored and what came out, with few and fixed labels."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.drift import DriftWatch
from model.types import BundleInfo, Case, Report

# Texts between two looks at the drift: it changes slowly.
DRIFT_EVERY: Final = 50
NO_WORDS: Final = "no_words"
PREFIX: Final = "amends_"


class ScoringMetrics:
    """Counters of one worker. Every label takes its values from the codebook or from a fixed list.

    watch: compares what comes in with a reference; None where there is none.
    """

    def __init__(self, info: BundleInfo, watch: DriftWatch | None = None) -> None:
        # Only now: prometheus_client decides on import whether several workers share their counts, and BentoML sets
        # the folder for that when it starts a worker.
        from prometheus_client import CollectorRegistry, Counter, Gauge

        # Of its own, because one process may hold several services; /metrics adds up the workers' files.
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(PREFIX + name, text, labels, registry=self.registry)

        self._texts = counter("texts", "Texts sent to /v1/sentiment", "outcome")
        self._utterances = counter("utterances", "Utterances sent to /v1/score", "outcome")
        self._sentiment = counter("sentiment", "Texts and utterances by sentiment", "label")
        self._cases = counter("cases", "Cases of /v1/score and /v1/loyalty by status", "status")
        self._bands = counter("bands", "Cases with an estimate by band", "band")
        self._abstentions = counter("abstentions", "Cases without a full estimate by reason", "reason")
        self._feedback = counter("feedback", "Items sent to /v1/feedback", "outcome")
        self._job_items = counter("job_items", "Items of jobs that have a result", "outcome")
        # Every worker reads the same queue; the one that looked last is right.
        self._jobs = Gauge(
            PREFIX + "jobs",
            "Jobs that have not ended by state",
            ("state",),
            registry=self.registry,
            multiprocess_mode="livemostrecent",
        )
        self._watch = watch
        self._unseen = 0
        self._drift = Gauge(
            PREFIX + "drift",
            "Population stability index of the last texts against the training texts",
            ("aspect",),
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self._bundle = Gauge(
            PREFIX + "bundle_info",
            "1 for the bundle that answers, 0 for one that answered before",
            ("version", "digest"),
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self._info = info
        self._bundle.labels(info.version, info.digest).set(1)

    def use(self, info: BundleInfo, watch: DriftWatch | None) -> None:
        """Another bundle answers from now on."""
        # A label can't be taken out of the file that workers share.
        self._bundle.labels(self._info.version, self._info.digest).set(0)
        self._bundle.labels(info.version, info.digest).set(1)
        self._info, self._watch, self._unseen = info, watch, 0

    def texts(self, labels: Iterable[str | None]) -> None:
        """Counts texts by their sentiment; None where a text could not be scored."""
        for label in labels:
            self._texts.labels("scored" if label else "failed").inc()
            if label:
                self._sentiment.labels(label).inc()

    def drift(self, texts: Sequence[NDArray[np.int64]], labels: Sequence[str]) -> None:
        """Compares texts, given as token ids, and the labels predicted for them with the reference."""
        watch = self._watch
        if watch is None or not len(texts):
            return
        watch.add(texts, labels)
        self._unseen += len(texts)
        if self._unseen >= DRIFT_EVERY:
            self._unseen = 0
            for aspect, score in watch.scores().items():
                self._drift.labels(aspect).set(score)

    def report(self, report: Report) -> None:
        """Counts what one thread holds."""
        self._utterances.labels("dropped").inc(len(report.dropped))
        for one in report.utterances:
            self._utterances.labels("scored" if one.sentiment else NO_WORDS).inc()
            if one.sentiment:
                self._sentiment.labels(one.sentiment.label).inc()
        for case in report.cases:
            self._cases.labels(case.status).inc()
            if case.loyalty:
                self._bands.labels(case.loyalty.band).inc()
            if case.status != "ok":
                self._abstentions.labels(_reason(case)).inc()

    def record(self, band: str | None) -> None:
        """Counts one case of /v1/loyalty by its band; None where it could not be used."""
        self._cases.labels("ok" if band else "failed").inc()
        if band:
            self._bands.labels(band).inc()

    def feedback(self, *, kept: int, failed: int) -> None:
        """Counts items of feedback."""
        self._feedback.labels("kept").inc(kept)
        self._feedback.labels("failed").inc(failed)

    def job_item(self, *, scored: bool) -> None:
        """Counts an item of a job that has a result."""
        self._job_items.labels("scored" if scored else "failed").inc()

    def queue(self, counts: Mapping[str, int]) -> None:
        """Says how many jobs there are by state."""
        for state, count in counts.items():
            self._jobs.labels(state).set(count)


def _reason(case: Case) -> str:
    """The reason in one word: the case's own reason is a sentence, and sentences have no end."""
    if case.status != "abstain":
        return case.status
    return case.role if case.role != "customer" else NO_WORDS
