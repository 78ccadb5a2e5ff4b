"""The learner: all that changes while learning, with the verbs that everything else uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from lll.config import RunConfig
from lll.errors import UserError
from lll.learn.device import InBfloat16
from lll.learn.front import last_blocks
from lll.learn.optimizers import clipped, load_states, new_optimizers, summed
from lll.methods.batch import Batch
from lll.methods.method import Losses, Method, Nets, Rows, Shape, Stages, Step
from lll.methods.novel.quantiles import Quantiles
from lll.nets import (
    activation_named,
    build_encoder,
    encoding_width,
    evaluating,
    feature_head,
    reset_module,
    weights_from,
)
from lll.nets.encoders import CUSTOM_ENCODER
from lll.nets.frozen import Frozen
from lll.ranks import ALONE, Ranks
from lll.seeding import derive
from lll.views.geometric import unit_floats

FRONT_BATCH = 64

Figures = dict[str, Tensor]


class Learner(nn.Module):
    """The encoder and the method's parts, and the optimizers that move them.

    A network, a running threshold, a teacher average, a memory bank: each is a parameter or
    a buffer here, so checkpoints, devices and copies need no list of their own. The verbs:

    - `step` takes a minibatch through every step of the method's stage;
    - `logits` and `answer` say what the learner makes of inputs;
    - `grow` adds classes, and leaves the earlier ones as they are;
    - `exchange` gives outputs that have gathered images to the classes of these images;
    - `state_dict`, and `optimizer_states` beside it, are all there is to save.

    With a frozen encoder in ``front`` it learns on features [n, d]. ``ranks`` train it
    together; ``bfloat16`` says in what networks are computed.
    """

    def __init__(
        self,
        config: RunConfig,
        classes: int,
        encoder: nn.Module,
        features: int,
        *,
        device: torch.device,
        front: Frozen | None = None,
        bfloat16: bool = False,
        ranks: Ranks = ALONE,
    ) -> None:
        super().__init__()
        self.config, self.stage, self.front = config, 0, front
        self.device, self.in_bfloat16, self.ranks = device, bfloat16, ranks
        last = None if front is None else front.last
        shape = Shape(features, classes, config.width, config.activation, last)
        self.add_module("encoder", encoder)
        for name, part in self.method.parts(shape, config.options).items():
            self.add_module(name, part)
        if self.method.fit is None:
            self.add_module("unknown", Quantiles())
        self._follow()
        self.to(device)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizers = new_optimizers(self.parts, self.config)

    @property
    def method(self) -> Method:
        """How it learns."""
        return self.config.how

    @property
    def stages(self) -> Stages:
        """The method's stages, each an ordered list of steps."""
        return self.method.stages(self.config.options)

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The encoder and the method's parts by name."""
        return dict(self.named_children())

    def step(self, batch: Batch) -> Figures:
        """Take ``batch`` through every step of the stage, in order; losses and figures by name.

        With several ranks the figures are contributions that add up to the whole.
        """
        nets, figures = self._nets(), Figures()
        for step in self.stages[self.stage]:
            losses = self.take(step, batch, nets)
            if losses is not None:
                if len(losses.values):
                    figures[f"{step.name}_loss"] = losses.values.detach().mean()
                figures |= losses.figures
        return figures

    def take(self, step: Step, batch: Batch, nets: Nets | None = None) -> Losses | None:
        """One step: its losses from one forward pass, then one optimizer update for each."""
        with self._moving_only(step.reaches):
            losses = step.run(self._nets() if nets is None else nets, batch, self.config.options)
        if losses is None or not step.reaches:
            return losses
        reached = [p for name in step.reaches for p in self.parts[name].parameters()]
        # All gradients before any update: an update would change what the others are taken at.
        gradients = [
            torch.autograd.grad(
                loss, reached, retain_graph=number + 1 < len(losses.values), allow_unused=True
            )
            for number, loss in enumerate(losses.values)
        ]
        owners = dict.fromkeys(self.method.owner(name) for name in step.reaches)
        for gradient in gradients:
            whole = clipped(summed(gradient, reached, self.ranks), step.clip)
            for parameter, value in zip(reached, whole, strict=True):
                parameter.grad = value
            for owner in owners:
                if owner in self.optimizers:
                    self.optimizers[owner].step()
        # Left behind, they would move these parts in the next step, which may not reach them.
        for parameter in reached:
            parameter.grad = None
        return losses

    def fit(self, rows: Rows) -> Mapping[str, Any]:
        """Fit the parts to all ``rows`` at once, of a method that does so; figures and notes."""
        assert self.method.fit is not None
        with torch.no_grad():
            return self.method.fit(self.parts, rows, self.config.options)

    def logits(self, inputs: Shaped[Tensor, "n ..."]) -> Float[Tensor, "n classes"]:
        """A score for each class: images uint8 [n, 3, h, w], or features [n, d]."""
        return self.answer(inputs)[1]

    def answer(
        self, inputs: Shaped[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n classes"]]:
        """Encodings and logits of ``inputs`` as in `logits`, in float32, without a gradient."""
        with evaluating(self), torch.inference_mode():
            if inputs.dtype == torch.uint8 and self.front is not None:
                parts = [self.front(unit_floats(part)) for part in torch.split(inputs, FRONT_BATCH)]
                inputs = torch.cat(parts).half()  # as features are kept
            floats = unit_floats(inputs) if inputs.dtype == torch.uint8 else inputs.float()
            return self.method.answers(self.parts, floats)

    def grow(self, classes: int) -> None:
        """Have ``classes`` classes: each part that has a ``grow`` of its own grows.

        Old outputs keep weights and the optimizer's memory to the bit; new ones draw their weights
        from the seed and begin with the optimizer's moments at zero.
        """
        states = self.optimizer_states()
        for name, part in self.parts.items():
            if callable(grow := getattr(part, "grow", None)):
                with weights_from(derive(self.config.seed, name, classes)):
                    grow(classes)
        self._follow()
        self.optimizers = new_optimizers(self.parts, self.config)
        self.load_optimizer_states(states)

    def exchange(self, order: Sequence[int]) -> None:
        """Let output i be what output ``order[i]`` [k] was, in the parts whose outputs gather.

        The optimizer's memory of an output goes with it.
        """
        index = torch.as_tensor(order, device=self.device)
        parameters = [p for name in self.method.gathers for p in self.parts[name].parameters()]
        states = [o.state.get(p, {}) for o in self.optimizers.values() for p in parameters]
        moments = [v for state in states for v in state.values() if isinstance(v, Tensor)]
        for rows in (*parameters, *(value for value in moments if value.dim())):
            rows.data.copy_(rows.data[index])

    def place(self, device: torch.device) -> None:
        """Move everything to ``device``, the optimizers' memory too."""
        states = self.optimizer_states()
        self.device = device
        self.to(device)
        self.optimizers = new_optimizers(self.parts, self.config)
        self.load_optimizer_states(states)

    def begin_stage(self, stage: int) -> None:
        """Go to ``stage``; one after the first begins with a new probe and new optimizers."""
        if stage == self.stage:
            return
        self.stage = stage
        reset_module(self.parts["probe"], derive(self.config.seed, "probe", stage))
        self.optimizers = new_optimizers(self.parts, self.config)

    def set_rates(self, rates: Mapping[str, float]) -> None:
        """Set the learning rate of each optimizer."""
        for owner, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rates[owner])
                else:
                    group["lr"] = rates[owner]

    def optimizer_states(self) -> dict[str, dict[str, Any]]:
        """The optimizers' states by name."""
        return {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}

    def load_optimizer_states(self, saved: Mapping[str, Any]) -> None:
        """Take the moments and counts of ``saved``; rows gained since begin at zero."""
        load_states(self.optimizers, saved)

    def fill(self, weights: Mapping[str, Tensor], where: str) -> None:
        """Load a checkpoint's ``weights``; UserError that names ``where`` if they do not fit."""
        own = {key: value for key, value in weights.items() if key.split(".")[0] in self.parts}
        try:
            self.load_state_dict(own)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"{where}: the checkpoint does not fit this encoder, or is of an earlier version:"
                f" train the run anew ({reason})"
            ) from None

    def changing(self) -> Iterator[Tensor]:
        """Every tensor that a minibatch may change."""
        yield from (parameter.detach() for parameter in self.parameters())
        yield from self.buffers()
        for optimizer in self.optimizers.values():
            for state in optimizer.state.values():
                yield from (value for value in state.values() if isinstance(value, Tensor))

    def _follow(self) -> None:
        """Let a part that is made of others, as an average is, take their shapes."""
        for part in self.parts.values():
            if callable(follow := getattr(part, "follow", None)):
                follow(self.parts)

    def _nets(self) -> Nets:
        """The parts as functions; in bfloat16, each takes and gives float32 all the same.

        Weights, losses and updates stay in float32 (mixed precision, Micikevicius et al. 2018).
        """
        if not self.in_bfloat16:
            return self.parts
        return {name: InBfloat16(part, self.device.type) for name, part in self.parts.items()}

    @contextmanager
    def _moving_only(self, reached: Sequence[str]) -> Iterator[None]:
        """Inside, only the parts called ``reached`` train; the rest are as at evaluation.

        They build no graph, and batch norm in them neither looks at the batch nor counts it:
        a probe on a frozen encoder sees the encodings that it will be judged on.
        """
        others = [part for name, part in self.parts.items() if name not in reached]
        frozen = [p for part in others for p in part.parameters() if p.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            with ExitStack() as stack:
                for part in others:
                    stack.enter_context(evaluating(part))
                yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)


