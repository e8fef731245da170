"""Personal data in what is kept: masked before the database sees it, so that whoever was two people stays two."""

import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from model.moment import moment_of
from model.privacy import Masker
from model.reading.json import thread_to_dict
from model.types import InputError, Thread
from service.schemas import ScoreRequest

KEY_FILE: Final = "mask.key"
"""In the state folder: the key of the marks in feedback. Without it, what is kept from then on joins with nothing."""
KEY_BYTES: Final = 32
# Fields of feedback whose words belong together: a quote or a target has to occur in its text as masked.
WORDS: Final = frozenset({"text", "quote", "target"})


def mask_key(folder: Path) -> bytes:
    """The key in that folder, made at the first call, for its owner alone. Safe to call from several processes.

    Raises InputError where it can't be read or written, or is none.
    """
    path = folder / KEY_FILE
    try:
        if not path.exists():
            _make_key(path)
        key = path.read_bytes()
    except OSError as error:
        raise _bad_key(path, str(error.strerror), "a file that can be read and written") from None
    if len(key) != KEY_BYTES:
        raise _bad_key(path, f"{len(key)} bytes", f"{KEY_BYTES} random bytes, as the server writes them")
    return key


def _make_key(path: Path) -> None:
    """Puts a key there unless another process was first; nobody ever meets half of one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)


def masked_feedback(items: Sequence[Any], key: bytes) -> list[Any]:
    """Items of /v1/feedback without personal data.

    The same datum in an id, a name or what the model had said becomes the same mark in every request, so that what is
    known of one person still joins, and what is known of two does not.
    """
    masker = Masker(key=key)
    return [_masked_feedback(item, masker) for item in items]


def _masked_feedback(item: Any, masker: Masker) -> Any:
    if not isinstance(item, Mapping):
        return masker.json(item)
    return {
        masker.name(name): masker.text(value) if name in WORDS and isinstance(value, str) else masker.json(value)
        for name, value in item.items()
    }


def masked_job(
    items: Sequence[Any], threads_of: Callable[[ScoreRequest], Sequence[Thread]], check: Callable[[], None]
) -> list[Any]:
    """Items of a job without personal data, which are scored as /v1/score would score those that were sent.

    threads_of: reads an item, and may raise InputError. What it finds is kept as threads, because only then names and
    ids can be told from texts; what can't be read is kept to fail in its turn. check: called before each item.
    """
    masker = Masker()

    def masked(item: Any) -> Any:
        check()
        try:
            request = ScoreRequest.model_validate(item)
            moment = {"as_of": request.as_of} if request.as_of and moment_of(request.as_of) else {}
            threads = [thread_to_dict(masker.thread(thread)) for thread in threads_of(request)]
        except (InputError, ValidationError):
            return masker.json(item)
        if request.thread is not None:
            return {"thread": threads[0], **moment}
        return {"content": "\n".join(map(json.dumps, threads)), "format": "jsonl", **moment}

    return [masked(item) for item in items]


def _bad_key(path: Path, got: str, expected: str) -> InputError:
    return InputError(
        f"{path}: the key for masking can't be used: got {got}, expected {expected}",
        code="bad_setting",
        field="AMENDS_STATE",
        got=got,
        expected=expected,
    )
