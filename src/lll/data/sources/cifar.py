"""CIFAR-10 and CIFAR-100, binary version: one download, checked, then read from the cache."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lll.data.assemble import Options, assemble, row_ids
from lll.data.cache import cache_folder
from lll.data.download import DownloadError, Progress, download
from lll.data.imageset import DataSet
from lll.data.shaping import resize_all
from lll.errors import UserError

SIDE = 32
PIXEL_BYTES = 3 * SIDE * SIDE


@dataclass(frozen=True)
class Member:
    """One file of records in the archive."""

    path: str
    split: str
    records: int


@dataclass(frozen=True)
class Archive:
    """Where an archive is and how it is laid out.

    A record is ``label_bytes`` bytes of labels, of which the one at ``label_at`` is used,
    then 3,072 bytes of pixels: the red plane, the green, the blue, each row by row.
    """

    name: str
    url: str
    sha256: str
    names_path: str
    members: tuple[Member, ...]
    label_bytes: int = 1
    label_at: int = 0

    @property
    def file_name(self) -> str:
        """The file's name in the cache folder."""
        return self.url.rsplit("/", 1)[-1]


CIFAR10 = Archive(
    name="cifar10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",  # 170,052,171 bytes
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    names_path="cifar-10-batches-bin/batches.meta.txt",
    members=(
        *(Member(f"cifar-10-batches-bin/data_batch_{i}.bin", "train", 10_000) for i in range(1, 6)),
        Member("cifar-10-batches-bin/test_batch.bin", "test", 10_000),
    ),
)
CIFAR100 = Archive(
    name="cifar100",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    names_path="cifar-100-binary/fine_label_names.txt",
    members=(
        Member("cifar-100-binary/train.bin", "train", 50_000),
        Member("cifar-100-binary/test.bin", "test", 10_000),
    ),
    label_bytes=2,
    label_at=1,  # the first byte is the coarse label
)


def load_archive(
    archive: Archive,
    options: Options,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> DataSet:
    """The data set of ``archive``, fetched at most once; ids are ``cifar10/train/00000`` ...

    Raises UserError if it can neither be found in the cache nor fetched.
    """
    path = fetch_archive(archive, cache, progress)
    contents = read_members(archive, path)
    class_names = tuple(contents[archive.names_path].decode().split())
    images = options.pixels()
    labels, ids, splits = [], [], []
    counts = {"train": 0, "test": 0}
    for member in archive.members:
        pixels, member_labels = _records(archive, contents[member.path])
        images.put(resize_all(pixels, options.image_size, options.resize))
        labels.append(member_labels)
        start = counts[member.split]
        ids.append(row_ids(f"{archive.name}/{member.split}", member.records, start))
        splits.append(np.full(member.records, member.split))
        counts[member.split] += member.records
    return assemble(
        archive.name,
        class_names,
        images.rows(),
        np.concatenate(labels),
        np.concatenate(ids),
        np.concatenate(splits),
        test_share=options.test_share,
    )


def fetch_archive(
    archive: Archive, cache: Path | None = None, progress: Progress | None = None
) -> Path:
    """The path of the archive in the cache folder, downloaded if it is not there.

    ``cache`` defaults to the user's cache folder for ``lll``. A file there that fails its
    checksum is fetched anew. A download goes to a temporary file that is renamed once its
    checksum is right, so a failed one leaves nothing behind and the next call starts clean.

    Raises UserError naming the URL and the remedy.
    """
    path = cache_folder(cache) / archive.file_name
    try:
        download(archive.url, archive.sha256, path, progress)
    except DownloadError as error:
        raise UserError(
            f"{archive.url} could not be fetched ({error}) and will be fetched again next time:"
            f" use --data digits, which needs no network, or put the file by hand at {path}"
        ) from error
    except OSError as error:
        raise UserError(
            f"{path.parent} cannot be written ({error.strerror or error}): choose another cache"
        ) from error
    return path


def read_members(archive: Archive, path: Path) -> dict[str, bytes]:
    """The members of the archive by name, in memory; by its checksum they are as they should be."""
    wanted = {archive.names_path, *(member.path for member in archive.members)}
    contents: dict[str, bytes] = {}
    with tarfile.open(path, "r:gz") as tar:
        for info in tar:
            name = info.name.removeprefix("./")
            if name in wanted:
                stream: Any = tar.extractfile(info)
                contents[name] = stream.read()
    return contents


def _records(archive: Archive, data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images [n, 32, 32, 3] and labels [n] of one member."""
    rows = np.frombuffer(data, dtype=np.uint8).reshape(-1, archive.label_bytes + PIXEL_BYTES)
    planes = rows[:, archive.label_bytes :].reshape(-1, 3, SIDE, SIDE)
    images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    return images, rows[:, archive.label_at].astype(np.int64)
