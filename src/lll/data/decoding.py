"""Bytes of an image file -> uint8 RGB pixels of one size, and what could not be read."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from itertools import islice, repeat
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from lll.data.formats import FORMATS, unknown_reason
from lll.data.imageset import Skipped
from lll.data.pixels import Pixels
from lll.data.shaping import square, upper_bits
from lll.data.workers import LACKED_MEMORY, MOST, Workers, start_workers
from lll.errors import UserError, out_of_memory

if TYPE_CHECKING:
    from PIL import Image

Reader = Callable[[], bytes]
Known = Callable[[], NDArray[np.uint8]]
"""Reads the pixels [size, size, 3] that were made of a file before."""
Row = tuple[str, Reader | Known]
"""What errors call an image, and what reads it."""
T = TypeVar("T")

MAX_PIXELS = 64 * 2**20  # 192 MB once decoded: more than any camera's ordinary photo
MAX_FILE_BYTES = 256 * 2**20

# On two cores threads make small files slower, and those of tens of kilobytes twice as fast.
THREADS_FROM_BYTES = 32 * 2**10
CHUNK = 256  # files read before they are decoded
FEW = 32  # large ones, so that what is to be done with them begins soon
CHUNK_BYTES = 64 * 2**20  # of the files, but for the last, and of their pixels, at most
# Processes for small files: 1.8 times as fast on two cores, after half a second to start.
WORKERS_FROM_S = 1.5


class UnreadableError(ValueError):
    """Why one image could not be used; ``passing`` if the cause is not in the file itself."""

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing


Content = bytes | NDArray[np.uint8] | UnreadableError
Result = NDArray[np.uint8] | UnreadableError
OnDecoded = Callable[[NDArray[np.uint8], int, int], None]
"""Handed images [k, size, size, 3] as they come, and told how many files are done, of how many.

The next files are decoded while it is at work.
"""


def decode(data: bytes, size: int, resize: str = "squash") -> NDArray[np.uint8]:
    """The image in ``data`` as uint8 [size, size, 3].

    EXIF orientation is applied; transparent pixels are laid on white; 16-bit grey keeps its
    upper 8 bits; of an animation the first frame is taken. Another size is resized (bicubic,
    antialiased): with ``squash`` straight to size x size, so the aspect ratio may change;
    with ``crop`` the shorter side to size, and the middle of the longer one is kept. A JPEG is
    first reduced to 1/2, 1/4 or 1/8 where that is still large enough, as it is decoded.

    Raises UnreadableError with the reason.
    """
    return decode_to(data, size, lambda image: pixels_of(image, size, resize))


def decode_to(data: bytes, size: int, use: Callable[[Image.Image], T]) -> T:
    """What ``use`` makes of the open image in ``data``, such as `pixels_of` or `rgb`.

    Its sides may be smaller than in the file, as long as they are at least ``size``.
    Raises UnreadableError with the reason.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            pixels = image.width * image.height
            if pixels > MAX_PIXELS:
                raise UnreadableError(f"{pixels:,} pixels, more than {MAX_PIXELS:,}")
            # Of a JPEG's blocks the decoder then computes low frequencies alone: a good reduction.
            image.draft(None, (size, size))
            return use(image)
    except UnreadableError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableError(f"more than {MAX_PIXELS:,} pixels") from error
    except UnidentifiedImageError as error:
        raise UnreadableError(unknown_reason(data)) from error
    # Decoders report a damaged file through any of these, EOFError and IndexError included.
    except Exception as error:
        if out_of_memory(error):
            raise UnreadableError("not enough memory to decode it", passing=True) from error
        reason = str(error) or type(error).__name__
        raise UnreadableError(f"damaged image: {reason}") from error


def pixels_of(image: Image.Image, size: int, resize: str = "squash") -> NDArray[np.uint8]:
    """An open image as `decode` gives it; UnreadableError for pixels without a fixed range."""
    return np.asarray(square(rgb(image), size, resize))


def rgb(image: Image.Image) -> Image.Image:
    """An open image upright and in 8-bit RGB, as `decode` says; UnreadableError as `pixels_of`."""
    return _rgb(upright(image))


