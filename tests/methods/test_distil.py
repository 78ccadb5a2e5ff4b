"""Method `novel`: its loss against a loop, and what its free outputs are for."""

import numpy as np
import pytest
import torch
from tests.methods.cases import value_and_gradients
from tests.methods.test_consistency import Given
from tests.tiny import tiny_config, tiny_data
from torch import nn

from lll import RunConfig, train
from lll.methods.batch import Batch, Pool
from lll.methods.distil import NovelOptions, distil
from lll.nets import CosineProbe, weights_from
from lll.runs.predict import encode, load_learner

LABELLED, UNLABELLED, CLASSES = 3, 4, 3


def slow(weak, strong, targets, options):
    """Row by row, in the order unlabelled, labelled."""
    n = len(weak)
    taught = 0.0
    for a, b in ((weak, strong), (strong, weak)):
        for one, other in zip(a, b, strict=True):
            target = (one.detach() * 0.1 / 0.05).softmax(0)
            taught = taught - (target * other.log_softmax(0)).sum() / (2 * n)
    mean = sum(row.softmax(0) for row in [*weak, *strong]) / (2 * n)
    entropy = -sum(p * p.log() for p in mean)
    rows = zip(weak[UNLABELLED:], targets, strict=True)
    known = -sum(row.log_softmax(0)[int(y)] for row, y in rows) / len(targets)
    loss = (1 - options.supervised) * (taught - options.spread * entropy)
    return loss + options.supervised * known


def test_the_loss_equals_the_loop_values_and_gradients():
    draw = torch.Generator().manual_seed(0)
    shape = 2, UNLABELLED + LABELLED, CLASSES
    weak, strong = torch.randn(shape, generator=draw, dtype=torch.float64) * 2
    targets = torch.tensor([0, 2, 2])
    options = NovelOptions(supervised=0.3, spread=1.5)

    def fast(weak, strong):
        rows, views = torch.arange(UNLABELLED + LABELLED), Given(strong)
        unlabelled, labelled = (
            Pool(weak[part], rows[part], (len(rows[part]),), views)
            for part in (slice(UNLABELLED), slice(UNLABELLED, None))
        )
        nets = {"encoder": nn.Identity(), "probe": nn.Identity()}
        return distil(nets, Batch(labelled, targets, unlabelled), options).values.sum()

    for found, expected in zip(
        value_and_gradients(fast, weak, strong),
        value_and_gradients(lambda w, s: slow(w, s, targets, options), weak, strong),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)


def test_a_cosine_probe_gives_cosines_and_grows():
    with weights_from(0):
        probe = CosineProbe(4, 3, 0.1)
    encodings = torch.randn(5, 4)
    expected = torch.cosine_similarity(encodings[:, None], probe.weight[None], dim=2) / 0.1
    torch.testing.assert_close(probe(encodings), expected)
    probe.grow(6)
    assert probe(encodings).shape == (5, 6)
    torch.testing.assert_close(probe(encodings)[:, :3], expected)


def test_images_of_classes_without_a_name_gather_in_free_outputs(tmp_path):
    config = tiny_config(
        method="novel", classes=2, labels=0.5, epochs=12, width=16, contrastive_rate=0.003,
        weak_brightness=0.1, strong_brightness=0.1,
    )  # fmt: skip
    data = tiny_data(each=60)
    run = train(config, tmp_path / "run", data=data)
    learner = load_learner(run, checkpoint="latest")
    found = encode(learner, torch.from_numpy(data.test.images)).probabilities.argmax(1)
    new = data.test.labels >= 2
    assert (found[~new] == data.test.labels[~new]).mean() > 0.9
    assert (found[new] >= 2).mean() > 0.7


def test_it_looks_at_images_of_all_classes_unless_told():
    config = RunConfig(data="x", method="novel")
    assert config.unlabelled_pool == "all"
    assert str(config.classes) == "5:all"
    with pytest.raises(ValueError, match="supervised"):
        NovelOptions(supervised=1.5)
    assert np.isclose(config.options.supervised, 0.35)
