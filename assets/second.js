// Lane B of the request: a switch, and when it is on the second run's model, decoder and settings.
// The inputs are drawn from what the decoders declare; nothing of them is fetched or built before.

import { el } from "./dom.js";

const OFF = "";

/** Returns `set(chosen)`: switch lane B on with `{model, decoder, settings}`, or off with null; it tells whether lane B is on then. */
export function attachSecond(base) {
  let attached;
  const part = new Promise((resolve) => { attached = resolve; });
  const attach = ({ element, props }) => attached(create(element.querySelector(".second"), base, (text) => { props.value = text; }));
  (window.secondParts ?? []).forEach(attach);
  window.secondParts = { push: attach };
  return { set: async (chosen) => (await part).set(chosen) };
}

/** What a run may be decoded with: models, and decoders with their settings. */
export async function choicesOf(base) {
  const answer = await fetch(new URL("choices", base), { credentials: "same-origin" });
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
}

function create(root, base, tell) {
  const check = el("input", { type: "checkbox", id: "field-b-on", onchange: () => { check.checked ? open() : close(); } });
  const body = el("div", { class: "second-body", hidden: true });
  root.append(el("label", { class: "second-switch" }, check, el("span", { text: "Compare with a second decoder" })), body);
  let opening = false, held = false; // Run was pressed before the choices came
  addEventListener("click", hold, true);
  let choices = null, model = null, decoder = null, given = new Map(); // decoder -> {setting: value}
  let locked = true; // settings that A has too are those of A

  async function open() {
    opening = true;
    held = false;
    body.hidden = false;
    body.replaceChildren(el("p", { class: "info", role: "status", text: "Fetching what can be compared …" }));
    try {
      choices = await choicesOf(base);
    } catch {
      check.checked = opening = false;
      body.replaceChildren(el("p", { class: "problem", role: "alert", text: "The choices could not be fetched from the server. Try again, or reload the page." }));
      return;
    }
    opening = false;
    if (!check.checked) return;
    model = choices.models.some((item) => item.name === model) ? model : chosenModel();
    decoder ??= choices.decoders[3]?.name ?? choices.decoders[0].name;
    draw();
    say();
    if (held) setTimeout(() => document.getElementById("run")?.click()); // once what was said has been taken
  }

  function close() {
    body.hidden = true;
    tell(OFF);
  }

  /** A run that is to be compared waits until it is known with what. */
  function hold(event) {
    if (!opening || !check.checked || !event.target.closest?.("#run")) return;
    event.stopImmediatePropagation();
    event.preventDefault();
    held = true;
  }

  async function set(chosen) {
    if (!chosen) {
      if (check.checked) { check.checked = false; close(); }
      return false;
    }
    ({ model, decoder } = chosen);
    locked = false; // what was chosen is what it was
    given.set(decoder, { ...chosen.settings });
    check.checked = true;
    await open();
    return check.checked;
  }

  /** The model of lane A: the menu shows its title. */
  function chosenModel() {
    const title = document.querySelector("#field-model input")?.value;
    return (choices.models.find((item) => item.title === title) ?? choices.models[0]).name;
  }

  function say() {
    const settings = given.get(decoder) ?? {};
    tell(JSON.stringify({ model, decoder, settings, locked }));
  }

  function draw() {
    const one = choices.decoders.find((item) => item.name === decoder);
    body.replaceChildren(
      el("div", { class: "second-bar" },
        el("span", { class: "letter", "aria-hidden": "true" }, el("i"), el("b", { text: "B" })),
        field("b-model", "Model of B", menu(choices.models, model, (value) => { model = value; say(); })),
        field("b-decoder", "Decoder of B", menu(choices.decoders.map((item) => ({ name: item.name, title: `${item.title} · ${item.mark}` })), decoder, (value) => { decoder = value; draw(); say(); document.getElementById("field-b-decoder")?.querySelector("select").focus(); }))),
      el("details", { id: "second-settings" },
        el("summary", { text: "Settings of B" }),
        el("label", { class: "second-lock" }, el("input", { type: "checkbox", id: "field-b-locked", checked: locked, onchange: (event) => { locked = event.target.checked; say(); } }),
          el("span", { text: "Lock: what is set for A, and B has too, is the same in B" })),
        el("div", { class: "second-settings" }, ...one.settings.map(setting))));
  }

  function menu(items, value, change) {
    const node = el("select", { onchange: () => change(node.value) }, ...items.map((item) => el("option", { value: item.name, text: item.title, selected: item.name === value })));
    return node;
  }

  function field(name, label, input, help = "") {
    return el("div", { id: `field-${name}`, class: "second-field" },
      el("label", {}, el("span", { text: label }), input), help ? el("p", { class: "info", text: help }) : null);
  }

  function setting(option) {
    const now = given.get(decoder)?.[option.name] ?? option.default;
    const set = (value) => {
      const settings = { ...given.get(decoder) };
      if (value === option.default || (value === null && !mayBeEmpty(option))) delete settings[option.name]; else settings[option.name] = value;
      given.set(decoder, settings);
      say();
    };
    return field(`b-settings-${option.name}`, option.title || option.name, inputOf(option, now, set), helpOf(option));
  }

  function inputOf(option, now, set) {
    if (option.kind === "choice") return menu(option.choices.map((name) => ({ name, title: name.replaceAll("_", " ") })), now, set);
    if (option.kind === "bool") {
      const box = el("input", { type: "checkbox", checked: now === true, onchange: () => set(box.checked) });
      return box;
    }
    const entry = el("input", { type: "text", autocomplete: "off", spellcheck: "false", value: now ?? "", placeholder: option.auto ? `auto: ${option.auto}` : option.nullable ? "off" : "" });
    // On every key, so that Run pressed from the field sees what was typed.
    entry.addEventListener("input", () => set(option.kind === "text" ? entry.value : read(entry.value)));
    // An empty field that means nothing by itself shows what stands for it.
    if (option.kind !== "text" && !mayBeEmpty(option)) entry.addEventListener("change", () => { if (!entry.value.trim()) entry.value = option.default ?? ""; });
    return entry;
  }

  function helpOf({ help, low, high, kind }) {
    if (low === null || kind === "choice") return help;
    return `${help} ${high === null ? `${low} or more.` : `${low} to ${high === "length" ? "the length" : high}.`}`;
  }

  return { set };
}

/** Whether an empty field is a value of its own: "off", or what is worked out. */
function mayBeEmpty({ nullable, auto, default: usual }) { return nullable || Boolean(auto) || usual === null; }

/** A typed number; what is none goes to the server as it is, which says what is wrong with it. */
function read(text) {
  const trimmed = text.trim();
  if (!trimmed) return null;
  return Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}
