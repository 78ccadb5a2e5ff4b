"""The map on which neighbours stay neighbours, drawn by a process of its own.

UMAP holds Python's lock for whole seconds, and the page would wait for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import numpy as np
from jaxtyping import Float

NEIGHBOURS = 15
ABSENT = 3  # the exit status where umap-learn is missing
LOOK_S = 0.5
NICE = 10  # the page and its model come first


class AbsentError(Exception):
    """umap-learn is not installed."""


def neighbours_stay(
    points: Float[np.ndarray, "n d"], seed: int, stale: Callable[[], bool]
) -> Float[np.ndarray, "n 2"] | None:
    """``points`` in two dimensions by UMAP (McInnes et al. 2018); None once it is ``stale``.

    n is above `NEIGHBOURS`. Raises AbsentError, and OSError where the process failed.
    """
    with tempfile.TemporaryDirectory(prefix="lll-map-") as name:
        folder = Path(name)
        np.save(folder / "points.npy", points)
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder), str(seed)], stdin=subprocess.DEVNULL
        )
        try:
            while (status := _ended(process)) is None:
                if stale():
                    return None
        finally:
            process.kill()
            process.wait()
        if status == ABSENT:
            raise AbsentError
        if status:
            raise OSError(f"the map could not be drawn (exit status {status})")
        found: np.ndarray = np.load(folder / "map.npy")
        return found


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(LOOK_S)
    except subprocess.TimeoutExpired:
        return None


def draw(folder: Path, seed: int) -> int:
    """Write ``map.npy`` [n, 2] beside ``points.npy`` [n, d]; the exit status."""
    os.nice(NICE)
    Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    import torch

    from lll.methods.features.graph import nearest

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Tensorflow not installed")
            from umap import UMAP
    except ModuleNotFoundError:
        return ABSENT
    points = np.load(folder / "points.npy")
    # Exact neighbours by matrix products, faster than the approximate search needs to compile.
    cosines, rows = nearest(torch.from_numpy(points), torch.from_numpy(points), NEIGHBOURS)
    distances = (1 - cosines.clamp(max=1)).numpy()
    with warnings.catch_warnings():
        # It has no search tree to place further points by, and needs none.
        warnings.filterwarnings("ignore", "precomputed_knn")
        model = UMAP(
            n_neighbors=NEIGHBOURS,
            precomputed_knn=(rows.numpy(), distances),
            init="pca",
            random_state=seed,
            n_jobs=1,
        )
        np.save(folder / "map.npy", model.fit_transform(points).astype(np.float32))
    return 0


def _follow(parent: int) -> None:
    """End when the server has ended, however it did."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(draw(Path(sys.argv[1]), int(sys.argv[2])))
