"""The door of a public server: who comes in, from where, and how often one address may make the server compute."""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from components.logins import Logins

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

OPEN = ("/health", "/ready")
"""What whoever watches over the server asks without a login; it tells nothing about anybody."""

WRONG_PER_MINUTE = 10
"""Wrong logins from one address; more are not even looked at."""

ADDRESSES_MAX = 4096
"""Addresses that are remembered; the one unheard for longest is forgotten."""

MINUTE_S = 60.0

_STARTS = re.compile(r"/(many|runs|gradio_api/(queue/join|(run|api|call)/[^/]*))/?")
_COMPUTED = re.compile(r"/runs/[^/]+/(attribution|attribution_matrix|flow|lens|regret|faithfulness)/?")


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

    def _now(self, address: str) -> float:
        left, at = self._left.get(address, (float(self._most), self._clock()))
        return min(float(self._most), left + (self._clock() - at) * self._most / MINUTE_S)


class Door:
    """An ASGI layer; without logins and limit it only refuses what another site sends in a visitor's name."""

    def __init__(self, app: Callable[..., Awaitable[None]], logins: Logins, starts_per_minute: int = 0) -> None:
        self._app, self._logins = app, logins
        self._wrong = Allowance(WRONG_PER_MINUTE)
        self._starts = Allowance(starts_per_minute) if starts_per_minute else None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            refused = self._refused(scope)
            if refused is not None:
                await _say(send, *refused)
                return
        elif scope["type"] == "websocket" and self._logins:
            await send({"type": "websocket.close", "code": 1008})
            return
        await self._app(scope, receive, send)

    def _refused(self, scope: Message) -> tuple[int, str, dict[str, str]] | None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in OPEN:
            return None
        headers = {name.lower(): value for name, value in scope["headers"]}
        address = scope["client"][0] if scope.get("client") else ""
        # Browsers say so of themselves; whatever else sends requests needs no visitor for it.
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and headers.get(b"sec-fetch-site") == b"cross-site":
            return 403, "This came from another site.", {}
        return self._login_refused(address, headers.get(b"authorization", b"")) or self._start_refused(address, scope["method"], path)

    def _login_refused(self, address: str, given: bytes) -> tuple[int, str, dict[str, str]] | None:
        if not self._logins:
            return None
        wait = self._wrong.wait_s(address)
        if wait:
            return 429, "Too many wrong logins from this address. Try again in a minute.", _after(wait)
        name, password = _basic(given)
        if self._logins.admit(name, password):
            return None
        if given:
            self._wrong.use(address)
        return 401, "This server asks for a login.", {"www-authenticate": 'Basic realm="Unmask", charset="UTF-8"'}

    def _start_refused(self, address: str, method: str, path: str) -> tuple[int, str, dict[str, str]] | None:
        if self._starts is None or not (_STARTS if method == "POST" else _COMPUTED).fullmatch(path):
            return None
        wait = self._starts.wait_s(address)
        if wait:
            return 429, f"Too many requests from this address. Try again in {int(wait) + 1} s.", _after(wait)
        self._starts.use(address)
        return None


def _basic(given: bytes) -> tuple[str, str]:
    kind, _, rest = given.partition(b" ")
    try:
        name, _, password = base64.b64decode(rest, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return (name, password) if kind.lower() == b"basic" else ("", "")


def _after(seconds: float) -> dict[str, str]:
    return {"retry-after": str(int(seconds) + 1)}


async def _say(send: Send, status: int, sentence: str, more: dict[str, str]) -> None:
    body = json.dumps({"detail": sentence}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **more}
    await send({"type": "http.response.start", "status": status, "headers": [(name.encode(), value.encode()) for name, value in headers.items()]})
    await send({"type": "http.response.body", "body": body})
