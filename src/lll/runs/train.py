"""The training loop, from schedule to record, visible from top to bottom."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lll.config import RunConfig
from lll.data import SOURCES
from lll.data.imageset import DataSet
from lll.data.paths import as_text, real_path
from lll.errors import UserError, out_of_memory
from lll.labels.events import LabelEvent
from lll.labels.schedule import EpochPlan
from lll.learn.batches import epoch_batches
from lll.learn.feeding import Split, minibatches
from lll.learn.graphs import Figures, Replayed, Take
from lll.methods import OPTIMIZER_OF, Step, stages_of
from lll.methods.steps import Batch, Networks, StepOptions, StepResult, gradients_only_to
from lll.metrics.accuracy import accuracy
from lll.nets import reset_module
from lll.ranks import ALONE, LostProcessError, Ranks
from lll.runs.checkpoint import Checkpoint, Position, load_checkpoint
from lll.runs.predict import CUSTOM_ENCODER, fill, forward, modules_of
from lll.runs.prepare import (
    Prepared,
    build_optimizers,
    check_one_class,
    check_same_data,
    data_of,
    load_optimizer,
    pick_device,
    prepare,
)
from lll.runs.record import (
    Run,
    check_same_config,
    chosen_epoch,
    load_run,
)
from lll.runs.state import check_optimizers
from lll.runs.writer import Writer, begun, reopened
from lll.seeding import derive


class RunStopped(Exception):  # noqa: N818 - nothing went wrong
    """The caller asked to stop; the run was saved at ``position`` and can be resumed."""

    def __init__(self, run: Path, position: Position) -> None:
        super().__init__(f"{run}: stopped and saved at {position}")
        self.run, self.position = run, position


@dataclass
class Learner:
    """What changes as a run goes on: modules, optimizers, and the epoch under way.

    ``trace`` holds the figures of each step of that epoch, on the device until its end.
    """

    modules: nn.ModuleDict
    optimizers: dict[str, torch.optim.Adam]
    position: Position
    trace: dict[str, list[Tensor]] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Watch:
    """How a caller looks on: each is called, if given, and none changes the run's numbers."""

    on_plan: Callable[[Prepared, Run], None] = lambda prepared, run: None
    on_step: Callable[[int, int, int], None] = lambda epoch, step, steps: None
    on_epoch: Callable[[dict[str, Any], dict[str, float]], None] = lambda metrics, seconds: None
    should_stop: Callable[[], bool] = lambda: False


def train(
    config: RunConfig,
    out: str | Path,
    *,
    data: DataSet | None = None,
    encoder: nn.Module | None = None,
    overwrite: bool = False,
    watch: Watch | None = None,
    processes: Ranks = ALONE,
) -> Run:
    """Train as ``config`` says and leave everything in the run folder ``out``.

    ``data`` stands in for the data set that ``config.data`` names; ``encoder``, any module
    from images [n, 3, s, s] in [0, 1] to encodings [n, d], for the one that
    ``config.encoder`` names. With several ``processes`` all of them call this, and the first
    writes. Raises UserError for bad input, for a loss that becomes NaN, for a lost process,
    and if ``out`` exists, unless ``overwrite``; raises RunStopped if ``watch`` asks to stop.

    >>> import tempfile
    >>> from lll import RunConfig, train
    >>> config = RunConfig(data="digits", method="gradual", epochs=1, width=8)
    >>> run = train(config, tempfile.mkdtemp())
    >>> run.finished, run.result["epochs"]
    (True, 1)
    """
    config, pretrained = _with_source(config)
    if encoder is not None:
        config = config.model_copy(update={"encoder": CUSTOM_ENCODER})
    config = config.model_copy(update={"data": _absolute(config.data)})
    data = data or data_of(config)
    check_one_class(config, data)
    prepared = prepare(config, data, processes)
    check_one_data(prepared)
    learner = _begin(prepared, encoder)
    if pretrained is not None:
        learner.modules["encoder"].load_state_dict(pretrained)
    with ExitStack() as held:
        writer = None
        if writes(processes):
            folder = begun(Path(out), config, prepared.facts, overwrite=overwrite)
            writer = held.enter_context(folder)
            writer.save(_checkpoint(config, learner))
        run = _agreed(processes, writer.run if writer else None)
        return _train(prepared, learner, run, writer, watch or Watch())


