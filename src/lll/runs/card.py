"""The model card: what a run's model is, how good it is, what it learned from, how to load it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from lll.errors import UserError
from lll.metrics.wilson import wilson
from lll.nets.encoders import CUSTOM_ENCODER, find_encoder
from lll.runs.files import write_durably
from lll.runs.record import Run
from lll.words import count, listed, percent, visible

CARD = "README.md"


def write_card(run: Run) -> None:
    """Write `card` into the run's folder; one that a person has changed is written over."""
    write_durably(run.path / CARD, card(run).encode(errors="backslashreplace"))


def card(run: Run) -> str:
    """The model card of ``run`` in Markdown, headed as the Hugging Face Hub reads it."""
    sections = {
        "How good it is": _accuracy(run),
        "What it learned from": _data(run),
        "How it was trained": _method(run),
        "How to load it": _use(run),
    }
    head = "---\nlibrary_name: little-label-learners\npipeline_tag: image-classification\n---\n"
    title = f"\n# {visible(run.data.name)}, {run.config.title}\n"
    texts = (f"\n## {heading}\n\n{chr(10).join(lines)}\n" for heading, lines in sections.items())
    return head + title + "".join(texts)


def _accuracy(run: Run) -> Iterator[str]:
    """Test accuracy of the checkpoint that answers, with its interval, and of the final epoch."""
    at = run.chosen_epoch
    for epoch, which in ((at, "chosen on validation"), (len(run.metrics) - 1, "the final one")):
        share = None if epoch is None else run.metrics[epoch]["test_accuracy"]
        if epoch is not None and share is not None:
            low, high = wilson(round(share * run.data.test), run.data.test)
            yield (
                f"- test accuracy {percent(share)} after epoch {epoch + 1}, {which} "
                f"(n = {count(run.data.test, 'image')}, 95% interval {percent(low)} to "
                f"{percent(high)})"
            )
    yield "\nTest images were scored and never chosen by. It is one run: another seed differs."


def _data(run: Run) -> Iterator[str]:
    facts, last = run.data, run.metrics[-1]
    names = listed(map(visible, facts.class_names), 50)
    yield f"- {count(len(facts.class_names), 'class', 'classes')}: {names}"
    yield (
        f"- images: {facts.train:,} to train, {facts.validation:,} set aside for validation, "
        f"{facts.test:,} to test"
    )
    choose = last.get("labels_to_choose")
    said = Counter(event.origin for event in run.label_events())
    yield (
        f"- labels used: {last['labels_known']:,} to train"
        + (f", {choose:,} to choose" if choose else "")
        + (f"; from {listed(f'{who} ({n:,})' for who, n in said.items())}" if said else "")
    )
    yield f"- fingerprint of images and ids: `{facts.fingerprint}`"


def _method(run: Run) -> Iterator[str]:
    config = run.config
    yield f"- method `{config.method}`: {config.how.summary}; every setting is in `config.toml`"
    if taken := run.metrics[-1].get("taken"):
        yield f"- it took `{taken}`: {run.metrics[-1]['why']}"
    epochs = count(len(run.metrics), "epoch")
    yield f"- {epochs}, seed {config.seed}, images of {config.image_size} pixels"
    trained = "frozen" if config.freeze else "trained"
    yield f"- encoder `{config.encoder}`, {trained}: {_licence(config.encoder)}"


def _licence(encoder: str) -> str:
    """What is known of the licence of an encoder's weights."""
    if encoder == CUSTOM_ENCODER:
        return "the caller's own; its licence is not known"
    try:
        found = find_encoder(encoder)
    except UserError:
        return "its licence is not known here"
    return f"licence {found.licence}" if found.pretrained else "from scratch, no foreign weights"


def _use(run: Run) -> Iterator[str]:
    yield "With this folder as `model`, and Little Label Learners installed:\n"
    yield "```console\nlll predict model photos/\n```\n"
    yield "```python\nfrom lll import Predictor\n"
    yield 'predict = Predictor("model")'
    yield f"print(predict({json.dumps({'image': ['photo.jpg']})}))\n```"
