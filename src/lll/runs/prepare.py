"""From a configuration and a data set to everything that a run needs, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lll.config import RunConfig
from lll.data import load_data
from lll.data.fingerprint import array_hash, fingerprint
from lll.data.imageset import DataSet, ImageSet
from lll.errors import UserError
from lll.labels.oracle import Known, Reveal, order_of_classes
from lll.labels.schedule import EpochPlan, plan_run
from lll.labels.splits import set_aside
from lll.learn.feeding import Split, fits_on, place
from lll.methods import OPTIMIZER_OF, Stage, stages_of
from lll.methods.steps import StepOptions
from lll.ranks import ALONE, Ranks
from lll.runs.record import DataFacts, Run
from lll.views.geometric import Strength


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start: what it will do, and the data it will do it on.

    ``train``, ``validation`` and ``test`` are disjoint; ``ids`` [n] are those of ``train``.
    ``half`` says whether networks are computed in bfloat16.
    """

    config: RunConfig
    device: torch.device
    processes: Ranks
    half: bool
    facts: DataFacts
    stages: tuple[Stage, ...]
    plan: tuple[EpochPlan, ...]
    reveal: Reveal
    ids: NDArray[np.str_]
    train: Split
    validation: Split
    test: Split
    options: StepOptions

    def known(self, epoch: int) -> Known:
        """The labelled and unlabelled pools of ``epoch``."""
        return self.reveal.at(self.plan[epoch], self.config.unlabelled_pool)

    def stage(self, epoch: int) -> int:
        """Which of the method's stages ``epoch`` belongs to."""
        return 0 if epoch < self.config.pretrain_epochs else len(self.stages) - 1


def plan_rows(prepared: Prepared) -> list[dict[str, Any]]:
    """The plan as one dictionary per epoch: what is known when, and the learning rates."""
    rows = []
    for plan in prepared.plan:
        known = prepared.known(plan.epoch)
        total = len(known.labelled) + len(known.unlabelled)
        rows.append(
            {
                "epoch": plan.epoch,
                "classes": plan.classes,
                "labels_known": len(known.labelled),
                "unlabelled": len(known.unlabelled),
                "label_rate": len(known.labelled) / max(total, 1),
                "contrastive_rate": plan.contrastive_rate,
                "probe_rate": plan.probe_rate,
                "steps": [step.name for step in prepared.stages[prepared.stage(plan.epoch)]],
            }
        )
    return rows


def prepare(config: RunConfig, data: DataSet, processes: Ranks = ALONE) -> Prepared:
    """Check ``config`` against ``data`` and lay out the run; nothing is written.

    With several ``processes`` it is their run together, each on its own device.

    Raises UserError for an unknown method or rule, an unusable device, more classes than
    the data has, a class without a labelled training image, or no images.
    """
    device = pick_device(config.device, processes)
    stages = stages_of(config.method, config.rule)
    if not len(data.train):
        raise UserError(f"data {data.name!r} has no training images")
    counts = np.bincount(data.train.labels[data.train.labels >= 0], minlength=len(data.class_names))
    if not counts.all():
        name = data.class_names[int(np.argmin(counts))]
        raise UserError(
            f"class {name!r} of data {data.name!r} has no labelled training image: "
            "label one, or leave the class out"
        )
    train, validation = _training_and_validation(config, data)
    parts = (train, validation, data.test)
    fits = fits_on(device, sum(part.images.nbytes for part in parts))
    splits = [Split(place(part.images, device, fits=fits), part.labels) for part in parts]
    class_order = order_of_classes(config.class_order, data.class_names, config.seed)
    return Prepared(
        config=config,
        device=device,
        processes=processes,
        half=computes_in_half(config.precision, device),
        facts=DataFacts(
            name=data.name,
            class_names=data.class_names,
            train=len(train),
            validation=len(validation),
            test=len(data.test),
            fingerprint=data.fingerprint or fingerprint(data),
            labels=array_hash(*(part.labels for part in data.parts.values())),
        ),
        stages=stages,
        plan=tuple(
            plan_run(
                epochs=config.epochs,
                class_count=len(data.class_names),
                classes=config.classes,
                labels=config.labels,
                contrastive_rate=config.contrastive_rate,
                probe_rate=config.probe_rate,
            )
        ),
        reveal=Reveal.of(train.ids, train.labels, class_order, config.seed),
        ids=train.ids,
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        options=StepOptions(
            strong=Strength(
                config.strong_min_area, config.strong_brightness, config.strong_jitter, config.flip
            ),
            weak=Strength(
                config.weak_min_area, config.weak_brightness, config.weak_jitter, config.flip
            ),
            temperature=config.temperature,
            contrast=config.contrast,
            similarity=config.similarity,
            direction=config.direction,
        ),
    )


