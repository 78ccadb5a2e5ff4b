"""What must hold for each method that fits (`logistic`, `auto` and their like)."""

import numpy as np
import pytest
import torch
from tests.methods.mixtures import accuracy, fitted, hide, mixture

from lll.errors import UserError
from lll.methods import METHODS

every = pytest.mark.parametrize("method", [name for name, how in METHODS.items() if how.fit])
CLASSES = [120, 120, 120, 120]


def fit(method, labels=5, seed=0):
    features, truth = mixture(CLASSES)
    return (*fitted(method, features, hide(truth, labels, seed), 4), features, truth)


@every
def test_it_predicts_new_images(method):
    nets, _, _, _ = fit(method)
    new, truth = mixture(CLASSES, seed=9)
    assert accuracy(method, nets, new, truth) > 0.85
    near = METHODS[method].answers(nets, new.half())[1]
    torch.testing.assert_close(near, METHODS[method].answers(nets, new)[1], atol=0.1, rtol=0.05)


@every
def test_order_and_duplicates_are_of_little_matter(method):
    features, truth = mixture(CLASSES)
    targets = hide(truth, 5)
    order = torch.randperm(len(truth), generator=torch.Generator().manual_seed(3))
    more = torch.cat([order, order[targets[order] < 0][:1]])
    other = targets[more]
    other[-1] = -1
    answers = [
        METHODS[method].answers(fitted(method, X, y, 4)[0], features)[1].argmax(dim=1)
        for X, y in ((features, targets), (features[more], other))
    ]
    assert (answers[0] == answers[1]).float().mean() > 0.97


@every
def test_the_same_labels_give_the_same_bits(method):
    first, second = fit(method)[0], fit(method)[0]
    for name, part in first.items():
        for key, value in part.state_dict().items():
            assert torch.equal(value, second[name].state_dict()[key]), (name, key)


@every
def test_classes_without_labels_are_never_predicted(method):
    features, truth = mixture(CLASSES)
    nets, _ = fitted(method, features, hide(truth, [5, 0, 5, 0]), 6)
    logits = METHODS[method].answers(nets, features)[1]
    assert logits.shape == (480, 6)
    assert set(logits.argmax(dim=1).tolist()) == {0, 2}
    assert torch.softmax(logits, dim=1)[:, [1, 3, 4, 5]].max() < 1e-6
    assert nets["calibration"].prior[[1, 3, 4, 5]].eq(0).all()


@every
def test_no_unlabelled_image_is_no_error(method):
    features, truth = mixture([20, 20, 20])
    assert accuracy(method, fitted(method, features, truth, 3)[0], features, truth) > 0.9


@every
def test_bad_input_is_one_line(method):
    features, truth = mixture(CLASSES)
    for targets in (torch.full((480,), -1), torch.where(truth == 2, 2, -1)):
        with pytest.raises(UserError, match="needs labels of two classes at least"):
            fitted(method, features, targets, 4)
    features[3, 2] = torch.nan
    with pytest.raises(UserError, match="1 of 480 rows of features hold NaN"):
        fitted(method, features, truth, 4)


def test_unlabelled_images_help_where_labels_are_few():
    features, truth = mixture([300] * 5, apart=1.2)
    gains = []
    for seed in range(4):
        targets = hide(truth, 2, seed)
        found = [
            accuracy(method, fitted(method, features, targets, 5)[0], features, truth)
            for method in ("propagate", "logistic")
        ]
        gains.append(found[0] - found[1])
    assert np.mean(gains) > 0.02


def test_auto_says_what_it_took_and_why():
    notes = fit("auto", labels=[5, 1, 5, 5])[1]
    assert notes["taken"] == "propagate"
    assert "one label" in notes["why"]
    scores = {"held_out_logistic", "held_out_propagate", "held_out_kernel"}
    assert scores <= set(fit("auto")[1])


def test_on_a_long_tail_auto_does_not_lose_to_logistic():
    features, truth = mixture([900, 320, 110, 40, 15], apart=1.5)
    new, new_truth = mixture([200] * 5, apart=1.5, seed=5)
    gains = []
    for seed in range(4):
        targets = hide(truth, [25, 9, 3, 2, 1], seed)
        found = [
            accuracy(method, fitted(method, features, targets, 5)[0], new, new_truth)
            for method in ("auto", "logistic")
        ]
        gains.append(found[0] - found[1])
    assert np.mean(gains) > -0.005


