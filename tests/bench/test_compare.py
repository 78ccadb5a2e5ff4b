"""Sweeps: what is run, what is skipped and resumed, and the table against hand-made numbers."""

import json
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from tests.processes import Harm, assert_latest_is_whole, everything, one_line, shared_nursery
from tests.tiny import tiny_data

from lll import train
from lll.bench.compare import curves, paired_difference, table_lines, tabulate
from lll.bench.jobs import run_sweep, threads_each
from lll.bench.sweep import read_sweep
from lll.data.workers import cores
from lll.errors import UserError
from lll.learn.front import front_of
from lll.methods.novel.scorer import Unknown
from lll.nets import build_encoder
from lll.runs.checkpoint import load_checkpoint
from lll.runs.record import load_run
from lll.show.plots.comparison import comparison

fit_unknown = Unknown.fit


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    data, path = tiny_data(), tmp_path_factory.mktemp("data") / "tiny.npz"
    np.savez(
        path,
        images=data.train.images,
        labels=data.train.labels,
        images_test=data.test.images,
        labels_test=data.test.labels,
    )
    return path


@pytest.fixture
def sweep_file(npz, tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text(
        f"""
data = {json.dumps(str(npz))}
methods = ["baseline", "gradual"]
labels = ["2/class"]
seeds = [0]
[settings]
epochs = 2
width = 8
batch_size = 30
device = "cpu"
"""
    )
    return path


def test_jobs_are_the_product_of_what_is_listed(sweep_file, tmp_path):
    text = sweep_file.read_text() + "[schedules.early]\nclasses = 4\n[schedules.late]\n"
    sweep_file.write_text(text.replace('["2/class"]', '["2/class", 0.5]'))
    sweep_file.write_text(sweep_file.read_text().replace("seeds = [0]", "seeds = [0, 1]"))
    sweep = read_sweep(sweep_file, tmp_path)
    assert len(sweep.jobs) == 2 * 2 * 2 * 2 == len({job.out for job in sweep.jobs})
    job = next(j for j in sweep.jobs if (j.method, j.schedule, j.seed) == ("gradual", "early", 1))
    assert (job.config.method, str(job.config.classes), job.config.seed) == ("gradual", "4", 1)
    assert sweep.reference == "baseline"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds", "sedes", "unknown key 'sedes': did you mean 'seeds'"),
        ("epochs", "epoch", "unknown key 'epoch': did you mean 'epochs'"),
        ('"gradual"', '"gradul"', "unknown method 'gradul': did you mean 'gradual'"),
        ("seeds = [0]", "seeds = 3", "seeds is 3: write a list"),
        ("seeds = [0]", "seeds = [1, 1]", "two runs would share a folder"),
        ("methods", 'reference = "x"\nmethods', "reference 'x'"),
    ],
)
def test_a_wrong_sweep_names_the_file_and_the_key(sweep_file, tmp_path, old, new, message):
    sweep_file.write_text(sweep_file.read_text().replace(old, new, 1))
    with pytest.raises(UserError) as error:
        read_sweep(sweep_file, tmp_path)
    assert str(error.value).startswith(f"{sweep_file}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_paired_difference_is_the_t_interval():
    values = [0.1, 0.2, 0.15, 0.05]
    result = paired_difference(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert result["mean"] == pytest.approx(np.mean(values))
    assert result["interval"] == pytest.approx([expected.low, expected.high])
    assert paired_difference([0.1]) == {"mean": 0.1, "interval": None, "n": 1}
    assert paired_difference([]) is None


@pytest.mark.slow
def test_a_sweep_goes_on_after_ctrl_c_and_compares(sweep_file, tmp_path):
    out = tmp_path / "out"
    command = "compare", sweep_file, "--out", out
    first = shared_nursery().start(*command)
    wait_until((out / "gradual-2_class-seed0").exists)
    first.kill(signal.SIGINT)
    ended = first.wait()
    assert ended.code == 130
    one_line(ended.err, "the same command goes on")
    done = load_run(out / "baseline-2_class-seed0")
    stamp = (done.path / "metrics.jsonl").stat().st_mtime_ns

    second = shared_nursery().run(*command)
    assert second.code == 0, second.err
    assert re.match("2 runs, [12] finished already", second.out)
    assert "against baseline" in second.out  # in 80 columns, so some are left out
    assert "s/epoch" not in second.out and "schedule" not in second.out
    assert (done.path / "metrics.jsonl").stat().st_mtime_ns == stamp
    assert (out / "accuracy-by-labels.png").stat().st_size > 10_000
    rows = json.loads((out / "comparison.json").read_text())["rows"]
    assert [(row["method"], row["n"], row["final"]["std"]) for row in rows] == [
        ("baseline", 1, None),
        ("gradual", 1, None),
    ]

    # A changed sweep does not mix with runs that were made otherwise.
    sweep_file.write_text(sweep_file.read_text().replace("epochs = 2", "epochs = 3"))
    with pytest.raises(UserError, match="was run with epochs 2, the sweep says 3"):
        tabulate(read_sweep(sweep_file, out))


def test_the_table_is_mean_std_and_paired_difference_over_seeds(sweep_file, tmp_path):
    sweep_file.write_text(sweep_file.read_text().replace("seeds = [0]", "seeds = [0, 1, 2]"))
    sweep = read_sweep(sweep_file, tmp_path)
    final = {
        job.out.name: train(job.config, job.out).result["test_accuracy_final"]
        for job in sweep.jobs
        if job.out.name != "gradual-2_class-seed2"
    }
    theirs = [final[f"baseline-2_class-seed{seed}"] for seed in range(3)]
    ours = [final[f"gradual-2_class-seed{seed}"] for seed in range(2)]
    baseline, gradual = tabulate(sweep)
    assert (baseline["n"], gradual["n"]) == (3, 2)
    assert baseline["final"]["mean"] == pytest.approx(np.mean(theirs))
    assert baseline["final"]["std"] == pytest.approx(np.std(theirs, ddof=1))
    assert baseline["difference"] is None
    # Only seeds that both have finished are paired.
    assert gradual["difference"] == paired_difference(np.subtract(ours, theirs[:2]).tolist())
    titles = {title: len(epochs) for title, epochs in curves(sweep).items()}
    assert titles == {"baseline": 2, "gradual": 2}
    lines = table_lines([baseline, gradual], "baseline")
    assert lines[1][4] == f"{100 * np.mean(theirs):.1f} ± {100 * np.std(theirs, ddof=1):.1f}"


def test_runs_share_the_cores_unless_the_user_says_how_many_threads():
    assert threads_each(1, {}) == str(cores())
    assert threads_each(10 * cores(), {}) == "1"
    assert threads_each(2, {"OMP_NUM_THREADS": "3"}) == "3"


def test_the_reference_may_be_a_schedule(sweep_file, tmp_path):
    text = sweep_file.read_text().replace('methods = ["baseline", "gradual"]', 'reference = "late"')
    text = text.replace("seeds = [0]", "seeds = [0, 1]")
    sweep_file.write_text(text + "[schedules.early]\nclasses = 4\n[schedules.late]\n")
    sweep = read_sweep(sweep_file, tmp_path)
    for job in sweep.jobs:
        train(job.config, job.out)
    early, late = tabulate(sweep)
    assert late["difference"] is None
    pairs = [early["by_seed"][seed] - late["by_seed"][seed] for seed in ("0", "1")]
    assert early["difference"] == paired_difference(pairs)
    finals = {job.out: load_run(job.out).result["test_accuracy_final"] for job in sweep.jobs}
    assert list(finals.values()) == [*early["by_seed"].values(), *late["by_seed"].values()]


def test_a_failing_run_is_named_and_the_others_go_on(sweep_file, tmp_path):
    out = tmp_path / "out"
    sweep = read_sweep(sweep_file, out)
    (out / "baseline-2_class-seed0").mkdir(parents=True)
    (out / "baseline-2_class-seed0" / "mine.txt").write_text("not a run")
    said = []
    with pytest.raises(UserError, match=r"1 of 2 runs failed.*baseline-2_class-seed0.*exists"):
        run_sweep(sweep, processes=2, say=said.append)
    assert [row["n"] for row in tabulate(sweep)] == [0, 1]
    assert (out / "baseline-2_class-seed0" / "mine.txt").read_text() == "not a run"


def test_the_picture_has_a_line_for_each_title_and_a_band_where_there_is_a_spread():
    epochs = [{"labels": 10 * (e + 1), "mean": 0.2 * (e + 1), "std": 0.1} for e in range(3)]
    alone = [epoch | {"std": None} for epoch in epochs]
    axes = comparison({"gradual": epochs, "baseline": alone}).axes[0]
    assert [line.get_label() for line in axes.get_lines()] == ["gradual", "baseline"]
    line = np.array([[10, 0.2], [20, 0.4], [30, 0.6]])
    assert axes.get_lines()[0].get_xydata() == pytest.approx(line)
    (band,) = axes.collections
    box = band.get_datalim(axes.transData)
    assert (box.y0, box.y1) == pytest.approx((0.1, 0.7))


@pytest.mark.parametrize(
    ("number", "goes_on"),
    [
        pytest.param(signal.SIGKILL, True, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, False, marks=pytest.mark.slow),
    ],
)
def test_children_end_with_their_parent_and_the_same_command_goes_on(
    sweep_file, tmp_path, number, goes_on
):
    sweep_file.write_text(sweep_file.read_text().replace("epochs = 2", "epochs = 30"))
    command = "compare", sweep_file, "--out", tmp_path / "out", "--processes", 2
    runs = [tmp_path / "out" / f"{method}-2_class-seed0" for method in ("baseline", "gradual")]
    child = shared_nursery().start(*command)
    for run in runs:
        record = run / "metrics.jsonl"
        wait_until(lambda record=record: record.exists() and record.stat().st_size)
    children = [int((run / ".lll.lock").read_text().split()[0]) for run in runs]
    child.kill(number)
    ended = child.wait()
    if number == signal.SIGKILL:
        assert ended.code == -number
    else:
        assert ended.code == 128 + number
        one_line(ended.err, "the same command goes on")
    for pid in children:
        wait_until(lambda pid=pid: not is_alive(pid))
    for run in runs:
        assert_latest_is_whole(run)
        assert 0 < len(load_run(run).metrics) < 30
    if goes_on:
        assert shared_nursery().run(*command).code == 0
        assert all(load_run(run).finished for run in runs)


def wait_until(holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid):
    """Whether a process runs; one that ended and that nobody waits for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def features_file(npz, tmp_path):
    path = tmp_path / "f.toml"
    path.write_text(
        f'data = "{npz}"\nmethods = ["propagate", "auto"]\nlabels = ["3/class"]\nseeds = [0, 1]\n'
        '[settings]\nencoder = "efficientnet_lite2"\nimage_size = 64\nfeature_views = 1\n'
    )
    return path


def test_runs_on_features_share_this_process_and_logistic_is_among_them(
    features_file, tmp_path, monkeypatch
):
    sweep = read_sweep(features_file, tmp_path / "f")
    assert [job.out.name for job in sweep.jobs] == [
        f"{method}-3_class-seed{seed}"
        for method in ("propagate", "auto", "logistic")
        for seed in (0, 1)
    ]
    encoders, fits = [], []
    monkeypatch.setattr("subprocess.Popen", None)
    monkeypatch.setattr(
        "lll.learn.prepare.front_of",
        lambda *a: encoders.append(front_of(*a)) or encoders[-1],
    )
    monkeypatch.setattr(Unknown, "fit", lambda *a: fits.append(a) or fit_unknown(*a))
    run_sweep(sweep, processes=2, say=lambda line: None)
    assert len(encoders) == 1
    assert len(fits) == 2  # one for each seed, whatever the method
    for job in sweep.jobs[1::2]:  # of the second seed: those that found something to share
        alone = train(job.config, tmp_path / "alone" / job.out.name)
        together = load_run(job.out)
        assert together.metrics == alone.metrics
        assert together.label_events() == alone.label_events()
        assert (job.out / "images.csv").read_bytes() == (alone.path / "images.csv").read_bytes()
        weights = load_checkpoint(job.out).weights
        for name, value in load_checkpoint(alone.path).weights.items():
            torch.testing.assert_close(weights[name], value, rtol=0, atol=0)
    assert [row["n"] for row in tabulate(sweep)] == [2, 2, 2]
    fits.clear()
    run_sweep(sweep, processes=2, say=lambda line: None)  # again: all is done already
    assert fits == []


def test_a_sweep_that_is_stopped_goes_on_and_does_nothing_twice(npz, tmp_path):
    """Twice, each time as a run has written its last line and is not finished yet."""
    weights, out = tmp_path / "weights.pt", tmp_path / "out"
    torch.save(build_encoder("convnet", 32, 128, "relu").state_dict(), weights)
    file = tmp_path / "sweep.toml"
    file.write_text(
        f'data = "{npz}"\nmethods = ["logistic"]\nlabels = ["3/class"]\nseeds = [0, 1, 2]\n'
        f'[settings]\nencoder = "convnet"\nweights = "{weights}"\nfreeze = true\n'
        'activation = "relu"\nfeature_views = 0\n'
    )
    command, done = ("compare", file, "--out", out), {}
    for seed, number in ((1, signal.SIGINT), (2, signal.SIGTERM)):
        moment = rf"flush logistic-3_class-seed{seed}/metrics\.jsonl"
        harm = Harm(str(out), 0, moment, signal=number)
        stopped = shared_nursery().run(*command, harm=harm)
        assert stopped.code == 128 + number, stopped.err
        assert f"3 runs, {len(done)} finished already" in stopped.out
        one_line(stopped.err, "every run is saved, and the same command goes on")
        now = {run: (everything(run), stamps(run)) for run in finished_runs(out)}
        assert len(now) == seed and now.items() >= done.items()
        done = now

    last = shared_nursery().run(*command)
    assert last.code == 0, last.err
    assert "3 runs, 2 finished already" in last.out
    assert {run: (everything(run), stamps(run)) for run in done} == done
    (row,) = json.loads((out / "comparison.json").read_text())["rows"]
    assert (row["method"], row["n"]) == ("logistic", 3)


@pytest.mark.slow
def test_a_sweep_on_features_goes_on_after_ctrl_c(features_file, tmp_path):
    text = features_file.read_text().replace("[0, 1]", f"{[*range(12)]}")
    features_file.write_text(text)
    out = tmp_path / "out"
    command = "compare", features_file, "--out", out
    first = shared_nursery().start(*command)
    wait_until(lambda: len([*out.glob("*/metrics.jsonl")]) > 5)
    first.kill(signal.SIGINT)
    ended = first.wait()
    assert ended.code == 130
    one_line(ended.err, "the same command goes on")
    done = {run: (run / "metrics.jsonl").stat().st_mtime_ns for run in finished_runs(out)}
    assert 1 < len(done) < 36

    second = shared_nursery().run(*command)
    assert second.code == 0, second.err
    assert f"36 runs, {len(done)} finished already" in second.out
    assert all((run / "metrics.jsonl").stat().st_mtime_ns == at for run, at in done.items())
    rows = json.loads((out / "comparison.json").read_text())["rows"]
    assert [(row["method"], row["n"]) for row in rows] == [
        (method, 12) for method in ("propagate", "auto", "logistic")
    ]


def finished_runs(out):
    runs = [path.parent for path in out.glob("*/config.toml")]
    return [run for run in runs if load_run(run).finished]


def stamps(run):
    """When each file of a run was written, its lock apart."""
    return {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.suffix != ".lock"}