def upright(image: Image.Image) -> Image.Image:
    """``image`` turned as its metadata asks."""
    from PIL import ImageOps

    image.load()  # so that damaged pixels are not taken for damaged metadata below
    # Broken metadata beside sound pixels is no reason to lose the image.
    with suppress(ValueError, TypeError, KeyError, SyntaxError, ZeroDivisionError):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return Image.fromarray(upper_bits(image)).convert("RGB")
    if image.mode in ("I", "F"):
        raise UnreadableError("32-bit pixels have no fixed range: save it with 8 or 16 bits")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def attempt(data: Content, size: int, resize: str = "squash") -> Result:
    """As `decode`, with the error returned; an error or pixels in place of data are handed on."""
    if not isinstance(data, bytes):
        return data
    try:
        return decode(data, size, resize)
    except UnreadableError as error:
        return error


def decode_all(
    names: Sequence[str],
    readers: Sequence[Reader],
    size: int,
    resize: str = "squash",
    *,
    strict: bool = False,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], tuple[Skipped, ...]]:
    """Read and decode files: images uint8 [m, size, size, 3], a mask [n] of the m readable, skips.

    As `decode_into`, in memory.
    """
    pixels = Pixels(size)
    rows = zip(names, readers, strict=True)
    kept, skipped = decode_into(pixels, rows, len(names), size, resize, strict=strict)
    return np.asarray(pixels.rows()), kept, skipped


def decode_into(
    pixels: Pixels,
    rows: Iterable[Row],
    count: int,
    size: int,
    resize: str = "squash",
    *,
    strict: bool = False,
    on_decoded: OnDecoded | None = None,
) -> tuple[NDArray[np.bool_], tuple[Skipped, ...]]:
    """Read and decode files into ``pixels``: a mask [n] of the readable ones, and the others.

    ``rows`` [n] say what errors call a file, and its reader; ``count`` is about n. With
    ``strict`` the first unreadable image is a UserError that names it.
    """
    kept: list[bool] = []
    skipped: list[Skipped] = []
    for names, results in decoded(rows, count, size, resize):
        _, images, missed = readable(names, results, size, strict=strict)
        kept += [not isinstance(result, UnreadableError) for result in results]
        skipped += missed
        pixels.put(images)
        if on_decoded:
            on_decoded(images, len(kept), max(count, len(kept)))
    return np.array(kept, dtype=bool), tuple(skipped)


def decoded(
    rows: Iterable[Row], count: int, size: int, resize: str
) -> Iterator[tuple[list[str], list[Result]]]:
    """Names and results of some of ``rows`` after others, in order; ``count`` is about how many."""
    with calm(), ExitStack() as stack:
        yield from _Decoders(stack, size, resize, count).run(rows)


def readable(
    names: Sequence[str], results: Sequence[Result], size: int, *, strict: bool
) -> tuple[list[str], NDArray[np.uint8], list[Skipped]]:
    """Of what `decoded` gave: names and images [k, size, size, 3] of the readable, the others."""
    pairs = list(zip(names, results, strict=True))
    images = [result for result in results if not isinstance(result, UnreadableError)]
    kept = [name for name, result in pairs if not isinstance(result, UnreadableError)]
    skipped = [Skipped(n, str(e), e.passing) for n, e in pairs if isinstance(e, UnreadableError)]
    if strict and skipped:
        raise UserError(
            f"{skipped[0].path} cannot be read ({skipped[0].reason}): repair or remove it,"
            " or load without strict to skip it"
        )
    return kept, np.stack(images) if images else np.empty((0, size, size, 3), np.uint8), skipped


