"""What folders say: classes, splits, wrappers around them; and what is refused."""

import zipfile

import numpy as np
import pytest

from lll import RunConfig, train
from lll.data import describe, load_data
from lll.data.fingerprint import fingerprint
from lll.data.layout import split_of, splits_of
from lll.errors import UserError

SPLIT = "train/a/1.png train/b/2.png test/a/3.png test/b/4.png"


def by_split(data):
    return {split: sorted(part.ids.tolist()) for split, part in data.parts.items()}


@pytest.mark.parametrize(
    ("split", "names"),
    [
        (
            "train",
            "train training Train training_set seg_train TrainingSet train2017 x-train trainval",
        ),
        ("test", "test testing test_set seg_test test2017 TEST_IMAGES testset"),
        ("validation", "val valid validation dev val_set valid-data Validation val2017"),
        ("", "test-tube steam_train a retrain contest train_test developer vale 1 unlabelled"),
    ],
)
def test_names_of_splits(split, names):
    assert {split_of(name) for name in names.split()} == {split}


def test_splits_may_share_the_name_of_the_data():
    assert splits_of(["pets train", "pets test"]) == {"pets train": "train", "pets test": "test"}
    assert splits_of(["pets train", "test tube"]) == {}


@pytest.mark.parametrize(
    "names",
    [
        "training_set/a/1.png training_set/b/2.png test_set/a/3.png test_set/b/4.png",
        "seg_train/a/1.png seg_train/b/2.png seg_test/a/3.png seg_test/b/4.png",
        "x_train/a/1.png x_train/b/2.png x_test/a/3.png x_test/b/4.png",
        "pets_train/a/1.png pets_train/b/2.png pets_test/a/3.png pets_test/b/4.png",
        # as Kaggle's archives are: each split once more inside itself, or inside 'images'
        "seg_train/seg_train/a/1.png seg_train/seg_train/b/2.png seg_test/seg_test/a/3.png"
        " seg_test/seg_test/b/4.png",
        "train/images/a/1.png train/images/b/2.png test/images/a/3.png test/images/b/4.png",
        SPLIT,
        " ".join(f"data/{name}" for name in SPLIT.split()),
        " ".join(f"outer/inner/{name}" for name in SPLIT.split()),
    ],
)
def test_splits_are_known_by_their_usual_names(tmp_path, plant, names):
    data = load_data(plant(tmp_path / "d", names))
    assert data.class_names == ("a", "b")
    assert [len(data.train), len(data.test)] == [2, 2]
    assert {id[-5] for id in data.test.ids} == {"3", "4"}


def test_a_folder_of_a_class_is_no_wrapper_where_the_class_is_known(tmp_path, plant):
    names = "train/a/x/1.png train/b/2.png test/a/x/3.png"
    assert load_data(plant(tmp_path / "d", names)).class_names == ("a", "b")


@pytest.mark.parametrize("wrapper", ["", "outer/", "outer/inner/"])
def test_single_wrappers_are_looked_through(tmp_path, plant, make_image, wrapper):
    root = plant(tmp_path / "d", " ".join(f"{wrapper}{c}/{i}.png" for c in "ab" for i in range(4)))
    (root / "README.txt").write_text("beside a wrapper")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as out:
        for file in (p for p in root.rglob("*") if p.is_file()):
            out.write(file, file.relative_to(root))
    plain, zipped = load_data(root), load_data(tmp_path / "d.zip")
    assert plain.class_names == zipped.class_names == ("a", "b")
    assert "a/0.png" in {*plain.train.ids, *plain.test.ids}
    assert fingerprint(plain) == fingerprint(zipped)


@pytest.mark.parametrize("name", ["train", "test", "val"])
def test_a_class_may_be_called_as_a_split(tmp_path, plant, name):
    data = load_data(plant(tmp_path / "d", f"bus/1.png car/2.png {name}/3.png"))
    assert data.class_names == tuple(sorted(["bus", "car", name]))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            f"{SPLIT} extra/5.png extra/6.png",
            r"holds splits \(test, train\) beside other folders \(extra\): use train/CLASS/1\.jpg",
        ),
        (f"{SPLIT} pred/x/5.png", r"beside other folders \(pred\)"),
        (f"d/{SPLIT.replace(' ', ' d/')} d/extra/5.png", r"d/d holds splits \(test, train\)"),
        ("train/1.png test/2.png other/3.png", r"splits \(test, train\) beside .* \(other\)"),
        ("train/a/1.png train/b/2.png more/c/3.png", r"splits \(train\) beside .* \(more\)"),
        ("val/a/1.png test/a/2.png", r"splits \(test, val\) and no training images: use train/"),
        ("val/1.png test/2.png", "no training images"),
        ("test/a/1.png test/b/2.png", r"splits \(test\) and no training images: .*, rename it"),
        ("train/a/1.png train/b/2.png val/c/3.png", "class 'c' is in validation and not in train"),
    ],
)
def test_a_mixture_is_refused_with_what_was_seen_and_what_works(tmp_path, plant, names, message):
    with pytest.raises(UserError, match=message) as error:
        load_data(plant(tmp_path / "d", names))
    assert "\n" not in str(error.value)


