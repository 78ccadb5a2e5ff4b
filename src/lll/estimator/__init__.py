"""The scikit-learn face: gradual supervision as an estimator, trained in memory."""

from lll.estimator.classifier import GradualClassifier

__all__ = ["GradualClassifier"]