def resume(
    path: str | Path,
    *,
    data: DataSet | None = None,
    encoder: nn.Module | None = None,
    checkpoint: str = "latest",
    watch: Watch | None = None,
    processes: Ranks = ALONE,
) -> Run:
    """Go on with the run in folder ``path`` from its latest checkpoint, to the same end.

    ``data`` and ``encoder`` as in `train`, needed again if they were given there.
    ``checkpoint`` names an earlier one to go back to. The number of ``processes`` may be
    another than before. Raises UserError if the checkpoint is
    corrupt or of another configuration, or if the data has changed.
    """
    with ExitStack() as held:
        writer = held.enter_context(reopened(Path(path))) if writes(processes) else None
        run = writer.run if writer else load_run(path)
        saved = load_checkpoint(run.path, checkpoint)
        if saved is not None:
            check_same_config(run, saved.config)
        elif checkpoint != "latest" or run.metrics or run.config.from_run is not None:
            # A run that ended before its first checkpoint begins again; others would lose much.
            raise UserError(
                f"{run.path}: no checkpoint {checkpoint!r} to go on from: begin anew, in another "
                "folder or with --overwrite"
            )
        prepared = prepare(run.config, data or data_of(run.config), processes)
        check_same_data(run, prepared)
        learner = _begin(prepared, encoder)
        if saved is not None:
            _restore(learner, saved, str(run.path), processes)
        processes.wait()  # until all have read what the first may now change
        if writer and saved is None:
            writer.save(_checkpoint(run.config, learner))
        elif writer:
            run = writer.go_on_from(learner.position)
        run = _agreed(processes, run if writer else None)
        return _train(prepared, learner, run, writer, watch or Watch())


def writes(processes: Ranks) -> bool:
    """Whether this is the process that writes the run, and tells of it."""
    return processes.rank == 0


def _agreed(processes: Ranks, run: Run | None) -> Run:
    """The run as the process that writes has begun it."""
    agreed = processes.from_first(run)
    assert agreed is not None  # the first process has one
    return agreed


def check_one_data(prepared: Prepared) -> None:
    """UserError unless all processes have the same data."""
    mine = prepared.facts.fingerprint, prepared.facts.labels
    if prepared.processes.any(mine != prepared.processes.from_first(mine)):
        raise UserError(
            f"data {prepared.config.data!r} is not the same for all processes: "
            "give each machine the same files"
        )


def _train(
    prepared: Prepared, learner: Learner, run: Run, writer: Writer | None, watch: Watch
) -> Run:
    try:
        return _train_epochs(prepared, learner, run, writer, watch)
    except LostProcessError as error:
        raise LostProcessError(
            f"{error}: all stop here; go on from the latest checkpoint with the same torchrun and "
            f"`lll resume {run.path}`"
        ) from error


def _train_epochs(
    prepared: Prepared, learner: Learner, run: Run, writer: Writer | None, watch: Watch
) -> Run:
    watch = watch if writer else Watch(should_stop=watch.should_stop)
    watch.on_plan(prepared, run)
    metrics = list(run.metrics)
    for epoch in range(learner.position.epoch, prepared.config.epochs):
        if not _train_epoch(prepared, learner, watch, epoch):
            _check_finite(learner, run, epoch)
            if writer:
                writer.save(_checkpoint(prepared.config, learner))
            raise RunStopped(run.path, learner.position)
        evaluation_start = monotonic()
        scores = _evaluate(prepared, learner, epoch)
        evaluated = monotonic() - evaluation_start
        _check_finite(learner, run, epoch)

        metrics.append(_epoch_metrics(prepared, learner, epoch, scores))
        seconds = {"seconds": learner.seconds + evaluated, "evaluate_seconds": evaluated}
        learner.position, learner.trace, learner.seconds = Position(epoch + 1), {}, 0.0
        if writer:
            writer.add_epoch(
                metrics[-1],
                seconds,
                _new_labels(prepared, epoch),
                _checkpoint(prepared.config, learner),
                chosen=chosen_epoch(metrics) == epoch,
            )
        watch.on_epoch(metrics[-1], seconds)
    prepared.processes.wait()  # until the last epoch is written
    return load_run(run.path) if writer else run


def train_in_memory(
    prepared: Prepared,
    *,
    learner: Learner | None = None,
    encoder: nn.Module | None = None,
    watch: Watch | None = None,
) -> Learner:
    """Train as ``prepared`` says, write nothing and score nothing; the trained learner.

    It goes on with ``learner`` from its position, if one is given; else it begins as `train`
    does, with ``encoder`` as there. Returns early if ``watch`` asks to stop. Raises UserError
    for a loss or a weight that becomes NaN.
    """
    learner, watch = learner or _begin(prepared, encoder), watch or Watch()
    for epoch in range(learner.position.epoch, prepared.config.epochs):
        finished = _train_epoch(prepared, learner, watch, epoch)
        if trouble := _not_finite(learner, epoch):
            raise UserError(f"{trouble}: lower the learning rate")
        if not finished:
            break
        metrics = _epoch_metrics(prepared, learner, epoch, {})
        seconds = {"seconds": learner.seconds, "evaluate_seconds": 0.0}
        learner.position, learner.trace, learner.seconds = Position(epoch + 1), {}, 0.0
        watch.on_epoch(metrics, seconds)
    return learner


