"""How much may be read: a small file must not fill the memory, nor a large one without a word.

Beyond a budget a source is refused in one line that says it.
"""

from __future__ import annotations

from pathlib import Path

from lll.errors import UserError
from lll.words import size

MAX_ZIP_BYTES = 64 * 2**30  # unpacked; read member by member
MAX_PARQUET_BYTES = 2**40  # unpacked; read a batch of rows at a time
# A million small images is a large archive; the directory of one takes about 0.5 GB of memory.
MAX_MEMBERS = 1_000_000
MAX_NPZ_BYTES = 8 * 2**30  # of arrays, which are in memory all at once
MAX_TABLE_BYTES = 64 * 2**20  # a CSV of a million images; as Python's text it takes ten times that
MAX_ID_BYTES = 2**30  # NumPy gives each text the room of the longest
# Deflate reaches 1000:1 on zeros; uncompressed drawings stay well under 200:1.
MAX_RATIO = 200
# Below this a file can do no harm, whatever its ratio.
RATIO_FROM_BYTES = 16 * 2**20


def check_unpacked(unpacked: int, packed: int, most: int, path: Path, remedy: str) -> None:
    """UserError with the ``remedy`` if ``path`` holds more bytes than it may, or looks like a bomb.

    ``unpacked`` are the bytes that it says it holds in ``packed`` bytes, ``most`` those allowed.
    """
    if unpacked > most:
        raise UserError(f"{path} unpacks to {size(unpacked)}, more than {size(most)}: {remedy}")
    if unpacked > RATIO_FROM_BYTES and unpacked > MAX_RATIO * packed:
        raise UserError(
            f"{path} unpacks to {unpacked // max(packed, 1)} times its size, more than"
            f" {MAX_RATIO}, like a bomb: {remedy}"
        )
