"""How often one address may make the server begin something: a run, an explanation, the check of a file handed in.

Whatever belongs to what has begun is free: its messages, Stop, Pause, looking at what is kept, and, once, twice the
points of an explanation that was answered. Whether an explanation begins only its route can tell, so that one notes it (``begins``).
"""

from __future__ import annotations

import json
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from functools import partial
from typing import Any

from backend.errors import AppError
from components.gate import LISTENER

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Refused = tuple[int, str, dict[str, str]]
"""Status, sentence and headers of a refusal."""

ADDRESSES_MAX = 4096
"""Addresses that are remembered; the one unheard for longest is forgotten."""

MINUTE_S = 60.0

_HANDED_IN = re.compile(r"/(many|runs)/?")
_NOTE = "unmask.begins"


class TooMany(AppError):
    """An address that has to wait before it begins one more."""

    code = "too_many"

    def __init__(self, what: str, wait_s: float) -> None:
        self.seconds = int(wait_s) + 1
        super().__init__(f"Too many {what} from this address.", f"Try again in {self.seconds} s.")

    @property
    def headers(self) -> dict[str, str]:
        """What tells a program when to ask again."""
        return {"retry-after": str(self.seconds)}


def begins(scope: Mapping[str, Any]) -> None:
    """Note that a request, of this scope, makes the server begin something; raises ``TooMany`` where it may not."""
    scope.get(_NOTE, lambda: None)()


class Allowance:
    """So many of something a minute and address: what is not used comes back evenly, at most a minute's worth."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = per_minute, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Return the seconds until the address may do one more; 0 when it may now."""
        return max(0.0, 1.0 - self._now(address)) * MINUTE_S / self._most

    def use(self, address: str) -> None:
        """Note that the address did one."""
        self._left[address] = (self._now(address) - 1.0, self._clock())
        self._left.move_to_end(address)
        if len(self._left) > ADDRESSES_MAX:
            self._left.popitem(last=False)

    def begin(self, address: str) -> None:
        """Note that the address begins one more request; raises ``TooMany`` when it has to wait."""
        wait = self.wait_s(address)
        if wait:
            raise TooMany("requests", wait)
        self.use(address)

    def _now(self, address: str) -> float:
        left, at = self._left.get(address, (float(self._most), self._clock()))
        return min(float(self._most), left + (self._clock() - at) * self._most / MINUTE_S)


class Rates:
    """An ASGI layer behind the gate; ``starts`` are the listeners, by number and name, that begin something."""

    def __init__(self, app: Callable[..., Awaitable[None]], per_minute: int, starts: Collection[int | str]) -> None:
        self._app, self._starting = app, starts
        self._allowance = Allowance(per_minute) if per_minute else None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._allowance is not None and scope["type"] == "http":
            scope[_NOTE] = partial(self._allowance.begin, scope["client"][0] if scope.get("client") else "")
            try:
                if self._starts(scope):
                    begins(scope)
            except TooMany as error:
                await say(send, 429, str(error), error.headers)
                return
        await self._app(scope, receive, send)

    def _starts(self, scope: Message) -> bool:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return scope["method"] == "POST" and (bool(_HANDED_IN.fullmatch(path)) or scope.get(LISTENER) in self._starting)


async def say(send: Send, status: int, sentence: str, more: dict[str, str]) -> None:
    """Send a refusal: ``message`` is what the page reads, ``detail`` what programs know from other servers."""
    body = json.dumps({"detail": sentence, "message": sentence}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **more}
    await send({"type": "http.response.start", "status": status, "headers": [(name.encode(), value.encode()) for name, value in headers.items()]})
    await send({"type": "http.response.body", "body": body})
