"""Every tracker, by its own package: it holds the run's figures, over a stop and a resume too."""

import json
import sqlite3
import struct
import time

import pytest
from tests.processes import in_process, one_line, write_npz
from tests.tiny import tiny_config, tiny_data

from lll import RunStopped, UserError, Watch, resume, train
from lll.show.trackers import TRACKERS, tracked

FIGURES = ("contrast_loss", "test_accuracy", "labels_known", "seconds")


def from_tensorboard(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.path / "tensorboard")).Reload()
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in FIGURES}


def from_trackio(run):
    (database,) = (run.path.parent / "trackio").glob("lll*.db")
    rows = sqlite3.connect(database).execute("SELECT step, metrics FROM metrics ORDER BY step")
    rows = [(step, json.loads(metrics)) for step, metrics in rows]
    return {name: [(step, m[name]) for step, m in rows if name in m] for name in FIGURES}


def from_mlflow(run):
    from mlflow import MlflowClient

    client = MlflowClient()
    (experiment,) = [e for e in client.search_experiments() if e.name == "lll"]
    runs = client.search_runs([experiment.experiment_id])
    assert {r.info.status for r in runs} == {"FINISHED"}
    assert {r.data.params["method"] for r in runs} == {"gradual"}
    return {
        name: sorted((m.step, m.value) for r in runs
                     for m in client.get_metric_history(r.info.run_id, name))
        for name in FIGURES
    }  # fmt: skip


def leveldb_records(log, at):
    """The records of a log in LevelDB's format; its blocks are counted from ``at`` bytes before."""
    start, content = 0, b""
    while start < len(log):
        left = 2**15 - (start + at) % 2**15
        if left < 7:  # the end of a block is too short for a head
            start += left
            continue
        _, size, kind = struct.unpack("<IHB", log[start : start + 7])
        content += log[start + 7 : start + 7 + size]
        start += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield content
            content = b""


def wandb_records(path, seconds=30):
    """The records of a run; a process of its own writes the last ones late."""
    from wandb.proto.wandb_internal_pb2 import Record

    end = time.monotonic() + seconds
    while True:
        records = [Record.FromString(c) for c in leveldb_records(path.read_bytes()[7:], at=7)]
        if records and records[-1].HasField("exit"):
            return records
        assert time.monotonic() < end, f"{path} is not finished"
        time.sleep(0.1)


def from_wandb(run):
    found = {name: [] for name in FIGURES}
    for path in sorted(run.path.rglob("*.wandb"), key=lambda path: path.parent.name):
        for record in wandb_records(path):
            row = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
            for name in FIGURES:
                if name in row:
                    found[name].append((int(row["_step"]), float(row[name])))
    return found


READ = {
    "tensorboard": from_tensorboard,
    "trackio": from_trackio,
    "mlflow": from_mlflow,
    "wandb": from_wandb,
}


@pytest.mark.filterwarnings("ignore")  # of each package, about itself
@pytest.mark.parametrize("name", TRACKERS)
def test_it_holds_the_figures_of_every_epoch(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    pytest.importorskip(TRACKERS[name].package, reason=f"the extra {name!r} is not installed")
    done, path = [], tmp_path / "run"
    stop = Watch(on_epoch=lambda metrics, _: done.append(metrics), should_stop=lambda: bool(done))
    with pytest.raises(RunStopped), tracked(stop, [name]) as watch:
        train(tiny_config(), path, data=tiny_data(), watch=watch)
    with tracked(Watch(), [name]) as watch:
        run = resume(path, data=tiny_data(), watch=watch)
    found = READ[name](run)
    for figure in FIGURES:
        rows = run.timings if figure == "seconds" else run.metrics
        assert found[figure] == [(m["epoch"], pytest.approx(m[figure])) for m in rows]
    assert capsys.readouterr().out == ""


def test_an_unknown_or_absent_tracker_is_said_before_any_training(tmp_path, monkeypatch):
    data = write_npz(tmp_path / "tiny.npz")
    out = tmp_path / "run"
    ended = in_process("train", data, "--epochs", "1", "--out", out, "--track", "wand")
    assert ended.code == 2 and "did you mean 'wandb'?" in one_line(ended.err)
    monkeypatch.setattr("lll.show.trackers.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"wandb is not installed: pip install 'little"):
        tracked(Watch(), ["wandb"]).__enter__()
    assert not out.exists()
