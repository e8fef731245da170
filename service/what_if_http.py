"""What-if and advice over HTTP: a body in, a body out; what fails alone gets an error in its place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import ValidationError

from model.advise import advise_case, by_priority, texts_of
from model.codebook import ABSENT_VALUES, CUE_VALUES
from model.loyalty import LoyaltyHead
from model.privacy import Masker
from model.scorer import Scorer
from model.types import Advice, Case, CaseFeatures, Cue, InputError, Report, Thread, Utterance
from model.what_if import REPORTED, check_changes, what_if
from service.cases import features_of, fit_for
from service.errors import problem_of, shown, to_api_error
from service.schemas import BundleRef, Failure, LoyaltyCase
from service.what_if import CLAIM
from service.what_if_schemas import (
    AdviseRequest,
    AdviseResponse,
    CaseAdvice,
    CaseWhatIf,
    CustomerAdvice,
    CustomerWhatIf,
    Other,
    SeenCase,
    ThreadAdvice,
    ThreadRef,
    ThreadWhatIf,
    Twice,
    WhatIfRequest,
    WhatIfResponse,
    WhatIfResult,
)

SHOWN = 80
"""Characters of a name that is repeated in an error."""

Check = Callable[[], None]
T = TypeVar("T")
Asked = TypeVar("Asked", WhatIfRequest, AdviseRequest)


def what_if_answer(scorer: Scorer, request: WhatIfRequest, threads: Sequence[Thread], check: Check) -> WhatIfResponse:
    """The answer of /v1/what-if. threads: those of the request, none for cases. check is called between items.

    Raises InputError where no customer has the name that was asked for.
    """
    sets = _sets(request.set)
    head = scorer.bundle.loyalty

    def answers(features: CaseFeatures) -> list[WhatIfResult | Failure]:
        check()
        return [s if isinstance(s, Failure) else _result(what_if(head, features, s)) for s in sets]

    found: list[ThreadWhatIf | Failure] = []
    names: list[str] = []
    for thread in threads:
        check()
        scored = _scored(scorer, thread)
        if isinstance(scored, Failure):
            found.append(scored)
            continue
        report, features = scored
        known = [(c, f) for c, f in zip(report.cases, features, strict=True) if f is not None]
        names += [case.author for case, _ in known]
        customers = [
            CustomerWhatIf(**_customer(case, seen), what_if=answers(seen))
            for case, seen in known
            if request.author is None or case.author.casefold() == request.author.casefold()
        ]
        found.append(ThreadWhatIf(thread=_ref(report), customers=customers, others=_others(report)))
    if request.author is not None and not any(isinstance(t, ThreadWhatIf) and t.customers for t in found):
        raise _no_such_author(request.author, names)

    def case_answer(case: LoyaltyCase | SeenCase) -> CaseWhatIf:
        return CaseWhatIf(id=case.id, what_if=answers(features_seen(case)[0]))

    cases = [_case(i, case, case_answer) for i, case in enumerate(request.cases or ())]
    return WhatIfResponse(threads=found, cases=cases, claim=CLAIM, bundle=BundleRef(**asdict(scorer.info)))


def advise_answer(scorer: Scorer, request: AdviseRequest, threads: Sequence[Thread], check: Check) -> AdviseResponse:
    """The answer of /v1/advise. threads: those of the request, none for cases. check is called between items."""
    head = scorer.bundle.loyalty
    found: list[ThreadAdvice | Failure] = []
    for thread in threads:
        check()
        scored = _scored(scorer, thread)
        if isinstance(scored, Failure):
            found.append(scored)
            continue
        report, features = scored
        texts = texts_of(report)
        pairs = []
        for case, seen in zip(report.cases, features, strict=True):
            check()
            if case.loyalty is not None and seen is not None:
                pairs.append((advise_case(head, case, case.loyalty, seen, texts), _customer(case, seen)))
        pairs.sort(key=lambda pair: by_priority(pair[0]))
        customers = [CustomerAdvice(**(_advice(advice) | about), id=None) for advice, about in pairs]
        found.append(ThreadAdvice(thread=_ref(report), customers=customers, others=_others(report)))

    def case_answer(case: LoyaltyCase | SeenCase) -> CaseAdvice:
        check()
        return CaseAdvice(**_advice(_case_advice(head, case)), id=case.id)

    cases = [_case(i, case, case_answer) for i, case in enumerate(request.cases or ())]
    return AdviseResponse(threads=found, cases=cases, claim=CLAIM, bundle=BundleRef(**asdict(scorer.info)))


def masked_request(request: Asked, masker: Masker) -> Asked:
    """What an answer or an error may repeat of a request, without personal data. Its threads are masked on their own.

    masker: that of the threads, so that the author who is asked for is still found.
    """
    names = {"author", "set", "cases"} & request.model_fields_set
    masked: Asked = request.model_copy(update={name: masker.json(getattr(request, name)) for name in names})
    return masked


def thread_of_text(text: str, brand: str | None) -> Thread:
    """A text of its own as a thread."""
    return Thread("text", (Utterance("1", text, kind="review"),), brand=brand)


def _scored(scorer: Scorer, thread: Thread) -> tuple[Report, tuple[CaseFeatures | None, ...]] | Failure:
    try:
        return scorer.score_cases(thread)
    except InputError as error:
        return Failure(error=problem_of(error))


def _sets(given: Any) -> list[dict[str, str] | Failure]:
    """The sets of a request, each as a mapping that what_if takes, or why it can't be taken."""
    items = given if isinstance(given, list) else [given]
    path = "set.{}" if isinstance(given, list) else "set"
    found: list[dict[str, str] | Failure] = []
    for i, item in enumerate(items):
        try:
            found.append(_changes(item))
        except InputError as error:
            field = ".".join(filter(None, (path.format(i), error.field if error.field != "set" else None)))
            found.append(Failure(error=problem_of(error).model_copy(update={"field": field})))
    return found


