// Pause: a live run stands between two steps until its visitor lets it go on, or makes it do one step.
// Breakpoints say beforehand where it is to stand: their sheet is fetched when it is first opened. Both live beside Stop; what
// stands is told above the lanes.

import { el, plural, setText } from "./dom.js";
import { createLater } from "./later.js";

/** `lanes()` are those shown; `ask` sends a wish to the server (null: there is none). */
export function createHold(root, { lanes, ask, announce }) {
  const pause = el("button", { type: "button", class: "button", id: "pause", text: "Pause", title: "Pause the live run (P)", disabled: true, onclick: toggle });
  const summary = el("summary", { class: "button", text: "Break at…", title: "Breakpoints of the next run and of the live one (B)" });
  const place = el("div", { class: "break-sheet" });
  const drawer = el("details", { class: "break-at", ontoggle: () => { if (drawer.open) sheet.view(); }, onkeydown: (event) => { if (event.key === "Escape" && drawer.open) { drawer.open = false; summary.focus(); event.stopPropagation(); } } },
    summary, place);
  const words = el("p"), left = el("span", { class: "left" });
  const go = el("button", { type: "button", class: "button", text: "Continue", title: "Let the run go on (P)", onclick: () => send("go_on") });
  const one = el("button", { type: "button", class: "button", text: "One step", title: "Make one step, then stand again (.)", onclick: () => send("one_step") });
  const line = el("div", { class: "held", role: "group", "aria-label": "Paused run", hidden: true }, words, left, go, one);
  root.append(line);
  let breaks = [], tell = null, standing = [null, null];
  const sheet = createLater(place, () => import("./breaks.js"), ({ create }) => create(place, breaks, changed));

  const attach = ({ element, props }) => {
    tell = (text) => { props.value = text; };
    element.querySelector(".hold").replaceChildren(pause, drawer);
    tell(JSON.stringify(breaks));
  };
  (window.holdParts ?? []).forEach(attach);
  window.holdParts = { push: attach };

  const running = () => lanes().filter((lane) => lane.trace.live);
  const paused = () => running().filter((lane) => standing[lane.number]?.paused);

  function changed() {
    setText(summary, breaks.length ? `Break at ${plural(breaks.length, "point")}` : "Break at…");
    tell?.(JSON.stringify(breaks));
    if (running().length) ask({ what: "", breaks });
  }

  function send(what) { if (running().length) ask({ what }); }
  function toggle() { send(paused().length ? "go_on" : "pause"); }

  /** A lane's run pauses or goes on, as the server says; null: there is another run. */
  function said(number, news) {
    standing[number] = news;
    if (news?.paused) announce.now(sentence(number));
    else if (news?.why) announce.tell(news.why);
  }

  function sentence(number) {
    const { step, why } = standing[number];
    return `${lanes().length > 1 ? `${"AB"[number]} is paused` : "Paused"} after step ${step}: ${why}.`;
  }

  function draw() {
    const held = paused(), live = running();
    pause.disabled = live.length === 0;
    setText(pause, held.length ? "Continue" : "Pause");
    if (held.length && line.hidden) {
      const most = Math.min(...held.map((lane) => standing[lane.number].left_s));
      setText(left, `It goes on by itself after ${Math.max(1, Math.round(most))} s. Pin a token to change it here.`);
    }
    line.hidden = held.length === 0;
    setText(words, held.map((lane) => sentence(lane.number)).join(" "));
    return held.length > 0;
  }

  return {
    draw, said, toggle, step: () => { if (paused().length) send("one_step"); },
    async open() { drawer.open = true; (await sheet.whole())?.focus(); },
    /** The lanes are traded. */
    exchange() { standing.reverse(); },
    breaks: () => breaks, holds: (number) => paused().some((lane) => lane.number === number),
  };
}
