"""Makes a better bundle out of a champion and labelled examples, and says whether it may take the champion's place.

    retrain(champion, ["corrections.jsonl"], Path("out"))

Examples are cut into folds by a hash of their text. The sentiment head is fitted first, on frozen vectors; then the
upper half of the encoder, if the time allows it and it pays on texts that were left out. Texts of our own with the
champion's soft labels are learnt beside the user's, and the result is a mean of the champion's weights and the new
ones, as near to the new ones as old skills allow. Every step is kept in `out`: the same call goes on where it stopped.
"""

import hashlib
import json
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file as save_torch

from model.bundle import Bundle, bundle_digest, file_digest, load_bundle, manifest
from model.codebook import SENTIMENT
from model.drift import FILE as REFERENCE
from model.drift import load_reference, served_digest
from model.encoder import Encoder, encode_texts
from model.reading.table import read_table
from model.scorer import Scorer
from model.segment import TokenizedText, tokenize
from model.sentiment import SentimentHead, softmax
from model.types import CaseFeatures, InputError
from training import behaviour, calibrate, cues, gate, loyalty, loyalty_gate, tune, vignettes
from training.build import special_tokens
from training.export import export
from training.gate import Check, Decision
from training.labels import LISTED, Examples, Labelled, Rows, Task, read_examples, same_text
from training.network import Network
from training.outcomes import join
from training.rewrite import loyalty_arrays, rewritten

TEXTS: Final = Path(__file__).parent / "texts"
FOLDS: Final = 4
MANY: Final = 400
"""Examples from which one fold, a quarter of them, is left out of the encoder's lesson instead of each in turn."""
REPLAYED: Final = 3000
WATCHED: Final = 800
"""Replayed texts that are learnt, and those that are left out to compare champion and challenger on."""
PAYS: Final = 0.01
"""Share of the log loss that the encoder must take off what the head alone leaves."""
HOPELESS: Final = 1.02
"""Log loss relative to the head's on one fold from which the others are not tried."""
START: Final = 3.0
"""Pull of the head that the encoder's lesson starts with: it moves on with the encoder."""
SAVE_SECONDS: Final = 5.0
RESERVE: Final = 90.0
"""Seconds kept for the 8-bit graph and the gate."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Arrays = dict[str, NDArray[Any]]
Progress = Callable[[str, float], None]
Source = str | Path | Rows


@dataclass(frozen=True)
class Retrained:
    """What came of it. folder: the challenger's bundle, None where there was nothing to train it on."""

    folder: Path | None
    decision: Decision
    report: dict[str, Any]


@dataclass(frozen=True)
class Texts:
    """Texts as they are learnt from: tokens, mean vectors of the champion's graph (n, width), probabilities (n, 3)."""

    raw: Sequence[str]
    tokens: Sequence[TokenizedText]
    vectors: tune.Vectors
    targets: Floats

    @property
    def labels(self) -> Ints:
        """(n,), indices into SENTIMENT."""
        result: Ints = self.targets.argmax(axis=1)
        return result

    def part(self, rows: Sequence[int] | Ints) -> "Texts":
        """Some of them."""
        return Texts(
            [self.raw[i] for i in rows], [self.tokens[i] for i in rows], self.vectors[rows], self.targets[rows]
        )


@dataclass(frozen=True)
class Material:
    """What a run works with. user: the examples, each in one of FOLDS folds (n,). replay: learnt beside them.
    watch: replayed texts that are not learnt. acceptance: the frozen set.
    """

    bundle: Bundle
    head: SentimentHead
    user: Texts
    folds: Ints
    replay: Texts
    watch: Texts
    acceptance: Texts


@dataclass(frozen=True)
class Way:
    """A way to a better model, as measured on examples that it did not learn from.

    rows: indices of those examples. logits: theirs (n_rows, 3), by the pull of the head or, where the encoder moved, by
    the share of the challenger's weights in the mixture.
    """

    rows: Ints
    logits: dict[float, NDArray[np.float32]]

    def losses(self, targets: Floats) -> dict[float, float]:
        """Log loss of each, the least first. targets: of all examples (n, 3)."""
        found = {key: tune.log_loss(logits, targets[self.rows]) for key, logits in self.logits.items()}
        return dict(sorted(found.items(), key=lambda item: item[1]))


