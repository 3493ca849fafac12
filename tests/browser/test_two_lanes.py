"""Two lanes of the player by itself: what ends in one is not said of the other, and what was left never comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.browser import player
from tests.browser.conftest import WAIT_MS

pytestmark = pytest.mark.browser

PAIR = """async ([first, second, live]) => {
  const { mock } = await import('/tests/js/mock.js');
  const runs = ['a'.repeat(32), 'b'.repeat(32)];
  window.made = [first, second].map((reason, lane) => mock('sum', { id: runs[lane], lane, reason }).events);
  const [a, b] = window.made;
  window.unmask.push({ v: 1, n: 0, runs, events: [a[0], b[0], ...(live === 0 ? a.slice(1, 3) : a.slice(1))] });
  window.unmask.push({ v: 1, n: 1, runs, events: live === 1 ? b.slice(1, 3) : b.slice(1) });
}"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with player() as served:
        yield served


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1440, "height": 900})
    opened.set_default_timeout(WAIT_MS)
    opened.goto(f"{address}?run=sum")
    opened.wait_for_function("window.unmask?.trace?.steps > 0")
    opened.evaluate("window.unmask.clock.autoReplay = false; window.unmask.clock.pause()")
    yield opened
    opened.close()


def banner(page: Page) -> str:
    return page.locator(".banner p").inner_text()


@pytest.mark.parametrize(("first", "second", "words"), [
    ("error", "done", "A: The run stopped: The model gave scores"),
    ("done", "cancelled", "B: Stopped by you after"),
    ("cancelled", "done", "A: Stopped by you after"),
    ("cancelled", "cancelled", "Both runs stopped by you, after"),
    ("error", "cancelled", "B: Stopped by you after"),
])
def test_what_went_wrong_in_a_lane_stays_when_the_other_ends(page: Page, first: str, second: str, words: str) -> None:
    page.evaluate(PAIR, [first, second, None])
    expect(page.locator(".banner p")).to_contain_text(words)
    if first == "error":
        assert "A: The run stopped" in banner(page) and page.locator(".banner").get_attribute("class") == "banner bad"


def test_the_resting_line_says_running_while_either_lane_runs(page: Page) -> None:
    page.evaluate(PAIR, ["done", "done", 1])
    page.evaluate("window.unmask.clock.pause()")
    assert banner(page).startswith("Running")
    page.evaluate("window.unmask.push({ v: 1, n: 2, runs: ['a'.repeat(32), 'b'.repeat(32)], events: window.made[1].slice(3) })")
    expect(page.locator(".banner p")).to_contain_text("Finished")


def test_of_two_kept_runs_the_one_asked_for_last_is_shown(page: Page) -> None:
    shown = page.evaluate("""async () => {
      const real = window.fetch;
      let letGo, held = new Promise((resolve) => { letGo = resolve; });
      window.fetch = async (address, options) => { if (String(address).endsWith('runs/sudoku')) await held; return real(address, options); };
      const older = window.unmask.load('sudoku');
      const newer = await window.unmask.load('words');
      letGo();
      return [await older, newer, window.unmask.trace.start.run];
    }""")
    assert shown == [False, True, "words"]


def test_a_run_under_way_that_was_left_for_a_kept_one_does_not_come_back(page: Page) -> None:
    page.evaluate(PAIR, ["done", "done", 1])
    page.evaluate("window.unmask.load('words')")
    page.wait_for_function("window.unmask.trace.start.run === 'words'")
    page.evaluate("window.unmask.push({ v: 1, n: 2, runs: ['a'.repeat(32), 'b'.repeat(32)], events: window.made[1].slice(3) })")
    assert page.evaluate("[window.unmask.trace.start.run, window.unmask.clock.shown, document.querySelector('#unmask').dataset.state]") == ["words", 1, "done"]


def test_a_gap_before_the_last_message_is_filled_on_the_canvas_and_the_line_says_so_no_more(page: Page) -> None:
    page.evaluate("""async () => {
      const { mock } = await import('/tests/js/mock.js');
      const { events } = mock('words');
      window.unmask.push({ v: 1, n: 0, runs: ['words'], events: events.slice(0, 3) });
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      window.unmask.push({ v: 1, n: 2, runs: ['words'], events: events.slice(-1) });
    }""")
    page.wait_for_function("window.unmask.trace.steps > 5 && document.querySelector('[data-painted]').dataset.painted === String(window.unmask.trace.steps)")
    expect(page.locator(".banner p")).to_contain_text("Finished")


