"""How long the page draws per frame, and how long a seek takes, by size of the run.

    python -m benchmarks.drawing

Made-up runs stream into the player at 30 steps a second, without Python or a model behind it.
"""

from __future__ import annotations

import argparse
import sys

from playwright.sync_api import Browser

from benchmarks.browser import chromium, player
from benchmarks.streaming import SEEKS, share_of

SIZES = {"sudoku": "20 positions, 20 steps", "medium": "128 positions, 64 steps", "long": "512 positions, 512 steps"}
RATE = 30


def main() -> None:
    """Measure and print a row per size."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    sizes = parser.parse_args().sizes
    with player() as address, chromium() as browser:
        for name in sizes:
            for lanes in (1, 2):
                _measure(browser, address, name, lanes)


def _measure(browser: Browser, address: str, name: str, lanes: int) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"{address}?run={name}")
    page.wait_for_function("window.unmask?.trace?.steps > 0")
    page.evaluate("window.unmask.clock.autoReplay = false; window.unmask.clock.pause(); window.unmask.timing.length = 0")
    page.evaluate("([name, rate, lanes]) => (lanes === 2 ? window.streamPair : window.stream)(name, { rate })", [name, RATE, lanes])
    page.wait_for_function("""lanes => { const shown = window.unmask.traces.slice(0, lanes);
      return shown.every(trace => trace.end) && window.unmask.timing.length === shown.reduce((sum, trace) => sum + trace.steps, 0); }""", arg=lanes)
    frames = list({row["painted"]: row["drawMs"] for row in page.evaluate("window.unmask.timing")}.values())
    seeks = page.evaluate(SEEKS, 60)
    heap = page.evaluate("performance.memory.usedJSHeapSize / 1e6")
    sys.stdout.write(
        f"{SIZES[name]:<26} {lanes} lane{'s' if lanes > 1 else ' '} drawing p50 {share_of(frames, 0.5):5.1f} ms, p95 {share_of(frames, 0.95):5.1f} ms; "
        f"seek p95 {share_of(seeks, 0.95):5.1f} ms; heap {heap:5.1f} MB\n"
    )
    page.close()


if __name__ == "__main__":
    main()
