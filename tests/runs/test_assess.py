"""`lll evaluate`: every figure from a run folder, and one clear line for what cannot be judged."""

import io
import json
import shutil
from contextlib import redirect_stdout
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.processes import flags, in_process, one_line, save_checkpoint, write_npz
from tests.tiny import tiny_config, tiny_data

from lll import DataSet, ImageSet, RunStopped, UserError, Watch, load_run, train
from lll.learn.prepare import prepare
from lll.runs import assess
from lll.runs.assess import check_finished, evaluate, save_evaluation
from lll.runs.checkpoint import load_checkpoint
from lll.runs.predict import encode, load_learner


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tiny_config(epochs=4), tmp_path_factory.mktemp("tiny"), data=tiny_data())


@pytest.fixture(scope="module")
def figures(run):
    return evaluate(run, data=tiny_data())


def test_accuracy_of_the_latest_checkpoint_is_the_one_on_record(run, figures):
    last, scores = run.metrics[-1], figures["accuracy"]
    assert figures["checkpoint"] == "epoch-0004"
    assert scores["all"] == scores["final"] == last["test_accuracy"]
    assert scores["represented"] == last["test_accuracy_represented"]
    assert scores["novel"] == last["test_accuracy_novel"]
    assert list(scores["per_class"].values()) == last["test_accuracy_per_class"]
    assert scores["chosen"] == run.result["test_accuracy_chosen"]
    counts = np.array(scores["confusion"])
    assert counts.sum(axis=1).tolist() == [10] * 4
    assert np.trace(counts) / counts.sum() == scores["all"]


def test_another_checkpoint_has_the_accuracy_of_its_epoch(run):
    found = evaluate(run.path, data=tiny_data(), checkpoint="epoch-0003")
    record = run.metrics[2]
    assert found["checkpoint"] == "epoch-0003"
    assert found["accuracy"]["all"] == record["test_accuracy"]
    assert found["accuracy"]["represented"] == record["test_accuracy_represented"]
    assert found["accuracy"]["final"] == run.metrics[-1]["test_accuracy"]


def test_chosen_is_the_epoch_chosen_on_validation_and_the_latest_without_one(run, tmp_path):
    found = evaluate(run, data=tiny_data(), checkpoint="chosen")
    assert found["accuracy"]["all"] == found["accuracy"]["chosen"]
    plain = train(tiny_config(validation_share=0, epochs=2), tmp_path / "run", data=tiny_data())
    found = evaluate(plain, data=tiny_data(), checkpoint="chosen")
    assert found["checkpoint"] == "epoch-0002"
    assert found["accuracy"]["chosen"] is None


def test_how_many_images_are_called_unknown(tmp_path):
    known = train(tiny_config(classes="2", epochs=2), tmp_path / "run", data=tiny_data())
    found = evaluate(known, data=tiny_data())
    part = load_learner(known, checkpoint="latest").parts["unknown"]
    assert part.fitted
    assert sorted(part.known.tolist()) == sorted(
        prepare(known.config, tiny_data()).labels.at(1).classes
    )
    unknown = found["unknown"]
    assert 0 <= unknown["auroc"] <= 1
    assert 0 <= unknown["found"] <= 1
    assert unknown["false_alarms"] <= 0.5
    assert unknown["calibration_error"] is None
    assert "rank" in found["missing"]["calibration of unknown"]


def test_figures_of_the_latent_space_stand_on_its_encodings(run, figures):
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import KNeighborsClassifier

    prepared = prepare(run.config, tiny_data())
    learner = load_learner(run, checkpoint="latest")
    train_points, points = (
        encode(learner, split.inputs).encodings for split in (prepared.train, prepared.test)
    )
    latent = figures["latent"]
    for k in (5, 20):
        model = KNeighborsClassifier(k).fit(train_points, prepared.train.truth)
        assert latent["knn"][str(k)] == model.score(points, prepared.test.truth)
    assert latent["silhouette"]["true"] == pytest.approx(
        silhouette_score(points, prepared.test.truth), abs=1e-5
    )
    assert latent["kmeans"]["clusters"] == 4
    assert latent["kmeans"]["matched_accuracy"] >= 1 / 4
    assert latent["linear_probe"] > 0.6
    assert figures["images"] == {"train": len(prepared.train.truth), "test": 40}


