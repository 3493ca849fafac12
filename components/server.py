"""The page, its routes and its shield as one application, and the socket that it answers on."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import AsyncIterator

import gradio as gr
import uvicorn
from fastapi import FastAPI

from backend.engine import LocalEngine
from backend.errors import AppError
from backend.settings import Settings
from components import explain_routes, settled_routes
from components.html import Markup, join, module, tag
from components.page import build
from components.routes import DARK, STYLES, router
from components.shield import Shield
from components.theme import theme

log = logging.getLogger(__name__)

_SCRIPTS = ("assets/page.js", "assets/app.js")


def application(settings: Settings, engine: LocalEngine) -> FastAPI:
    """Return the whole application; the start model is loaded once it answers."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=_loading(settings, engine))
    app.include_router(router(engine, settings.root_path))
    app.include_router(explain_routes.router(engine, settled_routes.PLANS))
    app.include_router(settled_routes.router(engine))
    app.add_middleware(Shield)
    return gr.mount_gradio_app(
        app, build(settings, engine), path="/", root_path=settings.root_path or None,
        theme=theme(), head=_head(settings.root_path), footer_links=[], run_history=False,
        show_error=False, ssr_mode=False, enable_monitoring=False, max_file_size=0,
        server_name=settings.host, server_port=settings.port,
    )


def listen(settings: Settings) -> socket.socket:
    """Return the socket of the server; raises ``AppError`` when the address is not free."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        # Listening at once is what makes a second server on this port fail here, not later.
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise AppError(
            f"Port {settings.port} on {settings.host} cannot be used ({error.strerror}).",
            f"Stop what uses it, or choose another one: --port {settings.port % 65535 + 1}.",
        ) from error
    return listener


def serve(settings: Settings, engine: LocalEngine, listener: socket.socket) -> None:
    """Answer on ``listener`` until the program is told to end."""
    config = uvicorn.Config(
        application(settings, engine), log_level="warning", root_path=settings.root_path,
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _loading(settings: Settings, engine: LocalEngine):
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=_load, args=(settings, engine), name="unmask-first-load", daemon=True).start()
        log.info("Unmask is at http://%s:%d%s", settings.host, settings.port, settings.root_path)
        yield

    return lifespan


def _load(settings: Settings, engine: LocalEngine) -> None:
    try:
        engine.load(settings.model)
    except AppError as error:
        log.error("%s", error)


def _head(root_path: str) -> Markup:
    sheets = (tag("link", rel="stylesheet", href=f"{root_path}/{sheet}") for sheet in (*STYLES, DARK))
    return join(*sheets, *(module(f"{root_path}/{script}") for script in _SCRIPTS))
