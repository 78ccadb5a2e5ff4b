"""Steps: a minibatch in, losses out. Each is one function in its own file."""

from lll.steps.batch import (
    Batch,
    StepFunction,
    StepOptions,
    StepResult,
    gradients_only_to,
)

__all__ = ["Batch", "StepFunction", "StepOptions", "StepResult", "gradients_only_to"]
