"""`amends doctor`: what this machine and this installation offer, what was picked for them and why, and what to do."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from model.host import Host, host
from model.types import InputError
from service.settings import CHAMPION, Settings

if TYPE_CHECKING:
    from model.scorer import Scorer

State = Literal["ok", "warning", "problem"]

# A worker of the service with the released bundle holds about this much; opening it needs some more.
WORKER_BYTES: Final = 400 * 2**20
SPARE_BYTES: Final = 2**30
EXTRAS: Final = {
    "train": ("torch", "transformers", "datasets", "onnx", "onnxscript", "sklearn"),
    "evaluate": ("matplotlib", "sklearn", "textblob", "vaderSentiment"),
    "ray": ("ray",),
    "postgres": ("psycopg",),
    "otel": ("opentelemetry.exporter.otlp.proto.http",),
    "review": ("cleanlab", "sklearn"),
}
THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
X86: Final = ("x86_64", "AMD64")
AUTOGROUP: Final = Path("/proc/sys/kernel/sched_autogroup_enabled")
GPUS: Final = (Path("/dev/nvidiactl"), Path("/dev/kfd"))
# Plain cases: a bundle that reads them otherwise is broken, or runs on arithmetic that is.
EXPECTED: Final = {
    "Great help, thank you! I would buy here again.": "positive",
    "The staff were friendly and the refund came the same day.": "positive",
    "I love this kettle, it works perfectly.": "positive",
    "Excellent service from start to finish, highly recommended.": "positive",
    "Awful. They ignored me for weeks.": "negative",
    "It broke after two days and nobody answers my letters. Never again.": "negative",
    "The worst airline that I have ever flown with, they lost my bag twice.": "negative",
    "Rude staff, cold food and a bill that was wrong.": "negative",
    "The shop opens at nine and closes at six.": "neutral",
    "Delivery is scheduled for Tuesday between 9 and 12.": "neutral",
    "The meeting was moved to the second floor.": "neutral",
    "I bought it in March and it came in a grey box.": "neutral",
}
# Fewer are a sign of a fault and not of an opinion.
ENOUGH_EXPECTED: Final = 11
TIMED_ROUNDS: Final = 8


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. advice: what to do, where something is to be done."""

    name: str
    state: State
    found: str
    advice: str | None = None


def examine(bundle: Path | None, load: Callable[..., "Scorer"], env: Mapping[str, str] | None = None) -> list[Check]:
    """All checks, in the order to read them. bundle: None for the one that the service would open."""
    env = os.environ if env is None else env
    here = host()
    settings, unusable = _settings(env)
    checks = [_processor(here), _cores(here), *_memory(here, settings), *unusable, _threads(here, settings, env)]
    checks += [*_autogroup(), *_gpu(), _runtime(here), _batches(here), *_bundle(bundle, settings, load)]
    checks += [_database(settings), *_extras()]
    return checks


def to_dict(checks: Sequence[Check]) -> dict[str, Any]:
    """What --json prints."""
    return {"state": worst(checks), "checks": [asdict(check) for check in checks]}


def worst(checks: Sequence[Check]) -> State:
    """The worst state of all."""
    states = {check.state for check in checks}
    return "problem" if "problem" in states else "warning" if "warning" in states else "ok"


def doctor_text(checks: Sequence[Check]) -> str:
    """A line for each check, and one below it with what to do."""
    width = max(len(check.name) for check in checks)
    lines: list[str] = []
    for check in checks:
        lines.append(f"{check.state:7}  {check.name:{width}}  {check.found}")
        if check.advice:
            lines.append(f"{'':9}{'':{width}}  -> {check.advice}")
    number = sum(check.state != "ok" for check in checks)
    return "\n".join([*lines, "", "nothing to do" if not number else f"to look at: {number}", ""])


def _settings(env: Mapping[str, str]) -> tuple[Settings, list[Check]]:
    try:
        return Settings.from_env(env), []
    except InputError as error:
        advice = f"expected {error.expected}" if error.expected else None
        return Settings(), [Check("settings", "problem", error.message, advice)]


def _processor(here: Host) -> Check:
    names = ", ".join(here.features) or "no known features"
    if here.eight_bit is not None:
        return Check("processor", "ok", f"{here.processor}: {names}; 8-bit products by {here.eight_bit}")
    if "AVX2" in here.features:
        return Check("processor", "ok", f"{here.processor}: {names}; 8-bit products in three steps, for want of VNNI")
    advice = "scoring is slow without AVX2 or Arm dot products; another machine, or a virtual one that passes them on"
    return Check("processor", "warning", f"{here.processor}, {here.architecture}: {names}", advice)


