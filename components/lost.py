"""Whoever loses the line of messages loses his runs at once, not at their next message.

The library hears of a lost line at once, but closes what makes its messages only when that has one to give: a line lost
between two forward passes would cost the one that begins then, and the one that begins while its message is on its way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_LINE = "/gradio_api/queue/data"


class Lost:
    """An ASGI layer that tells ``gone`` the session of a line of messages that the browser closed or lost.

    One line of several would do, but a page and the library's client have one at a time.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], gone: Callable[[str], None]) -> None:
        self._app, self._gone = app, gone

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"].removeprefix(scope.get("root_path", "")) != _LINE:
            await self._app(scope, receive, send)
            return
        session = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[-1]  # the library, too, takes the last
        over = not session

        async def sent(message: Message) -> None:
            nonlocal over
            over = over or (message["type"] == "http.response.body" and not message.get("more_body", False))
            await send(message)

        async def heard() -> Message:
            nonlocal over
            message = await receive()
            if message["type"] == "http.disconnect" and not over:
                over = True
                self._gone(session)
            return message

        await self._app(scope, heard, sent)
