"""From an event's creation to its paint, with the real app, the embedded model and real Chromium.

    python -m benchmarks.streaming

Runs of 110 positions, one token per pass, at the model's own pace; server and browser share the
machine. While it is live, steps may share a frame; playback afterwards must show every one of them.
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
  for (let step = 1; step <= trace.steps; step += 1) {
    clock.seek(step);
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    seen.add(Number(lane.dataset.painted));
  }
  return [seen.size, trace.lost];
}"""
SEEKS = """async (count) => {
  const { clock, trace } = window.unmask, times = [];
  for (let k = 0; k < count; k += 1) {
    const begun = performance.now();
    clock.seek((k * 37) % (trace.steps + 1));
    await new Promise((done) => requestAnimationFrame(() => { const channel = new MessageChannel(); channel.port1.onmessage = done; channel.port2.postMessage(0); }));
    times.push(performance.now() - begun);
  }
  return times;
}"""


def main() -> None:
    """Measure and print every row."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--length", type=int, default=LENGTH, help="positions of the answer")
    arguments = parser.parse_args()
    with served() as (address, _), chromium() as browser:
        page = opened(browser, address)
        _prepare(page, arguments.length)
        rows = [_run(page) for _ in range(arguments.runs + 1)][1:]
        played, lost = page.evaluate(PLAYED)
        seeks = page.evaluate(SEEKS, 60)
    delays = [delay for run in rows for delay in run["delays"]]
    draws = [draw for run in rows for draw in run["draws"]]
    sent = sum(run["sent"] for run in rows)
    _say(f"runs of {arguments.length} positions, {arguments.runs} runs after one to warm up", None)
    _say("steps made a second, median of the runs", statistics.median(run["rate"] for run in rows), "1/s")
    _say("first step painted after Run, median", statistics.median(run["first_s"] for run in rows) * 1e3, "ms")
    _say("event created -> painted, p50", share_of(delays, 0.5), "ms")
    _say("event created -> painted, p95", share_of(delays, 0.95), "ms")
    _say("drawing per frame, p95", share_of(draws, 0.95), "ms")
    _say("seek to painted, p95", share_of(seeks, 0.95), "ms")
    _say("frames of live steps / steps sent", sum(run["frames"] for run in rows) / sent, "")
    _say("live steps that reached the screen / sent", sum(run["painted"] for run in rows) / sent, "")
    _say("steps shown in playback / sent", played / rows[-1]["sent"], "")
    _say("steps lost", lost, "")


def _prepare(page: Page, length: int) -> None:
    """Ask for long answers, and let nothing play by itself."""
    page.wait_for_function("window.unmask.trace.steps > 0")
    page.evaluate("window.unmask.clock.autoReplay = false; window.unmask.clock.pause()")
    field = page.locator("#field-length :is(textarea, input)")
    field.fill(str(length))
    field.press("Tab")


def _run(page: Page) -> dict[str, Any]:
    """Press Run, wait for the end, and return what the page noted about its steps."""
    before = page.evaluate("window.unmask.trace.start.run")
    page.evaluate("window.unmask.timing.length = 0")
    begin = time.time()
    page.locator("#run").click()
    page.wait_for_function("before => window.unmask.trace.start.run !== before && window.unmask.trace.end !== null", arg=before, timeout=120_000)
    page.wait_for_function("window.unmask.timing.length === window.unmask.trace.steps")
    page.wait_for_function("document.querySelector('#run').textContent.trim() === 'Run'")
    timing = page.evaluate("window.unmask.timing")
    created = [row["created"] for row in timing]
    frames = {row["painted"]: row["drawMs"] for row in timing}
    return {
        "delays": [(row["painted"] - row["created"]) * 1e3 for row in timing],
        "draws": list(frames.values()),
        "frames": len(frames),
        "first_s": min(row["painted"] for row in timing) - begin,
        "painted": len({row["step"] for row in timing}),
        "sent": page.evaluate("window.unmask.trace.steps"),
        "rate": (len(created) - 1) / (max(created) - min(created)),
    }


def share_of(values: list[float], share: float) -> float:
    """Return the value below which ``share`` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _say(name: str, value: float | None, unit: str = "") -> None:
    sys.stdout.write(f"{name}\n" if value is None else f"{name:<44} {value:8.2f} {unit}\n")


if __name__ == "__main__":
    main()
