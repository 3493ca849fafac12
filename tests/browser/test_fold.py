"""The fold in the browser is the fold in Python: any run, any step, any score."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from playwright.sync_api import Browser, Page

from backend import replay, scores
from backend.canvas import steps_of
from backend.events import Event
from components import wire
from tests.browser.conftest import Site
from tests.strategies import runs

pytestmark = pytest.mark.browser

FOLD = """async text => {
  const { Trace } = await import('/assets/trace.js');
  const trace = new Trace();
  trace.push(JSON.parse(text));
  const canvases = [], values = [], texts = [];
  for (let step = 0; step <= trace.steps; step++) {
    canvases.push(trace.canvas(step));
    if (step) values.push(trace.order(step - 1).map(cell => trace.score('confidence', cell, step)).map(share => Number.isNaN(share) ? null : share));
  }
  return { canvases, values, lost: trace.lost, written: trace.writtenCount };
}"""


@pytest.fixture(scope="module")
def page(browser: Browser, real: Site) -> Iterator[Page]:
    context = browser.new_context()
    opened = context.new_page()
    opened.goto(f"{real.address}/help")
    yield opened
    context.close()


@given(events=runs())
def test_the_browsers_fold_equals_pythons_at_every_step(page: Page, events: tuple[Event, ...]) -> None:
    folded = page.evaluate(FOLD, wire.dumps(wire.Encoder("r").encode(events)))
    steps = steps_of(events)
    assert folded["canvases"] == [list(replay(events, n)) for n in range(len(steps) + 1)]
    assert folded["lost"] == 0
    for row, shown in zip(scores(events, "confidence").tolist() if steps else [], folded["values"], strict=True):
        for value, share in zip(row, shown, strict=False):
            assert share is None if math.isnan(value) else abs(share - value) <= 1 / 131068 + 1e-6


@given(events=runs())
def test_events_that_arrive_twice_or_out_of_order_make_no_difference(page: Page, events: tuple[Event, ...]) -> None:
    start, *rest = json.loads(wire.dumps(wire.Encoder("r").encode(events)))
    shuffled = page.evaluate(FOLD, json.dumps([start, *reversed(rest), *rest, start]))
    assert shuffled["canvases"] == [list(replay(events, n)) for n in range(len(steps_of(events)) + 1)]
