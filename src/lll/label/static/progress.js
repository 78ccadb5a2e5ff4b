// How good is the model, what is wrong with images, and the way out.

import { byId, count, css, dialog, refill, h, number, percent, say } from "./dom.js";
import { act, begin, get, server } from "./server.js";

const LEARNERS = { propagate: "labels spread to similar images", logistic: "logistic regression", kernel: "likeness to labelled images" };
const GOOD = 0.95; // of the labelled images
const FEW = 30; // audits, below which there is no verdict

let root;
let drawn = "";
let read = -1; // the version that problems and history are of
let past = [];
let problems = { broken: [], doubtful: [], twins: [] };

export const title = "Progress";

export async function open(main) {
  root = main;
  drawn = "";
  update();
  await load();
}

async function load() {
  read = server.summary?.version ?? -1;
  const got = await Promise.all([get("/api/problems"), get("/api/history")]).catch(() => null);
  if (got) [problems, past] = got;
  else read = -1; // the server is away, which its banner says
  draw();
}

export function update() {
  draw();
  if (root?.dataset.screen === "progress" && server.summary?.version !== read) load();
}

async function undo(one) {
  const told = await act(one.undone ? "redo" : "undo", { batch: one.batch });
  if (told) say(`${one.undone ? "Done again" : "Undone"}: ${one.what}.`);
}

// The time alone of what was done today.
function when(milliseconds) {
  const then = new Date(milliseconds);
  const today = then.toDateString() === new Date().toDateString();
  return today ? then.toLocaleTimeString([], { timeStyle: "short" }) : then.toLocaleDateString([], { dateStyle: "short" });
}

function line(one) {
  const name = one.undone ? "Redo" : "Undo";
  const by = { moved: "a file was moved", overwritten: "another file lies there now", discover: "proposed" }[one.by];
  return h(
    "tr",
    { class: one.undone ? "undone" : "" },
    h("td", {}, when(1000 * one.time)),
    h("td", {}, one.what, by ? ` (${by})` : ""),
    h("td", { class: "number" }, one.images ? number(one.images) : ""),
    h("td", {}, h("button", { type: "button", onclick: () => undo(one), "aria-label": `${name}: ${one.what}` }, name)),
  );
}

function history() {
  if (!past.length) return h("p", { class: "empty" }, "Nothing was done yet.");
  const heads = ["When", "What", "Images", "Change"].map((text) => h("th", { scope: "col", class: text === "Images" ? "number" : undefined }, text));
  return h(
    "div",
    { class: "scroll some", tabindex: "0", role: "region", "aria-label": "History" },
    h("table", {}, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, past.map(line))),
  );
}

const FILES = { csv: "CSV", parquet: "Parquet", "label-studio": "Label Studio" };

function files(labelled) {
  return Object.entries(FILES).map(([form, name], at) =>
    h("a", { class: at ? "button" : "button main", href: `/export/${form}`, download: "" }, at ? name : `Labels as ${name} (${number(labelled)})`),
  );
}

function sort() {
  const out = h("input", { id: "out", autocomplete: "off", maxlength: "1000" });
  out.value = "sorted";
  const link = h("input", { id: "link", type: "checkbox" });
  const form = h(
    "form",
    {
      onsubmit: async (event) => {
        event.preventDefault();
        byId("dialog").close();
        const answer = await begin("folders", { out: out.value.trim(), link: link.checked });
        const told = await answer.json();
        say(answer.ok ? `${count(told.images, "image")} in ${told.out}.` : told.error);
      },
    },
    h("label", { for: "out" }, "New folder, beside the folder of images"),
    out,
    h("span", {}, link, h("label", { for: "link" }, " Links instead of copies")),
    h("button", {}, "Write (Enter)"),
  );
  dialog("Class folders", form);
  out.focus();
  out.select();
}

function verdict({ n, right, low, high }) {
  if (!n) return [h("p", { class: "big" }, "–"), h("p", {}, "Every tenth question on Ask is drawn at random, and what the model says of it is fixed before you see it. Those answers measure how good it is. There is none yet.")];
  const few = n < FEW ? ` That is few: ${FEW} make a verdict.` : "";
  return [
    h("p", { class: "big" }, percent(right / n)),
    h("p", {}, `The model was right on ${right} of ${count(n, "image")} drawn at random. The true share of all images lies between ${percent(low)} and ${percent(high)} (95 % interval) at the time of those answers, when the model had fewer labels.${few}`),
  ];
}

