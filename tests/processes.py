"""`lll` in processes of its own, which tests may kill: cheap ones, and watched ones.

A real `python -m lll` takes seconds to start, nearly all of them imports. A `Nursery` imports
once and then forks a child for each command: a process like any other, with its own signals
and its own death, in some hundredths of a second. (Nothing in the parent has run a tensor
operation, so there are no threads for the fork to lose.)

A child can be told to do harm to itself at one exact moment (`Harm`), named by what it does to
its files: every opening for writing, flush, rename, removal and new folder is an event, such as
``rename checkpoints/epoch-0002``.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tests.tiny import tiny_data

ROOT = Path(__file__).resolve().parent.parent
# One thread: two cores are shared by many, and sums must come in one order.
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "COLUMNS": "200",
    "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
}


@dataclass(frozen=True)
class Harm:
    """What a child does to itself.

    ``at`` is the number, from 0, of the file event at which the process gets ``signal``;
    with ``match`` only events that the pattern finds are counted. ``torn`` first cuts off
    the end of the file that is being flushed, as a death in the middle of writing leaves it.
    ``step`` counts training steps instead of file events. ``log`` is a file to write the
    events to, one a line. ``file_bytes`` limits the size of a file that may be written, which
    answers as a full disk does. ``data_opened`` is a signal that comes when an .npz is read.
    ``run`` is the folder whose events are watched.
    """

    run: str = ""
    at: int | None = None
    match: str = ""
    torn: bool = False
    step: int | None = None
    signal: int = signal.SIGKILL
    log: str = ""
    file_bytes: int | None = None
    data_opened: int | None = None


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit code (negative for a signal), what it printed."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """Standard output as the JSON lines it is."""
        return [json.loads(line) for line in self.out.splitlines()]


class Child:
    """A running `lll`."""

    over = False

    def __init__(self, nursery: Nursery, pid: int, out: Path, err: Path, encoding: str) -> None:
        self._nursery, self.pid, self._out, self._err = nursery, pid, out, err
        self._encoding = encoding

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal. (Before `wait` a child that is over still has its pid.)"""
        os.kill(self.pid, number)

    def runs(self) -> bool:
        """Whether it is not over yet."""
        return _state_of(self.pid) != "Z"

    def wait(self) -> Ended:
        """Wait for the end."""
        code = self._nursery.ask(wait=self.pid)["code"]
        self.over = True
        # A terminal or a device cannot be read again.
        out, err = (
            path.read_text(self._encoding) if path.is_file() else ""
            for path in (self._out, self._err)
        )
        return Ended(code, out, err)

    def wait_for_halt(self, seconds: float = 60) -> None:
        """Wait until the child has got SIGSTOP."""
        deadline = time.monotonic() + seconds
        while _state_of(self.pid) != "T":
            assert time.monotonic() < deadline, f"not halted: {self._err.read_text()}"
            time.sleep(0.002)

    def wait_for(self, text: str, seconds: float = 60) -> None:
        """Wait until the child has printed ``text``."""
        deadline = time.monotonic() + seconds
        while text not in self._out.read_text():
            assert time.monotonic() < deadline, f"no {text!r}: {self._err.read_text()}"
            time.sleep(0.002)


def _state_of(pid: int) -> str:
    """The letter that stands for what a process does: Z once it is over."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


class Nursery:
    """A process that has imported `lll` and forks children that run its commands."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from tests.processes import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=ENVIRONMENT,
        )
        self.ask(ready=True)

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def start(
        self,
        *arguments: object,
        harm: Harm | None = None,
        out: str | Path = "",
        err: str | Path = "",
        encoding: str = "utf-8",
        environment: dict[str, str] | None = None,
        module: str = "lll.cli",
    ) -> Child:
        """Begin ``main`` of ``module`` with these arguments; it prints into ``out`` and ``err``."""
        self._count += 1
        out = Path(out or self._folder / f"{self._count}.out")
        err = Path(err or self._folder / f"{self._count}.err")
        answer = self.ask(
            arguments=[str(a) for a in arguments],
            out=str(out),
            err=str(err),
            harm=asdict(harm or Harm()),
            encoding=encoding,
            environment=environment or {},
            module=module,
        )
        return Child(self, answer["pid"], out, err, encoding)

    def run(self, *arguments: object, **given: Any) -> Ended:
        """Run `lll` with these arguments to its end; ``given`` as in `start`."""
        return self.start(*arguments, **given).wait()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


