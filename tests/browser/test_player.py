"""The player by itself, on made-up runs: every kind of canvas, every end, and lost messages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from benchmarks.browser import player
from tests.browser.conftest import WAIT_MS, painted

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with player() as served:
        yield served


@pytest.fixture
def show(browser: Browser, address: str):
    """Return a function that opens the player on a made-up run."""
    pages: list[Page] = []

    def open_page(run: str, width: int = 1440) -> Page:
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(WAIT_MS)
        page.goto(f"{address}?run={run}")
        page.wait_for_function("window.unmask?.trace?.steps > 0")
        page.evaluate("window.unmask.clock.autoReplay = false; window.unmask.clock.pause()")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()


def stream(page: Page, run: str, **options: object) -> None:
    page.evaluate("([run, options]) => window.stream(run, options)", [run, {"rate": 400, **options}])
    page.wait_for_function("window.unmask.trace.start.run !== 'example' && window.unmask.trace.end !== null")


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("run", ["sudoku", "sum", "words", "medium", "long"])
def test_every_kind_of_canvas_fits_its_column(show, run: str, width: int) -> None:
    page = show(run, width)
    lane = page.locator(".lane").bounding_box()
    wide = page.evaluate("right => [...document.querySelectorAll('.lane .cell, .lane .chip')].filter(cell => cell.getBoundingClientRect().right > right + 1).length", lane["x"] + lane["width"])
    assert wide == 0
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width


def test_the_cells_of_a_puzzle_stand_as_in_the_prompt(show) -> None:
    page = show("sudoku")
    rows = page.evaluate("[...document.querySelectorAll('.tokens .row')].map(row => row.children.length)")
    assert rows == [5, 5, 5, 5]


@pytest.mark.parametrize(("reason", "words"), [
    ("error", "The run stopped: The model gave scores that are not finite numbers."),
    ("cancelled", "Stopped by you after"),
    ("budget", "reached its limit of forward passes"),
])
def test_a_run_that_ends_early_says_why_and_stays_replayable(show, reason: str, words: str) -> None:
    page = show("sum")
    stream(page, "sum", reason=reason)
    page.get_by_text(words).first.wait_for()
    steps = page.evaluate("window.unmask.trace.steps")
    assert steps > 0 and page.locator(".verdict b").inner_text() == ""
    page.evaluate("window.unmask.clock.seek(1)")
    painted(page, 1)
    assert page.locator(".cell.masked").count() > 0


@pytest.mark.parametrize("drop", [0, 1, 3])
def test_a_message_that_is_lost_is_asked_for_again(show, drop: int) -> None:
    page = show("medium")
    stream(page, "medium", drop=drop)
    page.wait_for_function("window.unmask.trace.steps === 64 && window.unmask.trace.lost === 0")
    assert page.evaluate("window.unmask.trace.canvas(64)") == page.evaluate("(async () => { const { mock } = await import('/tests/js/mock.js'); return window.unmask.fold(mock('medium').events, 64); })()")


def test_a_token_that_is_written_again_carries_a_mark(show) -> None:
    page = show("sum")
    page.evaluate("""() => { const { trace } = window.unmask, { start } = trace, first = start.prompt_length;
      const step = (index, rest) => ({ kind: 'step', index, passes: index, rows: 1, elapsed_s: index, writes: [], erases: [], drafts: [], rejects: [], grows: [], notes: {}, texts: {}, scores: {}, candidates: [], ...rest });
      window.unmask.push({ v: 1, n: 0, run: 'again', lanes: 1, events: [{ ...start, run: 'again' }, step(1, { writes: [[first, 1, 0.5]], drafts: [[first + 1, 2, 0.4]] }),
        step(2, { erases: [first] }), step(3, { writes: [[first, 2, 0.9]] }), { kind: 'end', reason: 'done', message: '', text: '', totals: { steps: 3, passes: 3, written: 1, answer_tokens: 1, tail_tokens: 0 }, verdict: null }] }); }""")
    for step, masked, rewritten in ((1, False, False), (2, True, False), (3, False, True)):
        page.evaluate("step => window.unmask.clock.seek(step)", step)
        painted(page, step)
        cell = page.locator(".tokens .cell").first
        assert ("masked" in cell.get_attribute("class").split()) is masked
        assert ("rewritten" in cell.get_attribute("class").split()) is rewritten
