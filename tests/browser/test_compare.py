"""Two runs side by side, branches, and answers with blanks: as Python says, and as a visitor does it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from playwright.sync_api import Browser, Page, expect

from backend import compare, replay, run, same_run
from backend.canvas import steps_of
from backend.events import Branch, End, Event
from components import wire
from tests.browser.conftest import Site, Visit, fill, painted
from tests.conftest import WAIT_S
from tests.strategies import runs

pytestmark = pytest.mark.browser

COMPARE = """async ([a, b, ta, tb, unit]) => {
  const { Trace } = await import('/assets/trace.js');
  const { compare } = await import('/assets/compare.js');
  const [one, two] = [a, b].map(text => { const trace = new Trace(); trace.push(JSON.parse(text)); return trace; });
  return compare(one, two, ta, tb, unit);
}"""


@pytest.fixture(scope="module")
def blank(browser: Browser, real: Site) -> Iterator[Page]:
    context = browser.new_context()
    opened = context.new_page()
    opened.goto(f"{real.address}/help")
    yield opened
    context.close()


@given(a=runs(), b=runs())
def test_the_browsers_comparison_is_pythons(blank: Page, a: tuple[Event, ...], b: tuple[Event, ...]) -> None:
    ends = len(steps_of(a)), len(steps_of(b))
    for at_a, at_b in {ends, (ends[0] // 2, ends[1]), (0, ends[1] // 2)}:
        for unit in ("passes", "step"):
            expected = compare(a, b, at_a, at_b, unit)
            got = blank.evaluate(COMPARE, [*(wire.dumps(wire.Encoder("r").encode(events)) for events in (a, b)), at_a, at_b, unit])
            assert [(mark["kind"], mark["by"]) for mark in got["marks"]] == [(mark.kind, mark.by) for mark in expected.marks]
            assert (got["fork"], got["firstDifferent"]) == (expected.fork, expected.first_different)
            assert got["tau"] is expected.tau is None or math.isclose(got["tau"], expected.tau, abs_tol=1e-12)
            for mine, side in ((got["a"], expected.a), (got["b"], expected.b)):
                assert [mine[name] for name in ("steps", "passes", "rows", "written")] == [side.steps, side.passes, side.rows, side.written]
                assert math.isclose(mine["tokensPerPass"], side.tokens_per_pass)
                assert mine["consistency"] is side.consistency is None or abs(mine["consistency"] - side.consistency) <= 1 / 131068 + 1e-6


def switch_on(page: Page, decoder: str, model: str | None = None) -> None:
    """Switch the comparison on and choose lane B's decoder."""
    page.get_by_label("Compare with a second decoder").check()
    page.locator("#field-b-decoder select").select_option(decoder)


def run_both(page: Page) -> None:
    """Press Run and wait until both lanes have ended and are painted."""
    page.evaluate("window.unmask.clock.autoReplay = false")
    before = page.evaluate("window.unmask.traces.map(trace => trace.start?.run ?? null)")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function("before => window.unmask.traces.every((trace, k) => trace.start && trace.start.run !== before[k] && trace.end)", arg=before)
    settled(page)


def settled(page: Page) -> None:
    page.wait_for_function("window.unmask.traces.every((trace, k) => document.querySelector(`[data-lane='${k}']`).dataset.painted === String(trace.steps))")


def both(site: Site, page: Page) -> list[tuple[Event, ...]]:
    """Return the events of both lanes as the server keeps them."""
    return [site.engine.find(run_id).events_so_far for run_id in page.evaluate("window.unmask.traces.map(trace => trace.start.run)")]


def counts(page: Page) -> dict[str, int]:
    return page.evaluate("Object.fromEntries([...document.querySelectorAll('.kind')].map(node => [node.dataset.kind, Number(node.querySelector('.n').textContent)]))")


