// Which key does what. A person may give an action another key; this browser keeps it.

import { h, say } from "./dom.js";

const STORE = "lll-keymap";

// Actions by the key they have unless it was changed, and what they do.
export const ACTIONS = {
  x: "not this",
  u: "unsure",
  n: "new class",
  "/": "find a class by name",
  s: "similar images",
  l: "a box on the Map, by keys",
  a: "Ask",
  g: "Grid",
  m: "Map",
  c: "Classes",
  p: "Progress",
  "?": "this help",
};

// Keys that stay as they are.
export const FIXED = [
  ["1 … 9 0", "label with a class by its number"],
  ["Enter", "accept the first suggestion; in the Grid, all that is not selected"],
  ["Space", "skip; in the Grid, select"],
  ["Arrows, Shift", "move; select a range"],
  ["Ctrl+Z, Shift+Ctrl+Z", "undo, redo"],
];

function read() {
  try {
    const found = JSON.parse(localStorage[STORE] ?? "{}");
    return Object.fromEntries(Object.entries(found).filter(([action, key]) => action in ACTIONS && fits(key)));
  } catch {
    return {};
  }
}

const fits = (key) => typeof key === "string" && [...key].length === 1 && !/[0-9\s]/.test(key);
const lower = (key) => (key.length === 1 ? key.toLowerCase() : key);
let changed = read();

// The key of an action, and how it is written on a button.
export const keyOf = (action) => changed[action] ?? action;
export const keyName = (action) => keyOf(action).toUpperCase();

// The action, or the key that is none's, of what was pressed.
export function meaning(key) {
  const pressed = lower(key);
  const action = Object.keys(ACTIONS).find((one) => keyOf(one) === pressed);
  if (action) return action;
  return pressed in ACTIONS ? "" : pressed;
}

function give(action, key) {
  const wanted = lower(key.trim());
  if (!fits(wanted)) return "Give one key that is no digit.";
  const other = Object.keys(ACTIONS).find((one) => one !== action && keyOf(one) === wanted);
  if (other) return `${wanted.toUpperCase()} is taken: ${ACTIONS[other]}.`;
  changed = { ...changed, [action]: wanted };
  if (wanted === action) delete changed[action];
  localStorage[STORE] = JSON.stringify(changed);
  return "";
}

// A row of the help with a field for the key.
export function keyField(action, drawn) {
  const input = h("input", { class: "key", id: `key-${action}`, maxlength: "2", autocomplete: "off", "aria-label": `Key for: ${ACTIONS[action]}` });
  input.value = keyName(action);
  input.onfocus = () => input.select();
  input.onchange = () => {
    const fault = give(action, input.value);
    if (fault) say(fault);
    input.value = keyName(action);
    drawn();
  };
  return input;
}

export function reset() {
  changed = {};
  localStorage.removeItem(STORE);
}
