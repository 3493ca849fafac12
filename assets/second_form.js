// The inputs of lane B: its model, its decoder, and the settings that this one declares.

import { el } from "./dom.js";

/** Draw them in `body` from `choices`; what is chosen stands in `chosen`, and `tell(text)` says it to the page. */
export function create(body, { choices, chosen, tell }) {
  draw();
  say();

  function say() {
    const { model, decoder, locked } = chosen;
    tell(JSON.stringify({ model, decoder, settings: chosen.given.get(decoder) ?? {}, locked }));
  }

  function draw() {
    const one = choices.decoders.find((item) => item.name === chosen.decoder);
    body.replaceChildren(
      el("div", { class: "second-bar" },
        el("span", { class: "letter", "aria-hidden": "true" }, el("i"), el("b", { text: "B" })),
        field("b-model", "Model of B", menu(choices.models, chosen.model, (value) => { chosen.model = value; say(); })),
        field("b-decoder", "Decoder of B", menu(choices.decoders.map((item) => ({ name: item.name, title: `${item.title} · ${item.mark}` })), chosen.decoder, (value) => { chosen.decoder = value; draw(); say(); document.getElementById("field-b-decoder")?.querySelector("select").focus(); }))),
      el("details", { id: "second-settings" },
        el("summary", { text: "Settings of B" }),
        el("label", { class: "second-lock" }, el("input", { type: "checkbox", id: "field-b-locked", checked: chosen.locked, onchange: (event) => { chosen.locked = event.target.checked; say(); } }),
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
    const now = chosen.given.get(chosen.decoder)?.[option.name] ?? option.default;
    const set = (value) => {
      const settings = { ...chosen.given.get(chosen.decoder) };
      if (value === option.default || (value === null && !mayBeEmpty(option))) delete settings[option.name]; else settings[option.name] = value;
      chosen.given.set(chosen.decoder, settings);
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
}

/** Whether an empty field is a value of its own: "off", or what is worked out. */
function mayBeEmpty({ nullable, auto, default: usual }) { return nullable || Boolean(auto) || usual === null; }

/** A typed number; what is none goes to the server as it is, which says what is wrong with it. */
function read(text) {
  const trimmed = text.trim();
  if (!trimmed) return null;
  return Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}