def test_nobody_who_does_not_compare_sees_a_second_lane(real: Site, visit: Visit) -> None:
    page = visit(real)
    assert page.locator(".lane").count() == 1 and page.locator(".pair").count() == 0
    assert page.locator(".second-body").is_hidden() and page.evaluate("window.unmask.clock.unit") == "step"


def test_two_decoders_differ_where_their_events_do_and_equal_single_runs(real: Site, visit: Visit) -> None:
    page = visit(real)
    fill(page, "prompt", "sudoku: .4.1/...3/1.../....=")
    switch_on(page, "random_order")
    run_both(page)
    a, b = both(real, page)
    model = real.engine.load("tiny-diffusion")
    assert same_run(run(model, a[0].request), a) and same_run(run(model, b[0].request), b)
    compared = compare(a, b)
    assert counts(page) == {"same": compared.count("same"), "moved": compared.count("moved"), "differs": compared.count("differs"),
                            "only": compared.count("only_a") + compared.count("only_b")}
    assert compared.count("moved") > 0
    signs = page.evaluate("[0, 1].map(lane => [...document.querySelectorAll(`[data-lane='${lane}'] .tokens .cell`)].map(cell => cell.querySelector('i')?.dataset.sign ?? ''))")
    for place, mark in enumerate(compared.marks):
        by = abs(mark.by)
        wanted = {"same": ("", ""), "differs": ("≠", "≠"), "moved": (f"◂{by}", f"{by}▸") if mark.by < 0 else (f"{by}▸", f"◂{by}")}[mark.kind]
        assert (signs[0][place], signs[1][place]) == wanted
    table = page.locator(".pair tbody tr").first.inner_text().split()
    assert table[-2:] == [str(compared.a.passes), str(compared.b.passes)]
    assert f"τ = {compared.tau:.2f}" in page.locator(".pair").inner_text()
    assert page.evaluate("window.unmask.clock.unit") == "passes"


def test_the_same_request_twice_shows_no_difference(real: Site, visit: Visit) -> None:
    page = visit(real)
    switch_on(page, "llada")
    run_both(page)
    a, b = both(real, page)
    assert same_run(a[1:], b[1:])
    for _ in range(5):
        got = counts(page)
        assert got["moved"] == got["differs"] == got["only"] == 0
        page.keyboard.press("Shift+ArrowLeft")
    assert "equal at every step" in page.locator(".pair").inner_text()


def test_one_playhead_moves_both_lanes_by_passes_and_can_be_let_go(real: Site, visit: Visit) -> None:
    page = visit(real)
    switch_on(page, "fast_dllm")
    run_both(page)
    a, b = (steps_of(events) for events in both(real, page))
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Home")
    page.wait_for_function("[0, 1].every(lane => document.querySelector(`[data-lane='${lane}']`).dataset.painted === '0')")
    for value in (1, 2, 5):
        page.evaluate("value => window.unmask.clock.seekValue(value)", value)
        wanted = [str(sum(step.passes <= value for step in events)) for events in (a, b)]
        page.wait_for_function("wanted => [0, 1].every(lane => document.querySelector(`[data-lane='${lane}']`).dataset.painted === wanted[lane])", arg=wanted)
    stays = page.locator("[data-lane='0']").get_attribute("data-painted")
    page.get_by_label("What the time line moves").select_option("b")
    page.get_by_role("button", name="Last step").click()
    page.wait_for_function("steps => document.querySelector('[data-lane=\"1\"]').dataset.painted === steps", arg=str(len(b)))
    assert page.locator("[data-lane='0']").get_attribute("data-painted") == stays


def test_an_error_in_one_lane_leaves_the_other(real: Site, visit: Visit) -> None:
    page = visit(real)
    switch_on(page, "manual")
    page.locator("#second-settings summary").click()
    page.locator("#field-b-settings-moves input").fill("0=1, 1=999999")
    page.evaluate("window.unmask.clock.autoReplay = false")
    before = page.evaluate("window.unmask.trace.start.run")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function("""before => document.querySelector('.problem')
      || (window.unmask.trace.start.run !== before && window.unmask.traces.every(trace => trace.end))""", arg=before)
    if page.locator(".problem").count():  # refused before any pass, at lane B's own field
        assert "999999" in page.locator("#field-b-settings-moves .problem").inner_text()
        return
    a, b = both(real, page)
    assert a[-1].reason == "done" and b[-1].reason == "error" and "999999" in b[-1].message
    page.get_by_text("B: The run stopped").wait_for()


