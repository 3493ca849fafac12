"""The query of an explanation, read field by field; every wrong one is reported, all at once."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from backend.errors import Problem, RequestError

N_STEPS_MAX = 256
"""Points of an attribution's path."""
WHOLE = re.compile(r"-?\d{1,9}")
WORD = re.compile(r"\w{1,40}")
_REQUIRED = object()


class Query:
    """Reads a query and remembers what is wrong with it."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = dict(given)
        self._known = ["visitor"]
        self._problems: list[Problem] = []
        self.visitor = given.get("visitor", "") if WORD.fullmatch(given.get("visitor", "")) else ""

    @property
    def asked(self) -> tuple[tuple[str, str], ...]:
        """The fields as they were given, the visitor's name left out."""
        return tuple(sorted((field, text) for field, text in self._given.items() if field != "visitor"))

    def whole(self, field: str, default: object = _REQUIRED, low: int | None = None, high: int | None = None) -> int | None:
        """Return a whole number within its limits."""
        text = self._text(field, default, "a whole number")
        if text is None:
            return None if default is _REQUIRED else default
        if not WHOLE.fullmatch(text):
            return self._wrong(field, f"{text[:40]!r} is not a whole number{_within(low, high)}.")
        value = int(text)
        if (low is not None and value < low) or (high is not None and value > high):
            return self._wrong(field, f"{value} is out of range{_within(low, high)}.")
        return value

    def share(self, field: str, default: float) -> float | None:
        """Return a number from 0 up to, not including, 1."""
        text = self._text(field, default, "a share")
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value < 1:  # NaN fails both
            return self._wrong(field, f"{text[:40]!r} is not a share; give a number from 0 up to, not including, 1.")
        return value

    def word(self, field: str, default: object = _REQUIRED) -> str | None:
        """Return a name; which names exist is another's to say."""
        text = self._text(field, default, "a name")
        if text is None:
            return None if default is _REQUIRED else default
        return text[:40]

    def check(self) -> None:
        """Raise ``RequestError`` that lists every wrong field and every field that is not known."""
        for field in sorted(set(self._given) - set(self._known)):
            self._problems.append(Problem(field[:40], f"There is no such field; the fields are {', '.join(self._known[1:])}."))
        if self._problems:
            raise RequestError(self._problems)

    def _text(self, field: str, default: object, kind: str) -> str | None:
        self._known.append(field)
        if field not in self._given and default is _REQUIRED:
            self._wrong(field, f"It is missing; give {kind}.")
        return self._given.get(field)

    def _wrong(self, field: str, message: str) -> None:
        self._problems.append(Problem(field, message))


def way_of(query: Query) -> dict[str, Any]:
    """Return how an attribution is to be computed; what the names may be is checked with the model."""
    return {
        "method": query.word("method", "integrated_gradients"), "objective": query.word("objective", "log_prob"),
        "baseline": query.word("baseline", "mask"), "n_steps": query.whole("n_steps", 32, low=1, high=N_STEPS_MAX),
    }


def half_of(method: str, n_steps: int) -> int | None:
    """Return half the points of a method that sums over points of a path; None where there are none to halve."""
    from backend.explanations.catalogue import find_method

    found = find_method(method)
    return n_steps // 2 if found and found.complete and n_steps % 2 == 0 else None


def _within(low: int | None, high: int | None) -> str:
    return "" if low is None else f"; give {low} to {high}"
