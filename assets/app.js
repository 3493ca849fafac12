// Entry: takes the batches of the carrier, builds the lanes, and draws once per animation frame.

import { createAnnouncer } from "./announce.js";
import * as banner from "./banner.js";
import { Clock } from "./clock.js";
import { el } from "./dom.js";
import { createHold } from "./hold.js";
import { listen } from "./keys.js";
import { Lane } from "./lane.js";
import { createLater, nearness, onDemand } from "./later.js";
import * as legend from "./legend.js";
import { watchTheme } from "./palette.js";
import { attachSecond, choicesOf } from "./second.js";
import { Select } from "./select.js";
import { Streams } from "./streams.js";
import { createStudio } from "./studio.js";
import { noteSeen, timing } from "./timing.js";
import { fold, Trace } from "./trace.js";
import * as transport from "./transport.js";

const BASE = new URL("../", import.meta.url);
const VISIBLE_RATE = 8; // steps a second that an eye can follow
const PAUSE_MS = 900;   // the finished canvas is seen before it is shown again

const traces = [new Trace(), new Trace()], [trace] = traces, streams = new Streams();
const clock = new Clock(...traces), select = new Select();
const lanes = traces.map((own, number) => new Lane(number, BASE, own, listeners(number)));
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let mount = null, at = null, carrier = null, holder = null, hold = null, pair = null, unitChosen = false, views = [], say = null, lines = null;
let frame = 0, before = 0, replay = 0, played = false, compares = false;
let offspring = null; // the run of lane B, while its branch is asked for: the lanes are traded once that has come

function listeners(number) {
  return {
    start() { hold?.said(number, null); clearTimeout(replay); Object.assign(lanes[number], { reported: 0, ended: null }); select.clear(); clock.restart(); state("live"); },
    paused(news) { hold.said(number, news); dirty(); },
    queue(ahead, wait) { state("queued"); lines?.queued(ahead, wait); },
    ended(end) { ended(number, end); },
    gap() { lines?.gap(); },
    filled(before) { filled(number, before); },
    offline() { lines?.offline(); },
    begun() { lines?.rest(); },
    changed: dirty,
  };
}

const shown = () => lanes.slice(0, clock.shown);
const two = () => clock.shown === 2;
/** Whether some run is under way; of the lane `but` only one that does not stand paused. */
const busy = (but = null) => shown().some((lane) => lane.trace.live && !(lane === but && hold.holds(lane.number)));

function state(name) { if (mount) mount.dataset.state = name; }

/** The steps of the longest lane: the scale of everything that two lanes share. */
function horizon() { return Math.max(...shown().map((lane) => lane.trace.horizon)); }

/** A run faster than the eye is shown again, slowly, unless the visitor has taken the clock. */
function ended(number, end) {
  lanes[number].ended = end;
  const others = busy();
  state(others ? "live" : ends().some((item) => item.end.reason === "error") ? "error" : "done");
  const took = Math.max(...shown().map((lane) => lane.trace.elapsed[lane.trace.steps] ?? 0));
  const fast = !others && clock.autoReplay && clock.following && !calm.matches && end.reason === "done" && clock.steps > took * VISIBLE_RATE;
  lines?.ended(end, took, fast);
  if (fast) replay = setTimeout(() => { if (clock.atEnd && !clock.playing) { clock.seekValue(0); clock.play(); } }, PAUSE_MS);
}

/** What got lost is there: a playhead that stood at what seemed the end goes on to the real one. */
function filled(number, before) {
  lines?.rest();
  if (!clock.playing && !clock.live && before > 0 && clock.step(number) === before) clock.toEnd();
}

/** What became of the runs of this go, by the letters of their lanes. */
function ends() {
  return shown().filter((lane) => lane.ended).map((lane) => ({ letter: two() ? lane.letter : "", end: lane.ended }));
}

function dirty() { if (mount) frame ||= requestAnimationFrame(draw); }

function draw(now) {
  // `frame` stays set meanwhile: this very frame draws what the clock changes.
  const more = clock.advance(before ? now - before : 0);
  before = more ? now : 0;
  frame = more ? requestAnimationFrame(draw) : 0;
  if (two() && !pair.view() && !pair.refused) return; // what compares two lanes is on its way: they are drawn together with it
  const begun = performance.now();
  compares = two() && Boolean(pair.made?.look());
  showInspector();
  for (const lane of shown()) lane.draw(clock.step(lane.number));
  for (const view of views) view.draw(clock.t);
  const held = hold.draw();
  if (busy() && mount.dataset.state !== "queued") state(held ? "paused" : "live");
  noteSeen(shown().flatMap((lane) => lane.fresh(clock.step(lane.number))), performance.now() - begun);
  if (played && !clock.playing && clock.atEnd) lines.shown();
  played = clock.playing;
  if (trace.start) say.say(shown().map(progress).join(" "));
}

