"""GradualClassifier: fit, predict, transform, and learning on as labels and classes arrive."""

from __future__ import annotations

import copy
import inspect
import math
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from lll.config import RunConfig, fields_of
from lll.data.assemble import row_ids
from lll.data.imageset import DataSet, ImageSet
from lll.data.shaping import resize_all
from lll.errors import UserError, nearest
from lll.estimator.labels import Labels, grown_classes, indices, split_labels
from lll.estimator.learnt import Learnt, as_rows, joined, revived, rows_for, thinned
from lll.estimator.pixels import Range, Shape, content_ids, range_of, said, shape_of, to_uint8
from lll.labels.events import UNLABELLED
from lll.labels.schedule import Schedule
from lll.learn.device import pick_device
from lll.learn.loop import learn
from lll.learn.prepare import prepare
from lll.learn.progress import Progress, Watch
from lll.nets.encoders import CUSTOM_ENCODER
from lll.runs.predict import Encoded, encode_images
from lll.runs.train import begin
from lll.seeding import derive


class GradualClassifier(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc] # scikit-learn has no types
    ClassifierMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """An image classifier from few labels, trained by gradual supervision in memory.

    ``X`` holds images [n, h, w], [n, h, w, 1] or [n, h, w, 3], or rows [n, features] of
    their values; uint8, floats in [0, 1], or any numbers with ``pixel_range``. ``y`` [n]
    holds whole numbers with -1 for unlabelled, or strings with "" (or None). Every label
    given in `fit` is known by the last epoch. Nothing is printed, and nothing is written but
    the features of a frozen pretrained encoder, which are kept in the cache folder, so that an
    image passes the encoder once.

    Parameters
    ----------
    image_shape : (height, width) or (height, width, channels) of rows [n, features], as
        `numpy.reshape` takes it. None: the square, grey or RGB, with that many values.
    pixel_range : the values (black, white); "fit" takes the extremes of the first ``X`` and
        clips later ones; None means 0 to 255 for uint8 and 0 to 1 for floats.
    replay : how many images of each class, and without a label, are kept for `partial_fit` to
        rehearse; None keeps all (3 KB each at 32 pixels).
    random_state : a whole number makes the outcome repeatable; None draws anew.
    verbose : whether to print a line per epoch.
    encoder : may also be any ``torch.nn.Module`` from floats [n, 3, s, s] in [0, 1] to
        encodings [n, d]; it is copied, and begins with its own weights.
    epochs : count for `fit`, and for each call of `partial_fit`.
    labels : share of the given labels that is known at each epoch of `fit`, as a schedule.
    unlabelled_pool : with "represented", images whose label is given, but whose class is
        not represented yet, wait; with "all" they are unlabelled images till then.

    SETTINGS

    None stands for the method's own default.

    Attributes
    ----------
    classes_ : the classes [c] known so far, sorted, as scikit-learn expects them.
    n_features_in_ : values per image. feature_names_in_ : their names, for a data frame.
    image_shape_, pixel_range_ : height, width and channels; values of black and white.
    learnt_ : the learner, and the images that it rehearses; see `lll.estimator.learnt`.
    history_ : one dictionary per epoch: classes, labels known, learning rates, losses.

    Raises ValueError (most often `UserError`) in one line for input that cannot be used.

    >>> import numpy as np
    >>> from lll import GradualClassifier
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.where(y[:, None, None, None] == 1, (200, 0, 0), (0, 0, 200)) * np.ones((8, 8, 1))
    >>> some = np.where(np.arange(40) % 5, -1, y)  # 4 labels of each class
    >>> model = GradualClassifier(epochs=8, width=16, batch_size=8, random_state=0)
    >>> model.fit(X.astype(np.uint8), some).score(X.astype(np.uint8), y)
    1.0
    """

    classes_: Labels
    image_shape_: Shape
    pixel_range_: Range | None
    history_: list[dict[str, Any]]
    learnt_: Learnt

    def __init__(self, **given: Any) -> None:
        defaults = parameters()
        for name in given:
            if name not in defaults:
                raise TypeError(f"unknown parameter {name!r}: {nearest(name, defaults)}")
        for name, value in (defaults | given).items():
            setattr(self, name, value)

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return sorted(parameters())

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train from the start on images ``X`` [n, ...] with labels ``y`` [n], -1 unlabelled.

        The schedules ``classes`` and ``labels`` say what is known when.
        """
        return self._learn(X, y, None, None, {"seed": _seed(self.random_state)})

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Go on training with more images, more labels or more classes, for ``epochs`` epochs.

        The calls are the schedule: every label given so far is known at once. The images kept
        from earlier calls are rehearsed (see ``replay``). An image that comes again with a
        label takes that label; one that comes again without keeps what it has. New classes,
        from ``y`` or announced in ``classes``, take their place in the sorted ``classes_``;
        earlier ones keep their weights and the optimizer's memory of them. A class has
        probability 0 until its first labelled image. Of method finetune the last stage goes
        on. The first call begins as `fit` does.

        Raises ValueError for images of another size, and for a class of ``y`` that is
        neither old nor in ``classes``, where that is given.
        """
        given: dict[str, Any] = {"labels": 1.0, "classes": "all"}
        if not hasattr(self, "classes_"):
            given |= {"seed": _seed(self.random_state)}
            return self._learn(X, y, classes, None, given)
        old = self.learnt_
        given |= {"class_order": "data", "seed": derive(old.seed, "call", old.calls)}
        return self._learn(X, y, classes, old, given)

    def predict(self, X: ArrayLike) -> Labels:
        """The most probable class [n] of each image."""
        best = self.predict_proba(X).argmax(axis=1)
        predicted: Labels = self.classes_[best]
        return predicted

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities [n, c] of ``classes_``, each row adding to 1."""
        by_row = self._encode(X).probabilities.astype(np.float64)
        out = np.zeros((len(by_row), len(self.classes_)))
        columns = np.searchsorted(self.classes_, self.learnt_.classes[self.learnt_.rows])
        out[:, columns] = by_row / by_row.sum(axis=1, keepdims=True)
        return out

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Encodings [n, d] of the images, in which the linear probe tells classes apart."""
        return self._encode(X).encodings

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy in [0, 1] over the images whose label is known; ValueError if none is."""
        labels, known = split_labels(y)
        predicted = self.predict(X)
        check_consistent_length(predicted, known, sample_weight)
        if not known.any():
            raise UserError("y has no label to score against: give at least one")
        weight = None if sample_weight is None else np.asarray(sample_weight)[known]
        return float(np.average(predicted[known] == labels, weights=weight))

    def _learn(
        self,
        X: ArrayLike,
        y: ArrayLike | None,
        announced: ArrayLike | None,
        old: Learnt | None,
        given: dict[str, Any],
    ) -> Self:
        """One call of fit or partial_fit; what is learnt changes at its end or not at all."""
        if y is None:
            raise ValueError(
                "This GradualClassifier estimator requires y to be passed, but the target y is None"
            )
        config = self._config(given)
        images = self._images(X, old, config)
        known_labels, known = split_labels(y)
        check_consistent_length(images, known)
        classes = grown_classes(None if old is None else old.classes, announced, known_labels)
        new = ImageSet(images, indices(known_labels, known, classes), content_ids(images))
        seen = new if old is None else joined(old.seen, new)
        if not (seen.labels != UNLABELLED).any():
            raise UserError("y has no labelled image: label one of each class (-1: no label)")

        learnt, history = self._train(seen, classes, old, config)
        self.classes_ = np.sort(classes)
        self.history_ = history if old is None else [*self.history_, *history]
        self.learnt_ = learnt
        self._n_features_out = learnt.features  # for get_feature_names_out
        return self

    def _train(
        self, seen: ImageSet, classes: Labels, old: Learnt | None, config: RunConfig
    ) -> tuple[Learnt, list[dict[str, Any]]]:
        """Train on ``seen``, from ``old`` on if there is one; and the history, epoch by epoch."""
        rows = rows_for(np.empty(0, np.int64) if old is None else old.rows, seen.labels)
        train = replace(seen, labels=as_rows(rows, seen.labels, len(classes)))
        names = tuple(str(classes[i]) for i in rows)
        prepared = prepare(config, DataSet("X", names, train, train.take(np.empty(0, np.intp))))
        if old is None:
            module = None if isinstance(self.encoder, str) else copy.deepcopy(self.encoder)
            learner = begin(prepared, module)
        else:
            learner = revived(old, len(rows), config)
            prepared = replace(prepared, first_epochs=0)  # the last stage goes on
        history = []
        for epoch in learn(prepared, learner, Progress(), Watch(), score=False):
            if epoch.trouble is not None:
                raise UserError(f"{epoch.trouble}: lower the learning rate")
            history.append({**epoch.metrics, **epoch.seconds})
            self._say(history[-1])
        learner.place(torch.device("cpu"))
        learner.eval()
        seed, calls = (config.seed, 0) if old is None else (old.seed, old.calls)
        kept = thinned(seen, self.replay, seed)
        return Learnt(classes, rows, learner, kept, seed, calls + 1), history

    def _config(self, given: dict[str, Any]) -> RunConfig:
        """The parameters that `RunConfig` knows, as one; ``given`` wins over them."""
        values = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name not in OWN and value is not None
        }
        if not isinstance(self.encoder, str):
            if not isinstance(self.encoder, nn.Module):
                raise UserError(f"encoder is {self.encoder!r}: give a name or a torch.nn.Module")
            values["encoder"] = CUSTOM_ENCODER
        if self.replay is not None and self.replay < 1:
            raise UserError(f"replay is {self.replay}: keep at least 1 image of each class")
        # Held-out images are the business of scikit-learn's splitters.
        return RunConfig(**(values | given | {"data": "X", "validation_share": 0.0}))

    def _say(self, epoch: dict[str, Any]) -> None:
        if self.verbose:
            losses = [f"{k} {v:.3f}" for k, v in epoch.items() if k.endswith("_loss")]
            print(  # noqa: T201 - what verbose asks for
                f"epoch {epoch['epoch'] + 1}/{self.epochs}: {epoch['classes']} classes, "
                f"{epoch['labels_known']} labels, {', '.join(losses)}, {epoch['seconds']:.1f} s"
            )

    def _images(self, X: Any, old: Learnt | None, config: RunConfig) -> NDArray[np.uint8]:
        """``X`` as uint8 [n, s, s, 3]; without ``old``, its shape and range are kept."""
        first = old is None
        if not hasattr(X, "ndim") or X.ndim > 2:
            X = np.asarray(X)
        shape: Shape | None = None
        if X.ndim > 2:
            shape = shape_of(X.shape, self.image_shape if first else None)
            if not first and shape != self.image_shape_:
                raise UserError(
                    f"X has images of {said(shape)}, but this GradualClassifier was fitted on "
                    f"{said(self.image_shape_)}: resize them, or call fit again"
                )
            X = X.reshape(len(X), math.prod(shape))
        rows = validate_data(self, X, reset=first)
        if first:
            self.image_shape_ = shape or shape_of(rows.shape, self.image_shape)
            self.pixel_range_ = range_of(rows, self.pixel_range)
        pixels = to_uint8(rows, self.pixel_range_, clip=self.pixel_range == "fit")
        pixels = pixels.reshape(len(rows), *self.image_shape_)
        rgb = np.broadcast_to(pixels, (*pixels.shape[:3], 3))
        side = old.seen.images.shape[1] if old else self._side(config)
        # A copy: what is kept must not change when the caller's array does.
        return resize_all(np.array(rgb, order="C"), side, config.resize)

    def _side(self, config: RunConfig) -> int:
        """The side that images are kept at; a frozen encoder makes small ones larger itself."""
        sides = self.image_shape_[:2] if config.freeze else ()
        return int(min([config.image_size, *sides]))

    def _encode(self, X: ArrayLike) -> Encoded:
        check_is_fitted(self, "classes_")
        images = self._images(X, self.learnt_, self.learnt_.learner.config)
        device, learner = pick_device(self.device), self.learnt_.learner
        if device.type != "cpu":
            # What is kept stays on the host, so that it can be unpickled anywhere.
            learner = copy.deepcopy(learner)
            learner.place(device)
        labels = np.full(len(images), UNLABELLED)
        return encode_images(learner, ImageSet(images, labels, row_ids("X", len(images))))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []  # encodings are float32
        return tags


OWN: dict[str, Any] = {
    "image_shape": None,
    "pixel_range": None,
    "replay": None,
    "random_state": None,
    "verbose": False,
}
"""Parameters that no run has, and their defaults."""

OTHER_DEFAULTS: dict[str, Any] = {"batch_size": 128, "labels": "0.01:1:linear"}
OF_RUNS = ("data", "resize", "test_share", "from_run", "label_events", "seed")


def parameters() -> dict[str, Any]:
    """Every parameter of `GradualClassifier` and its default; the methods bring theirs."""
    settings = {
        name: None if about.by_method or about.group.startswith("Options") else about.default
        for name, about in fields_of().items()
        if name not in OF_RUNS and not name.startswith("validation")
    }
    plain = {name: str(v) if isinstance(v, Schedule) else v for name, v in settings.items()}
    return plain | OTHER_DEFAULTS | OWN


def _describe() -> None:
    """Signature and docstring of `GradualClassifier` from the settings that there are."""
    kinds = inspect.Parameter.KEYWORD_ONLY
    shown = [inspect.Parameter(n, kinds, default=d) for n, d in parameters().items()]
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    GradualClassifier.__init__.__signature__ = inspect.Signature([me, *shown])  # type: ignore[attr-defined]
    lines = [f"{n} : {a.help}." for n, a in fields_of().items() if n in parameters()]
    text = str(GradualClassifier.__doc__).replace("SETTINGS", "\n    ".join(lines))
    GradualClassifier.__doc__ = text


_describe()


def _seed(random_state: int | np.random.RandomState | None) -> int:
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
