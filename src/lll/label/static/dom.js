// Small helpers: elements, spoken messages, dialogs. Text is always text, never markup.

export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...present(children));
  return node;
}

const present = (children) => children.flat().filter((child) => child !== null && child !== undefined);

export const fill = (node, ...children) => node.replaceChildren(...present(children));

// As `fill`, and the keyboard stays where it was: a screen is redrawn while somebody is on it.
export function refill(node, ...children) {
  const at = reached(node).findIndex(([element]) => element === document.activeElement);
  const before = at < 0 ? null : reached(node)[at][1];
  fill(node, ...children);
  reached(node).find(([, name]) => name === before)?.[0].focus();
}

// What Tab reaches, each with its text (numbers change) and how many before have the same.
function reached(node) {
  const seen = new Map();
  return [...node.querySelectorAll("a[href], button, input, select")].map((element) => {
    const text = element.textContent.replace(/\d+/g, "#");
    seen.set(text, (seen.get(text) ?? 0) + 1);
    return [element, `${text} ${seen.get(text)}`];
  });
}

export const byId = (id) => document.getElementById(id);

let quiet;
export function say(text) {
  const box = byId("said");
  box.textContent = text;
  box.classList.add("shown");
  clearTimeout(quiet);
  quiet = setTimeout(() => box.classList.remove("shown"), 4000);
}

export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)}\u00a0%`;
export const brief = (name) => (name.length > 40 ? `${name.slice(0, 39)}…` : name); // for a button
export const css = (share) => `${100 * share}%`;
export const number = (value) => value.toLocaleString("en");
export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

export function dialog(title, ...content) {
  const box = byId("dialog");
  box.replaceChildren(
    h("h2", { id: "dialog-title", tabindex: "-1", autofocus: true }, title),
    ...content,
    h("form", { method: "dialog" }, h("button", {}, "Close (Esc)")),
  );
  box.showModal();
  return box;
}

const MOST = 200; // characters of a name

// Why a text cannot be the name of a class; nothing where it can. The server looks again.
export function nameFault(text) {
  const size = [...text].length;
  if (!size) return "Type a name first.";
  if (size > MOST) return `A name has at most ${MOST} characters, and this one has ${size}.`;
  return /[\p{C}\p{Zl}\p{Zp}]/u.test(text) ? "A name has visible characters only." : "";
}

// The fault of a name that another class has.
export const takenFault = (names) => (name) => (names.includes(name) ? `There is a class ${name} already: take another name.` : "");

// Asks for a class: an input with the names there are. `chosen` gets the name, once `fault` of it
// is nothing.
export function askName(title, names, chosen, { value = "", fault = () => "" } = {}) {
  const input = h("input", { id: "name", list: "names", autocomplete: "off" });
  input.value = value;
  const why = h("p", { role: "alert", class: "fault" });
  const form = h(
    "form",
    {
      onsubmit: (event) => {
        event.preventDefault();
        const name = input.value.trim();
        why.textContent = nameFault(name) || fault(name);
        if (why.textContent) return;
        byId("dialog").close();
        chosen(name);
      },
    },
    h("label", { for: "name" }, "Name of the class"),
    input,
    h("datalist", { id: "names" }, names.map((name) => h("option", { value: name }))),
    why,
    h("button", {}, "OK (Enter)"),
  );
  dialog(title, form);
  input.focus();
  input.select();
}

const COLOURS = ["#1f5fbf", "#b3470a", "#23762b", "#8e2fa6", "#a8244f", "#00696e", "#7a5200", "#4b4bd1", "#6b6b00", "#5d4a45"];
export const colour = (at) => COLOURS[at % COLOURS.length];
export const letter = (at) => String.fromCharCode(65 + (at % 26)) + (at >= 26 ? Math.floor(at / 26) : "");
export const digit = (at) => (at < 9 ? String(at + 1) : at === 9 ? "0" : "");
export const digitAt = (key) => (key === "0" ? 9 : Number(key) - 1);

export function mark(at) {
  const node = h("span", { class: "mark", "aria-hidden": "true" }, letter(at));
  node.style.backgroundColor = colour(at);
  return node;
}
