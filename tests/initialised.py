"""Run by two processes, as a trainer of others runs them: the process group is there already.

`main` trains into the folder that is its argument in two lives, the first of which is stopped.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from tests.processes import stop_after
from tests.tiny import tiny_config, tiny_data

from lll import RunStopped, train_or_resume


def threads():
    """Names of the threads of this process."""
    return [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]


def main():
    out = sys.argv[1]
    dist.init_process_group("gloo")
    how = {"config": tiny_config(), "out": out, "data": tiny_data()}
    # One of them asks, and all stop.
    watch = stop_after(1) if dist.get_rank() == 1 else None
    try:
        train_or_resume(**how, watch=watch)
    except RunStopped as stop:
        print(stop.position)
    run = train_or_resume(**how)
    assert run.finished  # for every rank
    assert train_or_resume(**how) == run
    count = torch.ones(1)
    dist.all_reduce(count)  # the group is as it was
    assert count == 2
    dist.destroy_process_group()
    # Those of a group that is still held may abort the process when it ends.
    assert not [name for name in threads() if "gloo" in name], threads()
