"""Shapes and types of every tensor argument are checked in tests, as jaxtyping writes them.

Nothing that a test does reaches the user's cache.
"""

import os
import signal
import tempfile
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Before torch is imported: one thread each, as the processes of tests share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Only the rooms of pure tensor functions: the hook must be in place before they are imported.
install_import_hook(
    ["lll.methods.losses", "lll.methods.sandbox", "lll.views", "lll.methods.batch"],
    "beartype.beartype",
)


def pytest_configure(config: pytest.Config) -> None:
    """A cache folder of this session's own, for the processes that tests start too.

    Here and not in a fixture: some of those take their environment from import time.
    """
    # Under nohup it is ignored, and so it would be in the processes that are tested with it.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    before = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    # The list of fonts takes seconds to make and is no concern of ours.
    os.environ.setdefault("MPLCONFIGDIR", str(Path(before) / "matplotlib"))
    folder = tempfile.TemporaryDirectory(prefix="lll-tests-")
    config.add_cleanup(folder.cleanup)
    os.environ["XDG_CACHE_HOME"] = folder.name
    os.environ.pop("LLL_CACHE", None)
