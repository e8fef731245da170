"""Makes a better bundle out of a champion and labelled examples, and says whether it may take the champion's place.

    retrain(champion, ["corrections.jsonl"], Path("out"))

The task says what is learnt: sentiment (training.retrain_sentiment), single cues (training.cues) or what became of
customers (training.loyalty_gate). Every step is kept in `out`: the same call goes on where it stopped.
"""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from model.bundle import Bundle, bundle_digest, file_digest, load_bundle, manifest
from model.drift import load_reference
from model.reading.table import read_table
from model.scorer import Scorer
from model.segment import tokenize
from model.types import CaseFeatures, InputError
from training import cues, gate, loyalty, loyalty_gate, tune, vignettes
from training.gate import Check, Decision
from training.labels import LISTED, Examples, Rows, Task, read_examples
from training.material import (
    EXCHANGED,
    REPLAYED,
    folds,
    labelled_texts,
    material_of,
    own_texts,
    text_hash,
    usable_examples,
)
from training.outcomes import join
from training.retrain_sentiment import challenger
from training.rewrite import loyalty_arrays, rewritten
from training.run import Progress, Run, write_json

TEXTS: Final = Path(__file__).parent / "texts"

Source = str | Path | Rows


@dataclass(frozen=True)
class Retrained:
    """What came of it. folder: the challenger's bundle, None where there was nothing to train it on."""

    folder: Path | None
    decision: Decision
    report: dict[str, Any]


def retrain(
    champion: Path,
    sources: Sequence[Source],
    out: Path,
    *,
    task: Task = "sentiment",
    budget: float = 1800.0,
    seed: int = 7,
    check: Sequence[Path] = (),
    replay: Path | None = None,
    force: str | None = None,
    strict: bool = False,
    cache: Path | None = None,
    texts: Path = TEXTS,
    progress: Progress = lambda words, share: None,
) -> Retrained:
    """Trains a challenger on `sources`, measures it beside the champion, decides, and writes out/report.json.

    budget: seconds for all of it. check: labelled files on which it must not get worse. replay: texts (a column `text`)
    whose reading should stay as it is. force: a reason to promote against the gate, which is recorded. strict: a row
    that can't be used is an error. cache: folder for what does not change between runs. texts: folder with
    sentiment.jsonl, which is replayed, and acceptance.jsonl, the frozen set. progress: told in words what is done, and
    which share of the run is behind it. The challenger's bundle is out/bundle.

    Raises InputError where a source can't be read, nothing in it can be used, or `out` holds another run.
    """
    if check and task != "sentiment":
        raise InputError(
            f"the task {task} has no texts to check on",
            code="bad_option",
            field="check",
            got=task,
            expected="sentiment",
        )
    examples = read_examples(sources, task, strict=strict)
    checked = {str(path): labelled_texts(path) for path in check}
    meta = manifest(champion)
    if champion.resolve().is_relative_to(out.resolve()):
        raise InputError(
            f"the champion lies inside {out}, which is written to",
            code="bad_output",
            field="out",
            got=str(out),
            expected="another folder",
        )
    key = {
        "champion": bundle_digest(meta["files"]),
        "examples": examples.digest,
        "task": task,
        "seed": seed,
        "replay": file_digest(replay) if replay else None,
        # What an older version left half done is not gone on with.
        "recipe": repr((tune.PULLS, tune.MIXTURES, tune.Recipe(), EXCHANGED)),
    }
    run = Run(out, key, budget, progress)
    bundle = load_bundle(champion)
    run.tell("reading the examples", 0.02)
    if task == "loyalty":
        return _loyalty(run, champion, bundle, examples, force)
    if task == "conduct":
        return _conduct(run, champion, bundle, examples, replay, texts, seed, force)
    usable, left_out = usable_examples(examples, bundle, texts)
    checks = gate.enough([e.label for e in usable])
    report: dict[str, Any] = {
        "task": task,
        "champion": {"version": bundle.info.version, "digest": bundle.info.digest},
        "challenger": None,
        "examples": examples.report() | {"left_out": left_out, "learnt_from": len(usable)},
        "options": {"budget": budget, "seed": seed, "check": [Path(p).name for p in checked], "force": force},
    }
    if not all(c.passed for c in checks):
        return _finished(run, None, Decision(tuple(checks)), report)
    cache, reference = cache or out / "cache", load_reference(champion)
    material = material_of(run, bundle, reference.rarity if reference else None, usable, replay, texts, seed, cache)
    folder, compared = challenger(run, champion, material, checked, report, cache)
    checks += compared
    return _finished(run, folder, Decision(tuple(checks), _forced(checks, force)), report)


def _forced(checks: Sequence[Check], force: str | None) -> str | None:
    return force if force and not all(c.passed for c in checks) else None


def _finished(run: Run, folder: Path | None, decision: Decision, report: dict[str, Any]) -> Retrained:
    if folder is not None:
        meta = manifest(folder)
        report["challenger"] = {"version": meta["version"], "digest": meta["digest"]}
    report["decision"] = decision.to_dict()
    report["seconds"] = round(run.spent, 1)
    report["machine"] = {"processor": platform.machine(), "threads": torch.get_num_threads()}
    write_json(run.folder / "report.json", report)
    run.finish()
    run.tell("done", 1.0)
    return Retrained(folder, decision, report)