def _train_epoch(prepared: Prepared, learner: Learner, watch: Watch, epoch: int) -> bool:
    """Every minibatch of ``epoch`` from the learner's position on, each through every step.

    False if ``watch`` asked to stop before the last of them.
    """
    config, plan = prepared.config, prepared.plan[epoch]
    stage = prepared.stage(epoch)
    if learner.position.step == 0 and stage > 0 and epoch == config.pretrain_epochs:
        _begin_stage(prepared, learner, stage)
    _set_rates(learner, plan)
    known = prepared.known(epoch)
    batches = epoch_batches(
        known.labelled,
        known.unlabelled,
        batch_size=config.batch_size,
        labelled_batch_size=config.labelled_batch_size,
        seed=config.seed,
        epoch=epoch,
    )
    begun = monotonic() - learner.seconds
    start = learner.position.step
    views = torch.Generator(prepared.device)
    take = _taker(prepared, learner, stage, views)
    feed = minibatches(prepared.train, batches[start:], prepared.device, prepared.processes)
    finished = True
    with _says_what_fits(prepared, learner), closing(feed):
        for number, batch in enumerate(feed, start):
            if prepared.processes.any(watch.should_stop()):
                finished = False
                break
            # Drawn anew for each minibatch, so that a run can go on from any of them.
            views.manual_seed(derive(config.seed, "views", epoch, number))
            for name, value in take(batch).items():
                learner.trace.setdefault(name, []).append(value)
            learner.position = Position(epoch, number + 1)
            watch.on_step(epoch, number + 1, len(batches))
    _add_up(learner, prepared.processes)
    learner.seconds = monotonic() - begun
    return finished


def _taker(prepared: Prepared, learner: Learner, stage: int, views: torch.Generator) -> Take:
    """What takes a minibatch through every step of ``stage`` and gives its figures."""
    networks = _networks(learner.modules, prepared)

    def take(batch: Batch) -> Figures:
        figures: Figures = {}
        for step in prepared.stages[stage]:
            result = _take(step, learner, networks, batch, prepared.options, views)
            if result is not None:
                figures |= {f"{step.name}_loss": result.losses.detach().mean(), **result.figures}
        return figures

    # Ranks wait for one another inside a step, which a recording would not survive.
    if prepared.device.type == "cuda" and prepared.processes.alone:
        return Replayed(take, views, lambda: _changing(learner))
    return take


def _changing(learner: Learner) -> Iterator[Tensor]:
    """Every tensor that a minibatch may change."""
    yield from (parameter.detach() for parameter in learner.modules.parameters())
    yield from learner.modules.buffers()
    for optimizer in learner.optimizers.values():
        for state in optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))


def _networks(modules: nn.ModuleDict, prepared: Prepared) -> Networks:
    """The modules as functions; in bfloat16, each takes and gives float32 all the same.

    Weights, losses and updates stay in float32 (mixed precision, Micikevicius et al. 2018).
    """
    if not prepared.half:
        return dict(modules.items())

    def in_half(module: nn.Module) -> Callable[[Tensor], Tensor]:
        def run(rows: Tensor) -> Tensor:
            with torch.autocast(prepared.device.type, dtype=torch.bfloat16):
                out: Tensor = module(rows)
            return out.float()

        return run

    return {name: in_half(module) for name, module in modules.items()}


def _take(
    step: Step,
    learner: Learner,
    networks: Networks,
    batch: Batch,
    options: StepOptions,
    views: torch.Generator,
) -> StepResult | None:
    """One step: its losses from one forward pass, then one optimizer update for each loss."""
    modules = learner.modules
    with gradients_only_to(modules, step.reaches):
        result = step.run(networks, batch, options, views)
    if result is None:
        return None
    reached = [p for name in step.reaches for p in modules[name].parameters()]
    # All gradients before any update: an update would change what the others are taken at.
    gradients = [
        torch.autograd.grad(
            loss, reached, retain_graph=number + 1 < len(result.losses), allow_unused=True
        )
        for number, loss in enumerate(result.losses)
    ]
    owners = dict.fromkeys(OPTIMIZER_OF[name] for name in step.reaches)
    for gradient in gradients:
        whole = _added(gradient, reached, batch.processes)
        for parameter, value in zip(reached, whole, strict=True):
            parameter.grad = value
        for owner in owners:
            learner.optimizers[owner].step()
    # Left behind, they would move these modules in the next step, which may not reach them.
    for parameter in reached:
        parameter.grad = None
    return result