def test_the_course_is_that_of_the_record(run, figures):
    course = figures["course"]
    assert course["labels_known"] == [m["labels_known"] for m in run.metrics]
    assert course["test_accuracy"] == [m["test_accuracy"] for m in run.metrics]
    assert course["seconds_per_epoch"] == run.result["seconds_per_epoch"]
    assert 0 < course["area_under_labels"] < 1
    # Classes 2:4 are 2, 2, 2 and 3: the third comes with the last epoch, the fourth never.
    assert course["classes"] == [2, 2, 2, 3]
    per_class = [m["test_accuracy_per_class"] for m in run.metrics]
    drops = [max(row[c] for row in per_class[:-1]) - per_class[-1][c] for c in (0, 1)]
    assert list(course["forgetting_per_class"].values()) == [*drops, None, None]
    assert course["forgetting"] == pytest.approx(sum(drops) / 2)


def test_evaluating_twice_gives_the_same_and_the_folder_stays_as_it_was(run, figures):
    before = sorted(p.name for p in run.path.iterdir())
    assert evaluate(run.path, data=tiny_data()) == figures
    assert sorted(p.name for p in run.path.iterdir()) == before


def test_the_file_holds_the_figures(run, figures):
    path = save_evaluation(run, figures)
    assert path == run.path / "evaluation.json"
    assert json.loads(path.read_text()) == figures
    assert load_run(run.path).finished


def test_the_device_of_training_need_not_be_here(run, figures, monkeypatch):
    elsewhere = replace(run, config=run.config.model_copy(update={"device": "cuda:7"}))
    assert evaluate(elsewhere, data=tiny_data()) == figures


def test_many_training_images_are_sampled_by_seed(run, monkeypatch):
    monkeypatch.setattr(assess, "TRAIN_MOST", 50)
    found = evaluate(run, data=tiny_data())
    assert found["images"]["train"] == 50
    assert evaluate(run, data=tiny_data()) == found


def test_unlabelled_images_are_left_out(tmp_path):
    data = tiny_data()
    blank = np.full(10, -1, dtype=np.int64)
    test = replace(data.test, labels=np.append(data.test.labels[:30], blank))
    some = replace(data, test=test)
    found = evaluate(train(tiny_config(epochs=1), tmp_path / "run", data=some), data=some)
    assert found["images"]["test"] == 30
    assert found["accuracy"]["per_class"]["d"] is None
    assert found["course"]["forgetting"] is None
    assert found["course"]["area_under_labels"] is None


def relabelled(labels) -> DataSet:
    """The tiny data with these labels for its test images."""
    data = tiny_data()
    return replace(data, test=replace(data.test, labels=np.array(labels, dtype=np.int64)))


def few(train_each: int, test_each: int) -> DataSet:
    return tiny_data(each=train_each, test_each=test_each)


NO_TEST = replace(tiny_data(), test=ImageSet(*(a[:0] for a in vars(tiny_data().test).values())))
K5, K20, PROBE = "5 nearest neighbours", "20 nearest neighbours", "linear probe"
OF_CLASSES = "silhouette, classes"
CLUSTERS = {"k-means NMI", "k-means ARI", "k-means matched", "silhouette, clusters"}
COURSE = {"forgetting", "area under accuracy against labels"}  # of one epoch
RANKED = {"calibration of unknown"}  # of a method whose score is a rank
CALLED = {"unknown images called so", "known images called unknown"}
UNKNOWN = {"known against unknown, AUROC"} | CALLED | RANKED
WITHOUT_TEST = {"test accuracy", PROBE, K5, K20, OF_CLASSES} | CLUSTERS | COURSE | UNKNOWN
SMALL_DATA = {
    "no test images": (NO_TEST, WITHOUT_TEST),
    "no test labels": (relabelled([-1] * 40), WITHOUT_TEST),
    "one class": (tiny_data(classes=1), {PROBE, OF_CLASSES} | CLUSTERS | COURSE | UNKNOWN),
    "one class in test": (
        relabelled([1] * 10 + [-1] * 30),
        {OF_CLASSES} | CLUSTERS | COURSE | UNKNOWN,
    ),
    "three test images": (
        relabelled([0, 1, 2] + [-1] * 37),
        {OF_CLASSES} | CLUSTERS | COURSE | RANKED,
    ),
    "16 training images": (few(4, 10), {K20} | COURSE | RANKED),
    "4 training images": (few(1, 10), {K5, K20} | COURSE | RANKED),
}


