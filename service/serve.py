"""Starts the production server from any working directory."""

import os
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from model.bundle import RELEASED, verified
from model.types import InputError
from service.garbage import look_seldom
from service.registry import Registry, bundle_folder, default_home, is_version
from service.settings import CHAMPION, Settings
from service.store import Store, absolute_url, open_store

ROOT = Path(__file__).resolve().parents[1]
# How long requests in hand may still run after SIGTERM; orchestrators commonly kill after 30 seconds.
GRACE_SECONDS = 10
# Scoring threads are counted in service.settings; libraries must not add threads of their own.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def serve(host: str, port: int, workers: int | None = None) -> None:
    """Becomes the server and doesn't return. SIGTERM and SIGINT end it and its workers.

    workers: processes, each with a scorer of its own; None leaves it to AMENDS_WORKERS, which is 1 by default.
    Raises InputError when a setting, the bundle, the database, the host or the port can't be used. Bundle and database
    are looked at by the service itself before any worker starts, as for `bentoml serve`.
    """
    env = environment(os.environ, port, workers)
    Settings.from_env(env)
    address = free_address(host, port)
    sys.stdout.flush()
    _become(command(address, port), env)


def _become(line: list[str], env: Mapping[str, str]) -> None:
    """Runs BentoML's command line in this process: another interpreter would read all modules once more."""
    os.environ.update(env)
    # Modules are loaded by the hundred and stay; looking for garbage among them takes a tenth of the start.
    look_seldom()
    sys.argv = ["bentoml", *line[3:]]
    from bentoml_cli.cli import cli

    cli()


def command(address: str, port: int, target: str = "service.app:Amends") -> list[str]:
    """The command line of the server. target: module and name of the service."""
    arguments = ["--working-dir", str(ROOT), "--host", address, "--port", str(port)]
    grace = ["--timeout-graceful-shutdown", str(GRACE_SECONDS)]
    return [sys.executable, "-m", "bentoml", "serve", target, *arguments, *grace]


def environment(env: Mapping[str, str], port: int, workers: int | None) -> dict[str, str]:
    """The environment of the server: the caller's own, with what the server needs."""
    # The registry stays where it was: its default is the home that BentoML has outside the server.
    models = str(default_home(env).resolve())
    changed = {"BENTOML_HOME": str(_home(env, port)), "BENTOML_DO_NOT_TRACK": "True", "AMENDS_MODELS": models}
    if workers is not None:
        changed["AMENDS_WORKERS"] = str(workers)
    for name in ("AMENDS_BUNDLE", "AMENDS_API_KEYS_FILE", "AMENDS_STATE"):
        # BentoML changes the working directory.
        if (path := env.get(name)) and not is_version(path):
            changed[name] = str(Path(path).resolve())
    if url := env.get("AMENDS_DATABASE_URL"):
        changed["AMENDS_DATABASE_URL"] = absolute_url(url)
    return {**ONE_THREAD, **env, **changed}


def check_bundle(settings: Settings) -> None:
    """Raises InputError unless the settings name a whole bundle: a worker that can't open it would restart for ever."""
    verified(bundle_folder(settings.bundle or Path(CHAMPION), Registry(settings.models)) or RELEASED)


def prepare_store(settings: Settings) -> None:
    """Makes the tables or brings them up to date, before any worker starts. Raises InputError where that can't be."""
    opened_store(settings).close()


def opened_store(settings: Settings) -> Store:
    """The store of the settings. Raises InputError where it can't be opened."""
    if settings.database_url is None:
        _make_state_folder(settings.state_folder)
    return open_store(settings.database)


def _make_state_folder(folder: Path) -> None:
    try:
        # What customers wrote is nobody else's business.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"AMENDS_STATE: the folder {folder} can't be made: {error.strerror}",
            code="bad_setting",
            field="AMENDS_STATE",
            got=str(folder),
            expected="a folder that can be written",
        ) from None


def free_address(host: str, port: int) -> str:
    """The IP address of a host name. Raises InputError when it has none or the port is taken."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        raise InputError(
            f"Can't listen on {host}:{port}: {error.strerror}",
            code="no_address",
            field="host, port",
            got=f"{host}:{port}",
            expected="an address of this machine with a free port",
        ) from None
    return str(address[0])


def _home(env: Mapping[str, str], port: int) -> Path:
    """A BentoML home of this server's own: two servers with one home wipe each other's metrics."""
    cache = Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / "amends" / f"serve-{port}"
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="amends-serve-"))
    return home