def _added(
    gradient: Sequence[Tensor | None], reached: Sequence[nn.Parameter], processes: Ranks
) -> Sequence[Tensor | None]:
    """``gradient``, one entry for each of ``reached``, summed over the processes in one message."""
    if processes.alone:
        return gradient
    parts = [
        torch.zeros_like(parameter) if part is None else part
        for part, parameter in zip(gradient, reached, strict=True)
    ]
    flat = processes.add(torch.cat([part.reshape(-1) for part in parts]))
    sizes = [part.numel() for part in parts]
    # Laid out as the parameters are, channels-last: a fused optimizer goes by memory alone.
    return [
        torch.empty_like(parameter).copy_(part.view(parameter.shape))
        for part, parameter in zip(torch.split(flat, sizes), reached, strict=True)
    ]


def _add_up(learner: Learner, processes: Ranks) -> None:
    """The epoch's figures, until now this process's contributions, summed over all."""
    if not processes.alone:
        for name, values in learner.trace.items():
            learner.trace[name] = list(processes.add(torch.stack(values)))


@contextmanager
def _says_what_fits(prepared: Prepared, learner: Learner) -> Iterator[None]:
    """UserError that names a batch size that fits, where the device's memory does not do."""
    try:
        yield
        return
    except Exception as error:
        if not out_of_memory(error):
            raise
    # After the except clause, which holds on to all that the failed step had made.
    size = prepared.config.batch_size
    fits = _largest_batch(prepared, learner)
    remedy = f"--batch-size {fits} fits" if fits else "not even one image fits: use another device"
    raise UserError(f"batch_size {size} is too large for the memory of {prepared.device}: {remedy}")


def _largest_batch(prepared: Prepared, learner: Learner) -> int:
    """The largest half, quarter, ... of the batch size that a first step can be taken with."""
    size = prepared.config.batch_size // 2
    while size:
        at = np.arange(size) % len(prepared.train.labels)
        images = prepared.train.images[at].permute(0, 3, 1, 2)
        # All labelled, which every step of a method may look at.
        targets = torch.zeros(size, dtype=torch.int64, device=prepared.device)
        batch = Batch(images, targets, images[:0], size, 0)
        try:
            if prepared.device.type == "cuda":
                torch.cuda.empty_cache()
            _taker(prepared, learner, 0, torch.Generator(prepared.device))(batch)
            return size
        except Exception as error:
            if not out_of_memory(error):
                raise
            size //= 2
    return 0


def _begin(prepared: Prepared, encoder: nn.Module | None) -> Learner:
    modules = modules_of(prepared.config, len(prepared.facts.class_names), encoder)
    modules = _with_one_batch_norm(modules, prepared).to(prepared.device)
    return Learner(modules, build_optimizers(prepared.config, modules), Position(0))


def _with_one_batch_norm(modules: nn.ModuleDict, prepared: Prepared) -> nn.ModuleDict:
    """Batch norm over the minibatch of all processes, where torch has it: on GPUs."""
    has_one = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in modules.modules())
    if prepared.processes.alone or not has_one:
        return modules
    if prepared.device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(modules)  # type: ignore[no-any-return,no-untyped-call]
    if writes(prepared.processes):
        logging.getLogger("lll").warning(
            "on CPUs the batch norm of encoder %r goes by each process's own images: "
            "the numbers are not those of one process",
            prepared.config.encoder,
        )
    return modules


def _begin_stage(prepared: Prepared, learner: Learner, stage: int) -> None:
    """A later stage keeps the encoder, and begins with a new probe and new optimizers."""
    reset_module(learner.modules["probe"], derive(prepared.config.seed, "probe", stage))
    learner.optimizers = build_optimizers(prepared.config, learner.modules)


def _set_rates(learner: Learner, plan: EpochPlan) -> None:
    rates = {"contrastive": plan.contrastive_rate, "probe": plan.probe_rate}
    for owner, optimizer in learner.optimizers.items():
        for group in optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rates[owner])
            else:
                group["lr"] = rates[owner]


def _predicted(prepared: Prepared, learner: Learner, split: Split) -> NDArray[np.int64]:
    """The most probable class of each image [n]; each process looks at its share of them."""
    processes, count = prepared.processes, len(split.labels)
    rows = processes.share(count)
    parts = [
        logits.argmax(dim=1)
        for _, logits in forward(learner.modules, split.images, rows.start, rows.stop)
    ]
    mine = torch.cat([torch.empty(0, dtype=torch.int64, device=prepared.device), *parts])
    shares = (processes.share(count, rank) for rank in range(processes.size))
    whole = processes.gather(mine, tuple(share.stop - share.start for share in shares))
    return whole.cpu().numpy()


