"""The points of the map as pixels: against a slow twin, against the canvas, and on the map."""

import numpy as np
import pytest
from tests.chromium import missing_browser
from tests.label.serving import serving, write_images

pytest.importorskip("playwright")
pytestmark = pytest.mark.skipif(missing_browser() is not None, reason=str(missing_browser()))

WIDTH, HEIGHT = 23, 17
SHARE = 115  # of 256, as of dots.js
WHITE = (255, 255, 255)
DRAW = """async ([width, height, strokes]) => {
    const drawn = await import('/static/dots.js');
    const image = drawn.sheet(width, height, null);
    for (const [kind, spots, scale, images, side, hex] of strokes)
        drawn[kind](image, new Float32Array(spots), scale, images, side, hex);
    return [...image.data];
}"""
FILL = """([width, height, squares, hex, share]) => {
    const pen = new OffscreenCanvas(width, height).getContext('2d');
    pen.fillStyle = '#ffffff';
    pen.fillRect(0, 0, width, height);
    pen.globalAlpha = share;
    pen.fillStyle = hex;
    for (const [left, top, side] of squares) pen.fillRect(left, top, side, side);
    return [...pen.getImageData(0, 0, width, height).data];
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    place = tmp_path_factory.mktemp("dots")
    with serving(write_images(place / "photos", 40), place / "cache") as served:
        for image in range(6):
            served.act("label", [image], name=["red", "blue"][image % 2])
        yield served


@pytest.fixture
def page(served, opened):
    return opened(served)


def pixels(found, width=WIDTH, height=HEIGHT):
    out = np.array(found).reshape(height, width, 4)
    assert (out[..., 3] == 255).all(), "the sheet is solid"
    return out[..., :3]


def draw(page, *strokes):
    return pixels(page.evaluate(DRAW, [WIDTH, HEIGHT, list(strokes)]))


def half_up(value):
    return int(np.floor(value + 0.5))


def squares(spots, scale, images, side):
    """Left and top of each, as JavaScript rounds them."""
    for i in images:
        yield tuple(half_up(scale * spots[2 * i + axis] - side / 2) for axis in (0, 1))


def parts(colour):
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def paint(out, left, top, side, colour, share):
    for y in range(max(0, top), min(HEIGHT, top + side)):
        for x in range(max(0, left), min(WIDTH, left + side)):
            for part in range(3):
                out[y, x, part] = (out[y, x, part] * (256 - share) + colour[part] * share) // 256


def slow(strokes):
    """One pixel after another."""
    out = np.full((HEIGHT, WIDTH, 3), 255)
    for kind, spots, scale, images, side, colour in strokes:
        for left, top in squares(spots, scale, images, side):
            if kind == "framed":
                paint(out, left - 1, top - 1, side + 2, WHITE, 256)
            paint(out, left, top, side, parts(colour), SHARE if kind == "dots" else 256)
    return out


def some(seed):
    """Points in, across and far beyond the sheet, in three strokes of both kinds."""
    rng = np.random.default_rng(seed)
    strokes = []
    for kind in rng.permutation(["dots", "framed", "dots"]):
        # As the page's: single precision, of which a half is rounded in the same way.
        spots = rng.uniform(-9, 34, 40).astype(np.float32).tolist()
        images = rng.permutation(20)[: rng.integers(0, 20)].tolist()
        colour = "#" + rng.bytes(3).hex()
        scale, side = float(rng.choice([1, 1.5, 2])), int(rng.integers(1, 9))
        strokes.append([str(kind), spots, scale, images, side, colour])
    return strokes


def test_pixels_are_those_of_the_slow_twin(page):
    for seed in range(8):
        strokes = some(seed)
        np.testing.assert_array_equal(draw(page, *strokes), slow(strokes), f"seed {seed}")


def test_they_look_as_the_canvas_would_draw_them(page):
    spots, side, colour = [5, 5, 7, 6, 21, 15], 4, "#1f5fbf"
    drawn = draw(page, ["dots", spots, 1, [0, 1, 2], side, colour])
    at = [[left, top, side] for left, top in squares(spots, 1, range(3), side)]
    wanted = page.evaluate(FILL, [WIDTH, HEIGHT, at, colour, SHARE / 256])
    assert np.abs(drawn - pixels(wanted)).max() <= 2
    assert (drawn != 255).any()


def test_a_sheet_is_used_again_and_white_again(page):
    found = page.evaluate(
        """async () => {
            const { dots, sheet } = await import('/static/dots.js');
            const one = sheet(4, 3, null);
            dots(one, new Float32Array([2, 1]), 1, [0], 3, '#000000');
            const dark = one.data.some((part) => part !== 255);
            const again = sheet(4, 3, one);
            const other = sheet(3, 4, one);
            const white = again.data.every((part) => part === 255);
            return [dark, again === one, white, other === one, other.width, other.height];
        }"""
    )
    assert found == [True, True, True, False, 3, 4]


@pytest.mark.parametrize("scale", [1, 2])
def test_the_map_shows_each_label_in_its_colour_at_its_place(served, opened, scale):
    page = opened(served, device_scale_factor=scale)
    page.wait_for_selector(".suggestion", timeout=180_000)
    page.evaluate("location.hash = 'map'")
    page.wait_for_function("() => document.querySelector('#legend')?.children.length === 2")
    page.wait_for_function(
        """() => { const map = document.querySelector('#map');
            const { data } = map.getContext('2d').getImageData(0, 0, map.width, map.height);
            return data.some((part, at) => at % 4 < 3 && part > 0 && part < 240); }"""
    )
    colours = page.evaluate("import('/static/dom.js').then(({ colour }) => [colour(0), colour(1)])")
    found = page.evaluate(
        """async () => {
            const map = document.querySelector('#map');
            const places = new Float32Array(await (await fetch('/api/map')).arrayBuffer());
            const pen = map.getContext('2d');
            const at = (i, size) => Math.round(devicePixelRatio * (16 + places[i] * (size - 32)));
            return [0, 1, 2, 3, 4, 5].map((image) => [...pen.getImageData(
                at(2 * image, map.clientWidth), at(2 * image + 1, map.clientHeight), 1, 1).data]);
        }"""
    )
    # A letter may lie on some of them, with its rim.
    near = [
        max(
            abs(one - other)
            for one, other in zip(pixel[:3], parts(colours[image % 2]), strict=True)
        )
        < 4
        for image, pixel in enumerate(found)
    ]
    assert any(near[::2])
    assert any(near[1::2]), found