@cache
def shared_nursery() -> Nursery:
    """The nursery of all tests of this process, begun once."""
    folder = Path(tempfile.mkdtemp(prefix="lll-nursery-"))
    nursery = Nursery(folder)

    def close() -> None:
        nursery.close()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(close)
    return nursery


def lll(*arguments: object, program: str = "", **given: Any) -> Ended:
    """A whole `python -m lll`, as a user starts it; or ``program`` with these arguments."""
    python = [sys.executable, *(["-c", program] if program else ["-m", "lll"])]
    done = subprocess.run(
        [*python, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=120,
        **given,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def in_process(*arguments: object) -> Ended:
    """`lll` called in this process: for all that a process of its own would not show."""
    from lll.cli import main

    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["lll", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as ended:
        return Ended(
            ended.code if isinstance(ended.code, int) else 1, out.getvalue(), err.getvalue()
        )
    finally:
        sys.argv = argv
    raise AssertionError("main always exits")


def write_npz(path: Path, **given: Any) -> Path:
    """`tiny_data` as a file."""
    data = tiny_data(**given)
    np.savez(
        path,
        images=data.train.images,
        labels=data.train.labels,
        images_test=data.test.images,
        labels_test=data.test.labels,
        class_names=np.array(data.class_names),
    )
    return path


def flags(source: Path, **given: object) -> list[str]:
    """Flags of `lll train` for a run of a fraction of a second; ``given`` wins."""
    chosen = {
        "data": source,
        "method": "gradual",
        "classes": "3:4",
        "labels": "0.3:0.8:linear",
        "epochs": 4,
        "batch_size": 32,
        "width": 8,
        "contrastive_rate": 0.003,
        "probe_rate": 0.3,  # so high that the best epoch is not always the last
        "weak_brightness": 0.1,
        "strong_brightness": 0.1,
        "validation_share": 0.2,
        "device": "cpu",
        "precision": "float32",
        "seed": 1,
    } | given
    return [w for k, v in chosen.items() for w in (f"--{k.replace('_', '-')}", str(v))]


def stop_after(steps: int) -> Any:
    """A Watch that lets ``steps`` steps pass and then asks for a stop."""
    from lll import Watch

    left = iter([False] * steps)
    return Watch(should_stop=lambda: next(left, True))


# --- in the nursery ---------------------------------------------------------------------------


def serve() -> None:
    """Fork a child for each request on standard input, until it is closed."""
    # Once, for all children; torch.optim imports torch._dynamo at its first step.
    ours = ("lll.cli", "lll.runs.train", "lll.runs.update", "lll.show.pictures")
    for name in (*ours, "torch._dynamo", "numpy.random", "rich.progress", "rich.markdown"):
        importlib.import_module(name)

    for line in sys.stdin:
        request = json.loads(line)
        if "ready" in request:
            answer = {}
        elif "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            answer = {"code": os.waitstatus_to_exitcode(status)}
        else:
            pid = os.fork()
            if pid == 0:
                _be_lll(request)
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)


def _be_lll(request: dict[str, Any]) -> None:
    """Become `lll` with the request's arguments, and never return."""
    code = 70
    try:
        for descriptor, path in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
            mode = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            opened = os.open(path, mode, 0o600)
            os.dup2(opened, descriptor)
            os.close(opened)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.update(request["environment"])
        # As a new interpreter has them, whose locale says so.
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(os.fdopen(descriptor, "wb", closefd=False), request["encoding"])
            for descriptor in (1, 2)
        )
        _arm(Harm(**request["harm"]))
        sys.argv = ["lll", *request["arguments"]]
        importlib.import_module(request["module"]).main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
            if isinstance(stream, io.StringIO):
                os.write(descriptor, stream.getvalue().encode())
            else:
                stream.flush()
        os._exit(code)


def _arm(harm: Harm) -> None:
    if harm.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (harm.file_bytes, resource.RLIM_INFINITY))
        # What it says goes into a file too, which must not be the one that is full.
        sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    if harm.step is not None:
        _signal_at_step(harm.step, harm.signal)
    if harm.run:
        _watch_files(harm)
    if harm.data_opened is not None:
        _signal_at_data(harm.data_opened)


def _signal_at_step(step: int, number: int) -> None:
    from lll.learn.learner import Learner

    take, count = Learner.step, iter(range(1 << 30))

    def counted(learner: Learner, batch: Any) -> Any:
        figures = take(learner, batch)
        if next(count) == step:
            os.kill(os.getpid(), number)
        return figures

    Learner.step = counted  # type: ignore[method-assign]


