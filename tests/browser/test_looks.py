"""Both themes, narrow windows, contrast, reduced motion, and nothing that jumps."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Site, Visit, fill, painted, press_run, run, seek

pytestmark = pytest.mark.browser

CONTRAST = """(within) => {
  const parse = text => (text.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = node => { for (let at = node; at; at = at.parentElement) { const c = parse(getComputedStyle(at).backgroundColor); if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
  const poor = [];
  const walk = document.createTreeWalker(document.querySelector(within ?? 'body'), NodeFilter.SHOW_TEXT);
  for (let text; (text = walk.nextNode()); ) {
    const node = text.parentElement;
    if (!text.data.trim() || !node.checkVisibility?.({ visibilityProperty: true, opacityProperty: true }) || node.closest(':disabled, .unseen, script, style')) continue;
    const ink = light(parse(getComputedStyle(node).color)), paper = light(ground(node));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) poor.push([text.data.trim().slice(0, 30), node.className, ratio.toFixed(2)]);
  }
  return poor;
}"""
SHIFTS = """() => { window.shifts = []; new PerformanceObserver(list => { for (const entry of list.getEntries()) window.shifts.push(
  [entry.value, entry.sources.map(source => source.node?.className || source.node?.nodeName)]); }).observe({ type: 'layout-shift', buffered: false }); }"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_contrasts_with_its_ground(real: Site, visit: Visit, dark: bool) -> None:
    page = visit(real, dark=dark)
    page.locator("#settings > button").click()
    page.locator("#field-settings-llada-steps input").wait_for()
    steps = run(page)
    assert page.evaluate("document.body.classList.contains('dark')") is dark
    for layer in ("order", "confidence", "entropy", "margin", "drift", "consistency"):
        page.evaluate("layer => window.unmask.select.setLayer(layer)", layer)
        for step in (steps // 2, steps):
            seek(page, step)
            page.evaluate("Promise.all(document.getAnimations().map(animation => animation.finished))")
            assert page.evaluate(CONTRAST) == []


MOMENTS = """async contrast => {
  const poor = [], { clock, trace } = window.unmask, look = eval(contrast);
  clock.pause();
  for (let step = 0; step <= trace.steps; step += 1) {
    clock.seek(step);
    for (let frame = 0; frame < 10; frame += 1) { await new Promise(requestAnimationFrame); poor.push(...look('.tokens')); }
  }
  return poor;
}"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_token_contrasts_from_the_very_moment_in_which_it_is_written(real: Site, visit: Visit, dark: bool) -> None:
    page = visit(real, dark=dark)
    page.evaluate("window.unmask.select.setLayer('confidence')")
    assert page.evaluate(MOMENTS, CONTRAST) == []


def test_text_on_every_colour_of_the_scale_contrasts(real: Site, visit: Visit) -> None:
    page = visit(real)
    worst = page.evaluate("""async () => {
      const { CIVIDIS, DARK_TEXT } = await import('/assets/palette.js');
      const light = rgb => rgb.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
      return Math.min(...CIVIDIS.map((rgb, at) => DARK_TEXT[at] ? (light(rgb) + 0.05) / 0.05 : 1.05 / (light(rgb) + 0.05)));
    }""")
    assert worst >= 4.5


def test_the_theme_follows_the_system_and_the_button_and_is_remembered(real: Site, visit: Visit) -> None:
    page = visit(real, dark=True)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 19, 22)"
    page.get_by_role("button", name="Light", exact=True).click()
    page.wait_for_function("getComputedStyle(document.body).backgroundColor === 'rgb(251, 250, 247)'")
    page.reload()
    page.wait_for_function("document.documentElement.dataset.unmask === 'ready'")
    page.get_by_role("button", name="Dark", exact=True).wait_for()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(251, 250, 247)"


@pytest.mark.parametrize("width", [390, 320])
def test_a_narrow_window_needs_no_sideways_scrolling(real: Site, visit: Visit, width: int) -> None:
    page = visit(real, width=width, height=844)
    page.evaluate("window.unmask.clock.pause()")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    wide = page.evaluate("""width => [...document.querySelectorAll('#unmask *, #request *')].filter(node => node.checkVisibility()
      && !node.closest('.unseen, svg, [popover]') && node.getBoundingClientRect().right > width + 1).map(node => node.className).slice(0, 5)""", width)
    assert wide == []
    run(page)
    page.locator(".tokens .cell").nth(2).click()
    page.get_by_role("button", name="Unpin").wait_for()  # the sheet is drawn with the next frame
    sheet = page.locator(".inspector").bounding_box()
    clock = page.locator(".clock").bounding_box()
    assert sheet["y"] + sheet["height"] <= clock["y"] + 1 and clock["y"] + clock["height"] <= 844 + 1
    page.get_by_role("button", name="Unpin").click()


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_moves_while_a_run_streams(gated: Site, visit: Visit, width: int) -> None:
    page = visit(gated, width=width, height=900)
    if width < 760:
        page.locator("#more").click()
    fill(page, "prompt", "2+2=")
    fill(page, "length", "24")
    page.evaluate("window.unmask.clock.autoReplay = false; window.unmask.clock.pause()")
    press_run(page)
    painted(page, 0)
    page.evaluate(SHIFTS)
    for step in range(1, 25):
        gated.model.permits.release()
        painted(page, step)
    page.wait_for_function("window.unmask.trace.end !== null")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert sum(value for value, _ in page.evaluate("window.shifts")) < 0.001, page.evaluate("window.shifts")


def test_with_reduced_motion_the_example_waits_at_its_end(real: Site, visit: Visit) -> None:
    page = visit(real, reduced_motion="reduce")
    painted(page, page.evaluate("window.unmask.trace.steps"))
    assert not page.evaluate("window.unmask.clock.playing")
    assert page.evaluate("getComputedStyle(document.querySelector('.tokens .cell')).transitionDuration") == "0s"


def test_forced_colours_keep_masks_and_marks_apart(real: Site, visit: Visit) -> None:
    page = visit(real, forced_colors="active")
    seek(page, 5)
    borders = page.evaluate("[...document.querySelectorAll('.tokens .cell')].map(cell => [cell.classList.contains('masked'), getComputedStyle(cell).borderTopStyle])")
    assert {(masked, style) for masked, style in borders} == {(True, "dashed"), (False, "solid")}


def test_the_help_is_a_page_in_both_themes(real: Site, visit: Visit) -> None:
    page = visit(real, dark=True).context.new_page()
    page.goto(f"{real.address}/help")
    expect(page.get_by_role("heading", name="What is this?")).to_be_visible()
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 19, 22)"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 360])
def test_on_a_phone_the_pages_links_stand_on_one_line(real: Site, visit: Visit, width: int, dark: bool) -> None:
    page = visit(real, width=width, height=844, dark=dark)
    tops = page.evaluate("[...document.querySelectorAll('#tools :is(a, button)')].filter(node => node.offsetParent).map(node => Math.round(node.getBoundingClientRect().top))")
    assert len(tops) == 5 and len(set(tops)) == 1
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
