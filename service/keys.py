"""API keys: who may call, told by the SHA-256 of the key that they send. The keys themselves are kept nowhere."""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from model.types import InputError

SCOPES: Final = ("read", "write")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_LINE: Final = "name:scope:hash, with the scope read or write and a SHA-256 of 64 hexadecimal digits"

# Where the key of the caller stands in the ASGI scope.
CALLER: Final = "amends.key"


@dataclass(frozen=True, slots=True)
class Key:
    """One caller. scope: "read" may call what changes nothing, "write" everything. digest: SHA-256 of the key."""

    name: str
    scope: str
    digest: bytes


def parse_keys(text: str, field: str) -> tuple[Key, ...]:
    """Keys from lines of name:scope:hash; empty lines and those that start with # are left out.

    A comma counts as the end of a line. field: where the text is from. Raises InputError, which never repeats the text,
    where a line is off, a name is there twice or there is no key at all: a server that was meant to be closed must not
    be open.
    """
    lines = [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1) if not line.strip().startswith("#")]
    keys = [_key(part.strip(), i, field) for i, line in lines for part in line.split(",") if part.strip()]
    names = [key.name for key in keys]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise _wrong(field, f"{field}: the name {twice[0]!r} is there twice", repr(twice[0]), "every name once")
    if not keys:
        raise _wrong(field, f"{field} holds no key", "no key", f"lines of {_LINE}")
    return tuple(keys)


def holder(keys: Sequence[Key], presented: str) -> Key | None:
    """Whose key this is. Compares with every key, each in constant time, so that timing tells nothing."""
    digest = hashlib.sha256(presented.encode("utf-8", errors="replace")).digest()
    found: Key | None = None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found


def _key(line: str, number: int, field: str) -> Key:
    name, scope, digest = [part.strip() for part in [*line.split(":"), "", ""]][:3]
    if line.count(":") != 2 or not name or scope not in SCOPES or not _HASH.fullmatch(digest.lower()):
        raise _wrong(field, f"{field}: line {number} is no key", f"line {number}", _LINE)
    return Key(name, scope, bytes.fromhex(digest))


def _wrong(field: str, message: str, got: str, expected: str) -> InputError:
    return InputError(message, code="bad_keys", field=field, got=got, expected=expected)
