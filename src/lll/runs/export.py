"""What a run gives to other programs: encodings as Parquet, the network as ONNX.

pyarrow, onnx and what it brings are imported by the function that needs them.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lll.config import RunConfig
from lll.data import SOURCES, load_data
from lll.data import Progress as Downloading
from lll.data.assemble import joined
from lll.data.cache import cache_folder
from lll.data.decoding import decode_all
from lll.data.files import Files, read_folder
from lll.data.imageset import ImageSet, Skipped, Unused
from lll.data.remote import copied, is_remote
from lll.data.rows import Rows as RowsInFile
from lll.errors import UserError
from lll.labels.events import UNLABELLED
from lll.learn.features import Progress, features_of
from lll.learn.learner import Learner
from lll.metrics.points import check_finite
from lll.nets import build_encoder
from lll.nets.frozen import Frozen, parted
from lll.runs.card import card
from lll.runs.files import write_whole
from lll.runs.predict import encode_images, load_learner
from lll.runs.record import Run

if TYPE_CHECKING:
    import onnx
    import pyarrow

TOLERANCE = 1e-4
"""How far onnxruntime may be from torch: absolute, and relative for values above 1."""
USAGE = (
    "images: float32 [n, 3, {size}, {size}], RGB in [0, 1], {resized}",
    'onnxruntime.InferenceSession("{file}").run(["probabilities"], {{"images": images}})',
)


@dataclass(frozen=True)
class Rows:
    """Images to encode: uint8 [n, s, s, 3], ids [n], splits [n] and class names [n] or None."""

    images: NDArray[np.uint8] | RowsInFile
    ids: list[str]
    splits: list[str | None]
    labels: list[str | None]
    skipped: tuple[Skipped, ...] = ()
    unused: tuple[Unused, ...] = ()


def read_rows(
    source: str,
    image_size: int,
    *,
    test_share: float = 0.0,
    resize: str = "squash",
    cache: Path | None = None,
    progress: Downloading | None = None,
) -> Rows:
    """The images of ``source``, training first, then test; options as in `load_data`.

    ``source`` is a data set, or a folder without a CSV with images beside its sub-folders, if
    it has any: those have no labels and no splits, and their paths in it for ids.
    """
    remote = is_remote(source)
    path = copied(source, cache_folder(cache)) if remote else Path(source).expanduser()
    if source not in SOURCES and path.is_dir():
        files = read_folder(path)
        if not files.tables and any("/" not in name for name in files.images):
            return _unlabelled_rows(files, image_size, resize)
    data = load_data(
        source,
        cache=cache,
        image_size=image_size,
        test_share=test_share,
        resize=resize,
        progress=progress,
    )
    parts = data.parts
    names: dict[int, str | None] = {UNLABELLED: None, **dict(enumerate(data.class_names))}
    return Rows(
        images=joined([part.images for part in parts.values()]),
        ids=[str(i) for part in parts.values() for i in part.ids],
        splits=[split for split, part in parts.items() for _ in range(len(part))],
        labels=[names[int(label)] for part in parts.values() for label in part.labels],
        skipped=data.skipped,
        unused=data.unused,
    )


def _unlabelled_rows(files: Files, size: int, resize: str) -> Rows:
    names, readers = list(files.images), list(files.images.values())
    images, kept, skipped = decode_all(names, readers, size, resize)
    ids = [name for name, keep in zip(names, kept, strict=True) if keep]
    return Rows(images, ids, [None] * len(ids), [None] * len(ids), skipped, files.unused)


def embed(
    run: Run,
    rows: Rows,
    *,
    checkpoint: str = "chosen",
    encoder: nn.Module | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> pyarrow.Table:
    """What ``run`` makes of ``rows``, as a table with one row per image.

    Columns: ``id``; ``split`` (``train``, ``validation``, ``test`` or null); ``embedding``, a
    list of d float32; ``predicted``, the most probable class of the run, and its ``probability``;
    ``label``, the class that the data names, or null. ``checkpoint`` and ``encoder`` as in
    `lll.runs.predict.load_learner`, ``cache`` and ``progress`` of features as in `embed_frozen`.
    Raises UserError without any image, and for NaN encodings.
    """
    import pyarrow as pa

    _check_some(rows)
    learner = load_learner(run, checkpoint=checkpoint, encoder=encoder)
    encoded = encode_images(learner, _images(rows), cache=cache, progress=progress)
    check_finite(encoded.encodings, f"{run.path}: encodings")
    check_finite(encoded.probabilities, f"{run.path}: probabilities")
    best = encoded.probabilities.argmax(axis=1)
    columns = {
        "id": pa.array(rows.ids, pa.string()),
        "split": pa.array(rows.splits, pa.string()),
        "embedding": _vectors(encoded.encodings),
        "predicted": pa.array([run.data.class_names[at] for at in best], pa.string()),
        "probability": pa.array(encoded.probabilities.max(axis=1)),
        "label": pa.array(rows.labels, pa.string()),
    }
    return pa.table(columns)


def embed_frozen(
    encoder: Frozen,
    rows: Rows,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> pyarrow.Table:
    """The features that ``encoder`` gives of ``rows``, as a table with one row per image.

    Columns ``id``, ``split``, ``embedding`` and ``label`` as in `embed`. Features are kept in
    ``cache`` as `lll.learn.features.features_of` does. Raises UserError without any image.
    """
    import pyarrow as pa

    _check_some(rows)
    features = features_of(_images(rows), encoder, views=0, cache=cache, progress=progress)
    columns = {
        "id": pa.array(rows.ids, pa.string()),
        "split": pa.array(rows.splits, pa.string()),
        "embedding": _vectors(features.base.astype(np.float32)),
        "label": pa.array(rows.labels, pa.string()),
    }
    return pa.table(columns)


def _images(rows: Rows) -> ImageSet:
    unlabelled = np.full(len(rows.ids), UNLABELLED, dtype=np.int64)
    return ImageSet(rows.images, unlabelled, np.array(rows.ids, dtype=np.str_))


def _check_some(rows: Rows) -> None:
    if not rows.ids:
        bad = f"{len(rows.skipped)} could not be read"
        raise UserError(f"there is no image to embed ({bad}): add or repair some")


def _vectors(array: NDArray[np.float32]) -> pyarrow.Array:
    """[n, d] as a column of n lists of d numbers."""
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])


def write_parquet(table: pyarrow.Table, path: Path) -> None:
    """Write ``table`` to ``path``, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    write_whole(path, buffer.getvalue())


