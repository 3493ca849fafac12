"""What a listener may be sent: bodies that the page could not have written are refused before anyone reads them.

The UI library answers most of them with a failure inside itself. Here each is a sentence that names the
field, what it holds and what it may hold.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_BYTES_MAX = 1 << 20
"""Bytes of one message to a listener: a prompt of a whole window is a few thousand."""

DEPTH_MAX = 16
"""Lists and objects inside each other."""

NUMBER_MAX = 2**63

LISTENER = "unmask.listener"
"""Where a request says to the layers behind which listener it is for, by number or name."""

_LISTENER = re.compile(r"/gradio_api/(?:queue/join|(run|api|call)/([^/]*))/?")
_LIBRARY = "/gradio_api/"
_WORD = re.compile(r"[\w.-]{1,128}")
_HALF = re.compile("[\ud800-\udfff]")
_NAMES = ("session_hash", "event_id")


class Refusal(Exception):
    """A body that is refused: the status of the answer, the field, and a sentence about it."""

    def __init__(self, status: int, field: str, sentence: str) -> None:
        super().__init__(f"{field}: {sentence}")
        self.status = status


class Gate:
    """An ASGI layer in front of the UI library.

    ``takes``: number or name of a listener -> its inputs. ``queued``: those that only the queue may call, since the
    library answers the refusal of one that is called outside it as a failure of its own.
    """

    def __init__(
        self, app: Callable[..., Awaitable[None]], takes: Mapping[int | str, int], queued: Collection[int | str] = ()
    ) -> None:
        self._app, self._takes, self._queued = app, takes, queued

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path"].removeprefix(scope.get("root_path", "")) if scope["type"] == "http" else ""
        if not path.startswith(_LIBRARY) or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            body = await _whole(receive)
            scope[LISTENER] = self._check(path, body)
        except Refusal as refusal:
            await _say(send, refusal)
            return
        await self._app(scope, _again(body, receive), send)

    def _check(self, path: str, body: bytes) -> int | str | None:
        """Return the listener that is called, if one is."""
        record = parsed(body)
        for name in _NAMES:
            value = record.get(name)
            if value is not None and not (isinstance(value, str) and _WORD.fullmatch(value)):
                raise Refusal(422, name, "It is not a name of 1 to 128 letters, digits, dots and dashes.")
        # A field that another listener has filled sends its value, a component of ours an object.
        if isinstance(record.get("event_data"), list):
            raise Refusal(422, "event_data", "It is a list; it may be an object or one value.")
        number = record.get("fn_index")
        if number is not None and (type(number) is not int or number not in self._takes):
            raise Refusal(422, "fn_index", f"{_shown(number)} is no listener of this page; they are 0 to {self._last}.")
        match = _LISTENER.fullmatch(path)
        if match is None:
            return None
        named = number is None or match[1] == "call"
        listener = match[2] if named else number
        if match[1] and listener in self._queued:
            raise Refusal(422, "fn_index", f"{_shown(listener)} waits in the queue; it is called through queue/join, as gradio_client does.")
        self._check_data(record.get("data"), listener)
        return listener

    def _check_data(self, data: Any, listener: int | str | None) -> None:
        if listener not in self._takes:
            raise Refusal(422, "fn_index", f"{_shown(listener)} is no listener of this page; they are 0 to {self._last}.")
        if not isinstance(data, list):
            raise Refusal(422, "data", f"{_shown(data)} is not a list of values.")
        if len(data) != self._takes[listener]:
            raise Refusal(422, "data", f"It has {len(data)} values; this listener takes {self._takes[listener]}.")

    @property
    def _last(self) -> int:
        return max(item for item in self._takes if isinstance(item, int))


def parsed(body: bytes) -> dict[str, Any]:
    """Return the object in a body; raises ``Refusal`` for what is none, or holds what nobody can use."""
    try:
        record = json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "body", f"It is not JSON ({str(error)[:80]}).") from error
    if not isinstance(record, dict):
        raise Refusal(422, "body", "It is not an object.")
    _check_value("body", record, 0)
    return record


def _check_value(field: str, value: Any, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise Refusal(422, field, f"It is nested deeper than {DEPTH_MAX}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise Refusal(422, field, "A number in it is not finite.")
    if isinstance(value, int) and abs(value) >= NUMBER_MAX:
        raise Refusal(422, field, f"A number in it is beyond {NUMBER_MAX}.")
    if isinstance(value, str) and _HALF.search(value):
        raise Refusal(422, field, "A text in it holds half a character, which cannot be written.")
    if isinstance(value, dict):
        if "path" in value:  # how the library writes a file of the server
            raise Refusal(422, field, "It names a file, and no listener of this page takes one.")
        for key, item in value.items():
            _check_value(field, key, depth + 1)
            _check_value(key[:40] if depth == 0 else field, item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_value(field, item, depth + 1)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"


async def _whole(receive: Receive) -> bytes:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Refusal(400, "body", "It was cut off.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_BYTES_MAX:
            raise Refusal(413, "body", f"It is longer than {BODY_BYTES_MAX} bytes, the limit of one message.")
        more = message.get("more_body", False)
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a reader that gives the body once more, then whatever comes after it (that the line was cut)."""
    given = False

    async def read() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return read


async def _say(send: Send, refusal: Refusal) -> None:
    body = json.dumps({"detail": str(refusal)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
