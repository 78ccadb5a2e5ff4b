"""The scikit-learn face: fit, predict, learning on as labels and classes arrive, bad input."""

import copy
import inspect
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from tests.tiny import STEPPING
from torch import nn

from lll import DataSet, GradualClassifier, ImageSet, RunConfig, UserError, train
from lll.config import fields_of
from lll.estimator.learnt import revived
from lll.estimator.pixels import content_ids
from lll.runs.predict import load_learner

COLOURS = np.array([(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40), (120, 120, 120)])


def coloured(classes=range(3), each=16, seed=0):
    """Noisy images uint8 [n, 8, 8, 3] of one colour per class, with all labels [n]."""
    rng = np.random.default_rng(seed)
    y = np.repeat(list(classes), each)
    noise = rng.normal(0, 20, (len(y), 8, 8, 3))
    return (COLOURS[y][:, None, None] + noise).clip(0, 255).astype(np.uint8), y


def some(y, known=4):
    """``y`` with ``known`` labels of each class, the rest -1."""
    rank = np.array([np.sum(y[:i] == label) for i, label in enumerate(y)])
    return np.where(rank < known, y, -1)


def small(**given):
    defaults = {
        "epochs": 6,
        "width": 8,
        "batch_size": 16,
        "probe_rate": 0.03,
        "strong_brightness": 0.1,
        "strong_jitter": 0.1,
        "weak_brightness": 0.1,
        "random_state": 0,
        "device": "cpu",
        "precision": "float32",
    }
    return GradualClassifier(**(defaults | given))


def learning(**given):
    """Large and long enough to tell the colours apart; `small` is for all the rest."""
    return small(**({"epochs": 12, "width": 16} | given))


@pytest.fixture(scope="module")
def fitted():
    X, y = coloured()
    return learning().fit(X, some(y))


def probe(model):
    return model.learnt_.learner.parts["probe"]


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_learns_from_few_labels(fitted):
    X, y = coloured(seed=1)
    assert fitted.score(X, y) > 0.9
    assert fitted.classes_.tolist() == [0, 1, 2]
    assert (fitted.n_features_in_, fitted.image_shape_) == (192, (8, 8, 3))
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (len(X), 3)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert (fitted.classes_[probabilities.argmax(axis=1)] == fitted.predict(X)).all()


def test_transform_gives_encodings(fitted):
    X, y = coloured()
    encodings = fitted.transform(X)
    assert encodings.shape == (len(X), 16)
    assert len(fitted.get_feature_names_out()) == 16
    assert KNeighborsClassifier().fit(encodings, y).score(encodings, y) > 0.9


def without_prefix(state, prefix):
    return {name: value for name, value in state.items() if not name.startswith(prefix)}


def test_fit_is_the_training_of_a_run(tmp_path):
    """In memory the weights become those of `lll.train` with the same configuration and data."""
    X, y = coloured()
    y = some(y)
    model = small(image_size=31, classes="2:all", class_order="shuffle").fit(X, y)
    seen = model.learnt_.seen
    data = DataSet("X", ("0", "1", "2"), ImageSet(seen.images, y, content_ids(seen.images)), seen)
    settings = {k: v for k, v in model.get_params().items() if k in fields_of() and v is not None}
    config = RunConfig(**settings, data="X", validation_share=0, seed=0)
    run = train(config, tmp_path / "run", data=data)
    learners = load_learner(run, checkpoint="latest"), model.learnt_.learner
    # The unknown score is fitted when a run ends, and is no weight.
    weights, own = (without_prefix(one.state_dict(), "unknown.") for one in learners)
    assert same(weights, own)


def test_every_label_is_known_by_the_last_epoch_and_not_before():
    X, y = coloured()
    history = small().fit(X, y).history_
    assert [h["labels_known"] for h in history] == [3, 9, 18, 27, 36, 48]
    classes = [h["classes"] for h in small(classes="1:all:linear").fit(X, y).history_]
    assert (classes[0], classes[-1]) == (1, 3)


