"""Everything by keyboard alone, and nothing that holds the focus."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Visit, painted, run, seek

pytestmark = pytest.mark.browser


def focused(page: Page) -> str:
    return page.evaluate("(node => node.id || node.getAttribute('aria-label') || node.textContent.trim())(document.activeElement)")


def tab_to(page: Page, name: str, key: str = "Tab") -> None:
    """Press Tab until the focus is on ``name``."""
    for _ in range(80):
        if focused(page) == name or page.evaluate("name => document.activeElement.closest(`#${CSS.escape(name)}`) !== null", name):
            return
        page.keyboard.press(key)
    pytest.fail(f"Tab does not reach {name}; it is at {focused(page)}")


def test_a_run_from_prompt_to_pin_without_a_mouse(real: Site, visit: Visit) -> None:
    page = visit(real)
    page.evaluate("window.unmask.clock.autoReplay = false")
    tab_to(page, "field-prompt")
    page.keyboard.press("Control+A")
    page.keyboard.type("sum: 12+34=")
    tab_to(page, "field-length")
    page.keyboard.press("Control+A")
    page.keyboard.type("6")
    tab_to(page, "run")
    page.keyboard.press("Enter")
    page.wait_for_function("window.unmask.trace.start.request.prompt === 'sum: 12+34=' && window.unmask.trace.end !== null")
    painted(page, 6)
    page.keyboard.press("Escape")
    for _ in range(60):
        if page.evaluate("document.activeElement.matches('.tokens .cell')"):
            break
        page.keyboard.press("Tab")
    first = page.evaluate("window.unmask.trace.start.prompt_length")
    page.get_by_role("heading", name=f"Position {first}", exact=True).wait_for()
    page.keyboard.press("ArrowRight")
    page.get_by_role("heading", name=f"Position {first + 1}", exact=True).wait_for()
    page.keyboard.press("Enter")
    page.locator(".cell.pin").wait_for()
    page.keyboard.press("Shift+ArrowLeft")
    painted(page, 0)
    page.keyboard.press("Escape")
    page.wait_for_function("document.querySelector('.cell.pin') === null")


@pytest.mark.parametrize("dark", [False, True])
def test_single_keys_move_in_time_and_choose_the_colour(real: Site, visit: Visit, dark: bool) -> None:
    page = visit(real, dark=dark)
    steps = run(page)
    page.evaluate("document.activeElement.blur()")
    for key, step in (("Home", 0), ("ArrowRight", 1), ("Shift+ArrowRight", 11), ("ArrowLeft", 10), ("End", steps), ("Shift+ArrowLeft", steps - 10)):
        page.keyboard.press(key)
        painted(page, step)
    page.keyboard.press("2")
    page.wait_for_function("document.querySelector('[data-layer=confidence]').getAttribute('aria-checked') === 'true'")
    page.keyboard.press("]")
    page.wait_for_function("window.unmask.clock.speed === 2")
    page.keyboard.press("Space")
    page.wait_for_function("window.unmask.clock.playing")
    page.keyboard.press("Space")
    page.wait_for_function("!window.unmask.clock.playing")
    page.keyboard.press("/")
    page.wait_for_function("document.activeElement.closest('#field-prompt') !== null")


def test_keys_are_text_while_somebody_types(real: Site, visit: Visit) -> None:
    page = visit(real)
    seek(page, 4)
    page.locator("#field-prompt :is(textarea, input)").first.fill("")
    page.keyboard.type("2 [g] s")
    assert page.locator("#field-prompt :is(textarea, input)").first.input_value() == "2 [g] s"
    painted(page, 4)
    assert page.evaluate("window.unmask.select.layer") == "order"


def test_the_list_of_keys_opens_closes_and_switches_them_off(real: Site, visit: Visit) -> None:
    page = visit(real)
    seek(page, 4)
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keyboard").wait_for()
    page.get_by_label("Single keys act").uncheck()
    page.keyboard.press("Escape")
    page.wait_for_function("!document.querySelector('dialog').open")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("End")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    painted(page, 4)


def test_tab_goes_round_the_whole_page(real: Site, visit: Visit) -> None:
    page = visit(real)
    page.evaluate("window.unmask.clock.pause()")
    seen = []
    for _ in range(120):
        page.keyboard.press("Tab")
        seen.append(focused(page))
        if seen[-1] == "What do I see?":
            break
    for name in ("run", "Playhead", "Speed", "Copy", "Keyboard", "Answer as text"):
        assert name in seen, (name, seen)
    assert seen[-1] == "What do I see?", "the focus does not reach the end of the page"
    expect(page.locator(".options")).to_have_count(0)  # no menu stays open behind it


def test_every_control_has_a_name_and_is_large_enough(real: Site, visit: Visit) -> None:
    page = visit(real)
    poor = page.evaluate("""() => [...document.querySelectorAll('#unmask :is(button, select, input, a)')]
      .filter(node => node.offsetParent !== null && getComputedStyle(node).visibility !== 'hidden')
      .map(node => [node, node.getBoundingClientRect()])
      .filter(([node, box]) => {
        const named = node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.[0]?.textContent.trim();
        const target = node.labels?.[0]?.getBoundingClientRect() ?? box;
        return !named || target.height < 24 || target.width < 20;
      }).map(([node]) => node.outerHTML.slice(0, 120))""")
    assert poor == []
