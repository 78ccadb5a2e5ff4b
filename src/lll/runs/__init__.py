"""The run folder: record, checkpoints, loading. Nothing here trains."""

from lll.data.facts import DataFacts
from lll.runs.record import Run, load_run

__all__ = ["DataFacts", "Run", "load_run"]
