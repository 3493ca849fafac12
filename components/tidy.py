"""What the UI library's queue keeps of pages that were closed is put away.

The library forgets the values of a closed page, but its queue keeps two entries for every page that ever joined
it: the names of what it waits for, until the server ends, and the place of its messages, until 2,000 others came.
Neither is read again.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_STREAM = re.compile(r"/gradio_api/(?:heartbeat/([\w.-]+)|queue/data)")
"""Lines that stay open: that of an open page, by its session, and those of messages."""


class Tidy:
    """An ASGI layer that looks, whenever a line is closed, at what ``queue`` (the library's) holds for nobody."""

    def __init__(self, app: Callable[..., Awaitable[None]], queue: Any) -> None:
        self._app, self._queue = app, queue
        self._closed: set[str] = set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path"].removeprefix(scope.get("root_path", "")) if scope["type"] == "http" else ""
        line = _STREAM.fullmatch(path)
        if line is None:
            await self._app(scope, receive, send)
            return
        session = line[1] or ""
        self._closed.discard(session)
        try:
            await self._app(scope, receive, send)
        finally:
            self._closed.add(session)
            self._put_away()

    def _put_away(self) -> None:
        waits, messages = self._queue.pending_event_ids_session, self._queue.pending_messages_per_session
        for session in [session for session in self._closed if not self._busy(session)]:
            self._closed.remove(session)
            waits.pop(session, None)
            messages.pop(session, None)
        for session in [session for session, names in waits.items() if not names]:
            del waits[session]  # the next call of an open page makes it anew

    def _busy(self, session: str) -> bool:
        """Tell whether something of this page is still under way, and would miss its place."""
        return any(name in self._queue.event_ids_to_events for name in self._queue.pending_event_ids_session.get(session, ()))
