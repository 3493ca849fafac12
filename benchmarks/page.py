"""What the page costs in the browser, each figure beside its limit: weight, load, scrubbing, playback, memory, long tasks.

    python -m benchmarks.page

The weight, in bytes as they are written, not compressed, and the first view are those of the real app. The rest is the player
on made-up runs of known size: 512 tokens x 512 steps and 128 tokens x 64 steps, in one lane and in two, served as a server
would serve them.

Moving in time is told twice. The *work* is what the page does for it, script, styles and layout, and has the limit; *to painted*
is what passes from the wish to the picture: it includes waiting for the next frame, up to 16.7 ms whatever the page does, and
the browser's own painting. A last column says "over" where a figure is beyond its limit; the limits hold for a machine that
does nothing else.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Response, Route

from benchmarks.browser import ROOT, chromium, player, served
from benchmarks.streaming import share_of

RATE = 20  # steps a second of a streamed run
TIMES = 3
CODE_KB, VIEW_S, LOAD_S, FRAMES, TASK_MS = 120, 2.5, 2.5, 50, 200
SIZES = {"medium": ("128 x 64", {"draw": 8, "seek": 16, "heap": 15}), "long": ("512 x 512", {"draw": 22, "seek": 33, "heap": 30})}

MADE = """async ([name, id, lane]) => {
  const { mock } = await import('./mock.js');
  const { events } = mock(name, { id, lane, seed: 7 + 4 * lane, other: lane ? [1, 6] : [] });
  return JSON.stringify({ run: id, events });
}"""
LOADED = """async ([run, lane]) => {
  const begun = performance.now();
  await window.unmask.load(run, lane);
  const traces = window.unmask.traces.slice(0, lane + 1);
  while (!traces.every((trace, lane) => document.querySelector(`[data-lane="${lane}"]`)?.dataset.painted === String(trace.steps))) await new Promise(requestAnimationFrame);
  return performance.now() - begun;
}"""
MOVED = """async ([count, stride]) => {
  const { clock } = window.unmask, places = Math.floor(clock.length) + 1, work = [], painted = [];
  const frame = () => new Promise(requestAnimationFrame);
  for (let k = 0; k < Math.min(count, stride === 1 ? places : count); k += 1) {
    await frame(); // what went before is over
    const asked = performance.now(), begun = frame().then(() => performance.now());
    clock.seekValue((k * stride) % places);
    work.push(await frame().then(() => { document.body.offsetHeight; return performance.now(); }) - await begun);
    await new Promise((done) => { const channel = new MessageChannel(); channel.port1.onmessage = done; channel.port2.postMessage(0); });
    painted.push(performance.now() - asked);
  }
  return [work, painted];
}"""
PLAYED = """async () => {
  const { clock } = window.unmask, frames = [];
  clock.setSpeed(4);
  clock.seekValue(0);
  clock.play();
  while (clock.playing && frames.length < 300) frames.push(await new Promise(requestAnimationFrame));
  clock.pause();
  return (frames.length - 1) / ((frames.at(-1) - frames[0]) / 1000);
}"""
STREAMED = """async ([name, rate]) => {
  const { clock, timing, traces } = window.unmask, tasks = [];
  clock.autoReplay = false;
  timing.length = 0;
  const done = window.streamPair(name, { rate }), begun = performance.now(); // the made-up runs are made by now
  const watch = new PerformanceObserver((list) => tasks.push(...list.getEntries().filter((entry) => entry.startTime > begun).map((entry) => entry.duration)));
  watch.observe({ type: 'longtask' });
  await done;
  while (!traces.every((trace) => trace.end) || timing.length < traces[0].steps + traces[1].steps) await new Promise(requestAnimationFrame);
  return [Object.values(Object.fromEntries(timing.map(({ painted, drawMs }) => [painted, drawMs]))), Math.max(0, ...tasks)];
}"""


def main() -> None:
    """Measure and print a row per figure."""
    with chromium() as browser:
        with served() as (address, _):
            _first_load(browser, address)
        with player() as address:
            for name in SIZES:
                _kept_runs(browser, address, name)
                _streamed_runs(browser, address, name)


def _first_load(browser: Browser, address: str) -> None:
    """Weigh what a first visit fetches, and time it until the example's canvas is there."""
    seconds = []
    for _ in range(TIMES):
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        fetched: list[Response] = []
        page.on("response", lambda answer: fetched.append(answer))
        page.goto(address)
        page.wait_for_function("document.querySelector('[data-painted]') && window.unmask.trace.steps > 0")
        seconds.append(page.evaluate("performance.now()") / 1000)
        page.wait_for_function("window.unmask.trace.candidateSteps.get(1)?.size > 1")  # what the first canvas shows has come
        own = {path: len(answer.body()) for answer in fetched if (path := _asset(answer)) is not None}
        page.close()
    code, sheets = (sum(size for path, size in own.items() if path.endswith(kind)) / 1000 for kind in (".js", ".css"))
    _say("first load: our modules", code, "kB", CODE_KB)
    _say("first load: our style sheets", sheets, "kB")
    _say("first load: requests for both", len(own), "")
    _say("first load: requests in all, the library's too", len(fetched), "")
    _say(f"first view, median of {TIMES}", statistics.median(seconds), "s", VIEW_S)


