"""The Decoders page in a browser: cards, the measured table and its chart; and a decoder that lives outside the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from backend.decoders.catalogue import DECODERS
from benchmarks.browser import served
from benchmarks.decoders import Row, write_table
from components import measured
from tests.browser.conftest import Site, Visit, run
from tests.browser.test_looks import CONTRAST
from tests.test_docs import readmes_decoder

pytestmark = pytest.mark.browser


WIDE = """width => [...document.querySelectorAll('main *')].filter(node => node.checkVisibility() && !node.closest('.scrolled, svg')
  && node.getBoundingClientRect().right > width + 1).map(node => `${node.tagName}.${node.className} ${node.textContent.slice(0, 40)}`).slice(0, 5)"""


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stand in for the measured table: two tasks, three decoders; and for the claims."""
    def row(task: str, decoder: str, percent: float, passes: float, settings: str = "{}") -> Row:
        return Row("tiny-diffusion", "0", task, decoder, settings, 10, int(percent / 10), percent, percent - 10, min(100.0, percent + 5), passes, 200.0,
                   1.5, 0.01, None if decoder == "greedy" else 0.9)

    write_table(tmp_path / "decoders.csv", [
        row("sum", "llada", 80, 10), row("sum", "fast_dllm", 90, 3, '{"cache": "dual"}'), row("sum", "random_order", 20, 12),
        row("tail", "llada", 70, 4), row("tail", "greedy", 60, 2),
    ])
    (tmp_path / "claims.md").write_text("# Claims\n\n| claim | holds |\n| --- | --- |\n| `CCD` needs fewer steps | **yes** |\n", encoding="utf-8")
    monkeypatch.setattr(measured, "TABLE", tmp_path / "decoders.csv")
    monkeypatch.setattr(measured, "CLAIMS", tmp_path / "claims.md")


def names(page: Page) -> list[str]:
    """Return the decoders of the rows that are shown, from top to bottom."""
    return page.evaluate("[...document.querySelectorAll('#measured-table tbody tr:not([hidden])')].map(row => row.dataset.decoder)")


def test_the_table_and_its_chart_show_one_task_and_sort_by_keyboard(real: Site, visit: Visit, table: None) -> None:
    page = visit(real, leaf="decoders", height=600)
    assert page.evaluate("performance.getEntriesByType('resource').filter(entry => entry.name.includes('plotly')).length") == 0
    assert names(page) == ["fast_dllm", "llada", "random_order"]
    page.locator("#measured-chart").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('#measured-chart').dataset.drawn === '1'")
    drawn = """document.querySelector('#measured-chart').data.filter(part => part.mode !== 'lines').flatMap(part =>
      part.x.map((x, k) => [x, part.y[k], part.error_y.array[k], part.error_y.arrayminus[k]]))"""
    assert sorted(page.evaluate(drawn)) == [[3, 90, 5, 10], [10, 80, 5, 10], [12, 20, 5, 10]]
    assert page.evaluate("document.querySelector('#measured-chart').data.find(part => part.name === 'Pareto front').x") == [3]
    page.get_by_role("button", name="Passes", exact=True).focus()
    page.keyboard.press("Enter")
    assert names(page) == ["random_order", "llada", "fast_dllm"]
    page.keyboard.press("Enter")
    assert names(page) == ["fast_dllm", "llada", "random_order"]
    expect(page.locator("th[data-key=passes]")).to_have_attribute("aria-sort", "ascending")
    page.select_option("#measured-task", "tiny-diffusion/tail")
    page.wait_for_function("document.querySelector('#measured-chart').dataset.drawn === '2'")
    assert names(page) == ["greedy", "llada"] and sorted(page.evaluate(drawn))[0][:2] == [2, 60]
    page.select_option("#measured-decoder", "llada")
    expect(page.locator("tr.pointed:not([hidden])")).to_have_count(1)
    assert page.locator("#claims strong").inner_text() == "yes"
    with page.expect_download() as fetched:
        page.get_by_role("link", name="Download as CSV").click()
    assert fetched.value.suggested_filename == "decoders.csv"


