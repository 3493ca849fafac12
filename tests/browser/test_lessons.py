"""Lessons as a visitor takes them: by link, by menu, by keyboard alone, in full screen, wide and narrow."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from backend.lessons.catalogue import LESSONS
from backend.models.catalogue import MODELS
from backend.settings import Settings
from components.lessons_view import lessons_object
from tests.browser.conftest import Site, Visit, opened_site
from tests.conftest import WAIT_S

pytestmark = pytest.mark.browser
OFFERED = lessons_object(LESSONS, MODELS)["lessons"]


@pytest.fixture(scope="module")
def school() -> object:
    """A server with the real engine and all its models."""
    with opened_site(Settings) as served:
        yield served


def stands(page: Page) -> None:
    """Wait until the step's run is there and its place is shown."""
    page.wait_for_function("/^(Shown|Playing)/.test(document.querySelector('.lesson-state')?.textContent)", timeout=WAIT_S * 2000)


@pytest.mark.parametrize("lesson", OFFERED, ids=lambda lesson: lesson["name"])
def test_a_lesson_walked_through_shows_what_each_step_says(school: Site, visit: Visit, lesson: dict) -> None:
    page = visit(f"{school.address}/#lesson={lesson['name']}&step=1")
    for number, step in enumerate(lesson["steps"], 1):
        stands(page)
        expect(page.locator(".lesson h3")).to_have_text(step["title"])
        assert page.evaluate("location.hash") == f"#lesson={lesson['name']}&step={number}"
        if step["run"]:
            view, request = step["run"]["view"], step["run"]["request"]
            start = page.evaluate("(() => { const { start } = window.unmask.trace; return { model: start.model.name, decoder: start.request.decoder, prompt: start.request.prompt }; })()")
            assert start == {name: request[name] for name in start}
            place, layer = page.evaluate("[window.unmask.select.pin, window.unmask.select.layer]")
            assert layer == view["score"]
            assert place == (None if view["a"] is None else page.evaluate("window.unmask.trace.start.prompt_length") + view["a"])
            if view["t"] is not None and not view["play"]:
                assert page.evaluate("window.unmask.clock.t") == view["t"]
        if step["question"]:
            for choice in step["question"]["choices"]:
                page.get_by_role("button", name=choice["text"], exact=True).click()
                expect(page.locator(".lesson-said")).to_have_text(f"{'✓ Right.' if choice['right'] else '✗ Not quite.'} {choice['why']}")
        if number < len(lesson["steps"]):
            page.locator(".lesson h3").click()
            page.keyboard.press("PageDown")


@pytest.mark.parametrize("dark", [False, True])
def test_a_lesson_is_taken_by_keyboard_alone_and_the_arrows_stay_the_clocks(school: Site, visit: Visit, dark: bool) -> None:
    page = visit(school, dark=dark)
    page.locator("#lessons-open").focus()
    page.keyboard.press("Enter")
    expect(page.locator("dialog.lessons")).to_be_visible()
    item = page.locator(".lesson-item", has_text="Why order matters")
    for _ in range(12):
        page.keyboard.press("Tab")
        if item.evaluate("node => node === document.activeElement"):
            break
    page.keyboard.press("Enter")
    stands(page)
    expect(page.locator(".lesson h3")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("window.unmask.clock.t === 2")
    page.keyboard.press("PageDown")
    expect(page.locator(".lesson-place")).to_contain_text("step 2 of")
    stands(page)
    page.keyboard.press("PageUp")
    expect(page.locator(".lesson-place")).to_contain_text("step 1 of")
    stands(page)
    choice = page.locator(".lesson-choice").nth(1)
    for _ in range(12):
        page.keyboard.press("Tab")
        if choice.evaluate("node => node === document.activeElement"):
            break
    page.keyboard.press("Space")
    expect(page.locator(".lesson-said")).to_contain_text("✗ Not quite.")
    page.get_by_role("button", name="Close the lesson").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".lesson")).to_be_hidden()
    expect(page.locator("#request")).to_be_visible()
    assert page.evaluate("location.hash") == ""


def test_going_back_shows_the_run_that_is_there_and_does_not_repeat_it(school: Site, visit: Visit) -> None:
    page = visit(f"{school.address}/#lesson=order&step=2")
    stands(page)
    first = page.evaluate("window.unmask.trace.start.run")
    page.get_by_role("button", name="Next", exact=True).click()
    expect(page.locator(".lesson-place")).to_contain_text("step 3 of")
    stands(page)
    page.wait_for_function("first => window.unmask.trace.start.run !== first", arg=first)
    page.get_by_role("button", name="Back", exact=True).click()
    page.wait_for_function("first => window.unmask.trace.start.run === first", arg=first)


def test_a_lesson_fills_the_screen_and_comes_back(school: Site, visit: Visit) -> None:
    page = visit(f"{school.address}/#lesson=masked&step=1")
    stands(page)
    page.get_by_role("button", name="Full screen", exact=True).click()
    page.wait_for_function("document.fullscreenElement?.id === 'stage' && document.body.classList.contains('presenting')")
    expect(page.locator(".lesson h2")).to_be_visible()
    page.get_by_role("button", name="Leave full screen", exact=True).click()
    page.wait_for_function("document.fullscreenElement === null && !document.body.classList.contains('presenting')")


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (760, False), (1440, True), (2200, False)])
def test_a_lesson_fits_every_width(school: Site, visit: Visit, width: int, dark: bool) -> None:
    page = visit(f"{school.address}/#lesson=speed&step=2", width=width, height=900, dark=dark)
    stands(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    lesson, lane = (page.locator(name).bounding_box() for name in (".lesson-inner", ".lane"))
    beside = width >= 1100
    assert (lesson["x"] + lesson["width"] <= lane["x"]) if beside else (lesson["y"] + lesson["height"] <= lane["y"])
    clipped = page.evaluate("[...document.querySelectorAll('.lesson :is(p, button, h2, h3, h4)')].filter(node => node.offsetParent && node.scrollWidth > node.clientWidth + 1).map(node => node.textContent)")
    assert clipped == []


def test_the_form_can_be_shown_and_the_request_of_the_step_stands_in_it(school: Site, visit: Visit) -> None:
    page = visit(f"{school.address}/#lesson=speed&step=1")
    stands(page)
    expect(page.locator("#request")).to_be_hidden()
    page.get_by_role("button", name="Show the form").click()
    expect(page.locator("#request")).to_be_visible()
    assert page.locator("#field-prompt :is(textarea, input)").first.input_value() == OFFERED[2]["steps"][0]["run"]["request"]["prompt"]
    assert page.locator("#field-decoder input").input_value().startswith("Fast-dLLM")
