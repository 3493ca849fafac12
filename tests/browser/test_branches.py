"""Branches by keyboard alone: every change that a visitor can make, and the tree of runs that came of each other."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from backend import replay
from backend.canvas import end_of, steps_of
from backend.events import Event
from tests.browser.conftest import Site, Visit, fill, run, seek

pytestmark = pytest.mark.browser


def ready(real: Site, visit: Visit, **options: object) -> tuple[Page, tuple[Event, ...]]:
    page = visit(real, **options)
    if options.get("width") == 390:
        page.locator("#more").click()
    fill(page, "prompt", "sudoku: .4.1/...3/1.../....=")
    run(page)
    return page, real.run_of(page).events_so_far


def change(page: Page, place: int, verb: str, **given: str) -> None:
    """Pin a place of the answer of lane A with Enter, fill the form by keyboard, and press Enter."""
    cell = page.locator("[data-lane='0'] .tokens .cell").nth(place)
    cell.focus()
    if "pin" not in (cell.get_attribute("class") or "").split():
        page.keyboard.press("Enter")
    form = page.locator(".inspector.of-lane-a .whatif")
    expect(form).to_be_visible()  # the inspector of the lane pointed at last comes with the next frame
    form.get_by_label("Change").select_option(verb)
    for label, value in given.items():
        entry = form.get_by_label(label.replace("_", " "))
        page.wait_for_function("entry => entry.tagName !== 'SELECT' || entry.options.length > 1", arg=entry.element_handle())
        entry.fill(value) if label.startswith("Last") else entry.select_option(value)
    form.get_by_role("button", name="Branch here").focus()
    page.keyboard.press("Enter")


def branch_of(real: Site, page: Page, before: str | None = None) -> tuple[Event, ...]:
    page.wait_for_function("before => window.unmask.traces[1].end && window.unmask.traces[1].start.run !== before", arg=before)
    return real.engine.find(page.evaluate("window.unmask.traces[1].start.run")).events_so_far


@pytest.mark.parametrize(("dark", "width"), [(False, 1440), (True, 390)])
def test_pinned_masked_and_chosen_by_hand_each_is_a_branch_in_the_tree(real: Site, visit: Visit, dark: bool, width: int) -> None:
    page, parent = ready(real, visit, dark=dark, width=width)
    begin, steps = parent[0].prompt_length, steps_of(parent)
    written = sorted(position for step in steps[:9] for position, _, _ in step.writes)
    masked = steps[12].writes[0][0]
    seek(page, 9)
    change(page, masked - begin, "pin")
    pinned = branch_of(real, page)
    token = pinned[0].request.forks[0].edits[0].token
    assert all(replay(pinned, n)[masked] == token for n in range(9, len(steps_of(pinned)) + 1))
    last = page.evaluate("window.unmask.traces[1].start.run")
    if width == 390:
        page.get_by_role("tab", name="A", exact=True).press("Enter")
    page.evaluate("window.unmask.clock.seek(9)")
    change(page, written[0] - begin, "span", Last_position_of_the_span=str(written[2]))
    span = branch_of(real, page, last)
    erased = sorted(edit.position for edit in span[0].request.forks[0].edits)
    assert erased == [at for at in written if written[0] <= at <= written[2]] and all(replay(span, 9)[at] == parent[0].model.mask_id for at in erased)
    last = page.evaluate("window.unmask.traces[1].start.run")
    if width == 390:
        page.get_by_role("tab", name="A", exact=True).press("Enter")
    page.evaluate("window.unmask.clock.seek(9)")
    change(page, masked - begin, "hand", Decoder_that_goes_on="left_to_right")
    hand = branch_of(real, page, last)
    assert [fork.decoder for fork in hand[0].request.forks] == ["manual", "left_to_right"]
    assert [write[0] for write in steps_of(hand)[9].writes] == [masked] and end_of(hand).reason == "done"
    tree = page.locator(".family")
    assert tree.locator("ul ul > li").count() == 3
    said = tree.inner_text()
    assert "is pinned to" in said and "are masked again" in said and "by hand" in said and "its parent" in said
    first = tree.locator("ul ul > li button").first
    run_id = first.get_attribute("data-run")
    first.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("run => window.unmask.traces[1].start.run === run", arg=run_id)
    expect(tree.locator(f"[data-run='{run_id}']")).to_have_attribute("aria-current", "true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("asked", "words"), [
    ("{ step: 999, edits: [['erase', 30, null]] }", "999 is not a step of this run"),
    ("{ run: 'f'.repeat(32), step: 1, edits: [['erase', 30, null]] }", "is not kept here any more"),
    ("{ step: 1, edits: 'x' }", "no branch"),
])
def test_what_cannot_be_is_told_and_the_current_run_is_untouched(real: Site, visit: Visit, asked: str, words: str) -> None:
    page, parent = ready(real, visit)
    page.evaluate(f"window.unmask.ask({asked})")
    expect(page.locator("#bar .problem")).to_contain_text(words)
    assert real.run_of(page).events_so_far == parent and page.evaluate("document.querySelector('.stage').dataset.lanes") == "1"
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