def test_the_prior_of_a_long_tail_is_estimated():
    features, truth = mixture([600, 200, 60])
    nets, notes = fitted("propagate", features, hide(truth, [12, 4, 2]), 3)
    prior = nets["calibration"].prior
    np.testing.assert_allclose(prior, np.array([600, 200, 60]) / 860, atol=0.12)
    assert prior.tolist() == notes["prior"] == sorted(notes["prior"], reverse=True)


def test_probabilities_are_calibrated_on_rows_held_out():
    features, truth = mixture([400] * 4, apart=0.8)
    nets, notes = fitted("logistic", features, hide(truth, 60), 4)
    new, new_truth = mixture([400] * 4, apart=0.8, seed=5)
    chance = torch.softmax(METHODS["logistic"].answers(nets, new)[1], dim=1)
    confidence, predicted = chance.max(dim=1)
    right = (predicted == new_truth).float()
    assert abs(float(confidence.mean() - right.mean())) < 0.06
    assert notes["calibrated_on"] == len(nets["calibration"].nonconformity) == 240


def test_whitening_by_views_shortens_what_views_differ_in():
    """A direction that a view changes at will says nothing of the class, however long it is."""
    features, truth = mixture([800] * 3, width=12)
    rng = np.random.default_rng(0)

    def noisy(clean):
        shift = torch.zeros_like(clean)
        shift[:, 0] = torch.from_numpy(rng.normal(0, 12, len(clean))).float()
        return clean + shift

    targets, seen, views = hide(truth, 3), noisy(features), noisy(features)[None]
    new, new_truth = mixture([150] * 3, width=12, seed=4)
    new = noisy(new)
    blind, seeing = (
        accuracy("logistic", fitted("logistic", seen, targets, 3, v)[0], new, new_truth)
        for v in (None, views)
    )
    assert seeing > blind + 0.05


def test_classes_that_came_first_have_more_labels_and_no_larger_prior():
    features, truth = mixture([300] * 4, apart=1.2)
    targets = hide(truth, [80, 80, 8, 4])
    nets, notes = fitted("auto", features, targets, 4)
    assert max(notes["prior"]) < 5 * min(notes["prior"])  # of the labels it is 20 times
    alone, _ = fitted("logistic", features, targets, 4)
    assert accuracy("auto", nets, features, truth) >= accuracy("logistic", alone, features, truth)


def test_classes_that_are_labelled_whole_take_no_image_of_others():
    features, truth = mixture([150] * 6, apart=1.2)
    new, new_truth = mixture([150] * 6, apart=1.2, seed=9)
    scores = []
    for labels in ([150] * 4 + [10, 4], [10] * 4 + [10, 4]):
        nets, _ = fitted("propagate", features, hide(truth, labels), 6)
        scores.append(accuracy("propagate", nets, new, new_truth))
    assert scores[0] > scores[1] - 0.02  # more labels do no harm


def rings(counts, seed):
    """Classes as shells around one centre: no plane tells them apart."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    points = rng.normal(0, 1, (len(truth), 6))
    points *= (1 + 2 * truth)[:, None] / np.linalg.norm(points, axis=1, keepdims=True)
    return torch.from_numpy(np.concatenate([points, points**2], axis=1)).float(), torch.from_numpy(
        truth
    )


def test_kernel_bends_where_classes_do_and_auto_takes_it_there():
    features, truth = rings([320, 320, 320], 0)
    new, new_truth = rings([200, 200, 200], 1)
    targets = hide(truth, 220)
    found = {m: fitted(m, features, targets, 3) for m in ("logistic", "kernel", "auto")}
    right = {m: accuracy(m, nets, new, new_truth) for m, (nets, _) in found.items()}
    assert right["kernel"] > right["logistic"] + 0.02
    assert found["auto"][1]["taken"] == "kernel"
    assert right["auto"] == right["kernel"]


def test_a_tie_goes_to_unlabelled_images_while_labels_are_few():
    features, truth = mixture([300] * 3, apart=6.0)  # all are right
    for labels, taken in ((20, "propagate"), (80, "logistic"), (210, "kernel")):
        notes = fitted("auto", features, hide(truth, labels), 3)[1]
        assert notes["taken"] == taken
        assert notes["why"].startswith(
            "no other has clearly more held-out labels right: logistic 100"
        )
