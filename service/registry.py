"""The registry: bundles as versions in BentoML's model store, and one small file that says which is the champion.

<home>/models/amends/VERSION    a bundle folder with BentoML's model.yaml: labels, parent, digests, figures
<home>/amends/champion.json     the champion, those before it, and what was promoted or taken back when and why

A version appears by one rename, and so does a new champion: whatever is killed, store and champion are whole. Reading
the champion needs nothing but that file, so that a server starts no slower. BentoML's store takes the place of its
parts that are not public; bentoml is pinned, and tests/service/test_registry.py fails when they change.
"""

import fcntl
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from model.bundle import RELEASED, SERVED, bundle_digest, file_digest, manifest, verified
from model.drift import FILE as REFERENCE
from model.types import InputError
from service.files import check_output
from service.settings import CHAMPION

Label = Literal["champion", "challenger", "retired"]

NAME: Final = "amends"
OURS: Final = "released"
"""The version that comes with the package; it is no part of the store and always there."""
PREFIX: Final = "models:"
VERSION_DIGITS: Final = 12
ARCHIVES: Final = {
    ".bentomodel": "xztar",
    ".tar": "tar",
    ".gz": "gztar",
    ".xz": "xztar",
    ".bz2": "bztar",
    ".zip": "zip",
}
RECORDED: Final = ("parent", "data_digest", "note", "decision", "figures")
MODEL_FILE: Final = "model.yaml"


@dataclass(frozen=True)
class Version:
    """A bundle of the registry. version: `released`, or the first digits of the digest. model: what the bundle calls
    itself. created: ISO 8601. parent: digest of the bundle that it was trained from. decision, figures, data_digest,
    note: what retraining recorded.
    """

    version: str
    label: Label
    folder: Path
    model: str
    digest: str
    created: str
    parent: str | None = None
    data_digest: str | None = None
    note: str | None = None
    decision: Mapping[str, Any] | None = None
    figures: Mapping[str, Any] | None = None

    @property
    def refused(self) -> bool:
        """Whether the gate of retraining spoke against it."""
        return self.decision is not None and self.decision.get("passed") is False

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"folder": str(self.folder)}


@dataclass(frozen=True)
class Change:
    """One entry of the history. at: ISO 8601, UTC."""

    at: str
    what: Literal["promote", "rollback"]
    before: str
    after: str
    reason: str | None = None


@dataclass(frozen=True)
class State:
    """champions: those that a rollback goes back through, the first one first; the last is the champion."""

    champions: tuple[str, ...] = (OURS,)
    history: tuple[Change, ...] = ()

    @property
    def champion(self) -> str:
        """The version that answers."""
        return self.champions[-1]


