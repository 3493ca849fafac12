"""The door of a public server: who comes in, and from where."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from components.logins import Logins
from components.rates import Allowance, Refused, TooMany, say

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

OPEN = ("/health", "/ready")
"""What whoever watches over the server asks without a login; it tells nothing about anybody."""

WRONG_PER_MINUTE = 10
"""Wrong logins from one address; more are not even looked at."""


class Door:
    """An ASGI layer; without logins it only refuses what another site sends in a visitor's name."""

    def __init__(self, app: Callable[..., Awaitable[None]], logins: Logins) -> None:
        self._app, self._logins = app, logins
        self._wrong = Allowance(WRONG_PER_MINUTE)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            refused = self._refused(scope)
            if refused is not None:
                await say(send, *refused)
                return
        elif scope["type"] == "websocket" and self._logins:
            await send({"type": "websocket.close", "code": 1008})
            return
        await self._app(scope, receive, send)

    def _refused(self, scope: Message) -> Refused | None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in OPEN:
            return None
        headers = {name.lower(): value for name, value in scope["headers"]}
        address = scope["client"][0] if scope.get("client") else ""
        # Browsers say so of themselves; whatever else sends requests needs no visitor for it.
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and headers.get(b"sec-fetch-site") == b"cross-site":
            return 403, "This came from another site.", {}
        return self._login_refused(address, headers.get(b"authorization", b""))

    def _login_refused(self, address: str, given: bytes) -> Refused | None:
        if not self._logins:
            return None
        wait = self._wrong.wait_s(address)
        if wait:
            refused = TooMany("wrong logins", wait)
            return 429, str(refused), refused.headers
        name, password = _basic(given)
        if self._logins.admit(name, password):
            return None
        if given:
            self._wrong.use(address)
        return 401, "This server asks for a login.", {"www-authenticate": 'Basic realm="Unmask", charset="UTF-8"'}


def _basic(given: bytes) -> tuple[str, str]:
    kind, _, rest = given.partition(b" ")
    try:
        name, _, password = base64.b64decode(rest, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return (name, password) if kind.lower() == b"basic" else ("", "")
