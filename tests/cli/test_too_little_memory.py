"""A command for which there is too little memory ends with one line."""

import errno

import pytest
from tests.learn.test_too_little_memory import ERRORS
from tests.processes import in_process, one_line


@pytest.mark.parametrize("error", [*ERRORS, MemoryError(), OSError(errno.ENOMEM, "no memory")])
def test_it_is_said_in_one_line(monkeypatch, error):
    def lack(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("lll.data.load_data", lack)
    ended = in_process("data", "info", "digits")
    assert ended.code == 2
    one_line(ended.err, "too little memory: free some")
