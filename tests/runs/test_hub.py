"""`lll push` and `lll pull`, with huggingface_hub and a stand-in for the Hub's HTTP API."""

from dataclasses import replace
from functools import partial

import pytest
from tests.hub import running
from tests.processes import shared_nursery
from tests.tiny import tiny_config, tiny_data

from lll import Predictor, UserError, load_run, resume, train

pytest.importorskip("huggingface_hub", reason="needs huggingface_hub")
from lll.runs.hub import pull, push
from lll.runs.update import update

STATE = "checkpoints/epoch-0003/state.pt"


@pytest.fixture(autouse=True)
def hub(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_stand_in")
    with running() as hub:
        yield hub


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = tiny_config(validation_share=0.2, data="/home/someone/private/tiny", seed=3)
    return train(config, tmp_path_factory.mktemp("pushed") / "run", data=tiny_data())


def test_what_is_pulled_predicts_as_what_was_pushed(run, hub, tmp_path):
    push(run, "me/tiny", endpoint=hub.address)
    pulled = pull("me/tiny", tmp_path / "runs" / "tiny", endpoint=hub.address)
    batch = {"image": list(tiny_data().test.images)}
    for checkpoint in ("chosen", "latest"):
        ours, theirs = (Predictor(each, checkpoint=checkpoint)(batch) for each in (run, pulled))
        assert ours == theirs
    assert (pulled.finished, pulled.metrics, pulled.data) == (True, run.metrics, run.data)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["tiny"]


def test_a_run_that_took_in_new_classes(hub, tmp_path):
    whole, few = tiny_data(), tiny_data(classes=3)
    config = tiny_config(classes="all", labels=1, epochs=1)
    run = train(config, tmp_path / "run", data=few)
    run, _ = update(run.path, data=whole)
    push(run, "me/tiny", endpoint=hub.address)
    pulled = pull("me/tiny", tmp_path / "tiny", endpoint=hub.address)
    assert pulled.data.class_names == whole.class_names and pulled.cycles == (1, 1)
    batch = {"image": list(whole.test.images)}
    assert Predictor(pulled)(batch) == Predictor(run)(batch)
    assert b"train/0" not in b"".join(hub.files["me/tiny"].values())


def test_no_path_no_id_and_no_pickle_leaves(run, hub):
    push(run, "me/tiny", endpoint=hub.address)
    files = hub.files["me/tiny"]
    assert hub.private["me/tiny"]
    assert "README.md" in files and not [name for name in files if name.endswith(".pt")]
    assert b"someone" not in b"".join(files.values())
    assert run.label_events()[0].id.encode() not in files["labels.csv"]


def test_a_pickle_in_the_repository_is_not_asked_for(run, hub, tmp_path):
    push(run, "me/tiny", endpoint=hub.address)
    hub.files["me/tiny"] |= {STATE: b"evil", "../outside.toml": b"", "checkpoints/x.py": b""}
    pull("me/tiny", tmp_path / "tiny", endpoint=hub.address)
    assert not [path for path in hub.asked if path.endswith((".pt", ".py", "outside.toml"))]
    assert not list(tmp_path.rglob("*.pt"))


def test_it_goes_on_by_a_new_run_only(run, hub, tmp_path):
    push(run, "me/tiny", endpoint=hub.address)
    pulled = pull("me/tiny", tmp_path / "tiny", endpoint=hub.address)
    with pytest.raises(UserError, match="was pulled without the state to go on from"):
        resume(pulled.path, data=tiny_data())
    config = tiny_config(method="finetune", from_run=str(pulled.path), epochs=1, pretrain_epochs=0)
    assert train(config, tmp_path / "next", data=tiny_data()).finished


def damaged(files):
    files["checkpoints/epoch-0003/weights.safetensors"] += b"x"


def without_weights(files):
    del files["checkpoints/latest"], files["checkpoints/chosen"]


def with_a_file(files):
    files["config.toml"] += b'weights = "/etc/passwd"\n'


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (damaged, "me/tiny: checkpoints/epoch-0003/weights.safetensors: corrupt"),
        (without_weights, "me/tiny: me/tiny: has no checkpoint yet"),
        (with_a_file, "me/tiny: config.toml asks for the file /etc/passwd"),
        (dict.clear, "me/tiny: no run in this repository"),
    ],
)
def test_nothing_is_left_of_a_run_that_is_not_whole(harm, said, run, hub, tmp_path):
    push(run, "me/tiny", endpoint=hub.address)
    chosen = f"epoch-{run.chosen_epoch + 1:04d}"
    harm(hub.files["me/tiny"])
    said = said.replace("epoch-0003", chosen)
    if harm is damaged:
        hub.files["me/tiny"][f"checkpoints/{chosen}/weights.safetensors"] += b"x"
    with pytest.raises(UserError) as error:
        pull("me/tiny", tmp_path / "tiny", endpoint=hub.address)
    assert str(error.value).startswith(said)
    assert not list(tmp_path.iterdir())


def test_what_the_hub_refuses_is_one_line(run, hub, tmp_path):
    with pytest.raises(UserError, match="me/absent: not reached"):
        pull("me/absent", tmp_path / "tiny", endpoint=hub.address)
    with pytest.raises(UserError, match="'no name!' is not a name of a repository"):
        push(run, "no name!", endpoint=hub.address)
    other = run.config.model_copy(update={"encoder": "custom"})
    with pytest.raises(UserError, match="its encoder needs a module of your own"):
        push(replace(run, config=other), "me/tiny", endpoint=hub.address)
    with pytest.raises(UserError, match="exists already: choose another --out"):
        pull("me/tiny", tmp_path, endpoint=hub.address)


def test_by_the_commands(run, hub, tmp_path):
    there = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_stand_in"}
    lll = partial(shared_nursery().run, environment=there)
    pushed = lll("push", run.path, "me/tiny")
    assert (pushed.code, pushed.err) == (0, "")
    pulled = lll("pull", "me/tiny", "--out", tmp_path / "runs" / "tiny")
    assert pulled.code == 0, pulled.err
    assert load_run(tmp_path / "runs" / "tiny").finished
    refused = lll("pull", "me/absent", "--out", tmp_path / "x")
    assert refused.code == 2 and refused.err.count("\n") == 1
