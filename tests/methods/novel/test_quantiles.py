"""How unsure a network is, as a rank among images of known classes."""

import pytest
import torch

from lll.methods.novel.quantiles import Quantiles


def chances(greatest):
    """Probabilities [n, 3] with these greatest ones, of class 0; class 2 is not known."""
    first = torch.tensor(greatest)
    return torch.stack([first, (1 - first) / 4, 3 * (1 - first) / 4], dim=1)


def fitted(greatest):
    part = Quantiles()
    part.fit(chances(greatest), (0, 1))
    return part


def score(part, greatest):
    return part.of(torch.zeros(len(greatest), 0), chances(greatest))


def test_the_score_is_the_share_of_known_images_that_are_surer():
    part = fitted([0.9, 0.8, 0.6])
    torch.testing.assert_close(
        score(part, [0.9, 0.8, 0.6, 0.7]), torch.tensor([0.25, 0.5, 0.75, 0.625])
    )


def test_what_goes_to_a_class_without_a_label_counts_as_unknown():
    part = fitted([0.9, 0.8, 0.6])
    free = torch.tensor([[0.05, 0.05, 0.9]])
    assert float(part.of(torch.zeros(1, 0), free)) > 0.9


def test_scores_keep_the_order_beyond_all_known_images_too():
    found = score(fitted([0.9, 0.8]), [0.99, 0.95, 0.85, 0.5, 0.3, 0.2])
    assert (found.diff() > 0).all()
    assert bool(((found >= 0) & (found <= 1)).all())


@pytest.mark.parametrize("power", [1, 8])
def test_five_in_a_hundred_known_images_are_called_unknown_whatever_the_network(power):
    generator = torch.Generator().manual_seed(0)
    draw = lambda n: (1 - torch.rand(n, generator=generator) ** power).tolist()  # noqa: E731
    part = fitted(draw(1000))
    alarms = (score(part, draw(20_000)) >= part.LIMIT).float().mean()
    assert float(alarms) == pytest.approx(0.05, abs=0.02)


def test_what_is_saved_answers_the_same():
    part, again = fitted([0.9, 0.8, 0.6]), Quantiles()
    again.load_state_dict(part.state_dict())
    some = [0.95, 0.7, 0.1]
    torch.testing.assert_close(score(again, some), score(part, some))


def test_a_run_of_an_earlier_version_has_none():
    part = Quantiles()
    part.load_state_dict({})
    assert not part.fitted
