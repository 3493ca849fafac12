"""Text of models and visitors is shown as text, whatever it looks like."""

from __future__ import annotations

import pytest

from tests.browser.conftest import NASTY, Site, Visit, fill, painted, run, seek

pytestmark = pytest.mark.browser

# A cell shows a leading space as a dot of its own and line ends as signs; half a character cannot travel.
SHOWN = [text.encode("utf-8", "replace").decode() for text in NASTY]


def unharmed(page: object) -> None:
    assert page.evaluate("window.ran === undefined")
    assert page.evaluate("document.querySelectorAll('#unmask img, #unmask script, #unmask b b').length") == 0


def test_tokens_that_look_like_code_are_shown_literally(hostile: Site, visit: Visit) -> None:
    page = visit(hostile)
    fill(page, "prompt", "<b>${window.ran=1}{{x}}</b>")
    fill(page, "length", "40")
    steps = run(page)
    for step in (steps // 2, steps):
        seek(page, step)
        page.locator(".tokens .cell").nth(step % 7).hover()
        unharmed(page)
    seen = page.evaluate("[...document.querySelectorAll('.tokens .cell')].map(cell => cell.textContent)")
    assert set(seen) <= {*SHOWN, ""} and len(set(seen)) >= 5
    listed = page.evaluate("[...document.querySelectorAll('.bars .name')].map(name => name.textContent)")
    assert {name for name in listed if name} <= {*SHOWN, "mask", "∎ end"}
    assert page.locator(".answer-text").inner_text() == page.evaluate("window.unmask.trace.end.text")
    chips = page.evaluate("[...document.querySelectorAll('.prompt-tokens .chip')].map(chip => chip.textContent)")
    assert set(chips) <= set(SHOWN)
    unharmed(page)


def test_labels_for_screen_readers_hold_the_same_text(hostile: Site, visit: Visit) -> None:
    page = visit(hostile)
    fill(page, "prompt", "x")
    fill(page, "length", "20")
    run(page)
    labels = page.evaluate("[...document.querySelectorAll('.tokens .cell')].map(cell => cell.getAttribute('aria-label'))")
    assert all(any(f"“{text}”" in label for text in SHOWN) or "end of sequence" in label for label in labels)
    unharmed(page)


def test_the_table_of_the_canvas_shows_them_literally(hostile: Site, visit: Visit) -> None:
    page = visit(hostile)
    fill(page, "prompt", "x")
    fill(page, "length", "20")
    run(page)
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Canvas as a table").click()
    table = opened.value
    table.wait_for_load_state()
    assert {text for text in table.locator("td code").all_inner_texts() if text} <= {*SHOWN, *[chr(k) for k in range(256)], "[EOS]"}
    assert table.evaluate("document.querySelectorAll('img, script').length") == 0


def test_a_prompt_that_is_refused_is_quoted_literally(real: Site, visit: Visit) -> None:
    page = visit(real)
    for prompt in ("<img src=x onerror=window.ran=1>é", "${window.ran=1}é", "{{window.ran=1}}é", "`+(window.ran=1)+`é"):
        fill(page, "prompt", prompt)
        page.locator("#run").click()
        page.locator(".problem").first.wait_for()
        page.wait_for_function("document.querySelector('#run').textContent.trim() === 'Run'")
        assert page.evaluate("window.ran === undefined") and page.locator(".problem img").count() == 0


def test_markup_that_slips_in_could_not_run(real: Site, visit: Visit) -> None:
    page = visit(real, bears="inline event handler")
    page.evaluate("document.querySelector('#unmask').insertAdjacentHTML('beforeend', '<p id=slipped onclick=\"window.ran = 1\">x</p>')")
    page.evaluate("document.getElementById('slipped').click()")
    assert page.evaluate("window.ran === undefined")
    painted(page, page.evaluate("window.unmask.clock.t"))
