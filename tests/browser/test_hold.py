"""Pause, breakpoints, and what is changed while a run stands: in a real browser, over the real engine."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from backend import run as decode
from backend import same_run
from backend.events import Step
from tests.browser.conftest import Site, Visit, fill, press_run

pytestmark = pytest.mark.browser


def break_at(page: Page, kind: str, value: str, score: str = "") -> None:
    """Set a breakpoint by keyboard alone: B opens the sheet, Tab and typing fill it."""
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("b")
    expect(page.get_by_label("Break at", exact=True)).to_be_focused()
    page.get_by_label("Break at", exact=True).select_option(kind)
    if score:
        page.get_by_label("Score", exact=True).select_option(score)
        page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type(value)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.locator("#hold summary")).to_be_focused()


def held(page: Page, step: int) -> str:
    """Wait until the page says that the run stands after ``step``, and return what it says."""
    line = page.locator(".held p")
    expect(line).to_contain_text(f"after step {step}:")
    page.wait_for_function("step => window.unmask.trace.steps === step", arg=step)
    return line.inner_text()


def test_a_breakpoint_holds_the_run_and_one_step_continue_and_stop_work_by_keyboard(real: Site, visit: Visit) -> None:
    page = visit(real)
    page.evaluate("window.unmask.clock.autoReplay = false")
    break_at(page, "step", "3")
    fill(page, "seed", "5")
    press_run(page)
    assert held(page, 3) == "Paused after step 3: step 3 was made."
    assert page.evaluate("document.querySelector('#unmask').dataset.state") == "paused"
    handle = real.run_of(page)
    assert sum(isinstance(event, Step) for event in handle.recorded) == 3
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press(".")
    held(page, 4)
    page.keyboard.press("p")
    page.wait_for_function("window.unmask.trace.end !== null")
    assert page.locator(".held").is_hidden()
    assert same_run(handle.recorded, tuple(decode(real.model, handle.request)))
    press_run(page)
    held(page, 3)
    page.get_by_role("button", name="Stop").press("Enter")
    page.wait_for_function("window.unmask.trace.end?.reason === 'cancelled'")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()


def test_a_token_is_replaced_while_the_parent_stands_and_both_go_on_beside_each_other(real: Site, visit: Visit) -> None:
    page = visit(real)
    page.evaluate("window.unmask.clock.autoReplay = false")
    break_at(page, "step", "3")
    fill(page, "seed", "6")
    press_run(page)
    held(page, 3)
    parent = real.run_of(page)
    page.locator("#hold summary").press("Enter")
    page.get_by_role("button", name="Remove the breakpoint: step 3").press("Enter")
    page.keyboard.press("Escape")
    page.locator(".tokens .cell.now").first.press("Enter")
    page.get_by_role("button", name="Branch here").press("Enter")
    page.wait_for_function("window.unmask.traces[1].end !== null")
    branch = real.engine.find(page.evaluate("window.unmask.traces[1].start.run"))
    assert branch.request.forks[0].parent == parent.id and not parent.ended
    expect(page.locator(".held p")).to_contain_text("A is paused after step 3")
    page.get_by_role("button", name="Continue").last.press("Enter")
    page.wait_for_function("window.unmask.trace.end !== null")
    assert same_run(parent.recorded, tuple(decode(real.model, parent.request)))
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()


def test_a_live_run_is_paused_by_its_button_and_goes_on(gated: Site, visit: Visit) -> None:
    page = visit(gated)
    fill(page, "length", "8")
    press_run(page)
    gated.model.permits.release(2)
    page.wait_for_function("window.unmask.trace.steps === 2")
    page.locator("#pause").press("Enter")
    gated.model.permits.release(1)  # the pass under way is its last before the pause
    assert "you asked for it" in held(page, 3)
    gated.model.permits.release(100)
    page.locator("#pause").press("Enter")
    page.wait_for_function("window.unmask.trace.end?.reason === 'done'")


def test_a_score_of_a_written_token_is_a_breakpoint(real: Site, visit: Visit) -> None:
    page = visit(real, width=390, height=844, dark=True)
    page.locator("#more").click()
    page.evaluate("window.unmask.clock.autoReplay = false")
    break_at(page, "above", "-1", "entropy")
    press_run(page)
    assert "entropy" in held(page, 1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
