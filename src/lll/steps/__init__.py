"""Steps: a minibatch in, losses out. Each is one function in its own file."""

from lll.steps.batch import (
    Batch,
    Networks,
    StepFunction,
    StepOptions,
    StepResult,
    gradients_only_to,
)

__all__ = ["Batch", "Networks", "StepFunction", "StepOptions", "StepResult", "gradients_only_to"]
