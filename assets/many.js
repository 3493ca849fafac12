// The form of many runs: what was asked for goes out as JSON, and lines of JSON come back while the runs go on.

import "./leaf.js";
import { el, number, plural, probability } from "./dom.js";
import { drawAll } from "./many_charts.js";

const BASE = new URL("../", import.meta.url);
const at = (id) => document.getElementById(id);
const form = at("many-form"), status = at("many-status"), bar = at("many-progress"), results = at("many-results");
const run = at("many-run"), stop = at("many-stop"), body = at("many-table").tBodies[0];
let csvLink = null;

const value = (text) => (text.trim() === "" ? null : Number.isNaN(Number(text)) ? text : Number(text));
const field = (name) => form.querySelector(`[data-field="${CSS.escape(name)}"]`);
// By name, not as a property: "length" is a property of every list.
const entry = (name) => form.elements.namedItem(name);
const settingsOf = () => form.querySelector(`.settings-of[data-decoder="${entry("decoder").value}"]`);
const varies = () => entry("vary").value;

/** The settings that were changed from their defaults. */
function settings() {
  const given = {};
  for (const input of settingsOf().querySelectorAll("[data-setting]")) {
    const { setting, kind } = input.dataset;
    const shown = kind === "bool" ? String(input.checked) : input.value;
    if (shown === input.dataset.default) continue;
    given[setting] = kind === "bool" ? input.checked : kind === "choice" || kind === "text" ? shown : value(shown);
  }
  return given;
}

function asked() {
  const what = varies() === "seeds" ? "prompt" : "task";
  const texts = Object.fromEntries(["model", "decoder", what].map((name) => [name, entry(name).value]));
  const numbers = Object.fromEntries(["length", "seed", "runs"].map((name) => [name, value(entry(name).value)]));
  return { ...texts, ...numbers, settings: settings() };
}

function clear() {
  form.querySelectorAll(".problem").forEach((node) => node.remove());
  form.querySelectorAll("[aria-invalid]").forEach((node) => { node.removeAttribute("aria-invalid"); node.removeAttribute("aria-errormessage"); });
}

function refuse({ problems = [], message = "" }) {
  let first = null;
  const rest = message ? [message] : [];
  problems.forEach((problem, index) => {
    const named = problem.field.replace("prompt_ids", "prompt");
    const label = problem.field.startsWith("settings.") ? settingsOf().querySelector(`[data-field="${CSS.escape(problem.field)}"]`) : field(named);
    if (!label) return rest.push(`${problem.field}: ${problem.message}`);
    const id = `many-problem-${index}`, input = label.querySelector("input, select, textarea");
    label.append(el("span", { id, class: "problem", role: "alert", text: problem.message }));
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-errormessage", id);
    if (label.closest("details")) label.closest("details").open = true;
    first ??= input;
  });
  say(rest.join(" ") || "Nothing was run: see the fields.", true);
  first?.focus();
}

function say(text, bad = false) { status.textContent = text; status.classList.toggle("bad", bad); }

function busy(on) {
  run.disabled = on;
  stop.disabled = !on;
  bar.hidden = !on;
  form.dataset.state = on ? "running" : "done";
}

async function begin() {
  clear();
  body.replaceChildren();
  results.hidden = true;
  summaries(false);
  busy(true);
  bar.removeAttribute("value");
  say("Starting …");
  try {
    const answer = await fetch(new URL("many", BASE), { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked()) });
    if (!answer.ok) refuse(await answer.json());
    else for await (const line of linesOf(answer.body)) take(line);
  } catch {
    say("The connection was lost. What had arrived stays; run again when it is back.", true);
  }
  busy(false);
}

/** What sums the runs up belongs to a whole batch; until one is whole, only its rows are shown. */
function summaries(on) {
  for (const part of [...results.children].slice(0, -1)) part.hidden = !on;
}

async function* linesOf(stream) {
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  let rest = "";
  for (let part; !(part = await reader.read()).done; ) {
    const pieces = (rest + decoder.decode(part.value, { stream: true })).split("\n");
    rest = pieces.pop();
    for (const piece of pieces) yield JSON.parse(piece);
  }
}

function take(line) {
  if (line.kind === "row") return row(line);
  if (line.kind === "refused") return refuse(line);
  if (line.kind === "result") return show(line);
  bar.max = line.of;
  bar.value = line.done;
  say(line.ahead ? `${plural(line.ahead, "run")} before yours …` : `${line.done} of ${line.of} runs over, ${line.running} running …`);
}

