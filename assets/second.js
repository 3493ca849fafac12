// Lane B of the request: a switch, and when it is on the second run's model, decoder and settings.
// The inputs (second_form.js) are drawn from what the decoders declare; nothing of them is fetched or built before.

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
  let openings = 0, opening = false, held = false; // Run was pressed before the choices came
  addEventListener("click", hold, true);
  // What B is decoded with: `given` holds the settings by decoder; while `locked`, those that A has too are those of A.
  const chosen = { model: null, decoder: null, given: new Map(), locked: true };

  async function open() {
    const own = ++openings; // one that is switched off, or asked for anew, is not finished any more
    opening = true;
    held = false;
    body.hidden = false;
    body.replaceChildren(el("p", { class: "info", role: "status", text: "Fetching what can be compared …" }));
    let choices, form;
    try {
      [choices, form] = await Promise.all([choicesOf(base), import("./second_form.js")]);
    } catch {
      if (own !== openings) return;
      check.checked = opening = false;
      body.replaceChildren(el("p", { class: "problem", role: "alert", text: "The choices could not be fetched from the server. Try again, or reload the page." }));
      return;
    }
    if (own !== openings) return;
    opening = false;
    if (!choices.models.some((item) => item.name === chosen.model)) chosen.model = chosenModel(choices);
    chosen.decoder ??= choices.decoders[3]?.name ?? choices.decoders[0].name;
    form.create(body, { choices, chosen, tell });
    if (held) setTimeout(() => document.getElementById("run")?.click()); // once what was said has been taken
    held = false;
  }

  function close() {
    openings += 1;
    opening = held = false;
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

  async function set(wanted) {
    if (!wanted) {
      if (check.checked) { check.checked = false; close(); }
      return false;
    }
    const { model, decoder } = wanted;
    Object.assign(chosen, { model, decoder, locked: false }); // what was chosen is what it was
    chosen.given.set(decoder, { ...wanted.settings });
    check.checked = true;
    await open();
    return check.checked;
  }

  /** The model of lane A: the menu shows its title. */
  function chosenModel(choices) {
    const title = document.querySelector("#field-model input")?.value;
    return (choices.models.find((item) => item.title === title) ?? choices.models[0]).name;
  }

  return { set };
}
