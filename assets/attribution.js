// Attribution: which visible tokens pushed the choice of the pinned one, and by how much.

import { el } from "./dom.js";

export function create(root) {
  root.append(el("p", { class: "why-note" }));
  return { draw() {}, destroy() { root.replaceChildren(); } };
}
