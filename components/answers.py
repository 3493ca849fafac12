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
        self._unspent: set[tuple[Any, ...]] = set()
        self._held = 0

    def get(self, key: tuple[Any, ...]) -> str | None:
        """Return a kept answer."""
        return self._texts.get(key)

    def pays(self, key: tuple[Any, ...]) -> bool:
        """Tell whether an answer is kept that has paid for no continuation yet."""
        return key in self._unspent

    def spend(self, key: tuple[Any, ...]) -> None:
        """Note that a continuation of an answer has begun."""
        self._unspent.discard(key)

    def put(self, key: tuple[Any, ...], text: str) -> None:
        """Keep an answer, forgetting the oldest ones when they are too many."""
        self._held += len(text) - len(self._texts.pop(key, ""))
        self._texts[key] = text
        self._unspent.add(key)
        while self._held > KEPT_CHARACTERS:
            oldest, forgotten = self._texts.popitem(last=False)
            self._unspent.discard(oldest)
            self._held -= len(forgotten)
