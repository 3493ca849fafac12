"""Headers and refusals around every answer: nothing from another host, no route that nobody uses."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_CLOSED = re.compile(
    r"/(gradio_api/)?(upload|upload_progress|file[=/]|proxy=|stream/|vibe|undo-vibe|process_recording"
    r"|custom_component|call/|dev/|deep_link|component_server|openapi|monitoring|svelte)"
)
"""Routes of the UI library that this page never uses: uploads, files, proxies, editors."""

_INLINE = re.compile(rb"<script(?=[\s>])")


def policy(nonce: str) -> str:
    """Return the content security policy of one answer.

    The UI library compiles templates (``unsafe-eval``) and sets styles in place; scripts run only
    from this host or with the answer's nonce, so markup that slips in cannot run any.
    """
    return "; ".join((
        "default-src 'self'",
        f"script-src 'self' 'unsafe-eval' 'nonce-{nonce}'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    ))


class Shield:
    """An ASGI layer; streams pass through untouched, only pages are read to place the nonce."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _CLOSED.search(_local_path(scope)):
            await _refuse(send)
        else:
            answer = _Answer(send)
            await self._app(scope, receive, answer.send)


class _Answer:
    """One answer on its way out."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._nonce = secrets.token_urlsafe(16)
        self._head: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        """Pass ``message`` on; hold pages back until they are whole."""
        if message["type"] == "http.response.start":
            # The UI library lets every other site read its answers, in a visitor's name, unless it is asked by loopback.
            own = [pair for pair in message.get("headers", []) if not pair[0].lower().startswith(b"access-control-")]
            message["headers"] = [*own, *_headers(self._nonce)]
            if _is_page(message):
                self._head = message
                return
        elif message["type"] == "http.response.body" and self._head is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._send_page()
            return
        await self._send(message)

    async def _send_page(self) -> None:
        body = _INLINE.sub(f'<script nonce="{self._nonce}"'.encode(), self._body)
        length = (b"content-length", str(len(body)).encode())
        kept = [pair for pair in self._head["headers"] if pair[0].lower() != b"content-length"]
        await self._send({**self._head, "headers": [*kept, length]})
        await self._send({"type": "http.response.body", "body": body})


def _headers(nonce: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-security-policy", policy(nonce).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    ]


def _is_page(message: Message) -> bool:
    types = [value for name, value in message["headers"] if name.lower() == b"content-type"]
    encoded = any(name.lower() == b"content-encoding" for name, _ in message["headers"])
    return bool(types) and types[0].startswith(b"text/html") and not encoded


def _local_path(scope: Message) -> str:
    return scope["path"].removeprefix(scope.get("root_path", ""))


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *_headers(secrets.token_urlsafe(16))]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": b"Not part of this program."})
