"""Images on their way to the device: streamed or resident, every minibatch is the same."""

import logging
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.tiny import tiny_config, tiny_data

from lll import DataSet, ImageSet, UserError, train
from lll.learn import feeding as rooms
from lll.learn.batches import epoch_batches
from lll.learn.feeding import Split, Streamed, fits_on, minibatches, place
from lll.ranks import Ranks
from lll.runs import train as loop
from lll.runs.predict import load_modules
from lll.runs.prepare import computes_in_half, prepare

CPU = torch.device("cpu")


@pytest.fixture
def mapped(tmp_path):
    """The tiny data with its training images in a mapped file."""
    data = tiny_data()
    np.save(tmp_path / "images.npy", data.train.images)
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    train_set = ImageSet(images, data.train.labels, data.train.ids)
    return DataSet(data.name, data.class_names, train_set, data.test)


def batches(count=110):
    pools = np.arange(0, 30), np.arange(30, count)
    return epoch_batches(*pools, batch_size=24, labelled_batch_size=None, seed=0, epoch=0)


def test_streamed_minibatches_are_those_of_the_device():
    data = tiny_data().train
    resident = Split(place(data.images, CPU, fits=True), data.labels)
    streamed = Split(Streamed(data.images, CPU), data.labels)
    assert isinstance(resident.images, torch.Tensor)
    pairs = zip(
        minibatches(resident, batches(), CPU), minibatches(streamed, batches(), CPU), strict=True
    )
    for index, (one, two) in zip(batches(), pairs, strict=True):
        for name in ("labelled", "targets", "unlabelled"):
            assert torch.equal(getattr(one, name), getattr(two, name))
        expected = data.images[index.labelled].transpose(0, 3, 1, 2)
        assert (one.labelled.numpy() == expected).all()
        assert (one.targets.numpy() == data.labels[index.labelled]).all()
        assert one.labelled.is_contiguous(memory_format=torch.channels_last)


def test_the_shares_of_processes_make_up_the_minibatch():
    data = tiny_data().train
    split = Split(place(data.images, CPU, fits=True), data.labels)
    whole = list(minibatches(split, batches(), CPU))
    parts = [list(minibatches(split, batches(), CPU, Ranks(r, 3))) for r in range(3)]
    for one, *shares in zip(whole, *parts, strict=True):
        for name in ("labelled", "targets", "unlabelled"):
            assert torch.equal(torch.cat([getattr(s, name) for s in shares]), getattr(one, name))
        assert {s.all_labelled for s in shares} == {len(one.targets)}
        assert {s.all_unlabelled for s in shares} == {len(one.unlabelled)}


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
        list(minibatches(Split(Broken(data.images, CPU), data.labels), batches(), CPU))
    feed = minibatches(Split(Streamed(data.images, CPU), data.labels), batches(), CPU)
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


def refuse_above(most, monkeypatch):
    """Networks that run out of memory with more than ``most`` images at once."""
    networks = loop._networks

    def small(modules, prepared):
        def within(module):
            def run(rows):
                if rows.dim() == 4 and len(rows) > most:
                    raise torch.OutOfMemoryError("CUDA out of memory")
                return module(rows)

            return run

        return {name: within(m) for name, m in networks(modules, prepared).items()}

    monkeypatch.setattr(loop, "_networks", small)


def test_a_batch_too_large_says_which_fits(tmp_path, monkeypatch):
    refuse_above(14, monkeypatch)  # two views of each image
    with pytest.raises(UserError, match=r"batch_size 24 is too large .* cpu: --batch-size 6 fits"):
        train(tiny_config(), tmp_path / "run", data=tiny_data())
    train(tiny_config(batch_size=6, epochs=1), tmp_path / "six", data=tiny_data())


def test_where_no_image_fits_another_device_is_the_remedy(tmp_path, monkeypatch):
    refuse_above(0, monkeypatch)
    with pytest.raises(UserError, match="not even one image fits: use another device"):
        train(tiny_config(), tmp_path / "run", data=tiny_data())


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
    weights = load_modules(runs["bfloat16"], checkpoint="latest").state_dict()
    assert {value.dtype for value in weights.values()} == {torch.float32}


def test_auto_is_full_precision_on_a_cpu():
    assert not computes_in_half("auto", CPU)
    assert computes_in_half("bfloat16", CPU)


def test_the_upload_to_a_device_is_by_chunks(monkeypatch):
    """The meta device stands for any that is no CPU."""
    monkeypatch.setattr(rooms, "CHUNK_BYTES", 5 * 32 * 32 * 3)
    placed = place(tiny_data().train.images, torch.device("meta"), fits=True)
    assert isinstance(placed, torch.Tensor)
    assert placed.shape == (120, 32, 32, 3)


# Batch norm.


@pytest.mark.parametrize(
    ("encoder", "processes", "said"),
    [("resnet18", 2, True), ("resnet18", 1, False), ("convnet", 2, False)],
)
def test_batch_norm_of_several_processes_on_cpus_is_warned_of(encoder, processes, said, caplog):
    prepared = prepare(tiny_config(encoder=encoder), tiny_data())
    loop._begin(replace(prepared, processes=Ranks(0, processes)), None)
    assert ("goes by each process's own images" in caplog.text) == said
