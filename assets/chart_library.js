// The only place that fetches Plotly: when the first chart is opened, from our own host, under our own name.

import { el } from "./dom.js";

const FILE = new URL("charts/plotly.js", import.meta.url).href;
let library = null;

/** The library, once; `window.Plotly` stays what it was, for others on the page have their own. */
export function plotly() {
  library ??= new Promise((done, fail) => {
    const before = window.Plotly;
    const script = el("script", { src: FILE });
    script.onload = () => {
      const ours = window.Plotly;
      window.Plotly = before;
      done(ours);
    };
    script.onerror = () => { library = null; script.remove(); fail(new Error("The chart library could not be loaded. Reload the page.")); };
    document.head.append(script);
  });
  return library;
}