def test_a_wrong_setting_of_lane_b_is_told_at_its_field(real: Site, visit: Visit) -> None:
    page = visit(real)
    switch_on(page, "llada")
    page.locator("#second-settings summary").click()
    page.locator("#field-b-settings-steps input").fill("9999")
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator("#field-b-settings-steps .problem").wait_for()
    assert page.evaluate("document.activeElement.closest('#field-b-settings-steps') !== null")


def test_run_pressed_before_the_choices_have_come_waits_and_runs_both_lanes(real: Site, visit: Visit) -> None:
    page = visit(real)
    page.evaluate("window.unmask.clock.autoReplay = false")
    held: list = []
    page.route("**/choices", lambda route: held.append(route))
    page.get_by_label("Compare with a second decoder").check()
    page.get_by_text("Fetching what can be compared").wait_for()
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function("document.querySelector('#run').textContent.trim() === 'Run'")
    assert page.evaluate("window.unmask.trace.start.run") == "example"
    held[0].continue_()
    page.wait_for_function("window.unmask.traces.every(trace => trace.end && trace.start.run !== 'example')")
    settled(page)


def test_an_emptied_number_of_lane_b_shows_what_stands_for_it(real: Site, visit: Visit) -> None:
    page = visit(real)
    switch_on(page, "ccd")
    page.locator("#second-settings summary").click()
    entry = page.locator("#field-b-settings-history input")
    usual = entry.input_value()
    entry.fill("1")
    entry.fill("")
    entry.blur()
    expect(entry).to_have_value(usual)
    run_both(page)
    assert page.evaluate("String(window.unmask.traces[1].start.settings.history)") == usual
    page.locator("#field-b-decoder select").select_option("fast_dllm")
    page.locator("#second-settings summary").click()
    page.locator("#field-b-settings-threshold input").fill("")  # here an empty field is a value of its own: off
    page.get_by_label("Model of B").focus()
    expect(page.locator("#field-b-settings-threshold input")).to_have_value("")
    page.locator("#field-b-settings-factor input").fill("1.5")
    run_both(page)
    assert page.evaluate("[window.unmask.traces[1].start.settings.threshold, window.unmask.traces[1].start.settings.factor]") == [None, 1.5]


def test_stop_ends_both_lanes(gated: Site, visit: Visit) -> None:
    page = visit(gated)
    fill(page, "prompt", "2+2=")
    fill(page, "length", "40")
    switch_on(page, "random_order")
    page.get_by_role("button", name="Run", exact=True).click()
    gated.model.permits.release(6)
    page.wait_for_function("window.unmask.traces.every(trace => trace.live && trace.steps > 1)")
    page.get_by_role("button", name="Stop", exact=True).click()
    handles = [gated.engine.find(run_id) for run_id in page.evaluate("window.unmask.traces.map(trace => trace.start.run)")]
    until = time.monotonic() + WAIT_S
    while not all(handle.cancelled for handle in handles) and time.monotonic() < until:
        page.evaluate("1")
    gated.model.permits.release(4)
    page.wait_for_function("window.unmask.traces.every(trace => trace.end?.reason === 'cancelled')")
    assert all(isinstance(handle.events_so_far[-1], End) and len(steps_of(handle.events_so_far)) < 40 for handle in handles)


