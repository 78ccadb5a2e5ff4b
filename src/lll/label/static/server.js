// Talks to the server. Answers wait in an outbox until the server has them on its disk; each has
// an id, so one that is sent twice counts once.

import { byId, say } from "./dom.js";

const HEADERS = { "Content-Type": "application/json", "X-LLL": "1" };
const BOX = "lll-outbox-";
const WAITS = [500, 1000, 2000, 5000];

export const server = { summary: null, listeners: new Set() };
const promises = new Map();
let sending = false;
let failures = 0;

sessionStorage.tab ||= crypto.randomUUID();
const own = BOX + sessionStorage.tab;

function waiting() {
  // Those of tabs that are gone too.
  const found = [];
  for (let i = 0; i < localStorage.length; i += 1) {
    const key = localStorage.key(i);
    if (key.startsWith(BOX)) for (const act of JSON.parse(localStorage[key])) found.push([key, act]);
  }
  return found;
}

// The images of answers that the server may not have yet.
export const unsent = () => waiting().flatMap(([, act]) => act.images ?? []);

function remove(key, uuid) {
  const left = JSON.parse(localStorage[key] || "[]").filter((act) => act.uuid !== uuid);
  if (left.length) localStorage[key] = JSON.stringify(left);
  else localStorage.removeItem(key);
}

export function banner(text) {
  const box = byId("banner");
  if (box.textContent !== text) box.textContent = text;
  box.hidden = !text;
}

// Resolves with what the server says, or with null where it refused; waits while it is away.
export function act(op, about = {}) {
  const one = { uuid: crypto.randomUUID(), op, ...about };
  localStorage[own] = JSON.stringify([...JSON.parse(localStorage[own] || "[]"), one]);
  return new Promise((resolve) => {
    promises.set(one.uuid, resolve);
    flush();
  });
}

async function flush() {
  if (sending) return;
  sending = true;
  for (let next = waiting()[0]; next; next = waiting()[0]) {
    if (!(await send(...next))) {
      setTimeout(flush, WAITS[Math.min(failures, WAITS.length - 1)]);
      failures += 1;
      break;
    }
    failures = 0;
    banner("");
  }
  sending = false;
}

// False where it is to be sent again.
async function send(key, one) {
  let answer;
  try {
    answer = await fetch("/api/act", { method: "POST", headers: HEADERS, body: JSON.stringify(one) });
  } catch {
    const left = waiting().length;
    banner(`The server does not answer. ${left === 1 ? "One answer waits" : `${left} answers wait`} here and will be sent.`);
    return false;
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.status === 403 || answer.status === 421) {
    banner("Open the address that `lll label` printed; your answers wait here.");
    return false;
  }
  if (answer.status >= 500) {
    banner(`${told.error || "The server cannot write."} Your answers wait here.`);
    return false;
  }
  remove(key, one.uuid);
  if (!answer.ok) say(told.error || "That was refused.");
  promises.get(one.uuid)?.(answer.ok ? told : null);
  promises.delete(one.uuid);
  return true;
}

// Asks for a piece of work in the background.
export const begin = (work, about = {}) => fetch(`/api/${work}`, { method: "POST", headers: HEADERS, body: JSON.stringify(about) });

export async function get(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return path.startsWith("/api/rows") || path.startsWith("/api/map") ? answer.arrayBuffer() : answer.json();
}

// Of each image its label and the model's guess, both class ids or -1; how sure it is; its mark.
export async function rows() {
  const buffer = await get("/api/rows");
  const n = buffer.byteLength / 6;
  return {
    labels: new Int16Array(buffer, 0, n),
    guesses: new Int16Array(buffer, 2 * n, n),
    sure: new Uint8Array(buffer, 4 * n, n),
    marks: new Uint8Array(buffer, 5 * n, n),
  };
}

// The address of an image; another one once its file was written anew.
export function picture(image, size) {
  const edition = server.summary?.editions?.[image];
  return `/image/${image}/${size}${edition ? `?${edition}` : ""}`;
}

export function listen() {
  const events = new EventSource("/api/events");
  events.onmessage = (event) => {
    server.summary = JSON.parse(event.data);
    for (const listener of server.listeners) listener(server.summary);
  };
  events.onopen = () => flush();
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  };
}

export const classes = () => server.summary?.classes ?? [];
export const classAt = (id) => classes().findIndex((one) => one.id === id);
export const nameOf = (id) => classes().find((one) => one.id === id)?.name ?? "";