def _changes(item: Any) -> dict[str, str]:
    if not isinstance(item, Mapping):
        raise _bad_change("this set is no object", None, shown(item), 'cues and values, such as {"apology": "given"}')
    changes = {}
    for cue, value in item.items():
        if isinstance(value, Twice):
            got = " and ".join(one[:SHOWN] if isinstance(one, str) else shown(one) for one in value)
            raise _bad_change(f"{cue[:SHOWN]} is set twice", cue[:SHOWN], got, "one value for a cue")
        # A whole number is a severity; nothing else that is no text is shown as the name of a value.
        name = value if isinstance(value, str) else shown(value)
        # Names are repeated in errors; what is longer is no name that we know.
        changes[cue[:SHOWN]] = name[:SHOWN]
    check_changes(changes)
    return changes


def _bad_change(message: str, field: str | None, got: str, expected: str) -> InputError:
    return InputError(message, code="bad_change", field=field, got=got, expected=expected)


def _result(found: Any) -> WhatIfResult:
    return WhatIfResult.model_validate(asdict(found))


def _no_such_author(author: str, names: Sequence[str]) -> InputError:
    return InputError(
        "No customer has this name",
        code="no_such_author",
        field="author",
        got=repr(author[:SHOWN]),
        expected=f"one of {', '.join(names[:20])}" if names else "a thread in which customers write; this has none",
    )


def _ref(report: Report) -> ThreadRef:
    thread = report.thread
    return ThreadRef(id=thread.id, title=thread.title, url=thread.url, brand=thread.brand)


def _others(report: Report) -> list[Other]:
    return [
        Other(author=c.author, role=c.role, status=c.status, reason=c.reason or c.role_reason)
        for c in report.cases
        if c.loyalty is None
    ]


def _customer(case: Case, seen: CaseFeatures) -> dict[str, Any]:
    returned = SeenCase(
        probabilities=dict(seen.cues),
        severity=seen.severity,
        failure=seen.failure,
        tenure=seen.tenure,
        valence=seen.valence,
    )
    return {
        "author": case.author,
        "utterances": list(case.utterances),
        "status": case.status,
        "reason": case.reason,
        "case": returned,
    }


def _advice(advice: Advice) -> dict[str, Any]:
    plain = asdict(advice)
    for action in plain["actions"]:
        # Records have no words to quote.
        action["quotes"] = [q for q in action["quotes"] if q["quote"]]
    return {name: plain[name] for name in CaseAdvice.model_fields if name != "id"}


def _case(index: int, given: Any, answer: Callable[[LoyaltyCase | SeenCase], T]) -> T | Failure:
    try:
        return answer(parsed_case(given))
    except (InputError, ValidationError) as error:
        return Failure(error=to_api_error(error, f"cases.{index}").problem)


def parsed_case(given: Any) -> LoyaltyCase | SeenCase:
    """A case as these endpoints take it. Raises pydantic's ValidationError where it is none."""
    seen = isinstance(given, Mapping) and "probabilities" in given
    return SeenCase.model_validate(given) if seen else LoyaltyCase.model_validate(given)


def features_seen(case: LoyaltyCase | SeenCase) -> tuple[CaseFeatures, list[Cue]]:
    """The features of a case, and what counts as reported in it. Raises InputError where it contradicts itself."""
    if isinstance(case, LoyaltyCase):
        return features_of(case)
    unknown = next((name for name in case.probabilities if name not in CUE_VALUES), None)
    if unknown is not None:
        raise InputError(
            f"There is no cue and value {unknown[:SHOWN]!r}",
            code="unknown_cue",
            field="probabilities",
            got=repr(unknown[:SHOWN]),
            expected="cue:value, as /v1/model lists them",
        )
    features = CaseFeatures(case.probabilities, case.severity, case.failure, case.tenure, case.valence, 0)
    return features, list(_reported(case.probabilities))


def _reported(probabilities: Mapping[str, float]) -> Iterator[Cue]:
    for name, probability in probabilities.items():
        if probability >= REPORTED:
            cue, _, value = name.partition(":")
            yield Cue(cue, value, "absent" if name in ABSENT_VALUES else "present", probability, "", 0, 0)


def _case_advice(head: LoyaltyHead, case: LoyaltyCase | SeenCase) -> Advice:
    features, cues = features_seen(case)
    loyalty = fit_for(features, head).estimate(features, cues)
    made = Case(case.id or "", "customer", "given as a case", "ok", None, (), cues=tuple(cues), loyalty=loyalty)
    return advise_case(head, made, loyalty, features)