@pytest.mark.parametrize("dark", [False, True])
def test_by_keyboard_alone_differences_are_visited_and_signs_switched(real: Site, visit: Visit, dark: bool) -> None:
    page = visit(real, dark=dark)
    page.evaluate("window.unmask.clock.autoReplay = false")
    box = page.get_by_label("Compare with a second decoder")
    box.focus()
    page.keyboard.press("Space")
    page.locator("#field-b-decoder select").wait_for()
    page.locator("#field-b-decoder select").select_option("random_order")
    page.locator("#run").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("window.unmask.traces.every(trace => trace.end && trace.start.run !== 'example')")
    settled(page)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("n")
    page.locator(".cell.pin").first.wait_for()
    first = page.evaluate("window.unmask.select.pin")
    page.keyboard.press("n")
    page.wait_for_function("first => window.unmask.select.pin !== first", arg=first)
    expect(page.locator(".cell.pin")).to_have_count(2)  # its twin in the other lane too
    assert page.locator(".sign").count() > 0
    page.keyboard.press("d")
    page.wait_for_function("document.querySelectorAll('.sign').length === 0")


def test_lanes_are_swapped_and_one_lane_comes_back(real: Site, visit: Visit) -> None:
    page = visit(real)
    switch_on(page, "random_order")
    run_both(page)
    before = page.evaluate("window.unmask.traces.map(trace => trace.start.run)")
    page.get_by_role("button", name="Swap A and B").click()
    settled(page)
    assert page.evaluate("window.unmask.traces.map(trace => trace.start.run)") == before[::-1]
    assert "Random" in page.locator("[data-lane='0'] .lane-title").inner_text() or "random" in page.locator("[data-lane='0'] .lane-title").inner_text()
    page.get_by_label("Compare with a second decoder").uncheck()
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function("document.querySelectorAll('.lane').length === 1 && window.unmask.trace.end")
    assert page.locator(".pair").count() == 0 and page.evaluate("window.unmask.clock.unit") == "step"


def test_a_narrow_window_shows_one_lane_at_a_time(real: Site, visit: Visit) -> None:
    page = visit(real, width=390, height=844)
    page.evaluate("document.querySelector('#more')?.click()")
    switch_on(page, "random_order")
    run_both(page)
    for name, seen in (("A", (True, False, False)), ("B", (False, True, False)), ("A against B", (False, False, True))):
        page.get_by_role("tab", name=name, exact=True).click()
        for where, visible in zip((".lane[data-lane='0']", ".lane[data-lane='1']", ".pair"), seen, strict=True):
            expect(page.locator(where)).to_be_visible(visible=visible)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 390


def test_a_branch_is_shown_beside_its_parent_as_python_decodes_it(real: Site, visit: Visit) -> None:
    page = visit(real)
    fill(page, "prompt", "sudoku: .4.1/...3/1.../....=")
    page.evaluate("window.unmask.clock.autoReplay = false; window.unmask.select.clear()")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function("window.unmask.trace.start.run !== 'example' && window.unmask.trace.end")
    painted(page, page.evaluate("window.unmask.trace.steps"))
    parent = real.run_of(page)
    step = steps_of(parent.events_so_far)[6]
    position = step.writes[0][0]
    page.locator(".tokens .cell").nth(position - parent.events_so_far[0].prompt_length).click()
    page.locator(".whatif").first.wait_for()
    page.wait_for_function("document.querySelector('.whatif select[aria-label=Token]').options.length > 1")
    page.locator(".whatif").first.get_by_label("Token").select_option(index=1)
    taken = int(page.locator(".whatif").first.get_by_label("Token").input_value())
    page.get_by_role("button", name="Branch here").first.click()
    page.wait_for_function("window.unmask.traces[1].end")
    settled(page)
    a, b = both(real, page)
    assert a == parent.events_so_far and b[0].request.forks[0].edits == (("write", position, taken),)
    assert same_run(a[1 : step.index], b[1 : step.index]) and replay(b, step.index)[position] == taken
    said = page.locator(".pair .origin").inner_text()
    assert f"branch of A at step {step.index}" in said and "counterfactual" in said
    assert f"part at step {step.index}" in page.locator(".pair").inner_text()
    page.evaluate("window.unmask.clock.seek(9)")
    page.locator("[data-lane='0'] .tokens .cell").first.click()
    form = page.locator(".inspector:not([hidden]) .whatif")
    form.get_by_label("Change").select_option("decoder")
    form.locator("option[value=random_order]").wait_for(state="attached")
    form.get_by_label("Decoder that goes on").select_option("random_order")
    form.get_by_role("button", name="Branch here").click()
    page.wait_for_function("window.unmask.traces[1].end && window.unmask.traces[1].start.request.forks[0].decoder === 'random_order'")
    other = both(real, page)[1]
    assert same_run(a[1:10], other[1:10]) and len(steps_of(other)) == 20 and "random_order goes on" in page.locator(".pair .origin").inner_text()


