"""What the page fetches by request: kept runs, the recorded example, our own style and modules.

Every id and file name is looked up in a table; no path is ever made from what a visitor sends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse, HTMLResponse, Response

from backend.canvas import steps_of
from backend.engine import Engine
from backend.events import Event
from backend.store import dump_run, load_run
from components import wire
from components.canvas_view import table
from components.export_view import export_page
from components.help_view import help_page
from components.html import Markup, document, tag
from components.second import described
from components.summary_view import run_line

ASSETS = Path(__file__).resolve().parents[1] / "assets"
EXAMPLE_FILE = ASSETS / "examples" / "first.unmask"
EXAMPLE = "example"
NOT_YET = "This run has not begun yet. Come back in a moment."
STYLES = ("assets/style.css", "assets/page.css", "assets/studio.css", "assets/why.css", "assets/settled.css")
LEAF_STYLES = (*STYLES, "assets/fonts.css")
"""Sheets of pages of their own."""
DARK = "assets/dark.css"
_SERVED = frozenset({".css", ".js", ".svg", ".woff2"})

Events = tuple[Event, ...]
Index = Annotated[int, Query(ge=0)]


def router(engine: Engine, root_path: str = "") -> APIRouter:
    """Return the routes of the page, to be included before the page itself is mounted."""
    routes = APIRouter()
    find = finder(engine)
    look = {"stylesheets": tuple(f"{root_path}/{sheet}" for sheet in LEAF_STYLES), "dark": f"{root_path}/{DARK}", "home": f"{root_path}/"}

    @routes.get("/runs/{run_id}")
    def run(run_id: str, first: Annotated[int, Query(alias="from", ge=0)] = 0) -> Response:
        return _json(run_object(run_id, find(run_id), first))

    @routes.get("/runs/{run_id}/candidates")
    def candidates(
        run_id: str, first: Annotated[int, Query(alias="from", ge=0)] = 0,
        last: Annotated[int, Query(alias="to", ge=0)] = 2**31,
    ) -> Response:
        return _json(candidates_object(find(run_id), first, last))

    def leaf(run_id: str, made: Callable[[Events], Response]) -> Response:
        """Return what is ``made`` of a run, or a page that says why there is no such run."""
        try:
            events = find(run_id)
        except HTTPException as error:
            return HTMLResponse(document("No such run", tag("h1", "No such run"), tag("p", error.detail), **look), error.status_code)
        return made(events) if events else HTMLResponse(document("Not yet", tag("p", NOT_YET), **look), 404)

    @routes.get("/runs/{run_id}/table", response_class=HTMLResponse)
    def canvas(run_id: str, step: Index = 2**31) -> Response:
        return leaf(run_id, lambda events: HTMLResponse(canvas_page(events, step, look)))

    @routes.get("/runs/{run_id}/export.html")
    def player(run_id: str) -> Response:
        return leaf(run_id, lambda events: _file(export_page(events).encode(), "run.html"))

    @routes.get("/runs/{run_id}/run.unmask")
    def saved(run_id: str) -> Response:
        return leaf(run_id, lambda events: _file(dump_run(events), "run.unmask"))

    @routes.get("/choices")
    def choices() -> Response:
        return _json(described(engine.models()))

    @routes.get("/help", response_class=HTMLResponse)
    def help_text() -> HTMLResponse:
        return HTMLResponse(help_page(**look))

    for path in _files():
        routes.add_api_route(f"/assets/{path.relative_to(ASSETS).as_posix()}", _sender(path))
    return routes


def canvas_page(events: Events, step: int, look: dict[str, Any]) -> Markup:
    """Return the canvas after ``step`` steps, the last one at most, as a page of its own."""
    last = min(step, len(steps_of(events)))
    return document("Canvas as a table", tag("h1", "Canvas"), run_line(events), table(events, last), **look)


def run_object(run_id: str, events: Sequence[Event], first: int) -> dict[str, Any]:
    """Return the run's wire events: the start, the steps from index ``first`` on, the end."""
    encoded = wire.Encoder(run_id).encode(events)
    return {"run": run_id, "events": [item for item in encoded if item.get("index", first) >= first]}


def candidates_object(events: Sequence[Event], first: int, last: int) -> dict[str, Any]:
    """Return the candidates of every masked position at the steps ``first`` to ``last``.

    ``texts`` holds every token text of the run up to ``last``, so that nothing is missing.
    """
    steps = [step for step in steps_of(events) if step.index <= last]
    texts = {str(token): text for step in steps for token, text in step.texts.items()}
    wanted = {str(step.index): wire.candidates(step) for step in steps if step.index >= first}
    return {"steps": wanted, "texts": texts}


def finder(engine: Engine) -> Callable[[str], Events]:
    """Return what finds the events of a kept run, or of the recorded example, by id; it raises 404 for others."""

    def find(run_id: str) -> Events:
        if run_id == EXAMPLE:
            return _example()
        handle = engine.find(run_id)
        if handle is None:
            raise HTTPException(404, "This run is not kept any more. Run it again.")
        return handle.events_so_far

    return find


@cache
def _example() -> Events:
    if not EXAMPLE_FILE.is_file():
        raise HTTPException(404, "There is no recorded example. Record one: python -m backend record-example")
    return load_run(EXAMPLE_FILE)


def _file(data: bytes, name: str) -> Response:
    """Return a file to be kept, not shown: nothing of it runs on this host."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(data, media_type="application/octet-stream", headers=headers)


def _json(value: dict[str, Any]) -> Response:
    return Response(wire.dumps(value), media_type="application/json", headers={"Cache-Control": "no-store"})


def _files() -> tuple[Path, ...]:
    return tuple(sorted(path for path in ASSETS.rglob("*") if path.suffix in _SERVED and path.is_file()))


def _sender(path: Path) -> Callable[[], FileResponse]:
    def send() -> FileResponse:
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    return send
