"""Which files are images: by suffix, and by their first bytes where they have none."""

from __future__ import annotations

import posixpath

# Pillow knows dozens of formats, some of which start other programs (EPS). Only these are tried.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")
SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".bmp", ".dib", ".gif", ".webp", ".tif"),
    *(".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpf", ".jpx", ".avif"),
}
# Images of formats that are not read. They are listed as skipped and never passed over.
FOREIGN = {
    *(".heic", ".heif", ".hif", ".jxl", ".jxr", ".svg", ".psd", ".xcf", ".exr", ".tga", ".ico"),
    *(".icns", ".pcx", ".eps", ".dcm"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
}
HEAD_BYTES = 16
_HEADS = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"),
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"P4\n", b"P5\n", b"P6\n"),
)
_HEIC = (b"heic", b"heix", b"mif1")


def suffix_of(path: str) -> str:
    """The suffix of ``path`` in small letters, with its dot; "" without one."""
    return posixpath.splitext(path)[1].lower()


def is_image(path: str) -> bool:
    """Whether the suffix of ``path`` is that of an image, be it one that is not read."""
    suffix = suffix_of(path)
    return suffix in SUFFIXES or suffix in FOREIGN


def foreign_reason(path: str) -> str:
    """Why the image ``path`` is not read, by its suffix; "" for one that is."""
    suffix = suffix_of(path)
    return _foreign(suffix[1:].upper()) if suffix in FOREIGN else ""


def unknown_reason(data: bytes) -> str:
    """Why a file that holds ``data`` is no image of `FORMATS`."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC:  # as some telephones call .jpg
        return _foreign("HEIC")
    return "not an image of a known format" if data else "empty file"


def _foreign(kind: str) -> str:
    return f"{kind} images are not read: save it as PNG or JPEG"


def starts_as_image(head: bytes) -> bool:
    """Whether a file that begins with ``head`` [16 bytes] is an image."""
    return (
        head.startswith(_HEADS)
        or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")
        or (head.startswith(b"BM") and head[6:10] == bytes(4))
        or (head[4:8] == b"ftyp" and head[8:12] in (b"avif", *_HEIC))
    )
