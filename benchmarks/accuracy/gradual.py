"""The gradual benchmark (docs/gradual-benchmark.md): run a method of ours, or score predictions.

    python -m benchmarks.accuracy.gradual DATA --method logistic            on validation
    python -m benchmarks.accuracy.gradual DATA --method logistic --test     once all is fixed
    python -m benchmarks.accuracy.gradual DATA --method discover            by `lll discover` alone
    python -m benchmarks.accuracy.gradual DATA --score predictions.csv --test
    python -m benchmarks.accuracy.gradual DATA --events FOLDER              for `lll train`

Predictions are written as CSV, one file for each order and draw, and scored from there; those
that are there already are kept, so that the same command goes on. DATA as for `lll train`.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.accuracy.gradual_discover import FEATURES_OF, GROUPING, grouped
from benchmarks.accuracy.gradual_events import (
    PROTOCOLS,
    Event,
    Protocol,
    names_of,
    read_events,
    read_validation,
)
from benchmarks.accuracy.gradual_predictions import (
    ALL_OF,
    Predictions,
    read_predictions,
    write_predictions,
)
from benchmarks.accuracy.gradual_score import means, over_orders, stage_scores, with_forgetting

from lll import DataSet, ImageSet, RunConfig, UserError
from lll.labels.events import LabelEvent
from lll.learn.kept import Kept
from lll.learn.loop import learn
from lll.learn.prepare import prepare
from lll.learn.progress import Progress, Watch
from lll.runs.predict import encode, unknown_scores
from lll.runs.train import begin, data_of

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = 4  # of a stage, of methods that take steps


@dataclass(frozen=True)
class Material:
    """The benchmark on a data set: the pool as ``train``, the images to score as ``test``.

    Images are named as in the events; ``name`` is that of the protocol.
    """

    name: str
    protocol: Protocol
    data: DataSet

    def events(self, order: int, draw: int) -> list[Event]:
        """Those of one order and draw."""
        every = read_events(self.name)
        return [event for event in every if (event.order, event.draw) == (order, draw)]

    def known(self, events: Sequence[Event], stage: int) -> list[int]:
        """Classes with labels at ``stage``, in the order they came."""
        names = dict.fromkeys(event.label for event in events if event.stage <= stage)
        return [self.data.class_names.index(name) for name in names]


def material(data: DataSet, test: bool) -> Material:
    """Of ``data``; what is scored is validation, or ``test``. UserError for other data."""
    found = [
        name
        for name, protocol in PROTOCOLS.items()
        if sorted(protocol.classes) == sorted(data.class_names)
    ]
    if not found:
        raise UserError(f"data {data.name!r}: the benchmark is for {', '.join(PROTOCOLS)}")
    name, protocol = found[0], PROTOCOLS[found[0]]
    counts = [int((data.train.labels == data.class_names.index(c)).sum()) for c in protocol.classes]
    if counts != list(protocol.per_class):
        raise UserError(f"data {data.name!r}: has {counts} training images, not those of {name}")
    train, shown = named(data.train, data.class_names), named(data.test, data.class_names)
    aside = np.isin(train.ids, read_validation(name))
    scored = shown if test else train.take(aside)
    return Material(
        name, protocol, DataSet(data.name, data.class_names, train.take(~aside), scored)
    )


def named(images: ImageSet, class_names: Sequence[str]) -> ImageSet:
    """The same images, named as in the events."""
    return replace(images, ids=names_of(images.labels, class_names))


def answers_of(
    m: Material, config: RunConfig, method: str, order: int, draw: int, each: int, kept: Kept
) -> Iterator[Predictions]:
    """What one run answers at the end of each stage, which takes ``each`` epochs.

    ``method`` is that of ``config``, or one of `GROUPING`, which trains nothing.
    """
    events = m.events(order, draw)
    names = m.data.class_names
    told = [LabelEvent(e.id, names.index(e.label), e.stage * each, "schedule") for e in events]
    prepared = prepare(config, m.data, events=told, kept=kept)
    if method in GROUPING:
        yield from grouped(prepared, m.data.test.ids, (order, draw), m.protocol.stages, method)
        return
    learner = begin(prepared)
    for epoch in learn(prepared, learner, Progress(), Watch(), score=False):
        if epoch.trouble is not None:
            raise UserError(f"order {order}, draw {draw}: {epoch.trouble}")
        stage, last = divmod(epoch.number + 1, each)
        if last == 0:
            known = m.known(events, stage - 1)
            encoded = encode(learner, prepared.test.inputs)
            best = encoded.probabilities.argmax(axis=1)
            told_names = [name if c in known else f"new-{c}" for c, name in enumerate(names)]
            outside = 1 - encoded.probabilities[:, known].max(axis=1)
            if "unknown" in learner.parts:
                outside = unknown_scores(learner, encoded)
            yield Predictions(
                order,
                draw,
                stage - 1,
                m.data.test.ids,
                np.array(told_names)[best],
                encoded.probabilities.max(axis=1).astype(np.float64),
                outside.astype(np.float64),
            )


def score(m: Material, path: Path, parts: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    """Figures of every stage of the orders and draws ``parts`` of the predictions at ``path``."""
    found = read_predictions(path, m.data.test.ids, m.data.class_names)
    rows = []
    for order, draw in parts:
        events = m.events(order, draw)
        stages = []
        for stage in range(m.protocol.stages):
            if (order, draw, stage) not in found:
                raise UserError(f"{path}: nothing of order {order}, draw {draw}, stage {stage}")
            known = m.known(events, stage)
            truth, count = m.data.test.labels, len(m.data.class_names)
            stages.append(stage_scores(found[order, draw, stage], truth, known, count))
        for stage, figures in enumerate(with_forgetting(stages)):
            rows.append({"order": order, "draw": draw, "stage": stage, **figures})
    return rows


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each figure with its interval over orders, over all stages and stage by stage."""
    parts: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for row in rows:
        parts.setdefault((row["order"], row["draw"]), []).append(row)
    over_stages = {key: means(stages) for key, stages in parts.items()}
    figures = next(iter(over_stages.values()))
    stages = range(len(next(iter(parts.values()))))
    return {
        name: {
            "mean": over_orders((key[0], each[name]) for key, each in over_stages.items()),
            "stages": [
                over_orders((key[0], each[stage][name]) for key, each in parts.items())
                for stage in stages
            ],
        }
        for name in figures
    }