class Network(nn.Module):
    """What predicts in a learner, as one module: images [n, 3, s, s] in [0, 1] to `OUTPUTS`."""

    def __init__(self, learner: Learner, frozen: nn.Module | None = None) -> None:
        super().__init__()
        self.frozen = frozen
        self.parts = nn.ModuleDict(learner.parts)
        self.answers = learner.method.answers

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [n, classes], probabilities [n, classes] and encodings [n, d]."""
        inputs = images if self.frozen is None else self.frozen(images)
        encodings, logits = self.answers(dict(self.parts.items()), inputs)
        return logits, logits.softmax(dim=1), encodings


OUTPUTS = ("logits", "probabilities", "encodings")


def export_onnx(
    run: Run, path: Path, *, checkpoint: str = "chosen", encoder: nn.Module | None = None
) -> float | None:
    """Write the network of ``run`` as ONNX, and compare it in onnxruntime with torch.

    Input ``images``, float32 [n, 3, s, s] in [0, 1]; outputs as `Network` has them, in any
    number n. The metadata hold ``class_names`` (JSON), ``image_size``, ``usage``, ``model_card``,
    and ``names`` as YOLO's tools read them: a dictionary in Python's words.
    ``checkpoint`` and ``encoder`` as in `lll.runs.predict.load_learner`. The largest difference
    from torch; None if onnxruntime is not installed. Raises UserError without the onnx
    extra, for an encoder that cannot be exported, and for a difference above ``TOLERANCE``,
    in which case nothing is written. A frozen encoder is part of the graph, in float32, so
    that probabilities may differ a little from those of a processor that has bfloat16.
    """
    _need_onnx()
    learner = load_learner(run, checkpoint=checkpoint, encoder=encoder)
    frozen = _frozen_part(run.config, encoder) if run.config.freeze else None
    network = Network(learner, frozen).eval()
    model = to_onnx(network, run.config.image_size)
    import onnx.helper

    onnx.helper.set_model_props(
        model,
        {
            "class_names": json.dumps(run.data.class_names),
            "names": repr(dict(enumerate(run.data.class_names))),
            "image_size": str(run.config.image_size),
            "usage": "\n".join(usage(run, path)),
            "model_card": card(run),
        },
    )
    content = model.SerializeToString()
    difference = _difference(network, content, run.config.image_size)
    write_whole(path, content)
    return difference


def _frozen_part(config: RunConfig, encoder: nn.Module | None) -> nn.Module:
    """The frozen encoder as plain layers in float32, normalisation inside."""
    if encoder is not None:
        return encoder
    weights = None if config.weights is None else Path(config.weights)
    if config.unfreeze:
        return parted(config.encoder, config.image_size, weights, config.unfreeze)[0]
    return build_encoder(
        config.encoder, config.image_size, config.width, config.activation, weights
    )


def usage(run: Run, path: Path) -> tuple[str, ...]:
    """Two lines on the ONNX file at ``path``: what it takes, and the Python that calls it."""
    size = run.config.image_size
    how = {"squash": "resized straight to {0}x{0}", "crop": "shorter side to {0}, then the middle"}
    resized = how[run.config.resize].format(size)
    return tuple(line.format(file=path.name, size=size, resized=resized) for line in USAGE)


def _need_onnx() -> None:
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"ONNX needs {missing[0]}, which is not installed: "
            "pip install 'little-label-learners[onnx]'"
        )


def to_onnx(network: Network, size: int) -> onnx.ModelProto:
    """``network`` for images of ``size`` pixels a side, as ONNX; UserError if torch cannot."""
    example = torch.zeros(2, 3, size, size)
    try:
        with _calm_exporter():
            program: Any = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                input_names=["images"],
                output_names=list(OUTPUTS),
                dynamic_shapes=({0: torch.export.Dim("n")},),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        # The exporter's own words are a page; the first line of its cause says what is wrong.
        cause = error.__cause__ or error
        reason = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
        raise UserError(f"this encoder cannot be exported to ONNX: {reason}") from error
    proto: onnx.ModelProto = program.model_proto
    return proto


@contextmanager
def _calm_exporter() -> Iterator[None]:
    """Without the exporter's remarks on what it uses itself; its errors come through."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
        try:
            log.setLevel(logging.ERROR)  # that torchvision is not installed
            yield
        finally:
            log.setLevel(level)


def _difference(network: Network, content: bytes, size: int) -> float | None:
    """How far onnxruntime is from torch on noise; UserError above ``TOLERANCE``."""
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    images = torch.rand(5, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = [output.numpy() for output in network(images)]
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = session.run(list(OUTPUTS), {"images": images.numpy()})
    difference = max(
        float((np.abs(e - f) / np.maximum(np.abs(e), 1)).max())
        for e, f in zip(expected, found, strict=True)
    )
    if not difference <= TOLERANCE:
        raise UserError(f"onnxruntime differs from torch by {difference:g}: nothing is written")
    return difference
