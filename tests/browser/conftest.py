"""The real page in a real Chromium: servers that the tests can look into, and pages that must behave.

Every page of these tests fails its test when it asks another host for anything, throws, or complains.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect

from backend import load_model
from backend.engine import LocalEngine, RunHandle
from backend.settings import Settings
from benchmarks.browser import chromium, free_port
from components.server import application, listen
from tests.conftest import WAIT_S, FakeModel

WAIT_MS = WAIT_S * 1000
NASTY = (
    "<img src=x onerror=window.ran=1>", "${window.ran=1}", "`+(window.ran=1)+`", "{{window.ran=1}}",
    "<script>window.ran=1</script>", "\u202eright to left\u202c", "half \ud800 sign", "'\"><b>bold</b>", "&lt;b&gt;",
)

OUTBOUND = ("socket.connect", "socket.getaddrinfo", "socket.sendto")
HERE = (None, "127.0.0.1", "::1", "localhost", b"127.0.0.1", b"localhost", "")


class FixedEngine(LocalEngine):
    """The engine of one server, with the model that the tests give it."""

    def __init__(self, settings: Settings, model: object) -> None:
        self._given = model
        super().__init__(settings)

    def load(self, name: str) -> object:
        """Return the given model under any name."""
        return self._shelf._loaded.setdefault(name, self._given)


class GatedModel(FakeModel):
    """A fake model whose every pass waits for a permit of the test."""

    def __init__(self) -> None:
        super().__init__()
        self.permits = threading.Semaphore(0)

    def forward(self, input_ids=None, **details):
        assert self.permits.acquire(timeout=WAIT_S)
        return super().forward(input_ids, **details)


class HostileModel(FakeModel):
    """A fake model whose tokens are texts that would like to be more."""

    def token(self, token_id: int) -> str:
        return super().token(token_id) if token_id >= 256 else NASTY[token_id % len(NASTY)]

    def decode(self, ids: tuple[int, ...]) -> str:
        return "".join(self.token(token) for token in ids)


@dataclass
class Site:
    """One server: its address, and what is behind it."""

    address: str
    engine: LocalEngine
    model: object = None

    def run_of(self, page: Page) -> RunHandle:
        """Return the run that a page shows."""
        return self.engine.find(page.evaluate("window.unmask.trace.start.run"))


@contextlib.contextmanager
def site(model: object) -> Iterator[Site]:
    """Serve the page with ``model`` behind it, in a thread of this process."""
    with opened_site(Settings, lambda settings: FixedEngine(settings, model)) as served:
        served.model = model
        try:
            yield served
        finally:
            if isinstance(model, GatedModel):
                model.permits.release(10_000)


@contextlib.contextmanager
def opened_site(
    settings: Callable[..., Settings], engine_of: Callable[[Settings], LocalEngine] = LocalEngine
) -> Iterator[Site]:
    """Serve the page on a free port, in a thread of this process."""
    chosen = settings(port=free_port())
    listener = listen(chosen)
    engine = engine_of(chosen)
    server = uvicorn.Server(uvicorn.Config(application(chosen, engine), log_level="error", timeout_graceful_shutdown=1, root_path=chosen.root_path))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    until = time.monotonic() + WAIT_S
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    try:
        yield Site(f"http://127.0.0.1:{chosen.port}", engine)
    finally:
        server.should_exit = True
        thread.join(WAIT_S)
        engine.close()


@pytest.fixture(scope="session")
def asked_of_others() -> list[str]:
    """Every request of this process to another host, as it is made: the servers of these tests run in it."""
    asked: list[str] = []

    def heard(event: str, details: tuple[object, ...]) -> None:
        if event in OUTBOUND:
            host = details[0] if event == "socket.getaddrinfo" else details[1][0] if isinstance(details[1], tuple) else None
            if host not in HERE:
                asked.append(f"{event} {host!r}")

    sys.addaudithook(heard)
    return asked


@pytest.fixture(autouse=True)
def no_outbound_connection(asked_of_others: list[str]) -> Iterator[None]:
    """Fail when another host was asked for anything during a test; other files' tests may run in the same process."""
    asked_of_others.clear()
    yield
    assert asked_of_others == []


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The Chromium of the system."""
    expect.set_options(timeout=WAIT_MS)
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def real() -> Iterator[Site]:
    """A server with the embedded model."""
    with site(load_model("tiny-diffusion")) as served:
        yield served


@pytest.fixture(scope="module")
def gated() -> Iterator[Site]:
    """A server whose model waits for the test before every pass."""
    with site(GatedModel()) as served:
        yield served


@pytest.fixture(scope="module")
def hostile() -> Iterator[Site]:
    """A server whose model writes markup and code."""
    with site(HostileModel()) as served:
        yield served


Visit = Callable[..., Page]

WATCH_POLICY = """addEventListener('securitypolicyviolation', (event) =>
  window.unmaskViolated?.(`${event.effectiveDirective} forbids ${event.blockedURI} ${event.sample}`), true)"""
OF_POLICY = ("inline event handler", "Content Security Policy")
"""How a browser names a violation of the content security policy; a test that provokes one bears it by these words."""


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Return a function that opens the page of a site, or a ``leaf`` of it, in a fresh browser profile.

    ``bears`` is part of a complaint that the test provokes.
    """
    contexts, trouble = [], []

    def open_page(at: Site | str, *, leaf: str = "", width: int = 1440, height: int = 900, dark: bool = False, bears: str | None = None, **options: object) -> Page:
        address = at if isinstance(at, str) else at.address
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", **options)
        contexts.append(context)
        if not (bears and any(words in bears for words in OF_POLICY)):
            context.expose_binding("unmaskViolated", lambda _, said: trouble.append(f"violated the policy: {said}"))
            context.add_init_script(WATCH_POLICY)
        page = context.new_page()
        host = urlsplit(address).netloc
        page.on("request", lambda asked: trouble.append(f"asked {asked.url}")
                if urlsplit(asked.url).scheme in ("http", "https", "ws", "wss") and urlsplit(asked.url).netloc != host else None)
        page.on("pageerror", lambda error: trouble.append(f"threw {error}"))
        page.on("console", lambda said: trouble.append(f"said {said.text}") if said.type == "error" and not (bears and bears in said.text) else None)
        page.set_default_timeout(WAIT_MS)
        page.goto(address if isinstance(at, str) and not leaf else f"{address}/{leaf}")
        page.wait_for_function("leaf => document.documentElement.dataset.unmask === 'ready' && (leaf || window.unmask.trace.steps > 0)", arg=leaf)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


