// The pixels of an attribution matrix: sizes, cells, axes. Hatched rows are not computed yet.

import { signedRgb } from "./diverging.js";
import { CIVIDIS, index, token } from "./palette.js";
import { hatch } from "./plot.js";

const LEFT = 76, TOP = 4, BOTTOM = 40, HIGH = [180, 360], CELL = 18, ROW = 16; // px

/** Paint `rows` by `width` and place `field` over them; `known(row)` gives `{scores, signed}` or nothing. Returns the size. */
export function paintMatrix({ box, field, canvas }, { rows, width, full, known, trace }) {
  const room = box.clientWidth - LEFT - 1, high = Math.max(HIGH[0], Math.min(HIGH[1], rows.length * ROW));
  const wide = Math.max(1, Math.min(CELL, Math.floor(room / Math.max(1, width)))), tall = Math.max(1, Math.min(CELL, Math.floor(high / Math.max(1, rows.length))));
  const size = { width: Math.min(room, wide * width), height: Math.min(HIGH[1], tall * rows.length) };
  box.style.height = `${size.height + TOP + BOTTOM}px`;
  Object.assign(field.style, { left: `${LEFT}px`, top: `${TOP}px`, width: `${size.width}px`, height: `${size.height}px` });
  const scale = window.devicePixelRatio || 1, pen = canvas.getContext("2d");
  canvas.width = Math.round(box.clientWidth * scale);
  canvas.height = Math.round((size.height + TOP + BOTTOM) * scale);
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  const across = size.width / width, down = size.height / rows.length, gap = Math.min(wide, tall) > 5 ? 1 : 0;
  pen.fillStyle = hatch(pen);
  pen.fillRect(LEFT, TOP, size.width, size.height);
  const nothing = token("surface");
  rows.forEach((row, at) => known(row)?.scores.forEach((value, position) => {
    const share = (value ?? 0) / full;
    pen.fillStyle = share === 0 ? nothing : `rgb(${(known(row).signed ? signedRgb(share) : CIVIDIS[index(Math.min(1, share))]).join(" ")})`;
    pen.fillRect(LEFT + position * across, TOP + at * down, Math.max(0.6, across - gap), Math.max(0.6, down - gap));
  }));
  pen.strokeStyle = token("line");
  pen.strokeRect(LEFT - 0.5, TOP - 0.5, size.width + 1, size.height + 1);
  axes(pen, { rows, width, trace, size, across, down });
  return size;
}

function axes(pen, { rows, width, trace, size, across, down }) {
  pen.font = '12px "IBM Plex Mono", ui-monospace, monospace';
  pen.fillStyle = token("muted");
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  const every = Math.max(1, Math.ceil(13 / Math.max(0.1, down)));
  const name = (row) => (row.id === trace.start.eos ? "∎" : trace.text(row.id).slice(0, 5).replace(/\s/g, "·"));
  rows.forEach((row, at) => { if (at % every === 0) pen.fillText(`${name(row)} ${row.position}`, LEFT - 6, TOP + (at + 0.5) * down); });
  pen.textAlign = "center";
  const step = [1, 2, 5, 10, 20, 50, 100, 200].find((n) => n * across >= 26) ?? 500;
  for (let position = 0; position < width; position += step) pen.fillText(String(position), LEFT + (position + 0.5) * across, TOP + size.height + 12);
  const border = LEFT + trace.start.prompt_length * across;
  pen.beginPath();
  pen.strokeStyle = token("ink");
  pen.moveTo(border, TOP);
  pen.lineTo(border, TOP + size.height + 6);
  pen.stroke();
  pen.textAlign = "left";
  pen.fillText("prompt | answer", Math.max(LEFT, border - 52), TOP + size.height + 30);
}