class Run:
    """The folder of a run: each step's result, written whole or not at all, and the time that was spent.

    Raises InputError where the folder holds a run with other examples, another champion or other options.
    """

    def __init__(self, folder: Path, key: dict[str, Any], budget: float, progress: Progress) -> None:
        self.folder, self._progress = folder, progress
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "state.json"
        state = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        different = [name for name in key if state["key"].get(name) != key[name]] if state else []
        if different and state and not state["finished"]:
            raise InputError(
                f"{folder} holds another run that is not finished: {', '.join(different)} changed since",
                code="other_run",
                field="out",
                got=", ".join(f"{name} {key[name]}" for name in different),
                expected="the same call as before, or another folder",
            )
        if different:
            self._clear()
        if state is None or different:
            state = {"key": key, "spent": 0.0, "finished": False}
        state["finished"] = False
        self._state = state
        self._budget = budget
        self._began = time.monotonic() - float(state["spent"])
        self._save()

    @property
    def spent(self) -> float:
        """Seconds since the beginning, over all its starts."""
        return float(time.monotonic() - self._began)

    @property
    def left(self) -> float:
        """Seconds of the budget that are left for learning."""
        return self._budget - self.spent - RESERVE

    def tell(self, words: str, share: float) -> None:
        """Says what is being done, and how much of the run is behind it, in [0, 1]."""
        self._progress(words, share)
        # After a kill the budget must not begin anew.
        if self.spent - self._state["spent"] > SAVE_SECONDS:
            self._save()

    def arrays(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """The arrays of a step, made once."""
        path = self.folder / f"{name}.safetensors"
        if not path.is_file():
            fresh = path.with_suffix(".new")
            save_file({k: np.ascontiguousarray(v) for k, v in make().items()}, fresh)
            fresh.replace(path)
            self._save()
        return load_file(path)

    def finish(self) -> None:
        """Notes that everything is done: another run may take the folder."""
        self._state["finished"] = True
        self._save()

    def _clear(self) -> None:
        for path in (*self.folder.glob("*.safetensors"), *self.folder.glob("report.*")):
            path.unlink()
        for path in (self.folder / "bundle", *self.folder.glob("checkpoint-*")):
            shutil.rmtree(path, ignore_errors=True)

    def _save(self) -> None:
        self._state["spent"] = round(self.spent, 1)
        write_json(self.folder / "state.json", self._state)


def write_json(path: Path, value: Any) -> None:
    """Writes a file whole or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(path)


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
    checked = {str(path): _labelled_texts(path) for path in check}
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
        "recipe": repr((tune.PULLS, tune.MIXTURES, tune.Recipe())),
    }
    run = Run(out, key, budget, progress)
    bundle = load_bundle(champion)
    run.tell("reading the examples", 0.02)
    if task == "loyalty":
        return _loyalty(run, champion, bundle, examples, force)
    if task == "conduct":
        return _conduct(run, champion, bundle, examples, replay, texts, seed, force)
    usable, left_out = _usable(examples, bundle, texts)
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
    material = _material(run, bundle, usable, replay, texts, seed, cache or out / "cache")
    return _trained(run, champion, material, checks, report, checked, force, cache or out / "cache")


def _trained(
    run: Run,
    champion: Path,
    m: Material,
    checks: list[Check],
    report: dict[str, Any],
    checked: dict[str, tuple[list[str], Ints]],
    force: str | None,
    cache: Path,
) -> Retrained:
    run.tell("fitting the head", 0.15)
    heads = _head_way(run, m)
    report["head"] = _way_figures(heads, m, "by_pull")
    chosen = _chosen(m, heads)
    report["head"]["pull"] = chosen.key if chosen else None
    halves = _halves(champion, m)
    if halves is not None:
        rival = chosen.logits if chosen else m.head.logits(m.user.vectors)
        found = _encoder_way(run, m, halves, rival, report)
        run.tell("mixing with the champion", 0.72)
        chosen = (found and _chosen(m, found[0], halves, found[1])) or chosen
    # Where nothing leaves the old skills as they are, the smallest step is shown to the gate, which will say so.
    chosen = chosen or _candidate(m, heads, max(heads.logits))
    moved = chosen.network is not None
    report["mixing"] = {"encoder_moved": moved, "share": chosen.key if moved else None}
    run.tell("writing the bundle", 0.78)
    folder = _bundle_of(run, champion, m, chosen, report)
    run.tell("comparing", 0.85)
    checks += _gate(run, champion, folder, m, heads, chosen, checked, report, cache)
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
    agreed = _cues_agree(old, new, watch)
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
    shipped = [r["text"] for r in _own(texts, "sentiment")]
    found = sorted({t for t in (*given[:REPLAYED], *shipped) if t not in own}, key=_hash)
    # Short texts of our own tell few cues; the findings in our own words tell many.
    told = [v.text for v in vignettes.VIGNETTES]
    watched = min(cues.WATCHED, len(found) // 3)
    return [*found[watched : watched + cues.REPLAYED], *told], found[:watched]


def _reader(scorer: Scorer) -> Callable[[Sequence[str]], list[CaseFeatures]]:
    return lambda texts: [m.features for m in loyalty.read_masked(scorer, texts)]


# ------------------------------------------------------------------------------------------------------------ material


def _usable(examples: Examples, bundle: Bundle, folder: Path) -> tuple[list[Labelled], dict[str, int]]:
    """Examples that the head can learn from, and how many others there are, by reason."""
    frozen = {same_text(r["text"]) for r in _own(folder, "acceptance")}
    reasons: dict[str, int] = {}
    usable = []
    tokenized = tokenize([e.text for e in examples.used], bundle.tokenizer, bundle.max_tokens)
    for e, tokens in zip(examples.used, tokenized, strict=True):
        reason = (
            "towards a target" if e.target
            else "without words" if not len(tokens.ids)
            else "of the acceptance set" if same_text(e.text) in frozen
            else None
        )  # fmt: skip
        if reason:
            reasons[reason] = reasons.get(reason, 0) + 1
        else:
            usable.append(e)
    return usable, reasons


def _own(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def _labelled_texts(path: Path) -> tuple[list[str], Ints]:
    """Texts and labels of a file to check on."""
    found = read_examples([path], "sentiment").used
    return [e.text for e in found], np.asarray([SENTIMENT.index(e.label) for e in found])


def folds(texts: Sequence[str], labels: Sequence[str], seed: int) -> Ints:
    """Fold of each text (n,): the labels spread evenly, and the same whatever the order of the examples."""
    order = sorted(range(len(texts)), key=lambda i: (labels[i], _hash(f"{seed} {same_text(texts[i])}")))
    result = np.zeros(len(texts), dtype=np.int64)
    result[order] = np.arange(len(texts)) % FOLDS
    return result


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _material(
    run: Run,
    bundle: Bundle,
    usable: Sequence[Labelled],
    replay: Path | None,
    folder: Path,
    seed: int,
    cache: Path,
) -> Material:
    # In the order of a hash, so that the same examples from other files are the same run.
    usable = sorted(usable, key=lambda e: _hash(same_text(e.text)))
    head = tune.scaled(bundle.sentiment)
    labels = np.asarray([SENTIMENT.index(e.label) for e in usable])
    own = {same_text(e.text) for e in usable}
    given = list(dict.fromkeys(t for t in read_table(replay)["text"].to_pylist() if t and t.strip())) if replay else []
    given = sorted(given, key=_hash)[:REPLAYED]
    rows = sorted(
        (r for r in _own(folder, "sentiment") if same_text(r["text"]) not in own), key=lambda r: _hash(r["text"])
    )
    rows = rows[: REPLAYED + WATCHED - len(given) // 2]
    texts = [*(r["text"] for r in rows), *given]
    run.tell("encoding the replayed texts", 0.04)
    replayed = _read(bundle, head, texts, cache)
    watched = np.asarray([int(_hash(f"watch {t}")[:8], 16) % (REPLAYED + WATCHED) < WATCHED for t in texts])
    run.tell("encoding the acceptance set", 0.1)
    frozen = _own(folder, "acceptance")
    acceptance = _read(bundle, head, [r["text"] for r in frozen], cache)
    run.tell("encoding your examples", 0.11)
    user = _read(bundle, head, [e.text for e in usable], cache)
    return Material(
        bundle,
        head,
        replace(user, targets=tune.one_hot(labels)),
        folds([e.text for e in usable], [e.label for e in usable], seed),
        replayed.part(np.flatnonzero(~watched)),
        replayed.part(np.flatnonzero(watched)),
        replace(acceptance, targets=tune.one_hot(np.asarray([SENTIMENT.index(r["label"]) for r in frozen]))),
    )


def _read(bundle: Bundle, head: SentimentHead, texts: Sequence[str], cache: Path) -> Texts:
    """Texts with their vectors, which are kept in the cache, and the champion's probabilities as targets.

    Texts without tokens have a vector of zeros.
    """
    tokens = tokenize(list(texts), bundle.tokenizer, bundle.max_tokens)
    path = cache / f"{bundle.info.digest[:16]}-{_hash(chr(0).join(texts))[:16]}.safetensors"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        save_file({"vectors": _vectors(tokens, bundle.encoder, len(head.weight[0]))}, fresh)
        fresh.replace(path)
    found = load_file(path)["vectors"]
    return Texts(texts, tokens, found, softmax(head.logits(found)).astype(np.float64))


def _vectors(tokens: Sequence[TokenizedText], encoder: Encoder, width: int) -> tune.Vectors:
    states = encode_texts(tokens, encoder)
    result = np.zeros((len(tokens), width), dtype=np.float32)
    for row, found in enumerate(states):
        if len(found):
            result[row] = found.mean(axis=0)
    return result


# ---------------------------------------------------------------------------------------------------------------- head


def _fit(m: Material, rows: Ints, pull: float) -> SentimentHead:
    user = m.user.part(rows)
    return tune.fit_head(user.vectors, user.targets, m.replay.vectors, m.replay.targets, m.head, pull)


def _head_way(run: Run, m: Material) -> Way:
    """What heads of each pull say of the fold that they have not learnt from."""

    def make() -> Arrays:
        logits = np.zeros((len(tune.PULLS), len(m.folds), 3), dtype=np.float32)
        for fold in range(FOLDS):
            inside = m.folds == fold
            for p, pull in enumerate(tune.PULLS):
                head = _fit(m, np.flatnonzero(~inside), pull)
                logits[p, inside] = head.logits(m.user.vectors[inside])
        return {"logits": logits}

    found = run.arrays("heads", make)["logits"]
    return Way(np.arange(len(m.folds)), dict(zip(tune.PULLS, found, strict=True)))


def _way_figures(way: Way, m: Material, key: str = "by_share") -> dict[str, Any]:
    truth = m.user.labels[way.rows]
    return {
        "examples": len(way.rows),
        "log_loss_before": round(tune.log_loss(m.head.logits(m.user.vectors[way.rows]), m.user.targets[way.rows]), 4),
        key: {
            f"{setting:g}": {
                "log_loss": round(tune.log_loss(found, m.user.targets[way.rows]), 4),
                "macro_f1": round(gate.macro_f1(truth, found.argmax(axis=1)), 4),
            }
            for setting, found in way.logits.items()
        },
    }


# ------------------------------------------------------------------------------------------------------------- encoder


def _halves(champion: Path, m: Material) -> tune.Halves | None:
    """The champion in floats; None where its bundle was stored without them."""
    if not (champion / "weights.safetensors").is_file():
        return None
    network = Network(str(champion))
    network.load_state_dict({k: v.float() for k, v in load_torch(champion / "weights.safetensors").items()})
    tune.set_head(network, m.head)
    recipe = tune.Recipe()
    return tune.Halves(network.eval(), _special(m.bundle), recipe.layers, recipe.most_tokens)


def _special(bundle: Bundle) -> tune.Special:
    ids = special_tokens(bundle.tokenizer)
    return ids["cls"], ids["sep"], ids["pad"]


def _encoder_way(
    run: Run, m: Material, halves: tune.Halves, rival: NDArray[np.float32], report: dict[str, Any]
) -> tuple[Way, Arrays] | None:
    """What tuned encoders say of examples that they have not learnt from, and the weights of one; None: no gain.

    rival: logits (n, 3) that they have to be better than. Only the shares that are stay in the way.
    """
    try:
        found = _tuned_encoder(run, m, halves, rival, report)
    except tune.OutOfTimeError:
        report["encoder"] = report.get("encoder", {}) | {"why": "the budget does not allow it"}
        return None
    report["encoder"]["why"] = "it is better than the head alone" if found else "it is no better than the head alone"
    return found


def _tuned_encoder(
    run: Run, m: Material, halves: tune.Halves, rival: NDArray[np.float32], report: dict[str, Any]
) -> tuple[Way, Arrays] | None:
    many = len(m.folds) >= MANY
    took = time.monotonic()
    # Few examples are learnt twice at least: without one fold, to see whether it pays, and all together.
    first = _fold(run, m, halves, 0, run.left / (1 if many else 2.5), (0.17, 0.7 if many else 0.3))
    took = time.monotonic() - took
    report["encoder"] = _way_figures(first, m)
    if many:
        way = _paying(first, rival, m, 1 - PAYS)
        return (way, run.arrays("fold-0", dict)) if way else None
    if not _paying(first, rival, m, HOPELESS):
        return None
    parts = [first]
    for fold in range(1, FOLDS):
        if run.left < took * (FOLDS - fold + 1.5):
            break
        parts.append(_fold(run, m, halves, fold, run.left / 2, (0.2 + 0.1 * fold, 0.3 + 0.1 * fold)))
    joined = Way(
        np.concatenate([p.rows for p in parts]),
        {share: np.concatenate([p.logits[share] for p in parts]) for share in first.logits},
    )
    report["encoder"] = _way_figures(joined, m)
    way = _paying(joined, rival, m, 1 - PAYS)
    if way is None:
        return None
    head = _fit(m, np.arange(len(m.folds)), START)
    return way, run.arrays("all", lambda: _learn(run, m, halves, head, m.folds >= 0, "all", run.left, (0.6, 0.7)))


def _paying(way: Way, rival: NDArray[np.float32], m: Material, most: float) -> Way | None:
    """The shares that leave at most `most` of the log loss that the rival leaves on the same examples."""
    limit = most * tune.log_loss(rival[way.rows], m.user.targets[way.rows])
    kept = {key: way.logits[key] for key, loss in way.losses(m.user.targets).items() if loss <= limit}
    return Way(way.rows, kept) if kept else None


def _fold(
    run: Run,
    m: Material,
    halves: tune.Halves,
    fold: int,
    seconds: float,
    span: tuple[float, float],
) -> Way:
    rows = np.flatnonzero(m.folds == fold)

    def make() -> Arrays:
        head = _fit(m, np.flatnonzero(m.folds != fold), START)
        learnt = _learn(run, m, halves, head, m.folds != fold, f"fold-{fold}", seconds, span)
        held = m.user.part(rows).tokens
        for share in tune.MIXTURES:
            mixture = tune.mixed(halves.champion, tune.with_weights(halves.champion, learnt), share)
            found = halves.vectors(mixture, held)
            learnt[f"logits {share:g}"] = tune.head_of(mixture).logits(found)
        return learnt

    found = run.arrays(f"fold-{fold}", make)
    return Way(rows, {share: found[f"logits {share:g}"] for share in tune.MIXTURES})


def _learn(
    run: Run,
    m: Material,
    halves: tune.Halves,
    head: SentimentHead,
    inside: NDArray[np.bool_],
    name: str,
    seconds: float,
    span: tuple[float, float],
) -> Arrays:
    """The weights that have moved after learning the examples `inside`."""
    if seconds <= 0:
        raise tune.OutOfTimeError
    user = m.user.part(np.flatnonzero(inside))
    lesson = tune.Lesson(user.tokens, user.targets, m.replay.tokens, m.replay.targets)

    def show(done: int, steps: int) -> None:
        run.tell(f"tuning the encoder ({name})", span[0] + (span[1] - span[0]) * done / steps)

    checkpoint = run.folder / f"checkpoint-{name}"
    student = tune.tune(halves, head, lesson, tune.Recipe(), checkpoint=checkpoint, seconds=seconds, progress=show)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return {k: v.detach().numpy() for k, v in student.named_parameters() if v.requires_grad}


# -------------------------------------------------------------------------------------------------------------- mixing


@dataclass(frozen=True)
class Chosen:
    """The challenger: head with its temperature, network where the encoder moved. key: its pull, or its share.

    logits: uncalibrated, of the examples `rows`, which it has not learnt from (n_rows, 3); acceptance, watch: of the
    frozen set and of the watched texts.
    """

    key: float
    head: SentimentHead
    network: Network | None
    rows: Ints
    logits: NDArray[np.float32]
    acceptance: NDArray[np.float32]
    watch: NDArray[np.float32]

    @property
    def probabilities(self) -> Floats:
        """Calibrated, of the examples that it has not learnt from, (n_rows, 3)."""
        return softmax(self.logits / self.head.temperature).astype(np.float64)


def _chosen(m: Material, way: Way, halves: tune.Halves | None = None, weights: Arrays | None = None) -> Chosen | None:
    """What is best on the user's examples among what leaves the old skills as they are."""
    before = _watch_logits(m, m.head, halves, halves.champion if halves else None)
    candidates = (_candidate(m, way, key, halves, weights) for key in way.losses(m.user.targets))
    return next((c for c in candidates if _keeps(m, before, (c.acceptance, c.watch))), None)


def _candidate(
    m: Material, way: Way, key: float, halves: tune.Halves | None = None, weights: Arrays | None = None
) -> Chosen:
    """A head of one pull, or champion and tuned encoder at one share; each with a temperature of its own."""
    if halves is not None and weights is not None:
        mixture = tune.mixed(halves.champion, tune.with_weights(halves.champion, weights), key)
        head = tune.head_of(mixture)
    else:
        mixture, head = None, _fit(m, np.arange(len(m.folds)), key)
    acceptance, watch = _watch_logits(m, head, halves, mixture)
    targets = np.concatenate([m.user.targets[way.rows], m.watch.targets])
    temperature = _temperature(np.concatenate([way.logits[key], watch]), targets, len(way.rows))
    return Chosen(key, replace(head, temperature=temperature), mixture, way.rows, way.logits[key], acceptance, watch)


def _watch_logits(
    m: Material, head: SentimentHead, halves: tune.Halves | None, network: Network | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits of the acceptance set and of the watched texts; without a network the champion's vectors are read."""
    parts = (m.acceptance, m.watch)
    if halves is None or network is None:
        a, b = (head.logits(part.vectors) for part in parts)
    else:
        a, b = (head.logits(halves.vectors(network, part.tokens)) for part in parts)
    return a, b


def _keeps(m: Material, before: tuple[Any, Any], after: tuple[Any, Any]) -> bool:
    """Whether acceptance set and watched texts are read as before, by the rules of the gate."""
    said, now = (found[0].argmax(axis=1) for found in (before, after))
    agreement = float((before[1].argmax(axis=1) == after[1].argmax(axis=1)).mean())
    return gate.not_worse("", "", m.acceptance.labels, said, now).passed and agreement >= gate.LEAST_AGREEMENT


def _temperature(logits: NDArray[np.float32], targets: Floats, users: int) -> float:
    """The temperature under which the user's examples and the watched texts, each half, have the least log loss."""
    weight = np.concatenate([np.full(users, 0.5 / users), np.full(len(logits) - users, 0.5 / (len(logits) - users))])
    return calibrate.soft_temperature(logits, targets, weight)


# ---------------------------------------------------------------------------------------------------------- the bundle


def _bundle_of(run: Run, champion: Path, m: Material, chosen: Chosen, report: dict[str, Any]) -> Path:
    """Writes the challenger's bundle, whole or not at all."""
    final, fresh = run.folder / "bundle", run.folder / "bundle.new"
    if (final / "bundle.json").is_file():
        return final
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    meta = manifest(champion)
    names = [n for n in ("tokenizer.json", "config.json", "encoder.onnx") if (champion / n).is_file()]
    for name in names if chosen.network is None else names[:2]:
        shutil.copy(champion / name, fresh / name)
    if chosen.network is not None:
        texts = [*m.user.tokens[:150], *m.replay.tokens[:150]]
        windows = [t.ids[a:b] for t in texts for a, b in t.windows]
        export(chosen.network, windows, _special(m.bundle), fresh / "encoder.onnx")
    arrays = load_file(champion / "heads.safetensors")
    arrays["sentiment.weight"], arrays["sentiment.bias"] = chosen.head.weight, chosen.head.bias
    arrays["sentiment.temperature"] = np.asarray([chosen.head.temperature], dtype=np.float32)
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, fresh / "heads.safetensors")
    _write_weights(champion, chosen, fresh)
    _write_records(champion, meta, chosen, m, report, fresh)
    load_bundle(fresh)
    shutil.rmtree(final, ignore_errors=True)
    fresh.rename(final)
    return final


def _write_weights(champion: Path, chosen: Chosen, out: Path) -> None:
    if not (champion / "weights.safetensors").is_file():
        return
    weights = load_torch(champion / "weights.safetensors")
    if chosen.network is not None:
        weights |= chosen.network.state_dict()
    weights["sentiment.weight"] = torch.from_numpy(chosen.head.weight)
    weights["sentiment.bias"] = torch.from_numpy(chosen.head.bias)
    save_torch({k: v.half().contiguous() for k, v in weights.items()}, out / "weights.safetensors")


def _write_records(
    champion: Path, meta: dict[str, Any], chosen: Chosen, m: Material, report: dict[str, Any], out: Path
) -> None:
    """figures.json, training.json, the drift reference and bundle.json."""
    truth = m.user.labels[chosen.rows]
    predicted = chosen.probabilities.argmax(axis=1)
    own = {"n": len(truth), "macro_f1": round(gate.macro_f1(truth, predicted), 4)}
    write_json(out / "figures.json", {"sentiment": {"own_examples": {"bundle": own}}})
    started = champion / "training.json"
    record = {
        "retrain": {k: report[k] for k in ("task", "champion", "examples", "options", "head", "mixing")},
        "start": json.loads(started.read_text(encoding="utf-8")) if started.is_file() else None,
    }
    write_json(out / "training.json", record)
    files = {p.name: file_digest(p) for p in sorted(out.iterdir())}
    version = f"{meta['version'].split('+')[0]}+{bundle_digest(files)[:8]}"
    write_json(
        out / "bundle.json",
        meta
        | {
            "version": version,
            "created": time.strftime("%Y-%m-%d"),
            "parent": bundle_digest(meta["files"]),
            "files": files,
            "digest": bundle_digest(files),
        },
    )
    reference = load_reference(champion)
    if reference is not None:
        # Lengths and words of the training texts are the same; the champion's labels of them stand in for its own.
        text = replace(reference, digest=served_digest(files)).to_json()
        (out / REFERENCE).write_text(text, encoding="utf-8")


# ------------------------------------------------------------------------------------------------------------ the gate


def _gate(
    run: Run,
    champion: Path,
    folder: Path,
    m: Material,
    heads: Way,
    chosen: Chosen,
    checked: dict[str, tuple[list[str], Ints]],
    report: dict[str, Any],
    cache: Path,
) -> list[Check]:
    """Every comparison of champion and challenger; figures for the report are added to it."""
    old, new = Scorer(m.bundle), Scorer.load(folder)
    truth = m.user.labels
    before = softmax(m.head.logits(m.user.vectors)).astype(np.float64)
    surely = gate.doubtful(
        truth, before, softmax(heads.logits[next(iter(heads.losses(m.user.targets)))]).astype(np.float64)
    )
    rows = chosen.rows
    checks = [
        gate.clean(surely),
        gate.better(truth[rows], before[rows].argmax(axis=1), chosen.probabilities.argmax(axis=1)),
    ]
    report["own_examples"] = {
        "n": len(rows),
        "gain": dict(zip(("gain", "low", "high"), gate.gain_interval(
            truth[rows], before[rows].argmax(axis=1), chosen.probabilities.argmax(axis=1)), strict=True)),
        "champion": figures(before[rows], truth[rows]),
        "challenger": figures(chosen.probabilities, truth[rows]),
        "doubtful": int(surely.sum()),
    }  # fmt: skip
    report["sets"] = {}
    sets = {"acceptance": (list(m.acceptance.raw), m.acceptance.labels), **checked}
    for name, (texts, labels) in sets.items():
        run.tell(f"comparing on {Path(name).name}", 0.88)
        a, b = (_probabilities(s, texts) for s in (old, new))
        report["sets"][name] = {"champion": figures(a, labels), "challenger": figures(b, labels)}
        said = [p.argmax(axis=1) for p in (a, b)]
        checks.append(gate.not_worse(name, f"macro F1 on {Path(name).name}", labels, said[0], said[1]))
    for what, found in (("your examples", report["own_examples"]), ("acceptance", report["sets"]["acceptance"])):
        one, other = (found[who]["ece"] for who in ("champion", "challenger"))
        checks.append(gate.calibrated(what, one, other, found["champion"]["n"]))
    run.tell("comparing behaviour", 0.92)
    checks.append(_behaviour(old, new, report, cache))
    a, b = (_probabilities(s, list(m.watch.raw)).argmax(axis=1) for s in (old, new))
    same = float((a == b).mean())
    what = "share of replayed texts with the champion's label"
    checks.append(gate.at_least("agreement", what, same, gate.LEAST_AGREEMENT))
    if chosen.network is not None:
        run.tell("comparing conduct and speed", 0.97)
        texts = [*m.watch.raw[:200], *m.user.raw[:200]]
        agreed = _cues_agree(old, new, texts)
        checks.append(gate.at_least("conduct", "F1 of cues against the champion's", agreed, gate.LEAST_CONDUCT))
        checks.append(_speed(m.bundle, new.bundle, texts))
    return checks


def figures(probabilities: Floats, truth: Ints) -> dict[str, Any]:
    """Macro F1, F1 by label, calibration error and its bins. probabilities (n, 3), truth (n,)."""
    predicted = probabilities.argmax(axis=1)
    confidence, right = probabilities.max(axis=1), predicted == truth
    which = np.minimum((confidence * 10).astype(int), 9)
    by_label = {
        name: round(gate.label_f1(truth, predicted, i), 4) for i, name in enumerate(SENTIMENT) if (truth == i).any()
    }
    return {
        "n": len(truth),
        "macro_f1": round(gate.macro_f1(truth, predicted), 4),
        "f1": by_label,
        "ece": round(calibrate.expected_calibration_error(probabilities, truth), 4),
        "reliability": [
            {
                "confidence": round(float(confidence[which == b].mean()), 4),
                "accuracy": round(float(right[which == b].mean()), 4),
                "n": int((which == b).sum()),
            }
            for b in range(10)
            if (which == b).any()
        ],
    }


def _probabilities(scorer: Scorer, texts: Sequence[str]) -> Floats:
    found = scorer.sentiment(list(texts))
    return np.asarray([(s.negative, s.neutral, s.positive) if s else (0.0, 1.0, 0.0) for s in found])


def _behaviour(old: Scorer, new: Scorer, report: dict[str, Any], cache: Path) -> Check:
    path = cache / f"failed-{old.info.digest[:16]}.json"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        write_json(path, behaviour.failed_cases(old))
    before, after = json.loads(path.read_text(encoding="utf-8")), behaviour.failed_cases(new)
    failed = [np.concatenate([found[name] for name in after]).astype(bool) for found in (before, after)]
    check = gate.fails_no_more(failed[0], failed[1])
    report["behaviour"] = {
        "cases": sum(map(len, after.values())),
        "champion": check.champion,
        "challenger": check.challenger,
        "changed": {
            name: [sum(before[name]), sum(now), len(now)]
            for name, now in after.items()
            if sum(before[name]) != sum(now)
        },
    }
    return check


def _cues_agree(old: Scorer, new: Scorer, texts: Sequence[str]) -> float:
    """F1 of the cues that `new` finds against those of `old`, by text; 1 where neither finds any."""
    hits = found = 0
    for a, b in zip(old.conduct(texts), new.conduct(texts), strict=True):
        x, y = ({(c.cue, c.value, c.state) for c in reading.cues} for reading in (a, b))
        hits += 2 * len(x & y)
        found += len(x) + len(y)
    return hits / found if found else 1.0


def _speed(old: Bundle, new: Bundle, texts: Sequence[str]) -> Check:
    tokens = tokenize(list(texts)[:100], old.tokenizer, old.max_tokens)
    took: list[list[float]] = [[], []]
    for _ in range(3):
        for which, bundle in enumerate((old, new)):
            start = time.perf_counter()
            encode_texts(tokens, bundle.encoder)
            took[which].append(time.perf_counter() - start)
    a, b = (len(tokens) / min(t) for t in took)
    words = f"texts a second {a:.0f} → {b:.0f} (may fall by {1 - 1 / gate.SLOWER:.0%})"
    return Check("speed", b >= a / gate.SLOWER, words, a, b, a / gate.SLOWER)
