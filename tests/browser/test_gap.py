"""The difference of a score between two runs, B − A, at the shared playhead: as Python's scores say, by keyboard alone."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from backend import scores
from backend.canvas import steps_of
from backend.events import Event
from tests.browser.conftest import Site, Visit, fill

pytestmark = pytest.mark.browser


def shown_score(events: tuple[Event, ...], name: str, step: int) -> np.ndarray:
    """Return what stands at each place of the answer: the value at this step, of a written token that of its own step."""
    values, begin = scores(events, name), events[0].prompt_length
    written = {position: item.index for item in steps_of(events)[:step] for position, _, _ in item.writes}
    at = [written.get(position, step) for position in range(begin, len(events[0].canvas))]
    return np.array([values[row - 1, begin + place] if row else np.nan for place, row in enumerate(at)])


def two_runs(real: Site, page: Page) -> list[tuple[Event, ...]]:
    fill(page, "prompt", "sudoku: .4.1/...3/1.../....=")
    page.get_by_label("Compare with a second decoder").focus()
    page.keyboard.press("Space")
    page.locator("#field-b-decoder select").select_option("random_order")
    page.evaluate("window.unmask.clock.autoReplay = false")
    page.get_by_role("button", name="Run", exact=True).press("Enter")
    page.wait_for_function("window.unmask.traces.every(trace => trace.end && trace.start.run !== 'example')")
    return [real.engine.find(page.evaluate("lane => window.unmask.traces[lane].start.run", lane)).events_so_far for lane in (0, 1)]


@pytest.mark.parametrize(("dark", "width"), [(False, 1440), (True, 390)])
def test_colours_say_the_difference_and_the_scale_its_ends(real: Site, visit: Visit, dark: bool, width: int) -> None:
    page = visit(real, dark=dark, width=width)
    if width == 390:
        page.locator("#more").click()
    a, b = two_runs(real, page)
    page.evaluate("document.activeElement.blur(); window.unmask.clock.seek(7)")
    page.keyboard.press("3")  # entropy
    page.keyboard.press("m")
    expect(page.get_by_label("difference B − A")).to_be_checked()
    steps = page.evaluate("[0, 1].map(lane => window.unmask.clock.step(lane))")
    wanted = shown_score(b, "entropy", steps[1]) - shown_score(a, "entropy", steps[0])
    found = page.evaluate("""async () => { const { gapsOf } = await import('/assets/gap.js'); const { traces: [a, b], clock } = window.unmask;
        return gapsOf(a, b, clock.step(0), clock.step(1), 'entropy'); }""")
    got = np.array([np.nan if value is None else value for value in found["values"]])
    assert np.array_equal(np.isnan(got), np.isnan(wanted)) and np.nanmax(np.abs(got - wanted)) < 2 * np.log(64) / 65534 + 1e-4
    signs = page.evaluate("[...document.querySelectorAll('[data-lane=\"1\"] .tokens .cell')].map(cell => cell.dataset.gap)")
    assert all(sign == ("" if np.isnan(value) or abs(value) < 0.005 else "+" if value > 0 else "−")
               for sign, value in zip(signs, got, strict=True) if np.isnan(value) or abs(abs(value) - 0.005) > 1e-3)
    ends = page.locator(".ramp .end").all_inner_texts()
    assert ends[0] == "−" + ends[1].removeprefix("+") and float(ends[1]) >= np.nanmax(np.abs(got)) - 0.01
    assert "higher in B" in page.locator(".ramp .unit").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.keyboard.press("m")
    expect(page.get_by_label("difference B − A")).not_to_be_checked()
    assert "bright" in page.locator(".ramp .unit").inner_text()


def test_the_same_request_twice_has_no_difference_anywhere(real: Site, visit: Visit) -> None:
    page = visit(real)
    two_runs(real, page)
    found = page.evaluate("""async () => { const { gapsOf } = await import('/assets/gap.js'); const { traces: [a] } = window.unmask;
        return ['order', ...a.scores.keys()].flatMap(layer => gapsOf(a, a, 9, 9, layer).values).filter(value => value !== null && value !== 0); }""")
    assert found == []
