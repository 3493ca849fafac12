"""Why this token?: attribution, matrix and routes of a pinned token, by mouse and by keyboard alone."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from backend import AttributionRequest, attribute, load_model, replay
from backend.canvas import steps_of
from backend.explanations.base import FlowRequest
from backend.explanations.flow_routes import flow_routes
from tests.browser.conftest import NASTY, Site, Visit, fill, painted, seek, site
from tests.browser.test_hostile import SHOWN, unharmed

pytestmark = pytest.mark.browser

SHOWN_AT = "name => document.querySelector(`#why-${name}`).dataset.shown"


@pytest.fixture(scope="module")
def short(real: Site) -> Site:
    """The server with the embedded model; its runs here are short."""
    return real


def decoded(page: Page, prompt: str = "sum: 12+34=", length: str = "5") -> int:
    """Run a short prompt and return the number of steps."""
    fill(page, "prompt", prompt)
    fill(page, "length", length)
    page.evaluate("window.unmask.clock.autoReplay = false")
    before = page.evaluate("window.unmask.trace.start.run")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function("before => window.unmask.trace.start.run !== before && window.unmask.trace.end !== null", arg=before)
    steps = page.evaluate("window.unmask.trace.steps")
    painted(page, steps)
    return steps


def pinned(page: Page, step: int) -> int:
    """Go to a step, click what it wrote, and return the position."""
    seek(page, step)
    cell = page.evaluate("step => window.unmask.trace.written[step][0]", step)
    page.locator(f".tokens [data-cell='{cell}']").click()
    return page.evaluate("([cell, step]) => window.unmask.trace.position(cell, step)", [cell, step])


def attributed(page: Page, step: int, position: int, method: str = "integrated_gradients") -> None:
    """Wait until the attribution of that writing is shown."""
    page.wait_for_function("key => document.querySelector('#why-attribution')?.dataset.shown === key", arg=f"{step}|{position}|{method}")


def routed(page: Page, step: int, position: int) -> None:
    """Open the routes and wait until those of that writing are drawn."""
    page.get_by_role("tab", name="Routes").click()
    page.wait_for_function("key => document.querySelector('#why-routes').dataset.shown === key", arg=f"{step}|{position}")


def choose(page: Page, field: str, value: str) -> None:
    page.locator(f"#why-{field}").select_option(value)


def test_a_clicked_token_gets_colours_a_row_of_the_matrix_and_a_graph(short: Site, visit: Visit) -> None:
    page = visit(short)
    steps = decoded(page)
    position = pinned(page, steps)
    attributed(page, steps, position)
    chips = page.locator(".why-chip")
    length = page.evaluate("window.unmask.trace.start.canvas.length")
    expect(chips).to_have_count(length)
    expect(page.locator(".why-chip.target")).to_have_count(1)
    coloured = page.evaluate("[...document.querySelectorAll('.why-chip.coloured')].map(chip => [chip.querySelector('.score').textContent, chip.style.getPropertyValue('--c')])")
    assert coloured and all(score[0] in "+−" and colour.startswith("rgb(") for score, colour in coloured if score != "0")
    assert "Sum of all scores" in page.locator(".why-sum").inner_text() and "nothing)" in page.locator(".why-sum").inner_text()
    rows = page.evaluate("window.unmask.trace.written.flat().length")
    assert page.locator(".matrix-field").get_attribute("aria-label").startswith(f"Attribution matrix, {rows} written tokens by {length} positions")
    assert page.locator(".why-matrix").get_attribute("data-row") == str(rows - 1)
    assert page.locator(".matrix-row").is_visible()
    routed(page, steps, position)
    assert page.locator(".routes .node").count() > 3 and page.locator(".routes .line").count() > 3
    page.keyboard.press("Escape")
    page.wait_for_function("document.querySelector('.why-subject').classList.contains('hint')")
    assert page.locator(".routes").is_hidden() and page.locator(".cell.pin").count() == 0


def test_points_are_doubled_until_that_moves_no_score_and_the_check_says_how_far_it_did(short: Site, visit: Visit) -> None:
    page = visit(short)
    decoded(page)
    position = pinned(page, 2)
    page.wait_for_function("document.querySelector('#why-attribution').dataset.points")
    points = int(page.locator("#why-attribution").get_attribute("data-points"))
    events = short.run_of(page).events_so_far
    token = next(token for at, token, _ in steps_of(events)[1].writes if at == position)
    fewer, found = (attribute(short.model, AttributionRequest(replay(events, 1), position, token, n_steps=count)) for count in (points // 2, points))
    moved = float((found.scores - fewer.scores).abs().max() / found.scores.abs().max())
    said = page.locator(".why-badge").inner_text()
    assert points >= 64 and f"with {points} points" in said
    assert (max(moved, found.relative_delta) < 0.05) == (not said.startswith("!")), said
    assert moved < 0.05 or points == 256
    shown = "under 0.1" if moved < 0.001 else f"{100 * moved:.{1 if moved < 0.1 else 0}f}"
    assert f"moved no score by more than {shown} % of the largest" in said


@pytest.mark.parametrize("refusal", [{"status": 429, "json": {"message": "Too many requests from this address. Try again in 9 s."}}, None])
def test_points_whose_check_is_refused_stay_and_the_refusal_stands_beside_them(short: Site, visit: Visit, refusal: dict | None) -> None:
    page = visit(short, bears="Failed to load resource")
    page.route("**/attribution?*n_steps=64*", lambda route: route.fulfill(**refusal) if refusal else route.abort())
    steps = decoded(page)
    position = pinned(page, steps)
    place = page.locator("#why-attribution")
    expect(place.locator(".why-refusal")).to_contain_text("check with 64 points could not be made: " + ("Too many requests" if refusal else "The server does not answer"))
    attributed(page, steps, position)
    assert place.get_attribute("data-points") == "32" and "with 32 points" in place.locator(".why-badge").inner_text()
    assert place.locator(".why-chip.coloured").count() > 0
    page.wait_for_function("document.querySelector('.why-matrix').dataset.rows")
    page.unroute_all(behavior="ignoreErrors")
    place.get_by_role("button", name="Compute with 64 points").click()
    page.wait_for_function("document.querySelector('#why-attribution').dataset.points === '64'")
    expect(place.locator(".why-refusal")).to_be_hidden()


def test_what_an_explanation_warns_of_stands_beside_it(short: Site, visit: Visit) -> None:
    def warn(route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "warnings": ["The pass saw <b>less</b> than this canvas."]})

    page = visit(short)
    page.route("**/attribution?*", warn)
    steps = decoded(page)
    attributed(page, steps, pinned(page, steps))
    expect(page.locator(".why-attribution .why-found")).to_contain_text("The pass saw <b>less</b> than this canvas.")
    page.unroute_all(behavior="ignoreErrors")


def test_masked_places_have_no_score_and_the_scores_are_those_of_the_canvas_before(short: Site, visit: Visit) -> None:
    page = visit(short)
    decoded(page)
    position = pinned(page, 2)
    attributed(page, 2, position)
    masked = page.evaluate("window.unmask.trace.order(1).filter(cell => window.unmask.trace.isMask(cell, 1)).length")
    expect(page.locator(".why-chip.masked")).to_have_count(masked - 1)  # all but the place that is explained
    assert set(page.locator(".why-chip.masked .score").all_inner_texts()) == {""}


def test_the_whole_matrix_comes_with_progress_and_its_rows_can_be_chosen(short: Site, visit: Visit) -> None:
    page = visit(short)
    steps = decoded(page)
    position = pinned(page, steps)
    attributed(page, steps, position)
    choose(page, "method", "occlusion")
    attributed(page, steps, position, "occlusion")
    page.wait_for_function("document.querySelector('.why-matrix').dataset.rows || !document.querySelector('.why-matrix .button').hidden")
    if page.locator(".why-matrix").get_attribute("data-rows") is None:
        page.get_by_role("button", name="Compute all").click()
    page.wait_for_function("document.querySelector('.why-matrix').dataset.rows === String(window.unmask.trace.written.flat().length)")
    row = int(page.locator(".why-matrix").get_attribute("data-row"))
    page.locator(".matrix-field").focus()
    page.keyboard.press("ArrowUp")
    page.wait_for_function("row => document.querySelector('.why-matrix').dataset.row === row", arg=str(row - 1))
    cell, step = page.evaluate("[window.unmask.select.pin, window.unmask.clock.t]")
    assert cell in page.evaluate("step => window.unmask.trace.written[step]", step)


def test_the_slider_filters_in_the_browser_and_agrees_with_the_backend(short: Site, visit: Visit) -> None:
    page = visit(short)
    steps = decoded(page)
    position = pinned(page, steps)
    attributed(page, steps, position)
    routed(page, steps, position)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    ids = tuple(page.evaluate("step => window.unmask.trace.canvas(step)", steps - 1))
    for threshold in (0.02, 0.05, 0.1):
        want = flow_routes(short.model, FlowRequest(ids, position, threshold=threshold))
        page.locator("#why-threshold").fill(str(threshold))
        page.wait_for_function("n => document.querySelector('#why-routes').dataset.edges === n", arg=str(want.number_of_edges()))
        drawn = page.evaluate("[...document.querySelectorAll('.routes .node')].length")
        assert drawn == want.number_of_nodes()
        told = page.locator(".why-kept").inner_text()
        assert f"{round(100 * want.graph['coverage'])} %" in told and f"{round(100 * want.graph['traced'])} %" in told
    assert asked == []


def test_a_click_on_a_line_lists_its_heads_and_a_node_what_it_points_at(short: Site, visit: Visit) -> None:
    page = visit(short)
    steps = decoded(page)
    position = pinned(page, steps)
    attributed(page, steps, position)
    routed(page, steps, position)
    line = page.locator(".routes .line:not(.own)").first
    line.locator(".hit").dispatch_event("click")
    page.wait_for_function("document.querySelector('.why-details').dataset.of === 'edge'")
    expect(page.locator(".why-details .why-bars li").first).to_contain_text("head")
    page.locator(".routes .node.out.target").first.dispatch_event("click")
    page.wait_for_function("document.querySelector('.why-details').dataset.of === 'node with tokens'")
    best = page.locator(".why-details .lens .name").first.inner_text()
    written = page.evaluate("([position, step]) => window.unmask.trace.text(window.unmask.trace.canvas(step)[position])", [position, steps])
    eos = page.evaluate("([position, step]) => window.unmask.trace.canvas(step)[position] === window.unmask.trace.start.eos", [position, steps])
    assert best == ("∎ end" if eos else written)


def test_skipping_masked_places_leaves_none_of_them(short: Site, visit: Visit) -> None:
    page = visit(short)
    decoded(page)
    position = pinned(page, 2)
    attributed(page, 2, position)
    routed(page, 2, position)
    page.locator("#why-threshold").fill("0.02")
    assert page.locator(".routes .node.masked").count() > 0
    page.get_by_label("skip masked places").check()
    page.wait_for_function("document.querySelectorAll('.routes .node.masked').length === 0")
    assert page.locator(".routes .line").count() > 0


def test_everything_by_keyboard(short: Site, visit: Visit) -> None:
    page = visit(short)
    steps = decoded(page)
    cell = page.evaluate("step => window.unmask.trace.written[step][0]", steps)
    page.locator(".tokens .cell[tabindex='0']").focus()
    place = page.evaluate("cell => window.unmask.trace.response(window.unmask.clock.t).indexOf(cell)", cell)
    for _ in range(place):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    position = page.evaluate("([cell, step]) => window.unmask.trace.position(cell, step)", [cell, steps])
    attributed(page, steps, position)
    for key, tab in (("r", "routes"), ("t", "attribution")):
        page.keyboard.press(key)
        page.wait_for_function("tab => document.querySelector(`#why-tab-${tab}`).getAttribute('aria-selected') === 'true'", arg=tab)
    attributed(page, steps, position)
    page.locator(".why-chip[tabindex='0']").focus()
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.classList.contains('why-chip')")
    page.locator("#why-tab-attribution").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "why-tab-routes"
    page.wait_for_function(SHOWN_AT, arg="routes")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "why-threshold"
    page.keyboard.press("ArrowRight")
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.routes .node')"):
            break
    before = page.evaluate("document.activeElement.dataset.node")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.matches('.routes .node')") and page.evaluate("document.activeElement.dataset.node") != before
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.why-details').dataset.of === 'node with tokens'")
    for _ in range(2):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.why-details .parts button')"):
            break
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.why-details').dataset.of === 'edge'")
    page.keyboard.press("Escape")
    page.wait_for_function("document.querySelector('.cell.pin') === null && document.querySelector('#why-routes .why-found').hidden")


def test_a_token_pointed_at_in_one_view_is_outlined_in_the_others(short: Site, visit: Visit) -> None:
    page = visit(short)
    steps = decoded(page)
    position = pinned(page, steps)
    attributed(page, steps, position)
    chip = page.locator(".why-chip:not(.target)").last
    other = int(chip.get_attribute("data-position"))
    chip.hover()
    page.wait_for_function("cell => document.querySelector(`.tokens [data-cell='${cell}']`).classList.contains('hover')", arg=other)
    page.wait_for_function("!document.querySelector('.matrix-column').hidden")
    routed(page, steps, position)
    page.evaluate("cell => window.unmask.select.point(cell)", other)
    page.wait_for_function("at => [...document.querySelectorAll('.routes .column.linked')].every(node => node.dataset.position === at)", arg=str(other))


def test_a_contrast_is_against_a_candidate_of_the_step(short: Site, visit: Visit) -> None:
    page = visit(short)
    steps = decoded(page)
    position = pinned(page, steps)
    attributed(page, steps, position)
    choose(page, "method", "occlusion")
    attributed(page, steps, position, "occlusion")
    choose(page, "objective", "contrast")
    page.wait_for_function("document.querySelector('#why-attribution .why-title').textContent.includes('over')")
    offered = page.locator("#why-against option").all_inner_texts()
    assert len(offered) == 7 and "runner-up" in offered[0]


@pytest.fixture(scope="module")
def nasty() -> Iterator[Site]:
    """The embedded model with token texts that would like to be more."""
    model = copy.copy(load_model("tiny-diffusion"))
    model.token = lambda token: NASTY[token % len(NASTY)]
    with site(model) as served:
        yield served


def test_hostile_tokens_are_shown_literally(nasty: Site, visit: Visit) -> None:
    page = visit(nasty)
    steps = decoded(page)
    position = pinned(page, steps)
    attributed(page, steps, position)
    texts = {text for text in page.evaluate("[...document.querySelectorAll('.why-chip .text')].map(node => node.textContent)") if text}
    assert texts <= {*SHOWN, "∎"} and len(texts) > 3
    unharmed(page)
    routed(page, steps, position)
    page.locator(".routes .node.out.target").first.dispatch_event("click")
    page.wait_for_function("document.querySelector('.why-details').dataset.of === 'node with tokens'")
    listed = page.evaluate("[...document.querySelectorAll('.why-details .lens .name')].map(node => node.textContent)")
    assert set(listed) <= {*SHOWN, "∎ end", "mask"}
    unharmed(page)


@pytest.fixture(scope="module")
def poor() -> Iterator[Site]:
    """The embedded model as a family that offers neither gradients nor attention."""
    model = copy.copy(load_model("tiny-diffusion"))
    model.capabilities = frozenset({"bidirectional"})
    with site(model) as served:
        yield served


def test_a_model_without_gradients_or_attention_says_why_not(poor: Site, visit: Visit) -> None:
    page = visit(poor, bears="409")
    steps = decoded(page)
    position = pinned(page, steps)
    attributed(page, steps, position, "occlusion")
    assert "gradients to its input" in page.locator(".why-lacking").inner_text()
    assert page.locator("#why-method option[value=integrated_gradients]").is_disabled()
    page.get_by_role("tab", name="Routes").click()
    refused = page.locator("#why-routes .why-refusal")
    expect(refused).to_contain_text("layers that can be taken apart")
    expect(refused).to_contain_text("another model")


def test_a_given_or_unwritten_place_says_that_there_is_nothing_to_explain(short: Site, visit: Visit) -> None:
    page = visit(short)
    page.mouse.wheel(0, 1)  # the panel below is fetched once somebody begins to use the page
    expect(page.locator(".why-subject")).to_contain_text("Click a token")
    decoded(page)
    page.evaluate("window.unmask.select.togglePin(0)")
    expect(page.locator(".why-subject")).to_contain_text("given, not chosen")


def test_the_recorded_example_can_be_explained_while_its_model_is_loaded(short: Site, visit: Visit) -> None:
    page = visit(short)
    position = pinned(page, 3)
    page.locator("#why-method option[value=occlusion]").wait_for(state="attached")
    choose(page, "method", "occlusion")
    attributed(page, 3, position, "occlusion")


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1440, True)])
def test_the_panel_fits_and_contrasts(short: Site, visit: Visit, width: int, dark: bool) -> None:
    from tests.browser.test_looks import CONTRAST

    page = visit(short, width=width, dark=dark)
    steps = 3  # of the recorded example: in a narrow window the fields of a request are folded away
    seek(page, steps)
    cell = page.evaluate("step => { window.unmask.select.togglePin(window.unmask.trace.written[step][0]); return window.unmask.select.pin; }", steps)
    position = page.evaluate("([cell, step]) => window.unmask.trace.position(cell, step)", [cell, steps])
    attributed(page, steps, position)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    page.evaluate("Promise.all(document.getAnimations().map(animation => animation.finished))")
    assert page.evaluate(CONTRAST) == []
    page.locator(".why-panel").evaluate("node => node.scrollIntoView()")
    routed(page, steps, position)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
