"""The 1,797 handwritten digits that scikit-learn ships: no network, no files."""

from __future__ import annotations

import numpy as np

from lll.data.assemble import Options, assemble
from lll.data.imageset import DataSet

TEST_SHARE = 0.2


def load_digits(options: Options) -> DataSet:
    """8x8 greys from 0 to 16, scaled to 0..255 and resized (bilinear) to RGB.

    The split is fixed: 20% of each digit is test, whatever ``options.test_share`` says.
    """
    from PIL import Image
    from sklearn.datasets import load_digits as load

    bunch = load()
    grey = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    size = (options.image_size, options.image_size)
    images = np.stack(
        [
            np.asarray(Image.fromarray(g).resize(size, Image.Resampling.BILINEAR).convert("RGB"))
            for g in grey
        ]
    )
    count = len(images)
    return assemble(
        "digits",
        tuple(str(digit) for digit in range(10)),
        images,
        bunch.target.astype(np.int64),
        np.array([f"digits/{i:04d}" for i in range(count)], dtype=np.str_),
        np.full(count, "", dtype=np.str_),
        test_share=TEST_SHARE,
    )
