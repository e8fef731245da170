"""Rate limits: how many requests a caller may make in a time, counted over all workers of a server.

Workers share one small file of arrival times, a number per caller (the generic cell rate algorithm, ITU-T I.371). The
usual limiter libraries count per process or need a server of their own for that.
"""

import fcntl
import hashlib
import mmap
import struct
import time
from collections.abc import Callable
from http import HTTPStatus
from math import ceil
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ApiError
from service.keys import CALLER, Key, Rate
from service.middleware import is_open
from service.schemas import Problem

SLOTS: Final = 1 << 16
_SIZE: Final = struct.calcsize("d")


class Meter:
    """Arrival times of callers in a file that all workers share.

    clock: seconds, the same for all processes of the machine. Two callers fall on one place of the file, and then share
    their limit, in one of 65,536 cases.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        if self._file.seek(0, 2) < SLOTS * _SIZE:
            self._file.truncate(SLOTS * _SIZE)
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._map = mmap.mmap(self._file.fileno(), SLOTS * _SIZE)
        self._clock = clock

    def wait(self, caller: str, rate: Rate) -> float:
        """Counts one request of a caller. Returns 0 where it may pass, or the seconds until one may."""
        at = int.from_bytes(hashlib.blake2b(caller.encode(), digest_size=2).digest()) * _SIZE
        step = rate.seconds / rate.requests
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            now = self._clock()
            # A clock that was set back must not shut anybody out for longer than one period.
            (stored,) = struct.unpack_from("d", self._map, at)
            due: float = min(max(stored, now), now + rate.seconds)
            early = due + step - (now + rate.seconds)
            # Less than a microsecond is rounding: seconds since 1970 have no more digits.
            if early > 1e-6:
                return early
            struct.pack_into("d", self._map, at, due + step)
            return 0.0
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


class RateLimit:
    """Answers 429, with the seconds to wait, to whoever calls too often. What is open to all is not counted.

    A caller is a key, with a limit of its own or the common one, and without keys the address that calls. rate: the
    common one, None for no limit.
    """

    def __init__(self, app: ASGIApp, meter: Meter, rate: Rate | None) -> None:
        self.app = app
        self.meter = meter
        self.rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and not is_open(scope["path"]) and (refusal := self._refusal(scope)):
            await refusal.response()(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> ApiError | None:
        key: Key | None = scope.get(CALLER)
        rate = (key and key.rate) or self.rate
        if rate is None:
            return None
        caller = f"key {key.name}" if key else f"address {(scope.get('client') or ('unknown',))[0]}"
        seconds = self.meter.wait(caller, rate)
        return _too_often(rate, seconds) if seconds else None


def _too_often(rate: Rate, seconds: float) -> ApiError:
    problem = Problem(
        code="rate_limited",
        message=f"Too many requests from this caller; try again in {ceil(seconds)} s",
        got=f"more than {rate}",
        expected=f"at most {rate}",
    )
    return ApiError(HTTPStatus.TOO_MANY_REQUESTS, problem, headers={"Retry-After": str(ceil(seconds))})