def _evaluate(prepared: Prepared, learner: Learner, epoch: int) -> dict[str, Any]:
    """Accuracies on validation, for choosing, and on test, for the record."""
    represented = prepared.known(epoch).classes
    classes = len(prepared.facts.class_names)
    validation, test = (
        accuracy(_predicted(prepared, learner, split), split.labels, represented, classes)
        for split in (prepared.validation, prepared.test)
    )
    return {
        "validation_accuracy": validation.all,
        "test_accuracy": test.all,
        "test_accuracy_represented": test.represented,
        "test_accuracy_novel": test.novel,
        "test_accuracy_per_class": test.per_class,
    }


def _epoch_metrics(
    prepared: Prepared, learner: Learner, epoch: int, scores: dict[str, Any]
) -> dict[str, Any]:
    plan, known = prepared.plan[epoch], prepared.known(epoch)
    return {
        "epoch": epoch,
        "classes": plan.classes,
        "labels_known": len(known.labelled),
        "unlabelled": len(known.unlabelled),
        "contrastive_rate": plan.contrastive_rate,
        "probe_rate": plan.probe_rate,
        **{name: float(torch.stack(values).mean()) for name, values in learner.trace.items()},
        **scores,
    }


def _new_labels(prepared: Prepared, epoch: int) -> list[LabelEvent]:
    """The labels that became known at ``epoch``."""
    now = prepared.known(epoch).labelled
    before = prepared.known(epoch - 1).labelled if epoch else now[:0]
    return [
        LabelEvent(str(prepared.ids[at]), int(prepared.train.labels[at]), epoch, "schedule")
        for at in np.setdiff1d(now, before)
    ]


def _not_finite(learner: Learner, epoch: int) -> str | None:
    """Which loss or weight is NaN or infinite, in words that name the step; None if all is well."""
    for name, values in learner.trace.items():
        bad = (~torch.stack(values).isfinite()).nonzero()
        if len(bad):
            step = name.removesuffix("_loss")
            return (
                f"the loss of step {step!r} became {float(values[bad[0]]):g} at its "
                f"update {int(bad[0]) + 1} of epoch {epoch}"
            )
    for name, parameter in learner.modules.named_parameters():
        if not parameter.isfinite().all():
            return f"weights {name} became NaN in epoch {epoch}"
    return None


def _check_finite(learner: Learner, run: Run, epoch: int) -> None:
    """UserError that names the step if a loss or a weight is NaN or infinite."""
    if trouble := _not_finite(learner, epoch):
        raise UserError(
            f"{run.path}: {trouble}: the last good checkpoint is kept; "
            "lower the learning rate and begin a new run"
        )


def _checkpoint(config: RunConfig, learner: Learner) -> Checkpoint:
    return Checkpoint(
        position=learner.position,
        config=config.to_dict(),
        weights=learner.modules.state_dict(),
        optimizers={name: o.state_dict() for name, o in learner.optimizers.items()},
        trace={name: torch.stack(values) for name, values in learner.trace.items()},
        seconds=learner.seconds,
    )


def _restore(learner: Learner, saved: Checkpoint, where: str, processes: Ranks) -> None:
    fill(learner.modules, dict(saved.weights), where)
    check_optimizers(learner.optimizers, saved.optimizers, where)
    for name, optimizer in learner.optimizers.items():
        load_optimizer(optimizer, saved.optimizers[name])
    learner.position, learner.seconds = saved.position, saved.seconds
    device = next(learner.modules.parameters()).device
    # What was saved is the sum over processes, so one of them alone contributes it.
    part = 1 if writes(processes) else 0
    learner.trace = {name: list(part * values.to(device)) for name, values in saved.trace.items()}


def _with_source(config: RunConfig) -> tuple[RunConfig, dict[str, Tensor] | None]:
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


def check_names(config: RunConfig) -> None:
    """UserError for an unknown method, rule, encoder or device, before any data is read."""
    stages_of(config.method, config.rule)
    modules_of(config, classes=1)
    pick_device(config.device)


def _absolute(data: str) -> str:
    """``data`` as a run remembers it: a path from the root, any other name as it is."""
    path = Path(real_path(os.path.expanduser(data)))  # noqa: PTH111 - a string
    return as_text(str(path.absolute())) if data not in SOURCES and path.exists() else data