VALIDATION = f"{SPLIT} valid/a/5.png valid/b/6.png valid/unlabelled/7.png"


def test_a_validation_split_is_the_validation_set(tmp_path, plant):
    root = plant(tmp_path / "d", VALIDATION)
    for data in (load_data(root), load_data(root)):  # decoded, and from the cache
        assert by_split(data) == {
            "train": ["train/a/1.png", "train/b/2.png", "valid/unlabelled/7.png"],
            "validation": ["valid/a/5.png", "valid/b/6.png"],
            "test": ["test/a/3.png", "test/b/4.png"],
        }
        np.testing.assert_array_equal(data.validation.images[:, 0, 0, 0], [4, 5])
    facts = describe(data)
    assert (facts["validation"], facts["classes"][1]["validation"]) == (2, 1)
    bare = load_data(plant(tmp_path / "bare", SPLIT))
    assert bare.validation is None
    assert describe(bare)["validation"] is None
    assert fingerprint(bare) != fingerprint(data)


def test_without_a_test_split_the_test_share_comes_off_the_training_images(tmp_path, plant):
    names = " ".join(f"train/{c}/{i}.png val/{c}/x{i}.png" for c in "ab" for i in range(5))
    data = load_data(plant(tmp_path / "d", names))
    assert {split: len(part) for split, part in data.parts.items()} == {
        "train": 8,
        "validation": 10,
        "test": 2,
    }


SMALL = {"image_size": 32, "width": 8, "epochs": 1, "classes": "all", "labels": 1, "device": "cpu"}


def test_a_run_chooses_on_the_given_validation_images(tmp_path, plant):
    root = plant(tmp_path / "d", VALIDATION)
    run = train(RunConfig(data=str(root), validation_share=0.5, **SMALL), tmp_path / "run")
    assert (run.data.train, run.data.validation, run.data.test) == (3, 2, 2)


def test_one_class_is_trained_on_only_when_asked_for(tmp_path, plant):
    root = str(plant(tmp_path / "d", "pets/1.png pets/2.png pets/3.png"))
    assert load_data(root).class_names == ("pets",)
    with pytest.raises(UserError, match=r"has one class only, 'pets': .*--classes 1"):
        train(RunConfig(data=root, **SMALL), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run = train(RunConfig(data=root, **SMALL | {"classes": 1}), tmp_path / "run")
    assert run.finished


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ("part1/cat/1.png part1/dog/2.png part2/cat/3.png part2/dog/4.png", "cat dog"),
        ("batch_1/a/1.png batch_1/b/2.png batch_2/b/3.png batch_2/c/4.png", "a b c"),
        ("train/fold0/a/1.png train/fold0/b/2.png train/fold1/a/3.png test/a/4.png", "a b"),
        ("part1/a/1.png part1/b/2.png part2/a/3.png unlabelled/5.png", "a b"),
        # A class may hold folders of its own; and may be called as a part if it holds images.
        ("cat/front/1.png cat/side/2.png dog/front/3.png", "cat dog"),
        ("part1/1.png part2/2.png", "part1 part2"),
    ],
)
def test_parts_that_hold_the_same_classes_are_joined(tmp_path, plant, names, classes):
    data = load_data(plant(tmp_path / "d", names), test_share=0)
    assert data.class_names == tuple(classes.split())


@pytest.mark.parametrize("split", ["", "train/"])
def test_two_levels_that_may_both_be_classes_are_refused(tmp_path, plant, split):
    names = " ".join(f"{split}{top}/{sub}/1.png" for top in ("ann", "bob") for sub in ("x", "y"))
    message = "folders ann, bob all hold the folders x, y, so either may be the classes"
    with pytest.raises(UserError, match=message):
        load_data(plant(tmp_path / "d", names))
