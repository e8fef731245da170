"""Settings of the HTTP service: AMENDS_* environment variables, read when the service starts."""

import os
import re
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model.types import InputError
from service.keys import UNITS, Key, Rate, parse_keys, parse_rate

PREFIX = "AMENDS_"
ORIGIN = re.compile(r"https?://[^/\s*]+")
CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
CHAMPION = "champion"
DATABASE_FILE = "amends.db"


class Settings(BaseModel):
    """What can be set. The field `max_texts` is read from AMENDS_MAX_TEXTS, and so on; see docs/http.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: Path | None = Field(
        default=None,
        description="What answers: `champion` or unset follows the registry (models.md), `released` and "
        "`models:VERSION` stay with one version, a folder with that bundle.",
    )
    models: Path | None = Field(
        default=None, description="Where versions of the model are kept; unset: `BENTOML_HOME`, else `~/bentoml`."
    )
    workers: int = Field(
        default=1,
        ge=1,
        description="Worker processes, each with a scorer of its own; `amends serve --workers` goes first.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        description="Requests that one worker scores at the same time, one core each; 0: the cores shared out.",
    )
    max_requests: int = Field(default=64, ge=1, description="Requests in hand per worker before it answers 429.")
    max_body_bytes: int = Field(default=20 * 2**20, ge=1, description="Largest request body.")
    max_utterances: int = Field(
        default=10_000, ge=1, description="Most utterances in one request to /v1/score or /v1/read."
    )
    timeout_seconds: float = Field(default=60, gt=0, allow_inf_nan=False, description="Longest time for one request.")

    api_keys: str | None = Field(
        default=None,
        repr=False,
        description="Lines of `name:scope:hash[:rate]` (or with commas between): who may call.",
    )
    api_keys_file: Path | None = Field(default=None, description="File with such lines; both together count.")
    metrics_open: bool = Field(default=True, description="Whether `/metrics` answers without a key.")
    cors_origins: str | None = Field(
        default=None, description="Origins of web pages that may call, with commas between, or `*`."
    )

    rate_limit: str | None = Field(
        default=None, description="Most requests of one caller, such as `60/minute`; a key may have a rate of its own."
    )
    log_format: Literal["plain", "json"] = Field(
        default="plain", description="`plain`, or `json`: one object a line, with one line for each request."
    )
    log_texts: bool = Field(default=False, description="Whether those lines also hold the texts that were sent.")
    mask_personal_data: bool = Field(
        default=False, description="Whether e-mail addresses, phone, card and IBAN numbers are masked on the way in."
    )

    state: Path | None = Field(
        default=None, description="Folder for what the server keeps; unset: `~/.local/state/amends`."
    )
    database_url: str | None = Field(
        default=None,
        repr=False,
        description="Database for feedback and jobs; unset: the SQLite file `amends.db` in that folder.",
    )
    job_items: int = Field(default=1000, ge=1, description="Most items in one job.")
    max_jobs: int = Field(default=1000, ge=1, description="Jobs queued or running before more are refused.")
    job_lease_seconds: float = Field(
        default=30, ge=1, le=86400, description="How soon another worker takes the job of one that died."
    )
    job_days: float = Field(
        default=30, ge=0, allow_inf_nan=False, description="Days before a job that ended is deleted; 0: never."
    )
    feedback_days: float = Field(
        default=0, ge=0, allow_inf_nan=False, description="Days before feedback is deleted; 0: never."
    )

    retrain: bool = Field(
        default=False, description="Whether `/v1/retrain` may start a retraining; it needs the train extra and a core."
    )

    @property
    def state_folder(self) -> Path:
        """Folder for what the server keeps."""
        return self.state or default_state()

    @property
    def follows_champion(self) -> bool:
        """Whether the bundle is that of the registry's champion, and changes with it."""
        return self.bundle is None or str(self.bundle) == CHAMPION

    @property
    def database(self) -> str:
        """URL of the database: as set, or that of a file in the state folder."""
        return self.database_url or f"sqlite:///{self.state_folder}/{DATABASE_FILE}"

    @property
    def keys(self) -> tuple[Key, ...]:
        """Who may call; empty where no key is asked for. Raises InputError where the keys can't be used."""
        texts = []
        if self.api_keys is not None:
            texts.append(self.api_keys)
        if self.api_keys_file is not None:
            texts.append(_text_of(self.api_keys_file))
        names = [variable(n) for n in ("api_keys", "api_keys_file") if getattr(self, n) is not None]
        return parse_keys("\n".join(texts), " and ".join(names)) if texts else ()

    @property
    def rate(self) -> Rate | None:
        """How often each caller may call; None for no limit."""
        return parse_rate(self.rate_limit) if self.rate_limit is not None else None

    @property
    def origins(self) -> tuple[str, ...]:
        """Origins that browsers may call from."""
        return tuple(o.strip().rstrip("/") for o in (self.cors_origins or "").split(",") if o.strip())

    @model_validator(mode="after")
    def _keys_can_be_used(self) -> Self:
        self.keys  # noqa: B018 - raises
        return self

    @model_validator(mode="after")
    def _rate_is_a_rate(self) -> Self:
        if self.rate_limit is not None and self.rate is None:
            raise InputError(
                f"AMENDS_RATE_LIMIT: {self.rate_limit!r} is no rate",
                code="bad_setting",
                field="AMENDS_RATE_LIMIT",
                got=repr(self.rate_limit),
                expected=f"a number, / and one of {', '.join(UNITS)}, such as 60/minute",
            )
        return self

    @model_validator(mode="after")
    def _origins_are_origins(self) -> Self:
        for origin in self.origins:
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise InputError(
                    f"AMENDS_CORS_ORIGINS: {origin!r} is no origin",
                    code="bad_setting",
                    field="AMENDS_CORS_ORIGINS",
                    got=repr(origin),
                    expected="origins such as https://example.org, or *",
                )
        return self

    @model_validator(mode="after")
    def _fits_the_machine(self) -> Self:
        if self.workers * max(1, self.threads) > cores():
            raise InputError(
                f"{self.workers} workers with {max(1, self.threads)} threads each need more cores than there are",
                code="too_many_threads",
                field="AMENDS_WORKERS, AMENDS_THREADS",
                got=str(self.workers * max(1, self.threads)),
                expected=f"a product of at most {cores()}",
            )
        return self

    @property
    def scoring_threads(self) -> int:
        """Threads per worker: as set, or the cores shared out among the workers."""
        return self.threads or max(1, cores() // self.workers)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "Settings":
        """Settings from the environment; an empty variable counts as unset. Raises InputError on a value that is off.

        env: the process's own by default.
        """
        env = os.environ if env is None else env
        given = {name: env[variable(name)] for name in cls.model_fields if env.get(variable(name))}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise _input_error(error) from None


def default_state() -> Path:
    """Folder for what the server keeps, where none is set."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "amends"


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"AMENDS_API_KEYS_FILE: {path} can't be read",
            code="bad_keys",
            field="AMENDS_API_KEYS_FILE",
            got=str(getattr(error, "strerror", None) or "no text"),
            expected="a text file",
        ) from None


def cores() -> int:
    """CPU cores that this process may use: those it may run on, or the quota of its container if that is less."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CGROUP_QUOTA.read_text(encoding="ascii").split()
        return count if quota == "max" else min(count, ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return count


def _input_error(error: ValidationError) -> InputError:
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return cause
    name = variable(str(first["loc"][0]))
    return InputError(
        f"{name}: {first['msg']}", code="bad_setting", field=name, got=repr(first["input"]), expected=first["msg"]
    )