def _asset(answer: Response) -> str | None:
    """Return the path of a module or sheet of ours, None for what the UI library brings."""
    path = urlsplit(answer.url).path[1:]
    return path if path.endswith((".js", ".css")) and (ROOT / path).is_file() else None


def _kept_runs(browser: Browser, address: str, name: str) -> None:
    """Open a kept run, then another beside it: load, scrub, seek, play, and the memory of both."""
    title, limits = SIZES[name]
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    runs = _made(page, address, name)
    page.route("**/harness.js", lambda route: route.fulfill(body='import "../../assets/app.js";', content_type="text/javascript"))
    page.route("**/runs/**", lambda route: _answer(route, runs))
    page.goto(address)
    page.wait_for_function("window.unmask?.trace?.steps > 0")
    page.evaluate("window.unmask.clock.autoReplay = false")
    _say(f"{title}: a kept run, from request to paint", page.evaluate(LOADED, [f"{name}-a", 0]) / 1000, "s", LOAD_S)
    _moved(page, title, limits["seek"])
    _say(f"{title}: playback", page.evaluate(PLAYED), "frames/s", FRAMES if name == "medium" else None, float.__ge__)
    page.evaluate(LOADED, [f"{name}-b", 1])
    _moved(page, f"{title}, two lanes", limits["seek"])
    _say(f"{title}, two lanes: playback", page.evaluate(PLAYED), "frames/s")
    _say(f"{title}, two lanes: heap, candidates not counted", _heap(page), "MB", limits["heap"])
    page.close()


def _moved(page: Page, title: str, limit: float) -> None:
    """Go on step by step, then jump about: the work of it, and what passes until the picture is there."""
    for name, count, stride in (("scrub", 200, 1), ("seek anywhere", 60, 37)):
        work, painted = page.evaluate(MOVED, [count, stride])
        _say(f"{title}: {name}, work, p95", share_of(work, 0.95), "ms", limit)
        _say(f"{title}: {name}, to painted, p95", share_of(painted, 0.95), "ms")


def _streamed_runs(browser: Browser, address: str, name: str) -> None:
    """Stream two runs at once: drawing per frame, and the longest task meanwhile."""
    title, limits = SIZES[name]
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"{address}?run=sum")
    page.wait_for_function("window.unmask?.trace?.steps > 0")
    draws, longest = page.evaluate(STREAMED, [name, RATE])
    _say(f"{title}, two lanes: drawing per streamed frame, p95", share_of(draws, 0.95), "ms", limits["draw"])
    _say(f"{title}, two lanes: longest task while streaming", longest, "ms", TASK_MS)
    page.close()


def _made(page: Page, address: str, name: str) -> dict[str, str]:
    """Return made-up runs as a server's answers, by id: both lanes, and the one that the page opens with."""
    page.goto(f"{address}?run=sum")
    page.wait_for_function("window.unmask?.trace?.steps > 0")
    asked = [(name, f"{name}-a", 0), (name, f"{name}-b", 1), ("sum", "example", 0)]
    return {run_id: page.evaluate(MADE, [made, run_id, lane]) for made, run_id, lane in asked}


def _answer(route: Route, runs: dict[str, str]) -> None:
    _, _, wanted = urlsplit(route.request.url).path.partition("/runs/")
    none = json.dumps({"steps": {}, "texts": {}})
    route.fulfill(body=none if wanted.endswith("/candidates") else runs[wanted], content_type="application/json")


def _heap(page: Page) -> float:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    usage = session.send("Runtime.getHeapUsage")
    return (usage["usedSize"] + usage.get("backingStorageSize", 0)) / 1e6


def _say(name: str, value: float, unit: str, limit: float | None = None, fits: Callable[[float, float], bool] = float.__le__) -> None:
    bound = "" if limit is None else f"limit {'>=' if fits is float.__ge__ else '<='} {limit:g}"
    over = "" if limit is None or fits(float(value), float(limit)) else "  over"
    sys.stdout.write(f"{name:<52} {value:8.1f} {unit:<9} {bound}{over}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
