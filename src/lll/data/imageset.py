"""What a data set is: images, labels, ids, class names, a train/test split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from lll.data.rows import Rows
from lll.labels.events import Giver


@dataclass(frozen=True)
class ImageSet:
    """Images with what is known of them.

    ``images`` uint8 [n, height, width, 3] in RGB, an array or, where they are in a file,
    `Rows`; ``labels`` int64 [n], an index into the data set's class names or -1 for
    unlabelled; ``ids`` str [n], stable and unique.
    """

    images: NDArray[np.uint8] | Rows
    labels: NDArray[np.int64]
    ids: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> ImageSet:
        """The rows that ``index`` (positions or a mask [n]) picks, in its order.

        Images in memory are copied; those in a file are not read.
        """
        images = self.images
        if isinstance(images, np.memmap):
            images = Rows.of(images)
        picked = images.take(index) if isinstance(images, Rows) else images[index]
        return ImageSet(picked, self.labels[index], self.ids[index])


@dataclass(frozen=True)
class Skipped:
    """An image that could not be used, and why.

    ``passing`` if the cause is not in the file itself: another time it may be readable.
    """

    path: str
    reason: str
    passing: bool = False


@dataclass(frozen=True)
class Unused:
    """Files that were not used for one ``reason``: how many, and the ``first`` of them."""

    reason: str
    count: int
    first: str


@dataclass(frozen=True)
class DataSet:
    """A named data set: class names, training images and test images.

    ``validation`` are the images that the source gives for it; None where it gives none.
    ``skipped`` lists the images of the source that could not be read, ``unused`` counts the
    files that are no images or hidden. ``givers`` say of labels that came as events, by id, where
    they are from, and ``seq`` is the last event of the store that they came from.
    ``fingerprint`` is that of `lll.data.fingerprint` where it is known already, else "".
    """

    name: str
    class_names: tuple[str, ...]
    train: ImageSet
    test: ImageSet
    skipped: tuple[Skipped, ...] = ()
    validation: ImageSet | None = None
    unused: tuple[Unused, ...] = ()
    givers: Mapping[str, Giver] = field(default_factory=dict)
    seq: int = 0
    # Not of __init__, so that dataclasses.replace, which changes the content, forgets it.
    fingerprint: str = field(default="", init=False, compare=False)

    def with_fingerprint(self, fingerprint: str) -> DataSet:
        """The same data set with its ``fingerprint`` known."""
        same = replace(self)
        object.__setattr__(same, "fingerprint", fingerprint)
        return same

    def with_unused(self, unused: tuple[Unused, ...]) -> DataSet:
        """The same data set, which passed over ``unused`` files as well."""
        return replace(self, unused=self.unused + unused).with_fingerprint(self.fingerprint)

    @property
    def parts(self) -> dict[str, ImageSet]:
        """The images by split: ``train``, ``validation`` where it is given, ``test``."""
        given = {} if self.validation is None else {"validation": self.validation}
        return {"train": self.train, **given, "test": self.test}
