"""Images on their way to the device: streamed or resident, every minibatch is the same."""

import logging
import threading
from dataclasses import replace
from operator import attrgetter

import numpy as np
import pytest
import torch
from tests.tiny import tiny_config, tiny_data
from torch import nn

from lll import DataSet, ImageSet, UserError, train
from lll.labels.events import Known
from lll.learn import feeding as rooms
from lll.learn.batches import epoch_batches
from lll.learn.device import computes_in_bfloat16
from lll.learn.feeding import Streamed, fits_on, minibatches, place
from lll.learn.prepare import prepare
from lll.ranks import ALONE, Ranks
from lll.runs.predict import load_learner
from lll.runs.train import begin

CPU = torch.device("cpu")
POOLS = np.arange(0, 30), np.arange(30, 110)


@pytest.fixture
def mapped(tmp_path):
    """The tiny data with its training images in a mapped file."""
    data = tiny_data()
    np.save(tmp_path / "images.npy", data.train.images)
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    train_set = ImageSet(images, data.train.labels, data.train.ids)
    return DataSet(data.name, data.class_names, train_set, data.test)


def batches():
    return epoch_batches(*POOLS, batch_size=24, labelled_batch_size=None, seed=0, epoch=0)


def fed(inputs, ranks=ALONE):
    """The minibatches of ``inputs``; nothing here looks at views."""
    known = Known(POOLS[0], tiny_data().train.labels[POOLS[0]], POOLS[1], (0, 1, 2, 3))
    return minibatches(inputs, known, batches(), NoViews(), CPU, ranks)


class NoViews:
    def weak(self, inputs, rows, total, mine):
        raise NotImplementedError

    strong = weak


def test_streamed_minibatches_are_those_of_the_device():
    data = tiny_data().train
    resident = place(data.images, CPU, fits=True)
    assert isinstance(resident, torch.Tensor)
    pairs = zip(fed(resident), fed(Streamed(data.images, CPU)), strict=True)
    for index, (one, two) in zip(batches(), pairs, strict=True):
        for mine, other in zip(one.tensors(), two.tensors(), strict=True):
            assert torch.equal(mine, other)
        expected = data.images[index.labelled].transpose(0, 3, 1, 2)
        assert (one.labelled.inputs.numpy() == expected).all()
        assert (one.labelled.rows.numpy() == index.labelled).all()
        assert (one.unlabelled.rows.numpy() == index.unlabelled).all()
        assert (one.targets.numpy() == data.labels[index.labelled]).all()
        assert one.labelled.inputs.is_contiguous(memory_format=torch.channels_last)


def test_the_shares_of_ranks_make_up_the_minibatch():
    inputs = place(tiny_data().train.images, CPU, fits=True)
    parts = [list(fed(inputs, Ranks(rank, 3))) for rank in range(3)]
    for one, *shares in zip(fed(inputs), *parts, strict=True):
        for name in ("targets", "labelled.inputs", "labelled.rows", "unlabelled.inputs"):
            get = attrgetter(name)
            assert torch.equal(torch.cat([get(share) for share in shares]), get(one))
        assert {share.labelled.total for share in shares} == {len(one.labelled)}
        assert {share.everything.total for share in shares} == {len(one.everything)}


def test_a_mapped_file_trains_to_the_same_bytes(mapped, tmp_path):
    runs = [
        train(tiny_config(), tmp_path / name, data=data)
        for name, data in (("memory", tiny_data()), ("mapped", mapped))
    ]
    first, second = ((run.path / "metrics.jsonl").read_bytes() for run in runs)
    assert first == second


def test_an_error_of_the_reading_thread_reaches_the_caller_and_ends_the_thread():
    class Broken(Streamed):
        def read(self, at):
            raise UserError("the file has become shorter")

    data = tiny_data().train
    before = threading.active_count()
    with pytest.raises(UserError, match="shorter"):
        list(fed(Broken(data.images, CPU)))
    feed = fed(Streamed(data.images, CPU))
    next(feed)
    feed.close()
    assert threading.active_count() == before


def test_images_that_do_not_fit_are_streamed_and_it_is_said(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3 * 2**30, 80 * 2**30))
    gpu = torch.device("cuda", 0)
    with caplog.at_level(logging.WARNING, "lll"):
        assert fits_on(gpu, 2**30)
        assert not caplog.records
        assert not fits_on(gpu, 2 * 2**30)
    assert "cuda:0 has 3.0 GiB free, too little for 2.0 GiB of images" in caplog.text
    assert isinstance(place(tiny_data().train.images, gpu, fits=False), Streamed)
    assert fits_on(CPU, 2**60)


# Batches too large for the device.


class Greedy(nn.Module):
    """An encoder that runs out of memory with more than ``most`` images at once."""

    def __init__(self, most):
        super().__init__()
        self.most, self.dense = most, nn.Linear(3, 4)

    def forward(self, images):
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.dense(images.mean(dim=(2, 3)))


def test_a_batch_too_large_says_what_to_lower(tmp_path):
    with pytest.raises(
        UserError, match=r"batch_size 24 is too large .* cpu: try --batch-size 12, or a smaller"
    ) as said:
        train(tiny_config(), tmp_path / "run", data=tiny_data(), encoder=Greedy(14))
    assert "\n" not in str(said.value)


# Mixed precision.


def test_bfloat16_learns_as_float32_does_and_keeps_float32_weights(tmp_path):
    runs = {
        precision: train(
            tiny_config(precision=precision, classes=4, epochs=2),
            tmp_path / precision,
            data=tiny_data(),
        )
        for precision in ("float32", "bfloat16")
    }
    full, half = (run.metrics[0]["contrast_loss"] for run in runs.values())
    assert full != half
    assert half == pytest.approx(full, rel=0.02)
    weights = load_learner(runs["bfloat16"], checkpoint="latest").state_dict()
    floats = {value.dtype for value in weights.values() if value.is_floating_point()}
    assert floats == {torch.float32}


@pytest.mark.parametrize("feature", ["amx_bf16", "avx512_bf16", None])
def test_auto_is_bfloat16_on_a_cpu_that_has_it(feature, monkeypatch):
    able = {"avx2": True} if feature is None else {feature: True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert computes_in_bfloat16("auto", CPU) == (feature is not None)
    assert computes_in_bfloat16("bfloat16", CPU)
    assert not computes_in_bfloat16("float32", CPU)


def test_the_upload_to_a_device_is_by_chunks(monkeypatch):
    """The meta device stands for any that is no CPU."""
    monkeypatch.setattr(rooms, "CHUNK_BYTES", 5 * 32 * 32 * 3)
    placed = place(tiny_data().train.images, torch.device("meta"), fits=True)
    assert isinstance(placed, torch.Tensor)
    assert placed.shape == (120, 32, 32, 3)


# Batch norm.


@pytest.mark.parametrize(
    ("encoder", "ranks", "said"),
    [("resnet18", 2, True), ("resnet18", 1, False), ("convnet", 2, False)],
)
def test_batch_norm_of_several_ranks_on_cpus_is_warned_of(encoder, ranks, said, caplog):
    prepared = prepare(tiny_config(encoder=encoder), tiny_data())
    begin(replace(prepared, ranks=Ranks(0, ranks)))
    assert ("goes by each process's own images" in caplog.text) == said
