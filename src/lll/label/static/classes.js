// The classes: counts, names, merging; proposals to name.

import { askName, count, digit, refill, h, mark, number, percent, say, takenFault } from "./dom.js";
import { keyName } from "./keys.js";
import { act, begin, classes, picture, server } from "./server.js";

let root;
let drawn = "";

export const title = "Classes";

export function open(main) {
  root = main;
  drawn = "";
  update();
}

const MOST = 20; // to look for; more than that are not looked at on a page
let wanted = ""; // how many to look for, "" for as many as there seem to be

async function search() {
  const answer = await begin("discover", wanted ? { new: Number(wanted) } : {});
  say(answer.ok ? "Looking for new classes." : (await answer.json()).error);
}

function howMany() {
  const option = (value, text) => h("option", { value, selected: value === wanted }, text);
  const numbers = Array.from({ length: MOST }, (_, i) => option(String(i + 1), String(i + 1)));
  const chosen = (event) => (wanted = event.target.value);
  return h("label", {}, "How many? ", h("select", { onchange: chosen }, option("", "as many as there seem to be"), ...numbers));
}

const audited = ({ n, right, low, high }) => (n ? `${right} of ${n} (${percent(low)} to ${percent(high)})` : "–");

const names = (but) => classes().filter((one) => one.id !== but).map((one) => one.name);

const rename = (one) =>
  askName(`Rename ${one.name}`, [], (name) => act("rename", { class_id: one.id, name }), { value: one.name, fault: takenFault(names(one.id)) });

function merge(one) {
  const others = names(one.id);
  const into = (name) => classes().find((other) => other.name === name && other.id !== one.id);
  askName(`Merge ${one.name} into`, others, (name) => act("merge", { class_id: one.id, into: into(name).id }), {
    fault: (name) => (into(name) ? "" : `There is no class ${name} to merge it into.`),
  });
}

const add = () => askName("New class", [], (name) => act("class", { name }), { fault: takenFault(names()) });

function row(one, at) {
  const button = (text, does) => h("button", { type: "button", onclick: does, "aria-label": `${text}: ${one.name}` }, text);
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, mark(at), ` ${one.name}`),
    h("td", { class: "key-of" }, h("kbd", {}, digit(at) || keyName("/"))),
    h("td", { class: "number" }, number(one.count)),
    h("td", {}, audited(one.audit)),
    h(
      "td",
      { class: "row" },
      button("Rename", () => rename(one)),
      classes().length > 1 ? button("Merge", () => merge(one)) : null,
      button("See them", () => (location.hash = `#grid/label/${one.id}`)),
      button("Find more", () => (location.hash = `#grid/guess/${one.id}`)),
    ),
  );
}

function proposal(one) {
  const name = () => askName(`Name ${one.name}`, names(), (text) => act("name", { proposal: one.id, name: text }));
  return h(
    "section",
    { class: "proposal" },
    h("h3", {}, `${one.name}: ${count(one.count, "image")}`),
    h("div", { class: "sheet" }, one.sheet.map((image) => h("img", { src: picture(image, "thumb"), alt: `Image ${image + 1}` }))),
    h(
      "p",
      { class: "row" },
      h("button", { type: "button", class: "main", onclick: name }, "Name it …"),
      h("button", { type: "button", onclick: () => act("reject", { proposal: one.id }) }, "It is no class"),
    ),
  );
}

export function update() {
  if (root?.dataset.screen !== "classes" || !server.summary) return;
  const { proposals, busy } = server.summary;
  const notice = busy === "discovering" ? "Looking for new classes; this takes from seconds to minutes …" : server.summary.notice;
  const key = JSON.stringify([classes(), proposals, notice]);
  if (key === drawn) return;
  drawn = key;
  refill(
    root,
    h("h1", {}, "Classes"),
    classes().length
      ? h(
          "div",
          { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of classes" },
          h(
            "table",
            {},
            h("thead", {}, h("tr", {}, ["Class", "Key", "Labels", "Right in the audit", "Change"].map((text) => h("th", { scope: "col", class: { Key: "key-of", Labels: "number" }[text] }, text)))),
            h("tbody", {}, classes().map(row)),
          ),
        )
      : h("p", { class: "empty" }, "There is no class yet. Name the first one here, or on Ask while you look at an image."),
    h(
      "p",
      { class: "row" },
      h("button", { type: "button", onclick: add }, "New class … ", h("kbd", {}, keyName("n"))),
      h("button", { type: "button", disabled: !classes().some((one) => one.count), onclick: search }, "Look for classes nobody has named"),
      howMany(),
    ),
    notice ? h("p", { class: "hint" }, notice) : null,
    proposals.length ? h("h2", {}, "Proposed classes") : null,
    ...proposals.map(proposal),
  );
}

export function key(event) {
  if (event.key.toLowerCase() !== "n") return false;
  add();
  return true;
}