function row(line) {
  const verdict = line.right === null ? (line.reason === "done" ? "–" : line.reason) : line.right ? "✓ right" : "✗ wrong";
  const cells = [line.seed, null, verdict, line.steps, line.passes, number(line.tau ?? NaN), number(line.displacement ?? NaN, 1), probability(line.scores.confidence ?? NaN)]
    .map((text) => el("td", { text: text === null ? "" : String(text) }));
  cells[1].append(el("code", { text: line.answer }));
  if (varies() !== "seeds") cells[1].append(el("small", { text: line.prompt }));
  if (line.why) cells[2].title = line.why;
  const made = el("tr", { "data-number": String(line.number) }, el("th", { scope: "row", text: String(line.number) }), ...cells);
  // Runs end in any order; the table keeps theirs.
  const after = [...body.rows].find((other) => Number(other.dataset.number) > line.number);
  body.insertBefore(made, after ?? null);
  results.hidden = false;
}

function show(line) {
  at("many-sentences").replaceChildren(...line.sentences.map((text) => el("li", { text })));
  if (csvLink) URL.revokeObjectURL(csvLink);
  csvLink = URL.createObjectURL(new Blob([line.csv], { type: "text/csv" }));
  Object.assign(at("many-csv"), { href: csvLink, hidden: false });
  summaries(true);
  results.hidden = false;
  at("many-places").tBodies[0].replaceChildren(...line.places.map(place));
  drawAll(line);
  say(line.stopped ? `Stopped: ${plural(body.rows.length, "run")} of ${bar.max} were over and are shown.` : `${plural(body.rows.length, "run")} over.`);
}

function place({ position, step }) {
  const numbers = step ? [number(step.mean), number(step.deviation), step.low, step.high, step.count] : ["–", "–", "–", "–", 0];
  return el("tr", {}, el("th", { scope: "row", text: String(position) }), ...numbers.map((text) => el("td", { text: String(text) })));
}

function vary() {
  field("prompt").hidden = varies() !== "seeds";
  field("task").hidden = varies() === "seeds";
  if (varies() !== "seeds") suit();
}

/** A task brings the model that was trained on it and the length that it needs. */
function suit() {
  const { model, length } = entry("task").selectedOptions[0].dataset;
  if ([...entry("model").options].some((option) => option.value === model)) entry("model").value = model;
  entry("length").value = length;
  fit();
}

/** Grey out the decoders that the model cannot run, each with its reason; nothing is judged where that cannot be asked. */
async function fit() {
  const asked = entry("model").value;
  let reasons = {};
  try {
    const answer = await fetch(new URL(`many/unfit?model=${encodeURIComponent(asked)}`, BASE));
    if (answer.ok) reasons = await answer.json();
  } catch { /* the connection is lost: Run will say so */ }
  if (asked !== entry("model").value) return;
  const options = [...entry("decoder").options];
  for (const option of options) {
    option.dataset.title ??= option.text;
    const reason = reasons[option.value];
    option.disabled = Boolean(reason);
    option.text = reason ? `${option.dataset.title}: ${reason}` : option.dataset.title;
  }
  const chosen = entry("decoder").selectedOptions[0];
  at("many-unfit").textContent = "";
  if (!chosen.disabled) return;
  entry("decoder").value = options.find((option) => !option.disabled).value;
  at("many-unfit").textContent = `${chosen.dataset.title} ${reasons[chosen.value]} Another one is chosen.`;
  showSettings();
}

function showSettings() {
  for (const group of form.querySelectorAll(".settings-of")) group.hidden = group.dataset.decoder !== entry("decoder").value;
}

form.addEventListener("submit", (event) => { event.preventDefault(); if (!run.disabled) begin(); });
stop.addEventListener("click", () => { stop.disabled = true; fetch(new URL("many/stop", BASE), { method: "POST" }).catch(() => say("The connection was lost.", true)); });
entry("vary").forEach((choice) => choice.addEventListener("change", vary));
entry("task").addEventListener("change", suit);
entry("model").addEventListener("change", fit);
entry("decoder").addEventListener("change", () => { at("many-unfit").textContent = ""; showSettings(); });
vary();
fit();
document.documentElement.dataset.unmask = "ready";
