"""The same step in Keras 3 on TensorFlow, as a Keras user would write it.

After the Keras example "Semi-supervised image classification using contrastive pretraining with
SimCLR": its layers for the views, its model, its train step with a GradientTape, in one
tf.function. One difference, which is our method's: the gradient of the labels reaches the
encoder too. Runs in an environment of its own; see `peers.py`.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from typing import Any

from worker import answer_channel, cores, serve, time_steps

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

import keras
import tensorflow as tf
from keras import layers, ops

WIDTH, CLASSES, TEMPERATURE = 128, 10, 0.1


class RandomColorAffine(layers.Layer):
    """Multiply each image's colours by its own random matrix."""

    def __init__(self, brightness: float, jitter: float) -> None:
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator(1337)
        self.brightness, self.jitter = brightness, jitter

    def call(self, images: Any, training: bool = True) -> Any:
        """Images [n, h, w, 3] in [0, 1] to the same, recoloured."""
        if not training:
            return images
        n = ops.shape(images)[0]
        scale = 1 + keras.random.uniform(
            (n, 1, 1, 1), -self.brightness, self.brightness, seed=self.seed_generator
        )
        jitter = keras.random.uniform(
            (n, 1, 3, 3), -self.jitter, self.jitter, seed=self.seed_generator
        )
        return ops.clip(ops.matmul(images, ops.eye(3) * scale + jitter), 0, 1)


def augmenter(min_area: float, brightness: float, jitter: float) -> keras.Sequential:
    """uint8 images to random views of them in [0, 1]."""
    z = 1.0 - math.sqrt(min_area)
    return keras.Sequential(
        [
            layers.Rescaling(1 / 255),
            layers.RandomFlip("horizontal"),
            layers.RandomTranslation(z / 2, z / 2, fill_mode="reflect"),
            layers.RandomZoom((-z, 0.0), (-z, 0.0), fill_mode="reflect"),
            RandomColorAffine(brightness, jitter),
        ]
    )


def activation() -> layers.Layer:
    """Leaky ReLU of slope 0.2."""
    return layers.LeakyReLU(negative_slope=0.2)


def encoder() -> keras.Sequential:
    """The library's `convnet`."""
    parts: list[Any] = [keras.Input((32, 32, 3))]
    for _ in range(4):
        parts += [layers.Conv2D(WIDTH, kernel_size=3, strides=2), activation()]
    return keras.Sequential([*parts, layers.Flatten(), layers.Dense(WIDTH), activation()])


def contrastive_loss(first: Any, second: Any) -> Any:
    """Symmetric InfoNCE between two views' projections [n, d]."""
    first, second = ops.normalize(first, axis=1), ops.normalize(second, axis=1)
    similarity = ops.matmul(first, ops.transpose(second)) / TEMPERATURE
    paired = ops.arange(ops.shape(first)[0])
    entropy = keras.losses.sparse_categorical_crossentropy
    one_way = entropy(paired, similarity, from_logits=True)
    other_way = entropy(paired, ops.transpose(similarity), from_logits=True)
    return ops.mean(one_way + other_way) / 2


def make_step(batch: int, labelled: int) -> Callable[[], Any]:
    """One gradual step on ``batch`` images in memory, the first ``labelled`` with labels."""
    strong, weak = augmenter(0.25, 0.6, 0.2), augmenter(0.75, 0.3, 0.1)
    encode = encoder()
    # Outputs in float32, as Keras' guide to mixed precision asks.
    last = layers.Dense(WIDTH, dtype="float32")
    project = keras.Sequential([keras.Input((WIDTH,)), layers.Dense(WIDTH), activation(), last])
    probe = keras.Sequential([keras.Input((WIDTH,)), layers.Dense(CLASSES, dtype="float32")])
    contrastive, probing = keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-2)
    contrastive.build(encode.trainable_weights + project.trainable_weights)
    probing.build(probe.trainable_weights)
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def train_step(images: Any, labels: Any) -> tuple[Any, Any]:
        first, second = strong(images, training=True), strong(images, training=True)
        with tf.GradientTape() as tape:
            contrast = contrastive_loss(
                project(encode(first, training=True), training=True),
                project(encode(second, training=True), training=True),
            )
        reached = encode.trainable_weights + project.trainable_weights
        contrastive.apply_gradients(zip(tape.gradient(contrast, reached), reached, strict=True))
        views = weak(images[:labelled], training=True)
        with tf.GradientTape() as tape:
            classify = entropy(labels, probe(encode(views, training=True), training=True))
        reached = encode.trainable_weights
        head = probe.trainable_weights
        gradients = tape.gradient(classify, reached + head)
        contrastive.apply_gradients(zip(gradients[: len(reached)], reached, strict=True))
        probing.apply_gradients(zip(gradients[len(reached) :], head, strict=True))
        return contrast, classify

    images = tf.cast(tf.random.uniform((batch, 32, 32, 3), 0, 256, dtype=tf.int32), tf.uint8)
    labels = tf.range(labelled) % CLASSES
    # A number read back each step, so that none is still under way when the clock stops.
    return lambda: [float(loss) for loss in train_step(images, labels)]


def main() -> None:
    """Build the step, warm up, answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=525)
    parser.add_argument("--precision", choices=("float32", "mixed_bfloat16"), default="float32")
    given = parser.parse_args()
    keras.mixed_precision.set_global_policy(given.precision)
    channel = answer_channel()
    tf.config.threading.set_intra_op_parallelism_threads(cores())
    step = make_step(given.batch, given.batch // 2)
    time_steps(step, 4)
    serve(
        channel,
        {"steps": lambda steps: time_steps(step, steps)},
        {
            "batch": given.batch,
            "step_seconds": time_steps(step, 1)["seconds"],
            "threads": tf.config.threading.get_intra_op_parallelism_threads(),
            "versions": {"keras": keras.__version__, "tensorflow": tf.__version__},
        },
    )


if __name__ == "__main__":
    main()
