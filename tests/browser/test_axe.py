"""An accessibility audit of every screen, light and dark, by axe-core: nothing serious, nothing critical."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import Page, expect

from backend.settings import Settings
from tests.browser.conftest import Site, Visit, fill, opened_site, run, seek
from tests.browser.test_compare import run_both, switch_on

pytestmark = pytest.mark.browser

SCRIPT = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text(encoding="utf-8")
STILL = "Promise.all(document.getAnimations().map(animation => animation.finished.catch(() => {})))"
FOUND = """async () => (await axe.run(document, { resultTypes: ['violations'] })).violations
  .filter(({ impact }) => impact === 'serious' || impact === 'critical')
  .map(({ id, impact, nodes }) => [id, impact, nodes.slice(0, 4).map(({ target, any, all }) => `${target.join(' ')}: ${[...any, ...all].map(({ message }) => message).join('; ').slice(0, 160)}`)])"""


@pytest.fixture(scope="module")
def school() -> object:
    """A server with the real engine and all its models, for the lessons."""
    with opened_site(Settings) as served:
        yield served


class Audit:
    """Collects what is wrong with each screen of one page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.found: list[object] = []
        self.screens: list[str] = []

    def __call__(self, screen: str) -> None:
        self.page.evaluate(STILL)
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(SCRIPT)
        self.screens.append(screen)
        self.found += [(screen, *problem) for problem in self.page.evaluate(FOUND)]


def pinned(page: Page) -> None:
    """Pin the first token that the second step wrote."""
    seek(page, 2)
    cell = page.evaluate("window.unmask.trace.written[2][0]")
    page.locator(f".tokens [data-cell='{cell}']").click()


def shown(page: Page, tab: str) -> None:
    """Wait until the explanation of a tab is drawn."""
    page.wait_for_function("tab => document.querySelector(`#why-${tab}`).dataset.shown", arg=tab)


def dialog(page: Page, audit: Audit, screen: str, button: str) -> None:
    page.get_by_role("button", name=button, exact=True).first.click()
    page.locator("dialog[open]").wait_for()
    audit(screen)
    page.keyboard.press("Escape")
    page.locator("dialog[open]").wait_for(state="hidden")


def player(page: Page, audit: Audit) -> None:
    audit("at rest")
    fill(page, "prompt", "sum: 12+34=")
    fill(page, "length", "6")
    run(page)
    audit("after a run")
    page.locator(".helped .help").first.click()
    audit("a question mark that is open")
    page.keyboard.press("Escape")
    dialog(page, audit, "export", "Export")
    dialog(page, audit, "kept runs", "Runs")
    dialog(page, audit, "keys", "Keyboard")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: { writeText: () => Promise.reject(new Error('no')) } })")
    page.get_by_role("button", name="Share", exact=True).click()
    page.locator(".note input").wait_for()
    audit("a link to copy")
    page.locator("#settings > button").click()
    page.locator("#field-settings-llada-steps input").first.wait_for()
    audit("settings")


def explained(page: Page, audit: Audit) -> None:
    fill(page, "prompt", "sum: 12+34=")
    fill(page, "length", "6")
    run(page)
    pinned(page)
    shown(page, "attribution")
    page.locator(".whatif").first.wait_for()
    audit("attribution and What if")
    page.get_by_role("tab", name="Routes").click()
    shown(page, "routes")
    audit("routes")
    page.get_by_role("tab", name="Can I believe it?").click()
    shown(page, "believe")
    audit("Can I believe it?")
    page.get_by_role("button", name="How settled was it?", exact=True).click()
    page.wait_for_function("document.querySelector('.settled').dataset.drawn?.endsWith('|regret')")
    page.get_by_role("button", name="Show as table").click()
    audit("how settled")


def compared(page: Page, audit: Audit) -> None:
    switch_on(page, "random_order")
    page.locator("#second-settings summary").click()
    run_both(page)
    audit("two lanes")
    page.evaluate("window.unmask.clock.seek(4)")
    page.locator("[data-lane='0'] .tokens .cell").nth(2).click()
    form = page.locator(".inspector:not([hidden]) .whatif")
    form.wait_for()
    form.get_by_label("Change").select_option("decoder")
    form.locator("option[value=random_order]").wait_for(state="attached")
    form.get_by_role("button", name="Branch here").click()
    page.wait_for_function("window.unmask.traces[1].start.request.forks.length > 0 && window.unmask.traces[1].end")
    audit("a branch beside its parent")


def phone(page: Page, audit: Audit) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    audit("a phone")
    page.locator("#more").click()
    audit("a phone, request unfolded")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("screens", [player, explained, compared, phone], ids=lambda screens: screens.__name__)
def test_no_screen_of_the_player_has_a_serious_finding(real: Site, visit: Visit, screens: Callable[[Page, Audit], None], dark: bool) -> None:
    page = visit(real, dark=dark)
    page.evaluate("window.unmask.clock.autoReplay = false; window.unmask.clock.pause()")
    audit = Audit(page)
    screens(page, audit)
    assert audit.screens and audit.found == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_lesson_has_a_serious_finding(school: Site, visit: Visit, dark: bool) -> None:
    page = visit(school, dark=dark)
    audit = Audit(page)
    page.locator("#lessons-open").click()
    expect(page.locator("dialog.lessons")).to_be_visible()
    audit("all lessons")
    page.locator(".lesson-item").nth(1).click()
    for step in (1, 2):
        page.wait_for_function("/^(Shown|Playing)/.test(document.querySelector('.lesson-state')?.textContent)")
        audit(f"a lesson, step {step}")
        page.get_by_role("button", name="Next", exact=True).click()
    assert audit.found == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_page_beside_the_player_has_a_serious_finding(real: Site, visit: Visit, dark: bool) -> None:
    page = visit(real, leaf="decoders", dark=dark)
    audit = Audit(page)
    if page.locator("#measured-chart").count():
        page.locator("#measured-chart").scroll_into_view_if_needed()
        page.wait_for_function("document.querySelector('#measured-chart').dataset.drawn")
    audit("decoders")
    page.goto(f"{real.address}/help")
    audit("help")
    page.goto(f"{real.address}/many")
    page.wait_for_function("document.documentElement.dataset.unmask === 'ready'")
    audit("many runs, the form")
    page.locator("#field-runs").fill("3")
    page.locator("#field-prompt").fill("sum: 12+34=")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function("document.querySelector('#many-form').dataset.state === 'done'")
    audit("many runs, what came out")
    assert len(audit.screens) == 4 and audit.found == []
