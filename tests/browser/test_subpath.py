"""The whole page behind a reverse proxy, under a sub-path: it runs, and asks nothing outside of it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from playwright.sync_api import expect

from backend.settings import Settings
from benchmarks.browser import free_port
from tests.browser.conftest import Visit, fill, opened_site, run
from tests.conftest import WAIT_S

pytestmark = pytest.mark.browser

PREFIX = "/unmask"
HOP = {b"connection", b"transfer-encoding", b"keep-alive", b"content-length"}


def proxy(target: str, outside: list[str]):
    """Return a proxy that takes the prefix off, as ``deploy/nginx.conf`` does; what lies outside is noted and not found."""
    client = httpx.AsyncClient(base_url=target, timeout=None)

    async def app(scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        if not scope["path"].startswith(f"{PREFIX}/"):
            outside.append(scope["path"])
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        path = scope["raw_path"].decode().removeprefix(PREFIX) + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
        kept = [(name, value) for name, value in scope["headers"] if name not in HOP]
        asked = client.build_request(scope["method"], path, headers=kept, content=body)
        answer = await client.send(asked, stream=True)
        await send({"type": "http.response.start", "status": answer.status_code,
                    "headers": [(name.lower(), value) for name, value in answer.headers.raw if name.lower() not in HOP]})
        with contextlib.suppress(httpx.HTTPError):
            async for part in answer.aiter_raw():
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        await answer.aclose()

    return app


@pytest.fixture
def behind() -> Iterator[tuple[str, list[str]]]:
    """The address of a server behind a proxy, and what was asked outside of the sub-path."""
    outside: list[str] = []
    with opened_site(lambda port: Settings(port=port, root_path=PREFIX)) as site:
        port = free_port()
        server = uvicorn.Server(uvicorn.Config(proxy(site.address, outside), port=port, log_level="error", timeout_graceful_shutdown=1, lifespan="off"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        until = time.monotonic() + WAIT_S
        while not server.started and time.monotonic() < until:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}{PREFIX}", outside
        server.should_exit = True
        thread.join(WAIT_S)


def test_the_page_works_under_a_sub_path_and_asks_nothing_outside_of_it(behind: tuple[str, list[str]], visit: Visit) -> None:
    address, outside = behind
    page = visit(f"{address}/", bears="404")
    fill(page, "prompt", "sum: 12+34=")
    fill(page, "length", "5")
    assert run(page) >= 1
    page.locator(".tokens .cell").first.click()
    page.wait_for_function("document.querySelector('#why-attribution').dataset.shown")
    page.locator("#lessons-open").click()
    expect(page.locator(".lesson-item").first).to_be_visible()
    for leaf in ("help", "decoders", "many"):
        opened = page.context.new_page()
        assert opened.goto(f"{address}/{leaf}").status == 200
        assert opened.locator(".back a").get_attribute("href") == f"{PREFIX}/"
    assert set(outside) <= {"/favicon.ico"}  # which a browser asks of the host by itself, for a page that names no icon
