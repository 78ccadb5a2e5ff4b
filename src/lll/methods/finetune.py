"""``finetune``: `self_supervised` first, or another run's encoder; then classify.

The second stage begins with a new probe and new optimizers.

Use it where labels come all at once at the end, or where the encoder of an earlier run is there
(`--from RUN`).
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from lll.methods.classify import CLASSIFY, PROBE
from lll.methods.contrast import CONTRAST, ContrastOptions, parts
from lll.methods.method import Method


class FinetuneOptions(ContrastOptions):
    """Options of ``finetune``."""

    pretrain_epochs: int = Field(
        0, ge=0, description="first epochs, self-supervised: half of them unless given"
    )


def defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Half of the epochs for the first stage, or none where another run's encoder is given."""
    epochs = str(given.get("epochs", 20))
    half = int(epochs) // 2 if epochs.isdecimal() and "from_run" not in given else 0
    own = {"classes": "5:all", "labels": 0.5, "activation": "relu"}
    return own | {"pretrain_epochs": half}


METHOD = Method(
    summary="`self_supervised` first, or another encoder by `--from RUN`; then classifying",
    options=FinetuneOptions,
    parts=parts,
    stages=lambda options: ((CONTRAST, PROBE), (CLASSIFY,)),
    first_epochs=lambda options: options.pretrain_epochs,
    defaults=defaults,
)
