// How an attribution is computed: controls drawn from what the catalogue declares about itself.

import { ask } from "./asking.js";
import { el, help, quoted } from "./dom.js";

const POINTS = [["auto", "as needed"], ["32", "32 points"], ["64", "64 points"], ["128", "128 points"], ["256", "256 points"]];

export function createControls(root, context, changed) {
  const chosen = { method: null, objective: "log_prob", baseline: "mask", n_steps: "auto", against: null };
  const menu = (name) => el("select", { id: `why-${name}`, onchange: (event) => set(name, event.target.value) });
  const selects = Object.fromEntries(Object.keys(chosen).map((name) => [name, menu(name)]));
  const words = el("input", { type: "checkbox", onchange: changed });
  const why = el("p", { class: "why-lacking" });
  const about = el("span", { class: "about" });
  const field = (name, label) => el("label", { class: "why-field", "data-field": name }, el("span", { text: label }), selects[name]);
  root.append(el("div", { class: "why-controls", role: "group", "aria-label": "How the attribution is computed" },
    field("method", "Method"), about, field("objective", "What is explained"), field("against", "rather than"), field("baseline", "Compared with"),
    field("n_steps", "Accuracy"), el("label", { class: "check" }, words, el("span", { text: "whole words" }))), why);
  selects.n_steps.append(...POINTS.map(([value, text]) => el("option", { value, text })));
  let offer = null, offered = "", asking = null, told = "";

  function set(name, value) {
    chosen[name] = value;
    selects[name].value = value;
    settle();
    changed();
  }

  /** Fetch once per run what can be asked; then fill the menus for the token in question. */
  function prepare(subject) {
    if (!subject) return;
    if (subject.run !== offered) { offered = subject.run; offer = null; fetchOffer(subject.run); }
    const known = context.trace.candidates(subject.cell, subject.step);
    const others = (known?.ids ?? []).filter((id) => id !== subject.token && id !== context.trace.start.mask);
    const key = `${subject.cell}|${subject.step}|${others.join()}`;
    if (key === told) return;
    told = key;
    const name = (id) => (id === context.trace.start.eos ? "end of sequence" : quoted(context.trace.text(id)));
    selects.against.replaceChildren(...others.map((id, rank) => el("option", { value: String(id), text: `${name(id)}${rank === 0 ? ", the runner-up" : ""}` })));
    chosen.against = others.length ? String(others[0]) : null;
    settle();
  }

  async function fetchOffer(run) {
    asking?.abort();
    const mine = (asking = new AbortController());
    try {
      offer = await ask(run, "explanations", {}, mine.signal);
      fill();
    } catch (error) {
      if (error.name === "AbortError") return;
      offer = { methods: [], objectives: [], baselines: [] }; // the request itself then says what is wrong
    }
    changed();
  }

  function fill() {
    const option = (item) => el("option", { value: item.name, disabled: Boolean(item.lacking), title: item.lacking || item.help,
      text: item.lacking ? `${item.title} (not offered)` : item.title });
    for (const [name, list] of [["method", offer.methods], ["objective", offer.objectives], ["baseline", offer.baselines]]) {
      selects[name].replaceChildren(...list.map(option));
      const usable = list.filter((item) => !item.lacking);
      if (!usable.some((item) => item.name === chosen[name])) chosen[name] = usable[0]?.name ?? null;
      selects[name].value = chosen[name];
    }
    why.replaceChildren(...offer.methods.filter((item) => item.lacking).map((item) => el("span", { text: `${item.lacking} ` })));
    settle();
  }

  const method = () => offer?.methods.find((item) => item.name === chosen.method);

  /** Switch off what the chosen method does not use. */
  function settle() {
    const way = method(), signed = way?.signed ?? true;
    for (const name of ["objective", "baseline"]) selects[name].disabled = !signed;
    selects.n_steps.disabled = !way?.complete;
    const contrast = chosen.objective === "contrast" && signed;
    selects.against.closest(".why-field").hidden = !contrast;
    if (way && about.dataset.of !== way.name) {
      about.dataset.of = way.name;
      const asks = offer.objectives.map((item) => `${item.title}: ${item.help}`), against = offer.baselines.map((item) => `${item.title}: ${item.help}`);
      about.replaceChildren(help(way.title, way.help, `Source: ${way.source}${way.mark === "reconstructed" ? " Reconstructed here, not the authors' own program." : ""}`,
        ...(way.signed ? [...asks, ...against] : [])));
    }
  }

  const values = () => ({
    method: chosen.method, objective: chosen.objective, baseline: chosen.baseline, n_steps: method()?.complete ? chosen.n_steps : "32",
    against: chosen.objective === "contrast" ? chosen.against : null,
  });

  return {
    prepare, set, values, words: () => words.checked,
    ready: (subject) => offer !== null && offered === subject.run,
    key: () => `${Object.values(values()).join("|")}|${words.checked}`,
  };
}
