import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps
from tests.photos import draw_photo

from lll.data import decoding as images
from lll.data.decoding import UnreadableError, decode, decode_all, decode_to, pixels_of
from lll.data.pixels import Pixels
from lll.data.shaping import resize_all
from lll.errors import UserError


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(("most", "bits"), [(65535, 16), (1023, 10), (255, 8)])
def test_grey_pgm_of_any_depth(most, bits):
    grey = np.arange(16).reshape(4, 4) * most // 15
    content = b"P5 4 4 %d\n" % most + grey.astype(">u2" if most > 255 else np.uint8).tobytes()
    found = decode(content, 4)
    assert np.abs(found[..., 0].astype(int) - (grey >> (bits - 8))).max() <= 1
    assert (found[0, 0, 0], found[-1, -1, 0]) == (0, 255)


def test_pixels_of_the_right_size_are_untouched():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    out = decode(saved(Image.fromarray(pixels)), 32)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out, pixels)


@pytest.mark.parametrize("kind", images.FORMATS)
def test_every_format_is_read(kind):
    out = decode(saved(Image.new("RGB", (40, 20), (200, 100, 50)), kind), 32)
    assert out.shape == (32, 32, 3)
    np.testing.assert_allclose(out, np.broadcast_to([200, 100, 50], out.shape), atol=4)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (8, 8), 90), (90, 90, 90)),
        (Image.new("1", (8, 8), 1), (255, 255, 255)),
        (Image.new("RGB", (8, 8), (1, 200, 3)).quantize(4), (1, 200, 3)),
        (Image.new("RGBA", (8, 8), (10, 20, 30, 255)), (10, 20, 30)),
        (Image.new("RGBA", (8, 8), (10, 20, 30, 0)), (255, 255, 255)),
        (Image.new("LA", (8, 8), (10, 0)), (255, 255, 255)),
        (Image.fromarray(np.full((8, 8), 0x80FF, dtype=np.uint16)), (0x80, 0x80, 0x80)),
    ],
)
def test_other_modes_become_rgb(image, expected):
    out = decode(saved(image), 8)
    np.testing.assert_array_equal(out, np.broadcast_to(np.uint8(expected), (8, 8, 3)))


def tiff(bits: int, photometric: int, values: list[int], order: str = "<") -> bytes:
    """A TIFF of one row of grey ``values``, written by hand: Pillow writes no such 16 bits."""
    pixels = "".join(f"{value:0{bits}b}" for value in values)
    data = int(pixels, 2).to_bytes(-(-len(pixels) // 8), "big")
    if bits == 16:
        data = struct.pack(f"{order}{len(values)}H", *values)
    # Width, height, bits, no compression, photometric, strip, samples, rows, bytes in the strip.
    tags = {256: len(values), 257: 1, 258: bits, 259: 1, 262: photometric, 277: 1, 278: 1}
    tags |= {273: 8 + 2 + 12 * 9 + 4, 279: len(data)}
    entries = b"".join(struct.pack(order + "HHII", k, 4, 1, tags[k]) for k in sorted(tags))
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, len(tags))
    return head + entries + bytes(4) + data


UNKNOWN_TO_PILLOW = [(12, 0, "<"), (12, 0, ">"), (12, 1, ">"), (16, 0, ">")]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
@pytest.mark.parametrize("photometric", [0, 1], ids=["white is zero", "black is zero"])
def test_grey_of_any_depth_is_neither_negative_nor_dark(bits, photometric, order):
    most = 2**bits - 1
    values = [0, most, 0, most // 2 + 1, most, most, 0, 0]
    shades = [(v if photometric else most - v) * 255 // most for v in values]
    try:
        out = decode(tiff(bits, photometric, values, order), 8)
    except UnreadableError:
        assert (bits, photometric, order) in UNKNOWN_TO_PILLOW
        return
    np.testing.assert_allclose(out[0, :, 0].astype(int), shades, atol=1)


def test_transparent_palette_is_laid_on_white():
    image = Image.new("P", (8, 8), 0)
    image.putpalette([9, 9, 9, 1, 2, 3])
    image.paste(1, (0, 0, 8, 4))
    out = decode(saved(image, transparency=0), 8)
    assert out[0, 0].tolist() == [1, 2, 3]
    assert out[7, 0].tolist() == [255, 255, 255]


def test_cmyk_jpeg():
    out = decode(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), 8)
    np.testing.assert_allclose(out[0, 0].astype(int), [255, 0, 0], atol=4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = Image.new("RGB", (16, 16))
    ImageDraw.Draw(upright).rectangle((0, 0, 7, 3), fill=(255, 0, 0))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode(saved(stored, exif=exif), 16), np.asarray(upright))


def test_broken_exif_does_not_lose_the_image():
    data = saved(Image.new("RGB", (8, 8), (5, 6, 7)), "PNG", exif=b"Exif\0\0II*\0garbage")
    assert decode_all(["a"], [lambda: data], 8)[0][0, 0, 0].tolist() == [5, 6, 7]


def test_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data, 8)[0, 0].tolist() == [255, 0, 0]


def test_shrinking_averages_instead_of_picking():
    board = np.indices((256, 256)).sum(axis=0) % 2 * 255
    data = saved(Image.fromarray(board.astype(np.uint8)))
    assert np.abs(decode(data, 32).astype(int) - 127).max() <= 3


def test_a_large_jpeg_shrinks_like_its_pixels():
    ramp = np.linspace(0, 255, 1024).astype(np.uint8)
    image = Image.fromarray(np.broadcast_to(ramp, (1024, 1024)).copy())
    fast = decode(saved(image, "JPEG", quality=95), 32).astype(int)
    slow = decode(saved(image), 32).astype(int)
    assert np.abs(fast - slow).max() <= 4


@pytest.mark.parametrize("resize", ["crop", "squash"])
@pytest.mark.parametrize("size", [121, 128, 200, 239])
def test_a_jpeg_is_reduced_as_it_is_decoded_and_stays_the_same_photo(size, resize):
    data = saved(draw_photo("star", 3), "JPEG", quality=90)
    read = []
    decode_to(data, size, lambda image: read.append(image.size))
    assert read == [(320, 240)]
    with Image.open(BytesIO(data)) as whole:
        slow = pixels_of(whole, size, resize).astype(int)
    error = np.abs(decode(data, size, resize) - slow)
    assert error.mean() <= 1
    assert np.quantile(error, 0.999) <= 10


def test_a_jpeg_is_never_reduced_below_the_target():
    read = []
    decode_to(saved(draw_photo("ball", 3), "JPEG"), 241, lambda image: read.append(image.size))
    assert read == [(640, 480)]


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (480, 480), (37, 480), (31, 7)])
def test_crop_keeps_the_shape_of_photos(size):
    photo = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8))
    fitted = ImageOps.fit(photo, (48, 48), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(decode(saved(photo), 48, "crop"), np.asarray(fitted))
    np.testing.assert_array_equal(
        resize_all(np.asarray(photo)[None], 48, "crop")[0], np.asarray(fitted)
    )


def test_crop_is_the_middle_of_the_whole_image_resized():
    photo = Image.fromarray(np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8))
    whole = photo.resize((64, 48), Image.Resampling.BICUBIC)
    middle = np.asarray(whole.crop((8, 0, 56, 48))).astype(int)
    assert np.abs(decode(saved(photo), 48, "crop") - middle).max() <= 1
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(photo.transpose(Image.Transpose.ROTATE_90), exif=exif)
    np.testing.assert_array_equal(decode(turned, 48, "crop"), decode(saved(photo), 48, "crop"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"not an image", "known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "known format"),
        (saved(Image.new("RGB", (64, 64), "red"), "JPEG")[:400], "damaged"),
        (saved(Image.effect_noise((64, 64), 50))[:900], "damaged"),
        (png_header(9000, 9000), "pixels"),
        (png_header(10_000, 10_000), "pixels"),  # where Pillow would warn
        (png_header(60_000, 60_000), "pixels"),  # where Pillow would raise
        (saved(Image.new("F", (8, 8)), "TIFF"), "32-bit"),
    ],
)
def test_unusable_files_are_skipped_with_a_reason(data, reason, make_image):
    good = make_image(1)
    out, kept, skipped = decode_all(["good", "bad"], [lambda: good, lambda: data], 8)
    assert len(out) == 1
    assert kept.tolist() == [True, False]
    assert [s.path for s in skipped] == ["bad"]
    assert reason in skipped[0].reason
    assert "\n" not in skipped[0].reason


