// A view whose module is fetched when it is first needed: a page that never needs it is lighter.

import { el } from "./dom.js";

/** `load()` resolves to a module, `create(module)` makes the view in `root`, `come()` is called once it is there. */
export function createLater(root, load, create, come = () => {}) {
  let view = null, coming = null, gone = false, refused = false;

  async function fetch() {
    let module;
    refused = false;
    try { module = await load(); } catch { return refuse(); }
    if (gone) return;
    view = create(module);
    come();
  }

  function refuse() {
    refused = true;
    const again = el("button", { type: "button", class: "button", text: "Try again", onclick: () => { root.replaceChildren(); coming = fetch(); } });
    root.replaceChildren(el("p", { class: "why-refusal", role: "alert" }, el("span", { text: "This part of the page could not be fetched: the connection to the server is lost. " }), again));
    root.hidden = false;
    come();
  }

  return {
    /** The view, or null until it is there; asking for it fetches it. */
    view() {
      coming ??= fetch();
      return view;
    },
    /** Resolves to the view once it is there, to null when it could not be fetched. */
    async whole() {
      await (coming ??= fetch());
      return view;
    },
    get made() { return view; },
    get refused() { return refused; },
    destroy() { gone = true; view?.destroy(); },
  };
}

/** A view like any other, whose module `load()` comes when `wanted(t)` first holds; nothing of it is there before. */
export function onDemand(root, load, shared, wanted) {
  const later = createLater(root, load, (module) => module.create(root, shared), () => draw(shared.clock.t));
  function draw(t) { if (later.made || wanted(t)) later.view()?.draw(t); }
  return { draw, whole: later.whole, destroy: later.destroy };
}

const USED = ["pointerdown", "keydown", "focusin", "wheel", "scroll"];

/**
 * Return `near()`: whether `root` has come into the window, or somebody has begun to use the page; `come()` is called when it does.
 * It is looked for from the first question on: before the canvas is there, everything below it seems to be in sight.
 */
export function nearness(root, come) {
  let near = false, looking = false;
  const sight = new IntersectionObserver(([entry]) => { if (entry.isIntersecting) arrived(); });
  function arrived() {
    near = true;
    sight.disconnect();
    for (const name of USED) removeEventListener(name, arrived, true);
    come();
  }
  for (const name of USED) addEventListener(name, arrived, true);
  return () => {
    if (!looking && !near) { looking = true; sight.observe(root); }
    return near;
  };
}
