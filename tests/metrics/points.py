"""Points in the plane or above, in groups that overlap a little."""

import numpy as np


def blobs(each=40, classes=4, features=6, spread=1.5, seed=0):
    """Points float32 [classes * each, features] around random centres, and their classes."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 2, (classes, features))
    labels = np.repeat(np.arange(classes, dtype=np.int64), each)
    points = centres[labels] + rng.normal(0, spread, (len(labels), features))
    order = rng.permutation(len(labels))
    return points[order].astype(np.float32), labels[order]
