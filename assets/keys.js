// Keyboard: single keys act when the focus is not in a field, and can be switched off.

const STORED = "unmask-keys";
const FIELDS = "input, textarea, select, button, a, summary, [contenteditable], [role=textbox], [role=listbox], [role=slider]";
const TYPED = "input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable], [role=textbox], [role=listbox]";

/** `lost()` says that something could not be fetched. */
export function listen({ root, trace, clock, select, next, hold, layers, panels, explain, lost }) {
  let on = true, coming = null, sheet = null; // the list of the keys, once it was looked at
  try { on = localStorage.getItem(STORED) !== "off"; } catch { /* storage may be switched off */ }
  const switched = { get on() { return on; }, set on(value) {
    on = value;
    try { localStorage.setItem(STORED, on ? "on" : "off"); } catch { /* kept for this visit only */ }
  } };

  async function showKeys() {
    coming ??= import("./keys_sheet.js").then(({ create }) => create(root, switched));
    try { sheet = await coming; } catch { coming = null; lost(); return; }
    if (!sheet.open) sheet.showModal();
  }

  const go = (panel) => { panel.scrollIntoView({ block: "nearest" }); panel.focus({ preventScroll: true }); };
  const acts = {
    " ": () => clock.toggle(), ArrowLeft: (event) => clock.move(event.shiftKey ? -10 : -1),
    ArrowRight: (event) => clock.move(event.shiftKey ? 10 : 1), Home: () => clock.seekValue(0), End: () => clock.toEnd(),
    "[": () => clock.faster(-1), "]": () => clock.faster(1), g: () => select.setGuesses(!select.guesses),
    d: () => select.setSigns(!select.signs), m: () => select.setBetween(!select.between), n: next,
    s: () => go(panels().scores), o: () => go(panels().order), c: () => go(panels().candidates),
    t: () => explain("attribution"), r: () => explain("routes"),
    p: () => hold.toggle(), ".": () => hold.step(), b: () => hold.open(),
    "/": () => document.querySelector("#field-prompt textarea, #field-prompt input")?.focus(), "?": showKeys,
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || sheet?.open || event.target.closest?.("dialog[open], [popover]")) return;
    if (event.key === "Escape" && root.contains(event.target)) { select.clear(); return; }
    const inside = root.contains(event.target) || event.target === document.body;
    if (!on || event.target.closest?.(TYPED)) return;
    if (event.target.matches?.("input[type=range]") && /^(Arrow|Home|End|Page)/.test(event.key)) return; // a slider's own
    if (event.target.closest?.(FIELDS) && (event.key === " " || !inside)) return;
    const layer = /^[1-9]$/.test(event.key) ? layers()[Number(event.key) - 1] : null;
    const act = layer ? () => select.setLayer(layer.name) : acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || (!trace.start && !["/", "?", "b"].includes(event.key))) return;
    event.preventDefault();
    act(event);
  });

  return { showKeys };
}
