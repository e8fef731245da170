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
_LINE: Final = (
    "name:scope:hash or name:scope:hash:rate, with the scope read or write, a SHA-256 of 64 hexadecimal digits and a "
    "rate such as 60/minute"
)
UNITS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE: Final = re.compile(rf"([1-9]\d{{0,8}})/({'|'.join(UNITS)})", re.ASCII)
# Where the key of the caller stands in the ASGI scope.
CALLER: Final = "amends.key"


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a caller may call: so many requests in so many seconds, all of them at once if need be."""

    requests: int
    seconds: int
    unit: str

    def __str__(self) -> str:
        return f"{self.requests}/{self.unit}"


@dataclass(frozen=True, slots=True)
class Key:
    """One caller. scope: "read" may call what changes nothing, "write" everything. digest: SHA-256 of the key.

    rate: how often this caller may call, None for what all may.
    """

    name: str
    scope: str
    digest: bytes
    rate: Rate | None = None


def parse_rate(text: str) -> Rate | None:
    """A rate from text such as "60/minute"; None where it is none."""
    match = _RATE.fullmatch(text.strip())
    return Rate(int(match[1]), UNITS[match[2]], match[2]) if match else None


def parse_keys(text: str, field: str) -> tuple[Key, ...]:
    """Keys from lines of name:scope:hash or name:scope:hash:rate; empty lines and those that begin with # don't count.

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
    name, scope, digest, *more = [part.strip() for part in [*line.split(":"), "", ""][: max(3, line.count(":") + 1)]]
    rates = [parse_rate(part) for part in more]
    if not name or scope not in SCOPES or not _HASH.fullmatch(digest.lower()) or len(rates) > 1 or None in rates:
        raise _wrong(field, f"{field}: line {number} is no key", f"line {number}", _LINE)
    return Key(name, scope, bytes.fromhex(digest), rates[0] if rates else None)


def _wrong(field: str, message: str, got: str, expected: str) -> InputError:
    return InputError(message, code="bad_keys", field=field, got=got, expected=expected)
