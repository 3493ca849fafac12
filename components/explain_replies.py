"""How an explanation is answered or refused: JSON that no cache keeps."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi.responses import Response

from backend.errors import AppError, RequestError
from components import wire
from components.rates import TooMany

STATUS = {"request": 422, "capability": 409, "model": 409, "superseded": 409, "too_many": 429, "busy": 503, "memory": 503}
"""By the code of an error."""

FRESH: Mapping[str, str] = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def refusal(error: AppError) -> Response:
    """Return a refusal as JSON: message, remedy, and which fields are wrong."""
    told = {"message": error.message, "remedy": error.remedy}
    if isinstance(error, RequestError):
        told["problems"] = [{"field": item.field, "message": item.message} for item in error.problems]
    more = error.headers if isinstance(error, TooMany) else {}
    return sent(wire.dumps(told), STATUS.get(error.code, 404 if isinstance(error, NotKept) else 500), more)


class NotKept(AppError):
    """A run that nobody keeps."""

    code = "not_kept"


def sent(text: str, status: int = 200, more: Mapping[str, str] = {}) -> Response:  # noqa: B006
    """Return a text as an answer of its own."""
    return Response(text.rstrip("\n"), status, media_type="application/json", headers={**FRESH, **more})
