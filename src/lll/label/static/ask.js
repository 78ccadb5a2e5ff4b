// One image, three suggestions.

import { askName, count, css, digit, digitAt, fill, h, mark, nameFault, percent, say } from "./dom.js";
import { keyName } from "./keys.js";
import { act, classAt, classes, get, nameOf, picture, server, unsent } from "./server.js";

let root;
let shown = null; // the question on the screen
let ahead = null; // the promise of the next one
let drawn = ""; // what the screen was drawn from
let turning = false; // answered, and the next one is not there yet: keys are not for this one
let begun = false; // something was answered, so keys are known

// Nothing is asked twice: neither what is on the screen nor what is answered and on its way.
const held = () => [...(shown ? [shown.image] : []), ...unsent()].join(",");

function fetchNext() {
  return get(`/api/ask?held=${held()}`).then((question) => {
    if (question) new Image().src = picture(question.image, "full");
    return question;
  });
}

async function next() {
  turning = true;
  const coming = ahead ?? fetchNext();
  ahead = null;
  try {
    shown = await coming;
  } catch {
    shown = null;
    setTimeout(next, 1000);
    return;
  }
  turning = false;
  draw();
  if (shown) {
    ahead = fetchNext();
    ahead.catch(() => {});
  }
}

export function open(main) {
  root = main;
  drawn = "";
  if (shown) draw();
  else if (!turning) next();
}

export function update() {
  // Names and counts may have changed; the question stays as it was asked.
  if (turning) return;
  if (shown === null && server.summary && server.summary.labelled + server.summary.marked + server.summary.broken < server.summary.images) next();
  else {
    draw();
    if (shown && !shown.suggestions.length && server.summary?.model) refresh(shown.image).catch(() => {});
  }
}

// The question as it stands now, where it is still the one that is shown.
async function refresh(image) {
  const again = await get(`/api/question/${image}`);
  if (shown?.image !== image) return;
  shown = again;
  drawn = "";
  draw();
}

function answer(op, about, words) {
  if (!shown || turning) return;
  begun = true;
  act(op, { images: [shown.image], ...about });
  say(words);
  next();
}

const label = (id) => answer("label", { class_id: id, asked: true }, `${nameOf(id)}`);
const labelAs = (name) => answer("label", { name, asked: true }, name);

async function notThis() {
  if (!shown?.suggestions.length || turning) return;
  const [id] = shown.suggestions[0];
  const { image } = shown;
  await act("not", { images: [image], class_id: id });
  await refresh(image);
  say(`Not ${nameOf(id)}.`);
}

function suggestion([id, share], at) {
  const place = classAt(id);
  if (place < 0) return null;
  const bar = h("span", { class: "bar", "aria-hidden": "true" });
  bar.style.width = css(share);
  return h(
    "li",
    {},
    h(
      "button",
      { type: "button", class: "suggestion", onclick: () => label(id) },
      bar,
      mark(place),
      h("span", { class: "name" }, nameOf(id)),
      h("span", { class: "share" }, percent(share)),
      h("kbd", {}, at ? digit(place) : "Enter"),
    ),
  );
}

function chip(one, at) {
  return h(
    "li",
    {},
    h(
      "button",
      { type: "button", class: "chip", onclick: () => label(one.id) },
      mark(at),
      h("span", { class: "name" }, one.name),
      h("kbd", {}, digit(at)),
    ),
  );
}

function newClass() {
  const first = Boolean(server.summary) && classes().length === 0;
  const input = h("input", { id: "new-class", autocomplete: "off", list: "class-names" });
  return h(
    "form",
    {
      class: first ? "new first" : "new",
      onsubmit: (event) => {
        event.preventDefault();
        const name = input.value.trim();
        const fault = nameFault(name);
        if (fault) return say(fault);
        input.blur();
        labelAs(name);
      },
    },
    h("label", { for: "new-class" }, first ? "What is this? Name the first class" : `Another class (${keyName("n")})`),
    h("span", { class: "row" }, input, h("button", {}, first ? "Begin" : "Add")),
    h("datalist", { id: "class-names" }, classes().map((one) => h("option", { value: one.name }))),
  );
}