@pytest.mark.parametrize("method", STEPPING)
def test_every_method_fits_and_goes_on(method):
    X, y = coloured(each=8)
    rule = "meta_reclassify" if method == "sandbox" else None
    model = small(method=method, rule=rule, epochs=2).fit(X, some(y))
    model.partial_fit(*coloured([3, 4], each=8))
    assert model.predict_proba(X).shape == (24, 5)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([5, 5, -1, 3, -1, 3], [3, 5]),
        ([5.0, 5.0, -1.0, 3.0, -1.0, 3.0], [3, 5]),
        (["b", "b", "", "a", "", "a"], ["a", "b"]),
        (np.array(["b", "b", None, "a", "", "a"], dtype=object), ["a", "b"]),
        (np.array(["b", "b", -1, "a", -1, "a"], dtype=object), ["a", "b"]),
        (np.array([5, 5, -1, 3, None, 3], dtype=object), [3, 5]),
    ],
)
def test_the_ways_to_write_labels(y, classes):
    X, _ = coloured(each=2)
    model = small(epochs=1).fit(X, y)
    assert model.classes_.tolist() == classes
    assert set(model.predict(X).tolist()) <= set(classes)
    assert model.history_[-1]["labels_known"] == 4


def test_the_ways_to_write_images_are_one():
    rgb, y = coloured(each=8)
    for X in (rgb, rgb[..., 0]):
        plain = small(epochs=1).fit(X, y)
        expected = plain.predict_proba(X)
        flat = X.reshape(len(X), -1)
        for other in (X / 255, flat, flat / 255, flat.tolist()):
            given = {"pixel_range": (0, 255)} if isinstance(other, list) else {}
            model = small(epochs=1, **given).fit(other, y)
            assert (model.predict_proba(other) == expected).all()
            assert model.image_shape_ == plain.image_shape_
        shape = plain.image_shape_
        for image_shape in (shape, (8, -1) if shape[2] == 1 else (-1, 8, 3)):
            model = small(epochs=1, image_shape=image_shape).fit(flat, y)
            assert (model.predict_proba(flat) == expected).all()
    assert (plain.predict_proba(rgb[..., :1]) == expected).all()


def test_pixel_range_is_given_or_learned():
    X, y = coloured(each=8)
    X[0, 0, 0, 0], X[0, 0, 0, 1] = 0, 255
    expected = small(epochs=1).fit(X, y).predict_proba(X)
    wide = X * (7 / 255) - 3  # from -3 to 4
    for pixel_range in ((-3, 4), "fit"):
        model = small(epochs=1, pixel_range=pixel_range).fit(wide, y)
        assert model.predict_proba(wide) == pytest.approx(expected, abs=1e-5)
    assert model.predict_proba(wide * 2) == pytest.approx(  # clipped, not stretched
        model.predict_proba((wide * 2).clip(-3, 4))
    )


def test_the_same_seed_gives_the_same_predictions():
    X, y = coloured(each=8)
    first, second, other = (
        small(epochs=2, random_state=s).fit(X, some(y)).predict_proba(X) for s in (3, 3, 4)
    )
    assert (first == second).all()
    assert (first != other).any()
    state = np.random.RandomState(0)
    drawn = [small(epochs=1, random_state=state).fit(X, y).predict_proba(X) for _ in range(2)]
    assert (drawn[0] != drawn[1]).any()


