// A view whose module is fetched when it is first looked at: a page that never opens it is lighter.

import { el } from "./dom.js";

/** `load()` resolves to a module, `create(module)` makes the view in `root`, `come()` is called once it is there. */
export function createLater(root, load, create, come) {
  let view = null, state = "unasked";

  async function fetch() {
    state = "asked";
    let module;
    try { module = await load(); } catch { return refuse(); }
    if (state === "gone") return;
    view = create(module);
    come();
  }

  function refuse() {
    const again = el("button", { type: "button", class: "button", text: "Try again", onclick: () => { root.replaceChildren(); fetch(); } });
    root.replaceChildren(el("p", { class: "why-refusal", role: "alert" }, el("span", { text: "This part of the page could not be fetched: the connection to the server is lost. " }), again));
  }

  return {
    /** The view, or null until it is there; asking for it fetches it. */
    view() {
      if (state === "unasked") fetch();
      return view;
    },
    get made() { return view; },
    destroy() { state = "gone"; view?.destroy(); },
  };
}
