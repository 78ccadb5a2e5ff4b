// Many images of one group: accept all, fix some.

import { askName, brief, count, digit, digitAt, h, mark, number, percent, say, takenFault } from "./dom.js";
import { keyName } from "./keys.js";
import { Tiles } from "./tiles.js";
import { act, classAt, classes, get, nameOf, rows, server } from "./server.js";

const AWAY_MS = 1000;

let root;
let data = null; // see `rows`
let version = -1;
let group = null; // its key, such as "guess/3"
let lasso = []; // what the map's lasso holds
let least = 0; // of a guess's probability, in percent
let waits = false; // it is being read
let again = null; // and is to be read once more
let known = []; // the groups that hold something

const tiles = new Tiles({ describe, moved: () => bar() });

export const title = "Grid";

export function choose(images) {
  lasso = images;
  location.hash = "#grid/lasso";
}

export async function open(main, parts) {
  root = main;
  group = parts.length ? parts.join("/") : group;
  root.replaceChildren(
    h("h1", { class: "visually-hidden" }, "Grid"),
    h("div", { class: "bar", id: "bar" }),
    tiles.node,
    h("p", { class: "hint" }, "Arrows move, Space or a click selects, Shift selects a range, digits label what is selected. Enter accepts the rest."),
  );
  version = -1;
  await load(true);
  tiles.node.focus();
}

export function update() {
  if (root?.dataset.screen === "grid" && server.summary.version !== version) load(false);
}

// Null where the server is away, which its banner says; nothing where it has no answer.
const asked = (answer) => answer.catch((fault) => (fault instanceof TypeError ? null : []));
const later = (anew) => void setTimeout(() => root?.dataset.screen === "grid" && load(anew), AWAY_MS);

async function load(anew) {
  if (waits) {
    again = { anew: anew || again?.anew };
    return;
  }
  waits = true;
  try {
    const at = server.summary?.version ?? 0;
    const found = await rows().catch(() => null);
    if (!found) return later(anew);
    data = found;
    known = groups();
    if (!known.some(([key]) => key === group)) {
      group = known[0]?.[0] ?? null;
      anew = true;
    }
    const images = await imagesOf(group);
    if (!images) return later(anew);
    version = at;
    // What is selected among guesses is what is wrong there.
    tiles.node.classList.toggle("wrong", guessed() !== null);
    // While somebody looks, images do not jump about: they only go.
    if (anew) tiles.set(images);
    else {
      const still = new Set(images);
      const gone = new Set(tiles.images.filter((image) => !still.has(image)));
      if (gone.size || !tiles.images.length) tiles.images.length ? tiles.drop(gone) : tiles.set(images);
      else tiles.later();
    }
    bar();
  } finally {
    waits = false;
    const left = again;
    again = null;
    if (left) load(left.anew);
  }
}

// Keys and names of the groups that hold something.
function groups() {
  const { labels, guesses, marks } = data;
  const guessed = new Map();
  const labelled = new Map();
  let unknown = 0;
  const marked = [0, 0, 0, 0];
  for (let i = 0; i < labels.length; i += 1) {
    if (labels[i] >= 0) labelled.set(labels[i], (labelled.get(labels[i]) ?? 0) + 1);
    else if (marks[i]) marked[marks[i]] += 1;
    else if (guesses[i] >= 0) guessed.set(guesses[i], (guessed.get(guesses[i]) ?? 0) + 1);
    else unknown += 1;
  }
  const out = [];
  for (const one of classes()) if (guessed.has(one.id)) out.push([`guess/${one.id}`, `Looks like ${one.name}`, guessed.get(one.id)]);
  if (unknown) out.push(["none", "No guess yet", unknown]);
  for (const one of classes()) if (labelled.has(one.id)) out.push([`label/${one.id}`, `Labelled ${one.name}`, labelled.get(one.id)]);
  if (marked[1]) out.push(["mark/1", "Skipped", marked[1]]);
  if (marked[2]) out.push(["mark/2", "Unsure", marked[2]]);
  const { doubtful, twins } = server.summary ?? {};
  if (doubtful) out.push(["doubtful", "Labels that may be wrong", doubtful]);
  if (twins) out.push(["twins", "Nearly the same", twins]);
  if (lasso.length) out.push(["lasso", "From the map", lasso.length]);
  if (group?.startsWith("similar/")) out.push([group, "Similar images", null]);
  return out;
}

async function imagesOf(key) {
  const { labels, guesses, sure, marks } = data;
  const [kind, id] = (key ?? "").split("/");
  if (kind === "lasso") return lasso;
  if (kind === "doubtful" || kind === "twins") return (await asked(get("/api/problems")))?.[kind];
  if (kind === "similar") return asked(get(`/api/similar/${id}`));
  const tests = {
    guess: (i) => labels[i] < 0 && !marks[i] && guesses[i] === Number(id) && sure[i] >= 2.55 * least,
    none: (i) => labels[i] < 0 && !marks[i] && guesses[i] < 0,
    label: (i) => labels[i] === Number(id),
    mark: (i) => labels[i] < 0 && marks[i] === Number(id),
  };
  const found = [];
  const test = tests[kind];
  for (let i = 0; test && i < labels.length; i += 1) if (test(i)) found.push(i);
  return kind === "guess" ? surestFirst(found, sure) : found;
}

