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
from backend.engine import LocalEngine
from backend.events import Event
from backend.store import load_run
from components import wire
from components.canvas_view import table
from components.help_view import help_page
from components.html import document, tag
from components.summary_view import run_line

ASSETS = Path(__file__).resolve().parents[1] / "assets"
EXAMPLE_FILE = ASSETS / "examples" / "first.unmask"
EXAMPLE = "example"
STYLES = ("assets/style.css", "assets/page.css", "assets/why.css", "assets/settled.css")
DARK = "assets/dark.css"
_SERVED = frozenset({".css", ".js", ".svg", ".woff2"})

Events = tuple[Event, ...]
Index = Annotated[int, Query(ge=0)]


def router(engine: LocalEngine, root_path: str = "") -> APIRouter:
    """Return the routes of the page, to be included before the page itself is mounted."""
    routes = APIRouter()
    find = finder(engine)
    look = {"stylesheets": tuple(f"{root_path}/{sheet}" for sheet in STYLES), "dark": f"{root_path}/{DARK}"}

    @routes.get("/runs/{run_id}")
    def run(run_id: str, first: Annotated[int, Query(alias="from", ge=0)] = 0) -> Response:
        return _json(run_object(run_id, find(run_id), first))

    @routes.get("/runs/{run_id}/candidates")
    def candidates(
        run_id: str, first: Annotated[int, Query(alias="from", ge=0)] = 0,
        last: Annotated[int, Query(alias="to", ge=0)] = 2**31,
    ) -> Response:
        return _json(candidates_object(find(run_id), first, last))

    @routes.get("/runs/{run_id}/table", response_class=HTMLResponse)
    def canvas(run_id: str, step: Index = 2**31) -> HTMLResponse:
        events = find(run_id)
        if not events:
            raise HTTPException(404, "This run has not begun yet.")
        last = min(step, len(steps_of(events)))
        page = document("Canvas as a table", tag("h1", "Canvas"), run_line(events), table(events, last), **look)
        return HTMLResponse(page)

    @routes.get("/help", response_class=HTMLResponse)
    def help_text() -> HTMLResponse:
        return HTMLResponse(help_page(**look))

    for path in _files():
        routes.add_api_route(f"/assets/{path.relative_to(ASSETS).as_posix()}", _sender(path))
    return routes


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


def finder(engine: LocalEngine) -> Callable[[str], Events]:
    """Return a function from a run's id to its events so far; it raises ``HTTPException`` 404."""

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


def _json(value: dict[str, Any]) -> Response:
    return Response(wire.dumps(value), media_type="application/json", headers={"Cache-Control": "no-store"})


def _files() -> tuple[Path, ...]:
    return tuple(sorted(path for path in ASSETS.rglob("*") if path.suffix in _SERVED and path.is_file()))


def _sender(path: Path) -> Callable[[], FileResponse]:
    def send() -> FileResponse:
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    return send
