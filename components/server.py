"""The page, its routes and its shield as one application, and the socket that it answers on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable

import gradio as gr
import uvicorn
from fastapi import FastAPI

from backend.engine import Engine
from backend.errors import AppError
from backend.settings import LOOPBACK, Settings
from components import explain_routes, health, leaves, settled_routes
from components.door import Door
from components.gate import Gate
from components.html import Markup, join, module, tag
from components.logins import logins_of
from components.lost import Lost
from components.page import STARTS, build
from components.rates import Rates
from components.routes import DARK, STYLES, router
from components.shield import Shield
from components.studio_routes import studio_router
from components.theme import theme
from components.tidy import Tidy

log = logging.getLogger(__name__)

_SCRIPTS = ("assets/page.js", "assets/app.js")

DRAIN_S = 4.0
"""How long a server that is told to end waits for the pass under way, before it stops answering."""

ANSWER_S = 2
"""How long it then lets answers finish: the last events of the runs are among them."""

LOAD_S = 2.0
"""How long it waits for a model that it is still loading."""

CLOSING = "The server was told to end, so the run was ended; what it had written is kept here."


def application(settings: Settings, engine: Engine, loaded: Callable[[], None] = lambda: None) -> FastAPI:
    """Return the whole application; the start model is loaded once it answers, then ``loaded`` is called."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=_loading(settings, engine, loaded))
    app.include_router(health.router(settings, engine))
    app.include_router(studio_router(engine, settings.import_mb << 20))
    app.include_router(router(engine, settings.root_path))
    page = build(settings, engine, offer_explanations(app, settings, engine))
    app.include_router(leaves.router(settings, engine))
    page.state_session_capacity = settings.sessions_max  # the library keeps 10,000, closed tabs among them
    app.add_middleware(Tidy, queue=page._queue)
    app.add_middleware(Lost, gone=engine.end_runs_of)
    app.add_middleware(Rates, per_minute=settings.starts_per_minute, starts=starts_of(page))
    app.add_middleware(Gate, takes=inputs_of(page), queued=queued_of(page))
    app.add_middleware(Door, logins=logins_of(settings.auth))
    app.add_middleware(Shield)  # the outermost: its headers are on refusals too
    return gr.mount_gradio_app(
        app, page, path="/", root_path=settings.root_path or None,
        theme=theme(), head=_head(settings.root_path), footer_links=[], run_history=False,
        show_error=False, ssr_mode=False, enable_monitoring=False, max_file_size=0,
        server_name=settings.host, server_port=settings.port,
    )


def offer_explanations(app: FastAPI, settings: Settings, engine: Engine) -> explain_routes.Desk:
    """Let an application answer what asks about the runs of an engine; return the desk that explains them."""
    desk = explain_routes.Desk(engine, settings.pass_time_s, settings.threads)
    app.include_router(explain_routes.router(desk, settled_routes.PLANS, settings.explain_cells))
    app.include_router(settled_routes.router(engine))
    return desk


def queued_of(page: gr.Blocks) -> frozenset[int | str]:
    """Return the numbers and names of the listeners that wait in the queue for their turn."""
    found = [(number, listener.api_name) for number, listener in page.fns.items() if listener.queue]
    return frozenset(item for pair in found for item in pair if not isinstance(item, bool) and item is not None)


def starts_of(page: gr.Blocks) -> frozenset[int | str]:
    """Return the numbers and names of the listeners that begin a run or an explanation."""
    found = [(number, listener.api_name) for number, listener in page.fns.items() if listener.api_name in STARTS]
    return frozenset(item for pair in found for item in pair)


def inputs_of(page: gr.Blocks) -> dict[int | str, int]:
    """Return how many inputs each listener of a page takes, by its number and by its name."""
    counts: dict[int | str, int] = {}
    for number, listener in page.fns.items():
        if listener.fn is None:  # one that lives in the browser alone
            continue
        counts[number] = len(listener.inputs)
        if isinstance(listener.api_name, str):
            counts[listener.api_name] = len(listener.inputs)
    return counts


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


def serve(settings: Settings, engine: Engine, listener: socket.socket, loaded: Callable[[], None]) -> None:
    """Answer on ``listener`` until the program is told to end; every run then gets its end."""
    if settings.host not in LOOPBACK and not settings.auth:
        log.warning("Anybody who reaches %s may run models here; --auth FILE asks for a login.", settings.host)
    config = uvicorn.Config(
        application(settings, engine, loaded), log_level="warning", log_config=None, root_path=settings.root_path,
        timeout_graceful_shutdown=ANSWER_S,
    )
    Server(config, engine).run(sockets=[listener])


class Server(uvicorn.Server):
    """A server that ends the runs of its engine before it stops answering."""

    def __init__(self, config: uvicorn.Config, engine: Engine) -> None:
        super().__init__(config)
        self._engine = engine

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new runs, end those under way, let their last events out, then stop."""
        await asyncio.to_thread(self._engine.close, DRAIN_S, CLOSING)
        await super().shutdown(sockets)


def _loading(settings: Settings, engine: Engine, loaded: Callable[[], None]):
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        first = threading.Thread(target=_load, args=(settings, engine, loaded), name="unmask-first-load", daemon=True)
        first.start()
        log.info("Unmask is at http://%s:%d%s", settings.host, settings.port, settings.root_path)
        yield
        await asyncio.to_thread(first.join, LOAD_S)

    return lifespan


def _load(settings: Settings, engine: Engine, loaded: Callable[[], None]) -> None:
    try:
        engine.load(settings.model)
    except AppError as error:
        log.error("%s", error)
    finally:
        loaded()


def _head(root_path: str) -> Markup:
    sheets = (tag("link", rel="stylesheet", href=f"{root_path}/{sheet}") for sheet in (*STYLES, DARK))
    return join(*sheets, *(module(f"{root_path}/{script}") for script in _SCRIPTS))
