"""Retrains the sentiment of a bundle: the head, and the upper half of the encoder where it pays.

The head is fitted first, on frozen vectors; then the upper half of the encoder, if the time allows it and it pays on
texts that were left out. Texts of our own with the champion's soft labels are learnt beside the user's, and the result
is a mean of the champion's weights and the new ones, as near to the new ones as old skills allow.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
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
from model.encoder import encode_texts
from model.scorer import Scorer
from model.segment import tokenize
from model.sentiment import SentimentHead, softmax
from training import behaviour, calibrate, cues, gate, tune
from training.export import export
from training.fit import special_tokens
from training.gate import Check
from training.material import FOLDS, Floats, Ints, Material
from training.network import Network
from training.run import Arrays, Run, write_json

MANY: Final = 400
"""Examples from which one fold, a quarter of them, is left out of the encoder's lesson instead of each in turn."""
PAYS: Final = 0.01
"""Share of the log loss that the encoder must take off what the head alone leaves."""
HOPELESS: Final = 1.02
"""Log loss relative to the head's on one fold from which the others are not tried."""
OLD_SKILLS: Final = ("acceptance", "behaviour", "agreement", "conduct")
"""Checks of the gate that a smaller step may pass where a larger one fails."""
FEW: Final = 200
"""Examples that have a quarter of the say in the temperature; with very many it is a half."""
START: Final = 3.0
"""Pull of the head that the encoder's lesson starts with: it moves on with the encoder."""


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


def challenger(
    run: Run,
    champion: Path,
    m: Material,
    checked: dict[str, tuple[list[str], Ints]],
    report: dict[str, Any],
    cache: Path,
) -> tuple[Path, list[Check]]:
    """Trains, writes the bundle and compares it with the champion; figures are added to the report.

    checked: texts and labels to compare on, by file.
    """
    run.tell("fitting the head", 0.15)
    heads = _head_way(run, m)
    report["head"] = _way_figures(heads, m, "by_pull")
    chosen = next(_kept(m, heads), None)
    report["head"]["pull"] = chosen.key if chosen else None
    attempts: list[Chosen] = [chosen] if chosen else []
    halves = _halves(champion, m)
    if halves is not None:
        rival = chosen.logits if chosen else m.head.logits(m.user.vectors)
        found = _encoder_way(run, m, halves, rival, report)
        run.tell("mixing with the champion", 0.72)
        kept = list(_kept(m, found[0], halves, found[1])) if found else []
        if found and not kept:
            report["encoder"]["why"] += ", but no share of it leaves the old skills as they are"
        attempts = [*kept, *attempts]
    # Where nothing leaves the old skills as they are, the smallest step is shown to the gate, which will say so.
    attempts = attempts or [_candidate(m, heads, max(heads.logits))]

    def show(chosen: Chosen, tried: Sequence[dict[str, Any]]) -> tuple[Path, list[Check]]:
        moved = chosen.network is not None
        report["mixing"] = {"encoder_moved": moved, "share": chosen.key if moved else None, "tried": [*tried]}
        run.tell("writing the bundle", 0.78)
        folder = _bundle_of(run, champion, m, chosen, report)
        run.tell("comparing", 0.85)
        return folder, _gate(run, folder, m, heads, chosen, checked, report, cache)

    return first_harmless(attempts, (*OLD_SKILLS, *checked), show)


def first_harmless(
    attempts: Sequence["Chosen"],
    skills: Sequence[str],
    show: Callable[["Chosen", Sequence[dict[str, Any]]], tuple[Path, list[Check]]],
) -> tuple[Path, list[Check]]:
    """What `show` makes of the first attempt that passes the checks of old skills, else of the last that was shown.

    attempts: at least one. skills: names of those checks. show: makes the bundle of an attempt and compares it, told
    what was tried before. After a share that fails only smaller ones are tried, and the head alone.
    """
    tried: list[dict[str, Any]] = []
    shown: tuple[Path, list[Check]] | None = None
    for chosen in attempts:
        share = chosen.key if chosen.network is not None else None
        if tried and share is not None and share >= tried[-1]["share"]:
            continue
        shown = show(chosen, tried)
        failed = [check.name for check in shown[1] if not check.passed and check.name in skills]
        if not failed or share is None:
            break
        tried.append({"share": share, "failed": failed})
    if shown is None:
        raise ValueError("no attempts")
    return shown