def test_branching_waits_until_both_lanes_have_ended(page: Page) -> None:
    page.evaluate("window.traceParts.push({ watch: () => {}, props: { value: null }, branch: asked => { window.branched = asked; } })")
    page.evaluate(PAIR, ["done", "done", 0])
    page.evaluate("window.unmask.clock.setOnly(1); window.unmask.clock.toEnd()")
    page.locator("[data-lane='1'] .tokens .cell").nth(1).click()
    page.mouse.move(0, 0)  # the pin moves the lanes: the other one may have come under the pointer
    form = page.locator(".inspector:not([hidden]) .whatif")
    form.get_by_label("Change").select_option("erase")
    expect(form).to_contain_text("Another run is under way")
    expect(form.get_by_role("button", name="Branch here")).to_be_disabled()
    page.evaluate("window.unmask.push({ v: 1, n: 2, runs: ['a'.repeat(32), 'b'.repeat(32)], events: window.made[0].slice(3) })")
    form.get_by_role("button", name="Branch here").click()
    page.wait_for_function("window.branched")
    state = "[window.branched.run, ...window.unmask.traces.map(trace => trace.start.run), window.unmask.select.pin]"
    asked = page.evaluate(state)
    assert asked == ["b" * 32, "a" * 32, "b" * 32, asked[3]] and asked[3] is not None  # it may be refused: all stands as it was
    page.evaluate("""async () => {
      const { mock } = await import('/tests/js/mock.js');
      const [start] = mock('sum', { id: 'c'.repeat(32), lane: 1 }).events;
      window.unmask.push({ v: 1, n: 0, runs: [null, 'c'.repeat(32)], events: [] });  // admitted, and not begun yet
      window.unmask.push({ v: 1, n: 1, runs: [null, 'c'.repeat(32)], events: [start] });
    }""")
    assert page.evaluate("window.unmask.traces.map(trace => trace.start.run)") == ["b" * 32, "c" * 32]  # traded: what was B is A


def test_a_refused_branch_of_lane_b_trades_no_lanes_later_either(page: Page) -> None:
    page.evaluate("window.traceParts.push({ watch: () => {}, props: { value: null }, branch: asked => { window.branched = asked; } })")
    page.evaluate(PAIR, ["done", "done", None])
    page.locator("[data-lane='1'] .tokens .cell").nth(1).click()
    form = page.locator(".inspector:not([hidden]) .whatif")
    form.get_by_label("Change").select_option("erase")
    form.get_by_role("button", name="Branch here").click()
    page.wait_for_function("window.branched?.run === 'b'.repeat(32)")  # refused: nothing comes of it
    page.locator("[data-lane='0'] .tokens .cell").nth(1).click()
    page.locator(".inspector.of-lane-a .whatif").get_by_label("Change").select_option("erase")
    page.locator(".inspector.of-lane-a .whatif").get_by_role("button", name="Branch here").click()
    page.wait_for_function("window.branched.run === 'a'.repeat(32)")
    page.evaluate("""async () => {
      const { mock } = await import('/tests/js/mock.js');
      window.unmask.push({ v: 1, n: 0, runs: [null, 'c'.repeat(32)], events: [mock('sum', { id: 'c'.repeat(32), lane: 1 }).events[0]] });
    }""")
    assert page.evaluate("window.unmask.traces.map(trace => trace.start.run)") == ["a" * 32, "c" * 32]


def test_the_inspector_goes_back_to_the_lane_of_the_pin_when_the_pointer_leaves_the_other_one(page: Page) -> None:
    page.evaluate(PAIR, ["done", "done", None])
    page.evaluate("window.unmask.clock.toEnd()")
    page.locator("[data-lane='1'] .tokens .cell").nth(1).click()
    page.mouse.move(0, 0)
    shown = "[...document.querySelectorAll('.inspector')].map(at => !at.hidden)"
    page.wait_for_function(f"JSON.stringify({shown}) === '[false,true]'")
    page.locator("[data-lane='0'] .tokens .cell").nth(2).hover()
    page.wait_for_function(f"JSON.stringify({shown}) === '[true,false]'")
    page.mouse.move(0, 0)
    page.wait_for_function(f"JSON.stringify({shown}) === '[false,true]'")


