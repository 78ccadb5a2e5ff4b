// All images as points; a lasso, or a box moved by keys, fills the Grid.

import { dots, framed, sheet } from "./dots.js";
import { byId, colour, count, h, letter, say } from "./dom.js";
import { choose } from "./grid.js";
import { keyName } from "./keys.js";
import { classAt, classes, get, picture, rows, server } from "./server.js";

const EDGE = 16;
const STEP = 0.02;
const GREY = "#767676"; // without a guess

let root;
let canvas;
let peek;
let places = null;
let spots = new Float32Array(0); // of each image x and y on the canvas, NaN without a place
let data = null;
let version = -1;
let drawnMap = -1; // which of the maps that is
let waits = false;
let path = []; // of the lasso, in pixels
let drawn = 0; // the area that was drawn last
let ground = null; // the points as pixels, under letters, lasso and box
let middles = new Map(); // of each class the sums of x and y of its images, and their number
let box = null; // moved by keys: x, y, width, height in shares of the map

export const title = "Map";

export async function open(main) {
  root = main;
  canvas = h("canvas", {
    id: "map",
    tabindex: "0",
    role: "img",
    "aria-label": `Map of the images: what looks alike lies together. Press ${keyName("l")} for a box that the arrows move.`,
  });
  peek = h("img", { class: "peek", alt: "", hidden: true });
  root.replaceChildren(
    h("h1", { class: "visually-hidden" }, "Map"),
    h("div", { class: "map" }, canvas, peek),
    h("ul", { class: "legend", id: "legend" }),
    h("p", { class: "hint" }, `Draw around images to see them in the Grid. By keys: ${keyName("l")} begins a box, arrows move it, Shift and arrows resize it, Enter takes it. Filled points have a label.`),
    h("p", { class: "hint", id: "map-note" }),
  );
  canvas.addEventListener("pointerdown", begin);
  canvas.addEventListener("pointermove", moved);
  canvas.addEventListener("pointerup", end);
  new ResizeObserver(() => canvas.clientWidth * canvas.clientHeight !== drawn && draw()).observe(canvas);
  box = null;
  version = -1;
  await load();
  canvas.focus();
}

export function update() {
  if (root?.dataset.screen === "map" && server.summary.version !== version) load();
}

async function load() {
  if (waits) return;
  waits = true;
  try {
    version = server.summary?.version ?? 0;
    const maps = server.summary?.maps;
    // A map does not change under a lasso that is being drawn.
    const stays = places?.length && (maps === drawnMap || path.length || box);
    const got = await Promise.all([rows(), stays ? null : get("/api/map")]).catch(() => null);
    // The server is away, which its banner says; or somebody went on meanwhile.
    if (!got || root.dataset.screen !== "map") return;
    const [found, buffer] = got;
    data = found;
    if (buffer) [places, drawnMap] = [new Float32Array(buffer), maps];
    byId("map-note").textContent = server.summary?.map_note ?? "";
    draw();
  } finally {
    waits = false;
  }
  update(); // what came meanwhile
}

// Asking the canvas for its size takes as long as drawing a point: once for all of them.
function lay() {
  const wide = canvas.clientWidth - 2 * EDGE;
  const high = canvas.clientHeight - 2 * EDGE;
  if (spots.length !== places.length) spots = new Float32Array(places.length);
  for (let i = 0; i < places.length; i += 2) {
    spots[i] = EDGE + places[i] * wide;
    spots[i + 1] = EDGE + places[i + 1] * high;
  }
}

const placed = (i) => spots[2 * i] >= 0;

// All that does not change with each key and move.
function draw() {
  if (!canvas?.isConnected || !places || !data) return;
  if (places.length) legend(); // which takes room from the map
  if (!canvas.clientWidth || !canvas.clientHeight) return;
  const scale = devicePixelRatio || 1;
  drawn = canvas.clientWidth * canvas.clientHeight;
  canvas.width = canvas.clientWidth * scale;
  canvas.height = canvas.clientHeight * scale;
  lay();
  ground = places.length ? points(scale) : null;
  middles = centres();
  mark();
}

function mark() {
  const pen = canvas.getContext("2d");
  pen.resetTransform();
  if (ground) pen.putImageData(ground, 0, 0);
  pen.scale(devicePixelRatio || 1, devicePixelRatio || 1);
  if (ground) letters(pen);
  else {
    pen.fillStyle = getComputedStyle(canvas).color;
    pen.font = "15px system-ui, sans-serif";
    pen.fillText("The map appears when the first images are encoded.", EDGE, 40);
  }
  overlay(pen);
}

function points(scale) {
  const size = places.length > 20_000 ? 3 : places.length > 4000 ? 4 : 7;
  const guessed = new Map();
  const labelled = new Map();
  for (let i = 0; i < data.labels.length; i += 1) {
    if (!placed(i)) continue;
    const own = data.labels[i] >= 0;
    const id = own ? data.labels[i] : data.guesses[i];
    const groups = own ? labelled : guessed;
    if (!groups.has(id)) groups.set(id, []);
    groups.get(id).push(i);
  }
  const image = sheet(canvas.width, canvas.height, ground);
  const each = (groups, paint, side) => {
    for (const [id, images] of groups) paint(image, spots, scale, images, Math.round(side * scale), id < 0 ? GREY : colour(classAt(id)));
  };
  each(guessed, dots, size);
  each(labelled, framed, size + 3); // on top
  return image;
}

