// Screens by the address's hash, keys, undo, and what is going on.

import * as ask from "./ask.js";
import * as classesScreen from "./classes.js";
import { byId, count, dialog, h, number, percent, say } from "./dom.js";
import * as grid from "./grid.js";
import { ACTIONS, FIXED, keyField, keyName, meaning, reset } from "./keys.js";
import * as map from "./map.js";
import * as progress from "./progress.js";
import { act, banner, listen, server } from "./server.js";

const SCREENS = { ask, grid, map, classes: classesScreen, progress };
const GO = { a: "ask", g: "grid", m: "map", c: "classes", p: "progress" };
const WORDS = { label: "label", not: "'not this'", skip: "skip", unsure: "'unsure'", rename: "rename", merge: "merge", split: "split", class: "new class", name: "naming", reject: "rejection", unlabel: "removal" };
let current = null;
let news = null; // what was found in the folder last

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
  byId("help").title = keyName("?");
  if (summary.news !== news && news !== null) say(`${summary.news}.`);
  news = summary.news;
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
  const line = (keys, does) => h("div", {}, h("dt", {}, keys), h("dd", {}, does));
  const back = h("button", { type: "button", onclick: () => (reset(), go(), help()) }, "As it was");
  dialog(
    "Keys",
    h("dl", { class: "keys" }, FIXED.map(([keys, does]) => line(keys.split(", ").map((key) => h("kbd", {}, key)), does)), Object.keys(ACTIONS).map((action) => line(keyField(action, go), ACTIONS[action]))),
    h("p", { class: "row" }, "Each field takes another key. ", back),
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
  const means = mod ? key : meaning(key);
  const { shiftKey, ctrlKey, metaKey } = event;
  if (SCREENS[current].key({ key: means, shiftKey, ctrlKey, metaKey })) event.preventDefault();
  else if (!mod && means === "?") {
    event.preventDefault(); // else it is written into the first field
    help();
  }
  else if (!mod && GO[means]) location.hash = `#${GO[means]}`;
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
