// The page around the player: light or dark, what a narrow window folds away, and what is wrong with a request (problems.js).

import { unfold } from "./unfold.js";

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

document.addEventListener("click", (event) => {
  const more = event.target.closest("#more");
  if (more) unfold(more.getAttribute("aria-expanded") !== "true");
});

function attach({ watch, props }) {
  let last = 0;
  watch("value", async () => {
    const { value } = props, own = ++last;
    if (!value) return;
    const { show } = await import("./problems.js");
    if (own === last) show(value); // else another came meanwhile, or it was taken back
  });
}

(window.noticeParts ??= []).forEach(attach);
window.noticeParts.push = attach;
