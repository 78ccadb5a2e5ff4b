"""The sweeps of benchmarks/accuracy can be read, and plan what their first lines say."""

from pathlib import Path

import pytest

from lll.bench.sweep import read_sweep
from lll.config import RunConfig
from lll.labels.schedule import plan_run

FOLDER = Path(__file__).parents[2] / "benchmarks" / "accuracy"
FACTORS = ("labels", "classes", "rate")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_it_can_be_read(path, tmp_path):
    sweep = read_sweep(path, tmp_path)
    assert len(sweep.jobs) > 1
    assert {job.config.data for job in sweep.jobs} <= {"digits", "../shared/data/cifar10-jpeg"}


def plan_of(config: RunConfig):
    return plan_run(
        epochs=config.epochs,
        class_count=10,
        classes=config.classes,
        labels=config.labels,
        contrastive_rate=config.contrastive_rate,
        probe_rate=config.probe_rate,
    )


def known(plan, factor):
    """What ``factor`` is about, epoch by epoch."""
    field = {"labels": "labels", "classes": "classes", "rate": "contrastive_rate"}[factor]
    return [getattr(epoch, field) for epoch in plan]


@pytest.mark.parametrize("name", ["cells", "cells-digits"])
def test_cells_end_with_the_same_labels_and_differ_in_what_their_names_say(name, tmp_path):
    jobs = read_sweep(FOLDER / f"{name}.toml", tmp_path).jobs
    cells = {job.schedule: job.config for job in jobs if job.seed == 0}
    assert len(cells) == 2 ** len(FACTORS)
    plain = plan_of(cells["none"])
    for schedule, config in cells.items():
        plan, on = plan_of(config), set(schedule.split("+")) - {"none"}
        assert (plan[-1].labels, plan[-1].per_class, plan[-1].classes) == (
            plain[-1].labels, True, 10,
        )  # fmt: skip
        for factor in FACTORS:
            assert (known(plan, factor) != known(plain, factor)) == (factor in on)
    every = plan_of(cells["labels+classes+rate"])
    assert known(every, "labels") == sorted(known(every, "labels"))
    assert known(every, "labels")[0] == known(every, "labels")[-1] / 10
    assert known(every, "classes")[0] == 5
    assert known(every, "rate") == sorted(known(every, "rate"), reverse=True)
    assert known(plain, "rate")[0] == known(every, "rate")[0]
    # All that is not of the plan is the same.
    rest = {"classes", "labels", "contrastive_rate"}
    values = [config.model_dump(exclude=rest) for config in cells.values()]
    assert all(each == values[0] for each in values)
