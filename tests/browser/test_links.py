"""Links: what is shared opens as it was; what is hostile, broken or of elsewhere is said and harms nothing."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from backend.kept import KeptRuns
from tests.browser.conftest import Site, Visit, cells, fill, painted, run, seek

pytestmark = pytest.mark.browser

REQUEST = "v=1&model=tiny-diffusion&decoder=fast_dllm&set.threshold=0.8&prompt=sum%3A+417923%2B193112%3D&length=10&seed=3"


def follow(page: Page, fragment: str) -> None:
    page.evaluate("fragment => { location.hash = fragment; }", fragment)


def opened(page: Page, step: int) -> None:
    """Wait until a link's run is there, at the link's step."""
    page.wait_for_function(
        "step => { const { trace, clock } = window.unmask; return trace.start.run !== 'example' && trace.end !== null && clock.t === step; }", arg=step)


def field(page: Page, name: str) -> str:
    return page.locator(f"#field-{name} :is(textarea, input:not([type=range]))").first.input_value()


def test_a_shared_link_opens_the_same_request_step_and_selection_elsewhere(real: Site, visit: Visit) -> None:
    page = visit(real, permissions=["clipboard-read", "clipboard-write"], bears="404")  # runs are forgotten while it is open
    fill(page, "prompt", "sum: 417923+193112=")
    fill(page, "length", "10")
    fill(page, "seed", "5")
    page.locator("#settings > button").click()
    fill(page, "settings-llada-steps", "5")
    steps = run(page)
    seek(page, 2)
    page.evaluate("window.unmask.select.setLayer('entropy'); window.unmask.clock.setUnit('passes'); window.unmask.clock.seek(2)")
    page.locator(".tokens .cell").nth(4).click()
    page.get_by_role("button", name="Share", exact=True).click()
    expect(page.locator(".note p[role=status]")).to_contain_text("Link copied")
    link = page.evaluate("navigator.clipboard.readText()")
    wanted = page.evaluate("(() => { const { trace, clock, select } = window.unmask; return [trace.start.request, clock.t, select.pin, select.layer, clock.unit, trace.start.run]; })()")
    assert steps == 5 and link.startswith(real.address) and "#" in link
    again = visit(real, bears="404")
    follow(again, link.partition("#")[2])
    opened(again, 2)
    state = "(() => { const { trace, clock, select } = window.unmask; return [trace.start.request, clock.t, select.pin, select.layer, clock.unit, trace.start.run]; })()"
    assert again.evaluate(state) == wanted  # the run is still kept: shown, not repeated
    again.locator("#settings > button").click()
    assert [field(again, name) for name in ("prompt", "length", "seed", "settings-llada-steps")] == ["sum: 417923+193112=", "10", "5", "5"]
    real.engine._kept = KeptRuns(64, 2**28)
    third = visit(real)
    follow(third, link.partition("#")[2])
    opened(third, 2)
    assert third.evaluate(state)[:5] == wanted[:5] and third.evaluate(state)[5] != wanted[5]
    painted(third, 2)
    assert cells(third) == cells(page)


def test_a_link_that_the_page_is_opened_with_runs_at_once(real: Site, visit: Visit) -> None:
    page = visit(f"{real.address}/#{REQUEST}&t=1&p=22&score=margin&nobody=knows")
    opened(page, 1)
    assert page.evaluate("window.unmask.trace.start.request.settings") == {"threshold": 0.8}
    assert page.evaluate("[window.unmask.select.pin, window.unmask.select.layer]") == [22, "margin"]
    assert field(page, "prompt") == "sum: 417923+193112="
    expect(page.locator(".note")).to_be_hidden()


BOTH = "(() => { const { traces, clock, select } = window.unmask; return [traces.map(({ start }) => [start.decoder, start.request.settings]), clock.t, clock.step(1), clock.unit, select.pin, traces.map(({ start }) => start.run)]; })()"


def test_a_comparisons_link_opens_both_lanes_kept_or_not(real: Site, visit: Visit) -> None:
    page = visit(real, bears="404")  # what asks about a run that is forgotten at the end of this test
    fill(page, "prompt", "sum: 417923+193112=")
    fill(page, "length", "10")
    page.evaluate("window.unmask.clock.autoReplay = false")
    page.get_by_label("Compare with a second decoder").check()
    page.locator("#field-b-decoder select").select_option("fast_dllm")
    page.locator("#second-settings summary").click()
    page.locator("#field-b-settings-threshold input").fill("0.6")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function("window.unmask.traces.every(trace => trace.end && trace.start.run !== 'example')")
    page.evaluate("window.unmask.clock.seek(2)")
    expect(page.locator("[data-lane='0'] .tokens .cell")).to_have_count(10)  # this run's, no longer the example's
    page.locator("[data-lane='0'] .tokens .cell").nth(4).click()
    wanted, link = page.evaluate(BOTH), page.evaluate("window.unmask.address()")
    assert wanted[0][1] == ["fast_dllm", {"threshold": 0.6}]
    there = "() => { const { traces, clock, select } = window.unmask; return select.pin !== null && clock.shown === 2 && traces.every(trace => trace.end) && clock.t === 2 && document.querySelector('[data-painted]').dataset.painted === '2'; }"
    again = visit(real, bears="404")
    follow(again, link.partition("#")[2])
    again.wait_for_function(there)
    assert again.evaluate(BOTH) == wanted
    expect(again.locator("#field-b-on")).to_be_checked()
    assert again.locator("#field-b-settings-threshold input").input_value() == "0.6"
    real.engine._kept = KeptRuns(64, 2**28)
    third = visit(real)
    follow(third, link.partition("#")[2])
    third.wait_for_function(there)
    got = third.evaluate(BOTH)
    assert got[:5] == wanted[:5] and not set(got[5]) & set(wanted[5])


def test_nothing_of_a_link_reaches_the_address_that_the_server_sees(real: Site, visit: Visit) -> None:
    page = visit(real)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    follow(page, f"{REQUEST}&t=1")
    opened(page, 1)
    assert asked and not [url for url in asked if "417923" in url or "threshold" in url.partition("#")[0]]


def test_a_link_made_with_other_weights_says_so(real: Site, visit: Visit) -> None:
    page = visit(real)
    follow(page, f"{REQUEST}&weights=0123456789abcdef&t=1")
    opened(page, 1)
    expect(page.locator(".note.bad")).to_contain_text("made with other weights: tiny-diffusion had 0123456789abcdef")


@pytest.mark.parametrize(("fragment", "words"), [
    ("v=99&decoder=llada", "version 99"),
    ("v=1&prompt=" + "x" * 17000, "the limit is 16000"),
    ("v=1&decoder=" + quote("<img src=x onerror=window.ran=1>") + "&prompt=x", "There is no decoder “<img src=x onerror=window.ran=1>”"),
    ("v=1&decoder=llada&prompt=x&model=" + quote("${window.ran=1}"), "The model “${window.ran=1}” of this link is not offered here"),
    ("lesson=" + quote("<script>window.ran=1</script>"), "There is no lesson “<script>window.ran=1</script>”"),
    ("lesson=nothing", "There is no lesson “nothing” here"),
])
def test_a_hostile_or_broken_link_is_told_as_text_and_changes_nothing(real: Site, visit: Visit, fragment: str, words: str) -> None:
    page = visit(real)
    before = page.evaluate("window.unmask.trace.start.run")
    follow(page, fragment)
    expect(page.locator(".note.bad")).to_contain_text(words)
    assert page.evaluate("[window.ran === undefined, document.querySelectorAll('#unmask img, #unmask script').length, window.unmask.trace.start.run]") == [True, 0, before]


def test_values_that_do_not_fit_fall_back_with_a_notice_and_the_rest_is_shown(real: Site, visit: Visit) -> None:
    page = visit(real)
    follow(page, f"{REQUEST}&t=9999&p=88888&score=%3Cb%3E&unit=years&run=../etc".replace("set.threshold=0.8", "set.threshold=7&set.nothing=1"))
    page.wait_for_function("window.unmask.trace.start.run !== 'example' && window.unmask.trace.end !== null && window.unmask.clock.t === window.unmask.trace.steps")
    note = page.locator(".note.bad")
    for words in ("The colour “<b>” of this link cannot be read", "The run “../etc”", "Threshold: 7 is out of range", "no setting “nothing”",
                  "step 9999", "unit “years”", "position 88888"):
        expect(note).to_contain_text(words)
    assert page.evaluate("[window.unmask.trace.start.settings.threshold, window.unmask.select.pin, document.querySelectorAll('.note b').length]") == [0.9, None, 0]
    page.get_by_role("button", name="Close this message").click()
    expect(note).to_be_hidden()


def test_a_request_that_the_model_refuses_is_filled_in_and_the_reason_stands_at_its_field(real: Site, visit: Visit) -> None:
    page = visit(real)
    follow(page, "v=1&model=tiny-diffusion&decoder=llada&prompt=x&length=999999&seed=0")
    expect(page.locator(".note.bad")).to_contain_text("cannot be run as it is")
    expect(page.locator(".problem")).to_contain_text("out of range")
    assert field(page, "length") == "999999"
    fill(page, "length", "8")
    run(page)  # the link is over: this run is shown as any other
    assert page.evaluate("window.unmask.clock.t") == 8


def test_without_a_clipboard_the_link_is_shown_to_be_copied(real: Site, visit: Visit) -> None:
    page = visit(real)
    seek(page, 3)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: { writeText: () => Promise.reject(new Error('no')) } })")
    page.get_by_role("button", name="Share", exact=True).click()
    shown = page.get_by_role("textbox", name="Link", exact=True)
    expect(shown).to_be_focused()
    assert shown.input_value() == page.evaluate("window.unmask.address()")
