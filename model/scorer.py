"""The one place that wires reading, cleaning, encoder and heads: a Thread in, a Report out.

Where the 8-bit encoder leaves a text's label a close call, the float encoder reads that text once more.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from model import moment
from model.answers import with_answers
from model.authors import anybody, author_keys
from model.bundle import Bundle, load_bundle
from model.case import TextReading, case_features
from model.clean import clean, clean_threads, language
from model.codebook import SENTIMENT
from model.elsewhere import NOWHERE, Elsewhere, Told, elsewhere, of_brand, warnings_of
from model.encoder import Encoder, States, encode_texts, means_of, sentences_of
from model.latency import Latency, TimedCase, latencies
from model.own_words import own_words
from model.roles import RoleDecision, decide_role
from model.segment import Span, TokenizedText, tokenize
from model.sentiment import SentimentHead, is_close
from model.target import Ids, concerned, mentions, target_vectors
from model.types import (
    BundleInfo,
    Case,
    CaseFeatures,
    Cleaned,
    Cue,
    Dropped,
    InputError,
    LoyaltyEstimate,
    Reading,
    Report,
    Role,
    ScoredUtterance,
    SentenceSentiment,
    Sentiment,
    Statement,
    Status,
    Summary,
    TextLoyalty,
    Thread,
    Utterance,
)

CHUNK = 256
# The states of a token take 1.5 KB: 256 long posts at once would take gigabytes.
CHUNK_CHARS = 1000
# A text of its own in a table is a review until head and wording are surer than this of something else.
SURE_OF_ROLE = 0.6
# Who says so with this probability has dealings with the company.
SAYS = 0.5

CaseReport = tuple[Report, tuple[CaseFeatures | None, ...]]
"""A report, and what the loyalty head saw of each of its cases, in their order; None without an estimate."""


@dataclass(frozen=True)
class Scored:
    """What the heads say about one text; sentiment is None where the text holds no words."""

    raw: str
    sentiment: Sentiment | None
    sentences: tuple[SentenceSentiment, ...]
    reading: Reading

    @property
    def text_reading(self) -> TextReading:
        """The part that a case is made of."""
        return TextReading(self.reading, self.sentences, len(self.raw.split()), self.raw)


@dataclass(frozen=True)
class _Encoded:
    """Texts with their token states, the mean of these (n_texts, width), and the sentiment of each text."""

    texts: list[TokenizedText]
    states: list[States]
    means: States
    whole: list[Sentiment]


class _Judged(NamedTuple):
    """Whether a case is estimated, why not, the estimate, and what the loyalty head saw of the case."""

    status: Status
    reason: str | None
    loyalty: LoyaltyEstimate | None = None
    features: CaseFeatures | None = None


class Scorer:
    """Scores threads and texts with one bundle. Safe to use from several threads."""

    def __init__(self, bundle: Bundle, *, chunk: int = CHUNK) -> None:
        """chunk: texts that are encoded together; a GPU wants thousands."""
        self._bundle = bundle
        self._chunk = chunk

    @classmethod
    def load(cls, bundle: Path | None = None, *, threads: int = 1, engine: str = "cpu", chunk: int = CHUNK) -> "Scorer":
        """A scorer over a bundle folder, the released one by default. See model.bundle.load_bundle."""
        return cls(load_bundle(bundle, threads=threads, engine=engine), chunk=chunk)

    @property
    def bundle(self) -> Bundle:
        """The opened bundle, for evaluation and training."""
        return self._bundle

    @property
    def info(self) -> BundleInfo:
        """Version and digest of the bundle that answers."""
        return self._bundle.info

    def with_encoders(self, change: Callable[[Encoder], Encoder]) -> Self:
        """The same scorer over other encoders; `change` makes each of them from the one that there is."""
        exact = self._bundle.exact
        other = copy(self)
        other._bundle = replace(
            self._bundle, encoder=change(self._bundle.encoder), exact=change(exact) if exact is not None else None
        )
        return other

    def open_exact(self) -> None:
        """Opens the float encoder now, which is otherwise opened at the first close call."""
        if self._bundle.exact is not None:
            self._bundle.exact.encode([])

    def sentiment(self, texts: Sequence[str], targets: Sequence[str | None] | None = None) -> list[Sentiment | None]:
        """Sentiment of each text, in order; None where it holds no words.

        targets: one for each text, what its sentiment is wanted towards; None for the whole text.
        Raises InputError where a target is asked for that holds no words, or of a bundle without a head for targets.
        """
        towards = {i: t for i, t in enumerate(targets or ()) if t is not None}
        if not towards:
            return self._whole(texts)
        plain = [i for i in range(len(texts)) if i not in towards]
        found = dict(zip(plain, self._whole([texts[i] for i in plain]), strict=True))
        found |= zip(towards, self._towards([texts[i] for i in towards], list(towards.values())), strict=True)
        return [found[i] for i in range(len(texts))]

    def _whole(self, texts: Sequence[str]) -> list[Sentiment | None]:
        results: list[Sentiment | None] = []
        for read in self._encoded(texts):
            raws = texts[len(results) : len(results) + len(read.texts)]
            results += self._worded(raws, read)
        return results

    def _worded(self, raws: Sequence[str], read: _Encoded) -> list[Sentiment | None]:
        """The sentiment of each text, None where it holds no words."""
        return [
            sentiment if len(text.ids) and self.has_words(raw) else None
            for raw, text, sentiment in zip(raws, read.texts, read.whole, strict=True)
        ]

    def _towards(self, texts: Sequence[str], targets: Sequence[str]) -> list[Sentiment | None]:
        head, tokenizer = self._bundle.target, self._bundle.tokenizer
        separator = tokenizer.token_to_id("[SEP]")
        if head is None or separator is None:
            raise InputError(
                "this bundle has no head for sentiment towards a target",
                code="no_target_head",
                field="targets",
                got=f"bundle {self.info.version}",
                expected="a bundle of version 0.2 or later",
            )
        wordless = next((t for t in targets if not has_words(t)), None)
        if wordless is not None:
            raise InputError("a target holds no words", code="bad_target", field="targets", got=repr(wordless))
        results: list[Sentiment | None] = []
        for raw in chunks(texts, CHUNK):
            named = targets[len(results) : len(results) + len(raw)]
            tokenized = tokenize(raw, tokenizer, self._bundle.max_tokens)
            full = [i for i, t in enumerate(tokenized) if len(t.ids) and self.has_words(raw[i])]
            names = tokenizer.encode_batch([named[i] for i in full], add_special_tokens=False)
            windows = [concerned(tokenized[i], raw[i], named[i]) for i in full]
            ids = [np.asarray(name.ids, dtype=np.int64) for name in names]
            found = self._of_targets(head, windows, ids, separator)
            by_place = dict(zip(full, found, strict=True))
            results += [by_place.get(i) for i in range(len(raw))]
        return results

    def _of_targets(
        self, head: SentimentHead, windows: Sequence[Sequence[Ids]], targets: Sequence[Ids], separator: int
    ) -> list[Sentiment]:
        def read(rows: Sequence[int], encoder: Encoder) -> list[Sentiment]:
            own, names = [windows[i] for i in rows], [targets[i] for i in rows]
            return head.of_vectors(target_vectors(own, names, separator, encoder)) if own else []

        found = read(range(len(windows)), self._bundle.encoder)
        if self._bundle.exact is not None:
            close = [i for i, sentiment in enumerate(found) if is_close(sentiment, len(targets[i]), self._bundle.close)]
            for i, again in zip(close, read(close, self._bundle.exact), strict=True):
                found[i] = again
        return found

    def has_words(self, text: str) -> bool:
        """Whether a text holds a letter or digit, or an emoji that the tokenizer reads as a word.

        Anything else the encoder does not know, and would call angry faces anything.
        """
        normalizer = self._bundle.tokenizer.normalizer
        return has_words(text) or (normalizer is not None and has_words(normalizer.normalize_str(text)))

    def conduct(self, texts: Sequence[str]) -> list[Reading]:
        """What each text reports about the company's conduct, in order."""
        return [scored.reading for scored in self.read_texts(texts)]

    def loyalty(self, texts: Sequence[str]) -> list[TextLoyalty]:
        """Loyalty of the author of each text, every text a case of its own."""
        return [self._text_loyalty(scored) for scored in self.read_texts(texts)]

    def read_texts(self, texts: Sequence[str]) -> list[Scored]:
        """Both heads over each text, from one pass of the encoder."""
        results: list[Scored] = []
        for read in self._encoded(texts):
            raws = texts[len(results) : len(results) + len(read.texts)]
            sentences = sentences_of(read.texts, read.states, read.means)
            readings = self._bundle.conduct.read(raws, read.texts, read.states, read.means, sentences)
            toned = self._bundle.sentiment.sentences(read.texts, sentences)
            found = zip(raws, self._worded(raws, read), toned, readings, strict=True)
            results += [Scored(raw, whole, parts if whole else (), reading) for raw, whole, parts, reading in found]
        return results

    def score(self, thread: Thread, *, as_of: datetime | None = None) -> Report:
        """Cleans the thread, reads every utterance that is kept, and estimates the loyalty of each customer.

        as_of: what was written later is left out, see model.moment.as_of.
        """
        return self.score_cases(thread, as_of=as_of)[0]

    def score_cases(self, thread: Thread, *, as_of: datetime | None = None) -> CaseReport:
        """The report, and what the loyalty head saw of each of its cases, in their order; None without an estimate."""
        return self._reports([clean(moment.as_of(thread, as_of) if as_of else thread)])[0]

    def score_together(self, threads: Sequence[Thread]) -> list[Report]:
        """A report for each thread, in order; what repeats another of these threads has a flag "copy:...".

        See model.clean.clean_threads for the flags and for InputError "too_many".
        """
        return list(self.iter_together(threads))

    def iter_together(self, threads: Sequence[Thread]) -> Iterator[Report]:
        """As score_together, each report as soon as it is there; all threads are cleaned before the first."""
        cleaned, _ = clean_threads(threads)
        return (self._reports([c])[0][0] for c in cleaned)

    def score_many(self, threads: Iterable[Thread], *, texts: int = CHUNK) -> Iterator[Report]:
        """A report for each thread, in order, as soon as it is there; threads may be a stream without an end.

        The texts of several threads are encoded together, ordered by length and each different one once: as many
        threads as hold `texts` of them are in memory at a time.
        """
        return (report for report, _ in self.score_cases_many(threads, texts=texts))

    def score_cases_many(self, threads: Iterable[Thread], *, texts: int = CHUNK) -> Iterator[CaseReport]:
        """As score_many, with what the loyalty head saw of each case (see score_cases)."""
        waiting: list[Cleaned] = []
        number = 0
        for thread in threads:
            waiting.append(clean(thread))
            number += len(waiting[-1].thread.utterances)
            if number >= texts:
                yield from self._reports(waiting)
                waiting, number = [], 0
        yield from self._reports(waiting)

    def _reports(self, cleaned: Sequence[Cleaned]) -> list[CaseReport]:
        own = [own_words(c.thread.utterances, c.thread.brand) for c in cleaned]
        # In order of length, so that what is encoded together needs little padding.
        different = sorted({text for texts in own for text in texts.values()}, key=lambda t: (len(t), t))
        known = dict(zip(different, self.read_texts(different), strict=True))
        return [
            self._report(c, {uid: known[text] for uid, text in texts.items()})
            for c, texts in zip(cleaned, own, strict=True)
        ]

    def _report(self, cleaned: Cleaned, scored: Mapping[str, Scored]) -> CaseReport:
        """The report of a cleaned thread. scored: what was read in the own words of each utterance, by id."""
        thread = cleaned.thread
        kept = thread.utterances
        subject = " ".join(filter(None, (thread.title, thread.url, *(u.text for u in kept if u.kind == "post"))))
        other = _elsewhere(kept, scored, thread.brand)
        read = [self._case(group, scored, thread.brand, subject, other) for group in by_author(kept)]
        cases = with_answers([case for case, _ in read], kept)
        roles = {uid: case.role for case in cases for uid in case.utterances}
        towards = self._towards_brand(kept, thread.brand)
        utterances = [_scored_utterance(u, scored[u.id], roles, towards.get(u.id)) for u in kept]
        spam = spam_cases(cleaned.dropped)
        report = Report(
            thread=thread,
            utterances=tuple(utterances),
            dropped=cleaned.dropped,
            cases=(*cases, *spam),
            summary=summarise(utterances, cases),
            bundle=self.info,
            warnings=(*thread.warnings, *_warnings(other, scored, thread.brand)),
        )
        return report, (*(features for _, features in read), *(None for _ in spam))

    def _towards_brand(self, utterances: Sequence[Utterance], brand: str | None) -> dict[str, Sentiment | None]:
        """By id, for the utterances that name the brand; empty where there is no brand, or no head for it."""
        if brand is None or not has_words(brand) or not self._bundle.has_targets:
            return {}
        naming = [u for u in utterances if mentions(u.text, brand)]
        found = self._towards([u.text for u in naming], [brand] * len(naming))
        return {u.id: s for u, s in zip(naming, found, strict=True)}

    def _encoded(self, texts: Sequence[str]) -> Iterator[_Encoded]:
        """Texts in chunks, so that memory does not grow with their number."""
        for part in chunks(texts, self._chunk):
            tokenized = tokenize(part, self._bundle.tokenizer, self._bundle.max_tokens)
            states = encode_texts(tokenized, self._bundle.encoder)
            means = means_of(states, self._bundle.sentiment.weight.shape[1])
            read = _Encoded(tokenized, states, means, self._bundle.sentiment.of_vectors(means))
            self._look_again(read)
            yield read

    def _look_again(self, read: _Encoded) -> None:
        """Replaces what the 8-bit encoder says of texts whose label is a close call by what the float encoder says."""
        if self._bundle.exact is None:
            return
        pairs = enumerate(zip(read.texts, read.whole, strict=True))
        close = [
            i for i, (text, whole) in pairs if len(text.ids) and is_close(whole, len(text.ids), self._bundle.close)
        ]
        again = encode_texts([read.texts[i] for i in close], self._bundle.exact)
        read.means[close] = means_of(again, read.means.shape[1])
        for i, states, sentiment in zip(close, again, self._bundle.sentiment.whole(again), strict=True):
            read.states[i], read.whole[i] = states, sentiment

    def _text_loyalty(self, scored: Scored) -> TextLoyalty:
        if scored.sentiment is None:
            return TextLoyalty("abstain", "the text holds no words", None)
        role = decide_role(
            [Utterance("1", scored.raw, kind="review")], [scored.reading.role], states_loyalty=_states_loyalty([scored])
        )
        if role.role != "customer" and role.probability >= SURE_OF_ROLE:
            return TextLoyalty("abstain", f"written by a {role.role}: {role.reason}", None)
        judged = self._estimate([scored])
        return TextLoyalty(judged.status, judged.reason, judged.loyalty)

    def _estimate(self, texts: Sequence[Scored]) -> _Judged:
        cues = [c for t in texts for c in t.reading.cues]
        tenure = _tenure(texts)
        stated = [s for t in texts for s in t.reading.statements]
        features = case_features([t.text_reading for t in texts])
        loyalty = self._bundle.loyalty.estimate(features, cues, tenure, stated)
        foreign = _foreign([t.raw for t in texts])
        if foreign:
            reason = f"written in {', '.join(sorted(foreign))}; the heads were trained on English"
            return _Judged("out_of_domain", reason, loyalty, features)
        if not any(c.state != "hypothetical" for c in cues):
            return _Judged("low_evidence", "nothing is said about what the company did", loyalty, features)
        return _Judged("ok", None, loyalty, features)

    def _case(
        self,
        group: Sequence[Utterance],
        scored: Mapping[str, Scored],
        brand: str | None,
        subject: str,
        other: Mapping[str, Elsewhere],
    ) -> tuple[Case, CaseFeatures | None]:
        """The case of an author, and what the loyalty head saw of it; None without an estimate.

        other: what the utterances tell of other houses than the brand, by id; it is no conduct of the case.
        """
        texts = [_attributed(scored[u.id], u.id) for u in group]
        roles = [t.reading.role for t in texts]
        decision = decide_role(
            [u if u.text == scored[u.id].raw else replace(u, text=scored[u.id].raw) for u in group],
            roles,
            brand,
            subject,
            states_loyalty=_states_loyalty(texts),
            conduct=_told(texts),
        )
        # Who was helped elsewhere is a customer all the same: the role goes by all that is told.
        texts = [_of_brand(t, other.get(u.id, NOWHERE)) for t, u in zip(texts, group, strict=True)]
        failure, severity = _failure(texts)
        judged = self._judged(decision, texts)
        case = TimedCase(
            author=_name(group),
            role=decision.role,
            role_reason=decision.reason,
            status=judged.status,
            reason=judged.reason,
            utterances=tuple(u.id for u in group),
            cues=tuple(c for t in texts for c in t.reading.cues),
            stated=tuple(s for t in texts for s in t.reading.statements),
            tenure=_tenure(texts),
            failure=failure,
            severity=severity,
            loyalty=judged.loyalty,
            role_probability=decision.probability,
            latencies=tuple(
                found
                for t, u in zip(texts, group, strict=True)
                for found in _latencies(t, u.id, other.get(u.id, NOWHERE))
            ),
        )
        return case, judged.features

    def _judged(self, decision: RoleDecision, texts: Sequence[Scored]) -> _Judged:
        if decision.role != "customer":
            return _Judged("abstain", f"no dealings to estimate from: {decision.role} ({decision.reason})")
        if all(t.sentiment is None for t in texts):
            return _Judged("abstain", "the text holds no words")
        return self._estimate(texts)


