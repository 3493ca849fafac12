// Building elements. Text of models and visitors goes through `text`, never through markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

const ICONS = {
  play: "M5 3.5v11l9-5.5z", pause: "M5 3.5h3v11H5zM10 3.5h3v11h-3z",
  first: "M4 3.5h2v11H4zM14 3.5v11L7 9z", last: "M12 3.5h2v11h-2zM4 3.5v11L11 9z",
  back: "M12 3.5v11L5 9z", forward: "M6 3.5v11L13 9z",
  copy: "M6 2h8v10h-2v3H4V5h2zM7.5 3.5v7h5v-7zM5.500 6.500v7h5V12H6V6.500z",
  close: "M4.600 3.500 9 7.900l4.400-4.400 1.100 1.100L10.100 9l4.400 4.400-1.100 1.100L9 10.100l-4.400 4.400-1.100-1.100L7.900 9 3.500 4.600z",
};

export function icon(name) {
  return svg("svg", { viewBox: "0 0 18 18", class: "icon", "aria-hidden": "true" },
    svg("path", { d: ICONS[name], "fill-rule": "evenodd" }));
}

export function setText(node, text) { if (node.textContent !== text) node.textContent = text; }
export function setAttr(node, name, value) { if (node.getAttribute(name) !== value) node.setAttribute(name, value); }

let popovers = 0;

/** A round "?" that opens an explanation in plain language. */
export function help(title, ...paragraphs) {
  const id = `unmask-help-${++popovers}`;
  const panel = el("div", { id, class: "popover", popover: "auto", role: "dialog", "aria-label": title },
    el("h4", { text: title }), ...paragraphs.map((text) => el("p", { text })));
  const button = el("button", { type: "button", class: "help", popovertarget: id, "aria-label": `What is this? ${title}`, text: "?" });
  panel.addEventListener("toggle", (event) => { if (event.newState === "open") place(panel, button); });
  return el("span", { class: "helped" }, button, panel);
}

function place(panel, button) {
  const at = button.getBoundingClientRect();
  const size = panel.getBoundingClientRect();
  const below = at.bottom + 8 + size.height < innerHeight;
  panel.style.left = `${Math.max(8, Math.min(at.left - 16, innerWidth - size.width - 8))}px`;
  panel.style.top = `${Math.max(8, below ? at.bottom + 8 : at.top - size.height - 8)}px`;
}

/** Numbers as they are read: fixed digits, no exponent. */
export function number(value, digits = 2) {
  return Number.isFinite(value) ? value.toFixed(digits) : "–";
}

/** A value of 0 to 1 with three digits everywhere: what is not certain never reads as 0 or 1. */
export function probability(value) {
  if (!Number.isFinite(value)) return "–";
  if (value > 0 && value < 0.001) return "<.001";
  if (value < 1 && value >= 0.9995) return ">.999";
  return value >= 1 ? "1" : value.toFixed(3).replace(/^0/, "");
}

/** A value of a measure in its unit. */
export function reading({ unit }, value) {
  return unit === "nats" ? `${number(value, 3)} nats` : probability(value);
}

export function seconds(value) {
  return value < 10 ? `${value.toFixed(2)} s` : `${value.toFixed(1)} s`;
}

export function plural(count, one, many = `${one}s`) { return `${count} ${count === 1 ? one : many}`; }

/** A token as it is named in sentences. */
export function quoted(text) { return `“${text.replace(/\n/g, "⏎")}”`; }
