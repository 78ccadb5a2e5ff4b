"""NumPy arrays in memory and in .npz files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lll.data import from_arrays, load_data
from lll.errors import UserError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(20) % 2


def test_arrays_become_a_data_set():
    data = from_arrays(IMAGES, LABELS, class_names=["no", "yes"], test_share=0.2)
    assert data.class_names == ("no", "yes")
    assert (len(data.train), len(data.test)) == (16, 4)
    for part in (data.train, data.test):
        rows = [int(id.removeprefix("train/")) for id in part.ids]
        np.testing.assert_array_equal(part.images, IMAGES[rows])
        np.testing.assert_array_equal(part.labels, LABELS[rows])


@pytest.mark.parametrize("shape", [(20, 16, 16), (20, 16, 16, 1)])
def test_grey_becomes_rgb_and_is_resized(shape):
    data = from_arrays(np.full(shape, 77, dtype=np.uint8), LABELS, test_share=0)
    assert data.train.images.shape == (20, 32, 32, 3)
    assert (data.train.images == 77).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_become_bytes(dtype):
    data = from_arrays((IMAGES / 255).astype(dtype), LABELS, test_share=0)
    error = np.abs(data.train.images.astype(int) - IMAGES)
    assert error.max() <= (0 if dtype != np.float16 else 1)


@given(st.lists(st.integers(-1, 9), min_size=2, max_size=30).filter(lambda x: set(x) != {-1}))
def test_integers_without_names_are_classes_in_their_order(labels):
    images = np.zeros((len(labels), 4, 4), dtype=np.uint8)
    data = from_arrays(images, labels, image_size=4, test_share=0)
    assert data.class_names == tuple(str(v) for v in sorted(set(labels) - {-1}))
    back = [int(data.class_names[i]) if i >= 0 else -1 for i in data.train.labels]
    assert back == labels


@pytest.mark.parametrize(
    "labels", [["b", "a", ""], np.array(["b", "a", None], dtype=object), np.array(["b", "a", ""])]
)
def test_strings_are_classes_and_empty_is_unlabelled(labels):
    data = from_arrays(IMAGES[:3], labels, test_share=0)
    assert data.class_names == ("a", "b")
    assert data.train.labels.tolist() == [1, 0, -1]
    named = from_arrays(IMAGES[:3], labels, class_names=["c", "b", "a"], test_share=0)
    assert named.train.labels.tolist() == [1, 2, -1]


def test_unlabelled_images_with_class_names_may_be_all_there_is():
    data = from_arrays(IMAGES, np.full(20, -1), class_names=["a", "b"])
    assert (len(data.train), len(data.test)) == (20, 0)


def test_test_arrays_are_the_test_split():
    data = from_arrays(
        IMAGES, ["a", "b"] * 10, images_test=IMAGES[:2, :8, :8], labels_test=["b", "b"]
    )
    assert data.test.ids.tolist() == ["test/00000", "test/00001"]
    assert data.test.labels.tolist() == [1, 1]
    assert len(data.train) == 20


def with_value(value):
    images = (IMAGES / 255).astype(np.float32)
    images[3, 0, 0, 0] = value
    return images


@pytest.mark.parametrize(
    ("images", "labels", "more", "message"),
    [
        (with_value(np.nan), LABELS, {}, "images holds nan in image 3"),
        (with_value(1.5), LABELS, {}, r"images holds 1\.5 in image 3: floats must lie in \[0, 1\]"),
        (with_value(-0.1), LABELS, {}, r"images holds -0\.1"),
        (IMAGES.astype(np.int64), LABELS, {}, "images is int64: give uint8"),
        (IMAGES.transpose(0, 3, 1, 2), LABELS, {}, r"transpose\(0, 2, 3, 1\)"),
        (IMAGES[..., 0, 0], LABELS, {}, r"images has shape \[20, 32\]"),
        (IMAGES[:0], LABELS[:0], {}, "at least one image"),
        (IMAGES, LABELS[:5], {}, r"labels has shape \[5\] for 20 images"),
        (IMAGES, LABELS[:, None], {}, r"labels has shape \[20, 1\]"),
        (IMAGES, LABELS + 0.5, {}, r"labels holds 0\.5"),
        (IMAGES, np.full(20, np.inf), {}, "labels holds inf"),
        (IMAGES, LABELS - 2, {}, "label -2"),
        (IMAGES, LABELS - 2, {"class_names": ["a", "b"]}, "row 0 has label -2"),
        (IMAGES, LABELS, {"class_names": ["a"]}, "row 1 has label 1, .* 1 classes"),
        (IMAGES, LABELS, {"class_names": ["a", "a"]}, "duplicate class name 'a'"),
        (IMAGES, LABELS, {"class_names": ["a", ""]}, "class name 1 is empty"),
        (IMAGES, ["x", "y"] * 10, {"class_names": ["x"]}, "labels holds 'y'"),
        (IMAGES, LABELS > 0, {}, "labels is bool"),
        (
            IMAGES,
            np.array([1, "a"] * 10, dtype=object),
            {},
            r"holds both strings and numbers \(1\)",
        ),
        (IMAGES, LABELS, {"ids": ["same"] * 20}, "duplicate id 'same'"),
        (IMAGES, LABELS, {"ids": ["one"]}, r"ids has shape \[1\]"),
        (IMAGES, LABELS, {"images_test": IMAGES}, "images_test is given without labels_test"),
        (IMAGES, LABELS, {"labels_test": LABELS}, "labels_test is given without images_test"),
        (IMAGES, np.full(20, -1), {}, "no label at all"),
        (
            IMAGES,
            LABELS,
            {"images_test": IMAGES, "labels_test": ["a"] * 20},
            "labels and labels_test must both be strings",
        ),
    ],
)
def test_arrays_that_cannot_be_meant_are_refused(images, labels, more, message):
    with pytest.raises(UserError, match=message) as error:
        from_arrays(images, labels, **more)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "keys",
    [
        ("images", "labels"),
        ("x", "y"),
        ("x_train", "y_train", "x_test", "y_test"),
        ("images", "labels", "images_test", "labels_test"),
    ],
)
def test_npz_keys(tmp_path, keys):
    arrays = dict(zip(keys, (IMAGES, LABELS, IMAGES[:6], LABELS[:6]), strict=False))
    np.savez_compressed(tmp_path / "d.npz", class_names=["no", "yes"], **arrays)
    data = load_data(tmp_path / "d.npz")
    assert data.name == "d"
    assert data.class_names == ("no", "yes")
    assert len(data.test) == (6 if len(keys) == 4 else 4)


def test_npz_ids_are_kept(tmp_path):
    ids = [f"mine-{i}" for i in range(20)]
    np.savez(tmp_path / "d.npz", images=IMAGES, labels=LABELS, ids=ids)
    data = load_data(tmp_path / "d.npz")
    assert set(data.train.ids) | set(data.test.ids) == set(ids)


def test_npz_objects_are_refused(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, images=IMAGES, labels=np.array([{"a": 1}] * 20, dtype=object))
    with pytest.raises(UserError, match=r"d\.npz holds pickled Python objects"):
        load_data(path)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04garbage"])
def test_a_damaged_npz_is_refused(tmp_path, content):
    path = tmp_path / "d.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"d\.npz is not a readable \.npz"):
        load_data(path)


def test_a_truncated_npz_and_a_bare_array_are_refused(tmp_path):
    np.savez(tmp_path / "whole.npz", images=IMAGES, labels=LABELS)
    cut = tmp_path / "cut.npz"
    cut.write_bytes((tmp_path / "whole.npz").read_bytes()[:3000])
    with pytest.raises(UserError, match=r"cut\.npz is not a readable"):
        load_data(cut)
    with (tmp_path / "bare.npz").open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(UserError, match=r"bare\.npz contains one array without a name"):
        load_data(tmp_path / "bare.npz")


def test_an_npz_of_an_unknown_zip_version_is_refused(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, images=IMAGES, labels=LABELS)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 200
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"d\.npz is not a readable \.npz"):
        load_data(path)


def test_npz_without_the_arrays_names_its_keys(tmp_path):
    np.savez(tmp_path / "d.npz", pictures=IMAGES, labels=LABELS)
    with pytest.raises(UserError, match=r"no array images or x .*\(it has pictures, labels"):
        load_data(tmp_path / "d.npz")


def test_npz_errors_name_the_file(tmp_path):
    np.savez(tmp_path / "d.npz", images=IMAGES, labels=LABELS[:3])
    with pytest.raises(UserError, match=r"d\.npz: labels has shape"):
        load_data(tmp_path / "d.npz")


def test_validation_arrays_are_the_validation_images(tmp_path):
    arrays = {"x_train": IMAGES, "y_train": LABELS, "x_val": IMAGES[:4], "y_val": LABELS[:4]}
    np.savez(tmp_path / "d.npz", **arrays, x_extra=IMAGES[:2])
    data = load_data(tmp_path / "d.npz")
    assert {split: len(part) for split, part in data.parts.items()} == {
        "train": 16,
        "validation": 4,
        "test": 4,
    }
    assert data.validation.ids[0] == "validation/00000"
    assert [(u.reason, u.first) for u in data.unused] == [
        ("an array of a name that is not known", "x_extra")
    ]
    with pytest.raises(UserError, match="labels_validation is given without images_validation"):
        from_arrays(IMAGES, LABELS, labels_validation=LABELS)


def test_names_that_are_not_text_become_text():
    labels, ids = ["caf\udce9", "tea"] * 10, [f"\udcff{i}" for i in range(20)]
    data = from_arrays(IMAGES, labels, ids=ids, test_share=0)
    assert data.class_names == (r"caf\xe9", "tea")
    assert data.train.ids[3] == r"\xff3"
