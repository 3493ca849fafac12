// Pause: a live run stands between two steps until its visitor lets it go on, or makes it do one step.
// Breakpoints say beforehand where it is to stand. Both live beside Stop; what stands is told above the lanes.

import { el, plural, setText } from "./dom.js";

const MOST = 16;
const KINDS = [["step", "step"], ["written", "position written"], ["above", "written with a score above"], ["below", "written with a score below"]];
const SCORES = ["confidence", "entropy", "margin", "drift", "consistency"];

/** `lanes()` are those shown; `ask` sends a wish to the server (null: there is none). */
export function createHold(root, { lanes, ask, announce }) {
  const pause = el("button", { type: "button", class: "button", id: "pause", text: "Pause", title: "Pause the live run (P)", disabled: true, onclick: toggle });
  const kind = el("select", { "aria-label": "Break at", onchange: shape }, ...KINDS.map(([value, text]) => el("option", { value, text })));
  const score = el("select", { "aria-label": "Score" }, ...SCORES.map((name) => el("option", { value: name, text: name })));
  const number = el("input", { type: "number", required: true, "aria-label": "Value" });
  const list = el("ul", { class: "breaks" }), none = el("p", { text: "None is set: a run goes through to its end." });
  const form = el("form", { onsubmit: add }, kind, score, number, el("button", { type: "submit", class: "button", text: "Set" }));
  const summary = el("summary", { class: "button", text: "Break at…", title: "Breakpoints of the next run and of the live one (B)" });
  const drawer = el("details", { class: "break-at", onkeydown: (event) => { if (event.key === "Escape" && drawer.open) { drawer.open = false; summary.focus(); event.stopPropagation(); } } },
    summary, el("div", { class: "break-sheet" }, el("p", { text: "A run pauses after the step that meets one of these." }), form, list, none));
  const words = el("p"), left = el("span", { class: "left" });
  const go = el("button", { type: "button", class: "button", text: "Continue", title: "Let the run go on (P)", onclick: () => send("go_on") });
  const one = el("button", { type: "button", class: "button", text: "One step", title: "Make one step, then stand again (.)", onclick: () => send("one_step") });
  const line = el("div", { class: "held", role: "group", "aria-label": "Paused run", hidden: true }, words, left, go, one);
  root.append(line);
  let breaks = [], tell = null, standing = [null, null];
  shape();

  const attach = ({ element, props }) => {
    tell = (text) => { props.value = text; };
    element.querySelector(".hold").replaceChildren(pause, drawer);
    tell(JSON.stringify(breaks));
  };
  (window.holdParts ?? []).forEach(attach);
  window.holdParts = { push: attach };

  const running = () => lanes().filter((lane) => lane.trace.live);
  const paused = () => running().filter((lane) => standing[lane.number]?.paused);

  function shape() {
    score.hidden = kind.value === "step" || kind.value === "written";
    number.step = score.hidden ? "1" : "any";
    number.min = kind.value === "step" ? "1" : kind.value === "written" ? "0" : "";
  }

  function add(event) {
    event.preventDefault();
    if (breaks.length >= MOST) return;
    const value = Number(number.value);
    breaks.push(score.hidden ? { kind: kind.value, at: value } : { kind: kind.value, score: score.value, value });
    number.value = "";
    changed();
    number.focus();
  }

  function changed() {
    list.replaceChildren(...breaks.map((item, at) => el("li", {}, el("span", { text: named(item) }),
      el("button", { type: "button", class: "quiet", text: "Remove", "aria-label": `Remove the breakpoint: ${named(item)}`, onclick: () => { breaks.splice(at, 1); changed(); (list.querySelectorAll("button")[at] ?? number).focus(); } }))));
    none.hidden = breaks.length > 0;
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
    open() { drawer.open = true; kind.focus(); },
    /** The lanes are traded. */
    exchange() { standing.reverse(); },
    breaks: () => breaks, holds: (number) => paused().some((lane) => lane.number === number),
  };
}

function named({ kind, at, score, value }) {
  return kind === "step" ? `step ${at}` : kind === "written" ? `position ${at} written` : `written with ${score} ${kind} ${value}`;
}
