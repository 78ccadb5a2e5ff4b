"""Little Label Learners: image classifiers from few labels that arrive little by little.

The public names. They are imported when first used, so that ``import lll`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lll.config import RunConfig
    from lll.data import load_data
    from lll.data.imageset import DataSet, ImageSet
    from lll.errors import UserError
    from lll.estimator import GradualClassifier
    from lll.learn.progress import Watch
    from lll.runs import Run, load_run
    from lll.runs.predictor import Predictor
    from lll.runs.resume import resume, train_or_resume
    from lll.runs.train import RunStopped, train
    from lll.runs.update import update

__version__ = "0.1.0"

__all__ = [
    "DataSet",
    "GradualClassifier",
    "ImageSet",
    "Predictor",
    "Run",
    "RunConfig",
    "RunStopped",
    "UserError",
    "Watch",
    "load_data",
    "load_run",
    "resume",
    "train",
    "train_or_resume",
    "update",
]

_HOME = {
    "DataSet": "lll.data.imageset",
    "GradualClassifier": "lll.estimator",
    "ImageSet": "lll.data.imageset",
    "Predictor": "lll.runs.predictor",
    "Run": "lll.runs",
    "RunConfig": "lll.config",
    "RunStopped": "lll.runs.train",
    "UserError": "lll.errors",
    "Watch": "lll.learn.progress",
    "load_data": "lll.data",
    "load_run": "lll.runs",
    "resume": "lll.runs.resume",
    "train": "lll.runs.train",
    "train_or_resume": "lll.runs.resume",
    "update": "lll.runs.update",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lll' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