def test_a_cell_that_comes_under_a_pointer_at_rest_is_not_pointed_at(page: Page) -> None:
    page.evaluate(PAIR, ["done", "done", None])
    page.evaluate("window.unmask.clock.toEnd()")
    expect(page.locator(".pair .kind").first).to_be_visible()
    lane = page.locator("[data-lane='1']")
    page.mouse.move(4, 4)
    lane.evaluate("""lane => {
      const { left, top, width, height } = lane.querySelectorAll('.tokens .cell')[1].getBoundingClientRect();
      lane.addEventListener('pointerover', () => { window.entered = true; });
      lane.style.translate = `${4 - left - width / 2}px ${4 - top - height / 2}px`;
    }""")
    page.wait_for_function("window.entered")
    assert page.evaluate("[window.unmask.select.hover, window.unmask.select.lane]") == [None, 0]
    lane.evaluate("lane => { lane.style.translate = ''; }")
    lane.locator(".tokens .cell").nth(1).hover()
    page.wait_for_function("window.unmask.select.hover && window.unmask.select.lane === 1")


def test_a_click_on_a_canvas_whose_run_was_replaced_before_its_next_frame_pins_nothing(page: Page) -> None:
    page.evaluate("""async () => {
      const { mock } = await import('/tests/js/mock.js');
      const run = 'd'.repeat(32), { events } = mock('sudoku', { id: run });
      const last = [...document.querySelectorAll('.tokens .cell')].at(-1);
      window.unmask.push({ v: 1, n: 0, runs: [run], events });
      last.click(); // at once: what stands there is still the canvas of before
    }""")
    page.wait_for_function("document.querySelector('.lane').dataset.painted === String(window.unmask.trace.steps)")
    assert page.evaluate("window.unmask.select.pin") is None


ORIGIN = """async ([parent, loop, action]) => {
  const { originOf } = await import('/assets/difference.js');
  const text = id => `t${id}`, request = forks => ({ request: { forks } });
  const a = { text, start: { run: 'one', ...request([]) } };
  const b = { text, start: { run: 'two', own_loop: loop, ...request([{ step: 3, edits: [[action, 4, 7]], decoder: null, parent }]) } };
  return [originOf(a, b), originOf(b, a)];
}"""


@pytest.mark.parametrize(("parent", "loop", "action", "words"), [
    ("one", False, "write", "B is the branch of A at step 3: position 4 takes “t7”. A counterfactual"),
    ("one", False, "erase", "the decoder begins anew there"),
    ("one", True, "write", "This decoder has a loop of its own"),
    ("other", False, "write", "B is a branch of another run, at step 3"),
])
def test_a_branch_is_called_that_of_a_only_where_a_is_its_parent(page: Page, parent: str, loop: bool, action: str, words: str) -> None:
    said, turned = page.evaluate(ORIGIN, [parent, loop, action])
    assert words in said and ("counterfactual" in said) is (parent == "one" and not loop and action == "write")
    assert turned.startswith("A is the branch of B") if parent == "one" else turned == ""


def test_candidates_that_were_under_way_when_the_lanes_were_traded_are_asked_for_again(page: Page) -> None:
    asked = page.evaluate("""async () => {
      const { Source } = await import('/assets/source.js');
      const { Trace } = await import('/assets/trace.js');
      const { mock } = await import('/tests/js/mock.js');
      const on = Object.fromEntries(['start', 'begun', 'queue', 'ended', 'gap', 'filled', 'offline', 'changed'].map(name => [name, () => {}]));
      const asked = [], traces = [new Trace(), new Trace()];
      const sources = traces.map((trace) => Object.assign(new Source(location.href, trace, on), { _get: (path) => { asked.push(path); return new Promise(() => {}); } }));
      ['one', 'two'].forEach((id, lane) => sources[lane].push({ run: id, n: 0, events: mock('sum', { id }).events }));
      sources[0].want(1, 2);
      traces[0].exchange(traces[1]);
      sources[0].exchange(sources[1]);
      sources[1].want(1, 2);
      return asked;
    }""")
    assert asked == ["runs/one/candidates?from=1&to=16"] * 2


