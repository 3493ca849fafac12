// Keeping runs: saved in this browser, opened again, handed in as text, exported as files and pictures.

import { el, plural } from "./dom.js";
import { short } from "./link.js";
import { asPng, asText, picture } from "./picture.js";
import * as shelf from "./shelf.js";

const RUN_TYPE = "application/x-unmask-run", LONGEST = 32 * 1024 * 1024;

/** What a run can be taken away as: title, what it is good for, and file name or the work that makes it. */
const FILES = [
  ["Run file", "opens here again, whole and exact", "run.unmask"],
  ["Page that plays", "one HTML file, works without a server", "export.html"],
  ["Events", "JSON lines, one event each", "events.jsonl"],
  ["Scores", "CSV, a row per step and masked position", "scores.csv"],
  ["Code", "Python that repeats the run", "repeat.py"],
];

export function createKeep({ root, base, trace, clock, select, load, note }) {
  const list = el("ul", { class: "kept" }), said = el("p", { class: "kept-said", role: "status" });
  const pasted = el("textarea", { rows: 4, "aria-label": "A run as text", placeholder: "A run file or JSON lines, pasted here", spellcheck: "false" });
  const file = el("input", { type: "file", accept: ".unmask,.jsonl,.json,.txt", "aria-label": "A run file", onchange: readFile });
  const close = () => el("form", { method: "dialog" }, el("button", { class: "button", text: "Close" }));
  const shelfSheet = el("dialog", { class: "sheet kept-sheet", "aria-label": "Runs" }, el("h3", { text: "Runs kept in this browser" }), list,
    el("h3", { text: "Open a run" }), el("div", { class: "kept-open" }, file, pasted, el("button", { type: "button", class: "button", text: "Open the text", onclick: () => open(pasted.value) })), said, close());
  const options = el("ul", { class: "kept" });
  const files = el("dialog", { class: "sheet kept-sheet", "aria-label": "Export" }, el("h3", { text: "Export this run" }), options, close());
  root.append(shelfSheet, files);

  const name = () => `${trace.start.decoder_title ?? trace.start.decoder} · ${short(trace.start.request.prompt ?? "token ids")}`;
  const address = (what) => new URL(`runs/${encodeURIComponent(trace.start.run)}/${what}`, base);
  const say = (words, bad = false) => { said.textContent = words; said.classList.toggle("bad", bad); };

  async function save() {
    if (!trace.end) { note("This run is not over yet. Save it once it has ended.", "bad"); return; }
    try {
      const answer = await fetch(address("run.unmask"), { credentials: "same-origin" });
      if (!answer.ok) throw new shelf.StorageRefused("The server does not keep this run any more. Run it again, then save it.");
      const { start, end } = trace;
      const before = await shelf.get(start.run);
      await shelf.put({
        key: start.run, name: before?.name ?? name(), at: Date.now(), decoder: start.decoder, model: start.model.name,
        steps: trace.steps, verdict: end.verdict ? (end.verdict.right ? "right" : "wrong") : "", text: await answer.text(),
      });
      note(`Saved in this browser as “${before?.name ?? name()}”. “Runs” lists what is kept.`);
    } catch (error) { note(told(error), "bad"); }
  }

  function told(error) {
    return error instanceof shelf.StorageRefused ? error.message : "The server could not be reached. Nothing was changed.";
  }

  async function show() {
    say("");
    if (!shelfSheet.open) shelfSheet.showModal();
    try {
      const records = await shelf.listed();
      list.replaceChildren(...(records.length ? records.map(item) : [el("li", { class: "none", text: "None yet. “Save” keeps the run that is shown." })]));
    } catch (error) {
      list.replaceChildren(el("li", { class: "none", text: told(error) }));
    }
  }

  function item(record) {
    const facts = [record.model, plural(record.steps, "step"), record.verdict, `${Math.max(1, Math.round(record.size / 1024))} kB`, new Date(record.at).toLocaleString()];
    const row = el("li", {}, el("div", {}, el("b", { text: record.name }), el("span", { text: facts.filter(Boolean).join(" · ") })),
      el("div", { class: "kept-deeds" },
        el("button", { type: "button", class: "button", text: "Open", onclick: () => reopen(record.key) }),
        el("button", { type: "button", class: "quiet", text: "Rename", onclick: () => renaming(row, record) }),
        el("button", { type: "button", class: "quiet", text: "Delete", onclick: (event) => deleting(event.target, record) })));
    return row;
  }

  function renaming(row, record) {
    const entry = el("input", { value: record.name, maxlength: 120, "aria-label": "Name" });
    const done = async () => {
      try { await shelf.rename(record.key, entry.value.trim() || record.name); await show(); } catch (error) { say(told(error), true); }
    };
    entry.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); done(); } });
    row.firstChild.replaceChildren(entry, el("button", { type: "button", class: "button", text: "Keep the name", onclick: done }));
    entry.focus();
    entry.select();
  }

  async function deleting(button, record) {
    if (button.dataset.sure !== "yes") { button.dataset.sure = "yes"; button.textContent = "Really delete?"; return; }
    try { await shelf.remove(record.key); await show(); } catch (error) { say(told(error), true); }
  }

  async function reopen(key) {
    try {
      const record = await shelf.get(key);
      if (record) await open(record.text); else { say("Another tab has deleted this run.", true); await show(); }
    } catch (error) { say(told(error), true); }
  }

  async function readFile() {
    const [chosen] = file.files;
    if (!chosen) return;
    if (chosen.size > LONGEST) say(`${chosen.name} has ${chosen.size} bytes; the limit is ${LONGEST}.`, true);
    else await open(await chosen.text());
    file.value = "";
  }

  /** Hand a run's text to the server, which checks it; what is shown changes only when it is good. */
  async function open(text) {
    if (text.length > LONGEST) return say(`This text has ${text.length} characters; the limit is ${LONGEST}.`, true);
    say("Checking the run …");
    try {
      const answer = await fetch(new URL("runs", base), { method: "POST", body: text, headers: { "Content-Type": RUN_TYPE }, credentials: "same-origin" });
      const { run, message, detail } = await answer.json();
      if (!run) return say(message ?? detail ?? "This run could not be opened.", true);
      await load(run);
      pasted.value = "";
      shelfSheet.close();
      note(`Opened: ${name()}. It was recorded with the weights ${trace.start.model.weights_hash}.`);
    } catch { say("The server could not be reached. The run that is shown is untouched.", true); }
  }

  function exporting() {
    const files_ = FILES.map(([title, what, file_]) => entry(title, what, el("a", { class: "button", href: address(file_).href, download: file_, text: "Download", "aria-label": `Download: ${title}` })));
    const pictures = [
      ["Picture", `SVG of step ${clock.t}, for print and slides`, "canvas.svg", async () => drawn(false)],
      ["Picture", `PNG of step ${clock.t}`, "canvas.png", async () => asPng(picture(trace, clock.t, select.layer))],
      ["Moving picture", "SVG that plays the whole run, for slides", "run.svg", async () => drawn(true)],
    ].map(([title, what, file_, make]) => entry(title, what, el("button", { type: "button", class: "button", text: "Download", "aria-label": `Download: ${what}`, onclick: () => hand(file_, make) })));
    options.replaceChildren(...files_, ...pictures);
    files.showModal();
  }

  const drawn = (played) => new Blob([asText(picture(trace, clock.t, select.layer, { played }))], { type: "image/svg+xml" });

  function entry(title, what, deed) { return el("li", {}, el("div", {}, el("b", { text: title }), el("span", { text: what })), deed); }

  async function hand(name_, make) {
    try {
      const link = el("a", { download: name_, href: URL.createObjectURL(await make()) });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    } catch { note("This browser could not make the picture.", "bad"); }
  }

  return { save, show, exporting };
}
