"""The run folder: record, checkpoints, loading. Nothing here trains."""

from lll.runs.record import DataFacts, Run, load_run

__all__ = ["DataFacts", "Run", "load_run"]