def _loyalty(run: Run, champion: Path, bundle: Bundle, examples: Examples, force: str | None) -> Retrained:
    """The loyalty head from outcomes. It is fitted in seconds, so there is nothing to go on from."""
    run.tell("joining outcomes with their predictions", 0.1)
    joined = join(examples.used)
    run.tell("fitting the loyalty head", 0.3)
    found = loyalty_gate.update(bundle.loyalty, joined, bundle.info.digest, force=force is not None)
    told = examples.report()
    for reason, n in joined.report()["refused"].items():
        told["dropped"][reason] = told["dropped"].get(reason, 0) + n
    told["dropped_rows"] = [*told["dropped_rows"], *joined.report()["refused_rows"]][:LISTED]
    report: dict[str, Any] = {
        "task": "loyalty",
        "champion": {"version": bundle.info.version, "digest": bundle.info.digest},
        "challenger": None,
        "examples": told | {"learnt_from": len(joined.pairs)},
        "options": {"force": force},
        "loyalty": found.report,
    }
    folder = None
    if found.head is not bundle.loyalty:
        run.tell("writing the bundle", 0.9)
        record = {k: report[k] for k in ("task", "champion", "examples", "options", "loyalty")}
        figures = {"loyalty": {"own_outcomes": found.report["heads"]}}
        folder = rewritten(champion, run.folder / "bundle", loyalty_arrays(found.head), record, figures)
    return _finished(run, folder, Decision(found.checks, _forced(found.checks, force) if folder else None), report)


def _conduct(
    run: Run,
    champion: Path,
    bundle: Bundle,
    examples: Examples,
    replay: Path | None,
    texts: Path,
    seed: int,
    force: str | None,
) -> Retrained:
    """The cue head from what people say of single cues, on frozen states."""
    run.tell("encoding your examples", 0.05)
    different = list(dict.fromkeys(e.text for e in examples.used))
    words = [len(t.ids) > 0 for t in tokenize(different, bundle.tokenizer, bundle.max_tokens)]
    kept = [t for t, some in zip(different, words, strict=True) if some]
    used = [e for e in examples.used if e.text in set(kept)]
    left_out = {"without words": len(examples.used) - len(used)} if len(used) < len(examples.used) else {}
    report: dict[str, Any] = {
        "task": "conduct",
        "champion": {"version": bundle.info.version, "digest": bundle.info.digest},
        "challenger": None,
        "examples": examples.report() | {"left_out": left_out, "learnt_from": len(used)},
        "options": {"seed": seed, "force": force},
    }
    user = cues.read(kept, bundle)
    claims = cues.claims_of(used, user)
    first = cues.enough(claims)
    if not first.passed:
        return _finished(run, None, Decision((first,)), report)
    run.tell("encoding the replayed texts", 0.15)
    learnt, watch = _cue_replay(set(kept), replay, texts)
    of_texts = folds(kept, ["" for _ in kept], seed)
    found = cues.taught(bundle.conduct, user, claims, cues.read(learnt, bundle), of_texts, run.tell)
    report["conduct"] = found.report
    run.tell("writing the bundle", 0.8)
    record = {k: report[k] for k in ("task", "champion", "examples", "options", "conduct")}
    weights = {name: getattr(found.head, part) for name, part in zip(cues.ARRAYS, cues.HEAD, strict=True)}
    heads = weights | {"cue.thresholds": found.head.thresholds}
    folder = rewritten(
        champion, run.folder / "bundle", heads, record, {"conduct": {"own_examples": found.report}}, weights
    )
    run.tell("comparing", 0.85)
    old, new = Scorer(bundle), Scorer.load(folder)
    agreed, _ = cues.agreement(old, new, watch)
    one, other = (float(vignettes.as_texts(s.bundle.loyalty.conduct, _reader(s))["tau"]) for s in (old, new))
    checks = [
        first,
        *found.checks,
        gate.at_least("agreement", "F1 of cues against the champion's on other texts", agreed, gate.LEAST_CONDUCT),
        gate.no_lower("published findings", "Kendall's tau over published findings", one, other, cues.TAU_TOLERANCE),
    ]
    return _finished(run, folder, Decision(tuple(checks), _forced(checks, force)), report)


def _cue_replay(own: set[str], replay: Path | None, texts: Path) -> tuple[list[str], list[str]]:
    """Texts that are learnt beside the user's, and texts to compare champion and challenger on."""
    given = [t for t in read_table(replay)["text"].to_pylist() if t and t.strip()] if replay else []
    shipped = [r["text"] for r in own_texts(texts, "sentiment")]
    found = sorted({t for t in (*given[:REPLAYED], *shipped) if t not in own}, key=text_hash)
    # Short texts of our own tell few cues; the findings in our own words tell many.
    told = [v.text for v in vignettes.VIGNETTES]
    watched = min(cues.WATCHED, len(found) // 3)
    return [*found[watched : watched + cues.REPLAYED], *told], found[:watched]


def _reader(scorer: Scorer) -> Callable[[Sequence[str]], list[CaseFeatures]]:
    return lambda texts: [m.features for m in loyalty.read_masked(scorer, texts)]