def chunks(texts: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    """Runs of at most `most` texts and of about CHUNK_CHARS characters for each: fewer where they are long."""
    start = size = 0
    for end, text in enumerate(texts):
        if end > start and (end - start == most or size + len(text) > most * CHUNK_CHARS):
            yield texts[start:end]
            start, size = end, 0
        size += len(text)
    if start < len(texts):
        yield texts[start:]


def has_words(text: str) -> bool:
    """Whether a text holds a letter or digit."""
    return any(char.isalnum() for char in text)


def _states_loyalty(texts: Sequence[Scored]) -> bool:
    statements = [s for t in texts for s in t.reading.statements]
    return any(s.kind in ("stay", "leave") and s.probability >= SAYS for s in statements)


def _told(texts: Sequence[Scored]) -> list[str]:
    """The sentences that report what the company did; what it might or should do is left out."""
    told: dict[tuple[int, int, int], str] = {}
    for i, text in enumerate(texts):
        for cue in (c for c in text.reading.cues if c.state != "hypothetical"):
            inside = [(s.start, s.end) for s in text.sentences if s.start < cue.end and cue.start < s.end]
            for start, end in inside or [(cue.start, cue.end)]:
                told[i, start, end] = text.raw[start:end]
    return list(told.values())


def _foreign(texts: Sequence[str]) -> set[str]:
    """The other languages that an author's texts are in, where these are longer than the English ones together."""
    lengths: Counter[str] = Counter()
    for text in texts:
        lengths[language(text)] += len(text)
    foreign = {code for code in lengths if code not in ("en", "und")}
    return foreign if sum(lengths[code] for code in foreign) > lengths["en"] else set()


def by_author(utterances: Sequence[Utterance]) -> list[list[Utterance]]:
    """Utterances of a thread grouped by author, in order of first appearance."""
    keys = author_keys(utterances)
    groups: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        groups.setdefault(keys[utterance.id], []).append(utterance)
    return list(groups.values())


def spam_cases(dropped: Sequence[Dropped]) -> list[Case]:
    """A case that abstains for everyone who wrote something that was dropped as spam."""
    details = {d.utterance.id: d.detail for d in dropped if d.reason == "spam"}
    groups = by_author([d.utterance for d in dropped if d.reason == "spam"])
    return [
        TimedCase(
            _name(group),
            "spam",
            details[group[0].id] or "spam",
            "abstain",
            "spam is not scored",
            tuple(u.id for u in group),
        )
        for group in groups
    ]


def summarise(utterances: Sequence[ScoredUtterance], cases: Sequence[Case]) -> Summary:
    """The thread in figures; those at risk by rising index, advocates by falling index."""
    labels = Counter(u.sentiment.label for u in utterances if u.sentiment)
    known = [(c.author, c.loyalty) for c in cases if c.loyalty]
    at_risk = sorted((p for p in known if p[1].band == "at_risk"), key=lambda p: p[1].index)
    advocates = sorted((p for p in known if p[1].band == "advocate"), key=lambda p: -p[1].index)
    return Summary(
        utterances=len(utterances),
        sentiment={label: labels.get(label, 0) for label in SENTIMENT},
        customers=sum(c.role == "customer" for c in cases),
        at_risk=tuple(name for name, _ in at_risk),
        advocates=tuple(name for name, _ in advocates),
    )


def _scored_utterance(
    utterance: Utterance, scored: Scored, roles: Mapping[str, Role], towards: Sentiment | None
) -> ScoredUtterance:
    if scored.sentiment is None:
        utterance = replace(utterance, flags=(*utterance.flags, "no_words"))
    return ScoredUtterance(utterance, roles[utterance.id], scored.sentiment, scored.sentences, towards)


def _attributed(scored: Scored, uid: str) -> Scored:
    """The same reading with the utterance's id on every quote."""
    reading = scored.reading
    if not (reading.cues or reading.statements or reading.tenure):
        return scored
    cues: tuple[Cue, ...] = tuple(replace(c, utterance=uid) for c in reading.cues)
    statements: tuple[Statement, ...] = tuple(replace(s, utterance=uid) for s in reading.statements)
    tenure = replace(reading.tenure, utterance=uid) if reading.tenure else None
    return replace(scored, reading=replace(reading, cues=cues, statements=statements, tenure=tenure))


def _elsewhere(
    utterances: Sequence[Utterance], scored: Mapping[str, Scored], brand: str | None
) -> dict[str, Elsewhere]:
    """By id, what the utterances tell of other houses than the brand; only of those that do."""
    if brand is None:
        return {}
    found = {u.id: elsewhere(s.raw, brand, _spans(s)) for u in utterances if (s := scored[u.id]).reading.cues}
    return {uid: other for uid, other in found.items() if other is not NOWHERE}


def _of_brand(text: Scored, other: Elsewhere) -> Scored:
    """The text with the conduct of the brand alone."""
    return replace(text, reading=of_brand(text.reading, other, _spans(text))) if other.passages else text


def _warnings(other: Mapping[str, Elsewhere], scored: Mapping[str, Scored], brand: str | None) -> tuple[str, ...]:
    if not other or brand is None:
        return ()
    texts = ((uid, scored[uid], found) for uid, found in other.items())
    return warnings_of([Told(uid, s.raw, s.reading.cues, _spans(s), found) for uid, s, found in texts], brand)


def _spans(text: Scored) -> list[Span]:
    return [(s.start, s.end) for s in text.sentences]


def _latencies(text: Scored, uid: str, other: Elsewhere) -> tuple[Latency, ...]:
    found = latencies(text.raw, text.reading.cues, sentences=_spans(text), utterance=uid)
    return tuple(one for one in found if not other.holds(one.start, one.end, good=not one.censored))


def _failure(texts: Sequence[Scored]) -> tuple[str, int]:
    """The likeliest failure and its severity; "none" and 0 where it is likelier than not that nothing went wrong."""
    worst = min(texts, key=lambda t: t.reading.failure["none"]).reading
    if worst.failure["none"] > 0.5:
        return "none", 0
    kinds = {kind: p for kind, p in worst.failure.items() if kind != "none"}
    levels = {int(level): p for level, p in worst.severity.items() if level != "0"}
    return max(kinds, key=kinds.__getitem__), max(levels, key=levels.__getitem__)


def _tenure(texts: Sequence[Scored]) -> Statement | None:
    found = [t.reading.tenure for t in texts if t.reading.tenure]
    return max(found, key=lambda s: s.probability, default=None)


def _name(group: Sequence[Utterance]) -> str:
    # "Anonymous" would name several people of a thread alike.
    named = next((u.author.name for u in group if u.author and not anybody(u.author.name)), None)
    return named or ("post author" if group[0].kind == "post" else f"author of {group[0].id}")
