// The page around the player: light or dark, and what is wrong with a request, shown at its fields.

const THEME = "unmask-theme";

function isDark() {
  return document.body.classList.contains("dark");
}

function wanted() {
  try {
    return localStorage.getItem(THEME);
  } catch {
    return null; // storage may be switched off; the system's choice then stands
  }
}

function applyTheme() {
  const theme = wanted();
  if (theme && isDark() !== (theme === "dark")) {
    document.body.classList.toggle("dark", theme === "dark");
  }
  document.documentElement.style.colorScheme = isDark() ? "dark" : "light";
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("#theme-toggle")) return;
  try {
    localStorage.setItem(THEME, isDark() ? "light" : "dark");
  } catch {
    document.body.classList.toggle("dark");
  }
  applyTheme();
});

// The UI library sets the class when it starts and when the system changes: our choice comes after.
new MutationObserver(applyTheme).observe(document.body, { attributes: true, attributeFilter: ["class"] });
applyTheme();

// The library's menus answer Tab by staying half open; without that, losing the focus closes them.
addEventListener("keydown", (event) => {
  if (event.key === "Tab" && event.target.matches?.("[role=combobox]")) event.stopPropagation();
}, true);

/** Open or close the part of the request that a narrow window folds away. */
function unfold(open) {
  document.getElementById("request")?.classList.toggle("open", open);
  document.getElementById("more")?.setAttribute("aria-expanded", String(open));
}

document.addEventListener("click", (event) => {
  const more = event.target.closest("#more");
  if (more) unfold(more.getAttribute("aria-expanded") !== "true");
});

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

function show({ decoder, message, problems, quiet }) {
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

function attach({ watch, props }) {
  watch("value", () => props.value && show(props.value));
}

(window.noticeParts ??= []).forEach(attach);
window.noticeParts.push = attach;
