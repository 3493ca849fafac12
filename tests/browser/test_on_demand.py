"""What the first sight of the page does not show is fetched when it is first needed, works at once by keyboard, or says why not."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Response, expect

from benchmarks.browser import ROOT
from tests.browser.conftest import Site, Visit, fill, run

pytestmark = pytest.mark.browser

MOST_BYTES = 120_000
LATER = ("beside", "breaks", "compare", "difference", "family", "heat", "keys_sheet", "order", "problems", "second_form", "settled_places", "share", "tree", "whatif", "why")


def module(address: str) -> str | None:
    """Return the name of a module of ours, None for what the UI library brings."""
    path = urlsplit(address).path[1:]
    return path.removeprefix("assets/").removesuffix(".js") if path.endswith(".js") and (ROOT / path).is_file() else None


def modules(page: Page) -> set[str | None]:
    """Return the names of our modules that the page has fetched."""
    return {module(address) for address in page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")}


def test_the_first_view_is_light_and_fetches_nothing_that_it_does_not_show(real: Site, visit: Visit) -> None:
    page = visit(real).context.new_page()  # a visit reaches its page once that has begun
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(real.address)
    page.wait_for_function("document.querySelector('[data-painted]') && window.unmask.trace.candidateSteps.get(1)?.size > 1")
    sizes = {name: len(answer.body()) for answer in answers if (name := module(answer.url))}
    assert len(sizes) > 10 and sum(sizes.values()) <= MOST_BYTES
    assert not modules(page) & set(LATER)


def test_the_keyboard_reaches_what_was_not_fetched_yet(real: Site, visit: Visit) -> None:
    page = visit(real)
    assert not modules(page) & set(LATER)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    expect(page.get_by_role("region", name="Scores over time")).to_be_focused()
    page.locator(".scores canvas").wait_for()
    page.keyboard.press("o")
    expect(page.get_by_role("region", name="Order of writing")).to_be_focused()
    page.locator(".order canvas").wait_for()
    page.keyboard.press("r")
    expect(page.get_by_role("region", name="Why this token?")).to_be_focused()
    expect(page.get_by_role("tab", name="Routes")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("b")
    expect(page.get_by_label("Break at", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#hold summary")).to_be_focused()


def test_the_runs_of_a_visit_and_what_if_come_with_the_first_run_that_is_pinned(real: Site, visit: Visit) -> None:
    page = visit(real)
    fill(page, "prompt", "sum: 12+34=")
    fill(page, "length", "5")
    run(page)
    assert not modules(page) & {"whatif", "beside", "tree"}
    page.locator(".tokens .cell").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".whatif")).to_be_visible()
    expect(page.get_by_label("Change")).to_be_visible()
    assert "beside" not in modules(page)


def test_what_cannot_be_fetched_says_so_and_can_be_tried_again(real: Site, visit: Visit) -> None:
    page = visit(real, bears="ERR_FAILED")
    page.route("**/assets/order.js", lambda route: route.abort())
    page.keyboard.press("o")
    expect(page.locator(".order [role=alert]")).to_contain_text("could not be fetched")
    page.unroute("**/assets/order.js")
    page.locator(".order").get_by_role("button", name="Try again").press("Enter")
    page.locator(".order canvas").wait_for()
