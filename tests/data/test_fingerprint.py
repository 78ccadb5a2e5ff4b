"""What a data set is known by: its images and ids, and not its labels."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from lll.data.fingerprint import fingerprint, image_hashes
from lll.data.imageset import DataSet, ImageSet
from lll.data.rows import Rows


@pytest.fixture
def data():
    images = np.arange(5 * 4 * 4 * 3, dtype=np.uint8).reshape(5, 4, 4, 3)
    rows = ImageSet(images, np.array([0, 1, 0, 1, -1]), np.array([f"{i}.png" for i in range(5)]))
    return DataSet("five", ("a", "b"), rows.take(np.arange(3)), rows.take(np.array([3, 4])))


def slow_fingerprint(data: DataSet) -> str:
    by_id = {}
    for part in data.parts.values():
        by_id |= dict(zip(part.ids.tolist(), part.images, strict=True))
    text = b"".join(name.encode() + b"\0" for name in sorted(by_id))
    for name in sorted(by_id):
        text += hashlib.blake2b(by_id[name].tobytes(), digest_size=16).digest()
    return "images:" + hashlib.blake2b(text, digest_size=16).hexdigest()


def test_it_is_the_same_for_ever_and_in_pieces(data, monkeypatch):
    known = "images:3d5d2796ad55d4cb4aa41abe10a3fbf9"
    assert fingerprint(data) == slow_fingerprint(data) == known
    monkeypatch.setattr("lll.data.fingerprint.CHUNK_BYTES", 1)
    assert fingerprint(data) == known
    wider = replace(data.train, ids=data.train.ids.astype("U99"))
    assert fingerprint(replace(data, train=wider)) == known


def test_labels_and_class_names_do_not_count(data):
    labels = replace(data.train, labels=np.array([-1, -1, 1]))
    other = replace(data, train=labels, class_names=("x", "y", "z"), name="other")
    assert fingerprint(other) == fingerprint(data)


def test_order_and_split_do_not_count(data):
    """New labels may move an image from one split to another."""
    train, test = data.train, data.test
    others = [
        replace(data, train=train.take(np.array([1, 0, 2]))),
        replace(data, train=test, test=train),
        replace(data, validation=test, test=test.take(np.arange(0))),
    ]
    assert {fingerprint(d) for d in others} == {fingerprint(data)}


def test_images_and_ids_count(data):
    train = data.train
    pixel = train.images.copy()
    pixel[2, 3, 3, 2] ^= 1
    others = [
        replace(data, train=replace(train, images=train.images[[1, 0, 2]])),
        replace(data, train=replace(train, images=pixel)),
        replace(data, train=replace(train, ids=np.array(["0.png", "1.png", "x.png"]))),
        replace(data, train=train.take(np.arange(2))),
    ]
    assert len({fingerprint(d) for d in [data, *others]}) == 5


def test_hashes_of_images_are_those_of_each_alone(data, tmp_path):
    np.save(tmp_path / "x.npy", data.train.images)
    for images in (data.train.images, Rows.of(np.load(tmp_path / "x.npy", mmap_mode="r"))):
        hashes = image_hashes(images)
        assert (hashes.shape, hashes.dtype) == ((3, 16), np.uint8)
        alone = [image_hashes(data.train.images[i : i + 1])[0] for i in range(3)]
        np.testing.assert_array_equal(hashes, alone)
    assert image_hashes(data.train.images[:0]).shape == (0, 16)
