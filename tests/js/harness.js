// Serves made-up runs to the player. Query: run=sudoku|sum|words|long, live=<steps a second>, dark, reason=error|cancelled.

import { mock, RUNS } from "./mock.js";

const query = new URLSearchParams(location.search);
document.body.classList.toggle("dark", query.has("dark"));
const kept = new Map(Object.keys(RUNS).map((name) => [name, () => mock(name)]));
kept.set("example", () => mock(query.get("run") ?? "sudoku", { id: "example" }));

const realFetch = window.fetch.bind(window);
window.fetch = async (address, options) => {
  const url = new URL(address, location.href);
  const found = url.pathname.match(/\/runs\/([^/]+)(\/candidates)?$/);
  if (!found) return realFetch(address, options);
  const made = kept.get(found[1])?.();
  if (!made) return new Response("", { status: 404 });
  const from = Number(url.searchParams.get("from") ?? 0), to = Number(url.searchParams.get("to") ?? 1e9);
  if (!found[2]) return Response.json({ run: found[1], events: made.events.filter((event) => !event.index || event.index >= from) });
  return Response.json({ steps: Object.fromEntries(Object.entries(made.candidates).filter(([step]) => step >= from && step <= to)), texts: made.texts });
};

/** Stream a run through the carrier as Python does: `rate` steps a second, a batch every 50 ms. */
window.stream = (name, { rate = 10, id = `live-${Date.now()}`, reason = "done", drop = -1 } = {}) => new Promise((resolve) => {
  const made = mock(name, { id, reason });
  kept.set(id, () => made);
  const waiting = [...made.events];
  let n = 0, due = 0, held = null;
  const props = { get value() { return held; } };
  let fire = () => {};
  (window.traceParts ??= []).push({ watch: (_, listener) => { fire = listener; }, props });
  const timer = setInterval(() => {
    due += 0.05 * rate;
    const events = n === 0 ? waiting.splice(0, 1) : waiting.splice(0, Math.max(0, Math.floor(due)));
    due %= 1;
    for (const event of events) if (event.kind === "step") event.created = (performance.timeOrigin + performance.now()) / 1000;
    held = { v: 1, n, runs: [id], events };
    if (n !== drop) fire();
    n += 1;
    if (!waiting.length) { clearInterval(timer); resolve(id); }
  }, 50);
});

/** Stream two runs at once, as the page does when it compares. */
window.streamPair = (name, { rate = 10, id = `pair-${Date.now()}` } = {}) => new Promise((resolve) => {
  const made = [mock(name, { id: `${id}-a` }), mock(name, { id: `${id}-b`, seed: 11, lane: 1, other: [1, 6] })];
  made.forEach((one, lane) => kept.set(`${id}-${"ab"[lane]}`, () => one));
  const waiting = made.map(({ events }) => [...events]);
  let n = 0, due = 0, held = null, fire = () => {};
  window.traceParts.push({ watch: (_, listener) => { fire = listener; }, props: { get value() { return held; } } });
  const timer = setInterval(() => {
    due += 0.05 * rate;
    const events = waiting.flatMap((list) => list.splice(0, n === 0 ? 1 : Math.floor(due)));
    due %= 1;
    for (const event of events) if (event.kind === "step") event.created = (performance.timeOrigin + performance.now()) / 1000;
    held = { v: 1, n, runs: [`${id}-a`, `${id}-b`], events };
    fire();
    n += 1;
    if (waiting.every((list) => !list.length)) { clearInterval(timer); resolve(id); }
  }, 50);
});

await import("../../assets/app.js");
if (query.has("live")) window.stream(query.get("run") ?? "sudoku", { rate: Number(query.get("live")), reason: query.get("reason") ?? "done" });
