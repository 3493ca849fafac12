// Routes: where the vector came from that the pinned token was read from.

import { el } from "./dom.js";

export function create(root) {
  root.append(el("p", { class: "why-note" }));
  return { draw() {}, destroy() { root.replaceChildren(); } };
}