def table(found: dict[str, Any]) -> str:
    """Figures by stage, in percent."""
    first = next(iter(found.values()))["stages"]
    lines = [
        "| stage | " + " | ".join(map(str, range(len(first)))) + " | mean (forgetting: last) |",
        "|---" * (len(first) + 2) + "|",
    ]
    for name, each in found.items():
        cells = [plus_minus(value) for value in (*each["stages"], each["mean"])]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plus_minus(value: dict[str, Any] | None) -> str:
    """A mean with half of its interval, in percent."""
    if value is None:
        return "–"
    mean, interval = value["mean"], value["interval"]
    half = "" if interval is None else f" ± {50 * (interval[1] - interval[0]):.1f}"
    return f"{100 * mean:.1f}{half}"


def run(m: Material, given: argparse.Namespace, parts: Sequence[tuple[int, int]]) -> None:
    """Write the predictions of ``parts`` that are not there yet."""
    fits = config_of(given).how.fit is not None
    each = 1 if fits else given.epochs
    whole = {"epochs": each * m.protocol.stages, "validation_share": 0.0}
    kept, out = Kept(), given.out
    out.mkdir(parents=True, exist_ok=True)
    record, text = out / "config.toml", config_of(given, **whole).to_toml()
    if record.exists() and record.read_text("utf-8") != text:
        raise UserError(f"{out}: holds predictions of other settings: give another --out")
    record.write_text(text, encoding="utf-8")
    for order, draw in parts:
        path = out / f"order{order}-draw{draw}.csv"
        if not path.exists():
            config = config_of(given, **whole, seed=100 * order + draw)
            told = answers_of(m, config, given.method, order, draw, each, kept)
            write_predictions(path, told)
            sys.stderr.write(f"{path}\n")


def config_of(given: argparse.Namespace, **more: Any) -> RunConfig:
    """The configuration that is asked for, with ``more`` settings."""
    settings = dict(each.partition("=")[::2] for each in given.set)
    method = {"method": FEATURES_OF.get(given.method, given.method)} if given.method else {}
    return RunConfig(data=given.data, **method, **settings, **more)


def write_events(m: Material, ids: Sequence[str], each: int, folder: Path) -> None:
    """For `lll train --label-events`: a CSV of the data's own ``ids`` for each order and draw."""
    own = dict(zip(m.data.train.ids.tolist(), ids, strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    for order in range(m.protocol.orders):
        for draw in range(m.protocol.draws):
            path = folder / f"order{order}-draw{draw}.csv"
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(("id", "label", "epoch"))
                for event in m.events(order, draw):
                    writer.writerow((own[event.id], event.label, event.stage * each))


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="as for `lll train`")
    what = parser.add_mutually_exclusive_group(required=True)
    ours = f"a method of ours, or {' or '.join(GROUPING)}: run it, then score it"
    what.add_argument("--method", help=ours)
    what.add_argument("--score", type=Path, metavar="CSV", help=f"columns {', '.join(ALL_OF)}")
    what.add_argument("--events", type=Path, metavar="FOLDER", help="write them as CSV, and stop")
    parser.add_argument("--orders", type=int, default=5, help="how many orders of the classes")
    parser.add_argument("--draws", type=int, default=1, help="how many draws of labels for each")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each stage")
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE")
    parser.add_argument("--test", action="store_true", help="score the test images")
    parser.add_argument("--out", type=Path, help="folder (runs/gradual/NAME)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, score, print and write."""
    given = parsed(arguments)
    data = data_of(config_of(given))
    m = material(data, given.test)
    if given.events:
        aside = np.isin(names_of(data.train.labels, data.class_names), read_validation(m.name))
        write_events(m, data.train.ids[~aside].tolist(), given.epochs, given.events)
        return
    part = "test" if given.test else "validation"
    given.out = given.out or ROOT / "runs" / "gradual" / (
        f"{m.name}-{given.method or given.score.stem}-{part}"
    )
    parts = [(order, draw) for order in range(given.orders) for draw in range(given.draws)]
    if given.method:
        run(m, given, parts)
    rows = score(m, given.score or given.out, parts)
    found = summary(rows)
    about = {"data": m.name, "method": given.method, "scored": part, "images": len(m.data.test)}
    content = about | {"command": command(arguments), "commit": commit(), "summary": found}
    given.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content | {"stages": rows}, indent=1)
    (given.out / "result.json").write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(m.data.test)} {part} images, {len(parts)} runs\n{table(found)}\n")


def command(arguments: Sequence[str] | None) -> str:
    """What was typed."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    return shlex.join(["python", "-m", "benchmarks.accuracy.gradual", *map(str, words)])


def commit() -> str:
    """Of the repository, if it is one."""
    asked = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def run_command(command: Callable[[], None]) -> None:
    """Run what was typed: bad input is one line and exit code 2."""
    try:
        command()
    except (UserError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    run_command(main)
