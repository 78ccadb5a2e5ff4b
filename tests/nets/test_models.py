import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lll import RunConfig
from lll.errors import UserError
from lll.learn.learner import build_learner
from lll.nets import ACTIVATIONS, ENCODERS, encoding_width, reset_module
from lll.nets.encoders import build_encoder
from lll.nets.encoders.convnet import convnet


def build(encoder="convnet", classes=10, **changed):
    """The parts of a learner whose method has all of them."""
    own = encoder if isinstance(encoder, nn.Module) else None
    named = "convnet" if own else encoder
    given = {"activation": "relu", "method": "sandbox", "encoder": named, "data": "x"}
    config = RunConfig(**given | changed)
    return build_learner(config, classes, device=torch.device("cpu"), encoder=own).parts


def images(n=3, side=32):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(n))


def count(module):
    return sum(p.numel() for p in module.parameters())


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    assert first.keys() == second.keys()
    return all((first[name] == second[name]).all() for name in first)


# The networks are those of the spec.


def test_convnet_layer_by_layer():
    encoder = build()["encoder"]
    convolutions = [layer for layer in encoder if isinstance(layer, nn.Conv2d)]
    dense = [layer for layer in encoder if isinstance(layer, nn.Linear)]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == [(3, 128), *[(128, 128)] * 3]
    for layer in convolutions:
        assert (layer.kernel_size, layer.stride, layer.padding) == ((3, 3), (2, 2), (0, 0))
    # 32 -> 15 -> 7 -> 3 -> 1 pixels a side
    assert [(d.in_features, d.out_features) for d in dense] == [(128, 128)]
    assert sum(isinstance(layer, nn.ReLU) for layer in encoder) == 5


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_convnet_computes_what_its_formula_says(activation):
    encoder = build(activation=activation, width=8, image_size=34)["encoder"].requires_grad_(False)
    act = F.relu if activation == "relu" else lambda x: F.leaky_relu(x, 0.2)
    layers = [layer for layer in encoder if hasattr(layer, "weight")]
    x = images(4, 34)
    for layer in layers[:4]:
        # A convolution of stride 2 is every second pixel of the plain one.
        x = act(F.conv2d(x, layer.weight)[:, :, ::2, ::2] + layer.bias[:, None, None])
    x = act(x.flatten(1) @ layers[4].weight.T + layers[4].bias)
    torch.testing.assert_close(encoder(images(4, 34)), x)
    assert (x < 0).any() == (activation == "leaky_relu")


def test_parameters_counted_by_hand():
    modules = build()
    first = 3 * 3 * 3 * 128 + 128
    others = 3 * (3 * 3 * 128 * 128 + 128)
    dense = 128 * 128 + 128
    assert count(modules["encoder"]) == first + others + dense == 462_848
    assert count(modules["projection"]) == 2 * dense
    assert count(modules["probe"]) == count(modules["pseudo_probe"]) == 128 * 10 + 10


def test_parameters_of_larger_images_counted_by_hand():
    # 64 -> 31 -> 15 -> 7 -> 3 pixels a side
    modules = build(image_size=64, width=16, classes=7)
    convolutions = (3 * 9 * 16 + 16) + 3 * (16 * 9 * 16 + 16)
    assert count(modules["encoder"]) == convolutions + (3 * 3 * 16) * 16 + 16
    assert count(modules["probe"]) == 16 * 7 + 7


@pytest.mark.parametrize("side", [31, 32, 45, 64])
def test_shapes(side):
    modules = build(image_size=side, width=24, classes=7)
    encodings = modules["encoder"](images(5, side))
    assert encodings.shape == (5, 24)
    assert modules["projection"](encodings).shape == (5, 24)
    assert modules["probe"](encodings).shape == modules["pseudo_probe"](encodings).shape == (5, 7)
    assert encoding_width(modules["encoder"], side) == 24


def test_projection_is_dense_activation_dense():
    first, act, second = build(activation="leaky_relu")["projection"]
    assert (first.out_features, second.in_features, second.out_features) == (128, 128, 128)
    assert isinstance(act, nn.LeakyReLU) and act.negative_slope == 0.2
    assert isinstance(build()["projection"][1], nn.ReLU)


