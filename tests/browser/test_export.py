"""The exported file plays from disk with the network off, and what a model wrote stays text in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from backend import RunRequest, load_run, replay, run, show
from backend.canvas import steps_of
from tests.browser.conftest import NASTY, HostileModel, Site, Visit, cells, painted, press_run, seek

pytestmark = pytest.mark.browser

EXAMPLE = Path(__file__).resolve().parents[2] / "assets" / "examples" / "first.unmask"
SHOWN = [text.encode("utf-8", "replace").decode() for text in NASTY]


def file_of(events: tuple, folder: Path) -> str:
    path = folder / "run.html"
    path.write_bytes(show(events).html.encode())
    return path.as_uri()


def opened(visit: Visit, address: str, **options: object) -> Page:
    page = visit(address, offline=True, **options)
    page.evaluate("window.unmask.clock.pause()")
    return page


@pytest.mark.parametrize("dark", [False, True])
def test_the_file_plays_every_step_with_the_network_off(visit: Visit, tmp_path: Path, dark: bool) -> None:
    events = load_run(EXAMPLE)
    page = opened(visit, file_of(events, tmp_path), dark=dark)
    count = len(steps_of(events))
    assert page.evaluate("window.unmask.trace.steps") == count
    for step in range(count + 1):
        assert page.evaluate("step => Array.from(window.unmask.trace.canvas(step))", step) == list(replay(events, step))
    seek(page, count // 2)
    assert None in cells(page)
    page.locator(".tokens .cell.masked").first.hover()
    page.wait_for_function("document.querySelectorAll('.bars .name').length > 3")
    seek(page, 0)
    page.keyboard.press("Space")
    painted(page, count)
    assert page.evaluate("document.body.classList.contains('dark')") is dark
    assert page.locator("a:visible").count() == 0  # no way leads to a server that is not there


@pytest.mark.parametrize("width", [1440, 390])
def test_tokens_that_look_like_code_stay_text_in_the_file(visit: Visit, tmp_path: Path, width: int) -> None:
    events = tuple(run(HostileModel(), RunRequest("llada", prompt="<b>${window.ran=1}</b>", length=24)))
    page = opened(visit, file_of(events, tmp_path), width=width)
    for step in (12, 24):
        seek(page, step)
        page.locator(".tokens .cell").nth(step % 7).hover()
        assert page.evaluate("window.ran === undefined")
        assert page.evaluate("document.querySelectorAll('#unmask img, #unmask script, #unmask b b').length") == 0
    seen = set(cells(page))
    assert seen <= {*SHOWN, ""} and len(seen) >= 5


def test_markup_that_slips_into_the_file_could_not_run_and_no_request_could_leave(visit: Visit, tmp_path: Path) -> None:
    page = opened(visit, file_of(load_run(EXAMPLE), tmp_path), bears="Content Security Policy")
    page.evaluate("document.querySelector('#unmask').insertAdjacentHTML('beforeend', '<p id=slipped onclick=\"window.ran = 1\">x</p>')")
    page.evaluate("document.getElementById('slipped').click()")
    assert page.evaluate("window.ran === undefined")
    blocked = page.evaluate("""() => new Promise(resolve => {
      document.addEventListener('securitypolicyviolation', event => resolve(event.violatedDirective), { once: true });
      new Image().src = 'file:///nothing.png';
    })""")
    assert blocked.startswith("img-src")


def test_a_notebooks_frame_plays_the_run(visit: Visit, tmp_path: Path) -> None:
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><html data-unmask=ready><script>window.unmask = {{ trace: {{ steps: 1 }} }}</script>"
                    f"{show(load_run(EXAMPLE))._repr_html_()}</html>")
    page = visit(path.as_uri(), offline=True)
    frame = page.frame_locator("iframe")
    frame.locator(".tokens .cell").first.wait_for()
    assert frame.locator(".tokens .cell").count() > 3
    inside = page.frames[1]
    inside.wait_for_function("window.unmask.trace.steps > 0")
    assert inside.evaluate("(() => { try { return parent.document.title; } catch { return 'no way'; } })()") == "no way"


def test_a_run_of_the_page_is_downloaded_as_a_file_that_plays_and_as_one_that_loads(real: Site, visit: Visit, tmp_path: Path) -> None:
    page = visit(real)
    press_run(page)
    page.wait_for_function("window.unmask.trace.end !== null")
    run_id = page.evaluate("window.unmask.trace.start.run")
    for name in ("export.html", "run.unmask"):
        answer = page.request.get(f"{real.address}/runs/{run_id}/{name}")
        assert answer.ok
        (tmp_path / name).write_bytes(answer.body())
    events = load_run(tmp_path / "run.unmask")
    assert events == real.engine.find(run_id).events_so_far
    other = opened(visit, (tmp_path / "export.html").as_uri())
    assert other.evaluate("Array.from(window.unmask.trace.canvas(window.unmask.trace.steps))") == list(replay(events, len(steps_of(events))))
