"""The run folder: record, checkpoints, loading. Nothing here trains."""

from lll.runs.record import DataFacts, Run, create_run, load_run

__all__ = ["DataFacts", "Run", "create_run", "load_run"]
