// What is wrong with a request, shown at its fields.

import { unfold } from "./unfold.js";

function place(field, decoder) {
  if (field.startsWith("b.")) return document.getElementById(`field-b-${field.slice(2).replace("settings.", "settings-")}`) ?? place(field.slice(2), decoder);
  const name = field.startsWith("settings.") ? `settings-${decoder}-${field.slice(9)}` : field;
  return document.getElementById(`field-${name.replace("prompt_ids", "prompt")}`);
}

function clear() {
  document.querySelectorAll(".problem").forEach((element) => element.remove());
  document.querySelectorAll("[aria-errormessage]").forEach((input) => {
    input.removeAttribute("aria-errormessage");
    input.removeAttribute("aria-invalid");
  });
}

function sentence(text, id) {
  const element = document.createElement("p");
  element.className = "problem";
  element.id = id;
  element.setAttribute("role", "alert");
  element.textContent = text;
  return element;
}

function openSettings(root) {
  root.closest("details")?.setAttribute("open", "");
  const closed = root.closest("#settings")?.querySelector(":scope > button.label-wrap:not(.open)");
  closed?.click();
}

/** Put a sentence under its field; the fields of the bar are narrow, so theirs get the row below it. */
function put(root, text, id) {
  const bar = root.closest("#bar");
  const label = root.querySelector("[data-testid=block-info]")?.textContent.trim();
  if (bar) bar.append(sentence(`${label}: ${text}`, id));
  else root.append(sentence(text, id));
}

/** Show what the server says is wrong, in place of what it said before. */
export function show({ decoder, message, problems, quiet }) {
  clear();
  const rest = message ? [message] : [];
  let first = null;
  problems.forEach((problem, index) => {
    const root = place(problem.field, decoder);
    if (!root) return rest.push(`${problem.field}: ${problem.message}`);
    const id = `problem-${index}`;
    if (!quiet) unfold(true);
    put(root, problem.message, id);
    const input = root.querySelector("input:not([type=range]), textarea, select");
    input?.setAttribute("aria-invalid", "true");
    input?.setAttribute("aria-errormessage", id);
    if (!quiet) openSettings(root);
    first ??= input;
  });
  const bar = document.getElementById("bar");
  rest.forEach((text, index) => bar.append(sentence(text, `problem-rest-${index}`)));
  if (!quiet) first?.focus();
}
