"""Steps: a minibatch in, losses out. Each is one function in its own file."""

from lll.methods.steps.batch import (
    Batch,
    Networks,
    StepFunction,
    StepOptions,
    StepResult,
    gradients_only_to,
)

__all__ = ["Batch", "Networks", "StepFunction", "StepOptions", "StepResult", "gradients_only_to"]