def test_pillow_keeps_its_own_limit():
    before = Image.MAX_IMAGE_PIXELS
    decode_all(["bad"], [lambda: png_header(60_000, 60_000)], 8)
    assert before == Image.MAX_IMAGE_PIXELS


def test_strict_names_the_first_bad_file(make_image):
    readers = [lambda: make_image(1), lambda: b"no", lambda: b""]
    with pytest.raises(UserError, match=r"^two\.png cannot be read .*format.*repair"):
        decode_all(["one.png", "two.png", "three.png"], readers, 8, strict=True)


def test_a_file_that_cannot_be_opened_is_skipped():
    def denied() -> bytes:
        raise PermissionError(13, "Permission denied")

    assert "Permission denied" in decode_all(["a"], [denied], 8)[2][0].reason


def test_large_files_go_through_threads_in_order(make_image):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 128, 128, 3), dtype=np.uint8)
    files = [saved(Image.fromarray(p)) for p in pixels]
    files[5] = files[5][:1000]
    assert sum(map(len, files)) > images.THREADS_FROM_BYTES * len(files)
    out, kept, skipped = decode_all(
        [str(i) for i in range(12)], [lambda f=f: f for f in files], 128
    )
    np.testing.assert_array_equal(out, pixels[kept])
    assert [s.path for s in skipped] == ["5"]


def test_the_first_photos_are_handed_on_before_the_last_are_read():
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    file, read, told = saved(Image.fromarray(noise)), [], []
    rows = ((str(i), lambda i=i: [read.append(i), file][1]) for i in range(300))
    images.decode_into(
        Pixels(8), rows, 300, 8, on_decoded=lambda *at: told.append((len(at[0]), at[1], len(read)))
    )
    assert told[0][2] <= 4 * images.FEW < told[-1][2] == 300
    assert sum(count for count, _, _ in told) == told[-1][1] == 300


def test_resize_all_matches_decode():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 12, 3), dtype=np.uint8)
    out = resize_all(pixels, 32)
    np.testing.assert_array_equal(out[1], decode(saved(Image.fromarray(pixels[1])), 32))
    assert resize_all(out, 32) is out


def test_decode_alone_says_why():
    with pytest.raises(UnreadableError, match="known format"):
        decode(b"x", 8)
