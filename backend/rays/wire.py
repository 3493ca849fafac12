"""How refusals and requests travel between a front end and its replicas: as JSON types, like events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.errors import AppError, Problem, RequestError


def refused(error: AppError) -> dict[str, Any]:
    """Return an error as an object of JSON types."""
    problems = error.problems if isinstance(error, RequestError) else ()
    return {"code": error.code, "message": error.message, "remedy": error.remedy,
            "problems": [[item.field, item.message] for item in problems]}


def refusal(told: Mapping[str, Any]) -> AppError:
    """Return the error that ``refused`` wrote: the same words and code."""
    if told["problems"]:
        return RequestError([Problem(field, message) for field, message in told["problems"]])
    error = AppError(told["message"], told["remedy"])
    error.code = told["code"]
    return error
