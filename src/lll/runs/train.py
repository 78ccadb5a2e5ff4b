"""Train into a run folder: begin, save every epoch, stop in good order."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache as once
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lll.config import RunConfig
from lll.data import SOURCES, load_data, side_for
from lll.data.decoding import OnDecoded
from lll.data.imageset import DataSet
from lll.data.paths import as_text, real_path
from lll.errors import UserError
from lll.labels.events import LabelEvent
from lll.learn.device import backend_of, pick_device
from lll.learn.features import Progress as OnEncode
from lll.learn.features import keep_as_decoded
from lll.learn.front import check_front, front_of
from lll.learn.kept import Kept
from lll.learn.learner import Learner, build_learner
from lll.learn.loop import learn
from lll.learn.naming import say_if_all_named
from lll.learn.position import Position
from lll.learn.prepare import Prepared, check_one_class, prepare
from lll.learn.progress import Epoch, Progress, Watch
from lll.nets.encoders import CUSTOM_ENCODER
from lll.ranks import LostProcessError, Ranks, joined
from lll.runs.checkpoint import Checkpoint, load_checkpoint
from lll.runs.record import Run, chosen_epoch, load_run
from lll.runs.updates import image_bytes
from lll.runs.writer import Writer, begun, check_out

Weights = Mapping[str, Tensor]


class RunStopped(Exception):  # noqa: N818 - nothing went wrong
    """The caller asked to stop; the run was saved at ``position`` and can be resumed."""

    def __init__(self, run: Path, position: Position) -> None:
        super().__init__(f"{run}: stopped and saved at {position}")
        self.run, self.position = run, position


def train(
    config: RunConfig,
    out: str | Path,
    *,
    data: DataSet | None = None,
    encoder: nn.Module | None = None,
    overwrite: bool = False,
    watch: Watch | None = None,
    ranks: Ranks | None = None,
    graphs: bool = False,
    cache: Path | None = None,
    kept: Kept | None = None,
) -> Run:
    """Train as ``config`` says and leave everything in the run folder ``out``.

    ``data`` stands in for the data set that ``config.data`` names; ``encoder``, any module
    from images [n, 3, s, s] in [0, 1] to encodings [n, d], for the one that
    ``config.encoder`` names. ``ranks`` train together: by default those of the process
    group there is, or that torchrun or srun started. All of them call this, and the first
    writes. ``graphs`` records steps on a GPU as CUDA graphs; ``cache`` is the folder of what
    is kept between runs, and in ``kept`` runs of one process find what they have in common.
    Raises UserError for bad input, for a loss that becomes NaN, for a lost process, and if
    ``out`` exists, unless ``overwrite``; raises RunStopped if ``watch`` asks to stop.

    >>> import tempfile
    >>> from lll import RunConfig, train
    >>> config = RunConfig(data="digits", method="gradual", epochs=1, width=8)
    >>> run = train(config, tempfile.mkdtemp())
    >>> run.finished, run.result["epochs"]
    (True, 1)
    """
    config, pretrained = settled(config, encoder)
    watch = watch or Watch()
    with ExitStack() as held:
        ranks = held.enter_context(joined(os.environ, backend_of(config.device), ranks))
        if writes(ranks):
            check_out(Path(out), overwrite=overwrite)
        data = data or data_of(config, encoder=encoder, cache=cache, on_image=watch.on_encode)
        check_one_class(config, data)
        prepared = prepare(
            config,
            data,
            ranks,
            encoder=encoder,
            cache=cache,
            progress=watch.on_encode,
            kept=kept,
        )
        check_one_data(prepared)
        learner, progress = begin(prepared, encoder), Progress()
        if pretrained is not None:
            learner.parts["encoder"].load_state_dict(pretrained)
        writer = None
        if writes(ranks):
            images = None if config.data in SOURCES else _images_of(data, prepared)
            folder = begun(Path(out), config, prepared.facts, overwrite=overwrite, images=images)
            writer = held.enter_context(folder)
            writer.save(snapshot(learner, progress))
        run = agreed(ranks, writer.run if writer else None)
        return carry_on(prepared, learner, progress, run, writer, watch, graphs)


def _images_of(data: DataSet, prepared: Prepared) -> bytes:
    """`image_bytes` of ``data``, once for all runs that share what is kept."""
    facts = prepared.facts
    key = ("images", facts.fingerprint, facts.labels)
    return prepared.kept.get(key, lambda: image_bytes(data))


def data_of(
    config: RunConfig,
    *,
    encoder: nn.Module | None = None,
    cache: Path | None = None,
    on_image: OnEncode | None = None,
    **how: Any,
) -> DataSet:
    """The data set that ``config`` names, as ``config`` wants it; ``how`` as in `load_data`.

    Where a frozen encoder is to come (``encoder`` is the caller's own), images that must be
    decoded are encoded at once. ``on_image`` is told how many are done, of how many.
    """
    return load_data(
        config.data,
        image_size=side_for(config.data, config.image_size) if config.freeze else config.image_size,
        test_share=config.test_share,
        resize=config.resize,
        cache=cache,
        on_decoded=_as_decoded(config, encoder, cache, on_image),
        **how,
    )


def _as_decoded(
    config: RunConfig, encoder: nn.Module | None, cache: Path | None, on_image: OnEncode | None
) -> OnDecoded:
    """What is done with images as they are decoded."""

    @once  # nothing may have to be decoded
    def keep() -> OnDecoded:
        front = front_of(config, pick_device(config.device), encoder)
        if front is not None:
            return keep_as_decoded(front, cache=cache, progress=on_image)
        return lambda images, done, total: on_image(done, total) if on_image else None

    return lambda images, done, total: keep()(images, done, total)


def begin(
    prepared: Prepared, encoder: nn.Module | None = None, classes: int | None = None
) -> Learner:
    """The learner of ``prepared`` with fresh weights, on its device.

    It knows all classes, or so many of them as ``classes`` says.
    """
    return build_learner(
        prepared.config,
        len(prepared.facts.class_names) if classes is None else classes,
        device=prepared.device,
        encoder=encoder,
        front=prepared.front,
        bfloat16=prepared.bfloat16,
        ranks=prepared.ranks,
        convert=lambda module: _with_one_batch_norm(module, prepared),
    )


def carry_on(
    prepared: Prepared,
    learner: Learner,
    progress: Progress,
    run: Run,
    writer: Writer | None,
    watch: Watch,
    graphs: bool = False,
    told: Collection[LabelEvent] | None = None,
) -> Run:
    """Train ``learner`` from ``progress`` to the end; ``writer`` saves every epoch of ``run``.

    ``told`` as in `prepare`: what is known beyond it is recorded with the first epoch.
    """
    watch = watch if writer else Watch(should_stop=watch.should_stop)
    if writer:
        say_if_all_named(prepared)
    with _names_the_run(run):
        watch.on_plan(prepared, run)
        metrics = list(run.metrics)
        for epoch in learn(prepared, learner, progress, watch, graphs=graphs):
            if epoch.trouble is not None:
                raise UserError(
                    f"{run.path}: {epoch.trouble}: the last good checkpoint is kept; "
                    "lower the learning rate and begin a new run"
                )
            if epoch.finished:
                metrics.append(epoch.metrics)
            if writer:
                _save(prepared, learner, progress, writer, epoch, metrics, told)
            told = None
            if not epoch.finished:
                prepared.ranks.wait()  # until it is saved: the end of one may be that of all
                raise RunStopped(run.path, progress.position)
        return agreed(prepared.ranks, load_run(run.path) if writer else None)


def _save(
    prepared: Prepared,
    learner: Learner,
    progress: Progress,
    writer: Writer,
    epoch: Epoch,
    metrics: list[dict[str, Any]],
    told: Collection[LabelEvent] | None,
) -> None:
    if not epoch.finished:
        writer.save(snapshot(learner, progress))
        return
    number = epoch.number
    fresh = prepared.new_events(number) if told is None else prepared.events_beyond(told, number)
    writer.add_epoch(
        epoch.metrics,
        epoch.seconds,
        fresh,
        snapshot(learner, progress),
        chosen=chosen_epoch(metrics, prepared.since) == number,
    )


def snapshot(learner: Learner, progress: Progress) -> Checkpoint:
    """The state of a run as a checkpoint."""
    return Checkpoint(
        position=progress.position,
        config=learner.config.to_dict(),
        weights=learner.state_dict(),
        optimizers=learner.optimizer_states(),
        trace={name: torch.stack(values) for name, values in progress.trace.items()},
        seconds=progress.seconds,
    )


def writes(ranks: Ranks) -> bool:
    """Whether this is the rank that writes the run, and tells of it."""
    return ranks.rank == 0


def agreed(ranks: Ranks, run: Run | None) -> Run:
    """The run as the rank that writes has it."""
    same = ranks.from_first(run)
    assert same is not None  # the first rank has one
    return same


def check_one_data(prepared: Prepared) -> None:
    """UserError unless all ranks have the same data."""
    mine = prepared.facts.fingerprint, prepared.facts.labels
    if prepared.ranks.any(mine != prepared.ranks.from_first(mine)):
        raise UserError(
            f"data {prepared.config.data!r} is not the same for all processes: "
            "give each machine the same files"
        )


def check_names(config: RunConfig) -> None:
    """UserError for an unknown encoder or device, before any data is read."""
    if config.freeze:
        check_front(config)
    else:
        build_learner(config, classes=1, device=torch.device("cpu"))
    pick_device(config.device)


@contextmanager
def _names_the_run(run: Run) -> Iterator[None]:
    try:
        yield
    except LostProcessError as error:
        raise LostProcessError(
            f"{error}: all stop here; start them again, with `lll resume {run.path}`, "
            "to go on from the latest checkpoint"
        ) from error


def _with_one_batch_norm(encoder: nn.Module, prepared: Prepared) -> nn.Module:
    """Batch norm over the minibatch of all ranks, where torch has it: on GPUs."""
    has_one = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in encoder.modules())
    if prepared.ranks.alone or not has_one:
        return encoder
    if prepared.device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(encoder)  # type: ignore[no-any-return,no-untyped-call]
    if writes(prepared.ranks):
        logging.getLogger("lll").warning(
            "on CPUs the batch norm of encoder %r goes by each process's own images: "
            "the numbers are not those of one process",
            prepared.config.encoder,
        )
    return encoder


def settled(config: RunConfig, encoder: nn.Module | None) -> tuple[RunConfig, Weights | None]:
    """``config`` as its run records it, and the weights its encoder begins with, if given."""
    config, pretrained = _with_source(config)
    if encoder is not None:
        config = config.model_copy(update={"encoder": CUSTOM_ENCODER})
    return config.model_copy(update={"data": _absolute(config.data)}), pretrained


def _with_source(config: RunConfig) -> tuple[RunConfig, Weights | None]:
    """With ``config.from_run``, the configuration with that run's network, and its encoder."""
    if config.from_run is None:
        return config, None
    source = load_run(config.from_run)
    saved = load_checkpoint(source.path)
    if saved is None:
        raise UserError(f"from_run {config.from_run!r}: has no checkpoint to take an encoder from")
    network = ("encoder", "width", "activation", "image_size")
    config = config.model_copy(update={name: getattr(source.config, name) for name in network})
    weights = {
        name.removeprefix("encoder."): value
        for name, value in saved.weights.items()
        if name.startswith("encoder.")
    }
    return config, weights


def _absolute(data: str) -> str:
    """``data`` as a run remembers it: a path from the root, any other name as it is."""
    path = Path(real_path(os.path.expanduser(data)))  # noqa: PTH111 - a string
    return as_text(str(path.absolute())) if data not in SOURCES and path.exists() else data
