"""Train on arrays of your own, most of them unlabelled, and look at what was known when."""

import sys

import numpy as np

from lll import RunConfig, train
from lll.data import from_arrays


def striped(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images [count, 32, 32, 3] with stripes across (class 0) or down (class 1)."""
    labels = rng.integers(0, 2, count)
    wave = 100 + 80 * np.sin(np.arange(32) / 2 + rng.uniform(0, 6, (count, 1)))
    across = np.repeat(wave[:, :, None], 32, axis=2)
    images = np.where(labels[:, None, None] == 0, across, across.transpose(0, 2, 1))
    noisy = images[..., None] + rng.normal(0, 30, (count, 32, 32, 3))
    return noisy.clip(0, 255).astype(np.uint8), labels


def main(out: str) -> None:
    """Train for five epochs with 40 labels among 400 images into the folder ``out``."""
    rng = np.random.default_rng(0)
    images, labels = striped(400, rng)
    labels[40:] = -1  # the rest has no label
    images_test, labels_test = striped(100, rng)
    data = from_arrays(
        images,
        labels,
        images_test=images_test,
        labels_test=labels_test,
        class_names=["across", "down"],
    )
    config = RunConfig(data="stripes", labels="2:20/class", epochs=5,
                       batch_size=50, width=32, flip=0)  # fmt: skip
    run = train(config, out, data=data)
    for epoch in run.metrics:
        print(f"{epoch['labels_known']:3d} labels: test accuracy {epoch['test_accuracy']:.2f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/own-images")
