"""The proxy as the documents have it, by the real nginx: under a sub-path, events as they come, several front ends.

Needs nginx (``apt install nginx-light``): ``python -m pytest -n 0 -m nightly tests/browser/test_nginx.py``.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from backend.settings import Settings
from benchmarks.browser import free_port
from tests.browser.conftest import FixedEngine, GatedModel, Visit, fill, opened_site, run
from tests.conftest import WAIT_S

pytestmark = [pytest.mark.browser, pytest.mark.nightly, pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")]

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "/unmask"
LOCATIONS = (ROOT / "deploy/nginx.conf").read_text(encoding="utf-8")
STICKY = re.search(r"```\n(map \$cookie.*?)```", (ROOT / "docs/scale.md").read_text(encoding="utf-8"), re.S)[1]


@contextmanager
def nginx(folder: Path, fronts: Sequence[str]) -> Iterator[str]:
    """Run nginx with the documents' settings before these front ends ("host:port"); yield the address of the page."""
    port = free_port()
    sticky, target, whose = "", fronts[0], "-"
    if len(fronts) > 1:
        sticky = re.sub(r"server front-a:7860; server front-b:7860;", " ".join(f"server {front};" for front in fronts), STICKY)
        target, whose = "unmask", "$front"
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/errors;\nevents {{}}\nhttp {{\n"
        f"log_format fronts '$upstream_addr {whose} $request_uri'; access_log {folder}/asked fronts;\n{temporary}{sticky}"
        f"server {{ listen 127.0.0.1:{port}; location / {{ return 404; }}\n{LOCATIONS.replace('127.0.0.1:7860', target)}}}\n}}\n", encoding="utf-8")
    process = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "errors")])
    try:
        until = time.monotonic() + WAIT_S
        while not answers(port):
            assert process.poll() is None and time.monotonic() < until, (folder / "errors").read_text(encoding="utf-8")
        yield f"http://127.0.0.1:{port}{PREFIX}"
    finally:
        process.terminate()
        assert process.wait(WAIT_S) == 0


def answers(port: int) -> bool:
    """Tell whether somebody listens on a port of this machine."""
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def test_events_come_as_they_are_made_and_counts_are_not_for_everybody(tmp_path: Path, visit: Visit) -> None:
    model = GatedModel()
    with ExitStack() as opened:
        site = opened.enter_context(opened_site(lambda port: Settings(port=port, root_path=PREFIX, metrics="on"), lambda chosen: FixedEngine(chosen, model)))
        address = opened.enter_context(nginx(tmp_path, [site.address.removeprefix("http://")]))
        page = visit(f"{address}/", bears="404")
        fill(page, "length", "6")
        before = page.evaluate("window.unmask.trace?.start.run")
        page.get_by_role("button", name="Run", exact=True).click()
        for steps in (1, 2, 3):
            model.permits.release()
            page.wait_for_function("([before, steps]) => unmask.trace.start.run !== before && unmask.trace.steps === steps", arg=[before, steps])
            assert page.evaluate("unmask.trace.end") is None
        model.permits.release(100)
        page.wait_for_function("unmask.trace.end")
        assert page.request.get(f"{address}/metrics").status == 403
        assert page.request.get(f"{site.address}/metrics").status == 200
        page.close()  # before nginx goes, which it would complain of


def test_a_visitor_meets_the_same_front_end_each_time_and_others_meet_others(tmp_path: Path, browser: Browser) -> None:
    with ExitStack() as opened:
        sites = [opened.enter_context(opened_site(lambda port: Settings(port=port, root_path=PREFIX))) for _ in range(2)]
        fronts = [site.address.removeprefix("http://") for site in sites]
        address = opened.enter_context(nginx(tmp_path, fronts))
        met: set[str] = set()
        for _ in range(30):  # a visitor's place is drawn
            context = browser.new_context()
            page = context.new_page()
            page.goto(f"{address}/")
            fill(page, "prompt", "sum: 12+34=")
            fill(page, "length", "5")
            run(page)
            kept = page.evaluate("unmask.trace.start.run")
            page.reload()
            assert page.request.get(f"{address}/runs/{kept}").status == 200
            whose = [site for site in sites if site.engine.find(kept) is not None]
            assert len(whose) == 1
            name = next(cookie["value"] for cookie in context.cookies() if cookie["name"] == "unmask_front")
            at = asked(tmp_path, name)
            assert at == {whose[0].address.removeprefix("http://")}
            met |= at
            context.close()
            if len(met) == 2:
                break
        assert met == set(fronts)


def asked(folder: Path, name: str) -> set[str]:
    """Return the front ends that were asked for something by the visitor of that name."""
    lines = (line.split(" ", 2) for line in (folder / "asked").read_text(encoding="utf-8").splitlines())
    return {front for front, whose, path in lines if whose == name and path.startswith(PREFIX)}
