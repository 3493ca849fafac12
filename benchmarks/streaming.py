"""From an event's creation to its paint, with the real app, the embedded model and real Chromium.

    python -m benchmarks.streaming

Runs of 110 positions, one token per pass, at the model's own pace: server and browser share the
machine. A step may share its frame with its neighbours while it is live (painted < sent); playback
afterwards must show every one of them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

from playwright.sync_api import Page

from benchmarks.browser import chromium, opened, served

LENGTH = 110
PLAYED = """async () => {
  const { clock, trace } = window.unmask, lane = document.querySelector('[data-painted]');
  const seen = new Set();
  for (let step = 0; step <= trace.steps(0); step += 1) {
    clock.seek(step);
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    seen.add(Number(lane.dataset.painted));
  }
  return [seen.size - 1, Number(lane.dataset.lost)];
}"""


def main() -> None:
    """Measure and print every row."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with served() as (address, _), chromium() as browser:
        page = opened(browser, address)
        _set_length(page)
        rows = [_run(page) for _ in range(runs + 1)][1:]
        played, lost = page.evaluate(PLAYED)
    delays = [row for run in rows for row in run["delays"]]
    draws = [row for run in rows for row in run["draws"]]
    _say("steps a second (painted or not)", statistics.median(run["rate"] for run in rows), "1/s")
    _say("first step painted after Run, median", statistics.median(run["first_s"] for run in rows) * 1e3, "ms")
    _say("event created -> painted, p50", _at(delays, 0.5), "ms")
    _say("event created -> painted, p95", _at(delays, 0.95), "ms")
    _say("drawing per frame, p95", _at(draws, 0.95), "ms")
    _say("steps painted live / sent", sum(len(run["painted"]) for run in rows) / sum(run["sent"] for run in rows), "")
    _say("steps shown in playback / sent", played / rows[-1]["sent"], "")
    _say("messages lost", lost, "")


def _set_length(page: Page) -> None:
    field = page.locator("#field-length input")
    field.fill(str(LENGTH))
    field.press("Tab")


def _run(page: Page) -> dict[str, Any]:
    """Press Run, wait for the end, and return what the page noted about its steps."""
    before = page.evaluate("window.unmask.trace.run")
    page.evaluate("window.unmask.timing.length = 0")
    begin = time.time()
    page.locator("#run").click()
    page.wait_for_function(
        "before => window.unmask.trace.run !== before && document.querySelector('#unmask').dataset.state === 'done'",
        arg=before, timeout=120_000,
    )
    page.wait_for_function("Number(document.querySelector('[data-painted]').dataset.painted) === window.unmask.trace.steps(0)")
    timing = page.evaluate("window.unmask.timing")
    created = [row["created"] for row in timing]
    return {
        "delays": [(row["painted"] - row["created"]) * 1e3 for row in timing],
        "draws": [row["drawMs"] for row in timing],
        "first_s": min(row["painted"] for row in timing) - begin,
        "painted": {row["painted"] for row in timing},
        "sent": len(timing),
        "rate": (len(created) - 1) / (max(created) - min(created)),
    }


def _at(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _say(name: str, value: float, unit: str) -> None:
    sys.stdout.write(f"{name:<40} {value:8.2f} {unit}\n")


if __name__ == "__main__":
    main()