// The middle of the images of each class.
function centres() {
  const found = new Map();
  for (let i = 0; i < data.labels.length; i += 1) {
    const id = data.labels[i] >= 0 ? data.labels[i] : data.guesses[i];
    if (id < 0 || !placed(i)) continue;
    if (!found.has(id)) found.set(id, [0, 0, 0]);
    const one = found.get(id);
    one[0] += spots[2 * i];
    one[1] += spots[2 * i + 1];
    one[2] += 1;
  }
  return found;
}

// The letter of each class at the middle of its images, for those who cannot tell the colours.
function letters(pen) {
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.font = "bold 15px system-ui, sans-serif";
  for (const [id, [x, y, n]] of middles) {
    pen.fillStyle = "#fff";
    pen.beginPath();
    pen.arc(x / n, y / n, 13, 0, 7);
    pen.fill();
    pen.lineWidth = 2;
    pen.strokeStyle = pen.fillStyle = colour(classAt(id));
    pen.stroke();
    pen.fillText(letter(classAt(id)), x / n, y / n + 1);
  }
  pen.lineWidth = 1;
}

function overlay(pen) {
  pen.strokeStyle = "#111";
  pen.lineWidth = 2;
  pen.setLineDash([6, 4]);
  if (path.length) {
    pen.beginPath();
    for (const [x, y] of path) pen.lineTo(x, y);
    pen.closePath();
    pen.stroke();
  }
  if (box) {
    const [x, y, w, hgt] = corners();
    pen.strokeRect(x, y, w, hgt);
  }
  pen.setLineDash([]);
}

function legend() {
  byId("legend").replaceChildren(
    ...classes().map((one, place) => {
      const node = h("span", { class: "mark" }, letter(place));
      node.style.backgroundColor = colour(place);
      return h("li", {}, node, ` ${one.name}`);
    }),
  );
}

const corners = () => [
  box.x * canvas.clientWidth,
  box.y * canvas.clientHeight,
  box.w * canvas.clientWidth,
  box.h * canvas.clientHeight,
];

function inside(polygon) {
  const found = [];
  const [left, right] = [Math.min(...polygon.map((p) => p[0])), Math.max(...polygon.map((p) => p[0]))];
  for (let i = 0; i < data.labels.length; i += 1) {
    const x = spots[2 * i];
    if (!(x >= left && x <= right)) continue; // or without a place
    const y = spots[2 * i + 1];
    let odd = false;
    for (let a = 0, b = polygon.length - 1; a < polygon.length; b = a, a += 1) {
      const [xa, ya] = polygon[a];
      const [xb, yb] = polygon[b];
      if (ya > y !== yb > y && x < ((xb - xa) * (y - ya)) / (yb - ya) + xa) odd = !odd;
    }
    if (odd) found.push(i);
  }
  return found;
}

function take(polygon) {
  const found = inside(polygon);
  if (!found.length) {
    say("No image is inside.");
    return;
  }
  say(`${count(found.length, "image")} from the map.`);
  choose(found);
}

function begin(event) {
  if (!places?.length) return;
  canvas.setPointerCapture(event.pointerId);
  path = [[event.offsetX, event.offsetY]];
}

function moved(event) {
  if (path.length) {
    path.push([event.offsetX, event.offsetY]);
    requestAnimationFrame(mark);
  } else if (places?.length) show(event.offsetX, event.offsetY);
}

function end() {
  const drawn = path;
  path = [];
  if (drawn.length > 3) take(drawn);
  mark();
}

// The image nearest to the pointer.
function show(x, y) {
  let best = -1;
  let near = 144;
  for (let i = 0; i < data.labels.length; i += 1) {
    const far = (spots[2 * i] - x) ** 2 + (spots[2 * i + 1] - y) ** 2;
    if (far < near) [best, near] = [i, far];
  }
  peek.hidden = best < 0;
  if (best >= 0 && peek.dataset.image !== String(best)) {
    peek.dataset.image = best;
    peek.src = picture(best, "thumb");
  }
}

export function key(event) {
  const { key: pressed, shiftKey } = event;
  if (pressed.toLowerCase() === "l" && places?.length) {
    box = { x: 0.4, y: 0.4, w: 0.2, h: 0.2 };
    canvas.focus();
    mark();
    say("A box in the middle. Arrows move it, Shift and arrows resize it, Enter takes it.");
    return true;
  }
  if (!box) return false;
  const [dx, dy] = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[pressed] ?? [0, 0];
  if (dx || dy) {
    if (shiftKey) box = { ...box, w: Math.max(STEP, box.w + dx), h: Math.max(STEP, box.h + dy) };
    else box = { ...box, x: box.x + dx, y: box.y + dy };
    mark();
    return true;
  }
  if (pressed === "Enter") {
    const [x, y, w, hgt] = corners();
    box = null;
    take([[x, y], [x + w, y], [x + w, y + hgt], [x, y + hgt]]);
    return true;
  }
  if (pressed === "Escape") {
    box = null;
    mark();
    return true;
  }
  return false;
}
