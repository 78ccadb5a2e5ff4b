"""Ray Train's TorchTrainer around `lll.train_or_resume`, as docs/clusters.md has it."""

import importlib.util
import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
import ray, ray.train
from ray.train.torch import TorchTrainer

run_folder, store = sys.argv[1:]

def work():
    import lll
    config = lll.RunConfig(
        data="digits", method="baseline", epochs=1, width=8, device="cpu"
    )
    run = lll.train_or_resume(config, run_folder)
    ray.train.report({"test_accuracy": run.result["test_accuracy_final"]})

ray.init(num_cpus=3, include_dashboard=False)
TorchTrainer(
    work,
    scaling_config=ray.train.ScalingConfig(num_workers=2, use_gpu=False),
    run_config=ray.train.RunConfig(storage_path=store),
).fit()
"""


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray")
def test_two_workers_of_ray_train_make_one_run(tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-c", SCRIPT, str(run), str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0]
    assert done.stderr.count("test_accuracy") + done.stdout.count("test_accuracy") >= 2
