// A list of images of any length: only those in sight are in the page, at most some 180.

import { h } from "./dom.js";
import { picture } from "./server.js";

const MOST = 180;
const SLICE = 90; // tiles made in one frame: more hold the page up
const GAP = 6;
const SIDE = 116;
const [NARROW, SMALL] = [480, 90]; // a telephone: three in a row instead of two

export class Tiles {
  // `describe(image)` gives { text, place, share }; `moved` is called when the selection changes.
  constructor({ describe, moved }) {
    this.describe = describe;
    this.moved = moved;
    this.images = [];
    this.selected = new Set();
    this.active = 0;
    this.anchor = 0;
    this.inner = h("div", { class: "tiles-inner" });
    this.node = h(
      "div",
      { class: "tiles", role: "listbox", tabindex: "0", "aria-multiselectable": "true", "aria-label": "Images", onscroll: () => this.later() },
      this.inner,
    );
    this.sight = new ResizeObserver(() => this.later());
    this.sight.observe(this.node);
    this.node.addEventListener("click", (event) => this.clicked(event));
  }

  set(images) {
    this.images = images;
    this.selected = new Set();
    this.active = this.anchor = 0;
    this.node.scrollTop = 0;
    this.later();
    this.moved();
  }

  // The same list with some gone: the place stays.
  drop(gone) {
    this.images = this.images.filter((image) => !gone.has(image));
    for (const image of gone) this.selected.delete(image);
    this.active = Math.max(0, Math.min(this.active, this.images.length - 1));
    this.later();
    this.moved();
  }

  picked() {
    return this.images.filter((image) => this.selected.has(image));
  }

  others() {
    return this.images.filter((image) => !this.selected.has(image));
  }

  current() {
    return this.images[this.active];
  }

  later() {
    if (this.waits) return;
    this.waits = requestAnimationFrame(() => {
      this.waits = 0;
      this.draw();
    });
  }

  layout() {
    const { clientWidth: width, clientHeight: height } = this.node;
    let side = width < NARROW ? SMALL : SIDE;
    let columns = 1;
    for (; ; side += 8) {
      columns = Math.max(1, Math.floor((width - GAP) / (side + GAP)));
      if (columns * (Math.ceil(height / (side + GAP)) + 3) <= MOST) break;
    }
    const step = (width - GAP) / columns;
    return { columns, step, rows: Math.ceil(height / step) };
  }

  draw() {
    if (!this.node.isConnected || !this.node.clientHeight) return;
    const { columns, step, rows } = this.layout();
    this.columns = columns;
    this.step = step;
    this.inner.style.height = `${Math.ceil(this.images.length / columns) * step}px`;
    const first = Math.max(0, Math.floor(this.node.scrollTop / step) - 1) * columns;
    const last = Math.min(this.images.length, first + (rows + 3) * columns);
    const have = new Map([...this.inner.children].map((node) => [Number(node.dataset.image), node]));
    const wanted = [];
    let left = SLICE;
    for (let at = first; at < last; at += 1) {
      const image = this.images[at];
      if (!have.has(image) && (left -= 1) < 0) continue; // in the next frame
      const node = have.get(image) ?? this.made(image);
      have.delete(image);
      this.place(node, image, at);
      wanted.push(node);
    }
    for (const node of have.values()) node.remove();
    for (const node of wanted) if (!node.parentNode) this.inner.append(node);
    if (left < 0) this.later();
    const current = this.inner.querySelector(`[data-at="${this.active}"]`);
    if (current) this.node.setAttribute("aria-activedescendant", current.id);
    else this.node.removeAttribute("aria-activedescendant");
  }

  made(image) {
    return h(
      "div",
      { class: "tile", role: "option", id: `tile-${image}`, "data-image": String(image) },
      h("img", { src: picture(image, "thumb"), alt: "", draggable: false, decoding: "async" }),
      h("span", { class: "caption" }),
    );
  }

  place(node, image, at) {
    const { text, badge } = this.describe(image);
    node.style.transform = `translate(${(at % this.columns) * this.step + GAP}px, ${Math.floor(at / this.columns) * this.step + GAP}px)`;
    node.style.width = node.style.height = `${this.step - GAP}px`;
    node.dataset.at = at;
    node.setAttribute("aria-posinset", at + 1);
    node.setAttribute("aria-setsize", this.images.length);
    node.setAttribute("aria-selected", this.selected.has(image));
    node.setAttribute("aria-label", text);
    node.title = text;
    node.classList.toggle("active", at === this.active);
    node.lastChild.replaceChildren(...badge());
  }

  toggle(at, on) {
    const image = this.images[at];
    if (on ?? !this.selected.has(image)) this.selected.add(image);
    else this.selected.delete(image);
  }

  clicked(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const at = Number(tile.dataset.at);
    if (event.shiftKey) this.range(this.anchor, at);
    else {
      this.toggle(at);
      this.anchor = at;
    }
    this.active = at;
    this.later();
    this.moved();
  }

  range(one, other) {
    for (let at = Math.min(one, other); at <= Math.max(one, other); at += 1) this.toggle(at, true);
  }

  move(step, extend) {
    const before = this.active;
    this.active = Math.max(0, Math.min(this.images.length - 1, this.active + step));
    if (extend) this.range(before, this.active);
    else this.anchor = this.active;
    const top = Math.floor(this.active / this.columns) * this.step;
    const { scrollTop, clientHeight } = this.node;
    if (top < scrollTop) this.node.scrollTop = top;
    if (top + this.step > scrollTop + clientHeight) this.node.scrollTop = top + this.step - clientHeight + GAP;
    this.later();
    this.moved();
  }

  key(event) {
    const { key, shiftKey } = event;
    if (key === "a" && (event.ctrlKey || event.metaKey)) {
      this.selected = new Set(this.images);
      this.later();
      this.moved();
      return true;
    }
    const page = Math.max(1, Math.floor(this.node.clientHeight / this.step)) * this.columns;
    const steps = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -this.columns,
      ArrowDown: this.columns,
      PageUp: -page,
      PageDown: page,
      Home: -this.images.length,
      End: this.images.length,
    };
    if (key in steps) {
      this.move(steps[key], shiftKey);
      return true;
    }
    if (key === " ") {
      this.toggle(this.active);
      this.anchor = this.active;
      this.later();
      this.moved();
      return true;
    }
    return false;
  }
}