def build_learner(
    config: RunConfig,
    classes: int,
    *,
    device: torch.device,
    encoder: nn.Module | None = None,
    front: Frozen | None = None,
    bfloat16: bool = False,
    ranks: Ranks = ALONE,
    convert: Callable[[nn.Module], nn.Module] = lambda module: module,
) -> Learner:
    """The learner that ``config`` describes, with fresh weights, for ``classes`` classes.

    ``encoder``, any module from images [n, 3, s, s] in [0, 1] to encodings [n, d], stands in
    for the one that ``config.encoder`` names, and keeps its weights; the rest are drawn from
    the seed. ``convert`` changes the encoder before anything is built on it. With a
    frozen encoder in ``front`` the inputs are its features, and a small head takes its place.
    """
    if encoder is None and config.encoder == CUSTOM_ENCODER:
        raise UserError("this run was trained with an encoder of your own: pass it as encoder=")
    with weights_from(derive(config.seed, "weights")):
        features = None
        if front is not None:
            encoder, features = _head(config, front.width)
        elif encoder is None:
            encoder = build_encoder(
                config.encoder,
                config.image_size,
                config.width,
                config.activation,
                None if config.weights is None else Path(config.weights),
            )
        if features is None:
            features = encoding_width(encoder, config.image_size)
        return Learner(
            config,
            classes,
            convert(encoder),
            features,
            device=device,
            front=front,
            bfloat16=bfloat16,
            ranks=ranks,
        )


def _head(config: RunConfig, features: int) -> tuple[nn.Module, int]:
    """What is trained in place of a frozen encoder, and the width of its encodings."""
    if config.unfreeze:
        return last_blocks(config)
    if config.feature_head == "identity" or config.how.fit is not None:
        return nn.Identity(), features
    activation = activation_named(config.activation)
    return feature_head(features, config.width, activation), config.width