// An image that does not come: it cannot be read, or the server is away and is asked again.
async function missing(image, question) {
  const answer = await fetch(image.src).catch(() => null);
  if (shown?.image !== question.image || !image.isConnected) return;
  if (answer?.status === 404) {
    say(`${question.path} cannot be read.`);
    next();
  } else setTimeout(() => (image.src = picture(question.image, "full")), 2000);
}

function draw() {
  if (!root || root.dataset.screen !== "ask") return;
  const key = JSON.stringify([shown, Boolean(server.summary), classes().map((one) => [one.id, one.name])]);
  if (key === drawn) return;
  const typing = document.activeElement?.id === "new-class" ? document.activeElement.value : null;
  drawn = key;
  if (!shown) {
    fill(
    root,
      h("h1", {}, "Ask"),
      h("p", { class: "empty" }, server.summary ? "Every image has an answer. See Progress for the labels, or Grid to look them over." : "Loading …"),
    );
    return;
  }
  const suggestions = shown.suggestions.map(suggestion).filter(Boolean);
  const image = h("img", { src: picture(shown.image, "full"), alt: `Image ${shown.path}` });
  // A small image is not blown up beyond what can be recognised.
  image.onload = () => (image.style.maxWidth = image.style.maxHeight = `${12 * Math.max(image.naturalWidth, image.naturalHeight)}px`);
  image.onerror = () => missing(image, shown);
  fill(
    root,
    h("h1", { class: "visually-hidden" }, "Ask"),
    h(
      "div",
      { class: "ask" },
      h("figure", {}, h("div", { class: "frame" }, image), h("figcaption", {}, shown.path)),
      h(
        "div",
        { class: "answers" },
        suggestions.length ? h("h2", {}, "Is it …") : null,
        suggestions.length ? h("ol", { class: "suggestions" }, suggestions) : null,
        classes().length ? h("h2", {}, "Classes") : null,
        classes().length ? h("ul", { class: "chips" }, classes().map(chip)) : null,
        newClass(),
        h(
          "div",
          { class: "row" },
          suggestions.length ? h("button", { type: "button", onclick: notThis }, "Not this ", h("kbd", {}, keyName("x"))) : null,
          h("button", { type: "button", onclick: skip }, "Skip ", h("kbd", {}, "Space")),
          h("button", { type: "button", onclick: unsure }, "Unsure ", h("kbd", {}, keyName("u"))),
        ),
      ),
    ),
  );
  const input = root.querySelector("#new-class");
  if (typing !== null) input.value = typing;
  if (typing !== null || (!begun && server.summary && !classes().length && document.activeElement === document.body)) input.focus();
}

const skip = () => answer("skip", {}, "Skipped");
const unsure = () => answer("unsure", {}, "Unsure");

export function key(event) {
  const { key: pressed } = event;
  if (/^[0-9]$/.test(pressed)) {
    const one = classes()[digitAt(pressed)];
    if (one) label(one.id);
    return Boolean(one);
  }
  const does = {
    Enter: () => shown?.suggestions.length && label(shown.suggestions[0][0]),
    x: notThis,
    " ": skip,
    u: unsure,
    n: () => root.querySelector("#new-class")?.focus(),
    "/": () => askName("Find a class", classes().map((one) => one.name), labelAs),
    s: () => shown && (location.hash = `#grid/similar/${shown.image}`),
  }[pressed.length === 1 ? pressed.toLowerCase() : pressed];
  if (!does) return false;
  does();
  return true;
}

export function undone() {
  // What was undone is asked again when its turn comes.
  if (!shown && !turning) next();
}

export const title = "Ask";
export const summaryLine = (summary) => `${count(summary.labelled, "label")}`;
