"""What an encoder is: a function that builds it, and the facts that others need of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy import linalg
from torch import Tensor, nn

from lll.errors import UserError
from lll.nets.encoders.weights import fit_weights, read_weights

Activation = Callable[[], nn.Module]
Colour = tuple[float, float, float]
AXES = 64  # of an encoder's own classes, in which images are compared with them


@dataclass(frozen=True)
class Pretraining:
    """What the weights tell of the images that an encoder has learned on.

    ``mean`` [d] of its last layer's features, and the directions ``classes`` [k, d], of any
    length, in which its own classes lie from there.
    """

    mean: Float[Tensor, " d"]
    classes: Float[Tensor, "k d"]

    @cached_property
    def axes(self) -> Float[Tensor, "d a"]:
        """The `AXES` directions along which the classes differ most, the largest last."""
        count, scatter = len(self.classes), self.classes @ self.classes.T
        first = count - min(AXES, *self.classes.shape)
        _, found = linalg.eigh(scatter.double().numpy(), subset_by_index=(first, count - 1))
        return F.normalize(self.classes.T @ torch.from_numpy(found).to(self.classes), dim=0)


@dataclass(frozen=True)
class Encoder:
    """An encoder by name, before it is built for a size.

    ``build`` makes its network with fresh weights from (image size, width, activation); the
    network takes [n, 3, s, s], normalised with ``mean`` and ``std`` (RGB in [0, 1], None for
    as they are), and gives [n, ``features``], at a width of 128 where the width counts.
    ``size`` is the usual s in pixels and ``sizes`` the least and the most. ``weights`` gives the
    pretrained ones by name, None where there are none; ``unused`` are starts of names in weight
    files that belong to a classifier. The first ``last`` features are those of the last layer
    (None: all), the others tell more of the image. ``pretraining`` is what its weights tell of
    the images that they were learned on, None where nothing is known. ``split`` parts the
    network's layers before its last so many blocks, None where that cannot be done.
    """

    name: str
    description: str
    build: Callable[[int, int, Activation], nn.Module]
    features: int
    size: int
    sizes: tuple[int, int]
    licence: str = "MIT"
    mean: Colour | None = None
    std: Colour | None = None
    weights: Callable[[], Mapping[str, Tensor]] | None = None
    unused: tuple[str, ...] = ()
    last: int | None = None
    pretraining: Callable[[], Pretraining] | None = None
    split: Callable[[nn.Module, int], tuple[list[nn.Module], list[nn.Module]]] | None = None

    @property
    def pretrained(self) -> bool:
        """Whether it comes with weights learned elsewhere."""
        return self.weights is not None

    def check_size(self, size: int) -> int:
        """``size`` if images of so many pixels a side can be encoded, else UserError."""
        least, most = self.sizes
        if least <= size <= most:
            return size
        if least == most:
            raise UserError(f"image_size {size} does not fit encoder {self.name!r}: use {least}")
        too = "small" if size < least else "large"
        bound = f"{least} or more" if size < least else f"{most} or less"
        raise UserError(f"image_size {size} is too {too} for encoder {self.name!r}: use {bound}")

    def module(
        self, size: int, width: int, activation: Activation, weights: Path | None = None
    ) -> nn.Module:
        """The encoder for images [n, 3, size, size] of floats in [0, 1], normalisation inside.

        With pretrained weights, those in the file ``weights`` where it is given, else fresh ones.
        Raises UserError for a size that does not fit, and for weights that cannot be used.
        """
        net = self.build(self.check_size(size), width, activation)
        if weights is not None:
            fit_weights(net, read_weights(weights), str(weights), self.name, self.unused)
        elif self.weights is not None:
            fit_weights(net, self.weights(), "the package of weights", self.name, self.unused)
        if self.mean is None or self.std is None:
            return net
        return nn.Sequential(Normalise(self.mean, self.std), net)


class Normalise(nn.Module):
    """RGB in [0, 1], less ``mean`` and divided by ``std``."""

    def __init__(self, mean: Colour, std: Colour) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        for name, colour in (("mean", mean), ("std", std)):
            # Known from the encoder's name, so no part of its weights.
            self.register_buffer(name, torch.tensor(colour)[:, None, None], persistent=False)

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        """The images normalised."""
        return (images - self.mean) / self.std
