"""Two real processes on a CPU against one: gradients, runs, resuming, and what a death does."""

import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.processes import shared_nursery
from tests.tiny import STEPPING, tiny_config, tiny_data

from lll import UserError, load_run, train_or_resume
from lll.methods.sandbox import RULES
from lll.ranks import Start, local_rank_of, start_of

ROOT = Path(__file__).parent.parent


def environments(count):
    """Those of ``count`` processes that find one another as torchrun's do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }
        for rank in range(count)
    ]  # fmt: skip


def start(count, *arguments, **given):
    """``lll`` in ``count`` processes."""
    found = environments(count) if count > 1 else [{}]
    return [shared_nursery().start(*arguments, environment=each, **given) for each in found]


def ended(started):
    """(exit code, standard output, standard error) of each."""
    done = [child.wait() for child in started]
    return [(each.code, each.out, each.err) for each in done]


CASES = [(m, None) for m in STEPPING if m not in ("sandbox", "finetune")]
CASES += [("sandbox", rule) for rule in RULES]


@pytest.fixture(scope="module")
def gradients(tmp_path_factory):
    """{number of processes: what each of them saved}, from one start of the processes each."""
    folder = tmp_path_factory.mktemp("gradients")
    cases = [name if rule is None else f"{name}:{rule}" for name, rule in CASES]
    saved = {}
    for count in (1, 2):
        out = folder / str(count)
        for code, _, error in ended(start(count, out, *cases, module="tests.gradients")):
            assert code == 0, error
        saved[count] = [torch.load(f"{out}-{rank}", weights_only=True) for rank in range(count)]
    return saved


@pytest.mark.parametrize(("method", "rule"), CASES)
def test_two_processes_have_the_gradient_of_one(method, rule, gradients):
    case = method if rule is None else f"{method}:{rule}"
    one = gradients[1][0][case]
    assert any(value.abs().max() > 1e-4 for value in one.values())
    for two in (saved[case] for saved in gradients[2]):
        assert two.keys() == one.keys()
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-5, msg=name)


def train(count, out, *flags, data="digits"):
    where = ("--data", data, "--out", out, "--device", "cpu")
    return start(count, "train", *where, "--width", "8", "--quiet", *flags)


def resume(count, run):
    return start(count, "resume", run, "--quiet")


def outcome(run):
    """What was recorded, to a little, which the order of adding up may change."""
    return [
        {
            key: pytest.approx(value, abs=2e-2 if "accuracy" in key else 2e-3)
            if isinstance(value, float)
            else value
            for key, value in line.items()
        }
        for line in recorded(run)
    ]


def recorded(run):
    metrics = load_run(run).metrics
    return [{k: v for k, v in m.items() if k != "test_accuracy_per_class"} for m in metrics]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    run = tmp_path_factory.mktemp("alone") / "run"
    assert ended(train(1, run, "--epochs", "2"))[0][0] == 0
    return run


def test_a_run_of_two_is_the_run_of_one_and_the_first_alone_writes(alone, tmp_path):
    said = ended(train(2, tmp_path / "run", "--epochs", "2"))
    assert [code for code, _, _ in said] == [0, 0], said
    assert "test accuracy" in said[0][1]
    assert said[1][1] == ""
    assert recorded(tmp_path / "run") == outcome(alone)
    labels = [(path / "labels.csv").read_text() for path in (tmp_path / "run", alone)]
    assert labels[0] == labels[1]


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_run_goes_on_with_another_number_of_processes(before, after, alone, tmp_path):
    """Stopped in the middle of an epoch: the same batches of the same ids follow."""
    run = tmp_path / "run"
    started = train(before, run, "--epochs", "2")
    wait_for_an_epoch(run)
    for process in started:
        process.kill(signal.SIGTERM)
    said = ended(started)
    assert {code for code, _, _ in said} <= {143, 0}, said
    said = ended(resume(after, run))
    assert [code for code, _, _ in said] == [0] * after, said
    assert load_run(run).finished
    assert recorded(run) == outcome(alone)


def wait_for_an_epoch(run, seconds=240):
    metrics, deadline = run / "metrics.jsonl", time.monotonic() + seconds
    while not (metrics.is_file() and metrics.read_bytes()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_killed_process_ends_the_others_and_the_run_can_be_resumed(alone, tmp_path):
    run = tmp_path / "run"
    started = train(2, run, "--epochs", "2")
    wait_for_an_epoch(run)
    started[1].kill()
    (code, _, error), _ = ended(started)
    assert code == 2
    assert error.count("\n") == 1
    assert "another process of this run is gone" in error
    assert f"lll resume {run}" in error
    assert ended(resume(1, run))[0][0] == 0
    assert recorded(run) == outcome(alone)


def test_a_process_group_that_is_there_is_used_and_left(tmp_path):
    said = ended(start(2, tmp_path / "run", module="tests.initialised"))
    assert [code for code, _, _ in said] == [0, 0], said
    assert {out for _, out, _ in said} == {"epoch-0000-step-0001\n"}
    train_or_resume(tiny_config(), tmp_path / "alone", data=tiny_data())
    assert recorded(tmp_path / "run") == outcome(tmp_path / "alone")


SRUN = {
    "SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1",
    "SLURM_JOB_ID": "1234567", "SLURM_STEP_ID": "0", "SLURM_JOB_NODELIST": "gpu[07-08,12],big1",
    "SLURM_STEP_NODELIST": "gpu[08,12],big1", "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.1",
}  # fmt: skip
TORCHRUN = {"RANK": "3", "LOCAL_RANK": "2", "WORLD_SIZE": "4"}


def without(*names):
    return {name: value for name, value in SRUN.items() if name not in names}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Start()),
        (TORCHRUN, Start(3, 4, "env://")),
        ({"WORLD_SIZE": "1"}, Start()),
        (SRUN, Start(5, 8, "tcp://gpu08:15670")),
        (SRUN | {"SLURM_STEP_ID": "1"}, Start(5, 8, "tcp://gpu08:15671")),
        (SRUN | TORCHRUN, Start(3, 4, "env://")),  # srun torchrun
        (without("SLURM_STEP_NODELIST"), Start(5, 8, "tcp://gpu07:15670")),
        (
            without("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"),
            Start(5, 8, "tcp://10.0.0.1:15670"),
        ),
        (SRUN | {"MASTER_ADDR": "a", "MASTER_PORT": "1"}, Start(5, 8, "tcp://a:1")),
        (SRUN | {"SLURM_STEP_NUM_TASKS": "1"}, Start()),
        (without("SLURM_STEP_NUM_TASKS") | {"SLURM_PROCID": "0"}, Start()),  # a batch script
    ],
)
def test_who_started_this_process(environment, expected):
    assert start_of(environment) == expected


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"WORLD_SIZE": "x"}, "WORLD_SIZE"),
        ({"WORLD_SIZE": "2"}, "RANK"),
        (without("SLURM_JOB_ID"), "SLURM_JOB_ID"),
    ],
)
def test_a_variable_that_is_no_number_is_named(environment, name):
    with pytest.raises(UserError, match=f"^environment variable {name} is .*torchrun or srun"):
        start_of(environment)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, 0),
        (TORCHRUN, 2),
        (SRUN, 1),
        (SRUN | TORCHRUN, 2),
        (SRUN | {"CUDA_VISIBLE_DEVICES": "3,4"}, 1),
        (SRUN | {"CUDA_VISIBLE_DEVICES": "3"}, 0),  # srun --gpus-per-task 1
    ],
)
def test_which_gpu_is_this_process_s(environment, expected):
    assert local_rank_of(environment) == expected


def test_different_data_is_refused(tmp_path):
    for name, value in (("a", 0), ("b", 1)):
        (tmp_path / name).mkdir()
        labels = np.arange(40) % 2
        images = np.full((40, 32, 32, 3), value, np.uint8)
        np.savez(tmp_path / name / "x.npz", images=images, labels=labels)
    command = ("train", "--data", "~/x.npz", "--device", "cpu", "--out", tmp_path / "run")
    said = ended(
        [
            shared_nursery().start(*command, environment=e | {"HOME": str(tmp_path / name)})
            for name, e in zip("ab", environments(2), strict=True)
        ]
    )
    assert [code for code, _, _ in said] == [2, 2], said
    assert "is not the same for all processes" in said[0][2]
    assert not (tmp_path / "run").exists()