def _cores(here: Host) -> Check:
    limit = "no limit of a container" if here.quota is None else f"the container may use {here.quota:g}"
    found = f"{here.cores} of {here.online} can be used; {limit}"
    if here.quota is not None and here.quota % 1:
        advice = "a fraction of a core stops the service in the middle of each period: allow whole cores"
        return Check("cores", "warning", found, advice)
    return Check("cores", "ok", found)


def _memory(here: Host, settings: Settings) -> Iterator[Check]:
    limits = [m for m in (here.available, here.memory_limit) if m is not None]
    if not limits:
        return
    free, wanted = min(limits), WORKER_BYTES * settings.workers
    found = f"{_gb(free)} to be had, {_gb(wanted)} wanted for {settings.workers} worker{'s' * (settings.workers > 1)}"
    if free < wanted:
        yield Check("memory", "problem", found, "fewer workers (AMENDS_WORKERS), or more memory")
    elif free < wanted + SPARE_BYTES:
        yield Check("memory", "warning", found, "large pages and batches want 1 GB more; end something else")
    else:
        yield Check("memory", "ok", found)


def _gb(size: int) -> str:
    return f"{size / 2**30:.1f} GB"


def _threads(here: Host, settings: Settings, env: Mapping[str, str]) -> Check:
    inside = settings.scoring_threads
    found = f"{settings.workers} x {inside} of the service on {here.cores} cores, one each"
    set_to = {name: env[name] for name in THREAD_VARIABLES if env.get(name)}
    many = {name: value for name, value in set_to.items() if value.isdigit() and int(value) > here.cores}
    if many:
        listed = ", ".join(f"{name}={value}" for name, value in many.items())
        advice = "threads that wait for each other on too few cores cost tenfold: set them to 1"
        return Check("threads", "warning", f"{listed} on {here.cores} cores", advice)
    if settings.workers * inside > here.cores:
        return Check("threads", "warning", found, "AMENDS_WORKERS times AMENDS_THREADS should not exceed the cores")
    return Check("threads", "ok", found)


def _autogroup() -> Iterator[Check]:
    try:
        on = AUTOGROUP.read_text(encoding="ascii").strip() == "1"
    except OSError:
        return
    found = "the system shares the processor out by session: nice has no effect between sessions"
    if on:
        yield Check("sessions", "ok", found)


def _gpu() -> Iterator[Check]:
    if not any(path.exists() for path in GPUS):
        return
    if not _there("torch") or not _there("transformers"):
        advice = 'pip install -e ".[train]" and the build of torch for it; then `amends batch --device cuda`'
        yield Check("GPU", "warning", "one is there, torch is not", advice)
        return
    from model.torch_encoder import gpu_name

    if name := gpu_name():
        yield Check("GPU", "ok", f"{name}: `amends batch` takes it by itself")
    else:
        yield Check("GPU", "warning", "one is there, this build of torch can't use it", "the CUDA build of torch")


def _runtime(here: Host) -> Check:
    import onnxruntime

    from model.native_encoder import UnsuitedError, bfloat_kernel, kernel

    runtime = f"ONNX Runtime {onnxruntime.__version__}"
    try:
        again = bfloat_kernel() or f"{runtime} in floats"
        return Check("engine", "ok", f"kernels of our own for {kernel()}; {again} for the second look at close calls")
    except UnsuitedError as error:
        why = (
            f"its kernels use {here.eight_bit}"
            if here.eight_bit
            else "the smallest graph, and the fastest that is here"
        )
        found = f"{runtime} on the CPU, the 8-bit graph: {why}. Not the kernels of our own: {error}"
    advice = None
    if here.architecture in X86:
        gain = "two to four times as fast" if "AMX 8 bit" in here.features else "a third faster"
        advice = f"install gcc (apt-get install gcc) and Amends once more (pip install -e .): scoring is {gain}"
    return Check("engine", "ok", found, advice)


