// Asking the server about a run. A refusal is a message and a remedy, never a bare number.

const BASE = new URL("../", import.meta.url);
// Tells our works from those of another window, so that a newer one stops the older: it opens nothing.
const VISITOR = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** What the server says it cannot do, and what to do about it. */
export class Refused extends Error {
  constructor({ message, remedy = "", problems = [] }, status) {
    super(message);
    Object.assign(this, { remedy, problems, status });
  }
}

/** Ask for something of a run; a signal that aborts also ends the work on the server, and so does asking anew from the same `lane`. */
export async function ask(run, what, params, signal, lane = 0) {
  const answer = await request(run, what, params, signal, lane);
  return answer.json();
}

/** The same, where the answer comes line by line: `hear` gets every line but the last, which is returned. */
export async function askInParts(run, what, params, signal, hear) {
  const answer = await request(run, what, params, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", last = null;
  for (let part; !(part = await reader.read()).done; ) {
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (last) hear(last);
      last = JSON.parse(line);
      if (last.message) throw new Refused(last, 200);
    }
  }
  return last;
}

async function request(run, what, params, signal, lane = 0) {
  const url = new URL(`runs/${encodeURIComponent(run)}/${what}`, BASE);
  for (const [name, value] of Object.entries({ ...params, visitor: `${VISITOR}${lane || ""}` })) {
    if (value !== null && value !== undefined) url.searchParams.set(name, value);
  }
  let answer;
  try { answer = await fetch(url, { credentials: "same-origin", signal }); } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused({ message: "The server does not answer.", remedy: "Is it still running? Then try again." }, 0);
  }
  if (answer.ok) return answer;
  let told = null;
  try { told = await answer.json(); } catch { /* not from our own routes */ }
  throw new Refused(told?.message ? told : { message: `The server answered ${answer.status}.`, remedy: "Try again." }, answer.status);
}
