// Points as pixels: a canvas takes a tenth of a second for some ten thousand rectangles.

const SHARE = 115; // of 256: how much of a translucent point covers what is below it
const WHITE = -1;

// White pixels, for `putImageData`: those of an image `before`, where it is as large.
export function sheet(width, height, before) {
  const image = before?.width === width && before.height === height ? before : new ImageData(width, height);
  new Int32Array(image.data.buffer).fill(WHITE);
  return image;
}

// Draws `images`, whose middles are in `spots` (x, y, x, y, …; times `scale` they are pixels), as
// translucent squares with a `side` of so many pixels and a colour #rrggbb.
export function dots(image, spots, scale, images, side, hex) {
  const { width, height } = image;
  const pixels = new Int32Array(image.data.buffer); // alpha, blue, green, red
  const [red, green, blue] = parts(hex).map((part) => part * SHARE);
  const rest = 256 - SHARE;
  for (const i of images) {
    const left = Math.round(scale * spots[2 * i] - side / 2);
    const top = Math.round(scale * spots[2 * i + 1] - side / 2);
    const from = Math.max(0, left);
    const to = Math.min(width, left + side);
    const bottom = Math.min(height, top + side);
    for (let y = Math.max(0, top); y < bottom; y += 1) {
      for (let at = y * width + from; at < y * width + to; at += 1) {
        const below = pixels[at];
        const r = ((below & 255) * rest + red) >> 8;
        const g = (((below >> 8) & 255) * rest + green) >> 8;
        const b = (((below >> 16) & 255) * rest + blue) >> 8;
        pixels[at] = (255 << 24) | (b << 16) | (g << 8) | r;
      }
    }
  }
}

// As `dots`, solid, and in a white frame.
export function framed(image, spots, scale, images, side, hex) {
  const pixels = new Int32Array(image.data.buffer);
  const [red, green, blue] = parts(hex);
  const own = (255 << 24) | (blue << 16) | (green << 8) | red;
  for (const i of images) {
    const left = Math.round(scale * spots[2 * i] - side / 2);
    const top = Math.round(scale * spots[2 * i + 1] - side / 2);
    square(image, pixels, left - 1, top - 1, side + 2, WHITE);
    square(image, pixels, left, top, side, own);
  }
}

function square({ width, height }, pixels, left, top, side, value) {
  const from = Math.max(0, left);
  const to = Math.max(from, Math.min(width, left + side)); // `fill` counts a negative end from behind
  const bottom = Math.min(height, top + side);
  for (let y = Math.max(0, top); y < bottom; y += 1) pixels.fill(value, y * width + from, y * width + to);
}

const parts = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
