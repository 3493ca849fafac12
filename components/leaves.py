"""Pages of their own beside the instrument: the decoders, and many runs at once; and the chart library they share."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, HTMLResponse

from backend.engine import LocalEngine
from backend.settings import Settings
from components import many, measured
from components.decoders_view import decoders_page
from components.routes import DARK, LEAF_STYLES

SHEETS = (*LEAF_STYLES, "assets/leaf.css")
CHARTS = "/assets/charts/plotly.js"
A_DAY = "max-age=86400"


def router(settings: Settings, engine: LocalEngine) -> APIRouter:
    """Return the routes of these pages, to be included before the instrument itself is mounted."""
    routes, root = APIRouter(), settings.root_path
    look = {"stylesheets": tuple(f"{root}/{sheet}" for sheet in SHEETS), "dark": f"{root}/{DARK}", "home": f"{root}/"}

    @routes.get("/decoders", response_class=HTMLResponse)
    def decoders() -> HTMLResponse:
        return HTMLResponse(decoders_page(look, (f"{root}/assets/decoders.js",)))

    @routes.get("/decoders.csv")
    def table() -> FileResponse:
        if not measured.TABLE.is_file():
            raise HTTPException(404, f"Nothing has been measured here yet. Measure: {measured.COMMAND}")
        return FileResponse(measured.TABLE, media_type="text/csv", filename="decoders.csv")

    @routes.get(CHARTS)
    def charts() -> FileResponse:
        return FileResponse(_library(), media_type="text/javascript", headers={"Cache-Control": A_DAY})

    routes.include_router(many.router(settings, engine, look))
    return routes


def _library() -> Path:
    """Return the chart library that the Python package ships, found without importing the package."""
    folder = find_spec("plotly").submodule_search_locations[0]
    return Path(folder) / "package_data" / "plotly.min.js"
