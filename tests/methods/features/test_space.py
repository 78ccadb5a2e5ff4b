"""The space of features, whatever images there are."""

import pytest
import torch

from lll.methods.features.space import fit_space


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize(("count", "different"), [(20, 3), (30, 14), (40, 7), (2, 1)])
def test_few_different_images(seed, count, different):
    """Copies of a few images, as a burst of photos is: nearly all eigenvalues are 0."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.rand(2, 1280, generator=generator) ** 4
    noise = 1 + 0.02 * torch.randn(different, 1280, generator=generator)
    features = base[torch.arange(different) % 2] * noise
    features = features.where(features > 0.1, 0)[torch.arange(count) % different].half()
    points = fit_space(features, features[None]).points
    assert torch.isfinite(points).all()
    same = points[:different].repeat(count // different + 1, 1)[:count]
    torch.testing.assert_close(points, same)
