"""Images per second from files to features: ours beside a plain loop of Pillow and torch.

    python benchmarks/features.py
    python benchmarks/features.py --rounds 1 --data cifar10

Ours is what every command does (decode, resize, encode, keep), with an empty cache in each
round. The plain loop opens, turns, shrinks and crops each photo with Pillow and runs the same
network as it is, in float32: one photo at a time, and in batches of 32. All take turns in this
process, with as many threads as it may use cores. Photos are drawn (`tests/photos.py`), so that
nothing is downloaded. With --data the second table is that data set, small images already decoded.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from common import ROOT, ratios, save, show, show_line, shown, spread

sys.path.insert(0, str(ROOT))

ENCODER, SIZE = "efficientnet_lite2", 128
BATCH = 32
# name -> width, height and number of photos
PHOTOS = {"0.3 megapixels": (640, 480, 200), "12 megapixels": (4000, 3000, 24)}


def ours(folder: Path) -> int:
    """Features of all photos in ``folder``, through an empty cache; how many."""
    from lll.data import load_data
    from lll.learn.features import features_of, keep_as_decoded

    with tempfile.TemporaryDirectory(prefix="lll-bench-") as name:
        cache = Path(name)
        keep = keep_as_decoded(frozen(), cache=cache)
        how: dict[str, Any] = {"image_size": SIZE, "resize": "crop", "test_share": 0}
        data = load_data(folder, cache=cache, on_decoded=keep, **how)
        return len(features_of(data.train, frozen(), views=0, cache=cache))


def plain(batch: int, folder: Path) -> int:
    """The same with Pillow and torch alone; how many."""
    import torch

    net = as_published()
    files = sorted(folder.rglob("*.jpg"))
    with torch.inference_mode():
        for start in range(0, len(files), batch):
            net(torch.stack([plain_photo(file) for file in files[start : start + batch]]))
    return len(files)


def plain_photo(file: Path) -> Any:
    """One photo [3, s, s] in [0, 1], as everyone writes it."""
    import numpy as np
    import torch
    from PIL import Image, ImageOps

    with Image.open(file) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
        fitted = ImageOps.fit(upright, (SIZE, SIZE), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(fitted)).permute(2, 0, 1) / 255


JOBS: dict[str, Callable[[Path], int]] = {
    "ours": ours,
    "plain": partial(plain, 1),
    "plain, batches": partial(plain, BATCH),
}


@cache
def frozen() -> Any:
    """Our encoder, ready to encode."""
    from lll.nets.frozen import frozen_encoder

    return frozen_encoder(ENCODER, SIZE)


@cache
def as_published() -> Any:
    """The network as it is: float32, batch norm, no joined layers."""
    from lll.nets.encoders import build_encoder

    return build_encoder(ENCODER, SIZE, 128, "relu").eval()


def write_photos(folder: Path, width: int, height: int, count: int) -> int:
    """``count`` JPEG photos with grain, as large as a camera's; their bytes."""
    import numpy as np
    from PIL import Image
    from tests.photos import KINDS, draw_photo

    for i in range(count):
        kind = [*KINDS][i % len(KINDS)]
        photo = draw_photo(kind, i).resize((width, height), Image.Resampling.BICUBIC)
        grain = np.random.default_rng(i).integers(-8, 8, (height, width, 1), dtype=np.int16)
        pixels = np.clip(np.asarray(photo, np.int16) + grain, 0, 255).astype(np.uint8)
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / kind / f"{i}.jpg", quality=90)
    return sum(file.stat().st_size for file in folder.rglob("*.jpg"))


def in_turn(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Images per second of each job in each round, after one that is not counted."""
    rates: dict[str, list[float]] = {name: [] for name in JOBS}
    for number in range(-1, rounds):
        for name in JOBS if number % 2 else reversed(JOBS):
            begun = time.perf_counter()
            count = JOBS[name](folder)
            if number >= 0:
                rates[name].append(count / (time.perf_counter() - begun))
    return rates


def photos(rounds: int) -> dict[str, Any]:
    """Ours and the plain loops on each kind of photo."""
    results: dict[str, Any] = {}
    for name, (width, height, count) in PHOTOS.items():
        with tempfile.TemporaryDirectory(prefix="lll-bench-") as folder:
            size = write_photos(Path(folder), width, height, count)
            show_line(f"{name}: {count} photos of {size / count / 1e6:.2f} MB ...")
            rates = in_turn(Path(folder), rounds)
        results[name] = {
            "photos": count,
            "bytes": size,
            "images_per_second": {job: spread(values) for job, values in rates.items()},
            "ratios": {
                f"ours / {job}": ratios(rates["ours"], rates[job]) for job in JOBS if job != "ours"
            },
        }
    return results


def decoded(source: str, images: int, rounds: int) -> dict[str, Any]:
    """Encoding small images that are decoded already: resize to 128, encode, keep."""
    import numpy as np

    from lll.data import load_data
    from lll.learn.features import features_of

    train = load_data(source).train
    few = train.take(np.arange(min(images, len(train))))
    seconds = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="lll-bench-") as cache:
            begun = time.perf_counter()
            features_of(few, frozen(), views=0, cache=Path(cache))
            seconds.append(time.perf_counter() - begun)
    return {"images": len(few), "images_per_second": spread([len(few) / s for s in seconds])}


def main() -> None:
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", help="data set of small images, for the second table")
    parser.add_argument("--images", type=int, default=4000, help="of --data, at most (%(default)s)")
    given = parser.parse_args()
    result: dict[str, Any] = {"encoder": ENCODER, "size": SIZE, "bfloat16": frozen().half}
    result["photos"] = photos(given.rounds)
    rows = [
        [
            name,
            *(shown(rates) for rates in found["images_per_second"].values()),
            *(shown(times, ".1f") for times in found["ratios"].values()),
        ]
        for name, found in result["photos"].items()
    ]
    columns = ["photos/s", *JOBS, "ours/plain", "ours/batches"]
    show(f"JPEG files to features, {ENCODER} at {SIZE}", columns, rows)
    if given.data:
        result["decoded"] = found = decoded(given.data, given.images, given.rounds)
        row = [f"{found['images']:,}", shown(found["images_per_second"])]
        show(f"{given.data}, decoded, to features", ["images", "images/s"], [row])
    save("features", result)


if __name__ == "__main__":
    main()
