// How good is the model, what is wrong with images, and the way out.

import { count, css, refill, h, number, percent } from "./dom.js";
import { begin, get, server } from "./server.js";

const FEW = 30; // audits, below which there is no verdict

let root;
let drawn = "";
let problems = { broken: [], doubtful: [], twins: [] };

export const title = "Progress";

export async function open(main) {
  root = main;
  drawn = "";
  update();
  problems = await get("/api/problems");
  drawn = "";
  update();
}

function verdict({ n, right, low, high }) {
  if (!n) return [h("p", { class: "big" }, "–"), h("p", {}, "Every tenth question on Ask is drawn at random, and what the model says of it is fixed before you see it. Those answers measure how good it is. There is none yet.")];
  const few = n < FEW ? ` That is few: ${FEW} make a verdict.` : "";
  return [
    h("p", { class: "big" }, percent(right / n)),
    h("p", {}, `The model was right on ${right} of ${count(n, "image")} drawn at random. The true share of all images lies between ${percent(low)} and ${percent(high)} (95 % interval) at the time of those answers, when the model had fewer labels.${few}`),
  ];
}

// Whether more labels would help, by what half of them lose.
function limit(gain) {
  if (!gain) return null;
  const [mean, error] = gain;
  const points = (100 * mean).toFixed(1);
  const spread = (200 * error).toFixed(1);
  const text =
    mean > 2 * error
      ? `More labels still help: with half of them, ${points} ± ${spread} points fewer of the labelled images were right.`
      : `More labels of the same kind may change little: with half of them it was as good, within ${spread} points. A better model may help more: lll train.`;
  return h("p", {}, text);
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

export function update() {
  const summary = server.summary;
  if (root?.dataset.screen !== "progress" || !summary) return;
  const key = JSON.stringify([summary, problems]);
  if (key === drawn) return;
  drawn = key;
  const facts = [
    ["Images", number(summary.images)],
    ["With a label", number(summary.labelled)],
    ["Skipped or unsure", number(summary.marked)],
    ["Encoded", number(summary.encoded)],
    ["Model", summary.model ? `logistic regression on ${count(summary.model.labels, "label")}` : "none yet: it needs labels of two classes"],
  ];
  refill(
    root,
    h("h1", {}, "Progress"),
    h("section", { class: "card" }, h("h2", {}, "How good is it?"), ...verdict(summary.audit), gauge(summary.audit), limit(summary.gain)),
    h("section", { class: "card" }, h("h2", {}, "So far"), h("dl", {}, facts.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))))),
    h(
      "section",
      { class: "card" },
      h("h2", {}, "Export"),
      h("p", {}, h("a", { class: "button main", href: "/labels.csv", download: "labels.csv" }, `Labels as CSV (${number(summary.labelled)})`), " ", h("a", { class: "button", href: "/labels.parquet", download: "labels.parquet" }, "Parquet")),
      h("p", { class: "hint" }, "As class folders: lll labels export FOLDER --out SORTED"),
    ),
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
      trouble(summary.doubtful, "label", "doubtful", "may be wrong: a model without it says another class"),
      trouble(summary.twins, "image", "twins", "nearly the same as another"),
      h("p", {}, problems.broken.length ? `${count(problems.broken.length, "image")} not readable:` : "No image was unreadable so far."),
      h("ul", {}, problems.broken.slice(0, 200).map(([, path, why]) => h("li", {}, `${path}: ${why}`))),
    ),
  );
}

export const key = () => false;
