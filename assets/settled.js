// How settled was the run? Favourites, distances and scores by position and step, with what each position came to beside it.

import { ask, Refused } from "./asking.js";
import { el, number, plural, probability, quoted, setText } from "./dom.js";
import { theme } from "./palette.js";
import { BARS, MAPS, placeOf, scoreMap } from "./settled_maps.js";

/** What the panel `panel` shows in `body` once it is open; `shared` is the lane's. Made when it is first opened. */
export function create(body, panel, { trace, select, lane }) {
  const summary = el("p", { class: "settled-summary" }), second = el("p", { class: "settled-summary" });
  const map = el("select", { "aria-label": "Map shows", onchange: redraw }), bar = el("select", { "aria-label": "Bars show", onchange: redraw });
  const legend = el("div", { class: "settled-legend" }), reading = el("p", { class: "reading" });
  const mapTitle = el("h4"), barTitle = el("h4"), mapHow = el("p", { class: "caption" }), barHow = el("p", { class: "caption" });
  const mapField = el("div", { class: "chart" }), barField = el("div", { class: "chart" }), table = el("div", { class: "settled-table", hidden: true });
  const asTable = el("button", { type: "button", class: "quiet", "aria-expanded": "false", text: "Show as table", onclick: () => {
    table.hidden = !table.hidden;
    asTable.setAttribute("aria-expanded", String(!table.hidden));
    setText(asTable, table.hidden ? "Show as table" : "Hide the table");
  } });
  const pictures = el("div", { class: "settled-grid", hidden: true },
    el("figure", {}, mapTitle, map, mapHow, mapField, legend),
    el("figure", {}, barTitle, bar, barHow, barField));
  body.append(summary, second, pictures, reading, asTable, table);

  let charts = null, found = null, regrets = null, asked = "", shown = "", stop = null, version = 0, now = 0;
  const byPosition = new Map();

  /** Let go of the run of before, so that nothing of it stands under another's name. */
  function forget() {
    stop?.abort();
    found = regrets = null;
    shown = asked = "";
    byPosition.clear();
    table.replaceChildren();
    pictures.hidden = true;
    setText(second, "");
    setText(reading, "");
  }

  async function fetchAll(run) {
    forget();
    asked = run;
    stop = new AbortController();
    const { signal } = stop;
    setText(summary, "Reading the run …");
    try {
      found = await ask(run, "trajectory", {}, signal, lane);
      pictures.hidden = false;
      for (const course of found.courses) byPosition.set(course.position, course);
      for (const [id, text] of Object.entries(found.texts)) if (!trace.texts.has(Number(id))) trace.texts.set(Number(id), text);
      setText(summary, found.sentence);
      setText(second, "Masking every written token once more, alone …");
      changed();
      regrets = await ask(run, "regret", {}, signal, lane);
      setText(second, regrets.sentence);
      changed();
    } catch (error) {
      if (error.name === "AbortError") return;
      setText(found ? second : summary, error instanceof Refused ? `${error.message} ${error.remedy}`.trim() : error.message);
      changed();
    }
  }

  function changed() { version += 1; if (found) fillTable(); draw(now); }
  function redraw() { version += 1; draw(now); }

  /** Where a cell ends up: the positions of the finished canvas are those of every row. */
  const place = (cell) => (cell === null || cell === undefined ? null : trace.position(cell, trace.steps));
  const cellAt = (position) => trace.order(trace.steps)[position] ?? null;

  function options(node, entries) {
    const key = entries.map(([name]) => name).join();
    if (node.dataset.key === key) return;
    node.dataset.key = key;
    const before = node.value;
    node.replaceChildren(...entries.map(([name, title]) => el("option", { value: name, text: title })));
    if (entries.some(([name]) => name === before)) node.value = before;
  }

  const maps = () => [...MAPS, ...[...trace.scores.values()].map(({ measure }) => scoreMap(measure))];

  async function build() {
    if (charts) return charts;
    charts = import("./chart.js").then((kit) => {
      let heard = null;
      const hear = (point) => {
        // The chart says late that the pointer left it: what another view points at by then stays.
        if (!point) { if (select.hover?.cell === heard) select.point(null); return; }
        heard = cellAt(point.y);
        select.point(heard, point.data.type === "bar" ? null : point.x);
      };
      const pick = (point) => { const cell = cellAt(point.y); if (cell !== null) select.togglePin(cell); };
      return {
        kit,
        map: kit.chart(mapField, { label: "A value by position and step; the values are in the table below", hear, pick }),
        bars: kit.chart(barField, { label: "A value by position; the values are in the table below", hear, pick }),
      };
    });
    return charts;
  }

  async function paint() {
    const { kit, map: left, bars: right } = await build();
    const view = maps().find((item) => item.name === map.value) ?? MAPS[0], side = BARS.find((item) => item.name === bar.value);
    const state = { kit, trace, found, regrets: regrets?.regrets ?? [], byPosition, cellAt, rows: trace.response(trace.steps).map(place) };
    const height = Math.max(260, Math.min(640, state.rows.length * 14 + 60));
    mapField.style.height = barField.style.height = `${height}px`;
    const range = [state.rows.at(-1) + 0.5, state.rows[0] - 0.5], y = kit.axis("position", { range, dtick: state.rows.length > 40 ? 10 : state.rows.length > 16 ? 5 : 2, tickformat: "d" });
    setText(mapTitle, view.says(trace));
    setText(mapHow, view.how);
    setText(barTitle, side.says);
    setText(barHow, side.how);
    legend.replaceChildren(...(view.legend?.() ?? []));
    const whole = (title, last) => kit.axis(title, { range: [0.5, last + 0.5], tickformat: "d", dtick: last > 40 ? 10 : last > 12 ? 5 : 1 });
    try {
      await Promise.all([
        left.show(view.data(state), { xaxis: whole("step", trace.steps), yaxis: y, margin: { l: 48, r: view.continuous ? 84 : 8, t: 8, b: 44 } }, `${trace.start.run}|map`),
        right.show(side.data(state), { xaxis: kit.axis(side.axis, { zeroline: true, rangemode: "tozero", ...side.x?.(state) }), yaxis: y, bargap: 0.25 }, `${trace.start.run}|${side.name}`),
      ]);
      panel.dataset.drawn = `${trace.start.run}|${view.name}|${side.name}|${regrets ? "regret" : ""}`;
    } catch (error) {
      setText(second, error.message);
    }
    marks(now);
  }

  async function marks(t) {
    if (!charts) return;
    const { map: left, bars: right } = await charts;
    const rows = { hovered: place(select.hover?.cell), pinned: place(select.pin) };
    left.mark({ x: t || null, ...rows });
    right.mark({ x: null, ...rows });
  }

  function read(t) {
    const cell = select.cell, course = byPosition.get(place(cell));
    if (cell === null || !course) return "Point at a cell or a bar to read its values; click it to pin the position.";
    const step = select.step ?? t, at = placeOf(course, step);
    const regret = regrets?.regrets.find((item) => item.position === course.position);
    const moment = at < 0 ? "" : ` · step ${step}: favourite ${quoted(trace.text(course.favourites[at]))}, KL to its last distribution ${number(course.kl[at], 3)} nats`;
    const writing = course.written ? `written ${quoted(trace.text(course.token))} at step ${course.written}` : "not written";
    const later = regret ? ` · regret ${number(regret.nats, 2)} nats` : "";
    return `position ${course.position}: settled at step ${course.settled}, ${plural(course.flips, "flip")}, ${writing}${later}${moment}`;
  }

  function fillTable() {
    const names = ["Position", "Token", "Settled at step", "Written at step", "Steps between", "Flips", "Regret, nats", "p then", "p now", "Preferred now"];
    const rows = found.courses.map((course) => {
      const regret = regrets?.regrets.find((item) => item.position === course.position);
      return [course.position, course.token === null ? "–" : quoted(trace.text(course.token)), course.settled, course.written ?? "–", course.waited ?? "–", course.flips,
        regret ? number(regret.nats, 3) : "–", regret ? probability(regret.then) : "–", regret ? probability(regret.now) : "–", regret?.favourite ? quoted(regret.favourite) : "–"];
    });
    table.replaceChildren(el("table", {}, el("caption", { text: "What each position came to" }),
      el("thead", {}, el("tr", {}, ...names.map((name) => el("th", { scope: "col", text: name })))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((value, at) => el(at ? "td" : "th", { text: String(value), scope: at ? null : "row" })))))));
  }

  function draw(t) {
    now = t;
    if (!trace.start) return;
    if (!trace.end) { setText(summary, "The run is still going on: its trajectory is shown once it has ended."); if (asked) forget(); return; }
    if (asked !== trace.start.run) { fetchAll(trace.start.run); return; }
    if (!found) return;
    options(map, maps().map((item) => [item.name, item.title]));
    options(bar, BARS.map((item) => [item.name, item.title]));
    const key = `${asked}|${version}|${theme.epoch}`;
    if (key !== shown) { shown = key; paint(); } else marks(t);
    setText(reading, read(t));
  }

  return { draw, destroy() { stop?.abort(); charts?.then(({ map: left, bars: right }) => { left.destroy(); right.destroy(); }); body.replaceChildren(); } };
}
