"""What a method is: options with their help texts, parts, steps, and who answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from lll.methods.batch import Batch
from lll.nets.encoders.encoder import Pretraining

Nets = Mapping[str, Any]
"""The encoder and the method's parts by name; calling one runs it, in the run's precision."""


class MethodOptions(BaseModel):
    """The options that a method owns. A field's description is its help text everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Names:
    """Marks a setting that is one of the names in ``table``; help texts list those there are.

    As in ``rule: Annotated[str, Names(RULES)]``.
    """

    table: Mapping[str, Any]


@dataclass(frozen=True)
class Losses:
    """What a step hands back: ``values`` [k], one optimizer update each, and ``figures``.

    The losses share one forward pass. Figures are scalars to record, without a gradient.
    With several ranks all of them are contributions, as `Pool.mean` and `Batch.whole` make
    them: their sum over the ranks is that of the whole minibatch.
    """

    values: Float[Tensor, " k"]
    figures: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)


StepFunction = Callable[[Nets, Batch, Any], Losses | None]
"""(nets, batch, the method's options) -> losses, or None where there is nothing to learn."""


@dataclass(frozen=True)
class Step:
    """One loss of a method: its name in the metrics, its function, the parts it moves.

    ``clip`` is the longest gradient, over all those parts, that an update is given; a longer one
    is shortened to it. None leaves all as they are.
    """

    name: str
    run: StepFunction
    reaches: tuple[str, ...] = ()
    clip: float | None = None


@dataclass(frozen=True)
class Shape:
    """What parts are built for: ``features`` of the encoder, ``classes``, and ``width`` and
    ``activation`` (a name in `lll.nets.ACTIVATIONS`) as in the configuration. The first ``last``
    features are those of the encoder's last layer, None for all.
    """

    features: int
    classes: int
    width: int
    activation: str
    last: int | None = None


Parts = Callable[[Shape, Any], dict[str, nn.Module]]
Stages = tuple[tuple[Step, ...], ...]


@dataclass(frozen=True)
class Rows:
    """What a fit is handed: all rows that are known of at once.

    ``inputs`` [n, d] are features; ``views`` [v, m, d] those of some of the images, as they are
    and then augmented; ``targets`` [n] class indices, -1 for no label; ``classes`` counts the
    classes of the data set; the first ``last`` features are those of the encoder's last layer, None
    for all, and ``pretraining`` is what is known of the images it was learned on. In ``shared`` a
    fit leaves what others to the same inputs and views can use.
    """

    inputs: Float[Tensor, "n d"]
    views: Float[Tensor, "v m d"]
    targets: Int[Tensor, " n"]
    classes: int
    seed: int
    last: int | None = None
    pretraining: Pretraining | None = None
    shared: dict[str, Any] = field(default_factory=dict)


Fit = Callable[[Nets, Rows, Any], Mapping[str, Any]]
"""(nets, rows, the method's options) -> figures and notes to record; it fills the parts."""


def no_stages(options: Any) -> Stages:
    """Of a method that fits and takes no steps."""
    return ((),)


def through_probe(nets: Nets, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Encodings [n, d] and logits [n, classes] of ``inputs``: who answers, unless told."""
    encodings = nets["encoder"](inputs)
    return encodings, nets["probe"](encodings)


@dataclass(frozen=True)
class Method:
    """A way to learn. To add one: a file with a `Method`, and a line in `lll.methods.METHODS`.

    ``options`` is the class of its options; ``parts`` builds its modules beside the encoder;
    ``stages`` gives its stages, each an ordered list of steps; ``first_epochs`` how many
    epochs the first of two stages takes. A method with ``fit`` takes no steps: at each epoch
    its parts are fitted to all features and labels known. ``answers`` gives encodings and logits at
    prediction. ``defaults`` is what it changes of the defaults, from what is given.
    ``variant`` is what a title adds to its name.
    In the parts named in ``gathers``, outputs of classes without labels gather images by
    themselves, and each parameter has a row for each output.
    ``by_contrastive_rate`` names the parts that learn at the contrastive rate; the others
    learn at the probe's.
    """

    summary: str
    options: type[MethodOptions]
    parts: Parts
    stages: Callable[[Any], Stages] = no_stages
    fit: Fit | None = None
    answers: Callable[[Nets, Tensor], tuple[Tensor, Tensor]] = through_probe
    defaults: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda given: {}
    first_epochs: Callable[[Any], int] = lambda options: 0
    variant: Callable[[Any], str] = lambda options: ""
    gathers: tuple[str, ...] = ()
    by_contrastive_rate: tuple[str, ...] = ("encoder", "projection")

    def owner(self, part: str) -> str:
        """Which of the two optimizers moves ``part``."""
        return "contrastive" if part in self.by_contrastive_rate else "probe"
