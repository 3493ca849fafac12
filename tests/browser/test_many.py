"""Many runs at once in a browser: what comes back, what is refused, stopping, both themes, the keyboard, hostile tokens."""

from __future__ import annotations

import csv

import pytest
from playwright.sync_api import Page, expect

from backend.decoders.catalogue import DECODERS
from tests.browser.conftest import Site, Visit
from tests.browser.test_decoders_page import WIDE
from tests.browser.test_looks import CONTRAST

pytestmark = pytest.mark.browser
DONE = "document.querySelector('#many-form').dataset.state === 'done'"


def asked(page: Page, **fields: str) -> None:
    """Fill in fields by name, press Run, and wait for the end."""
    for name, text in fields.items():
        entry = page.locator(f"#field-{name}")
        entry.select_option(text) if entry.evaluate("node => node.tagName") == "SELECT" else entry.fill(text)
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function(DONE)


def drawn(page: Page, *names: str) -> None:
    """Scroll to the charts and wait until they are drawn."""
    for name in names:
        page.locator(f"#many-{name}").scroll_into_view_if_needed()
        page.wait_for_function("name => Number(document.querySelector(`#many-${name}`).dataset.drawn) > 0", arg=name)


def test_many_seeds_of_a_rule_without_chance_are_called_one_run(real: Site, visit: Visit) -> None:
    page = visit(real, leaf="many")
    asked(page, runs="3", prompt="sum: 417923+193112=", decoder="left_to_right")
    said = page.locator("#many-sentences").inner_text()
    assert "All 3 runs are the same, token for token" in said and "tau 1.00 ± 0.00, 0.0 places" in said
    assert page.locator("#many-table tbody tr").count() == 3
    drawn(page, "order")
    answer = page.locator("#many-table code").first.inner_text()
    # One step for each sign, and one for the end of sequence; what follows it is filler and not shown.
    assert page.evaluate("document.querySelector('#many-order').data.at(-1).y") == list(range(1, len(answer) + 2))


def test_many_prompts_are_shown_as_charts_tables_and_csv_that_agree(real: Site, visit: Visit) -> None:
    page = visit(real, leaf="many")
    page.get_by_text("Many prompts of one task").click()
    asked(page, task="sum", decoder="random_order", runs="6")
    drawn(page, "order", "tau", "scores")
    with page.expect_download() as fetched:
        page.locator("#many-csv").click()
    with open(fetched.value.path(), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    shown = page.evaluate("[...document.querySelectorAll('#many-table tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))")
    assert [[row["run"], row["seed"], row["answer"] + row["prompt"], row["steps"], f"{float(row['kendall_tau']):.2f}"] for row in rows] == \
           [[cells[0], cells[1], cells[2], cells[4], cells[6]] for cells in shown]
    assert sum(page.evaluate("document.querySelector('#many-tau').data[0].y")) == 6
    means = page.evaluate("document.querySelector('#many-order').data.at(-1).y")
    table = page.evaluate("[...document.querySelectorAll('#many-places tbody tr')].map(row => row.cells[1].textContent)")
    assert [f"{mean:.2f}" for mean in means] == table
    before = page.evaluate("document.querySelector('#many-scores').data[0].y")
    page.select_option("#many-score", "entropy")
    page.wait_for_function("document.querySelector('#many-scores').dataset.drawn === '2'")
    assert page.evaluate("document.querySelector('#many-scores').data[0].y") != before
    right = sum(row["right"] == "True" for row in rows)
    assert f"{right} of 6 answers are right" in page.locator("#many-sentences").inner_text()


def test_decoders_that_the_model_cannot_run_are_greyed_out_with_the_reason(real: Site, visit: Visit) -> None:
    page = visit(real, leaf="many")
    unfit = {decoder.name for decoder in DECODERS if decoder.needs - real.model.capabilities}
    page.wait_for_function("document.querySelector('#field-decoder option:disabled')")
    grey = page.evaluate("[...document.querySelectorAll('#field-decoder option:disabled')].map(option => [option.value, option.text])")
    assert {name for name, _ in grey} == unfit and all("needs a model that" in text for _, text in grey)
    assert page.evaluate("document.querySelector('#field-decoder').selectedOptions[0].disabled") is False


def test_wrong_fields_get_their_sentences_and_the_first_one_the_focus(real: Site, visit: Visit) -> None:
    page = visit(real, leaf="many", bears="422")
    page.locator("#many-settings summary").click()
    page.locator("#field-settings-llada-steps").fill("0")
    page.locator("#many-settings summary").click()
    asked(page, runs="99", length="x")
    expect(page.locator("[data-field=runs] .problem")).to_contain_text("from 2 to 32")
    expect(page.locator("[data-field=length] .problem")).to_contain_text("'x' is out of range")
    expect(page.locator("[data-field='settings.steps'] .problem")).to_be_visible()
    assert page.evaluate("document.activeElement.getAttribute('aria-errormessage')") == "many-problem-0"
    assert page.locator("#many-results").is_hidden()
    page.locator("#field-settings-llada-steps").fill("")
    asked(page, runs="2", length="6")
    assert page.locator(".problem").count() == 0 and page.locator("#many-table tbody tr").count() == 2


def test_stop_ends_the_runs_and_shows_what_was_over(gated: Site, visit: Visit) -> None:
    page = visit(gated.address, leaf="many")
    page.locator("#field-prompt").fill("ab")
    page.locator("#field-length").fill("4")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function("document.querySelector('#many-status').textContent.includes('0 of 16 runs over')")
    page.get_by_role("button", name="Stop", exact=True).click()
    gated.model.permits.release(1000)
    page.wait_for_function(DONE)
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    while gated.model.permits.acquire(blocking=False):
        pass  # as the other tests of this server expect it


@pytest.mark.parametrize(("dark", "width"), [(False, 1440), (True, 390), (False, 320)])
def test_the_page_reads_in_both_themes_and_in_a_narrow_window(real: Site, visit: Visit, dark: bool, width: int) -> None:
    page = visit(real, leaf="many", dark=dark, width=width)
    page.locator("#many-settings summary").click()
    asked(page, runs="2", length="6")
    drawn(page, "order")
    assert page.evaluate(WIDE, width) == [] and page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST.replace("script, style", "script, style, .js-plotly-plot")) == []


def test_everything_is_reached_by_keyboard(real: Site, visit: Visit) -> None:
    page = visit(real, leaf="many")
    page.locator("[name=vary]").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("[data-field=task]")).to_be_visible()
    seen = []
    for _ in range(9):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert seen[:7] == ["field-task", "field-model", "field-decoder", "field-length", "field-seed", "field-runs", "many-run"]
    page.locator("#field-runs").fill("2")
    page.locator("#field-runs").press("Enter")
    page.wait_for_function(DONE)
    assert page.locator("#many-table tbody tr").count() == 2


def test_hostile_tokens_stay_text(hostile: Site, visit: Visit) -> None:
    page = visit(hostile.address, leaf="many")
    page.locator("#field-decoder").select_option("random_order")
    asked(page, runs="3", prompt="<img src=x onerror=window.ran=1>", length="8")
    drawn(page, "order", "tau")
    assert page.evaluate("window.ran") is None and page.locator("#many-results img").count() == 0
    assert page.locator("#many-table code").first.inner_text().strip()
