"""Errors with four parts: what is wrong, the value given, the limit, what to do.

Only these may reach a visitor. ``str(error)`` is one paragraph that can be shown as it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class AppError(Exception):
    """A failure that a person can act on."""

    code = "error"

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True)
class Problem:
    """One wrong field of a request: its name, and a sentence with value, limit and remedy."""

    field: str
    message: str


class RequestError(AppError):
    """A request that cannot be run; lists every wrong field at once."""

    code = "request"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(" ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = tuple(problems)


class ModelError(AppError):
    """A model that cannot be loaded or cannot do what was asked of it."""

    code = "model"


class RunFileError(AppError):
    """A run file that is truncated, altered, of another version, or not a run file."""

    code = "run_file"


class BusyError(AppError):
    """The queue is full."""

    code = "busy"


class CapabilityError(AppError):
    """A model that lacks what a decoder or an explanation needs."""

    code = "capability"
