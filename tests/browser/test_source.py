"""Where the page's events come from: what it asks the server for, and when it asks again."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Site, Visit, run, seek

pytestmark = pytest.mark.browser

KNOWN = "step => { window.unmask.select.setGuesses(true); return (window.unmask.trace.candidateSteps.get(step)?.size ?? 0) > 1; }"


def test_while_a_run_waits_the_candidates_are_those_of_the_run_that_is_shown(real: Site, visit: Visit) -> None:
    page = visit(real, bears="Failed to load resource")
    page.route("**/candidates*", lambda route: route.abort())
    run(page)
    shown = page.evaluate("window.unmask.trace.start.run")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/candidates" in request.url else None)
    page.evaluate("window.unmask.push({ v: 1, n: 0, runs: ['0'.repeat(32)], events: [{ lane: 0, kind: 'queue', ahead: 2 }] })")
    page.get_by_text("2 runs before yours").wait_for()
    page.unroute("**/candidates*")
    asked.clear()
    seek(page, 3)
    page.wait_for_function(KNOWN, arg=3)
    assert asked and all(f"/runs/{shown}/candidates" in url for url in asked)


def test_candidates_that_could_not_be_fetched_are_asked_for_again(real: Site, visit: Visit) -> None:
    page = visit(real, bears="Failed to load resource")
    failed = []

    def once(route):
        failed.append(route.request.url)
        route.abort() if len(failed) == 1 else route.continue_()

    page.route("**/candidates*", once)
    run(page)
    seek(page, 3)
    page.wait_for_function(KNOWN, arg=3)
    assert len(failed) >= 2


SILENT = """async () => {
  const { Source } = await import('/assets/source.js');
  const { Trace } = await import('/assets/trace.js');
  const trace = new Trace(), nothing = () => {};
  const on = Object.fromEntries(['start', 'begun', 'queue', 'ended', 'gap', 'filled', 'offline', 'changed'].map(name => [name, nothing]));
  const source = new Source(location.href, trace, on);
  window.asked = [];
  source._get = async path => { window.asked.push(path); return { run: 'r', events: [] }; };
  source.push({ run: 'r', n: 0, events: [{ ...window.unmask.trace.start, run: 'r' }] });
}"""


def test_silence_during_a_run_is_asked_about_more_than_once(real: Site, visit: Visit) -> None:
    page = visit(real)
    page.clock.install()
    page.evaluate(SILENT)
    for times in (1, 2, 3):
        page.clock.run_for(10_050)
        page.wait_for_function("times => window.asked.length === times", arg=times, polling=50)
    assert page.evaluate("new Set(window.asked).size") == 1  # always for the steps after the last one
