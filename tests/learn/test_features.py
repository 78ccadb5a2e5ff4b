"""Features of frozen encoders: what they are, and that they are kept whole."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.processes import shared_nursery
from torch import nn

from lll.data.imageset import ImageSet
from lll.data.rows import Rows
from lll.errors import UserError
from lll.learn import feature_store, features
from lll.learn.feature_store import FeatureStore
from lll.learn.features import encode, features_of, keys_of
from lll.nets.encoders import build_encoder
from lll.nets.frozen import freeze
from lll.nets.fusion import FusedConv
from lll.views.geometric import Strength


def tiny(seed=0, size=32):
    """A small encoder with batch norm that has seen images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build_encoder("resnet18", size, 4, "relu")
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
            part.bias.data += 0.1
    net(torch.from_numpy(pixels(50) / 255).float().permute(0, 3, 1, 2))
    return net


def frozen(seed=0, size=32, half=False):
    return freeze(tiny(seed), "tiny", size, half=half)


def pixels(n, side=32, seed=0):
    """Patchwork of 2 x 2 patches."""
    half = np.random.default_rng(seed).integers(0, 256, (n, 2, 2, 3), dtype=np.uint8)
    return half.repeat(side // 2, axis=1).repeat(side // 2, axis=2)


def images(n, side=32, seed=0):
    return ImageSet(pixels(n, side, seed), np.zeros(n, np.int64), np.arange(n).astype(str))


@pytest.fixture
def counted(monkeypatch):
    """How many images were encoded."""
    seen = []
    encoded = features.encoded_rows

    def count(*args):
        for at, rows in encoded(*args):
            seen.append(len(at))
            yield at, rows

    monkeypatch.setattr(features, "encoded_rows", count)
    return seen


# The encoder.


def test_folding_changes_nothing():
    net, x = tiny().eval(), torch.rand(3, 3, 32, 32)
    fast = frozen()
    assert not any(isinstance(part, nn.BatchNorm2d) for part in fast.net.modules())
    torch.testing.assert_close(fast(x), net(x).detach(), rtol=1e-4, atol=1e-4)
    assert not net.training and all(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("size", [97, 128])
def test_lite2_frozen_is_lite2(size):
    net = build_encoder("efficientnet_lite2", size, 8, "relu").eval()
    fast = freeze(net, "lite2", size, half=False)
    fused = [part for part in fast.net.modules() if isinstance(part, FusedConv)]
    assert len(fused) == (64 if torch.backends.mkldnn.is_available() else 0)
    x = torch.from_numpy(pixels(2, size + 1)[:, :size, :size] / 255).float().permute(0, 3, 1, 2)
    with torch.inference_mode():
        torch.testing.assert_close(fast(x), net(x), rtol=1e-3, atol=1e-3)


def test_without_the_fast_call_the_slow_one_is_taken(monkeypatch):
    def refuse(*_):
        raise RuntimeError("not on this processor")

    monkeypatch.setattr(FusedConv, "forward", refuse)
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(frozen()(x), tiny().eval()(x).detach(), rtol=1e-3, atol=1e-3)


class Crossed(nn.Module):
    """Batch norm that is listed after a convolution it does not follow."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.norm.running_mean += 1

    def forward(self, images):
        return self.conv(self.norm(images)).mean((2, 3))


def test_what_cannot_be_folded_stays():
    net = Crossed().eval()
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(freeze(net, "own", 16, half=False)(x), net(x).detach())


def test_bfloat16_is_near():
    x = torch.rand(8, 3, 32, 32)
    exact, near = frozen()(x), frozen(half=True)(x)
    assert near.dtype == torch.float32 and not torch.equal(exact, near)
    assert float((exact - near).norm() / exact.norm()) < 0.05


def test_the_hash_is_of_layers_and_weights():
    assert frozen().hash == frozen().hash != frozen(seed=1).hash
    assert frozen(half=True).hash != frozen().hash
    wide = freeze(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), "a", 2, half=False)
    same = freeze(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), "a", 2, half=False)
    assert wide.hash != same.hash


@pytest.mark.parametrize("value", [float("nan"), 1e6])
def test_features_that_do_not_fit_are_refused(value):
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    nn.init.constant_(net[1].bias, value)
    with pytest.raises(UserError, match="encoder 'odd' gives features that are NaN or above 65504"):
        encode(pixels(1, 2), freeze(net, "odd", 2, half=False))


def test_an_encoder_of_maps_is_refused():
    with pytest.raises(UserError, match=r"must give features \[n, d\], not \[2, 3, 8, 8\]"):
        freeze(nn.Identity(), "maps", 8)


# What they are.


def test_features_are_those_of_one_image_at_a_time():
    encoder, data = frozen(), pixels(70)
    calls = []
    out = encode(data, encoder, lambda *done: calls.append(done))
    assert out.dtype == np.float16 and out.shape == (70, encoder.width)
    for i in (0, 31, 69):
        x = torch.from_numpy(data[i] / 255).float().permute(2, 0, 1)[None]
        np.testing.assert_allclose(out[i], encoder(x)[0], rtol=2e-3, atol=2e-3)
    assert calls == [(32, 70), (64, 70), (70, 70)]


def test_images_of_another_size_are_resized_as_files_are(tmp_path):
    from PIL import Image

    small = pixels(2, 8)
    big = [np.asarray(Image.fromarray(p).resize((32, 32), Image.Resampling.BICUBIC)) for p in small]
    np.testing.assert_array_equal(encode(small, frozen()), encode(np.stack(big), frozen()))


def test_a_view_is_that_of_its_image_and_number(tmp_path):
    data, encoder = images(20), frozen()
    first = features_of(data, encoder, views=2, cache=tmp_path / "a")
    order = np.arange(20)[::-1]
    other = features_of(data.take(order), encoder, views=2, cache=tmp_path / "b")
    np.testing.assert_array_equal(first.base[order], other.base)
    for v in range(2):
        np.testing.assert_allclose(first.views[v][order], other.views[v], atol=2e-2)
    assert not np.allclose(first.views[0], first.views[1], atol=0.1)
    assert not np.allclose(first.base, first.views[0], atol=0.1)
    still = Strength(1.0, 0.0, 0.0, 0.0)
    same = features_of(data, encoder, views=1, strength=still, cache=tmp_path / "a")
    np.testing.assert_allclose(same.views[0], same.base, atol=2e-2)


def test_rows_are_picked_with_their_views_and_none_are_none(tmp_path, counted):
    calls = []
    found = features_of(
        images(5), frozen(), views=2, cache=tmp_path, progress=lambda *done: calls.append(done)
    )
    assert (len(found), len(found.views)) == (5, 2)
    assert found.ids.tolist() == ["0", "1", "2", "3", "4"]
    assert calls[-1] == (15, 15) and sum(counted) == 15
    picked = found.take(np.array([3, 1]))
    np.testing.assert_array_equal(picked.views[1], found.views[1][[3, 1]])
    assert features_of(images(0), frozen(), cache=tmp_path, views=0).base.shape == (0, 16)


# What is kept.


def test_only_what_is_new_is_encoded(tmp_path, counted):
    encoder = frozen()
    old = features_of(images(10), encoder, views=1, cache=tmp_path)
    assert sum(counted) == 20
    counted.clear()
    again = features_of(images(10), encoder, views=1, cache=tmp_path)
    assert counted == [] and isinstance(again.base, np.memmap)
    np.testing.assert_array_equal(old.base, again.base)
    more = ImageSet(
        np.concatenate([pixels(3, seed=9), pixels(10)]), np.zeros(13, np.int64), np.arange(13)
    )
    grown = features_of(more, encoder, views=1, cache=tmp_path)
    assert sum(counted) == 6
    np.testing.assert_array_equal(grown.base[3:], old.base)
    np.testing.assert_array_equal(grown.views[0][3:], old.views[0])
    np.testing.assert_allclose(grown.base[:3], encode(pixels(3, seed=9), encoder), atol=2e-3)


def test_equal_images_are_encoded_once(tmp_path, counted):
    twice = ImageSet(np.repeat(pixels(3), 2, axis=0), np.zeros(6, np.int64), np.arange(6))
    train, test = (features_of(i, frozen(), views=0, cache=tmp_path) for i in (twice, images(3)))
    assert sum(counted) == 3
    np.testing.assert_array_equal(train.base[::2], train.base[1::2])
    np.testing.assert_array_equal(train.base[::2], test.base)
    assert len(store_in(tmp_path).find([])) == 0 and rows_in(tmp_path) == 3


@pytest.mark.parametrize("change", ["weights", "size", "half"])
def test_another_encoder_has_features_of_its_own(tmp_path, counted, change):
    features_of(images(3), frozen(), views=0, cache=tmp_path)
    other = {"weights": frozen(seed=1), "size": frozen(size=40), "half": frozen(half=True)}[change]
    features_of(images(3), other, views=0, cache=tmp_path)
    assert counted == [3, 3]


def test_images_in_a_file_are_read_as_in_memory(tmp_path):
    pixels(300).tofile(tmp_path / "p")
    mapped = Rows.of(np.memmap(tmp_path / "p", np.uint8, "r", shape=(300, 32, 32, 3)))
    assert keys_of(mapped) == keys_of(pixels(300))
    assert len(set(keys_of(mapped))) == 300
    assert keys_of(pixels(1, 4)) != keys_of(pixels(1, 4).reshape(1, 2, 8, 3))


def folder_in(cache: Path) -> Path:
    (folder,) = (cache / "features").glob("*/as-they-are")
    return folder


def store_in(cache: Path) -> FeatureStore:
    return FeatureStore(folder_in(cache), 16)


def rows_in(cache: Path) -> int:
    return (folder_in(cache) / "features.bin").stat().st_size // 32


HARM = {
    "a row without a key": lambda f: (f / "keys.bin").write_bytes(
        (f / "keys.bin").read_bytes()[:-20]
    ),
    "half a key": lambda f: (f / "keys.bin").write_bytes((f / "keys.bin").read_bytes()[:-3]),
    "half a row": lambda f: (f / "features.bin").write_bytes(
        (f / "features.bin").read_bytes()[:-3]
    ),
    "a row of zeros": lambda f: (f / "features.bin").write_bytes(
        (f / "features.bin").read_bytes()[:-32] + bytes(32)
    ),
    "more than was written": lambda f: (f / "features.bin").write_bytes(
        (f / "features.bin").read_bytes() + b"x" * 45
    ),
    "no keys": lambda f: (f / "keys.bin").unlink(),
    "no rows": lambda f: (f / "features.bin").unlink(),
}


@pytest.mark.parametrize("harm", HARM)
def test_damage_is_encoded_anew(tmp_path, counted, harm):
    encoder = frozen()
    whole = features_of(images(10), encoder, views=0, cache=tmp_path)
    before = np.array(whole.base)
    del whole
    HARM[harm](folder_in(tmp_path))
    for _ in range(2):
        again = features_of(images(10), encoder, views=0, cache=tmp_path)
        np.testing.assert_allclose(again.base, before, atol=2e-3)
    lost = {"no keys": 10, "no rows": 10, "more than was written": 0}.get(harm, 1)
    assert sum(counted) == 10 + lost


def test_no_room_is_said_before_the_work(tmp_path, monkeypatch, counted):
    usage = type("Usage", (), {"free": 2**26 + 100})
    monkeypatch.setattr(feature_store.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match=r"no features can be kept there .* --cache FOLDER"):
        features_of(images(10), frozen(), views=0, cache=tmp_path)
    assert counted == []


def test_a_disk_that_fills_up_loses_nothing(tmp_path, monkeypatch, counted):
    encoder = frozen()
    features_of(images(4), encoder, views=0, cache=tmp_path)
    append = feature_store.append

    def fills(path, end, array):
        append(path, end, array.reshape(-1).view(np.uint8)[:-5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_store, "append", fills)
    with pytest.raises(UserError, match=r"\(No space left on device\): make room") as caught:
        features_of(images(10), encoder, views=0, cache=tmp_path)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(feature_store, "append", append)
    counted.clear()
    features_of(images(10), encoder, views=0, cache=tmp_path)
    assert counted == [6]


def main():
    """Encode 400 images, 4 at a time, into the cache folder that is the argument."""
    features.BATCH = 4
    print(len(features_of(images(400), frozen(), views=1, cache=Path(sys.argv[1]))))


def test_two_at_once_of_which_one_is_killed(tmp_path):
    how = {"module": "tests.learn.test_features"}
    killed, other = (shared_nursery().start(tmp_path, **how) for _ in range(2))
    while not list(tmp_path.glob("features/*/as-they-are/keys.bin")):
        time.sleep(0.01)
    killed.kill()
    assert killed.wait().code == -9
    ended = other.wait()
    assert (ended.code, ended.out) == (0, "400\n"), ended.err
    encoder = frozen()
    kept = features_of(images(400), encoder, views=0, cache=tmp_path)
    np.testing.assert_allclose(kept.base, encode(pixels(400), encoder), atol=4e-3)
    assert rows_in(tmp_path) == 400