def check_one_class(config: RunConfig, data: DataSet) -> None:
    """UserError for data of one class, on which nothing can be wrong, unless it is asked for."""
    if len(data.class_names) == 1 and not (config.classes.low == 1 == config.classes.high):
        raise UserError(
            f"data {data.name!r} has one class only, {data.class_names[0]!r}: check its folders or"
            " labels with `lll data info`; to train on one class say so with --classes 1"
        )


def _training_and_validation(config: RunConfig, data: DataSet) -> tuple[ImageSet, ImageSet]:
    """The validation images that the data gives, else a share of the training images."""
    if data.validation is not None:
        return data.train, data.validation
    train = data.train
    aside = set_aside(train.ids, train.labels, config.validation_share, config.seed, "validation")
    return train.take(~aside), train.take(aside)


def pick_device(name: str, processes: Ranks = ALONE) -> torch.device:
    """The device called ``name``; ``auto`` is a GPU if there is one, else the CPU.

    Of several GPUs each of several ``processes`` on a machine takes its own.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not processes.alone:
        name = f"cuda:{processes.local_rank}"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {name!r} cannot be used ({reason}): try --device cpu") from None
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def backend_of(device: str) -> str:
    """What several processes on ``device`` (a name, as in `pick_device`) talk through."""
    on_gpus = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    return "nccl" if on_gpus else "gloo"


def computes_in_half(precision: str, device: torch.device) -> bool:
    """Whether networks compute in bfloat16: ``auto`` is yes on GPUs that are made for it."""
    if precision != "auto":
        return precision == "bfloat16"
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def build_optimizers(config: RunConfig, modules: nn.ModuleDict) -> dict[str, torch.optim.Adam]:
    """One Adam per owner in `OPTIMIZER_OF`; the loop sets the learning rates every epoch."""
    owned: dict[str, list[nn.Parameter]] = {owner: [] for owner in OPTIMIZER_OF.values()}
    for name, owner in OPTIMIZER_OF.items():
        owned[owner] += modules[name].parameters()
    return {owner: _adam(parameters) for owner, parameters in owned.items()}


def _adam(parameters: list[nn.Parameter]) -> torch.optim.Adam:
    device = parameters[0].device
    if device.type != "cuda":
        return torch.optim.Adam(parameters, fused=True)
    # On the device, so that a recorded step reads the rate anew.
    rate = torch.tensor(1e-3, device=device)
    return torch.optim.Adam(parameters, lr=rate, fused=True, capturable=True)


def load_optimizer(optimizer: torch.optim.Adam, saved: Mapping[str, Any]) -> None:
    """Take the moments and counts of ``saved``, and no setting: it may be of another device."""
    groups = [
        {**own, "params": other["params"]}
        for own, other in zip(optimizer.param_groups, saved["param_groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})


def data_of(config: RunConfig) -> DataSet:
    """The data set that ``config`` names, as ``config`` wants it."""
    return load_data(config.data, image_size=config.image_size, test_share=config.test_share)


def check_same_data(run: Run, prepared: Prepared) -> None:
    """UserError if ``prepared`` stands on other data than ``run`` was trained on."""
    facts = replace(prepared.facts, name=run.data.name)
    if not run.data.labels:  # of 0.1: its hash is of another kind
        facts = replace(facts, fingerprint=run.data.fingerprint, labels="")
    if facts != run.data:
        raise UserError(
            f"data {run.config.data!r} is not what {run.path} was trained on: "
            "its images, ids or labels have changed; begin a new run"
        )
