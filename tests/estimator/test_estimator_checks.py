"""scikit-learn's own checks of an estimator, and those that cannot apply."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from lll import GradualClassifier

EXCLUDED = {
    "check_classifiers_classes": "it uses -1 as the name of a class; here -1 is unlabelled",
}
"""Check -> why it cannot apply."""

# The checks' tables of random numbers become images: each row a strip one pixel high, its
# values stretched to those of pixels. Zoomed or recoloured, such a strip is another class.
STRIPS = {
    "image_shape": (1, -1),
    "pixel_range": "fit",
    "flip": 0,
    "strong_min_area": 1,
    "weak_min_area": 1,
    "weak_brightness": 0,
    "weak_jitter": 0,
    "width": 8,
    "batch_size": 32,
    "labels": 1,
    "contrastive_rate": 0.003,
    "probe_rate": 0.03,
    "device": "cpu",
}


def excluded(estimator):
    return EXCLUDED


@parametrize_with_checks(
    [GradualClassifier(method="baseline", epochs=10, **STRIPS)],
    expected_failed_checks=excluded,
    xfail_strict=True,
)
def test_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [GradualClassifier(method="gradual", epochs=10, **STRIPS)],
    expected_failed_checks=excluded,
    xfail_strict=True,
)
def test_checks_of_gradual(estimator, check):
    check(estimator)
