"""Answers that were computed once and are given again."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

KEPT_CHARACTERS = 64_000_000
"""Characters of answers that are kept, those of all runs together."""


class Answers:
    """The newest answers, as many as ``KEPT_CHARACTERS`` hold; used from the event loop's threads."""

    def __init__(self) -> None:
        self._texts: OrderedDict[tuple[Any, ...], str] = OrderedDict()
        self._held = 0

    def get(self, key: tuple[Any, ...]) -> str | None:
        """Return a kept answer."""
        return self._texts.get(key)

    def put(self, key: tuple[Any, ...], text: str) -> None:
        """Keep an answer, forgetting the oldest ones when they are too many."""
        self._held += len(text) - len(self._texts.pop(key, ""))
        self._texts[key] = text
        while self._held > KEPT_CHARACTERS:
            self._held -= len(self._texts.popitem(last=False)[1])
