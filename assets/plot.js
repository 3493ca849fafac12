// A drawing of position (down) by step (right) that heat.js and order.js share: size, axes, playhead, pointer.
// `paint(pen, size, from)` adds the steps from `from` on; the first of a drawing is 1.

import { el } from "./dom.js";
import { theme, token } from "./palette.js";

const LEFT = 44, BOTTOM = 28, TOP = 4;

export function plot(root, { trace, clock, select, horizon, label, aside = 0, paint, readout }) {
  const canvas = el("canvas", { role: "img", "aria-label": label });
  const future = el("i", { class: "plot-future" }), head = el("i", { class: "plot-head", style: "opacity: 0" });
  const row = el("i", { class: "plot-row", hidden: true }), mark = el("i", { class: "plot-pin", hidden: true });
  const field = el("div", { class: "plot-field" }, future, row, mark, head);
  const reading = el("p", { class: "reading" });
  const box = el("div", { class: "plot" }, canvas, field);
  root.append(box, reading);
  const size = { width: 0, height: 0, plotWidth: 0, plotHeight: 0, rows: 1, columns: 1, cell: 1 };
  let drawn = "", measured = "", painted = 0, visible = true, dragging = false, resized = 0;

  const resize = new ResizeObserver(() => { resized += 1; draw(clock.t); });
  resize.observe(box);
  const sight = new IntersectionObserver(([entry]) => { visible = entry.isIntersecting; if (visible) draw(clock.t); });
  sight.observe(box);

  function measure() {
    size.rows = Math.max(1, trace.response(trace.steps).length);
    size.columns = horizon();
    size.cell = Math.max(1, Math.min(18, Math.floor(Math.max(200, Math.min(340, size.rows * 14)) / size.rows)));
    size.plotHeight = size.rows > 340 ? 340 : size.rows * size.cell;
    size.height = size.plotHeight + TOP + BOTTOM;
    size.width = box.clientWidth;
    size.plotWidth = Math.max(40, size.width - LEFT - 1 - aside);
    box.style.height = `${size.height}px`;
    Object.assign(field.style, { left: `${LEFT}px`, top: `${TOP}px`, width: `${size.plotWidth}px`, height: `${size.plotHeight}px` });
  }

  const x = (step) => (step / size.columns) * size.plotWidth;
  const y = (rank) => (rank / size.rows) * size.plotHeight;

  function axes(pen) {
    pen.font = '12px "IBM Plex Mono", ui-monospace, monospace';
    pen.fillStyle = token("muted");
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    const first = trace.start.prompt_length;
    const every = [1, 2, 4, 5, 8, 16, 32, 64, 128].find((n) => (n / size.rows) * size.plotHeight >= 18) ?? 256;
    for (let rank = 0; rank < size.rows; rank += every) pen.fillText(String(first + rank), LEFT - 8, TOP + y(rank + 0.5));
    pen.textAlign = "center";
    const steps = [1, 2, 5, 10, 20, 50, 100, 200].find((n) => (n / size.columns) * size.plotWidth >= 34) ?? 500;
    for (let step = steps; step <= size.columns; step += steps) pen.fillText(String(step), LEFT + x(step - 0.5), TOP + size.plotHeight + 14);
    pen.strokeStyle = token("line");
    pen.lineWidth = 1;
    pen.strokeRect(LEFT - 0.5, TOP - 0.5, size.plotWidth + 1, size.plotHeight + 1);
  }

  function draw(t, layer = "") {
    if (!trace.start) return;
    const room = [trace.epoch, trace.response(trace.steps).length, horizon(), resized].join("|");
    if (room !== measured) { measured = room; measure(); } // out of sight too: nothing below moves when it is drawn
    if (!visible) return;
    const key = [room, layer || select.layer, theme.epoch].join("|");
    if (key !== drawn) { drawn = key; clear(); }
    if (trace.steps > painted) {
      const pen = pencil();
      pen.translate(LEFT, TOP);
      paint(pen, { ...size, x, y }, painted + 1);
      painted = trace.steps;
    }
    move(t);
  }

  function pencil() {
    const pen = canvas.getContext("2d"), scale = window.devicePixelRatio || 1;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    return pen;
  }

  /** Begin anew: later steps are then painted beside what is there, never all of them again. */
  function clear() {
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(size.width * scale);
    canvas.height = Math.round(size.height * scale);
    painted = 0;
    axes(pencil());
  }

  function move(t) {
    const column = Math.max(2, size.plotWidth / size.columns);
    head.style.width = `${column}px`;
    head.style.transform = `translateX(${t === 0 ? -1 : x(t - 1)}px)`;
    head.style.opacity = t === 0 ? "0" : "1";
    future.style.transform = `translateX(${x(t)}px) scaleX(${Math.max(0, size.plotWidth - x(t))})`;
    const cells = trace.response(trace.steps);
    place(row, cells.indexOf(select.hover?.cell));
    place(mark, cells.indexOf(select.pin));
    const text = select.cell === null ? "" : readout(select.cell, select.step ?? t);
    if (reading.textContent !== text) reading.textContent = text;
  }

  function place(node, rank) {
    node.hidden = rank < 0;
    if (rank < 0) return;
    node.style.height = `${Math.max(3, y(1))}px`;
    node.style.transform = `translateY(${y(rank)}px)`;
  }

  function under(event) {
    const at = field.getBoundingClientRect();
    const step = Math.ceil(((event.clientX - at.left) / at.width) * size.columns);
    const rank = Math.floor(((event.clientY - at.top) / at.height) * size.rows);
    return {
      step: Math.max(0, Math.min(trace.steps, step)),
      cell: trace.response(trace.steps)[Math.max(0, Math.min(size.rows - 1, rank))] ?? null,
    };
  }

  field.addEventListener("pointerdown", (event) => {
    dragging = true;
    field.setPointerCapture(event.pointerId);
    clock.pause();
    clock.seek(under(event).step);
  });
  field.addEventListener("pointermove", (event) => {
    if (!trace.start) return;
    const { step, cell } = under(event);
    if (dragging) clock.seek(step);
    select.point(cell, Math.max(1, step));
  });
  field.addEventListener("pointerup", () => { dragging = false; });
  field.addEventListener("pointercancel", () => { dragging = false; });
  field.addEventListener("pointerleave", () => { if (!dragging) select.point(null); });

  return { draw, destroy() { resize.disconnect(); sight.disconnect(); root.replaceChildren(); } };
}

/** Thin slanted lines: no score here. */
export function hatch(pen) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const brush = tile.getContext("2d");
  brush.strokeStyle = token("hair");
  brush.lineWidth = 1;
  brush.beginPath();
  for (const shift of [-8, 0, 8]) { brush.moveTo(shift, 8); brush.lineTo(shift + 8, 0); }
  brush.stroke();
  return pen.createPattern(tile, "repeat");
}
