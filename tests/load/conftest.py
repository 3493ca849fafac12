"""A real server on a socket, its engine and its model in this process."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import uvicorn
from fastapi import FastAPI

from backend.engine import LocalEngine
from backend.settings import Settings
from benchmarks.browser import free_port
from components.server import application, listen
from tests.conftest import WAIT_S, FakeModel


@dataclass
class Served:
    """One server: its address, its engine, its model, its application."""

    address: str
    engine: LocalEngine
    model: FakeModel
    app: FastAPI


class SlowModel(FakeModel):
    """A fake model whose pass takes a while; ``begun`` counts the passes that were started."""

    pass_s, begun = 0.0, 0

    def forward(self, *inputs, **details):
        self.begun += 1
        time.sleep(self.pass_s)
        return super().forward(*inputs, **details)


@pytest.fixture
def engine_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., LocalEngine]]:
    """Return a function that starts an engine on a model until the test is over, with no server before it."""
    with contextlib.ExitStack() as closing:

        def start(model: FakeModel, **settings: object) -> LocalEngine:
            monkeypatch.setattr("backend.models.loading.load_model", lambda name, **_: model)
            engine = LocalEngine(Settings(**settings))
            closing.callback(engine.close)
            return engine

        yield start


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Served]]:
    """Return a function that serves a model on a free port until the test is over."""
    with contextlib.ExitStack() as closing:

        def start(model: FakeModel, **settings: object) -> Served:
            monkeypatch.setattr("backend.models.loading.load_model", lambda name, **_: model)
            chosen = Settings(port=free_port(), **settings)
            engine, listener = LocalEngine(chosen), listen(chosen)
            app = application(chosen, engine)
            server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
            thread.start()
            until(lambda: server.started)

            def stop() -> None:
                server.should_exit = True
                thread.join(WAIT_S)
                engine.close()

            closing.callback(stop)
            return Served(f"http://127.0.0.1:{chosen.port}", engine, model, app)

        yield start


def until(condition: Callable[[], object], seconds: float = WAIT_S) -> float:
    """Wait for a condition and return how long it took; fails after ``seconds``."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, "The condition did not come."
        time.sleep(0.002)
    return time.monotonic() - begun
