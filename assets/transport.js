// The clock as the visitor sees it: play, step, scrub, speed, unit, and the way back to the live end.

import { SPEEDS, UNITS } from "./clock.js";
import { el, help, icon, seconds, setAttr, setText, svg } from "./dom.js";
import { HELP, REASONS } from "./words.js";

const FINE = 1000;

export function create(root, { trace, clock }) {
  const button = (name, label, action, keys) => el("button", { type: "button", class: "tool", "aria-label": label, title: `${label} (${keys})`, onclick: action }, icon(name));
  const first = button("first", "First step", () => clock.seek(0), "Home");
  const back = button("back", "One step back", () => clock.seek(clock.t - 1), "←");
  const play = button("play", "Play", () => clock.toggle(), "Space");
  const forward = button("forward", "One step forward", () => clock.seek(clock.t + 1), "→");
  const last = button("last", "Last step", () => clock.seek(trace.steps), "End");
  play.classList.add("main");
  const marks = svg("svg", { class: "marks", preserveAspectRatio: "none", viewBox: "0 0 1000 10", "aria-hidden": "true" }, svg("path", {}));
  const range = el("input", { type: "range", min: 0, max: FINE, step: 1, value: 0, "aria-label": "Playhead" });
  const reading = el("output", { class: "at" });
  const speed = el("select", { "aria-label": "Speed", title: "Speed ([ and ])", onchange: (event) => clock.setSpeed(Number(event.target.value)) },
    ...SPEEDS.map((value) => el("option", { value, text: { 0.25: "¼×", 0.5: "½×" }[value] ?? `${value}×` })));
  const unit = el("select", { "aria-label": "Unit of the time line", onchange: (event) => clock.setUnit(event.target.value) },
    ...UNITS.map((value) => el("option", { value, text: value })));
  const live = el("button", { type: "button", class: "live", onclick: () => clock.follow() }, el("i", { "aria-hidden": "true" }), el("span", { text: "live" }));
  root.append(el("div", { class: "transport", role: "group", "aria-label": "Time" },
    el("div", { class: "tools" }, first, back, play, forward, last),
    el("div", { class: "track-box" }, marks, range),
    reading,
    el("div", { class: "rates" }, speed, unit, help("Unit of the time line", ...HELP.units)),
    live));
  let ticks = "";

  range.addEventListener("input", () => clock.seek(clock.stepAt((Number(range.value) / FINE) * clock.length + 1e-9)));
  range.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10 }[event.key];
    if (move !== undefined) clock.seek(clock.t + move * (event.shiftKey ? 10 : 1));
    else if (event.key === "Home") clock.seek(0);
    else if (event.key === "End") clock.seek(trace.steps);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  /** A tick per step on the track; its height says how many tokens were written. */
  function drawTicks() {
    const key = `${trace.epoch}|${trace.steps}|${clock.unit}`;
    if (key === ticks) return;
    ticks = key;
    const most = Math.max(1, ...trace.written.map((cells) => cells.length));
    let path = "";
    for (let step = 1; step <= trace.steps; step++) {
      const x = ((clock.at(step) / (clock.length || 1)) * 1000).toFixed(1);
      path += `M${x} 10V${(10 - 2 - 8 * (trace.written[step].length / most)).toFixed(1)}`;
    }
    setAttr(marks.firstChild, "d", path || "M0 0");
  }

  function draw(t) {
    const none = trace.steps === 0;
    for (const node of [first, back, play, forward, last, range]) node.disabled = none;
    const running = clock.playing || clock.following;
    if (play.dataset.shows !== String(running)) {
      play.dataset.shows = String(running);
      play.replaceChildren(icon(running ? "pause" : "play"));
      setAttr(play, "aria-label", running ? "Pause" : "Play");
    }
    drawTicks();
    const share = clock.length ? clock.at(t) / clock.length : 0;
    const value = String(Math.round(share * FINE));
    if (range.value !== value) range.value = value;
    range.style.setProperty("--at", String(share));
    setAttr(range, "aria-valuetext", `step ${t} of ${trace.steps}`);
    setText(reading, reader(t));
    if (document.activeElement !== speed && speed.value !== String(clock.speed)) speed.value = String(clock.speed);
    if (document.activeElement !== unit && unit.value !== clock.unit) unit.value = clock.unit;
    live.classList.toggle("off", !trace.live);
    live.disabled = !trace.live;
    live.classList.toggle("on", trace.live && clock.following);
    setAttr(live, "aria-pressed", String(trace.live && clock.following));
    setAttr(live, "title", clock.following ? "Following the run as it goes on" : "Back to the newest step");
  }

  function reader(t) {
    const mark = t === trace.steps && trace.end ? REASONS[trace.end.reason] : "";
    const at = {
      step: `step ${t} of ${trace.steps}`,
      passes: `pass ${clock.at(t)} of ${clock.length}`,
      seconds: `${seconds(clock.at(t))} of ${seconds(clock.length)}`,
    }[clock.unit];
    return mark ? `${at} · ${mark}` : at;
  }

  return { draw, destroy() { root.replaceChildren(); } };
}
