"""How settled was it?, and Can I believe it?: charts against computations of the test, linked hover, keyboard, hostile tokens."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
from playwright.sync_api import Page, expect

from backend import AttributionRequest, attribute, replay
from backend.canvas import steps_of
from backend.explanations.faithfulness import faithfulness
from backend.explanations.regret import regrets
from tests.browser.conftest import NASTY, Site, Visit, seek
from tests.browser.test_looks import CONTRAST
from tests.browser.test_why import decoded, pinned

pytestmark = pytest.mark.browser

MAP, BARS = ".settled figure:nth-of-type(1) .chart-field", ".settled figure:nth-of-type(2) .chart-field"
BUTTON = "How settled was it?"


def opened(page: Page, shows: str = "favourite", bars: str = "regret") -> None:
    """Open the panel and wait until both charts show what is asked for, regret included."""
    button = page.get_by_role("button", name=BUTTON, exact=True)
    if button.get_attribute("aria-expanded") == "false":
        button.click()
    page.wait_for_function("document.querySelector('.settled').dataset.drawn?.endsWith('|regret')")
    page.get_by_label("Map shows").select_option(shows)
    page.get_by_label("Bars show").select_option(bars)
    page.wait_for_function("ends => document.querySelector('.settled').dataset.drawn.endsWith(ends)", arg=f"|{shows}|{bars}|regret")


def data(page: Page, chart: str, keys: str = "xyz") -> list[list]:
    """Return arrays of the first trace that a chart was given."""
    return page.evaluate("([chart, keys]) => [...keys].map(key => document.querySelector(chart).data[0][key])", [chart, keys])


def over(page: Page, chart: str, x: float, y: float) -> tuple[float, float]:
    """Return where the value (x, y) of a chart lies in the window."""
    page.locator(chart).scroll_into_view_if_needed()
    return tuple(page.evaluate("""([chart, x, y]) => {
      const field = document.querySelector(chart), box = field.getBoundingClientRect(), { xaxis, yaxis } = field._fullLayout;
      return [box.left + xaxis._offset + xaxis.l2p(x), box.top + yaxis._offset + yaxis.l2p(y)];
    }""", [chart, x, y]))


def page_class(name: str) -> re.Pattern[str]:
    """Return what matches the classes of an element that has ``name``."""
    return re.compile(rf"\b{name}\b")


def favourites(site: Site, page: Page) -> dict[tuple[int, int], tuple[int, dict[int, float]]]:
    """Return (position, step) -> favourite and candidates, from the events."""
    found = {}
    for step in steps_of(site.run_of(page).events_so_far):
        kept = step.candidates
        for position, ids, probs in zip(kept.positions, kept.ids, kept.probabilities, strict=True):
            found[position, step.index] = (ids[probs.index(max(probs))], dict(zip(ids, probs, strict=True)))
    return found


def test_the_chart_library_is_fetched_when_the_panel_is_opened_and_keeps_its_name_to_itself(real: Site, visit: Visit) -> None:
    page = visit(real)
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "plotly" in request.url else None)
    decoded(page)
    assert asked == []
    opened(page)
    assert asked == [f"{real.address}/assets/charts/plotly.js"]
    assert page.evaluate("window.Plotly === undefined")
    page.get_by_role("button", name=BUTTON, exact=True).click()
    page.get_by_role("button", name=BUTTON, exact=True).click()
    assert len(asked) == 1


def test_the_maps_show_what_the_events_say(real: Site, visit: Visit) -> None:
    page = visit(real)
    steps = decoded(page)
    opened(page)
    known = favourites(real, page)
    written = {position: token for step in steps_of(real.run_of(page).events_so_far) for position, token, _ in step.writes}
    x, y, z = data(page, MAP)
    assert x == list(range(1, steps + 1)) and y == sorted(written)
    assert z == [[None if (position, step) not in known else int(known[position, step][0] == written[position]) for step in x] for position in y]
    opened(page, "kl", "flips")
    for position, row in zip(y, data(page, MAP)[2], strict=True):
        last = known[position, max(step for place, step in known if place == position)][1]
        for step, shown in zip(x, row, strict=True):
            if (position, step) not in known:
                assert shown is None
                continue
            then = known[position, step][1]
            both = [token for token in last if token in then]
            p, q = ([*(side[token] for token in both), 1 - sum(side[token] for token in both)] for side in (last, then))
            kl = sum(a * math.log(a / max(b, 1e-12)) for a, b in zip(p, q, strict=True) if a > 1e-12)
            assert shown == pytest.approx(math.log10(max(0.001, kl)), abs=1e-3)
    flips = [sum(known[position, a][0] != known[position, b][0] for a, b in pairwise(step for place, step in sorted(known) if place == position)) for position in y]
    assert data(page, BARS, "xy") == [flips, y]


def test_a_recorded_score_is_mapped_on_its_declared_range(real: Site, visit: Visit) -> None:
    page = visit(real)
    decoded(page)
    opened(page, "score-entropy")
    x, y, z = data(page, MAP)
    for step in steps_of(real.run_of(page).events_so_far):
        values = dict(zip(step.masked, step.scores["entropy"], strict=True))
        assert [row[step.index - 1] for row in z] == [None if place not in values else pytest.approx(values[place], abs=1e-3) for place in y]
    low, high = page.evaluate("chart => [document.querySelector(chart).data[0].zmin, document.querySelector(chart).data[0].zmax]", MAP)
    assert (low, high) == (0, pytest.approx(math.log(real.model.vocab_size)))


def test_regret_is_drawn_told_and_tabled_as_computed_here(real: Site, visit: Visit) -> None:
    page = visit(real)
    decoded(page, "sum: 47+85=")
    opened(page)
    want = regrets(real.model, real.run_of(page).events_so_far)
    x, y = data(page, BARS, "xy")
    assert y == [item.position for item in want] and x == pytest.approx([item.nats for item in want], abs=1e-4)
    fewer = sum(item.now < item.then for item in want)
    expect(page.locator(".settled-summary").nth(1)).to_contain_text(f"{fewer} of {len(want)} written tokens")
    page.get_by_role("button", name="Show as table").click()
    told = page.locator(".settled-table tbody tr").first.locator("th, td").all_inner_texts()
    assert told[0] == str(want[0].position) and told[3] == str(want[0].step) and float(told[6]) == pytest.approx(want[0].nats, abs=1e-3)


def test_pointing_and_pinning_are_one_with_the_canvas(real: Site, visit: Visit) -> None:
    page = visit(real)
    decoded(page)
    opened(page)
    position = data(page, MAP)[1][2]
    page.mouse.move(*over(page, MAP, 1, position))
    expect(page.locator(f".tokens [data-cell='{position}']")).to_have_class(page_class("hover"))
    expect(page.locator(".settled .reading")).to_contain_text(f"position {position}: settled at step")
    expect(page.locator(".settled .reading")).to_contain_text("step 1: favourite")
    page.mouse.click(*over(page, MAP, 1, position))
    expect(page.locator(f".tokens [data-cell='{position}']")).to_have_class(page_class("pin"))
    expect(page.locator(".settled figure").first.locator(".chart-pin")).to_be_visible()
    page.locator(f".tokens [data-cell='{position + 1}']").hover()
    expect(page.locator(".settled figure").nth(1).locator(".chart-row:not(.chart-pin)")).to_be_visible()
    page.locator(f".tokens [data-cell='{position}']").focus()
    page.keyboard.press("Escape")
    expect(page.locator(".settled figure").first.locator(".chart-pin")).to_be_hidden()


def test_a_zoom_outlives_theme_and_playhead_and_nothing_asks_the_server(real: Site, visit: Visit) -> None:
    page = visit(real)
    steps = decoded(page)
    opened(page)
    (left, top), (right, bottom) = over(page, MAP, 1, data(page, MAP)[1][1]), over(page, MAP, steps - 1, data(page, MAP)[1][-2])
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move(right, bottom, steps=4)
    page.mouse.up()
    ranged = "chart => document.querySelector(chart)._fullLayout.xaxis.range.map(at => Math.round(at * 100))"
    whole = [50, steps * 100 + 50]
    page.wait_for_function(f"([chart, whole]) => String(({ranged})(chart)) !== String(whole)", arg=[MAP, whole])
    zoomed, asked = page.evaluate(ranged, MAP), []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Dark", exact=True).click()
    page.wait_for_function("chart => document.querySelector(chart).layout.xaxis.linecolor === '#747A83'", arg=MAP)
    seek(page, 1)
    page.get_by_label("Map shows").select_option("kl")
    page.wait_for_function("document.querySelector('.settled').dataset.drawn.includes('|kl|')")
    assert page.evaluate(ranged, MAP) == zoomed and [url for url in asked if "/runs/" in url] == []


def test_the_panel_is_used_by_keyboard_alone(real: Site, visit: Visit) -> None:
    page = visit(real)
    decoded(page)
    page.get_by_role("button", name=BUTTON, exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.settled').dataset.drawn?.endsWith('|regret')")
    page.get_by_label("Map shows").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function("document.querySelector('.settled').dataset.drawn.includes('|kl|')")
    page.get_by_role("button", name="Show as table").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("table", name="What each position came to")).to_be_visible()


def test_an_explanation_is_tested_on_its_own_canvas_and_the_verdict_is_said(real: Site, visit: Visit) -> None:
    page = visit(real)
    decoded(page)
    position = pinned(page, 2)
    page.locator("#why-method").select_option("occlusion")
    page.wait_for_function("key => document.querySelector('#why-attribution').dataset.points && document.querySelector('#why-attribution').dataset.shown === key", arg=f"2|{position}|occlusion")
    page.get_by_role("tab", name="Can I believe it?").click()
    page.wait_for_function("key => document.querySelector('#why-believe').dataset.shown === key", arg=f"2|{position}|occlusion")
    events, model = real.run_of(page).events_so_far, real.model
    ids, token = replay(events, 1), next(token for place, token, _ in steps_of(events)[1].writes if place == position)
    want = faithfulness(model, ids, position, token, attribute(model, AttributionRequest(ids, position, token, method="occlusion")).scores)
    expect(page.locator(".believe-verdict")).to_have_text(want.verdict)
    expect(page.locator(".believe-numbers dd").first).to_contain_text(f"{want.comprehensiveness.value:.3f} · chance {want.comprehensiveness.mean:.3f}")
    lines = page.evaluate("[...document.querySelectorAll('#why-believe .chart-field')].map(field => field.data.at(-1).y)")
    assert lines[0] == pytest.approx([want.whole, *want.deletion], abs=1e-4) and lines[1] == pytest.approx(want.insertion, abs=1e-4)
    expect(page.locator("#why-believe")).to_contain_text("Tested: Occlusion")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_of_both_views_contrasts_and_nothing_is_wider_than_a_phone(real: Site, visit: Visit, dark: bool) -> None:
    page = visit(real, dark=dark, width=390, height=844)
    page.locator("#more").click()  # in a narrow window the fields of a request are folded away
    decoded(page)
    opened(page)
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390


def test_hostile_tokens_are_shown_and_do_nothing(hostile: Site, visit: Visit) -> None:
    page = visit(hostile)
    decoded(page, "say", "6")
    opened(page)
    page.get_by_role("button", name="Show as table").click()
    expect(page.locator(".settled-table tbody tr")).to_have_count(6)
    shown = page.locator(".settled-table tbody td:nth-child(2)").all_inner_texts()
    assert len(shown) == 6 and all(any(text.strip("“”")[:6] in nasty.replace("\ud800", "\ufffd") for nasty in NASTY) for text in shown)
    page.mouse.move(*over(page, MAP, 1, data(page, MAP)[1][0]))
    expect(page.locator(".settled .reading")).to_contain_text("favourite")
    assert page.evaluate("window.ran") is None