@pytest.mark.parametrize("case", SMALL_DATA)
def test_a_figure_that_cannot_be_had_is_left_out_and_the_rest_is_given(case, tmp_path):
    data, left_out = SMALL_DATA[case]
    config = tiny_config(epochs=1, classes=1, validation_share=0, method="baseline")
    run = train(config, tmp_path / "run", data=data)
    figures = evaluate(run, data=data)
    assert set(figures["missing"]) == left_out
    assert figures["course"]["seconds_per_epoch"] > 0
    latent, known = figures["latent"], (data.test.labels >= 0).any()
    assert (figures["accuracy"]["all"] is not None) == known
    assert (latent["linear_probe"] is None) == (PROBE in left_out)
    assert (latent["knn"]["20"] is None) == (K20 in left_out)
    assert (latent["knn"]["5"] is None) == (K5 in left_out)
    assert (latent["kmeans"]["nmi"] is None) == ("k-means NMI" in left_out)
    assert (latent["silhouette"]["true"] is None) == (OF_CLASSES in left_out)
    save_evaluation(run, figures)
    from lll.cli import evaluate as command

    with redirect_stdout(io.StringIO()) as out:
        command.say_figures(figures)
    for name in left_out:
        assert any(name in line for line in out.getvalue().splitlines() if "left out" in line)


def test_other_data_is_refused(run):
    with pytest.raises(UserError, match=r"is not what .* was trained on"):
        evaluate(run, data=tiny_data(seed=1))


def test_an_unfinished_run_says_how_far_it_is(tmp_path):
    steps = iter(range(100))
    watch = Watch(should_stop=lambda: next(steps) > 7)
    with pytest.raises(RunStopped):
        train(tiny_config(epochs=9), tmp_path / "run", data=tiny_data(), watch=watch)
    stopped = load_run(tmp_path / "run")
    with pytest.raises(UserError, match=r"not finished, \d of 9 epochs .* `lll resume .*run`"):
        evaluate(stopped, data=tiny_data())
    with pytest.raises(UserError, match="not finished"):
        check_finished(stopped)


def test_a_checkpoint_that_is_not_there_is_refused(run):
    with pytest.raises(UserError, match="epoch-0099"):
        evaluate(run, data=tiny_data(), checkpoint="epoch-0099")


@pytest.mark.parametrize("module", ["encoder.0.bias", "probe.bias"])
def test_weights_that_are_nan_are_refused(module, tmp_path):
    run = train(tiny_config(epochs=1), tmp_path / "run", data=tiny_data())
    saved = load_checkpoint(run.path)
    weights = dict(saved.weights)
    weights[module] = torch.full_like(weights[module], torch.nan)
    shutil.rmtree(run.path / "checkpoints")
    (run.path / "checkpoints").mkdir()
    save_checkpoint(run.path, replace(saved, weights=weights))
    with pytest.raises(UserError, match="corrupt checkpoint"):
        evaluate(load_run(run.path), data=tiny_data())


@pytest.fixture(scope="module")
def saved_run(tmp_path_factory):
    """A run on data that its folder names."""
    folder = tmp_path_factory.mktemp("saved")
    data = write_npz(folder / "tiny.npz")
    assert in_process("train", *flags(data), "--out", folder / "run", "--quiet").code == 0
    return folder / "run"


def test_the_command_prints_tables_of_80_columns_and_writes_the_file(saved_run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ended = in_process("evaluate", saved_run)
    assert (ended.code, ended.err) == (0, "")
    *tables, last = ended.out.splitlines()
    assert last == f"written to {saved_run}/evaluation.json"
    assert max(map(len, tables)) <= 80
    for word in ("represented", "novel", "linear probe", "20 nearest neighbours", "k-means ARI",
                 "silhouette, clusters", "forgetting", "area under", "seconds per epoch",
                 "most mistaken for", "Confusion"):  # fmt: skip
        assert word in ended.out
    assert "…" not in ended.out
    written = json.loads((saved_run / "evaluation.json").read_text())
    ended = in_process("evaluate", saved_run, "--json")
    assert ended.events == [written]


def test_long_class_names_fit_too(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    names = tuple(f"[red]class {c} of a very long name indeed, {'x' * 60}" for c in "abcd")
    figures = evaluate(
        train(tiny_config(), tmp_path / "run", data=replace(tiny_data(), class_names=names)),
        data=replace(tiny_data(), class_names=names),
    )
    from lll.cli import evaluate as command

    with redirect_stdout(io.StringIO()) as out:
        command.say_figures(figures)
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert "[red]class a" in out.getvalue()


def test_the_command_refuses_in_one_line_with_code_2(saved_run, tmp_path):
    shutil.copytree(saved_run, tmp_path / "run")
    record = tmp_path / "run" / "metrics.jsonl"
    record.write_text(record.read_text().splitlines(keepends=True)[0])
    ended = in_process("evaluate", tmp_path / "run")
    assert ended.code == 2
    one_line(ended.err, "1 of 4 epochs", "lll resume")
    assert in_process("evaluate", tmp_path / "nowhere").code == 2