function progress({ trace: own, number, letter }) {
  const t = clock.step(number), whose = two() ? `${letter}: ` : "";
  if (t === own.steps && own.end?.verdict) return `${whose}Finished. ${own.end.verdict.right ? "Right" : "Wrong"}: ${own.end.verdict.why}`;
  return `${whose}step ${t} of ${own.steps}, ${own.writtenCount[t]} of ${own.free} written`;
}

/** Take a batch: it names the run of every lane (null: that lane stays as it is), its events name their lane. */
function push(batch) {
  if (!batch) return;
  const runs = batch.runs ?? [batch.run];
  if (!streams.takes({ runs })) return;
  const stays = going(runs);
  if (stays) { offspring = null; stays.source.push({ run: runs[0], n: batch.n, events: batch.events }); return; }
  if (batch.n === 0) begin(runs);
  arrange(runs.length);
  runs.forEach((run, number) => {
    if (run) lanes[number].source.push({ run, n: batch.n, events: batch.events.filter((event) => (event.lane ?? 0) === number) });
  });
}

/** The lane of two that shows the only run of a stream already: its branch was refused, and it goes on where it is; else null. */
function going(runs) { return two() && runs.length === 1 ? lanes.find((lane) => lane.source.run === runs[0]) ?? null : null; }

/** New runs: one beside a lane that stays is a branch, whose parent is lane A. */
function begin(runs) {
  for (const lane of lanes) lane.ended = null;
  if (offspring !== null && runs.length === 2 && [null, offspring].includes(runs[0])) { swap(); hold.exchange(); }
  offspring = null;
}

/** Put one lane or two on the page. */
function arrange(count) {
  clock.show(count);
  if (!at || at.stage.dataset.lanes === String(count)) return;
  at.stage.dataset.lanes = String(count);
  const [a, b] = lanes;
  if (count === 2) {
    at.stage.replaceChildren(at.tabs, at.legend, a.root, b.root, at.pair, a.at.candidates, b.at.candidates);
    pair.view()?.show("a");
    if (!unitChosen) clock.setUnit("passes");
    at.charts.replaceChildren(a.at.scores, b.at.scores, a.at.order, b.at.order, a.at.tree, b.at.tree);
  } else {
    delete mount.dataset.tab;
    if (!unitChosen) clock.setUnit("step");
    a.root.insertBefore(at.legend, a.at.head.nextSibling);
    at.stage.replaceChildren(a.root, a.at.candidates);
    at.charts.replaceChildren(a.at.scores, a.at.order, a.at.tree);
  }
  dirty();
}

/** Trade the lanes: what was B is A. */
function swap() {
  const [a, b] = lanes;
  a.trace.exchange(b.trace);
  a.source.exchange(b.source);
  [a.reported, b.reported] = [a.trace.steps, b.trace.steps];
  [a.ended, b.ended] = [b.ended, a.ended];
  select.clear();
  clock.toEnd();
  lines.rest();
}

/** Ask for the branch of a lane's run; once it is admitted the run is lane A, and its branch beside it lane B. */
function branch(lane, step, asked) {
  if (busy(lane)) return; // a lane that is under way can neither be traded nor replaced, but for one that stands
  const { run } = lane.trace.start;
  offspring = lane.number === 1 ? run : null;
  ask({ run, step, edits: [], ...asked });
}

function ask(asked) { carrier({ run: trace.start.run, breaks: hold.breaks(), ...asked }); }

async function load(id, number = 0) {
  const lane = lanes[number];
  if (!(await lane.source.load(id))) return false;
  streams.leave();
  arrange(number + 1);
  clearTimeout(replay);
  for (const other of lanes) other.ended = other.trace.end;
  if (!busy()) state(lane.trace.end?.reason === "error" ? "error" : "done");
  lines.rest();
  clock.toEnd();
  return true;
}

async function example() {
  try {
    if (!(await load("example"))) return;
    if (calm.matches) return;
    clock.seekValue(0);
    clock.play();
  } catch {
    if (!trace.start) { state("idle"); lines.none("No recorded run is here. Type a prompt and press Run."); }
  }
}

function attach({ watch, props, branch, hold: ask }) {
  if (branch) { carrier = branch; holder = ask; }
  const take = () => push(props.value);
  watch("value", take);
  take();
}

