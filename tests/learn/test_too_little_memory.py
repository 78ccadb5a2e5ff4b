"""A step for which there is too little memory: one line, of a CPU as of a GPU."""

import pytest
import torch
from tests.tiny import tiny_config, tiny_data
from torch import nn

from lll import UserError, train

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


def test_other_errors_stay_what_they_are(tmp_path):
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="mat1"):
        train(tiny_config(), tmp_path / "run", data=tiny_data(), encoder=Greedy(14, error))
