"""load_data, the named sources, and what holds for all of them."""

import json
import subprocess
import sys

import numpy as np
import pytest

from lll.data import describe, fetch, load_data
from lll.errors import UserError


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def test_digits_is_whole_and_fixed(digits):
    assert digits.name == "digits"
    assert digits.class_names == tuple("0123456789")
    assert len(digits.train) + len(digits.test) == 1797
    assert digits.train.images.shape[1:] == (32, 32, 3)
    assert digits.train.images.dtype == np.uint8
    assert digits.train.labels.dtype == np.int64
    assert digits.train.images.max() == 255
    assert set(digits.train.ids) | set(digits.test.ids) == {f"digits/{i:04d}" for i in range(1797)}
    again = load_data("digits", test_share=0.5)
    np.testing.assert_array_equal(again.test.ids, digits.test.ids)


def test_digits_test_share_is_stratified(digits):
    for digit in range(10):
        test, train = (int((s.labels == digit).sum()) for s in (digits.test, digits.train))
        assert abs(test - 0.2 * (test + train)) <= 0.5


def test_digits_in_another_size():
    assert load_data("digits", image_size=16).test.images.shape[1:] == (16, 16, 3)


def test_describe_is_plain_and_adds_up(digits):
    facts = json.loads(json.dumps(describe(digits)))
    assert facts["image_shape"] == [32, 32, 3]
    assert facts["train"] == sum(c["train"] for c in facts["classes"]) == len(digits.train)
    assert facts["test"] == sum(c["test"] for c in facts["classes"]) == len(digits.test)
    assert facts["unlabelled"] == 0
    assert facts["skipped"] == []
    assert facts["bytes"] == 1797 * 32 * 32 * 3


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cifar-10", "did you mean 'cifar10'"),
        ("CIFAR10", "did you mean 'cifar10'"),
        ("digit", "did you mean 'digits'"),
        ("zzz", "choose one of cifar10, cifar100, digits"),
        ("", "choose one of"),
        ("no/such/folder", "does not exist"),
        ("photos.zip", "does not exist"),
    ],
)
def test_an_unknown_source_gets_a_hint(name, hint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=hint):
        load_data(name)


def test_a_name_wins_over_a_folder_and_a_path_reaches_it(tmp_path, monkeypatch, plant):
    plant(tmp_path / "digits", "a/1.png b/1.png")
    monkeypatch.chdir(tmp_path)
    assert len(load_data("digits").train) > 2
    assert load_data("./digits").class_names == ("a", "b")


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    with pytest.raises(UserError, match=r"notes\.txt cannot be read.*\.parquet.*\.npz.*\.zip"):
        load_data(path)


@pytest.mark.parametrize("options", [{"image_size": 0}, {"test_share": 1.0}, {"test_share": -0.1}])
def test_options_are_checked(options):
    (name,) = options
    with pytest.raises(UserError, match=f"{name} is "):
        load_data("digits", **options)


def test_fetch_refuses_what_needs_no_fetching(tmp_path):
    with pytest.raises(UserError, match="nothing to fetch"):
        fetch("digits")
    with pytest.raises(UserError, match="is a path"):
        fetch(str(tmp_path))
    with pytest.raises(UserError, match="did you mean 'cifar10'"):
        fetch("cifar")


def test_importing_data_imports_nothing_heavy():
    heavy = ["torch", "pyarrow", "sklearn", "pooch", "requests", "PIL"]
    code = f"import sys, lll.data; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert out.stdout.strip() == "[]"