class _Decoders:
    """Chunks of files decoded side by side, in order: what ends with ``stack`` does the work.

    Large files go to threads. Small ones are decoded here, and by `Workers` once the first
    chunks have shown that what is left of ``count`` would take long.
    """

    def __init__(self, stack: ExitStack, size: int, resize: str, count: int) -> None:
        self._stack = stack
        self._size = size
        self._resize = resize
        self._left = count
        self._most = max(1, min(CHUNK, CHUNK_BYTES // (3 * size * size)))
        self._rows = min(FEW, self._most)
        self._threads = ThreadPoolExecutor(min(MOST, os.cpu_count() or 1))
        # Left last: workers must be gone for the threads that wait for them.
        stack.callback(self._threads.shutdown, cancel_futures=True)
        self._workers: Workers | None = None
        self._asked = False
        self._ahead = 0  # chunks that are on the way while one is in use

    def run(self, rows: Iterable[Row]) -> Iterator[tuple[list[str], list[Result]]]:
        """Names and results of each chunk, in the order of ``rows``."""
        pending: deque[tuple[list[str], Callable[[], list[Result]]]] = deque()
        iterator = iter(rows)
        while chunk := _read_chunk(iterator, self._rows):
            names = [name for name, _ in chunk]
            pending.append((names, self._begin(names, [content for _, content in chunk])))
            self._left -= len(chunk)
            while len(pending) > self._ahead:
                names, finish = pending.popleft()
                yield names, finish()
        for names, finish in pending:
            yield names, finish()

    def _begin(
        self, names: Sequence[str], contents: Sequence[Content]
    ) -> Callable[[], list[Result]]:
        """What gives the results of ``contents``, which may be under way."""
        sizes = [len(c) for c in contents if isinstance(c, bytes)]
        if sizes and sum(sizes) >= THREADS_FROM_BYTES * len(sizes):
            self._ahead, self._rows = 2, min(FEW, self._most)
            results = self._threads.map(attempt, contents, repeat(self._size), repeat(self._resize))
            return lambda: list(results)
        self._rows = self._most
        if self._workers:
            self._ahead = 2 * len(self._workers.processes)
            return self._threads.submit(self._elsewhere, self._workers, names, contents).result
        self._ahead = 0
        return lambda: self._here(contents)

    def _here(self, contents: Sequence[Content]) -> list[Result]:
        start = perf_counter()
        results = [attempt(data, self._size, self._resize) for data in contents]
        seconds_left = (perf_counter() - start) / len(contents) * self._left
        if seconds_left > WORKERS_FROM_S and not self._asked:
            self._asked = True
            self._workers = start_workers()
            if self._workers:
                self._stack.callback(self._workers.close)
        return results

    def _elsewhere(
        self,
        workers: Workers,
        names: Sequence[str],
        contents: Sequence[Content],
    ) -> list[Result]:
        sent = [data if isinstance(data, bytes) else b"" for data in contents]
        answers = workers.decode(names, sent, self._size, self._resize)
        return [self._result(data, answer) for data, answer in zip(contents, answers, strict=True)]

    def _result(self, data: Content, answer: NDArray[np.uint8] | str) -> Result:
        """What a worker made of ``data``; where it had no memory, what this process makes of it."""
        if isinstance(data, bytes) and not isinstance(answer, str):
            return answer
        if not isinstance(data, bytes) or answer == LACKED_MEMORY:
            return attempt(data, self._size, self._resize)
        return UnreadableError(str(answer))


def _read_chunk(rows: Iterator[Row], count: int) -> list[tuple[str, Content]]:
    """Names and contents of the next ``count`` of ``rows``, or of fewer that hold enough bytes."""
    chunk: list[tuple[str, Content]] = []
    left = CHUNK_BYTES
    for name, reader in islice(rows, count):
        content = read_one(reader)
        chunk.append((name, content))
        left -= len(content) if isinstance(content, bytes) else 0
        if left < 0:
            break
    return chunk


def read_one(reader: Reader | Known) -> Content:
    """What ``reader`` reads, or why nothing can be read."""
    try:
        return reader()
    except UnreadableError as error:
        return error
    except OSError as error:
        return UnreadableError(f"cannot be read: {error.strerror or error}", passing=True)
    except MemoryError:
        return UnreadableError("not enough memory to read it", passing=True)


@contextmanager
def calm() -> Iterator[None]:
    """Turn Pillow's size warning into an error, and silence its remarks on metadata."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
