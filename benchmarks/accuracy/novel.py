"""Accuracy on known, new and all classes of finished runs of method `novel`.

    lll compare benchmarks/accuracy/novel-features.toml --out runs/novel
    python -m benchmarks.accuracy.novel runs/novel/*-seed*/

The outputs of classes that were never represented are named after these by the Hungarian method, on
the test images; those of known classes keep their names. Each figure is over test images.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from lll import load_run
from lll.metrics.accuracy import confusion
from lll.show.material import Material


def known_new_all(
    predicted: NDArray[np.int64], truth: NDArray[np.int64], known: Sequence[int], classes: int
) -> dict[str, float]:
    """Shares of images [n] that are right: of known classes, of the others, of all."""
    new = [c for c in range(classes) if c not in known]
    counts = confusion(predicted, truth, classes)
    slots, names = linear_sum_assignment(-counts[np.ix_(new, new)].T)
    name_of = np.arange(classes)
    name_of[np.array(new)[slots]] = np.array(new)[names]
    right = name_of[predicted] == truth
    of_known = np.isin(truth, known)
    return {"known": right[of_known].mean(), "new": right[~of_known].mean(), "all": right.mean()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    for path in parser.parse_args(arguments).runs:
        material = Material(load_run(path))
        known = material.prepared.labels.at(material.run.config.epochs - 1).classes
        names = len(material.class_names)
        found = known_new_all(material.predicted, material.labels, tuple(known), names)
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in found.items())
        sys.stdout.write(f"{path.name}: {shares}\n")


if __name__ == "__main__":
    main()