@pytest.mark.parametrize(("dark", "width"), [(False, 1440), (True, 390)])
def test_the_page_reads_in_both_themes_and_in_a_narrow_window(real: Site, visit: Visit, table: None, dark: bool, width: int) -> None:
    page = visit(real, leaf="decoders", dark=dark, width=width)
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    expect(page.locator(".card")).to_have_count(len(DECODERS))
    assert page.evaluate(WIDE, width) == [] and page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []


def test_without_measurements_the_page_says_how_to_make_them(real: Site, visit: Visit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(measured, "TABLE", tmp_path / "none.csv")
    monkeypatch.setattr(measured, "CLAIMS", tmp_path / "none.md")
    page = visit(real, leaf="decoders")
    expect(page.locator("#measured code")).to_have_text(measured.COMMAND)
    expect(page.locator("#claims code")).to_have_text(measured.CLAIMS_COMMAND)


def test_a_decoder_from_outside_has_its_controls_its_card_and_its_run(visit: Visit, tmp_path: Path) -> None:
    """The README's decoder, saved as a module and named on the command line; nothing else is told about it."""
    code = readmes_decoder().replace("return Choice(writes_of(view, [best], tokens, probs),", "return Choice(writes_of(view, [best], tokens, probs), "
                                     "scores={'gap': tuple(p - s for p, s in zip(probs, second))},")
    code = code.replace('"Ours", Settings\n', '"Ours", Settings\n    scores = (Score("gap", "Gap", "Best minus second best.", "probability", "surer"),)\n')
    (tmp_path / "widest_margin.py").write_text(code.replace("import BaseDecoder", "import Score, BaseDecoder"), encoding="utf-8")
    with served("--decoders", "widest_margin", PYTHONPATH=str(tmp_path)) as (address, _):
        page = visit(address)
        page.get_by_role("combobox", name="Decoder").click()
        page.get_by_role("option", name="Widest margin · sourced").click()
        expect(page.locator("#about-decoder")).to_contain_text("two best tokens are furthest apart")
        page.locator("#settings > button").click()
        expect(page.locator("#field-settings-widest_margin-temperature")).to_be_visible()
        steps = run(page)
        shown = page.evaluate("({ decoder: window.unmask.trace.start.decoder, reason: window.unmask.trace.end.reason, "
                              "why: window.unmask.trace.notes[1].why, names: [...window.unmask.trace.scores.keys()] })")
        assert (shown["decoder"], shown["reason"], steps) == ("widest_margin", "done", 20) and "widest margin" in shown["why"]
        assert shown["names"][-1] == "gap"
        page.get_by_role("radio", name="Gap", exact=True).click()
        expect(page.locator(".ramp .unit").first).to_contain_text("probability · bright = surer")
        recorded = page.evaluate("""() => { const { trace } = window.unmask; const cell = trace.written[1][0];
          return ['gap', 'margin'].map(name => trace.value(name, trace.score(name, cell, 1))); }""")
        assert recorded[0] == pytest.approx(recorded[1], abs=1e-3)
        page.goto(f"{address}/decoders#widest_margin")
        card = page.locator("#widest_margin")
        expect(card.get_by_role("heading")).to_contain_text("Widest margin")
        expect(card).to_contain_text("Best minus second best.")
        page.goto("about:blank")  # before its server is gone


@pytest.mark.parametrize("leaf", ["decoders", "many", "help"])
def test_a_page_beside_the_player_has_the_players_letters(real: Site, visit: Visit, leaf: str) -> None:
    if leaf == "help":
        page = visit(real)
        page.goto(f"{real.address}/help")
    else:
        page = visit(real, leaf=leaf)
    loaded = page.evaluate("document.fonts.ready.then(fonts => [...fonts].filter(font => font.status === 'loaded').map(font => font.family.replaceAll('\"', '')))")
    assert "IBM Plex Sans" in loaded