def test_a_search_is_drawn_as_a_tree_with_the_winners_path(real: Site, visit: Visit) -> None:
    page = visit(real)
    fill(page, "prompt", "sum: 482193+977=")
    fill(page, "length", "8")
    page.evaluate("window.unmask.clock.autoReplay = false")
    page.locator("#field-decoder input").click()
    page.get_by_role("option", name="Order-Token Search").first.click()
    page.locator("#settings > button").click()
    page.locator("#field-settings-order_token_search-block_length input").first.fill("2")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function("window.unmask.trace.start.decoder === 'order_token_search' && window.unmask.trace.end")
    painted(page, page.evaluate("window.unmask.trace.steps"))
    branches = [event for event in real.run_of(page).events_so_far if isinstance(event, Branch)]
    expect(page.locator(".search circle")).to_have_count(len(branches) + 1)
    expect(page.locator(".search path.pruned")).to_have_count(sum(not branch.kept for branch in branches))
    best = max((branch for branch in branches if branch.kept and branch.step == branches[-1].step), key=lambda branch: branch.score)
    parents, depth = {branch.node: branch.parent for branch in branches}, 0
    node = best.node
    while node in parents:
        node, depth = parents[node], depth + 1
    assert depth > 1
    expect(page.locator(".search path.won")).to_have_count(depth)
    page.locator(".search svg.tree").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.search .reading').textContent.includes('score')")
    page.locator(".search circle.won").last.dispatch_event("pointerenter")
    page.wait_for_function("document.querySelectorAll('.tree-canvas .own').length > 0")
    shown = page.evaluate("[...document.querySelectorAll('.tree-canvas .chip')].map(chip => chip.classList.contains('masked'))")
    by_node = {branch.node: branch for branch in branches}
    node, written = by_node[int(page.locator(".search circle.looked").get_attribute("data-node"))], set()
    while node:
        written |= {position for position, _, _ in node.writes}
        node = by_node.get(node.parent)
    begun = real.run_of(page).events_so_far[0]
    assert [begun.prompt_length + rank for rank, masked in enumerate(shown) if not masked] == sorted(written)


def test_an_answer_with_blanks_keeps_its_words_locked(real: Site, visit: Visit) -> None:
    page = visit(real)
    fill(page, "prompt", "sudoku: .4.1/...3/1.../....=")
    page.evaluate("window.unmask.clock.autoReplay = false")
    page.locator("#template > button").click()
    entry = page.locator("#field-template :is(textarea, input)")
    entry.fill("34")
    page.get_by_role("button", name="▢ Blank").click()
    expect(entry).to_have_value("34▢")
    entry.fill("34_1/▢▢▢▢/_{9}")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function("window.unmask.trace.start.run !== 'example' && window.unmask.trace.end")
    events = real.run_of(page).events_so_far
    assert events[0].request.length == 19 and len(events[0].request.fixed) == 5
    expect(page.locator(".tokens .cell.fixed")).to_have_count(5)
    assert page.locator(".answer-text").inner_text().startswith("34")
    page.locator("#field-template :is(textarea, input)").fill("1234")
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator("#field-template .problem").wait_for()
    assert "no blank" in page.locator("#field-template .problem").inner_text()
