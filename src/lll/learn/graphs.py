"""CUDA graphs: a minibatch's work recorded once for each shape of minibatch, then replayed.

Small networks on small images are a few hundred short kernels a step, and starting them one
by one from Python takes longer than running them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from lll.methods.batch import Batch

Figures = dict[str, Tensor]
Take = Callable[[Batch], Figures]

# A replay and the plain work differ only by the order in which GPUs add.
LOSS_TOLERANCE = 1e-2
CHANGE_TOLERANCE = 0.1


class Replayed:
    """``take`` on minibatches of a GPU, as graphs where that gives the same as plain work.

    The first minibatch of each shape is taken plainly, which also makes what has to be there
    before a recording; the second is recorded. The first recording is replayed and compared
    with the plain work on the same minibatch from the same ``state``. If it cannot be recorded
    or differs, it says why, once, and everything is taken plainly.

    ``take`` draws its views from ``views``, which the caller seeds before each minibatch.
    ``state`` lists all tensors that ``take`` changes.
    """

    def __init__(
        self, take: Take, views: torch.Generator, state: Callable[[], Iterable[Tensor]]
    ) -> None:
        self._take, self._views, self._state = take, views, state
        self._seen: set[tuple[int, int]] = set()
        self._graphs: dict[tuple[int, int], tuple[torch.cuda.CUDAGraph, Batch, Figures]] = {}
        self._pool = torch.cuda.graph_pool_handle()
        self._side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.reason: str | None = None

    def __call__(self, batch: Batch) -> Figures:
        """The figures of ``batch``, taken."""
        shape = len(batch.labelled), len(batch.unlabelled)
        if self.reason is not None or shape not in self._seen:
            self._seen.add(shape)
            return self._take(batch)
        if shape not in self._graphs:
            try:
                recorded = self._record(batch)
            except Exception as error:
                # Whatever a step does that cannot be recorded: the plain way always works.
                return self._give_up((str(error) or repr(error)).splitlines()[0], batch)
            if not self._graphs:
                return self._compare(shape, recorded, batch)
            self._graphs[shape] = recorded
        return self._replay(self._graphs[shape], batch)

    def _record(self, batch: Batch) -> tuple[torch.cuda.CUDAGraph, Batch, Figures]:
        held = batch.map(torch.clone)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._views)
        self._side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._side):
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                figures = self._take(held)
            finally:
                graph.capture_end()
        torch.cuda.current_stream().wait_stream(self._side)
        self._views.manual_seed(self._views.initial_seed())  # recording is not drawing
        return graph, held, figures

    @staticmethod
    def _replay(recorded: tuple[torch.cuda.CUDAGraph, Batch, Figures], batch: Batch) -> Figures:
        graph, held, figures = recorded
        for tensor, value in zip(held.tensors(), batch.tensors(), strict=True):
            tensor.copy_(value)
        graph.replay()
        # The next replay writes over them.
        return {name: value.clone() for name, value in figures.items()}

    def _compare(
        self,
        shape: tuple[int, int],
        recorded: tuple[torch.cuda.CUDAGraph, Batch, Figures],
        batch: Batch,
    ) -> Figures:
        before = [tensor.clone() for tensor in self._state()]
        replayed = self._replay(recorded, batch)
        after = [tensor.clone() for tensor in self._state()]
        for tensor, value in zip(self._state(), before, strict=True):
            tensor.copy_(value)
        self._views.manual_seed(self._views.initial_seed())
        plain = self._take(batch)
        if reason := differing(replayed, plain, before, after, list(self._state())):
            return self._give_up(reason, batch, plain)
        self._graphs[shape] = recorded
        return plain

    def _give_up(self, reason: str, batch: Batch, taken: Figures | None = None) -> Figures:
        self.reason = reason
        self._graphs.clear()
        logging.getLogger("lll").warning("training goes on without CUDA graphs: %s", reason)
        if taken is not None:
            return taken
        self._views.manual_seed(self._views.initial_seed())
        return self._take(batch)


def differing(
    replayed: Figures,
    plain: Figures,
    before: list[Tensor],
    after: list[Tensor],
    plainly: list[Tensor],
) -> str | None:
    """In what a replay differs from the plain work, or None: in a loss, or in what it changed.

    ``before`` is the state that both began with, ``after`` what the replay made of it and
    ``plainly`` what the plain work did.
    """
    for name, value in plain.items():
        if not name.endswith("_loss"):  # an accuracy jumps where two are nearly equal
            continue
        if not abs(float(replayed[name]) - float(value)) <= LOSS_TOLERANCE * max(
            1, abs(float(value))
        ):
            return f"a replay gave {name} {float(replayed[name]):g} for {float(value):g}"
    apart = sum(float((a - p).abs().sum()) for a, p in zip(after, plainly, strict=True))
    moved = sum(float((p - b).abs().sum()) for p, b in zip(plainly, before, strict=True))
    if not apart <= CHANGE_TOLERANCE * moved:
        return f"a replay changed the weights otherwise, by {apart:g} of {moved:g}"
    return None
