// Screens by the address's hash, keys, undo, and what is going on.

import * as ask from "./ask.js";
import * as classesScreen from "./classes.js";
import { byId, count, dialog, h, number, percent, say } from "./dom.js";
import * as grid from "./grid.js";
import * as map from "./map.js";
import * as progress from "./progress.js";
import { act, banner, listen, server } from "./server.js";

const SCREENS = { ask, grid, map, classes: classesScreen, progress };
const GO = { a: "ask", g: "grid", m: "map", c: "classes", p: "progress" };
const WORDS = { label: "label", not: "'not this'", skip: "skip", unsure: "'unsure'", rename: "rename", merge: "merge", split: "split", class: "new class", name: "naming", reject: "rejection", unlabel: "removal" };
const KEYS = [
  ["1 … 9, 0", "label with a class by its number"],
  ["Enter", "accept the first suggestion; in the Grid, all that is not selected"],
  ["X", "not this"],
  ["Space", "skip; in the Grid, select"],
  ["U", "unsure"],
  ["N", "new class"],
  ["/", "find a class by name"],
  ["S", "similar images"],
  ["Arrows, Shift", "move, select a range"],
  ["L", "a box on the Map, by keys"],
  ["A G M C P", "Ask, Grid, Map, Classes, Progress"],
  ["Ctrl+Z, Shift+Ctrl+Z", "undo, redo"],
  ["?", "this help"],
];

let current = null;

function name() {
  const [screen, ...parts] = location.hash.slice(1).split("/");
  return screen in SCREENS ? [screen, parts] : ["ask", []];
}

function go() {
  const [screen, parts] = name();
  const main = byId("main");
  main.dataset.screen = screen;
  document.title = `${SCREENS[screen].title} – Little Label Learners`;
  for (const link of byId("tabs").querySelectorAll("a")) {
    if (link.hash === `#${screen}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (current !== screen) main.replaceChildren();
  current = screen;
  SCREENS[screen].open(main, parts);
}

function status(summary) {
  const { images, encoded, broken, labelled, busy, fault } = summary;
  const parts = [`${number(labelled)} of ${count(images, "image")} labelled`];
  if (encoded + broken < images) parts.push(`looking at the images: ${percent((encoded + broken) / images)}`);
  else if (busy) parts.push(busy === "discovering" ? "looking for classes …" : "learning …");
  byId("status").textContent = parts.join(" · ");
  if (fault) banner(fault);
}

async function reverse(op) {
  const told = await act(op);
  if (!told) return;
  const images = told.images ? ` of ${count(told.images, "image")}` : "";
  say(`${op === "undo" ? "Undone" : "Redone"}: ${WORDS[told.what] ?? told.what}${images}.`);
  ask.undone();
}

function help() {
  const on = localStorage["lll-keys"] !== "off";
  const box = h("input", { id: "keys-on", type: "checkbox", onchange: (event) => (localStorage["lll-keys"] = event.target.checked ? "on" : "off") });
  box.checked = on;
  dialog(
    "Keys",
    h("dl", { class: "keys" }, KEYS.map(([keys, does]) => h("div", {}, h("dt", {}, h("kbd", {}, keys)), h("dd", {}, does)))),
    h("p", {}, box, h("label", { for: "keys-on" }, " Single keys act at once")),
  );
}

function pressed(event) {
  if (event.defaultPrevented || byId("dialog").open) return;
  const { key, target } = event;
  const writing = target.matches("input:not([type=range], [type=checkbox]), textarea, select");
  const mod = event.ctrlKey || event.metaKey;
  if (mod && /^[zy]$/i.test(key) && !writing) {
    event.preventDefault();
    reverse(event.shiftKey || key.toLowerCase() === "y" ? "redo" : "undo");
    return;
  }
  if (writing) {
    if (key === "Escape") target.blur();
    return;
  }
  // A focused button or link keeps its own keys.
  if ((key === "Enter" || key === " ") && target.matches("button, a, summary")) return;
  if (target.matches("input[type=range]") && key.startsWith("Arrow")) return;
  if (event.altKey || (mod && key !== "a")) return;
  if (!mod && localStorage["lll-keys"] === "off" && key.length === 1 && key !== " ") return;
  if (SCREENS[current].key(event)) event.preventDefault();
  else if (!mod && key === "?") help();
  else if (!mod && GO[key.toLowerCase()]) location.hash = `#${GO[key.toLowerCase()]}`;
}

byId("tabs").append(...Object.entries(SCREENS).map(([screen, { title }]) => h("li", {}, h("a", { href: `#${screen}` }, title))));
byId("undo").onclick = () => reverse("undo");
byId("redo").onclick = () => reverse("redo");
byId("help").onclick = help;
addEventListener("hashchange", go);
addEventListener("keydown", pressed);
server.listeners.add((summary) => {
  status(summary);
  SCREENS[current].update(summary);
});
go();
listen();
