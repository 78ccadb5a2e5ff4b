"""The model card: written when a run ends, true to its record, and in what is exported."""

import pytest
from tests.tiny import tiny_config, tiny_data

from lll import load_run, train
from lll.runs.card import CARD, card
from lll.words import percent


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = tiny_config(epochs=2, classes="4", labels="5/class", validation_share=0.2)
    return train(config, tmp_path_factory.mktemp("card") / "run", data=tiny_data())


def test_a_finished_run_has_it(run):
    text = (run.path / CARD).read_text()
    assert text == card(load_run(run.path))
    result = run.result
    for said in (
        f"- test accuracy {percent(result['test_accuracy_final'])} after epoch 2, the final one",
        f"after epoch {result['chosen_epoch'] + 1}, chosen on validation (n = 40 images",
        "4 classes: a, b, c, d",
        f"labels used: {result['labels_known']} to train, {result['labels_to_choose']} to choose",
        f"schedule ({result['labels_known']})",
        "`convnet`, trained: from scratch",
        'Predictor("model")',
    ):
        assert said in text
    assert str(run.path.parent) not in text


def test_the_licence_of_pretrained_weights_is_said(run):
    given = {"encoder": "efficientnet_lite2", "freeze": True}
    other = run.config.model_copy(update=given)
    text = card(type(run)(run.path, other, run.data, run.metrics, run.timings, run.latest))
    assert "`efficientnet_lite2`, frozen: licence Apache-2.0" in text


def test_names_of_classes_do_not_break_it(tmp_path):
    data = tiny_data(classes=2)
    odd = type(data)("tiny", ("a\n# b", "c"), data.train, data.test)
    config = tiny_config(epochs=1, classes="2", labels="5/class")
    text = (train(config, tmp_path / "run", data=odd).path / CARD).read_text()
    assert "\n# b" not in text
