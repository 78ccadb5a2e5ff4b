"""From a configuration and a data set to everything that a run needs, checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lll.augment import Strength
from lll.config import RunConfig
from lll.data import load_data
from lll.data.reveal import Known, Reveal, order_of_classes
from lll.data.splits import set_aside
from lll.methods import OPTIMIZER_OF, Stage, stages_of
from lll.runs.record import DataFacts, Run
from lll.schedules import plan_run
from lll.steps import StepOptions
from lll.types import DataSet, EpochPlan, ImageSet, UserError


@dataclass(frozen=True)
class Split:
    """Images on the training device, uint8 [n, h, w, 3], and their labels on the host [n]."""

    images: Tensor
    labels: NDArray[np.int64]

    @staticmethod
    def of(images: ImageSet, device: torch.device) -> Split:
        """``images`` moved to ``device``."""
        return Split(torch.from_numpy(images.images).to(device), images.labels)


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start: what it will do, and the data it will do it on.

    ``train``, ``validation`` and ``test`` are disjoint; ``ids`` [n] are those of ``train``.
    """

    config: RunConfig
    device: torch.device
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


def prepare(config: RunConfig, data: DataSet) -> Prepared:
    """Check ``config`` against ``data`` and lay out the run; nothing is written.

    Raises UserError for an unknown method or rule, an unusable device, more classes than
    the data has, a class without a labelled training image, or no images.
    """
    device = pick_device(config.device)
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
    aside = set_aside(
        data.train.ids, data.train.labels, config.validation_share, config.seed, "validation"
    )
    train = data.train.take(~aside)
    class_order = order_of_classes(config.class_order, data.class_names, config.seed)
    return Prepared(
        config=config,
        device=device,
        facts=DataFacts(
            name=data.name,
            class_names=data.class_names,
            train=len(train),
            validation=int(aside.sum()),
            test=len(data.test),
            fingerprint=fingerprint(data),
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
        train=Split.of(train, device),
        validation=Split.of(data.train.take(aside), device),
        test=Split.of(data.test, device),
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


def pick_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` is a GPU if there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {name!r} cannot be used ({reason}): try --device cpu") from None
    return device


def build_optimizers(config: RunConfig, modules: nn.ModuleDict) -> dict[str, torch.optim.Adam]:
    """One Adam per owner in `OPTIMIZER_OF`; the loop sets the learning rates every epoch."""
    owned: dict[str, list[nn.Parameter]] = {owner: [] for owner in OPTIMIZER_OF.values()}
    for name, owner in OPTIMIZER_OF.items():
        owned[owner] += modules[name].parameters()
    return {owner: torch.optim.Adam(p, fused=True) for owner, p in owned.items()}


def data_of(config: RunConfig) -> DataSet:
    """The data set that ``config`` names, as ``config`` wants it."""
    return load_data(config.data, image_size=config.image_size, test_share=config.test_share)


def check_same_data(run: Run, prepared: Prepared) -> None:
    """UserError if ``prepared`` stands on other data than ``run`` was trained on."""
    if prepared.facts != replace(run.data, name=prepared.facts.name):
        raise UserError(
            f"data {run.config.data!r} is not what {run.path} was trained on: "
            "its images, ids or labels have changed; begin a new run"
        )


def fingerprint(data: DataSet) -> str:
    """A hash of the ids, labels and pixels of ``data``, equal only for equal data."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (data.train, data.test):
        for array in (part.images, part.labels, part.ids):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
