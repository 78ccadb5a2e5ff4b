"""Accuracy of learners on frozen features, by labels per class: four tables.

    python benchmarks/accuracy/features.py DATA              labels per class 1 to 400
    python benchmarks/accuracy/features.py DATA --pool 200   the same in a small folder
    python benchmarks/accuracy/features.py DATA --tail 100   a long tail, 100:1
    python benchmarks/accuracy/features.py DATA --arrival    classes 5 to 10, growing labels

DATA as for `lll train`; features come from the product's own cache, or are encoded. A tenth of
the training images, set aside by id, is validation and in no pool. By default those rows are
scored, by which every choice is made; ``--test`` scores the test images, once all is fixed.
Every number goes into runs/accuracy/.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lll.config import RunConfig
from lll.learn.prepare import Prepared, prepare
from lll.methods import auto, kernel, logistic, propagate
from lll.methods.features.fitted import Answer, best_scale
from lll.methods.features.problem import pose
from lll.methods.features.space import Space, fit_space
from lll.methods.method import Rows
from lll.metrics.conformal import conformal_threshold, nonconformity, prediction_sets
from lll.runs.train import data_of

ROOT = Path(__file__).resolve().parents[2]
LEARNERS = {
    "propagate": propagate.answer,
    "logistic": logistic.answer,
    "kernel": kernel.answer,
}
BUDGETS = (1, 4, 10, 25, 100, 400)
ERROR = 0.05  # of prediction sets
TAIL = 25  # labels of the largest class of a long tail
AGES = (4, 10, 25, 60, 150, 400)  # labels of a class by the stages that it has been there
FIRST = 5  # classes at the first stage of gradual arrival


@dataclass(frozen=True)
class Material:
    """Pool and scored features [n, d], their classes [n], and views [v, m, d] of some rows."""

    prepared: Prepared
    features: Tensor
    truth: np.ndarray
    scored: Tensor
    answers: np.ndarray

    @property
    def last(self) -> int:
        """How many features, the first ones, are of the encoder's last layer."""
        assert self.prepared.front is not None
        return self.prepared.front.last

    @property
    def viewed(self) -> np.ndarray:
        """The classes [n] of rows whose views are cached, as all are in a small folder, else -1."""
        there = np.isin(np.arange(len(self.truth)), self.prepared.viewed)
        return np.where(there, self.truth, -1)

    def rows(self, at: np.ndarray, targets: np.ndarray, shared: dict[str, Any]) -> Rows:
        """The pool's rows ``at`` with ``targets``, as a method that fits is handed them."""
        seen = self.prepared.seen(at)
        classes = len(self.prepared.facts.class_names)
        assert self.prepared.front is not None
        told = self.prepared.front.pretraining
        return Rows(
            self.features[at], seen, torch.from_numpy(targets), classes, 0, self.last, told, shared
        )


def material(data: str, encoder: str, test: bool) -> Material:
    """Features of ``data``; what is scored is validation, or ``test``."""
    config = RunConfig(
        data=data, encoder=encoder, method="auto", validation_share=0.1, validation_labels="all"
    )
    prepared = prepare(config, data_of(config), progress=say_progress)
    scored = prepared.test if test else prepared.validation
    train = prepared.train
    return Material(prepared, train.inputs, train.truth, scored.inputs, scored.truth)


def near_space(m: Material, at: np.ndarray) -> Space:
    """The space of the rows ``at`` of the pool by the encoder's last layer alone."""
    told = None if m.prepared.front is None else m.prepared.front.pretraining
    seen = m.prepared.seen(at)[..., : m.last]
    return fit_space(m.features[at, : m.last], seen, pretraining=told)


def say_progress(done: int, total: int) -> None:
    """A line now and then."""
    if done % 3200 == 0:
        sys.stderr.write(f"{done} of {total} encoded\n")


def per_class(truth: np.ndarray, counts: list[int], draw: int) -> np.ndarray:
    """Positions of ``counts[c]`` random rows of each class c: of more, those of fewer first."""
    rng = np.random.default_rng([7, draw])
    orders = [rng.permutation(np.flatnonzero(truth == c)) for c in range(len(counts))]
    return np.concatenate([order[:k] for order, k in zip(orders, counts, strict=True)])


def tail(classes: int, most: int, ratio: float) -> list[int]:
    """From ``most`` down to ``most / ratio`` in even proportions, at least 1."""
    return [max(1, round(most * ratio ** (-c / (classes - 1)))) for c in range(classes)]


