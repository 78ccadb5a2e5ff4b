// All images as points; a lasso, or a box moved by keys, fills the Grid.

import { byId, colour, count, h, letter, say } from "./dom.js";
import { choose } from "./grid.js";
import { keyName } from "./keys.js";
import { classAt, classes, get, picture, rows, server } from "./server.js";

const EDGE = 16;
const STEP = 0.02;

let root;
let canvas;
let peek;
let places = null;
let data = null;
let version = -1;
let drawnMap = -1; // which of the maps that is
let waits = false;
let path = []; // of the lasso, in pixels
const ground = document.createElement("canvas"); // what lies under them
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
  new ResizeObserver(() => draw()).observe(canvas);
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

const placed = (i) => places[2 * i] >= 0;
const at = (i) => [EDGE + places[2 * i] * (canvas.clientWidth - 2 * EDGE), EDGE + places[2 * i + 1] * (canvas.clientHeight - 2 * EDGE)];

// All but the lasso and the box, which change with each key and move: points take long to draw.
function draw() {
  if (!canvas?.isConnected || !places || !data) return;
  const scale = devicePixelRatio || 1;
  canvas.width = ground.width = canvas.clientWidth * scale;
  canvas.height = ground.height = canvas.clientHeight * scale;
  const pen = ground.getContext("2d");
  pen.scale(scale, scale);
  pen.fillStyle = getComputedStyle(canvas).color;
  pen.font = "15px system-ui, sans-serif";
  if (places.length) {
    points(pen);
    letters(pen);
    legend();
  } else pen.fillText("The map appears when the first images are encoded.", EDGE, 40);
  mark();
}

// The lasso and the box, over what is drawn.
function mark() {
  const pen = canvas.getContext("2d");
  pen.resetTransform();
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(ground, 0, 0);
  pen.scale(devicePixelRatio || 1, devicePixelRatio || 1);
  overlay(pen);
}

function points(pen) {
  const size = places.length > 20_000 ? 3 : places.length > 4000 ? 4 : 7;
  const byClass = new Map();
  for (let i = 0; i < data.labels.length; i += 1) {
    if (!placed(i)) continue;
    const labelled = data.labels[i] >= 0;
    const key = `${labelled ? data.labels[i] : data.guesses[i]}/${labelled}`;
    if (!byClass.has(key)) byClass.set(key, []);
    byClass.get(key).push(i);
  }
  // Labelled ones last, on top.
  for (const [key, images] of [...byClass].sort(([a], [b]) => a.endsWith("true") - b.endsWith("true"))) {
    const [id, labelled] = key.split("/");
    const solid = labelled === "true";
    pen.globalAlpha = solid ? 1 : 0.45;
    pen.fillStyle = id === "-1" ? "#767676" : colour(classAt(Number(id)));
    const side = solid ? size + 4 : size;
    for (const i of images) {
      const [x, y] = at(i);
      pen.fillRect(x - side / 2, y - side / 2, side, side);
    }
    pen.globalAlpha = 1;
    if (!solid) continue;
    pen.strokeStyle = "#fff";
    for (const i of images) {
      const [x, y] = at(i);
      pen.strokeRect(x - side / 2, y - side / 2, side, side);
    }
  }
}

// The letter of each class at the middle of its images, for those who cannot tell the colours.
function letters(pen) {
  const middles = new Map();
  for (let i = 0; i < data.labels.length; i += 1) {
    const id = data.labels[i] >= 0 ? data.labels[i] : data.guesses[i];
    if (id < 0 || !placed(i)) continue;
    const [x, y] = at(i);
    const one = middles.get(id) ?? [0, 0, 0];
    middles.set(id, [one[0] + x, one[1] + y, one[2] + 1]);
  }
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
  const wide = canvas.clientWidth - 2 * EDGE;
  const high = canvas.clientHeight - 2 * EDGE;
  const [left, right] = [Math.min(...polygon.map((p) => p[0])), Math.max(...polygon.map((p) => p[0]))];
  for (let i = 0; i < data.labels.length; i += 1) {
    const x = EDGE + places[2 * i] * wide;
    if (!(x >= left && x <= right)) continue; // or without a place
    const y = EDGE + places[2 * i + 1] * high;
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
    const [px, py] = at(i);
    const far = (px - x) ** 2 + (py - y) ** 2;
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
