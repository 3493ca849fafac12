// The clock as the visitor sees it: play, step, scrub, speed, unit, and the way back to the live end.

import { SPEEDS, UNITS } from "./clock.js";
import { el, help, icon, seconds, setAttr, setText, svg } from "./dom.js";
import { HELP, REASONS } from "./words.js";

const FINE = 1000;

export function create(root, { clock, chooseUnit }) {
  const button = (name, label, action, keys) => el("button", { type: "button", class: "tool", "aria-label": label, title: `${label} (${keys})`, onclick: action }, icon(name));
  const first = button("first", "First step", () => clock.seekValue(0), "Home");
  const back = button("back", "One step back", () => clock.move(-1), "←");
  const play = button("play", "Play", () => clock.toggle(), "Space");
  const forward = button("forward", "One step forward", () => clock.move(1), "→");
  const last = button("last", "Last step", () => clock.toEnd(), "End");
  play.classList.add("main");
  const marks = svg("svg", { class: "marks", preserveAspectRatio: "none", viewBox: "0 0 1000 10", "aria-hidden": "true" }, svg("path", {}), svg("path", { class: "of-b" }));
  const range = el("input", { type: "range", min: 0, max: FINE, step: 1, value: 0, "aria-label": "Playhead" });
  const reading = el("output", { class: "at" });
  const speed = el("select", { "aria-label": "Speed", title: "Speed ([ and ])", onchange: (event) => clock.setSpeed(Number(event.target.value)) },
    ...SPEEDS.map((value) => el("option", { value, text: { 0.25: "¼×", 0.5: "½×" }[value] ?? `${value}×` })));
  const unit = el("select", { "aria-label": "Unit of the time line", onchange: (event) => chooseUnit(event.target.value) },
    ...UNITS.map((value) => el("option", { value, text: value })));
  const live = el("button", { type: "button", class: "live", onclick: () => clock.follow() }, el("i", { "aria-hidden": "true" }), el("span", { text: "live" }));
  root.append(el("div", { class: "transport", role: "group", "aria-label": "Time" },
    el("div", { class: "tools" }, first, back, play, forward, last),
    el("div", { class: "track-box" }, marks, range),
    reading,
    el("div", { class: "rates" }, speed, unit, help("Unit of the time line", ...HELP.units)),
    live));
  let ticks = "";

  range.addEventListener("input", () => clock.seekValue((Number(range.value) / FINE) * clock.length + 1e-9));
  range.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10 }[event.key];
    if (move !== undefined) clock.move(move * (event.shiftKey ? 10 : 1));
    else if (event.key === "Home") clock.seekValue(0);
    else if (event.key === "End") clock.toEnd();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  /** A tick per step on the track; its height says how many tokens were written. Two lanes share the height. */
  function drawTicks() {
    const { lanes } = clock;
    const key = [clock.unit, clock.length, ...lanes.flatMap((lane) => [lane, clock.traces[lane].epoch, clock.traces[lane].steps])].join("|");
    if (key === ticks) return;
    ticks = key;
    const room = 10 / lanes.length;
    [...marks.children].forEach((path, lane) => {
      const row = lanes.indexOf(lane);
      setAttr(path, "d", row < 0 ? "M0 0" : ticksOf(lane, (row + 1) * room, room - (lanes.length > 1 ? 1 : 0)));
    });
  }

  function ticksOf(lane, foot, room) {
    const { steps, written } = clock.traces[lane];
    const most = Math.max(1, ...written.map((cells) => cells.length));
    let path = "M0 0";
    for (let step = 1; step <= steps; step++) {
      const x = ((clock.at(step, lane) / (clock.length || 1)) * 1000).toFixed(1);
      path += `M${x} ${foot}V${(foot - room * (0.2 + 0.8 * (written[step].length / most))).toFixed(1)}`;
    }
    return path;
  }

  function draw() {
    const none = clock.steps === 0;
    for (const node of [first, back, play, forward, last, range]) node.disabled = none;
    const running = clock.playing || clock.following;
    if (play.dataset.shows !== String(running)) {
      play.dataset.shows = String(running);
      play.replaceChildren(icon(running ? "pause" : "play"));
      setAttr(play, "aria-label", running ? "Pause" : "Play");
    }
    drawTicks();
    const share = clock.length ? Math.min(1, clock.value / clock.length) : 0;
    const value = String(Math.round(share * FINE));
    if (range.value !== value) range.value = value;
    range.style.setProperty("--at", String(share));
    setAttr(range, "aria-valuetext", reader());
    setText(reading, reader());
    if (document.activeElement !== speed && speed.value !== String(clock.speed)) speed.value = String(clock.speed);
    if (document.activeElement !== unit && unit.value !== clock.unit) unit.value = clock.unit;
    live.classList.toggle("off", !clock.live);
    live.disabled = !clock.live;
    live.classList.toggle("on", clock.live && clock.following);
    setAttr(live, "aria-pressed", String(clock.live && clock.following));
    setAttr(live, "title", clock.following ? "Following the run as it goes on" : "Back to the newest step");
  }

  function reader() {
    const { value, length, lanes } = clock;
    const ends = lanes.map((lane) => clock.traces[lane].end?.reason);
    const mark = clock.atEnd ? REASONS[ends.find((reason) => reason && reason !== "done")] : "";
    const at = {
      step: `step ${Math.floor(value)} of ${length}`,
      passes: `pass ${Math.floor(value)} of ${length}`,
      share: `${Math.floor(value * 100)} % written`,
      seconds: `${seconds(value)} of ${seconds(length)}`,
    }[clock.unit];
    return mark ? `${at} · ${mark}` : at;
  }

  return { draw, destroy() { root.replaceChildren(); } };
}