def scores_of(rows: Rows, m: Material, where: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """For each learner its accuracy over the scored images of the classes of ``rows``.

    ``auto`` is put together from the others' answers, and its seconds are the sum.
    """
    begun = time.perf_counter()
    problem = pose(rows)
    shared = time.perf_counter() - begun
    points = problem.space.of(m.scored).points
    seen = np.isin(m.answers, problem.present.numpy())
    answers, seconds = {}, {}
    for name, answer in LEARNERS.items():
        begun = time.perf_counter()
        answers[name] = answer(problem)
        seconds[name] = shared + time.perf_counter() - begun
    if problem.counts.min() < 2:
        answers["auto"], seconds["auto"] = answers["propagate"], seconds["propagate"]
    else:
        answers["auto"] = auto.best(answers, auto.usual_of(problem))
        seconds["auto"] = sum(seconds.values()) - (len(LEARNERS) - 1) * shared
    for name in (*LEARNERS, "auto"):
        logits = answers[name].logits(points)[torch.from_numpy(seen)]
        truth = torch.searchsorted(problem.present, torch.from_numpy(m.answers[seen]))
        yield where | {
            "method": name,
            "accuracy": float((logits.argmax(dim=1) == truth).float().mean()),
            "seconds": seconds[name],
            "taken": answers[name].notes.get("taken"),
            **sets_of(answers[name], logits, truth.numpy()),
        }


def sets_of(answer: Answer, logits: Tensor, truth: np.ndarray) -> dict[str, Any]:
    """Of the prediction sets at an error of 5 %: how many hold the truth, and how large they are.

    ``calibrated`` is False where there are too few labels; then each set is of all classes.
    """
    scale = best_scale(answer.held, answer.truth)
    scores = nonconformity(torch.softmax(scale * answer.held, dim=1).numpy(), answer.truth.numpy())
    threshold = conformal_threshold(scores, ERROR)
    sets = prediction_sets(torch.softmax(scale * logits, dim=1).numpy(), threshold)
    return {
        "covered": float(sets[np.arange(len(truth)), truth].mean()),
        "set_size": float(sets.sum(axis=1).mean()),
        "calibrated": threshold is not None,
    }


def by_budget(m: Material, draws: int, budgets: Sequence[int]) -> Iterator[dict[str, Any]]:
    """One dictionary for each fit."""
    everything, shared = np.arange(len(m.truth)), dict[str, Any]()
    for labels in budgets:
        for draw in range(draws):
            known = per_class(m.truth, [labels] * len(m.prepared.facts.class_names), draw)
            rows = m.rows(everything, targets_of(m.truth, known), shared)
            yield from scores_of(rows, m, {"column": f"{labels}", "draw": draw})


def by_pool(m: Material, draws: int, budgets: Sequence[int], size: int) -> Iterator[dict[str, Any]]:
    """As `by_budget`, with ``size`` images alone, drawn anew each time, classes equally large."""
    classes = len(m.prepared.facts.class_names)
    for draw in range(draws):
        pool, shared = (
            np.sort(per_class(m.viewed, [size // classes] * classes, draw)),
            dict[str, Any](),
        )
        for labels in (each for each in budgets if each <= size // classes):
            known = pool[per_class(m.truth[pool], [labels] * classes, draw)]
            rows = m.rows(pool, targets_of(m.truth, known)[pool], shared)
            yield from scores_of(rows, m, {"column": f"{labels}", "draw": draw})


def by_tail(m: Material, draws: int, ratio: float) -> Iterator[dict[str, Any]]:
    """The same with classes of unequal size, in the pool as among the labels."""
    classes = len(m.prepared.facts.class_names)
    pool = np.sort(per_class(m.truth, tail(classes, len(m.truth) // classes, ratio), 99))
    shared = dict[str, Any]()
    for draw in range(draws):
        known = pool[per_class(m.truth[pool], tail(classes, TAIL, ratio), draw)]
        rows = m.rows(pool, targets_of(m.truth, known)[pool], shared)
        yield from scores_of(rows, m, {"column": f"{ratio:g}:1", "draw": draw})


def by_arrival(m: Material, draws: int) -> Iterator[dict[str, Any]]:
    """Stages of 5 to 10 classes; a class has labels by how long it has been there."""
    classes = len(m.prepared.facts.class_names)
    shared: dict[int, dict[str, Any]] = {}
    for draw in range(draws):
        for count in range(FIRST, classes + 1):
            pool = np.flatnonzero(m.truth < count)
            known = per_class(m.truth, labels_at(count, classes), draw)
            rows = m.rows(pool, targets_of(m.truth, known)[pool], shared.setdefault(count, {}))
            yield from scores_of(rows, m, {"column": f"{count} classes", "draw": draw})


def labels_at(count: int, classes: int) -> list[int]:
    """Labels of each class when ``count`` of ``classes`` are there."""
    return [AGES[count - max(c + 1, FIRST)] if c < count else 0 for c in range(classes)]


def targets_of(truth: np.ndarray, known: np.ndarray) -> np.ndarray:
    """``truth`` [n] at the positions ``known``, -1 elsewhere."""
    targets = np.full(len(truth), -1)
    targets[known] = truth[known]
    return targets


def table(found: list[Mapping[str, Any]]) -> str:
    """Methods by column: mean ± sd of accuracy in percent over draws, and the longest fit."""
    columns = list(dict.fromkeys(each["column"] for each in found))
    lines = ["| | " + " | ".join(columns) + " | s, longest |", "|---" * (len(columns) + 2) + "|"]
    for method in dict.fromkeys(each["method"] for each in found):
        mine = [each for each in found if each["method"] == method]
        cells = []
        for column in columns:
            values = [100 * each["accuracy"] for each in mine if each["column"] == column]
            spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
            cells.append(f"{np.mean(values):.1f} ± {spread:.1f}")
        longest = max(each["seconds"] for each in mine)
        lines.append(f"| `{method}` | " + " | ".join(cells) + f" | {longest:.1f} |")
    return "\n".join(lines)


def table_of_sets(found: list[Mapping[str, Any]]) -> str:
    """By column, of ``auto``: how many sets hold the truth, their size, how often calibrated."""
    lines = [
        "| `auto` | sets with the truth, % | classes in a set | calibrated |",
        "|---" * 4 + "|",
    ]
    mine = [each for each in found if each["method"] == "auto"]
    for column in dict.fromkeys(each["column"] for each in mine):
        some = [each for each in mine if each["column"] == column]
        covered = [100 * each["covered"] for each in some]
        spread = np.std(covered, ddof=1) if len(covered) > 1 else 0.0
        size = np.mean([each["set_size"] for each in some])
        sure = sum(each["calibrated"] for each in some)
        cells = f"{np.mean(covered):.1f} ± {spread:.1f} | {size:.2f} | {sure} of {len(some)}"
        lines.append(f"| {column} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table and write every fit."""
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("data", help="as for `lll train`")
    parse.add_argument("--encoder", default="efficientnet_lite2")
    parse.add_argument("--draws", type=int, default=5)
    parse.add_argument("--budgets", type=int, nargs="+", default=BUDGETS, help="labels per class")
    parse.add_argument("--pool", type=int, metavar="IMAGES", help="of so many images alone")
    parse.add_argument("--tail", type=float, metavar="RATIO", help="largest class over smallest")
    parse.add_argument("--arrival", action="store_true", help="classes arrive one by one")
    parse.add_argument("--test", action="store_true", help="score the test images")
    given = parse.parse_args()
    torch.set_grad_enabled(False)
    m = material(given.data, given.encoder, given.test)
    name, fits = "budgets", by_budget(m, given.draws, given.budgets)
    if given.pool:
        name = f"pool-{given.pool}"
        fits = by_pool(m, given.draws, given.budgets, given.pool)
    if given.tail:
        name, fits = "tail", by_tail(m, given.draws, given.tail)
    if given.arrival:
        name, fits = "arrival", by_arrival(m, given.draws)
    found = []
    for each in fits:
        found.append(each)
        sys.stderr.write(f"{each}\n")
    part = "test" if given.test else "validation"
    out = ROOT / "runs" / "accuracy" / f"{name}-{m.prepared.facts.name}-{part}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    counts = (
        f"{given.pool or len(m.truth)} pool, {len(m.answers)} {part} images, {given.draws} draws"
    )
    kept = {"command": " ".join(sys.argv), "images": counts, "fits": found}
    out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{counts}\n{table(found)}\n\n{table_of_sets(found)}\n")


if __name__ == "__main__":
    main()