function build(root) {
  mount = root;
  root.dataset.state = "idle";
  const part = (name) => el("div", { class: name });
  at = { banners: part("banners"), legend: part("lane-legend"), stage: part("stage"), clock: part("clock"), charts: part("charts"), end: part("tail-note"), why: part("why-place"), settled: part("settled-places"), held: part("held-place"), family: part("family-place"), pair: part("pair-place"), tabs: part("tabs-place") };
  root.replaceChildren(at.banners, at.held, at.stage, at.family, at.clock, at.why, at.charts, at.settled, at.end);
  say = createAnnouncer(at.end);
  const shared = {
    trace, clock, select, announce: say, horizon, two, branch, busy, redraw: dirty, beside: () => (compares ? pair.made.signs : null),
    canBranch: () => carrier !== null, choices: () => choicesOf(BASE), holds: (lane) => hold.holds(lane),
  };
  hold = createHold(at.held, { lanes: shown, announce: { now: say.now, tell: (words) => lines.none(words) }, ask: (asked) => holder?.(asked) });
  for (const lane of lanes) lane.build({ ...shared, shift: () => (lane.trace.start?.prompt_length ?? 0) - (trace.start?.prompt_length ?? 0) });
  lines = banner.create(at.banners, { traces: () => shown().map((lane) => lane.trace), ends, clock, announce: say });
  views = [legend.create(at.legend, shared), transport.create(at.clock, { clock, chooseUnit: (unit) => { unitChosen = true; clock.setUnit(unit); } })];
  pair = createLater(at.pair, () => import("./beside.js"), between, dirty);
  views.push({ draw: () => { if (two()) pair.made?.draw(); } });
  const ofRuns = { clock, traces, shown: () => clock.shown, load, busy, say: (words) => lines.none(words) };
  views.push(onDemand(at.family, () => import("./family.js"), ofRuns, () => traces.some(({ start }) => start && start.run !== "example")));
  const seen = (place) => { const near = nearness(place, dirty); return () => trace.start !== null && near(); };
  const near = seen(at.why);
  const reasons = onDemand(at.why, () => import("./why.js"), { clock, lane: () => lanes[select.pinLane < clock.shown ? select.pinLane : 0].shared }, () => near() || select.pin !== null);
  views.push(reasons, onDemand(at.settled, () => import("./settled_places.js"), { lanes, clock }, seen(at.settled)));
  arrange(clock.shown);
  const lost = () => lines.none("This part of the page could not be fetched: the connection to the server is lost.");
  const keys = listen({ root, trace, clock, select, hold, lost, explain: async (name) => (await reasons.whole())?.open(name), next: async () => { if (two()) (await pair.whole())?.next(); }, layers: () => legend.layersOf(trace), panels: () => lanes[select.lane < clock.shown ? select.lane : 0].at });
  at.end.append(el("button", { type: "button", class: "quiet", text: "Keyboard", onclick: keys.showKeys }), el("button", { type: "button", class: "quiet", text: "What do I see?", onclick: () => { lines.showIntro(); root.scrollIntoView({ block: "nearest" }); } }));
  views.push(createStudio({ root, traces, clock, select, load, second: attachSecond(BASE) }));
  clock.onChange(dirty);
  select.onChange(dirty);
  watchTheme(dirty);
  (window.traceParts ?? []).forEach(attach);
  window.traceParts = { push: attach };
  document.documentElement.dataset.unmask = "ready";
  dirty();
  if (!lanes[0].source.run) example();
}

/** Put what stands between two lanes into its places. */
function between({ create }) {
  const go = (cell) => at.stage.querySelector(`[data-lane="0"] [data-cell="${cell}"]`)?.scrollIntoView({ block: "nearest" });
  const made = create({ traces, clock, select, swap, go, choose: (name) => { mount.dataset.tab = name; } });
  at.tabs.replaceChildren(made.row);
  at.pair.replaceChildren(made.panel);
  made.show("a");
  return made;
}

/** One inspector is seen: that of the lane pointed at last. */
function showInspector() {
  const seen = two() ? select.lane : 0;
  for (const lane of lanes) lane.at.candidates.hidden = lane.number !== seen;
}

window.unmask = { trace, clock, select, timing, fold, load, push, traces, ask };

const found = document.getElementById("unmask");
if (found) build(found);
else {
  const waiting = new MutationObserver(() => {
    const root = document.getElementById("unmask");
    if (root) { waiting.disconnect(); build(root); }
  });
  waiting.observe(document.documentElement, { childList: true, subtree: true });
}