def _signal_at_data(number: int) -> None:
    def audit(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open" and str(arguments[0]).endswith(".npz"):
            os.kill(os.getpid(), number)

    sys.addaudithook(audit)


def _watch_files(harm: Harm) -> None:
    run, count = Path(harm.run), iter(range(1 << 30))
    log = os.open(harm.log, os.O_WRONLY | os.O_CREAT, 0o600) if harm.log else None
    pattern = re.compile(harm.match)
    fsync = os.fsync

    def happens(kind: str, path: str, descriptor: int | None = None) -> None:
        event = f"{kind} {_inside(run, path)}"
        if not pattern.search(event):
            return
        if log is not None:
            os.write(log, (event + "\n").encode())
        if next(count) == harm.at:
            if harm.torn and descriptor is not None:
                os.ftruncate(descriptor, max(os.fstat(descriptor).st_size - 9, 0))
            os.kill(os.getpid(), harm.signal)

    def audit(name: str, arguments: tuple[Any, ...]) -> None:
        # Removals inside a tree that is being removed are named by their last part alone.
        if name == "open" and isinstance(arguments[0], str) and arguments[2] & os.O_ACCMODE:
            if _inside(run, arguments[0]):
                happens("open", arguments[0])
        elif name in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"):
            path = str(arguments[1] if name == "os.rename" else arguments[0])
            if _inside(run, path) or not Path(path).is_absolute():
                happens(name.split(".")[1], path)

    def flush(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if not path.is_dir() and _inside(run, str(path)):
            happens("flush", str(path), descriptor)
        fsync(descriptor)

    os.fsync = flush
    sys.addaudithook(audit)


def _inside(run: Path, path: str) -> str:
    """``path`` inside ``run`` ("." for itself, "" outside), the same whatever the pid."""
    path = re.sub(r"\.\d+\.tmp", ".tmp", path)
    if not Path(path).is_absolute():
        return path
    return str(Path(path).relative_to(run)) if Path(path).is_relative_to(run) else ""


# --- a checkpoint that no run has written ---


def save_checkpoint(run: Path, checkpoint: Any, *, chosen: bool = False) -> Path:
    """Write ``checkpoint`` into the run folder and make it `latest`, and `chosen` if it is."""
    from lll.runs.checkpoint import publish, write_checkpoint

    whole = write_checkpoint(run, checkpoint)
    return publish(run, whole, checkpoint.position, chosen=chosen)


# --- after a run ------------------------------------------------------------------------------


def tensors(path: Path) -> dict[str, bytes]:
    """The weights in a safetensors file, as bytes with their shape and type."""
    from safetensors.numpy import load_file

    return {k: repr((v.shape, v.dtype)).encode() + v.tobytes() for k, v in load_file(path).items()}


def plain(value: Any) -> Any:
    """``value`` with every tensor in it as bytes, so that it can be compared."""
    if hasattr(value, "numpy"):
        return (tuple(value.shape), str(value.dtype), value.numpy().tobytes())
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def content(run: Path) -> dict[str, Any]:
    """All of a finished run that must not depend on how often it was stopped."""
    import torch

    found: dict[str, Any] = {n: (run / n).read_bytes() for n in ("metrics.jsonl", "labels.csv")}
    for pointer in ("latest", "chosen"):
        named = found[pointer] = (run / "checkpoints" / pointer).read_text()
        home = run / "checkpoints" / named.strip()
        found[f"weights {pointer}"] = tensors(home / "weights.safetensors")
        state = torch.load(home / "state.pt", weights_only=True)
        assert state["optimizers"]
        found[f"state {pointer}"] = plain(state)
    return found


def assert_latest_is_whole(run: Path) -> str | None:
    """The checkpoint that `latest` names, which must be whole; None if there is no `latest`."""
    from lll.runs.checkpoint import load_checkpoint

    saved = load_checkpoint(run)  # a UserError if a file is missing or has another checksum
    chosen = load_checkpoint(run, "chosen")
    assert chosen is None or saved is not None
    return None if saved is None else str(saved.position)


def everything(folder: Path) -> dict[str, bytes | None]:
    """Each path below ``folder`` with its bytes: equal before and after if nothing was lost."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def one_line(err: str, *parts: str) -> str:
    """``err`` if it is one line of `lll` that holds every part."""
    assert err.startswith("lll: "), err
    assert err.count("\n") == 1, err
    assert err.endswith("\n"), err
    for part in parts:
        assert part in err, f"{part!r} is not in {err!r}"
    return err
