"""Train with an encoder of your own: any module from images [n, 3, s, s] to encodings [n, d]."""

import sys

from torch import nn

from lll import RunConfig, train


def small_encoder() -> nn.Module:
    """Two convolutions and an average: 64 features per image."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def main(out: str) -> None:
    """Train for two epochs into the folder ``out``."""
    config = RunConfig(data="digits", method="gradual", epochs=2, labels="4:50/class")
    run = train(config, out, encoder=small_encoder())
    print(f"test accuracy {run.result['test_accuracy_final']:.3f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/own-encoder")
