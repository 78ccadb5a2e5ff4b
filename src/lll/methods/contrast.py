"""The step that contrasts two strong views of every image, without labels."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from torch import nn

from lll.errors import lookup
from lll.methods.batch import Batch
from lll.methods.classify import probe
from lll.methods.losses.contrast import CONTRASTS
from lll.methods.method import Losses, MethodOptions, Names, Nets, Shape, Step
from lll.nets import activation_named, projection_head


class ContrastOptions(MethodOptions):
    """Options of the methods that contrast views."""

    contrast: Annotated[str, Names(CONTRASTS)] = Field(
        "info_nce", description="the contrastive loss (nt_xent takes negatives of both views)"
    )
    temperature: float = Field(0.1, gt=0, description="temperature of the contrastive loss")

    @field_validator("contrast")
    @classmethod
    def _known_contrast(cls, name: str) -> str:
        lookup(CONTRASTS, name, "contrast")
        return name


def parts(shape: Shape, options: MethodOptions) -> dict[str, nn.Module]:
    """A projection head and a linear probe."""
    head = projection_head(shape.features, shape.width, activation_named(shape.activation))
    return {"projection": head, **probe(shape, options)}


def contrast(nets: Nets, batch: Batch, options: ContrastOptions) -> Losses | None:
    """Contrastive loss between two strong views of labelled and unlabelled images together.

    With several ranks the negatives are the images of all of them.
    """
    pool = batch.everything
    if not pool.total:
        return None
    projections = nets["projection"](nets["encoder"](pool.strong(times=2)))
    first, second = (pool.gather(half) for half in projections.chunk(2))
    loss, accuracy = CONTRASTS[options.contrast](first, second, options.temperature)
    return Losses(batch.whole(loss)[None], {"contrastive_accuracy": batch.whole(accuracy)})


CONTRAST = Step("contrast", contrast, ("encoder", "projection"))