def test_global_generators_and_input_stay_as_they_are():
    X, y = coloured(each=4)
    before = X.copy(), y.copy(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    model = small(epochs=1).fit(X, y)
    model.partial_fit(*coloured([3], each=4)).predict(X)
    after = X, y, np.random.get_state()[1], torch.get_rng_state()  # noqa: NPY002
    assert all(bool((a == b).all()) for a, b in zip(before, after, strict=True))
    kept = model.learnt_.seen.images.copy()
    X[:] = 0  # the caller's array is the caller's own
    assert (model.learnt_.seen.images == kept).all()


def test_a_pickled_model_predicts_and_goes_on_the_same(fitted):
    X, y = coloured(seed=1, each=4)
    for twin in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        assert (twin.predict_proba(X) == fitted.predict_proba(X)).all()
        twin.set_params(epochs=1).partial_fit(X, y)
    other = copy.deepcopy(fitted).set_params(epochs=1).partial_fit(X, y)
    assert same(twin.learnt_.learner.state_dict(), other.learnt_.learner.state_dict())
    assert not same(twin.learnt_.learner.state_dict(), fitted.learnt_.learner.state_dict())


def test_pipeline_search_and_cross_validation():
    X, y = coloured(each=9)
    X, y = X.reshape(len(X), -1), some(y, known=6)
    model = make_pipeline(MinMaxScaler(clip=True), learning())
    assert cross_val_score(model, X, y, cv=3).mean() > 0.6
    grid = {
        "gradualclassifier__method": ["baseline", "gradual"],
        "gradualclassifier__epochs": np.arange(1, 3),
    }
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    assert set(search.predict(X)) <= {0, 1, 2}
    assert not hasattr(clone(search.best_estimator_[-1]), "classes_")


def test_score_is_over_the_known_labels(fitted):
    X, y = coloured(seed=2)
    wrong = np.where(np.arange(len(y)) % 2, -1, y)
    assert fitted.score(X, wrong) == np.mean(fitted.predict(X)[::2] == y[::2])
    weight = np.arange(len(y))
    right = fitted.predict(X) == y
    assert fitted.score(X, y, weight) == pytest.approx(np.average(right, weights=weight))
    with pytest.raises(UserError, match="no label to score against"):
        fitted.score(X, np.full(len(X), -1))


# Learning on


def test_new_classes_arrive_and_earlier_ones_are_not_forgotten():
    old, old_y = coloured([1, 3], seed=0)
    new, new_y = coloured([0, 2], seed=1)
    model = learning().fit(old, some(old_y))
    before = model.score(*coloured([1, 3], seed=2))
    model.partial_fit(new, some(new_y))
    assert model.classes_.tolist() == [0, 1, 2, 3]
    after = model.score(*coloured([1, 3], seed=2))
    assert before > 0.9
    assert after > 0.8  # a quarter is chance
    assert model.score(*coloured([0, 2], seed=2)) > 0.8
    assert len(model.history_) == 24


def test_scorers_of_scikit_learn_read_the_right_columns():
    """They take `classes_` for sorted, whatever the order in which classes came."""
    name_of = "c{}".format
    named = lambda y: np.array([name_of(label) for label in y])  # noqa: E731
    first, second = coloured([3, 4], seed=0), coloured([0, 2], seed=1)
    model = learning().fit(first[0], named(first[1]))
    model.partial_fit(second[0], named(second[1]), classes=named([0, 1, 2]))
    last = coloured([1])
    model.partial_fit(last[0], named(last[1]))
    assert model.classes_.tolist() == [name_of(label) for label in range(5)]
    X, y = coloured(range(5), seed=2)
    y = named(y)
    probabilities = model.predict_proba(X)
    assert model.score(X, y) == np.mean(model.classes_[probabilities.argmax(axis=1)] == y) > 0.8
    assert get_scorer("roc_auc_ovr")(model, X, y) > 0.95
    own = probabilities[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    assert get_scorer("neg_log_loss")(model, X, y) == pytest.approx(np.log(own).mean(), rel=1e-5)


def test_with_a_small_memory_earlier_classes_are_still_rehearsed():
    old, old_y = coloured([1, 3])
    model = learning(epochs=15, replay=6).fit(old, some(old_y, known=6))
    assert np.unique(model.learnt_.seen.labels, return_counts=True)[1].tolist() == [6, 6, 6]
    model.partial_fit(*coloured([0, 2]))
    assert model.score(*coloured([1, 3], seed=2)) > 0.7
    assert np.unique(model.learnt_.seen.labels, return_counts=True)[1].tolist() == [6] * 5


@pytest.mark.parametrize("method", STEPPING)
def test_growing_keeps_old_weights_to_the_bit(method):
    """At learning rates of zero nothing that is learned changes but new outputs of the heads."""
    X, y = coloured(each=8)
    rule = "meta_reclassify" if method == "sandbox" else None
    model = small(method=method, rule=rule, epochs=2).fit(X, y)
    old = copy.deepcopy(model.learnt_.learner.state_dict())
    model.set_params(contrastive_rate=0, probe_rate=0).partial_fit(*coloured([3, 4], each=8))
    for name, value in model.learnt_.learner.named_parameters():
        if not value.requires_grad:  # an average of others, which goes on
            continue
        assert torch.equal(value[: len(old[name])], old[name])
        grown = name.split(".")[0] in ("probe", "pseudo_probe")
        assert len(value) == len(old[name]) + 2 * grown
    assert len(probe(model).weight[3:].unique()) == 16  # drawn, not zero


def test_optimizers_remember_old_weights():
    X, y = coloured(each=8)
    model = small(method="sandbox", rule="meta_reclassify", epochs=2).fit(X, y)
    learnt = model.learnt_
    old = copy.deepcopy(learnt.learner.optimizer_states())
    learner = revived(learnt, 5, learnt.learner.config)
    for owner, optimizer in learner.optimizers.items():
        for index, parameter in enumerate(optimizer.param_groups[0]["params"]):
            before, now = old[owner]["state"][index], optimizer.state[parameter]
            assert now["step"] == before["step"] > 0
            for moment in ("exp_avg", "exp_avg_sq"):
                rows = len(before[moment])
                assert now[moment].shape == parameter.shape
                assert torch.equal(now[moment][:rows], before[moment])
                assert not now[moment][rows:].any()
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.zero_()
    assert probe(model).weight.any()  # what was learnt is not what goes on
    assert all(
        torch.equal(a, b)
        for a, b in zip(*map(moments, (old, learnt.learner.optimizer_states())), strict=True)
    )


def moments(optimizers):
    return [s["exp_avg"] for o in optimizers.values() for s in o["state"].values()]


def test_an_image_that_comes_again_brings_its_label():
    X, y = coloured(each=8)
    model = small(epochs=1).fit(X, some(y, known=2))
    model.partial_fit(X, some(y, known=5))
    assert len(model.learnt_.seen) == len(X)
    assert model.history_[-1]["labels_known"] == 15
    model.partial_fit(X[:3], [-1, -1, 1])  # what is known stays; the last is corrected
    assert model.learnt_.seen.labels[:3].tolist() == [0, 0, 1]
    model.partial_fit(coloured(seed=1)[0], np.full(48, -1))
    assert model.history_[-1]["labels_known"] == 15
    assert model.history_[-1]["unlabelled"] == 24 - 15 + 48


def test_partial_fit_from_the_start_with_classes_to_come():
    X, y = coloured(each=8)
    model = small(epochs=2).partial_fit(X[:16], y[:16], classes=[0, 1, 2])
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.history_[0]["labels_known"] == 16  # the calls are the schedule
    assert (model.predict_proba(X)[:, 2] == 0).all()
    assert (model.predict_proba(X)[:, :2] > 0).all()
    model.partial_fit(X[16:], y[16:])
    assert model.classes_.tolist() == [0, 1, 2]
    assert (model.predict_proba(X) > 0).all()
    # A later class may come before one that was announced: indices stay, rows follow labels.
    model = learning().partial_fit(*coloured([0, 1]), classes=[0, 1, 2])
    model.partial_fit(*coloured([3]))
    model.partial_fit(*coloured([2]))
    assert model.classes_.tolist() == [0, 1, 2, 3]
    assert model.learnt_.rows.tolist() == [0, 1, 3, 2]
    assert model.score(*coloured(range(4), seed=1)) > 0.7


def test_a_call_that_fails_changes_nothing(fitted):
    model = copy.deepcopy(fitted)
    X, y = coloured([3], each=4)
    expected = model.predict_proba(X)
    with pytest.raises(ValueError, match="loss of step 'contrast' became nan"):
        model.set_params(contrastive_rate=1e30).partial_fit(X, y)
    assert (model.predict_proba(X) == expected).all()
    assert (model.classes_.tolist(), len(model.history_)) == ([0, 1, 2], 12)


class Mean(nn.Module):
    """An encoder of the caller's own: the mean colour, through one layer."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(3, 5)

    def forward(self, images):
        return self.dense(images.mean(dim=(2, 3)))


def test_any_module_is_an_encoder_and_stays_as_it_was():
    encoder = Mean()
    before = copy.deepcopy(encoder.state_dict())
    X, y = coloured(each=4)
    model = clone(small(encoder=encoder, epochs=2)).fit(X, y)
    small(encoder=encoder, epochs=1).fit(X, y)
    assert model.transform(X).shape == (12, 5)
    assert same(encoder.state_dict(), before)
    pickle.loads(pickle.dumps(model)).partial_fit(*coloured([3], each=4))


def test_prints_only_when_asked(capsys):
    X, y = coloured(each=4)
    small(epochs=1).fit(X, y)
    assert not capsys.readouterr().out
    small(epochs=1, verbose=True).fit(X, y)
    assert capsys.readouterr().out.startswith("epoch 1/1: 3 classes, 12 labels, contrast_loss ")


# Bad input


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "gradul"}, "unknown method 'gradul': did you mean 'gradual'"),
        ({"method": "sandbox", "rule": "meta"}, "unknown rule 'meta'"),
        ({"encoder": "convnot"}, "unknown encoder 'convnot'"),
        ({"encoder": 3}, "encoder is 3: give a name or a torch.nn.Module"),
        ({"epochs": 0}, "epochs: "),
        ({"classes": 7}, "the data has 3 classes"),
        ({"labels": 2}, "labels: "),
        ({"image_size": 16}, "image_size 16 is too small"),
        ({"image_size": 0}, "image_size: "),
        ({"image_shape": (4, 4)}, r"image_shape \(4, 4\) does not fit"),
        ({"image_shape": (12, 16)}, "images of 8 x 8 x 3, but image_shape is"),
        ({"image_shape": 8}, "image_shape 8 does not fit"),
        ({"pixel_range": (1, 0)}, "pixel_range is"),
        ({"pixel_range": "auto"}, "pixel_range is 'auto'"),
        ({"pixel_range": (0, 100)}, "values from .* outside 0 to 100"),
        ({"replay": 0}, "replay is 0"),
        ({"random_state": -1}, "seed: "),
        ({"device": "warp"}, "device 'warp' cannot be used"),
    ],
)
def test_parameters_that_cannot_be_used(given, message):
    X, y = coloured(each=2)
    with pytest.raises(ValueError, match=message) as raised:
        small(**given).fit(X, y)
    assert "\n" not in str(raised.value)


X_BAD, Y_BAD = coloured(each=2)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (X_BAD * 2.0, Y_BAD, "outside 0 to 1"),
        (X_BAD.astype(int), Y_BAD, "X is int64: give uint8"),
        (X_BAD[..., :2], Y_BAD, "images of 8 x 8 x 2"),
        (X_BAD[:, None], Y_BAD, "X has images of 1 x 8 x 8 x 3"),
        (X_BAD.reshape(6, -1)[:, :10], Y_BAD, "10 features, which is not a square image"),
        (X_BAD[:0], Y_BAD[:0], "0 sample"),
        (X_BAD / np.nan, Y_BAD, "NaN"),
        (X_BAD, Y_BAD[:5], "inconsistent numbers of samples"),
        (X_BAD, np.full(6, -1), "no labelled image"),
        (X_BAD, None, "requires y"),
        (X_BAD, Y_BAD + 0.5, "Unknown label type"),
        (X_BAD, np.where(Y_BAD, np.nan, 1), "NaN"),
        (X_BAD, np.array([0, "a", 1, 1, 1, 1], dtype=object), "Unknown label type: 0 in y"),
    ],
)
def test_input_that_cannot_be_used(X, y, message):
    with pytest.raises(ValueError, match=message):
        small(epochs=1).fit(X, y)


def test_bad_calls_of_a_fitted_model(fitted):
    X, y = coloured(each=2)
    model = copy.deepcopy(fitted)
    for call in (lambda X: model.partial_fit(X, y), model.predict, model.transform):
        with pytest.raises(UserError, match=r"X has images of 4 x 4 x 3, .* fitted on 8 x 8 x 3"):
            call(X[:, :4, :4])
        with pytest.raises(ValueError, match=r"X has 48 features, but .* expecting 192"):
            call(X[:, :4, :4].reshape(6, -1))
    with pytest.raises(UserError, match=r"y has class .*2.* not among classes: add it"):
        small(epochs=1).partial_fit(X, y, classes=[0, 1])
    with pytest.raises(UserError, match="of different kinds"):
        model.partial_fit(X, np.array(["a", "b", "c"])[y])
    with pytest.raises(NotFittedError):
        small().predict(X)


# Parameters


def test_parameters_are_those_of_a_run_with_the_same_defaults():
    ours = GradualClassifier().get_params()
    fields = fields_of()
    assert fields.keys() - ours.keys() == {
        "data", "from_run", "label_events", "resize", "seed", "test_share",
        "validation_labels", "validation_share",
    }  # fmt: skip
    shared = fields.keys() & {name for name, value in ours.items() if value is not None}
    differing = {name for name in shared if ours[name] != fields[name].default}
    assert differing == {"batch_size", "labels"}


def test_the_signature_and_the_docstring_tell_every_parameter():
    names = list(inspect.signature(GradualClassifier).parameters)
    assert sorted(names) == sorted(GradualClassifier().get_params())
    assert all(f"\n    {name} : " in GradualClassifier.__doc__ for name in names)
    with pytest.raises(TypeError, match="unknown parameter 'widht': did you mean 'width'"):
        GradualClassifier(widht=3)