def test_no_two_modules_share_a_weight():
    modules = build()
    names = ["encoder", "projection", "probe", "pseudo_probe"]
    assert list(modules) == [*names, "unknown"]  # which has no weight
    owned = [id(p) for name in names for p in modules[name].parameters()]
    assert len(set(owned)) == len(owned)
    assert not same(modules["probe"], modules["pseudo_probe"])


def test_weights_lie_channels_last():
    for layer in build()["encoder"]:
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.is_contiguous(memory_format=torch.channels_last)


# Bad input.


@pytest.mark.parametrize("side", [1, 8, 30])
def test_images_that_are_too_small(side):
    with pytest.raises(
        UserError, match=rf"image_size {side} is too small.*'convnet'.*31"
    ) as caught:
        build_encoder("convnet", side, 128, "relu")
    assert "\n" not in str(caught.value)


def test_unknown_names_with_the_nearest():
    with pytest.raises(UserError, match="unknown encoder 'convent': did you mean 'convnet'"):
        build(encoder="convent")
    with pytest.raises(UserError, match="unknown activation 'reluu': did you mean 'relu'"):
        build_encoder("convnet", 32, 8, "reluu")


# Seeds.


def test_the_seed_alone_decides_the_weights():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = build(seed=3)
        torch.manual_seed(2)
        again = build(seed=3)
    assert all(same(again[name], first[name]) for name in first)
    other = build(seed=4)
    for name in first:
        assert name == "unknown" or not same(other[name], first[name])


@pytest.mark.parametrize("encoder", ["convnet", nn.Flatten()])
def test_the_global_generator_is_untouched(encoder):
    state = torch.get_rng_state()
    build(encoder=encoder)
    assert (torch.get_rng_state() == state).all()
    with pytest.raises(UserError):
        build(encoder="none")
    assert (torch.get_rng_state() == state).all()


def test_reset_draws_anew_from_the_seed():
    modules, twin = build(width=8), build(width=8, seed=9)
    before = modules["probe"].weight.clone()
    state = torch.get_rng_state()
    reset_module(modules["probe"], 5)
    assert (torch.get_rng_state() == state).all()
    assert (modules["probe"].weight != before).any()
    reset_module(twin["probe"], 5)
    assert same(twin["probe"], modules["probe"])
    reset_module(twin["probe"], 6)
    assert not same(twin["probe"], modules["probe"])
    assert same(modules["encoder"], build(width=8)["encoder"])


def test_reset_reaches_every_layer():
    encoder = build_encoder("convnet", 32, 8, "relu")
    with torch.no_grad():
        for p in encoder.parameters():
            p.fill_(100.0)
    reset_module(encoder, 0)
    assert all(p.abs().max() < 1 for p in encoder.parameters())


# Encoders of one's own.