def test_the_test_of_an_explanation_takes_a_rival_of_its_own_token(page: Page) -> None:
    page.evaluate("""async () => {
      const { create } = await import('/assets/believe.js');
      window.asked = [];
      window.fetch = (address) => { window.asked.push(String(address)); return new Promise(() => {}); };
      const way = { method: 'occlusion', objective: 'contrast', baseline: 'mask', n_steps: 32, against: '5' };
      const of = { run: 'r', cell: 1, step: 1, position: 1, token: 4 };
      const context = { looked: { of, way }, trace: { start: { mask: 0 }, candidates: () => ({ ids: [7, 0, 8] }) } };
      const view = create(document.body.appendChild(document.createElement('div')), context);
      view.draw({ ...of, cell: 2, step: 2, position: 2, token: 7 }, 2);
    }""")
    page.wait_for_function("window.asked.length === 1")
    assert "against=8" in page.evaluate("window.asked[0]") and "objective=contrast" in page.evaluate("window.asked[0]")


def test_the_matrix_is_offered_once_the_run_has_ended(page: Page) -> None:
    said = page.evaluate("""async () => {
      const { createMatrix } = await import('/assets/matrix.js');
      const { Trace } = await import('/assets/trace.js');
      const { mock } = await import('/tests/js/mock.js');
      const { events } = mock('sum'), trace = new Trace(), root = document.body.appendChild(document.createElement('div'));
      trace.push(events.slice(0, 3));
      const subject = { run: 'sum', step: 1, cell: trace.written[1][0], position: trace.written[1][0] };
      const select = { hover: null, pin: subject.cell, point() {} };
      const matrix = createMatrix(root, { trace, t: 1, subject, select }, () => {});
      const way = { method: 'occlusion', objective: 'log_prob', baseline: 'mask', n_steps: 32 };
      matrix.offer(subject, way, { took_s: 1000 });
      const before = root.textContent, hidden = root.querySelector('.button').hidden;
      trace.push(events.slice(3));
      matrix.draw(2);
      return [before.includes('once the run has ended'), hidden, root.textContent.includes('once the run has ended'), root.querySelector('.button').hidden, root.querySelector('.button').textContent];
    }""")
    assert said[:4] == [True, True, False, False] and said[4].startswith("Compute all 10 rows")


@pytest.mark.parametrize("lane", [0, 1])
def test_a_paused_run_whose_branch_is_refused_goes_on_in_its_own_lane_and_the_other_stays(page: Page, lane: int) -> None:
    page.evaluate(PAIR, ["done", "done", lane])
    state = page.evaluate("""async (lane) => {
      const run = 'ab'[lane].repeat(32), events = window.made[lane].map((event) => ({ ...event, lane: 0 }));  // alone in its stream
      window.unmask.push({ v: 1, n: 0, runs: [run], events: events.slice(0, 3) });
      window.unmask.push({ v: 1, n: 1, runs: [run], events: events.slice(3) });
      await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
      const { traces, clock } = window.unmask;
      return [clock.shown, document.querySelectorAll('.lane').length, ...traces.map(({ start, end, steps }) => [start.run, end?.reason, steps])];
    }""", lane)
    assert state == [2, 2, ["a" * 32, "done", 5], ["b" * 32, "done", 5]]


def test_signs_and_colours_of_a_comparison_go_with_the_second_lane(page: Page) -> None:
    page.evaluate("""async () => {
      const { mock } = await import('/tests/js/mock.js');
      const runs = ['a'.repeat(32), 'b'.repeat(32)];
      const events = [...mock('sum', { id: runs[0] }).events, ...mock('sum', { id: runs[1], lane: 1, seed: 11, other: [1, 6] }).events];
      window.unmask.push({ v: 1, n: 0, runs, events });
      window.unmask.select.setLayer('confidence');
      window.unmask.select.setBetween(true);
      window.unmask.clock.toEnd();
    }""")
    page.locator("[data-lane='0'] .tokens .sign").first.wait_for()
    page.locator("[data-lane='0'] :is([data-gap='+'], [data-gap='−'])").first.wait_for()
    page.evaluate("window.unmask.push({ v: 1, n: 0, runs: ['c'.repeat(32)], events: [{ lane: 0, kind: 'queue', ahead: 3 }] })")
    expect(page.locator(".lane")).to_have_count(1)
    expect(page.locator(".tokens .sign, .tokens [data-gap]")).to_have_count(0)
    assert page.evaluate("window.unmask.trace.start.run") == "a" * 32


