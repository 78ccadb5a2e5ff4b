"""What the commands print of a run: its plan and its result."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from lll.cli.terminal import say, say_json, say_table
from lll.words import count, listed, percent

if TYPE_CHECKING:
    from lll.learn.prepare import Prepared
    from lll.runs import Run


def say_plan(prepared: Prepared) -> None:
    """Data, method and the table of what is known when; long runs show every few epochs."""
    from lll.learn.front import rough_seconds
    from lll.learn.prepare import plan_rows

    config, facts = prepared.config, prepared.facts
    say(
        f"data     {facts.name}: {count(len(facts.class_names), 'class', 'classes')}, "
        f"{facts.train} training, "
        f"{facts.validation} validation, {facts.test} test images"
    )
    stages = () if config.how.fit else config.how.stages(config.options)
    if config.how.fit:
        say(f"method   {config.title}: {config.how.summary}")
        say("         (to choose otherwise: --method, --encoder; `lll encoders` lists those)")
    for number, stage in enumerate(stages):
        steps = ", ".join(
            f"{step.name} → {' + '.join(step.reaches)}" if step.reaches else step.name
            for step in stage
        )
        title = f"{config.method}" if len(stages) == 1 else f"stage {number + 1}"
        say(f"method   {title}: {steps}")
    say(f"encoder  {_encoder_line(prepared)}")
    if config.unfreeze:
        minutes = rough_seconds(config, len(prepared.ids)) / 60
        say(f"time     about {max(round(minutes), 1)} min")
    rows = plan_rows(prepared)
    say(f"labels   {labels_used(rows[-1])} by the end{labels_from(prepared)}")
    most = max(row["labels_known"] + row["unlabelled"] for row in rows)
    every = -(-len(rows) // 24)
    say_table(
        ("epoch", "classes", "labels", "unlabelled", "encoder rate", "probe rate", "known"),
        [_plan_row(row, most) for row in rows if row["epoch"] % every == 0 or row is rows[-1]],
        left=("known",),
    )


def _plan_row(row: dict[str, Any], most: int) -> tuple[str, ...]:
    return (
        str(row["epoch"] + 1),
        str(row["classes"]),
        f"{row['labels_known']} ({percent(row['label_rate'], 0)})",
        str(row["unlabelled"]),
        f"{row['contrastive_rate']:.2g}",
        f"{row['probe_rate']:.2g}",
        _bar(row["labels_known"], row["unlabelled"], most),
    )


def _encoder_line(prepared: Prepared) -> str:
    config = prepared.config
    if prepared.front is not None:
        but = f" but for its last {count(config.unfreeze, 'block')}" if config.unfreeze else ""
        line = f"{config.encoder}, frozen{but}, {config.image_size} pixels, on {prepared.device}"
        epochs = count(config.epochs, "epoch")
        return line if config.how.fit else f"{line}, {epochs} on its features"
    return (
        f"{config.encoder}, {config.activation}, width {config.width}, "
        f"on {prepared.device}, {count(config.epochs, 'epoch')} of batch size {config.batch_size}"
    )


def labels_used(row: dict[str, Any]) -> str:
    """How many labels train and how many choose, as in "40 to train, 10 to choose"."""
    choose = row["labels_to_choose"]
    return f"{row['labels_known']} to train" + (f", {choose} to choose" if choose else "")


def labels_from(prepared: Prepared) -> str:
    """Who gave the labels to train with, where they are a person's own, as ": 3 of a person"."""
    if not prepared.givers:
        return ""
    ids = prepared.ids[prepared.labels.at(prepared.config.epochs - 1).labelled].tolist()
    counts = Counter(prepared.givers[i].origin if i in prepared.givers else "folder" for i in ids)
    return ": " + listed(f"{number} {_GIVERS.get(o, o)}" for o, number in counts.most_common())


_GIVERS = {
    "person": "by a person",
    "audit": "by a person, to audit",
    "suggestion": "accepted suggestions",
    "import": "imported",
    "pseudo": "pseudo-labels",
    "folder": "of folders or a table",
}


def _bar(labelled: int, unlabelled: int, most: int, width: int = 10) -> str:
    """Labelled images as full blocks, unlabelled ones as light ones, of ``most`` images."""
    full, both = (
        round(width * count / max(most, 1)) for count in (labelled, labelled + unlabelled)
    )
    return "█" * full + "░" * (both - full)


def say_result(run: Run, quiet: bool, as_json: bool) -> None:
    """Print what a finished run came to, and what to do next."""
    result = run.result
    if as_json:
        say_json({"event": "result", **result})
        return
    chosen = result["chosen_epoch"]
    lines = [f"labels used: {labels_used(result)}"]
    if taken := run.metrics[-1].get("taken"):
        lines.append(f"{run.config.method} took {taken}: {run.metrics[-1]['why']}")
    lines += [f"test accuracy {percent(result['test_accuracy_final'])} after the final epoch"]
    if chosen is not None:
        lines.append(
            f"test accuracy {percent(result['test_accuracy_chosen'])} after epoch "
            f"{chosen + 1}, chosen on validation"
        )
    lines.append(f"{result['seconds_per_epoch']:.1f} s per epoch")
    lines.append(f"run in {run.path}")
    for line in lines:
        say(line)
    if not quiet:
        say(f"next: lll predict {run.path} IMAGES…")