def painted(page: Page, step: int) -> None:
    """Wait until the page has painted ``step``."""
    page.wait_for_function("step => document.querySelector('[data-painted]').dataset.painted === String(step)", arg=step)


def seek(page: Page, step: int) -> None:
    """Move the playhead and wait until the step is painted."""
    page.evaluate("step => { window.unmask.clock.pause(); window.unmask.clock.seek(step); }", step)
    painted(page, step)


def fill(page: Page, field: str, text: str) -> None:
    """Type into the field of the request and leave it."""
    entry = page.locator(f"#field-{field} :is(textarea, input:not([type=range]))").first
    entry.fill(text)
    entry.blur()


def press_run(page: Page) -> None:
    """Press Run and wait until the page shows the new run."""
    before = page.evaluate("window.unmask.trace.start.run")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function("before => window.unmask.trace.start.run !== before", arg=before)


def run(page: Page) -> int:
    """Press Run, wait for the end, stop any replay, and return the number of steps.

    The page asks the server once more after the last event, to offer Run again: whoever counts requests begins after it.
    """
    page.evaluate("window.unmask.clock.autoReplay = false")
    press_run(page)
    page.wait_for_function("window.unmask.trace.end !== null && document.querySelector('#run:not([disabled])') && document.querySelector('#stop[disabled]')")
    steps = page.evaluate("window.unmask.trace.steps")
    painted(page, steps)
    return steps


def cells(page: Page) -> list[str]:
    """Return what the cells of the answer show: the token's text, or ``None`` for a mask."""
    return page.evaluate("[...document.querySelectorAll('.tokens .cell')].map(cell => cell.classList.contains('masked') ? null : cell.textContent)")
