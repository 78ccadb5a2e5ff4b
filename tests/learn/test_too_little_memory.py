"""A step for which there is too little memory: one line, of a CPU as of a GPU."""

import errno
import resource
import subprocess
import sys

import pytest
import torch
from tests.processes import ENVIRONMENT, one_line
from tests.tiny import tiny_config, tiny_data
from torch import nn

from lll import UserError, train
from lll.errors import out_of_memory

ERRORS = [
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory:"
        " you tried to allocate 14400000000 bytes. Error code 12 (Cannot allocate memory)"
    ),
    MemoryError("Unable to allocate 8.00 PiB for an array"),
    torch.OutOfMemoryError("CUDA out of memory"),
]


class Greedy(nn.Module):
    """An encoder that has memory for ``most`` images at once, and then raises ``error``."""

    def __init__(self, most: int, error: Exception) -> None:
        super().__init__()
        self.most, self.error, self.dense = most, error, nn.Linear(3, 4)

    def forward(self, images):
        if len(images) > self.most:
            raise self.error
        return self.dense(images.mean(dim=(2, 3)))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_too_little_memory_is_one_line(tmp_path, error):
    with pytest.raises(UserError, match="batch_size 24 is too large for the memory of cpu") as said:
        train(tiny_config(), tmp_path / "run", data=tiny_data(), encoder=Greedy(14, error))
    assert "--batch-size" in str(said.value)


@pytest.mark.parametrize(
    "error",
    [
        *ERRORS,
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("could not create a primitive"),
        RuntimeError("can't start new thread"),
    ],
    ids=repr,
)
def test_the_ways_to_say_too_little_memory(error):
    assert out_of_memory(error)
    assert not out_of_memory(OSError(errno.ENOENT, "No such file or directory"))


@pytest.mark.parametrize("mib", [150, 400, 1000])
def test_a_limit_too_low_to_begin_with_is_one_line(mib):
    done = subprocess.run(
        [sys.executable, "-m", "lll", "data", "info", "digits"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (mib * 2**20,) * 2),
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert done.returncode == 2
    one_line(done.stderr, f"limited to {mib} MiB (ulimit -v)", "raise the limit to 1024 MiB")


def test_other_errors_stay_what_they_are(tmp_path):
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="mat1"):
        train(tiny_config(), tmp_path / "run", data=tiny_data(), encoder=Greedy(14, error))
