"""What the studio asks by request: the lessons, runs as text for other programs, and runs handed back in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from backend.engine import Engine
from backend.errors import RunFileError
from backend.events import Event
from backend.lessons.catalogue import LESSONS
from backend.store import parse_text
from components import exports, wire
from components.lessons_view import lessons_object
from components.routes import finder

RUN_BYTES_MAX = 32 * 1024 * 1024
"""Bytes of a run that is handed in."""

RUN_TYPE = "application/x-unmask-run"
"""A type that no form of another site can send without asking first."""


def studio_router(engine: Engine, run_bytes_max: int = RUN_BYTES_MAX) -> APIRouter:
    """Return the routes of the studio; a run that is handed in has ``run_bytes_max`` bytes at most."""
    routes = APIRouter()
    find = finder(engine)

    @routes.get("/lessons")
    def lessons() -> Response:
        return _json(lessons_object(LESSONS, engine.models()))

    def text(run_id: str, name: str, made: Callable[[Sequence[Event]], str]) -> Response:
        """Return what is ``made`` of a run as a file to be kept."""
        events = find(run_id)
        if not events:
            raise HTTPException(404, "This run has not begun yet. Come back in a moment.")
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return Response(made(events).encode("utf-8", "replace"), media_type="text/plain; charset=utf-8", headers=headers)

    @routes.get("/runs/{run_id}/events.jsonl")
    def events(run_id: str) -> Response:
        return text(run_id, "events.jsonl", exports.lines)

    @routes.get("/runs/{run_id}/scores.csv")
    def scores(run_id: str) -> Response:
        return text(run_id, "scores.csv", exports.scores_table)

    @routes.get("/runs/{run_id}/repeat.py")
    def repeat(run_id: str) -> Response:
        return text(run_id, "repeat.py", exports.snippet)

    @routes.post("/runs")
    async def hand_in(request: Request) -> Response:
        if request.headers.get("content-type") != RUN_TYPE:
            raise HTTPException(415, f"Send a run as {RUN_TYPE}.")
        data = await _body(request, run_bytes_max)
        try:
            parsed = await run_in_threadpool(parse_text, data)
        except RunFileError as error:
            return _json({"message": str(error)}, 422)
        return _json({"run": engine.keep(parsed).id})

    return routes


async def _body(request: Request, most: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise HTTPException(413, f"The run is longer than {most >> 20} MB, the limit for a run that is handed in.")
        parts.append(part)
    return b"".join(parts)


def _json(value: dict[str, object], status: int = 200) -> Response:
    return Response(wire.dumps(value), status, media_type="application/json", headers={"Cache-Control": "no-store"})