class Pooled(nn.Module):
    """Mean colours, normalised by running statistics: [n, 3, s, s] to [n, 6]."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.dense = nn.Linear(3, 6)

    def forward(self, x):
        return self.dense(self.norm(x).mean(dim=(2, 3)))


def test_a_given_module_keeps_its_weights_and_sizes_the_heads():
    own = Pooled()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    modules = build(encoder=own, classes=4, width=16)
    assert modules["encoder"] is own
    assert own.training
    assert all((own.state_dict()[name] == value).all() for name, value in before.items())
    assert modules["projection"][0].in_features == 6
    assert modules["projection"](own(images())).shape == (3, 16)
    assert modules["probe"](own(images())).shape == (3, 4)


@pytest.mark.parametrize("training", [True, False])
def test_encoding_width_leaves_the_encoder_as_it_was(training):
    own = Pooled().train(training)
    before = {name: value.clone() for name, value in own.state_dict().items()}
    assert encoding_width(own, 8) == 6
    assert own.training == own.norm.training == training
    assert all((own.state_dict()[name] == value).all() for name, value in before.items())
    assert all(p.grad is None for p in own.parameters())


def test_encoding_width_of_a_module_without_weights():
    assert encoding_width(nn.Flatten(), 4) == 3 * 4 * 4


def test_encodings_must_be_rows():
    with pytest.raises(UserError, match=r"encodings \[n, d\], not \[1, 3, 32, 32\]"):
        build(encoder=nn.Identity())


def test_every_named_encoder_fits_the_heads():
    for name in ENCODERS:
        for activation in ACTIVATIONS:
            modules = build(encoder=name, activation=activation, width=8, classes=3)
            assert modules["probe"](modules["encoder"](images(2))).shape == (2, 3)


def test_convnet_takes_any_activation():
    encoder = convnet(32, 8, nn.Tanh)
    assert encoder(images(2)).abs().max() < 1


# ResNet-18


def test_resnet18_has_the_published_size():
    encoder = build(encoder="resnet18")["encoder"]
    # 11,173,962 with the usual classifier of 512 x 10 + 10.
    assert count(encoder) == 11_173_962 - 5_130
    assert encoding_width(encoder, 32) == 512


def test_resnet18_halves_the_image_three_times():
    encoder = build(encoder="resnet18", width=8)["encoder"]
    sides = []
    for layer in encoder:
        layer.register_forward_hook(
            lambda layer, given, out: sides.append(out.shape[-1]) if out.ndim == 4 else None
        )
    encoder(images(2))
    assert sides == [32] * 3 + [32, 32, 16, 16, 8, 8, 4, 4, 1]


def test_resnet18_computes_what_its_formula_says():
    modules = build(encoder="resnet18", width=4, activation="leaky_relu")
    state = modules["encoder"].state_dict()

    def norm(x, name):
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)
        x = (x - mean[:, None, None]) / (var + 1e-5).sqrt()[:, None, None]
        return x * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]

    def block(x, name, stride):
        y = F.conv2d(x, state[f"{name}.residual.0.weight"], stride=stride, padding=1)
        y = F.leaky_relu(norm(y, f"{name}.residual.1"), 0.2)
        y = norm(F.conv2d(y, state[f"{name}.residual.3.weight"], padding=1), f"{name}.residual.4")
        if f"{name}.shortcut.0.weight" in state:
            x = F.conv2d(x, state[f"{name}.shortcut.0.weight"], stride=stride)
            x = norm(x, f"{name}.shortcut.1")
        return F.leaky_relu(y + x, 0.2)

    x = F.leaky_relu(norm(F.conv2d(images(5), state["0.weight"], padding=1), "1"), 0.2)
    for number in range(8):
        x = block(x, str(3 + number), 2 if number in (2, 4, 6) else 1)
    torch.testing.assert_close(
        modules["encoder"](images(5)), x.mean(dim=(2, 3)), rtol=1e-4, atol=1e-4
    )


def test_wrn_28_2_has_the_published_size():
    modules = build(encoder="wrn-28-2")
    assert count(modules["encoder"]) + count(modules["probe"]) == 1_467_610
    assert encoding_width(modules["encoder"], 32) == 128


def test_wrn_28_2_computes_what_its_formula_says():
    encoder = build(encoder="wrn-28-2", width=8)["encoder"].requires_grad_(False)
    with torch.no_grad():
        for norm in encoder.modules():
            if isinstance(norm, nn.BatchNorm2d):
                for value in (norm.weight, norm.bias, norm.running_mean):
                    value.normal_(generator=torch.Generator().manual_seed(len(value)))
    encoder.eval()

    def active(norm, x):
        x = (x - norm.running_mean[:, None, None]) / (1 + norm.eps) ** 0.5
        return F.relu(x * norm.weight[:, None, None] + norm.bias[:, None, None])

    stem, *blocks, last, _, _, _ = encoder
    assert len(blocks) == 12
    x, side = F.conv2d(images(2, 12), stem.weight, padding=1), 12
    for number, block in enumerate(blocks):
        stride = 2 if number in (4, 8) else 1
        first, (conv, norm, _, again) = block.first[0], block.residual
        y = active(first, x)
        z = F.conv2d(active(norm, F.conv2d(y, conv.weight, padding=1)[:, :, ::stride, ::stride]),
                     again.weight, padding=1)  # fmt: skip
        if number in (0, 4, 8):
            x = F.conv2d(y, block.shortcut.weight)[:, :, ::stride, ::stride]
        x, side = x + z, side // stride
        assert x.shape[2] == side
    torch.testing.assert_close(encoder(images(2, 12)), active(last, x).mean(dim=(2, 3)))


def test_wrn_28_2_cannot_be_thinner_than_a_channel():
    with pytest.raises(UserError, match=r"width 7 is too small .*'wrn-28-2': use 8 or more"):
        build(encoder="wrn-28-2", width=7)


def test_resnet18_cannot_be_thinner_than_a_channel():
    with pytest.raises(UserError, match=r"width 1 is too small .*'resnet18': use 2 or more"):
        build(encoder="resnet18", width=1)