// Whether more labels would help: the curve so far, and where it leads with twice the labels.
function limit(curve) {
  if (!curve) return [];
  const { accuracy, low, high, gain, least, most, limit: by } = curve;
  const points = (share) => (100 * share).toFixed(1);
  const twice = `Twice the labels would bring about ${points(gain)} points (${points(least)} to ${points(most)}, 95 % band).`;
  const verdict = {
    labels: "It is limited by labels: more of them help.",
    model: accuracy.at(-1) < GOOD ? "It is limited by the model: more labels of the same kind change little." : "It has enough labels: more of the same kind change little.",
  }[by] ?? "Whether labels or the model limit it cannot be told yet.";
  const words = `Right on ${accuracy.map((share) => percent(share)).join(", ")} of the labelled images, each held out, with a quarter, a half and all of the labels.`;
  const all = accuracy.at(-1);
  const shown = [...accuracy.map((share, at) => [share, low[at], high[at]]), [all + gain, all + least, all + most]];
  return [
    h("h3", {}, verdict),
    h("p", {}, twice),
    h("div", { class: "curve", "aria-hidden": "true" }, shown.map(([share, from, to], at) => bar(["¼", "½", "all", "twice"][at], share, from, to))),
    h("p", { class: "hint" }, words),
  ];
}

function bar(name, share, from, to) {
  const column = h("span", { class: "column" });
  column.style.height = css(Math.min(1, share));
  const span = h("span", { class: "whisker" });
  span.style.bottom = css(Math.max(0, from));
  span.style.height = css(Math.max(0, Math.min(1, to) - Math.max(0, from)));
  return h("span", { class: name === "twice" ? "bar-of guess" : "bar-of" }, h("span", { class: "well" }, column, span), h("span", {}, name));
}

function gauge({ n, right, low, high }) {
  if (!n) return null;
  const span = h("span", { class: "span" });
  span.style.left = css(low);
  span.style.width = css(high - low);
  const dot = h("span", { class: "dot" });
  dot.style.left = css(right / n);
  return h("div", { class: "gauge", "aria-hidden": "true" }, span, dot);
}

const trouble = (n, what, key, why) => (n ? h("p", {}, h("a", { href: `#grid/${key}` }, count(n, what)), ` ${why}.`) : null);

function draw() {
  const summary = server.summary;
  if (root?.dataset.screen !== "progress" || !summary) return;
  const key = JSON.stringify([summary, problems, past]);
  if (key === drawn) return;
  drawn = key;
  const facts = [
    ["Images", number(summary.images)],
    ["With a label", number(summary.labelled)],
    ["Skipped or unsure", number(summary.marked)],
    ["Encoded", number(summary.encoded)],
    ["Model", summary.model ? `${LEARNERS[summary.model.learner]}, ${count(summary.model.labels, "label")}` : "none yet: it needs labels of two classes"],
  ];
  refill(
    root,
    h("h1", {}, "Progress"),
    h("section", { class: "card" }, h("h2", {}, "How good is it?"), ...verdict(summary.audit), gauge(summary.audit), ...limit(summary.curve)),
    h("section", { class: "card" }, h("h2", {}, "So far"), h("dl", {}, facts.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value)))), h("p", { class: "row" }, h("button", { type: "button", onclick: () => begin("rescan") }, "Look for new photos"), h("span", { class: "hint" }, summary.news))),
    h(
      "section",
      { class: "card" },
      h("h2", {}, "Export"),
      h("p", { class: "row" }, ...files(summary.labelled), h("button", { type: "button", disabled: !summary.labelled, onclick: sort }, "Class folders …")),
      h("p", { class: "hint" }, "Label Studio: local files with the folder as their root, Choices called choice."),
    ),
    h("section", { class: "card" }, h("h2", {}, "History"), history()),
    h(
      "section",
      { class: "card" },
      h("h2", {}, "Train deeper"),
      h("p", {}, "A run of lll train on the labels so far, beside this page; it can be used by lll predict and lll report."),
      h("p", {}, h("button", { type: "button", disabled: summary.labelled < 2, onclick: () => begin("train") }, "Start lll train")),
      summary.training ? h("p", {}, h("code", {}, summary.training)) : null,
    ),
    h(
      "section",
      { class: "card" },
      h("h2", {}, "Problems"),
      trouble(summary.doubtful, "label", "doubtful", "may be wrong: a model that was not told says another class"),
      trouble(summary.twins, "image", "twins", "nearly the same as another"),
      h("p", {}, problems.broken.length ? `${count(problems.broken.length, "image")} not readable:` : "No image was unreadable so far."),
      h("ul", {}, problems.broken.slice(0, 200).map(([, path, why]) => h("li", {}, `${path}: ${why}`))),
    ),
  );
}

export const key = () => false;
