"""The real app and a real Chromium for measurements and pictures."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)
START_S = 120.0


@contextlib.contextmanager
def served(*options: str, **environment: str) -> Iterator[tuple[str, float]]:
    """Start ``app.py`` on a free port and yield its address and the seconds until it answered."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port), *options], cwd=ROOT, stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
    )
    try:
        wait_for(address, begin + START_S)
        yield address, time.perf_counter() - begin
    finally:
        process.terminate()
        process.wait(timeout=20)


def wait_for(address: str, until: float) -> None:
    """Return once the page is served; raises ``TimeoutError`` after ``until`` (perf_counter)."""
    while time.perf_counter() < until:
        try:
            with urllib.request.urlopen(address, timeout=5) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.02)
    raise TimeoutError(f"{address} did not answer within {START_S:g} s.")


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def player() -> Iterator[str]:
    """Serve the repository's files on a free port and yield the address of the player by itself."""
    handler = functools.partial(_Quiet, directory=str(ROOT))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/tests/js/harness.html"
        finally:
            server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing about it."""

    def log_message(self, format: str, *args: object) -> None:
        """Write no log."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start the Chromium of the system."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def opened(browser: Browser, address: str, *, width: int = 1440, height: int = 900, dark: bool = False) -> Page:
    """Return a page of the app in a fresh context, once its instrument is mounted."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light",
    )
    page = context.new_page()
    page.goto(f"{address}/?__theme={'dark' if dark else 'light'}")
    page.wait_for_function("document.documentElement.dataset.unmask === 'ready'", timeout=60_000)
    return page
