"""What the studio fetches by request: the lessons."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from backend.engine import Engine
from backend.lessons.catalogue import LESSONS
from components import wire
from components.lessons_view import lessons_object


def studio_router(engine: Engine) -> APIRouter:
    """Return the routes of the studio."""
    routes = APIRouter()

    @routes.get("/lessons")
    def lessons() -> Response:
        return Response(wire.dumps(lessons_object(LESSONS, engine.models())), media_type="application/json")

    return routes
