// Entry: takes the batches of the carrier, builds the views, and draws once per animation frame.

import { createAnnouncer } from "./announce.js";
import * as banner from "./banner.js";
import * as candidates from "./candidates.js";
import { Clock } from "./clock.js";
import { el } from "./dom.js";
import * as grid from "./grid.js";
import * as heat from "./heat.js";
import { listen } from "./keys.js";
import * as legend from "./legend.js";
import * as order from "./order.js";
import { watchTheme } from "./palette.js";
import "./believe.js"; // joins the tabs of why.js
import * as settled from "./settled.js";
import { Select } from "./select.js";
import { Source } from "./source.js";
import * as summary from "./summary.js";
import { fold, Trace } from "./trace.js";
import * as transport from "./transport.js";
import * as why from "./why.js";

const BASE = new URL("../", import.meta.url);
const VISIBLE_RATE = 8; // steps a second that an eye can follow
const PAUSE_MS = 900;   // the finished canvas is seen before it is shown again

const trace = new Trace(), clock = new Clock(trace), select = new Select();
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const timing = [];
let mount = null, views = [], lane = null, say = null, lines = null;
let frame = 0, before = 0, reported = 0, replay = 0, played = false;

const source = new Source(BASE, trace, {
  start() { clearTimeout(replay); reported = 0; select.clear(); clock.restart(); state("live"); },
  queue(ahead) { state("queued"); lines?.queued(ahead); },
  refused(event) { state("error"); lines?.refused(event); },
  ended(end) { state(end.reason === "error" ? "error" : "done"); ended(end); },
  gap() { lines?.gap(); },
  filled() { if (trace.live) lines?.rest(); },
  offline() { lines?.offline(); },
  begun() { lines?.rest(); },
  changed: dirty,
});

function state(name) { if (mount) mount.dataset.state = name; }

/** A run faster than the eye is shown again, slowly, unless the visitor has taken the clock. */
function ended(end) {
  const took = trace.elapsed[trace.steps];
  const fast = clock.autoReplay && clock.following && !calm.matches && end.reason === "done" && trace.steps > took * VISIBLE_RATE;
  lines?.ended(end, took, fast);
  if (fast) replay = setTimeout(() => { if (clock.t === trace.steps && !clock.playing) { clock.seek(0); clock.play(); } }, PAUSE_MS);
}

function dirty() { if (mount) frame ||= requestAnimationFrame(draw); }

function draw(now) {
  // `frame` stays set meanwhile: this very frame draws what the clock changes.
  const more = clock.advance(before ? now - before : 0);
  before = more ? now : 0;
  frame = more ? requestAnimationFrame(draw) : 0;
  const begun = performance.now();
  if (select.guesses && !clock.following && clock.t > 0) source.want(clock.t, Math.min(trace.steps, clock.t + 4));
  for (const view of views) view.draw(clock.t);
  lane.dataset.painted = String(clock.t);
  lane.dataset.lost = String(trace.lost);
  lane.classList.toggle("empty", !trace.start);
  report(performance.now() - begun);
  if (played && !clock.playing && clock.t === trace.steps) lines.shown();
  played = clock.playing;
  if (trace.start) say.say(clock.t === trace.steps && trace.end?.verdict ? `Finished. ${trace.end.verdict.right ? "Right" : "Wrong"}: ${trace.end.verdict.why}` : `step ${clock.t} of ${trace.steps}, ${trace.writtenCount[clock.t]} of ${trace.free} written`);
}

/** Note, after the paint, when the steps that came since the last one were seen. */
function report(drawMs) {
  if (trace.steps <= reported || clock.t !== trace.steps) return;
  const fresh = trace.stamps.slice(reported + 1).map((stamp, at) => ({ step: reported + 1 + at, ...stamp }));
  reported = trace.steps;
  const channel = new MessageChannel();
  channel.port1.onmessage = () => {
    const painted = (performance.timeOrigin + performance.now()) / 1000;
    timing.push(...fresh.filter((stamp) => stamp.arrived !== null).map((stamp) => ({ ...stamp, painted, drawMs })));
  };
  channel.port2.postMessage(null);
}

async function load(id) {
  if (!(await source.load(id))) return false;
  clearTimeout(replay);
  if (trace.end) lines.ended(trace.end, 0, false);
  clock.seek(trace.steps);
  return true;
}

async function example() {
  try {
    if (!(await load("example"))) return;
    if (calm.matches) return;
    clock.seek(0);
    clock.play();
  } catch {
    if (!trace.start) { state("idle"); lines.none("No recorded run is here. Type a prompt and press Run."); }
  }
}

function attach({ watch, props }) {
  const take = () => source.push(props.value);
  watch("value", take);
  take();
}

function build(root) {
  mount = root;
  root.dataset.state = "idle";
  const part = (name, attributes = {}) => el("div", { class: name, ...attributes });
  const panel = (name, label) => el("section", { class: `panel ${name}`, "aria-label": label, tabindex: "-1" });
  const at = {
    banners: part("banners"), head: part("lane-head"), legend: part("lane-legend"), canvas: part("lane-canvas"),
    answer: panel("answer", "Answer as text"), candidates: panel("inspector", "Candidates"), clock: part("clock"),
    scores: panel("scores", "Scores over time"), order: panel("order", "Order of writing"), end: part("tail-note"), why: part("why-place"), settled: part("settled-place"),
  };
  lane = el("div", { class: "lane", "data-lane": "0" }, at.head, at.legend, el("div", { class: "lane-body" }, at.canvas, at.answer));
  root.replaceChildren(at.banners, el("div", { class: "stage" }, lane, at.candidates), at.clock, at.why, el("div", { class: "charts" }, at.scores, at.order), at.settled, at.end);
  say = createAnnouncer(at.end);
  const shared = { trace, clock, select, announce: say, want: (from, to) => { if (!clock.following) source.want(from, to); } };
  lines = banner.create(at.banners, shared);
  views = [summary.create(at.head, shared), legend.create(at.legend, shared), grid.create(at.canvas, shared), summary.createAnswer(at.answer, shared),
    candidates.create(at.candidates, shared), transport.create(at.clock, shared), heat.create(at.scores, shared), order.create(at.order, shared), why.create(at.why, shared), settled.create(at.settled, shared)];
  const keys = listen({ root, trace, clock, select, layers: () => legend.layersOf(trace), panels: at });
  at.end.append(el("button", { type: "button", class: "quiet", text: "Keyboard", onclick: keys.showKeys }), el("button", { type: "button", class: "quiet", text: "What do I see?", onclick: () => { lines.showIntro(); root.scrollIntoView({ block: "nearest" }); } }));
  clock.onChange(dirty);
  select.onChange(dirty);
  watchTheme(dirty);
  (window.traceParts ?? []).forEach(attach);
  window.traceParts = { push: attach };
  document.documentElement.dataset.unmask = "ready";
  dirty();
  if (!source.run) example();
}

window.unmask = { trace, clock, select, timing, fold, load, push: (batch) => source.push(batch) };

const found = document.getElementById("unmask");
if (found) build(found);
else {
  const waiting = new MutationObserver(() => {
    const root = document.getElementById("unmask");
    if (root) { waiting.disconnect(); build(root); }
  });
  waiting.observe(document.documentElement, { childList: true, subtree: true });
}
