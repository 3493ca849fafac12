"""Models from the page: opened, reviewed against the request, run, unloaded, refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from backend.settings import Settings
from tests.browser.conftest import Site, Visit, fill, opened_site, run
from tests.conftest import GOLDEN

pytestmark = pytest.mark.browser
FOLDER = GOLDEN / "llada_mha"


@pytest.fixture(scope="module")
def own() -> Iterator[Site]:
    """A server with the real engine, which opens folders."""
    with opened_site(Settings) as served:
        yield served


def open_model(page: Page, source: str) -> None:
    if not page.locator("#field-source").is_visible():
        page.locator("#models > button").click()
    fill(page, "source", source)
    page.locator("#open-model").click()


def test_a_folder_is_opened_reviewed_run_and_unloaded(own: Site, visit: Visit) -> None:
    page = visit(own)
    prompt = page.locator("#field-prompt :is(textarea, input)").first.input_value()
    open_model(page, str(FOLDER))
    page.get_by_text("llada_mha is open: llada").wait_for()
    page.locator("#field-prompt .problem").wait_for()  # it has no tokenizer: the prompt that stays cannot be read
    assert page.locator("#field-prompt :is(textarea, input)").first.input_value() == prompt
    assert page.locator("#field-model input").input_value() == "llada_mha"
    page.wait_for_function("document.querySelector('.model-state').textContent.includes('window 128')")
    fill(page, "prompt", "ids: 1, 2, 3")
    run(page)
    assert page.evaluate("window.unmask.trace.start.model.name") == "llada_mha"
    expect(page.locator(".problem")).to_have_count(0)
    page.locator("#unload-model").click()
    page.get_by_text("is unloaded. A run loads it again.").wait_for()
    run(page)
    other = visit(own)
    other.locator("#field-model input").click()
    other.get_by_role("option", name="llada_mha").wait_for()


@pytest.mark.parametrize(("source", "words"), [
    ("owner/name", ("'owner/name' is not a folder", "--open-models hub")),
    ("/no/such/place", ("'/no/such/place' is not a folder",)),
    (str(GOLDEN), ("config.json",)),
    ("", ("No model is named",)),
])
def test_what_cannot_be_opened_says_why_and_the_page_goes_on(own: Site, visit: Visit, source: str, words: tuple[str, ...]) -> None:
    page = visit(own)
    open_model(page, source)
    page.locator(".said.bad").wait_for()
    assert all(word in page.locator(".said.bad").inner_text() for word in words)
    assert page.locator("#field-model input").input_value().startswith("Tiny diffusion")
    run(page)


def test_a_server_for_others_opens_nothing_and_says_so(visit: Visit) -> None:
    with opened_site(lambda **given: Settings(open_models="none", **given)) as served:
        page = visit(served)
        page.locator("#models > button").click()
        expect(page.get_by_text("This server offers its own models only")).to_be_visible()
        expect(page.locator("#open-model")).to_be_disabled()
        expect(page.locator("#field-source :is(input, textarea)")).to_be_disabled()
        page.close()  # before its server is gone
