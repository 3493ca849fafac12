// Links: what stands after "#" of an address, as a request and a view. No DOM.
//
// #v=1&model=…&decoder=…&set.steps=10&prompt=…&length=20&seed=0&weights=…&run=…&t=7&p=24&score=entropy&unit=passes
// and of a comparison, for lane B: &vs=…&b.model=…&b.decoder=…&b.set.steps=20
// #lesson=order&step=2
// Whatever follows "#" stays in the browser: it reaches no server's log. Types and limits of a
// request are judged where requests are judged, on the server; here only shape and size are.

export const VERSION = 1;
export const LONGEST = 16000; // characters of a link
const SETTING = "set.", NAME = /^[\w.-]{1,64}$/, RUN = /^[0-9a-f]{32}$/, HASH = /^[0-9a-f]{1,64}$/, COUNT = /^\d{1,6}$/;
const PLAIN = ["model", "decoder", "prompt", "ids", "length", "seed", "template"];

/**
 * Return the fragment for a request (`settings` by name), the weights and run it belongs to, and a view of it; of a
 * comparison also for what lane B is decoded with (`second`: `{model, decoder, settings}`), and its run `vs`.
 */
export function writeLink({ request, weights, run, second = null, vs = null, view = {} }) {
  const link = new URLSearchParams({ v: VERSION });
  for (const name of PLAIN) if (request[name] !== null && request[name] !== undefined) link.set(name, request[name]);
  for (const [name, value] of Object.entries(request.settings ?? {})) link.set(SETTING + name, value ?? "");
  if (weights) link.set("weights", weights);
  if (run) link.set("run", run);
  if (vs) link.set("vs", vs);
  if (second) {
    link.set("b.model", second.model);
    link.set("b.decoder", second.decoder);
    for (const [name, value] of Object.entries(second.settings ?? {})) link.set(`b.${SETTING}${name}`, value ?? "");
  }
  for (const name of ["t", "p", "score", "unit"]) if (view[name] !== null && view[name] !== undefined) link.set(name, view[name]);
  return `#${link}`;
}

/**
 * Return `{kind, …}` of a fragment: `none`, `refused` with `notices`, `lesson` with `lesson` and `step`,
 * or `run` with `request`, `run`, `second`, `vs`, `weights`, `view` and `notices` about what fell back.
 */
export function readLink(fragment) {
  const text = fragment.replace(/^#/, "");
  if (!text.includes("=")) return { kind: "none", notices: [] };
  if (text.length > LONGEST) return refused(`This link has ${text.length} characters; the limit is ${LONGEST}. Nothing of it was used.`);
  const link = new URLSearchParams(text), notices = [];
  if (link.has("lesson")) return lesson(link);
  const version = link.get("v") ?? String(VERSION);
  if (version !== String(VERSION)) return refused(`This link is of version ${short(version)}; this page reads version ${VERSION}. Nothing of it was used.`);
  const request = { settings: settingsOf(link, SETTING) };
  for (const name of PLAIN) if (link.has(name)) request[name] = link.get(name);
  const second = link.has("b.decoder") ? { decoder: link.get("b.decoder"), model: link.get("b.model"), settings: settingsOf(link, `b.${SETTING}`) } : null;
  const take = (name, form, what) => {
    const value = link.get(name);
    if (value === null || form.test(value)) return value;
    notices.push(`${what} “${short(value)}” of this link cannot be read and is left out.`);
    return null;
  };
  const count = (name, what) => { const value = take(name, COUNT, what); return value === null ? null : Number(value); };
  const view = { t: count("t", "The step"), p: count("p", "The position"), score: take("score", NAME, "The colour"), unit: take("unit", NAME, "The unit") };
  const run = take("run", RUN, "The run"), vs = take("vs", RUN, "The run beside it"), weights = take("weights", HASH, "The weights hash");
  if (!run && !("decoder" in request) && !("prompt" in request) && !("ids" in request)) return { kind: "none", notices: [] };
  return { kind: "run", request, run, second, vs, weights, view, notices };
}

function settingsOf(link, prefix) {
  return Object.fromEntries([...link].filter(([key]) => key.startsWith(prefix) && NAME.test(key.slice(prefix.length))).map(([key, value]) => [key.slice(prefix.length), value]));
}

/** Return the fragment that opens a lesson at a step, counted from 1. */
export function writeLesson(name, step) { return `#${new URLSearchParams({ lesson: name, step })}`; }

function lesson(link) {
  const name = link.get("lesson"), step = link.get("step") ?? "1";
  if (!NAME.test(name)) return refused(`There is no lesson “${short(name)}”.`);
  return { kind: "lesson", lesson: name, step: COUNT.test(step) ? Number(step) : 1, notices: [] };
}

function refused(notice) { return { kind: "refused", notices: [notice] }; }

/** A stranger's text, shortened to be quoted in a sentence. */
export function short(text) { return [...text].length > 40 ? `${[...text].slice(0, 40).join("")}…` : text; }