// There are 256 degrees of `sure`: one pass, where a sort of all images takes as long as a frame.
function surestFirst(images, sure) {
  const by = Array.from({ length: 256 }, () => []);
  for (const image of images) by[255 - sure[image]].push(image);
  return by.flat();
}

function describe(image) {
  const label = data.labels[image];
  const guess = data.guesses[image];
  const id = label >= 0 ? label : guess;
  const share = percent(data.sure[image] / 255);
  const text = label >= 0 ? `Labelled ${nameOf(label)}` : guess >= 0 ? `Looks like ${nameOf(guess)}, ${share}` : "No guess yet";
  return {
    text: `Image ${image + 1}: ${text}`,
    badge: () => (id < 0 ? [] : [mark(classAt(id)), label >= 0 ? "✓" : share]),
  };
}

const guessed = () => (group?.startsWith("guess/") ? Number(group.split("/")[1]) : null);
const labelled = () => (group?.startsWith("label/") ? Number(group.split("/")[1]) : null);

async function labelThem(images, about, words) {
  if (!images.length) return;
  const gone = new Set(images);
  if (guessed() !== null || group === "none" || group?.startsWith("mark/")) tiles.drop(gone);
  else tiles.selected = new Set();
  const told = await act("label", { images, ...about });
  if (told) say(`${count(images.length, "image")}: ${words}. Ctrl+Z takes it back.`);
}

const label = (images, id) => labelThem(images, { class_id: id }, nameOf(id));
const chosen = () => (tiles.selected.size ? tiles.picked() : [tiles.current()].filter((image) => image !== undefined));

function accept() {
  const id = guessed();
  if (id !== null) label(tiles.others(), id);
}

async function markThem(op, about = {}) {
  const images = chosen();
  if (!images.length) return;
  tiles.drop(new Set(images));
  if (await act(op, { images, ...about })) say(`${count(images.length, "image")}: ${op}.`);
}

const names = () => classes().map((one) => one.name);
const nameThem = () => chosen().length && askName(`Label ${count(chosen().length, "image")}`, names(), (name) => labelThem(chosen(), { name }, name));
const split = () =>
  askName(`Split ${count(tiles.selected.size, "image")} off`, [], (name) => act("split", { images: tiles.picked(), class_id: labelled(), name }), { fault: takenFault(names()) });

function bar() {
  const box = root?.querySelector("#bar");
  if (!box || !data) return;
  const selected = tiles.selected.size;
  const id = guessed();
  const rest = tiles.images.length - selected;
  const parts = [];
  const select = h(
    "select",
    { id: "group", onchange: (event) => (location.hash = `#grid/${event.target.value}`) },
    known.map(([key, name, size]) => h("option", { value: key, selected: key === group }, size === null ? brief(name) : `${brief(name)} (${number(size)})`)),
  );
  parts.push(h("label", { for: "group" }, "Group"), select);
  if (id !== null) {
    const range = h("input", { id: "least", type: "range", min: "0", max: "99", value: String(least), "aria-valuetext": `${least} %` });
    range.onchange = () => {
      least = Number(range.value);
      load(true);
    };
    parts.push(h("label", { for: "least" }, `At least ${least} % sure`), range);
    parts.push(
      h(
        "button",
        { type: "button", class: "main", disabled: !rest, onclick: accept },
        `Accept ${selected ? "the other" : "all"} ${number(rest)} as ${brief(nameOf(id))} `,
        h("kbd", {}, "Enter"),
      ),
    );
  }
  parts.push(h("span", { class: "grow" }), h("span", { id: "selected" }, `${number(selected)} of ${number(tiles.images.length)} selected`));
  if (selected) {
    parts.push(h("button", { type: "button", onclick: nameThem }, "They are … ", h("kbd", {}, keyName("n"))));
    parts.push(h("button", { type: "button", onclick: () => markThem("unsure") }, "Unsure ", h("kbd", {}, keyName("u"))));
    if (id !== null) parts.push(h("button", { type: "button", onclick: () => markThem("not", { class_id: id }) }, `Not ${brief(nameOf(id))} `, h("kbd", {}, keyName("x"))));
    if (labelled() !== null) {
      parts.push(h("button", { type: "button", onclick: split }, "Split off …"));
      parts.push(h("button", { type: "button", onclick: () => markThem("unlabel") }, "Remove the label"));
    }
  }
  const focused = document.activeElement?.id;
  box.replaceChildren(...parts);
  if (focused === "group" || focused === "least") root.querySelector(`#${focused}`)?.focus();
}

export function key(event) {
  const { key: pressed } = event;
  const inTiles = document.activeElement === tiles.node || document.activeElement === document.body || document.activeElement?.id === "main";
  if (inTiles && tiles.key(event)) return true;
  if (event.ctrlKey || event.metaKey) return false;
  if (/^[0-9]$/.test(pressed)) {
    const one = classes()[digitAt(pressed)];
    if (one) label(chosen(), one.id);
    return Boolean(one);
  }
  const does = {
    Enter: accept,
    x: () => guessed() !== null && markThem("not", { class_id: guessed() }),
    u: () => markThem("unsure"),
    n: nameThem,
    "/": nameThem,
    s: () => tiles.current() !== undefined && (location.hash = `#grid/similar/${tiles.current()}`),
    Escape: () => {
      tiles.selected = new Set();
      tiles.later();
      bar();
    },
  }[pressed.length === 1 ? pressed.toLowerCase() : pressed];
  if (!does) return false;
  does();
  return true;
}