class Registry:
    """The versions of one machine or volume. home: a BentoML home; None: AMENDS_MODELS, else BentoML's own."""

    def __init__(self, home: Path | None = None) -> None:
        self.home = home or default_home()
        self._store = self.home / "models" / NAME
        self._own = self.home / NAME
        self._pointer = self._own / "champion.json"

    def state(self) -> State:
        """The champion and how it came to be. Raises InputError where the file can't be read."""
        try:
            read = json.loads(self._pointer.read_bytes())
            return State(tuple(read["champions"]), tuple(Change(**change) for change in read["history"]))
        except FileNotFoundError:
            return State()
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{self._pointer} can't be read",
                code="bad_registry",
                field="champion",
                got="no record of champions",
                expected="a file that `amends models promote` wrote; without the file the released bundle is champion",
            ) from None

    def stamp(self) -> tuple[int, int] | None:
        """Another value after each change of the champion; costs one look at the disk."""
        try:
            found = self._pointer.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    def folder(self, version: str) -> Path:
        """The bundle folder of a version. Raises InputError where there is none."""
        return self._folder_of(self.resolve(version))

    def resolve(self, version: str) -> str:
        """The full name of a version: its own, `champion`, or the first digits of one. Raises InputError."""
        if version == CHAMPION:
            version = self.state().champion
        known = self.versions()
        if version in known:
            return version
        found = [name for name in known if version and name != OURS and name.startswith(version)]
        if len(found) == 1:
            return found[0]
        raise InputError(
            f"There is no version {version[:80]!r} of the model" if not found else f"{version!r} is several versions",
            code="no_such_version",
            field="version",
            got=version[:80] or "nothing",
            expected=f"one of {', '.join(found or known)}",
        )

    def versions(self) -> list[str]:
        """The names of all versions, `released` first, then as they lie in the store."""
        try:
            names = sorted(one.name for one in self._store.iterdir() if (one / MODEL_FILE).is_file())
        except OSError:
            names = []
        return [OURS, *names]

    def list(self) -> list[Version]:
        """All versions, the oldest first; the released one leads."""
        state = self.state()
        first, *others = (self._version(name, state) for name in self.versions())
        return [first, *sorted(others, key=lambda one: one.created)]

    def get(self, version: str) -> Version:
        """One version. Raises InputError where there is none."""
        return self._version(self.resolve(version), self.state())

    def champion(self) -> Version:
        """The version that answers."""
        return self.get(CHAMPION)

    def add(
        self,
        folder: Path,
        *,
        label: Literal["challenger", "retired"] = "challenger",
        parent: str | None = None,
        figures: Mapping[str, Any] | None = None,
        data_digest: str | None = None,
        note: str | None = None,
        decision: Mapping[str, Any] | None = None,
    ) -> Version:
        """Copies a bundle into the store; one that is there already stays as it is.

        parent: digest of the bundle that it was trained from. decision: that of retraining's report. Raises InputError
        when the folder is no bundle or a file of it was changed.
        """
        digest = bundle_digest(_whole(folder)["files"])
        recorded = {
            "parent": parent,
            "data_digest": data_digest,
            "figures": figures,
            "note": note,
            "decision": decision if decision is not None else (figures or {}).get("decision"),
            "created": _now(),
        }
        with self._locked():
            name = digest[:VERSION_DIGITS]
            if name not in self.versions():
                self._keep(folder, name, label, _plain(recorded))
        return self.get(name)

    def promote(self, version: str, *, reason: str | None = None) -> Version:
        """Makes a version the champion. Raises InputError where its files were changed, or where retraining refused it
        and no reason is given.
        """
        name = self.resolve(version)
        chosen = self.get(name)
        if chosen.refused and not (reason and reason.strip()):
            raise _refused(chosen)
        verified(chosen.folder)
        with self._locked():
            state = self.state()
            if name != state.champion:
                change = Change(_now(), "promote", state.champion, name, reason)
                self._write(State((*state.champions, name), (*state.history, change)))
        self._label_all()
        return self.get(name)

    def rollback(self, *, reason: str | None = None) -> Version:
        """Goes back to the champion before. Raises InputError where there is none, or its files were changed."""
        with self._locked():
            state = self.state()
            there = set(self.versions())
            left = [name for name in state.champions[:-1] if name in there]
            if not left:
                raise InputError(
                    "There is no champion to go back to",
                    code="no_champion_before",
                    got=f"{state.champion}, and nothing before it",
                    expected="a version that was promoted",
                )
            verified(self._folder_of(left[-1]))
            change = Change(_now(), "rollback", state.champion, left[-1], reason)
            self._write(State(tuple(left), (*state.history, change)))
        self._label_all()
        return self.get(left[-1])

    def export(self, version: str, path: Path) -> Path:
        """Writes a version as one file that `import_` and BentoML read; its suffix says how it is packed.

        path: a folder, or a file that ends in .bentomodel, .tar, .tar.gz, .tar.xz or .tar.bz2. Returns the file.
        """
        name = self.resolve(version)
        if name == OURS:
            raise InputError(
                "The released version comes with the package and is not exported",
                code="bad_version",
                field="version",
                got=OURS,
                expected="a version of the store",
            )
        path = path / f"{NAME}-{name}.bentomodel" if path.is_dir() else path
        kind = _packing(path)
        check_output(path)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as near:
            packed = shutil.make_archive(str(Path(near) / "model"), kind, self._folder_of(name))
            Path(packed).replace(path)
        return path

    def import_(self, path: Path) -> Version:
        """Adds what `export` wrote, or a bundle folder. Raises InputError where path is neither, or was changed."""
        if path.is_dir():
            return self.add(path, **_recorded(path))
        with tempfile.TemporaryDirectory(prefix="amends-import-") as near:
            _unpack(path, Path(near))
            return self.add(Path(near), **_recorded(Path(near)))

    def _folder_of(self, name: str) -> Path:
        return RELEASED if name == OURS else self._store / name

    def _version(self, name: str, state: State) -> Version:
        folder = self._folder_of(name)
        meta = manifest(folder)
        stored = _model(folder) if name != OURS else None
        metadata = stored.info.metadata if stored else {}
        label = stored.info.labels.get("label", "challenger") if stored else "retired"
        return Version(
            version=name,
            label=_label(name, state, label),
            folder=folder,
            model=meta["version"],
            digest=bundle_digest(meta["files"]),
            created=metadata.get("created") or meta.get("created", ""),
            **{name: metadata.get(name) for name in RECORDED},
        )

    def _keep(self, folder: Path, name: str, label: str, recorded: dict[str, Any]) -> None:
        """Makes the version where nobody looks, and moves it into the store by one rename."""
        from bentoml import models
        from bentoml._internal.models import ModelStore

        # BentoML tells its makers of every model that is kept, unless it is told not to.
        os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
        incoming = self._own / "incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        store = ModelStore(incoming)
        with models.create(f"{NAME}:{name}", labels={"label": label}, metadata=recorded, _model_store=store) as made:
            _copy(folder, Path(made.path))
        for file in (incoming / NAME / name).iterdir():
            _sync(file)
        self._store.mkdir(parents=True, exist_ok=True)
        (incoming / NAME / name).rename(self._store / name)
        _sync(self._store)
        self._put(self._store / "latest", name)
        shutil.rmtree(incoming, ignore_errors=True)

    def _label_all(self) -> None:
        """Brings the labels in the store up to date, for whoever looks through BentoML; ours come from the pointer."""
        with self._locked():
            state = self.state()
            for name in self.versions()[1:]:
                model = _model(self._folder_of(name))
                label = _label(name, state, model.info.labels.get("label", "challenger"))
                if label != model.info.labels.get("label"):
                    model.info.labels["label"] = label
                    self._put(Path(model.path) / MODEL_FILE, _yaml(model.info))

    def _write(self, state: State) -> None:
        content = {"champion": state.champion, **asdict(state)}
        self._put(self._pointer, json.dumps(content, indent=1))

    def _put(self, path: Path, content: str) -> None:
        """Writes a file that nobody meets half; the lock has to be held."""
        temporary = self._own / f"{path.name}.part"
        with temporary.open("w", encoding="utf-8") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
        _sync(path.parent)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time; the system lets go of the lock of a process that was killed."""
        try:
            self._own.mkdir(parents=True, exist_ok=True)
            lock = (self._own / "lock").open("a")
        except OSError as error:
            raise InputError(
                f"{self._own}: {error.strerror}",
                code="bad_registry",
                field="AMENDS_MODELS",
                got=str(self.home),
                expected="a folder that can be written",
            ) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def default_home(env: Mapping[str, str] | None = None) -> Path:
    """Where versions are kept: AMENDS_MODELS, else BENTOML_HOME, else BentoML's own place. env: the process's own."""
    env = os.environ if env is None else env
    set_to = env.get("AMENDS_MODELS") or env.get("BENTOML_HOME")
    return Path(set_to) if set_to else Path.home() / "bentoml"


def is_version(choice: str) -> bool:
    """Whether a setting or option names a version: `released`, `champion` or `models:VERSION`; else it is a folder."""
    return choice in (OURS, CHAMPION) or choice.startswith(PREFIX)


def bundle_folder(choice: Path | None, registry: Registry | None = None) -> Path | None:
    """The folder that a setting or option names. None stays None. Raises InputError where there is no such version."""
    if choice is None or not is_version(str(choice)):
        return choice
    return (registry or Registry()).folder(str(choice).removeprefix(PREFIX))


def _label(name: str, state: State, stored: str) -> Label:
    if name == state.champion:
        return "champion"
    was = name == OURS or any(name in (change.before, change.after) for change in state.history)
    return "retired" if was or stored == "retired" else "challenger"


def _refused(version: Version) -> InputError:
    reasons = (version.decision or {}).get("reasons") or ["no reason is recorded"]
    return InputError(
        f"Retraining refused {version.version}: {'; '.join(map(str, reasons))}",
        code="refused",
        field="version",
        got=version.version,
        expected="a version that passed, or --force with a reason",
    )


def _whole(folder: Path) -> dict[str, Any]:
    """bundle.json of a folder whose files all have their digests; what only training reads may be absent."""
    meta = verified(folder)
    for name, digest in meta["files"].items():
        path = folder / name
        if name not in SERVED and path.is_file() and file_digest(path) != digest:
            raise InputError(
                f"{path} is changed", code="bad_bundle", field="bundle", got=file_digest(path), expected=digest
            )
    return meta


def _copy(folder: Path, to: Path) -> None:
    """The files of a bundle and nothing else that may lie beside them."""
    for name in ("bundle.json", REFERENCE, *manifest(folder)["files"]):
        if (folder / name).is_file() and Path(name).name == name:
            shutil.copyfile(folder / name, to / name)


def _model(folder: Path) -> Any:
    from bentoml import Model

    return Model.from_path(str(folder))


def _recorded(folder: Path) -> dict[str, Any]:
    """What the registry that a version was exported from knew of it."""
    if not (folder / MODEL_FILE).is_file():
        return {}
    metadata = _model(folder).info.metadata
    return {name: metadata.get(name) for name in RECORDED}


def _yaml(info: Any) -> str:
    info.dump(out := io.StringIO())
    return out.getvalue()


def _packing(path: Path) -> str:
    if path.suffix in ARCHIVES:
        return ARCHIVES[path.suffix]
    raise InputError(
        f"{path.name}: can't write this kind of file",
        code="bad_output",
        got=path.suffix or "no suffix",
        expected=f"a name that ends in {', '.join(ARCHIVES)}",
    )


def _unpack(path: Path, to: Path) -> None:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                _unpack_member(archive, member, to)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise InputError(
            f"{path} can't be unpacked: {error}",
            code="bad_archive",
            field="path",
            got=path.name,
            expected="a file that `amends models export` wrote, or a bundle folder",
        ) from None


def _plain(value: Any) -> Any:
    """Without what is None: BentoML's metadata takes none."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value if one is not None]
    return value


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, to: Path) -> None:
    """As the filter "data" of tarfile, which Python has from 3.11.4 on: nothing lands outside, whatever the name."""
    target = (to / member.name).resolve()
    if not target.is_relative_to(to.resolve()) or not (member.isfile() or member.isdir()):
        raise ValueError(f"{member.name} is no plain file within the archive")
    if content := archive.extractfile(member):
        target.parent.mkdir(parents=True, exist_ok=True)
        with content, target.open("wb") as file:
            shutil.copyfileobj(content, file)