def _batches(here: Host) -> Check:
    from model.encoder import BATCH_TOKENS, BATCH_WINDOWS
    from model.native_encoder import GROUP_TOKENS

    cache = here.caches.get(2)
    beside = f"; L2 of {cache / 2**20:g} MiB" if cache else ""
    sizes = f"{GROUP_TOKENS} tokens without padding (ONNX Runtime: {BATCH_WINDOWS} windows, {BATCH_TOKENS} tokens)"
    found = f"up to {sizes}{beside}"
    return Check("batches", "ok", f"{found}: larger ones leave the cache, smaller ones read the weights too often")


def _bundle(bundle: Path | None, settings: Settings, load: Callable[..., "Scorer"]) -> Iterator[Check]:
    try:
        scorer = load(_folder(bundle, settings))
    except (InputError, OSError) as error:
        from service.files import error_line

        yield Check("bundle", "problem", error_line(error), "install again, or name another with --bundle")
        return
    yield Check("bundle", "ok", f"{scorer.info.version} ({scorer.info.digest[:12]}), digests as stated")
    yield from _self_test(scorer)


def _folder(bundle: Path | None, settings: Settings) -> Path | None:
    from service.registry import Registry, bundle_folder

    return bundle_folder(bundle or settings.bundle or Path(CHAMPION), Registry(settings.models))


def _self_test(scorer: "Scorer") -> Iterator[Check]:
    """Plain cases, and the CPU time of more of them; about a second."""
    labels = [s.label if s else "none" for s in scorer.sentiment(list(EXPECTED))]
    right = sum(found == wanted for found, wanted in zip(labels, EXPECTED.values(), strict=True))
    found = f"{right} of {len(EXPECTED)} plain texts have the expected label"
    if right < ENOUGH_EXPECTED:
        advice = "the bundle doesn't suit these tasks, or the arithmetic of this machine fails: try the released bundle"
        yield Check("self-test", "problem", found, advice)
    else:
        yield Check("self-test", "ok", found)
    # None twice, so that nothing is answered from memory.
    texts = [f"{text} ({number})" for number in range(TIMED_ROUNDS) for text in EXPECTED]
    start, used = time.perf_counter(), time.process_time()
    scorer.sentiment(texts)
    wall, cpu = time.perf_counter() - start, time.process_time() - used
    tokens = sum(len(e.ids) for e in scorer.bundle.tokenizer.encode_batch(texts, add_special_tokens=False)) / len(texts)
    rate = f"{len(texts) / cpu:,.0f} texts of {tokens:.0f} tokens a second of one core"
    if wall > 2 * cpu:
        advice = "other programs take the cores: fewer workers, or a machine of its own"
        yield Check("speed", "warning", f"{rate}; by the clock {len(texts) / wall:,.0f}", advice)
    else:
        yield Check("speed", "ok", rate)


def _database(settings: Settings) -> Check:
    """Whether the service could keep feedback and jobs; nothing is made."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    from service.store import revision

    try:
        url = make_url(settings.database)
        if url.get_backend_name() == "sqlite" and url.database:
            file = Path(url.database)
            place = file if file.exists() else next(p for p in file.absolute().parents if p.exists())
            if not os.access(place, os.W_OK):
                advice = "AMENDS_STATE or AMENDS_DATABASE_URL: a place that this user may write to"
                return Check("database", "problem", f"{place} can't be written to", advice)
            if not file.exists():
                return Check("database", "ok", f"{file}, made when the service first starts")
        tables = revision(settings.database)
    except ArgumentError:
        # Without the value: it may hold a password.
        return Check("database", "problem", "AMENDS_DATABASE_URL is no URL of a database", "see docs/http.md")
    except InputError as error:
        from service.files import error_line

        return Check("database", "problem", error_line(error), "AMENDS_DATABASE_URL, see docs/http.md")
    place_name = url.render_as_string(hide_password=True)
    return Check("database", "ok", f"{place_name}, " + (f"tables of version {tables}" if tables else "no tables yet"))


def _extras() -> Iterator[Check]:
    missing = {name: [p for p in packages if not _there(p)] for name, packages in EXTRAS.items()}
    there = [name for name, lacking in missing.items() if not lacking]
    absent = [name for name, lacking in missing.items() if lacking]
    found = f"{', '.join(there) or 'none'}; not installed: {', '.join(absent) or 'none'}"
    yield Check("extras", "ok", found)
    yield Check("python", "ok", f"{sys.version.split()[0]}, amends {_version()}")


def _there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def _version() -> str:
    try:
        return metadata.version("amends")
    except metadata.PackageNotFoundError:
        return "from a source folder (not installed)"