# ----------------------------------------------------------------------------------------------------------------- head


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


# -------------------------------------------------------------------------------------------------------------- encoder


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
        try:
            parts.append(_fold(run, m, halves, fold, run.left / 2, (0.2 + 0.1 * fold, 0.3 + 0.1 * fold)))
        except tune.OutOfTimeError:
            # The folds that are there are evidence enough to go on with, if the gate finds the interval narrow enough.
            break
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


# --------------------------------------------------------------------------------------------------------------- mixing


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


def _kept(m: Material, way: Way, halves: tune.Halves | None = None, weights: Arrays | None = None) -> Iterator[Chosen]:
    """What leaves the old skills as they are, the best on the user's examples first."""
    before = _watch_logits(m, m.head, halves, halves.champion if halves else None)
    candidates = (_candidate(m, way, key, halves, weights) for key in way.losses(m.user.targets))
    return (c for c in candidates if _keeps(m, before, (c.acceptance, c.watch)))


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
    """The temperature under which the user's examples and the watched texts have the least log loss, by their shares.

    Few examples say little about how sure to be: their share grows with their number, to a half at the most.
    """
    share, others = 0.5 * users / (users + FEW), len(logits) - users
    weight = np.concatenate([np.full(users, share / users), np.full(others, (1 - share) / others)])
    return calibrate.soft_temperature(logits, targets, weight)


# ----------------------------------------------------------------------------------------------------------- the bundle


def _bundle_of(run: Run, champion: Path, m: Material, chosen: Chosen, report: dict[str, Any]) -> Path:
    """Writes the challenger's bundle, whole or not at all."""
    final, fresh = run.folder / "bundle", run.folder / "bundle.new"
    if (final / "bundle.json").is_file():
        record = json.loads((final / "training.json").read_text(encoding="utf-8"))
        if record["retrain"]["mixing"] == report["mixing"]:
            return final
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    meta = manifest(champion)
    names = ("tokenizer.json", "config.json", "exact.onnx", *(("encoder.onnx",) if chosen.network is None else ()))
    for name in names:
        if (champion / name).is_file():
            shutil.copy(champion / name, fresh / name)
    if chosen.network is not None:
        texts = [*m.user.tokens[:150], *m.replay.tokens[:150]]
        windows = [t.ids[a:b] for t in texts for a, b in t.windows]
        export(chosen.network, windows, _special(m.bundle), fresh)
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


# ------------------------------------------------------------------------------------------------------------- the gate


def _gate(
    run: Run,
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
        agreed, found = cues.agreement(old, new, texts)
        if found >= gate.FEWEST_CUES:
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


def _speed(old: Bundle, new: Bundle, texts: Sequence[str]) -> Check:
    """Of processor time, which other programs take little from; the encoders have a thread each."""
    tokens = tokenize(list(texts)[:100], old.tokenizer, old.max_tokens)
    took: list[list[float]] = [[], []]
    for _ in range(3):
        for which, bundle in enumerate((old, new)):
            start = time.process_time()
            encode_texts(tokens, bundle.encoder)
            took[which].append(time.process_time() - start)
    a, b = (len(tokens) / min(t) for t in took)
    words = f"texts a second of a core {a:.0f} → {b:.0f} (may fall by {1 - 1 / gate.SLOWER:.0%})"
    return Check("speed", b >= a / gate.SLOWER, words, a, b, a / gate.SLOWER)
