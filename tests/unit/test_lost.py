"""A line of messages that is lost tells whose it was, at once and once; one that came to its end does not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from components.lost import Lost

DISCONNECT = {"type": "http.disconnect"}
PART = {"type": "http.response.body", "body": b"data: 1", "more_body": True}
LAST = {"type": "http.response.body", "body": b"", "more_body": False}


def told(path: str, query: bytes, answers: Sequence[dict[str, Any]], root_path: str = "") -> list[str]:
    """Return who was said to be gone by a library that sends these answers, then hears twice that the line is closed."""
    gone: list[str] = []

    async def library(scope: Any, receive: Any, send: Any) -> None:
        for answer in answers:
            await send(answer)
        for _ in range(2):
            assert await receive() == DISCONNECT

    async def receive() -> dict[str, Any]:
        return DISCONNECT

    async def send(message: dict[str, Any]) -> None:
        pass

    scope = {"type": "http", "path": path, "query_string": query, "root_path": root_path}
    asyncio.run(Lost(library, gone.append)(scope, receive, send))
    return gone


def test_a_lost_line_tells_its_session_once() -> None:
    assert told("/gradio_api/queue/data", b"session_hash=abc", [PART, PART]) == ["abc"]


def test_a_lost_line_under_a_sub_path_does_too() -> None:
    assert told("/unmask/gradio_api/queue/data", b"session_hash=abc", [PART], root_path="/unmask") == ["abc"]


def test_a_line_that_came_to_its_end_is_not_lost() -> None:
    assert told("/gradio_api/queue/data", b"session_hash=abc", [PART, LAST]) == []


@pytest.mark.parametrize(("path", "query"), [
    ("/gradio_api/heartbeat/abc", b""), ("/gradio_api/queue/data", b""), ("/runs/abc", b"session_hash=abc"),
])
def test_other_lines_tell_nothing(path: str, query: bytes) -> None:
    assert told(path, query, [PART]) == []