def test_the_keys_asked_for_twice_before_they_came_are_one_sheet_and_a_failure_is_told(page: Page) -> None:
    page.route("**/assets/keys_sheet.js", lambda route: route.abort())
    page.keyboard.press("?")
    expect(page.locator(".banner p")).to_contain_text("could not be fetched")
    page.unroute("**/assets/keys_sheet.js")
    page.evaluate("for (let n = 0; n < 2; n++) document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '?', bubbles: true }))")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    expect(page.locator("dialog")).to_have_count(1)


def test_what_is_wrong_with_a_request_is_not_shown_when_it_was_taken_back_before_its_words_came(page: Page) -> None:
    shown = page.evaluate("""async () => {
      document.body.appendChild(document.createElement('div')).id = 'bar';
      await import('/assets/page.js');
      let fire;
      const props = {}, notice = (message) => ({ decoder: 'llada', message, problems: [], quiet: true }), words = () => [...document.querySelectorAll('#bar .problem')].map((each) => each.textContent);
      window.noticeParts.push({ watch: (_, listener) => { fire = listener; }, props });
      const thrown = [];
      for (const values of [['one', null], ['two', 'three']]) {
        await Promise.allSettled(values.map((text) => { props.value = text && notice(text); return fire(); })).then((all) => thrown.push(...all.filter(({ status }) => status === 'rejected')));
        thrown.push(words());
      }
      return thrown;
    }""")
    assert shown == [[], ["three"]]


def test_a_token_that_was_chosen_before_its_place_came_is_marked_once_it_is_there(page: Page) -> None:
    page.evaluate("""async () => {
      const { mock } = await import('/tests/js/mock.js');
      const { events } = mock('sum', { id: 'grown' }), [start, first, second] = events;
      const place = start.prompt_length, canvas = start.canvas.slice(0, place);  // an answer that begins empty
      const step = (event, writes, grows) => ({ ...event, writes, grows, scores: {}, candidates: [] });
      window.unmask.push({ v: 1, n: 0, runs: ['grown'], events: [
        { ...start, canvas, length: 0 }, step(first, [[place, 1, 0.5]], [[place, 1]]), step(second, [[place + 1, 2, 0.5]], [[place + 1, 1]]),
      ] });
      window.unmask.clock.pause();
      window.unmask.clock.seek(0);
      window.unmask.select.togglePin(place + 1);
      await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
      window.unmask.clock.seek(2);
    }""")
    page.wait_for_function("document.querySelectorAll('.tokens .cell').length === 2 && document.querySelector('[data-painted]').dataset.painted === '2'")
    chosen = page.locator(".tokens .cell.pin")
    expect(chosen).to_have_attribute("aria-selected", "true")
    assert page.locator(".tokens [tabindex='0']").count() == 1
    page.evaluate("window.unmask.select.clear()")
    expect(page.locator(".tokens [aria-selected]")).to_have_count(0)


def test_a_comparison_switched_off_and_on_while_its_choices_come_presses_run_once(page: Page) -> None:
    pressed = page.evaluate("""async () => {
      const element = document.body.appendChild(document.createElement('div')), props = {};
      element.innerHTML = '<div class="second"></div><button id="run"></button>';
      let come, pressed = 0;
      const held = new Promise((resolve) => { come = resolve; }), choices = { models: [{ name: 'm', title: 'M' }], decoders: [{ name: 'd', title: 'D', mark: 'sourced', settings: [] }] };
      window.fetch = async () => { await held; return Response.json(choices); };
      const ended = () => new Promise((resolve) => setTimeout(resolve));
      window.secondParts.push({ element, props });
      const run = document.getElementById('run'), box = document.getElementById('field-b-on');
      run.addEventListener('click', () => { pressed += 1; });
      for (let n = 0; n < 3; n++) box.click();
      run.click();
      const before = pressed;
      come();
      while (!pressed) await ended();
      await ended(); await ended();
      return [before, pressed, JSON.parse(props.value).decoder];
    }""")
    assert pressed == [0, 1, "d"]


def test_the_tabs_of_two_lanes_have_a_chosen_one_after_what_compares_them_was_fetched_again(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.route("**/assets/beside.js", lambda route: route.abort())
    page.evaluate(PAIR, ["done", "done", None])
    again = page.locator(".pair-place").get_by_role("button", name="Try again")
    again.wait_for(state="attached")
    page.unroute("**/assets/beside.js")
    again.evaluate("button => button.click()")
    expect(page.locator(".lane-tabs [aria-selected='true']")).to_have_text("A")
    assert page.evaluate("document.querySelector('#unmask').dataset.tab") == "a"
