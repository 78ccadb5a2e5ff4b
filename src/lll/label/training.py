"""``lll train`` on the folder that is being labelled, as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from threading import Thread

from lll.labels.store import store_path


class Training:
    """At most one run at a time; ``told`` hears each line that it prints."""

    def __init__(self, folder: Path, cache: Path | None, told: Callable[[str], None]) -> None:
        self._folder, self._cache, self._told = folder, cache, told
        self._process: subprocess.Popen[str] | None = None

    def begin(self) -> bool:
        """Start a run in ``FOLDER/.lll/runs``; False if one is under way."""
        if self._process is not None and self._process.poll() is None:
            return False
        name = datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
        out = store_path(self._folder).parent / "runs" / name
        cache = [] if self._cache is None else ["--cache", str(self._cache)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lll", "train", str(self._folder), "--out", str(out), *cache],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        Thread(target=self._listen, args=(self._process,), daemon=True).start()
        return True

    def stop(self) -> None:
        """End a run that is under way; `lll resume` goes on with it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if line.strip():
                    self._told(line.strip())
        process.wait()
