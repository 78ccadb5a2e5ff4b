"""Go on with a run from a checkpoint, to the same end."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from torch import nn

from lll.config import RunConfig, differing
from lll.data.imageset import DataSet
from lll.errors import UserError
from lll.learn.device import backend_of
from lll.learn.kept import Kept
from lll.learn.learner import Learner
from lll.learn.optimizers import own_states
from lll.learn.prepare import Prepared
from lll.learn.progress import Progress, Watch
from lll.ranks import Ranks, joined
from lll.runs.again import prepare_again
from lll.runs.checkpoint import Checkpoint, load_checkpoint
from lll.runs.record import Run, check_same_config, load_run
from lll.runs.state import check_optimizers
from lll.runs.train import agreed, begin, carry_on, data_of, settled, snapshot, train, writes
from lll.runs.writer import reopened


def resume(
    path: str | Path,
    *,
    data: DataSet | None = None,
    encoder: nn.Module | None = None,
    checkpoint: str = "latest",
    watch: Watch | None = None,
    ranks: Ranks | None = None,
    cache: Path | None = None,
) -> Run:
    """Go on with the run in folder ``path`` from its latest checkpoint, to the same end.

    ``data``, ``encoder`` and ``cache`` as in `train`, needed again if they were given there.
    ``checkpoint`` names an earlier one to go back to. ``ranks`` as in `train`; their number
    may be another than before. Raises UserError if the checkpoint is corrupt or of another
    configuration, or if the images or classes have
    changed; where labels have, it goes on with those of now.
    """
    watch = watch or Watch()
    with ExitStack() as held:
        backend = backend_of(load_run(path).config.device)
        ranks = held.enter_context(joined(os.environ, backend, ranks))
        writer = held.enter_context(reopened(Path(path))) if writes(ranks) else None
        run = writer.run if writer else load_run(path)
        saved = load_checkpoint(run.path, checkpoint)
        if saved is not None:
            check_can_go_on(run, saved)
        elif checkpoint != "latest" or run.metrics or run.config.from_run is not None:
            # A run that ended before its first checkpoint begins again; others would lose much.
            raise UserError(
                f"{run.path}: no checkpoint {checkpoint!r} to go on from: start again, in another "
                "folder or with --overwrite"
            )
        prepared, told = prepare_again(
            run,
            data or data_of(run.config, cache=cache),
            ranks,
            encoder=encoder,
            cache=cache,
            progress=watch.on_encode,
            epoch=saved.position.epoch if saved else 0,
        )
        classes = run.classes_at(saved.position) if saved else run.data.class_names
        learner, progress = begin(prepared, encoder, len(classes)), Progress()
        if saved is not None:
            _restore(prepared, learner, progress, saved, str(run.path))
            learner.grow(len(run.data.class_names))
        ranks.wait()  # until all have read what the first may now change
        if writer and saved is None:
            writer.save(snapshot(learner, progress))
        elif writer:
            run = writer.go_on_from(progress.position)
        run = agreed(ranks, run if writer else None)
        return carry_on(prepared, learner, progress, run, writer, watch, told=told)


def check_can_go_on(run: Run, saved: Checkpoint) -> None:
    """UserError if ``saved`` is of another configuration, or has weights only."""
    if not saved.config:
        raise UserError(
            f"{run.path}: was pulled without the state to go on from: begin a new run with "
            f"`lll train --from {run.path}`"
        )
    check_same_config(run, saved.config)


def train_or_resume(
    config: RunConfig,
    out: str | Path,
    *,
    data: DataSet | None = None,
    encoder: nn.Module | None = None,
    watch: Watch | None = None,
    ranks: Ranks | None = None,
    cache: Path | None = None,
    kept: Kept | None = None,
) -> Run:
    """`train`, or `resume` if ``out`` holds a run of the same configuration: for jobs begun again.

    A finished run is given as it is. Raises UserError for a run of another configuration.

    >>> import tempfile
    >>> from lll import RunConfig, train_or_resume
    >>> config, out = RunConfig(data="digits", epochs=1, width=8), tempfile.mkdtemp()
    >>> train_or_resume(config, out) == train_or_resume(config, out)
    True
    """
    with joined(os.environ, backend_of(config.device), ranks) as ranks:
        earlier = earlier_run(config, out, encoder)
        if not ranks.any(earlier is not None):  # so all have looked before one begins
            return train(
                config,
                out,
                data=data,
                encoder=encoder,
                overwrite=True,
                watch=watch,
                ranks=ranks,
                cache=cache,
                kept=kept,
            )
        if earlier is not None and earlier.finished:
            return earlier
        return resume(out, data=data, encoder=encoder, watch=watch, ranks=ranks, cache=cache)


def earlier_run(config: RunConfig, out: str | Path, encoder: nn.Module | None = None) -> Run | None:
    """The run that `train` of these left in ``out``, if there is one to go on with.

    None too for a run without a checkpoint, which has nothing to lose. Raises UserError for
    a run of another configuration.
    """
    if not (Path(out) / "config.toml").is_file():
        return None
    run = load_run(out)
    mine, theirs = settled(config, encoder)[0].to_dict(), run.config.to_dict()
    for name in differing(mine, theirs):
        if name not in ("device", "precision"):  # a run may go on elsewhere
            raise UserError(
                f"{out}: holds a run with another {name}, {theirs.get(name)!r} and not "
                f"{mine.get(name)!r}: choose another folder, or remove this one"
            )
    return run if run.latest is not None else None


def _restore(
    prepared: Prepared, learner: Learner, progress: Progress, saved: Checkpoint, where: str
) -> None:
    learner.fill(saved.weights, where)
    states = own_states(learner.optimizers, saved.optimizers)
    check_optimizers(learner.optimizers, states, where)
    learner.load_optimizer_states(states)
    progress.position, progress.seconds = saved.position, saved.seconds
    # The stage of the last step that was taken; a later one is yet to begin.
    done = saved.position.epoch - (0 if saved.position.step else 1)
    learner.stage = prepared.stage(done) if done >= 0 else 0
    # What was saved is the sum over ranks, so one of them alone contributes it.
    part = 1 if writes(prepared.ranks) else 0
    progress.trace = {
        name: list(part * values.to(prepared.device)) for name, values in saved.trace.items()
    }
